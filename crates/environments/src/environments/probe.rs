//! Finds out what this machine can do by doing it: a sandbox is launched, a command runs in it, and it is wiped.

use super::Environments;
use crate::{
    client::ExecutorClient,
    connection::HostedConnector,
    hands::{Command, CommandRequest, Hands},
    sandbox::{LaunchError, Limits},
};
use bailiwick_types::Millis;
use std::{collections::BTreeMap, future::pending, sync::Arc};

const PROBE_TIMEOUT: Millis = Millis::from_secs(20);

/// What `doctor` says of sandboxes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Probe {
    /// The kind of wall, or why there is none and what to do.
    pub isolation: Result<String, LaunchError>,
    /// Limits that cannot be enforced here, each with the reason.
    pub missing_limits: Vec<String>,
    /// `python3` as the sandbox sees it, such as `Python 3.11.2`.
    pub python: Option<String>,
    /// Where a sandbox would not outlive the server, and what to do.
    pub outlives_server: Result<(), String>,
}

impl Environments {
    /// Takes about as long as starting a process.
    pub async fn probe(&self) -> Probe {
        let random = self.0.options.random.id_bytes();
        let name = format!("probe-{}", random.map(|byte| format!("{byte:02x}")).concat());
        let mut probe = Probe {
            isolation: Err(LaunchError::new("probe", "not tried")),
            missing_limits: Vec::new(),
            python: None,
            outlives_server: outlives_server(),
        };
        match self.0.sandboxes.launch(&name, &Limits::default()).await {
            Err(error) => probe.isolation = Err(error),
            Ok(state) => {
                probe.missing_limits = state.missing_limits;
                probe.isolation = match self.run_in_probe(&name, state.session).await {
                    Ok(python) => {
                        probe.python = python;
                        Ok(state.isolation)
                    }
                    Err(error) => Err(LaunchError::new("run a command in the sandbox", error)),
                };
            }
        }
        if let Err(error) = self.0.sandboxes.stop(&name).await {
            probe.isolation = Err(LaunchError::new("wipe the sandbox", error));
        }
        probe
    }

    async fn run_in_probe(&self, name: &str, session: String) -> Result<Option<String>, String> {
        let connector = HostedConnector {
            sandboxes: self.0.sandboxes.clone(),
            name: name.to_owned(),
            tasks: Arc::clone(&self.0.options.tasks),
        };
        let client = ExecutorClient::resume(Box::new(connector), session, self.tools()).await;
        let client = client.map_err(|error| error.to_string())?;
        let variables =
            crate::sandbox::ENVIRONMENT.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let hands = Hands::new(client, variables.collect::<BTreeMap<_, _>>());
        let request = CommandRequest {
            id: "probe".to_owned(),
            made_at: self.0.options.clock.now(),
            command: Command::Shell("python3 --version || true".to_owned()),
            cwd: bailiwick_core::environment::WORKSPACE.to_owned(),
            timeout: Some(PROBE_TIMEOUT),
            max_output_bytes: 4 * 1024,
            variables: BTreeMap::new(),
        };
        let report = hands.run(&request, false, |_| (), pending()).await.map_err(|error| error.to_string())?;
        if report.exit_code != Some(0) {
            return Err(format!("it ended with {:?}: {}", report.exit_code, report.output.to_text()));
        }
        Ok(Some(report.output.to_text().trim().to_owned()).filter(|text| text.starts_with("Python ")))
    }
}

/// A service manager that ends the whole control group ends the sandboxes in it.
fn outlives_server() -> Result<(), String> {
    let groups = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let unit = groups.lines().filter_map(|line| line.split('/').find(|part| part.ends_with(".service"))).next();
    if std::process::id() == 1 {
        return Err("the server is the first process of its container: sandboxes end with it".to_owned());
    }
    match unit {
        Some(unit) if !unit.starts_with("user@") => Err(format!(
            "systemd ends the sandboxes with `{unit}` unless the unit says `KillMode=process`, as the shipped one does"
        )),
        _ => Ok(()),
    }
}
