//! What Cedar is told about one action: who, what, and in which circumstances, as the schema says.
//!
//! Built anew for each request and of nothing but the request, so that how many people, agents and files there are makes
//! no difference.

use crate::{
    arguments::Arguments,
    rules::{self, KINDS, Key},
    shell,
};
use bailiwick_core::{Action, ActionKind, Confidentiality, Integrity, Label, ModelCall, Purpose, canonical};
use bailiwick_ports::{Colleague, ModelCard, Person, PolicyRequest, Residency};
use bailiwick_types::{EnvironmentId, Principal, Timestamp};
use cedar_policy::{
    Context, Entities, Entity, EntityId, EntityTypeName, EntityUid, Request, RestrictedExpression, Schema,
};
use std::{collections::HashMap, sync::LazyLock};

/// Deepest path that rules are asked about.
const MAX_DEPTH: usize = 128;

/// Why a question cannot be put. It is a denial.
pub(crate) type Unclear = String;

type Value = RestrictedExpression;

macro_rules! types {
    ($($name:ident)*) => {$(
        static $name: LazyLock<EntityTypeName> = LazyLock::new(|| {
            // INVARIANT: a word is a type name.
            type_name(stringify!($name)).parse().expect("a type name")
        });
    )*};
}

types! { ACTION ROLE TEAM USER AGENT MODEL ENVIRONMENT FOLDER FILE COMMAND TOOL TEXTS NUMBERS FLAGS LISTS }

/// `ROLE` is written `Role`.
fn type_name(constant: &str) -> String {
    let (first, rest) = constant.split_at(1);
    format!("{first}{}", rest.to_lowercase())
}

fn uid(kind: &EntityTypeName, id: impl AsRef<str>) -> EntityUid {
    EntityUid::from_type_name_and_id(kind.clone(), EntityId::new(id))
}

fn text(value: impl Into<String>) -> Value {
    Value::new_string(value.into())
}

/// One question: the same for everybody who must be allowed.
pub(crate) struct Question {
    pub kind: ActionKind,
    action: EntityUid,
    context: Context,
    entities: Entities,
    resource: EntityUid,
    pub resource_keys: Vec<Key>,
    pub agent: Asked,
    pub person: Option<Asked>,
}

/// Somebody who must be allowed.
pub(crate) struct Asked {
    uid: EntityUid,
    pub name: String,
    pub keys: Vec<Key>,
}

impl Question {
    /// The question about the action as it is, or, where that differs, as a system would read it that takes letters of
    /// another case or width for the same.
    pub fn new(request: &PolicyRequest<'_>, folded: bool) -> Result<Option<Self>, Unclear> {
        let mut resource = match Resource::of(request, folded)? {
            Some(resource) => resource,
            None => return Ok(None),
        };
        let (agent_entity, agent) = agent(request)?;
        let mut entities = vec![agent_entity];
        let mut person = None;
        if let Some(one) = request.person {
            let (entity, asked) = user(one)?;
            entities.push(entity);
            person = Some(asked);
        }
        let kind = request.action.kind();
        let name = KINDS.into_iter().find(|(known, _)| *known == kind).map_or("", |(_, name)| name);
        let mut pairs = circumstances(request, &agent.uid, person.as_ref().map(|asked| &asked.uid))?;
        pairs.append(&mut resource.context);
        entities.append(&mut resource.entities);
        let context = Context::from_pairs(pairs).map_err(|error| error.to_string())?;
        let entities = Entities::from_entities(entities, conformity()).map_err(|error| error.to_string())?;
        let (action, resource_keys, resource) = (uid(&ACTION, name), resource.keys, resource.uid);
        Ok(Some(Self { kind, action, context, entities, resource, resource_keys, agent, person }))
    }

    /// As Cedar is asked.
    pub fn request(&self, asked: &Asked) -> Result<Request, Unclear> {
        let (principal, action, resource) = (asked.uid.clone(), self.action.clone(), self.resource.clone());
        Request::new(principal, action, resource, self.context.clone(), conformity()).map_err(|error| error.to_string())
    }

    pub fn entities(&self) -> &Entities {
        &self.entities
    }
}

/// In builds that check themselves every question is held against the schema that rules were validated against: strict
/// validation means something only for questions that conform to it.
fn conformity() -> Option<&'static Schema> {
    cfg!(debug_assertions).then(rules::schema)
}

/// The keys under which rules about this principal or resource lie.
fn keys(kind: &EntityTypeName, own: &EntityUid, within: &[EntityUid]) -> Vec<Key> {
    let named = std::iter::once(own).chain(within).cloned().map(Key::One);
    [Key::Anything, Key::OfType(kind.clone())].into_iter().chain(named).collect()
}

fn entity(own: EntityUid, attributes: Vec<(&str, Value)>, within: Vec<EntityUid>) -> Result<Entity, Unclear> {
    let attributes = attributes.into_iter().map(|(name, value)| (name.to_owned(), value));
    Entity::new_with_tags(own, attributes, within, []).map_err(|error| error.to_string())
}

fn agent(request: &PolicyRequest<'_>) -> Result<(Entity, Asked), Unclear> {
    let config = request.agent;
    let own = uid(&AGENT, config.id.to_string());
    let mut attributes =
        vec![("model", text(config.model.clone())), ("saved", Value::new_bool(request.colleague.is_some()))];
    attributes.extend(config.name.as_ref().map(|name| ("name", text(name.clone()))));
    let mut within = Vec::new();
    if let Some(Colleague { owner, deputy, team, .. }) = request.colleague {
        let person = |id: &bailiwick_types::UserId| Value::new_entity_uid(uid(&USER, id.to_string()));
        attributes.extend(owner.as_ref().map(|id| ("owner", person(id))));
        attributes.extend(deputy.as_ref().map(|id| ("deputy", person(id))));
        within.extend(team.map(|team| uid(&TEAM, team.to_string())));
    }
    let asked = Asked { keys: keys(&AGENT, &own, &within), uid: own.clone(), name: format!("the agent {}", config.id) };
    Ok((entity(own, attributes, within)?, asked))
}

fn user(person: &Person) -> Result<(Entity, Asked), Unclear> {
    let own = uid(&USER, person.id.to_string());
    let mut attributes = vec![("name", text(person.name.clone()))];
    attributes.extend(person.email.as_ref().map(|email| ("email", text(email.clone()))));
    let teams = person.teams.iter().map(|team| uid(&TEAM, team.to_string()));
    let within: Vec<EntityUid> = teams.chain(person.roles.iter().map(|role| uid(&ROLE, role.name()))).collect();
    let asked = Asked { keys: keys(&USER, &own, &within), uid: own.clone(), name: format!("the person {}", person.id) };
    Ok((entity(own, attributes, within)?, asked))
}

type Pairs = Vec<(String, Value)>;

fn record(pairs: Vec<(&str, Value)>) -> Result<Value, Unclear> {
    let pairs = pairs.into_iter().map(|(name, value)| (name.to_owned(), value));
    Value::new_record(pairs).map_err(|error| error.to_string())
}

fn circumstances(request: &PolicyRequest<'_>, agent: &EntityUid, person: Option<&EntityUid>) -> Result<Pairs, Unclear> {
    let mut turn = vec![
        ("session", text(request.session.to_string())),
        ("agent", Value::new_entity_uid(agent.clone())),
        ("attended", Value::new_bool(person.is_some())),
        ("orderer", text(orderer(request.principal))),
    ];
    turn.extend(person.map(|uid| ("person", Value::new_entity_uid(uid.clone()))));
    Ok(vec![
        ("operation".to_owned(), text(request.action.operation())),
        ("turn".to_owned(), record(turn)?),
        ("label".to_owned(), label(request.label)?),
        ("time".to_owned(), time(request.now)?),
        ("leaves_walls".to_owned(), Value::new_bool(leaves_walls(request))),
    ])
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
        Principal::Service { .. } => "service",
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

fn label(label: &Label) -> Result<Value, Unclear> {
    record(vec![
        ("untrusted", Value::new_bool(label.integrity == Integrity::Untrusted)),
        ("confidential", Value::new_bool(matches!(label.confidentiality, Confidentiality::Groups(_)))),
        ("public", Value::new_bool(label.confidentiality == Confidentiality::Public)),
        ("groups", Value::new_set(groups(label).map(text))),
    ])
}

fn time(now: Timestamp) -> Result<Value, Unclear> {
    let hours = now.as_millis().div_euclid(3_600_000);
    // The epoch began on a Thursday.
    let weekday = (hours.div_euclid(24) + 3).rem_euclid(7) + 1;
    record(vec![
        ("hour", Value::new_long(hours.rem_euclid(24))),
        ("weekday", Value::new_long(weekday)),
        ("now", Value::new_long(now.as_millis())),
    ])
}

/// Whether the action may carry what the session holds out of the company's walls. What is not known does.
fn leaves_walls(request: &PolicyRequest<'_>) -> bool {
    match request.action.kind() {
        ActionKind::ModelCall => match request.model {
            Some(card) => {
                card.residency != Residency::Inside && !groups(request.label).all(|g| card.clearance.contains(g))
            }
            None => true,
        },
        // A function is the application's, and may send what it is given anywhere. Whether an environment is ours, with
        // its closed walls, is not part of a request yet.
        ActionKind::ToolCall
        | ActionKind::EnvironmentStart
        | ActionKind::CommandRun
        | ActionKind::FileRead
        | ActionKind::FileWrite => true,
    }
}

/// What an action is done to.
struct Resource {
    uid: EntityUid,
    keys: Vec<Key>,
    entities: Vec<Entity>,
    context: Pairs,
}

impl Resource {
    /// `None` when the folded spelling is the spelling itself.
    fn of(request: &PolicyRequest<'_>, folded: bool) -> Result<Option<Self>, Unclear> {
        let fold = |text: &str| if folded { canonical::folded(text) } else { text.to_owned() };
        match request.action {
            Action::ModelCall(_) | Action::EnvironmentStart { .. } if folded => Ok(None),
            Action::ModelCall(call) => model(call, request.model).map(Some),
            Action::EnvironmentStart { environment } => {
                Self::new(&ENVIRONMENT, environment.to_string(), Vec::new(), Vec::new(), Vec::new()).map(Some)
            }
            Action::CommandRun(run) => {
                let timeout = i64::try_from(run.timeout_ms.0).unwrap_or(i64::MAX);
                let more = vec![("timeout_ms", Value::new_long(timeout))];
                let (command, directory) = (fold(&run.command), fold(&run.cwd));
                let changed = command != run.command || directory != run.cwd;
                command_resource(command.clone(), command, directory, run.background, run.environment, more)
                    .map(|resource| (changed || !folded).then_some(resource))
            }
            Action::CommandPoll { process, environment, .. } | Action::CommandStop { process, environment } => {
                let id = process.to_string();
                let resource = command_resource(id, String::new(), "/".into(), true, *environment, Vec::new())?;
                Ok((!folded).then_some(resource))
            }
            Action::CommandWrite { environment, process, input } => {
                let typed = fold(input);
                let changed = typed != *input;
                let more = vec![("input", text(typed))];
                command_resource(process.to_string(), String::new(), "/".into(), true, *environment, more)
                    .map(|resource| (changed || !folded).then_some(resource))
            }
            Action::FunctionCall { name, arguments } => {
                let arguments = Arguments::read(arguments, folded)?;
                if folded && !arguments.changed {
                    return Ok(None);
                }
                tool(name, arguments).map(Some)
            }
            file => file_resource(file, folded),
        }
    }

    fn new(
        kind: &EntityTypeName,
        id: String,
        attributes: Vec<(&str, Value)>,
        within: Vec<EntityUid>,
        context: Pairs,
    ) -> Result<Self, Unclear> {
        let own = uid(kind, id);
        let keys = keys(kind, &own, &within);
        Ok(Self { entities: vec![entity(own.clone(), attributes, within)?], uid: own, keys, context })
    }
}

fn model(call: &ModelCall, card: Option<&ModelCard>) -> Result<Resource, Unclear> {
    let purpose = match call.purpose {
        Purpose::Step => "step",
        Purpose::Compaction => "compaction",
    };
    let clearance = card.map(|card| card.clearance.as_slice()).unwrap_or_default();
    let attributes = vec![
        ("provider", text(card.map_or("", |card| &card.provider))),
        ("upstream", text(card.map_or("", |card| &card.model))),
        ("inside", Value::new_bool(card.is_some_and(|card| card.residency == Residency::Inside))),
        ("clearance", Value::new_set(clearance.iter().map(text))),
    ];
    let context = vec![("purpose".to_owned(), text(purpose))];
    Resource::new(&MODEL, call.model.clone(), attributes, Vec::new(), context)
}

fn environment_of(environment: EnvironmentId) -> (String, Value) {
    ("environment".to_owned(), Value::new_entity_uid(uid(&ENVIRONMENT, environment.to_string())))
}

fn command_resource(
    id: String,
    command: String,
    directory: String,
    background: bool,
    environment: EnvironmentId,
    more: Vec<(&str, Value)>,
) -> Result<Resource, Unclear> {
    let plain = shell::plain(&command);
    let mut attributes =
        vec![("text", text(command)), ("directory", text(directory)), ("background", Value::new_bool(background))];
    if let Some((program, arguments)) = plain.as_deref().and_then(<[String]>::split_first) {
        let line = [program].into_iter().chain(arguments).map(String::as_str).collect::<Vec<_>>().join(" ");
        let plain = record(vec![
            ("program", text(program)),
            ("arguments", Value::new_set(arguments.iter().map(text))),
            ("line", text(line)),
        ])?;
        attributes.push(("plain", plain));
    }
    let mut context = vec![environment_of(environment)];
    context.extend(more.into_iter().map(|(name, value)| (name.to_owned(), value)));
    Resource::new(&COMMAND, id, attributes, Vec::new(), context)
}

fn file_resource(action: &Action, folded: bool) -> Result<Option<Resource>, Unclear> {
    let size =
        |bytes: usize| vec![("size_bytes".to_owned(), Value::new_long(i64::try_from(bytes).unwrap_or(i64::MAX)))];
    let (environment, path, mut context) = match action {
        Action::FileWrite { environment, path, content } => (environment, path, size(content.len())),
        Action::FileAdd { environment, path, size_bytes, .. } => {
            (environment, path, size(usize::try_from(*size_bytes).unwrap_or(usize::MAX)))
        }
        Action::FileEdit { environment, path, new, .. } => (environment, path, size(new.len())),
        Action::FileSearch { environment, path, pattern, glob } => {
            let mut context = vec![("pattern".to_owned(), text(pattern))];
            context.extend(glob.as_ref().map(|glob| ("glob".to_owned(), text(glob))));
            (environment, path, context)
        }
        Action::FileRead { environment, path, .. }
        | Action::FileList { environment, path, .. }
        | Action::ImageView { environment, path }
        | Action::ArtifactPublish { environment, directory: path } => (environment, path, Vec::new()),
        other => return Err(format!("`{}` reaches no file", other.operation())),
    };
    // What is not canonical here would be another file to a rule than to the system.
    if canonical::path(path, "/").as_ref() != Ok(path) {
        return Err(format!("the path `{}` is not in canonical form", rules::shown(path)));
    }
    let spelt = if folded { canonical::path(&canonical::folded(path), "/")? } else { path.clone() };
    if folded && spelt == *path {
        return Ok(None);
    }
    context.push(environment_of(*environment));
    let within = folders(&spelt)?;
    let name = spelt.rsplit('/').next().unwrap_or_default().to_owned();
    let attributes = vec![("path", text(spelt.clone())), ("name", text(name))];
    Resource::new(&FILE, spelt, attributes, within, context).map(Some)
}

/// Every folder that a path is in, the root and the path itself among them.
fn folders(path: &str) -> Result<Vec<EntityUid>, Unclear> {
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

fn tool(name: &str, arguments: Arguments) -> Result<Resource, Unclear> {
    let Arguments { texts, numbers, flags, lists, places, opaque, .. } = arguments;
    let mut resource = Resource::new(&TOOL, name.to_owned(), Vec::new(), Vec::new(), Vec::new())?;
    let mut tagged = |kind: &EntityTypeName, name: &str, tags: HashMap<String, Value>| {
        let own = uid(kind, "call");
        let entity = Entity::new_with_tags(own.clone(), [], [], tags).map_err(|error| error.to_string())?;
        resource.entities.push(entity);
        resource.context.push((name.to_owned(), Value::new_entity_uid(own)));
        Ok::<_, Unclear>(())
    };
    tagged(&TEXTS, "text", texts.into_iter().map(|(place, value)| (place, text(value))).collect())?;
    tagged(&NUMBERS, "number", numbers.into_iter().map(|(place, value)| (place, Value::new_long(value))).collect())?;
    tagged(&FLAGS, "flag", flags.into_iter().map(|(place, value)| (place, Value::new_bool(value))).collect())?;
    let list = |values: Vec<String>| Value::new_set(values.into_iter().map(text));
    tagged(&LISTS, "list", lists.into_iter().map(|(place, values)| (place, list(values))).collect())?;
    let set = |places: Vec<String>| Value::new_set(places.into_iter().map(text));
    resource.context.push(("arguments".to_owned(), set(places)));
    resource.context.push(("opaque".to_owned(), set(opaque)));
    Ok(resource)
}
