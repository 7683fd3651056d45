//! `[identity]`: how long people stay signed in, and the identity provider that they come from.

use super::known::Known::{self, Named, Table, Value};
use bailiwick_ports::Role;
use serde::Deserialize;
use std::collections::BTreeMap;

/// A day: whoever leaves must not stay for longer.
const MAX_RECHECK_MINUTES: u32 = 24 * 60;

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Identity {
    /// Hours until a browser's sign-in ends.
    pub browser_hours: u32,
    /// Days until a command line's sign-in ends.
    pub bearer_days: u32,
    /// Other systems that agents' tokens may be for.
    pub token_audiences: Vec<String>,
    /// Days after which another key signs tokens.
    pub signing_key_days: u32,
    pub oidc: Option<OpenId>,
    /// Of the other organisations on this server, by their names.
    pub organisations: BTreeMap<String, Organisation>,
}

/// `[identity.organisations.NAME]`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Organisation {
    pub oidc: OpenId,
}

impl Identity {
    /// Every provider, with the name of its organisation; that of the first has none here.
    pub fn providers(&self) -> impl Iterator<Item = (Option<&str>, &OpenId)> {
        let others = self.organisations.iter().map(|(name, organisation)| (Some(name.as_str()), &organisation.oidc));
        self.oidc.iter().map(|oidc| (None, oidc)).chain(others)
    }
}

impl Default for Identity {
    fn default() -> Self {
        Self {
            browser_hours: 12,
            bearer_days: 30,
            token_audiences: Vec::new(),
            signing_key_days: 90,
            oidc: None,
            organisations: BTreeMap::new(),
        }
    }
}

/// `[identity.oidc]`: the OpenID provider.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OpenId {
    /// Exactly as the provider writes it.
    pub issuer: String,
    pub client_id: String,
    /// The environment variable that holds the client's secret; none for a public client.
    #[serde(default)]
    pub client_secret_env: Option<String>,
    /// Beside `openid`.
    #[serde(default = "default_scopes")]
    pub scopes: Vec<String>,
    #[serde(default = "default_claim")]
    pub groups_claim: String,
    /// The groups that give each role.
    #[serde(default)]
    pub roles: BTreeMap<Role, Vec<String>>,
    /// The team that each group is.
    #[serde(default)]
    pub teams: BTreeMap<String, String>,
    /// What everybody gets who may sign in at the provider.
    #[serde(default = "default_roles")]
    pub default_roles: Vec<Role>,
    /// People are added when they first sign in.
    #[serde(default = "yes")]
    pub provision: bool,
    /// Minutes after which the provider is asked whether a sign-in may go on, where it gives refresh tokens.
    #[serde(default = "default_recheck")]
    pub recheck_minutes: u32,
    /// The provider is inside: plain HTTP, loopback and private addresses are open.
    #[serde(default)]
    pub private_network: bool,
}

fn default_scopes() -> Vec<String> {
    vec!["profile".into(), "email".into()]
}

fn default_recheck() -> u32 {
    60
}

fn default_claim() -> String {
    "groups".into()
}

fn default_roles() -> Vec<Role> {
    vec![Role::Member]
}

fn yes() -> bool {
    true
}

pub(super) const IDENTITY: Known = Table(&[
    ("browser_hours", Value),
    ("bearer_days", Value),
    ("token_audiences", Value),
    ("signing_key_days", Value),
    ("oidc", OPEN_ID),
    ("organisations", Named(&ORGANISATION)),
]);

const ORGANISATION: Known = Table(&[("oidc", OPEN_ID)]);

pub(super) const OPEN_ID: Known = Table(&[
    ("issuer", Value),
    ("client_id", Value),
    ("client_secret_env", Value),
    ("scopes", Value),
    ("groups_claim", Value),
    ("roles", ROLES),
    ("teams", Named(&Value)),
    ("default_roles", Value),
    ("provision", Value),
    ("recheck_minutes", Value),
    ("private_network", Value),
]);

const ROLES: Known =
    Table(&[("admin", Value), ("builder", Value), ("operator", Value), ("auditor", Value), ("member", Value)]);

/// What TOML and serde cannot see: the key below `[identity]` and what is wrong with it.
pub(super) fn check(identity: &Identity, mut refuse: impl FnMut(&[&str], String)) {
    for (key, value, most) in [
        ("browser_hours", identity.browser_hours, 24 * 30),
        ("bearer_days", identity.bearer_days, 365),
        ("signing_key_days", identity.signing_key_days, 3650),
    ] {
        if value == 0 || value > most {
            refuse(&["identity", key], format!("`{key}` must be 1 to {most}"));
        }
    }
    if let Some(oidc) = &identity.oidc {
        check_provider(oidc, &["identity", "oidc"], &mut refuse);
    }
    for (name, organisation) in &identity.organisations {
        check_provider(&organisation.oidc, &["identity", "organisations", name, "oidc"], &mut refuse);
    }
}

fn check_provider(oidc: &OpenId, place: &[&str], refuse: &mut impl FnMut(&[&str], String)) {
    let mut refuse = |key: &'static str, message: String| refuse(&[place, &[key]].concat(), message);
    if !(1..=MAX_RECHECK_MINUTES).contains(&oidc.recheck_minutes) {
        let message = format!("`recheck_minutes` must be 1 to {MAX_RECHECK_MINUTES}");
        refuse("recheck_minutes", message);
    }
    if let Some(variable) = &oidc.client_secret_env
        && !super::is_variable(variable)
    {
        let message = format!(
            "`{}` is not the name of an environment variable; write the name here, and put the secret into that \
             variable",
            super::masked(variable)
        );
        refuse("client_secret_env", message);
    }
    if oidc.roles.is_empty() && oidc.default_roles.is_empty() {
        let message = "nobody would have a role: give `default_roles`, or groups in `roles`";
        refuse("default_roles", message.into());
    }
}
