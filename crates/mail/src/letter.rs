//! A mail as it is written: headers that hold what they say and nothing else, text, attachments, and the mark that an
//! agent wrote it.
//!
//! The same action always gives the same bytes, Message-ID and date included: whoever finds one has found the other.

mod encoding;

use crate::{Address, Mailbox};
use bailiwick_types::ActionId;
use std::time::{Duration, UNIX_EPOCH};

/// Longest subject in characters.
pub const MAX_SUBJECT: usize = 256;
/// Longest text in bytes.
pub const MAX_TEXT: usize = 256 * 1024;
/// Recipients in all.
pub const MAX_RECIPIENTS: usize = 50;
pub const MAX_ATTACHMENTS: usize = 10;
/// Bytes of all attachments together.
pub const MAX_ATTACHED: usize = 10 * 1024 * 1024;
/// Longest name of an attachment in characters.
const MAX_FILE_NAME: usize = 128;
/// Longest Message-ID that is answered to.
const MAX_REFERENCE: usize = 255;

/// What is to be sent.
#[derive(Debug, Clone)]
pub struct Letter {
    pub from: Mailbox,
    pub to: Vec<Address>,
    pub cc: Vec<Address>,
    /// Sent to, and named nowhere in the mail.
    pub bcc: Vec<Address>,
    pub subject: String,
    pub text: String,
    /// The Message-ID of the mail that this answers.
    pub in_reply_to: Option<String>,
    pub attachments: Vec<Attachment>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attachment {
    pub name: String,
    /// `type/subtype`, without parameters.
    pub media_type: String,
    pub bytes: Vec<u8>,
}

/// A mail as it goes out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// With the angle brackets.
    pub message_id: String,
    /// Everybody it goes to, each once.
    pub recipients: Vec<Address>,
    pub bytes: Vec<u8>,
}

/// The Message-ID of the mail that `action` sends for somebody at `from`, with its angle brackets.
pub fn message_id(action: ActionId, from: &Address) -> String {
    format!("<{action}.bailiwick@{}>", from.domain())
}

impl Letter {
    /// Writes it down. `mark` says who wrote it in ids ([`bailiwick_types::Mark`]); `byline` says it for people and is the
    /// last line of the text. What cannot be written is refused by its field.
    pub fn write(&self, action: ActionId, mark: &str, byline: &str) -> Result<Written, String> {
        self.check()?;
        if [mark, byline].iter().any(|text| text.chars().any(char::is_control)) {
            return Err("the mark of the author holds a control character".into());
        }
        let message_id = message_id(action, &self.from.address);
        let mut out = Vec::with_capacity(self.text.len() + 2048);
        self.headers(action, &message_id, mark, &mut out);
        let text = format!("{}\n\n-- \n{byline}\n{mark}\n", self.text.trim_end());
        if self.attachments.is_empty() {
            encoding::text_part(&text, &mut out);
        } else {
            // No line of quoted-printable or base64 can begin with `--=_`.
            let boundary = format!("=_{action}");
            encoding::field("Content-Type", &format!("multipart/mixed; boundary=\"{boundary}\""), &mut out);
            out.extend_from_slice(b"\r\n");
            out.extend_from_slice(format!("--{boundary}\r\n").as_bytes());
            encoding::text_part(&text, &mut out);
            for attachment in &self.attachments {
                out.extend_from_slice(format!("--{boundary}\r\n").as_bytes());
                encoding::file_part(&attachment.name, &attachment.media_type, &attachment.bytes, &mut out);
            }
            out.extend_from_slice(format!("--{boundary}--\r\n").as_bytes());
        }
        Ok(Written { message_id, recipients: self.recipients(), bytes: out })
    }

    fn headers(&self, action: ActionId, message_id: &str, mark: &str, out: &mut Vec<u8>) {
        let millis = u64::try_from(action.made_at().as_millis()).unwrap_or(0);
        // RFC 5322 has a number for the zone where HTTP has a name.
        let date = httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_millis(millis)).replace("GMT", "+0000");
        encoding::field("Date", &date, out);
        encoding::field("From", &encoding::mailbox(&self.from), out);
        for (name, addresses) in [("To", &self.to), ("Cc", &self.cc)] {
            if !addresses.is_empty() {
                let all: Vec<&str> = addresses.iter().map(Address::as_str).collect();
                encoding::field(name, &all.join(", "), out);
            }
        }
        if self.to.is_empty() && self.cc.is_empty() {
            encoding::field("To", "undisclosed-recipients:;", out);
        }
        encoding::field("Subject", &encoding::words(&self.subject), out);
        encoding::field("Message-ID", message_id, out);
        if let Some(reference) = &self.in_reply_to {
            encoding::field("In-Reply-To", reference, out);
            encoding::field("References", reference, out);
        }
        // RFC 3834: no out-of-office note answers it.
        encoding::field("Auto-Submitted", "auto-generated", out);
        encoding::field("X-Bailiwick-Author", &encoding::words(mark), out);
        encoding::field("MIME-Version", "1.0", out);
    }

    fn recipients(&self) -> Vec<Address> {
        let mut all: Vec<Address> = Vec::new();
        for address in self.to.iter().chain(&self.cc).chain(&self.bcc) {
            if !all.contains(address) {
                all.push(address.clone());
            }
        }
        all
    }

    fn check(&self) -> Result<(), String> {
        let count = self.recipients().len();
        if count == 0 || count > MAX_RECIPIENTS {
            return Err(format!("`to`, `cc`, `bcc`: must name 1 to {MAX_RECIPIENTS} recipients together"));
        }
        if self.subject.chars().count() > MAX_SUBJECT || self.subject.chars().any(char::is_control) {
            return Err(format!(
                "`subject`: must have at most {MAX_SUBJECT} characters, and no line breaks or control characters"
            ));
        }
        if self.text.len() > MAX_TEXT {
            return Err(format!("`text`: must have at most {MAX_TEXT} bytes"));
        }
        if self.text.chars().any(|char| char.is_control() && !matches!(char, '\n' | '\r' | '\t')) {
            return Err("`text`: must have no control characters but line breaks and tabs".into());
        }
        if let Some(reference) = &self.in_reply_to {
            check_reference(reference)?;
        }
        if self.attachments.len() > MAX_ATTACHMENTS {
            return Err(format!("`attachments`: must be at most {MAX_ATTACHMENTS}"));
        }
        let attached: usize = self.attachments.iter().map(|attachment| attachment.bytes.len()).sum();
        if attached > MAX_ATTACHED {
            return Err(format!("`attachments`: must have at most {MAX_ATTACHED} bytes together"));
        }
        self.attachments.iter().enumerate().try_for_each(|(at, attachment)| {
            attachment.check().map_err(|problem| format!("`attachments[{at}].{problem}"))
        })
    }
}

impl Attachment {
    fn check(&self) -> Result<(), String> {
        let length = self.name.chars().count();
        if length == 0
            || length > MAX_FILE_NAME
            || self.name.starts_with('.')
            || self.name.chars().any(|char| char.is_control() || matches!(char, '/' | '\\' | '"'))
        {
            return Err(format!(
                "name`: must be a file's name of 1 to {MAX_FILE_NAME} characters, without `/`, `\\`, `\"` or a dot in front"
            ));
        }
        let token = |part: &str| {
            (1..=64).contains(&part.len())
                && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$&^_.+-".contains(&byte))
        };
        match self.media_type.split_once('/') {
            // What has parts of its own could hold what nobody looked at.
            Some(("message" | "multipart", _)) => Err("media_type`: must be a file's, not a mail's".into()),
            Some((kind, rest)) if token(kind) && token(rest) => Ok(()),
            _ => Err("media_type`: must be such as `text/csv`, without parameters".into()),
        }
    }
}

fn check_reference(reference: &str) -> Result<(), String> {
    let fine = |byte: u8| byte.is_ascii_graphic() && !b"<>(),;\"\\".contains(&byte);
    let inside = reference.strip_prefix('<').and_then(|rest| rest.strip_suffix('>'));
    match inside {
        Some(id) if reference.len() <= MAX_REFERENCE && id.contains('@') && id.bytes().all(fine) => Ok(()),
        _ => Err("`in_reply_to`: must be one Message-ID with its angle brackets, such as `<1@example.com>`".into()),
    }
}

#[cfg(test)]
mod tests;
