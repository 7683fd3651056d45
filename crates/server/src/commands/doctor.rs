//! `bailiwick doctor`: says what this machine and the server on it can do, and what to do when not.

use crate::{
    cli::Doctor,
    doctor::{Finding, Level, configuration, machine, server},
    failure::{Failure, Outcome},
    terminal::{Terminal, escape},
};
use serde_json::json;

pub async fn examine(options: &Doctor, terminal: Terminal) -> Outcome {
    let mut findings = machine::examine().await;
    findings.extend(configuration::examine(options.config.as_deref()));
    findings.extend(server::examine(&options.target).await);
    let bad = findings.iter().filter(|finding| finding.level == Level::Bad).count();
    let missing = findings.iter().filter(|finding| finding.level == Level::Missing).count();
    terminal.result(&json!({"good": bad == 0, "findings": findings}), || {
        let mut out: String = findings.iter().map(render).collect();
        out.push_str(&match (bad, missing) {
            (0, 0) => "\nEverything is there.\n".to_owned(),
            (0, some) => {
                format!("\nWorks; {some} finding{} above could be better.\n", if some == 1 { "" } else { "s" })
            }
            (some, _) => format!("\n{some} finding{} above must be mended.\n", if some == 1 { "" } else { "s" }),
        });
        out
    });
    match bad {
        0 => Ok(()),
        _ => Err(Failure::failed("something that is needed is missing")),
    }
}

fn render(finding: &Finding) -> String {
    let mark = match finding.level {
        Level::Good => "✓ good   ",
        Level::Missing => "! missing",
        Level::Bad => "✗ bad    ",
    };
    let mut text = format!("{mark} {:<14} {}\n", finding.what, escape::line(&finding.found));
    for remedy in &finding.remedies {
        text.push_str(&format!("{:25}do: {}\n", "", escape::line(remedy)));
    }
    text
}
