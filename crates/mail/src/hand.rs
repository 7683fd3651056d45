//! The hand of mail and calendar connectors: a permit becomes one call of [`crate::call`] or [`crate::call_calendar`].
//!
//! Its arguments come from the permit and from nowhere else. A secret is revealed for one call and let go with it.

use crate::{
    Access, Account, Author, CalendarAccess, CalendarAccount, Limits, calendar_definitions, call, call_calendar,
    definitions, settle_lost, tools::SEND,
};
use async_trait::async_trait;
use bailiwick_core::{Action, ConnectorCall, ConnectorKind, Failure, FailureCode, Outcome, ToolDefinition};
use bailiwick_gate::{Live, Mode, Opened, Permit, Settled, Tools, Vault, calls::invalid};
use bailiwick_outbound::{Authority, Outbound};
use bailiwick_ports::{CheckedSettings, Clock, ConnectorRooms, People, SettingsProblem};
use bailiwick_types::Mark;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::sync::Arc;

/// Performs what connectors of the kinds `mail` and `calendar` do.
pub struct MailTools {
    clock: Arc<dyn Clock>,
    vault: Arc<dyn Vault>,
    people: Arc<dyn People>,
    outbound: Outbound,
    limits: Limits,
}

/// Settings of one of the two kinds, read and checked.
enum Settings {
    Mail(Box<Account>),
    Calendar(Box<CalendarAccount>),
}

impl Settings {
    fn read(kind: ConnectorKind, settings: &Value) -> Result<Self, SettingsProblem> {
        match kind {
            ConnectorKind::Mail => {
                let account: Account = parsed(settings)?;
                account.check().map(|()| Self::Mail(Box::new(account)))
            }
            ConnectorKind::Calendar => {
                let account: CalendarAccount = parsed(settings)?;
                account.check().map(|()| Self::Calendar(Box::new(account)))
            }
            other => {
                Err(SettingsProblem::new("", format!("are neither mail's nor a calendar's but `{}`", other.name())))
            }
        }
    }

    fn tools(&self) -> Vec<ToolDefinition> {
        match self {
            Self::Mail(account) => definitions(account),
            Self::Calendar(_) => calendar_definitions(),
        }
    }
}

fn parsed<T: DeserializeOwned>(settings: &Value) -> Result<T, SettingsProblem> {
    T::deserialize(settings).map_err(|error| SettingsProblem::new("", format!("do not fit: {error}")))
}

impl MailTools {
    pub fn new(clock: Arc<dyn Clock>, vault: Arc<dyn Vault>, people: Arc<dyn People>, outbound: Outbound) -> Self {
        Self { clock, vault, people, outbound, limits: Limits::default() }
    }

    async fn call(&self, opened: &mut Opened, call: &ConnectorCall, settings: &Settings, live: Live) -> Outcome {
        let secret = match opened.reveal_first(&*self.vault).await {
            Ok(revealed) => revealed.map(|(_, secret)| secret),
            Err(failure) => return Outcome::Failed { failure },
        };
        let author = self.author(opened);
        let (action, limits) = (opened.id(), self.limits);
        // Whatever is said of its effect: a mail that may have left is not sent again. All else here may be repeated.
        let lost = call.tool == SEND && opened.mode() != Mode::First;
        match settings {
            Settings::Mail(account) => {
                let (secret, trust, clock) = (secret.as_ref(), self.outbound.trust(), self.clock.clone());
                let access = Access { account, secret, author: &author, action, limits, trust, clock };
                if lost {
                    return settle_lost(&access, live).await;
                }
                self::call(&access, &call.tool, &call.arguments, live).await
            }
            Settings::Calendar(account) => {
                let (secret, outbound) = (secret.as_ref(), &self.outbound);
                let clock = self.clock.clone();
                let access = CalendarAccess { account, secret, author: &author, action, limits, outbound, clock };
                call_calendar(&access, &call.tool, &call.arguments, live).await
            }
        }
    }

    /// Who writes, and for whom, by the directory as it is now.
    fn author(&self, opened: &Opened) -> Author {
        let scope = opened.scope();
        let person = scope.principal.person().and_then(|person| self.people.user(scope.tenant, person));
        let (person_name, person_email) = person.map(|person| (Some(person.name), person.email)).unwrap_or_default();
        Author { mark: Mark(&scope.principal).to_string(), agent: scope.agent_name.clone(), person_name, person_email }
    }
}

impl ConnectorRooms for MailTools {
    fn check(&self, kind: ConnectorKind, settings: &Value) -> Result<CheckedSettings, SettingsProblem> {
        checked(kind, settings)
    }
}

/// What settings of these kinds say that others go by, or what is wrong with them.
fn checked(kind: ConnectorKind, settings: &Value) -> Result<CheckedSettings, SettingsProblem> {
    let host = match Settings::read(kind, settings)? {
        Settings::Mail(account) => account.host(),
        Settings::Calendar(account) => Authority::of(&account.url).ok().map(|authority| authority.host().to_owned()),
    };
    Ok(CheckedSettings { host: host.map(|host| host.to_ascii_lowercase()), dialect: None })
}

#[async_trait]
impl Tools for MailTools {
    async fn perform(&self, permit: Permit, live: Live) -> Settled {
        let mut opened = match permit.open(&*self.clock) {
            Ok(opened) => opened,
            Err(settled) => return settled,
        };
        let Some(access) = opened.access().cloned() else {
            let failure = Failure::new(FailureCode::Internal, "no connector is known of this action");
            return opened.settle(Outcome::Failed { failure });
        };
        if !access.kept {
            let text = "a mailbox or a calendar must be a connector that the organisation keeps, not one written into an agent";
            return opened.settle(Outcome::Failed { failure: invalid(text) });
        }
        let settings = match Settings::read(access.spec.kind, &access.spec.settings) {
            Ok(settings) => settings,
            Err(problem) => {
                let failure = invalid(format!("the connector's settings: {problem}"));
                return opened.settle(Outcome::Failed { failure });
            }
        };
        match opened.action().clone() {
            Action::ConnectorOpen { .. } => opened.settle_tools(settings.tools()),
            Action::ConnectorCall(call) => {
                let outcome = self.call(&mut opened, &call, &settings, live).await;
                opened.settle(outcome)
            }
            other => {
                let failure = invalid(format!("`{}` is nothing that mail or a calendar does", other.operation()));
                opened.settle(Outcome::Failed { failure })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn settings_say_where_their_secret_goes() {
        let mail = |settings| checked(ConnectorKind::Mail, &settings);
        let host = |settings| mail(settings).unwrap().host;
        assert_eq!(host(json!({"smtp": {"host": "Mail.Firma.example"}})).as_deref(), Some("mail.firma.example"));
        let siblings = json!({"smtp": {"host": "smtp.firma.example"}, "imap": {"host": "imap.firma.example"}});
        assert_eq!(host(siblings).as_deref(), Some("smtp.firma.example"));
        // One secret would go to both.
        let apart = json!({"smtp": {"host": "smtp.firma.example"}, "imap": {"host": "imap.other.example"}});
        let refused = mail(apart).unwrap_err();
        assert_eq!(refused.field, "imap.host");
        let refused = mail(json!({"smtp": {"host": "a", "port": 0}})).unwrap_err();
        assert_eq!((refused.field.as_str(), refused.problem.as_str()), ("smtp.port", "must be 1 to 65535"));
        assert!(mail(json!({"smtp": {"host": "a"}, "password": "x"})).is_err());
        let calendar = |url: &str| checked(ConnectorKind::Calendar, &json!({"url": url}));
        assert_eq!(
            calendar("https://Dav.Firma.example:8443/anna/").unwrap().host.as_deref(),
            Some("dav.firma.example")
        );
        assert_eq!(calendar("https://dav.firma.example").unwrap_err().field, "url");
        assert!(checked(ConnectorKind::Mcp, &json!({})).is_err());
    }
}
