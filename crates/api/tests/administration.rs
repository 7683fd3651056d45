//! Many administrative changes at once: none is lost, none is doubled, and they are one chain.

#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "tests own the clock and tasks")]

use bailiwick_core::{record::Body, tree};
use bailiwick_gate::{Administrator, Journal};
use bailiwick_ports::{
    Administration, Change, Clock, DocumentWrite, Keys as _, Store,
    store::{Document, DocumentKind, Tenant},
};
use bailiwick_testkit::{clock::ManualClock, keys::PlainKeys, store::MemoryStore};
use bailiwick_types::{Principal, StreamId, TenantId, Timestamp};
use serde_json::json;
use std::{collections::BTreeSet, sync::Arc};

const WRITERS: u64 = 100;
const EACH: u64 = 20;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn changes_at_once_are_one_chain_and_none_is_lost() {
    let clock: Arc<dyn Clock> = Arc::new(ManualClock::new(Timestamp::from_millis(1_795_260_645_000)));
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new(Arc::clone(&clock)));
    let tenant = TenantId::from_u128(7);
    let (key, _) = PlainKeys.create(tenant, tenant.into());
    store.put_tenant(Tenant { id: tenant, name: "t".into(), key: key.clone() }).await.unwrap();
    // Two of them, as two processes would have: one alone lets everybody take their turn.
    let administrators: Vec<Arc<Administrator>> = (0..2)
        .map(|_| Arc::new(Administrator::new(Arc::clone(&store), Arc::new(PlainKeys), Arc::clone(&clock))))
        .collect();
    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..WRITERS {
        let administrator = Arc::clone(&administrators[writer as usize % 2]);
        writers.spawn(async move {
            for number in 0..EACH {
                let id = u128::from(writer * EACH + number) + 1;
                let document = Document {
                    kind: DocumentKind::Agent,
                    id,
                    version: 1,
                    created: Timestamp::default(),
                    updated: Timestamp::default(),
                    handle: None,
                    sealed: Vec::new().into(),
                };
                let change = Change {
                    tenant,
                    by: Principal::Operator,
                    kind: "thing.changed".into(),
                    target: id.to_string(),
                    reason: None,
                    details: json!({}),
                    documents: vec![DocumentWrite::Put(document)],
                };
                administrator.change(change).await.unwrap();
            }
        });
    }
    while let Some(done) = writers.join_next().await {
        done.unwrap();
    }
    let stream = StreamId::from(tenant);
    let journal = Journal::open(&PlainKeys, tenant, stream, &key).unwrap();
    let records = store.records(stream, 0, 10_000).await.unwrap();
    assert_eq!(records.len() as u64, WRITERS * EACH);
    let (mut chain, mut targets) = ([0; 32], BTreeSet::new());
    for (record, position) in records.iter().zip(1..) {
        assert_eq!(record.position, position);
        chain = tree::chain(&chain, &record.leaf);
        assert_eq!(record.chain, chain, "at {position}");
        let Body::AdministrationChanged(changed) = journal.open_record(record).unwrap().body else { panic!() };
        assert!(targets.insert(changed.target.clone()), "{} twice", changed.target);
        let id: u128 = changed.target.parse().unwrap();
        assert!(store.document(tenant, DocumentKind::Agent, id, None).await.unwrap().is_some());
    }
    assert_eq!(targets.len() as u64, WRITERS * EACH);
}
