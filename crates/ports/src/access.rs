//! Who is calling: scopes, callers, and the port that tells them apart. The implementation is in `identity`.

use crate::tokens::Thumbprint;
use async_trait::async_trait;
use bailiwick_types::{EnvironmentId, KeyId, Principal, Role, Secret, TenantId, Timestamp, UserId};
use serde::{Deserialize, Serialize};
use std::fmt;

/// What a key may be used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Scope {
    /// Everything, keys included.
    #[serde(rename = "admin")]
    Admin,
    #[serde(rename = "agents:read")]
    AgentsRead,
    #[serde(rename = "agents:write")]
    AgentsWrite,
    #[serde(rename = "sessions:read")]
    SessionsRead,
    #[serde(rename = "sessions:write")]
    SessionsWrite,
    #[serde(rename = "files:read")]
    FilesRead,
    #[serde(rename = "files:write")]
    FilesWrite,
    /// Registering a self-hosted executor.
    #[serde(rename = "environments:connect")]
    EnvironmentsConnect,
    /// Seeing who works here, and in which teams.
    #[serde(rename = "people:read")]
    PeopleRead,
    /// Adding, changing and disabling members. Whoever holds a role beyond `member` is an administrator's matter.
    #[serde(rename = "people:write")]
    PeopleWrite,
    /// Seeing what belongs to others: without it everyone sees only their own.
    #[serde(rename = "tenant:read")]
    TenantRead,
    /// Cancelling and settling the sessions of others.
    #[serde(rename = "sessions:stop")]
    SessionsStop,
    /// Setting and removing limits on what may be spent.
    #[serde(rename = "budgets:write")]
    BudgetsWrite,
    /// Seeing what was spent, and what budgets hold.
    #[serde(rename = "spend:read")]
    SpendRead,
    /// Reading receipts and their proofs, and who changed what the administration keeps.
    #[serde(rename = "audit:read")]
    AuditRead,
    /// Reading the rules that decide what agents may do, and trying out what they say.
    #[serde(rename = "policy:read")]
    PolicyRead,
    /// Applying other rules, and simulating them against what was done.
    #[serde(rename = "policy:write")]
    PolicyWrite,
    /// Forbidding to delete what somebody or something left, and lifting that.
    #[serde(rename = "holds:write")]
    HoldsWrite,
    /// Seeing one's vaults and what is in them, never a secret.
    #[serde(rename = "vaults:read")]
    VaultsRead,
    /// Keeping secrets in vaults of one's own, and of agents that one answers for.
    #[serde(rename = "vaults:write")]
    VaultsWrite,
}

impl Scope {
    /// What a program gets when nobody says more: what it needs for work of its own.
    pub const OWN_WORK: [Self; 7] = [
        Self::AgentsRead,
        Self::AgentsWrite,
        Self::SessionsRead,
        Self::SessionsWrite,
        Self::FilesRead,
        Self::FilesWrite,
        Self::EnvironmentsConnect,
    ];

    pub const ALL: [Self; 20] = [
        Self::Admin,
        Self::AgentsRead,
        Self::AgentsWrite,
        Self::SessionsRead,
        Self::SessionsWrite,
        Self::FilesRead,
        Self::FilesWrite,
        Self::EnvironmentsConnect,
        Self::PeopleRead,
        Self::PeopleWrite,
        Self::TenantRead,
        Self::SessionsStop,
        Self::BudgetsWrite,
        Self::SpendRead,
        Self::AuditRead,
        Self::PolicyRead,
        Self::PolicyWrite,
        Self::HoldsWrite,
        Self::VaultsRead,
        Self::VaultsWrite,
    ];

    /// Its name in requests, answers and on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::AgentsRead => "agents:read",
            Self::AgentsWrite => "agents:write",
            Self::SessionsRead => "sessions:read",
            Self::SessionsWrite => "sessions:write",
            Self::FilesRead => "files:read",
            Self::FilesWrite => "files:write",
            Self::EnvironmentsConnect => "environments:connect",
            Self::PeopleRead => "people:read",
            Self::PeopleWrite => "people:write",
            Self::TenantRead => "tenant:read",
            Self::SessionsStop => "sessions:stop",
            Self::BudgetsWrite => "budgets:write",
            Self::SpendRead => "spend:read",
            Self::AuditRead => "audit:read",
            Self::PolicyRead => "policy:read",
            Self::PolicyWrite => "policy:write",
            Self::HoldsWrite => "holds:write",
            Self::VaultsRead => "vaults:read",
            Self::VaultsWrite => "vaults:write",
        }
    }
}

impl Scope {
    /// What somebody with this role may do with the API. Seeing and changing are always of one's own things, unless
    /// [`Self::TenantRead`] or [`Self::SessionsStop`] says more.
    pub const fn of_role(role: Role) -> &'static [Self] {
        use Scope::{
            Admin, AgentsRead, AgentsWrite, AuditRead, FilesRead, FilesWrite, HoldsWrite, PeopleRead, PolicyRead,
            SessionsRead, SessionsStop, SessionsWrite, SpendRead, TenantRead, VaultsRead, VaultsWrite,
        };
        match role {
            Role::Admin => &[Admin],
            Role::Builder => &[
                AgentsRead,
                AgentsWrite,
                SessionsRead,
                SessionsWrite,
                FilesRead,
                FilesWrite,
                PeopleRead,
                PolicyRead,
                VaultsRead,
                VaultsWrite,
            ],
            Role::Operator => &[
                AgentsRead,
                SessionsRead,
                SessionsWrite,
                FilesRead,
                FilesWrite,
                PeopleRead,
                TenantRead,
                SessionsStop,
                SpendRead,
                PolicyRead,
                VaultsRead,
                VaultsWrite,
            ],
            Role::Auditor => &[
                AgentsRead,
                SessionsRead,
                FilesRead,
                PeopleRead,
                TenantRead,
                SpendRead,
                AuditRead,
                HoldsWrite,
                PolicyRead,
            ],
            Role::Member => &[AgentsRead, SessionsRead, SessionsWrite, FilesRead, FilesWrite, VaultsRead, VaultsWrite],
        }
    }

    /// What somebody with all these roles may do, each scope once.
    pub fn of_roles(roles: &[Role]) -> Vec<Self> {
        let mut scopes: Vec<Self> = roles.iter().flat_map(|role| Self::of_role(*role)).copied().collect();
        scopes.sort_unstable();
        scopes.dedup();
        scopes
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Whose things a caller may see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    Everyone,
    /// One person's, whoever of their agents asks.
    Person(UserId),
    /// Those of programs, which share theirs within a tenant.
    Programs,
}

impl Reach {
    /// Whether it takes in what `creator` made.
    pub fn covers(self, creator: &Principal) -> bool {
        match self {
            Self::Everyone => true,
            Self::Person(person) => creator.person() == Some(person),
            Self::Programs => creator.person().is_none(),
        }
    }
}

/// Who sent a request, once that is proven.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    pub tenant: TenantId,
    pub principal: Principal,
    pub scopes: Vec<Scope>,
    /// An executor's credential opens this one environment and nothing else.
    pub bound_environment: Option<EnvironmentId>,
}

impl Caller {
    /// The operator of the machine, through the local administration socket.
    pub fn operator(tenant: TenantId) -> Self {
        Self { tenant, principal: Principal::Operator, scopes: vec![Scope::Admin], bound_environment: None }
    }

    /// Whether a key with these scopes may be used for `scope`; `admin` is all of them. A bound credential may only
    /// connect, whatever else it says.
    pub fn may(&self, scope: Scope) -> bool {
        if self.bound_environment.is_some() && scope != Scope::EnvironmentsConnect {
            return false;
        }
        self.scopes.iter().any(|held| *held == scope || *held == Scope::Admin)
    }

    /// Whose sessions and files it may see. A credential that is bound to an environment is led there by its own check.
    pub fn reach(&self) -> Reach {
        if self.may(Scope::TenantRead) || self.bound_environment.is_some() {
            return Reach::Everyone;
        }
        self.own()
    }

    /// Whether it may see what `creator` made.
    pub fn may_see(&self, creator: &Principal) -> bool {
        self.reach().covers(creator) || self.spoke_as(creator)
    }

    /// Whether it may give more work to what `creator` made, and change or delete it.
    pub fn may_change(&self, creator: &Principal) -> bool {
        self.may(Scope::Admin) || self.own().covers(creator) || self.spoke_as(creator)
    }

    /// Whether this is the program that made it for a person.
    fn spoke_as(&self, creator: &Principal) -> bool {
        matches!((creator, &self.principal), (Principal::Delegate { key: by, .. }, Principal::Service { key }) if by == key)
    }

    /// Whether it may cancel what `creator` made and settle what is open there.
    pub fn may_stop(&self, creator: &Principal) -> bool {
        self.may_change(creator) || self.may(Scope::SessionsStop)
    }

    fn own(&self) -> Reach {
        self.principal.person().map_or(Reach::Programs, Reach::Person)
    }

    /// Whether it may register an executor for `environment`: only a credential that is bound to it may, not one that
    /// opens more, because whoever is the executor reads and answers everything the agent does there.
    pub fn may_connect(&self, environment: EnvironmentId) -> bool {
        self.may(Scope::EnvironmentsConnect) && self.bound_environment == Some(environment)
    }
}

/// Why a caller is not known. Everything but [`AuthError::Unavailable`] is a 401; the texts hold no secret and do not
/// tell a key that never was from one that was revoked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AuthError {
    #[error("this request carries no credential: send `Authorization: Bearer KEY`, or sign it with AWS Signature 4")]
    Missing,
    /// The credential cannot be one, whoever knows it.
    #[error("the credential cannot be read: {0}")]
    Malformed(String),
    #[error("this key is not known here: it was revoked, or belongs to another server")]
    Unknown,
    #[error("this key expired at {0}: ask an administrator for another")]
    Expired(Timestamp),
    #[error("this sign-in expired at {0}: sign in again")]
    SignInExpired(Timestamp),
    #[error("this account is disabled: ask an administrator")]
    Disabled,
    #[error("the signature does not match the request: {0}")]
    BadSignature(String),
    #[error("the request was signed for {signed}, but it is {now} here: set the clock of the machine that signs")]
    ClockSkew { signed: Timestamp, now: Timestamp },
    #[error("keys cannot be checked now: {0}")]
    Unavailable(String),
}

/// What of a request a signature covers, as it came over the wire.
#[derive(Debug, Clone, Copy)]
pub struct RequestParts<'a> {
    /// In capitals.
    pub method: &'a str,
    /// The path of the request line, still percent-encoded, whole (before any router took a prefix off).
    pub path: &'a str,
    /// What follows `?`, still percent-encoded; empty when there is none.
    pub query: &'a str,
    /// All header lines in their order. Over HTTP/2, `:authority` as `host`.
    pub headers: &'a [(&'a str, &'a [u8])],
    /// SHA-256 of the body. A caller that has not read the body yet may give what [`RequestParts::claimed_body`]
    /// returned, and must then refuse the body unless it has this digest.
    pub body_sha256: [u8; 32],
}

impl RequestParts<'_> {
    /// The digest that the header `x-amz-content-sha256` claims for the body, if it is one.
    pub fn claimed_body(headers: &[(&str, &[u8])]) -> Option<[u8; 32]> {
        let (_, value) = headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("x-amz-content-sha256"))?;
        let text = std::str::from_utf8(value).ok()?.trim();
        if text.len() != 64 || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
            return None;
        }
        let mut digest = [0; 32];
        for (byte, pair) in digest.iter_mut().zip(text.as_bytes().chunks(2)) {
            *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
        }
        Some(digest)
    }
}

/// Tells who sent a request.
#[async_trait]
pub trait Authenticator: Send + Sync {
    /// By what follows `Authorization: Bearer`: an API key, a person's sign-in, or a token of ours.
    async fn authenticate_bearer(&self, token: &str) -> Result<Caller, AuthError>;

    /// By the same, from somebody who has proven to hold a key. A token that is bound to a key opens nothing without.
    async fn authenticate_held(&self, token: &str, _holder: &Thumbprint) -> Result<Caller, AuthError> {
        self.authenticate_bearer(token).await
    }

    /// By the cookie of a browser. Whoever takes it must also ask for what the cookie alone does not prove: that the
    /// request comes from our own page (`SignIn::page_token`).
    async fn authenticate_cookie(&self, _cookie: &str) -> Result<Caller, AuthError> {
        Err(AuthError::Unknown)
    }

    /// By AWS Signature Version 4 in the `Authorization` header.
    async fn authenticate_sigv4(&self, request: &RequestParts<'_>) -> Result<Caller, AuthError>;
}

/// Which of the two kinds of credential.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyKind {
    /// One word after `Authorization: Bearer`.
    ApiKey,
    /// A pair that signs requests (AWS Signature 4).
    AccessKey,
}

/// A credential without its secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyInfo {
    pub id: KeyId,
    pub kind: KeyKind,
    pub name: String,
    pub scopes: Vec<Scope>,
    /// The public half of an access key.
    pub access_key_id: Option<String>,
    /// The last characters of an API key, so that a person knows it again.
    pub last4: Option<String>,
    /// The one environment that an access key opens.
    pub environment: Option<EnvironmentId>,
    pub created: Timestamp,
    pub expires: Option<Timestamp>,
    pub revoked: Option<Timestamp>,
}

/// What an administrator says of a new credential.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewKey {
    pub kind: KeyKind,
    pub name: String,
    pub scopes: Vec<Scope>,
    pub expires: Option<Timestamp>,
    /// Binds an access key; the caller has checked that there is such an environment.
    pub environment: Option<EnvironmentId>,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyDeskError {
    /// The text names the field and the way out.
    #[error("{0}")]
    Invalid(String),
    #[error("there is no key {0}")]
    UnknownKey(KeyId),
    #[error("keys cannot be reached now: {0}")]
    Unavailable(String),
}

/// When the word of a key stops counting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyEnd {
    Revoked,
    Expires(Timestamp),
}

/// Which keys have an end, for decisions about what they have ordered.
#[async_trait]
pub trait Revocations: Send + Sync {
    /// Makes sure that [`Revocations::end_of`] knows all of a tenant's. The error is for the log.
    async fn recall(&self, tenant: TenantId) -> Result<(), String>;

    /// `None` for a key that holds until somebody revokes it. Answers from memory, because the gate asks inside a commit.
    fn end_of(&self, tenant: TenantId, key: KeyId) -> Option<KeyEnd>;
}

/// Makes, lists and revokes credentials.
#[async_trait]
pub trait KeyDesk: Send + Sync {
    /// `by` makes it. The secret is shown this once.
    async fn create_key(
        &self,
        by: &Principal,
        tenant: TenantId,
        new: NewKey,
    ) -> Result<(KeyInfo, Secret), KeyDeskError>;
    /// Both kinds, oldest first, revoked ones included.
    async fn list_keys(&self, tenant: TenantId) -> Result<Vec<KeyInfo>, KeyDeskError>;
    async fn revoke_key(&self, by: &Principal, tenant: TenantId, id: KeyId) -> Result<(), KeyDeskError>;
}
