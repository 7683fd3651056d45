//! Follows a session over its event stream, through lost connections and restarts of the server, until it rests.

mod screen;

pub use screen::Screen;

use crate::{
    client::{Client, Event, EventStream, encode},
    failure::{Exit, Failure, Outcome},
    runtime::{rest, within},
    terminal::escape,
};
use serde_json::Value;
use std::time::Duration;

/// How long a server may be away before the watcher gives up.
const AWAY: Duration = Duration::from_secs(120);
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// The place before a stream's first record.
const BEGINNING: &str = "0.0";
/// A session whose stream is silent for so long is asked how it is: its events may have been missed.
const SILENCE: Duration = Duration::from_secs(30);

/// What a session came to rest with.
#[derive(Debug, Clone, Default)]
pub struct Ending {
    /// The session as the API shows it.
    pub session: Value,
    /// The last turn that ended while we watched, as the API shows it.
    pub turn: Option<Value>,
    /// The text of that turn's answer.
    pub answer: Option<String>,
}

/// A watcher's place in a session's stream.
pub struct Watch<'a> {
    client: &'a Client,
    session: String,
    after: Option<String>,
    stream: Option<EventStream>,
    /// Between the loss of the connection and the next event: how long we have been trying.
    away: Duration,
    pause: Duration,
    /// The connection was lost since the last event: partial texts come again.
    pub resumed: bool,
}

impl<'a> Watch<'a> {
    /// From the session's first record.
    pub fn from_start(client: &'a Client, session: &str) -> Self {
        Self::new(client, session, Some(BEGINNING.to_owned()))
    }

    /// From now on.
    pub fn from_now(client: &'a Client, session: &str) -> Self {
        Self::new(client, session, None)
    }

    /// Begins a session and watches it from its first moment. Gives its id, too.
    pub async fn begin(client: &'a Client, session: &Value) -> Outcome<(Self, String)> {
        let mut stream = client.begin(session).await?;
        let first = stream.next().await?.ok_or_else(|| Failure::failed("the server began no stream"))?;
        let Some(id) = first.data["session"]["id"].as_str() else {
            return Err(Failure::failed("the server's first event names no session"));
        };
        let watch = Self { stream: Some(stream), ..Self::new(client, id, first.id.clone()) };
        Ok((watch, id.to_owned()))
    }

    fn new(client: &'a Client, session: &str, after: Option<String>) -> Self {
        let (stream, away, pause) = (None, Duration::ZERO, FIRST_PAUSE);
        Self { client, session: session.to_owned(), after, stream, away, pause, resumed: false }
    }

    /// The next event. Connects and connects again as needed; `None` after a long silence.
    pub async fn next(&mut self) -> Outcome<Option<Event>> {
        loop {
            let Some(stream) = &mut self.stream else {
                self.connect().await?;
                continue;
            };
            match within(SILENCE, stream.next()).await {
                None => return Ok(None),
                Some(Ok(Some(event))) => {
                    (self.away, self.pause) = (Duration::ZERO, FIRST_PAUSE);
                    if event.id.is_some() {
                        self.after.clone_from(&event.id);
                    }
                    return Ok(Some(event));
                }
                Some(Ok(None)) => {
                    self.stream = None;
                    self.resumed = true;
                    self.wait().await;
                }
                Some(Err(failure)) => return Err(failure),
            }
        }
    }

    /// Opens the stream, so that nothing from here on is missed.
    pub async fn connect(&mut self) -> Outcome {
        match self.client.events(&self.session, self.after.as_deref()).await {
            Ok(stream) => {
                self.stream = Some(stream);
                Ok(())
            }
            // An answer of the server is final; an absent server may come back.
            Err(failure) if !failure.unreachable || !self.resumed || self.away >= AWAY => Err(failure),
            Err(_) => {
                self.wait().await;
                Ok(())
            }
        }
    }

    async fn wait(&mut self) {
        rest(self.pause).await;
        self.away += self.pause;
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
    }

    /// Goes on until the session rests, and shows everything on `screen`.
    pub async fn until_rest(&mut self, screen: &mut Screen) -> Outcome<Ending> {
        let mut ending = Ending::default();
        loop {
            match self.next().await? {
                Some(event) => {
                    screen.show(&event, std::mem::take(&mut self.resumed));
                    if ending.take_in(&event) {
                        return Ok(ending);
                    }
                }
                None => {
                    let session = self.client.get(&format!("/v1/agents/sessions/{}", encode(&self.session))).await?;
                    if session["status"] != "in_progress" {
                        ending.session = session;
                        return Ok(ending);
                    }
                }
            }
        }
    }
}

impl Ending {
    /// Whether this event is the session's rest after a turn (or its failure).
    pub fn take_in(&mut self, event: &Event) -> bool {
        match event.kind() {
            "agent.session.turn.created" => {
                self.turn = None;
                self.answer = None;
                false
            }
            "agent.session.turn.item.done" => {
                let item = &event.data["item"];
                // What is said on the way is not the answer.
                if item["type"] == "message" && item["role"] == "assistant" && item["phase"] != "commentary" {
                    self.answer = Some(text_of(item));
                }
                false
            }
            "agent.session.turn.completed" | "agent.session.turn.failed" | "agent.session.turn.cancelled" => {
                self.turn = Some(event.data["turn"].clone());
                false
            }
            "agent.session.failed" | "agent.session.requires_action" => {
                self.session = event.data["session"].clone();
                true
            }
            "agent.session.idle" => {
                self.session = event.data["session"].clone();
                self.turn.is_some()
            }
            _ => false,
        }
    }

    /// The failure that this ending is, if it is one.
    pub fn failure(&self) -> Option<Failure> {
        let unresolved = self.session["bailiwick"]["unresolved"].as_array().map_or(0, Vec::len);
        let id = self.session["id"].as_str().unwrap_or("SESSION");
        if unresolved > 0 {
            let said =
                format!("the outcome of {unresolved} action{} is unknown", if unresolved == 1 { "" } else { "s" });
            return Some(Failure::new(Exit::OutcomeUnknown, said).help(format!(
                "look with `bailiwick session show {id}`, then say what became of it with `bailiwick session resolve`"
            )));
        }
        match self.session["status"].as_str() {
            Some("requires_action") => {
                let required = self.session["required_actions"].as_array().into_iter().flatten();
                let asked = self.session["bailiwick"]["approvals"].as_array().into_iter().flatten();
                let waits = required.filter_map(wanted).chain(asked.map(approval));
                let waits = waits.collect::<Vec<_>>().join("; ");
                return Some(Failure::new(Exit::Waiting, format!("the session waits: {waits}")));
            }
            Some("failed") => {
                let reason = self.session["error"].as_str().unwrap_or("the session failed");
                return Some(Failure::failed(reason));
            }
            _ => {}
        }
        let turn = self.turn.as_ref()?;
        match turn["status"].as_str() {
            Some("failed") => {
                let code = turn["error"]["code"].as_str().unwrap_or("internal_error");
                let message = turn["error"]["message"].as_str().unwrap_or("it does not say why");
                let exit = match code {
                    "request_timeout" => Exit::TimedOut,
                    "session_budget_exceeded"
                    | "usage_limit_exceeded"
                    | "project_spend_limit_exceeded"
                    | "organization_spend_limit_exceeded"
                    | "credit_balance_exhausted" => Exit::Budget,
                    "misalignment_policy_violation" | "cyber_policy" => Exit::Denied,
                    _ => Exit::Failed,
                };
                Some(Failure::new(exit, format!("the turn failed ({code}): {message}")))
            }
            Some("cancelled") => Some(Failure::new(Exit::Interrupted, "the turn was cancelled")),
            _ => None,
        }
    }
}

/// What a required action wants, in words.
fn wanted(action: &Value) -> Option<String> {
    Some(match action["type"].as_str() {
        Some("function_call") => {
            format!("the application must answer the function `{}`", action["name"].as_str().unwrap_or("?"))
        }
        Some("environment_connection") => {
            let environment = action["environment_id"].as_str().unwrap_or("?");
            format!("an executor must connect to {environment}")
        }
        // It stands among the approvals too, with all that is asked.
        Some("mcp_approval_request") => return None,
        Some(other) => format!("`{other}`"),
        None => "for something this version does not know".to_owned(),
    })
}

/// What a person is asked, in words.
fn approval(approval: &Value) -> String {
    let word = |name: &str| escape::brief(approval[name].as_str().unwrap_or("?"), 80);
    let (what, rule, id) = (word("what"), word("rule"), word("id"));
    format!("rule `{rule}` asks whether this may be done: {what} (`bailiwick approve {id}` or `bailiwick deny {id}`)")
}

/// The text of a message item.
pub fn text_of(item: &Value) -> String {
    let parts = item["content"].as_array().into_iter().flatten();
    parts.filter_map(|part| part["text"].as_str()).collect::<Vec<_>>().join("")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn after(events: &[Value]) -> (Ending, bool) {
        let mut ending = Ending::default();
        let mut over = false;
        for data in events {
            over = ending.take_in(&Event { id: None, data: data.clone() });
        }
        (ending, over)
    }

    #[test]
    fn a_session_is_over_when_it_is_idle_after_a_turn() {
        let idle = json!({"type": "agent.session.idle", "session": {"status": "idle"}});
        assert!(!after(std::slice::from_ref(&idle)).1);
        let answer = json!({"type": "message", "role": "assistant", "content": [{"text": "4"}, {"text": "2"}]});
        let (ending, over) = after(&[
            json!({"type": "agent.session.turn.created", "turn": {}}),
            json!({"type": "agent.session.turn.item.done", "item": answer}),
            json!({"type": "agent.session.turn.completed", "turn": {"status": "completed"}}),
            idle,
        ]);
        assert!(over && ending.failure().is_none());
        assert_eq!(ending.answer.as_deref(), Some("42"));
    }

    #[test]
    fn each_ending_has_its_exit_code() {
        let failed = |code: &str| Ending {
            session: json!({"status": "idle"}),
            turn: Some(json!({"status": "failed", "error": {"code": code, "message": "no"}})),
            answer: None,
        };
        let exit = |ending: &Ending| ending.failure().unwrap().exit;
        assert_eq!(exit(&failed("server_error")), Exit::Failed);
        assert_eq!(exit(&failed("request_timeout")), Exit::TimedOut);
        assert_eq!(exit(&failed("session_budget_exceeded")), Exit::Budget);
        assert_eq!(exit(&failed("misalignment_policy_violation")), Exit::Denied);
        let waits = json!({"status": "requires_action", "required_actions": [{"type": "function_call", "name": "f"}]});
        let ending = Ending { session: waits, ..Ending::default() };
        assert_eq!(exit(&ending), Exit::Waiting);
        assert!(ending.failure().unwrap().message.contains("the function `f`"));
        let unknown = json!({"status": "requires_action", "bailiwick": {"unresolved": [{}]}});
        assert_eq!(exit(&Ending { session: unknown, ..Ending::default() }), Exit::OutcomeUnknown);
    }
}
