//! The policy of every tenant: the version that holds now, swapped in one step when another is applied.

use crate::{AllowList, Rules};
use bailiwick_core::{FunctionTool, Remit};
use bailiwick_ports::{ColleagueStatus, Explains, Explanation, Policy, PolicyRequest, Verdict};
use bailiwick_types::{Principal, TenantId};
use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock},
};

/// What decides: the agent's own remit first, then the rules of its tenant. Cheap to share.
#[derive(Debug, Clone, Default)]
pub struct Policies {
    current: Arc<RwLock<HashMap<TenantId, Applied>>>,
}

/// The rules that hold, and which version they are.
#[derive(Debug, Clone)]
struct Applied {
    version: u32,
    rules: Arc<Rules>,
}

impl Policies {
    /// Every tenant begins with the starter set, as version 0.
    pub fn new() -> Self {
        Self::default()
    }

    /// From now on every decision for this tenant is made by these rules. An older version than the one that holds
    /// changes nothing, so that two who apply at once end with the newer one whatever their order here.
    pub fn apply(&self, tenant: TenantId, version: u32, rules: Arc<Rules>) {
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        if current.get(&tenant).is_none_or(|applied| applied.version <= version) {
            current.insert(tenant, Applied { version, rules });
        }
    }

    /// The rules that hold for a tenant.
    pub fn rules(&self, tenant: TenantId) -> Arc<Rules> {
        self.applied(tenant).rules
    }

    fn applied(&self, tenant: TenantId) -> Applied {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        current.get(&tenant).cloned().unwrap_or_else(|| Applied { version: 0, rules: Rules::starter() })
    }
}

impl Policy for Policies {
    fn version(&self, tenant: TenantId) -> u64 {
        u64::from(self.applied(tenant).version)
    }

    fn decide(&self, request: &PolicyRequest<'_>) -> Verdict {
        self.decide_at(request).1
    }

    fn decide_at(&self, request: &PolicyRequest<'_>) -> (u64, Verdict) {
        let applied = self.applied(request.tenant);
        let verdict = before_rules(request).unwrap_or_else(|| applied.rules.verdict(request));
        (u64::from(applied.version), verdict)
    }

    fn could_allow(&self, request: &PolicyRequest<'_>) -> bool {
        before_rules(request).is_none() && self.applied(request.tenant).rules.could_allow(request)
    }

    fn check_remit(&self, remit: &Remit) -> Result<(), String> {
        AllowList.check_remit(remit)
    }

    fn check_tool(&self, tool: &FunctionTool) -> Result<(), String> {
        AllowList.check_tool(tool)
    }
}

impl Explains for Policies {
    fn explain(&self, request: &PolicyRequest<'_>) -> Explanation {
        explain(&self.rules(request.tenant), request)
    }
}

/// Rules that hold for nobody yet, asked as if they did.
#[derive(Debug, Clone)]
pub(crate) struct Drafted(pub Arc<Rules>);

impl Policy for Drafted {
    fn version(&self, _tenant: TenantId) -> u64 {
        0
    }

    fn decide(&self, request: &PolicyRequest<'_>) -> Verdict {
        before_rules(request).unwrap_or_else(|| self.0.verdict(request))
    }
}

impl Explains for Drafted {
    fn explain(&self, request: &PolicyRequest<'_>) -> Explanation {
        explain(&self.0, request)
    }
}

fn explain(rules: &Rules, request: &PolicyRequest<'_>) -> Explanation {
    match before_rules(request) {
        Some(verdict) => Explanation { verdict, sides: Vec::new(), uses: Vec::new() },
        None => rules.explanation(request),
    }
}

/// What denies before any rule is asked: who may not act at all, and what the agent's own remit does not list.
fn before_rules(request: &PolicyRequest<'_>) -> Option<Verdict> {
    match AllowList.decide(request) {
        Verdict::Allow { .. } => {}
        denied => return Some(denied),
    }
    standing(request).or_else(|| behind(request))
}

fn standing(request: &PolicyRequest<'_>) -> Option<Verdict> {
    match request.colleague.map(|colleague| colleague.status) {
        None | Some(ColleagueStatus::Active) => None,
        Some(ColleagueStatus::Suspended) => {
            Some(deny("agent.status", "the agent is suspended", "its owner can make it active again"))
        }
        Some(ColleagueStatus::Retired) => Some(deny("agent.status", "the agent is retired", "work with another agent")),
    }
}

/// Who stands behind the turn must be known, and nobody acts for somebody who may not.
fn behind(request: &PolicyRequest<'_>) -> Option<Verdict> {
    let Principal::Agent { on_behalf_of, .. } = request.principal else {
        return Some(deny("principal", "only agents act", "have an agent do it"));
    };
    if let Some(Principal::Agent { .. }) = on_behalf_of.as_deref() {
        let reason = "the agent works for another agent, and rules cannot be asked about a chain";
        return Some(deny("principal", reason, "have the person order it from this agent"));
    }
    match (request.principal.person(), request.person) {
        (None, None) => None,
        (Some(user), Some(person)) if person.id == user && person.tenant == request.tenant => {
            person.disabled.then(|| {
                deny(
                    "person.disabled",
                    "the person for whom the agent works is disabled",
                    "an administrator can enable them",
                )
            })
        }
        (Some(_), _) => Some(deny(
            "person.unknown",
            "the person for whom the agent works is not known here",
            "an administrator can add them",
        )),
        (None, Some(_)) => {
            Some(deny("person.unknown", "the turn names nobody, and yet a person is asked about", "begin another turn"))
        }
    }
}

fn deny(rule: &str, reason: &str, remedy: &str) -> Verdict {
    Verdict::Deny { rule: rule.into(), reason: reason.into(), remedy: remedy.into() }
}
