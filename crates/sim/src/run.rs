//! One run: a session from its first message to its last answer, through as many lives of the process as it takes.

use crate::{
    asking::{Asking, standing, stands},
    check::{Violation, check},
    hands::{SimCards, SimExecutor, SimModel},
    money,
    objects::CrashingObjects,
    runtime::{Rest, Runtime},
    snapshots,
    store::CrashPoints,
    world::World,
};
use bailiwick_core::{
    AgentConfig, Approver, Content, EnvironmentSpec, FunctionTool, Limits, ListPage, Remit,
    environment::{Hosted, HostedFile, Size},
    grant::Revocation,
    item::{RequiredAction, SessionView},
    model::{Reasoning, TextOptions},
    record::{Input, InputEnvelope, Resolution, SessionCreated, UserMessage},
};
use bailiwick_engine::{Handle, Options, Submitted};
use bailiwick_gate::{Administrator, Archive, Gate, GrantError, NewSession, ORPHAN_AGE};
use bailiwick_ports::{
    BoxFuture, Clock, Fronted, Keys, Objects, Random, Store, Tasks,
    store::{Document, DocumentKind, Idempotency, Page, RowKind, RowQuery, StreamHead, Tenant},
};
use bailiwick_testkit::{
    keys::PlainKeys,
    store::{MemoryObjects, MemoryStore},
};
use bailiwick_types::{
    AgentId, ArtifactId, EnvironmentId, FileId, GrantId, ItemId, KeyId, Millis, NodeId, Principal, SessionId, TenantId,
    Timestamp,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, PoisonError},
};

/// What client, application and person say in one life at most. A model that goes round in circles is ended by its limit
/// of 200 steps, each of which may be asked about and answered twice.
const MOST_WORDS: usize = 2_000;

/// When the process dies.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    pub seed: u64,
    /// Steps after which each life ends; the last life has no end.
    pub deaths: Vec<u64>,
    /// The sandbox dies with the process, from this death on.
    pub sandbox_dies_at: Option<usize>,
    /// Messages on top of those that the seed says, for a long session.
    pub more_messages: u64,
    /// The session is deleted at its end, and nothing of it may stay.
    pub deletes: bool,
    /// Every death takes all snapshots along.
    pub loses_snapshots: bool,
    /// At the end, a snapshot of each position is tried in place of the records before it.
    pub tries_snapshots: bool,
}

/// What a run came to.
#[derive(Debug)]
pub struct Outcome {
    pub violations: Vec<Violation>,
    /// Steps of the last life.
    pub steps: u64,
    pub records: u64,
    /// Actions that did not fit a limit.
    pub refused: u64,
    /// Actions that nobody was asked about because an answer stood.
    pub stood: u64,
    /// Looks into the environment, and attempts of model calls that broke and may have to be paid for.
    pub looks: u64,
    pub lost: u64,
    /// Records that were read, in all lives.
    pub records_read: u64,
    /// The stream's hash chain at its end: equal chains are equal histories.
    pub chain: [u8; 32],
}

const START: Timestamp = Timestamp::from_millis(1_790_000_000_000);
/// Longer than any simulated session needs, with its lingering and pauses.
const LIFE: Millis = Millis::from_secs(120);

/// How long a client waits for what it wants to see.
const LOOKS_FOR: Millis = Millis::from_secs(5);

struct Sim {
    runtime: Runtime,
    world: World,
    memory: MemoryStore,
    objects: MemoryObjects,
    keys: Arc<dyn Keys>,
    tenant: TenantId,
    session: SessionId,
    seed: u64,
    messages: u64,
    /// Messages acknowledged, in order.
    sent: Vec<String>,
    /// The file that came with the session, and the bytes that are somebody else's.
    laid_in: FileId,
    foreign: FileId,
    /// The deletion was acknowledged.
    deleted: bool,
    deletes: bool,
    /// Idempotency keys of everything that was acknowledged: it is not said again.
    said: BTreeSet<String>,
    /// The answer that stands.
    grant: Option<GrantId>,
}

/// Runs a plan to its end.
pub fn run(plan: &Plan) -> Outcome {
    let runtime = Runtime::new(plan.seed, START);
    let world = World::default();
    let memory = MemoryStore::new(Arc::new(runtime.clone()));
    let random: &dyn Random = &runtime;
    let tenant = TenantId::new(START, random.id_bytes());
    let session = SessionId::new(START, random.id_bytes());
    let keys: Arc<dyn Keys> = Arc::new(PlainKeys);
    let (laid_in, foreign) = (FileId::new(START, [1; 10]), FileId::new(START, [2; 10]));
    let mut sim = Sim {
        runtime,
        world,
        memory,
        objects: MemoryObjects::new(),
        keys,
        tenant,
        session,
        seed: plan.seed,
        messages: 1 + plan.seed % 3 + plan.more_messages,
        sent: Vec::new(),
        laid_in,
        foreign,
        deleted: false,
        deletes: plan.deletes,
        said: BTreeSet::new(),
        grant: None,
    };
    sim.prepare();
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
        if plan.loses_snapshots {
            sim.memory.forget_snapshots();
        }
        death += 1;
    }
    let steps = sim.world.lock().step;
    sim.runtime.kill();
    let records_read = sim.memory.records_read();
    let (mut violations, head) = sim.inspect();
    if plan.tries_snapshots {
        violations.extend(sim.try_snapshots());
    }
    let (records, chain) = head.map_or((0, [0; 32]), |head| (head.position, head.chain));
    let world = sim.world.lock();
    let (refused, stood, looks, lost) = (world.refused, world.stood, world.looks, world.lost);
    drop(world);
    Outcome { violations, steps, records, refused, stood, looks, lost, records_read, chain }
}

impl Sim {
    /// What is there before the session: its tenant, the bytes that come with it, and those of somebody else.
    fn prepare(&self) {
        let (key, _) = self.keys.create(self.tenant, self.tenant.into());
        let name = "sim".into();
        let tenant = Tenant { id: self.tenant, name, key };
        now(self.memory.put_tenant(tenant.clone())).and_then(Result::ok);
        now(money::prepare(&self.memory, &*self.keys, &tenant, self.seed)).and_then(Result::ok);
        let archive = self.archive(None);
        for file in [self.laid_in, self.foreign] {
            now(archive.put_file(self.tenant, file, b"kept")).and_then(Result::ok);
        }
    }

    /// With crash points where there is a world.
    fn archive(&self, world: Option<&World>) -> Archive {
        let (store, objects): (Arc<dyn Store>, Arc<dyn Objects>) = match world {
            None => (Arc::new(self.memory.clone()), Arc::new(self.objects.clone())),
            Some(world) => (
                Arc::new(Fronted::new(Arc::new(self.memory.clone()), CrashPoints(world.clone()))),
                Arc::new(CrashingObjects { inner: self.objects.clone(), world: world.clone() }),
            ),
        };
        Archive::new(store, Arc::clone(&self.keys), objects)
    }

    /// One life of the process. `true` when the session has all its messages and came to rest.
    fn live(&mut self) -> bool {
        let store: Arc<dyn Store> =
            Arc::new(Fronted::new(Arc::new(self.memory.clone()), CrashPoints(self.world.clone())));
        let clock: Arc<dyn Clock> = Arc::new(self.runtime.clone());
        let policy = Arc::new(Asking { seed: self.seed });
        let gate = Gate::new(Arc::clone(&store), Arc::clone(&self.keys), policy, Arc::clone(&clock));
        let gate = Arc::new(gate.with_cards(Arc::new(SimCards { seed: self.seed })));
        let node = NodeId::from_u128(7);
        let (runtime, world) = (self.runtime.clone(), self.world.clone());
        let archive = self.archive(Some(&world));
        let memory: Arc<dyn Store> = Arc::new(self.memory.clone());
        let executor = SimExecutor {
            runtime: runtime.clone(),
            world: world.clone(),
            store: Arc::clone(&memory),
            archive: archive.clone(),
        };
        let engine = Options {
            store: Arc::clone(&store),
            keys: Arc::clone(&self.keys),
            gate,
            archive,
            model: Arc::new(SimModel { runtime: runtime.clone(), world: world.clone(), seed: self.seed }),
            executor: Arc::new(executor),
            tools: Arc::new(bailiwick_gate::NoTools),
            memory: Arc::new(bailiwick_gate::NoMemory),
            cards: Arc::new(SimCards { seed: self.seed }),
            clock,
            random: Arc::new(runtime.clone()),
            tasks: Arc::new(runtime.clone()),
            node,
            max_driven: 4,
        }
        .build();
        let handle = engine.handle();
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
        for _ in 0..MOST_WORDS {
            let view = self.view();
            // Nobody may have heard that it was deleted.
            self.deleted |= view.is_none() && self.journal().is_some();
            if self.deleted {
                return self.wait_out();
            }
            if self.grants(handle, view.as_ref()).is_none() {
                return false;
            }
            let next = match &view {
                None => Some(self.message(0)),
                Some(view) => match self.answer(view) {
                    Some(answer) => Some(answer),
                    None if self.wants_a_look() => Some(self.look()),
                    None if (self.sent.len() as u64) < self.messages && self.may_speak(view) => {
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
                if now == view && quiet && self.sent.len() as u64 >= self.messages {
                    if !self.deletes {
                        return true;
                    }
                    self.deleted = self.send(handle, false, "delete", Input::Delete).is_some();
                    if !self.deleted {
                        return false;
                    }
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

    /// Once commands are asked about, in some seeds before, the operator lets them be, and takes that back when the last
    /// message was sent.
    /// `None` when the process died over it.
    fn grants(&mut self, handle: &Handle, view: Option<&SessionView>) -> Option<()> {
        let asked = |required: &RequiredAction| match required {
            RequiredAction::Approval(asked) => matches!(asked.question.approver, Approver::Second { .. }),
            _ => false,
        };
        let early = self.seed.is_multiple_of(4);
        let is_asked = view.is_some_and(|view| early || view.required_actions.iter().any(asked));
        let late = self.sent.len() as u64 + 1 > self.messages;
        let revoked = self.world.lock().revoked.is_some();
        if !stands(self.seed) || revoked || (self.grant.is_none() && !is_asked) || (self.grant.is_some() && !late) {
            return Some(());
        }
        let at = self.runtime.now();
        let (tenant, session, grant, handle) = (self.tenant, self.session, self.grant, handle.clone());
        let store: Arc<dyn Store> =
            Arc::new(Fronted::new(Arc::new(self.memory.clone()), CrashPoints(self.world.clone())));
        let administrator = Administrator::new(store, Arc::clone(&self.keys), Arc::new(self.runtime.clone()));
        let done: Arc<Mutex<Option<Result<GrantId, GrantError>>>> = Arc::default();
        let slot = Arc::clone(&done);
        let work = async move {
            let grants = handle.gate().grants();
            let done = match grant {
                None => {
                    let grant = standing(session, AgentId::from_u128(1), KeyId::from_u128(1), START);
                    grants.give(&administrator, tenant, grant).await
                }
                Some(id) => {
                    let revocation = Revocation { by: Principal::Operator, at, reason: None };
                    grants.revoke(&administrator, tenant, id, revocation).await
                }
            };
            *slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(done.map(|grant| grant.id));
        };
        self.runtime.start(Box::pin(work));
        let heard = || done.lock().unwrap_or_else(PoisonError::into_inner).is_some();
        let world = self.world.clone();
        let horizon = self.runtime.now() + LIFE;
        self.runtime.run(horizon, || heard() || world.is_dead());
        match (done.lock().unwrap_or_else(PoisonError::into_inner).take()?, grant) {
            (Ok(id), None) => self.grant = Some(id),
            // It was revoked in an earlier life that did not hear of it.
            (Ok(_) | Err(GrantError::Ended), Some(_)) => {
                self.world.lock().revoked = Some(self.runtime.now());
            }
            (Err(error), _) => self.world.complain(format!("a grant went wrong: {error}")),
        }
        Some(())
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

    /// In some seeds the client looks at the files of the environment, once after each message.
    fn wants_a_look(&self) -> bool {
        self.seed % 4 == 1 && !self.said.contains(&self.look().0)
    }

    fn look(&self) -> (String, Input, Option<String>) {
        let page = ListPage { after: None, limit: 10, descending: false };
        let input = Input::Look { path: "/workspace".into(), page, until: self.runtime.now() + LOOKS_FOR };
        (format!("look-{}", self.sent.len()), input, None)
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
            RequiredAction::Approval(asked) => {
                let approve = !asked.action.to_u128().is_multiple_of(4);
                let input = Input::Answer { action: asked.action, approve, reason: None, replies: None };
                // Where two are needed, the one who ordered it tries first, and that must not count.
                let own = format!("own-word-{}", asked.action);
                let second = matches!(asked.question.approver, Approver::Second { .. });
                let key = if second && !self.said.contains(&own) { own } else { format!("word-{}", asked.action) };
                Some((key, input, None))
            }
            RequiredAction::EnvironmentConnection { .. } => None,
        });
        let mut owed = owed.filter(|(key, _, _)| !self.said.contains(key));
        owed.next()
    }

    /// Whether this word is about an action that the one who ordered it has spoken on in vain.
    fn asks_a_second(&self, key: &str) -> bool {
        self.said.contains(&format!("own-{key}"))
    }

    /// Sends until acknowledged, with one idempotency key. `None` when the process died first.
    fn send(&mut self, handle: &Handle, create: bool, key: &str, input: Input) -> Option<()> {
        // Words that were asked of a second person come from the operator; who ordered it says no more than he may.
        let second = key.starts_with("word-") && self.asks_a_second(key);
        let orderer = if second { Principal::Operator } else { Principal::Service { key: KeyId::from_u128(1) } };
        let envelope = InputEnvelope { orderer, input };
        let idempotency = Some(Idempotency { scope: "sim".into(), key: key.to_owned(), digest: [1; 32] });
        let acknowledged: Arc<Mutex<Option<Result<Submitted, String>>>> = Arc::default();
        let (tenant, session, handle, slot) = (self.tenant, self.session, handle.clone(), Arc::clone(&acknowledged));
        let (laid_in, seed) = (self.laid_in, self.seed);
        let work = async move {
            let done = if create {
                let created = created(laid_in, seed);
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

    /// Lets the process do what is left. `false` when it died over it.
    fn wait_out(&mut self) -> bool {
        let world = self.world.clone();
        let horizon = self.runtime.now() + LIFE;
        self.runtime.run(horizon, || world.is_dead());
        !self.world.is_dead()
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
        let checked = now(check(&self.memory, &journal, self.tenant, self.session, &self.world, &self.sent));
        let head = now(self.memory.head(self.session.into())).and_then(Result::ok).flatten();
        let mut violations = checked.unwrap_or_else(|| vec!["the memory store waited".into()]);
        self.left_behind(&mut violations);
        (violations, head)
    }

    /// Which objects are there, and are nobody's after a day. A deletion leaves nothing that it knew of, at once.
    fn left_behind(&self, wrong: &mut Vec<Violation>) {
        let names = || now(self.objects.names(self.tenant, None, 10_000)).and_then(Result::ok).unwrap_or_default();
        let query = |kind| RowQuery {
            tenant: self.tenant,
            kind,
            scope: self.session.to_u128(),
            parent: None,
            labels: Vec::new(),
            page: Page { limit: 10_000, ..Page::default() },
        };
        let rows = |kind| now(self.memory.rows(query(kind))).and_then(Result::ok).flatten().unwrap_or_default().0;
        let published = rows(RowKind::Artifact).into_iter().map(|row| ArtifactId::from_u128(row.id).to_string());
        let mut expected: BTreeSet<String> = published.collect();
        if self.deleted {
            if names().contains(&self.laid_in.to_string()) {
                wrong.push("the file of a deleted session is there".into());
            }
            if [RowKind::Turn, RowKind::Item, RowKind::Artifact].into_iter().any(|kind| !rows(kind).is_empty()) {
                wrong.push("rows of a deleted session are there".into());
            }
            if self.world.lock().closed == 0 {
                wrong.push("the environment of a deleted session was not closed".into());
            }
            let ready = now(self.memory.ready(10)).and_then(Result::ok).unwrap_or_default();
            if !ready.is_empty() {
                wrong.push("a deleted session is due for ever".into());
            }
        } else {
            expected.insert(self.laid_in.to_string());
        }
        expected.insert(self.foreign.to_string());
        if !expected.iter().all(|name| names().contains(name)) {
            wrong.push(format!("there is only {:?} of {expected:?}", names()));
        }
        // What nobody refers to is there for a day, and then it is not.
        let document = Document {
            kind: DocumentKind::File,
            id: self.foreign.to_u128(),
            version: 1,
            created: START,
            updated: START,
            handle: None,
            sealed: bytes::Bytes::new(),
        };
        now(self.memory.put_document(self.tenant, document));
        let before = names();
        self.sweep(ORPHAN_AGE.0 / 2);
        if names() != before {
            wrong.push("objects were removed that somebody may be about to refer to".into());
        }
        self.sweep(ORPHAN_AGE.0 * 2);
        let left: BTreeSet<String> = names().into_iter().collect();
        if left != expected {
            wrong.push(format!("a day later there is {left:?} instead of {expected:?}"));
        }
    }

    /// Looks for orphans this long after the beginning.
    fn sweep(&self, after: u64) {
        let at = self.runtime.now().max(START + Millis(after));
        now(self.archive(None).sweep(&Standing(at)));
    }

    fn try_snapshots(&self) -> Vec<Violation> {
        let Some(journal) = self.journal() else { return vec!["there is no session".into()] };
        let clock: Arc<dyn Clock> = Arc::new(self.runtime.clone());
        let store: Arc<dyn Store> = Arc::new(self.memory.clone());
        let gate = Gate::new(store, Arc::clone(&self.keys), Arc::new(Asking { seed: self.seed }), clock);
        let tried = now(snapshots::try_all(&self.memory, &gate, &journal, self.session));
        tried.unwrap_or_else(|| vec!["the memory store waited".into()])
    }
}

/// A clock on which nobody waits.
struct Standing(Timestamp);

impl Clock for Standing {
    fn now(&self) -> Timestamp {
        self.0
    }

    fn sleep_until(&self, _: Timestamp) -> BoxFuture<'static, ()> {
        Box::pin(std::future::ready(()))
    }
}

/// The memory store answers at once.
fn now<T>(future: impl Future<Output = T>) -> Option<T> {
    futures_util::FutureExt::now_or_never(future)
}

fn created(laid_in: FileId, seed: u64) -> SessionCreated {
    let function = FunctionTool {
        name: "ask_application".into(),
        description: "Asks the application.".into(),
        parameters: serde_json::json!({"type": "object"}),
        price: money::price_of_asking(seed),
        deferred: false,
    };
    let agent = AgentConfig {
        id: AgentId::from_u128(1),
        version: 1,
        name: None,
        model: "main".into(),
        instructions: None,
        tools: vec![function],
        tool_search: false,
        connectors: Vec::new(),
        memory: None,
        skills: Vec::new(),
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
        files: vec![HostedFile {
            file: laid_in,
            path: "/workspace/in".into(),
            size_bytes: 4,
            inline: true,
            label: Default::default(),
        }],
        setup_commands: Vec::new(),
        skills: Vec::new(),
        skill_folders: Vec::new(),
    };
    SessionCreated {
        agent,
        environment: EnvironmentSpec::Hosted(hosted),
        metadata: BTreeMap::new(),
        creator: Principal::Service { key: KeyId::from_u128(1) },
        spend_limit: money::session_limit(seed),
        auto_review: false,
        label: Default::default(),
        vaults: Vec::new(),
    }
}
