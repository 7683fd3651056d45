//! Who may answer a question, and who never.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests")]

use bailiwick_core::Approver;
use bailiwick_gate::Gate;
use bailiwick_ports::{Colleague, Directory, Person, Policy, PolicyRequest, Role, Verdict};
use bailiwick_testkit::{clock::ManualClock, keys::PlainKeys, store::MemoryStore};
use bailiwick_types::{AgentId, GrantId, KeyId, Principal, SessionId, TeamId, TenantId, Timestamp, UserId};
use std::sync::Arc;

const TENANT: TenantId = TenantId::from_u128(1);
const TEAM: TeamId = TeamId::from_u128(2);
const ADA: u128 = 10;
const OPERATOR: u128 = 11;
const TEAMMATE: u128 = 12;
const DISABLED: u128 = 13;

struct People;

impl Directory for People {
    fn person(&self, tenant: TenantId, user: UserId) -> Option<Arc<Person>> {
        let (roles, teams, disabled) = match user.to_u128() {
            ADA => (vec![Role::Member, Role::Operator], vec![TEAM], false),
            OPERATOR => (vec![Role::Operator], vec![], false),
            TEAMMATE => (vec![Role::Member], vec![TEAM], false),
            DISABLED => (vec![Role::Admin], vec![TEAM], true),
            _ => return None,
        };
        let name = user.to_string();
        Some(Arc::new(Person { id: user, tenant, name, email: None, roles, teams, disabled }))
    }

    fn colleague(&self, _: TenantId, _: AgentId) -> Option<Arc<Colleague>> {
        None
    }
}

struct Nothing;

impl Policy for Nothing {
    fn version(&self, _: TenantId) -> u64 {
        0
    }

    fn decide(&self, _: &PolicyRequest<'_>) -> Verdict {
        Verdict::Deny { rule: "none".into(), reason: String::new(), remedy: String::new() }
    }
}

fn user(number: u128) -> Principal {
    Principal::User { id: UserId::from_u128(number) }
}

fn speaking(person: Principal) -> Principal {
    let subject = person.person().unwrap();
    Principal::Delegate { key: KeyId::from_u128(7), subject, grant: GrantId::from_u128(1) }
}

fn agent_for(orderer: Principal) -> Principal {
    let on_behalf_of = Some(Box::new(orderer));
    Principal::Agent { id: AgentId::from_u128(5), session: SessionId::from_u128(6), on_behalf_of }
}

#[test]
fn only_who_is_asked_may_answer_and_an_agent_never() {
    let clock = Arc::new(ManualClock::new(Timestamp::from_millis(0)));
    let store = Arc::new(MemoryStore::new(clock.clone()));
    let gate = Gate::new(store, Arc::new(PlainKeys), Arc::new(Nothing), clock).with_directory(Arc::new(People));
    let second = |role, team| Approver::Second { role, team };
    let service = Principal::Service { key: KeyId::from_u128(7) };
    let may = |approver: &Approver, by: &Principal| gate.may_answer(TENANT, approver, &agent_for(user(ADA)), by);

    let table = [
        (Approver::Person, vec![user(ADA)]),
        (second(None, None), vec![user(OPERATOR), Principal::Operator]),
        (second(Some(Role::Operator), None), vec![user(OPERATOR), Principal::Operator]),
        (second(Some(Role::Admin), None), vec![]),
        (second(None, Some(TEAM)), vec![user(TEAMMATE)]),
        (second(Some(Role::Operator), Some(TEAM)), vec![]),
    ];
    let everybody = [
        user(ADA),
        user(OPERATOR),
        user(TEAMMATE),
        user(DISABLED),
        user(99),
        service.clone(),
        Principal::Operator,
        agent_for(user(ADA)),
        agent_for(user(OPERATOR)),
        // Programs that say they speak for somebody, and have no grant.
        speaking(user(ADA)),
        speaking(user(OPERATOR)),
        speaking(user(TEAMMATE)),
    ];
    for (approver, qualified) in &table {
        for by in &everybody {
            assert_eq!(may(approver, by), qualified.contains(by), "{by} on {approver:?}");
        }
    }
    // A program that ordered it answers for itself, and nobody for it; a disabled person not even for themselves.
    let ordered =
        |orderer: Principal, by: &Principal| gate.may_answer(TENANT, &Approver::Person, &agent_for(orderer), by);
    assert!(ordered(service.clone(), &service) && !ordered(service, &user(ADA)));
    assert!(!ordered(user(DISABLED), &user(DISABLED)));
}
