//! What a caller is told when something goes wrong: always `{"error": {message, type, param, code}}`, the shape that the
//! official SDKs read. What only an operator may know is logged instead.

use axum::{
    Json,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use bailiwick_engine::EngineError;
use bailiwick_gate::{ArchiveError, GateError};
use bailiwick_ports::{AuthError, ObjectError, StoreError};
use bailiwick_types::SessionId;
use serde::Serialize;
use utoipa::ToSchema;

/// An answer that is not the one that was wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiError {
    pub status: StatusCode,
    pub code: &'static str,
    pub message: String,
    /// The field, parameter or header that is meant.
    pub param: Option<String>,
    /// Seconds after which the same request may go well; `None` where repeating it is of no use.
    pub retry_after: Option<u32>,
}

/// The body of every answer with a status from 400.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Error)]
pub struct ErrorBody {
    error: ErrorDetail,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ErrorDetail)]
struct ErrorDetail {
    /// Plain words, safe to show.
    message: String,
    /// The family: `invalid_request_error`, `authentication_error`, `permission_error`, `rate_limit_error`,
    /// `not_implemented_error` or `server_error`.
    r#type: &'static str,
    param: Option<String>,
    /// Stable; each has a page under `docs/errors`.
    code: &'static str,
}

impl ApiError {
    fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into(), param: None, retry_after: None }
    }

    pub fn with_param(mut self, param: impl Into<String>) -> Self {
        self.param = Some(param.into());
        self
    }

    /// 400: a field or parameter says something that it must not.
    pub fn invalid(param: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid_request_error", message).with_param(param)
    }

    /// 400: the request as a whole cannot be read.
    pub fn malformed(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid_request_error", message)
    }

    /// 400: no published model has this name.
    pub fn unknown_model(param: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "model_not_found", message).with_param(param)
    }

    /// 401.
    pub fn unauthenticated(message: impl Into<String>) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "invalid_api_key", message)
    }

    /// 401: whoever signs in does not prove who they are.
    pub fn sign_in_failed(message: impl Into<String>) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "sign_in_failed", message)
    }

    /// 409: the agent is suspended, retired, or has only drafts.
    pub fn agent_not_active(message: impl Into<String>) -> Self {
        Self::conflict("agent_not_active", message)
    }

    /// 403.
    pub fn forbidden(message: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, "insufficient_permissions", message)
    }

    /// 404, also for what belongs to somebody else.
    pub fn not_found(what: &str, id: &str) -> Self {
        let shown: String = id.chars().take(80).flat_map(char::escape_debug).collect();
        Self::new(StatusCode::NOT_FOUND, "not_found", format!("There is no {what} `{shown}`."))
    }

    /// 404 for a path that leads nowhere.
    pub fn no_route(method: &str, path: &str) -> Self {
        let shown: String = path.chars().take(120).flat_map(char::escape_debug).collect();
        Self::new(StatusCode::NOT_FOUND, "unknown_route", format!("There is nothing at {method} {shown}."))
    }

    /// 405.
    pub fn method_not_allowed(method: &str) -> Self {
        let message = format!("{method} is not possible here.");
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", message)
    }

    /// 409: the state of the resource does not allow it. Repeating it at once is of no use.
    pub fn conflict(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, code, message)
    }

    /// 410: it was there, and its content was erased.
    pub fn erased(session: SessionId) -> Self {
        let message = format!(
            "The content of {session} was erased, or let go because it was old. Its receipts are there and can be proven; \
             nobody can read what they say."
        );
        Self::new(StatusCode::GONE, "erased", message)
    }

    /// 408.
    pub fn too_slow(message: impl Into<String>) -> Self {
        Self { retry_after: Some(1), ..Self::new(StatusCode::REQUEST_TIMEOUT, "request_timeout", message) }
    }

    /// 413.
    pub fn too_large(param: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "payload_too_large", message).with_param(param)
    }

    /// 415.
    pub fn media_type(message: impl Into<String>) -> Self {
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", message).with_param("Content-Type")
    }

    /// 429.
    pub fn rate_limited(seconds: u32) -> Self {
        let message = format!("Too many requests with this key. Try again in {seconds} s.");
        Self { retry_after: Some(seconds), ..Self::new(StatusCode::TOO_MANY_REQUESTS, "rate_limit_exceeded", message) }
    }

    /// 501: a field or route that the API has and this version has not.
    pub fn not_built(what: impl Into<String>) -> Self {
        let what = what.into();
        let message = format!("`{what}` is not supported by this version of the server.");
        Self::new(StatusCode::NOT_IMPLEMENTED, "not_implemented", message).with_param(what)
    }

    /// 503: it may go well later.
    pub fn overloaded(message: impl Into<String>) -> Self {
        Self { retry_after: Some(1), ..Self::new(StatusCode::SERVICE_UNAVAILABLE, "overloaded", message) }
    }

    /// 500. The reason goes to the log, not to the caller.
    pub fn internal(reason: impl std::fmt::Display) -> Self {
        tracing::error!(%reason, "a request failed by a fault of the server");
        let message =
            "The server could not do this because of a fault of its own; its log has the reason, under `x-request-id`.";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal_error", message)
    }

    pub fn is_erased(&self) -> bool {
        self.status == StatusCode::GONE
    }

    fn family(&self) -> &'static str {
        match self.status.as_u16() {
            401 => "authentication_error",
            403 => "permission_error",
            429 => "rate_limit_error",
            501 => "not_implemented_error",
            500.. => "server_error",
            _ => "invalid_request_error",
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let r#type = self.family();
        let retry = self.retry_after;
        let detail = ErrorDetail { message: self.message, r#type, param: self.param, code: self.code };
        let mut response = (self.status, Json(ErrorBody { error: detail })).into_response();
        let headers = response.headers_mut();
        match retry {
            Some(seconds) => {
                headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
            }
            // The SDK would repeat 409 and 5xx by itself.
            None => {
                headers.insert("x-should-retry", HeaderValue::from_static("false"));
            }
        }
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

impl From<AuthError> for ApiError {
    fn from(error: AuthError) -> Self {
        match error {
            AuthError::Unavailable(_) => Self::overloaded(sentence(&error)),
            _ => Self::unauthenticated(sentence(&error)),
        }
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        match &error {
            StoreError::Full => Self {
                retry_after: Some(30),
                ..Self::new(StatusCode::INSUFFICIENT_STORAGE, "disk_full", sentence(&error))
            },
            StoreError::InboxFull(_) => Self {
                retry_after: Some(1),
                ..Self::new(StatusCode::TOO_MANY_REQUESTS, "inbox_full", sentence(&error))
            },
            StoreError::Conflict => Self {
                retry_after: Some(1),
                ..Self::new(StatusCode::CONFLICT, "conflict", "It was changed by somebody else meanwhile: try again.")
            },
            StoreError::KeyReplaced => Self::overloaded(sentence(&error)),
            StoreError::Unavailable(_) => {
                tracing::error!(%error, "the store failed a request");
                Self::overloaded("The store cannot be reached now: try again.")
            }
            StoreError::UnknownStream(_) | StoreError::StaleEpoch { .. } | StoreError::Malformed(_) => {
                Self::internal(error)
            }
        }
    }
}

impl From<GateError> for ApiError {
    fn from(error: GateError) -> Self {
        match error {
            GateError::Store(error) => error.into(),
            other => Self::internal(other),
        }
    }
}

impl From<EngineError> for ApiError {
    fn from(error: EngineError) -> Self {
        match error {
            EngineError::UnknownSession(id) => Self::not_found("session", &id.to_string()),
            EngineError::Gate(error) => error.into(),
        }
    }
}

impl From<ObjectError> for ApiError {
    fn from(error: ObjectError) -> Self {
        match &error {
            ObjectError::Full => Self {
                retry_after: Some(30),
                ..Self::new(StatusCode::INSUFFICIENT_STORAGE, "disk_full", sentence(&error))
            },
            ObjectError::Unavailable(_) => {
                tracing::error!(%error, "the objects failed a request");
                Self::overloaded("Stored files cannot be reached now: try again.")
            }
            ObjectError::Missing(_) | ObjectError::Name(_) => Self::internal(error),
        }
    }
}

impl From<ArchiveError> for ApiError {
    fn from(error: ArchiveError) -> Self {
        match error {
            ArchiveError::Object(error) => error.into(),
            ArchiveError::Gate(error) => error.into(),
            other => Self::internal(other),
        }
    }
}

impl From<bailiwick_ports::KeysError> for ApiError {
    fn from(error: bailiwick_ports::KeysError) -> Self {
        Self::internal(error)
    }
}

/// An error's text as a sentence.
pub(crate) fn sentence(error: &impl std::fmt::Display) -> String {
    let text = error.to_string();
    let mut chars = text.chars();
    let first: String = chars.next().map(|first| first.to_uppercase().collect()).unwrap_or_default();
    let stop = if text.ends_with(['.', '!', '?']) { "" } else { "." };
    format!("{first}{}{stop}", chars.as_str())
}
