//! `bailiwick approval …`, `approve` and `deny`: what waits for a person's word, and the word.

use super::{grant, text, time};
use crate::{
    cli::{AnswerTo, Approval, Approve, Shape},
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

pub async fn approve(options: &Approve, terminal: Terminal) -> Outcome {
    let Approve { answer: to, reach, what, until, yes, content, answered_by } = options;
    let client = Client::of(&to.target)?;
    let approval = shown(&client, to, terminal).await?;
    let mut body = json!({"decision": "approve", "reason": to.reason});
    if let Some(content) = content {
        body["content"] = serde_json::from_str(content)
            .map_err(|error| Failure::usage(format!("`--content` is no JSON: {error}")))?;
    }
    if let Some(person) = answered_by {
        body["answered_by"] = json!(person);
    }
    if let (Some(reach), Some(until)) = (reach, until) {
        let (what, until) = (what.map_or("exact", Shape::name), grant::when(until)?);
        let words = widened(&approval, what, reach.name())?;
        grant::confirm(&format!("{words}, until {} UTC", time(&json!(until))), *yes, terminal)?;
        body["widen"] = json!({"what": what, "for": reach.name(), "until": until});
    }
    let answered = client.post(&path(&to.approval)?, &body).await?;
    terminal.result(&answered, || {
        let what = escape::line(text(&approval, "what"));
        match answered["grant"]["id"].as_str() {
            Some(grant) => {
                format!("Approved: {what}\nIt stands as {grant}: `bailiwick grant revoke {grant}` ends it.\n")
            }
            None => format!("Approved: {what}\n"),
        }
    });
    Ok(())
}

pub async fn deny(options: &AnswerTo, terminal: Terminal) -> Outcome {
    let client = Client::of(&options.target)?;
    let approval = shown(&client, options, terminal).await?;
    let body = json!({"decision": "deny", "reason": options.reason});
    let answered = client.post(&path(&options.approval)?, &body).await?;
    terminal.result(&answered, || format!("Denied: {}\n", escape::line(text(&approval, "what"))));
    Ok(())
}

/// What is answered is shown first.
async fn shown(client: &Client, options: &AnswerTo, terminal: Terminal) -> Outcome<Value> {
    let approval = client.get(&path(&options.approval)?).await?;
    if !options.form.json {
        terminal.progress(about(&approval));
    }
    Ok(approval)
}

/// The words of one way to widen an answer.
fn widened<'a>(approval: &'a Value, what: &str, reach: &str) -> Outcome<&'a str> {
    let options: Vec<&Value> = approval["widen"].as_array().into_iter().flatten().collect();
    let chosen = options.iter().find(|option| option["what"] == what && option["for"] == reach);
    chosen.and_then(|option| option["words"].as_str()).ok_or_else(|| {
        let offered: Vec<String> =
            options.iter().map(|one| format!("--for {} --what {}", text(one, "for"), text(one, "what"))).collect();
        let failure = Failure::usage(format!("this answer cannot stand for `{what}` in the {reach}"));
        match offered.is_empty() {
            true => failure.help("only the person who may answer can let it stand, not a program"),
            false => failure.help(format!("it can with {}", offered.join(", or "))),
        }
    })
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
    let missing: Vec<String> = array(approval, "approvers").iter().map(approver).collect();
    let given = |one: &Value| format!("{} (as {})", text(one, "by"), approver(&one["approver"]));
    let given: Vec<String> = array(approval, "given").iter().map(given).collect();
    let held = |one: &Value| {
        let cut = if one["cut"].as_bool() == Some(true) { ", cut here" } else { "" };
        let (handle, source, size) = (text(one, "handle"), text(one, "source"), &one["size_bytes"]);
        escape::lines(&format!("{handle}: {source}, {size} bytes{cut}: {}", text(one, "text")))
    };
    let held: Vec<String> = array(approval, "held").iter().map(held).collect();
    let system = match (approval["through"]["connector"].as_str(), approval["through"]["host"].as_str()) {
        (Some(connector), Some(host)) => format!("{} at {}", escape::line(connector), escape::line(host)),
        (connector, _) => escape::line(connector.unwrap_or_default()),
    };
    let lines = [
        ("what", escape::lines(text(approval, "what"))),
        ("operation", text(approval, "operation").to_owned()),
        ("arguments", escape::line(&approval["arguments"].to_string())),
        ("through", system),
        ("who", format!("{} {}", who(approval), text(approval, "actor"))),
        ("rule", text(approval, "rule").to_owned()),
        ("why", escape::line(text(approval, "reason"))),
        ("answers", missing.join(", and ")),
        ("answered", given.join(", ")),
        ("carries", held.join("\n")),
        ("connect", escape::line(text(&approval["account"], "url"))),
        ("asks", array(approval, "form").iter().map(asks).collect::<Vec<_>>().join("\n")),
        ("until", time(&approval["expires_at"])),
        ("session", text(approval, "session_id").to_owned()),
        ("digest", text(approval, "digest").to_owned()),
    ];
    let filled = lines.iter().filter(|(name, value)| {
        !value.is_empty() || !["through", "answered", "carries", "connect", "asks"].contains(name)
    });
    filled.map(|(name, value)| format!("{name:<10} {value}\n")).collect()
}

/// What a system asks, in its own words, with the fields of its form or the page that it names.
fn asks(question: &Value) -> String {
    let field = |one: &Value| {
        let required = if one["required"] == true { "" } else { ", may be left out" };
        let kind = match one["choices"].as_array() {
            Some(choices) => {
                let values: Vec<&str> = choices.iter().map(|choice| text(choice, "value")).collect();
                format!("{} of {}", text(one, "kind"), values.join(", "))
            }
            None => text(one, "kind").to_owned(),
        };
        format!("  {} ({kind}{required}): {}", text(one, "name"), text(one, "description"))
    };
    let mut lines = vec![format!("“{}” {}", text(question, "message"), text(question, "url"))];
    lines.extend(array(question, "fields").iter().map(field));
    escape::lines(&lines.join("\n"))
}

fn array<'a>(value: &'a Value, name: &str) -> &'a [Value] {
    value[name].as_array().map(Vec::as_slice).unwrap_or_default()
}

fn approver(one: &Value) -> String {
    if one["type"] == "person" {
        return "the person for whom the agent works".to_owned();
    }
    let part = |name: &str| one[name].as_str().map(|value| format!(" ({name} {value})"));
    format!("a second person{}{}", part("role").unwrap_or_default(), part("team").unwrap_or_default())
}
