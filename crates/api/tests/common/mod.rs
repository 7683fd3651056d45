//! A whole server without sockets: real gate, engine, credentials and API over a store in memory, with a model and an
//! executor that the test scripts.

#![allow(dead_code, reason = "each test binary uses a part of this")]
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::type_complexity,
    reason = "tests own the clock and tasks"
)]

pub mod systems;
mod wire;

#[allow(unused_imports, reason = "each test binary uses a part of this")]
pub use wire::{Answer, Event, Events, form, form_to, request, shorts, signed, upload};

use async_trait::async_trait;
use axum::{
    Router,
    body::Body,
    http::{Request, StatusCode},
};
use bailiwick_api::{Api, Limits, Options};
use bailiwick_audit::Audit;
use bailiwick_core::{
    Action, ActionResult, CommandEnd, CommandOutput, Content, Entry, EntryBody, EnvironmentFacts, Failure, FailureCode,
    FoundFile, Listing, ModelAnswer, ModelRequest, Outcome, Phase, Published, SkillLoad, Stop,
};
use bailiwick_engine::{Eraser, EraserOptions, Handle};
use bailiwick_gate::{
    Administrator, Archive, Delta, Executor, ExecutorDoor, ExecutorLine, Gate, Holds, Live, Model, Permit, Settled,
};
use bailiwick_identity::{
    Credentials, Issuer, Lives, LogKeys, NewAccessKey, NewApiKey, PasswordCost, Reception, Roster, SignInOptions,
    SignIns, Strongroom, TokenOptions,
};
use bailiwick_policy::{Desk, DeskParts, Policies};
use bailiwick_ports::{
    Administration, BoxFuture, Clock, ErasedPerson, ErasureList, ModelCard, ModelCards, Policy, Prices, Scope, Store,
    TaskHandle, Tasks, VaultDesk, memory::MemoryDesk,
};
use bailiwick_store::{DataFolder, SqliteMemories};
use bailiwick_testkit::{
    keys::PlainKeys,
    random::SeededRandom,
    store::{MemoryObjects, MemoryStore},
};
use bailiwick_types::{
    ArtifactId, EnvironmentId, ItemId, Millis, Money, NodeId, Principal, Secret, SessionId, TenantId, Timestamp,
    TokenUsage,
};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex},
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use tokio::sync::{Notify, mpsc};
use tower::ServiceExt;

/// What everybody here signs in with.
pub const PASSWORD: &str = "seven grey herons at dusk";

/// The machine's clock: nothing here depends on how fast it goes.
#[derive(Clone, Copy)]
pub struct RealClock;

impl Clock for RealClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as i64)
    }

    fn sleep_until(&self, until: Timestamp) -> BoxFuture<'static, ()> {
        Box::pin(tokio::time::sleep(until.since(self.now()).as_duration()))
    }
}

struct RealTasks;

impl Tasks for RealTasks {
    fn spawn(&self, _: &'static str, work: BoxFuture<'static, ()>) -> TaskHandle {
        let handle = tokio::spawn(work).abort_handle();
        TaskHandle::new(move || handle.abort())
    }
}

/// The handles that a prompt names, in their order. A script writes them as `$HELD0`, `$HELD1`.
pub fn handles_in(request: Option<&Arc<ModelRequest>>) -> Vec<String> {
    let told = request.map(|request| serde_json::to_string(&request.input).unwrap()).unwrap_or_default();
    let mut handles = Vec::new();
    for handle in told.split("Held as {{held:").skip(1) {
        handles.push(format!("{{{{held:{}}}}}", handle.split("}}").next().unwrap()));
    }
    handles
}

/// One answer of the model.
#[derive(Default)]
pub struct Say {
    pub entries: Vec<EntryBody>,
    /// Streamed before the answer settles; the text of entry `index`.
    pub deltas: Vec<(u16, &'static str)>,
    pub thoughts: Vec<(u16, u16, &'static str)>,
    /// Streamed, then taken back.
    pub false_start: Option<&'static str>,
    /// Answers only then, or when it is cancelled.
    pub wait: Option<Arc<Notify>>,
    pub failure: Option<Failure>,
}

pub fn say(text: &str) -> Say {
    Say { entries: vec![assistant(text)], ..Say::default() }
}

pub fn assistant(text: &str) -> EntryBody {
    EntryBody::Assistant { text: text.into(), phase: Some(Phase::FinalAnswer) }
}

pub fn call(call_id: &str, name: &str, arguments: Value) -> EntryBody {
    EntryBody::ToolCall { call_id: call_id.into(), name: name.into(), arguments: arguments.to_string() }
}

pub fn calls(entries: Vec<EntryBody>) -> Say {
    Say { entries, ..Say::default() }
}

#[derive(Clone, Default)]
pub struct ScriptedModel {
    pub script: Arc<Mutex<VecDeque<Say>>>,
    pub seen: Arc<Mutex<Vec<Arc<ModelRequest>>>>,
}

impl ScriptedModel {
    /// What it was asked so far.
    pub fn requests(&self) -> Vec<Arc<ModelRequest>> {
        self.seen.lock().unwrap().clone()
    }
}

#[async_trait]
impl Model for ScriptedModel {
    async fn call(&self, permit: Permit, live: Live) -> Settled {
        let opened = match permit.open(&RealClock) {
            Ok(opened) => opened,
            Err(settled) => return settled,
        };
        let id = opened.id();
        if let Some(request) = opened.request() {
            self.seen.lock().unwrap().push(Arc::clone(request));
        }
        let say = self.script.lock().unwrap().pop_front().unwrap_or_else(|| say("Nothing more is scripted."));
        if let Some(text) = say.false_start {
            live.emit(Delta::Text { item: ItemId::of_output(id, 0), index: 0, text: text.into() });
            live.emit(Delta::Restarted);
        }
        for (index, part, text) in &say.thoughts {
            let (item, text) = (ItemId::of_output(id, *index), (*text).to_owned());
            live.emit(Delta::ReasoningSummary { item, index: *index, part: *part, text });
        }
        for (index, text) in &say.deltas {
            live.emit(Delta::Text { item: ItemId::of_output(id, *index), index: *index, text: (*text).into() });
        }
        if let Some(wait) = &say.wait {
            tokio::select! {
                () = wait.notified() => {}
                () = live.cancelled() => {
                    let failure = Failure::new(FailureCode::Cancelled, "cancelled");
                    return opened.settle(Outcome::Failed { failure });
                }
            }
        }
        if let Some(failure) = say.failure {
            return opened.settle(Outcome::Failed { failure });
        }
        let handles = handles_in(opened.request());
        let entry = |(index, mut body): (usize, EntryBody)| {
            if let EntryBody::ToolCall { arguments, .. } = &mut body {
                for (number, handle) in handles.iter().enumerate() {
                    *arguments = arguments.replace(&format!("$HELD{number}"), handle);
                }
            }
            Arc::new(Entry { id: ItemId::of_output(id, index as u16), body, native: None })
        };
        let answer = ModelAnswer {
            entries: say.entries.into_iter().enumerate().map(entry).collect(),
            usage: TokenUsage { input: 10, cached_input: 4, output: 5, reasoning_output: 2 },
            stop: Stop::Completed,
            provider_model: "scripted".into(),
            response_id: None,
            scripted: true,
        };
        opened.settle(Outcome::Confirmed { result: ActionResult::Model(answer) })
    }
}

/// Runs nothing: a command prints its own text, `lost` commands have an unknown outcome, `slow` ones wait.
#[derive(Clone)]
pub struct FakeExecutor {
    pub archive: Archive,
    pub release: Arc<Notify>,
    pub outputs: Arc<Mutex<Vec<(String, Vec<u8>)>>>,
    /// Those that lie in the environment.
    pub files: Arc<Mutex<Vec<FoundFile>>>,
    /// What reading a file there gives.
    pub texts: Arc<Mutex<BTreeMap<String, String>>>,
    pub closed: mpsc::UnboundedSender<SessionId>,
}

#[async_trait]
impl Executor for FakeExecutor {
    async fn perform(&self, permit: Permit, live: Live) -> Settled {
        let opened = match permit.open(&RealClock) {
            Ok(opened) => opened,
            Err(settled) => return settled,
        };
        let result = match opened.action() {
            Action::EnvironmentStart { .. } => ActionResult::Environment(EnvironmentFacts {
                isolation: "process".into(),
                missing_limits: vec!["memory: no cgroup".into()],
                executor_session: Some("hidden-executor-session".into()),
                executor_version: Some("1".into()),
            }),
            Action::CommandRun(run) if run.command.starts_with("lost") => {
                return opened.settle(Outcome::Unknown { reason: "the executor went away".into() });
            }
            Action::CommandRun(run) => {
                live.emit(Delta::CommandOutput { text: "first ".into() });
                if run.command.starts_with("slow") {
                    tokio::select! {
                        () = self.release.notified() => {}
                        () = live.cancelled() => {
                            let output = CommandOutput { ended: CommandEnd::Cancelled, ..CommandOutput::default() };
                            let result = ActionResult::Command(output);
                            return opened.settle(Outcome::Confirmed { result });
                        }
                    }
                }
                live.emit(Delta::CommandOutput { text: "second".into() });
                let output = "first second".to_owned();
                ActionResult::Command(CommandOutput { output, exit_code: Some(0), ..CommandOutput::default() })
            }
            Action::ArtifactPublish { .. } => {
                let (tenant, session) = (opened.scope().tenant, opened.scope().session);
                let files = std::mem::take(&mut *self.outputs.lock().unwrap());
                let mut artifacts = Vec::new();
                for (path, bytes) in files {
                    let id = ArtifactId::new(RealClock.now(), rand_bytes(&path));
                    self.archive.put_artifact(tenant, session, id, &bytes).await.unwrap();
                    let size_bytes = bytes.len() as u64;
                    artifacts.push(Published { id, path, size_bytes, object: id.to_string() });
                }
                ActionResult::Artifacts { artifacts }
            }
            Action::FileList { path, page: Some(page), .. } => {
                let files = self.files.lock().unwrap().clone();
                let below = files.into_iter().filter(|file| file.path.starts_with(&format!("{path}/"))).collect();
                let (files, more) = page.cut(below, |file: &FoundFile| &file.path);
                ActionResult::Files(Listing { files, more })
            }
            Action::FileAdd { path, size_bytes, .. } => {
                let (path, size_bytes) = (path.clone(), *size_bytes);
                let mut files = self.files.lock().unwrap();
                files.retain(|file| file.path != path);
                files.push(FoundFile { path, size_bytes });
                ActionResult::Content { content: vec![Content::text("done")] }
            }
            Action::FileRead { path, .. } => {
                let text = self.texts.lock().unwrap().get(path).cloned();
                ActionResult::Content { content: vec![Content::text(text.unwrap_or_else(|| "done".into()))] }
            }
            Action::SkillLoad(load) if load.skill.file().is_some() => match self.skill(&opened, load).await {
                Ok(text) => ActionResult::Content { content: vec![Content::text(text)] },
                Err(problem) => {
                    let failure = Failure::new(FailureCode::ToolError, problem);
                    return opened.settle(Outcome::Failed { failure });
                }
            },
            _ => ActionResult::Content { content: vec![Content::text("done")] },
        };
        opened.settle(Outcome::Confirmed { result })
    }

    async fn close(&self, session: SessionId, _: EnvironmentId) {
        let _ = self.closed.send(session);
    }
}

impl FakeExecutor {
    /// Reads a skill that is kept, and lays its files in where there is somewhere.
    async fn skill(&self, opened: &bailiwick_gate::Opened, load: &SkillLoad) -> Result<String, String> {
        let file = load.skill.file().unwrap();
        let bytes = self.archive.file(opened.scope().tenant, file).await.map_err(|error| error.to_string())?;
        let bundle = bailiwick_skills::Bundle::of_zip(&bytes).map_err(|error| error.to_string())?;
        if bundle.digest() != load.skill.digest {
            return Err("held back".into());
        }
        if load.lays_in() {
            let mut files = self.files.lock().unwrap();
            for (path, bytes) in bundle.files() {
                files.push(FoundFile { path: format!("{}/{path}", load.folder), size_bytes: bytes.len() as u64 });
            }
        }
        Ok(bundle.instructions().to_owned())
    }
}

fn rand_bytes(text: &str) -> [u8; 10] {
    let mut bytes = [0_u8; 10];
    for (at, byte) in text.bytes().enumerate() {
        bytes[at % 10] = bytes[at % 10].wrapping_mul(31).wrapping_add(byte);
    }
    bytes
}

struct Cards(Option<Prices>);

impl ModelCards for Cards {
    fn card(&self, name: &str) -> Option<ModelCard> {
        self.cards().into_iter().find(|card| card.name == name)
    }

    fn cards(&self) -> Vec<ModelCard> {
        let card = |name: &str| ModelCard {
            name: name.into(),
            provider: "rehearsal".into(),
            model: "scripted".into(),
            context_tokens: 128_000,
            max_output_tokens: None,
            scripted: true,
            prices: self.0,
            residency: bailiwick_ports::Residency::Outside,
            clearance: Vec::new(),
        };
        vec![card("main"), card("other")]
    }
}

/// Gives every executor that dials in to the test.
pub struct Door(mpsc::UnboundedSender<(SessionId, EnvironmentId, ExecutorLine)>);

#[async_trait]
impl ExecutorDoor for Door {
    async fn attach(&self, session: SessionId, environment: EnvironmentId, line: ExecutorLine) {
        let _ = self.0.send((session, environment, line));
    }
}

pub struct House {
    pub api: Api,
    pub router: Router,
    pub handle: Handle,
    pub store: MemoryStore,
    pub objects: MemoryObjects,
    pub credentials: Arc<Credentials>,
    pub roster: Arc<Roster>,
    pub sign_ins: Arc<SignIns>,
    pub issuer: Arc<Issuer>,
    pub model: ScriptedModel,
    pub executor: FakeExecutor,
    pub systems: systems::FakeSystems,
    pub tenant: TenantId,
    pub key: String,
    pub door: tokio::sync::Mutex<mpsc::UnboundedReceiver<(SessionId, EnvironmentId, ExecutorLine)>>,
    pub closed: tokio::sync::Mutex<mpsc::UnboundedReceiver<SessionId>>,
    pub audit: Audit,
    pub list: Erased,
    pub holds: Arc<Holds>,
    pub vaults: Arc<dyn VaultDesk>,
    /// From which secrets are revealed.
    pub secrets: Arc<dyn bailiwick_gate::Vault>,
    pub administration: Arc<dyn Administration>,
    pub memories: Arc<dyn MemoryDesk>,
    /// Where memory lies on the disk.
    pub folder: tempfile::TempDir,
    erasing: tokio::task::AbortHandle,
}

/// The list of who was erased.
pub type Erased = Arc<Mutex<Vec<ErasedPerson>>>;

struct List(Erased);

impl ErasureList for List {
    fn keep(&self, entry: ErasedPerson) -> BoxFuture<'static, Result<(), String>> {
        self.0.lock().unwrap().push(entry);
        Box::pin(std::future::ready(Ok(())))
    }

    fn entries(&self) -> BoxFuture<'static, Result<Vec<ErasedPerson>, String>> {
        Box::pin(std::future::ready(Ok(self.0.lock().unwrap().clone())))
    }
}

impl House {
    pub async fn new() -> Arc<Self> {
        Self::with(Limits::default()).await
    }

    pub async fn with(limits: Limits) -> Arc<Self> {
        Self::build(limits, None, None).await
    }

    /// Its models have a price: of the answers alone, so that a call can take 128,000 tokens of output at most.
    pub async fn priced() -> Arc<Self> {
        let (input, output) = (Money::ZERO, Money::from_micros(1_000_000));
        let prices = Prices { version: 2, input, cached_input: None, output };
        Self::build(Limits::default(), None, Some(prices)).await
    }

    pub async fn under(limits: Limits, policy: Arc<dyn Policy>) -> Arc<Self> {
        Self::build(limits, Some(policy), None).await
    }

    /// Without a policy of the test's own it is the starter set, and what the test applies.
    async fn build(limits: Limits, policy: Option<Arc<dyn Policy>>, prices: Option<Prices>) -> Arc<Self> {
        let policies = Policies::new();
        let policy = policy.unwrap_or_else(|| Arc::new(policies.clone()));
        let cards = Arc::new(Cards(prices));
        let clock: Arc<dyn Clock> = Arc::new(RealClock);
        let (store, objects) = (MemoryStore::new(Arc::clone(&clock)), MemoryObjects::new());
        let (keys, random) = (Arc::new(PlainKeys), Arc::new(SeededRandom::new(7)));
        let ports: Arc<dyn Store> = Arc::new(store.clone());
        let administration = Arc::new(Administrator::new(ports.clone(), keys.clone(), clock.clone()));
        let credentials = Arc::new(Credentials::new(
            ports.clone(),
            keys.clone(),
            administration.clone(),
            clock.clone(),
            random.clone(),
        ));
        let tenant = credentials.bootstrap_tenant().await.unwrap().id;
        let roster = Roster::load(ports.clone(), keys.clone(), administration.clone(), clock.clone(), random.clone());
        let roster = Arc::new(roster.await.unwrap());
        let kept = administration.clone();
        let strongroom = Strongroom::load(ports.clone(), keys.clone(), kept, clock.clone(), random.clone());
        let strongroom = Arc::new(strongroom.await.unwrap());
        let sign_ins = SignInOptions {
            tenant,
            roster: roster.clone(),
            // A password is tried often here.
            cost: PasswordCost { memory_kib: 64, passes: 1 },
            lives: Lives::default(),
            provider: None,
            others: Default::default(),
            tasks: Arc::new(RealTasks),
        };
        let sign_ins = Arc::new(sign_ins.build());
        let tokens = TokenOptions {
            tenant,
            issuer: "http://house.test".into(),
            audiences: vec!["https://erp.example".into()],
            key_age: None,
            roster: roster.clone(),
            sign_ins: sign_ins.clone(),
        };
        let issuer = Arc::new(tokens.build().await.unwrap());
        let reception =
            Reception { credentials: credentials.clone(), sign_ins: sign_ins.clone(), issuer: Some(issuer.clone()) };
        let archive = Archive::new(ports.clone(), keys.clone(), Arc::new(objects.clone()));
        let model = ScriptedModel::default();
        let (closed, was_closed) = mpsc::unbounded_channel();
        let systems = systems::FakeSystems::default();
        let executor = FakeExecutor {
            archive: archive.clone(),
            texts: Arc::default(),
            release: Arc::default(),
            outputs: Arc::default(),
            files: Arc::default(),
            closed,
        };
        let folder = tempfile::tempdir().unwrap();
        let memories = SqliteMemories::open(DataFolder::open(folder.path()).unwrap()).await.unwrap();
        let holds = Arc::new(Holds::new(ports.clone(), keys.clone()));
        let book = bailiwick_memory::Book::new(Arc::new(memories), ports.clone(), keys.clone(), holds.clone());
        let hand = bailiwick_memory::Hand::new(book.clone(), clock.clone());
        let memories = bailiwick_memory::Desk::new(book, administration.clone(), clock.clone(), random.clone());
        let memories: Arc<dyn MemoryDesk> = Arc::new(memories);
        let gate = Gate::new(ports.clone(), keys.clone(), policy.clone(), clock.clone());
        let gate = gate.with_cards(cards.clone()).with_directory(roster.clone()).with_vaults(strongroom.clone());
        let gate = gate.with_revocations(credentials.clone());
        let desk = Desk::new(DeskParts {
            policies,
            store: ports.clone(),
            keys: keys.clone(),
            administration: administration.clone(),
            directory: roster.clone(),
            cards: cards.clone(),
            vaults: strongroom.clone(),
            clock: clock.clone(),
        });
        let engine = bailiwick_engine::Options {
            store: ports.clone(),
            keys: keys.clone(),
            gate: Arc::new(gate),
            archive: archive.clone(),
            model: Arc::new(model.clone()),
            executor: Arc::new(executor.clone()),
            tools: Arc::new(systems.clone()),
            memory: Arc::new(hand),
            cards: cards.clone(),
            clock: clock.clone(),
            random: random.clone(),
            tasks: Arc::new(RealTasks),
            node: NodeId::from_u128(1),
            max_driven: 100,
        }
        .build();
        let handle = engine.handle();
        tokio::spawn(engine.run(std::future::pending()));
        let (door, came) = mpsc::unbounded_channel();
        let audit = bailiwick_audit::Options {
            store: ports.clone(),
            log: Arc::new(store.clone()),
            keys: keys.clone(),
            signers: Arc::new(LogKeys::new(random.clone())),
            cards: cards.clone(),
            clock: clock.clone(),
            second_place: None,
        }
        .build();
        let list = Erased::default();
        let eraser = EraserOptions {
            handle: handle.clone(),
            holds: holds.clone(),
            administration: administration.clone(),
            auditor: Arc::new(audit.clone()),
            vaults: strongroom.clone(),
            memories: memories.clone(),
            list: Some(Arc::new(List(list.clone()))),
            keep_sessions: None,
        }
        .build();
        let erases = eraser.clone();
        let erasing = tokio::spawn(async move { erases.run().await }).abort_handle();
        let administers: Arc<dyn Administration> = administration.clone();
        let vaults: Arc<dyn VaultDesk> = strongroom.clone();
        let secrets: Arc<dyn bailiwick_gate::Vault> = strongroom.clone();
        let api = Options {
            eraser: Some(eraser),
            handle: handle.clone(),
            store: ports,
            keys,
            archive,
            cards: cards.clone(),
            policy,
            authenticator: Arc::new(reception),
            key_desk: credentials.clone(),
            key_rotation: None,
            tenants: credentials.clone(),
            administration,
            auditor: Arc::new(audit.clone()),
            receipts: Arc::new(store.clone()),
            connector_rooms: Arc::new(systems.clone()),
            toolset_protocol: Some(Arc::new(systems::PlainToolsets)),
            memories: memories.clone(),
            accounts: None,
            vaults: strongroom,
            directory: roster.clone(),
            people: roster.clone(),
            colleagues: roster.clone(),
            sign_in: sign_ins.clone(),
            tokens: Some(issuer.clone()),
            policy_desk: Some(Arc::new(desk)),
            executor_door: Some(Arc::new(Door(door))),
            clock,
            random,
            tasks: Arc::new(RealTasks),
            executors: vec!["lab".into()],
            public_url: Some("http://house.test".into()),
            limits,
        }
        .build();
        let router = api.router();
        let key = new_key(&credentials, tenant, vec![Scope::Admin]).await;
        let (door, closed) = (tokio::sync::Mutex::new(came), tokio::sync::Mutex::new(was_closed));
        Arc::new(Self {
            api,
            router,
            handle,
            store,
            objects,
            credentials,
            roster,
            sign_ins,
            issuer,
            model,
            executor,
            systems,
            tenant,
            key,
            door,
            closed,
            audit,
            list,
            holds,
            vaults,
            secrets,
            administration: administers,
            memories,
            folder,
            erasing,
        })
    }

    /// A house in which nobody carries erasures out but whom the test makes.
    pub async fn without_eraser() -> Arc<Self> {
        let house = Self::new().await;
        house.erasing.abort();
        house
    }

    /// An eraser as a process that has just started has it.
    pub fn eraser(&self, keep_sessions: Option<Millis>) -> Eraser {
        EraserOptions {
            handle: self.handle.clone(),
            holds: self.holds.clone(),
            administration: self.administration.clone(),
            auditor: Arc::new(self.audit.clone()),
            vaults: Arc::clone(&self.vaults),
            memories: Arc::clone(&self.memories),
            list: Some(Arc::new(List(self.list.clone()))),
            keep_sessions,
        }
        .build()
    }

    pub async fn new_key(&self, scopes: Vec<Scope>) -> String {
        new_key(&self.credentials, self.tenant, scopes).await
    }

    /// An administrator's key of another organisation.
    pub async fn foreign_key(&self) -> String {
        use bailiwick_ports::{Keys, store::Tenant};
        let id = TenantId::new(RealClock.now(), [9; 10]);
        let (key, _) = PlainKeys.create(id, id.into());
        self.store.put_tenant(Tenant { id, name: "other".into(), key }).await.unwrap();
        new_key(&self.credentials, id, vec![Scope::Admin]).await
    }

    /// Somebody who works here: their id and their bearer token.
    pub async fn person(&self, login: &str, roles: &[&str]) -> (String, String) {
        let made = self.post("/bailiwick/v1/people", json!({"name": login, "login": login, "roles": roles})).await.ok();
        let code = made["set_up"]["code"].as_str().unwrap();
        self.send(request(
            "",
            "POST",
            "/bailiwick/v1/sign-in/set-up",
            Some(&json!({"code": code, "password": PASSWORD})),
        ))
        .await
        .ok();
        (made["id"].as_str().unwrap().to_owned(), self.sign_in(login).await)
    }

    /// An administrator of another organisation, with a name that somebody has here too.
    pub async fn foreigner(&self, login: &str, key: &str) -> String {
        let send =
            async |key: &str, path: &str, body: Value| self.send(request(key, "POST", path, Some(&body))).await.ok();
        let made = send(key, "/bailiwick/v1/people", json!({"name": login, "login": login, "roles": ["admin"]})).await;
        let code = &made["set_up"]["code"];
        send("", "/bailiwick/v1/sign-in/set-up", json!({"code": code, "password": PASSWORD})).await;
        self.foreign_sign_in(login).await
    }

    pub async fn foreign_sign_in(&self, login: &str) -> String {
        let body = json!({"organisation": "other", "login": login, "password": PASSWORD, "medium": "bearer"});
        let signed = self.send(request("", "POST", "/bailiwick/v1/sign-in", Some(&body))).await.ok();
        signed["token"].as_str().unwrap().to_owned()
    }

    /// A fresh bearer token.
    pub async fn sign_in(&self, login: &str) -> String {
        let body = json!({"login": login, "password": PASSWORD, "medium": "bearer"});
        let signed = self.send(request("", "POST", "/bailiwick/v1/sign-in", Some(&body))).await.ok();
        signed["token"].as_str().unwrap().to_owned()
    }

    /// A session of this person with a saved agent.
    pub async fn session_with(&self, person: &str, agent: &str) -> String {
        self.script([say("Done.")]);
        let body = json!({"agent_id": agent, "agent": {}, "environment": {"type": "none"}, "input": "Hi"});
        let made = self.send(request(person, "POST", "/v1/agents/sessions", Some(&body))).await.ok();
        made["id"].as_str().unwrap().to_owned()
    }

    /// A saved agent's token on behalf of a person.
    pub async fn token(&self, person: &str, agent: &str) -> String {
        let session = self.session_with(person, agent).await;
        let more = [("subject_token", person), ("actor_agent", agent), ("actor_session", session.as_str())];
        self.exchange(&more).await.ok()["access_token"].as_str().unwrap().to_owned()
    }

    /// A request for a token (RFC 8693).
    pub async fn exchange(&self, fields: &[(&str, &str)]) -> Answer {
        let grant = ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange");
        let body: Vec<String> = [grant]
            .iter()
            .chain(fields)
            .map(|(name, value)| {
                format!("{name}={}", value.replace('%', "%25").replace('&', "%26").replace('+', "%2B"))
            })
            .collect();
        let request = Request::builder().method("POST").uri("/bailiwick/v1/token").header("host", "house.test");
        let request = request.header("content-type", "application/x-www-form-urlencoded");
        self.send(request.body(Body::from(body.join("&"))).unwrap()).await
    }

    pub async fn access_key(&self, environment: Option<EnvironmentId>, scopes: Vec<Scope>) -> (String, Secret) {
        let new = NewAccessKey { name: "test".into(), scopes, expires: None, environment };
        let (key, secret) = self.credentials.create_access_key(&Principal::Operator, self.tenant, new).await.unwrap();
        (key.access_key_id, secret)
    }

    /// The model's next answers.
    pub fn script(&self, says: impl IntoIterator<Item = Say>) {
        self.model.script.lock().unwrap().extend(says);
    }

    pub async fn send(&self, request: Request<Body>) -> Answer {
        let response = self.router.clone().oneshot(request).await.unwrap();
        Answer::of(response).await
    }

    pub fn request(&self, method: &str, path: &str, body: Option<&Value>) -> Request<Body> {
        request(&self.key, method, path, body)
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.send(self.request("GET", path, None)).await
    }

    pub async fn delete(&self, path: &str) -> Answer {
        self.send(self.request("DELETE", path, None)).await
    }

    pub async fn post(&self, path: &str, body: Value) -> Answer {
        self.send(self.request("POST", path, Some(&body))).await
    }

    /// A stream of events.
    /// Another message to a session.
    pub async fn say(&self, session: &str, text: &str) {
        let content = json!([{"type": "input_text", "text": text}]);
        let input = json!([{"role": "user", "content": content}]);
        let message = json!({"type": "agent.session.input.message", "input": input});
        self.post(&format!("/v1/agents/sessions/{session}/events"), json!({"events": [message]})).await;
    }

    pub async fn stream(&self, request: Request<Body>) -> Events {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        assert_eq!(parts.status, StatusCode::OK, "{:?}", body.collect().await.unwrap().to_bytes());
        assert_eq!(parts.headers["content-type"], "text/event-stream; charset=utf-8");
        Events::of(body)
    }

    pub async fn watch(&self, session: &str, after: Option<&str>) -> Events {
        let mut request = self.request("GET", &format!("/v1/agents/sessions/{session}/events"), None);
        if let Some(after) = after {
            request.headers_mut().insert("last-event-id", after.parse().unwrap());
        }
        self.stream(request).await
    }

    /// Begins a session that streams, with `agent` over the usual one.
    pub async fn begin(&self, input: &str, more: Value) -> Events {
        let mut body = json!({
            "agent": {"model": "main"}, "environment": {"type": "none"}, "input": input, "stream": true,
            "stream_options": {"include_obfuscation": false},
        });
        merge(&mut body, more);
        self.stream(self.request("POST", "/v1/agents/sessions", Some(&body))).await
    }

    /// Runs a session to the end of its first turn and gives it with its events.
    pub async fn run(&self, input: &str, more: Value) -> (Value, Vec<Event>) {
        let events = self.begin(input, more).await.all().await;
        (events.last().unwrap().data["session"].clone(), events)
    }

    /// Waits until this many objects are kept.
    pub async fn until_objects(&self, count: usize) {
        while self.objects.count() != count {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// Waits until a session satisfies `done`.
    pub async fn until(&self, session: &str, done: impl Fn(&Value) -> bool) -> Value {
        loop {
            let shown = self.get(&format!("/v1/agents/sessions/{session}")).await.ok();
            if done(&shown) {
                return shown;
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
}

async fn new_key(credentials: &Credentials, tenant: TenantId, scopes: Vec<Scope>) -> String {
    let new = NewApiKey { name: "test".into(), scopes, expires: None };
    credentials.create_api_key(&Principal::Operator, tenant, new).await.unwrap().1.expose().to_owned()
}

fn merge(body: &mut Value, more: Value) {
    let Value::Object(more) = more else { return };
    for (key, value) in more {
        body[key] = value;
    }
}
