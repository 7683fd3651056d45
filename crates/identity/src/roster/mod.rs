//! The directory: people, teams, and who answers for which agent.
//!
//! Everything is held in memory, because the gate asks inside a commit; every change is written down, as a record of the
//! tenant's administration with the documents that it changes, before memory says it too. Memory never says less than
//! what is stored about who is disabled: a change that may have been written is read again before it is answered.
//!
//! One process keeps a tenant's directory. Several would have to tell each other what they changed, or to read the
//! status inside the commit.

mod charges;
mod people;
mod shelf;
mod words;

pub(crate) use people::PasswordBody;
use shelf::Shelf;
pub(crate) use words::{check_name, is_email};

use crate::{
    credentials::CredentialError,
    documents::{Documents, Entry},
    hex,
    shelves::Shelves,
};
use bailiwick_ports::{
    Administration, Change, Clock, Colleague, Directory, DocumentWrite, Keys, Person, Random, Role, Store, StoreError,
    people::{Author, Charge, ForeignId, PeopleError},
    store::{Document, DocumentKind},
};
use bailiwick_types::{AgentId, TeamId, TenantId, Timestamp, UserId};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::sync::Arc;

/// People, teams and agents of one tenant that are kept in memory.
const MAX_USERS: usize = 50_000;
const MAX_TEAMS: usize = 5_000;
const MAX_CHARGES: usize = 50_000;

/// The sealed body of a user's document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct UserBody {
    pub name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub login: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    pub roles: Vec<Role>,
    pub teams: Vec<TeamId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub foreign: Option<ForeignId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disabled: Option<Timestamp>,
    /// Sign-ins and tokens from before this moment are over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub valid_from: Option<Timestamp>,
}

/// The sealed body of a team's document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct TeamBody {
    pub name: String,
}

/// One document that a change writes.
pub(crate) enum Write {
    User(Entry<UserBody>),
    Team(Entry<TeamBody>),
    Charge(Entry<Charge>),
    Password(Entry<PasswordBody>),
}

impl Write {
    fn place(&self) -> (DocumentKind, u128) {
        match self {
            Self::User(entry) => (DocumentKind::User, entry.id),
            Self::Team(entry) => (DocumentKind::Team, entry.id),
            Self::Charge(entry) => (DocumentKind::Colleague, entry.id),
            Self::Password(entry) => (DocumentKind::Password, entry.id),
        }
    }
}

/// What a receipt says of a change.
pub(crate) struct Said<'a> {
    pub kind: &'a str,
    pub target: String,
    pub details: Value,
}

/// The directory of every tenant. One for each process.
pub struct Roster {
    pub(crate) documents: Documents,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) random: Arc<dyn Random>,
    shelves: Shelves<Shelf>,
    /// Changes are made one after the other, each on what the last one left.
    writing: tokio::sync::Mutex<()>,
}

impl Roster {
    /// Reads the whole directory.
    pub async fn load(
        store: Arc<dyn Store>,
        keys: Arc<dyn Keys>,
        administration: Arc<dyn Administration>,
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
    ) -> Result<Self, PeopleError> {
        let roster = Self {
            documents: Documents::new(store, keys, administration),
            clock,
            random,
            shelves: Shelves::default(),
            writing: tokio::sync::Mutex::default(),
        };
        for tenant in roster.documents.store.tenants().await.map_err(PeopleError::Store)? {
            for kind in [DocumentKind::User, DocumentKind::Team, DocumentKind::Colleague] {
                for document in roster.documents.sealed(tenant.id, kind).await? {
                    roster.take_in(tenant.id, &document).await?;
                }
            }
            for document in roster.documents.sealed(tenant.id, DocumentKind::Agent).await? {
                roster.write(tenant.id, |shelf| shelf.put_uncharged(&document));
            }
        }
        Ok(roster)
    }

    /// Looks at one tenant's shelf. Nothing may be awaited meanwhile.
    fn read<T>(&self, tenant: TenantId, look: impl FnOnce(&Shelf) -> T) -> T {
        self.shelves.read(tenant, look)
    }

    fn write<T>(&self, tenant: TenantId, change: impl FnOnce(&mut Shelf) -> T) -> T {
        self.shelves.write(tenant, change)
    }

    /// Puts a stored document into memory.
    async fn take_in(&self, tenant: TenantId, document: &Document) -> Result<(), PeopleError> {
        match document.kind {
            DocumentKind::User => {
                let entry = self.documents.entry(tenant, document).await?;
                self.write(tenant, |shelf| shelf.put_user(tenant, entry));
            }
            DocumentKind::Team => {
                let entry = self.documents.entry(tenant, document).await?;
                self.write(tenant, |shelf| shelf.put_team(entry));
            }
            DocumentKind::Colleague => {
                let entry = self.documents.entry(tenant, document).await?;
                self.write(tenant, |shelf| shelf.put_charge(entry));
            }
            _ => {}
        }
        Ok(())
    }

    async fn seal<B: Serialize>(
        &self,
        tenant: TenantId,
        kind: DocumentKind,
        entry: &Entry<B>,
    ) -> Result<DocumentWrite, CredentialError> {
        let sealed = self.documents.seal(tenant, (kind, entry.id, entry.version), &entry.body).await?;
        let Entry { id, version, created, updated, .. } = *entry;
        Ok(DocumentWrite::Put(Document { kind, id, version, created, updated, handle: entry.handle.clone(), sealed }))
    }

    /// Writes a change down and then says it in memory. The caller holds `writing`.
    pub(crate) async fn commit(
        &self,
        author: Author,
        said: Said<'_>,
        writes: Vec<Write>,
        mut documents: Vec<DocumentWrite>,
    ) -> Result<(), PeopleError> {
        let Author { tenant, by, reason } = author;
        for write in &writes {
            let (kind, _) = write.place();
            documents.push(match write {
                Write::User(entry) => self.seal(tenant, kind, entry).await?,
                Write::Team(entry) => self.seal(tenant, kind, entry).await?,
                Write::Charge(entry) => self.seal(tenant, kind, entry).await?,
                Write::Password(entry) => self.seal(tenant, kind, entry).await?,
            });
        }
        let Said { kind, target, details } = said;
        let change = Change { tenant, by, kind: kind.to_owned(), target, reason, details, documents };
        if let Err(error) = self.documents.administration.change(change).await {
            self.read_again(tenant, &writes).await;
            return Err(PeopleError::Store(error));
        }
        self.write(tenant, |shelf| {
            for write in writes {
                match write {
                    Write::User(entry) => shelf.put_user(tenant, entry),
                    Write::Team(entry) => shelf.put_team(entry),
                    Write::Charge(entry) => shelf.put_charge(entry),
                    Write::Password(_) => {}
                }
            }
        });
        Ok(())
    }

    /// After a change that may have been written after all, or that met somebody else's: the store knows.
    async fn read_again(&self, tenant: TenantId, writes: &[Write]) {
        for (kind, id) in writes.iter().map(Write::place) {
            let read = async {
                let found = self.documents.store.document(tenant, kind, id, None).await.map_err(PeopleError::Store)?;
                match found {
                    Some(document) => self.take_in(tenant, &document).await,
                    None => Ok(()),
                }
            };
            if let Err(error) = read.await {
                tracing::error!(%error, "an entry of the directory could not be read again after a failed change");
            }
        }
    }

    /// Digest under which a name is stored in the clear, so that the store keeps it unique and nobody reads it there.
    async fn handle(&self, tenant: TenantId, purpose: &str, name: &str) -> Result<String, CredentialError> {
        let key = self.documents.tenant_key(tenant).await?;
        Ok(hex::encode(&key.digest(&[b"bailiwick.name/", purpose.as_bytes(), b"\0", name.as_bytes()].concat())))
    }

    /// A person with when their sign-ins begin to count; `None` for nobody, or somebody who is disabled.
    pub(crate) fn active(&self, tenant: TenantId, user: UserId) -> Option<(Arc<Person>, Option<Timestamp>)> {
        self.read(tenant, |shelf| shelf.active(user))
    }

    pub(crate) fn by_login(&self, tenant: TenantId, login: &str) -> Option<UserId> {
        self.read(tenant, |shelf| shelf.by_login(&words::folded(login)))
    }

    pub(crate) fn by_foreign(&self, tenant: TenantId, foreign: &ForeignId) -> Option<UserId> {
        self.read(tenant, |shelf| shelf.by_foreign(foreign))
    }
}

impl Directory for Roster {
    fn person(&self, tenant: TenantId, user: UserId) -> Option<Arc<Person>> {
        self.read(tenant, |shelf| shelf.person(user))
    }

    fn colleague(&self, tenant: TenantId, agent: AgentId) -> Option<Arc<Colleague>> {
        self.read(tenant, |shelf| shelf.colleague(agent))
    }

    fn is_address(&self, tenant: TenantId, address: &str) -> bool {
        self.read(tenant, |shelf| shelf.is_address(address))
    }
}

impl From<CredentialError> for PeopleError {
    fn from(error: CredentialError) -> Self {
        match error {
            CredentialError::Store(error) => Self::Store(error),
            other => Self::Unavailable(other.to_string()),
        }
    }
}

fn conflict() -> PeopleError {
    PeopleError::Store(StoreError::Conflict)
}
