//! The calendar server (CalDAV, RFC 4791): each person has one calendar, `work`, which that person alone sees.
//!
//! A question for a span of time is answered with everything that may fall into it: what repeats, or has a zone, is given
//! and left to whoever asks, who has to read it anyway.

use crate::{
    company::{AUDITOR, DOMAIN, Employee, NAME, PEOPLE},
    http::{Answers, Asked, plain, sign_in_first},
};
use axum::{
    http::{StatusCode, header},
    response::{IntoResponse as _, Response},
};
use chrono::{Days, NaiveDate};
use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

/// Events of one calendar.
const MAX_EVENTS: usize = 2_000;
const CALENDAR: &str = "work";

type Events = BTreeMap<String, String>;

pub(crate) struct Calendars {
    people: Vec<Employee>,
    /// By login and by the event's name.
    all: Mutex<BTreeMap<String, Events>>,
}

impl Calendars {
    /// With the meeting that the demonstration is about, and one of the next morning, for everybody who attends.
    pub fn new(people: Vec<Employee>, today: NaiveDate) -> Self {
        let tomorrow = today.checked_add_days(Days::new(1)).unwrap_or(today);
        let review = event("receivables-review", today, (15, 16), "Receivables review", "Room Fjord", AGENDA);
        let standup = event("regions-check-in", tomorrow, (9, 10), "Check-in with the regions", "Room Fjord", CHECK_IN);
        let stand = |login: &str| {
            let mut events = Events::new();
            if login != "mara" {
                events.insert("receivables-review.ics".into(), review.clone());
                events.insert("regions-check-in.ics".into(), standup.clone());
            }
            events
        };
        let all = people.iter().map(|one| (one.login.clone(), stand(&one.login))).collect();
        Self { people, all: Mutex::new(all) }
    }

    fn all(&self) -> MutexGuard<'_, BTreeMap<String, Events>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn put(&self, login: &str, name: &str, asked: &Asked) -> Response {
        let Ok(text) = String::from_utf8(asked.body.to_vec()) else {
            return plain(StatusCode::BAD_REQUEST, "an event is text");
        };
        if !text.starts_with("BEGIN:VCALENDAR") {
            return plain(StatusCode::BAD_REQUEST, "this is no calendar object");
        }
        let mut all = self.all();
        let events = all.entry(login.to_owned()).or_default();
        let is_there = events.contains_key(name);
        if is_there && asked.header("if-none-match") == Some("*") {
            return plain(StatusCode::PRECONDITION_FAILED, "it is there already");
        }
        if !is_there && events.len() >= MAX_EVENTS {
            return plain(StatusCode::INSUFFICIENT_STORAGE, "the calendar is full");
        }
        events.insert(name.to_owned(), text);
        plain(if is_there { StatusCode::NO_CONTENT } else { StatusCode::CREATED }, "")
    }

    /// What a PROPFIND is told of a place, and of what is in it. The root is to each person their own folder.
    fn about(&self, login: &str, place: &str, is_calendar: bool, depth: &str) -> Response {
        let work = format!("/{login}/{CALENDAR}/");
        let calendar = format!(
            "<response><href>{work}</href><propstat><prop><resourcetype><collection/><C:calendar/></resourcetype>\
             <displayname>Work</displayname></prop><status>HTTP/1.1 200 OK</status></propstat></response>"
        );
        let folder = format!(
            "<response><href>{place}</href><propstat><prop><resourcetype><collection/></resourcetype></prop>\
             <status>HTTP/1.1 200 OK</status></propstat></response>"
        );
        multistatus(&match (is_calendar, depth) {
            (true, _) => calendar,
            (false, "1") => folder + &calendar,
            (false, _) => folder,
        })
    }

    fn report(&self, login: &str, asked: &Asked) -> Response {
        let body = String::from_utf8_lossy(&asked.body).into_owned();
        let span = attribute(&body, "start").zip(attribute(&body, "end"));
        let all = self.all();
        let mut answer = String::new();
        for (name, text) in all.get(login).into_iter().flatten() {
            if span.as_ref().is_none_or(|(from, to)| may_fall(text, from, to)) {
                answer.push_str(&format!(
                    "<response><href>/{login}/{CALENDAR}/{}</href><propstat><prop><C:calendar-data>{}</C:calendar-data></prop>\
                     <status>HTTP/1.1 200 OK</status></propstat></response>",
                    escaped(name),
                    escaped(text)
                ));
            }
        }
        multistatus(&answer)
    }
}

impl Answers for Calendars {
    fn answer(&self, asked: Asked) -> Response {
        if asked.method.as_str() == "OPTIONS" {
            let allow = "OPTIONS, PROPFIND, REPORT, GET, PUT";
            return (StatusCode::OK, [("dav", "1, calendar-access"), ("allow", allow)]).into_response();
        }
        let Some(who) = asked.basic(&self.people) else { return sign_in_first("Basic realm=\"calendar\"") };
        let path: Vec<&str> = asked.uri.path().split('/').filter(|part| !part.is_empty()).collect();
        let login = who.login.as_str();
        // Another person's calendar is not there.
        if path.first().is_some_and(|name| *name != login) || path.get(1).is_some_and(|name| *name != CALENDAR) {
            return plain(StatusCode::NOT_FOUND, "there is nothing here for you");
        }
        let depth = asked.header("depth").unwrap_or("0");
        match (asked.method.as_str(), path.as_slice()) {
            ("PROPFIND", []) => self.about(login, "/", false, depth),
            ("PROPFIND", [_]) => self.about(login, &format!("/{login}/"), false, depth),
            ("PROPFIND", [_, _]) => self.about(login, "", true, depth),
            ("REPORT", [_, _]) => self.report(login, &asked),
            ("GET", [_, _, name]) => match self.all().get(login).and_then(|events| events.get(*name)) {
                Some(text) => ([(header::CONTENT_TYPE, "text/calendar; charset=utf-8")], text.clone()).into_response(),
                None => plain(StatusCode::NOT_FOUND, "there is no such event"),
            },
            ("PUT", [_, _, name]) => self.put(login, name, &asked),
            _ => plain(StatusCode::METHOD_NOT_ALLOWED, "this is not done here"),
        }
    }
}

fn multistatus(inside: &str) -> Response {
    let text = format!(
        "<?xml version=\"1.0\" encoding=\"utf-8\"?>\
         <multistatus xmlns=\"DAV:\" xmlns:C=\"urn:ietf:params:xml:ns:caldav\">{inside}</multistatus>"
    );
    let kind = [(header::CONTENT_TYPE, "application/xml; charset=utf-8")];
    (StatusCode::MULTI_STATUS, kind, text).into_response()
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// An attribute of the question's `time-range`.
fn attribute(body: &str, name: &str) -> Option<String> {
    let (_, range) = body.split_once("time-range")?;
    let (range, _) = range.split_once('>')?;
    let (_, value) = range.split_once(&format!("{name}=\""))?;
    value.split_once('"').map(|(value, _)| value.to_owned())
}

/// Whether an event may fall between two moments, written as `20261121T150000Z`. What cannot be told here may.
fn may_fall(event: &str, from: &str, to: &str) -> bool {
    let time = |name: &str| {
        let line = event.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line.map(str::trim).filter(|text| text.len() == 16 && text.ends_with('Z'))
    };
    match (time("DTSTART"), time("DTEND")) {
        (Some(start), Some(end)) if !event.contains("\nRRULE") => start < to && end > from,
        _ => true,
    }
}

const AGENDA: &str = "What is overdue by region\\, who decides on reminders\\, and what the auditor needs by Friday.";
const CHECK_IN: &str = "What came of yesterday's reminders.";

/// A meeting of an hour or so, in UTC, with everybody but the head of people, and the auditor.
fn event(uid: &str, day: NaiveDate, hours: (u32, u32), title: &str, place: &str, about: &str) -> String {
    let at = |hour: u32| format!("{}T{hour:02}0000Z", day.format("%Y%m%d"));
    let guest = |name: &str, mail: &str| format!("ATTENDEE;CN={name};PARTSTAT=ACCEPTED:mailto:{mail}\r\n");
    let mut guests: String = PEOPLE
        .iter()
        .filter(|(_, login, _)| matches!(*login, "ben" | "noah"))
        .map(|(name, login, _)| guest(name, &format!("{login}@{DOMAIN}")))
        .collect();
    guests.push_str(&guest(AUDITOR.0, AUDITOR.1));
    format!(
        "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//{NAME}//Calendar//EN\r\nBEGIN:VEVENT\r\nUID:{uid}@{DOMAIN}\r\n\
         DTSTAMP:{}\r\nDTSTART:{}\r\nDTEND:{}\r\nSUMMARY:{title}\r\nLOCATION:{place}\r\nDESCRIPTION:{about}\r\n\
         ORGANIZER;CN=Sofia Brandt:mailto:sofia@{DOMAIN}\r\n{guests}END:VEVENT\r\nEND:VCALENDAR\r\n",
        at(0),
        at(hours.0),
        at(hours.1),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_given_for_its_own_time_and_when_nobody_can_tell() {
        let day = NaiveDate::from_ymd_opt(2026, 11, 22).unwrap();
        let event = event("u", day, (15, 16), "T", "P", "A");
        assert!(may_fall(&event, "20261122T143000Z", "20261122T153000Z"));
        assert!(!may_fall(&event, "20261122T160000Z", "20261122T170000Z"));
        assert!(!may_fall(&event, "20261121T000000Z", "20261122T000000Z"));
        let zoned = event.replace("DTSTART:", "DTSTART;TZID=Europe/Oslo:");
        assert!(may_fall(&zoned, "20260101T000000Z", "20260102T000000Z"));
        let body = "<C:time-range start=\"a\" end=\"b\"/>";
        assert_eq!((attribute(body, "start").as_deref(), attribute(body, "end").as_deref()), (Some("a"), Some("b")));
        assert_eq!(attribute("<x/>", "start"), None);
    }
}
