//! Takes secrets out of the process's environment, for good.
//!
//! Removing a variable does not remove it from `/proc/PID/environ`, which any process of the same user may read. So the
//! server starts itself once more, in the same process, with an environment without them; they come along through an
//! anonymous file in memory as standard input, and nothing of them is left behind.

use crate::{
    failure::{Doing as _, Failure, Outcome},
    variables,
};
use bailiwick_types::Secret;
use rustix::fs::MemfdFlags;
use std::{
    collections::BTreeMap,
    fs::File,
    io::{Read as _, Seek as _, Write as _},
    os::unix::process::CommandExt as _,
};

/// Creates an administrator key of this value at the first start.
pub const BOOTSTRAP_KEY: &str = "BAILIWICK_BOOTSTRAP_KEY";
/// Says that the secrets are on standard input. Holds no secret itself.
const HANDED_OVER: &str = "BAILIWICK_SECRETS_ON_STDIN";
const MAX_BYTES: u64 = 1024 * 1024;

/// Secrets by the names of the variables that held them.
#[derive(Debug, Default)]
pub struct Secrets(BTreeMap<String, Secret>);

impl Secrets {
    pub fn get(&self, variable: &str) -> Option<&Secret> {
        self.0.get(variable)
    }

    /// Reads the secrets in these variables. When there are any, this starts the program over without them and does not
    /// return; the second time it reads what the first has handed over.
    ///
    /// To be called before there is another thread.
    pub fn take<'a>(variables: impl Iterator<Item = &'a str>) -> Outcome<Self> {
        if variables::read(HANDED_OVER).is_some() {
            return Self::receive();
        }
        let found: BTreeMap<&str, String> =
            variables.filter_map(|name| variables::read(name).map(|value| (name, value))).collect();
        if found.is_empty() {
            return Ok(Self::default());
        }
        Err(start_over(&found))
    }

    fn receive() -> Outcome<Self> {
        let mut text = String::new();
        std::io::stdin().take(MAX_BYTES).read_to_string(&mut text).doing(|| "take over the secrets".to_owned())?;
        let null = rustix::fs::open("/dev/null", rustix::fs::OFlags::RDWR, rustix::fs::Mode::empty());
        null.and_then(|null| rustix::stdio::dup2_stdin(&null)).doing(|| "open /dev/null".to_owned())?;
        let found: BTreeMap<String, String> =
            serde_json::from_str(&text).doing(|| "read the secrets that were handed over".to_owned())?;
        Ok(Self(found.into_iter().map(|(name, value)| (name, Secret::new(value))).collect()))
    }
}

/// Replaces this program by itself. Only comes back when that fails.
fn start_over(secrets: &BTreeMap<&str, String>) -> Failure {
    let handed: std::io::Result<File> = (|| {
        let mut file = File::from(rustix::fs::memfd_create("bailiwick-secrets", MemfdFlags::CLOEXEC)?);
        // INVARIANT: a map of strings is JSON.
        file.write_all(serde_json::to_string(secrets).expect("a map of strings is JSON").as_bytes())?;
        file.rewind()?;
        Ok(file)
    })();
    let failed = |error: std::io::Error| {
        Failure::failed(format!("cannot take the secrets out of the environment: {error}"))
            .help("mount /proc, so that the program can start itself")
    };
    let (file, program) = match handed.and_then(|file| Ok((file, std::env::current_exe()?))) {
        Ok(found) => found,
        Err(error) => return failed(error),
    };
    #[allow(clippy::disallowed_methods, reason = "this starts no process: it becomes the same program again")]
    let mut command = std::process::Command::new(program);
    let mut arguments = std::env::args_os();
    if let Some(name) = arguments.next() {
        command.arg0(name);
    }
    command.args(arguments).stdin(file).env(HANDED_OVER, "1");
    for name in secrets.keys() {
        command.env_remove(name);
    }
    failed(command.exec())
}
