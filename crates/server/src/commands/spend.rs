//! `bailiwick spend …`: what was spent, and what a run is likely to cost.

use super::{find_agent, text};
use crate::{
    cli::{Format, Part, Spend},
    client::{Client, encode},
    failure::{Failure, Outcome},
    terminal::{Table, Terminal, escape},
};
use serde_json::Value;

pub async fn perform(command: Spend, terminal: Terminal) -> Outcome {
    match command {
        Spend::Show { by, part, target, .. } => show(&Client::of(&target)?, &by, &part, terminal).await,
        Spend::Export { by, format, part, target } => {
            let report = report(&Client::of(&target)?, &by, &part).await?;
            match format {
                Format::Csv => terminal.out(csv(&report).trim_end()),
                Format::Json => Terminal::new(true).result(&report, String::new),
            }
            more(&report, terminal);
            Ok(())
        }
        Spend::Estimate { agent, target, .. } => {
            let client = Client::of(&target)?;
            let found = find_agent(&client, &agent).await?;
            let id = text(&found, "id");
            let estimate = client.get(&format!("/bailiwick/v1/spend/estimate?agent_id={}", encode(id))).await?;
            terminal.result(&estimate, || in_words(&estimate));
            Ok(())
        }
    }
}

pub(super) async fn show(client: &Client, by: &str, part: &Part, terminal: Terminal) -> Outcome {
    let report = report(client, by, part).await?;
    terminal.result(&report, || table(&report));
    more(&report, terminal);
    Ok(())
}

/// Not all of it was answered.
fn more(report: &Value, terminal: Terminal) {
    if report["has_more"] == true {
        terminal.progress("There is more than one answer holds: narrow it with --from and --until.");
    }
}

async fn report(client: &Client, by: &str, part: &Part) -> Outcome<Value> {
    let mut path = format!("/bailiwick/v1/spend?by={}", encode(by));
    let mut add = |name: &str, value: &Option<String>| {
        if let Some(value) = value {
            path.push_str(&format!("&{name}={}", encode(value)));
        }
    };
    add("from", &part.from.as_deref().map(|day| seconds(day, 0)).transpose()?);
    add("until", &part.until.as_deref().map(|day| seconds(day, 1)).transpose()?);
    add("person", &part.person);
    add("team", &part.team);
    add("agent", &part.agent);
    add("session", &part.session);
    add("model", &part.model);
    add("outcome", &part.outcome);
    client.get(&path).await
}

/// The first second of a day in UTC, or of one so many days later.
pub(super) fn seconds(day: &str, later: i64) -> Outcome<String> {
    let wrong = || Failure::usage(format!("`{}` is not a day", escape::line(day))).help("write it like 2026-11-21");
    let part = |from: usize, to: usize| day.get(from..to).and_then(|digits| digits.parse::<i64>().ok());
    let fine = day.len() == 10
        && day.bytes().enumerate().all(|(at, byte)| match at {
            4 | 7 => byte == b'-',
            _ => byte.is_ascii_digit(),
        });
    let (Some(year), Some(month), Some(of_month), true) = (part(0, 4), part(5, 7), part(8, 10), fine) else {
        return Err(wrong());
    };
    // Howard Hinnant's `days_from_civil`; a day that is not in the calendar comes back as another.
    let shifted = if month <= 2 { year - 1 } else { year };
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + of_month - 1;
    let of_era = shifted.rem_euclid(400) * 365 + shifted.rem_euclid(400) / 4 - shifted.rem_euclid(400) / 100 + of_year;
    let days = shifted.div_euclid(400) * 146_097 + of_era - 719_468;
    let back = bailiwick_types::Timestamp::from_millis(days * 86_400_000).to_string();
    match back.starts_with(day) {
        true => Ok(((days + later) * 86_400).to_string()),
        false => Err(wrong()),
    }
}

/// The dimensions of a report, then what is summed.
const SUMS: [&str; 7] =
    ["calls", "unpriced_calls", "input_tokens", "cached_input_tokens", "output_tokens", "cost", "estimated"];

fn cells(line: &Value) -> impl Iterator<Item = String> + '_ {
    let values = line["values"].as_array().into_iter().flatten().map(shown);
    values.chain(SUMS.iter().map(|name| shown(&line[*name])))
}

fn shown(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn table(report: &Value) -> String {
    let by: Vec<&str> = report["by"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let heading = |name: &str| match name {
        "day" => "DAY",
        "person" => "PERSON",
        "team" => "TEAM",
        "agent" => "AGENT",
        "session" => "SESSION",
        "model" => "MODEL",
        _ => "OUTCOME",
    };
    let sums = ["CALLS", "UNPRICED", "INPUT", "CACHED", "OUTPUT", "COST", "ESTIMATED"];
    let headings: Vec<&'static str> = by.iter().map(|name| heading(name)).chain(sums).collect();
    let mut table = Table::new(&headings);
    let lines = report["data"].as_array().into_iter().flatten();
    lines.for_each(|line| table.row(cells(line).map(|cell| if cell.is_empty() { "-".to_owned() } else { cell })));
    let total = &report["total"];
    let whole = format!(
        "in all: {} {} in {} calls, {} of it estimated\n",
        text(total, "cost"),
        text(report, "currency"),
        total["calls"],
        text(total, "estimated")
    );
    format!("{}{whole}", if by.is_empty() { String::new() } else { table.render() })
}

/// RFC 4180, with a heading.
fn csv(report: &Value) -> String {
    let by = report["by"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let mut out: String = by.chain(SUMS).chain(["currency"]).collect::<Vec<_>>().join(",");
    out.push_str("\r\n");
    for line in report["data"].as_array().into_iter().flatten() {
        let currency = text(report, "currency").to_owned();
        let row: Vec<String> = cells(line).chain([currency]).map(quoted).collect();
        out.push_str(&row.join(","));
        out.push_str("\r\n");
    }
    out
}

/// A cell that means what it says, in a spreadsheet too: none is taken for a formula.
fn quoted(cell: String) -> String {
    let cell = if cell.starts_with(['=', '+', '-', '@']) { format!("'{cell}") } else { cell };
    if cell.contains([',', '"', '\r', '\n']) { format!("\"{}\"", cell.replace('"', "\"\"")) } else { cell }
}

fn in_words(estimate: &Value) -> String {
    let currency = text(estimate, "currency");
    match estimate["runs"].as_u64() {
        Some(runs) if runs > 0 => format!(
            "median {} {currency}, 9 of 10 runs at most {} {currency} ({runs} past runs, the dearest {} {currency})\n",
            text(estimate, "median"),
            text(estimate, "percentile_90"),
            text(estimate, "dearest"),
        ),
        _ => "This agent has no past runs of the last 90 days to estimate from.\n".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn days_are_read_as_the_calendar_has_them() {
        assert_eq!(seconds("1970-01-01", 0).unwrap(), "0");
        assert_eq!(seconds("2024-02-29", 1).unwrap(), "1709251200");
        assert_eq!(seconds("2026-11-21", 0).unwrap(), "1795219200");
        for text in
            ["", "2026-11-31", "2026-13-01", "2025-02-29", "21.11.2026", "2026-11-2x", "2026-1-021", "−2026-1-1"]
        {
            assert!(seconds(text, 0).is_err(), "{text}");
        }
    }

    #[test]
    fn a_table_for_other_programs_holds_no_formula_and_no_broken_line() {
        let line = |model: &str| {
            json!({"values": [model, ""], "calls": 2, "unpriced_calls": 0, "input_tokens": 10, "cached_input_tokens": 4,
                   "output_tokens": 5, "cost": "0.000123", "estimated": "0.000000"})
        };
        let report = json!({"by": ["model", "team"], "currency": "USD", "data": [line("=1+1"), line("a,\"b\"\n")],
                            "total": line("")});
        let text = csv(&report);
        let mut lines = text.split("\r\n");
        let heading =
            "model,team,calls,unpriced_calls,input_tokens,cached_input_tokens,output_tokens,cost,estimated,currency";
        assert_eq!(lines.next(), Some(heading));
        assert_eq!(lines.next(), Some("'=1+1,,2,0,10,4,5,0.000123,0.000000,USD"));
        assert_eq!(lines.next(), Some("\"a,\"\"b\"\"\n\",,2,0,10,4,5,0.000123,0.000000,USD"));
        assert!(table(&report).ends_with("in all: 0.000123 USD in 2 calls, 0.000000 of it estimated\n"));
    }
}
