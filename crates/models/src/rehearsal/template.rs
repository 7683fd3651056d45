//! `{{ ... }}` in a scenario: values from the conversation. Small and strict; an unknown word is an error.
//!
//! ```text
//! value  = source { "|" filter }
//! source = "user"                 the last message of the user
//!        | "result" LABEL         what the call with this label gave
//!        | "\"" TEXT "\""         this text, for one that holds braces
//! filter = "output"               what a command printed, without the line in brackets after it
//!        | "json" PATH            reads JSON and takes the value at a path such as totals.net or rows.0.id
//!        | "match" "REGEX"        the first group of a regular expression, or all that matched
//!        | "trim"                 without white space around
//! ```

use regex::Regex;
use serde_json::Value;
use std::{borrow::Cow, fmt};

/// The most bytes of a compiled regular expression.
const REGEX_BYTES: usize = 1 << 20;

/// A text with its values cut out.
#[derive(Debug, Clone)]
pub(super) struct Template {
    pieces: Vec<Piece>,
}

#[derive(Debug, Clone)]
enum Piece {
    Text(String),
    Value(Box<Expression>),
}

/// One `{{ ... }}`.
#[derive(Debug, Clone)]
struct Expression {
    source: Source,
    filters: Vec<Filter>,
    /// As it was written.
    text: String,
}

#[derive(Debug, Clone)]
enum Source {
    User,
    Result(String),
    Literal(String),
}

#[derive(Debug, Clone)]
enum Filter {
    Output,
    Json(Vec<String>),
    Match(Regex),
    Trim,
}

/// Where values come from.
pub(super) trait Values {
    fn user(&self) -> Option<Cow<'_, str>>;
    /// What the call with this label gave, if it gave anything yet.
    fn result(&self, label: &str) -> Option<Cow<'_, str>>;
}

/// A value that is not to be had: which, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Missing {
    pub(super) reference: String,
    pub(super) why: String,
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{{{{ {} }}}}`: {}", self.reference, self.why)
    }
}

impl Template {
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let (mut rest, mut pieces) = (text, Vec::new());
        while let Some((before, after)) = rest.split_once("{{") {
            if !before.is_empty() {
                pieces.push(Piece::Text(before.to_owned()));
            }
            let end = end_of(after).ok_or_else(|| format!("`{{{{{after}` has no `}}}}` at its end"))?;
            let expression = Expression::parse(after[..end].trim())?;
            pieces.push(Piece::Value(Box::new(expression)));
            rest = &after[end + 2..];
        }
        if !rest.is_empty() {
            pieces.push(Piece::Text(rest.to_owned()));
        }
        Ok(Self { pieces })
    }

    /// The labels that it refers to.
    pub(super) fn labels(&self) -> impl Iterator<Item = &str> {
        self.pieces.iter().filter_map(|piece| match piece {
            Piece::Value(expression) => match &expression.source {
                Source::Result(label) => Some(label.as_str()),
                Source::User | Source::Literal(_) => None,
            },
            Piece::Text(_) => None,
        })
    }

    /// The text with every value put in. What is no text is written as JSON.
    pub(super) fn text(&self, values: &dyn Values) -> Result<String, Missing> {
        let mut text = String::new();
        for piece in &self.pieces {
            match piece {
                Piece::Text(plain) => text.push_str(plain),
                Piece::Value(expression) => match expression.value(values)? {
                    Value::String(value) => text.push_str(&value),
                    value => text.push_str(&value.to_string()),
                },
            }
        }
        Ok(text)
    }

    /// As [`Template::text`], but a text that is one value and nothing else becomes that value, of whatever type.
    pub(super) fn value(&self, values: &dyn Values) -> Result<Value, Missing> {
        match self.pieces.as_slice() {
            [Piece::Value(expression)] => expression.value(values),
            _ => self.text(values).map(Value::String),
        }
    }
}

/// Where `}}` stands, outside of quotes.
fn end_of(text: &str) -> Option<usize> {
    let (mut quoted, mut escaped, mut before) = (false, false, false);
    for (at, c) in text.char_indices() {
        let closes = !quoted && c == '}';
        if closes && before {
            return Some(at - 1);
        }
        before = closes;
        quoted ^= c == '"' && !escaped;
        escaped = quoted && c == '\\' && !escaped;
    }
    None
}

impl Expression {
    fn parse(text: &str) -> Result<Self, String> {
        let wrong = |problem: String| format!("`{{{{ {text} }}}}`: {problem}");
        let mut steps = split_bars(text).into_iter();
        let first = steps.next().unwrap_or_default();
        let source = match first.split_once(char::is_whitespace) {
            _ if first.starts_with('"') => {
                Source::Literal(unquoted(first).ok_or_else(|| wrong(format!("`{first}` is not one quoted text")))?)
            }
            None if first == "user" => Source::User,
            Some(("result", label)) if is_label(label.trim()) => Source::Result(label.trim().to_owned()),
            _ => {
                return Err(wrong(format!(
                    "`{first}` is not a source; write `user`, `result LABEL` or a text in double quotes"
                )));
            }
        };
        let filters = steps.map(|step| Filter::parse(step).map_err(wrong)).collect::<Result<_, _>>()?;
        Ok(Self { source, filters, text: text.to_owned() })
    }

    fn value(&self, values: &dyn Values) -> Result<Value, Missing> {
        let missing = |why: String| Missing { reference: self.text.clone(), why };
        let text = match &self.source {
            Source::Literal(text) => Cow::Borrowed(text.as_str()),
            Source::User => values.user().ok_or_else(|| missing("there is no message of the user".to_owned()))?,
            Source::Result(label) => {
                values.result(label).ok_or_else(|| missing(format!("the call `{label}` has given no result yet")))?
            }
        };
        let mut value = Value::String(text.into_owned());
        for filter in &self.filters {
            value = filter.apply(value).map_err(missing)?;
        }
        Ok(value)
    }
}

impl Filter {
    fn parse(step: &str) -> Result<Self, String> {
        let (name, argument) = step.split_once(char::is_whitespace).unwrap_or((step, ""));
        let argument = argument.trim();
        match (name, argument) {
            ("trim", "") => Ok(Self::Trim),
            ("output", "") => Ok(Self::Output),
            ("json", "") => Ok(Self::Json(Vec::new())),
            ("json", path) if !path.contains(char::is_whitespace) => {
                Ok(Self::Json(path.split('.').map(str::to_owned).collect()))
            }
            ("match", quoted) => {
                let pattern = unquoted(quoted)
                    .ok_or_else(|| format!("`{step}`: write the regular expression in double quotes"))?;
                let regex = regex::RegexBuilder::new(&pattern).size_limit(REGEX_BYTES).build();
                regex.map(Self::Match).map_err(|error| format!("`{step}`: {error}"))
            }
            _ => Err(format!("`{step}` is not a filter; write `output`, `json PATH`, `match \"REGEX\"` or `trim`")),
        }
    }

    fn apply(&self, value: Value) -> Result<Value, String> {
        match self {
            Self::Trim => Ok(Value::String(into_text(value).trim().to_owned())),
            Self::Output => {
                let text = into_text(value);
                let (printed, last) = text.trim_end().rsplit_once('\n').unwrap_or(("", text.trim_end()));
                if last.starts_with('[') && last.ends_with(']') {
                    Ok(Value::String(printed.to_owned()))
                } else {
                    Err(format!("{} is not what a command gives: no line in brackets is at its end", shown(&text)))
                }
            }
            Self::Match(regex) => {
                let text = into_text(value);
                let found =
                    regex.captures(&text).ok_or_else(|| format!("`{regex}` matches nothing in {}", shown(&text)))?;
                let group = found.get(1).or_else(|| found.get(0)).map(|group| group.as_str().to_owned());
                Ok(Value::String(group.unwrap_or_default()))
            }
            Self::Json(path) => {
                let value = match value {
                    Value::String(text) => {
                        serde_json::from_str(&text).map_err(|error| format!("{} is not JSON: {error}", shown(&text)))?
                    }
                    value => value,
                };
                let step = |value: Value, key: &String| match value {
                    Value::Object(mut map) => map.remove(key).ok_or_else(|| format!("there is no `{key}` in it")),
                    Value::Array(mut list) => match key.parse::<usize>() {
                        Ok(place) if place < list.len() => Ok(list.swap_remove(place)),
                        _ => Err(format!("there is no place `{key}` in a list of {}", list.len())),
                    },
                    _ => Err(format!("there is nothing below `{key}`'s place")),
                };
                path.iter().try_fold(value, step)
            }
        }
    }
}

/// What stands in double quotes, as it is but for `\"`, which is a double quote. Backslashes stay, as a regular
/// expression wants them.
fn unquoted(text: &str) -> Option<String> {
    let inner = text.strip_prefix('"')?.strip_suffix('"')?;
    let (mut plain, mut escaped) = (String::with_capacity(inner.len()), false);
    for c in inner.chars() {
        match c {
            '"' if !escaped => return None,
            '"' => {
                plain.pop();
                plain.push('"');
            }
            c => plain.push(c),
        }
        escaped = c == '\\' && !escaped;
    }
    (!escaped).then_some(plain)
}

/// Bars outside of quotes.
fn split_bars(text: &str) -> Vec<&str> {
    let (mut quoted, mut escaped, mut from, mut parts) = (false, false, 0, Vec::new());
    for (at, c) in text.char_indices() {
        if c == '|' && !quoted {
            parts.push(text[from..at].trim());
            from = at + 1;
        }
        quoted ^= c == '"' && !escaped;
        escaped = quoted && c == '\\' && !escaped;
    }
    parts.push(text[from..].trim());
    parts
}

/// 1 to 20 letters, digits and underscores: a label is part of a call id, which has 64 characters at most.
pub(super) fn is_label(text: &str) -> bool {
    (1..=20).contains(&text.len()) && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

fn into_text(value: Value) -> String {
    match value {
        Value::String(text) => text,
        value => value.to_string(),
    }
}

/// The beginning of a text, for an error.
fn shown(text: &str) -> String {
    let start: String = text.chars().take(80).map(|c| if c.is_control() { ' ' } else { c }).collect();
    let more = if text.chars().nth(80).is_some() { "…" } else { "" };
    format!("`{start}{more}`")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    struct Fixed;

    impl Values for Fixed {
        fn user(&self) -> Option<Cow<'_, str>> {
            Some(" Audit ledger-7.csv ".into())
        }

        fn result(&self, label: &str) -> Option<Cow<'_, str>> {
            match label {
                "profile" => Some(r#"{"totals":{"net":12.5,"rows":[{"id":"a}}b"}]},"ok":true}"#.into()),
                "command" => Some("{\"net\":\n7}\n[exit code 0]".into()),
                "silent" => Some("[exit code 1]".into()),
                "log" => Some("started\nprocess act_17 | running\n".into()),
                _ => None,
            }
        }
    }

    fn text(template: &str) -> Result<String, String> {
        Template::parse(template)?.text(&Fixed).map_err(|missing| missing.to_string())
    }

    #[test]
    fn values_come_from_the_user_and_from_results_through_filters() {
        assert_eq!(text("no values, a } and a {").unwrap(), "no values, a } and a {");
        assert_eq!(
            text("Net {{ result profile | json totals.net }} of {{user|trim}}.").unwrap(),
            "Net 12.5 of Audit ledger-7.csv."
        );
        assert_eq!(text("{{ result profile | json totals.rows.0.id }}").unwrap(), "a}}b");
        assert_eq!(text(r#"{{ result log | match "process (\w+) \| " }}"#).unwrap(), "act_17");
        assert_eq!(text(r#"{{ user | match "ledger.*csv" }}"#).unwrap(), "ledger-7.csv");
        assert_eq!(text("{{ result profile | json totals.rows }}").unwrap(), r#"[{"id":"a}}b"}]"#);
        assert_eq!(text("{{ result command | output | json net }}|{{ result silent | output }}").unwrap(), "7|");
        assert_eq!(text(r#"f"{{ "{{x}}" }}" {{ "a\"}}" }}"#).unwrap(), r#"f"{{x}}" a"}}"#);
        assert_eq!(text(r#"{{ "say \"a\\b\"" | match "\"(.*)\"" }}"#).unwrap(), r"a\\b");
        let typed = Template::parse("{{ result profile | json ok }}").unwrap().value(&Fixed).unwrap();
        assert_eq!(typed, json!(true));
        let texted = Template::parse("is {{ result profile | json ok }}").unwrap().value(&Fixed).unwrap();
        assert_eq!(texted, json!("is true"));
    }

    #[test]
    fn what_is_not_understood_is_refused_and_named() {
        for (template, part) in [
            ("{{ user", "no `}}`"),
            ("{{ }}", "not a source"),
            ("{{ result }}", "not a source"),
            ("{{ result two words }}", "not a source"),
            ("{{ user | upper }}", "`upper` is not a filter"),
            ("{{ user | json a b }}", "not a filter"),
            ("{{ \"a }}\" b }}", "not one quoted text"),
            ("{{ user | match a }}", "double quotes"),
            (r#"{{ user | match "(" }}"#, "unclosed group"),
            (r#"{{ user | match "a" "b" }}"#, "in double quotes"),
        ] {
            let error = Template::parse(template).unwrap_err();
            assert!(error.contains(part), "{template}: {error}");
        }
    }

    #[test]
    fn what_is_not_there_is_an_error_that_names_the_reference() {
        for (template, part) in [
            ("{{ result other }}", "`{{ result other }}`: the call `other` has given no result yet"),
            ("{{ result log | json a }}", "is not JSON"),
            ("{{ result log | output }}", "no line in brackets"),
            ("{{ result profile | json totals.gross }}", "no `gross`"),
            ("{{ result profile | json totals.rows.1 }}", "list of 1"),
            ("{{ result profile | json ok.a }}", "nothing below"),
            (r#"{{ user | match "z+" }}"#, "matches nothing"),
        ] {
            let error = text(template).unwrap_err();
            assert!(error.contains(part), "{template}: {error}");
        }
    }

    proptest! {
        #[test]
        fn no_template_makes_it_panic(template in "([a-z{}|\" \\\\.é]|\\{\\{ ?user ?|\\}\\}|result profile|json|match){0,20}") {
            let _ = text(&template);
        }
    }
}
