//! The tools of a mailbox: what they are called, what they take, and how a call becomes one of SMTP or IMAP.

use crate::{
    Account, Address, Attachment, Letter, Login, LookedUp, Mailbox, Patience, Reading,
    imap::{Head, Mailroom, Place, Query},
    letter::{MAX_ATTACHED, MAX_ATTACHMENTS, MAX_RECIPIENTS, MAX_SUBJECT, MAX_TEXT},
    message_id, read_message,
    reading::cut,
    sending::{self, confirmed},
};
use bailiwick_core::{Effect, Failure, FailureCode, Outcome, ToolDefinition};
use bailiwick_gate::{
    Live,
    calls::{arguments, invalid},
};
use bailiwick_outbound::Trust;
use bailiwick_ports::Clock;
use bailiwick_types::{ActionId, Millis, Secret};
use base64::{Engine, engine::general_purpose::STANDARD};
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;

/// The one tool here that may not be repeated.
pub(crate) const SEND: &str = "send_mail";
/// Messages in one list.
const MAX_FOUND: usize = 50;
/// Bytes of a message that are fetched to be read; what is behind them is said to be missing.
const MAX_MESSAGE: usize = 2 * 1024 * 1024;

/// For whom a mail is written, and by whom.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Author {
    /// In ids ([`bailiwick_types::Mark`]).
    pub mark: String,
    /// The agent's name.
    pub agent: Option<String>,
    /// The person's name and address, as the directory has them.
    pub person_name: Option<String>,
    pub person_email: Option<String>,
}

/// How much one call may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of what comes back.
    pub output_bytes: usize,
    /// For everything that may be cut short.
    pub time: Millis,
    /// For the answer to the final dot, which may not.
    pub answer: Millis,
}

impl Default for Limits {
    fn default() -> Self {
        Self { output_bytes: 64 * 1024, time: Millis::from_secs(60), answer: sending::ANSWER }
    }
}

/// What one call needs beside its arguments.
pub struct Access<'a> {
    pub account: &'a Account,
    pub secret: Option<&'a Secret>,
    pub author: &'a Author,
    pub action: ActionId,
    pub limits: Limits,
    /// By whom servers without authorities of their own are known.
    pub trust: &'a Trust,
    pub clock: Arc<dyn Clock>,
}

/// The tools of this account.
pub fn definitions(account: &Account) -> Vec<ToolDefinition> {
    let mut all = Vec::new();
    if account.smtp.is_some() {
        all.push(send_definition());
    }
    if account.imap.is_some() {
        all.extend(reading_definitions());
    }
    all
}

fn send_definition() -> ToolDefinition {
    let addresses = |what: &str| json!({"type": "array", "items": {"type": "string", "format": "email"}, "maxItems": MAX_RECIPIENTS, "description": what});
    ToolDefinition {
        name: SEND.into(),
        title: Some("Send a mail".into()),
        description: "Sends one mail as plain text, at most once. It is marked as written by an AI colleague. All \
            recipients get it or none. When the outcome is unknown, do not send it again: ask a person to look."
            .into(),
        parameters: json!({
            "type": "object",
            "properties": {
                "to": addresses("Bare addresses, such as `anna@example.com`."),
                "cc": addresses("Who gets a copy."),
                "bcc": addresses("Who gets a copy that the others do not see."),
                "subject": {"type": "string", "minLength": 1, "maxLength": MAX_SUBJECT},
                "text": {"type": "string", "minLength": 1, "maxLength": MAX_TEXT, "description": "Plain text."},
                "in_reply_to": {"type": "string", "description": "The Message-ID of the mail that this answers, with its angle brackets."},
                "attachments": {
                    "type": "array", "maxItems": MAX_ATTACHMENTS,
                    "items": {
                        "type": "object",
                        "properties": {
                            "name": {"type": "string", "minLength": 1, "maxLength": 128},
                            "media_type": {"type": "string", "description": "Such as `text/csv`."},
                            "text": {"type": "string", "description": "What it says; or `base64`."},
                            "base64": {"type": "string", "description": "Its bytes; or `text`."}
                        },
                        "required": ["name", "media_type"],
                        "additionalProperties": false
                    }
                }
            },
            "required": ["to", "subject", "text"],
            "additionalProperties": false
        }),
        effect: Effect::Write,
    }
}

fn reading_definitions() -> Vec<ToolDefinition> {
    let folder = json!({"type": "string", "maxLength": 512, "description": "The folder's name; `INBOX` without it."});
    let id = json!({"type": "string", "description": "The `id` from `search_mail`."});
    let day = |what: &str| json!({"type": "string", "description": what});
    let text = |what: &str| json!({"type": "string", "minLength": 1, "maxLength": 256, "description": what});
    let tool = ToolDefinition::new;
    vec![
        tool(
            "list_mail_folders",
            "List mail folders",
            "Lists the folders of the mailbox.",
            json!({"type": "object", "properties": {}, "additionalProperties": false}),
            Effect::Read,
        ),
        tool(
            "search_mail",
            "Search mail",
            "Finds mails in one folder, newest first. Everything that is given must be true of a mail. Nothing is marked \
             as read.",
            json!({
                "type": "object",
                "properties": {
                    "folder": folder,
                    "from": text("Part of the sender."),
                    "to": text("Part of the recipients."),
                    "subject": text("Part of the subject."),
                    "text": text("In the headers or the text."),
                    "since": day("The day it came or later, such as `2026-11-01`."),
                    "before": day("Before this day."),
                    "unread": {"type": "boolean", "description": "Only those that nobody has read."},
                    "limit": {"type": "integer", "minimum": 1, "maximum": MAX_FOUND, "description": "20 without it."}
                },
                "additionalProperties": false
            }),
            Effect::Read,
        ),
        tool(
            "read_mail",
            "Read a mail",
            "Reads one mail: headers, text, and what is attached. It is not marked as read.",
            json!({
                "type": "object",
                "properties": {"folder": folder, "id": id},
                "required": ["id"],
                "additionalProperties": false
            }),
            Effect::Read,
        ),
        tool(
            "mark_mail_read",
            "Mark a mail as read",
            "Marks one mail as read.",
            json!({
                "type": "object",
                "properties": {"folder": folder, "id": id},
                "required": ["id"],
                "additionalProperties": false
            }),
            Effect::Idempotent,
        ),
    ]
}

/// Performs one call.
pub async fn call(access: &Access<'_>, tool: &str, arguments: &Value, live: Live) -> Outcome {
    let account = access.account;
    let login = match account.check().map_err(Failure::from).and_then(|()| account.login(access.secret)) {
        Ok(login) => login,
        Err(failure) => return Outcome::Failed { failure },
    };
    let patience = Patience::new(access.clock.clone(), access.limits.time, live);
    let done = match tool {
        SEND => return send_mail(access, login.as_ref(), arguments, &patience).await,
        "list_mail_folders" => list_folders(access, login.as_ref(), &patience).await,
        "search_mail" => search_mail(access, login.as_ref(), arguments, &patience).await,
        "read_mail" => read_mail(access, login.as_ref(), arguments, &patience).await,
        "mark_mail_read" => mark_read(access, login.as_ref(), arguments, &patience).await,
        other => Err(invalid(format!("there is no tool `{other}` here"))),
    };
    match done {
        Ok(mut text) => {
            if cut(&mut text, access.limits.output_bytes) {
                text.push_str("\n[cut here: more than may be shown at once]");
            }
            confirmed(text)
        }
        Err(failure) => Outcome::Failed { failure },
    }
}

/// Finds out what became of a mail whose answer a crash took. It is never sent again: where it is not among the sent ones,
/// nobody knows.
pub async fn settle_lost(access: &Access<'_>, live: Live) -> Outcome {
    let unknown = |reason: String| Outcome::Unknown { reason: format!("the mail may have been sent: {reason}") };
    let found = async {
        let login = access.account.login(access.secret)?;
        let id = message_id(access.action, &sender(access)?.address);
        let patience = Patience::new(access.clock.clone(), access.limits.time, live);
        Ok::<_, Failure>((sending::look_up(access.account, login.as_ref(), &id, access.trust, &patience).await?, id))
    };
    match found.await {
        Ok((LookedUp::Found { folder }, id)) => {
            confirmed(format!("Sent: it was found in `{folder}`. Message-ID: {id}."))
        }
        Ok((LookedUp::NotFound, id)) => unknown(format!("{id} is not in the folder of sent mail")),
        Err(failure) => unknown(failure.message),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SendMail {
    to: Vec<String>,
    #[serde(default)]
    cc: Vec<String>,
    #[serde(default)]
    bcc: Vec<String>,
    subject: String,
    text: String,
    #[serde(default)]
    in_reply_to: Option<String>,
    #[serde(default)]
    attachments: Vec<Attach>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Attach {
    name: String,
    media_type: String,
    #[serde(default)]
    text: Option<String>,
    #[serde(default)]
    base64: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SearchMail {
    #[serde(default = "inbox")]
    folder: String,
    #[serde(default)]
    from: Option<String>,
    #[serde(default)]
    to: Option<String>,
    #[serde(default)]
    subject: Option<String>,
    #[serde(default)]
    text: Option<String>,
    #[serde(default)]
    since: Option<String>,
    #[serde(default)]
    before: Option<String>,
    #[serde(default)]
    unread: bool,
    #[serde(default = "usual_limit")]
    limit: usize,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OneMail {
    #[serde(default = "inbox")]
    folder: String,
    id: String,
}

fn inbox() -> String {
    "INBOX".into()
}

fn usual_limit() -> usize {
    20
}

async fn send_mail(access: &Access<'_>, login: Option<&Login>, value: &Value, patience: &Patience) -> Outcome {
    let written = letter(access, value).and_then(|letter| {
        let written = letter.write(access.action, &access.author.mark, &byline(access.author)).map_err(invalid)?;
        Ok((letter.from.address, written))
    });
    match written {
        Ok((from, written)) => {
            sending::send(access.account, login, &from, &written, access.trust, patience, access.limits.answer).await
        }
        Err(failure) => Outcome::Failed { failure },
    }
}

fn letter(access: &Access<'_>, value: &Value) -> Result<Letter, Failure> {
    let wanted: SendMail = arguments(value)?;
    let addresses = |field: &str, all: Vec<String>| {
        let one = |(at, text): (usize, &String)| {
            Address::parse(text).map_err(|problem| invalid(format!("`{field}[{at}]`: {problem}")))
        };
        all.iter().take(MAX_RECIPIENTS + 1).enumerate().map(one).collect::<Result<Vec<_>, _>>()
    };
    let attached = |(at, file): (usize, Attach)| {
        let bytes = match (file.text, file.base64) {
            (Some(text), None) => text.into_bytes(),
            (None, Some(base64)) if base64.len() <= MAX_ATTACHED * 2 => {
                STANDARD.decode(&base64).map_err(|_| invalid(format!("`attachments[{at}].base64`: is not base64")))?
            }
            _ => return Err(invalid(format!("`attachments[{at}]`: needs either `text` or `base64`, not too long"))),
        };
        Ok(Attachment { name: file.name, media_type: file.media_type, bytes })
    };
    Ok(Letter {
        from: sender(access)?,
        to: addresses("to", wanted.to)?,
        cc: addresses("cc", wanted.cc)?,
        bcc: addresses("bcc", wanted.bcc)?,
        subject: wanted.subject,
        text: wanted.text,
        in_reply_to: wanted.in_reply_to,
        attachments: wanted.attachments.into_iter().enumerate().map(attached).collect::<Result<_, _>>()?,
    })
}

/// Whom the mail is from: the account's own address, or the person's.
fn sender(access: &Access<'_>) -> Result<Mailbox, Failure> {
    let (account, author) = (access.account, access.author);
    let (address, name) = match (&account.from, &author.person_email) {
        (Some(from), _) => (from, account.from_name.as_deref()),
        (None, Some(email)) => (email, account.from_name.as_deref().or(author.person_name.as_deref())),
        (None, None) => {
            return Err(invalid(
                "nobody is named as sender: set `from` of the connector, or the person's mail address in the directory",
            ));
        }
    };
    let address = Address::parse(address).map_err(|problem| invalid(format!("the sender's address {problem}")))?;
    // A name from the directory that cannot stand beside an address is left out, not an error of this mail.
    Ok(Mailbox::new(name, address.clone()).unwrap_or(Mailbox { name: None, address }))
}

/// Who wrote it, for people.
fn byline(author: &Author) -> String {
    let plain = |name: &str| -> String { name.chars().filter(|char| !char.is_control()).take(128).collect() };
    let agent = author
        .agent
        .as_deref()
        .map_or("an AI colleague".to_owned(), |name| format!("the AI colleague {}", plain(name)));
    match &author.person_name {
        Some(person) => format!("Written by {agent} for {}.", plain(person)),
        None => format!("Written by {agent}."),
    }
}

async fn open(access: &Access<'_>, login: Option<&Login>, patience: &Patience) -> Result<Mailroom, Failure> {
    let Some(server) = &access.account.imap else {
        return Err(invalid("the connector has no `imap`, so it cannot read"));
    };
    Mailroom::open(server, login, access.trust, patience).await
}

async fn list_folders(access: &Access<'_>, login: Option<&Login>, patience: &Patience) -> Result<String, Failure> {
    let mut room = open(access, login, patience).await?;
    let folders = room.folders().await?;
    room.close().await;
    let line = |folder: &crate::imap::Folder| match folder.purpose {
        Some(purpose) => format!("{} ({purpose})", folder.name),
        None => folder.name.clone(),
    };
    Ok(folders.iter().map(line).collect::<Vec<_>>().join("\n"))
}

async fn search_mail(
    access: &Access<'_>,
    login: Option<&Login>,
    value: &Value,
    patience: &Patience,
) -> Result<String, Failure> {
    let wanted: SearchMail = arguments(value)?;
    let day = |field: &str, text: Option<String>| {
        text.map(|text| Query::day(&text).map_err(|problem| invalid(format!("`{field}`: {problem}")))).transpose()
    };
    let query = Query {
        from: wanted.from,
        to: wanted.to,
        subject: wanted.subject,
        text: wanted.text,
        since: day("since", wanted.since)?,
        before: day("before", wanted.before)?,
        unread: wanted.unread,
        message_id: None,
    };
    let mut room = open(access, login, patience).await?;
    let (heads, all) = room.search(&wanted.folder, &query, wanted.limit.clamp(1, MAX_FOUND)).await?;
    room.close().await;
    let mut out = match (all, heads.len()) {
        (0, _) => return Ok(format!("No mail in `{}` matches.", wanted.folder)),
        (all, shown) if all > shown => format!("{all} mails match; the newest {shown}:\n"),
        (all, _) => format!("{all} mails match:\n"),
    };
    for head in &heads {
        out.push_str(&head_line(head));
    }
    Ok(out)
}

fn head_line(head: &Head) -> String {
    let read = read_message(&head.headers, 0).unwrap_or_default();
    let unread = if head.unread { ", unread" } else { "" };
    format!(
        "- id {}: {} | from {} | to {} | {} ({} bytes{unread})\n",
        head.place.spelt(),
        read.date,
        read.from,
        read.to,
        if read.subject.is_empty() { "(no subject)" } else { &read.subject },
        head.size_bytes,
    )
}

async fn read_mail(
    access: &Access<'_>,
    login: Option<&Login>,
    value: &Value,
    patience: &Patience,
) -> Result<String, Failure> {
    let wanted: OneMail = arguments(value)?;
    let place = Place::parse(&wanted.id).map_err(invalid)?;
    let mut room = open(access, login, patience).await?;
    let body = room.read(&wanted.folder, place, MAX_MESSAGE).await?;
    room.close().await;
    let Some(body) = body else { return Err(gone(&wanted)) };
    let mut shown = match read_message(&body.bytes, access.limits.output_bytes) {
        Some(read) => page(&read),
        None => return Err(Failure::new(FailureCode::ToolError, "the mail cannot be read: it is no mail")),
    };
    if body.size_bytes > body.bytes.len() as u64 {
        let note = format!("\n[only the first {} of {} bytes were read]", body.bytes.len(), body.size_bytes);
        cut(&mut shown, access.limits.output_bytes.saturating_sub(note.len()));
        shown.push_str(&note);
    }
    Ok(shown)
}

/// A mail as a model reads it.
fn page(read: &Reading) -> String {
    let mut page = String::new();
    for (name, value) in [
        ("From", &read.from),
        ("To", &read.to),
        ("Cc", &read.cc),
        ("Date", &read.date),
        ("Subject", &read.subject),
        ("Message-ID", &read.message_id),
    ] {
        if !value.is_empty() {
            page.push_str(&format!("{name}: {value}\n"));
        }
    }
    for file in &read.attachments {
        page.push_str(&format!("Attached: {} ({}, {} bytes)\n", file.name, file.media_type, file.size_bytes));
    }
    page.push('\n');
    page.push_str(&read.text);
    if read.cut {
        page.push_str("\n[the text goes on]");
    }
    for file in &read.attachments {
        if let Some(text) = file.text.as_ref().filter(|text| !text.is_empty()) {
            page.push_str(&format!("\n\n[attached: {}]\n{text}", file.name));
        }
    }
    page
}

async fn mark_read(
    access: &Access<'_>,
    login: Option<&Login>,
    value: &Value,
    patience: &Patience,
) -> Result<String, Failure> {
    let wanted: OneMail = arguments(value)?;
    let place = Place::parse(&wanted.id).map_err(invalid)?;
    let mut room = open(access, login, patience).await?;
    let marked = room.mark_read(&wanted.folder, place).await?;
    room.close().await;
    if marked { Ok("Marked as read.".into()) } else { Err(gone(&wanted)) }
}

fn gone(wanted: &OneMail) -> Failure {
    let text = format!("there is no mail {} in `{}` any more: search for it again", wanted.id, wanted.folder);
    Failure::new(FailureCode::ToolError, text)
}

impl Place {
    /// How a model names it.
    pub fn spelt(self) -> String {
        format!("{}.{}", self.validity, self.uid)
    }

    pub fn parse(text: &str) -> Result<Self, String> {
        let number = |part: &str| part.parse().ok().filter(|_| part.bytes().all(|byte| byte.is_ascii_digit()));
        let place = text.split_once('.').and_then(|(validity, uid)| Some((number(validity)?, number(uid)?)));
        match place {
            Some((validity, uid)) if uid != 0 => Ok(Self { uid, validity }),
            _ => Err("`id`: must be the `id` of a mail from `search_mail`".into()),
        }
    }
}
