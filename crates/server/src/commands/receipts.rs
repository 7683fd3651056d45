//! A session's receipts: what was decided, and what became of it.

use super::text;
use crate::{
    client::{Client, encode},
    failure::Outcome,
    terminal::Table,
};
use serde_json::Value;
use std::collections::{BTreeMap, HashSet};

const MOST: usize = 100_000;

/// All receipts of one session, in the stream's order.
#[derive(Debug, Clone)]
pub struct Receipts(Vec<Value>);

/// How often what happened.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tally {
    pub decided: usize,
    pub allowed: usize,
    pub denied: usize,
    pub settled_once: usize,
    pub settled_again: usize,
    /// Allowed, and no outcome is written.
    pub unsettled: usize,
    pub unknown: usize,
}

impl Receipts {
    pub async fn of(client: &Client, session: &str) -> Outcome<Self> {
        let path = format!("/bailiwick/v1/sessions/{}/receipts?order=asc", encode(session));
        Ok(Self(client.list(&path, MOST).await?))
    }

    pub fn to_json(&self) -> Value {
        Value::Array(self.0.clone())
    }

    pub fn iter(&self) -> impl Iterator<Item = &Value> {
        self.0.iter()
    }

    /// What became of an action.
    pub fn settled(&self, action: &str) -> Option<&Value> {
        self.0.iter().find(|receipt| text(receipt, "kind") == "action.settled" && text(receipt, "action") == action)
    }

    fn of_kind<'a>(&'a self, kind: &'a str) -> impl Iterator<Item = &'a Value> {
        self.0.iter().filter(move |receipt| text(receipt, "kind") == kind)
    }

    /// Whether an action went on after a crash.
    pub fn is_resumed(&self, action: &str) -> bool {
        self.of_kind("action.resumed").any(|receipt| text(receipt, "action") == action)
    }

    pub fn tally(&self) -> Tally {
        let mut tally = Tally::default();
        let mut settled: BTreeMap<&str, usize> = BTreeMap::new();
        for receipt in self.of_kind("action.settled") {
            *settled.entry(text(receipt, "action")).or_default() += 1;
            tally.unknown += usize::from(text(receipt, "effect") == "unknown");
        }
        let mut seen = HashSet::new();
        for receipt in self.of_kind("action.decided") {
            tally.decided += usize::from(seen.insert(text(receipt, "action")));
            match text(receipt, "decision") {
                "allowed" => {
                    tally.allowed += 1;
                    tally.unsettled += usize::from(!settled.contains_key(text(receipt, "action")));
                }
                // It is decided again once somebody has answered, or a person has looked.
                "asked" | "held" => {}
                _ => tally.denied += 1,
            }
        }
        tally.settled_once = settled.values().filter(|times| **times == 1).count();
        tally.settled_again = settled.values().filter(|times| **times > 1).count();
        tally
    }

    /// One line for each action, in the order of the decisions.
    pub fn table(&self) -> String {
        let mut table = Table::new(&["#", "TIME (UTC)", "ACTION", "OPERATION", "WHAT", "OUTCOME", "TOOK"]).widest(36);
        for decided in self.of_kind("action.decided") {
            let action = text(decided, "action");
            let allowed = text(decided, "decision") == "allowed";
            let settled = self.settled(action).filter(|_| allowed);
            let outcome = match settled {
                Some(settled) if self.is_resumed(action) => format!("{}, resumed", text(settled, "effect")),
                Some(settled) => text(settled, "effect").to_owned(),
                None if allowed => "under way".to_owned(),
                None => text(decided, "decision").to_owned(),
            };
            let took = settled.and_then(|settled| took(text(decided, "time"), text(settled, "time")));
            table.row([
                decided["position"].to_string().as_str(),
                clock(text(decided, "time")),
                &shortened(action),
                text(decided, "operation"),
                &what(&decided["arguments"]),
                &outcome,
                took.as_deref().unwrap_or("-"),
            ]);
        }
        table.render()
    }
}

/// The time of day of an RFC 3339 time.
fn clock(time: &str) -> &str {
    time.get(11..19).unwrap_or(time)
}

/// Milliseconds of the day of an RFC 3339 time in UTC with milliseconds.
fn of_day(time: &str) -> Option<i64> {
    let part = |from: usize, to: usize| time.get(from..to).and_then(|digits| digits.parse::<i64>().ok());
    Some(((part(11, 13)? * 60 + part(14, 16)?) * 60 + part(17, 19)?) * 1000 + part(20, 23)?)
}

fn took(from: &str, to: &str) -> Option<String> {
    let millis = of_day(to)?.checked_sub(of_day(from)?)?.rem_euclid(24 * 3600 * 1000);
    Some(if millis < 1000 { format!("{millis} ms") } else { format!("{}.{} s", millis / 1000, millis % 1000 / 100) })
}

/// Enough of an id to tell it from its neighbours.
fn shortened(action: &str) -> String {
    match action.len().checked_sub(6).and_then(|at| action.get(at..)) {
        Some(end) => format!("…{end}"),
        None => action.to_owned(),
    }
}

/// The argument that a person knows an action by.
fn what(arguments: &Value) -> String {
    let known = ["command", "path", "model", "directory", "name", "process", "environment"];
    known.into_iter().find_map(|key| arguments[key].as_str()).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn receipts() -> Receipts {
        let decided = |action: &str, position: u64, decision: &str| {
            json!({"kind": "action.decided", "action": action, "position": position, "time": "2026-11-21T23:59:59.900Z",
                   "operation": "command.run", "arguments": {"command": "ls \u{1b}[2J"}, "decision": decision})
        };
        let settled = |action: &str, effect: &str| json!({"kind": "action.settled", "action": action, "time": "2026-11-22T00:00:01.150Z", "effect": effect});
        Receipts(vec![
            decided("act_00000000a", 1, "allowed"),
            json!({"kind": "action.resumed", "action": "act_00000000a", "decision": "allowed"}),
            settled("act_00000000a", "confirmed"),
            decided("act_00000000b", 4, "denied"),
            decided("act_00000000c", 5, "allowed"),
            settled("act_00000000c", "confirmed"),
            settled("act_00000000c", "confirmed"),
            decided("act_00000000d", 8, "allowed"),
        ])
    }

    #[test]
    fn what_was_settled_twice_or_never_is_counted() {
        let tally =
            Tally { decided: 4, allowed: 3, denied: 1, settled_once: 1, settled_again: 1, unsettled: 1, unknown: 0 };
        assert_eq!(receipts().tally(), tally);
        assert!(receipts().is_resumed("act_00000000a") && !receipts().is_resumed("act_00000000c"));
    }

    #[test]
    fn the_table_has_a_line_for_each_action() {
        let table = receipts().table();
        let lines: Vec<&str> = table.lines().collect();
        assert_eq!(lines.len(), 5, "{table}");
        assert!(lines[1].contains("confirmed, resumed") && lines[1].ends_with("1.2 s"), "{table}");
        assert!(lines[1].contains("\\u{1b}[2J"), "{table}");
        assert!(lines[2].contains("denied") && lines[4].contains("under way"), "{table}");
    }
}
