//! Where a mailbox is and how it is signed in to: the configuration of a mail connector.

use crate::Address;
use bailiwick_core::{Failure, FailureCode};
use bailiwick_ports::SettingsProblem;
use bailiwick_types::Secret;
use serde::{Deserialize, Serialize};

/// Longest name of a server (RFC 1035).
const MAX_HOST: usize = 253;
/// Longest text of certificates.
const MAX_CERTIFICATES: usize = 256 * 1024;

/// The configuration of a mail connector. Secrets are not in it: they come from a vault, with each call.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Account {
    /// Where mail is handed in. Without it there is no `send_mail`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub smtp: Option<Server>,
    /// Where mail is read. Without it there is neither `search_mail` nor `read_mail`, and what became of a mail whose
    /// answer was lost can be settled by a person only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub imap: Option<Server>,
    /// The sender's bare address. Without it, the address of the person that mail is sent for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// The sender's name. Without it, the person's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from_name: Option<String>,
    /// Who signs in. Without it the secret holds both, as `username:password`, so that each person's own sign-in is one
    /// secret of a vault.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    #[serde(default)]
    pub sign_in: SignIn,
    #[serde(default)]
    pub sent: Sent,
}

/// One server of an account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Server {
    /// A name or an address, without a port.
    pub host: String,
    /// Without it the usual one: SMTP 465, 587 or 25, IMAP 993, 143 or 143, for `tls`, `starttls` and `none`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    #[serde(default)]
    pub security: Security,
    /// Certificates (PEM) of authorities that this server's is checked against, instead of those that are trusted here: the
    /// machine's, and the operator's `[outbound] extra_roots`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_pem: Option<String>,
}

/// How a connection is kept private.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Security {
    /// TLS from the first byte.
    #[default]
    Tls,
    /// TLS after `STARTTLS`; a server that does not offer it is not used.
    Starttls,
    /// Plain text: to this very machine only.
    None,
}

/// How a login is proven.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SignIn {
    #[default]
    Password,
    /// The secret is an OAuth access token (`XOAUTH2`).
    Xoauth2,
    /// Nobody signs in: a relay that knows this machine.
    None,
}

/// What is kept of sent mail.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Sent {
    /// The folder of sent mail. Without it the one that the server marks so (RFC 6154), else `Sent`.
    pub folder: Option<String>,
    /// Whether a copy is put there after sending, when the server has not done so itself.
    pub copy: bool,
}

impl Default for Sent {
    fn default() -> Self {
        Self { folder: None, copy: true }
    }
}

/// A user name with the secret that proves it, for one call.
#[derive(Debug, Clone)]
pub struct Login {
    pub username: String,
    pub secret: Secret,
    pub method: SignIn,
}

impl Account {
    /// Refuses what cannot work, by the name of the field.
    pub fn check(&self) -> Result<(), SettingsProblem> {
        let wrong = |field: &str, problem: String| Err(SettingsProblem::new(field, problem));
        if self.smtp.is_none() && self.imap.is_none() {
            return wrong("smtp", "or `imap` must be there".into());
        }
        for (field, server) in [("smtp", &self.smtp), ("imap", &self.imap)] {
            if let Some(server) = server {
                server.check().map_err(|problem| problem.within(field))?;
            }
        }
        if let (Some(smtp), Some(imap)) = (&self.smtp, &self.imap)
            && !are_siblings(&smtp.host, &imap.host)
        {
            let text = "must be `smtp.host` or beside it in its domain, because one secret goes to both";
            return wrong("imap.host", text.into());
        }
        if let Some(from) = &self.from
            && let Err(problem) = Address::parse(from)
        {
            return wrong("from", problem);
        }
        if let Some(name) = &self.from_name
            && let Err(problem) = crate::address::check_name(name)
        {
            return wrong("from_name", problem);
        }
        let plain = |text: &String| text.len() <= 512 && !text.chars().any(char::is_control) && !text.is_empty();
        for (field, text) in [("username", &self.username), ("sent.folder", &self.sent.folder)] {
            if text.as_ref().is_some_and(|text| !plain(text)) {
                return wrong(field, "must have 1 to 512 bytes without control characters".into());
            }
        }
        Ok(())
    }

    /// The server that policy is told of and that vaults know.
    pub(crate) fn host(&self) -> Option<String> {
        self.smtp.as_ref().or(self.imap.as_ref()).map(|server| server.host.clone())
    }

    /// Who signs in with `secret`; `None` where nobody does.
    pub fn login(&self, secret: Option<&Secret>) -> Result<Option<Login>, Failure> {
        let wrong = |text: &str| Err(Failure::new(FailureCode::AuthenticationFailed, text));
        if self.sign_in == SignIn::None {
            return Ok(None);
        }
        let Some(secret) = secret else {
            return wrong("there is no secret to sign in to the mailbox with: put one into a vault of the session");
        };
        let (username, secret) = match &self.username {
            Some(username) => (username.clone(), secret.clone()),
            None => match secret.expose().split_once(':') {
                Some((username, secret)) => (username.to_owned(), Secret::new(secret)),
                None => {
                    return wrong("the connector names no `username`, so the secret must be `username:password`");
                }
            },
        };
        // Either would end the line or the field that it is sent in.
        if username.is_empty()
            || [username.as_str(), secret.expose()].iter().any(|text| text.contains(['\r', '\n', '\0', '\u{1}']))
        {
            return wrong("the user name or the secret holds a line break or nothing: write the secret again");
        }
        Ok(Some(Login { username, secret, method: self.sign_in }))
    }
}

/// Whether two hosts are one, or `a.domain` and `b.domain` with the same domain.
fn are_siblings(one: &str, other: &str) -> bool {
    let domain = |host: &str| {
        let domain = host.split_once('.').map(|(_, domain)| domain.to_ascii_lowercase());
        domain.filter(|domain| domain.contains('.') && domain.parse::<std::net::Ipv4Addr>().is_err())
    };
    let address = |host: &str| host.parse::<std::net::IpAddr>().is_ok();
    one.eq_ignore_ascii_case(other)
        || (!address(one) && !address(other) && domain(one).is_some() && domain(one) == domain(other))
}

impl Server {
    fn check(&self) -> Result<(), SettingsProblem> {
        let wrong = |field: &str, problem: &str| Err(SettingsProblem::new(field, problem));
        let fine = |byte: u8| byte.is_ascii_alphanumeric() || b".-:_".contains(&byte);
        if self.host.is_empty() || self.host.len() > MAX_HOST || !self.host.bytes().all(fine) {
            return wrong("host", "must be the name or the address of a server, without a port");
        }
        if self.port == Some(0) {
            return wrong("port", "must be 1 to 65535");
        }
        match &self.ca_pem {
            Some(pem) if pem.len() > MAX_CERTIFICATES => {
                wrong("ca_pem", &format!("must have at most {MAX_CERTIFICATES} bytes"))
            }
            Some(_) if self.security == Security::None => wrong("ca_pem", "means nothing with `security = \"none\"`"),
            _ => Ok(()),
        }
    }

    pub(crate) fn smtp_port(&self) -> u16 {
        self.port.unwrap_or(match self.security {
            Security::Tls => 465,
            Security::Starttls => 587,
            Security::None => 25,
        })
    }

    pub(crate) fn imap_port(&self) -> u16 {
        self.port.unwrap_or(match self.security {
            Security::Tls => 993,
            Security::Starttls | Security::None => 143,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account(value: serde_json::Value) -> Result<(), String> {
        let account: Account = serde_json::from_value(value).map_err(|error| error.to_string())?;
        account.check().map_err(|problem| problem.to_string())
    }

    #[test]
    fn what_cannot_work_is_refused_by_its_field() {
        let wrong = |value, field: &str| {
            let error = account(value).unwrap_err();
            assert!(error.contains(field), "{error} names {field}");
        };
        let json = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
        assert_eq!(account(json(r#"{"smtp": {"host": "mail.example"}, "from": "a@b.example"}"#)), Ok(()));
        wrong(json("{}"), "`smtp`");
        wrong(json(r#"{"smtp": {"host": "mail.example:25"}, "imap": {"host": "a b"}}"#), "`imap.host`");
        wrong(json(r#"{"smtp": {"host": "mail.example", "port": 0}}"#), "`smtp.port`");
        wrong(json(r#"{"smtp": {"host": "mail.example"}, "password": "x"}"#), "password");
        wrong(json(r#"{"smtp": {"host": "mail.example"}, "from": "a@b\r\nBcc: x@y"}"#), "`from`");
        wrong(json(r#"{"smtp": {"host": "mail.example"}, "from_name": "a\nb"}"#), "`from_name`");
        wrong(json(r#"{"imap": {"host": "mail.example"}, "sent": {"folder": "a\nb"}}"#), "`sent.folder`");
    }

    #[test]
    fn a_secret_without_a_user_name_brings_its_own() {
        let mut account = Account::default();
        let login = account.login(Some(&Secret::new("anna:pa:ss"))).unwrap().unwrap();
        assert_eq!((login.username.as_str(), login.secret.expose()), ("anna", "pa:ss"));
        assert!(account.login(Some(&Secret::new("pass"))).is_err());
        assert!(account.login(Some(&Secret::new("anna:a\nb"))).is_err());
        assert!(account.login(None).is_err());
        account.username = Some("ben".into());
        assert_eq!(account.login(Some(&Secret::new("a:b"))).unwrap().unwrap().secret.expose(), "a:b");
        account.sign_in = SignIn::None;
        assert!(account.login(None).unwrap().is_none());
    }
}
