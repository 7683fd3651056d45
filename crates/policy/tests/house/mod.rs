//! One of everything that a decision is about, to be bent by each test.

#![allow(dead_code, reason = "each test uses its part")]

use bailiwick_core::{
    Action, AgentConfig, CommandRun, Confidentiality, ConnectorCall, ConnectorKind, ConnectorSource, ConnectorSpec,
    ConnectorUse, DataQuery, Effect, FunctionTool, Integrity, Label, Limits, MemoryKind, MemoryScope, MemorySearch,
    MemoryWrite, ModelCall, Purpose, Remit, SkillLoad, SkillSource, SkillUse, ToolDefinition, agent,
    connector::{CredentialChoice, Reading, StatementKind, TableUse},
    memory::MemoryVersion,
    tools,
};
use bailiwick_policy::{Policies, Rules};
use bailiwick_ports::{
    Colleague, ColleagueStatus, ConnectorFacts, Explains, Explanation, ModelCard, Person, Policy, PolicyRequest,
    Residency, Role, Verdict, vault::Credential,
};
use bailiwick_types::{
    ActionId, AgentId, EnvironmentId, FileId, KeyId, MemoryId, Millis, Principal, SessionId, TeamId, TenantId,
    Timestamp, UserId,
};
use serde_json::{Value, json};
use std::{collections::BTreeSet, sync::Arc};

pub const TENANT: TenantId = TenantId::from_u128(1);
pub const AGENT: AgentId = AgentId::from_u128(2);
pub const SESSION: SessionId = SessionId::from_u128(3);
pub const ANNA: UserId = UserId::from_u128(4);
pub const SALES: TeamId = TeamId::from_u128(5);
pub const ENVIRONMENT: EnvironmentId = EnvironmentId::from_u128(6);

/// What a request is made of.
#[derive(Clone)]
pub struct Case {
    pub agent: AgentConfig,
    pub principal: Principal,
    pub colleague: Option<Colleague>,
    pub person: Option<Person>,
    pub label: Label,
    pub said: BTreeSet<String>,
    /// Mail addresses of the organisation's own people.
    pub colleagues: BTreeSet<String>,
    pub model: Option<ModelCard>,
    pub action: Action,
    /// Of the connector that performs it.
    pub connector: Option<Connected>,
    /// Whether it may use this secret is what is asked.
    pub credential: Option<Credential>,
    pub approved: bool,
    pub now: Timestamp,
}

pub fn of(action: Action) -> Case {
    Case {
        agent: AgentConfig {
            id: AGENT,
            version: 1,
            name: Some("clerk".into()),
            model: "main".into(),
            instructions: None,
            tools: vec![mail(), pay()],
            reasoning: Default::default(),
            text: Default::default(),
            service_tier: "auto".into(),
            remit: Remit::default(),
            limits: Limits::default(),
            tool_search: false,
            connectors: vec![given("crm"), given("books")],
            memory: None,
            skills: Vec::new(),
        },
        principal: behalf(Some(Principal::User { id: ANNA })),
        colleague: Some(Colleague {
            id: AGENT,
            owner: Some(ANNA),
            deputy: None,
            team: Some(SALES),
            status: ColleagueStatus::Active,
        }),
        person: Some(Person {
            id: ANNA,
            tenant: TENANT,
            name: "Anna".into(),
            email: Some("anna@example.com".into()),
            roles: vec![Role::Member],
            teams: vec![SALES],
            disabled: false,
        }),
        label: Label::default(),
        said: BTreeSet::new(),
        colleagues: BTreeSet::new(),
        model: Some(card()),
        connector: connected(&action),
        action,
        credential: None,
        approved: false,
        now: Timestamp::from_millis(0),
    }
}

/// A connector, and the tool of it that is called.
#[derive(Clone)]
pub struct Connected {
    pub name: String,
    pub spec: ConnectorSpec,
    pub tool: Option<ToolDefinition>,
}

impl Connected {
    fn told(&self) -> ConnectorFacts<'_> {
        ConnectorFacts { name: &self.name, kept: true, spec: &self.spec, tool: self.tool.as_ref() }
    }
}

fn given(label: &str) -> ConnectorUse {
    let source = ConnectorSource::Kept { name: label.into() };
    let (allowed_tools, credential, label) = (None, None, label.to_owned());
    ConnectorUse { label, source, allowed_tools, required: false, credential, deferred: false, from_environment: false }
}

fn spec(kind: ConnectorKind, inside: bool) -> ConnectorSpec {
    ConnectorSpec {
        kind,
        settings: Value::Null,
        host: Some("crm.example".into()),
        credential: CredentialChoice::None,
        inside,
        label: Label::foreign(),
        effects: Default::default(),
        dialect: None,
    }
}

fn connected(action: &Action) -> Option<Connected> {
    let send = ToolDefinition {
        name: "send".into(),
        title: None,
        description: String::new(),
        parameters: json!({"type": "object", "properties": {
            "to": {"type": "string", "format": "email"}, "n": {"type": "integer"},
        }}),
        effect: Effect::Write,
    };
    let name = action.connector()?.to_owned();
    Some(match action {
        Action::DataQuery(_) => Connected { name, spec: spec(ConnectorKind::Database, true), tool: None },
        _ => Connected { name, spec: spec(ConnectorKind::Mcp, false), tool: Some(send) },
    })
}

/// A call of a tool that sends something to somebody, of a system outside.
pub fn sends(arguments: Value) -> Case {
    of(Action::ConnectorCall(ConnectorCall {
        connector: "crm".into(),
        tool: "send".into(),
        arguments,
        effect: Effect::Write,
        label: Label::foreign(),
        environment: None,
        resumed: None,
    }))
}

/// One statement to a database inside.
pub fn asks(kind: StatementKind, tables: &[(&str, Option<&[&str]>)]) -> Case {
    let used = |(table, columns): &(&str, Option<&[&str]>)| TableUse {
        table: (*table).to_owned(),
        columns: columns.map(|all| all.iter().map(|one| (*one).to_owned()).collect()),
        write: kind == StatementKind::Write,
    };
    of(Action::DataQuery(DataQuery {
        connector: "books".into(),
        tool: "query".into(),
        statement: "…".into(),
        options: Value::Null,
        reading: Reading { kind, tables: tables.iter().map(used).collect(), functions: vec!["sum".into()] },
        label: Label::default(),
    }))
}

pub fn behalf(orderer: Option<Principal>) -> Principal {
    Principal::Agent { id: AGENT, session: SESSION, on_behalf_of: orderer.map(Box::new) }
}

pub fn service() -> Principal {
    behalf(Some(Principal::Service { key: KeyId::from_u128(9) }))
}

pub fn card() -> ModelCard {
    ModelCard {
        name: "main".into(),
        provider: "openai-responses".into(),
        model: "upstream-1".into(),
        context_tokens: 1000,
        max_output_tokens: None,
        scripted: false,
        prices: None,
        residency: Residency::Outside,
        clearance: Vec::new(),
    }
}

fn mail() -> FunctionTool {
    let parameters = json!({"type": "object", "required": ["to"], "properties": {
        "to": {"type": "string", "format": "email"}, "subject": {"type": "string"}, "file": {"type": "string", "format": "path"},
        "page": {"type": "string", "format": "uri"}, "n": {"type": "integer"},
    }});
    FunctionTool { name: "mail".into(), description: String::new(), parameters, price: None, deferred: false }
}

fn pay() -> FunctionTool {
    let parameters = json!({"type": "object", "properties": {"amount": {}, "order": {"type": "object"}}});
    FunctionTool { name: "pay".into(), description: String::new(), parameters, price: None, deferred: false }
}

pub fn call(name: &str, arguments: Value) -> Action {
    Action::FunctionCall { name: name.into(), arguments }
}

pub fn read(path: &str) -> Action {
    Action::FileRead { environment: ENVIRONMENT, path: path.into(), offset: 1, limit: 1 }
}

pub fn write(path: &str) -> Action {
    Action::FileWrite { environment: ENVIRONMENT, path: path.into(), content: "text".into() }
}

pub fn run(command: &str) -> Action {
    Action::CommandRun(CommandRun {
        environment: ENVIRONMENT,
        command: command.into(),
        cwd: "/workspace".into(),
        timeout_ms: Millis(1000),
        background: false,
    })
}

pub fn model() -> Action {
    Action::ModelCall(ModelCall { model: "main".into(), purpose: Purpose::Step, skipped_entries: 0, extract: None })
}

/// One of every operation there is.
pub fn all() -> Vec<Action> {
    let (environment, process) = (ENVIRONMENT, ActionId::from_u128(7));
    vec![
        model(),
        Action::EnvironmentStart { environment },
        run("git push origin"),
        Action::CommandPoll { environment, process, wait_ms: Millis(0) },
        Action::CommandWrite { environment, process, input: "Yes".into() },
        Action::CommandStop { environment, process },
        read("/workspace/a/B.txt"),
        write("/workspace/a"),
        Action::FileAdd { environment, path: "/workspace/a".into(), file: FileId::from_u128(8), size_bytes: 9 },
        Action::FileEdit { environment, path: "/a".into(), old: "x".into(), new: "y".into(), all: false },
        Action::FileList { environment, path: "/".into(), depth: 1, page: None },
        Action::FileSearch { environment, path: "/".into(), pattern: "x".into(), glob: Some("*.rs".into()) },
        Action::ImageView { environment, path: "/workspace/i.png".into() },
        Action::ArtifactPublish { environment, directory: "/workspace/outputs".into() },
        Action::SkillsFind { environment, directory: "/workspace/skills".into() },
        Action::SkillLoad(Box::new(SkillLoad {
            skill: SkillUse {
                name: "charts".into(),
                description: "Draws charts.".into(),
                digest: "0".repeat(64),
                source: SkillSource::Inline { file: FileId::from_u128(3) },
                label: Label::default(),
            },
            environment: None,
            folder: "/skills/charts".into(),
            file: None,
        })),
        call("mail", json!({"to": "anna@example.com", "n": 1, "file": "A"})),
        Action::ConnectorOpen { connector: "crm".into(), environment: None },
        sends(json!({"to": "anna@example.com", "n": 1})).action,
        asks(StatementKind::Read, &[("public.invoices", None)]).action,
        looks(&[MemoryScope::Person, MemoryScope::Tenant]),
        Action::MemoryRead { memory: MemoryId::from_u128(9), scopes: [MemoryScope::Person].into() },
        remembers(MemoryScope::Person),
        Action::MemoryForget {
            scope: MemoryScope::Person,
            seen: MemoryVersion { memory: MemoryId::from_u128(9), version: 1 },
            label: Label::default(),
        },
    ]
}

pub fn looks(scopes: &[MemoryScope]) -> Action {
    let scopes = scopes.iter().copied().collect();
    Action::MemorySearch(MemorySearch { query: "Charts".into(), scopes, kinds: Default::default(), limit: 8 })
}

pub fn remembers(scope: MemoryScope) -> Action {
    let (kind, text, label) = (MemoryKind::Fact, "Charts as PNG".into(), Label::default());
    Action::MemoryWrite(MemoryWrite { scope, kind, text, replaces: None, label, consolidated_by: None })
}

pub fn confidential(groups: &[&str], integrity: Integrity) -> Label {
    let groups = groups.iter().map(|group| (*group).to_owned()).collect();
    Label { integrity, confidentiality: Confidentiality::Groups(groups) }
}

impl Case {
    pub fn request(&self) -> PolicyRequest<'_> {
        PolicyRequest {
            tenant: TENANT,
            session: SESSION,
            principal: &self.principal,
            agent: &self.agent,
            colleague: self.colleague.as_ref(),
            person: self.person.as_ref(),
            label: &self.label,
            said: &self.said,
            colleagues: &self.colleagues,
            model: self.model.as_ref(),
            connector: self.connector.as_ref().map(|facts| facts.told()),
            environment: None,
            action: &self.action,
            credential: self.credential.as_ref(),
            now: self.now,
            approved: self.approved,
        }
    }

    /// The same without a person behind it.
    pub fn alone(self) -> Self {
        Self { principal: service(), person: None, ..self }
    }

    pub fn under(&self, rules: &str) -> Verdict {
        policies(rules).decide(&self.request())
    }

    pub fn explained(&self, rules: &str) -> Explanation {
        policies(rules).explain(&self.request())
    }
}

pub fn policies(text: &str) -> Policies {
    let rules = Rules::compile(text).unwrap_or_else(|problems| {
        panic!("{}", problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
    });
    let policies = Policies::new();
    policies.apply(TENANT, 1, Arc::new(rules));
    policies
}

pub fn rule_of(verdict: &Verdict) -> (&'static str, &str) {
    match verdict {
        Verdict::Allow { rule, .. } => ("allow", rule),
        Verdict::Ask { rule, .. } => ("ask", rule),
        Verdict::Deny { rule, .. } => ("deny", rule),
    }
}

/// A function call as a model writes it: through the same door as in a session.
pub fn called(name: &str, arguments: &str) -> Result<Action, String> {
    let agent: agent::AgentConfig = of(model()).agent;
    tools::to_action(name, arguments, &agent, &bailiwick_core::EnvironmentSpec::None)
}
