//! Drives the executor over its socket as a server does, message by message.

#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

use bailiwick_executor::{Options, Sessions, serve};
use base64::{Engine, engine::general_purpose::STANDARD};
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use std::{path::Path, sync::Arc, time::Duration};
use tokio::net::{UnixListener, UnixStream};
use tokio_tungstenite::{WebSocketStream, tungstenite::Message as Frame};

struct Client {
    socket: WebSocketStream<UnixStream>,
    next: i64,
    /// Notifications that came while an answer was awaited.
    notices: Vec<Value>,
}

fn start(folder: &Path) -> std::path::PathBuf {
    let path = folder.join("socket");
    let listener = UnixListener::bind(&path).unwrap();
    let options = Options { session: Some("known".into()), cwd: folder.into() };
    tokio::spawn(serve(listener, Arc::new(Sessions::start(options).unwrap())));
    path
}

impl Client {
    async fn open(path: &Path) -> Self {
        let stream = UnixStream::connect(path).await.unwrap();
        let (socket, _) = tokio_tungstenite::client_async("ws://executor/", stream).await.unwrap();
        Self { socket, next: 0, notices: Vec::new() }
    }

    async fn ready(path: &Path) -> Self {
        let mut client = Self::open(path).await;
        client.ok("initialize", json!({"clientName": "test", "resumeSessionId": "known"})).await;
        client.say(json!({"method": "initialized", "params": {}})).await;
        client
    }

    async fn say(&mut self, frame: Value) {
        self.socket.send(Frame::text(frame.to_string())).await.unwrap();
    }

    async fn hear(&mut self) -> Value {
        let frame = tokio::time::timeout(Duration::from_secs(20), self.socket.next()).await.unwrap();
        serde_json::from_str(frame.unwrap().unwrap().to_text().unwrap()).unwrap()
    }

    async fn call(&mut self, method: &str, params: Value) -> Value {
        self.next += 1;
        self.say(json!({"id": self.next, "method": method, "params": params})).await;
        loop {
            let frame = self.hear().await;
            if frame["id"] == self.next {
                return frame;
            }
            self.notices.push(frame);
        }
    }

    async fn ok(&mut self, method: &str, params: Value) -> Value {
        let mut answer = self.call(method, params).await;
        assert!(answer.get("error").is_none(), "{method}: {answer}");
        answer["result"].take()
    }

    async fn code(&mut self, method: &str, params: Value) -> i64 {
        let answer = self.call(method, params).await;
        answer["error"]["code"].as_i64().unwrap_or_else(|| panic!("{method}: {answer}"))
    }

    /// All notifications of a process until it is closed.
    async fn until_closed(&mut self, id: &str) -> Vec<Value> {
        let of = |notice: &Value| notice["params"]["processId"] == id;
        loop {
            if self.notices.iter().any(|notice| of(notice) && notice["method"] == "process/closed") {
                let (mine, rest) = self.notices.drain(..).partition(of);
                self.notices = rest;
                return mine;
            }
            let frame = self.hear().await;
            self.notices.push(frame);
        }
    }

    async fn start(&mut self, id: &str, script: &str) -> Value {
        self.ok("process/start", process(id, script)).await
    }
}

fn process(id: &str, script: &str) -> Value {
    json!({"processId": id, "argv": ["/bin/sh", "-c", script], "cwd": "file:///", "env": {"PATH": "/usr/bin:/bin"},
        "tty": false, "pipeStdin": true})
}

fn text(chunk: &Value) -> String {
    String::from_utf8(STANDARD.decode(chunk.as_str().unwrap()).unwrap()).unwrap()
}

fn output(notices: &[Value]) -> String {
    notices.iter().filter(|n| n["method"] == "process/output").map(|n| text(&n["params"]["chunk"])).collect()
}

fn is_alive(pid: &str) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
}

#[tokio::test]
async fn a_command_runs_once_and_its_end_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let path = start(folder.path());
    let mut client = Client::ready(&path).await;
    client.start("p", "echo out; echo err >&2; echo $HOME-$PATH; exit 3").await;
    let notices = client.until_closed("p").await;
    let seqs: Vec<_> = notices.iter().map(|notice| notice["params"]["seq"].as_u64().unwrap()).collect();
    assert_eq!(seqs, (1..=seqs.len() as u64).collect::<Vec<_>>(), "in order and without a gap");
    let said = output(&notices);
    assert!(said.contains("out\n") && said.contains("err\n") && said.contains("-/usr/bin:/bin\n"), "{said}");

    let again = client.call("process/start", process("p", "echo twice")).await;
    assert_eq!(again["error"]["message"], "process p already exists");
    let read = client.ok("process/read", json!({"processId": "p"})).await;
    assert_eq!((&read["exited"], &read["exitCode"], &read["closed"]), (&json!(true), &json!(3), &json!(true)));
    assert!(!read.to_string().contains(&STANDARD.encode("twice")));
    let rest = client.ok("process/read", json!({"processId": "p", "afterSeq": seqs.len()})).await;
    assert_eq!((&rest["chunks"], &rest["nextSeq"]), (&json!([]), &json!(seqs.len() + 1)));
    let unknown = client.call("process/read", json!({"processId": "q"})).await;
    assert_eq!(unknown["error"]["message"], "unknown process id q");
}

#[tokio::test]
async fn a_session_outlives_its_connection_and_has_one_client() {
    let folder = tempfile::tempdir().unwrap();
    let path = start(folder.path());
    let mut first = Client::ready(&path).await;
    first.start("p", "read line; echo got $line").await;
    let resume = json!({"clientName": "test", "resumeSessionId": "known"});
    let mut second = Client::open(&path).await;
    assert_eq!(second.code("initialize", resume.clone()).await, -32010);
    assert_eq!(second.code("process/read", json!({"processId": "p"})).await, -32600, "not before the handshake");
    drop(first);
    // The executor sees the closed socket a moment later.
    while second.call("initialize", resume.clone()).await.get("error").is_some() {}
    second.say(json!({"method": "initialized", "params": {}})).await;
    let write = json!({"processId": "p", "chunk": STANDARD.encode("x\n"), "writeId": "w"});
    assert_eq!(second.ok("process/write", write.clone()).await["status"], "accepted");
    assert_eq!(second.ok("process/write", write).await["status"], "accepted", "a repeated write is not written again");
    assert_eq!(output(&second.until_closed("p").await), "got x\n");
    let mut other = Client::open(&path).await;
    let unknown = json!({"clientName": "test", "resumeSessionId": "gone"});
    assert_eq!(other.call("initialize", unknown).await["error"]["message"], "unknown session id gone");
    other.ok("initialize", json!({"clientName": "test"})).await;
    other.say(json!({"method": "initialized", "params": {}})).await;
    assert_eq!(other.code("process/read", json!({"processId": "p"})).await, -32600, "sessions are apart");
}

#[tokio::test]
async fn terminating_ends_all_that_a_command_started() {
    let folder = tempfile::tempdir().unwrap();
    let path = start(folder.path());
    let mut client = Client::ready(&path).await;
    client.start("p", "trap '' TERM INT; sleep 1000 & setsid sleep 1001 & echo $$ $!; wait; wait").await;
    let pids = loop {
        let frame = client.hear().await;
        if frame["method"] == "process/output" {
            break text(&frame["params"]["chunk"]);
        }
    };
    // The shell's child becomes `sleep` in a session of its own once `setsid` has run.
    let group = |pid: &str| std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let (shell, child) = pids.trim().split_once(' ').unwrap();
    while !group(child).contains("(sleep)") {
        tokio::task::yield_now().await;
    }
    client.ok("process/signal", json!({"processId": "p", "signal": "interrupt"})).await;
    assert_eq!(client.ok("process/terminate", json!({"processId": "p"})).await["running"], true);
    let end = client.until_closed("p").await;
    assert_eq!(end[0]["params"]["exitCode"], 137);
    assert!(!is_alive(shell) && !is_alive(child));
    assert_eq!(client.ok("process/terminate", json!({"processId": "p"})).await["running"], false);
    // Not through a shell, which may lose an interrupt while it forks.
    let mut sleeper = process("sleeper", "");
    sleeper["argv"] = json!(["sleep", "1000"]);
    client.ok("process/start", sleeper).await;
    client.ok("process/signal", json!({"processId": "sleeper", "signal": "interrupt"})).await;
    assert_eq!(client.until_closed("sleeper").await[0]["params"]["exitCode"], 130);
}

#[tokio::test]
async fn the_newest_megabyte_of_output_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let path = start(folder.path());
    let mut client = Client::ready(&path).await;
    client.start("p", "head -c 3000000 /dev/zero | tr '\\0' x; echo end").await;
    let streamed = output(&client.until_closed("p").await);
    assert_eq!(streamed.len(), 3_000_004);
    let (mut after, mut kept) = (0, String::new());
    loop {
        let params = json!({"processId": "p", "afterSeq": after, "maxBytes": 100_000});
        let read = client.ok("process/read", params).await;
        let chunks = read["chunks"].as_array().unwrap();
        if chunks.is_empty() {
            break;
        }
        let part: String = chunks.iter().map(|chunk| text(&chunk["chunk"])).collect();
        assert!(part.len() <= 100_000);
        kept.push_str(&part);
        after = chunks.last().unwrap()["seq"].as_u64().unwrap();
    }
    assert!((900_000..=1_048_576).contains(&kept.len()), "{}", kept.len());
    assert!(kept.ends_with("xend\n"));
}

#[tokio::test]
async fn a_read_waits_for_news_and_blocks_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let path = start(folder.path());
    let mut client = Client::ready(&path).await;
    client.start("p", "read line; exit 7").await;
    let wait = json!({"id": "wait", "method": "process/read", "params": {"processId": "p", "waitMs": 60_000}});
    client.say(wait).await;
    client.ok("environment/info", json!({})).await;
    client.ok("process/write", json!({"processId": "p", "chunk": STANDARD.encode("\n"), "writeId": "w"})).await;
    while !client.notices.iter().any(|frame| frame["id"] == "wait") {
        let frame = client.hear().await;
        client.notices.push(frame);
    }
    let answer = client.notices.iter().find(|frame| frame["id"] == "wait").unwrap();
    assert_eq!(answer["result"]["exitCode"], 7);
}

#[tokio::test]
async fn what_cannot_be_started_is_refused_and_leaves_its_id_free() {
    let folder = tempfile::tempdir().unwrap();
    let path = start(folder.path());
    let mut client = Client::ready(&path).await;
    let with = |name: &str, value: Value| {
        let mut params = process("p", "true");
        params[name] = value;
        params
    };
    for (params, code) in [
        (with("argv", json!([])), -32602),
        (with("argv", json!(["a\u{0}b"])), -32602),
        (with("argv", json!(["/nonexistent"])), -32603),
        (with("cwd", json!("file:///nonexistent")), -32603),
        (with("cwd", json!("/tmp")), -32602),
        (with("env", json!({"A=B": "c"})), -32602),
        (with("tty", json!(true)), -32602),
        (with("processId", json!("")), -32602),
        (with("processId", json!("x".repeat(300))), -32602),
    ] {
        assert_eq!(client.code("process/start", params.clone()).await, code, "{params}");
    }
    client.start("p", "exit 0").await;
    assert_eq!(client.until_closed("p").await[0]["params"]["exitCode"], 0);
}

#[tokio::test]
async fn files_are_read_written_listed_and_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = start(folder.path());
    let mut client = Client::ready(&path).await;
    let root = format!("file://{}", folder.path().display());
    let at = |name: &str| format!("{root}/{name}");
    client.ok("fs/createDirectory", json!({"path": at("a/b")})).await;
    assert_eq!(client.code("fs/createDirectory", json!({"path": at("a"), "recursive": false})).await, -32603);
    client.ok("fs/writeFile", json!({"path": at("a/x%20y"), "dataBase64": STANDARD.encode("data")})).await;
    assert_eq!(std::fs::read(folder.path().join("a/x y")).unwrap(), b"data");
    let read = client.ok("fs/readFile", json!({"path": at("a/x%20y")})).await;
    assert_eq!(text(&read["dataBase64"]), "data");
    assert_eq!(client.code("fs/readFile", json!({"path": at("none")})).await, -32004);
    assert_eq!(client.code("fs/readFile", json!({"path": at("a")})).await, -32600);
    assert_eq!(client.code("fs/writeFile", json!({"path": at("none/x"), "dataBase64": ""})).await, -32004);
    rustix::fs::mknodat(rustix::fs::CWD, folder.path().join("pipe"), rustix::fs::FileType::Fifo, 0o600.into(), 0)
        .unwrap();
    assert_eq!(client.code("fs/readFile", json!({"path": at("pipe")})).await, -32600, "a pipe is not waited for");

    client.ok("fs/open", json!({"handleId": "w", "path": at("big"), "mode": "replace"})).await;
    client.ok("fs/writeBlock", json!({"handleId": "w", "offset": 0, "chunk": STANDARD.encode("abc")})).await;
    client.ok("fs/writeBlock", json!({"handleId": "w", "offset": 3, "chunk": STANDARD.encode("def")})).await;
    client.ok("fs/close", json!({"handleId": "w"})).await;
    client.ok("fs/open", json!({"handleId": "r", "path": at("big")})).await;
    let block = client.ok("fs/readBlock", json!({"handleId": "r", "offset": 4, "len": 100})).await;
    assert_eq!((text(&block["chunk"]).as_str(), &block["eof"]), ("ef", &json!(true)));
    assert_eq!(client.code("fs/readBlock", json!({"handleId": "r", "offset": 0, "len": 1_048_577})).await, -32600);
    assert_eq!(client.code("fs/open", json!({"handleId": "r", "path": at("big")})).await, -32600);

    std::os::unix::fs::symlink("big", folder.path().join("link")).unwrap();
    std::os::unix::fs::symlink("..", folder.path().join("a/up")).unwrap();
    let meta = client.ok("fs/getMetadata", json!({"path": at("link")})).await;
    assert_eq!((&meta["isFile"], &meta["isSymlink"], &meta["size"]), (&json!(true), &json!(true), &json!(6)));
    client.ok("fs/writeFile", json!({"path": at("link"), "dataBase64": STANDARD.encode("new")})).await;
    assert_eq!(std::fs::read(folder.path().join("big")).unwrap(), b"new", "the file behind the link is replaced");
    let real = client.ok("fs/canonicalize", json!({"path": at("a/../link")})).await;
    assert!(real["path"].as_str().unwrap().ends_with("/big"));

    let options = |follow: bool, entries: usize| json!({"maxDepth": 9, "maxDirectories": 99, "maxEntries": entries, "followDirectorySymlinks": follow});
    let names = |outcome: &Value| -> Vec<String> {
        let entries = outcome["entries"].as_array().unwrap().iter();
        entries.map(|entry| entry["path"].as_str().unwrap().strip_prefix(&root).unwrap().to_owned()).collect()
    };
    let walked = client.ok("fs/walk", json!({"path": root, "options": options(false, 99)})).await;
    assert_eq!(names(&walked), ["/a", "/big", "/a/b", "/a/x%20y"]);
    let walked = client.ok("fs/walk", json!({"path": root, "options": options(true, 99)})).await;
    assert_eq!(names(&walked).len(), 4, "a link to a folder that is walked anyway goes in a circle");
    let walked = client.ok("fs/walk", json!({"path": root, "options": options(false, 1)})).await;
    assert_eq!((names(&walked).len(), &walked["truncated"]), (1, &json!(true)));

    client.ok("fs/copy", json!({"sourcePath": at("a"), "destinationPath": at("copy"), "recursive": true})).await;
    assert!(folder.path().join("copy/x y").exists());
    assert_eq!(
        client.code("fs/copy", json!({"sourcePath": at("a"), "destinationPath": at("a/in"), "recursive": true})).await,
        -32600
    );
    assert_eq!(client.code("fs/remove", json!({"path": at("a"), "recursive": false})).await, -32603);
    client.ok("fs/remove", json!({"path": at("a")})).await;
    client.ok("fs/remove", json!({"path": at("a")})).await;
    assert_eq!(client.code("fs/remove", json!({"path": at("a"), "force": false})).await, -32004);
}

#[tokio::test]
async fn bad_frames_are_answered_or_end_the_connection() {
    let folder = tempfile::tempdir().unwrap();
    let path = start(folder.path());
    let mut client = Client::ready(&path).await;
    client.socket.send(Frame::text("{nonsense")).await.unwrap();
    assert_eq!(client.hear().await["id"], -1);
    assert_eq!(client.code("http/request", json!({})).await, -32601);
    assert_eq!(client.code("process/start", json!({"processId": 7})).await, -32602);
    assert_eq!(client.code("initialize", json!({"clientName": "again"})).await, -32600);
    client.say(json!({"method": "unheard/of"})).await;
    let end = tokio::time::timeout(Duration::from_secs(20), client.socket.next()).await.unwrap();
    assert!(!matches!(end, Some(Ok(Frame::Text(_)))), "{end:?}");
}
