//! A service: its document under an administrator's configuration, its tools, and calls of them.

use crate::{
    answer,
    configuration::{Configuration, means},
    document::{Document, Operation, Operations, Scheme, operations, schemes, server_url, shown},
    request::request,
    secrets::Secrets,
};
use bailiwick_core::{Effect, Failure, FailureCode, Outcome, ToolDefinition};
use bailiwick_gate::calls::invalid;
use bailiwick_outbound::{Outbound, Reach, Redirects, Request};
use serde_json::Value;
use std::{collections::BTreeMap, future::Future};
use url::Url;

/// With what, for whom and how much a call is made.
#[derive(Debug, Clone)]
pub struct Access<'a> {
    /// Taken out of the vault for this call.
    pub secrets: &'a Secrets,
    /// On whose behalf, as the service is told: `types::Mark`.
    pub who: &'a str,
    /// The action's id, which is the key where the service takes one against doing things twice.
    pub action: &'a str,
}

/// What is called. `arguments` are canonical and fit the tool's schema.
#[derive(Debug, Clone, Copy)]
pub struct Call<'a> {
    pub tool: &'a str,
    pub arguments: &'a Value,
    /// As it was decided: what a lost answer means follows from it.
    pub effect: Effect,
}

/// A service whose document was read. It holds no secret.
#[derive(Debug, Clone)]
pub struct Service {
    configuration: Configuration,
    base: Url,
    schemes: BTreeMap<String, Scheme>,
    operations: Vec<Operation>,
    left_out: Vec<(String, String)>,
}

impl Service {
    /// # Errors
    /// A configuration that is wrong, names an operation that there is not or that cannot be a tool, or a document that
    /// does not say where the service is.
    /// `effects` is what an administrator says of single tools, by their names or as in `operations`.
    pub fn new(
        document: &Document,
        configuration: Configuration,
        effects: &BTreeMap<String, Effect>,
    ) -> Result<Self, Failure> {
        if let Some(problem) = configuration.problem() {
            return Err(invalid(problem));
        }
        let base = base(document, &configuration).map_err(invalid)?;
        let wanted = |id: Option<&str>, key: &str| {
            configuration.operations.is_empty() || configuration.operations.iter().any(|entry| means(entry, id, key))
        };
        let Operations { mut found, mut left_out, known } = operations(document, wanted);
        for entry in &configuration.operations {
            let meant = |(id, key): &&(Option<String>, String)| means(entry, id.as_deref(), key);
            let Some((_, key)) = known.iter().find(meant) else {
                return Err(invalid(format!("the document has no operation `{}`", shown(entry))));
            };
            let is_found = found.iter().any(|one| means(entry, one.id.as_deref(), &one.key));
            if let (false, Some((_, why))) = (is_found, left_out.iter().find(|(other, _)| *other == shown(key))) {
                return Err(invalid(format!("the operation `{}` cannot be used: {why}", shown(entry))));
            }
        }
        for operation in &mut found {
            operation.definition.effect = effect(effects, &configuration, operation);
        }
        found.retain(|one| !configuration.read_only || one.definition.effect == Effect::Read);
        found.retain(|one| match elsewhere(&base, one) {
            None => true,
            Some(problem) => {
                left_out.push((shown(&one.key), problem));
                false
            }
        });
        if found.is_empty() {
            let why = left_out.first().map_or(String::new(), |(key, why)| format!(", for instance {key}: {why}"));
            return Err(invalid(format!("no operation of the document can be used{why}")));
        }
        Ok(Self { configuration, base, schemes: schemes(document), operations: found, left_out })
    }

    /// Its tools, in an order that stays.
    pub fn definitions(&self) -> impl Iterator<Item = &ToolDefinition> {
        self.operations.iter().map(|operation| &operation.definition)
    }

    /// Operations that cannot be tools, by method and path, and why.
    pub fn left_out(&self) -> &[(String, String)] {
        &self.left_out
    }

    /// Where it is.
    pub fn base_url(&self) -> &str {
        self.base.as_str()
    }

    /// Calls a tool. When `cancelled` returns, the call is given up.
    pub async fn call(
        &self,
        outbound: &Outbound,
        access: &Access<'_>,
        call: Call<'_>,
        cancelled: impl Future<Output = ()>,
    ) -> Outcome {
        let Some(operation) = self.operations.iter().find(|one| one.definition.name == call.tool) else {
            let message = format!("The service has no tool `{}`.", shown(call.tool));
            return Outcome::Failed { failure: invalid(message) };
        };
        let request = match request(self, operation, call.arguments, access) {
            Ok(request) => request,
            Err(failure) => return Outcome::Failed { failure },
        };
        let asked = answer::Asked { operation, effect: call.effect, configuration: &self.configuration };
        tokio::select! {
            outcome = answer::outcome(outbound, request, asked) => outcome,
            () = cancelled => answer::given_up(call.effect),
        }
    }

    pub(crate) fn configuration(&self) -> &Configuration {
        &self.configuration
    }

    pub(crate) fn scheme(&self, name: &str) -> Option<&Scheme> {
        self.schemes.get(name)
    }

    pub(crate) fn base(&self, operation: &Operation) -> Url {
        let own = operation.server.as_deref().and_then(|server| self.base.join(server).ok());
        own.unwrap_or_else(|| self.base.clone())
    }

    pub(crate) fn idempotency_header<'a>(&'a self, operation: &'a Operation) -> Option<&'a str> {
        let named = self.configuration.idempotency_header.as_deref();
        operation.idempotency.as_deref().or(named.filter(|_| !operation.method.is_safe()))
    }
}

impl Document {
    /// Fetches a document from where an administrator says that it is.
    pub async fn fetch(outbound: &Outbound, url: &str, plain_http: bool, who: &str) -> Result<Self, Failure> {
        let reach = match Reach::exact(url).map_err(|error| invalid(error.to_string()))? {
            Reach::Exact { authority, .. } => Reach::Exact { authority, plain_http },
            public => public,
        };
        let mut request = Request::new(bailiwick_outbound::Method::GET, url, reach).who(who);
        request = request.header("accept", "application/json, application/yaml, text/yaml;q=0.9, */*;q=0.5");
        request.redirects = Redirects::SameOrigin;
        request.max_body_bytes = crate::MAX_DOCUMENT_BYTES as u64;
        let failed = |problem: String| Failure::new(FailureCode::ConnectionFailed, format!("The document: {problem}"));
        let answer = outbound.send(request).await.map_err(|error| failed(error.to_string()))?;
        if !answer.status().is_success() {
            return Err(failed(format!("it was answered with {}", answer.status())));
        }
        let came_from = answer.url().to_owned();
        let body = answer.bytes().await.map_err(|error| failed(error.to_string()))?;
        let text = std::str::from_utf8(&body).map_err(|_| failed("it is not UTF-8".into()))?;
        Self::read(text, Some(&came_from)).map_err(|error| invalid(error.to_string()))
    }
}

/// What repeating an operation does: as the administrator says, else as its method and its key say.
fn effect(effects: &BTreeMap<String, Effect>, configuration: &Configuration, operation: &Operation) -> Effect {
    let name = &operation.definition.name;
    let is_it = |entry: &str| entry == name || means(entry, operation.id.as_deref(), &operation.key);
    let said = effects.iter().find(|(entry, _)| is_it(entry));
    match (said, operation.definition.effect) {
        (Some((_, effect)), _) => *effect,
        (None, Effect::Write) if configuration.idempotency_header.is_some() => Effect::Idempotent,
        (None, effect) => effect,
    }
}

/// Where the service is.
fn base(document: &Document, configuration: &Configuration) -> Result<Url, String> {
    let text = match &configuration.base_url {
        Some(url) => url.clone(),
        None => document.root().pointer("/servers/0").map_or_else(|| "/".to_owned(), server_url),
    };
    let origin = document.url().and_then(|url| Url::parse(url).ok());
    let read = match &origin {
        Some(origin) => origin.join(&text),
        None => Url::parse(&text),
    };
    let mut base = read.map_err(|_| {
        format!("`{}` does not say where the service is: name its `base_url` in the connector", shown(&text))
    })?;
    if !matches!(base.scheme(), "http" | "https") || base.host_str().is_none() || !base.username().is_empty() {
        return Err("`base_url` must be an https URL without a user".into());
    }
    base.set_query(None);
    base.set_fragment(None);
    // A document is not to send credentials to a place that nobody named.
    if configuration.base_url.is_none() && origin.is_some_and(|origin| origin.origin() != base.origin()) {
        return Err(format!(
            "the document says that the service is at `{}`, which is not where it came from: name its `base_url` in the \
             connector",
            shown(&base.origin().ascii_serialization())
        ));
    }
    Ok(base)
}

/// Why an operation is not where the service is.
fn elsewhere(base: &Url, operation: &Operation) -> Option<String> {
    let server = operation.server.as_deref()?;
    match base.join(server) {
        Ok(url) if url.origin() == base.origin() => None,
        _ => Some(format!("it is served at `{}`: that needs a connector of its own", shown(server))),
    }
}
