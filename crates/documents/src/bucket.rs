//! A part of a bucket in an object store that speaks S3, seen as folders: what stands between slashes of a key is a name.
//!
//! It lists and reads and nothing else. Every wait, list and answer has a limit, and what a store answers names keys of
//! the one bucket only. Requests are signed with the connector's access key (AWS Signature Version 4) or, without one, not
//! at all.

mod listing;
mod signature;

use crate::{
    library::is_name,
    span::Span,
    tree::{Entry, MAX_ENTRIES, Missing, Piece},
};
use bailiwick_core::canonical;
use bailiwick_outbound::{
    Authority, Credential, Method, Outbound, OutboundError, Reach, Request, Response, Timeouts, host_sent,
};
use bailiwick_ports::{Clock, SettingsProblem};
use bailiwick_types::{Millis, Secret};
use listing::{Listing, MAX_LISTING};
use serde::{Deserialize, Serialize};
use signature::{encoded, path_of};
use std::{future::Future, sync::Arc};
use tokio::runtime::Handle;

/// Pages of one list: a store says a thousand names on each.
const MAX_PAGES: usize = MAX_ENTRIES / 1_000;
/// Longest URL of a bucket in bytes.
const MAX_URL: usize = 1_024;
/// Longest key, as S3 has it.
const MAX_KEY: usize = 1_024;

/// A bucket, or what lies below a prefix of its keys.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bucket {
    /// `https://HOST/BUCKET/` or `https://HOST/BUCKET/PREFIX/`: the bucket is the first part of the path.
    pub url: String,
    /// Which region requests are signed for. `us-east-1` without it, which many stores take for any.
    #[serde(default = "usual_region")]
    pub region: String,
}

fn usual_region() -> String {
    "us-east-1".into()
}

impl Bucket {
    pub(crate) fn check(&self) -> Result<(), SettingsProblem> {
        let wrong = |field: &str, problem: &str| Err(SettingsProblem::new(field, problem));
        let plain = self.url.len() <= MAX_URL && self.url.ends_with('/') && !self.url.contains(['?', '#', '%', '\\']);
        if !plain || Authority::of(&self.url).is_err() || Reach::exact(&self.url).is_err() {
            return wrong("url", "must be `https://HOST/BUCKET/`, with a prefix of keys behind it if need be");
        }
        let (_, path) = self.parts();
        if path.is_empty() || !path.split('/').all(is_name) {
            return wrong("url", "must name a bucket, and a prefix of plain names");
        }
        let fine = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if self.region.is_empty() || self.region.len() > 64 || !self.region.bytes().all(fine) {
            return wrong("region", "must be a region's name, such as `eu-central-1`");
        }
        Ok(())
    }

    /// Where the one secret goes to.
    pub(crate) fn host(&self) -> Option<String> {
        Authority::of(&self.url).ok().map(|authority| authority.host().to_ascii_lowercase())
    }

    /// Scheme and authority; and the path without its slashes at both ends.
    fn parts(&self) -> (&str, &str) {
        let after = self.url.find("://").map_or(0, |at| at + 3);
        let path = self.url[after..].find('/').map_or(self.url.len(), |at| after + at);
        (&self.url[..path], self.url[path..].trim_matches('/'))
    }
}

/// The access key of an object store: `ID:SECRET`.
#[derive(Clone)]
pub struct AccessKey {
    id: String,
    secret: Secret,
}

impl AccessKey {
    pub fn parse(secret: &Secret) -> Result<Self, String> {
        let fine = |id: &str| !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'/');
        match secret.expose().split_once(':') {
            Some((id, key)) if fine(id) && !key.is_empty() => Ok(Self { id: id.to_owned(), secret: Secret::new(key) }),
            _ => Err("the secret must be `ACCESS_KEY_ID:SECRET_ACCESS_KEY`".into()),
        }
    }
}

/// How object stores are reached.
#[derive(Clone)]
pub struct ObjectStores {
    pub outbound: Outbound,
    /// `None` asks for what is open to everybody.
    pub key: Option<AccessKey>,
    /// On whose behalf ([`bailiwick_types::Mark`]).
    pub who: String,
    pub clock: Arc<dyn Clock>,
}

/// The way to object stores in one call: each request gets what is left of its time.
#[derive(Clone)]
pub(crate) struct Way {
    pub(crate) stores: Arc<ObjectStores>,
    pub(crate) span: Span,
}

/// A folder in a bucket: everything whose key begins like this. Whether there is anything is not known before it is asked.
pub(crate) struct Prefix {
    way: Way,
    bucket: Arc<Bucket>,
    /// Ends with a slash, or is empty.
    prefix: String,
}

impl Prefix {
    pub(crate) fn root(bucket: &Bucket, way: &Way) -> Self {
        let (_, path) = bucket.parts();
        let prefix = path.split_once('/').map(|(_, prefix)| format!("{prefix}/")).unwrap_or_default();
        Self { way: way.clone(), bucket: Arc::new(bucket.clone()), prefix }
    }

    pub(crate) fn folder(&self, name: &str) -> Result<Self, Missing> {
        let prefix = format!("{}/", self.key(name)?);
        Ok(Self { way: self.way.clone(), bucket: Arc::clone(&self.bucket), prefix })
    }

    fn key(&self, name: &str) -> Result<String, Missing> {
        let key = format!("{}{name}", self.prefix);
        if is_name(name) && key.len() < MAX_KEY { Ok(key) } else { Err(Missing::NotThere) }
    }

    /// What lies here, by name, and whether there is more than that.
    pub(crate) fn entries(&self) -> Result<(Vec<Entry>, bool), Missing> {
        let (mut entries, mut after) = (Vec::new(), None);
        for _ in 0..MAX_PAGES {
            let listing = self.list(&self.prefix, after.as_deref())?;
            entries.extend(listing.entries(&self.prefix));
            after = listing.next;
            if after.is_none() {
                break;
            }
        }
        entries.sort_by(|one: &Entry, other: &Entry| one.name.cmp(&other.name));
        entries.dedup_by(|one, other| one.name == other.name && one.is_folder == other.is_folder);
        Ok((entries, after.is_some()))
    }

    /// As [`crate::tree::Open::spelling`].
    pub(crate) fn spelling(&self, wanted: &str) -> Result<String, Missing> {
        let key = self.key(wanted)?;
        // The key itself is the first that begins so, and the folder's name comes soon after.
        let near = self.list(&key, None)?.entries(&self.prefix);
        if near.iter().any(|entry| entry.name == wanted) {
            return Ok(wanted.to_owned());
        }
        let folded = canonical::folded(wanted);
        let (entries, _) = self.entries()?;
        let mut alike: Vec<String> = entries.into_iter().map(|entry| entry.name).collect();
        alike.retain(|name| canonical::folded(name) == folded);
        alike.dedup();
        match alike.pop() {
            Some(name) if alike.is_empty() => Ok(name),
            _ => Err(Missing::NotThere),
        }
    }

    /// The first `max` bytes of a document.
    pub(crate) fn read(&self, name: &str, max: u64) -> Result<Piece, Missing> {
        let path = path_of(&self.bucket_name(), &self.key(name)?);
        let mut request = self.request(&path, "");
        request = request.header("range", format!("bytes=0-{max}"));
        request.max_body_bytes = max.saturating_add(1);
        self.wait(async {
            let answer = self.send(request).await?;
            match answer.status().as_u16() {
                200 | 206 => {}
                // A range of nothing.
                416 => return Ok(Piece::default()),
                _ => return Err(refusal(&answer)),
            }
            let total = answer.header("content-range").and_then(|range| range.rsplit('/').next()?.parse().ok());
            let whole = total.or_else(|| answer.claimed_bytes());
            let (bytes, cut) = answer.bytes_cut().await.map_err(|error| broken(&error))?;
            let mut bytes = bytes.to_vec();
            let more = cut || bytes.len() as u64 > max;
            bytes.truncate(usize::try_from(max).unwrap_or(usize::MAX));
            Ok(Piece { size_bytes: whole.unwrap_or(bytes.len() as u64), bytes, more })
        })
    }

    /// One page of the keys that begin with `prefix`, those behind a further slash together.
    fn list(&self, prefix: &str, after: Option<&str>) -> Result<Listing, Missing> {
        let mut query = String::new();
        if let Some(after) = after {
            query.push_str(&format!("continuation-token={}&", encoded(after)));
        }
        query.push_str(&format!("delimiter=%2F&list-type=2&max-keys=1000&prefix={}", encoded(prefix)));
        let mut request = self.request(&path_of(&self.bucket_name(), ""), &query);
        request.max_body_bytes = MAX_LISTING;
        self.wait(async {
            let answer = self.send(request).await?;
            if answer.status().as_u16() != 200 {
                return Err(refusal(&answer));
            }
            let bytes = answer.bytes().await.map_err(|error| broken(&error))?;
            let text = std::str::from_utf8(&bytes).map_err(|_| wrong("answered with something that is no text"))?;
            Listing::read(text).map_err(wrong)
        })
    }

    fn bucket_name(&self) -> String {
        let (_, path) = self.bucket.parts();
        path.split('/').next().unwrap_or_default().to_owned()
    }

    /// A signed GET. `path` and `query` are encoded, and the query is in order.
    fn request(&self, path: &str, query: &str) -> Request {
        let (base, _) = self.bucket.parts();
        let url = if query.is_empty() { format!("{base}{path}") } else { format!("{base}{path}?{query}") };
        // INVARIANT: `Bucket::check` has read the same authority, and everything comes through it.
        let (reach, host) = (Reach::exact(&url).expect("a checked URL"), host_sent(&url).expect("a checked URL"));
        let (stores, left) = (&self.way.stores, self.way.span.left());
        let mut request = Request::new(Method::GET, url, reach).who(&stores.who);
        request.timeouts = Timeouts { first_byte_ms: left, total_ms: left, ..Timeouts::default() };
        let Some(key) = &stores.key else { return request };
        let now = stores.clock.now();
        let signed = signature::sign(&key.id, &key.secret, &self.bucket.region, now, &host, path, query);
        for (name, value) in signed.headers {
            request = request.header(name, value);
        }
        request.credential(Credential::Header { name: "authorization".into(), value: signed.authorization })
    }

    async fn send(&self, request: Request) -> Result<Response, Missing> {
        self.way.stores.outbound.send(request).await.map_err(|error| broken(&error))
    }

    /// Waits for `work` on this thread, as long as the call goes on.
    fn wait<T>(&self, work: impl Future<Output = Result<T, Missing>>) -> Result<T, Missing> {
        if self.way.span.is_over() {
            return Err(Missing::Over);
        }
        Handle::current().block_on(self.way.span.bound(work, Millis(0))).unwrap_or(Err(Missing::Over))
    }
}

fn broken(error: &OutboundError) -> Missing {
    Missing::Failed(format!("the object store: {error}"))
}

fn wrong(what: &str) -> Missing {
    Missing::Failed(format!("the object store {what}"))
}

fn refusal(answer: &Response) -> Missing {
    match answer.status().as_u16() {
        404 => Missing::NotThere,
        status @ (401 | 403) => wrong(&format!("refused the connector's access key, or what it may do ({status})")),
        status @ 300..=399 => {
            wrong(&format!("says that the bucket is elsewhere ({status}): write its own URL and region"))
        }
        status => wrong(&format!("answered {status}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bailiwick_gate::Live;
    use bailiwick_outbound::Options;
    use bailiwick_testkit::clock::ManualClock;
    use bailiwick_types::Timestamp;

    #[test]
    fn the_host_is_signed_as_it_is_sent() {
        let clock: Arc<dyn Clock> = Arc::new(ManualClock::new(Timestamp::from_millis(1_795_260_645_000)));
        let key = AccessKey::parse(&Secret::new("ID:SECRET")).ok();
        let outbound = Outbound::new(Options::default());
        let stores = ObjectStores { outbound, key, who: "a test".into(), clock: clock.clone() };
        let way = Way { stores: Arc::new(stores), span: Span::new(clock, Millis(1_000), Live::unwatched()) };
        let signed = |url: &str| {
            let bucket = Bucket { url: url.into(), region: usual_region() };
            bucket.check().unwrap();
            match Prefix::root(&bucket, &way).request("/docs/", "list-type=2").credentials.pop() {
                Some(Credential::Header { value, .. }) => value.expose().to_owned(),
                other => panic!("{other:?}"),
            }
        };
        let plain = signed("https://s3.example/docs/");
        for same in ["https://S3.Example/docs/", "https://s3.example:443/docs/", "https://S3.EXAMPLE:443/docs/"] {
            assert_eq!(signed(same), plain, "{same}");
        }
        assert_ne!(signed("https://s3.example:9000/docs/"), plain);
    }

    #[test]
    fn a_bucket_s_url_is_its_authority_its_name_and_a_prefix() {
        let bucket = |url: &str| Bucket { url: url.into(), region: usual_region() };
        for (url, name, prefix) in [
            ("https://s3.example:9000/docs/", "docs", ""),
            ("https://s3.example/docs/finance/2026/", "docs", "finance/2026/"),
        ] {
            let bucket = bucket(url);
            assert_eq!(bucket.check(), Ok(()), "{url}");
            let (_, path) = bucket.parts();
            assert_eq!(path.split('/').next(), Some(name));
            assert_eq!(path.split_once('/').map(|(_, rest)| format!("{rest}/")).unwrap_or_default(), prefix);
            assert_eq!(bucket.host().as_deref(), Some("s3.example"));
        }
        for url in [
            "https://s3.example/",
            "https://s3.example",
            "https://s3.example/docs",
            "https://s3.example/docs/../",
            "https://s3.example/docs//x/",
            "https://s3.example/docs/?x=/",
            "https://a@s3.example/docs/",
            "ftp://s3.example/docs/",
            "docs/",
        ] {
            assert!(bucket(url).check().is_err(), "{url}");
        }
        assert!(Bucket { url: "https://s3.example/docs/".into(), region: "EU/1".into() }.check().is_err());
    }

    #[test]
    fn an_access_key_has_two_halves() {
        let parse = |text: &str| AccessKey::parse(&Secret::new(text));
        let key = parse("AKIA:a/b+c:d").unwrap();
        assert_eq!((key.id.as_str(), key.secret.expose()), ("AKIA", "a/b+c:d"));
        for text in ["AKIA", ":x", "AKIA:", "A KIA:x", "A/B:x"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
