//! The one way of a secret out of its vault: against an opened permit that names it.
//!
//! [`Use`] has no public constructor, and only [`Opened::reveal`] makes one, for a credential that the gate wrote into the
//! intent. What was revealed is remembered with the permit, and taken out of whatever comes back when it settles.

use crate::{
    Live, Opened, Scope,
    redaction::{Guarded, Redaction},
};
use async_trait::async_trait;
use bailiwick_types::{ActionId, CredentialId, Secret};
use std::sync::Arc;

/// The right to one secret for one action that is being performed.
#[derive(Debug)]
pub struct Use<'a> {
    scope: &'a Scope,
    action: ActionId,
    credential: CredentialId,
}

impl Use<'_> {
    pub fn scope(&self) -> &Scope {
        self.scope
    }

    pub fn action(&self) -> ActionId {
        self.action
    }

    pub fn credential(&self) -> CredentialId {
        self.credential
    }
}

/// Why a secret could not be revealed. Never holds any part of one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RevealError {
    #[error("this action was not allowed to use the credential {0}")]
    NotNamed(CredentialId),
    #[error("the credential {0} was deleted")]
    Gone(CredentialId),
    #[error("the token of the credential {0} has expired and is not renewed: connect it again, or give it a new token")]
    Expired(CredentialId),
    /// The text says why, and what the person can do.
    #[error("the credential {0}: {1}")]
    NoAccess(CredentialId, String),
    #[error("the vault cannot be read now: {0}")]
    Unavailable(String),
}

/// Keeps secrets and reveals them to hands.
#[async_trait]
pub trait Vault: Send + Sync {
    /// What is sent: the bearer token, the access token, the variable's value.
    async fn reveal(&self, right: Use<'_>) -> Result<Secret, RevealError>;
}

impl Opened {
    /// The secrets that this action may use, as its receipt names them.
    pub fn credentials(&self) -> &[CredentialId] {
        &self.grant().credentials
    }

    /// The secret itself, for the one call that needs it.
    pub async fn reveal(&mut self, vault: &dyn Vault, credential: CredentialId) -> Result<Secret, RevealError> {
        let grant = self.grant();
        if !grant.credentials.contains(&credential) {
            return Err(RevealError::NotNamed(credential));
        }
        let secret = vault.reveal(Use { scope: &grant.scope, action: grant.id, credential }).await?;
        self.grant_mut().revealed.push(secret.clone());
        Ok(secret)
    }

    /// The same line, with everything that was revealed so far taken out of what goes over it.
    pub fn guarded(&self, live: &Live) -> Live {
        let redaction = Redaction::new(&self.grant().revealed);
        if redaction.is_empty() {
            return live.clone();
        }
        let guarded = Arc::new(Guarded::new(redaction, live.clone()));
        live.through(move |delta| guarded.emit(delta))
    }
}
