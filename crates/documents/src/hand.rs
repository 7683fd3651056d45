//! The hand of documents connectors: a permit becomes one call of [`crate::call`], for the person whom it is done for.

use crate::{Access, AccessKey, Library, Limits, ObjectStores, Reader, call, definitions};
use async_trait::async_trait;
use bailiwick_core::{Action, ActionResult, ConnectorKind, Failure, FailureCode, Outcome, ToolAnswer};
use bailiwick_gate::{Live, Opened, Permit, Scope, Settled, Tools, Vault, calls::invalid};
use bailiwick_outbound::Outbound;
use bailiwick_ports::{CheckedSettings, Clock, ConnectorRooms, People, SettingsProblem};
use bailiwick_types::Mark;
use serde::Deserialize;
use serde_json::Value;
use std::sync::Arc;

/// Performs what connectors of the kind `documents` do.
pub struct DocumentTools {
    clock: Arc<dyn Clock>,
    vault: Arc<dyn Vault>,
    people: Arc<dyn People>,
    outbound: Outbound,
    limits: Limits,
}

/// What settings of this kind say that others go by, or what is wrong with them.
fn checked(kind: ConnectorKind, settings: &Value) -> Result<CheckedSettings, SettingsProblem> {
    let checked = |library: Library| CheckedSettings { host: library.host(), dialect: None };
    library(kind, settings).map(checked)
}

fn library(kind: ConnectorKind, settings: &Value) -> Result<Library, SettingsProblem> {
    if kind != ConnectorKind::Documents {
        return Err(SettingsProblem::new("", format!("are not of the kind `documents` but `{}`", kind.name())));
    }
    let library = Library::deserialize(settings);
    let library = library.map_err(|error| SettingsProblem::new("", format!("do not fit: {error}")))?;
    library.check().map(|()| library)
}

impl DocumentTools {
    pub fn new(clock: Arc<dyn Clock>, vault: Arc<dyn Vault>, people: Arc<dyn People>, outbound: Outbound) -> Self {
        Self { clock, vault, people, outbound, limits: Limits::default() }
    }

    /// The way to the library's buckets, with the connector's access key.
    async fn stores(&self, opened: &mut Opened, library: &Library) -> Result<Option<Arc<ObjectStores>>, Failure> {
        if library.host().is_none() {
            return Ok(None);
        }
        let wrong = |why: String| Failure::new(FailureCode::AuthenticationFailed, why);
        let secret = opened.reveal_first(&*self.vault).await?;
        let key = secret.map(|(_, secret)| AccessKey::parse(&secret)).transpose().map_err(wrong)?;
        let (outbound, clock) = (self.outbound.clone(), self.clock.clone());
        let who = Mark(&opened.scope().principal).to_string();
        Ok(Some(Arc::new(ObjectStores { outbound, key, who, clock })))
    }

    /// In whose rights documents are read, by the directory as it is now. Somebody who was disabled reads what nobody in
    /// particular may read.
    fn reader(&self, scope: &Scope) -> Reader {
        let person = scope.principal.person().and_then(|person| self.people.user(scope.tenant, person));
        match person.filter(|person| person.disabled.is_none()) {
            Some(person) => Reader { user: Some(person.id), teams: person.teams, roles: person.roles },
            None => Reader::default(),
        }
    }
}

impl ConnectorRooms for DocumentTools {
    fn check(&self, kind: ConnectorKind, settings: &Value) -> Result<CheckedSettings, SettingsProblem> {
        checked(kind, settings)
    }
}

#[async_trait]
impl Tools for DocumentTools {
    async fn perform(&self, permit: Permit, live: Live) -> Settled {
        let mut opened = match permit.open(&*self.clock) {
            Ok(opened) => opened,
            Err(settled) => return settled,
        };
        let Some(connector) = opened.access().cloned() else {
            let failure = Failure::new(FailureCode::Internal, "no connector is known of this action");
            return opened.settle(Outcome::Failed { failure });
        };
        if !connector.kept {
            let text =
                "folders of the machine must be a connector that the organisation keeps, not one written into an agent";
            return opened.settle(Outcome::Failed { failure: invalid(text) });
        }
        let library = match library(connector.spec.kind, &connector.spec.settings) {
            Ok(library) => Arc::new(library),
            Err(problem) => {
                return opened
                    .settle(Outcome::Failed { failure: invalid(format!("the connector's settings: {problem}")) });
            }
        };
        let called = match opened.action() {
            Action::ConnectorOpen { .. } => return opened.settle_tools(definitions()),
            Action::ConnectorCall(called) => called.clone(),
            other => {
                let text = format!("`{}` is nothing that documents do", other.operation());
                return opened.settle(Outcome::Failed { failure: invalid(text) });
            }
        };
        let stores = match self.stores(&mut opened, &library).await {
            Ok(stores) => stores,
            Err(failure) => return opened.settle(Outcome::Failed { failure }),
        };
        let (reader, limits, clock) = (self.reader(opened.scope()), self.limits, self.clock.clone());
        let access = Access { library, reader, stores, limits, clock };
        match call(&access, &called.tool, &called.arguments, live).await {
            Ok(answer) => {
                let answer = ToolAnswer { content: answer.content, label: Some(answer.label), ..ToolAnswer::default() };
                opened.settle(Outcome::Confirmed { result: ActionResult::Tool(answer) })
            }
            Err(failure) => opened.settle(Outcome::Failed { failure }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn settings_are_refused_by_their_field() {
        let check = |settings: Value| checked(ConnectorKind::Documents, &settings);
        let folder = json!({"name": "finance", "root": "/srv/finance", "readers": {"everybody": true}});
        assert_eq!(check(json!({"folders": [folder]})).unwrap(), CheckedSettings::default());
        assert_eq!(check(json!({"folders": []})).unwrap_err().field, "folders");
        let refused = check(json!({"folders": [{"name": "a", "root": "x", "readers": {}}]})).unwrap_err();
        assert_eq!((refused.field.as_str(), refused.problem.as_str()), ("folders[0].root", "must be an absolute path"));
        let bucket = json!({"name": "a", "bucket": {"url": "https://S3.example:9000/docs/"}, "readers": {}});
        assert_eq!(check(json!({"folders": [bucket]})).unwrap().host.as_deref(), Some("s3.example"));
        assert!(checked(ConnectorKind::Mail, &json!({})).is_err());
    }
}
