//! One tenant's directory in memory. It decides nothing.

use super::{Entry, TeamBody, UserBody, words};
use bailiwick_ports::{
    Colleague, ColleagueStatus, Person,
    people::{Charge, ForeignId, Team, User},
    store::Document,
};
use bailiwick_types::{AgentId, TeamId, TenantId, Timestamp, UserId};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

#[derive(Default)]
pub(super) struct Shelf {
    /// Ids sort by the time they were made.
    users: BTreeMap<UserId, (Entry<UserBody>, Arc<Person>)>,
    teams: BTreeMap<TeamId, Entry<TeamBody>>,
    charges: BTreeMap<AgentId, (Entry<Charge>, Arc<Colleague>)>,
    logins: HashMap<String, UserId>,
    foreign: HashMap<ForeignId, UserId>,
    /// Whose mail address it is, in lower case.
    addresses: HashMap<String, BTreeSet<UserId>>,
    /// The agents for which somebody answers, as owner or deputy.
    answers_for: HashMap<UserId, BTreeSet<AgentId>>,
    /// The agents for which nobody does.
    orphans: BTreeSet<AgentId>,
}

impl Shelf {
    pub fn put_user(&mut self, tenant: TenantId, entry: Entry<UserBody>) {
        let id = UserId::from_u128(entry.id);
        let body = &entry.body;
        if let Some(login) = &body.login {
            self.logins.insert(words::folded(login), id);
        }
        if let Some(foreign) = &body.foreign {
            self.foreign.insert(foreign.clone(), id);
        }
        if let Some((_, earlier)) = self.users.get(&id)
            && let Some(before) = earlier.email.as_deref().map(address)
            && let Some(theirs) = self.addresses.get_mut(&before)
        {
            theirs.remove(&id);
            if theirs.is_empty() {
                self.addresses.remove(&before);
            }
        }
        if let Some(email) = &body.email {
            self.addresses.entry(address(email)).or_default().insert(id);
        }
        let person = Arc::new(Person {
            id,
            tenant,
            name: body.name.clone(),
            email: body.email.clone(),
            roles: body.roles.clone(),
            teams: body.teams.clone(),
            disabled: body.disabled.is_some(),
        });
        self.users.insert(id, (entry, person));
    }

    pub fn put_team(&mut self, entry: Entry<TeamBody>) {
        self.teams.insert(TeamId::from_u128(entry.id), entry);
    }

    pub fn put_charge(&mut self, entry: Entry<Charge>) {
        let id = AgentId::from_u128(entry.id);
        if let Some((earlier, _)) = self.charges.get(&id) {
            for user in earlier.body.owner.into_iter().chain(earlier.body.deputy) {
                self.answers_for.entry(user).or_default().remove(&id);
            }
        }
        let Charge { owner, deputy, team, status, deleted, .. } = entry.body;
        for user in owner.into_iter().chain(deputy) {
            self.answers_for.entry(user).or_default().insert(id);
        }
        if owner.is_none() && status != ColleagueStatus::Retired && deleted.is_none() {
            self.orphans.insert(id);
        } else {
            self.orphans.remove(&id);
        }
        self.charges.insert(id, (entry, Arc::new(Colleague { id, owner, deputy, team, status })));
    }

    /// An agent that was saved before anybody answered for agents: its newest version is live.
    pub fn put_uncharged(&mut self, agent: &Document) {
        if self.charges.contains_key(&AgentId::from_u128(agent.id)) {
            return;
        }
        let body = Charge { published: agent.version, ..Charge::default() };
        let Document { id, created, updated, .. } = *agent;
        // Its first change writes version 1.
        self.put_charge(Entry { id, version: 0, created, updated, handle: None, body });
    }

    pub fn user_count(&self) -> usize {
        self.users.len()
    }

    pub fn team_count(&self) -> usize {
        self.teams.len()
    }

    pub fn charge_count(&self) -> usize {
        self.charges.len()
    }

    pub fn person(&self, id: UserId) -> Option<Arc<Person>> {
        self.users.get(&id).map(|(_, person)| Arc::clone(person))
    }

    pub fn active(&self, id: UserId) -> Option<(Arc<Person>, Option<Timestamp>)> {
        let (entry, person) = self.users.get(&id)?;
        (!person.disabled).then(|| (Arc::clone(person), entry.body.valid_from))
    }

    /// Whether mail to this address, in canonical form, reaches somebody who is here and not disabled.
    pub fn is_address(&self, address: &str) -> bool {
        self.addresses.get(address).is_some_and(|theirs| theirs.iter().any(|id| self.is_active(*id)))
    }

    pub fn is_active(&self, id: UserId) -> bool {
        self.users.get(&id).is_some_and(|(_, person)| !person.disabled)
    }

    pub fn colleague(&self, id: AgentId) -> Option<Arc<Colleague>> {
        self.charges.get(&id).map(|(_, colleague)| Arc::clone(colleague))
    }

    pub fn by_login(&self, folded: &str) -> Option<UserId> {
        self.logins.get(folded).copied()
    }

    pub fn by_foreign(&self, foreign: &ForeignId) -> Option<UserId> {
        self.foreign.get(foreign).copied()
    }

    pub fn user_entry(&self, id: UserId) -> Option<Entry<UserBody>> {
        self.users.get(&id).map(|(entry, _)| entry.clone())
    }

    pub fn team_entry(&self, id: TeamId) -> Option<Entry<TeamBody>> {
        self.teams.get(&id).cloned()
    }

    pub fn charge_entry(&self, id: AgentId) -> Option<Entry<Charge>> {
        self.charges.get(&id).map(|(entry, _)| entry.clone())
    }

    /// The agents for which somebody answers, as they stand.
    pub fn charges_of(&self, user: UserId) -> Vec<Entry<Charge>> {
        let agents = self.answers_for.get(&user).into_iter().flatten();
        agents.filter_map(|agent| self.charge_entry(*agent)).collect()
    }

    pub fn answers_for_count(&self, user: UserId) -> usize {
        self.answers_for.get(&user).map_or(0, BTreeSet::len)
    }

    pub fn orphans(&self) -> Vec<AgentId> {
        self.orphans.iter().copied().collect()
    }

    pub fn user(&self, id: UserId) -> Option<User> {
        self.users.get(&id).map(|(entry, _)| shown(entry))
    }

    pub fn users(&self) -> Vec<User> {
        self.users.values().map(|(entry, _)| shown(entry)).collect()
    }

    pub fn team(&self, id: TeamId) -> Option<Team> {
        self.teams.get(&id).map(team)
    }

    pub fn teams(&self) -> Vec<Team> {
        self.teams.values().map(team).collect()
    }

    /// Team names are unique, whatever their case.
    pub fn team_named(&self, name: &str) -> Option<TeamId> {
        let wanted = words::folded(name);
        self.teams.iter().find(|(_, entry)| words::folded(&entry.body.name) == wanted).map(|(id, _)| *id)
    }
}

/// What canonical form makes of an address in ASCII. One in other letters is nobody's, which permits less.
fn address(email: &str) -> String {
    email.trim().to_ascii_lowercase()
}

pub(super) fn shown(entry: &Entry<UserBody>) -> User {
    let body = entry.body.clone();
    User {
        id: UserId::from_u128(entry.id),
        name: body.name,
        login: body.login,
        email: body.email,
        roles: body.roles,
        teams: body.teams,
        foreign: body.foreign,
        created: entry.created,
        updated: entry.updated,
        disabled: body.disabled,
    }
}

fn team(entry: &Entry<TeamBody>) -> Team {
    Team { id: TeamId::from_u128(entry.id), name: entry.body.name.clone(), created: entry.created }
}
