//! Documents in an object store: a real one, and ones that lie. (That requests are signed as they should be is held to
//! Amazon's published example beside the code: this store does not check.)

#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "tests start a server and lay out files")]

use bailiwick_core::{Failure, FailureCode, joined_text};
use bailiwick_documents::{Access, AccessKey, Library, Limits, ObjectStores, Reader, call};
use bailiwick_gate::Live;
use bailiwick_outbound::{Options, Outbound};
use bailiwick_ports::{BoxFuture, Clock};
use bailiwick_testkit::clock::ManualClock;
use bailiwick_types::{Millis, Secret, TeamId, Timestamp};
use serde_json::{Value, json};
use std::{
    fs,
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
    path::Path,
    process::{Child, Command, Stdio},
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use tempfile::TempDir;

const FINANCE: TeamId = TeamId::from_u128(1);
const SALES: TeamId = TeamId::from_u128(2);

/// The machine's clock: a store refuses signatures of another day.
struct WallClock;

impl Clock for WallClock {
    fn now(&self) -> Timestamp {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        Timestamp::from_millis(i64::try_from(since.as_millis()).unwrap())
    }

    fn sleep_until(&self, until: Timestamp) -> BoxFuture<'static, ()> {
        Box::pin(tokio::time::sleep(until.since(self.now()).as_duration()))
    }
}

/// s3rver with one bucket, `docs`.
struct Store {
    child: Child,
    port: u16,
    _folder: TempDir,
}

impl Store {
    fn start(objects: &[(&str, &str)]) -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let script = root.join("target/tools/object-store/node_modules/s3rver/bin/s3rver.js");
        assert!(script.exists(), "there is no {}: run .ci/fetch-tools.sh object-store", script.display());
        let folder = TempDir::new().unwrap();
        for (key, content) in objects {
            let path = folder.path().join(format!("docs/{key}._S3rver_object"));
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut command = Command::new("node");
        // Its tokens of pages are made with a cipher that OpenSSL counts among the old ones.
        command.env("NODE_OPTIONS", "--openssl-legacy-provider");
        command.arg(script).args(["-a", "127.0.0.1", "-p", &port.to_string(), "-s", "--no-vhost-buckets", "-d"]);
        command.arg(folder.path()).args(["--configure-bucket", "docs"]);
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let mut made = Self { child, port, _folder: folder };
        for _ in 0..600 {
            if TcpStream::connect(("127.0.0.1", port)).is_ok() {
                return made;
            }
            assert!(made.child.try_wait().unwrap().is_none(), "s3rver ended");
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("s3rver does not answer");
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Two departments in one bucket.
fn library(port: u16) -> Arc<Library> {
    let folder = |name: &str, team: TeamId| {
        json!({
            "name": name,
            "bucket": {"url": format!("http://127.0.0.1:{port}/docs/{name}/"), "region": "eu-central-1"},
            "readers": {"teams": [team]},
            "label": {"integrity": "trusted", "confidentiality": {"groups": [name]}},
        })
    };
    let mut finance = folder("finance", FINANCE);
    finance["inside"] = json!([{"path": "payroll", "readers": {"teams": [SALES]}}]);
    let library: Library = serde_json::from_value(json!({"folders": [finance, folder("sales", SALES)]})).unwrap();
    library.check().unwrap();
    Arc::new(library)
}

async fn asked(port: u16, key: Option<&str>, team: TeamId, tool: &str, arguments: Value) -> Result<String, Failure> {
    let key = key.map(|key| AccessKey::parse(&Secret::new(key)).unwrap());
    let (outbound, clock) = (Outbound::new(Options::default()), Arc::new(WallClock));
    let limits = Limits::default();
    let stores = ObjectStores { outbound, key, who: "a test".into(), clock: clock.clone() };
    let reader = Reader { teams: vec![team], ..Reader::default() };
    let access = Access { library: library(port), reader, stores: Some(Arc::new(stores)), limits, clock };
    let answer = call(&access, tool, &arguments, Live::unwatched()).await?;
    if team == FINANCE && joined_text(&answer.content).contains("12 million") {
        assert!(format!("{:?}", answer.label).contains("finance"), "{:?}", answer.label);
    }
    Ok(joined_text(&answer.content))
}

const KEY: Option<&str> = Some("S3RVER:S3RVER");

#[tokio::test]
async fn a_department_s_part_of_a_bucket_is_listed_searched_and_read_by_its_people() {
    let many: Vec<String> = (0..1_100).map(|number| format!("sales/many/note {number:04}.txt")).collect();
    let mut objects = vec![
        ("finance/budget 2026+.md", "# Budget\nThe budget is 12 million.\n"),
        ("finance/Köln/notes.txt", "Notizen aus Köln\n"),
        ("finance/payroll/salaries.csv", "Anna;budget secret\n"),
        ("finance/.env", "budget token"),
        ("sales/plan.md", "budget of sales\n"),
    ];
    objects.extend(many.iter().map(|key| (key.as_str(), "a note\n")));
    let store = Store::start(&objects);
    let ask = |team, tool: &'static str, arguments| asked(store.port, KEY, team, tool, arguments);

    let listed = ask(FINANCE, "list_documents", json!({"path": "/finance"})).await.unwrap();
    assert!(listed.contains("/finance/budget 2026+.md (35 bytes, ") && listed.contains("/finance/Köln/\n"), "{listed}");
    assert!(!listed.contains("payroll") && !listed.contains(".env"), "{listed}");
    let read = ask(FINANCE, "read_document", json!({"path": "/finance/BUDGET 2026+.md"})).await.unwrap();
    assert!(read.contains("12 million"), "{read}");
    let read = ask(FINANCE, "read_document", json!({"path": "/finance/Köln/notes.txt", "limit": 1})).await.unwrap();
    assert!(read.contains("Notizen aus Köln"), "{read}");
    let found = ask(FINANCE, "search_documents", json!({"query": "budget"})).await.unwrap();
    assert!(found.contains("12 million") && !found.contains("secret") && !found.contains("of sales"), "{found}");

    // What one may not read is not there, and neither is what never was.
    for path in [
        "/sales/plan.md",
        "/finance/payroll/salaries.csv",
        "/finance/.env",
        "/finance/nothing.md",
        "/finance/budget 2026+.md/x",
    ] {
        let refused = ask(FINANCE, "read_document", json!({"path": path})).await.unwrap_err();
        assert!(refused.message.contains("there is no document"), "{path}: {}", refused.message);
    }
    // A list of more than one page.
    let listed = ask(SALES, "list_documents", json!({"path": "/sales/many"})).await.unwrap();
    assert!(listed.contains("note 0499.txt") && listed.contains("[there is more"), "{listed}");
    let read = ask(SALES, "read_document", json!({"path": "/sales/many/NOTE 1099.txt"})).await.unwrap();
    assert_eq!(read, "a note\n");
}

/// Gives the same answer to everybody.
fn liar(head: &str, body: String) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let answer = format!("HTTP/1.1 {head}\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let mut asked = Vec::new();
            let mut byte = [0];
            while !asked.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|count| count == 1) {
                asked.push(byte[0]);
            }
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    port
}

#[tokio::test]
async fn a_store_that_lies_leads_nowhere_and_fills_nothing() {
    let list = |port| asked(port, KEY, FINANCE, "list_documents", json!({"path": "/finance"}));
    let elsewhere = liar("307 Temporary Redirect\r\nlocation: http://169.254.169.254/docs/", String::new());
    let refused = list(elsewhere).await.unwrap_err();
    assert!(refused.message.contains("elsewhere"), "{}", refused.message);
    let flood = liar("200 OK", format!("<ListBucketResult>{}</ListBucketResult>", " ".repeat(5 * 1024 * 1024)));
    assert!(list(flood).await.is_err());
    let broken = liar("200 OK", "<ListBucketResult><Contents>".into());
    let refused = list(broken).await.unwrap_err();
    assert!(refused.message.contains("broken"), "{}", refused.message);
    // A list without an end, and keys of somebody else.
    let object = |key: &str| format!("<Contents><Key>{key}</Key><Size>1</Size></Contents>");
    let endless = format!(
        "<ListBucketResult><IsTruncated>true</IsTruncated><NextContinuationToken>again</NextContinuationToken>{}{}{}</ListBucketResult>",
        object("finance/a.md"),
        object("hr/salaries.csv"),
        object("finance/../hr/salaries.csv"),
    );
    let listed = list(liar("200 OK", endless)).await.unwrap();
    assert!(listed.contains("/finance/a.md") && !listed.contains("salaries"), "{listed}");
    assert_eq!(listed.matches("a.md").count(), 1, "{listed}");
    assert!(listed.contains("[there is more"), "{listed}");
}

/// Takes connections and says nothing. Tells of each.
fn mute() -> (u16, tokio::sync::mpsc::UnboundedReceiver<TcpStream>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let (sender, connected) = tokio::sync::mpsc::unbounded_channel();
    std::thread::spawn(move || listener.incoming().flatten().all(|stream| sender.send(stream).is_ok()));
    (port, connected)
}

#[tokio::test]
async fn a_store_that_hangs_is_left_when_the_time_is_over_and_when_it_is_stopped() {
    for tool in ["list_documents", "read_document", "search_documents"] {
        for by_stop in [false, true] {
            let (port, mut connected) = mute();
            let clock = Arc::new(ManualClock::new(Timestamp::from_millis(1_795_260_645_000)));
            let stores = ObjectStores {
                outbound: Outbound::new(Options::default()),
                key: None,
                who: "a test".into(),
                clock: clock.clone(),
            };
            // An hour by that clock: nothing but it, and the stop, ends the call.
            let limits = Limits { time: Millis::from_secs(3_600), ..Limits::default() };
            let reader = Reader { teams: vec![FINANCE], ..Reader::default() };
            let stores = Some(Arc::new(stores));
            let access = Access { library: library(port), reader, stores, limits, clock: clock.clone() };
            let (live, stopper) = Live::new(|_| ());
            let call = tokio::spawn(async move {
                let asked = match tool {
                    "search_documents" => json!({"query": "budget"}),
                    _ => json!({"path": "/finance/a/b/c/d.md"}),
                };
                call(&access, tool, &asked, live).await
            });
            let _open = connected.recv().await.unwrap();
            if by_stop {
                stopper.stop();
            } else {
                clock.advance(Millis::from_secs(3_600));
            }
            match call.await.unwrap() {
                Ok(answer) => {
                    assert!(tool == "search_documents" && !by_stop);
                    assert!(joined_text(&answer.content).contains("the time was over"));
                }
                Err(failure) if by_stop => assert_eq!(failure.code, FailureCode::Cancelled, "{}", failure.message),
                Err(failure) => assert!(failure.message.contains("in time"), "{tool}: {}", failure.message),
            }
        }
    }
}

#[tokio::test]
async fn a_refused_key_and_a_store_that_is_down_are_said_and_the_secret_is_not() {
    let list = |port| asked(port, Some("ID:another-secret"), FINANCE, "list_documents", json!({"path": "/finance"}));
    let body = "<Error><Code>SignatureDoesNotMatch</Code><Message>ID:another-secret</Message></Error>";
    let refused = list(liar("403 Forbidden", body.into())).await.unwrap_err();
    assert!(refused.message.contains("refused the connector's access key"), "{}", refused.message);
    assert!(!refused.message.contains("another-secret"), "{}", refused.message);
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let down = list(port).await.unwrap_err();
    assert!(down.message.contains("the object store"), "{}", down.message);
}
