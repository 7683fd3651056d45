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
                _ => tally.denied += 1,
            }
        }
        tally.settled_once = settled.values().filter(|times| **times == 1).count();
        tally.settled_again = settled.values().filter(|times| **times > 1).count();
        tally
    }

    pub fn table(&self) -> String {
        let mut table = Table::new(&["#", "TIME (UTC)", "ACTION", "WHAT", "RECEIPT"]).widest(60);
        for receipt in &self.0 {
            let position = receipt["position"].to_string();
            table.row([position.as_str(), text(receipt, "time"), text(receipt, "action"), "", text(receipt, "kind")]);
        }
        table.render()
    }
}
