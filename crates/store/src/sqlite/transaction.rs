//! The connection that writes, and the one transaction that is open on it.

use super::{
    append,
    error::is_outside_transaction,
    rewrap::OnlyKey,
    script::Script,
    unsequenced::Unsequenced,
    writer::{Failure, Group},
};
use bailiwick_types::{StreamId, TenantId};
use sqlx::{Connection as _, SqliteConnection, sqlite::SqliteRow};
use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// Streams, and likewise rows, that the writer remembers something about.
const MAX_REMEMBERED: usize = 8192;

pub struct Transaction {
    connection: SqliteConnection,
    open: bool,
    /// The operation that runs is the last of its group: it may commit with its own last script.
    last: bool,
    memory: Memory,
    committed: Arc<Inboxes>,
    unsequenced: Arc<Unsequenced>,
    pub only_key: Arc<OnlyKey>,
}

/// What the writer knows of a stream without asking. Only the first two never change; whoever relies on the others
/// lets the database check them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Known {
    pub no: i64,
    pub tenant: TenantId,
    pub lease_span: i64,
    pub inbox_last: i64,
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
        connection: SqliteConnection,
        committed: Arc<Inboxes>,
        unsequenced: Arc<Unsequenced>,
        only_key: Arc<OnlyKey>,
    ) -> Self {
        // Another connection was given up: what it had committed is not known for sure.
        committed.forget();
        unsequenced.forget();
        Self { connection, open: false, last: false, memory: Memory::default(), committed, unsequenced, only_key }
    }

    pub async fn close(self) {
        // What fails here is found when the file is opened again.
        let _ = self.connection.close().await;
    }

    /// Writes what can be written of a group and notes a verdict on each member. After an error the transaction must be
    /// rolled back, and no verdict counts.
    pub async fn write(&mut self, group: &mut Group) -> Result<(), sqlx::Error> {
        let count = group.others.len();
        for (at, member) in group.others.iter_mut().enumerate() {
            self.last = at + 1 == count && group.appends.is_empty();
            match member.run(self).await {
                Ok(()) => {}
                Err(Failure::Refused(error)) => member.refuse(error),
                Err(Failure::Broken(error)) => return Err(error),
            }
        }
        append::write(self, &mut group.appends).await?;
        if self.open {
            self.commit_with(Script::new("")).await?;
        }
        for (stream, last) in self.memory.inboxes.drain(..) {
            remember(&mut self.committed.kept(), stream, last);
        }
        self.unsequenced.note(std::mem::take(&mut self.memory.appended));
        Ok(())
    }

    pub fn is_open(&self) -> bool {
        self.open
    }

    /// Reads on this connection, whether a transaction is open or not.
    pub async fn look(&mut self, script: Script) -> Result<Vec<SqliteRow>, sqlx::Error> {
        script.run(&mut self.connection).await
    }

    /// Runs a script in the transaction, which it begins where it is the first.
    pub async fn run(&mut self, mut script: Script) -> Result<Vec<SqliteRow>, sqlx::Error> {
        if !self.open {
            script.before("BEGIN IMMEDIATE; ");
            self.open = true;
        }
        script.run(&mut self.connection).await
    }

    /// Runs the last script of an operation: with it the transaction is committed when that was the last of its group.
    pub async fn finish(&mut self, script: Script) -> Result<Vec<SqliteRow>, sqlx::Error> {
        if self.last { self.commit_with(script).await } else { self.run(script).await }
    }

    pub async fn commit_with(&mut self, mut script: Script) -> Result<Vec<SqliteRow>, sqlx::Error> {
        script.add("; COMMIT");
        let rows = self.run(script).await?;
        self.open = false;
        Ok(rows)
    }

    /// Runs one statement, which needs no transaction around it, and ends one that is open.
    pub async fn run_alone(&mut self, script: Script) -> Result<Vec<SqliteRow>, sqlx::Error> {
        if self.open { self.commit_with(script).await } else { script.run(&mut self.connection).await }
    }

    /// Whether the connection is as if nothing had happened.
    pub async fn roll_back(&mut self) -> bool {
        self.memory = Memory::default();
        self.committed.forget();
        if !std::mem::take(&mut self.open) {
            return true;
        }
        match Script::new("ROLLBACK").run(&mut self.connection).await {
            Ok(_) => true,
            Err(error) => is_outside_transaction(&error),
        }
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

    pub fn remember_labels(&mut self, labels: Vec<(u128, u64)>) {
        labels.into_iter().for_each(|(row, hash)| remember(&mut self.memory.labels, row, hash));
    }
}

fn remember<K: Hash + Eq, V>(kept: &mut HashMap<K, V>, key: K, value: V) {
    if kept.len() >= MAX_REMEMBERED {
        kept.clear();
    }
    kept.insert(key, value);
}
