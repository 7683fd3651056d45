//! What is told of messages.

use super::words::{self, Word};
use crate::post::{Folder, Message, fields, head};

/// The answers to `UID FETCH`, each with its message's number and whether it counts as reading it. `None` for what is not
/// understood.
pub(super) fn fetch(folder: &Folder, rest: &[Word]) -> Option<Vec<(Vec<u8>, u32, bool)>> {
    let numbers = words::set(&rest.first()?.name()?)?;
    let items: Vec<String> = rest.get(1..)?.iter().filter_map(Word::name).collect();
    let mut answers = Vec::new();
    for (at, message) in folder.messages.iter().enumerate().filter(|(_, one)| numbers.holds(one.uid)) {
        let mut answer = format!("* {} FETCH (UID {}", at + 1, message.uid).into_bytes();
        let mut reads = false;
        for item in &items {
            reads |= tell(message, &item.to_ascii_uppercase(), &mut answer)?;
        }
        answer.extend_from_slice(b")\r\n");
        answers.push((answer, message.uid, reads));
    }
    Some(answers)
}

/// Adds one item. Says whether it marks the message as read.
fn tell(message: &Message, item: &str, into: &mut Vec<u8>) -> Option<bool> {
    match item {
        "UID" => return Some(false),
        "FLAGS" => into.extend_from_slice(if message.seen { b" FLAGS (\\Seen)" } else { b" FLAGS ()" }),
        "RFC822.SIZE" => into.extend_from_slice(format!(" RFC822.SIZE {}", message.bytes.len()).as_bytes()),
        "INTERNALDATE" => {
            let day = message.day.format("%d-%b-%Y");
            into.extend_from_slice(format!(" INTERNALDATE \"{day} 00:00:00 +0000\"").as_bytes());
        }
        _ => {
            let (section, peeks) = match (item.strip_prefix("BODY.PEEK["), item.strip_prefix("BODY[")) {
                (Some(section), _) => (section, true),
                (None, Some(section)) => (section, false),
                (None, None) => return None,
            };
            let (section, part) = section.split_once(']')?;
            let bytes = of_section(message, section)?;
            let (from, count) = partial(part)?;
            let bytes = bytes.get(from.min(bytes.len())..).unwrap_or_default();
            let bytes = &bytes[..count.min(bytes.len())];
            let origin = if part.is_empty() { String::new() } else { format!("<{from}>") };
            into.extend_from_slice(format!(" BODY[{section}]{origin} {{{}}}\r\n", bytes.len()).as_bytes());
            into.extend_from_slice(bytes);
            return Some(!peeks);
        }
    }
    Some(false)
}

fn of_section(message: &Message, section: &str) -> Option<Vec<u8>> {
    let bytes = &message.bytes;
    let end = head(bytes).len();
    match section {
        "" => Some(bytes.clone()),
        "HEADER" => Some(bytes[..(end + 2).min(bytes.len())].to_vec()),
        "TEXT" => Some(bytes[(end + 2).min(bytes.len())..].to_vec()),
        _ => {
            let wanted = section.strip_prefix("HEADER.FIELDS (")?.strip_suffix(')')?;
            let is_wanted = |name: &str| wanted.split(' ').any(|one| one.eq_ignore_ascii_case(name));
            let mut found: String =
                fields(bytes).into_iter().filter(|(name, _)| is_wanted(name)).map(|(_, field)| field).collect();
            found.push_str("\r\n");
            Some(found.into_bytes())
        }
    }
}

/// `<from.count>`, or everything.
fn partial(text: &str) -> Option<(usize, usize)> {
    if text.is_empty() {
        return Some((0, usize::MAX));
    }
    let (from, count) = text.strip_prefix('<')?.strip_suffix('>')?.split_once('.')?;
    Some((from.parse().ok()?, count.parse().ok()?))
}
