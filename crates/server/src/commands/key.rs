//! `bailiwick key …`: credentials for programs.

use super::{text, time};
use crate::{
    cli::{Key, KeyKind},
    client::{Client, encode},
    failure::{Failure, Outcome},
    runtime::SystemClock,
    terminal::{Table, Terminal, escape},
};
use bailiwick_identity::parse_scopes;
use bailiwick_ports::{Clock as _, Scope};
use serde_json::{Value, json};

const DAY_SECONDS: i64 = 24 * 3600;

pub async fn perform(command: Key, terminal: Terminal) -> Outcome {
    match command {
        Key::Create { kind, name, scopes, expires_days, environment, target, .. } => {
            let wanted = wanted(kind, &name, &scopes, expires_days, environment.as_deref())?;
            create(&Client::of(&target)?, &wanted, terminal).await
        }
        Key::List { target, .. } => list(&Client::of(&target)?, terminal).await,
        Key::Rotate(_) => Err(Failure::failed("`key rotate` is no client command")),
        Key::RotateSigning { end_tokens, reason, target, .. } => {
            let body = json!({"end_tokens": end_tokens, "reason": reason});
            rotate_signing(&Client::of(&target)?, &body, terminal).await
        }
        Key::Revoke { id, target, .. } => revoke(&Client::of(&target)?, &id, terminal).await,
    }
}

fn wanted(
    kind: KeyKind,
    name: &str,
    scopes: &[String],
    expires_days: Option<u32>,
    environment: Option<&str>,
) -> Outcome<Value> {
    let bound = environment.is_some();
    if bound && kind == KeyKind::ApiKey {
        return Err(Failure::usage("--environment binds access keys only").help("add --kind access-key"));
    }
    let scopes = match scopes {
        [] if bound => vec![Scope::EnvironmentsConnect],
        [] => Scope::OWN_WORK.to_vec(),
        named => parse_scopes(named.iter().map(String::as_str)).map_err(|error| Failure::usage(error.to_string()))?,
    };
    let mut body = json!({
        "kind": if kind == KeyKind::ApiKey { "api_key" } else { "access_key" },
        "name": name,
        "scopes": scopes.iter().map(|scope| scope.name()).collect::<Vec<_>>(),
    });
    if let Some(days) = expires_days {
        body["expires_at"] = json!(SystemClock.now().as_seconds() + i64::from(days) * DAY_SECONDS);
    }
    if let Some(environment) = environment {
        body["environment_id"] = json!(environment);
    }
    Ok(body)
}

async fn create(client: &Client, wanted: &Value, terminal: Terminal) -> Outcome {
    let made = client.post("/bailiwick/v1/keys", wanted).await?;
    terminal.result(&made, || {
        let id = escape::line(text(&made, "id"));
        // The secret itself is the result: it is printed as it is, once.
        match made["access_key_id"].as_str() {
            Some(access) => format!(
                "made {id}; the secret is shown this once\naccess key id      {}\nsecret access key  {}\n",
                escape::line(access),
                escape::line(text(&made, "secret_access_key"))
            ),
            None => format!("made {id}; the key is shown this once\n{}\n", escape::line(text(&made, "key"))),
        }
    });
    Ok(())
}

async fn list(client: &Client, terminal: Terminal) -> Outcome {
    let keys = client.list("/bailiwick/v1/keys", usize::MAX).await?;
    terminal.result(&json!({"keys": keys}), || {
        if keys.is_empty() {
            return "There are no keys yet. Make one with `bailiwick key create`.\n".to_owned();
        }
        let mut table = Table::new(&["KEY", "KIND", "NAME", "ENDS IN", "STATE", "CREATED (UTC)", "SCOPES"]);
        for key in &keys {
            let ends = key["access_key_id"].as_str().or(key["last4"].as_str()).unwrap_or("-");
            let state = match (&key["revoked_at"], &key["expires_at"]) {
                (Value::Null, Value::Null) => "live".to_owned(),
                (Value::Null, expires) => format!("until {}", time(expires)),
                (revoked, _) => format!("revoked {}", time(revoked)),
            };
            let scopes =
                key["scopes"].as_array().into_iter().flatten().filter_map(Value::as_str).collect::<Vec<_>>().join(" ");
            let (kind, name) = (text(key, "kind"), text(key, "name"));
            table.row([text(key, "id"), kind, name, ends, &state, &time(&key["created_at"]), &scopes]);
        }
        table.render()
    });
    Ok(())
}

async fn rotate_signing(client: &Client, body: &Value, terminal: Terminal) -> Outcome {
    let shown = client.post("/bailiwick/v1/token/keys/rotate", body).await?;
    terminal.result(&shown, || {
        let keys: Vec<&str> = shown["keys"].as_array().into_iter().flatten().map(|key| text(key, "kid")).collect();
        match keys.split_first() {
            Some((signing, [])) => format!("{} signs now; no other key proves anything\n", escape::line(signing)),
            Some((signing, before)) => {
                let before: Vec<String> = before.iter().map(|kid| escape::line(kid)).collect();
                format!("{} signs now; still proving what they signed: {}\n", escape::line(signing), before.join(", "))
            }
            None => "there is no key\n".to_owned(),
        }
    });
    Ok(())
}

async fn revoke(client: &Client, key: &str, terminal: Terminal) -> Outcome {
    if key.parse::<bailiwick_types::KeyId>().is_err() {
        return Err(Failure::usage(format!("`{}` is not the id of a key: it begins with `key_`", escape::line(key)))
            .help("find it with `bailiwick key list`"));
    }
    let done = client.delete(&format!("/bailiwick/v1/keys/{}", encode(key))).await?;
    terminal.result(&done, || format!("revoked {}\n", escape::line(key)));
    Ok(())
}
