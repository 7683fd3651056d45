//! The catalogue: who sees what may be asked for, who asks, who answers, and what a grant gives.

#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "tests own the machine's clock and tasks")]

mod common;

use bailiwick_core::Effect;
use common::{Answer, House, call, calls, request, say, systems::tool};
use serde_json::{Value, json};

const CATALOGUE: &str = "/bailiwick/v1/catalogue";
const REQUESTS: &str = "/bailiwick/v1/connector-requests";

async fn send(house: &House, key: &str, method: &str, path: &str, body: Option<Value>) -> Answer {
    house.send(request(key, method, path, body.as_ref())).await
}

/// A connector that the organisation keeps.
async fn keep(house: &House, name: &str) {
    let settings = json!({"transport": {"type": "http", "url": format!("https://{name}.example/mcp")}});
    let body = json!({"kind": "mcp", "settings": settings, "description": "Customers"});
    house.post(&format!("/bailiwick/v1/connectors/{name}"), body).await.ok();
}

async fn publish(house: &House, name: &str, more: Value) -> Answer {
    let mut body = json!({"title": "Customers", "purpose": "Who buys what", "reason": "for sales"});
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    house.post(&format!("/bailiwick/v1/connectors/{name}/publish"), body).await
}

async fn ask(house: &House, key: &str, name: &str, body: Value) -> Answer {
    send(house, key, "POST", &format!("/bailiwick/v1/connectors/{name}/requests"), Some(body)).await
}

async fn answer(house: &House, key: &str, asked: &Value, how: &str, body: Value) -> Answer {
    let path = format!("{REQUESTS}/{}/{how}", asked["id"].as_str().unwrap());
    send(house, key, "POST", &path, Some(body)).await
}

async fn names(house: &House, key: &str, path: &str, field: &str) -> Vec<String> {
    let listed = send(house, key, "GET", path, None).await.ok();
    listed["data"].as_array().unwrap().iter().map(|one| one[field].as_str().unwrap().to_owned()).collect()
}

async fn changes(house: &House) -> Vec<(String, String)> {
    let entries = house.get("/bailiwick/v1/administration?limit=1000").await.ok();
    let text = |one: &Value, field: &str| one[field].as_str().unwrap_or_default().to_owned();
    entries["data"].as_array().unwrap().iter().map(|one| (text(one, "change"), text(one, "reason"))).collect()
}

#[tokio::test]
async fn an_owner_grants_chosen_tools_to_the_agent_that_they_were_asked_for() {
    let house = House::new().await;
    house.systems.offer(&[tool("find", Effect::Read), tool("delete", Effect::Write)]);
    keep(&house, "crm").await;
    let (owner, olga) = house.person("olga", &["member"]).await;
    let (asker, anna) = house.person("anna", &["member"]).await;
    let (_, boris) = house.person("boris", &["member"]).await;
    assert!(names(&house, &anna, CATALOGUE, "name").await.is_empty(), "nothing is published yet");
    ask(&house, &anna, "crm", json!({"reason": "x"})).await.error(404);

    let published = publish(&house, "crm", json!({"owner": owner})).await.ok();
    assert_eq!((&published["published"], &published["version"]), (&json!(true), &json!(2)));
    let listed = send(&house, &anna, "GET", CATALOGUE, None).await.ok();
    let entry = &listed["data"][0];
    assert_eq!((&entry["name"], &entry["title"]), (&json!("crm"), &json!("Customers")));
    assert_eq!((&entry["purpose"], &entry["granted"]), (&json!("Who buys what"), &json!(false)));
    assert!(entry.get("settings").is_none(), "members are not told how it is reached");

    // Who answers for an agent asks for it; nobody else does.
    let body = json!({"model": "main", "name": "helper", "bailiwick": {"owner": asker}});
    let agent = house.post("/v1/agents", body).await.ok();
    let agent = agent["id"].as_str().unwrap().to_owned();
    let wanted = json!({"agent_id": agent, "tools": ["find", "delete"], "reason": "Finds customers"});
    assert_eq!(ask(&house, &boris, "crm", wanted.clone()).await.error(403)["param"], "agent_id");
    let asked = ask(&house, &anna, "crm", wanted.clone()).await.ok();
    assert_eq!((&asked["state"], &asked["answer"]), (&json!("open"), &Value::Null));
    assert_eq!(ask(&house, &anna, "crm", wanted.clone()).await.error(409)["code"], "connector_asked_already");
    assert_eq!(ask(&house, &anna, "crm", json!({"reason": " "})).await.error(400)["param"], "reason");

    // The owner and administrators see it; others find nothing, and who asked does not answer.
    assert_eq!(names(&house, &olga, REQUESTS, "id").await, [asked["id"].as_str().unwrap()]);
    assert!(names(&house, &boris, REQUESTS, "id").await.is_empty());
    let path = format!("{REQUESTS}/{}", asked["id"].as_str().unwrap());
    send(&house, &boris, "GET", &path, None).await.error(404);
    answer(&house, &boris, &asked, "grant", json!({})).await.error(404);
    answer(&house, &anna, &asked, "grant", json!({})).await.error(403);
    let foreign = house.foreign_key().await;
    send(&house, &foreign, "GET", &path, None).await.error(404);
    assert!(names(&house, &foreign, CATALOGUE, "name").await.is_empty());

    let granted =
        answer(&house, &olga, &asked, "grant", json!({"tools": ["find"], "reason": "Only looking"})).await.ok();
    assert_eq!((&granted["state"], &granted["answer"]["tools"]), (&json!("granted"), &json!(["find"])));
    assert_eq!(
        answer(&house, &olga, &asked, "refuse", json!({"reason": "x"})).await.error(409)["code"],
        "connector_request_answered"
    );
    let shown = house.get(&format!("/v1/agents/{agent}")).await.ok();
    let given = &shown["bailiwick"]["connectors"][0];
    assert_eq!((&given["name"], &given["tools"]), (&json!("crm"), &json!(["find"])));
    assert_eq!((&shown["bailiwick"]["version"], &shown["bailiwick"]["published_version"]), (&json!(2), &json!(2)));

    // The agent has that tool and no other.
    house.script([calls(vec![call("c1", "crm__find", json!({})), call("c2", "crm__delete", json!({}))]), say("Done.")]);
    house.run("Find", json!({"agent_id": agent, "agent": {}})).await;
    assert_eq!(house.systems.asked().len(), 1);
    // More tools come to those that are there.
    let more = json!({"agent_id": agent, "tools": ["delete"], "reason": "Tidies up"});
    let asked = ask(&house, &anna, "crm", more).await.ok();
    answer(&house, &house.key.clone(), &asked, "grant", json!({})).await.ok();
    let shown = house.get(&format!("/v1/agents/{agent}")).await.ok();
    assert_eq!(shown["bailiwick"]["connectors"][0]["tools"], json!(["delete", "find"]));

    let told = changes(&house).await;
    for change in ["connector.published", "connector.asked", "connector.granted"] {
        assert!(told.iter().any(|(known, _)| known == change), "{change}: {told:?}");
    }
    assert!(told.iter().any(|(known, why)| known == "connector.granted" && why.ends_with("Only looking")), "{told:?}");
}

#[tokio::test]
async fn what_a_person_was_granted_works_in_their_own_sessions_until_it_is_taken_back() {
    let house = House::new().await;
    house.systems.offer(&[tool("find", Effect::Read)]);
    keep(&house, "crm").await;
    publish(&house, "crm", json!({})).await.ok();
    let (_, anna) = house.person("anna", &["member"]).await;
    let (_, boris) = house.person("boris", &["member"]).await;
    let session = |tools: Value| {
        let given = json!({"name": "crm", "tools": tools});
        json!({"agent": {"model": "main", "bailiwick": {"connectors": [given]}}, "environment": {"type": "none"},
               "input": "Hi"})
    };
    let begin =
        async |key: &str, tools: Value| send(&house, key, "POST", "/v1/agents/sessions", Some(session(tools))).await;
    let error = begin(&anna, Value::Null).await.error(400);
    assert_eq!(error["param"], "agent.bailiwick.connectors[0].name");
    assert!(error["message"].as_str().unwrap().contains("bailiwick connector ask crm"), "{error}");

    let asked = ask(&house, &anna, "crm", json!({"tools": ["find"], "reason": "My customers"})).await.ok();
    answer(&house, &house.key.clone(), &asked, "grant", json!({})).await.ok();
    let listed = send(&house, &anna, "GET", CATALOGUE, None).await.ok();
    assert_eq!(listed["data"][0]["granted"], true);
    let made = begin(&anna, Value::Null).await.ok();
    assert_eq!(made["agent"]["bailiwick"]["connectors"][0]["tools"], json!(["find"]), "all that was granted");
    begin(&anna, json!(["find"])).await.ok();
    assert_eq!(begin(&anna, json!(["delete"])).await.error(400)["param"], "agent.bailiwick.connectors[0].tools");
    begin(&boris, Value::Null).await.error(400);

    // Another connector of the same name is another system.
    house.send(request(&house.key, "DELETE", "/bailiwick/v1/connectors/crm", None)).await.ok();
    keep(&house, "crm").await;
    publish(&house, "crm", json!({})).await.ok();
    begin(&anna, Value::Null).await.error(400);
    let asked = ask(&house, &anna, "crm", json!({"reason": "Again"})).await.ok();
    answer(&house, &house.key.clone(), &asked, "grant", json!({})).await.ok();
    begin(&anna, Value::Null).await.ok();
    let path = format!("{REQUESTS}/{}", asked["id"].as_str().unwrap());
    send(&house, &anna, "DELETE", &path, None).await.error(403);
    house.delete(&path).await.ok();
    begin(&anna, Value::Null).await.error(400);
}

#[tokio::test]
async fn a_refusal_says_why_and_only_named_teams_see_what_is_for_them() {
    let house = House::new().await;
    keep(&house, "crm").await;
    let team = house.post("/bailiwick/v1/teams", json!({"name": "Sales"})).await.ok()["id"].clone();
    let (asker, anna) = house.person("anna", &["member"]).await;
    let (_, boris) = house.person("boris", &["member"]).await;
    house.post(&format!("/bailiwick/v1/people/{asker}"), json!({"teams": [team]})).await.ok();
    publish(&house, "crm", json!({"teams": [team]})).await.ok();
    assert_eq!(names(&house, &anna, CATALOGUE, "name").await, ["crm"]);
    assert!(names(&house, &boris, CATALOGUE, "name").await.is_empty());
    ask(&house, &boris, "crm", json!({"reason": "Curious"})).await.error(404);
    send(&house, &boris, "GET", "/bailiwick/v1/connectors/crm", None).await.error(404);

    let asked = ask(&house, &anna, "crm", json!({"reason": "Curious"})).await.ok();
    answer(&house, &house.key.clone(), &asked, "refuse", json!({"reason": ""})).await.error(400);
    let refused = answer(&house, &house.key.clone(), &asked, "refuse", json!({"reason": "Not needed"})).await.ok();
    assert_eq!((&refused["state"], &refused["answer"]["reason"]), (&json!("refused"), &json!("Not needed")));
    let open = names(&house, &anna, &format!("{REQUESTS}?state=open"), "id").await;
    assert!(open.is_empty());
    assert_eq!(names(&house, &anna, &format!("{REQUESTS}?state=refused"), "id").await.len(), 1);

    // Taken back by who asked, and out of the catalogue by who put it there.
    let asked = ask(&house, &anna, "crm", json!({"reason": "Once more"})).await.ok();
    let path = format!("{REQUESTS}/{}", asked["id"].as_str().unwrap());
    send(&house, &anna, "DELETE", &path, None).await.ok();
    send(&house, &anna, "GET", &path, None).await.error(404);
    house.post("/bailiwick/v1/connectors/crm/withdraw", json!({})).await.ok();
    assert!(names(&house, &anna, CATALOGUE, "name").await.is_empty());
    ask(&house, &anna, "crm", json!({"reason": "Once more"})).await.error(404);
    for (body, param) in [
        (json!({"title": ""}), "title"),
        (json!({"purpose": " "}), "purpose"),
        (json!({"teams": ["team_0"]}), "teams[0]"),
        (json!({"owner": "user_0"}), "owner"),
    ] {
        assert_eq!(publish(&house, "crm", body).await.error(400)["param"], param);
    }
    publish(&house, "nothing", json!({})).await.error(404);
    let told = changes(&house).await;
    for change in ["connector.refused", "connector.request_removed", "connector.withdrawn"] {
        assert!(told.iter().any(|(known, _)| known == change), "{change}: {told:?}");
    }
}
