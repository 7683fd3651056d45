//! `bailiwick demo`: a working day at a sample company, prepared by an agent for an employee, under rules and a budget, with
//! the server killed twice on the way and the receipts checked by the separate verifier. With a table or a model of one's
//! own, a smaller job; with `--serve`, the company itself, left running to be tried by hand.
//!
//! Everything on the screen is taken from the session's stream, the API, the company's own servers or an exit code. Only
//! the model's part may be scripted, and then the screen says so.

mod cast;
mod checks;
mod company;
mod consent;
mod day;
mod job;
mod ledger;
mod money;
mod proof;
mod stage;
mod table_file;

use crate::{
    cli::Demo,
    doctor::machine,
    failure::{Failure, Outcome},
    terminal::Terminal,
};

pub async fn show(options: Demo, terminal: Terminal) -> Outcome {
    if options.serve {
        return day::serve(options, terminal).await;
    }
    match options.file.is_some() || options.model_url.is_some() {
        true => ledger::show(options, terminal).await,
        false => day::show(options, terminal).await,
    }
}

/// The isolation that this machine gives, tried out.
async fn sandbox() -> Outcome<String> {
    machine::probe().await?.isolation.map_err(|error| {
        let failure =
            Failure::failed(format!("this machine cannot run the demo's sandbox: {}: {}", error.step, error.cause));
        let failure = if error.remedy.is_empty() { failure } else { failure.help(error.remedy) };
        failure.help("`bailiwick doctor` says more about this machine")
    })
}
