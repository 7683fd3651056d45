//! A single-threaded executor with a virtual clock. The order in which tasks run is drawn from the seed.

use bailiwick_ports::{BoxFuture, Clock, Random, TaskHandle, Tasks};
use bailiwick_types::Timestamp;
use rand::{Rng, RngCore, SeedableRng, rngs::SmallRng};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Wake, Waker},
};

type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Time, tasks and randomness of one simulated run. Cheap to clone.
#[derive(Clone)]
pub struct Runtime(Arc<Shared>);

struct Shared {
    inner: Mutex<Inner>,
    ready: Arc<Mutex<BTreeSet<u64>>>,
}

struct Inner {
    now: Timestamp,
    random: SmallRng,
    next: u64,
    tasks: HashMap<u64, Option<Task>>,
    timers: BTreeMap<(Timestamp, u64), Waker>,
}

/// Why the runtime came to rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rest {
    /// No task can go on and no timer is before the horizon.
    Quiet,
    /// More polls than any session needs.
    Endless,
    /// `until` said so.
    Stopped,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Ring {
    task: u64,
    ready: Arc<Mutex<BTreeSet<u64>>>,
}

impl Wake for Ring {
    fn wake(self: Arc<Self>) {
        lock(&self.ready).insert(self.task);
    }
}

impl Runtime {
    pub fn new(seed: u64, now: Timestamp) -> Self {
        let random = SmallRng::seed_from_u64(seed);
        let inner = Inner { now, random, next: 0, tasks: HashMap::new(), timers: BTreeMap::new() };
        Self(Arc::new(Shared { inner: Mutex::new(inner), ready: Arc::default() }))
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        lock(&self.0.inner)
    }

    /// A number below `bound`, drawn from the seed.
    pub fn below(&self, bound: u64) -> u64 {
        self.inner().random.random_range(0..bound.max(1))
    }

    pub fn start(&self, work: BoxFuture<'static, ()>) -> u64 {
        let mut inner = self.inner();
        inner.next += 1;
        let id = inner.next;
        inner.tasks.insert(id, Some(work));
        lock(&self.0.ready).insert(id);
        id
    }

    /// The process dies: every task is gone at once, wherever it was.
    pub fn kill(&self) {
        let (tasks, timers) = {
            let mut inner = self.inner();
            (std::mem::take(&mut inner.tasks), std::mem::take(&mut inner.timers))
        };
        // Dropping tasks wakes others, which are gone too.
        drop((tasks, timers));
        self.inner().tasks.clear();
        lock(&self.0.ready).clear();
    }

    /// Runs until nothing can go on before `horizon`, or `until` says so after a poll.
    pub fn run(&self, horizon: Timestamp, mut until: impl FnMut() -> bool) -> Rest {
        for _ in 0..200_000 {
            if until() {
                return Rest::Stopped;
            }
            let Some(id) = self.pick() else {
                if !self.advance(horizon) {
                    return Rest::Quiet;
                }
                continue;
            };
            self.poll(id);
        }
        Rest::Endless
    }

    fn pick(&self) -> Option<u64> {
        let mut ready = lock(&self.0.ready);
        if ready.is_empty() {
            return None;
        }
        let index = self.inner().random.random_range(0..ready.len());
        let id = *ready.iter().nth(index)?;
        ready.remove(&id);
        Some(id)
    }

    fn poll(&self, id: u64) {
        let Some(mut task) = self.inner().tasks.get_mut(&id).and_then(Option::take) else { return };
        let waker = Waker::from(Arc::new(Ring { task: id, ready: Arc::clone(&self.0.ready) }));
        let done = task.as_mut().poll(&mut Context::from_waker(&waker)).is_ready();
        let mut inner = self.inner();
        if done {
            inner.tasks.remove(&id);
        } else if let Some(slot) = inner.tasks.get_mut(&id) {
            *slot = Some(task);
        }
    }

    /// Moves the clock to the next timer. `false` when there is none before `horizon`.
    fn advance(&self, horizon: Timestamp) -> bool {
        let mut inner = self.inner();
        let Some((&(at, _), _)) = inner.timers.first_key_value() else { return false };
        if at > horizon {
            return false;
        }
        inner.now = inner.now.max(at);
        let now = inner.now;
        while let Some((&(at, key), _)) = inner.timers.first_key_value() {
            if at > now {
                break;
            }
            if let Some(waker) = inner.timers.remove(&(at, key)) {
                waker.wake();
            }
        }
        true
    }

    /// Lets time pass while nothing runs.
    pub fn skip_to(&self, at: Timestamp) {
        let mut inner = self.inner();
        inner.now = inner.now.max(at);
    }
}

impl Clock for Runtime {
    fn now(&self) -> Timestamp {
        self.inner().now
    }

    fn sleep_until(&self, until: Timestamp) -> BoxFuture<'static, ()> {
        Box::pin(Sleep { runtime: self.clone(), until, key: None })
    }
}

struct Sleep {
    runtime: Runtime,
    until: Timestamp,
    key: Option<u64>,
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let runtime = self.runtime.clone();
        let mut inner = runtime.inner();
        if inner.now >= self.until {
            return Poll::Ready(());
        }
        let key = *self.key.get_or_insert_with(|| {
            inner.next += 1;
            inner.next
        });
        inner.timers.insert((self.until, key), context.waker().clone());
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        if let Some(key) = self.key {
            self.runtime.inner().timers.remove(&(self.until, key));
        }
    }
}

impl Random for Runtime {
    fn fill(&self, bytes: &mut [u8]) {
        self.inner().random.fill_bytes(bytes);
    }
}

impl Tasks for Runtime {
    fn spawn(&self, _name: &'static str, work: BoxFuture<'static, ()>) -> TaskHandle {
        let id = self.start(work);
        let runtime = self.clone();
        TaskHandle::new(move || {
            let task = runtime.inner().tasks.remove(&id);
            drop(task);
        })
    }
}
