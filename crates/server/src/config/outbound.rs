//! `[outbound]`: where URLs may lead that agents and models name.

use super::known::Known::{self, Table, Value};
use bailiwick_outbound::Network;
use serde::{Deserialize, Deserializer, de::Error as _};
use std::path::PathBuf;

/// `[outbound]`
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Outbound {
    /// Blocks of the inside network that agents' own URLs may lead to as well. Connectors that an administrator applied
    /// reach the host that they name without it.
    #[serde(deserialize_with = "networks")]
    pub open: Vec<Network>,
    /// A PEM file of certificates that are trusted beside the machine's.
    pub extra_roots: Option<PathBuf>,
}

pub(super) const OUTBOUND: Known = Table(&[("open", Value), ("extra_roots", Value)]);

fn networks<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Network>, D::Error> {
    let texts = Vec::<String>::deserialize(deserializer)?;
    let read = |text: String| {
        let wrong = |error| D::Error::custom(format!("`{}` is no network: {error}", text.escape_debug()));
        text.parse::<Network>().map_err(wrong)
    };
    texts.into_iter().map(read).collect()
}
