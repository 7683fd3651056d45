//! Random bytes from the operating system.

use aws_lc_rs::rand;
use bailiwick_ports::Random;

/// The operating system's generator, through the cryptographic library's own (reseeded from it).
#[derive(Debug, Clone, Copy, Default)]
pub struct OsRandom;

impl Random for OsRandom {
    fn fill(&self, bytes: &mut [u8]) {
        // INVARIANT: the library aborts the process itself when the system has no entropy; it returns no error.
        #[allow(clippy::disallowed_methods, reason = "this is the one place")]
        rand::fill(bytes).expect("the system gives random bytes");
    }
}
