//! From what the engine tells to the events of the API.

mod narrator;
mod pump;

pub(crate) use narrator::{Narrator, Told};
pub(crate) use pump::{Pump, respond};
