//! A call as the request that it is: where it goes, what it carries, and which secret goes where.

use crate::{
    configuration::Configuration,
    document::{Body, BodyKind, Operation, Place, Scheme},
    encode::{header_value, literal, path_value, percent, query_parts, text},
    multipart::{multipart, urlencoded},
    service::{Access, Service},
};
use bailiwick_core::{Failure, FailureCode};
use bailiwick_gate::calls::invalid;
use bailiwick_outbound::{Authority, Credential, Reach, Redirects, Request, Timeouts};
use bailiwick_types::{Millis, Secret};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Map, Value};
use url::Url;

/// What a request's body may have.
const MAX_BODY: usize = 8 * 1024 * 1024;
const MAX_TIMEOUT: Millis = Millis::from_secs(600);

pub(crate) fn request(
    service: &Service,
    operation: &Operation,
    arguments: &Value,
    access: &Access<'_>,
) -> Result<Request, Failure> {
    let arguments = arguments.as_object().ok_or_else(|| invalid("The arguments must be a JSON object."))?;
    check(operation, arguments).map_err(invalid)?;
    let url = url(service, operation, arguments).map_err(invalid)?;
    let reach = Reach::Exact {
        authority: Authority::of(&url).map_err(|error| invalid(error.to_string()))?,
        plain_http: service.configuration().plain_http,
    };
    let mut request = Request::new(operation.method.clone(), url, reach).who(access.who);
    request.redirects = Redirects::None;
    let configuration = service.configuration();
    request.timeouts = timeouts(configuration);
    request.max_body_bytes = configuration.max_answer_bytes;
    request = request.header("accept", "application/json, text/*;q=0.9, */*;q=0.5");
    for (name, value) in &configuration.headers {
        request = request.header(name, value);
    }
    request = with_headers(request, operation, arguments);
    if let Some(name) = service.idempotency_header(operation) {
        request = request.header(name, access.action);
    }
    if let Some(body) = &operation.body
        && let Some(value) = given(arguments, &body.argument)
    {
        request =
            with_body(request, body, value).map_err(|problem| invalid(format!("`{}` {problem}.", body.argument)))?;
    }
    request.credentials = credentials(service, operation, access)?;
    Ok(request)
}

fn timeouts(configuration: &Configuration) -> Timeouts {
    let total_ms = configuration.timeout_ms.min(MAX_TIMEOUT);
    Timeouts { first_byte_ms: total_ms, idle_ms: total_ms, total_ms, ..Timeouts::default() }
}

/// An argument that says something; `null` is one that was not given.
fn given<'a>(arguments: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    arguments.get(name).filter(|value| !value.is_null())
}

/// Nothing is sent that the operation does not know, and nothing is missing.
fn check(operation: &Operation, arguments: &Map<String, Value>) -> Result<(), String> {
    let body = operation.body.as_ref();
    let known = |name: &str| {
        operation.parameters.iter().any(|parameter| parameter.argument == name)
            || body.is_some_and(|body| body.argument == name)
    };
    if let Some(unknown) = arguments.keys().find(|name| !known(name)) {
        return Err(format!("`{}` is no argument of this tool.", unknown.escape_debug()));
    }
    let required = operation.parameters.iter().filter(|one| one.required).map(|one| &one.argument);
    let required = required.chain(body.filter(|body| body.required).map(|body| &body.argument));
    match required.into_iter().find(|name| given(arguments, name).is_none()) {
        Some(missing) => Err(format!("`{missing}` is missing.")),
        None => Ok(()),
    }
}

fn url(service: &Service, operation: &Operation, arguments: &Map<String, Value>) -> Result<String, String> {
    let base = service.base(operation);
    let path = format!("{}{}", base.path().trim_end_matches('/'), path(operation, arguments)?);
    let mut parts = Vec::new();
    for parameter in operation.parameters.iter().filter(|one| one.place == Place::Query) {
        if let Some(value) = given(arguments, &parameter.argument) {
            parts.extend(query_parts(parameter, value));
        }
    }
    let origin = base.origin().ascii_serialization();
    let query = if parts.is_empty() { String::new() } else { format!("?{}", parts.join("&")) };
    let whole = format!("{origin}{path}{query}");
    // A client that reads the URL must find in it what was written.
    match Url::parse(&whole) {
        Ok(read) if read.path() == path && read.origin() == base.origin() => Ok(whole),
        _ => Err("The arguments make a path that would be read as another one.".into()),
    }
}

fn path(operation: &Operation, arguments: &Map<String, Value>) -> Result<String, String> {
    let mut path = String::new();
    let mut rest = operation.path.as_str();
    while let Some((before, after)) = rest.split_once('{') {
        path.push_str(&literal(before));
        let (name, after) = after.split_once('}').unwrap_or((after, ""));
        let is_it = |one: &&crate::document::Parameter| one.place == Place::Path && one.name == name;
        let parameter = operation.parameters.iter().find(is_it).ok_or("The path has a part that nothing fills.")?;
        let value = arguments.get(&parameter.argument).unwrap_or(&Value::Null);
        path += &path_value(parameter, value).map_err(|problem| format!("`{}` {problem}.", parameter.argument))?;
        rest = after;
    }
    path.push_str(&literal(rest));
    Ok(path)
}

fn with_headers(mut request: Request, operation: &Operation, arguments: &Map<String, Value>) -> Request {
    let mut cookies = Vec::new();
    for parameter in &operation.parameters {
        let Some(value) = given(arguments, &parameter.argument) else { continue };
        match parameter.place {
            Place::Header => request = request.header(&parameter.name, header_value(parameter, value)),
            Place::Cookie => {
                cookies.push(format!("{}={}", percent(&parameter.name), percent(&header_value(parameter, value))))
            }
            Place::Path | Place::Query => {}
        }
    }
    if cookies.is_empty() { request } else { request.header("cookie", cookies.join("; ")) }
}

fn with_body(request: Request, body: &Body, value: &Value) -> Result<Request, String> {
    let fields = || value.as_object().ok_or_else(|| "must be an object, because it is a form".to_owned());
    let (media_type, bytes) = match body.kind {
        BodyKind::Json => (body.media_type.clone(), value.to_string().into_bytes()),
        BodyKind::Text => (body.media_type.clone(), text(value).into_bytes()),
        BodyKind::Form => (body.media_type.clone(), urlencoded(body, fields()?).into_bytes()),
        BodyKind::Multipart => multipart(body, fields()?)?,
    };
    if bytes.len() > MAX_BODY {
        return Err(format!("is longer than {MAX_BODY} bytes"));
    }
    Ok(request.body(&media_type, bytes))
}

/// The secrets for the first alternative that can be met.
fn credentials(service: &Service, operation: &Operation, access: &Access<'_>) -> Result<Vec<Credential>, Failure> {
    let wanted = service.configuration().scheme.as_ref();
    let mut alternatives: Vec<Vec<String>> = operation.security.clone();
    match wanted {
        // A document that says nothing of signing in may leave that to the administrator.
        Some(wanted) if alternatives.is_empty() => alternatives.push(vec![wanted.clone()]),
        Some(wanted) => alternatives.retain(|names| names.is_empty() || names.contains(wanted)),
        None => {}
    }
    let optional = alternatives.is_empty() || alternatives.iter().any(Vec::is_empty);
    let meet = |names: &Vec<String>| -> Option<Vec<Credential>> {
        names.iter().map(|name| credential(service, name, access.secrets.of(name, names.len() == 1)?)).collect()
    };
    let met = alternatives.iter().filter(|names| !names.is_empty()).find_map(meet);
    match met {
        Some(credentials) => Ok(credentials),
        None if optional => Ok(Vec::new()),
        None => Err(Failure::new(FailureCode::AuthenticationFailed, needed(service, &alternatives, operation))),
    }
}

fn credential(service: &Service, name: &str, secret: &Secret) -> Option<Credential> {
    let value = secret.clone();
    Some(match service.scheme(name)? {
        Scheme::Header(name) => Credential::Header { name: name.clone(), value },
        Scheme::Query(name) => Credential::Query { name: name.clone(), value },
        Scheme::Cookie(name) => Credential::Cookie { name: name.clone(), value },
        Scheme::Bearer => Credential::bearer(secret),
        Scheme::Basic => {
            let value = Secret::new(format!("Basic {}", STANDARD.encode(secret.expose())));
            Credential::Header { name: "authorization".into(), value }
        }
        Scheme::Other(_) => return None,
    })
}

fn needed(service: &Service, alternatives: &[Vec<String>], operation: &Operation) -> String {
    let describe = |name: &String| match service.scheme(name) {
        None => format!("`{name}` (which the document does not explain)"),
        Some(Scheme::Other(kind)) => format!("`{name}` ({kind}, which is not spoken here)"),
        Some(Scheme::Basic) => format!("`{name}` (user and password, as `user:password`)"),
        Some(_) => format!("`{name}`"),
    };
    let one = |names: &Vec<String>| names.iter().map(describe).collect::<Vec<_>>().join(" with ");
    let all: Vec<String> = alternatives.iter().take(5).map(one).collect();
    if all.is_empty() {
        return format!("{} does not take the scheme that the connector names.", operation.key);
    }
    format!(
        "{} needs a credential for {}: put one into a vault and name it in the connector.",
        operation.key,
        all.join(" or ")
    )
}
