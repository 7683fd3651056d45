//! Looking rules up by their scope decides the same as asking all of them.
//!
//! A scope says the same as a condition, but only scopes are looked up by: so each set of rules is written in both ways.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod house;

use bailiwick_core::Action;
use bailiwick_ports::Explanation;
use house::*;
use proptest::prelude::*;
use serde_json::json;

const PRINCIPALS: [&str; 6] = [
    "",
    "principal is Agent",
    "principal is User",
    "principal == Agent::\"agent_00000000000000000000000000000002\"",
    "principal in Team::\"team_00000000000000000000000000000005\"",
    "principal in Role::\"member\"",
];
const ACTIONS: [&str; 5] = [
    "",
    "action == Action::\"file.read\"",
    "action in [Action::\"file.read\", Action::\"file.write\"]",
    "action == Action::\"tool.call\"",
    "action == Action::\"model.call\"",
];
const RESOURCES: [&str; 7] = [
    "",
    "resource in Folder::\"/\"",
    "resource in Folder::\"/workspace\"",
    "resource in Folder::\"/workspace/a/b\"",
    "resource == File::\"/workspace/a/b\"",
    "resource == Tool::\"mail\"",
    "resource == Model::\"main\"",
];
const EFFECTS: [&str; 3] = ["permit", "forbid", "@ask(\"person\") forbid"];

/// Whether the resource can be one of the action at all; else validation refuses the rule, rightly.
fn possible(action: usize, resource: usize) -> bool {
    match resource {
        0 => true,
        1..=4 => action <= 2,
        5 => action == 0 || action == 3,
        _ => action == 0 || action == 4,
    }
}

fn actions() -> Vec<Action> {
    vec![
        read("/workspace/a/b"),
        read("/workspace/a/b/c.txt"),
        read("/etc/passwd"),
        write("/workspace/ab"),
        write("/"),
        call("mail", json!({"to": "a@b.example"})),
        call("pay", json!({"amount": 1})),
        model(),
        run("ls"),
    ]
}

type Picked = (usize, usize, usize, usize);

fn texts(picked: &[Picked]) -> (String, String) {
    let (mut scoped, mut conditional) = (String::new(), String::new());
    for (at, (effect, principal, action, resource)) in picked.iter().enumerate() {
        let parts = [PRINCIPALS[*principal], ACTIONS[*action], RESOURCES[*resource]];
        let scope = ["principal", "action", "resource"].iter().zip(parts);
        let scope: Vec<&str> = scope.map(|(any, part)| if part.is_empty() { any } else { part }).collect();
        let (mark, effect) = EFFECTS[*effect].split_once(' ').unwrap_or(("", EFFECTS[*effect]));
        scoped.push_str(&format!("@id(\"r{at}\") {mark} {effect} ({});\n", scope.join(", ")));
        let conditions: Vec<&str> = parts.into_iter().filter(|part| !part.is_empty()).collect();
        let when = match conditions.is_empty() {
            true => String::new(),
            false => format!(
                "when {{ {} }}",
                conditions
                    .iter()
                    .map(|one| one.replace(
                        "action in [Action::\"file.read\", Action::\"file.write\"]",
                        "[Action::\"file.read\", Action::\"file.write\"].contains(action)"
                    ))
                    .collect::<Vec<_>>()
                    .join(" && ")
            ),
        };
        conditional.push_str(&format!("@id(\"r{at}\") {mark} {effect} (principal, action, resource) {when};\n"));
    }
    (scoped, conditional)
}

/// What was said, without how many rules it took.
fn said(explanation: Explanation) -> String {
    let sides: Vec<_> = explanation
        .sides
        .into_iter()
        .map(|side| (side.principal, side.permits, side.forbids, side.asks, side.errors))
        .collect();
    format!("{:?} {sides:?}", explanation.verdict)
}

fn rule() -> impl Strategy<Value = Picked> {
    let parts = (0..EFFECTS.len(), 0..PRINCIPALS.len(), 0..ACTIONS.len(), 0..RESOURCES.len());
    parts.prop_filter("a rule that can match", |(_, _, action, resource)| possible(*action, *resource))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn scopes_decide_what_conditions_decide(picked in prop::collection::vec(rule(), 1..12)) {
        let (scoped, conditional) = texts(&picked);
        let (scoped, conditional) = (policies(&scoped), policies(&conditional));
        for action in actions() {
            for case in [of(action.clone()), of(action).alone()] {
                let request = case.request();
                let one = said(bailiwick_ports::Explains::explain(&scoped, &request));
                let other = said(bailiwick_ports::Explains::explain(&conditional, &request));
                prop_assert_eq!(one, other);
            }
        }
    }
}
