//! People sign in for real: at the command line with a password, and in a browser at a certified OpenID provider.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests")]

mod support;

use reqwest::{Client, Response, StatusCode, Url, header};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    io::{BufRead as _, BufReader, Write as _},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
};
use support::{Ended, Place, Server, command};

const PASSWORD: &str = "seven grey herons at dusk";

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// A command of somebody with a home of their own, who answers its questions.
fn asked(place: &Place, arguments: &[&str], answers: &str) -> Ended {
    let mut child = command(arguments)
        .env("HOME", place.text("home"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(answers.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Ended { code: output.status.code().unwrap_or(-1), stdout: text(output.stdout), stderr: text(output.stderr) }
}

#[test]
fn a_person_is_added_chooses_a_password_and_works_at_the_command_line() {
    let place = Place::with_scenario("[[turn]]\n[[turn.step]]\nsay = \"Hello.\"\n");
    let server = place.serve();
    let url = server.url.as_str();
    place.client(&["team", "create", "Ledger"]).good();
    let made = place.client(&[
        "user",
        "create",
        "Ada Lovelace",
        "--login",
        "ada",
        "--role",
        "builder",
        "--team",
        "ledger",
        "--json",
    ]);
    let code = made.good().json()["set_up"]["code"].as_str().unwrap().to_owned();

    let nobody = asked(&place, &["session", "list", "--server", url], "");
    assert_eq!(nobody.code, 4, "{nobody:?}");
    let unlike =
        asked(&place, &["login", "--set-up", "--server", url], &format!("{code}\n{PASSWORD}\nanother password\n"));
    assert_eq!(unlike.code, 2, "{unlike:?}");
    let set_up =
        asked(&place, &["login", "--set-up", "--server", url], &format!("{code}\n{PASSWORD}\n{PASSWORD}\n")).good();
    assert!(set_up.stdout.starts_with("signed in as Ada Lovelace at http://127.0.0.1:"), "{set_up:?}");
    let kept = place.path("home").join(".config/bailiwick/logins.json");
    assert_eq!(
        std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&kept).unwrap().permissions()) & 0o777,
        0o600
    );

    place.write("agent.toml", "name = \"ledger\"\nmodel = \"main\"\n");
    let file = place.text("agent.toml");
    asked(&place, &["agent", "apply", "-f", &file, "--server", url], "").good();
    let listed = asked(&place, &["agent", "list", "--server", url], "").good().stdout;
    assert!(listed.contains("active") && listed.contains("user_"), "{listed}");
    assert_eq!(asked(&place, &["key", "list", "--server", url], "").code, 5, "a builder sees no keys");

    asked(&place, &["logout", "--server", url], "").good();
    assert_eq!(asked(&place, &["agent", "list", "--server", url], "").code, 4);
    let again = asked(&place, &["login", "--login", "ada", "--server", url], "a wrong password\n");
    assert_eq!(again.code, 4, "{again:?}");
    asked(&place, &["login", "--server", url], &format!("ada\n{PASSWORD}\n")).good();

    // Who leaves is out, and nobody answers for their agent.
    place.client(&["user", "disable", "ada"]).good();
    let out = asked(&place, &["agent", "list", "--server", url], "");
    assert_eq!(out.code, 4, "{out:?}");
    let orphans = place.client(&["agent", "list", "--orphaned"]).good().stdout;
    assert!(orphans.contains("ledger") && orphans.contains("suspended"), "{orphans}");

    // The directory is what it was after a restart.
    drop(server);
    let server = place.serve();
    let users = place.client(&["user", "list", "--json"]).good().json();
    assert_eq!(users["users"][0]["status"], "disabled");
    assert_eq!(asked(&place, &["login", "--login", "ada", "--server", &server.url], &format!("{PASSWORD}\n")).code, 4);
    let text = std::fs::read(place.path("data").join("bailiwick.db")).unwrap_or_default();
    for secret in ["herons", "Lovelace", "bws_", "bwu_"] {
        assert!(!text.windows(secret.len()).any(|window| window == secret.as_bytes()), "`{secret}` lies open on disk");
    }
}

/// The provider of `tests/oidc`. It ends with the test.
struct Provider {
    child: Child,
    stdin: ChildStdin,
    lines: BufReader<std::process::ChildStdout>,
    issuer: String,
}

impl Provider {
    fn start() -> Self {
        let module = repository().join("target/tools/oidc-provider/node_modules/oidc-provider/lib/index.js");
        assert!(module.exists(), "run .ci/fetch-oidc-provider.sh first");
        let script = repository().join("tests/oidc/provider.mjs");
        let mut child = Command::new("node")
            .args([&script, &module])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let stdin = child.stdin.take().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap());
        let mut port = String::new();
        lines.read_line(&mut port).unwrap();
        let issuer = format!("http://127.0.0.1:{}", port.trim());
        Self { child, stdin, lines, issuer }
    }

    fn knows(&mut self, server: &Server) {
        let url = &server.url;
        writeln!(self.stdin, "{url}/bailiwick/v1/sign-in/provider/return {url}/").unwrap();
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

/// As much of a browser as signing in needs: cookies for each server, and forms.
struct Browser {
    http: Client,
    cookies: BTreeMap<(String, String), String>,
}

impl Browser {
    fn new() -> Self {
        let http = Client::builder().redirect(reqwest::redirect::Policy::none()).no_proxy().build().unwrap();
        Self { http, cookies: BTreeMap::new() }
    }

    async fn send(&mut self, url: &Url, form: Option<&str>) -> Response {
        let place = format!("{}:{}", url.host_str().unwrap(), url.port().unwrap());
        let mine = self.cookies.iter().filter(|((at, _), _)| *at == place);
        let cookies: Vec<String> = mine.map(|((_, name), value)| format!("{name}={value}")).collect();
        let mut request = match form {
            Some(form) => self
                .http
                .post(url.clone())
                .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
                .body(form.to_owned()),
            None => self.http.get(url.clone()),
        };
        if !cookies.is_empty() {
            request = request.header(header::COOKIE, cookies.join("; "));
        }
        let response = request.send().await.unwrap();
        for set in response.headers().get_all(header::SET_COOKIE) {
            let text = set.to_str().unwrap();
            let (name, value) = text.split(';').next().unwrap().split_once('=').unwrap();
            let gone = text.to_lowercase().contains("max-age=0") || text.contains("1970");
            let key = (place.clone(), name.to_owned());
            if gone {
                self.cookies.remove(&key)
            } else {
                self.cookies.insert(key, value.to_owned())
            };
        }
        response
    }

    /// Goes on until a page answers, filling in the provider's forms on the way.
    async fn follow(&mut self, start: &str, login: &str) -> (Url, StatusCode, String) {
        let mut url = Url::parse(start).unwrap();
        let mut form: Option<String> = None;
        for _ in 0..20 {
            let response = self.send(&url, form.take().as_deref()).await;
            if response.status().is_redirection() {
                url = url.join(response.headers()[header::LOCATION].to_str().unwrap()).unwrap();
                continue;
            }
            let (status, page) = (response.status(), response.text().await.unwrap());
            match page.split("name=\"prompt\" value=\"").nth(1).and_then(|rest| rest.split('"').next()) {
                Some("login") => form = Some(format!("prompt=login&login={login}&password=any")),
                Some(prompt) => form = Some(format!("prompt={prompt}")),
                None => return (url, status, page),
            }
        }
        panic!("the way has no end: {url}");
    }
}

async fn me(browser: &mut Browser, server: &Server) -> Value {
    let url = Url::parse(&format!("{}/bailiwick/v1/me", server.url)).unwrap();
    browser.send(&url, None).await.json().await.unwrap()
}

#[tokio::test]
async fn a_browser_signs_in_at_a_certified_provider() {
    let mut provider = Provider::start();
    let place = Place::new();
    place.write(
        "bailiwick.toml",
        &format!(
            "[identity.oidc]\nissuer = \"{}\"\nclient_id = \"bailiwick\"\nclient_secret_env = \"CLIENT_SECRET\"\n\
             private_network = true\n[identity.oidc.roles]\nauditor = [\"law\"]\n[identity.oidc.teams]\nlaw = \"Legal\"\n",
            provider.issuer
        ),
    );
    let server = place.serve_with(&[], &[("CLIENT_SECRET", "the-clients-secret")]);
    provider.knows(&server);
    let start = format!("{}/bailiwick/v1/sign-in/provider?next=/bailiwick/v1/me", server.url);

    let mut ada = Browser::new();
    let (end, status, page) = ada.follow(&start, "ada.law,staff").await;
    assert_eq!((end.path(), status), ("/bailiwick/v1/me", StatusCode::OK), "{page}");
    let shown: Value = serde_json::from_str(&page).unwrap();
    assert_eq!(shown["user"]["name"], "ada", "{shown}");
    assert_eq!(shown["user"]["email"], "ada@example.org");
    assert_eq!(shown["user"]["roles"], json!(["auditor", "member"]));
    let teams = place.client(&["team", "list", "--json"]).good().json();
    assert_eq!((&teams["teams"][0]["name"], &shown["user"]["teams"][0]), (&json!("Legal"), &teams["teams"][0]["id"]));

    // The way back is good once, and for the browser that went.
    let mut eve = Browser::new();
    let back = format!("{}/bailiwick/v1/sign-in/provider/return?code=x&state=y", server.url);
    assert_eq!(eve.send(&Url::parse(&back).unwrap(), None).await.status(), StatusCode::UNAUTHORIZED);

    // Whoever is disabled here does not come in, whatever the provider says.
    let id = shown["user"]["id"].as_str().unwrap();
    place.client(&["user", "disable", id]).good();
    assert_eq!(me(&mut ada, &server).await["error"]["code"], "invalid_api_key");
    let (_, status, page) = Browser::new().follow(&start, "ada.law,staff").await;
    assert_eq!(status, StatusCode::FORBIDDEN, "{page}");

    // Signing out leads to the provider, which knows us.
    let mut bea = Browser::new();
    bea.follow(&start, "bea").await;
    let page_token = me(&mut bea, &server).await["page_token"].as_str().unwrap().to_owned();
    let cookie = bea.cookies.iter().find(|((_, name), _)| name == "bailiwick").unwrap().1.clone();
    let out = bea.http.post(format!("{}/bailiwick/v1/sign-out", server.url));
    let out = out.header(header::COOKIE, format!("bailiwick={cookie}")).header("x-bailiwick-page", page_token);
    let out: Value = out.send().await.unwrap().json().await.unwrap();
    let farewell = Url::parse(out["provider_url"].as_str().unwrap()).unwrap();
    assert!(farewell.as_str().starts_with(&provider.issuer));
    assert_eq!(bea.send(&farewell, None).await.status(), StatusCode::OK);
    assert_eq!(me(&mut bea, &server).await["error"]["code"], "invalid_api_key");
}
