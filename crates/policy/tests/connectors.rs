//! What rules are told of connectors, and what the starter set says of them.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod house;

use bailiwick_core::{ConnectorKind, Integrity, Label, connector::StatementKind};
use house::{asks, confidential, rule_of, sends};
use serde_json::json;

const ALL: &str = r#"@id("all") permit (principal, action, resource);"#;

#[test]
fn a_rule_reaches_one_tool_or_a_whole_connector_under_the_name_that_the_organisation_gave_it() {
    let case = sends(json!({"to": "anna@example.com"}));
    assert_eq!(rule_of(&case.under(ALL)).0, "allow");
    for rule in [
        r#"@id("no") forbid (principal, action == Action::"tool.call", resource == Tool::"crm/send");"#,
        r#"@id("no") forbid (principal, action == Action::"tool.call", resource in Connector::"crm");"#,
        r#"@id("no") forbid (principal, action == Action::"tool.call", resource) when { context has effect && context.effect == "write" };"#,
        r#"@id("no") forbid (principal, action == Action::"tool.call", resource) when { context.leaves_walls };"#,
        r#"@id("no") forbid (principal, action == Action::"tool.call", resource)
            when { context.text.hasTag("to") && context.text.getTag("to") like "*@example.com" };"#,
    ] {
        assert_eq!(rule_of(&case.under(&format!("{ALL}{rule}"))), ("deny", "no"), "{rule}");
    }
    let other = r#"@id("no") forbid (principal, action == Action::"tool.call", resource in Connector::"books");"#;
    assert_eq!(rule_of(&case.under(&format!("{ALL}{other}"))).0, "allow");
}

#[test]
fn arguments_are_held_against_the_schema_that_the_connector_gave() {
    assert_eq!(rule_of(&sends(json!({"n": "seven"})).under(ALL)), ("deny", "connector.parameters"));
    let mut unknown = sends(json!({}));
    unknown.connector.as_mut().unwrap().tool = None;
    assert_eq!(rule_of(&unknown.under(ALL)), ("deny", "agent.connectors"));
    let mut taken = sends(json!({}));
    taken.agent.connectors.clear();
    assert_eq!(rule_of(&taken.under(ALL)), ("deny", "agent.connectors"));
    let mut gone = sends(json!({}));
    gone.connector = None;
    assert_eq!(rule_of(&gone.under(ALL)).0, "deny");
}

#[test]
fn tables_and_columns_are_what_rules_see_of_a_statement() {
    let salaries = r#"@id("salaries") forbid (principal, action == Action::"data.query", resource == Connector::"books")
        when { context.tables.contains("public.salaries") };"#;
    let iban = r#"@id("iban") forbid (principal, action == Action::"data.query", resource)
        when { context.columns.containsAny(["public.people.iban", "public.people.*"]) };"#;
    let under = |case: &house::Case, rule: &str| rule_of(&case.under(&format!("{ALL}{rule}"))).1.to_owned();
    let read = |tables: &[(&str, Option<&[&str]>)]| asks(StatementKind::Read, tables);
    assert_eq!(under(&read(&[("public.invoices", None), ("public.salaries", None)]), salaries), "salaries");
    assert_ne!(under(&read(&[("public.invoices", None)]), salaries), "salaries");
    assert_eq!(under(&read(&[("public.people", Some(&["name", "iban"]))]), iban), "iban");
    assert_eq!(under(&read(&[("public.people", None)]), iban), "iban", "all columns are also this one");
    assert_ne!(under(&read(&[("public.people", Some(&["name"]))]), iban), "iban");
}

#[test]
fn the_starter_set_lets_statements_read_asks_before_they_write_and_keeps_the_rule_of_two() {
    let starter = include_str!("../starter.cedar");
    assert_eq!(rule_of(&asks(StatementKind::Read, &[("t", None)]).under(starter)).0, "allow");
    assert_eq!(rule_of(&asks(StatementKind::Write, &[("t", None)]).under(starter)), ("ask", "changes-are-confirmed"));
    let sent = sends(json!({"to": "anna@example.com"}));
    assert_eq!(rule_of(&sent.clone().under(starter)).0, "allow");
    let both = confidential(&["hr"], Integrity::Untrusted);
    let tainted = house::Case { label: both.clone(), ..sent.clone() };
    assert_eq!(rule_of(&tainted.under(starter)), ("ask", "rule-of-two"));
    let inside = house::Case { label: both, ..asks(StatementKind::Read, &[("t", None)]) };
    assert_eq!(rule_of(&inside.under(starter)).0, "allow", "nothing leaves the walls");
    assert_eq!(rule_of(&house::Case { label: Label::foreign(), ..sent }.under(starter)).0, "allow");
}

#[test]
fn mail_is_asked_about_and_leaves_the_walls_unless_it_stays_among_colleagues() {
    let starter = include_str!("../starter.cedar");
    let walls = format!(r#"{ALL}@id("walls") forbid (principal, action, resource) when {{ context.leaves_walls }};"#);
    for kind in [ConnectorKind::Mail, ConnectorKind::Calendar, ConnectorKind::Mcp] {
        let called = |arguments: serde_json::Value| {
            let mut case = sends(arguments);
            let connector = case.connector.as_mut().unwrap();
            (connector.spec.kind, connector.spec.inside) = (kind, true);
            case.colleagues = ["ben@example.com".to_owned()].into();
            case
        };
        let (colleague, stranger) =
            (called(json!({"to": "ben@example.com"})), called(json!({"to": "eve@evil.example"})));
        let nobody = called(json!({}));
        let carries = kind != ConnectorKind::Mcp;
        let asked = if carries { ("ask", "mail-is-confirmed") } else { ("allow", "own-functions") };
        assert_eq!(rule_of(&colleague.under(starter)), asked, "{kind:?}");
        assert_eq!(rule_of(&stranger.under(starter)), asked, "{kind:?}");
        assert_eq!(rule_of(&nobody.under(starter)).0, "allow", "{kind:?}: reading asks nobody");
        // The server is inside, and what it carries is not.
        let leaves = if carries { ("deny", "walls") } else { ("allow", "all") };
        assert_eq!(rule_of(&stranger.under(&walls)), leaves, "{kind:?}");
        assert_eq!(rule_of(&colleague.under(&walls)).0, "allow", "{kind:?}");
        assert_eq!(rule_of(&nobody.under(&walls)).0, "allow", "{kind:?}");
    }
}
