//! A running server, asked as a client asks; and a data folder, looked at from outside.

use super::{Finding, machine};
use crate::{cli::Target, client::Client, files, serve::Announcement, variables};
use std::path::Path;

pub async fn examine(target: &Target) -> Vec<Finding> {
    let mut findings = Vec::new();
    if let Some(data) = &target.data {
        findings.extend(folder(data));
    }
    let named = target.data.is_some() || target.server.is_some() || variables::read("BAILIWICK_SERVER").is_some();
    if !named {
        findings.push(
            Finding::good("server", "not looked at: none was named")
                .remedy("name one with --data DIR, or --server URL and --key KEY"),
        );
        return findings;
    }
    match ask(target).await {
        Ok(found) => findings.extend(found),
        Err(failure) => {
            let mut finding = Finding::missing("server", failure.message);
            finding.remedies = failure.help;
            findings.push(finding);
        }
    }
    findings
}

async fn ask(target: &Target) -> crate::failure::Outcome<Vec<Finding>> {
    let client = Client::of(target)?;
    let mut findings = Vec::new();
    let ready = client.status("/readyz").await?;
    findings.push(if ready == 200 {
        Finding::good("server", "it answers and is ready")
    } else {
        Finding::bad("server", format!("it answers, but is not ready (status {ready})")).remedy("look at its log")
    });
    let models = client.list("/v1/models", 1000).await?;
    if models.is_empty() {
        findings.push(
            Finding::missing("server models", "none: sessions will fail with `model_not_found`")
                .remedy("add [models.NAME] to its configuration (docs/configuration.md) and start it again"),
        );
    }
    for model in models {
        let scripted = if model["bailiwick"]["scripted"] == true { "; its answers are scripted" } else { "" };
        let id = model["id"].as_str().unwrap_or("?");
        findings.push(Finding::good("server models", format!("`{id}`{scripted}")));
    }
    Ok(findings)
}

fn folder(data: &Path) -> Vec<Finding> {
    let shown = data.display();
    let Ok(mode) = files::mode(data) else {
        return vec![Finding::missing(
            "data folder",
            format!("{shown} is not there yet; `bailiwick serve --data {shown}` makes it"),
        )];
    };
    let mut findings = vec![if mode & 0o077 == 0 {
        Finding::good("data folder", format!("{shown}, for its owner only"))
    } else {
        Finding::bad("data folder", format!("{shown} may be entered by others (mode {mode:04o})"))
            .remedy(format!("chmod 700 {shown}"))
    }];
    findings.extend(machine::disk(data));
    if let Some(found) = Announcement::read(data) {
        findings.extend(outlives(found.pid));
    }
    findings
}

/// Whether sandboxes outlive the server when somebody kills it: systemd ends a service's whole group, unless told not to.
fn outlives(pid: u32) -> Option<Finding> {
    let groups =
        String::from_utf8(files::read_bounded(Path::new(&format!("/proc/{pid}/cgroup")), 64 * 1024).ok()?).ok()?;
    let unit = groups.lines().find_map(|line| line.rsplit('/').find(|part| part.ends_with(".service")))?;
    // A server that somebody started in a terminal is in the terminal's own service or scope.
    if unit.starts_with("user@") {
        return None;
    }
    let mode = ["/etc/systemd/system", "/run/systemd/system", "/lib/systemd/system", "/usr/lib/systemd/system"]
        .into_iter()
        .find_map(|folder| files::read_bounded(&Path::new(folder).join(unit), 256 * 1024).ok())
        .and_then(|text| String::from_utf8(text).ok())
        .and_then(|text| text.lines().rev().find_map(|line| line.trim().strip_prefix("KillMode=").map(str::to_owned)));
    Some(match mode.as_deref() {
        Some("process") => Finding::good("service", format!("{unit}: sandboxes outlive a killed server (KillMode=process)")),
        _ => Finding::missing("service", format!("{unit}: systemd ends running sandboxes together with the server"))
            .remedy("set KillMode=process, as deploy/bailiwick.service does; else a running command's outcome is unknown after a crash"),
    })
}
