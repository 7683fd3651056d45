//! Public keys of whoever signs tokens (RFC 7517).

use super::{Algorithm, TokenError};
use aws_lc_rs::signature::{self, RsaParameters, RsaPublicKeyComponents, UnparsedPublicKey};
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use serde::Deserialize;

/// Keys of one set that are looked at.
const MAX_KEYS: usize = 100;

/// The keys of one signer.
#[derive(Debug, Clone, Default)]
pub(crate) struct KeySet(Vec<Key>);

#[derive(Debug, Clone)]
struct Key {
    kid: Option<String>,
    /// The one algorithm that it is for, if it says.
    algorithm: Option<Algorithm>,
    material: Material,
}

#[derive(Debug, Clone)]
enum Material {
    Rsa {
        n: Vec<u8>,
        e: Vec<u8>,
    },
    /// An uncompressed point.
    P256(Vec<u8>),
    P384(Vec<u8>),
    Ed25519(Vec<u8>),
}

#[derive(Deserialize)]
struct Document {
    keys: Vec<serde_json::Value>,
}

#[derive(Deserialize)]
struct Jwk {
    kty: String,
    #[serde(default)]
    r#use: Option<String>,
    #[serde(default)]
    alg: Option<String>,
    #[serde(default)]
    kid: Option<String>,
    #[serde(default)]
    crv: Option<String>,
    #[serde(default)]
    n: String,
    #[serde(default)]
    e: String,
    #[serde(default)]
    x: String,
    #[serde(default)]
    y: String,
}

impl KeySet {
    /// Reads a set. Keys that are for something else, or of a kind that is not taken, are left out.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let document: Document = serde_json::from_slice(bytes).ok()?;
        Some(Self(document.keys.into_iter().take(MAX_KEYS).filter_map(key).collect()))
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether a key of this name is in it; without a name, whether any fits the algorithm.
    pub fn knows(&self, algorithm: Algorithm, kid: Option<&str>) -> bool {
        self.candidates(algorithm, kid).next().is_some()
    }

    fn candidates<'a>(&'a self, algorithm: Algorithm, kid: Option<&'a str>) -> impl Iterator<Item = &'a Key> {
        self.0.iter().filter(move |key| key.fits(algorithm) && kid.is_none_or(|kid| key.kid.as_deref() == Some(kid)))
    }

    pub(super) fn verify(
        &self,
        algorithm: Algorithm,
        kid: Option<&str>,
        signed: &[u8],
        signature: &[u8],
    ) -> Result<(), TokenError> {
        let mut candidates = self.candidates(algorithm, kid);
        let key = candidates.next().ok_or(TokenError::UnknownKey)?;
        // Which of several is meant must not be guessed.
        if candidates.next().is_some() {
            return Err(TokenError::UnknownKey);
        }
        if key.material.verifies(algorithm, signed, signature) { Ok(()) } else { Err(TokenError::Signature) }
    }
}

impl Key {
    fn fits(&self, algorithm: Algorithm) -> bool {
        use Algorithm::{EdDsa, Es256, Es384};
        let kind = match &self.material {
            Material::Rsa { .. } => !matches!(algorithm, Es256 | Es384 | EdDsa),
            Material::P256(_) => algorithm == Es256,
            Material::P384(_) => algorithm == Es384,
            Material::Ed25519(_) => algorithm == EdDsa,
        };
        kind && self.algorithm.is_none_or(|own| own == algorithm)
    }
}

impl Material {
    fn verifies(&self, algorithm: Algorithm, signed: &[u8], signature: &[u8]) -> bool {
        let plain = |kind: &'static dyn signature::VerificationAlgorithm, key: &[u8]| {
            UnparsedPublicKey::new(kind, key).verify(signed, signature).is_ok()
        };
        match self {
            Self::Rsa { n, e } => match rsa(algorithm) {
                Some(kind) => RsaPublicKeyComponents { n, e }.verify(kind, signed, signature).is_ok(),
                None => false,
            },
            Self::P256(point) => plain(&signature::ECDSA_P256_SHA256_FIXED, point),
            Self::P384(point) => plain(&signature::ECDSA_P384_SHA384_FIXED, point),
            Self::Ed25519(key) => plain(&signature::ED25519, key),
        }
    }
}

fn rsa(algorithm: Algorithm) -> Option<&'static RsaParameters> {
    Some(match algorithm {
        Algorithm::Rs256 => &signature::RSA_PKCS1_2048_8192_SHA256,
        Algorithm::Rs384 => &signature::RSA_PKCS1_2048_8192_SHA384,
        Algorithm::Rs512 => &signature::RSA_PKCS1_2048_8192_SHA512,
        Algorithm::Ps256 => &signature::RSA_PSS_2048_8192_SHA256,
        Algorithm::Ps384 => &signature::RSA_PSS_2048_8192_SHA384,
        Algorithm::Ps512 => &signature::RSA_PSS_2048_8192_SHA512,
        Algorithm::Es256 | Algorithm::Es384 | Algorithm::EdDsa => return None,
    })
}

fn key(value: serde_json::Value) -> Option<Key> {
    let jwk: Jwk = serde_json::from_value(value).ok()?;
    if jwk.r#use.as_deref().is_some_and(|purpose| purpose != "sig") {
        return None;
    }
    let algorithm = match &jwk.alg {
        Some(name) => Some(Algorithm::read(name)?),
        None => None,
    };
    let bytes = |text: &str| BASE64_URL_SAFE_NO_PAD.decode(text).ok().filter(|bytes| !bytes.is_empty());
    let point = |length: usize| {
        let (x, y) = (bytes(&jwk.x)?, bytes(&jwk.y)?);
        (x.len() == length && y.len() == length).then(|| [&[4], &x[..], &y[..]].concat())
    };
    let material = match (jwk.kty.as_str(), jwk.crv.as_deref()) {
        ("RSA", _) => Material::Rsa { n: bytes(&jwk.n)?, e: bytes(&jwk.e)? },
        ("EC", Some("P-256")) => Material::P256(point(32)?),
        ("EC", Some("P-384")) => Material::P384(point(48)?),
        ("OKP", Some("Ed25519")) => Material::Ed25519(bytes(&jwk.x)?),
        _ => return None,
    };
    Some(Key { kid: jwk.kid, algorithm, material })
}
