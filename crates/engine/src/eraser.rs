//! What takes content away: the erasure of a person, and retention. One task does both, a step at a time, and what it
//! had not done when it was broken off it does again.

use crate::Handle;
use bailiwick_gate::Holds;
use bailiwick_ports::{Administration, Auditor, ErasureList, VaultDesk, memory::MemoryDesk};
use bailiwick_types::{Millis, SessionId, TenantId, Timestamp, UserId};
use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::sync::Notify;

/// How long the next step of an erasure waits for sessions to end.
const STEP: Millis = Millis(100);
/// How often it looks whether a hold was lifted, or a fault has gone.
const LOOK: Millis = Millis::from_secs(10);
/// How often sessions that are too old are looked for.
const RETENTION_EVERY: Millis = Millis::from_secs(3600);

/// What content is taken away with, and when.
pub struct EraserOptions {
    pub handle: Handle,
    pub holds: Arc<Holds>,
    pub administration: Arc<dyn Administration>,
    /// Brings the receipt log up to date before anything becomes unreadable.
    pub auditor: Arc<dyn Auditor>,
    /// From which a person's own vaults are removed.
    pub vaults: Arc<dyn VaultDesk>,
    /// From which is removed what is remembered for a person.
    pub memories: Arc<dyn MemoryDesk>,
    /// Where restores of older backups do not reach.
    pub list: Option<Arc<dyn ErasureList>>,
    /// How long a session's content is kept after its last record; `None` is for ever.
    pub keep_sessions: Option<Millis>,
}

/// Takes content away. Clones share it.
#[derive(Clone)]
pub struct Eraser(pub(crate) Arc<Parts>);

pub(crate) struct Parts {
    pub options: EraserOptions,
    pub handle: Handle,
    pub holds: Arc<Holds>,
    pub bell: Notify,
    /// Whoever decides that something is destroyed holds it, so that a hold is not overtaken.
    pub deciding: tokio::sync::Mutex<()>,
    /// Since when sessions of whom are being ended.
    waiting: Mutex<HashMap<(TenantId, UserId), Timestamp>>,
    /// Sessions that were told to end.
    told: Mutex<HashSet<(TenantId, SessionId)>>,
}

impl Parts {
    pub fn waiting(&self) -> MutexGuard<'_, HashMap<(TenantId, UserId), Timestamp>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn told(&self) -> MutexGuard<'_, HashSet<(TenantId, SessionId)>> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl EraserOptions {
    pub fn build(self) -> Eraser {
        let (handle, holds) = (self.handle.clone(), Arc::clone(&self.holds));
        let (waiting, told) = Default::default();
        let (bell, deciding) = (Notify::new(), tokio::sync::Mutex::new(()));
        Eraser(Arc::new(Parts { options: self, handle, holds, bell, deciding, waiting, told }))
    }
}

impl Eraser {
    pub fn holds(&self) -> &Holds {
        &self.0.holds
    }

    /// Nothing is destroyed between looking for a hold and this hold being there.
    pub async fn deciding(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.0.deciding.lock().await
    }

    /// Goes on with what was begun, erases again what a backup brought back, and then does what is ordered and what is
    /// due. Never ends by itself.
    pub async fn run(&self) {
        let clock = &self.0.handle.options().clock;
        while let Err(error) = self.replay().await {
            tracing::error!(%error, "the list of erasures could not be gone through; it is tried again");
            clock.sleep_until(clock.now() + LOOK).await;
        }
        let mut next_retention = clock.now();
        loop {
            let wait = match self.work().await {
                Ok(true) => LOOK,
                Ok(false) => STEP,
                Err(error) => {
                    tracing::error!(%error, "an erasure could not go on; it is tried again");
                    LOOK
                }
            };
            if clock.now() >= next_retention {
                if let Err(error) = self.let_go().await {
                    tracing::error!(%error, "old sessions could not be let go");
                }
                next_retention = clock.now() + RETENTION_EVERY;
            }
            tokio::select! {
                biased;
                () = self.0.bell.notified() => {}
                () = clock.sleep_until(clock.now() + wait) => {}
            }
        }
    }
}
