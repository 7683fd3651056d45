//! Pure decisions: records → state, state → next steps, and projections as data.
//!
//! Nothing here does IO, reads a clock or awaits. Times and random bytes come in as arguments, so that a simulator
//! can replay any history from a seed.

pub mod action;
pub mod agent;
pub mod approval;
pub mod budget;
pub mod canonical;
pub mod connector;
pub mod content;
mod difference;
pub mod elicitation;
pub mod environment;
pub mod extract;
pub mod grant;
pub mod item;
pub mod label;
pub mod listing;
pub mod memory;
pub mod model;
pub mod record;
pub mod session;
pub mod shell;
pub mod skill;
pub mod stop;
pub mod tool_search;
pub mod tools;
pub mod tree;
pub mod visible;

pub use action::{
    Action, ActionKind, ActionResult, Class, CommandEnd, CommandOutput, CommandRun, Extract, Failure, FailureCode,
    ModelCall, Outcome, Published, Purpose, ToolAnswer,
};
pub use agent::{AgentConfig, FunctionTool, Limits, Remit};
pub use approval::{Account, Answer, Answered, Approver, Given, Question};
pub use budget::{
    Booking, Budget, Cost, Ending, Exceeded, Lost, Meter, Payer, Prices, Quote, Reservation, Spend, TurnOutcome, Unit,
    Window,
};
pub use connector::{
    ConnectorCall, ConnectorKind, ConnectorSource, ConnectorSpec, ConnectorUse, DataQuery, Effect, OpenedConnector,
    ToolDefinition,
};
pub use content::{Content, joined_text};
pub use environment::{EnvironmentFacts, EnvironmentSpec, EnvironmentStatus};
pub use grant::{Grant, GrantReach, Shape, Standing, What};
pub use label::{Confidentiality, Integrity, Label};
pub use listing::{FoundFile, ListPage, Listing};
pub use memory::{
    Consolidate, MemoryEntry, MemoryKind, MemoryScope, MemorySearch, MemorySource, MemoryState, MemoryUse, MemoryWrite,
};
pub use model::{Entry, EntryBody, ModelAnswer, ModelRequest, Native, Phase, Stop, ToolSpec};
pub use skill::{FoundSkills, SkillLoad, SkillSource, SkillUse};
pub use stop::{StopOrder, StopScope};
