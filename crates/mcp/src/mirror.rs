//! Parameters that a tool wants in HTTP headers as well (`x-mcp-header` of revision 2026-07-28).

use crate::limits::MAX_HEADER_PARAMETERS;
use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde_json::Value;

/// Longest value of a header that is made of an argument.
const MAX_VALUE_BYTES: usize = 4 << 10;
const KEY: &str = "x-mcp-header";

/// One such parameter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mirror {
    /// The header, in lower case.
    header: String,
    /// The names of properties that lead to it.
    path: Vec<String>,
}

/// The parameters of a schema that are to be mirrored. A mark where none may stand makes the definition invalid.
pub(crate) fn mirrors(schema: &Value) -> Result<Vec<Mirror>, String> {
    let mut found = Vec::new();
    let mut left = vec![(schema, Vec::new())];
    while let Some((schema, path)) = left.pop() {
        let Some(properties) = schema.get("properties").and_then(Value::as_object) else { continue };
        for (name, property) in properties {
            let mut path = path.clone();
            path.push(name.clone());
            if let Some(mark) = property.get(KEY) {
                found.push(Mirror { header: header(mark, property)?, path: path.clone() });
            }
            left.push((property, path));
        }
    }
    if found.len() != marks(schema) {
        return Err(format!("`{KEY}` stands where no header can be made of an argument"));
    }
    if found.len() > MAX_HEADER_PARAMETERS {
        return Err(format!("more than {MAX_HEADER_PARAMETERS} parameters have `{KEY}`"));
    }
    found.sort_by(|one, other| one.header.cmp(&other.header));
    match found.windows(2).any(|pair| pair[0].header == pair[1].header) {
        true => Err(format!("two parameters have the same `{KEY}`")),
        false => Ok(found),
    }
}

/// How often the mark stands anywhere in a schema. A property of that name is a mark too: it would be ambiguous.
fn marks(schema: &Value) -> usize {
    match schema {
        Value::Array(items) => items.iter().map(marks).sum(),
        Value::Object(object) => {
            let here = usize::from(object.contains_key(KEY));
            here + object.values().map(marks).sum::<usize>()
        }
        _ => 0,
    }
}

/// The schema without any mark.
pub(crate) fn without_marks(schema: &Value) -> Value {
    match schema {
        Value::Array(items) => items.iter().map(without_marks).collect(),
        Value::Object(object) => {
            let kept = object.iter().filter(|(key, _)| *key != KEY);
            Value::Object(kept.map(|(key, value)| (key.clone(), without_marks(value))).collect())
        }
        other => other.clone(),
    }
}

fn header(mark: &Value, property: &Value) -> Result<String, String> {
    let name = mark.as_str().unwrap_or_default();
    let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if name.is_empty() || name.len() > 64 || !name.bytes().all(token) {
        return Err(format!("`{KEY}` must be the end of a header's name"));
    }
    let kind = property.get("type").and_then(Value::as_str).unwrap_or_default();
    if !matches!(kind, "integer" | "string" | "boolean") {
        return Err(format!("`{KEY}` is only for texts, integers and booleans"));
    }
    Ok(format!("mcp-param-{}", name.to_ascii_lowercase()))
}

/// The headers of a call.
pub(crate) fn headers(mirrors: &[Mirror], arguments: &Value) -> Result<Vec<(String, String)>, String> {
    let mut headers = Vec::new();
    for mirror in mirrors {
        let value = mirror.path.iter().try_fold(arguments, |value, name| value.get(name));
        let text = match value {
            None | Some(Value::Null) => continue,
            Some(Value::String(text)) => text.clone(),
            Some(Value::Bool(yes)) => yes.to_string(),
            Some(Value::Number(number)) => match (number.as_i64(), number.as_f64()) {
                (Some(integer), _) => integer.to_string(),
                (None, Some(float)) if float.fract() == 0.0 && float.abs() < 9.0e15 => format!("{float:.0}"),
                _ => return Err(format!("`{}` must be an integer", mirror.path.join("."))),
            },
            Some(_) => return Err(format!("`{}` must be a text, an integer or a boolean", mirror.path.join("."))),
        };
        if text.len() > MAX_VALUE_BYTES {
            let path = mirror.path.join(".");
            return Err(format!("`{path}` goes into a header and may have at most {MAX_VALUE_BYTES} bytes"));
        }
        headers.push((mirror.header.clone(), encode(&text)));
    }
    Ok(headers)
}

/// A text as a header may hold it.
pub(crate) fn encode(text: &str) -> String {
    let plain = text.bytes().all(|byte| matches!(byte, b' '..=b'~' | b'\t'));
    let trimmed = text.trim_matches([' ', '\t']).len() == text.len();
    let is_sentinel = text.starts_with("=?base64?") && text.ends_with("?=");
    match plain && trimmed && !is_sentinel {
        true => text.to_owned(),
        false => format!("=?base64?{}?=", BASE64_STANDARD.encode(text)),
    }
}

/// What [`encode`] was made of, or nothing where it is no such value.
pub(crate) fn decode(header: &str) -> Option<String> {
    match header.strip_prefix("=?base64?").and_then(|rest| rest.strip_suffix("?=")) {
        Some(encoded) => String::from_utf8(BASE64_STANDARD.decode(encoded).ok()?).ok(),
        None => Some(header.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn values_are_written_as_the_specification_shows() {
        for (text, header) in [
            ("us-west1", "us-west1"),
            ("Hello, 世界", "=?base64?SGVsbG8sIOS4lueVjA==?="),
            (" padded ", "=?base64?IHBhZGRlZCA=?="),
            ("line1\nline2", "=?base64?bGluZTEKbGluZTI=?="),
            ("=?base64?literal?=", "=?base64?PT9iYXNlNjQ/bGl0ZXJhbD89?="),
        ] {
            assert_eq!(encode(text), header);
            assert_eq!(decode(header).as_deref(), Some(text));
        }
        assert_eq!(decode("=?base64?***?="), None);
    }

    #[test]
    fn arguments_are_found_where_the_schema_says() {
        let schema = json!({ "type": "object", "properties": {
            "region": { "type": "string", "x-mcp-header": "Region" },
            "place": { "type": "object", "properties": { "floor": { "type": "integer", "x-mcp-header": "Floor" } } },
            "dry": { "type": "boolean", "x-mcp-header": "Dry" },
        } });
        let mirrors = mirrors(&schema).unwrap();
        let sent = |arguments: Value| headers(&mirrors, &arguments);
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(
            sent(json!({ "region": "eu", "place": { "floor": -7.0 }, "dry": true })).unwrap(),
            [pair("mcp-param-dry", "true"), pair("mcp-param-floor", "-7"), pair("mcp-param-region", "eu")]
        );
        assert_eq!(sent(json!({ "region": null })).unwrap(), []);
        assert!(sent(json!({ "region": ["a"] })).is_err());
        assert!(sent(json!({ "region": "x".repeat(5_000) })).is_err());
    }

    #[test]
    fn a_mark_in_a_wrong_place_makes_a_definition_invalid() {
        let text = json!({ "type": "string", "x-mcp-header": "A" });
        for schema in [
            json!({ "properties": { "a": { "type": "number", "x-mcp-header": "A" } } }),
            json!({ "properties": { "a": { "type": "string", "x-mcp-header": "" } } }),
            json!({ "properties": { "a": { "type": "string", "x-mcp-header": "A\r\nB: c" } } }),
            json!({ "properties": { "a": text, "b": { "type": "string", "x-mcp-header": "a" } } }),
            json!({ "properties": { "a": { "type": "array", "items": text } } }),
            json!({ "oneOf": [{ "properties": { "a": text } }] }),
            json!({ "x-mcp-header": "A" }),
        ] {
            assert!(mirrors(&schema).is_err(), "{schema}");
        }
    }
}
