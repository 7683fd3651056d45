//! The real binary in folders of its own, for tests from outside.

#![allow(dead_code, reason = "each test file uses its part of this")]

pub mod person;

use serde_json::Value;
use std::{
    fs,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};
use tempfile::TempDir;

pub const BINARY: &str = env!("CARGO_BIN_EXE_bailiwick");
/// Longer than anything takes on a busy machine; nothing waits for it to pass.
const PATIENCE: Duration = Duration::from_secs(60);

/// What a command gave back.
#[derive(Debug)]
pub struct Ended {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Ended {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// Fails unless the command succeeded.
    #[track_caller]
    pub fn good(self) -> Self {
        assert_eq!(self.code, 0, "{self:?}");
        self
    }
}

/// A command without the surrounding environment's settings.
pub fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(BINARY);
    command.args(arguments).env_clear().env("PATH", "/usr/bin:/bin").env("TERM", "dumb").env("COLUMNS", "100");
    command.stdin(Stdio::null());
    command
}

pub fn run_in(folder: &Path, arguments: &[&str]) -> Ended {
    ended(command(arguments).current_dir(folder))
}

pub fn run(arguments: &[&str]) -> Ended {
    ended(&mut command(arguments))
}

pub fn ended(command: &mut Command) -> Ended {
    let output = command.output().unwrap();
    Ended {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// A folder for one test, with a data folder and a configuration in it.
pub struct Place {
    pub folder: TempDir,
}

impl Place {
    pub fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    /// With a scripted model `main` that follows this scenario.
    pub fn with_scenario(scenario: &str) -> Self {
        let place = Self::new();
        place.write("scenario.toml", scenario);
        place.write("bailiwick.toml", "[models.main]\nprovider = \"rehearsal\"\nscenario = \"scenario.toml\"\n");
        place
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn text(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, text).unwrap();
        path
    }

    pub fn data(&self) -> String {
        self.text("data")
    }

    /// Starts a server and waits until it says that it answers.
    pub fn serve(&self) -> Server {
        self.serve_with(&[], &[])
    }

    pub fn serve_with(&self, arguments: &[&str], variables: &[(&str, &str)]) -> Server {
        let data = self.data();
        let mut all = vec!["serve", "--data", &data, "--listen", "127.0.0.1:0", "--with-parent"];
        let config = self.text("bailiwick.toml");
        if Path::new(&config).exists() {
            all.extend(["--config", &config]);
        }
        all.extend(arguments);
        let log = fs::OpenOptions::new().append(true).create(true).open(self.path("log")).unwrap();
        let mut child =
            command(&all).envs(variables.iter().copied()).stdout(Stdio::piped()).stderr(log).spawn().unwrap();
        let mut line = String::new();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        stdout.read_line(&mut line).unwrap();
        let url = line.split_whitespace().nth(3).unwrap_or_else(|| panic!("{line:?}: {}", self.log())).to_owned();
        Server { child, url, data }
    }

    pub fn log(&self) -> String {
        fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    /// A client command on the administration socket.
    pub fn client(&self, arguments: &[&str]) -> Ended {
        let data = self.data();
        let mut all = arguments.to_vec();
        all.extend(["--data", &data]);
        run_in(self.folder.path(), &all)
    }
}

/// A running server. It ends with the test.
pub struct Server {
    pub child: Child,
    pub url: String,
    data: String,
}

impl Server {
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The process is gone at once, as in a crash.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Asks it to stop and gives its exit code.
    pub fn stop(mut self) -> i32 {
        let ended = Command::new("/bin/kill").arg(self.pid().to_string()).status().unwrap();
        assert!(ended.success());
        self.child.wait().unwrap().code().unwrap_or(-1)
    }

    /// The status and body of a plain GET.
    pub fn get(&self, path: &str, key: Option<&str>) -> (u16, String) {
        http(&self.url, path, key)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            // The sandboxes of this test's sessions outlive a server on purpose; here they go with it.
            wipe_sessions(&self.data);
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

fn wipe_sessions(data: &str) {
    let listed = run(&["session", "list", "--json", "--limit", "1000", "--data", data]);
    let Ok(listed) = serde_json::from_str::<Value>(&listed.stdout) else { return };
    for session in listed["sessions"].as_array().into_iter().flatten() {
        run(&["session", "delete", session["id"].as_str().unwrap_or_default(), "--data", data]);
    }
}

/// A POST over the administration socket, and the answer's body.
pub fn post(data: &str, path: &str, body: &str) -> String {
    use std::io::{Read as _, Write as _};
    let mut stream = std::os::unix::net::UnixStream::connect(Path::new(data).join("admin.sock")).unwrap();
    let head = format!("POST {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: application/json\r\n");
    write!(stream, "{head}content-length: {}\r\n\r\n{body}", body.len()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or(answer)
}

/// A plain HTTP/1.1 GET.
pub fn http(url: &str, path: &str, key: Option<&str>) -> (u16, String) {
    use std::io::{Read as _, Write as _};
    let mut stream = std::net::TcpStream::connect(url.trim_start_matches("http://")).unwrap();
    let key = key.map(|key| format!("authorization: Bearer {key}\r\n")).unwrap_or_default();
    write!(stream, "GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{key}\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.split_whitespace().nth(1).unwrap().parse().unwrap(), body.to_owned())
}

/// Asks until `look` finds something.
#[track_caller]
pub fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(began.elapsed() < PATIENCE, "waited too long for {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Compares with `tests/golden/NAME`; `UPDATE_GOLDEN=1` writes it anew.
#[track_caller]
pub fn golden(name: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
    }
    let kept = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        kept == text,
        "{} differs; look, then run with UPDATE_GOLDEN=1\n--- is\n{text}\n--- was\n{kept}",
        path.display()
    );
}

/// Puts words in the place of what differs from run to run.
pub fn masked(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let id = ["sess_", "act_", "agent_", "key_", "env_", "turn_", "item_", "artf_", "file_"].into_iter().find(
            |prefix| {
                rest.strip_prefix(prefix)
                    .is_some_and(|id| id.len() >= 32 && id.as_bytes()[..32].iter().all(u8::is_ascii_hexdigit))
            },
        );
        match id {
            Some(prefix) => {
                out.push_str(&prefix.to_uppercase());
                out.push_str("ID");
                rest = &rest[prefix.len() + 32..];
            }
            None => {
                out.push(c);
                rest = &rest[c.len_utf8()..];
            }
        }
    }
    out
}
