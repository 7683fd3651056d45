//! Objects: immutable, apart by tenant, under checked names.

use bailiwick_ports::{ObjectError, Objects, objects::MAX_NAME};
use bailiwick_types::TenantId;
use bytes::Bytes;
use futures_util::future::join_all;
use std::sync::Arc;

pub async fn run(objects: Arc<dyn Objects>) {
    let (tenant, other) = (TenantId::from_u128(1), TenantId::from_u128(2));
    let large = Bytes::from(vec![5; 3_000_000]);
    for (name, body) in [("file_1", Bytes::from_static(b"one")), ("A-b_9", Bytes::new()), ("large", large)] {
        objects.put(tenant, name, body.clone()).await.unwrap();
        assert_eq!(objects.get(tenant, name).await.unwrap(), body);
    }
    objects.put(tenant, "file_1", Bytes::from_static(b"two")).await.unwrap();
    assert_eq!(objects.get(tenant, "file_1").await.unwrap(), "one", "a name that is written twice keeps the first");

    assert!(matches!(objects.get(other, "file_1").await, Err(ObjectError::Missing(name)) if name == "file_1"));
    objects.put(other, "file_1", Bytes::from_static(b"theirs")).await.unwrap();
    assert_eq!(objects.get(tenant, "file_1").await.unwrap(), "one");

    objects.remove(tenant, "file_1").await.unwrap();
    objects.remove(tenant, "file_1").await.unwrap();
    objects.remove(TenantId::from_u128(3), "never").await.unwrap();
    assert!(matches!(objects.get(tenant, "file_1").await, Err(ObjectError::Missing(_))));
    assert_eq!(objects.get(other, "file_1").await.unwrap(), "theirs");
    objects.put(tenant, "file_1", Bytes::from_static(b"again")).await.unwrap();
    assert_eq!(objects.get(tenant, "file_1").await.unwrap(), "again");

    let longest = "x".repeat(MAX_NAME);
    objects.put(tenant, &longest, Bytes::from_static(b"x")).await.unwrap();
    assert_eq!(objects.get(tenant, &longest).await.unwrap(), "x");
    for name in ["", ".", "..", "a/b", "/etc/passwd", "a.b", "ä", "a\0", &format!("{longest}x")] {
        assert!(matches!(objects.put(tenant, name, Bytes::new()).await, Err(ObjectError::Name(_))), "{name}");
        assert!(matches!(objects.get(tenant, name).await, Err(ObjectError::Name(_))), "{name}");
        assert!(matches!(objects.remove(tenant, name).await, Err(ObjectError::Name(_))), "{name}");
    }

    listed(&*objects, tenant, other).await;

    let racing = (0..10).map(|number| objects.put(tenant, "raced", Bytes::from(vec![number; 1000])));
    assert!(join_all(racing).await.iter().all(Result::is_ok));
    let won = objects.get(tenant, "raced").await.unwrap();
    assert!(won.len() == 1000 && won.iter().all(|byte| *byte == won[0]), "one whole object won");
}

async fn listed(objects: &dyn Objects, tenant: TenantId, other: TenantId) {
    assert_eq!(objects.names(TenantId::from_u128(3), None, 10).await.unwrap(), [""; 0]);
    assert_eq!(objects.names(other, None, 10).await.unwrap(), ["file_1"]);
    for number in 0..40 {
        objects.put(tenant, &format!("listed_{number}"), Bytes::new()).await.unwrap();
    }
    for limit in [1, 7, 100] {
        let (mut all, mut after) = (Vec::new(), None);
        loop {
            let page = objects.names(tenant, after.as_deref(), limit).await.unwrap();
            assert!(page.len() <= limit as usize);
            let Some(last) = page.last() else { break };
            after = Some(last.clone());
            // A cursor that was removed still says where to go on.
            if last.starts_with("listed_") && limit == 100 {
                objects.remove(tenant, last).await.unwrap();
            }
            all.extend(page);
        }
        all.sort();
        let mut expected: Vec<String> = (0..40).map(|number| format!("listed_{number}")).collect();
        expected.extend(["A-b_9".into(), "file_1".into(), "large".into(), "x".repeat(MAX_NAME)]);
        expected.sort();
        assert_eq!(all, expected, "every name once, in pages of {limit}");
    }
}
