//! Erasing one person's content: their sessions are ended and removed, their files go, their key is destroyed, and the
//! records stay as what they are then, leaves that nobody can read.
//!
//! An erasure is a document with a stage, and every stage may be done again: whoever finds one that is not done goes on
//! with it, after a crash as well. Nothing is destroyed while a legal hold covers the person.

use crate::{Eraser, handle::Options};
use bailiwick_core::record::{Body, Input, InputEnvelope};
use bailiwick_gate::{ArchiveError, Deleting, GateError, Hold, Journal};
use bailiwick_ports::{
    AuditError, Change, DocumentWrite, ErasedPerson, StoreError, StreamKey,
    people::Author,
    store::{Document, DocumentKind, Page, ReadableQuery, ReadableStream, RowKind, Subjects},
    tenant_key,
    vault::VaultOwner,
};
use bailiwick_types::{FileId, Millis, Principal, SessionId, StreamId, TenantId, Timestamp, UserId};
use serde::{Deserialize, Serialize};
use serde_json::json;

/// How long sessions may take to end before they are cut off.
pub const PATIENCE: Millis = Millis::from_secs(60);
/// Streams without a person's key that one round takes: their keys are destroyed in one change.
const MAX_UNKEYED: usize = 1000;
/// Streams, documents or rows that are looked at together.
const PAGE: u32 = 200;
/// Erasures of one tenant that are listed. They are never removed.
const MAX_LISTED: u32 = 10_000;

/// How far an erasure has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// The person's sessions are being ended.
    Ordered,
    /// The key is gone: nothing can be read any more. What is left of it is being removed.
    Destroyed,
    Done,
}

/// The erasure of one person's content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Erasure {
    pub person: UserId,
    pub by: Principal,
    pub reason: String,
    pub ordered: Timestamp,
    pub stage: Stage,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished: Option<Timestamp>,
    /// Sessions whose records nobody can read any more.
    #[serde(default)]
    pub sessions: u64,
    /// Uploaded files that were removed.
    #[serde(default)]
    pub files: u64,
    /// What was remembered for the person and was removed.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub memories: u64,
    /// Done again after an older backup was restored: what was there by then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub again_until: Option<Timestamp>,
    /// Streams from before people had keys, whose own were destroyed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    unkeyed: Vec<StreamId>,
}

#[derive(Debug, thiserror::Error)]
pub enum ErasureError {
    #[error("a legal hold on {} forbids it, set by {} for: {}", .0.scope.target(), .0.by, .0.reason)]
    Held(Box<Hold>),
    #[error("the list of erasures cannot be written: {0}")]
    List(String),
    #[error("a vault cannot be removed: {0}")]
    Vault(String),
    #[error("memory cannot be removed: {0}")]
    Memory(String),
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    #[error(transparent)]
    Audit(#[from] AuditError),
}

impl From<StoreError> for ErasureError {
    fn from(error: StoreError) -> Self {
        Self::Archive(error.into())
    }
}

impl From<GateError> for ErasureError {
    fn from(error: GateError) -> Self {
        Self::Archive(error.into())
    }
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// As much of a file's document as says whose it is.
#[derive(Deserialize)]
struct FileOwner {
    creator: Option<Principal>,
}

impl Eraser {
    fn engine(&self) -> &Options {
        self.0.handle.options()
    }

    /// Orders that everything that this person keeps here, or that was done in their rights, becomes unreadable. It is
    /// on disk when this returns; [`Eraser::run`] does it. Ordering it again while it runs changes nothing.
    pub async fn order(
        &self,
        tenant: TenantId,
        person: UserId,
        by: Principal,
        reason: String,
    ) -> Result<Erasure, ErasureError> {
        let _one_at_a_time = self.0.deciding.lock().await;
        self.check_held(tenant, &Deleting { person: Some(person), ..Deleting::default() }).await?;
        if let Some((erasure, _)) = self.find(tenant, person).await?
            && erasure.stage != Stage::Done
        {
            return Ok(erasure);
        }
        let ordered = self.engine().clock.now();
        // First the list: an entry too many erases what was ordered to be erased anyway.
        if let Some(list) = &self.0.options.list {
            list.keep(ErasedPerson { tenant, person, at: ordered }).await.map_err(ErasureError::List)?;
        }
        let erasure = Erasure {
            person,
            by,
            reason,
            ordered,
            stage: Stage::Ordered,
            finished: None,
            sessions: 0,
            files: 0,
            memories: 0,
            again_until: None,
            unkeyed: Vec::new(),
        };
        self.write(tenant, "user.erasure_ordered", &erasure, Vec::new()).await?;
        self.0.bell.notify_one();
        Ok(erasure)
    }

    /// Refuses when a hold covers what is to be deleted.
    pub async fn check_held(&self, tenant: TenantId, deleting: &Deleting) -> Result<(), ErasureError> {
        match self.0.holds.covering(tenant, deleting).await? {
            Some(hold) => Err(ErasureError::Held(Box::new(hold))),
            None => Ok(()),
        }
    }

    /// All erasures of a tenant, oldest first.
    pub async fn erasures(&self, tenant: TenantId) -> Result<Vec<Erasure>, ErasureError> {
        let page = Page { limit: MAX_LISTED, ..Page::default() };
        let found = self.engine().store.documents(tenant, DocumentKind::Erasure, page).await?;
        let key = self.key(tenant).await?;
        let documents = found.map(|(documents, _)| documents).unwrap_or_default();
        documents.iter().map(|document| Ok(open(&*key, document)?)).collect()
    }

    pub async fn erasure(&self, tenant: TenantId, person: UserId) -> Result<Option<Erasure>, ErasureError> {
        Ok(self.find(tenant, person).await?.map(|(erasure, _)| erasure))
    }

    async fn find(&self, tenant: TenantId, person: UserId) -> Result<Option<(Erasure, Document)>, ErasureError> {
        let found = self.engine().store.document(tenant, DocumentKind::Erasure, person.to_u128(), None).await?;
        let Some(document) = found else { return Ok(None) };
        Ok(Some((open(&*self.key(tenant).await?, &document)?, document)))
    }

    pub(crate) async fn key(&self, tenant: TenantId) -> Result<std::sync::Arc<dyn StreamKey>, GateError> {
        Ok(tenant_key(&*self.engine().store, &*self.engine().keys, tenant).await?)
    }

    /// The next version of an erasure's document with its receipt, and what is destroyed in the same transaction.
    async fn write(
        &self,
        tenant: TenantId,
        kind: &str,
        erasure: &Erasure,
        destroys: Vec<DocumentWrite>,
    ) -> Result<(), ErasureError> {
        let before = self.find(tenant, erasure.person).await?.map(|(_, document)| document);
        let now = self.engine().clock.now();
        let (id, version) = (erasure.person.to_u128(), before.as_ref().map_or(0, |document| document.version) + 1);
        let created = before.map_or(now, |document| document.created);
        let context = DocumentKind::Erasure.context(id, version);
        let sealed = self.key(tenant).await?.seal(&context, json!(erasure).to_string().as_bytes()).into();
        let kept = DocumentKind::Erasure;
        let document = Document { kind: kept, id, version, created, updated: now, handle: None, sealed };
        let details = json!({"ordered": erasure.ordered, "sessions": erasure.sessions, "files": erasure.files});
        let change = Change {
            tenant,
            by: erasure.by.clone(),
            kind: kind.into(),
            target: erasure.person.to_string(),
            reason: Some(erasure.reason.clone()),
            details,
            documents: [DocumentWrite::Put(document)].into_iter().chain(destroys).collect(),
        };
        Ok(self.0.options.administration.change(change).await?)
    }

    /// One step of every erasure that is not done. `true` when nothing is left to do.
    pub async fn work(&self) -> Result<bool, ErasureError> {
        let mut done = true;
        for tenant in self.engine().store.tenants().await? {
            for erasure in self.erasures(tenant.id).await?.into_iter().filter(|one| one.stage != Stage::Done) {
                done &= self.step(tenant.id, erasure).await?;
            }
        }
        Ok(done)
    }

    async fn step(&self, tenant: TenantId, erasure: Erasure) -> Result<bool, ErasureError> {
        let person = erasure.person;
        let erasure = match erasure.stage {
            Stage::Ordered => match self.destroy(tenant, erasure).await? {
                Some(erasure) => erasure,
                None => return Ok(false),
            },
            _ => erasure,
        };
        if !self.remove_rest(tenant, &erasure).await? {
            return Ok(false);
        }
        let mut erasure = erasure;
        erasure.memories += self.remove_memories(tenant, &erasure).await?;
        // What had no room in the first round has a round of its own.
        let (kind, stage, finished) = match self.unkeyed(tenant, person).await?.is_empty() {
            true => ("user.erasure_finished", Stage::Done, Some(self.engine().clock.now())),
            false => ("user.erasure_goes_on", Stage::Ordered, None),
        };
        let erasure = Erasure { stage, finished, unkeyed: Vec::new(), ..erasure };
        self.write(tenant, kind, &erasure, Vec::new()).await?;
        self.0.waiting().remove(&(tenant, person));
        Ok(stage == Stage::Done)
    }

    /// Ends the sessions, and when they have ended, or their time is over, removes the files and destroys the key.
    async fn destroy(&self, tenant: TenantId, mut erasure: Erasure) -> Result<Option<Erasure>, ErasureError> {
        let (person, options) = (erasure.person, self.engine());
        // What was erased once is erased again, whatever a backup says about holds.
        let about = Deleting { person: Some(person), ..Deleting::default() };
        if erasure.again_until.is_none() && self.0.holds.covering(tenant, &about).await?.is_some() {
            return Ok(None);
        }
        let unkeyed = self.unkeyed(tenant, person).await?;
        let mut all: Vec<StreamId> = unkeyed.clone();
        all.extend(self.readable(tenant, Subjects::Person(person)).await?.iter().map(|one| one.stream));
        let rest = self.end_sessions(tenant, &erasure, &unkeyed).await?;
        let since = *self.0.waiting().entry((tenant, person)).or_insert_with(|| options.clock.now());
        if !rest && options.clock.now() < since + PATIENCE {
            return Ok(None);
        }
        erasure.files += self.remove_files(tenant, person).await?;
        self.remove_vaults(tenant, &erasure).await?;
        // What the records are about is indexed while they can be read.
        self.0.options.auditor.status(tenant).await?;
        let _one_at_a_time = self.0.deciding.lock().await;
        if erasure.again_until.is_none() {
            self.check_held(tenant, &about).await?;
        }
        let until = erasure.again_until.unwrap_or_else(|| options.clock.now());
        let mut destroys = vec![DocumentWrite::DestroyKey { person, until }];
        destroys.extend(unkeyed.iter().map(|stream| DocumentWrite::DestroyStreamKey { stream: *stream }));
        erasure.sessions += all.len() as u64;
        let erasure = Erasure { stage: Stage::Destroyed, unkeyed, ..erasure };
        self.write(tenant, "user.erased", &erasure, destroys).await?;
        Ok(Some(erasure))
    }

    /// Asks every session of the person to end. `true` when all have.
    async fn end_sessions(
        &self,
        tenant: TenantId,
        erasure: &Erasure,
        unkeyed: &[StreamId],
    ) -> Result<bool, ErasureError> {
        let mut ended = true;
        let mut all = self.readable(tenant, Subjects::Person(erasure.person)).await?;
        let nobodys = self.readable(tenant, Subjects::Nobody).await?;
        all.extend(nobodys.into_iter().filter(|one| unkeyed.contains(&one.stream)));
        for ReadableStream { stream, at_rest, .. } in all {
            let session = SessionId::from(stream);
            let row = self.engine().store.row(tenant, RowKind::Session, session.to_u128()).await?;
            ended &= at_rest && row.is_none();
            let told = !self.0.told().insert((tenant, session));
            if row.is_some() && !told {
                let delete = InputEnvelope { orderer: erasure.by.clone(), input: Input::Delete };
                // One that is in the way of this is cut off in the end.
                if let Err(error) = self.0.handle.submit(tenant, session, vec![delete], None).await {
                    tracing::warn!(%session, %error, "a session could not be told to end");
                }
            }
        }
        Ok(ended)
    }

    /// All streams of these subjects whose own key is there.
    pub async fn readable(&self, tenant: TenantId, of: Subjects) -> Result<Vec<ReadableStream>, ErasureError> {
        let mut all: Vec<ReadableStream> = Vec::new();
        loop {
            let after = all.last().map_or(0, |last| last.cursor);
            let query = ReadableQuery { tenant, of, quiet_since: None, after, limit: PAGE };
            let found = self.engine().store.readable_streams(query).await?;
            let more = found.len() == PAGE as usize;
            all.extend(found);
            if !more {
                return Ok(all);
            }
        }
    }

    /// Streams of this person from before people had keys, as their first record says; as many as one round takes.
    async fn unkeyed(&self, tenant: TenantId, person: UserId) -> Result<Vec<StreamId>, ErasureError> {
        let mut found = Vec::new();
        for one in self.readable(tenant, Subjects::Nobody).await? {
            if found.len() < MAX_UNKEYED && self.creator(tenant, one.stream).await? == Some(person) {
                found.push(one.stream);
            }
        }
        Ok(found)
    }

    async fn creator(&self, tenant: TenantId, stream: StreamId) -> Result<Option<UserId>, ErasureError> {
        let options = self.engine();
        let Some(head) = options.store.head(stream).await? else { return Ok(None) };
        let Ok(journal) = Journal::open(&*options.keys, tenant, stream, &head.key) else { return Ok(None) };
        let first = options.store.records(stream, 0, 1).await?;
        match first.first().map(|sealed| journal.open_record(sealed)).transpose()?.map(|record| record.body) {
            Some(Body::SessionCreated(created)) => Ok(created.creator.person()),
            _ => Ok(None),
        }
    }

    /// Removes what is remembered for the person alone. What others share stays theirs.
    async fn remove_memories(&self, tenant: TenantId, erasure: &Erasure) -> Result<u64, ErasureError> {
        let until = erasure.again_until.unwrap_or_else(|| self.engine().clock.now());
        let removed = self.0.options.memories.erase_person(tenant, erasure.person, until).await;
        removed.map_err(|error| ErasureError::Memory(error.to_string()))
    }

    /// Removes the person's own vaults with their credentials.
    async fn remove_vaults(&self, tenant: TenantId, erasure: &Erasure) -> Result<(), ErasureError> {
        let (desk, own) = (&self.0.options.vaults, VaultOwner::User { id: erasure.person });
        for vault in desk.vaults(tenant).into_iter().filter(|vault| vault.owner == own) {
            let author = Author { tenant, by: erasure.by.clone(), reason: Some(erasure.reason.clone()) };
            let removed = desk.delete_vault(author, vault.id).await;
            removed.map_err(|error| ErasureError::Vault(error.to_string()))?;
        }
        Ok(())
    }

    /// Removes the files that the person uploaded, each its bytes first, which its entry names.
    async fn remove_files(&self, tenant: TenantId, person: UserId) -> Result<u64, ErasureError> {
        let (options, key) = (self.engine(), self.key(tenant).await?);
        let mut page = Page { limit: PAGE, ..Page::default() };
        let mut removed = 0;
        while let Some((documents, more)) = options.store.documents(tenant, DocumentKind::File, page.clone()).await? {
            let last = documents.last().map(|document| document.id);
            let mut kept = page.after;
            for document in documents {
                let context = document.kind.context(document.id, document.version);
                let plain = key.unseal(&context, &document.sealed).map_err(GateError::from)?;
                let owner = serde_json::from_slice::<FileOwner>(&plain).ok().and_then(|file| file.creator);
                if owner.and_then(|owner| owner.person()) != Some(person) {
                    kept = Some(document.id);
                    continue;
                }
                options.archive.remove_file(tenant, FileId::from_u128(document.id)).await?;
                options.store.remove_document(tenant, DocumentKind::File, document.id).await?;
                removed += 1;
            }
            // A cursor must be there: those that were removed are none.
            page.after = kept;
            if !more || last.is_none() {
                break;
            }
        }
        Ok(removed)
    }

    /// Removes what is derived from streams that cannot be read any more. `true` when nothing is left of it anywhere.
    async fn remove_rest(&self, tenant: TenantId, erasure: &Erasure) -> Result<bool, ErasureError> {
        let store = &self.engine().store;
        let keyed = self.readable(tenant, Subjects::Person(erasure.person)).await?;
        for stream in keyed.into_iter().map(|one| one.stream).chain(erasure.unkeyed.iter().copied()) {
            // A session that was begun since then has another key.
            if store.head(stream).await?.is_some_and(|head| head.key.is_destroyed()) {
                while store.erase_stream(stream, PAGE).await? {}
            }
        }
        Ok(store.scrub().await?)
    }

    /// Erases again who was erased before, where an older backup has brought the key back.
    pub(crate) async fn replay(&self) -> Result<(), ErasureError> {
        let Some(list) = &self.0.options.list else { return Ok(()) };
        for ErasedPerson { tenant, person, at } in list.entries().await.map_err(ErasureError::List)? {
            let store = &self.engine().store;
            if !store.tenants().await?.iter().any(|known| known.id == tenant) {
                continue;
            }
            let known = self.find(tenant, person).await?.map(|(erasure, _)| erasure);
            // An order that is under way, or that was carried out at the time, needs nothing.
            let carried_out = known.is_some_and(|known| known.ordered >= at);
            let key = store.subject_key(tenant, person).await?.filter(|(_, made)| *made <= at);
            if carried_out && key.is_none() {
                continue;
            }
            if carried_out && self.find(tenant, person).await?.is_some_and(|(known, _)| known.stage != Stage::Done) {
                continue;
            }
            if !carried_out && key.is_none() && self.unkeyed(tenant, person).await?.is_empty() {
                continue;
            }
            tracing::warn!(%tenant, %person, "what was erased is back, from a backup: it is erased again");
            let erasure = Erasure {
                person,
                by: Principal::Operator,
                reason: "erased before; an older backup was restored".into(),
                ordered: at,
                stage: Stage::Ordered,
                finished: None,
                sessions: 0,
                files: 0,
                memories: 0,
                again_until: Some(at),
                unkeyed: Vec::new(),
            };
            self.write(tenant, "user.erasure_repeated", &erasure, Vec::new()).await?;
        }
        Ok(())
    }
}

fn open(key: &dyn StreamKey, document: &Document) -> Result<Erasure, GateError> {
    let plain = key.unseal(&document.kind.context(document.id, document.version), &document.sealed)?;
    serde_json::from_slice(&plain).map_err(|error| GateError::Unreadable(error.to_string()))
}
