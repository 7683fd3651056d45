//! What the process counts, in the Prometheus text format (version 0.0.4). Few numbers, each exact.

use axum::http::Method;
use std::{
    collections::BTreeMap,
    fmt::Write as _,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

/// Routes are the router's patterns, so that there is a fixed number of them. What matches none is one more.
type RequestKey = (String, &'static str, u16);

/// The most label sets that are kept; beyond, requests are counted under the route `other`.
const MOST_SERIES: usize = 2048;

/// What `doctor` reads of the page too.
pub const STREAM_BEHIND: &str = "bailiwick_audit_stream_behind";
pub const STREAM_FAILURES: &str = "bailiwick_audit_stream_failures";

/// Counters of one process.
#[derive(Debug, Default)]
pub struct Metrics {
    requests: Mutex<BTreeMap<RequestKey, u64>>,
    connections: AtomicU64,
    refused_connections: AtomicU64,
    pub commits: AtomicU64,
    pub commit_failures: AtomicU64,
    pub records: AtomicU64,
    /// Writes that the store has been given and has not answered.
    pub writes_waiting: AtomicU64,
    /// By where to.
    streams: Mutex<BTreeMap<&'static str, Stream>>,
}

/// A stream of receipts to somebody else.
#[derive(Debug, Clone, Copy, Default)]
struct Stream {
    /// Leaves that were not passed on yet.
    behind: u64,
    /// Attempts that failed since one succeeded.
    failures: u64,
}

impl Metrics {
    pub fn request(&self, route: &str, method: &Method, status: u16) {
        let method = match *method {
            Method::GET => "GET",
            Method::POST => "POST",
            Method::DELETE => "DELETE",
            Method::PUT => "PUT",
            Method::PATCH => "PATCH",
            Method::HEAD => "HEAD",
            Method::OPTIONS => "OPTIONS",
            _ => "other",
        };
        let mut requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        let full = requests.len() >= MOST_SERIES;
        let mut key = (route.to_owned(), method, status);
        if full && !requests.contains_key(&key) {
            key.0 = "other".to_owned();
        }
        *requests.entry(key).or_default() += 1;
    }

    /// Counts a connection for as long as the guard lives.
    pub fn connection(&self) -> Held<'_> {
        Held::new(&self.connections)
    }

    pub fn connection_refused(&self) {
        self.refused_connections.fetch_add(1, Ordering::Relaxed);
    }

    pub fn write_waits(&self) -> Held<'_> {
        Held::new(&self.writes_waiting)
    }

    /// How many leaves a stream of receipts has still to pass on.
    pub fn stream_behind(&self, to: &'static str, leaves: u64) {
        self.stream(to, |stream| stream.behind = leaves);
    }

    /// That a stream of receipts could not pass them on once more; or, with `false`, that it could.
    pub fn stream_failed(&self, to: &'static str, failed: bool) {
        self.stream(to, |stream| stream.failures = if failed { stream.failures + 1 } else { 0 });
    }

    fn stream(&self, to: &'static str, change: impl FnOnce(&mut Stream)) {
        change(self.streams.lock().unwrap_or_else(PoisonError::into_inner).entry(to).or_default());
    }

    /// The page that a scraper reads. `driven` is the engine's own number.
    pub fn render(&self, driven: usize) -> String {
        let mut page = Page::default();
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        page.one(
            "bailiwick_build_info",
            "gauge",
            "The version that runs.",
            &[("version", env!("CARGO_PKG_VERSION"))],
            1,
        );
        page.one("bailiwick_sessions_driven", "gauge", "Sessions that this process works on now.", &[], driven as u64);
        page.one("bailiwick_http_connections", "gauge", "Open connections of clients.", &[], read(&self.connections));
        let refused = read(&self.refused_connections);
        page.one("bailiwick_http_connections_refused_total", "counter", "Connections beyond the limit.", &[], refused);
        let commits = read(&self.commits);
        page.one("bailiwick_store_commits_total", "counter", "Commits of the gate that are on disk.", &[], commits);
        let failures = read(&self.commit_failures);
        page.one("bailiwick_store_commit_failures_total", "counter", "Commits that the store refused.", &[], failures);
        let records = read(&self.records);
        page.one("bailiwick_store_records_total", "counter", "Records that were appended.", &[], records);
        let waiting = read(&self.writes_waiting);
        page.one("bailiwick_store_writes_waiting", "gauge", "Writes that wait for the disk.", &[], waiting);
        self.render_streams(&mut page);
        page.head("bailiwick_http_requests_total", "counter", "Answered requests.");
        for ((route, method, status), count) in &*self.requests.lock().unwrap_or_else(PoisonError::into_inner) {
            let status = status.to_string();
            let labels = [("route", route.as_str()), ("method", *method), ("status", status.as_str())];
            page.sample("bailiwick_http_requests_total", &labels, *count);
        }
        page.0
    }

    fn render_streams(&self, page: &mut Page) {
        type Read = fn(&Stream) -> u64;
        let gauges: [(&str, &str, Read); 2] = [
            (STREAM_BEHIND, "Records of the log that a stream has not passed on.", |stream| stream.behind),
            (STREAM_FAILURES, "Attempts of a stream that failed since one succeeded.", |stream| stream.failures),
        ];
        let streams = self.streams.lock().unwrap_or_else(PoisonError::into_inner);
        for (name, help, read) in gauges.iter().filter(|_| !streams.is_empty()) {
            page.head(name, "gauge", help);
            for (to, stream) in &*streams {
                page.sample(name, &[("to", to)], read(stream));
            }
        }
    }
}

/// Counts one while it lives.
#[derive(Debug)]
pub struct Held<'a>(&'a AtomicU64);

impl<'a> Held<'a> {
    fn new(counter: &'a AtomicU64) -> Self {
        counter.fetch_add(1, Ordering::Relaxed);
        Self(counter)
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[derive(Default)]
struct Page(String);

impl Page {
    fn head(&mut self, name: &str, kind: &str, help: &str) {
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: u64) {
        self.0.push_str(name);
        for (place, (label, text)) in labels.iter().enumerate() {
            let text = text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
            let _ = write!(self.0, "{}{label}=\"{text}\"", if place == 0 { '{' } else { ',' });
        }
        let close = if labels.is_empty() { "" } else { "}" };
        let _ = writeln!(self.0, "{close} {value}");
    }

    fn one(&mut self, name: &str, kind: &str, help: &str, labels: &[(&str, &str)], value: u64) {
        self.head(name, kind, help);
        self.sample(name, labels, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_counts_requests_by_route_and_what_is_under_way() {
        let metrics = Metrics::default();
        metrics.request("/v1/agents/{id}", &Method::GET, 200);
        metrics.request("/v1/agents/{id}", &Method::GET, 200);
        metrics.request("a\"b", &Method::POST, 404);
        let held = metrics.write_waits();
        let page = metrics.render(3);
        for line in [
            "bailiwick_sessions_driven 3",
            "bailiwick_store_writes_waiting 1",
            "bailiwick_http_requests_total{route=\"/v1/agents/{id}\",method=\"GET\",status=\"200\"} 2",
            "bailiwick_http_requests_total{route=\"a\\\"b\",method=\"POST\",status=\"404\"} 1",
            "# TYPE bailiwick_store_commits_total counter",
        ] {
            assert!(page.lines().any(|found| found == line), "{line}\n{page}");
        }
        drop(held);
        assert!(metrics.render(0).contains("bailiwick_store_writes_waiting 0"));
    }

    #[test]
    fn the_number_of_series_is_bounded() {
        let metrics = Metrics::default();
        for route in 0..MOST_SERIES + 50 {
            metrics.request(&route.to_string(), &Method::GET, 200);
        }
        let page = metrics.render(0);
        assert!(page.contains("bailiwick_http_requests_total{route=\"other\",method=\"GET\",status=\"200\"} 50"));
    }
}
