//! The demo's session: begun, followed, its server killed while a command runs, a question answered, and followed to its
//! end. Everything in it is ordered with the employee's own token.

use super::{
    cast::{Cast, LETTER, ORIGINAL, text, wipe as wipe_all},
    consent::{self, Consent},
    table_file::TableFile,
};
use crate::{
    child::Server,
    client::{Event, encode},
    failure::{Exit, Failure, Outcome},
    runtime::{rest, within},
    terminal::escape,
    watch::{Ending, Screen, Watch},
};
use serde_json::{Value, json};
use std::{collections::HashMap, time::Duration};

const TASK: &str = "Examine the table /workspace/input.csv with a Python script of your own: the type of every column, \
missing and wrong values, repeated rows, and the totals of its numbers (apart by currency, if there is one). Write \
/workspace/outputs/report.md and a bar chart /workspace/outputs/chart.svg, which the report shows. Then answer with the \
totals and with what stands out.";
/// Pieces of a command's output that are seen before the server is killed: the command is in the middle of its work.
const PIECES: u32 = 3;
/// The longest that the whole job may take.
const LONGEST: Duration = Duration::from_secs(1800);
const WIPE: Duration = Duration::from_secs(10);
/// How long a question may take to come.
const QUESTION: Duration = Duration::from_secs(20);
const STEP: Duration = Duration::from_millis(50);
/// "Dear all, the report on your table is attached.", in base64.
const LETTER_TEXT: &str = "RGVhciBhbGwsIHRoZSByZXBvcnQgb24geW91ciB0YWJsZSBpcyBhdHRhY2hlZC4K";

pub(super) struct Job<'a> {
    pub cast: &'a Cast,
    pub scripted: bool,
    /// Questions are answered by the option.
    pub yes: bool,
}

/// When and in the middle of what the server was killed.
#[derive(Debug, Clone)]
pub(super) struct Kill {
    pub pid: u32,
    pub new_pid: u32,
    /// The command that ran.
    pub command: String,
    pub item: String,
    /// The id of the last event before.
    pub after_event: Option<String>,
}

impl Kill {
    pub fn to_json(&self) -> Value {
        json!({
            "signal": "SIGKILL", "pid": self.pid, "started_again_as": self.new_pid,
            "while_running": self.command, "item": self.item, "after_event": self.after_event,
        })
    }
}

/// What the stream told.
#[derive(Debug, Clone)]
pub(super) struct Told {
    pub session: String,
    pub ending: Ending,
    pub kill: Option<Kill>,
    pub consent: Option<Consent>,
    /// Finished items by id, as the stream sent them; each time that it did.
    pub done: Vec<Value>,
}

impl Job<'_> {
    /// Uploads the table and begins the session.
    pub async fn begin(&self, table: &TableFile, screen: &mut Screen) -> Outcome<Value> {
        let client = &self.cast.employee;
        let file = client.upload("input.csv", table.bytes.clone()).await?;
        let session = json!({
            "agent_id": self.cast.agent,
            "environment": {
                "type": "openai_hosted",
                "files": [{"type": "file_id", "file_id": file, "path": ORIGINAL}],
            },
            "input": TASK,
        });
        let session = client.post("/v1/agents/sessions", &session).await?;
        let (id, creator) = (text(&session, "id")?, text(&session["bailiwick"], "creator")?);
        screen.note(format!("● session {} begins, ordered by {}\n", escape::line(&id), escape::line(&creator)));
        Ok(session)
    }

    /// Watches to the end, and kills the server once, in the middle of a command.
    pub async fn follow(&self, server: &mut Server, session: String, screen: &mut Screen) -> Outcome<Told> {
        let work = self.follow_to_end(server, session, screen);
        within(LONGEST, work).await.unwrap_or_else(|| Err(Failure::failed("the demo's session did not end in time")))
    }

    async fn follow_to_end(&self, server: &mut Server, session: String, screen: &mut Screen) -> Outcome<Told> {
        let client = &self.cast.employee;
        let mut watch = Watch::from_start(client, &session);
        let ending = Ending::default();
        let mut told = Told { session: session.clone(), ending, kill: None, consent: None, done: Vec::new() };
        let mut moment = Moment::default();
        loop {
            let Some(event) = watch.next().await? else { continue };
            screen.show(&event, std::mem::take(&mut watch.resumed));
            if event.kind() == "agent.session.turn.item.done" {
                told.done.push(event.data["item"].clone());
            }
            let asks =
                |event: &Event| event.data["session"]["bailiwick"]["approvals"].as_array().map_or(0, Vec::len) > 0;
            if event.kind() == "agent.session.requires_action" && asks(&event) {
                for approval in consent::waiting(client, &session).await? {
                    told.consent = Some(consent::answer(client, &approval, self.yes, screen).await?);
                }
                continue;
            }
            if told.ending.take_in(&event) {
                return Ok(told);
            }
            if told.kill.is_none()
                && let Some((item, command)) = moment.take_in(&event, self.scripted)
            {
                told.kill = Some(strike(server, item, command, event.id, screen).await?);
            }
        }
    }

    /// Gives a file where none may be put: an action of the agent on the employee's behalf, whatever its model does.
    pub async fn give_what_is_forbidden(&self, environment: &str, screen: &mut Screen) -> Outcome {
        screen.note(format!(
            "\n● the model tried nothing forbidden; {} gives a file as {ORIGINAL}",
            self.cast.person.name
        ));
        match self.give(environment, ORIGINAL).await {
            Err(failure) if failure.exit == Exit::Denied => {
                screen.note(format!("  ✗ {}", escape::lines(&failure.message)));
                Ok(())
            }
            Err(failure) => Err(failure),
            Ok(_) => Err(Failure::failed(format!("a file at {ORIGINAL} was taken, which the policy forbids"))),
        }
    }

    /// Gives a file that a rule asks about, and answers the question.
    pub async fn give_what_is_asked(&self, session: &str, environment: &str, screen: &mut Screen) -> Outcome<Consent> {
        let client = &self.cast.employee;
        screen.note(format!("\n● the model wrote no letter; {} gives one as {LETTER}", self.cast.person.name));
        let answer = async {
            loop {
                if let Some(approval) = consent::waiting(client, session).await?.first() {
                    return consent::answer(client, approval, self.yes, screen).await;
                }
                rest(STEP).await;
            }
        };
        let asked = async {
            within(QUESTION, answer).await.unwrap_or_else(|| Err(Failure::failed("nobody was asked about the letter")))
        };
        let (given, consent) = tokio::join!(self.give(environment, LETTER), asked);
        let consent = consent?;
        match given {
            Err(failure) if consent.approved => Err(failure),
            _ => Ok(consent),
        }
    }

    async fn give(&self, environment: &str, path: &str) -> Outcome<Value> {
        let files = format!("/v1/agents/environments/{}/files", encode(environment));
        self.cast.employee.post(&files, &json!({"type": "inline", "data": LETTER_TEXT, "path": path})).await
    }
}

/// Kills the server, shows that it is gone, and starts it again.
async fn strike(
    server: &mut Server,
    item: String,
    command: String,
    after: Option<String>,
    screen: &mut Screen,
) -> Outcome<Kill> {
    let pid = server.id();
    server.kill()?;
    let shown = escape::brief(&command, 60);
    screen.note(format!("\n✗ kill -9 {pid}: the server is gone, in the middle of `{shown}`"));
    let gone = match server.client() {
        Ok(client) => client.status("/healthz").await.is_err(),
        Err(_) => true,
    };
    if !gone {
        return Err(Failure::failed("the server still answers after it was killed"));
    }
    server.start_again().await?;
    let new_pid = server.id();
    screen.note(format!(
        "● server started again: process {new_pid}. Nobody asks it for anything; the session goes on by itself\n"
    ));
    Ok(Kill { pid, new_pid, command, item, after_event: after })
}

/// Waits for a command to be in the middle of its work.
#[derive(Default)]
struct Moment {
    commands: HashMap<String, String>,
    pieces: HashMap<String, u32>,
}

impl Moment {
    /// The item and the command to kill the server in, once it is time.
    fn take_in(&mut self, event: &Event, scripted: bool) -> Option<(String, String)> {
        let item = &event.data["item"];
        match event.kind() {
            "agent.session.turn.item.added" if item["type"] == "command_execution" => {
                let (id, command) = (item["id"].as_str()?, item["command"].as_str()?);
                self.commands.insert(id.to_owned(), command.to_owned());
                // A model's own command may be short and silent: its start is the moment.
                (!scripted).then(|| (id.to_owned(), command.to_owned()))
            }
            "agent.output.command_execution_output.delta" => {
                let id = event.data["item_id"].as_str()?;
                let pieces = self.pieces.entry(id.to_owned()).or_default();
                *pieces += 1;
                let command = self.commands.get(id)?;
                (*pieces >= PIECES && command.contains("profile.py")).then(|| (id.to_owned(), command.clone()))
            }
            _ => None,
        }
    }
}

/// Deletes every session, so that no sandbox stays behind when the demo ends early.
pub(super) async fn wipe(server: &Server) {
    let work = async { wipe_all(&server.client()?).await };
    let _ = within(WIPE, work).await;
}
