//! `bailiwick audit …`: receipts, what proves them, and who changed what.

mod folder;
mod hold;

use super::{
    agent, find_agent, people,
    spend::{self, seconds},
    text,
};
use crate::{
    cli::{About, Audit, Part},
    client::{Client, encode},
    failure::{Doing as _, Failure, Outcome},
    runtime::SystemClock,
    scratch::Scratch,
    terminal::{Table, Terminal, escape},
};
use bailiwick_ports::Clock as _;
use bailiwick_types::Millis;
use bailiwick_verifier::{Options, Report, verify};
use folder::Folder;
use serde_json::{Value, json};
use std::path::Path;

/// How often `tail` asks.
const PACE: Millis = Millis(500);
/// Entries that are asked for at once.
const PAGE: u32 = 1000;

pub async fn perform(command: Audit, terminal: Terminal) -> Outcome {
    match command {
        Audit::List { limit, about, target, .. } => list(&Client::of(&target)?, &about, limit, terminal).await,
        Audit::Show { action, target, .. } => show(&Client::of(&target)?, &action, terminal).await,
        Audit::Tail { about, target } => tail(&Client::of(&target)?, &about, terminal).await,
        Audit::Export { output, sealed, target, .. } => {
            let client = Client::of(&target)?;
            let path = format!("of=everything&opened={}", !sealed);
            told(&export(&client, &path, &output).await?, &output, terminal);
            Ok(())
        }
        Audit::Evidence { output, sealed, about, target, .. } => {
            let client = Client::of(&target)?;
            let filter = query(&client, &about).await?;
            if filter.is_empty() {
                return Err(Failure::usage("say whom or what the evidence is about")
                    .help("give --person, --agent, --session, or --from and --until"));
            }
            let path = format!("of=receipts&opened={}{filter}", !sealed);
            told(&export(&client, &path, &output).await?, &output, terminal);
            Ok(())
        }
        Audit::Verify { public_key, second_place, whole, target, .. } => {
            let client = Client::of(&target)?;
            let options = Options { key: public_key.as_deref(), second_place: second_place.as_deref() };
            check(&client, whole, options, terminal).await
        }
        Audit::Key { target, .. } => {
            let log = Client::of(&target)?.get("/bailiwick/v1/audit").await?;
            terminal.result(&log, || format!("{}\n", escape::line(text(&log, "key"))));
            Ok(())
        }
        Audit::Who { action, target, .. } => show(&Client::of(&target)?, &action, terminal).await,
        Audit::Ownerless { target, .. } => agent::list(&Client::of(&target)?, true, terminal).await,
        Audit::Spent { team, from, until, target, .. } => {
            let client = Client::of(&target)?;
            let team = people::team_id(&client, &team).await?;
            let outcome = Some("completed".to_owned());
            let part = Part { from, until, team: Some(team), outcome, ..Part::default() };
            spend::show(&client, "team,outcome", &part, terminal).await
        }
        Audit::Left { limit, mut about, target, .. } => {
            about.left = true;
            list(&Client::of(&target)?, &about, limit, terminal).await
        }
        Audit::Hold(command) => hold::perform(command, terminal).await,
        Audit::Reach { agent, target, .. } => reach(&Client::of(&target)?, &agent, terminal).await,
        Audit::Changes { target, .. } => changes(&Client::of(&target)?, terminal).await,
    }
}

/// The filter as a part of a query, with an ampersand before each pair.
async fn query(client: &Client, about: &About) -> Outcome<String> {
    let mut query = String::new();
    let mut add = |name: &str, value: Option<&str>| {
        if let Some(value) = value {
            query.push_str(&format!("&{name}={}", encode(value)));
        }
    };
    let agent = match about.agent.as_deref() {
        // One that is deleted still has receipts.
        Some(id) if id.parse::<bailiwick_types::AgentId>().is_ok() => Some(id.to_owned()),
        Some(name) => Some(text(&find_agent(client, name).await?, "id").to_owned()),
        None => None,
    };
    add("person", about.person.as_deref());
    add("orderer", about.orderer.as_deref());
    add("agent", agent.as_deref());
    add("session", about.session.as_deref());
    add("operation", about.operation.as_deref());
    add("decision", about.decision.as_deref());
    add("effect", about.effect.as_deref());
    add("credential", about.credential.as_deref());
    add("outside", about.outside.then_some("true"));
    add("left", about.left.then_some("true"));
    add("from", about.from.as_deref().map(|day| seconds(day, 0)).transpose()?.as_deref());
    add("until", about.until.as_deref().map(|day| seconds(day, 1)).transpose()?.as_deref());
    Ok(query)
}

/// At most `limit` receipts.
async fn receipts(
    client: &Client,
    filter: &str,
    order: &str,
    mut after: Option<String>,
    limit: u32,
) -> Outcome<Vec<Value>> {
    let mut found: Vec<Value> = Vec::new();
    while (found.len() as u64) < u64::from(limit) {
        let size = PAGE.min(limit - found.len() as u32);
        let cursor = after.map(|after| format!("&after={}", encode(&after))).unwrap_or_default();
        let path = format!("/bailiwick/v1/audit/receipts?order={order}&limit={size}{cursor}{filter}");
        let mut page = client.get(&path).await?;
        let Some(Value::Array(data)) = page.get_mut("data").map(Value::take) else { break };
        found.extend(data);
        after = page["last_id"].as_str().map(str::to_owned);
        if page["has_more"] != true || after.is_none() {
            break;
        }
    }
    Ok(found)
}

async fn list(client: &Client, about: &About, limit: u32, terminal: Terminal) -> Outcome {
    let filter = query(client, about).await?;
    let found = receipts(client, &filter, "desc", None, limit).await?;
    terminal.result(&json!({"receipts": found}), || {
        if found.is_empty() {
            return "There are no such receipts.\n".to_owned();
        }
        let mut table =
            Table::new(&["TIME (UTC)", "RECEIPT", "OPERATION", "DECISION", "EFFECT", "ORDERED BY", "AGENT"]);
        for receipt in &found {
            table.row(cells(receipt));
        }
        table.render()
    });
    Ok(())
}

fn cells(receipt: &Value) -> [String; 7] {
    let or_dash = |key: &str| receipt[key].as_str().unwrap_or("-").to_owned();
    let effect = match (receipt["effect"].as_str(), receipt["outside"] == true) {
        (effect, true) => format!("{} (outside)", effect.unwrap_or("-")),
        (effect, false) => effect.unwrap_or("-").to_owned(),
    };
    let time = text(receipt, "time").replace('T', " ").replace('Z', "");
    [
        time,
        or_dash("action"),
        or_dash("operation"),
        or_dash("decision"),
        effect,
        or_dash("orderer"),
        or_dash("agent_id"),
    ]
}

async fn show(client: &Client, action: &str, terminal: Terminal) -> Outcome {
    if action.parse::<bailiwick_types::ActionId>().is_err() {
        return Err(Failure::usage(format!(
            "`{}` is not the id of an action: it begins with `act_`",
            escape::line(action)
        ))
        .help("find it with `bailiwick audit list`"));
    }
    let receipt = client.get(&format!("/bailiwick/v1/audit/receipts/{}", encode(action))).await?;
    terminal.result(&receipt, || {
        let mut out = String::new();
        let mut line = |name: &str, value: &str| out.push_str(&format!("{name:<12} {}\n", escape::line(value)));
        for (name, key) in [
            ("time", "time"),
            ("operation", "operation"),
            ("ordered by", "orderer"),
            ("person", "person"),
            ("agent", "agent_id"),
            ("session", "session_id"),
            ("decision", "decision"),
            ("effect", "effect"),
        ] {
            line(name, receipt[key].as_str().unwrap_or("-"));
        }
        line("outside", if receipt["outside"] == true { "yes" } else { "no" });
        for record in receipt["records"].as_array().into_iter().flatten() {
            let of = record["checkpoint"]["size"].as_u64().unwrap_or_default();
            line("in the log", &format!("{} is leaf {} of {of}", text(record, "kind"), record["index"]));
            if let Some(arguments) = record["opened"].get("arguments") {
                line("arguments", &arguments.to_string());
            }
        }
        out
    });
    Ok(())
}

async fn tail(client: &Client, about: &About, terminal: Terminal) -> Outcome {
    let filter = query(client, about).await?;
    let newest = receipts(client, &filter, "desc", None, 1).await?;
    let mut after = newest.first().map(|receipt| text(receipt, "id").to_owned());
    loop {
        for receipt in receipts(client, &filter, "asc", after.clone(), PAGE).await? {
            after = Some(text(&receipt, "id").to_owned());
            terminal.out(&cells(&receipt).map(|cell| escape::line(&cell).to_string()).join("  "));
        }
        let clock = SystemClock;
        clock.sleep_until(clock.now() + PACE).await;
    }
}

/// Writes an export into a new folder, and gives what came.
pub async fn export(client: &Client, query: &str, output: &Path) -> Outcome<Value> {
    let mut folder = Folder::create(output)?;
    let path = format!("/bailiwick/v1/audit/export?{query}");
    let size = client.download(&path, &mut folder).await?;
    let records = folder.finish()?;
    Ok(json!({"folder": output.display().to_string(), "records": records, "bytes": size}))
}

fn told(exported: &Value, output: &Path, terminal: Terminal) {
    terminal.result(exported, || {
        let shown = output.display();
        format!("wrote {} records into {shown}\ncheck them with: bailiwick-verify {shown}\n", exported["records"])
    });
}

async fn check(client: &Client, whole: bool, options: Options<'_>, terminal: Terminal) -> Outcome {
    let scratch = Scratch::new("bailiwick-audit").doing(|| "make a temporary folder".to_owned())?;
    let output = scratch.path().join("export");
    export(client, if whole { "of=everything&opened=false" } else { "of=checkpoints" }, &output).await?;
    let report = verify(&output, options).map_err(|error| Failure::failed(error.to_string()))?;
    terminal.result(&json!(report), || in_words(&report));
    match report.is_good() {
        true => Ok(()),
        false => Err(Failure::failed("the receipt log is not what was signed")),
    }
}

fn in_words(report: &Report) -> String {
    let mut out = format!(
        "{} signed trees, the newest of {} leaves, each the beginning of the next; {} of a second place are the same\n",
        report.checkpoints, report.size, report.compared
    );
    if report.whole {
        out.push_str(&format!("all {} records are there, exactly as they were signed\n", report.records));
    }
    if !report.is_good() {
        out.clear();
    }
    for problem in &report.problems {
        out.push_str(&format!("problem: {}\n", escape::line(problem)));
    }
    for remark in &report.remarks {
        out.push_str(&format!("remark: {}\n", escape::line(remark)));
    }
    out
}

async fn reach(client: &Client, agent: &str, terminal: Terminal) -> Outcome {
    let id = match agent.parse::<bailiwick_types::AgentId>() {
        Ok(_) => agent.to_owned(),
        Err(_) => text(&find_agent(client, agent).await?, "id").to_owned(),
    };
    let mut reach = client.get(&format!("/bailiwick/v1/audit/agents/{}/reach", encode(&id))).await?;
    // One that was deleted has no remit any more, and its receipts are there.
    let saved = client.get(&format!("/v1/agents/{}", encode(&id))).await.ok();
    reach["remit"] = saved.map_or(Value::Null, |agent| agent["bailiwick"]["remit"].clone());
    terminal.result(&reach, || {
        let allowed = reach["remit"]["allow"].as_array().into_iter().flatten().filter_map(Value::as_str);
        let allowed: Vec<String> = allowed.map(|one| escape::line(one).to_string()).collect();
        let mut table = Table::new(&["OPERATION", "DECISION", "COUNT", "LAST (UTC)"]);
        for entry in reach["operations"].as_array().into_iter().flatten() {
            let last = text(entry, "last").replace('T', " ").replace('Z', "");
            table.row([text(entry, "operation"), text(entry, "decision"), &entry["count"].to_string(), &last]);
        }
        let remit = match allowed.is_empty() {
            true => "its remit allows nothing, or it is not there any more".to_owned(),
            false => format!("its remit allows: {}", allowed.join(", ")),
        };
        let rules = format!("the rules decide beyond that: bailiwick policy list\n\n{}", table.render());
        format!("{remit}\n{rules}")
    });
    Ok(())
}

async fn changes(client: &Client, terminal: Terminal) -> Outcome {
    let found = client.list("/bailiwick/v1/administration", usize::MAX).await?;
    terminal.result(&json!({"changes": found}), || {
        let mut table = Table::new(&["TIME (UTC)", "CHANGE", "OF", "BY", "REASON"]);
        for change in &found {
            let time = text(change, "time").replace('T', " ").replace('Z', "");
            let by = &change["by"];
            let by = by["id"].as_str().or(by["key"].as_str()).or(by["type"].as_str()).unwrap_or("-");
            let reason = change["reason"].as_str().unwrap_or("-");
            table.row([&time, text(change, "change"), text(change, "target"), by, reason]);
        }
        table.render()
    });
    Ok(())
}
