//! Receipts: what was decided in a session, and what became of it, with each record's place in the hash chain.

use super::{ok, sessions};
use crate::{
    app::Call,
    error::ApiError,
    hex::hex,
    routes::Answer,
    types::{extra::Who, page::Page},
};
use bailiwick_core::{
    ActionResult, Outcome,
    record::{ActionDecided, ActionSettled, Body, Ruling, Spending},
};
use bailiwick_ports::store::SealedRecord;
use bailiwick_types::{Principal, SessionId};
use serde::Serialize;
use serde_json::{Map, Value, json};
use utoipa::ToSchema;

const MAX_LIMIT: usize = 1000;
/// Records read at once.
const CHUNK: u32 = 256;

/// One record that is a receipt.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Receipt {
    /// Its position, as a cursor.
    pub id: String,
    pub object: &'static str,
    pub session_id: String,
    /// Its place in the session's stream.
    pub position: u64,
    /// RFC 3339.
    pub time: String,
    /// `action.decided`, `action.resumed` or `action.settled`.
    pub kind: String,
    pub epoch: u64,
    /// RFC 6962 leaf hash over the record's envelope and its sealed body, in hexadecimal.
    pub leaf: String,
    /// The stream's hash chain up to and with this record, in hexadecimal.
    pub chain: String,
    pub action: String,
    /// What was decided (`decision`, `rule`, `reason`, `remedy`, `spending`, `arguments`, `digest`, `principal`, …) or
    /// what became of it (`effect`, `result`, `failure`, `reason`, `cost`, and under `halted_by` why it had been told to stop).
    #[serde(flatten)]
    #[schema(value_type = Object)]
    pub body: Map<String, Value>,
}

pub(crate) async fn list(call: Call) -> Answer {
    let mut query = call.query()?;
    let limit = match query.take("limit").map(|text| text.parse::<usize>()) {
        None => 100,
        Some(Ok(limit)) if (1..=MAX_LIMIT).contains(&limit) => limit,
        Some(_) => return Err(ApiError::invalid("limit", format!("`limit` must be a number from 1 to {MAX_LIMIT}."))),
    };
    if query.take("order").is_some_and(|order| order != "asc") {
        return Err(ApiError::invalid("order", "Receipts are listed in the order in which they were written: `asc`."));
    }
    let after = match query.take("after").map(|text| text.parse::<u64>()) {
        None => 0,
        Some(Ok(position)) => position,
        Some(Err(_)) => return Err(ApiError::invalid("after", "`after` must be the id of a receipt.")),
    };
    query.finish()?;
    let session = call.id("session_id", "session")?;
    let known = sessions::find(&call.app, &call.caller, session).await?;
    let mut receipts: Vec<Receipt> = Vec::new();
    let mut position = after;
    while receipts.len() <= limit {
        let records = call.app.options.store.records(session.into(), position, CHUNK).await?;
        let Some(last) = records.last() else { break };
        position = last.position;
        for sealed in records.iter().filter(|record| record.kind.starts_with("action.")) {
            let record = known.journal.open_record(sealed)?;
            receipts.extend(receipt(session, sealed, record.body));
        }
    }
    let more = receipts.len() > limit;
    receipts.truncate(limit);
    ok(Page::new(receipts, more, |receipt| receipt.id.clone()))
}

/// What a record says, for who may read it; nothing where it is no receipt.
pub(super) fn opened(
    session: SessionId,
    sealed: &SealedRecord,
    journal: &bailiwick_gate::Journal,
) -> Result<Option<Value>, ApiError> {
    let record = journal.open_record(sealed)?;
    Ok(receipt(session, sealed, record.body).map(|receipt| Value::Object(receipt.body)))
}

fn receipt(session: SessionId, sealed: &SealedRecord, body: Body) -> Option<Receipt> {
    let (action, body) = match body {
        Body::ActionDecided(decided) => (decided.action, decided_fields(decided)),
        Body::ActionResumed(resumed) => {
            let mut fields = ruling_fields(&resumed.decision);
            fields.insert("policy_version".into(), json!(resumed.policy_version));
            insert_spending(&mut fields, &resumed.spending);
            (resumed.action, fields)
        }
        Body::ActionSettled(settled) => (settled.action, settled_fields(settled)),
        _ => return None,
    };
    Some(Receipt {
        id: sealed.position.to_string(),
        object: "bailiwick.receipt",
        session_id: session.to_string(),
        position: sealed.position,
        time: sealed.time.to_string(),
        kind: sealed.kind.clone(),
        epoch: sealed.epoch,
        leaf: hex(&sealed.leaf),
        chain: hex(&sealed.chain),
        action: action.to_string(),
        body,
    })
}

fn decided_fields(decided: ActionDecided) -> Map<String, Value> {
    let mut fields = ruling_fields(&decided.decision);
    let mut arguments = json!(decided.arguments);
    let operation = arguments.as_object_mut().and_then(|arguments| arguments.remove("operation"));
    fields.insert("operation".into(), operation.unwrap_or_default());
    fields.insert("arguments".into(), arguments);
    fields.insert("digest".into(), json!(decided.digest));
    fields.insert("turn_id".into(), json!(decided.turn));
    fields.insert("call_id".into(), json!(decided.call_id));
    fields.insert("principal".into(), json!(decided.principal));
    insert_who(&mut fields, &decided.principal);
    fields.insert("label".into(), json!(decided.label));
    fields.insert("policy_version".into(), json!(decided.policy_version));
    insert_spending(&mut fields, &decided.spending);
    if !decided.credentials.is_empty() {
        fields.insert("credentials".into(), json!(decided.credentials));
    }
    if let Some(through) = &decided.through {
        fields.insert("through".into(), json!(through));
    }
    if let Some(answered) = &decided.answered {
        fields.insert("answered".into(), json!(answered));
    }
    if !decided.also_answered.is_empty() {
        fields.insert("also_answered".into(), json!(decided.also_answered));
    }
    fields
}

/// For whom (`subject`), by which agent (`actor`), on whose order (`orderer`), and under which `grant`.
fn insert_who(fields: &mut Map<String, Value>, principal: &Principal) {
    if let (Principal::Agent { id, .. }, Some(orderer)) = (principal, principal.orderer())
        && let Value::Object(who) = json!(Who::of(orderer, *id))
    {
        fields.extend(who);
    }
}

/// `decision` is `allowed`, `denied`, `asked` or `held`.
fn ruling_fields(ruling: &Ruling) -> Map<String, Value> {
    match json!(ruling) {
        Value::Object(fields) => fields,
        _ => Map::new(),
    }
}

/// `effect` is `confirmed`, `failed`, `unknown` or `not_sent`.
fn settled_fields(settled: ActionSettled) -> Map<String, Value> {
    let mut outcome = settled.outcome;
    if let Outcome::Confirmed { result: ActionResult::Environment(facts) } = &mut outcome {
        // Who knows an executor's session can take the executor over.
        facts.executor_session = None;
    }
    let mut fields = match json!(outcome) {
        Value::Object(fields) => fields,
        _ => Map::new(),
    };
    if let Some(cost) = &settled.cost {
        fields.insert("cost".into(), json!(cost));
    }
    if let Some(halted) = &settled.halted_by {
        fields.insert("halted_by".into(), json!(halted));
    }
    fields
}

/// What was held for it, who pays, and the limit that was in its way.
fn insert_spending(fields: &mut Map<String, Value>, spending: &Spending) {
    if !spending.is_empty() {
        fields.insert("spending".into(), json!(spending));
    }
}
