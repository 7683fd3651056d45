//! Whether a JSON Schema may be sent with `strict: true`, and what to call it.
//!
//! Rules: OpenAI's guide "Structured model outputs", section "Supported schemas": every object closes itself with
//! `additionalProperties: false` and requires all its properties, and only some keywords are known. A schema that
//! breaks a rule is sent without `strict`; the provider would refuse the whole request otherwise.

use serde_json::Value;

/// Deeper schemas are not sent as strict ones.
const MAX_DEPTH: u32 = 10;

pub(crate) fn is_strict(schema: &Value) -> bool {
    schema.get("type").and_then(Value::as_str) == Some("object") && schema.get("anyOf").is_none() && strict(schema, 0)
}

fn strict(schema: &Value, depth: u32) -> bool {
    const KNOWN: [&str; 23] = [
        "$defs",
        "$ref",
        "additionalProperties",
        "anyOf",
        "const",
        "definitions",
        "description",
        "enum",
        "exclusiveMaximum",
        "exclusiveMinimum",
        "format",
        "items",
        "maxItems",
        "maximum",
        "minItems",
        "minimum",
        "multipleOf",
        "pattern",
        "properties",
        "required",
        "title",
        "type",
        "$schema",
    ];
    let Value::Object(map) = schema else { return false };
    if depth > MAX_DEPTH || !map.keys().all(|key| KNOWN.contains(&key.as_str())) {
        return false;
    }
    let is_object = match map.get("type") {
        Some(Value::String(kind)) => kind == "object",
        Some(Value::Array(kinds)) => kinds.iter().any(|kind| kind == "object"),
        _ => map.contains_key("properties"),
    };
    if is_object && !closed(map) {
        return false;
    }
    let below = |key: &str| map.get(key).and_then(Value::as_object).into_iter().flat_map(|inner| inner.values());
    let inner = ["properties", "$defs", "definitions"].into_iter().flat_map(below);
    let branches = map.get("anyOf").and_then(Value::as_array).into_iter().flatten();
    inner.chain(branches).chain(map.get("items")).all(|schema| strict(schema, depth + 1))
}

/// No property may be added and none left out.
fn closed(map: &serde_json::Map<String, Value>) -> bool {
    let none = serde_json::Map::new();
    let properties = map.get("properties").and_then(Value::as_object).unwrap_or(&none);
    let required: Vec<&str> =
        map.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect();
    map.get("additionalProperties") == Some(&Value::Bool(false))
        && properties.len() == required.len()
        && properties.keys().all(|name| required.contains(&name.as_str()))
}

/// A name for a schema: its title where that can be one (1 to 64 letters, digits, `_` or `-`), else `answer`.
pub(crate) fn name(schema: &Value) -> &str {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    match schema.get("title").and_then(Value::as_str) {
        Some(title) if (1..=64).contains(&title.len()) && title.chars().all(plain) => title,
        _ => "answer",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_closed_schemas_of_known_words_are_strict() {
        let closed = json!({
            "title": "Total", "type": "object", "additionalProperties": false, "required": ["net", "lines"],
            "properties": {
                "net": {"type": ["number", "null"]},
                "lines": {"type": "array", "items": {"$ref": "#/$defs/line"}}
            },
            "$defs": {"line": {"type": "object", "additionalProperties": false, "properties": {}, "required": []}}
        });
        assert!(is_strict(&closed));
        assert_eq!(name(&closed), "Total");
        for (pointer, value) in [
            ("/required", json!(["net"])),
            ("/additionalProperties", json!(true)),
            ("/$defs/line/additionalProperties", Value::Null),
            ("/properties/net", json!({"type": "number", "x-unit": "EUR"})),
            ("/properties/net", json!({"type": "number", "default": 1})),
            ("/properties/net", json!(true)),
            ("/type", json!("array")),
        ] {
            let mut open = closed.clone();
            *open.pointer_mut(pointer).unwrap() = value;
            assert!(!is_strict(&open), "{pointer}");
        }
        assert_eq!(name(&json!({"title": "two words"})), "answer");
    }

    #[test]
    fn a_bottomless_schema_is_not_strict() {
        let mut schema = json!({"type": "string"});
        for _ in 0..50 {
            schema = json!({"type": "object", "properties": {"a": schema}, "required": ["a"], "additionalProperties": false});
        }
        assert!(!is_strict(&schema));
    }
}
