//! `bailiwick connector publish | catalogue | ask | requests | grant | refuse …`: connectors that people ask for.

use super::{find_agent, text, time};
use crate::{
    cli::Connector,
    client::{Client, encode},
    failure::{Failure, Outcome},
    terminal::{Table, Terminal, escape},
};
use serde_json::{Map, Value, json};

const CONNECTORS: &str = "/bailiwick/v1/connectors";
const REQUESTS: &str = "/bailiwick/v1/connector-requests";

pub async fn perform(command: Connector, terminal: Terminal) -> Outcome {
    match command {
        Connector::Publish { name, title, purpose, teams, owner, reason, target, .. } => {
            let wanted = json!({"title": title, "purpose": purpose, "teams": teams, "owner": owner, "reason": reason});
            let path = format!("{CONNECTORS}/{}/publish", encode(&name));
            let published = Client::of(&target)?.post(&path, &wanted).await?;
            terminal.result(&published, || format!("Published: {}. People may ask for it.\n", escape::line(&name)));
        }
        Connector::Withdraw { name, target, .. } => {
            let path = format!("{CONNECTORS}/{}/withdraw", encode(&name));
            let withdrawn = Client::of(&target)?.post(&path, &json!({})).await?;
            terminal.result(&withdrawn, || format!("Withdrawn: {}. What was granted stays.\n", escape::line(&name)));
        }
        Connector::Catalogue { target, .. } => list(&Client::of(&target)?, terminal).await?,
        Connector::Ask { name, agent, tools, reason, target, .. } => {
            let client = Client::of(&target)?;
            let mut wanted = Map::from_iter([("reason".to_owned(), json!(reason))]);
            if let Some(agent) = agent {
                wanted.insert("agent_id".into(), find_agent(&client, &agent).await?["id"].clone());
            }
            if !tools.is_empty() {
                wanted.insert("tools".into(), json!(tools));
            }
            let path = format!("{CONNECTORS}/{}/requests", encode(&name));
            let asked = client.post(&path, &Value::Object(wanted)).await?;
            terminal.result(&asked, || format!("Asked for {} as {}.\n", escape::line(&name), text(&asked, "id")));
        }
        Connector::Requests { all, target, .. } => requests(&Client::of(&target)?, all, terminal).await?,
        Connector::Grant { request, tools, reason, target, .. } => {
            let mut given = Map::new();
            if !tools.is_empty() {
                given.insert("tools".into(), json!(tools));
            }
            given.extend(reason.map(|reason| ("reason".to_owned(), json!(reason))));
            let path = format!("{REQUESTS}/{}/grant", encode(&request));
            let granted = Client::of(&target)?.post(&path, &Value::Object(given)).await?;
            terminal.result(&granted, || format!("Granted: {}\n", one_line(&granted)));
        }
        Connector::Refuse { request, reason, target, .. } => {
            let path = format!("{REQUESTS}/{}/refuse", encode(&request));
            let refused = Client::of(&target)?.post(&path, &json!({"reason": reason})).await?;
            terminal.result(&refused, || format!("Refused: {}\n", one_line(&refused)));
        }
        Connector::TakeBack { request, reason, target, .. } => {
            let path = format!("{REQUESTS}/{}", encode(&request));
            let removed = Client::of(&target)?.delete_because(&path, &reason).await?;
            terminal.result(&removed, || format!("Taken back: {}.\n", escape::line(&request)));
        }
        _ => return Err(Failure::failed("this is no command of the catalogue")),
    }
    Ok(())
}

fn one_line(request: &Value) -> String {
    format!("{} for {}.", escape::line(text(request, "connector")), whom(request))
}

fn whom(request: &Value) -> String {
    let id = request["agent_id"].as_str().or(request["user_id"].as_str());
    escape::line(id.unwrap_or_default())
}

async fn list(client: &Client, terminal: Terminal) -> Outcome {
    let entries = client.get("/bailiwick/v1/catalogue").await?["data"].as_array().cloned().unwrap_or_default();
    terminal.result(&json!({"catalogue": entries}), || {
        if entries.is_empty() {
            return "The catalogue is empty. An administrator fills it with `bailiwick connector publish`.\n"
                .to_owned();
        }
        let mut table = Table::new(&["NAME", "TITLE", "KIND", "YOURS", "FOR"]);
        for entry in &entries {
            let yours = if entry["granted"] == json!(true) { "yes" } else { "ask" };
            let words = escape::brief(text(entry, "purpose"), 60);
            table.row([text(entry, "name"), text(entry, "title"), text(entry, "kind"), yours, &words]);
        }
        table.render()
    });
    Ok(())
}

async fn requests(client: &Client, all: bool, terminal: Terminal) -> Outcome {
    let path = if all { REQUESTS.to_owned() } else { format!("{REQUESTS}?state=open") };
    let found = client.list(&path, usize::MAX).await?;
    terminal.result(&json!({"requests": found}), || {
        if found.is_empty() {
            return "Nothing waits for an answer.\n".to_owned();
        }
        let mut table = Table::new(&["ID", "CONNECTOR", "FOR", "TOOLS", "STATE", "SINCE", "REASON"]);
        for one in &found {
            let tools = match one["tools"].as_array() {
                Some(tools) => tools.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(", "),
                None => "all".to_owned(),
            };
            let (since, words) = (time(&one["created_at"]), escape::brief(text(one, "reason"), 50));
            let tools = escape::brief(&tools, 30);
            table.row([
                text(one, "id"),
                text(one, "connector"),
                &whom(one),
                &tools,
                text(one, "state"),
                &since,
                &words,
            ]);
        }
        table.render()
    });
    Ok(())
}
