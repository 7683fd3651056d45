//! Two policies, rule by rule.

use super::{fetch, problems, read, text, validated};
use crate::{
    client::Client,
    failure::{Failure, Outcome},
    terminal::{Terminal, escape},
};
use serde_json::{Value, json};
use std::{collections::BTreeMap, path::Path};

/// A policy's rules by their ids, in the order of ids.
type Rules = BTreeMap<String, String>;

pub async fn show(client: &Client, from: &str, to: Option<&str>, terminal: Terminal) -> Outcome {
    let before = rules(client, Some(from)).await?;
    let after = rules(client, to).await?;
    let changes = changes(&before, &after);
    terminal.result(&json!({"changes": changes}), || {
        if changes.is_empty() {
            return "the rules are the same\n".to_owned();
        }
        changes.iter().map(told).collect()
    });
    Ok(())
}

/// A number is a version, anything else a file.
async fn rules(client: &Client, which: Option<&str>) -> Outcome<Rules> {
    let version = which.map(str::parse::<u32>);
    let found = match (which, version) {
        (None, _) => fetch(client, None).await?,
        (_, Some(Ok(version))) => fetch(client, Some(version)).await?,
        (Some(file), _) => {
            let validation = validated(client, &read(Path::new(file))?).await?;
            let problems = problems(&validation);
            if !problems.is_empty() {
                return Err(Failure::failed(format!("{file} cannot be compared:\n{}", problems.join("\n"))));
            }
            validation
        }
    };
    let rules = found["rules"].as_array().into_iter().flatten();
    Ok(rules.map(|rule| (text(rule, "id").to_owned(), text(rule, "text").to_owned())).collect())
}

/// What went, came and changed.
fn changes(before: &Rules, after: &Rules) -> Vec<Value> {
    let mut ids: Vec<&String> = before.keys().chain(after.keys()).collect();
    ids.sort_unstable();
    ids.dedup();
    let change = |id: &String| match (before.get(id), after.get(id)) {
        (Some(old), Some(new)) if old == new => None,
        (old, new) => Some(json!({"id": id, "before": old, "after": new})),
    };
    ids.into_iter().filter_map(change).collect()
}

fn told(change: &Value) -> String {
    let (old, new) = (change["before"].as_str(), change["after"].as_str());
    let sign = match (old, new) {
        (None, _) => "added",
        (_, None) => "removed",
        _ => "changed",
    };
    let mut out = format!("{sign} {}\n", escape::line(text(change, "id")));
    for (mark, lines) in [("-", old), ("+", new)] {
        for line in lines.into_iter().flat_map(str::lines) {
            out.push_str(&format!("  {mark} {}\n", escape::line(line)));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_went_came_and_changed_is_told_rule_by_rule() {
        let of = |rules: &[(&str, &str)]| rules.iter().map(|(id, text)| ((*id).into(), (*text).into())).collect();
        let found = changes(&of(&[("a", "1"), ("b", "1\n2"), ("c", "1")]), &of(&[("a", "1"), ("b", "3"), ("d", "4")]));
        let told: String = found.iter().map(told).collect();
        assert_eq!(told, "changed b\n  - 1\n  - 2\n  + 3\nremoved c\n  - 1\nadded d\n  + 4\n");
    }
}
