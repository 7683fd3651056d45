//! Access tokens of other systems that are bound to a key of ours (RFC 9449, DPoP): whoever shows one proves, for that one
//! request, that we hold the key. The key stays with whoever made it.

/// The request that a token is shown with.
#[derive(Debug, Clone, Copy)]
pub struct Shown<'a> {
    /// The bare token.
    pub token: &'a str,
    /// `GET`, `POST`.
    pub method: &'a str,
    /// Where it goes; query and fragment are left out of the proof.
    pub url: &'a str,
}

/// Knows which tokens are bound. A token is known here before it is given to anybody who could send it.
pub trait Proofs: Send + Sync {
    /// The value of the header `DPoP`; `None` for a token that is good by itself. The error is for a person to read and
    /// holds no secret.
    fn proof(&self, shown: Shown<'_>) -> Option<Result<String, String>>;

    /// The server at this URL wants this word in the next proof (RFC 9449, section 8).
    fn learn(&self, url: &str, nonce: &str);
}
