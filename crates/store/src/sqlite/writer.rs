//! The one task that writes, and its group commit.
//!
//! Whatever waits goes into one transaction, so that it shares one fsync; nobody is answered before that is done. The
//! members of a group stand alone: one that is refused has written nothing, and when one fails after it began to
//! write, the group is rolled back and each member gets a transaction of its own. So a full disk or a conflict is the
//! answer to the write that met it.
//!
//! A caller that goes away before its turn is not served; after that its write stands, answered or not.

use super::{
    Options,
    error::{is_outside_transaction, is_sound, store_error},
    script::Script,
};
use async_trait::async_trait;
use bailiwick_ports::StoreError;
use bailiwick_types::{StreamId, TenantId};
use sqlx::{Connection as _, SqliteConnection, sqlite::SqliteRow};
use std::collections::HashMap;
use tokio::sync::{mpsc, oneshot};

/// Writes that wait. More callers wait until there is room.
const QUEUE: usize = 256;
/// Members of one transaction.
const MAX_GROUP: usize = 64;
/// Streams, and likewise rows, that the writer remembers something about.
const MAX_REMEMBERED: usize = 8192;

/// Why a member of a group was not written.
pub enum Failure {
    /// It has not written anything; the transaction goes on.
    Refused(StoreError),
    /// It may have written something; the transaction must be rolled back.
    Broken(sqlx::Error),
}

impl From<sqlx::Error> for Failure {
    fn from(error: sqlx::Error) -> Self {
        Self::Broken(error)
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::Refused(error)
    }
}

/// One write. It may run twice, when the first transaction it was in is rolled back.
#[async_trait]
pub trait Operation: Send + Sync + 'static {
    type Output: Send + Sync;

    async fn run(&self, transaction: &mut Transaction) -> Result<Self::Output, Failure>;
}

/// An operation with its result, whatever their types.
#[async_trait]
trait Member: Send {
    async fn run(&mut self, transaction: &mut Transaction) -> Result<(), Failure>;
    fn answer(self: Box<Self>, verdict: Result<(), StoreError>);
    fn is_abandoned(&self) -> bool;
}

struct Pending<O: Operation> {
    operation: O,
    output: Option<O::Output>,
    reply: oneshot::Sender<Result<O::Output, StoreError>>,
}

#[async_trait]
impl<O: Operation> Member for Pending<O> {
    async fn run(&mut self, transaction: &mut Transaction) -> Result<(), Failure> {
        self.output = Some(self.operation.run(transaction).await?);
        Ok(())
    }

    fn answer(self: Box<Self>, verdict: Result<(), StoreError>) {
        let Self { output, reply, .. } = *self;
        let missing = || StoreError::Unavailable("a write came to no result".into());
        // Whoever asked may be gone.
        let _ = reply.send(verdict.and_then(|()| output.ok_or_else(missing)));
    }

    fn is_abandoned(&self) -> bool {
        self.reply.is_closed()
    }
}

enum Message {
    Write(Box<dyn Member>),
    Close(oneshot::Sender<()>),
}

/// The way to the writer's task. The task ends when this is dropped.
pub struct Writer(mpsc::Sender<Message>);

impl Writer {
    pub fn start(options: Options, connection: SqliteConnection) -> Self {
        let (queue, waiting) = mpsc::channel(QUEUE);
        let transaction = Transaction::new(connection);
        let task = Task { options, transaction: Some(transaction), waiting };
        #[allow(clippy::disallowed_methods, reason = "the store's one task: it only does what callers wait for")]
        tokio::spawn(task.run());
        Self(queue)
    }

    pub async fn write<O: Operation>(&self, operation: O) -> Result<O::Output, StoreError> {
        let closed = || StoreError::Unavailable("it was closed".into());
        let (reply, answer) = oneshot::channel();
        let member = Box::new(Pending { operation, output: None, reply });
        self.0.send(Message::Write(member)).await.map_err(|_| closed())?;
        answer.await.map_err(|_| closed())?
    }

    /// Returns when everything that was asked before is done and the connection is closed.
    pub async fn close(&self) {
        let (reply, closed) = oneshot::channel();
        if self.0.send(Message::Close(reply)).await.is_ok() {
            let _ = closed.await;
        }
    }
}

struct Task {
    options: Options,
    /// `None` when the connection was given up and the next write opens another.
    transaction: Option<Transaction>,
    waiting: mpsc::Receiver<Message>,
}

impl Task {
    async fn run(mut self) {
        let mut closing = None;
        while closing.is_none() {
            let Some(first) = self.waiting.recv().await else { break };
            let mut group = Vec::new();
            let mut next = Some(first);
            while let Some(message) = next.take() {
                match message {
                    Message::Write(member) if !member.is_abandoned() => group.push(member),
                    Message::Write(_) => {}
                    Message::Close(reply) => {
                        closing = Some(reply);
                        break;
                    }
                }
                if group.len() < MAX_GROUP {
                    next = self.waiting.try_recv().ok();
                }
            }
            self.write(group).await;
        }
        let Self { options, transaction, waiting } = self;
        if let Some(transaction) = transaction {
            let _ = transaction.connection.close().await;
        }
        // Whoever closes it may open the folder again at once.
        drop((waiting, options));
        if let Some(reply) = closing {
            let _ = reply.send(());
        }
    }

    async fn write(&mut self, mut group: Vec<Box<dyn Member>>) {
        if group.is_empty() {
            return;
        }
        match self.attempt(&mut group).await {
            Ok(verdicts) => answer(group, verdicts),
            Err(error) if group.len() == 1 || self.transaction.is_none() => {
                let error = store_error(&error, self.options.folder.path());
                tracing::warn!(%error, writes = group.len(), "a transaction failed");
                let verdicts = vec![Err(error); group.len()];
                answer(group, verdicts);
            }
            Err(_) => {
                for member in group {
                    let mut alone = vec![member];
                    let verdicts = match self.attempt(&mut alone).await {
                        Ok(verdicts) => verdicts,
                        Err(error) => vec![Err(store_error(&error, self.options.folder.path()))],
                    };
                    answer(alone, verdicts);
                }
            }
        }
    }

    /// One transaction with all of `group`. After an error it is rolled back, and the connection given up where that
    /// is not enough.
    async fn attempt(&mut self, group: &mut [Box<dyn Member>]) -> Result<Vec<Result<(), StoreError>>, sqlx::Error> {
        let transaction = match &mut self.transaction {
            Some(transaction) => transaction,
            none => none.insert(Transaction::new(self.options.connect_writer().await?)),
        };
        match transaction.commit(group).await {
            Ok(verdicts) => Ok(verdicts),
            Err(error) => {
                let sound = transaction.roll_back().await && is_sound(&error);
                if let Some(broken) = self.transaction.take_if(|_| !sound) {
                    let _ = broken.connection.close().await;
                }
                Err(error)
            }
        }
    }
}

fn answer(group: Vec<Box<dyn Member>>, verdicts: Vec<Result<(), StoreError>>) {
    for (member, verdict) in group.into_iter().zip(verdicts) {
        member.answer(verdict);
    }
}

/// The writer's connection and the transaction on it, if one is open.
pub struct Transaction {
    connection: SqliteConnection,
    open: bool,
    /// The member that runs is the last: it may commit with its own last script.
    last: bool,
    memory: Memory,
}

/// What the writer knows without asking. Forgotten with every rollback, so that it is never ahead of the disk.
#[derive(Default)]
struct Memory {
    streams: HashMap<StreamId, (i64, TenantId)>,
    /// Up to where the inbox was emptied.
    inboxes: HashMap<StreamId, u64>,
    labels: HashMap<u128, u64>,
}

impl Transaction {
    fn new(connection: SqliteConnection) -> Self {
        Self { connection, open: false, last: false, memory: Memory::default() }
    }

    /// Runs a script in the transaction, which it begins where it is the first.
    pub async fn run(&mut self, mut script: Script) -> Result<Vec<SqliteRow>, sqlx::Error> {
        if !self.open {
            script.before("BEGIN IMMEDIATE; ");
            self.open = true;
        }
        script.run(&mut self.connection).await
    }

    /// Runs the last script of a member: with it the transaction is committed when that is the last member.
    pub async fn finish(&mut self, mut script: Script) -> Result<Vec<SqliteRow>, sqlx::Error> {
        if !self.last {
            return self.run(script).await;
        }
        script.add("; COMMIT");
        let rows = self.run(script).await?;
        self.open = false;
        Ok(rows)
    }

    async fn commit(&mut self, group: &mut [Box<dyn Member>]) -> Result<Vec<Result<(), StoreError>>, sqlx::Error> {
        let count = group.len();
        let mut verdicts = Vec::with_capacity(count);
        for (at, member) in group.iter_mut().enumerate() {
            self.last = at + 1 == count;
            match member.run(self).await {
                Ok(()) => verdicts.push(Ok(())),
                Err(Failure::Refused(error)) => verdicts.push(Err(error)),
                Err(Failure::Broken(error)) => return Err(error),
            }
        }
        if self.open {
            Script::new("COMMIT").run(&mut self.connection).await?;
            self.open = false;
        }
        Ok(verdicts)
    }

    /// Whether the connection is as if nothing had happened.
    async fn roll_back(&mut self) -> bool {
        self.memory = Memory::default();
        if !std::mem::take(&mut self.open) {
            return true;
        }
        match Script::new("ROLLBACK").run(&mut self.connection).await {
            Ok(_) => true,
            Err(error) => is_outside_transaction(&error),
        }
    }

    pub fn known_stream(&self, stream: StreamId) -> Option<(i64, TenantId)> {
        self.memory.streams.get(&stream).copied()
    }

    pub fn remember_stream(&mut self, stream: StreamId, no: i64, tenant: TenantId) {
        remember(&mut self.memory.streams, stream, (no, tenant));
    }

    /// Whether nothing up to `through` can be left in the stream's inbox.
    pub fn knows_inbox(&self, stream: StreamId, through: u64) -> bool {
        through == 0 || self.memory.inboxes.get(&stream) == Some(&through)
    }

    pub fn remember_inbox(&mut self, stream: StreamId, through: u64) {
        remember(&mut self.memory.inboxes, stream, through);
    }

    /// Whether the labels of this row are known to be those with this hash.
    pub fn knows_labels(&self, row: u128, hash: u64) -> bool {
        self.memory.labels.get(&row) == Some(&hash)
    }

    pub fn remember_labels(&mut self, row: u128, hash: u64) {
        remember(&mut self.memory.labels, row, hash);
    }
}

fn remember<K: std::hash::Hash + Eq, V>(kept: &mut HashMap<K, V>, key: K, value: V) {
    if kept.len() >= MAX_REMEMBERED {
        kept.clear();
    }
    kept.insert(key, value);
}
