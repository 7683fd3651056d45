//! Forms: `multipart/form-data` (RFC 7578) and `application/x-www-form-urlencoded`.

use crate::{
    document::Body,
    encode::{in_order, percent, text},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use std::fmt::Write as _;

/// A form's fields in a query's spelling: lists as repeated fields, objects as JSON or, where the document says
/// `deepObject`, as `field[name]`.
pub(crate) fn urlencoded(body: &Body, fields: &Map<String, Value>) -> String {
    let mut parts: Vec<String> = Vec::new();
    for (name, value) in in_order(fields) {
        let is_deep = body.encoding.pointer(&format!("/{name}/style")).and_then(Value::as_str) == Some("deepObject");
        match value {
            Value::Null => {}
            Value::Array(values) => parts.extend(values.iter().map(|value| pair(name, &text(value)))),
            Value::Object(inner) if is_deep => {
                parts.extend(
                    in_order(inner).into_iter().map(|(key, value)| pair(&format!("{name}[{key}]"), &text(value))),
                );
            }
            value => parts.push(pair(name, &text(value))),
        }
    }
    parts.join("&")
}

fn pair(name: &str, value: &str) -> String {
    format!("{}={}", percent(name), percent(value))
}

/// The content type with its boundary, and the body. A field of bytes is a file; its text may be a `data:` URL in base 64.
pub(crate) fn multipart(body: &Body, fields: &Map<String, Value>) -> Result<(String, Vec<u8>), String> {
    let mut parts: Vec<(String, Vec<u8>)> = Vec::new();
    for (name, value) in in_order(fields) {
        let said = body.encoding.get(name).and_then(|encoding| encoding.get("contentType")).and_then(Value::as_str);
        let said = said.and_then(|types| types.split(',').map(str::trim).find(|one| !one.contains('*')));
        let is_binary = body.binary.contains(name);
        let values = match value {
            Value::Null => continue,
            Value::Array(values) => values.as_slice(),
            value => std::slice::from_ref(value),
        };
        for value in values {
            parts.push(part(name, value, said, is_binary)?);
        }
    }
    // A boundary that is made from the content does not stand in it.
    let mut hash = Sha256::new();
    parts.iter().for_each(|(head, content)| {
        hash.update(head.as_bytes());
        hash.update(content);
    });
    let boundary = hash.finalize().iter().take(16).fold("bailiwick-".to_owned(), |mut boundary, byte| {
        let _ = write!(boundary, "{byte:02x}");
        boundary
    });
    let mut whole = Vec::new();
    for (head, content) in parts {
        whole.extend_from_slice(format!("--{boundary}\r\n{head}\r\n").as_bytes());
        whole.extend_from_slice(&content);
        whole.extend_from_slice(b"\r\n");
    }
    whole.extend_from_slice(format!("--{boundary}--\r\n").as_bytes());
    Ok((format!("multipart/form-data; boundary={boundary}"), whole))
}

/// The headers of one part, each with its line break, and what is in it.
fn part(name: &str, value: &Value, said: Option<&str>, is_binary: bool) -> Result<(String, Vec<u8>), String> {
    let (own_type, content) = match value {
        Value::String(text) if is_binary => bytes(text)?,
        Value::Object(_) | Value::Array(_) => (Some("application/json".to_owned()), value.to_string().into_bytes()),
        value => (None, text(value).into_bytes()),
    };
    let content_type = said.map(str::to_owned).or(own_type);
    if content_type.as_deref().is_some_and(|text| text.chars().any(char::is_control)) {
        return Err(format!("has a content type for `{}` that cannot be sent", name.escape_debug()));
    }
    // As browsers write them (WHATWG HTML, "multipart/form-data encoding algorithm").
    let name = name.replace('\n', "%0A").replace('\r', "%0D").replace('"', "%22");
    let file = if is_binary { "; filename=\"file\"" } else { "" };
    let mut head = format!("content-disposition: form-data; name=\"{name}\"{file}\r\n");
    if let Some(content_type) = content_type {
        let _ = write!(head, "content-type: {content_type}\r\n");
    }
    Ok((head, content))
}

fn bytes(text: &str) -> Result<(Option<String>, Vec<u8>), String> {
    let Some((head, data)) = text.strip_prefix("data:").and_then(|rest| rest.split_once(";base64,")) else {
        return Ok((Some("application/octet-stream".into()), text.as_bytes().to_vec()));
    };
    let content = STANDARD.decode(data).map_err(|_| "holds a `data:` URL that is not base 64".to_owned())?;
    let content_type = if head.is_empty() { "application/octet-stream" } else { head };
    Ok((Some(content_type.to_owned()), content))
}
