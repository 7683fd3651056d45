//! The keys with which tokens are signed: Ed25519, sealed at rest under the tenant's key.

use super::unavailable;
use crate::{jwt::KeySet, roster::Roster};
use aws_lc_rs::{
    digest::{SHA256, digest},
    signature::{Ed25519KeyPair, KeyPair as _},
};
use bailiwick_ports::{
    Change, DocumentWrite,
    store::{Document, DocumentKind},
    tokens::TokenError,
};
use bailiwick_types::{KeyId, Principal, Secret, TenantId, Timestamp};
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use zeroize::Zeroizing;

const SEED_BYTES: usize = 32;

/// The sealed body of a signing key's document.
#[derive(Serialize, Deserialize)]
struct Body {
    /// In base 64.
    seed: String,
}

pub(super) struct IssuerKey {
    kid: String,
    pair: Ed25519KeyPair,
    created: Timestamp,
}

/// All keys whose tokens may still be about.
pub(super) struct IssuerKeys {
    /// Oldest first; never empty.
    keys: Vec<IssuerKey>,
    set: KeySet,
}

impl IssuerKeys {
    pub async fn load(tenant: TenantId, roster: &Roster) -> Result<Self, TokenError> {
        let mut keys = Vec::new();
        for document in roster.documents.sealed(tenant, DocumentKind::SigningKey).await.map_err(unavailable)? {
            let body: Body = roster.documents.unseal(tenant, &document).await.map_err(unavailable)?;
            keys.push(IssuerKey::read(&body, document.created)?);
        }
        if keys.is_empty() {
            keys.push(make(tenant, roster).await?);
        }
        keys.sort_by_key(|key| key.created);
        let document = json!({"keys": keys.iter().map(IssuerKey::public).collect::<Vec<_>>()});
        let set = KeySet::read(document.to_string().as_bytes()).unwrap_or_default();
        Ok(Self { keys, set })
    }

    pub fn newest(&self) -> &IssuerKey {
        // INVARIANT: `load` makes a key where there is none.
        self.keys.last().expect("there is a key")
    }

    pub fn all(&self) -> &[IssuerKey] {
        &self.keys
    }

    pub fn set(&self) -> &KeySet {
        &self.set
    }
}

async fn make(tenant: TenantId, roster: &Roster) -> Result<IssuerKey, TokenError> {
    let mut seed = Zeroizing::new([0; SEED_BYTES]);
    roster.random.fill(seed.as_mut());
    let now = roster.clock.now();
    let body = Body { seed: BASE64_URL_SAFE_NO_PAD.encode(seed.as_ref()) };
    let key = IssuerKey::read(&body, now)?;
    let (kind, id) = (DocumentKind::SigningKey, KeyId::new(now, roster.random.id_bytes()));
    let sealed = roster.documents.seal(tenant, (kind, id.to_u128(), 1), &body).await.map_err(unavailable)?;
    let document = Document { kind, id: id.to_u128(), version: 1, created: now, updated: now, handle: None, sealed };
    let change = Change {
        tenant,
        by: Principal::Operator,
        kind: "signing_key.created".into(),
        target: id.to_string(),
        reason: Some("tokens are signed with it".into()),
        details: json!({"kid": key.kid}),
        documents: vec![DocumentWrite::Put(document)],
    };
    roster.documents.administration.change(change).await.map_err(unavailable)?;
    Ok(key)
}

impl IssuerKey {
    fn read(body: &Body, created: Timestamp) -> Result<Self, TokenError> {
        let seed = BASE64_URL_SAFE_NO_PAD.decode(&body.seed).map(Zeroizing::new).map_err(unavailable)?;
        let pair = Ed25519KeyPair::from_seed_unchecked(&seed).map_err(unavailable)?;
        let kid = BASE64_URL_SAFE_NO_PAD.encode(&digest(&SHA256, pair.public_key().as_ref()).as_ref()[..16]);
        Ok(Self { kid, pair, created })
    }

    /// RFC 8037.
    pub fn public(&self) -> Value {
        let x = BASE64_URL_SAFE_NO_PAD.encode(self.pair.public_key().as_ref());
        json!({"kty": "OKP", "crv": "Ed25519", "use": "sig", "alg": "EdDSA", "kid": self.kid, "x": x})
    }

    pub fn sign(&self, typ: &str, claims: &impl Serialize) -> Result<Secret, TokenError> {
        let header = json!({"alg": "EdDSA", "typ": typ, "kid": self.kid}).to_string();
        let claims = serde_json::to_vec(claims).map_err(unavailable)?;
        let signed = format!("{}.{}", BASE64_URL_SAFE_NO_PAD.encode(header), BASE64_URL_SAFE_NO_PAD.encode(claims));
        let signature = BASE64_URL_SAFE_NO_PAD.encode(self.pair.sign(signed.as_bytes()).as_ref());
        Ok(Secret::new(format!("{signed}.{signature}")))
    }
}
