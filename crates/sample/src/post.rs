//! Mailboxes, shared by the server that takes mail on and the one that shows it.
//!
//! What is taken on is filed in the sender's `Sent` and in the inbox of each recipient of the company, before the answer
//! to the final dot; mail to others is taken on and goes no further.

use crate::company::{DOMAIN, Employee};
use chrono::NaiveDate;
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};
use tokio::sync::mpsc;

/// Messages of one folder.
const MAX_MESSAGES: usize = 10_000;
/// Folders of one mailbox.
const MAX_FOLDERS: usize = 100;
pub(crate) const INBOX: &str = "INBOX";
pub(crate) const SENT: &str = "Sent";

/// A mail that was taken on, as the company's own journal tells it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Taken {
    /// Its Message-ID.
    pub id: String,
    pub from: String,
    pub to: Vec<String>,
    pub subject: String,
    /// The answer to the final dot is held back.
    pub held: bool,
}

#[derive(Debug, Clone)]
pub(crate) struct Message {
    pub uid: u32,
    pub seen: bool,
    /// When it came.
    pub day: NaiveDate,
    pub bytes: Vec<u8>,
}

#[derive(Debug, Clone, Default)]
pub(crate) struct Folder {
    pub messages: Vec<Message>,
    last: u32,
}

impl Folder {
    pub fn next_uid(&self) -> u32 {
        self.last + 1
    }

    /// False when the folder is full.
    fn put(&mut self, bytes: Vec<u8>, seen: bool, day: NaiveDate) -> bool {
        if self.messages.len() >= MAX_MESSAGES {
            return false;
        }
        self.last += 1;
        self.messages.push(Message { uid: self.last, seen, day, bytes });
        true
    }
}

type Mailbox = BTreeMap<String, Folder>;

/// All mailboxes of the company.
pub(crate) struct Post {
    people: Vec<Employee>,
    today: NaiveDate,
    boxes: Mutex<BTreeMap<String, Mailbox>>,
    journal: mpsc::UnboundedSender<Taken>,
    /// Whether the answer to the next final dot is held back.
    hold: AtomicBool,
}

impl Post {
    pub fn new(people: Vec<Employee>, today: NaiveDate, journal: mpsc::UnboundedSender<Taken>) -> Self {
        let empty = || Mailbox::from([(INBOX.to_owned(), Folder::default()), (SENT.to_owned(), Folder::default())]);
        let boxes = people.iter().map(|one| (one.login.clone(), empty())).collect();
        Self { people, today, boxes: Mutex::new(boxes), journal, hold: AtomicBool::new(false) }
    }

    fn boxes(&self) -> MutexGuard<'_, BTreeMap<String, Mailbox>> {
        self.boxes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Who this is, if the secret is theirs.
    pub fn signed_in(&self, login: &str, secret: &str) -> Option<&Employee> {
        self.people.iter().find(|one| one.login == login && one.secret == secret)
    }

    /// Whether the company takes mail for this address: its own people's, and anybody's elsewhere.
    pub fn delivers_to(&self, address: &str) -> bool {
        match address.rsplit_once('@') {
            Some((login, domain)) if domain.eq_ignore_ascii_case(DOMAIN) => {
                self.people.iter().any(|one| one.login.eq_ignore_ascii_case(login))
            }
            Some((login, domain)) => !login.is_empty() && domain.contains('.'),
            None => false,
        }
    }

    /// Takes a mail on. Once this is back it is filed, whether its sender hears of it or not. `None`: there is no room.
    pub fn take(&self, sender: &Employee, to: &[String], bytes: &[u8]) -> Option<Taken> {
        let mut boxes = self.boxes();
        let mut filed = true;
        let mut file = |login: &str, folder: &str, seen| {
            let place = boxes.get_mut(login).and_then(|mailbox| mailbox.get_mut(folder));
            filed &= place.is_some_and(|folder| folder.put(bytes.to_vec(), seen, self.today));
        };
        file(&sender.login, SENT, true);
        for one in &self.people {
            if to.iter().any(|address| address.eq_ignore_ascii_case(&one.email())) {
                file(&one.login, INBOX, false);
            }
        }
        drop(boxes);
        if !filed {
            return None;
        }
        let header = |name: &str| header(bytes, name).unwrap_or_default();
        let held = self.hold.swap(false, Ordering::SeqCst);
        let (id, subject) = (header("message-id"), header("subject"));
        let taken = Taken { id, from: sender.email(), to: to.to_vec(), subject, held };
        // Nobody may be listening any more: the mail was taken on all the same.
        let _ = self.journal.send(taken.clone());
        Some(taken)
    }

    /// Holds back the answer to the next final dot, until its sender hangs up.
    pub fn hold_next(&self) {
        self.hold.store(true, Ordering::SeqCst);
    }

    /// Delivers a mail that somebody wrote before the day began.
    pub fn deliver(&self, login: &str, bytes: &[u8]) {
        if let Some(folder) = self.boxes().get_mut(login).and_then(|mailbox| mailbox.get_mut(INBOX)) {
            folder.put(bytes.to_vec(), false, self.today);
        }
    }

    pub fn folders(&self, login: &str) -> Vec<String> {
        self.boxes().get(login).map(|mailbox| mailbox.keys().cloned().collect()).unwrap_or_default()
    }

    /// A copy of a folder as it is now.
    pub fn folder(&self, login: &str, name: &str) -> Option<Folder> {
        self.boxes().get(login)?.get(name).cloned()
    }

    pub fn create(&self, login: &str, name: &str) -> bool {
        let mut boxes = self.boxes();
        let Some(mailbox) = boxes.get_mut(login) else { return false };
        let fits = mailbox.len() < MAX_FOLDERS && !mailbox.contains_key(name);
        if fits {
            mailbox.insert(name.to_owned(), Folder::default());
        }
        fits
    }

    pub fn append(&self, login: &str, name: &str, seen: bool, bytes: Vec<u8>) -> bool {
        let mut boxes = self.boxes();
        let folder = boxes.get_mut(login).and_then(|mailbox| mailbox.get_mut(name));
        folder.is_some_and(|folder| folder.put(bytes, seen, self.today))
    }

    pub fn mark(&self, login: &str, name: &str, uid: u32, seen: bool) {
        let mut boxes = self.boxes();
        let folder = boxes.get_mut(login).and_then(|mailbox| mailbox.get_mut(name));
        if let Some(message) = folder.and_then(|folder| folder.messages.iter_mut().find(|one| one.uid == uid)) {
            message.seen = seen;
        }
    }
}

/// The headers of a message, up to its first empty line.
pub(crate) fn head(bytes: &[u8]) -> &[u8] {
    let end = bytes.windows(4).position(|part| part == b"\r\n\r\n").map_or(bytes.len(), |at| at + 2);
    &bytes[..end]
}

/// The header fields of a message: a name, and the whole field as it came, with its folded lines.
pub(crate) fn fields(bytes: &[u8]) -> Vec<(String, String)> {
    let text = String::from_utf8_lossy(head(bytes));
    let mut fields: Vec<(String, String)> = Vec::new();
    for line in text.split_inclusive("\r\n") {
        match (line.starts_with([' ', '\t']), fields.last_mut()) {
            (true, Some((_, field))) => field.push_str(line),
            _ => {
                let name = line.split(':').next().unwrap_or_default().trim().to_ascii_lowercase();
                fields.push((name, line.to_owned()));
            }
        }
    }
    fields
}

/// The value of a header on one line.
pub(crate) fn header(bytes: &[u8], name: &str) -> Option<String> {
    let (_, field) = fields(bytes).into_iter().find(|(one, _)| one == name)?;
    let (_, value) = field.split_once(':')?;
    Some(value.split_whitespace().collect::<Vec<_>>().join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_found_with_their_folded_lines() {
        let message = b"Subject: a\r\n b\r\nMESSAGE-ID: <1@a.example>\r\n\r\nSubject: body\r\n";
        assert_eq!(header(message, "subject").as_deref(), Some("a b"));
        assert_eq!(header(message, "message-id").as_deref(), Some("<1@a.example>"));
        assert_eq!((header(message, "to"), header(b"", "subject")), (None, None));
    }
}
