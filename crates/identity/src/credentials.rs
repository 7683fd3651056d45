//! The service that makes, lists, revokes and checks credentials.

use crate::{
    access_key::{self, AccessKeyBody, Signer},
    api_key::{self, ApiKey, ApiKeyBody, NewApiKey, SUPPLIED_CHARS},
    cache::Cache,
    documents::{Documents, Opened},
    revoked::Revoked,
};
use async_trait::async_trait;
use aws_lc_rs::constant_time::verify_slices_are_equal;
use bailiwick_ports::{
    Administration, AuthError, Authenticator, Caller, Change, Clock, Keys, KeysError, Random, RequestParts, Scope,
    Store, StoreError, TenantKeyError,
    store::{DocumentKind, Tenant},
};
use bailiwick_types::{KeyId, Principal, Secret, TenantId, Timestamp};
use serde_json::json;
use std::sync::Arc;

/// Keys of one kind that a tenant may hold at the same time.
const MAX_KEYS: usize = 1000;
const MAX_NAME_CHARS: usize = 128;
/// Longer texts are no key of ours, nor one that an operator could have supplied.
const MAX_TOKEN_BYTES: usize = 512;
/// Writes that meet another writer of the same document are tried again this often.
const MAX_CONFLICTS: usize = 4;

/// What can go wrong with managing credentials.
#[derive(Debug, thiserror::Error)]
pub enum CredentialError {
    #[error("`name` must have 1 to {MAX_NAME_CHARS} characters and no control characters")]
    Name,
    #[error("`scopes` is empty: name at least one, such as `sessions:read`")]
    NoScopes,
    #[error("`expires` lies in the past: {0}")]
    ExpiresInPast(Timestamp),
    #[error(
        "the supplied key must have {} to {} printable ASCII characters without spaces",
        SUPPLIED_CHARS.start(),
        SUPPLIED_CHARS.end()
    )]
    Supplied,
    #[error("there are {MAX_KEYS} keys of this kind already: revoke one that is not used any more")]
    TooMany,
    #[error("there is no key {0}")]
    UnknownKey(KeyId),
    #[error("there is no tenant {0}")]
    UnknownTenant(TenantId),
    #[error("the key file is not the one that this data was written with: put that one back in its place")]
    ForeignKeyFile,
    #[error(
        "a key that is bound to an environment may only connect to it: leave `scopes` out, or name `environments:connect`"
    )]
    BoundScopes,
    #[error("a stored key cannot be read: it was written by a newer version")]
    Unreadable,
    #[error(transparent)]
    Keys(#[from] KeysError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<TenantKeyError> for CredentialError {
    fn from(error: TenantKeyError) -> Self {
        match error {
            TenantKeyError::UnknownTenant(tenant) => Self::UnknownTenant(tenant),
            TenantKeyError::Store(error) => Self::Store(error),
            TenantKeyError::Keys(error) => Self::Keys(error),
        }
    }
}

/// What became of the key that the environment supplies at the first start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Bootstrapped {
    Created(ApiKey),
    /// It was created at an earlier start.
    Kept(ApiKey),
    /// The tenant has other keys, so this is not the first start; nothing was created.
    Ignored,
}

/// Makes and checks credentials. One for each process; it is cheap to share behind an `Arc`.
pub struct Credentials {
    pub(crate) documents: Documents,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) random: Arc<dyn Random>,
    callers: Cache<String, (Caller, Option<Timestamp>)>,
    /// By access key id.
    pub(crate) signers: Cache<String, Arc<Signer>>,
    pub(crate) revoked: Revoked,
    /// Organisations are made one after the other, so that no two get one name.
    pub(crate) founding: tokio::sync::Mutex<()>,
}

impl Credentials {
    pub fn new(
        store: Arc<dyn Store>,
        keys: Arc<dyn Keys>,
        administration: Arc<dyn Administration>,
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
    ) -> Self {
        let documents = Documents::new(store, keys, administration);
        let founding = tokio::sync::Mutex::default();
        let (callers, signers, revoked) = (Cache::new(), Cache::new(), Revoked::default());
        Self { documents, clock, random, callers, signers, revoked, founding }
    }

    /// The first tenant, made at the first start. Fails when the key file does not belong to the data.
    pub async fn bootstrap_tenant(&self) -> Result<Tenant, CredentialError> {
        let first = |tenants: Vec<Tenant>| tenants.into_iter().min_by_key(|tenant| tenant.id);
        let (store, keys) = (&self.documents.store, &self.documents.keys);
        if let Some(tenant) = first(store.tenants().await?) {
            tenant.open_key(&**keys).map_err(|_| CredentialError::ForeignKeyFile)?;
            self.begin_administration(&tenant).await?;
            return Ok(tenant);
        }
        let made = self.new_tenant("default".into());
        store.put_tenant(made.clone()).await?;
        // Another node may have been faster.
        let tenant = first(store.tenants().await?).unwrap_or(made);
        self.begin_administration(&tenant).await?;
        Ok(tenant)
    }

    /// A tenant that is nowhere yet.
    pub(crate) fn new_tenant(&self, name: String) -> Tenant {
        let id = TenantId::new(self.clock.now(), self.random.id_bytes());
        let (key, _) = self.documents.keys.create(id, id.into());
        Tenant { id, name, key }
    }

    /// The first record of the tenant's own stream, unless there is one.
    pub(crate) async fn begin_administration(&self, tenant: &Tenant) -> Result<(), CredentialError> {
        if self.documents.store.head(tenant.id.into()).await?.is_some() {
            return Ok(());
        }
        let change = Change {
            tenant: tenant.id,
            by: Principal::Operator,
            kind: "tenant.created".into(),
            target: tenant.id.to_string(),
            reason: None,
            details: json!({"name": tenant.name}),
            documents: Vec::new(),
        };
        Ok(self.documents.administration.change(change).await?)
    }

    /// Makes an API key. The secret is shown this once.
    pub async fn create_api_key(
        &self,
        by: &Principal,
        tenant: TenantId,
        new: NewApiKey,
    ) -> Result<(ApiKey, Secret), CredentialError> {
        self.check_new(&new.name, &new.scopes, new.expires)?;
        self.check_room::<ApiKeyBody>(tenant, DocumentKind::ApiKey, |body| body.revoked.is_none()).await?;
        let secret = api_key::generate(&*self.random);
        let key = self.store_api_key(by, tenant, new, &secret).await?;
        Ok((key, secret))
    }

    /// Makes an administrator key of a value that the operator chose, if the tenant has no API key yet.
    pub async fn bootstrap_api_key(&self, tenant: TenantId, value: &Secret) -> Result<Bootstrapped, CredentialError> {
        let text = value.expose();
        if !SUPPLIED_CHARS.contains(&text.len()) || !text.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(CredentialError::Supplied);
        }
        let known = self.api_keys(tenant).await?;
        let handle = api_key::handle(text);
        if let Some(found) = self.documents.by_handle::<ApiKeyBody>(DocumentKind::ApiKey, &handle).await? {
            return Ok(if found.tenant == tenant { Bootstrapped::Kept(api_key(found)) } else { Bootstrapped::Ignored });
        }
        if !known.is_empty() {
            return Ok(Bootstrapped::Ignored);
        }
        let new = NewApiKey { name: "bootstrap".into(), scopes: vec![Scope::Admin], expires: None };
        Ok(Bootstrapped::Created(self.store_api_key(&Principal::Operator, tenant, new, value).await?))
    }

    /// All API keys of a tenant, oldest first, revoked ones included.
    pub async fn api_keys(&self, tenant: TenantId) -> Result<Vec<ApiKey>, CredentialError> {
        let all = self.documents.all::<ApiKeyBody>(tenant, DocumentKind::ApiKey).await?;
        Ok(all.into_iter().map(api_key).collect())
    }

    /// Revokes an API key or an access key. Takes effect at once in this process, and within seconds in others.
    pub async fn revoke(&self, by: &Principal, tenant: TenantId, id: KeyId) -> Result<(), CredentialError> {
        match self.revoke_kind(by, tenant, id, DocumentKind::ApiKey, |body: &mut ApiKeyBody| &mut body.revoked).await {
            Err(CredentialError::UnknownKey(_)) => {
                self.revoke_kind(by, tenant, id, DocumentKind::AccessKey, |body: &mut AccessKeyBody| &mut body.revoked)
                    .await
            }
            other => other,
        }
    }

    /// Tells who holds an API key.
    pub async fn authenticate_bearer(&self, token: &str) -> Result<Caller, AuthError> {
        if token.is_empty() {
            return Err(AuthError::Missing);
        }
        if token.len() > MAX_TOKEN_BYTES || !token.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(AuthError::Malformed("an API key is one word of printable ASCII characters".into()));
        }
        let now = self.clock.now();
        let handle = api_key::handle(token);
        let (caller, expires) = match self.callers.get(&handle, now) {
            Ok(known) => known,
            Err(ticket) => {
                let found = self.read_caller(token, &handle).await?;
                self.callers.put(ticket, handle, found.clone(), now);
                found
            }
        };
        match expires {
            Some(expires) if now >= expires => Err(AuthError::Expired(expires)),
            _ => Ok(caller),
        }
    }

    async fn read_caller(&self, token: &str, handle: &str) -> Result<(Caller, Option<Timestamp>), AuthError> {
        let found = self.documents.by_handle::<ApiKeyBody>(DocumentKind::ApiKey, handle).await.map_err(unavailable)?;
        let Some(found) = found else {
            return Err(if api_key::is_mistyped(token) {
                AuthError::Malformed("this API key is mistyped or cut short: its check characters do not fit".into())
            } else if access_key::is_access_key_id(token) {
                AuthError::Malformed("this is the id of an access key: sign the request with it".into())
            } else {
                AuthError::Unknown
            });
        };
        let same = verify_slices_are_equal(found.body.handle.as_bytes(), handle.as_bytes()).is_ok();
        if !same || found.body.revoked.is_some() {
            return Err(AuthError::Unknown);
        }
        let caller = Caller {
            tenant: found.tenant,
            principal: Principal::Service { key: found.id },
            scopes: found.body.scopes,
            bound_environment: None,
        };
        Ok((caller, found.body.expires))
    }

    async fn store_api_key(
        &self,
        by: &Principal,
        tenant: TenantId,
        new: NewApiKey,
        value: &Secret,
    ) -> Result<ApiKey, CredentialError> {
        let now = self.clock.now();
        let handle = api_key::handle(value.expose());
        let last4 = value.expose().chars().rev().take(4).collect::<Vec<_>>().into_iter().rev().collect();
        let NewApiKey { name, scopes, expires } = new;
        let document = Opened {
            id: KeyId::new(now, self.random.id_bytes()),
            tenant,
            version: 1,
            created: now,
            handle: handle.clone(),
            body: ApiKeyBody { name, scopes: sorted(scopes), expires, revoked: None, last4, handle },
        };
        let told = json!({"name": document.body.name, "scopes": document.body.scopes, "expires": expires});
        self.documents.put(by, "key.created", told, DocumentKind::ApiKey, &document, now).await?;
        self.revoked.made(tenant, document.id, expires);
        Ok(api_key(document))
    }

    pub(crate) fn check_new(
        &self,
        name: &str,
        scopes: &[Scope],
        expires: Option<Timestamp>,
    ) -> Result<(), CredentialError> {
        let chars = name.chars().count();
        if chars == 0 || chars > MAX_NAME_CHARS || name.trim().is_empty() || name.chars().any(char::is_control) {
            return Err(CredentialError::Name);
        }
        if scopes.is_empty() {
            return Err(CredentialError::NoScopes);
        }
        match expires {
            Some(expires) if expires <= self.clock.now() => Err(CredentialError::ExpiresInPast(expires)),
            _ => Ok(()),
        }
    }

    pub(crate) async fn check_room<B: serde::de::DeserializeOwned>(
        &self,
        tenant: TenantId,
        kind: DocumentKind,
        live: impl Fn(&B) -> bool,
    ) -> Result<(), CredentialError> {
        let all = self.documents.all::<B>(tenant, kind).await?;
        if all.iter().filter(|one| live(&one.body)).count() >= MAX_KEYS {
            Err(CredentialError::TooMany)
        } else {
            Ok(())
        }
    }

    /// Marks a key revoked. The document stays, so that its value is never accepted again, by whatever way.
    pub(crate) async fn revoke_kind<B: serde::Serialize + serde::de::DeserializeOwned>(
        &self,
        by: &Principal,
        tenant: TenantId,
        id: KeyId,
        kind: DocumentKind,
        revoked: impl Fn(&mut B) -> &mut Option<Timestamp>,
    ) -> Result<(), CredentialError> {
        for _ in 0..MAX_CONFLICTS {
            let Some(mut found) = self.documents.by_id::<B>(tenant, kind, id).await? else {
                return Err(CredentialError::UnknownKey(id));
            };
            let now = self.clock.now();
            if revoked(&mut found.body).is_none() {
                *revoked(&mut found.body) = Some(now);
                found.version += 1;
                match self.documents.put(by, "key.revoked", json!({}), kind, &found, now).await {
                    Err(CredentialError::Store(StoreError::Conflict)) => continue,
                    other => other?,
                }
            }
            self.callers.forget();
            self.signers.forget();
            self.revoked.add(tenant, id);
            return Ok(());
        }
        Err(StoreError::Conflict.into())
    }
}

#[async_trait]
impl Authenticator for Credentials {
    async fn authenticate_bearer(&self, token: &str) -> Result<Caller, AuthError> {
        Credentials::authenticate_bearer(self, token).await
    }

    async fn authenticate_sigv4(&self, request: &RequestParts<'_>) -> Result<Caller, AuthError> {
        Credentials::authenticate_sigv4(self, request).await
    }
}

/// An authentication that fails because something of ours does: the request may be tried again.
pub(crate) fn unavailable(error: CredentialError) -> AuthError {
    tracing::warn!(%error, "a credential could not be checked");
    AuthError::Unavailable(error.to_string())
}

pub(crate) fn sorted(mut scopes: Vec<Scope>) -> Vec<Scope> {
    scopes.sort_unstable();
    scopes.dedup();
    scopes
}

fn api_key(document: Opened<ApiKeyBody>) -> ApiKey {
    let Opened { id, tenant, created, body, .. } = document;
    let ApiKeyBody { name, scopes, expires, revoked, last4, .. } = body;
    ApiKey { id, tenant, name, scopes, created, expires, revoked, last4 }
}
