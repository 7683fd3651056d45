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
use bailiwick_ports::{
    Keys, KeysError, Store, StoreError, StreamKey,
    memory::{
        Changed, Forgotten, Holder, MemoryBody, MemoryCount, MemoryError, MemoryQuery, MemoryStore, NewMemory,
        Precondition, SealedMemory, Within, Written,
    },
};
use bailiwick_types::{MemoryId, Principal, TenantId, Timestamp};
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeSet, HashMap, hash_map::Entry},
    sync::{Arc, Mutex, PoisonError},
};

/// Keys of one person that are made until one is kept.
const MAX_MAKINGS: usize = 3;
/// Tenants' keys that are remembered.
const MAX_KEYS: usize = 1024;
const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";

/// What is remembered, opened. Clones share it.
#[derive(Clone)]
pub struct Book(Arc<Parts>);

struct Parts {
    entries: Arc<dyn MemoryStore>,
    /// Where tenants and people have their keys.
    store: Arc<dyn Store>,
    keys: Arc<dyn Keys>,
    tenants: Mutex<HashMap<TenantId, Arc<dyn StreamKey>>>,
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
    pub fn new(entries: Arc<dyn MemoryStore>, store: Arc<dyn Store>, keys: Arc<dyn Keys>) -> Self {
        Self(Arc::new(Parts { entries, store, keys, tenants: Mutex::default() }))
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
        if let Some(key) = self.key(tenant, holder).await? {
            return Ok(key);
        }
        let Holder::Person(person) = holder else { return Err(MemoryError::Unknown) };
        for attempt in 1.. {
            let made = self.0.keys.create_subject(tenant, person);
            match self.0.store.keep_subject_key(tenant, made).await {
                // What it was wrapped under was replaced meanwhile.
                Err(StoreError::Conflict) if attempt < MAX_MAKINGS => {}
                kept => return self.0.keys.open_subject(tenant, &kept?).map_err(unreadable),
            }
        }
        Err(StoreError::Conflict.into())
    }

    async fn tenant_key(&self, tenant: TenantId) -> Result<Arc<dyn StreamKey>, MemoryError> {
        let known = || self.0.tenants.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(key) = known().get(&tenant) {
            return Ok(Arc::clone(key));
        }
        let all = self.0.store.tenants().await?;
        let found = all.into_iter().find(|one| one.id == tenant).ok_or(MemoryError::Unknown)?;
        let key = found.open_key(&*self.0.keys).map_err(unreadable)?;
        let mut known = known();
        if known.len() >= MAX_KEYS {
            known.clear();
        }
        known.insert(tenant, Arc::clone(&key));
        Ok(key)
    }

    /// Writes an entry, confirmed or proposed by what its label says. One that says the same is not written twice: a
    /// proposal becomes confirmed when somebody says the same without having read anything untrusted.
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
