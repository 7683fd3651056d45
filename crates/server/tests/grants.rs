//! Grants at the command line: shown in words before they are made, listed, and ended.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests")]

mod support;

use support::{Place, wait_for};

const TWICE: &str = r#"
[[turn]]
[[turn.step]]
[[turn.step.call]]
tool = "run_command"
arguments = { command = "echo hello" }

[[turn.step]]
[[turn.step.call]]
tool = "run_command"
arguments = { command = "echo hello again" }

[[turn.step]]
say = "Done."
"#;

const ASK: &str = r#"
@id("somebody-looks")
@reason("commands leave marks")
@ask("person")
forbid (principal, action == Action::"command.run", resource);
"#;

#[test]
fn an_answer_stands_for_what_its_words_say_and_is_revoked() {
    let place = Place::with_scenario(TWICE);
    let _server = place.serve();
    let starter = place.client(&["policy", "show"]).good().stdout;
    place.write("mine.cedar", &format!("{starter}\n{ASK}"));
    place.client(&["policy", "apply", "mine.cedar", "--reason", "A test"]).good();
    assert_eq!(place.client(&["run", "do it", "--model", "main"]).code, 6);
    let listed = place.client(&["approval", "list", "--json"]).good().json();
    let approval = listed["approvals"][0]["id"].as_str().unwrap();
    let session = listed["approvals"][0]["session_id"].as_str().unwrap();

    let wide = ["approve", approval, "--for", "session", "--what", "command", "--until", "8h"];
    let asked = place.client(&wide);
    assert_eq!(asked.code, 2, "nobody is there to say that these words are meant: {asked:?}");
    let words = "every plain command that begins with `echo hello`, with whatever arguments";
    assert!(asked.stderr.contains(words) && asked.stderr.contains("--yes"), "{asked:?}");
    let elsewhere = place.client(&["approve", approval, "--for", "agent", "--until", "8h", "--yes"]);
    assert_eq!(elsewhere.code, 2, "{elsewhere:?}");
    assert!(elsewhere.stderr.contains("--for session --what command"), "{elsewhere:?}");
    assert_eq!(place.client(&["approve", approval, "--for", "session", "--until", "soon"]).code, 2);

    let stands = place.client(&[&wide[..], &["--yes"]].concat()).good();
    assert!(stands.stdout.contains("It stands as grant_"), "{stands:?}");
    wait_for("the end of the turn", || {
        let shown = place.client(&["session", "show", session, "--json"]).good().json();
        (shown["session"]["status"] == "idle").then_some(())
    });
    let grants = place.client(&["grant", "list", "--json"]).good().json();
    let grant = grants["grants"][0]["id"].as_str().unwrap();
    let shown = place.client(&["grant", "show", grant]).good().stdout;
    assert!(shown.contains(words) && shown.contains("active"), "{shown}");
    let under = place.client(&["session", "show", session, "--json"]).good().stdout;
    assert!(under.contains(grant), "the receipts name it: {under}");
    place.client(&["grant", "revoke", grant]).good();
    let table = place.client(&["grant", "list"]).good().stdout;
    assert!(table.contains("revoked"), "{table}");
    assert_eq!(place.client(&["grant", "revoke", grant]).code, 1, "it has ended");
    assert_eq!(place.client(&["grant", "show", "x"]).code, 2);
}

#[test]
fn a_program_is_let_to_order_in_words_that_are_shown_first() {
    let place = Place::with_scenario(TWICE);
    let server = place.serve();
    place.client(&["user", "create", "Ada Lovelace", "--login", "ada"]).good();
    let key = place.client(&["key", "create", "--name", "bot", "--json"]).good().json();
    let (id, secret) = (key["id"].as_str().unwrap(), key["key"].as_str().unwrap());
    let create = ["grant", "create", "subject", "--program", id, "--person", "ada", "--until", "30d"];
    let asked = place.client(&create);
    assert_eq!(asked.code, 2, "{asked:?}");
    assert!(asked.stderr.contains("may order work from any agent for Ada Lovelace (user_"), "{asked:?}");
    assert!(place.client(&["grant", "list"]).good().stdout.contains("no grants"));
    place.client(&[&create[..], &["--yes"]].concat()).good();
    assert!(place.client(&["grant", "list"]).good().stdout.contains("active"));

    // The program sees what names it, and gives none itself.
    let by_program = |more: &[&str]| support::run(&[more, &["--server", &server.url, "--key", secret]].concat());
    assert!(by_program(&["grant", "list"]).good().stdout.contains("active"));
    let own = ["grant", "create", "relay", "--program", id, "--until", "1d", "--yes"];
    assert_eq!(by_program(&own).code, 5);
    assert_eq!(
        place.client(&["grant", "create", "relay", "--program", id, "--person", "ada", "--until", "1d"]).code,
        5
    );
}
