//! Connectors at the command line, to a real MCP server: kept by a file, given to an agent, used, accepted and removed.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests start real servers")]

mod support;

use serde_json::Value;
use std::{
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
};
use support::{Place, wait_for};

const SCENARIO: &str = r#"
[[turn]]
[[turn.step]]
[[turn.step.call]]
tool = "every__echo"
as = "echo"
arguments = { message = "grüße" }

[[turn.step]]
say = "It said: {{ result echo }}"
"#;

/// The reference server with one of everything. It ends with the test.
struct Everything {
    child: Child,
    url: String,
}

impl Everything {
    fn start() -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let package = "target/tools/mcp-servers/node_modules/@modelcontextprotocol/server-everything/dist/index.js";
        let script = root.join(package);
        assert!(script.exists(), "run .ci/fetch-tools.sh mcp-servers first");
        loop {
            let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
            let mut command = Command::new("node");
            command.arg(&script).arg("streamableHttp").env("PORT", port.to_string());
            let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
            let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
            if lines.by_ref().map_while(Result::ok).any(|line| line.contains("listening on port")) {
                std::thread::spawn(move || lines.for_each(drop));
                return Self { child, url: format!("http://127.0.0.1:{port}/mcp") };
            }
            // Somebody else took the port meanwhile.
            let _ = child.wait();
        }
    }
}

impl Drop for Everything {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn described(url: &str) -> String {
    format!(
        "[every]\nkind = \"mcp\"\ndescription = \"One of everything\"\ninside = true\n\
         settings = {{ transport = {{ type = \"http\", url = \"{url}\" }} }}\neffects = {{ echo = \"read\" }}\n"
    )
}

const AGENT: &str = "name = \"clerk\"\nmodel = \"main\"\n[[bailiwick.connectors]]\nname = \"every\"\ntools = [\"echo\"]\nrequired = true\n";

#[test]
fn a_real_mcp_server_is_kept_given_used_accepted_and_removed() {
    let everything = Everything::start();
    let place = Place::with_scenario(SCENARIO);
    let _server = place.serve();
    place.write("connectors.toml", &described(&everything.url));
    let applied = place.client(&["connector", "apply", "-f", "connectors.toml", "--reason", "A test"]).good();
    assert_eq!(applied.stdout, "every version 1\n");
    let listed = place.client(&["connector", "list"]).good().stdout;
    assert!(listed.contains("every") && listed.contains("127.0.0.1") && listed.contains("inside"), "{listed}");
    let tested = place.client(&["connector", "test", "every"]).good().stdout;
    assert!(tested.contains("ready") && tested.contains("127.0.0.1") && tested.contains("get-sum"), "{tested}");
    place.write("agent.toml", AGENT);
    place.client(&["agent", "apply", "-f", "agent.toml"]).good();

    let done = place.client(&["run", "Say it.", "--agent", "clerk", "--json"]).good().json();
    let all = done.to_string();
    assert!(all.contains("It said: Echo: grüße"), "{all}");
    let session = done["session_id"].as_str().unwrap();
    wait_for("the receipts", || {
        let receipts = place.client(&["audit", "list", "--session", session]).good().stdout;
        (receipts.contains("connector.open") && receipts.contains("connector.call")).then_some(())
    });

    let accepted = place.client(&["connector", "accept", "every", "--session", session]).good().stdout;
    assert!(accepted.starts_with("Accepted ") && accepted.contains("tools of every"), "{accepted}");
    place.client(&["run", "Say it.", "--agent", "clerk"]).good();
    let shown = place.client(&["connector", "show", "every"]).good().stdout;
    assert!(shown.contains("echo") && shown.contains("One of everything"), "{shown}");

    place.client(&["connector", "remove", "every", "--reason", "No longer needed"]).good();
    let refused = place.client(&["run", "Say it.", "--agent", "clerk"]);
    assert_ne!(refused.code, 0);
    assert!(format!("{refused:?}").contains("no connector for `every`"), "{refused:?}");
}

#[test]
fn a_required_server_that_is_down_says_so_and_comes_back() {
    let everything = Everything::start();
    let place = Place::with_scenario(SCENARIO);
    let _server = place.serve();
    let url = everything.url.clone();
    drop(everything);
    place.write("connectors.toml", &described(&url));
    place.client(&["connector", "apply", "-f", "connectors.toml"]).good();
    let tested = place.client(&["connector", "test", "every"]);
    assert_eq!(tested.code, 1, "{tested:?}");
    assert!(tested.stdout.contains("could not be opened"), "{tested:?}");
    place.write("agent.toml", AGENT);
    place.client(&["agent", "apply", "-f", "agent.toml"]).good();
    let refused = place.client(&["run", "Say it.", "--agent", "clerk"]);
    assert_ne!(refused.code, 0);
    assert!(format!("{refused:?}").contains("connector `every` could not be opened"), "{refused:?}");
}

#[test]
fn what_other_programs_keep_is_imported_and_secrets_are_not() {
    let place = Place::with_scenario(SCENARIO);
    let _server = place.serve();
    place.write(
        "mcp.json",
        r#"{"mcpServers": {"Our CRM": {"url": "https://crm.example/mcp", "headers": {"X-Team": "a"}, "disabled": true}}}"#,
    );
    let applied = place.client(&["connector", "import", "-f", "mcp.json"]).good();
    assert_eq!(applied.stdout, "our-crm version 1\n");
    assert!(applied.stderr.contains("`disabled` means nothing here and was left out"), "{applied:?}");
    let shown = place.client(&["connector", "show", "our-crm", "--json"]).good().json();
    assert_eq!(shown["settings"]["transport"]["url"], "https://crm.example/mcp");
    assert_eq!((&shown["host"], &shown["credential"]["matching"]), (&"crm.example".into(), &true.into()));
    for (json, says) in [
        (r#"{"mcpServers": {"a": {"url": "https://x.example", "headers": {"Authorization": "Bearer x"}}}}"#, "vault"),
        (r#"{"mcpServers": {"a": {"command": "npx", "args": ["x"]}}}"#, "a program to start"),
        (r#"{"connectors": {}}"#, "no object `mcpServers`"),
        (r#"{"mcpServers": {"a": {"url": "ftp://x"}}}"#, "url"),
    ] {
        place.write("mcp.json", json);
        let refused = place.client(&["connector", "import", "-f", "mcp.json"]);
        assert_ne!(refused.code, 0, "{json}");
        assert!(refused.stderr.contains(says), "{json}: {refused:?}");
    }
}

#[test]
fn an_agent_that_is_not_run_here_uses_the_tools_of_one_that_is_kept_here() {
    let everything = Everything::start();
    let place = Place::with_scenario(SCENARIO);
    let server = place.serve();
    place.write("connectors.toml", &described(&everything.url));
    place.client(&["connector", "apply", "-f", "connectors.toml"]).good();
    place.write("agent.toml", AGENT);
    let agent = place.client(&["agent", "apply", "-f", "agent.toml", "--json"]).good().json();
    let agent = agent["agent"]["id"].as_str().unwrap();
    let key = place.client(&["key", "create", "--name", "editor", "--json"]).good().json();
    let sdk = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../target/tools/mcp-servers/node_modules/@modelcontextprotocol/sdk");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/mcp/toolset.mjs");
    let output = Command::new("node")
        .args([script.as_os_str(), sdk.as_os_str()])
        .args([format!("{}/mcp/{agent}", server.url), key["key"].as_str().unwrap().to_owned()])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)));
    assert_eq!(said["server"]["name"], "bailiwick");
    let names: Vec<&str> =
        said["tools"].as_array().unwrap().iter().map(|tool| tool["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["every__echo"], "what the agent was given, and nothing else");
    assert_eq!(said["echo"]["content"][0]["text"], "Echo: grüße");
    assert_ne!(said["echo"]["isError"], true);
    assert_eq!((&said["wrong"]["isError"], &said["other"]["isError"]), (&true.into(), &true.into()));
    let receipts = wait_for("the receipts", || {
        let receipts = place.client(&["audit", "list", "--json"]).good().stdout;
        receipts.contains("connector.call").then_some(receipts)
    });
    assert!(!receipts.contains("model.call"), "no model of ours was asked: {receipts}");
}
