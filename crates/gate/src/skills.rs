//! The skills that each tenant keeps, with all their versions.
//!
//! A version is never changed: who uses one pins it by its digest. Each change of what is kept has a receipt in the tenant's
//! administration. What lies in a skill is not read here; whoever keeps one has checked it.

use crate::{Archive, ArchiveError, GateError, shelf::Shelf};
use bailiwick_core::{Label, SkillSource, SkillUse};
use bailiwick_ports::{
    Administration, Change, DocumentWrite, Keys, Store, StoreError, StreamKey,
    store::{Document, DocumentKind, Page},
};
use bailiwick_types::{FileId, Principal, SkillId, SkillVersionId, TenantId, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::{collections::BTreeSet, sync::Arc};

/// Skills of one tenant.
pub const MAX_KEPT_SKILLS: usize = 1000;
/// Versions of one skill that are there at the same time.
pub const MAX_SKILL_VERSIONS: usize = 100;
/// Writers that meet each other try again this often.
const MAX_CONFLICTS: usize = 4;

/// A skill with its versions.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Skill {
    pub id: SkillId,
    /// Counts its changes from 1. No version of the skill: of what is kept about it.
    pub revision: u32,
    /// Those that are there, oldest first; never empty.
    pub versions: Vec<SkillVersion>,
    /// The one that is taken where nobody says which.
    pub default_version: u32,
    /// The number of the next one, so that none is given twice.
    pub next_version: u32,
    /// Who made it.
    pub by: Principal,
    pub created: Timestamp,
    pub updated: Timestamp,
}

/// One version of a skill, for ever.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SkillVersion {
    pub id: SkillVersionId,
    /// Counts from 1 in each skill.
    pub version: u32,
    pub name: String,
    pub description: String,
    /// SHA-256 over its files, in hexadecimal.
    pub digest: String,
    /// The object that holds its archive.
    pub file: FileId,
    /// Bytes of the archive.
    pub bytes: u64,
    /// How many files are in it.
    pub files: u32,
    #[serde(default, skip_serializing_if = "Label::is_usual")]
    pub label: Label,
    pub by: Principal,
    pub created: Timestamp,
}

/// A version as it comes, before it has a number.
#[derive(Debug, Clone, PartialEq)]
pub struct NewSkillVersion {
    pub id: SkillVersionId,
    pub name: String,
    pub description: String,
    pub digest: String,
    pub bytes: u64,
    pub files: u32,
    pub file: FileId,
    pub label: Label,
    pub by: Principal,
    pub at: Timestamp,
}

impl NewSkillVersion {
    fn numbered(self, version: u32) -> SkillVersion {
        let Self { id, name, description, digest, bytes, files, file, label, by, at } = self;
        SkillVersion { id, version, name, description, digest, file, bytes, files, label, by, created: at }
    }
}

impl Skill {
    pub fn version(&self, number: u32) -> Option<&SkillVersion> {
        self.versions.iter().find(|version| version.version == number)
    }

    /// The one that is taken where nobody says which.
    pub fn default(&self) -> Option<&SkillVersion> {
        self.version(self.default_version)
    }

    pub fn latest(&self) -> Option<&SkillVersion> {
        self.versions.last()
    }
}

impl SkillVersion {
    /// This version and no other, for who is to load it.
    pub fn pinned(&self, skill: SkillId) -> SkillUse {
        SkillUse {
            name: self.name.clone(),
            description: self.description.clone(),
            digest: self.digest.clone(),
            source: SkillSource::Kept { skill, version: self.version, file: self.file },
            label: self.label.clone(),
        }
    }

    fn told(&self) -> Value {
        json!({"name": self.name, "version": self.version, "digest": self.digest, "bytes": self.bytes})
    }
}

#[derive(Debug, thiserror::Error)]
pub enum SkillsError {
    #[error("there are {MAX_KEPT_SKILLS} skills already; delete one first")]
    TooMany,
    #[error("the skill has {MAX_SKILL_VERSIONS} versions already; delete one first")]
    TooManyVersions,
    #[error("there is no such skill")]
    Unknown,
    #[error("the skill has no such version")]
    UnknownVersion,
    #[error("this is the skill's default version: make another one the default first, or delete the skill")]
    IsDefault,
    #[error(transparent)]
    Gate(#[from] GateError),
}

impl From<StoreError> for SkillsError {
    fn from(error: StoreError) -> Self {
        Self::Gate(error.into())
    }
}

/// What somebody does to a skill that is there.
struct Deed<'a> {
    tenant: TenantId,
    skill: SkillId,
    by: &'a Principal,
    at: Timestamp,
    kind: &'static str,
    reason: Option<String>,
}

/// The skills of each tenant.
pub struct Skills(Shelf<Skill>);

impl Skills {
    pub fn new(store: Arc<dyn Store>, keys: Arc<dyn Keys>) -> Self {
        Self(Shelf::new(store, keys, DocumentKind::Skill, MAX_KEPT_SKILLS, open))
    }

    /// All of a tenant, oldest first.
    pub async fn list(&self, tenant: TenantId) -> Result<Arc<[Skill]>, GateError> {
        self.0.list(tenant).await
    }

    pub async fn find(&self, tenant: TenantId, skill: SkillId) -> Result<Option<Skill>, GateError> {
        Ok(self.list(tenant).await?.iter().find(|known| known.id == skill).cloned())
    }

    /// Keeps a new skill with its first version, whose archive is kept already.
    pub async fn create(
        &self,
        administration: &dyn Administration,
        tenant: TenantId,
        skill: SkillId,
        first: NewSkillVersion,
    ) -> Result<Skill, SkillsError> {
        if self.0.refresh(tenant).await?.len() >= MAX_KEPT_SKILLS {
            return Err(SkillsError::TooMany);
        }
        let (by, at) = (first.by.clone(), first.at);
        let first = first.numbered(1);
        let told = first.told();
        let (versions, revision) = (vec![first], 1);
        let (default_version, next_version) = (1, 2);
        let kept = Skill {
            id: skill,
            revision,
            versions,
            default_version,
            next_version,
            by: by.clone(),
            created: at,
            updated: at,
        };
        let deed = Deed { tenant, skill, by: &by, at, kind: "skill.created", reason: None };
        if !self.write(administration, &deed, &kept, told).await? {
            return Err(StoreError::Conflict.into());
        }
        Ok(kept)
    }

    /// Keeps one more version. It is the default only where somebody says so.
    pub async fn add_version(
        &self,
        administration: &dyn Administration,
        tenant: TenantId,
        skill: SkillId,
        new: NewSkillVersion,
        default: bool,
    ) -> Result<(Skill, u32), SkillsError> {
        let (by, at) = (new.by.clone(), new.at);
        let deed = Deed { tenant, skill, by: &by, at, kind: "skill.version_created", reason: None };
        let mut number = 0;
        let changed = self.change(administration, &deed, |kept| {
            if kept.versions.len() >= MAX_SKILL_VERSIONS {
                return Err(SkillsError::TooManyVersions);
            }
            number = kept.next_version;
            let version = new.clone().numbered(number);
            let told = version.told();
            kept.versions.push(version);
            kept.next_version += 1;
            if default {
                kept.default_version = number;
            }
            Ok(told)
        });
        let changed = changed.await?;
        Ok((changed, number))
    }

    /// Another version is taken from now on where nobody says which. What was pinned stays what it was.
    pub async fn set_default(
        &self,
        administration: &dyn Administration,
        tenant: TenantId,
        skill: SkillId,
        version: u32,
        (by, at): (&Principal, Timestamp),
        reason: Option<String>,
    ) -> Result<Skill, SkillsError> {
        let deed = Deed { tenant, skill, by, at, kind: "skill.default_changed", reason };
        let changed = self.change(administration, &deed, |kept| {
            let told = kept.version(version).ok_or(SkillsError::UnknownVersion)?.told();
            kept.default_version = version;
            Ok(told)
        });
        changed.await
    }

    /// Lets one version go, and says what it was. Its archive is the caller's to remove.
    pub async fn remove_version(
        &self,
        administration: &dyn Administration,
        tenant: TenantId,
        skill: SkillId,
        version: u32,
        (by, at): (&Principal, Timestamp),
        reason: Option<String>,
    ) -> Result<SkillVersion, SkillsError> {
        let deed = Deed { tenant, skill, by, at, kind: "skill.version_deleted", reason };
        let mut gone = None;
        let changed = self.change(administration, &deed, |kept| {
            let at = kept.versions.iter().position(|one| one.version == version).ok_or(SkillsError::UnknownVersion)?;
            if kept.default_version == version {
                return Err(SkillsError::IsDefault);
            }
            let removed = kept.versions.remove(at);
            let told = removed.told();
            gone = Some(removed);
            Ok(told)
        });
        changed.await?;
        gone.ok_or(SkillsError::UnknownVersion)
    }

    /// Lets a skill go with all its versions, and says what it was. Its archives are the caller's to remove.
    pub async fn remove(
        &self,
        administration: &dyn Administration,
        tenant: TenantId,
        skill: SkillId,
        by: &Principal,
        reason: Option<String>,
    ) -> Result<Skill, SkillsError> {
        let known = self.0.refresh(tenant).await?;
        let gone = known.iter().find(|known| known.id == skill).cloned().ok_or(SkillsError::Unknown)?;
        let change = Change {
            tenant,
            by: by.clone(),
            kind: "skill.deleted".into(),
            target: skill.to_string(),
            reason,
            details: json!({"versions": gone.versions.iter().map(SkillVersion::told).collect::<Vec<_>>()}),
            documents: vec![DocumentWrite::Remove { kind: DocumentKind::Skill, id: skill.to_u128() }],
        };
        administration.change(change).await?;
        self.0.refresh(tenant).await?;
        Ok(gone)
    }

    async fn change(
        &self,
        administration: &dyn Administration,
        deed: &Deed<'_>,
        mut change: impl FnMut(&mut Skill) -> Result<Value, SkillsError>,
    ) -> Result<Skill, SkillsError> {
        for _ in 0..MAX_CONFLICTS {
            let known = self.0.refresh(deed.tenant).await?;
            let mut kept = known.iter().find(|known| known.id == deed.skill).cloned().ok_or(SkillsError::Unknown)?;
            let told = change(&mut kept)?;
            kept.revision += 1;
            kept.updated = deed.at;
            if self.write(administration, deed, &kept, told).await? {
                return Ok(kept);
            }
        }
        Err(StoreError::Conflict.into())
    }

    /// `false` when somebody else wrote meanwhile.
    async fn write(
        &self,
        administration: &dyn Administration,
        deed: &Deed<'_>,
        kept: &Skill,
        told: Value,
    ) -> Result<bool, SkillsError> {
        let change = Change {
            tenant: deed.tenant,
            by: deed.by.clone(),
            kind: deed.kind.into(),
            target: deed.skill.to_string(),
            reason: deed.reason.clone(),
            details: told,
            documents: vec![DocumentWrite::Put(seal(&*self.0.key(deed.tenant).await?, kept))],
        };
        match administration.change(change).await {
            Err(StoreError::Conflict) => Ok(false),
            done => {
                done?;
                self.0.refresh(deed.tenant).await?;
                Ok(true)
            }
        }
    }
}

impl Archive {
    /// The objects that hold a tenant's skills.
    pub(crate) async fn skill_files(&self, tenant: TenantId) -> Result<BTreeSet<FileId>, ArchiveError> {
        let page = Page { limit: MAX_KEPT_SKILLS as u32, ..Page::default() };
        let found = self.store.documents(tenant, DocumentKind::Skill, page).await?;
        let (documents, _) = found.unwrap_or_default();
        let mut files = BTreeSet::new();
        if documents.is_empty() {
            return Ok(files);
        }
        let known = self.store.tenants().await?.into_iter().find(|known| known.id == tenant);
        let known = known.ok_or(ArchiveError::UnknownTenant(tenant))?;
        let key = known.open_key(&*self.keys).map_err(GateError::from)?;
        for document in &documents {
            files.extend(open(&*key, document)?.versions.iter().map(|version| version.file));
        }
        Ok(files)
    }
}

fn seal(key: &dyn StreamKey, skill: &Skill) -> Document {
    let (kind, id, version) = (DocumentKind::Skill, skill.id.to_u128(), skill.revision);
    let sealed = key.seal(&kind.context(id, version), json!(skill).to_string().as_bytes()).into();
    let (created, updated) = (skill.created, skill.updated);
    Document { kind, id, version, created, updated, handle: None, sealed }
}

fn open(key: &dyn StreamKey, document: &Document) -> Result<Skill, GateError> {
    let Document { kind, id, version, ref sealed, .. } = *document;
    let plain = key.unseal(&kind.context(id, version), sealed)?;
    serde_json::from_slice(&plain).map_err(|error| GateError::Unreadable(error.to_string()))
}
