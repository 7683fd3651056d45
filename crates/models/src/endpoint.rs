//! Where one published model is served, and how its failures are put into words.

use crate::{
    options::{ModelOptions, OptionsError, Target},
    trouble::{Again, Trouble},
};
use bailiwick_core::{Failure, FailureCode};
use bailiwick_types::{Millis, Secret};
use std::sync::Arc;

/// The most characters of a provider's own words that are shown.
const MAX_SAID: usize = 400;

/// One model behind HTTP.
pub(crate) struct Endpoint {
    /// The published name.
    pub(crate) name: String,
    pub(crate) base_url: String,
    /// The provider's name for the model.
    pub(crate) model: String,
    /// `provider|base_url|model`: what native items are kept for.
    pub(crate) origin: Arc<str>,
    /// OpenAI's own servers, which know parameters that others refuse.
    pub(crate) is_openai: bool,
    pub(crate) options: ModelOptions,
}

impl Endpoint {
    pub(crate) fn new(name: &str, options: &ModelOptions) -> Result<Self, OptionsError> {
        let Target { base_url, model } = options.target(name)?;
        let host =
            reqwest::Url::parse(&base_url).ok().and_then(|url| url.host_str().map(str::to_owned)).unwrap_or_default();
        let is_openai = ["openai.com", "openai.azure.com"]
            .iter()
            .any(|domain| host.strip_suffix(domain).is_some_and(|rest| rest.is_empty() || rest.ends_with('.')));
        let origin = format!("{}|{base_url}|{model}", options.provider.name()).into();
        Ok(Self { name: name.to_owned(), base_url, model, origin, is_openai, options: options.clone() })
    }

    pub(crate) fn key(&self) -> Option<&Secret> {
        self.options.api_key.as_ref()
    }

    /// Says in plain words what went wrong after `tries` attempts, and what to do. `key` is what it was tried with, when
    /// that is not the endpoint's own.
    pub(crate) fn failure(&self, key: Option<&Secret>, trouble: &Trouble, tries: u32) -> Failure {
        let key = key.or(self.key());
        let mut text = format!("model `{}`: {}", self.name, self.happened(key, trouble));
        if tries > 1 {
            text += &format!(" (tried {tries} times)");
        }
        if let Some(said) = trouble.said.as_deref().map(|said| cleaned(key, said)).filter(|said| !said.is_empty())
            && trouble.code != FailureCode::AuthenticationFailed
        {
            text += &format!("; the provider says: {}", said.trim_end_matches('.'));
        }
        text += ". ";
        text += &self.remedy(trouble);
        Failure::new(trouble.code, text)
    }

    fn happened(&self, key: Option<&Secret>, trouble: &Trouble) -> String {
        let detail = trouble.detail.as_deref().map(|detail| cleaned(key, detail));
        let status = trouble.status.map(|status| format!(" ({status})")).unwrap_or_default();
        let seconds = |span: Millis| span.0 as f64 / 1000.0;
        let timeouts = self.options.timeouts;
        match trouble.code {
            FailureCode::ConnectionFailed => {
                let why = detail.unwrap_or_else(|| "the connection failed".to_owned());
                format!("no connection to {}: {why}", self.base_url)
            }
            FailureCode::FirstByteTimeout => {
                format!("the provider did not begin to answer within {} s", seconds(timeouts.first_byte_ms))
            }
            FailureCode::StreamStalled if detail.is_none() => {
                format!("the provider was silent for {} s in the middle of its answer", seconds(timeouts.stall_ms))
            }
            FailureCode::StreamCut => {
                let why = detail.map(|why| format!(": {why}")).unwrap_or_default();
                format!("the answer was cut off in the middle{why}")
            }
            FailureCode::MalformedAnswer => {
                format!("the provider's answer cannot be read: {}", detail.unwrap_or_else(|| "it is empty".to_owned()))
            }
            _ => detail.unwrap_or_else(|| {
                let what = match trouble.code {
                    FailureCode::RateLimited => "the provider's rate limit is reached",
                    FailureCode::Overloaded => "the provider is overloaded",
                    FailureCode::ServerError => "the provider failed",
                    FailureCode::ContentFilter => "the provider's content filter refused",
                    FailureCode::ContextOverflow => "the prompt is longer than the model takes",
                    FailureCode::AuthenticationFailed if key.is_some() => "the provider does not accept the key",
                    FailureCode::AuthenticationFailed => "the provider wants a key, and none is configured",
                    FailureCode::UnknownModel => "the provider knows no such model or address",
                    _ => "the provider refused the request",
                };
                format!("{what}{status}")
            }),
        }
    }

    fn remedy(&self, trouble: &Trouble) -> String {
        let name = &self.name;
        match trouble.code {
            FailureCode::RateLimited if trouble.again == Again::Never => {
                "Raise the account's quota at the provider, or use another model".to_owned()
            }
            FailureCode::RateLimited => {
                "Try again later, run fewer sessions at once, or ask the provider for a higher limit".to_owned()
            }
            FailureCode::Overloaded => "Try again later, or use another model".to_owned(),
            FailureCode::ServerError => "Try again; when it stays, look at the provider's status or logs".to_owned(),
            FailureCode::ConnectionFailed => {
                format!("Check that the model server runs and that `base_url` of [models.{name}] is right")
            }
            FailureCode::FirstByteTimeout => {
                format!("Raise `timeouts.first_byte_ms` of [models.{name}] when the model needs longer")
            }
            FailureCode::StreamStalled => {
                format!("Raise `timeouts` of [models.{name}] when the model needs longer")
            }
            FailureCode::StreamCut => "Try again; when it stays, look at the model server's logs".to_owned(),
            FailureCode::MalformedAnswer => format!(
                "Check that `base_url` of [models.{name}] is an address that speaks `{}`",
                self.options.provider.name()
            ),
            FailureCode::ContentFilter => "Change the input, or use another model".to_owned(),
            FailureCode::ContextOverflow => {
                format!("Lower `context_tokens` of [models.{name}], so that the history is shortened in time")
            }
            FailureCode::AuthenticationFailed => match (&self.options.credential, &self.options.api_key_env) {
                (Some(name), _) => format!("Put a valid key into the credential `{name}` of its vault"),
                (None, Some(variable)) => format!("Put a valid key into `{variable}` and start the server again"),
                (None, None) => format!("Set `api_key_env` of [models.{name}] to the variable that holds the key"),
            },
            FailureCode::UnknownModel => {
                format!("Check `model` (`{}`) and `base_url` ({}) of [models.{name}]", self.model, self.base_url)
            }
            _ => format!("Check `model` and the limits of [models.{name}], and what the agent sends"),
        }
    }
}

/// Foreign words on one line, without the key, cut when long.
fn cleaned(key: Option<&Secret>, said: &str) -> String {
    let mut text = said.to_owned();
    if let Some(key) = key {
        text = text.replace(key.expose(), "[redacted]");
    }
    let mut words = text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty());
    let mut line = words.next().unwrap_or_default().to_owned();
    for word in words {
        line.push(' ');
        line.push_str(word);
    }
    match line.char_indices().nth(MAX_SAID) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}
