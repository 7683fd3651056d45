//! What a group of writes goes through: one transaction, or when that fails one for each, and the log after it.

use super::{
    Options,
    error::Error,
    rewrap::OnlyKey,
    transaction::{Inboxes, Transaction},
    unsequenced::Unsequenced,
    writer::Member,
};
use bailiwick_ports::StoreError;
use rusqlite::Connection;
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// Pages of the log at which it is carried over.
const LOG_PAGES: i32 = 4000;
/// A disk that takes longer than this for one group is a slow one.
const SLOW: Duration = Duration::from_millis(2);

pub struct Pen {
    options: Options,
    /// `None` when the connection was given up and the next write opens another.
    transaction: Option<Transaction>,
    inboxes: Arc<Inboxes>,
    unsequenced: Arc<Unsequenced>,
    /// Outlives connections that are given up.
    only_key: Arc<OnlyKey>,
    /// How long the last group took.
    took: Duration,
}

impl Pen {
    pub fn new(
        options: Options,
        connection: Connection,
        inboxes: Arc<Inboxes>,
        unsequenced: Arc<Unsequenced>,
    ) -> Result<Self, Error> {
        let only_key = Arc::<OnlyKey>::default();
        let (known, fresh) = (inboxes.clone(), unsequenced.clone());
        let transaction = Some(Transaction::new(connection, known, fresh, only_key.clone())?);
        Ok(Self { options, transaction, inboxes, unsequenced, only_key, took: Duration::ZERO })
    }

    pub fn close(self) {
        if let Some(transaction) = self.transaction {
            transaction.close();
        }
    }

    pub fn give_up(&mut self) {
        self.transaction = None;
    }

    /// The next group is likely to keep its thread for long.
    pub fn is_slow(&self) -> bool {
        self.took > SLOW
    }

    pub fn is_log_full(&self) -> bool {
        self.transaction.as_ref().is_some_and(|transaction| transaction.log_pages() >= LOG_PAGES)
    }

    /// Carries the log over into the database, as far as no reader is in the way.
    pub fn carry_log_over(&mut self) {
        // What was not done is done after the next commit.
        if let Some(Err(error)) = self.transaction.as_ref().map(Transaction::carry_log_over) {
            tracing::warn!(%error, "the log was not carried over");
        }
    }

    /// Writes a group and answers its members.
    pub fn write(&mut self, mut group: Vec<Box<dyn Member>>) {
        #[allow(clippy::disallowed_methods, reason = "how long the disk takes decides about threads and nothing else")]
        let begun = Instant::now();
        if let Err(error) = self.attempt(&mut group) {
            if group.len() > 1 && self.transaction.is_some() {
                group.chunks_mut(1).for_each(|alone| self.write_alone(alone));
            } else {
                let error = self.explain(&error);
                group.iter_mut().for_each(|member| member.refuse(error.clone()));
            }
        }
        self.took = begun.elapsed();
        group.into_iter().for_each(|member| member.answer());
    }

    fn write_alone(&mut self, alone: &mut [Box<dyn Member>]) {
        if let Err(error) = self.attempt(alone) {
            let error = self.explain(&error);
            alone.iter_mut().for_each(|member| member.refuse(error.clone()));
        }
    }

    fn explain(&self, error: &Error) -> StoreError {
        let meaning = error.meaning(self.options.folder.path());
        if meaning != StoreError::Conflict {
            tracing::warn!(%error, "a transaction failed");
        }
        meaning
    }

    /// One transaction with all of `group`. After an error it is rolled back, and the connection given up where that
    /// is not enough.
    fn attempt(&mut self, group: &mut [Box<dyn Member>]) -> Result<(), Error> {
        let transaction = match &mut self.transaction {
            Some(transaction) => transaction,
            none => none.insert(Transaction::new(
                self.options.connect_writer()?,
                self.inboxes.clone(),
                self.unsequenced.clone(),
                self.only_key.clone(),
            )?),
        };
        let Err(error) = transaction.write(group) else { return Ok(()) };
        let sound = transaction.roll_back() && error.is_sound();
        if !sound {
            self.give_up();
        }
        Err(error)
    }
}
