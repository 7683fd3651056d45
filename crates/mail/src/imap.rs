//! Reading a mailbox by IMAP4rev1 (RFC 3501): folders, searches, messages, and a copy into Sent.
//!
//! Folders are opened read-only and bodies fetched with `PEEK`, so that reading changes nothing, unless marking is what
//! was asked for. What a server says is bounded line by line, literal by literal and answer by answer. A small client of
//! our own, because the known ones bound neither.

mod names;
mod response;

use crate::{
    Login, Security, Server, SignIn,
    connection::{Break, Connection, Patience, said},
};
use bailiwick_core::{Failure, FailureCode};
use bailiwick_outbound::Trust;
use bailiwick_types::Millis;
use base64::{Engine, engine::general_purpose::STANDARD};
use response::{Piece, Value};

/// Longest line of an answer, literals not counted.
const MAX_LINE: usize = 64 * 1024;
/// Longest literal: a message that is read, with what the server may add to it.
const MAX_LITERAL: usize = 4 * 1024 * 1024;
/// Bytes of all answers to one command.
const MAX_ANSWER: usize = 8 * 1024 * 1024;
/// Answers to one command.
const MAX_ANSWERS: usize = 20_000;
/// Folders that are listed.
pub const MAX_FOLDERS: usize = 1_000;
/// Bytes of the headers of one message in a list.
const MAX_HEAD: usize = 64 * 1024;
const GOOD_BYE: Millis = Millis(2_000);

/// A folder of the mailbox, by its name in plain letters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Folder {
    pub name: String,
    /// What it is for, as the server marks it (RFC 6154): `sent`, `drafts`, `trash`, `junk`, `archive`, `all`.
    pub purpose: Option<&'static str>,
}

/// What to look for. All of it must be true of a message.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Query {
    pub from: Option<String>,
    pub to: Option<String>,
    pub subject: Option<String>,
    /// In the headers or the text.
    pub text: Option<String>,
    /// The day it came or later, as IMAP writes days: `1-Nov-2026`. [`Query::day`] makes one.
    pub since: Option<String>,
    /// Before that day.
    pub before: Option<String>,
    pub unread: bool,
    /// The exact Message-ID.
    pub message_id: Option<String>,
}

/// Where a message is: its number in a folder, and which life of the folder that number belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    pub uid: u32,
    pub validity: u32,
}

/// A message in a list: its place and its headers as they came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    pub place: Place,
    pub unread: bool,
    pub size_bytes: u64,
    /// The headers that a list shows, as they came.
    pub headers: Vec<u8>,
}

/// A message, or its beginning.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Body {
    pub unread: bool,
    /// Of the whole message.
    pub size_bytes: u64,
    pub bytes: Vec<u8>,
}

/// One signed-in conversation with a mailbox.
pub struct Mailroom {
    connection: Connection,
    who: String,
    patience: Patience,
    tag: u32,
    /// What the server can do, in capitals.
    can: Vec<String>,
}

/// An open folder.
struct Open {
    validity: u32,
}

/// What came back for one command.
struct Answer {
    untagged: Vec<Vec<Piece>>,
}

enum End {
    Ok,
    /// The server said no, in its words.
    No(String),
}

impl Mailroom {
    /// Connects and signs in.
    pub async fn open(
        server: &Server,
        login: Option<&Login>,
        trust: &Trust,
        patience: &Patience,
    ) -> Result<Self, Failure> {
        let who = format!("the mail server {}", server.host);
        let fail = |stop: Break| stop.failure(&who);
        let connection = Connection::open(server, server.imap_port(), trust, patience).await.map_err(fail)?;
        let mut room = Self { connection, who: who.clone(), patience: patience.clone(), tag: 0, can: Vec::new() };
        let greeting = room.connection.line(MAX_LINE, patience).await.map_err(fail)?;
        let known = greeting.starts_with(b"* PREAUTH");
        if !known && !greeting.starts_with(b"* OK") {
            return Err(fail(Break::Babble("does not speak IMAP, or refuses us".into())));
        }
        if server.security == Security::Starttls {
            // Whom a greeting in plain text already takes for somebody cannot be made private any more (RFC 9051, 11.3).
            room.capabilities().await?;
            if known || !room.has("STARTTLS") {
                return Err(fail(Break::Unsafe("it does not offer STARTTLS".into())));
            }
            room.simple("STARTTLS").await?;
            room.connection.secure(server, patience).await.map_err(fail)?;
        }
        room.capabilities().await?;
        if let Some(login) = login
            && !known
        {
            room.sign_in(login).await?;
            room.capabilities().await?;
        }
        Ok(room)
    }

    /// Says good-bye, and does not mind what comes of it.
    pub async fn close(mut self) {
        let patience = self.patience.firm(GOOD_BYE);
        let _ = self.connection.write(b"z LOGOUT\r\n", &patience).await;
    }

    pub async fn folders(&mut self) -> Result<Vec<Folder>, Failure> {
        let answer = self.simple("LIST \"\" \"*\"").await?;
        let mut folders = Vec::new();
        for pieces in &answer.untagged {
            let values = self.values(pieces)?;
            let [first, flags, _, name, ..] = values.as_slice() else { continue };
            if !first.is("LIST") {
                continue;
            }
            let flags = flags.list();
            if flags.iter().any(|flag| flag.is("\\Noselect") || flag.is("\\NonExistent")) {
                continue;
            }
            let Some(name) = name.bytes().map(names::decoded) else { continue };
            let purpose = flags.iter().find_map(|flag| purpose(flag));
            folders.push(Folder { name, purpose });
            if folders.len() >= MAX_FOLDERS {
                break;
            }
        }
        Ok(folders)
    }

    /// The newest `limit` messages of `folder` that match, newest first, and how many match in all.
    pub async fn search(&mut self, folder: &str, query: &Query, limit: usize) -> Result<(Vec<Head>, usize), Failure> {
        let open = self.examine(folder).await?;
        let mut found = self.numbers(query).await?;
        found.sort_unstable_by(|one, other| other.cmp(one));
        found.dedup();
        let all = found.len();
        found.truncate(limit);
        if found.is_empty() {
            return Ok((Vec::new(), all));
        }
        let set: Vec<String> = found.iter().map(u32::to_string).collect();
        let fields = "DATE FROM TO CC SUBJECT MESSAGE-ID";
        let command =
            format!("UID FETCH {} (UID FLAGS RFC822.SIZE BODY.PEEK[HEADER.FIELDS ({fields})])", set.join(","));
        let answer = self.simple(&command).await?;
        let mut heads = Vec::new();
        for pieces in &answer.untagged {
            let Some(mut message) = response::fetched(&self.values(pieces)?) else { continue };
            // A server that tells about others was not asked about them.
            if found.contains(&message.uid) && heads.iter().all(|head: &Head| head.place.uid != message.uid) {
                message.body.truncate(MAX_HEAD);
                heads.push(Head {
                    place: Place { uid: message.uid, validity: open.validity },
                    unread: !message.seen,
                    size_bytes: message.size,
                    headers: message.body,
                });
            }
        }
        heads.sort_by_key(|head| std::cmp::Reverse(head.place.uid));
        Ok((heads, all))
    }

    /// The first `max` bytes of one message; `None` when it is not there any more.
    pub async fn read(&mut self, folder: &str, place: Place, max: usize) -> Result<Option<Body>, Failure> {
        let open = self.examine(folder).await?;
        if open.validity != place.validity {
            return Ok(None);
        }
        let max = max.min(MAX_LITERAL);
        let command = format!("UID FETCH {} (UID FLAGS RFC822.SIZE BODY.PEEK[]<0.{max}>)", place.uid);
        let answer = self.simple(&command).await?;
        for pieces in &answer.untagged {
            if let Some(mut message) = response::fetched(&self.values(pieces)?)
                && message.uid == place.uid
            {
                message.body.truncate(max);
                return Ok(Some(Body { unread: !message.seen, size_bytes: message.size, bytes: message.body }));
            }
        }
        Ok(None)
    }

    /// Marks one message as read; `false` when it is not there any more.
    pub async fn mark_read(&mut self, folder: &str, place: Place) -> Result<bool, Failure> {
        let open = self.enter("SELECT", folder).await?;
        if open.validity != place.validity {
            return Ok(false);
        }
        let answer = self.simple(&format!("UID STORE {} +FLAGS (\\Seen)", place.uid)).await?;
        for pieces in &answer.untagged {
            if response::fetched(&self.values(pieces)?).is_some_and(|message| message.uid == place.uid) {
                return Ok(true);
            }
        }
        // A server need not say what is so already.
        Ok(self.read(folder, place, 1).await?.is_some_and(|body| !body.unread))
    }

    /// Whether a message with this Message-ID is in `folder`. A folder that is not there holds none.
    pub async fn holds(&mut self, folder: &str, message_id: &str) -> Result<bool, Failure> {
        if !self.is_there(folder).await? {
            return Ok(false);
        }
        self.examine(folder).await?;
        let query = Query { message_id: Some(message_id.to_owned()), ..Query::default() };
        // IMAP looks for a part of the header's text; with its angle brackets an id is no part of another one.
        Ok(!self.numbers(&query).await?.is_empty())
    }

    /// Puts a copy of a message into `folder`, as read.
    pub async fn append(&mut self, folder: &str, message: &[u8]) -> Result<(), Failure> {
        if !self.is_there(folder).await? {
            let name = quoted(&names::encoded(folder));
            self.simple(&format!("CREATE {name}")).await?;
        }
        let name = quoted(&names::encoded(folder));
        let parts = [Part::Text(format!("APPEND {name} (\\Seen) ")), Part::Bytes(message)];
        match self.command(&parts).await? {
            (_, End::Ok) => Ok(()),
            (_, End::No(why)) => Err(self.refusal("the copy", &why)),
        }
    }

    async fn is_there(&mut self, folder: &str) -> Result<bool, Failure> {
        Ok(self.folders().await?.iter().any(|found| {
            found.name == folder || found.name.eq_ignore_ascii_case("INBOX") && folder.eq_ignore_ascii_case("INBOX")
        }))
    }

    async fn numbers(&mut self, query: &Query) -> Result<Vec<u32>, Failure> {
        let (answer, end) = self.command(&query.parts()?).await?;
        if let End::No(why) = end {
            return Err(self.refusal("the search", &why));
        }
        let mut numbers = Vec::new();
        for pieces in &answer.untagged {
            numbers.extend(response::searched(pieces));
        }
        Ok(numbers)
    }

    async fn examine(&mut self, folder: &str) -> Result<Open, Failure> {
        self.enter("EXAMINE", folder).await
    }

    async fn enter(&mut self, how: &str, folder: &str) -> Result<Open, Failure> {
        check_text("folder", folder)?;
        let name = quoted(&names::encoded(folder));
        let (answer, end) = self.command(&[Part::Text(format!("{how} {name}"))]).await?;
        if let End::No(why) = end {
            let shown: String = folder.chars().take(100).collect();
            return Err(self.refusal(&format!("the folder `{shown}`"), &why));
        }
        // Without one (RFC 3501 allows that) numbers are good for this conversation only.
        let validity = answer.untagged.iter().find_map(|pieces| response::validity(pieces)).unwrap_or(0);
        Ok(Open { validity })
    }

    async fn capabilities(&mut self) -> Result<(), Failure> {
        let answer = self.simple("CAPABILITY").await?;
        self.can.clear();
        for pieces in &answer.untagged {
            let values = self.values(pieces)?;
            if values.first().is_some_and(|first| first.is("CAPABILITY")) {
                let words = values.iter().skip(1).filter_map(Value::bytes);
                self.can.extend(words.map(|word| String::from_utf8_lossy(word).to_ascii_uppercase()));
            }
        }
        Ok(())
    }

    fn has(&self, capability: &str) -> bool {
        self.can.iter().any(|can| can == capability)
    }

    /// Proves the login. What the server says here is never shown: it may be the secret, said back.
    async fn sign_in(&mut self, login: &Login) -> Result<(), Failure> {
        let wrong = |why: String| Failure::new(FailureCode::AuthenticationFailed, why);
        if !self.connection.is_private() {
            return Err(wrong(format!("{} is not told a secret in plain text", self.who)));
        }
        let (user, secret) = (&login.username, login.secret.expose());
        let end = match login.method {
            SignIn::Xoauth2 => {
                let proof = STANDARD.encode(format!("user={user}\u{1}auth=Bearer {secret}\u{1}\u{1}"));
                self.command(&[Part::Text("AUTHENTICATE XOAUTH2".into()), Part::Challenge(proof)]).await?.1
            }
            _ if self.has("AUTH=PLAIN") => {
                let proof = STANDARD.encode(format!("\0{user}\0{secret}"));
                self.command(&[Part::Text("AUTHENTICATE PLAIN".into()), Part::Challenge(proof)]).await?.1
            }
            _ if self.has("LOGINDISABLED") => {
                return Err(wrong(format!("{} offers no way to sign in by a password", self.who)));
            }
            _ => {
                let space = Part::Text(" ".into());
                let (user, secret) = (Part::Bytes(user.as_bytes()), Part::Bytes(secret.as_bytes()));
                self.command(&[Part::Text("LOGIN ".into()), user, space, secret]).await?.1
            }
        };
        match end {
            End::Ok => Ok(()),
            End::No(_) => Err(wrong(format!("{} refused the login of the connector's secret", self.who))),
        }
    }

    async fn simple(&mut self, command: &str) -> Result<Answer, Failure> {
        match self.command(&[Part::Text(command.to_owned())]).await? {
            (answer, End::Ok) => Ok(answer),
            (_, End::No(why)) => Err(self.refusal("the request", &why)),
        }
    }

    fn refusal(&self, what: &str, why: &str) -> Failure {
        Failure::new(FailureCode::ToolError, format!("{} refused {what}: {why}", self.who))
    }

    fn values(&self, pieces: &[Piece]) -> Result<Vec<Value>, Failure> {
        response::values(pieces).map_err(|what| Break::Babble(what.into()).failure(&self.who))
    }

    async fn command(&mut self, parts: &[Part<'_>]) -> Result<(Answer, End), Failure> {
        let who = self.who.clone();
        self.converse(parts).await.map_err(|stop| stop.failure(&who))
    }

    /// Sends one command and reads up to its end.
    async fn converse(&mut self, parts: &[Part<'_>]) -> Result<(Answer, End), Break> {
        self.tag += 1;
        let tag = format!("b{}", self.tag);
        let mut answer = Answer { untagged: Vec::new() };
        let mut budget = MAX_ANSWER;
        let mut line = format!("{tag} ").into_bytes();
        for part in parts {
            match part {
                Part::Text(text) => line.extend_from_slice(text.as_bytes()),
                Part::Bytes(bytes) => {
                    line.extend_from_slice(format!("{{{}}}\r\n", bytes.len()).as_bytes());
                    self.connection.write(&line, &self.patience).await?;
                    if let Some(end) = self.until_invited(&tag, &mut answer, &mut budget).await? {
                        return Ok((answer, end));
                    }
                    line = bytes.to_vec();
                }
                Part::Challenge(proof) => {
                    line.extend_from_slice(b"\r\n");
                    self.connection.write(&line, &self.patience).await?;
                    if let Some(end) = self.until_invited(&tag, &mut answer, &mut budget).await? {
                        return Ok((answer, end));
                    }
                    line = proof.clone().into_bytes();
                }
            }
        }
        line.extend_from_slice(b"\r\n");
        self.connection.write(&line, &self.patience).await?;
        if let Some(end) = self.until_invited(&tag, &mut answer, &mut budget).await? {
            return Ok((answer, end));
        }
        // A second challenge holds an error of XOAUTH2; an empty answer ends it.
        self.connection.write(b"\r\n", &self.patience).await?;
        match self.until_invited(&tag, &mut answer, &mut budget).await? {
            Some(end) => Ok((answer, end)),
            None => Err(Break::Babble("invites without end".into())),
        }
    }

    /// Reads answers up to the command's end, or up to `+`, which invites to go on.
    async fn until_invited(&mut self, tag: &str, into: &mut Answer, budget: &mut usize) -> Result<Option<End>, Break> {
        loop {
            let pieces = self.pieces(budget).await?;
            let first: &[u8] = match pieces.first() {
                Some(Piece::Line(line)) => line,
                _ => b"",
            };
            if first.starts_with(b"+") {
                return Ok(None);
            }
            if let Some(rest) = first.strip_prefix(b"* ") {
                if rest.get(..3).is_some_and(|word| word.eq_ignore_ascii_case(b"BYE")) {
                    return Err(Break::Closed);
                }
                into.untagged.push(pieces);
                if into.untagged.len() > MAX_ANSWERS {
                    return Err(Break::Babble(format!("gave more than {MAX_ANSWERS} answers to one command")));
                }
                continue;
            }
            let rest = first.strip_prefix(tag.as_bytes()).and_then(|rest| rest.strip_prefix(b" "));
            let Some(rest) = rest else { return Err(Break::Babble("does not speak IMAP".into())) };
            let word = rest.split(|byte| *byte == b' ').next().unwrap_or_default();
            return Ok(Some(if word.eq_ignore_ascii_case(b"OK") { End::Ok } else { End::No(said(rest)) }));
        }
    }

    /// One answer: a line, and for each literal that it announces the bytes and the line after them.
    async fn pieces(&mut self, budget: &mut usize) -> Result<Vec<Piece>, Break> {
        let mut pieces = Vec::new();
        loop {
            // Numbers that were found are one line, however many there are; no other may be that long.
            let line = self.connection.line((*budget).max(MAX_LINE), &self.patience).await?;
            if line.len() > MAX_LINE && !(pieces.is_empty() && response::is_search(&line)) {
                return Err(Break::Babble(format!("sent a line of more than {MAX_LINE} bytes")));
            }
            let literal = response::announced(&line);
            let bytes = literal.unwrap_or(0).saturating_add(line.len() + 2);
            let left = budget.checked_sub(bytes).filter(|_| literal.is_none_or(|length| length <= MAX_LITERAL));
            let Some(left) = left else {
                return Err(Break::Babble(format!("answered with more than {MAX_ANSWER} bytes")));
            };
            *budget = left;
            pieces.push(Piece::Line(line));
            let Some(length) = literal else { return Ok(pieces) };
            pieces.push(Piece::Literal(self.connection.exactly(length, &self.patience).await?));
        }
    }
}

/// A part of a command.
enum Part<'a> {
    Text(String),
    /// A literal: its length, a pause until the server invites it, its bytes.
    Bytes(&'a [u8]),
    /// What is said when the server asks for it.
    Challenge(String),
}

impl Query {
    /// The day of IMAP for a day of ISO 8601 (`2026-11-01`).
    pub fn day(text: &str) -> Result<String, String> {
        const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
        let wrong = || "must be a day such as `2026-11-01`".to_owned();
        let parts: Vec<&str> = text.split('-').collect();
        let [year, month, day] = parts.as_slice() else { return Err(wrong()) };
        let number = |part: &str, length: usize, most: usize| {
            let fine = part.len() == length && part.bytes().all(|byte| byte.is_ascii_digit());
            part.parse::<usize>().ok().filter(|number| fine && (1..=most).contains(number)).ok_or_else(wrong)
        };
        let (year, month, day) = (number(year, 4, 9999)?, number(month, 2, 12)?, number(day, 2, 31)?);
        Ok(format!("{day}-{}-{year:04}", MONTHS[month - 1]))
    }

    fn parts(&self) -> Result<Vec<Part<'_>>, Failure> {
        let texts = [
            ("FROM", "from", &self.from),
            ("TO", "to", &self.to),
            ("SUBJECT", "subject", &self.subject),
            ("TEXT", "text", &self.text),
            ("HEADER MESSAGE-ID", "message_id", &self.message_id),
        ];
        // Literals are announced by their length, so that no text can be read as more than a text.
        let ascii = texts.iter().all(|(_, _, text)| text.as_ref().is_none_or(|text| text.is_ascii()));
        let mut parts = vec![Part::Text(format!("UID SEARCH{}", if ascii { "" } else { " CHARSET UTF-8" }))];
        let mut plain = String::from(if self.unread { " UNSEEN" } else { " ALL" });
        for (key, field, day) in [("SINCE", "since", &self.since), ("BEFORE", "before", &self.before)] {
            if let Some(day) = day {
                check_text(field, day)?;
                plain.push_str(&format!(" {key} {day}"));
            }
        }
        parts.push(Part::Text(plain));
        for (key, field, text) in texts {
            if let Some(text) = text {
                check_text(field, text)?;
                parts.push(Part::Text(format!(" {key} ")));
                parts.push(Part::Bytes(text.as_bytes()));
            }
        }
        Ok(parts)
    }
}

/// What a folder is for (RFC 6154).
fn purpose(flag: &Value) -> Option<&'static str> {
    let known = [("\\Sent", "sent"), ("\\Drafts", "drafts"), ("\\Trash", "trash"), ("\\Junk", "junk")];
    let more = [("\\Archive", "archive"), ("\\All", "all")];
    known.into_iter().chain(more).find(|(name, _)| flag.is(name)).map(|(_, purpose)| purpose)
}

/// Refuses what would end a line of a command.
fn check_text(field: &str, text: &str) -> Result<(), Failure> {
    if text.is_empty() || text.len() > 512 || text.chars().any(char::is_control) {
        let problem = format!("`{field}`: must have 1 to 512 bytes, and no line breaks or control characters");
        return Err(Failure::new(FailureCode::InvalidRequest, problem));
    }
    Ok(())
}

/// A quoted string. `text` has been checked to be ASCII without control characters.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_is_one_that_imap_knows() {
        assert_eq!(Query::day("2026-11-01"), Ok("1-Nov-2026".into()));
        for text in ["", "2026-13-01", "2026-1-1", "2026-11-01 ALL", "2026-11-32", "20261101", "0000-01-01"] {
            assert!(Query::day(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_text_that_would_be_a_command_is_refused() {
        for text in ["a\r\nb1 DELETE INBOX", "a\nb", "a\0", ""] {
            let query = Query { from: Some(text.into()), ..Query::default() };
            assert!(query.parts().is_err(), "{text:?}");
        }
        let before = Query { before: Some("1-Nov-2026\r\n".into()), ..Query::default() };
        assert!(before.parts().err().unwrap().message.contains("`before`"));
        assert_eq!(quoted("a\" \\b"), "\"a\\\" \\\\b\"");
    }
}
