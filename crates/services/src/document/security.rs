//! How a service wants to be signed in to, as its document says.

use super::Document;
use serde_json::Value;
use std::collections::BTreeMap;

/// Where a secret goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Scheme {
    Header(String),
    Query(String),
    Cookie(String),
    /// `http` with `bearer`, `oauth2`, `openIdConnect`.
    Bearer,
    /// The secret is `user:password`.
    Basic,
    /// One that is not spoken here, by its name.
    Other(String),
}

pub(crate) fn schemes(document: &Document) -> BTreeMap<String, Scheme> {
    let all = document.root().pointer("/components/securitySchemes").and_then(Value::as_object);
    let read = |value: &Value| document.resolve(value).map_or_else(|_| Scheme::Other("unknown".into()), scheme);
    all.into_iter().flatten().map(|(name, value)| (name.clone(), read(value))).collect()
}

fn scheme(value: &Value) -> Scheme {
    let text = |name: &str| value.get(name).and_then(Value::as_str).unwrap_or_default();
    let other = |what: &str| Scheme::Other(super::shown(what));
    match (text("type"), text("in"), text("scheme").to_ascii_lowercase().as_str()) {
        ("apiKey", "header", _) => Scheme::Header(text("name").to_owned()),
        ("apiKey", "query", _) => Scheme::Query(text("name").to_owned()),
        ("apiKey", "cookie", _) => Scheme::Cookie(text("name").to_owned()),
        ("http", _, "bearer") | ("oauth2" | "openIdConnect", ..) => Scheme::Bearer,
        ("http", _, "basic") => Scheme::Basic,
        ("http", _, what) => other(what),
        (what, ..) => other(what),
    }
}
