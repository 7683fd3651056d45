//! What a record says as a receipt: ids and words of ours, which may be in clear.

use bailiwick_core::{
    Action, Outcome,
    record::{ActionDecided, Body, Record, Ruling},
};
use bailiwick_ports::{
    ModelCards, Residency,
    log::{ReceiptKind, ReceiptOutcome, ReceiptRow, Settlement},
};
use bailiwick_types::{AgentId, Principal, StreamId};

/// What a record adds to the index.
pub(crate) enum Entry {
    Receipt(Box<ReceiptRow>),
    Outcome(ReceiptOutcome),
}

/// Whether records of this kind are receipts, so that others need not be opened.
pub(crate) fn is_receipt(kind: &str) -> bool {
    kind.starts_with("action.") || kind == "call.refused" || kind == "administration.changed"
}

/// The entry of one record, which is leaf `index`; `None` when it adds nothing.
pub(crate) fn entry(stream: StreamId, index: u64, record: &Record, cards: &dyn ModelCards) -> Option<Entry> {
    let position = record.position;
    let plain = |kind, operation: &str, decision: &str| ReceiptRow {
        index,
        stream,
        position,
        kind,
        action: None,
        operation: operation.to_owned(),
        decision: decision.to_owned(),
        orderer: None,
        person: None,
        agent: None,
        time: record.time,
        leaves: false,
        credentials: Vec::new(),
        outcome: None,
    };
    let receipt = |row| Some(Entry::Receipt(Box::new(row)));
    let outcome = |action, effect: &str, cost| {
        let settlement = Settlement { position, effect: effect.to_owned(), cost };
        Some(Entry::Outcome(ReceiptOutcome { action, stream, settlement }))
    };
    match &record.body {
        Body::ActionDecided(decided) => receipt(ReceiptRow {
            action: Some(decided.action),
            orderer: decided.principal.orderer().map(name),
            person: decided.principal.person(),
            agent: agent(&decided.principal),
            leaves: Destination::of(decided).is_outside(cards),
            credentials: decided.credentials.clone(),
            ..plain(ReceiptKind::Action, decided.arguments.operation(), word(&decided.decision))
        }),
        Body::ActionResumed(resumed) => match &resumed.decision {
            Ruling::Denied { .. } => outcome(resumed.action, "denied", None),
            _ => None,
        },
        Body::ActionSettled(settled) => {
            let cost = settled.cost.map(|cost| cost.amount.as_micros());
            outcome(settled.action, effect(&settled.outcome), cost)
        }
        Body::CallRefused(_) => receipt(plain(ReceiptKind::Refusal, "tool.call", "refused")),
        Body::AdministrationChanged(changed) => receipt(ReceiptRow {
            orderer: changed.by.orderer().map(name),
            person: changed.by.person(),
            agent: changed.target.parse().ok(),
            ..plain(ReceiptKind::Administration, &changed.change, "changed")
        }),
        _ => None,
    }
}

/// Who gave the order, by their own id: the person for whom a program speaks has a column of their own.
fn name(orderer: &Principal) -> String {
    orderer.key().map_or_else(|| orderer.to_string(), |key| key.to_string())
}

fn agent(principal: &Principal) -> Option<AgentId> {
    match principal {
        Principal::Agent { id, .. } => Some(*id),
        _ => None,
    }
}

fn word(ruling: &Ruling) -> &'static str {
    match ruling {
        Ruling::Allowed { .. } => "allowed",
        Ruling::Denied { .. } => "denied",
        Ruling::Asked(_) => "asked",
        Ruling::Held { .. } => "held",
    }
}

fn effect(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Confirmed { .. } => "confirmed",
        Outcome::Failed { .. } => "failed",
        Outcome::Unknown { .. } => "unknown",
        Outcome::NotSent { .. } => "not_sent",
    }
}

/// Where an action takes what it is given.
enum Destination<'a> {
    /// Nowhere beyond the company's own: a sandbox, which has no way out, an executor on its own machine, its own
    /// application, this server.
    Inside,
    /// The provider of a model, by the model's name.
    Model(&'a str),
    /// A system that a connector reaches; whether what it is given stays inside.
    System { inside: bool },
}

impl Destination<'_> {
    /// A new kind of action does not compile here before somebody has said where it goes.
    fn of(decided: &ActionDecided) -> Destination<'_> {
        match &decided.arguments {
            Action::ModelCall(call) => Destination::Model(&call.model),
            Action::ConnectorOpen { .. } | Action::ConnectorCall(_) | Action::DataQuery(_) => {
                Destination::System { inside: decided.through.as_ref().is_some_and(|through| through.inside) }
            }
            Action::EnvironmentStart { .. }
            | Action::CommandRun(_)
            | Action::CommandPoll { .. }
            | Action::CommandWrite { .. }
            | Action::CommandStop { .. }
            | Action::FileRead { .. }
            | Action::FileWrite { .. }
            | Action::FileAdd { .. }
            | Action::FileEdit { .. }
            | Action::FileList { .. }
            | Action::FileSearch { .. }
            | Action::ImageView { .. }
            | Action::SkillsFind { .. }
            | Action::SkillLoad(_)
            | Action::ArtifactPublish { .. }
            | Action::MemorySearch(_)
            | Action::MemoryRead { .. }
            | Action::MemoryWrite(_)
            | Action::MemoryForget { .. }
            | Action::FunctionCall { .. } => Destination::Inside,
        }
    }

    /// Whether that is outside the company's walls. What nobody knows any more, and what a record from before does not
    /// say, counts as outside.
    fn is_outside(&self, cards: &dyn ModelCards) -> bool {
        match self {
            Self::Inside => false,
            Self::System { inside } => !inside,
            Self::Model(name) => cards.card(name).is_none_or(|card| card.residency == Residency::Outside),
        }
    }
}
