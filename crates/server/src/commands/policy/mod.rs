//! `bailiwick policy …`: the rules that decide what agents may do.

mod compare;
mod trial;

use super::{text, time};
use crate::{
    cli::Policy,
    client::Client,
    failure::{Exit, Failure, Outcome},
    files,
    terminal::{Table, Terminal, escape},
};
use serde_json::{Value, json};
use std::path::Path;

const BASE: &str = "/bailiwick/v1/policy";
/// The server takes no longer policy.
const MAX_POLICY: u64 = 4 * 1024 * 1024;

pub async fn perform(command: Policy, terminal: Terminal) -> Outcome {
    match command {
        Policy::List { target, .. } => list(&Client::of(&target)?, terminal).await,
        Policy::Show { version, target, .. } => show(&Client::of(&target)?, version, terminal).await,
        Policy::Apply { file, check: true, target, .. } => check(&Client::of(&target)?, &file, terminal).await,
        Policy::Apply { file, reason, expected, target, .. } => {
            apply(&Client::of(&target)?, &file, &reason.unwrap_or_default(), expected, terminal).await
        }
        Policy::Diff { from, to, target, .. } => {
            compare::show(&Client::of(&target)?, &from, to.as_deref(), terminal).await
        }
        Policy::Test { cases, policy, target, .. } => {
            trial::test(&Client::of(&target)?, &cases, policy.as_deref(), terminal).await
        }
        Policy::Simulate { file, sessions, target, .. } => {
            simulate(&Client::of(&target)?, &file, sessions, terminal).await
        }
        Policy::Explain { action, policy, target, .. } => {
            trial::explain(&Client::of(&target)?, action, policy.as_deref(), terminal).await
        }
    }
}

/// The text of a file of rules.
fn read(file: &Path) -> Outcome<String> {
    let place = file.display();
    let bytes = files::read_bounded(file, MAX_POLICY).map_err(|error| Failure::usage(format!("{place}: {error}")))?;
    String::from_utf8(bytes).map_err(|_| Failure::usage(format!("{place}: this is not UTF-8 text")))
}

async fn list(client: &Client, terminal: Terminal) -> Outcome {
    let versions = client.list(&format!("{BASE}/versions"), usize::MAX).await?;
    terminal.result(&json!({"versions": versions}), || {
        let mut table = Table::new(&["VERSION", "APPLIED (UTC)", "BY", "WHY"]);
        for version in &versions {
            table.row([
                version["version"].to_string(),
                time(&version["applied_at"]),
                author(&version["author"]),
                text(version, "reason").to_owned(),
            ]);
        }
        table.render()
    });
    Ok(())
}

fn author(author: &Value) -> String {
    match (author["id"].as_str(), author["key"].as_str(), author["type"].as_str()) {
        (Some(id), ..) | (None, Some(id), _) => id.to_owned(),
        (None, None, Some(kind)) => kind.to_owned(),
        (None, None, None) => "-".to_owned(),
    }
}

/// A version, or what holds now.
async fn fetch(client: &Client, version: Option<u32>) -> Outcome<Value> {
    match version {
        Some(version) => client.get(&format!("{BASE}/versions/{version}")).await,
        None => client.get(BASE).await,
    }
}

async fn show(client: &Client, version: Option<u32>, terminal: Terminal) -> Outcome {
    let policy = fetch(client, version).await?;
    terminal.progress(format!("version {}: {}", policy["version"], escape::line(text(&policy, "reason"))));
    terminal.result(&json!({"policy": policy}), || escape::lines(text(&policy, "text")));
    Ok(())
}

async fn apply(client: &Client, file: &Path, reason: &str, expected: Option<u32>, terminal: Terminal) -> Outcome {
    let body = json!({"text": read(file)?, "reason": reason, "expected_version": expected});
    let policy = client.post(BASE, &body).await?;
    terminal.result(&json!({"policy": policy}), || {
        let rules = policy["rules"].as_array().map_or(0, Vec::len);
        format!("version {} with {rules} rules holds from the next action on\n", policy["version"])
    });
    Ok(())
}

async fn check(client: &Client, file: &Path, terminal: Terminal) -> Outcome {
    let validation = validated(client, &read(file)?).await?;
    let problems = problems(&validation);
    if !problems.is_empty() {
        terminal.result(&json!({"validation": validation}), String::new);
        let place = file.display();
        return Err(Failure::failed(format!("{place} would be refused:\n{}", problems.join("\n"))));
    }
    terminal.result(&json!({"validation": validation}), || {
        format!("{} could be applied: {} rules\n", file.display(), validation["rules"].as_array().map_or(0, Vec::len))
    });
    Ok(())
}

async fn validated(client: &Client, text: &str) -> Outcome<Value> {
    client.post(&format!("{BASE}/validate"), &json!({"text": text})).await
}

/// Each with its line, its rule and the way out.
fn problems(validation: &Value) -> Vec<String> {
    let told = |problem: &Value| {
        let line = problem["line"].as_u64().map(|line| format!("line {line}: ")).unwrap_or_default();
        let rule = problem["rule"].as_str().map(|rule| format!("rule `{rule}`: ")).unwrap_or_default();
        let help = problem["help"].as_str().map(|help| format!(" ({help})")).unwrap_or_default();
        escape::line(&format!("{line}{rule}{}{help}", text(problem, "message")))
    };
    validation["problems"].as_array().into_iter().flatten().map(told).collect()
}

async fn simulate(client: &Client, file: &Path, sessions: u32, terminal: Terminal) -> Outcome {
    let body = json!({"text": read(file)?, "sessions": sessions});
    let simulation = client.post(&format!("{BASE}/simulate"), &body).await?;
    terminal.result(&json!({"simulation": simulation}), || {
        let mut told = String::new();
        let changes: Vec<&Value> = simulation["changes"].as_array().into_iter().flatten().collect();
        if !changes.is_empty() {
            let mut table = Table::new(&["TIME (UTC)", "SESSION", "OPERATION", "ABOUT", "NOW", "THEN"]);
            for change in &changes {
                let verdict = |verdict: &Value| format!("{} ({})", text(verdict, "decision"), text(verdict, "rule"));
                let at = text(change, "time").replace('T', " ");
                table.row([
                    at.as_str(),
                    text(change, "session_id"),
                    text(change, "operation"),
                    text(change, "about"),
                    &verdict(&change["now"]),
                    &verdict(&change["then"]),
                ]);
            }
            told.push_str(&table.render());
        }
        let number = |name: &str| simulation[name].as_u64().unwrap_or_default();
        told.push_str(&format!(
            "{} of {} actions in {} sessions would be decided otherwise than by version {}",
            number("changed"),
            number("actions"),
            number("sessions"),
            number("version"),
        ));
        if simulation["complete"] == false {
            told.push_str("; there are more sessions (--sessions)");
        }
        told + "\n"
    });
    Ok(())
}

/// For whoever only wants to know by the exit code.
fn mismatch(message: String) -> Failure {
    Failure::new(Exit::Failed, message)
}
