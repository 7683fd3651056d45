//! An event as iCalendar (RFC 5545), written so that no text in it can be read as more than a text.

use super::Moment;
use crate::Address;
use bailiwick_types::Timestamp;
use chrono::{DateTime, TimeDelta, Utc};

/// Longest title and place in characters.
const MAX_LINE: usize = 256;
/// Longest description in bytes.
const MAX_DESCRIPTION: usize = 16_000;
/// Bytes of a line before it is folded.
const FOLD: usize = 73;

/// An event that is to be written.
#[derive(Debug, Clone)]
pub(super) struct Draft {
    pub(super) uid: String,
    pub(super) made: Timestamp,
    pub(super) title: String,
    pub(super) start: Moment,
    pub(super) end: Moment,
    pub(super) location: Option<String>,
    pub(super) description: Option<String>,
    pub(super) organizer: Option<Address>,
    pub(super) attendees: Vec<Address>,
    pub(super) tentative: bool,
    /// Who wrote it, in ids.
    pub(super) mark: String,
}

impl Draft {
    pub(super) fn check(&self) -> Result<(), String> {
        let line = |field: &str, text: &str, least: usize| {
            let count = text.chars().count();
            if count < least || count > MAX_LINE || text.chars().any(char::is_control) {
                return Err(format!("`{field}`: must have {least} to {MAX_LINE} characters, and no line breaks"));
            }
            Ok(())
        };
        line("title", &self.title, 1)?;
        line("location", self.location.as_deref().unwrap_or_default(), 0)?;
        let description = self.description.as_deref().unwrap_or_default();
        let odd = |char: char| char.is_control() && !matches!(char, '\n' | '\r' | '\t');
        if description.len() > MAX_DESCRIPTION || description.chars().any(odd) {
            return Err(format!("`description`: must have at most {MAX_DESCRIPTION} bytes, and no control characters"));
        }
        match (self.start, self.end) {
            (Moment::At(start), Moment::At(end)) if end <= start => Err("`end`: must be after `start`".into()),
            (Moment::Day(start), Moment::Day(end)) if end < start => Err("`end`: must not be before `start`".into()),
            (Moment::At(_), Moment::At(_)) | (Moment::Day(_), Moment::Day(_)) => Ok(()),
            _ => Err("`end`: must be a time when `start` is one, and a day when that is".into()),
        }
    }

    /// The same draft always gives the same bytes.
    pub(super) fn write(&self) -> Vec<u8> {
        let mut out = Vec::new();
        let made = DateTime::from_timestamp_millis(self.made.as_millis()).unwrap_or_default();
        let mut line = |text: String| fold(&text, &mut out);
        line("BEGIN:VCALENDAR".into());
        line("VERSION:2.0".into());
        line("PRODID:-//Bailiwick//Bailiwick//EN".into());
        line("BEGIN:VEVENT".into());
        line(format!("UID:{}", self.uid));
        line(format!("DTSTAMP:{}", utc(made)));
        match (self.start, self.end) {
            (Moment::Day(start), Moment::Day(end)) => {
                line(format!("DTSTART;VALUE=DATE:{}", start.format("%Y%m%d")));
                // The end is the first day that is not in it.
                line(format!("DTEND;VALUE=DATE:{}", (end + TimeDelta::days(1)).format("%Y%m%d")));
            }
            (start, end) => {
                line(format!("DTSTART:{}", utc(start.begins(chrono_tz::UTC))));
                line(format!("DTEND:{}", utc(end.ends(chrono_tz::UTC))));
            }
        }
        line(format!("SUMMARY:{}", text(&self.title)));
        if let Some(location) = self.location.as_ref().filter(|location| !location.is_empty()) {
            line(format!("LOCATION:{}", text(location)));
        }
        let byline = format!("Written by an AI colleague: {}", self.mark);
        let description = match self.description.as_deref().map(str::trim_end) {
            Some(description) if !description.is_empty() => format!("{description}\n\n{byline}"),
            _ => byline,
        };
        line(format!("DESCRIPTION:{}", text(&description)));
        // RFC 6638: the server sends no invitations for what is only proposed.
        let quiet = if self.tentative { ";SCHEDULE-AGENT=NONE" } else { "" };
        if let Some(organizer) = self.organizer.as_ref().filter(|_| !self.attendees.is_empty()) {
            line(format!("ORGANIZER{quiet}:mailto:{organizer}"));
        }
        for attendee in &self.attendees {
            line(format!("ATTENDEE;ROLE=REQ-PARTICIPANT;PARTSTAT=NEEDS-ACTION;RSVP=TRUE{quiet}:mailto:{attendee}"));
        }
        line(format!("STATUS:{}", if self.tentative { "TENTATIVE" } else { "CONFIRMED" }));
        line(format!("TRANSP:{}", if self.tentative { "TRANSPARENT" } else { "OPAQUE" }));
        line(format!("X-BAILIWICK-AUTHOR:{}", text(&self.mark)));
        line("END:VEVENT".into());
        line("END:VCALENDAR".into());
        out
    }
}

fn utc(at: DateTime<Utc>) -> String {
    at.format("%Y%m%dT%H%M%SZ").to_string()
}

/// Text with what has a meaning escaped (section 3.3.11).
fn text(text: &str) -> String {
    let text = text.replace("\r\n", "\n").replace('\r', "\n");
    let mut out = String::with_capacity(text.len());
    for char in text.chars() {
        match char {
            '\n' => out.push_str("\\n"),
            '\\' | ';' | ',' => out.extend(['\\', char]),
            char if char.is_control() && char != '\t' => {}
            char => out.push(char),
        }
    }
    out
}

/// One line, folded between letters (section 3.1).
fn fold(line: &str, out: &mut Vec<u8>) {
    let mut column = 0;
    for char in line.chars() {
        if column + char.len_utf8() > FOLD {
            out.extend_from_slice(b"\r\n ");
            column = 0;
        }
        let mut bytes = [0; 4];
        out.extend_from_slice(char.encode_utf8(&mut bytes).as_bytes());
        column += char.len_utf8();
    }
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn draft(title: &str, description: &str) -> Draft {
        let moment = |text: &str| Moment::parse(text, chrono_tz::UTC).unwrap();
        Draft {
            uid: "act_1.bailiwick".into(),
            made: Timestamp::from_millis(1_795_260_645_000),
            title: title.into(),
            start: moment("2026-11-23T15:00"),
            end: moment("2026-11-23T16:00"),
            location: Some("Room 1; north".into()),
            description: Some(description.into()),
            organizer: Address::parse("anna@firma.example").ok(),
            attendees: vec![Address::parse("ben@firma.example").unwrap()],
            tentative: false,
            mark: "user_1".into(),
        }
    }

    #[test]
    fn an_event_says_what_it_is_and_no_text_says_more() {
        let written =
            String::from_utf8(draft("Q4, review", "a\r\nATTENDEE:mailto:evil@evil.example\nEND:VEVENT").write())
                .unwrap();
        assert!(
            written.contains("\r\nDTSTART:20261123T150000Z\r\nDTEND:20261123T160000Z\r\nSUMMARY:Q4\\, review\r\n"),
            "{written}"
        );
        let lines: Vec<&str> = written.split("\r\n").collect();
        assert_eq!(lines.iter().filter(|line| line.starts_with("ATTENDEE")).count(), 1);
        assert_eq!(lines.iter().filter(|line| line.starts_with("END:VEVENT")).count(), 1);
        assert!(lines.iter().all(|line| line.len() <= 75), "{written}");
        let mut days = draft("Off", "");
        (days.start, days.end) = (
            Moment::parse("2026-12-24", chrono_tz::UTC).unwrap(),
            Moment::parse("2026-12-26", chrono_tz::UTC).unwrap(),
        );
        days.tentative = true;
        let written = String::from_utf8(days.write()).unwrap();
        assert!(written.contains("DTSTART;VALUE=DATE:20261224\r\nDTEND;VALUE=DATE:20261227\r\n"), "{written}");
        assert!(
            written.contains("STATUS:TENTATIVE\r\nTRANSP:TRANSPARENT") && written.contains("SCHEDULE-AGENT=NONE"),
            "{written}"
        );
    }

    #[test]
    fn what_does_not_fit_is_refused_by_its_field() {
        let refused = |change: &dyn Fn(&mut Draft), field: &str| {
            let mut draft = draft("x", "y");
            change(&mut draft);
            let problem = draft.check().unwrap_err();
            assert!(problem.contains(field), "{problem}");
        };
        refused(&|draft| draft.title = "a\r\nATTENDEE:x".into(), "`title`");
        refused(&|draft| draft.title = String::new(), "`title`");
        refused(&|draft| draft.location = Some("a\nb".into()), "`location`");
        refused(&|draft| draft.description = Some("x".repeat(16_001)), "`description`");
        refused(&|draft| draft.end = draft.start, "`end`");
        refused(&|draft| draft.end = Moment::parse("2026-12-26", chrono_tz::UTC).unwrap(), "`end`");
    }

    proptest! {
        #[test]
        fn any_text_comes_back_as_it_was(description in "[^\u{0}-\u{8}\u{b}-\u{1f}\u{7f}-\u{9f}]{0,300}") {
            let written = draft("x", &description).write();
            let calendar = calcard::icalendar::ICalendar::parse(String::from_utf8(written).unwrap()).unwrap();
            prop_assert_eq!(calendar.components.iter().filter(|one| one.component_type.is_event()).count(), 1);
            let event = calendar.components.iter().find(|one| one.component_type.is_event()).unwrap();
            let read = event.property(&calcard::icalendar::ICalendarProperty::Description).unwrap();
            let read = read.values[0].as_text().unwrap();
            prop_assert!(read.starts_with(description.trim_end()), "{:?} {:?}", read, description);
        }
    }
}
