//! The hand for connectors of the kinds `openapi` and `web`: a permit in, what became of it out.
//!
//! A service is put together from its connector's settings when it is opened, and again when it is not remembered any
//! more. A call is made only if its tool is still the one that the session was told of, and only to the host that was
//! decided about.

use crate::{
    configuration::{Configuration, Source, WebSettings},
    document::Document,
    secrets::Secrets,
    service::{Access, Call, Service},
    web::{self, WebLimits},
};
use async_trait::async_trait;
use bailiwick_core::{
    Action, ConnectorCall, ConnectorKind, ConnectorSpec, Failure, FailureCode, Outcome, ToolDefinition,
};
use bailiwick_gate::{Live, Mode, Opened, Permit, Settled, Tools, Vault, calls::invalid};
use bailiwick_outbound::Outbound;
use bailiwick_ports::{CheckedSettings, Clock, ConnectorRooms, SettingsProblem};
use bailiwick_types::Mark;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, PoisonError},
};
use url::Url;

/// Services that are remembered.
const MAX_REMEMBERED: usize = 64;
/// What one call of `web_fetch` may give back, and read.
const MAX_WEB_OUTPUT: usize = 256 * 1024;
const MAX_WEB_PAGE: u64 = 16 * 1024 * 1024;

/// Reaches services and pages.
pub struct Hand {
    outbound: Outbound,
    vault: Arc<dyn Vault>,
    clock: Arc<dyn Clock>,
    remembered: Mutex<Remembered>,
}

/// Services by what they were made of, and when each was last used.
#[derive(Default)]
struct Remembered {
    services: HashMap<String, (Arc<Service>, u64)>,
    uses: u64,
}

impl Hand {
    pub fn new(outbound: Outbound, vault: Arc<dyn Vault>, clock: Arc<dyn Clock>) -> Self {
        Self { outbound, vault, clock, remembered: Mutex::default() }
    }

    /// Whether connectors of this kind are this hand's.
    pub fn takes(kind: ConnectorKind) -> bool {
        matches!(kind, ConnectorKind::Openapi | ConnectorKind::Web)
    }

    async fn open(&self, opened: Opened, spec: &ConnectorSpec) -> Settled {
        let tools: Result<Vec<ToolDefinition>, Failure> = match spec.kind {
            ConnectorKind::Web => Ok(vec![web::definition()]),
            _ => self.fresh(spec, &who(&opened)).await.map(|service| service.definitions().cloned().collect()),
        };
        match tools {
            Ok(tools) => opened.settle_tools(tools),
            Err(failure) => opened.settle(Outcome::Failed { failure }),
        }
    }

    async fn call(&self, opened: &mut Opened, spec: &ConnectorSpec, call: &ConnectorCall, live: &Live) -> Outcome {
        if call.environment.is_some() {
            return failed(FailureCode::InvalidRequest, "This connector cannot be reached from inside an environment.");
        }
        // Nobody can be asked what became of it.
        if opened.mode() == Mode::Lookup {
            return Outcome::Unknown { reason: "the service cannot be asked whether it was done".into() };
        }
        let who = who(opened);
        if spec.kind == ConnectorKind::Web {
            let limits = match limits(&spec.settings) {
                Ok(limits) => limits,
                Err(problem) => return failed(FailureCode::InvalidRequest, problem.to_string()),
            };
            return web::fetch(&self.outbound, limits, &who, &call.arguments, live.cancelled()).await;
        }
        let service = match self.service(spec, &who).await {
            Ok(service) => service,
            Err(failure) => return Outcome::Failed { failure },
        };
        if let Err(problem) = still_is(&service, opened, call) {
            return failed(FailureCode::ToolError, problem);
        }
        let secrets = match self.secrets(opened).await {
            Ok(secrets) => secrets,
            Err(failure) => return Outcome::Failed { failure },
        };
        let action = opened.id().to_string();
        let access = Access { secrets: &secrets, who: &who, action: &action };
        let asked = Call { tool: &call.tool, arguments: &call.arguments, effect: call.effect };
        service.call(&self.outbound, &access, asked, live.cancelled()).await
    }

    async fn secrets(&self, opened: &mut Opened) -> Result<Secrets, Failure> {
        let revealed = opened.reveal_first(&*self.vault).await?;
        Ok(revealed.map_or(Secrets::None, |(_, secret)| Secrets::One(secret)))
    }

    /// The service of a connector, as it is remembered or else as it is now.
    async fn service(&self, spec: &ConnectorSpec, who: &str) -> Result<Arc<Service>, Failure> {
        let known = {
            let mut remembered = self.remembered.lock().unwrap_or_else(PoisonError::into_inner);
            remembered.uses += 1;
            let now = remembered.uses;
            remembered.services.get_mut(&key(spec)).map(|(service, used)| {
                *used = now;
                service.clone()
            })
        };
        match known {
            Some(service) => Ok(service),
            None => self.fresh(spec, who).await,
        }
    }

    /// The service as it is now.
    async fn fresh(&self, spec: &ConnectorSpec, who: &str) -> Result<Arc<Service>, Failure> {
        let configuration: Configuration = settings(&spec.settings).map_err(|problem| invalid(problem.to_string()))?;
        let document = match &configuration.document {
            Some(Source::Text(text)) => Document::read(text, None).map_err(|error| invalid(error.to_string()))?,
            Some(Source::Url(url)) => Document::fetch(&self.outbound, url, configuration.plain_http, who).await?,
            None => return Err(invalid("`document` is missing")),
        };
        let service = Service::new(&document, configuration, &spec.effects)?;
        // Where secrets may be sent was decided with this host.
        if Some(host_of(service.base_url())) != spec.host {
            return Err(invalid(format!("the service is at `{}` now; apply the connector again", service.base_url())));
        }
        let service = Arc::new(service);
        let mut remembered = self.remembered.lock().unwrap_or_else(PoisonError::into_inner);
        remembered.uses += 1;
        let now = remembered.uses;
        let oldest = remembered.services.iter().min_by_key(|(_, (_, used))| *used).map(|(key, _)| key.clone());
        if let Some(oldest) = oldest.filter(|_| remembered.services.len() >= MAX_REMEMBERED) {
            remembered.services.remove(&oldest);
        }
        remembered.services.insert(key(spec), (service.clone(), now));
        Ok(service)
    }
}

#[async_trait]
impl Tools for Hand {
    async fn perform(&self, permit: Permit, live: Live) -> Settled {
        if permit.access().is_none_or(|access| !Self::takes(access.spec.kind)) {
            return permit.refuse("this hand reaches services and pages only");
        }
        let mut opened = match permit.open(&*self.clock) {
            Ok(opened) => opened,
            Err(settled) => return settled,
        };
        let Some(access) = opened.access().cloned() else {
            return opened.settle(failed(FailureCode::Internal, "no connector is known of this action"));
        };
        let call = match opened.action() {
            Action::ConnectorOpen { .. } => return self.open(opened, &access.spec).await,
            Action::ConnectorCall(call) => call.clone(),
            _ => return opened.settle(failed(FailureCode::Internal, "services and pages take calls only")),
        };
        let outcome = self.call(&mut opened, &access.spec, &call, &live).await;
        opened.settle(outcome)
    }
}

/// The tool is the one that the session was told of; what is said of its effect may differ.
fn still_is(service: &Service, opened: &Opened, call: &ConnectorCall) -> Result<(), String> {
    let told = opened.access().and_then(|access| access.tool.as_ref());
    let now = service.definitions().find(|one| one.name == call.tool);
    let same = |now: &ToolDefinition, told: &ToolDefinition| {
        (&now.name, &now.description, &now.parameters) == (&told.name, &told.description, &told.parameters)
    };
    match (now, told) {
        (Some(now), Some(told)) if same(now, told) => Ok(()),
        (Some(_), None) => Ok(()),
        _ => Err("The service has changed this tool since the session began. A new session is told of it.".into()),
    }
}

fn who(opened: &Opened) -> String {
    Mark(&opened.scope().principal).to_string()
}

fn failed(code: FailureCode, message: impl Into<String>) -> Outcome {
    Outcome::Failed { failure: Failure::new(code, message) }
}

/// What a service is made of.
fn key(spec: &ConnectorSpec) -> String {
    json!([spec.settings, spec.effects, spec.host]).to_string()
}

fn host_of(url: &str) -> String {
    let host = Url::parse(url).ok().and_then(|url| url.host_str().map(str::to_lowercase));
    host.unwrap_or_default()
}

fn limits(value: &Value) -> Result<WebLimits, SettingsProblem> {
    let said: WebSettings = settings(value)?;
    let usual = WebLimits::default();
    let output_bytes = said.output_bytes.unwrap_or(usual.output_bytes);
    let page_bytes = said.page_bytes.unwrap_or(usual.page_bytes);
    if !(1000..=MAX_WEB_OUTPUT).contains(&output_bytes) {
        return Err(SettingsProblem::new("output_bytes", format!("must be between 1000 and {MAX_WEB_OUTPUT}")));
    }
    if !(1000..=MAX_WEB_PAGE).contains(&page_bytes) {
        return Err(SettingsProblem::new("page_bytes", format!("must be between 1000 and {MAX_WEB_PAGE}")));
    }
    Ok(WebLimits { output_bytes, page_bytes, ..usual })
}

/// Settings of a kind; nothing at all stands for none.
fn settings<T: DeserializeOwned + Default>(value: &Value) -> Result<T, SettingsProblem> {
    if value.is_null() {
        return Ok(T::default());
    }
    T::deserialize(value).map_err(|error| SettingsProblem::new("", format!("cannot be read: {error}")))
}

/// What settings say, before anybody uses them. It reaches nothing.
impl Hand {
    fn check_service(&self, value: &Value) -> Result<CheckedSettings, SettingsProblem> {
        let configuration: Configuration = settings(value)?;
        if let Some(problem) = configuration.problem() {
            return Err(SettingsProblem::new("", problem));
        }
        let base = match (&configuration.document, &configuration.base_url) {
            (None, _) => {
                return Err(SettingsProblem::new(
                    "document",
                    "must say where the OpenAPI document is, with `url` or `text`",
                ));
            }
            (Some(Source::Text(text)), _) => {
                let document = Document::read(text, None);
                let document = document.map_err(|error| SettingsProblem::new("document.text", error.to_string()))?;
                let service = Service::new(&document, configuration.clone(), &BTreeMap::new());
                service.map_err(|failure| SettingsProblem::new("", failure.message))?.base_url().to_owned()
            }
            (Some(Source::Url(_)), Some(base)) => base.clone(),
            (Some(Source::Url(url)), None) => url.clone(),
        };
        if let Some(Source::Url(url)) = &configuration.document {
            self.check_url("document.url", url, configuration.plain_http)?;
        }
        self.check_url("base_url", &base, configuration.plain_http)?;
        Ok(CheckedSettings { host: Some(host_of(&base)), dialect: None })
    }

    fn check_url(&self, field: &str, url: &str, plain_http: bool) -> Result<(), SettingsProblem> {
        use bailiwick_outbound::{Authority, Reach};
        let problem =
            |error: bailiwick_outbound::OutboundError| SettingsProblem::new(field, format!("cannot be used: {error}"));
        let reach = Reach::Exact { authority: Authority::of(url).map_err(problem)?, plain_http };
        self.outbound.check(url, &reach).map_err(problem)
    }
}

impl ConnectorRooms for Hand {
    fn check(&self, kind: ConnectorKind, value: &Value) -> Result<CheckedSettings, SettingsProblem> {
        match kind {
            ConnectorKind::Openapi => self.check_service(value),
            ConnectorKind::Web => limits(value).map(|_| CheckedSettings::default()),
            _ => Err(SettingsProblem::new("", "are of another kind")),
        }
    }
}
