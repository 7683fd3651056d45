//! People, teams and sign-ins. All of it is ours: the official API has none.

use crate::body::nullable;
use bailiwick_ports::{
    Role,
    people::{SetUp, Team, User},
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What somebody may do with the product.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = Role)]
pub enum RoleName {
    /// Everything, people and keys included.
    Admin,
    /// Writes agents.
    Builder,
    /// Watches, stops and settles everybody's sessions.
    Operator,
    /// Sees everything and changes nothing.
    Auditor,
    /// Works with agents.
    Member,
}

impl From<RoleName> for Role {
    fn from(name: RoleName) -> Self {
        match name {
            RoleName::Admin => Self::Admin,
            RoleName::Builder => Self::Builder,
            RoleName::Operator => Self::Operator,
            RoleName::Auditor => Self::Auditor,
            RoleName::Member => Self::Member,
        }
    }
}

impl From<Role> for RoleName {
    fn from(role: Role) -> Self {
        match role {
            Role::Admin => Self::Admin,
            Role::Builder => Self::Builder,
            Role::Operator => Self::Operator,
            Role::Auditor => Self::Auditor,
            Role::Member => Self::Member,
        }
    }
}

#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UserParam {
    /// 1 to 128 characters, for people to read.
    pub name: String,
    /// What the person signs in with here; left out for somebody who comes from the identity provider.
    #[serde(default)]
    pub login: Option<String>,
    /// The person's `sub` at the configured identity provider, to add somebody before they first come.
    #[serde(default)]
    pub subject: Option<String>,
    #[serde(default)]
    pub email: Option<String>,
    /// `member` when it is left out.
    #[serde(default)]
    pub roles: Option<Vec<RoleName>>,
    /// Ids of teams.
    #[serde(default)]
    pub teams: Vec<String>,
}

/// What is left out stays.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UserUpdate {
    #[serde(default)]
    pub name: Option<String>,
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<String>)]
    pub email: Option<Option<String>>,
    #[serde(default)]
    pub roles: Option<Vec<RoleName>>,
    /// Ids of teams; replaces all.
    #[serde(default)]
    pub teams: Option<Vec<String>>,
    /// `true` ends every sign-in at once and hands the person's agents to their deputies, or suspends them.
    #[serde(default)]
    pub disabled: Option<bool>,
}

/// A person.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = User)]
pub struct UserResource {
    pub id: String,
    pub object: &'static str,
    pub name: String,
    pub login: Option<String>,
    pub email: Option<String>,
    pub roles: Vec<RoleName>,
    /// Ids of teams.
    pub teams: Vec<String>,
    /// `active` or `disabled`.
    pub status: &'static str,
    /// `password` or `provider`.
    pub signs_in_by: &'static str,
    /// Seconds since 1970.
    pub created_at: i64,
    pub updated_at: i64,
    pub disabled_at: Option<i64>,
    /// Lets the person choose a password, once. Only when the person is added or the password is reset.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub set_up: Option<SetUpResource>,
}

#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = SetUp)]
pub struct SetUpResource {
    /// To be handed to the person and to nobody else.
    pub code: String,
    pub expires_at: i64,
}

impl UserResource {
    pub fn of(user: User, set_up: Option<SetUp>) -> Self {
        Self {
            id: user.id.to_string(),
            object: "bailiwick.user",
            name: user.name,
            login: user.login,
            email: user.email,
            roles: user.roles.into_iter().map(Into::into).collect(),
            teams: user.teams.iter().map(ToString::to_string).collect(),
            status: if user.disabled.is_some() { "disabled" } else { "active" },
            signs_in_by: if user.foreign.is_some() { "provider" } else { "password" },
            created_at: user.created.as_seconds(),
            updated_at: user.updated.as_seconds(),
            disabled_at: user.disabled.map(|at| at.as_seconds()),
            set_up: set_up.map(|set_up| SetUpResource {
                code: set_up.code.expose().to_owned(),
                expires_at: set_up.expires.as_seconds(),
            }),
        }
    }
}

#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TeamParam {
    /// 1 to 128 characters; unique.
    pub name: String,
}

/// People who work together.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = Team)]
pub struct TeamResource {
    pub id: String,
    pub object: &'static str,
    pub name: String,
    pub created_at: i64,
}

impl From<Team> for TeamResource {
    fn from(team: Team) -> Self {
        let created_at = team.created.as_seconds();
        Self { id: team.id.to_string(), object: "bailiwick.team", name: team.name, created_at }
    }
}

#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SignInParam {
    /// The organisation, by its name or id; else the one with which the server began.
    #[serde(default)]
    pub organisation: Option<String>,
    pub login: String,
    pub password: String,
    /// `browser` sets a cookie; `bearer` answers with a token.
    #[serde(default)]
    pub medium: MediumParam,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum MediumParam {
    #[default]
    Browser,
    Bearer,
}

#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SetUpParam {
    /// As an administrator handed it over.
    pub code: String,
    /// At least 12 characters.
    pub password: String,
}

/// How one can sign in here.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct SignInWays {
    pub object: &'static str,
    pub password: bool,
    /// `GET /bailiwick/v1/sign-in/provider` leads a browser there.
    pub provider: bool,
}

/// Somebody who was let in.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = SignIn)]
pub struct SignInResource {
    pub object: &'static str,
    pub user: UserResource,
    pub expires_at: i64,
    /// For `Authorization: Bearer`. Shown this once, and only for `bearer`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    /// For the header `x-bailiwick-page` of each request that changes something. Only for `browser`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub page_token: Option<String>,
}

/// Who is asking.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Me {
    pub object: &'static str,
    /// `user`, `service`, `agent` or `operator`.
    pub r#type: &'static str,
    /// The id of the organisation.
    pub organisation: String,
    /// Who it is, in words.
    pub principal: String,
    pub scopes: Vec<&'static str>,
    /// In which every amount is (ISO 4217).
    pub currency: String,
    /// The person, or the person for whom an agent asks.
    pub user: Option<UserResource>,
    /// As at the sign-in; only for a cookie.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub page_token: Option<String>,
}

#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct SignedOut {
    pub object: &'static str,
    /// Where a browser goes to sign out at the identity provider as well.
    pub provider_url: Option<String>,
}
