//! JSON and YAML as values, within limits. YAML is read as events, so that no alias can make it grow without end.

use super::{DocumentError, MAX_DOCUMENT_BYTES};
use saphyr_parser::{Event, Parser, ScalarStyle};
use serde_json::{Map, Number, Value};
use std::collections::HashMap;

/// Values that a YAML document may be, with those that its aliases stand for; each 16 bytes of text count as one more.
const MAX_NODES: usize = 2_000_000;
const TEXT_OF_A_NODE: usize = 16;
/// How deep values may be in one another (as `serde_json` reads them).
const MAX_DEPTH: usize = 120;

pub(super) fn read(text: &str) -> Result<Value, DocumentError> {
    if text.len() > MAX_DOCUMENT_BYTES {
        return Err(DocumentError(format!("the document is longer than {MAX_DOCUMENT_BYTES} bytes")));
    }
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if text.trim_start().starts_with('{') {
        return serde_json::from_str(text).map_err(|error| DocumentError(format!("the document is no JSON: {error}")));
    }
    Yaml::default().read(text)
}

#[derive(Default)]
struct Yaml {
    /// What is being put together, from the outside in.
    open: Vec<Open>,
    anchors: HashMap<usize, (Value, usize)>,
    nodes: usize,
    root: Option<Value>,
}

enum Open {
    Sequence { values: Vec<Value>, anchor: usize, before: usize },
    Mapping { fields: Map<String, Value>, key: Option<String>, anchor: usize, before: usize },
}

impl Yaml {
    fn read(mut self, text: &str) -> Result<Value, DocumentError> {
        for event in Parser::new_from_str(text) {
            let (event, span) = event.map_err(|error| DocumentError(format!("the document is no YAML: {error}")))?;
            let line = span.start.line();
            self.take(event).map_err(|problem| DocumentError(format!("line {line} of the document {problem}")))?;
        }
        self.root.ok_or_else(|| DocumentError("the document is empty".into()))
    }

    fn take(&mut self, event: Event<'_>) -> Result<(), String> {
        match event {
            Event::Scalar(text, style, anchor, _) => {
                let is_key = matches!(self.open.last(), Some(Open::Mapping { key: None, .. }));
                let size = 1 + text.len() / TEXT_OF_A_NODE;
                let is_text = is_key || style != ScalarStyle::Plain;
                let value = if is_text { Value::String(text.into_owned()) } else { plain(&text) };
                self.count(size)?;
                self.remember(anchor, &value, size)?;
                self.put(value)
            }
            Event::Alias(anchor) => {
                let size = self.anchors.get(&anchor).map(|(_, size)| *size).ok_or("holds an alias of nothing")?;
                self.count(size)?;
                let value = self.anchors.get(&anchor).map(|(value, _)| value.clone());
                self.put(value.unwrap_or_default())
            }
            Event::SequenceStart(anchor, _) => {
                self.begin(|before| Open::Sequence { values: Vec::new(), anchor, before })
            }
            Event::MappingStart(anchor, _) => {
                self.begin(|before| Open::Mapping { fields: Map::new(), key: None, anchor, before })
            }
            Event::SequenceEnd | Event::MappingEnd => self.end(),
            Event::DocumentStart(_) if self.root.is_some() => Err("begins a second document".into()),
            _ => Ok(()),
        }
    }

    fn begin(&mut self, open: impl FnOnce(usize) -> Open) -> Result<(), String> {
        if self.open.len() >= MAX_DEPTH {
            return Err(format!("is deeper than {MAX_DEPTH} levels"));
        }
        let before = self.nodes;
        self.count(1)?;
        self.open.push(open(before));
        Ok(())
    }

    fn end(&mut self) -> Result<(), String> {
        let (value, anchor, before) = match self.open.pop() {
            Some(Open::Sequence { values, anchor, before }) => (Value::Array(values), anchor, before),
            Some(Open::Mapping { fields, anchor, before, .. }) => (Value::Object(fields), anchor, before),
            None => return Err("ends what was not begun".into()),
        };
        self.remember(anchor, &value, self.nodes - before)?;
        self.put(value)
    }

    /// What is remembered is kept twice.
    fn remember(&mut self, anchor: usize, value: &Value, size: usize) -> Result<(), String> {
        if anchor > 0 {
            self.count(size)?;
            self.anchors.insert(anchor, (value.clone(), size));
        }
        Ok(())
    }

    fn count(&mut self, more: usize) -> Result<(), String> {
        self.nodes = self.nodes.saturating_add(more);
        if self.nodes > MAX_NODES { Err(format!("makes more than {MAX_NODES} values")) } else { Ok(()) }
    }

    fn put(&mut self, value: Value) -> Result<(), String> {
        match self.open.last_mut() {
            None => self.root = Some(value),
            Some(Open::Sequence { values, .. }) => values.push(value),
            Some(Open::Mapping { fields, key, .. }) => match key.take() {
                None => match value {
                    Value::String(text) if text == "<<" => {
                        return Err("has a merge key `<<`, which is not YAML 1.2".into());
                    }
                    Value::String(text) => *key = Some(text),
                    _ => return Err("has a key that is no text".into()),
                },
                Some(name) => {
                    if fields.insert(name, value).is_some() {
                        return Err("has the same key twice".into());
                    }
                }
            },
        }
        Ok(())
    }
}

/// A plain scalar by YAML 1.2's core schema.
fn plain(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Value::Null,
        "true" | "True" | "TRUE" => return Value::Bool(true),
        "false" | "False" | "FALSE" => return Value::Bool(false),
        _ => {}
    }
    let digits = text.trim_start_matches(['-', '+']);
    let is_number = digits.starts_with(|char: char| char.is_ascii_digit() || char == '.') && text.len() <= 64;
    if is_number {
        let radix =
            |prefix: &str, radix| text.strip_prefix(prefix).and_then(|rest| i64::from_str_radix(rest, radix).ok());
        if let Some(number) = radix("0x", 16).or_else(|| radix("0o", 8)).or_else(|| text.parse::<i64>().ok()) {
            return Value::Number(number.into());
        }
        let fits = text.bytes().all(|byte| byte.is_ascii_digit() || b"+-.eE".contains(&byte));
        if let Some(number) = text.parse::<f64>().ok().filter(|_| fits).and_then(Number::from_f64) {
            return Value::Number(number);
        }
    }
    Value::String(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn yaml_reads_as_json_does() {
        let text = "a: 1\nb: [x, 'y', \"z\", 1.5, 0x10, 007, 1e3, ~, true, 'true', 2026-01-01, 1.2.3]\nc: &c\n  d: |\n    text\ne: *c\n200: ok\n";
        let read = read(text).unwrap();
        assert_eq!(read["b"], json!(["x", "y", "z", 1.5, 16, 7, 1000.0, null, true, "true", "2026-01-01", "1.2.3"]));
        assert_eq!((&read["a"], &read["200"], &read["c"]), (&json!(1), &json!("ok"), &read["e"]));
    }

    #[test]
    fn what_would_grow_or_go_deep_is_refused() {
        let mut laughs = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned();
        for level in 1..12 {
            let one = format!("*a{}, ", level - 1);
            laughs += &format!("a{level}: &a{level} [{}]\n", one.repeat(9));
        }
        let words = format!("a: &a {}\nb: [{}]", "x".repeat(1_000_000), "*a, ".repeat(1000));
        let nested: String = (0..100).map(|level| format!("&n{level} [")).collect();
        let nested = format!("a: {nested}{}{}", "x".repeat(1_000_000), "]".repeat(100));
        let deep = "[".repeat(500) + &"]".repeat(500);
        let json_deep = format!("{{\"a\":{deep}}}");
        for bad in [
            laughs.as_str(),
            words.as_str(),
            nested.as_str(),
            deep.as_str(),
            json_deep.as_str(),
            "a: 1\na: 2",
            "<<: {a: 1}",
            "a: *b",
            "",
            "a: 1\n---\nb: 2",
            "? [x]\n: y",
        ] {
            assert!(read(bad).is_err(), "{}", &bad[..bad.len().min(60)]);
        }
        let long = " ".repeat(MAX_DOCUMENT_BYTES + 1);
        assert!(read(&long).unwrap_err().0.contains("longer"));
    }
}
