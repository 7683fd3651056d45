//! The stock executor as whoever runs it starts it: dialling in, or listening.

use serde_json::Value;
use std::{
    fs::{self, File},
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

/// The environment that a session waits to see connected, as the API shows it.
#[derive(Debug, Clone)]
pub struct Remote {
    pub environment: String,
    pub url: String,
}

impl Remote {
    pub fn of(session: &Value) -> Self {
        let environment = &session["environment"];
        let word = |name: &str| environment[name].as_str().expect(name).to_owned();
        Self { environment: word("id"), url: word("remote_url") }
    }
}

/// An access key.
#[derive(Debug, Clone)]
pub struct Access {
    pub id: String,
    pub secret: String,
}

impl Access {
    pub fn of(key: &Value) -> Self {
        let word = |name: &str| key[name].as_str().expect(name).to_owned();
        Self { id: word("access_key_id"), secret: word("secret_access_key") }
    }
}

/// A running `codex exec-server`; it is killed when it goes out of use.
pub struct Stock {
    child: Child,
    log: PathBuf,
    /// Where it listens; empty for one that dials in.
    pub url: String,
}

impl Stock {
    /// `folder` gets its home and its log, and must not be below the system's temporary folder.
    pub fn dial(folder: &Path, remote: &Remote, access: &Access) -> Self {
        let mut command = command(folder);
        command.args(["--remote", &remote.url, "--environment-id", &remote.environment]);
        command.args(["--remote-transport", "direct", "--aws-sigv4", "--aws-region", "us-east-1"]);
        command.args(["--aws-service", "bailiwick"]);
        command.env("AWS_ACCESS_KEY_ID", &access.id).env("AWS_SECRET_ACCESS_KEY", &access.secret);
        let child = command.stdout(Stdio::null()).spawn().expect("the stock executor starts");
        Self { child, log: log(folder), url: String::new() }
    }

    /// At `url`, which is on loopback; port 0 is a free one. The token is what the file holds.
    pub fn listen(folder: &Path, url: &str, token: &Path) -> Self {
        let mut command = command(folder);
        command.args(["--listen", url, "--ws-auth", "capability-token", "--ws-token-file"]).arg(token);
        let mut child = command.stdout(Stdio::piped()).spawn().expect("the stock executor starts");
        let mut line = String::new();
        let said = child.stdout.take().expect("its output");
        BufReader::new(said).read_line(&mut line).expect("it says where it listens");
        assert!(line.starts_with("ws://127.0.0.1:"), "{line}");
        Self { child, log: log(folder), url: line.trim().to_owned() }
    }

    /// SIGKILL, nothing said.
    pub fn kill(mut self) {
        self.child.kill().expect("it can be killed");
        self.child.wait().expect("it ends");
    }

    /// What it wrote to its standard error so far.
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for Stock {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn log(folder: &Path) -> PathBuf {
    folder.join("executor.log")
}

fn command(folder: &Path) -> Command {
    let binary = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/tools/codex/bin/codex");
    assert!(
        binary.exists(),
        "there is no stock executor at {}: run .ci/fetch-tools.sh codex, which installs it with npm",
        binary.display()
    );
    let home = folder.join("home");
    fs::create_dir_all(&home).expect("a home");
    let log = File::options().create(true).append(true).open(log(folder)).expect("a log");
    let mut command = Command::new(binary);
    command.arg("exec-server").env_clear().env("HOME", &home).env("CODEX_HOME", &home).env("PATH", "/usr/bin:/bin");
    command.current_dir(folder).stdin(Stdio::null()).stderr(log);
    command
}
