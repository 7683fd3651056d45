//! The server that takes mail on (RFC 5321, RFC 4954). Whoever hands mail in signs in first and writes as themselves.

use crate::{company::Employee, post::Post, wire::Wire};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use std::{io, sync::Arc};

/// Longest line of a command.
const MAX_COMMAND: usize = 2_048;
/// Longest line of a mail.
const MAX_LINE: usize = 64 * 1024;
/// Longest mail.
const MAX_MAIL: usize = 16 * 1024 * 1024;
const MAX_RECIPIENTS: usize = 100;
/// Commands that are not understood, before the line is cut.
const MAX_NONSENSE: u32 = 20;

/// One conversation.
struct Talk<'a> {
    post: &'a Post,
    wire: Wire,
    who: Option<Employee>,
    from: Option<String>,
    to: Vec<String>,
    nonsense: u32,
}

pub(crate) async fn serve(post: Arc<Post>, wire: Wire) -> io::Result<()> {
    let mut talk = Talk { post: &post, wire, who: None, from: None, to: Vec::new(), nonsense: 0 };
    talk.wire.say("220 mail.halden.example ESMTP\r\n").await?;
    while let Some(line) = talk.wire.line(MAX_COMMAND).await? {
        let line = String::from_utf8_lossy(&line).into_owned();
        let (verb, rest) = line.split_once(' ').unwrap_or((&line, ""));
        if !talk.command(&verb.to_ascii_uppercase(), rest.trim()).await? || talk.nonsense > MAX_NONSENSE {
            break;
        }
    }
    Ok(())
}

impl Talk<'_> {
    /// False ends the conversation.
    async fn command(&mut self, verb: &str, rest: &str) -> io::Result<bool> {
        match verb {
            "EHLO" => {
                self.forget();
                let offers = format!("250-mail.halden.example\r\n250-8BITMIME\r\n250-SIZE {MAX_MAIL}\r\n");
                self.wire.say(offers + "250 AUTH PLAIN LOGIN\r\n").await?;
            }
            "HELO" => self.answer("250 mail.halden.example").await?,
            "AUTH" => self.sign_in(rest).await?,
            "MAIL" => self.sender(rest).await?,
            "RCPT" => self.recipient(rest).await?,
            "DATA" => return self.data().await,
            "RSET" => {
                self.forget();
                self.answer("250 2.0.0 OK").await?;
            }
            "NOOP" => self.answer("250 2.0.0 OK").await?,
            "QUIT" => {
                self.answer("221 2.0.0 Bye").await?;
                return Ok(false);
            }
            _ => {
                self.nonsense += 1;
                self.answer("502 5.5.1 this is not done here").await?;
            }
        }
        Ok(true)
    }

    async fn answer(&mut self, line: &str) -> io::Result<()> {
        self.wire.say(format!("{line}\r\n")).await
    }

    fn forget(&mut self) {
        self.from = None;
        self.to.clear();
    }

    async fn sign_in(&mut self, rest: &str) -> io::Result<()> {
        let (mechanism, first) = rest.split_once(' ').unwrap_or((rest, ""));
        let pair = match mechanism.to_ascii_uppercase().as_str() {
            "PLAIN" => {
                let proof = if first.is_empty() { self.challenged("").await? } else { decoded(first) };
                let mut parts = proof.split('\0').skip(1).map(str::to_owned);
                parts.next().zip(parts.next())
            }
            "LOGIN" => {
                let login = if first.is_empty() { self.challenged("VXNlcm5hbWU6").await? } else { decoded(first) };
                Some((login, self.challenged("UGFzc3dvcmQ6").await?))
            }
            _ => return self.answer("504 5.5.4 another way to sign in, please").await,
        };
        self.who = pair.and_then(|(login, secret)| self.post.signed_in(&login, &secret).cloned());
        if self.who.is_some() {
            return self.answer("235 2.7.0 signed in").await;
        }
        self.nonsense += 1;
        self.answer("535 5.7.8 nobody here has this name and password").await
    }

    async fn challenged(&mut self, challenge: &str) -> io::Result<String> {
        self.answer(&format!("334 {challenge}")).await?;
        let line = self.wire.line(MAX_COMMAND).await?.unwrap_or_default();
        Ok(decoded(&String::from_utf8_lossy(&line)))
    }

    async fn sender(&mut self, rest: &str) -> io::Result<()> {
        let Some(who) = &self.who else { return self.answer("530 5.7.0 sign in first").await };
        match path(rest, "FROM:") {
            Some(address) if address.eq_ignore_ascii_case(&who.email()) => {
                self.forget();
                self.from = Some(address);
                self.answer("250 2.1.0 OK").await
            }
            Some(_) => self.answer("553 5.7.1 write as yourself").await,
            None => self.answer("501 5.5.4 MAIL FROM:<address>").await,
        }
    }

    async fn recipient(&mut self, rest: &str) -> io::Result<()> {
        if self.from.is_none() {
            return self.answer("503 5.5.1 MAIL first").await;
        }
        if self.to.len() >= MAX_RECIPIENTS {
            return self.answer("452 4.5.3 too many recipients").await;
        }
        match path(rest, "TO:") {
            Some(address) if self.post.delivers_to(&address) => {
                self.to.push(address);
                self.answer("250 2.1.5 OK").await
            }
            Some(_) => self.answer("550 5.1.1 nobody here has this address").await,
            None => self.answer("501 5.5.4 RCPT TO:<address>").await,
        }
    }

    async fn data(&mut self) -> io::Result<bool> {
        let (Some(who), false) = (self.who.clone(), self.to.is_empty()) else {
            self.answer("503 5.5.1 RCPT first").await?;
            return Ok(true);
        };
        self.answer("354 go on, up to a line with a dot").await?;
        let mut mail = Vec::new();
        loop {
            // A connection that ends here leaves nothing: the mail has no end.
            let Some(line) = self.wire.line(MAX_LINE).await? else { return Ok(false) };
            if line == b"." {
                break;
            }
            if mail.len() + line.len() > MAX_MAIL {
                self.answer("552 5.3.4 too long").await?;
                return Ok(false);
            }
            mail.extend_from_slice(line.strip_prefix(b".").unwrap_or(&line));
            mail.extend_from_slice(b"\r\n");
        }
        let taken = self.post.take(&who, &self.to, &mail);
        self.forget();
        match taken {
            None => self.answer("452 4.3.1 there is no room left").await?,
            Some(taken) if taken.held => {
                self.wire.hung_up().await;
                return Ok(false);
            }
            Some(_) => self.answer("250 2.0.0 taken on").await?,
        }
        Ok(true)
    }
}

/// The address of `FROM:<…>` or `TO:<…>`; parameters behind it change nothing here.
fn path(rest: &str, word: &str) -> Option<String> {
    let head = rest.get(..word.len())?;
    let rest = rest.get(word.len()..)?.trim_start().strip_prefix('<')?;
    let (address, _) = rest.split_once('>')?;
    let fine = address.contains('@') && !address.chars().any(|char| char.is_whitespace() || char.is_control());
    (head.eq_ignore_ascii_case(word) && fine).then(|| address.to_owned())
}

fn decoded(text: &str) -> String {
    STANDARD.decode(text.trim()).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_stands_between_its_brackets() {
        assert_eq!(path("from:<a@b.example> SIZE=12", "FROM:").as_deref(), Some("a@b.example"));
        assert_eq!(path("TO: <a@b.example>", "TO:").as_deref(), Some("a@b.example"));
        for text in ["TO:a@b.example", "TO:<a b@c>", "TO:<>", "T", "TO:<a@b"] {
            assert_eq!(path(text, "TO:"), None, "{text}");
        }
    }
}
