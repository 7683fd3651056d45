//! `bailiwick model test`: asks a model through a server, so that every call passes the gate and has a receipt.

use super::text;
use crate::{
    child::Server,
    cli::Model,
    client::{Client, encode},
    failure::{Doing as _, Exit, Failure, Outcome},
    files,
    runtime::within,
    scratch::Scratch,
    terminal::{Table, Terminal, escape},
    watch::{Ending, Watch},
};
use bailiwick_core::{Content, Entry, EntryBody, Failure as CallFailure, FailureCode, ModelAnswer, ModelRequest, Stop};
use bailiwick_models::{Heard, ProbeReport, Verdict, probe};
use bailiwick_ports::ModelCard;
use bailiwick_types::{ItemId, TokenUsage};
use serde_json::{Value, json};
use std::{path::Path, sync::Arc, time::Duration};

/// One call may take this long, thinking included.
const LONGEST: Duration = Duration::from_secs(600);
const MAX_CONFIG: u64 = 1024 * 1024;

pub async fn perform(command: Model, terminal: Terminal) -> Outcome {
    let Model::Test { name, config, target, .. } = command;
    let report = match config {
        None => ask(&Client::of(&target)?, &name, terminal).await?,
        Some(config) => ask_alone(&config, &name, terminal).await?,
    };
    let document = serde_json::to_value(&report).doing(|| "write the report".to_owned())?;
    terminal.result(&document, || render(&report));
    if report.findings.iter().all(|finding| finding.verdict == Verdict::Failed) && !report.scripted {
        return Err(Failure::failed("the model gave no answer to any call").help("the notes above say why"));
    }
    Ok(())
}

/// With a server of its own, on a folder that is thrown away.
async fn ask_alone(config: &Path, name: &str, terminal: Terminal) -> Outcome<ProbeReport> {
    files::read_bounded(config, MAX_CONFIG)
        .map_err(|error| Failure::usage(format!("{}: {error}", config.display())))?;
    let config = config.canonicalize().doing(|| format!("find {}", config.display()))?;
    let scratch = Scratch::new("bailiwick-model-test").doing(|| "make a folder".to_owned())?;
    let server = Server::start(&scratch.path().join("data"), &config).await?;
    let report = tokio::select! {
        report = async { ask(&server.client()?, name, terminal).await } => report,
        _ = tokio::signal::ctrl_c() => Err(Failure::new(Exit::Interrupted, "interrupted")),
    };
    server.stop().await;
    report
}

async fn ask(client: &Client, name: &str, terminal: Terminal) -> Outcome<ProbeReport> {
    let shown = client.get(&format!("/v1/models/{}", encode(name))).await?;
    let extras = &shown["bailiwick"];
    let card = ModelCard {
        name: name.to_owned(),
        provider: text(&shown, "owned_by").to_owned(),
        model: text(extras, "model").to_owned(),
        context_tokens: extras["context_tokens"].as_u64().unwrap_or_default(),
        max_output_tokens: extras["max_output_tokens"].as_u64(),
        scripted: extras["scripted"] == true,
        prices: None,
        residency: bailiwick_ports::Residency::Outside,
        clearance: Vec::new(),
    };
    if !card.scripted {
        terminal.progress(format!("● calling `{}` five times", escape::line(name)));
    }
    Ok(probe(&card, |request| call(client, request)).await)
}

/// One request of the probe, as a session of its own that is deleted afterwards.
async fn call(client: &Client, request: ModelRequest) -> Result<Heard, CallFailure> {
    let failed = |failure: Failure| CallFailure::new(FailureCode::Internal, failure.message);
    let (watch, id) = Watch::begin(client, &session(&request)).await.map_err(failed)?;
    let heard = within(LONGEST, listen(watch)).await;
    let _ = client.delete(&format!("/v1/agents/sessions/{}", encode(&id))).await;
    heard.unwrap_or_else(|| Err(failed(Failure::failed("it took too long"))))
}

fn session(request: &ModelRequest) -> Value {
    let parts = request.input.iter().filter_map(|entry| match &entry.body {
        EntryBody::User { content } => Some(content),
        _ => None,
    });
    let content = parts.flatten().map(|part| match part {
        Content::Text { text } => json!({"type": "input_text", "text": text}),
        Content::Image { url } => json!({"type": "input_image", "image_url": url}),
    });
    let tools = request.tools.iter().map(|tool| {
        json!({"type": "function", "name": tool.name, "description": tool.description, "parameters": tool.parameters})
    });
    let mut agent = json!({
        "model": request.model,
        "instructions": request.instructions,
        "tools": tools.collect::<Vec<_>>(),
        // One answer is all that is wanted, whatever it calls.
        "bailiwick": {"limits": {"steps_per_turn": 1}},
    });
    if let Some(schema) = &request.text.schema {
        agent["text"] = json!({"format": {"type": "json_schema", "schema": schema}});
    }
    let message = json!({"role": "user", "content": content.collect::<Vec<_>>()});
    json!({"environment": {"type": "none"}, "agent": agent, "input": [message], "stream": true})
}

/// Takes in the events of one answer.
async fn listen(mut watch: Watch<'_>) -> Result<Heard, CallFailure> {
    let failed = |failure: Failure| CallFailure::new(FailureCode::Internal, failure.message);
    let (mut ending, mut text_deltas, mut entries) = (Ending::default(), 0, Vec::new());
    loop {
        let Some(event) = watch.next().await.map_err(failed)? else { continue };
        match event.kind() {
            "agent.session.turn.output_text.delta" => text_deltas += 1,
            "agent.session.turn.item.added" if event.data["item"]["type"] == "function_call" => {
                entries.extend(entry(&event.data["item"]));
            }
            "agent.session.turn.item.done" if event.data["item"]["type"] == "message" => {
                entries.extend(entry(&event.data["item"]));
            }
            _ => {}
        }
        if ending.take_in(&event) {
            break;
        }
    }
    let waits = ending.session["status"] == "requires_action";
    if let Some(failure) = ending.failure().filter(|_| !waits && entries.is_empty()) {
        return Err(failed(failure));
    }
    let usage = usage(&ending.session["usage"]);
    let stop = Stop::Completed;
    let answer =
        ModelAnswer { entries, usage, stop, provider_model: String::new(), response_id: None, scripted: false };
    Ok(Heard { answer, text_deltas })
}

fn entry(item: &Value) -> Option<Arc<Entry>> {
    let body = match text(item, "type") {
        "message" if item["role"] == "assistant" => {
            EntryBody::Assistant { text: crate::watch::text_of(item), phase: None }
        }
        "function_call" => EntryBody::ToolCall {
            call_id: text(item, "call_id").to_owned(),
            name: text(item, "name").to_owned(),
            arguments: item["arguments"].to_string(),
        },
        _ => return None,
    };
    let id = text(item, "id").parse().unwrap_or(ItemId::from_u128(0));
    Some(Arc::new(Entry { id, body, native: None }))
}

fn usage(usage: &Value) -> TokenUsage {
    let read = |value: &Value| value.as_u64().unwrap_or_default();
    TokenUsage {
        input: read(&usage["input_tokens"]),
        cached_input: read(&usage["input_tokens_details"]["cached_tokens"]),
        output: read(&usage["output_tokens"]),
        reasoning_output: read(&usage["output_tokens_details"]["reasoning_tokens"]),
    }
}

fn render(report: &ProbeReport) -> String {
    let model = escape::line(&report.model);
    let mut out = format!("`{}` is {model} through {}\n", escape::line(&report.name), escape::line(&report.provider));
    if report.scripted {
        out.push_str("It is scripted: its answers come from a scenario file, so there is nothing to find out.\n");
        return out;
    }
    out.push_str(&format!("context: {} tokens, as configured\n\n", report.context_tokens));
    let mut table = Table::new(&["CAN IT", "ANSWER", "WHAT WAS SEEN"]).widest(90);
    for finding in &report.findings {
        let verdict = match finding.verdict {
            Verdict::Yes => "yes",
            Verdict::No => "no",
            Verdict::Failed => "failed",
        };
        table.row([finding.feature.to_string().as_str(), verdict, &finding.note]);
    }
    out.push_str(&table.render());
    let usage = report.usage;
    out.push_str(&format!("\ncost: {} calls, {} tokens in, {} out\n", report.calls, usage.input, usage.output));
    out
}
