//! What the memory store keeps, and its rules without locks, clocks or faults.

use super::book::Book;
use bailiwick_ports::{
    DocumentWrite, StoreError, SubjectKey, WrappedKey,
    store::{
        Accepted, Administer, Append, Appended, Document, DocumentKind, Due, Idempotency, InboxEntry, LeaseGrant,
        MAX_INBOX, NewStream, Page, ReadableQuery, ReadableStream, Ready, Row, RowKind, RowQuery, SNAPSHOT_SPAN,
        SealedRecord, Snapshot, StoredRow, StreamHead, Subjects, Submission, Tenant, keeps_snapshot,
    },
};
use bailiwick_types::{Millis, NodeId, StreamId, TenantId, Timestamp, UserId};
use bytes::Bytes;
use std::collections::{BTreeMap, HashMap, VecDeque};

#[derive(Default)]
pub(super) struct State {
    streams: BTreeMap<StreamId, Stream>,
    rows: HashMap<(RowKind, u128), KeptRow>,
    promises: HashMap<(TenantId, String, String), Promise>,
    pub book: Book,
    pub tenants: BTreeMap<TenantId, Tenant>,
    /// Every version, oldest first; never empty.
    pub documents: HashMap<(TenantId, DocumentKind, u128), Vec<Document>>,
    /// Of people, with when they were made; what was destroyed is zeroes.
    subjects: Vec<(TenantId, SubjectKey, Timestamp)>,
}

pub(super) struct Stream {
    tenant: TenantId,
    key: WrappedKey,
    /// Which of the people's keys is around its own.
    subject: Option<usize>,
    pub records: Vec<SealedRecord>,
    pub inbox: VecDeque<InboxEntry>,
    inbox_through: u64,
    inbox_last: u64,
    /// By their span.
    snapshots: BTreeMap<u64, Snapshot>,
    epoch: u64,
    holder: Option<NodeId>,
    expires: Timestamp,
    span: Millis,
    due: Option<Timestamp>,
}

struct KeptRow {
    stream: StreamId,
    scope: u128,
    parent: u128,
    ordinal: i64,
    labels: Vec<(String, String)>,
    sealed: Bytes,
}

struct Promise {
    digest: [u8; 32],
    stream: StreamId,
    sequence: u64,
}

impl Stream {
    fn empty(tenant: TenantId, key: WrappedKey) -> Self {
        Self {
            tenant,
            key,
            subject: None,
            records: Vec::new(),
            inbox: VecDeque::new(),
            inbox_through: 0,
            inbox_last: 0,
            snapshots: BTreeMap::new(),
            epoch: 0,
            holder: None,
            expires: Timestamp::default(),
            span: Millis::default(),
            due: None,
        }
    }

    fn position(&self) -> u64 {
        self.records.len() as u64
    }

    pub fn head(&self) -> StreamHead {
        StreamHead {
            tenant: self.tenant,
            key: self.key.clone(),
            position: self.position(),
            chain: self.records.last().map_or([0; 32], |record| record.chain),
            epoch: self.epoch,
            inbox_through: self.inbox_through,
        }
    }

    fn held_at(&self, epoch: u64, now: Timestamp) -> bool {
        self.epoch == epoch && self.expires > now
    }

    fn grant(&self, now: Timestamp) -> LeaseGrant {
        LeaseGrant { tenant: self.tenant, epoch: self.epoch, now, expires: self.expires }
    }

    pub fn snapshot_up_to(&self, position: u64) -> Option<Snapshot> {
        self.snapshots.values().rfind(|snapshot| snapshot.position <= position).cloned()
    }

    fn keep(&mut self, snapshot: Snapshot) {
        let newest = snapshot.position / SNAPSHOT_SPAN;
        self.snapshots.insert(newest, snapshot);
        self.snapshots.retain(|span, _| keeps_snapshot(*span, newest));
    }

    fn wake(&mut self, now: Timestamp) {
        self.due = Some(self.due.map_or(now, |due| due.min(now)));
    }

    fn receive(&mut self, id: StreamId, inputs: Vec<Bytes>, now: Timestamp) -> Result<u64, StoreError> {
        if inputs.is_empty() {
            return Ok(0);
        }
        if self.inbox_last - self.inbox_through + inputs.len() as u64 > MAX_INBOX {
            return Err(StoreError::InboxFull(id));
        }
        for sealed in inputs {
            self.inbox_last += 1;
            self.inbox.push_back(InboxEntry { sequence: self.inbox_last, received: now, sealed });
        }
        self.wake(now);
        Ok(self.inbox_last)
    }
}

impl State {
    pub fn heads(&self) -> impl Iterator<Item = (StreamId, TenantId, u64)> {
        self.streams.iter().map(|(id, stream)| (*id, stream.tenant, stream.position()))
    }

    pub fn stream(&self, id: StreamId) -> Result<&Stream, StoreError> {
        self.streams.get(&id).ok_or(StoreError::UnknownStream(id))
    }

    fn stream_mut(&mut self, id: StreamId) -> Result<&mut Stream, StoreError> {
        self.streams.get_mut(&id).ok_or(StoreError::UnknownStream(id))
    }

    pub fn promised(&self, tenant: TenantId, asked: &Idempotency, only: Option<StreamId>) -> Option<Accepted> {
        let kept = self.promises.get(&(tenant, asked.scope.clone(), asked.key.clone()))?;
        if kept.digest == asked.digest && only.is_none_or(|stream| stream == kept.stream) {
            Some(Accepted::Repeated { stream: kept.stream, sequence: kept.sequence })
        } else {
            Some(Accepted::KeyReused)
        }
    }

    fn promise(&mut self, tenant: TenantId, asked: Option<Idempotency>, stream: StreamId, sequence: u64) {
        if let Some(Idempotency { scope, key, digest }) = asked {
            self.promises.insert((tenant, scope, key), Promise { digest, stream, sequence });
        }
    }

    pub fn create_stream(&mut self, new: NewStream, now: Timestamp) -> Result<Accepted, StoreError> {
        new.check()?;
        if let Some(before) = new.idempotency.as_ref().and_then(|asked| self.promised(new.tenant, asked, None)) {
            return Ok(before);
        }
        if self.streams.contains_key(&new.stream) || self.rows_conflict(new.stream, &new.rows) {
            return Err(StoreError::Conflict);
        }
        let subject = match &new.key.subject {
            Some(key) => Some(self.subject(new.tenant, key.person).filter(|no| self.subjects[*no].1 == **key)),
            None => None,
        };
        if subject == Some(None) {
            return Err(StoreError::Conflict);
        }
        let subject = subject.flatten();
        let mut stream = Stream { records: new.records, subject, ..Stream::empty(new.tenant, new.key) };
        let sequence = stream.receive(new.stream, new.inputs, now)?;
        self.streams.insert(new.stream, stream);
        self.write_rows(new.stream, new.rows);
        self.promise(new.tenant, new.idempotency, new.stream, sequence);
        Ok(Accepted::New { sequence })
    }

    pub fn submit(&mut self, new: Submission, now: Timestamp) -> Result<Accepted, StoreError> {
        let only = Some(new.stream);
        if let Some(before) = new.idempotency.as_ref().and_then(|asked| self.promised(new.tenant, asked, only)) {
            return Ok(before);
        }
        let stream = self.stream_mut(new.stream)?;
        if stream.tenant != new.tenant {
            return Err(StoreError::UnknownStream(new.stream));
        }
        let sequence = stream.receive(new.stream, new.inputs, now)?;
        self.promise(new.tenant, new.idempotency, new.stream, sequence);
        Ok(Accepted::New { sequence })
    }

    pub fn lease(
        &mut self,
        id: StreamId,
        node: NodeId,
        span: Millis,
        now: Timestamp,
    ) -> Result<Option<LeaseGrant>, StoreError> {
        let stream = self.stream_mut(id)?;
        if stream.expires > now && stream.holder != Some(node) {
            return Ok(None);
        }
        stream.epoch += 1;
        stream.holder = Some(node);
        stream.span = span;
        stream.expires = now + span;
        Ok(Some(stream.grant(now)))
    }

    pub fn renew(&mut self, id: StreamId, epoch: u64, span: Millis, now: Timestamp) -> Result<LeaseGrant, StoreError> {
        let stream = self.stream_mut(id)?;
        if !stream.held_at(epoch, now) {
            return Err(StoreError::StaleEpoch { stream: id, epoch });
        }
        stream.span = span;
        stream.expires = now + span;
        Ok(stream.grant(now))
    }

    pub fn append(&mut self, append: Append, now: Timestamp) -> Result<Appended, StoreError> {
        append.check()?;
        let conflict = self.rows_conflict(append.stream, &append.rows);
        let stream = self.stream_mut(append.stream)?;
        if stream.tenant != append.tenant {
            return Err(StoreError::UnknownStream(append.stream));
        }
        if !stream.held_at(append.epoch, now) || stream.position() != append.after {
            return Err(StoreError::StaleEpoch { stream: append.stream, epoch: append.epoch });
        }
        if append.inbox_through < stream.inbox_through || append.inbox_through > stream.inbox_last {
            let range = format!("{} to {}", stream.inbox_through, stream.inbox_last);
            return Err(StoreError::Malformed(format!("`inbox_through` is {}, not {range}", append.inbox_through)));
        }
        if conflict {
            return Err(StoreError::Conflict);
        }
        stream.records.extend(append.records);
        stream.inbox_through = append.inbox_through;
        stream.inbox.retain(|entry| entry.sequence > append.inbox_through);
        if let Some(snapshot) = append.snapshot {
            stream.keep(snapshot);
        }
        match append.due {
            Due::Now => stream.wake(now),
            _ if !stream.inbox.is_empty() => stream.wake(now),
            Due::At(at) => stream.due = Some(at),
            Due::OnInput => stream.due = None,
        }
        let released = append.release && stream.inbox.is_empty();
        stream.expires = now + stream.span;
        let appended = Appended { released, expires: if released { now } else { stream.expires }, now };
        if released {
            stream.holder = None;
            stream.expires = Timestamp::default();
        }
        self.write_rows(append.stream, append.rows);
        self.book.write(append.tenant, append.balances, append.spend);
        Ok(appended)
    }

    pub fn put_snapshot(&mut self, id: StreamId, snapshot: Snapshot) -> Result<(), StoreError> {
        let stream = self.stream_mut(id)?;
        if snapshot.position > stream.position() {
            let (at, end) = (snapshot.position, stream.position());
            return Err(StoreError::Malformed(format!("the snapshot is at {at}, the stream ends at {end}")));
        }
        stream.keep(snapshot);
        Ok(())
    }

    pub fn forget_snapshots(&mut self) {
        self.streams.values_mut().for_each(|stream| stream.snapshots.clear());
    }

    pub fn release_node(&mut self, node: NodeId) {
        for stream in self.streams.values_mut().filter(|stream| stream.holder == Some(node)) {
            stream.holder = None;
            stream.expires = Timestamp::default();
        }
    }

    pub fn ready(&self, limit: u32, now: Timestamp) -> Vec<Ready> {
        let due = |(id, stream): (&StreamId, &Stream)| {
            let at = stream.due.filter(|due| *due <= now && stream.expires <= now)?;
            Some((at, Ready { tenant: stream.tenant, stream: *id }))
        };
        let mut ready: Vec<_> = self.streams.iter().filter_map(due).collect();
        ready.sort_by_key(|(at, _)| *at);
        ready.into_iter().take(limit as usize).map(|(_, ready)| ready).collect()
    }

    pub fn next_due(&self, now: Timestamp) -> Option<Timestamp> {
        self.streams.values().filter_map(|stream| stream.due).filter(|due| *due > now).min()
    }

    fn rows_conflict(&self, stream: StreamId, rows: &[Row]) -> bool {
        let foreign = |row: &Row| self.rows.get(&(row.kind, row.id)).is_some_and(|kept| kept.stream != stream);
        rows.iter().any(foreign)
    }

    fn write_rows(&mut self, stream: StreamId, rows: Vec<Row>) {
        for row in rows {
            let key = (row.kind, row.id);
            let Some(sealed) = row.sealed else {
                self.rows.remove(&key);
                continue;
            };
            let fresh = KeptRow {
                stream,
                scope: row.scope,
                parent: row.parent,
                ordinal: row.ordinal,
                labels: Vec::new(),
                sealed: Bytes::new(),
            };
            let kept = self.rows.entry(key).or_insert(fresh);
            kept.sealed = sealed;
            kept.labels = row.labels;
        }
    }

    pub fn clear_rows(&mut self, stream: StreamId, limit: usize) -> Result<bool, StoreError> {
        self.stream(stream)?;
        let own = |((kind, _), row): &(&(RowKind, u128), &KeptRow)| {
            *kind != RowKind::Session && row.stream == stream && row.scope == stream.to_u128()
        };
        let found: Vec<_> = self.rows.iter().filter(own).map(|(key, _)| *key).take(limit).collect();
        found.iter().for_each(|key| drop(self.rows.remove(key)));
        Ok(found.len() == limit)
    }

    /// A person's key that was not destroyed.
    fn subject(&self, tenant: TenantId, person: UserId) -> Option<usize> {
        self.subjects.iter().position(|(of, key, _)| *of == tenant && key.person == person && !key.is_destroyed())
    }

    pub fn subject_key(&self, tenant: TenantId, person: UserId) -> Option<(SubjectKey, Timestamp)> {
        self.subject(tenant, person).map(|no| (self.subjects[no].1.clone(), self.subjects[no].2))
    }

    pub fn keep_subject_key(
        &mut self,
        tenant: TenantId,
        key: SubjectKey,
        now: Timestamp,
    ) -> Result<SubjectKey, StoreError> {
        let no = self.subject(tenant, key.person).unwrap_or_else(|| {
            self.subjects.push((tenant, key, now));
            self.subjects.len() - 1
        });
        Ok(self.subjects[no].1.clone())
    }

    /// A stream's head, with the person's key as it is now.
    pub fn head_of(&self, stream: StreamId) -> Option<StreamHead> {
        let stream = self.streams.get(&stream)?;
        let mut head = stream.head();
        head.key.subject = stream.subject.map(|no| Box::new(self.subjects[no].1.clone()));
        Some(head)
    }

    pub fn readable_streams(&self, query: &ReadableQuery, now: Timestamp) -> Vec<ReadableStream> {
        let person = |stream: &Stream| stream.subject.map(|no| self.subjects[no].1.person);
        let own = |(id, stream): &(&StreamId, &Stream)| {
            stream.tenant == query.tenant && **id != StreamId::from(query.tenant) && !is_zero(&stream.key.bytes)
        };
        let wanted = |(_, stream): &(usize, (&StreamId, &Stream))| match query.of {
            Subjects::Anybody => true,
            Subjects::Person(wanted) => person(stream.1) == Some(wanted),
            Subjects::Nobody => stream.1.subject.is_none(),
        };
        let quiet = |found: &ReadableStream| query.quiet_since.is_none_or(|since| found.last < since);
        let readable = |(at, (id, stream)): (usize, (&StreamId, &Stream))| {
            Some(ReadableStream {
                cursor: at as u64 + 1,
                stream: *id,
                subject: person(stream),
                last: stream.records.last()?.time,
                at_rest: stream.due.is_none_or(|due| due > now) && (stream.holder.is_none() || stream.expires <= now),
            })
        };
        let all = self.streams.iter().enumerate().filter(|(at, one)| *at as u64 >= query.after && own(one));
        all.filter(wanted).filter_map(readable).filter(quiet).take(query.limit as usize).collect()
    }

    pub fn erase_stream(&mut self, id: StreamId, limit: usize) -> Result<bool, StoreError> {
        let stream = self.stream_mut(id)?;
        stream.key.bytes.fill(0);
        (stream.due, stream.holder, stream.expires) = (None, None, Timestamp::default());
        stream.epoch += 1;
        stream.inbox_through = stream.inbox_last;
        stream.inbox.clear();
        stream.snapshots.clear();
        self.rows.retain(|(kind, _), row| row.stream != id || !matches!(kind, RowKind::Session | RowKind::Approval));
        self.clear_rows(id, limit)
    }

    fn tenant_of(&self, row: &KeptRow) -> Option<TenantId> {
        self.streams.get(&row.stream).map(|stream| stream.tenant)
    }

    pub fn row(&self, tenant: TenantId, kind: RowKind, id: u128) -> Option<StoredRow> {
        let kept = self.rows.get(&(kind, id)).filter(|kept| self.tenant_of(kept) == Some(tenant))?;
        Some(kept.stored(id))
    }

    pub fn rows(&self, query: &RowQuery) -> Option<(Vec<StoredRow>, bool)> {
        let in_list = |kept: &KeptRow| {
            kept.scope == query.scope
                && query.parent.is_none_or(|parent| parent == kept.parent)
                && self.tenant_of(kept) == Some(query.tenant)
        };
        let labelled = |kept: &KeptRow| query.labels.iter().all(|label| kept.labels.contains(label));
        let list = self.rows.iter().filter(|((kind, _), kept)| *kind == query.kind && in_list(kept));
        let list = list.map(|((_, id), kept)| (kept.ordinal, *id, labelled(kept).then_some(kept))).collect();
        let (page, more) = paginate(list, &query.page)?;
        Some((page.into_iter().map(|(id, kept)| kept.stored(id)).collect(), more))
    }

    pub fn put_document(&mut self, tenant: TenantId, mut document: Document) -> Result<(), StoreError> {
        let key = (tenant, document.kind, document.id);
        let taken = |handle: &String| {
            self.documents.iter().any(|(other, versions)| {
                *other != key
                    && other.1 == document.kind
                    && versions.last().is_some_and(|newest| newest.handle.as_ref() == Some(handle))
            })
        };
        let versions = self.documents.get(&key).map_or(&[][..], Vec::as_slice);
        let follows = versions.last().map_or(1, |newest| newest.version + 1);
        if document.version != follows || document.handle.as_ref().is_some_and(taken) {
            return Err(StoreError::Conflict);
        }
        if let Some(first) = versions.first() {
            document.created = first.created;
        }
        self.documents.entry(key).or_default().push(document);
        Ok(())
    }

    pub fn administer(&mut self, change: Administer) -> Result<(), StoreError> {
        change.check()?;
        let id = StreamId::from(change.tenant);
        let position = self.streams.get(&id).map_or(0, Stream::position);
        if change.record.position != position + 1 {
            return Err(StoreError::StaleEpoch { stream: id, epoch: 0 });
        }
        let before = self.documents.clone();
        for write in change.documents {
            let written = match write {
                DocumentWrite::Put(document) => self.put_document(change.tenant, document),
                DocumentWrite::Remove { kind, id } => {
                    self.documents.remove(&(change.tenant, kind, id));
                    Ok(())
                }
                DocumentWrite::DestroyKey { person, until } => {
                    let found = self.subject(change.tenant, person).filter(|no| self.subjects[*no].2 <= until);
                    found.into_iter().for_each(|no| self.subjects[no].1.bytes.fill(0));
                    Ok(())
                }
                DocumentWrite::DestroyStreamKey { stream } => {
                    let ours = |of: &&mut Stream| of.tenant == change.tenant && stream != id;
                    let stream = self.streams.get_mut(&stream).filter(ours);
                    stream.into_iter().for_each(|stream| stream.key.bytes.fill(0));
                    Ok(())
                }
            };
            if let Err(error) = written {
                self.documents = before;
                return Err(error);
            }
        }
        let stream = self.streams.entry(id).or_insert_with(|| Stream::empty(change.tenant, change.key));
        stream.records.push(change.record);
        Ok(())
    }

    pub fn document_by_handle(&self, kind: DocumentKind, handle: &str) -> Option<(TenantId, Document)> {
        self.documents.iter().filter(|((_, of, _), _)| *of == kind).find_map(|((tenant, ..), versions)| {
            let newest = versions.last().filter(|newest| newest.handle.as_deref() == Some(handle))?;
            Some((*tenant, newest.clone()))
        })
    }

    pub fn documents(&self, tenant: TenantId, kind: DocumentKind, page: &Page) -> Option<(Vec<Document>, bool)> {
        let of_kind = self.documents.iter().filter(|((owner, of, _), _)| *owner == tenant && *of == kind);
        let newest = of_kind.filter_map(|(_, versions)| versions.last());
        let list = newest.map(|document| (document.created.as_millis(), document.id, Some(document))).collect();
        let (page, more) = paginate(list, page)?;
        Some((page.into_iter().map(|(_, document)| document.clone()).collect(), more))
    }
}

impl KeptRow {
    fn stored(&self, id: u128) -> StoredRow {
        StoredRow { id, stream: self.stream, ordinal: self.ordinal, sealed: self.sealed.clone() }
    }
}

/// One page of a list given as ordinal, id and entry; entries that are `None` can be cursors but are not listed.
fn paginate<T>(mut list: Vec<(i64, u128, Option<T>)>, page: &Page) -> Option<(Vec<(u128, T)>, bool)> {
    list.sort_by_key(|(ordinal, id, _)| (*ordinal, *id));
    if page.descending {
        list.reverse();
    }
    let place = |cursor: u128| list.iter().position(|(_, id, _)| *id == cursor);
    let begin = match page.after {
        Some(cursor) => place(cursor)? + 1,
        None => 0,
    };
    let end = match page.before {
        Some(cursor) => place(cursor)?,
        None => list.len(),
    };
    let between = list.into_iter().take(end).skip(begin);
    let mut found: Vec<_> = between.filter_map(|(_, id, entry)| Some((id, entry?))).collect();
    let more = found.len() > page.limit as usize;
    if more && page.after.is_none() && page.before.is_some() {
        found.drain(..found.len() - page.limit as usize);
    }
    found.truncate(page.limit as usize);
    Some((found, more))
}

fn is_zero(bytes: &[u8]) -> bool {
    !bytes.is_empty() && bytes.iter().all(|byte| *byte == 0)
}
