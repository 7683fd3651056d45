//! The allow-list, from outside: what is listed is allowed, everything else is denied with a way out.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use bailiwick_core::{
    Action, AgentConfig, CommandRun, Confidentiality, ConnectorCall, ConnectorKind, ConnectorSource, ConnectorSpec,
    ConnectorUse, DataQuery, Effect, FunctionTool, Integrity, Label, Limits, ModelCall, Purpose, Remit, SkillLoad,
    SkillSource, SkillUse, ToolDefinition,
    connector::{CredentialChoice, Reading, StatementKind},
};
use bailiwick_core::{MemoryKind, MemoryScope, MemorySearch, MemoryWrite, memory::MemoryVersion};
use bailiwick_policy::{AllowList, OPERATIONS, RemitError, validate};
use bailiwick_ports::{ConnectorFacts, Policy, PolicyRequest, Verdict};
use bailiwick_types::{
    ActionId, AgentId, EnvironmentId, FileId, KeyId, MemoryId, Millis, Principal, SessionId, TenantId, Timestamp,
};
use proptest::prelude::*;
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::LazyLock,
};

const AGENT: AgentId = AgentId::from_u128(1);

fn agent(allow: &[&str]) -> AgentConfig {
    AgentConfig {
        id: AGENT,
        version: 1,
        name: None,
        model: "main".into(),
        instructions: None,
        tools: vec![FunctionTool {
            name: "lookup".into(),
            description: String::new(),
            parameters: json!({}),
            price: None,
            deferred: false,
        }],
        reasoning: Default::default(),
        text: Default::default(),
        service_tier: "auto".into(),
        remit: Remit { allow: allow.iter().map(|entry| (*entry).into()).collect() },
        limits: Limits::default(),
        tool_search: false,
        connectors: vec![given()],
        memory: None,
        skills: Vec::new(),
    }
}

fn given() -> ConnectorUse {
    ConnectorUse {
        label: "crm".into(),
        source: ConnectorSource::Kept { name: "crm".into() },
        allowed_tools: Some(["find".to_owned(), "query".to_owned()].into()),
        required: false,
        credential: None,
        deferred: false,
        from_environment: false,
    }
}

static SPEC: LazyLock<ConnectorSpec> = LazyLock::new(|| ConnectorSpec {
    kind: ConnectorKind::Mcp,
    settings: Value::Null,
    host: None,
    credential: CredentialChoice::None,
    inside: true,
    label: Label::foreign(),
    effects: BTreeMap::new(),
    dialect: None,
});

static TOOL: LazyLock<ToolDefinition> = LazyLock::new(|| ToolDefinition {
    name: "find".into(),
    title: None,
    description: String::new(),
    parameters: json!({"type": "object", "properties": {"id": {"type": "integer"}}}),
    effect: Effect::Read,
});

fn find(tool: &str, arguments: Value) -> Action {
    let (connector, tool) = ("crm".to_owned(), tool.to_owned());
    let (label, effect) = (Label::foreign(), Effect::Read);
    Action::ConnectorCall(ConnectorCall { connector, tool, arguments, effect, label, environment: None, resumed: None })
}

/// One of each. A new kind of action does not compile until it is here, and so in `OPERATIONS`.
fn actions() -> Vec<Action> {
    let environment = EnvironmentId::from_u128(5);
    let (process, path, text) = (ActionId::from_u128(6), "/workspace/a".to_owned(), String::new);
    let all = vec![
        Action::ModelCall(ModelCall {
            model: "main".into(),
            purpose: Purpose::Step,
            skipped_entries: 0,
            extract: None,
        }),
        Action::EnvironmentStart { environment },
        Action::CommandRun(CommandRun {
            environment,
            command: "true".into(),
            cwd: "/workspace".into(),
            timeout_ms: Millis(1),
            background: false,
        }),
        Action::CommandPoll { environment, process, wait_ms: Millis(0) },
        Action::CommandWrite { environment, process, input: text() },
        Action::CommandStop { environment, process },
        Action::FileRead { environment, path: path.clone(), offset: 1, limit: 1 },
        Action::FileWrite { environment, path: path.clone(), content: text() },
        Action::FileAdd { environment, path: path.clone(), file: FileId::from_u128(3), size_bytes: 1 },
        Action::FileEdit { environment, path: path.clone(), old: text(), new: text(), all: false },
        Action::FileList { environment, path: path.clone(), depth: 1, page: None },
        Action::FileSearch { environment, path: path.clone(), pattern: text(), glob: None },
        Action::ImageView { environment, path },
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
        Action::FunctionCall { name: "lookup".into(), arguments: Value::Null },
        Action::ConnectorOpen { connector: "crm".into(), environment: None },
        find("find", json!({})),
        Action::DataQuery(DataQuery {
            connector: "crm".into(),
            tool: "query".into(),
            statement: "select 1".into(),
            options: Value::Null,
            reading: Reading { kind: StatementKind::Read, tables: Vec::new(), functions: Vec::new() },
            label: Label::foreign(),
        }),
        Action::MemorySearch(MemorySearch {
            query: "charts".into(),
            scopes: [MemoryScope::Person].into(),
            kinds: [].into(),
            limit: 1,
        }),
        Action::MemoryRead { memory: MemoryId::from_u128(4), scopes: [MemoryScope::Person].into() },
        Action::MemoryWrite(MemoryWrite {
            scope: MemoryScope::Person,
            kind: MemoryKind::Fact,
            text: "charts".into(),
            replaces: None,
            label: Label::default(),
            consolidated_by: None,
        }),
        Action::MemoryForget {
            scope: MemoryScope::Person,
            seen: MemoryVersion { memory: MemoryId::from_u128(4), version: 1 },
            label: Label::default(),
        },
    ];
    for action in &all {
        match action {
            Action::ModelCall(_) | Action::EnvironmentStart { .. } | Action::CommandRun(_) => {}
            Action::CommandPoll { .. } | Action::CommandWrite { .. } | Action::CommandStop { .. } => {}
            Action::FileRead { .. } | Action::FileWrite { .. } | Action::FileAdd { .. } | Action::FileEdit { .. } => {}
            Action::FileList { .. } | Action::FileSearch { .. } | Action::ImageView { .. } => {}
            Action::SkillsFind { .. } | Action::SkillLoad(_) => {}
            Action::ArtifactPublish { .. } | Action::FunctionCall { .. } => {}
            Action::ConnectorOpen { .. } | Action::ConnectorCall(_) | Action::DataQuery(_) => {}
            Action::MemorySearch(_) | Action::MemoryRead { .. } => {}
            Action::MemoryWrite(_) | Action::MemoryForget { .. } => {}
        }
    }
    all
}

fn itself() -> Principal {
    let key = KeyId::from_u128(9);
    Principal::Agent {
        id: AGENT,
        session: SessionId::from_u128(2),
        on_behalf_of: Some(Box::new(Principal::Service { key })),
    }
}

fn decide(agent: &AgentConfig, action: &Action) -> Verdict {
    AllowList.decide(&request(&itself(), agent, action))
}

fn request<'a>(principal: &'a Principal, agent: &'a AgentConfig, action: &'a Action) -> PolicyRequest<'a> {
    static NOTHING: BTreeSet<String> = BTreeSet::new();
    static LABEL: Label = Label { integrity: Integrity::Trusted, confidentiality: Confidentiality::Internal };
    PolicyRequest {
        tenant: TenantId::from_u128(3),
        session: SessionId::from_u128(4),
        principal,
        agent,
        colleague: None,
        person: None,
        label: &LABEL,
        said: &NOTHING,
        colleagues: &NOTHING,
        model: None,
        connector: action.connector().map(|name| {
            let tool = matches!(action, Action::ConnectorCall(call) if call.tool == TOOL.name).then_some(&*TOOL);
            ConnectorFacts { name, kept: true, spec: &SPEC, tool }
        }),
        environment: None,
        action,
        credential: None,
        now: Timestamp::from_millis(0),
        approved: false,
    }
}

fn denial(verdict: Verdict) -> (String, String, String) {
    match verdict {
        Verdict::Deny { rule, reason, remedy } => (rule, reason, remedy),
        Verdict::Allow { rule, .. } => panic!("allowed by {rule}"),
        Verdict::Ask { rule, .. } => panic!("{rule} asks"),
    }
}

#[test]
fn the_list_of_operations_is_complete() {
    assert_eq!(actions().iter().map(Action::operation).collect::<Vec<_>>(), OPERATIONS);
}

#[test]
fn the_default_remit_allows_an_agents_own_things() {
    let agent = AgentConfig { remit: Remit::default(), ..agent(&[]) };
    assert_eq!(validate(&agent.remit), Ok(()));
    for action in actions() {
        assert!(matches!(decide(&agent, &action), Verdict::Allow { .. }), "{}", action.operation());
    }
}

#[test]
fn an_empty_remit_allows_nothing_and_says_how_to_change_that() {
    for action in actions() {
        let (rule, reason, remedy) = denial(decide(&agent(&[]), &action));
        assert_eq!(rule, "remit.allow");
        assert_eq!(reason, format!("`{}` is not in the agent's remit", action.operation()));
        assert!(remedy.contains(&format!("`{}`", action.operation())), "{remedy}");
    }
}

#[test]
fn an_allowance_names_the_entry_that_gave_it() {
    let verdict = decide(&agent(&["file.*"]), &actions()[8]);
    assert_eq!(verdict, Verdict::allow("remit.allow `file.*`"));
}

#[test]
fn only_the_agents_own_model_and_functions_are_reached() {
    let agent = agent(&["model.*", "tool.*"]);
    let model = Action::ModelCall(ModelCall {
        model: "other".into(),
        purpose: Purpose::Step,
        skipped_entries: 0,
        extract: None,
    });
    let (rule, reason, _) = denial(decide(&agent, &model));
    assert_eq!(
        (rule.as_str(), reason.as_str()),
        ("agent.model", "the agent works with the model `main`, not with `other`")
    );
    let call = Action::FunctionCall { name: "look\nup".into(), arguments: Value::Null };
    let (rule, reason, remedy) = denial(decide(&agent, &call));
    assert_eq!((rule.as_str(), reason.as_str()), ("agent.tools", "the agent has no function `look\\nup`"));
    assert!(remedy.starts_with("add the function"));
}

#[test]
fn nobody_but_the_agent_acts_under_its_remit() {
    let agent = AgentConfig { remit: Remit::default(), ..agent(&[]) };
    let other = Principal::Agent { id: AgentId::from_u128(7), session: SessionId::from_u128(2), on_behalf_of: None };
    for principal in [other, Principal::Operator, Principal::Service { key: KeyId::from_u128(9) }] {
        for action in actions() {
            assert_eq!(denial(AllowList.decide(&request(&principal, &agent, &action))).0, "principal");
        }
    }
}

#[test]
fn a_wrong_entry_is_named_with_the_nearest_right_one() {
    let wrong = |entry: &str| validate(&agent(&["file.read", entry]).remit).unwrap_err().to_string();
    assert!(
        wrong("file.edits")
            .starts_with("`remit.allow[1]`: there is no operation `file.edits`, did you mean `file.edit`?")
    );
    assert!(wrong("files.*").contains("did you mean `file.*`?"));
    assert!(wrong("commnad.run").contains("did you mean `command.run`?"));
    assert!(wrong("").contains("there is no operation ``; operations are model.call, "));
    assert!(wrong("FILE.READ").contains("there is no operation"));
    assert!(wrong("file.re*").contains("there is no operation"));
    assert!(wrong("\u{1b}[2J").contains("`\\u{1b}[2J`"));
    for star in ["*", ".*", "*.*"] {
        assert!(wrong(star).contains("would allow everything"), "{star}");
    }
    let many = Remit { allow: vec!["file.read".into(); 65] };
    assert_eq!(validate(&many), Err(RemitError::TooMany(65)));
}

/// Real entries, near misses and noise.
fn entries() -> impl Strategy<Value = Vec<String>> {
    let operation = prop::sample::select(OPERATIONS.to_vec());
    let near = (operation.clone(), prop::sample::select(vec!["", " ", "s", ".*", "*", "\u{0}"]))
        .prop_map(|(o, end)| format!("{o}{end}"));
    let kind = prop::sample::select(vec![
        "file.*",
        "command.*",
        "tool.*",
        "model.*",
        "file",
        "*",
        ".*",
        "*.*",
        "f*.*",
        "file*",
    ]);
    prop::collection::vec(prop_oneof![near, kind.prop_map(str::to_owned), ".{0,12}"], 0..8)
}

proptest! {
    #[test]
    fn nothing_is_allowed_that_is_not_listed(allow in entries(), which in 0..OPERATIONS.len()) {
        let action = &actions()[which];
        let operation = action.operation();
        let listed = allow.iter().any(|entry| {
            entry == operation || *entry == format!("{}.*", operation.split('.').next().unwrap())
        });
        let agent = agent(&allow.iter().map(String::as_str).collect::<Vec<_>>());
        prop_assert_eq!(matches!(decide(&agent, action), Verdict::Allow { .. }), listed);
    }

    #[test]
    fn a_remit_that_is_accepted_has_no_useless_entry(allow in entries()) {
        let remit = Remit { allow };
        let useful = |entry: &String| actions().iter().any(|action| {
            matches!(decide(&agent(&[entry]), action), Verdict::Allow { .. })
        });
        prop_assert_eq!(validate(&remit).is_ok(), remit.allow.iter().all(useful));
    }
}
