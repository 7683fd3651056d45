//! People connect accounts of their own at a real authorization server, for an MCP server that takes its tokens only:
//! what needs an account waits for exactly that person, through restarts, and goes on by itself.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests start real servers")]

mod browser;
mod support;

use browser::Browser;
use reqwest::{StatusCode, Url, header};
use serde_json::{Value, json};
use std::{
    io::{BufRead as _, BufReader, Write as _},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};
use support::{
    Place, Server,
    person::{PASSWORD, Person},
    wait_for,
};

const SCENARIO: &str = r#"
[[turn]]
[[turn.step]]
[[turn.step.call]]
tool = "crm__whoami"
as = "who"
arguments = {}

[[turn.step]]
say = "It said: {{ result who }}"
"#;

const AGENT: &str = "name = \"clerk\"\nmodel = \"main\"\n[[bailiwick.connectors]]\nname = \"crm\"\nrequired = true\n";

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// A script of ours in Node. It ends with the test.
struct Script {
    child: Child,
    lines: BufReader<std::process::ChildStdout>,
    url: String,
}

impl Script {
    fn start(script: &str, more: &[&str]) -> Self {
        let module = repository().join("target/tools/oidc-provider/node_modules/oidc-provider/lib/index.js");
        assert!(module.exists(), "run .ci/fetch-tools.sh oidc-provider first");
        let mut command = Command::new("node");
        command.args([repository().join(script), module]).args(more);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap());
        let mut port = String::new();
        lines.read_line(&mut port).unwrap();
        Self { child, lines, url: format!("http://127.0.0.1:{}", port.trim()) }
    }

    /// What it reads, and what it says to that.
    fn tell(&mut self, line: &str) {
        writeln!(self.child.stdin.as_mut().unwrap(), "{line}").unwrap();
        let mut answer = String::new();
        self.lines.read_line(&mut answer).unwrap();
    }
}

impl Drop for Script {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The system, its authorization server, and an organisation with two people and an agent.
struct World {
    place: Place,
    server: Option<Server>,
    system: Script,
    issuer: Script,
    agent: String,
    ada: Person,
    bob: Person,
}

impl World {
    fn new() -> Self {
        let mut issuer = Script::start("tests/oidc/mcp.mjs", &[]);
        let system = Script::start("tests/mcp/accounts.mjs", &[&issuer.url]);
        issuer.tell(&format!("{}/mcp", system.url));
        let place = Place::with_scenario(SCENARIO);
        let models = "[models.main]\nprovider = \"rehearsal\"\nscenario = \"scenario.toml\"\n";
        place.write("bailiwick.toml", &format!("{models}[vaults]\nprivate_network = true\n"));
        let server = place.serve();
        let crm = format!(
            "[crm]\nkind = \"mcp\"\ndescription = \"Customers\"\ninside = true\npublished = true\n\
             settings = {{ transport = {{ type = \"http\", url = \"{}/mcp\" }}, oauth = {{ issuer = \"{}\" }} }}\n\
             credential = {{ account = true }}\neffects = {{ whoami = \"read\" }}\n",
            system.url, issuer.url
        );
        place.write("connectors.toml", &crm);
        place.client(&["connector", "apply", "-f", "connectors.toml"]).good();
        place.write("agent.toml", AGENT);
        let agent = place.client(&["agent", "apply", "-f", "agent.toml", "--json"]).good().json();
        let agent = agent["agent"]["id"].as_str().unwrap().to_owned();
        let ada = Person::join(&place, &server, "Ada Lovelace", "ada", &[]);
        let bob = Person::join(&place, &server, "Bob Boole", "bob", &[]);
        Self { place, server: Some(server), system, issuer, agent, ada, bob }
    }

    fn url(&self) -> &str {
        &self.server.as_ref().unwrap().url
    }

    /// As in a crash.
    fn restart(&mut self) {
        self.server.take().unwrap().kill();
        let server = self.place.serve();
        self.ada.moved_to(&server);
        self.bob.moved_to(&server);
        self.server = Some(server);
    }

    fn asks(&self, who: &Person) -> String {
        let body = json!({"agent_id": self.agent, "environment": {"type": "none"}, "input": "Who am I there?"});
        let begun = who.post("/v1/agents/sessions", &body);
        begun["id"].as_str().unwrap_or_else(|| panic!("{begun}")).to_owned()
    }

    fn session(&self, id: &str) -> Value {
        self.place.client(&["session", "show", id, "--json"]).good().json()["session"].clone()
    }

    /// What a session of a person waits for, once it does.
    fn wants(&self, session: &str) -> Value {
        wait_for("the session to wait", || {
            let shown = self.session(session);
            let waits = shown["status"] == "requires_action";
            assert!(shown["status"] != "failed", "{shown}");
            waits.then(|| shown["bailiwick"]["approvals"][0].clone())
        })
    }

    /// The link that a session shows, as its person reaches this server.
    fn link(&self, session: &str) -> String {
        let shown = self.wants(session)["account"]["url"].as_str().unwrap().to_owned();
        let (_, path) = shown.split_once("/bailiwick/").unwrap();
        format!("{}/bailiwick/{path}", self.url())
    }

    /// What the agent said at the end of a session.
    fn said(&self, session: &str) -> String {
        wait_for("the session to end", || {
            let shown = self.session(session);
            (shown["status"] == "idle" && shown["bailiwick"]["turn_id"].is_null()).then_some(())
        });
        self.place.client(&["session", "show", session, "--json"]).good().json()["items"].to_string()
    }

    /// A browser in which somebody is signed in here.
    async fn browser_of(&self, login: &str) -> Browser {
        let mut browser = Browser::new();
        let url = Url::parse(&format!("{}/bailiwick/v1/sign-in", self.url())).unwrap();
        let body = json!({"login": login, "password": PASSWORD, "medium": "browser"}).to_string();
        let sent = browser.http.post(url.clone()).header(header::CONTENT_TYPE, "application/json").body(body);
        let answer = sent.send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        for set in answer.headers().get_all(header::SET_COOKIE) {
            let (name, value) = set.to_str().unwrap().split(';').next().unwrap().split_once('=').unwrap();
            let place = format!("{}:{}", url.host_str().unwrap(), url.port().unwrap());
            browser.cookies.insert((place, name.to_owned()), value.to_owned());
        }
        browser
    }

    async fn opens(&self, browser: &mut Browser, link: &str) -> (StatusCode, String) {
        let answer = browser.send(&Url::parse(link).unwrap(), None).await;
        (answer.status(), answer.text().await.unwrap())
    }

    fn returns(&self) -> String {
        format!("{}/bailiwick/v1/connections/crm/return", self.url())
    }
}

/// Signs in at the authorization server and says no there.
async fn refuses(browser: &mut Browser, link: &str, login: &str) -> (StatusCode, String) {
    let mut url = Url::parse(link).unwrap();
    let mut form: Option<String> = None;
    for _ in 0..20 {
        let answer = browser.send(&url, form.take().as_deref()).await;
        if answer.status().is_redirection() {
            url = url.join(answer.headers()[header::LOCATION].to_str().unwrap()).unwrap();
            continue;
        }
        let (status, page) = (answer.status(), answer.text().await.unwrap());
        match page.split("name=\"prompt\" value=\"").nth(1).and_then(|rest| rest.split('"').next()) {
            Some("login") => form = Some(format!("prompt=login&login={login}&password=any")),
            Some(_) => url.set_path(&format!("{}/abort", url.path().trim_end_matches('/'))),
            None => return (status, page),
        }
    }
    panic!("the way has no end: {url}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_needs_an_account_waits_for_its_person_and_goes_on_by_itself() {
    let mut world = World::new();
    let (adas, bobs) = (world.asks(&world.ada), world.asks(&world.bob));
    let wanted = world.wants(&adas);
    assert_eq!((&wanted["rule"], &wanted["operation"]), (&json!("credential"), &json!("connector.open")), "{wanted}");
    assert_eq!(wanted["account"]["person_id"], json!(world.ada.id));
    let required = world.session(&adas)["required_actions"][0].clone();
    assert_eq!(required["type"], "mcp_approval_request");
    assert!(required["request"]["message"].as_str().unwrap().contains("/connections/crm/start?person="), "{required}");
    // A yes is no account.
    let approval = format!("/bailiwick/v1/approvals/{}", wanted["id"].as_str().unwrap());
    let said = world.ada.post(&approval, &json!({"decision": "approve"}));
    assert_eq!(said["error"]["code"], "account_missing", "{said}");

    world.restart();
    assert_eq!(world.wants(&adas)["id"], wanted["id"], "it waits through a crash");
    let link = world.link(&adas);
    let mut nobody = Browser::new();
    assert_eq!(world.opens(&mut nobody, &link).await.0, StatusCode::UNAUTHORIZED);
    let mut bob = world.browser_of("bob").await;
    let (status, text) = world.opens(&mut bob, &link).await;
    assert!(status == StatusCode::FORBIDDEN && text.contains("for somebody else"), "{status} {text}");
    let mut ada = world.browser_of("ada").await;
    let late = format!("{}&until=1000", link.split("&until=").next().unwrap());
    let (status, text) = world.opens(&mut ada, &late).await;
    assert!(status == StatusCode::CONFLICT && text.contains("link_expired"), "{status} {text}");

    // She says no there, and nothing comes of it but that she may try again.
    let (status, text) = refuses(&mut ada, &link, "ada-there").await;
    assert!(status == StatusCode::CONFLICT && text.contains("not_connected"), "{status} {text}");
    assert_eq!(world.wants(&adas)["id"], wanted["id"]);

    // What comes back in somebody else's browser connects nothing for them.
    let back = ada.sent_to(&link, "ada-there", &world.returns()).await;
    let journey = ada.cookies.iter().find(|((_, name), _)| name == "bailiwick-account").unwrap();
    let (place, cookie) = (journey.0.clone(), journey.1.clone());
    bob.cookies.insert(place.clone(), cookie.clone());
    let (status, text) = world.opens(&mut bob, back.as_str()).await;
    assert!(status == StatusCode::CONFLICT && text.contains("under way"), "{status} {text}");
    // An answer that another server claims to have given is none.
    let mut mixed = back.clone();
    let pairs: Vec<(String, String)> = back.query_pairs().into_owned().filter(|(name, _)| name != "iss").collect();
    mixed.query_pairs_mut().clear().extend_pairs(pairs).append_pair("iss", "https://evil.example.com");
    let (status, text) = world.opens(&mut ada, mixed.as_str()).await;
    assert!(status == StatusCode::CONFLICT && text.contains("another server"), "{status} {text}");
    // That journey is over, whatever comes of it now.
    ada.cookies.insert(place.clone(), cookie);
    let (status, text) = world.opens(&mut ada, back.as_str()).await;
    assert!(status == StatusCode::CONFLICT && text.contains("used already"), "{status} {text}");

    let (_, status, text) = ada.follow(&link, "ada-there").await;
    assert!(status == StatusCode::OK && text.starts_with("Your account at 127.0.0.1 is connected."), "{status} {text}");
    assert!(world.said(&adas).contains("the account of ada-there"));
    // Nobody else has it.
    assert_eq!(world.wants(&bobs)["account"]["person_id"], json!(world.bob.id));
    assert!(world.bob.client(&["connector", "accounts"]).good().stdout.contains(" no "));

    // It is there after a restart, and is renewed by itself: its tokens are good for a minute.
    world.restart();
    let again = world.asks(&world.ada);
    assert!(world.said(&again).contains("the account of ada-there"));
    let printed = world.bob.client(&["connector", "connect", "crm"]).good().stdout;
    let own = printed.lines().find_map(|line| line.strip_prefix("  http")).map(|rest| format!("http{rest}")).unwrap();
    let mut bob = world.browser_of("bob").await;
    let (_, status, text) = bob.follow(&own, "bob-there").await;
    assert_eq!(status, StatusCode::OK, "{text}");
    assert!(world.said(&bobs).contains("the account of bob-there"), "a link of the command line does it, too");

    // Every use is on a receipt, and no secret is anywhere.
    wait_for("the receipts", || {
        let receipts = world.place.client(&["session", "show", &again, "--json"]).good().json()["receipts"].to_string();
        receipts.contains("cred_").then_some(())
    });
    let gone = world.ada.client(&["connector", "disconnect", "crm"]).good().stdout;
    assert!(gone.contains("ended there, too"), "{gone}");
    let waits = world.asks(&world.ada);
    let wanted = world.wants(&waits);
    let denied = world
        .ada
        .post(&format!("/bailiwick/v1/approvals/{}", wanted["id"].as_str().unwrap()), &json!({"decision": "deny"}));
    assert_eq!(denied["decision"], "deny", "{denied}");
    wait_for("the turn to fail", || {
        let shown = world.session(&waits);
        (shown["status"] != "requires_action" && shown["bailiwick"]["turn_id"].is_null()).then_some(())
    });
    let foreign = Browser::new().http.get(format!("{}/foreign", world.system.url)).send().await.unwrap();
    assert_eq!(foreign.text().await.unwrap(), "0", "no token but its own was ever shown to it");
    let log = world.place.log();
    assert!(!log.contains("eyJ"), "a token is in the log");
    let changes = world.place.client(&["audit", "changes", "--json"]).good().stdout;
    assert!(changes.contains("credential.created") && !changes.contains("eyJ"));
    drop(world.issuer);
}
