//! `bailiwick connector connect|accounts|disconnect`: a person's own accounts at the company's systems.

use super::{text, time};
use crate::{
    client::{Client, encode},
    failure::Outcome,
    terminal::{Table, Terminal, escape},
};
use serde_json::{Value, json};

const CONNECTIONS: &str = "/bailiwick/v1/connections";

fn path(name: &str) -> String {
    format!("{CONNECTIONS}/{}", encode(name))
}

/// Prints the link. It is for whoever is signed in as this caller in the browser that opens it.
pub async fn connect(client: &Client, name: &str, terminal: Terminal) -> Outcome {
    let account = client.get(&path(name)).await?;
    terminal.result(&account, || {
        let again = if account["connected"] == json!(true) { "connect another account in place of" } else { "connect" };
        format!(
            "Open this in a browser in which you are signed in here, to {again} your account at {}:\n\n  {}\n\nIt is good \
             until {} UTC. What waits for the account goes on by itself.\n",
            escape::line(text(&account, "host")),
            escape::line(text(&account, "url")),
            time(&account["url_expires_at"]),
        )
    });
    Ok(())
}

pub async fn list(client: &Client, terminal: Terminal) -> Outcome {
    let accounts = client.get(CONNECTIONS).await?["data"].as_array().cloned().unwrap_or_default();
    terminal.result(&json!({"accounts": accounts}), || {
        if accounts.is_empty() {
            return "There is no system here at which people have accounts of their own.\n".to_owned();
        }
        let mut table = Table::new(&["CONNECTOR", "HOST", "CONNECTED", "SCOPE", "FOR"]);
        for one in &accounts {
            let since = if one["connected"] == json!(true) { time(&one["connected_at"]) } else { "no".to_owned() };
            let words = escape::brief(text(one, "description"), 60);
            let scope = escape::brief(text(one, "scope"), 40);
            table.row([text(one, "connector"), text(one, "host"), &since, &scope, &words]);
        }
        format!("{}\nConnect one with `bailiwick connector connect NAME`.\n", table.render())
    });
    Ok(())
}

pub async fn disconnect(client: &Client, (name, reason): (&str, &str), terminal: Terminal) -> Outcome {
    let gone: Value = client.delete_because(&path(name), reason).await?;
    terminal.result(&gone, || {
        let name = escape::line(name);
        match gone["revoked"] == json!(true) {
            true => format!("Disconnected: {name}. It was ended there, too.\n"),
            false => format!("Disconnected: {name}. Its own page can end what it gave out: that could not be told.\n"),
        }
    });
    Ok(())
}
