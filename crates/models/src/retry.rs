//! When to try again: exponential back-off with jitter, or what the provider's headers say.

use bailiwick_ports::Random;
use bailiwick_types::{Millis, Timestamp};
use reqwest::header::HeaderMap;
use std::time::UNIX_EPOCH;

/// The first pause; it doubles from retry to retry.
const FIRST_PAUSE: Millis = Millis(500);
/// The longest pause of our own.
const LONGEST_PAUSE: Millis = Millis::from_secs(30);
/// The longest pause that a provider may ask for. When it asks for more, the call fails and says until when.
pub(crate) const LONGEST_ASKED: Millis = Millis::from_secs(60);

/// The pause before retry number `retry` (from 0): half of it fixed, half of it random, so that sessions that failed
/// together do not come back together.
pub(crate) fn pause(retry: u32, random: &dyn Random) -> Millis {
    let whole = FIRST_PAUSE.0.saturating_mul(1 << retry.min(16)).min(LONGEST_PAUSE.0);
    Millis(whole / 2 + part(whole / 2, random))
}

/// What the provider asked for, and up to a fifth more of it.
pub(crate) fn pause_asked(asked: Millis, random: &dyn Random) -> Millis {
    Millis(asked.0.saturating_add(part(asked.0 / 5, random)))
}

/// A random number up to and with `most`.
fn part(most: u64, random: &dyn Random) -> u64 {
    let mut bytes = [0; 8];
    random.fill(&mut bytes);
    u64::from_le_bytes(bytes) % most.saturating_add(1)
}

/// How long the headers ask to wait: `retry-after-ms`, `retry-after` (seconds or a date, RFC 9110 section 10.2.3), else
/// the reset of whichever OpenAI limit has nothing remaining.
pub(crate) fn asked(headers: &HeaderMap, now: Timestamp) -> Option<Millis> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
    let number = |text: &str| text.parse::<f64>().ok().filter(|number| number.is_finite() && *number >= 0.0);
    if let Some(ms) = text("retry-after-ms").and_then(number) {
        return Some(Millis(ms.ceil() as u64));
    }
    if let Some(after) = text("retry-after") {
        let seconds = number(after).map(|seconds| Millis((seconds * 1000.0).ceil() as u64));
        return seconds.or_else(|| until_date(after, now));
    }
    let resets = ["requests", "tokens"].iter().filter_map(|limit| {
        let remaining = text(&format!("x-ratelimit-remaining-{limit}"));
        (remaining == Some("0")).then(|| text(&format!("x-ratelimit-reset-{limit}")).and_then(span))?
    });
    resets.max().or_else(|| text("x-ratelimit-reset").and_then(number).map(|reset| until_reset(reset, now)))
}

fn until_date(text: &str, now: Timestamp) -> Option<Millis> {
    let date = httpdate::parse_http_date(text).ok()?.duration_since(UNIX_EPOCH).ok()?;
    Some(Timestamp::from_millis(i64::try_from(date.as_millis()).ok()?).since(now))
}

/// Some give seconds to wait, some a time in seconds, some one in milliseconds.
fn until_reset(reset: f64, now: Timestamp) -> Millis {
    let millis = if reset >= 1e11 {
        reset
    } else if reset >= 1e8 {
        reset * 1000.0
    } else {
        return Millis((reset * 1000.0).ceil() as u64);
    };
    Timestamp::from_millis(millis as i64).since(now)
}

/// A span as OpenAI writes it: `1s`, `6m0s`, `20ms`, `1h2m3.5s`.
fn span(text: &str) -> Option<Millis> {
    let (mut rest, mut sum) = (text, 0.0);
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let number: f64 = rest.get(..digits)?.parse().ok()?;
        let tail = rest.get(digits..)?;
        let (factor, unit) = [("ms", 1.0), ("s", 1000.0), ("m", 60_000.0), ("h", 3_600_000.0), ("d", 86_400_000.0)]
            .into_iter()
            .find_map(|(unit, factor)| tail.starts_with(unit).then_some((factor, unit.len())))?;
        sum += number * factor;
        rest = tail.get(unit..)?;
    }
    (!text.is_empty()).then(|| Millis(sum.ceil() as u64))
}

#[cfg(test)]
mod tests {
    use super::*;
    use bailiwick_testkit::random::FixedRandom;

    const NOW: Timestamp = Timestamp::from_millis(1_793_000_000_000);

    fn from(pairs: &[(&'static str, &str)]) -> Option<Millis> {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.insert(*name, value.parse().unwrap());
        }
        asked(&headers, NOW)
    }

    #[test]
    fn headers_are_read_in_every_spelling() {
        assert_eq!(from(&[]), None);
        assert_eq!(from(&[("retry-after-ms", "1500"), ("retry-after", "9")]), Some(Millis(1500)));
        assert_eq!(from(&[("retry-after", "2")]), Some(Millis(2000)));
        assert_eq!(from(&[("retry-after", "0.25")]), Some(Millis(250)));
        assert_eq!(from(&[("retry-after", "-1")]), None);
        assert_eq!(from(&[("retry-after", "Mon, 26 Oct 2026 07:33:25 GMT")]), Some(Millis(5000)));
        assert_eq!(from(&[("retry-after", "Mon, 26 Oct 2020 07:33:25 GMT")]), Some(Millis(0)));
        assert_eq!(
            from(&[("x-ratelimit-remaining-requests", "0"), ("x-ratelimit-reset-requests", "1m0.5s")]),
            Some(Millis(60_500))
        );
        assert_eq!(from(&[("x-ratelimit-remaining-tokens", "7"), ("x-ratelimit-reset-tokens", "6m0s")]), None);
        assert_eq!(from(&[("x-ratelimit-reset", "1793000003")]), Some(Millis(3000)));
        assert_eq!(from(&[("x-ratelimit-reset", "1793000004000")]), Some(Millis(4000)));
        assert_eq!(from(&[("x-ratelimit-reset", "7")]), Some(Millis(7000)));
        assert_eq!(from(&[("x-ratelimit-remaining-tokens", "0"), ("x-ratelimit-reset-tokens", "soon")]), None);
    }

    #[test]
    fn pauses_double_up_to_a_bound_and_have_a_random_half() {
        let (low, high) = (FixedRandom(0x00), FixedRandom(0xff));
        assert_eq!(pause(0, &low), Millis(250));
        assert_eq!(pause(1, &low), Millis(500));
        assert_eq!(pause(60, &low), Millis(15_000));
        for retry in 0..40 {
            assert!(pause(retry, &high) <= LONGEST_PAUSE && pause(retry, &high) >= pause(retry, &low));
        }
        assert_eq!(pause_asked(Millis(1000), &low), Millis(1000));
        assert!(pause_asked(Millis(1000), &high) <= Millis(1200));
    }
}
