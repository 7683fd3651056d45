//! The configuration file: TOML, relative paths are relative to the file, unknown keys are errors.
//!
//! Secrets are never in the file. It names environment variables (`api_key_env`) or files (`token_file`).

mod identity;
mod keys;
mod known;
mod outbound;
#[cfg(test)]
mod tests;

pub use identity::{Identity, OpenId};
pub use keys::Keys;
pub use known::nearest;
pub use outbound::Outbound;

use crate::logs::LogFormat;
use bailiwick_core::budget::MAX_PRICE;
use bailiwick_models::{ModelOptions, OptionsError};
use serde::Deserialize;
use std::{
    collections::BTreeMap,
    fmt,
    net::SocketAddr,
    ops::{Range, RangeInclusive},
    path::{Path, PathBuf},
};
use toml::de::DeTable;

/// A longer file is not a configuration.
const MAX_BYTES: u64 = 1024 * 1024;
const SANDBOX_IDLE_MS: RangeInclusive<u64> = 1_000..=30 * 24 * 3600 * 1000;

/// The whole file. Every key has a default, so that there may be no file at all.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    pub server: Server,
    pub limits: Limits,
    pub money: Money,
    pub identity: Identity,
    pub audit: Audit,
    pub keys: Keys,
    pub retention: Retention,
    pub outbound: Outbound,
    pub vaults: Vaults,
    pub models: BTreeMap<String, ModelOptions>,
    /// What is known of functions, by name.
    pub tools: BTreeMap<String, Tool>,
    pub executors: BTreeMap<String, ListeningExecutor>,
}

/// `[vaults]`
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Vaults {
    /// Token endpoints of credentials may be inside: plain HTTP, loopback and private addresses are open.
    pub private_network: bool,
}

/// `[server]`
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Server {
    /// Where to listen; `--listen` wins.
    pub listen: SocketAddr,
    /// Under which URL executors and clients reach this server, when that is not the address it listens on.
    pub public_url: Option<String>,
    /// `--log-format` wins.
    pub log_format: LogFormat,
    /// How long a stop waits for requests and sessions to come to rest.
    pub shutdown_seconds: u64,
}

impl Default for Server {
    fn default() -> Self {
        let listen = SocketAddr::from(([127, 0, 0, 1], 7700));
        Self { listen, public_url: None, log_format: LogFormat::default(), shutdown_seconds: 20 }
    }
}

/// `[limits]`
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Sessions that are worked on at the same time; the others wait their turn.
    pub driven_sessions: usize,
    /// Connections of clients at the same time; more are refused with 503.
    pub connections: usize,
    /// Hosted sandboxes that run at the same time. For one more, the one that was idle longest is ended.
    pub sandboxes: usize,
    /// A hosted sandbox that nobody used for so many milliseconds is ended; its workspace stays.
    pub sandbox_idle_ms: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { driven_sessions: 256, connections: 4096, sandboxes: 64, sandbox_idle_ms: 15 * 60 * 1000 }
    }
}

/// `[money]`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Money {
    /// The one currency of prices and budgets, as ISO 4217 writes it.
    pub currency: String,
    /// What becomes of a call of a model without a price where a budget applies.
    pub unpriced: Unpriced,
}

impl Default for Money {
    fn default() -> Self {
        Self { currency: "USD".into(), unpriced: Unpriced::default() }
    }
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unpriced {
    #[default]
    Refuse,
    /// It is made, and its receipt warns.
    Warn,
}

/// `[tools.NAME]`: a function that applications answer.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tool {
    /// What one call costs, as decimal text in the one currency.
    #[serde(deserialize_with = "amount")]
    pub price: bailiwick_types::Money,
}

fn amount<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<bailiwick_types::Money, D::Error> {
    let text = String::deserialize(deserializer)?;
    match text.parse::<bailiwick_types::Money>() {
        Ok(price) if price <= MAX_PRICE => Ok(price),
        Ok(_) => Err(serde::de::Error::custom(format!("a price must not be above {MAX_PRICE}"))),
        Err(error) => Err(serde::de::Error::custom(error)),
    }
}

/// `[audit]`
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Audit {
    /// A second place for checkpoints: a file on another machine's disk, or on one that cannot be changed. Without it
    /// they are beside the log, which proves less.
    pub checkpoints: Option<PathBuf>,
    /// The list of whose content was erased, in a place that a restore of the data does not take back.
    pub erasures: Option<PathBuf>,
    /// `[audit.stream]`: receipts as they are written, for a SIEM.
    pub stream: AuditStream,
}

/// `[audit.stream]`
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AuditStream {
    /// A file to which every receipt is added as a line of JSON.
    pub file: Option<PathBuf>,
    /// Bytes at which the file is put aside and another is begun.
    pub file_bytes: u64,
    /// Files that were put aside and are kept.
    pub files_kept: u32,
    /// Where receipts are posted, in batches.
    pub webhook: Option<String>,
    /// The environment variable with the secret that signs what is posted.
    pub webhook_secret_env: Option<String>,
}

impl Default for AuditStream {
    fn default() -> Self {
        let (file_bytes, files_kept) = (64 * 1024 * 1024, 10);
        Self { file: None, file_bytes, files_kept, webhook: None, webhook_secret_env: None }
    }
}

/// `[retention]`
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Retention {
    /// Days after its last record for which a session's content is kept; none is for ever. Receipts are always kept.
    pub sessions_days: Option<u32>,
}

/// `[executors.NAME]`: a self-hosted executor that listens and that this server dials.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ListeningExecutor {
    /// `wss://…`, or `ws://` on loopback.
    pub url: String,
    /// The file that holds its capability token.
    pub token_file: PathBuf,
}

/// One thing that is wrong, and where.
#[derive(Debug, Clone, PartialEq)]
struct Problem {
    at: Range<usize>,
    message: String,
}

/// Why a configuration cannot be used: one line for each problem, as `FILE:LINE:COLUMN: what, and what to do`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    lines: Vec<String>,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.lines.join("\n"))
    }
}

impl std::error::Error for ConfigError {}

/// A configuration with the text it came from, so that what is found wrong later can still name its line.
#[derive(Debug, Clone, Default)]
pub struct Loaded {
    pub config: Config,
    file: Option<PathBuf>,
    text: String,
}

impl Loaded {
    /// Reads `file`; without one everything has its default.
    pub fn read(file: Option<&Path>) -> Result<Self, ConfigError> {
        let Some(file) = file else { return Ok(Self::default()) };
        let text =
            read_text(file).map_err(|problem| ConfigError { lines: vec![format!("{}: {problem}", file.display())] })?;
        Self::parse(file, text)
    }

    fn parse(file: &Path, text: String) -> Result<Self, ConfigError> {
        let wrong = |problems: Vec<Problem>| ConfigError {
            lines: problems.iter().map(|problem| render(file, &text, problem)).collect(),
        };
        let from_toml = |error: toml::de::Error| {
            wrong(vec![Problem { at: error.span().unwrap_or(0..0), message: error.message().trim().to_owned() }])
        };
        let document = DeTable::parse(&text).map_err(from_toml)?;
        let unknown = known::unknown_keys(document.get_ref());
        if !unknown.is_empty() {
            return Err(wrong(unknown));
        }
        let mut config: Config = toml::from_str(&text).map_err(from_toml)?;
        let problems = check(&config, document.get_ref());
        if !problems.is_empty() {
            return Err(wrong(problems));
        }
        let folder = file.parent().unwrap_or_else(|| Path::new(""));
        for model in config.models.values_mut() {
            model.scenario = model.scenario.take().map(|path| folder.join(path));
        }
        for path in [
            &mut config.audit.checkpoints,
            &mut config.audit.erasures,
            &mut config.audit.stream.file,
            &mut config.outbound.extra_roots,
        ] {
            *path = path.take().map(|path| folder.join(path));
        }
        config.keys.old_variable = config.keys.variable.as_ref().map(|name| format!("{name}_OLD"));
        config.keys.file = config.keys.file.take().map(|path| folder.join(path));
        for executor in config.executors.values_mut() {
            executor.token_file = folder.join(&executor.token_file);
        }
        Ok(Self { config, file: Some(file.to_owned()), text })
    }

    /// Puts a place to something that is wrong with a model's options.
    pub fn model_error(&self, error: &OptionsError) -> ConfigError {
        let below = error.field.split('.').filter(|part| !part.is_empty());
        let path: Vec<&str> = ["models", &error.model].into_iter().chain(below).collect();
        self.located(&path, error.to_string())
    }

    /// Puts a place to something that is wrong with a listening executor's URL.
    pub fn executor_error(&self, name: &str, problem: &str) -> ConfigError {
        self.located(&["executors", name, "url"], format!("[executors.{name}] url: {problem}"))
    }

    /// Puts a place to something that is wrong with the identity provider.
    pub fn identity_error(&self, organisation: Option<&str>, problem: &str) -> ConfigError {
        match organisation {
            None => self.located(&["identity", "oidc"], format!("[identity.oidc] {problem}")),
            Some(name) => {
                let message = format!("[identity.organisations.{name:?}.oidc] {problem}");
                self.located(&["identity", "organisations", name, "oidc"], message)
            }
        }
    }

    /// Puts a place to something that is wrong with the stream of receipts.
    pub fn audit_stream_error(&self, problem: &str) -> ConfigError {
        self.located(&["audit", "stream"], format!("[audit.stream] {problem}"))
    }

    fn located(&self, path: &[&str], message: String) -> ConfigError {
        let Some(file) = &self.file else { return ConfigError { lines: vec![message] } };
        let at = DeTable::parse(&self.text).ok().and_then(|document| known::span_of(document.get_ref(), path));
        let problem = Problem { at: at.unwrap_or(0..0), message };
        ConfigError { lines: vec![render(file, &self.text, &problem)] }
    }

    /// The environment variables that hold secrets: the keys of data and of models, and the identity provider's.
    pub fn key_variables(&self) -> impl Iterator<Item = &str> {
        let oidc = self.config.identity.providers().filter_map(|(_, oidc)| oidc.client_secret_env.as_deref());
        let keys = &self.config.keys;
        let kek = [&keys.variable, &keys.old_variable].into_iter().flatten().map(String::as_str);
        let webhook = self.config.audit.stream.webhook_secret_env.as_deref();
        self.config
            .models
            .values()
            .filter_map(|model| model.api_key_env.as_deref())
            .chain(oidc)
            .chain(webhook)
            .chain(kek)
    }
}

/// What is wrong with the stream of receipts.
fn check_stream(stream: &AuditStream, refuse: &mut impl FnMut(&[&str], String)) {
    let mut wrong = |key: &str, message: &str| refuse(&["audit", "stream", key], message.to_owned());
    if !(64 * 1024..=1 << 40).contains(&stream.file_bytes) {
        wrong("file_bytes", "`file_bytes` must be 65536 to 1099511627776");
    }
    if stream.files_kept > 10_000 {
        wrong("files_kept", "`files_kept` must be at most 10000");
    }
    match (&stream.webhook, &stream.webhook_secret_env) {
        (Some(url), _) if !url.starts_with("https://") && !is_loopback(url) => {
            wrong("webhook", "`webhook` must begin with `https://` (or `http://127.0.0.1` for a test)");
        }
        (Some(_), None) => {
            wrong(
                "webhook",
                "`webhook` needs `webhook_secret_env`, the variable with the secret that signs what is posted",
            );
        }
        (_, Some(variable)) if !is_variable(variable) => {
            wrong("webhook_secret_env", "`webhook_secret_env` must be the name of an environment variable");
        }
        _ => {}
    }
}

fn is_loopback(url: &str) -> bool {
    ["http://127.0.0.1:", "http://127.0.0.1/", "http://[::1]:"].iter().any(|start| url.starts_with(start))
}

/// What TOML and serde cannot see.
fn check(config: &Config, document: &DeTable<'_>) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut refuse = |path: &[&str], message: String| {
        problems.push(Problem { at: known::span_of(document, path).unwrap_or(0..0), message });
    };
    for (key, value, most) in [
        ("driven_sessions", config.limits.driven_sessions, 100_000),
        ("connections", config.limits.connections, 1_000_000),
        ("sandboxes", config.limits.sandboxes, 10_000),
    ] {
        if value == 0 || value > most {
            refuse(&["limits", key], format!("`{key}` must be 1 to {most}"));
        }
    }
    if !SANDBOX_IDLE_MS.contains(&config.limits.sandbox_idle_ms) {
        let (least, most) = (SANDBOX_IDLE_MS.start(), SANDBOX_IDLE_MS.end());
        let message = format!("`sandbox_idle_ms` must be {least} (one second) to {most} (thirty days)");
        refuse(&["limits", "sandbox_idle_ms"], message);
    }
    let currency = &config.money.currency;
    if currency.len() != 3 || !currency.bytes().all(|byte| byte.is_ascii_uppercase()) {
        refuse(&["money", "currency"], "`currency` must be three capital letters, such as \"USD\"".into());
    }
    identity::check(&config.identity, &mut refuse);
    keys::check(&config.keys, &mut refuse);
    check_stream(&config.audit.stream, &mut refuse);
    if config.retention.sessions_days.is_some_and(|days| !(1..=36_500).contains(&days)) {
        refuse(&["retention", "sessions_days"], "`sessions_days` must be 1 to 36500".into());
    }
    if config.server.shutdown_seconds > 3600 {
        refuse(&["server", "shutdown_seconds"], "`shutdown_seconds` must be at most 3600".into());
    }
    if let Some(url) = &config.server.public_url
        && !(url.starts_with("http://") || url.starts_with("https://"))
    {
        refuse(&["server", "public_url"], "`public_url` must begin with `http://` or `https://`".into());
    }
    for (name, model) in &config.models {
        if let Some(variable) = &model.api_key_env
            && !is_variable(variable)
        {
            let message = format!(
                "[models.{name}] api_key_env: `{}` is not the name of an environment variable; write the name here, \
                 such as \"PROVIDER_API_KEY\", and put the key into that variable",
                masked(variable)
            );
            refuse(&["models", name, "api_key_env"], message);
        }
    }
    problems
}

/// Names that a shell can export.
fn is_variable(name: &str) -> bool {
    let mut bytes = name.bytes();
    bytes.next().is_some_and(|first| first.is_ascii_alphabetic() || first == b'_')
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// Whatever was written here in place of a name may be the key itself.
fn masked(text: &str) -> String {
    text.chars().take(3).chain("…".chars()).collect()
}

fn read_text(file: &Path) -> Result<String, String> {
    let bytes = crate::files::read_bounded(file, MAX_BYTES).map_err(|error| error.to_string())?;
    String::from_utf8(bytes).map_err(|_| "this is not UTF-8 text".to_owned())
}

/// `FILE:LINE:COLUMN: message`, counted from 1 in characters.
fn render(file: &Path, text: &str, problem: &Problem) -> String {
    let start = problem.at.start.min(text.len());
    let before = text.get(..start).unwrap_or_default();
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().map_or(0, |last| last.chars().count()) + 1;
    format!("{}:{line}:{column}: {}", file.display(), problem.message)
}
