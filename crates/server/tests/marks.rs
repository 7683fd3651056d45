//! The same answer to "who did this?" wherever the server shows it: what a model's provider is told, what commands in a
//! sandbox are told, and what the log lines carry.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests")]

mod support;

use bailiwick_testkit::model_server::{Answer, Behaviour, ModelServer, Seen};
use serde_json::{Value, json};
use support::Place;

fn colleague(seen: &Seen) -> Behaviour {
    Behaviour::Answer(match seen.results_since_user {
        0 => Answer::call(
            "run_command",
            json!({"command": "echo $GIT_AUTHOR_NAME; echo $BAILIWICK_SESSION"}).to_string(),
        ),
        _ => Answer::text("Done."),
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn provider_command_and_log_name_the_same_agent_session_and_subject() {
    let model = ModelServer::start(colleague).await;
    let place = Place::new();
    place.write(
        "bailiwick.toml",
        &format!("[models.main]\nprovider = \"openai-chat\"\nbase_url = \"{}\"\nmodel = \"fake\"\n", model.base_url()),
    );
    let server = place.serve_with(&["--log-format", "json", "--log", "bailiwick_engine=debug,info"], &[]);
    let ran = place.client(&["run", "Say who you are", "--model", "main", "--json"]).good().json();
    let session = ran["session_id"].as_str().unwrap().to_owned();
    let receipts = place.client(&["session", "show", &session, "--json"]).good().json()["receipts"].to_string();

    let told = model.kept();
    let agents: Vec<&str> = told.iter().map(|kept| kept.headers["user-agent"].to_str().unwrap()).collect();
    let (product, by) = agents[0].split_once(" (").unwrap();
    let by = by.strip_suffix(')').unwrap();
    assert!(product.starts_with("bailiwick/"), "{agents:?}");
    let (subject, agent) = by.split_once(" through ").unwrap();
    assert!(subject == "operator" && agent.starts_with("agent_"), "{by}");
    assert!(agents.iter().all(|other| *other == agents[0]), "{agents:?}");
    assert!(receipts.contains(agent), "{receipts}");
    let last = told.last().unwrap().json().to_string();
    assert!(last.contains(&format!("{by}\\n{session}")), "the command was told the same: {last}");

    drop(server);
    let lines: Vec<Value> = place.log().lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let over: Vec<&Value> = lines.iter().filter(|line| line["message"] == "an action is over").collect();
    assert!(over.len() >= 4, "a start, two calls of the model and a command: {}", place.log());
    for line in &over {
        let span = &line["span"];
        assert_eq!(
            (&span["session"], &span["actor"], &span["subject"]),
            (&json!(session), &json!(agent), &json!(subject)),
            "{line}"
        );
    }
    let operations: Vec<&str> = over.iter().filter_map(|line| line["span"]["operation"].as_str()).collect();
    assert!(operations.contains(&"model.call") && operations.contains(&"command.run"), "{operations:?}");
}
