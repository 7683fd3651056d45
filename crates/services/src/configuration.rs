//! What an administrator says about a service, beside its document.

use bailiwick_types::Millis;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Entries that each list of a configuration may have.
pub const MAX_OPERATIONS_LISTED: usize = 1000;

/// How a service is used. Everything has a default.
///
/// ```json
/// {"base_url": "https://crm.corp/api", "operations": ["listCustomers", "GET /invoices/*"], "read_only": true}
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Configuration {
    /// Where its document is. The kind of connector `openapi` must say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub document: Option<Source>,
    /// Where the service is. Else the first server of the document, if that is where the document came from, or if the
    /// document was given as a text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub base_url: Option<String>,
    /// Plain HTTP may be spoken to it. To this machine itself it always may.
    pub plain_http: bool,
    /// Which operations are tools: an `operationId`, or a method and a path (`GET /invoices/{id}`), each with an optional
    /// `*` at its end. All of them, when there is none.
    pub operations: Vec<String>,
    /// Only operations that change nothing.
    pub read_only: bool,
    /// Which of the document's security schemes is used, where an operation takes several.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scheme: Option<String>,
    /// A header in which the service takes a key that makes repeating a call harmless. It gets the action's id. An
    /// operation that has a parameter `Idempotency-Key` needs no word here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub idempotency_header: Option<String>,
    /// How an answer says that there is more, beside the header `Link` (RFC 8288), which is always understood.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pagination: Option<Pagination>,
    /// Headers of every request. Never secrets: those belong in a vault.
    pub headers: BTreeMap<String, String>,
    /// The longest answer that is read. 1 MiB when nobody says otherwise, 16 MiB at most.
    pub max_answer_bytes: u64,
    /// About how much of an answer one call gives back. 32 KiB when nobody says otherwise.
    pub output_bytes: usize,
    /// How long one call may take. 60 seconds when nobody says otherwise, ten minutes at most.
    pub timeout_ms: Millis,
}

/// A document, or where it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// Fetched when the connector is opened, without any credential.
    Url(String),
    /// JSON or YAML.
    Text(String),
}

/// How pages of the web are read. Everything has a default.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WebSettings {
    /// About how much text one call gives back. 24 KiB when nobody says otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output_bytes: Option<usize>,
    /// The longest page that is read; of a longer one, its beginning. 4 MiB when nobody says otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub page_bytes: Option<u64>,
}

/// Where an answer says how to go on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pagination {
    /// A JSON pointer to the next page's mark in the answer, such as `/meta/next_cursor`.
    pub next: String,
    /// The parameter of the operation that takes it.
    pub parameter: String,
}

impl Default for Configuration {
    fn default() -> Self {
        Self {
            document: None,
            base_url: None,
            plain_http: false,
            operations: Vec::new(),
            read_only: false,
            scheme: None,
            idempotency_header: None,
            pagination: None,
            headers: BTreeMap::new(),
            max_answer_bytes: 1024 * 1024,
            output_bytes: 32 * 1024,
            timeout_ms: Millis::from_secs(60),
        }
    }
}

impl Configuration {
    /// What is wrong with it, with the field named.
    pub fn problem(&self) -> Option<String> {
        const MAX_ANSWER: u64 = 16 * 1024 * 1024;
        let many = |count: usize| count > MAX_OPERATIONS_LISTED;
        if many(self.operations.len()) || self.headers.len() > 32 {
            return Some(format!("`operations` has at most {MAX_OPERATIONS_LISTED} entries, `headers` 32"));
        }
        if self.max_answer_bytes == 0 || self.max_answer_bytes > MAX_ANSWER {
            return Some(format!("`max_answer_bytes` must be between 1 and {MAX_ANSWER}"));
        }
        if !(1000..=256 * 1024).contains(&self.output_bytes) {
            return Some("`output_bytes` must be between 1000 and 262144".into());
        }
        if self.timeout_ms.0 == 0 || self.timeout_ms > Millis::from_secs(600) {
            return Some("`timeout_ms` must be between 1 and 600000".into());
        }
        if self.pagination.as_ref().is_some_and(|pages| !pages.next.starts_with('/') || pages.parameter.is_empty()) {
            return Some(
                "`pagination.next` must be a JSON pointer, such as `/next_cursor`, and `parameter` a name".into(),
            );
        }
        let secret = ["authorization", "cookie", "proxy-authorization"];
        let found = self.headers.keys().find(|name| secret.iter().any(|secret| name.eq_ignore_ascii_case(secret)))?;
        Some(format!("`headers` must not hold `{found}`: a credential of a vault is the place for it"))
    }
}

/// Whether an entry of a list means an operation.
pub(crate) fn means(entry: &str, id: Option<&str>, key: &str) -> bool {
    let is = |name: &str| match entry.strip_suffix('*') {
        Some(beginning) => name.starts_with(beginning),
        None => name == entry,
    };
    id.is_some_and(is) || is(key)
}
