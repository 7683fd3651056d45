//! Signed JSON Web Tokens (RFC 7515, 7517, 7518, 7519), as narrow as they can be.
//!
//! The algorithms are a fixed list of signatures with public keys; `none` and keyed hashes are not in it. Keys come from
//! where the caller says and never from the token: a header that names a key or a place of one is refused.

mod keys;
mod proof;

pub(crate) use keys::KeySet;
pub(crate) use proof::{About, Proof};

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use serde::{Deserialize, Deserializer, de::DeserializeOwned};

/// Longest token that is read.
pub(crate) const MAX_TOKEN: usize = 64 * 1024;
const MAX_KID: usize = 256;

/// Signatures that are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Algorithm {
    Rs256,
    Rs384,
    Rs512,
    Ps256,
    Ps384,
    Ps512,
    Es256,
    Es384,
    EdDsa,
}

impl Algorithm {
    const ALL: [(&'static str, Self); 10] = [
        ("RS256", Self::Rs256),
        ("RS384", Self::Rs384),
        ("RS512", Self::Rs512),
        ("PS256", Self::Ps256),
        ("PS384", Self::Ps384),
        ("PS512", Self::Ps512),
        ("ES256", Self::Es256),
        ("ES384", Self::Es384),
        ("EdDSA", Self::EdDsa),
        // RFC 9864.
        ("Ed25519", Self::EdDsa),
    ];

    pub fn names() -> [&'static str; 10] {
        Self::ALL.map(|(name, _)| name)
    }

    pub fn read(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(known, _)| *known == name).map(|(_, algorithm)| *algorithm)
    }
}

/// Why a token proves nothing. Texts hold nothing of the token but bounded, printable words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TokenError {
    #[error("it is no signed token")]
    Malformed,
    #[error("its algorithm is not one that is taken here")]
    Algorithm,
    #[error("its header names a key of its own (`{0}`), which is never taken")]
    OwnKey(&'static str),
    #[error("its header wants something understood that is not (`crit`)")]
    Critical,
    #[error("it is signed with a key that is not known here")]
    UnknownKey,
    #[error("its signature is wrong")]
    Signature,
    #[error("its type is not the wanted one")]
    Type,
    #[error("its claims cannot be read: {0}")]
    Claims(String),
}

/// What a token says of how it is signed.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Header {
    alg: String,
    #[serde(default)]
    pub kid: Option<String>,
    #[serde(default)]
    pub typ: Option<String>,
    #[serde(default)]
    jku: Present,
    #[serde(default)]
    jwk: Present,
    #[serde(default)]
    x5u: Present,
    #[serde(default)]
    x5c: Present,
    #[serde(default)]
    crit: Present,
}

/// Whether something is there, whatever it is.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Present(bool);

impl Present {
    pub fn is_there(self) -> bool {
        self.0
    }
}

impl<'de> Deserialize<'de> for Present {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        serde::de::IgnoredAny::deserialize(deserializer).map(|_| Self(true))
    }
}

/// A token that was taken apart and not believed yet.
pub(crate) struct Unverified<'a> {
    pub header: Header,
    pub algorithm: Algorithm,
    signed: &'a str,
    payload: Vec<u8>,
    signature: Vec<u8>,
}

impl<'a> Unverified<'a> {
    /// Reads a token's shape and refuses what no key could make good.
    pub fn read(token: &'a str) -> Result<Self, TokenError> {
        if token.len() > MAX_TOKEN {
            return Err(TokenError::Malformed);
        }
        let (signed, signature) = token.rsplit_once('.').ok_or(TokenError::Malformed)?;
        let (header, payload) = signed.split_once('.').ok_or(TokenError::Malformed)?;
        let decode = |text: &str| BASE64_URL_SAFE_NO_PAD.decode(text).map_err(|_| TokenError::Malformed);
        let header: Header = serde_json::from_slice(&decode(header)?).map_err(|_| TokenError::Malformed)?;
        let payload = decode(payload)?;
        for (name, present) in [("jku", header.jku), ("jwk", header.jwk), ("x5u", header.x5u), ("x5c", header.x5c)] {
            if present.0 {
                return Err(TokenError::OwnKey(name));
            }
        }
        if header.crit.0 {
            return Err(TokenError::Critical);
        }
        if header.kid.as_ref().is_some_and(|kid| kid.len() > MAX_KID) {
            return Err(TokenError::Malformed);
        }
        let algorithm = Algorithm::read(&header.alg).ok_or(TokenError::Algorithm)?;
        Ok(Self { header, algorithm, signed, payload, signature: decode(signature)? })
    }

    /// Who claims to have made it. Good for nothing but to know whose keys have to prove it.
    pub fn issuer(&self) -> Option<String> {
        #[derive(Deserialize)]
        struct Claimed {
            iss: String,
        }
        serde_json::from_slice::<Claimed>(&self.payload).ok().map(|claimed| claimed.iss)
    }

    /// The claims, once one of the keys has proven them.
    pub fn verify<C: DeserializeOwned>(&self, keys: &KeySet) -> Result<C, TokenError> {
        keys.verify(self.algorithm, self.header.kid.as_deref(), self.signed.as_bytes(), &self.signature)?;
        serde_json::from_slice(&self.payload).map_err(|error| {
            TokenError::Claims(error.to_string().chars().take(200).flat_map(char::escape_debug).collect())
        })
    }
}

/// `aud`: one or several.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(untagged)]
pub(crate) enum Audience {
    One(String),
    Several(Vec<String>),
}

impl Audience {
    pub fn names(&self, wanted: &str) -> bool {
        match self {
            Self::One(one) => one == wanted,
            Self::Several(several) => several.iter().any(|one| one == wanted),
        }
    }

    pub fn count(&self) -> usize {
        match self {
            Self::One(_) => 1,
            Self::Several(several) => several.len(),
        }
    }
}
