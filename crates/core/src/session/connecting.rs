//! Connectors in a session: when they are opened, which tools they bring, and the way from a call of one to an action.
//!
//! A connector is opened once in a session, before the first model call of a turn, and again in a later turn where that
//! failed. What it said of its tools then holds for the session: a system that changes its mind meanwhile changes nothing.

use super::plan::{Mint, Plan};
use super::state::{Call, OpenAction, State, Turn};
use super::{Ask, plan::start_environment};
use crate::{
    Action, ActionResult, ConnectorCall, ConnectorUse, DataQuery, EnvironmentStatus, Failure, FailureCode, Integrity,
    Label, OpenedConnector, Outcome, ToolDefinition, ToolSpec, canonical,
    connector::{ConnectorKind, Pins, StatementReader, visible_name},
    item::{Change, ConnectionView},
    record::{ActionSettled, Through, TurnError},
    tools,
};
use bailiwick_types::{CredentialId, TurnId};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// The tools of a database that take a statement. All others of it are calls like any other.
const STATEMENTS: [&str; 2] = ["query", "execute"];

/// What became of opening a connector.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Connection {
    /// In which turn.
    turn: TurnId,
    /// Where it led, with what secret; nothing of both where it was denied.
    #[serde(default)]
    through: Option<Through>,
    #[serde(default)]
    credential: Option<CredentialId>,
    result: Result<OpenedConnector, TurnError>,
}

impl State {
    /// What the agent was given under this label.
    pub fn connector(&self, label: &str) -> Option<&ConnectorUse> {
        self.agent.connectors.iter().find(|one| one.label == label)
    }

    fn opened(&self, label: &str) -> Option<&OpenedConnector> {
        self.connections.get(label).and_then(|connection| connection.result.as_ref().ok())
    }

    /// What is known of a connector's tool, as it was when the connector was opened.
    pub fn connector_tool(&self, label: &str, tool: &str) -> Option<&ToolDefinition> {
        self.opened(label)?.tools.iter().find(|known| known.name == tool)
    }

    /// Everything that `system` offered when the connector was opened, held back or not; `None` where it was not opened
    /// or led somewhere else.
    pub fn offered(&self, label: &str, system: &str) -> Option<Pins> {
        let through = self.connections.get(label)?.through.as_ref()?;
        if through.system.as_deref() != Some(system) {
            return None;
        }
        let opened = self.opened(label)?;
        let held = opened.held.iter().filter_map(|held| held.offered.as_deref());
        Some(opened.tools.iter().chain(held).map(|tool| (tool.name.clone(), tool.clone())).collect())
    }

    /// The secret that the connector was opened with.
    pub fn opened_with(&self, label: &str) -> Option<CredentialId> {
        self.connections.get(label)?.credential
    }

    /// The tools that the agent may call, each with the name that the model sees. A name that something else has already
    /// is not given again.
    pub(super) fn connected_tools(&self) -> Vec<(String, &ConnectorUse, &OpenedConnector, &ToolDefinition)> {
        let mut taken: Vec<&str> = self.agent.tools.iter().map(|tool| tool.name.as_str()).collect();
        taken.extend(tools::BUILT_IN);
        taken.extend(tools::MEMORY);
        taken.extend(tools::SKILLS);
        let mut all: Vec<(String, &ConnectorUse, &OpenedConnector, &ToolDefinition)> = Vec::new();
        for one in &self.agent.connectors {
            let Some(opened) = self.opened(&one.label) else { continue };
            for tool in opened.tools.iter().filter(|tool| one.allows(&tool.name)) {
                let name = visible_name(&one.label, &tool.name);
                if !taken.contains(&name.as_str()) && all.iter().all(|(known, ..)| *known != name) {
                    all.push((name, one, opened, tool));
                }
            }
        }
        all
    }

    /// The tools of connectors that the agent may call, each under the name that a model sees and with a call of it that
    /// says nothing; none of a tool that takes a statement, because nothing is known of that before it is read.
    pub fn callable_tools(&self) -> Vec<(ToolDefinition, Option<Action>)> {
        let named = |(name, one, opened, tool): (String, &ConnectorUse, &OpenedConnector, &ToolDefinition)| {
            let (connector, label) = (one.label.clone(), opened.label.clone());
            let (arguments, effect) = (Value::Object(Map::new()), tool.effect);
            let environment = self.environment.id().filter(|_| one.from_environment);
            let (own, resumed) = (tool.name.clone(), None);
            let call = ConnectorCall { connector, tool: own, arguments, effect, label, environment, resumed };
            let reads = opened.kind == ConnectorKind::Database && STATEMENTS.contains(&tool.name.as_str());
            (ToolDefinition { name, ..tool.clone() }, (!reads).then_some(Action::ConnectorCall(call)))
        };
        self.connected_tools().into_iter().map(named).collect()
    }

    /// Why a name of a tool leads nowhere, for whoever called it and is no model of ours.
    pub(super) fn no_such_tool(&self, name: &str) -> String {
        let label = name.split_once("__").map_or("", |(label, _)| label);
        match self.connections.get(label).map(|connection| &connection.result) {
            Some(Err(error)) => error.message.clone(),
            _ => "There is no such tool, or it is held back.".to_owned(),
        }
    }

    /// Those that a search finds, or the others.
    pub(super) fn connected_specs(&self, deferred: bool) -> impl Iterator<Item = ToolSpec> {
        let tools = self.connected_tools().into_iter().filter(move |(_, one, ..)| one.deferred == deferred);
        tools.map(|(name, _, _, tool)| ToolSpec {
            name,
            description: tool.description.clone(),
            parameters: tool.parameters.clone(),
        })
    }

    pub(super) fn connection_views(&self) -> BTreeMap<String, ConnectionView> {
        let view = |connection: &Connection| match &connection.result {
            Ok(opened) => ConnectionView {
                tools: opened.tools.iter().map(|tool| tool.name.clone()).collect(),
                held: opened.held.clone(),
                error: None,
            },
            Err(error) => ConnectionView { error: Some(error.message.clone()), ..ConnectionView::default() },
        };
        self.connections.iter().map(|(label, connection)| (label.clone(), view(connection))).collect()
    }

    /// A connector was opened, or was not.
    pub(super) fn connector_opened(
        &mut self,
        open: &OpenAction,
        label: &str,
        settled: &ActionSettled,
        changes: &mut Vec<Change>,
    ) {
        let result = match &settled.outcome {
            Outcome::Confirmed { result: ActionResult::Connector(opened) } => Ok(opened.clone()),
            Outcome::Failed { failure: Failure { code: FailureCode::Cancelled, .. } } => return,
            Outcome::Failed { failure } => Err(failure_of(label, failure)),
            Outcome::Confirmed { .. } => {
                Err(failure_of(label, &Failure::new(FailureCode::MalformedAnswer, "it said nothing of its tools")))
            }
            // Opening finds what is there, so it may be tried again.
            Outcome::Unknown { reason } | Outcome::NotSent { reason } => {
                self.environment_lost(open, &settled.outcome, changes);
                return self.model_call_lost(reason);
            }
        };
        self.environment_lost(open, &settled.outcome, changes);
        let (through, credential) = (open.through.clone(), open.credentials.first().copied());
        self.connection_known(label, Connection { turn: open.turn, through, credential, result }, changes);
    }

    /// What there is to be told to the model of a connector, which takes it for the system's own word: no text of whoever
    /// answered there is in it. People see that text on the session.
    fn connection_notice(&self, label: &str, result: &Result<OpenedConnector, TurnError>) -> Option<String> {
        match result {
            Ok(opened) if opened.held.is_empty() => None,
            Ok(opened) => Some(format!(
                "{} of the tools of the connector `{label}` are held back until somebody accepts what changed about them.",
                opened.held.len()
            )),
            // Policy's own words.
            Err(TurnError { denied_by: Some(_), message, .. }) => {
                Some(format!("The tools of the connector `{label}` are not there in this turn: {message}"))
            }
            Err(TurnError { code, .. }) => Some(format!(
                "The connector `{label}` could not be opened ({code}): its tools are not there in this turn."
            )),
        }
    }

    /// It was opened, or was not, or may not be.
    /// The gate did not let it be opened.
    pub(super) fn connection_denied(&mut self, turn: TurnId, label: &str, why: TurnError, changes: &mut Vec<Change>) {
        let connection = Connection { turn, through: None, credential: None, result: Err(why) };
        self.connection_known(label, connection, changes);
    }

    fn connection_known(&mut self, label: &str, connection: Connection, changes: &mut Vec<Change>) {
        let required = self.connector(label).is_some_and(|one| one.required);
        match (&connection.result, &mut self.turn) {
            (Err(error), Some(turn)) if required => turn.failure = Some(error.clone()),
            _ => self.notices.extend(self.connection_notice(label, &connection.result)),
        }
        self.connections.insert(label.to_owned(), connection);
        self.tools = super::finding::ToolMemo::default();
        changes.push(Change::SessionUpdated(Box::new(self.view())));
        self.tell_opened(changes);
    }

    /// What an outcome of a connector brings into the history.
    pub(super) fn label_of_connector(&self, action: &Action, outcome: &Outcome) -> Label {
        match (action, outcome) {
            (Action::ConnectorOpen { .. }, Outcome::Confirmed { result: ActionResult::Connector(opened) }) => {
                let integrity = if opened.vouched { Integrity::Trusted } else { Integrity::Untrusted };
                Label { integrity, ..Label::nothing() }
            }
            (Action::ConnectorOpen { .. }, _) => Label::foreign(),
            (Action::ConnectorCall(ConnectorCall { label, .. }) | Action::DataQuery(DataQuery { label, .. }), _) => {
                let mut label = label.clone();
                if let Outcome::Confirmed { result: ActionResult::Tool(answer) } = outcome {
                    answer.label.iter().for_each(|own| label.join(own));
                }
                label
            }
            _ => Label::nothing(),
        }
    }
}

fn failure_of(label: &str, failure: &Failure) -> TurnError {
    let code = super::apply::turn_error_code(failure.code);
    let message = format!("The connector `{label}` could not be opened: {}", failure.message);
    TurnError { code: code.to_owned(), message, denied_by: None }
}

/// Whether all connectors are open, or were tried in this turn.
pub(super) fn all_tried(state: &State, turn: &Turn) -> bool {
    let tried = |known: &Connection| known.result.is_ok() || known.turn == turn.id;
    state.agent.connectors.iter().all(|one| state.connections.get(&one.label).is_some_and(tried))
}

/// Asks for the connectors that were not opened yet, or not in this turn. Empty when the model may be called.
pub(super) fn open(state: &State, turn: &Turn, mint: &mut Mint) -> Plan {
    let mut plan = Plan::default();
    for one in &state.agent.connectors {
        let known = state.connections.get(&one.label);
        if known.is_some_and(|connection| connection.result.is_ok() || connection.turn == turn.id) {
            continue;
        }
        let environment = state.environment.id().filter(|_| one.from_environment);
        if environment.is_some() && state.environment_status != EnvironmentStatus::Connected {
            start_environment(state, turn, &[], &mut plan, mint);
            continue;
        }
        let action = Action::ConnectorOpen { connector: one.label.clone(), environment };
        plan.asks.push(Ask::new(mint.action(), turn.id, None, action));
    }
    plan
}

/// Makes an action of a call, where it is one of a connector's tool. The error is for the model.
pub(super) fn to_action(
    state: &State,
    call: &Call,
    statements: &dyn StatementReader,
) -> Option<Result<Action, String>> {
    let tools = state.connected_tools();
    let (_, one, opened, tool) = tools.into_iter().find(|(name, ..)| *name == call.name)?;
    Some(action(state, call, one, opened, tool, statements))
}

fn action(
    state: &State,
    call: &Call,
    one: &ConnectorUse,
    opened: &OpenedConnector,
    tool: &ToolDefinition,
    statements: &dyn StatementReader,
) -> Result<Action, String> {
    let arguments = canonical::arguments(&call.arguments, &tool.parameters)?;
    let (connector, label) = (one.label.clone(), opened.label.clone());
    if opened.kind == ConnectorKind::Database && STATEMENTS.contains(&tool.name.as_str()) {
        let Value::Object(mut options) = arguments else { return Err("The arguments must be a JSON object.".into()) };
        let Some(Value::String(statement)) = options.remove("statement") else {
            return Err("`statement` must be the text of one statement.".into());
        };
        let dialect = opened.dialect.ok_or("This database does not say which query language it takes.")?;
        let reading = statements.read(dialect, &statement).map_err(|problem| format!("`statement`: {problem}."))?;
        let options = rest(options);
        return Ok(Action::DataQuery(DataQuery {
            connector,
            tool: tool.name.clone(),
            statement,
            options,
            reading,
            label,
        }));
    }
    let environment = state.environment.id().filter(|_| one.from_environment);
    let (tool, effect) = (tool.name.clone(), tool.effect);
    Ok(Action::ConnectorCall(ConnectorCall { connector, tool, arguments, effect, label, environment, resumed: None }))
}

fn rest(options: Map<String, Value>) -> Value {
    if options.is_empty() { Value::Null } else { Value::Object(options) }
}
