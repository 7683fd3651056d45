//! A credential whose access token ends is renewed at a real token endpoint, for a real call, through restarts; and when
//! that is over, the answer says to connect it again. One that is bound to a key opens its system with our proofs only.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests")]

mod browser;
mod support;

use bailiwick_testkit::model_server::{Answer, Behaviour, ModelServer, Seen};
use browser::{Browser, Provider};
use serde_json::{Value, json};
use support::{Place, post};

/// Where the provider sends browsers back to; nobody listens there.
const HERE: &str = "http://127.0.0.1:9";
const CALLBACK: &str = "http://127.0.0.1:9/bailiwick/v1/sign-in/provider/return";
const FIRST: &str = "the-first-access-token";
/// RFC 7636, appendix B.
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
const LONG_AGO: &str = "2020-01-01T00:00:00Z";

const SHARED: &str = "@id(\"shared-keys\") permit (principal, action == Action::\"vault.use\", resource) \
    when { resource.scope == \"shared\" };";

fn hello(_: &Seen) -> Behaviour {
    Behaviour::Answer(Answer::text("Hello.".to_owned()))
}

/// A refresh token of somebody who signed in at the provider.
async fn refresh_token(idp: &Provider) -> String {
    let query = format!(
        "client_id=bailiwick&response_type=code&scope=openid%20offline_access&prompt=consent&redirect_uri={CALLBACK}\
         &state=s&nonce=n&code_challenge={CHALLENGE}&code_challenge_method=S256"
    );
    let mut browser = Browser::new();
    let back = browser.sent_to(&format!("{}/auth?{query}", idp.issuer), "ada", CALLBACK).await;
    let code = back.query_pairs().find(|(name, _)| name == "code").unwrap().1.into_owned();
    let form = format!("grant_type=authorization_code&code={code}&redirect_uri={CALLBACK}&code_verifier={VERIFIER}");
    let asked = browser.http.post(format!("{}/token", idp.issuer)).basic_auth("bailiwick", Some("the-clients-secret"));
    let asked = asked.header("content-type", "application/x-www-form-urlencoded").body(form);
    let tokens: Value = asked.send().await.unwrap().json().await.unwrap();
    tokens["refresh_token"].as_str().unwrap_or_else(|| panic!("{tokens}")).to_owned()
}

fn ask(place: &Place, path: &str, body: &Value) -> Value {
    let answer = post(&place.data(), path, &body.to_string());
    serde_json::from_str(&answer).unwrap_or_else(|error| panic!("{error}: {answer}"))
}

fn bearers(model: &ModelServer) -> Vec<String> {
    let kept = model.kept();
    kept.iter().map(|kept| kept.headers["authorization"].to_str().unwrap().replace("Bearer ", "")).collect()
}

fn run(place: &Place) -> support::Ended {
    place.client(&["run", "say hello", "--model", "main", "--json"])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_access_token_that_has_ended_is_renewed_once_and_kept_before_it_is_used() {
    let model = ModelServer::start(hello).await;
    let mut idp = Provider::start();
    idp.knows_url(HERE);
    let place = Place::new();
    place.write(
        "bailiwick.toml",
        &format!(
            "[models.main]\nprovider = \"openai-responses\"\nbase_url = \"{}\"\nmodel = \"fake\"\nretries = 0\n\
             credential = \"provider\"\n[vaults]\nprivate_network = true\n",
            model.base_url()
        ),
    );
    let server = place.serve();
    let starter = place.client(&["policy", "show"]).good().stdout;
    place.write("mine.cedar", &format!("{starter}\n{SHARED}"));
    place.client(&["policy", "apply", "mine.cedar", "--reason", "Models have shared keys"]).good();
    let vault = ask(&place, "/v1/vaults", &json!({}))["id"].as_str().unwrap().to_owned();
    let refresh = json!({
        "client_id": "bailiwick", "refresh_token": refresh_token(&idp).await,
        "token_endpoint": format!("{}/token", idp.issuer),
        "token_endpoint_auth": {"type": "client_secret_basic", "client_secret": "the-clients-secret"},
    });
    let made = ask(
        &place,
        &format!("/v1/vaults/{vault}/credentials"),
        &json!({"name": "provider", "auth": {
            "type": "mcp_oauth", "mcp_server_url": model.base_url(), "access_token": FIRST, "expires_at": LONG_AGO,
            "refresh": refresh,
        }}),
    );
    let id = made["id"].as_str().unwrap_or_else(|| panic!("{made}")).to_owned();
    let credential = format!("/v1/vaults/{vault}/credentials/{id}");
    let end = || ask(&place, &credential, &json!({"auth": {"type": "mcp_oauth", "expires_at": LONG_AGO}}));

    run(&place).good();
    let renewed = bearers(&model).pop().unwrap();
    assert_ne!(renewed, FIRST);
    // It is what the provider gave: it opens its user-info endpoint.
    let http = Browser::new().http;
    let me = http.get(format!("{}/me", idp.issuer)).bearer_auth(&renewed).send().await.unwrap();
    assert_eq!(me.json::<Value>().await.unwrap()["sub"], "ada");
    run(&place).good();
    assert_eq!(bearers(&model).last(), Some(&renewed), "it is good for a while");

    // Many at once ask once: a refresh token that comes twice ends them all at this provider.
    assert_eq!(end()["id"], json!(id));
    let before = bearers(&model).len();
    std::thread::scope(|scope| {
        let all: Vec<_> = (0..4).map(|_| scope.spawn(|| run(&place).code)).collect();
        assert!(all.into_iter().all(|one| one.join().unwrap() == 0));
    });
    let used = bearers(&model).split_off(before);
    assert!(used.len() == 4 && used.iter().all(|one| *one == used[0]) && used[0] != renewed, "{used:?}");

    // What was given is on disk: another process renews with it.
    server.kill();
    let _server = place.serve();
    end();
    run(&place).good();
    assert!(!used.contains(bearers(&model).last().unwrap()));
    let changes = place.client(&["audit", "changes", "--json"]).good().stdout;
    assert_eq!(changes.matches("credential.renewed").count(), 3, "{changes}");
    for secret in bearers(&model) {
        assert!(!changes.contains(&secret) && !place.log().contains(&secret));
    }

    // Once the provider renews it no more, nothing is sent, and the reason says what to do.
    let auth = json!({"type": "mcp_oauth", "expires_at": LONG_AGO, "refresh": {"refresh_token": "nothing-of-yours"}});
    ask(&place, &credential, &json!({"auth": auth}));
    let before = bearers(&model).len();
    let failed = run(&place);
    assert!(failed.code != 0 && bearers(&model).len() == before, "{failed:?}");
    assert!(format!("{failed:?}").contains("connect it again"), "{failed:?}");
}

/// The provider's own user-info endpoint is the system: it takes a bound token with a proof of the very request, with a
/// word in it that it has said before, and in no other way.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_that_is_bound_to_a_key_opens_its_system_with_our_proof_and_with_nothing_less() {
    let looks = |seen: &Seen| match seen.results_since_user {
        0 => Behaviour::Answer(Answer::call("who__me", "{}".to_owned())),
        _ => Behaviour::Answer(Answer::text("Done.".to_owned())),
    };
    let model = ModelServer::start(looks).await;
    let mut idp = Provider::start();
    idp.knows_url(HERE);
    let place = Place::new();
    // The model's key is the same credential, so that the test sees the token.
    place.write(
        "bailiwick.toml",
        &format!(
            "[models.main]\nprovider = \"openai-responses\"\nbase_url = \"{}\"\nmodel = \"fake\"\nretries = 0\n\
             credential = \"account\"\n[vaults]\nprivate_network = true\n",
            model.base_url()
        ),
    );
    let _server = place.serve();
    let starter = place.client(&["policy", "show"]).good().stdout;
    place.write("mine.cedar", &format!("{starter}\n{SHARED}"));
    place.client(&["policy", "apply", "mine.cedar", "--reason", "Models have shared keys"]).good();
    let vault = ask(&place, "/v1/vaults", &json!({}))["id"].as_str().unwrap().to_owned();
    let refresh = json!({
        "client_id": "bailiwick", "refresh_token": refresh_token(&idp).await,
        "token_endpoint": format!("{}/token", idp.issuer),
        "token_endpoint_auth": {"type": "client_secret_basic", "client_secret": "the-clients-secret"},
        "dpop_bound_access_tokens": true,
    });
    let auth = json!({
        "type": "mcp_oauth", "mcp_server_url": idp.issuer, "access_token": FIRST, "expires_at": LONG_AGO,
        "refresh": refresh,
    });
    let made = ask(&place, &format!("/v1/vaults/{vault}/credentials"), &json!({"name": "account", "auth": auth}));
    assert_eq!(made["auth"]["refresh"]["dpop_bound_access_tokens"], true, "{made}");
    let document = json!({"openapi": "3.1.0", "info": {"title": "Who", "version": "1"},
        "components": {"securitySchemes": {"account": {"type": "http", "scheme": "bearer"}}},
        "security": [{"account": []}],
        "paths": {"/me": {"get": {"operationId": "me", "responses": {"200": {"description": "Who it is."}}}}}});
    place.write(
        "connectors.toml",
        &format!(
            "[who]\nkind = \"openapi\"\ninside = true\ncredential = {{ name = \"account\" }}\n[who.settings]\n\
             base_url = \"{}\"\nplain_http = true\ndocument = {{ text = '{document}' }}\n",
            idp.issuer
        ),
    );
    place.client(&["connector", "apply", "-f", "connectors.toml", "--reason", "A test"]).good();
    place.write("agent.toml", "name = \"clerk\"\nmodel = \"main\"\n[[bailiwick.connectors]]\nname = \"who\"\n");
    place.client(&["agent", "apply", "-f", "agent.toml"]).good();

    let done = place.client(&["run", "Who is it?", "--agent", "clerk", "--json"]).good().json().to_string();
    let told = String::from_utf8_lossy(&model.kept().last().unwrap().body).into_owned();
    let plain: String = told.chars().filter(|letter| !matches!(letter, '\\' | ' ')).collect();
    assert!(plain.contains(r#""sub":"ada""#), "{told}");
    // Whoever has the token alone has nothing.
    let token = bearers(&model).pop().unwrap();
    assert_ne!(token, FIRST);
    let me = |scheme: &str| {
        let asked = Browser::new().http.get(format!("{}/me", idp.issuer));
        asked.header("authorization", format!("{scheme} {token}")).send()
    };
    for scheme in ["Bearer", "DPoP"] {
        assert!(me(scheme).await.unwrap().status().is_client_error(), "{scheme}");
    }
    assert!(!done.contains(&token) && !told.contains(&token) && !place.log().contains(&token));
}
