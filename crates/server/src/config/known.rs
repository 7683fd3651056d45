//! Which keys a configuration file may have, so that a key with a typing error is an error that names the nearest.

use super::Problem;
use std::ops::Range;
use toml::de::{DeTable, DeValue};

/// What may stand at a place of the file.
pub(super) enum Known {
    /// A value; its type is checked when it is read.
    Value,
    /// A table with these keys.
    Table(&'static [(&'static str, Known)]),
    /// A table whose keys are names that the operator chooses.
    Named(&'static Known),
}

use Known::{Named, Table, Value};

/// The whole file. Tests compare it with what the structs read.
pub(super) const FILE: Known = Table(&[
    ("server", SERVER),
    ("limits", LIMITS),
    ("money", MONEY),
    ("identity", super::identity::IDENTITY),
    ("audit", AUDIT),
    ("keys", super::keys::KEYS),
    ("retention", RETENTION),
    ("outbound", super::outbound::OUTBOUND),
    ("vaults", VAULTS),
    ("models", Named(&MODEL)),
    ("tools", Named(&TOOL)),
    ("executors", Named(&EXECUTOR)),
]);

pub(super) const SERVER: Known =
    Table(&[("listen", Value), ("public_url", Value), ("log_format", Value), ("shutdown_seconds", Value)]);

pub(super) const LIMITS: Known =
    Table(&[("driven_sessions", Value), ("connections", Value), ("sandboxes", Value), ("sandbox_idle_ms", Value)]);

pub(super) const AUDIT: Known = Table(&[("checkpoints", Value), ("erasures", Value), ("stream", AUDIT_STREAM)]);

pub(super) const AUDIT_STREAM: Known = Table(&[
    ("file", Value),
    ("file_bytes", Value),
    ("files_kept", Value),
    ("webhook", Value),
    ("webhook_secret_env", Value),
]);

pub(super) const RETENTION: Known = Table(&[("sessions_days", Value)]);

pub(super) const VAULTS: Known = Table(&[("private_network", Value)]);

pub(super) const MODEL: Known = Table(&[
    ("provider", Value),
    ("base_url", Value),
    ("model", Value),
    ("api_key_env", Value),
    ("credential", Value),
    ("context_tokens", Value),
    ("max_output_tokens", Value),
    ("timeouts", TIMEOUTS),
    ("retries", Value),
    ("paid_retries", Value),
    ("proxy", Value),
    ("scenario", Value),
    ("residency", Value),
    ("mark", Value),
    ("clearance", Value),
    ("prices", PRICES),
]);

pub(super) const PRICES: Known =
    Table(&[("version", Value), ("input", Value), ("cached_input", Value), ("output", Value)]);

pub(super) const MONEY: Known = Table(&[("currency", Value), ("unpriced", Value)]);

pub(super) const TOOL: Known = Table(&[("price", Value)]);

pub(super) const TIMEOUTS: Known =
    Table(&[("connect_ms", Value), ("first_byte_ms", Value), ("stall_ms", Value), ("total_ms", Value)]);

pub(super) const EXECUTOR: Known = Table(&[("url", Value), ("token_file", Value)]);

/// The most unknown keys that are listed.
const MOST_LISTED: usize = 20;

/// Every key of the file that nothing reads.
pub(super) fn unknown_keys(table: &DeTable<'_>) -> Vec<Problem> {
    let mut problems = Vec::new();
    walk(table, &FILE, "", &mut problems);
    problems.sort_by_key(|problem| problem.at.start);
    problems.truncate(MOST_LISTED);
    problems
}

fn walk(table: &DeTable<'_>, known: &Known, path: &str, problems: &mut Vec<Problem>) {
    for (key, value) in table {
        let (name, at) = (key.get_ref().as_ref(), key.span());
        let inside = match known {
            Value => return,
            Named(each) => Some(*each),
            Table(keys) => match keys.iter().find(|(known, _)| *known == name) {
                Some((_, inside)) => Some(inside),
                None => {
                    problems.push(unknown(path, name, at, keys));
                    None
                }
            },
        };
        if let (Some(inside), DeValue::Table(table)) = (inside, value.get_ref()) {
            walk(table, inside, &join(path, name), problems);
        }
    }
}

fn unknown(path: &str, name: &str, at: Range<usize>, keys: &[(&'static str, Known)]) -> Problem {
    let place = if path.is_empty() { "at the top of the file".to_owned() } else { format!("in `[{path}]`") };
    let names = keys.iter().map(|(name, _)| *name);
    let help = match nearest(name, names.clone()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("known here: {}", names.map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")),
    };
    let name: String = name.chars().take(80).collect();
    Problem { at, message: format!("there is no key `{name}` {place}; {help}") }
}

/// The most similar of the known names, if any is similar enough to have been meant.
pub fn nearest<'a>(given: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let given: String = given.chars().take(80).flat_map(char::to_lowercase).collect();
    known
        .map(|name| (strsim::jaro_winkler(name, &given), name))
        .filter(|(likeness, _)| *likeness > 0.75)
        .max_by(|(one, _), (other, _)| one.total_cmp(other))
        .map(|(_, name)| name)
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

/// Where a value (or the key before it) stands: for messages about what is in it.
pub(super) fn span_of(table: &DeTable<'_>, path: &[&str]) -> Option<Range<usize>> {
    let (first, rest) = path.split_first()?;
    let (key, value) = table.iter().find(|(key, _)| key.get_ref() == first)?;
    match value.get_ref() {
        DeValue::Table(inner) if !rest.is_empty() => Some(span_of(inner, rest).unwrap_or_else(|| key.span())),
        _ if rest.is_empty() => Some(key.span()),
        _ => Some(value.span()),
    }
}
