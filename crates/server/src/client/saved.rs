//! The sign-in that `bailiwick login` keeps for this user of this machine: one token for each server, in a file that
//! only they can read.

use crate::{files, variables};
use bailiwick_types::Secret;
use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
};

const MAX_BYTES: u64 = 1024 * 1024;

pub struct SavedLogin;

impl SavedLogin {
    /// The token for this server, if there is one and nobody else can read it.
    pub fn find(base: &str) -> Option<Secret> {
        let all = read(&place()?).ok()?;
        all.get(base).map(|token| Secret::new(token.as_str()))
    }

    pub fn keep(base: &str, token: &str) -> io::Result<()> {
        change(|all| {
            all.insert(base.to_owned(), token.to_owned());
        })
    }

    pub fn forget(base: &str) -> io::Result<()> {
        change(|all| {
            all.remove(base);
        })
    }
}

/// `$XDG_CONFIG_HOME/bailiwick/logins.json`, else below `~/.config`.
fn place() -> Option<PathBuf> {
    let config = variables::read("XDG_CONFIG_HOME").map(PathBuf::from);
    let config = config.or_else(|| variables::read("HOME").map(|home| Path::new(&home).join(".config")))?;
    config.is_absolute().then(|| config.join("bailiwick").join("logins.json"))
}

fn read(file: &Path) -> io::Result<BTreeMap<String, String>> {
    let bytes = match files::read_bounded(file, MAX_BYTES) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(BTreeMap::new()),
        read => read?,
    };
    if files::mode(file)? & 0o077 != 0 {
        return Err(io::Error::other(format!("others can read {}: make it private with `chmod 600`", file.display())));
    }
    serde_json::from_slice(&bytes).map_err(io::Error::other)
}

fn change(how: impl FnOnce(&mut BTreeMap<String, String>)) -> io::Result<()> {
    let file = place().ok_or_else(|| io::Error::other("neither $XDG_CONFIG_HOME nor $HOME says where to keep it"))?;
    let mut all = read(&file)?;
    how(&mut all);
    if let Some(folder) = file.parent() {
        files::make_private_folder(folder)?;
    }
    files::write_whole(&file, serde_json::to_string_pretty(&all)?.as_bytes(), 0o600)
}
