//! The door that every action passes: who, may they, write it down, and only then a permit.
//!
//! The engine calls one function, [`Gate::commit`]. The gate never performs anything itself. Hands (models, environments, tools) implement
//! the traits of [`hands`] and act on nothing but an opened [`Permit`].

mod administration;
mod archive;
pub mod budgets;
pub mod calls;
mod catalogue;
mod connectors;
mod credentials;
mod door;
mod error;
mod gate;
mod granted;
mod grants;
pub mod hands;
mod holds;
mod journal;
mod judge;
mod ledger;
mod orphans;
mod permit;
mod redaction;
mod replay;
mod reveal;
mod shelf;
mod skills;
mod spending;
mod stops;
mod subjects;

pub use administration::Administrator;
pub use archive::{Archive, ArchiveError, PART_BYTES};
pub use budgets::{BudgetError, Budgets, KnownBudget};
pub use catalogue::{
    ConnectorRequest, ConnectorRequests, Listing, MAX_ASKING_TEAMS, MAX_CONNECTOR_REQUESTS,
    MAX_OPEN_CONNECTOR_REQUESTS, RequestError, RequestState, Wanted,
};
pub use connectors::{
    Connector, ConnectorError, Connectors, MAX_CONNECTOR_BYTES, MAX_CONNECTOR_TEXT, MAX_CONNECTORS, NewConnector,
};
pub use door::{ExecutorDoor, ExecutorLine};
pub use error::GateError;
pub use gate::{Batch, Committed, Decision, Gate, LEASE, Lease, NewSession, Release};
pub use grants::{GrantError, Grants, MAX_GRANTS, MAX_GRANTS_OF_ONE};
pub use hands::{Delta, Executor, Live, Memory, Model, NoMemory, NoTools, Stopper, Tools};
pub use holds::{Deleting, Hold, HoldError, HoldScope, Holds, MAX_HOLD_REASON, MAX_HOLDS};
pub use journal::Journal;
pub use ledger::Ledger;
pub use orphans::ORPHAN_AGE;
pub use permit::{Access, Mode, Opened, Permit, Scope, Settled};
pub use replay::{Replay, Replayed};
pub use reveal::{RevealError, Use, Vault};
pub use skills::{MAX_KEPT_SKILLS, MAX_SKILL_VERSIONS, NewSkillVersion, Skill, SkillVersion, Skills, SkillsError};
pub use spending::{MoneyRules, UNPRICED_WARNING, Unpriced};
pub use stops::{MAX_STOPS, StopError, Stops};
pub use subjects::subject_key;
