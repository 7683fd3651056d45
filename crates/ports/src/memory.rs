//! What is remembered between sessions: how it is kept, and the desk at which people see and correct it.
//!
//! Whoever asks the store says whose entries may be reached ([`Within`]), and the store gives nothing else: not by id, not
//! by search, not in lists. It keeps sealed texts and keyed words, and can read neither.

use crate::StoreError;
use async_trait::async_trait;
pub use bailiwick_core::{MemoryEntry, MemoryKind, MemoryScope, MemoryState};
use bailiwick_types::{ActionId, AgentId, MemoryId, Principal, TeamId, TenantId, Timestamp, UserId};
use bytes::Bytes;
use std::collections::BTreeSet;

/// Entries of one holder: one person, one team, one agent, one tenant as a whole.
pub const MAX_MEMORIES: u64 = 10_000;
/// Holders that one question reaches.
pub const MAX_HOLDERS: usize = 12;
/// Keyed words of one question, over all its holders.
pub const MAX_TERMS: usize = 400;

/// Whose an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Holder {
    Person(UserId),
    Team(TeamId),
    Agent(AgentId),
    Tenant,
}

impl Holder {
    pub const fn scope(self) -> MemoryScope {
        match self {
            Self::Person(_) => MemoryScope::Person,
            Self::Team(_) => MemoryScope::Team,
            Self::Agent(_) => MemoryScope::Agent,
            Self::Tenant => MemoryScope::Tenant,
        }
    }

    /// 0 for the tenant as a whole.
    pub const fn id(self) -> u128 {
        match self {
            Self::Person(id) => id.to_u128(),
            Self::Team(id) => id.to_u128(),
            Self::Agent(id) => id.to_u128(),
            Self::Tenant => 0,
        }
    }

    pub const fn new(scope: MemoryScope, id: u128) -> Self {
        match scope {
            MemoryScope::Person => Self::Person(UserId::from_u128(id)),
            MemoryScope::Team => Self::Team(TeamId::from_u128(id)),
            MemoryScope::Agent => Self::Agent(AgentId::from_u128(id)),
            MemoryScope::Tenant => Self::Tenant,
        }
    }
}

/// All that a question may reach.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Within {
    pub tenant: TenantId,
    /// Each once, at most [`MAX_HOLDERS`].
    pub holders: Vec<Holder>,
}

impl Within {
    /// The same, but for holders of other scopes.
    #[must_use]
    pub fn only(&self, scopes: &BTreeSet<MemoryScope>) -> Self {
        let holders = self.holders.iter().copied().filter(|holder| scopes.contains(&holder.scope())).collect();
        Self { tenant: self.tenant, holders }
    }

    pub fn holds(&self, holder: Holder) -> bool {
        self.holders.contains(&holder)
    }
}

/// An entry as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedMemory {
    pub id: MemoryId,
    pub holder: Holder,
    pub kind: MemoryKind,
    pub state: MemoryState,
    pub version: u32,
    pub created: Timestamp,
    pub updated: Timestamp,
    /// The action that wrote this version.
    pub action: Option<ActionId>,
    /// Text, label and source.
    pub sealed: Bytes,
}

/// What a version says, beside its number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemoryBody {
    pub state: MemoryState,
    pub kind: MemoryKind,
    pub at: Timestamp,
    pub action: Option<ActionId>,
    /// Keyed, of the text in the form in which two texts are the same.
    pub digest: [u8; 32],
    pub sealed: Bytes,
    /// Keyed words in order, lower-case letters and digits only. Those of a proposal are kept and not searched.
    pub terms: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewMemory {
    pub tenant: TenantId,
    pub id: MemoryId,
    pub holder: Holder,
    pub body: MemoryBody,
}

/// What became of writing a new entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Written {
    New,
    /// The holder has an entry that says the same, or this very entry was written before.
    Same(SealedMemory),
    /// The holder has [`MAX_MEMORIES`].
    Full,
}

/// What became of changing or removing an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Changed {
    Done,
    /// There is none, or none that may be reached.
    Unknown,
    /// Somebody changed it meanwhile: this is its version.
    Version(u32),
    /// The holder has another entry that says the same.
    Same(MemoryId),
}

/// Which version a change may replace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Precondition {
    pub version: u32,
    /// The change itself may have been made before, by this action.
    pub action: Option<ActionId>,
}

#[derive(Debug, Clone, Default)]
pub struct MemoryQuery {
    pub state: Option<MemoryState>,
    pub kind: Option<MemoryKind>,
    /// The id of the last one that was seen.
    pub after: Option<MemoryId>,
    pub limit: u32,
}

/// How many entries there are of one scope and state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemoryCount {
    pub scope: MemoryScope,
    pub state: MemoryState,
    pub entries: u64,
    /// People, teams or agents that have them.
    pub holders: u64,
}

/// An entry that is gone and whose receipt was not written yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Forgotten {
    pub tenant: TenantId,
    pub id: MemoryId,
    pub holder: Holder,
    pub version: u32,
    pub at: Timestamp,
    pub by: Principal,
}

/// Keeps entries. Every acknowledged write is on disk; what was removed is written over there before the call returns.
#[async_trait]
pub trait MemoryStore: Send + Sync {
    async fn write(&self, new: NewMemory) -> Result<Written, StoreError>;

    async fn change(
        &self,
        within: &Within,
        id: MemoryId,
        before: Precondition,
        body: MemoryBody,
    ) -> Result<Changed, StoreError>;

    async fn get(&self, within: &Within, id: MemoryId) -> Result<Option<SealedMemory>, StoreError>;

    /// Confirmed entries that have any of these keyed words, the best first.
    async fn search(
        &self,
        within: &Within,
        terms: &[String],
        kinds: &BTreeSet<MemoryKind>,
        limit: u32,
    ) -> Result<Vec<SealedMemory>, StoreError>;

    /// In the order of their ids, oldest first, and whether there are more.
    async fn list(&self, within: &Within, query: &MemoryQuery) -> Result<(Vec<SealedMemory>, bool), StoreError>;

    /// Removes an entry. With `by`, a note stays until [`MemoryStore::receipted`]: without words, so that the receipt can
    /// be written after a crash too.
    async fn forget(
        &self,
        within: &Within,
        id: MemoryId,
        version: Option<u32>,
        by: Option<(Principal, Timestamp)>,
    ) -> Result<Changed, StoreError>;

    /// Removes everything of one holder that was there by then; how many there were.
    async fn forget_all(&self, tenant: TenantId, holder: Holder, until: Timestamp) -> Result<u64, StoreError>;

    async fn counts(&self, tenant: TenantId) -> Result<Vec<MemoryCount>, StoreError>;

    async fn unreceipted(&self, limit: u32) -> Result<Vec<Forgotten>, StoreError>;

    async fn receipted(&self, tenant: TenantId, id: MemoryId) -> Result<(), StoreError>;
}

/// Keeps nothing: a server without memory.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoMemories;

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MemoryError {
    #[error("`{field}` {problem}")]
    Invalid { field: &'static str, problem: String },
    /// Not there, or not to be reached by whoever asks.
    #[error("there is no such memory")]
    Unknown,
    #[error("the memory was changed meanwhile: its version is {0}")]
    Version(u32),
    #[error("{0} says the same already")]
    Same(MemoryId),
    #[error("there are {MAX_MEMORIES} memories of this {} already", .0.name())]
    Full(MemoryScope),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("memory cannot be read: {0}")]
    Unreadable(String),
}

/// What somebody wants remembered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemoryNote {
    pub holder: Holder,
    pub kind: MemoryKind,
    pub text: String,
}

/// Where people see what is remembered, correct it, confirm it and have it erased. Every change has a receipt in the
/// tenant's administration.
#[async_trait]
pub trait MemoryDesk: Send + Sync {
    async fn list(&self, within: &Within, query: &MemoryQuery) -> Result<(Vec<MemoryEntry>, bool), MemoryError>;

    async fn search(&self, within: &Within, query: &str, limit: u32) -> Result<Vec<MemoryEntry>, MemoryError>;

    async fn get(&self, within: &Within, id: MemoryId) -> Result<MemoryEntry, MemoryError>;

    async fn write(&self, tenant: TenantId, note: MemoryNote, by: &Principal) -> Result<MemoryEntry, MemoryError>;

    /// Gives an entry another text. What a person wrote is confirmed.
    async fn correct(
        &self,
        within: &Within,
        id: MemoryId,
        version: u32,
        text: &str,
        by: &Principal,
    ) -> Result<MemoryEntry, MemoryError>;

    /// A person vouches for the words of a proposal.
    async fn confirm(
        &self,
        within: &Within,
        id: MemoryId,
        version: u32,
        by: &Principal,
    ) -> Result<MemoryEntry, MemoryError>;

    async fn forget(
        &self,
        within: &Within,
        id: MemoryId,
        version: Option<u32>,
        by: &Principal,
    ) -> Result<(), MemoryError>;

    async fn counts(&self, tenant: TenantId) -> Result<Vec<MemoryCount>, MemoryError>;

    /// Everything of one person that was there by then, as part of the person's erasure, which has the receipt; how many
    /// there were.
    async fn erase_person(&self, tenant: TenantId, person: UserId, until: Timestamp) -> Result<u64, MemoryError>;
}

#[async_trait]
impl MemoryDesk for NoMemories {
    async fn list(&self, _: &Within, _: &MemoryQuery) -> Result<(Vec<MemoryEntry>, bool), MemoryError> {
        Ok((Vec::new(), false))
    }

    async fn search(&self, _: &Within, _: &str, _: u32) -> Result<Vec<MemoryEntry>, MemoryError> {
        Ok(Vec::new())
    }

    async fn get(&self, _: &Within, _: MemoryId) -> Result<MemoryEntry, MemoryError> {
        Err(MemoryError::Unknown)
    }

    async fn write(&self, _: TenantId, note: MemoryNote, _: &Principal) -> Result<MemoryEntry, MemoryError> {
        Err(MemoryError::Full(note.holder.scope()))
    }

    async fn correct(
        &self,
        _: &Within,
        _: MemoryId,
        _: u32,
        _: &str,
        _: &Principal,
    ) -> Result<MemoryEntry, MemoryError> {
        Err(MemoryError::Unknown)
    }

    async fn confirm(&self, _: &Within, _: MemoryId, _: u32, _: &Principal) -> Result<MemoryEntry, MemoryError> {
        Err(MemoryError::Unknown)
    }

    async fn forget(&self, _: &Within, _: MemoryId, _: Option<u32>, _: &Principal) -> Result<(), MemoryError> {
        Err(MemoryError::Unknown)
    }

    async fn counts(&self, _: TenantId) -> Result<Vec<MemoryCount>, MemoryError> {
        Ok(Vec::new())
    }

    async fn erase_person(&self, _: TenantId, _: UserId, _: Timestamp) -> Result<u64, MemoryError> {
        Ok(0)
    }
}
