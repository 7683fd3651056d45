//! The server that shows mailboxes (IMAP4rev1, RFC 3501): as much of it as a program needs that lists folders, searches,
//! reads, marks and files. What it does not know it answers with `BAD`, and changes nothing.

mod fetch;
mod search;
mod words;

use crate::{
    company::Employee,
    post::{Folder, INBOX, Post, SENT},
    wire::Wire,
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use std::{io, sync::Arc};
use words::{Word, words};

/// Longest line of a command, literals not counted.
const MAX_LINE: usize = 16 * 1024;
/// Longest literal: a mail that is filed.
const MAX_LITERAL: usize = 16 * 1024 * 1024;
const MAX_LITERALS: usize = 20;
/// Folders keep their numbers for as long as this process lives, and it has one life.
const VALIDITY: u32 = 1;

/// One conversation.
struct Talk<'a> {
    post: &'a Post,
    wire: Wire,
    who: Option<Employee>,
    open: Option<Open>,
}

/// The folder that a conversation is in.
struct Open {
    name: String,
    is_read_only: bool,
}

/// What a command came to: a tagged answer without its tag.
enum End {
    Ok(&'static str),
    No(&'static str),
    Bad(&'static str),
    Bye,
}

pub(crate) async fn serve(post: Arc<Post>, wire: Wire) -> io::Result<()> {
    let mut talk = Talk { post: &post, wire, who: None, open: None };
    talk.wire.say("* OK mail.halden.example is ready\r\n").await?;
    while let Some(command) = talk.read().await? {
        let mut parts = command.into_iter();
        let (tag, verb) = (parts.next(), parts.next());
        let (Some(tag), Some(verb)) = (tag.and_then(Word::text), verb.and_then(Word::text)) else {
            talk.wire.say("* BAD a tag and a command, please\r\n").await?;
            continue;
        };
        let rest: Vec<Word> = parts.collect();
        let (word, text) = match talk.command(&verb.to_ascii_uppercase(), &rest).await? {
            End::Ok(text) => ("OK", text),
            End::No(text) => ("NO", text),
            End::Bad(text) => ("BAD", text),
            End::Bye => {
                talk.wire.say(format!("* BYE\r\n{tag} OK\r\n")).await?;
                return Ok(());
            }
        };
        talk.wire.say(format!("{tag} {word} {text}\r\n")).await?;
    }
    Ok(())
}

impl Talk<'_> {
    /// One command, with its literals; `None` at the end of the connection.
    async fn read(&mut self) -> io::Result<Option<Vec<Word>>> {
        let Some(mut line) = self.wire.line(MAX_LINE).await? else { return Ok(None) };
        let mut all = Vec::new();
        for _ in 0..MAX_LITERALS {
            let Some((length, at, waits)) = words::announced(&line) else {
                all.extend(words(&line));
                return Ok(Some(all));
            };
            if length > MAX_LITERAL {
                return Err(io::ErrorKind::InvalidData.into());
            }
            all.extend(words(&line[..at]));
            if waits {
                self.wire.say("+ go on\r\n").await?;
            }
            all.push(Word::Quoted(self.wire.exactly(length).await?));
            let Some(next) = self.wire.line(MAX_LINE).await? else { return Ok(None) };
            line = next;
        }
        Err(io::ErrorKind::InvalidData.into())
    }

    async fn command(&mut self, verb: &str, rest: &[Word]) -> io::Result<End> {
        match verb {
            "CAPABILITY" => {
                self.wire.say("* CAPABILITY IMAP4rev1 AUTH=PLAIN LITERAL+ SPECIAL-USE\r\n").await?;
                return Ok(End::Ok("done"));
            }
            "NOOP" => return Ok(End::Ok("done")),
            "LOGOUT" => return Ok(End::Bye),
            "LOGIN" | "AUTHENTICATE" => return self.sign_in(verb, rest).await,
            _ => {}
        }
        let Some(who) = self.who.clone() else { return Ok(End::No("sign in first")) };
        match verb {
            "LIST" | "LSUB" => self.list(&who).await,
            "SELECT" | "EXAMINE" => self.enter(&who, verb, rest).await,
            "CREATE" => Ok(match rest.first().and_then(Word::name) {
                Some(name) if self.post.create(&who.login, &name) => End::Ok("made"),
                _ => End::No("this folder cannot be made"),
            }),
            "APPEND" => Ok(self.append(&who, rest)),
            "CLOSE" | "UNSELECT" => {
                self.open = None;
                Ok(End::Ok("closed"))
            }
            "UID" => {
                let (Some(verb), Some(rest)) = (rest.first().and_then(Word::name), rest.get(1..)) else {
                    return Ok(End::Bad("UID and a command"));
                };
                self.by_number(&who, &verb.to_ascii_uppercase(), rest).await
            }
            _ => Ok(End::Bad("this is not done here")),
        }
    }

    async fn sign_in(&mut self, verb: &str, rest: &[Word]) -> io::Result<End> {
        let pair = match (verb, rest) {
            ("LOGIN", [login, secret]) => login.name().zip(secret.name()),
            ("AUTHENTICATE", [mechanism]) if mechanism.is("PLAIN") => {
                self.wire.say("+ \r\n").await?;
                let line = self.wire.line(MAX_LINE).await?.unwrap_or_default();
                let proof = STANDARD.decode(line).unwrap_or_default();
                let proof = String::from_utf8_lossy(&proof).into_owned();
                let mut parts = proof.split('\0').skip(1).map(str::to_owned);
                parts.next().zip(parts.next())
            }
            _ => return Ok(End::Bad("LOGIN name password, or AUTHENTICATE PLAIN")),
        };
        self.who = pair.and_then(|(login, secret)| self.post.signed_in(&login, &secret).cloned());
        Ok(if self.who.is_some() { End::Ok("signed in") } else { End::No("nobody here has this name and password") })
    }

    async fn list(&mut self, who: &Employee) -> io::Result<End> {
        for name in self.post.folders(&who.login) {
            let flags = if name == SENT { "\\HasNoChildren \\Sent" } else { "\\HasNoChildren" };
            self.wire.say(format!("* LIST ({flags}) \"/\" {}\r\n", quoted(&name))).await?;
        }
        Ok(End::Ok("listed"))
    }

    async fn enter(&mut self, who: &Employee, verb: &str, rest: &[Word]) -> io::Result<End> {
        self.open = None;
        let Some(name) = rest.first().and_then(Word::name).map(folder_name) else { return Ok(End::Bad("a folder")) };
        let Some(folder) = self.post.folder(&who.login, &name) else {
            return Ok(End::No("[NONEXISTENT] there is no such folder"));
        };
        let (count, next) = (folder.messages.len(), folder.next_uid());
        let facts = format!(
            "* FLAGS (\\Seen)\r\n* {count} EXISTS\r\n* 0 RECENT\r\n* OK [UIDVALIDITY {VALIDITY}] it stays\r\n* OK [UIDNEXT {next}] the next\r\n"
        );
        self.wire.say(facts).await?;
        let is_read_only = verb == "EXAMINE";
        self.open = Some(Open { name, is_read_only });
        Ok(End::Ok(if is_read_only { "[READ-ONLY] entered" } else { "[READ-WRITE] entered" }))
    }

    fn append(&self, who: &Employee, rest: &[Word]) -> End {
        let (Some(name), Some(Word::Quoted(bytes))) = (rest.first().and_then(Word::name), rest.last()) else {
            return End::Bad("APPEND folder (flags) message");
        };
        let seen = rest.iter().any(|word| word.is("\\Seen"));
        match self.post.append(&who.login, &folder_name(name), seen, bytes.clone()) {
            true => End::Ok("filed"),
            false => End::No("[TRYCREATE] there is no such folder, or no room"),
        }
    }

    async fn by_number(&mut self, who: &Employee, verb: &str, rest: &[Word]) -> io::Result<End> {
        let Some(open) = &self.open else { return Ok(End::No("enter a folder first")) };
        let Some(folder) = self.post.folder(&who.login, &open.name) else { return Ok(End::No("the folder is gone")) };
        match verb {
            "SEARCH" => {
                let Some(found) = search::search(&folder, rest) else {
                    return Ok(End::Bad("a search like this is not done here"));
                };
                let numbers: String = found.iter().map(|uid| format!(" {uid}")).collect();
                self.wire.say(format!("* SEARCH{numbers}\r\n")).await?;
                Ok(End::Ok("searched"))
            }
            "FETCH" => {
                let Some(answers) = fetch::fetch(&folder, rest) else {
                    return Ok(End::Bad("UID FETCH numbers (items)"));
                };
                for (answer, uid, reads) in answers {
                    if reads && !open.is_read_only {
                        self.post.mark(&who.login, &open.name, uid, true);
                    }
                    self.wire.say(answer).await?;
                }
                Ok(End::Ok("fetched"))
            }
            "STORE" => self.store(who, &folder, rest).await,
            _ => Ok(End::Bad("this is not done here")),
        }
    }

    /// `\Seen` is the only mark there is.
    async fn store(&mut self, who: &Employee, folder: &Folder, rest: &[Word]) -> io::Result<End> {
        let Some(open) = self.open.as_ref().filter(|open| !open.is_read_only) else {
            return Ok(End::No("[READ-ONLY] SELECT the folder"));
        };
        let numbers = rest.first().and_then(Word::name).and_then(|set| words::set(&set));
        let seen = match rest.get(1).and_then(Word::name).map(|how| how.to_ascii_uppercase()).as_deref() {
            Some("+FLAGS" | "+FLAGS.SILENT") => true,
            Some("-FLAGS" | "-FLAGS.SILENT") => false,
            _ => return Ok(End::Bad("UID STORE numbers +FLAGS (\\Seen)")),
        };
        let (Some(numbers), true) = (numbers, rest.iter().any(|word| word.is("\\Seen"))) else {
            return Ok(End::Bad("UID STORE numbers +FLAGS (\\Seen)"));
        };
        for (at, message) in folder.messages.iter().enumerate().filter(|(_, one)| numbers.holds(one.uid)) {
            self.post.mark(&who.login, &open.name, message.uid, seen);
            let flags = if seen { "\\Seen" } else { "" };
            self.wire.say(format!("* {} FETCH (UID {} FLAGS ({flags}))\r\n", at + 1, message.uid)).await?;
        }
        Ok(End::Ok("stored"))
    }
}

/// The inbox is the inbox in every spelling.
fn folder_name(name: String) -> String {
    if name.eq_ignore_ascii_case(INBOX) { INBOX.to_owned() } else { name }
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}
