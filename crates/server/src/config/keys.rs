//! `[keys]`: where the key-encryption key comes from. A file in the data folder when nothing is said.

use super::known::Known::{self, Table, Value};
use serde::Deserialize;
use std::path::PathBuf;

pub(super) const KEYS: Known =
    Table(&[("file", Value), ("variable", Value), ("command", Value), ("old_command", Value)]);

/// Words of a command.
const MAX_WORDS: usize = 32;

/// `[keys]`
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Keys {
    /// A file of keys, made at the first start.
    pub file: Option<PathBuf>,
    /// The environment variable that holds the key. Keys before it are in the variable of this name with `_OLD` behind.
    pub variable: Option<String>,
    /// That other name.
    #[serde(skip)]
    pub old_variable: Option<String>,
    /// A program with its arguments that prints the key.
    pub command: Option<Vec<String>>,
    /// A program with its arguments that prints the keys before it.
    pub old_command: Option<Vec<String>>,
}

/// What TOML and serde cannot see.
pub(super) fn check(keys: &Keys, refuse: &mut impl FnMut(&[&str], String)) {
    let given = [keys.file.is_some(), keys.variable.is_some(), keys.command.is_some()];
    if given.into_iter().filter(|given| *given).count() > 1 {
        refuse(&["keys"], "[keys] one of `file`, `variable` and `command` says where the key is, not several".into());
    }
    if keys.variable.as_deref().is_some_and(|name| !super::is_variable(name)) {
        let message = "[keys] variable: this is not the name of an environment variable; write the name here, such as \
                       \"BAILIWICK_KEY\", and put the key into that variable";
        refuse(&["keys", "variable"], message.into());
    }
    for (name, command) in [("command", &keys.command), ("old_command", &keys.old_command)] {
        let Some(words) = command else { continue };
        let absolute = words.first().is_some_and(|program| program.starts_with('/'));
        if !absolute || words.len() > MAX_WORDS {
            let message = format!(
                "[keys] {name}: a list of up to {MAX_WORDS} words, the first of them the absolute path of a program"
            );
            refuse(&["keys", name], message);
        }
    }
    if keys.old_command.is_some() && keys.command.is_none() {
        refuse(&["keys", "old_command"], "[keys] old_command: it belongs to a `command`".into());
    }
}
