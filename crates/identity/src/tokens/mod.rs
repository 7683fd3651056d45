//! Tokens that we issue: an agent's, on behalf of a person, for one system and a short time.
//!
//! (RFC 9068 tokens, RFC 8693 exchange.) `sub` is the person and `act` the agent, with whoever delegated to it inside;
//! neither is ever left out, and the chain is never cut. A token that comes back to us opens what agent and person both
//! may at that moment, and never more.

mod claims;
mod issuer_key;

use crate::{
    jwt::{About, Algorithm, Proof, Unverified},
    once::{Full, Once},
    roster::Roster,
    sign_in::{PREFIX, SignIns},
};
use async_trait::async_trait;
use bailiwick_ports::{
    AuthError, Caller, Change, ColleagueStatus, Directory, DocumentWrite, Scope, StoreError,
    people::Colleagues,
    sign_in::Medium,
    store::{Document, DocumentKind, Page},
    tokens::{Actor, Exchange, IssuedToken, MAX_ACTORS, Possession, Thumbprint, TokenError, TokenRequest, Tokens},
};
use bailiwick_types::{KeyId, Millis, Principal, TenantId, Timestamp, UserId};
use claims::{Claims, checked};
use issuer_key::{IssuerKeys, Succession};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock},
};

/// How long a token is good.
const LIFE: Millis = Millis::from_secs(600);
/// How long one key signs.
const KEY_AGE: Millis = Millis::from_secs(90 * 24 * 3600);
/// Characters of the reason for another key.
const MAX_REASON: usize = 1000;
/// Tokens that are ended early and remembered until they would have ended by themselves.
const MAX_REVOKED: usize = 100_000;
/// Of what was kept of them, this much is looked at, for what has expired, with each new one.
const SWEEP: u32 = 20;
/// RFC 9068, section 2.1.
const TYPE: &str = "at+jwt";
/// The most that an agent may do with the API, whoever it works for.
const AGENTS_MAY: [Scope; 5] =
    [Scope::AgentsRead, Scope::SessionsRead, Scope::SessionsWrite, Scope::FilesRead, Scope::FilesWrite];

/// What tokens are made of.
pub struct TokenOptions {
    /// The organisation that keeps the keys; tokens are for people of all of them, and say of which.
    pub tenant: TenantId,
    /// The URL of this server: the `iss` of every token, and the `aud` of those for ourselves.
    pub issuer: String,
    /// Other systems that tokens may be for.
    pub audiences: Vec<String>,
    /// After how long another key signs; `None` for the usual 90 days.
    pub key_age: Option<Millis>,
    pub roster: Arc<Roster>,
    pub sign_ins: Arc<SignIns>,
}

/// Issues tokens and reads them back.
pub struct Issuer {
    options: TokenOptions,
    keys: RwLock<Arc<IssuerKeys>>,
    /// Held while one key follows another.
    rotating: tokio::sync::Mutex<()>,
    /// Proofs that were shown.
    proofs: Once,
    /// The tokens that were ended early and would not have ended yet.
    revoked: Mutex<HashMap<String, Ended>>,
    /// Held while one is ended, so that it is written down once.
    revoking: tokio::sync::Mutex<()>,
}

/// A token that was ended early.
struct Ended {
    /// When it would have ended by itself.
    expires: Timestamp,
    /// Until it is, whoever asks again has it written.
    written: bool,
}

/// The sealed body of a revoked token's document.
#[derive(Serialize, Deserialize)]
struct Revoked {
    jti: String,
    expires: Timestamp,
}

impl TokenOptions {
    /// Reads the keys, or makes the first, and what was revoked.
    pub async fn build(self) -> Result<Issuer, TokenError> {
        let keys = IssuerKeys::load(self.tenant, &self.roster).await?;
        let mut revoked = HashMap::new();
        let now = self.roster.clock.now();
        let documents = &self.roster.documents;
        for tenant in documents.store.tenants().await.map_err(unavailable)? {
            for document in documents.sealed(tenant.id, DocumentKind::RevokedToken).await.map_err(unavailable)? {
                let body: Revoked = documents.unseal(tenant.id, &document).await.map_err(unavailable)?;
                if now < body.expires {
                    revoked.insert(body.jti, Ended { expires: body.expires, written: true });
                }
            }
        }
        Ok(Issuer {
            options: self,
            keys: RwLock::new(Arc::new(keys)),
            rotating: tokio::sync::Mutex::default(),
            proofs: Once::default(),
            revoked: Mutex::new(revoked),
            revoking: tokio::sync::Mutex::default(),
        })
    }
}

#[async_trait]
impl Tokens for Issuer {
    async fn issue(&self, request: TokenRequest) -> Result<IssuedToken, TokenError> {
        let TokenRequest { tenant, subject, actors, audience, scopes, not_after, holder } = request;
        if actors.is_empty() || actors.len() > MAX_ACTORS {
            let text = format!("a token has 1 to {MAX_ACTORS} actors, and none is ever left out");
            return Err(TokenError::InvalidRequest(text));
        }
        if audience != self.options.issuer && !self.options.audiences.contains(&audience) {
            return Err(TokenError::InvalidRequest("`audience`: tokens are not made for this system".into()));
        }
        self.follow_age().await?;
        let roster = &self.options.roster;
        let now = roster.clock.now();
        let expires = not_after.map_or(now + LIFE, |limit| limit.min(now + LIFE));
        let id = claims::id(now, roster.random.id_bytes());
        let times = (now, expires);
        let claims = Claims::of(&self.options.issuer, tenant, subject, &actors, audience, &scopes, times, &id, holder);
        let token = self.keys_now().signing().sign(TYPE, &claims)?;
        Ok(IssuedToken { token, id, expires })
    }

    async fn exchange(&self, exchange: Exchange) -> Result<(IssuedToken, Vec<Scope>), TokenError> {
        let missing = |field: &str| TokenError::InvalidRequest(format!("`{field}` is missing"));
        let subject_token = exchange.subject_token.ok_or_else(|| missing("subject_token"))?;
        let actor = exchange.actor.ok_or_else(|| missing("actor_agent"))?;
        let text = subject_token.expose();
        let (caller, mut actors, limit) = if text.starts_with(PREFIX) {
            let caller = self.options.sign_ins.authenticate(text, Medium::Bearer).await.map_err(grant)?;
            (caller, Vec::new(), None)
        } else {
            let (claims, caller) = self.read(text, exchange.holder.as_ref()).map_err(grant)?;
            (caller, claims.actors(), Some(Timestamp::from_millis(claims.exp * 1000)))
        };
        let person = caller.principal.person();
        let person = person.ok_or_else(|| TokenError::InvalidGrant("it names no person".into()))?;
        self.check_actor(caller.tenant, &actor)?;
        actors.insert(0, actor);
        let may: Vec<Scope> = AGENTS_MAY.into_iter().filter(|scope| caller.may(*scope)).collect();
        let scopes = match exchange.scopes {
            None => may,
            Some(wanted) => match wanted.iter().find(|scope| !may.contains(scope)) {
                None => wanted,
                Some(scope) => {
                    let text = format!("an agent of this person cannot have the scope `{scope}`");
                    return Err(TokenError::InvalidScope(text));
                }
            },
        };
        let request = TokenRequest {
            tenant: caller.tenant,
            subject: Some(person),
            actors,
            audience: exchange.audience.unwrap_or_else(|| self.options.issuer.clone()),
            scopes: scopes.clone(),
            not_after: limit,
            holder: exchange.holder,
        };
        Ok((self.issue(request).await?, scopes))
    }

    async fn revoke(&self, token: &str) -> Result<(), TokenError> {
        if token.starts_with(PREFIX) {
            return self.options.sign_ins.end(token).await.map(drop).map_err(unavailable);
        }
        let Ok(claims) = self.verified(token) else { return Ok(()) };
        let now = self.options.roster.clock.now();
        let expires = Timestamp::from_millis(claims.exp.saturating_mul(1000));
        if now >= expires {
            return Ok(());
        }
        // It opens nothing from this moment on, whatever becomes of the write.
        self.end(&claims.jti, expires, now)?;
        let _revoking = self.revoking.lock().await;
        if self.revoked().get(&claims.jti).is_none_or(|ended| ended.written) {
            return Ok(());
        }
        self.sweep(claims.tenant, now).await;
        let jti = claims.jti.clone();
        self.write_revoked(claims, expires, now).await?;
        if let Some(ended) = self.revoked().get_mut(&jti) {
            ended.written = true;
        }
        Ok(())
    }

    async fn prove(&self, possession: Possession<'_>) -> Result<Thumbprint, TokenError> {
        let Possession { proof, method, url, token } = possession;
        let now = self.options.roster.clock.now();
        let about = About { method, url, token, now: now.as_seconds() };
        let refuse = |text: String| TokenError::InvalidProof(format!("`DPoP`: {text}"));
        let proof = Proof::read(proof, about).map_err(|error| refuse(error.to_string()))?;
        let over = Timestamp::from_millis(proof.over.saturating_mul(1000));
        match self.proofs.first(format!("{} {}", proof.thumbprint, proof.id), over, now) {
            Ok(true) => Ok(Thumbprint(proof.thumbprint)),
            Ok(false) => Err(refuse("this proof was shown before: make another".into())),
            Err(Full) => Err(TokenError::Unavailable("too many proofs were shown at once: try again".into())),
        }
    }

    async fn rotate(
        &self,
        tenant: TenantId,
        by: Principal,
        reason: Option<String>,
        at_once: bool,
    ) -> Result<Value, TokenError> {
        self.check_tenant(tenant)?;
        if reason.as_ref().is_some_and(|reason| reason.chars().count() > MAX_REASON) {
            return Err(TokenError::InvalidRequest(format!("`reason` has at most {MAX_REASON} characters")));
        }
        let _rotating = self.rotating.lock().await;
        let reason = reason.unwrap_or_else(|| "somebody asked for it".into());
        self.succeed(Succession { by, reason, at_once }).await?;
        Ok(json!({"keys": self.keys_now().public(self.options.roster.clock.now())}))
    }

    fn metadata(&self) -> Value {
        let issuer = self.options.issuer.trim_end_matches('/');
        json!({
            "issuer": self.options.issuer,
            "jwks_uri": format!("{issuer}/bailiwick/v1/jwks"),
            "token_endpoint": format!("{issuer}/bailiwick/v1/token"),
            "revocation_endpoint": format!("{issuer}/bailiwick/v1/token/revoke"),
            "grant_types_supported": ["urn:ietf:params:oauth:grant-type:token-exchange"],
            "response_types_supported": [],
            "token_endpoint_auth_methods_supported": ["none"],
            "revocation_endpoint_auth_methods_supported": ["none"],
            "scopes_supported": AGENTS_MAY.map(Scope::name),
            "dpop_signing_alg_values_supported": Algorithm::names(),
        })
    }

    async fn keys(&self) -> Result<Value, TokenError> {
        self.follow_age().await?;
        Ok(json!({"keys": self.keys_now().public(self.options.roster.clock.now())}))
    }
}

impl Issuer {
    /// Tells who shows a token of ours that is for ourselves.
    pub(crate) fn authenticate(&self, token: &str, holder: Option<&Thumbprint>) -> Result<Caller, AuthError> {
        self.read(token, holder).map(|(_, caller)| caller)
    }

    fn revoked(&self) -> MutexGuard<'_, HashMap<String, Ended>> {
        self.revoked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends a token in memory.
    fn end(&self, jti: &str, expires: Timestamp, now: Timestamp) -> Result<(), TokenError> {
        let mut revoked = self.revoked();
        revoked.retain(|_, ended| now < ended.expires);
        if revoked.len() >= MAX_REVOKED && !revoked.contains_key(jti) {
            return Err(TokenError::Unavailable("too many tokens were ended early: wait ten minutes".into()));
        }
        revoked.entry(jti.to_owned()).or_insert(Ended { expires, written: false });
        Ok(())
    }

    async fn write_revoked(&self, claims: Claims, expires: Timestamp, now: Timestamp) -> Result<(), TokenError> {
        let roster = &self.options.roster;
        let kind = DocumentKind::RevokedToken;
        let id = KeyId::new(now, roster.random.id_bytes()).to_u128();
        let body = Revoked { jti: claims.jti.clone(), expires };
        let sealed = roster.documents.seal(claims.tenant, (kind, id, 1), &body).await.map_err(unavailable)?;
        let document = Document { kind, id, version: 1, created: now, updated: now, handle: None, sealed };
        let change = Change {
            tenant: claims.tenant,
            by: claims.principal().unwrap_or(Principal::Operator),
            kind: "token.revoked".into(),
            target: claims.jti,
            reason: None,
            details: json!({}),
            documents: vec![DocumentWrite::Put(document)],
        };
        roster.documents.administration.change(change).await.map_err(unavailable)
    }

    /// Removes some of what was kept of tokens that have ended by themselves since. The oldest lie first, and none lasts
    /// for longer than a token does. What fails is tried again with the next one.
    async fn sweep(&self, tenant: TenantId, now: Timestamp) {
        let (kind, store) = (DocumentKind::RevokedToken, &self.options.roster.documents.store);
        let page = Page { limit: SWEEP, ..Page::default() };
        let swept = async {
            let found = store.documents(tenant, kind, page).await?.map(|(found, _)| found).unwrap_or_default();
            for document in found.iter().filter(|document| now >= document.created + LIFE) {
                store.remove_document(tenant, kind, document.id).await?;
            }
            Ok::<(), StoreError>(())
        };
        if let Err(error) = swept.await {
            tracing::warn!(%error, "what is kept of tokens that have ended could not be removed");
        }
    }

    fn check_tenant(&self, tenant: TenantId) -> Result<(), TokenError> {
        if tenant == self.options.tenant {
            return Ok(());
        }
        Err(TokenError::InvalidRequest("another organisation of this server keeps the keys that sign tokens".into()))
    }

    fn keys_now(&self) -> Arc<IssuerKeys> {
        Arc::clone(&self.keys.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Has another key sign when this one has signed for long enough.
    async fn follow_age(&self) -> Result<(), TokenError> {
        let age = self.options.key_age.unwrap_or(KEY_AGE);
        let is_old = || self.keys_now().signing().is_old(age, self.options.roster.clock.now());
        if !is_old() {
            return Ok(());
        }
        let _rotating = self.rotating.lock().await;
        if !is_old() {
            return Ok(());
        }
        let reason = "the one before has signed for as long as a key may".into();
        self.succeed(Succession { by: Principal::Operator, reason, at_once: false }).await
    }

    /// Whoever calls holds `rotating`.
    async fn succeed(&self, how: Succession) -> Result<(), TokenError> {
        let next = self.keys_now().succeed(self.options.tenant, &self.options.roster, how).await?;
        *self.keys.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(next);
        Ok(())
    }

    /// What a token says once its signature, its time and its shape are proven.
    fn verified(&self, token: &str) -> Result<Claims, &'static str> {
        let unverified = Unverified::read(token).map_err(|_| "it is no token of ours")?;
        if unverified.header.typ.as_deref() != Some(TYPE) {
            return Err("it is no access token");
        }
        let claims: Claims = unverified.verify(self.keys_now().set()).map_err(|_| "it is no token of ours")?;
        checked(claims, &self.options.issuer, self.options.roster.clock.now())
    }

    /// `holder` is the key that was proven with the request.
    fn read(&self, token: &str, holder: Option<&Thumbprint>) -> Result<(Claims, Caller), AuthError> {
        let refuse = |text: &str| AuthError::Malformed(text.to_owned());
        let claims = self.verified(token).map_err(refuse)?;
        if claims.aud != self.options.issuer {
            return Err(refuse("it is for another system"));
        }
        if claims.holder().is_some_and(|bound| Some(bound) != holder) {
            return Err(refuse("it is bound to a key: show it as `DPoP`, with a proof by that key"));
        }
        let expires = Timestamp::from_millis(claims.exp.saturating_mul(1000));
        if self.options.roster.clock.now() >= expires {
            return Err(AuthError::SignInExpired(expires));
        }
        if self.revoked().contains_key(&claims.jti) {
            return Err(AuthError::Unknown);
        }
        for actor in claims.actors() {
            self.check_actor(claims.tenant, &actor).map_err(|error| refuse(&error.to_string()))?;
        }
        let principal = claims.principal().ok_or_else(|| refuse("it names nobody"))?;
        let scopes = match principal.person() {
            Some(person) => self.scopes(person, &claims)?,
            // What an agent may for itself is a matter of its sessions, not of this interface.
            None => Vec::new(),
        };
        let caller = Caller { tenant: claims.tenant, principal, scopes, bound_environment: None };
        Ok((claims, caller))
    }

    /// What the person may now, the agent may at all, and the token says.
    fn scopes(&self, person: UserId, claims: &Claims) -> Result<Vec<Scope>, AuthError> {
        let theirs = self.options.sign_ins.caller(claims.tenant, person, claims.made().ok_or(AuthError::Unknown)?)?;
        let said = claims.scopes();
        Ok(AGENTS_MAY.into_iter().filter(|scope| theirs.may(*scope) && said.contains(scope)).collect())
    }

    /// Only a saved agent that may work can act.
    fn check_actor(&self, tenant: TenantId, actor: &Actor) -> Result<(), TokenError> {
        let roster = &self.options.roster;
        let known = roster.colleague(tenant, actor.agent);
        let deleted = roster.charge(tenant, actor.agent).is_none_or(|charge| charge.deleted.is_some());
        match known {
            Some(colleague) if colleague.status == ColleagueStatus::Active && !deleted => Ok(()),
            _ => Err(TokenError::InvalidGrant(format!("the agent `{}` may not act", actor.agent))),
        }
    }
}

fn grant(error: AuthError) -> TokenError {
    match error {
        AuthError::Unavailable(problem) => TokenError::Unavailable(problem),
        other => TokenError::InvalidGrant(format!("`subject_token`: {other}")),
    }
}

fn unavailable(error: impl std::fmt::Display) -> TokenError {
    tracing::error!(%error, "a token failed by a fault of the server");
    TokenError::Unavailable("what is kept of tokens cannot be read or written".into())
}
