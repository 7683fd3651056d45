//! Access tokens that are about to end, renewed with the refresh token that came with them (RFC 6749, section 6).
//!
//! A server may give another refresh token each time and take the one before for stolen. So one asks at a time for each
//! credential, and what was given is on disk before it is used.

use super::{
    Strongroom,
    bodies::{CredentialBody, Place},
};
use crate::{
    documents::Entry,
    dpop::ProofKey,
    oauth::{Answer, Binding, Client, Granted, SecretIn},
    unbroken::{Retries, unbroken},
    web::Web,
};
use bailiwick_gate::RevealError;
use bailiwick_ports::{
    Tasks,
    people::Author,
    vault::{Auth, ClientAuth, McpOauth, OauthRefresh, Secrets},
};
use bailiwick_types::{CredentialId, Millis, Principal, Secret, TenantId, Timestamp, VaultId};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, Weak},
};
use tokio::sync::OwnedMutexGuard;

/// A token that ends so soon is renewed before it is used.
pub(super) const MARGIN: Millis = Millis::from_secs(60);
/// Longer lives than this are not believed.
const LONGEST_LIFE: Millis = Millis::from_secs(366 * 24 * 3600);
/// Credentials that are remembered; whoever is forgotten is asked for again.
const MAX_REMEMBERED: usize = 10_000;

/// What it takes to ask authorization servers.
pub(super) struct Asking {
    pub web: Arc<dyn Web>,
    pub tasks: Arc<dyn Tasks>,
    /// The room that this is in: what it asks for, it keeps, whoever waits for it.
    pub room: Weak<Strongroom>,
}

/// Who renews what now.
#[derive(Default)]
pub(super) struct Renewals(Mutex<HashMap<CredentialId, Turn>>);

type Turn = Arc<tokio::sync::Mutex<Option<Over>>>;

/// The version of a credential that its server does not renew any more.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Over(u32);

impl Renewals {
    fn turn(&self, id: CredentialId) -> Turn {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= MAX_REMEMBERED && !all.contains_key(&id) {
            all.retain(|_, turn| Arc::strong_count(turn) > 1);
        }
        Arc::clone(all.entry(id).or_default())
    }
}

/// When its access token ends, and how it is renewed, where it can be.
pub(super) fn ends(auth: &Auth) -> Option<(Timestamp, Option<&OauthRefresh>)> {
    match auth {
        Auth::McpOauth(oauth) => oauth.expires.map(|expires| (expires, oauth.refresh.as_ref())),
        Auth::StaticBearer { .. } | Auth::EnvironmentVariable { .. } | Auth::EnterpriseManaged(_) => None,
    }
}

/// Where a client's secret goes, where it has one.
fn place(auth: ClientAuth) -> Option<SecretIn> {
    match auth {
        ClientAuth::None => None,
        ClientAuth::ClientSecretBasic => Some(SecretIn::Header),
        ClientAuth::ClientSecretPost => Some(SecretIn::Form),
    }
}

impl Strongroom {
    /// The credential with an access token that is good for a while, or as it is where it cannot be renewed and has not
    /// ended yet.
    pub(super) async fn fresh(
        &self,
        tenant: TenantId,
        id: CredentialId,
        entry: Entry<CredentialBody>,
    ) -> Result<Entry<CredentialBody>, RevealError> {
        let now = self.clock.now();
        let Some((expires, refresh)) = ends(&entry.body.auth).filter(|(expires, _)| *expires <= now + MARGIN) else {
            return Ok(entry);
        };
        let ended = expires <= now;
        let renewed = match (refresh, &self.asking) {
            (Some(_), Some(asking)) => self.renewed(asking, tenant, id).await,
            _ => Err(RevealError::Expired(id)),
        };
        match renewed {
            Ok(entry) => Ok(entry),
            // It is good for this call, whoever could not be asked.
            Err(_) if !ended => Ok(entry),
            Err(error) => Err(error),
        }
    }

    /// Has an authorization server end what it gave out (RFC 7009). `false` where that cannot be said to have happened.
    pub(super) async fn tell_revoked(
        &self,
        tenant: TenantId,
        vault: VaultId,
        id: CredentialId,
        endpoint: &str,
    ) -> bool {
        let Some(asking) = &self.asking else { return false };
        let Ok(Some(entry)) = self.stored(tenant, id).await else { return false };
        let Auth::McpOauth(McpOauth { refresh, .. }) = &entry.body.auth else { return false };
        let Ok(secrets) = self.secrets(tenant, id, &entry).await else { return false };
        if entry.body.vault != vault {
            return false;
        }
        let (token, kind) = match (&secrets.refresh_token, &secrets.value) {
            (Some(token), _) => (token, "refresh_token"),
            (None, Some(token)) => (token, "access_token"),
            (None, None) => return false,
        };
        let Some(refresh) = refresh else { return false };
        let us =
            Client { id: &refresh.client_id, secret: secrets.client_secret.as_ref().zip(place(refresh.client_auth)) };
        let request = us.request(endpoint, vec![("token", token.expose()), ("token_type_hint", kind)]);
        let answer = asking.web.fetch(request).await;
        matches!(answer, Ok(answer) if answer.status == 200)
    }

    /// Whoever waits for its turn may leave; what was begun is done to its end.
    async fn renewed(
        &self,
        asking: &Asking,
        tenant: TenantId,
        id: CredentialId,
    ) -> Result<Entry<CredentialBody>, RevealError> {
        let stopping = || RevealError::Unavailable("the server is stopping".into());
        let room = asking.room.upgrade().ok_or_else(stopping)?;
        let over = self.renewals.turn(id).lock_owned().await;
        let work = async move { room.ask_and_keep(over, tenant, id).await };
        unbroken(&*asking.tasks, "the renewal of a credential", work).await.ok_or_else(stopping)?
    }

    async fn ask_and_keep(
        &self,
        mut over: OwnedMutexGuard<Option<Over>>,
        tenant: TenantId,
        id: CredentialId,
    ) -> Result<Entry<CredentialBody>, RevealError> {
        // Somebody else may have renewed it, or given it another secret, meanwhile.
        let entry = self.stored(tenant, id).await?.ok_or(RevealError::Gone(id))?;
        let now = self.clock.now();
        let Some((_, refresh)) = ends(&entry.body.auth).filter(|(expires, _)| *expires <= now + MARGIN) else {
            return Ok(entry);
        };
        if *over == Some(Over(entry.version)) {
            return Err(RevealError::Expired(id));
        }
        let refresh = refresh.ok_or(RevealError::Expired(id))?;
        let mut secrets = self.secrets(tenant, id, &entry).await?;
        let key = match refresh.binds {
            true => Some(proof_key(&mut secrets).map_err(RevealError::Unavailable)?),
            false => None,
        };
        match self.ask_for(refresh, &secrets, key.as_ref()).await? {
            // It could be shown to nobody.
            Answer::Granted(granted) if granted.is_bound() && key.is_none() => Err(RevealError::Unavailable(
                "its authorization server binds tokens to keys: connect it again with `dpop_bound_access_tokens`"
                    .into(),
            )),
            Answer::Granted(granted) => self.keep_renewed(tenant, id, &entry, secrets, granted).await,
            Answer::Refused(code) => {
                // Nothing but another sign-in there makes it good again.
                if code == "invalid_grant" {
                    *over = Some(Over(entry.version));
                    tracing::warn!(credential = %id, "a credential is not renewed any more: it has to be connected again");
                    return Err(RevealError::Expired(id));
                }
                Err(RevealError::Unavailable(format!("its authorization server answers `{code}`")))
            }
        }
    }

    async fn ask_for(
        &self,
        refresh: &OauthRefresh,
        secrets: &Secrets,
        key: Option<&ProofKey>,
    ) -> Result<Answer, RevealError> {
        let unavailable = |problem: &str| RevealError::Unavailable(format!("its authorization server: {problem}"));
        let asking = self.asking.as_ref().ok_or_else(|| unavailable("nothing can be asked here"))?;
        let token = secrets.refresh_token.as_ref().ok_or_else(|| unavailable("there is no refresh token"))?;
        let us =
            Client { id: &refresh.client_id, secret: secrets.client_secret.as_ref().zip(place(refresh.client_auth)) };
        let mut fields = vec![("grant_type", "refresh_token"), ("refresh_token", token.expose())];
        fields.extend(refresh.scope.as_deref().map(|scope| ("scope", scope)));
        fields.extend(refresh.resource.as_deref().map(|resource| ("resource", resource)));
        let binding = key.zip(self.proofs.as_deref()).map(|(key, keys)| Binding { keys, key });
        let asked = us.ask(&*asking.web, &refresh.token_endpoint, fields, binding).await;
        asked.map_err(|problem| unavailable(&problem))
    }

    /// Writes what was given, before anybody uses it. It is not given twice, so that a store that is away for a moment is
    /// tried again.
    async fn keep_renewed(
        &self,
        tenant: TenantId,
        id: CredentialId,
        asked: &Entry<CredentialBody>,
        secrets: Secrets,
        granted: Granted,
    ) -> Result<Entry<CredentialBody>, RevealError> {
        let bound = granted.is_bound();
        let secrets = Secrets {
            value: Some(Secret::new(granted.access_token)),
            refresh_token: granted.refresh_token.map(Secret::new).or(secrets.refresh_token),
            client_secret: secrets.client_secret,
            proof_key: secrets.proof_key,
        };
        let checked = super::checks::secrets(&asked.body.auth, &secrets);
        checked.map_err(|error| RevealError::Unavailable(error.to_string()))?;
        let life = granted.expires_in.and_then(|seconds| u64::try_from(seconds).ok()).map(Millis::from_secs);
        let expires = life.map(|life| self.clock.now() + life.min(LONGEST_LIFE));
        let Auth::McpOauth(oauth) = &asked.body.auth else { return Err(RevealError::Gone(id)) };
        let auth = Auth::McpOauth(McpOauth { expires, bound, ..oauth.clone() });
        let mut retries = Retries::new(&*self.clock);
        loop {
            match self.write_renewed(tenant, id, asked, &secrets, &auth).await {
                Err(RevealError::Unavailable(problem)) if retries.again().await => {
                    tracing::warn!(credential = %id, problem, "a renewed credential could not be written: trying again");
                }
                done => return done,
            }
        }
    }

    async fn write_renewed(
        &self,
        tenant: TenantId,
        id: CredentialId,
        asked: &Entry<CredentialBody>,
        secrets: &Secrets,
        auth: &Auth,
    ) -> Result<Entry<CredentialBody>, RevealError> {
        let unavailable = |error: &dyn std::fmt::Display| RevealError::Unavailable(error.to_string());
        let _writing = self.writing.lock().await;
        let mut entry = self.stored(tenant, id).await?.ok_or(RevealError::Gone(id))?;
        if entry.version != asked.version {
            // Somebody gave it another secret while we asked, and theirs counts; or this was written, and its answer lost.
            return Ok(entry);
        }
        entry.body.auth.clone_from(auth);
        let key = self.documents.tenant_key(tenant).await.map_err(|error| unavailable(&error))?;
        let place = Place { tenant, vault: entry.body.vault, credential: id };
        entry.body.sealed = place.seal(&*key, secrets);
        entry.version += 1;
        entry.updated = self.clock.now();
        let owner = self.read(tenant, |shelf| shelf.vault_entry(entry.body.vault).map(|vault| vault.body.owner));
        let owner = owner.ok_or(RevealError::Gone(id))?;
        let author =
            Author { tenant, by: Principal::Operator, reason: Some("its access token was about to end".into()) };
        let kept = self.keep(author, "credential.renewed", owner, entry.clone()).await;
        kept.map_err(|error| unavailable(&error))?;
        Ok(entry)
    }
}

/// The key that the credential's tokens are bound to; the first time it is made, and kept with what is given.
fn proof_key(secrets: &mut Secrets) -> Result<ProofKey, String> {
    if let Some(kept) = &secrets.proof_key {
        return ProofKey::open(kept);
    }
    let key = ProofKey::generate()?;
    secrets.proof_key = Some(key.kept()?);
    Ok(key)
}

#[cfg(test)]
mod tests;
