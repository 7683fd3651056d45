//! What the configuration says of prices: `[models.NAME.prices]`, as decimal text, so that no amount is ever rounded.

use bailiwick_core::budget::MAX_PRICE;
use bailiwick_ports::Prices;
use bailiwick_types::Money;
use serde::{Deserialize, Deserializer, de::Error};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Text {
    version: u32,
    input: String,
    #[serde(default)]
    cached_input: Option<String>,
    output: String,
}

/// Reads a table of prices, each of a million tokens.
pub(crate) fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Prices>, D::Error> {
    let text = Text::deserialize(deserializer)?;
    if text.version == 0 {
        return Err(D::Error::custom("`version` counts from 1: raise it with every change of a price"));
    }
    let amount = |field: &str, text: &str| match text.parse::<Money>() {
        Ok(price) if price <= MAX_PRICE => Ok(price),
        Ok(_) => Err(D::Error::custom(format!("`{field}` must not be above {MAX_PRICE}"))),
        Err(error) => Err(D::Error::custom(format!("`{field}`: {error}"))),
    };
    Ok(Some(Prices {
        version: text.version,
        input: amount("input", &text.input)?,
        cached_input: text.cached_input.map(|text| amount("cached_input", &text)).transpose()?,
        output: amount("output", &text.output)?,
    }))
}
