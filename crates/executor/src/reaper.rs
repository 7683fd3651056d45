//! Waits for children. As the first process of a pid namespace the executor inherits every orphan in it, so one thread
//! reaps whatever ends, and tells the owners of those that were started here.

use rustix::{
    io::Errno,
    process::{WaitId, WaitIdOptions, WaitOptions},
};
use std::{
    collections::HashMap,
    io,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
};
use tokio::sync::oneshot;

/// The exit code of an ended process: 128 and the signal's number when a signal ended it.
type ExitCode = i32;

/// Starts children, and hands out how they end.
#[derive(Debug, Clone)]
pub struct Reaper(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    // Held over every spawn, so that the thread cannot reap a child before its owner has registered it, nor take the
    // place of the standard library, which waits by itself for a child whose exec failed.
    owners: Mutex<HashMap<i32, oneshot::Sender<ExitCode>>>,
    spawned: Condvar,
}

/// The process's one reaper: two would take each other's children. Starts its thread when it is first asked for.
pub fn start() -> io::Result<Reaper> {
    static REAPER: Mutex<Option<Reaper>> = Mutex::new(None);
    let mut started = lock(&REAPER);
    if let Some(reaper) = &*started {
        return Ok(reaper.clone());
    }
    let shared = Arc::new(Shared::default());
    let reaper = Reaper(Arc::clone(&shared));
    std::thread::Builder::new().name("reaper".into()).stack_size(128 * 1024).spawn(move || reap(&shared))?;
    *started = Some(reaper.clone());
    Ok(reaper)
}

impl Reaper {
    /// Runs `spawn`, which starts one child and says its pid, and gives back what it gave and a future for the
    /// child's exit code.
    pub fn spawn<T>(
        &self,
        spawn: impl FnOnce() -> io::Result<(i32, T)>,
    ) -> io::Result<(i32, T, oneshot::Receiver<ExitCode>)> {
        let mut owners = lock(&self.0.owners);
        let (pid, value) = spawn()?;
        let (sender, receiver) = oneshot::channel();
        owners.insert(pid, sender);
        self.0.spawned.notify_all();
        Ok((pid, value, receiver))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn reap(shared: &Shared) {
    loop {
        // Only looks: the child stays a zombie until the lock says that its owner is known.
        let seen = rustix::process::waitid(WaitId::All, WaitIdOptions::EXITED | WaitIdOptions::NOWAIT);
        let mut owners = lock(&shared.owners);
        match seen {
            Ok(_) => reap_ended(&mut owners),
            Err(Errno::INTR) => {}
            // No child, so no descendant either: sleep until the next spawn.
            Err(_) if owners.is_empty() => {
                drop(shared.spawned.wait(owners).unwrap_or_else(PoisonError::into_inner));
            }
            Err(_) => {}
        }
    }
}

fn reap_ended(owners: &mut HashMap<i32, oneshot::Sender<ExitCode>>) {
    while let Ok(Some((pid, status))) = rustix::process::wait(WaitOptions::NOHANG) {
        let code = match (status.exit_status(), status.terminating_signal()) {
            (Some(code), _) => code,
            (None, Some(signal)) => 128 + signal,
            (None, None) => continue,
        };
        if let Some(owner) = owners.remove(&pid.as_raw_nonzero().get()) {
            let _ = owner.send(code);
        }
    }
}
