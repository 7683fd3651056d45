//! Reading what a client sent: bounded in size, time and depth, and with errors that name the field.

use crate::error::ApiError;
use axum::{body::Body, http::HeaderMap};
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use serde::{Deserialize, Deserializer, de::DeserializeOwned};
use serde_json::Value;
use sha2::{Digest, Sha256};

/// Deepest nesting of arrays and objects in a request.
pub const MAX_DEPTH: usize = 64;

/// Characters of a field's path, and of what is wrong with it, that an error repeats.
const MAX_SHOWN_PATH: usize = 200;
const MAX_SHOWN_TEXT: usize = 600;

/// What a signed request claims its body to be; the body must turn out to be that.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ClaimedDigest(pub [u8; 32]);

/// The whole body, or 413.
pub(crate) async fn read(body: Body, limit: usize, claimed: Option<ClaimedDigest>) -> Result<Bytes, ApiError> {
    let mut body = body;
    let mut bytes = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| ApiError::malformed("The request broke off before its body was complete."))?;
        let Ok(data) = frame.into_data() else { continue };
        if bytes.len() + data.len() > limit {
            let message = format!("The body is longer than {limit} bytes. Send large files through `/v1/files`.");
            return Err(ApiError::too_large("body", message));
        }
        bytes.extend_from_slice(&data);
    }
    if claimed.is_some_and(|claimed| claimed.0 != <[u8; 32]>::from(Sha256::digest(&bytes))) {
        return Err(ApiError::unauthenticated("The body is not the one that `x-amz-content-sha256` signs."));
    }
    Ok(bytes.freeze())
}

/// Refuses what does not say that it is JSON. Nothing said passes, as with the official API.
pub(crate) fn check_json_type(headers: &HeaderMap) -> Result<(), ApiError> {
    let Some(given) = headers.get(axum::http::header::CONTENT_TYPE) else { return Ok(()) };
    let essence = given.to_str().unwrap_or_default().split(';').next().unwrap_or_default().trim();
    let json = essence.eq_ignore_ascii_case("application/json")
        || (essence.len() > 17 && essence[..12].eq_ignore_ascii_case("application/") && essence.ends_with("+json"));
    if json { Ok(()) } else { Err(ApiError::media_type("Send `Content-Type: application/json`.")) }
}

/// Reads a JSON object of this type. Errors name the field by its path.
pub(crate) fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, ApiError> {
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Err(ApiError::malformed("The body is empty; a JSON object is needed."));
    }
    check_depth(bytes)?;
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let value: T = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
        let path = error.path().to_string();
        let inner = error.into_inner();
        if inner.is_syntax() || inner.is_eof() {
            return ApiError::malformed(shown(&format!("The body is not JSON: {inner}."), MAX_SHOWN_TEXT));
        }
        field_error(&path, &strip_place(&inner.to_string()))
    })?;
    reader.end().map_err(|error| ApiError::malformed(format!("The body is not one JSON object: {error}.")))?;
    Ok(value)
}

/// A 400 for the field that a reader stumbled over. Nested readers hand their path on in the message (see [`tagged`]).
fn field_error(outer: &str, message: &str) -> ApiError {
    let (mut path, mut text) = (outer.to_owned(), message.to_owned());
    while let Some((inner, rest)) = text.strip_prefix(PATH_MARK).and_then(|rest| rest.split_once(PATH_MARK)) {
        path = join(&path, inner);
        text = rest.to_owned();
    }
    if path == "." {
        path.clear();
    }
    let named = text.strip_prefix("unknown field `").or_else(|| text.strip_prefix("missing field `"));
    if let Some((field, _)) = named.and_then(|rest| rest.split_once('`')) {
        // The reader's path ends at the parent or at the field, by the way it was read.
        if !(path == field || path.ends_with(&format!(".{field}"))) {
            path = join(&path, field);
        }
    }
    let text = match text.split_once(", expected one of") {
        Some((start, rest)) => format!("{start}; known are{rest}"),
        None => text,
    };
    // Both may hold what the client wrote.
    let (path, text) = (shown(&path, MAX_SHOWN_PATH), shown(&text, MAX_SHOWN_TEXT));
    if path.is_empty() {
        ApiError::malformed(format!("The body does not fit: {text}."))
    } else {
        ApiError::invalid(path.clone(), format!("`{path}`: {text}."))
    }
}

/// Safe to print, and not as long as the client likes.
fn shown(text: &str, limit: usize) -> String {
    let mut shown: String = text.chars().take(limit).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    let escape = |c: char| if c.is_control() { c.escape_debug().collect() } else { vec![c] };
    shown.chars().flat_map(escape).collect()
}

fn join(outer: &str, inner: &str) -> String {
    match (outer, inner) {
        ("" | ".", inner) => inner.to_owned(),
        (outer, "" | ".") => outer.to_owned(),
        (outer, inner) if inner.starts_with('[') => format!("{outer}{inner}"),
        (outer, inner) => format!("{outer}.{inner}"),
    }
}

/// serde_json appends ` at line 1 column 2`, which helps nobody who sent one line.
fn strip_place(text: &str) -> String {
    text.rfind(" at line ").map_or(text, |at| &text[..at]).to_owned()
}

const PATH_MARK: char = '\u{1}';

/// Reads a value whose shape depends on its `type`, keeping the path inside it for the error. serde's own tagged enums
/// lose it.
pub(crate) fn tagged<'de, D: Deserializer<'de>, T>(
    deserializer: D,
    variants: &[&str],
    read: impl FnOnce(&str, Value) -> Option<Result<T, NestedError>>,
) -> Result<T, D::Error> {
    use serde::de::Error;
    let mut value = Value::deserialize(deserializer)?;
    let Some(object) = value.as_object_mut() else { return Err(D::Error::custom("an object is needed")) };
    let Some(tag) = object.remove("type") else {
        return Err(D::Error::custom(format!("{PATH_MARK}type{PATH_MARK}is missing; known are {}", list(variants))));
    };
    let tag = tag.as_str().unwrap_or_default().to_owned();
    match read(&tag, value) {
        Some(Ok(value)) => Ok(value),
        Some(Err(nested)) => Err(D::Error::custom(nested.0)),
        None => {
            let shown: String = tag.chars().take(64).flat_map(char::escape_debug).collect();
            let known = list(variants);
            Err(D::Error::custom(format!("{PATH_MARK}type{PATH_MARK}`{shown}` is not known; known are {known}")))
        }
    }
}

pub(crate) struct NestedError(String);

/// The rest of a tagged object, without its `type`.
pub(crate) fn nested<T: DeserializeOwned>(value: Value) -> Result<T, NestedError> {
    serde_path_to_error::deserialize(value).map_err(|error| {
        let path = error.path().to_string();
        NestedError(format!("{PATH_MARK}{path}{PATH_MARK}{}", error.into_inner()))
    })
}

fn list(variants: &[&str]) -> String {
    variants.iter().map(|variant| format!("`{variant}`")).collect::<Vec<_>>().join(", ")
}

/// A field that was left out is `None`, an explicit `null` is `Some(None)`.
pub(crate) fn nullable<'de, D, T>(deserializer: D) -> Result<Option<Option<T>>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    Option::<T>::deserialize(deserializer).map(Some)
}

/// Refuses nesting that no honest request has, before anything recurses into it.
fn check_depth(bytes: &[u8]) -> Result<(), ApiError> {
    let (mut depth, mut in_text, mut escaped) = (0_usize, false, false);
    for byte in bytes {
        match (in_text, *byte) {
            (true, _) if escaped => escaped = false,
            (true, b'\\') => escaped = true,
            (true, b'"') => in_text = false,
            (true, _) => {}
            (false, b'"') => in_text = true,
            (false, b'{' | b'[') => {
                depth += 1;
                if depth > MAX_DEPTH {
                    let message = format!("The body nests deeper than {MAX_DEPTH} levels.");
                    return Err(ApiError::malformed(message));
                }
            }
            (false, b'}' | b']') => depth = depth.saturating_sub(1),
            (false, _) => {}
        }
    }
    Ok(())
}

impl NestedError {
    /// The message with its path, for a reader that is no tagged one.
    pub(crate) fn into_text(self) -> String {
        self.0
    }
}

/// The same body, which breaks off where it turns out not to be the one that was claimed.
pub(crate) fn checked(body: Body, claimed: Option<ClaimedDigest>) -> Body {
    let Some(ClaimedDigest(claimed)) = claimed else { return body };
    let state = (body, Some(Sha256::new()));
    let pieces = futures_util::stream::unfold(state, move |(mut body, hasher)| async move {
        let mut hasher = hasher?;
        loop {
            return match body.frame().await {
                Some(Ok(frame)) => {
                    let Ok(data) = frame.into_data() else { continue };
                    hasher.update(&data);
                    Some((Ok(data), (body, Some(hasher))))
                }
                Some(Err(error)) => Some((Err(error), (body, None))),
                None if <[u8; 32]>::from(hasher.finalize()) == claimed => None,
                None => {
                    let wrong = std::io::Error::other("it is not the body that `x-amz-content-sha256` signs");
                    Some((Err(axum::Error::new(wrong)), (body, None)))
                }
            };
        }
    });
    Body::from_stream(pieces)
}
