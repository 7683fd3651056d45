//! The company's books: PostgreSQL where the machine has one, with a login for each employee; else a SQLite file, which
//! knows nobody.
//!
//! PostgreSQL is started as an ordinary user, listens on a socket in its own folder and on nothing else, and ends with
//! this process. Its tables and logins are made before it listens, in its single-user mode, so that its superuser has no
//! password and nobody can sign in as one.

use crate::company::{self, ACCOUNTS, Employee};
use chrono::NaiveDate;
use rustix::process::{Pid, Signal, kill_process};
use serde::{Deserialize, Serialize};
use std::{
    io::{self, Write as _},
    os::unix::{fs::chown, process::CommandExt as _},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
};

/// The longest path of a socket's folder: a socket's own has 107 bytes at most.
const MAX_SOCKET: usize = 80;
/// Users that a server is started as where this process is root, which PostgreSQL refuses to be.
const USERS: [&str; 2] = ["postgres", "nobody"];
const DATABASE: &str = "company";
/// Nobody signs in as it: it has no password.
const SUPERUSER: &str = "keeper";
const PORT: u16 = 5432;
/// Of what a program said when it failed.
const MAX_SAID: usize = 400;

/// Where the books are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Books {
    /// Each employee signs in with a login of their own.
    Postgres { socket: PathBuf, port: u16, database: String, version: String },
    /// A file that knows nobody: who may see what is up to the rules alone.
    Sqlite { path: PathBuf, why: String },
}

/// Why there are no books.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    #[error("the sample company's books cannot be written: {0}")]
    File(#[from] io::Error),
    #[error("the sample company's books cannot be written: {0}")]
    Sqlite(#[from] rusqlite::Error),
}

/// A running server; it ends with this.
pub(crate) struct Running {
    child: Child,
}

impl Drop for Running {
    fn drop(&mut self) {
        let id = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        if let Some(id) = id {
            // Its books are not needed any more: it ends at once, and takes what it holds with it.
            let _ = kill_process(id, Signal::QUIT);
        }
        let _ = self.child.wait();
    }
}

/// Sets the books up in `folder`, which is empty and this process's own.
pub(crate) fn found(
    folder: &Path,
    people: &[Employee],
    today: NaiveDate,
    may_use_server: bool,
) -> Result<(Books, Option<Running>), Problem> {
    let tried = if may_use_server { postgres(folder, people, today) } else { Err("it was not wanted".to_owned()) };
    match tried {
        Ok((books, running)) => Ok((books, Some(running))),
        Err(why) => {
            let path = folder.join("books.db");
            let file = rusqlite::Connection::open(&path)?;
            file.execute_batch(&tables(today).join("\n"))?;
            Ok((Books::Sqlite { path, why }, None))
        }
    }
}

/// Every table with its rows, one statement on a line, in words that both kinds of database know.
fn tables(today: NaiveDate) -> Vec<String> {
    let mut all = vec![
        "CREATE TABLE accounts (id text PRIMARY KEY, name text NOT NULL, region text NOT NULL, rating text NOT NULL);".into(),
        "CREATE TABLE invoices (number integer PRIMARY KEY, account text NOT NULL, region text NOT NULL, \
         amount numeric(12,2) NOT NULL, due date NOT NULL, paid integer NOT NULL);"
            .into(),
        "CREATE TABLE salaries (person text PRIMARY KEY, amount numeric(12,2) NOT NULL);".into(),
        "CREATE TABLE bank_accounts (iban text PRIMARY KEY, balance numeric(14,2) NOT NULL);".into(),
        "INSERT INTO bank_accounts VALUES ('NO93 8601 1117 947', 1840221.10), ('DE89 3704 0044 0532 0130 00', 77310.55);"
            .into(),
    ];
    let rows = |rows: Vec<String>| rows.join(", ");
    let accounts = ACCOUNTS
        .iter()
        .map(|one| format!("('{}', '{}', '{}', '{}')", one.id, one.name.replace('\'', "''"), one.region, one.rating));
    all.push(format!("INSERT INTO accounts VALUES {};", rows(accounts.collect())));
    let salaries = company::PEOPLE.iter().zip([74_000, 62_000, 91_000, 68_000]);
    let salaries = salaries.map(|((name, _, _), amount)| format!("('{name}', {amount}.00)"));
    all.push(format!("INSERT INTO salaries VALUES {};", rows(salaries.collect())));
    let invoices = company::invoices().map(|one| {
        let (whole, cents) = (one.cents / 100, one.cents % 100);
        let due = company::day(today, one.due_in_days);
        let (account, region) = (one.account.id, one.account.region);
        format!("({}, '{account}', '{region}', {whole}.{cents:02}, '{due}', {})", one.number, u8::from(one.is_paid))
    });
    all.push(format!("INSERT INTO invoices VALUES {};", rows(invoices.collect())));
    all
}

/// A login for each employee, with what each may see. Nobody may see the bank accounts.
fn logins(people: &[Employee]) -> Vec<String> {
    let mut all = vec!["REVOKE ALL ON SCHEMA public FROM PUBLIC;".to_owned()];
    for one in people {
        let (login, secret) = (&one.login, one.secret.replace('\'', "''"));
        all.push(format!("CREATE ROLE \"{login}\" LOGIN PASSWORD '{secret}';"));
        all.push(format!("GRANT USAGE ON SCHEMA public TO \"{login}\";"));
        let tables = match login.as_str() {
            "sofia" => "invoices, accounts",
            "mara" => "salaries",
            _ => "accounts",
        };
        all.push(format!("GRANT SELECT ON {tables} TO \"{login}\";"));
    }
    all
}

/// Who runs the server: this process's own user, or another one where that is root.
struct Runner {
    user: Option<(u32, u32)>,
}

impl Runner {
    fn find() -> Result<Self, String> {
        if !rustix::process::geteuid().is_root() {
            return Ok(Self { user: None });
        }
        let known = std::fs::read_to_string("/etc/passwd").map_err(|error| format!("/etc/passwd: {error}"))?;
        let ids = |user: &str| {
            let line = known.lines().find(|line| line.split(':').next() == Some(user))?;
            let mut fields = line.split(':').skip(2);
            fields.next()?.parse().ok().zip(fields.next()?.parse().ok())
        };
        let user = USERS.iter().find_map(|user| ids(user)).filter(|(user, _): &(u32, u32)| *user != 0);
        user.map(|user| Self { user: Some(user) }).ok_or_else(|| "there is no ordinary user to run it as".to_owned())
    }

    #[allow(clippy::disallowed_methods, reason = "the machine's own PostgreSQL, for the sample company's books")]
    fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.env_clear().env("PATH", "/usr/bin:/bin").env("LC_ALL", "C").env("TZ", "UTC").current_dir("/");
        if let Some((user, group)) = self.user {
            command.uid(user).gid(group);
        }
        command
    }

    fn owns(&self, folder: &Path) -> io::Result<()> {
        match self.user {
            Some((user, group)) => chown(folder, Some(user), Some(group)),
            None => Ok(()),
        }
    }
}

fn postgres(folder: &Path, people: &[Employee], today: NaiveDate) -> Result<(Books, Running), String> {
    let (initdb, server) = programs().ok_or("there is no PostgreSQL on this machine")?;
    if folder.as_os_str().len() > MAX_SOCKET {
        return Err(format!("a socket in {} would have too long a path", folder.display()));
    }
    let runner = Runner::find()?;
    runner.owns(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let data = folder.join("data");
    let mut init = runner.command(&initdb);
    init.arg("-D").arg(&data).args(["-U", SUPERUSER, "-E", "UTF8", "--locale=C", "--no-sync", "-A", "reject"]);
    said(fed(&mut init, ""), "initdb")?;
    // Whoever signs in does it with a password, to this database, over the socket. The superuser has none.
    let admits = format!("local {DATABASE} all scram-sha-256\n");
    keep(&data.join("pg_hba.conf"), &admits).map_err(|error| format!("pg_hba.conf: {error}"))?;
    let alone = |database: &str, statements: &[String]| {
        let mut command = runner.command(&server);
        command.args(["--single", "-D"]).arg(&data).args(["-c", "exit_on_error=on", "-c", "fsync=off", database]);
        said(fed(&mut command, &(statements.join("\n") + "\n")), "postgres --single")
    };
    alone("postgres", &[format!("CREATE DATABASE {DATABASE};")])?;
    let mut statements = tables(today);
    statements.extend(logins(people));
    alone(DATABASE, &statements)?;
    let running = start(&runner, &server, &data, folder)?;
    let version = runner.command(&server).arg("--version").output().map_err(|error| error.to_string())?;
    let version = String::from_utf8_lossy(&version.stdout);
    let version = version.split_whitespace().nth(2).unwrap_or("of some version").to_owned();
    let books = Books::Postgres { socket: folder.to_owned(), port: PORT, database: DATABASE.into(), version };
    Ok((books, running))
}

/// Writes over a file that is there, whoever owns it.
#[allow(clippy::disallowed_methods, reason = "the configuration of the sample company's own database")]
fn keep(path: &Path, text: &str) -> io::Result<()> {
    std::fs::write(path, text)
}

/// Starts the server and waits until it says that it takes connections.
fn start(runner: &Runner, server: &Path, data: &Path, folder: &Path) -> Result<Running, String> {
    let mut command = runner.command(server);
    command.arg("-D").arg(data).arg("-k").arg(folder).args(["-p", &PORT.to_string()]);
    for setting in
        ["listen_addresses=", "fsync=off", "max_connections=20", "shared_buffers=16MB", "autovacuum=off", "jit=off"]
    {
        command.args(["-c", setting]);
    }
    let spawned = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn();
    let mut child = spawned.map_err(|error| format!("postgres: {error}"))?;
    let log = child.stderr.take();
    let running = Running { child };
    let mut log = io::BufReader::new(log.ok_or("postgres says nothing")?);
    let mut heard = String::new();
    loop {
        let mut line = String::new();
        match io::BufRead::read_line(&mut log, &mut line) {
            Ok(0) | Err(_) => return Err(format!("postgres did not start: {}", last(&heard))),
            Ok(_) if line.contains("ready to accept connections") => break,
            Ok(_) => heard.push_str(&line),
        }
    }
    drain(log);
    Ok(running)
}

/// Reads what the server goes on saying, so that it never waits for a reader.
#[allow(clippy::disallowed_methods, reason = "a process of its own, which no simulator drives")]
fn drain(mut log: impl io::Read + Send + 'static) {
    std::thread::spawn(move || io::copy(&mut log, &mut io::sink()));
}

/// `initdb` and `postgres`, from the path or from where distributions keep them; both of one place.
fn programs() -> Option<(PathBuf, PathBuf)> {
    let mut folders: Vec<PathBuf> = ["/usr/lib/postgresql", "/usr/pgsql"]
        .iter()
        .filter_map(|place| std::fs::read_dir(place).ok())
        .flat_map(|versions| versions.flatten().map(|version| version.path().join("bin")))
        .collect();
    folders.sort();
    folders.reverse();
    folders.extend(["/usr/local/bin", "/usr/bin", "/usr/local/pgsql/bin", "/opt/homebrew/bin"].map(PathBuf::from));
    let both = |folder: PathBuf| (folder.join("initdb"), folder.join("postgres"));
    folders.into_iter().map(both).find(|(initdb, server)| initdb.is_file() && server.is_file())
}

/// Runs a program to its end with this on its standard input.
fn fed(command: &mut Command, text: &str) -> io::Result<Output> {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let input = child.stdin.take();
    // What a program says while it reads is little: it does not wait for a reader.
    let written = input.map_or(Ok(()), |mut input| input.write_all(text.as_bytes()));
    let output = child.wait_with_output()?;
    if output.status.success() { written.map(|()| output) } else { Ok(output) }
}

fn said(output: io::Result<Output>, program: &str) -> Result<(), String> {
    let output = output.map_err(|error| format!("{program}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("{program} failed: {}", last(&String::from_utf8_lossy(&output.stderr))))
}

/// The last words of a failure.
fn last(text: &str) -> String {
    let line = text.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("it does not say why");
    line.chars().take(MAX_SAID).collect()
}
