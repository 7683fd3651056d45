//! What a search asks of each message. Everything must be true of it.

use super::words::{self, Set, Word};
use crate::post::{Folder, Message, header};
use chrono::NaiveDate;

enum Key {
    All,
    Seen(bool),
    Since(NaiveDate),
    Before(NaiveDate),
    /// A header has this in it, whatever its case.
    Header(String, String),
    /// The whole message, or its text.
    Text(String),
    Numbers(Set),
}

/// The numbers of the messages that fit; `None` for a question that is not understood.
pub(super) fn search(folder: &Folder, rest: &[Word]) -> Option<Vec<u32>> {
    let keys = keys(rest)?;
    let fits = |message: &&Message| keys.iter().all(|key| key.fits(message));
    Some(folder.messages.iter().filter(fits).map(|message| message.uid).collect())
}

fn keys(rest: &[Word]) -> Option<Vec<Key>> {
    let mut words = rest.iter();
    let mut keys = Vec::new();
    while let Some(word) = words.next() {
        let Word::Atom(name) = word else { return None };
        let mut text = || words.next().and_then(Word::name);
        keys.push(match name.to_ascii_uppercase().as_str() {
            "CHARSET" => {
                text()?;
                continue;
            }
            "ALL" => Key::All,
            "SEEN" => Key::Seen(true),
            "UNSEEN" => Key::Seen(false),
            "SINCE" => Key::Since(day(&text()?)?),
            "BEFORE" => Key::Before(day(&text()?)?),
            field @ ("FROM" | "TO" | "CC" | "SUBJECT") => {
                Key::Header(field.to_ascii_lowercase(), text()?.to_lowercase())
            }
            "HEADER" => Key::Header(text()?.to_ascii_lowercase(), text()?.to_lowercase()),
            "TEXT" | "BODY" => Key::Text(text()?.to_lowercase()),
            "UID" => Key::Numbers(words::set(&text()?)?),
            _ => return None,
        });
    }
    Some(keys)
}

impl Key {
    fn fits(&self, message: &Message) -> bool {
        match self {
            Self::All => true,
            Self::Seen(seen) => message.seen == *seen,
            Self::Since(day) => message.day >= *day,
            Self::Before(day) => message.day < *day,
            Self::Header(name, part) => {
                header(&message.bytes, name).is_some_and(|value| value.to_lowercase().contains(part))
            }
            Self::Text(part) => String::from_utf8_lossy(&message.bytes).to_lowercase().contains(part),
            Self::Numbers(set) => set.holds(message.uid),
        }
    }
}

/// A day as IMAP writes it: `1-Nov-2026`.
fn day(text: &str) -> Option<NaiveDate> {
    NaiveDate::parse_from_str(text, "%d-%b-%Y").ok()
}
