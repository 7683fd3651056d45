//! Servers that hang, flood, lie and trick: every one is met within limits, and told no secret that it may not hear.

#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "tests play servers")]

use bailiwick_core::{FailureCode, Outcome};
use bailiwick_gate::Live;
use bailiwick_mail::{Access, Account, Author, Limits, Security, Server, call};
use bailiwick_outbound::Trust;
use bailiwick_testkit::clock::ManualClock;
use bailiwick_types::{ActionId, Millis, Secret, Timestamp};
use serde_json::{Value, json};
use std::{future::Future, sync::Arc, task::Poll};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    sync::mpsc,
};

const SECRET: &str = "hunter2-long-secret";
const NOW: Timestamp = Timestamp::from_millis(1_795_260_645_000);

/// A server that plays `script`, and what it was told.
struct Played {
    port: u16,
    heard: mpsc::UnboundedReceiver<String>,
}

/// What a scripted server does, one after the other.
#[derive(Clone)]
enum Act {
    Say(Vec<u8>),
    /// Hears one line.
    Hear,
    /// Hears lines up to this one.
    Until(&'static str),
    /// Says this again and again until nobody listens.
    Flood(Vec<u8>),
    /// Does nothing any more and keeps the connection.
    Hang,
}

fn say(text: impl Into<Vec<u8>>) -> Act {
    Act::Say(text.into())
}

async fn play(script: Vec<Act>) -> Played {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (tell, heard) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            perform(stream, &script, &tell).await;
        }
    });
    Played { port, heard }
}

async fn perform(stream: TcpStream, script: &[Act], tell: &mpsc::UnboundedSender<String>) {
    let mut stream = BufReader::new(stream);
    for act in script {
        match act {
            Act::Say(bytes) => drop(stream.get_mut().write_all(bytes).await),
            Act::Hear => hear(&mut stream, tell).await,
            Act::Until(last) => while hear_line(&mut stream, tell).await.is_some_and(|line| line != *last) {},
            Act::Flood(bytes) => while stream.get_mut().write_all(bytes).await.is_ok() {},
            Act::Hang => {
                let _ = tell.send("(hangs)".into());
                let _ = stream.read_to_end(&mut Vec::new()).await;
            }
        }
    }
}

async fn hear(stream: &mut BufReader<TcpStream>, tell: &mpsc::UnboundedSender<String>) {
    hear_line(stream, tell).await;
}

async fn hear_line(stream: &mut BufReader<TcpStream>, tell: &mpsc::UnboundedSender<String>) -> Option<String> {
    let mut line = String::new();
    match stream.read_line(&mut line).await {
        Ok(read) if read > 0 => {
            let line = line.trim_end().to_owned();
            let _ = tell.send(line.clone());
            Some(line)
        }
        _ => None,
    }
}

fn plain(port: u16) -> Server {
    Server { host: "127.0.0.1".into(), port: Some(port), security: Security::None, ca_pem: None }
}

async fn run(account: &Account, clock: &ManualClock, tool: &str, arguments: &Value, live: Live) -> Outcome {
    let secret = Secret::new(SECRET);
    let author = Author { mark: "user_1".into(), person_email: Some("anna@firma.example".into()), ..Author::default() };
    let access = Access {
        account,
        secret: Some(&secret),
        author: &author,
        action: ActionId::new(NOW, [1; 10]),
        limits: Limits { output_bytes: 10_000, time: Millis(30_000), answer: Millis(60_000) },
        trust: &Trust::default(),
        clock: Arc::new(clock.clone()),
    };
    call(&access, tool, arguments, live).await
}

async fn send(port: u16, clock: &ManualClock, live: Live) -> Outcome {
    let account = Account { smtp: Some(plain(port)), username: Some("anna".into()), ..Account::default() };
    let mail = json!({"to": ["ben@firma.example"], "subject": "x", "text": "y"});
    run(&account, clock, "send_mail", &mail, live).await
}

async fn read(played: &Played, tool: &str, arguments: Value) -> Outcome {
    let account = Account { imap: Some(plain(played.port)), username: Some("anna".into()), ..Account::default() };
    run(&account, &ManualClock::new(NOW), tool, &arguments, Live::unwatched()).await
}

fn failed(outcome: Outcome, code: FailureCode) -> String {
    let Outcome::Failed { failure } = outcome else { panic!("{outcome:?}") };
    assert_eq!(failure.code, code, "{}", failure.message);
    assert!(!failure.message.contains(SECRET) && failure.message.len() < 1_000, "{}", failure.message);
    failure.message
}

/// A whole SMTP dialogue up to and without the answer to the final dot.
fn smtp_up_to(steps: usize) -> Vec<Act> {
    let all = [
        vec![say("220 hello\r\n"), Act::Hear],
        vec![say("250-hello\r\n250 AUTH PLAIN\r\n"), Act::Hear],
        vec![say("235 fine\r\n"), Act::Hear],
        vec![say("250 sender\r\n"), Act::Hear],
        vec![say("250 recipient\r\n"), Act::Hear],
        vec![say("354 go on\r\n"), Act::Until(".")],
    ];
    all.into_iter().take(steps).flatten().collect()
}

fn with(mut script: Vec<Act>, last: impl IntoIterator<Item = Act>) -> Vec<Act> {
    script.extend(last);
    script
}

#[tokio::test]
async fn a_server_that_hangs_is_left_with_the_truth() {
    for steps in 0..=6 {
        let mut played = play(with(smtp_up_to(steps), [Act::Hang])).await;
        let clock = ManualClock::new(NOW);
        let sending = send(played.port, &clock, Live::unwatched());
        tokio::pin!(sending);
        let outcome = loop {
            tokio::select! {
                biased;
                outcome = &mut sending => break outcome,
                Some(line) = played.heard.recv() => if line == "(hangs)" { clock.advance(Millis(60_000)) },
            }
        };
        if steps < 6 {
            let why = failed(outcome, FailureCode::ConnectionFailed);
            assert!(why.contains("in time"), "{why}");
        } else {
            assert!(matches!(outcome, Outcome::Unknown { .. }), "{outcome:?}");
        }
    }
}

#[tokio::test]
async fn a_cancel_ends_the_call_before_the_final_dot_and_never_after_it() {
    for steps in [3, 6] {
        let mut played = play(with(smtp_up_to(steps), [Act::Hang])).await;
        let clock = ManualClock::new(NOW);
        let (live, stopper) = Live::new(|_| ());
        let sending = send(played.port, &clock, live);
        tokio::pin!(sending);
        let outcome = loop {
            tokio::select! {
                biased;
                outcome = &mut sending => break outcome,
                Some(line) = played.heard.recv() => if line == "(hangs)" {
                    stopper.stop();
                    if steps == 6 {
                        let once = std::future::poll_fn(|context| Poll::Ready(sending.as_mut().poll(context).is_pending()));
                        assert!(once.await, "a cancel takes nothing back");
                        clock.advance(Millis(60_000));
                    }
                },
            }
        };
        match steps {
            3 => drop(failed(outcome, FailureCode::Cancelled)),
            _ => assert!(matches!(outcome, Outcome::Unknown { .. }), "{outcome:?}"),
        }
    }
}

#[tokio::test]
async fn a_server_that_floods_or_babbles_is_left_early() {
    let endless = vec![b'x'; 65_536];
    for (flood, prefix) in [
        (endless.clone(), ""),
        (b"220-more\r\n".repeat(1000), ""),
        (b"220-a\r\n250-b\r\n".to_vec(), ""),
        (b"\r\n".to_vec(), ""),
        (b"HTTP/1.1 200 OK\r\n".to_vec(), ""),
    ] {
        let played = play(vec![say(prefix), Act::Flood(flood)]).await;
        failed(send(played.port, &ManualClock::new(NOW), Live::unwatched()).await, FailureCode::MalformedAnswer);
    }
    // After the final dot, nothing that is not an answer is one.
    for odd in [&b"250"[..], b"\xff\xfe\r\n", b"354 again\r\n", b"250-yes\r\n550 no\r\n", b"2500 yes\r\n", b""] {
        let script = with(smtp_up_to(6), [say(odd)]);
        let played = play(script).await;
        let outcome = send(played.port, &ManualClock::new(NOW), Live::unwatched()).await;
        assert!(matches!(outcome, Outcome::Unknown { .. }), "{odd:?}: {outcome:?}");
    }
    for (answer, code) in [("550 no\r\n", FailureCode::ToolError), ("451 later\r\n", FailureCode::Overloaded)] {
        let played = play(with(smtp_up_to(6), [say(answer)])).await;
        failed(send(played.port, &ManualClock::new(NOW), Live::unwatched()).await, code);
    }
}

#[tokio::test]
async fn a_server_that_says_the_secret_back_is_not_repeated() {
    use base64::{Engine, engine::general_purpose::STANDARD};
    let said = STANDARD.encode(format!("\0anna\0{SECRET}"));
    let script = with(smtp_up_to(2), [say(format!("535 no: {said} {SECRET}\r\n"))]);
    let played = play(script).await;
    let why =
        failed(send(played.port, &ManualClock::new(NOW), Live::unwatched()).await, FailureCode::AuthenticationFailed);
    assert!(!why.contains(&said), "{why}");
    let script = vec![
        say("* OK hello\r\n"),
        Act::Hear,
        say("* CAPABILITY IMAP4rev1 AUTH=PLAIN\r\nb1 OK\r\n"),
        Act::Hear,
        say("+\r\n"),
        Act::Hear,
        say(format!("b2 NO {said} {SECRET}\r\n")),
    ];
    let why =
        failed(read(&play(script).await, "list_mail_folders", json!({})).await, FailureCode::AuthenticationFailed);
    assert!(!why.contains(&said), "{why}");
}

/// What is said in plain text before TLS would be taken for an answer in private.
#[tokio::test]
async fn nothing_is_slipped_in_before_tls_begins() {
    let mut played = play(vec![
        say("220 hello\r\n"),
        Act::Hear,
        say("250-hello\r\n250 STARTTLS\r\n"),
        Act::Hear,
        say("220 go on\r\n250-hello\r\n250 AUTH PLAIN\r\n"),
        Act::Hear,
    ])
    .await;
    let server = Server { security: Security::Starttls, ..plain(played.port) };
    let account = Account { smtp: Some(server), username: Some("anna".into()), ..Account::default() };
    let mail = json!({"to": ["ben@firma.example"], "subject": "x", "text": "y"});
    let outcome = run(&account, &ManualClock::new(NOW), "send_mail", &mail, Live::unwatched()).await;
    let why = failed(outcome, FailureCode::ConnectionFailed);
    assert!(why.contains("between the offer of TLS"), "{why}");
    while let Ok(line) = played.heard.try_recv() {
        assert!(!line.contains("AUTH"), "{line}");
    }
}

/// IMAP up to the first command of the tool, which is `b4`.
fn imap(last: impl IntoIterator<Item = Act>) -> Vec<Act> {
    let script = vec![
        say("* OK hello\r\n"),
        Act::Hear,
        say("* CAPABILITY IMAP4rev1 AUTH=PLAIN\r\nb1 OK\r\n"),
        Act::Hear,
        say("+\r\n"),
        Act::Hear,
        say("b2 OK\r\n"),
        Act::Hear,
        say("* CAPABILITY IMAP4rev1\r\nb3 OK\r\n"),
        Act::Hear,
    ];
    with(script, last)
}

#[tokio::test]
async fn a_mailbox_that_floods_or_lies_about_sizes_is_left_early() {
    let floods =
        [vec![b'x'; 65_536], b"* LIST () \"/\" INBOX\r\n".repeat(100), b"* OK\r\n".to_vec(), b"+\r\n".to_vec()];
    for flood in floods {
        let played = play(imap([Act::Flood(flood)])).await;
        failed(read(&played, "list_mail_folders", json!({})).await, FailureCode::MalformedAnswer);
    }
    for odd in [
        "* LIST () \"/\" {99999999}\r\n",
        "* LIST () \"/\" {18446744073709551615}\r\n",
        "garbage\r\n",
        "b9 OK\r\n",
        "\r\n",
        "* LIST (((((((((((((((((((((((((((((((\r\nb4 OK\r\n",
        "* LIST () \"/\" \"INBOX\r\nb4 OK\r\n",
    ] {
        let played = play(imap([say(odd)])).await;
        failed(read(&played, "list_mail_folders", json!({})).await, FailureCode::MalformedAnswer);
    }
    for end in ["* BYE\r\n", "* LIST () \"/\" {50}\r\nx", ""] {
        let played = play(imap([say(end)])).await;
        failed(read(&played, "list_mail_folders", json!({})).await, FailureCode::ConnectionFailed);
    }
    for greeting in ["* BYE go away\r\n", "220 smtp\r\n"] {
        failed(
            read(&play(vec![say(greeting)]).await, "list_mail_folders", json!({})).await,
            FailureCode::MalformedAnswer,
        );
    }
}

#[tokio::test]
async fn a_mailbox_that_tells_of_other_mails_is_not_believed() {
    let folder = "* OK [UIDVALIDITY 7] x\r\nb4 OK\r\n";
    let script = imap([
        say(folder),
        Act::Hear,
        say("* SEARCH 1\r\nb5 OK\r\n"),
        Act::Hear,
        say("* 1 FETCH (UID 2 FLAGS () RFC822.SIZE 1 BODY[] \"Subject: other\")\r\n\
             * 1 FETCH (UID 1 FLAGS () RFC822.SIZE 99999999999999999999 BODY[HEADER.FIELDS (SUBJECT)] {15}\r\nSubject: mine\r\n)\r\n\
             * 1 FETCH (UID 1 FLAGS () RFC822.SIZE 1 BODY[] \"Subject: twice\")\r\nb6 OK\r\n"),
        Act::Hear,
    ]);
    let outcome = read(&play(script).await, "search_mail", json!({})).await;
    let shown = format!("{outcome:?}");
    assert!(shown.contains("mine") && !shown.contains("other") && !shown.contains("twice"), "{shown}");
    // The folder was made anew since the number was told: another mail may have it now.
    let script = imap([say(folder), Act::Hear]);
    let why = failed(read(&play(script).await, "read_mail", json!({"id": "6.1"})).await, FailureCode::ToolError);
    assert!(why.contains("search for it again"), "{why}");
}

#[tokio::test]
async fn a_folder_with_very_many_mails_is_searched() {
    let numbers: Vec<String> = (1..=20_000).map(|number| (1_000_000 + number).to_string()).collect();
    let search = |line: String| {
        imap([say("* OK [UIDVALIDITY 7] x\r\nb4 OK\r\n"), Act::Hear, say(line), Act::Hear, say("b6 OK\r\n"), Act::Hear])
    };
    let script = search(format!("* SEARCH {}\r\nb5 OK\r\n", numbers.join(" ")));
    let mut played = play(script).await;
    read(&played, "search_mail", json!({})).await;
    let mut asked = String::new();
    while let Ok(line) = played.heard.try_recv() {
        asked = if line.contains("UID FETCH") { line } else { asked };
    }
    assert!(asked.contains(" 1020000,1019999,") && asked.matches(',').count() == 19, "{asked}");
    let fetched: String = (0..20)
        .map(|at| format!("* 1 FETCH (UID {} FLAGS () RFC822.SIZE 1 BODY[] \"Subject: x\")\r\n", 1_020_000 - at))
        .collect();
    let mut script = search(format!("* SEARCH {}\r\nb5 OK\r\n", numbers.join(" ")));
    script.truncate(script.len() - 2);
    script.push(say(format!("{fetched}b6 OK\r\n")));
    let shown = format!("{:?}", read(&play(script).await, "search_mail", json!({})).await);
    assert!(shown.contains("20000 mails match; the newest 20"), "{shown}");
    // No other answer may be as long, and not even this one without an end.
    let long = format!("* LIST () \"/\" {}\r\nb4 OK\r\n", "x".repeat(100_000));
    failed(read(&play(imap([say(long)])).await, "list_mail_folders", json!({})).await, FailureCode::MalformedAnswer);
    let endless = with(search("* SEARCH".into())[..13].to_vec(), [Act::Flood(b" 1".repeat(10_000))]);
    failed(read(&play(endless).await, "search_mail", json!({})).await, FailureCode::MalformedAnswer);
}
