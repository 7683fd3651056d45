//! A message as it is shown: headers on one line each, its text, and what is attached.
//!
//! Everything in it is somebody else's words. It is shown as text and nothing in it is followed, loaded or run.

use mail_parser::{Address, Message, MessageParser, MimeHeaders, PartType};

/// Longest value of a header that is shown, in characters.
const MAX_HEADER: usize = 1_000;
/// Addresses of one header that are shown.
const MAX_ADDRESSES: usize = 100;
/// Attachments that are named.
const MAX_ATTACHMENTS: usize = 50;

/// A message, taken apart.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reading {
    pub from: String,
    pub to: String,
    pub cc: String,
    /// As ISO 8601 in the sender's own zone.
    pub date: String,
    pub subject: String,
    /// With its angle brackets; empty when it has none.
    pub message_id: String,
    pub text: String,
    /// The text goes on after what is here.
    pub cut: bool,
    pub attachments: Vec<Attached>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attached {
    pub name: String,
    pub media_type: String,
    pub size_bytes: usize,
    /// What it says, when it is text.
    pub text: Option<String>,
}

/// Reads a message, or its beginning. `None` for what is no message at all. At most `max_text` bytes of its text.
pub fn read_message(bytes: &[u8], max_text: usize) -> Option<Reading> {
    let message = MessageParser::default().parse(bytes)?;
    let (text, cut) = text_of(&message, max_text);
    Some(Reading {
        from: addresses(message.from()),
        to: addresses(message.to()),
        cc: addresses(message.cc()),
        date: message.date().map(mail_parser::DateTime::to_rfc3339).unwrap_or_default(),
        subject: one_line(message.subject().unwrap_or_default()),
        message_id: message.message_id().map(|id| format!("<{}>", one_line(id))).unwrap_or_default(),
        text,
        cut,
        attachments: attached(&message, max_text),
    })
}

/// The plain text, or the text of the HTML where there is no plain one.
fn text_of(message: &Message<'_>, max: usize) -> (String, bool) {
    let mut text = String::new();
    for at in 0..message.text_body_count() {
        let Some(part) = message.body_text(at) else { break };
        if at > 0 {
            text.push('\n');
        }
        text.push_str(&part);
        if text.len() > max {
            break;
        }
    }
    let mut text = shown(&text);
    let cut = cut(&mut text, max);
    (text, cut)
}

fn attached(message: &Message<'_>, max_text: usize) -> Vec<Attached> {
    let mut left = max_text;
    let parts = message.attachments().take(MAX_ATTACHMENTS);
    parts
        .map(|part| {
            let kind = part.content_type();
            let text = match &part.body {
                PartType::Text(text) | PartType::Html(text) => {
                    let mut text = shown(text);
                    cut(&mut text, left);
                    left -= text.len();
                    Some(text)
                }
                _ => None,
            };
            let media_type = kind.map(|kind| match kind.subtype() {
                Some(sub) => format!("{}/{sub}", kind.ctype()),
                None => kind.ctype().to_owned(),
            });
            Attached {
                name: one_line(part.attachment_name().unwrap_or("without a name")),
                media_type: one_line(&media_type.unwrap_or_else(|| "application/octet-stream".into())),
                size_bytes: part.len(),
                text,
            }
        })
        .collect()
}

fn addresses(header: Option<&Address<'_>>) -> String {
    let Some(header) = header else { return String::new() };
    let one = |address: &mail_parser::Addr<'_>| match (address.name(), address.address()) {
        (Some(name), Some(address)) => format!("{name} <{address}>"),
        (name, address) => name.or(address).unwrap_or_default().to_owned(),
    };
    let all: Vec<String> = header.iter().take(MAX_ADDRESSES).map(one).collect();
    let mut text = one_line(&all.join(", "));
    if header.iter().nth(MAX_ADDRESSES).is_some() {
        text.push_str(", …");
    }
    text
}

/// On one line, so that a value cannot look like another header.
fn one_line(text: &str) -> String {
    let mut line: String = text
        .chars()
        .map(|char| if is_line_end(char) || char.is_control() { ' ' } else { char })
        .take(MAX_HEADER)
        .collect();
    if text.chars().nth(MAX_HEADER).is_some() {
        line.push('…');
    }
    line
}

fn is_line_end(char: char) -> bool {
    matches!(char, '\u{2028}' | '\u{2029}')
}

/// Text without control characters but line breaks and tabs.
fn shown(text: &str) -> String {
    text.replace("\r\n", "\n").chars().filter(|char| !char.is_control() || matches!(char, '\n' | '\t')).collect()
}

/// Shortens `text` to at most `max` bytes. Says whether anything was left out.
pub(crate) fn cut(text: &mut String, max: usize) -> bool {
    if text.len() <= max {
        return false;
    }
    text.truncate(text.floor_char_boundary(max));
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_message_is_shown_by_what_it_says() {
        let message = "From: =?utf-8?q?J=C3=B6rg?= <joerg@a.example>\r\nTo: b@c.example,\r\n d@e.example\r\n\
            Subject: =?utf-8?b?QQ0KQmNjOiB4?=\r\nDate: Sat, 21 Nov 2026 10:00:00 +0100\r\nMessage-ID: <1@a.example>\r\n\
            MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=x\r\n\r\n\
            --x\r\nContent-Type: text/html\r\n\r\n<p>Hello <b>you</b></p><script>evil()</script>\r\n\
            --x\r\nContent-Type: text/csv\r\nContent-Disposition: attachment; filename=\"../a.csv\"\r\n\r\n1;2\r\n--x--\r\n";
        let read = read_message(message.as_bytes(), 10_000).unwrap();
        assert_eq!(read.from, "Jörg <joerg@a.example>");
        assert_eq!(read.to, "b@c.example, d@e.example");
        assert_eq!(read.subject, "A  Bcc: x", "a line break inside an encoded word is none");
        assert_eq!(read.date, "2026-11-21T10:00:00+01:00");
        assert_eq!(read.message_id, "<1@a.example>");
        assert!(read.text.contains("Hello you") && !read.text.contains('<'), "{}", read.text);
        assert_eq!(read.attachments.len(), 1);
        assert_eq!(
            (read.attachments[0].name.as_str(), read.attachments[0].media_type.as_str()),
            ("../a.csv", "text/csv")
        );
        assert_eq!(read.attachments[0].text.as_deref().map(str::trim), Some("1;2"));
    }

    #[test]
    fn a_long_text_is_cut_and_says_so() {
        let message = format!("Subject: x\r\n\r\n{}", "ü".repeat(1000));
        let read = read_message(message.as_bytes(), 101).unwrap();
        assert!(read.cut && read.text.len() == 100);
    }

    proptest! {
        #[test]
        fn nothing_that_comes_by_mail_breaks_the_reader(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            if let Some(read) = read_message(&bytes, 64) {
                prop_assert!(read.text.len() <= 64);
                prop_assert!(!read.subject.contains('\n'));
            }
        }
    }
}
