//! What changes the tokens that we issue, and how a command line gets its sign-in. All of it is ours.

use serde::Deserialize;
use utoipa::ToSchema;

#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RotateSigningKeyParam {
    /// Destroys the key before at once, and ends every token that it signed. For a key that somebody else may have.
    pub end_tokens: bool,
    /// Why, for the record; else the header `Bailiwick-Reason`.
    pub reason: Option<String>,
}

#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RedeemParam {
    /// As the browser brought it.
    pub code: String,
    /// What the challenge was made of (RFC 7636).
    pub code_verifier: String,
}
