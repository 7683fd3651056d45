//! What the configuration says of the published models: `[models.NAME]`.

use crate::{mark::Told, prices};
use bailiwick_ports::{ModelCard, Prices, Residency};
use bailiwick_types::{Millis, Secret};
use reqwest::Url;
use serde::Deserialize;
use std::{collections::BTreeMap, fmt, path::PathBuf};

/// All published models, by name.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Options {
    #[serde(default)]
    pub models: BTreeMap<String, ModelOptions>,
}

/// One published model.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelOptions {
    pub provider: ProviderKind,
    /// Where the provider listens, up to and with `/v1`. Needed by every provider but `rehearsal`.
    #[serde(default)]
    pub base_url: Option<String>,
    /// The provider's own name for the model. Needed by every provider but `rehearsal`.
    #[serde(default)]
    pub model: Option<String>,
    /// The environment variable that holds the key; whoever reads the configuration puts its value into `api_key`.
    #[serde(default)]
    pub api_key_env: Option<String>,
    #[serde(skip)]
    pub api_key: Option<Secret>,
    /// In place of `api_key_env`: the name of the credential in a vault that holds the key.
    #[serde(default)]
    pub credential: Option<String>,
    /// Tokens of prompt and answer together.
    #[serde(default = "default_context_tokens")]
    pub context_tokens: u64,
    /// The most that one answer may have, where the call itself does not say.
    #[serde(default)]
    pub max_output_tokens: Option<u64>,
    #[serde(default)]
    pub timeouts: Timeouts,
    /// How often one call may be tried again.
    #[serde(default = "default_retries")]
    pub retries: u32,
    /// How many of them may follow an attempt that broke after it was sent, where the model has prices.
    #[serde(default = "default_paid_retries")]
    pub paid_retries: u32,
    /// An HTTP proxy for this model. The system's proxy settings are not used.
    #[serde(default)]
    pub proxy: Option<String>,
    /// Where prompts go, seen from the company's walls: `inside` or `outside`.
    #[serde(default)]
    pub residency: Residency,
    /// Groups whose data this model may see although it is outside.
    #[serde(default)]
    pub clearance: Vec<String>,
    /// Whom the provider is told that it works for.
    #[serde(default)]
    pub mark: Told,
    /// What a million tokens cost.
    #[serde(default, deserialize_with = "prices::read")]
    pub prices: Option<Prices>,
    /// The scenario file of `rehearsal`.
    #[serde(default)]
    pub scenario: Option<PathBuf>,
}

/// How to talk to a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum ProviderKind {
    /// The OpenAI Responses API.
    #[serde(rename = "openai-responses")]
    OpenAiResponses,
    /// OpenAI chat completions, as most other servers speak it.
    #[serde(rename = "openai-chat")]
    OpenAiChat,
    /// A scenario file in place of a model.
    #[serde(rename = "rehearsal")]
    Rehearsal,
}

impl ProviderKind {
    pub const fn name(self) -> &'static str {
        match self {
            Self::OpenAiResponses => "openai-responses",
            Self::OpenAiChat => "openai-chat",
            Self::Rehearsal => "rehearsal",
        }
    }
}

/// How long to wait for a provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Timeouts {
    /// Until a connection stands.
    pub connect_ms: Millis,
    /// From sending the request until the first byte of the answer's body.
    pub first_byte_ms: Millis,
    /// Between two pieces of the answer. Reasoning models can be silent for minutes.
    pub stall_ms: Millis,
    /// For the whole call, with all its retries.
    pub total_ms: Millis,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect_ms: Millis::from_secs(10),
            first_byte_ms: Millis::from_secs(180),
            stall_ms: Millis::from_secs(300),
            total_ms: Millis::from_secs(1800),
        }
    }
}

const fn default_context_tokens() -> u64 {
    128_000
}

const fn default_retries() -> u32 {
    5
}

const fn default_paid_retries() -> u32 {
    1
}

/// The most retries that can be configured.
const MAX_RETRIES: u32 = 20;
/// The longest time-out that can be configured: a day.
const MAX_TIMEOUT: Millis = Millis::from_secs(24 * 3600);
/// The most bytes in the name of a credential.
const MAX_CREDENTIAL: usize = 256;
/// The most characters in a published name.
const MAX_NAME: usize = 64;

/// A value in `[models.NAME]` that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OptionsError {
    pub model: String,
    /// The key below `[models.NAME]`; empty when it is about the name itself.
    pub field: &'static str,
    /// What is wrong and what to write instead.
    pub problem: String,
}

impl fmt::Display for OptionsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[models.{}]", self.model)?;
        if !self.field.is_empty() {
            write!(f, " {}", self.field)?;
        }
        write!(f, ": {}", self.problem)
    }
}

impl std::error::Error for OptionsError {}

/// Where a remote model is, after checking.
pub(crate) struct Target {
    /// Without a slash at its end.
    pub(crate) base_url: String,
    pub(crate) model: String,
}

impl ModelOptions {
    /// A model of this kind with every default.
    pub fn new(provider: ProviderKind) -> Self {
        Self {
            provider,
            base_url: None,
            model: None,
            api_key_env: None,
            api_key: None,
            credential: None,
            context_tokens: default_context_tokens(),
            max_output_tokens: None,
            timeouts: Timeouts::default(),
            retries: default_retries(),
            paid_retries: default_paid_retries(),
            proxy: None,
            residency: Residency::Outside,
            clearance: Vec::new(),
            mark: Told::default(),
            prices: None,
            scenario: None,
        }
    }

    /// Checks what does not depend on the provider.
    pub(crate) fn check(&self, name: &str) -> Result<(), OptionsError> {
        let refuse = |field, problem: String| Err(OptionsError { model: name.to_owned(), field, problem });
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if name.is_empty() || name.len() > MAX_NAME || !name.chars().all(plain) {
            return refuse("", format!("a model's name is 1 to {MAX_NAME} letters, digits, `-`, `_` or `.`"));
        }
        if self.context_tokens == 0 {
            return refuse("context_tokens", "must be above 0".to_owned());
        }
        match self.max_output_tokens {
            Some(0) => return refuse("max_output_tokens", "must be above 0, or left out".to_owned()),
            Some(most) if most > self.context_tokens => {
                return refuse(
                    "max_output_tokens",
                    format!("must not be above `context_tokens` ({})", self.context_tokens),
                );
            }
            _ => {}
        }
        for (field, value) in [("retries", self.retries), ("paid_retries", self.paid_retries)] {
            if value > MAX_RETRIES {
                return refuse(field, format!("must not be above {MAX_RETRIES}"));
            }
        }
        let Timeouts { connect_ms, first_byte_ms, stall_ms, total_ms } = self.timeouts;
        for (field, value) in [
            ("timeouts.connect_ms", connect_ms),
            ("timeouts.first_byte_ms", first_byte_ms),
            ("timeouts.stall_ms", stall_ms),
            ("timeouts.total_ms", total_ms),
        ] {
            if value.0 == 0 || value > MAX_TIMEOUT {
                return refuse(field, format!("must be 1 to {} milliseconds", MAX_TIMEOUT.0));
            }
        }
        Ok(())
    }

    /// Checks what a provider behind HTTP needs.
    pub(crate) fn target(&self, name: &str) -> Result<Target, OptionsError> {
        let refuse = |field, problem: String| Err(OptionsError { model: name.to_owned(), field, problem });
        let kind = self.provider.name();
        if self.scenario.is_some() {
            return refuse("scenario", format!("`{kind}` has no scenario; remove it, or set provider = \"rehearsal\""));
        }
        let Some(base_url) = &self.base_url else {
            return refuse("base_url", format!("`{kind}` needs it: for example \"http://127.0.0.1:8000/v1\""));
        };
        let url = match Url::parse(base_url) {
            Ok(url) if matches!(url.scheme(), "http" | "https") && url.has_host() => url,
            _ => return refuse("base_url", format!("`{}` is not an http or https URL", without_secrets(base_url))),
        };
        if !url.username().is_empty() || url.password().is_some() {
            return refuse("base_url", "must not hold a name or password; use `api_key_env`".to_owned());
        }
        if url.query().is_some() || url.fragment().is_some() {
            return refuse("base_url", "must end with its path, without `?` or `#`".to_owned());
        }
        if let Some(proxy) = &self.proxy
            && !matches!(Url::parse(proxy), Ok(url) if matches!(url.scheme(), "http" | "https") && url.has_host())
        {
            return refuse("proxy", format!("`{}` is not an http or https URL", without_secrets(proxy)));
        }
        let Some(model) = self.model.as_deref().filter(|model| !model.trim().is_empty()) else {
            return refuse("model", format!("`{kind}` needs it: the name that the provider gives the model"));
        };
        if let Some(name) = &self.credential {
            if self.api_key_env.is_some() || self.api_key.is_some() {
                return refuse("credential", "a model has one key: remove `api_key_env` or `credential`".to_owned());
            }
            if name.trim() != name || name.is_empty() || name.len() > MAX_CREDENTIAL {
                let problem = format!(
                    "must be the name of a credential: 1 to {MAX_CREDENTIAL} bytes, not beginning or ending with a space"
                );
                return refuse("credential", problem);
            }
        }
        if let Some(key) = &self.api_key
            && (key.expose().is_empty() || key.expose().bytes().any(|byte| !(0x21..0x7f).contains(&byte)))
        {
            let from = self.api_key_env.as_deref().unwrap_or("the key");
            return refuse(
                "api_key_env",
                format!("`{from}` is empty or holds blanks or line breaks; set it to the bare key"),
            );
        }
        Ok(Target { base_url: base_url.trim_end_matches('/').to_owned(), model: model.to_owned() })
    }

    /// Checks what `rehearsal` needs and gives its scenario file.
    pub(crate) fn scenario_file(&self, name: &str) -> Result<&PathBuf, OptionsError> {
        let refuse =
            |field, problem: &str| Err(OptionsError { model: name.to_owned(), field, problem: problem.to_owned() });
        for (field, given) in [
            ("base_url", self.base_url.is_some()),
            ("api_key_env", self.api_key_env.is_some() || self.api_key.is_some()),
            ("credential", self.credential.is_some()),
            ("proxy", self.proxy.is_some()),
        ] {
            if given {
                return refuse(field, "`rehearsal` calls nobody; remove it");
            }
        }
        match &self.scenario {
            Some(file) => Ok(file),
            None => refuse("scenario", "`rehearsal` needs the path of a scenario file (docs/rehearsal.md)"),
        }
    }

    /// Attempts of one call that may be paid for.
    pub(crate) fn paid_attempts(&self) -> u32 {
        match self.provider {
            ProviderKind::Rehearsal => 1,
            _ => 1 + self.paid_retries.min(self.retries),
        }
    }

    pub(crate) fn card(&self, name: &str) -> ModelCard {
        let scripted = self.provider == ProviderKind::Rehearsal;
        ModelCard {
            name: name.to_owned(),
            provider: self.provider.name().to_owned(),
            model: self.model.clone().unwrap_or_else(|| name.to_owned()),
            context_tokens: self.context_tokens,
            max_output_tokens: self.max_output_tokens,
            scripted,
            prices: self.prices,
            residency: self.residency,
            clearance: self.clearance.clone(),
        }
    }
}

/// A URL as a person wrote it, without what stands before an `@`.
fn without_secrets(url: &str) -> &str {
    url.rsplit_once('@').map_or(url, |(_, rest)| rest)
}
