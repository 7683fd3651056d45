//! One run: a session from its first message to its last answer, through as many lives of the process as it takes.

use crate::{
    check::{Violation, check},
    hands::{SimCards, SimExecutor, SimModel},
    runtime::{Rest, Runtime},
    store::CrashingStore,
    world::World,
};
use bailiwick_core::{
    AgentConfig, Content, EnvironmentSpec, FunctionTool, Limits, Remit,
    environment::{Hosted, Size},
    item::{RequiredAction, SessionView},
    model::{Reasoning, TextOptions},
    record::{Input, InputEnvelope, Resolution, SessionCreated, UserMessage},
};
use bailiwick_engine::{Handle, Options, Submitted};
use bailiwick_gate::{Gate, NewSession};
use bailiwick_policy::AllowList;
use bailiwick_ports::{
    Clock, Keys, Random, Store, Tasks,
    store::{Idempotency, RowKind, StreamHead},
};
use bailiwick_testkit::{keys::PlainKeys, store::MemoryStore};
use bailiwick_types::{
    AgentId, EnvironmentId, ItemId, KeyId, Millis, NodeId, Principal, SessionId, TenantId, Timestamp,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, PoisonError},
};

/// When the process dies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    pub seed: u64,
    /// Steps after which each life ends; the last life has no end.
    pub deaths: Vec<u64>,
    /// The sandbox dies with the process, from this death on.
    pub sandbox_dies_at: Option<usize>,
}

/// What a run came to.
#[derive(Debug)]
pub struct Outcome {
    pub violations: Vec<Violation>,
    /// Steps of the last life.
    pub steps: u64,
    pub records: u64,
    /// The stream's hash chain at its end: equal chains are equal histories.
    pub chain: [u8; 32],
}

const START: Timestamp = Timestamp::from_millis(1_790_000_000_000);
/// Longer than any simulated session needs, with its lingering and pauses.
const LIFE: Millis = Millis::from_secs(120);

struct Sim {
    runtime: Runtime,
    world: World,
    memory: Arc<dyn Store>,
    keys: Arc<dyn Keys>,
    tenant: TenantId,
    session: SessionId,
    seed: u64,
    /// Messages acknowledged, in order.
    sent: Vec<String>,
    /// Idempotency keys of everything that was acknowledged: it is not said again.
    said: BTreeSet<String>,
}

/// Runs a plan to its end.
pub fn run(plan: &Plan) -> Outcome {
    let runtime = Runtime::new(plan.seed, START);
    let world = World::default();
    let memory: Arc<dyn Store> = Arc::new(MemoryStore::new(Arc::new(runtime.clone())));
    let random: &dyn Random = &runtime;
    let tenant = TenantId::new(START, random.id_bytes());
    let session = SessionId::new(START, random.id_bytes());
    let keys: Arc<dyn Keys> = Arc::new(PlainKeys);
    let mut sim =
        Sim { runtime, world, memory, keys, tenant, session, seed: plan.seed, sent: Vec::new(), said: BTreeSet::new() };
    let mut deaths = plan.deaths.iter().copied();
    let mut death = 0;
    loop {
        let die_in = deaths.next();
        sim.world.revive(die_in);
        if sim.live() {
            break;
        }
        sim.runtime.kill();
        if plan.sandbox_dies_at.is_some_and(|from| death >= from) {
            sim.world.lose_sandbox();
        }
        death += 1;
    }
    let steps = sim.world.lock().step;
    sim.runtime.kill();
    let (violations, head) = sim.inspect();
    let (records, chain) = head.map_or((0, [0; 32]), |head| (head.position, head.chain));
    Outcome { violations, steps, records, chain }
}

impl Sim {
    /// One life of the process. `true` when the session has all its messages and came to rest.
    fn live(&mut self) -> bool {
        let store: Arc<dyn Store> =
            Arc::new(CrashingStore { inner: Arc::clone(&self.memory), world: self.world.clone() });
        let clock: Arc<dyn Clock> = Arc::new(self.runtime.clone());
        let policy = Arc::new(AllowList);
        let gate = Arc::new(Gate::new(Arc::clone(&store), Arc::clone(&self.keys), policy, Arc::clone(&clock)));
        let node = NodeId::from_u128(7);
        let (runtime, world) = (self.runtime.clone(), self.world.clone());
        let engine = Options {
            store: Arc::clone(&store),
            keys: Arc::clone(&self.keys),
            gate,
            model: Arc::new(SimModel { runtime: runtime.clone(), world: world.clone(), seed: self.seed }),
            executor: Arc::new(SimExecutor { runtime: runtime.clone(), world, store: Arc::clone(&self.memory) }),
            cards: Arc::new(SimCards),
            clock,
            random: Arc::new(runtime.clone()),
            tasks: Arc::new(runtime.clone()),
            node,
            max_driven: 4,
        }
        .build();
        let handle = engine.handle();
        let memory = Arc::clone(&self.memory);
        runtime.spawn(
            "engine",
            Box::pin(async move {
                let _ = memory.release_node(node).await;
                engine.run(std::future::pending()).await;
            }),
        );
        self.serve(&handle)
    }

    /// Plays client, application and person until nothing is left to say.
    fn serve(&mut self, handle: &Handle) -> bool {
        let messages = 1 + self.seed % 3;
        for _ in 0..400 {
            let view = self.view();
            let next = match &view {
                None => Some(self.message(0)),
                Some(view) => match self.answer(view) {
                    Some(answer) => Some(answer),
                    None if (self.sent.len() as u64) < messages && self.may_speak(view) => {
                        Some(self.message(self.sent.len()))
                    }
                    None => None,
                },
            };
            let Some((key, input, text)) = next else {
                if self.rest_until_change(&view).is_none() {
                    return false;
                }
                let now = self.view();
                let quiet = now.as_ref().is_some_and(|view| view.status == bailiwick_core::item::SessionStatus::Idle);
                if now == view && quiet && self.sent.len() as u64 >= messages {
                    return true;
                }
                continue;
            };
            match self.send(handle, view.is_none(), &key, input) {
                Some(()) => {
                    self.said.insert(key);
                    self.sent.extend(text);
                }
                None => return false,
            }
        }
        self.world.complain("the session never came to rest".into());
        true
    }

    /// Some messages come while a turn is running, to steer it.
    fn may_speak(&self, view: &SessionView) -> bool {
        view.status == bailiwick_core::item::SessionStatus::Idle || self.seed.is_multiple_of(5)
    }

    fn message(&self, index: usize) -> (String, Input, Option<String>) {
        let text = format!("message {index} of {}", self.seed);
        let item = ItemId::new(START, [index as u8; 10]);
        let message = UserMessage { item, content: vec![Content::text(text.clone())] };
        (format!("message-{index}"), Input::Message { messages: vec![message] }, Some(text))
    }

    /// What application or person owe the session.
    fn answer(&self, view: &SessionView) -> Option<(String, Input, Option<String>)> {
        let owed = view.required_actions.iter().filter_map(|required| match required {
            RequiredAction::FunctionCall { turn, call_id, .. } => {
                let item = ItemId::new(START, call_id.bytes().cycle().take(10).collect::<Vec<_>>().try_into().ok()?);
                let result = Ok(vec![Content::text("42")]);
                let input = Input::ToolResult { turn: *turn, call_id: call_id.clone(), item, result };
                Some((format!("result-{turn}-{call_id}"), input, None))
            }
            RequiredAction::ResolveOutcome { action, .. } => {
                let how = [Resolution::Happened, Resolution::DidNotHappen, Resolution::DoAgain];
                let resolution = how[(self.seed % 3) as usize];
                let input = Input::Resolve { action: *action, resolution };
                Some((format!("resolve-{action}"), input, None))
            }
            RequiredAction::EnvironmentConnection { .. } => None,
        });
        let mut owed = owed.filter(|(key, _, _)| !self.said.contains(key));
        owed.next()
    }

    /// Sends until acknowledged, with one idempotency key. `None` when the process died first.
    fn send(&mut self, handle: &Handle, create: bool, key: &str, input: Input) -> Option<()> {
        let envelope = InputEnvelope { orderer: Principal::Service { key: KeyId::from_u128(1) }, input };
        let idempotency = Some(Idempotency { scope: "sim".into(), key: key.to_owned(), digest: [1; 32] });
        let acknowledged: Arc<Mutex<Option<Result<Submitted, String>>>> = Arc::default();
        let (tenant, session, handle, slot) = (self.tenant, self.session, handle.clone(), Arc::clone(&acknowledged));
        let work = async move {
            let done = if create {
                let created = created();
                handle.create(NewSession { tenant, session, created, input: Some(envelope), idempotency }).await
            } else {
                handle.submit(tenant, session, vec![envelope], idempotency).await
            };
            *slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(done.map_err(|error| error.to_string()));
        };
        self.runtime.start(Box::pin(work));
        let heard = || acknowledged.lock().unwrap_or_else(PoisonError::into_inner).is_some();
        let world = self.world.clone();
        let horizon = self.runtime.now() + LIFE;
        self.runtime.run(horizon, || heard() || world.is_dead());
        let answer = acknowledged.lock().unwrap_or_else(PoisonError::into_inner).take();
        match answer {
            Some(Ok(Submitted::Accepted { .. })) => Some(()),
            Some(other) => {
                self.world.complain(format!("{key} was not accepted: {other:?}"));
                Some(())
            }
            None => None,
        }
    }

    /// Lets the process work until the session's row changes or nothing more happens. `None` when it died.
    fn rest_until_change(&mut self, before: &Option<SessionView>) -> Option<()> {
        // Unless it changes, wait longer than any pause, linger or look.
        for _ in 0..40 {
            let world = self.world.clone();
            let horizon = self.runtime.now() + Millis(500);
            let rest = self.runtime.run(horizon, || world.is_dead());
            if self.world.is_dead() {
                return None;
            }
            if rest == Rest::Endless {
                self.world.complain("the engine spins".into());
                return Some(());
            }
            self.runtime.skip_to(horizon);
            if &self.view() != before {
                return Some(());
            }
        }
        Some(())
    }

    fn view(&self) -> Option<SessionView> {
        let journal = self.journal()?;
        let row = now(self.memory.row(self.tenant, RowKind::Session, self.session.to_u128()))?.ok()??;
        journal.open_row(RowKind::Session, &row).ok()
    }

    fn journal(&self) -> Option<bailiwick_gate::Journal> {
        let head = now(self.memory.head(self.session.into()))?.ok()??;
        bailiwick_gate::Journal::open(&*self.keys, self.tenant, self.session.into(), &head.key).ok()
    }

    fn inspect(&self) -> (Vec<Violation>, Option<StreamHead>) {
        let Some(journal) = self.journal() else { return (vec!["there is no session".into()], None) };
        let checked = now(check(&*self.memory, &journal, self.tenant, self.session, &self.world, &self.sent));
        let head = now(self.memory.head(self.session.into())).and_then(Result::ok).flatten();
        let violations = checked.unwrap_or_else(|| vec!["the memory store waited".into()]);
        (violations, head)
    }
}

/// The memory store answers at once.
fn now<T>(future: impl Future<Output = T>) -> Option<T> {
    futures_util::FutureExt::now_or_never(future)
}

fn created() -> SessionCreated {
    let function = FunctionTool {
        name: "ask_application".into(),
        description: "Asks the application.".into(),
        parameters: serde_json::json!({"type": "object"}),
    };
    let agent = AgentConfig {
        id: AgentId::from_u128(1),
        version: 1,
        name: None,
        model: "main".into(),
        instructions: None,
        tools: vec![function],
        reasoning: Reasoning::default(),
        text: TextOptions::default(),
        service_tier: "auto".into(),
        remit: Remit::default(),
        limits: Limits { parallel_actions: 2, ..Limits::default() },
    };
    let hosted = Hosted {
        id: EnvironmentId::from_u128(1),
        size: Size::Small,
        env: BTreeMap::new(),
        files: Vec::new(),
        setup_commands: Vec::new(),
    };
    SessionCreated {
        agent,
        environment: EnvironmentSpec::Hosted(hosted),
        metadata: BTreeMap::new(),
        creator: Principal::Service { key: KeyId::from_u128(1) },
    }
}
