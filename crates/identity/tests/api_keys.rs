//! API keys, from outside: made, found, refused and revoked.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test may panic, and makes its own files")]

mod common;

use bailiwick_identity::{Bootstrapped, CredentialError, Credentials, NewApiKey};
use bailiwick_ports::{AuthError, Scope};
use bailiwick_types::{EnvironmentId, KeyId, Millis, Principal, Secret, TenantId, Timestamp};
use common::{House, OPERATOR, START};
use std::sync::{Arc, atomic::Ordering};

fn new(scopes: &[Scope]) -> NewApiKey {
    NewApiKey { name: "ledger".into(), scopes: scopes.to_vec(), expires: None }
}

#[tokio::test]
async fn a_key_opens_what_its_scopes_say_and_nothing_else() {
    let House { credentials, tenant, .. } = House::new().await;
    let (key, secret) = credentials.create_api_key(&OPERATOR, tenant, new(&[Scope::SessionsRead])).await.unwrap();
    let caller = credentials.authenticate_bearer(secret.expose()).await.unwrap();
    assert_eq!((caller.tenant, &caller.principal), (tenant, &Principal::Service { key: key.id }));
    assert!(caller.may(Scope::SessionsRead));
    for other in Scope::ALL.into_iter().filter(|scope| *scope != Scope::SessionsRead) {
        assert!(!caller.may(other), "{other}");
    }
    assert_eq!(key.last4, secret.expose()[48..]);
}

#[tokio::test]
async fn an_administrator_may_everything_and_a_bound_caller_only_connect() {
    let House { credentials, tenant, .. } = House::new().await;
    let (_, secret) = credentials.create_api_key(&OPERATOR, tenant, new(&[Scope::Admin])).await.unwrap();
    let mut caller = credentials.authenticate_bearer(secret.expose()).await.unwrap();
    assert!(Scope::ALL.into_iter().all(|scope| caller.may(scope)));
    let (own, other) = (EnvironmentId::from_u128(1), EnvironmentId::from_u128(2));
    assert!(!caller.may_connect(own), "an API key is no executor's credential");
    caller.bound_environment = Some(own);
    assert!(!caller.may(Scope::SessionsRead) && !caller.may(Scope::Admin));
    assert!(caller.may_connect(own) && !caller.may_connect(other));
}

#[tokio::test]
async fn wrong_credentials_are_told_apart_without_telling_secrets() {
    let House { credentials, tenant, .. } = House::new().await;
    let (_, secret) = credentials.create_api_key(&OPERATOR, tenant, new(&[Scope::Admin])).await.unwrap();
    let secret = secret.expose();
    let error = async |token: &str| credentials.authenticate_bearer(token).await.unwrap_err();
    let swapped = format!("{}{}{}", &secret[..10], if &secret[10..11] == "x" { "y" } else { "x" }, &secret[11..]);
    assert_eq!(error("").await, AuthError::Missing);
    assert!(matches!(error(&swapped).await, AuthError::Malformed(_)));
    assert!(matches!(error(&secret[..40]).await, AuthError::Malformed(_)));
    assert!(matches!(error(&format!("{secret} {secret}")).await, AuthError::Malformed(_)));
    assert!(matches!(error(&"x".repeat(513)).await, AuthError::Malformed(_)));
    assert!(matches!(error("ключ").await, AuthError::Malformed(_)));
    assert_eq!(error("sk-of-another-service").await, AuthError::Unknown);
    for text in [swapped.as_str(), "sk-of-another-service"] {
        assert!(!format!("{:?} {0}", error(text).await).contains(&text[..12]));
    }
}

#[tokio::test]
async fn a_revoked_key_is_refused_at_once_and_stays_revoked() {
    let house = House::new().await;
    let (House { credentials, tenant, .. }, other) = (&house, house.another_process());
    let (key, secret) = credentials.create_api_key(&OPERATOR, *tenant, new(&[Scope::Admin])).await.unwrap();
    for process in [credentials, &other] {
        process.authenticate_bearer(secret.expose()).await.unwrap();
    }
    credentials.revoke(&OPERATOR, *tenant, key.id).await.unwrap();
    credentials.revoke(&OPERATOR, *tenant, key.id).await.unwrap();
    assert_eq!(credentials.authenticate_bearer(secret.expose()).await, Err(AuthError::Unknown));
    // Another process believes its cache for some seconds at most.
    house.clock.advance(Millis::from_secs(5));
    assert_eq!(other.authenticate_bearer(secret.expose()).await, Err(AuthError::Unknown));
    assert_eq!(credentials.api_keys(*tenant).await.unwrap()[0].revoked, Some(START));
    let nobody = KeyId::from_u128(7);
    assert!(
        matches!(credentials.revoke(&OPERATOR, *tenant, nobody).await, Err(CredentialError::UnknownKey(id)) if id == nobody)
    );
    let foreign = TenantId::from_u128(7);
    assert!(matches!(credentials.revoke(&OPERATOR, foreign, key.id).await, Err(CredentialError::UnknownKey(_))));
}

#[tokio::test]
async fn an_expired_key_is_refused_even_while_it_is_cached() {
    let House { credentials, tenant, clock, .. } = House::new().await;
    let expires = START + Millis(1_000);
    let (_, secret) = credentials
        .create_api_key(&OPERATOR, tenant, NewApiKey { expires: Some(expires), ..new(&[Scope::Admin]) })
        .await
        .unwrap();
    credentials.authenticate_bearer(secret.expose()).await.unwrap();
    clock.set(expires);
    assert_eq!(credentials.authenticate_bearer(secret.expose()).await, Err(AuthError::Expired(expires)));
}

#[tokio::test]
async fn a_busy_client_costs_one_read_in_some_seconds() {
    let House { credentials, tenant, clock, store, .. } = House::new().await;
    let (_, secret) = credentials.create_api_key(&OPERATOR, tenant, new(&[Scope::Admin])).await.unwrap();
    for _ in 0..100 {
        credentials.authenticate_bearer(secret.expose()).await.unwrap();
    }
    assert_eq!(store.lookups.load(Ordering::Relaxed), 1);
    clock.advance(Millis::from_secs(6));
    credentials.authenticate_bearer(secret.expose()).await.unwrap();
    assert_eq!(store.lookups.load(Ordering::Relaxed), 2);
}

#[tokio::test]
async fn the_store_never_sees_a_key_or_its_name() {
    let House { credentials, tenant, store, .. } = House::new().await;
    let (_, secret) = credentials.create_api_key(&OPERATOR, tenant, new(&[Scope::Admin])).await.unwrap();
    let stored = store.documents.lock().unwrap();
    for (_, document) in stored.iter() {
        let text = format!("{document:?} {}", String::from_utf8_lossy(&document.sealed));
        assert!(!text.contains("ledger") && !text.contains(&secret.expose()[3..]));
    }
}

#[tokio::test]
async fn a_document_under_another_handle_opens_nothing() {
    let House { credentials, tenant, store, .. } = House::new().await;
    credentials.create_api_key(&OPERATOR, tenant, new(&[Scope::Admin])).await.unwrap();
    let (_, weak) = credentials.create_api_key(&OPERATOR, tenant, new(&[Scope::FilesRead])).await.unwrap();
    {
        // Somebody who can write to the database exchanges the handles of the two.
        let mut documents = store.documents.lock().unwrap();
        let handles = [documents[0].1.handle.clone(), documents[1].1.handle.clone()];
        documents[0].1.handle = handles[1].clone();
        documents[1].1.handle = handles[0].clone();
    }
    assert_eq!(credentials.authenticate_bearer(weak.expose()).await, Err(AuthError::Unknown));
}

#[tokio::test]
async fn a_supplied_key_is_created_once_and_never_comes_back() {
    let house = House::new().await;
    let House { credentials, tenant, .. } = &house;
    let value = Secret::new("correct-horse-battery");
    let Bootstrapped::Created(key) = credentials.bootstrap_api_key(*tenant, &value).await.unwrap() else {
        panic!("the first start creates it")
    };
    assert!(credentials.authenticate_bearer(value.expose()).await.unwrap().may(Scope::Admin));
    assert_eq!(credentials.bootstrap_api_key(*tenant, &value).await.unwrap(), Bootstrapped::Kept(key.clone()));
    let second = Secret::new("another-value-of-a-later-start");
    assert_eq!(credentials.bootstrap_api_key(*tenant, &second).await.unwrap(), Bootstrapped::Ignored);

    credentials.revoke(&OPERATOR, *tenant, key.id).await.unwrap();
    credentials.bootstrap_api_key(*tenant, &value).await.unwrap();
    assert_eq!(credentials.authenticate_bearer(value.expose()).await, Err(AuthError::Unknown));
    for bad in ["short", "has a space in the middle", "ends-with-newline\n", "kein-ASCII-schlüssel", &"x".repeat(257)]
    {
        let result = credentials.bootstrap_api_key(*tenant, &Secret::new(bad)).await;
        assert!(matches!(result, Err(CredentialError::Supplied)), "{bad}");
    }
}

#[tokio::test]
async fn what_is_wrong_with_a_new_key_is_named() {
    let House { credentials, tenant, .. } = House::new().await;
    let create =
        async |new: NewApiKey| credentials.create_api_key(&OPERATOR, tenant, new).await.unwrap_err().to_string();
    for name in ["", "  ", "a\nb", &"x".repeat(129)] {
        assert!(create(NewApiKey { name: name.into(), ..new(&[Scope::Admin]) }).await.starts_with("`name` must"));
    }
    assert!(create(new(&[])).await.starts_with("`scopes` is empty"));
    let past = NewApiKey { expires: Some(START), ..new(&[Scope::Admin]) };
    assert!(create(past).await.starts_with("`expires` lies in the past"));
    let foreign = credentials.create_api_key(&OPERATOR, TenantId::from_u128(3), new(&[Scope::Admin])).await;
    assert!(matches!(foreign, Err(CredentialError::UnknownTenant(_))));
}

#[tokio::test]
async fn the_tenant_is_made_once_and_a_foreign_key_file_is_noticed_at_the_start() {
    let house = House::new().await;
    assert_eq!(house.another_process().bootstrap_tenant().await.unwrap().id, house.tenant);
    let folder = tempfile::tempdir().unwrap();
    let lost: Credentials = common::credentials(&folder, house.store.clone(), house.clock.clone());
    assert!(matches!(lost.bootstrap_tenant().await, Err(CredentialError::ForeignKeyFile)));
}

#[tokio::test]
async fn a_broken_store_is_not_the_clients_fault() {
    let House { credentials, tenant, store, .. } = House::new().await;
    let (_, secret) = credentials.create_api_key(&OPERATOR, tenant, new(&[Scope::Admin])).await.unwrap();
    store.broken.store(true, Ordering::Relaxed);
    assert!(matches!(credentials.authenticate_bearer(secret.expose()).await, Err(AuthError::Unavailable(_))));
}

#[tokio::test]
async fn lists_go_on_past_one_page_of_the_store() {
    let House { credentials, tenant, .. } = House::new().await;
    let credentials = Arc::new(credentials);
    let (first, _) = credentials.create_api_key(&OPERATOR, tenant, new(&[Scope::Admin])).await.unwrap();
    for _ in 0..250 {
        credentials.create_api_key(&OPERATOR, tenant, new(&[Scope::FilesRead])).await.unwrap();
    }
    let all = credentials.api_keys(tenant).await.unwrap();
    assert_eq!(all.len(), 251);
    assert!(all.iter().any(|key| key.id == first.id && key.expires.is_none_or(|at: Timestamp| at > START)));
}
