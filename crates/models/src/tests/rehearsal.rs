//! Scenarios: played step by step, stateless, and wrong in every way.

use super::{Heard, NOW, entry, request, user};
use crate::{
    rehearsal::{EXAMPLE_SCENARIO, Rehearsal, Scenario},
    remote::{Asked, Provider},
};
use bailiwick_core::{Content, Entry, EntryBody, Failure, FailureCode, ModelAnswer, ModelRequest, Phase, ToolSpec};
use bailiwick_gate::{Delta, Live};
use bailiwick_ports::Clock as _;
use bailiwick_testkit::clock::ManualClock;
use bailiwick_types::{ActionId, Millis, Principal, TokenUsage};
use serde_json::{Value, json};
use std::sync::Arc;

fn rehearsal(text: &str) -> Rehearsal {
    let scenario = Scenario::parse("demo.toml", text).unwrap();
    Rehearsal::new("main", scenario, Arc::new(ManualClock::auto(NOW)))
}

fn tools(names: &[&str]) -> Arc<[ToolSpec]> {
    let tool = |name: &&str| ToolSpec { name: (*name).into(), description: String::new(), parameters: json!({}) };
    names.iter().map(tool).collect()
}

fn action(seed: u8) -> ActionId {
    ActionId::new(NOW, [seed; 10])
}

fn asked(number: u8) -> Asked<'static> {
    Asked { action: action(number), by: &Principal::Operator, key: None, attempts: None }
}

/// A session as the engine would drive it: answers and results are added to the history.
struct Session {
    model: Rehearsal,
    request: ModelRequest,
    calls: u8,
}

impl Session {
    fn new(scenario: &str) -> Self {
        let mut request = request(vec![]);
        request.tools = tools(&["read_file", "run_command"]);
        Self { model: rehearsal(scenario), request, calls: 0 }
    }

    fn add(&mut self, body: EntryBody) {
        let place = self.request.input.len() as u16;
        self.request.input.push(entry(place, body));
    }

    async fn step(&mut self) -> Result<Vec<Arc<Entry>>, Failure> {
        self.calls += 1;
        let answer = self.model.call(&self.request, asked(self.calls), &Live::unwatched()).await?;
        assert!(answer.scripted, "every answer says that it is scripted");
        self.request.input.extend(answer.entries.iter().cloned());
        Ok(answer.entries)
    }

    /// Answers every call of `entries` in turn.
    fn results(&mut self, entries: &[Arc<Entry>], texts: &[&str]) {
        let mut texts = texts.iter();
        for entry in entries {
            if let EntryBody::ToolCall { call_id, .. } = &entry.body {
                let content = vec![Content::text(*texts.next().expect("a result for every call"))];
                self.add(EntryBody::ToolResult { call_id: call_id.clone(), content, failed: false });
            }
        }
    }
}

fn calls(entries: &[Arc<Entry>]) -> Vec<(&str, Value)> {
    let call = |entry: &'_ Arc<Entry>| match &entry.body {
        EntryBody::ToolCall { name, arguments, .. } => Some((name.clone(), serde_json::from_str(arguments).unwrap())),
        _ => None,
    };
    let found: Vec<(String, Value)> = entries.iter().filter_map(call).collect();
    found
        .into_iter()
        .map(|(name, arguments)| (if name == "read_file" { "read_file" } else { "run_command" }, arguments))
        .collect()
}

fn text(entries: &[Arc<Entry>]) -> (&str, Phase) {
    let said = entries.iter().find_map(|entry| match &entry.body {
        EntryBody::Assistant { text, phase: Some(phase) } => Some((text.as_str(), *phase)),
        _ => None,
    });
    said.expect("it says something")
}

#[tokio::test]
async fn the_example_is_played_from_question_to_answer() {
    let mut session = Session::new(EXAMPLE_SCENARIO);
    session.add(user("Please count ledger.csv."));
    let first = session.step().await.unwrap();
    assert_eq!(text(&first), ("I will look at the file first.", Phase::Commentary));
    assert_eq!(calls(&first), [("read_file", json!({ "path": "ledger.csv" }))]);
    session.results(&first, &["date,net\n"]);
    let second = session.step().await.unwrap();
    assert_eq!(
        calls(&second),
        [
            ("run_command", json!({ "command": "wc -l < ledger.csv" })),
            ("run_command", json!({ "command": "python3 sum.py --json", "timeout_seconds": 10 }))
        ]
    );
    session
        .results(&second, &[" 4000\n[exit code 0]", "{\"totals\":{\"net\":12.5,\"currency\":\"EUR\"}}\n[exit code 0]"]);
    let third = session.step().await.unwrap();
    assert_eq!(text(&third), ("4000 lines; the net total is 12.5 EUR.", Phase::FinalAnswer));

    session.add(user("And now sing."));
    let fourth = session.step().await.unwrap();
    assert_eq!(text(&fourth).1, Phase::FinalAnswer);
    assert!(text(&fourth).0.starts_with("I can only count."));
}

/// After a crash the same request is asked again, of a new process, under another action id.
#[tokio::test]
async fn the_same_request_gives_the_same_step_again() {
    let mut session = Session::new(EXAMPLE_SCENARIO);
    session.add(user("count a.csv"));
    let first = session.step().await.unwrap();
    session.results(&first, &["x"]);
    let before = session.request.clone();
    let once = session.step().await.unwrap();
    session.request = before;
    session.model = rehearsal(EXAMPLE_SCENARIO);
    let again = session.step().await.unwrap();
    assert_eq!(calls(&once), calls(&again));
    session.results(&again, &["7\n[exit code 0]", "{\"totals\":{\"net\":1,\"currency\":\"EUR\"}}\n[exit code 0]"]);
    assert_eq!(text(&session.step().await.unwrap()).0, "7 lines; the net total is 1 EUR.");
}

#[tokio::test]
async fn a_notice_between_steps_changes_nothing() {
    let mut session = Session::new(EXAMPLE_SCENARIO);
    session.add(user("count a.csv"));
    let first = session.step().await.unwrap();
    session.add(EntryBody::Notice { text: "The server was started again.".into() });
    session.results(&first, &["x"]);
    session.add(EntryBody::Notice { text: "A word more.".into() });
    assert_eq!(calls(&session.step().await.unwrap()).len(), 2);
}

#[tokio::test]
async fn a_result_of_an_earlier_turn_can_be_used() {
    let mut session = Session::new(
        r#"
        [[turn]]
        when = { user_contains = "first" }
        [[turn.step]]
        call = [{ tool = "run_command", as = "total", arguments = { command = "sum" } }]
        [[turn.step]]
        say = "Noted."
        [[turn]]
        [[turn.step]]
        say = "It was {{ result total }}."
        "#,
    );
    session.add(user("first"));
    let first = session.step().await.unwrap();
    session.results(&first, &["42"]);
    session.step().await.unwrap();
    session.add(user("What was it?"));
    assert_eq!(text(&session.step().await.unwrap()).0, "It was 42.");
}

#[tokio::test]
async fn turns_are_chosen_by_message_and_instructions_in_order() {
    let scenario = r#"
        [[turn]]
        when = { user_matches = "^\\d+$", instructions_contain = "accountant" }
        step = [{ say = "an accountant's number" }]
        [[turn]]
        when = { user_matches = "^\\d+$" }
        step = [{ say = "a number" }]
    "#;
    let mut session = Session::new(scenario);
    session.request.instructions = "You are an accountant.".into();
    session.add(user("12"));
    assert_eq!(text(&session.step().await.unwrap()).0, "an accountant's number");
    session.request.instructions.clear();
    session.add(user("13"));
    assert_eq!(text(&session.step().await.unwrap()).0, "a number");
    session.add(user("a word"));
    let failure = session.step().await.unwrap_err();
    assert!(failure.message.contains("no turn is for a message that begins with \"a word\""), "{}", failure.message);
}

#[tokio::test]
async fn text_is_streamed_word_by_word_with_pauses_and_usage_is_as_written() {
    let clock = ManualClock::auto(NOW);
    let text = "[[step]]\nsay = \"One two three\"\nreasoning = \"Hm.\"\ndelay_ms = 100\nusage = { input = 7, cached_input = 3, output = 2, reasoning_output = 1 }";
    let model = Rehearsal::new("main", Scenario::parse("demo.toml", text).unwrap(), Arc::new(clock.clone()));
    let (live, _stopper, heard) = Heard::live();
    let answer: ModelAnswer = model.call(&request(vec![user("Go")]), asked(1), &live).await.unwrap();
    assert_eq!(answer.usage, TokenUsage { input: 7, cached_input: 3, output: 2, reasoning_output: 1 });
    assert_eq!((heard.text().as_str(), heard.deltas().len()), ("One two three", 4));
    assert_eq!(clock.now().since(NOW), Millis(300));
    for (delta, entry) in [(&heard.deltas()[0], &answer.entries[0]), (&heard.deltas()[3], &answer.entries[1])] {
        let (Delta::Text { item, .. } | Delta::ReasoningSummary { item, .. }) = delta else { panic!("{delta:?}") };
        assert_eq!(*item, entry.id);
    }
}

#[tokio::test]
async fn a_pause_can_be_cancelled() {
    let clock = ManualClock::new(NOW);
    let scenario = Scenario::parse("demo.toml", "[[step]]\nsay = \"One\"\ndelay_ms = 5000").unwrap();
    let model = Rehearsal::new("main", scenario, Arc::new(clock.clone()));
    let (live, stopper, _) = Heard::live();
    let wanted = request(vec![user("Go")]);
    let stopping = async {
        clock.next_wake().await;
        stopper.stop();
    };
    let (answer, ()) = tokio::join!(model.call(&wanted, asked(1), &live), stopping);
    assert_eq!(answer.unwrap_err().code, FailureCode::Cancelled);
}

#[tokio::test]
async fn a_step_can_fail_as_a_provider_does() {
    let mut session =
        Session::new("[[step]]\nsay = \"Well\"\nfail = { code = \"context_overflow\", message = \"too much\" }");
    session.add(user("Go"));
    let failure = session.step().await.unwrap_err();
    assert_eq!(failure.code, FailureCode::ContextOverflow);
    assert_eq!(failure.message, "model `main` (scripted, step 1): too much");
}

#[tokio::test]
async fn what_the_history_does_not_allow_is_an_error_that_names_file_and_step() {
    let two = "[[step]]\ncall = [{ tool = \"run_command\", as = \"one\" }]\n[[step]]\nsay = \"{{ result one | json a }}\"\ncall = [{ tool = \"read_file\" }]";
    let mut session = Session::new(two);
    let failure = session.step().await.unwrap_err();
    assert!(failure.message.contains("no message of the user"), "{}", failure.message);
    session.add(user("Go"));
    let first = session.step().await.unwrap();
    session.results(&first, &["not json"]);
    let failure = session.step().await.unwrap_err();
    let wanted = "model `main`, scenario demo.toml: step 2, `{{ result one | json a }}`: `not json` is not JSON";
    assert!(failure.message.starts_with(wanted), "{}", failure.message);
    assert_eq!(failure.code, FailureCode::InvalidRequest);
    session.request.input.pop();
    session.results(&first, &[r#"{"a":1}"#]);
    let second = session.step().await.unwrap();
    session.results(&second, &["x"]);
    let failure = session.step().await.unwrap_err();
    assert!(failure.message.contains("there is no step 3, and the agent asks for it"), "{}", failure.message);
    session.add(EntryBody::Summary { text: "All of it.".into() });
    let failure = session.step().await.unwrap_err();
    assert!(failure.message.contains("after the last summary"), "{}", failure.message);
}

#[tokio::test]
async fn a_step_cannot_call_what_the_agent_does_not_have() {
    let mut session = Session::new("[[step]]\ncall = [{ tool = \"send_mail\" }]");
    session.add(user("Go"));
    let failure = session.step().await.unwrap_err();
    assert!(
        failure
            .message
            .contains("step 1 calls `send_mail`, which this agent does not have (it has: read_file, run_command)")
    );
    let mut session = Session::new("[[step]]\ncall = [{ tool = \"read_file\" }, { tool = \"read_file\" }]");
    session.request.parallel_tool_calls = false;
    session.add(user("Go"));
    let failure = session.step().await.unwrap_err();
    assert!(failure.message.contains("allows one at a time"), "{}", failure.message);
}

#[test]
fn a_file_with_an_error_is_refused_with_file_line_and_step() {
    for (text, wanted) in [
        ("[[step]\n", "scenario bad.toml, line 1"),
        ("[[step]]\nsay = 'x'\ncolour = 'red'\n", "scenario bad.toml, line 3: unknown field `colour`, expected one of"),
        ("[[step]]\nsay = 7\n", "scenario bad.toml, line 2: invalid type: integer `7`, expected a string"),
        ("", "scenario bad.toml: has no steps; write at least one `[[step]]`"),
        ("[[turn]]\n", "scenario bad.toml, line 1, turn 1: has no steps; write at least one `[[turn.step]]`"),
        ("[[step]]\nsay='x'\n\n[[step]]\ndelay_ms = 5\n", "scenario bad.toml, line 4, step 2: does nothing"),
        ("[[step]]\nsay='x'\n[[turn]]\nstep=[{say='y'}]\n", "has steps outside of its turns"),
        ("[[step]]\nsay = '{{ user'\n", "scenario bad.toml, line 1, step 1: `say`: `{{ user` has no `}}`"),
        (
            "[[step]]\nsay = '{{ result nothing }}'\n",
            "line 1, step 1: `result nothing`: no call has the label `nothing`",
        ),
        (
            "\n[[step]]\nsay = '{{ result later }}'\n[[step]]\ncall = [{ tool = 'a', as = 'later' }]\n",
            "line 2, step 1: `result later`: that call is made in step 2, which is not before this one",
        ),
        ("[[step]]\ncall=[{tool='a',as='x'},{tool='b',as='x'}]\n", "step 1: `as = \"x\"` is used twice"),
        ("[[step]]\ncall=[{tool='a',as='x-y'}]\n", "a label is 1 to 20 letters, digits or underscores"),
        ("[[step]]\ncall=[{tool=''}]\n", "`tool` is empty"),
        ("[[step]]\ncall=[{as='x'}]\n", "missing field `tool`"),
        ("[[step]]\ncall=[{tool='a',arguments={at=2026-01-01}}]\n", "a date is not JSON; write it in quotes"),
        ("[[step]]\nfail={code='bad_luck'}\n", "unknown variant `bad_luck`, expected one of `rate_limited`"),
        ("[[step]]\nfail={code='overloaded'}\ncall=[{tool='a'}]\n", "both calls and fails"),
        ("[[step]]\nsay='x'\ndelay_ms=600001\n", "`delay_ms` must not be above 600000"),
        (
            "[[turn]]\nwhen={user_matches='('}\nstep=[{say='x'}]\n",
            "line 1, turn 1: `when.user_matches`: regex parse error",
        ),
        (
            "[[turn]]\nstep=[{say='x'}]\n\n[[turn]]\n[[turn.step]]\nsay='{{ nothing }}'\n",
            "line 5, step 1 of turn 2: `say`",
        ),
    ] {
        let error = Scenario::parse("bad.toml", text).unwrap_err().to_string();
        assert!(error.contains(wanted), "{text:?}: {error}");
    }
}

#[test]
fn json_is_read_too() {
    let text = r#"{"step": [{"say": "Hi", "usage": {"input": 1}}]}"#;
    assert!(Scenario::parse("good.json", text).is_ok());
    let error = Scenario::parse("bad.json", "{\"step\": [\n{\"say\": }]}").unwrap_err();
    assert_eq!((error.line, error.file.as_str()), (Some(2), "bad.json"));
    let error = Scenario::parse("bad.json", r#"{"step": [{"say": "{{ }}"}]}"#).unwrap_err().to_string();
    assert!(error.starts_with("scenario bad.json, step 1: `say`"), "{error}");
}

#[test]
fn a_file_that_cannot_be_read_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let missing = Scenario::load(&folder.path().join("none.toml")).unwrap_err().to_string();
    assert!(missing.contains("none.toml: cannot be read"), "{missing}");
    let path = folder.path().join("binary.toml");
    std::fs::write(&path, b"\xff\xfe").unwrap();
    assert!(Scenario::load(&path).unwrap_err().to_string().ends_with("is not UTF-8 text"));
    std::fs::write(&path, vec![b'#'; (1 << 20) + 1]).unwrap();
    assert!(Scenario::load(&path).unwrap_err().to_string().contains("the most is 1048576"));
}

/// The page for users shows scenarios; each of them must be one.
#[test]
fn the_scenarios_of_the_documentation_are_good() {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/rehearsal.md");
    let page = std::fs::read_to_string(page).unwrap();
    let mut shown = 0;
    for block in page.split("```toml\n").skip(1) {
        let text = block.split("```").next().unwrap();
        if text.contains("[[step]]") || text.contains("[[turn]]") {
            Scenario::parse("docs/rehearsal.md", text).unwrap();
            shown += 1;
        }
    }
    assert!(shown >= 2);
}
