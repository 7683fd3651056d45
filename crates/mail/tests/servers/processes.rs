//! Real servers of mail and calendars, started as ordinary processes on loopback and ended with the test. The tests of the
//! whole server start them, too.

#![allow(dead_code, reason = "each test uses some of it")]

use serde_json::Value;
use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};
use tempfile::TempDir;

pub const PASSWORD: &str = "pass-word";

/// This folder, from whichever crate's tests.
fn here() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../mail/tests/servers")
}

pub fn tls(name: &str) -> PathBuf {
    here().join("tls").join(name)
}

pub fn python() -> PathBuf {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/tools/mail-servers/bin/python");
    assert!(path.exists(), "there is no {}: run .ci/fetch-tools.sh mail-servers", path.display());
    path
}

/// aiosmtpd.
pub struct SmtpServer {
    child: Child,
    pub port: u16,
    journal: PathBuf,
    _folder: TempDir,
}

impl SmtpServer {
    /// `mode` is `plain`, `open` (nobody signs in), `tls` or `starttls`. What it accepts is filed in `maildir`.
    pub fn start(mode: &str, maildir: Option<&Path>) -> Self {
        let folder = TempDir::new().unwrap();
        let journal = folder.path().join("journal");
        fs::write(&journal, "").unwrap();
        let script = here().join("smtp_server.py");
        let mut command = Command::new(python());
        command.arg(script).arg("--mode").arg(mode).arg("--journal").arg(&journal);
        if let Some(maildir) = maildir {
            command.arg("--maildir").arg(maildir);
        }
        if matches!(mode, "tls" | "starttls") {
            command.arg("--cert").arg(tls("server.pem")).arg("--key").arg(tls("server.key"));
        }
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let port = line.trim().parse().expect("aiosmtpd says its port");
        Self { child, port, journal, _folder: folder }
    }

    /// The file in which each mail that it has taken on is a line.
    pub fn journal(&self) -> PathBuf {
        self.journal.clone()
    }

    /// All mails that it has taken on, oldest first.
    pub fn accepted(&self) -> Vec<Value> {
        let text = fs::read_to_string(&self.journal).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// How often it has taken on the mail with this Message-ID.
    pub fn count(&self, message_id: &str) -> usize {
        self.accepted().iter().filter(|mail| mail["id"] == message_id).count()
    }
}

impl Drop for SmtpServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Dovecot with one mailbox, `anna`.
pub struct Dovecot {
    child: Child,
    /// Plain text and STARTTLS.
    pub port: u16,
    /// TLS.
    pub tls_port: u16,
    folder: TempDir,
}

impl Dovecot {
    pub fn start() -> Self {
        let program = ["/usr/sbin/dovecot", "/usr/local/sbin/dovecot", "/usr/bin/dovecot"].map(Path::new);
        let program = program.iter().find(|path| path.exists());
        let program = program.expect("there is no dovecot: install `dovecot-imapd`, as ./test does");
        // Its sockets need a short path, and its own users must be able to go there.
        let folder = TempDir::new().unwrap();
        open_to_all(folder.path());
        let (port, tls_port) = (free_port(), free_port());
        let config = folder.path().join("dovecot.conf");
        let mail = folder.path().join("mail");
        for part in ["cur", "new", "tmp", ".Sent/cur", ".Sent/new", ".Sent/tmp"] {
            fs::create_dir_all(mail.join(part)).unwrap();
        }
        let (uid, gid) = mail_user();
        walk(&mail, &|path| {
            open_to_all(path);
            let _ = std::os::unix::fs::chown(path, Some(uid), Some(gid));
        });
        fs::write(folder.path().join("users"), format!("anna:{{PLAIN}}{PASSWORD}\n")).unwrap();
        fs::set_permissions(folder.path().join("users"), fs::Permissions::from_mode(0o644)).unwrap();
        fs::write(&config, configuration(folder.path(), port, tls_port, uid, gid)).unwrap();
        let child = Command::new(program).arg("-F").arg("-c").arg(&config).stderr(Stdio::null()).spawn().unwrap();
        let mut made = Self { child, port, tls_port, folder };
        made.wait();
        made
    }

    fn wait(&mut self) {
        for _ in 0..600 {
            if let Ok(mut stream) = TcpStream::connect(("127.0.0.1", self.port)) {
                let mut greeting = [0; 4];
                if stream.read_exact(&mut greeting).is_ok() && &greeting == b"* OK" {
                    return;
                }
            }
            let ended = self.child.try_wait().unwrap();
            assert!(ended.is_none(), "dovecot ended: {}", self.log());
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("dovecot does not answer: {}", self.log());
    }

    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// The maildir of a folder; the inbox is `""`.
    pub fn maildir(&self, folder: &str) -> PathBuf {
        let mail = self.folder.path().join("mail");
        if folder.is_empty() { mail } else { mail.join(format!(".{folder}")) }
    }

    /// Puts a message into the inbox, as its delivery would.
    pub fn deliver(&self, name: &str, message: &[u8]) {
        let path = self.maildir("").join("new").join(name);
        let mut file = fs::File::create(&path).unwrap();
        file.write_all(message).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).unwrap();
    }
}

impl Drop for Dovecot {
    fn drop(&mut self) {
        // Asked to end it takes its children along.
        let _ = Command::new("kill").arg(self.child.id().to_string()).status();
        let _ = self.child.wait();
    }
}

/// Radicale with one person, `anna`.
pub struct Radicale {
    child: Child,
    port: u16,
    folder: TempDir,
}

impl Radicale {
    pub fn start() -> Self {
        let folder = TempDir::new().unwrap();
        let port = free_port();
        let path = folder.path().display();
        fs::write(folder.path().join("users"), format!("anna:{PASSWORD}\n")).unwrap();
        let config = format!(
            "[server]\nhosts = 127.0.0.1:{port}\n[auth]\ntype = htpasswd\nhtpasswd_filename = {path}/users\n\
             htpasswd_encryption = plain\ndelay = 0\n[storage]\nfilesystem_folder = {path}/data\n"
        );
        fs::write(folder.path().join("config"), config).unwrap();
        let mut command = Command::new(python());
        command.args(["-m", "radicale", "--config"]).arg(folder.path().join("config"));
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let mut made = Self { child, port, folder };
        for _ in 0..600 {
            if TcpStream::connect(("127.0.0.1", port)).is_ok() {
                return made;
            }
            assert!(made.child.try_wait().unwrap().is_none(), "radicale ended");
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("radicale does not answer");
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}/{path}", self.port)
    }

    fn home(&self) -> PathBuf {
        self.folder.path().join("data/collection-root/anna")
    }

    /// Makes a calendar, as its web page would.
    pub fn calendar(&self, path: &str, name: &str) {
        let folder = self.home().join(path);
        fs::create_dir_all(&folder).unwrap();
        let properties = serde_json::json!({"tag": "VCALENDAR", "D:displayname": name});
        fs::write(folder.join(".Radicale.props"), properties.to_string()).unwrap();
    }

    /// Puts an object into a calendar, as somebody else's program would.
    pub fn put(&self, calendar: &str, name: &str, object: &str) {
        fs::write(self.home().join(calendar).join(format!("{name}.ics")), object).unwrap();
    }

    /// What a calendar holds.
    pub fn objects(&self, calendar: &str) -> Vec<String> {
        let files = fs::read_dir(self.home().join(calendar)).unwrap().map(|entry| entry.unwrap().path());
        let objects = files.filter(|path| path.extension().is_some_and(|end| end == "ics"));
        objects.map(|path| fs::read_to_string(path).unwrap().replace("\r\n ", "")).collect()
    }
}

impl Drop for Radicale {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn configuration(folder: &Path, port: u16, tls_port: u16, uid: u32, gid: u32) -> String {
    let own = String::from_utf8(Command::new("id").arg("-un").output().unwrap().stdout).unwrap();
    let (own, root) = (own.trim().to_owned(), is_root());
    // As root it takes Debian's own users, else it is all one user.
    let (login, internal) = if root { ("dovenull", "dovecot") } else { (own.as_str(), own.as_str()) };
    let group = String::from_utf8(Command::new("id").arg("-gn").output().unwrap().stdout).unwrap();
    let group = if root { "dovecot" } else { group.trim() };
    let (cert, key) = (tls("server.pem"), tls("server.key"));
    let folder = folder.display();
    format!(
        "protocols = imap\nlisten = 127.0.0.1\nbase_dir = {folder}/run\nstate_dir = {folder}/run\nlog_path = {folder}/log\n\
         default_login_user = {login}\ndefault_internal_user = {internal}\ndefault_internal_group = {group}\n\
         ssl = yes\nssl_cert = <{}\nssl_key = <{}\ndisable_plaintext_auth = no\nfirst_valid_uid = 1\nfirst_valid_gid = 1\n\
         mail_location = maildir:{folder}/mail\nmail_fsync = never\nauth_failure_delay = 0\n\
         namespace inbox {{\n  inbox = yes\n  mailbox Sent {{\n    special_use = \\Sent\n  }}\n}}\n\
         passdb {{\n  driver = passwd-file\n  args = scheme=PLAIN username_format=%u {folder}/users\n}}\n\
         userdb {{\n  driver = static\n  args = uid={uid} gid={gid} home={folder}/mail\n}}\n\
         service imap-login {{\n  chroot =\n  inet_listener imap {{\n    port = {port}\n  }}\n  inet_listener imaps {{\n    port = {tls_port}\n  }}\n}}\n\
         service anvil {{\n  chroot =\n}}\nservice stats {{\n  chroot =\n}}\n",
        cert.display(),
        key.display(),
    )
}

fn is_root() -> bool {
    mail_owner_of_this_process() == 0
}

fn mail_owner_of_this_process() -> u32 {
    use std::os::unix::fs::MetadataExt;
    fs::metadata("/proc/self").unwrap().uid()
}

/// Whose the mail is: dovecot reads no mail as root.
fn mail_user() -> (u32, u32) {
    use std::os::unix::fs::MetadataExt;
    let own = fs::metadata("/proc/self").unwrap();
    if own.uid() == 0 { (65_534, 65_534) } else { (own.uid(), own.gid()) }
}

fn open_to_all(path: &Path) {
    fs::set_permissions(path, fs::Permissions::from_mode(0o777)).unwrap();
}

fn walk(path: &Path, each: &dyn Fn(&Path)) {
    each(path);
    if path.is_dir() {
        for entry in fs::read_dir(path).unwrap() {
            walk(&entry.unwrap().path(), each);
        }
    }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}
