//! MariaDB, a real one: who may see what, what the server itself refuses, and what is left when something breaks.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "the test starts servers, waits for them, and prints what it measured"
)]

mod house;

use bailiwick_core::{FailureCode, Outcome};
use bailiwick_databases::Rights;
use bailiwick_gate::Live;
use house::maria::{configuration, start};
use house::{access, databases, execute, failure, query, text};
use mysql_async::prelude::Queryable;
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const BOOKS: &[&str] = &[
    "CREATE TABLE invoices (id INT PRIMARY KEY, region VARCHAR(20), amount DECIMAL(10,2), due DATE, owner VARCHAR(20))",
    "INSERT INTO invoices VALUES (1, 'North', 1200.50, '2026-11-01', 'ann'), (2, 'South', 80, NULL, 'bob')",
    "CREATE TABLE salaries (name VARCHAR(20), salary INT)",
    "INSERT INTO salaries VALUES ('ann', 5000), ('bob', 6000)",
    "CREATE TABLE loose (id INT) ENGINE=MyISAM",
    "CREATE FUNCTION pay() RETURNS INT MODIFIES SQL DATA BEGIN INSERT INTO invoices (id) VALUES (99); RETURN 1; END",
    "CREATE USER ann IDENTIFIED BY 'ann-secret'",
    "CREATE USER bob IDENTIFIED BY 'bob-secret'",
    "GRANT SELECT ON books.invoices TO ann",
    "GRANT SELECT, INSERT, UPDATE, DELETE, EXECUTE ON books.* TO bob",
];

#[tokio::test]
async fn people_have_their_own_rights_and_a_read_is_held_by_the_server() {
    let mut maria = start(BOOKS).await;
    let databases = databases();
    let common = configuration(maria.server.port, json!({"functions": ["connection_id", "pay"]}));
    let (ann, bob) = (access(&common, "ann"), access(&common, "bob"));
    let called = query(&databases, &ann, "select id, region, amount, due from invoices order by id").await;
    assert_eq!(
        text(&called),
        "id:int,region:text,amount:decimal,due:date\n1,North,1200.50,2026-11-01\n2,South,80.00,\n(2 rows)\nas: ann (own rights)\n"
    );
    assert_eq!(called.facts.unwrap().rights, Rights::Person);
    let words = "select name, salary from salaries order by name";
    assert!(failure(&query(&databases, &ann, words).await).1.contains("denied"));
    assert!(text(&query(&databases, &bob, words).await).contains("bob,6000"));
    let own = "select connection_id() as id, current_user() as who";
    let (first, again) = (text(&query(&databases, &ann, own).await), text(&query(&databases, &ann, own).await));
    let other = text(&query(&databases, &bob, own).await);
    assert!(first == again && first.contains(",ann@") && other.contains(",bob@"), "{first} {other}");
    let mut wrong = ann.clone();
    wrong.credential.as_mut().unwrap().secret = bailiwick_types::Secret::new("not-the-secret");
    let (code, why) = failure(&query(&databases, &wrong, own).await);
    assert!(code == FailureCode::AuthenticationFailed && !why.contains("not-the-secret"), "{why}");

    let (code, why) = failure(&query(&databases, &bob, "select pay()").await);
    assert!(code == FailureCode::ToolError && why.contains("READ ONLY transaction"), "{why}");
    for trick in [
        "select 1; drop table invoices",
        "select * from salaries into outfile '/tmp/bailiwick-x'",
        "select 1 /*! union select salary from salaries */",
        "select sleep(1000)",
        "select load_file('/etc/passwd')",
        "select * from invoices for update",
        "select * from books.invoices",
        "delete from invoices",
        "set sql_mode = ''",
    ] {
        assert_eq!(failure(&query(&databases, &bob, trick).await).0, FailureCode::InvalidRequest, "{trick}");
    }
    // Also where nothing but the login's rights is to hold.
    let bare = access(&configuration(maria.server.port, json!({"trust_role": true})), "bob");
    for trick in ["insert into invoices (id) values (98)", "call nothing()", "commit", "select 1; delete from invoices"]
    {
        if let Outcome::Confirmed { .. } = query(&databases, &bare, trick).await.outcome {
            assert_eq!(trick, "commit");
        }
    }
    let live = Live::unwatched();
    let listed = text(&databases.call(&ann, "list_tables", &json!({}), &live).await);
    assert!(listed.contains("invoices,table") && !listed.contains("salaries"), "{listed}");
    let columns = text(&databases.call(&ann, "describe", &json!({"table": "invoices"}), &live).await);
    assert!(columns.contains("amount,\"decimal(10,2)\",yes"), "{columns}");
    let left: Option<i64> = maria.admin.query_first("select count(*) from invoices").await.unwrap();
    assert_eq!(left, Some(2));
}

#[tokio::test]
async fn limits_a_stop_and_a_change_are_what_they_are_said_to_be() {
    let mut maria = start(BOOKS).await;
    let databases = Arc::new(databases());
    let port = maria.server.port;
    let bob = access(&configuration(port, json!({"limits": {"time_ms": 700}})), "bob");
    let runaway = "with recursive n as (select 1 as x union all select n.x + 1 from n where n.x < 900) \
                   select count(*) as c from n a, n b, n c, n d";
    let (code, why) = failure(&query(&databases, &bob, runaway).await);
    assert!(code == FailureCode::ToolError && why.contains("given up after 700 ms"), "{why}");
    let bob = access(&configuration(port, json!({"execute": true, "limits": {"rows": 5}})), "bob");
    let many = "with recursive n as (select 1 as x union all select n.x + 1 from n where n.x < 900) \
                select a.x from n a, n b, n c limit 100000000";
    let shown = text(&query(&databases, &bob, many).await);
    assert!(shown.contains("truncated: only the first 5 rows are shown"), "{shown}");
    let large = text(&query(&databases, &bob, "select repeat('x', 10000000) as x").await);
    assert!(large.contains("x… (10000000 bytes)\n") && large.len() < 4_000, "{}", large.len());
    let types = "select null as n, true as b, 1.50 as d, 1e300 as f, x'00ff' as y, timestamp'2026-11-21 10:00:00' as t, \
                 time'26:00:01' as i, 'a,b' as q, '' as e, cast(18446744073709551615 as unsigned) as u";
    let shown = text(&query(&databases, &bob, types).await);
    let expected = "\n,1,1.50,1e300,\\x00ff,2026-11-21 10:00:00,26:00:01,\"a,b\",\"\",18446744073709551615\n";
    assert!(shown.contains(expected), "{shown}");

    let kept = text(&execute(&databases, &bob, "insert into invoices (id, amount) values (10, 5), (11, 6)").await);
    assert_eq!(kept, "changed: 2 rows\nas: bob (own rights)\n");
    let (_, why) = failure(&execute(&databases, &bob, "insert into invoices (id) values (12), (1)").await);
    assert!(why.contains("Duplicate"), "{why}");
    let (_, why) = failure(&execute(&databases, &bob, "insert into loose values (1)").await);
    assert!(why.contains("no transactions"), "{why}");
    let ids: Vec<i64> = maria.admin.query("select id from invoices order by id").await.unwrap();
    assert_eq!(ids, [1, 2, 10, 11]);

    let bob = access(&configuration(port, json!({})), "bob");
    let (live, stopper) = Live::new(|_| ());
    let running = {
        let (databases, bob) = (Arc::clone(&databases), bob.clone());
        let long = json!({"statement": runaway});
        tokio::spawn(async move { databases.call(&bob, "query", &long, &live).await })
    };
    let active = "select count(*) from information_schema.processlist where user = 'bob' and info like 'WITH%'";
    let mut count = async || maria.admin.query_first::<i64, _>(active).await.unwrap();
    house::until("the statement runs", async || count().await == Some(1)).await;
    stopper.stop();
    assert_eq!(failure(&running.await.unwrap()).0, FailureCode::Cancelled);
    house::until("the server has given it up", async || count().await == Some(0)).await;

    maria.server.stop();
    assert_eq!(failure(&query(&databases, &bob, "select 1").await).0, FailureCode::ConnectionFailed);
}

#[tokio::test]
async fn a_change_over_a_connection_that_went_mute_ends() {
    let maria = start(BOOKS).await;
    let databases = Arc::new(databases());
    let way = Way::start(maria.server.port).await;
    let bob = access(&configuration(way.port, json!({"execute": true})), "bob");
    let insert = async |id: u32| execute(&databases, &bob, &format!("insert into invoices (id) values ({id})")).await;
    assert!(text(&insert(20).await).contains("changed: 1 rows"));
    // Nothing comes back any more over the connection that waits: a new one is taken.
    way.mute();
    assert!(text(&insert(21).await).contains("changed: 1 rows"));
    // And a stop is heard there.
    way.mute();
    let (live, stopper) = Live::new(|_| ());
    let running = {
        let (databases, bob) = (Arc::clone(&databases), bob.clone());
        let statement = json!({"statement": "insert into invoices (id) values (22)"});
        tokio::spawn(async move { databases.call(&bob, "execute", &statement, &live).await })
    };
    house::until("the statement is on its way", async || way.swallowed()).await;
    stopper.stop();
    assert_eq!(failure(&running.await.unwrap()).0, FailureCode::Cancelled);
}

/// A way to the server whose open connections can be made to swallow everything.
struct Way {
    port: u16,
    muted: Arc<AtomicUsize>,
    swallowed: Arc<AtomicUsize>,
}

impl Way {
    async fn start(server: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let way =
            Self { port: listener.local_addr().unwrap().port(), muted: Arc::default(), swallowed: Arc::default() };
        let (muted, swallowed) = (Arc::clone(&way.muted), Arc::clone(&way.swallowed));
        tokio::spawn(async move {
            let mut made = 0;
            while let Ok((client, _)) = listener.accept().await {
                made += 1;
                let server = TcpStream::connect(("127.0.0.1", server)).await.unwrap();
                tokio::spawn(Self::pass(client, server, made, Arc::clone(&muted), Arc::clone(&swallowed)));
            }
        });
        way
    }

    async fn pass(
        client: TcpStream,
        server: TcpStream,
        own: usize,
        muted: Arc<AtomicUsize>,
        swallowed: Arc<AtomicUsize>,
    ) {
        let (mut from_client, mut to_client) = client.into_split();
        let (mut from_server, mut to_server) = server.into_split();
        tokio::spawn(async move { tokio::io::copy(&mut from_server, &mut to_client).await });
        let mut bytes = vec![0; 65_536];
        while let Ok(count @ 1..) = from_client.read(&mut bytes).await {
            if own <= muted.load(Ordering::SeqCst) {
                swallowed.fetch_max(own, Ordering::SeqCst);
            } else {
                to_server.write_all(&bytes[..count]).await.unwrap();
            }
        }
    }

    /// One more connection than before says nothing: the oldest first.
    fn mute(&self) {
        self.muted.fetch_add(1, Ordering::SeqCst);
    }

    fn swallowed(&self) -> bool {
        self.swallowed.load(Ordering::SeqCst) == self.muted.load(Ordering::SeqCst)
    }
}

/// `cargo nextest run -p bailiwick-databases overhead --no-capture`
#[tokio::test]
async fn overhead_of_a_query_over_the_same_query_without_this_room() {
    let mut maria = start(BOOKS).await;
    let databases = databases();
    let bob = access(&configuration(maria.server.port, json!({})), "bob");
    let statement = "select region, sum(amount) as amount from invoices where due < '2027-01-01' group by region";
    let (mut direct, mut through) = (Vec::new(), Vec::new());
    for _ in 0..500 {
        let began = std::time::Instant::now();
        let rows: Vec<mysql_async::Row> = maria.admin.exec(statement, ()).await.unwrap();
        direct.push(began.elapsed());
        let began = std::time::Instant::now();
        let called = query(&databases, &bob, statement).await;
        through.push(began.elapsed());
        assert!(rows.len() == 1 && text(&called).contains("rows)"));
    }
    direct.sort();
    through.sort();
    let (direct, through) = (direct[direct.len() / 2], through[through.len() / 2]);
    println!("direct {direct:?}, through {through:?}, ratio {:.2}", through.as_secs_f64() / direct.as_secs_f64());
}
