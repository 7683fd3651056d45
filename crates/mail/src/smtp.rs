//! Handing in one mail by SMTP (RFC 5321), at most once, with the truth about it.
//!
//! A server takes responsibility when it answers the final dot with 2xx. So the dialogue has two parts. In the first,
//! which ends before the final dot is written, everything that goes wrong means *not sent*: a server must throw away what
//! has no end. In the second there are three ends only: it said yes, it said no, or nobody knows. This file is the
//! dialogue itself because no one else's tells the two parts apart. It never tries again, never pipelines, and names the
//! recipients all or none.

use crate::{
    Address, Login, Security, Server, SignIn, Written,
    connection::{Break, Connection, Patience, said},
};
use bailiwick_core::{Failure, FailureCode};
use bailiwick_outbound::Trust;
use bailiwick_types::Millis;
use base64::{Engine, engine::general_purpose::STANDARD};

/// Longest line of an answer (RFC 5321 says 512; some say more).
const MAX_LINE: usize = 4096;
/// Lines of one answer.
const MAX_LINES: usize = 128;
/// What is written at once, so that a server that does not read is noticed.
const CHUNK: usize = 32 * 1024;
/// How long a connection that is done with is given to be told so.
const GOOD_BYE: Millis = Millis(2_000);

/// What became of a mail. Nothing is in between.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Delivery {
    /// The server has taken it on, in its words.
    Accepted { reply: String },
    /// The server has not taken it on, certainly.
    NotAccepted(Failure),
    /// The final dot was on its way and no answer to it is known.
    Unknown(String),
}

/// Hands `written` in for its recipients. `patience` is for all that comes before the final dot, and ends there; `answer` is how
/// long the server has to answer that, which nobody can cut short.
///
/// A message has CRLF at the end of every line and no other CR or LF; anything else is refused, because servers do not
/// agree on where such a message ends.
pub async fn deliver(
    server: &Server,
    login: Option<&Login>,
    from: &Address,
    written: &Written,
    trust: &Trust,
    patience: &Patience,
    answer: Millis,
) -> Delivery {
    if let Err(problem) = check_lines(&written.bytes) {
        return Delivery::NotAccepted(Failure::new(FailureCode::Internal, problem));
    }
    let mut talk = match before_the_dot(server, login, from, written, trust, patience).await {
        Ok(talk) => talk,
        Err(failure) => return Delivery::NotAccepted(failure),
    };
    // From here on nothing may be said to have failed but by the server's own answer.
    let delivery = talk.end(&patience.firm(answer)).await;
    if !matches!(delivery, Delivery::Unknown(_)) {
        let _ = talk.connection.write(b"QUIT\r\n", &patience.firm(GOOD_BYE)).await;
    }
    delivery
}

/// Everything up to the final dot. Every way out of here is *not sent*.
async fn before_the_dot(
    server: &Server,
    login: Option<&Login>,
    from: &Address,
    written: &Written,
    trust: &Trust,
    patience: &Patience,
) -> Result<Talk, Failure> {
    let (to, message) = (&written.recipients, &written.bytes);
    let who = format!("the mail server {}", server.host);
    let fail = |stop: Break| stop.failure(&who);
    let connection = Connection::open(server, server.smtp_port(), trust, patience).await.map_err(fail)?;
    let mut talk = Talk { connection, who: who.clone() };
    talk.reply(patience).await?.must_be(220, &who, "the connection")?;
    let mut offers = talk.hello(from, patience).await?;
    if server.security == Security::Starttls {
        if !offers.has("STARTTLS") {
            return Err(fail(Break::Unsafe("it does not offer STARTTLS".into())));
        }
        talk.ask("STARTTLS", patience).await?.must_be(220, &who, "STARTTLS")?;
        talk.connection.secure(server, patience).await.map_err(fail)?;
        offers = talk.hello(from, patience).await?;
    }
    if let Some(login) = login {
        talk.sign_in(login, &offers, patience).await?;
    }
    let size = u64::try_from(message.len()).unwrap_or(u64::MAX);
    if let Some(limit) = offers.size().filter(|limit| *limit > 0 && size > *limit) {
        return Err(refused(format!("the mail has {size} bytes, and {who} takes at most {limit}")));
    }
    let declared = if offers.has("SIZE") { format!(" SIZE={size}") } else { String::new() };
    let reply = talk.ask(&format!("MAIL FROM:<{from}>{declared}"), patience).await?;
    reply.must_be(250, &who, &format!("the sender {from}"))?;
    for address in to {
        let reply = talk.ask(&format!("RCPT TO:<{address}>"), patience).await?;
        // 251: it will be forwarded. 252: not looked up, but taken.
        if !matches!(reply.code, 250..=252) {
            let failure = reply.refusal(&who, &format!("the recipient {address}"));
            let nobody = " (nobody was sent the mail)";
            return Err(Failure::new(failure.code, failure.message + nobody));
        }
    }
    talk.ask("DATA", patience).await?.must_be(354, &who, "the mail")?;
    for chunk in stuffed(message).chunks(CHUNK) {
        talk.connection.write(chunk, patience).await.map_err(fail)?;
    }
    if patience.is_cancelled() {
        return Err(fail(Break::Cancelled));
    }
    Ok(talk)
}

/// A conversation with a server.
struct Talk {
    connection: Connection,
    who: String,
}

/// An answer: its code, and its lines behind the code.
struct Reply {
    code: u16,
    lines: Vec<Vec<u8>>,
}

/// What a server can do, as it said to EHLO.
struct Offers(Vec<String>);

impl Offers {
    fn find(&self, keyword: &str) -> Option<&str> {
        self.0.iter().find_map(|line| {
            let (word, rest) = line.split_once([' ', '=']).unwrap_or((line, ""));
            word.eq_ignore_ascii_case(keyword).then_some(rest)
        })
    }

    fn has(&self, keyword: &str) -> bool {
        self.find(keyword).is_some()
    }

    fn size(&self) -> Option<u64> {
        self.find("SIZE")?.trim().parse().ok()
    }

    fn can_sign_in_by(&self, mechanism: &str) -> bool {
        self.find("AUTH").is_some_and(|all| all.split([' ', '=']).any(|one| one.eq_ignore_ascii_case(mechanism)))
    }
}

impl Reply {
    fn must_be(self, code: u16, who: &str, what: &str) -> Result<Self, Failure> {
        if self.code == code { Ok(self) } else { Err(self.refusal(who, what)) }
    }

    fn refusal(&self, who: &str, what: &str) -> Failure {
        let code = match self.code {
            421 | 450..=452 => FailureCode::Overloaded,
            530 | 535 | 538 => FailureCode::AuthenticationFailed,
            400..=599 => FailureCode::ToolError,
            _ => FailureCode::MalformedAnswer,
        };
        Failure::new(code, format!("{who} refused {what}: {} {}", self.code, self.text()))
    }

    fn text(&self) -> String {
        said(&self.lines.join(&b' '))
    }
}

impl Talk {
    async fn ask(&mut self, command: &str, patience: &Patience) -> Result<Reply, Failure> {
        let line = format!("{command}\r\n");
        self.connection.write(line.as_bytes(), patience).await.map_err(|stop| stop.failure(&self.who))?;
        self.reply(patience).await
    }

    async fn reply(&mut self, patience: &Patience) -> Result<Reply, Failure> {
        read_reply(&mut self.connection, patience).await.map_err(|stop| stop.failure(&self.who))
    }

    async fn hello(&mut self, from: &Address, patience: &Patience) -> Result<Offers, Failure> {
        // The sender's domain, and not this machine's name, which is nobody's business.
        let reply = self.ask(&format!("EHLO {}", from.domain()), patience).await?;
        let reply = reply.must_be(250, &self.who, "EHLO")?;
        Ok(Offers(reply.lines.iter().skip(1).map(|line| String::from_utf8_lossy(line).into_owned()).collect()))
    }

    /// Proves the login. What the server says here is never shown: it may be the secret, said back.
    async fn sign_in(&mut self, login: &Login, offers: &Offers, patience: &Patience) -> Result<(), Failure> {
        let wrong = |why: String| Failure::new(FailureCode::AuthenticationFailed, why);
        if !self.connection.is_private() {
            return Err(wrong(format!("{} is not told a secret in plain text", self.who)));
        }
        let (user, secret) = (&login.username, login.secret.expose());
        let reply = if login.method == SignIn::Xoauth2 {
            let proof = STANDARD.encode(format!("user={user}\u{1}auth=Bearer {secret}\u{1}\u{1}"));
            let reply = self.ask(&format!("AUTH XOAUTH2 {proof}"), patience).await?;
            // A refusal comes as a challenge, which an empty answer ends.
            if reply.code == 334 { self.ask("", patience).await? } else { reply }
        } else if offers.can_sign_in_by("PLAIN") {
            let proof = STANDARD.encode(format!("\0{user}\0{secret}"));
            self.ask(&format!("AUTH PLAIN {proof}"), patience).await?
        } else if offers.can_sign_in_by("LOGIN") {
            let mut reply = self.ask("AUTH LOGIN", patience).await?;
            for part in [user.as_str(), secret] {
                if reply.code == 334 {
                    reply = self.ask(&STANDARD.encode(part), patience).await?;
                }
            }
            reply
        } else {
            return Err(wrong(format!("{} offers no way to sign in by a password", self.who)));
        };
        if reply.code == 235 {
            return Ok(());
        }
        Err(wrong(format!("{} refused the login of the connector's secret ({})", self.who, reply.code)))
    }

    /// The final dot and its answer.
    async fn end(&mut self, patience: &Patience) -> Delivery {
        let answer = match self.connection.write(b".\r\n", patience).await {
            Ok(()) => read_reply(&mut self.connection, patience).await,
            Err(stop) => Err(stop),
        };
        let lost = |why: String| {
            Delivery::Unknown(format!(
                "the mail was handed over whole, and whether it was accepted is not known: {why}"
            ))
        };
        match answer {
            Ok(reply) => match reply.code {
                200..=299 => Delivery::Accepted { reply: format!("{} {}", reply.code, reply.text()) },
                400..=599 => Delivery::NotAccepted(reply.refusal(&self.who, "the mail")),
                code => lost(format!("{} answered {code}, which means nothing here", self.who)),
            },
            Err(stop) => lost(stop.failure(&self.who).message),
        }
    }
}

async fn read_reply(connection: &mut Connection, patience: &Patience) -> Result<Reply, Break> {
    let mut lines = Vec::new();
    let mut code = None;
    loop {
        let line = connection.line(MAX_LINE, patience).await?;
        let digits = line.get(..3).filter(|digits| digits.iter().all(u8::is_ascii_digit));
        let number = digits.and_then(|digits| std::str::from_utf8(digits).ok()).and_then(|text| text.parse().ok());
        let (Some(number), true) = (number, matches!(line.get(3), None | Some(b' ' | b'-'))) else {
            return Err(Break::Babble("does not speak SMTP".into()));
        };
        if *code.get_or_insert(number) != number {
            return Err(Break::Babble("gave two codes in one answer".into()));
        }
        lines.push(line.get(4..).unwrap_or_default().to_vec());
        if line.get(3) != Some(&b'-') {
            return Ok(Reply { code: number, lines });
        }
        if lines.len() >= MAX_LINES {
            return Err(Break::Babble(format!("answered with more than {MAX_LINES} lines")));
        }
    }
}

fn refused(text: String) -> Failure {
    Failure::new(FailureCode::ToolError, text)
}

/// Refuses a message in which somebody could see another end than we do.
fn check_lines(message: &[u8]) -> Result<(), &'static str> {
    let bare = message.iter().enumerate().any(|(at, byte)| match byte {
        b'\r' => message.get(at + 1) != Some(&b'\n'),
        b'\n' => at == 0 || message[at - 1] != b'\r',
        _ => false,
    });
    if bare {
        return Err("the message has a line that does not end with CRLF");
    }
    if message.ends_with(b"\r\n") { Ok(()) } else { Err("the message's last line has no end") }
}

/// With a second dot before each dot that begins a line (RFC 5321, section 4.5.2).
fn stuffed(message: &[u8]) -> Vec<u8> {
    let mut stuffed = Vec::with_capacity(message.len() + message.len() / 64);
    let mut begins = true;
    for byte in message {
        if begins && *byte == b'.' {
            stuffed.push(b'.');
        }
        stuffed.push(*byte);
        begins = *byte == b'\n';
    }
    stuffed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_line_of_a_message_can_be_taken_for_its_end() {
        assert_eq!(stuffed(b".\r\n..\r\na.b\r\n.c\r\n"), b"..\r\n...\r\na.b\r\n..c\r\n");
        assert_eq!(check_lines(b"a\r\n.\r\n"), Ok(()));
        for message in [&b"a\n.\n"[..], b"a\r\n.\n", b"a\n.\r\n", b"a\r.\r\n", b"\n", b"a", b"a\r\n.\r"] {
            assert!(check_lines(message).is_err(), "{message:?}");
        }
    }

    #[test]
    fn offers_are_found_in_every_case_and_only_whole() {
        let offers = Offers(vec!["size 1000".into(), "AUTH=PLAIN LOGIN".into(), "STARTTLSX".into()]);
        assert_eq!(offers.size(), Some(1000));
        assert!(offers.can_sign_in_by("login") && offers.can_sign_in_by("PLAIN") && !offers.can_sign_in_by("PLAI"));
        assert!(!offers.has("STARTTLS"));
    }
}
