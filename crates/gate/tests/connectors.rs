//! What a connector is at the door: the one that policy saw, and that people were asked about, is the one that the hand
//! is given, with a secret that is theirs to use.

#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "tests")]

use bailiwick_core::{
    Action, AgentConfig, Approver, ConnectorSpec, ConnectorUse, Content, EnvironmentSpec, Label, Limits, ModelCall,
    Purpose, Remit,
    connector::{ConnectorKind, ConnectorSource, CredentialChoice},
    model::{Reasoning, TextOptions},
    record::{Input, InputEnvelope, SessionCreated, UserMessage},
    session::{Ask, Bounds, Mint, Plan, State, plan},
};
use bailiwick_gate::{Administrator, Batch, Decision, Gate, Journal, Lease, NewConnector, NewSession, Release};
use bailiwick_ports::{
    Around, Clock, Fronted, Keys, Policy, PolicyRequest, Store, StoreError, Vaults, Verdict,
    store::{Submission, Tenant},
    vault::{Auth, Credential, NoVaults, Server, VaultOwner},
};
use bailiwick_testkit::{clock::ManualClock, keys::PlainKeys, store::MemoryStore};
use bailiwick_types::{
    ActionId, AgentId, ConnectorId, CredentialId, ItemId, NodeId, Principal, SessionId, TenantId, Timestamp, UserId,
    VaultId,
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
const ACTION: ActionId = ActionId::from_u128(44);
const CREDENTIAL: CredentialId = CredentialId::from_u128(7);

/// Allows everything, where it should only after somebody's word, and keeps the hosts that it was told of.
#[derive(Default)]
struct Rules {
    hosts: Mutex<Vec<String>>,
    asks: bool,
}

impl Policy for Rules {
    fn version(&self, _: TenantId) -> u64 {
        1
    }

    fn decide(&self, request: &PolicyRequest<'_>) -> Verdict {
        let host = request.connector.and_then(|connector| connector.spec.host.clone());
        self.hosts.lock().unwrap().extend(host);
        if self.asks && !request.approved {
            return Verdict::Ask { rule: "ask".into(), reason: "it is new".into(), approver: Approver::Person };
        }
        Verdict::allow("anything")
    }
}

/// One vault with one credential, whosever it is.
struct OneVault(VaultOwner);

impl Vaults for OneVault {
    fn credential(&self, _: TenantId, id: CredentialId) -> Option<Arc<Credential>> {
        let server = Server { url: "https://crm.example/mcp".into(), host: "crm.example".into() };
        let credential = Credential {
            id: CREDENTIAL,
            vault: VaultId::from_u128(8),
            owner: self.0,
            name: "crm".into(),
            auth: Auth::StaticBearer { server },
            metadata: BTreeMap::new(),
            created: START,
            updated: START,
        };
        (id == CREDENTIAL).then(|| Arc::new(credential))
    }

    fn find(&self, _: TenantId, _: &str, _: &[VaultId]) -> Option<Arc<Credential>> {
        None
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
        skills: Vec::new(),
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

/// A session of Ada's, whose turn has begun, behind a door of the test's own.
struct House {
    store: Arc<dyn Store>,
    door: Arc<OnceLock<Gate>>,
    lease: Lease,
    journal: Journal,
    administration: Administrator,
    armed: Arc<AtomicBool>,
}

impl House {
    async fn new(rules: Arc<Rules>, vaults: Arc<dyn Vaults>, created: SessionCreated) -> Self {
        let clock = ManualClock::new(START);
        let plain = MemoryStore::new(Arc::new(clock.clone()));
        let (key, _) = PlainKeys.create(TENANT, TENANT.into());
        plain.put_tenant(Tenant { id: TENANT, name: "test".into(), key }).await.unwrap();
        let administration =
            || Administrator::new(Arc::new(plain.clone()), Arc::new(PlainKeys), Arc::new(clock.clone()));
        let (armed, door) = (Arc::<AtomicBool>::default(), Arc::<OnceLock<Gate>>::default());
        let around =
            Meanwhile { armed: armed.clone(), gate: door.clone(), administration: administration(), at: clock.now() };
        let store: Arc<dyn Store> = Arc::new(Fronted::new(Arc::new(plain.clone()), around));
        let made = Gate::new(store.clone(), Arc::new(PlainKeys), rules, Arc::new(clock.clone())).with_vaults(vaults);
        let gate = door.get_or_init(|| made);
        gate.connectors().apply(&administration(), TENANT, crm("crm.example", START)).await.unwrap();
        let session = SessionId::new(START, [1; 10]);
        gate.create(NewSession { tenant: TENANT, session, created, input: None, idempotency: None }).await.unwrap();
        let lease = gate.open(session, NodeId::from_u128(1)).await.unwrap().unwrap();
        let key = store.head(session.into()).await.unwrap().unwrap().key;
        let journal = Journal::open(&PlainKeys, TENANT, session.into(), &key).unwrap();
        let mut house = Self { store, door, lease, journal, administration: administration(), armed };
        let message = UserMessage { item: ItemId::new(START, [2; 10]), content: vec![Content::text("Go.")] };
        house.input(Input::Message { messages: vec![message] }).await;
        house
    }

    fn gate(&self) -> &Gate {
        self.door.get().unwrap()
    }

    async fn point_at(&self, host: &str) {
        self.gate().connectors().apply(&self.administration, TENANT, crm(host, START)).await.unwrap();
    }

    async fn input(&mut self, input: Input) {
        let inputs = vec![self.journal.seal_input(&InputEnvelope { orderer: ADA, input })];
        let stream = self.journal.session().into();
        self.store.submit(Submission { tenant: TENANT, stream, inputs, idempotency: None }).await.unwrap();
    }

    /// What becomes of what waits, and of `wanted`.
    async fn commit(&mut self, wanted: Option<Action>) -> Vec<Decision> {
        let mut wanted = wanted;
        let (mut mint, mut again) = (Mint::new(START, [3; 10]), true);
        let mut next = |state: &State| match (state.turn_id(), wanted.take()) {
            (Some(turn), Some(action)) => {
                again = false;
                Plan { asks: vec![Ask::new(ACTION, turn, None, action)], ..Plan::default() }
            }
            (None, back) => {
                wanted = back;
                plan(state, Bounds::new(1000), &mut mint)
            }
            (Some(_), None) if again => {
                again = false;
                let plan = plan(state, Bounds::new(1000), &mut mint);
                let asks = plan.asks.into_iter().filter(|ask| ask.id == ACTION).collect();
                Plan { asks, ..Plan::default() }
            }
            (Some(_), None) => Plan::default(),
        };
        let batch = Batch {
            settled: Vec::new(),
            take_inputs: true,
            resume: Vec::new(),
            plan: &mut next,
            release: Release::WhenIdle,
        };
        let gate = self.door.get().unwrap();
        gate.commit(&mut self.lease, batch).await.unwrap().decisions
    }
}

fn opening() -> Action {
    Action::ConnectorOpen { connector: "crm".into(), environment: None }
}

/// The hosts that permits lead to.
fn permitted(decisions: Vec<Decision>) -> Vec<String> {
    let host = |decision| match decision {
        Decision::Permitted(permit) => permit.access().unwrap().spec.host.clone(),
        _ => None,
    };
    decisions.into_iter().filter_map(host).collect()
}

#[tokio::test]
async fn the_hand_gets_the_connector_that_policy_saw_though_it_was_changed_meanwhile() {
    let rules = Arc::new(Rules::default());
    let mut house = House::new(rules.clone(), Arc::new(NoVaults), created()).await;
    house.armed.store(true, Ordering::SeqCst);
    let decisions = house.commit(Some(opening())).await;
    let now = house.gate().connectors().find(TENANT, "crm").await.unwrap().unwrap();
    assert_eq!(now.spec.host.as_deref(), Some("elsewhere.example"), "it was changed before the permit was made");
    assert_eq!(*rules.hosts.lock().unwrap(), ["crm.example"]);
    assert_eq!(permitted(decisions), ["crm.example"]);
}

#[tokio::test]
async fn a_yes_is_about_the_system_that_was_shown_and_about_no_other_one_of_that_name() {
    for (moved, expected) in [(None, vec!["crm.example"]), (Some("elsewhere.example"), vec![])] {
        let rules = Arc::new(Rules { asks: true, ..Rules::default() });
        let mut house = House::new(rules, Arc::new(NoVaults), created()).await;
        let decisions = house.commit(Some(opening())).await;
        assert!(matches!(decisions[..], [Decision::Asked(ACTION)]), "{decisions:?}");
        if let Some(host) = moved {
            house.point_at(host).await;
        }
        house.input(Input::Answer { action: ACTION, approve: true, reason: None, replies: None }).await;
        let decisions = house.commit(None).await;
        assert_eq!(decisions.len(), 1, "{decisions:?}");
        assert_eq!(permitted(decisions), expected);
    }
}

#[tokio::test]
async fn a_credential_that_an_agents_author_names_is_one_that_its_person_may_use() {
    let somebody = VaultOwner::User { id: UserId::from_u128(99) };
    let Principal::User { id } = ADA else { unreachable!() };
    let agent = AgentId::from_u128(4);
    let table = [
        (VaultOwner::User { id }, true),
        (VaultOwner::Agent { id: agent }, true),
        (VaultOwner::Shared, true),
        (somebody, false),
        (VaultOwner::Agent { id: AgentId::from_u128(99) }, false),
    ];
    for (owner, may) in table {
        let mut created = created();
        created.agent.connectors[0].credential = Some(CREDENTIAL);
        let mut house = House::new(Arc::new(Rules::default()), Arc::new(OneVault(owner)), created).await;
        let decisions = house.commit(Some(opening())).await;
        assert_eq!(permitted(decisions).len(), usize::from(may), "{owner:?}");
    }
}

#[tokio::test]
async fn nobody_is_asked_about_what_is_remembered_by_itself() {
    let rules = Arc::new(Rules { asks: true, ..Rules::default() });
    let mut house = House::new(rules, Arc::new(NoVaults), created()).await;
    let call = ModelCall { model: "main".into(), purpose: Purpose::Consolidation, skipped_entries: 0, extract: None };
    let decisions = house.commit(Some(Action::ModelCall(call))).await;
    assert!(matches!(decisions[..], [Decision::Denied(ACTION)]), "{decisions:?}");
}
