//! `bailiwick audit hold …`: what must not be deleted.

use super::super::{text, time};
use crate::{
    cli::Hold,
    client::{Client, encode},
    failure::Outcome,
    terminal::{Table, Terminal, escape},
};
use serde_json::json;

pub async fn perform(command: Hold, terminal: Terminal) -> Outcome {
    match command {
        Hold::Set { held, reason, target, .. } => {
            let body = json!({"target": held, "reason": reason});
            let hold = Client::of(&target)?.post("/bailiwick/v1/holds", &body).await?;
            terminal.result(&hold, || {
                let held = escape::line(text(&hold, "target"));
                format!("Held: {held}. Nothing of it is deleted until `bailiwick audit hold lift {held}`.\n")
            });
        }
        Hold::List { target, .. } => {
            let answer = Client::of(&target)?.get("/bailiwick/v1/holds").await?;
            let holds = answer["data"].as_array().cloned().unwrap_or_default();
            terminal.result(&json!({"holds": holds}), || {
                if holds.is_empty() {
                    return "Nothing is held.\n".to_owned();
                }
                let mut table = Table::new(&["HELD", "WHAT", "SINCE (UTC)", "BY", "REASON"]);
                for hold in &holds {
                    let (since, reason) = (time(&hold["since"]), escape::line(text(hold, "reason")));
                    table.row([text(hold, "scope"), text(hold, "target"), &since, text(hold, "by"), &reason]);
                }
                table.render()
            });
        }
        Hold::Lift { held, reason, target, .. } => {
            let path = format!("/bailiwick/v1/holds/{}", encode(&held));
            let hold = Client::of(&target)?.delete_because(&path, &reason).await?;
            terminal.result(&hold, || format!("Lifted: {} may be deleted again.\n", escape::line(&held)));
        }
    }
    Ok(())
}
