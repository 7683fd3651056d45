//! `bailiwick agent …`: saved agents. An agent's file is the API's own description of one, in TOML or JSON.

use super::{find_agent, text, time};
use crate::{
    cli::Agent,
    client::{Client, encode},
    failure::{Doing as _, Failure, Outcome},
    files,
    terminal::{Table, Terminal, escape},
};
use serde_json::{Value, json};
use std::path::Path;

const MAX_FILE: u64 = 4 * 1024 * 1024;

pub async fn perform(command: Agent, terminal: Terminal) -> Outcome {
    match command {
        Agent::Apply { file, target, .. } => apply(&Client::of(&target)?, &file, terminal).await,
        Agent::List { orphaned, target, .. } => list(&Client::of(&target)?, orphaned, terminal).await,
        Agent::Publish { agent, version, note, target, .. } => {
            publish(&Client::of(&target)?, &agent, version, note, terminal).await
        }
        Agent::Show { agent, target, .. } => show(&Client::of(&target)?, &agent, terminal).await,
    }
}

/// A new agent, or a new version of the one that has the file's `id`, else its `name`.
async fn apply(client: &Client, file: &Path, terminal: Terminal) -> Outcome {
    let mut wanted = read(file)?;
    let id = wanted.remove("id");
    let existing = match (&id, wanted.get("name").and_then(Value::as_str)) {
        (Some(id), _) => {
            let id = id.as_str().ok_or_else(|| Failure::usage("`id` must be text"))?;
            Some(find_agent(client, id).await?)
        }
        (None, Some(name)) => {
            let same = client.list("/v1/agents", usize::MAX).await?;
            let mut same: Vec<Value> = same.into_iter().filter(|agent| agent["name"].as_str() == Some(name)).collect();
            if same.len() > 1 {
                return Err(Failure::failed(format!("several agents are called `{name}`"))
                    .help("add the `id` of the one that is meant to the file"));
            }
            same.pop()
        }
        (None, None) => {
            return Err(Failure::usage("the file gives the agent no `name`: add one, so that it is found again"));
        }
    };
    let body = Value::Object(wanted);
    let (agent, done) = match &existing {
        None => (client.post("/v1/agents", &body).await?, "created"),
        Some(agent) => (client.post(&format!("/v1/agents/{}", encode(text(agent, "id"))), &body).await?, "updated"),
    };
    terminal.result(&json!({"agent": agent, "done": done}), || {
        format!("{done} {} {}\n", escape::line(text(&agent, "id")), escape::line(text(&agent, "name")))
    });
    Ok(())
}

pub(super) fn read(file: &Path) -> Outcome<serde_json::Map<String, Value>> {
    let place = file.display();
    let bytes = files::read_bounded(file, MAX_FILE).map_err(|error| Failure::usage(format!("{place}: {error}")))?;
    let content = String::from_utf8(bytes).map_err(|_| Failure::usage(format!("{place}: this is not UTF-8 text")))?;
    let is_json = file.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("json"));
    let value: Value = if is_json {
        serde_json::from_str(&content).map_err(|error| Failure::usage(format!("{place}: {error}")))?
    } else {
        let table: toml::Table = toml::from_str(&content).map_err(|error| {
            let line =
                error.span().map_or(1, |span| content[..span.start.min(content.len())].matches('\n').count() + 1);
            Failure::usage(format!("{place}:{line}: {}", error.message().trim()))
        })?;
        serde_json::to_value(table).doing(|| format!("read {place}"))?
    };
    match value {
        Value::Object(map) => Ok(map),
        _ => Err(Failure::usage(format!("{place}: it must be a table of keys"))),
    }
}

/// Makes a version live.
async fn publish(client: &Client, agent: &str, version: u32, note: Option<String>, terminal: Terminal) -> Outcome {
    let agent = find_agent(client, agent).await?;
    let path = format!("/bailiwick/v1/agents/{}/publish", encode(text(&agent, "id")));
    let published = client.post(&path, &json!({"version": version, "note": note})).await?;
    terminal.result(&json!({"agent": published}), || {
        format!("published version {version} of {}\n", escape::line(text(&published, "id")))
    });
    Ok(())
}

pub(super) async fn list(client: &Client, orphaned: bool, terminal: Terminal) -> Outcome {
    let path = if orphaned { "/bailiwick/v1/agents/orphaned" } else { "/v1/agents" };
    let agents = client.list(path, usize::MAX).await?;
    terminal.result(&json!({"agents": agents}), || {
        if agents.is_empty() && orphaned {
            return "Somebody answers for every agent.\n".to_owned();
        }
        if agents.is_empty() {
            return "There are no agents yet. Save one with `bailiwick agent apply -f FILE`.\n".to_owned();
        }
        let mut table = Table::new(&["AGENT", "NAME", "MODEL", "STATUS", "OWNER", "CREATED (UTC)"]);
        for agent in &agents {
            let name = if agent["name"].is_string() { text(agent, "name") } else { "-" };
            let (status, owner) =
                (text(&agent["bailiwick"], "status"), agent["bailiwick"]["owner"].as_str().unwrap_or("-"));
            table.row([text(agent, "id"), name, text(agent, "model"), status, owner, &time(&agent["created_at"])]);
        }
        table.render()
    });
    Ok(())
}

async fn show(client: &Client, agent: &str, terminal: Terminal) -> Outcome {
    let agent = find_agent(client, agent).await?;
    terminal.result(&json!({"agent": agent}), || format!("{}\n", escape::lines(&format!("{agent:#}"))));
    Ok(())
}
