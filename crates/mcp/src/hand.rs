//! The hand of connectors of the kind `mcp`: turns a permit into what a server made of it. It decides nothing and keeps
//! nothing but connections, which may be lost at any time.

use crate::{
    client::{Access, Called, Client, NeedsPerson, Resume, ToolCall},
    configuration::{McpServer, TransportConfig},
    definition::{Annotations, Definition},
    way_out::WayOut,
};
use async_trait::async_trait;
use bailiwick_core::{
    Action, ActionResult, Content, Failure, FailureCode, Outcome, ToolAnswer, ToolDefinition,
    connector::{ConnectorCall, ConnectorKind, Effect},
    elicitation::{Elicited, Replies},
};
use bailiwick_gate::{Live, Mode, Opened, Permit, Settled, Tools, Vault};
use bailiwick_outbound::Outbound;
use bailiwick_ports::{CheckedSettings, Clock, ConnectorRooms, SettingsProblem};
use bailiwick_types::{CredentialId, Mark, SessionId};
use serde_json::Value;
use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// Connections that are kept at once. Beyond this, the oldest is let go: the next call begins anew.
const MAX_CLIENTS: usize = 4_096;

/// MCP servers, for every session of this process.
pub struct McpHand {
    outbound: Outbound,
    vault: Arc<dyn Vault>,
    clock: Arc<dyn Clock>,
    clients: Mutex<Clients>,
}

/// One connection: of one session, over one connector, with one account.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    session: SessionId,
    connector: String,
    kept: bool,
    credential: Option<CredentialId>,
    settings: String,
    /// Who is spoken for: what a server remembers of one person is never shown to another.
    who: String,
}

#[derive(Default)]
struct Clients {
    all: BTreeMap<Key, Arc<Client>>,
    age: VecDeque<Key>,
}

impl McpHand {
    pub fn new(outbound: Outbound, vault: Arc<dyn Vault>, clock: Arc<dyn Clock>) -> Self {
        Self { outbound, vault, clock, clients: Mutex::default() }
    }

    fn clients(&self) -> MutexGuard<'_, Clients> {
        self.clients.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The connection for an action, with the secret that it may use.
    async fn connect(&self, opened: &mut Opened) -> Result<(Arc<Client>, Access), Failure> {
        let access = opened.access().cloned();
        let access =
            access.ok_or_else(|| Failure::new(FailureCode::Internal, "no connector is known of this action"))?;
        let server = McpServer::read(&access.spec.settings).map_err(|problem| {
            Failure::new(FailureCode::InvalidRequest, format!("the connector `{}`: {problem}", access.name))
        })?;
        let (credential, bearer) = opened.reveal_first(&*self.vault).await?.unzip();
        let scope = opened.scope();
        let who = Mark(&scope.principal).to_string();
        let key = Key {
            session: scope.session,
            connector: access.name.clone(),
            kept: access.kept,
            credential,
            settings: access.spec.settings.to_string(),
            who: who.clone(),
        };
        let output_bytes = scope.limits.output_bytes as usize;
        let client = self.client(key, server, access.kept)?;
        Ok((client, Access { bearer, who, output_bytes }))
    }

    /// The connection of this key. What an administrator keeps is reached wherever it is; what somebody wrote into an
    /// agent only where everybody is.
    fn client(&self, key: Key, server: McpServer, kept: bool) -> Result<Arc<Client>, Failure> {
        let mut clients = self.clients();
        if let Some(client) = clients.all.get(&key) {
            return Ok(Arc::clone(client));
        }
        let TransportConfig::Http { url, headers } = server.transport.clone() else {
            let text = "this server starts no programs for connectors: give the address of an MCP server";
            return Err(Failure::new(FailureCode::InvalidRequest, text));
        };
        let way = WayOut::new(self.outbound.clone(), Some(&url).filter(|_| kept))
            .map_err(|error| Failure::new(FailureCode::InvalidRequest, error.to_string()))?;
        let client = Client::over_http(Arc::new(way), Arc::clone(&self.clock), server, url, headers);
        let client = Arc::new(client);
        clients.all.insert(key.clone(), Arc::clone(&client));
        clients.age.push_back(key);
        while clients.all.len() > MAX_CLIENTS {
            let Some(oldest) = clients.age.pop_front() else { break };
            clients.all.remove(&oldest);
        }
        Ok(client)
    }

    async fn open(&self, mut opened: Opened, live: &Live) -> Settled {
        let (client, access) = match self.connect(&mut opened).await {
            Ok(connected) => connected,
            Err(failure) => return opened.settle(Outcome::Failed { failure }),
        };
        match client.tools(&access, live).await {
            Ok(listed) => opened.settle_tools(listed.tools.iter().map(told).collect()),
            Err(trouble) => opened.settle(Outcome::Failed { failure: trouble.failure() }),
        }
    }

    async fn call(&self, mut opened: Opened, call: &ConnectorCall, live: &Live) -> Settled {
        let tool = opened.access().and_then(|access| access.tool.clone());
        let Some(tool) = tool else {
            let text = format!("`{}` does not offer a tool `{}`", call.connector, call.tool);
            return opened.settle(Outcome::Failed { failure: Failure::new(FailureCode::ToolError, text) });
        };
        if opened.mode() == Mode::Lookup && call.effect == Effect::Write {
            let reason = "it may have been sent before, and its server cannot be asked what became of it".to_owned();
            return opened.settle(Outcome::Unknown { reason });
        }
        let (client, access) = match self.connect(&mut opened).await {
            Ok(connected) => connected,
            Err(failure) => return opened.settle(Outcome::Failed { failure }),
        };
        let live = opened.guarded(live);
        if let Err(failure) = still_the_same(&client, &access, &tool, &live).await {
            return opened.settle(Outcome::Failed { failure });
        }
        let tool = Definition::of_accepted(&tool, call.effect);
        let (replies, resume) = match going_on(call) {
            Ok(going_on) => going_on,
            Err(failure) => return opened.settle(Outcome::Failed { failure }),
        };
        let call = ToolCall { tool: &tool, arguments: &call.arguments, replies, resume };
        let called = client.call(&access, &call, &live, &|_| ()).await;
        let outcome = match called {
            Called::NeedsPerson(asked) => asks(asked, call.tool.effect),
            Called::NotSent(failure) if failure.code == FailureCode::Cancelled => {
                Outcome::NotSent { reason: failure.message }
            }
            other => other.outcome(),
        };
        opened.settle(outcome)
    }
}

#[async_trait]
impl Tools for McpHand {
    async fn perform(&self, permit: Permit, live: Live) -> Settled {
        let opened = match permit.open(&*self.clock) {
            Ok(opened) => opened,
            Err(settled) => return settled,
        };
        match opened.action().clone() {
            Action::ConnectorOpen { .. } => self.open(opened, &live).await,
            Action::ConnectorCall(call) => self.call(opened, &call, &live).await,
            _ => {
                let failure = Failure::new(FailureCode::Internal, "this is nothing for a server of tools");
                opened.settle(Outcome::Failed { failure })
            }
        }
    }

    async fn close(&self, session: SessionId) {
        let gone: Vec<Key> = self.clients().all.keys().filter(|key| key.session == session).cloned().collect();
        let mut closed = Vec::new();
        {
            let mut clients = self.clients();
            for key in &gone {
                closed.extend(clients.all.remove(key).map(|client| (client, key.who.clone())));
            }
            clients.age.retain(|key| key.session != session);
        }
        for (client, who) in closed {
            // Without the account: a server that wants it for a goodbye lets the session end by itself.
            client.close(&Access { bearer: None, who, output_bytes: 0 }).await;
        }
    }
}

impl ConnectorRooms for McpHand {
    fn check(&self, _kind: ConnectorKind, settings: &Value) -> Result<CheckedSettings, SettingsProblem> {
        McpServer::checked(settings)
    }
}

/// A definition as it is told to the agent.
fn told(tool: &Definition) -> ToolDefinition {
    ToolDefinition {
        name: tool.name.clone(),
        title: tool.title.as_deref().map(crate::message::quoted),
        description: tool.shown_description(),
        parameters: tool.parameters.clone(),
        effect: tool.effect,
    }
}

/// A server that said that its tools have changed is asked again before it gets a call: what it offers under the old
/// name may be another tool.
async fn still_the_same(client: &Client, access: &Access, tool: &ToolDefinition, live: &Live) -> Result<(), Failure> {
    if client.take_changed()
        && let Err(trouble) = client.tools(access, live).await
    {
        client.set_changed();
        return Err(trouble.failure());
    }
    let Some(listed) = client.listed() else { return Ok(()) };
    let now = listed.tools.iter().find(|now| now.name == tool.name).map(told);
    let same = now.is_some_and(|now| ToolDefinition { effect: tool.effect, ..now } == *tool);
    if same {
        return Ok(());
    }
    let text =
        format!("the server has changed its tool `{}`: it is not called before somebody has accepted that", tool.name);
    Err(Failure::new(FailureCode::ToolError, text))
}

/// What people have answered, and where the call left off.
fn going_on(call: &ConnectorCall) -> Result<(Replies, Option<Resume>), Failure> {
    let Some(resumed) = &call.resumed else { return Ok((Replies::new(), None)) };
    let unreadable = |_| Failure::new(FailureCode::Internal, "where the call left off cannot be read any more");
    let resume = serde_json::from_value(resumed.resume.clone()).map_err(unreadable)?;
    Ok((resumed.replies.clone(), Some(resume)))
}

/// A call waits for the person, unless it has worked on meanwhile and cannot be made again.
fn asks(asked: NeedsPerson, effect: Effect) -> Outcome {
    let meanwhile = match asked.resume {
        Resume::Again { meanwhile } if !meanwhile.is_empty() && effect == Effect::Write => meanwhile,
        resume => {
            // INVARIANT: a way to go on holds texts and values that came from JSON.
            let resume = serde_json::to_value(&resume).expect("a way to go on is JSON");
            let elicited = Elicited { questions: asked.questions, resume };
            return Outcome::Confirmed { result: ActionResult::Elicits(Box::new(elicited)) };
        }
    };
    let text = "[The server asked something of a person in the middle of this call. It cannot wait for an answer, so it was told \
                that nobody gives one. What it said in the end follows; look at what it did before making the call again.]";
    let content = std::iter::once(Content::text(text)).chain(meanwhile).collect();
    let answer = ToolAnswer { content, failed: true, ..ToolAnswer::default() };
    Outcome::Confirmed { result: ActionResult::Tool(answer) }
}

impl Definition {
    /// The definition that an agent was told.
    pub(crate) fn of_accepted(tool: &ToolDefinition, effect: Effect) -> Self {
        Self {
            name: tool.name.clone(),
            title: tool.title.clone(),
            description: tool.description.clone(),
            parameters: tool.parameters.clone(),
            output: None,
            annotations: Annotations::default(),
            effect,
        }
    }
}

impl McpServer {
    /// What settings say that others go by, once they have been found to be usable by [`McpHand`].
    pub fn checked(settings: &Value) -> Result<CheckedSettings, SettingsProblem> {
        match Self::read(settings)?.transport {
            TransportConfig::Http { url, .. } => {
                let host = url.host_str().map(|host| host.trim_end_matches('.').to_ascii_lowercase());
                Ok(CheckedSettings { host, dialect: None })
            }
            TransportConfig::Stdio { .. } => {
                let text = "must be `http`: this server starts no programs for connectors";
                Err(SettingsProblem::new("transport.type", text))
            }
        }
    }

    /// What a connector keeps. The error names the field.
    pub fn read(settings: &Value) -> Result<Self, SettingsProblem> {
        let server: Self = serde_json::from_value(settings.clone())
            .map_err(|error| SettingsProblem::new("", format!("cannot be read: {error}")))?;
        server.check().map(|()| server)
    }
}
