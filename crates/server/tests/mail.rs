//! Mail and calendars through the whole server: asked about, sent once, said to be whose; and the server killed at every
//! point of the dialogue in which it hands a mail in.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests start real servers and kill them")]

#[path = "../../mail/tests/servers/line.rs"]
mod line;
#[path = "../../mail/tests/servers/processes.rs"]
mod processes;
mod support;

use line::{Line, Stopped};
use processes::{Dovecot, PASSWORD, Radicale, SmtpServer};
use serde_json::{Value, json};
use std::process::{Child, Stdio};
use support::{Place, command, person::Person, post, wait_for};
use tokio::net::{TcpListener, TcpStream};

const SCENARIO: &str = r#"
[[turn]]
when = { user_contains = "three o'clock" }
[[turn.step]]
[[turn.step.call]]
tool = "calendar__list_events"
as = "events"
arguments = { from = "2026-11-24", to = "2026-11-24" }
[[turn.step]]
say = "Found: {{ result events }}"

[[turn]]
[[turn.step]]
[[turn.step.call]]
tool = "post__send_mail"
as = "sent"
arguments = { to = ["Ben@Firma.Example"], subject = "Agenda", text = "At three." }
[[turn.step]]
say = "Outcome: {{ result sent }}"
"#;

const AGENT: &str = "name = \"clerk\"\nmodel = \"main\"\n[[bailiwick.connectors]]\nname = \"post\"\n";
const WITH_CALENDAR: &str = "[[bailiwick.connectors]]\nname = \"calendar\"\n";

fn mailbox(smtp: u16, imap: u16, more: &str) -> String {
    format!(
        "[post]\nkind = \"mail\"\ninside = true\npublished = true\ncredential = {{ name = \"post\" }}\n[post.settings]\n\
         smtp = {{ host = \"127.0.0.1\", port = {smtp}, security = \"none\" }}\n\
         imap = {{ host = \"127.0.0.1\", port = {imap}, security = \"none\" }}\nusername = \"anna\"\n{more}"
    )
}

/// The secret of the mailbox and the calendar, for this machine.
fn credential() -> Value {
    let auth = json!({"type": "static_bearer", "token": PASSWORD, "mcp_server_url": "http://127.0.0.1:1/"});
    json!({"name": "post", "auth": auth})
}

fn actions(shown: &Value, operation: &str) -> Vec<String> {
    let receipts = shown["receipts"].as_array().unwrap().iter();
    let mut ids: Vec<String> = receipts
        .filter(|receipt| receipt["operation"] == operation)
        .map(|receipt| receipt["action"].as_str().unwrap_or_else(|| panic!("{receipt}")).to_owned())
        .collect();
    ids.dedup();
    ids
}

#[test]
fn a_mail_is_asked_about_sent_once_for_the_person_and_says_who_wrote_it() {
    let (imap, calendars) = (Dovecot::start(), Radicale::start());
    let smtp = SmtpServer::start("plain", Some(&imap.maildir("Sent")));
    calendars.calendar("work", "Work");
    calendars.put("work", "review", REVIEW);
    let place = Place::with_scenario(SCENARIO);
    let server = place.serve();
    let calendar = format!(
        "[calendar]\nkind = \"calendar\"\ninside = true\ncredential = {{ name = \"post\" }}\n[calendar.settings]\n\
         url = \"{}\"\nusername = \"anna\"\ntime_zone = \"Europe/Berlin\"\n",
        calendars.url("anna/")
    );
    place.write("connectors.toml", &format!("{}{calendar}", mailbox(smtp.port, imap.port, "")));
    place.client(&["connector", "apply", "-f", "connectors.toml"]).good();
    place.write("agent.toml", &format!("{AGENT}{WITH_CALENDAR}"));
    place.client(&["agent", "apply", "-f", "agent.toml"]).good();
    let anna = Person::join(&place, &server, "Anna Müller", "anna", &["--email", "anna@firma.example"]);
    let ben = Person::join(&place, &server, "Ben Ito", "ben", &["--email", "ben@firma.example"]);
    let vault = anna.post("/v1/vaults", &json!({"name": "Mine"}));
    let vault = vault["id"].as_str().unwrap_or_else(|| panic!("{vault}"));
    let made = anna.post(&format!("/v1/vaults/{vault}/credentials"), &credential());
    assert_eq!(made["object"], "vault.credential", "{made}");

    // Reading one's own calendar is nobody's question.
    let run =
        |person: &Person, task: &str| person.client(&["run", task, "--agent", "clerk", "--no-environment", "--json"]);
    let found = run(&anna, "Prepare my three o'clock.").good().json()["answer"].to_string();
    assert!(found.contains("Review") && found.contains("15:00") && found.contains("cleo@firma.example"), "{found}");
    // The sign-in is hers: for somebody else the agent has neither mailbox nor calendar.
    let other = run(&ben, "Prepare my three o'clock.");
    assert!(!format!("{other:?}").contains("Review"), "{other:?}");

    // A mail waits for her, who sees to whom it goes and what it says.
    let waits = run(&anna, "Write to Ben.");
    assert_eq!(waits.code, 6, "{waits:?}");
    assert_eq!(smtp.accepted(), Vec::<Value>::new());
    let listed = anna.client(&["approval", "list", "--json"]).good().json();
    let asked = &listed["approvals"][0];
    let text = asked.to_string();
    for part in ["mail-is-confirmed", "ben@firma.example", "Agenda", "At three."] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let (approval, session) = (asked["id"].as_str().unwrap(), asked["session_id"].as_str().unwrap());
    anna.client(&["approve", approval]).good();
    let shown = wait_for("the mail", || {
        let shown = anna.client(&["session", "show", session, "--json"]).good().json();
        (shown["session"]["status"] == "idle").then_some(shown)
    });
    let accepted = smtp.accepted();
    let [mail] = &accepted[..] else { panic!("{accepted:?}") };
    let action = actions(&shown, "connector.call").pop().unwrap();
    assert_eq!(mail["id"], json!(format!("<{action}.bailiwick@firma.example>")));
    assert_eq!((&mail["from"], &mail["to"]), (&json!("anna@firma.example"), &json!(["ben@firma.example"])));
    let (author, text) = (mail["author"].as_str().unwrap(), mail["text"].as_str().unwrap());
    assert!(text.starts_with("At three.\n"), "{text}");
    assert!(text.contains("Written by the AI colleague clerk for Anna Müller."), "{text}");
    for part in [anna.id.as_str(), " through agent_", session] {
        assert!(author.contains(part) && text.contains(part), "{part}: {mail}");
    }
    assert_eq!(mail["auto"], "auto-generated");

    // A no is a no.
    let answered = |answer: &str| {
        assert_eq!(run(&anna, "Write to Ben.").code, 6);
        let listed = anna.client(&["approval", "list", "--json"]).good().json();
        let waiting = listed["approvals"].as_array().unwrap().last().unwrap_or_else(|| panic!("{listed}"));
        anna.client(&[answer, waiting["id"].as_str().unwrap()]).good();
        let session = waiting["session_id"].as_str().unwrap();
        wait_for("the end", || {
            let shown = anna.client(&["session", "show", session, "--json"]).good().json();
            (shown["session"]["status"] == "idle").then_some(shown)
        })
    };
    answered("deny");
    assert_eq!(smtp.accepted().len(), 1);
    // With a server that is down nothing was sent, and that is certain: nobody has to look.
    drop(smtp);
    let shown = answered("approve");
    assert_eq!(shown["session"]["bailiwick"]["unresolved"], json!([]), "{shown}");
    assert!(shown.to_string().contains("the mail server 127.0.0.1"), "{shown}");
}

const REVIEW: &str = "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//test//EN\r\nBEGIN:VEVENT\r\nUID:review\r\n\
DTSTAMP:20261101T000000Z\r\nDTSTART:20261124T140000Z\r\nDTEND:20261124T150000Z\r\nSUMMARY:Review\r\n\
ATTENDEE;CN=Cleo:mailto:cleo@firma.example\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n";

/// More steps than the dialogue has.
const MOST: usize = 40;

/// Everything is allowed, so that what is tested is the hand.
const ALL: &str = "@id(\"all\") permit (principal, action, resource);\n";

/// A house in which an agent sends a mail over a line that the test holds.
struct Post {
    place: Place,
    smtp: SmtpServer,
    _imap: Dovecot,
    line: TcpListener,
}

/// How one mail ended.
struct Ended {
    at: Option<String>,
    code: i32,
    said: String,
    /// How often the mail server has taken it on.
    count: usize,
}

impl Post {
    async fn new() -> Self {
        let imap = Dovecot::start();
        let smtp = SmtpServer::start("plain", Some(&imap.maildir("Sent")));
        let line = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let place = Place::with_scenario(SCENARIO);
        let server = place.serve();
        place.write("all.cedar", ALL);
        place.client(&["policy", "apply", "all.cedar", "--reason", "A test"]).good();
        let port = line.local_addr().unwrap().port();
        let more = "from = \"anna@firma.example\"\nsent = { copy = false }\n";
        place.write("connectors.toml", &mailbox(port, imap.port, more));
        place.client(&["connector", "apply", "-f", "connectors.toml"]).good();
        place.write("agent.toml", AGENT);
        place.client(&["agent", "apply", "-f", "agent.toml"]).good();
        let ask = |path: &str, body: &Value| -> Value {
            serde_json::from_str(&post(&place.data(), path, &body.to_string())).unwrap()
        };
        let vault = ask("/v1/vaults", &json!({"name": "Mail"}));
        let vault = vault["id"].as_str().unwrap_or_else(|| panic!("{vault}"));
        let made = ask(&format!("/v1/vaults/{vault}/credentials"), &credential());
        assert_eq!(made["object"], "vault.credential", "{made}");
        server.kill();
        Self { place, smtp, _imap: imap, line }
    }

    fn order(&self) -> Child {
        let data = self.place.data();
        let words = ["run", "Write to Ben.", "--agent", "clerk", "--no-environment", "--json", "--data", &data];
        command(&words).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    /// Orders a mail, kills the server when the dialogue is at `stop`, starts another one, and waits for the end.
    async fn strike(&self, stop: usize, arrives: bool) -> Ended {
        let server = self.place.serve();
        let watcher = self.order();
        let client = self.line.accept().await.unwrap().0;
        let mut line = Line::new(client, TcpStream::connect(("127.0.0.1", self.smtp.port)).await.unwrap());
        let stopped: Option<Stopped> = line.pass(stop).await;
        let _server = match &stopped {
            Some(stopped) => {
                server.kill();
                line.end(stopped, arrives).await;
                self.place.serve()
            }
            None => server,
        };
        let output = watcher.wait_with_output().unwrap();
        let said = String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap();
        // Nothing speaks to the mail server a second time.
        tokio::select! {
            biased;
            again = self.line.accept() => panic!("the mail was handed in again: {again:?}"),
            () = std::future::ready(()) => {}
        }
        let listed = self.place.client(&["session", "list", "--limit", "1", "--json"]).good().json();
        let session = listed["sessions"][0]["id"].as_str().unwrap();
        let shown = self.place.client(&["session", "show", session, "--json"]).good().json();
        let calls = actions(&shown, "connector.call");
        let [action] = &calls[..] else { panic!("{calls:?}") };
        let count = self.smtp.count(&format!("<{action}.bailiwick@firma.example>"));
        Ended { at: stopped.map(|stopped| stopped.at), code: output.status.code().unwrap_or(-1), said, count }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_server_is_killed_at_every_point_of_handing_in_a_mail_and_tells_the_truth() {
    let post = Post::new().await;
    let (mut steps, mut taken, mut lost) = (0, 0, 0);
    for stop in 0..MOST {
        let first = post.strike(stop, true).await;
        // Where it matters whether what was on its way arrives, it is tried both ways.
        let both = first.at.as_deref().is_some_and(|at| at == "final dot" || at.starts_with("answer 250 2.0.0"));
        let second = if both { Some(post.strike(stop, false).await) } else { None };
        let is_over = first.at.is_none();
        for ended in [Some(first), second].into_iter().flatten() {
            let story = format!(
                "killed at {:?}: exit code {}, taken on {} times: {}",
                ended.at, ended.code, ended.count, ended.said
            );
            match ended.count {
                // Before it was taken on, and where nobody can know: a person is asked, and told where it was looked for.
                0 => {
                    assert_eq!(ended.code, 9, "{story}");
                    assert!(ended.said.contains("not in the folder of sent mail"), "{story}");
                    lost += 1;
                }
                1 => {
                    assert_eq!(ended.code, 0, "{story}");
                    assert!(ended.said.contains("Outcome: Sent"), "{story}");
                    taken += 1;
                }
                _ => panic!("twice: {story}"),
            }
            steps += 1;
        }
        if is_over {
            break;
        }
    }
    assert!(steps > 12 && taken >= 3 && lost >= 10, "{steps} steps, {taken} taken on, {lost} unknown");
}
