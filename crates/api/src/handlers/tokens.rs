//! Tokens that we issue: exchanged (RFC 8693), ended early (RFC 7009), and described (RFC 8414, RFC 7517). Errors have the
//! shape of RFC 6749, because OAuth clients read them.

use super::{ok, sessions};
use crate::{
    app::{Call, Visit},
    auth,
    error::ApiError,
    routes::Answer,
    types::tokens::RotateSigningKeyParam,
};
use axum::{
    Json,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use bailiwick_ports::{
    Scope,
    tokens::{Actor, Exchange, Possession, Thumbprint, TokenError, Tokens},
};
use bailiwick_types::{AgentId, Secret, SessionId};
use serde_json::json;
use std::sync::Arc;

const GRANT: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";

pub(crate) async fn metadata(visit: Visit) -> Answer {
    visit.query()?.finish()?;
    ok(tokens(&visit)?.metadata())
}

pub(crate) async fn keys(visit: Visit) -> Answer {
    visit.query()?.finish()?;
    match tokens(&visit)?.keys().await {
        Ok(keys) => ok(keys),
        Err(error) => Ok(refused(&error)),
    }
}

pub(crate) async fn exchange(mut visit: Visit) -> Answer {
    visit.query()?.finish()?;
    let tokens = tokens(&visit)?;
    let form = visit.form().await?;
    let (mut exchange, actor, subject) = match wanted(&form) {
        Ok(wanted) => wanted,
        Err(error) => return Ok(refused(&error)),
    };
    exchange.holder = match holder(&visit, &*tokens).await {
        Ok(holder) => holder,
        Err(error) => return Ok(refused(&error)),
    };
    if let Err(error) = check_session(&visit, subject, actor, exchange.holder.as_ref()).await {
        return Ok(refused(&error));
    }
    let token_type = if exchange.holder.is_some() { "DPoP" } else { "Bearer" };
    match tokens.exchange(exchange).await {
        Err(error) => Ok(refused(&error)),
        Ok((issued, scopes)) => {
            let seconds = issued.expires.since(visit.app.now()).0 / 1000;
            let body = json!({
                "access_token": issued.token.expose(),
                "issued_token_type": ACCESS_TOKEN,
                "token_type": token_type,
                "expires_in": seconds,
                "scope": scopes.iter().map(|scope| scope.name()).collect::<Vec<_>>().join(" "),
            });
            let mut response = Json(body).into_response();
            response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
            Ok(response)
        }
    }
}

/// Whoever holds a token may end it.
pub(crate) async fn revoke(mut visit: Visit) -> Answer {
    visit.query()?.finish()?;
    let tokens = tokens(&visit)?;
    let form = visit.form().await?;
    let Some((_, token)) = form.iter().find(|(name, _)| name == "token") else {
        return Ok(refused(&TokenError::InvalidRequest("`token` is missing".into())));
    };
    match tokens.revoke(token).await {
        Ok(()) => ok(json!({})),
        Err(error) => Ok(refused(&error)),
    }
}

/// The key that whoever asks proves to hold (RFC 9449, section 5), if they do.
async fn holder(visit: &Visit, tokens: &dyn Tokens) -> Result<Option<Thumbprint>, TokenError> {
    let Some(proof) = auth::proof(&visit.parts).map_err(TokenError::InvalidProof)? else { return Ok(None) };
    let url = format!("{}{}", visit.base_url, visit.parts.uri.path());
    tokens.prove(Possession { proof, method: visit.parts.method.as_str(), url: &url, token: None }).await.map(Some)
}

/// Has another key sign from now on.
pub(crate) async fn rotate(mut call: Call) -> Answer {
    call.query()?.finish()?;
    let said = call.reason()?;
    let (param, _): (RotateSigningKeyParam, _) = call.json().await?;
    let reason = param.reason.or(said);
    let Some(tokens) = call.app.options.tokens.clone() else { return Err(issues_none()) };
    match tokens.rotate(call.caller.tenant, call.caller.principal.clone(), reason, param.end_tokens).await {
        Ok(keys) => ok(keys),
        Err(TokenError::Unavailable(problem)) => Err(ApiError::overloaded(problem)),
        Err(error) => Err(ApiError::malformed(error.to_string())),
    }
}

fn issues_none() -> ApiError {
    let mut missing = ApiError::not_built("server.public_url");
    missing.message = "This server issues no tokens: its configuration names no `[server] public_url`.".into();
    missing
}

fn tokens(visit: &Visit) -> Result<Arc<dyn Tokens>, ApiError> {
    visit.app.options.tokens.clone().ok_or_else(issues_none)
}

/// Reads the form. The actor is said by name and never guessed from a client.
fn wanted(form: &[(String, String)]) -> Result<(Exchange, Actor, &str), TokenError> {
    let find = |name: &str| form.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str());
    let wrong = |text: String| Err(TokenError::InvalidRequest(text));
    if find("grant_type") != Some(GRANT) {
        return wrong(format!("`grant_type` must be `{GRANT}`"));
    }
    for name in ["subject_token_type", "requested_token_type"] {
        if find(name).is_some_and(|kind| kind != ACCESS_TOKEN) {
            return wrong(format!("`{name}` must be `{ACCESS_TOKEN}`"));
        }
    }
    if find("actor_token").is_some() {
        return wrong("`actor_token` is not taken: name the agent with `actor_agent` and `actor_session`".into());
    }
    let Some(subject) = find("subject_token") else { return wrong("`subject_token` is missing".into()) };
    let agent: Option<AgentId> = find("actor_agent").and_then(|id| id.parse().ok());
    let session: Option<SessionId> = find("actor_session").and_then(|id| id.parse().ok());
    let (Some(agent), Some(session)) = (agent, session) else {
        return wrong("`actor_agent` and `actor_session` must be the ids of a saved agent and of its session".into());
    };
    let scope = |name: &str| {
        let known = Scope::ALL.into_iter().find(|scope| scope.name() == name);
        known.ok_or_else(|| TokenError::InvalidScope("`scope` names a scope that there is not".into()))
    };
    let scopes = find("scope").map(|scopes| scopes.split_ascii_whitespace().map(scope).collect()).transpose()?;
    let audience = find("audience").or(find("resource")).map(str::to_owned);
    let actor = Actor { agent, session };
    let subject_token = Some(Secret::new(subject));
    Ok((Exchange { subject_token, actor: Some(actor), audience, scopes, holder: None }, actor, subject))
}

/// The agent acts in a session of its own that is this person's; no other is told apart from one that is not there.
async fn check_session(
    visit: &Visit,
    subject: &str,
    actor: Actor,
    holder: Option<&Thumbprint>,
) -> Result<(), TokenError> {
    let app = &visit.app;
    let authenticator = &app.options.authenticator;
    let caller = match holder {
        Some(holder) => authenticator.authenticate_held(subject, holder).await,
        None => authenticator.authenticate_bearer(subject).await,
    };
    let caller = caller.map_err(|error| TokenError::InvalidGrant(format!("`subject_token`: {error}")))?;
    let unknown =
        || TokenError::InvalidRequest("`actor_session`: this agent has no such session for this person".into());
    let known = sessions::find(app, &caller, actor.session).await.map_err(|_| unknown())?;
    let theirs = known.view.creator.person().is_some() && known.view.creator.person() == caller.principal.person();
    if theirs && known.view.agent.id == actor.agent { Ok(()) } else { Err(unknown()) }
}

/// RFC 6749, section 5.2.
fn refused(error: &TokenError) -> Response {
    let (code, status) = match error {
        TokenError::InvalidRequest(_) => ("invalid_request", StatusCode::BAD_REQUEST),
        TokenError::InvalidGrant(_) => ("invalid_grant", StatusCode::BAD_REQUEST),
        TokenError::InvalidScope(_) => ("invalid_scope", StatusCode::BAD_REQUEST),
        TokenError::InvalidProof(_) => ("invalid_dpop_proof", StatusCode::BAD_REQUEST),
        TokenError::Unavailable(_) => ("temporarily_unavailable", StatusCode::SERVICE_UNAVAILABLE),
    };
    (status, Json(json!({"error": code, "error_description": error.to_string()}))).into_response()
}
