//! The sample company's mail and calendar behave like real servers for the room that uses them: the same test runs against
//! aiosmtpd, Dovecot and Radicale, and against ours.

#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "tests start servers and read files")]

mod company;
#[path = "../../mail/tests/servers/mod.rs"]
mod servers;

use bailiwick_core::FailureCode;
use bailiwick_gate::Live;
use bailiwick_mail::{
    Access, Account, Address, Author, CalendarAccess, CalendarAccount, CalendarSignIn, LookedUp, Sent, Written, call,
    call_calendar, look_up, message_id,
    smtp::{Delivery, deliver},
};
use bailiwick_outbound::{Options, Outbound, Trust};
use bailiwick_types::{Millis, Secret};
use company::{failure, text};
use serde_json::{Value, json};
use servers::{Dovecot, PASSWORD, Radicale, SmtpServer, WallClock, action, limits, patience, plain};
use std::sync::Arc;

fn trust() -> Trust {
    Outbound::new(Options::default()).trust().clone()
}

fn author() -> Author {
    Author { person_email: Some("anna@halden.example".into()), ..servers::author() }
}

async fn mail(account: &Account, secret: &str, tool: &str, value: Value) -> bailiwick_core::Outcome {
    mail_as(account, secret, action(), tool, value).await
}

async fn mail_as(
    account: &Account,
    secret: &str,
    action: bailiwick_types::ActionId,
    tool: &str,
    value: Value,
) -> bailiwick_core::Outcome {
    let (secret, author) = (Secret::new(secret), author());
    let (clock, limits) = (Arc::new(WallClock), limits());
    let trust = &trust();
    let access = Access { account, secret: Some(&secret), author: &author, action, limits, trust, clock };
    call(&access, tool, &value, Live::unwatched()).await
}

/// What was said, without the ids and hosts in which two servers may differ.
async fn a_day_of_mail(smtp: u16, imap: u16) -> Vec<String> {
    let account = Account {
        smtp: Some(plain(smtp)),
        imap: Some(plain(imap)),
        username: Some("anna".into()),
        sent: Sent::default(),
        ..Account::default()
    };
    let mut said = Vec::new();
    let id = action();
    let letter = json!({
        "to": ["ben@halden.example", "iris@elsewhere.example"], "subject": "The numbers",
        "text": "Hello,\n.\n..two dots\nhere they are.", "attachments": [{"name": "a.csv", "media_type": "text/csv", "text": "1;2\n"}]
    });
    let sent = text(mail_as(&account, PASSWORD, id, "send_mail", letter).await);
    let from = Address::parse("anna@halden.example").unwrap();
    let made = message_id(id, &from);
    said.push(sent.replace(&made, "ID"));

    let login = account.login(Some(&Secret::new(PASSWORD))).unwrap();
    let found = look_up(&account, login.as_ref(), &made, &trust(), &patience()).await;
    assert_eq!(found, Ok(LookedUp::Found { folder: "Sent".into() }));
    let never = look_up(&account, login.as_ref(), "<never@halden.example>", &trust(), &patience()).await;
    assert_eq!(never, Ok(LookedUp::NotFound));

    let refused = json!({"to": ["ben@halden.example", "nobody@halden.example"], "subject": "x", "text": "x"});
    let (code, why) = failure(mail(&account, PASSWORD, "send_mail", refused.clone()).await);
    assert!(why.contains("nobody@halden.example") && why.contains("nobody was sent the mail"), "{why}");
    said.push(format!("{code:?}"));
    let (code, why) = failure(mail(&account, "wrong", "send_mail", refused).await);
    assert!(!why.contains("wrong"), "{why}");
    said.push(format!("{code:?}"));
    let (code, _) = failure(mail(&account, "wrong", "list_mail_folders", json!({})).await);
    said.push(format!("{code:?}"));

    let folders = text(mail(&account, PASSWORD, "list_mail_folders", json!({})).await);
    let mut folders: Vec<&str> = folders.lines().collect();
    folders.sort_unstable();
    said.push(folders.join("\n"));
    let search = async |value: Value| text(mail(&account, PASSWORD, "search_mail", value).await);
    let in_sent = search(json!({"folder": "Sent"})).await;
    let number =
        in_sent.lines().find_map(|line| line.strip_prefix("- id ")).unwrap().split(':').next().unwrap().to_owned();
    for (value, count) in [
        (json!({"folder": "Sent", "subject": "numbers"}), 1),
        (json!({"folder": "Sent", "subject": "weather"}), 0),
        (json!({"folder": "Sent", "to": "iris@elsewhere"}), 1),
        (json!({"folder": "Sent", "text": "here they are"}), 1),
        (json!({"folder": "Sent", "from": "ben@"}), 0),
        (json!({"folder": "Sent", "since": "2020-01-01"}), 1),
        (json!({"folder": "Sent", "before": "2020-01-01"}), 0),
    ] {
        assert_eq!(search(value.clone()).await.matches("- id ").count(), count, "{value}");
    }
    let read = json!({"folder": "Sent", "id": number});
    let shown = text(mail(&account, PASSWORD, "read_mail", read).await);
    assert!(shown.contains("Hello,\n.\n..two dots\nhere they are.") && shown.contains("a.csv"), "{shown}");
    let (code, _) = failure(mail(&account, PASSWORD, "search_mail", json!({"folder": "Nowhere"})).await);
    said.push(format!("{code:?}"));
    let gone = json!({"folder": "Sent", "id": "999.1"});
    said.push(format!("{:?}", failure(mail(&account, PASSWORD, "read_mail", gone).await).0));
    said.push(
        text(mail(&account, PASSWORD, "mark_mail_read", json!({"folder": "Sent", "id": number})).await)
            .replace(&number, "N"),
    );
    said
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mail_is_taken_on_filed_found_and_read_as_real_servers_do() {
    let company = company::open(false, PASSWORD).await;
    let ours = a_day_of_mail(company.served.addresses.smtp_port, company.served.addresses.imap_port).await;
    let imap = Dovecot::start();
    let smtp = SmtpServer::start("plain", Some(&imap.maildir("Sent")));
    assert_eq!(ours, a_day_of_mail(smtp.port, imap.port).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_held_answer_leaves_the_mail_filed_and_its_sender_without_a_word() {
    let mut company = company::open(false, PASSWORD).await;
    let addresses = company.served.addresses.clone();
    let account = Account {
        smtp: Some(plain(addresses.smtp_port)),
        imap: Some(plain(addresses.imap_port)),
        username: Some("anna".into()),
        ..Account::default()
    };
    let login = account.login(Some(&Secret::new(PASSWORD))).unwrap();
    let address = |text: &str| Address::parse(text).unwrap();
    let send = async |number: u32, patience: Millis| {
        let id = format!("<{number}@halden.example>");
        let message = format!("From: anna@halden.example\r\nMessage-ID: {id}\r\nSubject: x\r\n\r\nText\r\n");
        let from = address("anna@halden.example");
        let recipients = vec![address("ben@halden.example")];
        let written = Written { message_id: id, recipients, bytes: message.into_bytes() };
        let server = account.smtp.clone().unwrap();
        deliver(&server, login.as_ref(), &from, &written, &trust(), &servers::patience(), patience).await
    };
    company.served.hold_next();
    // It never answers, so that however short the patience is, it ends without an answer.
    let delivery = send(1, Millis(50)).await;
    assert!(matches!(delivery, Delivery::Unknown(_)), "{delivery:?}");
    let taken = company.served.journal.recv().await.unwrap();
    assert!(taken.held && taken.id == "<1@halden.example>", "{taken:?}");
    let found = look_up(&account, login.as_ref(), &taken.id, &trust(), &patience()).await;
    assert_eq!(found, Ok(LookedUp::Found { folder: "Sent".into() }));
    // One answer only was to be held.
    assert!(matches!(send(2, Millis::from_secs(60)).await, Delivery::Accepted { .. }));
    assert!(!company.served.journal.recv().await.unwrap().held);
    // Nobody writes as somebody else.
    let server = account.smtp.clone().unwrap();
    let from = address("ben@halden.example");
    let recipients = vec![address("mara@halden.example")];
    let written = Written { message_id: "<3@halden.example>".into(), recipients, bytes: b"a: b\r\n\r\n".to_vec() };
    let other = deliver(&server, login.as_ref(), &from, &written, &trust(), &patience(), Millis::from_secs(60)).await;
    assert!(matches!(other, Delivery::NotAccepted(_)), "{other:?}");
}

async fn dated(
    account: &CalendarAccount,
    secret: &str,
    id: bailiwick_types::ActionId,
    tool: &str,
    value: Value,
) -> bailiwick_core::Outcome {
    let (secret, author, outbound) = (Secret::new(secret), author(), Outbound::new(Options::default()));
    let access = CalendarAccess {
        account,
        secret: Some(&secret),
        author: &author,
        action: id,
        limits: limits(),
        outbound: &outbound,
        clock: Arc::new(WallClock),
    };
    call_calendar(&access, tool, &value, Live::unwatched()).await
}

async fn a_day_of_meetings(url: String) -> Vec<String> {
    let account = CalendarAccount {
        url,
        username: Some("anna".into()),
        sign_in: CalendarSignIn::Password,
        time_zone: Some("Europe/Oslo".into()),
        calendar: None,
    };
    let mut said = Vec::new();
    let event = json!({
        "title": "Review & more", "start": "2027-01-11T15:00", "end": "2027-01-11T16:00", "location": "Room <1>",
        "attendees": ["ben@halden.example"]
    });
    let id = action();
    let uid = format!("{id}.bailiwick");
    for _ in 0..2 {
        said.push(text(dated(&account, PASSWORD, id, "create_event", event.clone()).await).replace(&uid, "UID"));
    }
    for span in [("2027-01-11", "2027-01-11"), ("2027-01-12", "2027-01-13"), ("2027-01-11T16:30", "2027-01-11T18:00")] {
        let asked = json!({"from": span.0, "to": span.1});
        let listed = text(dated(&account, PASSWORD, action(), "list_events", asked).await);
        said.push(listed.replace(&uid, "UID"));
    }
    assert!(
        said[2].contains("15:00 to 16:00 (Europe/Oslo): Review & more") && said[2].contains("Room <1>"),
        "{said:?}"
    );
    let asked = json!({"from": "2027-01-11", "to": "2027-01-11"});
    said.push(format!("{:?}", failure(dated(&account, "wrong", action(), "list_events", asked).await).0));
    said
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_are_written_once_and_listed_as_a_real_server_does() {
    let company = company::open(false, PASSWORD).await;
    let ours = a_day_of_meetings(format!("{}anna/", company.served.addresses.calendar)).await;
    let radicale = Radicale::start();
    radicale.calendar("work", "Work");
    assert_eq!(ours, a_day_of_meetings(radicale.url("anna/")).await);

    // The meeting of the demonstration is there for who attends, and another person's calendar for nobody else.
    let account = |login: &str, path: &str| CalendarAccount {
        url: format!("{}{path}/", company.served.addresses.calendar),
        username: Some(login.into()),
        sign_in: CalendarSignIn::Password,
        time_zone: None,
        calendar: None,
    };
    let asked = json!({"from": format!("{}T14:30", company::TODAY), "to": format!("{}T15:30", company::TODAY)});
    let list = async |account: &CalendarAccount, secret: &str| {
        dated(account, secret, action(), "list_events", asked.clone()).await
    };
    let seen = text(list(&account("sofia", "sofia"), "sofia-secret").await);
    for part in ["15:00 to 16:00 (UTC): Receivables review", "iris.vogel@cordis-audit.example", "ben@halden.example"] {
        assert!(seen.contains(part), "{seen}");
    }
    // The root is to each of them their own.
    let mut root = account("sofia", "sofia");
    root.url = company.served.addresses.calendar.clone();
    assert_eq!(text(list(&root, "sofia-secret").await), seen);
    assert!(text(list(&account("mara", "mara"), "mara-secret").await).starts_with("Nothing"));
    assert_eq!(failure(list(&account("mara", "sofia"), "mara-secret").await).0, FailureCode::ToolError);
}
