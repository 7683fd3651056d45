//! Vaults and credentials: who may keep which, and how they are shown. No answer holds a secret.

use super::{ok, people::author, people::page_of};
use crate::{
    app::{App, Call},
    error::ApiError,
    query::{Query, bits},
    routes::Answer,
    types::{
        agent::Deleted,
        page::Page,
        vault::{
            ClientAuth as ShownClient, ClientAuthParam, Credential as ShownCredential, CredentialAuth,
            CredentialAuthParam, CredentialCreate, CredentialRotateParam, CredentialUpdate, Networking, Refresh,
            RefreshParam, RefreshRotateParam, Vault as ShownVault, VaultCreate, VaultExtras, VaultOwnerParam,
            VaultUpdate,
        },
    },
};
use bailiwick_core::canonical;
use bailiwick_ports::{
    Caller, Scope, VaultError,
    vault::{
        Auth, ClientAuth, Credential, CredentialPatch, EnterpriseManaged, McpOauth, Metadata, NewCredential, NewVault,
        OauthRefresh, Secrets, Server, Vault, VaultOwner, VaultPatch,
    },
};
use bailiwick_types::{AgentId, CredentialId, Principal, Secret, Timestamp, UserId, VaultId};

/// Vaults that one session may be given.
const MAX_SESSION_VAULTS: usize = 10;

// ---- who may ----

/// Whether the caller keeps what has this owner: sees it and may change it.
fn keeps(app: &App, caller: &Caller, owner: VaultOwner) -> bool {
    // An agent works with secrets and never keeps them, whoever it works for.
    if matches!(caller.principal, Principal::Agent { .. }) {
        return false;
    }
    match owner {
        VaultOwner::User { id } => caller.principal.person() == Some(id),
        VaultOwner::Agent { id } => caller.may(Scope::Admin) || answers_for(app, caller, id),
        VaultOwner::Shared => caller.may(Scope::Admin),
    }
}

fn answers_for(app: &App, caller: &Caller, agent: AgentId) -> bool {
    let Some(person) = caller.principal.person() else { return false };
    let colleague = app.options.directory.colleague(caller.tenant, agent);
    colleague.is_some_and(|colleague| colleague.owner == Some(person) || colleague.deputy == Some(person))
}

/// The vault in the path, when the caller keeps it.
fn find(call: &Call) -> Result<Vault, ApiError> {
    let id: VaultId = call.id("vault_id", "vault")?;
    let vault = call.app.options.vaults.vault(call.caller.tenant, id);
    let kept = vault.filter(|vault| keeps(&call.app, &call.caller, vault.owner));
    kept.ok_or_else(|| ApiError::not_found("vault", &id.to_string()))
}

fn find_credential(call: &Call) -> Result<std::sync::Arc<Credential>, ApiError> {
    let vault = find(call)?;
    let id: CredentialId = call.id("credential_id", "credential")?;
    let inside = call.app.options.vaults.credentials(call.caller.tenant, vault.id);
    let found = inside.into_iter().find(|credential| credential.id == id);
    found.ok_or_else(|| ApiError::not_found("credential", &id.to_string()))
}

/// Whose a new vault is.
fn owner_of(app: &App, caller: &Caller, wanted: Option<VaultOwnerParam>) -> Result<VaultOwner, ApiError> {
    const FIELD: &str = "bailiwick.owner";
    let refuse = |text: &str| Err(ApiError::invalid(FIELD, format!("`{FIELD}`: {text}.")));
    let person = caller.principal.person();
    let owner = match (wanted, person) {
        (None | Some(VaultOwnerParam::User { id: None }), Some(id)) => VaultOwner::User { id },
        (None, None) => VaultOwner::Shared,
        (Some(VaultOwnerParam::User { id: Some(text) }), Some(own)) => match text.parse::<UserId>() {
            Ok(id) if id == own => VaultOwner::User { id },
            _ => return refuse("a person's vault is made by that person"),
        },
        (Some(VaultOwnerParam::User { .. }), None) => {
            return refuse("a program is no person: say `shared`, or whose agent's it is");
        }
        (Some(VaultOwnerParam::Agent { id: text }), _) => {
            let id: Option<AgentId> = text.parse().ok();
            let known = id.filter(|id| app.options.directory.colleague(caller.tenant, *id).is_some());
            match known {
                Some(id) if keeps(app, caller, VaultOwner::Agent { id }) => VaultOwner::Agent { id },
                _ => return refuse("there is no such agent that you answer for"),
            }
        }
        (Some(VaultOwnerParam::Shared {}), _) => VaultOwner::Shared,
    };
    if keeps(app, caller, owner) {
        return Ok(owner);
    }
    let message = format!("`{FIELD}`: only an administrator keeps shared vaults.");
    Err(ApiError::forbidden(message).with_param(FIELD))
}

/// Whether a vault is there for what somebody orders from an agent: their own, the agent's, or a shared one.
fn serves(vault: &Vault, orderer: &Principal, agent: AgentId) -> bool {
    match vault.owner {
        VaultOwner::User { id } => orderer.person() == Some(id),
        VaultOwner::Agent { id } => id == agent,
        VaultOwner::Shared => true,
    }
}

/// The vaults of a session in which nobody named any: one's own, the agent's and shared ones, as many as a session has.
pub(crate) fn usable(app: &App, caller: &Caller, orderer: &Principal, agent: AgentId) -> Vec<VaultId> {
    let mut vaults = app.options.vaults.vaults(caller.tenant);
    vaults.retain(|vault| serves(vault, orderer, agent));
    vaults.sort_by_key(|vault| (matches!(vault.owner, VaultOwner::Shared), vault.id));
    vaults.into_iter().map(|vault| vault.id).take(MAX_SESSION_VAULTS).collect()
}

/// The vaults that a new session of `agent` may use: those of the person who orders its work, the agent's, shared ones, and what else the
/// caller keeps. Policy is asked about each use all the same.
pub(crate) fn of_session(
    app: &App,
    caller: &Caller,
    orderer: &Principal,
    agent: AgentId,
    wanted: Option<Vec<String>>,
) -> Result<Vec<VaultId>, ApiError> {
    let wanted = wanted.unwrap_or_default();
    if wanted.len() > MAX_SESSION_VAULTS {
        return Err(ApiError::invalid(
            "vault_ids",
            format!("`vault_ids` names more than {MAX_SESSION_VAULTS} vaults."),
        ));
    }
    let mut found = Vec::with_capacity(wanted.len());
    for (index, text) in wanted.iter().enumerate() {
        let field = format!("vault_ids[{index}]");
        let vault = text.parse().ok().and_then(|id| app.options.vaults.vault(caller.tenant, id));
        let kept = |vault: &Vault| matches!(vault.owner, VaultOwner::Agent { .. }) && keeps(app, caller, vault.owner);
        let Some(vault) = vault.filter(|vault| serves(vault, orderer, agent) || kept(vault)) else {
            let shown: String = text.chars().take(80).flat_map(char::escape_debug).collect();
            return Err(ApiError::invalid(
                &*field,
                format!("`{field}`: there is no vault `{shown}` that you may use."),
            ));
        };
        if found.contains(&vault.id) {
            return Err(ApiError::invalid(&*field, format!("`{field}`: this vault is named twice.")));
        }
        found.push(vault.id);
    }
    Ok(found)
}

// ---- vaults ----

pub(crate) async fn create(mut call: Call) -> Answer {
    call.query()?.finish()?;
    let (param, _): (VaultCreate, _) = call.json().await?;
    let owner = owner_of(&call.app, &call.caller, param.bailiwick.and_then(|extras| extras.owner))?;
    let new = NewVault { owner, name: param.name, metadata: param.metadata.unwrap_or_default() };
    ok(show(&call.app.options.vaults.create_vault(author(&call)?, new).await?))
}

pub(crate) async fn list(call: Call) -> Answer {
    let mut query = call.query()?;
    let page = query.page(bits!(VaultId))?;
    let filter = Filter::of(&mut query)?;
    query.finish()?;
    let (app, caller) = (&*call.app, &call.caller);
    let mut kept = app.options.vaults.vaults(caller.tenant);
    kept.retain(|vault| keeps(app, caller, vault.owner) && filter.takes(&vault.metadata));
    let (vaults, more) = page_of(kept, &page, |vault| vault.id.to_u128())?;
    ok(Page::new(vaults.iter().map(show).collect(), more, |vault: &ShownVault| vault.id.clone()))
}

pub(crate) async fn get(call: Call) -> Answer {
    call.query()?.finish()?;
    ok(show(&find(&call)?))
}

pub(crate) async fn update(mut call: Call) -> Answer {
    call.query()?.finish()?;
    let vault = find(&call)?;
    let (param, _): (VaultUpdate, _) = call.json().await?;
    let patch = VaultPatch { name: param.name, metadata: param.metadata };
    ok(show(&call.app.options.vaults.change_vault(author(&call)?, vault.id, patch).await?))
}

pub(crate) async fn delete(call: Call) -> Answer {
    call.query()?.finish()?;
    let vault = find(&call)?;
    call.app.options.vaults.delete_vault(author(&call)?, vault.id).await?;
    ok(Deleted { id: vault.id.to_string(), object: "vault.deleted", deleted: true })
}

// ---- credentials ----

pub(crate) async fn create_credential(mut call: Call) -> Answer {
    call.query()?.finish()?;
    let vault = find(&call)?;
    let (CredentialCreate { name, auth, metadata }, _) = call.json().await?;
    let (auth, secrets) = new_auth(auth)?;
    let new = NewCredential { name, auth, secrets, metadata: metadata.unwrap_or_default() };
    let made = call.app.options.vaults.create_credential(author(&call)?, vault.id, new).await?;
    ok(show_credential(&made))
}

pub(crate) async fn list_credentials(call: Call) -> Answer {
    let mut query = call.query()?;
    let page = query.page(bits!(CredentialId))?;
    let filter = Filter::of(&mut query)?;
    query.finish()?;
    let vault = find(&call)?;
    let mut kept = call.app.options.vaults.credentials(call.caller.tenant, vault.id);
    kept.retain(|credential| filter.takes(&credential.metadata));
    let (credentials, more) = page_of(kept, &page, |credential| credential.id.to_u128())?;
    let shown = credentials.iter().map(|credential| show_credential(credential)).collect();
    ok(Page::new(shown, more, |credential: &ShownCredential| credential.id.clone()))
}

pub(crate) async fn get_credential(call: Call) -> Answer {
    call.query()?.finish()?;
    let found = find_credential(&call)?;
    ok(show_credential(&found))
}

pub(crate) async fn update_credential(mut call: Call) -> Answer {
    call.query()?.finish()?;
    let before = find_credential(&call)?;
    let (CredentialUpdate { auth, metadata }, _) = call.json().await?;
    let mut patch = CredentialPatch { metadata, ..CredentialPatch::default() };
    if let Some(rotation) = auth {
        let (auth, secrets) = rotated(&before.auth, rotation)?;
        (patch.auth, patch.secrets) = (Some(auth), secrets);
    }
    let vaults = &call.app.options.vaults;
    let changed = vaults.change_credential(author(&call)?, before.vault, before.id, patch).await?;
    ok(show_credential(&changed))
}

pub(crate) async fn delete_credential(call: Call) -> Answer {
    call.query()?.finish()?;
    let credential = find_credential(&call)?;
    call.app.options.vaults.delete_credential(author(&call)?, credential.vault, credential.id).await?;
    ok(Deleted { id: credential.id.to_string(), object: "vault.credential.deleted", deleted: true })
}

impl From<VaultError> for ApiError {
    fn from(error: VaultError) -> Self {
        match error {
            VaultError::Invalid { field, problem } => Self::invalid(field, format!("`{field}`: {problem}.")),
            VaultError::UnknownVault(id) => Self::not_found("vault", &id.to_string()),
            VaultError::UnknownCredential(id) => Self::not_found("credential", &id.to_string()),
            VaultError::TooMany(text) => Self::conflict("too_many_vaults", crate::error::sentence(&text)),
            VaultError::Store(error) => error.into(),
            VaultError::Unavailable(_) => {
                tracing::error!(%error, "a vault failed a request");
                Self::overloaded("Vaults cannot be reached now: try again.")
            }
        }
    }
}

// ---- lists ----

/// What a list is narrowed to. Nothing is archived here: what is deleted is gone.
struct Filter {
    metadata: Vec<(String, String)>,
    active: bool,
}

impl Filter {
    fn of(query: &mut Query) -> Result<Self, ApiError> {
        let metadata = query.map("metadata")?;
        if metadata.len() > 16 {
            return Err(ApiError::invalid("metadata", "`metadata` takes up to 16 pairs."));
        }
        let statuses = query.each("status");
        if let Some(other) = statuses.iter().find(|status| !matches!(status.as_str(), "active" | "archived")) {
            let shown: String = other.chars().take(32).flat_map(char::escape_debug).collect();
            return Err(ApiError::invalid("status", format!("`status` is `active` or `archived`, not `{shown}`.")));
        }
        let active = statuses.is_empty() || statuses.iter().any(|status| status == "active");
        Ok(Self { metadata, active })
    }

    fn takes(&self, metadata: &Metadata) -> bool {
        self.active && self.metadata.iter().all(|(key, value)| metadata.get(key) == Some(value))
    }
}

// ---- from requests ----

fn new_auth(param: CredentialAuthParam) -> Result<(Auth, Secrets), ApiError> {
    let value = |secret: Secret| Secrets { value: Some(secret), ..Secrets::default() };
    Ok(match param {
        CredentialAuthParam::StaticBearer { mcp_server_url, token } => {
            (Auth::StaticBearer { server: server("auth.mcp_server_url", &mcp_server_url)? }, value(token))
        }
        CredentialAuthParam::EnvironmentVariable { secret_name, secret_value, networking } => {
            (Auth::EnvironmentVariable { name: secret_name, hosts: hosts(networking)? }, value(secret_value))
        }
        CredentialAuthParam::McpOauth { mcp_server_url, access_token, expires_at, refresh } => {
            let server = server("auth.mcp_server_url", &mcp_server_url)?;
            let expires = expires_at.as_deref().map(moment).transpose()?;
            let mut secrets = value(access_token);
            let refresh = match refresh {
                None => None,
                Some(param) => Some(new_refresh(param, &mut secrets)?),
            };
            (Auth::McpOauth(McpOauth { server, expires, refresh, bound: false }), secrets)
        }
        CredentialAuthParam::EnterpriseManaged {
            mcp_server_url,
            authorization_server,
            resource,
            client_id,
            client_secret,
            scope,
        } => {
            let at = server("auth.mcp_server_url", &mcp_server_url)?;
            // Identifiers are compared as they are written; that they are addresses is checked here.
            server("auth.authorization_server", &authorization_server)?;
            let resource = resource.unwrap_or(mcp_server_url);
            server("auth.resource", &resource)?;
            let managed = EnterpriseManaged { server: at, authorization_server, resource, client_id, scope };
            (Auth::EnterpriseManaged(managed), Secrets { client_secret, ..Secrets::default() })
        }
    })
}

fn new_refresh(param: RefreshParam, secrets: &mut Secrets) -> Result<OauthRefresh, ApiError> {
    let RefreshParam { client_id, refresh_token, token_endpoint, token_endpoint_auth, scope, resource, .. } = param;
    let binds = param.dpop_bound_access_tokens;
    let token_endpoint = server("auth.refresh.token_endpoint", &token_endpoint)?.url;
    secrets.refresh_token = Some(refresh_token);
    let (client_auth, client_secret) = client(token_endpoint_auth);
    secrets.client_secret = client_secret;
    Ok(OauthRefresh { client_id, token_endpoint, client_auth, scope, resource, binds })
}

fn client(param: ClientAuthParam) -> (ClientAuth, Option<Secret>) {
    match param {
        ClientAuthParam::None {} => (ClientAuth::None, None),
        ClientAuthParam::ClientSecretBasic { client_secret } => (ClientAuth::ClientSecretBasic, client_secret),
        ClientAuthParam::ClientSecretPost { client_secret } => (ClientAuth::ClientSecretPost, client_secret),
    }
}

/// What a credential is after a change, with the secrets that are new.
fn rotated(before: &Auth, param: CredentialRotateParam) -> Result<(Auth, Secrets), ApiError> {
    let value = |secret: Option<Secret>| Secrets { value: secret, ..Secrets::default() };
    match (before, param) {
        (Auth::StaticBearer { .. }, CredentialRotateParam::StaticBearer { token }) => {
            Ok((before.clone(), value(Some(token))))
        }
        (Auth::EnvironmentVariable { .. }, CredentialRotateParam::EnvironmentVariable { secret_value }) => {
            Ok((before.clone(), value(Some(secret_value))))
        }
        (Auth::McpOauth(oauth), CredentialRotateParam::McpOauth { access_token, expires_at, refresh }) => {
            let mut oauth = oauth.clone();
            match expires_at {
                Some(at) => oauth.expires = at.as_deref().map(moment).transpose()?,
                None if access_token.is_some() => oauth.expires = None,
                None => {}
            }
            // What somebody brings is bound to no key of ours.
            oauth.bound &= access_token.is_none();
            let mut secrets = value(access_token);
            if let Some(param) = refresh {
                rotate_refresh(&mut oauth, param, &mut secrets)?;
            }
            Ok((Auth::McpOauth(oauth), secrets))
        }
        (Auth::EnterpriseManaged(_), CredentialRotateParam::EnterpriseManaged { client_secret }) => {
            Ok((before.clone(), Secrets { client_secret: Some(client_secret), ..Secrets::default() }))
        }
        _ => {
            let message = format!("`auth.type` must be `{}`, as it is: make another credential.", before.kind());
            Err(ApiError::invalid("auth.type", message))
        }
    }
}

fn rotate_refresh(oauth: &mut McpOauth, param: RefreshRotateParam, secrets: &mut Secrets) -> Result<(), ApiError> {
    let Some(refresh) = &mut oauth.refresh else {
        let message = "`auth.refresh`: this credential has none; make another credential.";
        return Err(ApiError::invalid("auth.refresh", message));
    };
    secrets.refresh_token = param.refresh_token;
    if let Some(scope) = param.scope {
        refresh.scope = scope;
    }
    if let Some(given) = param.token_endpoint_auth {
        let (kind, secret) = client(given);
        if kind != refresh.client_auth {
            const FIELD: &str = "auth.refresh.token_endpoint_auth.type";
            return Err(ApiError::invalid(FIELD, format!("`{FIELD}` cannot be changed: make another credential.")));
        }
        secrets.client_secret = secret;
    }
    Ok(())
}

/// An address over TLS; without it only on this machine.
fn server(field: &'static str, text: &str) -> Result<Server, ApiError> {
    let refuse = |problem: &str| ApiError::invalid(field, format!("`{field}` {problem}."));
    let (url, host) = canonical::server(text).map_err(|problem| refuse(&problem))?;
    let own = host == "localhost" || host == "[::1]" || host.starts_with("127.");
    if !(url.starts_with("https://") || (own && url.starts_with("http://"))) {
        return Err(refuse("must begin with https://"));
    }
    Ok(Server { url, host })
}

fn hosts(networking: Networking) -> Result<Option<Vec<String>>, ApiError> {
    const FIELD: &str = "auth.networking.allowed_hosts";
    let Networking::Limited { allowed_hosts } = networking else { return Ok(None) };
    let spelt = |text: &String| {
        let plain = !text.contains(['*', ':', '/', '[', '@']);
        let host = canonical::host(text).ok().filter(|_| plain);
        host.ok_or_else(|| {
            let shown: String = text.chars().take(80).flat_map(char::escape_debug).collect();
            let message = format!(
                "`{FIELD}`: `{shown}` is no host name or IPv4 address; no scheme, path, port or wildcard belongs to it."
            );
            ApiError::invalid(FIELD, message)
        })
    };
    allowed_hosts.iter().map(spelt).collect::<Result<_, _>>().map(Some)
}

/// RFC 3339, to the second or better.
fn moment(text: &str) -> Result<Timestamp, ApiError> {
    const FIELD: &str = "auth.expires_at";
    let wrong = || ApiError::invalid(FIELD, format!("`{FIELD}` must be a time such as `2026-11-21T09:30:00Z`."));
    read_moment(text).ok_or_else(wrong)
}

fn read_moment(text: &str) -> Option<Timestamp> {
    let number = |from: usize, to: usize| {
        let part = text.get(from..to)?;
        part.bytes().all(|byte| byte.is_ascii_digit()).then(|| part.parse::<i64>().ok()).flatten()
    };
    let marks = [(4, b'-'), (7, b'-'), (13, b':'), (16, b':')];
    let placed = marks.iter().all(|(at, mark)| text.as_bytes().get(*at) == Some(mark));
    if !text.is_ascii() || text.len() > 40 || !placed || !matches!(text.as_bytes().get(10), Some(b'T' | b't' | b' ')) {
        return None;
    }
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
    let fits = (1..=12).contains(&month) && (1..=31).contains(&day) && hour < 24 && minute < 60 && second < 61;
    let rest = text.get(19..)?;
    let rest = rest.strip_prefix('.').map_or(rest, |rest| rest.trim_start_matches(|c: char| c.is_ascii_digit()));
    let zone = match rest.as_bytes() {
        [b'Z' | b'z'] => 0,
        [sign @ (b'+' | b'-'), _, _, b':', _, _] => {
            let (hours, minutes) = (rest.get(1..3)?.parse::<i64>().ok()?, rest.get(4..6)?.parse::<i64>().ok()?);
            (hours * 60 + minutes) * if *sign == b'+' { 60 } else { -60 }
        }
        _ => return None,
    };
    // Days since 1970, after Howard Hinnant's `days_from_civil`.
    let shifted = if month <= 2 { year - 1 } else { year };
    let era = shifted.div_euclid(400);
    let of_era = shifted.rem_euclid(400);
    let of_year = (153 * (month + if month > 2 { -3 } else { 9 }) + 2) / 5 + day - 1;
    let days = era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468;
    let seconds = days * 86_400 + hour * 3600 + minute * 60 + second - zone;
    fits.then(|| Timestamp::from_millis(seconds * 1000))
}

// ---- to answers ----

fn show(vault: &Vault) -> ShownVault {
    let owner = match vault.owner {
        VaultOwner::User { id } => VaultOwnerParam::User { id: Some(id.to_string()) },
        VaultOwner::Agent { id } => VaultOwnerParam::Agent { id: id.to_string() },
        VaultOwner::Shared => VaultOwnerParam::Shared {},
    };
    ShownVault {
        id: vault.id.to_string(),
        object: "vault",
        created_at: vault.created.as_seconds(),
        name: vault.name.clone(),
        metadata: vault.metadata.clone(),
        bailiwick: VaultExtras { owner, updated_at: vault.updated.as_seconds() },
    }
}

fn show_credential(credential: &Credential) -> ShownCredential {
    ShownCredential {
        id: credential.id.to_string(),
        object: "vault.credential",
        vault_id: credential.vault.to_string(),
        name: credential.name.clone(),
        auth: show_auth(&credential.auth),
        metadata: credential.metadata.clone(),
        created_at: credential.created.as_seconds(),
        updated_at: credential.updated.as_seconds(),
    }
}

fn show_auth(auth: &Auth) -> CredentialAuth {
    match auth {
        Auth::McpOauth(McpOauth { server, expires, refresh, .. }) => CredentialAuth::McpOauth {
            mcp_server_url: server.url.clone(),
            expires_at: expires.map(|at| at.to_string()),
            refresh: refresh.as_ref().map(|refresh| Refresh {
                client_id: refresh.client_id.clone(),
                token_endpoint: refresh.token_endpoint.clone(),
                token_endpoint_auth: ShownClient {
                    kind: match refresh.client_auth {
                        ClientAuth::None => "none",
                        ClientAuth::ClientSecretBasic => "client_secret_basic",
                        ClientAuth::ClientSecretPost => "client_secret_post",
                    },
                },
                scope: refresh.scope.clone(),
                resource: refresh.resource.clone(),
                dpop_bound_access_tokens: refresh.binds,
            }),
        },
        Auth::StaticBearer { server } => CredentialAuth::StaticBearer { mcp_server_url: server.url.clone() },
        Auth::EnvironmentVariable { name, hosts } => CredentialAuth::EnvironmentVariable {
            secret_name: name.clone(),
            networking: match hosts {
                Some(hosts) => Networking::Limited { allowed_hosts: hosts.clone() },
                None => Networking::Unrestricted {},
            },
        },
        Auth::EnterpriseManaged(managed) => CredentialAuth::EnterpriseManaged {
            mcp_server_url: managed.server.url.clone(),
            authorization_server: managed.authorization_server.clone(),
            resource: managed.resource.clone(),
            client_id: managed.client_id.clone(),
            scope: managed.scope.clone(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_they_are_written() {
        for (text, shown) in [
            ("2026-11-21T09:30:00Z", "2026-11-21T09:30:00.000Z"),
            ("2026-11-21T09:30:00.123456+02:00", "2026-11-21T07:30:00.000Z"),
            ("2000-02-29T23:59:59-01:30", "2000-03-01T01:29:59.000Z"),
        ] {
            assert_eq!(read_moment(text).unwrap().to_string(), shown);
        }
        for text in ["", "2026-11-21", "2026-13-21T09:30:00Z", "2026-11-21T09:30:00", "2026-11-21T9:30:00Z", "x"] {
            assert_eq!(read_moment(text), None, "{text}");
        }
    }
}
