//! The hand of people connectors: a permit becomes one call of [`crate::call`] on the tenant's own directory.

use crate::{call, definitions};
use async_trait::async_trait;
use bailiwick_core::{Action, ActionResult, ConnectorKind, Outcome, ToolAnswer};
use bailiwick_gate::{Live, Permit, Settled, Tools, calls::invalid};
use bailiwick_ports::{CheckedSettings, Clock, ConnectorRooms, People, SettingsProblem};
use serde_json::Value;
use std::sync::Arc;

/// Performs what connectors of the kind `people` do.
pub struct PeopleTools {
    clock: Arc<dyn Clock>,
    people: Arc<dyn People>,
}

impl PeopleTools {
    pub fn new(clock: Arc<dyn Clock>, people: Arc<dyn People>) -> Self {
        Self { clock, people }
    }
}

/// There is nothing to set.
impl ConnectorRooms for PeopleTools {
    fn check(&self, kind: ConnectorKind, settings: &Value) -> Result<CheckedSettings, SettingsProblem> {
        let empty = settings.is_null() || settings.as_object().is_some_and(serde_json::Map::is_empty);
        match kind {
            ConnectorKind::People if empty => Ok(CheckedSettings::default()),
            ConnectorKind::People => {
                Err(SettingsProblem::new("", "must be empty: it is this organisation's own directory"))
            }
            other => Err(SettingsProblem::new("", format!("are not of the kind `people` but `{}`", other.name()))),
        }
    }
}

#[async_trait]
impl Tools for PeopleTools {
    async fn perform(&self, permit: Permit, _live: Live) -> Settled {
        let opened = match permit.open(&*self.clock) {
            Ok(opened) => opened,
            Err(settled) => return settled,
        };
        let called = match opened.action() {
            Action::ConnectorOpen { .. } => return opened.settle_tools(definitions()),
            Action::ConnectorCall(called) => called.clone(),
            other => {
                let text = format!("`{}` is nothing that a directory does", other.operation());
                return opened.settle(Outcome::Failed { failure: invalid(text) });
            }
        };
        match call(&*self.people, opened.scope().tenant, &called.tool, &called.arguments) {
            Ok(content) => {
                let answer = ToolAnswer { content, ..ToolAnswer::default() };
                opened.settle(Outcome::Confirmed { result: ActionResult::Tool(answer) })
            }
            Err(failure) => opened.settle(Outcome::Failed { failure }),
        }
    }
}
