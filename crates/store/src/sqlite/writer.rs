//! The one task that writes, and its group commit.
//!
//! Whatever waits goes into one transaction, so that it shares one fsync; nobody is answered before that is done. The
//! members of a group stand alone: one that is refused has written nothing, and when the transaction itself fails, it
//! is rolled back and each member gets one of its own. So a full disk is the answer to the write that met it.
//!
//! A caller that goes away before its turn is not served; after that its write stands, answered or not.

use super::{
    Options,
    error::{is_sound, store_error},
    ops,
    rewrap::OnlyKey,
    transaction::{Inboxes, Transaction},
    unsequenced::Unsequenced,
};
use async_trait::async_trait;
use bailiwick_ports::{
    StoreError,
    store::{Append, Appended},
};
use sqlx::SqliteConnection;
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot};

/// Writes that wait. More callers wait until there is room.
const QUEUE: usize = 256;
/// Members of one transaction.
const MAX_GROUP: usize = 64;

/// Why an operation was not written.
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

/// One write. It runs again when the transaction it was in is rolled back.
#[async_trait]
pub trait Operation: Send + Sync + 'static {
    type Output: Send + Sync;

    async fn run(&self, transaction: &mut Transaction) -> Result<Self::Output, Failure>;
}

/// An operation with its verdict, whatever their types.
#[async_trait]
pub trait Member: Send {
    async fn run(&mut self, transaction: &mut Transaction) -> Result<(), Failure>;
    fn refuse(&mut self, error: StoreError);
    fn answer(self: Box<Self>);
    fn is_abandoned(&self) -> bool;
}

type Reply<T> = oneshot::Sender<Result<T, StoreError>>;

struct Pending<O: Operation> {
    operation: O,
    verdict: Option<Result<O::Output, StoreError>>,
    reply: Reply<O::Output>,
}

#[async_trait]
impl<O: Operation> Member for Pending<O> {
    async fn run(&mut self, transaction: &mut Transaction) -> Result<(), Failure> {
        self.verdict = Some(Ok(self.operation.run(transaction).await?));
        Ok(())
    }

    fn refuse(&mut self, error: StoreError) {
        self.verdict = Some(Err(error));
    }

    fn answer(self: Box<Self>) {
        reply(self.reply, self.verdict);
    }

    fn is_abandoned(&self) -> bool {
        self.reply.is_closed()
    }
}

fn reply<T>(reply: Reply<T>, verdict: Option<Result<T, StoreError>>) {
    let missing = || Err(StoreError::Unavailable("a write came to no result".into()));
    // Whoever asked may be gone.
    let _ = reply.send(verdict.unwrap_or_else(missing));
}

/// An append with its verdict. All appends of a group are one statement.
pub struct PendingAppend {
    pub append: Append,
    pub verdict: Option<Result<Appended, StoreError>>,
    reply: Reply<Appended>,
}

/// What shares a transaction.
#[derive(Default)]
pub struct Group {
    pub appends: Vec<PendingAppend>,
    pub others: Vec<Box<dyn Member>>,
    /// Parts of the appends.
    parts: usize,
}

impl Group {
    fn len(&self) -> usize {
        self.appends.len() + self.others.len()
    }

    /// Takes a member in, or gives it back where it has no room. An append that is too large for any statement is
    /// alone.
    fn take(&mut self, message: Message) -> Option<Message> {
        match message {
            Message::Append(append) => {
                let parts = self.parts + ops::count(&append.append);
                if parts > ops::MAX_OPS && self.len() > 0 {
                    return Some(Message::Append(append));
                }
                self.parts = parts;
                self.appends.push(append);
            }
            Message::Other(_) if self.parts > ops::MAX_OPS => return Some(message),
            Message::Other(member) => self.others.push(member),
            Message::Close(_) => return Some(message),
        }
        None
    }

    fn refuse(&mut self, error: &StoreError) {
        self.appends.iter_mut().for_each(|append| append.verdict = Some(Err(error.clone())));
        self.others.iter_mut().for_each(|member| member.refuse(error.clone()));
    }

    fn answer(self) {
        self.appends.into_iter().for_each(|append| reply(append.reply, append.verdict));
        self.others.into_iter().for_each(|member| member.answer());
    }

    fn into_single(self) -> impl Iterator<Item = Self> {
        let append = |append| Self { appends: vec![PendingAppend { verdict: None, ..append }], ..Self::default() };
        let other = |member| Self { others: vec![member], ..Self::default() };
        self.others.into_iter().map(other).chain(self.appends.into_iter().map(append))
    }
}

enum Message {
    Append(PendingAppend),
    Other(Box<dyn Member>),
    Close(oneshot::Sender<()>),
}

impl Message {
    fn is_abandoned(&self) -> bool {
        match self {
            Self::Append(append) => append.reply.is_closed(),
            Self::Other(member) => member.is_abandoned(),
            Self::Close(_) => false,
        }
    }
}

/// The way to the writer's task. The task ends when this is dropped.
pub struct Writer(mpsc::Sender<Message>);

impl Writer {
    pub fn start(
        options: Options,
        connection: SqliteConnection,
        inboxes: Arc<Inboxes>,
        unsequenced: Arc<Unsequenced>,
    ) -> Self {
        let (queue, waiting) = mpsc::channel(QUEUE);
        let only_key = Arc::<OnlyKey>::default();
        let (known, fresh) = (inboxes.clone(), unsequenced.clone());
        let transaction = Some(Transaction::new(connection, known, fresh, only_key.clone()));
        let task = Task { options, transaction, inboxes, unsequenced, only_key, waiting, held: None };
        #[allow(clippy::disallowed_methods, reason = "the store's one task: it only does what callers wait for")]
        tokio::spawn(task.run());
        Self(queue)
    }

    pub async fn append(&self, append: Append) -> Result<Appended, StoreError> {
        self.ask(|reply| Message::Append(PendingAppend { append, verdict: None, reply })).await
    }

    pub async fn write<O: Operation>(&self, operation: O) -> Result<O::Output, StoreError> {
        self.ask(|reply| Message::Other(Box::new(Pending { operation, verdict: None, reply }))).await
    }

    async fn ask<T>(&self, message: impl FnOnce(Reply<T>) -> Message) -> Result<T, StoreError> {
        let closed = || StoreError::Unavailable("it was closed".into());
        let (reply, answer) = oneshot::channel();
        self.0.send(message(reply)).await.map_err(|_| closed())?;
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
    inboxes: Arc<Inboxes>,
    unsequenced: Arc<Unsequenced>,
    /// Outlives connections that are given up.
    only_key: Arc<OnlyKey>,
    waiting: mpsc::Receiver<Message>,
    /// What had no room in the last group.
    held: Option<Message>,
}

impl Task {
    async fn run(mut self) {
        let closing = loop {
            let first = match self.held.take() {
                Some(message) => message,
                None => match self.waiting.recv().await {
                    Some(message) => message,
                    None => break None,
                },
            };
            if let Message::Close(reply) = first {
                break Some(reply);
            }
            let group = self.gather(first);
            self.write(group).await;
        };
        let Self { options, transaction, waiting, held, .. } = self;
        if let Some(transaction) = transaction {
            transaction.close().await;
        }
        // Whoever closes it may open the folder again at once.
        drop((waiting, held, options));
        if let Some(reply) = closing {
            let _ = reply.send(());
        }
    }

    /// All that waits, as far as it has room.
    fn gather(&mut self, first: Message) -> Group {
        let mut group = Group::default();
        let mut next = Some(first);
        while let Some(message) = next.take() {
            if !message.is_abandoned() {
                self.held = group.take(message);
            }
            if self.held.is_none() && group.len() < MAX_GROUP {
                next = self.waiting.try_recv().ok();
            }
        }
        group
    }

    async fn write(&mut self, mut group: Group) {
        if let Err(error) = self.attempt(&mut group).await {
            if group.len() > 1 && self.transaction.is_some() {
                for mut alone in group.into_single() {
                    if let Err(error) = self.attempt(&mut alone).await {
                        alone.refuse(&self.explain(&error));
                    }
                    alone.answer();
                }
                return;
            }
            group.refuse(&self.explain(&error));
        }
        group.answer();
    }

    fn explain(&self, error: &sqlx::Error) -> StoreError {
        let meaning = store_error(error, self.options.folder.path());
        if meaning != StoreError::Conflict {
            tracing::warn!(%error, "a transaction failed");
        }
        meaning
    }

    /// One transaction with all of `group`. After an error it is rolled back, and the connection given up where that
    /// is not enough.
    async fn attempt(&mut self, group: &mut Group) -> Result<(), sqlx::Error> {
        if group.len() == 0 {
            return Ok(());
        }
        let transaction = match &mut self.transaction {
            Some(transaction) => transaction,
            none => none.insert(Transaction::new(
                self.options.connect_writer().await?,
                self.inboxes.clone(),
                self.unsequenced.clone(),
                self.only_key.clone(),
            )),
        };
        let Err(error) = transaction.write(group).await else { return Ok(()) };
        let sound = transaction.roll_back().await && is_sound(&error);
        if let Some(broken) = self.transaction.take_if(|_| !sound) {
            broken.close().await;
        }
        Err(error)
    }
}
