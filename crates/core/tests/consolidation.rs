//! When a session is consolidated, and what becomes of it: driven record by record, on a clock of the test's own.

use bailiwick_core::{
    Action, ActionResult, AgentConfig, Consolidate, Content, Entry, EntryBody, EnvironmentSpec, Label, MemoryKind,
    MemoryScope, MemoryUse, ModelAnswer, Outcome, Purpose, Stop,
    record::{
        ActionDecided, ActionSettled, Body, Input, InputEnvelope, InputReceived, Record, Ruling, SessionCreated,
        UserMessage,
    },
    session::{Ask, Bounds, Mint, Plan, State, plan},
};
use bailiwick_types::{AgentId, ItemId, KeyId, Millis, Principal, SessionId, TenantId, Timestamp, TokenUsage, UserId};
use std::{collections::BTreeSet, sync::Arc};

const REST: Millis = Millis::from_secs(600);
const ANNA: Principal = Principal::User { id: UserId::from_u128(5) };

struct Session {
    state: State,
    now: Timestamp,
    drawn: u8,
}

impl Session {
    fn new(creator: Principal) -> Self {
        let agent: AgentConfig = serde_json::from_value(serde_json::json!({
            "id": AgentId::from_u128(3), "version": 1, "model": "main",
        }))
        .expect("an agent");
        let consolidate = Some(Consolidate { after_ms: REST, limit: None });
        let memory = Some(MemoryUse { scopes: BTreeSet::from([MemoryScope::Person]), consolidate });
        let created = SessionCreated {
            agent: AgentConfig { memory, ..agent },
            environment: EnvironmentSpec::None,
            metadata: Default::default(),
            creator,
            spend_limit: None,
            auto_review: false,
            label: Label::default(),
            vaults: Vec::new(),
        };
        let now = Timestamp::from_millis(1_793_000_000_000);
        let (state, _) = State::begin(TenantId::from_u128(1), SessionId::from_u128(2), now, &created);
        Self { state, now, drawn: 0 }
    }

    fn add(&mut self, body: Body) {
        let record = Record { position: self.state.position + 1, time: self.now, body };
        self.state.apply(&record);
    }

    fn say(&mut self, orderer: Principal) {
        let message =
            UserMessage { item: ItemId::from_u128(9), content: vec![Content::text("Charts as PNG, please.")] };
        let envelope = InputEnvelope { orderer, input: Input::Message { messages: vec![message] } };
        self.add(Body::InputReceived(InputReceived { sequence: self.state.inbox_through + 1, envelope }));
    }

    /// Plans until somebody has to do something: what is asked for, and when it wants to look again.
    fn plan(&mut self) -> Plan {
        loop {
            self.drawn += 1;
            let next = plan(&self.state, Bounds::new(100_000), &mut Mint::new(self.now, [self.drawn; 10]));
            if next.records.is_empty() {
                return next;
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

    fn allow(&mut self, ask: &Ask) {
        self.decide(ask, Ruling::Allowed { rule: "test".into() });
    }

    fn settle(&mut self, ask: &Ask, outcome: Outcome) {
        self.add(Body::ActionSettled(ActionSettled { action: ask.id, outcome, cost: None, halted_by: None }));
    }

    fn answer(&mut self, ask: &Ask, text: &str) {
        self.allow(ask);
        self.settle_with(ask, text);
    }

    fn settle_with(&mut self, ask: &Ask, text: &str) {
        let body = EntryBody::Assistant { text: text.into(), phase: None };
        let answer = ModelAnswer {
            entries: vec![Arc::new(Entry { id: ItemId::of_output(ask.id, 0), body, native: None })],
            usage: TokenUsage::default(),
            stop: Stop::Completed,
            provider_model: "main".into(),
            response_id: None,
            scripted: false,
        };
        self.settle(ask, Outcome::Confirmed { result: ActionResult::Model(answer) });
    }

    /// One message, answered.
    fn turn(&mut self, orderer: Principal) {
        self.say(orderer);
        let plan = self.plan();
        self.answer(&plan.asks[0], "As PNG then.");
    }

    fn rest(&mut self) -> Plan {
        self.now = self.now + REST;
        self.plan()
    }
}

fn is_consolidation(ask: &Ask) -> bool {
    matches!(&ask.action, Action::ModelCall(call) if call.purpose == Purpose::Consolidation)
}

const WORTH: &str = "```json\n{\"memories\": [{\"kind\": \"preference\", \"text\": \"Charts as PNG\"}, {\"kind\": \"fact\", \
                     \"text\": \"\"}, {\"kind\": \"rumour\", \"text\": \"x\"}]}\n```";

#[test]
fn a_session_that_rests_is_consolidated_once_and_again_only_after_something_new() {
    let mut session = Session::new(ANNA);
    assert!(session.rest().asks.is_empty(), "nothing was said");
    session.turn(ANNA);
    let plan = session.plan();
    assert!(plan.asks.is_empty());
    assert_eq!(plan.wake, Some(session.now + REST));
    let plan = session.rest();
    assert!(plan.asks.len() == 1 && is_consolidation(&plan.asks[0]), "{plan:?}");
    session.answer(&plan.asks[0], WORTH);
    let plan = session.plan();
    let [write] = &plan.asks[..] else { panic!("{plan:?}") };
    let Action::MemoryWrite(written) = &write.action else { panic!("{write:?}") };
    assert_eq!(
        (written.kind, &*written.text, written.scope),
        (MemoryKind::Preference, "Charts as PNG", MemoryScope::Person)
    );
    assert!(written.consolidated_by.is_some());
    session.allow(write);
    session.settle(write, Outcome::Confirmed { result: ActionResult::Tool(Default::default()) });
    assert!(session.plan().asks.is_empty());
    assert_eq!(session.state.turn_id(), None);
    assert!(session.rest().asks.is_empty(), "once");
    session.turn(ANNA);
    session.plan();
    assert!(is_consolidation(&session.rest().asks[0]));
}

#[test]
fn why_a_turn_was_ended_outlives_the_answer_that_came_meanwhile() {
    let mut session = Session::new(ANNA);
    session.say(ANNA);
    let plan = session.plan();
    let stop = Input::Stop { rule: Some("key-revoked".into()), message: "it was revoked".into() };
    let envelope = InputEnvelope { orderer: ANNA, input: stop };
    let sequence = session.state.inbox_through + 1;
    session.allow(&plan.asks[0]);
    session.add(Body::InputReceived(InputReceived { sequence, envelope }));
    let halt = session.state.halt();
    assert_eq!(halt.as_ref().map(|halt| halt.rule.as_str()), Some("key-revoked"));
    session.settle_with(&plan.asks[0], "As PNG then.");
    assert_eq!(session.state.halt(), halt);
}

#[test]
fn whatever_becomes_of_it_the_turn_ends_well() {
    let denied = || Ruling::Denied { rule: "r".into(), reason: "x".into(), remedy: "y".into() };
    for said in [None, Some("I will not."), Some(WORTH)] {
        let mut session = Session::new(ANNA);
        session.turn(ANNA);
        session.plan();
        let plan = session.rest();
        match said {
            None => session.decide(&plan.asks[0], denied()),
            Some(text) => session.answer(&plan.asks[0], text),
        }
        for ask in session.plan().asks {
            session.decide(&ask, denied());
        }
        assert!(session.plan().asks.is_empty(), "{said:?}");
        assert_eq!(session.state.turn_id(), None, "{said:?}");
        assert!(session.rest().asks.is_empty(), "{said:?}");
    }
}

#[test]
fn a_lost_call_is_made_again_and_a_message_meanwhile_is_answered_in_the_same_turn() {
    let mut session = Session::new(ANNA);
    session.turn(ANNA);
    session.plan();
    let plan = session.rest();
    session.allow(&plan.asks[0]);
    session.settle(&plan.asks[0], Outcome::NotSent { reason: "a crash".into() });
    let plan = session.plan();
    assert!(is_consolidation(&plan.asks[0]));
    session.allow(&plan.asks[0]);
    session.say(ANNA);
    assert!(session.plan().asks.is_empty(), "the call is out");
    session.settle(&plan.asks[0], Outcome::Unknown { reason: "a crash".into() });
    let plan = session.plan();
    assert!(matches!(&plan.asks[0].action, Action::ModelCall(call) if call.purpose == Purpose::Step), "{plan:?}");
}

#[test]
fn only_what_its_own_person_said_is_remembered_for_a_person() {
    let key = Principal::Service { key: KeyId::from_u128(7) };
    let boris = Principal::User { id: UserId::from_u128(6) };
    for (creator, orderer) in [(key.clone(), key), (ANNA, boris), (Principal::Operator, ANNA)] {
        let mut session = Session::new(creator);
        session.turn(orderer);
        session.plan();
        assert!(session.rest().asks.is_empty());
    }
}
