//! Which secrets an action needs, and one verdict about the action and all of them.
//!
//! Each secret is asked about by itself (`vault.use`), with the same principals; the action is done only when everything
//! is allowed. An action that carries values under handles is asked about as it is written and as it would be sent.

use crate::{
    Access,
    judge::{Case, Judge},
};
use bailiwick_core::{Account, Action, connector::CredentialChoice, record::Ruling, session::State};
use bailiwick_ports::{
    CredentialNeed, Policy, PolicyRequest, Verdict,
    vault::{Auth, Credential, VaultOwner},
};
use bailiwick_types::{CredentialId, Principal, TenantId, VaultId};
use std::sync::Arc;

/// How often the policy may change between two questions about the same action.
const MAX_CHANGES: usize = 8;
/// The rule that receipts name where a secret that an action needs is not to be had.
pub(crate) const RULE: &str = "credential";

impl Judge {
    /// The secrets that an action needs, or why it cannot have them.
    ///
    /// One that goes on after a crash, or after somebody's word, uses those that it was let through or asked about with.
    pub(crate) fn needed(
        &self,
        state: &State,
        case: &Case<'_>,
        access: Option<&Access>,
    ) -> Result<Vec<Arc<Credential>>, Lacking> {
        if let Some(open) = state.open_actions().get(&case.id) {
            return open.credentials.iter().map(|id| self.known(state, *id).map_err(Lacking::Denied)).collect();
        }
        let Some(wanted) = self.wanted(state, case, access)? else { return Ok(Vec::new()) };
        let Wanted { need, found } = wanted;
        if !found.reaches(&need.host) {
            return Err(elsewhere(&need, &found).into());
        }
        let asked = state.asked_actions().find(|(id, _)| *id == case.id);
        if asked.is_some_and(|(_, asked)| asked.credentials != [found.id]) && !case.answers.is_empty() {
            return Err(changed(&need).into());
        }
        Ok(vec![found])
    }

    /// The secret that an action needs, as it is found now.
    fn wanted(&self, state: &State, case: &Case<'_>, access: Option<&Access>) -> Result<Option<Wanted>, Lacking> {
        if let Action::ModelCall(call) = case.action {
            let Some(need) = self.cards.as_ref().and_then(|cards| cards.credential(&call.model)) else {
                return Ok(None);
            };
            let found = self.vaults.find(state.tenant, &need.name, &state.vaults).ok_or_else(|| missing(&need))?;
            return Ok(Some(Wanted { need, found }));
        }
        let Some(access) = access else { return Ok(None) };
        self.of_connector(state, case, access)
    }

    /// Each person's own secret before one that is shared: the connector is used in that person's name.
    fn of_connector(&self, state: &State, case: &Case<'_>, access: &Access) -> Result<Option<Wanted>, Lacking> {
        let host = access.spec.host.clone().unwrap_or_default();
        let own = case.principal.person().map(|person| self.vaults.vaults_of(state.tenant, person));
        let vaults: Vec<VaultId> = own.unwrap_or_default().into_iter().chain(state.vaults.iter().copied()).collect();
        let (name, found) = match &access.spec.credential {
            CredentialChoice::None => return Ok(None),
            CredentialChoice::Matching => {
                let mut all = self.vaults.reaching(state.tenant, &host, &vaults);
                all.dedup_by_key(|one| one.id);
                match &all[..] {
                    [] => return Ok(None),
                    [one] => (one.name.clone(), Some(Arc::clone(one))),
                    _ => return Err(several(&access.name, &host).into()),
                }
            }
            CredentialChoice::Named(name) => (name.clone(), self.vaults.find(state.tenant, name, &vaults)),
            CredentialChoice::Account => {
                // What somebody writes into an agent sends nobody to sign in anywhere.
                if !access.kept || case.principal.person().is_none() {
                    return Err(nobodys(&access.name).into());
                }
                let at = Account { connector: access.name.clone(), host: host.clone() };
                match self.account(state.tenant, case.principal, &at) {
                    Some(found) => (at.connector, Some(found)),
                    None => return Err(Lacking::Account(at)),
                }
            }
            CredentialChoice::Fixed(id) => {
                // Whoever wrote it into an agent named what they may have themselves, and nothing of others.
                let may = |found: &Arc<Credential>| {
                    let serves = match found.owner {
                        VaultOwner::User { id } => case.principal.person() == Some(id),
                        VaultOwner::Agent { id } => state.agent.id == id,
                        VaultOwner::Shared => true,
                    };
                    access.vouched_credential || serves || state.vaults.contains(&found.vault)
                };
                (id.to_string(), self.vaults.credential(state.tenant, *id).filter(may))
            }
        };
        let need = CredentialNeed { name, host };
        let found = found.ok_or_else(|| missing(&need))?;
        Ok(Some(Wanted { need, found }))
    }

    /// The acting person's own account at the system of a connector that the organisation keeps, from that person's own
    /// vaults and no other.
    pub(crate) fn account(&self, tenant: TenantId, acting: &Principal, at: &Account) -> Option<Arc<Credential>> {
        let own = self.vaults.vaults_of(tenant, acting.person()?);
        let all = self.vaults.reaching(tenant, &at.host, &own);
        all.into_iter().find(|one| one.name == at.connector && matches!(one.auth, Auth::McpOauth(_)))
    }

    fn known(&self, state: &State, id: CredentialId) -> Result<Arc<Credential>, Ruling> {
        let reason = || format!("the credential {id}, with which it was begun, was deleted");
        self.vaults.credential(state.tenant, id).ok_or_else(|| denied(reason(), "Give the task again."))
    }
}

/// Why an action cannot have a secret that it needs.
pub(crate) enum Lacking {
    Denied(Ruling),
    /// The person has not connected this account yet.
    Account(Account),
}

impl Lacking {
    /// For an action that cannot wait.
    pub(crate) fn denied(self) -> Ruling {
        match self {
            Self::Denied(ruling) => ruling,
            Self::Account(Account { connector, host }) => denied(
                format!("it needs the person's own account at {host}, which is not connected"),
                format!("The person can connect it: `bailiwick connector connect {connector}`."),
            ),
        }
    }
}

impl From<Ruling> for Lacking {
    fn from(ruling: Ruling) -> Self {
        Self::Denied(ruling)
    }
}

/// A secret that an action needs, and the one that was found.
struct Wanted {
    need: CredentialNeed,
    found: Arc<Credential>,
}

fn nobodys(connector: &str) -> Ruling {
    denied(
        format!("the connector `{connector}` is used with a person's own account, and this works for no person"),
        "A person can give the task, or let the program order it in their name: `bailiwick grant create subject`.",
    )
}

fn several(connector: &str, host: &str) -> Ruling {
    denied(
        format!(
            "several credentials of this session may be sent to {host}, and the connector `{connector}` names none"
        ),
        "Name one as the connector's `credential`, or attach only one of their vaults.",
    )
}

fn denied(reason: String, remedy: impl Into<String>) -> Ruling {
    Ruling::Denied { rule: RULE.into(), reason, remedy: remedy.into() }
}

fn missing(need: &CredentialNeed) -> Ruling {
    let CredentialNeed { name, host } = need;
    denied(
        format!("it needs the credential `{name}`, which is in no vault of this session and in no shared one"),
        format!(
            "Put a credential of this name, for {host}, into a vault and name the vault in the session's `vault_ids`, or \
             have an administrator put it into a shared vault."
        ),
    )
}

fn elsewhere(need: &CredentialNeed, found: &Credential) -> Ruling {
    let CredentialNeed { name, host } = need;
    let hosts = found.hosts().unwrap_or_default().join(", ");
    denied(
        format!("the credential `{name}` ({}) may be sent to {hosts} and not to {host}", found.id),
        format!("Whoever keeps its vault can put a credential for {host} in its place."),
    )
}

fn changed(need: &CredentialNeed) -> Ruling {
    denied(
        format!("`{}` is another credential than the one that the answer was about", need.name),
        "Give the task again: then the question is put about this one.",
    )
}

/// One verdict about an action, what it really sends where that is more, and the secrets that it uses, all by one version
/// of the policy.
pub(crate) fn decide(
    policy: &dyn Policy,
    request: &PolicyRequest<'_>,
    sent: Option<&PolicyRequest<'_>>,
    credentials: &[Arc<Credential>],
) -> (u64, Verdict) {
    for _ in 0..MAX_CHANGES {
        let (version, mut verdict) = policy.decide_at(request);
        let mut same = true;
        if let Some(sent) = sent {
            let (asked, about) = policy.decide_at(sent);
            same &= asked == version;
            verdict = verdict.and(about.unspoken());
        }
        for credential in credentials {
            let (asked, about) = policy.decide_at(&PolicyRequest { credential: Some(credential.as_ref()), ..*request });
            same &= asked == version;
            verdict = verdict.and(about);
        }
        if same {
            return (version, verdict);
        }
    }
    let reason = "the policy changed again and again while it was asked".to_owned();
    let denial = Verdict::Deny { rule: "policy.error".into(), reason, remedy: "Try again.".into() };
    (policy.version(request.tenant), denial)
}
