//! What the demo claims, checked against the stream and the receipts.

use super::job::Told;
use crate::{commands::Receipts, terminal::escape};
use serde_json::{Value, json};
use std::collections::HashMap;

/// The command whose output counts how often the examining script was started.
const COUNTER: &str = "effects.log";

#[derive(Debug)]
pub(super) struct Check {
    pub good: bool,
    pub text: String,
}

impl Check {
    pub fn line(&self) -> String {
        format!("  {} {}\n", if self.good { "✓" } else { "✗" }, escape::line(&self.text))
    }

    pub fn to_json(&self) -> Value {
        json!({"good": self.good, "text": self.text})
    }
}

pub(super) fn all(told: &Told, receipts: &Receipts, scripted: bool) -> Vec<Check> {
    let mut checks = vec![killed(told, receipts), settled_once(receipts), told_once(told)];
    if scripted {
        checks.push(counted(told));
    }
    checks
}

/// The server died in the middle of a command, and that same command's outcome was found.
fn killed(told: &Told, receipts: &Receipts) -> Check {
    let Some(kill) = &told.kill else {
        return Check { good: false, text: "the server was not killed: no command ran long enough to do it".into() };
    };
    let done = told.done.iter().find(|item| item["id"].as_str() == Some(&kill.item));
    let action = done.and_then(|item| item["bailiwick"]["action"].as_str()).unwrap_or("?");
    let resumed = receipts.is_resumed(action);
    let status = done.and_then(|item| item["status"].as_str()).unwrap_or("missing");
    let code =
        done.and_then(|item| item["exit_code"].as_i64()).map_or_else(|| "none".to_owned(), |code| code.to_string());
    let how = if resumed { "found what became of it" } else { "did not look for it" };
    let text = format!(
        "process {} was killed in the middle of {action}; process {} {how}: {status}, exit code {code}",
        kill.pid, kill.new_pid
    );
    Check { good: resumed && status == "completed", text }
}

fn settled_once(receipts: &Receipts) -> Check {
    let tally = receipts.tally();
    let text = format!(
        "{} actions were decided, {} allowed and {} denied; {} were settled once, {} more than once, {} never",
        tally.decided, tally.allowed, tally.denied, tally.settled_once, tally.settled_again, tally.unsettled
    );
    Check { good: tally.settled_again == 0 && tally.unsettled == 0 && tally.decided > 0 && tally.unknown == 0, text }
}

/// The stream told each finished item once, across the restart.
fn told_once(told: &Told) -> Check {
    let mut times: HashMap<&str, u32> = HashMap::new();
    for item in &told.done {
        *times.entry(item["id"].as_str().unwrap_or_default()).or_default() += 1;
    }
    let again = times.values().filter(|count| **count > 1).count();
    let text = format!(
        "the stream, taken up again where it was cut, told {} finished items, {again} of them more than once",
        times.len()
    );
    Check { good: again == 0 && !times.is_empty(), text }
}

/// The script itself writes down each of its starts.
fn counted(told: &Told) -> Check {
    let counter =
        told.done.iter().find(|item| item["command"].as_str().is_some_and(|command| command.contains(COUNTER)));
    let output = counter.and_then(|item| item["output"].as_str()).unwrap_or_default().trim();
    let starts = if output.is_empty() { "unknown" } else { output };
    let text = format!("the script wrote down each of its starts in {COUNTER}; number of starts: {starts}");
    Check { good: output == "1", text }
}
