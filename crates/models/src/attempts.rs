//! What the attempts of one call may have to be paid for.
//!
//! A call may be cut off at any await, by a cancel or a time-out; so what is known is kept beside it and not in it.

use bailiwick_core::Lost;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The attempts of one call so far.
#[derive(Debug, Default)]
pub(crate) struct Attempts(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    /// Whether any attempt was begun: a provider that begins none does not count.
    begun: bool,
    lost: Lost,
    /// The attempt under way, with the bytes of its answer that came so far; `None` while nothing was heard.
    running: Option<Option<u64>>,
}

impl Known {
    fn close(&mut self) {
        match self.running.take() {
            None => {}
            Some(None) => self.lost.unheard = self.lost.unheard.saturating_add(1),
            // A token of text is at least one byte.
            Some(Some(bytes)) => {
                self.lost.heard = self.lost.heard.saturating_add(1);
                self.lost.output_tokens = self.lost.output_tokens.saturating_add(bytes);
            }
        }
    }
}

impl Attempts {
    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A request is about to be sent.
    pub(crate) fn begin(&self) {
        let mut known = self.known();
        known.begun = true;
        known.running = Some(None);
    }

    /// So many bytes more of an answer came; none, when the provider said that there is no answer.
    pub(crate) fn heard(&self, bytes: usize) {
        if let Some(running) = &mut self.known().running {
            *running = Some(running.unwrap_or_default().saturating_add(bytes as u64));
        }
    }

    pub(crate) fn has_heard(&self) -> bool {
        matches!(self.known().running, Some(Some(bytes)) if bytes > 0)
    }

    /// The attempt never reached the provider, was refused by it, or was answered in full: it is none that broke.
    pub(crate) fn forget(&self) {
        self.known().running = None;
    }

    /// The attempt broke. Gives how many did so far.
    pub(crate) fn broke(&self) -> u32 {
        let mut known = self.known();
        known.close();
        known.lost.attempts()
    }

    /// Everything that broke, the attempt under way included; `None` where nobody counted.
    pub(crate) fn account(&self) -> Option<Lost> {
        let mut known = self.known();
        known.close();
        known.begun.then_some(known.lost)
    }
}
