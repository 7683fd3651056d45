//! The files that a demo's server starts with.

use super::proof::Verifier;
use crate::{
    cli::Demo,
    failure::{Doing as _, Outcome},
    files,
    terminal::escape,
    variables,
};
use std::path::{Path, PathBuf};

/// The published name of the demo's model.
pub(super) const MODEL: &str = "main";
const MODEL_KEY: &str = "BAILIWICK_DEMO_MODEL_KEY";
/// The data folder, below the demo's own.
pub(super) const DATA: &str = "data";

/// The demo's own prices, for a million tokens: no provider is asked.
fn prices() -> toml::Table {
    let price = |price: &str| toml::Value::String(price.to_owned());
    toml::Table::from_iter([
        ("version".to_owned(), toml::Value::Integer(1)),
        ("input".to_owned(), price("2.50")),
        ("cached_input".to_owned(), price("0.25")),
        ("output".to_owned(), price("10.00")),
    ])
}

pub(super) struct Stage {
    pub folder: PathBuf,
    pub verifier: Verifier,
    pub data: PathBuf,
    pub config: PathBuf,
    pub scripted: bool,
    model: String,
}

impl Stage {
    /// `scenario` is what the scripted model says, where there is no other; `cleared` are the groups of the company whose
    /// data a model of one's own may see.
    pub fn prepare(
        folder: &Path,
        options: &Demo,
        verifier: Verifier,
        scenario: &str,
        cleared: &[&str],
    ) -> Outcome<Self> {
        let (data, config) = (folder.join(DATA), folder.join("bailiwick.toml"));
        let scripted = options.model_url.is_none();
        let mut model = toml::Table::new();
        let mut set = |key: &str, value: &str| model.insert(key.to_owned(), toml::Value::String(value.to_owned()));
        match (&options.model_url, &options.model) {
            (Some(url), Some(name)) => {
                set("provider", "openai-chat");
                set("base_url", url);
                set("model", name);
                if variables::read(MODEL_KEY).is_some() {
                    set("api_key_env", MODEL_KEY);
                }
                if !cleared.is_empty() {
                    let groups = cleared.iter().map(|group| toml::Value::String((*group).to_owned())).collect();
                    model.insert("clearance".to_owned(), toml::Value::Array(groups));
                }
            }
            _ => {
                set("provider", "rehearsal");
                set("scenario", "scenario.toml");
                // What it is shown goes nowhere.
                set("residency", "inside");
                files::write_whole(&folder.join("scenario.toml"), scenario.as_bytes(), 0o600)
                    .doing(|| "write the scenario".to_owned())?;
            }
        }
        model.insert("prices".to_owned(), toml::Value::Table(prices()));
        if scripted {
            // The longest answer of the scenario is shorter; what is reserved for a call is no more than it needs.
            model.insert("max_output_tokens".to_owned(), toml::Value::Integer(8000));
        }
        let models = toml::Table::from_iter([(MODEL.to_owned(), toml::Value::Table(model))]);
        let whole = toml::Table::from_iter([("models".to_owned(), toml::Value::Table(models))]);
        files::write_whole(&config, whole.to_string().as_bytes(), 0o600)
            .doing(|| "write the configuration".to_owned())?;
        let model = options.model.clone().unwrap_or_default();
        Ok(Self { folder: folder.to_owned(), verifier, data, config, scripted, model })
    }

    pub fn model_in_words(&self) -> String {
        if self.scripted {
            "scripted. What it says and calls comes from a scenario file; everything that it drives is real".to_owned()
        } else {
            format!("`{}`, real", escape::line(&self.model))
        }
    }
}
