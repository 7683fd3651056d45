//! Administrative changes: one record of the tenant's own stream, together with documents.

use super::{Check, checks, kit::*};
use bailiwick_ports::{
    DocumentWrite, StoreError, WrappedKey,
    store::{Administer, Document, DocumentKind, SealedRecord},
};
use bailiwick_types::{StreamId, TenantId, Timestamp};
use bytes::Bytes;
use futures_util::future::join_all;

pub const CHECKS: &[Check] = checks![
    the_first_change_makes_the_stream,
    a_change_is_written_with_its_documents,
    a_change_that_conflicts_leaves_nothing,
    a_change_of_a_stream_that_moved_on_is_stale,
    of_many_changes_at_one_place_one_is_written,
    a_malformed_change_writes_nothing,
];

fn document(id: u128, version: u32) -> Document {
    Document {
        kind: DocumentKind::Agent,
        id,
        version,
        created: Timestamp::from_millis(1000),
        updated: Timestamp::from_millis(2000),
        handle: None,
        sealed: Bytes::from(format!("{id} {version}")),
    }
}

fn change(tenant: TenantId, position: u64, documents: Vec<DocumentWrite>) -> Administer {
    let key = WrappedKey::new(3, vec![9, 8]);
    Administer { tenant, key, record: record(position, 0), documents }
}

fn put(document: Document) -> DocumentWrite {
    DocumentWrite::Put(document)
}

fn stale_at(tenant: TenantId) -> Result<(), StoreError> {
    Err(StoreError::StaleEpoch { stream: tenant.into(), epoch: 0 })
}

async fn the_first_change_makes_the_stream(kit: Kit) {
    let tenant = kit.tenant();
    let stream = StreamId::from(tenant);
    assert_eq!(kit.head(stream).await, Ok(None));
    kit.administer(change(tenant, 1, vec![])).await.unwrap();
    kit.administer(change(tenant, 2, vec![])).await.unwrap();
    let head = kit.head(stream).await.unwrap().unwrap();
    assert_eq!((head.tenant, head.position, head.epoch), (tenant, 2, 0));
    assert_eq!(head.key, WrappedKey::new(3, vec![9, 8]));
    assert_eq!(head.chain, record(2, 0).chain);
    assert_eq!(kit.records(stream, 0, 10).await, Ok(vec![record(1, 0), record(2, 0)]));
    assert!(!kit.is_ready(stream).await, "nobody drives it");
}

async fn a_change_is_written_with_its_documents(kit: Kit) {
    let tenant = kit.tenant();
    let first = vec![put(document(1, 1)), put(document(2, 1)), put(document(2, 2))];
    kit.administer(change(tenant, 1, first)).await.unwrap();
    let get = async |id| kit.document(tenant, DocumentKind::Agent, id, None).await.unwrap();
    assert_eq!((get(1).await, get(2).await), (Some(document(1, 1)), Some(document(2, 2))));
    assert_eq!(kit.document_versions(tenant, DocumentKind::Agent, 2).await.unwrap().len(), 2);
    // Nothing to remove is no error; what is removed may be written anew in the same change.
    let remove = |id| DocumentWrite::Remove { kind: DocumentKind::Agent, id };
    let second = vec![remove(1), remove(7), remove(2), put(document(2, 1))];
    kit.administer(change(tenant, 2, second)).await.unwrap();
    assert_eq!((get(1).await, get(2).await), (None, Some(document(2, 1))));
    assert_eq!(kit.document_versions(tenant, DocumentKind::Agent, 2).await.unwrap().len(), 1);
    assert_eq!(kit.positions(tenant.into()).await, [1, 2]);
}

async fn a_change_that_conflicts_leaves_nothing(kit: Kit) {
    let tenant = kit.tenant();
    let with = |document: Document, handle: &str| Document { handle: Some(handle.into()), ..document };
    kit.administer(change(tenant, 1, vec![put(with(document(1, 1), "taken"))])).await.unwrap();
    for second in [
        vec![put(document(2, 1)), put(document(1, 3))],
        vec![put(document(2, 1)), put(document(1, 1))],
        vec![put(document(2, 1)), put(document(2, 1))],
        vec![put(document(2, 1)), put(with(document(3, 1), "taken"))],
        vec![DocumentWrite::Remove { kind: DocumentKind::Agent, id: 1 }, put(document(2, 2))],
    ] {
        assert_eq!(kit.administer(change(tenant, 2, second)).await, Err(StoreError::Conflict));
        assert_eq!(kit.positions(tenant.into()).await, [1]);
        assert_eq!(kit.document(tenant, DocumentKind::Agent, 2, None).await, Ok(None));
        assert!(kit.document(tenant, DocumentKind::Agent, 1, None).await.unwrap().is_some());
    }
}

async fn a_change_of_a_stream_that_moved_on_is_stale(kit: Kit) {
    let tenant = kit.tenant();
    assert_eq!(kit.administer(change(tenant, 2, vec![put(document(1, 1))])).await, stale_at(tenant));
    assert_eq!(kit.head(tenant.into()).await, Ok(None));
    kit.administer(change(tenant, 1, vec![])).await.unwrap();
    for position in [1, 3] {
        assert_eq!(kit.administer(change(tenant, position, vec![put(document(1, 1))])).await, stale_at(tenant));
    }
    assert_eq!(kit.document(tenant, DocumentKind::Agent, 1, None).await, Ok(None));
    assert_eq!(kit.positions(tenant.into()).await, [1]);
}

async fn of_many_changes_at_one_place_one_is_written(kit: Kit) {
    let tenant = kit.tenant();
    let writers = (1..=20).map(|id| kit.administer(change(tenant, 1, vec![put(document(id, 1))])));
    let answers = join_all(writers).await;
    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 1);
    assert!(answers.iter().all(|answer| answer.is_ok() || *answer == stale_at(tenant)));
    let (kept, _) = kit.documents(tenant, DocumentKind::Agent, page(100)).await.unwrap().unwrap();
    assert_eq!(kept.len(), 1);
}

async fn a_malformed_change_writes_nothing(kit: Kit) {
    let tenant = kit.tenant();
    let driven = SealedRecord { epoch: 1, ..record(1, 0) };
    is_malformed(kit.administer(Administer { record: driven, ..change(tenant, 1, vec![]) }).await, "epoch");
    is_malformed(kit.administer(change(tenant, 0, vec![])).await, "position");
    assert_eq!(kit.head(tenant.into()).await, Ok(None));
}
