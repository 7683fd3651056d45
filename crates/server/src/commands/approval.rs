//! `bailiwick approval …`, `approve` and `deny`: what waits for a person's word, and the word.

use super::{text, time};
use crate::{
    cli::{AnswerTo, Approval},
    client::{Client, encode},
    failure::{Failure, Outcome},
    terminal::{Table, Terminal, escape},
};
use serde_json::{Value, json};

pub async fn perform(command: Approval, terminal: Terminal) -> Outcome {
    match command {
        Approval::List { limit, target, .. } => list(&Client::of(&target)?, limit, terminal).await,
        Approval::Show { approval, target, .. } => show(&Client::of(&target)?, &approval, terminal).await,
    }
}

async fn list(client: &Client, limit: u32, terminal: Terminal) -> Outcome {
    let approvals = client.list("/bailiwick/v1/approvals?order=asc", limit as usize).await?;
    terminal.result(&json!({"approvals": approvals}), || {
        if approvals.is_empty() {
            return "Nothing waits for you.\n".to_owned();
        }
        let mut table = Table::new(&["APPROVAL", "WHO", "WHAT", "RULE", "YOURS", "UNTIL (UTC)"]);
        for approval in &approvals {
            let until = time(&approval["expires_at"]);
            let what = escape::line(text(approval, "what"));
            let yours = if approval["may_answer"] == true { "yes" } else { "no" };
            table.row([text(approval, "id"), who(approval), &what, text(approval, "rule"), yours, &until]);
        }
        let next =
            "Look closer with `bailiwick approval show ID`, answer with `bailiwick approve ID` or `bailiwick deny ID`.";
        format!("{}\n{next}\n", table.render())
    });
    Ok(())
}

/// One approval, with everything that it is about.
async fn show(client: &Client, id: &str, terminal: Terminal) -> Outcome {
    let approval = client.get(&path(id)?).await?;
    terminal.result(&approval, || about(&approval));
    Ok(())
}

pub async fn answer(options: &AnswerTo, approve: bool, terminal: Terminal) -> Outcome {
    let client = Client::of(&options.target)?;
    let path = path(&options.approval)?;
    let approval = client.get(&path).await?;
    if !options.form.json {
        terminal.progress(about(&approval));
    }
    let decision = if approve { "approve" } else { "deny" };
    let answered = client.post(&path, &json!({"decision": decision, "reason": options.reason})).await?;
    terminal.result(&answered, || {
        let word = if approve { "Approved" } else { "Denied" };
        format!("{word}: {}\n", escape::line(text(&approval, "what")))
    });
    Ok(())
}

fn path(id: &str) -> Outcome<String> {
    if id.parse::<bailiwick_types::ActionId>().is_err() {
        return Err(Failure::usage(format!("`{id}` is not the id of an approval: it begins with `act_`"))
            .help("find it with `bailiwick approval list`"));
    }
    Ok(format!("/bailiwick/v1/approvals/{}", encode(id)))
}

fn who(approval: &Value) -> &str {
    match approval["agent_name"].as_str() {
        Some(name) => name,
        None => text(approval, "agent_id"),
    }
}

fn about(approval: &Value) -> String {
    let approver = match approval["approver"]["type"].as_str() {
        Some("person") => "the person for whom the agent works".to_owned(),
        _ => {
            let part = |name: &str| approval["approver"][name].as_str().map(|value| format!(" ({name} {value})"));
            format!("a second person{}{}", part("role").unwrap_or_default(), part("team").unwrap_or_default())
        }
    };
    let lines = [
        ("what", escape::lines(text(approval, "what"))),
        ("operation", text(approval, "operation").to_owned()),
        ("arguments", escape::line(&approval["arguments"].to_string())),
        ("who", format!("{} {}", who(approval), text(approval, "actor"))),
        ("rule", text(approval, "rule").to_owned()),
        ("why", escape::line(text(approval, "reason"))),
        ("answers", approver),
        ("until", time(&approval["expires_at"])),
        ("session", text(approval, "session_id").to_owned()),
        ("digest", text(approval, "digest").to_owned()),
    ];
    lines.iter().map(|(name, value)| format!("{name:<10} {value}\n")).collect()
}
