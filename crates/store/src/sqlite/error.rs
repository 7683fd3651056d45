//! What a database error means to whoever asked.

use bailiwick_ports::StoreError;
use std::path::Path;

/// SQLite's result codes, <https://sqlite.org/rescode.html>.
const IOERR: i32 = 10;
const FULL: i32 = 13;
const CANTOPEN: i32 = 14;
const CONSTRAINT: i32 = 19;
const IOERR_FSYNC: i32 = 1034;
const CONSTRAINT_NOTNULL: i32 = 1299;
const CONSTRAINT_TRIGGER: i32 = 1811;
/// Less than this is a full disk: the files grow by pages, and the log by several.
const FULL_BELOW: u64 = 1 << 16;

/// The extended result code, where the database answered.
fn code(error: &sqlx::Error) -> Option<i32> {
    error.as_database_error()?.code()?.parse().ok()
}

fn primary(error: &sqlx::Error) -> Option<i32> {
    code(error).map(|code| code & 0xff)
}

/// A `CASE … END` guard on `column` (`table.column`) was not met.
pub fn guard_failed(error: &sqlx::Error, column: &str) -> bool {
    let message = error.as_database_error().map(|error| error.message());
    code(error) == Some(CONSTRAINT_NOTNULL) && message.is_some_and(|message| message.ends_with(column))
}

/// What a part of a statement was refused for, and the member it is of: a message of [`super::ops::PROCEDURES`].
pub fn refused(error: &sqlx::Error) -> Option<(&str, usize)> {
    if code(error) != Some(CONSTRAINT_TRIGGER) {
        return None;
    }
    let (what, member) = error.as_database_error()?.message().split_once(' ')?;
    Some((what, member.parse().ok()?))
}

/// The connection can go on after a rollback.
pub fn is_sound(error: &sqlx::Error) -> bool {
    matches!(primary(error), Some(FULL | CONSTRAINT))
}

/// There is nothing to roll back: SQLite did it by itself, or the transaction did not begin.
pub fn is_outside_transaction(error: &sqlx::Error) -> bool {
    error.as_database_error().is_some_and(|error| error.message().contains("no transaction is active"))
}

pub fn store_error(error: &sqlx::Error, folder: &Path) -> StoreError {
    match (primary(error), code(error)) {
        (Some(FULL), _) => StoreError::Full,
        (Some(CONSTRAINT), _) => StoreError::Conflict,
        // What was written is not known to be there or not to be there.
        (_, Some(IOERR_FSYNC)) => StoreError::Unavailable(error.to_string()),
        (Some(IOERR | CANTOPEN), _) if disk_is_full(folder) => StoreError::Full,
        _ => StoreError::Unavailable(error.to_string()),
    }
}

fn disk_is_full(folder: &Path) -> bool {
    rustix::fs::statvfs(folder).is_ok_and(|space| space.f_bavail.saturating_mul(space.f_frsize) < FULL_BELOW)
}

/// What is stored cannot be what was written.
pub fn damaged(what: &str) -> sqlx::Error {
    sqlx::Error::Decode(format!("{what} is damaged").into())
}
