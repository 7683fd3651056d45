//! A session as a pure machine: [`State`] is the fold of its records, [`plan`] says what comes next.

mod apply;
mod approvals;
mod booking;
mod bound;
mod calls;
mod connecting;
mod consolidating;
mod eliciting;
mod errands;
mod extracting;
mod finding;
mod held;
mod labels;
mod ordered;
mod plan;
mod prompt;
mod remembering;
mod rows;
mod skills;
mod state;

pub use approvals::AskedAction;
pub use bound::input_bound;
pub use consolidating::MAX_ANSWER_TOKENS as MAX_CONSOLIDATION_TOKENS;
pub use plan::{Ask, Bounds, Mint, Plan, plan, recover};
pub use prompt::request;
pub use rows::{OWNER_LABEL, PROGRAM_LABEL, PROGRAMS, RowBody, RowData, rows};
pub(crate) use state::describe;
pub use state::{OpenAction, SNAPSHOT_VERSION, State};
