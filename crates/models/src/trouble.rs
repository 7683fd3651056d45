//! What goes wrong with a model call, sorted into the failure classes, and whether trying again can help.
//!
//! Sources: the error codes of the OpenAI API reference (`error.code`, `error.type`, `response.failed`), and what vLLM,
//! llama.cpp, Ollama, LiteLLM and Azure put in their place.

use bailiwick_core::FailureCode;
use bailiwick_types::Millis;
use serde_json::Value;

/// Why one attempt failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Trouble {
    pub(crate) code: FailureCode,
    /// The HTTP status, where that is what said so.
    pub(crate) status: Option<u16>,
    /// What happened, in our words, where the class alone does not say it.
    pub(crate) detail: Option<String>,
    /// The provider's own words. Not to be trusted: cleaned before it is shown.
    pub(crate) said: Option<String>,
    pub(crate) again: Again,
}

/// Whether the same request may be sent again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Again {
    Never,
    /// Once in a call, and not a second time.
    Once,
    /// As long as the call has retries left; not before this time has passed, when the provider says so.
    Yes(Option<Millis>),
}

impl Trouble {
    /// Of a class, with the retry rule of that class.
    pub(crate) fn new(code: FailureCode) -> Self {
        let again = match code {
            FailureCode::RateLimited
            | FailureCode::Overloaded
            | FailureCode::ServerError
            | FailureCode::ConnectionFailed
            | FailureCode::FirstByteTimeout
            | FailureCode::StreamStalled
            | FailureCode::StreamCut => Again::Yes(None),
            FailureCode::MalformedAnswer => Again::Once,
            _ => Again::Never,
        };
        Self { code, status: None, detail: None, said: None, again }
    }

    pub(crate) fn because(code: FailureCode, detail: impl Into<String>) -> Self {
        Self { detail: Some(detail.into()), ..Self::new(code) }
    }

    /// An answer that is not what its format promises.
    pub(crate) fn malformed(detail: impl Into<String>) -> Self {
        Self::because(FailureCode::MalformedAnswer, detail)
    }

    /// The same trouble, but trying again does not help.
    fn final_one(mut self, detail: &str) -> Self {
        self.again = Again::Never;
        self.detail = Some(detail.to_owned());
        self
    }
}

/// An error object of a provider, whatever its shape.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct ProviderError {
    code: String,
    kind: String,
    message: String,
}

impl ProviderError {
    /// Finds code, type and message in an error document; a text that is not JSON is the message.
    pub(crate) fn of_body(body: &str) -> Self {
        match serde_json::from_str::<Value>(body) {
            Ok(value) => Self::of_value(&value),
            Err(_) => Self { message: body.trim().to_owned(), ..Self::default() },
        }
    }

    pub(crate) fn of_value(value: &Value) -> Self {
        let value = match value.get("error") {
            Some(inner @ (Value::Object(_) | Value::String(_))) => inner,
            _ => value,
        };
        let text = |key: &str| match value.get(key) {
            Some(Value::String(text)) => text.clone(),
            Some(Value::Number(number)) => number.to_string(),
            Some(other @ (Value::Array(_) | Value::Object(_))) => other.to_string(),
            _ => String::new(),
        };
        if let Value::String(message) = value {
            return Self { message: message.clone(), ..Self::default() };
        }
        let message = [text("message"), text("detail")].into_iter().find(|text| !text.is_empty()).unwrap_or_default();
        let inner = value.pointer("/innererror/code").and_then(Value::as_str).unwrap_or_default();
        Self { code: [text("code"), inner.to_owned()].join(" ").trim().to_owned(), kind: text("type"), message }
    }

    /// Whether there is anything in it.
    pub(crate) fn is_empty(&self) -> bool {
        self.code.is_empty() && self.kind.is_empty() && self.message.is_empty()
    }

    /// Sorts it. `status` is the HTTP status of the answer; an error inside a stream has none.
    pub(crate) fn sort(self, status: Option<u16>) -> Trouble {
        let words = format!("{} {}", self.code, self.kind).to_ascii_lowercase();
        let message = self.message.to_ascii_lowercase();
        let has = |marks: &[&str]| marks.iter().any(|mark| words.contains(mark));
        let status = status.or_else(|| self.code.parse().ok().filter(|code| (400..600).contains(code)));
        let mut trouble = if is_overflow(&words, &message, status) {
            Trouble::new(FailureCode::ContextOverflow)
        } else if has(&["content_filter", "content_policy", "responsibleaipolicy", "_policy", "moderation"]) {
            Trouble::new(FailureCode::ContentFilter)
        } else if has(&["insufficient_quota", "billing", "quota_exceeded", "credit"]) || status == Some(402) {
            Trouble::new(FailureCode::RateLimited).final_one("the account's quota is used up")
        } else {
            by_words(&words).or_else(|| status.map(by_status)).unwrap_or_else(|| Trouble::new(FailureCode::ServerError))
        };
        if let Again::Yes(None) = trouble.again {
            trouble.again = Again::Yes(hinted_wait(&message));
        }
        trouble.status = status;
        trouble.said = Some(self.message).filter(|message| !message.is_empty());
        trouble
    }
}

/// The prompt does not fit. Servers without a code for it say it in words.
fn is_overflow(words: &str, message: &str, status: Option<u16>) -> bool {
    const CODES: [&str; 3] = ["context_length_exceeded", "exceed_context_size", "context_window_exceeded"];
    const PHRASES: [&str; 8] = [
        "maximum context length",
        "context length",
        "context window",
        "available context size",
        "prompt is too long",
        "input is too long",
        "exceeds the model's maximum",
        "longer than the maximum model length",
    ];
    CODES.iter().any(|code| words.contains(code))
        || status == Some(413)
        || (matches!(status, None | Some(400 | 422 | 500)) && PHRASES.iter().any(|phrase| message.contains(phrase)))
}

fn by_words(words: &str) -> Option<Trouble> {
    const CLASSES: [(&str, FailureCode); 17] = [
        ("rate_limit", FailureCode::RateLimited),
        ("too_many_requests", FailureCode::RateLimited),
        ("overloaded", FailureCode::Overloaded),
        ("slow_down", FailureCode::Overloaded),
        ("service_unavailable", FailureCode::Overloaded),
        ("server_error", FailureCode::ServerError),
        ("internal_error", FailureCode::ServerError),
        ("vector_store_timeout", FailureCode::ServerError),
        ("invalid_api_key", FailureCode::AuthenticationFailed),
        ("authentication", FailureCode::AuthenticationFailed),
        ("permission", FailureCode::AuthenticationFailed),
        ("model_not_found", FailureCode::UnknownModel),
        ("deploymentnotfound", FailureCode::UnknownModel),
        ("invalid_prompt", FailureCode::InvalidRequest),
        ("data_residency_mismatch", FailureCode::InvalidRequest),
        ("image", FailureCode::InvalidRequest),
        ("invalid_request", FailureCode::InvalidRequest),
    ];
    CLASSES.iter().find(|(mark, _)| words.contains(mark)).map(|(_, code)| Trouble::new(*code))
}

fn by_status(status: u16) -> Trouble {
    match status {
        401 | 403 => Trouble::new(FailureCode::AuthenticationFailed),
        404 => Trouble::new(FailureCode::UnknownModel),
        429 => Trouble::new(FailureCode::RateLimited),
        503 | 529 => Trouble::new(FailureCode::Overloaded),
        408 | 409 | 500..=599 => Trouble::new(FailureCode::ServerError),
        300..=399 => Trouble::because(
            FailureCode::InvalidRequest,
            "the provider redirects elsewhere, which is not followed; set `base_url` to the final address",
        ),
        _ => Trouble::new(FailureCode::InvalidRequest),
    }
}

/// OpenAI's errors inside a stream say how long to wait only in words: "Please try again in 1.898s."
fn hinted_wait(message: &str) -> Option<Millis> {
    let (_, rest) = message.split_once("try again in ")?;
    let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
    let number: f64 = rest.get(..digits)?.trim_end_matches('.').parse().ok()?;
    let unit = rest.get(digits..)?.trim_start();
    let factor = if unit.starts_with("ms") {
        1.0
    } else if unit.starts_with('s') {
        1000.0
    } else if unit.starts_with('m') {
        60_000.0
    } else {
        return None;
    };
    // A float casts to an integer with saturation, so that nonsense becomes a long wait, which is refused later.
    Some(Millis((number * factor).ceil() as u64))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sorted(status: u16, body: &str) -> (FailureCode, Again) {
        let trouble = ProviderError::of_body(body).sort(Some(status));
        (trouble.code, trouble.again)
    }

    #[test]
    fn statuses_and_bodies_of_real_servers_fall_into_their_classes() {
        use FailureCode::*;
        let yes = Again::Yes(None);
        for (status, body, code, again) in [
            (429, r#"{"error":{"message":"slow","type":"tokens","code":"rate_limit_exceeded"}}"#, RateLimited, yes),
            (
                429,
                r#"{"error":{"message":"pay","type":"insufficient_quota","code":"insufficient_quota"}}"#,
                RateLimited,
                Again::Never,
            ),
            (500, "oops", ServerError, yes),
            (502, "<html>bad gateway</html>", ServerError, yes),
            (503, r#"{"error":{"message":"Loading model","type":"unavailable_error","code":503}}"#, Overloaded, yes),
            (529, "", Overloaded, yes),
            (
                400,
                r#"{"error":{"message":"too long","code":"context_length_exceeded"}}"#,
                ContextOverflow,
                Again::Never,
            ),
            (
                400,
                r#"{"object":"error","message":"This model's maximum context length is 8192 tokens.","type":"BadRequestError","code":400}"#,
                ContextOverflow,
                Again::Never,
            ),
            (
                400,
                r#"{"error":{"code":400,"message":"x","type":"exceed_context_size_error"}}"#,
                ContextOverflow,
                Again::Never,
            ),
            (413, "", ContextOverflow, Again::Never),
            (400, r#"{"error":{"code":"content_filter","message":"x"}}"#, ContentFilter, Again::Never),
            (
                400,
                r#"{"error":{"code":"x","innererror":{"code":"ResponsibleAIPolicyViolation"}}}"#,
                ContentFilter,
                Again::Never,
            ),
            (400, r#"{"error":{"message":"bad","type":"invalid_request_error"}}"#, InvalidRequest, Again::Never),
            (422, r#"{"detail":[{"loc":["body"],"msg":"extra"}]}"#, InvalidRequest, Again::Never),
            (401, r#"{"error":"no"}"#, AuthenticationFailed, Again::Never),
            (403, "", AuthenticationFailed, Again::Never),
            (404, r#"{"error":"model 'x' not found, try pulling it first"}"#, UnknownModel, Again::Never),
            (307, "", InvalidRequest, Again::Never),
        ] {
            assert_eq!(sorted(status, body), (code, again), "{status} {body}");
        }
    }

    #[test]
    fn an_error_inside_a_stream_is_sorted_by_its_code_and_its_words() {
        let error = r#"{"code":"rate_limit_exceeded","message":"Limit reached. Please try again in 1.898s. Visit x."}"#;
        let trouble = ProviderError::of_body(error).sort(None);
        assert_eq!((trouble.code, trouble.again), (FailureCode::RateLimited, Again::Yes(Some(Millis(1898)))));
        let numeric = ProviderError::of_body(r#"{"error":{"code":429,"message":"x"}}"#).sort(None);
        assert_eq!(numeric.code, FailureCode::RateLimited);
        let unheard_of = ProviderError::of_body(r#"{"code":"strange"}"#).sort(None);
        assert_eq!(unheard_of.code, FailureCode::ServerError);
    }

    #[test]
    fn hints_are_read_in_their_units_and_nonsense_is_no_hint() {
        assert_eq!(hinted_wait("try again in 20ms"), Some(Millis(20)));
        assert_eq!(hinted_wait("try again in 2m0s"), Some(Millis(120_000)));
        assert_eq!(hinted_wait("try again in 3."), None);
        assert_eq!(hinted_wait("try again in soon"), None);
    }
}
