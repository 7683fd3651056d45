//! `bailiwick session …`: look at sessions, and act on them as a person.

use super::{Receipts, is_scripted, text, time};
use crate::{
    cli::{Resolution, Session},
    client::{Client, encode},
    failure::{Failure, Outcome},
    terminal::{Table, Terminal, escape},
    watch::{Screen, Watch, text_of},
};
use serde_json::{Value, json};

/// Items of one session that are shown at most.
const MOST_ITEMS: usize = 10_000;

pub async fn perform(command: Session, terminal: Terminal) -> Outcome {
    match command {
        Session::List { limit, target, .. } => list(&Client::of(&target)?, limit, terminal).await,
        Session::Show { session, target, .. } => show(&Client::of(&target)?, &session, terminal).await,
        Session::Tail { session, from_start, target } => {
            tail(&Client::of(&target)?, &session, from_start, terminal).await
        }
        Session::Cancel { session, target, .. } => cancel(&Client::of(&target)?, &session, terminal).await,
        Session::Delete { session, target, .. } => delete(&Client::of(&target)?, &session, terminal).await,
        Session::Resolve { session, action, resolution, target, .. } => {
            resolve(&Client::of(&target)?, &session, &action, resolution, terminal).await
        }
    }
}

fn path(session: &str) -> String {
    format!("/v1/agents/sessions/{}", encode(session))
}

async fn list(client: &Client, limit: u32, terminal: Terminal) -> Outcome {
    let sessions = client.list("/v1/agents/sessions?order=desc", limit as usize).await?;
    terminal.result(&json!({"sessions": sessions}), || {
        if sessions.is_empty() {
            return "There are no sessions yet. Begin one with `bailiwick run`.\n".to_owned();
        }
        let mut table = Table::new(&["SESSION", "STATUS", "LAST ACTIVE (UTC)", "MODEL", "AGENT"]);
        for session in &sessions {
            let agent = &session["agent"];
            let name = if agent["name"].is_string() { text(agent, "name") } else { "-" };
            let active = time(&session["last_active_at"]);
            table.row([text(session, "id"), text(session, "status"), &active, text(agent, "model"), name]);
        }
        table.render()
    });
    Ok(())
}

async fn show(client: &Client, session: &str, terminal: Terminal) -> Outcome {
    let state = client.get(&path(session)).await?;
    let items = client.list(&format!("{}/items?order=asc", path(session)), MOST_ITEMS).await?;
    let receipts = Receipts::of(client, session).await?;
    let document = json!({"session": state, "items": items, "receipts": receipts.to_json()});
    terminal.result(&document, || {
        let mut out = about(&state);
        out.push_str("\nHistory\n");
        for item in &items {
            out.push_str(&history_line(item));
        }
        out.push_str("\nReceipts\n");
        out.push_str(&receipts.table());
        out.push_str(&unresolved(&state, session));
        out
    });
    Ok(())
}

fn about(session: &Value) -> String {
    let agent = &session["agent"];
    let mut lines = vec![
        ("session", text(session, "id").to_owned()),
        ("status", text(session, "status").to_owned()),
        ("agent", format!("{} {}", text(agent, "id"), text(agent, "name"))),
        ("model", text(agent, "model").to_owned()),
        ("creator", text(&session["bailiwick"], "creator").to_owned()),
        ("created", time(&session["created_at"])),
        ("last active", time(&session["last_active_at"])),
    ];
    let environment = &session["bailiwick"]["environment"];
    if environment.is_object() {
        let facts = &environment["facts"];
        let isolation = facts["isolation"].as_str().map(|class| format!(", isolation `{class}`")).unwrap_or_default();
        let status = text(environment, "status");
        lines.push(("environment", format!("{} {status}{isolation}", text(environment, "id"))));
        for missing in facts["missing_limits"].as_array().into_iter().flatten() {
            lines.push(("missing limit", missing.as_str().unwrap_or_default().to_owned()));
        }
    }
    let usage = &session["usage"];
    if let (Some(input), Some(output)) = (usage["input_tokens"].as_u64(), usage["output_tokens"].as_u64()) {
        lines.push(("tokens", format!("{input} in, {output} out")));
    }
    if let Some(error) = session["error"].as_str() {
        lines.push(("error", error.to_owned()));
    }
    lines.iter().map(|(name, value)| format!("{name:<14}{}\n", escape::line(value.trim()))).collect()
}

fn history_line(item: &Value) -> String {
    let scripted = if item["bailiwick"]["scripted"] == true { " (scripted)" } else { "" };
    let (who, what) = match (text(item, "type"), text(item, "role")) {
        ("message", "user") => ("person", text_of(item)),
        ("message", _) => ("agent", text_of(item)),
        ("command_execution", _) => {
            let code = item["exit_code"].as_i64().map(|code| format!(" → exit code {code}")).unwrap_or_default();
            ("command", format!("{}{code}", text(item, "command")))
        }
        ("function_call" | "mcp_call", _) => ("call", text(item, "name").to_owned()),
        ("function_call_output", _) => ("result", text(item, "call_id").to_owned()),
        ("reasoning", _) => ("thought", item["summary"][0]["text"].as_str().unwrap_or_default().to_owned()),
        (other, _) => ("item", other.to_owned()),
    };
    let status = match item["status"].as_str() {
        Some("completed") | None => String::new(),
        Some(status) => format!(" [{}]", escape::line(status)),
    };
    format!("  {who:<8} {}{status}{scripted}\n", escape::brief(&what.replace('\n', " "), 120))
}

fn unresolved(session: &Value, id: &str) -> String {
    let mut out = String::new();
    for one in session["bailiwick"]["unresolved"].as_array().into_iter().flatten() {
        let action = text(one, "action");
        let what = format!("{}: {} ({})", text(one, "operation"), text(one, "what"), text(one, "reason"));
        out.push_str(&format!(
            "\nThe outcome of {} is unknown: {}\n  say what became of it: bailiwick session resolve {} {} \
             happened|did-not-happen|do-again\n",
            escape::line(action),
            escape::brief(&what, 200),
            escape::line(id),
            escape::line(action)
        ));
    }
    out
}

async fn tail(client: &Client, session: &str, from_start: bool, terminal: Terminal) -> Outcome {
    let state = client.get(&path(session)).await?;
    let mut screen = Screen::new(terminal);
    let status = text(&state, "status").to_owned();
    if !from_start && status != "in_progress" {
        screen.note(format!("● the session is {}; see what it did with --from-start", escape::line(&status)));
        return Ok(());
    }
    let model = text(&state["agent"], "model");
    if is_scripted(client, model).await {
        screen.note(format!("● the model `{}` is scripted: its part comes from a scenario file", escape::line(model)));
    }
    let mut watch = if from_start { Watch::from_start(client, session) } else { Watch::from_now(client, session) };
    loop {
        let ending = tokio::select! {
            ending = watch.until_rest(&mut screen) => ending?,
            _ = tokio::signal::ctrl_c() => {
                screen.note("● the session goes on");
                return Ok(());
            }
        };
        // Behind what was played back there may be more.
        let now = client.get(&path(session)).await?;
        let told = text(&ending.session, "status");
        if text(&now, "status") == told && now["last_active_at"] == ending.session["last_active_at"] {
            screen.note(format!("● the session is {}", escape::line(told)));
            return ending.failure().map_or(Ok(()), Err);
        }
    }
}

async fn cancel(client: &Client, session: &str, terminal: Terminal) -> Outcome {
    let body = json!({"events": [{"type": "agent.session.input.cancel"}]});
    client.post(&format!("{}/events", path(session)), &body).await?;
    let state = client.get(&path(session)).await?;
    terminal.result(&json!({"session": state}), || {
        format!("The running turn of {} is being cancelled.\n", escape::line(session))
    });
    Ok(())
}

async fn delete(client: &Client, session: &str, terminal: Terminal) -> Outcome {
    let done = client.delete(&path(session)).await?;
    terminal.result(&done, || format!("deleted {}\n", escape::line(session)));
    Ok(())
}

async fn resolve(client: &Client, session: &str, action: &str, resolution: Resolution, terminal: Terminal) -> Outcome {
    let word = match resolution {
        Resolution::Happened => "happened",
        Resolution::DidNotHappen => "did_not_happen",
        Resolution::DoAgain => "do_again",
    };
    if action.parse::<bailiwick_types::ActionId>().is_err() {
        return Err(Failure::usage(format!("`{action}` is not the id of an action: it begins with `act_`"))
            .help(format!("find it with `bailiwick session show {session}`")));
    }
    let body = json!({"action": action, "resolution": word});
    let answer = client.post(&format!("/bailiwick/v1/sessions/{}/resolve", encode(session)), &body).await?;
    terminal.result(&answer, || {
        let what = match resolution {
            Resolution::Happened => "happened; it is not done again",
            Resolution::DidNotHappen => "did not happen; the agent is told",
            Resolution::DoAgain => "may be done again",
        };
        format!("Noted: {} {what}.\n", escape::line(action))
    });
    Ok(())
}
