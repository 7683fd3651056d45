//! Erasure from outside: a real server on a real data folder, its export, the separate verifier, and every file searched.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests")]

mod support;

use bailiwick_verifier::{Options, verify};
use serde_json::{Value, json};
use std::{
    fs,
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
};
use support::{Place, Server, wait_for};

/// Content that is looked for afterwards: in an order, in an answer, in a command's output and in metadata.
const WORD: &str = "quagmire-heron-77";

fn work() -> String {
    format!(
        "[[turn]]\n[[turn.step]]\n[[turn.step.call]]\ntool = \"run_command\"\n\
         arguments = {{ command = \"echo {WORD} > note.txt; cat note.txt\" }}\n[[turn.step]]\nsay = \"{WORD} it is.\"\n"
    )
}

/// Every file below a folder whose bytes hold the word.
fn holding(folder: &Path, word: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_symlink() {
            continue;
        } else if path.is_dir() {
            found.extend(holding(&path, word));
        } else if fs::read(&path).is_ok_and(|bytes| bytes.windows(word.len()).any(|part| part == word.as_bytes())) {
            found.push(path);
        }
    }
    found
}

/// What the server answers to a request of this key.
fn post(server: &Server, key: &str, path: &str, body: &Value) -> Value {
    let mut stream = TcpStream::connect(server.url.trim_start_matches("http://")).unwrap();
    let key = if key.is_empty() { String::new() } else { format!("authorization: Bearer {key}\r\n") };
    let body = body.to_string();
    let head = format!("POST {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: application/json\r\n");
    write!(stream, "{head}{key}content-length: {}\r\n\r\n{body}", body.len()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (_, body) = answer.split_once("\r\n\r\n").unwrap();
    serde_json::from_str(body).unwrap_or_else(|_| panic!("{answer}"))
}

/// Somebody who works here: their id and bearer token.
fn person(place: &Place, server: &Server, login: &str) -> (String, String) {
    let made = place.client(&["user", "create", login, "--login", login, "--json"]).good().json();
    let (id, code) = (made["id"].as_str().unwrap(), made["set_up"]["code"].as_str().unwrap());
    let password = "seven grey herons at dusk";
    let body = json!({"code": code, "password": password});
    post(server, "", "/bailiwick/v1/sign-in/set-up", &body);
    let body = json!({"login": login, "password": password, "medium": "bearer"});
    let token = post(server, "", "/bailiwick/v1/sign-in", &body)["token"].as_str().unwrap().to_owned();
    (id.to_owned(), token)
}

#[test]
fn nothing_of_an_erased_person_is_left_and_every_proof_holds() {
    let place = Place::with_scenario(&work());
    let server = place.serve();
    let (ada, token) = person(&place, &server, "ada");
    let body = json!({
        "agent": {"model": "main"}, "environment": {"type": "openai_hosted"}, "input": WORD,
        "metadata": {"about": WORD},
    });
    let session = post(&server, &token, "/v1/agents/sessions", &body)["id"].as_str().unwrap().to_owned();
    let shown = wait_for("the work", || {
        let shown = place.client(&["session", "show", &session, "--json"]).good().json()["session"].clone();
        (shown["status"] != "in_progress").then_some(shown)
    });
    assert_eq!(shown["status"], "idle", "{shown:#}");
    let before = place.client(&["audit", "export", "--output", "before", "--json"]).good().json();
    assert!(!holding(&place.path("before"), WORD).is_empty(), "it can be read");
    assert!(!holding(&place.path("data"), WORD).is_empty(), "the sandbox and the metadata are in clear");

    place.client(&["audit", "hold", "set", &ada, "--reason", "case 7"]).good();
    let refused = place.client(&["user", "erase", "ada", "--reason", "asked", "--yes"]);
    assert!(refused.code != 0 && refused.stderr.contains("case 7"), "{refused:?}");
    let refused = place.client(&["session", "delete", &session]);
    assert!(refused.code != 0 && refused.stderr.contains("case 7"), "{refused:?}");
    assert!(place.client(&["audit", "hold", "list"]).good().stdout.contains("case 7"));
    place.client(&["audit", "hold", "lift", &ada, "--reason", "settled"]).good();

    let asked = place.client(&["user", "erase", "ada", "--reason", "asked"]);
    assert_eq!(asked.code, 2, "it wants --yes: {asked:?}");
    let said = place.client(&["user", "erase", "ada", "--reason", "asked", "--yes"]).good().stdout;
    assert!(said.contains("1 sessions"), "{said}");
    let gone = place.client(&["session", "show", &session]);
    assert!(gone.code != 0 && gone.stderr.contains("erased"), "{gone:?}");

    place.client(&["audit", "verify", "--whole"]).good();
    let after = place.client(&["audit", "export", "--output", "after", "--json"]).good().json();
    assert!(after["records"].as_u64().unwrap() > before["records"].as_u64().unwrap());
    let report = verify(&place.path("after"), Options::default()).unwrap();
    assert!(report.is_good() && report.whole, "{report:#?}");
    assert_eq!(holding(&place.path("after"), WORD), Vec::<PathBuf>::new());
    place.client(&["audit", "evidence", "--output", &place.text("hers"), "--person", &ada]).good();
    assert!(verify(&place.path("hers"), Options::default()).unwrap().is_good());
    // With the server running, and when it has carried everything over.
    assert_eq!(holding(&place.path("data"), WORD), Vec::<PathBuf>::new());
    assert_eq!(server.stop(), 0);
    assert_eq!(holding(&place.path("data"), WORD), Vec::<PathBuf>::new());
    assert!(fs::read_to_string(place.path("data/erasures.jsonl")).unwrap().contains(&ada));
    let _server = place.serve();
    place.client(&["audit", "verify", "--whole"]).good();
}

/// Takes one request and gives its head and body.
fn request(listener: &TcpListener, answer: &str) -> (String, String) {
    let (mut stream, _) = listener.accept().unwrap();
    let (mut bytes, mut piece) = (Vec::new(), [0; 4096]);
    loop {
        let count = stream.read(&mut piece).unwrap();
        bytes.extend_from_slice(&piece[..count]);
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length = head.lines().find_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok());
        if body.len() >= length.unwrap_or(0) {
            write!(stream, "HTTP/1.1 {answer}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").unwrap();
            return (head.to_lowercase(), body.to_owned());
        }
    }
}

fn indexes(lines: &str) -> Vec<u64> {
    let index = |line: &str| serde_json::from_str::<Value>(line).unwrap()["index"].as_u64().unwrap();
    lines.lines().map(index).collect()
}

#[test]
fn receipts_go_to_a_file_once_and_to_a_webhook_until_it_takes_them() {
    let place = Place::with_scenario(&work());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://127.0.0.1:{}/siem", listener.local_addr().unwrap().port());
    let config = fs::read_to_string(place.path("bailiwick.toml")).unwrap();
    let stream = format!(
        "\n[audit.stream]\nfile = \"siem/receipts.jsonl\"\nwebhook = \"{url}\"\nwebhook_secret_env = \"SIEM_SECRET\"\n"
    );
    fs::create_dir(place.path("siem")).unwrap();
    fs::write(place.path("bailiwick.toml"), config + &stream).unwrap();
    let server = place.serve_with(&[], &[("SIEM_SECRET", "known to both")]);
    place.client(&["run", "go", "--model", "main"]).good();
    // Neither an error nor a redirect counts as taken: the same batch comes again.
    let (_, first) = request(&listener, "503 Service Unavailable");
    let (_, second) = request(&listener, "307 Temporary Redirect\r\nlocation: http://127.0.0.1:1/");
    let (head, third) = request(&listener, "200 OK");
    assert_eq!(indexes(&first)[0], 0);
    assert_eq!((indexes(&second)[0], indexes(&third)[0]), (0, 0));
    let seconds = head.lines().find_map(|line| line.strip_prefix("bailiwick-timestamp: ")).unwrap();
    let signed = head.lines().find_map(|line| line.strip_prefix("bailiwick-signature: ")).unwrap();
    let secret = bailiwick_types::Secret::new("known to both");
    let made = bailiwick_identity::webhook_signature(&secret, seconds.parse().unwrap(), third.as_bytes());
    assert_eq!(signed, made);

    let file = place.path("siem/receipts.jsonl");
    let until = |operation: &str| {
        wait_for("the stream", || {
            let text = fs::read_to_string(&file).unwrap_or_default();
            text.contains(operation).then_some(text)
        })
    };
    let text = until("\"effect\":\"confirmed\"");
    assert!(!text.contains(WORD), "ids and words of ours");
    assert!(text.lines().all(|line| line.contains("\"leaf\":")));
    server.kill();
    // A crash in the middle of a line.
    let whole = fs::read_to_string(&file).unwrap();
    fs::OpenOptions::new().append(true).open(&file).unwrap().write_all(b"{\"tenant\":\"ten").unwrap();
    let server = place.serve_with(&[], &[("SIEM_SECRET", "known to both")]);
    place.client(&["user", "create", "bea", "--login", "bea"]).good();
    let text = until("user.");
    assert!(text.starts_with(&whole));
    let all = indexes(&text);
    assert!(all.windows(2).all(|pair| pair[0] < pair[1]), "each once, in order: {all:?}");
    let (_, later) = request(&listener, "200 OK");
    assert!(indexes(&later)[0] <= *indexes(&third).last().unwrap() + 10);
    drop(server);
}
