//! The keys with which tokens are signed: Ed25519, sealed at rest under the tenant's key.
//!
//! One signs; those before it only prove what they signed, until the last of it has expired. Then they are destroyed.

use super::{LIFE, unavailable};
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
use bailiwick_types::{KeyId, Millis, Principal, Secret, TenantId, Timestamp};
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::sync::Arc;
use zeroize::Zeroizing;

const SEED_BYTES: usize = 32;
/// After its last token has expired, by as much as clocks may differ.
const KEPT: Millis = Millis(LIFE.0 + 60_000);
const KIND: DocumentKind = DocumentKind::SigningKey;

/// The sealed body of a signing key's document.
#[derive(Clone, Serialize, Deserialize)]
struct Body {
    /// In base 64.
    seed: String,
    /// When another took its place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    retired: Option<Timestamp>,
}

#[derive(Clone)]
pub(super) struct IssuerKey {
    kid: String,
    pair: Arc<Ed25519KeyPair>,
    document: Document,
    body: Body,
}

/// All keys whose tokens may still be about.
pub(super) struct IssuerKeys {
    signing: IssuerKey,
    retired: Vec<IssuerKey>,
    set: KeySet,
}

/// How one key follows another.
pub(super) struct Succession {
    pub by: Principal,
    pub reason: String,
    /// What the key before signed is over at once.
    pub at_once: bool,
}

impl IssuerKeys {
    pub async fn load(tenant: TenantId, roster: &Roster) -> Result<Self, TokenError> {
        let (mut signing, mut retired) = (Vec::new(), Vec::new());
        for document in roster.documents.sealed(tenant, KIND).await.map_err(unavailable)? {
            let body: Body = roster.documents.unseal(tenant, &document).await.map_err(unavailable)?;
            let key = IssuerKey::read(body, document)?;
            if key.body.retired.is_none() { signing.push(key) } else { retired.push(key) }
        }
        // One transaction makes a key and retires the one before, so that there is one; of more the last one signs.
        signing.sort_by_key(|key| key.document.created);
        if let Some(key) = signing.pop() {
            retired.extend(signing);
            return Ok(Self::of(key, retired));
        }
        let key = draw(tenant, roster).await?;
        let by = Principal::Operator;
        let put = vec![DocumentWrite::Put(key.document.clone())];
        told(tenant, roster, by, "tokens are signed with it".into(), &key, json!({"kid": key.kid}), put).await?;
        Ok(Self::of(key, retired))
    }

    fn of(signing: IssuerKey, retired: Vec<IssuerKey>) -> Self {
        let document = json!({"keys": public(&signing, retired.iter())});
        let set = KeySet::read(document.to_string().as_bytes()).unwrap_or_default();
        Self { signing, retired, set }
    }

    pub fn signing(&self) -> &IssuerKey {
        &self.signing
    }

    /// Those whose tokens may still be about, as others may see them.
    pub fn public(&self, now: Timestamp) -> Vec<Value> {
        public(&self.signing, self.retired.iter().filter(|key| key.is_needed(now)))
    }

    pub fn set(&self) -> &KeySet {
        &self.set
    }

    /// Another key that signs from now on. One record says so, and who wanted it; keys that nothing needs any more go
    /// with the same transaction.
    pub async fn succeed(&self, tenant: TenantId, roster: &Roster, how: Succession) -> Result<Self, TokenError> {
        let key = draw(tenant, roster).await?;
        let now = roster.clock.now();
        let (mut kept, mut gone) = (Vec::new(), Vec::new());
        let mut writes = vec![DocumentWrite::Put(key.document.clone())];
        for old in self.retired.iter().cloned() {
            if old.is_needed(now) && !how.at_once { kept.push(old) } else { gone.push(old) }
        }
        if how.at_once {
            gone.push(self.signing.clone());
        } else {
            let old = self.signing.retire(tenant, roster, now).await?;
            writes.push(DocumentWrite::Put(old.document.clone()));
            kept.push(old);
        }
        writes.extend(gone.iter().map(|old| DocumentWrite::Remove { kind: KIND, id: old.document.id }));
        let details = json!({
            "kid": key.kid,
            "follows": self.signing.kid,
            "tokens_ended": how.at_once,
            "destroyed": gone.iter().map(|old| &old.kid).collect::<Vec<_>>(),
        });
        told(tenant, roster, how.by, how.reason, &key, details, writes).await?;
        Ok(Self::of(key, kept))
    }
}

fn public<'a>(signing: &IssuerKey, retired: impl Iterator<Item = &'a IssuerKey>) -> Vec<Value> {
    std::iter::once(signing.public()).chain(retired.map(IssuerKey::public)).collect()
}

async fn draw(tenant: TenantId, roster: &Roster) -> Result<IssuerKey, TokenError> {
    let mut seed = Zeroizing::new([0; SEED_BYTES]);
    roster.random.fill(seed.as_mut());
    let now = roster.clock.now();
    let body = Body { seed: BASE64_URL_SAFE_NO_PAD.encode(seed.as_ref()), retired: None };
    let id = KeyId::new(now, roster.random.id_bytes()).to_u128();
    let sealed = roster.documents.seal(tenant, (KIND, id, 1), &body).await.map_err(unavailable)?;
    let document = Document { kind: KIND, id, version: 1, created: now, updated: now, handle: None, sealed };
    IssuerKey::read(body, document)
}

/// The record of a new key, with what it changes.
async fn told(
    tenant: TenantId,
    roster: &Roster,
    by: Principal,
    reason: String,
    key: &IssuerKey,
    details: Value,
    documents: Vec<DocumentWrite>,
) -> Result<(), TokenError> {
    let target = KeyId::from_u128(key.document.id).to_string();
    let change =
        Change { tenant, by, kind: "signing_key.created".into(), target, reason: Some(reason), details, documents };
    roster.documents.administration.change(change).await.map_err(unavailable)
}

impl IssuerKey {
    fn read(body: Body, document: Document) -> Result<Self, TokenError> {
        let seed = BASE64_URL_SAFE_NO_PAD.decode(&body.seed).map(Zeroizing::new).map_err(unavailable)?;
        let pair = Arc::new(Ed25519KeyPair::from_seed_unchecked(&seed).map_err(unavailable)?);
        let kid = BASE64_URL_SAFE_NO_PAD.encode(&digest(&SHA256, pair.public_key().as_ref()).as_ref()[..16]);
        Ok(Self { kid, pair, document, body })
    }

    async fn retire(&self, tenant: TenantId, roster: &Roster, now: Timestamp) -> Result<Self, TokenError> {
        let body = Body { retired: Some(now), ..self.body.clone() };
        let (id, version) = (self.document.id, self.document.version + 1);
        let sealed = roster.documents.seal(tenant, (KIND, id, version), &body).await.map_err(unavailable)?;
        let document = Document { version, updated: now, sealed, ..self.document.clone() };
        Ok(Self { document, body, ..self.clone() })
    }

    /// Whether it signs for longer than it should. A clock that was set back makes no key old.
    pub fn is_old(&self, age: Millis, now: Timestamp) -> bool {
        now.since(self.document.created) >= age
    }

    /// Whether a token that it signed may still be good.
    fn is_needed(&self, now: Timestamp) -> bool {
        self.body.retired.is_none_or(|since| now < since + KEPT)
    }

    /// RFC 8037.
    fn public(&self) -> Value {
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
