//! Letting people in: by a password of ours or by an identity provider, and the sign-ins that come of it.
//!
//! A sign-in is a random word that one browser or one command line holds; its digest is stored, with an expiry. It never
//! says more than who somebody is: what they may do is asked of the directory with every request, so that a person who
//! is disabled is out at once.

mod kept;
mod provider;
mod recheck;
mod waiting;

pub(crate) use kept::PREFIX;
pub use provider::{Mapping, Provider, ProviderError, ProviderOptions};

use crate::{
    api_key::{self, BASE62, draw},
    attempts::{Attempts, Pace},
    cache::Cache,
    hex,
    once::Once,
    passwords::{PasswordCost, Passwords},
    roster::{PasswordBody, Roster},
};
use async_trait::async_trait;
use aws_lc_rs::{
    constant_time::verify_slices_are_equal,
    digest::{SHA256, digest},
};
use bailiwick_ports::{
    AuthError, Caller, Scope, SignIn, SignInError,
    people::{Author, People, PeopleError, User},
    sign_in::{Arrival, Departure, Destination, Medium, PasswordAttempt, Return, SignedIn},
    store::DocumentKind,
};
use bailiwick_types::{Millis, Principal, Secret, TenantId, Timestamp, UserId};
use kept::{Came, Kept};
use provider::Arrived;
use recheck::Renewals;
use std::{net::IpAddr, sync::Arc};
use waiting::{Guest, WaitingRoom};

/// Attempts for one account: ten at once, then one in 20 s.
const PER_ACCOUNT: Pace = Pace { burst: 10, one_more_after: Millis::from_secs(20) };
/// Attempts from one address, behind which may be a whole office.
const PER_ADDRESS: Pace = Pace { burst: 100, one_more_after: Millis::from_secs(2) };
/// Longer texts are no name of anybody.
const MAX_LOGIN_BYTES: usize = 256;
/// Of the code that a browser carries to a command line.
const CODE_CHARS: usize = 43;

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
    /// Whose people sign in.
    pub tenant: TenantId,
    pub roster: Arc<Roster>,
    pub cost: PasswordCost,
    pub lives: Lives,
    pub provider: Option<Provider>,
}

impl SignInOptions {
    pub fn build(self) -> SignIns {
        let passwords = Passwords::new(self.cost, Arc::clone(&self.roster.random));
        SignIns {
            tenant: self.tenant,
            passwords,
            lives: self.lives,
            provider: self.provider,
            accounts: Attempts::new(PER_ACCOUNT),
            addresses: Attempts::new(PER_ADDRESS),
            known: Cache::new(),
            waiting: WaitingRoom::default(),
            logouts: Once::default(),
            renewals: Renewals::new(self.roster.clock.now()),
            swept: std::sync::Mutex::default(),
            roster: self.roster,
        }
    }
}

/// Lets people in and out, and tells who a sign-in belongs to.
pub struct SignIns {
    tenant: TenantId,
    roster: Arc<Roster>,
    passwords: Passwords,
    lives: Lives,
    provider: Option<Provider>,
    /// By name, folded: also names that nobody has.
    accounts: Attempts<String>,
    addresses: Attempts<IpAddr>,
    known: Cache<String, Arc<Kept>>,
    /// Who signed in at the provider for a command line.
    waiting: WaitingRoom,
    /// Logout tokens that were shown.
    logouts: Once,
    renewals: Renewals,
    /// Up to where expired sign-ins were last looked for.
    swept: std::sync::Mutex<Option<u128>>,
}

#[async_trait]
impl SignIn for SignIns {
    async fn by_password(&self, attempt: PasswordAttempt) -> Result<SignedIn, SignInError> {
        let PasswordAttempt { login, password, address, medium } = attempt;
        if login.len() > MAX_LOGIN_BYTES {
            return Err(SignInError::Wrong);
        }
        self.count(address)?;
        let now = self.roster.clock.now();
        self.accounts.count(login.trim().to_lowercase(), now).map_err(SignInError::TooMany)?;
        let user = self.roster.by_login(self.tenant, &login);
        let stored = match user {
            Some(user) => self.password(user).await?,
            None => None,
        };
        let right = self.passwords.is(stored.and_then(|stored| stored.digest).as_ref(), password.expose()).await?;
        // Who is disabled is told no more than who is wrong.
        let user = user.filter(|user| right && self.roster.active(self.tenant, *user).is_some());
        let Some(user) = user else {
            tracing::warn!(address = ?address, "somebody gave a wrong name or password");
            return Err(SignInError::Wrong);
        };
        self.let_in(user, medium, None).await
    }

    async fn set_password(&self, code: &str, password: Secret, address: Option<IpAddr>) -> Result<User, SignInError> {
        self.count(address)?;
        if code.len() > MAX_LOGIN_BYTES {
            return Err(SignInError::WrongCode);
        }
        let handle = api_key::handle(code);
        let store = &self.roster.documents.store;
        let found = store.document_by_handle(DocumentKind::Password, &handle).await.map_err(unavailable)?;
        let found = found.filter(|(tenant, _)| *tenant == self.tenant);
        let (tenant, document) = found.ok_or(SignInError::WrongCode)?;
        let entry = self.roster.documents.entry::<PasswordBody>(tenant, &document).await.map_err(unavailable)?;
        let id = UserId::from_u128(entry.id);
        let ours = entry.body.code.as_deref().unwrap_or_default();
        let same = verify_slices_are_equal(ours.as_bytes(), handle.as_bytes()).is_ok();
        let live = entry.body.code_expires.is_some_and(|expires| self.roster.clock.now() < expires);
        let user = self.roster.user(tenant, id).filter(|user| same && live && user.disabled.is_none());
        let user = user.ok_or(SignInError::WrongCode)?;
        Passwords::check_new(password.expose(), user.login.as_deref().unwrap_or_default())?;
        let digest = self.passwords.digest(password.expose()).await?;
        let author = Author { tenant, by: Principal::User { id }, reason: None };
        match self.roster.store_password(author, id, &entry, digest).await {
            // Somebody else used the same code in this moment.
            Err(PeopleError::Store(bailiwick_ports::StoreError::Conflict)) => Err(SignInError::WrongCode),
            Err(error) => Err(unavailable(error)),
            Ok(()) => Ok(user),
        }
    }

    fn page_token(&self, cookie: &str) -> String {
        hex::encode(digest(&SHA256, &[b"bailiwick.page/", cookie.as_bytes()].concat()).as_ref())
    }

    async fn sign_out(&self, token: &str) -> Result<bool, SignInError> {
        self.end(token).await
    }

    fn provider(&self) -> Option<&str> {
        self.provider.as_ref().map(Provider::issuer)
    }

    async fn depart(&self, callback: &str, destination: Destination) -> Result<Departure, SignInError> {
        let key = self.roster.documents.tenant_key(self.tenant).await.map_err(unavailable)?;
        self.the_provider()?.depart(&*key, callback, destination).await
    }

    async fn arrive(&self, callback: &str, cookie: &str, back: Return) -> Result<Arrival, SignInError> {
        let key = self.roster.documents.tenant_key(self.tenant).await.map_err(unavailable)?;
        let Arrived { claims, refresh, destination } =
            self.the_provider()?.arrive(&*key, callback, cookie, back).await?;
        let came =
            Came { subject: claims.foreign.subject.clone(), session: claims.session().map(str::to_owned), refresh };
        let user = self.provision(claims).await?;
        match destination {
            Destination::Page(next) => {
                let signed = self.let_in(user, Medium::Browser, Some(came)).await?;
                Ok(Arrival::Browser { signed, next })
            }
            Destination::CommandLine(hand_over) => {
                let code = draw(CODE_CHARS, BASE62, &*self.roster.random);
                let now = self.roster.clock.now();
                if !self.waiting.enter(&code, Guest { user, came }, hand_over.challenge, now) {
                    return Err(SignInError::Unavailable("too many people sign in at once".into()));
                }
                // A code, a state and an address of loopback need no encoding.
                let url = format!("{}?code={}&state={}", hand_over.redirect_uri, *code, hand_over.state);
                Ok(Arrival::CommandLine { url })
            }
        }
    }

    async fn redeem(&self, code: &str, verifier: &Secret, address: Option<IpAddr>) -> Result<SignedIn, SignInError> {
        self.the_provider()?;
        self.count(address)?;
        let guest = self.waiting.leave(code, verifier.expose(), self.roster.clock.now());
        let Guest { user, came } = guest.ok_or(SignInError::WrongCode)?;
        if self.roster.active(self.tenant, user).is_none() {
            return Err(SignInError::Refused("this account is disabled: ask an administrator".into()));
        }
        self.let_in(user, Medium::Bearer, Some(came)).await
    }

    async fn logged_out(&self, logout_token: &str) -> Result<(), SignInError> {
        self.end_by_provider(logout_token).await
    }

    async fn farewell(&self, back_to: &str) -> Option<String> {
        self.provider.as_ref()?.farewell(back_to).await
    }
}

impl SignIns {
    fn the_provider(&self) -> Result<&Provider, SignInError> {
        self.provider.as_ref().ok_or(SignInError::NotConfigured("there is no `[identity.oidc]` in the configuration"))
    }

    /// Counts an attempt from this address. Addresses of one IPv6 network count as one.
    fn count(&self, address: Option<IpAddr>) -> Result<(), SignInError> {
        let network = address.map(|address| match address.to_canonical() {
            IpAddr::V6(v6) => IpAddr::V6((v6.to_bits() & !u128::from(u64::MAX)).into()),
            v4 => v4,
        });
        let now = self.roster.clock.now();
        network.map_or(Ok(()), |network| self.addresses.count(network, now)).map_err(SignInError::TooMany)
    }

    async fn password(&self, user: UserId) -> Result<Option<PasswordBody>, SignInError> {
        let documents = &self.roster.documents;
        let found = documents.store.document(self.tenant, DocumentKind::Password, user.to_u128(), None).await;
        match found.map_err(unavailable)? {
            Some(document) => Ok(Some(documents.unseal(self.tenant, &document).await.map_err(unavailable)?)),
            None => Ok(None),
        }
    }

    /// The caller that a person is, with what the roles of this moment allow.
    pub(crate) fn caller(&self, user: UserId, since: Timestamp) -> Result<Caller, AuthError> {
        let Some((person, valid_from)) = self.roster.active(self.tenant, user) else {
            return Err(AuthError::Disabled);
        };
        // What was opened in the very millisecond in which it was closed stays closed.
        if valid_from.is_some_and(|from| since <= from) {
            return Err(AuthError::Unknown);
        }
        Ok(Caller {
            tenant: self.tenant,
            principal: Principal::User { id: user },
            scopes: Scope::of_roles(&person.roles),
            bound_environment: None,
        })
    }
}

/// What fails because something of ours does: the reason goes to the log.
pub(crate) fn unavailable(error: impl std::fmt::Display) -> SignInError {
    tracing::error!(%error, "a sign-in failed by a fault of the server");
    SignInError::Unavailable("the directory cannot be read or written".into())
}
