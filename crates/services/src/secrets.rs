//! The secrets of one call, as they were taken out of a vault for it.

use bailiwick_types::Secret;
use std::collections::BTreeMap;

/// What is sent for which security scheme. It prints no secret.
#[derive(Debug, Clone, Default)]
pub enum Secrets {
    #[default]
    None,
    /// For whichever scheme an operation wants, as long as it wants one.
    One(Secret),
    /// By the scheme's name in the document.
    Named(BTreeMap<String, Secret>),
}

impl Secrets {
    /// The secret for a scheme of this name, `alone` where the operation wants no other beside it.
    pub(crate) fn of(&self, scheme: &str, alone: bool) -> Option<&Secret> {
        match self {
            Self::None => None,
            Self::One(secret) => alone.then_some(secret),
            Self::Named(secrets) => secrets.get(scheme),
        }
    }
}
