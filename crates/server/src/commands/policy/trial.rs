//! Described actions: which rules decide one, and whether many are decided as a file of cases says.

use super::{BASE, mismatch, read, text};
use crate::{
    cli::Described,
    client::Client,
    commands::find_agent,
    failure::{Failure, Outcome},
    files,
    terminal::{Terminal, escape},
};
use serde_json::{Map, Value, json};
use std::path::Path;

const MAX_FILE: u64 = 4 * 1024 * 1024;
/// Cases of one file.
const MAX_CASES: usize = 1000;

pub async fn explain(client: &Client, action: Described, policy: Option<&Path>, terminal: Terminal) -> Outcome {
    let mut body = body(client, action).await?;
    if let Some(file) = policy {
        body.insert("text".into(), json!(read(file)?));
    }
    let explanation = client.post(&format!("{BASE}/explain"), &Value::Object(body)).await?;
    terminal.result(&json!({"explanation": explanation}), || told(&explanation));
    Ok(())
}

async fn body(client: &Client, action: Described) -> Outcome<Map<String, Value>> {
    let mut body = Map::new();
    if let Some(tool) = action.tool {
        let arguments: Value = serde_json::from_str(&action.arguments)
            .map_err(|error| Failure::usage(format!("the arguments must be a JSON object: {error}")))?;
        body.insert("call".into(), json!({"tool": tool, "arguments": arguments}));
    }
    body.extend(action.model.map(|model| ("model".to_owned(), json!(model))));
    if let Some(agent) = action.agent {
        body.insert("agent_id".into(), find_agent(client, &agent).await?["id"].take());
    }
    body.extend(action.person.map(|person| ("person_id".to_owned(), json!(person))));
    body.insert("label".into(), json!({"untrusted": action.untrusted, "groups": action.groups}));
    body.extend(action.said.map(|said| ("said".to_owned(), json!(said))));
    body.extend(action.credential.map(|id| ("credential_id".to_owned(), json!(id))));
    body.insert("approved".into(), json!(action.approved));
    Ok(body)
}

fn told(explanation: &Value) -> String {
    let verdict = &explanation["verdict"];
    let mut out = format!("{} by {}\n", text(verdict, "decision"), escape::line(text(verdict, "rule")));
    for (name, word) in [("reason", "because"), ("remedy", "way out")] {
        if let Some(said) = verdict[name].as_str() {
            out.push_str(&format!("  {word}: {}\n", escape::line(said)));
        }
    }
    if verdict["approver"].is_object() {
        out.push_str(&format!("  asks: {}\n", escape::line(&verdict["approver"].to_string())));
    }
    for meter in verdict["meters"].as_array().into_iter().flatten() {
        out.push_str(&format!("  counts: {}\n", escape::line(&meter.to_string())));
    }
    out.push_str(&sides(explanation));
    for one in explanation["credentials"].as_array().into_iter().flatten() {
        let (verdict, id) = (&one["verdict"], text(one, "credential_id"));
        let (decision, rule) = (text(verdict, "decision"), escape::line(text(verdict, "rule")));
        out.push_str(&format!("use of {}: {decision} by {rule}\n{}", escape::line(id), sides(one)));
    }
    out.push_str(&format!("as policy saw it: {}\n", escape::line(&explanation["action"].to_string())));
    out
}

fn sides(explanation: &Value) -> String {
    let mut out = String::new();
    for side in explanation["sides"].as_array().into_iter().flatten() {
        out.push_str(&format!("{}: {} rules asked\n", escape::line(text(side, "principal")), side["evaluated"]));
        for (name, word) in [("permits", "permit"), ("forbids", "forbid"), ("asks", "ask"), ("errors", "error")] {
            let named: Vec<&str> = side[name].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
            if !named.is_empty() {
                out.push_str(&format!("  {word}: {}\n", escape::line(&named.join(", "))));
            }
        }
    }
    out
}

/// One case: what to ask, as `/bailiwick/v1/policy/explain` takes it, and what is expected.
struct Case {
    name: String,
    ask: Map<String, Value>,
    decision: String,
    /// Any rule when it is left out.
    rule: Option<String>,
}

pub async fn test(client: &Client, file: &Path, policy: Option<&Path>, terminal: Terminal) -> Outcome {
    let draft = policy.map(read).transpose()?;
    let cases = cases(file)?;
    let mut results = Vec::with_capacity(cases.len());
    let mut failed = Vec::new();
    for case in &cases {
        let mut ask = case.ask.clone();
        ask.extend(draft.as_ref().map(|text| ("text".to_owned(), json!(text))));
        let explanation = client.post(&format!("{BASE}/explain"), &Value::Object(ask)).await?;
        let verdict = &explanation["verdict"];
        let (decision, rule) = (text(verdict, "decision"), text(verdict, "rule"));
        let fits = decision == case.decision && case.rule.as_deref().is_none_or(|wanted| wanted == rule);
        if !fits {
            let wanted = case.rule.as_ref().map(|rule| format!(" by {rule}")).unwrap_or_default();
            failed.push(format!("{}: expected {}{wanted}, got {decision} by {rule}", case.name, case.decision));
        }
        results.push(json!({"name": case.name, "passed": fits, "verdict": verdict}));
    }
    let count = cases.len();
    terminal.result(&json!({"passed": failed.is_empty(), "cases": results}), || match failed.len() {
        0 => format!("{count} cases are decided as expected\n"),
        _ => String::new(),
    });
    if failed.is_empty() {
        return Ok(());
    }
    let told: Vec<String> = failed.iter().map(|line| escape::line(line)).collect();
    Err(mismatch(format!("{} of {count} cases are decided otherwise:\n{}", failed.len(), told.join("\n"))))
}

/// `[[case]]` tables with `name`, `expect`, perhaps `rule`, and the fields of a question.
fn cases(file: &Path) -> Outcome<Vec<Case>> {
    let place = file.display();
    let bytes = files::read_bounded(file, MAX_FILE).map_err(|error| Failure::usage(format!("{place}: {error}")))?;
    let content = String::from_utf8(bytes).map_err(|_| Failure::usage(format!("{place}: this is not UTF-8 text")))?;
    let is_json = file.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("json"));
    let whole: Value = match is_json {
        true => serde_json::from_str(&content).map_err(|error| Failure::usage(format!("{place}: {error}")))?,
        false => toml::from_str(&content).map_err(|error| Failure::usage(format!("{place}: {}", error.message())))?,
    };
    let Some(listed) = whole["case"].as_array().filter(|cases| (1..=MAX_CASES).contains(&cases.len())) else {
        return Err(Failure::usage(format!("{place}: write 1 to {MAX_CASES} tables `[[case]]`")));
    };
    listed.iter().enumerate().map(|(index, case)| one(case, index)).collect::<Result<_, _>>().map_err(|problem| {
        Failure::usage(format!("{place}: {problem}"))
            .help("a case has `name`, `expect` (allow, ask or deny), perhaps `rule`, and `call`, `model` or `action`")
    })
}

fn one(case: &Value, index: usize) -> Result<Case, String> {
    let mut ask = case.as_object().cloned().ok_or_else(|| format!("case {} is no table", index + 1))?;
    let mut take = |name: &str| ask.remove(name).and_then(|value| value.as_str().map(str::to_owned));
    let name = take("name").unwrap_or_else(|| format!("case {}", index + 1));
    let decision = take("expect").filter(|word| ["allow", "ask", "deny"].contains(&word.as_str()));
    let rule = take("rule");
    let decision = decision.ok_or_else(|| format!("`{name}` expects neither `allow`, `ask` nor `deny`"))?;
    Ok(Case { name, ask, decision, rule })
}
