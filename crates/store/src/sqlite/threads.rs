//! On which thread the database is used: on the caller's own.
//!
//! A commit or a look at a few rows is shorter than waking another thread and being woken by it. What may take long is
//! done [`apart`], so that the tasks which share the thread go on elsewhere.

use tokio::runtime::{Handle, RuntimeFlavor};

/// Does what may take long where it keeps no other task waiting. A runtime of one thread has no such place.
pub fn apart<T>(work: impl FnOnce() -> T) -> T {
    match Handle::try_current().map(|runtime| runtime.runtime_flavor()) {
        Ok(RuntimeFlavor::MultiThread) => tokio::task::block_in_place(work),
        _ => work(),
    }
}
