//! What grants are worth at the door: who may order for whom, whose word a program may pass on, and which answers stand.

#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "tests")]

use bailiwick_core::{
    Action, AgentConfig, Answered, Approver, CommandRun, Content, EnvironmentSpec, Grant, GrantReach, Integrity, Label,
    Limits, Remit, Shape, Standing, What,
    environment::{Hosted, Size},
    grant::Revocation,
    model::{Reasoning, TextOptions},
    record::{Body, Input, InputEnvelope, Ruling, SessionCreated, UserMessage},
    session::{Ask, Bounds, Mint, Plan, State, plan},
};
use bailiwick_gate::{Administrator, Batch, Gate, GrantError, Journal, NewSession, Release, Replay};
use bailiwick_ports::{
    Clock, Colleague, Directory, Keys, Person, Policy, PolicyRequest, Store, Verdict,
    store::{Submission, Tenant},
};
use bailiwick_testkit::{clock::ManualClock, keys::PlainKeys, store::MemoryStore};
use bailiwick_types::{
    ActionId, AgentId, EnvironmentId, GrantId, ItemId, KeyId, Millis, NodeId, Principal, Role, SessionId, TeamId,
    TenantId, Timestamp, UserId,
};
use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU8, Ordering},
    },
};

const START: Timestamp = Timestamp::from_millis(1_795_219_200_000);
const HOUR: Millis = Millis::from_secs(3600);
const TENANT: TenantId = TenantId::from_u128(1);
const TEAM: TeamId = TeamId::from_u128(2);
const KEY: KeyId = KeyId::from_u128(7);
const OTHER_KEY: KeyId = KeyId::from_u128(8);
const AGENT: AgentId = AgentId::from_u128(4);
const OTHER_AGENT: AgentId = AgentId::from_u128(5);
const ENVIRONMENT: EnvironmentId = EnvironmentId::from_u128(6);
const ADA: UserId = UserId::from_u128(10);
const OLGA: UserId = UserId::from_u128(11);
const ROOT: UserId = UserId::from_u128(12);

fn user(id: UserId) -> Principal {
    Principal::User { id }
}

/// What the policy says of commands; everything else is allowed.
#[derive(Clone)]
enum Says {
    Ask(&'static str, Approver),
    Deny,
}

struct Rules(Mutex<Says>);

impl Policy for Rules {
    fn version(&self, _: TenantId) -> u64 {
        1
    }

    fn decide(&self, request: &PolicyRequest<'_>) -> Verdict {
        match &*self.0.lock().unwrap() {
            Says::Deny => Verdict::Deny { rule: "closed".into(), reason: "it is".into(), remedy: "Wait.".into() },
            Says::Ask(_, _) if request.approved => Verdict::allow("asked"),
            Says::Ask(rule, approver) => {
                Verdict::Ask { rule: (*rule).into(), reason: "it leaves a mark".into(), approver: approver.clone() }
            }
        }
    }
}

#[derive(Default)]
struct People(Mutex<HashMap<UserId, Person>>);

impl People {
    fn put(&self, id: UserId, roles: &[Role], teams: &[TeamId], disabled: bool) {
        let (roles, teams) = (roles.to_vec(), teams.to_vec());
        let person = Person { id, tenant: TENANT, name: id.to_string(), email: None, roles, teams, disabled };
        self.0.lock().unwrap().insert(id, person);
    }
}

impl Directory for People {
    fn person(&self, _: TenantId, user: UserId) -> Option<Arc<Person>> {
        self.0.lock().unwrap().get(&user).cloned().map(Arc::new)
    }

    fn colleague(&self, _: TenantId, _: AgentId) -> Option<Arc<Colleague>> {
        None
    }
}

struct House {
    clock: ManualClock,
    store: MemoryStore,
    rules: Arc<Rules>,
    people: Arc<People>,
    gate: Gate,
    count: AtomicU8,
}

/// A session in which one command is asked for.
#[derive(Clone)]
struct Order {
    session: u8,
    agent: AgentId,
    orderer: Principal,
    command: &'static str,
    label: Label,
    auto_review: bool,
}

impl Order {
    fn by(orderer: Principal) -> Self {
        let label = Label::default();
        Self { session: 1, agent: AGENT, orderer, command: "git push origin main", label, auto_review: false }
    }

    fn action(&self) -> Action {
        Action::CommandRun(CommandRun {
            environment: ENVIRONMENT,
            command: self.command.into(),
            cwd: "/workspace".into(),
            timeout_ms: Millis(1000),
            background: false,
        })
    }
}

impl House {
    async fn new() -> Self {
        let clock = ManualClock::new(START);
        let store = MemoryStore::new(Arc::new(clock.clone()));
        let (key, _) = PlainKeys.create(TENANT, TENANT.into());
        store.put_tenant(Tenant { id: TENANT, name: "test".into(), key }).await.unwrap();
        let rules = Arc::new(Rules(Mutex::new(Says::Ask("ask-first", Approver::Person))));
        let people = Arc::new(People::default());
        people.put(ADA, &[Role::Member], &[], false);
        people.put(OLGA, &[Role::Operator], &[TEAM], false);
        people.put(ROOT, &[Role::Admin], &[], false);
        let gate = Gate::new(Arc::new(store.clone()), Arc::new(PlainKeys), rules.clone(), Arc::new(clock.clone()));
        let gate = gate.with_directory(people.clone());
        Self { clock, store, rules, people, gate, count: AtomicU8::new(0) }
    }

    fn says(&self, says: Says) {
        *self.rules.0.lock().unwrap() = says;
    }

    fn administration(&self) -> Administrator {
        Administrator::new(Arc::new(self.store.clone()), Arc::new(PlainKeys), Arc::new(self.clock.clone()))
    }

    async fn give(&self, by: Principal, what: What) -> Grant {
        let number = self.count.fetch_add(1, Ordering::SeqCst);
        let (since, id) = (self.clock.now(), GrantId::new(self.clock.now(), [number; 10]));
        let grant = Grant { id, what, by, since, until: since + HOUR, reason: None, question: None, revoked: None };
        self.gate.grants().give(&self.administration(), TENANT, grant).await.unwrap()
    }

    async fn revoke(&self, id: GrantId) {
        let revocation = Revocation { by: Principal::Operator, at: self.clock.now(), reason: None };
        self.gate.grants().revoke(&self.administration(), TENANT, id, revocation).await.unwrap();
    }

    async fn tell(&self, session: SessionId, journal: &Journal, orderer: &Principal, input: Input) {
        let inputs = vec![journal.seal_input(&InputEnvelope { orderer: orderer.clone(), input })];
        let submission = Submission { tenant: TENANT, stream: session.into(), inputs, idempotency: None };
        self.store.submit(submission).await.unwrap();
    }

    /// What the gate says of the order's command, and on whose word.
    async fn decide(&self, order: &Order) -> (Ruling, Option<Answered>) {
        let number = self.count.fetch_add(1, Ordering::SeqCst);
        let session = SessionId::new(START, [order.session; 10]);
        if self.store.head(session.into()).await.unwrap().is_none() {
            let created = created(order);
            let new = NewSession { tenant: TENANT, session, created, input: None, idempotency: None };
            self.gate.create(new).await.unwrap();
        }
        let mut lease = self.gate.open(session, NodeId::from_u128(1)).await.unwrap().unwrap();
        let key = self.store.head(session.into()).await.unwrap().unwrap().key;
        let journal = Journal::open(&PlainKeys, TENANT, session.into(), &key).unwrap();
        let message = UserMessage { item: ItemId::new(START, [number; 10]), content: vec![Content::text("Go.")] };
        let input = Input::Message { messages: vec![message] };
        self.tell(session, &journal, &order.orderer, input).await;
        let id = ActionId::new(self.clock.now(), [number; 10]);
        let mut asked = false;
        let mut mint = Mint::new(self.clock.now(), [number.wrapping_add(100); 10]);
        let mut next = |state: &State| match (state.turn_id(), asked) {
            (Some(turn), false) => {
                asked = true;
                Plan { asks: vec![Ask::new(id, turn, None, order.action())], ..Plan::default() }
            }
            (Some(_), true) => Plan::default(),
            _ => plan(state, Bounds::new(1000), &mut mint),
        };
        let release = Release::WhenIdle;
        let batch = Batch { settled: Vec::new(), take_inputs: true, resume: Vec::new(), plan: &mut next, release };
        drop(self.gate.commit(&mut lease, batch).await.unwrap());
        // Nobody performs it: its permit comes back, and the turn ends, so that the next order begins one of its own.
        let settled = std::iter::from_fn(|| lease.try_dropped()).collect();
        self.tell(session, &journal, &Principal::Operator, Input::Cancel).await;
        let mut mint = Mint::new(self.clock.now(), [number.wrapping_add(200); 10]);
        let mut end = |state: &State| plan(state, Bounds::new(1000), &mut mint);
        let batch = Batch { settled, take_inputs: true, resume: Vec::new(), plan: &mut end, release };
        self.gate.commit(&mut lease, batch).await.unwrap();
        let mut replay = Replay::new(journal);
        let mut found = None;
        loop {
            let more = replay.next(&self.store, 100).await.unwrap();
            if more.is_empty() {
                return found.unwrap();
            }
            for one in more {
                if let Body::ActionDecided(decided) = one.record.body
                    && decided.action == id
                {
                    found = Some((decided.decision, decided.answered));
                }
            }
        }
    }

    #[track_caller]
    fn standing(&self, order: &Order, kind: &str, reach: GrantReach) -> What {
        let shape = Shape::of(&order.action()).into_iter().find(|shape| shape.kind() == kind).unwrap();
        let (agent, orderer) = (order.agent, order.orderer.clone());
        let (rule, label) = ("ask-first".into(), Label::default());
        What::Standing(Standing { shape, reach, agent, orderer, rule, label })
    }
}

fn created(order: &Order) -> SessionCreated {
    let agent = AgentConfig {
        id: order.agent,
        version: 1,
        name: None,
        model: "main".into(),
        instructions: None,
        tools: Vec::new(),
        tool_search: false,
        connectors: Vec::new(),
        memory: None,
        skills: Vec::new(),
        reasoning: Reasoning::default(),
        text: TextOptions::default(),
        service_tier: "auto".into(),
        remit: Remit::default(),
        limits: Limits::default(),
    };
    let hosted = Hosted {
        id: ENVIRONMENT,
        size: Size::Small,
        env: BTreeMap::new(),
        files: Vec::new(),
        setup_commands: Vec::new(),
        skills: Vec::new(),
        skill_folders: Vec::new(),
    };
    SessionCreated {
        agent,
        environment: EnvironmentSpec::Hosted(hosted),
        metadata: BTreeMap::new(),
        creator: order.orderer.clone(),
        spend_limit: None,
        auto_review: order.auto_review,
        label: order.label.clone(),
        vaults: Vec::new(),
    }
}

fn in_session(number: u8) -> GrantReach {
    GrantReach::Session { id: SessionId::new(START, [number; 10]) }
}

fn second(role: Option<Role>, team: Option<TeamId>) -> Approver {
    Approver::Second { role, team }
}

#[track_caller]
fn asked(decided: &(Ruling, Option<Answered>), what: &str) {
    assert!(matches!(decided.0, Ruling::Asked(_)), "{what}: {decided:?}");
}

#[track_caller]
fn denied(decided: &(Ruling, Option<Answered>), by: &str, what: &str) {
    assert!(matches!(&decided.0, Ruling::Denied { rule, .. } if rule == by), "{what}: {decided:?}");
}

#[track_caller]
fn allowed(decided: &(Ruling, Option<Answered>), what: &str) {
    assert!(matches!(decided.0, Ruling::Allowed { .. }), "{what}: {decided:?}");
}

#[tokio::test]
async fn a_standing_answer_stands_for_its_shape_its_place_and_its_people_and_for_nothing_else() {
    let house = House::new().await;
    let order = Order::by(user(ADA));
    asked(&house.decide(&order).await, "nobody has answered");
    let grant = house.give(user(ADA), house.standing(&order, "command", in_session(1))).await;
    let decided = house.decide(&order).await;
    allowed(&decided, "its giver may answer");
    assert_eq!(decided.1, Some(Answered::Under { grant: grant.id, by: user(ADA) }), "the receipt names it");

    let table = [
        ("the same shape", Order { command: "git push --force", ..order.clone() }, true),
        ("another command", Order { command: "git pull", ..order.clone() }, false),
        ("something behind it", Order { command: "git push; rm -rf /", ..order.clone() }, false),
        ("another session", Order { session: 2, ..order.clone() }, false),
        ("another agent", Order { session: 3, agent: OTHER_AGENT, ..order.clone() }, false),
        ("another orderer", Order { orderer: user(OLGA), ..order.clone() }, false),
    ];
    for (what, order, stands) in table {
        match (house.decide(&order).await, stands) {
            (decided, true) => allowed(&decided, what),
            (decided, false) => asked(&decided, what),
        }
    }
    house.says(Says::Ask("another-rule", Approver::Person));
    asked(&house.decide(&order).await, "another rule asks another question");
    house.says(Says::Deny);
    denied(&house.decide(&order).await, "closed", "a denial is never overridden");
    house.says(Says::Ask("ask-first", Approver::Person));
    allowed(&house.decide(&order).await, "as before");
    house.revoke(grant.id).await;
    asked(&house.decide(&order).await, "revoked");
}

#[tokio::test]
async fn one_for_the_agent_stands_in_every_session_until_its_time_is_over_or_worse_came_in() {
    let house = House::new().await;
    let order = Order::by(user(ADA));
    house.give(user(ADA), house.standing(&order, "exact", GrantReach::Agent)).await;
    allowed(&house.decide(&Order { session: 2, ..order.clone() }).await, "another session");
    asked(&house.decide(&Order { command: "git push origin other", ..order.clone() }).await, "another digest");
    asked(&house.decide(&Order { session: 3, agent: OTHER_AGENT, ..order.clone() }).await, "another agent");
    let label = Label { integrity: Integrity::Untrusted, ..Label::default() };
    asked(&house.decide(&Order { session: 4, label, ..order.clone() }).await, "a stranger's words are in the session");
    allowed(
        &house.decide(&Order { session: 5, auto_review: true, ..order.clone() }).await,
        "a session that asks nobody",
    );
    let other = Order { session: 5, command: "ls", ..order.clone() };
    denied(&house.decide(&other).await, "ask-first", "and has no standing answer");
    house.clock.advance(HOUR);
    asked(&house.decide(&order).await, "its time is over");
}

#[tokio::test]
async fn a_standing_answer_is_worth_what_its_giver_may_answer_at_that_moment() {
    let olga =
        |house: &House, roles: &[Role], teams: &[TeamId], disabled| house.people.put(OLGA, roles, teams, disabled);
    let cases: [(Approver, Principal, &str, bool); 8] = [
        (second(Some(Role::Operator), None), user(OLGA), "as it was", true),
        (second(Some(Role::Operator), None), user(OLGA), "without the role", false),
        (second(Some(Role::Operator), None), user(OLGA), "disabled", false),
        (second(None, Some(TEAM)), user(OLGA), "as it was", true),
        (second(None, Some(TEAM)), user(OLGA), "in another team", false),
        (second(None, None), user(ADA), "the asker for themself", false),
        (second(Some(Role::Member), None), user(ADA), "the asker, who has the role", false),
        (Approver::Person, user(OLGA), "somebody else for the asker", false),
    ];
    for (approver, giver, what, stands) in cases {
        let house = House::new().await;
        house.says(Says::Ask("ask-first", approver));
        let order = Order::by(user(ADA));
        house.give(giver, house.standing(&order, "tool", GrantReach::Agent)).await;
        match what {
            "without the role" => olga(&house, &[Role::Member], &[TEAM], false),
            "disabled" => olga(&house, &[Role::Operator], &[TEAM], true),
            "in another team" => olga(&house, &[Role::Operator], &[TeamId::from_u128(99)], false),
            _ => {}
        }
        match (house.decide(&order).await, stands) {
            (decided, true) => allowed(&decided, what),
            (decided, false) => asked(&decided, what),
        }
    }
}

fn subject(agent: Option<AgentId>, scopes: &[&str]) -> What {
    let scopes = scopes.iter().map(|scope| (*scope).to_owned()).collect();
    What::Subject { person: ADA, key: KEY, agent, scopes }
}

fn delegate(key: KeyId, subject: UserId, grant: GrantId) -> Principal {
    Principal::Delegate { key, subject, grant }
}

#[tokio::test]
async fn a_program_orders_for_a_person_only_while_its_grant_holds() {
    let house = House::new().await;
    house.says(Says::Ask("ask-first", second(None, None)));
    let grant = house.give(user(ADA), subject(None, &[])).await;
    let order = Order::by(delegate(KEY, ADA, grant.id));
    asked(&house.decide(&order).await, "policy is asked, and asks");
    for (what, orderer) in [
        ("another key", delegate(OTHER_KEY, ADA, grant.id)),
        ("another person", delegate(KEY, OLGA, grant.id)),
        ("no such grant", delegate(KEY, ADA, GrantId::from_u128(1))),
    ] {
        denied(&house.decide(&Order { orderer, ..order.clone() }).await, "grant-ended", what);
    }
    house.revoke(grant.id).await;
    denied(&house.decide(&order).await, "grant-ended", "revoked, in a session that runs");

    let narrow = house.give(user(ADA), subject(Some(OTHER_AGENT), &["model.call", "file.*"])).await;
    let order = Order::by(delegate(KEY, ADA, narrow.id));
    denied(&house.decide(&order).await, "grant-ended", "another agent");
    let theirs = Order { session: 2, agent: OTHER_AGENT, ..order };
    denied(&house.decide(&theirs).await, "grant-scopes", "more than was granted");
    house.clock.advance(HOUR);
    denied(&house.decide(&theirs).await, "grant-ended", "its time is over");
}

#[tokio::test]
async fn only_the_person_or_an_administrator_lets_a_program_order() {
    let house = House::new().await;
    let service = Principal::Service { key: KEY };
    let agent =
        Principal::Agent { id: AGENT, session: SessionId::from_u128(1), on_behalf_of: Some(Box::new(user(ADA))) };
    for (giver, good) in [
        (user(ADA), true),
        (user(ROOT), true),
        (Principal::Operator, true),
        (user(OLGA), false),
        (service, false),
        (agent, false),
    ] {
        assert_eq!(house.gate.may_speak_for(TENANT, ADA, &giver), good, "{giver}");
        let grant = house.give(giver.clone(), subject(None, &[])).await;
        let decided = house.decide(&Order::by(delegate(KEY, ADA, grant.id))).await;
        if good { asked(&decided, "policy asks") } else { denied(&decided, "grant-ended", &giver.to_string()) }
    }
    let grant = house.give(user(ROOT), subject(None, &["command.run"])).await;
    house.people.put(ROOT, &[Role::Member], &[], false);
    denied(&house.decide(&Order::by(delegate(KEY, ADA, grant.id))).await, "grant-ended", "no administrator any more");
    house.people.put(ROOT, &[Role::Admin], &[], true);
    denied(&house.decide(&Order::by(delegate(KEY, ADA, grant.id))).await, "grant-ended", "disabled");
    house.people.put(ADA, &[Role::Member], &[], true);
    let own = house.give(Principal::Operator, subject(None, &[])).await;
    denied(&house.decide(&Order::by(delegate(KEY, ADA, own.id))).await, "person-disabled", "the person is disabled");
}

fn relay(person: UserId, key: KeyId) -> What {
    What::Relay { person, key, agent: None }
}

#[tokio::test]
async fn a_program_passes_an_answer_on_only_under_the_answerers_own_grant() {
    let house = House::new().await;
    let agent_for = |orderer: &Principal| {
        let on_behalf_of = Some(Box::new(orderer.clone()));
        Principal::Agent { id: AGENT, session: SessionId::from_u128(6), on_behalf_of }
    };
    let may = |approver: &Approver, orderer: &Principal, by: &Principal| {
        house.gate.may_answer(TENANT, approver, &agent_for(orderer), by)
    };
    let commission = house.give(user(ADA), subject(None, &[])).await;
    let by_root = house.give(user(ROOT), subject(None, &["model.call"])).await;
    let relays_ada = house.give(user(ADA), relay(ADA, KEY)).await;
    let relays_olga = house.give(user(OLGA), relay(OLGA, KEY)).await;
    let other_relays_olga = house.give(user(OLGA), relay(OLGA, OTHER_KEY)).await;
    let made_up = house.give(user(ROOT), relay(OLGA, KEY)).await;
    house.gate.grants().list(TENANT).await.unwrap();

    let (ada, ordered) = (user(ADA), delegate(KEY, ADA, commission.id));
    let person = Approver::Person;
    assert!(may(&person, &ordered, &ada), "the person for whom it was ordered");
    assert!(!may(&person, &ordered, &Principal::Service { key: KEY }), "a program speaks for nobody by itself");
    assert!(!may(&person, &ordered, &ordered), "to order is not to answer");
    assert!(may(&person, &ordered, &delegate(KEY, ADA, relays_ada.id)));
    assert!(may(&person, &ada, &delegate(KEY, ADA, relays_ada.id)), "also what Ada ordered herself");
    assert!(!may(&person, &ada, &delegate(OTHER_KEY, ADA, relays_ada.id)), "another key");
    assert!(!may(&person, &ada, &delegate(KEY, OLGA, relays_ada.id)), "another person");

    let anybody = second(None, None);
    assert!(may(&anybody, &ada, &delegate(KEY, OLGA, relays_olga.id)), "a second person's word");
    assert!(!may(&anybody, &ada, &delegate(KEY, OLGA, made_up.id)), "nobody lends another's word");
    assert!(!may(&anybody, &ordered, &delegate(KEY, OLGA, relays_olga.id)), "not through the program that ordered");
    assert!(may(&anybody, &ordered, &delegate(OTHER_KEY, OLGA, other_relays_olga.id)));
    assert!(!may(&anybody, &ordered, &ada), "ordered for Ada is ordered by Ada");
    assert!(!may(&anybody, &delegate(KEY, ADA, by_root.id), &user(ROOT)), "who let it be ordered is no second person");
    assert!(may(&anybody, &delegate(KEY, ADA, by_root.id), &user(OLGA)));

    house.revoke(relays_ada.id).await;
    assert!(!may(&person, &ada, &delegate(KEY, ADA, relays_ada.id)), "revoked");
    house.clock.advance(HOUR);
    assert!(!may(&anybody, &ada, &delegate(KEY, OLGA, relays_olga.id)), "its time is over");
}

#[tokio::test]
async fn grants_are_bounded_kept_for_a_while_and_the_same_one_is_given_once() {
    let house = House::new().await;
    let first = house.give(user(ADA), subject(None, &[])).await;
    assert_eq!(house.give(user(ADA), subject(None, &[])).await, first, "the same again is the same");
    house.revoke(first.id).await;
    let gone = Revocation { by: user(ADA), at: house.clock.now(), reason: None };
    let again = house.gate.grants().revoke(&house.administration(), TENANT, first.id, gone.clone()).await;
    assert!(matches!(again, Err(GrantError::Ended)), "{again:?}");
    let unknown = house.gate.grants().revoke(&house.administration(), TENANT, GrantId::from_u128(9), gone).await;
    assert!(matches!(unknown, Err(GrantError::Unknown)), "{unknown:?}");
    assert!(house.gate.grants().find(TENANT, first.id).await.unwrap().unwrap().revoked.is_some(), "it can be read");

    let mut number = 0;
    let refused = loop {
        let (since, id) = (house.clock.now(), GrantId::from_u128(1000 + number));
        let what = What::Relay { person: ADA, key: KeyId::from_u128(number), agent: None };
        let (until, by) = (since + HOUR, user(ADA));
        let grant = Grant { id, what, by, since, until, reason: None, question: None, revoked: None };
        if let Err(error) = house.gate.grants().give(&house.administration(), TENANT, grant).await {
            break error;
        }
        number += 1;
    };
    assert!(matches!(refused, GrantError::TooManyOfOne) && number == 200, "{refused} after {number}");
    house.give(user(OLGA), relay(OLGA, KEY)).await;
    house.clock.advance(HOUR);
    house.give(user(ADA), relay(ADA, KEY)).await;
}
