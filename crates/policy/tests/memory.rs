//! What rules are told of memory, and what the starter set says of it.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod house;

use bailiwick_core::{Integrity, Label, MemoryScope};
use house::{confidential, looks, of, remembers, rule_of};

const STARTER: &str = include_str!("../starter.cedar");

#[test]
fn the_starter_set_lets_a_person_be_remembered_and_asks_before_others_read_it() {
    assert_eq!(rule_of(&of(looks(&MemoryScope::ALL)).under(STARTER)).0, "allow");
    assert_eq!(rule_of(&of(remembers(MemoryScope::Person)).under(STARTER)).0, "allow");
    for scope in [MemoryScope::Team, MemoryScope::Agent, MemoryScope::Tenant] {
        assert_eq!(rule_of(&of(remembers(scope)).under(STARTER)), ("ask", "shared-memory-is-confirmed"), "{scope:?}");
        let case = house::Case { label: confidential(&["hr"], Integrity::Trusted), ..of(remembers(scope)) };
        assert_eq!(rule_of(&case.under(STARTER)), ("deny", "confidential-memory-is-not-shared"), "{scope:?}");
    }
    let both = confidential(&["hr"], Integrity::Untrusted);
    let own = house::Case { label: both, ..of(remembers(MemoryScope::Person)) };
    assert_eq!(rule_of(&own.under(STARTER)).0, "allow", "it leaves no walls, and keeps its label");
    assert_eq!(rule_of(&house::Case { label: Label::foreign(), ..own }.under(STARTER)).0, "allow", "as a proposal");
}

#[test]
fn a_rule_can_speak_of_whose_memory_it_is_and_of_what_is_written() {
    let all = r#"@id("all") permit (principal, action, resource);"#;
    let under = |action, rule: &str| rule_of(&of(action).under(&format!("{all}{rule}"))).0.to_owned();
    let tenants = r#"@id("no") forbid (principal, action == Action::"memory.read", resource)
        when { context.scopes.contains("tenant") };"#;
    assert_eq!(under(looks(&[MemoryScope::Person]), tenants), "allow");
    assert_eq!(under(looks(&[MemoryScope::Person, MemoryScope::Tenant]), tenants), "deny");
    let own = r#"@id("no") forbid (principal, action == Action::"memory.write", resource == Memory::"person")
        when { context has kind && context.kind == "fact" && !context.by_itself };"#;
    assert_eq!(under(remembers(MemoryScope::Person), own), "deny");
    assert_eq!(under(remembers(MemoryScope::Agent), own), "allow");
}
