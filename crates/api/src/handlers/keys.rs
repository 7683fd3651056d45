//! API keys and access keys, for administrators.

use super::{environments, ok};
use crate::{
    app::Call,
    error::ApiError,
    query::Query,
    routes::Answer,
    types::{agent::Deleted, page::Page},
};
use bailiwick_ports::{KeyDeskError, KeyInfo, KeyKind, NewKey, Scope};
use bailiwick_types::{EnvironmentId, KeyId, Timestamp};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct KeyParam {
    #[serde(default)]
    pub kind: Option<KeyKindParam>,
    /// 1 to 128 characters.
    pub name: String,
    /// `admin`, `agents:read`, `agents:write`, `sessions:read`, `sessions:write`, `files:read`, `files:write`,
    /// `environments:connect`. May be left out for a key that is bound to an environment.
    #[serde(default)]
    #[schema(value_type = Vec<String>)]
    pub scopes: Vec<Scope>,
    /// Seconds since 1970.
    #[serde(default)]
    pub expires_at: Option<i64>,
    /// Binds an access key: it can then only connect an executor there.
    #[serde(default)]
    pub environment_id: Option<String>,
}

#[derive(Debug, Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum KeyKindParam {
    ApiKey,
    AccessKey,
}

/// A credential.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Key {
    pub id: String,
    pub object: &'static str,
    pub kind: &'static str,
    pub name: String,
    pub scopes: Vec<&'static str>,
    pub created_at: i64,
    pub expires_at: Option<i64>,
    pub revoked_at: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last4: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub access_key_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub environment_id: Option<String>,
    /// The API key itself, only when it is made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// The access key's secret, only when it is made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret_access_key: Option<String>,
}

pub(crate) async fn create(mut call: Call) -> Answer {
    call.query()?.finish()?;
    let (param, _): (KeyParam, _) = call.json().await?;
    let environment = match &param.environment_id {
        None => None,
        Some(text) => {
            let unknown = || ApiError::invalid("environment_id", "`environment_id`: there is no such environment.");
            let id: EnvironmentId = text.parse().map_err(|_| unknown())?;
            environments::owner(&call.app, &call.caller, id).await.map_err(|_| unknown())?;
            Some(id)
        }
    };
    let seconds = |seconds: i64| Timestamp::from_millis(seconds.saturating_mul(1000));
    let new = NewKey {
        kind: match param.kind {
            Some(KeyKindParam::AccessKey) => KeyKind::AccessKey,
            Some(KeyKindParam::ApiKey) | None => KeyKind::ApiKey,
        },
        name: param.name,
        scopes: param.scopes,
        expires: param.expires_at.map(seconds),
        environment,
    };
    let (info, secret) = call.app.options.key_desk.create_key(&call.caller.principal, call.caller.tenant, new).await?;
    let mut key = resource(info);
    match key.access_key_id {
        Some(_) => key.secret_access_key = Some(secret.expose().to_owned()),
        None => key.key = Some(secret.expose().to_owned()),
    }
    ok(key)
}

pub(crate) async fn list(call: Call) -> Answer {
    let mut query: Query = call.query()?;
    let page = query.page(crate::query::bits!(KeyId))?;
    query.finish()?;
    let mut keys = call.app.options.key_desk.list_keys(call.caller.tenant).await?;
    if page.descending {
        keys.reverse();
    }
    let place = |cursor: Option<u128>| match cursor {
        None => Ok(None),
        Some(bits) => match keys.iter().position(|key| key.id.to_u128() == bits) {
            Some(at) => Ok(Some(at)),
            None => Err(crate::query::unknown_cursor(&page)),
        },
    };
    let (from, to) = (place(page.after)?.map_or(0, |at| at + 1), place(page.before)?.unwrap_or(keys.len()));
    let within: Vec<KeyInfo> = keys.get(from..to).unwrap_or_default().to_vec();
    let more = within.len() > page.limit as usize;
    let shown = within.into_iter().take(page.limit as usize).map(resource).collect();
    ok(Page::new(shown, more, |key: &Key| key.id.clone()))
}

pub(crate) async fn revoke(call: Call) -> Answer {
    call.query()?.finish()?;
    let id: KeyId = call.id("key_id", "key")?;
    call.app.options.key_desk.revoke_key(&call.caller.principal, call.caller.tenant, id).await?;
    call.app.options.handle.obey_stops();
    ok(Deleted { id: id.to_string(), object: "bailiwick.key.revoked", deleted: true })
}

impl From<KeyDeskError> for ApiError {
    fn from(error: KeyDeskError) -> Self {
        match error {
            KeyDeskError::Invalid(message) => Self::malformed(format!("{message}.")),
            KeyDeskError::UnknownKey(id) => Self::not_found("key", &id.to_string()),
            KeyDeskError::Unavailable(_) => Self::overloaded("Keys cannot be reached now: try again."),
        }
    }
}

pub(crate) fn resource(info: KeyInfo) -> Key {
    Key {
        id: info.id.to_string(),
        object: "bailiwick.key",
        kind: match info.kind {
            KeyKind::ApiKey => "api_key",
            KeyKind::AccessKey => "access_key",
        },
        name: info.name,
        scopes: info.scopes.into_iter().map(Scope::name).collect(),
        created_at: info.created.as_seconds(),
        expires_at: info.expires.map(|at| at.as_seconds()),
        revoked_at: info.revoked.map(|at| at.as_seconds()),
        last4: info.last4,
        access_key_id: info.access_key_id,
        environment_id: info.environment.map(|id| id.to_string()),
        key: None,
        secret_access_key: None,
    }
}
