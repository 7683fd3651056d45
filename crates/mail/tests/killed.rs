//! Mail under kill -9 and under lost connections at every point of the SMTP dialogue.
//!
//! A sender (a process of its own) speaks through a line that this test holds in its hands to a real server, which writes
//! down what it took on and files it as providers do. At each step, in both directions, the line stops; then the sender is
//! killed, or the connection is cut; and what was on its way either still arrives or does not. What the server took on is
//! compared with what the sender says: never twice, never *failed* when it was taken on, never *sent* when it was not.

#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "tests start processes and speak to them")]

#[path = "servers/line.rs"]
mod line;
mod servers;

use bailiwick_core::Outcome;
use bailiwick_gate::Live;
use bailiwick_mail::{Access, Account, Address, LookedUp, call, look_up, message_id};
use bailiwick_outbound::Trust;
use bailiwick_types::{ActionId, Secret};
use line::Line;
use serde_json::json;
use servers::{Dovecot, PASSWORD, SmtpServer, WallClock, account, action, author, limits, patience, plain};
use std::{path::Path, process::Stdio, sync::Arc};
use tokio::{
    net::{TcpListener, TcpStream},
    process::{Child, Command},
};

/// More steps than any dialogue here has.
const MOST: usize = 40;

/// What happens at a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Blow {
    Kill,
    Cut,
}

/// What becomes of the bytes that are on their way then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wire {
    Arrives,
    IsLost,
}

/// One try: the line stops at `stop`, the blow falls, and what the sender had to say is returned.
async fn strike(world: &World, stop: usize, blow: Blow, wire: Wire) -> Option<(String, ActionId, Option<Outcome>)> {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (id, told) = (action(), world.folder.path().join("told"));
    let _ = std::fs::remove_file(&told);
    let mut sender = sender(port, world.imap.port, id, &told);
    let client = listener.accept().await.unwrap().0;
    let mut line = Line::new(client, TcpStream::connect(("127.0.0.1", world.smtp.port)).await.unwrap());
    let Some(stopped) = line.pass(stop).await else {
        sender.wait().await.unwrap();
        return None;
    };
    if blow == Blow::Kill {
        sender.kill().await.unwrap();
    }
    line.end(&stopped, wire == Wire::Arrives).await;
    sender.wait().await.unwrap();
    let outcome = std::fs::read(&told).ok().map(|bytes| serde_json::from_slice(&bytes).unwrap());
    Some((stopped.at, id, outcome))
}

struct World {
    imap: Dovecot,
    smtp: SmtpServer,
    folder: tempfile::TempDir,
}

/// The sender's process: this very program, at [`sends_one_mail`].
fn sender(smtp: u16, imap: u16, id: ActionId, told: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "sends_one_mail"])
        .env("MAIL_TEST", json!({"smtp": smtp, "imap": imap, "action": id, "told": told}).to_string())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap()
}

fn mailbox(smtp: u16, imap: u16) -> Account {
    let mut account = account(Some(plain(smtp)), Some(plain(imap)));
    account.sent.copy = false;
    account
}

/// A part of the tests below, which run it in a process of its own; by itself it has nothing to send.
#[tokio::test]
async fn sends_one_mail() {
    let Ok(told) = std::env::var("MAIL_TEST") else { return };
    let task: serde_json::Value = serde_json::from_str(&told).unwrap();
    let port = |name: &str| u16::try_from(task[name].as_u64().unwrap()).unwrap();
    let account = mailbox(port("smtp"), port("imap"));
    let (secret, author) = (Secret::new(PASSWORD), author());
    let access = Access {
        account: &account,
        secret: Some(&secret),
        author: &author,
        action: serde_json::from_value(task["action"].clone()).unwrap(),
        limits: limits(),
        trust: &Trust::default(),
        clock: Arc::new(WallClock),
    };
    let mail = json!({"to": ["ben@firma.example", "cleo@firma.example"], "subject": "Once", "text": "and never twice"});
    let outcome = call(&access, "send_mail", &mail, Live::unwatched()).await;
    let path = task["told"].as_str().unwrap();
    std::fs::write(format!("{path}.part"), serde_json::to_vec(&outcome).unwrap()).unwrap();
    std::fs::rename(format!("{path}.part"), path).unwrap();
}

/// Every step with every wire. Returns what was seen: step, times taken on, outcome.
async fn every_step(blow: Blow) -> Vec<(String, usize, Option<Outcome>)> {
    let imap = Dovecot::start();
    let smtp = SmtpServer::start("plain", Some(&imap.maildir("Sent")));
    let world = World { imap, smtp, folder: tempfile::TempDir::new().unwrap() };
    let account = mailbox(world.smtp.port, world.imap.port);
    let login = account.login(Some(&Secret::new(PASSWORD))).unwrap();
    let from = Address::parse("anna@firma.example").unwrap();
    let mut seen = Vec::new();
    for wire in [Wire::Arrives, Wire::IsLost] {
        for stop in 0..MOST {
            let Some((at, id, outcome)) = strike(&world, stop, blow, wire).await else { break };
            let message_id = message_id(id, &from);
            let count = world.smtp.count(&message_id);
            let story = format!("{blow:?} at {at}, and what was on its way {wire:?}: {count} times, {outcome:?}");
            assert!(count <= 1, "twice: {story}");
            match &outcome {
                Some(Outcome::Confirmed { .. }) => assert_eq!(count, 1, "said to be sent: {story}"),
                Some(Outcome::Failed { .. } | Outcome::NotSent { .. }) => {
                    assert_eq!(count, 0, "said to have failed: {story}")
                }
                // Unknown, or nothing said because the sender is dead: the mailbox settles it.
                Some(Outcome::Unknown { .. }) | None => {
                    let found =
                        look_up(&account, login.as_ref(), &message_id, &Trust::default(), &patience()).await.unwrap();
                    let found = matches!(found, LookedUp::Found { .. });
                    assert_eq!(found, count == 1, "looked up: {story}");
                }
            }
            seen.push((at, count, outcome));
        }
    }
    seen
}

#[tokio::test]
async fn a_sender_that_is_killed_at_any_step_has_sent_at_most_once() {
    let seen = every_step(Blow::Kill).await;
    assert!(seen.len() > 30, "{} steps", seen.len());
    // The step that all of this is about: dead, and yet taken on.
    assert!(seen.iter().any(|(at, count, outcome)| at == "final dot" && *count == 1 && outcome.is_none()));
    assert!(seen.iter().any(|(at, count, _)| at == "final dot" && *count == 0));
}

#[tokio::test]
async fn a_connection_that_is_cut_at_any_step_leaves_a_true_outcome() {
    let seen = every_step(Blow::Cut).await;
    assert!(seen.len() > 30, "{} steps", seen.len());
    for (at, count, outcome) in &seen {
        // Before the mail was handed over it has certainly failed; afterwards it is never said to have.
        let handed_over = at == "message"
            || at == "final dot"
            || at.starts_with("answer 250 2.0.0")
            || at.starts_with("QUIT")
            || at.starts_with("answer 221");
        // Whoever was told to go on hands the mail over at once, and cannot see that nobody takes it.
        if at.starts_with("answer 354") {
            assert!(
                *count == 0 && matches!(outcome, Some(Outcome::Failed { .. } | Outcome::Unknown { .. })),
                "{outcome:?}"
            );
            continue;
        }
        match outcome {
            Some(Outcome::Failed { .. }) => assert!(!handed_over, "{at}: {outcome:?}"),
            Some(Outcome::Confirmed { .. }) => assert!(handed_over && *count == 1, "{at}: {outcome:?}"),
            Some(Outcome::Unknown { .. }) => assert!(handed_over && *count == 0, "{at}: {outcome:?}"),
            other => panic!("{at}: {other:?}"),
        }
    }
    // An answer that was lost while the mail was taken on is settled by the mailbox, in the same call.
    let settled = |(at, count, outcome): &(String, usize, Option<Outcome>)| {
        at.starts_with("answer 250 2.0.0") && *count == 1 && matches!(outcome, Some(Outcome::Confirmed { .. }))
    };
    assert!(seen.iter().any(settled));
}
