//! A session behind a real gate over a store in memory: actions are asked for, permitted, performed and settled, and a
//! crash is whatever was not committed.

use super::{RealClock, RealTasks};
use bailiwick_core::{
    Action, AgentConfig, Content, EnvironmentSpec, Outcome,
    record::{Input, InputEnvelope, SessionCreated, UserMessage},
    session::{Ask, Bounds, Mint, Plan, State, plan},
};
use bailiwick_environments::{Environments, ListeningExecutor, Options};
use bailiwick_gate::{Archive, Batch, Decision, Executor, Gate, Lease, Live, NewSession, Permit, Release, Settled};
use bailiwick_ports::{Clock, Keys, Objects, Policy, PolicyRequest, Store, Verdict, store::Tenant};
use bailiwick_testkit::{
    keys::PlainKeys,
    random::SeededRandom,
    store::{MemoryObjects, MemoryStore},
};
use bailiwick_types::{ActionId, EnvironmentId, ItemId, KeyId, Millis, NodeId, Principal, SessionId, TenantId};
use std::{
    collections::BTreeMap,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
};

struct AllowAll;

impl Policy for AllowAll {
    fn version(&self, _tenant: bailiwick_types::TenantId) -> u64 {
        1
    }

    fn decide(&self, _: &PolicyRequest<'_>) -> Verdict {
        Verdict::allow("test")
    }
}

/// What outlives a crash.
pub struct Durable {
    store: Arc<dyn Store>,
    pub archive: Archive,
    gate: Gate,
    pub session: SessionId,
    pub tenant: TenantId,
    node: NodeId,
    clock: Arc<dyn Clock>,
}

/// A process that drives the session.
pub struct Session {
    pub durable: Arc<Durable>,
    lease: Lease,
    pub environments: Environments,
    count: AtomicU8,
    settled: Vec<Settled>,
}

pub fn id_bytes(n: u8) -> [u8; 10] {
    [n; 10]
}

pub fn environment_id() -> EnvironmentId {
    EnvironmentId::new(RealClock.now(), id_bytes(7))
}

pub fn options(folder: &Path, archive: Archive, executors: BTreeMap<String, ListeningExecutor>) -> Options {
    Options {
        sandboxes: folder.join("sandboxes"),
        program: std::env::current_exe().unwrap(),
        max_sandboxes: 4,
        idle_limit: Millis::from_secs(3600),
        executors,
        archive,
        clock: Arc::new(RealClock),
        random: Arc::new(SeededRandom::new(7)),
        tasks: Arc::new(RealTasks),
        patience: super::tools().patience,
    }
}

impl Durable {
    pub async fn begin(environment: EnvironmentSpec) -> Arc<Self> {
        Self::begin_at(environment, Arc::new(RealClock)).await
    }

    pub async fn begin_at(environment: EnvironmentSpec, clock: Arc<dyn Clock>) -> Arc<Self> {
        let store: Arc<dyn Store> = Arc::new(MemoryStore::new(Arc::clone(&clock)));
        let keys: Arc<dyn Keys> = Arc::new(PlainKeys);
        let objects: Arc<dyn Objects> = Arc::new(MemoryObjects::default());
        let now = clock.now();
        let (tenant, session) = (TenantId::new(now, id_bytes(1)), SessionId::new(now, id_bytes(2)));
        let (key, _) = keys.create(tenant, tenant.into());
        store.put_tenant(Tenant { id: tenant, name: "test".to_owned(), key }).await.unwrap();
        let gate = Gate::new(Arc::clone(&store), Arc::clone(&keys), Arc::new(AllowAll), Arc::clone(&clock));
        let agent: AgentConfig = serde_json::from_value(serde_json::json!({
            "id": bailiwick_types::AgentId::new(now, id_bytes(3)), "version": 1, "model": "main",
        }))
        .unwrap();
        let orderer = Principal::Service { key: KeyId::from_u128(1) };
        let created = SessionCreated {
            agent,
            environment,
            metadata: BTreeMap::new(),
            creator: orderer.clone(),
            spend_limit: None,
            auto_review: false,
            label: Default::default(),
            vaults: Vec::new(),
        };
        let message = UserMessage { item: ItemId::new(now, id_bytes(4)), content: vec![Content::text("go")] };
        let input = Some(InputEnvelope { orderer, input: Input::Message { messages: vec![message] } });
        gate.create(NewSession { tenant, session, created, input, idempotency: None }).await.unwrap();
        let archive = Archive::new(Arc::clone(&store), keys, objects);
        Arc::new(Self { store, archive, gate, session, tenant, node: NodeId::new(now, id_bytes(5)), clock })
    }
}

impl Session {
    pub async fn drive(durable: &Arc<Durable>, environments: Environments) -> Self {
        durable.store.release_node(durable.node).await.unwrap();
        let lease = durable.gate.open(durable.session, durable.node).await.unwrap().expect("the lease is free");
        let count = AtomicU8::new(RealClock.now().as_millis() as u8);
        let mut session = Self { durable: Arc::clone(durable), lease, environments, count, settled: Vec::new() };
        // Takes the message in and begins the turn.
        session.commit(Vec::new(), Vec::new()).await;
        session
    }

    /// One commit: outcomes so far, and what is to be asked for or gone on with.
    async fn commit(&mut self, asks: Vec<(ActionId, Action)>, resume: Vec<ActionId>) -> Vec<Decision> {
        let mut asks = Some(asks);
        let now = self.durable.clock.now();
        let mut next = |state: &State| match state.turn_id() {
            None => plan(state, Bounds::new(100_000), &mut Mint::new(now, id_bytes(9))),
            Some(turn) => {
                let asks = asks.take().unwrap_or_default();
                let asks = asks.into_iter().map(|(id, action)| Ask::new(id, turn, None, action));
                Plan { asks: asks.collect(), ..Plan::default() }
            }
        };
        let batch = Batch {
            settled: std::mem::take(&mut self.settled),
            take_inputs: true,
            resume,
            plan: &mut next,
            release: Release::WhenIdle,
        };
        self.durable.gate.commit(&mut self.lease, batch).await.unwrap().decisions
    }

    pub fn new_id(&self) -> ActionId {
        ActionId::new(self.durable.clock.now(), id_bytes(self.count.fetch_add(1, Ordering::Relaxed)))
    }

    /// Asks for an action and gives the permit.
    pub async fn permit(&mut self, id: ActionId, action: Action) -> Permit {
        permit(self.commit(vec![(id, action)], Vec::new()).await)
    }

    /// Goes on with an action that a crash left open.
    pub async fn resume(&mut self, id: ActionId) -> Outcome {
        let permit = permit(self.commit(Vec::new(), vec![id]).await);
        self.perform_permit(permit, Live::unwatched()).await
    }

    pub async fn perform_permit(&mut self, permit: Permit, live: Live) -> Outcome {
        let settled = self.environments.perform(permit, live).await;
        let outcome = settled.outcome().clone();
        self.settled.push(settled);
        outcome
    }

    /// The whole way of one action.
    pub async fn perform(&mut self, action: Action) -> Outcome {
        let permit = self.permit(self.new_id(), action).await;
        self.perform_permit(permit, Live::unwatched()).await
    }
}

fn permit(decisions: Vec<Decision>) -> Permit {
    match decisions.into_iter().next() {
        Some(Decision::Permitted(permit)) => permit,
        other => panic!("no permit: {other:?}"),
    }
}
