//! `bailiwick budget …`: limits on what may be spent.

use super::{find_agent, text};
use crate::{
    cli::{Budget, Payer, Per},
    client::{Client, encode},
    failure::{Failure, Outcome},
    terminal::{Table, Terminal, escape},
};
use serde_json::{Value, json};

pub async fn perform(command: Budget, terminal: Terminal) -> Outcome {
    match command {
        Budget::Set { payer, per, limit, warn, target, .. } => {
            let client = Client::of(&target)?;
            let body = json!({
                "payer": payer_of(&client, payer).await?,
                "per": match per {
                    Per::Day => "day",
                    Per::Month => "month",
                    Per::Total => "total",
                },
                "kind": if warn { "warning" } else { "hard" },
                "limit": limit,
            });
            let set = client.post("/bailiwick/v1/budgets", &body).await?;
            terminal.result(&set, || format!("set {}\n{}", escape::line(text(&set, "id")), table([&set])));
            Ok(())
        }
        Budget::List { target, .. } => {
            let budgets = Client::of(&target)?.list("/bailiwick/v1/budgets?order=asc", usize::MAX).await?;
            terminal.result(&json!({"budgets": budgets}), || match budgets.is_empty() {
                true => "There are no budgets. Set one with `bailiwick budget set`.\n".to_owned(),
                false => table(&budgets),
            });
            Ok(())
        }
        Budget::Remove { id, target, .. } => {
            if id.parse::<bailiwick_types::BudgetId>().is_err() {
                let problem = format!("`{}` is not the id of a budget: it begins with `budget_`", escape::line(&id));
                return Err(Failure::usage(problem).help("find it with `bailiwick budget list`"));
            }
            let done = Client::of(&target)?.delete(&format!("/bailiwick/v1/budgets/{}", encode(&id))).await?;
            terminal.result(&done, || format!("removed {}\n", escape::line(&id)));
            Ok(())
        }
    }
}

async fn payer_of(client: &Client, payer: Payer) -> Outcome<Value> {
    let Payer { tenant: _, team, user, agent, session } = payer;
    if let Some(agent) = agent {
        let id = find_agent(client, &agent).await?["id"].clone();
        return Ok(json!({"type": "agent", "id": id}));
    }
    let named = [("team", team), ("user", user), ("session", session)];
    let named = named.into_iter().find_map(|(kind, id)| Some(json!({"type": kind, "id": id?})));
    Ok(named.unwrap_or_else(|| json!({"type": "tenant"})))
}

fn table<'a>(budgets: impl IntoIterator<Item = &'a Value>) -> String {
    let mut table = Table::new(&["BUDGET", "WHOSE", "PER", "KIND", "LIMIT", "SPENT", "HELD", "LEFT", ""]);
    for budget in budgets {
        let payer = &budget["payer"];
        let whose = payer["id"].as_str().unwrap_or("the organisation");
        table.row([
            text(budget, "id"),
            whose,
            text(budget, "per"),
            text(budget, "kind"),
            text(budget, "limit"),
            text(budget, "spent"),
            text(budget, "reserved"),
            text(budget, "remaining"),
            text(budget, "currency"),
        ]);
    }
    table.render()
}
