//! Databases behind the gate: takes a permit, and gives back what became of it.

use crate::call::{Access, Credential, Databases};
use crate::config::{Configuration, Server};
use crate::reading::Reader;
use crate::sign_in::Person;
use crate::tools::definitions;
use async_trait::async_trait;
use bailiwick_core::connector::StatementReader;
use bailiwick_core::{Action, ConnectorKind, Failure, Outcome};
use bailiwick_gate::{Live, Opened, Permit, Settled, Tools, Vault, calls::invalid};
use bailiwick_outbound::Trust;
use bailiwick_ports::{CheckedSettings, Clock, ConnectorRooms, Directory, SettingsProblem};
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;

/// What the settings say that others go by.
fn check_settings(settings: &Value) -> Result<CheckedSettings, SettingsProblem> {
    let configuration = configuration(settings)?;
    let host = match &configuration.server {
        Server::Postgres { host, .. } | Server::Mysql { host, .. } if host.starts_with('/') => {
            Some("localhost".to_owned())
        }
        Server::Postgres { host, .. } | Server::Mysql { host, .. } => Some(host.to_lowercase()),
        Server::Sqlite { .. } => None,
    };
    Ok(CheckedSettings { host, dialect: Some(configuration.server.dialect()) })
}

fn configuration(settings: &Value) -> Result<Configuration, SettingsProblem> {
    let configuration = Configuration::deserialize(settings);
    let configuration = configuration.map_err(|error| SettingsProblem::new("", format!("cannot be used: {error}")))?;
    configuration.check().map(|()| configuration)
}

/// The hand for connectors of kind `database`.
pub struct Hand {
    databases: Databases,
    clock: Arc<dyn Clock>,
    vault: Arc<dyn Vault>,
    directory: Arc<dyn Directory>,
}

impl Hand {
    pub fn new(clock: Arc<dyn Clock>, vault: Arc<dyn Vault>, directory: Arc<dyn Directory>, trust: Trust) -> Self {
        Self { databases: Databases::new(Arc::clone(&clock), trust), clock, vault, directory }
    }

    async fn access(&self, opened: &mut Opened, configuration: Configuration) -> Result<Access, Failure> {
        let revealed = opened.reveal_first(&*self.vault).await?;
        let credential = revealed.map(|(id, secret)| Credential { id: id.to_string(), secret });
        let scope = opened.scope();
        let known = scope.principal.person().and_then(|id| self.directory.person(scope.tenant, id));
        let person = known.map(|known| Person { id: known.id.to_string(), mail: known.email.clone() });
        Ok(Access { configuration: Arc::new(configuration), person, credential, file: false })
    }

    async fn call(&self, mut opened: Opened, configuration: Configuration, live: &Live) -> Settled {
        let (tool, arguments) = match opened.action() {
            Action::ConnectorOpen { .. } => return opened.settle_tools(definitions(&configuration, false)),
            Action::ConnectorCall(call) => (call.tool.clone(), call.arguments.clone()),
            Action::DataQuery(query) => {
                let mut arguments = if query.options.is_object() { query.options.clone() } else { json!({}) };
                arguments["statement"] = json!(query.statement);
                (query.tool.clone(), arguments)
            }
            _ => return opened.settle(failed("this is nothing that a database does")),
        };
        let access = match self.access(&mut opened, configuration).await {
            Ok(access) => access,
            Err(failure) => return opened.settle(Outcome::Failed { failure }),
        };
        let called = self.databases.call(&access, &tool, &arguments, live).await;
        opened.settle(called.outcome)
    }
}

#[async_trait]
impl Tools for Hand {
    async fn perform(&self, permit: Permit, live: Live) -> Settled {
        let opened = match permit.open(&*self.clock) {
            Ok(opened) => opened,
            Err(settled) => return settled,
        };
        // Settings name files and hosts inside: only an administrator's are followed.
        let kept = opened.access().filter(|access| access.kept);
        let Some(settings) = kept.map(|access| access.spec.settings.clone()) else {
            return opened.settle(failed("databases are connectors that the organisation keeps"));
        };
        match configuration(&settings) {
            Ok(configuration) => self.call(opened, configuration, &live).await,
            Err(why) => opened.settle(failed(format!("the connector's settings: {why}"))),
        }
    }

    fn statements(&self) -> &dyn StatementReader {
        &Reader
    }
}

impl ConnectorRooms for Hand {
    fn check(&self, _kind: ConnectorKind, settings: &Value) -> Result<CheckedSettings, SettingsProblem> {
        check_settings(settings)
    }
}

fn failed(message: impl Into<String>) -> Outcome {
    Outcome::Failed { failure: invalid(message) }
}
