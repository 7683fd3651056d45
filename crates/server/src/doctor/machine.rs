//! The machine: found out by making a house and starting a sandbox in it, not by looking for files.

use super::Finding;
use crate::{
    config::Loaded,
    failure::{Doing as _, Outcome},
    files,
    runtime::TokioTasks,
    scratch::Scratch,
    serve::{House, Secrets},
};
use bailiwick_environments::Probe;
use std::{path::Path, sync::Arc};

pub async fn examine() -> Vec<Finding> {
    let probe = match probe().await {
        Ok(probe) => probe,
        Err(failure) => return vec![Finding::bad("store", failure.message)],
    };
    let mut findings = vec![Finding::good("store", "a database was made, written to and read")];
    match &probe.isolation {
        Ok(class) => {
            findings.push(Finding::good("isolation", format!("`{class}`: a sandbox was started, a command ran in it")));
            if probe.missing_limits.is_empty() {
                findings
                    .push(Finding::good("limits", "memory, processes, processor and files are bounded in sandboxes"));
            }
        }
        Err(error) => findings.push(
            Finding::bad("isolation", format!("no sandbox can be started: {}: {}", error.step, error.cause))
                .remedy(error.remedy.as_str())
                .remedy("sessions with `self_hosted` or without an environment work all the same"),
        ),
    }
    for missing in probe.missing_limits {
        // It says by itself what to do.
        findings.push(Finding::missing("limits", missing));
    }
    match &probe.python {
        Some(version) => findings.push(Finding::good("python3", format!("{version}, as sandboxes see it"))),
        None if probe.isolation.is_ok() => findings.push(
            Finding::missing("python3", "sandboxes see none, so scripts in Python do not run")
                .remedy("install it below /usr: apt-get install python3"),
        ),
        None => {}
    }
    findings
}

/// Makes a house in a folder of its own, starts a sandbox as a server would, and wipes both.
pub async fn probe() -> Outcome<Probe> {
    let scratch = Scratch::new("bailiwick-trial").doing(|| "make a folder for a trial".to_owned())?;
    let data = scratch.path().join("data");
    let (house, engine) = House::build(&data, &Loaded::default(), &Secrets::default(), Arc::new(TokioTasks)).await?;
    let probe = house.environments.probe().await;
    drop(engine);
    house.store.close().await;
    Ok(probe)
}

/// Room on the disk of a folder.
pub fn disk(folder: &Path) -> Option<Finding> {
    const TIGHT: u64 = 1 << 30;
    let facts = files::free_bytes(folder)?;
    let shown = format!("{} MiB free for {}", facts >> 20, folder.display());
    Some(if facts < TIGHT {
        Finding::missing("disk", shown).remedy("free some: a full disk stops every session until there is room again")
    } else {
        Finding::good("disk", shown)
    })
}
