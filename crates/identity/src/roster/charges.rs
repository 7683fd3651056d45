//! Who answers for which agent, and what becomes of an agent when its owner leaves.

use super::{Entry, MAX_CHARGES, Roster, Said, Write, conflict, shelf::Shelf, words::invalid};
use async_trait::async_trait;
use bailiwick_ports::{
    ColleagueStatus, DocumentWrite,
    people::{Author, Charge, ChargePatch, Colleagues, MAX_PUBLICATIONS, PeopleError, Publication},
};
use bailiwick_types::{AgentId, Principal, TenantId, Timestamp, UserId};
use serde_json::json;

/// Agents for which one person answers, as owner or deputy: they all change hands in one transaction.
const MAX_OF_ONE: usize = 1000;

#[async_trait]
impl Colleagues for Roster {
    async fn engage(
        &self,
        author: Author,
        id: AgentId,
        patch: ChargePatch,
        documents: Vec<DocumentWrite>,
    ) -> Result<Charge, PeopleError> {
        let _writing = self.writing.lock().await;
        let tenant = author.tenant;
        let (known, count) = self.read(tenant, |shelf| (shelf.charge_entry(id).is_some(), shelf.charge_count()));
        if known {
            return Err(conflict());
        }
        if count >= MAX_CHARGES {
            return Err(PeopleError::Refused(format!("there are {MAX_CHARGES} agents already, which is the limit")));
        }
        let charge = self.changed(&author, id, &Charge::default(), patch)?;
        let details = details(&charge);
        let entry = Entry::first(id.to_u128(), self.clock.now(), None, charge.clone());
        let said = Said { kind: "agent.created", target: id.to_string(), details };
        self.commit(author, said, vec![Write::Charge(entry)], documents).await?;
        Ok(charge)
    }

    async fn change_charge(
        &self,
        author: Author,
        id: AgentId,
        kind: &str,
        patch: ChargePatch,
        documents: Vec<DocumentWrite>,
    ) -> Result<Charge, PeopleError> {
        let _writing = self.writing.lock().await;
        let entry = self.read(author.tenant, |shelf| shelf.charge_entry(id));
        let Some(entry) = entry.filter(|entry| entry.body.deleted.is_none()) else {
            return Err(PeopleError::Unknown { what: "agent", id: id.to_string() });
        };
        let charge = self.changed(&author, id, &entry.body, patch)?;
        let details = details(&charge);
        let next = entry.next(self.clock.now(), charge.clone());
        let said = Said { kind, target: id.to_string(), details };
        self.commit(author, said, vec![Write::Charge(next)], documents).await?;
        Ok(charge)
    }

    fn charge(&self, tenant: TenantId, id: AgentId) -> Option<Charge> {
        self.read(tenant, |shelf| shelf.charge_entry(id)).map(|entry| entry.body)
    }

    fn orphans(&self, tenant: TenantId) -> Vec<AgentId> {
        self.read(tenant, Shelf::orphans)
    }
}

impl Roster {
    fn changed(
        &self,
        author: &Author,
        id: AgentId,
        earlier: &Charge,
        patch: ChargePatch,
    ) -> Result<Charge, PeopleError> {
        let tenant = author.tenant;
        let mut charge = earlier.clone();
        let ChargePatch { owner, deputy, team, status, review, publish, deleted } = patch;
        if let Some(owner) = owner {
            self.check_answers(tenant, id, "owner", owner)?;
            charge.owner = owner;
        }
        if let Some(deputy) = deputy {
            self.check_answers(tenant, id, "deputy", deputy)?;
            charge.deputy = deputy;
        }
        if charge.deputy.is_some() && charge.deputy == charge.owner {
            return invalid("deputy", "the deputy must be somebody else than the owner");
        }
        if let Some(team) = team {
            if let Some(team) = team.filter(|team| self.read(tenant, |shelf| shelf.team(*team)).is_none()) {
                return invalid("team", format!("there is no team `{team}`"));
            }
            charge.team = team;
        }
        if let Some(review) = review {
            charge.review = review;
        }
        if let Some(status) = status {
            check_status(earlier, status, charge.owner, &author.by)?;
            charge.status = status;
        }
        if let Some(version) = publish {
            charge.published = version;
            let (at, by, note) = (self.clock.now(), author.by.clone(), author.reason.clone());
            charge.publications.push(Publication { version, at, by, note });
            let over = charge.publications.len().saturating_sub(MAX_PUBLICATIONS);
            charge.publications.drain(..over);
        }
        if deleted {
            charge.deleted = Some(self.clock.now());
        }
        Ok(charge)
    }

    fn check_answers(
        &self,
        tenant: TenantId,
        agent: AgentId,
        field: &'static str,
        user: Option<UserId>,
    ) -> Result<(), PeopleError> {
        let Some(user) = user else { return Ok(()) };
        let (active, count, already) = self.read(tenant, |shelf| {
            let already = shelf.charges_of(user).iter().any(|charge| charge.id == agent.to_u128());
            (shelf.is_active(user), shelf.answers_for_count(user), already)
        });
        if !active {
            return invalid(field, format!("there is no active user `{user}`"));
        }
        if count >= MAX_OF_ONE && !already {
            return invalid(field, format!("`{user}` answers for {MAX_OF_ONE} agents already, which is the limit"));
        }
        Ok(())
    }

    /// The agents of somebody who leaves, as they are afterwards, and whether each was left without an owner.
    pub(super) fn hand_over(&self, tenant: TenantId, leaver: UserId, now: Timestamp) -> Vec<(Entry<Charge>, bool)> {
        let moved = |shelf: &Shelf| {
            let charges = shelf.charges_of(leaver).into_iter();
            charges
                .map(|entry| {
                    let mut charge = entry.body.clone();
                    let mut left = false;
                    if charge.deputy == Some(leaver) {
                        charge.deputy = None;
                    }
                    if charge.owner == Some(leaver) {
                        charge.owner = charge.deputy.take().filter(|deputy| shelf.is_active(*deputy));
                        left = charge.owner.is_none();
                        if left && charge.status == ColleagueStatus::Active {
                            charge.status = ColleagueStatus::Suspended;
                        }
                    }
                    (entry.next(now, charge), left)
                })
                .collect()
        };
        self.read(tenant, moved)
    }
}

/// A retired agent stays retired; one that a leaver left behind needs an owner before it works again.
fn check_status(
    earlier: &Charge,
    wanted: ColleagueStatus,
    owner: Option<UserId>,
    by: &Principal,
) -> Result<(), PeopleError> {
    if earlier.status == ColleagueStatus::Retired && wanted != ColleagueStatus::Retired {
        return invalid("status", "this agent is retired, which is for ever: save another one");
    }
    let wakes = wanted == ColleagueStatus::Active && earlier.status == ColleagueStatus::Suspended;
    if wakes && owner.is_none() && by.person().is_some() {
        return invalid("status", "nobody answers for this agent: give it an `owner` with the same request");
    }
    Ok(())
}

fn details(charge: &Charge) -> serde_json::Value {
    json!({
        "owner": charge.owner, "deputy": charge.deputy, "team": charge.team, "status": charge.status,
        "published": charge.published,
    })
}
