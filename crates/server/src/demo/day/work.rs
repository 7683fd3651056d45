//! The day's work: begun with the employee's own token, followed to its end through two deaths of the server. One comes
//! between two mails; the other inside one, after its final dot and before the mail server's answer is written down.

use super::super::{
    cast::{Cast, text},
    company::Company,
    consent::{self, Consent},
};
use crate::{
    child::Server,
    client::Event,
    failure::{Failure, Outcome},
    runtime::within,
    terminal::escape,
    watch::{Ending, Screen, Watch},
};
use serde_json::{Value, json};
use std::time::Duration;

const TASK: &str = "Prepare my three o'clock: what is it about, who comes, and what is overdue by region. I want briefs on \
one page, with the largest figure first. Send it to everybody who attends.";
/// The longest that the whole day may take.
const LONGEST: Duration = Duration::from_secs(1800);
/// Of an answer, on the screen.
const SHOWN_LINES: usize = 4;
const WIDTH: usize = 108;
const SEND: &str = "send_mail";

/// A death of the server.
#[derive(Debug, Clone)]
pub(super) struct Kill {
    pub pid: u32,
    pub new_pid: u32,
    /// The mail before which, or in which, it died: its Message-ID.
    pub mail: Option<String>,
}

impl Kill {
    pub fn to_json(&self) -> Value {
        json!({"signal": "SIGKILL", "pid": self.pid, "started_again_as": self.new_pid, "mail": self.mail})
    }
}

/// What the stream told, and what was done to the server meanwhile.
#[derive(Debug, Clone, Default)]
pub(super) struct Worked {
    pub session: String,
    pub ending: Ending,
    pub consents: Vec<Consent>,
    /// After one mail and before the next.
    pub between: Option<Kill>,
    /// After a final dot, before its answer.
    pub inside: Option<Kill>,
    /// Finished items, as the stream sent them; each time that it did.
    pub done: Vec<Value>,
}

impl Worked {
    /// The finished calls of one tool of one connector, each once, oldest first.
    pub fn calls<'a>(&'a self, connector: &'a str, tool: &'a str) -> impl Iterator<Item = &'a Value> {
        let is = move |item: &&Value| item["server_label"] == connector && names(item, tool);
        self.done.iter().filter(is)
    }

    pub fn is_denied_once(&self) -> bool {
        self.consents.iter().any(|consent| !consent.approved)
    }
}

/// A tool goes by its own name, or by its connector's and its own.
fn names(item: &Value, tool: &str) -> bool {
    item["name"].as_str().is_some_and(|name| name == tool || name.ends_with(&format!("__{tool}")))
}

pub(super) struct Work<'a> {
    pub cast: &'a Cast,
    /// Questions are answered by the option.
    pub yes: bool,
}

impl Work<'_> {
    pub async fn perform(&self, server: &mut Server, company: &mut Company, screen: &mut Screen) -> Outcome<Worked> {
        screen.note(format!("● {} writes: \"Prepare my three o'clock …\"", self.cast.person.name));
        let session = json!({
            "agent_id": self.cast.agent, "environment": {"type": "openai_hosted"}, "input": TASK,
        });
        let session = self.cast.employee.post("/v1/agents/sessions", &session).await?;
        let id = text(&session, "id")?;
        screen.note(format!("● session {} begins\n", escape::line(&id)));
        let work = self.follow(id, server, company, screen);
        within(LONGEST, work).await.unwrap_or_else(|| Err(Failure::failed("the demo's session did not end in time")))
    }

    async fn follow(
        &self,
        session: String,
        server: &mut Server,
        company: &mut Company,
        screen: &mut Screen,
    ) -> Outcome<Worked> {
        let client = &self.cast.employee;
        let mut watch = Watch::from_start(client, &session);
        let mut worked = Worked { session: session.clone(), ..Worked::default() };
        loop {
            let Some(event) = watch.next().await? else { continue };
            screen.show(&event, std::mem::take(&mut watch.resumed));
            if let Some(item) = finished(&event) {
                show_answer(item, screen);
                worked.done.push(item.clone());
                if worked.between.is_none() && names(item, SEND) && item["status"] == "completed" {
                    company.catch_up();
                    let why = "one mail is sent, the next is not yet asked for";
                    let mail = company.taken.last().map(|taken| taken.id.clone());
                    worked.between = Some(strike(server, why, mail, screen).await?);
                    continue;
                }
            }
            if waits_for_a_word(&event) {
                for approval in consent::waiting(client, &session).await? {
                    self.ask(&approval, &mut worked, server, company, screen).await?;
                }
                continue;
            }
            if worked.ending.take_in(&event) {
                company.catch_up();
                return Ok(worked);
            }
        }
    }

    /// Puts a question to the person. Inside the first mail after the first death, the server dies again.
    async fn ask(
        &self,
        approval: &Value,
        worked: &mut Worked,
        server: &mut Server,
        company: &mut Company,
        screen: &mut Screen,
    ) -> Outcome {
        let strikes = worked.between.is_some() && worked.inside.is_none();
        if strikes {
            company.catch_up();
            company.hold_next()?;
        }
        let consent = consent::answer(&self.cast.employee, approval, self.yes, screen).await?;
        let approved = consent.approved;
        worked.consents.push(consent);
        if !strikes || !approved {
            return Ok(());
        }
        let mut taken = company.next_mail().await?;
        while !taken.held {
            taken = company.next_mail().await?;
        }
        let why = "the mail is handed over to its final dot, and the answer to that has not come";
        worked.inside = Some(strike(server, why, Some(taken.id), screen).await?);
        Ok(())
    }
}

fn finished(event: &Event) -> Option<&Value> {
    (event.kind() == "agent.session.turn.item.done").then(|| &event.data["item"])
}

fn waits_for_a_word(event: &Event) -> bool {
    let asked = event.data["session"]["bailiwick"]["approvals"].as_array().map_or(0, Vec::len);
    event.kind() == "agent.session.requires_action" && asked > 0
}

/// The first lines of what a system answered, with its name: several may answer at once.
pub(super) fn show_answer(item: &Value, screen: &mut Screen) {
    let label = item["server_label"].as_str().unwrap_or_default();
    if item["type"] != "mcp_call" || label == "environment" {
        return;
    }
    let whose = escape::line(if label == "unknown" { "memory" } else { label });
    let Some(output) = item["output"].as_str() else { return };
    let lines: Vec<&str> = output.lines().filter(|line| !line.trim().is_empty()).collect();
    for line in lines.iter().take(SHOWN_LINES) {
        screen.note(format!("    {whose} │ {}", escape::brief(line, WIDTH)));
    }
    if lines.len() > SHOWN_LINES {
        screen.note(format!("    {whose} │ … {} lines more", lines.len() - SHOWN_LINES));
    }
}

/// Kills the server, makes sure that it is gone, and starts it again.
async fn strike(server: &mut Server, why: &str, mail: Option<String>, screen: &mut Screen) -> Outcome<Kill> {
    let pid = server.id();
    server.kill()?;
    screen.note(format!("\n✗ kill -9 {pid}: the server is gone. At this moment {why}"));
    let gone = match server.client() {
        Ok(client) => client.status("/healthz").await.is_err(),
        Err(_) => true,
    };
    if !gone {
        return Err(Failure::failed("the server still answers after it was killed"));
    }
    server.start_again().await?;
    let new_pid = server.id();
    screen.note(format!("● server started again: process {new_pid}. The session goes on by itself\n"));
    Ok(Kill { pid, new_pid, mail })
}
