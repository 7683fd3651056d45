//! Paths inside a skill: relative, in one spelling, and the same file on every system.

use crate::{SkillError, is_plain};
use std::collections::BTreeMap;
use unicode_normalization::UnicodeNormalization as _;

/// Bytes of a path, and of one part of it.
const MAX_PATH: usize = 512;
const MAX_PART: usize = 200;
/// Folders in one another.
const MAX_DEPTH: usize = 16;

/// Refuses every path that is not plainly one file below a folder.
pub(crate) fn check(path: &str) -> Result<(), SkillError> {
    let wrong = |problem: &str| Err(SkillError::new(path, problem));
    if path.is_empty() || path.len() > MAX_PATH {
        return Err(SkillError::new(path, format!("must have a path of 1 to {MAX_PATH} bytes")));
    }
    if path.starts_with('/') {
        return wrong("must be a relative path");
    }
    if path.contains('\\') {
        return wrong("must have `/` between its parts, not `\\`");
    }
    if path.chars().any(|char| !is_plain(char)) {
        return wrong("must not hold control or invisible characters");
    }
    if path.chars().any(|char| "<>:\"|?*".contains(char)) {
        return wrong("must not hold any of `< > : \" | ? *`, which not every system takes");
    }
    if !path.nfc().eq(path.chars()) {
        return wrong("must be spelt in composed characters (NFC)");
    }
    let parts: Vec<&str> = path.split('/').collect();
    if parts.len() > MAX_DEPTH {
        return Err(SkillError::new(path, format!("must not lie deeper than {MAX_DEPTH} folders")));
    }
    for part in parts {
        match part {
            "" => return wrong("must not have an empty part"),
            "." | ".." => return wrong("must not have a part `.` or `..`"),
            part if part.len() > MAX_PART => return wrong("has a part that is too long"),
            part if part.ends_with(['.', ' ']) || part.starts_with(' ') => {
                return wrong("must not have a part that begins with a space or ends with a dot or a space");
            }
            _ => {}
        }
    }
    Ok(())
}

/// The form in which two names are one file to a system that does not mind their case.
fn folded(path: &str) -> String {
    path.nfkc().flat_map(char::to_lowercase).nfkc().collect()
}

/// Refuses two files that a system could take for one, and a file that is a folder of another.
pub(crate) fn check_apart<'a>(paths: impl Iterator<Item = &'a str>) -> Result<(), SkillError> {
    let mut seen: BTreeMap<String, &str> = BTreeMap::new();
    for path in paths {
        if let Some(other) = seen.insert(folded(path), path) {
            return Err(SkillError::new(
                path,
                format!("is the same file as `{}` on some systems", crate::shown(other)),
            ));
        }
    }
    for (folded, path) in &seen {
        // Folders may differ from one another by nothing but their case, too: then their files lie apart on one system and
        // together on another.
        for (at, _) in folded.match_indices('/') {
            if seen.contains_key(&folded[..at]) {
                return Err(SkillError::new(path, "lies in a folder that is a file, too"));
            }
        }
    }
    let mut folders: BTreeMap<String, &str> = BTreeMap::new();
    for path in seen.values() {
        for (at, _) in path.match_indices('/') {
            let folder = &path[..at];
            if let Some(other) = folders.insert(self::folded(folder), folder)
                && other != folder
            {
                let problem = format!("is the same folder as `{}` on some systems", crate::shown(other));
                return Err(SkillError::new(folder, problem));
            }
        }
    }
    Ok(())
}
