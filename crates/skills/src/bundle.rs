//! A skill with all its files, once everything about it was checked.

use crate::{
    MAX_BYTES, MAX_FILES, MAX_SKILL_FILE, Manifest, SkillError, archive,
    front_matter::{self, Document},
    path,
};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;

/// The file that makes a folder a skill. In exactly this spelling.
pub const SKILL_FILE: &str = "SKILL.md";

/// What a digest is made over begins with this, so that it is never one of something else.
const DOMAIN: &[u8] = b"bailiwick.skill.v1\0";

/// A skill that was read whole and is what the format says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bundle {
    manifest: Manifest,
    /// `SKILL.md` without its front matter.
    instructions: String,
    /// By the path below the skill's own folder.
    files: BTreeMap<String, Vec<u8>>,
}

impl Bundle {
    /// From a ZIP archive.
    pub fn of_zip(bytes: &[u8]) -> Result<Self, SkillError> {
        Self::of_files(archive::read(bytes)?)
    }

    /// From files with their paths. They may all lie in one folder, which then must be called as the skill is.
    pub fn of_files(files: Vec<(String, Vec<u8>)>) -> Result<Self, SkillError> {
        let folder = match folder_of(&files)? {
            None => return Self::of_folder(None, files),
            Some(folder) => folder.to_owned(),
        };
        // INVARIANT: the folder is the beginning of every path, and a slash follows.
        let files = files.into_iter().map(|(path, content)| (path[folder.len() + 1..].to_owned(), content)).collect();
        Self::of_folder(Some(&folder), files)
    }

    /// From the files below a skill's own folder; `folder` is what that is called, where it has a name.
    pub fn of_folder(folder: Option<&str>, files: Vec<(String, Vec<u8>)>) -> Result<Self, SkillError> {
        if files.len() > MAX_FILES {
            return Err(SkillError::new("the skill", format!("has more than {MAX_FILES} files")));
        }
        if files.iter().map(|(_, content)| content.len()).sum::<usize>() > MAX_BYTES {
            return Err(SkillError::new("the skill", format!("has more than {MAX_BYTES} bytes")));
        }
        for (path, _) in &files {
            path::check(path)?;
        }
        path::check_apart(files.iter().map(|(path, _)| path.as_str()))?;
        let files: BTreeMap<String, Vec<u8>> = files.into_iter().collect();
        let Document { manifest, instructions } = front_matter::read(skill_file(&files)?)?;
        if let Some(folder) = folder.filter(|folder| *folder != manifest.name) {
            let problem = format!("must be the name of its folder, which is `{}`", crate::shown(folder));
            return Err(SkillError::new("SKILL.md: name", problem));
        }
        Ok(Self { manifest, instructions, files })
    }

    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// What `SKILL.md` says after its front matter.
    pub fn instructions(&self) -> &str {
        &self.instructions
    }

    /// By the path below the skill's folder.
    pub fn files(&self) -> &BTreeMap<String, Vec<u8>> {
        &self.files
    }

    /// Bytes of all files.
    pub fn size(&self) -> usize {
        self.files.values().map(Vec::len).sum()
    }

    /// SHA-256 in hexadecimal over the paths and contents of all files, however they were packed.
    pub fn digest(&self) -> String {
        let mut hasher = Sha256::new_with_prefix(DOMAIN);
        for (path, content) in &self.files {
            hasher.update((path.len() as u64).to_be_bytes());
            hasher.update(path);
            hasher.update((content.len() as u64).to_be_bytes());
            hasher.update(content);
        }
        hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// As an archive with one folder. The same skill always gives the same bytes.
    pub fn to_zip(&self) -> Vec<u8> {
        archive::write(&self.manifest.name, &self.files)
    }
}

/// The folder in which all of them lie, if `SKILL.md` lies in one.
fn folder_of(files: &[(String, Vec<u8>)]) -> Result<Option<&str>, SkillError> {
    if files.iter().all(|(path, _)| !path.contains('/')) || files.iter().any(|(path, _)| path == SKILL_FILE) {
        return Ok(None);
    }
    let mut folder = None;
    for (path, _) in files {
        path::check(path)?;
        match (path.split_once('/').map(|(first, _)| first), folder) {
            (Some(first), None) => folder = Some(first),
            (Some(first), Some(known)) if first == known => {}
            _ => return Err(SkillError::new(path, "lies outside the one folder that a skill is")),
        }
    }
    Ok(folder)
}

fn skill_file(files: &BTreeMap<String, Vec<u8>>) -> Result<&str, SkillError> {
    let Some(content) = files.get(SKILL_FILE) else {
        let other = files.keys().find(|path| path.eq_ignore_ascii_case(SKILL_FILE));
        let hint = other.map(|path| format!(", in exactly this spelling and not as `{path}`")).unwrap_or_default();
        return Err(SkillError::new(SKILL_FILE, format!("is missing: a skill has it in its own folder{hint}")));
    };
    if content.len() > MAX_SKILL_FILE {
        return Err(SkillError::new(SKILL_FILE, format!("is longer than {MAX_SKILL_FILE} bytes")));
    }
    std::str::from_utf8(content).map_err(|_| SkillError::new(SKILL_FILE, "must be UTF-8 text"))
}
