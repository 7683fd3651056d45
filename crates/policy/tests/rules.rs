//! What rules mean, from outside: text in, verdict out.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod house;

use bailiwick_core::{Action, Integrity};
use bailiwick_policy::{MAX_RULES, OPERATIONS, Policies, Rules, STARTER};
use bailiwick_ports::{
    Approver, ColleagueStatus, Meter, Policy, PolicyProblem, Residency, Role, Unit, Verdict, Window,
};
use bailiwick_types::{Principal, Timestamp, UserId};
use house::*;
use serde_json::json;
use std::sync::Arc;

const ALL: &str = "@id(\"all\") permit (principal, action, resource);";

fn with(more: &str) -> String {
    format!("{ALL}\n{more}")
}

#[test]
fn the_starter_set_lets_a_new_user_work_at_once() {
    for action in all() {
        for case in [of(action.clone()), of(action.clone()).alone()] {
            let verdict = Policies::new().decide(&case.request());
            assert!(matches!(verdict, Verdict::Allow { .. }), "{}: {verdict:?}", action.operation());
        }
    }
    let operations: Vec<&str> = all().iter().map(Action::operation).collect();
    assert_eq!(operations, OPERATIONS, "one of each");
    let case = of(model());
    assert_eq!(Policies::new().decide_at(&case.request()), (0, Verdict::allow("own-model")));
    assert_eq!(Rules::starter().text(), STARTER);
}

#[test]
fn the_rule_of_two_asks_before_anything_leaves_the_walls() {
    let both = confidential(&["hr"], Integrity::Untrusted);
    let at = |label: &bailiwick_core::Label, action: Action| Case { label: label.clone(), ..of(action) }.under(STARTER);
    let verdict = at(&both, call("mail", json!({"to": "a@b.example"})));
    let Verdict::Ask { rule, reason, approver } = verdict else { panic!("{verdict:?}") };
    assert_eq!((rule.as_str(), approver), ("rule-of-two", Approver::Person));
    assert!(reason.contains("untrusted input"), "{reason}");
    // Either alone does not.
    let plain = bailiwick_core::Label { integrity: Integrity::Untrusted, ..Default::default() };
    let trusted = confidential(&["hr"], Integrity::Trusted);
    assert_eq!(rule_of(&at(&plain, call("mail", json!({"to": "a@b.example"})))).0, "allow");
    assert_eq!(rule_of(&at(&trusted, call("mail", json!({"to": "a@b.example"})))).0, "allow");
    // A model inside, or cleared for every group, does not leave the walls; one that is cleared for some does.
    let of_two = confidential(&["hr", "finance"], Integrity::Untrusted);
    for (residency, clearance, expected) in [
        (Residency::Inside, vec![], "allow"),
        (Residency::Outside, vec!["hr", "finance", "legal"], "allow"),
        (Residency::Outside, vec!["hr"], "ask"),
        (Residency::Outside, vec![], "ask"),
    ] {
        let clearance = clearance.into_iter().map(str::to_owned).collect();
        let model_card = Some(bailiwick_ports::ModelCard { residency, clearance, ..card() });
        let case = Case { label: of_two.clone(), model: model_card, ..of(model()) };
        assert_eq!(rule_of(&case.under(STARTER)).0, expected, "{residency:?}");
        assert_eq!(rule_of(&Case { approved: true, ..case }.under(STARTER)).0, "allow");
    }
    let unknown = Case { label: of_two, model: None, ..of(model()) };
    assert_eq!(rule_of(&unknown.under(STARTER)).0, "ask", "a model without a card is outside");
}

#[test]
fn what_no_rule_permits_is_denied() {
    let only_files = "@id(\"files\") permit (principal, action == Action::\"file.read\", resource);";
    assert_eq!(rule_of(&of(read("/workspace/a")).under(only_files)), ("allow", "files"));
    let verdict = of(write("/workspace/a")).under(only_files);
    let Verdict::Deny { rule, reason, .. } = &verdict else { panic!("{verdict:?}") };
    assert_eq!(rule, "policy.default");
    assert!(reason.contains("file.write") && reason.contains("agent_"), "{reason}");
    assert_eq!(rule_of(&of(model()).under("")), ("deny", "policy.default"));
}

#[test]
fn both_must_be_allowed_and_the_denial_says_on_which_side() {
    let agent_only = "@id(\"a\") permit (principal is Agent, action, resource);";
    let person_only = "@id(\"p\") permit (principal is User, action, resource);";
    let sides = |rules: &str, case: &Case| match case.under(rules) {
        Verdict::Deny { reason, .. } => reason,
        verdict => panic!("{verdict:?}"),
    };
    let case = of(model());
    assert!(sides(agent_only, &case).contains("the person user_"), "{}", sides(agent_only, &case));
    assert!(sides(person_only, &case).contains("the agent agent_"));
    assert_eq!(rule_of(&case.under(&format!("{agent_only}\n{person_only}"))), ("allow", "a, p"));
    // A forbid about the person's role denies although the agent may.
    let no_members =
        with("@id(\"m\") forbid (principal in Role::\"member\", action == Action::\"model.call\", resource);");
    assert_eq!(rule_of(&case.under(&no_members)), ("deny", "m"));
    // Ordered by a program, only the agent is asked.
    assert_eq!(rule_of(&of(model()).alone().under(agent_only)), ("allow", "a"));
    assert_eq!(of(model()).alone().explained(agent_only).sides.len(), 1);
    assert_eq!(case.explained(agent_only).sides.len(), 2);
}

#[test]
fn who_stands_behind_the_turn_must_be_known_and_may_not_be_disabled() {
    let denied = |case: Case| match case.under(ALL) {
        Verdict::Deny { rule, .. } => rule,
        verdict => panic!("{verdict:?}"),
    };
    assert_eq!(denied(Case { person: None, ..of(model()) }), "person.unknown");
    assert_eq!(denied(Case { principal: service(), ..of(model()) }), "person.unknown");
    let other = behalf(Some(Principal::User { id: UserId::from_u128(77) }));
    assert_eq!(denied(Case { principal: other, ..of(model()) }), "person.unknown");
    let mut case = of(model());
    case.person.as_mut().unwrap().disabled = true;
    assert_eq!(denied(case), "person.disabled");
    for status in [ColleagueStatus::Suspended, ColleagueStatus::Retired] {
        let mut case = of(model());
        case.colleague.as_mut().unwrap().status = status;
        assert_eq!(denied(case), "agent.status");
    }
    let chain = behalf(Some(behalf(Some(Principal::User { id: ANNA }))));
    assert_eq!(denied(Case { principal: chain, ..of(model()) }), "principal");
}

#[test]
fn the_remit_narrows_and_rules_cannot_widen_it() {
    let mut case = of(run("ls"));
    case.agent.remit.allow = vec!["model.call".into()];
    assert_eq!(rule_of(&case.under(ALL)), ("deny", "remit.allow"));
    let unfit = of(call("mail", json!({"to": 5})));
    assert_eq!(rule_of(&unfit.under(ALL)), ("deny", "agent.tools.parameters"));
}

#[test]
fn a_rule_that_cannot_be_evaluated_denies() {
    // Both effects, both sides: nothing is skipped.
    let overflow = "context.time.now * 9223372036854775807 > 0";
    for rule in [
        format!("@id(\"broken\") forbid (principal, action, resource) when {{ {overflow} }};"),
        format!("@id(\"broken\") permit (principal, action, resource) when {{ {overflow} }};"),
        format!("@id(\"broken\") @ask(\"person\") forbid (principal is User, action, resource) when {{ {overflow} }};"),
    ] {
        let case =
            Case { now: Timestamp::from_millis(5), approved: true, ..of(call("mail", json!({"to": "a@b.example"}))) };
        let Verdict::Deny { rule: id, reason, .. } = case.under(&with(&rule)) else { panic!("{rule}") };
        assert_eq!(id, "broken");
        assert!(reason.contains("could not be evaluated"), "{reason}");
    }
}

#[test]
fn asking_holds_until_somebody_agrees_and_a_plain_forbid_wins() {
    let ask = |who: &str| {
        with(&format!(
            "@id(\"ask\") @ask(\"{who}\") @reason(\"Mail leaves the house\") forbid (principal, action == Action::\"tool.call\", resource);"
        ))
    };
    let case = of(call("mail", json!({"to": "a@b.example"})));
    for (who, expected) in [
        ("person", Approver::Person),
        ("second", Approver::Second { role: None, team: None }),
        ("second:role:operator", Approver::Second { role: Some(Role::Operator), team: None }),
        (&format!("second:team:{SALES}"), Approver::Second { role: None, team: Some(SALES) }),
    ] {
        let asked = Verdict::Ask { rule: "ask".into(), reason: "Mail leaves the house".into(), approver: expected };
        assert_eq!(case.under(&ask(who)), asked);
        assert_eq!(rule_of(&Case { approved: true, ..case.clone() }.under(&ask(who))), ("allow", "all"));
    }
    let approved = Case { approved: true, ..case.clone() };
    let forbidden =
        format!("{}\n@id(\"no\") @remedy(\"Write a letter\") forbid (principal, action, resource);", ask("person"));
    let Verdict::Deny { rule, remedy, .. } = approved.under(&forbidden) else { panic!() };
    assert_eq!((rule.as_str(), remedy.as_str()), ("no", "Write a letter"));
    // What nothing permits is not asked about, and approving it changes nothing.
    let unpermitted = "@id(\"ask\") @ask(\"person\") forbid (principal, action, resource);";
    assert_eq!(rule_of(&case.under(unpermitted)), ("deny", "policy.default"));
    assert_eq!(rule_of(&approved.under(unpermitted)), ("deny", "policy.default"));
    // A second person outranks the acting one, whatever the order; of different ones each is asked.
    let two = |one: &str, other: &str| {
        format!(
            "{ALL}\n@id(\"one\") @ask(\"{one}\") forbid (principal, action, resource);\n@id(\"other\") @ask(\"{other}\") forbid (principal, action, resource);"
        )
    };
    for text in [two("person", "second"), two("second", "person")] {
        assert!(matches!(case.under(&text), Verdict::Ask { approver: Approver::Second { .. }, .. }));
    }
    let Verdict::Ask { rule, approver, .. } = case.under(&two("second:role:admin", "second:role:operator")) else {
        panic!("both are asked")
    };
    assert_eq!((rule.as_str(), approver.each().len()), ("one, other", 2));
    // With nobody behind the turn somebody else is asked.
    let alone = Case { principal: behalf(None), person: None, ..case };
    assert!(matches!(alone.under(&ask("person")), Verdict::Ask { approver: Approver::Second { .. }, .. }));
}

#[test]
fn limits_become_meters_that_name_whom_they_count_for() {
    let meters = |rules: &str, case: &Case| match case.under(rules) {
        Verdict::Allow { meters, .. } => meters,
        verdict => panic!("{verdict:?}"),
    };
    let limited = |limit: &str| format!("@id(\"mail\") @limit(\"{limit}\") permit (principal, action, resource);");
    let case = of(call("mail", json!({"to": "a@b.example"})));
    for (limit, account, window, most) in [
        ("10 per hour per session", format!("mail/{SESSION}"), Window::Hour, 10),
        ("3 per day per agent", format!("mail/{AGENT}"), Window::Day, 3),
        ("0 per month per person", format!("mail/{ANNA}"), Window::Month, 0),
        ("7 per tenant", format!("mail/{TENANT}"), Window::Total, 7),
    ] {
        let expected = Meter { account, unit: Unit::Count, window, amount: 1, limit: most, warn_only: false };
        assert_eq!(meters(&limited(limit), &case), [expected], "both sides count once");
    }
    // A broader permit beside it does not lift the limit.
    assert_eq!(meters(&format!("{ALL}\n{}", limited("10 per hour per session")), &case).len(), 1);
    let program = of(call("mail", json!({"to": "a@b.example"}))).alone();
    assert!(meters(&limited("1 per person"), &program)[0].account.starts_with("mail/key_"));

    let summed = "@id(\"pay\") @limit(\"500 per day per person\") @sum(\"order/amount\") permit (principal, action == Action::\"tool.call\", resource);";
    let paid = |arguments| of(call("pay", arguments));
    let meter = &meters(summed, &paid(json!({"order": {"amount": 120}})))[0];
    assert_eq!((meter.unit, meter.amount, meter.limit), (Unit::Sum, 120, 500));
    for wrong in [
        json!({}),
        json!({"order": {"amount": "120"}}),
        json!({"order": {"amount": 1.5}}),
        json!({"order": {"amount": -5}}),
        json!({"order/amount": 1}),
    ] {
        assert_eq!(rule_of(&paid(wrong.clone()).under(summed)), ("deny", "pay"), "{wrong}");
    }
}

#[test]
fn rules_speak_about_typed_arguments() {
    let rules = with(
        "@id(\"inside\") forbid (principal, action == Action::\"tool.call\", resource == Tool::\"mail\")
         unless { context.text.hasTag(\"to\") && context.text.getTag(\"to\") like \"*@example.com\" };
         @id(\"few\") forbid (principal, action == Action::\"tool.call\", resource) when { context.number.hasTag(\"n\") && context.number.getTag(\"n\") > 5 };
         @id(\"known\") forbid (principal, action == Action::\"tool.call\", resource) when { context.arguments.contains(\"subject\") };
         @id(\"clear\") forbid (principal, action == Action::\"tool.call\", resource) unless { context.opaque.isEmpty() };",
    );
    for (arguments, expected) in [
        (json!({"to": "anna@example.com", "n": 5}), ("allow", "all")),
        (json!({"to": "anna@evil.example"}), ("deny", "inside")),
        (json!({"to": "anna@example.com", "n": 6}), ("deny", "few")),
        (json!({"to": "anna@example.com", "subject": "x"}), ("deny", "known")),
        (json!({"to": "anna@example.com", "rate": 0.5}), ("deny", "clear")),
    ] {
        assert_eq!(rule_of(&of(call("mail", arguments.clone())).under(&rules)), expected, "{arguments}");
    }
}

#[test]
fn commands_are_vectors_where_they_are_one() {
    let rules = "@id(\"git\") permit (principal, action == Action::\"command.run\", resource)
        when { resource has plain && resource.plain.program == \"git\" && !resource.plain.arguments.contains(\"push\") };";
    for (command, expected) in [
        ("git status", "allow"),
        ("git  push", "deny"),
        ("git status; rm -rf /", "deny"),
        ("$(git status)", "deny"),
        ("sh -c 'git status'", "deny"),
    ] {
        assert_eq!(rule_of(&of(run(command)).under(rules)).0, expected, "{command}");
    }
}

#[test]
fn operations_of_a_kind_can_be_told_apart() {
    let rules = "@id(\"read\") permit (principal, action == Action::\"file.read\", resource) when { context.operation == \"file.read\" };";
    assert_eq!(rule_of(&of(read("/a")).under(rules)).0, "allow");
    assert_eq!(rule_of(&of(all()[13].clone()).under(rules)).0, "deny", "publishing is another operation");
}

fn refused(text: &str) -> Vec<PolicyProblem> {
    Rules::compile(text).err().unwrap_or_default()
}

#[test]
fn what_could_not_mean_what_it_says_is_refused_with_its_line_and_the_way_out() {
    let long = "x".repeat(501);
    for (text, line, says) in [
        ("permit (principal, action, resource);", 1, "no id"),
        ("\n\n@id(\"A b\") permit (principal, action, resource);", 3, "cannot be an id"),
        (
            "@id(\"a\") permit (principal, action, resource);\n@id(\"a\") permit (principal, action, resource);",
            2,
            "of this id already",
        ),
        ("@id(\"a\") @aks(\"person\") forbid (principal, action, resource);", 1, "did you mean `@ask`"),
        ("@id(\"a\") @ask(\"boss\") forbid (principal, action, resource);", 1, "names nobody"),
        ("@id(\"a\") @ask(\"second:role:boss\") forbid (principal, action, resource);", 1, "operator"),
        ("@id(\"a\") @ask(\"person\") permit (principal, action, resource);", 1, "is for a `forbid`"),
        (
            "@id(\"a\") @limit(\"10 per hour per session\") forbid (principal, action, resource);",
            1,
            "is for a `permit`",
        ),
        ("@id(\"a\") @limit(\"-1 per session\") permit (principal, action, resource);", 1, "cannot be read"),
        (
            "@id(\"a\") @limit(\"10 per week per session\") permit (principal, action, resource);",
            1,
            "10 per hour per session",
        ),
        (
            "@id(\"a\") @sum(\"x\") permit (principal, action == Action::\"tool.call\", resource);",
            1,
            "without `@limit`",
        ),
        (
            "@id(\"a\") @limit(\"1 per agent\") @sum(\"x\") permit (principal, action, resource);",
            1,
            "other actions too",
        ),
        ("@id(\"a\")\nforbid (principal, action, resource)\nwhen { principal.salary > 1 };", 3, "salary"),
        ("@id(\"a\") forbid (principal is User, action, resource)\nwhen { principal.email like \"*x\" };", 2, "email"),
        (
            "@id(\"a\") forbid (principal, action == Action::\"tool.call\", resource)\nwhen { context.text.getTag(\"to\") == \"x\" };",
            2,
            "tag",
        ),
        ("@id(\"a\") forbid (principal, action == Action::\"tool.kall\", resource);", 1, "tool.kall"),
        ("@id(\"a\") forbid (principal in Role::\"boss\", action, resource);", 1, "boss"),
        (
            "@id(\"a\") forbid (principal, action == Action::\"file.read\", resource in Folder::\"/a/../b/\");",
            1,
            "`/b`",
        ),
        ("@id(\"a\") forbid (principal == User::\"anna\", action, resource);", 1, "user_"),
        ("@id(\"a\") permit (principal == ?principal, action, resource);", 0, "template"),
        ("@id(\"a\") permit (principal, action, resource) when { false };", 1, ""),
        (&format!("@id(\"a\") @reason(\"{long}\") forbid (principal, action, resource);"), 1, "500 characters"),
        ("@id(\"a\")\npermit (principal, action resource);", 2, ""),
    ] {
        let problems = refused(text);
        let told = problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
        assert!(told.contains(says) && !problems.is_empty(), "{text}\n{told}");
        assert_eq!(problems[0].line.unwrap_or(0), line, "{text}\n{told}");
    }
}

#[test]
fn the_number_and_size_of_rules_are_bounded() {
    let rule = |n: usize| format!("@id(\"r{n}\") permit (principal, action, resource);\n");
    let many: String = (0..=MAX_RULES).map(rule).collect();
    assert!(refused(&many)[0].message.contains("at most 10000"));
    let long = format!(
        "@id(\"a\") permit (principal, action, resource) when {{ context.operation != \"{}\" }};",
        "x".repeat(20_000)
    );
    assert!(refused(&long)[0].message.contains("at most 16384"));
    assert!(!refused(&" ".repeat(5 * 1024 * 1024)).is_empty());
}

#[test]
fn a_new_version_holds_at_once_and_an_older_one_never_again() {
    let policies = policies(ALL);
    let case = of(model());
    assert_eq!(policies.decide_at(&case.request()), (1, Verdict::allow("all")));
    policies.apply(TENANT, 3, Arc::new(Rules::compile("").unwrap()));
    assert_eq!(rule_of(&policies.decide(&case.request())).0, "deny");
    policies.apply(TENANT, 2, Arc::new(Rules::compile(ALL).unwrap()));
    assert_eq!(policies.decide_at(&case.request()).0, 3);
}

#[test]
fn explaining_names_the_rules_of_each_side() {
    let rules = with(
        "@id(\"ask\") @ask(\"person\") forbid (principal is User, action, resource);
        @id(\"elsewhere\") forbid (principal, action, resource == Tool::\"other\");",
    );
    let explained = of(call("mail", json!({"to": "a@b.example"}))).explained(&rules);
    assert_eq!(rule_of(&explained.verdict), ("ask", "ask"));
    let [agent, person] = explained.sides.as_slice() else { panic!() };
    assert_eq!((agent.permits.as_slice(), agent.asks.len()), (["all".to_owned()].as_slice(), 0));
    assert_eq!(person.asks, ["ask"]);
    assert_eq!(agent.evaluated, 2, "rules about another function are not evaluated");
}
