//! Every kind of connector against everything that can become of a call: let through, denied, asked about, over a limit,
//! without its secret, with its system down, and with the server killed while the system is at it.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests start real servers and kill them")]

#[path = "../../mail/tests/servers/processes.rs"]
mod processes;
mod support;

use processes::{Dovecot, PASSWORD, Radicale, SmtpServer};
use serde_json::{Value, json};
use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    panic::AssertUnwindSafe,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};
use support::{Place, Server, post, wait_for};

const SCENARIO: &str = "[[turn]]\n[[turn.step]]\nsay = \"No model is asked here.\"\n";
const ALL: &str = "@id(\"all\") permit (principal, action, resource);\n";
const CALLS: &str = "action in [Action::\"tool.call\", Action::\"data.query\"]";

/// How often something has happened outside.
type Counter = Box<dyn Fn() -> usize + Send + Sync>;

/// One kind of connector, with a tool of it.
struct Row {
    kind: &'static str,
    /// As `connectors.toml` has it, up to its settings.
    settings: String,
    /// The same settings with a system that is not there; `None`: it is always there.
    down: Option<String>,
    tool: &'static str,
    arguments: Value,
    /// What its answer has.
    shows: &'static str,
    /// It signs in.
    secret: bool,
    /// What a call of it is to the world, and how often it has happened.
    effects: Option<Counter>,
}

/// A server of the Model Context Protocol and of a service with an OpenAPI document, which counts what it is told to keep.
struct Peer {
    port: u16,
    kept: Arc<AtomicUsize>,
    /// It keeps what it is told, and answers nothing.
    mute: Arc<AtomicUsize>,
}

impl Peer {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let (kept, mute) = (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
        let (counts, silent) = (kept.clone(), mute.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (counts, silent) = (counts.clone(), silent.clone());
                std::thread::spawn(move || serve(&stream, &counts, &silent));
            }
        });
        Self { port, kept, mute }
    }

    fn count(&self) -> Counter {
        let kept = self.kept.clone();
        Box::new(move || kept.load(Ordering::SeqCst))
    }
}

/// One request on each connection.
fn serve(stream: &TcpStream, kept: &AtomicUsize, mute: &AtomicUsize) -> Option<()> {
    let mut reader = BufReader::new(stream);
    let (mut first, mut line, mut length) = (String::new(), String::new(), 0);
    reader.read_line(&mut first).ok()?;
    while reader.read_line(&mut line).ok()? > 2 {
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().ok()?;
        }
        line.clear();
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    let asked: Value = serde_json::from_slice(&body).unwrap_or_default();
    let writes = first.starts_with("POST /notes") || asked["method"] == "tools/call";
    if writes {
        kept.fetch_add(1, Ordering::SeqCst);
        if mute.load(Ordering::SeqCst) > 0 {
            loop {
                std::thread::park();
            }
        }
    }
    let (status, answer) = match asked["method"].as_str() {
        _ if first.starts_with("POST /notes") => ("201 Created", json!({"kept": true}).to_string()),
        _ if !first.starts_with("POST") => ("405 Method Not Allowed", String::new()),
        Some(_) if asked["id"].is_null() => ("202 Accepted", String::new()),
        Some("initialize") => {
            let server = json!({"name": "peer", "version": "1"});
            said(&asked, &json!({"protocolVersion": "2025-06-18", "capabilities": {"tools": {}}, "serverInfo": server}))
        }
        Some("tools/list") => {
            let schema = json!({"type": "object", "properties": {"text": {"type": "string"}}});
            said(&asked, &json!({"tools": [{"name": "note", "description": "Keeps a note.", "inputSchema": schema}]}))
        }
        Some("tools/call") => said(&asked, &json!({"content": [{"type": "text", "text": "kept"}], "isError": false})),
        _ => {
            let error = json!({"code": -32601, "message": "there is no such method"});
            ("400 Bad Request", json!({"jsonrpc": "2.0", "id": asked["id"], "error": error}).to_string())
        }
    };
    let head = format!("HTTP/1.1 {status}\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: ");
    let mut stream = stream;
    stream.write_all(format!("{head}{}\r\n\r\n{answer}", answer.len()).as_bytes()).ok()
}

fn said(asked: &Value, result: &Value) -> (&'static str, String) {
    ("200 OK", json!({"jsonrpc": "2.0", "id": asked["id"], "result": result}).to_string())
}

/// The systems of one company.
struct Company {
    peer: Peer,
    mailbox: Dovecot,
    smtp: SmtpServer,
    calendars: Radicale,
}

impl Company {
    fn start() -> Self {
        let mailbox = Dovecot::start();
        let smtp = SmtpServer::start("plain", Some(&mailbox.maildir("Sent")));
        let calendars = Radicale::start();
        calendars.calendar("work", "Work");
        Self { peer: Peer::start(), mailbox, smtp, calendars }
    }

    fn rows(&self, place: &Place) -> Vec<Row> {
        place.write("books.db", "");
        std::fs::create_dir_all(place.path("papers")).unwrap();
        place.write("papers/plan.md", "The plan is simple.\n");
        let mcp = |port| format!("transport = {{ type = \"http\", url = \"http://127.0.0.1:{port}/mcp\" }}\n");
        let service =
            |port| format!("base_url = \"http://127.0.0.1:{port}\"\ndocument = {{ text = '''{DOCUMENT}''' }}\n");
        let mail = |smtp, imap| {
            format!(
                "smtp = {{ host = \"127.0.0.1\", port = {smtp}, security = \"none\" }}\n\
                 imap = {{ host = \"127.0.0.1\", port = {imap}, security = \"none\" }}\nusername = \"anna\"\n\
                 from = \"anna@firma.example\"\n"
            )
        };
        let calendar = |url: &str| format!("url = \"{url}\"\nusername = \"anna\"\ntime_zone = \"Europe/Berlin\"\n");
        let books = |path: &str| {
            format!(
                "server = {{ kind = \"sqlite\", path = \"{path}\" }}\nsign_in = {{ as = \"service\", login = \"file\" }}\n"
            )
        };
        let folder = |root: &str| {
            format!("folders = [{{ name = \"papers\", root = \"{root}\", readers = {{ everybody = true }} }}]\n")
        };
        let sent = self.smtp.journal();
        vec![
            Row {
                kind: "mcp",
                settings: mcp(self.peer.port),
                down: Some(mcp(1)),
                tool: "note",
                arguments: json!({"text": "x"}),
                shows: "kept",
                secret: true,
                effects: Some(self.peer.count()),
            },
            Row {
                kind: "openapi",
                settings: service(self.peer.port),
                down: Some(service(1)),
                tool: "note",
                arguments: json!({"body": {"text": "x"}}),
                shows: "kept",
                secret: true,
                effects: Some(self.peer.count()),
            },
            Row {
                kind: "database",
                settings: books(&place.text("books.db")),
                down: Some(books(&place.text("no.db"))),
                tool: "query",
                arguments: json!({"statement": "select 40 + 2 as answer"}),
                shows: "42",
                secret: false,
                effects: None,
            },
            Row {
                kind: "mail",
                settings: mail(self.smtp.port, self.mailbox.port),
                down: Some(mail(1, 1)),
                tool: "send_mail",
                arguments: json!({"to": ["ben@firma.example"], "subject": "Agenda", "text": "At three."}),
                shows: "",
                secret: true,
                effects: Some(Box::new(move || std::fs::read_to_string(&sent).unwrap().lines().count())),
            },
            Row {
                kind: "calendar",
                settings: calendar(&self.calendars.url("anna/")),
                down: Some(calendar("http://127.0.0.1:1/anna/")),
                tool: "list_events",
                arguments: json!({"from": "2026-11-24", "to": "2026-11-24"}),
                shows: "",
                secret: true,
                effects: None,
            },
            Row {
                kind: "documents",
                settings: folder(&place.text("papers")),
                down: Some(folder(&place.text("gone"))),
                tool: "read_document",
                arguments: json!({"path": "/papers/plan.md"}),
                shows: "The plan is simple.",
                secret: false,
                effects: None,
            },
            Row {
                kind: "people",
                settings: String::new(),
                down: None,
                tool: "find_people",
                arguments: json!({"name": "nobody of this name"}),
                shows: "",
                secret: false,
                effects: None,
            },
        ]
    }
}

/// The place in which a row is tried: three connectors of the kind, and an agent that has them all.
struct Trial<'a> {
    place: &'a Place,
    row: &'a Row,
    agent: String,
}

impl<'a> Trial<'a> {
    fn prepare(place: &'a Place, row: &'a Row) -> Self {
        let kind = row.kind;
        let connector = |name: &str, settings: &str, secret: &str| {
            let secret = if row.secret { format!("credential = {{ name = \"{secret}\" }}\n") } else { String::new() };
            format!(
                "[{name}]\nkind = \"{kind}\"\ninside = true\npublished = true\n{secret}[{name}.settings]\n{settings}\n"
            )
        };
        let mut text = connector(kind, &row.settings, "desk");
        let mut names = vec![kind.to_owned()];
        if let Some(down) = &row.down {
            text += &connector(&format!("{kind}-down"), down, "desk");
            names.push(format!("{kind}-down"));
        }
        if row.secret {
            text += &connector(&format!("{kind}-keyless"), &row.settings, "nobody-has-it");
            names.push(format!("{kind}-keyless"));
        }
        place.write("connectors.toml", &text);
        place.client(&["connector", "apply", "-f", "connectors.toml"]).good();
        let given: Vec<Value> = names.iter().map(|name| json!({"name": name})).collect();
        let body = json!({"model": "main", "name": kind, "bailiwick": {"connectors": given}});
        let made = post(&place.data(), "/v1/agents", &body.to_string());
        let made: Value = serde_json::from_str(&made).unwrap();
        Self { place, row, agent: made["id"].as_str().unwrap_or_else(|| panic!("{made}")).to_owned() }
    }

    /// What a call comes to: whether it failed, and the text.
    fn call(&self, connector: &str) -> (bool, String) {
        call(&self.place.data(), &self.agent, &format!("{connector}__{}", self.row.tool), &self.row.arguments)
    }

    #[track_caller]
    fn fails(&self, connector: &str, says: &[&str]) {
        let before = self.happened();
        let (failed, text) = self.call(connector);
        assert!(failed, "{connector}: {text}");
        for part in says {
            assert!(text.contains(part), "{connector} has no `{part}`: {text}");
        }
        assert_eq!(self.happened(), before, "{connector}: nothing is done");
    }

    #[track_caller]
    fn works(&self) {
        let before = self.happened();
        let (failed, text) = self.call(self.row.kind);
        assert!(!failed && text.contains(self.row.shows), "{}: {text}", self.row.kind);
        assert_eq!(self.happened(), before.map(|count| count + 1), "{}: it is done once", self.row.kind);
    }

    fn happened(&self) -> Option<usize> {
        self.row.effects.as_ref().map(|count| count())
    }

    fn rules(&self, text: &str) {
        self.place.write("rules.cedar", text);
        self.place.client(&["policy", "apply", "rules.cedar", "--reason", "A test"]).good();
    }
}

fn call(data: &str, agent: &str, name: &str, arguments: &Value) -> (bool, String) {
    let params = json!({"name": name, "arguments": arguments});
    let message = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params});
    let answer = post(data, &format!("/mcp/{agent}"), &message.to_string());
    let answer: Value = serde_json::from_str(&answer).unwrap_or_else(|error| panic!("{error}: {answer}"));
    let result = &answer["result"];
    let content = result["content"].as_array().unwrap_or_else(|| panic!("{answer}"));
    let text = content.iter().filter_map(|part| part["text"].as_str()).collect::<Vec<_>>().join("\n");
    (result["isError"] == true, text)
}

/// The secret that all of them take, in a vault of the organisation.
fn keep_secret(data: &str) {
    let made: Value = serde_json::from_str(&post(data, "/v1/vaults", r#"{"name": "Desk"}"#)).unwrap();
    let auth = json!({"type": "environment_variable", "secret_name": "desk", "secret_value": PASSWORD,
        "networking": {"type": "unrestricted"}});
    let path = format!("/v1/vaults/{}/credentials", made["id"].as_str().unwrap_or_else(|| panic!("{made}")));
    let made = post(data, &path, &json!({"name": "desk", "auth": auth}).to_string());
    assert!(made.contains("vault.credential"), "{made}");
}

#[test]
fn whatever_becomes_of_a_call_is_the_same_for_every_kind_of_connector() {
    let company = Company::start();
    let place = Place::with_scenario(SCENARIO);
    let _server = place.serve();
    keep_secret(&place.data());
    for row in &company.rows(&place) {
        let trial = Trial::prepare(&place, row);
        trial.rules(ALL);
        trial.works();

        if row.down.is_some() {
            trial.fails(&format!("{}-down", row.kind), &[]);
        }
        if row.secret {
            trial.fails(&format!("{}-keyless", row.kind), &["nobody-has-it"]);
        }

        let own = format!("resource in Connector::\"{}\"", row.kind);
        let denies = format!(
            "@id(\"no-calls\") @reason(\"not here\") @remedy(\"Ask the desk.\") forbid (principal, {CALLS}, {own});"
        );
        trial.rules(&format!("{ALL}{denies}"));
        trial.fails(row.kind, &["no-calls", "not here", "Ask the desk."]);

        let asks = format!("@id(\"ask\") @ask(\"person\") @reason(\"it matters\") forbid (principal, {CALLS}, {own});");
        trial.rules(&format!("{ALL}{asks}"));
        for (answer, done) in [("approve", true), ("deny", false)] {
            let before = trial.happened();
            let (failed, text) = std::thread::scope(|scope| {
                let called = scope.spawn(|| {
                    call(&place.data(), &trial.agent, &format!("{}__{}", row.kind, row.tool), &row.arguments)
                });
                let approval = wait_for("the question", || {
                    let listed = place.client(&["approval", "list", "--json"]).good().json();
                    listed["approvals"][0]["id"].as_str().map(str::to_owned)
                });
                assert_eq!(trial.happened(), before, "{}: not before the answer", row.kind);
                place.client(&[answer, &approval]).good();
                called.join().unwrap()
            });
            assert_eq!(failed, !done, "{}: {text}", row.kind);
            assert_eq!(trial.happened(), before.map(|count| count + usize::from(done)), "{}", row.kind);
        }

        trial.rules(&format!(
            "@id(\"secrets\") permit (principal, action == Action::\"vault.use\", resource);\n\
             @id(\"once\") @limit(\"1 per day per agent\") permit (principal, {CALLS}, {own});"
        ));
        trial.works();
        trial.fails(row.kind, &["once"]);
        trial.rules(ALL);
    }
}

#[test]
fn a_write_at_which_the_server_is_killed_is_unknown_and_never_made_twice() {
    let company = Company::start();
    let place = Place::with_scenario(SCENARIO);
    let mut server: Option<Server> = Some(place.serve());
    keep_secret(&place.data());
    for row in company.rows(&place).iter().filter(|row| matches!(row.kind, "mcp" | "openapi")) {
        let trial = Trial::prepare(&place, row);
        trial.rules(ALL);
        trial.works();
        let before = trial.happened();
        company.peer.mute.store(1, Ordering::SeqCst);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                // Whoever called hears nothing: their line breaks with the server.
                let name = format!("{}__{}", row.kind, row.tool);
                let _ = std::panic::catch_unwind(AssertUnwindSafe(|| {
                    call(&place.data(), &trial.agent, &name, &row.arguments)
                }));
            });
            wait_for("the system to be at it", || (trial.happened() == before.map(|count| count + 1)).then_some(()));
            server.take().unwrap().kill();
        });
        company.peer.mute.store(0, Ordering::SeqCst);
        server = Some(place.serve());
        let unresolved = wait_for("what is left", || {
            let listed = place.client(&["session", "list", "--json"]).good().json();
            let all = listed["sessions"].as_array()?.iter();
            let mut ours = all.filter(|one| one["agent"]["id"] == trial.agent.as_str());
            ours.find_map(|one| one["bailiwick"]["unresolved"][0]["operation"].as_str().map(str::to_owned))
        });
        assert_eq!(unresolved, "connector.call");
        trial.fails(row.kind, &["nobody knows whether it had its effect"]);
        assert_eq!(trial.happened(), before.map(|count| count + 1), "once, and never again");
    }
}

const DOCUMENT: &str = r#"{"openapi": "3.1.0", "info": {"title": "Notes", "version": "1"},
  "components": {"securitySchemes": {"desk": {"type": "http", "scheme": "bearer"}}},
  "paths": {"/notes": {"post": {"operationId": "note", "summary": "Keeps a note.", "security": [{"desk": []}],
    "requestBody": {"required": true, "content": {"application/json": {"schema":
      {"type": "object", "properties": {"text": {"type": "string"}}}}}},
    "responses": {"201": {"description": "Kept"}}}}}}"#;
