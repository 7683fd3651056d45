//! What rules say about themselves: `@id`, `@ask`, `@reason`, `@remedy`, `@limit`, `@sum`, `@spelling`, `@destinations`.

use bailiwick_core::canonical::Pin;
use bailiwick_ports::{Approver, Role, Window};
use cedar_policy::{ActionConstraint, Effect, Policy};

/// Longest `@reason` and `@remedy`, in characters: they are shown whole.
const MAX_WORDS: usize = 500;
const MAX_ID: usize = 64;
const KNOWN: [&str; 8] = ["id", "ask", "reason", "remedy", "limit", "sum", "spelling", "destinations"];
/// Entries of one `@destinations`.
const MAX_DESTINATIONS: usize = 500;

/// One rule, without its condition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Rule {
    pub id: String,
    pub effect: RuleEffect,
    /// Where it begins in the text, counted from 1.
    pub line: u32,
    pub text: String,
    pub reason: Option<String>,
    pub remedy: Option<String>,
    pub limit: Option<Limit>,
    /// A forbid that is asked about the exact spelling only.
    pub exact: bool,
    /// An approved list of destinations, which has the rule's id.
    pub destinations: Vec<Pin>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum RuleEffect {
    Permit,
    Forbid,
    /// A forbid until somebody agrees.
    Ask(Approver),
}

/// How often, or how much of something, a permit allows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Limit {
    pub most: i64,
    pub window: Window,
    pub per: Per,
    /// The argument that is summed, by its place; else actions are counted.
    pub sum: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Per {
    Session,
    Agent,
    Person,
    Tenant,
}

/// A message and the way out.
pub(crate) type Complaint = (String, Option<String>);

fn complain<T>(message: impl Into<String>, help: impl Into<String>) -> Result<T, Complaint> {
    Err((message.into(), Some(help.into())))
}

impl Rule {
    pub fn read(policy: &Policy, line: u32, text: String) -> Result<Self, Complaint> {
        for (name, _) in policy.annotations() {
            if !KNOWN.contains(&name) {
                return unknown(name);
            }
        }
        let of = |name: &str| policy.annotation(name).map(str::to_owned);
        let id = match of("id") {
            Some(id) => checked_id(id)?,
            None => return complain("it has no id", "begin it with `@id(\"a-short-name\")`"),
        };
        let effect = match (policy.effect(), of("ask")) {
            (Effect::Permit, None) => RuleEffect::Permit,
            (Effect::Forbid, None) => RuleEffect::Forbid,
            (Effect::Forbid, Some(who)) => RuleEffect::Ask(approver(&who)?),
            (Effect::Permit, Some(_)) => {
                return complain("`@ask` is for a `forbid`", "write what needs somebody's word as a `forbid`");
            }
        };
        let limit = limit(policy, of("limit"), of("sum"))?;
        let exact = match (of("spelling").as_deref(), policy.effect()) {
            (None, _) => false,
            (Some("exact"), Effect::Forbid) => true,
            _ => return complain("`@spelling` is `\"exact\"`, on a `forbid`", "leave it out to catch every spelling"),
        };
        let (reason, remedy) = (words("reason", of("reason"))?, words("remedy", of("remedy"))?);
        let destinations = destinations(of("destinations"))?;
        Ok(Self { id, effect, line, text, reason, remedy, limit, exact, destinations })
    }

    pub fn effect_name(&self) -> &'static str {
        match self.effect {
            RuleEffect::Permit => "permit",
            RuleEffect::Forbid => "forbid",
            RuleEffect::Ask(_) => "ask",
        }
    }
}

fn unknown<T>(name: &str) -> Result<T, Complaint> {
    let distance = |known: &&str| strsim::osa_distance(known, name);
    let nearest = KNOWN.into_iter().min_by_key(distance).filter(|known| distance(known) <= 2);
    let all = KNOWN.map(|known| format!("`@{known}`")).join(", ");
    let help = match nearest {
        Some(known) => format!("did you mean `@{known}`? There are {all}"),
        None => format!("there are {all}"),
    };
    complain(format!("there is no annotation `@{name}`"), help)
}

fn checked_id(id: String) -> Result<String, Complaint> {
    let fine = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'_' | b'.');
    if (1..=MAX_ID).contains(&id.len()) && id.bytes().all(fine) {
        return Ok(id);
    }
    let help = format!("use 1 to {MAX_ID} of `a` to `z`, `0` to `9`, `-`, `_` and `.`");
    complain(format!("`{}` cannot be an id", shown(&id)), help)
}

fn words(name: &str, text: Option<String>) -> Result<Option<String>, Complaint> {
    match text {
        Some(text) if text.trim().is_empty() || text.chars().count() > MAX_WORDS || text.contains(char::is_control) => {
            complain(format!("`@{name}` must have 1 to {MAX_WORDS} characters in one line"), "say it in a sentence")
        }
        text => Ok(text),
    }
}

fn destinations(list: Option<String>) -> Result<Vec<Pin>, Complaint> {
    let Some(list) = list else { return Ok(Vec::new()) };
    let entries: Vec<&str> = list.split([' ', ',', '\n', '\t']).filter(|entry| !entry.is_empty()).collect();
    if entries.is_empty() || entries.len() > MAX_DESTINATIONS {
        let message = format!("`@destinations` must have 1 to {MAX_DESTINATIONS} entries");
        return complain(message, "write it like `anna@acme.example @partner.example files.example *.cdn.example`");
    }
    let read = |entry: &str| Pin::read(entry).map_err(|problem| (format!("`{}` {problem}", shown(entry)), None));
    entries.into_iter().map(read).collect()
}

fn approver(who: &str) -> Result<Approver, Complaint> {
    let mut parts = who.split(':');
    let found = match (parts.next(), parts.next(), parts.next(), parts.next()) {
        (Some("person"), None, ..) => Some(Approver::Person),
        (Some("second"), None, ..) => Some(Approver::Second { role: None, team: None }),
        (Some("second"), Some("role"), Some(name), None) => {
            let role = Role::ALL.into_iter().find(|role| role.name() == name);
            role.map(|role| Approver::Second { role: Some(role), team: None })
        }
        (Some("second"), Some("team"), Some(id), None) => {
            id.parse().ok().map(|team| Approver::Second { role: None, team: Some(team) })
        }
        _ => None,
    };
    found.ok_or_else(|| {
        let roles = Role::ALL.map(Role::name).join(", ");
        let help =
            format!("write `person`, `second`, `second:role:NAME` (NAME is one of {roles}) or `second:team:team_…`");
        (format!("`@ask(\"{}\")` names nobody", shown(who)), Some(help))
    })
}

fn limit(policy: &Policy, limit: Option<String>, sum: Option<String>) -> Result<Option<Limit>, Complaint> {
    let Some(text) = limit else {
        return match sum {
            None => Ok(None),
            Some(_) => complain("`@sum` without `@limit`", "say how much: `@limit(\"500 per day per person\")`"),
        };
    };
    if policy.effect() == Effect::Forbid {
        return complain("`@limit` is for a `permit`", "write it on the `permit` whose uses are counted");
    }
    if sum.is_some() && !only_tool_calls(&policy.action_constraint()) {
        return complain(
            "`@sum` adds up an argument of a function, and this rule is about other actions too",
            "write `action == Action::\"tool.call\"` in the rule's scope",
        );
    }
    let Some((most, window, per)) = parse_limit(&text) else {
        return complain(
            format!("`@limit(\"{}\")` cannot be read", shown(&text)),
            "write it like `10 per hour per session`: a whole number; `hour`, `day` or `month`, or nothing for ever; and \
             `session`, `agent`, `person` or `tenant`",
        );
    };
    Ok(Some(Limit { most, window, per, sum }))
}

fn only_tool_calls(constraint: &ActionConstraint) -> bool {
    let is_tool_call = |uid: &cedar_policy::EntityUid| uid.id().unescaped() == "tool.call";
    match constraint {
        ActionConstraint::Any => false,
        ActionConstraint::Eq(uid) => is_tool_call(uid),
        ActionConstraint::In(uids) => !uids.is_empty() && uids.iter().all(is_tool_call),
    }
}

fn parse_limit(text: &str) -> Option<(i64, Window, Per)> {
    let words: Vec<&str> = text.split_whitespace().collect();
    let (most, window, per) = match words.as_slice() {
        [most, "per", window, "per", per] => (most, *window, per),
        [most, "per", per] => (most, "", per),
        _ => return None,
    };
    let window = match window {
        "hour" => Window::Hour,
        "day" => Window::Day,
        "month" => Window::Month,
        "" => Window::Total,
        _ => return None,
    };
    let per = match *per {
        "session" => Per::Session,
        "agent" => Per::Agent,
        "person" => Per::Person,
        "tenant" => Per::Tenant,
        _ => return None,
    };
    // Only digits: no sign, no separators.
    let digits = most.bytes().all(|byte| byte.is_ascii_digit());
    most.parse().ok().filter(|_| digits).map(|most| (most, window, per))
}

/// Text of a policy, safe to print.
pub(crate) fn shown(text: &str) -> String {
    text.chars().take(80).flat_map(char::escape_debug).collect()
}
