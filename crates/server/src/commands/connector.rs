//! `bailiwick connector …`: the ways to the company's systems, kept as files.

use super::{account, agent, catalogue, text};
use crate::{
    cli::Connector,
    client::{Client, encode},
    failure::{Failure, Outcome},
    files,
    terminal::{Table, Terminal, escape},
};
use bailiwick_mcp::TransportConfig;
use serde_json::{Map, Value, json};
use std::path::Path;

const CONNECTORS: &str = "/bailiwick/v1/connectors";
/// Bytes of a file that is imported.
const MAX_FILE: u64 = 1024 * 1024;

pub async fn perform(command: Connector, terminal: Terminal) -> Outcome {
    match command {
        Connector::Apply { file, reason, target, .. } => {
            let wanted = described(&file)?;
            apply(&Client::of(&target)?, wanted, reason, terminal).await
        }
        Connector::Import { file, reason, target, .. } => {
            let wanted = imported(&file, terminal)?;
            apply(&Client::of(&target)?, wanted, reason, terminal).await
        }
        Connector::List { target, .. } => list(&Client::of(&target)?, terminal).await,
        Connector::Show { name, target, .. } => {
            let connector = Client::of(&target)?.get(&path(&name)).await?;
            terminal.result(&connector, || about(&connector));
            Ok(())
        }
        Connector::Test { name, target, .. } => {
            let tested = Client::of(&target)?.post(&format!("{}/test", path(&name)), &json!({})).await?;
            terminal.result(&tested, || report(&tested));
            match tested["status"] == json!("ready") {
                true => Ok(()),
                false => Err(Failure::failed(format!("{} cannot be used", escape::line(&name)))),
            }
        }
        Connector::Accept { name, session, target, .. } => {
            let client = Client::of(&target)?;
            let path = format!("{}/accept", path(&name));
            let connector = client.post(&path, &json!({"session_id": session})).await?;
            terminal.result(&connector, || {
                let tools = connector["accepted_tools"].as_object().map_or(0, Map::len);
                format!("Accepted {tools} tools of {}; others are held back.\n", escape::line(&name))
            });
            Ok(())
        }
        Connector::Connect { name, target, .. } => account::connect(&Client::of(&target)?, &name, terminal).await,
        Connector::Accounts { target, .. } => account::list(&Client::of(&target)?, terminal).await,
        Connector::Disconnect { name, reason, target, .. } => {
            account::disconnect(&Client::of(&target)?, (&name, &reason), terminal).await
        }
        Connector::Remove { name, reason, target, .. } => {
            let removed = Client::of(&target)?.delete_because(&path(&name), &reason).await?;
            terminal.result(&removed, || format!("Removed: {}. No agent reaches it any more.\n", escape::line(&name)));
            Ok(())
        }
        asking => catalogue::perform(asking, terminal).await,
    }
}

fn path(name: &str) -> String {
    format!("{CONNECTORS}/{}", encode(name))
}

/// The connectors of a file, each under its name.
fn described(file: &Path) -> Outcome<Vec<(String, Value)>> {
    let all = agent::read(file)?;
    if let Some((name, _)) = all.iter().find(|(_, one)| !one.is_object()) {
        return Err(Failure::usage(format!("{}: `{name}` is no table", file.display()))
            .help("a connector is a table under its name, such as `[crm]`"));
    }
    Ok(all.into_iter().collect())
}

/// Connectors of the `mcpServers` that other programs keep, all of them or none.
fn imported(file: &Path, terminal: Terminal) -> Outcome<Vec<(String, Value)>> {
    let place = file.display();
    let wrong = |problem: String| Failure::usage(format!("{place}: {problem}"));
    let bytes = files::read_bounded(file, MAX_FILE).map_err(|error| wrong(error.to_string()))?;
    let content = String::from_utf8(bytes).map_err(|_| wrong("this is not UTF-8 text".to_owned()))?;
    let mut connectors = Vec::new();
    for one in bailiwick_mcp::import(&content).map_err(wrong)? {
        let name = escape::line(&one.name);
        let server = one.server.map_err(|problem| wrong(format!("`{name}`: {}", escape::line(&problem))))?;
        if let TransportConfig::Stdio { .. } = server.transport {
            return Err(wrong(format!(
                "`{name}` is a program to start, and this version reaches MCP servers by their address only"
            ))
            .help("leave it out, or run it behind an address of its own"));
        }
        if one.bearer.is_some() {
            return Err(wrong(format!("`{name}` holds a secret in `headers.Authorization`"))
                .help("take it out, and put it into a vault as a `static_bearer` credential for this server"));
        }
        for note in &one.notes {
            terminal.progress(format!("{name}: {}", escape::line(note)));
        }
        let settings = json!({"transport": server.transport});
        connectors
            .push((slug(&one.name), json!({"kind": "mcp", "settings": settings, "credential": {"matching": true}})));
    }
    Ok(connectors)
}

/// A name as connectors have them.
fn slug(name: &str) -> String {
    let plain = |char: char| if char.is_ascii_alphanumeric() { char.to_ascii_lowercase() } else { '-' };
    let spelt: String = name.chars().map(plain).take(32).collect();
    spelt.trim_matches('-').to_owned()
}

async fn apply(client: &Client, wanted: Vec<(String, Value)>, reason: Option<String>, terminal: Terminal) -> Outcome {
    let mut applied = Vec::new();
    for (name, mut one) in wanted {
        if let (Some(reason), Some(fields)) = (&reason, one.as_object_mut()) {
            fields.insert("reason".into(), json!(reason));
        }
        applied.push(client.post(&path(&name), &one).await?);
    }
    terminal.result(&json!({"connectors": applied}), || {
        let line = |one: &Value| format!("{} version {}\n", escape::line(text(one, "name")), one["version"]);
        applied.iter().map(line).collect()
    });
    Ok(())
}

async fn list(client: &Client, terminal: Terminal) -> Outcome {
    let connectors = client.get(CONNECTORS).await?["data"].as_array().cloned().unwrap_or_default();
    terminal.result(&json!({"connectors": connectors}), || {
        if connectors.is_empty() {
            return "There are no connectors. Make some with `bailiwick connector apply -f FILE`.\n".to_owned();
        }
        let mut table = Table::new(&["NAME", "KIND", "HOST", "WALLS", "VERSION", "FOR"]);
        for one in &connectors {
            let walls = if one["inside"] == json!(true) { "inside" } else { "outside" };
            let (version, words) = (one["version"].to_string(), escape::brief(text(one, "description"), 60));
            table.row([text(one, "name"), text(one, "kind"), text(one, "host"), walls, &version, &words]);
        }
        table.render()
    });
    Ok(())
}

/// What opening it came to.
fn report(tested: &Value) -> String {
    let names = |list: &Value, name: fn(&Value) -> &str| {
        let all: Vec<String> = list.as_array().into_iter().flatten().map(|one| escape::line(name(one))).collect();
        if all.is_empty() { "none".to_owned() } else { all.join(", ") }
    };
    let or_none = |field: &str| match tested[field].as_str() {
        Some(text) => escape::line(text),
        None => "none".to_owned(),
    };
    let from = if text(tested, "from") == "service" { "this server".to_owned() } else { or_none("from") };
    let lines = [
        ("status", or_none("status")),
        ("from", from),
        ("to", or_none("host")),
        ("for", or_none("principal")),
        ("signed in with", or_none("credential_id")),
        ("tools", names(&tested["tools"], |one| one.as_str().unwrap_or_default())),
        ("held back", names(&tested["held"], |one| one["name"].as_str().unwrap_or_default())),
        ("error", or_none("error")),
        ("receipts", format!("bailiwick audit list --session {}", or_none("session_id"))),
    ];
    lines.iter().map(|(name, value)| format!("{name:<16}{value}\n")).collect()
}

fn about(connector: &Value) -> String {
    let accepted = match connector["accepted_tools"].as_object() {
        Some(tools) => tools.keys().map(|tool| escape::line(tool)).collect::<Vec<_>>().join(", "),
        None => "whatever it offers".to_owned(),
    };
    let credential = match &connector["credential"] {
        Value::Null => "none".to_owned(),
        choice => choice.to_string(),
    };
    let lines = [
        ("name", escape::line(text(connector, "name"))),
        ("kind", text(connector, "kind").to_owned()),
        ("for", escape::line(text(connector, "description"))),
        ("host", escape::line(text(connector, "host"))),
        ("walls", if connector["inside"] == json!(true) { "inside".into() } else { "outside".to_owned() }),
        ("credential", escape::line(&credential)),
        ("tools", accepted),
        ("version", connector["version"].to_string()),
        ("by", escape::line(text(connector, "by"))),
        ("reason", escape::line(text(connector, "reason"))),
    ];
    let shown = lines.into_iter().filter(|(_, value)| !value.is_empty());
    shown.map(|(name, value)| format!("{name:<12} {value}\n")).collect()
}
