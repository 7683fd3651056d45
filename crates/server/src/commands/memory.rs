//! `bailiwick memory …`: what is remembered, for the people whom it is about.

use super::{text, time};
use crate::{
    cli::{Memory, MemoryKind, MemoryScope, Of},
    client::{Client, encode},
    failure::Outcome,
    terminal::{Table, Terminal, escape},
};
use serde_json::{Value, json};

const MEMORIES: &str = "/bailiwick/v1/memories";
/// Entries that one request gives.
const PAGE: usize = 100;

pub async fn perform(command: Memory, terminal: Terminal) -> Outcome {
    match command {
        Memory::List { scope, proposed, limit, of, target, .. } => {
            list(&Client::of(&target)?, scope, proposed, limit as usize, &of, terminal).await
        }
        Memory::Show { memory, of, target, .. } => {
            let entry = Client::of(&target)?.get(&path(&memory, "", &of)).await?;
            terminal.result(&entry, || about(&entry));
            Ok(())
        }
        Memory::Search { words, agent, target, .. } => {
            let body = json!({"query": words.join(" "), "agent_id": agent, "limit": PAGE});
            let found = Client::of(&target)?.post(&format!("{MEMORIES}/search"), &body).await?;
            let found = found["data"].as_array().cloned().unwrap_or_default();
            terminal
                .result(&json!({"memories": found}), || rows(&found, "Nothing that is remembered has these words.\n"));
            Ok(())
        }
        Memory::Add { text, kind, target, .. } => {
            let body = json!({"text": text, "kind": kind_name(kind), "scope": "person"});
            let entry = Client::of(&target)?.post(MEMORIES, &body).await?;
            told(&entry, "Remembered", terminal);
            Ok(())
        }
        Memory::Correct { memory, text, of, target, .. } => {
            let client = Client::of(&target)?;
            let seen = client.get(&path(&memory, "", &of)).await?;
            let body = json!({"text": text, "version": seen["version"]});
            let entry = client.post(&path(&memory, "", &of), &body).await?;
            told(&entry, "Corrected", terminal);
            Ok(())
        }
        Memory::Confirm { memory, of, target, .. } => {
            let client = Client::of(&target)?;
            let seen = client.get(&path(&memory, "", &of)).await?;
            let body = json!({"version": seen["version"]});
            let entry = client.post(&path(&memory, "/confirm", &of), &body).await?;
            told(&entry, "Confirmed", terminal);
            Ok(())
        }
        Memory::Forget { memory, of, target, .. } => {
            let gone = Client::of(&target)?.delete(&path(&memory, "", &of)).await?;
            terminal.result(&gone, || {
                let id = escape::line(&memory);
                format!("Erased: {id}. Its receipt is `memory.forgotten` of {id} in the administration's records.\n")
            });
            Ok(())
        }
        Memory::Count { target, .. } => {
            let counts = Client::of(&target)?.get(&format!("{MEMORIES}/counts")).await?;
            terminal.result(&counts, || {
                let mut table = Table::new(&["SCOPE", "STATE", "ENTRIES", "HOLDERS"]);
                for one in counts["data"].as_array().into_iter().flatten() {
                    let (entries, holders) = (one["entries"].to_string(), one["holders"].to_string());
                    table.row([text(one, "scope"), text(one, "state"), &entries, &holders]);
                }
                table.render()
            });
            Ok(())
        }
    }
}

fn path(memory: &str, more: &str, of: &Of) -> String {
    let of = query_of(of).map(|of| format!("?{of}")).unwrap_or_default();
    format!("{MEMORIES}/{}{more}{of}", encode(memory))
}

fn query_of(of: &Of) -> Option<String> {
    let team = of.team.as_ref().map(|team| format!("team_id={}", encode(team)));
    team.or_else(|| of.agent.as_ref().map(|agent| format!("agent_id={}", encode(agent))))
}

fn kind_name(kind: MemoryKind) -> &'static str {
    match kind {
        MemoryKind::Fact => "fact",
        MemoryKind::Preference => "preference",
        MemoryKind::Summary => "summary",
    }
}

fn scope_name(scope: MemoryScope) -> &'static str {
    match scope {
        MemoryScope::Person => "person",
        MemoryScope::Team => "team",
        MemoryScope::Agent => "agent",
        MemoryScope::Tenant => "tenant",
    }
}

async fn list(
    client: &Client,
    scope: Option<MemoryScope>,
    proposed: bool,
    limit: usize,
    of: &Of,
    terminal: Terminal,
) -> Outcome {
    let mut filters = String::new();
    filters.extend(scope.map(|scope| format!("&scope={}", scope_name(scope))));
    filters.extend(query_of(of).map(|of| format!("&{of}")));
    if proposed {
        filters.push_str("&state=proposed");
    }
    let mut all: Vec<Value> = Vec::new();
    while all.len() < limit {
        let after = all.last().map(|last| format!("&after={}", encode(text(last, "id")))).unwrap_or_default();
        let page = client.get(&format!("{MEMORIES}?limit={}{filters}{after}", PAGE.min(limit - all.len()))).await?;
        let found = page["data"].as_array().cloned().unwrap_or_default();
        let more = page["has_more"] == true && !found.is_empty();
        all.extend(found);
        if !more {
            break;
        }
    }
    terminal.result(&json!({"memories": all}), || rows(&all, "Nothing is remembered.\n"));
    Ok(())
}

fn rows(entries: &[Value], nothing: &str) -> String {
    if entries.is_empty() {
        return nothing.to_owned();
    }
    let mut table = Table::new(&["MEMORY", "SCOPE", "KIND", "STATE", "CHANGED (UTC)", "TEXT"]).widest(60);
    for entry in entries {
        let changed = time(&entry["updated_at"]);
        let cells = [text(entry, "id"), text(entry, "scope"), text(entry, "kind"), text(entry, "state"), &changed];
        table.row(cells.into_iter().chain([text(entry, "text")]));
    }
    table.render()
}

fn told(entry: &Value, done: &str, terminal: Terminal) {
    terminal.result(entry, || {
        format!(
            "{done}: {} version {} ({}).\n",
            escape::line(text(entry, "id")),
            entry["version"],
            text(entry, "state")
        )
    });
}

fn about(entry: &Value) -> String {
    let (source, label) = (&entry["source"], &entry["label"]);
    let confidentiality = match &label["confidentiality"] {
        Value::String(word) => word.clone(),
        other => other.to_string(),
    };
    let lines = [
        ("id", escape::line(text(entry, "id"))),
        ("scope", text(entry, "scope").to_owned()),
        ("kind", text(entry, "kind").to_owned()),
        ("state", text(entry, "state").to_owned()),
        ("version", entry["version"].to_string()),
        ("written by", escape::line(text(source, "by"))),
        ("session", escape::line(text(source, "session"))),
        ("action", escape::line(text(source, "action"))),
        ("by itself", escape::line(text(source, "consolidated_by"))),
        ("confirmed", escape::line(text(source, "confirmed_by"))),
        ("label", escape::line(&format!("{}, {confidentiality}", text(label, "integrity")))),
        ("created", time(&entry["created_at"])),
        ("changed", time(&entry["updated_at"])),
        ("text", escape::line(text(entry, "text"))),
    ];
    let shown = lines.into_iter().filter(|(_, value)| !value.is_empty());
    shown.map(|(name, value)| format!("{name:<12} {value}\n")).collect()
}
