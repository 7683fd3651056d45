//! Organisations, for whoever runs the server: what is asked here comes through the socket in the data folder.

use super::{keys::Key, ok};
use crate::{app::Call, error::ApiError, query::bits, routes::Answer, types::page::Page};
use bailiwick_ports::{KeyKind, NewKey, Scope, TenantDesk, TenantError, TenantInfo};
use bailiwick_types::{Principal, TenantId};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use utoipa::ToSchema;

/// The name of a key with which an organisation begins, or begins again.
const FIRST_KEY: &str = "administrator";

#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TenantParam {
    /// 1 to 128 characters; no other organisation has it.
    pub name: String,
}

/// An organisation on this server.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = Tenant)]
pub struct TenantResource {
    pub id: String,
    pub object: &'static str,
    pub name: String,
    /// Seconds since 1970.
    pub created_at: i64,
    /// The organisation with which the server began: that of people who name none when they sign in.
    pub first: bool,
    /// An administrator's key, only when the organisation is made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
}

impl TenantResource {
    fn new(info: TenantInfo, first: bool) -> Self {
        Self {
            id: info.id.to_string(),
            object: "bailiwick.tenant",
            name: info.name,
            created_at: info.created.as_seconds(),
            first,
            key: None,
        }
    }
}

pub(crate) async fn create(mut call: Call) -> Answer {
    call.query()?.finish()?;
    let desk = Arc::clone(desk(&call)?);
    let (param, _): (TenantParam, _) = call.json().await?;
    let made = desk.create_tenant(&param.name).await?;
    let (_, secret) = first_key(&call, made.id).await?;
    ok(TenantResource { key: Some(secret), ..TenantResource::new(made, false) })
}

pub(crate) async fn list(call: Call) -> Answer {
    let mut query = call.query()?;
    let page = query.page(bits!(TenantId))?;
    query.finish()?;
    let all = desk(&call)?.list_tenants().await?;
    let first = all.first().map(|tenant| tenant.id);
    let (all, more) = super::people::page_of(all, &page, |tenant| tenant.id.to_u128())?;
    let shown = all.into_iter().map(|tenant| TenantResource::new(tenant.clone(), Some(tenant.id) == first)).collect();
    ok(Page::new(shown, more, |tenant: &TenantResource| tenant.id.clone()))
}

/// For an organisation whose keys are lost.
pub(crate) async fn create_key(call: Call) -> Answer {
    call.query()?.finish()?;
    let id: TenantId = call.id("tenant_id", "organisation")?;
    let known = desk(&call)?.list_tenants().await?;
    if !known.iter().any(|tenant| tenant.id == id) {
        return Err(ApiError::not_found("organisation", &id.to_string()));
    }
    let (key, secret) = first_key(&call, id).await?;
    ok(Key { key: Some(secret), ..key })
}

async fn first_key(call: &Call, tenant: TenantId) -> Result<(Key, String), ApiError> {
    let new = NewKey {
        kind: KeyKind::ApiKey,
        name: FIRST_KEY.into(),
        scopes: vec![Scope::Admin],
        expires: None,
        environment: None,
    };
    let (info, secret) = call.app.options.key_desk.create_key(&call.caller.principal, tenant, new).await?;
    Ok((super::keys::resource(info), secret.expose().to_owned()))
}

/// An organisation's own administrator is nobody among organisations.
fn desk(call: &Call) -> Result<&Arc<dyn TenantDesk>, ApiError> {
    match call.caller.principal {
        Principal::Operator => Ok(&call.app.options.tenants),
        _ => Err(ApiError::forbidden(
            "Organisations are made by whoever runs the server: use `bailiwick tenant` with `--data`, on its machine.",
        )),
    }
}

impl From<TenantError> for ApiError {
    fn from(error: TenantError) -> Self {
        match error {
            TenantError::Invalid(message) => Self::invalid("name", format!("{message}.")),
            TenantError::Taken(_) => {
                Self::conflict("conflict", format!("`name`: {error}; choose another name.")).with_param("name")
            }
            TenantError::TooMany(_) => Self::conflict("conflict", format!("{error}.")),
            TenantError::Unavailable(_) => Self::overloaded("Organisations cannot be reached now: try again."),
        }
    }
}
