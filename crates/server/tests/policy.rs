//! `bailiwick policy …`: from the starter set to a rule of one's own, in force and after a restart.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests")]

mod support;

use support::Place;

const WORK: &str = r#"
[[turn]]
[[turn.step]]
[[turn.step.call]]
tool = "run_command"
arguments = { command = "echo hello" }

[[turn.step]]
say = "Done."
"#;

const NO_SHELL: &str = r#"
@id("no-shell")
@reason("commands are off this week")
@remedy("ask Olga")
forbid (principal, action == Action::"command.run", resource);
"#;

const CASES: &str = r#"
[[case]]
name = "files can be read"
expect = "allow"
rule = "own-files"
call = { tool = "read_file", arguments = { path = "report.txt" } }

[[case]]
name = "commands cannot be run"
expect = "deny"
call = { tool = "run_command", arguments = { command = "ls" } }
"#;

#[test]
fn a_rule_is_tried_out_applied_and_holds_after_a_restart() {
    let place = Place::with_scenario(WORK);
    let server = place.serve();
    let shown = place.client(&["policy", "show"]).good();
    assert!(shown.stdout.contains("@id(\"rule-of-two\")") && shown.stderr.contains("version 0"), "{shown:?}");
    place.client(&["run", "say hello", "--model", "main"]).good();

    place.write("mine.cedar", &format!("{}\n{NO_SHELL}", shown.stdout));
    place.write("cases.toml", CASES);
    place.client(&["policy", "apply", "mine.cedar", "--check"]).good();
    let diff = place.client(&["policy", "diff", "0", "mine.cedar"]).good().stdout;
    assert!(diff.starts_with("added no-shell\n  + @id(\"no-shell\")"), "{diff}");
    let simulated = place.client(&["policy", "simulate", "mine.cedar", "--json"]).good().json();
    assert!(simulated["simulation"]["changed"].as_u64().unwrap() >= 1, "{simulated}");
    assert_eq!(simulated["simulation"]["changes"][0]["then"]["rule"], "no-shell");

    let failed = place.client(&["policy", "test", "cases.toml"]);
    assert_eq!(failed.code, 1, "{failed:?}");
    assert!(
        failed.stderr.contains("commands cannot be run: expected deny, got allow by own-environment"),
        "{failed:?}"
    );
    place.client(&["policy", "test", "cases.toml", "--policy", "mine.cedar"]).good();

    let applied = place.client(&["policy", "apply", "mine.cedar", "--reason", "An audit is on"]).good().stdout;
    let rules = shown.stdout.lines().filter(|line| line.starts_with("@id(")).count() + 1;
    assert_eq!(applied, format!("version 1 with {rules} rules holds from the next action on\n"));
    let stale = place.client(&["policy", "apply", "mine.cedar", "--reason", "Again", "--expected", "0"]);
    assert_eq!(stale.code, 1, "{stale:?}");
    assert!(stale.stderr.contains("Version 1 holds"), "{stale:?}");

    server.kill();
    let _server = place.serve();
    let explained = place.client(&["policy", "explain", "run_command", r#"{"command": "ls"}"#]).good().stdout;
    assert!(explained.starts_with("deny by no-shell\n") && explained.contains("way out: ask Olga"), "{explained}");
    let listed = place.client(&["policy", "list"]).good().stdout;
    assert!(listed.contains("An audit is on") && listed.contains("the starter set"), "{listed}");
    let first = place.client(&["policy", "show", "0"]).good().stdout;
    assert_eq!(first, shown.stdout);
}

#[test]
fn a_bad_rule_is_refused_with_its_line_and_the_way_out() {
    let place = Place::with_scenario(WORK);
    let _server = place.serve();
    place.write("bad.cedar", "@id(\"a\")\n@aks(\"person\")\nforbid (principal, action, resource);\n");
    for arguments in
        [&["policy", "apply", "bad.cedar", "--check"][..], &["policy", "apply", "bad.cedar", "--reason", "x"]]
    {
        let refused = place.client(arguments);
        assert_eq!(refused.code, 1, "{refused:?}");
        let told = "line 1: rule `a`: there is no annotation `@aks` (did you mean `@ask`?";
        assert!(refused.stderr.contains(told), "{refused:?}");
    }
    let wrong = place.client(&["policy", "apply", "bad.cedar"]);
    assert_eq!(wrong.code, 2, "a reason is due: {wrong:?}");
}
