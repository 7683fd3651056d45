//! What must hold after every run, whatever crashed.

use crate::{money, world::World};
use bailiwick_core::{
    Action, Answered, Class, Outcome,
    item::{Change, Item, SessionStatus, SessionView, TurnView},
    record::{Body, Record, Ruling},
    session::{RowBody, rows},
    tree,
};
use bailiwick_gate::{Journal, Replay};
use bailiwick_ports::{
    Store,
    store::{Page, RowKind, RowQuery, SealedRecord},
};
use bailiwick_types::{ActionId, Principal, SessionId, TenantId};
use std::collections::{BTreeMap, BTreeSet};

/// One broken promise, in words.
pub type Violation = String;

/// Everything that a stream and its rows must show.
pub async fn check(
    store: &dyn Store,
    journal: &Journal,
    tenant: TenantId,
    session: SessionId,
    world: &World,
    sent: &[String],
) -> Vec<Violation> {
    let mut wrong = world.lock().complaints.clone();
    let sealed = store.records(session.into(), 0, 100_000).await.unwrap_or_default();
    chain(&sealed, &mut wrong);
    let mut replay = Replay::new(journal.clone());
    let mut bodies = Vec::new();
    let mut changes = Vec::new();
    loop {
        match replay.next(store, 64).await {
            Ok(more) if more.is_empty() => break,
            Ok(more) => {
                for one in more {
                    stood(&one.record, world, &mut wrong);
                    bodies.push(one.record.body);
                    changes.extend(one.changes);
                }
            }
            Err(error) => {
                wrong.push(format!("the stream does not read: {error}"));
                return wrong;
            }
        }
    }
    actions(&bodies, world, &mut wrong);
    messages(&changes, sent, &mut wrong);
    money::check(store, tenant, &changes, &bodies, world, &mut wrong).await;
    if replay.state().is_none_or(|state| !state.deleted) {
        projections(store, journal, tenant, session, &changes, &mut wrong).await;
    }
    if let Some(state) = replay.state()
        && state.status() != SessionStatus::Idle
    {
        wrong.push(format!("the session ended as {:?} with {:?}", state.status(), state.open_actions()));
    }
    wrong
}

fn chain(records: &[SealedRecord], wrong: &mut Vec<Violation>) {
    let mut chain = [0; 32];
    for (index, record) in records.iter().enumerate() {
        chain = tree::chain(&chain, &record.leaf);
        if record.chain != chain || record.position != index as u64 + 1 {
            wrong.push(format!("record {} breaks the chain", record.position));
        }
    }
}

/// Nothing is done on an answer that stood after it was taken back.
fn stood(record: &Record, world: &World, wrong: &mut Vec<Violation>) {
    let Body::ActionDecided(decided) = &record.body else { return };
    let Some(Answered::Under { grant, .. }) = &decided.answered else { return };
    let mut world = world.lock();
    world.stood += 1;
    if world.revoked.is_some_and(|revoked| record.time > revoked) {
        wrong.push(format!("{} was done under {grant}, which was revoked", decided.action));
    }
}

/// Each action: at most one intent, at most one outcome, an effect only with an intent, at most one effect unless its
/// class allows more, and exactly one where the outcome says confirmed.
fn actions(bodies: &[Body], world: &World, wrong: &mut Vec<Violation>) {
    let mut intents: BTreeMap<ActionId, &Action> = BTreeMap::new();
    let mut outcomes: BTreeMap<ActionId, &Outcome> = BTreeMap::new();
    let mut asked: BTreeSet<ActionId> = BTreeSet::new();
    for body in bodies {
        match body {
            Body::ActionDecided(decided) => {
                if matches!(decided.decision, Ruling::Asked(_)) {
                    asked.insert(decided.action);
                }
                let allowed = matches!(decided.decision, Ruling::Allowed { .. });
                if allowed && intents.insert(decided.action, &decided.arguments).is_some() {
                    wrong.push(format!("{} has two intents", decided.action));
                }
                let by = match &decided.answered {
                    Some(Answered::By(answer)) if answer.approve => Some(&answer.by),
                    Some(Answered::Under { by, .. }) => Some(by),
                    _ => None,
                };
                if allowed && asked.contains(&decided.action) && by.is_none() {
                    wrong.push(format!("{} was asked about and done without a word", decided.action));
                }
                let command = matches!(decided.arguments, Action::CommandRun(_));
                if allowed && command && by.is_some_and(|by| *by != Principal::Operator) {
                    wrong.push(format!("{} was done on the word of who ordered it", decided.action));
                }
            }
            Body::ActionSettled(settled) if outcomes.insert(settled.action, &settled.outcome).is_some() => {
                wrong.push(format!("{} has two outcomes", settled.action));
            }
            _ => {}
        }
    }
    let world = world.lock();
    for (id, count) in &world.effects {
        match intents.get(id) {
            None => wrong.push(format!("{id} had an effect without an intent")),
            Some(action) if *count > 1 && !matches!(action.class(), Class::Pure | Class::Idempotent) => {
                wrong.push(format!("{id} happened {count} times: {}", action.operation()));
            }
            Some(_) => {}
        }
    }
    for (id, outcome) in &outcomes {
        let command = matches!(intents.get(id), Some(Action::CommandRun(_)));
        let happened = world.effects.contains_key(id);
        match outcome {
            Outcome::Confirmed { .. } if command && !happened => {
                wrong.push(format!("{id} is confirmed and never happened"));
            }
            Outcome::NotSent { .. } if happened => wrong.push(format!("{id} is `not_sent` and happened")),
            _ => {}
        }
    }
}

/// Every acknowledged message is there once, in order.
fn messages(changes: &[Change], sent: &[String], wrong: &mut Vec<Violation>) {
    let mut seen = Vec::new();
    for change in changes {
        if let Change::ItemAdded(Item { body: bailiwick_core::item::ItemBody::UserMessage { content }, .. }) = change {
            seen.push(bailiwick_core::joined_text(content));
        }
    }
    if seen != sent {
        wrong.push(format!("sent {sent:?}, kept {seen:?}"));
    }
}

/// The rows in the store are exactly those that the records give.
async fn projections(
    store: &dyn Store,
    journal: &Journal,
    tenant: TenantId,
    session: SessionId,
    changes: &[Change],
    wrong: &mut Vec<Violation>,
) {
    let mut items: BTreeMap<u128, Item> = BTreeMap::new();
    let mut turns: BTreeMap<u128, TurnView> = BTreeMap::new();
    let mut view: Option<SessionView> = None;
    for row in rows(tenant, session, changes) {
        match row.body {
            RowBody::Item(item) => drop(items.insert(row.id, item)),
            RowBody::Turn(turn) => drop(turns.insert(row.id, turn)),
            RowBody::Session(session) => view = Some(*session),
            RowBody::Artifact(_)
            | RowBody::ArtifactRemoved
            | RowBody::Approval(_)
            | RowBody::ApprovalRemoved
            | RowBody::SessionRemoved => {}
        }
    }
    let stored_items: BTreeMap<u128, Item> = stored(store, journal, tenant, session, RowKind::Item).await;
    let stored_turns: BTreeMap<u128, TurnView> = stored(store, journal, tenant, session, RowKind::Turn).await;
    if stored_items != items {
        wrong.push(format!("item rows differ: {} stored, {} derived", stored_items.len(), items.len()));
    }
    if stored_turns != turns {
        wrong.push("turn rows differ from the records".into());
    }
    let row = store.row(tenant, RowKind::Session, session.to_u128()).await.ok().flatten();
    let stored_view: Option<SessionView> = row.and_then(|row| journal.open_row(RowKind::Session, &row).ok());
    if stored_view != view {
        wrong.push("the session's row differs from the records".into());
    }
    let ordinals: BTreeSet<i64> = items.values().map(|item| item.ordinal).collect();
    if ordinals.len() != items.len() {
        wrong.push("two items share a place".into());
    }
}

async fn stored<T: serde::de::DeserializeOwned>(
    store: &dyn Store,
    journal: &Journal,
    tenant: TenantId,
    session: SessionId,
    kind: RowKind,
) -> BTreeMap<u128, T> {
    let page = Page { limit: 10_000, ..Page::default() };
    let query = RowQuery { tenant, kind, scope: session.to_u128(), parent: None, labels: Vec::new(), page };
    let rows = store.rows(query).await.ok().flatten().map(|(rows, _)| rows).unwrap_or_default();
    rows.iter().filter_map(|row| Some((row.id, journal.open_row(kind, row).ok()?))).collect()
}
