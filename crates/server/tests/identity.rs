//! People sign in for real: at the command line with a password, and in a browser at a certified OpenID provider.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests")]

mod browser;
mod support;

use browser::{Browser, Provider};
use reqwest::{StatusCode, Url, header};
use serde_json::{Value, json};
use std::{
    io::{BufRead as _, BufReader, Lines, Write as _},
    process::{Child, ChildStderr, Stdio},
};
use support::{Ended, Place, Server, command};

const PASSWORD: &str = "seven grey herons at dusk";

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

async fn me(browser: &mut Browser, server: &Server) -> Value {
    let url = Url::parse(&format!("{}/bailiwick/v1/me", server.url)).unwrap();
    browser.send(&url, None).await.json().await.unwrap()
}

#[tokio::test]
async fn a_browser_signs_in_at_a_certified_provider() {
    let mut provider = Provider::start();
    let place = Place::new();
    provider.configure(&place, "[identity.oidc.roles]\nauditor = [\"law\"]\n[identity.oidc.teams]\nlaw = \"Legal\"\n");
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

/// `bailiwick login` of somebody with a home of their own, up to the URL that it wants opened.
fn begin_login(place: &Place, home: &str, server: &Server) -> (Child, Lines<BufReader<ChildStderr>>, String) {
    let mut child = command(&["login", "--server", &server.url])
        .env("HOME", place.text(home))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let url = lines.find_map(|line| line.unwrap().strip_prefix("  http").map(|rest| format!("http{rest}"))).unwrap();
    (child, lines, url)
}

async fn log_in(place: &Place, home: &str, server: &Server, browser: &mut Browser, name: &str) -> Ended {
    let (child, _lines, url) = begin_login(place, home, server);
    let (end, status, page) = browser.follow(&url, name).await;
    assert_eq!((end.host_str(), status), (Some("127.0.0.1"), StatusCode::OK), "{page}");
    assert!(page.starts_with("You are signed in."), "{page}");
    let output = child.wait_with_output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Ended { code: output.status.code().unwrap_or(-1), stdout: text(output.stdout), stderr: text(output.stderr) }
}

#[tokio::test]
async fn a_command_line_signs_in_at_a_certified_provider_and_is_out_when_that_says_so() {
    let mut provider = Provider::start();
    let place = Place::new();
    provider.configure(&place, "scopes = [\"profile\", \"email\", \"offline_access\"]\n");
    let server = place.serve_with(&[], &[("CLIENT_SECRET", "the-clients-secret")]);
    provider.knows(&server);
    let as_home = |home: &str, arguments: &[&str]| {
        let mut all = arguments.to_vec();
        all.extend(["--server", &server.url]);
        support::ended(command(&all).env("HOME", place.text(home)))
    };

    let mut browser = Browser::new();
    let signed = log_in(&place, "one", &server, &mut browser, "ada").await.good();
    assert!(signed.stdout.starts_with("signed in as ada at http://127.0.0.1:"), "{signed:?}");
    let kept = place.path("one").join(".config/bailiwick/logins.json");
    assert_eq!(std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(kept).unwrap().permissions()) & 0o777, 0o600);
    as_home("one", &["agent", "list"]).good();
    log_in(&place, "two", &server, &mut browser, "ada").await.good();
    let mut bea = Browser::new();
    log_in(&place, "bea", &server, &mut bea, "bea").await.good();

    // Signing out names the provider's own page; there, every sign-in of that session ends, and nobody else's.
    let out = as_home("one", &["logout", "--json"]).good().json();
    as_home("two", &["agent", "list"]).good();
    let (end, status) = browser.sign_out(out["provider_url"].as_str().unwrap()).await;
    assert_eq!((end.as_str(), status), (format!("{}/", server.url).as_str(), StatusCode::OK), "back at ours");
    let over = as_home("two", &["agent", "list"]);
    assert_eq!(over.code, 4, "{over:?}");
    assert!(over.stderr.contains("bailiwick login"), "{over:?}");
    as_home("bea", &["agent", "list"]).good();
    let changes = place.client(&["audit", "changes", "--json"]).good().stdout;
    assert!(changes.contains("the identity provider ended it"), "{changes}");

    // What the provider did not say ends nothing.
    let forged = browser.http.post(format!("{}/bailiwick/v1/sign-in/provider/logout", server.url));
    let forged = forged.header(header::CONTENT_TYPE, "application/x-www-form-urlencoded").body("logout_token=a.b.c");
    let forged = forged.send().await.unwrap();
    assert_eq!(forged.status(), StatusCode::BAD_REQUEST);
    let error: Value = forged.json().await.unwrap();
    assert_eq!(error["error"], "invalid_request");
    as_home("bea", &["agent", "list"]).good();
}
