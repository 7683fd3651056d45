//! The connection that writes, and the one transaction that is open on it.

use super::{
    error::Error,
    rewrap::OnlyKey,
    statement::Statement,
    unsequenced::Unsequenced,
    writer::{Failure, Member},
};
use bailiwick_types::{StreamId, TenantId};
use rusqlite::{Connection, Row, hooks::Wal};
use std::{
    collections::HashMap,
    hash::Hash,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicI32, Ordering},
    },
};

/// Streams, and likewise rows, that the writer remembers something about.
const MAX_REMEMBERED: usize = 8192;

pub struct Transaction {
    connection: Connection,
    memory: Memory,
    committed: Arc<Inboxes>,
    unsequenced: Arc<Unsequenced>,
    pub only_key: Arc<OnlyKey>,
    /// Pages of the log.
    log: Arc<AtomicI32>,
}

/// What the writer knows of a stream without asking. Only the first two never change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Known {
    pub no: i64,
    pub tenant: TenantId,
    pub inbox_last: i64,
    /// Inputs up to here are out of the inbox, and maybe later ones.
    pub inbox_through: i64,
}

/// The last sequences of inboxes, as far as they are committed. It spares readers the look into an inbox that has
/// nothing new, which is what every commit of the gate asks for.
#[derive(Default)]
pub struct Inboxes(Mutex<HashMap<StreamId, i64>>);

impl Inboxes {
    fn kept(&self) -> MutexGuard<'_, HashMap<StreamId, i64>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn forget(&self) {
        self.kept().clear();
    }

    /// Whether it is known that no input came after `after`.
    pub fn has_none_after(&self, stream: StreamId, after: u64) -> bool {
        self.kept().get(&stream).is_some_and(|last| last.unsigned_abs() <= after)
    }
}

/// Forgotten with every rollback, so that it is never ahead of the disk.
#[derive(Default)]
struct Memory {
    streams: HashMap<StreamId, Known>,
    labels: HashMap<u128, u64>,
    /// Inboxes that this transaction has looked at or added to.
    inboxes: Vec<(StreamId, i64)>,
    /// Streams that this transaction has appended to.
    appended: Vec<i64>,
}

impl Transaction {
    pub fn new(
        mut connection: Connection,
        committed: Arc<Inboxes>,
        unsequenced: Arc<Unsequenced>,
        only_key: Arc<OnlyKey>,
    ) -> Result<Self, Error> {
        let log = Arc::<AtomicI32>::default();
        // Told with each commit, which without this would carry a long log over by itself.
        let told = log.clone();
        connection.wal_hook(Some(move |_: &mut Wal, pages| {
            told.store(pages, Ordering::Relaxed);
            Ok(())
        }))?;
        // Another connection was given up: what it had committed is not known for sure.
        committed.forget();
        unsequenced.forget();
        Ok(Self { connection, memory: Memory::default(), committed, unsequenced, only_key, log })
    }

    /// Carries the log over into the database. What fails here is found when the file is opened again.
    pub fn close(self) {
        let _ = self.connection.close();
    }

    /// As the last commit left it.
    pub fn log_pages(&self) -> i32 {
        self.log.load(Ordering::Relaxed)
    }

    /// Carries the log over into the database, as far as no reader is in the way.
    pub fn carry_log_over(&self) -> Result<(), Error> {
        self.log.store(0, Ordering::Relaxed);
        Ok(self.connection.execute_batch("PRAGMA wal_checkpoint(PASSIVE)")?)
    }

    /// Writes what can be written of a group and notes a verdict on each member. After an error the transaction must be
    /// rolled back, and no verdict counts.
    pub fn write(&mut self, group: &mut [Box<dyn Member>]) -> Result<(), Error> {
        for member in group {
            match member.run(self) {
                Ok(()) => {}
                Err(Failure::Refused(error)) => member.refuse(error),
                Err(Failure::Broken(error)) => return Err(error),
            }
        }
        if self.is_open() {
            Statement::new("COMMIT").run(&self.connection)?;
        }
        for (stream, last) in self.memory.inboxes.drain(..) {
            remember(&mut self.committed.kept(), stream, last);
        }
        self.unsequenced.note(std::mem::take(&mut self.memory.appended));
        Ok(())
    }

    pub fn is_open(&self) -> bool {
        !self.connection.is_autocommit()
    }

    /// The connection, whether a transaction is open or not.
    pub fn connection(&self) -> &Connection {
        &self.connection
    }

    fn begun(&self) -> Result<&Connection, Error> {
        if !self.is_open() {
            Statement::new("BEGIN IMMEDIATE").run(&self.connection)?;
        }
        Ok(&self.connection)
    }

    /// Runs a statement that answers with no rows in the transaction, which it begins where it is the first.
    pub fn run(&mut self, statement: &Statement<'_>) -> Result<usize, Error> {
        statement.run(self.begun()?)
    }

    pub fn rows<T>(
        &mut self,
        statement: &Statement<'_>,
        read: impl FnMut(&Row<'_>) -> Result<T, Error>,
    ) -> Result<Vec<T>, Error> {
        statement.rows(self.begun()?, read)
    }

    pub fn first<T>(
        &mut self,
        statement: &Statement<'_>,
        read: impl FnMut(&Row<'_>) -> Result<T, Error>,
    ) -> Result<Option<T>, Error> {
        Ok(self.rows(statement, read)?.into_iter().next())
    }

    /// Whether the connection is as if nothing had happened.
    pub fn roll_back(&mut self) -> bool {
        self.memory = Memory::default();
        self.committed.forget();
        // SQLite ends some by itself.
        !self.is_open() || Statement::new("ROLLBACK").run(&self.connection).is_ok()
    }

    pub fn known(&self, stream: StreamId) -> Option<Known> {
        self.memory.streams.get(&stream).copied()
    }

    /// Stream `no` gets records with this transaction.
    pub fn appended(&mut self, no: i64) {
        self.memory.appended.push(no);
    }

    pub fn remember(&mut self, stream: StreamId, known: Known) {
        remember(&mut self.memory.streams, stream, known);
        self.memory.inboxes.push((stream, known.inbox_last));
    }

    /// Whether the labels of this row are known to be those with this hash.
    pub fn knows_labels(&self, row: u128, hash: u64) -> bool {
        self.memory.labels.get(&row) == Some(&hash)
    }

    pub fn remember_labels(&mut self, row: u128, hash: u64) {
        remember(&mut self.memory.labels, row, hash);
    }
}

fn remember<K: Hash + Eq, V>(kept: &mut HashMap<K, V>, key: K, value: V) {
    if kept.len() >= MAX_REMEMBERED {
        kept.clear();
    }
    kept.insert(key, value);
}
