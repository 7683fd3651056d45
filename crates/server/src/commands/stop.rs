//! `bailiwick stop …`: the stop buttons.

use super::{text, time};
use crate::{
    cli::Stop,
    client::{Client, encode},
    failure::Outcome,
    terminal::{Table, Terminal, escape},
};
use serde_json::json;

pub async fn perform(command: Stop, terminal: Terminal) -> Outcome {
    match command {
        Stop::Set { target, reason, server, .. } => set(&Client::of(&server)?, &target, reason, terminal).await,
        Stop::List { server, .. } => list(&Client::of(&server)?, terminal).await,
        Stop::Lift { target, server, .. } => lift(&Client::of(&server)?, &target, terminal).await,
    }
}

async fn set(client: &Client, target: &str, reason: Option<String>, terminal: Terminal) -> Outcome {
    let stop = client.post("/bailiwick/v1/stops", &json!({"target": target, "reason": reason})).await?;
    terminal.result(&stop, || {
        let target = escape::line(text(&stop, "target"));
        format!(
            "Stopped: {target}. What ran is being ended; nothing new begins until `bailiwick stop lift {target}`.\n"
        )
    });
    Ok(())
}

async fn list(client: &Client, terminal: Terminal) -> Outcome {
    let answer = client.get("/bailiwick/v1/stops").await?;
    let stops = answer["data"].as_array().cloned().unwrap_or_default();
    terminal.result(&json!({"stops": stops}), || {
        if stops.is_empty() {
            return "Nothing is stopped.\n".to_owned();
        }
        let mut table = Table::new(&["STOPPED", "WHAT", "SINCE (UTC)", "BY", "REASON"]);
        for stop in &stops {
            let (since, reason) = (time(&stop["since"]), escape::line(stop["reason"].as_str().unwrap_or("-")));
            table.row([text(stop, "scope"), text(stop, "target"), &since, text(stop, "by"), &reason]);
        }
        table.render()
    });
    Ok(())
}

async fn lift(client: &Client, target: &str, terminal: Terminal) -> Outcome {
    let stop = client.delete(&format!("/bailiwick/v1/stops/{}", encode(target))).await?;
    terminal.result(&stop, || {
        format!("Lifted: {} may work again; what was ended does not go on by itself.\n", escape::line(target))
    });
    Ok(())
}
