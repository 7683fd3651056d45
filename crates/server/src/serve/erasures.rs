//! The list of who was erased, as a file that a restore of an older backup must not take back: keep it elsewhere.

use crate::files;
use bailiwick_ports::{BoxFuture, ErasedPerson, ErasureList};
use std::{io::Write as _, path::PathBuf};

/// Where the list is when no other place is named; beside the data it goes back with them.
pub const DEFAULT_ERASURES: &str = "erasures.jsonl";
/// A longer file is not one of ours.
const MAX_BYTES: u64 = 64 * 1024 * 1024;

/// A file with one line of JSON for each erasure: `tenant`, `person`, `at` (milliseconds since 1970).
pub struct ErasureFile(PathBuf);

impl ErasureFile {
    pub fn new(file: PathBuf) -> Self {
        Self(file)
    }
}

impl ErasureList for ErasureFile {
    fn keep(&self, entry: ErasedPerson) -> BoxFuture<'static, Result<(), String>> {
        let file = self.0.clone();
        blocking(move || {
            let line = serde_json::to_string(&entry)?;
            let mut open = files::append(&file)?;
            open.write_all(format!("{line}\n").as_bytes())?;
            open.sync_all()
        })
    }

    fn entries(&self) -> BoxFuture<'static, Result<Vec<ErasedPerson>, String>> {
        let file = self.0.clone();
        blocking(move || {
            let bytes = match files::read_bounded(&file, MAX_BYTES) {
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
                read => read?,
            };
            let text = String::from_utf8_lossy(&bytes);
            // The last line may be cut off by a crash; its erasure was not accepted then.
            let whole = text.rfind('\n').map_or("", |end| &text[..end]);
            whole.lines().filter(|line| !line.trim().is_empty()).map(|line| Ok(serde_json::from_str(line)?)).collect()
        })
    }
}

/// Touches files where nobody waits for them.
pub(super) fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> std::io::Result<T> + Send + 'static,
) -> BoxFuture<'static, Result<T, String>> {
    Box::pin(async move {
        #[allow(clippy::disallowed_methods, reason = "files may be slow, and somebody waits for them")]
        let done = tokio::task::spawn_blocking(work).await;
        done.map_err(|error| error.to_string())?.map_err(|error| error.to_string())
    })
}
