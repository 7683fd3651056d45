//! Schemas of OpenAPI as JSON Schemas (2020-12) that stand alone.
//!
//! What a schema refers to becomes one of its own `$defs`, each once, so that cycles stay cycles and nothing is copied
//! without end. Only keywords that mean something are kept, and only with values that they may have. A schema that
//! becomes too large is cut where it is deepest: what is cut admits everything, and says so.

use super::{Document, Names, missing, pointer};
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, HashMap, VecDeque};

/// About how many bytes one tool's schema may have.
const MAX_BYTES: usize = 48 * 1024;
/// Schemas that one tool may refer to.
const MAX_DEFINITIONS: usize = 200;
/// How deep a schema may be without a reference.
const MAX_DEPTH: usize = 24;
const MAX_DESCRIPTION: usize = 600;
const MAX_ENUM: usize = 200;
/// Parts of one `oneOf`, and properties of one object; where there are more, none is looked at.
const MAX_PARTS: usize = 200;
const MAX_PROPERTIES: usize = 1000;
/// The longest text of a default, a constant or a pattern.
const MAX_TEXT: usize = 400;

pub(crate) struct Converter<'d> {
    document: &'d Document,
    names: Names,
    /// The name of the definition for each pointer that was met.
    known: HashMap<String, String>,
    waiting: VecDeque<String>,
    left: usize,
}

impl<'d> Converter<'d> {
    pub fn new(document: &'d Document) -> Self {
        let (names, known, waiting) = (Names::default(), HashMap::new(), VecDeque::new());
        Self { document, names, known, waiting, left: MAX_BYTES }
    }

    /// One schema; what it refers to comes with [`Converter::definitions`].
    ///
    /// # Errors
    /// A reference that leads out of the document or to nothing.
    pub fn convert(&mut self, schema: &Value) -> Result<Value, String> {
        self.schema(schema, 0)
    }

    /// Everything that was referred to, by name.
    pub fn definitions(mut self) -> Result<Map<String, Value>, String> {
        let mut made: BTreeMap<String, Value> = BTreeMap::new();
        while let Some(pointer) = self.waiting.pop_front() {
            let schema = self.document.at(&pointer).ok_or_else(|| missing(&format!("#{pointer}")))?;
            let converted = self.schema(schema, 0)?;
            made.insert(self.known[&pointer].clone(), converted);
        }
        cut_circles(&mut made);
        Ok(made.into_iter().collect())
    }

    fn schema(&mut self, schema: &Value, depth: usize) -> Result<Value, String> {
        let fields = match schema {
            Value::Bool(_) => return Ok(schema.clone()),
            Value::Object(fields) => fields,
            _ => return Ok(json!({})),
        };
        if depth > MAX_DEPTH || !self.pay(16) {
            return Ok(cut());
        }
        if let Some(reference) = fields.get("$ref").and_then(Value::as_str) {
            let mut made = self.reference(reference)?;
            if let (Some(text), Some(made)) = (self.text(fields, "description"), made.as_object_mut()) {
                made.insert("description".into(), text);
            }
            return Ok(self.or_null(fields, made));
        }
        let mut made = Map::new();
        self.annotate(fields, &mut made);
        self.constrain(fields, &mut made);
        self.compose(fields, &mut made, depth)?;
        self.object(fields, &mut made, depth)?;
        self.array(fields, &mut made, depth)?;
        type_of(fields, &mut made);
        Ok(self.or_null(fields, Value::Object(made)))
    }

    fn reference(&mut self, reference: &str) -> Result<Value, String> {
        let pointer = pointer(reference)?;
        if self.document.at(&pointer).is_none() {
            return Err(missing(reference));
        }
        if let Some(name) = self.known.get(&pointer) {
            return Ok(json!({"$ref": format!("#/$defs/{name}")}));
        }
        if self.known.len() >= MAX_DEFINITIONS {
            return Ok(cut());
        }
        let last = pointer.rsplit('/').next().unwrap_or_default();
        let name = self.names.give(last, "schema");
        self.known.insert(pointer.clone(), name.clone());
        self.waiting.push_back(pointer);
        Ok(json!({"$ref": format!("#/$defs/{name}")}))
    }

    /// Takes from what the schema may still become.
    fn pay(&mut self, bytes: usize) -> bool {
        let enough = self.left >= bytes;
        self.left = self.left.saturating_sub(bytes);
        enough
    }

    fn text(&mut self, fields: &Map<String, Value>, name: &str) -> Option<Value> {
        let text = fields.get(name)?.as_str().filter(|text| !text.trim().is_empty())?;
        let text = shortened(text, MAX_DESCRIPTION);
        self.pay(text.len()).then_some(Value::String(text))
    }

    fn annotate(&mut self, fields: &Map<String, Value>, made: &mut Map<String, Value>) {
        for name in ["title", "description"] {
            if let Some(text) = self.text(fields, name) {
                made.insert(name.into(), text);
            }
        }
        if fields.get("deprecated").and_then(Value::as_bool) == Some(true) {
            made.insert("deprecated".into(), Value::Bool(true));
        }
        for name in ["default", "const"] {
            if let Some(value) = fields.get(name)
                && is_short(value)
                && self.pay(MAX_TEXT)
            {
                made.insert(name.into(), value.clone());
            }
        }
        // Whoever reads the schema is told how to choose; what is chosen from is in `oneOf`.
        if let Some(discriminator) = fields.get("discriminator").filter(|_| self.pay(MAX_TEXT)) {
            let property = discriminator.get("propertyName").and_then(Value::as_str).unwrap_or_default();
            let values = discriminator.get("mapping").and_then(Value::as_object);
            let values = values.filter(|values| values.len() <= MAX_PARTS).map(sorted).unwrap_or_default();
            let values: Vec<&str> = values.into_iter().map(|(name, _)| name.as_str()).take(20).collect();
            let said = made.get("description").and_then(Value::as_str).unwrap_or_default();
            let kinds = if values.is_empty() { String::new() } else { format!(": {}", values.join(", ")) };
            let told = shortened(format!("{said} `{property}` says which kind it is{kinds}.").trim(), MAX_DESCRIPTION);
            made.insert("description".into(), Value::String(told));
        }
    }

    fn constrain(&mut self, fields: &Map<String, Value>, made: &mut Map<String, Value>) {
        const COUNTS: [&str; 8] = [
            "minLength",
            "maxLength",
            "minItems",
            "maxItems",
            "minProperties",
            "maxProperties",
            "minContains",
            "maxContains",
        ];
        for name in COUNTS {
            if let Some(count) = fields.get(name).filter(|count| count.is_u64()) {
                made.insert(name.into(), count.clone());
            }
        }
        for name in ["minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"] {
            if let Some(number) = fields.get(name).filter(|number| number.is_number()) {
                made.insert(name.into(), number.clone());
            }
        }
        if let Some(step) = fields.get("multipleOf").filter(|step| step.as_f64().is_some_and(|step| step > 0.0)) {
            made.insert("multipleOf".into(), step.clone());
        }
        // In 3.0 these are flags that say how the bounds are meant.
        for (flag, bound) in [("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")] {
            if fields.get(flag).and_then(Value::as_bool) == Some(true)
                && let Some(bound) = made.remove(bound)
            {
                made.insert(flag.into(), bound);
            }
        }
        if let Some(format) = fields.get("format").and_then(Value::as_str).filter(|format| format.len() <= 40) {
            made.insert("format".into(), Value::String(format.to_owned()));
        }
        // One that takes its time, or that not everybody reads in the same way, is the service's to check.
        if let Some(pattern) = fields.get("pattern").and_then(Value::as_str)
            && pattern.len() <= MAX_TEXT
            && regex::RegexBuilder::new(pattern).size_limit(100_000).build().is_ok()
            && self.pay(pattern.len())
        {
            made.insert("pattern".into(), Value::String(pattern.to_owned()));
        }
        if let Some(values) = fields.get("enum").and_then(Value::as_array) {
            let short = !values.is_empty() && values.len() <= MAX_ENUM && values.iter().all(is_short);
            if short && self.pay(values.iter().map(size).sum()) {
                let mut unique: Vec<Value> = Vec::new();
                values.iter().for_each(|value| {
                    if !unique.contains(value) {
                        unique.push(value.clone())
                    }
                });
                made.insert("enum".into(), Value::Array(unique));
            }
        }
    }

    fn compose(
        &mut self,
        fields: &Map<String, Value>,
        made: &mut Map<String, Value>,
        depth: usize,
    ) -> Result<(), String> {
        for name in ["allOf", "anyOf", "oneOf"] {
            let Some(parts) =
                fields.get(name).and_then(Value::as_array).filter(|parts| (1..=MAX_PARTS).contains(&parts.len()))
            else {
                continue;
            };
            let parts: Result<Vec<Value>, String> = parts.iter().map(|part| self.schema(part, depth + 1)).collect();
            made.insert(name.into(), Value::Array(parts?));
        }
        for name in ["not", "if", "then", "else", "propertyNames", "contains"] {
            if let Some(part) = fields.get(name) {
                let part = self.schema(part, depth + 1)?;
                // What was cut admits everything, and its opposite nothing.
                if part != cut() || name != "not" {
                    made.insert(name.into(), part);
                }
            }
        }
        Ok(())
    }

    fn object(
        &mut self,
        fields: &Map<String, Value>,
        made: &mut Map<String, Value>,
        depth: usize,
    ) -> Result<(), String> {
        let mut left_out: Vec<&str> = Vec::new();
        let mut is_whole = true;
        let properties = fields.get("properties").and_then(Value::as_object);
        is_whole &= properties.is_none_or(|properties| properties.len() <= MAX_PROPERTIES);
        if let Some(properties) = properties.filter(|_| is_whole) {
            let mut converted = Map::new();
            for (name, property) in sorted(properties) {
                if property.get("readOnly").and_then(Value::as_bool) == Some(true) {
                    left_out.push(name);
                } else if self.pay(name.len()) {
                    converted.insert(name.clone(), self.schema(property, depth + 1)?);
                } else {
                    is_whole = false;
                }
            }
            made.insert("properties".into(), Value::Object(converted));
        }
        let required = fields.get("required").and_then(Value::as_array);
        if let Some(required) = required.filter(|required| required.len() <= MAX_PROPERTIES) {
            let mut names: Vec<&str> = required.iter().filter_map(Value::as_str).collect();
            names.retain(|name| !left_out.contains(name));
            names.sort_unstable();
            names.dedup();
            if !names.is_empty() && self.pay(names.iter().map(|name| name.len() + 3).sum()) {
                made.insert("required".into(), json!(names));
            }
        }
        for name in ["additionalProperties", "unevaluatedProperties"] {
            match fields.get(name) {
                // Where properties were left out for their size they must still be admitted.
                Some(Value::Bool(false)) if !is_whole => {}
                Some(more) => {
                    made.insert(name.into(), self.schema(more, depth + 1)?);
                }
                None => {}
            }
        }
        Ok(())
    }

    fn array(
        &mut self,
        fields: &Map<String, Value>,
        made: &mut Map<String, Value>,
        depth: usize,
    ) -> Result<(), String> {
        if let Some(items) = fields.get("items").filter(|items| items.is_object() || items.is_boolean()) {
            made.insert("items".into(), self.schema(items, depth + 1)?);
        }
        if let Some(first) =
            fields.get("prefixItems").and_then(Value::as_array).filter(|first| (1..=MAX_PARTS).contains(&first.len()))
        {
            let first: Result<Vec<Value>, String> = first.iter().map(|one| self.schema(one, depth + 1)).collect();
            made.insert("prefixItems".into(), Value::Array(first?));
        }
        if fields.get("uniqueItems").and_then(Value::as_bool) == Some(true) {
            made.insert("uniqueItems".into(), Value::Bool(true));
        }
        Ok(())
    }

    /// `nullable` of 3.0.
    fn or_null(&self, fields: &Map<String, Value>, made: Value) -> Value {
        if !self.document.is_3_0() || fields.get("nullable").and_then(Value::as_bool) != Some(true) {
            return made;
        }
        let Value::Object(mut made) = made else { return made };
        let composed = ["allOf", "anyOf", "oneOf", "not", "$ref"].iter().any(|name| made.contains_key(*name));
        match made.get("type").cloned() {
            Some(Value::String(name)) if !composed => {
                made.insert("type".into(), json!([name, "null"]));
                admit_null(&mut made);
                Value::Object(made)
            }
            None if !composed => {
                admit_null(&mut made);
                Value::Object(made)
            }
            _ => json!({"anyOf": [made, {"type": "null"}]}),
        }
    }
}

fn admit_null(made: &mut Map<String, Value>) {
    if let Some(Value::Array(values)) = made.get_mut("enum")
        && !values.contains(&Value::Null)
    {
        values.push(Value::Null);
    }
}

/// Keys in order: that of the document is not the same in every build.
pub(super) fn sorted(fields: &Map<String, Value>) -> Vec<(&String, &Value)> {
    let mut sorted: Vec<_> = fields.iter().collect();
    sorted.sort_unstable_by_key(|(name, _)| *name);
    sorted
}

/// The type, or what follows from the keywords that only one type has.
fn type_of(fields: &Map<String, Value>, made: &mut Map<String, Value>) {
    const TYPES: [&str; 7] = ["string", "number", "integer", "boolean", "array", "object", "null"];
    let known = |value: &Value| value.as_str().is_some_and(|name| TYPES.contains(&name));
    match fields.get("type") {
        Some(name) if known(name) => {
            made.insert("type".into(), name.clone());
        }
        Some(Value::Array(names)) if !names.is_empty() && names.iter().all(known) => {
            let mut unique: Vec<&Value> = Vec::new();
            names.iter().for_each(|name| {
                if !unique.contains(&name) {
                    unique.push(name)
                }
            });
            made.insert("type".into(), json!(unique));
        }
        Some(_) => {}
        None if ["properties", "additionalProperties"].iter().any(|name| made.contains_key(*name)) => {
            made.insert("type".into(), "object".into());
        }
        None if ["items", "prefixItems"].iter().any(|name| made.contains_key(*name)) => {
            made.insert("type".into(), "array".into());
        }
        None => {}
    }
}

fn cut() -> Value {
    json!({"description": "Not described here: too large. The service's own documentation says more."})
}

pub(super) fn shortened(text: &str, limit: usize) -> String {
    let text = text.trim();
    match text.char_indices().nth(limit) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}

fn is_short(value: &Value) -> bool {
    size(value) <= MAX_TEXT
}

/// About how long a value is as a text, as far as that is worth knowing.
fn size(value: &Value) -> usize {
    match value {
        Value::String(text) => text.len() + 2,
        Value::Array(values) => values.iter().take(MAX_TEXT).map(size).sum::<usize>() + 2,
        Value::Object(fields) => {
            fields.iter().take(MAX_TEXT).map(|(name, value)| name.len() + size(value)).sum::<usize>() + 2
        }
        _ => 8,
    }
}

/// Keywords whose schemas speak about the same value as the one that they stand in.
const IN_PLACE: [&str; 3] = ["allOf", "anyOf", "oneOf"];
const IN_PLACE_ONE: [&str; 4] = ["not", "if", "then", "else"];

/// Cuts circles of schemas that all speak about the same value, such as a kind that is all of a base which is one of its
/// kinds: checking a value against one would never end. Circles through properties and items end with the value.
fn cut_circles(definitions: &mut BTreeMap<String, Value>) {
    let names: Vec<String> = definitions.keys().cloned().collect();
    // The way from a kind to its base is cut first: the base's own words stand in its place, and the base still says which
    // kinds there are.
    for name in &names {
        for base in bases(definitions.get_mut(name)) {
            if reaches(definitions, &base, name) {
                replace(definitions, name, &base, true);
            }
        }
    }
    let mut done: HashMap<String, bool> = HashMap::new();
    for name in &names {
        visit(name, definitions, &mut done);
    }
}

/// What a definition is all of.
fn bases(schema: Option<&mut Value>) -> Vec<String> {
    let mut found = Vec::new();
    if let Some(schema) = schema {
        in_place(schema, &mut |part| found.extend(all_of(part).iter().filter_map(target)));
    }
    found.sort_unstable();
    found.dedup();
    found
}

fn all_of(schema: &Value) -> &[Value] {
    schema.get("allOf").and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// Whether `to` speaks about every value that `from` speaks about, itself included.
fn reaches(definitions: &mut BTreeMap<String, Value>, from: &str, to: &str) -> bool {
    let (mut seen, mut waiting) = (Vec::new(), vec![from.to_owned()]);
    while let Some(name) = waiting.pop() {
        if name == to {
            return true;
        }
        if seen.contains(&name) {
            continue;
        }
        if let Some(schema) = definitions.get_mut(&name) {
            in_place(schema, &mut |part| waiting.extend(target(part)));
        }
        seen.push(name);
    }
    false
}

/// Puts what `target` says itself in the place of references to it; `bases_only`: of those in an `allOf`.
fn replace(definitions: &mut BTreeMap<String, Value>, name: &str, target_name: &str, bases_only: bool) {
    let own = definitions.get(target_name).map_or_else(|| json!({}), without_composition);
    let Some(schema) = definitions.get_mut(name) else { return };
    let is_it = |part: &Value| target(part).as_deref() == Some(target_name);
    in_place(schema, &mut |part| {
        if bases_only {
            let parts = part.get_mut("allOf").and_then(Value::as_array_mut);
            parts.into_iter().flatten().filter(|one| is_it(one)).for_each(|one| *one = own.clone());
        } else if is_it(part) {
            *part = own.clone();
        }
    });
}

/// `done` holds `false` for what is being visited. Recursion is bounded by the number of definitions.
fn visit(name: &str, definitions: &mut BTreeMap<String, Value>, done: &mut HashMap<String, bool>) {
    if done.contains_key(name) {
        return;
    }
    done.insert(name.to_owned(), false);
    let mut targets = Vec::new();
    if let Some(schema) = definitions.get_mut(name) {
        in_place(schema, &mut |part| targets.extend(target(part)));
    }
    targets.sort_unstable();
    targets.dedup();
    for target_name in targets {
        if done.get(&target_name) != Some(&false) {
            visit(&target_name, definitions, done);
            continue;
        }
        replace(definitions, name, &target_name, false);
    }
    done.insert(name.to_owned(), true);
}

/// Every schema that speaks about the same value as this one, itself first.
fn in_place(schema: &mut Value, each: &mut impl FnMut(&mut Value)) {
    each(schema);
    let Some(fields) = schema.as_object_mut() else { return };
    for name in IN_PLACE {
        let parts = fields.get_mut(name).and_then(Value::as_array_mut);
        parts.into_iter().flatten().for_each(|part| in_place(part, each));
    }
    for name in IN_PLACE_ONE {
        if let Some(part) = fields.get_mut(name) {
            in_place(part, each);
        }
    }
    // What was cut admits everything, and its opposite would admit nothing.
    if fields.get("not") == Some(&json!({})) {
        fields.remove("not");
    }
}

fn target(schema: &Value) -> Option<String> {
    schema.get("$ref")?.as_str()?.strip_prefix("#/$defs/").map(str::to_owned)
}

/// What a schema says itself.
fn without_composition(schema: &Value) -> Value {
    let Some(fields) = schema.as_object() else { return json!({}) };
    let mut own = fields.clone();
    own.retain(|name, _| {
        let name = name.as_str();
        name != "$ref" && !IN_PLACE.contains(&name) && !IN_PLACE_ONE.contains(&name) && !name.starts_with("unevaluated")
    });
    Value::Object(own)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn convert(version: &str, schema: Value, schemas: Value) -> Result<Value, String> {
        let document = json!({"openapi": version, "paths": {}, "components": {"schemas": schemas}});
        let document = Document::read(&document.to_string(), None).unwrap();
        let mut converter = Converter::new(&document);
        let mut made = converter.convert(&schema)?;
        let definitions = converter.definitions()?;
        if !definitions.is_empty() {
            made["$defs"] = Value::Object(definitions);
        }
        jsonschema::meta::validate(&made).expect("a JSON Schema");
        Ok(made)
    }

    fn accepts(schema: &Value, value: Value) -> bool {
        jsonschema::validator_for(schema).unwrap().is_valid(&value)
    }

    #[test]
    fn what_3_0_says_in_its_own_way_is_said_in_json_schemas() {
        let schema = json!({"properties": {
            "name": {"type": "string", "nullable": true, "enum": ["a", "b"], "example": "a", "x-more": 1, "xml": {}},
            "age": {"type": "integer", "minimum": 0, "exclusiveMinimum": true, "maximum": 9, "exclusiveMaximum": false},
            "id": {"type": "string", "readOnly": true},
            "pet": {"$ref": "#/components/schemas/Pet", "nullable": true},
            "when": {"type": "date", "minLength": "3", "pattern": "(?<=a)b", "maxLength": 4},
        }, "required": ["id", "name", 7]});
        let made = convert("3.0.3", schema, json!({"Pet": {"type": "object", "required": ["kind"]}})).unwrap();
        assert_eq!(made["type"], "object");
        assert_eq!(made["required"], json!(["name"]));
        assert_eq!(made["properties"]["name"], json!({"type": ["string", "null"], "enum": ["a", "b", null]}));
        assert_eq!(made["properties"]["age"], json!({"type": "integer", "exclusiveMinimum": 0, "maximum": 9}));
        assert_eq!(made["properties"]["when"], json!({"maxLength": 4}));
        assert!(made["properties"].get("id").is_none());
        assert!(
            accepts(&made, json!({"name": null, "pet": null}))
                && accepts(&made, json!({"name": "a", "pet": {"kind": 1}}))
        );
        assert!(!accepts(&made, json!({"name": "c"})) && !accepts(&made, json!({"name": "a", "pet": {}})));
    }

    #[test]
    fn what_3_1_says_stays() {
        let schema = json!({"type": ["string", "null"], "const": "x", "examples": ["x"], "$id": "http://else/", "$comment": "c"});
        assert_eq!(convert("3.1.0", schema, json!({})).unwrap(), json!({"type": ["string", "null"], "const": "x"}));
        let tuple = json!({"prefixItems": [{"type": "string"}, true], "items": false});
        assert_eq!(convert("3.1.0", tuple, json!({})).unwrap()["type"], "array");
    }

    #[test]
    fn circles_through_properties_stay_and_others_are_cut() {
        let schemas = json!({
            "Node": {"type": "object", "properties": {"next": {"$ref": "#/components/schemas/Node"}, "name": {"type": "string"}}},
            "Pet": {"type": "object", "required": ["kind"], "properties": {"kind": {"type": "string"}},
                "discriminator": {"propertyName": "kind", "mapping": {"cat": "#/components/schemas/Cat", "dog": "Dog"}},
                "oneOf": [{"$ref": "#/components/schemas/Cat"}, {"$ref": "#/components/schemas/Dog"}]},
            "Cat": {"allOf": [{"$ref": "#/components/schemas/Pet"}, {"required": ["lives"]}]},
            "Dog": {"allOf": [{"$ref": "#/components/schemas/Pet"}, {"required": ["bark"]}]},
            "A": {"$ref": "#/components/schemas/B"},
            "B": {"$ref": "#/components/schemas/A"},
            "Self": {"not": {"$ref": "#/components/schemas/Self"}},
        });
        let schema = json!({"properties": {"node": {"$ref": "#/components/schemas/Node"}, "pet": {"$ref": "#/components/schemas/Pet"},
            "loop": {"$ref": "#/components/schemas/A"}, "self": {"$ref": "#/components/schemas/Self"}}});
        let made = convert("3.1.0", schema, schemas).unwrap();
        assert!(accepts(&made, json!({"node": {"next": {"next": {"name": "x"}}}, "loop": 1})));
        assert!(!accepts(&made, json!({"node": {"next": {"next": {"name": 1}}}})));
        assert!(accepts(&made, json!({"pet": {"kind": "cat", "lives": 9}})));
        for wrong in [json!({"kind": "cat"}), json!({"lives": 9}), json!({"kind": "x", "lives": 9, "bark": 1})] {
            assert!(!accepts(&made, json!({ "pet": wrong })));
        }
        let told = made["$defs"]["Pet"]["description"].as_str().unwrap();
        assert_eq!(told, "`kind` says which kind it is: cat, dog.");
    }

    #[test]
    fn references_that_lead_elsewhere_are_refused() {
        for reference in [
            "https://evil.example/schema.json#/X",
            "other.yaml#/X",
            "/etc/passwd",
            "#anchor",
            "#/components/schemas/None",
            "file:///x",
        ] {
            let problem = convert("3.1.0", json!({"items": {"$ref": reference}}), json!({})).unwrap_err();
            assert!(problem.contains("reference"), "{reference}: {problem}");
        }
    }

    #[test]
    fn what_is_too_large_is_cut_and_admits_what_was_cut() {
        let properties: Map<String, Value> = (0..900)
            .map(|number| (format!("property_{number:05}"), json!({"type": "string", "description": "d".repeat(100)})))
            .collect();
        let schema = json!({"type": "object", "properties": properties, "additionalProperties": false});
        let made = convert("3.1.0", schema, json!({})).unwrap();
        assert!(made.to_string().len() < 3 * MAX_BYTES, "{}", made.to_string().len());
        assert!(accepts(&made, json!({"property_00899": 1})));
        let many: Map<String, Value> =
            (0..5000).map(|number| (number.to_string(), json!({"type": "string"}))).collect();
        let many = json!({"properties": many, "additionalProperties": false, "required": ["1"]});
        assert!(accepts(&convert("3.1.0", many, json!({})).unwrap(), json!({"1": 1})));
        let mut deep = json!({"type": "string"});
        for _ in 0..50 {
            deep = json!({"properties": {"in": deep}});
        }
        let long = json!({"description": "x".repeat(10_000_000), "enum": (0..1000).collect::<Vec<u32>>()});
        assert!(
            convert("3.1.0", json!({"properties": {"deep": deep, "long": long}}), json!({})).unwrap().to_string().len()
                < 10_000
        );
    }
}
