//! Entries in the clear, on top of a store that can read none of them.
//!
//! # What the store gets
//!
//! The text with its label and source is sealed under the key of whose it is: a person's own key, so that it ends with
//! the person's erasure, else the tenant's. A word becomes 60 bits of HMAC-SHA-256 under that key over the holder and the
//! word, in base 32. So a search compares words for equality and for their common beginning, and nothing more; the same
//! word of two holders is two different terms.

use bailiwick_core::{
    Integrity, Label, MemoryEntry, MemoryKind, MemorySource, MemoryState,
    memory::{query_words, sameness, words},
};
use bailiwick_gate::{Deleting, Holds, subject_key};
use bailiwick_ports::{
    Keys, KeysError, Store, StreamKey, TenantKeyError, TenantKeys,
    memory::{
        Changed, Forgotten, Holder, MemoryBody, MemoryCount, MemoryError, MemoryQuery, MemoryStore, NewMemory,
        Precondition, SealedMemory, Within, Written,
    },
};
use bailiwick_types::{MemoryId, Principal, TenantId, Timestamp};
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeSet, HashMap, hash_map::Entry},
    sync::Arc,
};

const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";

/// What is remembered, opened. Clones share it.
#[derive(Clone)]
pub struct Book(Arc<Parts>);

struct Parts {
    entries: Arc<dyn MemoryStore>,
    /// Where tenants and people have their keys.
    store: Arc<dyn Store>,
    keys: Arc<dyn Keys>,
    /// What must not be written over.
    holds: Arc<Holds>,
    tenant_keys: TenantKeys,
}

/// What is sealed.
#[derive(Serialize, Deserialize)]
struct Said {
    text: String,
    label: Label,
    source: MemorySource,
}

/// One version of an entry that somebody wants written.
pub(crate) struct Note {
    pub kind: MemoryKind,
    pub text: String,
    pub label: Label,
    pub source: MemorySource,
    pub at: Timestamp,
}

/// What became of writing an entry.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Remembered {
    New(MemoryEntry),
    /// It was there, and is as it was.
    Known(MemoryEntry),
    /// It was there as a proposal, and somebody vouches for it now.
    Confirmed(MemoryEntry),
}

impl Remembered {
    pub fn into_entry(self) -> MemoryEntry {
        match self {
            Self::New(entry) | Self::Known(entry) | Self::Confirmed(entry) => entry,
        }
    }
}

impl Book {
    pub fn new(entries: Arc<dyn MemoryStore>, store: Arc<dyn Store>, keys: Arc<dyn Keys>, holds: Arc<Holds>) -> Self {
        let tenant_keys = TenantKeys::new(Arc::clone(&store), Arc::clone(&keys));
        Self(Arc::new(Parts { entries, store, keys, holds, tenant_keys }))
    }

    /// Whether a legal hold covers what this holder has. An error is no leave to change it.
    pub(crate) async fn is_held(&self, tenant: TenantId, holder: Holder) -> Result<bool, MemoryError> {
        let about = match holder {
            Holder::Person(person) => Deleting { person: Some(person), ..Deleting::default() },
            Holder::Agent(agent) => Deleting { agent: Some(agent), ..Deleting::default() },
            Holder::Team(_) | Holder::Tenant => return Ok(false),
        };
        let covering = self.0.holds.covering(tenant, &about).await;
        Ok(covering.map_err(|error| MemoryError::Unreadable(error.to_string()))?.is_some())
    }

    fn entries(&self) -> &dyn MemoryStore {
        &*self.0.entries
    }

    /// The key of a holder; `None` for a person who has none, and so nothing that could be read.
    async fn key(&self, tenant: TenantId, holder: Holder) -> Result<Option<Arc<dyn StreamKey>>, MemoryError> {
        let Holder::Person(person) = holder else { return self.tenant_key(tenant).await.map(Some) };
        // Asked of the store each time: nothing else would tell that it was destroyed.
        let Some((key, _)) = self.0.store.subject_key(tenant, person).await? else { return Ok(None) };
        self.0.keys.open_subject(tenant, &key).map(Some).map_err(unreadable)
    }

    async fn key_to_write(&self, tenant: TenantId, holder: Holder) -> Result<Arc<dyn StreamKey>, MemoryError> {
        let Holder::Person(person) = holder else { return self.tenant_key(tenant).await };
        let key = subject_key(&*self.0.store, &*self.0.keys, tenant, person).await?;
        self.0.keys.open_subject(tenant, &key).map_err(unreadable)
    }

    async fn tenant_key(&self, tenant: TenantId) -> Result<Arc<dyn StreamKey>, MemoryError> {
        self.0.tenant_keys.get(tenant).await.map_err(|error| match error {
            TenantKeyError::UnknownTenant(_) => MemoryError::Unknown,
            TenantKeyError::Store(error) => error.into(),
            TenantKeyError::Keys(error) => unreadable(error),
        })
    }

    /// Writes an entry, confirmed or proposed by what its label says. One that says the same is not written twice: a
    /// proposal becomes confirmed when somebody says the same without having read anything untrusted. That writes over
    /// where it came from, and so waits until no hold covers it.
    pub(crate) async fn remember(
        &self,
        tenant: TenantId,
        id: MemoryId,
        holder: Holder,
        note: Note,
    ) -> Result<Remembered, MemoryError> {
        let key = self.key_to_write(tenant, holder).await?;
        let state = MemoryState::under(&note.label);
        let first = body(&*key, (id, holder), 1, state, &note)?;
        let same = match self.entries().write(NewMemory { tenant, id, holder, body: first }).await? {
            Written::Full => return Err(MemoryError::Full(holder.scope())),
            Written::New => return Ok(Remembered::New(entry(id, holder, 1, state, note.at, note))),
            Written::Same(same) => same,
        };
        let known = open(&*key, &same)?;
        if known.id == id || known.state == MemoryState::Confirmed || state == MemoryState::Proposed {
            return Ok(Remembered::Known(known));
        }
        if self.is_held(tenant, holder).await? {
            return Ok(Remembered::Known(known));
        }
        let mut label = note.label.clone();
        label.join(&Label { integrity: Integrity::Trusted, ..known.label.clone() });
        let confirmed = Note { label, ..note };
        let within = Within { tenant, holders: vec![holder] };
        let before = Precondition { version: known.version, action: confirmed.source.action };
        let version = known.version + 1;
        let next = body(&*key, (known.id, holder), version, MemoryState::Confirmed, &confirmed)?;
        done(self.entries().change(&within, known.id, before, next).await?)?;
        let created = known.created;
        let told = entry(known.id, holder, version, MemoryState::Confirmed, created, confirmed);
        Ok(Remembered::Confirmed(told))
    }

    /// Writes the next version of an entry that is there.
    pub(crate) async fn rewrite(
        &self,
        within: &Within,
        id: MemoryId,
        before: Precondition,
        state: MemoryState,
        note: Note,
    ) -> Result<MemoryEntry, MemoryError> {
        let found = self.entries().get(within, id).await?.ok_or(MemoryError::Unknown)?;
        let key = self.key_to_write(within.tenant, found.holder).await?;
        let version = before.version + 1;
        let next = body(&*key, (id, found.holder), version, state, &note)?;
        done(self.entries().change(within, id, before, next).await?)?;
        Ok(entry(id, found.holder, version, state, found.created, note))
    }

    pub(crate) async fn get(&self, within: &Within, id: MemoryId) -> Result<MemoryEntry, MemoryError> {
        let found = self.entries().get(within, id).await?.ok_or(MemoryError::Unknown)?;
        let key = self.key(within.tenant, found.holder).await?.ok_or(MemoryError::Unknown)?;
        open(&*key, &found)
    }

    /// Whose an entry is.
    pub(crate) async fn holder(&self, within: &Within, id: MemoryId) -> Result<Holder, MemoryError> {
        Ok(self.entries().get(within, id).await?.ok_or(MemoryError::Unknown)?.holder)
    }

    /// Confirmed entries with words of the question, the best first.
    pub(crate) async fn search(
        &self,
        within: &Within,
        query: &str,
        kinds: &BTreeSet<MemoryKind>,
        limit: u32,
    ) -> Result<Vec<MemoryEntry>, MemoryError> {
        let words = query_words(query);
        let mut terms = Vec::new();
        for holder in &within.holders {
            if let Some(key) = self.key(within.tenant, *holder).await? {
                terms.extend(words.iter().map(|word| term(&*key, *holder, word)));
            }
        }
        let found = self.entries().search(within, &terms, kinds, limit).await?;
        self.open_all(within.tenant, found).await
    }

    pub(crate) async fn list(
        &self,
        within: &Within,
        query: &MemoryQuery,
    ) -> Result<(Vec<MemoryEntry>, bool), MemoryError> {
        let (found, more) = self.entries().list(within, query).await?;
        Ok((self.open_all(within.tenant, found).await?, more))
    }

    async fn open_all(&self, tenant: TenantId, found: Vec<SealedMemory>) -> Result<Vec<MemoryEntry>, MemoryError> {
        let mut keys: HashMap<Holder, Option<Arc<dyn StreamKey>>> = HashMap::new();
        let mut entries = Vec::with_capacity(found.len());
        for sealed in found {
            let key = match keys.entry(sealed.holder) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(new) => new.insert(self.key(tenant, sealed.holder).await?),
            };
            let Some(key) = key else { continue };
            match open(&**key, &sealed) {
                Ok(entry) => entries.push(entry),
                // Left behind by an erasure that has not come to it yet.
                Err(error) => tracing::warn!(%error, memory = %sealed.id, "a memory does not open"),
            }
        }
        Ok(entries)
    }

    pub(crate) async fn forget(
        &self,
        within: &Within,
        id: MemoryId,
        version: Option<u32>,
        by: Option<(Principal, Timestamp)>,
    ) -> Result<(), MemoryError> {
        done(self.entries().forget(within, id, version, by).await?)
    }

    pub(crate) async fn forget_all(
        &self,
        tenant: TenantId,
        holder: Holder,
        until: Timestamp,
    ) -> Result<u64, MemoryError> {
        Ok(self.entries().forget_all(tenant, holder, until).await?)
    }

    pub(crate) async fn counts(&self, tenant: TenantId) -> Result<Vec<MemoryCount>, MemoryError> {
        Ok(self.entries().counts(tenant).await?)
    }

    pub(crate) async fn unreceipted(&self, limit: u32) -> Result<Vec<Forgotten>, MemoryError> {
        Ok(self.entries().unreceipted(limit).await?)
    }

    pub(crate) async fn receipted(&self, tenant: TenantId, id: MemoryId) -> Result<(), MemoryError> {
        Ok(self.entries().receipted(tenant, id).await?)
    }
}

fn unreadable(error: KeysError) -> MemoryError {
    MemoryError::Unreadable(error.to_string())
}

fn done(changed: Changed) -> Result<(), MemoryError> {
    match changed {
        Changed::Done => Ok(()),
        Changed::Unknown => Err(MemoryError::Unknown),
        Changed::Version(version) => Err(MemoryError::Version(version)),
        Changed::Same(other) => Err(MemoryError::Same(other)),
    }
}

fn entry(
    id: MemoryId,
    holder: Holder,
    version: u32,
    state: MemoryState,
    created: Timestamp,
    note: Note,
) -> MemoryEntry {
    let Note { kind, text, label, source, at } = note;
    MemoryEntry { id, scope: holder.scope(), kind, state, version, text, source, label, created, updated: at }
}

/// What is authenticated and not stored: which version of which entry of whom this is.
fn context(holder: Holder, id: MemoryId, version: u32) -> Vec<u8> {
    let mut context = b"memory.v1".to_vec();
    context.extend(of(holder));
    context.extend(id.to_u128().to_be_bytes());
    context.extend(version.to_be_bytes());
    context
}

fn of(holder: Holder) -> impl Iterator<Item = u8> {
    let scope = holder.scope().name().as_bytes().iter().copied();
    scope.chain([0]).chain(holder.id().to_be_bytes())
}

fn body(
    key: &dyn StreamKey,
    (id, holder): (MemoryId, Holder),
    version: u32,
    state: MemoryState,
    note: &Note,
) -> Result<MemoryBody, MemoryError> {
    let Note { kind, text, label, source, at } = note;
    let said = Said { text: text.clone(), label: label.clone(), source: source.clone() };
    let plain = serde_json::to_vec(&said).map_err(|error| MemoryError::Unreadable(error.to_string()))?;
    let digest =
        key.digest(&[b"memory.text".as_slice(), &of(holder).collect::<Vec<u8>>(), sameness(text).as_bytes()].concat());
    // In the order of the keyed words, which tells nothing of the text's own.
    let terms: BTreeSet<String> = words(text).iter().map(|word| term(key, holder, word)).collect();
    Ok(MemoryBody {
        state,
        kind: *kind,
        at: *at,
        action: source.action,
        digest,
        sealed: key.seal(&context(holder, id, version), &plain).into(),
        terms: terms.into_iter().collect(),
    })
}

fn term(key: &dyn StreamKey, holder: Holder, word: &str) -> String {
    let data: Vec<u8> = b"memory.word".iter().copied().chain(of(holder)).chain(word.bytes()).collect();
    let digest = key.digest(&data);
    let bits = digest.iter().take(8).fold(0_u64, |bits, byte| bits << 8 | u64::from(*byte));
    (0..12).map(|place| char::from(ALPHABET[(bits >> (place * 5) & 31) as usize])).collect()
}

fn open(key: &dyn StreamKey, sealed: &SealedMemory) -> Result<MemoryEntry, MemoryError> {
    let SealedMemory { id, holder, kind, state, version, created, updated, .. } = *sealed;
    let plain = key.unseal(&context(holder, id, version), &sealed.sealed).map_err(unreadable)?;
    let said: Said = serde_json::from_slice(&plain).map_err(|error| MemoryError::Unreadable(error.to_string()))?;
    let Said { text, label, source } = said;
    Ok(MemoryEntry { id, scope: holder.scope(), kind, state, version, text, source, label, created, updated })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests")]
mod tests {
    use super::*;
    use bailiwick_gate::{Administrator, Hold, HoldScope};
    use bailiwick_ports::store::Tenant;
    use bailiwick_store::{DataFolder, SqliteMemories};
    use bailiwick_testkit::{clock::ManualClock, keys::PlainKeys, store::MemoryStore as Documents};
    use bailiwick_types::UserId;

    const TENANT: TenantId = TenantId::from_u128(1);
    const ANNA: UserId = UserId::from_u128(10);

    fn note(integrity: Integrity, by: UserId) -> Note {
        Note {
            kind: MemoryKind::Fact,
            text: "Invoices go to the warehouse".into(),
            label: Label { integrity, ..Label::default() },
            source: MemorySource {
                by: Principal::User { id: by },
                session: None,
                action: None,
                consolidated_by: None,
                confirmed_by: None,
            },
            at: Timestamp::from_millis(7),
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn what_a_hold_covers_is_not_written_over_by_whoever_says_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let entries = SqliteMemories::open(DataFolder::open(folder.path()).unwrap()).await.unwrap();
        let clock = Arc::new(ManualClock::new(Timestamp::from_millis(1_793_000_000_000)));
        let store = Arc::new(Documents::new(clock.clone()));
        let (key, _) = PlainKeys.create(TENANT, TENANT.into());
        store.put_tenant(Tenant { id: TENANT, name: "house".into(), key }).await.unwrap();
        let administrator = Administrator::new(store.clone(), Arc::new(PlainKeys), clock);
        let holds = Arc::new(Holds::new(store.clone(), Arc::new(PlainKeys)));
        let book = Book::new(Arc::new(entries), store, Arc::new(PlainKeys), Arc::clone(&holds));
        let (holder, boris) = (Holder::Person(ANNA), UserId::from_u128(11));
        let remember = async |id, note| book.remember(TENANT, MemoryId::from_u128(id), holder, note).await.unwrap();
        let Remembered::New(proposal) = remember(1, note(Integrity::Untrusted, boris)).await else { panic!("known") };
        assert_eq!(proposal.state, MemoryState::Proposed);

        let scope = HoldScope::Person { id: ANNA };
        let by = Principal::Operator;
        let hold = Hold { scope, reason: "a lawsuit".into(), by: by.clone(), since: Timestamp::from_millis(8) };
        holds.set(&administrator, TENANT, hold).await.unwrap();
        assert_eq!(remember(2, note(Integrity::Trusted, ANNA)).await, Remembered::Known(proposal.clone()));
        let within = Within { tenant: TENANT, holders: vec![holder] };
        assert_eq!(book.get(&within, proposal.id).await.unwrap(), proposal, "its source and version are as they were");

        holds.lift(&administrator, TENANT, &scope.target(), &by, "over".into()).await.unwrap();
        let Remembered::Confirmed(confirmed) = remember(3, note(Integrity::Trusted, ANNA)).await else {
            panic!("held")
        };
        assert_eq!((confirmed.version, confirmed.source.by), (2, Principal::User { id: ANNA }));
    }
}
