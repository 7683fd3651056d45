//! Who keeps which vault, and that no answer ever holds a secret.

#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "tests")]

mod common;

use common::{House, request};
use serde_json::{Value, json};

const SECRET: &str = "sk-hidden-0123456789";

fn bearer() -> Value {
    json!({"type": "static_bearer", "token": SECRET, "mcp_server_url": "https://mcp.example/sse"})
}

async fn vault(house: &House, by: &str, body: Value) -> String {
    let made = house.send(request(by, "POST", "/v1/vaults", Some(&body))).await.ok();
    made["id"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_persons_vault_is_that_persons_and_a_shared_one_the_administrators() {
    let house = House::new().await;
    let (_, anna) = house.person("anna", &["member"]).await;
    let (_, ben) = house.person("ben", &["member"]).await;
    let admin = house.key.clone();
    let annas = vault(&house, &anna, json!({"name": "Anna's"})).await;
    let shared = vault(&house, &admin, json!({"name": "Ours"})).await;
    let status = async |by: &str, id: &str| {
        house.send(request(by, "GET", &format!("/v1/vaults/{id}"), None)).await.status.as_u16()
    };
    assert_eq!(
        (status(&anna, &annas).await, status(&ben, &annas).await, status(&admin, &annas).await),
        (200, 404, 404)
    );
    assert_eq!(
        (status(&anna, &shared).await, status(&ben, &shared).await, status(&admin, &shared).await),
        (404, 404, 200)
    );
    let listed = house.send(request(&anna, "GET", "/v1/vaults", None)).await.ok();
    assert_eq!(listed["data"].as_array().unwrap().len(), 1);
    let mine = json!({"bailiwick": {"owner": {"type": "shared"}}});
    assert_eq!(house.send(request(&anna, "POST", "/v1/vaults", Some(&mine))).await.status, 403);
    let hers = json!({"bailiwick": {"owner": {"type": "user"}}});
    assert_eq!(
        house.send(request(&admin, "POST", "/v1/vaults", Some(&hers))).await.status,
        400,
        "a program is no person"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn secrets_go_in_and_never_come_out_and_every_change_is_a_receipt() {
    let house = House::new().await;
    let id = vault(&house, &house.key.clone(), json!({"name": "Ours"})).await;
    let base = format!("/v1/vaults/{id}/credentials");
    let made = house.post(&base, json!({"name": "one", "auth": bearer()})).await.ok();
    let credential = made["id"].as_str().unwrap().to_owned();
    let taken = house.post(&base, json!({"name": "one", "auth": bearer()})).await;
    assert_eq!((taken.status.as_u16(), &taken.json()["error"]["param"]), (400, &json!("name")));
    let other = json!({"auth": {"type": "environment_variable", "secret_value": SECRET}});
    let refused = house.post(&format!("{base}/{credential}"), other).await;
    assert_eq!((refused.status.as_u16(), &refused.json()["error"]["param"]), (400, &json!("auth.type")));
    let token = json!({"auth": {"type": "static_bearer", "token": format!("{SECRET}-2")}});
    let changed = house.post(&format!("{base}/{credential}"), token).await.ok();
    let listed = house.get(&base).await.ok();
    let administration = house.get("/bailiwick/v1/administration").await.ok();
    for shown in [&made, &changed, &listed, &administration, &taken.json(), &refused.json()] {
        assert!(!shown.to_string().contains(SECRET), "{shown}");
    }
    let text = administration.to_string();
    for change in ["vault.created", "credential.created", "credential.changed"] {
        assert!(text.contains(change), "{change}: {text}");
    }
    house.send(request(&house.key, "DELETE", &format!("/v1/vaults/{id}"), None)).await.ok();
    assert_eq!(house.get(&format!("{base}/{credential}")).await.status, 404);
}

/// An explanation of an action that needs a secret says whether the secret may be used, too.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_explanation_also_asks_whether_the_secret_may_be_used() {
    let house = House::new().await;
    let id = vault(&house, &house.key.clone(), json!({"name": "Ours"})).await;
    let made = house.post(&format!("/v1/vaults/{id}/credentials"), json!({"name": "one", "auth": bearer()})).await.ok();
    let explain = async |credential: &Value| {
        let asked = json!({"model": "main", "credential_id": credential});
        house.post("/bailiwick/v1/policy/explain", asked).await
    };
    let without = explain(&Value::Null).await.ok();
    assert_eq!((&without["verdict"]["decision"], without.get("credentials")), (&json!("allow"), None));
    let with = explain(&made["id"]).await.ok();
    assert_eq!(with["verdict"]["decision"], "deny", "a shared secret needs a rule of its own: {with}");
    let about = &with["credentials"][0];
    assert_eq!((&about["credential_id"], &about["verdict"]["decision"]), (&made["id"], &json!("deny")));
    assert_eq!(explain(&json!("cred_1")).await.error(400)["param"], "credential_id");
    let rule =
        format!("@id(\"ours\") permit (principal, action == Action::\"vault.use\", resource in Vault::\"{id}\");");
    let starter = house.get("/bailiwick/v1/policy").await.ok()["text"].as_str().unwrap().to_owned();
    let text = format!("{starter}\n{rule}");
    house.post("/bailiwick/v1/policy", json!({"text": text, "reason": "Ours may be used"})).await.ok();
    let permitted = explain(&made["id"]).await.ok();
    assert_eq!(permitted["credentials"][0]["verdict"]["rule"], "ours", "{permitted}");
    assert_eq!(permitted["verdict"]["decision"], "allow");
}

/// There is no token to keep: what is kept is who we are to the system's authorization server.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_credential_in_a_persons_name_has_no_token_and_says_where_one_is_got() {
    let house = House::new().await;
    let id = vault(&house, &house.key.clone(), json!({"name": "Ours"})).await;
    let base = format!("/v1/vaults/{id}/credentials");
    let auth = json!({
        "type": "enterprise_managed", "mcp_server_url": "https://ledger.example/mcp",
        "authorization_server": "https://login.ledger.example", "client_id": "agents", "client_secret": SECRET,
    });
    let with = |field: &str, value: Value| {
        let mut auth = auth.clone();
        auth[field] = value;
        json!({"name": field, "auth": auth})
    };
    let made = house.post(&base, with("scope", json!("ledger.read"))).await.ok();
    let shown = json!({
        "type": "enterprise_managed", "mcp_server_url": "https://ledger.example/mcp",
        "authorization_server": "https://login.ledger.example", "resource": "https://ledger.example/mcp",
        "client_id": "agents", "scope": "ledger.read",
    });
    assert_eq!(made["auth"], shown);
    let path = format!("{base}/{}", made["id"].as_str().unwrap());
    let auth = json!({"type": "enterprise_managed", "client_secret": format!("{SECRET}-2")});
    assert_eq!(house.post(&path, json!({"auth": auth})).await.ok()["auth"], shown);
    for (field, value, named) in [
        ("authorization_server", json!("http://login.ledger.example"), "auth.authorization_server"),
        ("resource", json!("nothing"), "auth.resource"),
        ("client_id", json!(""), "auth.client_id"),
        ("scope", json!("a\nb"), "auth.scope"),
    ] {
        assert_eq!(house.post(&base, with(field, value)).await.error(400)["param"], named);
    }
}
