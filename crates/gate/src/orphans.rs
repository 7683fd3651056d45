//! Objects that nothing refers to: what a crash left of an upload, a publication or a removal.
//!
//! An object is written first and referred to afterwards, so that there is always a moment in which nothing refers to
//! it. What tells that moment from an orphan is age alone: see [`ORPHAN_AGE`].

use crate::{Archive, ArchiveError, Journal};
use bailiwick_core::{
    EnvironmentSpec, SkillUse,
    environment::HostedFile,
    item::SessionView,
    record::{Input, InputEnvelope},
};
use bailiwick_ports::{
    Clock, StoreError,
    store::{DocumentKind, MAX_INBOX, Page, RowKind, RowQuery, StoredRow},
};
use bailiwick_types::{ArtifactId, FileId, Millis, TenantId, Timestamp};
use std::collections::{BTreeMap, BTreeSet};

/// An object younger than this is nobody's orphan: whoever writes it may be about to refer to it. By the time in its
/// id, which is made before its first byte is kept.
///
/// Whoever keeps objects must refer to them well within this or give up: an upload has its own limit, a publication is
/// an action with a time-out, and all else is one request.
pub const ORPHAN_AGE: Millis = Millis::from_secs(24 * 3600);
/// Names, or rows, that are looked at together.
const PAGE: u32 = 200;
/// How long others go first after each page.
const PAUSE: Millis = Millis(20);
/// Files in doubt that are looked for in all sessions together.
const MAX_IN_DOUBT: usize = 10_000;

/// Objects by what they are called after; one that is large lies in several.
type InDoubt = BTreeMap<FileId, Vec<String>>;

enum Standing {
    Kept,
    Orphan,
    /// A file without an entry of its own may belong to an environment.
    InDoubt(FileId),
}

impl Archive {
    /// Removes every tenant's orphans, and says how many objects that were. Takes its time; may be broken off.
    pub async fn sweep(&self, clock: &dyn Clock) -> Result<u64, ArchiveError> {
        let mut removed = 0;
        for tenant in self.store.tenants().await? {
            removed += self.sweep_tenant(tenant.id, clock).await?;
        }
        Ok(removed)
    }

    async fn sweep_tenant(&self, tenant: TenantId, clock: &dyn Clock) -> Result<u64, ArchiveError> {
        let (mut removed, mut in_doubt) = (0, InDoubt::new());
        let mut after: Option<String> = None;
        loop {
            let names = self.objects.names(tenant, after.as_deref(), PAGE).await?;
            let last = names.last().cloned();
            for name in names {
                match self.standing(tenant, &name, clock.now()).await? {
                    Standing::Kept => {}
                    Standing::InDoubt(file) => in_doubt.entry(file).or_default().push(name),
                    Standing::Orphan => {
                        self.objects.remove(tenant, &name).await?;
                        removed += 1;
                    }
                }
            }
            if last.is_none() || in_doubt.len() >= MAX_IN_DOUBT {
                removed += self.remove_unless_laid_in(tenant, std::mem::take(&mut in_doubt), clock).await?;
            }
            if last.is_none() {
                return Ok(removed);
            }
            after = last;
            clock.sleep_until(clock.now() + PAUSE).await;
        }
    }

    async fn standing(&self, tenant: TenantId, name: &str, now: Timestamp) -> Result<Standing, ArchiveError> {
        let is_young = |made: Timestamp| now.since(made) < ORPHAN_AGE;
        // A part is called after the whole.
        let whole = name.split('-').next().unwrap_or_default();
        if let Ok(artifact) = whole.parse::<ArtifactId>() {
            let row = self.store.row(tenant, RowKind::Artifact, artifact.to_u128());
            let kept = is_young(artifact.made_at()) || row.await?.is_some();
            return Ok(if kept { Standing::Kept } else { Standing::Orphan });
        }
        // What is called otherwise is not ours to judge.
        let Ok(file) = whole.parse::<FileId>() else { return Ok(Standing::Kept) };
        let document = self.store.document(tenant, DocumentKind::File, file.to_u128(), None);
        let kept = is_young(file.made_at()) || document.await?.is_some();
        Ok(if kept { Standing::Kept } else { Standing::InDoubt(file) })
    }

    /// Goes through all skills and all sessions, because a file that came with one is named nowhere else.
    async fn remove_unless_laid_in(
        &self,
        tenant: TenantId,
        mut in_doubt: InDoubt,
        clock: &dyn Clock,
    ) -> Result<u64, ArchiveError> {
        if !in_doubt.is_empty() {
            for file in self.skill_files(tenant).await? {
                in_doubt.remove(&file);
            }
        }
        let mut page = Page { limit: PAGE, ..Page::default() };
        while !in_doubt.is_empty() {
            let query = RowQuery {
                tenant,
                kind: RowKind::Session,
                scope: tenant.to_u128(),
                parent: None,
                labels: Vec::new(),
                page: page.clone(),
            };
            let Some((rows, more)) = self.store.rows(query).await? else {
                // The session at the cursor was deleted meanwhile. Nothing is known of the rest, so nothing is removed.
                return Ok(0);
            };
            for row in &rows {
                for file in self.laid_in(tenant, row).await? {
                    in_doubt.remove(&file);
                }
            }
            page.after = rows.last().map(|row| row.id);
            if !more {
                break;
            }
            clock.sleep_until(clock.now() + PAUSE).await;
        }
        let mut removed = 0;
        for name in in_doubt.into_values().flatten() {
            self.objects.remove(tenant, &name).await?;
            removed += 1;
        }
        Ok(removed)
    }

    /// The files of a session's environment, also those in inputs that it has not taken in yet.
    async fn laid_in(&self, tenant: TenantId, row: &StoredRow) -> Result<BTreeSet<FileId>, ArchiveError> {
        let mut files = BTreeSet::new();
        let Some(head) = self.store.head(row.stream).await? else { return Ok(files) };
        let journal = Journal::open(&*self.keys, tenant, row.stream, &head.key)?;
        let view: SessionView = journal.open_row(RowKind::Session, row)?;
        if !matches!(view.environment, EnvironmentSpec::Hosted(_)) {
            return Ok(files);
        }
        // The inbox is read before the row that counts: what is taken in between then stands in one of the two.
        let waiting = match self.store.inbox(row.stream, head.inbox_through, MAX_INBOX as u32).await {
            Ok(waiting) => waiting,
            Err(StoreError::UnknownStream(_)) => Vec::new(),
            Err(error) => return Err(error.into()),
        };
        for entry in &waiting {
            let InputEnvelope { input, .. } = journal.open_input(entry)?;
            if let Input::AddFile { file } = input {
                files.insert(file.file);
            }
        }
        if let Some(row) = self.store.row(tenant, RowKind::Session, row.id).await? {
            let view: SessionView = journal.open_row(RowKind::Session, &row)?;
            if let EnvironmentSpec::Hosted(hosted) = &view.environment {
                files.extend(hosted.files.iter().map(|HostedFile { file, .. }| *file));
                files.extend(hosted.skills.iter().filter_map(SkillUse::file));
            }
        }
        Ok(files)
    }
}
