//! What calendars hold, as events in a span of time: what repeats is there each time, in its own zone.

use crate::reading::cut;
use calcard::{
    common::PartialDateTime,
    icalendar::{
        ICalendar, ICalendarComponent, ICalendarParameter, ICalendarParameterName, ICalendarProperty, ICalendarValue,
        dates::TimeOrDelta,
    },
};
use chrono::{DateTime, Datelike, NaiveDate, TimeDelta, Utc};
use chrono_tz::Tz;

/// Times that one calendar object is counted forward from its beginning: daily for more than a century.
const MAX_TIMES: usize = 40_000;
/// Times that are counted for one list: all its calendar objects together.
const MAX_LISTED_TIMES: usize = 200_000;
/// What a rule counts for beside its times: one that never comes true is looked through for long.
const RULE: usize = 100;
/// How much longer than the span a rule is followed: times of it may have been moved to an earlier day.
const BEYOND: TimeDelta = TimeDelta::days(32);
/// Rules of one object.
const MAX_RULES: usize = 200;
/// Events of one list, before those that are not shown are left out.
const MAX_EVENTS: usize = 2_000;
/// Components of one object.
const MAX_COMPONENTS: usize = 2_000;
/// Attendees that are shown of one event.
const MAX_ATTENDEES: usize = 50;
/// Bytes of a description that are shown.
const MAX_DESCRIPTION: usize = 2_000;
/// Longest title, place or name in characters.
const MAX_LINE: usize = 200;

/// One event at one time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Event {
    pub(super) start: DateTime<Utc>,
    end: DateTime<Utc>,
    /// Whole days: the dates are the ones written down, whatever the zone.
    days: Option<(String, String)>,
    pub(super) title: String,
    location: String,
    description: String,
    status: String,
    organizer: String,
    attendees: Vec<String>,
    calendar: String,
    uid: String,
}

/// One list under way: what was found, and what it may still cost.
pub(super) struct List {
    pub(super) events: Vec<Event>,
    /// Times that may still be counted.
    left: usize,
}

impl Default for List {
    fn default() -> Self {
        Self { events: Vec::new(), left: MAX_LISTED_TIMES }
    }
}

/// Reads one calendar object and adds what of it is between. `false` when not all of it could be read.
pub(super) fn read(
    text: &str,
    calendar: &str,
    span: (DateTime<Utc>, DateTime<Utc>),
    zone: Tz,
    list: &mut List,
) -> bool {
    if list.left == 0 {
        return false;
    }
    let Ok(mut object) = ICalendar::parse(text) else { return false };
    if object.components.len() > MAX_COMPONENTS {
        return false;
    }
    let is_rule = |component: &&ICalendarComponent| component.property(&ICalendarProperty::Rrule).is_some();
    let rules = object.components.iter().filter(is_rule).count();
    if rules > MAX_RULES || rules * RULE > list.left {
        return false;
    }
    // A change of one time of a series is found by its number of changes too; not everybody counts those alike.
    let last = (span.1 + BEYOND).date_naive();
    for component in &mut object.components {
        component.entries.retain(|entry| entry.name != ICalendarProperty::Sequence);
        say_utc(component);
        end_rules(component, last);
    }
    list.left -= rules * RULE;
    let most = MAX_TIMES.min(list.left);
    let times = object.expand_dates(zone, most);
    let mut whole = times.errors.is_empty() && times.events.len() < most;
    list.left = list.left.saturating_sub(times.events.len());
    for time in times.events {
        let Some(component) = object.component_by_id(time.comp_id).filter(|one| one.component_type.is_event()) else {
            continue;
        };
        let end = match time.end {
            TimeOrDelta::Time(end) => end,
            TimeOrDelta::Delta(span) => time.start.checked_add_signed(span).unwrap_or(time.start),
        };
        let (start, end) = (time.start.to_utc(), end.to_utc());
        // What takes no time happens where it is; all else where it overlaps.
        let inside = start < span.1 && (end > span.0 || (end <= start && start >= span.0));
        if !inside {
            continue;
        }
        if list.events.len() >= MAX_EVENTS {
            whole = false;
            break;
        }
        let days = is_whole_days(component).then(|| {
            let last = (time.start.naive_local() + (end - start - TimeDelta::seconds(1)).max(TimeDelta::zero())).date();
            (time.start.naive_local().date().to_string(), last.to_string())
        });
        list.events.push(event(component, calendar, (start, end), days));
    }
    whole
}

/// A beginning in UTC names its zone, or its rule would be followed in the zone of the list.
fn say_utc(component: &mut ICalendarComponent) {
    for entry in component.entries.iter_mut().filter(|entry| entry.name == ICalendarProperty::Dtstart) {
        if let Some(ICalendarValue::PartialDateTime(at)) = entry.values.first()
            && at.tz_hour.is_some()
        {
            entry.params.push(ICalendarParameter::tzid("UTC".to_owned()));
        }
    }
}

/// Lets rules end with `last`: most have no end of their own. One that begins later is none.
fn end_rules(component: &mut ICalendarComponent, last: NaiveDate) {
    let day = |at: &PartialDateTime| Some((i32::from(at.year?), u32::from(at.month?), u32::from(at.day?)));
    let end = Some((last.year(), last.month(), last.day()));
    let start = component.property(&ICalendarProperty::Dtstart).and_then(|entry| match entry.values.first() {
        Some(ICalendarValue::PartialDateTime(at)) => day(at),
        _ => None,
    });
    if start >= end {
        component.entries.retain(|entry| entry.name != ICalendarProperty::Rrule);
    }
    for value in component.entries.iter_mut().flat_map(|entry| &mut entry.values) {
        let ICalendarValue::RecurrenceRule(rule) = value else { continue };
        if rule.until.as_ref().is_none_or(|until| day(until) > end) {
            rule.until = Some(PartialDateTime {
                year: u16::try_from(last.year()).ok(),
                month: u8::try_from(last.month()).ok(),
                day: u8::try_from(last.day()).ok(),
                hour: Some(0),
                minute: Some(0),
                second: Some(0),
                ..PartialDateTime::default()
            });
        }
    }
}

fn event(
    component: &ICalendarComponent,
    calendar: &str,
    (start, end): (DateTime<Utc>, DateTime<Utc>),
    days: Option<(String, String)>,
) -> Event {
    let text = |property: ICalendarProperty| {
        component
            .property(&property)
            .and_then(|entry| entry.values.first())
            .and_then(ICalendarValue::as_text)
            .unwrap_or_default()
    };
    let mut description: String = text(ICalendarProperty::Description)
        .chars()
        .filter(|char| !char.is_control() || matches!(char, '\n' | '\t'))
        .collect();
    if cut(&mut description, MAX_DESCRIPTION) {
        description.push('…');
    }
    let people = |property: ICalendarProperty| {
        component
            .properties(&property)
            .map(person)
            .filter(|person| !person.is_empty())
            .take(MAX_ATTENDEES)
            .collect::<Vec<_>>()
    };
    Event {
        start,
        end,
        days,
        title: one_line(text(ICalendarProperty::Summary)),
        location: one_line(text(ICalendarProperty::Location)),
        description,
        status: one_line(text(ICalendarProperty::Status)).to_lowercase(),
        organizer: people(ICalendarProperty::Organizer).into_iter().next().unwrap_or_default(),
        attendees: people(ICalendarProperty::Attendee),
        calendar: calendar.to_owned(),
        uid: one_line(text(ICalendarProperty::Uid)),
    }
}

/// `Anna Berg <anna@example.com> (accepted)`.
fn person(entry: &calcard::icalendar::ICalendarEntry) -> String {
    let address = one_line(entry.calendar_address().unwrap_or_default());
    let parameter = |name: ICalendarParameterName| {
        entry.parameter(&name).and_then(|value| value.as_text()).map(one_line).filter(|text| !text.is_empty())
    };
    let mut person = match parameter(ICalendarParameterName::Cn) {
        Some(name) if name != address => format!("{name} <{address}>"),
        _ => address,
    };
    if let Some(answer) = parameter(ICalendarParameterName::Partstat) {
        person.push_str(&format!(" ({})", answer.to_lowercase()));
    }
    person
}

fn is_whole_days(component: &ICalendarComponent) -> bool {
    let start = component.property(&ICalendarProperty::Dtstart).and_then(|entry| entry.values.first());
    matches!(start, Some(ICalendarValue::PartialDateTime(at)) if !at.has_time())
}

fn one_line(text: &str) -> String {
    text.chars().map(|char| if char.is_control() { ' ' } else { char }).take(MAX_LINE).collect()
}

impl Event {
    pub(super) fn holds(&self, text: &str) -> bool {
        let wanted = bailiwick_core::canonical::folded(text);
        [&self.title, &self.location, &self.description]
            .iter()
            .any(|text| bailiwick_core::canonical::folded(text).contains(&wanted))
    }

    /// As a model reads it.
    pub(super) fn shown(&self, zone: Tz) -> String {
        let when = match &self.days {
            Some((first, last)) if first == last => format!("{first}, all day"),
            Some((first, last)) => format!("{first} to {last}, all day"),
            None => {
                let (start, end) = (self.start.with_timezone(&zone), self.end.with_timezone(&zone));
                let end_form = if start.date_naive() == end.date_naive() { "%H:%M" } else { "%Y-%m-%d %H:%M" };
                format!("{} to {} ({zone})", start.format("%Y-%m-%d %H:%M"), end.format(end_form))
            }
        };
        let title = if self.title.is_empty() { "(no title)" } else { &self.title };
        let mut shown = format!("- {when}: {title}\n");
        let attendees = self.attendees.join(", ");
        for (name, value) in [
            ("where", &self.location),
            ("organizer", &self.organizer),
            ("attendees", &attendees),
            ("status", &self.status),
            ("calendar", &self.calendar),
            ("uid", &self.uid),
        ] {
            if !value.is_empty() {
                shown.push_str(&format!("  {name}: {value}\n"));
            }
        }
        for line in self.description.lines() {
            shown.push_str(&format!("  | {line}\n"));
        }
        shown
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(text: &str) -> DateTime<Utc> {
        DateTime::parse_from_rfc3339(text).unwrap().to_utc()
    }

    fn between(body: &str, from: &str, to: &str) -> (Vec<String>, bool) {
        let text =
            format!("BEGIN:VCALENDAR\r\nVERSION:2.0\r\n{}\r\nEND:VCALENDAR\r\n", body.trim().replace('\n', "\r\n"));
        let mut list = List::default();
        let zone = chrono_tz::Europe::Berlin;
        let whole = read(&text, "home", (at(from), at(to)), zone, &mut list);
        list.events.sort_by_key(|event| event.start);
        (list.events.iter().map(|event| event.shown(zone).lines().next().unwrap().to_owned()).collect(), whole)
    }

    #[test]
    fn what_repeats_keeps_its_hour_when_the_clocks_change() {
        let body = "BEGIN:VEVENT\nUID:1\nDTSTART;TZID=Europe/Berlin:20261020T090000\nDTEND;TZID=Europe/Berlin:20261020T093000\n\
                    RRULE:FREQ=WEEKLY;BYDAY=TU\nEXDATE;TZID=Europe/Berlin:20261103T090000\nSUMMARY:Jour fixe\nSEQUENCE:1\nEND:VEVENT\n\
                    BEGIN:VEVENT\nUID:1\nRECURRENCE-ID;TZID=Europe/Berlin:20261110T090000\nDTSTART;TZID=Europe/Berlin:20261110T140000\n\
                    DTEND;TZID=Europe/Berlin:20261110T143000\nSUMMARY:Jour fixe (moved)\nSEQUENCE:3\nEND:VEVENT";
        let (events, whole) = between(body, "2026-10-19T00:00:00Z", "2026-11-20T00:00:00Z");
        assert!(whole);
        assert_eq!(
            events,
            [
                "- 2026-10-20 09:00 to 09:30 (Europe/Berlin): Jour fixe",
                "- 2026-10-27 09:00 to 09:30 (Europe/Berlin): Jour fixe",
                "- 2026-11-10 14:00 to 14:30 (Europe/Berlin): Jour fixe (moved)",
                "- 2026-11-17 09:00 to 09:30 (Europe/Berlin): Jour fixe",
            ]
        );
    }

    #[test]
    fn whole_days_are_the_days_that_were_written() {
        let body = "BEGIN:VEVENT\nUID:1\nDTSTART;VALUE=DATE:20261224\nDTEND;VALUE=DATE:20261227\nSUMMARY:Off\nEND:VEVENT\n\
                    BEGIN:VEVENT\nUID:2\nDTSTART;VALUE=DATE:20261231\nSUMMARY:One\nEND:VEVENT";
        let (events, _) = between(body, "2026-12-01T00:00:00Z", "2027-01-01T00:00:00Z");
        assert_eq!(events, ["- 2026-12-24 to 2026-12-26, all day: Off", "- 2026-12-31, all day: One"]);
    }

    #[test]
    fn who_attends_is_told_with_what_they_answered() {
        let text = "BEGIN:VCALENDAR\r\nBEGIN:VEVENT\r\nUID:1\r\nDTSTART:20261121T140000Z\r\nDURATION:PT1H\r\nSUMMARY:Three o'clock\r\n\
            ORGANIZER;CN=Anna:mailto:anna@a.example\r\nATTENDEE;CN=\"Ben B\";PARTSTAT=ACCEPTED:mailto:ben@a.example\r\n\
            ATTENDEE:mailto:cleo@b.example\r\nDESCRIPTION:one\\nuid: fake\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n";
        let mut list = List::default();
        let day = (at("2026-11-21T00:00:00Z"), at("2026-11-22T00:00:00Z"));
        assert!(read(text, "home", day, chrono_tz::UTC, &mut list));
        let events = list.events;
        let shown = events[0].shown(chrono_tz::UTC);
        assert!(shown.contains("organizer: Anna <anna@a.example>"), "{shown}");
        assert!(shown.contains("attendees: Ben B <ben@a.example> (accepted), cleo@b.example\n"), "{shown}");
        assert!(shown.contains("  | one\n  | uid: fake\n"), "a description is no field: {shown}");
        assert!(events[0].holds("THREE O") && !events[0].holds("four"));
    }

    /// Rules that have no end, no time, or too many: each ends here, and what is not whole says so.
    #[test]
    fn a_rule_that_runs_away_is_stopped() {
        for rule in [
            "FREQ=SECONDLY",
            "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30",
            "FREQ=DAILY;BYHOUR=25",
            "FREQ=MINUTELY;INTERVAL=1;COUNT=4294967295",
            "FREQ=YEARLY;INTERVAL=65535",
            "FREQ=DAILY;UNTIL=99991231T235959Z",
        ] {
            let body = format!("BEGIN:VEVENT\nUID:1\nDTSTART:19700101T000000Z\nRRULE:{rule}\nSUMMARY:x\nEND:VEVENT");
            let (events, whole) = between(&body, "2026-11-01T00:00:00Z", "2026-11-02T00:00:00Z");
            assert!(events.len() <= 1 || !whole, "{rule}: {events:?}");
        }
    }

    #[test]
    fn a_series_without_an_end_is_followed_to_the_end_of_the_list_and_is_whole() {
        let weekly = "BEGIN:VEVENT\nUID:1\nDTSTART;TZID=Europe/Berlin:20000104T090000\nDURATION:PT30M\nRRULE:FREQ=WEEKLY\nSUMMARY:x\nEND:VEVENT\n";
        // Moved from December into the list.
        let moved = "BEGIN:VEVENT\nUID:1\nRECURRENCE-ID;TZID=Europe/Berlin:20261215T090000\nDTSTART:20261117T120000Z\nDURATION:PT30M\nSUMMARY:moved\nEND:VEVENT\n";
        let later = "BEGIN:VEVENT\nUID:2\nDTSTART;VALUE=DATE:20300101\nRRULE:FREQ=DAILY\nSUMMARY:y\nEND:VEVENT\n";
        for body in [
            format!("{weekly}{moved}{later}"),
            format!("{weekly}{moved}{later}").replace("WEEKLY", "WEEKLY;UNTIL=20991231T000000Z"),
        ] {
            let (events, whole) = between(&body, "2026-11-16T00:00:00Z", "2026-11-23T00:00:00Z");
            let lines = [
                "- 2026-11-17 09:00 to 09:30 (Europe/Berlin): x",
                "- 2026-11-17 13:00 to 13:30 (Europe/Berlin): moved",
            ];
            assert_eq!((events.iter().map(String::as_str).collect::<Vec<_>>(), whole), (lines.to_vec(), true));
        }
        let utc = weekly.replace(";TZID=Europe/Berlin:20000104T090000", ":20000104T090000Z");
        let (events, _) = between(&utc, "2026-11-16T00:00:00Z", "2026-11-23T00:00:00Z");
        assert_eq!(events, ["- 2026-11-17 10:00 to 10:30 (Europe/Berlin): x"]);
        let (mut list, span) = (List::default(), (at("2026-11-16T00:00:00Z"), at("2026-11-23T00:00:00Z")));
        let one = format!("BEGIN:VCALENDAR\r\n{}END:VCALENDAR\r\n", weekly.replace('\n', "\r\n"));
        assert!((0..100).all(|_| read(&one, "home", span, chrono_tz::UTC, &mut list)));
    }

    /// Each of them alone would be counted forty thousand times.
    #[test]
    fn all_rules_of_a_list_together_have_one_budget() {
        let object = |rules: usize| {
            let event = "BEGIN:VEVENT\r\nUID:1\r\nDTSTART:20261101T000000Z\r\nRRULE:FREQ=SECONDLY\r\nSUMMARY:x\r\nEND:VEVENT\r\n";
            format!("BEGIN:VCALENDAR\r\n{}END:VCALENDAR\r\n", event.repeat(rules))
        };
        let (one, span) = (object(1), (at("2026-11-01T00:00:00Z"), at("2026-11-02T00:00:00Z")));
        let mut list = List::default();
        let read = |text: &str, list: &mut List| super::read(text, "home", span, chrono_tz::UTC, list);
        for _ in 0..2_000 {
            assert!(!read(&one, &mut list));
        }
        assert!(list.left < RULE && list.events.len() == MAX_EVENTS);
        assert!(!read(&object(MAX_RULES + 1), &mut List::default()));
    }

    proptest! {
        #[test]
        fn nothing_that_a_calendar_holds_breaks_the_reader(lines in proptest::collection::vec(
            prop_oneof!["[ -~]{0,40}", Just("BEGIN:VEVENT".to_owned()), Just("END:VEVENT".to_owned()),
                "DTSTART(;TZID=[A-Za-z/]{1,12})?:[0-9]{4,9}T?[0-9]{0,7}Z?", "DTEND:[0-9TZ]{0,16}", "DURATION:-?P[0-9]{1,10}[WD]?(T[0-9]{1,10}[HMS])?",
                "RRULE:FREQ=(DAILY|WEEKLY|MONTHLY|YEARLY)(;COUNT=[0-9]{1,3})?(;BYDAY=-?[0-9]{0,2}(MO|TU))?", "EXDATE:[0-9TZ,]{0,20}", "RECURRENCE-ID:[0-9TZ]{0,16}"], 0..12)) {
            let mut all = vec!["BEGIN:VCALENDAR".to_owned(), "BEGIN:VEVENT".to_owned()];
            all.extend(lines);
            all.extend(["END:VEVENT".to_owned(), "END:VCALENDAR".to_owned()]);
            let mut list = List::default();
            read(&all.join("\r\n"), "c", (at("2026-01-01T00:00:00Z"), at("2027-01-01T00:00:00Z")), chrono_tz::UTC, &mut list);
            list.events.iter().for_each(|event| drop(event.shown(chrono_tz::Europe::Berlin)));
        }
    }
}
