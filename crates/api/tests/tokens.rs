//! Tokens that we issue: an agent on behalf of a person, for a short time, and never more than both may.

#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "tests may panic, and own the machine's clock")]

mod common;

use axum::{body::Body, http::Request};
use bailiwick_ports::{
    Clock as _, Scope,
    tokens::{Actor, TokenRequest, Tokens},
};
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use common::{Answer, House, RealClock, request, say};
use ed25519_dalek::{Signer as _, SigningKey};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

async fn agent(house: &House, name: &str) -> String {
    house.post("/v1/agents", json!({"model": "main", "name": name})).await.ok()["id"].as_str().unwrap().to_owned()
}

async fn get(house: &House, key: &str, path: &str) -> Answer {
    house.send(request(key, "GET", path, None)).await
}

fn part(token: &str, at: usize) -> Value {
    serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(token.split('.').nth(at).unwrap()).unwrap()).unwrap()
}

fn refused(answer: &Answer, code: &str) {
    assert_eq!(answer.status, 400, "{answer:?}");
    assert_eq!(answer.json()["error"], code, "{answer:?}");
}

#[tokio::test]
async fn a_token_names_the_person_and_the_agent() {
    let house = House::new().await;
    let (ada, signed) = house.person("ada", &["admin"]).await;
    let agent = agent(&house, "helper").await;
    let session = house.session_with(&signed, &agent).await;
    let fields = [
        ("subject_token", signed.as_str()),
        ("subject_token_type", "urn:ietf:params:oauth:token-type:access_token"),
        ("actor_agent", agent.as_str()),
        ("actor_session", session.as_str()),
        ("audience", "https://erp.example"),
        ("scope", "sessions:read files:read"),
    ];
    let answer = house.exchange(&fields).await;
    assert_eq!(answer.headers["cache-control"], "no-store");
    let answer = answer.ok();
    assert_eq!((&answer["token_type"], &answer["scope"]), (&json!("Bearer"), &json!("sessions:read files:read")));
    assert!(answer["expires_in"].as_i64().unwrap() <= 600);
    let token = answer["access_token"].as_str().unwrap();
    let header = part(token, 0);
    assert_eq!((&header["typ"], &header["alg"]), (&json!("at+jwt"), &json!("EdDSA")));
    let claims = part(token, 1);
    assert_eq!((&claims["iss"], &claims["aud"]), (&json!("http://house.test"), &json!("https://erp.example")));
    assert_eq!((&claims["sub"], &claims["sub_profile"]), (&json!(ada), &json!("user")));
    let act = &claims["act"];
    assert_eq!((&act["sub"], &act["sub_profile"]), (&json!(agent), &json!("ai_agent client_instance")));
    assert_eq!((&act["agent_instance_id"], &act["iss"], &act["act"]), (&json!(session), &claims["iss"], &Value::Null));
    assert!(claims["jti"].is_string() && claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap() <= 600);

    // Whoever wants can check it: metadata, keys, signature.
    let metadata = get(&house, "", "/.well-known/oauth-authorization-server").await.ok();
    assert_eq!(
        (&metadata["issuer"], &metadata["jwks_uri"]),
        (&claims["iss"], &json!("http://house.test/bailiwick/v1/jwks"))
    );
    let keys = get(&house, "", "/bailiwick/v1/jwks").await.ok();
    let key = keys["keys"].as_array().unwrap().iter().find(|key| key["kid"] == header["kid"]).unwrap();
    assert!(key["d"].is_null() && key["crv"] == "Ed25519", "{key}");
    // It is for somebody else: here it opens nothing.
    get(&house, token, "/bailiwick/v1/me").await.error(401);
}

#[tokio::test]
async fn a_token_opens_what_both_may_and_never_more() {
    let house = House::new().await;
    let (_, admin) = house.person("root", &["admin"]).await;
    let (ada, member) = house.person("ada", &["member"]).await;
    let agent = agent(&house, "helper").await;
    let others = {
        house.script([say("Done.")]);
        let body = json!({"agent": {"model": "main"}, "environment": {"type": "none"}, "input": "Hi"});
        let made = house.send(request(&member, "POST", "/v1/agents/sessions", Some(&body))).await.ok();
        made["id"].as_str().unwrap().to_owned()
    };
    let token = house.token(&admin, &agent).await;
    let me = get(&house, &token, "/bailiwick/v1/me").await.ok();
    assert_eq!(me["type"], "agent");
    assert_eq!(me["scopes"], json!(["agents:read", "sessions:read", "sessions:write", "files:read", "files:write"]));
    // An administrator's agent is no administrator, and sees the administrator's own things only.
    for path in ["/bailiwick/v1/keys", "/bailiwick/v1/people", "/v1/vaults"] {
        get(&house, &token, path).await.error(403);
    }
    house.send(request(&token, "POST", "/v1/agents", Some(&json!({"model": "main"})))).await.error(403);
    get(&house, &token, &format!("/v1/agents/sessions/{others}")).await.error(404);
    assert_eq!(get(&house, &token, "/v1/agents/sessions").await.ok()["data"].as_array().unwrap().len(), 1);
    // What the person may no more, the agent may no more, at once.
    let theirs = house.token(&member, &agent).await;
    get(&house, &theirs, "/v1/agents/sessions").await.ok();
    house.post(&format!("/bailiwick/v1/people/{ada}"), json!({"disabled": true})).await.ok();
    get(&house, &theirs, "/v1/agents/sessions").await.error(401);
    house.post(&format!("/bailiwick/v1/people/{ada}"), json!({"disabled": false})).await.ok();
    get(&house, &theirs, "/v1/agents/sessions").await.error(401);
    house.post(&format!("/v1/agents/{agent}"), json!({"bailiwick": {"status": "suspended"}})).await.ok();
    get(&house, &token, "/bailiwick/v1/me").await.error(401);
}

#[tokio::test]
async fn whoever_delegates_stays_in_the_chain_and_it_ends_at_four() {
    let house = House::new().await;
    let (ada, signed) = house.person("ada", &["member"]).await;
    let mut token = signed.clone();
    let mut agents = Vec::new();
    for depth in 1..=5 {
        let agent = agent(&house, &format!("a{depth}")).await;
        let session = house.session_with(&signed, &agent).await;
        let scope = if depth == 1 { "sessions:read" } else { "" };
        let mut fields = vec![
            ("subject_token", token.as_str()),
            ("actor_agent", agent.as_str()),
            ("actor_session", session.as_str()),
        ];
        if depth == 2 {
            // What the first has not, the second does not get.
            fields.push(("scope", "files:read"));
            refused(&house.exchange(&fields).await, "invalid_scope");
            fields.pop();
        }
        if !scope.is_empty() {
            fields.push(("scope", scope));
        }
        let answer = house.exchange(&fields).await;
        if depth == 5 {
            refused(&answer, "invalid_request");
            break;
        }
        agents.insert(0, agent.clone());
        let made = answer.ok();
        assert_eq!(made["scope"], "sessions:read");
        token = made["access_token"].as_str().unwrap().to_owned();
        let mut act = part(&token, 1)["act"].clone();
        for agent in &agents {
            assert_eq!(act["sub"], json!(agent));
            act = act["act"].clone();
        }
        assert_eq!((act, &part(&token, 1)["sub"]), (Value::Null, &json!(ada)));
    }
    let principal = get(&house, &token, "/bailiwick/v1/me").await.ok()["principal"].as_str().unwrap().to_owned();
    assert!(principal.starts_with(&ada) && agents.iter().all(|agent| principal.contains(agent)), "{principal}");
}

#[tokio::test]
async fn tokens_that_were_changed_or_are_of_another_kind_open_nothing() {
    let house = House::new().await;
    let (_, signed) = house.person("ada", &["member"]).await;
    let agent_id = agent(&house, "helper").await;
    let token = house.token(&signed, &agent_id).await;
    let parts: Vec<&str> = token.split('.').collect();
    let other = |at: usize, change: &dyn Fn(&mut Value)| {
        let mut value = part(&token, at);
        change(&mut value);
        let mut parts: Vec<String> = parts.iter().map(|part| (*part).to_owned()).collect();
        parts[at] = BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
        parts.join(".")
    };
    for (what, token) in [
        ("stripped of its actor", other(1, &|claims| drop(claims.as_object_mut().unwrap().remove("act")))),
        (
            "with another actor",
            other(1, &|claims| claims["act"]["sub"] = json!("agent_00000000000070008000000000000000")),
        ),
        ("with more scopes", other(1, &|claims| claims["scope"] = json!("admin"))),
        ("with another algorithm", other(0, &|header| header["alg"] = json!("none"))),
        ("with a place of its own keys", other(0, &|header| header["jku"] = json!("https://evil.example"))),
        ("with another key id", other(0, &|header| header["kid"] = json!("x"))),
        ("of another type", other(0, &|header| header["typ"] = json!("JWT"))),
        ("without a signature", format!("{}.{}.", parts[0], parts[1])),
        ("cut", token[..token.len() - 2].to_owned()),
        ("nonsense", "a.b.c".to_owned()),
    ] {
        let error = get(&house, &token, "/bailiwick/v1/me").await.error(401);
        assert_eq!(error["type"], "authentication_error", "{what}");
    }
    // A person's own sign-in is not handed on as a token, a key is no person, and neither is somebody else's session.
    let session = house.session_with(&signed, &agent_id).await;
    let (_, eve) = house.person("zoe", &["member"]).await;
    let strange = agent(&house, "other").await;
    for (subject, actor, session, code) in [
        (house.key.as_str(), agent_id.as_str(), session.as_str(), "invalid_request"),
        (eve.as_str(), agent_id.as_str(), session.as_str(), "invalid_request"),
        (signed.as_str(), strange.as_str(), session.as_str(), "invalid_request"),
        ("bwu_nothing", agent_id.as_str(), session.as_str(), "invalid_grant"),
        (signed.as_str(), "agent", session.as_str(), "invalid_request"),
    ] {
        let fields = [("subject_token", subject), ("actor_agent", actor), ("actor_session", session)];
        refused(&house.exchange(&fields).await, code);
    }
    let fields = [
        ("subject_token", signed.as_str()),
        ("actor_agent", agent_id.as_str()),
        ("actor_session", session.as_str()),
        ("audience", "https://evil.example"),
    ];
    refused(&house.exchange(&fields).await, "invalid_request");
    refused(
        &house.exchange(&[("subject_token", signed.as_str()), ("client_id", agent_id.as_str())]).await,
        "invalid_request",
    );

    // Ended early, it is over; and so is whatever would come of it.
    get(&house, &token, "/bailiwick/v1/me").await.ok();
    let body = format!("token={token}");
    let end = Request::builder().method("POST").uri("/bailiwick/v1/token/revoke").header("host", "house.test");
    let end = end.header("content-type", "application/x-www-form-urlencoded").body(Body::from(body)).unwrap();
    house.send(end).await.ok();
    get(&house, &token, "/bailiwick/v1/me").await.error(401);
    let fields =
        [("subject_token", token.as_str()), ("actor_agent", agent_id.as_str()), ("actor_session", session.as_str())];
    refused(&house.exchange(&fields).await, "invalid_grant");
}

#[tokio::test]
async fn an_agent_for_itself_has_no_person_and_opens_nothing_here() {
    let house = House::new().await;
    let agent_id = agent(&house, "clerk").await;
    let (_, signed) = house.person("ada", &["member"]).await;
    let session = house.session_with(&signed, &agent_id).await;
    let actor = Actor { agent: agent_id.parse().unwrap(), session: session.parse().unwrap() };
    let wanted = TokenRequest {
        tenant: house.tenant,
        subject: None,
        actors: vec![actor],
        audience: "http://house.test".into(),
        scopes: vec![Scope::Admin, Scope::SessionsRead],
        not_after: None,
        holder: None,
    };
    let token = house.issuer.issue(wanted.clone()).await.unwrap().token.expose().to_owned();
    let claims = part(&token, 1);
    assert_eq!(
        (&claims["sub"], &claims["sub_profile"], &claims["act"]),
        (&json!(agent_id), &json!("ai_agent"), &Value::Null)
    );
    assert_eq!(get(&house, &token, "/bailiwick/v1/me").await.ok()["scopes"], json!([]));
    get(&house, &token, "/v1/agents/sessions").await.error(403);
    for actors in [Vec::new(), vec![actor; 5]] {
        assert!(house.issuer.issue(TokenRequest { actors, ..wanted.clone() }).await.is_err());
    }
}

/// A proof that somebody holds a key (RFC 9449).
fn proof(key: &SigningKey, method: &str, path: &str, token: Option<&str>, id: &str) -> String {
    let encode = |bytes: &[u8]| BASE64_URL_SAFE_NO_PAD.encode(bytes);
    let jwk = json!({"kty": "OKP", "crv": "Ed25519", "x": encode(key.verifying_key().as_bytes())});
    let header = json!({"typ": "dpop+jwt", "alg": "EdDSA", "jwk": jwk});
    let (url, iat) = (format!("http://house.test{path}"), RealClock.now().as_seconds());
    let mut claims = json!({"jti": id, "htm": method, "htu": url, "iat": iat});
    if let Some(token) = token {
        claims["ath"] = json!(encode(&Sha256::digest(token)));
    }
    let signed = format!("{}.{}", encode(header.to_string().as_bytes()), encode(claims.to_string().as_bytes()));
    format!("{signed}.{}", encode(&key.sign(signed.as_bytes()).to_bytes()))
}

#[tokio::test]
async fn a_token_that_is_bound_to_a_key_comes_with_a_proof_for_each_request() {
    let house = House::new().await;
    let (_, signed) = house.person("ada", &["member"]).await;
    let agent = agent(&house, "helper").await;
    let session = house.session_with(&signed, &agent).await;
    let (key, thief) = (SigningKey::from_bytes(&[7; 32]), SigningKey::from_bytes(&[8; 32]));
    let asked = async |subject: &str, proof: &str| {
        let grant = "urn:ietf:params:oauth:grant-type:token-exchange";
        let form = format!("grant_type={grant}&subject_token={subject}&actor_agent={agent}&actor_session={session}");
        let request = Request::builder().method("POST").uri("/bailiwick/v1/token").header("host", "house.test");
        let request = request.header("content-type", "application/x-www-form-urlencoded").header("dpop", proof);
        house.send(request.body(Body::from(form)).unwrap()).await
    };
    let path = "/bailiwick/v1/token";
    let answer = asked(&signed, &proof(&key, "POST", path, None, "1")).await.ok();
    assert_eq!(answer["token_type"], "DPoP");
    let token = answer["access_token"].as_str().unwrap().to_owned();
    assert!(part(&token, 1)["cnf"]["jkt"].is_string());
    refused(&asked(&signed, &proof(&key, "POST", path, None, "1")).await, "invalid_dpop_proof");
    refused(&asked(&token, &proof(&thief, "POST", path, None, "2")).await, "invalid_grant");
    refused(
        &house.exchange(&[("subject_token", &token), ("actor_agent", &agent), ("actor_session", &session)]).await,
        "invalid_grant",
    );

    let me = "/bailiwick/v1/me";
    let shown = async |scheme: &str, proofs: &[String]| {
        let request = Request::builder().uri(me).header("host", "house.test");
        let request = request.header("authorization", format!("{scheme} {token}"));
        let request = proofs.iter().fold(request, |request, proof| request.header("dpop", proof));
        house.send(request.body(Body::empty()).unwrap()).await
    };
    let good = proof(&key, "GET", me, Some(&token), "3");
    assert_eq!(shown("DPoP", std::slice::from_ref(&good)).await.ok()["type"], "agent");
    for (what, scheme, proofs) in [
        ("the same proof again", "DPoP", vec![good]),
        ("as what everybody may show", "Bearer", vec![proof(&key, "GET", me, Some(&token), "4")]),
        ("without a proof", "DPoP", Vec::new()),
        (
            "with two",
            "DPoP",
            vec![proof(&key, "GET", me, Some(&token), "5"), proof(&key, "GET", me, Some(&token), "6")],
        ),
        ("by another key", "DPoP", vec![proof(&thief, "GET", me, Some(&token), "7")]),
        ("for another request", "DPoP", vec![proof(&key, "GET", "/v1/agents", Some(&token), "8")]),
        ("for another method", "DPoP", vec![proof(&key, "POST", me, Some(&token), "9")]),
        ("for no token", "DPoP", vec![proof(&key, "GET", me, None, "10")]),
    ] {
        let error = shown(scheme, &proofs).await.error(401);
        assert_eq!(error["type"], "authentication_error", "{what}");
    }
    let metadata = get(&house, "", "/.well-known/oauth-authorization-server").await.ok();
    assert!(metadata["dpop_signing_alg_values_supported"].as_array().unwrap().contains(&json!("EdDSA")));
}

#[tokio::test]
async fn an_administrator_has_another_key_sign() {
    let house = House::new().await;
    let (_, signed) = house.person("ada", &["member"]).await;
    let agent = agent(&house, "helper").await;
    let before = house.token(&signed, &agent).await;
    let path = "/bailiwick/v1/token/keys/rotate";
    house.send(request(&signed, "POST", path, Some(&json!({})))).await.error(403);
    let keys = house.post(path, json!({"reason": "a drill"})).await.ok();
    assert_eq!(keys["keys"].as_array().unwrap().len(), 2);
    assert_eq!(keys, get(&house, "", "/bailiwick/v1/jwks").await.ok());
    let after = house.token(&signed, &agent).await;
    assert_ne!(part(&before, 0)["kid"], part(&after, 0)["kid"]);
    for token in [&before, &after] {
        get(&house, token, "/bailiwick/v1/me").await.ok();
    }
    let changes = house.get("/bailiwick/v1/administration").await.ok();
    let told = changes["data"].as_array().unwrap().iter().find(|change| change["reason"] == "a drill").unwrap();
    assert_eq!(
        (&told["change"], &told["details"]["follows"]),
        (&json!("signing_key.created"), &part(&before, 0)["kid"])
    );
    house.post(path, json!({"end_tokens": true})).await.ok();
    for token in [&before, &after] {
        get(&house, token, "/bailiwick/v1/me").await.error(401);
    }
}
