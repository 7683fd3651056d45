//! What the command line says of itself, word for word.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests")]

mod support;

use support::{golden, run};

#[test]
fn help_is_as_it_was() {
    for words in [
        "",
        "serve",
        "run",
        "session",
        "session list",
        "session show",
        "session tail",
        "session cancel",
        "session delete",
        "session resolve",
        "approval",
        "approval list",
        "approval show",
        "stop",
        "stop set",
        "stop list",
        "stop lift",
        "approve",
        "deny",
        "agent",
        "agent apply",
        "agent list",
        "agent show",
        "login",
        "logout",
        "user",
        "user create",
        "user list",
        "user show",
        "user change",
        "user disable",
        "user enable",
        "user reset-password",
        "team",
        "team create",
        "team list",
        "agent publish",
        "tenant",
        "tenant create",
        "tenant list",
        "tenant key",
        "key",
        "key create",
        "key list",
        "key rotate-signing",
        "key revoke",
        "audit",
        "audit list",
        "audit show",
        "audit tail",
        "audit export",
        "audit evidence",
        "audit verify",
        "audit key",
        "audit reach",
        "audit changes",
        "connector",
        "connector apply",
        "connector import",
        "connector list",
        "connector show",
        "connector accept",
        "connector remove",
        "connector publish",
        "connector withdraw",
        "connector catalogue",
        "connector ask",
        "connector requests",
        "connector grant",
        "connector refuse",
        "connector take-back",
        "skill",
        "skill add",
        "skill list",
        "skill show",
        "skill remove",
        "grant",
        "grant create",
        "grant list",
        "grant show",
        "grant revoke",
        "budget",
        "budget set",
        "budget list",
        "budget remove",
        "spend",
        "spend show",
        "spend export",
        "spend estimate",
        "policy",
        "policy list",
        "policy show",
        "policy apply",
        "policy diff",
        "policy test",
        "policy simulate",
        "policy explain",
        "model",
        "model test",
        "doctor",
        "demo",
    ] {
        let mut arguments: Vec<&str> = words.split_whitespace().collect();
        arguments.push("--help");
        let ended = run(&arguments).good();
        let name = if words.is_empty() { "bailiwick".to_owned() } else { words.replace(' ', "-") };
        golden(&format!("help/{name}.txt"), &ended.stdout);
    }
}

#[test]
fn wrong_usage_is_exit_code_2_and_says_what_is_possible() {
    for (arguments, part) in [
        (&["srve"][..], "serve"),
        (&[], "Usage"),
        (&["run", "x"], "--model"),
        (&["run", "x", "--agent", "a", "--model", "b"], "cannot be used with"),
        (&["session", "list", "--limit", "0"], "1..=1000"),
        (&["session", "list", "--data", "/x", "--server", "http://y"], "cannot be used with"),
        (&["demo", "--model-url", "http://x"], "--model"),
        (&["run", "  ", "--model", "m"], "the task is empty"),
        (&["session", "list", "--server", "ftp://x"], "is not the URL of a server"),
        (&["key", "create", "--scope", "session:read"], "did you mean `sessions:read`"),
        (&["key", "create", "--environment", "env_1"], "add --kind access-key"),
        (&["key", "revoke", "x"], "begins with `key_`"),
        (&["session", "resolve", "s", "a", "happened"], "begins with `act_`"),
        (&["approve", "1"], "begins with `act_`"),
        (&["serve", "--data", "/x", "--listen", "here"], "--listen"),
    ] {
        let ended = run(arguments);
        assert_eq!(ended.code, 2, "{arguments:?}: {ended:?}");
        assert!(ended.stderr.contains(part), "{arguments:?}: {ended:?}");
        assert_eq!(ended.stdout, "", "{arguments:?}");
    }
}

#[test]
fn without_a_server_commands_say_so_and_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data").display().to_string();
    for arguments in [
        &["session", "list"][..],
        &["session", "show", "s"],
        &["agent", "list"],
        &["key", "list"],
        &["run", "x", "--model", "m"],
        &["model", "test", "m"],
    ] {
        let ended = run(&[arguments, &["--data", &data]].concat());
        assert_eq!(ended.code, 1, "{ended:?}");
        assert!(ended.stderr.contains("no server runs on the data folder"), "{ended:?}");
        assert!(ended.stderr.contains("help: start it with `bailiwick serve --data"), "{ended:?}");
    }
    let ended = run(&["session", "list", "--json", "--server", "http://127.0.0.1:1"]);
    assert_eq!((ended.code, ended.json()["error"]["code"].as_str()), (1, Some("failed")));
}
