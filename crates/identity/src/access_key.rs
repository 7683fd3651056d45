//! Access keys: pairs with which Bedrock clients and executors sign their requests.
//!
//! An access key id is `BWAK` and 16 letters and digits (base 32, no secret); its secret is 40 letters and digits. The
//! secret is sealed and not digested, because verifying a signature needs it. A key that is bound to an environment
//! registers an executor there and does nothing else.

use crate::{
    api_key::{BASE62, draw},
    credentials::{CredentialError, Credentials, sorted, unavailable},
    documents::Opened,
    sigv4::SignedRequest,
};
use aws_lc_rs::constant_time::verify_slices_are_equal;
use bailiwick_ports::{AuthError, Caller, RequestParts, Scope, store::DocumentKind};
use bailiwick_types::{EnvironmentId, KeyId, Principal, Secret, TenantId, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::sync::Arc;

const PREFIX: &str = "BWAK";
const ID_CHARS: usize = 16;
const SECRET_CHARS: usize = 40;
/// RFC 4648.
const BASE32: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

/// An access key, without its secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessKey {
    pub id: KeyId,
    pub tenant: TenantId,
    pub name: String,
    pub access_key_id: String,
    pub scopes: Vec<Scope>,
    /// The one environment that it opens.
    pub environment: Option<EnvironmentId>,
    pub created: Timestamp,
    pub expires: Option<Timestamp>,
    /// When it was revoked. Such a key opens nothing; it stays in lists.
    pub revoked: Option<Timestamp>,
}

/// What an administrator says of a new access key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewAccessKey {
    /// 1 to 128 characters.
    pub name: String,
    /// At least one; may be empty when `environment` is given.
    pub scopes: Vec<Scope>,
    /// Later than now.
    pub expires: Option<Timestamp>,
    /// Binds the key. Whether there is such an environment is for the caller to check.
    pub environment: Option<EnvironmentId>,
}

/// The sealed body of an access key's document.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct AccessKeyBody {
    pub name: String,
    pub scopes: Vec<Scope>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment: Option<EnvironmentId>,
    /// The handle once more, so that nobody who can write to the database puts another on this document.
    pub access_key_id: String,
    pub secret_access_key: String,
}

/// What verifying a signature needs of a key.
pub(crate) struct Signer {
    caller: Caller,
    expires: Option<Timestamp>,
    secret: Secret,
}

impl Credentials {
    /// Makes an access key. The secret is shown this once.
    pub async fn create_access_key(
        &self,
        by: &Principal,
        tenant: TenantId,
        new: NewAccessKey,
    ) -> Result<(AccessKey, Secret), CredentialError> {
        let NewAccessKey { name, mut scopes, expires, environment } = new;
        if environment.is_some() {
            if scopes.iter().any(|scope| *scope != Scope::EnvironmentsConnect) {
                return Err(CredentialError::BoundScopes);
            }
            scopes = vec![Scope::EnvironmentsConnect];
        }
        self.check_new(&name, &scopes, expires)?;
        self.check_room::<AccessKeyBody>(tenant, DocumentKind::AccessKey, |body| body.revoked.is_none()).await?;
        let access_key_id = format!("{PREFIX}{}", *draw(ID_CHARS, BASE32, &*self.random));
        let secret = Secret::new(draw(SECRET_CHARS, BASE62, &*self.random).as_str());
        let now = self.clock.now();
        let document = Opened {
            id: KeyId::new(now, self.random.id_bytes()),
            tenant,
            version: 1,
            created: now,
            handle: access_key_id.clone(),
            body: AccessKeyBody {
                name,
                scopes: sorted(scopes),
                expires,
                revoked: None,
                environment,
                access_key_id,
                secret_access_key: secret.expose().into(),
            },
        };
        let body = &document.body;
        let told = json!({"name": body.name, "scopes": body.scopes, "expires": expires, "environment": environment});
        self.documents.put(by, "key.created", told, DocumentKind::AccessKey, &document, now).await?;
        self.revoked.made(tenant, document.id, expires);
        Ok((access_key(document), secret))
    }

    /// All access keys of a tenant, oldest first, revoked ones included.
    pub async fn access_keys(&self, tenant: TenantId) -> Result<Vec<AccessKey>, CredentialError> {
        let all = self.documents.all::<AccessKeyBody>(tenant, DocumentKind::AccessKey).await?;
        Ok(all.into_iter().map(access_key).collect())
    }

    /// Tells who signed a request with AWS Signature Version 4.
    pub async fn authenticate_sigv4(&self, request: &RequestParts<'_>) -> Result<Caller, AuthError> {
        let now = self.clock.now();
        let signed = SignedRequest::read(request, now)?;
        let id = signed.access_key_id();
        if !is_access_key_id(id) {
            return Err(AuthError::Unknown);
        }
        let signer = match self.signers.get(id, now) {
            Ok(signer) => signer,
            Err(ticket) => {
                let signer = Arc::new(self.read_signer(id).await?);
                self.signers.put(ticket, id.to_owned(), signer.clone(), now);
                signer
            }
        };
        signed.verify(&signer.secret)?;
        match signer.expires {
            Some(expires) if now >= expires => Err(AuthError::Expired(expires)),
            _ => Ok(signer.caller.clone()),
        }
    }

    async fn read_signer(&self, access_key_id: &str) -> Result<Signer, AuthError> {
        let found = self.documents.by_handle::<AccessKeyBody>(DocumentKind::AccessKey, access_key_id).await;
        let Some(Opened { id, tenant, body, .. }) = found.map_err(unavailable)? else { return Err(AuthError::Unknown) };
        let same = verify_slices_are_equal(body.access_key_id.as_bytes(), access_key_id.as_bytes()).is_ok();
        if !same || body.revoked.is_some() {
            return Err(AuthError::Unknown);
        }
        let caller = Caller {
            tenant,
            principal: Principal::Service { key: id },
            scopes: body.scopes,
            bound_environment: body.environment,
        };
        Ok(Signer { caller, expires: body.expires, secret: Secret::new(body.secret_access_key) })
    }
}

pub(crate) fn is_access_key_id(text: &str) -> bool {
    text.strip_prefix(PREFIX).is_some_and(|rest| rest.len() == ID_CHARS && rest.bytes().all(|b| BASE32.contains(&b)))
}

fn access_key(document: Opened<AccessKeyBody>) -> AccessKey {
    let Opened { id, tenant, created, body, .. } = document;
    let AccessKeyBody { name, scopes, expires, revoked, environment, access_key_id, .. } = body;
    AccessKey { id, tenant, name, access_key_id, scopes, environment, created, expires, revoked }
}
