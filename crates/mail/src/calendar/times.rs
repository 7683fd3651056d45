//! Times as models and people write them: with an offset, in a named zone, or whole days.

use chrono::{DateTime, NaiveDate, NaiveDateTime, TimeDelta, TimeZone, Utc};
use chrono_tz::Tz;

/// A point in time, or a whole day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Moment {
    At(DateTime<Utc>),
    Day(NaiveDate),
}

/// A zone by its IANA name.
pub(super) fn zone(name: &str) -> Result<Tz, String> {
    name.parse().map_err(|_| "must be the name of a zone, such as `Europe/Berlin`".into())
}

impl Moment {
    /// Reads `2026-11-21T15:00:00+01:00`, `2026-11-21T15:00` (in `zone`) or `2026-11-21`.
    pub(super) fn parse(text: &str, zone: Tz) -> Result<Self, String> {
        let wrong = || "must be a time such as `2026-11-21T15:00`, or a day such as `2026-11-21`".to_owned();
        let moment = if let Ok(day) = NaiveDate::parse_from_str(text, "%Y-%m-%d") {
            Self::Day(day)
        } else if let Ok(at) = DateTime::parse_from_rfc3339(text) {
            Self::At(at.to_utc())
        } else {
            let local = ["%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S"].iter();
            let local =
                local.filter_map(|form| NaiveDateTime::parse_from_str(text, form).ok()).next().ok_or_else(wrong)?;
            let at = zone.from_local_datetime(&local).earliest();
            Self::At(
                at.ok_or_else(|| format!("there is no such time in {zone}: the clocks go forward over it"))?.to_utc(),
            )
        };
        let day = match moment {
            Self::At(at) => at.date_naive(),
            Self::Day(day) => day,
        };
        // What no calendar holds, and what arithmetic with days cannot overflow.
        let years = NaiveDate::from_ymd_opt(1900, 1, 1)..NaiveDate::from_ymd_opt(2200, 1, 1);
        if years.contains(&Some(day)) { Ok(moment) } else { Err("must be between 1900 and 2200".into()) }
    }

    /// When it begins.
    pub(super) fn begins(self, zone: Tz) -> DateTime<Utc> {
        match self {
            Self::At(at) => at,
            Self::Day(day) => midnight(day, zone),
        }
    }

    /// When it is over: for a day, when the next begins.
    pub(super) fn ends(self, zone: Tz) -> DateTime<Utc> {
        match self {
            Self::At(at) => at,
            Self::Day(day) => midnight(day + TimeDelta::days(1), zone),
        }
    }
}

/// When a day begins; where the clocks jump over midnight, an hour later.
fn midnight(day: NaiveDate, zone: Tz) -> DateTime<Utc> {
    let local = day.and_time(chrono::NaiveTime::MIN);
    let at = zone.from_local_datetime(&local).earliest();
    at.or_else(|| zone.from_local_datetime(&(local + TimeDelta::hours(1))).earliest())
        .map_or_else(|| local.and_utc(), |at| at.to_utc())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_in_their_zone() {
        let berlin = zone("Europe/Berlin").unwrap();
        let at = |text: &str| Moment::parse(text, berlin).map(|moment| moment.begins(berlin).to_rfc3339());
        assert_eq!(at("2026-11-21T15:00"), Ok("2026-11-21T14:00:00+00:00".into()));
        assert_eq!(at("2026-07-21T15:00:30"), Ok("2026-07-21T13:00:30+00:00".into()));
        assert_eq!(at("2026-11-21T15:00:00-05:00"), Ok("2026-11-21T20:00:00+00:00".into()));
        assert_eq!(at("2026-11-21"), Ok("2026-11-20T23:00:00+00:00".into()));
        assert_eq!(Moment::parse("2026-11-21", berlin).unwrap().ends(berlin).to_rfc3339(), "2026-11-21T23:00:00+00:00");
        assert!(at("2026-03-29T02:30").unwrap_err().contains("clocks go forward"));
        for text in [
            "",
            "today",
            "2026-13-01",
            "2026-11-21T25:00",
            "2026-11-21 15:00",
            "0001-01-01",
            "9999-12-31",
            "+262143-01-01",
        ] {
            assert!(at(text).is_err(), "{text}");
        }
        assert!(zone("Berlin").is_err() && zone("Europe/Berlin\r\n").is_err());
    }
}
