//! A service with an awkward document: its tools, and calls of them over real sockets.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "a peer on loopback, and tasks that run it")]

#[path = "../../outbound/tests/peer/mod.rs"]
mod peer;

use bailiwick_core::{ActionResult, Content, Effect, Failure, FailureCode, Outcome, ToolDefinition};
use bailiwick_outbound::{Options, Outbound};
use bailiwick_services::{Access, Call, Configuration, Document, Pagination, Secrets, Service};
use bailiwick_types::{Millis, Secret};
use peer::{Peer, Reply, Seen, answer};
use serde_json::{Value, json};
use std::{collections::BTreeMap, future::pending};

const AWKWARD: &str = include_str!("awkward.yaml");

fn document() -> Document {
    Document::read(AWKWARD, None).unwrap()
}

fn at(peer: &Peer) -> Configuration {
    Configuration { base_url: Some(peer.url("/v1/")), ..Configuration::default() }
}

fn service(configuration: Configuration) -> Service {
    Service::new(&document(), Configuration { output_bytes: 1000, ..configuration }, &BTreeMap::new()).unwrap()
}

fn made(document: &Document, configuration: Configuration) -> Result<Service, Failure> {
    Service::new(document, configuration, &BTreeMap::new())
}

fn tool<'a>(service: &'a Service, name: &str) -> &'a ToolDefinition {
    service.definitions().find(|one| one.name == name).unwrap_or_else(|| panic!("no tool `{name}`"))
}

fn token() -> Secrets {
    Secrets::One(Secret::new("hunter2-token"))
}

fn effect_of(service: &Service, tool: &str) -> Effect {
    service.definitions().find(|one| one.name == tool).map_or(Effect::Write, |one| one.effect)
}

async fn call_as(service: &Service, secrets: &Secrets, tool: &str, arguments: Value) -> Outcome {
    let access = Access { secrets, who: "user_1 through agent_2", action: "act_1" };
    let call = Call { tool, arguments: &arguments, effect: effect_of(service, tool) };
    service.call(&Outbound::new(Options::default()), &access, call, pending()).await
}

async fn call(service: &Service, tool: &str, arguments: Value) -> Outcome {
    call_as(service, &token(), tool, arguments).await
}

fn text(outcome: &Outcome) -> String {
    let Outcome::Confirmed { result: ActionResult::Tool(answer) } = outcome else { panic!("{outcome:?}") };
    bailiwick_core::joined_text(&answer.content)
}

fn failure(outcome: &Outcome) -> (FailureCode, &str) {
    let Outcome::Failed { failure } = outcome else { panic!("{outcome:?}") };
    (failure.code, &failure.message)
}

/// What the service was sent by one call.
async fn sent(secrets: &Secrets, tool: &str, arguments: Value) -> Seen {
    let peer = Peer::start("127.0.0.1", |_, _| answer("200 OK", "{}")).await;
    let outcome = call_as(&service(at(&peer)), secrets, tool, arguments).await;
    assert_eq!(text(&outcome), "{}");
    peer.seen().remove(0)
}

#[test]
fn every_operation_that_can_be_called_is_a_tool_and_the_others_say_why() {
    let service = service(Configuration::default());
    assert_eq!(service.base_url(), "https://crm.example:8443/v1/");
    let names: Vec<&str> = service.definitions().map(|one| one.name.as_str()).collect();
    assert_eq!(
        names,
        [
            "both",
            "certified",
            "cookie",
            "customers_list",
            "customers_list_2",
            "removeCustomer",
            "get_customers_id",
            "replaceCustomer",
            "upload",
            "note",
            "open",
            "pay",
            "shape"
        ]
    );
    let left_out: BTreeMap<&str, &str> =
        service.left_out().iter().map(|(key, why)| (key.as_str(), why.as_str())).collect();
    for (key, word) in [
        ("POST /remote", "out of the document"),
        ("POST /binary", "application/octet-stream"),
        ("GET /hole/{missing}", "{missing}"),
        ("GET /loop", "circle"),
        ("GET /elsewhere", "connector of its own"),
    ] {
        assert!(left_out[key].contains(word), "{key}: {left_out:?}");
    }
    for definition in service.definitions() {
        jsonschema::meta::validate(&definition.parameters).unwrap();
        assert!(definition.parameters.to_string().len() < 64 * 1024);
    }
}

#[test]
fn arguments_have_names_that_a_model_may_write_and_schemas_that_stand_alone() {
    let service = service(Configuration::default());
    let list = &tool(&service, "customers_list").parameters;
    let mut names: Vec<&String> = list["properties"].as_object().unwrap().keys().collect();
    names.sort();
    assert_eq!(names, ["X-Tenant", "filter_name", "filter_name_2", "page", "session", "tags", "top", "where"]);
    assert_eq!(list["properties"]["top"]["type"], json!(["integer", "null"]));
    let get = &tool(&service, "get_customers_id").parameters;
    let mut names: Vec<&String> = get["properties"].as_object().unwrap().keys().collect();
    names.sort();
    // One in the query, one in a header and one in the path, none mistaken for another whatever the case.
    assert_eq!((names.len(), get["required"].as_array().unwrap().len()), (3, 1));
    let make = &tool(&service, "customers_list_2").parameters;
    let valid = |value: Value| jsonschema::validator_for(make).unwrap().is_valid(&value);
    assert!(valid(json!({"body": {"name": "a", "parent": {"name": "b", "parent": null}, "kind": null}})));
    for wrong in [
        json!({}),
        json!({"body": {}}),
        json!({"body": {"name": "a", "parent": {}}}),
        json!({"body": {"name": "a"}, "x": 1}),
    ] {
        assert!(!valid(wrong.clone()), "{wrong}");
    }
    let shape = &tool(&service, "shape").parameters;
    let valid = |value: Value| jsonschema::validator_for(shape).unwrap().is_valid(&value);
    assert!(valid(json!({"body": {"kind": "circle", "radius": 1}})) && !valid(json!({"body": {"kind": "circle"}})));
    assert!(tool(&service, "pay").parameters["properties"].get("Idempotency-Key").is_none());
}

#[test]
fn what_repeating_does_follows_the_method_the_key_and_the_administrator() {
    let effects = |service: &Service| -> BTreeMap<String, Effect> {
        service.definitions().map(|one| (one.name.clone(), one.effect)).collect()
    };
    let plain = effects(&service(Configuration::default()));
    for (name, effect) in [
        ("customers_list", Effect::Read),
        ("customers_list_2", Effect::Write),
        ("replaceCustomer", Effect::Idempotent),
        ("removeCustomer", Effect::Idempotent),
        ("pay", Effect::Idempotent),
        ("note", Effect::Write),
    ] {
        assert_eq!(plain[name], effect, "{name}");
    }
    let said = BTreeMap::from([("note".to_owned(), Effect::Read), ("PUT /customers/*".to_owned(), Effect::Write)]);
    let said = effects(&Service::new(&document(), Configuration::default(), &said).unwrap());
    assert_eq!((said["note"], said["replaceCustomer"]), (Effect::Read, Effect::Write));
    let keyed = Configuration { idempotency_header: Some("X-Key".into()), ..Configuration::default() };
    assert_eq!(effects(&service(keyed))["note"], Effect::Idempotent);
}

#[test]
fn only_what_is_listed_is_a_tool() {
    let listed = |operations: &[&str], read_only: bool| {
        let operations = operations.iter().map(|one| (*one).to_owned()).collect();
        let made = Service::new(
            &document(),
            Configuration { operations, read_only, ..Configuration::default() },
            &BTreeMap::new(),
        );
        made.map(|service| service.definitions().map(|one| one.name.clone()).collect::<Vec<_>>())
    };
    assert_eq!(
        listed(&["customers.list", "PUT /customers/{id}"], false).unwrap(),
        ["customers_list", "replaceCustomer"]
    );
    assert_eq!(listed(&["GET /cust*"], false).unwrap(), ["customers_list", "get_customers_id"]);
    assert_eq!(listed(&["* /customers"], false).unwrap_err().code, FailureCode::InvalidRequest);
    assert_eq!(listed(&["GET /customers", "pay"], true).unwrap(), ["customers_list"]);
    for (operations, word) in
        [(&["nothing"][..], "has no operation"), (&["POST /remote"][..], "out of the document"), (&["pay"][..], "")]
    {
        let refused = listed(operations, operations == ["pay"]).unwrap_err();
        assert!(refused.message.contains(word), "{}", refused.message);
    }
}

#[tokio::test]
async fn every_argument_goes_where_the_document_says() {
    let arguments = json!({"filter_name": "a&b=c", "filter_name_2": "d", "top": 5, "tags": ["x", "y z"], "page": 2,
        "where": {"region": "north", "since": "2026-01-01"}, "X-Tenant": "t1", "session": "s;1"});
    let seen = sent(&token(), "customers_list", arguments).await;
    assert_eq!(
        seen.path(),
        "/v1/customers?filter%5Bname%5D=a%26b%3Dc&filter.name=d&%24top=5&tags=x,y%20z&where%5Bregion%5D=north&\
         where%5Bsince%5D=2026-01-01&page=2"
    );
    for line in
        ["authorization: Bearer hunter2-token", "x-tenant: t1", "cookie: session=s%3B1", "(user_1 through agent_2)"]
    {
        assert!(seen.head.contains(line), "{line} in {}", seen.head);
    }
    let seen = sent(&token(), "customers_list_2", json!({"body": {"name": "Größe"}})).await;
    assert!(
        seen.head.starts_with("POST /v1/customers HTTP/1.1")
            && seen.head.contains("content-type: application/json\r\n")
    );
    assert_eq!(seen.body, r#"{"name":"Größe"}"#.as_bytes());
    let seen = sent(&token(), "note", json!({"body": {"text": "a b&c", "tags": [1, "x"]}})).await;
    assert!(seen.head.contains("content-type: application/x-www-form-urlencoded\r\n"));
    assert_eq!(String::from_utf8(seen.body).unwrap(), "tags=1&tags=x&text=a%20b%26c");
    let seen = sent(&token(), "pay", json!({"body": {"amount": 3}})).await;
    assert!(seen.head.contains("idempotency-key: act_1\r\n"), "{}", seen.head);
    let seen = sent(
        &Secrets::None,
        "upload",
        json!({"path": "a/b c", "body": {"file": "data:image/gif;base64,R0lG", "about": {"k": 1}, "name": "x"}}),
    )
    .await;
    assert_eq!(seen.path(), "/v1/files/;path=a%2Fb%20c");
    let body = String::from_utf8(seen.body).unwrap();
    let boundary = body.lines().next().unwrap().trim_start_matches("--").to_owned();
    assert!(
        seen.head.contains(&format!("content-type: multipart/form-data; boundary={boundary}\r\n")),
        "{}",
        seen.head
    );
    for part in [
        "name=\"about\"\r\ncontent-type: application/json\r\n\r\n{\"k\":1}\r\n",
        "name=\"file\"; filename=\"file\"\r\ncontent-type: image/png\r\n\r\nGIF\r\n",
        "name=\"name\"\r\n\r\nx\r\n",
    ] {
        assert!(body.contains(part), "{part} in {body}");
    }
}

#[tokio::test]
async fn secrets_go_where_the_scheme_says_and_nowhere_else() {
    let named = |names: &[&str]| {
        Secrets::Named(names.iter().map(|name| ((*name).to_owned(), Secret::new(format!("{name}-hunter2")))).collect())
    };
    let seen = sent(&Secrets::One(Secret::new("anna:pass word")), "removeCustomer", json!({"id": "7"})).await;
    assert!(seen.head.contains("authorization: Basic YW5uYTpwYXNzIHdvcmQ=\r\n"), "{}", seen.head);
    let seen = sent(&named(&["token", "keyed"]), "both", json!({})).await;
    assert!(
        seen.head.contains("authorization: Bearer token-hunter2") && seen.head.contains("x-api-key: keyed-hunter2")
    );
    let seen = sent(&token(), "cookie", json!({})).await;
    assert!(seen.head.contains("cookie: sid=hunter2-token\r\n") && !seen.head.contains("authorization"));
    let seen = sent(&named(&["queried"]), "upload", json!({"path": "x"})).await;
    assert_eq!(seen.path(), "/v1/files/;path=x?api_key=queried-hunter2");
    let seen = sent(&token(), "open", json!({})).await;
    assert!(!seen.head.contains("hunter2"), "{}", seen.head);
}

#[tokio::test]
async fn without_its_credential_nothing_is_sent() {
    let peer = Peer::start("127.0.0.1", |_, _| answer("200 OK", "{}")).await;
    let service = service(at(&peer));
    for (secrets, tool, word) in [
        (Secrets::None, "cookie", "`cookied`"),
        (token(), "both", "`keyed` with `token`"),
        (token(), "certified", "mutualTLS"),
    ] {
        let outcome = call_as(&service, &secrets, tool, json!({})).await;
        let (code, message) = failure(&outcome);
        assert_eq!(code, FailureCode::AuthenticationFailed);
        assert!(message.contains(word) && message.contains("vault"), "{message}");
    }
    assert_eq!(peer.connections(), 0);
}

#[tokio::test]
async fn arguments_lead_nowhere_else() {
    let peer = Peer::start("127.0.0.1", |_, _| answer("200 OK", "{}")).await;
    let service = service(at(&peer));
    for (tool, arguments) in [
        ("get_customers_id", json!({"id": ".."})),
        ("replaceCustomer", json!({"id": "../../admin", "body": {}})),
        ("replaceCustomer", json!({"id": "", "body": {}})),
        ("replaceCustomer", json!({"id": "a\r\nb", "body": {}})),
        ("replaceCustomer", json!({"id": "1"})),
        ("customers_list", json!({"X-Tenant": "a\r\nX-Evil: b"})),
        ("customers_list", json!({"Authorization": "Bearer mine"})),
        ("customers_list", json!([])),
        ("note", json!({"body": "no form"})),
        ("nothing", json!({})),
    ] {
        let outcome = call(&service, tool, arguments.clone()).await;
        assert_eq!(failure(&outcome).0, FailureCode::InvalidRequest, "{tool} {arguments}");
    }
    assert_eq!(peer.connections(), 0);
}

#[tokio::test]
async fn answers_are_shown_bounded_with_the_way_to_more() {
    let peer = Peer::start("127.0.0.1", |request, _| match request.path() {
        "/v1/open" => Reply::Go(format!("HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 10000000\r\n\r\n{}", "ä".repeat(5_000_000)).into_bytes()),
        "/v1/cookie" => Reply::Go(b"HTTP/1.1 200 OK\r\ncontent-type: image/png\r\ncontent-length: 3\r\n\r\nPNG".to_vec()),
        "/v1/both" => Reply::Go(b"HTTP/1.1 200 OK\r\ncontent-type: application/zip\r\ncontent-length: 3\r\n\r\nPK\x03".to_vec()),
        "/v1/customers/1" => answer("204 No Content", ""),
        _ => Reply::Go(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 22\r\nlink: </v1/customers?page=1>; rel=\"prev\", <?page=3&%24top=5&x=y>; rel=\"next\"\r\n\r\n{\"meta\":{\"next\":\"c9\"}}".to_vec()),
    })
    .await;
    let mut configuration = at(&peer);
    let long = call(&service(configuration.clone()), "open", json!({})).await;
    assert!(
        text(&long).ends_with("bytes are shown; ask for less, or for fewer at a time]") && text(&long).len() < 1200
    );
    let image = call(&service(configuration.clone()), "cookie", json!({})).await;
    let Outcome::Confirmed { result: ActionResult::Tool(answer) } = &image else { panic!("no image") };
    assert_eq!(answer.content, [Content::Image { url: "data:image/png;base64,UE5H".into() }]);
    let secrets =
        Secrets::Named(BTreeMap::from([("token".into(), Secret::new("t")), ("keyed".into(), Secret::new("k"))]));
    assert!(
        text(&call_as(&service(configuration.clone()), &secrets, "both", json!({})).await)
            .contains("3 bytes of `application/zip`")
    );
    let nothing = call(&service(configuration.clone()), "get_customers_id", json!({"id": "1"})).await;
    assert!(text(&nothing).contains("nothing to show"));
    let listed = call(&service(configuration.clone()), "customers_list", json!({})).await;
    assert!(text(&listed).ends_with("[there is more: call again with `page`: 3, `top`: 5]"), "{}", text(&listed));
    configuration.pagination = Some(Pagination { next: "/meta/next".into(), parameter: "text".into() });
    assert!(
        !text(&call(&service(configuration), "note", json!({})).await)
            .contains("there is more: call again with `page`")
    );
}

#[tokio::test]
async fn a_cursor_is_found_where_the_administrator_says() {
    let peer = Peer::start("127.0.0.1", |_, _| answer("200 OK", r#"{"meta":{"next":"c9"}}"#)).await;
    let mut configuration = at(&peer);
    configuration.pagination = Some(Pagination { next: "/meta/next".into(), parameter: "page".into() });
    let listed = call(&service(configuration), "customers_list", json!({})).await;
    assert!(text(&listed).ends_with("[there is more: call again with `page`: c9]"), "{}", text(&listed));
}

#[tokio::test]
async fn what_the_service_says_no_to_is_an_error_in_its_bounded_words() {
    let peer = Peer::start("127.0.0.1", |request, _| match request.path() {
        "/v1/open" => Reply::Go(
            format!(
                "HTTP/1.1 404 Not Found\r\ncontent-type: application/json\r\ncontent-length: 100000\r\n\r\n{}",
                "x\u{1b}".repeat(50_000)
            )
            .into_bytes(),
        ),
        "/v1/cookie" => {
            Reply::Go(b"HTTP/1.1 429 Too Many Requests\r\nretry-after: 30\r\ncontent-length: 0\r\n\r\n".to_vec())
        }
        "/v1/customers" => answer("401 Unauthorized", "{\"error\":\"bad token\"}"),
        "/v1/notes" => answer("500 Internal Server Error", "boom"),
        _ => {
            Reply::Go(b"HTTP/1.1 302 Found\r\nlocation: http://169.254.169.254/\r\ncontent-length: 0\r\n\r\n".to_vec())
        }
    })
    .await;
    let service = service(at(&peer));
    for (tool, code, word) in [
        ("open", FailureCode::ToolError, "404 Not Found: x x x"),
        ("cookie", FailureCode::RateLimited, "try again after 30"),
        ("customers_list", FailureCode::AuthenticationFailed, "bad token"),
        ("note", FailureCode::ServerError, "boom"),
        ("shape", FailureCode::ToolError, "not followed"),
    ] {
        let outcome = call(&service, tool, json!({})).await;
        let (is, message) = failure(&outcome);
        assert_eq!(is, code, "{tool}: {message}");
        assert!(message.contains(word) && message.len() < 2000 && !message.contains('\u{1b}'), "{tool}: {message}");
    }
}

#[tokio::test]
async fn a_lost_answer_is_unknown_unless_nothing_could_have_changed() {
    let closes = Peer::start("127.0.0.1", |_, _| Reply::Close(Vec::new())).await;
    let gateway = Peer::start("127.0.0.1", |_, _| answer("504 Gateway Timeout", "")).await;
    let silent = Peer::start("127.0.0.1", |_, _| Reply::Hang(Vec::new())).await;
    for peer in [&closes, &gateway, &silent] {
        let service = service(Configuration { timeout_ms: Millis(300), ..at(peer) });
        for (tool, arguments) in
            [("note", json!({})), ("pay", json!({})), ("replaceCustomer", json!({"id": "1", "body": {}}))]
        {
            let outcome = call(&service, tool, arguments).await;
            assert!(matches!(outcome, Outcome::Unknown { .. }), "{tool}: {outcome:?}");
        }
        assert!(matches!(call(&service, "open", json!({})).await, Outcome::Failed { .. }));
        // Nothing is asked twice.
        assert_eq!(peer.seen().len(), 4);
    }
    let url = closes.url("/v1");
    drop(closes);
    let gone = service(Configuration { base_url: Some(url), ..Configuration::default() });
    let outcome = call(&gone, "note", json!({})).await;
    assert_eq!(failure(&outcome).0, FailureCode::ConnectionFailed);
}

#[tokio::test]
async fn an_answer_that_breaks_off_after_it_was_done_is_done() {
    let cut = b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nha";
    let peer = Peer::start("127.0.0.1", |_, _| Reply::Close(cut.to_vec())).await;
    let service = service(at(&peer));
    assert!(text(&call(&service, "note", json!({})).await).contains("broke off"));
    assert!(matches!(call(&service, "open", json!({})).await, Outcome::Failed { .. }));
}

#[tokio::test]
async fn a_call_that_is_given_up_may_have_been_done() {
    let peer = Peer::start("127.0.0.1", |_, _| Reply::Hang(Vec::new())).await;
    let service = service(at(&peer));
    let secrets = token();
    let access = Access { secrets: &secrets, who: "", action: "act_1" };
    let outbound = Outbound::new(Options::default());
    for (tool, unknown) in [("note", true), ("open", false)] {
        let (began, asked) = (peer.seen().len(), &peer);
        let cancelled = async move {
            while asked.seen().len() == began {
                tokio::task::yield_now().await;
            }
        };
        let outcome = {
            let call = Call { tool, arguments: &json!({}), effect: effect_of(&service, tool) };
            service.call(&outbound, &access, call, cancelled).await
        };
        assert_eq!(matches!(outcome, Outcome::Unknown { .. }), unknown, "{outcome:?}");
    }
}

#[tokio::test]
async fn a_document_is_fetched_and_names_no_other_server() {
    let elsewhere = AWKWARD.to_owned();
    let near = r#"{"openapi":"3.1.0","servers":[{"url":"../api"}],"paths":{"/x":{"get":{}}}}"#;
    let peer = Peer::start("127.0.0.1", move |request, _| match request.path() {
        "/elsewhere.yaml" => answer("200 OK", &elsewhere),
        "/docs/near.json" => answer("200 OK", near),
        "/moved" => Reply::Go(b"HTTP/1.1 301 Moved\r\nlocation: /docs/near.json\r\ncontent-length: 0\r\n\r\n".to_vec()),
        "/long" => Reply::Hang(b"HTTP/1.1 200 OK\r\ncontent-length: 99999999\r\n\r\n{".to_vec()),
        _ => answer("404 Not Found", ""),
    })
    .await;
    let outbound = Outbound::new(Options::default());
    for path in ["/docs/near.json", "/moved"] {
        let document = Document::fetch(&outbound, &peer.url(path), false, "user_1").await.unwrap();
        assert_eq!(made(&document, Configuration::default()).unwrap().base_url(), peer.url("/api"));
    }
    let document = Document::fetch(&outbound, &peer.url("/elsewhere.yaml"), false, "user_1").await.unwrap();
    let refused = made(&document, Configuration::default()).unwrap_err();
    assert!(
        refused.message.contains("https://crm.example:8443") && refused.message.contains("base_url"),
        "{}",
        refused.message
    );
    assert!(made(&document, at(&peer)).is_ok());
    for path in ["/long", "/none"] {
        assert!(Document::fetch(&outbound, &peer.url(path), false, "user_1").await.is_err(), "{path}");
    }
    assert!(
        Document::fetch(&outbound, "http://example.com/openapi.json", false, "user_1")
            .await
            .unwrap_err()
            .message
            .contains("https")
    );
}

#[test]
fn no_document_and_no_configuration_makes_it_fall_over() {
    for text in [
        "",
        "{}",
        "[]",
        "openapi: 2",
        "swagger: '2.0'",
        "{\"openapi\":\"3.1.0\"}",
        "openapi: 3.0.0\npaths: []",
        "{\"openapi\":\"4.0.0\",\"paths\":{}}",
        "a: [",
        "\u{0}",
    ] {
        assert!(Document::read(text, None).is_err(), "{text}");
    }
    let line = format!(
        "{{\"openapi\":\"3.1.0\",\"paths\":{{\"/x\":{{\"get\":{{\"description\":\"{}\"}}}}}}}}",
        "a".repeat(10_000_000)
    );
    let service =
        made(&Document::read(&line, Some("https://crm.example/")).unwrap(), Configuration::default()).unwrap();
    assert!(service.definitions().all(|one| one.description.len() < 4000));
    let many: serde_json::Map<String, Value> =
        (0..5000).map(|number| (format!("/p{number}"), json!({"get": {}}))).collect();
    let document =
        Document::read(&json!({"openapi": "3.1.0", "paths": many}).to_string(), Some("https://crm.example/")).unwrap();
    let flooded = made(&document, Configuration::default()).unwrap();
    assert_eq!((flooded.definitions().count(), flooded.left_out().len()), (2000, 1));
    let odd = json!({"openapi": "3.1.0", "paths": {"/a": {"get": {"parameters": [7, {"name": 1}], "security": 3, "responses": []}},
        "b": {"get": {}}, "/c": {"get": {"parameters": {}, "requestBody": [], "tags": null}}, "/d": null, "/e": {"get": {"parameters": [{"name": "x", "in": "query", "style": "odd"}]}}}});
    let document = Document::read(&odd.to_string(), Some("https://crm.example/")).unwrap();
    let service = made(&document, Configuration::default()).unwrap();
    assert_eq!(service.definitions().map(|one| one.name.as_str()).collect::<Vec<_>>(), ["get_c"]);
    let wrong = [
        Configuration { base_url: Some("ftp://x".into()), ..Configuration::default() },
        Configuration { base_url: Some("https://user@x".into()), ..Configuration::default() },
        Configuration { timeout_ms: Millis(0), ..Configuration::default() },
        Configuration { max_answer_bytes: u64::MAX, ..Configuration::default() },
        Configuration { headers: BTreeMap::from([("Authorization".into(), "x".into())]), ..Configuration::default() },
    ];
    for configuration in wrong {
        assert!(made(&document, configuration.clone()).is_err(), "{configuration:?}");
    }
}
