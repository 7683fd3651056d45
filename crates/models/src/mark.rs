//! Whom a provider is told that it works for: the mark in `User-Agent` (RFC 9110, section 10.1.5) of each model call.
//!
//! It never holds a name or an address: ids alone, which say something only to whoever may ask this server.

use bailiwick_types::{Mark, Principal};
use serde::Deserialize;

const PRODUCT: &str = concat!("bailiwick/", env!("CARGO_PKG_VERSION"));

/// How much of the mark a provider sees.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Told {
    /// The product, the agent, and the opaque id of whom it works for.
    #[default]
    Person,
    /// The product and the agent.
    Agent,
    /// The product alone.
    Product,
}

impl Told {
    pub(crate) fn user_agent(self, by: &Principal) -> String {
        match (self, Mark(by).agent()) {
            (Self::Person, _) => format!("{PRODUCT} ({by})"),
            (Self::Agent, Some(agent)) => format!("{PRODUCT} ({agent})"),
            (Self::Agent | Self::Product, _) => PRODUCT.to_owned(),
        }
    }
}
