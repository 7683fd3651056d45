//! `file.find_skills` and `file.load_skill`: what lies in an environment, and what is laid there.
//!
//! A skill is loaded as it was pinned or not at all. What lies in an environment is read as strictly as what is uploaded,
//! and nothing of it is ever run here.

use super::{
    Environments, Place,
    perform::{content, failed, failed_or_unknown, tool_error},
};
use crate::{error::ExecutorError, hands::Hands};
use bailiwick_core::{ActionResult, FoundSkills, Label, Outcome, SkillLoad, SkillSource, SkillUse, skill::MAX_SKILLS};
use bailiwick_gate::Opened;
use bailiwick_skills::{Bundle, MAX_BYTES, MAX_FILES, SKILL_FILE};
use std::fmt::Write;

/// Folders below one that is looked through.
const MAX_FOLDERS: usize = 1000;
/// Levels below a skill's folder.
const DEPTH: u32 = 17;
/// Files of a skill that its model is told of.
const MAX_TOLD: usize = 100;

impl Environments {
    pub(super) async fn load_skill(
        &self,
        opened: &Opened,
        load: &SkillLoad,
        place: Option<(&Place, &Hands)>,
    ) -> Outcome {
        let found = match (&load.skill.source, place) {
            (SkillSource::Found { path }, Some((_, hands))) => match read_folder(hands, path).await {
                Ok(bundle) => Ok(bundle),
                Err(Unread::Lost(error)) => return failed(path, &error),
                Err(Unread::Wrong(problem)) => Err(problem),
            },
            (SkillSource::Found { .. }, None) => Err("there is no environment".to_owned()),
            (SkillSource::Kept { file, .. } | SkillSource::Inline { file }, _) => {
                match self.0.options.archive.file(opened.scope().tenant, *file).await {
                    Ok(bytes) => Bundle::of_zip(&bytes).map_err(|error| error.to_string()),
                    Err(error) => Err(format!("its files are not kept any more ({error})")),
                }
            }
        };
        let name = &load.skill.name;
        let bundle = match found {
            Ok(bundle) => bundle,
            Err(problem) => return tool_error(format!("the skill {name} cannot be loaded: {problem}")),
        };
        if bundle.digest() != load.skill.digest {
            return tool_error(held_back(load));
        }
        if let Some((place, hands)) = place.filter(|_| load.lays_in()) {
            let _changing = place.changing.lock().await;
            for (path, bytes) in bundle.files() {
                let path = format!("{}/{path}", load.folder);
                if let Err(error) = hands.write(&path, bytes).await {
                    return failed_or_unknown(&path, &error);
                }
            }
        }
        told(load, &bundle, opened.scope().limits.output_bytes as usize)
    }
}

/// Why a skill that is not what it was is not loaded, and what to do.
fn held_back(load: &SkillLoad) -> String {
    let remedy = match load.skill.source {
        SkillSource::Found { .. } => "Look for it again with list_skills, and see what it says of itself now.",
        _ => "A person can give the agent the skill again, after looking at what changed.",
    };
    format!("the skill {} was changed since it was pinned, and is held back. {remedy}", load.skill.name)
}

/// What the model is shown of a skill that was loaded.
fn told(load: &SkillLoad, bundle: &Bundle, most: usize) -> Outcome {
    if let Some(file) = &load.file {
        let Some(bytes) = bundle.files().get(file) else {
            return tool_error(format!("the skill {} has no file {file}", load.skill.name));
        };
        return match std::str::from_utf8(bytes) {
            Ok(text) => content(cut(text, most)),
            Err(_) => tool_error(format!("{file} is not a text file")),
        };
    }
    let mut text = cut(bundle.instructions(), most);
    let others: Vec<&str> = bundle.files().keys().map(String::as_str).filter(|path| *path != SKILL_FILE).collect();
    // Writing into a text cannot fail.
    let _ = match load.environment {
        Some(_) => write!(text, "\n\n[the skill lies in {}", load.folder),
        None => write!(text, "\n\n[the skill {}", load.skill.name),
    };
    if others.is_empty() {
        text.push_str("; it has no other files]");
        return content(text);
    }
    text.push_str(if load.environment.is_some() { "; its other files are" } else { " has other files" });
    for path in others.iter().take(MAX_TOLD) {
        let _ = write!(text, "\n{path}");
    }
    if others.len() > MAX_TOLD {
        let _ = write!(text, "\nand {} more", others.len() - MAX_TOLD);
    }
    text.push(']');
    content(text)
}

fn cut(text: &str, most: usize) -> String {
    if text.len() <= most {
        return text.to_owned();
    }
    let end = (0..=most).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    format!("{}\n[cut here: the text has {} bytes more]", &text[..end], text.len() - end)
}

/// Looks at every folder directly below `directory` that has a `SKILL.md`.
pub(super) async fn find(hands: &Hands, directory: &str) -> Outcome {
    let root = directory.trim_end_matches('/');
    let (listed, truncated) = match hands.list(directory, 1, MAX_FOLDERS).await {
        Ok(found) => found,
        // A folder that is not there has no skills.
        Err(error) if error.is_not_found() => (Vec::new(), false),
        Err(error) => return failed(directory, &error),
    };
    let mut found = FoundSkills::default();
    for folder in listed.into_iter().filter(|entry| entry.is_folder).map(|entry| entry.path) {
        let path = format!("{root}/{folder}");
        match hands.metadata(&format!("{path}/{SKILL_FILE}")).await {
            Ok(_) => {}
            Err(error) if error.is_not_found() => continue,
            Err(error) => return failed(&path, &error),
        }
        if found.skills.len() + found.refused.len() >= MAX_SKILLS {
            found.refused.push(format!("there are more than {MAX_SKILLS} skills in this folder"));
            break;
        }
        match read_folder(hands, &path).await {
            Ok(bundle) => {
                let manifest = bundle.manifest();
                found.skills.push(SkillUse {
                    name: manifest.name.clone(),
                    description: manifest.description.clone(),
                    digest: bundle.digest(),
                    source: SkillSource::Found { path },
                    label: Label::default(),
                });
            }
            Err(Unread::Wrong(problem)) => found.refused.push(format!("{}: {problem}", folder.escape_default())),
            Err(Unread::Lost(error)) => return failed(&path, &error),
        }
    }
    if truncated {
        found.refused.push(format!("the folder has more than {MAX_FOLDERS} entries"));
    }
    Outcome::Confirmed { result: ActionResult::Skills(found) }
}

/// Why there is no skill.
enum Unread {
    /// It is none.
    Wrong(String),
    /// The environment could not be asked.
    Lost(ExecutorError),
}

/// Reads the files below a folder as one skill. Links are not followed, and everything else that is no file is refused.
async fn read_folder(hands: &Hands, folder: &str) -> Result<Bundle, Unread> {
    let unread = |error: ExecutorError| match error {
        ExecutorError::Refused(refusal) => Unread::Wrong(refusal.message),
        ExecutorError::TooLarge(problem) => Unread::Wrong(problem),
        other => Unread::Lost(other),
    };
    let (listed, truncated) = hands.list(folder, DEPTH, 2 * MAX_FILES).await.map_err(unread)?;
    if truncated {
        return Err(Unread::Wrong(format!("it has more than {MAX_FILES} files")));
    }
    let mut files = Vec::new();
    let mut room = MAX_BYTES as u64;
    for entry in listed.into_iter().filter(|entry| !entry.is_folder) {
        let path = format!("{folder}/{}", entry.path);
        // A pipe or a device would be waited for.
        if !hands.metadata(&path).await.map_err(unread)?.is_file {
            return Err(Unread::Wrong(format!("`{}` is no plain file", entry.path.escape_default())));
        }
        let bytes = hands.read(&path, room).await.map_err(unread)?;
        room -= bytes.len() as u64;
        files.push((entry.path, bytes));
    }
    let name = folder.rsplit('/').next().unwrap_or_default();
    Bundle::of_folder(Some(name), files).map_err(|error| Unread::Wrong(error.to_string()))
}
