//! Accounts at MCP servers: the whole way through a certified authorization server, and authorization servers that lie.

#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "tests start real servers")]

mod support;

use bailiwick_gate::Live;
use bailiwick_mcp::{
    Trouble,
    oauth::{
        Authorizer, Challenge, ClientIdentity, Discovery, IdentityProvider, OauthError, OurClient, Returned, Tokens,
    },
};
use bailiwick_ports::{Clock, Random, vault::ClientAuth};
use bailiwick_testkit::clock::ManualClock;
use bailiwick_types::{Millis, Secret, Timestamp};
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    io::{BufRead as _, BufReader, Write as _},
    process::{Child, ChildStdin, Command, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
};
use support::{
    RealClock, Web, access, client, over,
    peer::{Peer, Say, Seen, modern, plain_tool},
    repository, with_token,
};
use url::Url;

const RETURN: &str = "http://127.0.0.1:9/return";

/// Numbers that look random enough for a test, and never come twice.
struct Counting(AtomicU64);

impl Random for Counting {
    fn fill(&self, bytes: &mut [u8]) {
        for byte in bytes {
            let next = self.0.fetch_add(1, Ordering::Relaxed).wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            *byte = (next >> 40) as u8;
        }
    }
}

fn authorizer(clock: Arc<dyn Clock>, document_url: Option<&str>) -> Authorizer {
    let ours = OurClient {
        name: "Bailiwick".into(),
        redirect_uri: Url::parse(RETURN).unwrap(),
        document_url: document_url.map(|url| Url::parse(url).unwrap()),
    };
    Authorizer::new(Web::new(), clock, Arc::new(Counting(AtomicU64::new(0))), ours)
}

/// The certified provider. It ends with the test.
struct Provider {
    child: Child,
    stdin: ChildStdin,
    lines: BufReader<std::process::ChildStdout>,
    issuer: String,
}

impl Provider {
    fn start() -> Self {
        let module = repository().join("target/tools/oidc-provider/node_modules/oidc-provider/lib/index.js");
        assert!(module.exists(), "run .ci/fetch-tools.sh oidc-provider first");
        let mut child = Command::new("node")
            .args([repository().join("tests/oidc/mcp.mjs"), module])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let stdin = child.stdin.take().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap());
        let mut port = String::new();
        lines.read_line(&mut port).unwrap();
        Self { child, stdin, lines, issuer: format!("http://127.0.0.1:{}", port.trim()) }
    }

    fn gives_tokens_for(&mut self, resource: &Url) {
        writeln!(self.stdin, "{resource}").unwrap();
        let mut ready = String::new();
        self.lines.read_line(&mut ready).unwrap();
        assert_eq!(ready.trim(), "ready");
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What is written in a token.
fn claims(token: &str) -> Option<Value> {
    let payload = token.split('.').nth(1)?;
    serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(payload).ok()?).ok()
}

/// An MCP server that takes tokens of `issuer` for itself only.
async fn protected(issuer: String) -> Peer {
    Peer::start(move |seen| {
        let own = format!("http://{}/mcp", seen.headers["host"]);
        if seen.path == "/.well-known/oauth-protected-resource/mcp" {
            return Say::Json(json!({
                "resource": own, "authorization_servers": [issuer], "scopes_supported": ["files:read"],
            }));
        }
        let token = seen.headers.get("authorization").and_then(|value| value.strip_prefix("Bearer "));
        let claims = token.and_then(claims).unwrap_or_default();
        if claims["aud"] != json!(own) || claims["iss"] != json!(issuer) {
            let place = format!("http://{}/.well-known/oauth-protected-resource/mcp", seen.headers["host"]);
            let challenge = format!(r#"Bearer resource_metadata="{place}""#);
            return Say::Status(401, vec![("www-authenticate", challenge)], String::new());
        }
        let call = || {
            Say::Status(
                403,
                vec![("www-authenticate", r#"Bearer error="insufficient_scope", scope="files:write""#.into())],
                String::new(),
            )
        };
        modern(seen, json!([plain_tool("a")])).unwrap_or_else(call)
    })
    .await
}

/// A person with a browser: signs in, says yes to everything, and comes back.
async fn person(start: &Url) -> Returned {
    let http = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).no_proxy().build().unwrap();
    let mut cookies: BTreeMap<String, String> = BTreeMap::new();
    let (mut url, mut form) = (start.clone(), None::<&str>);
    for _ in 0..20 {
        if url.as_str().starts_with(RETURN) {
            return Returned::read(url.query().unwrap());
        }
        let request = match form.take() {
            Some(form) => http.post(url.clone()).header("content-type", "application/x-www-form-urlencoded").body(form),
            None => http.get(url.clone()),
        };
        let sent: Vec<String> = cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let response = request.header("cookie", sent.join("; ")).send().await.unwrap();
        for set in response.headers().get_all("set-cookie") {
            let (name, value) = set.to_str().unwrap().split(';').next().unwrap().split_once('=').unwrap();
            cookies.insert(name.to_owned(), value.to_owned());
        }
        if response.status().is_redirection() {
            url = url.join(response.headers()["location"].to_str().unwrap()).unwrap();
            continue;
        }
        let page = response.text().await.unwrap();
        form = match page.split("name=\"prompt\" value=\"").nth(1).and_then(|rest| rest.split('"').next()) {
            Some("login") => Some("prompt=login&login=ada&password=any"),
            Some("consent") => Some("prompt=consent"),
            _ => panic!("{page}"),
        };
    }
    panic!("the way has no end: {url}");
}

async fn challenge_of(server: &Url) -> Challenge {
    let client = client(server, Arc::new(RealClock), over(server));
    match client.tools(&access(), &Live::unwatched()).await {
        Err(Trouble::SignIn(challenge)) => challenge,
        other => panic!("{other:?}"),
    }
}

async fn signed_in(authorizer: &Authorizer, at: &Discovery, who: &ClientIdentity, granted: Option<&str>) -> Tokens {
    let (url, pending) = authorizer.begin(at, who, granted);
    // A day may lie between: it is kept as text.
    let kept = serde_json::from_str(&serde_json::to_string(&pending).unwrap()).unwrap();
    let returned = person(&url).await;
    assert_eq!(returned.iss.as_deref(), Some(at.issuer.as_str()));
    authorizer.finish(&kept, &returned, who.secret.as_ref()).await.unwrap()
}

#[tokio::test]
async fn a_person_connects_an_account_and_it_is_renewed() {
    let mut provider = Provider::start();
    let peer = protected(provider.issuer.clone()).await;
    provider.gives_tokens_for(&peer.url);
    let challenge = challenge_of(&peer.url).await;
    let authorizer = authorizer(Arc::new(RealClock), None);
    let at = authorizer.discover(&peer.url, &challenge, None).await.unwrap();
    assert_eq!((at.issuer.as_str(), at.resource.as_str()), (provider.issuer.as_str(), peer.url.as_str()));
    assert_eq!((at.scope.as_deref(), at.names_itself, at.has_offline_access), (Some("files:read"), true, true));
    // Nobody has configured a client and the provider takes no metadata documents: one is registered.
    let who = authorizer.client(&at, &[]).await.unwrap();
    assert_eq!((who.issuer.as_str(), who.auth), (provider.issuer.as_str(), ClientAuth::None));

    let tokens = signed_in(&authorizer, &at, &who, None).await;
    let said = claims(tokens.access.expose()).unwrap();
    assert_eq!(
        (&said["aud"], &said["sub"], &said["scope"]),
        (&json!(peer.url.as_str()), &json!("ada"), &json!("files:read"))
    );
    assert!(tokens.expires.unwrap() <= RealClock.now() + Millis(60_000));
    let used = client(&peer.url, Arc::new(RealClock), over(&peer.url));
    let listed = used.tools(&with_token(tokens.access.expose()), &Live::unwatched()).await.unwrap();
    assert_eq!(listed.tools.len(), 1);

    let first = tokens.refresh.unwrap();
    let renewed = authorizer.refresh(&tokens.renewal, &first, None).await.unwrap();
    let second = renewed.refresh.clone().unwrap();
    assert_ne!(first, second, "the provider gives another one each time");
    assert_eq!(claims(renewed.access.expose()).unwrap()["aud"], json!(peer.url.as_str()));
    let reused = authorizer.refresh(&tokens.renewal, &first, None).await.unwrap_err();
    assert!(matches!(&reused, OauthError::NeedsPerson(_)), "{reused:?}");
    assert!(!reused.to_string().contains(first.expose()) && !format!("{renewed:?}").contains(second.expose()));

    // The server wants more for something: what was granted before is asked for again with it.
    let more = Challenge { status: 403, scope: Some("files:write".into()), ..challenge };
    let at = authorizer.discover(&peer.url, &more, None).await.unwrap();
    let tokens = signed_in(&authorizer, &at, &who, tokens.renewal.scope.as_deref()).await;
    let scope = claims(tokens.access.expose()).unwrap()["scope"].clone();
    assert_eq!(scope, json!("files:read files:write"));
}

#[tokio::test]
async fn a_configured_client_is_used_at_its_own_issuer_only() {
    let mut provider = Provider::start();
    let peer = protected(provider.issuer.clone()).await;
    provider.gives_tokens_for(&peer.url);
    let challenge = challenge_of(&peer.url).await;
    let authorizer = authorizer(Arc::new(RealClock), None);
    let configured = |issuer: &str| ClientIdentity {
        issuer: issuer.into(),
        client_id: "configured".into(),
        auth: ClientAuth::ClientSecretBasic,
        secret: Some(Secret::new("the-clients-secret")),
    };
    let at = authorizer.discover(&peer.url, &challenge, Some(&provider.issuer)).await.unwrap();
    let who = authorizer.client(&at, &[configured(&provider.issuer)]).await.unwrap();
    assert_eq!(who.client_id, "configured");
    let tokens = signed_in(&authorizer, &at, &who, None).await;
    let renewed = authorizer.refresh(&tokens.renewal, &tokens.refresh.unwrap(), who.secret.as_ref()).await.unwrap();
    assert!(claims(renewed.access.expose()).is_some());
    let other = authorizer.client(&at, &[configured("https://other.example.com")]).await.unwrap();
    assert_ne!(other.client_id, "configured", "what one issuer gave is not shown to another");
    let wrong = authorizer.discover(&peer.url, &challenge, Some("https://other.example.com")).await.unwrap_err();
    assert!(matches!(wrong, OauthError::Misconfigured(_)), "{wrong:?}");
}

/// A server that is its own authorization server, with these differences from a proper one.
async fn scripted(metadata: Value, resource: Value, token: impl Fn(&Seen) -> Say + Send + Sync + 'static) -> Peer {
    Peer::start(move |seen| {
        let own = format!("http://{}", seen.headers["host"]);
        let merged = |mut base: Value, more: &Value| {
            for (key, value) in more.as_object().unwrap() {
                base[key] = value.clone();
            }
            Say::Json(base)
        };
        match seen.path.as_str() {
            "/.well-known/oauth-protected-resource/mcp" if resource.is_null() => {
                Say::Status(404, vec![], String::new())
            }
            "/.well-known/oauth-protected-resource/mcp" => {
                merged(json!({ "resource": format!("{own}/mcp"), "authorization_servers": [own] }), &resource)
            }
            "/.well-known/oauth-authorization-server" if metadata.is_null() => {
                Say::Status(302, vec![("location", "http://169.254.169.254/".into())], String::new())
            }
            "/.well-known/oauth-authorization-server" => merged(
                json!({
                    "issuer": own, "authorization_endpoint": format!("{own}/authorize"),
                    "token_endpoint": format!("{own}/token"), "code_challenge_methods_supported": ["S256"],
                    "registration_endpoint": format!("{own}/register"),
                    "authorization_response_iss_parameter_supported": true,
                }),
                &metadata,
            ),
            "/token" | "/register" => token(seen),
            _ => Say::Status(404, vec![], String::new()),
        }
    })
    .await
}

fn nothing(_: &Seen) -> Say {
    Say::Status(500, vec![], String::new())
}

async fn discovered(peer: &Peer) -> Result<Discovery, OauthError> {
    let challenge = Challenge { status: 401, resource_metadata: None, scope: None, error: None };
    authorizer(Arc::new(RealClock), None).discover(&peer.url, &challenge, None).await
}

#[tokio::test]
async fn documents_about_somebody_else_are_refused() {
    for (what, metadata, resource) in [
        ("another issuer", json!({ "issuer": "https://evil.example.com" }), json!({})),
        ("no PKCE", json!({ "code_challenge_methods_supported": ["plain"] }), json!({})),
        ("PKCE not named", json!({ "code_challenge_methods_supported": null }), json!({})),
        ("no endpoint", json!({ "token_endpoint": 7 }), json!({})),
        ("a script", json!({ "authorization_endpoint": "javascript:alert(1)" }), json!({})),
        ("a redirect", Value::Null, json!({})),
        ("another resource", json!({}), json!({ "resource": "https://mcp.example.com/mcp" })),
        ("no issuer", json!({}), json!({ "authorization_servers": [] })),
        ("many issuers", json!({}), json!({ "authorization_servers": vec!["x"; 100] })),
    ] {
        let peer = scripted(metadata, resource, nothing).await;
        let error = discovered(&peer).await.unwrap_err();
        assert!(matches!(error, OauthError::Refused(_)), "{what}: {error:?}");
    }
    // Before 2025-06-18 there were no documents of resources.
    let old = scripted(json!({}), Value::Null, nothing).await;
    assert_eq!(discovered(&old).await.unwrap().resource, old.url.as_str());
    let challenge = Challenge {
        resource_metadata: Some(old.url.join("/nothing").unwrap()),
        ..Challenge { status: 401, resource_metadata: None, scope: None, error: None }
    };
    let error = authorizer(Arc::new(RealClock), None).discover(&old.url, &challenge, None).await.unwrap_err();
    assert!(matches!(error, OauthError::Refused(_)), "{error:?}");
}

#[tokio::test]
async fn our_metadata_document_names_us_where_it_is_taken() {
    let peer = scripted(json!({ "client_id_metadata_document_supported": true }), json!({}), nothing).await;
    let at = discovered(&peer).await.unwrap();
    let document = "https://bailiwick.example.com/bailiwick/v1/oauth/client.json";
    let ours = OurClient {
        name: "Bailiwick".into(),
        redirect_uri: Url::parse("https://bailiwick.example.com/return").unwrap(),
        document_url: Some(Url::parse(document).unwrap()),
    };
    let said = ours.document().unwrap();
    assert_eq!((&said["client_id"], &said["application_type"]), (&json!(document), &json!("web")));
    assert_eq!(said["redirect_uris"], json!(["https://bailiwick.example.com/return"]));
    let named = authorizer(Arc::new(RealClock), Some(document)).client(&at, &[]).await.unwrap();
    assert_eq!((named.client_id.as_str(), named.auth), (document, ClientAuth::None));
    // One that others cannot reach is no name: a client is registered, and here that goes wrong.
    let error = authorizer(Arc::new(RealClock), Some("http://127.0.0.1:9/x")).client(&at, &[]).await.unwrap_err();
    assert!(matches!(error, OauthError::Misconfigured(_)), "{error:?}");
    let closed = scripted(json!({ "registration_endpoint": null }), json!({}), nothing).await;
    let at = discovered(&closed).await.unwrap();
    let error = authorizer(Arc::new(RealClock), None).client(&at, &[]).await.unwrap_err();
    assert!(error.to_string().contains(RETURN), "it says what to register: {error}");
}

#[tokio::test]
async fn an_answer_that_is_not_ours_is_not_used() {
    let peer = scripted(json!({}), json!({}), nothing).await;
    let at = discovered(&peer).await.unwrap();
    let clock = ManualClock::new(Timestamp::from_millis(1_800_000_000_000));
    let authorizer = authorizer(Arc::new(clock.clone()), None);
    let who = ClientIdentity { issuer: at.issuer.clone(), client_id: "c".into(), auth: ClientAuth::None, secret: None };
    let (url, pending) = authorizer.begin(&at, &who, None);
    let sent: BTreeMap<String, String> = url.query_pairs().into_owned().collect();
    assert_eq!((sent["resource"].as_str(), sent["code_challenge_method"].as_str()), (peer.url.as_str(), "S256"));
    assert!(!format!("{pending:?}").contains(&sent["state"]));
    let good = Returned {
        state: sent["state"].clone(),
        code: Some(Secret::new("c0de")),
        iss: Some(at.issuer.clone()),
        ..Returned::default()
    };
    for (what, returned) in [
        ("another state", Returned { state: "x".into(), ..good.clone() }),
        ("another sender", Returned { iss: Some(format!("{}/", at.issuer)), ..good.clone() }),
        ("no sender", Returned { iss: None, ..good.clone() }),
        ("a refusal", Returned { error: Some("access_denied".into()), ..good.clone() }),
        ("no code", Returned { code: None, ..good.clone() }),
    ] {
        let error = authorizer.finish(&pending, &returned, None).await.unwrap_err();
        assert!(matches!(&error, OauthError::NeedsPerson(_)), "{what}: {error:?}");
    }
    let evil = Returned {
        iss: Some("https://evil.example.com".into()),
        error: Some("x".into()),
        error_description: Some("call 555".into()),
        ..good.clone()
    };
    assert!(!authorizer.finish(&pending, &evil, None).await.unwrap_err().to_string().contains("555"));
    let asked = || peer.seen().iter().filter(|seen| seen.path == "/token").count();
    assert_eq!(asked(), 0, "no code is shown to anybody");
    clock.advance(Millis::from_secs(3_601));
    assert!(authorizer.finish(&pending, &good, None).await.unwrap_err().to_string().contains("too long"));
    assert_eq!(asked(), 0);
}

#[tokio::test]
async fn token_answers_that_break_the_rules_are_refused() {
    let good = json!({ "access_token": "a", "token_type": "bearer", "expires_in": "60" });
    let with = |key: &str, value: Value| {
        let mut answer = good.clone();
        answer[key] = value;
        (200, answer)
    };
    let error = |status: u16, error: &str| (status, json!({ "error": error, "error_description": "no\nno" }));
    type Kind = fn(&OauthError) -> bool;
    let refused: Kind = |error| matches!(error, OauthError::Refused(_));
    let person: Kind = |error| matches!(error, OauthError::NeedsPerson(_));
    let wrong: Kind = |error| matches!(error, OauthError::Misconfigured(_));
    let later: Kind = |error| matches!(error, OauthError::Unavailable(_));
    let cases: Vec<((u16, Value), Kind)> = vec![
        (with("token_type", json!("mac")), refused),
        (with("access_token", json!("a\r\nHost: evil")), refused),
        (with("access_token", json!("a".repeat(20_000))), refused),
        (with("refresh_token", json!("ä")), refused),
        ((200, json!({})), refused),
        (error(400, "invalid_grant"), person),
        (error(401, "invalid_client"), wrong),
        (error(400, "invalid_target"), wrong),
        (error(503, "temporarily_unavailable"), later),
    ];
    let said = Arc::new(Mutex::new((200, good.clone())));
    let answers = Arc::clone(&said);
    let peer = scripted(json!({}), json!({}), move |_| {
        let (status, answer) = answers.lock().unwrap().clone();
        Say::Status(status, vec![("content-type", "application/json".into())], answer.to_string())
    })
    .await;
    let at = discovered(&peer).await.unwrap();
    let authorizer = authorizer(Arc::new(RealClock), None);
    let who = ClientIdentity {
        issuer: at.issuer.clone(),
        client_id: "c".into(),
        auth: ClientAuth::ClientSecretPost,
        secret: Some(Secret::new("s3cret")),
    };
    let (url, pending) = authorizer.begin(&at, &who, None);
    let state = url.query_pairs().find(|(name, _)| name == "state").unwrap().1.into_owned();
    let returned = Returned { state, code: Some(Secret::new("c0de")), iss: Some(at.issuer), ..Returned::default() };
    for (answer, kind) in cases {
        *said.lock().unwrap() = answer.clone();
        let error = authorizer.finish(&pending, &returned, who.secret.as_ref()).await.unwrap_err();
        assert!(kind(&error), "{answer:?}: {error:?}");
        assert!(!error.to_string().contains('\n') && !error.to_string().contains("s3cret"));
    }
    *said.lock().unwrap() = (200, good);
    let tokens = authorizer.finish(&pending, &returned, who.secret.as_ref()).await.unwrap();
    assert!(tokens.expires.is_some() && tokens.refresh.is_none());
    let sent = peer.seen().pop().unwrap().text;
    let sent: BTreeMap<String, String> = url::form_urlencoded::parse(sent.as_bytes()).into_owned().collect();
    assert_eq!((sent["client_secret"].as_str(), sent["resource"].as_str()), ("s3cret", peer.url.as_str()));
    assert!(sent["code_verifier"].len() >= 43);
    let missing = authorizer.finish(&pending, &returned, None).await.unwrap_err();
    assert!(matches!(missing, OauthError::Misconfigured(_)));
}

#[tokio::test]
async fn an_identity_provider_vouches_for_a_person() {
    let answers = |seen: &Seen| {
        let form: BTreeMap<String, String> = url::form_urlencoded::parse(seen.text.as_bytes()).into_owned().collect();
        let own = format!("http://{}", seen.headers["host"]);
        let json = |status: u16, body: Value| {
            Say::Status(status, vec![("content-type", "application/json".into())], body.to_string())
        };
        match (form["grant_type"].rsplit(':').next().unwrap(), form.get("subject_token").map(String::as_str)) {
            ("token-exchange", Some("ada")) => {
                assert_eq!((form["audience"].as_str(), form["resource"].clone()), (own.as_str(), format!("{own}/mcp")));
                assert!(seen.headers["authorization"].starts_with("Basic "));
                let kind = "urn:ietf:params:oauth:token-type:id-jag";
                json(200, json!({ "issued_token_type": kind, "access_token": "assertion", "token_type": "N_A" }))
            }
            ("token-exchange", Some("other kind")) => json(200, json!({ "access_token": "x", "token_type": "Bearer" })),
            ("token-exchange", Some("old")) => json(400, json!({ "error": "invalid_grant" })),
            ("token-exchange", _) => json(400, json!({ "error": "access_denied" })),
            _ => {
                assert_eq!((form["assertion"].as_str(), form["client_id"].as_str()), ("assertion", "c"));
                assert!(!seen.text.contains("ada"), "what signs somebody in here goes to nobody else");
                json(200, json!({ "access_token": "token", "token_type": "Bearer", "expires_in": 60 }))
            }
        }
    };
    let peer = scripted(json!({}), json!({}), answers).await;
    let at = discovered(&peer).await.unwrap();
    let authorizer = authorizer(Arc::new(RealClock), None);
    let provider = IdentityProvider {
        token_endpoint: at.token_endpoint.clone(),
        client_id: "us".into(),
        auth: ClientAuth::ClientSecretBasic,
        secret: Some(Secret::new("s")),
    };
    let who = ClientIdentity { issuer: at.issuer.clone(), client_id: "c".into(), auth: ClientAuth::None, secret: None };
    let asked = async |person: &str| authorizer.by_identity(&provider, &Secret::new(person), &at, &who).await;
    assert_eq!(asked("ada").await.unwrap().access.expose(), "token");
    assert!(matches!(asked("old").await, Err(OauthError::NeedsPerson(_))));
    assert!(matches!(asked("mallory").await, Err(OauthError::Misconfigured(_))));
    assert!(matches!(asked("other kind").await, Err(OauthError::Refused(_))));
}
