//! The server under measurement, as a process of its own.

use anyhow::{Context as _, Result, bail};
use std::{
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

pub const KEY: &str = "bench-key-0123456789abcdef";
/// Kernel ticks per second in `/proc/PID/stat`.
const TICKS: f64 = 100.0;

pub struct Server {
    child: Child,
    pub url: String,
    pub first_answer_ms: f64,
}

impl Server {
    /// Starts it on `data` and waits for its first answered request.
    pub async fn start(binary: &Path, data: &Path, model: &str) -> Result<Self> {
        let config = data.join("bench.toml");
        let text = format!(
            "[models.main]\nprovider = \"openai-responses\"\nbase_url = \"{model}\"\nmodel = \"bench\"\ncontext_tokens = 10000000\n"
        );
        std::fs::write(&config, text)?;
        let folder = data.join("data");
        let listen = format!("127.0.0.1:{}", free_port()?);
        let begun = Instant::now();
        let log = std::fs::File::create(data.join("server.log"))?;
        let mut child = Command::new(binary)
            .args(["serve", "--listen", &listen, "--config"])
            .arg(&config)
            .arg("--data")
            .arg(&folder)
            .env("BAILIWICK_BOOTSTRAP_KEY", KEY)
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .with_context(|| format!("cannot start {}: build it with `cargo build --release`", binary.display()))?;
        let url = format!("http://{listen}");
        let http = reqwest::Client::builder().pool_max_idle_per_host(0).build()?;
        let list = format!("{url}/v1/agents/sessions?limit=1");
        loop {
            let asked = http.get(&list).bearer_auth(KEY).header("openai-beta", "agents=v1").send().await;
            if asked.is_ok_and(|answer| answer.status().is_success()) {
                break;
            }
            if let Some(status) = child.try_wait()? {
                let log = std::fs::read_to_string(data.join("server.log")).unwrap_or_default();
                bail!("the server ended at once with {status}: {log}");
            }
            if begun.elapsed() > Duration::from_secs(60) {
                bail!("the server did not answer within a minute");
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        Ok(Self { child, url, first_answer_ms: begun.elapsed().as_secs_f64() * 1e3 })
    }

    /// CPU time so far, user and system.
    pub fn cpu_ms(&self) -> Result<f64> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        let fields: Vec<&str> = stat.rsplit(") ").next().unwrap_or_default().split(' ').collect();
        let tick = |index: usize| fields.get(index).and_then(|text| text.parse::<f64>().ok()).unwrap_or(0.0);
        // Fields 14 and 15 of proc(5), counted behind the command's name.
        Ok((tick(11) + tick(12)) * 1000.0 / TICKS)
    }

    /// Resident memory.
    pub fn memory_kib(&self) -> Result<f64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
        Ok(line.trim().trim_end_matches(" kB").trim().parse()?)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Sandboxes are told to end by an orderly stop.
        let pid = self.child.id().to_string();
        let _ = Command::new("kill").args(["-TERM", &pid]).status();
        let until = Instant::now() + Duration::from_secs(5);
        while Instant::now() < until {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn free_port() -> Result<u16> {
    Ok(std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}
