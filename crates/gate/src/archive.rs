//! Files and artifacts at rest: sealed objects with the keys that they are sealed under.
//!
//! An uploaded file is sealed under the key of the person whose it is, or its tenant's; an artifact under its session's.
//! So erasing a person or a session takes its bytes along. Reading and writing here is keeping, not acting: what moves bytes into or out of an environment
//! is an action and has a permit.

use crate::{GateError, Journal, subjects::Subjects};
use bailiwick_core::{EnvironmentSpec, SkillSource, item::ArtifactView, session::State};
use bailiwick_ports::{
    Keys, ObjectError, Objects, Store, StoreError,
    store::{DocumentKind, Page, RowKind, RowQuery},
};
use bailiwick_types::{ArtifactId, FileId, SessionId, StreamId, TenantId, UserId};
use bytes::Bytes;
use std::sync::Arc;

/// Bytes of one object. What is longer lies in several: the first under the id itself, the others under the id, a
/// hyphen and their number. A part that is shorter than this is the last one.
pub const PART_BYTES: usize = 4 * 1024 * 1024;

/// The first byte of an object that is sealed under a person's key; the person's id follows, and then what is sealed,
/// which itself never begins so.
const OF_PERSON: u8 = 2;
const OWNER_BYTES: usize = 1 + 16;

/// Rows that are looked at, or removed, together.
const PAGE: u32 = 200;

/// Reads and writes sealed objects. Cheap to clone.
#[derive(Clone)]
pub struct Archive {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) keys: Arc<dyn Keys>,
    pub(crate) objects: Arc<dyn Objects>,
    subjects: Subjects,
}

#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    #[error(transparent)]
    Object(#[from] ObjectError),
    #[error(transparent)]
    Gate(#[from] GateError),
    #[error("there is no tenant {0}")]
    UnknownTenant(TenantId),
}

impl From<StoreError> for ArchiveError {
    fn from(error: StoreError) -> Self {
        Self::Gate(error.into())
    }
}

impl From<ArchiveError> for GateError {
    fn from(error: ArchiveError) -> Self {
        match error {
            ArchiveError::Gate(error) => error,
            ArchiveError::Object(error) => Self::Object(error),
            ArchiveError::UnknownTenant(_) => Self::Unreadable(error.to_string()),
        }
    }
}

impl Archive {
    pub fn new(store: Arc<dyn Store>, keys: Arc<dyn Keys>, objects: Arc<dyn Objects>) -> Self {
        let subjects = Subjects::new(Arc::clone(&store), Arc::clone(&keys));
        Self { store, keys, objects, subjects }
    }

    /// The codec of a tenant's documents and files.
    pub async fn tenant_journal(&self, tenant: TenantId) -> Result<Journal, ArchiveError> {
        let known = self.store.tenants().await?.into_iter().find(|known| known.id == tenant);
        let known = known.ok_or(ArchiveError::UnknownTenant(tenant))?;
        let stream = StreamId::from_u128(tenant.to_u128());
        Ok(Journal::open(&*self.keys, tenant, stream, &known.key)?)
    }

    async fn session_journal(&self, tenant: TenantId, session: SessionId) -> Result<Journal, ArchiveError> {
        let stream = session.into();
        let head = self.store.head(stream).await?.filter(|head| head.tenant == tenant);
        let head = head.ok_or(StoreError::UnknownStream(stream))?;
        Ok(Journal::open(&*self.keys, tenant, stream, &head.key)?)
    }

    /// Keeps a file of nobody's in particular.
    pub async fn put_file(&self, tenant: TenantId, file: FileId, bytes: &[u8]) -> Result<(), ArchiveError> {
        self.put_file_of(tenant, None, file, bytes).await
    }

    /// Keeps a file of this person's.
    pub async fn put_file_of(
        &self,
        tenant: TenantId,
        owner: Option<UserId>,
        file: FileId,
        bytes: &[u8],
    ) -> Result<(), ArchiveError> {
        let mut index = 0;
        for part in bytes.chunks(PART_BYTES) {
            self.put_file_part(tenant, owner, file, index, part).await?;
            index += 1;
        }
        if bytes.len().is_multiple_of(PART_BYTES) {
            self.put_file_part(tenant, owner, file, index, &[]).await?;
        }
        Ok(())
    }

    /// Keeps one part of a file: exactly [`PART_BYTES`], but for the last, which is shorter and may be empty.
    pub async fn put_file_part(
        &self,
        tenant: TenantId,
        owner: Option<UserId>,
        file: FileId,
        index: u32,
        bytes: &[u8],
    ) -> Result<(), ArchiveError> {
        let id = file.to_string();
        let Some(person) = owner else {
            let journal = self.tenant_journal(tenant).await?;
            return self.put_part(&journal, tenant, &id, index, bytes).await;
        };
        let journal = Journal::of_person(tenant, person, self.subjects.sealing(tenant, person).await?);
        let name = part_name(&id, index);
        let sealed = journal.seal_object(&name, bytes);
        let object = [&[OF_PERSON], &person.to_u128().to_be_bytes()[..], &sealed].concat();
        Ok(self.objects.put(tenant, &name, Bytes::from(object)).await?)
    }

    pub async fn file(&self, tenant: TenantId, file: FileId) -> Result<Vec<u8>, ArchiveError> {
        let mut whole = self.file_part(tenant, file, 0).await?;
        let mut index = 0;
        while whole.len() == (index as usize + 1) * PART_BYTES {
            index += 1;
            whole.extend_from_slice(&self.file_part(tenant, file, index).await?);
        }
        Ok(whole)
    }

    /// One part of a file; the one that is shorter than [`PART_BYTES`] is the last.
    pub async fn file_part(&self, tenant: TenantId, file: FileId, index: u32) -> Result<Vec<u8>, ArchiveError> {
        let name = part_name(&file.to_string(), index);
        let object = self.objects.get(tenant, &name).await?;
        match owner_of(&object) {
            Some((person, sealed)) => {
                let key = self.subjects.opening(tenant, person).await?;
                Ok(Journal::of_person(tenant, person, key).open_object(&name, sealed)?)
            }
            None => Ok(self.tenant_journal(tenant).await?.open_object(&name, &object)?),
        }
    }

    /// Succeeds when there is nothing to remove, or not all of it.
    pub async fn remove_file(&self, tenant: TenantId, file: FileId) -> Result<(), ArchiveError> {
        self.remove(tenant, &file.to_string()).await
    }

    /// Keeps an artifact's bytes; the name under which they are kept is the artifact's id.
    pub async fn put_artifact(
        &self,
        tenant: TenantId,
        session: SessionId,
        artifact: ArtifactId,
        bytes: &[u8],
    ) -> Result<(), ArchiveError> {
        let journal = self.session_journal(tenant, session).await?;
        self.put(&journal, tenant, &artifact.to_string(), bytes).await
    }

    pub async fn artifact(
        &self,
        tenant: TenantId,
        session: SessionId,
        artifact: ArtifactId,
    ) -> Result<Vec<u8>, ArchiveError> {
        let journal = self.session_journal(tenant, session).await?;
        self.get(&journal, tenant, &artifact.to_string()).await
    }

    /// One part of an artifact; the one that is shorter than [`PART_BYTES`] is the last.
    pub async fn artifact_part(
        &self,
        tenant: TenantId,
        session: SessionId,
        artifact: ArtifactId,
        index: u32,
    ) -> Result<Vec<u8>, ArchiveError> {
        let journal = self.session_journal(tenant, session).await?;
        self.get_part(&journal, tenant, &artifact.to_string(), index).await
    }

    pub async fn remove_artifact(&self, tenant: TenantId, artifact: ArtifactId) -> Result<(), ArchiveError> {
        self.remove(tenant, &artifact.to_string()).await
    }

    /// Removes what a deleted session has kept outside its stream: the bytes that it published and those that came with
    /// it, the note of whose its environment is, and its rows. May be broken off, and done again from the beginning: what
    /// names an object goes after the object.
    ///
    /// The stream stays. Its records are the receipts of what was done.
    pub async fn remove_session(&self, state: &State) -> Result<(), ArchiveError> {
        let (tenant, stream) = (state.tenant, state.session.into());
        let journal = self.session_journal(tenant, state.session).await?;
        let mut page = Page { limit: PAGE, ..Page::default() };
        loop {
            let scope = state.session.to_u128();
            let query = RowQuery {
                tenant,
                kind: RowKind::Artifact,
                scope,
                parent: None,
                labels: Vec::new(),
                page: page.clone(),
            };
            let Some((rows, more)) = self.store.rows(query).await? else { break };
            for row in &rows {
                let view: ArtifactView = journal.open_row(RowKind::Artifact, row)?;
                self.remove_artifact(tenant, view.file.id).await?;
            }
            page.after = rows.last().map(|row| row.id);
            if !more {
                break;
            }
        }
        if let EnvironmentSpec::Hosted(hosted) = &state.environment {
            for file in hosted.files.iter().filter(|file| file.inline) {
                self.remove_file(tenant, file.file).await?;
            }
            for skill in &hosted.skills {
                if let SkillSource::Inline { file } = skill.source {
                    self.remove_file(tenant, file).await?;
                }
            }
        }
        if let Some(environment) = state.environment.id() {
            self.store.remove_document(tenant, DocumentKind::Environment, environment.to_u128()).await?;
        }
        while self.store.clear_rows(stream, PAGE).await? {}
        Ok(())
    }

    async fn put(&self, journal: &Journal, tenant: TenantId, id: &str, bytes: &[u8]) -> Result<(), ArchiveError> {
        let mut index = 0;
        for part in bytes.chunks(PART_BYTES) {
            self.put_part(journal, tenant, id, index, part).await?;
            index += 1;
        }
        if bytes.len().is_multiple_of(PART_BYTES) {
            self.put_part(journal, tenant, id, index, &[]).await?;
        }
        Ok(())
    }

    async fn put_part(
        &self,
        journal: &Journal,
        tenant: TenantId,
        id: &str,
        index: u32,
        bytes: &[u8],
    ) -> Result<(), ArchiveError> {
        let name = part_name(id, index);
        Ok(self.objects.put(tenant, &name, journal.seal_object(&name, bytes)).await?)
    }

    async fn get(&self, journal: &Journal, tenant: TenantId, id: &str) -> Result<Vec<u8>, ArchiveError> {
        let mut whole = self.get_part(journal, tenant, id, 0).await?;
        let mut index = 0;
        while whole.len() == (index as usize + 1) * PART_BYTES {
            index += 1;
            whole.extend_from_slice(&self.get_part(journal, tenant, id, index).await?);
        }
        Ok(whole)
    }

    async fn get_part(
        &self,
        journal: &Journal,
        tenant: TenantId,
        id: &str,
        index: u32,
    ) -> Result<Vec<u8>, ArchiveError> {
        let name = part_name(id, index);
        let sealed = self.objects.get(tenant, &name).await?;
        Ok(journal.open_object(&name, &sealed)?)
    }

    /// From the last part to the first, so that a removal that was cut off can be done again.
    async fn remove(&self, tenant: TenantId, id: &str) -> Result<(), ArchiveError> {
        let mut parts = 0;
        loop {
            match self.objects.get(tenant, &part_name(id, parts)).await {
                // Sealed bytes are longer than what they seal.
                Ok(sealed) if sealed.len() > PART_BYTES => parts += 1,
                Ok(_) => break parts += 1,
                Err(ObjectError::Missing(_)) => break,
                Err(error) => return Err(error.into()),
            }
        }
        for index in (0..parts).rev() {
            self.objects.remove(tenant, &part_name(id, index)).await?;
        }
        Ok(())
    }
}

/// Whose key seals an object, and what it seals; `None` where it is the tenant's.
fn owner_of(object: &[u8]) -> Option<(UserId, &[u8])> {
    let (head, sealed) = object.split_at_checked(OWNER_BYTES)?;
    let (first, person) = head.split_first()?;
    let person = u128::from_be_bytes(person.try_into().ok()?);
    (*first == OF_PERSON).then(|| (UserId::from_u128(person), sealed))
}

fn part_name(id: &str, index: u32) -> String {
    if index == 0 { id.to_owned() } else { format!("{id}-{index}") }
}
