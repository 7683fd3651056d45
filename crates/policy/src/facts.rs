//! What Cedar is told about one action: who, what, and in which circumstances, as the schema says.
//!
//! Built anew for each request and of nothing but the request, so that how many people, agents and files there are makes
//! no difference.

use crate::{
    arguments::Arguments,
    rules::{self, KINDS, Rules},
};
use bailiwick_core::{
    Action, ActionKind, Confidentiality, DataQuery, Effect, EnvironmentSpec, Integrity, Label, ModelCall, Purpose,
    SkillSource, canonical, connector::StatementKind, shell::plain,
};
use bailiwick_ports::{
    Colleague, ConnectorFacts, ModelCard, Person, PolicyRequest, Residency,
    vault::{Credential, VaultOwner},
};
use bailiwick_types::{EnvironmentId, Principal, Timestamp};
use cedar_policy_core::{
    ast::{Context, Eid, Entity, EntityType, EntityUID, EntityUIDEntry, Request, Value},
    entities::{Entities, NoEntitiesSchema, TCComputation},
    extensions::Extensions,
};
use std::{
    collections::{BTreeMap, HashSet},
    sync::{Arc, LazyLock},
};

/// Deepest path that rules are asked about.
const MAX_DEPTH: usize = 128;

/// Why a question cannot be put. It is a denial.
pub(crate) type Unclear = String;

macro_rules! types {
    ($($name:ident = $written:literal)*) => {$(
        static $name: LazyLock<EntityType> = LazyLock::new(|| {
            // INVARIANT: a word is a type name.
            $written.parse().expect("a type name")
        });
    )*};
}

types! {
    ACTION = "Action" ROLE = "Role" TEAM = "Team" USER = "User" AGENT = "Agent" MODEL = "Model"
    ENVIRONMENT = "Environment" FOLDER = "Folder" FILE = "File" COMMAND = "Command" TOOL = "Tool"
    CONNECTOR = "Connector" MEMORY = "Memory" VAULT = "Vault" CREDENTIAL = "Credential" TEXTS = "Texts" NUMBERS = "Numbers" FLAGS = "Flags" LISTS = "Lists"
}

/// Names and values that belong together.
type Pairs = Vec<(&'static str, Value)>;

fn uid(kind: &EntityType, id: &str) -> EntityUID {
    EntityUID::from_components(kind.clone(), Eid::new(id), None)
}

fn reference(kind: &EntityType, id: &str) -> Value {
    Value::from(uid(kind, id))
}

fn record(pairs: Pairs) -> Value {
    Value::record_arc(Arc::new(named(pairs)), None)
}

fn named<N: From<&'static str> + Ord>(pairs: Pairs) -> BTreeMap<N, Value> {
    pairs.into_iter().map(|(name, value)| (name.into(), value)).collect()
}

fn texts<'a>(all: impl IntoIterator<Item = &'a String>) -> Value {
    Value::set(all.into_iter().map(|text| Value::from(text.as_str())), None)
}

/// An entity that is in each of `within`, and in nothing that these are in: there is nothing above them.
fn entity(own: EntityUID, attributes: Pairs, within: Vec<EntityUID>) -> Entity {
    let attributes = attributes.into_iter().map(|(name, value)| (name.into(), value.into()));
    Entity::new_with_attr_partial_value(own, attributes, HashSet::new(), within.into_iter().collect(), [])
}

/// One question: the same for everybody who must be allowed.
pub(crate) struct Question {
    pub kind: ActionKind,
    action: EntityUIDEntry,
    context: Context,
    entities: Entities,
    resource: EntityUIDEntry,
    /// The resource and everything that it is in.
    pub resource_ids: Vec<String>,
    pub agent: Asked,
    pub person: Option<Asked>,
}

/// Somebody who must be allowed.
pub(crate) struct Asked {
    uid: EntityUID,
    pub name: String,
    /// Theirs, and everything that they are in.
    pub ids: Vec<String>,
}

impl Question {
    /// The question about the action as it is, or, where that differs, as a system would read it that takes letters of
    /// another case or width for the same.
    pub fn new(rules: &Rules, request: &PolicyRequest<'_>, folded: bool) -> Result<Option<Self>, Unclear> {
        let Some(mut resource) = Resource::of(rules, request, folded)? else { return Ok(None) };
        let (agent_entity, agent) = agent(request);
        let mut entities = vec![agent_entity];
        let mut person = None;
        if let Some(one) = request.person {
            let (entity, asked) = user(one);
            entities.push(entity);
            person = Some(asked);
        }
        let kind = request.kind();
        let name = KINDS.into_iter().find(|(known, _)| *known == kind).map_or("", |(_, name)| name);
        let mut context = circumstances(request, &agent.uid, person.as_ref().map(|asked| &asked.uid));
        context.append(&mut resource.context);
        entities.append(&mut resource.entities);
        let known = |uid: EntityUID| EntityUIDEntry::known(uid, None);
        let question = Self {
            kind,
            action: known(uid(&ACTION, name)),
            context: Context::Value(Arc::new(named(context))),
            entities: gathered(entities)?,
            resource: known(resource.uid),
            resource_ids: resource.ids,
            agent,
            person,
        };
        if cfg!(debug_assertions) {
            question.check()?;
        }
        Ok(Some(question))
    }

    /// As Cedar is asked.
    pub fn request(&self, asked: &Asked) -> Request {
        let principal = EntityUIDEntry::known(asked.uid.clone(), None);
        Request::new_unchecked(principal, self.action.clone(), self.resource.clone(), Some(self.context.clone()))
    }

    pub fn entities(&self) -> &Entities {
        &self.entities
    }

    /// In builds that check themselves every question is held against the schema that rules were validated against:
    /// strict validation means something only for questions that conform to it.
    fn check(&self) -> Result<(), Unclear> {
        let schema = rules::schema();
        let all = self.entities.iter().cloned().map(cedar_policy::Entity::from);
        cedar_policy::Entities::from_entities(all, Some(schema)).map_err(|error| format!("{error:?}"))?;
        let known = |entry: &EntityUIDEntry| match entry {
            EntityUIDEntry::Known { euid, .. } => Ok(cedar_policy::EntityUid::from(EntityUID::clone(euid))),
            EntityUIDEntry::Unknown { .. } => Err("an unknown entity"),
        };
        for asked in std::iter::once(&self.agent).chain(&self.person) {
            let (principal, action, resource) =
                (asked.uid.clone().into(), known(&self.action)?, known(&self.resource)?);
            let context = cedar_policy::Context::from(self.context.clone());
            cedar_policy::Request::new(principal, action, resource, context, Some(schema))
                .map_err(|error| format!("{error:?}"))?;
        }
        Ok(())
    }
}

/// Ancestors are complete as they are given.
fn gathered(entities: Vec<Entity>) -> Result<Entities, Unclear> {
    let (ready, extensions) = (TCComputation::AssumeAlreadyComputed, Extensions::all_available());
    Entities::from_entities(entities, None::<&NoEntitiesSchema>, ready, extensions).map_err(|error| error.to_string())
}

fn ids(own: &str, within: &[EntityUID]) -> Vec<String> {
    let mut ids: Vec<String> = vec![own.to_owned()];
    for uid in within {
        let id: &str = uid.eid().as_ref();
        if !ids.iter().any(|known| known == id) {
            ids.push(id.to_owned());
        }
    }
    ids
}

fn agent(request: &PolicyRequest<'_>) -> (Entity, Asked) {
    let config = request.agent;
    let id = config.id.to_string();
    let own = uid(&AGENT, &id);
    let mut attributes =
        vec![("model", Value::from(config.model.as_str())), ("saved", Value::from(request.colleague.is_some()))];
    attributes.extend(config.name.as_ref().map(|name| ("name", Value::from(name.as_str()))));
    let mut within = Vec::new();
    if let Some(Colleague { owner, deputy, team, .. }) = request.colleague {
        attributes.extend(owner.as_ref().map(|id| ("owner", reference(&USER, &id.to_string()))));
        attributes.extend(deputy.as_ref().map(|id| ("deputy", reference(&USER, &id.to_string()))));
        within.extend(team.map(|team| uid(&TEAM, &team.to_string())));
    }
    let asked = Asked { ids: ids(&id, &within), uid: own.clone(), name: format!("the agent {id}") };
    (entity(own, attributes, within), asked)
}

fn user(person: &Person) -> (Entity, Asked) {
    let id = person.id.to_string();
    let own = uid(&USER, &id);
    let mut attributes = vec![("name", Value::from(person.name.as_str()))];
    attributes.extend(person.email.as_ref().map(|email| ("email", Value::from(email.as_str()))));
    let teams = person.teams.iter().map(|team| uid(&TEAM, &team.to_string()));
    let within: Vec<EntityUID> = teams.chain(person.roles.iter().map(|role| uid(&ROLE, role.name()))).collect();
    let asked = Asked { ids: ids(&id, &within), uid: own.clone(), name: format!("the person {id}") };
    (entity(own, attributes, within), asked)
}

fn circumstances(request: &PolicyRequest<'_>, agent: &EntityUID, person: Option<&EntityUID>) -> Pairs {
    let mut turn = vec![
        ("session", Value::from(request.session.to_string())),
        ("agent", Value::from(agent.clone())),
        ("attended", Value::from(person.is_some())),
        ("orderer", Value::from(orderer(request.principal))),
    ];
    turn.extend(person.map(|uid| ("person", Value::from(uid.clone()))));
    vec![
        ("operation", Value::from(request.operation())),
        ("turn", record(turn)),
        ("label", label(request.label)),
        ("time", time(request.now)),
        ("leaves_walls", Value::from(leaves_walls(request))),
    ]
}

fn orderer(principal: &Principal) -> &'static str {
    match principal {
        Principal::Agent { on_behalf_of: Some(orderer), .. } => orderer_itself(orderer),
        Principal::Agent { on_behalf_of: None, .. } => "nobody",
        other => orderer_itself(other),
    }
}

fn orderer_itself(principal: &Principal) -> &'static str {
    match principal {
        Principal::User { .. } => "user",
        Principal::Service { .. } | Principal::Delegate { .. } => "service",
        Principal::Operator => "operator",
        Principal::Agent { .. } => "nobody",
    }
}

fn groups(label: &Label) -> impl Iterator<Item = &String> {
    match &label.confidentiality {
        Confidentiality::Groups(groups) => Some(groups),
        Confidentiality::Public | Confidentiality::Internal => None,
    }
    .into_iter()
    .flatten()
}

fn label(label: &Label) -> Value {
    record(vec![
        ("untrusted", Value::from(label.integrity == Integrity::Untrusted)),
        ("confidential", Value::from(matches!(label.confidentiality, Confidentiality::Groups(_)))),
        ("public", Value::from(label.confidentiality == Confidentiality::Public)),
        ("groups", texts(groups(label))),
    ])
}

fn time(now: Timestamp) -> Value {
    let hours = now.as_millis().div_euclid(3_600_000);
    // The epoch began on a Thursday.
    let weekday = (hours.div_euclid(24) + 3).rem_euclid(7) + 1;
    record(vec![
        ("hour", Value::from(hours.rem_euclid(24))),
        ("weekday", Value::from(weekday)),
        ("now", Value::from(now.as_millis())),
    ])
}

/// Whether the action may carry what the session holds out of the company's walls. What is not known does.
fn leaves_walls(request: &PolicyRequest<'_>) -> bool {
    match request.kind() {
        // What the secret is used for is asked about by itself.
        ActionKind::VaultUse => false,
        // It stays where everything else is kept.
        ActionKind::MemoryRead | ActionKind::MemoryWrite => false,
        ActionKind::ModelCall => match request.model {
            Some(card) => {
                card.residency != Residency::Inside && !groups(request.label).all(|g| card.clearance.contains(g))
            }
            None => true,
        },
        // A function is the application's, and may send what it is given anywhere.
        ActionKind::ToolCall | ActionKind::DataQuery => {
            !request.connector.is_some_and(|one| one.keeps_inside(request.action, request.colleagues))
        }
        // Our own sandbox has closed walls; somebody else's machine is outside.
        // Nothing is sent to where there is no environment.
        ActionKind::FileRead if request.action.environment().is_none() => false,
        ActionKind::EnvironmentStart | ActionKind::CommandRun | ActionKind::FileRead | ActionKind::FileWrite => {
            !matches!(request.environment, Some(EnvironmentSpec::Hosted(_)))
        }
    }
}

/// What an action is done to.
struct Resource {
    uid: EntityUID,
    /// Its own, and of everything that it is in.
    ids: Vec<String>,
    entities: Vec<Entity>,
    context: Pairs,
}

impl Resource {
    /// `None` when the folded spelling is the spelling itself.
    fn of(rules: &Rules, request: &PolicyRequest<'_>, folded: bool) -> Result<Option<Self>, Unclear> {
        let fold = |text: &str| if folded { canonical::folded(text) } else { text.to_owned() };
        if let Some(credential) = request.credential {
            let name = fold(&credential.name);
            return Ok((!folded || name != credential.name).then(|| secret(credential, &name, request.action)));
        }
        Ok(match request.action {
            Action::ModelCall(_)
            | Action::EnvironmentStart { .. }
            | Action::CommandPoll { .. }
            | Action::CommandStop { .. }
                if folded =>
            {
                None
            }
            Action::ModelCall(call) => Some(model(call, request.model)),
            Action::EnvironmentStart { environment } => {
                Some(Self::new(&ENVIRONMENT, &environment.to_string(), Vec::new(), Vec::new(), Vec::new()))
            }
            Action::CommandRun(run) => {
                let (text, directory) = (fold(&run.command), fold(&run.cwd));
                if folded && text == run.command && directory == run.cwd {
                    return Ok(None);
                }
                let timeout = i64::try_from(run.timeout_ms.0).unwrap_or(i64::MAX);
                let more = ("timeout_ms", Value::from(timeout));
                let command = Command { text: &text, directory: &directory, background: run.background };
                Some(command.resource(&text, run.environment, Some(more)))
            }
            Action::CommandPoll { process, environment, .. } | Action::CommandStop { process, environment } => {
                Some(Command::RUNNING.resource(&process.to_string(), *environment, None))
            }
            Action::CommandWrite { environment, process, input } => {
                let typed = fold(input);
                if folded && typed == *input {
                    return Ok(None);
                }
                let more = ("input", Value::from(typed));
                Some(Command::RUNNING.resource(&process.to_string(), *environment, Some(more)))
            }
            Action::FunctionCall { name, arguments } => {
                let read = Arguments::read(arguments, folded)?;
                // Where it goes is told in its canonical spelling, whatever letters another system takes for the same.
                (!folded || read.changed).then(|| tool(name, read, destination(rules, request, name, arguments)))
            }
            Action::ConnectorOpen { .. } if folded => None,
            Action::ConnectorOpen { .. } => {
                let nothing = Arguments::read(&serde_json::json!({}), false)?;
                Some(connected(request, tool("", nothing, nowhere()), "", Effect::Read)?)
            }
            Action::ConnectorCall(call) => {
                let read = Arguments::read(&call.arguments, folded)?;
                if folded && !read.changed {
                    return Ok(None);
                }
                let schema = request.connector.and_then(|connector| connector.tool).map(|tool| &tool.parameters);
                let destination =
                    schema.map_or_else(nowhere, |schema| goes_to(rules, request, &call.arguments, schema));
                Some(connected(request, tool("", read, destination), &call.tool, call.effect)?)
            }
            // What a parser found is canonical already, and a statement's letters are the statement.
            Action::DataQuery(_) if folded => None,
            Action::DataQuery(query) => Some(statement(request, query)?),
            // Whose it is decides, and not how its words are spelt.
            Action::MemorySearch(_)
            | Action::MemoryRead { .. }
            | Action::MemoryWrite(_)
            | Action::MemoryForget { .. }
                if folded =>
            {
                None
            }
            Action::MemorySearch(_)
            | Action::MemoryRead { .. }
            | Action::MemoryWrite(_)
            | Action::MemoryForget { .. } => Some(memory(request.action)),
            Action::FileRead { environment, path, .. }
            | Action::FileWrite { environment, path, .. }
            | Action::FileAdd { environment, path, .. }
            | Action::FileEdit { environment, path, .. }
            | Action::FileList { environment, path, .. }
            | Action::FileSearch { environment, path, .. }
            | Action::ImageView { environment, path }
            | Action::SkillsFind { environment, directory: path }
            | Action::ArtifactPublish { environment, directory: path } => {
                return file_resource(request.action, Some(*environment), path, folded);
            }
            Action::SkillLoad(load) => {
                return file_resource(request.action, load.environment, &load.path(), folded);
            }
        })
    }

    fn new(kind: &EntityType, id: &str, attributes: Pairs, within: Vec<EntityUID>, context: Pairs) -> Self {
        let own = uid(kind, id);
        let ids = ids(id, &within);
        Self { entities: vec![entity(own.clone(), attributes, within)], uid: own, ids, context }
    }
}

/// What is remembered, by whose it is. Which entries it comes to is not known before.
fn memory(action: &Action) -> Resource {
    let scopes = action.memory_scopes();
    let names = Value::set(scopes.iter().map(|scope| Value::from(scope.name())), None);
    let mut context = vec![("scopes", names)];
    if action.kind() == ActionKind::MemoryWrite {
        let by_itself = matches!(action, Action::MemoryWrite(write) if write.consolidated_by.is_some());
        context.push(("by_itself", Value::from(by_itself)));
        if let Action::MemoryWrite(write) = action {
            context.push(("kind", Value::from(write.kind.name())));
        }
    }
    let id = match scopes.first() {
        Some(scope) if scopes.len() == 1 => scope.name(),
        _ => "several",
    };
    Resource::new(&MEMORY, id, Vec::new(), Vec::new(), context)
}

fn model(call: &ModelCall, card: Option<&ModelCard>) -> Resource {
    let purpose = match call.purpose {
        Purpose::Step => "step",
        Purpose::Compaction => "compaction",
        Purpose::Extract => "extract",
        Purpose::Consolidation => "consolidation",
    };
    let clearance = card.map(|card| card.clearance.as_slice()).unwrap_or_default();
    let attributes = vec![
        ("provider", Value::from(card.map_or("", |card| &card.provider))),
        ("upstream", Value::from(card.map_or("", |card| &card.model))),
        ("inside", Value::from(card.is_some_and(|card| card.residency == Residency::Inside))),
        ("clearance", texts(clearance)),
    ];
    let context = vec![("purpose", Value::from(purpose))];
    Resource::new(&MODEL, &call.model, attributes, Vec::new(), context)
}

/// A secret, and what it is wanted for.
fn secret(credential: &Credential, name: &str, wanted_for: &Action) -> Resource {
    let hosts = credential.hosts();
    let mut attributes = vec![
        ("name", Value::from(name)),
        ("kind", Value::from(credential.auth.kind())),
        ("scope", Value::from(credential.owner.name())),
        ("hosts", texts(hosts.iter().flatten())),
        ("anywhere", Value::from(hosts.is_none())),
    ];
    match credential.owner {
        VaultOwner::User { id } => attributes.push(("user", reference(&USER, &id.to_string()))),
        VaultOwner::Agent { id } => attributes.push(("agent", reference(&AGENT, &id.to_string()))),
        VaultOwner::Shared => {}
    }
    let within = vec![uid(&VAULT, &credential.vault.to_string())];
    let context = vec![("wanted_for", Value::from(wanted_for.operation()))];
    Resource::new(&CREDENTIAL, &credential.id.to_string(), attributes, within, context)
}

fn environment_of(environment: EnvironmentId) -> (&'static str, Value) {
    ("environment", reference(&ENVIRONMENT, &environment.to_string()))
}

/// Where an environment is told of and there is none.
const NO_ENVIRONMENT: &str = "none";

/// What a command's rules are asked about.
struct Command<'a> {
    text: &'a str,
    directory: &'a str,
    background: bool,
}

impl Command<'static> {
    /// One that runs already: its text was asked about when it began.
    const RUNNING: Self = Self { text: "", directory: "/", background: true };
}

impl Command<'_> {
    fn resource(&self, id: &str, environment: EnvironmentId, more: Option<(&'static str, Value)>) -> Resource {
        let plain = plain(self.text);
        let mut attributes = vec![
            ("text", Value::from(self.text)),
            ("directory", Value::from(self.directory)),
            ("background", Value::from(self.background)),
        ];
        if let Some((program, arguments)) = plain.as_deref().and_then(<[String]>::split_first) {
            let line = [program].into_iter().chain(arguments).map(String::as_str).collect::<Vec<_>>().join(" ");
            let plain = record(vec![
                ("program", Value::from(program.as_str())),
                ("arguments", texts(arguments)),
                ("line", Value::from(line)),
            ]);
            attributes.push(("plain", plain));
        }
        let context = std::iter::once(environment_of(environment)).chain(more).collect();
        Resource::new(&COMMAND, id, attributes, Vec::new(), context)
    }
}

fn file_resource(
    action: &Action,
    environment: Option<EnvironmentId>,
    path: &str,
    folded: bool,
) -> Result<Option<Resource>, Unclear> {
    // What is not canonical here would be another file to a rule than to the system.
    if canonical::path(path, "/").as_deref() != Ok(path) {
        return Err(format!("the path `{}` is not in canonical form", rules::shown(path)));
    }
    let spelt = if folded { canonical::path(&canonical::folded(path), "/")? } else { path.to_owned() };
    if folded && spelt == path {
        return Ok(None);
    }
    let mut context = match environment {
        Some(environment) => vec![environment_of(environment)],
        None => vec![("environment", reference(&ENVIRONMENT, NO_ENVIRONMENT))],
    };
    let size = |bytes: u64| Value::from(i64::try_from(bytes).unwrap_or(i64::MAX));
    match action {
        Action::FileWrite { content, .. } => context.push(("size_bytes", size(content.len() as u64))),
        Action::FileEdit { new, .. } => context.push(("size_bytes", size(new.len() as u64))),
        Action::FileAdd { size_bytes, .. } => context.push(("size_bytes", size(*size_bytes))),
        Action::FileSearch { pattern, glob, .. } => {
            context.push(("pattern", Value::from(pattern.as_str())));
            context.extend(glob.as_ref().map(|glob| ("glob", Value::from(glob.as_str()))));
        }
        Action::SkillLoad(load) => {
            let source = match load.skill.source {
                SkillSource::Kept { .. } => "kept",
                SkillSource::Inline { .. } => "inline",
                SkillSource::Found { .. } => "found",
            };
            context.push(("skill", Value::from(load.skill.name.as_str())));
            context.push(("skill_source", Value::from(source)));
        }
        _ => {}
    }
    let within = folders(&spelt)?;
    let name = spelt.rsplit('/').next().unwrap_or_default();
    let attributes = vec![("path", Value::from(spelt.as_str())), ("name", Value::from(name))];
    Ok(Some(Resource::new(&FILE, &spelt, attributes, within, context)))
}

/// Every folder that a path is in, the root and the path itself among them.
fn folders(path: &str) -> Result<Vec<EntityUID>, Unclear> {
    let mut within = vec![uid(&FOLDER, "/")];
    let ends = path.match_indices('/').map(|(at, _)| at).skip(1).chain([path.len()]);
    for end in ends.filter(|end| *end > 1) {
        if within.len() > MAX_DEPTH {
            return Err(format!("the path has more than {MAX_DEPTH} parts"));
        }
        within.push(uid(&FOLDER, &path[..end]));
    }
    Ok(within)
}

/// Where a call goes, by the arguments that its function's schema gives the format of an address, a host or a URL.
fn destination(rules: &Rules, request: &PolicyRequest<'_>, name: &str, arguments: &serde_json::Value) -> Value {
    let tool = request.agent.tools.iter().find(|tool| tool.name == name);
    tool.map_or_else(nowhere, |tool| goes_to(rules, request, arguments, &tool.parameters))
}

/// No argument says where.
fn nowhere() -> Value {
    let none = || Value::set([], None);
    let no = || Value::from(false);
    record(vec![
        ("places", none()),
        ("values", none()),
        ("in_persons_words", no()),
        ("in_directory", no()),
        ("lists", none()),
    ])
}

fn goes_to(
    rules: &Rules,
    request: &PolicyRequest<'_>,
    arguments: &serde_json::Value,
    schema: &serde_json::Value,
) -> Value {
    let all = canonical::destinations(arguments, schema).unwrap_or_default();
    let said = !all.is_empty() && all.iter().all(|one| request.said.contains(&one.value));
    let is_known = |one: &canonical::Destination| one.is_address() && request.colleagues.contains(&one.value);
    let known = !all.is_empty() && all.iter().all(is_known);
    let texts = |all: Vec<&str>| Value::set(all.into_iter().map(Value::from), None);
    record(vec![
        ("places", texts(all.iter().map(|one| one.place.as_str()).collect())),
        ("values", texts(all.iter().map(|one| one.value.as_str()).collect())),
        ("in_persons_words", Value::from(said)),
        ("in_directory", Value::from(known)),
        ("lists", texts(rules.lists_with(&all))),
    ])
}

fn tool(name: &str, arguments: Arguments, destination: Value) -> Resource {
    let mut resource = Resource::new(&TOOL, name, Vec::new(), Vec::new(), vec![("destination", destination)]);
    let list = |values: Vec<String>| Value::set(values.into_iter().map(Value::from), None);
    resource.add_tags(&TEXTS, "text", arguments.texts.into_iter().map(|(place, text)| (place, Value::from(text))));
    resource.add_tags(&NUMBERS, "number", arguments.numbers.into_iter().map(|(place, of)| (place, Value::from(of))));
    resource.add_tags(&FLAGS, "flag", arguments.flags.into_iter().map(|(place, flag)| (place, Value::from(flag))));
    resource.add_tags(&LISTS, "list", arguments.lists.into_iter().map(|(place, values)| (place, list(values))));
    resource.context.push(("arguments", list(arguments.places)));
    resource.context.push(("opaque", list(arguments.opaque)));
    resource
}

fn connector(facts: &ConnectorFacts<'_>) -> Entity {
    let attributes = vec![
        ("kind", Value::from(facts.spec.kind.name())),
        ("host", Value::from(facts.spec.host.as_deref().unwrap_or_default())),
        ("inside", Value::from(facts.spec.inside)),
        ("kept", Value::from(facts.kept)),
    ];
    entity(uid(&CONNECTOR, facts.name), attributes, Vec::new())
}

fn unknown_connector() -> Unclear {
    "nothing is known of the connector".to_owned()
}

/// A call of a tool as one of a connector.
fn connected(request: &PolicyRequest<'_>, call: Resource, name: &str, effect: Effect) -> Result<Resource, Unclear> {
    let facts = request.connector.ok_or_else(unknown_connector)?;
    let id = format!("{}/{name}", facts.name);
    let within = vec![uid(&CONNECTOR, facts.name)];
    let mut made = Resource::new(&TOOL, &id, Vec::new(), within, call.context);
    // The first is the tool itself, under the name that it has as a function.
    made.entities.extend(call.entities.into_iter().skip(1));
    made.entities.push(connector(&facts));
    made.context.push(("effect", Value::from(effect.name())));
    made.context.push(("connector", reference(&CONNECTOR, facts.name)));
    Ok(made)
}

fn statement(request: &PolicyRequest<'_>, query: &DataQuery) -> Result<Resource, Unclear> {
    let facts = request.connector.ok_or_else(unknown_connector)?;
    let tables = &query.reading.tables;
    let set = |texts: Vec<String>| Value::set(texts.into_iter().map(Value::from), None);
    let columns = tables.iter().flat_map(|one| match &one.columns {
        Some(columns) => columns.iter().map(|column| format!("{}.{column}", one.table)).collect(),
        None => vec![format!("{}.*", one.table)],
    });
    let context = vec![
        ("statement", Value::from(query.statement.as_str())),
        ("write", Value::from(query.reading.kind == StatementKind::Write)),
        ("tables", set(tables.iter().map(|one| one.table.clone()).collect())),
        ("written", set(tables.iter().filter(|one| one.write).map(|one| one.table.clone()).collect())),
        ("columns", set(columns.collect())),
        ("functions", texts(&query.reading.functions)),
    ];
    let entity = connector(&facts);
    let own = uid(&CONNECTOR, facts.name);
    Ok(Resource { ids: ids(facts.name, &[]), uid: own, entities: vec![entity], context })
}

impl Resource {
    /// Arguments of one type, as the tags of an entity that the context leads to.
    fn add_tags(&mut self, kind: &EntityType, name: &'static str, tags: impl Iterator<Item = (String, Value)>) {
        let own = uid(kind, "call");
        let tags = tags.map(|(place, value)| (place.into(), value.into()));
        self.entities.push(Entity::new_with_attr_partial_value(own.clone(), [], HashSet::new(), HashSet::new(), tags));
        self.context.push((name, Value::from(own)));
    }
}
