//! Sending and reading against real servers: aiosmtpd and Dovecot.

#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "tests start servers and read files")]

mod servers;

use bailiwick_core::{ActionResult, FailureCode, Outcome, joined_text};
use bailiwick_gate::Live;
use bailiwick_mail::{Access, Account, Address, LookedUp, Security, SignIn, call, look_up, message_id};
use bailiwick_outbound::Trust;
use bailiwick_types::{ActionId, Secret};
use serde_json::{Value, json};
use servers::{Dovecot, PASSWORD, SmtpServer, WallClock, account, action, author, limits, patience, plain, private};
use std::{fs, sync::Arc};

async fn run_as(account: &Account, secret: &str, id: ActionId, tool: &str, arguments: Value) -> Outcome {
    run_by(account, &Trust::default(), secret, id, tool, arguments).await
}

async fn run_by(account: &Account, trust: &Trust, secret: &str, id: ActionId, tool: &str, arguments: Value) -> Outcome {
    let (secret, author) = (Secret::new(secret), author());
    let access = Access {
        account,
        secret: Some(&secret),
        author: &author,
        action: id,
        limits: limits(),
        trust,
        clock: Arc::new(WallClock),
    };
    call(&access, tool, &arguments, Live::unwatched()).await
}

async fn run(account: &Account, tool: &str, arguments: Value) -> Outcome {
    run_as(account, PASSWORD, action(), tool, arguments).await
}

fn text(outcome: Outcome) -> String {
    match outcome {
        Outcome::Confirmed { result: ActionResult::Tool(answer) } => joined_text(&answer.content),
        other => panic!("{other:?}"),
    }
}

fn failure(outcome: Outcome) -> (FailureCode, String) {
    match outcome {
        Outcome::Failed { failure } => (failure.code, failure.message),
        other => panic!("{other:?}"),
    }
}

fn mail(to: &[&str]) -> Value {
    json!({"to": to, "subject": "Zahlen für Köln", "text": "Hallo,\n.\nhier sind sie."})
}

#[tokio::test]
async fn a_mail_is_sent_marked_and_filed_once() {
    let (smtp, imap) = (SmtpServer::start("plain", None), Dovecot::start());
    let account = account(Some(plain(smtp.port)), Some(plain(imap.port)));
    let id = action();
    let arguments = json!({
        "to": ["Ben@Firma.example"], "cc": ["cleo@partner.example"], "bcc": ["dora@firma.example"],
        "subject": "Zahlen für Köln", "text": "Hallo,\n.\nhier sind sie.",
        "attachments": [{"name": "Übersicht.csv", "media_type": "text/csv", "text": "a;b\n"}]
    });
    let told = text(run_as(&account, PASSWORD, id, "send_mail", arguments).await);
    let message_id = message_id(id, &Address::parse("anna@firma.example").unwrap());
    assert!(told.contains(&message_id) && told.contains("`Sent`"), "{told}");

    let accepted = smtp.accepted();
    assert_eq!(accepted.len(), 1);
    assert_eq!(accepted[0]["id"], json!(message_id));
    assert_eq!(accepted[0]["to"], json!(["ben@firma.example", "cleo@partner.example", "dora@firma.example"]));
    assert_eq!(accepted[0]["subject"], "Zahlen für Köln");
    assert_eq!((&accepted[0]["auto"], &accepted[0]["author"]), (&json!("auto-generated"), &json!(servers::MARK)));
    let body = accepted[0]["text"].as_str().unwrap();
    assert!(body.starts_with("Hallo,\n.\nhier sind sie."), "{body}");
    assert!(body.contains("Written by the AI colleague Nora for Anna Müller."), "{body}");
    assert_eq!(accepted[0]["files"], json!([["Übersicht.csv", 4]]));

    // The copy is there, is found by its id, and a look changes nothing.
    let login = account.login(Some(&Secret::new(PASSWORD))).unwrap();
    let found = look_up(&account, login.as_ref(), &message_id, &Trust::default(), &patience()).await;
    assert_eq!(found, Ok(LookedUp::Found { folder: "Sent".into() }));
    let other = look_up(&account, login.as_ref(), "<never@firma.example>", &Trust::default(), &patience()).await;
    assert_eq!(other, Ok(LookedUp::NotFound));
}

#[tokio::test]
async fn what_the_server_filed_itself_is_not_filed_again() {
    let imap = Dovecot::start();
    let smtp = SmtpServer::start("plain", Some(&imap.maildir("Sent")));
    let account = account(Some(plain(smtp.port)), Some(plain(imap.port)));
    text(run(&account, "send_mail", mail(&["ben@firma.example"])).await);
    let copies = ["cur", "new"].map(|part| fs::read_dir(imap.maildir("Sent").join(part)).unwrap().count());
    assert_eq!(copies.iter().sum::<usize>(), 1);
}

#[tokio::test]
async fn who_is_refused_is_named_and_nobody_gets_the_mail() {
    let smtp = SmtpServer::start("plain", None);
    let account = account(Some(plain(smtp.port)), None);
    let (code, why) = failure(run(&account, "send_mail", mail(&["ben@firma.example", "nobody@firma.example"])).await);
    assert_eq!(code, FailureCode::ToolError);
    assert!(why.contains("nobody@firma.example") && why.contains("nobody was sent"), "{why}");
    let refused = json!({"to": ["ben@firma.example"], "subject": "refuse this", "text": "x"});
    let (_, why) = failure(run(&account, "send_mail", refused).await);
    assert!(why.contains("554"), "{why}");
    let (code, why) = failure(run_as(&account, "wrong", action(), "send_mail", mail(&["ben@firma.example"])).await);
    assert_eq!(code, FailureCode::AuthenticationFailed);
    assert!(!why.contains("wrong"), "{why}");
    assert_eq!(smtp.accepted().len(), 0);
}

#[tokio::test]
async fn a_connection_is_private_before_anything_is_said() {
    for (mode, security) in [("tls", Security::Tls), ("starttls", Security::Starttls)] {
        let smtp = SmtpServer::start(mode, None);
        let mut account = account(Some(private(smtp.port, security)), None);
        text(run(&account, "send_mail", mail(&["ben@firma.example"])).await);
        assert_eq!(smtp.accepted().len(), 1, "{mode}");
        // Another authority's certificate is nobody's word.
        let server = account.smtp.as_mut().unwrap();
        server.ca_pem = Some(fs::read_to_string(servers::tls("other.pem")).unwrap());
        let (code, why) = failure(run(&account, "send_mail", mail(&["ben@firma.example"])).await);
        assert_eq!(code, FailureCode::ConnectionFailed, "{why}");
        assert_eq!(smtp.accepted().len(), 1, "{mode}");
        // Without one of its own it is known by those that the operator named for everything, and by nobody else.
        account.smtp.as_mut().unwrap().ca_pem = None;
        let trust = Trust::new(Some(fs::read(servers::tls("ca.pem")).unwrap()));
        let sent = mail(&["ben@firma.example"]);
        text(run_by(&account, &trust, PASSWORD, action(), "send_mail", sent.clone()).await);
        assert_eq!(smtp.accepted().len(), 2, "{mode}");
        let other = Trust::new(Some(fs::read(servers::tls("other.pem")).unwrap()));
        failure(run_by(&account, &other, PASSWORD, action(), "send_mail", sent).await);
        assert_eq!(smtp.accepted().len(), 2, "{mode}");
    }
    // Not offered: not used, and not gone around.
    let smtp = SmtpServer::start("open", None);
    let stripped = account(Some(private(smtp.port, Security::Starttls)), None);
    let (_, why) = failure(run(&stripped, "send_mail", mail(&["ben@firma.example"])).await);
    assert!(why.contains("STARTTLS"), "{why}");
    // In plain text, to this machine only: the address is looked at, and no connection made.
    let mut far = account(Some(plain(25)), None);
    far.smtp.as_mut().unwrap().host = "192.0.2.1".into();
    let (_, why) = failure(run(&far, "send_mail", mail(&["ben@firma.example"])).await);
    assert!(why.contains("without TLS only a server on this machine"), "{why}");
}

#[tokio::test]
async fn a_relay_that_knows_this_machine_needs_no_secret() {
    let smtp = SmtpServer::start("open", None);
    let mut account = account(Some(plain(smtp.port)), None);
    account.sign_in = SignIn::None;
    text(run(&account, "send_mail", mail(&["ben@firma.example"])).await);
    assert_eq!(smtp.accepted().len(), 1);
}

#[tokio::test]
async fn no_argument_adds_a_header_a_recipient_or_a_command() {
    let smtp = SmtpServer::start("plain", None);
    let account = account(Some(plain(smtp.port)), None);
    for (field, value) in [
        ("to", json!(["ben@firma.example\r\nRCPT TO:<evil@evil.example>"])),
        ("to", json!(["ben@firma.example> ORCPT=x"])),
        ("cc", json!(["cleo@partner.example\nBcc: evil@evil.example"])),
        ("bcc", json!(["Evil <evil@evil.example>"])),
        ("subject", json!("x\r\nBcc: evil@evil.example")),
        ("subject", json!("x\r\n\r\n.\r\nMAIL FROM:<evil@evil.example>")),
        ("in_reply_to", json!("<1@a.example>\r\nBcc: evil@evil.example")),
        ("attachments", json!([{"name": "a\r\nX: y", "media_type": "text/plain", "text": "x"}])),
        ("attachments", json!([{"name": "a", "media_type": "text/plain; x=\"\r\n\"", "text": "x"}])),
        ("from", json!("evil@evil.example")),
        ("headers", json!({"Bcc": "evil@evil.example"})),
    ] {
        let mut arguments = mail(&["ben@firma.example"]);
        arguments[field] = value.clone();
        let (code, why) = failure(run(&account, "send_mail", arguments).await);
        assert_eq!(code, FailureCode::InvalidRequest, "{value}");
        assert!(why.contains(field), "{why}");
    }
    assert_eq!(smtp.accepted().len(), 0);
    // Text may hold whatever it likes: it stays text.
    let mut arguments = mail(&["ben@firma.example"]);
    arguments["text"] =
        json!("a\r\n.\r\nMAIL FROM:<evil@evil.example>\r\nRCPT TO:<evil@evil.example>\r\n\n.\n\r.\r\nQUIT");
    text(run(&account, "send_mail", arguments).await);
    let accepted = smtp.accepted();
    assert_eq!(accepted.len(), 1);
    assert_eq!(accepted[0]["to"], json!(["ben@firma.example"]));
    assert!(accepted[0]["text"].as_str().unwrap().contains("\n.\nMAIL FROM:<evil@evil.example>"));
}

fn message(from: &str, subject: &str, body: &str, number: u32) -> Vec<u8> {
    format!(
        "From: {from}\r\nTo: anna@firma.example\r\nSubject: {subject}\r\nDate: Sat, 21 Nov 2026 10:00:0{number} +0100\r\n\
         Message-ID: <{number}@partner.example>\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n{body}\r\n"
    )
    .into_bytes()
}

fn ids(list: &str) -> Vec<String> {
    let ids = list.lines().filter_map(|line| line.strip_prefix("- id "));
    ids.map(|rest| rest.split(':').next().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn mail_is_found_and_read_and_stays_unread_until_it_is_marked() {
    let imap = Dovecot::start();
    let account = account(None, Some(plain(imap.port)));
    imap.deliver("1", &message("ben@partner.example", "Budget", "Die Zahlen über alles", 1));
    imap.deliver("2", &message("=?utf-8?q?J=C3=B6rg?= <joerg@partner.example>", "Lunch", "Pasta?", 2));
    imap.deliver("3", &message("ben@partner.example", "Long", &"line\r\n".repeat(30_000), 3));

    let folders = text(run(&account, "list_mail_folders", json!({})).await);
    assert!(folders.contains("INBOX") && folders.contains("Sent (sent)"), "{folders}");

    let all = text(run(&account, "search_mail", json!({"unread": true})).await);
    assert_eq!(ids(&all).len(), 3, "{all}");
    assert!(all.contains("Jörg <joerg@partner.example>") && all.contains("unread"), "{all}");
    let newest = text(run(&account, "search_mail", json!({"limit": 1})).await);
    assert!(newest.starts_with("3 mails match; the newest 1") && ids(&newest).len() == 1, "{newest}");
    let by_text = text(run(&account, "search_mail", json!({"text": "über", "since": "2020-01-01"})).await);
    assert_eq!(ids(&by_text).len(), 1, "{by_text}");
    let none = text(run(&account, "search_mail", json!({"before": "2020-01-01"})).await);
    assert!(none.starts_with("No mail"), "{none}");

    let id = ids(&by_text).remove(0);
    let read = text(run(&account, "read_mail", json!({"id": id})).await);
    assert!(read.contains("From: ben@partner.example\n") && read.contains("Die Zahlen über alles"), "{read}");
    let still = text(run(&account, "search_mail", json!({"unread": true})).await);
    assert_eq!(ids(&still).len(), 3, "reading marks nothing");
    text(run(&account, "mark_mail_read", json!({"id": id})).await);
    text(run(&account, "mark_mail_read", json!({"id": id})).await);
    let still = text(run(&account, "search_mail", json!({"unread": true})).await);
    assert_eq!(ids(&still).len(), 2);

    let long = ids(&text(run(&account, "search_mail", json!({"subject": "Long"})).await)).remove(0);
    let read = text(run(&account, "read_mail", json!({"id": long})).await);
    assert!(read.len() <= limits().output_bytes + 100 && read.contains("[cut here"), "{}", read.len());

    for (arguments, field) in [
        (json!({"id": "1.999999"}), "search for it again"),
        (json!({"id": "x"}), "`id`"),
        (json!({"id": "1.1 BODY[]"}), "`id`"),
        (json!({"id": id, "folder": "Nowhere"}), "Nowhere"),
        (json!({"id": id, "folder": "INBOX\"\r\nb9 DELETE Sent"}), "`folder`"),
        (json!({"id": id, "mark": true}), "mark"),
    ] {
        let (_, why) = failure(run(&account, "read_mail", arguments).await);
        assert!(why.contains(field), "{why}");
    }
    for arguments in [json!({"from": "x\r\nb9 DELETE Sent"}), json!({"since": "1-Nov-2026 ALL"})] {
        assert_eq!(failure(run(&account, "search_mail", arguments).await).0, FailureCode::InvalidRequest);
    }
}

#[tokio::test]
async fn a_mailbox_is_signed_in_to_in_private() {
    let imap = Dovecot::start();
    for (port, security) in [(imap.tls_port, Security::Tls), (imap.port, Security::Starttls)] {
        let account = account(None, Some(private(port, security)));
        let folders = text(run(&account, "list_mail_folders", json!({})).await);
        assert!(folders.contains("INBOX"), "{folders}");
        let (code, why) = failure(run_as(&account, "wrong", action(), "list_mail_folders", json!({})).await);
        assert_eq!(code, FailureCode::AuthenticationFailed, "{why}");
    }
}
