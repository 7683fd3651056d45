//! Licences, lints and where packages come from.

use super::Findings;
use toml::{Table, Value};

const LICENCE: &str = "Apache-2.0";
/// How the lock writes that a package comes from a registry, and not from a repository.
const INDEX: &str = "registry+";

pub fn check(path: &str, content: &str, findings: &mut Findings) {
    let manifest: Table = match content.parse() {
        Ok(manifest) => manifest,
        Err(error) => return findings.problem(path, 1, format_args!("does not parse: {error}")),
    };
    if let Some(workspace) = manifest.get("workspace")
        && text(workspace, &["package", "license"]) != Some(LICENCE)
    {
        findings.problem(path, 1, format_args!("`[workspace.package]` must say `license = \"{LICENCE}\"`"));
    }
    if let Some(package) = manifest.get("package") {
        if !inherited(package.get("license")) {
            findings.problem(path, 1, "`[package]` must say `license.workspace = true`");
        }
        if !inherited(manifest.get("lints")) {
            findings.problem(path, 1, "must say `[lints] workspace = true`");
        }
    }
}

/// Everything that is built comes from the public index or from this tree.
pub fn check_lock(path: &str, content: &str, findings: &mut Findings) {
    let lock: Table = match content.parse() {
        Ok(lock) => lock,
        Err(error) => return findings.problem(path, 1, format_args!("does not parse: {error}")),
    };
    for package in lock.get("package").and_then(Value::as_array).into_iter().flatten() {
        if text(package, &["source"]).is_some_and(|source| !source.starts_with(INDEX)) {
            let name = text(package, &["name"]).unwrap_or("?");
            findings.problem(path, 1, format_args!("`{name}` comes from another place than a registry"));
        }
    }
}

/// Every banned call says what to use instead, and clippy itself tells when a path of the standard library is wrong.
pub fn check_clippy(path: &str, content: &str, findings: &mut Findings) {
    let table: Table = match content.parse() {
        Ok(table) => table,
        Err(error) => return findings.problem(path, 1, format_args!("does not parse: {error}")),
    };
    for list in ["disallowed-methods", "disallowed-types"] {
        let entries = table.get(list).and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        if entries.is_empty() {
            findings.problem(path, 1, format_args!("`{list}` is empty"));
        }
        for entry in entries {
            let name = text(entry, &["path"]).unwrap_or("?");
            if text(entry, &["reason"]).is_none_or(str::is_empty) {
                findings.problem(path, 1, format_args!("`{name}` has no reason"));
            }
            if name.starts_with("std::") && entry.get("allow-invalid").is_some() {
                findings.problem(
                    path,
                    1,
                    format_args!("`{name}` must not be `allow-invalid`: the path is always there"),
                );
            }
        }
    }
}

fn inherited(value: Option<&Value>) -> bool {
    value.and_then(|value| value.get("workspace")).and_then(Value::as_bool) == Some(true)
}

fn text<'a>(value: &'a Value, path: &[&str]) -> Option<&'a str> {
    path.iter().try_fold(value, |value, key| value.get(key))?.as_str()
}
