//! Shows a session's events to a person. Everything in them was written by others and is escaped.

use crate::{
    client::Event,
    terminal::{
        Terminal,
        escape::{self, Escaper},
    },
};
use serde_json::Value;
use std::collections::{HashMap, HashSet};

/// Lines of one command's output that are shown while it runs.
const MOST_LINES: usize = 200;
const WIDTH: usize = 110;

/// What was shown so far.
pub struct Screen {
    terminal: Terminal,
    /// Texts and outputs that are being streamed, by item.
    streaming: HashMap<String, Streaming>,
    /// The item whose line is not ended yet.
    open: Option<String>,
    /// Items that were announced: after a lost connection their beginning may come again.
    announced: HashSet<String>,
}

#[derive(Default)]
struct Streaming {
    text: String,
    escaper: Escaper,
    lines: usize,
    /// Partial text comes again after a lost connection; what was shown is not shown twice.
    catching_up: bool,
}

impl Screen {
    pub fn new(terminal: Terminal) -> Self {
        Self { terminal, streaming: HashMap::new(), open: None, announced: HashSet::new() }
    }

    /// A line of our own between the session's.
    pub fn note(&mut self, line: impl AsRef<str>) {
        self.close_line();
        self.terminal.progress(line);
    }

    /// Shows one event. `resumed` says that the connection was lost before it.
    pub fn show(&mut self, event: &Event, resumed: bool) {
        if resumed {
            self.close_line();
            self.streaming.values_mut().for_each(|streaming| streaming.catching_up = true);
        }
        let data = &event.data;
        match event.kind() {
            "agent.session.turn.output_text.delta" => self.stream(data, "  "),
            "agent.output.command_execution_output.delta" => self.stream(data, "    │ "),
            "agent.session.turn.item.added" => self.added(&data["item"]),
            "agent.session.turn.item.done" => self.done(&data["item"]),
            "agent.session.turn.failed" => {
                let error = &data["turn"]["error"];
                let code = error["code"].as_str().unwrap_or("failed");
                let message = error["message"].as_str().unwrap_or_default();
                self.note(format!("✗ turn failed ({}): {}", escape::line(code), escape::lines(message)));
            }
            "agent.session.turn.cancelled" => self.note("✗ turn cancelled"),
            "agent.session.environment.failed" => {
                let error = data["environment"]["error"]["message"].as_str().unwrap_or("it does not say why");
                self.note(format!("✗ environment failed: {}", escape::lines(error)));
            }
            "agent.session.environment.ready" => self.note("● sandbox ready"),
            "agent.session.environment.connected" => self.note("● environment connected"),
            "agent.session.environment.disconnected" => self.note("● environment disconnected"),
            "agent.session.environment.suspended" => self.note("● environment suspended while nobody used it"),
            "error" => {
                let error = data["error"]["message"].as_str().unwrap_or_default();
                self.note(format!("✗ {}", escape::lines(error)));
            }
            _ => {}
        }
    }

    fn stream(&mut self, data: &Value, margin: &str) {
        let (Some(item), Some(delta)) = (data["item_id"].as_str(), data["delta"].as_str()) else { return };
        if self.open.as_deref() != Some(item) {
            self.close_line();
        }
        let streaming = self.streaming.entry(item.to_owned()).or_default();
        let mut fresh = delta;
        if std::mem::take(&mut streaming.catching_up) {
            match delta.strip_prefix(streaming.text.as_str()) {
                Some(rest) => fresh = rest,
                // It begins anew: what was shown did not become final.
                None => *streaming = Streaming::default(),
            }
        }
        streaming.text.push_str(fresh);
        if streaming.lines > MOST_LINES {
            return;
        }
        let mut shown = String::new();
        streaming.escaper.push(fresh, &mut shown);
        let mut part = String::new();
        let mut at_start = self.open.is_none();
        for piece in shown.split_inclusive('\n') {
            if at_start {
                part.push_str(margin);
            }
            part.push_str(piece);
            at_start = piece.ends_with('\n');
            streaming.lines += usize::from(at_start);
        }
        if streaming.lines > MOST_LINES {
            part.push_str(&format!("{margin}… more output is not shown here\n"));
            at_start = true;
        }
        self.open = if at_start { None } else { Some(item.to_owned()) };
        self.terminal.progress_part(&part);
    }

    fn close_line(&mut self) {
        if self.open.take().is_some() {
            self.terminal.progress_part("\n");
        }
    }

    fn added(&mut self, item: &Value) {
        if !self.announced.insert(item["id"].as_str().unwrap_or_default().to_owned()) {
            return;
        }
        match item["type"].as_str() {
            Some("command_execution") => {
                let command = item["command"].as_str().unwrap_or_default();
                self.note(format!("▸ {}", escape::brief(command, WIDTH)));
            }
            Some("function_call" | "mcp_call") => self.note(format!("▸ {}", call(item))),
            _ => {}
        }
    }

    fn done(&mut self, item: &Value) {
        let id = item["id"].as_str().unwrap_or_default();
        let streamed = self.streaming.remove(id);
        self.announced.remove(id);
        if self.open.as_deref() == Some(id) {
            self.close_line();
        }
        match item["type"].as_str() {
            Some("message") if item["role"] == "assistant" => {
                let text = super::text_of(item);
                if streamed.is_none_or(|streamed| streamed.text != text) {
                    self.note(indent(&text, "  "));
                }
            }
            Some("command_execution") => {
                if streamed.is_none()
                    && let Some(output) = item["output"].as_str().filter(|output| !output.is_empty())
                {
                    self.note(indent(&first_lines(output), "    │ "));
                }
                self.note(format!("    {}", ended(item)));
            }
            Some("function_call" | "mcp_call") => {
                let note = effect(item).or_else(|| said(&item["error"]).map(|error| format!("failed: {error}")));
                if let Some(note) = note {
                    self.note(format!("    {}", escape::brief(&note, WIDTH)));
                }
            }
            _ => {}
        }
    }
}

/// A call in one line: its name and its short arguments.
fn call(item: &Value) -> String {
    let own = item["name"].as_str().unwrap_or("?");
    // Tools of a connector go by its name, too.
    let whose = item["server_label"].as_str().filter(|label| !matches!(*label, "environment" | "unknown"));
    let name = whose.map_or_else(|| own.to_owned(), |label| format!("{label}: {own}"));
    let mut parts = Vec::new();
    for (key, value) in item["arguments"].as_object().into_iter().flatten() {
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        parts.push(match text.len() {
            0..=60 => format!("{key}={text}"),
            long => format!("{key}=({long} bytes)"),
        });
    }
    escape::brief(&format!("{name} {}", parts.join(" ")), WIDTH)
}

fn ended(item: &Value) -> String {
    if let Some(note) = effect(item) {
        return escape::brief(&note, WIDTH);
    }
    let took =
        item["duration_ms"].as_u64().map(|ms| format!(", {}.{} s", ms / 1000, ms % 1000 / 100)).unwrap_or_default();
    match (item["exit_code"].as_i64(), item["status"].as_str()) {
        (Some(code), _) => format!("exit code {code}{took}"),
        (None, status) => format!("{}{took}", status.unwrap_or("ended")),
    }
}

/// What is known of an action's effect beyond its status.
fn effect(item: &Value) -> Option<String> {
    let effect = &item["bailiwick"]["effect"];
    let text = |key: &str| effect[key].as_str().unwrap_or_default().to_owned();
    match effect["type"].as_str()? {
        "denied" => Some(format!("denied by {}: {}", text("rule"), text("remedy"))),
        "unknown" => Some(format!("outcome unknown: {}", text("reason"))),
        "held" => Some(format!("held until somebody resolves {}", text("by"))),
        "resolved" => Some(format!("resolved by a person: {}", text("resolution"))),
        other => Some(other.to_owned()),
    }
}

fn said(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        other => Some(other["message"].as_str().map_or_else(|| other.to_string(), str::to_owned)),
    }
}

fn first_lines(text: &str) -> String {
    let mut lines: Vec<&str> = text.lines().take(MOST_LINES + 1).collect();
    if lines.len() > MOST_LINES {
        lines[MOST_LINES] = "… more output is not shown here";
    }
    lines.join("\n")
}

fn indent(text: &str, margin: &str) -> String {
    let lines = escape::lines(text);
    lines.trim_end().lines().map(|line| format!("{margin}{line}")).collect::<Vec<_>>().join("\n")
}
