//! What the demo claims, checked against the stream, the receipts, the API's own numbers and the verifier's exit codes.

use super::{
    cast::{Cast, FORBIDS},
    consent::Consent,
    job::Told,
    money::Stopped,
    proof::Proof,
};
use crate::{commands::Receipts, terminal::escape};
use bailiwick_types::Money;
use serde_json::{Value, json};
use std::collections::HashMap;

/// The command whose output counts how often the examining script was started.
const COUNTER: &str = "effects.log";

#[derive(Debug)]
pub(super) struct Check {
    pub about: &'static str,
    pub good: bool,
    pub text: String,
}

impl Check {
    pub fn new(about: &'static str, good: bool, text: String) -> Self {
        Self { about, good, text }
    }

    pub fn line(&self) -> String {
        format!("  {} {}\n", if self.good { "✓" } else { "✗" }, escape::line(&self.text))
    }

    pub fn to_json(&self) -> Value {
        json!({"about": self.about, "good": self.good, "text": self.text})
    }
}

/// Everything that was seen.
pub(super) struct Seen<'a> {
    pub cast: &'a Cast,
    pub told: &'a Told,
    pub receipts: &'a Receipts,
    pub stopped: &'a Stopped,
    pub proof: &'a Proof,
    pub scripted: bool,
}

pub(super) fn all(seen: &Seen<'_>) -> Vec<Check> {
    let Seen { cast, told, receipts, stopped, proof, scripted } = *seen;
    let mut checks = vec![killed(told, receipts), settled_once(receipts), told_once(&told.done)];
    if scripted {
        checks.push(counted(told));
    }
    checks.push(who(cast, receipts));
    checks.push(allowed(receipts));
    checks.push(denied(receipts));
    checks.push(asked(cast, told.consent.as_ref(), receipts));
    checks.push(refused(stopped));
    checks.push(verified(proof));
    checks.push(found(proof));
    checks
}

pub(super) fn decided<'a>(receipts: &'a Receipts, decision: &'a str) -> impl Iterator<Item = &'a Value> {
    let is = move |receipt: &&Value| receipt["kind"] == "action.decided" && receipt["decision"] == decision;
    receipts.iter().filter(is)
}

pub(super) fn word<'a>(receipt: &'a Value, key: &str) -> &'a str {
    receipt[key].as_str().unwrap_or("?")
}

/// Every decision names the agent and the person for whom it acted.
pub(super) fn who(cast: &Cast, receipts: &Receipts) -> Check {
    let all: Vec<&Value> = receipts.iter().filter(|receipt| receipt["kind"] == "action.decided").collect();
    let names = |receipt: &&&Value| {
        let principal = &receipt["principal"];
        principal["id"] == cast.agent.as_str() && principal["on_behalf_of"]["id"] == cast.person.id.as_str()
    };
    let named = all.iter().filter(names).count();
    let text = format!(
        "{named} of {} decisions name {} ({}) through agent {}, for which {} answers",
        all.len(),
        cast.person.name,
        cast.person.id,
        cast.agent,
        cast.owner.name
    );
    Check::new("who", named == all.len() && named > 0, text)
}

fn allowed(receipts: &Receipts) -> Check {
    let command = decided(receipts, "allowed").find(|receipt| receipt["operation"] == "command.run");
    let Some(receipt) = command.or_else(|| decided(receipts, "allowed").next()) else {
        return Check::new("allowed", false, "nothing was allowed".into());
    };
    let effect = receipts.settled(word(receipt, "action")).map_or("no outcome", |settled| word(settled, "effect"));
    let (operation, action, rule) = (word(receipt, "operation"), word(receipt, "action"), word(receipt, "rule"));
    let text = format!("allowed: {operation} {action} by rule `{rule}`; outcome: {effect}");
    Check::new("allowed", effect == "confirmed", text)
}

fn denied(receipts: &Receipts) -> Check {
    let Some(receipt) = decided(receipts, "denied").find(|receipt| word(receipt, "rule").contains(FORBIDS)) else {
        return Check::new("denied", false, format!("nothing was denied by rule `{FORBIDS}`"));
    };
    let done = receipts.settled(word(receipt, "action")).is_some();
    let text = format!(
        "denied: {} of {} by rule `{}` ({}); it was {}",
        word(receipt, "operation"),
        word(&receipt["arguments"], "path"),
        word(receipt, "rule"),
        word(receipt, "reason"),
        if done { "done all the same" } else { "not done" }
    );
    Check::new("denied", !done, text)
}

/// Asked first, answered by the person, and then as was said.
fn asked(cast: &Cast, consent: Option<&Consent>, receipts: &Receipts) -> Check {
    let Some(consent) = consent else { return Check::new("approved", false, "nobody was asked".into()) };
    let of = |decision| decided(receipts, decision).find(|receipt| receipt["action"] == consent.action.as_str());
    let question = of("asked").map_or("no", |receipt| word(receipt, "rule"));
    let after = of(if consent.approved { "allowed" } else { "denied" });
    let by = after.is_some_and(|receipt| receipt["answered"].to_string().contains(&cast.person.id));
    let effect = receipts.settled(&consent.action).map(|settled| word(settled, "effect"));
    let text = format!(
        "{}: {} was asked about by rule `{question}`, {} {} {}; outcome: {}",
        if consent.approved { "approved" } else { "not approved" },
        consent.what,
        if by { cast.person.name.as_str() } else { "nobody on the receipt" },
        if consent.approved { "approved it" } else { "said no" },
        if consent.by_option { "(--yes)" } else { "(at the prompt)" },
        effect.unwrap_or("none")
    );
    let as_said = if consent.approved { effect == Some("confirmed") } else { effect.is_none() };
    Check::new("approved", by && as_said && question == consent.rule, text)
}

/// The call that did not fit was refused, and nothing was spent.
pub(super) fn refused(stopped: &Stopped) -> Check {
    let exceeded = &stopped.receipt["spending"]["exceeded"];
    let amount =
        |key: &str| exceeded[key].as_i64().map_or_else(|| "?".to_owned(), |it| Money::from_micros(it).to_string());
    let (before, after) = (word(&stopped.before, "spent"), word(&stopped.after, "spent"));
    let text = format!(
        "stopped by the budget ({}): the next model call might take {}, the limit is {}, {} were spent; {} calls were made, \
         and {after} are spent now",
        stopped.code,
        amount("asked"),
        amount("limit"),
        amount("spent"),
        stopped.made
    );
    let good = stopped.code == "project_spend_limit_exceeded" && stopped.made == 0 && before == after;
    Check::new("budget", good && word(&stopped.receipt, "rule").starts_with("limit:"), text)
}

pub(super) fn verified(proof: &Proof) -> Check {
    let verdict = &proof.untouched;
    let text = format!(
        "bailiwick-verify on the exported receipts: exit code {}, {} records, {} problems",
        verdict.exit.unwrap_or(-1),
        verdict.report["records"],
        verdict.problems().count()
    );
    let whole = verdict.report["whole"] == true && verdict.report["pinned"] == true;
    Check::new("verified", verdict.exit == Some(0) && whole && verdict.problems().count() == 0, text)
}

pub(super) fn found(proof: &Proof) -> Check {
    let place = format!("records.jsonl line {} ", proof.line);
    let named = proof.edited.problems().find(|problem| problem.contains(&place));
    let exit = proof.edited.exit.unwrap_or(-1);
    let text = format!(
        "bailiwick-verify on the copy with one character changed in line {}: exit code {exit}, {}",
        proof.line,
        named.unwrap_or("the line is not named")
    );
    Check::new("edit_found", exit == 1 && named.is_some(), text)
}

/// The server died in the middle of a command, and that same command's outcome was found.
fn killed(told: &Told, receipts: &Receipts) -> Check {
    let Some(kill) = &told.kill else {
        let text = "the server was not killed: no command ran long enough to do it";
        return Check::new("killed", false, text.into());
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
    Check::new("killed", resumed && status == "completed", text)
}

pub(super) fn settled_once(receipts: &Receipts) -> Check {
    let tally = receipts.tally();
    let text = format!(
        "{} actions were decided, {} allowed and {} denied; {} were settled once, {} more than once, {} never",
        tally.decided, tally.allowed, tally.denied, tally.settled_once, tally.settled_again, tally.unsettled
    );
    let good = tally.settled_again == 0 && tally.unsettled == 0 && tally.decided > 0 && tally.unknown == 0;
    Check::new("settled_once", good, text)
}

/// The stream told each finished item once, across the restart.
pub(super) fn told_once(done: &[Value]) -> Check {
    let mut times: HashMap<&str, u32> = HashMap::new();
    for item in done {
        *times.entry(item["id"].as_str().unwrap_or_default()).or_default() += 1;
    }
    let again = times.values().filter(|count| **count > 1).count();
    let text = format!(
        "the stream, taken up again where it was cut, told {} finished items, {again} of them more than once",
        times.len()
    );
    Check::new("told_once", again == 0 && !times.is_empty(), text)
}

/// The script itself writes down each of its starts.
fn counted(told: &Told) -> Check {
    let counter =
        told.done.iter().find(|item| item["command"].as_str().is_some_and(|command| command.contains(COUNTER)));
    let output = counter.and_then(|item| item["output"].as_str()).unwrap_or_default().trim();
    let starts = if output.is_empty() { "unknown" } else { output };
    let text = format!("the script wrote down each of its starts in {COUNTER}; number of starts: {starts}");
    Check::new("counted", output == "1", text)
}
