//! Decides what an agent may do: by the allow-list of its own remit, and on top of it by the rules of its tenant, which
//! are written in Cedar.
//!
//! What no rule permits is denied, and so is whatever cannot be decided. Nothing here performs anything or remembers an
//! earlier decision: what is counted over time is said on the verdict, and counted elsewhere.

mod allow_list;
mod arguments;
mod decision;
mod desk;
mod facts;
mod policies;
mod remit;
mod rules;
mod schema;

pub use allow_list::AllowList;
pub use desk::{Desk, DeskParts};
pub use policies::Policies;
pub use remit::{OPERATIONS, RemitError, validate};
pub use rules::{MAX_BYTES, MAX_RULE_BYTES, MAX_RULES, Rules, SCHEMA, STARTER};
