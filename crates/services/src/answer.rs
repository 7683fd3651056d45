//! What came back, as an outcome that says exactly what is known: done, refused by the service, or unknown.

use crate::{
    configuration::{Configuration, Pagination},
    document::{Operation, Place},
    web::decoded,
};
use bailiwick_core::{ActionResult, Content, Effect, Failure, FailureCode, Outcome, ToolAnswer};
use bailiwick_outbound::{Arrival, Outbound, OutboundError, Phase, Request, Response, StatusCode};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::Value;
use url::Url;

/// How much of a service's words about an error is passed on.
const MAX_ERROR_CHARS: usize = 1500;
/// Images up to this are shown.
const MAX_IMAGE: usize = 512 * 1024;
const IMAGES: [&str; 4] = ["image/png", "image/jpeg", "image/gif", "image/webp"];
/// The longest hint at the next page.
const MAX_HINT: usize = 600;

/// What was asked of the service, to read its answer by.
#[derive(Clone, Copy)]
pub(crate) struct Asked<'a> {
    pub operation: &'a Operation,
    pub effect: Effect,
    pub configuration: &'a Configuration,
}

pub(crate) async fn outcome(outbound: &Outbound, request: Request, asked: Asked<'_>) -> Outcome {
    let effect = asked.effect;
    let response = match outbound.send(request).await {
        Ok(response) => response,
        Err(error) => return lost(&error, effect),
    };
    let status = response.status();
    if status.is_success() {
        return done(response, asked).await;
    }
    // A gateway says this when it does not know what became of the request behind it.
    if effect != Effect::Read && matches!(status.as_u16(), 408 | 502 | 504) {
        return Outcome::Unknown {
            reason: format!("the service answered {}: it may or may not have been done", said(status)),
        };
    }
    Outcome::Failed { failure: refused(response, status).await }
}

/// When whoever asked does not want it any more.
pub(crate) fn given_up(effect: Effect) -> Outcome {
    match effect {
        Effect::Read => Outcome::Failed { failure: Failure::new(FailureCode::Cancelled, "The call was cancelled.") },
        _ => Outcome::Unknown { reason: "the call was cancelled before its answer was there".into() },
    }
}

fn lost(error: &OutboundError, effect: Effect) -> Outcome {
    let message = error.to_string();
    if effect != Effect::Read && error.arrival() == Arrival::Unknown {
        return Outcome::Unknown { reason: message };
    }
    let code = match error {
        OutboundError::Refused(_) | OutboundError::Invalid(_) | OutboundError::Redirected { .. } => {
            FailureCode::InvalidRequest
        }
        OutboundError::Busy(_) => FailureCode::Overloaded,
        OutboundError::Unreachable { .. } | OutboundError::Lost { .. } => FailureCode::ConnectionFailed,
        OutboundError::TimedOut { phase: Phase::Connect, .. } => FailureCode::ConnectionFailed,
        OutboundError::TimedOut { .. } => FailureCode::FirstByteTimeout,
        OutboundError::Malformed { .. } | OutboundError::TooLong { .. } => FailureCode::MalformedAnswer,
    };
    Outcome::Failed { failure: Failure::new(code, message) }
}

/// The service's own words, bounded; they are data from outside.
async fn refused(response: Response, status: StatusCode) -> Failure {
    let code = match status.as_u16() {
        401 => FailureCode::AuthenticationFailed,
        429 => FailureCode::RateLimited,
        503 => FailureCode::Overloaded,
        500..=599 => FailureCode::ServerError,
        _ => FailureCode::ToolError,
    };
    let mut message = format!("The service answered {}", said(status));
    if let Some(after) = response.header("retry-after").filter(|after| after.len() <= 40 && after.is_ascii()) {
        message += &format!(" (try again after {after})");
    }
    if status.is_redirection() {
        return Failure::new(code, message + ": it leads elsewhere, which is not followed.");
    }
    let content_type = response.header("content-type").unwrap_or_default().to_owned();
    let mut words = String::new();
    // What the service says is a help, not what was asked for: without it the status stands.
    if let Ok((body, _)) = response.bytes_cut().await
        && is_text(&content_type)
    {
        words = clean(&decoded(&body[..body.len().min(64 * 1024)], &content_type), MAX_ERROR_CHARS);
    }
    Failure::new(code, if words.is_empty() { message + "." } else { format!("{message}: {words}") })
}

async fn done(response: Response, asked: Asked<'_>) -> Outcome {
    let Asked { operation, effect, configuration } = asked;
    let status = response.status();
    let content_type = response.header("content-type").unwrap_or_default().to_ascii_lowercase();
    let linked = linked_page(&response, operation);
    let (body, more) = match response.bytes_cut().await {
        Ok(read) => read,
        // It was done: the service said so before its words broke off.
        Err(error) if effect != Effect::Read => {
            return confirmed(
                status,
                vec![Content::text(format!("Done ({}), but its answer broke off: {error}.", said(status)))],
            );
        }
        Err(error) => return lost(&error, Effect::Read),
    };
    let essence = content_type.split(';').next().unwrap_or_default().trim().to_owned();
    if body.is_empty() {
        return confirmed(status, vec![Content::text(format!("Done ({}), with nothing to show.", said(status)))]);
    }
    if IMAGES.contains(&essence.as_str()) && body.len() <= MAX_IMAGE && !more {
        return confirmed(
            status,
            vec![Content::Image { url: format!("data:{essence};base64,{}", STANDARD.encode(&body)) }],
        );
    }
    if !is_text(&content_type) {
        let size = body.len();
        let many = if more { "more than " } else { "" };
        let what = crate::document::shown(&essence);
        return confirmed(
            status,
            vec![Content::text(format!("Done ({}): {many}{size} bytes of `{what}`, which is no text.", said(status)))],
        );
    }
    let text = decoded(&body, &content_type);
    let next = linked.or_else(|| pointed_page(&text, operation, configuration.pagination.as_ref()));
    let shown = cut(&text, configuration.output_bytes, more);
    let mut content = vec![Content::text(shown)];
    content.extend(next.map(Content::text));
    confirmed(status, content)
}

fn confirmed(status: StatusCode, content: Vec<Content>) -> Outcome {
    let facts = [("http_status".to_owned(), status.as_u16().to_string())].into();
    Outcome::Confirmed { result: ActionResult::Tool(ToolAnswer { content, facts, ..ToolAnswer::default() }) }
}

fn said(status: StatusCode) -> String {
    status
        .canonical_reason()
        .map_or_else(|| status.as_u16().to_string(), |reason| format!("{} {reason}", status.as_u16()))
}

fn is_text(content_type: &str) -> bool {
    let essence = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let named =
        ["application/json", "application/xml", "application/yaml", "application/x-ndjson", "application/javascript"];
    // One that does not say what it is most likely is.
    essence.is_empty()
        || essence.starts_with("text/")
        || essence.ends_with("+json")
        || essence.ends_with("+xml")
        || named.contains(&essence.as_str())
}

/// A text as long as may be shown, and how much was left out.
pub(crate) fn cut(text: &str, limit: usize, more: bool) -> String {
    let end = text.floor_char_boundary(limit);
    if end == text.len() && !more {
        return text.to_owned();
    }
    let of = if more { format!("more than {}", text.len()) } else { text.len().to_string() };
    format!("{}\n[cut: the first {end} of {of} bytes are shown; ask for less, or for fewer at a time]", &text[..end])
}

/// Without control characters, and not longer than `limit`.
fn clean(text: &str, limit: usize) -> String {
    let fine = |char: char| if char.is_control() && char != '\n' { ' ' } else { char };
    let mut clean: String = text.trim().chars().take(limit).map(fine).collect();
    if text.trim().chars().count() > limit {
        clean.push('…');
    }
    clean
}

/// `Link: <…?page=2>; rel="next"` (RFC 8288), as arguments of the same tool.
fn linked_page(response: &Response, operation: &Operation) -> Option<String> {
    let header = response.header("link").filter(|header| header.len() <= 8192)?;
    let next = header.split(',').find_map(|link| {
        let (url, parameters) = link.trim().strip_prefix('<')?.split_once('>')?;
        let is_next = |parameter: &str| {
            let (name, value) = parameter.split_once('=').unwrap_or_default();
            let relations = value.trim().trim_matches('"');
            name.trim().eq_ignore_ascii_case("rel") && relations.split(' ').any(|one| one.eq_ignore_ascii_case("next"))
        };
        parameters.split(';').any(is_next).then_some(url)
    })?;
    let url = Url::parse(response.url()).ok()?.join(next).ok()?;
    let argument = |name: &str| {
        let is_it = |one: &&crate::document::Parameter| one.place == Place::Query && one.name == name;
        operation.parameters.iter().find(is_it).map(|one| one.argument.clone())
    };
    let pairs: Vec<String> = url
        .query_pairs()
        .filter_map(|(name, value)| Some(format!("`{}`: {}", argument(&name)?, clean(&value, 200))))
        .collect();
    Some(if pairs.is_empty() {
        "[there is more, but no argument of this tool leads to it]".into()
    } else {
        clean(&format!("[there is more: call again with {}]", pairs.join(", ")), MAX_HINT)
    })
}

/// The mark of the next page where the administrator says that it stands.
fn pointed_page(text: &str, operation: &Operation, pagination: Option<&Pagination>) -> Option<String> {
    let pagination = pagination?;
    let is_it =
        |one: &&crate::document::Parameter| one.name == pagination.parameter || one.argument == pagination.parameter;
    let parameter = operation.parameters.iter().find(is_it)?;
    let answer: Value = serde_json::from_str(text).ok()?;
    let mark = match answer.pointer(&pagination.next)? {
        Value::String(mark) if !mark.is_empty() => mark.clone(),
        Value::Number(mark) => mark.to_string(),
        _ => return None,
    };
    Some(clean(&format!("[there is more: call again with `{}`: {mark}]", parameter.argument), MAX_HINT))
}
