//! PostgreSQL, a real one: who may see what, what the server itself refuses, and what is left when something breaks.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "the test starts servers, waits for them, and prints what it measured"
)]

mod house;

use bailiwick_core::{Confidentiality, FailureCode, Outcome};
use bailiwick_databases::{Access, Rights};
use bailiwick_gate::Live;
use bailiwick_outbound::Trust;
use house::postgres::{configuration, start};
use house::{access, databases, execute, failure, query, text};
use serde_json::json;
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const BOOKS: &str = "
    CREATE ROLE ann LOGIN PASSWORD 'ann-secret'; CREATE ROLE bob LOGIN PASSWORD 'bob-secret';
    CREATE ROLE app LOGIN PASSWORD 'app-secret'; CREATE ROLE hr_ann; GRANT hr_ann TO app;
    CREATE TABLE invoices (id int PRIMARY KEY, region text, amount numeric(10,2), due date, owner text);
    INSERT INTO invoices VALUES (1, 'North', 1200.50, '2026-11-01', 'ann'), (2, 'South', 80, NULL, 'bob'),
        (3, NULL, 7, '2026-12-24', 'ann');
    CREATE TABLE salaries (name text, salary int); INSERT INTO salaries VALUES ('ann', 5000), ('bob', 6000);
    CREATE TABLE people (id int, name text, salary int); INSERT INTO people VALUES (1, 'ann', 5000), (2, 'bob', 6000);
    CREATE TABLE own (owner text, note text); INSERT INTO own VALUES ('ann', 'for ann'), ('bob', 'for bob');
    ALTER TABLE own ENABLE ROW LEVEL SECURITY;
    CREATE POLICY mine ON own USING (owner = current_setting('app.person', true));
    CREATE FUNCTION pay() RETURNS int LANGUAGE sql AS 'INSERT INTO invoices VALUES (99) RETURNING id';
    CREATE FUNCTION become() RETURNS text LANGUAGE sql AS $$SELECT set_config('app.person', 'bob', false)$$;
    CREATE FUNCTION peek() RETURNS int LANGUAGE sql SECURITY DEFINER AS 'SELECT max(salary) FROM salaries';
    CREATE FUNCTION total(invoices) RETURNS text LANGUAGE sql AS 'SELECT $1.owner';
    CREATE TABLE late (id int UNIQUE DEFERRABLE INITIALLY DEFERRED); INSERT INTO late VALUES (1);
    GRANT SELECT ON invoices, people TO ann; GRANT SELECT, INSERT, UPDATE ON invoices, salaries, people, late TO bob;
    GRANT ALL ON invoices, salaries, people, own TO app; GRANT SELECT ON invoices TO hr_ann;";

#[tokio::test]
async fn two_people_with_different_rights_share_an_agent_and_no_connection() {
    let postgres = start(BOOKS).await;
    let databases = databases();
    let common = configuration(
        postgres.server.port,
        json!({"functions": ["pg_backend_pid", "public.become", "current_setting"]}),
    );
    let (ann, bob) = (access(&common, "ann"), access(&common, "bob"));

    // What comes back, and as whom.
    let called = query(&databases, &ann, "select id, region, amount, due from invoices order by id").await;
    assert_eq!(
        text(&called),
        "id:int4,region:text,amount:numeric,due:date\n1,North,1200.50,2026-11-01\n2,South,80.00,\n3,,7.00,2026-12-24\n\
         (3 rows)\nas: ann (own rights)\n"
    );
    let facts = called.facts.unwrap();
    assert_eq!((facts.login.as_str(), facts.rights, facts.truncated), ("ann", Rights::Person, false));

    // The same words, other rights: the database decides.
    let words = "select name, salary from salaries order by name";
    let (code, why) = failure(&query(&databases, &ann, words).await);
    assert_eq!(code, FailureCode::ToolError);
    assert!(why.contains("permission denied for table salaries"), "{why}");
    assert!(text(&query(&databases, &bob, words).await).contains("bob,6000"));

    // One uses a connection again; the other never gets it.
    let pid = "select pg_backend_pid() as pid, current_user as who";
    let first = text(&query(&databases, &ann, pid).await);
    assert_eq!(first, text(&query(&databases, &ann, pid).await));
    let other = text(&query(&databases, &bob, pid).await);
    assert!(first.contains(",ann") && other.contains(",bob"), "{first} {other}");
    assert_ne!(first.split(',').nth(1), other.split(',').nth(1));
    // Nor does somebody with the same login and another secret.
    let mut wrong = ann.clone();
    wrong.credential.as_mut().unwrap().secret = bailiwick_types::Secret::new("not-the-secret");
    let (code, why) = failure(&query(&databases, &wrong, pid).await);
    assert_eq!(code, FailureCode::AuthenticationFailed);
    assert!(why.contains("password authentication failed") && !why.contains("not-the-secret"), "{why}");
    wrong.credential = None;
    assert_eq!(failure(&query(&databases, &wrong, pid).await).0, FailureCode::AuthenticationFailed);

    // What a statement does to its session is gone with it.
    query(&databases, &ann, "select public.become()").await;
    let left = text(&query(&databases, &ann, "select current_setting('app.person', true) as person").await);
    assert!(left.starts_with("person:text\n\"\"\n") || left.starts_with("person:text\n\n"), "{left}");

    // What a person cannot see is not listed for them either.
    let live = Live::unwatched();
    let listed = text(&databases.call(&ann, "list_tables", &json!({}), &live).await);
    assert!(listed.contains("public.invoices,table") && !listed.contains("salaries"), "{listed}");
    let some = text(&databases.call(&bob, "list_tables", &json!({"like": "SAL'"}), &live).await);
    assert!(some.contains("(0 rows)"), "{some}");
    let columns = text(&databases.call(&ann, "describe", &json!({"table": "Invoices"}), &live).await);
    assert!(columns.contains("amount,\"numeric(10,2)\",yes,yes,"), "{columns}");
    assert_eq!(
        failure(&databases.call(&ann, "describe", &json!({"table": "invoices, salaries"}), &live).await).0,
        FailureCode::InvalidRequest
    );
    assert_eq!(failure(&execute(&databases, &ann, "delete from invoices").await).0, FailureCode::InvalidRequest);
}

#[tokio::test]
async fn the_server_itself_holds_a_read_and_a_trick_does_not_get_past_the_reading() {
    let postgres = start(BOOKS).await;
    let databases = databases();
    let listed = json!({"functions": ["public.pay", "pay"]});
    let bob = access(&configuration(postgres.server.port, listed), "bob");
    let (code, why) = failure(&query(&databases, &bob, "select pay()").await);
    assert_eq!(code, FailureCode::ToolError);
    assert!(why.contains("read-only transaction"), "{why}");
    for trick in [
        "select 1; drop table invoices",
        "with x as (delete from invoices returning *) select * from x",
        "select * into y from invoices",
        "copy invoices to stdout",
        "copy (select 1) to program 'touch /tmp/x'",
        "select * from invoices for update",
        "lock table invoices",
        "select set_config('transaction_read_only', 'off', false)",
        "select query_to_xml('select * from salaries', true, false, '')",
        "select peek()",
        "select pg_sleep(1000)",
        "select pg_advisory_lock(1)",
        "select invoices.total from invoices",
        "select i.row_to_json from invoices i",
        "select x.total from (select * from invoices) x",
        "select x.total from (invoices i join people p on true) as x",
        "commit",
        "set role app",
        "select 1 /* /* */ ; delete from invoices",
    ] {
        let (code, why) = failure(&query(&databases, &bob, trick).await);
        assert!(matches!(code, FailureCode::InvalidRequest | FailureCode::ToolError), "{trick}: {why}");
    }
    // Also where nothing but the login's rights is to hold.
    let bob = access(&configuration(postgres.server.port, json!({"trust_role": true})), "bob");
    for trick in [
        "insert into invoices values (98)",
        "do $$ begin insert into invoices values (98); end $$",
        "select pay()",
        "commit",
        "select 1; insert into invoices values (98)",
        "set transaction read write",
        "copy invoices from stdin",
        "select 1 -- ; ",
        "select 1; --",
    ] {
        let called = query(&databases, &bob, trick).await;
        if let Outcome::Confirmed { .. } = called.outcome {
            assert!(trick.starts_with("select 1"), "{trick}");
        }
    }
    let left: i64 = postgres.admin.query_one("select count(*) from invoices", &[]).await.unwrap().get(0);
    assert_eq!(left, 3);
}

#[tokio::test]
async fn a_mask_a_label_and_an_assumed_person_are_held_by_the_reading() {
    let postgres = start(BOOKS).await;
    let databases = databases();
    let port = postgres.server.port;
    let with = json!({
        "sign_in": {"as": "service", "login": "app"},
        "masked": {"public.people": ["salary"]},
        "labels": {"public.people": {"confidentiality": {"groups": ["hr"]}}, "public.invoices": {"confidentiality": {"groups": ["sales"]}}},
    });
    let service = Access { person: None, ..access(&configuration(port, with), "app") };
    let called = query(&databases, &service, "select * from people order by id").await;
    let shown = text(&called);
    assert_eq!(
        shown,
        "id:int4,name:text,salary:int4\n1,ann,(masked)\n2,bob,(masked)\n(2 rows)\nas: the service role app\n"
    );
    let facts = called.facts.unwrap();
    assert_eq!(facts.rights, Rights::Service);
    assert_eq!(facts.label.confidentiality, Confidentiality::Groups(["hr".to_owned()].into()));
    let both =
        query(&databases, &service, "select p.name, i.amount from people p join invoices i on i.owner = p.name").await;
    let groups = Confidentiality::Groups(["hr".to_owned(), "sales".to_owned()].into());
    assert_eq!(both.facts.unwrap().label.confidentiality, groups);
    for around in
        ["select salary + 0 from people", "select name from people where salary > 5500", "select p from people p"]
    {
        let (_, why) = failure(&query(&databases, &service, around).await);
        assert!(why.contains("masked"), "{around}: {why}");
    }

    let assumed = json!({
        "sign_in": {"as": "assumed", "login": "app", "settings": {"app.person": "{mail_name}"}},
        "functions": [],
    });
    let mut ann = access(&configuration(port, assumed), "ann");
    ann.credential = service.credential.clone();
    let own = query(&databases, &ann, "select note from own").await;
    assert_eq!(text(&own), "note:text\nfor ann\n(1 rows)\nas: app for app.person = ann (parser-enforced)\n");
    assert_eq!(own.facts.unwrap().rights, Rights::ParserEnforced);
    for escape in [
        "select note from own where set_config('app.person', 'bob', false) is not null",
        "select note from own, public.become()",
        "select note from own where public.become() = 'bob'",
        "select query_to_xml('select * from own', true, false, '')",
        "select \"set_config\"('app.person', 'bob', true), note from own",
        "select note from own where (own.become) is null",
        "select ('select to_tsvector(set_config(''app.person'',''bob'',false))'::text).ts_stat, note from own",
        "select s.ts_stat, own.note from unnest(array['select to_tsvector(set_config(''app.person'',''bob'',false))']) s, own",
        "select s.become, own.note from (select 1 as x) s, own",
    ] {
        let (_, why) = failure(&query(&databases, &ann, escape).await);
        assert!(!why.contains("for bob"), "{escape}: {why}");
    }
    // What is a column behind a source, by the text or by the catalog, is read as before.
    for (plain, shown) in [
        ("select x.note from (select * from own) x", "for ann"),
        ("with x as (select o.*, 1 as one from own o) select x.note, x.one from x", "for ann,1"),
        ("select x.note from (own o join invoices i on i.owner = o.owner and i.id = 1) as x", "for ann"),
        ("select e.key, e.value, g.g from json_each('{\"a\": 1}') e, generate_series(7, 7) g", "a,1,7"),
        ("select u.n, c.count from unnest(array[5]) as u(n), (select count(*) from own) c", "5,1"),
    ] {
        let called = query(&databases, &ann, plain).await;
        assert!(text(&called).contains(&format!("\n{shown}\n")), "{plain}: {called:?}");
    }
    // The setting that the documentation names: a word of the language in it.
    let person = json!({"sign_in": {"as": "assumed", "login": "app", "settings": {"app.user": "{mail_name}"}},
        "functions": ["current_setting"]});
    let mut ann = access(&configuration(port, person), "ann");
    ann.credential = service.credential.clone();
    let who = text(&query(&databases, &ann, "select current_setting('app.user') as who").await);
    assert!(who.starts_with("who:text\nann\n"), "{who}");
    // A role is taken on for one statement.
    let role = json!({"sign_in": {"as": "assumed", "login": "app", "role": "hr_{mail_name}"}});
    let mut ann = access(&configuration(port, role), "ann");
    ann.credential = service.credential.clone();
    let who = text(&query(&databases, &ann, "select current_user as who, count(*) from invoices").await);
    assert!(who.contains("hr_ann,3"), "{who}");
    assert!(failure(&query(&databases, &ann, "select * from salaries").await).1.contains("permission denied"));
}

#[tokio::test]
async fn limits_are_kept_and_what_is_left_out_is_said() {
    let postgres = start(BOOKS).await;
    let databases = databases();
    let short = json!({"limits": {"time_ms": 500}});
    let ann = access(&configuration(postgres.server.port, short), "ann");
    // A join that would run for years.
    let runaway = "select count(*) from generate_series(1, 1000000) a, generate_series(1, 1000000) b, generate_series(1, 1000000) c";
    let (code, why) = failure(&query(&databases, &ann, runaway).await);
    assert_eq!(code, FailureCode::ToolError);
    assert!(why.contains("given up after 500 ms"), "{why}");
    let limits = json!({"limits": {"rows": 5, "row_bytes": 12_000_000, "file_rows": 2_000}});
    let ann = access(&configuration(postgres.server.port, limits), "ann");
    // More rows than anybody waits for: five are shown, and the rest is not fetched.
    let many = "select a.id from invoices a, generate_series(1, 100000) b, generate_series(1, 100000) c";
    let many = text(&query(&databases, &ann, many).await);
    assert!(many.contains("truncated: only the first 5 rows are shown"), "{many}");
    let whole =
        json!({"statement": "select g.g from generate_series(1, 1999) as g(g)", "file": "/workspace/numbers.csv"});
    let called = databases.call(&ann, "query", &whole, &Live::unwatched()).await;
    let file = String::from_utf8(called.file.unwrap()).unwrap();
    assert_eq!((file.lines().count(), file.lines().last()), (2_000, Some("1999")));
    // A value of 10 MB is cut; a row of 20 MB is not taken in.
    let large = text(&query(&databases, &ann, "select repeat('x', 10000000) as x").await);
    assert!(large.contains("x… (10000000 bytes)\n") && large.len() < 4_000, "{}", large.len());
    let (_, why) = failure(&query(&databases, &ann, "select repeat('x', 20000000) as x").await);
    assert!(why.contains("a row has more than 12000000 bytes"), "{why}");
    // And it goes on after all of that.
    let types = "select null::int as n, true as b, 1.50::numeric as d, 1e300::float8 as f, '{1,2}'::int[] as a, \
                 '{\"k\": [1]}'::jsonb as j, '\\x00ff'::bytea as y, '2026-11-21 10:00:00+02'::timestamptz as t, \
                 interval '1 day 2 hours' as i, 'a,\"b\"' as q, '' as e";
    let shown = text(&query(&databases, &ann, types).await);
    let expected = "n:int4,b:bool,d:numeric,f:float8,a:_int4,j:jsonb,y:bytea,t:timestamptz,i:interval,q:text,e:text\n\
                    ,t,1.50,1e+300,\"{1,2}\",\"{\"\"k\"\": [1]}\",\\x00ff,2026-11-21 08:00:00+00,P1DT2H,\"a,\"\"b\"\"\",\"\"\n";
    assert!(shown.starts_with(expected), "{shown}");
    let plan = text(&query(&databases, &ann, "explain select amount from invoices").await);
    assert!(plan.contains("Seq Scan on invoices"), "{plan}");
}

#[tokio::test]
async fn nobody_is_sent_to_where_a_cloud_tells_its_secrets() {
    let databases = databases();
    for kind in ["postgres", "mysql"] {
        for host in ["169.254.169.254", "::ffff:169.254.169.254", "0.0.0.0"] {
            let server = json!({"kind": kind, "host": host, "database": "x", "tls": "off"});
            let configuration = configuration(1, json!({"server": server}));
            let (code, why) = failure(&query(&databases, &access(&configuration, "ann"), "select 1").await);
            assert_eq!(code, FailureCode::ConnectionFailed);
            assert!(why.contains("nobody may be sent to"), "{kind} {host}: {why}");
        }
    }
}

/// A company's own authority, named once for everything, is trusted by this room too.
#[tokio::test]
async fn a_server_is_known_by_the_authorities_that_the_operator_named() {
    use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
    let file = |name: &str| {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../mail/tests/servers/tls");
        std::fs::read(format!("{folder}/{name}")).unwrap()
    };
    let chain = CertificateDer::pem_slice_iter(&file("server.pem")).map(Result::unwrap).collect();
    let key = PrivateKeyDer::from_pem_slice(&file("server.key")).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let acceptor =
        tokio_rustls::TlsAcceptor::from(Arc::new(builder.with_no_client_auth().with_single_cert(chain, key).unwrap()));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            // It offers TLS, and has nothing to say in private.
            let _ = stream.read_exact(&mut [0; 8]).await;
            let _ = stream.write_all(b"S").await;
            let _ = acceptor.accept(stream).await;
        }
    });
    let server = json!({"kind": "postgres", "host": "localhost", "port": port, "database": "x"});
    let ann = access(&configuration(port, json!({"server": server})), "ann");
    for (authority, known) in [("ca.pem", true), ("other.pem", false)] {
        let databases = house::trusting(Trust::new(Some(file(authority))));
        let (_, why) = failure(&query(&databases, &ann, "select 1").await);
        assert_eq!(!why.contains("no TLS with localhost"), known, "{authority}: {why}");
    }
}

#[tokio::test]
async fn a_stop_reaches_the_server() {
    let postgres = start(BOOKS).await;
    let databases = Arc::new(databases());
    let ann = access(&configuration(postgres.server.port, json!({})), "ann");
    let (live, stopper) = Live::new(|_| ());
    let running = {
        let (databases, ann) = (Arc::clone(&databases), ann.clone());
        tokio::spawn(async move {
            let long = json!({"statement": "select count(*) from generate_series(1, 1000000) a, generate_series(1, 1000000) b"});
            databases.call(&ann, "query", &long, &live).await
        })
    };
    let active = "select count(*) from pg_stat_activity where usename = 'ann' and state = 'active'";
    let count = async || postgres.admin.query_one(active, &[]).await.unwrap().get::<_, i64>(0);
    house::until("the statement runs", async || count().await == 1).await;
    stopper.stop();
    assert_eq!(failure(&running.await.unwrap()).0, FailureCode::Cancelled);
    house::until("the server has given it up", async || count().await == 0).await;
}

#[tokio::test]
async fn a_change_is_kept_or_not_or_nobody_knows_and_is_said_to_be_so() {
    let mut postgres = start(BOOKS).await;
    let databases = databases();
    let port = postgres.server.port;
    let bob = access(&configuration(port, json!({"execute": true})), "bob");
    let kept =
        execute(&databases, &bob, "insert into invoices (id, amount) values (10, 5), (11, 6) returning id, amount")
            .await;
    assert_eq!(
        text(&kept),
        "id:int4,amount:numeric\n10,5.00\n11,6.00\n(2 rows)\nchanged: 2 rows\nas: bob (own rights)\n"
    );
    let updated = text(&execute(&databases, &bob, "update invoices set amount = 1 where id = 10").await);
    assert_eq!(updated, "changed: 1 rows\nas: bob (own rights)\n");
    for (refused, word) in [
        ("insert into invoices (id) values (1)", "duplicate key"),
        ("delete from invoices where id = 1", "permission denied"),
        // Said only when it is to be kept.
        ("insert into late values (1)", "duplicate key"),
    ] {
        let (code, why) = failure(&execute(&databases, &bob, refused).await);
        assert!(code == FailureCode::ToolError && why.contains(word), "{refused}: {why}");
    }
    assert_eq!(failure(&execute(&databases, &bob, "select 1").await).0, FailureCode::InvalidRequest);
    let ann = access(&configuration(port, json!({"execute": true})), "ann");
    assert!(
        failure(&execute(&databases, &ann, "insert into invoices (id) values (12)").await)
            .1
            .contains("permission denied")
    );

    // The answer to COMMIT is lost: the change was kept, and that cannot be known here.
    let proxy = Proxy::start(port, b"COMMIT", true).await;
    let bob = access(&configuration(proxy, json!({"execute": true})), "bob");
    let called = execute(&databases, &bob, "insert into invoices (id) values (20)").await;
    assert!(matches!(called.outcome, Outcome::Unknown { .. }), "{called:?}");
    // The connection breaks before: nothing was kept, and that is known.
    let proxy = Proxy::start(port, b"values (21)", false).await;
    let bob = access(&configuration(proxy, json!({"execute": true})), "bob");
    let (code, why) = failure(&execute(&databases, &bob, "insert into invoices (id) values (21)").await);
    assert!(code == FailureCode::ConnectionFailed && why.contains("nothing was changed"), "{why}");
    let ids = "select coalesce(string_agg(id::text, ',' order by id), '') from invoices where id >= 12";
    let found = async || postgres.admin.query_one(ids, &[]).await.unwrap().get::<_, String>(0);
    house::until("the lost change is there", async || found().await == "20").await;

    // A connection that the server closed meanwhile is replaced; a server that is gone is said to be.
    let bob = access(&configuration(port, json!({"execute": true})), "bob");
    let close = "select count(pg_terminate_backend(pid)) from pg_stat_activity where usename = 'bob'";
    postgres.admin.execute(close, &[]).await.unwrap();
    assert!(
        text(&execute(&databases, &bob, "insert into invoices (id) values (30)").await).contains("changed: 1 rows")
    );
    postgres.server.stop();
    let (code, why) = failure(&query(&databases, &bob, "select 1").await);
    assert_eq!(code, FailureCode::ConnectionFailed, "{why}");
    let tls = configuration(
        port,
        json!({"server": {"kind": "postgres", "host": "127.0.0.1", "port": port, "database": "postgres"}}),
    );
    assert_eq!(failure(&query(&databases, &access(&tls, "bob"), "select 1").await).0, FailureCode::ConnectionFailed);
}

/// A way to the server that breaks when a word goes past: before it or after it has reached the server.
struct Proxy;

impl Proxy {
    async fn start(port: u16, word: &'static [u8], after: bool) -> u16 {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let own = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let server = tokio::net::TcpStream::connect(("127.0.0.1", port)).await.unwrap();
                tokio::spawn(Self::pass(client, server, word, after));
            }
        });
        own
    }

    async fn pass(client: tokio::net::TcpStream, server: tokio::net::TcpStream, word: &'static [u8], after: bool) {
        let (mut from_client, mut to_client) = client.into_split();
        let (mut from_server, mut to_server) = server.into_split();
        let back = tokio::spawn(async move { tokio::io::copy(&mut from_server, &mut to_client).await });
        let mut bytes = vec![0; 65_536];
        while let Ok(count) = from_client.read(&mut bytes).await {
            let passes = bytes[..count].windows(word.len()).any(|window| window.eq_ignore_ascii_case(word));
            if count == 0 || (passes && !after) {
                break;
            }
            if passes {
                back.abort();
                to_server.write_all(&bytes[..count]).await.unwrap();
                break;
            }
            to_server.write_all(&bytes[..count]).await.unwrap();
        }
        if !after {
            back.abort();
        }
    }
}

/// `cargo nextest run -p bailiwick-databases overhead --no-capture`
#[tokio::test]
async fn overhead_of_a_query_over_the_same_query_without_this_room() {
    let postgres = start(BOOKS).await;
    let databases = databases();
    let ann = access(&configuration(postgres.server.port, json!({})), "ann");
    let statement = "select region, sum(amount) as amount from invoices where due < '2027-01-01' group by region";
    let (mut direct, mut through) = (Vec::new(), Vec::new());
    for _ in 0..500 {
        let began = std::time::Instant::now();
        let rows = postgres.admin.simple_query(statement).await.unwrap();
        direct.push(began.elapsed());
        let began = std::time::Instant::now();
        let called = query(&databases, &ann, statement).await;
        through.push(began.elapsed());
        assert!(rows.len() > 2 && text(&called).contains("rows)"));
    }
    direct.sort();
    through.sort();
    let (direct, through) = (direct[direct.len() / 2], through[through.len() / 2]);
    println!("direct {direct:?}, through {through:?}, ratio {:.2}", through.as_secs_f64() / direct.as_secs_f64());
}
