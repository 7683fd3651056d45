//! The connections that read. They appear when they are needed and go when they are idle.

use super::{Options, error::Error};
use rusqlite::Connection;
use std::{
    mem,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};
use tokio::sync::{Semaphore, SemaphorePermit};

/// How long a read waits for a connection.
const WAIT: Duration = Duration::from_secs(10);
/// A connection that nobody needed for so long is closed.
const IDLE: Duration = Duration::from_secs(60);

pub struct Readers {
    options: Options,
    free: Semaphore,
    /// The one that was used last comes last.
    idle: Mutex<Vec<Idle>>,
}

struct Idle {
    connection: Connection,
    since: Instant,
}

impl Readers {
    pub fn new(options: Options) -> Self {
        let free = Semaphore::new(options.readers.max(1) as usize);
        Self { options, free, idle: Mutex::default() }
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Idle>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A connection that nobody else uses meanwhile.
    #[allow(clippy::disallowed_methods, reason = "a bound on waiting, and not a time that anybody is told")]
    pub async fn take(&self) -> Result<Taken<'_>, Error> {
        let permit = match self.free.try_acquire() {
            Ok(permit) => permit,
            Err(_) => {
                let waited = tokio::time::timeout(WAIT, self.free.acquire()).await;
                waited.map_err(|_| Error::Busy)?.map_err(|_| Error::Closed)?
            }
        };
        let last = self.idle().pop();
        let connection = match last {
            Some(idle) => idle.connection,
            None => self.options.connect_reader()?,
        };
        Ok(Taken { readers: self, connection: Some(connection), _permit: permit })
    }

    #[allow(clippy::disallowed_methods, reason = "when to close what is idle, and not a time that anybody is told")]
    fn give_back(&self, connection: Connection) {
        let now = Instant::now();
        let mut idle = self.idle();
        idle.push(Idle { connection, since: now });
        let stale = idle.iter().take_while(|one| now.duration_since(one.since) > IDLE).count();
        let closed: Vec<Idle> = idle.drain(..stale).collect();
        drop(idle);
        drop(closed);
    }

    /// Returns when all reads have ended and their connections are closed. Later reads fail.
    pub async fn close(&self) {
        let all = self.options.readers.max(1);
        let ended = self.free.acquire_many(all).await;
        self.free.close();
        drop(ended);
        drop(mem::take(&mut *self.idle()));
    }
}

/// The right to a connection. One whose read failed is not used again.
pub struct Taken<'r> {
    readers: &'r Readers,
    connection: Option<Connection>,
    _permit: SemaphorePermit<'r>,
}

impl Taken<'_> {
    pub fn read<T>(mut self, read: impl FnOnce(&Connection) -> Result<T, Error>) -> Result<T, Error> {
        let Some(connection) = self.connection.take() else { return Err(Error::Closed) };
        let found = read(&connection)?;
        self.readers.give_back(connection);
        Ok(found)
    }
}
