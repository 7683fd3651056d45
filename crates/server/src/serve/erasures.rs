//! The list of who was erased, as a file that a restore of an older backup must not take back: keep it elsewhere.

use crate::files;
use bailiwick_ports::{BoxFuture, ErasedPerson, ErasureList};
use std::{
    io::Write as _,
    path::{Path, PathBuf},
};

/// Where the list is when no other place is named; beside the data it goes back with them.
pub const DEFAULT_ERASURES: &str = "erasures.jsonl";
/// A longer line is none of ours.
const MAX_LINE: u64 = 4096;
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
        blocking(move || add(&file, &entry))
    }

    fn entries(&self) -> BoxFuture<'static, Result<Vec<ErasedPerson>, String>> {
        let file = self.0.clone();
        blocking(move || {
            let bytes = match files::read_bounded(&file, MAX_BYTES) {
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
                read => read?,
            };
            let (whole, end) = bytes.split_at(whole(&bytes));
            let lines = whole.split(|byte| *byte == b'\n').filter(|line| !line.trim_ascii().is_empty());
            let mut entries: Vec<ErasedPerson> = lines.map(serde_json::from_slice).collect::<Result<_, _>>()?;
            // What a crash cut off was not accepted.
            entries.extend(serde_json::from_slice::<ErasedPerson>(end));
            Ok(entries)
        })
    }
}

/// Adds a line. What a crash left of one before is cut off, or this one would become part of it.
fn add(file: &Path, entry: &ErasedPerson) -> std::io::Result<()> {
    let mut line = format!("{}\n", serde_json::to_string(entry)?);
    if let Some((tail, from)) = files::tail(file, MAX_LINE)? {
        let whole = whole(&tail);
        match serde_json::from_slice::<ErasedPerson>(&tail[whole..]) {
            _ if whole == tail.len() => {}
            // Somebody wrote it by hand, and left out the end of the line.
            Ok(_) => line.insert(0, '\n'),
            Err(_) => files::cut(file, from + whole as u64)?,
        }
    }
    let mut open = files::append(file)?;
    open.write_all(line.as_bytes())?;
    open.sync_all()
}

/// How many of the bytes are whole lines.
fn whole(bytes: &[u8]) -> usize {
    bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1)
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

#[cfg(test)]
mod tests {
    use super::*;
    use bailiwick_types::{TenantId, Timestamp, UserId};

    fn entry(person: u128) -> ErasedPerson {
        let (tenant, person) = (TenantId::from_u128(1), UserId::from_u128(person));
        ErasedPerson { tenant, person, at: Timestamp::from_millis(5) }
    }

    #[tokio::test]
    async fn what_a_crash_left_of_a_line_does_not_spoil_the_next() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("erasures.jsonl");
        let list = ErasureFile::new(path.clone());
        assert_eq!(list.entries().await.unwrap(), []);
        list.keep(entry(1)).await.unwrap();
        files::append(&path).unwrap().write_all(b"{\"tenant\":\"tenant_0").unwrap();
        assert_eq!(list.entries().await.unwrap(), [entry(1)]);
        list.keep(entry(2)).await.unwrap();
        assert_eq!(list.entries().await.unwrap(), [entry(1), entry(2)]);
        // A whole entry counts, whoever left out its line break.
        files::append(&path).unwrap().write_all(serde_json::to_string(&entry(3)).unwrap().as_bytes()).unwrap();
        assert_eq!(list.entries().await.unwrap(), [entry(1), entry(2), entry(3)]);
        list.keep(entry(4)).await.unwrap();
        assert_eq!(list.entries().await.unwrap(), [entry(1), entry(2), entry(3), entry(4)]);
        // A damaged line is not passed over: somebody's erasure would be forgotten.
        files::append(&path).unwrap().write_all(b"nonsense\n").unwrap();
        assert!(list.entries().await.is_err());
    }
}
