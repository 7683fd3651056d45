//! JSON-RPC 2.0 as MCP uses it. What comes from a server is bounded before it becomes values.

use crate::limits::{MAX_BATCH, MAX_MESSAGE_BYTES, MAX_MESSAGE_VALUES, MAX_QUOTED_CHARS};
use serde_json::{Map, Value, json};

/// A message of the other side.
#[derive(Debug, Clone, PartialEq)]
pub enum Incoming {
    /// `id` is null where the other side could not read ours.
    Answer {
        id: Value,
        result: Result<Value, RpcError>,
    },
    Request {
        id: Value,
        method: String,
        params: Map<String, Value>,
    },
    Notice {
        method: String,
        params: Map<String, Value>,
    },
}

/// The other side says no.
#[derive(Debug, Clone, PartialEq)]
pub struct RpcError {
    pub code: i64,
    /// The other side's own words.
    pub message: String,
    pub data: Option<Value>,
}

impl RpcError {
    pub const PARSE: i64 = -32700;
    pub const INVALID_REQUEST: i64 = -32600;
    pub const METHOD_NOT_FOUND: i64 = -32601;
    pub const INVALID_PARAMS: i64 = -32602;
    pub const INTERNAL: i64 = -32603;
    pub const HEADER_MISMATCH: i64 = -32020;
    pub const MISSING_CAPABILITY: i64 = -32021;
    pub const UNSUPPORTED_REVISION: i64 = -32022;
    /// Revision 2025-11-25 only.
    pub const URL_ELICITATION: i64 = -32042;

    pub fn new(code: i64, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), data: None }
    }

    /// Whether only a server of revision 2026-07-28 or later says this.
    pub fn is_modern(&self) -> bool {
        matches!(self.code, Self::HEADER_MISMATCH | Self::MISSING_CAPABILITY | Self::UNSUPPORTED_REVISION)
    }

    /// Whether the request was turned away before anything was done.
    pub fn is_refusal(&self) -> bool {
        let refused = [Self::PARSE, Self::INVALID_REQUEST, Self::METHOD_NOT_FOUND, Self::INVALID_PARAMS];
        self.is_modern() || refused.contains(&self.code)
    }

    pub fn to_value(&self) -> Value {
        let mut error = json!({ "code": self.code, "message": self.message });
        if let Some(data) = &self.data {
            error["data"] = data.clone();
        }
        error
    }

    fn read(value: &Value) -> Option<Self> {
        let code = value.get("code").and_then(Value::as_i64)?;
        let message = value.get("message").and_then(Value::as_str).unwrap_or_default().to_owned();
        Some(Self { code, message, data: value.get("data").cloned() })
    }
}

/// Messages of one body, event or line. An empty text is none.
pub fn read(bytes: &[u8]) -> Result<Vec<Incoming>, String> {
    let value = match parse(bytes)? {
        Some(value) => value,
        None => return Ok(Vec::new()),
    };
    match value {
        Value::Array(batch) if batch.len() > MAX_BATCH => Err(format!("a batch has more than {MAX_BATCH} messages")),
        Value::Array(batch) => batch.into_iter().map(one).collect(),
        single => Ok(vec![one(single)?]),
    }
}

/// JSON within the limits of a message, or nothing where there is only white space.
pub fn parse(bytes: &[u8]) -> Result<Option<Value>, String> {
    if bytes.len() > MAX_MESSAGE_BYTES {
        return Err(format!("a message has more than {MAX_MESSAGE_BYTES} bytes"));
    }
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Ok(None);
    }
    if values(bytes) > MAX_MESSAGE_VALUES {
        return Err(format!("a message has more than {MAX_MESSAGE_VALUES} values"));
    }
    // The parser's own words quote nothing of the text, only a place in it.
    serde_json::from_slice(bytes).map(Some).map_err(|error| format!("it is not JSON: {error}"))
}

/// How many values a text can have at most: whatever opens or separates, outside of strings.
fn values(bytes: &[u8]) -> usize {
    let (mut count, mut in_string, mut escaped) = (1, false, false);
    for byte in bytes {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b'[' | b'{' | b',' if !in_string => count += 1,
            _ => {}
        }
    }
    count
}

fn one(value: Value) -> Result<Incoming, String> {
    let Value::Object(mut message) = value else { return Err("a message is not an object".into()) };
    if message.get("jsonrpc").and_then(Value::as_str) != Some("2.0") {
        return Err("a message is not JSON-RPC 2.0".into());
    }
    let id = message.remove("id");
    if let Some(Value::String(method)) = message.remove("method") {
        let params = match message.remove("params") {
            Some(Value::Object(params)) => params,
            None | Some(Value::Null) => Map::new(),
            Some(_) => return Err("`params` is not an object".into()),
        };
        return Ok(match id {
            None | Some(Value::Null) => Incoming::Notice { method, params },
            Some(id) => Incoming::Request { id: checked(id)?, method, params },
        });
    }
    let id = id.unwrap_or(Value::Null);
    match (message.remove("result"), message.remove("error")) {
        (Some(result @ Value::Object(_)), None) => Ok(Incoming::Answer { id: checked(id)?, result: Ok(result) }),
        (None, Some(error)) => match RpcError::read(&error) {
            Some(error) => Ok(Incoming::Answer { id: checked(id)?, result: Err(error) }),
            None => Err("`error` has no integer `code`".into()),
        },
        _ => Err("a message has neither `method`, nor one of `result` (an object) and `error`".into()),
    }
}

fn checked(id: Value) -> Result<Value, String> {
    match &id {
        Value::Null => Ok(id),
        Value::Number(_) => Ok(id),
        Value::String(text) if text.len() <= 256 => Ok(id),
        _ => Err("`id` is neither a number nor a short text".into()),
    }
}

pub fn request(id: u64, method: &str, params: Value) -> Value {
    json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params })
}

pub fn notice(method: &str, params: Value) -> Value {
    json!({ "jsonrpc": "2.0", "method": method, "params": params })
}

pub fn answer(id: &Value, result: Result<Value, &RpcError>) -> Value {
    match result {
        Ok(result) => json!({ "jsonrpc": "2.0", "id": id, "result": result }),
        Err(error) => json!({ "jsonrpc": "2.0", "id": id, "error": error.to_value() }),
    }
}

/// Words of the other side as they may stand in a sentence of ours: bounded, on one line, with nothing invisible.
pub fn quoted(words: &str) -> String {
    let mut quoted: String = words.chars().take(MAX_QUOTED_CHARS).flat_map(shown).collect();
    if words.chars().nth(MAX_QUOTED_CHARS).is_some() {
        quoted.push('…');
    }
    quoted
}

/// The text with what a reader would not see written out. Line breaks and tabs stay.
pub fn visible(text: &str) -> String {
    let keeps = |char: char| matches!(char, '\n' | '\t') || !is_unseen(char);
    if text.chars().all(keeps) {
        return text.to_owned();
    }
    text.chars().flat_map(|char| if keeps(char) { Spelling::One(Some(char)) } else { shown(char) }).collect()
}

fn shown(char: char) -> Spelling {
    match char {
        '\n' | '\r' | '\t' => Spelling::One(Some(' ')),
        unseen if is_unseen(unseen) => Spelling::Escaped(unseen.escape_unicode()),
        seen => Spelling::One(Some(seen)),
    }
}

/// Controls, controls of direction, and characters without a width, in which text for a model can hide.
fn is_unseen(char: char) -> bool {
    char.is_control()
        || matches!(char, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}' | '\u{200e}' | '\u{200f}'
            | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e0fff}')
}

enum Spelling {
    One(Option<char>),
    Escaped(std::char::EscapeUnicode),
}

impl Iterator for Spelling {
    type Item = char;

    fn next(&mut self) -> Option<char> {
        match self {
            Self::One(char) => char.take(),
            Self::Escaped(escape) => escape.next(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_told_apart() {
        let read = |text: &str| read(text.as_bytes()).unwrap();
        assert_eq!(read("  \n"), []);
        assert!(matches!(
            &read(r#"{"jsonrpc":"2.0","id":1,"result":{}}"#)[..],
            [Incoming::Answer { result: Ok(_), .. }]
        ));
        assert!(matches!(
            &read(r#"[{"jsonrpc":"2.0","method":"a"},{"jsonrpc":"2.0","id":"x","method":"b","params":{"c":1}}]"#)[..],
            [Incoming::Notice { .. }, Incoming::Request { .. }]
        ));
        assert!(matches!(
            &read(r#"{"jsonrpc":"2.0","error":{"code":-32022,"message":"no"}}"#)[..],
            [Incoming::Answer { id: Value::Null, result: Err(error) }] if error.is_modern()
        ));
    }

    #[test]
    fn what_is_no_message_is_refused_with_a_reason() {
        let refused = |text: &str| read(text.as_bytes()).unwrap_err();
        for text in [
            "{",
            "7",
            "{}",
            r#"{"jsonrpc":"2.0"}"#,
            r#"{"jsonrpc":"2.0","id":1,"result":5}"#,
            r#"{"jsonrpc":"2.0","id":{},"result":{}}"#,
            r#"{"jsonrpc":"2.0","id":1,"error":{"code":"no"}}"#,
            r#"{"jsonrpc":"2.0","id":1,"result":{},"error":{"code":1}}"#,
            r#"{"jsonrpc":"2.0","method":"a","params":[]}"#,
            "\u{feff}{}",
        ] {
            assert!(!refused(text).is_empty(), "{text}");
        }
        let deep = "[".repeat(100_000);
        assert!(refused(&deep).contains("not JSON"), "the depth of JSON is bounded");
        let wide = format!("[{}1]", "1,".repeat(MAX_MESSAGE_VALUES));
        assert!(refused(&wide).contains("values"), "{}", refused(&wide));
        assert!(refused(&" ".repeat(MAX_MESSAGE_BYTES + 1)).contains("bytes"));
    }

    #[test]
    fn separators_within_a_text_are_no_values() {
        let text = format!(r#"{{"jsonrpc":"2.0","id":1,"result":{{"t":"{}\",["}}}}"#, "a,".repeat(MAX_MESSAGE_VALUES));
        assert_eq!(read(text.as_bytes()).unwrap().len(), 1);
    }

    #[test]
    fn words_of_others_are_bounded_and_hide_nothing() {
        assert_eq!(quoted("one\ntwo\u{202e}\u{e0041}\u{7}"), "one two\\u{202e}\\u{e0041}\\u{7}");
        assert_eq!(quoted(&"x".repeat(5_000)).chars().count(), MAX_QUOTED_CHARS + 1);
        assert_eq!(visible("a\tb\nc\u{200b}"), "a\tb\nc\\u{200b}");
    }
}
