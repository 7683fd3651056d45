//! The definition of a tool as a server gives it: read within limits, with a digest by which it is pinned.
//!
//! Everything in a definition is a claim of a server that nobody vouches for. What a claim may decide is configured.

use crate::{
    limits::{
        MAX_DESCRIPTION_BYTES, MAX_NAME_BYTES, MAX_SCHEMA_BYTES, MAX_SCHEMA_DEPTH, MAX_SCHEMA_VALUES, MAX_TITLE_BYTES,
    },
    message::visible,
    mirror::{self, Mirror},
};
use bailiwick_core::connector::Effect;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};
use std::fmt;

/// The hints of revision 2025-03-26 and later. They are a server's own word.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Annotations {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub read_only_hint: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub destructive_hint: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub idempotent_hint: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub open_world_hint: Option<bool>,
}

impl Annotations {
    /// What the hints amount to, for whoever trusts the server. What is read-only is read; what is idempotent may be
    /// repeated; whatever else is a write.
    pub fn effect(self) -> Effect {
        match (self.read_only_hint, self.idempotent_hint) {
            (Some(true), _) => Effect::Read,
            (_, Some(true)) => Effect::Idempotent,
            _ => Effect::Write,
        }
    }

    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// A tool of a server.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Definition {
    /// The server's own name of it: 1 to 128 of `A-Z a-z 0-9 _ - .`.
    pub name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// The server's own words.
    #[serde(default)]
    pub description: String,
    /// A JSON Schema with `"type": "object"` and no references to other documents.
    pub parameters: Value,
    /// A JSON Schema of the structured result.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<Value>,
    #[serde(default, skip_serializing_if = "Annotations::is_empty")]
    pub annotations: Annotations,
    /// What the configuration makes of it; not a part of the digest.
    pub effect: Effect,
}

/// SHA-256 over the RFC 8785 form of a definition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest([u8; 32]);

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("sha256:")?;
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl Definition {
    /// Reads one entry of `tools/list`. The error says what is wrong with it, in words for whoever runs the server.
    pub fn read(entry: &Value) -> Result<Self, String> {
        let Value::Object(entry) = entry else { return Err("it is not an object".into()) };
        let name = name(entry.get("name").and_then(Value::as_str).unwrap_or_default())?;
        let hints = entry.get("annotations").filter(|hints| !hints.is_null());
        let title = text(entry, "title", MAX_TITLE_BYTES)?;
        let title = match (title, hints.and_then(Value::as_object)) {
            (None, Some(hints)) => text(hints, "title", MAX_TITLE_BYTES)?,
            (title, _) => title,
        };
        let annotations = match hints {
            Some(hints) => {
                Annotations::deserialize(hints).map_err(|_| "`annotations` has a hint that is no boolean")?
            }
            None => Annotations::default(),
        };
        let parameters = entry.get("inputSchema").ok_or("it has no `inputSchema`")?;
        schema("inputSchema", parameters)?;
        if parameters.get("type").and_then(Value::as_str) != Some("object") {
            return Err("`inputSchema` must have the type `object`".into());
        }
        let output = entry.get("outputSchema").filter(|output| !output.is_null());
        if let Some(output) = output {
            schema("outputSchema", output)?;
        }
        mirror::mirrors(parameters)?;
        Ok(Self {
            name,
            title,
            description: text(entry, "description", MAX_DESCRIPTION_BYTES)?.unwrap_or_default(),
            parameters: parameters.clone(),
            output: output.cloned(),
            annotations,
            effect: Effect::Write,
        })
    }

    /// What pins this definition: everything that the server says about the tool.
    pub fn digest(&self) -> Digest {
        let mut said = json!({
            "name": self.name,
            "description": self.description,
            "inputSchema": self.parameters,
            "annotations": self.annotations,
        });
        if let Some(title) = &self.title {
            said["title"] = json!(title);
        }
        if let Some(output) = &self.output {
            said["outputSchema"] = output.clone();
        }
        // INVARIANT: a value has a canonical form unless a number in it is not finite, which JSON cannot write.
        let canonical = serde_jcs::to_vec(&said).expect("a value is JSON");
        Digest(Sha256::digest(&canonical).into())
    }

    /// The description as a model or a person may see it: with what is invisible written out.
    pub fn shown_description(&self) -> String {
        visible(&self.description)
    }

    /// The parameters that revision 2026-07-28 wants in headers as well.
    pub(crate) fn mirrors(&self) -> Vec<Mirror> {
        mirror::mirrors(&self.parameters).unwrap_or_default()
    }
}

fn name(name: &str) -> Result<String, String> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
    if name.is_empty() || name.len() > MAX_NAME_BYTES || !name.bytes().all(plain) {
        return Err(format!("`name` must have 1 to {MAX_NAME_BYTES} of the characters A-Z a-z 0-9 _ - ."));
    }
    Ok(name.to_owned())
}

fn text(entry: &Map<String, Value>, field: &str, limit: usize) -> Result<Option<String>, String> {
    match entry.get(field) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) if text.len() <= limit => Ok(Some(text.clone())),
        Some(Value::String(_)) => Err(format!("`{field}` has more than {limit} bytes")),
        Some(_) => Err(format!("`{field}` is not a text")),
    }
}

/// Whether a schema is one that can be kept, compared and shown to a model: bounded, with numbers that have one
/// spelling, and with no reference to another document.
fn schema(field: &str, schema: &Value) -> Result<(), String> {
    if !schema.is_object() {
        return Err(format!("`{field}` is not an object"));
    }
    let mut budget = MAX_SCHEMA_VALUES;
    let mut bytes = MAX_SCHEMA_BYTES;
    let mut left = vec![(schema, 1)];
    while let Some((value, depth)) = left.pop() {
        budget = budget.checked_sub(1).ok_or(format!("`{field}` has more than {MAX_SCHEMA_VALUES} values"))?;
        let cost = match value {
            Value::String(text) => text.len(),
            Value::Object(object) => object.keys().map(String::len).sum(),
            _ => 8,
        };
        bytes = bytes.checked_sub(cost).ok_or(format!("`{field}` has more than {MAX_SCHEMA_BYTES} bytes"))?;
        if depth > MAX_SCHEMA_DEPTH {
            return Err(format!("`{field}` is deeper than {MAX_SCHEMA_DEPTH}"));
        }
        match value {
            Value::Number(number) if !has_one_spelling(number) => {
                return Err(format!("`{field}` has a number beyond 2^53, which not every reader takes for the same"));
            }
            Value::Array(items) => left.extend(items.iter().map(|item| (item, depth + 1))),
            Value::Object(object) => {
                for key in ["$ref", "$dynamicRef"] {
                    if object.get(key).and_then(Value::as_str).is_some_and(|target| !target.starts_with('#')) {
                        return Err(format!("`{field}` refers to another document, and those are never fetched"));
                    }
                }
                left.extend(object.values().map(|value| (value, depth + 1)));
            }
            _ => {}
        }
    }
    Ok(())
}

fn has_one_spelling(number: &serde_json::Number) -> bool {
    const SAFE: u64 = (1 << 53) - 1;
    match number.as_i64() {
        Some(integer) => integer.unsigned_abs() <= SAFE,
        None => !number.is_u64(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tool(more: Value) -> Value {
        let mut tool = json!({ "name": "get_weather", "inputSchema": { "type": "object" } });
        for (key, value) in more.as_object().unwrap() {
            tool[key] = value.clone();
        }
        tool
    }

    #[test]
    fn what_a_server_says_of_a_tool_is_read() {
        let entry = tool(json!({
            "title": "Weather", "description": "Says it.\u{200b}",
            "inputSchema": { "type": "object", "properties": { "city": { "type": "string" } } },
            "outputSchema": { "type": "object" },
            "annotations": { "readOnlyHint": true, "title": "Other", "somethingNew": 7 },
        }));
        let read = Definition::read(&entry).unwrap();
        assert_eq!((read.name.as_str(), read.title.as_deref()), ("get_weather", Some("Weather")));
        assert_eq!(read.annotations.effect(), Effect::Read);
        assert_eq!(read.effect, Effect::Write, "hints decide nothing by themselves");
        assert_eq!(read.shown_description(), "Says it.\\u{200b}");
    }

    #[test]
    fn a_digest_changes_with_everything_that_is_said_and_nothing_else() {
        let digest = |entry: &Value| Definition::read(entry).unwrap().digest().to_string();
        let first = digest(&tool(json!({})));
        assert!(first.starts_with("sha256:") && first.len() == 7 + 64, "{first}");
        assert_eq!(first, digest(&tool(json!({ "icons": [], "_meta": { "a": 1 }, "description": "" }))));
        for more in [
            json!({ "name": "other" }),
            json!({ "title": "T" }),
            json!({ "description": "d" }),
            json!({ "inputSchema": { "type": "object", "properties": {} } }),
            json!({ "outputSchema": {} }),
            json!({ "annotations": { "readOnlyHint": false } }),
        ] {
            assert_ne!(first, digest(&tool(more.clone())), "{more}");
        }
        let (one, other) = (r#"{"type":"object","a":1.0,"b":2}"#, r#"{"b":2,"a":1,"type":"object"}"#);
        let schema = |text: &str| tool(json!({ "inputSchema": serde_json::from_str::<Value>(text).unwrap() }));
        assert_eq!(digest(&schema(one)), digest(&schema(other)), "the spelling of JSON is no difference");
    }

    #[test]
    fn what_cannot_be_kept_is_refused_with_the_field() {
        let deep = (0..40).fold(json!(1), |inner, _| json!({ "not": inner }));
        let wide: Vec<Value> = (0..6_000).map(|_| json!(1)).collect();
        for (more, word) in [
            (json!({ "name": "" }), "`name`"),
            (json!({ "name": "a b" }), "`name`"),
            (json!({ "name": "ä" }), "`name`"),
            (json!({ "name": "x".repeat(129) }), "`name`"),
            (json!({ "description": "x".repeat(MAX_DESCRIPTION_BYTES + 1) }), "`description`"),
            (json!({ "description": 7 }), "`description`"),
            (json!({ "inputSchema": true }), "`inputSchema`"),
            (json!({ "inputSchema": { "type": "string" } }), "`object`"),
            (json!({ "inputSchema": { "type": "object", "x": deep } }), "deeper"),
            (json!({ "inputSchema": { "type": "object", "enum": wide } }), "values"),
            (json!({ "inputSchema": { "type": "object", "x": "y".repeat(MAX_SCHEMA_BYTES) } }), "bytes"),
            (json!({ "inputSchema": { "type": "object", "$ref": "https://example.org/s" } }), "document"),
            (json!({ "inputSchema": { "type": "object", "max": 9_007_199_254_740_993_u64 } }), "2^53"),
            (json!({ "annotations": { "readOnlyHint": "yes" } }), "`annotations`"),
            (json!({ "outputSchema": 7 }), "`outputSchema`"),
        ] {
            let error = Definition::read(&tool(more.clone())).unwrap_err();
            assert!(error.contains(word), "{word}: {error}");
        }
        assert!(Definition::read(&json!({ "name": "a" })).unwrap_err().contains("inputSchema"));
    }
}
