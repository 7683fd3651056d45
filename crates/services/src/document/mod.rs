//! An OpenAPI document (3.0 and 3.1): a tree of values whose references lead nowhere but into itself.

mod name;
mod operation;
mod schema;
mod security;
mod text;

pub(crate) use name::Names;
pub(crate) use operation::{Body, BodyKind, Operation, Operations, Parameter, Place, Style, operations, server_url};
pub(crate) use security::{Scheme, schemes};

use percent_encoding::percent_decode_str;
use serde_json::Value;

/// The longest document that is read.
pub const MAX_DOCUMENT_BYTES: usize = 12 * 1024 * 1024;
/// Operations of one document that are looked at.
pub const MAX_OPERATIONS: usize = 2000;
/// References that lead to references.
const MAX_CHAIN: usize = 16;

/// A document that was read. What it says about operations is looked at when they are asked for.
#[derive(Debug, Clone)]
pub struct Document {
    root: Value,
    /// Where it came from, when it was fetched.
    url: Option<String>,
}

/// Why a document cannot be used, for whoever gave it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DocumentError(pub String);

impl std::fmt::Display for DocumentError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for DocumentError {}

impl Document {
    /// Reads JSON or YAML. `url` says where it came from, if it was fetched: relative servers are meant from there, and
    /// it may name no other server.
    pub fn read(text: &str, url: Option<&str>) -> Result<Self, DocumentError> {
        let root = text::read(text)?;
        let version = root.get("openapi").and_then(Value::as_str);
        match version {
            Some(version) if version.starts_with("3.0.") || version.starts_with("3.1.") => {}
            Some(version) => {
                let shown: String = version.chars().take(20).collect();
                return Err(DocumentError(format!("`openapi` must be 3.0 or 3.1, and is `{shown}`")));
            }
            None if root.get("swagger").is_some() => {
                return Err(DocumentError("this is Swagger 2.0; convert it to OpenAPI 3.0 first".into()));
            }
            None => return Err(DocumentError("this is no OpenAPI document: it has no `openapi`".into())),
        }
        if !root.get("paths").is_some_and(Value::is_object) {
            return Err(DocumentError("the document has no `paths`".into()));
        }
        Ok(Self { root, url: url.map(str::to_owned) })
    }

    pub(crate) fn root(&self) -> &Value {
        &self.root
    }

    pub(crate) fn url(&self) -> Option<&str> {
        self.url.as_deref()
    }

    /// What the service calls itself.
    pub fn title(&self) -> Option<&str> {
        self.root.pointer("/info/title").and_then(Value::as_str)
    }

    pub(crate) fn is_3_0(&self) -> bool {
        self.root.get("openapi").and_then(Value::as_str).is_some_and(|version| version.starts_with("3.0."))
    }

    /// Follows references from a value to what is meant.
    pub(crate) fn resolve<'a>(&'a self, mut value: &'a Value) -> Result<&'a Value, String> {
        for _ in 0..MAX_CHAIN {
            match value.get("$ref").and_then(Value::as_str) {
                None => return Ok(value),
                Some(reference) => value = self.at(&pointer(reference)?).ok_or_else(|| missing(reference))?,
            }
        }
        Err("a reference leads in a circle, and nowhere else".into())
    }

    pub(crate) fn at(&self, pointer: &str) -> Option<&Value> {
        self.root.pointer(pointer)
    }
}

pub(crate) fn missing(reference: &str) -> String {
    format!("the reference `{}` leads to nothing", shown(reference))
}

/// The JSON pointer of a reference into the same document.
pub(crate) fn pointer(reference: &str) -> Result<String, String> {
    let Some(fragment) = reference.strip_prefix('#') else {
        return Err(format!(
            "the reference `{}` leads out of the document, and such references are not followed: bundle the document into \
             one file first",
            shown(reference)
        ));
    };
    let decoded = percent_decode_str(fragment).decode_utf8().map_err(|_| missing(reference))?;
    if !decoded.is_empty() && !decoded.starts_with('/') {
        return Err(format!("the reference `{}` is no JSON pointer; anchors are not followed", shown(reference)));
    }
    Ok(decoded.into_owned())
}

/// A text of a document as an error may show it.
pub(crate) fn shown(text: &str) -> String {
    let mut shown: String =
        text.chars().map(|char| if char.is_control() { '\u{fffd}' } else { char }).take(120).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    shown
}
