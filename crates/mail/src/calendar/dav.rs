//! What is asked of a CalDAV server: which calendars there are, what one holds in a span of time, and to take one event.
//!
//! It speaks to the one server of the connector. What that answers names places on that server only: a link elsewhere is
//! not followed, and no redirect is.

use super::{CalendarAccess, CalendarSignIn};
use bailiwick_core::{Failure, FailureCode};
use bailiwick_outbound::{Arrival, Credential, Method, Outbound, OutboundError, Reach, Request, Timeouts};
use bailiwick_types::{Millis, Secret};
use base64::{Engine, engine::general_purpose::STANDARD};
use chrono::{DateTime, Utc};
use quick_xml::{Reader, events::Event};
use url::Url;

/// Longest answer in bytes.
const MAX_ANSWER: u64 = 8 * 1024 * 1024;
/// Things that one answer tells about.
const MAX_RESPONSES: usize = 5_000;
/// Elements within elements.
const MAX_DEPTH: usize = 32;
/// Longest name of a calendar in characters.
const MAX_NAME: usize = 128;

/// The server of a connector, for one call.
pub(super) struct Server<'a> {
    outbound: &'a Outbound,
    base: Url,
    reach: Reach,
    credential: Option<Credential>,
    who: &'a str,
    time: Millis,
}

/// A calendar.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Collection {
    url: Url,
    pub(super) name: String,
}

/// What became of an event that was to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Put {
    Made,
    /// Written before, by this very action.
    WasThere,
    /// It is not there, certainly.
    Failed(Failure),
    Unknown(String),
}

/// What one `response` of a `multistatus` tells.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Told {
    href: String,
    is_calendar: bool,
    name: String,
    data: String,
}

impl<'a> Server<'a> {
    pub(super) fn new(access: &'a CalendarAccess<'_>) -> Result<Self, Failure> {
        let wrong = |text: String| Failure::new(FailureCode::InvalidRequest, text);
        let url = &access.account.url;
        Ok(Self {
            outbound: access.outbound,
            base: Url::parse(url).map_err(|error| wrong(format!("`url`: {error}")))?,
            reach: Reach::exact(url).map_err(|error| wrong(format!("`url`: {error}")))?,
            credential: credential(access)?,
            who: &access.author.mark,
            time: access.limits.time,
        })
    }

    /// The calendars of the account: the URL itself, or those in it.
    pub(super) async fn calendars(&self) -> Result<Vec<Collection>, Failure> {
        let body = "<?xml version=\"1.0\" encoding=\"utf-8\"?>\
            <propfind xmlns=\"DAV:\"><prop><resourcetype/><displayname/></prop></propfind>";
        for depth in ["0", "1"] {
            let told = self.ask("PROPFIND", &self.base, depth, body.to_owned()).await?;
            let found: Vec<Collection> = told.into_iter().filter_map(|told| self.collection(told)).collect();
            if !found.is_empty() {
                return Ok(found);
            }
        }
        Ok(Vec::new())
    }

    /// Everything in `calendar` that happens in this time, each as a calendar object.
    pub(super) async fn between(
        &self,
        calendar: &Collection,
        from: DateTime<Utc>,
        to: DateTime<Utc>,
    ) -> Result<Vec<String>, Failure> {
        let form = "%Y%m%dT%H%M%SZ";
        let body = format!(
            "<?xml version=\"1.0\" encoding=\"utf-8\"?>\
             <C:calendar-query xmlns:D=\"DAV:\" xmlns:C=\"urn:ietf:params:xml:ns:caldav\"><D:prop><C:calendar-data/></D:prop>\
             <C:filter><C:comp-filter name=\"VCALENDAR\"><C:comp-filter name=\"VEVENT\">\
             <C:time-range start=\"{}\" end=\"{}\"/></C:comp-filter></C:comp-filter></C:filter></C:calendar-query>",
            from.format(form),
            to.format(form),
        );
        let told = self.ask("REPORT", &calendar.url, "1", body).await?;
        Ok(told.into_iter().map(|told| told.data).filter(|data| !data.is_empty()).collect())
    }

    /// Writes an event that is not there yet. A lost answer is asked for once more: the second try finds what the first
    /// one made.
    pub(super) async fn put(&self, calendar: &Collection, uid: &str, event: Vec<u8>) -> Put {
        let Ok(url) = calendar.url.join(&format!("{uid}.ics")) else {
            return Put::Failed(Failure::new(FailureCode::Internal, "the event's name makes no URL"));
        };
        let mut lost: Option<String> = None;
        for _ in 0..2 {
            let request = self
                .request(Method::PUT, &url)
                .header("if-none-match", "*")
                .body("text/calendar; charset=utf-8", event.clone());
            let problem = match self.outbound.send(request).await {
                Ok(answer) => match answer.status().as_u16() {
                    200..=299 => return Put::Made,
                    412 => return Put::WasThere,
                    status @ 300..=499 if lost.is_none() => return Put::Failed(refusal(status)),
                    status => format!("the calendar server answered {status}"),
                },
                Err(error) if error.arrival() == Arrival::Never && lost.is_none() => {
                    return Put::Failed(unreachable(&error));
                }
                Err(error) => error.to_string(),
            };
            lost = Some(problem);
        }
        Put::Unknown(format!("whether the event is in the calendar is not known: {}", lost.unwrap_or_default()))
    }

    fn request(&self, method: Method, url: &Url) -> Request {
        let mut request = Request::new(method, url.as_str(), self.reach.clone()).who(self.who);
        request.timeouts = Timeouts { first_byte_ms: self.time, total_ms: self.time, ..Timeouts::default() };
        request.max_body_bytes = MAX_ANSWER;
        request.credentials.extend(self.credential.clone());
        request
    }

    async fn ask(&self, method: &str, url: &Url, depth: &str, body: String) -> Result<Vec<Told>, Failure> {
        let method = Method::from_bytes(method.as_bytes())
            .map_err(|_| Failure::new(FailureCode::Internal, "a method of WebDAV is no method"))?;
        let request = self.request(method, url).header("depth", depth).body("application/xml; charset=utf-8", body);
        let answer = self.outbound.send(request).await.map_err(|error| unreachable(&error))?;
        match answer.status().as_u16() {
            207 => {}
            status => return Err(refusal(status)),
        }
        let bytes = answer.bytes().await.map_err(|error| unreachable(&error))?;
        let malformed = |what: &str| Failure::new(FailureCode::MalformedAnswer, format!("the calendar server {what}"));
        let text = std::str::from_utf8(&bytes).map_err(|_| malformed("answered with something that is no text"))?;
        multistatus(text).map_err(malformed)
    }

    fn collection(&self, told: Told) -> Option<Collection> {
        if !told.is_calendar {
            return None;
        }
        let mut url = self.base.join(told.href.trim()).ok()?;
        // Where a server says that a calendar is elsewhere, there is none.
        if url.origin() != self.base.origin() || url.query().is_some() || !url.username().is_empty() {
            return None;
        }
        if !url.path().ends_with('/') {
            url.set_path(&format!("{}/", url.path()));
        }
        let name: String = told.name.trim().chars().filter(|char| !char.is_control()).take(MAX_NAME).collect();
        let last = || url.path().trim_end_matches('/').rsplit('/').next().unwrap_or_default().to_owned();
        let name = if name.is_empty() { last() } else { name };
        Some(Collection { name, url })
    }
}

fn credential(access: &CalendarAccess<'_>) -> Result<Option<Credential>, Failure> {
    let account = access.account;
    let wrong = |text: &str| Failure::new(FailureCode::AuthenticationFailed, text);
    if account.sign_in == CalendarSignIn::None {
        return Ok(None);
    }
    let secret = access.secret.ok_or_else(|| {
        wrong("there is no secret to sign in to the calendar with: put one into a vault of the session")
    })?;
    if account.sign_in == CalendarSignIn::Bearer {
        return Ok(Some(Credential::bearer(secret)));
    }
    let pair = match &account.username {
        Some(username) => format!("{username}:{}", secret.expose()),
        None if secret.expose().contains(':') => secret.expose().to_owned(),
        None => return Err(wrong("the connector names no `username`, so the secret must be `username:password`")),
    };
    let value = Secret::new(format!("Basic {}", STANDARD.encode(pair)));
    Ok(Some(Credential::Header { name: "authorization".into(), value }))
}

fn unreachable(error: &OutboundError) -> Failure {
    let code = match error {
        OutboundError::TooLong { .. } | OutboundError::Malformed { .. } => FailureCode::MalformedAnswer,
        OutboundError::Refused(_) | OutboundError::Invalid(_) => FailureCode::InvalidRequest,
        OutboundError::Busy(_) => FailureCode::Overloaded,
        _ => FailureCode::ConnectionFailed,
    };
    Failure::new(code, error.to_string())
}

fn refusal(status: u16) -> Failure {
    let (code, why) = match status {
        401 | 403 => {
            (FailureCode::AuthenticationFailed, "refused the login of the connector's secret, or what it may do")
        }
        404 | 410 => (FailureCode::ToolError, "has nothing at this URL"),
        429 => (FailureCode::RateLimited, "wants to be asked less often"),
        500..=599 => (FailureCode::ServerError, "has a fault"),
        _ => (FailureCode::ToolError, "does not do this"),
    };
    Failure::new(code, format!("the calendar server {why} ({status})"))
}

/// Reads a `multistatus` (RFC 4918, section 13). Names are taken without their namespaces: those that count here have one
/// meaning only.
fn multistatus(text: &str) -> Result<Vec<Told>, &'static str> {
    const BROKEN: &str = "answered with XML that is broken";
    let mut reader = Reader::from_str(text);
    let (mut all, mut told) = (Vec::new(), Told::default());
    let mut open: Vec<String> = Vec::new();
    loop {
        match reader.read_event().map_err(|_| BROKEN)? {
            Event::Start(start) => {
                if open.len() >= MAX_DEPTH {
                    return Err("answered with XML that is too deep");
                }
                open.push(name(start.local_name().as_ref()));
                told.is_calendar |= is_calendar(&open);
            }
            Event::Empty(empty) => {
                open.push(name(empty.local_name().as_ref()));
                told.is_calendar |= is_calendar(&open);
                open.pop();
            }
            Event::Text(text) => told.take(&open, &text.unescape().map_err(|_| BROKEN)?),
            Event::CData(data) => told.take(&open, &String::from_utf8_lossy(&data)),
            Event::End(_) => {
                let ended = open.pop();
                if ended.as_deref() == Some("response") {
                    all.push(std::mem::take(&mut told));
                    if all.len() > MAX_RESPONSES {
                        return Err("answered with too much: ask for less time");
                    }
                }
            }
            Event::DocType(_) => return Err("answered with XML that has a DTD"),
            Event::Eof => break,
            _ => {}
        }
    }
    if open.is_empty() { Ok(all) } else { Err(BROKEN) }
}

fn name(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn is_calendar(open: &[String]) -> bool {
    matches!(open, [.., parent, own] if parent == "resourcetype" && own == "calendar")
}

impl Told {
    fn take(&mut self, open: &[String], text: &str) {
        let [.., parent, own] = open else { return };
        match (parent.as_str(), own.as_str()) {
            ("response", "href") => self.href.push_str(text),
            ("prop", "displayname") => self.name.push_str(text),
            ("prop", "calendar-data") => self.data.push_str(text),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_multistatus_is_read_whatever_its_prefixes() {
        let text = "<?xml version='1.0'?><d:multistatus xmlns:d='DAV:' xmlns:c='urn:ietf:params:xml:ns:caldav'>\
            <d:response><d:href>/anna/main/</d:href><d:propstat><d:prop><d:resourcetype><d:collection/><c:calendar/></d:resourcetype>\
            <d:displayname>Home &amp; work</d:displayname><d:owner><d:href>/evil/</d:href></d:owner></d:prop></d:propstat></d:response>\
            <d:response><d:href>/anna/1.ics</d:href><d:propstat><d:prop><c:calendar-data><![CDATA[BEGIN:X]]></c:calendar-data></d:prop></d:propstat></d:response>\
            </d:multistatus>";
        let told = multistatus(text).unwrap();
        assert_eq!(told.len(), 2);
        assert_eq!(
            (told[0].href.as_str(), told[0].name.as_str(), told[0].is_calendar),
            ("/anna/main/", "Home & work", true)
        );
        assert_eq!((told[1].data.as_str(), told[1].is_calendar), ("BEGIN:X", false));
    }

    #[test]
    fn xml_that_is_an_attack_is_refused() {
        let bomb = "<!DOCTYPE x [<!ENTITY a \"aaaa\"><!ENTITY b \"&a;&a;\">]><multistatus><response><href>&b;</href></response></multistatus>";
        for text in [
            bomb,
            "<multistatus><response><href>&xxe;</href></response></multistatus>",
            "<multistatus><response>",
            "<a></b>",
            &format!("{}{}", "<a>".repeat(10_000), "</a>".repeat(10_000)),
            &format!("<m>{}</m>", "<response></response>".repeat(MAX_RESPONSES + 1)),
        ] {
            assert!(multistatus(text).is_err(), "{}", &text[..text.len().min(60)]);
        }
        assert_eq!(multistatus(""), Ok(Vec::new()));
    }
}
