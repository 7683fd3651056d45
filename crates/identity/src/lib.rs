//! Who somebody is, and what keeps data unreadable without a key: encryption at rest, API keys and access keys.
//!
//! Secrets leave this room once, when they are made. They are never stored in the clear, logged, or part of an error.

mod access_key;
mod api_key;
mod cache;
mod credentials;
mod desk;
mod documents;
mod hex;
mod key_file;
mod random;
mod scope;
mod sealing;
mod sigv4;

pub use access_key::{AccessKey, NewAccessKey};
pub use api_key::{ApiKey, NewApiKey};
pub use credentials::{Bootstrapped, CredentialError, Credentials};
pub use key_file::{FileKek, KeyFileError};
pub use random::OsRandom;
pub use scope::{UnknownScope, parse_scope, parse_scopes};
pub use sealing::{KeyEncryption, Sealing};
