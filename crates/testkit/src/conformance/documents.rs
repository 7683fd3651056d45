//! Tenants and versioned documents.

use super::{Check, checks, kit::*};
use bailiwick_ports::{
    StoreError, WrappedKey,
    store::{Document, DocumentKind, Page, Tenant},
};
use bailiwick_types::Timestamp;
use bytes::Bytes;
use futures_util::future::join_all;

pub const CHECKS: &[Check] = checks![
    tenants_are_kept_and_changed,
    every_version_of_a_document_is_kept,
    versions_follow_each_other,
    of_many_writers_of_one_version_one_wins,
    a_handle_finds_its_newest_document,
    a_removed_document_is_gone_with_its_handle,
    documents_are_listed_in_pages,
    another_tenants_documents_are_not_seen,
];

fn document(id: u128, version: u32) -> Document {
    Document {
        kind: DocumentKind::Agent,
        id,
        version,
        created: Timestamp::from_millis(1000 + id as i64),
        updated: Timestamp::from_millis(2000 + i64::from(version)),
        handle: None,
        sealed: Bytes::from(format!("{id} {version}")),
    }
}

async fn tenants_are_kept_and_changed(kit: Kit) {
    assert_eq!(kit.tenants().await, Ok(vec![]));
    let mut tenant =
        Tenant { id: kit.tenant(), name: "Zoë & Co".into(), key: WrappedKey::new(u32::MAX, vec![0, 255]) };
    let other = Tenant { id: kit.tenant(), ..tenant.clone() };
    kit.put_tenant(tenant.clone()).await.unwrap();
    kit.put_tenant(other.clone()).await.unwrap();
    tenant.name.clear();
    tenant.key.key_id = 2;
    kit.put_tenant(tenant.clone()).await.unwrap();
    assert_eq!(kit.tenants().await, Ok(vec![tenant, other]));
}

async fn every_version_of_a_document_is_kept(kit: Kit) {
    let tenant = kit.tenant();
    let versions = [document(1, 1), document(1, 2), document(1, 3)];
    for version in &versions {
        // `created` is of the first version, whatever a later one says.
        let created = Timestamp::from_millis(version.created.as_millis() + i64::from(version.version) - 1);
        kit.put_document(tenant, Document { created, ..version.clone() }).await.unwrap();
    }
    let get = async |version| kit.document(tenant, DocumentKind::Agent, 1, version).await.unwrap();
    assert_eq!(get(None).await.as_ref(), Some(&versions[2]));
    assert_eq!(get(Some(2)).await.as_ref(), Some(&versions[1]));
    assert_eq!(get(Some(0)).await, None);
    assert_eq!(get(Some(4)).await, None);
    assert_eq!(kit.document(tenant, DocumentKind::File, 1, None).await, Ok(None));
    assert_eq!(kit.document_versions(tenant, DocumentKind::Agent, 1).await, Ok(versions.to_vec()));
    assert_eq!(kit.document_versions(tenant, DocumentKind::Agent, 2).await, Ok(vec![]));
}

async fn versions_follow_each_other(kit: Kit) {
    let tenant = kit.tenant();
    let put = async |version| kit.put_document(tenant, document(1, version)).await;
    for wrong in [0, 2] {
        assert_eq!(put(wrong).await, Err(StoreError::Conflict));
    }
    put(1).await.unwrap();
    for wrong in [0, 1, 3] {
        assert_eq!(put(wrong).await, Err(StoreError::Conflict));
    }
    put(2).await.unwrap();
    assert_eq!(kit.document_versions(tenant, DocumentKind::Agent, 1).await.unwrap().len(), 2);
}

async fn of_many_writers_of_one_version_one_wins(kit: Kit) {
    let tenant = kit.tenant();
    let answers = join_all((0..20).map(|_| kit.put_document(tenant, document(1, 1)))).await;
    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 1);
    assert!(answers.iter().all(|answer| matches!(answer, Ok(()) | Err(StoreError::Conflict))));
}

async fn a_handle_finds_its_newest_document(kit: Kit) {
    let (tenant, other) = (kit.tenant(), kit.tenant());
    let with = |document: Document, handle: &str| Document { handle: Some(handle.into()), ..document };
    let find = async |handle: &str| kit.document_by_handle(DocumentKind::Agent, handle).await.unwrap();
    let first = with(document(1, 1), "a");
    kit.put_document(tenant, first.clone()).await.unwrap();
    assert_eq!(find("a").await, Some((tenant, first.clone())));
    assert_eq!(find("A").await, None);
    assert_eq!(kit.document_by_handle(DocumentKind::File, "a").await, Ok(None));
    for (who, taken) in [(tenant, with(document(2, 1), "a")), (other, with(document(3, 1), "a"))] {
        assert_eq!(kit.put_document(who, taken.clone()).await, Err(StoreError::Conflict));
        assert_eq!(kit.document(who, DocumentKind::Agent, taken.id, None).await, Ok(None));
    }
    let of_kind = Document { kind: DocumentKind::ApiKey, ..with(document(4, 1), "a") };
    kit.put_document(other, of_kind).await.unwrap();
    kit.put_document(tenant, with(document(1, 2), "a")).await.unwrap();
    assert_eq!(find("a").await.unwrap().1.version, 2);
    kit.put_document(tenant, with(document(1, 3), "b")).await.unwrap();
    assert_eq!(find("a").await, None);
    assert_eq!(find("b").await.unwrap().1.version, 3);
    assert_eq!(kit.document(tenant, DocumentKind::Agent, 1, Some(1)).await.unwrap(), Some(first));
    kit.put_document(tenant, document(1, 4)).await.unwrap();
    assert_eq!(find("b").await, None);
    kit.put_document(other, with(document(5, 1), "b")).await.unwrap();
    assert_eq!(find("b").await.unwrap().0, other);
}

async fn a_removed_document_is_gone_with_its_handle(kit: Kit) {
    let tenant = kit.tenant();
    let with = |version| Document { handle: Some("h".into()), ..document(1, version) };
    kit.put_document(tenant, with(1)).await.unwrap();
    kit.put_document(tenant, with(2)).await.unwrap();
    assert_eq!(kit.remove_document(kit.tenant(), DocumentKind::Agent, 1).await, Ok(false));
    assert_eq!(kit.remove_document(tenant, DocumentKind::File, 1).await, Ok(false));
    assert_eq!(kit.remove_document(tenant, DocumentKind::Agent, 1).await, Ok(true));
    assert_eq!(kit.remove_document(tenant, DocumentKind::Agent, 1).await, Ok(false));
    assert_eq!(kit.document(tenant, DocumentKind::Agent, 1, Some(1)).await, Ok(None));
    assert_eq!(kit.document_by_handle(DocumentKind::Agent, "h").await, Ok(None));
    assert_eq!(kit.documents(tenant, DocumentKind::Agent, page(9)).await, Ok(Some((vec![], false))));
    kit.put_document(tenant, with(1)).await.unwrap();
    assert_eq!(kit.document_versions(tenant, DocumentKind::Agent, 1).await.unwrap().len(), 1);
}

async fn documents_are_listed_in_pages(kit: Kit) {
    let tenant = kit.tenant();
    // 7 was created before all others.
    for id in [7, 1, 2, 3] {
        let created = Timestamp::from_millis(if id == 7 { 0 } else { 1000 + id as i64 });
        kit.put_document(tenant, Document { created, ..document(id, 1) }).await.unwrap();
    }
    kit.put_document(tenant, document(1, 2)).await.unwrap();
    let of_kind = Document { kind: DocumentKind::File, ..document(9, 1) };
    kit.put_document(tenant, of_kind).await.unwrap();
    let list = async |page| {
        let (found, more) = kit.documents(tenant, DocumentKind::Agent, page).await.unwrap()?;
        Some((found.iter().map(|document| (document.id, document.version)).collect::<Vec<_>>(), more))
    };
    assert_eq!(list(page(9)).await, Some((vec![(7, 1), (1, 2), (2, 1), (3, 1)], false)));
    assert_eq!(list(Page { after: Some(7), ..page(2) }).await, Some((vec![(1, 2), (2, 1)], true)));
    let down = |after, before| Page { after, before, descending: true, limit: 1 };
    assert_eq!(list(down(Some(2), None)).await, Some((vec![(1, 2)], true)));
    assert_eq!(list(down(None, Some(2))).await, Some((vec![(3, 1)], false)));
    assert_eq!(list(Page { before: Some(3), ..page(1) }).await, Some((vec![(2, 1)], true)));
    for unknown in [8, 9] {
        assert_eq!(list(Page { after: Some(unknown), ..page(9) }).await, None);
        assert_eq!(list(Page { before: Some(unknown), ..page(9) }).await, None);
    }
}

async fn another_tenants_documents_are_not_seen(kit: Kit) {
    let (tenant, other) = (kit.tenant(), kit.tenant());
    kit.put_document(tenant, document(1, 1)).await.unwrap();
    assert_eq!(kit.document(other, DocumentKind::Agent, 1, None).await, Ok(None));
    assert_eq!(kit.document_versions(other, DocumentKind::Agent, 1).await, Ok(vec![]));
    assert_eq!(kit.documents(other, DocumentKind::Agent, page(9)).await, Ok(Some((vec![], false))));
    let cursor = Page { after: Some(1), ..page(9) };
    assert_eq!(kit.documents(other, DocumentKind::Agent, cursor).await, Ok(None));
    // The same id is another document there.
    let theirs = Document { sealed: Bytes::from_static(b"theirs"), ..document(1, 1) };
    kit.put_document(other, theirs.clone()).await.unwrap();
    assert_eq!(kit.document(other, DocumentKind::Agent, 1, None).await, Ok(Some(theirs)));
    assert_eq!(kit.document(tenant, DocumentKind::Agent, 1, None).await, Ok(Some(document(1, 1))));
}
