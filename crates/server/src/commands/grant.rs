//! `bailiwick grant …`: what programs may do for people, and which answers stand. The words come from the server, and are
//! shown before anything is made.

use super::{find_agent, people, spend, text, time};
use crate::{
    cli::{Grant, GrantKind},
    client::{Client, encode},
    failure::{Failure, Outcome},
    runtime::SystemClock,
    terminal::{Table, Terminal, ask, escape},
};
use bailiwick_ports::Clock as _;
use serde_json::{Value, json};

const GRANTS: &str = "/bailiwick/v1/grants";

pub async fn perform(command: Grant, terminal: Terminal) -> Outcome {
    match command {
        Grant::Create { kind, program, person, agent, scopes, until, reason, yes, target, .. } => {
            let client = Client::of(&target)?;
            let mut body = json!({"type": kind.name(), "key_id": program, "until": when(&until)?, "reason": reason});
            if let Some(person) = person {
                body["person_id"] = json!(people::id_of(&client, &person).await?);
            }
            if let Some(agent) = agent {
                body["agent_id"] = find_agent(&client, &agent).await?["id"].clone();
            }
            if kind == GrantKind::Subject {
                body["scopes"] = json!(scopes);
            }
            create(&client, body, yes, terminal).await
        }
        Grant::List { limit, target, .. } => list(&Client::of(&target)?, limit, terminal).await,
        Grant::Show { grant, target, .. } => show(&Client::of(&target)?, &grant, terminal).await,
        Grant::Revoke { grant, target, .. } => revoke(&Client::of(&target)?, &grant, terminal).await,
    }
}

async fn create(client: &Client, mut body: Value, yes: bool, terminal: Terminal) -> Outcome {
    body["preview"] = json!(true);
    let preview = client.post(GRANTS, &body).await?;
    confirm(text(&preview, "words"), yes, terminal)?;
    body["preview"] = json!(false);
    let grant = client.post(GRANTS, &body).await?;
    terminal.result(&grant, || {
        let id = escape::line(text(&grant, "id"));
        format!("Granted: {id}. End it with `bailiwick grant revoke {id}`.\n")
    });
    Ok(())
}

/// Shows what would be granted and goes on only when that is meant.
pub(super) fn confirm(words: &str, yes: bool, terminal: Terminal) -> Outcome {
    terminal.progress(format!("This permits: {}", escape::lines(words)));
    if yes {
        return Ok(());
    }
    if !ask::is_possible() {
        return Err(Failure::usage("nobody is there to confirm these words").help("read them, then give --yes"));
    }
    let answer = ask::line("Is that meant? [y/N] ").map_err(|error| Failure::usage(error.to_string()))?;
    match answer.trim().to_ascii_lowercase().as_str() {
        "y" | "yes" => Ok(()),
        _ => Err(Failure::failed("nothing was granted and nothing was answered")),
    }
}

async fn list(client: &Client, limit: u32, terminal: Terminal) -> Outcome {
    let grants = client.list(&format!("{GRANTS}?order=desc"), limit as usize).await?;
    terminal.result(&json!({"grants": grants}), || {
        if grants.is_empty() {
            return "There are no grants.\n".to_owned();
        }
        let mut table = Table::new(&["GRANT", "KIND", "STATUS", "UNTIL (UTC)", "PERMITS"]);
        for grant in &grants {
            let (until, words) = (time(&grant["until"]), escape::brief(text(grant, "words"), 100));
            table.row([text(grant, "id"), text(grant, "type"), text(grant, "status"), &until, &words]);
        }
        table.render()
    });
    Ok(())
}

async fn show(client: &Client, id: &str, terminal: Terminal) -> Outcome {
    let grant = client.get(&path(id)?).await?;
    terminal.result(&grant, || about(&grant));
    Ok(())
}

async fn revoke(client: &Client, id: &str, terminal: Terminal) -> Outcome {
    let grant = client.delete(&path(id)?).await?;
    terminal
        .result(&grant, || format!("Revoked: {}. Nothing more is done under it.\n", escape::line(text(&grant, "id"))));
    Ok(())
}

fn path(id: &str) -> Outcome<String> {
    match id.parse::<bailiwick_types::GrantId>() {
        Ok(_) => Ok(format!("{GRANTS}/{}", encode(id))),
        Err(_) => Err(Failure::usage(format!("`{id}` is not the id of a grant: it begins with `grant_`"))
            .help("find it with `bailiwick grant list`")),
    }
}

fn about(grant: &Value) -> String {
    let ended = match grant["revoked_at"].is_null() {
        true => String::new(),
        false => format!("{} by {}", time(&grant["revoked_at"]), escape::line(text(grant, "revoked_by"))),
    };
    let lines = [
        ("permits", escape::lines(text(grant, "words"))),
        ("kind", text(grant, "type").to_owned()),
        ("status", text(grant, "status").to_owned()),
        ("given by", escape::line(text(grant, "by"))),
        ("since", time(&grant["since"])),
        ("until", time(&grant["until"])),
        ("reason", escape::line(text(grant, "reason"))),
        ("answered", text(grant, "approval_id").to_owned()),
        ("revoked", ended),
    ];
    let said = lines.iter().filter(|(_, value)| !value.is_empty());
    said.map(|(name, value)| format!("{name:<10} {value}\n")).collect()
}

/// A moment in seconds since 1970: so many minutes, hours or days from now, or the end of a day in UTC.
pub(super) fn when(given: &str) -> Outcome<i64> {
    let wrong =
        || Failure::usage(format!("`{}` is no time", escape::line(given))).help("write it like 8h, 30d or 2026-12-31");
    let (number, unit) = given.split_at(given.len() - given.chars().next_back().map_or(0, char::len_utf8));
    let unit = match unit {
        "m" => 60,
        "h" => 3600,
        "d" => 24 * 3600,
        _ => return spend::seconds(given, 1).map_err(|_| wrong())?.parse().map_err(|_| wrong()),
    };
    let count: i64 = number.parse().ok().filter(|count| (1..=100_000).contains(count)).ok_or_else(wrong)?;
    Ok(SystemClock.now().as_seconds().saturating_add(count * unit))
}

#[cfg(test)]
mod tests {
    use super::when;

    #[test]
    fn a_time_is_a_span_or_a_day() {
        let day = when("2026-11-21").unwrap();
        assert_eq!(day, 1_795_305_600, "the day counts whole");
        let hour = when("1h").unwrap();
        assert!(when("2d").unwrap() - hour >= 47 * 3600);
        for wrong in ["", "h", "0h", "-1d", "soon", "2026-13-01", "1ü", "999999999d"] {
            assert!(when(wrong).is_err(), "{wrong}");
        }
    }
}
