//! Finds tools by what they are for, so that a model need not be shown all of them: words over names, descriptions and
//! parameters, ranked by BM25 with a weight for each field.
//!
//! It is pure and gives the same answer for the same tools and words. It knows nothing of who may use a tool: whoever
//! asks gives it only tools that may be shown.

use serde_json::Value;
use std::collections::{BTreeMap, HashMap};

/// Words of one tool that are looked at, in the order name, description, parameters.
const MAX_WORDS: usize = 400;
/// Words of a query that are looked at.
const MAX_QUERY_WORDS: usize = 32;
/// Longer runs of letters are no words that anybody looks for.
const MAX_WORD_CHARS: usize = 40;
/// Words that one beginning of a word may stand for.
const MAX_COMPLETIONS: usize = 64;
/// The shortest beginning of a word that is completed.
const MIN_BEGINNING: usize = 3;
/// What a completed word counts against one that was meant.
const COMPLETION: f32 = 0.4;
/// How deep parameters are looked into.
const MAX_DEPTH: usize = 6;

/// How much a word counts by where it stands.
const NAME: f32 = 4.0;
const DESCRIPTION: f32 = 1.0;
const PARAMETERS: f32 = 0.6;

/// BM25's two constants: how soon repetition stops to matter, and how much length does (Robertson and Zaragoza 2009).
const K1: f32 = 1.2;
const B: f32 = 0.6;

/// What is known of a tool.
pub trait Searchable {
    fn name(&self) -> &str;
    fn description(&self) -> &str;
    /// A JSON Schema: names and descriptions of properties are words.
    fn parameters(&self) -> &Value;
}

/// Tools, ready to be searched. Building it reads everything once; a search touches only what has the query's words.
#[derive(Debug, Clone, Default)]
pub struct ToolIndex {
    /// By word, in order, so that beginnings can be completed: which tools have it, and how strongly.
    words: BTreeMap<String, Vec<(u32, f32)>>,
    /// What length does to each tool's words.
    norms: Vec<f32>,
    /// Folded names, for whoever knows exactly what they want.
    names: HashMap<String, u32>,
}

impl ToolIndex {
    pub fn new<'a, T: Searchable + 'a>(tools: impl IntoIterator<Item = &'a T>) -> Self {
        let mut index = Self::default();
        let mut lengths = Vec::new();
        for (number, tool) in (0_u32..).zip(tools) {
            let weights = weights(tool);
            lengths.push(weights.values().sum::<f32>());
            for (word, weight) in weights {
                index.words.entry(word).or_default().push((number, weight));
            }
            index.names.entry(tool.name().to_lowercase()).or_insert(number);
        }
        let average = (lengths.iter().sum::<f32>() / lengths.len().max(1) as f32).max(1.0);
        index.norms = lengths.iter().map(|length| K1 * (1.0 - B + B * length / average)).collect();
        index
    }

    pub fn len(&self) -> usize {
        self.norms.len()
    }

    pub fn is_empty(&self) -> bool {
        self.norms.is_empty()
    }

    /// The numbers of the tools that fit best, the best first; equal ones in the order in which they were given. A tool
    /// whose name is the query comes first. None when no word of the query is found.
    pub fn search(&self, query: &str, limit: usize) -> Vec<usize> {
        let mut scores = vec![0.0_f32; self.norms.len()];
        let mut wanted: Vec<String> = Vec::new();
        each_word(query, |word| {
            if !wanted.contains(&word) {
                wanted.push(word);
            }
            wanted.len() < MAX_QUERY_WORDS
        });
        for word in &wanted {
            match self.words.get(word) {
                Some(found) => self.add(&mut scores, found, 1.0),
                None => self.add_completions(&mut scores, word),
            }
        }
        if let Some(number) = self.names.get(&query.trim().to_lowercase()) {
            scores[*number as usize] = f32::MAX;
        }
        let mut found: Vec<usize> = (0..scores.len()).filter(|number| scores[*number] > 0.0).collect();
        let best_first = |a: &usize, b: &usize| scores[*b].total_cmp(&scores[*a]).then(a.cmp(b));
        if found.len() > limit && limit > 0 {
            found.select_nth_unstable_by(limit - 1, best_first);
        }
        found.truncate(limit);
        found.sort_unstable_by(best_first);
        found
    }

    fn add(&self, scores: &mut [f32], found: &[(u32, f32)], weight: f32) {
        let (all, having) = (self.norms.len() as f32, found.len() as f32);
        let rarity = (1.0 + (all - having + 0.5) / (having + 0.5)).ln();
        for (number, strength) in found {
            let number = *number as usize;
            scores[number] += weight * rarity * strength * (K1 + 1.0) / (strength + self.norms[number]);
        }
    }

    /// Words that begin like this one, which nobody has written out.
    fn add_completions(&self, scores: &mut [f32], beginning: &str) {
        if beginning.chars().count() < MIN_BEGINNING {
            return;
        }
        let from = self.words.range(beginning.to_owned()..);
        for (_, found) in from.take_while(|(word, _)| word.starts_with(beginning)).take(MAX_COMPLETIONS) {
            self.add(scores, found, COMPLETION);
        }
    }
}

/// One search over tools that nobody searches twice.
pub fn search<'a, T: Searchable + 'a>(tools: impl IntoIterator<Item = &'a T>, query: &str, limit: usize) -> Vec<usize> {
    ToolIndex::new(tools).search(query, limit)
}

/// How strongly each word of a tool counts.
fn weights(tool: &impl Searchable) -> BTreeMap<String, f32> {
    let mut weights = BTreeMap::new();
    let mut left = MAX_WORDS;
    let mut add = |text: &str, weight: f32| {
        if left > 0 {
            each_word(text, |word| {
                *weights.entry(word).or_insert(0.0) += weight;
                left -= 1;
                left > 0
            });
        }
        left > 0
    };
    add(tool.name(), NAME);
    add(tool.description(), DESCRIPTION);
    each_parameter(tool.parameters(), MAX_DEPTH, &mut |text| add(text, PARAMETERS));
    weights
}

/// Names and descriptions of properties. `each` says whether there is room for more.
fn each_parameter(schema: &Value, depth: usize, each: &mut impl FnMut(&str) -> bool) -> bool {
    let Some(schema) = schema.as_object().filter(|_| depth > 0) else { return true };
    if let Some(properties) = schema.get("properties").and_then(Value::as_object) {
        // The order of keys is not the same in every build.
        let mut names: Vec<&String> = properties.keys().collect();
        names.sort_unstable();
        for name in names {
            let property = &properties[name];
            let description = property.get("description").and_then(Value::as_str).unwrap_or_default();
            if !each(name) || !each(description) || !each_parameter(property, depth - 1, each) {
                return false;
            }
        }
    }
    schema.get("items").is_none_or(|items| each_parameter(items, depth - 1, each))
}

/// Words in lower case without their plural: runs of letters or of digits, parted at a capital inside (`listIssues`).
/// `each` says whether there is room for more.
fn each_word(text: &str, mut each: impl FnMut(String) -> bool) {
    let mut word = String::new();
    let mut before: Option<char> = None;
    let mut chars = text.chars().peekable();
    while let Some(char) = chars.next() {
        let parts = before.is_some_and(|before| {
            before.is_numeric() != char.is_numeric()
                || (before.is_lowercase() && char.is_uppercase())
                || (before.is_uppercase()
                    && char.is_uppercase()
                    && chars.peek().is_some_and(|next| next.is_lowercase()))
        });
        if (parts || !char.is_alphanumeric()) && !word.is_empty() && !each(singular(std::mem::take(&mut word))) {
            return;
        }
        before = char.is_alphanumeric().then_some(char);
        if before.is_some() && word.len() < MAX_WORD_CHARS * 4 {
            word.extend(char.to_lowercase());
        }
    }
    if !word.is_empty() {
        each(singular(word));
    }
}

/// English plurals, as far as endings tell. It need not be right, only the same for a tool and for a query.
fn singular(mut word: String) -> String {
    if let Some((at, _)) = word.char_indices().nth(MAX_WORD_CHARS) {
        word.truncate(at);
    }
    if word.len() > 4 && word.ends_with("ies") {
        word.truncate(word.len() - 3);
        word.push('y');
    } else if word.len() > 3 && word.ends_with('s') && !word.ends_with("ss") && !word.ends_with("us") {
        word.truncate(word.len() - 1);
    }
    word
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    struct Tool(String, String, Value);

    impl Searchable for Tool {
        fn name(&self) -> &str {
            &self.0
        }
        fn description(&self) -> &str {
            &self.1
        }
        fn parameters(&self) -> &Value {
            &self.2
        }
    }

    fn tool(name: &str, description: &str, parameters: Value) -> Tool {
        Tool(name.into(), description.into(), parameters)
    }

    fn office() -> Vec<Tool> {
        let text = || json!({"type": "object", "properties": {"text": {"type": "string"}}});
        vec![
            tool("send_mail", "Sends a message to somebody by mail.", text()),
            tool("crm.listCustomers", "Lists customers of a region.", json!({"properties": {"region": {}}})),
            tool("crm.getInvoice", "Reads one invoice, with what is overdue.", json!({"properties": {"number": {}}})),
            tool(
                "calendar_events",
                "Lists events of a day, with attendees.",
                json!({"properties": {"day": {
                "type": "object", "properties": {"timezone": {"description": "IANA name, such as Europe/Berlin"}}}}}),
            ),
            tool("listXMLExports", "Exports.", json!(true)),
        ]
    }

    fn names(query: &str) -> Vec<String> {
        let tools = office();
        search(&tools, query, 3).into_iter().map(|found| tools[found].0.clone()).collect()
    }

    #[test]
    fn tools_are_found_by_what_they_are_called_say_and_take() {
        for (query, first) in [
            ("which invoices are overdue?", "crm.getInvoice"),
            ("list customer", "crm.listCustomers"),
            ("mail somebody", "send_mail"),
            ("SEND_MAIL", "send_mail"),
            ("who attends events", "calendar_events"),
            ("berlin", "calendar_events"),
            ("xml", "listXMLExports"),
            ("attend", "calendar_events"),
            ("crm.getinvoice", "crm.getInvoice"),
        ] {
            assert_eq!(names(query).first().map(String::as_str), Some(first), "{query}");
        }
        assert_eq!(names("lists").len(), 3, "no more than were asked for");
    }

    #[test]
    fn nothing_is_found_where_no_word_fits() {
        for query in ["", "  ", "zebra", "?!", "qq"] {
            assert!(names(query).is_empty(), "{query}");
        }
        assert!(search(&Vec::<Tool>::new(), "mail", 5).is_empty());
        assert!(search(&office(), "mail", 0).is_empty());
    }

    #[test]
    fn words_are_parted_where_people_part_them() {
        let words = |text: &str| {
            let mut words = Vec::new();
            each_word(text, |word| {
                words.push(word);
                true
            });
            words
        };
        assert_eq!(
            words("getHTTPResponse2xx list_issues/by-label"),
            ["get", "http", "response", "2", "xx", "list", "issue", "by", "label"]
        );
        assert_eq!(words("Größen ÄNDERN 价格"), ["größen", "ändern", "价格"]);
        assert_eq!(
            (singular("queries".into()), singular("status".into()), singular("ss".into())),
            ("query".into(), "status".into(), "ss".into())
        );
    }

    #[test]
    fn nothing_that_a_tool_says_makes_it_endless() {
        let mut deep = json!({"properties": {"end": {}}});
        for _ in 0..100 {
            deep = json!({"properties": {"in": deep}});
        }
        let wide: serde_json::Map<_, _> = (0..5000).map(|number| (format!("p{number}"), json!({}))).collect();
        let tools =
            [tool("deep", &"a".repeat(10_000_000), deep), tool("wide", "needle", json!({ "properties": wide }))];
        let index = ToolIndex::new(&tools);
        assert!(index.words.len() < 2 * MAX_WORDS && index.words.keys().all(|word| word.len() <= MAX_WORD_CHARS));
        assert_eq!(index.search(&"needle ".repeat(100_000), 5), [1]);
    }

    /// Prints what a search costs: `cargo nextest run -p bailiwick-core tool_search --no-capture`.
    #[test]
    #[allow(clippy::disallowed_methods, clippy::print_stdout, reason = "it measures")]
    fn a_search_over_ten_thousand_tools() {
        let verbs = ["get", "list", "create", "update", "delete", "search", "export", "approve"];
        let nouns = ["invoice", "customer", "order", "ticket", "event", "contract", "employee", "shipment", "asset"];
        let tools: Vec<Tool> = (0..10_000)
            .map(|number| {
                let (verb, noun) = (verbs[number % verbs.len()], nouns[number / 7 % nouns.len()]);
                let description = format!("Lets a person {verb} one or more {noun} records of system {number}, by region and date, \
                    with paging; answers with the {noun} and who is responsible for it.");
                let parameters = json!({"type": "object", "properties": {"region": {"description": "where"}, "from": {"description": "first day"},
                    "page": {"description": "which page"}, (format!("{noun}_id")): {"description": "which one"}}});
                tool(&format!("system{number}_{verb}_{noun}"), &description, parameters)
            })
            .collect();
        let started = std::time::Instant::now();
        let index = ToolIndex::new(&tools);
        let built = started.elapsed();
        let mut took: Vec<_> = (0..200)
            .map(|round| {
                let query =
                    format!("{} all overdue {} by region of system {round}", verbs[round % 8], nouns[round % 9]);
                let started = std::time::Instant::now();
                assert_eq!(index.search(&query, 10).len(), 10);
                started.elapsed()
            })
            .collect();
        took.sort();
        println!("10,000 tools: built in {built:?}, searched in {:?} (median), {:?} (99 %)", took[100], took[197]);
    }
}
