//! Calls that clients make themselves: whose turn they are made in, and that none is begun for nobody.

#![allow(clippy::unwrap_used, reason = "a test stops where something is not as it should be")]

use bailiwick_core::{
    Action, ActionResult, AgentConfig, ConnectorKind, Content, Effect, EnvironmentSpec, Label, OpenedConnector,
    Outcome, Purpose, ToolAnswer, ToolDefinition,
    item::{Change, ErrandOutcome},
    record::{
        ActionDecided, ActionSettled, Body, Input, InputEnvelope, InputReceived, OrderedCall, Record, Ruling,
        SessionCreated, UserMessage,
    },
    session::{Ask, Bounds, Mint, State, plan},
};
use bailiwick_types::{ActionId, ItemId, KeyId, Millis, Principal, SessionId, TenantId, Timestamp, UserId};
use serde_json::json;

const ANNA: Principal = Principal::User { id: UserId::from_u128(5) };
const PATIENCE: Millis = Millis::from_secs(50);

/// A session whose agent has the connector `crm`, driven record by record on a clock of the test's own.
struct Session {
    state: State,
    now: Timestamp,
    drawn: u8,
    told: Vec<(u64, ErrandOutcome)>,
}

impl Session {
    fn new() -> Self {
        let crm = json!({"label": "crm", "source": {"type": "kept", "name": "crm"}});
        let agent: AgentConfig = serde_json::from_value(json!({
            "id": "agent_01a17720ca7b70008000000000000003", "version": 1, "model": "main", "connectors": [crm],
            "limits": {"parallel_actions": 2},
        }))
        .unwrap();
        let created = SessionCreated {
            agent,
            environment: EnvironmentSpec::None,
            metadata: Default::default(),
            creator: ANNA,
            spend_limit: None,
            auto_review: false,
            label: Label::default(),
            vaults: Vec::new(),
        };
        let now = Timestamp::from_millis(1_793_000_000_000);
        let (state, _) = State::begin(TenantId::from_u128(1), SessionId::from_u128(2), now, &created);
        Self { state, now, drawn: 0, told: Vec::new() }
    }

    /// One in which Anna has called a tool, so that the connector is open.
    fn opened() -> Self {
        let mut session = Self::new();
        session.call("find");
        let open = session.ask();
        let tool = |name: &str| ToolDefinition::new(name, "", "", json!({"type": "object"}), Effect::Write);
        let opened = OpenedConnector {
            kind: ConnectorKind::Mcp,
            tools: vec![tool("find"), tool("send")],
            held: Vec::new(),
            vouched: true,
            label: Label::default(),
            dialect: None,
        };
        session.settle(&open, Outcome::Confirmed { result: ActionResult::Connector(opened) });
        session.done();
        assert!(session.plan().is_none() && session.state.turn_id().is_none());
        session
    }

    fn add(&mut self, body: Body) {
        let record = Record { position: self.state.position + 1, time: self.now, body };
        for change in self.state.apply(&record) {
            if let Change::Errand { sequence, outcome } = change {
                self.told.push((sequence, outcome));
            }
        }
    }

    fn input(&mut self, orderer: Principal, input: Input) -> u64 {
        let sequence = self.state.inbox_through + 1;
        self.add(Body::InputReceived(InputReceived { sequence, envelope: InputEnvelope { orderer, input } }));
        sequence
    }

    fn say(&mut self, orderer: Principal) {
        let message = UserMessage { item: ItemId::from_u128(9), content: vec![Content::text("Hello")] };
        self.input(orderer, Input::Message { messages: vec![message] });
    }

    fn call(&mut self, tool: &str) -> u64 {
        self.drawn += 1;
        let item = ItemId::new(self.now, [self.drawn; 10]);
        let call = OrderedCall { item, name: format!("crm__{tool}"), arguments: "{}".into() };
        self.input(ANNA, Input::Call { call: Some(call), until: Some(self.now + PATIENCE) })
    }

    fn plan(&mut self) -> Option<Ask> {
        loop {
            self.drawn += 1;
            let next = plan(&self.state, Bounds::new(100_000), &mut Mint::new(self.now, [self.drawn; 10]));
            if let Some(ask) = next.asks.into_iter().next() {
                return Some(ask);
            }
            if next.records.is_empty() {
                return None;
            }
            next.records.into_iter().for_each(|body| self.add(body));
        }
    }

    fn decide(&mut self, ask: &Ask, decision: Ruling) {
        let principal = self.state.acting().expect("a turn");
        self.add(Body::ActionDecided(ActionDecided {
            action: ask.id,
            turn: ask.turn,
            call_id: ask.call_id.clone(),
            arguments: ask.action.clone(),
            digest: String::new(),
            principal,
            policy_version: 1,
            decision,
            label: Label::default(),
            answered: None,
            also_answered: Vec::new(),
            spending: Default::default(),
            credentials: Vec::new(),
            through: None,
        }));
    }

    /// The next action, let through.
    fn ask(&mut self) -> Ask {
        let ask = self.plan().expect("something is to be done");
        self.decide(&ask, Ruling::Allowed { rule: "test".into() });
        ask
    }

    fn settle(&mut self, ask: &Ask, outcome: Outcome) {
        self.add(Body::ActionSettled(ActionSettled { action: ask.id, outcome, cost: None, halted_by: None }));
    }

    /// The next call, made and answered.
    fn done(&mut self) {
        let ask = self.ask();
        assert!(matches!(ask.action, Action::ConnectorCall(_)), "{ask:?}");
        self.settle(&ask, Outcome::Confirmed { result: ActionResult::Tool(ToolAnswer::default()) });
    }

    fn answer_to(&self, sequence: u64) -> Option<String> {
        let (_, outcome) = self.told.iter().find(|(told, _)| *told == sequence)?;
        Some(format!("{outcome:?}"))
    }
}

fn is_step(ask: &Ask) -> bool {
    matches!(&ask.action, Action::ModelCall(call) if call.purpose == Purpose::Step)
}

#[test]
fn a_call_that_waited_longer_than_its_caller_is_not_made() {
    let mut session = Session::opened();
    session.say(Principal::Service { key: KeyId::from_u128(7) });
    let step = session.ask();
    assert!(is_step(&step));
    let late = session.call("send");
    assert!(session.plan().is_none(), "it is somebody else's turn");
    session.now = session.now + PATIENCE;
    session.settle(
        &step,
        Outcome::Failed { failure: bailiwick_core::Failure::new(bailiwick_core::FailureCode::ServerError, "x") },
    );
    assert!(session.plan().is_none(), "nothing is asked for");
    assert!(session.answer_to(late).unwrap().contains("nobody waits for it any more"), "{:?}", session.told);
}

#[test]
fn a_question_waits_until_the_caller_goes_and_not_from_when_it_is_put() {
    let mut session = Session::opened();
    let until = session.now + PATIENCE;
    session.call("find");
    session.call("find");
    session.call("send");
    let first = session.ask();
    session.ask();
    session.now = session.now + Millis::from_secs(20);
    session.settle(&first, Outcome::Confirmed { result: ActionResult::Tool(ToolAnswer::default()) });
    let second = session.plan().unwrap();
    let waits = |ask: &Ask| session.state.waited_for_until(ask.call_id.as_deref(), &ask.action);
    assert_eq!(waits(&second), Some(until));
    let mut session = Session::opened();
    session.say(ANNA);
    let step = session.plan().unwrap();
    assert_eq!(session.state.waited_for_until(step.call_id.as_deref(), &step.action), None, "a model is patient");
}

#[test]
fn only_calls_that_are_not_done_are_too_many() {
    let mut session = Session::opened();
    let long = session.call("find");
    let first = session.ask();
    for _ in 0..70 {
        let next = session.call("find");
        session.done();
        assert!(session.answer_to(next).unwrap().contains("failed: false"), "{:?}", session.told.last());
    }
    let waiting: Vec<u64> = (0..64).map(|_| session.call("send")).collect();
    assert!(session.answer_to(waiting[62]).is_none());
    assert!(session.answer_to(waiting[63]).unwrap().contains("too many calls wait"), "64 with the long one");
    session.settle(&first, Outcome::Confirmed { result: ActionResult::Tool(ToolAnswer::default()) });
    assert!(session.answer_to(long).is_some());
}

#[test]
fn a_call_waits_while_a_model_is_asked_about() {
    let mut session = Session::opened();
    session.call("find");
    let first = session.ask();
    session.say(ANNA);
    session.settle(&first, Outcome::Confirmed { result: ActionResult::Tool(ToolAnswer::default()) });
    let step = session.plan().unwrap();
    assert!(is_step(&step), "{step:?}");
    let question = json!({"decision": "asked", "rule": "r", "reason": "x", "approver": {"type": "person"},
                          "expires": session.now + Millis::from_secs(600)});
    session.decide(&step, serde_json::from_value(question).unwrap());
    let during = session.call("send");
    assert!(session.plan().is_none(), "its turn comes after the model's answer");
    session.decide(&step, Ruling::Allowed { rule: "test".into() });
    let answer = json!({"result": "model", "entries": [], "usage": {"input": 1, "output": 1}, "stop": "completed",
                        "provider_model": "m"});
    session.settle(&step, Outcome::Confirmed { result: serde_json::from_value(answer).unwrap() });
    session.done();
    assert!(session.answer_to(during).unwrap().contains("failed: false"), "{:?}", session.told);
}

#[test]
fn the_same_call_as_one_that_is_unknown_is_answered_at_once() {
    let mut session = Session::opened();
    let again = session.call("send");
    let ask = session.plan().unwrap();
    let by = ActionId::from_u128(77);
    session.decide(&ask, Ruling::Held { by });
    let answer = session.answer_to(again).unwrap();
    assert!(answer.contains("nobody knows whether it had its effect") && answer.contains(&by.to_string()), "{answer}");
    assert!(session.plan().is_none() && session.state.turn_id().is_none(), "the session is idle");
}
