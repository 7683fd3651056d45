//! Who somebody is, and what keeps data unreadable without a key: encryption at rest, API keys and access keys,
//! the directory of people, teams and who answers for agents, and how people sign in.
//!
//! Secrets leave this room once, when they are made. They are never stored in the clear, logged, or part of an error.

mod access_key;
mod api_key;
mod assertion_grant;
mod attempts;
mod cache;
mod credentials;
mod desk;
mod documents;
mod dpop;
mod hex;
mod jwt;
mod key_file;
mod key_words;
mod log_key;
mod oauth;
mod once;
mod passwords;
mod pkce;
mod random;
mod reception;
mod revoked;
mod roster;
mod rotation;
mod scope;
mod sealing;
mod shelves;
mod sign_in;
mod sigv4;
mod tenants;
mod tokens;
mod unbroken;
mod vaults;
mod web;
mod webhook;

pub use access_key::{AccessKey, NewAccessKey};
pub use api_key::{ApiKey, NewApiKey};
pub use assertion_grant::{AccessError, AccessRequest, AssertionGrants, ResourceClient};
pub use credentials::{Bootstrapped, CredentialError, Credentials};
pub use dpop::ProofKeys;
pub use key_file::{FileKek, KeyFileError};
pub use key_words::KeyWordsError;
pub use log_key::LogKeys;
pub use passwords::PasswordCost;
pub use pkce::Pkce;
pub use random::OsRandom;
pub use reception::Reception;
pub use roster::Roster;
pub use rotation::{GivenKeys, KeyFile, KeyRing, KeySource, Rotation, RotationError, RotationOptions};
pub use scope::{UnknownScope, parse_scope, parse_scopes};
pub use sealing::{KeyEncryption, Sealing};
pub use sign_in::{Lives, Mapping, Provider, ProviderError, ProviderOptions, SignInOptions, SignIns};
pub use tokens::{Issuer, TokenOptions};
pub use vaults::Strongroom;
pub use web::{Web, WebAnswer, WebRequest};
pub use webhook::webhook_signature;
