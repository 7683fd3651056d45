//! A model behind HTTP in place of the scripted one: `model test`, and the demo on it.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests")]

mod support;

use bailiwick_testkit::model_server::{Answer, Behaviour, ModelServer, Seen};
use bailiwick_types::Millis;
use serde_json::json;
use support::{Place, run, run_in};

/// Does what the five calls of the probe ask for, except that it cannot see.
fn capable(seen: &Seen) -> Behaviour {
    let weather = |city: &str| json!({"city": city}).to_string();
    let answer = match () {
        () if seen.user.contains("Paris and in Oslo") => {
            Answer::call("get_weather", weather("Paris")).and_call("get_weather", weather("Oslo"))
        }
        () if seen.user.contains("Paris") => Answer::call("get_weather", weather("Paris")),
        () if seen.user.contains("invoice") => Answer::text(r#"{"number": "A-17", "amount": 12}"#),
        () if seen.user.contains("colour") => Answer::text("I see nothing."),
        () => Answer::text("one, two, three, four, five, six, seven, eight, nine, ten, eleven, twelve"),
    };
    // As slow to begin as models are: pieces that come before anybody listens are shown as one.
    Behaviour::Delayed(Millis(200), Box::new(Behaviour::Answer(answer)))
}

fn configured(place: &Place, provider: &str, url: &str) {
    let text =
        format!("[models.main]\nprovider = \"{provider}\"\nbase_url = \"{url}\"\nmodel = \"fake\"\nretries = 0\n");
    place.write("bailiwick.toml", &text);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_model_is_asked_what_it_can_do() {
    let model = ModelServer::start(capable).await;
    for provider in ["openai-chat", "openai-responses"] {
        let place = Place::new();
        configured(&place, provider, &model.base_url());
        let config = place.text("bailiwick.toml");
        let report = run(&["model", "test", "main", "--config", &config, "--json"]).good().json();
        let verdicts: Vec<(&str, &str)> = report["findings"]
            .as_array()
            .unwrap()
            .iter()
            .map(|finding| (finding["feature"].as_str().unwrap(), finding["verdict"].as_str().unwrap()))
            .collect();
        let expected = [
            ("streaming", "yes"),
            ("tools", "yes"),
            ("parallel_tools", "yes"),
            ("structured_output", "yes"),
            ("images", "no"),
        ];
        assert_eq!(verdicts, expected, "{provider}: {report:#}");
        assert_eq!(report["calls"], 5);
        assert!(report["usage"]["output"].as_u64().unwrap() > 0, "{report:#}");
        let said = run(&["model", "test", "main", "--config", &config]).good();
        assert!(said.stdout.contains("parallel tools     yes"), "{}", said.stdout);
    }
}

/// A colleague of few words, who needs no script to find the totals.
fn colleague(seen: &Seen) -> Behaviour {
    let command = |text: &str| Answer::call("run_command", json!({"command": text}).to_string());
    Behaviour::Answer(match seen.results_since_user {
        0 => command("echo started >> starts.log; for i in 1 2 3 4 5; do echo $i; sleep 0.2; done"),
        1 => command("cat starts.log; echo '# Report' > outputs/report.md"),
        _ => Answer::text("There are totals."),
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_demo_runs_on_a_real_model_too() {
    let model = ModelServer::start(colleague).await;
    let place = Place::new();
    let ended = run_in(
        place.folder.path(),
        &["demo", "--json", "--model-url", &model.base_url(), "--model", "fake", "--output", "out", "--yes"],
    );
    let ended = ended.good();
    // What a script would have tried is tried by giving files: the same gate, the same receipts.
    for said in ["gives a file as /workspace/input.csv", "gives one as /workspace/outputs/letter.md", "--yes answers"] {
        assert!(ended.stderr.contains(said), "{said}: {}", ended.stderr);
    }
    let shown = ended.json();
    let about = |check: &serde_json::Value| check["about"].as_str().unwrap().to_owned();
    let checks: Vec<String> = shown["checks"].as_array().unwrap().iter().map(about).collect();
    assert_eq!(
        checks,
        "killed settled_once told_once who allowed denied approved budget verified edit_found"
            .split(' ')
            .collect::<Vec<_>>()
    );
    assert_eq!((&shown["scripted"], &shown["answer"]), (&false.into(), &"There are totals.".into()));
    for check in shown["checks"].as_array().unwrap() {
        assert_eq!(check["good"], true, "{check}");
    }
    assert_eq!(std::fs::read_to_string(place.path("out/report.md")).unwrap(), "# Report\n");
    // The command that ran when the server was killed was not run again, whatever the demo says of itself.
    let outputs =
        shown["receipts"].as_array().unwrap().iter().filter_map(|receipt| receipt["result"]["output"].as_str());
    let told = outputs.into_iter().find(|text| text.contains("started"));
    assert_eq!(told, Some("started\n"), "{:#}", shown["receipts"]);
}
