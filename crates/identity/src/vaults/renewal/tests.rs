//! A server that gives another refresh token each time and takes one that comes twice for stolen, and everything that
//! may come between its answer and the disk.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests")]

use super::*;
use crate::{OsRandom, WebAnswer, WebRequest};
use async_trait::async_trait;
use bailiwick_gate::Administrator;
use bailiwick_ports::{
    BoxFuture, Clock, Keys, Store, TaskHandle, VaultDesk,
    store::Tenant,
    vault::{McpOauth, NewCredential, NewVault, Server, VaultOwner},
};
use bailiwick_testkit::{
    clock::ManualClock,
    keys::PlainKeys,
    store::{Faults, MemoryStore, When},
};
use std::{
    future::poll_fn,
    sync::atomic::{AtomicU32, Ordering},
    task::Poll,
};

const START: Timestamp = Timestamp::from_millis(1_795_260_645_000);
const TENANT: TenantId = TenantId::from_u128(1);

/// The number of the refresh token that is good; 0 when one came twice.
struct Rotating(AtomicU32);

#[async_trait]
impl Web for Rotating {
    async fn fetch(&self, request: WebRequest) -> Result<WebAnswer, String> {
        let good = self.0.load(Ordering::Relaxed);
        let form = request.form.unwrap().expose().to_owned();
        if !form.contains(&format!("refresh_token=rt-{good}&")) {
            self.0.store(0, Ordering::Relaxed);
            return Ok(WebAnswer { status: 400, nonce: None, body: br#"{"error": "invalid_grant"}"#.to_vec() });
        }
        self.0.store(good + 1, Ordering::Relaxed);
        // The answer is given, and on its way.
        tokio::task::yield_now().await;
        let body = format!(r#"{{"access_token": "at-{good}", "refresh_token": "rt-{}", "expires_in": 600}}"#, good + 1);
        Ok(WebAnswer { status: 200, nonce: None, body: body.into_bytes() })
    }
}

struct Spawned;

impl Tasks for Spawned {
    fn spawn(&self, _: &'static str, work: BoxFuture<'static, ()>) -> TaskHandle {
        let handle = tokio::spawn(work).abort_handle();
        TaskHandle::new(move || handle.abort())
    }
}

struct House {
    room: Arc<Strongroom>,
    server: Arc<Rotating>,
    clock: ManualClock,
    faults: Faults,
    credential: CredentialId,
}

impl House {
    /// With a credential whose access token has ended.
    async fn new() -> Self {
        let clock = ManualClock::new(START);
        let memory = MemoryStore::new(Arc::new(clock.clone()));
        let faults = memory.faults();
        let store: Arc<dyn Store> = Arc::new(memory);
        let keys: Arc<dyn Keys> = Arc::new(PlainKeys);
        let (key, _) = keys.create(TENANT, TENANT.into());
        store.put_tenant(Tenant { id: TENANT, name: "t".into(), key }).await.unwrap();
        let ticking: Arc<dyn Clock> = Arc::new(clock.clone());
        let administration = Arc::new(Administrator::new(store.clone(), keys.clone(), ticking.clone()));
        let room = Strongroom::load(store, keys, administration, ticking, Arc::new(OsRandom)).await.unwrap();
        let server = Arc::new(Rotating(AtomicU32::new(1)));
        let room = room.with_web(server.clone(), Arc::new(Spawned));
        let author = || Author { tenant: TENANT, by: Principal::Operator, reason: None };
        let new = NewVault { owner: VaultOwner::Shared, name: None, metadata: Default::default() };
        let vault = room.create_vault(author(), new).await.unwrap().id;
        let refresh = OauthRefresh {
            client_id: "us".into(),
            token_endpoint: "https://id.example/token".into(),
            client_auth: ClientAuth::None,
            scope: None,
            resource: None,
            binds: false,
        };
        let server_of = Server { url: "https://mcp.example".into(), host: "mcp.example".into() };
        let auth =
            Auth::McpOauth(McpOauth { server: server_of, expires: Some(START), refresh: Some(refresh), bound: false });
        let (value, refresh_token) = (Some(Secret::new("at-0")), Some(Secret::new("rt-1")));
        let secrets = Secrets { value, refresh_token, ..Secrets::default() };
        let new = NewCredential { name: "mcp".into(), auth, secrets, metadata: Default::default() };
        let credential = room.create_credential(author(), vault, new).await.unwrap().id;
        Self { room, server, clock, faults, credential }
    }

    /// The access token that a call would be given.
    async fn value(&self) -> Result<String, RevealError> {
        let entry = self.room.stored(TENANT, self.credential).await?.unwrap();
        let entry = self.room.fresh(TENANT, self.credential, entry).await?;
        let secrets = self.room.secrets(TENANT, self.credential, &entry).await?;
        Ok(secrets.value.unwrap().expose().to_owned())
    }

    fn good(&self) -> u32 {
        self.server.0.load(Ordering::Relaxed)
    }
}

#[tokio::test]
async fn whoever_leaves_while_the_answer_is_on_its_way_does_not_lose_it() {
    let house = House::new().await;
    let mut leaving = Box::pin(house.value());
    while house.good() == 1 {
        assert!(poll_fn(|context| Poll::Ready(leaving.as_mut().poll(context))).await.is_pending());
        if house.good() == 1 {
            tokio::task::yield_now().await;
        }
    }
    drop(leaving);
    assert_eq!(house.value().await.unwrap(), "at-1", "what was given is kept");
    assert_eq!(house.good(), 2, "and was asked for once");
    house.clock.advance(Millis::from_secs(600));
    assert_eq!(house.value().await.unwrap(), "at-2", "the new refresh token is shown");
}

#[tokio::test]
async fn a_store_that_is_away_for_a_moment_does_not_lose_what_was_given() {
    for when in [When::Before, When::After] {
        let house = House::new().await;
        house.faults.crash_after(1, when);
        assert_eq!(house.value().await.unwrap(), "at-1", "{when:?}");
        house.clock.advance(Millis::from_secs(600));
        assert_eq!(house.value().await.unwrap(), "at-2", "{when:?}");
    }
}

#[tokio::test]
async fn a_store_that_stays_away_is_tried_for_a_while_and_no_longer() {
    let house = House::new().await;
    (1..100).for_each(|write| house.faults.crash_after(write, When::Before));
    let before = house.faults.writes();
    let waiting = async {
        loop {
            let until = house.clock.next_wake().await;
            house.clock.advance_to(until);
        }
    };
    let value = tokio::select! { value = house.value() => value, () = waiting => unreachable!() };
    assert!(matches!(value, Err(RevealError::Unavailable(_))), "{value:?}");
    assert_eq!(house.faults.writes() - before, 8);
    assert_eq!(house.clock.now(), START + Millis::from_secs(31) + Millis(500));
}
