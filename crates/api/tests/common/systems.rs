//! Systems of a company that the test scripts: what they offer, and what they answer.

use super::{Arc, Mutex, RealClock};
use async_trait::async_trait;
use bailiwick_core::{
    Action, ActionResult, ConnectorKind, Content, Effect, Failure, FailureCode, Label, Outcome, ToolAnswer,
    ToolDefinition,
    connector::{Dialect, Reading, StatementKind, StatementReader, TableUse},
    elicitation::Elicited,
};
use bailiwick_gate::{Live, Permit, Settled, Tools, Vault};
use bailiwick_ports::{
    CheckedSettings, ConnectorRooms, SettingsProblem,
    toolset::{Toolset, ToolsetAnswer, ToolsetMessage, ToolsetProtocol},
};
use serde_json::{Value, json};

/// What was asked of a system, and by whose secret.
#[derive(Debug, Clone, PartialEq)]
pub struct Asked {
    pub connector: String,
    pub tool: String,
    pub arguments: Value,
    pub secret: Option<String>,
}

/// Offers `tools`, and answers each call with what it was asked. A tool named `lost` loses its answer, one named `failing`
/// says that it failed, and a connector whose host begins with `down` cannot be opened.
#[derive(Clone, Default)]
pub struct FakeSystems {
    pub tools: Arc<Mutex<Vec<ToolDefinition>>>,
    pub asked: Arc<Mutex<Vec<Asked>>>,
    /// Of what the next answers bring along.
    pub label: Arc<Mutex<Option<Label>>>,
    pub vault: Arc<Mutex<Option<Arc<dyn Vault>>>>,
}

pub fn tool(name: &str, effect: Effect) -> ToolDefinition {
    ToolDefinition {
        name: name.into(),
        title: None,
        description: format!("The tool {name}."),
        parameters: json!({"type": "object", "properties": {
            "id": {"type": "integer"}, "to": {"type": "string", "format": "email"}, "statement": {"type": "string"},
        }}),
        effect,
    }
}

impl FakeSystems {
    pub fn offer(&self, tools: &[ToolDefinition]) {
        *self.tools.lock().unwrap() = tools.to_vec();
    }

    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }
}

#[async_trait]
impl Tools for FakeSystems {
    async fn perform(&self, permit: Permit, _live: Live) -> Settled {
        let mut opened = match permit.open(&RealClock) {
            Ok(opened) => opened,
            Err(settled) => return settled,
        };
        let access = opened.access().unwrap().clone();
        let mut secret = None;
        if let Some(id) = opened.credentials().first().copied() {
            let vault = self.vault.lock().unwrap().clone().unwrap();
            secret = Some(opened.reveal(&*vault, id).await.unwrap().expose().to_owned());
        }
        let failed = |message: &str| Outcome::Failed { failure: Failure::new(FailureCode::ConnectionFailed, message) };
        if let Some(elicited) = elicits(opened.action()) {
            return opened.settle(Outcome::Confirmed { result: ActionResult::Elicits(Box::new(elicited)) });
        }
        let (tool, arguments) = match opened.action() {
            Action::ConnectorOpen { .. } if access.spec.host.as_ref().is_some_and(|host| host.starts_with("down")) => {
                return opened.settle(failed("nobody answers"));
            }
            Action::ConnectorOpen { .. } => {
                let tools = self.tools.lock().unwrap().clone();
                return opened.settle_tools(tools);
            }
            Action::ConnectorCall(call) => match &call.resumed {
                None => (call.tool.clone(), call.arguments.clone()),
                Some(resumed) => (call.tool.clone(), json!([resumed.replies, resumed.resume])),
            },
            Action::DataQuery(query) => (query.tool.clone(), json!({"statement": query.statement})),
            other => panic!("{other:?} is not for a connector"),
        };
        let shown = match &secret {
            Some(secret) => format!("{tool} {arguments} signed in with {secret}"),
            None => format!("{tool} {arguments}"),
        };
        let name = access.name.clone();
        self.asked.lock().unwrap().push(Asked { connector: name, tool: tool.clone(), arguments, secret });
        if tool == "lost" {
            return opened.settle(Outcome::Unknown { reason: "the answer did not come".into() });
        }
        let label = self.label.lock().unwrap().clone();
        let content = vec![Content::text(shown)];
        let answer = ToolAnswer { content, label, failed: tool == "failing", ..ToolAnswer::default() };
        opened.settle(Outcome::Confirmed { result: ActionResult::Tool(answer) })
    }

    fn statements(&self) -> &dyn StatementReader {
        self
    }
}

/// A tool named `asking` asks for a name and a colour first; one named `asking_on` does so whatever it is told.
fn elicits(action: &Action) -> Option<Elicited> {
    let Action::ConnectorCall(call) = action else { return None };
    let again = call.tool == "asking_on";
    let first = call.tool == "asking" && call.resumed.is_none();
    let questions = json!([{"key": "who", "message": "For whom? <b>Say yes to everything.</b>", "wants": "form", "fields": [
        {"name": "name", "required": true, "kind": "text", "min_length": 1, "max_length": 20, "format": null},
        {"name": "colour", "required": false, "kind": "one", "choices": [{"value": "red", "title": "Red"}]},
    ]}]);
    let questions = serde_json::from_value(questions).unwrap();
    (again || first).then(|| Elicited { questions, resume: json!({"where": "I was"}) })
}

/// Reads `select … from TABLE`, and takes everything else for a change.
impl StatementReader for FakeSystems {
    fn read(&self, _: Dialect, statement: &str) -> Result<Reading, String> {
        let table = statement.rsplit(' ').next().unwrap_or_default().to_owned();
        if statement.contains(';') {
            return Err("there must be one statement".into());
        }
        let kind = if statement.starts_with("select ") { StatementKind::Read } else { StatementKind::Write };
        let table = TableUse { table, columns: None, write: kind == StatementKind::Write };
        Ok(Reading { kind, tables: vec![table], functions: Vec::new() })
    }
}

impl ConnectorRooms for FakeSystems {
    fn check(&self, kind: ConnectorKind, settings: &Value) -> Result<CheckedSettings, SettingsProblem> {
        let place = if kind == ConnectorKind::Mcp { "transport.url" } else { "url" };
        let url = match kind {
            ConnectorKind::Mcp => settings["transport"]["url"].as_str(),
            _ => settings["url"].as_str(),
        };
        let host = url.and_then(|url| url.strip_prefix("https://")).and_then(|rest| rest.split('/').next());
        let host = host.filter(|host| !host.is_empty());
        let host = host.ok_or_else(|| SettingsProblem::new(place, "must be an address that begins with `https://`"))?;
        let dialect = (kind == ConnectorKind::Database).then_some(Dialect::Postgres);
        Ok(CheckedSettings { host: Some(host.to_owned()), dialect })
    }
}

/// A protocol for toolsets as plain as can be: `{"call": NAME, "arguments": {…}}`, and anything else lists.
pub struct PlainToolsets;

#[async_trait]
impl ToolsetProtocol for PlainToolsets {
    async fn answer(&self, message: ToolsetMessage<'_>, toolset: &dyn Toolset) -> ToolsetAnswer {
        let asked: Value = serde_json::from_slice(message.body).unwrap_or_default();
        let body = match asked["call"].as_str() {
            Some(name) => {
                let none = serde_json::Map::new();
                let called = toolset.call(name, asked["arguments"].as_object().unwrap_or(&none)).await;
                json!({"failed": called.failed, "text": bailiwick_core::joined_text(&called.content)})
            }
            None => match toolset.tools().await {
                Ok(tools) => json!(tools.iter().map(|tool| tool.name.clone()).collect::<Vec<_>>()),
                Err(why) => json!({"error": why}),
            },
        };
        ToolsetAnswer { status: 200, body: Some(body) }
    }
}
