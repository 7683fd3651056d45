//! The sign-ins of one organisation: its accounts, its identity provider, and who is signed in.

use super::{
    Lives,
    kept::{Came, Kept},
    provider::{Arrived, Provider},
    recheck::Renewals,
    waiting::{Guest, WaitingRoom},
};
use crate::{
    api_key::{self, BASE62, draw},
    attempts::{Attempts, Pace},
    cache::Cache,
    once::Once,
    passwords::Passwords,
    roster::{PasswordBody, Roster},
};
use aws_lc_rs::constant_time::verify_slices_are_equal;
use bailiwick_ports::{
    AuthError, Caller, Scope, SignInError, Tasks,
    people::{Author, People, PeopleError, User},
    sign_in::{Arrival, Departure, Destination, Medium, PasswordAttempt, Return, SignedIn},
    store::DocumentKind,
};
use bailiwick_types::{Millis, Principal, Secret, TenantId, Timestamp, UserId};
use std::{net::IpAddr, sync::Arc};

/// Attempts for one account: ten at once, then one in 20 s.
const PER_ACCOUNT: Pace = Pace { burst: 10, one_more_after: Millis::from_secs(20) };
/// Attempts from one address, behind which may be a whole office.
const PER_ADDRESS: Pace = Pace { burst: 100, one_more_after: Millis::from_secs(2) };
/// Longer texts are no name of anybody.
const MAX_LOGIN_BYTES: usize = 256;
/// Of the code that a browser carries to a command line.
const CODE_CHARS: usize = 43;

/// What all organisations share, so that their number raises no bound.
pub(super) struct Common {
    pub roster: Arc<Roster>,
    pub passwords: Passwords,
    pub lives: Lives,
    addresses: Attempts<IpAddr>,
    /// Who signed in at a provider for a command line.
    pub waiting: WaitingRoom,
    pub tasks: Arc<dyn Tasks>,
}

impl Common {
    pub fn new(roster: Arc<Roster>, passwords: Passwords, lives: Lives, tasks: Arc<dyn Tasks>) -> Self {
        let addresses = Attempts::new(PER_ADDRESS);
        Self { roster, passwords, lives, addresses, waiting: WaitingRoom::default(), tasks }
    }

    /// Counts an attempt from this address. Addresses of one IPv6 network count as one.
    pub fn count(&self, address: Option<IpAddr>) -> Result<(), SignInError> {
        let network = address.map(|address| match address.to_canonical() {
            IpAddr::V6(v6) => IpAddr::V6((v6.to_bits() & !u128::from(u64::MAX)).into()),
            v4 => v4,
        });
        let now = self.roster.clock.now();
        network.map_or(Ok(()), |network| self.addresses.count(network, now)).map_err(SignInError::TooMany)
    }

    /// An attempt that cannot succeed, as dear as any other.
    pub async fn refuse(&self, attempt: PasswordAttempt) -> SignInError {
        if let Err(error) = self.count(attempt.address) {
            return error;
        }
        match self.passwords.is(None, attempt.password.expose()).await {
            Ok(_) => SignInError::Wrong,
            Err(error) => error,
        }
    }
}

/// Lets people of one organisation in and out, and tells who a sign-in belongs to.
pub(super) struct Entrance {
    pub tenant: TenantId,
    pub roster: Arc<Roster>,
    pub lives: Lives,
    pub provider: Option<Arc<Provider>>,
    pub common: Arc<Common>,
    /// By name, folded: also names that nobody has.
    accounts: Attempts<String>,
    pub known: Cache<String, Arc<Kept>>,
    /// Logout tokens that were shown.
    pub logouts: Once,
    pub renewals: Renewals,
    /// Up to where expired sign-ins were last looked for.
    pub swept: std::sync::Mutex<Option<u128>>,
}

impl Entrance {
    pub fn new(tenant: TenantId, provider: Option<Arc<Provider>>, common: Arc<Common>) -> Self {
        let (roster, lives) = (Arc::clone(&common.roster), common.lives);
        let renewals = Renewals::new(roster.clock.now());
        let accounts = Attempts::new(PER_ACCOUNT);
        let (known, logouts, swept) = (Cache::new(), Once::default(), std::sync::Mutex::default());
        Self { tenant, roster, lives, provider, common, accounts, known, logouts, renewals, swept }
    }

    pub async fn by_password(&self, attempt: PasswordAttempt) -> Result<SignedIn, SignInError> {
        let PasswordAttempt { login, password, address, medium, .. } = attempt;
        if login.len() > MAX_LOGIN_BYTES {
            return Err(SignInError::Wrong);
        }
        self.common.count(address)?;
        let now = self.roster.clock.now();
        self.accounts.count(login.trim().to_lowercase(), now).map_err(SignInError::TooMany)?;
        let user = self.roster.by_login(self.tenant, &login);
        let stored = match user {
            Some(user) => self.password(user).await?,
            None => None,
        };
        let right =
            self.common.passwords.is(stored.and_then(|stored| stored.digest).as_ref(), password.expose()).await?;
        // Who is disabled is told no more than who is wrong.
        let user = user.filter(|user| right && self.roster.active(self.tenant, *user).is_some());
        let Some(user) = user else {
            tracing::warn!(address = ?address, "somebody gave a wrong name or password");
            return Err(SignInError::Wrong);
        };
        self.let_in(user, medium, None).await
    }

    /// Whoever calls has counted the attempt.
    pub async fn set_password(&self, code: &str, password: Secret) -> Result<User, SignInError> {
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
        let digest = self.common.passwords.digest(password.expose()).await?;
        let author = Author { tenant, by: Principal::User { id }, reason: None };
        match self.roster.store_password(author, id, &entry, digest).await {
            // Somebody else used the same code in this moment.
            Err(PeopleError::Store(bailiwick_ports::StoreError::Conflict)) => Err(SignInError::WrongCode),
            Err(error) => Err(unavailable(error)),
            Ok(()) => Ok(user),
        }
    }

    pub async fn depart(&self, callback: &str, destination: Destination) -> Result<Departure, SignInError> {
        let key = self.roster.documents.tenant_key(self.tenant).await.map_err(unavailable)?;
        self.the_provider()?.depart(&*key, callback, destination).await
    }

    pub async fn arrive(&self, callback: &str, cookie: &str, back: Return) -> Result<Arrival, SignInError> {
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
                let guest = Guest { tenant: self.tenant, user, came };
                if !self.common.waiting.enter(&code, guest, hand_over.challenge, now) {
                    return Err(SignInError::Unavailable("too many people sign in at once".into()));
                }
                // A code, a state and an address of loopback need no encoding.
                let url = format!("{}?code={}&state={}", hand_over.redirect_uri, *code, hand_over.state);
                Ok(Arrival::CommandLine { url })
            }
        }
    }

    /// Whoever calls has taken them out of the waiting room.
    pub async fn redeem(&self, guest: Guest) -> Result<SignedIn, SignInError> {
        let Guest { user, came, .. } = guest;
        if self.roster.active(self.tenant, user).is_none() {
            return Err(SignInError::Refused("this account is disabled: ask an administrator".into()));
        }
        self.let_in(user, Medium::Bearer, Some(came)).await
    }

    /// The provider's name for itself.
    pub fn issuer(&self) -> Option<&str> {
        self.provider.as_ref().map(|provider| provider.issuer())
    }

    pub fn the_provider(&self) -> Result<&Provider, SignInError> {
        self.provider.as_deref().ok_or(SignInError::NotConfigured("there is no `[identity.oidc]` in the configuration"))
    }

    async fn password(&self, user: UserId) -> Result<Option<PasswordBody>, SignInError> {
        let documents = &self.roster.documents;
        let found = documents.store.document(self.tenant, DocumentKind::Password, user.to_u128(), None).await;
        match found.map_err(unavailable)? {
            Some(document) => Ok(Some(documents.unseal(self.tenant, &document).await.map_err(unavailable)?)),
            None => Ok(None),
        }
    }

    pub fn caller(&self, user: UserId, since: Timestamp) -> Result<Caller, AuthError> {
        caller(&self.roster, self.tenant, user, since)
    }
}

/// The caller that a person is, with what the roles of this moment allow.
pub(super) fn caller(roster: &Roster, tenant: TenantId, user: UserId, since: Timestamp) -> Result<Caller, AuthError> {
    let Some((person, valid_from)) = roster.active(tenant, user) else {
        return Err(AuthError::Disabled);
    };
    // What was opened in the very millisecond in which it was closed stays closed.
    if valid_from.is_some_and(|from| since <= from) {
        return Err(AuthError::Unknown);
    }
    Ok(Caller {
        tenant,
        principal: Principal::User { id: user },
        scopes: Scope::of_roles(&person.roles),
        bound_environment: None,
    })
}

/// What fails because something of ours does: the reason goes to the log.
pub(crate) fn unavailable(error: impl std::fmt::Display) -> SignInError {
    tracing::error!(%error, "a sign-in failed by a fault of the server");
    SignInError::Unavailable("the directory cannot be read or written".into())
}
