//! Limits at the door: raced by real threads, through crashes and lost answers, by the clock.

#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "tests start threads and expect")]

use bailiwick_core::{
    AgentConfig, Content, Entry, EntryBody, EnvironmentSpec, Exceeded, FunctionTool, Limits, Lost, ModelAnswer,
    Outcome, Payer, Remit, Stop,
    action::ActionResult,
    budget::{Budget, Meter, Prices, Unit, Window},
    model::{Reasoning, TextOptions},
    record::{Body, Input, InputEnvelope, SessionCreated, UserMessage},
    session::{Bounds, Mint, State, plan},
};
use bailiwick_gate::{
    Administrator, Batch, Committed, Decision, Gate, GateError, Journal, Lease, MoneyRules, NewSession, Permit,
    Release, Replay, Settled, Unpriced,
};
use bailiwick_ports::{
    AccountKey, Balance, Clock, Keys, ModelCard, ModelCards, Policy, PolicyRequest, Residency, SpendBy, SpendQuery,
    SpendSum, Store, Verdict,
    store::{Submission, Tenant},
};
use bailiwick_testkit::{
    clock::ManualClock,
    keys::PlainKeys,
    store::{MemoryStore, When},
};
use bailiwick_types::{
    AgentId, ItemId, KeyId, Millis, Money, NodeId, Principal, SessionId, TenantId, Timestamp, TokenUsage,
};
use std::{
    collections::BTreeMap,
    sync::{Arc, Barrier, Mutex},
};

const START: Timestamp = Timestamp::from_millis(1_795_219_200_000);
const TENANT: TenantId = TenantId::from_u128(1);
const ASKED_BY: Principal = Principal::Service { key: KeyId::from_u128(1) };
/// One call can take this much at most: the prompt is free, and 10 tokens of output cost 100 micro-units each.
const BOUND: i64 = 1000;

/// Allows everything, and counts what the test says.
#[derive(Default)]
struct Rules(Mutex<Vec<Meter>>);

impl Policy for Rules {
    fn version(&self, _: TenantId) -> u64 {
        1
    }

    fn decide(&self, _: &PolicyRequest<'_>) -> Verdict {
        Verdict::Allow { rule: "all".into(), meters: self.0.lock().unwrap().clone() }
    }
}

struct Cards(Option<Prices>);

impl ModelCards for Cards {
    fn card(&self, name: &str) -> Option<ModelCard> {
        Some(ModelCard {
            name: name.into(),
            provider: "rehearsal".into(),
            model: name.into(),
            context_tokens: 1000,
            max_output_tokens: Some(10),
            scripted: true,
            prices: self.0,
            residency: Residency::Outside,
            clearance: Vec::new(),
        })
    }

    fn cards(&self) -> Vec<ModelCard> {
        Vec::new()
    }
}

fn prices() -> Prices {
    Prices { version: 7, input: Money::ZERO, cached_input: None, output: Money::from_micros(100_000_000) }
}

#[derive(Clone)]
struct House {
    clock: ManualClock,
    store: MemoryStore,
    rules: Arc<Rules>,
    gate: Arc<Gate>,
}

impl House {
    async fn new() -> Self {
        let clock = ManualClock::new(START);
        let store = MemoryStore::new(Arc::new(clock.clone()));
        let (key, _) = PlainKeys.create(TENANT, TENANT.into());
        store.put_tenant(Tenant { id: TENANT, name: "test".into(), key }).await.unwrap();
        let rules = Arc::new(Rules::default());
        let gate = gate(&store, &clock, &rules, Some(prices()), Unpriced::Refuse);
        Self { clock, store, rules, gate }
    }

    /// The same data, another process.
    fn restarted(&self) -> Self {
        let gate = gate(&self.store, &self.clock, &self.rules, Some(prices()), Unpriced::Refuse);
        Self { gate, ..self.clone() }
    }

    fn with_prices(&self, prices: Option<Prices>, unpriced: Unpriced) -> Self {
        Self { gate: gate(&self.store, &self.clock, &self.rules, prices, unpriced), ..self.clone() }
    }

    async fn budget(&self, payer: Payer, window: Window, limit: i64, warn_only: bool) -> AccountKey {
        let keys = Arc::new(PlainKeys);
        let administration = Administrator::new(Arc::new(self.store.clone()), keys, Arc::new(self.clock.clone()));
        let budget = Budget { payer, window, limit: Money::from_micros(limit), warn_only };
        let now = self.clock.now();
        let known = self.gate.budgets().set(&administration, &Principal::Operator, TENANT, budget, now).await.unwrap();
        AccountKey { account: known.account, window, start: window.start(now) }
    }

    async fn balance(&self, key: &AccountKey) -> (i64, i64) {
        let Balance { spent, reserved } = self.gate.ledger().balance(TENANT, key).await.unwrap();
        (spent, reserved)
    }

    async fn on_disk(&self, key: &AccountKey) -> (i64, i64) {
        let Balance { spent, reserved } = self.store.balance(TENANT, key).await.unwrap();
        (spent, reserved)
    }

    async fn spent(&self, by: &[SpendBy]) -> Vec<SpendSum> {
        let until = self.clock.now() + Millis(1);
        let from = Timestamp::from_millis(0);
        let query = SpendQuery { tenant: TENANT, from, until, only: Vec::new(), by: by.to_vec(), limit: 100 };
        self.store.spend(query).await.unwrap()
    }

    /// A session with a message to answer, and what its first commit came to.
    async fn begin(&self, number: u8, spend_limit: Option<i64>) -> (Driven, Committed) {
        let session = SessionId::new(START, [number; 10]);
        let message = UserMessage { item: ItemId::new(START, [number; 10]), content: vec![Content::text("Go.")] };
        let input = Input::Message { messages: vec![message] };
        let new = NewSession {
            tenant: TENANT,
            session,
            created: created(spend_limit.map(Money::from_micros)),
            input: Some(InputEnvelope { orderer: ASKED_BY, input }),
            idempotency: None,
        };
        self.gate.create(new).await.unwrap();
        let mut driven = self.open(session).await;
        let committed = driven.commit(Vec::new()).await.unwrap();
        (driven, committed)
    }

    async fn open(&self, session: SessionId) -> Driven {
        let lease = self.gate.open(session, NodeId::from_u128(1)).await.unwrap().unwrap();
        Driven { house: self.clone(), session, lease, seed: 0 }
    }

    async fn bodies(&self, session: SessionId) -> Vec<Body> {
        let head = self.store.head(session.into()).await.unwrap().unwrap();
        let journal = Journal::open(&PlainKeys, TENANT, session.into(), &head.key).unwrap();
        let mut replay = Replay::new(journal);
        let mut bodies = Vec::new();
        loop {
            let more = replay.next(&self.store, 100).await.unwrap();
            if more.is_empty() {
                return bodies;
            }
            bodies.extend(more.into_iter().map(|one| one.record.body));
        }
    }

    /// The limit that a turn of this session met.
    async fn exceeded(&self, session: SessionId) -> Option<Exceeded> {
        let of = |body: &Body| match body {
            Body::ActionDecided(decided) => decided.spending.exceeded.clone(),
            Body::ActionResumed(resumed) => resumed.spending.exceeded.clone(),
            _ => None,
        };
        self.bodies(session).await.iter().rev().find_map(of)
    }

    async fn turn_error(&self, session: SessionId) -> Option<String> {
        let of = |body: Body| match body {
            Body::TurnEnded(ended) => match ended.end {
                bailiwick_core::record::TurnEnd::Failed { error } => Some(error.code),
                _ => None,
            },
            _ => None,
        };
        self.bodies(session).await.into_iter().find_map(of)
    }
}

fn gate(
    store: &MemoryStore,
    clock: &ManualClock,
    rules: &Arc<Rules>,
    prices: Option<Prices>,
    unpriced: Unpriced,
) -> Arc<Gate> {
    let rules: Arc<Rules> = Arc::clone(rules);
    let gate = Gate::new(Arc::new(store.clone()), Arc::new(PlainKeys), rules, Arc::new(clock.clone()));
    Arc::new(gate.with_cards(Arc::new(Cards(prices))).with_money(MoneyRules {
        currency: "EUR".into(),
        unpriced,
        ..MoneyRules::default()
    }))
}

struct Driven {
    house: House,
    session: SessionId,
    lease: Lease,
    seed: u8,
}

impl Driven {
    async fn commit(&mut self, settled: Vec<Settled>) -> Result<Committed, GateError> {
        self.commit_with(settled, Vec::new()).await
    }

    async fn commit_with(
        &mut self,
        settled: Vec<Settled>,
        resume: Vec<bailiwick_types::ActionId>,
    ) -> Result<Committed, GateError> {
        let (clock, session) = (self.house.clock.clone(), self.session);
        let seed = &mut self.seed;
        let mut next = |state: &State| {
            *seed = seed.wrapping_add(1);
            let mut random = [*seed; 10];
            random[..2].copy_from_slice(&session.to_u128().to_be_bytes()[14..]);
            plan(state, Bounds::new(1000), &mut Mint::new(clock.now(), random))
        };
        let batch = Batch { settled, take_inputs: true, resume, plan: &mut next, release: Release::WhenIdle };
        self.house.gate.commit(&mut self.lease, batch).await
    }
}

fn created(spend_limit: Option<Money>) -> SessionCreated {
    let agent = AgentConfig {
        id: AgentId::from_u128(4),
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
    let (environment, metadata) = (EnvironmentSpec::None, BTreeMap::new());
    SessionCreated {
        agent,
        environment,
        metadata,
        creator: ASKED_BY,
        spend_limit,
        auto_review: false,
        label: Default::default(),
        vaults: Vec::new(),
    }
}

fn permit(committed: Committed) -> Permit {
    permits(committed).pop().expect("it is permitted")
}

fn permits(committed: Committed) -> Vec<Permit> {
    let permit = |decision| if let Decision::Permitted(permit) = decision { Some(permit) } else { None };
    committed.decisions.into_iter().filter_map(permit).collect()
}

/// The model says nothing more, in so many tokens.
fn answered(permit: Permit, clock: &ManualClock, output: u64) -> Settled {
    let usage = TokenUsage { input: 5, output, ..TokenUsage::default() };
    let (entries, provider_model) = (Vec::new(), "main".to_owned());
    let answer =
        ModelAnswer { entries, usage, stop: Stop::Completed, provider_model, response_id: None, scripted: true };
    permit.open(clock).unwrap().settle(Outcome::Confirmed { result: ActionResult::Model(answer) })
}

/// Runs on a thread of its own.
fn on_a_thread<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> std::thread::JoinHandle<T> {
    std::thread::spawn(|| tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(work))
}

#[tokio::test]
async fn two_hundred_parallel_turns_never_promise_more_than_the_budget() {
    let house = House::new().await;
    let day = house.budget(Payer::Tenant, Window::Day, 50 * BOUND + BOUND / 2, false).await;
    let total = house.budget(Payer::Agent { id: AgentId::from_u128(4) }, Window::Total, 60 * BOUND, false).await;
    let barrier = Arc::new(Barrier::new(200));
    let turn = |number: u8| {
        let (house, barrier) = (house.clone(), Arc::clone(&barrier));
        on_a_thread(async move {
            barrier.wait();
            let (driven, committed) = house.begin(number, None).await;
            (driven, permits(committed))
        })
    };
    let threads: Vec<_> = (0..200).map(turn).collect();
    let mut running = Vec::new();
    let mut refused = 0;
    for thread in threads {
        let (driven, mut permits) = thread.join().unwrap();
        match permits.pop() {
            Some(permit) => running.push((driven, permit)),
            None => {
                refused += 1;
                let code = house.turn_error(driven.session).await;
                assert_eq!(code.as_deref(), Some("organization_spend_limit_exceeded"));
            }
        }
    }
    assert_eq!((running.len(), refused), (50, 150));
    assert_eq!(house.balance(&day).await, (0, 50 * BOUND));

    // All of them settle at the same time, for less than was held; then there is room again, for as much as is left.
    let barrier = Arc::new(Barrier::new(50));
    let settle = |(mut driven, permit): (Driven, Permit)| {
        let barrier = Arc::clone(&barrier);
        on_a_thread(async move {
            let settled = answered(permit, &driven.house.clock, 3);
            barrier.wait();
            driven.commit(vec![settled]).await.unwrap();
        })
    };
    let threads: Vec<_> = running.into_iter().map(settle).collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    for key in [&day, &total] {
        assert_eq!(house.balance(key).await, (50 * 300, 0));
        assert_eq!(house.on_disk(key).await, (50 * 300, 0), "the number shown is the number kept");
    }
    let sums = house.spent(&[SpendBy::Outcome]).await;
    assert_eq!((sums[0].calls, sums[0].cost.as_micros(), sums[0].values[0].as_str()), (50, 15_000, "completed"));
}

#[tokio::test]
async fn a_refusal_is_a_receipt_with_the_numbers_and_the_way_out() {
    let house = House::new().await;
    let key = house.budget(Payer::Tenant, Window::Month, BOUND - 1, false).await;
    let (driven, committed) = house.begin(1, None).await;
    assert!(permits(committed).is_empty());
    let exceeded = house.exceeded(driven.session).await.unwrap();
    let expected = Exceeded {
        account: key.account.clone(),
        payer: Some(Payer::Tenant),
        unit: Unit::Money,
        window: Window::Month,
        spent: 0,
        reserved: 0,
        asked: BOUND,
        limit: BOUND - 1,
    };
    assert_eq!(exceeded, expected);
    let decided = house.bodies(driven.session).await.into_iter().find_map(|body| match body {
        Body::ActionDecided(decided) => Some(decided.decision),
        _ => None,
    });
    let Some(bailiwick_core::record::Ruling::Denied { rule, reason, remedy }) = decided else { panic!("denied") };
    assert_eq!(rule, format!("limit: {}", key.account));
    assert!(reason.contains("0.001000 EUR") && reason.contains("0.000999 EUR per month"), "{reason}");
    assert!(remedy.contains("budget set --tenant --per month") && remedy.contains("2026-12-01T00:00:00"), "{remedy}");
    assert!(house.spent(&[]).await.is_empty(), "nothing was spent");
    assert_eq!(house.balance(&key).await, (0, 0));
}

#[tokio::test]
async fn what_a_commit_settles_makes_room_for_what_it_asks() {
    let house = House::new().await;
    let key = house.budget(Payer::Tenant, Window::Total, BOUND, false).await;
    let (mut driven, committed) = house.begin(1, None).await;
    let lost = permit(committed).open(&house.clock).unwrap();
    // The call was lost, so all of it is spent: the next one, asked for in the same commit, does not fit.
    let committed = driven.commit(vec![lost.settle(Outcome::Unknown { reason: "lost".into() })]).await.unwrap();
    assert!(permits(committed).is_empty());
    assert_eq!(house.balance(&key).await, (BOUND, 0));
    let sums = house.spent(&[]).await;
    assert_eq!((sums[0].cost.as_micros(), sums[0].estimated.as_micros()), (BOUND, BOUND));

    let house = House::new().await;
    let key = house.budget(Payer::Tenant, Window::Total, BOUND, false).await;
    let (mut driven, committed) = house.begin(1, None).await;
    let refused = permit(committed).refuse("not today");
    let committed = driven.commit(vec![refused]).await.unwrap();
    assert_eq!(permits(committed).len(), 1, "what never left is given back, and asked for anew");
    assert_eq!(house.balance(&key).await, (0, BOUND));
}

#[tokio::test]
async fn reservations_are_held_through_a_crash_and_each_attempt_is_paid_once() {
    let house = House::new().await;
    let key = house.budget(Payer::Tenant, Window::Day, 3 * BOUND, false).await;
    let (driven, committed) = house.begin(1, None).await;
    let (session, action) = (driven.session, permit(committed).id());
    drop(driven);

    let house = house.restarted();
    assert_eq!(house.balance(&key).await, (0, BOUND), "held by a call that nobody has heard of since");
    let mut driven = house.open(session).await;
    let committed = driven.commit_with(Vec::new(), vec![action]).await.unwrap();
    assert_eq!(house.balance(&key).await, (BOUND, BOUND), "the lost attempt is taken to be paid for");
    let settled = answered(permit(committed), &house.clock, 2);
    driven.commit(vec![settled]).await.unwrap();
    assert_eq!((house.balance(&key).await, house.on_disk(&key).await), ((BOUND + 200, 0), (BOUND + 200, 0)));
    let state = house.open(session).await;
    assert_eq!(state.lease.state().spent.as_micros(), BOUND + 200);

    // With room for one attempt only, the second is refused before it is made.
    let house = House::new().await;
    let key = house.budget(Payer::Tenant, Window::Day, BOUND, false).await;
    let (driven, committed) = house.begin(1, None).await;
    let (session, action) = (driven.session, permit(committed).id());
    let house = house.restarted();
    let mut driven = house.open(session).await;
    let committed = driven.commit_with(Vec::new(), vec![action]).await.unwrap();
    assert!(permits(committed).is_empty());
    assert_eq!(house.balance(&key).await, (BOUND, 0));
    assert_eq!(house.turn_error(session).await.as_deref(), Some("organization_spend_limit_exceeded"));
}

#[tokio::test]
async fn a_failed_append_gives_back_and_a_lost_answer_is_found_out() {
    for when in [When::Before, When::After] {
        let house = House::new().await;
        let key = house.budget(Payer::Tenant, Window::Day, 5 * BOUND, false).await;
        let (mut driven, committed) = house.begin(1, None).await;
        let settled = answered(permit(committed), &house.clock, 1);
        house.store.faults().crash_after(1, when);
        driven.commit(vec![settled]).await.unwrap_err();
        assert_eq!(house.balance(&key).await, (0, BOUND), "held while nobody knows");
        let driven = house.open(driven.session).await;
        let expected = match when {
            When::Before => (0, BOUND),
            When::After => (100, 0),
        };
        assert_eq!((house.balance(&key).await, house.on_disk(&key).await), (expected, expected), "{when:?}");
        assert_eq!(driven.lease.state().open_actions().is_empty(), when == When::After);
    }

    let house = House::new().await;
    let key = house.budget(Payer::Tenant, Window::Day, 5 * BOUND, false).await;
    let session = SessionId::new(START, [1; 10]);
    house.store.faults().fail(3, When::Before, bailiwick_ports::StoreError::Full);
    let begun = on_a_thread({
        let house = house.clone();
        async move { house.begin(1, None).await }
    });
    assert!(begun.join().is_err(), "its first commit met a full disk");
    assert_eq!((house.balance(&key).await, house.on_disk(&key).await), ((0, 0), (0, 0)));
    let mut driven = house.open(session).await;
    assert_eq!(permits(driven.commit(Vec::new()).await.unwrap()).len(), 1);
    assert_eq!((house.balance(&key).await, house.on_disk(&key).await), ((0, BOUND), (0, BOUND)));
}

#[tokio::test]
async fn a_clock_that_is_set_back_opens_nothing_again() {
    let house = House::new().await;
    let key = house.budget(Payer::Tenant, Window::Day, BOUND, false).await;
    let (_first, committed) = house.begin(1, None).await;
    let held = permit(committed);
    // Tomorrow has a day's budget of its own, and what was reserved today counts today.
    house.clock.advance(Millis::from_secs(24 * 3600));
    let (_second, committed) = house.begin(2, None).await;
    let tomorrow = permit(committed);
    assert_eq!(house.balance(&key).await, (0, BOUND));
    house.clock.set_back(START);
    let (third, committed) = house.begin(3, None).await;
    assert!(permits(committed).is_empty(), "today is as full as it was");
    assert!(house.exceeded(third.session).await.is_some());
    let house = house.restarted();
    let (_, committed) = house.begin(4, None).await;
    assert!(permits(committed).is_empty(), "also for another process");
    drop((held, tomorrow));
}

#[tokio::test]
async fn a_warning_budget_says_so_and_lets_through() {
    let house = House::new().await;
    let key = house.budget(Payer::Tenant, Window::Day, BOUND / 2, true).await;
    let (driven, committed) = house.begin(1, None).await;
    let _held = permit(committed);
    let warnings = house.bodies(driven.session).await.into_iter().find_map(|body| match body {
        Body::ActionDecided(decided) => Some(decided.spending.warnings),
        _ => None,
    });
    assert_eq!(warnings, Some(vec![key.account.clone()]));
    assert_eq!(house.balance(&key).await, (0, BOUND));
}

#[tokio::test]
async fn a_session_keeps_to_its_own_limit() {
    let house = House::new().await;
    let (mut driven, committed) = house.begin(1, Some(BOUND)).await;
    let settled = answered(permit(committed), &house.clock, 1);
    driven.commit(vec![settled]).await.unwrap();
    assert_eq!(driven.lease.state().spent.as_micros(), 100);
    let (other, committed) = house.begin(2, Some(BOUND - 1)).await;
    assert!(permits(committed).is_empty());
    assert_eq!(house.turn_error(other.session).await.as_deref(), Some("session_budget_exceeded"));
    assert!(house.store.balances().is_empty(), "its balance is its own state");
}

#[tokio::test]
async fn a_model_without_a_price_is_refused_or_warned_of_where_a_budget_applies() {
    let house = House::new().await.with_prices(None, Unpriced::Refuse);
    let (_free, committed) = house.begin(1, None).await;
    assert_eq!(permits(committed).len(), 1, "without a budget nobody asks for a price");
    house.budget(Payer::Tenant, Window::Day, BOUND, false).await;
    let (driven, committed) = house.begin(2, None).await;
    assert!(permits(committed).is_empty());
    assert_eq!(house.turn_error(driven.session).await.as_deref(), Some("misalignment_policy_violation"));
    let house = house.with_prices(None, Unpriced::Warn);
    let (mut driven, committed) = house.begin(3, None).await;
    let settled = answered(permit(committed), &house.clock, 1);
    driven.commit(vec![settled]).await.unwrap();
    let sums = house.spent(&[SpendBy::Session]).await;
    let of = |sum: &&SpendSum| sum.values[0] == driven.session.to_string();
    let sum = sums.iter().find(of).unwrap();
    assert_eq!((sum.calls, sum.unpriced, sum.output, sum.cost), (1, 1, 1, Money::ZERO));
}

#[tokio::test]
async fn rules_that_count_share_the_ledger() {
    let house = House::new().await;
    let meter = Meter {
        account: "calls-an-hour".into(),
        unit: Unit::Count,
        window: Window::Hour,
        amount: 1,
        limit: 2,
        warn_only: false,
    };
    let key = AccountKey::of(&meter, START);
    house.rules.0.lock().unwrap().push(meter);
    let (mut first, committed) = house.begin(1, None).await;
    let happened = answered(permit(committed), &house.clock, 1);
    let (mut second, committed) = house.begin(2, None).await;
    let opened = permit(committed).open(&house.clock).unwrap();
    let (third, committed) = house.begin(3, None).await;
    assert!(permits(committed).is_empty(), "what runs in parallel is reserved first");
    assert_eq!(house.turn_error(third.session).await.as_deref(), Some("usage_limit_exceeded"));
    first.commit(vec![happened]).await.unwrap();
    let failure = bailiwick_core::Failure::new(bailiwick_core::FailureCode::InvalidRequest, "no");
    second.commit(vec![opened.settle(Outcome::Failed { failure })]).await.unwrap();
    assert_eq!(house.balance(&key).await, (1, 0), "only what happened counts");
    let (_fourth, committed) = house.begin(4, None).await;
    assert_eq!(permits(committed).len(), 1);
}

/// Models whose calls may be attempted twice.
struct Retried;

impl ModelCards for Retried {
    fn paid_attempts(&self, _: &str) -> u32 {
        2
    }

    fn card(&self, name: &str) -> Option<ModelCard> {
        Cards(Some(prices())).card(name)
    }

    fn cards(&self) -> Vec<ModelCard> {
        Vec::new()
    }
}

impl House {
    /// The same data under another gate.
    fn behind(&self, build: impl FnOnce(Gate) -> Gate) -> Self {
        let (store, clock) = (Arc::new(self.store.clone()), Arc::new(self.clock.clone()));
        let rules: Arc<Rules> = Arc::clone(&self.rules);
        Self { gate: Arc::new(build(Gate::new(store, Arc::new(PlainKeys), rules, clock))), ..self.clone() }
    }
}

fn answer(entries: Vec<Arc<Entry>>, output: u64) -> Outcome {
    let usage = TokenUsage { input: 5, output, ..TokenUsage::default() };
    let (stop, provider_model) = (Stop::Completed, "main".to_owned());
    let answer = ModelAnswer { entries, usage, stop, provider_model, response_id: None, scripted: true };
    Outcome::Confirmed { result: ActionResult::Model(answer) }
}

#[tokio::test]
async fn attempts_inside_a_call_are_reserved_together_and_what_broke_is_booked_as_an_estimate() {
    let house = House::new().await.behind(|gate| gate.with_cards(Arc::new(Retried)));
    let key = house.budget(Payer::Tenant, Window::Day, 3 * BOUND, false).await;
    let (mut driven, committed) = house.begin(1, None).await;
    assert_eq!(house.balance(&key).await, (0, 2 * BOUND), "both attempts are held");
    let (_other, refused) = house.begin(2, None).await;
    assert!(permits(refused).is_empty(), "two calls that might both be tried twice do not fit");
    let opened = permit(committed).open(&house.clock).unwrap();
    // The first was cut after three tokens; the second was answered with two.
    let lost = Some(Lost { heard: 1, output_tokens: 3, unheard: 0 });
    driven.commit(vec![opened.settle_after(answer(Vec::new(), 2), lost)]).await.unwrap();
    assert_eq!((house.balance(&key).await, house.on_disk(&key).await), ((500, 0), (500, 0)));
    let cost = house.bodies(driven.session).await.into_iter().find_map(|body| match body {
        Body::ActionSettled(settled) => settled.cost,
        _ => None,
    });
    let cost = cost.unwrap();
    assert_eq!((cost.amount.as_micros(), cost.estimated, cost.lost_attempts), (500, true, 1));

    // Closed after it was sent, twice: everything that was held is booked, whatever the failure is called.
    let (mut driven, committed) = house.begin(3, None).await;
    let opened = permit(committed).open(&house.clock).unwrap();
    let failure = bailiwick_core::Failure::new(bailiwick_core::FailureCode::ConnectionFailed, "closed");
    let lost = Some(Lost { unheard: 2, ..Lost::default() });
    driven.commit(vec![opened.settle_after(Outcome::Failed { failure }, lost)]).await.unwrap();
    assert_eq!(house.balance(&key).await, (500 + 2 * BOUND, 0));
}

/// A session whose model has called the function `send`.
async fn calling(house: &House, number: u8, spend_limit: Option<i64>) -> (Driven, Committed) {
    let session = SessionId::new(START, [number; 10]);
    let mut created = created(spend_limit.map(Money::from_micros));
    created.agent.tools = vec![FunctionTool {
        name: "send".into(),
        description: String::new(),
        parameters: serde_json::json!({"type": "object"}),
        price: None,
        deferred: false,
    }];
    let message = UserMessage { item: ItemId::new(START, [number; 10]), content: vec![Content::text("Go.")] };
    let input = Some(InputEnvelope { orderer: ASKED_BY, input: Input::Message { messages: vec![message] } });
    let new = NewSession { tenant: TENANT, session, created, input, idempotency: None };
    house.gate.create(new).await.unwrap();
    let mut driven = house.open(session).await;
    let committed = driven.commit(Vec::new()).await.unwrap();
    let body = EntryBody::ToolCall { call_id: "c1".into(), name: "send".into(), arguments: "{}".into() };
    let id = ItemId::new(START, [number, 1, 1, 1, 1, 1, 1, 1, 1, 1]);
    let entries = vec![Arc::new(Entry { id, body, native: None })];
    let opened = permit(committed).open(&house.clock).unwrap();
    let committed = driven.commit(vec![opened.settle(answer(entries, 1))]).await.unwrap();
    (driven, committed)
}

impl Driven {
    /// The application answers the function.
    async fn answer_function(&mut self, result: Result<Vec<Content>, String>) {
        let turn = self.lease.state().turn_id().unwrap();
        // An item's id is one of a kind in the whole store.
        let mut bits = [99; 10];
        bits[..2].copy_from_slice(&self.session.to_u128().to_be_bytes()[14..]);
        let input = Input::ToolResult { turn, call_id: "c1".into(), item: ItemId::new(START, bits), result };
        let stream = self.session.into();
        let head = self.house.store.head(stream).await.unwrap().unwrap();
        let journal = Journal::open(&PlainKeys, TENANT, stream, &head.key).unwrap();
        let inputs = vec![journal.seal_input(&InputEnvelope { orderer: ASKED_BY, input })];
        let submission = Submission { tenant: TENANT, stream, inputs, idempotency: None };
        self.house.store.submit(submission).await.unwrap();
        self.commit(Vec::new()).await.unwrap();
    }
}

#[tokio::test]
async fn a_function_with_a_price_is_reserved_settled_and_refused_like_a_model_call() {
    const PRICE: i64 = 5000;
    let rules = MoneyRules { tools: [("send".to_owned(), Money::from_micros(PRICE))].into(), ..MoneyRules::default() };
    let house = House::new().await.behind(|gate| gate.with_cards(Arc::new(Cards(Some(prices())))).with_money(rules));
    let key = house.budget(Payer::Tenant, Window::Day, 2 * PRICE + 3 * BOUND, false).await;
    let (mut driven, committed) = calling(&house, 1, None).await;
    assert!(matches!(committed.decisions[..], [Decision::Awaited(_)]), "{committed:?}");
    assert_eq!(house.balance(&key).await, (100, PRICE), "held while the application has it");
    driven.answer_function(Ok(vec![Content::text("sent")])).await;
    assert_eq!(house.balance(&key).await, (100 + PRICE, BOUND), "booked; the next call of the model is under way");
    let sums = house.spent(&[SpendBy::Model]).await;
    let of = |sum: &&SpendSum| sum.values[0] == "tool:send";
    assert_eq!(sums.iter().find(of).map(|sum| (sum.calls, sum.cost.as_micros())), Some((1, PRICE)));
    drop(driven);

    // What the application says it did not do is given back.
    let (mut driven, _) = calling(&house, 2, None).await;
    assert_eq!(house.balance(&key).await, (200 + PRICE, BOUND + PRICE));
    driven.answer_function(Err("no".into())).await;
    assert_eq!(house.balance(&key).await.0, 200 + PRICE);

    // A session's own limit holds it too: refused before the application hears of it, and the model is told.
    let (driven, committed) = calling(&house, 3, Some(PRICE + 99)).await;
    assert!(matches!(committed.decisions[0], Decision::Denied(_)), "{committed:?}");
    let exceeded = house.exceeded(driven.session).await.unwrap();
    assert_eq!((exceeded.asked, exceeded.spent, exceeded.limit), (PRICE, 100, PRICE + 99));
}
