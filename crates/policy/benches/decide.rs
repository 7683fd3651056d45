//! What one decision costs: with few and with many rules, beside looking the same question up in a map, in one run.
//!
//! `cargo xtask bench` runs it; alone: `cargo bench --package bailiwick-policy`.

#![allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a benchmark measures and prints"
)]

#[path = "../tests/house/mod.rs"]
mod house;

use bailiwick_core::Action;
use bailiwick_policy::{Policies, Rules, STARTER};
use bailiwick_ports::{Policy, Verdict};
use bailiwick_types::{AgentId, Principal, SessionId, TeamId, UserId};
use house::{Case, TENANT, call, model, of, read, run, write};
use serde_json::json;
use std::{
    collections::HashMap,
    hint::black_box,
    sync::Arc,
    time::{Duration, Instant},
};

/// People, and as many agents, that requests are about.
const ENTITIES: usize = 10_000;
const WARM_UP: usize = 2_000;
/// Decisions that are timed together.
const BATCH: usize = 20;
const BATCHES: usize = 2_000;

fn main() {
    let cases = cases();
    println!("one decision, both sides asked, {ENTITIES} people and {ENTITIES} agents");
    let table: HashMap<(AgentId, &str), bool> =
        cases.iter().map(|case| ((case.agent.id, case.action.operation()), true)).collect();
    report("a plain map", &cases, |case| {
        black_box(table.get(&(case.agent.id, case.action.operation())));
    });
    for (count, aim_us) in [(0, None), (100, Some(20)), (10_000, Some(50))] {
        let text = rules(count);
        let began = Instant::now();
        let compiled = Rules::compile(&text).unwrap();
        let compiling = began.elapsed();
        let policies = Policies::new();
        policies.apply(TENANT, 1, Arc::new(compiled));
        let allowed = cases.iter().filter(|case| matches!(policies.decide(&case.request()), Verdict::Allow { .. }));
        assert!(allowed.count() > cases.len() / 2, "most of it is allowed, as in real life");
        let name = match aim_us {
            Some(aim) => format!("{count} rules (aim {aim} µs; compiled in {} ms)", compiling.as_millis()),
            None => "the starter set".to_owned(),
        };
        report(&name, &cases, |case| {
            black_box(policies.decide(&case.request()));
        });
        for operation in ["model.call", "file.read", "file.write", "command.run", "tool.call"] {
            let of_one: Vec<Case> = cases.iter().filter(|case| case.action.operation() == operation).cloned().collect();
            report(&format!("  {operation}"), &of_one, |case| {
                black_box(policies.decide(&case.request()));
            });
        }
    }
}

fn report(name: &str, cases: &[Case], decide: impl Fn(&Case)) {
    let mut next = cases.iter().cycle();
    for _ in 0..WARM_UP {
        decide(next.next().unwrap());
    }
    let mut batches: Vec<Duration> = Vec::with_capacity(BATCHES);
    for _ in 0..BATCHES {
        let batch: Vec<&Case> = next.by_ref().take(BATCH).collect();
        let began = Instant::now();
        for case in batch {
            decide(case);
        }
        batches.push(began.elapsed());
    }
    batches.sort_unstable();
    let each = |at: usize| batches[at].as_secs_f64() * 1e6 / BATCH as f64;
    println!(
        "  {name}: {:.2} µs in the median, {:.2} µs at the 95th percentile",
        each(BATCHES / 2),
        each(BATCHES * 95 / 100)
    );
}

/// One request of each of many people to many agents.
fn cases() -> Vec<Case> {
    let actions: [fn(usize) -> Action; 5] = [
        |_| model(),
        |at| read(&format!("/workspace/projects/p{at}/notes.txt")),
        |at| write(&format!("/workspace/outputs/r{at}.csv")),
        |_| run("cargo test --quiet"),
        |at| call("mail", json!({"to": format!("person{at}@example.com"), "subject": "Figures", "n": at})),
    ];
    let one = |at: usize| {
        let (id, user, team) = (AgentId::from_u128(at as u128), UserId::from_u128(at as u128), team(at));
        let mut case = of(actions[at % actions.len()](at));
        case.agent.id = id;
        let orderer = Some(Box::new(Principal::User { id: user }));
        case.principal = Principal::Agent { id, session: SessionId::from_u128(at as u128), on_behalf_of: orderer };
        let colleague = case.colleague.as_mut().unwrap();
        (colleague.id, colleague.owner, colleague.team) = (id, Some(user), Some(team));
        let person = case.person.as_mut().unwrap();
        (person.id, person.teams) = (user, vec![team]);
        case
    };
    // A stride that meets every remainder, so that neighbours differ.
    (0..ENTITIES).map(|at| one(at * 7919 % ENTITIES)).collect()
}

fn team(at: usize) -> TeamId {
    TeamId::from_u128((at % 500) as u128)
}

/// `count` rules, at least the starter set: it, and rules as a company writes them: about its teams, agents, functions, models and folders.
fn rules(count: usize) -> String {
    let mut text = STARTER.to_owned();
    for at in 0..count.saturating_sub(STARTER.matches("@id(").count()) {
        let (team, agent) = (team(at), AgentId::from_u128(at as u128));
        text.push_str(&match at % 5 {
            0 => format!("@id(\"r{at}\") forbid (principal in Team::\"{team}\", action == Action::\"command.run\", resource) when {{ resource.text like \"*secret{at}*\" }};\n"),
            1 => format!("@id(\"r{at}\") @limit(\"100 per day per person\") permit (principal == Agent::\"{agent}\", action == Action::\"tool.call\", resource);\n"),
            2 => format!("@id(\"r{at}\") forbid (principal, action == Action::\"tool.call\", resource == Tool::\"function{at}\") when {{ context.text.hasTag(\"to\") }};\n"),
            3 => format!("@id(\"r{at}\") @ask(\"second\") forbid (principal, action in [Action::\"file.read\", Action::\"file.write\"], resource in Folder::\"/workspace/closed/{at}\");\n"),
            _ => format!("@id(\"r{at}\") forbid (principal == Agent::\"{agent}\", action == Action::\"model.call\", resource == Model::\"model{at}\");\n"),
        });
    }
    text
}
