//! What a connector is at the door: the one that policy saw is the one that the hand is given.

#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "tests")]

use bailiwick_core::{
    Action, AgentConfig, ConnectorSpec, ConnectorUse, Content, EnvironmentSpec, Label, Limits, Remit,
    connector::{ConnectorKind, ConnectorSource, CredentialChoice},
    model::{Reasoning, TextOptions},
    record::{Input, InputEnvelope, SessionCreated, UserMessage},
    session::{Ask, Bounds, Mint, Plan, State, plan},
};
use bailiwick_gate::{Administrator, Batch, Decision, Gate, Journal, NewConnector, NewSession, Release};
use bailiwick_ports::{
    Around, Clock, Fronted, Keys, Policy, PolicyRequest, Store, StoreError, Verdict,
    store::{Submission, Tenant},
};
use bailiwick_testkit::{clock::ManualClock, keys::PlainKeys, store::MemoryStore};
use bailiwick_types::{
    ActionId, AgentId, ConnectorId, ItemId, NodeId, Principal, SessionId, TenantId, Timestamp, UserId,
};
use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
};

const START: Timestamp = Timestamp::from_millis(1_795_219_200_000);
const TENANT: TenantId = TenantId::from_u128(1);
const ADA: Principal = Principal::User { id: UserId::from_u128(10) };

/// Allows everything, and keeps the hosts that it was told of.
#[derive(Default)]
struct Rules(Mutex<Vec<String>>);

impl Policy for Rules {
    fn version(&self, _: TenantId) -> u64 {
        1
    }

    fn decide(&self, request: &PolicyRequest<'_>) -> Verdict {
        let host = request.connector.and_then(|connector| connector.spec.host.clone());
        self.0.lock().unwrap().extend(host);
        Verdict::allow("anything")
    }
}

fn crm(host: &str, at: Timestamp) -> NewConnector {
    let spec = ConnectorSpec {
        kind: ConnectorKind::Mcp,
        settings: serde_json::Value::Null,
        host: Some(host.into()),
        credential: CredentialChoice::None,
        inside: false,
        label: Label::foreign(),
        effects: BTreeMap::new(),
        dialect: None,
    };
    let id = ConnectorId::from_u128(5);
    NewConnector {
        id,
        name: "crm".into(),
        description: String::new(),
        published: false,
        spec,
        by: ADA,
        at,
        reason: None,
    }
}

/// While the decision is on its way to disk, an administrator points the connector elsewhere.
struct Meanwhile {
    armed: Arc<AtomicBool>,
    gate: Arc<OnceLock<Gate>>,
    administration: Administrator,
    at: Timestamp,
}

impl Around for Meanwhile {
    async fn write<T: Send>(
        &self,
        records: Option<u64>,
        write: impl Future<Output = Result<T, StoreError>> + Send,
    ) -> Result<T, StoreError> {
        let done = write.await;
        if records.is_some() && self.armed.swap(false, Ordering::SeqCst) {
            let connectors = self.gate.get().unwrap().connectors();
            connectors.apply(&self.administration, TENANT, crm("elsewhere.example", self.at)).await.unwrap();
        }
        done
    }
}

fn created() -> SessionCreated {
    let crm = ConnectorUse {
        label: "crm".into(),
        source: ConnectorSource::Kept { name: "crm".into() },
        allowed_tools: None,
        required: false,
        credential: None,
        deferred: false,
        from_environment: false,
    };
    let agent = AgentConfig {
        id: AgentId::from_u128(4),
        version: 1,
        name: None,
        model: "main".into(),
        instructions: None,
        tools: Vec::new(),
        tool_search: false,
        memory: None,
        connectors: vec![crm],
        reasoning: Reasoning::default(),
        text: TextOptions::default(),
        service_tier: "auto".into(),
        remit: Remit::default(),
        limits: Limits::default(),
    };
    SessionCreated {
        agent,
        environment: EnvironmentSpec::None,
        metadata: BTreeMap::new(),
        creator: ADA,
        spend_limit: None,
        auto_review: false,
        label: Label::default(),
        vaults: Vec::new(),
    }
}

#[tokio::test]
async fn the_hand_gets_the_connector_that_policy_saw_though_it_was_changed_meanwhile() {
    let clock = ManualClock::new(START);
    let plain = MemoryStore::new(Arc::new(clock.clone()));
    let (key, _) = PlainKeys.create(TENANT, TENANT.into());
    plain.put_tenant(Tenant { id: TENANT, name: "test".into(), key }).await.unwrap();
    let administration = || Administrator::new(Arc::new(plain.clone()), Arc::new(PlainKeys), Arc::new(clock.clone()));
    let (armed, gate, rules) =
        (Arc::<AtomicBool>::default(), Arc::<OnceLock<Gate>>::default(), Arc::<Rules>::default());
    let around =
        Meanwhile { armed: armed.clone(), gate: gate.clone(), administration: administration(), at: clock.now() };
    let store: Arc<dyn Store> = Arc::new(Fronted::new(Arc::new(plain.clone()), around));
    let door = Gate::new(store.clone(), Arc::new(PlainKeys), rules.clone(), Arc::new(clock.clone()));
    let door = gate.get_or_init(|| door);
    door.connectors().apply(&administration(), TENANT, crm("crm.example", START)).await.unwrap();

    let session = SessionId::new(START, [1; 10]);
    let new = NewSession { tenant: TENANT, session, created: created(), input: None, idempotency: None };
    door.create(new).await.unwrap();
    let mut lease = door.open(session, NodeId::from_u128(1)).await.unwrap().unwrap();
    let key = store.head(session.into()).await.unwrap().unwrap().key;
    let journal = Journal::open(&PlainKeys, TENANT, session.into(), &key).unwrap();
    let message = UserMessage { item: ItemId::new(START, [2; 10]), content: vec![Content::text("Go.")] };
    let input = InputEnvelope { orderer: ADA, input: Input::Message { messages: vec![message] } };
    let inputs = vec![journal.seal_input(&input)];
    store.submit(Submission { tenant: TENANT, stream: session.into(), inputs, idempotency: None }).await.unwrap();

    let mut asked = false;
    let mut mint = Mint::new(START, [3; 10]);
    let mut next = |state: &State| match (state.turn_id(), asked) {
        (Some(turn), false) => {
            asked = true;
            armed.store(true, Ordering::SeqCst);
            let open = Action::ConnectorOpen { connector: "crm".into(), environment: None };
            Plan { asks: vec![Ask::new(ActionId::new(START, [4; 10]), turn, None, open)], ..Plan::default() }
        }
        (Some(_), true) => Plan::default(),
        _ => plan(state, Bounds::new(1000), &mut mint),
    };
    let batch = Batch {
        settled: Vec::new(),
        take_inputs: true,
        resume: Vec::new(),
        plan: &mut next,
        release: Release::WhenIdle,
    };
    let decisions = door.commit(&mut lease, batch).await.unwrap().decisions;

    let now = door.connectors().find(TENANT, "crm").await.unwrap().unwrap();
    assert_eq!(now.spec.host.as_deref(), Some("elsewhere.example"), "it was changed before the permit was made");
    assert_eq!(*rules.0.lock().unwrap(), ["crm.example"]);
    let permits = decisions.into_iter().filter_map(|decision| match decision {
        Decision::Permitted(permit) => Some(permit.access().unwrap().spec.host.clone().unwrap()),
        _ => None,
    });
    assert_eq!(permits.collect::<Vec<_>>(), ["crm.example"]);
}
