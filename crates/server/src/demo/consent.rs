//! The question that a rule of the demo puts to the employee: shown as the API shows it, answered at the prompt.

use super::cast::text;
use crate::{
    client::{Client, encode},
    failure::{Doing as _, Exit, Failure, Outcome},
    terminal::{ask, escape},
    watch::Screen,
};
use serde_json::{Value, json};
use std::io;
use tokio::sync::oneshot;

/// Characters of an argument that are shown.
const ARGUMENT: usize = 400;

/// A question and what was answered.
#[derive(Debug, Clone)]
pub(super) struct Consent {
    pub action: String,
    pub what: String,
    pub rule: String,
    pub approved: bool,
    /// `--yes` answered, and nobody was asked.
    pub by_option: bool,
}

impl Consent {
    pub fn to_json(&self) -> Value {
        json!({
            "action": self.action, "what": self.what, "rule": self.rule, "approved": self.approved,
            "answered_by_option": self.by_option,
        })
    }
}

/// What waits for the word of whoever `client` is, in one session.
pub(super) async fn waiting(client: &Client, session: &str) -> Outcome<Vec<Value>> {
    let all = client.list("/bailiwick/v1/approvals?order=asc", 100).await?;
    Ok(all.into_iter().filter(|one| one["session_id"] == session && one["may_answer"] == true).collect())
}

/// Shows the question, gets the answer and gives it in the person's name.
pub(super) async fn answer(client: &Client, approval: &Value, yes: bool, screen: &mut Screen) -> Outcome<Consent> {
    let (action, what, rule) = (text(approval, "id")?, text(approval, "what")?, text(approval, "rule")?);
    screen.note("\n? The session waits for the person's word");
    for (name, value) in [
        ("what", what.clone()),
        ("why", text(approval, "reason")?),
        ("rule", rule.clone()),
        ("who", text(approval, "actor")?),
    ] {
        screen.note(format!("  {name:<10} {}", escape::line(&value)));
    }
    // A tool's own arguments one by one; of any other action, all of them.
    match approval["arguments"]["arguments"].as_object() {
        Some(arguments) => {
            for (name, value) in arguments {
                let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                screen.note(format!("  {:<10} {}", escape::line(name), escape::brief(&value, ARGUMENT)));
            }
        }
        None => screen.note(format!(
            "  {:<10} {}",
            "arguments",
            escape::brief(&approval["arguments"].to_string(), ARGUMENT)
        )),
    }
    let approved = if yes {
        screen.note("  --yes answers: approve\n");
        true
    } else if ask::is_possible() {
        let word = asked("  approve? [y/N] ".to_owned()).await.doing(|| "read the answer".to_owned())?;
        matches!(word.trim().to_lowercase().as_str(), "y" | "yes")
    } else {
        return Err(Failure::new(
            Exit::Waiting,
            format!("the session waits for a person's word: {what} (rule `{rule}`)"),
        )
        .help("run the demo at a terminal to answer it yourself, or give --yes"));
    };
    let decision = if approved { "approve" } else { "deny" };
    client.post(&format!("/bailiwick/v1/approvals/{}", encode(&action)), &json!({"decision": decision})).await?;
    Ok(Consent { action, what, rule, approved, by_option: yes })
}

/// On a thread of its own, which nothing waits for: whoever presses Ctrl-C is not kept by a read that goes on.
#[allow(clippy::disallowed_methods, reason = "a terminal can only be read by waiting")]
async fn asked(question: String) -> io::Result<String> {
    let (sender, receiver) = oneshot::channel();
    std::thread::spawn(move || sender.send(ask::line(&question)));
    receiver.await.unwrap_or_else(|_| Err(io::Error::other("nobody read the answer")))
}
