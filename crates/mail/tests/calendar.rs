//! Events against a real calendar server, radicale, and against servers that lie.

#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "tests start servers and read files")]

mod servers;

use bailiwick_core::{ActionResult, FailureCode, Outcome, joined_text};
use bailiwick_gate::Live;
use bailiwick_mail::{CalendarAccess, CalendarAccount, CalendarSignIn, call_calendar};
use bailiwick_outbound::{Options, Outbound};
use bailiwick_testkit::clock::ManualClock;
use bailiwick_types::{ActionId, Secret, Timestamp};
use serde_json::{Value, json};
use servers::{PASSWORD, Radicale, action, author, limits};
use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

fn account(url: String) -> CalendarAccount {
    CalendarAccount {
        url,
        username: Some("anna".into()),
        sign_in: CalendarSignIn::Password,
        time_zone: Some("Europe/Berlin".into()),
        calendar: None,
    }
}

async fn run_as(account: &CalendarAccount, secret: &str, id: ActionId, tool: &str, value: Value) -> Outcome {
    let (secret, author, outbound) = (Secret::new(secret), author(), Outbound::new(Options::default()));
    let access = CalendarAccess {
        account,
        secret: Some(&secret),
        author: &author,
        action: id,
        limits: limits(),
        outbound: &outbound,
        clock: Arc::new(ManualClock::new(Timestamp::from_millis(1_795_260_645_000))),
    };
    call_calendar(&access, tool, &value, Live::unwatched()).await
}

async fn run(account: &CalendarAccount, tool: &str, value: Value) -> Outcome {
    run_as(account, PASSWORD, action(), tool, value).await
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

#[tokio::test]
async fn an_event_is_created_once_and_seen_with_who_attends() {
    let server = Radicale::start();
    server.calendar("own", "Home");
    let account = account(server.url("anna/"));
    let event = json!({
        "title": "Review, Q4", "start": "2026-11-23T15:00", "end": "2026-11-23T16:00", "location": "Room 1",
        "description": "Agenda:\nATTENDEE:mailto:evil@evil.example", "attendees": ["ben@firma.example", "Cleo@Partner.example"]
    });
    let id = action();
    let made = text(run_as(&account, PASSWORD, id, "create_event", event.clone()).await);
    assert!(made.contains("Created `Review, Q4` in the calendar `Home`"), "{made}");
    let again = text(run_as(&account, PASSWORD, id, "create_event", event).await);
    assert!(again.contains("was there already"), "{again}");
    assert_eq!(server.objects("own").len(), 1);

    let listed = text(run(&account, "list_events", json!({"from": "2026-11-23", "to": "2026-11-23"})).await);
    assert!(listed.starts_with("- 2026-11-23 15:00 to 16:00 (Europe/Berlin): Review, Q4\n"), "{listed}");
    assert!(
        listed.contains("attendees: ben@firma.example (needs-action), cleo@partner.example (needs-action)\n"),
        "{listed}"
    );
    assert!(listed.contains("organizer: anna@firma.example") && listed.contains("calendar: Home"), "{listed}");
    assert!(listed.contains("  | Written by an AI colleague: user_1"), "{listed}");
    let tokyo = json!({"from": "2026-11-23T23:00", "to": "2026-11-24T01:00", "time_zone": "Asia/Tokyo"});
    assert!(
        text(run(&account, "list_events", tokyo).await).contains("2026-11-23 23:00 to 2026-11-24 00:00 (Asia/Tokyo)")
    );
    let other = text(run(&account, "list_events", json!({"from": "2026-11-24", "to": "2026-11-30"})).await);
    assert!(other.starts_with("Nothing"), "{other}");
}

#[tokio::test]
async fn what_is_proposed_is_tentative_and_invites_nobody() {
    let server = Radicale::start();
    server.calendar("own", "Home");
    server.calendar("team", "Team");
    let mut account = account(server.url("anna/"));
    account.calendar = Some("Team".into());
    let event =
        json!({"title": "Maybe", "start": "2026-12-24", "end": "2026-12-25", "attendees": ["ben@firma.example"]});
    text(run(&account, "propose_event", event).await);
    let objects = server.objects("team");
    assert_eq!((objects.len(), server.objects("own").len()), (1, 0));
    assert!(objects[0].contains("STATUS:TENTATIVE") && objects[0].contains("SCHEDULE-AGENT=NONE"), "{}", objects[0]);
    let listed =
        text(run(&account, "list_events", json!({"from": "2026-12-01", "to": "2026-12-31", "text": "maybe"})).await);
    assert!(listed.starts_with("- 2026-12-24 to 2026-12-25, all day: Maybe\n"), "{listed}");
    assert!(listed.contains("status: tentative"), "{listed}");
}

#[tokio::test]
async fn what_repeats_is_seen_each_time() {
    let server = Radicale::start();
    server.calendar("own", "Home");
    let series = "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:x\r\nBEGIN:VEVENT\r\nUID:s1\r\nDTSTAMP:20260101T000000Z\r\n\
        DTSTART;TZID=Europe/Berlin:20261020T090000\r\nDURATION:PT30M\r\nRRULE:FREQ=WEEKLY\r\nSUMMARY:Jour fixe\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n";
    server.put("own", "s1", series);
    let account = account(server.url("anna/own/"));
    let listed = text(run(&account, "list_events", json!({"from": "2026-10-19", "to": "2026-11-01"})).await);
    let lines: Vec<&str> = listed.lines().filter(|line| line.starts_with("- ")).collect();
    assert_eq!(
        lines,
        [
            "- 2026-10-20 09:00 to 09:30 (Europe/Berlin): Jour fixe",
            "- 2026-10-27 09:00 to 09:30 (Europe/Berlin): Jour fixe"
        ]
    );
}

#[tokio::test]
async fn what_cannot_be_done_says_why() {
    let server = Radicale::start();
    server.calendar("own", "Home");
    let account = account(server.url("anna/"));
    let (code, why) = failure(
        run_as(&account, "wrong", action(), "list_events", json!({"from": "2026-11-23", "to": "2026-11-23"})).await,
    );
    assert_eq!(code, FailureCode::AuthenticationFailed);
    assert!(!why.contains("wrong"), "{why}");
    for (tool, value, field) in [
        ("list_events", json!({"from": "yesterday", "to": "2026-11-23"}), "`from`"),
        ("list_events", json!({"from": "2026-11-23", "to": "2026-11-22"}), "`to`"),
        ("list_events", json!({"from": "2020-11-23", "to": "2026-11-22"}), "`to`"),
        ("list_events", json!({"from": "2026-11-23", "to": "2026-11-23", "calendar": "Nobody's"}), "`Home`"),
        ("list_events", json!({"from": "2026-11-23", "to": "2026-11-23", "time_zone": "Mars"}), "`time_zone`"),
        ("create_event", json!({"title": "a\r\nb", "start": "2026-11-23", "end": "2026-11-23"}), "`title`"),
        ("create_event", json!({"title": "a", "start": "2026-11-23", "end": "2026-11-23T10:00"}), "`end`"),
        (
            "create_event",
            json!({"title": "a", "start": "2026-11-23", "end": "2026-11-23", "attendees": ["a@b.example\r\nX:y"]}),
            "`attendees[0]`",
        ),
        ("delete_event", json!({}), "delete_event"),
    ] {
        let (code, why) = failure(run(&account, tool, value).await);
        assert_eq!(code, FailureCode::InvalidRequest, "{why}");
        assert!(why.contains(field), "{why}");
    }
    for url in ["https://a.example", "https://a.example/x/?y", "ftp://a.example/", "http://192.0.2.1/"] {
        let (_, why) = failure(
            run(&self::account(url.into()), "list_events", json!({"from": "2026-11-23", "to": "2026-11-23"})).await,
        );
        assert!(!why.is_empty());
    }
    assert_eq!(server.objects("own").len(), 0);
}

/// Answers each request with what `answer` gives for its method and number; `None` closes without an answer.
async fn fake(answer: impl Fn(&str, usize) -> Option<String> + Send + Sync + 'static) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let puts = Arc::new(AtomicUsize::new(0));
    let seen = puts.clone();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                match stream.read_u8().await {
                    Ok(byte) => head.push(byte),
                    Err(_) => break,
                }
            }
            let head = String::from_utf8_lossy(&head).to_lowercase();
            let length =
                head.lines().find_map(|line| line.strip_prefix("content-length: ")).and_then(|n| n.trim().parse().ok());
            let _ = stream.read_exact(&mut vec![0; length.unwrap_or(0)]).await;
            let method = head.split(' ').next().unwrap_or_default().to_owned();
            let number = if method == "put" { seen.fetch_add(1, Ordering::SeqCst) } else { 0 };
            if let Some(answer) = answer(&method, number) {
                let _ = stream.write_all(answer.as_bytes()).await;
            }
        }
    });
    (url, puts)
}

fn http(status: u16, body: &str) -> String {
    format!("HTTP/1.1 {status} x\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len())
}

fn one_calendar(href: &str) -> String {
    http(
        207,
        &format!(
            "<multistatus xmlns='DAV:' xmlns:c='urn:ietf:params:xml:ns:caldav'><response><href>{href}</href><propstat><prop>\
             <resourcetype><c:calendar/></resourcetype></prop></propstat></response></multistatus>"
        ),
    )
}

#[tokio::test]
async fn a_lost_answer_is_asked_for_once_more_and_else_unknown() {
    let event = json!({"title": "x", "start": "2026-11-23", "end": "2026-11-23"});
    // What the second try is answered, and what that means.
    for (second, happened) in [(Some(412), true), (Some(201), true), (Some(500), false), (None, false)] {
        let (url, puts) = fake(move |method, number| match (method, number) {
            ("put", 0) => None,
            ("put", _) => second.map(|status| http(status, "")),
            _ => Some(one_calendar("/")),
        })
        .await;
        let outcome = run(&account(url), "create_event", event.clone()).await;
        assert_eq!(matches!(outcome, Outcome::Confirmed { .. }), happened, "{second:?}: {outcome:?}");
        assert_eq!(matches!(outcome, Outcome::Unknown { .. }), !happened, "{second:?}: {outcome:?}");
        assert_eq!(puts.load(Ordering::SeqCst), 2);
    }
    for (status, code) in
        [(403, FailureCode::AuthenticationFailed), (404, FailureCode::ToolError), (302, FailureCode::ToolError)]
    {
        let (url, puts) =
            fake(move |method, _| Some(if method == "put" { http(status, "") } else { one_calendar("/") })).await;
        assert_eq!(failure(run(&account(url), "create_event", event.clone()).await).0, code);
        assert_eq!(puts.load(Ordering::SeqCst), 1);
    }
}

#[tokio::test]
async fn a_server_that_names_another_server_is_not_followed() {
    for href in ["http://127.0.0.1:1/", "https://evil.example/c/", "//evil.example/"] {
        let (url, puts) = fake(move |_, _| Some(one_calendar(href))).await;
        let event = json!({"title": "x", "start": "2026-11-23", "end": "2026-11-23"});
        let (_, why) = failure(run(&account(url), "create_event", event).await);
        assert!(why.contains("no calendar"), "{why}");
        assert_eq!(puts.load(Ordering::SeqCst), 0);
    }
}

#[tokio::test]
async fn a_server_that_floods_or_babbles_is_left() {
    let span = json!({"from": "2026-11-23", "to": "2026-11-23"});
    let bodies =
        ["x".repeat(9 * 1024 * 1024), "<a".into(), "<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>".into(), "\u{0}".into()];
    for body in bodies {
        let (url, _) = fake(move |_, _| Some(http(207, &body))).await;
        let outcome = run(&account(url), "list_events", span.clone()).await;
        match outcome {
            Outcome::Failed { failure } => {
                assert_eq!(failure.code, FailureCode::MalformedAnswer, "{}", failure.message)
            }
            other => assert!(text(other).starts_with("Nothing")),
        }
    }
    // An object that is none is said to be missing, and the others are shown.
    let data =
        "BEGIN:VCALENDAR\nBEGIN:VEVENT\nUID:1\nDTSTART:20261123T100000Z\nSUMMARY:Good\nEND:VEVENT\nEND:VCALENDAR";
    let objects = http(
        207,
        &format!(
            "<m xmlns:c='x'><response><href>/1</href><propstat><prop><c:calendar-data>{data}</c:calendar-data></prop></propstat></response>\
         <response><href>/2</href><propstat><prop><c:calendar-data>junk</c:calendar-data></prop></propstat></response></m>"
        ),
    );
    let (url, _) =
        fake(move |method, _| Some(if method == "report" { objects.clone() } else { one_calendar("/") })).await;
    let listed = text(run(&account(url), "list_events", span).await);
    assert!(listed.contains("Good") && listed.contains("[not everything could be read"), "{listed}");
}

/// Rules without an end, more than anybody can work out: what fits is shown, and the rest is said to be missing.
#[tokio::test]
async fn a_calendar_full_of_endless_rules_is_read_within_a_budget() {
    let data = "BEGIN:VCALENDAR\nBEGIN:VEVENT\nUID:1\nDTSTART:20261123T100000Z\nRRULE:FREQ=SECONDLY\nSUMMARY:Tick\n\
        END:VEVENT\nEND:VCALENDAR";
    let one = format!(
        "<response><href>/1</href><propstat><prop><c:calendar-data>{data}</c:calendar-data></prop></propstat></response>"
    );
    let objects = http(207, &format!("<m xmlns:c='x'>{}</m>", one.repeat(2_000)));
    let (url, _) =
        fake(move |method, _| Some(if method == "report" { objects.clone() } else { one_calendar("/") })).await;
    let listed = text(run(&account(url), "list_events", json!({"from": "2026-11-23", "to": "2026-11-23"})).await);
    assert!(listed.contains("Tick") && listed.contains("[not everything could be read"), "{listed}");
}
