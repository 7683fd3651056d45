//! Accounts that people connect: how somebody signs in at a company's system so that agents may use it in their name.
//!
//! The way has two halves with a browser's journey between them. What lies between is the caller's to keep, sealed and
//! bound to the person; what comes of it goes into that person's own vault.

use crate::{
    people::Author,
    vault::{Credential, VaultError},
};
use async_trait::async_trait;
use bailiwick_types::{Secret, UserId};
use serde_json::Value;
use std::sync::Arc;

/// Where an account is, and how its person comes back from there.
#[derive(Debug, Clone)]
pub struct AccountPlace {
    /// The name of the connector, and of the credential.
    pub connector: String,
    /// The connector's settings, which its room reads.
    pub settings: Value,
    /// Where the browser is sent back to. Of this connector alone, so that an answer of one system is never taken for
    /// that of another.
    pub redirect_uri: String,
    /// Where authorization servers find who we are; `None` where they could not reach it.
    pub document_url: Option<String>,
}

/// A journey that has begun.
#[derive(Debug)]
pub struct Departing {
    /// Where to send the browser.
    pub url: String,
    /// What [`AccountDesk::finish`] needs. Whoever knows it can end the journey.
    pub kept: Secret,
}

#[derive(Debug, thiserror::Error)]
pub enum AccountError {
    /// The person can begin again.
    #[error("{0}")]
    Again(String),
    /// Whoever keeps the connector has to do something.
    #[error("{0}")]
    Misconfigured(String),
    /// The other side breaks the rules, or says no; nothing of what it said was used.
    #[error("{0}")]
    Refused(String),
    /// It may go by itself.
    #[error("{0}")]
    Unavailable(String),
    #[error(transparent)]
    Vault(#[from] VaultError),
}

/// Connects accounts and lets them go. Who may do which is for the caller to ask first.
#[async_trait]
pub trait AccountDesk: Send + Sync {
    /// Who we are to authorization servers (OAuth Client ID Metadata Document), by the connector's own return address.
    fn document(&self, at: &AccountPlace) -> Option<Value>;

    /// The person's account there, if it is connected.
    fn account(&self, author: &Author, person: UserId, at: &AccountPlace) -> Option<Arc<Credential>>;

    /// Asks the system who gives out tokens for it, and makes the link. `author` is the person.
    async fn begin(&self, author: &Author, person: UserId, at: &AccountPlace) -> Result<Departing, AccountError>;

    /// Turns the query that the person came back with into a credential in a vault of theirs. Each journey ends once.
    async fn finish(
        &self,
        author: Author,
        person: UserId,
        at: &AccountPlace,
        kept: &Secret,
        query: &str,
    ) -> Result<Arc<Credential>, AccountError>;

    /// Forgets an account. `true` where its authorization server was told so (RFC 7009).
    async fn remove(&self, author: Author, at: &AccountPlace, account: &Credential) -> Result<bool, AccountError>;
}
