//! Real database servers for tests, each in a folder of its own and gone with the test. They do not run as root, so that
//! where the tests do, the servers run as the user that their package made.
#![allow(dead_code, reason = "each test binary uses a part of it")]

use bailiwick_core::{ActionResult, FailureCode, Outcome, joined_text};
use bailiwick_databases::config::Configuration;
use bailiwick_databases::{Access, Called, Credential, Databases, Person};
use bailiwick_gate::Live;
use bailiwick_outbound::Trust;
use bailiwick_ports::{BoxFuture, Clock};
use bailiwick_types::{Secret, Timestamp};
use serde_json::{Value, json};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

pub const ADMIN_PASSWORD: &str = "admin-secret-1";
/// How long a server may take to be there.
const START: Duration = Duration::from_secs(120);

pub struct RealClock;

impl Clock for RealClock {
    fn now(&self) -> Timestamp {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
        Timestamp::from_millis(since.as_millis() as i64)
    }

    fn sleep_until(&self, until: Timestamp) -> BoxFuture<'static, ()> {
        let left = until.as_millis().saturating_sub(self.now().as_millis()).max(0);
        Box::pin(tokio::time::sleep(Duration::from_millis(left as u64)))
    }
}

pub fn trusting(trust: Trust) -> Databases {
    Databases::new(Arc::new(RealClock), trust)
}

pub fn databases() -> Databases {
    trusting(Trust::default())
}

/// A running server; it ends with this.
pub struct Server {
    process: Child,
    pub port: u16,
    pub folder: tempfile::TempDir,
    pub socket: PathBuf,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Server {
    pub fn stop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn is_root() -> bool {
    answer(Command::new("id").arg("-u")) == "0"
}

fn answer(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// The program, from the path or from where Debian keeps it.
fn program(names: &[&str], folders: &[&str], package: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders: Vec<PathBuf> = folders.iter().map(PathBuf::from).collect();
    if let Ok(versions) = std::fs::read_dir("/usr/lib/postgresql") {
        folders.extend(versions.flatten().map(|version| version.path().join("bin")));
    }
    folders.extend(std::env::split_paths(&path));
    let found =
        names.iter().flat_map(|name| folders.iter().map(move |folder| folder.join(name))).find(|path| path.exists());
    found.unwrap_or_else(|| panic!("there is no {}: install {package} (apt-get install {package})", names[0]))
}

/// Runs `program` as nobody important, and not longer than this process.
fn unprivileged(program: &Path, users: &[&str]) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL"]);
    if is_root() {
        let user = user(users);
        command.arg(format!("--reuid={}", answer(Command::new("id").args(["-u", user]))));
        command.arg(format!("--regid={}", answer(Command::new("id").args(["-g", user]))));
        command.arg("--clear-groups");
    }
    command.arg("--").arg(program);
    command.env_clear().env("PATH", "/usr/bin:/bin").env("LC_ALL", "C.UTF-8").env("TZ", "UTC");
    command
}

fn user<'a>(users: &[&'a str]) -> &'a str {
    let exists = |user: &&&str| Command::new("id").arg(user).output().is_ok_and(|output| output.status.success());
    users.iter().find(exists).copied().unwrap_or("nobody")
}

/// A folder that the server's user may use. It has a short path: a socket's has 107 bytes at most.
fn folder(users: &[&str]) -> tempfile::TempDir {
    let folder = tempfile::Builder::new().prefix("bw-db-").tempdir_in("/tmp").unwrap();
    if is_root() {
        let done = Command::new("chown").arg(user(users)).arg(folder.path()).status().unwrap();
        assert!(done.success());
    }
    folder
}

fn run(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(
        output.status.success(),
        "{command:?}\n{}\n{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

pub mod postgres {
    use super::*;

    const USERS: &[&str] = &["postgres"];

    pub struct Postgres {
        pub server: Server,
        pub admin: tokio_postgres::Client,
    }

    /// A new server whose superuser is `postgres`, with what `setup` makes in it.
    pub async fn start(setup: &str) -> Postgres {
        let folder = folder(USERS);
        let (data, secret) = (folder.path().join("data"), folder.path().join("secret"));
        std::fs::write(&secret, ADMIN_PASSWORD).unwrap();
        let mut init = unprivileged(&program(&["initdb"], &[], "postgresql"), USERS);
        init.arg("-D").arg(&data).args(["-U", "postgres", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync"]);
        init.args(["-A", "scram-sha-256"]).arg(format!("--pwfile={}", secret.display()));
        run(&mut init);
        let port = free_port();
        let mut serve = unprivileged(&program(&["postgres"], &[], "postgresql"), USERS);
        serve.arg("-D").arg(&data).arg("-k").arg(folder.path()).arg("-p").arg(port.to_string());
        for setting in
            ["listen_addresses=127.0.0.1", "fsync=off", "synchronous_commit=off", "max_connections=40", "jit=off"]
        {
            serve.arg("-c").arg(setting);
        }
        let log = std::fs::File::create(folder.path().join("log")).unwrap();
        let process = serve.stdout(Stdio::null()).stderr(log).spawn().unwrap();
        let socket = folder.path().to_owned();
        let mut server = Server { process, port, folder, socket };
        let admin = connect(&mut server).await;
        admin.batch_execute(setup).await.unwrap();
        Postgres { server, admin }
    }

    async fn connect(server: &mut Server) -> tokio_postgres::Client {
        let began = Instant::now();
        loop {
            let mut config = tokio_postgres::Config::new();
            config.host("127.0.0.1").port(server.port).user("postgres").dbname("postgres").password(ADMIN_PASSWORD);
            match config.connect(tokio_postgres::NoTls).await {
                Ok((client, connection)) => {
                    tokio::spawn(connection);
                    return client;
                }
                Err(error) => {
                    let ended = server.process.try_wait().unwrap();
                    let log = std::fs::read_to_string(server.folder.path().join("log")).unwrap_or_default();
                    assert!(began.elapsed() < START && ended.is_none(), "{error:?}\n{log}");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
        }
    }

    /// The configuration of the connector, as JSON; `more` goes over it.
    pub fn configuration(port: u16, more: Value) -> Configuration {
        let server =
            json!({"kind": "postgres", "host": "127.0.0.1", "port": port, "database": "postgres", "tls": "off"});
        merged(json!({"server": server, "sign_in": {"as": "person"}}), more)
    }
}

pub mod maria {
    use super::*;
    use mysql_async::prelude::Queryable;
    use mysql_async::{Conn, OptsBuilder};

    const USERS: &[&str] = &["mysql"];

    pub struct Maria {
        pub server: Server,
        pub admin: Conn,
    }

    /// A new server with the database `books`, and what `setup` makes in it, statement by statement.
    pub async fn start(setup: &[&str]) -> Maria {
        let folder = folder(USERS);
        let data = folder.path().join("data");
        let mut init = unprivileged(&program(&["mariadb-install-db"], &[], "mariadb-server"), USERS);
        init.args(["--no-defaults", "--auth-root-authentication-method=normal", "--skip-test-db"]);
        // The kernel's asynchronous requests are counted for the whole machine, and others may hold them all.
        init.arg("--innodb-use-native-aio=0").arg(format!("--datadir={}", data.display()));
        if !init.output().is_ok_and(|output| output.status.success()) {
            // It was seen to fail once and to work a moment later; one that cannot work fails again, and is shown.
            let _ = std::fs::remove_dir_all(&data);
            run(&mut init);
        }
        let port = free_port();
        let socket = folder.path().join("s");
        let mut serve = unprivileged(&program(&["mariadbd"], &["/usr/sbin"], "mariadb-server"), USERS);
        serve.args([
            "--no-defaults",
            "--bind-address=127.0.0.1",
            "--skip-log-bin",
            "--innodb-flush-log-at-trx-commit=0",
            "--innodb-use-native-aio=0",
        ]);
        serve.args(["--max-allowed-packet=64M", "--skip-name-resolve", "--innodb-buffer-pool-size=32M"]);
        serve.arg(format!("--datadir={}", data.display())).arg(format!("--port={port}"));
        serve.arg(format!("--socket={}", socket.display()));
        let log = std::fs::File::create(folder.path().join("log")).unwrap();
        let process = serve.stdout(Stdio::null()).stderr(log).spawn().unwrap();
        let mut server = Server { process, port, folder, socket };
        let mut admin = connect(&mut server).await;
        for statement in ["CREATE DATABASE books", "USE books"].iter().chain(setup) {
            admin.query_drop(*statement).await.unwrap_or_else(|error| panic!("{statement}: {error}"));
        }
        Maria { server, admin }
    }

    async fn connect(server: &mut Server) -> Conn {
        let began = Instant::now();
        loop {
            let opts = OptsBuilder::default().user(Some("root")).socket(Some(server.socket.to_str().unwrap()));
            match Conn::new(opts).await {
                Ok(conn) => return conn,
                Err(error) => {
                    let ended = server.process.try_wait().unwrap();
                    let log = std::fs::read_to_string(server.folder.path().join("log")).unwrap_or_default();
                    assert!(began.elapsed() < START && ended.is_none(), "{error:?}\n{log}");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
        }
    }

    pub fn configuration(port: u16, more: Value) -> Configuration {
        let server = json!({"kind": "mysql", "host": "127.0.0.1", "port": port, "database": "books", "tls": "off"});
        merged(json!({"server": server, "sign_in": {"as": "person"}}), more)
    }
}

/// `more` over `base`.
pub fn merged(mut base: Value, more: Value) -> Configuration {
    if let (Value::Object(base), Value::Object(more)) = (&mut base, more) {
        base.extend(more);
    }
    let configuration: Configuration = serde_json::from_value(base).unwrap();
    configuration.check().unwrap();
    configuration
}

/// The database for the person `name`, whose password is the name and `-secret`.
pub fn access(configuration: &Configuration, name: &str) -> Access {
    Access {
        configuration: Arc::new(configuration.clone()),
        person: Some(Person { id: format!("user_{name}"), mail: Some(format!("{name}@example.com")) }),
        file: true,
        credential: Some(Credential { id: format!("cred-{name}"), secret: Secret::new(format!("{name}-secret")) }),
    }
}

pub async fn query(databases: &Databases, access: &Access, statement: &str) -> Called {
    databases.call(access, "query", &json!({"statement": statement}), &Live::unwatched()).await
}

pub async fn execute(databases: &Databases, access: &Access, statement: &str) -> Called {
    databases.call(access, "execute", &json!({"statement": statement}), &Live::unwatched()).await
}

#[track_caller]
pub fn text(called: &Called) -> String {
    match &called.outcome {
        Outcome::Confirmed { result: ActionResult::Tool(answer) } => joined_text(&answer.content),
        other => panic!("{other:?}"),
    }
}

#[track_caller]
pub fn failure(called: &Called) -> (FailureCode, String) {
    match &called.outcome {
        Outcome::Failed { failure } => (failure.code, failure.message.clone()),
        other => panic!("{other:?}"),
    }
}

/// Waits until `check` is true.
pub async fn until(what: &str, mut check: impl AsyncFnMut() -> bool) {
    let began = Instant::now();
    while !check().await {
        assert!(began.elapsed() < START, "{what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
