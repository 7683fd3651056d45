//! The sample company's minutes, accounts and books, through the rooms that use such systems.

#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "tests speak to servers")]

mod company;

use bailiwick_core::{FailureCode, Outcome, joined_text};
use bailiwick_databases::{Access as Way, Credential, Databases, Person, Rights};
use bailiwick_gate::Live;
use bailiwick_mcp::{Access, Called, Client, McpServer, Revision, ToolCall, TransportConfig, WayOut};
use bailiwick_outbound::{Options, Outbound};
use bailiwick_ports::{BoxFuture, Clock};
use bailiwick_sample::{Books, company as paper};
use bailiwick_services::{Access as Signed, Call, Configuration, Document, Secrets, Service};
use bailiwick_types::{Secret, Timestamp};
use company::{failure, text};
use serde_json::{Value, json};
use std::{collections::BTreeMap, future::pending, sync::Arc, time::SystemTime};

struct WallClock;

impl Clock for WallClock {
    fn now(&self) -> Timestamp {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
        Timestamp::from_millis(i64::try_from(since.as_millis()).unwrap())
    }

    fn sleep_until(&self, until: Timestamp) -> BoxFuture<'static, ()> {
        Box::pin(tokio::time::sleep(until.since(self.now()).as_duration()))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn minutes_are_found_by_whoever_signs_in() {
    let company = company::open(false, "x").await;
    let url: url::Url = company.served.addresses.minutes.parse().unwrap();
    let way = Arc::new(WayOut::new(Outbound::new(Options::default()), [&url]).unwrap());
    let server = McpServer::new(TransportConfig::Http { url: url.clone(), headers: BTreeMap::new() });
    let client = Client::over_http(way, Arc::new(WallClock), server, url, BTreeMap::new());
    let access = |token: &str| Access { bearer: Some(Secret::new(token)), who: "test".into(), output_bytes: 10_000 };
    assert!(client.agree(&access("wrong"), &Live::unwatched()).await.is_err());
    let sofia = access("sofia-secret");
    let agreed = client.agree(&sofia, &Live::unwatched()).await.unwrap();
    assert_eq!(agreed.revision, Revision::November2025);
    let listed = client.tools(&sofia, &Live::unwatched()).await.unwrap();
    let tool = |name: &str| listed.tools.iter().find(|tool| tool.name == name).unwrap();
    let ask = async |name: &str, arguments: Value| {
        let call = ToolCall { tool: tool(name), arguments: &arguments, replies: BTreeMap::new(), resume: None };
        match client.call(&sofia, &call, &Live::unwatched(), &|_| ()).await {
            Called::Answered { content, is_error, .. } => (joined_text(&content), is_error),
            other => panic!("{other:?}"),
        }
    };
    let (found, _) = ask("find_minutes", json!({"about": "North reminders"})).await;
    assert!(found.starts_with("M-41") && !found.contains("M-35"), "{found}");
    let (nothing, is_error) = ask("find_minutes", json!({"about": "holidays"})).await;
    assert!(nothing.contains("No minutes") && !is_error);
    let (recorded, _) = ask("record_decision", json!({"meeting": "M-41", "decision": "Done."})).await;
    assert!(recorded.contains("by Sofia Brandt"), "{recorded}");
    assert!(ask("record_decision", json!({"meeting": "M-41", "decision": "x".repeat(5000)})).await.1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn accounts_are_tools_although_their_document_is_awkward() {
    let company = company::open(false, "x").await;
    let yaml = include_str!("../src/accounts.yaml");
    let configuration =
        Configuration { base_url: Some(company.served.addresses.accounts.clone()), ..Configuration::default() };
    let service = Service::new(&Document::read(yaml, None).unwrap(), configuration, &BTreeMap::new()).unwrap();
    let names: Vec<&str> = service.definitions().map(|one| one.name.as_str()).collect();
    assert_eq!(names, ["accounts_list", "get_accounts_id", "accounts_note"]);
    assert!(service.left_out().iter().any(|(key, why)| key.contains("/forecast") && why.contains("document")));
    let call = async |secret: &str, tool: &str, arguments: Value| {
        let secrets = Secrets::One(Secret::new(secret));
        let access = Signed { secrets: &secrets, who: "test", action: "act_1" };
        let effect = service.definitions().find(|one| one.name == tool).unwrap().effect;
        let call = Call { tool, arguments: &arguments, effect };
        service.call(&Outbound::new(Options::default()), &access, call, pending()).await
    };
    let north =
        text(call("sofia-secret", "accounts_list", json!({"filter_region": "North", "rating": ["C", "D"]})).await);
    assert!(north.contains("Fjord Marine AS") && !north.contains("Nordic Robotics AB\""), "{north}");
    let all = text(call("sofia-secret", "accounts_list", json!({})).await);
    assert!(all.contains("page") && all.contains('2'), "the next page is named: {all}");
    let one = text(call("ben-secret", "get_accounts_id", json!({"id": "A-109"})).await);
    assert!(one.contains("Harbour Optics") && one.contains("A-108"), "{one}");
    assert!(matches!(call("ben-secret", "get_accounts_id", json!({"id": "A-999"})).await, Outcome::Failed { .. }));
    let note = json!({"id": "A-102", "body": {"text": "Called."}});
    assert!(text(call("ben-secret", "accounts_note", note).await).contains("Ben Ito"));
    assert_eq!(failure(call("wrong", "accounts_list", json!({})).await).0, FailureCode::AuthenticationFailed);
}

const BY_REGION: &str = "SELECT region, count(*) AS invoices, round(sum(amount), 2) AS overdue FROM invoices \
    WHERE paid = 0 AND due < '2026-11-23' GROUP BY region ORDER BY region";

/// What the room answers to `login`, who signs in with their own secret where the database knows anybody.
async fn asked(company: &company::Company, login: &str, statement: &str) -> (Outcome, Option<Rights>) {
    let (settings, person) = match &company.served.addresses.books {
        Books::Postgres { socket, port, database, .. } => (
            json!({"server": {"kind": "postgres", "host": socket, "port": port, "database": database, "tls": "off"},
                   "sign_in": {"as": "person", "login": "{mail_name}"}}),
            true,
        ),
        Books::Sqlite { path, .. } => {
            (json!({"server": {"kind": "sqlite", "path": path}, "sign_in": {"as": "service", "login": "file"}}), false)
        }
    };
    let access = Way {
        configuration: Arc::new(serde_json::from_value(settings).unwrap()),
        person: Some(Person { id: format!("user_{login}"), mail: Some(format!("{login}@halden.example")) }),
        credential: person.then(|| Credential { id: "cred_1".into(), secret: Secret::new(format!("{login}-secret")) }),
        file: false,
    };
    let databases = Databases::new(Arc::new(WallClock), Outbound::new(Options::default()).trust().clone());
    let called = databases.call(&access, "query", &json!({"statement": statement}), &Live::unwatched()).await;
    (called.outcome, called.facts.map(|facts| facts.rights))
}

fn is_counted(rows: &str) {
    for (region, overdue) in paper::overdue() {
        let row = format!("{region},{},{}.{:02}", overdue.invoices, overdue.cents / 100, overdue.cents % 100);
        let loose = row.trim_end_matches('0').trim_end_matches('.');
        assert!(rows.contains(loose), "{row} in {rows}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_books_in_postgresql_show_each_employee_what_is_theirs() {
    let company = company::open(true, "x").await;
    let Books::Postgres { .. } = &company.served.addresses.books else {
        panic!("install PostgreSQL, as ./test does: {:?}", company.served.addresses.books);
    };
    let (outcome, rights) = asked(&company, "sofia", BY_REGION).await;
    assert_eq!(rights, Some(Rights::Person));
    is_counted(&text(outcome));
    for (login, statement) in [
        ("sofia", "SELECT * FROM bank_accounts"),
        ("sofia", "SELECT * FROM salaries"),
        ("ben", "SELECT * FROM invoices"),
        ("mara", "SELECT * FROM bank_accounts"),
    ] {
        let (_, why) = failure(asked(&company, login, statement).await.0);
        assert!(why.contains("permission denied"), "{login}: {why}");
    }
    assert!(text(asked(&company, "mara", "SELECT * FROM salaries").await.0).contains("Noah Lind"));
    // Its superuser cannot sign in, with anybody's secret.
    let (code, why) = failure(asked(&company, "keeper", "SELECT 1").await.0);
    assert_eq!(code, FailureCode::AuthenticationFailed, "{why}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_books_in_a_file_hold_the_same_numbers() {
    let company = company::open(false, "x").await;
    let (outcome, rights) = asked(&company, "sofia", BY_REGION).await;
    assert_eq!(rights, Some(Rights::Service));
    is_counted(&text(outcome));
    assert!(company.paper("people/salary-review.md").contains("overdue"));
    assert!(company.paper("finance/collections-policy.md").contains("auditor"));
}
