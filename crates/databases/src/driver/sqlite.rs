//! A SQLite file, opened to be read only: no extensions, no other files, nothing but SELECT past its authorizer.

use super::{Trouble, Work};
use crate::rows::{Rows, Value, short};
use rusqlite::hooks::{AuthAction, AuthContext, Authorization};
use rusqlite::limits::Limit;
use rusqlite::types::ValueRef;
use rusqlite::{ErrorCode, OpenFlags};
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

/// Steps of the virtual machine between two looks at whether to stop.
const STEPS: i32 = 10_000;

const RUNNING: u8 = 0;
const STOPPED: u8 = 1;
const TIMED_OUT: u8 = 2;

pub struct Connection {
    path: String,
    row_bytes: usize,
}

impl Connection {
    pub fn new(path: &str, row_bytes: usize) -> Self {
        Self { path: path.to_owned(), row_bytes }
    }

    pub async fn read(&mut self, work: &Work, rows: Rows, stop: impl Future<Output = ()>) -> Result<Rows, Trouble> {
        let state = Arc::new(AtomicU8::new(RUNNING));
        let (path, text, row_bytes, seen) = (self.path.clone(), work.text.clone(), self.row_bytes, Arc::clone(&state));
        #[allow(
            clippy::disallowed_methods,
            reason = "SQLite works on a thread of its own, which its progress handler ends"
        )]
        let reading = tokio::task::spawn_blocking(move || read(&path, row_bytes, &text, rows, seen));
        let stop = pin!(stop);
        let ended = super::line::within(work.time, futures_util::future::select(reading, stop)).await;
        let reading = match ended {
            Some(futures_util::future::Either::Left((done, _))) => return done.unwrap_or_else(|_| Err(lost())),
            Some(futures_util::future::Either::Right((_, reading))) => {
                state.store(STOPPED, Ordering::Relaxed);
                Some(reading)
            }
            None => {
                state.store(TIMED_OUT, Ordering::Relaxed);
                None
            }
        };
        match reading {
            Some(reading) => reading.await.unwrap_or_else(|_| Err(lost())).and(Err(Trouble::Cancelled)),
            None => Err(Trouble::TimedOut),
        }
    }
}

fn lost() -> Trouble {
    Trouble::Lost("the statement was given up".to_owned())
}

fn read(path: &str, row_bytes: usize, text: &str, mut rows: Rows, state: Arc<AtomicU8>) -> Result<Rows, Trouble> {
    let connection = open(path, row_bytes, Arc::clone(&state)).map_err(|error| unreadable(path, &error))?;
    let refused = |error: rusqlite::Error| match (error.sqlite_error_code(), state.load(Ordering::Relaxed)) {
        (_, STOPPED) => Trouble::Cancelled,
        (_, TIMED_OUT) => Trouble::TimedOut,
        (Some(ErrorCode::NotADatabase | ErrorCode::CannotOpen), _) => unreadable(path, &error),
        _ => Trouble::Refused(error.to_string()),
    };
    let mut statement = connection.prepare(text).map_err(refused)?;
    if !statement.readonly() {
        return Err(Trouble::Refused("it would change the file".to_owned()));
    }
    let columns: Vec<(String, String)> = statement
        .columns()
        .map(|column| (column.name().to_owned(), column.decl_type().unwrap_or("any").to_lowercase()))
        .collect();
    rows.columns(columns.iter().map(|(name, of)| (name.as_str(), of.as_str()))).map_err(Trouble::Refused)?;
    let count = columns.len();
    let mut found = statement.raw_query();
    let mut numbers: Vec<Option<String>> = Vec::with_capacity(count);
    while let Some(row) = found.next().map_err(refused)? {
        numbers.clear();
        for number in 0..count {
            numbers.push(match row.get_ref(number).map_err(refused)? {
                ValueRef::Integer(value) => Some(value.to_string()),
                ValueRef::Real(value) => Some(short(format!("{value:?}"))),
                _ => None,
            });
        }
        let value = |number: usize| match (&numbers[number], row.get_ref(number)) {
            (Some(text), _) => Value::Text(text),
            (None, Ok(ValueRef::Text(bytes))) => std::str::from_utf8(bytes).map_or(Value::Bytes(bytes), Value::Text),
            (None, Ok(ValueRef::Blob(bytes))) => Value::Bytes(bytes),
            _ => Value::Null,
        };
        if !rows.row((0..count).map(value)) {
            break;
        }
    }
    drop(found);
    drop(statement);
    Ok(rows)
}

fn unreadable(path: &str, error: &rusqlite::Error) -> Trouble {
    let name = path.rsplit('/').next().unwrap_or(path);
    Trouble::Unreachable(format!("the file `{name}` cannot be read: {error}"))
}

fn open(path: &str, row_bytes: usize, state: Arc<AtomicU8>) -> rusqlite::Result<rusqlite::Connection> {
    use rusqlite::config::DbConfig;
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = rusqlite::Connection::open_with_flags(path, flags)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
    let largest = i32::try_from(row_bytes).unwrap_or(i32::MAX);
    for (limit, value) in [
        (Limit::SQLITE_LIMIT_LENGTH, largest),
        (Limit::SQLITE_LIMIT_SQL_LENGTH, 1_000_000),
        (Limit::SQLITE_LIMIT_ATTACHED, 0),
        (Limit::SQLITE_LIMIT_WORKER_THREADS, 0),
        (Limit::SQLITE_LIMIT_EXPR_DEPTH, 500),
        (Limit::SQLITE_LIMIT_COMPOUND_SELECT, 100),
    ] {
        connection.set_limit(limit, value)?;
    }
    connection.authorizer(Some(authorize))?;
    connection.progress_handler(STEPS, Some(move || state.load(Ordering::Relaxed) != RUNNING))?;
    Ok(connection)
}

fn authorize(context: AuthContext<'_>) -> Authorization {
    match context.action {
        AuthAction::Select | AuthAction::Read { .. } | AuthAction::Recursive => Authorization::Allow,
        AuthAction::Function { function_name } if !function_name.eq_ignore_ascii_case("load_extension") => {
            Authorization::Allow
        }
        _ => Authorization::Deny,
    }
}
