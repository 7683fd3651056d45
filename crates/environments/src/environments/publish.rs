//! `artifact.publish`: copies files out of the environment, once for each change.

use super::{Environments, perform::failed};
use crate::{error::ExecutorError, hands::Hands};
use bailiwick_core::{ActionResult, Failure, FailureCode, Outcome, Published};
use bailiwick_gate::{Mode, Opened};
use bailiwick_types::ArtifactId;
use std::collections::BTreeMap;

const MAX_ARTIFACTS: usize = 1_000;
const MAX_ARTIFACT_BYTES: u64 = 100 * 1024 * 1024;
const MAX_TOTAL_BYTES: u64 = 500 * 1024 * 1024;
const MAX_DEPTH: u32 = 16;

/// What was published before, by path: size and time of change. A file that has both is the same file.
type Known = BTreeMap<String, (u64, i64)>;

impl Environments {
    pub(super) async fn publish(&self, opened: &Opened, hands: &Hands, directory: &str) -> Outcome {
        let name = opened.action().environment().map(|environment| environment.to_string()).unwrap_or_default();
        // When it is not the first time, what was noted may not be on the stream.
        let known: Known = match opened.mode() {
            Mode::First => self.0.sandboxes.published(&name).unwrap_or_default(),
            Mode::Again | Mode::Lookup => Known::new(),
        };
        let found = match files_below(hands, directory).await {
            Ok(found) => found,
            Err(error) if error.is_not_found() => Known::new(),
            Err(error) => return failed(directory, &error),
        };
        let changed: Known =
            found.iter().filter(|(path, file)| known.get(*path) != Some(*file)).map(|(p, f)| (p.clone(), *f)).collect();
        if let Some(failure) = too_much(&changed, directory) {
            return Outcome::Failed { failure };
        }
        let mut artifacts = Vec::with_capacity(changed.len());
        for path in changed.keys() {
            match self.keep(opened, hands, path).await {
                Ok(Some(artifact)) => artifacts.push(artifact),
                Ok(None) => {}
                Err(outcome) => return outcome,
            }
        }
        if let Err(error) = self.0.sandboxes.note_published(&name, &found) {
            tracing::warn!(%error, "what was published cannot be noted; it is published again next time");
        }
        Outcome::Confirmed { result: ActionResult::Artifacts { artifacts } }
    }

    /// Copies one file; `None` when it has vanished.
    async fn keep(&self, opened: &Opened, hands: &Hands, path: &str) -> Result<Option<Published>, Outcome> {
        let bytes = match hands.read(path, MAX_ARTIFACT_BYTES).await {
            Ok(bytes) => bytes,
            Err(error) if error.is_not_found() => return Ok(None),
            Err(error) => return Err(failed(path, &error)),
        };
        let options = &self.0.options;
        let id = ArtifactId::new(options.clock.now(), options.random.id_bytes());
        let scope = opened.scope();
        options.archive.put_artifact(scope.tenant, scope.session, id, &bytes).await.map_err(|error| {
            Outcome::Failed { failure: Failure::new(FailureCode::Internal, format!("{path} cannot be kept: {error}")) }
        })?;
        Ok(Some(Published { id, path: path.to_owned(), size_bytes: bytes.len() as u64, object: id.to_string() }))
    }
}

async fn files_below(hands: &Hands, directory: &str) -> Result<Known, ExecutorError> {
    let (listed, truncated) = hands.list(directory, MAX_DEPTH, MAX_ARTIFACTS * 4).await?;
    if truncated {
        return Err(ExecutorError::TooLarge(format!(
            "there are more than {} entries below {directory}: publish fewer files",
            MAX_ARTIFACTS * 4
        )));
    }
    let mut found = Known::new();
    for entry in listed.into_iter().filter(|entry| !entry.is_folder) {
        let path = format!("{}/{}", directory.trim_end_matches('/'), entry.path);
        match hands.metadata(&path).await {
            Ok(file) => {
                found.insert(path, (file.size, file.modified_at_ms));
            }
            Err(error) if error.is_not_found() => {}
            Err(error) => return Err(error),
        }
    }
    Ok(found)
}

fn too_much(files: &Known, directory: &str) -> Option<Failure> {
    let large = files.iter().find(|(_, (size, _))| *size > MAX_ARTIFACT_BYTES);
    let total: u64 = files.values().map(|(size, _)| *size).sum();
    let why = if let Some((path, _)) = large {
        format!("{path} is larger than {MAX_ARTIFACT_BYTES} bytes")
    } else if files.len() > MAX_ARTIFACTS {
        format!("there are more than {MAX_ARTIFACTS} files below {directory}")
    } else if total > MAX_TOTAL_BYTES {
        format!("the files below {directory} have more than {MAX_TOTAL_BYTES} bytes")
    } else {
        return None;
    };
    Some(Failure::new(FailureCode::ToolError, format!("{why}; nothing was published")))
}
