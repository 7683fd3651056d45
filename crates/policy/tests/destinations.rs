//! Where a call goes: rules that let a sink through because a person named it, or because it is on an approved list.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod house;

use bailiwick_core::Integrity;
use bailiwick_policy::Rules;
use house::{Case, call, called, confidential, of, rule_of};
use serde_json::json;

/// The rule of two of the starter set, with its way out for pinned destinations.
const PINNED: &str = r#"
@id("all") permit (principal, action, resource);
@id("partners") @destinations("billing@acme.example, @partner.example files.example *.cdn.example")
@reason("it could carry confidential data out at the word of a stranger")
forbid (principal, action, resource)
when { context.label.untrusted && context.label.confidential && context.leaves_walls }
unless {
  context has destination &&
  (context.destination.in_persons_words || context.destination.lists.contains("partners"))
};
"#;

fn case(to: serde_json::Value, said: &[&str]) -> Case {
    let said = said.iter().map(|one| (*one).to_owned()).collect();
    let action = called("mail", &to.to_string()).unwrap();
    Case { label: confidential(&["hr"], Integrity::Untrusted), said, ..of(action) }
}

fn decided(to: serde_json::Value, said: &[&str]) -> &'static str {
    rule_of(&case(to, said).under(PINNED)).0
}

#[test]
fn only_what_a_person_named_or_a_list_holds_goes_out() {
    assert_eq!(decided(json!({"to": "eve@evil.example"}), &["anna@example.com"]), "deny");
    assert_eq!(decided(json!({"to": "ANNA@Example.com"}), &["anna@example.com"]), "allow", "in canonical form");
    assert_eq!(decided(json!({"to": "billing@acme.example"}), &[]), "allow");
    assert_eq!(decided(json!({"to": "eve@acme.example"}), &[]), "deny");
    assert_eq!(decided(json!({"to": "anybody@partner.example"}), &[]), "allow");
    assert_eq!(decided(json!({"to": "x@evil-partner.example"}), &[]), "deny");
    // Every destination counts, each for itself by the same reason.
    let both = json!({"to": "anna@example.com", "page": "https://a.cdn.example/x"});
    assert_eq!(decided(both.clone(), &["anna@example.com"]), "deny", "one said, the other listed");
    assert_eq!(decided(both, &["anna@example.com", "https://a.cdn.example/x"]), "allow");
    let listed = json!({"to": "x@partner.example", "page": "https://a.cdn.example/x"});
    assert_eq!(decided(listed, &[]), "allow");
    let url = |page: &str| decided(json!({"to": "x@partner.example", "page": page}), &[]);
    assert_eq!(url("https://FILES.example:443/a"), "allow");
    assert_eq!(url("https://files.example.evil.example/"), "deny");
    // Text that no format says is a destination is none, and a call without any goes nowhere that was named.
    assert_eq!(
        rule_of(&Case { action: call("pay", json!({})), ..case(json!({"to": "a@b.example"}), &[]) }.under(PINNED)).0,
        "deny"
    );
}

#[test]
fn only_to_colleagues_means_every_destination_and_mail_addresses_only() {
    const COLLEAGUES: &str = r#"
@id("all") permit (principal, action, resource);
@id("colleagues-only") @reason("mail goes to people of ours")
forbid (principal, action == Action::"tool.call", resource == Tool::"mail")
unless { context.destination.in_directory };
"#;
    let decided = |to: serde_json::Value, known: &[&str]| {
        let colleagues = known.iter().map(|one| (*one).to_owned()).collect();
        rule_of(&Case { colleagues, ..case(to, &[]) }.under(COLLEAGUES)).0
    };
    assert_eq!(decided(json!({"to": "Anna@Example.com"}), &["anna@example.com"]), "allow");
    assert_eq!(decided(json!({"to": "eve@evil.example"}), &["anna@example.com"]), "deny");
    let both = json!({"to": "anna@example.com", "page": "https://a.cdn.example/x"});
    assert_eq!(decided(both, &["anna@example.com", "https://a.cdn.example/x"]), "deny", "a page is nobody's address");
}

#[test]
fn a_way_out_for_functions_is_none_for_anything_else() {
    let command = Case { action: house::run("curl partner.example"), ..case(json!({"to": "a@b.example"}), &[]) };
    assert_eq!(rule_of(&command.under(PINNED)).0, "deny");
}

#[test]
fn a_list_that_cannot_be_read_is_refused_with_its_entry() {
    for (list, says) in
        [("", "1 to 500"), ("anna at example.com, https://x.example/", "https"), ("@", "host"), ("a@b@c", "a@b@c")]
    {
        let text = format!("@id(\"a\") @destinations(\"{list}\") permit (principal, action, resource);");
        let problems = Rules::compile(&text).unwrap_err();
        assert!(problems[0].to_string().contains(says), "{list}: {}", problems[0]);
    }
}
