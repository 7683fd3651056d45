//! Who writes: whoever asks, in its own thread, for all who wait.
//!
//! There is one pen, and whoever holds it writes. A caller that finds it free takes it and writes at once, so that a
//! lone commit wakes no other thread: on a machine with several processors that costs more than the commit. Whoever
//! comes meanwhile waits. When the first is done and somebody waits, the pen goes to a task that writes group after
//! group until nobody does, so that no caller is kept for the others.
//!
//! All that waits goes into one transaction, so that it shares one fsync; nobody is answered before that is done. The
//! members of a group stand alone: one that is refused has written nothing, and when the transaction itself fails, it
//! is rolled back and each member gets one of its own. So a full disk is the answer to the write that met it.
//!
//! A caller that goes away before its turn is not served; after that its write stands, answered or not.

use super::{
    Options,
    error::Error,
    pen::Pen,
    threads::apart,
    transaction::{Inboxes, Transaction},
    unsequenced::Unsequenced,
};
use bailiwick_ports::StoreError;
use rusqlite::Connection;
use std::{
    collections::VecDeque,
    mem,
    pin::pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, oneshot};

/// Writes that wait. More callers wait until there is room.
const QUEUE: usize = 256;
/// Members of one transaction.
const MAX_GROUP: usize = 64;

/// Why an operation was not written.
pub enum Failure {
    /// It has not written anything; the transaction goes on.
    Refused(StoreError),
    /// It may have written something; the transaction must be rolled back.
    Broken(Error),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Broken(error)
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::Refused(error)
    }
}

/// One write. It runs again when the transaction it was in is rolled back.
pub trait Operation: Send + 'static {
    type Output: Send;

    fn run(&self, transaction: &mut Transaction) -> Result<Self::Output, Failure>;

    /// It may write very much.
    fn is_long(&self) -> bool {
        false
    }
}

/// An operation with its verdict, whatever their types.
pub trait Member: Send {
    fn run(&mut self, transaction: &mut Transaction) -> Result<(), Failure>;
    fn refuse(&mut self, error: StoreError);
    fn answer(self: Box<Self>);
    fn is_abandoned(&self) -> bool;
    fn is_long(&self) -> bool;
}

struct Pending<O: Operation> {
    operation: O,
    verdict: Option<Result<O::Output, StoreError>>,
    reply: oneshot::Sender<Result<O::Output, StoreError>>,
    _room: OwnedSemaphorePermit,
}

impl<O: Operation> Member for Pending<O> {
    fn run(&mut self, transaction: &mut Transaction) -> Result<(), Failure> {
        self.verdict = Some(Ok(self.operation.run(transaction)?));
        Ok(())
    }

    fn refuse(&mut self, error: StoreError) {
        self.verdict = Some(Err(error));
    }

    fn answer(self: Box<Self>) {
        if let Some(verdict) = self.verdict {
            // Whoever asked may be gone.
            let _ = self.reply.send(verdict);
        }
    }

    fn is_abandoned(&self) -> bool {
        self.reply.is_closed()
    }

    fn is_long(&self) -> bool {
        self.operation.is_long()
    }
}

/// Where whoever wants to write goes.
pub struct Writer(Arc<Desk>);

struct Desk {
    room: Arc<Semaphore>,
    state: Mutex<State>,
    /// The pen was laid down.
    laid_down: Notify,
}

struct State {
    /// Empty while the pen lies there.
    waiting: VecDeque<Box<dyn Member>>,
    pen: Place,
}

enum Place {
    Here(Pen),
    InUse,
    Closed,
}

impl Writer {
    pub fn new(
        options: Options,
        connection: Connection,
        inboxes: Arc<Inboxes>,
        unsequenced: Arc<Unsequenced>,
    ) -> Result<Self, Error> {
        let pen = Place::Here(Pen::new(options, connection, inboxes, unsequenced)?);
        let state = Mutex::new(State { waiting: VecDeque::new(), pen });
        Ok(Self(Arc::new(Desk { room: Arc::new(Semaphore::new(QUEUE)), state, laid_down: Notify::new() })))
    }

    pub async fn write<O: Operation>(&self, operation: O) -> Result<O::Output, StoreError> {
        let closed = || StoreError::Unavailable("it was closed".into());
        let room = self.0.room.clone().acquire_owned().await.map_err(|_| closed())?;
        let (reply, answer) = oneshot::channel();
        if let Some(turn) = self.0.ask(Box::new(Pending { operation, verdict: None, reply, _room: room })) {
            turn.once();
        }
        answer.await.map_err(|_| closed())?
    }

    /// Returns when everything that was asked before is done and the connection is closed.
    pub async fn close(&self) {
        self.0.room.close();
        loop {
            let mut laid_down = pin!(self.0.laid_down.notified());
            laid_down.as_mut().enable();
            if self.0.close() {
                return;
            }
            laid_down.await;
        }
    }
}

impl Desk {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a member with those who wait. Whoever gets a turn must use it.
    fn ask(self: &Arc<Self>, member: Box<dyn Member>) -> Option<Turn> {
        let mut state = self.state();
        match mem::replace(&mut state.pen, Place::InUse) {
            Place::Here(pen) => {
                state.waiting.push_back(member);
                Some(Turn { desk: self.clone(), pen: Some(pen) })
            }
            Place::InUse => {
                state.waiting.push_back(member);
                None
            }
            Place::Closed => {
                state.pen = Place::Closed;
                None
            }
        }
    }

    /// `false` while somebody writes.
    fn close(&self) -> bool {
        let mut state = self.state();
        match mem::replace(&mut state.pen, Place::Closed) {
            Place::Here(pen) => pen.close(),
            Place::InUse => state.pen = Place::InUse,
            Place::Closed => {}
        }
        !matches!(state.pen, Place::InUse)
    }
}

/// The right to write.
struct Turn {
    desk: Arc<Desk>,
    /// `None` when it was given back.
    pen: Option<Pen>,
}

impl Turn {
    /// Writes what waits once, and leaves what came meanwhile to a task.
    fn once(mut self) {
        self.write();
        if !self.lay_down() {
            #[allow(clippy::disallowed_methods, reason = "the store's one task: it only does what callers wait for")]
            tokio::spawn(self.until_nobody_waits());
        }
    }

    async fn until_nobody_waits(mut self) {
        loop {
            if let Some(pen) = self.pen.as_mut().filter(|pen| pen.is_log_full()) {
                apart(|| pen.carry_log_over());
            }
            self.write();
            if self.lay_down() {
                return;
            }
            tokio::task::yield_now().await;
        }
    }

    fn write(&mut self) {
        let group = self.gather();
        let Some(pen) = self.pen.as_mut().filter(|_| !group.is_empty()) else { return };
        if pen.is_slow() || group.iter().any(|member| member.is_long()) {
            apart(|| pen.write(group));
        } else {
            pen.write(group);
        }
    }

    /// All that waits, as far as it has room.
    fn gather(&self) -> Vec<Box<dyn Member>> {
        let mut state = self.desk.state();
        let waiting = state.waiting.len().min(MAX_GROUP);
        let group = state.waiting.drain(..waiting);
        group.filter(|member| !member.is_abandoned()).collect()
    }

    /// Gives the pen back, unless there is more to do.
    fn lay_down(&mut self) -> bool {
        let mut state = self.desk.state();
        if !state.waiting.is_empty() || self.pen.as_ref().is_some_and(Pen::is_log_full) {
            return false;
        }
        if let Some(pen) = self.pen.take() {
            state.pen = Place::Here(pen);
        }
        drop(state);
        self.desk.laid_down.notify_waiters();
        true
    }
}

impl Drop for Turn {
    /// The pen is still in hand when an operation panicked or the runtime ends. Whoever waits is told that nothing will
    /// come, and the next one opens a new connection.
    fn drop(&mut self) {
        let Some(mut pen) = self.pen.take() else { return };
        pen.give_up();
        let mut state = self.desk.state();
        let unserved = mem::take(&mut state.waiting);
        state.pen = Place::Here(pen);
        drop(state);
        drop(unserved);
        self.desk.laid_down.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{DataFolder, folder::private_file, sqlite::schema};
    use std::{pin::Pin, task::Poll};

    fn writer(folder: &std::path::Path) -> Writer {
        let options = Options::new(DataFolder::open(folder).unwrap());
        private_file(&options.file()).unwrap();
        let connection = options.connect_writer().unwrap();
        schema::migrate(&connection, 0).unwrap();
        Writer::new(options, connection, Arc::default(), Arc::default()).unwrap()
    }

    /// What is done in the transaction, and a word when it begins.
    struct Step<F>(Option<std::sync::mpsc::Sender<()>>, F);

    impl<F: Fn() -> Result<(), Failure> + Send + 'static> Operation for Step<F> {
        type Output = ();

        fn run(&self, _: &mut Transaction) -> Result<(), Failure> {
            if let Some(begun) = &self.0 {
                let _ = begun.send(());
            }
            self.1()
        }
    }

    /// Polls it once.
    async fn is_pending(asked: &mut (impl Future + Unpin)) -> bool {
        std::future::poll_fn(|context| Poll::Ready(Pin::new(&mut *asked).poll(context).is_pending())).await
    }

    fn nothing() -> Result<(), Failure> {
        Ok(())
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn an_operation_that_panics_takes_nobody_with_it() {
        let folder = tempfile::tempdir().unwrap();
        let writer = Arc::new(writer(folder.path()));
        let fallen = writer.clone();
        let panics = async move { fallen.write(Step(None, || panic!("on purpose"))).await };
        #[allow(clippy::disallowed_methods, reason = "a test")]
        tokio::spawn(panics).await.unwrap_err();
        writer.write(Step(None, nothing)).await.unwrap();
        writer.close().await;
    }

    /// The caller that writes first is held in its transaction; who comes meanwhile is served without it.
    #[tokio::test(flavor = "multi_thread", worker_threads = 3)]
    async fn who_comes_meanwhile_waits_and_is_served_by_the_task() {
        let folder = tempfile::tempdir().unwrap();
        let writer = Arc::new(writer(folder.path()));
        let ((begun, has_begun), (go_on, may_go_on)) = (std::sync::mpsc::channel(), std::sync::mpsc::channel());
        let may_go_on = Mutex::new(may_go_on);
        let held = Step(Some(begun), move || {
            let _ = may_go_on.lock().map(|wait| wait.recv());
            Ok(())
        });
        let first = writer.clone();
        #[allow(clippy::disallowed_methods, reason = "a test")]
        let first = tokio::spawn(async move { first.write(held).await });
        tokio::task::block_in_place(|| has_begun.recv()).unwrap();
        let mut others: Vec<_> = (0..3 * MAX_GROUP).map(|_| Box::pin(writer.write(Step(None, nothing)))).collect();
        for other in &mut others {
            assert!(is_pending(other).await);
        }
        assert_eq!(writer.0.state().waiting.len(), others.len());
        go_on.send(()).unwrap();
        first.await.unwrap().unwrap();
        for other in others {
            other.await.unwrap();
        }
        writer.close().await;
        assert!(matches!(writer.write(Step(None, nothing)).await, Err(StoreError::Unavailable(_))));
    }

    #[tokio::test]
    async fn more_than_the_queue_holds_wait_for_room() {
        let folder = tempfile::tempdir().unwrap();
        let writer = writer(folder.path());
        let taken = writer.0.room.clone().acquire_many_owned(QUEUE as u32).await.unwrap();
        let mut asked = Box::pin(writer.write(Step(None, nothing)));
        assert!(is_pending(&mut asked).await);
        drop(taken);
        asked.await.unwrap();
    }
}
