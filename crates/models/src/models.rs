//! The published models behind the gate's port.

use crate::{
    attempts::Attempts,
    chat::Chat,
    endpoint::Endpoint,
    http::Clients,
    options::{ModelOptions, Options, OptionsError, ProviderKind},
    rehearsal::{Rehearsal, Scenario},
    remote::{Asked, Dialect, Provider, Remote},
    responses::Responses,
};
use async_trait::async_trait;
use bailiwick_core::{Action, ActionResult, Failure, FailureCode, Outcome, canonical};
use bailiwick_gate::{Live, Model, Opened, Permit, Settled, Vault};
use bailiwick_ports::{Clock, CredentialNeed, ModelCard, ModelCards, Random};
use bailiwick_types::Secret;
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

/// Every model of the configuration.
pub struct Models {
    published: BTreeMap<String, Published>,
    clock: Arc<dyn Clock>,
    /// Where keys are that are not in the configuration.
    vault: Option<Arc<dyn Vault>>,
}

struct Published {
    card: ModelCard,
    paid_attempts: u32,
    /// The key is a credential of a vault.
    need: Option<CredentialNeed>,
    provider: Box<dyn Provider>,
}

impl Models {
    /// Checks the options, reads the scenario files and makes the HTTP clients. Calls nobody.
    pub fn new(options: &Options, clock: Arc<dyn Clock>, random: Arc<dyn Random>) -> Result<Self, OptionsError> {
        let mut clients = Clients::default();
        let mut published = BTreeMap::new();
        for (name, options) in &options.models {
            options.check(name)?;
            let provider = provider(name, options, &mut clients, &clock, &random)?;
            let need = need(name, options)?;
            published.insert(
                name.clone(),
                Published { card: options.card(name), paid_attempts: options.paid_attempts(), need, provider },
            );
        }
        Ok(Self { published, clock, vault: None })
    }

    /// Takes the keys of models that have a `credential` out of this vault, each for one call.
    #[must_use]
    pub fn with_vault(self, vault: Arc<dyn Vault>) -> Self {
        Self { vault: Some(vault), ..self }
    }

    /// The key that a call is made with, when it is in a vault. The permit names it, or it is not to be had.
    async fn key(&self, need: Option<&CredentialNeed>, opened: &mut Opened) -> Result<Option<Secret>, Failure> {
        let Some(CredentialNeed { name, .. }) = need else { return Ok(None) };
        let fail = |why: String| Failure::new(FailureCode::AuthenticationFailed, format!("the model's key: {why}"));
        let [credential] = *opened.credentials() else {
            return Err(fail(format!("this call was begun without the credential `{name}`; give the task again")));
        };
        let Some(vault) = &self.vault else { return Err(fail("there are no vaults here".to_owned())) };
        let key = opened.reveal(&**vault, credential).await.map_err(|error| fail(error.to_string()))?;
        match key.expose().bytes().all(|byte| byte.is_ascii_graphic()) {
            true => Ok(Some(key)),
            false => Err(fail(format!("the credential `{name}` holds what cannot be sent in a header"))),
        }
    }

    fn names(&self) -> String {
        let names: Vec<&str> = self.published.keys().map(String::as_str).collect();
        if names.is_empty() { "there are none".to_owned() } else { format!("there are: {}", names.join(", ")) }
    }
}

fn provider(
    name: &str,
    options: &ModelOptions,
    clients: &mut Clients,
    clock: &Arc<dyn Clock>,
    random: &Arc<dyn Random>,
) -> Result<Box<dyn Provider>, OptionsError> {
    let dialect: Box<dyn Dialect> = match options.provider {
        ProviderKind::OpenAiResponses => Box::<Responses>::default(),
        ProviderKind::OpenAiChat => Box::new(Chat),
        ProviderKind::Rehearsal => {
            let scenario = Scenario::load(options.scenario_file(name)?).map_err(|error| OptionsError {
                model: name.to_owned(),
                field: "scenario",
                problem: error.to_string(),
            })?;
            return Ok(Box::new(Rehearsal::new(name, scenario, Arc::clone(clock))));
        }
    };
    let endpoint = Endpoint::new(name, options)?;
    let client = clients.client(name, options)?;
    let (clock, random) = (Arc::clone(clock), Arc::clone(random));
    Ok(Box::new(Remote { endpoint, dialect, client, clock, random, manner: Mutex::default() }))
}

#[async_trait]
impl Model for Models {
    async fn call(&self, permit: Permit, live: Live) -> Settled {
        let mut opened = match permit.open(&*self.clock) {
            Ok(opened) => opened,
            Err(settled) => return settled,
        };
        let (Action::ModelCall(_), Some(request)) = (opened.action(), opened.request().cloned()) else {
            let message = format!("`{}` is not a model call", opened.action().operation());
            return opened.settle(Outcome::Failed { failure: Failure::new(FailureCode::Internal, message) });
        };
        let attempts = Attempts::default();
        let answer = match self.published.get(&request.model) {
            Some(published) => match self.key(published.need.as_ref(), &mut opened).await {
                Ok(key) => {
                    // Dropped before the call settles, so that what it holds back comes first.
                    let live = opened.guarded(&live);
                    let (action, by) = (opened.id(), &opened.scope().principal);
                    let asked = Asked { action, by, key: key.as_ref(), attempts: Some(&attempts) };
                    published.provider.call(&request, asked, &live).await
                }
                Err(failure) => Err(failure),
            },
            None => {
                let message = format!("no model is published as `{}`; {}", request.model, self.names());
                Err(Failure::new(FailureCode::UnknownModel, message))
            }
        };
        let outcome = match answer {
            Ok(answer) => Outcome::Confirmed { result: ActionResult::Model(answer) },
            Err(failure) => Outcome::Failed { failure },
        };
        opened.settle_after(outcome, attempts.account())
    }
}

/// What a model's calls need out of a vault, and where that is sent.
fn need(name: &str, options: &ModelOptions) -> Result<Option<CredentialNeed>, OptionsError> {
    let Some(credential) = &options.credential else { return Ok(None) };
    let target = options.target(name)?;
    let refuse = |problem| OptionsError { model: name.to_owned(), field: "base_url", problem };
    let (_, host) = canonical::server(&target.base_url).map_err(refuse)?;
    Ok(Some(CredentialNeed { name: credential.clone(), host }))
}

impl ModelCards for Models {
    fn credential(&self, name: &str) -> Option<CredentialNeed> {
        self.published.get(name).and_then(|published| published.need.clone())
    }

    fn paid_attempts(&self, name: &str) -> u32 {
        self.published.get(name).map_or(1, |published| published.paid_attempts)
    }

    fn card(&self, name: &str) -> Option<ModelCard> {
        self.published.get(name).map(|published| published.card.clone())
    }

    fn cards(&self) -> Vec<ModelCard> {
        self.published.values().map(|published| published.card.clone()).collect()
    }
}
