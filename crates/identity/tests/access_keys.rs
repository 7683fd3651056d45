//! Access keys, from outside: a signed request is known, a bound key opens one environment, revoking works at once.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test may panic, and makes its own files")]

mod common;

use aws_lc_rs::{
    digest::{SHA256, digest},
    hmac,
};
use bailiwick_identity::{CredentialError, NewAccessKey};
use bailiwick_ports::{AuthError, Authenticator, Caller, RequestParts, Scope};
use bailiwick_types::{EnvironmentId, Millis, Principal, Secret};
use common::{House, OPERATOR, START};

const OWN: EnvironmentId = EnvironmentId::from_u128(1);
const DATE: &str = "20261121T113045Z";

fn new(scopes: &[Scope], environment: Option<EnvironmentId>) -> NewAccessKey {
    NewAccessKey { name: "executor".into(), scopes: scopes.to_vec(), expires: None, environment }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A smallest signer, written apart from the verifier: no query, two headers.
fn authorization(id: &str, secret: &str, method: &str, path: &str, body: &[u8]) -> String {
    let canonical = format!(
        "{method}\n{path}\n\nhost:bailiwick.test\nx-amz-date:{DATE}\n\nhost;x-amz-date\n{}",
        hex(digest(&SHA256, body).as_ref())
    );
    let scope = "20261121/eu-central-1/bedrock-mantle/aws4_request";
    let to_sign = format!("AWS4-HMAC-SHA256\n{DATE}\n{scope}\n{}", hex(digest(&SHA256, canonical.as_bytes()).as_ref()));
    let mut key = format!("AWS4{secret}").into_bytes();
    for part in scope.split('/').chain([to_sign.as_str()]) {
        key = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &key), part.as_bytes()).as_ref().to_vec();
    }
    format!("AWS4-HMAC-SHA256 Credential={id}/{scope}, SignedHeaders=host;x-amz-date, Signature={}", hex(&key))
}

async fn send(service: &impl Authenticator, id: &str, secret: &Secret) -> Result<Caller, AuthError> {
    let body = br#"{"transport":"direct_jsonrpc_v1"}"#;
    let path = "/cloud/environment/env_1/direct/register";
    let authorization = authorization(id, secret.expose(), "POST", path, body);
    let headers = [
        ("host", &b"bailiwick.test"[..]),
        ("x-amz-date", DATE.as_bytes()),
        ("authorization", authorization.as_bytes()),
    ];
    let mut body_sha256 = [0; 32];
    body_sha256.copy_from_slice(digest(&SHA256, body).as_ref());
    service.authenticate_sigv4(&RequestParts { method: "POST", path, query: "", headers: &headers, body_sha256 }).await
}

#[tokio::test]
async fn a_signed_request_is_known_by_its_key() {
    let House { credentials, tenant, .. } = House::new().await;
    let (key, secret) =
        credentials.create_access_key(&OPERATOR, tenant, new(&[Scope::SessionsWrite], None)).await.unwrap();
    assert_eq!((key.access_key_id.len(), secret.expose().len()), (20, 40));
    let caller = send(&credentials, &key.access_key_id, &secret).await.unwrap();
    assert_eq!((caller.tenant, &caller.principal), (tenant, &Principal::Service { key: key.id }));
    assert!(caller.may(Scope::SessionsWrite) && !caller.may(Scope::SessionsRead));
    assert_eq!(credentials.access_keys(tenant).await.unwrap(), [key]);
}

#[tokio::test]
async fn a_bound_key_connects_to_its_environment_and_nothing_else() {
    let House { credentials, tenant, .. } = House::new().await;
    let (key, secret) = credentials.create_access_key(&OPERATOR, tenant, new(&[], Some(OWN))).await.unwrap();
    let caller = send(&credentials, &key.access_key_id, &secret).await.unwrap();
    assert!(caller.may_connect(OWN) && !caller.may_connect(EnvironmentId::from_u128(2)));
    for scope in Scope::ALL.into_iter().filter(|scope| *scope != Scope::EnvironmentsConnect) {
        assert!(!caller.may(scope), "{scope}");
    }
    for scopes in [&[Scope::Admin][..], &[Scope::EnvironmentsConnect, Scope::FilesRead]] {
        let refused = credentials.create_access_key(&OPERATOR, tenant, new(scopes, Some(OWN))).await;
        assert!(matches!(refused, Err(CredentialError::BoundScopes)));
    }
    assert!(matches!(
        credentials.create_access_key(&OPERATOR, tenant, new(&[], None)).await,
        Err(CredentialError::NoScopes)
    ));
}

#[tokio::test]
async fn wrong_revoked_and_expired_keys_are_refused() {
    let house = House::new().await;
    let House { credentials, tenant, clock, .. } = &house;
    let (key, secret) = credentials.create_access_key(&OPERATOR, *tenant, new(&[Scope::Admin], None)).await.unwrap();
    let (other, other_secret) = credentials
        .create_access_key(
            &OPERATOR,
            *tenant,
            NewAccessKey { expires: Some(START + Millis(10)), ..new(&[Scope::Admin], None) },
        )
        .await
        .unwrap();
    let id = key.access_key_id.as_str();
    assert!(matches!(send(credentials, id, &other_secret).await, Err(AuthError::BadSignature(_))));
    for unknown in ["BWAKAAAAAAAAAAAAAAAA", "AKIDEXAMPLE", "bwak"] {
        assert_eq!(send(credentials, unknown, &secret).await, Err(AuthError::Unknown));
    }
    send(credentials, &other.access_key_id, &other_secret).await.unwrap();
    clock.advance(Millis(10));
    let expired = send(credentials, &other.access_key_id, &other_secret).await;
    assert_eq!(expired, Err(AuthError::Expired(START + Millis(10))));

    send(credentials, id, &secret).await.unwrap();
    credentials.revoke(&OPERATOR, *tenant, key.id).await.unwrap();
    assert_eq!(send(credentials, id, &secret).await, Err(AuthError::Unknown));
    let all = credentials.access_keys(*tenant).await.unwrap();
    assert_eq!(all.iter().find(|one| one.id == key.id).unwrap().revoked, Some(START + Millis(10)));
}

#[tokio::test]
async fn the_secret_is_sealed_and_the_id_is_no_bearer_token() {
    let House { credentials, tenant, store, .. } = House::new().await;
    let (key, secret) = credentials.create_access_key(&OPERATOR, tenant, new(&[Scope::Admin], None)).await.unwrap();
    for (_, document) in store.documents.lock().unwrap().iter() {
        assert!(!String::from_utf8_lossy(&document.sealed).contains(secret.expose()));
        assert!(!format!("{document:?}").contains(secret.expose()));
    }
    for token in [key.access_key_id.as_str(), secret.expose()] {
        assert!(credentials.authenticate_bearer(token).await.is_err());
    }
}

#[test]
fn the_digest_that_a_header_claims_is_read_strictly() {
    let claimed = |value: &str| RequestParts::claimed_body(&[("X-Amz-Content-Sha256", value.as_bytes())]);
    assert_eq!(claimed(&"0f".repeat(32)), Some([0x0f; 32]));
    for value in ["UNSIGNED-PAYLOAD", "", &"0f".repeat(31), &"+f".repeat(32)] {
        assert_eq!(claimed(value), None);
    }
    assert_eq!(RequestParts::claimed_body(&[]), None);
}
