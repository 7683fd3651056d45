//! Whether an action may use a secret: `vault.use`.

#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "tests")]

mod house;

use bailiwick_policy::{Rules, STARTER};
use bailiwick_ports::{
    Verdict,
    vault::{Auth, Credential, Server, VaultOwner},
};
use bailiwick_types::{AgentId, CredentialId, Timestamp, UserId, VaultId};
use house::{AGENT, ANNA, Case, model, of, rule_of};

const VAULT: VaultId = VaultId::from_u128(20);

fn credential(owner: VaultOwner) -> Credential {
    let server = Server { url: "https://api.example/v1".into(), host: "api.example".into() };
    Credential {
        id: CredentialId::from_u128(21),
        vault: VAULT,
        owner,
        name: "Provider".into(),
        auth: Auth::StaticBearer { server },
        metadata: Default::default(),
        created: Timestamp::from_millis(0),
        updated: Timestamp::from_millis(0),
    }
}

fn using(owner: VaultOwner) -> Case {
    Case { credential: Some(credential(owner)), ..of(model()) }
}

fn under(verdict: &Verdict) -> (&'static str, &str) {
    rule_of(verdict)
}

#[test]
fn a_persons_own_secret_is_for_agents_that_work_for_that_person() {
    let annas = using(VaultOwner::User { id: ANNA });
    assert_eq!(under(&annas.under(STARTER)), ("allow", "own-credentials"));
    assert_eq!(under(&annas.alone().under(STARTER)), ("deny", "policy.default"), "nobody is behind it");
    let somebodys = using(VaultOwner::User { id: UserId::from_u128(99) });
    assert_eq!(under(&somebodys.under(STARTER)), ("deny", "policy.default"));
}

#[test]
fn an_agents_own_secret_is_for_that_agent() {
    assert_eq!(under(&using(VaultOwner::Agent { id: AGENT }).under(STARTER)), ("allow", "agents-credentials"));
    let anothers = using(VaultOwner::Agent { id: AgentId::from_u128(99) });
    assert_eq!(under(&anothers.under(STARTER)), ("deny", "policy.default"));
}

#[test]
fn a_shared_secret_needs_a_rule_and_the_denial_says_so() {
    let shared = using(VaultOwner::Shared);
    let Verdict::Deny { rule, reason, .. } = shared.under(STARTER) else { panic!("no rule permits it") };
    assert_eq!(rule, "policy.default");
    assert!(reason.contains("`vault.use`"), "{reason}");
    let permit =
        format!("@id(\"ours\") permit (principal, action == Action::\"vault.use\", resource in Vault::\"{VAULT}\");");
    assert_eq!(under(&shared.under(&permit)), ("allow", "ours"));
}

#[test]
fn both_the_agent_and_the_person_must_be_allowed() {
    let only_agents = "@id(\"agents\") permit (principal is Agent, action == Action::\"vault.use\", resource);";
    let verdict = using(VaultOwner::Shared).under(only_agents);
    let Verdict::Deny { reason, .. } = verdict else { panic!("the person is not permitted") };
    assert!(reason.contains(&ANNA.to_string()), "{reason}");
}

#[test]
fn rules_read_name_kind_hosts_and_what_it_is_wanted_for() {
    let rule = r#"
        @id("one") permit (principal, action == Action::"vault.use", resource)
        when { resource.name == "Provider" && resource.kind == "static_bearer" && resource.scope == "shared"
            && resource.hosts.contains("api.example") && !resource.anywhere && context.wanted_for == "model.call"
            && context.operation == "vault.use" && !context.leaves_walls };
    "#;
    assert_eq!(under(&using(VaultOwner::Shared).under(rule)), ("allow", "one"));
}

#[test]
fn a_forbid_by_name_holds_in_another_spelling_too() {
    let rules = r#"
        @id("any") permit (principal, action, resource);
        @id("not-that") forbid (principal, action == Action::"vault.use", resource) when { resource.name == "provider" };
    "#;
    assert_eq!(under(&using(VaultOwner::Shared).under(rules)), ("deny", "not-that"));
}

#[test]
fn whether_the_action_may_be_done_is_another_question_than_whether_it_may_use_the_secret() {
    let only_calls = "@id(\"calls\") permit (principal, action == Action::\"model.call\", resource);";
    assert_eq!(under(&of(model()).under(only_calls)), ("allow", "calls"));
    assert_eq!(under(&using(VaultOwner::Shared).under(only_calls)), ("deny", "policy.default"));
    assert!(
        Rules::compile("permit (principal, action == Action::\"vault.use\", resource) when { resource.secret };")
            .is_err()
    );
}
