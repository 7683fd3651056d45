//! The vocabulary of the house: ids, principals, money, tokens, time and redacted secrets.
//!
//! Everything here is plain data that any room may hold. Nothing here does IO, reads a clock or draws
//! randomness: an id is made from a time and random bytes that somebody else supplies.

mod id;
mod mark;
mod money;
mod principal;
mod role;
mod secret;
mod time;
mod tokens;

pub use id::{
    ActionId, AgentId, ArtifactId, BudgetId, ConnectorId, ConnectorRequestId, CredentialId, EnvironmentId, FileId,
    GrantId, IdError, ItemId, KeyId, MemoryId, NodeId, PolicyId, SessionId, SkillId, SkillVersionId, StreamId, TeamId,
    TenantId, TurnId, UserId, VaultId,
};
pub use mark::{Actor, Mark, Subject};
pub use money::{Money, MoneyError};
pub use principal::Principal;
pub use role::Role;
pub use secret::Secret;
pub use time::{Millis, Timestamp};
pub use tokens::TokenUsage;
