//! A model and an executor that do what the seed says, and write every real effect into the [`World`].

use crate::{runtime::Runtime, world::World};
use async_trait::async_trait;
use bailiwick_core::{
    Action, ActionResult, CommandEnd, CommandOutput, Content, Entry, EntryBody, EnvironmentFacts, Failure, FailureCode,
    FoundFile, Listing, Lost, ModelAnswer, ModelRequest, Outcome, Phase, Published, Stop,
};
use bailiwick_gate::{Archive, Delta, Executor, Live, Mode, Model, Opened, Permit, Settled};
use bailiwick_ports::{Clock, ModelCard, ModelCards, Random};
use bailiwick_types::{ActionId, ArtifactId, EnvironmentId, ItemId, Millis, SessionId, TokenUsage};
use sha2::{Digest, Sha256};
use std::sync::Arc;

/// Answers from a hash of seed and prompt: the same prompt gets the same answer, whatever crashed before.
pub struct SimModel {
    pub runtime: Runtime,
    pub world: World,
    pub seed: u64,
}

/// The name of what a look finds.
const LOOKED_AT: &str = "only-for-who-looks";
/// How a handle begins.
const HANDLE: &str = "{{held:";

/// A small deterministic stream of choices.
struct Choices([u8; 32], usize);

impl Choices {
    fn new(seed: u64, request: &ModelRequest) -> Self {
        let mut hash = Sha256::new();
        hash.update(seed.to_be_bytes());
        for entry in &request.input {
            // Ids differ between lives; what was said does not.
            hash.update(serde_json::to_vec(&shape(&entry.body)).unwrap_or_default());
        }
        Self(hash.finalize().into(), 0)
    }

    fn below(&mut self, bound: u8) -> u8 {
        let byte = self.0[self.1 % 32];
        self.1 += 1;
        byte % bound.max(1)
    }
}

fn shape(body: &EntryBody) -> (u8, String) {
    match body {
        EntryBody::User { content } => (0, bailiwick_core::joined_text(content)),
        EntryBody::Assistant { text, .. } => (1, text.clone()),
        EntryBody::Reasoning { .. } => (2, String::new()),
        // A handle is the id of an action.
        EntryBody::ToolCall { name, arguments, .. } => {
            (3, format!("{name} {}", arguments.split(HANDLE).next().unwrap_or_default()))
        }
        EntryBody::ToolResult { failed, .. } => (4, failed.to_string()),
        EntryBody::Summary { .. } => (5, String::new()),
        EntryBody::Notice { .. } => (6, String::new()),
    }
}

#[async_trait]
impl Model for SimModel {
    async fn call(&self, permit: Permit, live: Live) -> Settled {
        self.world.step().await;
        let opened = match permit.open(&self.runtime) {
            Ok(opened) => opened,
            Err(settled) => return settled,
        };
        self.world.lock().model_calls += 1;
        let id = opened.id();
        let Some(request) = opened.request().cloned() else {
            return opened.settle(failed(FailureCode::Internal, "no request"));
        };
        check_prompt(&self.world, &request);
        let pause = Millis(self.runtime.below(40));
        tokio_select_sleep(&self.runtime, pause, &live).await;
        if live.is_cancelled() {
            return opened.settle(failed(FailureCode::Cancelled, "cancelled"));
        }
        self.world.step().await;
        live.emit(Delta::Text { item: ItemId::of_output(id, 0), index: 0, text: "…".into() });
        let mut choices = Choices::new(self.seed, &request);
        if choices.below(40) == 0 {
            return opened.settle(failed(FailureCode::Overloaded, "the model is overloaded"));
        }
        let answer = answer(id, &request, &mut choices);
        let lost = self.lost(&mut choices);
        self.world.lock().lost += u64::from(lost.attempts());
        opened.settle_after(Outcome::Confirmed { result: ActionResult::Model(answer) }, Some(lost))
    }
}

impl SimModel {
    /// An attempt that broke before the one that answered.
    fn lost(&self, choices: &mut Choices) -> Lost {
        match choices.below(6) {
            _ if crate::money::attempts(self.seed) == 1 => Lost::default(),
            0 => Lost { heard: 1, output_tokens: 5, unheard: 0 },
            1 => Lost { unheard: 1, ..Lost::default() },
            _ => Lost::default(),
        }
    }
}

/// Every tool call in a prompt has exactly one result, after it.
fn check_prompt(world: &World, request: &ModelRequest) {
    if serde_json::to_string(&request.input).is_ok_and(|told| told.contains(LOOKED_AT)) {
        world.complain("what a person looked at is in a prompt".into());
    }
    let mut waiting: Vec<&str> = Vec::new();
    for entry in &request.input {
        match &entry.body {
            EntryBody::ToolCall { call_id, .. } => waiting.push(call_id),
            EntryBody::ToolResult { call_id, .. } => match waiting.iter().position(|id| id == call_id) {
                Some(index) => {
                    waiting.remove(index);
                }
                None => world.complain(format!("a prompt holds a result for {call_id} without its call")),
            },
            _ => {}
        }
    }
    if !waiting.is_empty() && !request.tools.is_empty() {
        world.complain(format!("a prompt holds calls without results: {waiting:?}"));
    }
}

fn answer(id: ActionId, request: &ModelRequest, choices: &mut Choices) -> ModelAnswer {
    let steps = request.input.iter().filter(|entry| matches!(entry.body, EntryBody::ToolResult { .. })).count();
    let mut entries = Vec::new();
    let mut push = |body: EntryBody| {
        let item = ItemId::of_output(id, entries.len() as u16);
        entries.push(Arc::new(Entry { id: item, body, native: None }));
    };
    let summarised = request.input.iter().any(|entry| matches!(entry.body, EntryBody::Summary { .. }));
    let most = if summarised { 1 } else { 8 };
    let calls = if request.tools.is_empty() || steps > most { 0 } else { choices.below(4) };
    if choices.below(3) == 0 {
        push(EntryBody::Reasoning { summary: vec!["thinking".into()] });
    }
    let phase = if calls == 0 { Phase::FinalAnswer } else { Phase::Commentary };
    let text = match request.text.schema {
        // It reads for an extraction, and gives values or does not.
        Some(_) if choices.below(3) > 0 => r#"{"high": true}"#.to_owned(),
        _ => format!("after {steps} results"),
    };
    push(EntryBody::Assistant { text, phase: Some(phase) });
    for index in 0..calls {
        let (name, arguments) = tool_call(steps, index, request, choices);
        push(EntryBody::ToolCall { call_id: format!("call_{index}_{id}"), name: name.into(), arguments });
    }
    let weight: usize = request.input.iter().map(|entry| entry.body.weight()).sum();
    ModelAnswer {
        entries,
        usage: TokenUsage { input: weight as u64 / 4, output: 20, ..TokenUsage::default() },
        stop: Stop::Completed,
        provider_model: "sim".into(),
        response_id: None,
        scripted: true,
    }
}

/// The handle that was told last, or none.
fn handle(request: &ModelRequest) -> String {
    let results = request.input.iter().rev().filter_map(|entry| match &entry.body {
        EntryBody::ToolResult { content, .. } => Some(bailiwick_core::joined_text(content)),
        _ => None,
    });
    let named = |text: String| Some(text[text.find(HANDLE)?..].split_once("}}")?.0.to_owned() + "}}");
    results.into_iter().find_map(named).unwrap_or_default()
}

fn tool_call(steps: usize, index: u8, request: &ModelRequest, choices: &mut Choices) -> (&'static str, String) {
    let number = choices.below(3);
    match choices.below(12) {
        // The same command may be asked for again, also while its outcome is unknown.
        0..=3 => ("run_command", format!(r#"{{"command":"effect {number}"}}"#)),
        4 => ("run_command", format!(r#"{{"command":"effect {steps} {index}"}}"#)),
        5 => ("write_file", format!(r#"{{"path":"f{number}","content":"{steps}"}}"#)),
        6 => ("read_file", format!(r#"{{"path":"f{number}"}}"#)),
        7 => ("ask_application", format!(r#"{{"n":{number}}}"#)),
        8 => ("edit_file", format!(r#"{{"path":"f{number}","old_text":"1","new_text":"2"}}"#)),
        9 => ("hold_value", format!(r#"{{"path":"f{number}"}}"#)),
        10 => ("write_file", format!(r#"{{"path":"f{number}","content":"again {}"}}"#, handle(request))),
        _ if number > 0 => {
            let schema = r#"{"type":"object","properties":{"high":{"type":"boolean"}}}"#;
            ("extract_values", format!(r#"{{"path":"f{number}","question":"Is it high?","schema":{schema}}}"#))
        }
        _ => ("run_command", r#"{"comand":"misspelt"}"#.into()),
    }
}

fn failed(code: FailureCode, message: &str) -> Outcome {
    Outcome::Failed { failure: Failure::new(code, message) }
}

async fn tokio_select_sleep(runtime: &Runtime, pause: Millis, live: &Live) {
    let sleep = runtime.sleep_until(runtime.now() + pause);
    let cancelled = Box::pin(live.cancelled());
    futures_util::future::select(sleep, cancelled).await;
}

/// Performs on the [`World`]'s sandbox.
pub struct SimExecutor {
    pub runtime: Runtime,
    pub world: World,
    pub store: Arc<dyn bailiwick_ports::Store>,
    pub archive: Archive,
}

#[async_trait]
impl Executor for SimExecutor {
    async fn perform(&self, permit: Permit, live: Live) -> Settled {
        self.world.step().await;
        let opened = match permit.open(&self.runtime) {
            Ok(opened) => opened,
            Err(settled) => return settled,
        };
        self.intent_is_on_disk(&opened).await;
        match opened.action().clone() {
            Action::EnvironmentStart { .. } => {
                let facts = EnvironmentFacts { isolation: "simulated".into(), ..EnvironmentFacts::default() };
                opened.settle(Outcome::Confirmed { result: ActionResult::Environment(facts) })
            }
            Action::CommandRun(run) => self.command(opened, &run.command, &live).await,
            Action::FileWrite { path, content, .. } => {
                self.effect(&opened).await;
                if content.contains(HANDLE) {
                    self.world.complain(format!("{} was sent a handle in place of its value", opened.id()));
                }
                self.world.lock().files.insert(path, content);
                self.world.step().await;
                opened.settle(content_result("written"))
            }
            Action::FileEdit { path, old, new, .. } => self.edit(opened, &path, &old, &new).await,
            Action::FileRead { path, .. } => {
                let text = self.world.lock().files.get(&path).cloned();
                match text {
                    Some(text) => opened.settle(content_result(&text)),
                    None => opened.settle(failed(FailureCode::ToolError, "no such file")),
                }
            }
            Action::ArtifactPublish { .. } => self.publish(opened).await,
            Action::FileList { page: Some(_), .. } => {
                self.world.step().await;
                self.world.lock().looks += 1;
                let files = vec![FoundFile { path: format!("/workspace/{LOOKED_AT}"), size_bytes: 1 }];
                opened.settle(Outcome::Confirmed { result: ActionResult::Files(Listing { files, more: false }) })
            }
            _ => opened.settle(failed(FailureCode::ToolError, "not simulated")),
        }
    }

    async fn close(&self, _session: SessionId, _environment: EnvironmentId) {
        self.world.step().await;
        self.world.lock().closed += 1;
        self.world.step().await;
    }
}

fn content_result(text: &str) -> Outcome {
    Outcome::Confirmed { result: ActionResult::Content { content: vec![Content::text(text)] } }
}

impl SimExecutor {
    /// Invariant 2, seen from the effect's side.
    async fn intent_is_on_disk(&self, opened: &Opened) {
        let stream = opened.scope().session.into();
        let records = self.store.records(stream, 0, 10_000).await.unwrap_or_default();
        let intent = records.iter().any(|record| record.kind == "action.decided" && record.cause == Some(opened.id()));
        if !intent {
            self.world.complain(format!("{} is performed without an intent on disk", opened.id()));
        }
    }

    /// The moment at which something really happens.
    async fn effect(&self, opened: &Opened) {
        self.world.step().await;
        *self.world.lock().effects.entry(opened.id()).or_default() += 1;
        self.world.step().await;
    }

    async fn command(&self, opened: Opened, command: &str, live: &Live) -> Settled {
        let id = opened.id();
        let known = self.world.lock().processes.get(&id).cloned();
        let output = match (opened.mode(), known) {
            (_, Some(output)) => output,
            (Mode::First, None) => self.start(&opened, command).await,
            (_, None) => {
                let reason = "the sandbox no longer knows the command".to_owned();
                return opened.settle(Outcome::Unknown { reason });
            }
        };
        let pause = Millis(self.runtime.below(60));
        tokio_select_sleep(&self.runtime, pause, live).await;
        let ended = if live.is_cancelled() { CommandEnd::Cancelled } else { CommandEnd::Exited };
        self.world.step().await;
        let output = CommandOutput { output, exit_code: Some(0), ended, ..CommandOutput::default() };
        opened.settle(Outcome::Confirmed { result: ActionResult::Command(output) })
    }

    /// Two files, whatever was done. What a crash leaves of the first attempt is nobody's.
    async fn publish(&self, opened: Opened) -> Settled {
        let (tenant, session) = (opened.scope().tenant, opened.scope().session);
        let random: &dyn Random = &self.runtime;
        let mut artifacts = Vec::new();
        for path in ["/workspace/outputs/a", "/workspace/outputs/b"] {
            let id = ArtifactId::new(self.runtime.now(), random.id_bytes());
            let kept = self.archive.put_artifact(tenant, session, id, path.as_bytes()).await;
            if let Err(error) = kept {
                self.world.complain(format!("{path} could not be kept: {error}"));
            }
            let size_bytes = path.len() as u64;
            artifacts.push(Published { id, path: path.into(), size_bytes, object: id.to_string() });
        }
        opened.settle(Outcome::Confirmed { result: ActionResult::Artifacts { artifacts } })
    }

    async fn start(&self, opened: &Opened, command: &str) -> String {
        self.world.step().await;
        let output = format!("did {command}");
        {
            // The sandbox starts it and remembers it in one step, as an executor does.
            let mut world = self.world.lock();
            *world.effects.entry(opened.id()).or_default() += 1;
            world.processes.insert(opened.id(), output.clone());
        }
        self.world.step().await;
        output
    }

    async fn edit(&self, opened: Opened, path: &str, old: &str, new: &str) -> Settled {
        let text = self.world.lock().files.get(path).cloned().unwrap_or_default();
        if text.contains(old) {
            self.world.step().await;
            self.world.lock().files.insert(path.to_owned(), text.replacen(old, new, 1));
            self.world.step().await;
            return opened.settle(content_result("edited"));
        }
        if opened.mode() == Mode::Lookup && text.contains(new) {
            return opened.settle(content_result("edited"));
        }
        opened.settle(failed(FailureCode::ToolError, "the text to replace was not found"))
    }
}

/// One model with a small context, so that long sessions are compacted.
pub struct SimCards {
    pub seed: u64,
}

impl ModelCards for SimCards {
    fn card(&self, name: &str) -> Option<ModelCard> {
        (name == "main").then(|| ModelCard {
            name: "main".into(),
            provider: "rehearsal".into(),
            model: "sim".into(),
            context_tokens: 120,
            max_output_tokens: None,
            scripted: true,
            prices: Some(crate::money::PRICES),
            residency: bailiwick_ports::Residency::Outside,
            clearance: Vec::new(),
        })
    }

    fn paid_attempts(&self, _: &str) -> u32 {
        crate::money::attempts(self.seed)
    }

    fn cards(&self) -> Vec<ModelCard> {
        self.card("main").into_iter().collect()
    }
}
