//! `bailiwick model test`.
use crate::{
    cli::Model,
    failure::{Failure, Outcome},
    terminal::Terminal,
};

pub async fn perform(command: Model, _terminal: Terminal) -> Outcome {
    let Model::Test { .. } = command;
    Err(Failure::failed("not yet"))
}
