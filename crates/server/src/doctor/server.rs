//! A running server, asked as a client asks; and a data folder, looked at from outside.

use super::{Finding, machine};
use crate::{
    cli::Target,
    client::Client,
    files,
    serve::{Announcement, STREAM_BEHIND, STREAM_FAILURES},
    variables,
};
use serde_json::Value;
use std::{collections::BTreeMap, path::Path};

/// Records that a stream which keeps up may have before it.
const BUSY: u64 = 5000;

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
    findings.extend(streams(&client.text("/metrics").await?));
    if target.data.is_some() {
        // Only the operator is told.
        findings.push(encryption_key(&client.get("/bailiwick/v1/encryption-keys").await?));
    }
    Ok(findings)
}

/// How far the streams of receipts are, as the page of numbers says.
fn streams(page: &str) -> Vec<Finding> {
    let values = |name: &str| -> BTreeMap<String, u64> {
        let samples =
            page.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix("{to=\"")?.split_once("\"} "));
        samples.filter_map(|(to, value)| Some((to.to_owned(), value.parse().ok()?))).collect()
    };
    let failures = values(STREAM_FAILURES);
    let finding = |(to, behind): (String, u64)| {
        let failed = failures.get(&to).copied().unwrap_or_default();
        match (behind, failed) {
            (_, 1..) => Finding::bad(
                "receipt stream",
                format!("to the {to}: {failed} attempts failed one after the other; {behind} records wait"),
            )
            .remedy("look at the server's log for the reason; what waits is passed on once it works again"),
            (0, _) => Finding::good("receipt stream", format!("to the {to}: everything was passed on")),
            (..BUSY, _) => Finding::good("receipt stream", format!("to the {to}: {behind} records are on the way")),
            _ => Finding::missing("receipt stream", format!("to the {to}: {behind} records wait"))
                .remedy("look again in a minute: where the number grows, whoever takes them is too slow"),
        }
    };
    values(STREAM_BEHIND).into_iter().map(finding).collect()
}

/// Whether everything lies under one key-encryption key.
fn encryption_key(keys: &Value) -> Finding {
    let what = "encryption key";
    let current = &keys["current"];
    match (keys["rotation"]["status"].as_str(), keys["older"].as_u64()) {
        (Some("running"), _) => {
            let done = &keys["rotation"]["rewrapped"];
            Finding::good(what, format!("number {current}; a rotation runs, {done} keys are wrapped anew"))
        }
        (_, Some(0)) => Finding::good(what, format!("number {current}; nothing lies under an older one")),
        _ => Finding::missing(what, format!("number {current}, and an older one is still there"))
            .remedy("finish the rotation: bailiwick key rotate --data DIR"),
    }
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

#[cfg(test)]
mod tests {
    use super::{super::Level, *};
    use serde_json::json;

    #[test]
    fn a_stream_that_keeps_up_one_that_lags_and_one_that_fails_are_told_apart() {
        let page = |behind: u64, failures: u64| {
            format!(
                "# HELP {STREAM_BEHIND} x\n# TYPE {STREAM_BEHIND} gauge\n{STREAM_BEHIND}{{to=\"webhook\"}} {behind}\n\
                 {STREAM_FAILURES}{{to=\"webhook\"}} {failures}\n"
            )
        };
        assert!(streams("bailiwick_store_commits_total 1\n").is_empty(), "none is configured");
        for (behind, failures, level, words) in [
            (0, 0, Level::Good, "everything was passed on"),
            (17, 0, Level::Good, "17 records are on the way"),
            (5000, 0, Level::Missing, "5000 records wait"),
            (17, 3, Level::Bad, "3 attempts failed"),
            (0, 1, Level::Bad, "1 attempts failed"),
        ] {
            let [found] = streams(&page(behind, failures)).try_into().unwrap();
            assert!(found.level == level && found.found.contains(words), "{found:?}");
            assert!(found.found.contains("webhook") && found.remedies.is_empty() == (level == Level::Good));
        }
    }

    #[test]
    fn a_rotation_that_was_not_finished_is_told() {
        let level = |keys: Value| encryption_key(&keys).level;
        assert_eq!(level(json!({"current": 1, "older": 0, "rotation": null})), Level::Good);
        assert_eq!(level(json!({"current": 2, "older": 1, "rotation": null})), Level::Missing);
        assert_eq!(
            level(json!({"current": 2, "older": 1, "rotation": {"status": "running", "rewrapped": 7}})),
            Level::Good
        );
        assert_eq!(level(json!({"current": 2, "older": 1, "rotation": {"status": "failed"}})), Level::Missing);
    }
}
