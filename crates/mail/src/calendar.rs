//! Calendars by CalDAV (RFC 4791): what happens in a span of time, and new events, each made once.
//!
//! An event's identity is made from the action's id and it is written with `If-None-Match: *`: doing it again finds it
//! there. Nothing is changed that is there already, and nothing is deleted.

mod dav;
mod events;
mod times;
mod writing;

use crate::{Author, reading::cut, sending::confirmed, tools::Limits};
use bailiwick_core::{Effect, Failure, FailureCode, Outcome, ToolDefinition};
use bailiwick_gate::{
    Live,
    calls::{arguments, invalid},
};
use bailiwick_outbound::{Outbound, Reach};
use bailiwick_ports::{Clock, SettingsProblem};
use bailiwick_types::{ActionId, Millis, Secret};
use dav::{Collection, Put, Server};
use events::{Event, List};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::sync::Arc;
use times::{Moment, zone};
use writing::Draft;

/// Events that are shown at once.
const MAX_SHOWN: usize = 200;
/// Days of one list.
const MAX_DAYS: i64 = 366;
/// Calendars of one account that are looked at.
const MAX_CALENDARS: usize = 20;
const MAX_ATTENDEES: usize = 100;
/// How long what came from the calendars is gone through.
const READING: Millis = Millis::from_secs(10);

/// The configuration of a calendar connector. Secrets are not in it: they come from a vault, with each call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CalendarAccount {
    /// The calendar, or the folder of calendars, as an `https` URL that ends with `/`. Plain `http` to this machine only.
    pub url: String,
    /// Who signs in. Without it the secret holds both, as `username:password`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    #[serde(default)]
    pub sign_in: CalendarSignIn,
    /// Times without a zone are in this one (IANA, `Europe/Berlin`). Without it: UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_zone: Option<String>,
    /// The calendar that new events go into, by its name. Without it, the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calendar: Option<String>,
}

/// How a login is proven.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CalendarSignIn {
    #[default]
    Password,
    /// The secret is an OAuth access token.
    Bearer,
    None,
}

/// What one call needs beside its arguments.
pub struct CalendarAccess<'a> {
    pub account: &'a CalendarAccount,
    pub secret: Option<&'a Secret>,
    pub author: &'a Author,
    pub action: ActionId,
    pub limits: Limits,
    pub outbound: &'a Outbound,
    pub clock: Arc<dyn Clock>,
}

impl CalendarAccount {
    /// Refuses what cannot work, by the name of the field.
    pub fn check(&self) -> Result<(), SettingsProblem> {
        let wrong = |field: &str, problem: String| Err(SettingsProblem::new(field, problem));
        if let Err(error) = Reach::exact(&self.url) {
            return wrong("url", format!("cannot be used: {error}"));
        }
        if !self.url.ends_with('/') || self.url.contains(['?', '#']) {
            return wrong("url", "must end with `/`, without a query".into());
        }
        if let Some(Err(problem)) = self.time_zone.as_deref().map(zone) {
            return wrong("time_zone", problem);
        }
        if self
            .username
            .as_ref()
            .is_some_and(|name| name.is_empty() || name.contains(':') || name.chars().any(char::is_control))
        {
            return wrong("username", "must be a name without `:` or control characters".into());
        }
        Ok(())
    }
}

/// The tools of a calendar.
pub fn calendar_definitions() -> Vec<ToolDefinition> {
    let time = |what: &str| json!({"type": "string", "minLength": 8, "maxLength": 40, "description": what});
    let zone = json!({"type": "string", "maxLength": 64, "description": "The zone of times that name none, and of those shown: `Europe/Berlin`."});
    let event = json!({
        "type": "object",
        "properties": {
            "title": {"type": "string", "minLength": 1, "maxLength": 256},
            "start": time("Such as `2026-11-21T15:00` or `2026-11-21T15:00:00+01:00`; `2026-11-21` for whole days."),
            "end": time("When it ends; for whole days the last day."),
            "time_zone": zone,
            "location": {"type": "string", "maxLength": 256},
            "description": {"type": "string", "maxLength": 8_000},
            "attendees": {
                "type": "array", "maxItems": MAX_ATTENDEES, "items": {"type": "string", "format": "email"},
                "description": "Bare addresses."
            },
            "calendar": {"type": "string", "maxLength": 256, "description": "The calendar's name; the usual one without it."}
        },
        "required": ["title", "start", "end"],
        "additionalProperties": false
    });
    // A proposal goes to nobody: who is named in one is no destination.
    let mut proposal = event.clone();
    proposal["properties"]["attendees"]["items"] = json!({"type": "string"});
    let tool = ToolDefinition::new;
    vec![
        tool(
            "list_events",
            "List events",
            "Lists what happens in a span of time, with who attends; what repeats is listed each time.",
            json!({
                "type": "object",
                "properties": {
                    "from": time("When the span begins, such as `2026-11-21` or `2026-11-21T12:00`."),
                    "to": time("When it ends; a day counts whole."),
                    "time_zone": zone,
                    "calendar": {"type": "string", "maxLength": 256, "description": "Only this calendar, by its name."},
                    "text": {"type": "string", "minLength": 1, "maxLength": 256, "description": "In the title, place or description."}
                },
                "required": ["from", "to"],
                "additionalProperties": false
            }),
            Effect::Read,
        ),
        tool(
            "create_event",
            "Create an event",
            "Puts an event into the calendar. The calendar server may send invitations to its attendees.",
            event,
            Effect::Idempotent,
        ),
        tool(
            "propose_event",
            "Propose an event",
            "Puts a tentative event into the person's calendar, for them to accept or delete. Nobody is invited and no \
             time is blocked.",
            proposal,
            Effect::Idempotent,
        ),
    ]
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ListEvents {
    from: String,
    to: String,
    #[serde(default)]
    time_zone: Option<String>,
    #[serde(default)]
    calendar: Option<String>,
    #[serde(default)]
    text: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewEvent {
    title: String,
    start: String,
    end: String,
    #[serde(default)]
    time_zone: Option<String>,
    #[serde(default)]
    location: Option<String>,
    #[serde(default)]
    description: Option<String>,
    #[serde(default)]
    attendees: Vec<String>,
    #[serde(default)]
    calendar: Option<String>,
}

/// Performs one call.
pub async fn call_calendar(access: &CalendarAccess<'_>, tool: &str, value: &Value, live: Live) -> Outcome {
    let server = match access.account.check().map_err(Failure::from).and_then(|()| Server::new(access)) {
        Ok(server) => server,
        Err(failure) => return Outcome::Failed { failure },
    };
    let work = async {
        match tool {
            "list_events" => match list(access, &server, value, &live).await {
                Ok(text) => confirmed(text),
                Err(failure) => Outcome::Failed { failure },
            },
            "create_event" => create(access, &server, value, false).await,
            "propose_event" => create(access, &server, value, true).await,
            other => Outcome::Failed { failure: invalid(format!("there is no tool `{other}` here")) },
        }
    };
    // An event that is being written is written to its end: dropping the request would leave it unknown.
    if tool == "list_events" {
        tokio::select! {
            biased;
            () = live.cancelled() => Outcome::Failed { failure: Failure::new(FailureCode::Cancelled, "cancelled") },
            outcome = work => outcome,
        }
    } else if live.is_cancelled() {
        Outcome::Failed { failure: Failure::new(FailureCode::Cancelled, "cancelled") }
    } else {
        work.await
    }
}

async fn list(access: &CalendarAccess<'_>, server: &Server<'_>, value: &Value, live: &Live) -> Result<String, Failure> {
    let wanted: ListEvents = arguments(value)?;
    let zone = zone_of(access, wanted.time_zone.as_deref())?;
    let moment =
        |field: &str, text: &str| Moment::parse(text, zone).map_err(|problem| invalid(format!("`{field}`: {problem}")));
    let (from, to) = (moment("from", &wanted.from)?.begins(zone), moment("to", &wanted.to)?.ends(zone));
    if to <= from || to - from > chrono::TimeDelta::days(MAX_DAYS) {
        return Err(invalid(format!("`to`: must be after `from`, by at most {MAX_DAYS} days")));
    }
    let calendars = chosen(server.calendars().await?, wanted.calendar.as_deref())?;
    let mut found = List::default();
    let mut whole = calendars.len() <= MAX_CALENDARS;
    let until = access.clock.now() + READING;
    for calendar in calendars.into_iter().take(MAX_CALENDARS) {
        let texts = server.between(&calendar, from, to).await?;
        let (clock, live) = (access.clock.clone(), live.clone());
        // Rules are worked out one time after the other: not for a thread that others wait for.
        #[allow(clippy::disallowed_methods, reason = "it has a budget, and ends with the call")]
        let work = tokio::task::spawn_blocking(move || {
            let mut all = true;
            for text in &texts {
                if live.is_cancelled() || clock.now() >= until {
                    return (found, false);
                }
                all &= events::read(text, &calendar.name, (from, to), zone, &mut found);
            }
            (found, all)
        });
        let fault = |_| Failure::new(FailureCode::Internal, "reading a calendar ended by a fault of this program");
        let all;
        (found, all) = work.await.map_err(fault)?;
        whole &= all;
    }
    let mut events: Vec<Event> = found.events;
    if let Some(text) = &wanted.text {
        events.retain(|event| event.holds(text));
    }
    events.sort_by(|one, other| (one.start, &one.title).cmp(&(other.start, &other.title)));
    let all = events.len();
    events.truncate(MAX_SHOWN);
    let mut page = if all == 0 { "Nothing in this time.\n".to_owned() } else { String::new() };
    events.iter().for_each(|event| page.push_str(&event.shown(zone)));
    if all > events.len() {
        page.push_str(&format!("[{} of {all} events: ask for less time]\n", events.len()));
    }
    if !whole {
        page.push_str("[not everything could be read: ask for less time or one calendar]\n");
    }
    if cut(&mut page, access.limits.output_bytes) {
        page.push_str("\n[cut here: more than may be shown at once]");
    }
    Ok(page)
}

async fn create(access: &CalendarAccess<'_>, server: &Server<'_>, value: &Value, tentative: bool) -> Outcome {
    let prepared = async {
        let wanted: NewEvent = arguments(value)?;
        let draft = draft(access, &wanted, tentative)?;
        let name = wanted.calendar.as_deref().or(access.account.calendar.as_deref());
        let calendar = chosen(server.calendars().await?, name)?.into_iter().next();
        let calendar = calendar.ok_or_else(|| Failure::new(FailureCode::ToolError, "there is no calendar here"))?;
        Ok((draft, calendar))
    };
    let (draft, calendar) = match prepared.await {
        Ok(prepared) => prepared,
        Err(failure) => return Outcome::Failed { failure },
    };
    let what = if tentative { "Proposed" } else { "Created" };
    match server.put(&calendar, &draft.uid, draft.write()).await {
        Put::Made => {
            confirmed(format!("{what} `{}` in the calendar `{}`. UID: {}.", draft.title, calendar.name, draft.uid))
        }
        Put::WasThere => confirmed(format!("`{}` was there already: {what} before. UID: {}.", draft.title, draft.uid)),
        Put::Failed(failure) => Outcome::Failed { failure },
        Put::Unknown(reason) => Outcome::Unknown { reason },
    }
}

fn draft(access: &CalendarAccess<'_>, wanted: &NewEvent, tentative: bool) -> Result<Draft, Failure> {
    let zone = zone_of(access, wanted.time_zone.as_deref())?;
    let moment =
        |field: &str, text: &str| Moment::parse(text, zone).map_err(|problem| invalid(format!("`{field}`: {problem}")));
    let attendee = |(at, text): (usize, &String)| {
        crate::Address::parse(text).map_err(|problem| invalid(format!("`attendees[{at}]`: {problem}")))
    };
    if wanted.attendees.len() > MAX_ATTENDEES {
        return Err(invalid(format!("`attendees`: must be at most {MAX_ATTENDEES}")));
    }
    let organizer = access.author.person_email.as_deref().and_then(|email| crate::Address::parse(email).ok());
    let attendees = wanted.attendees.iter().enumerate().map(attendee).collect::<Result<Vec<_>, _>>()?;
    if !attendees.is_empty() && organizer.is_none() {
        return Err(invalid(
            "`attendees`: the person has no mail address in the directory, so nobody would invite them",
        ));
    }
    let draft = Draft {
        uid: format!("{}.bailiwick", access.action),
        made: access.action.made_at(),
        title: wanted.title.clone(),
        start: moment("start", &wanted.start)?,
        end: moment("end", &wanted.end)?,
        location: wanted.location.clone(),
        description: wanted.description.clone(),
        organizer,
        attendees,
        tentative,
        mark: access.author.mark.clone(),
    };
    draft.check().map_err(invalid)?;
    Ok(draft)
}

fn zone_of(access: &CalendarAccess<'_>, asked: Option<&str>) -> Result<chrono_tz::Tz, Failure> {
    let name = asked.or(access.account.time_zone.as_deref()).unwrap_or("UTC");
    zone(name).map_err(|problem| invalid(format!("`time_zone`: {problem}")))
}

/// The calendars of this name, or all.
fn chosen(all: Vec<Collection>, name: Option<&str>) -> Result<Vec<Collection>, Failure> {
    let Some(name) = name else { return Ok(all) };
    let names: Vec<String> = all.iter().map(|calendar| format!("`{}`", calendar.name)).collect();
    let found: Vec<Collection> = all.into_iter().filter(|calendar| calendar.name == name).collect();
    if found.is_empty() {
        let text = format!("`calendar`: there is none of this name; there are: {}", names.join(", "));
        return Err(invalid(text));
    }
    Ok(found)
}
