//! Connectors: ways to the systems of a company, as data.
//!
//! What a connector's room needs to reach its system stays opaque here ([`ConnectorSpec::settings`]): what is told to the
//! model, to policy and to receipts is not. Nothing here holds a secret.

use crate::{Label, difference::difference, elicitation::Resumed};
use bailiwick_types::{CredentialId, EnvironmentId};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};

/// Most connectors of one agent.
pub const MAX_USES: usize = 64;
/// Longest name under which a model sees a tool; what providers take.
const MAX_VISIBLE: usize = 64;

/// The room that reaches a system.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ConnectorKind {
    Mcp,
    Openapi,
    Database,
    Mail,
    Calendar,
    Documents,
    People,
    Web,
    Memory,
}

impl ConnectorKind {
    pub const ALL: [Self; 9] = [
        Self::Mcp,
        Self::Openapi,
        Self::Database,
        Self::Mail,
        Self::Calendar,
        Self::Documents,
        Self::People,
        Self::Web,
        Self::Memory,
    ];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Mcp => "mcp",
            Self::Openapi => "openapi",
            Self::Database => "database",
            Self::Mail => "mail",
            Self::Calendar => "calendar",
            Self::Documents => "documents",
            Self::People => "people",
            Self::Web => "web",
            Self::Memory => "memory",
        }
    }
}

/// What doing it again does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// It changes nothing: it may be repeated freely.
    Read,
    /// Doing it twice is doing it once.
    Idempotent,
    /// It may change something each time: a lost answer makes its outcome unknown.
    Write,
}

impl Effect {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Idempotent => "idempotent",
            Self::Write => "write",
        }
    }
}

/// A way to one system.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConnectorSpec {
    pub kind: ConnectorKind,
    /// What its room needs, in that room's words: addresses, names, limits.
    #[serde(default)]
    pub settings: Value,
    /// In lower case, without port: where its secret may be sent, and what policy is told. `None`: it reaches nothing
    /// over a network.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    #[serde(default)]
    pub credential: CredentialChoice,
    /// Its system is inside the company's walls.
    #[serde(default)]
    pub inside: bool,
    /// Of everything that comes back from it.
    #[serde(default = "Label::foreign")]
    pub label: Label,
    /// What is said of single tools, whatever they say of themselves.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub effects: BTreeMap<String, Effect>,
    /// The query language of its statements.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dialect: Option<Dialect>,
}

impl ConnectorSpec {
    /// Where it leads: SHA-256 in hex over its kind, host and settings, and the tool that is called there. What somebody
    /// answered or accepted about one system holds for no other one under the same name.
    pub fn system(&self, tool: Option<&ToolDefinition>) -> String {
        digest_of(&(self.kind, &self.host, &self.settings, tool))
    }
}

/// Which secret a connector signs in with.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CredentialChoice {
    #[default]
    None,
    /// The one credential of the session's vaults that may be sent to the host, if there is exactly one.
    Matching,
    /// The credential of this name: in the session's vaults each person's own, else a shared one.
    Named(String),
    /// Exactly this one.
    Fixed(CredentialId),
    /// The acting person's own account there, which nobody else has and which that person connects by signing in
    /// (OAuth). Whatever needs it waits until it is there.
    Account,
}

/// What an agent was given of a connector.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConnectorUse {
    /// What the model sees before the names of its tools; unique in the agent.
    pub label: String,
    pub source: ConnectorSource,
    /// The tools that the agent may call; `None`: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allowed_tools: Option<BTreeSet<String>>,
    /// No turn goes on without it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub required: bool,
    /// Takes the place of the connector's own choice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credential: Option<CredentialId>,
    /// Its tools are found by a search and not told before.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub deferred: bool,
    /// Reached from inside the session's environment.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub from_environment: bool,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ConnectorSource {
    /// One that the organisation keeps, by name.
    Kept { name: String },
    /// Written into the agent.
    Own { spec: Box<ConnectorSpec> },
}

impl ConnectorUse {
    /// What policy and receipts call it.
    pub fn name(&self) -> &str {
        match &self.source {
            ConnectorSource::Kept { name } => name,
            ConnectorSource::Own { .. } => &self.label,
        }
    }

    pub fn allows(&self, tool: &str) -> bool {
        self.allowed_tools.as_ref().is_none_or(|allowed| allowed.contains(tool))
    }
}

/// One tool, as its connector tells of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ToolDefinition {
    pub name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    pub description: String,
    /// A JSON Schema object.
    pub parameters: Value,
    pub effect: Effect,
}

impl ToolDefinition {
    /// A tool of a room of ours.
    pub fn new(name: &str, title: &str, description: &str, parameters: Value, effect: Effect) -> Self {
        let (name, description) = (name.to_owned(), description.to_owned());
        Self { name, title: Some(title.to_owned()), description, parameters, effect }
    }

    /// SHA-256 in hex over the canonical JSON (RFC 8785) of everything that a model or a rule goes by.
    pub fn digest(&self) -> String {
        digest_of(self)
    }
}

/// SHA-256 in hex over the canonical JSON (RFC 8785) of a definition.
pub fn digest_of(definition: &impl Serialize) -> String {
    // INVARIANT: texts and values that came from JSON have a canonical form.
    let bytes = serde_jcs::to_vec(&json!(definition)).expect("a definition is JSON");
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What a connector turned out to be when it was opened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OpenedConnector {
    pub kind: ConnectorKind,
    pub tools: Vec<ToolDefinition>,
    /// Tools that are not what was accepted, and are not offered until somebody accepts them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub held: Vec<HeldTool>,
    /// Somebody inside vouches for the words of its tools.
    pub vouched: bool,
    /// Of everything that comes back from it.
    pub label: Label,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dialect: Option<Dialect>,
}

/// A tool whose definition is not the one that was accepted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HeldTool {
    pub name: String,
    /// Of the definition as it is now.
    pub digest: String,
    /// In plain words, a line for each thing that changed.
    pub difference: String,
    /// As it is now. Records of before this was kept do not have it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offered: Option<Box<ToolDefinition>>,
}

/// The tool definitions that were accepted, by tool.
pub type Pins = BTreeMap<String, ToolDefinition>;

/// Tells tools that were accepted from those that were not. Without pins, all that is offered is accepted.
pub fn against_pins(offered: Vec<ToolDefinition>, pins: Option<&Pins>) -> (Vec<ToolDefinition>, Vec<HeldTool>) {
    let Some(pins) = pins else { return (offered, Vec::new()) };
    let (mut kept, mut held) = (Vec::new(), Vec::new());
    for tool in offered {
        let difference = match pins.get(&tool.name) {
            Some(pinned) if *pinned == tool => {
                kept.push(tool);
                continue;
            }
            Some(pinned) => difference(pinned, &tool).join("\n"),
            None => "it was not there when the tools were accepted".to_owned(),
        };
        let (name, digest) = (tool.name.clone(), tool.digest());
        held.push(HeldTool { name, digest, difference, offered: Some(Box::new(tool)) });
    }
    (kept, held)
}

/// One call of a tool of a connector.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ConnectorCall {
    /// The label of the agent's [`ConnectorUse`].
    pub connector: String,
    pub tool: String,
    pub arguments: Value,
    pub effect: Effect,
    /// Of what comes back.
    pub label: Label,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment: Option<EnvironmentId>,
    /// It goes on after its system had asked the person something.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resumed: Option<Box<Resumed>>,
}

/// One statement to a database.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DataQuery {
    /// The label of the agent's [`ConnectorUse`].
    pub connector: String,
    pub tool: String,
    pub statement: String,
    /// Everything else that was asked for, such as the most rows.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub options: Value,
    /// What a parser found in the statement.
    pub reading: Reading,
    pub label: Label,
}

impl DataQuery {
    pub const fn effect(&self) -> Effect {
        match self.reading.kind {
            StatementKind::Read => Effect::Read,
            StatementKind::Write => Effect::Write,
        }
    }
}

/// The query languages that statements are read in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Dialect {
    Postgres,
    Mysql,
    Sqlite,
    Warehouse,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StatementKind {
    Read,
    Write,
}

/// What one statement reads and writes: never less than the truth.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reading {
    pub kind: StatementKind,
    pub tables: Vec<TableUse>,
    /// In lower case.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub functions: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableUse {
    /// Canonical, its parts joined with dots: `public.invoices`, or `invoices` where the statement says no more.
    pub table: String,
    /// `None`: all of them, or nobody can say which.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub columns: Option<Vec<String>>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub write: bool,
}

/// Reads statements of query languages. A pure function that lives where its parser does.
pub trait StatementReader: Send + Sync {
    /// Exactly one statement. The error is for the model, and whoever gets it denies.
    fn read(&self, dialect: Dialect, statement: &str) -> Result<Reading, String>;
}

/// Reads nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoStatements;

impl StatementReader for NoStatements {
    fn read(&self, _dialect: Dialect, _statement: &str) -> Result<Reading, String> {
        Err("this server reads no statements".into())
    }
}

/// The name under which a model sees a tool: `label__tool`, in letters that every provider takes. One that would be too
/// long or not its own is cut and ends in a digest of the whole.
pub fn visible_name(label: &str, tool: &str) -> String {
    let plain = |char: char| char.is_ascii_alphanumeric() || matches!(char, '_' | '-');
    let whole = format!("{label}__{tool}");
    if whole.len() <= MAX_VISIBLE && whole.chars().all(plain) {
        return whole;
    }
    let digest: String = Sha256::digest(whole.as_bytes()).iter().take(4).map(|byte| format!("{byte:02x}")).collect();
    let spelt = whole.chars().map(|char| if plain(char) { char } else { '_' });
    format!("{}_{digest}", spelt.take(MAX_VISIBLE - digest.len() - 1).collect::<String>())
}

/// Whether a text may be the label of a connector: it begins the names of tools, and two underscores end it there.
pub fn is_label(text: &str) -> bool {
    let plain = |char: char| char.is_ascii_alphanumeric() || matches!(char, '_' | '-');
    (1..=32).contains(&text.len()) && text.chars().all(plain) && !text.contains("__") && !text.ends_with('_')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tool(name: &str, description: &str) -> ToolDefinition {
        let (name, description) = (name.to_owned(), description.to_owned());
        ToolDefinition { name, title: None, description, parameters: json!({"type": "object"}), effect: Effect::Write }
    }

    #[test]
    fn two_tools_never_share_a_name_that_a_model_sees() {
        let long = "t".repeat(100);
        let pairs = [
            ("crm", "find"),
            ("crm", "find one"),
            ("crm", "find.one"),
            ("crm", &long),
            ("crn", &long),
            ("c", "rm__find"),
        ];
        let names: BTreeSet<String> = pairs.iter().map(|(label, tool)| visible_name(label, tool)).collect();
        assert_eq!(names.len(), pairs.len());
        assert!(names.iter().all(|name| name.len() <= MAX_VISIBLE && name.is_ascii()));
        assert_eq!(visible_name("crm", "find"), "crm__find");
        assert!(!is_label("c__rm") && !is_label("crm_") && !is_label("") && is_label("crm-2"), "labels end at `__`");
    }

    #[test]
    fn what_changed_or_came_later_is_held_back() {
        let pins = Pins::from([("a".into(), tool("a", "one")), ("b".into(), tool("b", "two"))]);
        let offered = vec![tool("a", "one"), tool("b", "another"), tool("c", "new")];
        let (kept, held) = against_pins(offered.clone(), Some(&pins));
        assert_eq!(kept, [tool("a", "one")]);
        assert_eq!(held.iter().map(|held| held.name.as_str()).collect::<Vec<_>>(), ["b", "c"]);
        assert_eq!(held[0].difference, "the description was `two` and is now `another`");
        assert_eq!(against_pins(offered, None).1, []);
    }
}
