//! The load generator: the Agents API as a program uses it.

use crate::process::Server;
use anyhow::{Context as _, Result, bail};
use futures_util::{StreamExt as _, stream};
use serde_json::{Value, json};
use std::time::Instant;

/// Requests in flight while idle sessions are made.
const CONCURRENCY: usize = 64;

pub struct Client {
    http: reqwest::Client,
    base: String,
}

impl Client {
    pub fn new(server: &Server) -> Self {
        let mut headers = reqwest::header::HeaderMap::new();
        headers.insert("openai-beta", reqwest::header::HeaderValue::from_static("agents=v1"));
        let bearer = format!("Bearer {}", crate::process::KEY);
        if let Ok(value) = reqwest::header::HeaderValue::from_str(&bearer) {
            headers.insert("authorization", value);
        }
        let http = reqwest::Client::builder().default_headers(headers).build().unwrap_or_default();
        Self { http, base: format!("{}/v1/agents/sessions", server.url) }
    }

    async fn post(&self, path: &str, body: &Value) -> Result<Value> {
        self.call(&format!("{}{path}", self.base), body).await
    }

    /// Posts JSON and reads JSON.
    pub async fn call(&self, url: &str, body: &Value) -> Result<Value> {
        let mut answer = self.http.post(url).json(body).send().await?;
        // The server bounds the requests of one key, and says when to come again.
        while answer.status() == reqwest::StatusCode::TOO_MANY_REQUESTS {
            tokio::time::sleep(std::time::Duration::from_millis(200)).await;
            answer = self.http.post(url).json(body).send().await?;
        }
        let status = answer.status();
        let text = answer.text().await?;
        if !status.is_success() {
            bail!("{url} answered {status}: {text}");
        }
        serde_json::from_str(&text).or(Ok(Value::Null))
    }

    /// A session with a sandbox of its own and nothing to do yet.
    pub async fn session(&self, model: &str) -> Result<String> {
        let limits = json!({"steps_per_turn": 10_000});
        let agent = json!({"model": model, "bailiwick": {"limits": limits}});
        let body = json!({"agent": agent, "environment": {"type": "openai_hosted"}});
        let made = self.post("", &body).await?;
        Ok(made["id"].as_str().context("a session has an id")?.to_owned())
    }

    /// Begins a session whose first turn needs one model call, and waits for its end; returns microseconds.
    pub async fn new_session(&self, agent: &Value) -> Result<f64> {
        let body = json!({"agent": agent, "environment": {"type": "none"}, "input": "steps 0", "stream": true});
        let begun = Instant::now();
        let answer = self.http.post(&self.base).json(&body).send().await?.error_for_status()?;
        let mut lines = answer.bytes_stream();
        let mut all = String::new();
        while let Some(chunk) = lines.next().await {
            all.push_str(&String::from_utf8_lossy(&chunk?));
            if all.contains("agent.session.turn.failed") {
                bail!("a turn failed: {all}");
            }
            if all.contains("\"agent.session.idle\"") {
                return Ok(begun.elapsed().as_secs_f64() * 1e6);
            }
        }
        bail!("the event stream ended before the turn did")
    }

    /// Orders a turn of `steps` steps and waits for its end; returns microseconds.
    pub async fn turn(&self, session: &str, steps: usize) -> Result<f64> {
        let events = format!("{}/{session}/events", self.base);
        let answer = self.http.get(&events).header("accept", "text/event-stream").send().await?.error_for_status()?;
        let mut lines = answer.bytes_stream();
        let order = json!({"events": [{
            "type": "agent.session.input.message",
            "input": [{"role": "user", "content": [{"type": "input_text", "text": format!("steps {steps}")}]}],
        }]});
        let begun = Instant::now();
        self.post(&format!("/{session}/events"), &order).await?;
        let mut tail = String::new();
        while let Some(chunk) = lines.next().await {
            tail.push_str(&String::from_utf8_lossy(&chunk?));
            if tail.contains("agent.session.turn.failed") {
                bail!("a turn failed: {tail}");
            }
            if tail.contains("\"agent.session.idle\"") {
                return Ok(begun.elapsed().as_secs_f64() * 1e6);
            }
            let keep = tail.rfind("\n\n").map_or(0, |at| at + 2);
            tail.drain(..keep);
        }
        bail!("the event stream ended before the turn did")
    }

    /// Makes sessions that nobody has asked anything of, from the `from`-th to the `to`-th.
    pub async fn idle_sessions(&self, from: u64, to: u64) -> Result<()> {
        let body = json!({
            "agent": {"model": "main", "instructions": "Be brief."},
            "environment": {"type": "openai_hosted"},
        });
        let mut made = stream::iter(from..to).map(|_| self.post("", &body)).buffer_unordered(CONCURRENCY);
        while let Some(one) = made.next().await {
            one?;
        }
        Ok(())
    }
}
