//! Letting people in: by a password of ours or by an identity provider, and the sign-ins that come of it.
//!
//! A sign-in is a random word that one browser or one command line holds; its digest is stored, with an expiry. It never
//! says more than who somebody is: what they may do is asked of the directory with every request, so that a person who
//! is disabled is out at once.
//!
//! Each organisation has an [`Entrance`] of its own, with its own accounts and its own provider. What somebody shows says
//! whose it is; who shows nothing yet names the organisation. Whether there is one of that name is told to nobody.

mod entrance;
mod kept;
mod provider;
mod recheck;
mod waiting;

pub(crate) use entrance::unavailable;
pub(crate) use kept::PREFIX;
pub(crate) use provider::check_url;
pub use provider::{Mapping, Provider, ProviderError, ProviderOptions};

use crate::{
    api_key,
    assertion_grant::{AccessError, Wanted},
    cache::Cache,
    hex,
    jwt::Unverified,
    passwords::{PasswordCost, Passwords},
    roster::Roster,
};
use async_trait::async_trait;
use aws_lc_rs::digest::{SHA256, digest};
use bailiwick_ports::{
    AuthError, Caller, SignIn, SignInError, Tasks,
    people::User,
    sign_in::{Arrival, Departure, Destination, Medium, PasswordAttempt, Return, SignedIn},
    store::{DocumentKind, Tenant},
};
use bailiwick_types::{Millis, Secret, TenantId, Timestamp, UserId};
use entrance::{Common, Entrance};
use std::{
    borrow::Cow,
    collections::BTreeMap,
    net::IpAddr,
    sync::{Arc, PoisonError, RwLock},
};

/// Longer texts are no code of ours.
const MAX_CODE_BYTES: usize = 256;
/// Between the organisation and the rest of a departure's cookie.
const COOKIE_JOINT: char = '.';
const NO_PROVIDER: SignInError = SignInError::NotConfigured("no identity provider is configured for this organisation");

/// How long sign-ins last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lives {
    pub browser: Millis,
    pub bearer: Millis,
    /// How often the identity provider is asked whether a sign-in may go on, where it gave a refresh token.
    pub recheck: Millis,
}

impl Default for Lives {
    fn default() -> Self {
        Self {
            browser: Millis::from_secs(12 * 3600),
            bearer: Millis::from_secs(30 * 24 * 3600),
            recheck: Millis::from_secs(3600),
        }
    }
}

/// What sign-ins are made of.
pub struct SignInOptions {
    /// The organisation of whoever names none.
    pub tenant: TenantId,
    pub roster: Arc<Roster>,
    pub cost: PasswordCost,
    pub lives: Lives,
    /// Where people of that organisation come from.
    pub provider: Option<Provider>,
    /// Where those of others come from, by the organisation's name. It may be made later.
    pub others: BTreeMap<String, Provider>,
    /// What was begun at a provider is done to its end there.
    pub tasks: Arc<dyn Tasks>,
}

impl SignInOptions {
    pub fn build(self) -> SignIns {
        let passwords = Passwords::new(self.cost, Arc::clone(&self.roster.random));
        let common = Arc::new(Common::new(self.roster, passwords, self.lives, self.tasks));
        let first = Entrance::new(self.tenant, self.provider.map(Arc::new), Arc::clone(&common));
        let others = self.others.into_iter().map(|(name, provider)| (name, Arc::new(provider))).collect();
        SignIns { first: Arc::new(first), others, common, entrances: RwLock::default(), places: Cache::new() }
    }
}

/// Lets people in and out, and tells who a sign-in belongs to.
pub struct SignIns {
    first: Arc<Entrance>,
    others: BTreeMap<String, Arc<Provider>>,
    common: Arc<Common>,
    /// Of the other organisations, as they are needed; there are no more than organisations.
    entrances: RwLock<BTreeMap<TenantId, Arc<Entrance>>>,
    /// Whose each sign-in is, by its digest. That never changes.
    places: Cache<String, TenantId>,
}

#[async_trait]
impl SignIn for SignIns {
    async fn by_password(&self, attempt: PasswordAttempt) -> Result<SignedIn, SignInError> {
        match self.named(attempt.organisation.as_deref()).await? {
            Some(entrance) => entrance.by_password(attempt).await,
            None => Err(self.common.refuse(attempt).await),
        }
    }

    async fn set_password(&self, code: &str, password: Secret, address: Option<IpAddr>) -> Result<User, SignInError> {
        self.common.count(address)?;
        if code.len() > MAX_CODE_BYTES {
            return Err(SignInError::WrongCode);
        }
        let store = &self.common.roster.documents.store;
        let found = store.document_by_handle(DocumentKind::Password, &api_key::handle(code)).await;
        let (tenant, _) = found.map_err(unavailable)?.ok_or(SignInError::WrongCode)?;
        self.of(tenant).await?.set_password(code, password).await
    }

    fn page_token(&self, cookie: &str) -> String {
        hex::encode(digest(&SHA256, &[b"bailiwick.page/", cookie.as_bytes()].concat()).as_ref())
    }

    async fn sign_out(&self, token: &str) -> Result<bool, SignInError> {
        self.end(token).await
    }

    async fn has_provider(&self, organisation: Option<&str>) -> Result<bool, SignInError> {
        Ok(self.named(organisation).await?.is_some_and(|entrance| entrance.provider.is_some()))
    }

    async fn provider_of(&self, tenant: TenantId) -> Result<Option<String>, SignInError> {
        Ok(self.of(tenant).await?.issuer().map(str::to_owned))
    }

    async fn depart(
        &self,
        organisation: Option<&str>,
        callback: &str,
        destination: Destination,
    ) -> Result<Departure, SignInError> {
        let entrance = self.named(organisation).await?.ok_or(NO_PROVIDER)?;
        let callback = self.callback(callback, entrance.tenant);
        let Departure { url, cookie } = entrance.depart(&callback, destination).await?;
        let cookie = Secret::new(format!("{}{COOKIE_JOINT}{}", entrance.tenant, cookie.expose()));
        Ok(Departure { url, cookie })
    }

    async fn arrive(&self, callback: &str, cookie: &str, back: Return) -> Result<Arrival, SignInError> {
        // The rest is sealed under that organisation's own key.
        let (tenant, sealed) = cookie.split_once(COOKIE_JOINT).unwrap_or_default();
        let entrance = match tenant.parse::<TenantId>() {
            Ok(tenant) => self.found(tenant).await?,
            Err(_) => None,
        };
        match entrance {
            Some(entrance) => entrance.arrive(callback, sealed, back).await,
            None => self.first.arrive(callback, "", back).await,
        }
    }

    async fn redeem(&self, code: &str, verifier: &Secret, address: Option<IpAddr>) -> Result<SignedIn, SignInError> {
        if self.first.provider.is_none() && self.others.is_empty() {
            return Err(NO_PROVIDER);
        }
        self.common.count(address)?;
        let guest = self.common.waiting.leave(code, verifier.expose(), self.common.roster.clock.now());
        let guest = guest.ok_or(SignInError::WrongCode)?;
        self.of(guest.tenant).await?.redeem(guest).await
    }

    async fn logged_out(&self, logout_token: &str) -> Result<(), SignInError> {
        // Who says so is read before it is proven, only to know whom to ask for the proof. Organisations may share a
        // provider, and even what they are to it.
        let issuer = Unverified::read(logout_token).ok().and_then(|token| token.issuer());
        let all = self.with_providers().await?;
        let is_named = |entrance: &&Arc<Entrance>| entrance.issuer() == issuer.as_deref();
        let named: Vec<&Arc<Entrance>> = all.iter().filter(is_named).collect();
        let asked = if named.is_empty() { all.first().into_iter().collect() } else { named };
        let mut said = Err(NO_PROVIDER);
        for entrance in asked {
            let one = entrance.end_by_provider(logout_token).await;
            said = if said.is_ok() { said } else { one };
        }
        said
    }

    async fn farewell(&self, tenant: TenantId, back_to: &str) -> Option<String> {
        self.of(tenant).await.ok()?.provider.as_ref()?.farewell(back_to).await
    }
}

impl SignIns {
    /// Tells who a sign-in belongs to, whatever their organisation.
    pub(crate) async fn authenticate(&self, token: &str, medium: Medium) -> Result<Caller, AuthError> {
        let (now, handle) = (self.common.roster.clock.now(), api_key::handle(token));
        let tenant = match self.places.get(&handle, now) {
            Ok(tenant) => tenant,
            Err(ticket) => {
                let tenant = self.place(&handle).await.map_err(away)?.ok_or(AuthError::Unknown)?;
                self.places.put(ticket, handle, tenant, now);
                tenant
            }
        };
        self.of(tenant).await.map_err(away)?.authenticate(token, medium).await
    }

    /// Says whether the provider had let them in.
    pub(crate) async fn end(&self, token: &str) -> Result<bool, SignInError> {
        match self.place(&api_key::handle(token)).await? {
            Some(tenant) => self.of(tenant).await?.end(token).await,
            None => Ok(false),
        }
    }

    /// The caller that a person is, with what the roles of this moment allow.
    pub(crate) fn caller(&self, tenant: TenantId, user: UserId, since: Timestamp) -> Result<Caller, AuthError> {
        entrance::caller(&self.common.roster, tenant, user, since)
    }

    /// What this person's identity provider says of them to another authorization server.
    pub(crate) async fn grant(
        &self,
        tenant: TenantId,
        user: UserId,
        wanted: &Wanted<'_>,
    ) -> Result<Secret, AccessError> {
        let unavailable = |error: SignInError| AccessError::Unavailable(error.to_string());
        let entrance = self.of(tenant).await.map_err(unavailable)?;
        let none = || AccessError::Unsupported("none is configured for this organisation".into());
        let provider = entrance.provider.as_ref().ok_or_else(none)?;
        let subject = entrance.subject_token(user).await?;
        provider.grant(&subject, wanted).await
    }

    /// Whether this person may do anything here at this moment.
    pub(crate) fn is_active(&self, tenant: TenantId, user: UserId) -> bool {
        self.common.roster.active(tenant, user).is_some()
    }

    pub(crate) fn clock(&self) -> &dyn bailiwick_ports::Clock {
        &*self.common.roster.clock
    }

    /// Where a provider sends the browser back to. A code that comes to one organisation's address is shown to the
    /// provider of that organisation only, whatever cookie came with it.
    fn callback<'a>(&self, first: &'a str, tenant: TenantId) -> Cow<'a, str> {
        match tenant == self.first.tenant {
            true => first.into(),
            false => format!("{first}/{tenant}").into(),
        }
    }

    async fn place(&self, handle: &str) -> Result<Option<TenantId>, SignInError> {
        let store = &self.common.roster.documents.store;
        let found = store.document_by_handle(DocumentKind::SignIn, handle).await.map_err(unavailable)?;
        Ok(found.map(|(tenant, _)| tenant))
    }

    async fn tenants(&self) -> Result<Vec<Tenant>, SignInError> {
        self.common.roster.documents.store.tenants().await.map_err(unavailable)
    }

    /// By the name or the id of an organisation; whoever names none means the first.
    async fn named(&self, organisation: Option<&str>) -> Result<Option<Arc<Entrance>>, SignInError> {
        let Some(organisation) = organisation.map(str::trim).filter(|named| !named.is_empty()) else {
            return Ok(Some(Arc::clone(&self.first)));
        };
        let id = organisation.parse::<TenantId>().ok();
        let all = self.tenants().await?;
        let found = all.into_iter().find(|tenant| tenant.name == organisation || Some(tenant.id) == id);
        Ok(found.map(|tenant| self.entrance(&tenant)))
    }

    async fn found(&self, tenant: TenantId) -> Result<Option<Arc<Entrance>>, SignInError> {
        if tenant == self.first.tenant {
            return Ok(Some(Arc::clone(&self.first)));
        }
        let known = self.entrances.read().unwrap_or_else(PoisonError::into_inner).get(&tenant).cloned();
        if known.is_some() {
            return Ok(known);
        }
        let found = self.tenants().await?.into_iter().find(|one| one.id == tenant);
        Ok(found.map(|tenant| self.entrance(&tenant)))
    }

    async fn of(&self, tenant: TenantId) -> Result<Arc<Entrance>, SignInError> {
        self.found(tenant).await?.ok_or_else(|| unavailable("somebody's organisation is not there"))
    }

    fn entrance(&self, tenant: &Tenant) -> Arc<Entrance> {
        if tenant.id == self.first.tenant {
            return Arc::clone(&self.first);
        }
        let mut all = self.entrances.write().unwrap_or_else(PoisonError::into_inner);
        let make = || {
            let provider = self.others.get(&tenant.name).cloned();
            Arc::new(Entrance::new(tenant.id, provider, Arc::clone(&self.common)))
        };
        Arc::clone(all.entry(tenant.id).or_insert_with(make))
    }

    /// Every organisation with a provider, the first one first.
    async fn with_providers(&self) -> Result<Vec<Arc<Entrance>>, SignInError> {
        let mut all = vec![Arc::clone(&self.first)];
        if !self.others.is_empty() {
            let named = self.tenants().await?.into_iter().filter(|tenant| self.others.contains_key(&tenant.name));
            all.extend(named.filter(|tenant| tenant.id != self.first.tenant).map(|tenant| self.entrance(&tenant)));
        }
        all.retain(|entrance| entrance.provider.is_some());
        Ok(all)
    }
}

fn away(error: SignInError) -> AuthError {
    AuthError::Unavailable(error.to_string())
}
