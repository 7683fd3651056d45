//! `bailiwick tenant …`: organisations, for whoever runs the server.

use super::{text, time};
use crate::{
    cli::Tenant,
    client::{Client, encode},
    failure::{Failure, Outcome},
    terminal::{Table, Terminal, escape},
};
use serde_json::json;

const TENANTS: &str = "/bailiwick/v1/tenants";

pub async fn perform(command: Tenant, terminal: Terminal) -> Outcome {
    match command {
        Tenant::Create { name, target, .. } => create(&Client::of(&target)?, &name, terminal).await,
        Tenant::List { target, .. } => list(&Client::of(&target)?, terminal).await,
        Tenant::Key { id, target, .. } => key(&Client::of(&target)?, &id, terminal).await,
    }
}

async fn create(client: &Client, name: &str, terminal: Terminal) -> Outcome {
    let made = client.post(TENANTS, &json!({"name": name})).await?;
    terminal.result(&made, || {
        let (id, key) = (escape::line(text(&made, "id")), escape::line(text(&made, "key")));
        format!("made {id}; the key of its administrator is shown this once\n{key}\n")
    });
    Ok(())
}

async fn list(client: &Client, terminal: Terminal) -> Outcome {
    let tenants = client.list(TENANTS, usize::MAX).await?;
    terminal.result(&json!({"tenants": tenants}), || {
        let mut table = Table::new(&["ORGANISATION", "NAME", "CREATED (UTC)", "PEOPLE SIGN IN"]);
        for tenant in &tenants {
            let first = if tenant["first"] == true { "yes" } else { "no" };
            table.row([text(tenant, "id"), text(tenant, "name"), &time(&tenant["created_at"]), first]);
        }
        table.render()
    });
    Ok(())
}

async fn key(client: &Client, id: &str, terminal: Terminal) -> Outcome {
    if id.parse::<bailiwick_types::TenantId>().is_err() {
        let problem = format!("`{}` is not the id of an organisation: it begins with `tenant_`", escape::line(id));
        return Err(Failure::usage(problem).help("find it with `bailiwick tenant list`"));
    }
    let made = client.post(&format!("{TENANTS}/{}/keys", encode(id)), &json!({})).await?;
    terminal.result(&made, || {
        format!(
            "made {}; the key is shown this once\n{}\n",
            escape::line(text(&made, "id")),
            escape::line(text(&made, "key"))
        )
    });
    Ok(())
}
