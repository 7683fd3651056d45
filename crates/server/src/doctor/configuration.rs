//! The configuration file, read as the server would read it, but without its secrets.

use super::Finding;
use crate::{config::Loaded, runtime::SystemClock, serve::DEFAULT_CHECKPOINTS, variables};
use bailiwick_identity::OsRandom;
use bailiwick_models::{Models, Options};
use bailiwick_ports::ModelCards as _;
use bailiwick_types::Secret;
use std::{path::Path, sync::Arc};

const REMEDY: &str = "every key is described in docs/configuration.md";

pub fn examine(file: Option<&Path>) -> Vec<Finding> {
    let Some(file) = file else { return vec![second_place(None)] };
    let loaded = match Loaded::read(Some(file)) {
        Ok(loaded) => loaded,
        Err(error) => return vec![Finding::bad("configuration", error.to_string()).remedy(REMEDY)],
    };
    let mut findings = vec![Finding::good("configuration", format!("{} can be read", file.display()))];
    findings.push(second_place(loaded.config.audit.checkpoints.as_deref()));
    let mut options = Options { models: loaded.config.models.clone() };
    for (name, model) in &mut options.models {
        let Some(variable) = &model.api_key_env else { continue };
        model.api_key = variables::read(variable).map(Secret::new);
        if model.api_key.is_none() {
            findings.push(
                Finding::missing("models", format!("`{name}`: the environment variable `{variable}` is not set here"))
                    .remedy("set it where the server is started"),
            );
        }
    }
    match Models::new(&options, Arc::new(SystemClock), Arc::new(OsRandom)) {
        Ok(models) => {
            let cards = models.cards();
            if cards.is_empty() {
                findings.push(Finding::missing("models", "none is configured").remedy("add a [models.NAME]"));
            }
            for card in cards {
                let scripted = if card.scripted { "; its answers are scripted" } else { "" };
                let found = format!("`{}` is {} through {}{scripted}", card.name, card.model, card.provider);
                findings.push(Finding::good("models", found).remedy(format!(
                    "try it: bailiwick model test {} --config {}",
                    card.name,
                    file.display()
                )));
            }
        }
        Err(error) => findings.push(Finding::bad("models", loaded.model_error(&error).to_string()).remedy(REMEDY)),
    }
    for (name, executor) in &loaded.config.executors {
        findings.push(match crate::files::read_bounded(&executor.token_file, 16 * 1024) {
            Ok(_) => Finding::good("executors", format!("`{name}` at {}", executor.url)),
            Err(error) => Finding::bad(
                "executors",
                format!("`{name}`: {} cannot be read: {error}", executor.token_file.display()),
            ),
        });
    }
    findings
}

/// Where the receipt log's checkpoints go beside the log.
fn second_place(file: Option<&Path>) -> Finding {
    match file {
        Some(file) => Finding::good("receipts", format!("checkpoints are kept in {} as well", file.display())),
        None => Finding::missing(
            "receipts",
            format!("checkpoints are only in the data folder ({DEFAULT_CHECKPOINTS}), which is no second place: whoever can change the log can change them"),
        )
        .remedy("name a file elsewhere, on a disk that this server's operator cannot change: [audit] checkpoints"),
    }
}
