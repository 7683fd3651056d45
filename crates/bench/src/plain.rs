//! The loop that keeps nothing: it calls the same model server with the same history and forgets everything.

use anyhow::Result;
use serde_json::{Value, json};
use std::time::Instant;

pub struct Loop {
    http: reqwest::Client,
    url: String,
    /// Each entry as the JSON text that it is sent as, so that the loop pays for nothing but sending it.
    history: Vec<String>,
}

impl Loop {
    pub fn new(base_url: &str) -> Self {
        Self { http: reqwest::Client::new(), url: format!("{base_url}/responses"), history: Vec::new() }
    }

    /// Makes a turn of `count` steps, and returns its microseconds.
    pub async fn steps(&mut self, count: usize) -> Result<f64> {
        let text = format!("steps {count}");
        self.push(&json!({"role": "user", "content": [{"type": "input_text", "text": text}]}));
        let begun = Instant::now();
        for _ in 0..=count {
            let input = self.history.join(",");
            let body = format!(r#"{{"model":"bench","stream":true,"input":[{input}]}}"#);
            let request = self.http.post(&self.url).header("content-type", "application/json").body(body);
            let answer = request.send().await?.error_for_status()?.text().await?;
            let done = answer.lines().filter_map(|line| line.strip_prefix("data: ")).filter_map(parse);
            for event in done.filter(|event| event["type"] == "response.output_item.done") {
                let item = event["item"].clone();
                let call = item["call_id"].as_str().map(str::to_owned);
                self.push(&item);
                if let Some(call_id) = call {
                    let output = "(empty)";
                    self.push(&json!({"type": "function_call_output", "call_id": call_id, "output": output}));
                }
            }
        }
        Ok(begun.elapsed().as_secs_f64() * 1e6)
    }
}

impl Loop {
    fn push(&mut self, entry: &Value) {
        self.history.push(entry.to_string());
    }
}

fn parse(data: &str) -> Option<Value> {
    serde_json::from_str(data).ok()
}
