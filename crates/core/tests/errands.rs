//! What a client wants of an environment that was started, a file laid in or a look, becomes an action in a turn of theirs.

#![allow(clippy::unwrap_used, reason = "a test stops where something is not as it should be")]

use bailiwick_core::{
    Action, EnvironmentStatus, FailureCode,
    item::{Change, ErrandOutcome, TurnStatus},
    record::{Body, Record},
    session::{Ask, Bounds, Mint, State, plan},
};
use bailiwick_types::{SessionId, TenantId, Timestamp};
use serde_json::{Value, json};

const AT: Timestamp = Timestamp::from_millis(1_793_000_000_000);
const ONE: &str = "key_01a17720ca7b70008000000000000007";
const OTHER: &str = "key_01a17720ca7b70008000000000000009";

/// A session driven by hand: what the gate would write is written here.
struct Session {
    state: State,
    changes: Vec<Change>,
    inputs: u64,
    minted: u8,
}

impl Session {
    fn new() -> Self {
        let created = include_bytes!("golden/records/session.created.v1.json");
        let Ok(Body::SessionCreated(created)) = Body::decode("session.created", 1, created) else { panic!("golden") };
        let (state, changes) = State::begin(TenantId::from_u128(1), SessionId::from_u128(2), AT, &created);
        Self { state, changes, inputs: 0, minted: 0 }
    }

    /// One whose environment was started.
    fn started() -> Self {
        let mut session = Self::new();
        session.message(ONE);
        session.step_ends_with_a_call();
        let start = session.ask();
        session
            .settle(start, json!({"effect": "confirmed", "result": {"result": "environment", "isolation": "process"}}));
        let command = session.ask();
        let output = json!({"result": "command", "output": "", "exit_code": 0, "ended": "exited"});
        session.settle(command, json!({"effect": "confirmed", "result": output}));
        session.answer();
        // Publishes what may be there, and ends.
        let publish = session.ask();
        session.settle(publish, json!({"effect": "confirmed", "result": {"result": "artifacts", "artifacts": []}}));
        assert!(session.plan().is_none() && session.state.turn_id().is_none());
        session
    }

    fn record(&mut self, kind: &str, body: &Value) {
        let body = Body::decode(kind, 1, body.to_string().as_bytes()).unwrap_or_else(|error| panic!("{error}"));
        let record = Record { position: self.state.position + 1, time: AT, body };
        self.changes = self.state.apply(&record);
    }

    fn input(&mut self, by: &str, input: &Value) -> u64 {
        self.inputs += 1;
        let orderer = json!({"type": "service", "key": by});
        self.record("input.received", &json!({"sequence": self.inputs, "orderer": orderer, "input": input}));
        self.inputs
    }

    fn message(&mut self, by: &str) {
        let message = json!({"item": format!("item_01a17720ca7b7000800000000000{:04x}", self.inputs),
                             "content": [{"type": "text", "text": "Go on"}]});
        self.input(by, &json!({"type": "message", "messages": [message]}));
    }

    fn give(&mut self, by: &str, path: &str) -> u64 {
        let file = json!({"file": "file_01a17720ca7b7000800000000000000a", "path": path, "size_bytes": 3});
        self.input(by, &json!({"type": "add_file", "file": file}))
    }

    fn look(&mut self, by: &str, until: Timestamp) -> u64 {
        let page = json!({"limit": 20, "descending": true});
        self.input(by, &json!({"type": "look", "path": "/workspace", "page": page, "until": until}))
    }

    /// What is planned next, its records applied. A plan that never ends is a fault.
    fn plan(&mut self) -> Option<Ask> {
        for _ in 0..10 {
            self.minted += 1;
            let mut mint = Mint::new(AT, [self.minted; 10]);
            let plan = plan(&self.state, Bounds::new(100_000), &mut mint);
            if let Some(ask) = plan.asks.into_iter().next() {
                assert_eq!(plan.records, []);
                return Some(ask);
            }
            if plan.records.is_empty() {
                return None;
            }
            for body in plan.records {
                let record = Record { position: self.state.position + 1, time: AT, body };
                self.changes = self.state.apply(&record);
            }
        }
        panic!("planning does not end");
    }

    fn decide(&mut self, ask: &Ask, decision: &Value) {
        let principal = serde_json::to_value(self.state.acting()).unwrap();
        let arguments = serde_json::to_value(&ask.action).unwrap();
        let decided = json!({"action": ask.id, "turn": ask.turn, "call_id": ask.call_id, "arguments": arguments,
                             "digest": "ab", "principal": principal, "policy_version": 1, "decision": decision});
        self.record("action.decided", &decided);
    }

    /// The next action, let through.
    fn ask(&mut self) -> Ask {
        let ask = self.plan().expect("something is to be done");
        self.decide(&ask, &json!({"decision": "allowed", "rule": "test"}));
        ask
    }

    fn settle(&mut self, ask: Ask, outcome: Value) {
        self.record("action.settled", &json!({"action": ask.id, "outcome": outcome}));
    }

    fn model(&mut self, entry: &Value) {
        let ask = self.ask();
        assert!(matches!(ask.action, Action::ModelCall(_)), "{ask:?}");
        let usage = json!({"input": 1, "output": 1});
        let answer = json!({"result": "model", "entries": [entry], "usage": usage, "stop": "completed",
                            "provider_model": "m"});
        self.settle(ask, json!({"effect": "confirmed", "result": answer}));
    }

    fn step_ends_with_a_call(&mut self) {
        self.model(&json!({"id": "item_01a17720ca7b70008000000000000f01", "entry": "tool_call", "call_id": "c1",
                           "name": "run_command", "arguments": "{\"command\":\"true\"}"}));
    }

    fn answer(&mut self) {
        self.model(&json!({"id": "item_01a17720ca7b70008000000000000f02", "entry": "assistant", "text": "Done."}));
    }

    fn told(&self) -> Option<(u64, ErrandOutcome)> {
        self.changes.iter().find_map(|change| match change {
            Change::Errand { sequence, outcome } => Some((*sequence, outcome.clone())),
            _ => None,
        })
    }

    fn for_whom(&self) -> String {
        serde_json::to_value(self.state.acting()).unwrap()["on_behalf_of"]["key"].as_str().unwrap().to_owned()
    }

    fn files(&self) -> Vec<String> {
        let environment = serde_json::to_value(&self.state.environment).unwrap();
        environment["files"].as_array().unwrap().iter().map(|file| file["path"].as_str().unwrap().to_owned()).collect()
    }
}

fn path_of(ask: &Ask) -> &str {
    match &ask.action {
        Action::FileAdd { path, .. } => path,
        other => panic!("{other:?}"),
    }
}

fn done() -> Value {
    json!({"effect": "confirmed", "result": {"result": "content", "content": []}})
}

#[test]
fn before_the_start_it_is_laid_in_with_the_others() {
    let mut session = Session::new();
    let given = session.give(ONE, "/workspace/more.csv");
    assert_eq!(session.told(), Some((given, ErrandOutcome::Done)));
    assert_eq!(session.files(), ["/workspace/ledger.csv", "/workspace/more.csv"]);
    assert_eq!(session.plan(), None, "nothing is to be done for it");
}

#[test]
fn between_turns_it_has_a_turn_of_its_own_without_a_model() {
    let mut session = Session::started();
    let given = session.give(OTHER, "/workspace/more.csv");
    assert_eq!(session.told(), None);
    let ask = session.ask();
    assert_eq!((path_of(&ask), session.for_whom().as_str()), ("/workspace/more.csv", OTHER));
    assert_eq!(session.plan(), None, "it is asked for once");
    session.settle(ask, done());
    assert_eq!(session.told(), Some((given, ErrandOutcome::Done)));
    assert_eq!(session.plan(), None);
    let ended = session.changes.iter().find_map(|change| match change {
        Change::TurnEnded(turn) => Some((turn.status, turn.steps)),
        _ => None,
    });
    assert_eq!(ended, Some((TurnStatus::Completed, 0)), "with the outcome, so that the next message begins a turn");
    assert_eq!(session.files().last().map(String::as_str), Some("/workspace/more.csv"));
}

#[test]
fn in_a_turn_those_of_its_orderer_go_first_and_another_waits() {
    let mut session = Session::started();
    session.give(OTHER, "/workspace/theirs");
    session.message(ONE);
    session.give(ONE, "/workspace/a");
    session.give(ONE, "/workspace/b");
    for path in ["/workspace/a", "/workspace/b"] {
        let ask = session.ask();
        assert_eq!((path_of(&ask), session.for_whom().as_str()), (path, ONE));
        session.settle(ask, done());
    }
    session.answer();
    let publish = session.ask();
    session.settle(publish, json!({"effect": "confirmed", "result": {"result": "artifacts", "artifacts": []}}));
    let ask = session.ask();
    assert_eq!((path_of(&ask), session.for_whom().as_str()), ("/workspace/theirs", OTHER));
    session.settle(ask, done());
    assert_eq!(session.plan(), None);
}

#[test]
fn an_environment_that_went_is_started_for_it_and_asked_again() {
    let mut session = Session::started();
    let given = session.give(ONE, "/workspace/more");
    let ask = session.ask();
    session.settle(ask, json!({"effect": "not_sent", "reason": "suspended"}));
    assert_eq!(session.state.environment_status, EnvironmentStatus::Disconnected);
    let start = session.ask();
    assert!(matches!(start.action, Action::EnvironmentStart { .. }));
    session.settle(start, json!({"effect": "confirmed", "result": {"result": "environment", "isolation": "process"}}));
    let again = session.ask();
    session.settle(again, done());
    assert_eq!(session.told(), Some((given, ErrandOutcome::Done)));
    assert_eq!(session.plan(), None);
}

#[test]
fn what_cannot_be_is_said_and_not_tried_for_ever() {
    // The environment cannot be started.
    let mut session = Session::started();
    session.input(ONE, &json!({"type": "environment", "status": "suspended"}));
    let given = session.give(ONE, "/workspace/more");
    let start = session.ask();
    session.settle(start, json!({"effect": "failed", "failure": {"code": "sandbox_error", "message": "full"}}));
    let Some((sequence, ErrandOutcome::Failed { failure })) = session.told() else { panic!("{:?}", session.changes) };
    assert_eq!((sequence, failure.code, failure.message.as_str()), (given, FailureCode::SandboxError, "full"));
    assert!(session.plan().is_none() && session.state.turn_id().is_none());

    // It may not be laid in.
    let mut session = Session::started();
    session.give(ONE, "/workspace/more");
    let ask = session.plan().unwrap();
    session.decide(&ask, &json!({"decision": "denied", "rule": "r", "reason": "no", "remedy": "Ask."}));
    assert!(matches!(session.told(), Some((_, ErrandOutcome::Denied { message })) if message.contains('r')));
    assert!(session.plan().is_none() && session.state.turn_id().is_none());

    // The turn is cancelled.
    let mut session = Session::started();
    session.give(ONE, "/workspace/more");
    let ask = session.ask();
    session.input(ONE, &json!({"type": "cancel"}));
    session.settle(ask, json!({"effect": "failed", "failure": {"code": "tool_error", "message": "a folder"}}));
    assert!(matches!(session.told(), Some((_, ErrandOutcome::Failed { .. }))));
    assert!(session.plan().is_none() && session.state.turn_id().is_none());
    assert_eq!(session.files(), ["/workspace/ledger.csv"]);
}

const LATER: Timestamp = Timestamp::from_millis(AT.as_millis() + 60_000);

fn listing() -> Value {
    let files = json!([{"path": "/workspace/a", "size_bytes": 3}]);
    json!({"effect": "confirmed", "result": {"result": "files", "files": files, "more": true}})
}

/// Everything that a model would be told next.
fn history(session: &Session) -> Value {
    serde_json::to_value(session.state.entries()).unwrap()
}

#[test]
fn a_look_is_an_action_for_whoever_looks_and_the_model_is_told_nothing() {
    let mut session = Session::started();
    let before = (history(&session), session.state.label.clone());
    let looked = session.look(OTHER, LATER);
    let ask = session.ask();
    assert_eq!((ask.action.operation(), ask.action.is_look(), session.for_whom().as_str()), ("file.list", true, OTHER));
    assert_eq!(session.plan(), None, "it is asked for once");
    session.settle(ask, listing());
    let Some((sequence, ErrandOutcome::Listed(listing))) = session.told() else { panic!("{:?}", session.changes) };
    assert_eq!((sequence, listing.files[0].size_bytes, listing.more), (looked, 3, true));
    assert!(session.plan().is_none() && session.state.turn_id().is_none(), "its turn ends, and no model was asked");
    assert_eq!((history(&session), session.state.label.clone()), before);
    // The next turn begins as if nobody had looked.
    session.message(ONE);
    let ask = session.ask();
    assert!(matches!(ask.action, Action::ModelCall(_)), "{ask:?}");
    assert!(!history(&session).to_string().contains("size_bytes"));
}

#[test]
fn a_look_joins_the_turn_of_whoever_looks_and_sees_what_was_given_before() {
    let mut session = Session::started();
    session.message(ONE);
    let model = session.ask();
    session.give(ONE, "/workspace/a");
    let looked = session.look(ONE, LATER);
    let ask = session.ask();
    assert_eq!(path_of(&ask), "/workspace/a");
    session.settle(ask, done());
    let ask = session.ask();
    assert!(ask.action.is_look() && ask.turn == model.turn, "while the model still thinks");
    session.settle(ask, listing());
    assert!(matches!(session.told(), Some((sequence, ErrandOutcome::Listed(_))) if sequence == looked));
}

#[test]
fn a_look_that_nobody_waits_for_any_more_is_not_taken() {
    let mut session = Session::started();
    session.message(ONE);
    // Another's: it has to wait for the turn that runs, and nobody waits so long.
    session.look(OTHER, Timestamp::from_millis(AT.as_millis() - 1));
    session.answer();
    let publish = session.ask();
    session.settle(publish, json!({"effect": "confirmed", "result": {"result": "artifacts", "artifacts": []}}));
    assert!(session.plan().is_none() && session.state.turn_id().is_none());
}

#[test]
fn a_look_that_a_crash_took_is_asked_again_and_one_that_is_refused_says_why() {
    let mut session = Session::started();
    session.look(ONE, LATER);
    let ask = session.ask();
    assert_eq!(bailiwick_core::session::recover(&session.state), [(ask.id, bailiwick_core::Class::Pure)]);
    let decision = json!({"decision": "allowed", "rule": "test"});
    session.record("action.resumed", &json!({"action": ask.id, "policy_version": 1, "decision": decision}));
    session.settle(ask, listing());
    assert!(matches!(session.told(), Some((_, ErrandOutcome::Listed(_)))));
    assert!(session.plan().is_none());

    session.look(ONE, LATER);
    let ask = session.plan().unwrap();
    session.decide(&ask, &json!({"decision": "denied", "rule": "r", "reason": "no", "remedy": "Ask."}));
    assert!(matches!(session.told(), Some((_, ErrandOutcome::Denied { message })) if message.contains('r')));

    session.look(ONE, LATER);
    let ask = session.ask();
    session.settle(ask, json!({"effect": "unknown", "reason": "the executor went away"}));
    assert!(
        matches!(session.told(), Some((_, ErrandOutcome::Failed { failure })) if failure.message.contains("again"))
    );
    assert!(session.plan().is_none() && session.state.turn_id().is_none());
}
