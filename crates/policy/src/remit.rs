//! Which entries a remit may have.

use bailiwick_core::Remit;

/// Every operation there is, as `Action::operation` names it.
pub const OPERATIONS: [&str; 24] = [
    "model.call",
    "environment.start",
    "command.run",
    "command.poll",
    "command.write",
    "command.stop",
    "file.read",
    "file.write",
    "file.add",
    "file.edit",
    "file.list",
    "file.search",
    "file.view_image",
    "artifact.publish",
    "file.find_skills",
    "file.load_skill",
    "tool.call",
    "connector.open",
    "connector.call",
    "data.query",
    "memory.search",
    "memory.read",
    "memory.write",
    "memory.forget",
];

const MAX_ENTRIES: usize = 64;

/// What is wrong with an entry. The message names it by its place.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RemitError {
    #[error("`remit.allow` has {0} entries; {MAX_ENTRIES} are enough for every operation there is")]
    TooMany(usize),
    #[error(
        "`remit.allow[{index}]`: `{given}` would allow everything, also what is added later; list kinds such as `file.*`"
    )]
    Everything { index: usize, given: String },
    #[error(
        "`remit.allow[{index}]`: there is no operation `{given}`{}; operations are {}",
        nearest.map(|name| format!(", did you mean `{name}`?")).unwrap_or_default(),
        OPERATIONS.join(", ")
    )]
    Unknown { index: usize, given: String, nearest: Option<&'static str> },
}

/// Refuses a remit with an entry that allows nothing, so that a typing error is noticed when it is made.
pub fn validate(remit: &Remit) -> Result<(), RemitError> {
    if remit.allow.len() > MAX_ENTRIES {
        return Err(RemitError::TooMany(remit.allow.len()));
    }
    for (index, entry) in remit.allow.iter().enumerate() {
        let given = || entry.chars().take(64).flat_map(char::escape_debug).collect();
        if matches!(entry.as_str(), "*" | ".*" | "*.*") {
            return Err(RemitError::Everything { index, given: given() });
        }
        if !OPERATIONS.iter().any(|operation| covers(entry, operation)) {
            return Err(RemitError::Unknown { index, given: given(), nearest: nearest(entry) });
        }
    }
    Ok(())
}

/// Whether an entry lists an operation: by its name, or by its kind and a star (`file.*`).
pub(crate) fn covers(entry: &str, operation: &str) -> bool {
    match entry.strip_suffix(".*") {
        Some(kind) => operation.split_once('.').is_some_and(|(of, _)| of == kind),
        None => entry == operation,
    }
}

fn nearest(entry: &str) -> Option<&'static str> {
    const KINDS: [&str; 7] = ["model.*", "environment.*", "command.*", "file.*", "artifact.*", "tool.*", "memory.*"];
    // Nothing that a person meant is much longer than the longest name.
    let entry: String = entry.chars().take(64).collect();
    OPERATIONS
        .into_iter()
        .chain(KINDS)
        .map(|name| (strsim::jaro_winkler(name, &entry), name))
        .filter(|(likeness, _)| *likeness > 0.75)
        .max_by(|(one, _), (other, _)| one.total_cmp(other))
        .map(|(_, name)| name)
}
