//! Who somebody is, and what keeps data unreadable without a key: encryption at rest, API keys and access keys.
//!
//! Secrets leave this room once, when they are made. They are never stored in the clear, logged, or part of an error.

mod key_file;
mod random;
mod sealing;

pub use key_file::{FileKek, KeyFileError};
pub use random::OsRandom;
pub use sealing::{KeyEncryption, Sealing};
