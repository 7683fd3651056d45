//! Receipts as they are written, to a file and to a webhook, for a SIEM.
//!
//! What is kept is the place of the next leaf, on disk before the next batch is begun; what has not been told is the log
//! itself. A file gets every receipt once: what a crash left of a batch is seen in the file. A webhook gets it at least
//! once, in order, with its index and leaf hash, so that a repetition is known as one.

use super::{compose::wrong_configuration, erasures::blocking, metrics::Metrics};
use crate::{
    config::Loaded,
    failure::{Failure, Outcome},
    files,
    runtime::SystemClock,
    serve::Secrets,
};
use bailiwick_audit::{Audit, Fed};
use bailiwick_identity::webhook_signature;
use bailiwick_ports::{Clock as _, TaskHandle, Tasks};
use bailiwick_store::DataFolder;
use bailiwick_types::{Millis, Secret, TenantId};
use bytes::Bytes;
use reqwest::{Client, Url};
use serde_json::Value;
use std::{
    collections::HashMap,
    io::{self, Write as _},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

/// Leaves of one batch.
const BATCH: u32 = 500;
/// How often it looks for new leaves.
const PACE: Millis = Millis(500);
/// The first pause after a failure, and the longest.
const PAUSE: Millis = Millis(1000);
const LONGEST_PAUSE: Millis = Millis::from_secs(300);
const CONNECT: Duration = Duration::from_secs(10);
const WHOLE: Duration = Duration::from_secs(60);
/// Of a file's end, which is read at the start: more than one batch.
const TAIL: u64 = 4 * 1024 * 1024;

/// The streams that the configuration asks for.
pub struct Feeds(Vec<Arc<Feed>>);

struct Feed {
    to: &'static str,
    sink: Sink,
    audit: Audit,
    folder: PathBuf,
    metrics: Arc<Metrics>,
}

enum Sink {
    File { path: PathBuf, most: u64, kept: u32 },
    Webhook { client: Client, url: Url, secret: Secret },
}

pub fn build(
    loaded: &Loaded,
    secrets: &Secrets,
    folder: &DataFolder,
    audit: &Audit,
    metrics: &Arc<Metrics>,
) -> Outcome<Feeds> {
    let stream = &loaded.config.audit.stream;
    let mut sinks = Vec::new();
    if let Some(path) = &stream.file {
        sinks.push(("file", Sink::File { path: path.clone(), most: stream.file_bytes, kept: stream.files_kept }));
    }
    if let (Some(url), Some(variable)) = (&stream.webhook, &stream.webhook_secret_env) {
        let wrong = |problem: String| wrong_configuration(&loaded.audit_stream_error(&problem));
        let secret = secrets.get(variable).cloned().ok_or_else(|| {
            wrong(format!("the environment variable `{variable}` is not set; put the webhook's secret into it"))
        })?;
        let url = Url::parse(url).map_err(|error| wrong(format!("`webhook` is no URL: {error}")))?;
        let client = client().map_err(|error| Failure::failed(format!("no client could be made: {error}")))?;
        sinks.push(("webhook", Sink::Webhook { client, url, secret }));
    }
    let feed = |(to, sink)| {
        let (audit, folder, metrics) = (audit.clone(), folder.path().to_owned(), Arc::clone(metrics));
        Arc::new(Feed { to, sink, audit, folder, metrics })
    };
    Ok(Feeds(sinks.into_iter().map(feed).collect()))
}

/// The operator names the address, so that it may be inside; where it would redirect to, nobody has named.
#[allow(clippy::disallowed_methods, reason = "the one client that posts receipts to the operator's webhook")]
fn client() -> reqwest::Result<Client> {
    Client::builder()
        .connect_timeout(CONNECT)
        .timeout(WHOLE)
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .user_agent(concat!("bailiwick/", env!("CARGO_PKG_VERSION")))
        .build()
}

impl Feeds {
    /// One task for each. To be aborted at the end: what was not told is told at the next start.
    pub fn start(&self, tasks: &Arc<dyn Tasks>) -> Vec<TaskHandle> {
        let start = |feed: &Arc<Feed>| {
            let feed = Arc::clone(feed);
            tasks.spawn("receipt-stream", Box::pin(async move { feed.run().await }))
        };
        self.0.iter().map(start).collect()
    }
}

impl Feed {
    async fn run(&self) {
        let mut places = HashMap::new();
        let mut pause = PAUSE;
        loop {
            let round = self.round(&mut places).await;
            self.metrics.stream_failed(self.to, round.is_err());
            let wait = match round {
                Ok(true) => Millis(0),
                Ok(false) => {
                    pause = PAUSE;
                    PACE
                }
                Err(error) => {
                    tracing::warn!(to = self.to, %error, "receipts could not be passed on; they are tried again");
                    // What was written of them is looked at again.
                    places.clear();
                    let this = pause;
                    pause = Millis((pause.0 * 2).min(LONGEST_PAUSE.0));
                    this
                }
            };
            SystemClock.sleep_until(SystemClock.now() + wait).await;
        }
    }

    /// One batch for each tenant. `true` while there is more.
    async fn round(&self, places: &mut HashMap<TenantId, u64>) -> Result<bool, String> {
        let text = |error: bailiwick_ports::AuditError| error.to_string();
        let (mut more, mut behind) = (false, 0);
        for tenant in self.audit.tenants().await.map_err(text)? {
            let from = match places.get(&tenant) {
                Some(place) => *place,
                None => self.place(tenant).await?,
            };
            let fed = self.audit.feed(tenant, from, BATCH).await.map_err(text)?;
            self.metrics.stream_behind(self.to, behind + fed.behind + (fed.next - from));
            if fed.count > 0 {
                self.deliver(&fed, from).await?;
            }
            if fed.next != from {
                self.keep_place(tenant, fed.next).await?;
            }
            places.insert(tenant, fed.next);
            more |= fed.behind > 0;
            behind += fed.behind;
        }
        self.metrics.stream_behind(self.to, behind);
        Ok(more)
    }

    fn place_file(&self, tenant: TenantId) -> PathBuf {
        self.folder.join(format!("stream-{}-{tenant}", self.to))
    }

    async fn place(&self, tenant: TenantId) -> Result<u64, String> {
        let file = self.place_file(tenant);
        let sink = match &self.sink {
            Sink::File { path, .. } => Some(path.clone()),
            Sink::Webhook { .. } => None,
        };
        let read = move || {
            let kept = match files::read_bounded(&file, 64) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
                read => String::from_utf8_lossy(&read?).trim().parse().map_err(io::Error::other)?,
            };
            Ok(match sink {
                Some(path) => kept.max(mend(&path, tenant)?),
                None => kept,
            })
        };
        blocking(read).await
    }

    async fn keep_place(&self, tenant: TenantId, next: u64) -> Result<(), String> {
        let file = self.place_file(tenant);
        blocking(move || files::write_whole(&file, format!("{next}\n").as_bytes(), 0o600)).await
    }

    async fn deliver(&self, fed: &Fed, first: u64) -> Result<(), String> {
        match &self.sink {
            Sink::File { path, most, kept } => {
                let (path, most, kept, lines) = (path.clone(), *most, *kept, fed.lines.clone());
                blocking(move || add(&path, most, kept, &lines)).await
            }
            Sink::Webhook { client, url, secret } => {
                let seconds = SystemClock.now().as_seconds();
                let request = client
                    .post(url.clone())
                    .header("content-type", "application/x-ndjson")
                    .header("bailiwick-timestamp", seconds)
                    .header("bailiwick-signature", webhook_signature(secret, seconds, &fed.lines))
                    .header("bailiwick-first", first)
                    .header("bailiwick-next", fed.next)
                    .body(fed.lines.clone());
                let sent = request.send().await.map_err(|error| error.without_url().to_string())?;
                match sent.status() {
                    status if status.is_success() => Ok(()),
                    status if status.is_redirection() => {
                        Err(format!("it answers {status}: redirects are not followed"))
                    }
                    status => Err(format!("it answers {status}")),
                }
            }
        }
    }
}

/// Adds lines to the file; one that is full is put aside first.
fn add(path: &Path, most: u64, kept: u32, lines: &Bytes) -> io::Result<()> {
    let mut file = files::append(path)?;
    if file.metadata()?.len() >= most {
        drop(file);
        for number in (1..kept).rev() {
            files::rename_if_there(&aside(path, number), &aside(path, number + 1))?;
        }
        match kept {
            0 => files::remove(path)?,
            _ => files::rename_if_there(path, &aside(path, 1))?,
        }
        file = files::append(path)?;
    }
    file.write_all(lines)?;
    file.sync_all()
}

fn aside(path: &Path, number: u32) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{number}"));
    path.with_file_name(name)
}

/// Cuts off a line that a crash left unfinished, and gives the place behind the last one of this tenant.
fn mend(path: &Path, tenant: TenantId) -> io::Result<u64> {
    let Some((tail, from)) = files::tail(path, TAIL)? else { return Ok(0) };
    let whole = tail.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    if whole < tail.len() && (whole > 0 || from == 0) {
        files::cut(path, from + whole as u64)?;
    }
    let tenant = tenant.to_string();
    let lines = tail[..whole].split(|byte| *byte == b'\n').rev();
    let place = lines.filter_map(|line| serde_json::from_slice::<Value>(line).ok()).find_map(|line| {
        (line["tenant"] == tenant.as_str()).then(|| line["index"].as_u64().map_or(0, |index| index + 1))
    });
    Ok(place.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_put_aside_when_it_is_full_and_an_unfinished_line_is_cut_off() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("receipts.jsonl");
        let tenant = TenantId::from_u128(0x0198_0000_0000_7000_8000_0000_0000_0001);
        let line = |index: u64| Bytes::from(format!("{{\"tenant\":\"{tenant}\",\"index\":{index}}}\n"));
        assert_eq!(mend(&path, tenant).unwrap(), 0);
        for index in 0..6 {
            add(&path, 100, 2, &line(index)).unwrap();
        }
        assert_eq!(mend(&path, tenant).unwrap(), 6);
        assert!(aside(&path, 1).exists() && aside(&path, 2).exists() && !aside(&path, 3).exists());
        files::append(&path).unwrap().write_all(b"{\"tenant\":\"half").unwrap();
        assert_eq!(mend(&path, tenant).unwrap(), 6);
        add(&path, 1000, 2, &line(6)).unwrap();
        assert_eq!(mend(&path, tenant).unwrap(), 7);
        assert_eq!(mend(&path, TenantId::from_u128(5)).unwrap(), 0, "another tenant's place");
        let bytes = files::read_bounded(&path, 1 << 20).unwrap();
        assert!(!String::from_utf8(bytes).unwrap().contains("half"));
    }
}
