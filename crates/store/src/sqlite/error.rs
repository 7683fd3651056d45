//! What a database error means to whoever asked.

use bailiwick_ports::StoreError;
use std::path::Path;

/// SQLite's result codes, <https://sqlite.org/rescode.html>.
const IOERR: i32 = 10;
const FULL: i32 = 13;
const CANTOPEN: i32 = 14;
const CONSTRAINT: i32 = 19;
const IOERR_FSYNC: i32 = 1034;
/// Less than this is a full disk: the files grow by pages, and the log by several.
const FULL_BELOW: u64 = 1 << 16;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Database(#[from] rusqlite::Error),
    /// What is stored cannot be what was written.
    #[error("{0} is damaged")]
    Damaged(&'static str),
    /// A row that must be there, or must belong to whoever writes it, is not or does not.
    #[error("what is stored belongs to another stream")]
    Conflict,
    #[error("it was closed")]
    Closed,
    #[error("no connection became free in time")]
    Busy,
}

pub fn damaged(what: &'static str) -> Error {
    Error::Damaged(what)
}

impl Error {
    /// The extended result code, where the database answered.
    fn code(&self) -> Option<i32> {
        match self {
            Self::Database(error) => error.sqlite_error().map(|error| error.extended_code),
            _ => None,
        }
    }

    fn primary(&self) -> Option<i32> {
        self.code().map(|code| code & 0xff)
    }

    /// The connection can go on after a rollback.
    pub fn is_sound(&self) -> bool {
        matches!(self, Self::Conflict) || matches!(self.primary(), Some(FULL | CONSTRAINT))
    }

    pub fn meaning(&self, folder: &Path) -> StoreError {
        match (self.primary(), self.code()) {
            _ if matches!(self, Self::Conflict) => StoreError::Conflict,
            (Some(FULL), _) => StoreError::Full,
            (Some(CONSTRAINT), _) => StoreError::Conflict,
            // What was written is not known to be there or not to be there.
            (_, Some(IOERR_FSYNC)) => StoreError::Unavailable(self.to_string()),
            (Some(IOERR | CANTOPEN), _) if disk_is_full(folder) => StoreError::Full,
            _ => StoreError::Unavailable(self.to_string()),
        }
    }
}

fn disk_is_full(folder: &Path) -> bool {
    rustix::fs::statvfs(folder).is_ok_and(|space| space.f_bavail.saturating_mul(space.f_frsize) < FULL_BELOW)
}
