//! Where a tenant's policy is kept and changed: every version is a sealed document with its author, reason and time, and
//! a change is a record of the tenant's administration.

use crate::{Policies, Rules, policies::Drafted};
use async_trait::async_trait;
use bailiwick_core::Action;
use bailiwick_ports::{
    Administration, Change, Clock, Described, Directory, DocumentWrite, Draft, Explains, Explanation, Keys, ModelCards,
    PolicyDesk, PolicyDeskError, PolicyRequest, PolicyVersion, Store, StoreError, StreamKey, TenantKeyError, Vaults,
    addresses,
    store::{Document, DocumentKind},
    tenant_key,
    vault::Credential,
};
use bailiwick_types::{PolicyId, Principal, TenantId, Timestamp, UserId};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::sync::Arc;

/// Longest reason for a change, in characters.
const MAX_REASON: usize = 1000;
/// Versions of one tenant: more than a change every hour for a year.
const MAX_VERSIONS: u32 = 10_000;

/// What a desk works with.
#[derive(Clone)]
pub struct DeskParts {
    pub policies: Policies,
    pub store: Arc<dyn Store>,
    pub keys: Arc<dyn Keys>,
    pub administration: Arc<dyn Administration>,
    pub directory: Arc<dyn Directory>,
    pub cards: Arc<dyn ModelCards>,
    pub vaults: Arc<dyn Vaults>,
    pub clock: Arc<dyn Clock>,
}

/// Reads and changes policies, and keeps [`Policies`] in step.
pub struct Desk {
    parts: DeskParts,
}

/// A version as it is sealed.
#[derive(Serialize, Deserialize)]
struct Stored {
    author: Principal,
    reason: String,
    text: String,
}

impl Desk {
    pub fn new(parts: DeskParts) -> Self {
        Self { parts }
    }

    /// Puts every tenant's stored policy in force: for the start, before anything is decided. A text that does not
    /// compile any more is an error, because deciding by something else would be a silent change.
    pub async fn load(&self) -> Result<(), PolicyDeskError> {
        for tenant in self.parts.store.tenants().await? {
            let Some(newest) = self.stored(tenant.id, None).await? else { continue };
            let rules = Rules::compile(&newest.text).map_err(PolicyDeskError::Refused)?;
            tracing::info!(tenant = %tenant.id, version = newest.version, "policy loaded");
            self.parts.policies.apply(tenant.id, newest.version, Arc::new(rules));
        }
        Ok(())
    }

    async fn key(&self, tenant: TenantId) -> Result<Arc<dyn StreamKey>, PolicyDeskError> {
        let key = tenant_key(&*self.parts.store, &*self.parts.keys, tenant).await;
        key.map_err(|error| match error {
            TenantKeyError::Store(error) => error.into(),
            other => PolicyDeskError::Unavailable(other.to_string()),
        })
    }

    /// The version asked for, or the newest.
    async fn stored(&self, tenant: TenantId, version: Option<u32>) -> Result<Option<PolicyVersion>, PolicyDeskError> {
        let found = self.parts.store.document(tenant, DocumentKind::Policy, tenant.to_u128(), version).await?;
        match found {
            Some(document) => open(&*self.key(tenant).await?, &document).map(Some),
            None => Ok(None),
        }
    }

    /// The secrets that are asked about beside an action.
    fn secrets(&self, described: &Described<'_>) -> Vec<Arc<Credential>> {
        let Described { tenant, action, credentials, .. } = *described;
        let named: Vec<_> = credentials.iter().filter_map(|id| self.parts.vaults.credential(tenant, *id)).collect();
        match action {
            Action::ModelCall(call) if credentials.is_empty() => {
                let need = self.parts.cards.credential(&call.model);
                let found = need.and_then(|need| self.parts.vaults.find(tenant, &need.name, &[]));
                found.into_iter().collect()
            }
            _ => named,
        }
    }

    fn described<T>(&self, described: &Described<'_>, ask: impl Fn(&PolicyRequest<'_>) -> T) -> T {
        let Described { tenant, session, principal, agent, label, said, action, connector, at, approved, .. } =
            *described;
        let colleague = self.parts.directory.colleague(tenant, agent.id);
        let person = principal.person().and_then(|user| self.parts.directory.person(tenant, user));
        let colleagues = addresses(&*self.parts.directory, tenant, agent, connector.and_then(|one| one.tool), action);
        let model = match action {
            Action::ModelCall(call) => self.parts.cards.card(&call.model),
            _ => None,
        };
        ask(&PolicyRequest {
            tenant,
            session,
            principal,
            agent,
            colleague: colleague.as_deref(),
            person: person.as_deref(),
            label,
            said,
            colleagues: &colleagues,
            model: model.as_ref(),
            connector,
            environment: None,
            action,
            credential: None,
            now: at,
            approved,
        })
    }
}

fn starter() -> PolicyVersion {
    PolicyVersion {
        version: 0,
        author: None,
        reason: "the starter set".into(),
        applied: None,
        text: Rules::starter().text().to_owned(),
    }
}

fn open(key: &dyn StreamKey, document: &Document) -> Result<PolicyVersion, PolicyDeskError> {
    let context = document.kind.context(document.id, document.version);
    let unreadable = |error: &dyn std::fmt::Display| {
        PolicyDeskError::Unavailable(format!("policy version {} cannot be read: {error}", document.version))
    };
    let plain = key.unseal(&context, &document.sealed).map_err(|error| unreadable(&error))?;
    let Stored { author, reason, text } = serde_json::from_slice(&plain).map_err(|error| unreadable(&error))?;
    let (version, applied) = (document.version, Some(document.updated));
    Ok(PolicyVersion { version, author: Some(author), reason, applied, text })
}

fn seal(
    key: &dyn StreamKey,
    tenant: TenantId,
    version: u32,
    now: Timestamp,
    stored: &Stored,
) -> Result<Document, PolicyDeskError> {
    let (kind, id) = (DocumentKind::Policy, tenant.to_u128());
    let plain = serde_json::to_vec(stored).map_err(|error| PolicyDeskError::Unavailable(error.to_string()))?;
    let sealed = key.seal(&kind.context(id, version), &plain).into();
    Ok(Document { kind, id, version, created: now, updated: now, handle: None, sealed })
}

fn checked_reason(reason: &str) -> Result<String, PolicyDeskError> {
    let reason = reason.trim();
    if (1..=MAX_REASON).contains(&reason.chars().count()) {
        return Ok(reason.to_owned());
    }
    let problem = format!("must have 1 to {MAX_REASON} characters: whoever reads the history wants to know why");
    Err(PolicyDeskError::Invalid { field: "reason", problem })
}

#[async_trait]
impl PolicyDesk for Desk {
    async fn current(&self, tenant: TenantId) -> Result<PolicyVersion, PolicyDeskError> {
        Ok(self.stored(tenant, None).await?.unwrap_or_else(starter))
    }

    async fn versions(&self, tenant: TenantId) -> Result<Vec<PolicyVersion>, PolicyDeskError> {
        let documents = self.parts.store.document_versions(tenant, DocumentKind::Policy, tenant.to_u128()).await?;
        let key = self.key(tenant).await?;
        let mut versions: Vec<PolicyVersion> =
            documents.iter().map(|document| open(&*key, document)).collect::<Result<_, _>>()?;
        versions.sort_by_key(|version| std::cmp::Reverse(version.version));
        versions.push(starter());
        Ok(versions)
    }

    async fn version(&self, tenant: TenantId, version: u32) -> Result<Option<PolicyVersion>, PolicyDeskError> {
        match version {
            0 => Ok(Some(starter())),
            version => self.stored(tenant, Some(version)).await,
        }
    }

    fn draft(&self, text: &str) -> Result<Draft, PolicyDeskError> {
        let rules = Rules::compile(text).map_err(PolicyDeskError::Refused)?;
        Ok(Draft { rules: rules.summaries(), policy: Arc::new(Drafted(Arc::new(rules))) })
    }

    async fn apply(
        &self,
        tenant: TenantId,
        by: &Principal,
        text: &str,
        reason: &str,
        expected: Option<u32>,
    ) -> Result<PolicyVersion, PolicyDeskError> {
        let reason = checked_reason(reason)?;
        let rules = Arc::new(Rules::compile(text).map_err(PolicyDeskError::Refused)?);
        let current = self.current(tenant).await?.version;
        if let Some(expected) = expected.filter(|expected| *expected != current) {
            return Err(PolicyDeskError::Moved { expected, current });
        }
        let version = current + 1;
        if version > MAX_VERSIONS {
            let problem = format!("cannot be applied: {MAX_VERSIONS} versions are as many as are kept");
            return Err(PolicyDeskError::Invalid { field: "text", problem });
        }
        let stored = Stored { author: by.clone(), reason: reason.clone(), text: text.to_owned() };
        let now = self.parts.clock.now();
        let document = seal(&*self.key(tenant).await?, tenant, version, now, &stored)?;
        let change = Change {
            tenant,
            by: by.clone(),
            kind: "policy.applied".into(),
            target: PolicyId::from_u128(tenant.to_u128()).to_string(),
            reason: Some(reason.clone()),
            details: json!({"version": version, "rules": rules.summaries().len()}),
            documents: vec![DocumentWrite::Put(document)],
        };
        match self.parts.administration.change(change).await {
            Ok(()) => {}
            Err(StoreError::Conflict) => {
                let current = self.current(tenant).await?.version;
                return Err(PolicyDeskError::Moved { expected: version - 1, current });
            }
            Err(error) => return Err(error.into()),
        }
        self.parts.policies.apply(tenant, version, rules);
        Ok(PolicyVersion { version, author: Some(by.clone()), reason, applied: Some(now), text: text.to_owned() })
    }

    fn explain(&self, draft: Option<&dyn Explains>, described: &Described<'_>) -> Explanation {
        let policy = draft.unwrap_or(&self.parts.policies);
        self.described(described, |request| {
            let mut whole = policy.explain(request);
            if let Some(action) = described.sent {
                let about = policy.decide(&PolicyRequest { action, ..*request });
                whole.verdict = whole.verdict.clone().and(about.unspoken());
            }
            for credential in self.secrets(described) {
                let about = policy.explain(&PolicyRequest { credential: Some(&*credential), ..*request });
                whole.verdict = whole.verdict.clone().and(about.verdict.clone());
                whole.uses.push((credential.id, about));
            }
            whole
        })
    }

    fn knows(&self, tenant: TenantId, user: UserId) -> bool {
        self.parts.directory.person(tenant, user).is_some()
    }
}
