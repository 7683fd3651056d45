//! The memory store keeps what every store must keep, and fails when it is asked to.

use bailiwick_ports::{Store, StoreError, store::Tenant};
use bailiwick_testkit::{
    clock::ManualClock,
    conformance::{self, Subject},
    store::{MemoryObjects, MemoryStore, When},
};
use bailiwick_types::{Millis, TenantId, Timestamp};
use std::sync::Arc;

const START: Timestamp = Timestamp::from_millis(1_793_000_000_000);

fn subject() -> Subject {
    let clock = ManualClock::new(START);
    let store = Arc::new(MemoryStore::new(Arc::new(clock.clone())));
    Subject {
        store: store.clone(),
        log: store,
        elapse: Arc::new(move |span: Millis| {
            clock.advance(span);
            Box::pin(std::future::ready(()))
        }),
    }
}

#[tokio::test]
async fn the_memory_store_keeps_the_contract() {
    conformance::run(async || subject()).await;
}

#[tokio::test]
async fn memory_objects_keep_the_contract() {
    conformance::run_objects(Arc::new(MemoryObjects::new())).await;
}

#[tokio::test]
async fn planned_faults_happen_once_and_on_their_side_of_the_write() {
    let store = MemoryStore::new(Arc::new(ManualClock::new(START)));
    let put = async |number: u128| {
        let key = bailiwick_ports::WrappedKey::new(1, vec![]);
        store.put_tenant(Tenant { id: TenantId::from_u128(number), name: String::new(), key }).await
    };
    let kept = async || store.tenants().await.unwrap().iter().map(|tenant| tenant.id.to_u128()).collect::<Vec<_>>();
    store.faults().crash_after(2, When::Before);
    store.faults().crash_after(3, When::After);
    store.faults().fail(4, When::Before, StoreError::Full);
    assert_eq!(put(1).await, Ok(()));
    assert!(matches!(put(2).await, Err(StoreError::Unavailable(_))));
    assert!(matches!(put(3).await, Err(StoreError::Unavailable(_))));
    assert_eq!(put(4).await, Err(StoreError::Full));
    assert_eq!(put(5).await, Ok(()));
    assert_eq!(kept().await, [1, 3, 5]);
    assert_eq!(store.faults().writes(), 5);
}
