//! From what the provider says of a person to who they are here.

use super::Claims;
use crate::sign_in::{entrance::Entrance, unavailable};
use bailiwick_ports::{
    Role, SignInError, StoreError,
    people::{Author, NewUser, People, PeopleError, UserPatch},
};
use bailiwick_types::{Principal, TeamId, UserId};
use std::collections::BTreeMap;

/// Which groups of the provider mean what here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mapping {
    /// The claim that lists a person's groups.
    pub groups_claim: String,
    /// The groups that give each role.
    pub roles: BTreeMap<Role, Vec<String>>,
    /// The team that each group is; it is made when it is first needed.
    pub teams: BTreeMap<String, String>,
    /// What everybody has who may sign in at all. With neither these nor a group, nobody comes in.
    pub default_roles: Vec<Role>,
    /// People are added when they first sign in; else only those come in whom an administrator has added.
    pub provision: bool,
}

impl Default for Mapping {
    fn default() -> Self {
        Self {
            groups_claim: "groups".into(),
            roles: BTreeMap::new(),
            teams: BTreeMap::new(),
            default_roles: vec![Role::Member],
            provision: true,
        }
    }
}

impl Mapping {
    fn roles_of(&self, groups: &[&str]) -> Vec<Role> {
        let given = self.roles.iter().filter(|(_, names)| names.iter().any(|name| groups.contains(&name.as_str())));
        let mut roles: Vec<Role> = given.map(|(role, _)| *role).chain(self.default_roles.iter().copied()).collect();
        roles.sort_unstable();
        roles.dedup();
        roles
    }
}

impl Entrance {
    /// The user that these claims are about, as the provider's groups say at this moment.
    pub(in crate::sign_in) async fn provision(&self, claims: Claims) -> Result<UserId, SignInError> {
        let mapping = self.the_provider()?.mapping();
        let known = self.roster.by_foreign(self.tenant, &claims.foreign);
        if known.is_some_and(|known| self.roster.active(self.tenant, known).is_none()) {
            return Err(SignInError::Refused("this account is disabled: ask an administrator".into()));
        }
        let groups = claims.groups(&mapping.groups_claim);
        let roles = mapping.roles_of(&groups);
        if roles.is_empty() {
            let text = "you are known, but none of your groups has a role here: ask an administrator";
            return Err(SignInError::Refused(text.into()));
        }
        let Some(id) = known else {
            if !mapping.provision {
                let text = "you are known, but nobody has added you here: ask an administrator";
                return Err(SignInError::Refused(text.into()));
            }
            let teams = self.teams_of(&groups, Vec::new()).await?;
            let (name, email) = (claims.name(), claims.email());
            let new = NewUser { name, login: None, email, roles, teams, foreign: Some(claims.foreign) };
            return self.added(new).await;
        };
        let user = self.roster.user(self.tenant, id).ok_or(SignInError::Wrong)?;
        let teams = self.teams_of(&groups, user.teams).await?;
        let patch = UserPatch {
            name: Some(claims.name()),
            email: Some(claims.email()),
            roles: Some(roles),
            teams: Some(teams),
            disabled: None,
        };
        self.roster.change_user(self.author(), id, patch).await.map_err(unavailable)?;
        Ok(id)
    }

    async fn added(&self, new: NewUser) -> Result<UserId, SignInError> {
        let foreign = new.foreign.clone();
        match self.roster.create_user(self.author(), new).await {
            Ok((user, _)) => Ok(user.id),
            // They signed in twice at the same moment.
            Err(PeopleError::Store(StoreError::Conflict)) => {
                let known = foreign.as_ref().and_then(|foreign| self.roster.by_foreign(self.tenant, foreign));
                known.ok_or_else(|| unavailable("two sign-ins met each other"))
            }
            Err(error) => Err(unavailable(error)),
        }
    }

    /// The teams of these groups, with those that no group stands for.
    async fn teams_of(&self, groups: &[&str], held: Vec<TeamId>) -> Result<Vec<TeamId>, SignInError> {
        let mapping = self.the_provider()?.mapping();
        let all = self.roster.teams(self.tenant);
        let named = |name: &str| all.iter().find(|team| team.name.eq_ignore_ascii_case(name)).map(|team| team.id);
        let mapped: Vec<TeamId> = mapping.teams.values().filter_map(|name| named(name)).collect();
        let mut teams: Vec<TeamId> = held.into_iter().filter(|team| !mapped.contains(team)).collect();
        for (group, name) in &mapping.teams {
            if !groups.contains(&group.as_str()) {
                continue;
            }
            let id = match named(name) {
                Some(id) => id,
                None => match self.roster.create_team(self.author(), name.clone()).await {
                    Ok(team) => team.id,
                    // Somebody else's sign-in needed it in the same moment.
                    Err(_) => {
                        let made = self.roster.teams(self.tenant).into_iter().find(|team| team.name == *name);
                        made.ok_or_else(|| unavailable("a team cannot be made"))?.id
                    }
                },
            };
            if !teams.contains(&id) {
                teams.push(id);
            }
        }
        Ok(teams)
    }

    fn author(&self) -> Author {
        let reason = Some("as the identity provider says at a sign-in".to_owned());
        Author { tenant: self.tenant, by: Principal::Operator, reason }
    }
}
