//! A SQLite file: only read, whatever the statement.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "the test makes a file and waits")]

mod house;

use bailiwick_core::{FailureCode, Outcome};
use bailiwick_databases::{Access, Rights};
use bailiwick_gate::Live;
use house::{databases, failure, merged, query, text};
use serde_json::{Value, json};
use std::sync::Arc;

fn file(more: Value) -> (tempfile::TempDir, Access) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("books.db");
    let made = rusqlite::Connection::open(&path).unwrap();
    made.execute_batch(
        "CREATE TABLE invoices (id INTEGER PRIMARY KEY, region TEXT, amount REAL, picture BLOB);
         INSERT INTO invoices VALUES (1, 'North', 1200.5, x'00ff'), (2, NULL, 80, NULL);
         CREATE TABLE people (name TEXT, salary INTEGER); INSERT INTO people VALUES ('ann', 5000);",
    )
    .unwrap();
    let base = json!({"server": {"kind": "sqlite", "path": path}, "sign_in": {"as": "service", "login": "file"}});
    let configuration = Arc::new(merged(base, more));
    (folder, Access { configuration, person: None, credential: None, file: false })
}

#[tokio::test]
async fn rows_come_back_and_nothing_is_changed_loaded_or_attached() {
    let (_folder, books) = file(json!({"masked": {"people": ["salary"]}}));
    let databases = databases();
    let called = query(&databases, &books, "select * from Invoices order by id").await;
    assert_eq!(
        text(&called),
        "id:integer,region:text,amount:real,picture:blob\n1,North,1200.5,\\x00ff\n2,,80,\n(2 rows)\nas: the service role file\n"
    );
    assert_eq!(called.facts.unwrap().rights, Rights::Service);
    assert!(text(&query(&databases, &books, "select * from people").await).contains("ann,(masked)"));
    assert!(failure(&query(&databases, &books, "select salary + 1 from people").await).1.contains("masked"));
    let tricks = [
        "attach database '/tmp/x.db' as x",
        "pragma writable_schema = on",
        "select load_extension('x')",
        "select * from pragma_table_info('people')",
        "insert into people values ('x', 1)",
        "vacuum into '/tmp/x.db'",
        "create table x (y)",
        "begin immediate",
        "select 1; drop table people",
    ];
    for trick in tricks {
        assert_eq!(failure(&query(&databases, &books, trick).await).0, FailureCode::InvalidRequest, "{trick}");
    }
    // The file and the authorizer hold even where the reading is passed over.
    let (_folder, bare) = file(json!({"trust_role": true}));
    for trick in tricks {
        let called = query(&databases, &bare, trick).await;
        assert!(!matches!(called.outcome, Outcome::Confirmed { .. }), "{trick}");
    }
    let live = Live::unwatched();
    assert!(text(&databases.call(&books, "list_tables", &json!({}), &live).await).contains("invoices,table"));
    assert!(
        text(&databases.call(&books, "describe", &json!({"table": "PEOPLE"}), &live).await)
            .contains("CREATE TABLE people")
    );
}

#[tokio::test]
async fn a_runaway_join_ends_at_its_time_out_and_at_a_stop() {
    let runaway = "with recursive n as (select 1 as x union all select n.x + 1 from n) select count(*) from n";
    let (_folder, books) = file(json!({"limits": {"time_ms": 200}}));
    let databases = Arc::new(databases());
    assert!(failure(&query(&databases, &books, runaway).await).1.contains("given up after 200 ms"));
    let (_folder, books) = file(json!({"limits": {"row_bytes": 1_000_000}}));
    assert!(failure(&query(&databases, &books, "select hex(zeroblob(900000))").await).1.contains("too big"));
    let (live, stopper) = Live::new(|_| ());
    stopper.stop();
    let called = databases.call(&books, "query", &json!({"statement": runaway}), &live).await;
    assert_eq!(failure(&called).0, FailureCode::Cancelled);
    let gone = Access {
        configuration: Arc::new(merged(
            json!({"server": {"kind": "sqlite", "path": "/nowhere/x.db"}, "sign_in": {"as": "service", "login": "file"}}),
            json!({}),
        )),
        person: None,
        credential: None,
        file: false,
    };
    assert_eq!(failure(&query(&databases, &gone, "select 1").await).0, FailureCode::ConnectionFailed);
}
