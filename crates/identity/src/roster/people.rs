//! Adding and changing people and teams.

use super::{
    Entry, MAX_TEAMS, MAX_USERS, Roster, Said, TeamBody, UserBody, Write, conflict, shelf,
    words::{check_email, check_login, check_name, folded, invalid},
};
use crate::{
    api_key::{self, BASE62, draw},
    passwords::PasswordDigest,
};
use async_trait::async_trait;
use bailiwick_ports::{
    Role,
    people::{Author, NewUser, People, PeopleError, SetUp, Team, User, UserPatch},
    store::DocumentKind,
};
use bailiwick_types::{Millis, Secret, TeamId, TenantId, Timestamp, UserId};
use serde::{Deserialize, Serialize};
use serde_json::json;

/// How long a code for a first password is good.
const SET_UP_LIFE: Millis = Millis::from_secs(72 * 3600);
const CODE_CHARS: usize = 32;
/// What every code begins with.
pub(crate) const CODE_PREFIX: &str = "bws_";
const MAX_TEAMS_OF_ONE: usize = 100;

/// The sealed body of a password's document, which has its user's id.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct PasswordBody {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<PasswordDigest>,
    /// Until when the code under this document's handle lets a password be chosen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code_expires: Option<Timestamp>,
    /// The handle once more, so that nobody who can write to the database puts their own on this document.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
}

#[async_trait]
impl People for Roster {
    async fn create_user(&self, author: Author, new: NewUser) -> Result<(User, Option<SetUp>), PeopleError> {
        let _writing = self.writing.lock().await;
        let tenant = author.tenant;
        self.check_new(tenant, &new)?;
        let now = self.clock.now();
        let handle = match (&new.login, &new.foreign) {
            (Some(login), _) => self.handle(tenant, "login", &folded(login)).await?,
            (None, Some(foreign)) => {
                self.handle(tenant, "foreign", &format!("{}\0{}", foreign.issuer, foreign.subject)).await?
            }
            (None, None) => return invalid("login", "it is needed: without it nobody can sign in"),
        };
        let id = UserId::new(now, self.random.id_bytes());
        let NewUser { name, login, email, roles, teams, foreign } = new;
        let (roles, teams) = (sorted(roles), sorted(teams));
        let details =
            json!({"roles": roles, "teams": teams, "sign_in": if foreign.is_some() { "provider" } else { "password" }});
        let with_password = login.is_some();
        let body = UserBody { name, login, email, roles, teams, foreign, disabled: None, valid_from: None };
        let entry = Entry::first(id.to_u128(), now, Some(handle), body);
        let user = shelf::shown(&entry);
        let mut writes = vec![Write::User(entry)];
        let mut code = None;
        if with_password {
            let (set_up, body) = self.new_code(now);
            writes.push(Write::Password(Entry::first(id.to_u128(), now, body.code.clone(), body)));
            code = Some(set_up);
        }
        let said = Said { kind: "user.created", target: id.to_string(), details };
        self.commit(author, said, writes, Vec::new()).await?;
        Ok((user, code))
    }

    async fn change_user(&self, author: Author, id: UserId, patch: UserPatch) -> Result<User, PeopleError> {
        let _writing = self.writing.lock().await;
        let tenant = author.tenant;
        let entry = self.read(tenant, |shelf| shelf.user_entry(id)).ok_or_else(|| unknown(id))?;
        let now = self.clock.now();
        let mut body = entry.body.clone();
        let leaves = patch.disabled == Some(true) && body.disabled.is_none();
        let comes_back = patch.disabled == Some(false) && body.disabled.is_some();
        self.apply(tenant, patch, &mut body)?;
        if leaves {
            body.disabled = Some(now);
            // What was open stays closed when the person comes back.
            body.valid_from = Some(now);
        }
        if comes_back {
            body.disabled = None;
        }
        if body == entry.body {
            return Ok(shelf::shown(&entry));
        }
        let kind = match (leaves, comes_back) {
            (true, _) => "user.disabled",
            (_, true) => "user.enabled",
            _ => "user.changed",
        };
        let mut details = json!({"roles": body.roles, "teams": body.teams});
        let entry = entry.next(now, body);
        let user = shelf::shown(&entry);
        let mut writes = vec![Write::User(entry)];
        if leaves {
            let handed = self.hand_over(tenant, id, now);
            let agents = |suspended| -> Vec<String> {
                let of = handed.iter().filter(|(_, left)| *left == suspended);
                of.map(|(charge, _)| bailiwick_types::AgentId::from_u128(charge.id).to_string()).collect()
            };
            details["agents_suspended"] = json!(agents(true));
            details["agents_kept_or_handed_on"] = json!(agents(false));
            writes.extend(handed.into_iter().map(|(charge, _)| Write::Charge(charge)));
        }
        self.commit(author, Said { kind, target: id.to_string(), details }, writes, Vec::new()).await?;
        Ok(user)
    }

    async fn reset_password(&self, author: Author, id: UserId) -> Result<SetUp, PeopleError> {
        let _writing = self.writing.lock().await;
        let tenant = author.tenant;
        let entry = self.read(tenant, |shelf| shelf.user_entry(id)).ok_or_else(|| unknown(id))?;
        if entry.body.login.is_none() {
            let text = "this person signs in at the identity provider: the password is kept there";
            return Err(PeopleError::Refused(text.into()));
        }
        if entry.body.disabled.is_some() {
            return Err(PeopleError::Refused("this person is disabled: enable them first".into()));
        }
        let now = self.clock.now();
        let (set_up, body) = self.new_code(now);
        let found = self.documents.store.document(tenant, DocumentKind::Password, id.to_u128(), None).await;
        let password = match found.map_err(PeopleError::Store)? {
            Some(document) => {
                let earlier: Entry<PasswordBody> = self.documents.entry(tenant, &document).await?;
                Entry { handle: body.code.clone(), ..earlier.next(now, body) }
            }
            None => Entry::first(id.to_u128(), now, body.code.clone(), body),
        };
        let user = entry.next(now, UserBody { valid_from: Some(now), ..entry.body.clone() });
        let said = Said { kind: "user.password_reset", target: id.to_string(), details: json!({}) };
        self.commit(author, said, vec![Write::User(user), Write::Password(password)], Vec::new()).await?;
        Ok(set_up)
    }

    fn user(&self, tenant: TenantId, id: UserId) -> Option<User> {
        self.read(tenant, |shelf| shelf.user(id))
    }

    fn users(&self, tenant: TenantId) -> Vec<User> {
        self.read(tenant, |shelf| shelf.users())
    }

    async fn create_team(&self, author: Author, name: String) -> Result<Team, PeopleError> {
        let _writing = self.writing.lock().await;
        check_name("name", &name)?;
        let tenant = author.tenant;
        let (count, taken) = self.read(tenant, |shelf| (shelf.team_count(), shelf.team_named(&name)));
        if count >= MAX_TEAMS {
            return Err(PeopleError::Refused(format!("there are {MAX_TEAMS} teams already, which is the limit")));
        }
        if taken.is_some() {
            return invalid("name", "there is a team of this name already");
        }
        let now = self.clock.now();
        let id = TeamId::new(now, self.random.id_bytes());
        let handle = Some(self.handle(tenant, "team", &folded(&name)).await?);
        let entry = Entry::first(id.to_u128(), now, handle, TeamBody { name: name.clone() });
        let said = Said { kind: "team.created", target: id.to_string(), details: json!({"name": name}) };
        self.commit(author, said, vec![Write::Team(entry)], Vec::new()).await?;
        Ok(Team { id, name, created: now })
    }

    async fn rename_team(&self, author: Author, id: TeamId, name: String) -> Result<Team, PeopleError> {
        let _writing = self.writing.lock().await;
        check_name("name", &name)?;
        let tenant = author.tenant;
        let (entry, taken) = self.read(tenant, |shelf| (shelf.team_entry(id), shelf.team_named(&name)));
        let entry = entry.ok_or_else(|| PeopleError::Unknown { what: "team", id: id.to_string() })?;
        if taken.is_some_and(|other| other != id) {
            return invalid("name", "there is a team of this name already");
        }
        let handle = Some(self.handle(tenant, "team", &folded(&name)).await?);
        let renamed = Entry { handle, ..entry.next(self.clock.now(), TeamBody { name: name.clone() }) };
        let said = Said { kind: "team.renamed", target: id.to_string(), details: json!({"name": name}) };
        let created = renamed.created;
        self.commit(author, said, vec![Write::Team(renamed)], Vec::new()).await?;
        Ok(Team { id, name, created })
    }

    fn team(&self, tenant: TenantId, id: TeamId) -> Option<Team> {
        self.read(tenant, |shelf| shelf.team(id))
    }

    fn teams(&self, tenant: TenantId) -> Vec<Team> {
        self.read(tenant, |shelf| shelf.teams())
    }
}

impl Roster {
    fn check_new(&self, tenant: TenantId, new: &NewUser) -> Result<(), PeopleError> {
        check_name("name", &new.name)?;
        if let Some(login) = &new.login {
            check_login(login)?;
            if self.by_login(tenant, login).is_some() {
                return invalid("login", "somebody signs in with this name already");
            }
        }
        if new.foreign.as_ref().is_some_and(|foreign| self.by_foreign(tenant, foreign).is_some()) {
            return Err(conflict());
        }
        if let Some(email) = &new.email {
            check_email(email)?;
        }
        self.check_place(tenant, &new.roles, &new.teams)?;
        if self.read(tenant, |shelf| shelf.user_count()) >= MAX_USERS {
            return Err(PeopleError::Refused(format!("there are {MAX_USERS} people already, which is the limit")));
        }
        Ok(())
    }

    fn check_place(&self, tenant: TenantId, roles: &[Role], teams: &[TeamId]) -> Result<(), PeopleError> {
        if roles.is_empty() {
            let known = Role::ALL.map(|role| format!("`{role}`")).join(", ");
            return invalid("roles", format!("at least one is needed; there are {known}"));
        }
        if teams.len() > MAX_TEAMS_OF_ONE {
            return invalid("teams", format!("at most {MAX_TEAMS_OF_ONE} fit"));
        }
        match teams.iter().find(|team| self.team(tenant, **team).is_none()) {
            Some(team) => invalid("teams", format!("there is no team `{team}`")),
            None => Ok(()),
        }
    }

    fn apply(&self, tenant: TenantId, patch: UserPatch, body: &mut UserBody) -> Result<(), PeopleError> {
        if let Some(name) = patch.name {
            check_name("name", &name)?;
            body.name = name;
        }
        if let Some(email) = patch.email {
            email.as_deref().map_or(Ok(()), check_email)?;
            body.email = email;
        }
        if let Some(roles) = patch.roles {
            body.roles = sorted(roles);
        }
        if let Some(teams) = patch.teams {
            body.teams = sorted(teams);
        }
        self.check_place(tenant, &body.roles, &body.teams)
    }

    /// A fresh code, and the password's document that it opens.
    fn new_code(&self, now: Timestamp) -> (SetUp, PasswordBody) {
        let code = Secret::new(format!("{CODE_PREFIX}{}", *draw(CODE_CHARS, BASE62, &*self.random)));
        let expires = now + SET_UP_LIFE;
        let body =
            PasswordBody { digest: None, code_expires: Some(expires), code: Some(api_key::handle(code.expose())) };
        (SetUp { code, expires }, body)
    }

    /// Puts the digest of a chosen password in the place of the code.
    pub(crate) async fn store_password(
        &self,
        author: Author,
        id: UserId,
        earlier: &Entry<PasswordBody>,
        digest: PasswordDigest,
    ) -> Result<(), PeopleError> {
        let _writing = self.writing.lock().await;
        let body = PasswordBody { digest: Some(digest), code_expires: None, code: None };
        let next = Entry { handle: None, ..earlier.next(self.clock.now(), body) };
        let said = Said { kind: "user.password_set", target: id.to_string(), details: json!({}) };
        self.commit(author, said, vec![Write::Password(next)], Vec::new()).await
    }
}

fn unknown(id: UserId) -> PeopleError {
    PeopleError::Unknown { what: "user", id: id.to_string() }
}

fn sorted<T: Ord>(mut list: Vec<T>) -> Vec<T> {
    list.sort_unstable();
    list.dedup();
    list
}
