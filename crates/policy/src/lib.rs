//! Decides what an agent may do: in this version by the allow-list of its remit, and nothing else.
//!
//! What is not listed is denied, and so is whatever cannot be decided. Nothing here performs anything or remembers
//! an earlier decision.

mod allow_list;
mod remit;
mod schema;

pub use allow_list::AllowList;
pub use remit::{OPERATIONS, RemitError, validate};
