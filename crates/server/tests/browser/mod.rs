//! A certified OpenID provider, and as much of a browser as signing in there needs.

#![allow(dead_code, reason = "each test file uses its part of this")]

use super::support::{Place, Server};
use reqwest::{Client, Response, StatusCode, Url, header};
use std::{
    collections::BTreeMap,
    io::{BufRead as _, BufReader, Write as _},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
};

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The provider of `tests/oidc`. It ends with the test.
pub struct Provider {
    child: Child,
    stdin: ChildStdin,
    lines: BufReader<std::process::ChildStdout>,
    pub issuer: String,
}

impl Provider {
    pub fn start() -> Self {
        let module = repository().join("target/tools/oidc-provider/node_modules/oidc-provider/lib/index.js");
        assert!(module.exists(), "run .ci/fetch-tools.sh oidc-provider first");
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

    pub fn knows(&mut self, server: &Server) {
        self.knows_url(&server.url);
    }

    pub fn knows_url(&mut self, url: &str) {
        writeln!(self.stdin, "{url}").unwrap();
        let mut ready = String::new();
        self.lines.read_line(&mut ready).unwrap();
        assert_eq!(ready.trim(), "ready");
    }

    /// Configures a server that signs people in here.
    pub fn configure(&self, place: &Place, more: &str) {
        let text = format!(
            "[identity.oidc]\nissuer = \"{}\"\nclient_id = \"bailiwick\"\nclient_secret_env = \"CLIENT_SECRET\"\n\
             private_network = true\n{more}",
            self.issuer
        );
        place.write("bailiwick.toml", &text);
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The authorization server of another system, which trusts the provider: `tests/oidc/elsewhere.mjs`.
pub struct Elsewhere {
    child: Child,
    _stdin: ChildStdin,
    /// It writes warnings there, and falls over when nobody takes them.
    _lines: BufReader<std::process::ChildStdout>,
    pub issuer: String,
}

impl Elsewhere {
    pub fn start(provider: &Provider) -> Self {
        let module = repository().join("target/tools/oidc-provider/node_modules/oidc-provider/lib/index.js");
        let script = repository().join("tests/oidc/elsewhere.mjs");
        let mut child = Command::new("node")
            .args([&script, &module, Path::new(&provider.issuer)])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let stdin = child.stdin.take().unwrap();
        let mut port = String::new();
        let mut lines = BufReader::new(child.stdout.take().unwrap());
        lines.read_line(&mut port).unwrap();
        Self { child, _stdin: stdin, _lines: lines, issuer: format!("http://127.0.0.1:{}", port.trim()) }
    }
}

impl Drop for Elsewhere {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// As much of a browser as signing in needs: cookies for each server, and forms.
pub struct Browser {
    pub http: Client,
    pub cookies: BTreeMap<(String, String), String>,
}

impl Browser {
    pub fn new() -> Self {
        let http = Client::builder().redirect(reqwest::redirect::Policy::none()).no_proxy().build().unwrap();
        Self { http, cookies: BTreeMap::new() }
    }

    pub async fn send(&mut self, url: &Url, form: Option<&str>) -> Response {
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
    pub async fn follow(&mut self, start: &str, login: &str) -> (Url, StatusCode, String) {
        match self.go(start, login, None).await {
            Ok(page) => page,
            Err(url) => panic!("the way has no end: {url}"),
        }
    }

    /// Goes on until it is sent to a URL that begins so, which it does not ask for.
    pub async fn sent_to(&mut self, start: &str, login: &str, stop: &str) -> Url {
        match self.go(start, login, Some(stop)).await {
            Ok((url, status, page)) => panic!("{url} answers {status}: {page}"),
            Err(url) => url,
        }
    }

    async fn go(&mut self, start: &str, login: &str, stop: Option<&str>) -> Result<(Url, StatusCode, String), Url> {
        let mut url = Url::parse(start).unwrap();
        let mut form: Option<String> = None;
        for _ in 0..20 {
            if stop.is_some_and(|stop| url.as_str().starts_with(stop)) {
                return Err(url);
            }
            let response = self.send(&url, form.take().as_deref()).await;
            if response.status().is_redirection() {
                url = url.join(response.headers()[header::LOCATION].to_str().unwrap()).unwrap();
                continue;
            }
            let (status, page) = (response.status(), response.text().await.unwrap());
            match page.split("name=\"prompt\" value=\"").nth(1).and_then(|rest| rest.split('"').next()) {
                Some("login") => form = Some(format!("prompt=login&login={login}&password=any")),
                Some(prompt) => form = Some(format!("prompt={prompt}")),
                None => return Ok((url, status, page)),
            }
        }
        Err(url)
    }

    /// Says yes where the provider asks whether to sign out there, and goes on until a page answers.
    pub async fn sign_out(&mut self, farewell: &str) -> (Url, StatusCode) {
        let start = Url::parse(farewell).unwrap();
        let page = self.send(&start, None).await.text().await.unwrap();
        let value = |name: &str, attribute: &str| {
            let rest = page.split(&format!("{name}\"")).nth(1).unwrap_or_else(|| panic!("{page}"));
            rest.split(&format!("{attribute}=\"")).nth(1).unwrap().split('"').next().unwrap().to_owned()
        };
        let mut url = start.join(&value("id=\"op.logoutForm", "action")).unwrap();
        let mut form = Some(format!("xsrf={}&logout=yes", value("name=\"xsrf", "value")));
        loop {
            let response = self.send(&url, form.take().as_deref()).await;
            if !response.status().is_redirection() {
                return (url, response.status());
            }
            url = url.join(response.headers()[header::LOCATION].to_str().unwrap()).unwrap();
        }
    }
}
