//! Receipts in the order of their leaves, as lines for whoever collects them elsewhere. Ids and words of ours, and the
//! leaf's hash; what a receipt is about stays where it is.
//!
//! There is no queue: the log itself is what has not been told, and whoever collects keeps the next leaf's place.

use crate::{
    Audit, Seals,
    export::hex,
    index::{self, Entry},
};
use bailiwick_ports::{
    AuditError,
    log::{ReceiptOutcome, ReceiptRow},
    store::SealedRecord,
};
use bailiwick_types::{SessionId, StreamId, TenantId};
use bytes::Bytes;
use serde_json::{Map, Value, json};
use std::collections::{
    HashMap,
    hash_map::Entry::{Occupied, Vacant},
};

/// Some lines of a feed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fed {
    /// Lines of JSON, each with its line break; none when the leaves are no receipts.
    pub lines: Bytes,
    /// How many.
    pub count: u64,
    /// The leaf that comes next.
    pub next: u64,
    /// Leaves that come after these.
    pub behind: u64,
}

impl Audit {
    /// Who has a log.
    pub async fn tenants(&self) -> Result<Vec<TenantId>, AuditError> {
        Ok(self.0.options.store.tenants().await?.into_iter().map(|tenant| tenant.id).collect())
    }

    /// The receipts among the next leaves from `from` on, which are at most `limit`.
    pub async fn feed(&self, tenant: TenantId, from: u64, limit: u32) -> Result<Fed, AuditError> {
        let log = &self.0.options.log;
        let Some(head) = log.log(tenant).await? else {
            return Ok(Fed { lines: Bytes::new(), count: 0, next: from, behind: 0 });
        };
        let found = match from < head.size {
            true => log.sequenced(tenant, from, limit).await?,
            false => Vec::new(),
        };
        let next = found.last().map_or(from, |(index, ..)| index + 1);
        let (mut lines, mut count) = (Vec::new(), 0);
        let mut known: HashMap<StreamId, Seals> = HashMap::new();
        for (index, stream, sealed) in found.iter().filter(|(_, _, sealed)| index::is_receipt(&sealed.kind)) {
            let seals = match known.entry(*stream) {
                Occupied(known) => known.into_mut(),
                Vacant(place) => place.insert(self.0.seals(tenant, *stream).await?),
            };
            if let Some(line) = self.line(tenant, *index, *stream, sealed, seals) {
                lines.extend_from_slice(line.to_string().as_bytes());
                lines.push(b'\n');
                count += 1;
            }
        }
        Ok(Fed { lines: lines.into(), count, next, behind: head.size.saturating_sub(next) })
    }

    /// What a record says as a receipt; of one whose key was destroyed, or that is damaged, that it is there.
    fn line(
        &self,
        tenant: TenantId,
        index: u64,
        stream: StreamId,
        sealed: &SealedRecord,
        seals: &Seals,
    ) -> Option<Value> {
        let mut line = Map::new();
        let mut put = |name: &str, value: Value| drop(line.insert(name.to_owned(), value));
        put("tenant", json!(tenant));
        put("index", json!(index));
        put("leaf", json!(hex(&sealed.leaf)));
        put("stream", json!(stream));
        put("position", json!(sealed.position));
        put("time", json!(sealed.time.to_string()));
        put("record", json!(sealed.kind));
        let opened = match seals {
            Seals::Erased => {
                put("erased", json!(true));
                return Some(Value::Object(line));
            }
            Seals::Damaged => None,
            Seals::Open(journal) => match journal.open_record(sealed) {
                Ok(record) => Some(record),
                Err(error) => {
                    tracing::error!(%tenant, %stream, position = sealed.position, %error, "a record of the log cannot be read");
                    None
                }
            },
        };
        match opened {
            None => put("unreadable", json!(true)),
            Some(record) => match index::entry(stream, index, &record, &*self.0.options.cards)? {
                Entry::Receipt(row) => receipt(&row, stream != StreamId::from(tenant), &mut put),
                Entry::Outcome(ReceiptOutcome { action, settlement, .. }) => {
                    put("session", json!(SessionId::from(stream)));
                    put("action", json!(action));
                    put("effect", json!(settlement.effect));
                    put("cost_micros", json!(settlement.cost));
                }
            },
        }
        Some(Value::Object(line))
    }
}

fn receipt(row: &ReceiptRow, of_session: bool, put: &mut impl FnMut(&str, Value)) {
    if of_session {
        put("session", json!(SessionId::from(row.stream)));
    }
    put("receipt", json!(row.kind.name()));
    put("action", json!(row.action));
    put("operation", json!(row.operation));
    put("decision", json!(row.decision));
    put("orderer", json!(row.orderer));
    put("person", json!(row.person));
    put("agent", json!(row.agent));
    put("outside", json!(row.leaves));
}
