//! What grants are worth at the moment in which something is decided: they hold, and whoever gave them may still give
//! them. Nothing here allows an action; it only says whose word there is.

use crate::judge::{Case, Judge};
use bailiwick_core::{
    Answered, Approver, Grant, GrantReach, Standing, What, grant::is_in_scope, record::Ruling, session::State,
};
use bailiwick_ports::{KeyEnd, Role};
use bailiwick_types::{AgentId, KeyId, Principal, TenantId, Timestamp, UserId};

impl Judge {
    /// Whoever orders with a key does so as long as that holds, and for a person under a grant that holds at this moment. A
    /// denial where it does not, and `None` where there is none or it is good.
    pub(crate) fn order_over(&self, tenant: TenantId, principal: &Principal, at: Timestamp) -> Option<Ruling> {
        let Principal::Agent { id: agent, on_behalf_of: Some(orderer), .. } = principal else { return None };
        if let Some(denied) = orderer.key().and_then(|key| self.key_over(tenant, key, at)) {
            return Some(denied);
        }
        let Principal::Delegate { .. } = **orderer else { return None };
        if self.commission(tenant, orderer, *agent, at).is_some() {
            return None;
        }
        Some(Ruling::Denied {
            rule: "grant-ended".into(),
            reason: format!("the grant under which this was ordered ({orderer}) does not hold any more"),
            remedy: "The person or an administrator can give another: `bailiwick grant create subject`.".into(),
        })
    }

    /// When the order of the running turn ends by itself, if nobody ends it before.
    pub(crate) fn order_ends(&self, state: &State) -> Option<Timestamp> {
        let Principal::Agent { on_behalf_of: Some(orderer), .. } = state.acting()? else { return None };
        let key = match orderer.key().and_then(|key| self.end_of(state.tenant, key)) {
            Some(KeyEnd::Expires(at)) => Some(at),
            _ => None,
        };
        let grant = orderer.grant().and_then(|id| {
            let known = self.grants.known(state.tenant)?;
            known.iter().find(|one| one.id == id).map(|one| one.until)
        });
        key.into_iter().chain(grant).min()
    }

    /// What the grant of the order does not cover.
    pub(crate) fn out_of_grant(&self, state: &State, case: &Case<'_>) -> Option<Ruling> {
        let Principal::Agent { id: agent, on_behalf_of: Some(orderer), .. } = case.principal else { return None };
        let grant = self.commission(state.tenant, orderer, *agent, case.at)?;
        let What::Subject { scopes, .. } = &grant.what else { return None };
        let operation = case.action.operation();
        if scopes.is_empty() || scopes.iter().any(|entry| is_in_scope(entry, operation)) {
            return None;
        }
        Some(Ruling::Denied {
            rule: "grant-scopes".into(),
            reason: format!("{} lets the program order no `{operation}`", grant.id),
            remedy: "The person or an administrator can give a wider grant: `bailiwick grant create subject`.".into(),
        })
    }

    /// Why what a key has ordered goes on no more.
    fn key_over(&self, tenant: TenantId, key: KeyId, at: Timestamp) -> Option<Ruling> {
        let (rule, what) = match self.end_of(tenant, key)? {
            KeyEnd::Revoked => ("key-revoked", "was revoked".to_owned()),
            KeyEnd::Expires(end) if at >= end => ("key-expired", format!("expired at {end}")),
            KeyEnd::Expires(_) => return None,
        };
        Some(Ruling::Denied {
            rule: rule.into(),
            reason: format!("{key}, with which this was ordered, {what}"),
            remedy: "Somebody else can go on with the session, or begin another.".into(),
        })
    }

    fn end_of(&self, tenant: TenantId, key: KeyId) -> Option<KeyEnd> {
        self.revocations.as_ref()?.end_of(tenant, key)
    }

    /// The grant under which a program orders for a person, if it is good for this agent.
    fn commission(&self, tenant: TenantId, orderer: &Principal, of: AgentId, at: Timestamp) -> Option<Grant> {
        let Principal::Delegate { key, subject, grant } = *orderer else { return None };
        let known = self.grants.known(tenant)?;
        let mut good = known.iter().filter(|one| self.lets_order(tenant, one, key, subject, of, at));
        good.find(|one| one.id == grant).cloned()
    }

    fn lets_order(
        &self,
        tenant: TenantId,
        grant: &Grant,
        by: KeyId,
        subject: UserId,
        of: AgentId,
        at: Timestamp,
    ) -> bool {
        let What::Subject { person, key, agent, .. } = &grant.what else { return false };
        let fits = *person == subject && *key == by && agent.is_none_or(|agent| agent == of);
        fits && grant.is_live(at) && self.may_speak_for(tenant, subject, &grant.by)
    }

    /// The program as it may order work for a person from this agent, under the grant that holds longest.
    pub(crate) fn speaking_for(
        &self,
        tenant: TenantId,
        key: KeyId,
        subject: UserId,
        of: AgentId,
        at: Timestamp,
    ) -> Option<Principal> {
        let known = self.grants.known(tenant)?;
        let good = known.iter().filter(|one| self.lets_order(tenant, one, key, subject, of, at));
        good.max_by_key(|one| one.until).map(|one| Principal::Delegate { key, subject, grant: one.id })
    }

    /// The program as it may pass on a person's answers to this agent's questions.
    pub(crate) fn relaying_for(
        &self,
        tenant: TenantId,
        key: KeyId,
        subject: UserId,
        of: AgentId,
        at: Timestamp,
    ) -> Option<Principal> {
        let known = self.grants.known(tenant)?;
        let good = known.iter().filter(|one| lets_relay(one, key, subject, of, at));
        good.max_by_key(|one| one.until).map(|one| Principal::Delegate { key, subject, grant: one.id })
    }

    /// Whether somebody may let a program order work for `person`: the person, or an administrator.
    pub(crate) fn may_speak_for(&self, tenant: TenantId, person: UserId, giver: &Principal) -> bool {
        match giver {
            Principal::Operator => true,
            Principal::User { id } => {
                let known = self.directory.person(tenant, *id).filter(|known| !known.disabled);
                known.is_some_and(|known| *id == person || known.roles.contains(&Role::Admin))
            }
            _ => false,
        }
    }

    /// The person in whose name an answer counts: who answers in their own name, or for whom a program passes it on under
    /// a grant of theirs. `None` where it counts for nobody.
    pub(crate) fn voice(&self, tenant: TenantId, of: AgentId, by: &Principal, at: Timestamp) -> Option<Principal> {
        if by.key().is_some_and(|key| self.key_over(tenant, key, at).is_some()) {
            return None;
        }
        let Principal::Delegate { key, subject, grant } = *by else { return Some(by.clone()) };
        let known = self.grants.known(tenant)?;
        let relayed = known.iter().any(|one| one.id == grant && lets_relay(one, key, subject, of, at));
        relayed.then_some(Principal::User { id: subject })
    }

    /// Everybody who had a hand in an order, so that nobody of them is a second person: who gave it, in whose name, and
    /// who let a program do so.
    pub(crate) fn hands_in(&self, tenant: TenantId, orderer: &Principal) -> Vec<Principal> {
        let Principal::Delegate { key, subject, grant } = *orderer else { return vec![orderer.clone()] };
        let known = self.grants.known(tenant).unwrap_or_default();
        let giver = known.iter().find(|one| one.id == grant).map(|one| one.by.clone());
        [Principal::User { id: subject }, Principal::Service { key }].into_iter().chain(giver).collect()
    }

    /// A standing answer to what a rule asks, of somebody who may answer it now.
    pub(crate) fn standing(&self, state: &State, case: &Case<'_>, asks: &str, approver: &Approver) -> Option<Answered> {
        let Principal::Agent { id, on_behalf_of: Some(for_whom), .. } = case.principal else { return None };
        let known = self.grants.known(state.tenant)?;
        let sent = state.label_sent(case.action);
        let covers = |grant: &&Grant| {
            let What::Standing(Standing { shape, reach, agent, orderer, rule, label }) = &grant.what else {
                return false;
            };
            let here = match reach {
                GrantReach::Session { id } => *id == state.session,
                GrantReach::Agent => true,
            };
            let worse = !sent.is_at_most(label);
            let asked = agent == id && orderer == &**for_whom && rule == asks && !worse;
            let may = || self.may_answer(state.tenant, approver, case.principal, &grant.by, case.at);
            grant.is_live(case.at) && here && asked && shape.covers(case.action) && may()
        };
        known.iter().find(covers).map(|grant| Answered::Under { grant: grant.id, by: grant.by.clone() })
    }
}

/// Nobody else can lend a person's word, or one could make up the second pair of eyes.
fn lets_relay(grant: &Grant, by: KeyId, subject: UserId, of: AgentId, at: Timestamp) -> bool {
    let What::Relay { person, key, agent } = &grant.what else { return false };
    let fits = *person == subject && *key == by && agent.is_none_or(|agent| agent == of);
    fits && grant.is_live(at) && grant.by == Principal::User { id: subject }
}
