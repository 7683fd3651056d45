//! URLs as text in kept data.

use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};
use url::Url;

pub(crate) fn serialize<S: Serializer>(url: &Url, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(url.as_str())
}

pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Url, D::Error> {
    let text = String::deserialize(deserializer)?;
    Url::parse(&text).map_err(|error| D::Error::custom(format!("`{text}` is not a URL: {error}")))
}
