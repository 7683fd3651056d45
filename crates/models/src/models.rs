//! The published models behind the gate's port.

use crate::{
    chat::Chat,
    endpoint::Endpoint,
    http::Clients,
    options::{ModelOptions, Options, OptionsError, ProviderKind},
    rehearsal::{Rehearsal, Scenario},
    remote::{Dialect, Provider, Remote},
    responses::Responses,
};
use async_trait::async_trait;
use bailiwick_core::{Action, ActionResult, Failure, FailureCode, Outcome};
use bailiwick_gate::{Live, Model, Permit, Settled};
use bailiwick_ports::{Clock, ModelCard, ModelCards, Random};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

/// Every model of the configuration.
pub struct Models {
    published: BTreeMap<String, Published>,
    clock: Arc<dyn Clock>,
}

struct Published {
    card: ModelCard,
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
            published.insert(name.clone(), Published { card: options.card(name), provider });
        }
        Ok(Self { published, clock })
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
        let opened = match permit.open(&*self.clock) {
            Ok(opened) => opened,
            Err(settled) => return settled,
        };
        let (Action::ModelCall(_), Some(request)) = (opened.action(), opened.request().cloned()) else {
            let message = format!("`{}` is not a model call", opened.action().operation());
            return opened.settle(Outcome::Failed { failure: Failure::new(FailureCode::Internal, message) });
        };
        let answer = match self.published.get(&request.model) {
            Some(published) => published.provider.call(&request, opened.id(), &live).await,
            None => {
                let message = format!("no model is published as `{}`; {}", request.model, self.names());
                Err(Failure::new(FailureCode::UnknownModel, message))
            }
        };
        opened.settle(match answer {
            Ok(answer) => Outcome::Confirmed { result: ActionResult::Model(answer) },
            Err(failure) => Outcome::Failed { failure },
        })
    }
}

impl ModelCards for Models {
    fn card(&self, name: &str) -> Option<ModelCard> {
        self.published.get(name).map(|published| published.card.clone())
    }

    fn cards(&self) -> Vec<ModelCard> {
        self.published.values().map(|published| published.card.clone()).collect()
    }
}
