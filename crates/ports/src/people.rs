//! Keeping the directory: people, teams, and who answers for which agent. The implementation is in `identity`.
//!
//! Reading answers from memory; every change is a record of the tenant's administration before it is answered.

use crate::{ColleagueStatus, DocumentWrite, Role, StoreError};
use async_trait::async_trait;
use bailiwick_types::{AgentId, Principal, Secret, TeamId, TenantId, Timestamp, UserId};
use serde::{Deserialize, Serialize};

/// Who makes a change, and why.
#[derive(Debug, Clone, PartialEq)]
pub struct Author {
    pub tenant: TenantId,
    pub by: Principal,
    /// In their own words.
    pub reason: Option<String>,
}

/// A person as administrators see one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    pub id: UserId,
    /// For people to read.
    pub name: String,
    /// What they sign in with here; `None` for somebody who comes from the identity provider only.
    pub login: Option<String>,
    pub email: Option<String>,
    pub roles: Vec<Role>,
    pub teams: Vec<TeamId>,
    /// Who they are at the identity provider.
    pub foreign: Option<ForeignId>,
    pub created: Timestamp,
    pub updated: Timestamp,
    pub disabled: Option<Timestamp>,
}

/// A person's name at an identity provider: the pair is unique for ever (OpenID Connect Core 1.0, section 5.7).
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ForeignId {
    pub issuer: String,
    pub subject: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct NewUser {
    /// 1 to 128 characters.
    pub name: String,
    /// 1 to 64 of letters, digits, `.`, `_`, `-` and `@`; letters count alike in both cases.
    pub login: Option<String>,
    pub email: Option<String>,
    pub roles: Vec<Role>,
    pub teams: Vec<TeamId>,
    pub foreign: Option<ForeignId>,
}

/// What changes of a person; what is `None` stays.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct UserPatch {
    pub name: Option<String>,
    pub email: Option<Option<String>>,
    pub roles: Option<Vec<Role>>,
    pub teams: Option<Vec<TeamId>>,
    /// Disabling ends every sign-in and hands the person's agents to their deputies, or suspends them.
    pub disabled: Option<bool>,
}

/// What lets a person choose a password: shown once, good for one use until it expires.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetUp {
    pub code: Secret,
    pub expires: Timestamp,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Team {
    pub id: TeamId,
    pub name: String,
    pub created: Timestamp,
}

/// Who answers for an agent, and which of its versions is live.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Charge {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<UserId>,
    /// Takes over when the owner is disabled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deputy: Option<UserId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub team: Option<TeamId>,
    #[serde(default)]
    pub status: ColleagueStatus,
    /// When somebody should look whether the agent is still needed and right.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub review: Option<Timestamp>,
    /// The version that new sessions get; 0 while there are only drafts.
    pub published: u32,
    /// What was made live, oldest first; the oldest are forgotten beyond [`MAX_PUBLICATIONS`].
    pub publications: Vec<Publication>,
    /// The agent's versions are gone; what is left says who it was, and keeps its id from being used again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deleted: Option<Timestamp>,
}

/// Publications of one agent that are remembered.
pub const MAX_PUBLICATIONS: usize = 256;

/// One moment in which a version was made live.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Publication {
    pub version: u32,
    pub at: Timestamp,
    pub by: Principal,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// What a version of an agent is now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VersionState {
    /// Was never live.
    Draft,
    /// New sessions get it.
    Published,
    /// Was live until a later one was published.
    Superseded,
    /// Was live until an earlier one was published again.
    RolledBack,
}

impl VersionState {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Draft => "draft",
            Self::Published => "published",
            Self::Superseded => "superseded",
            Self::RolledBack => "rolled_back",
        }
    }
}

impl Charge {
    /// What version `version` is now. `drafted` is whether it was written as a draft.
    pub fn state_of(&self, version: u32, drafted: bool) -> VersionState {
        if version == self.published {
            return VersionState::Published;
        }
        match self.publications.iter().rposition(|publication| publication.version == version) {
            Some(at) => match self.publications.get(at + 1) {
                Some(next) if next.version < version => VersionState::RolledBack,
                _ => VersionState::Superseded,
            },
            None if drafted => VersionState::Draft,
            None => VersionState::Superseded,
        }
    }
}

/// What changes of who answers for an agent; what is `None` stays.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ChargePatch {
    pub owner: Option<Option<UserId>>,
    pub deputy: Option<Option<UserId>>,
    pub team: Option<Option<TeamId>>,
    pub status: Option<ColleagueStatus>,
    pub review: Option<Option<Timestamp>>,
    /// Makes this version live.
    pub publish: Option<u32>,
    /// The agent is deleted.
    pub deleted: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PeopleError {
    #[error("`{field}`: {problem}")]
    Invalid { field: &'static str, problem: String },
    #[error("there is no {what} `{id}`")]
    Unknown { what: &'static str, id: String },
    #[error("{0}")]
    Refused(String),
    #[error(transparent)]
    Store(StoreError),
    #[error("the directory cannot be kept now: {0}")]
    Unavailable(String),
}

/// Keeps people and teams.
#[async_trait]
pub trait People: Send + Sync {
    /// With a code for the first password when there is a login.
    async fn create_user(&self, author: Author, new: NewUser) -> Result<(User, Option<SetUp>), PeopleError>;
    async fn change_user(&self, author: Author, id: UserId, patch: UserPatch) -> Result<User, PeopleError>;
    /// Ends every sign-in and the password, and gives a code for another.
    async fn reset_password(&self, author: Author, id: UserId) -> Result<SetUp, PeopleError>;
    fn user(&self, tenant: TenantId, id: UserId) -> Option<User>;
    /// Oldest first.
    fn users(&self, tenant: TenantId) -> Vec<User>;

    async fn create_team(&self, author: Author, name: String) -> Result<Team, PeopleError>;
    async fn rename_team(&self, author: Author, id: TeamId, name: String) -> Result<Team, PeopleError>;
    fn team(&self, tenant: TenantId, id: TeamId) -> Option<Team>;
    /// Oldest first.
    fn teams(&self, tenant: TenantId) -> Vec<Team>;
}

/// Keeps who answers for which agent.
#[async_trait]
pub trait Colleagues: Send + Sync {
    /// Takes in a new agent with what else must be written with it. An id that was ever taken is a conflict.
    async fn engage(
        &self,
        author: Author,
        id: AgentId,
        charge: ChargePatch,
        documents: Vec<DocumentWrite>,
    ) -> Result<Charge, PeopleError>;
    /// `kind` is what happened, as the receipt says it: `agent.published`, `agent.suspended`.
    async fn change_charge(
        &self,
        author: Author,
        id: AgentId,
        kind: &str,
        patch: ChargePatch,
        documents: Vec<DocumentWrite>,
    ) -> Result<Charge, PeopleError>;
    /// `None` for an agent that was never saved here. Deleted ones are still known.
    fn charge(&self, tenant: TenantId, id: AgentId) -> Option<Charge>;
    /// Agents that nobody answers for: without an owner, not retired and not deleted. Oldest first.
    fn orphans(&self, tenant: TenantId) -> Vec<AgentId>;
}
