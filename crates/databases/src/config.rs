//! What an administrator says about one database: where it is, who signs in to it, and what of it may be used.

use bailiwick_core::Label;
use bailiwick_ports::SettingsProblem;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

use crate::reading::Dialect;

/// Longest time that one statement may take, in milliseconds.
pub const MAX_TIME_MS: u64 = 600_000;
/// Most bytes that a file with a whole result has.
pub const MAX_FILE_BYTES: usize = 64 * 1024 * 1024;
/// Most that any list of this configuration holds.
pub const MAX_LISTED: usize = 1_000;

/// One database behind the connector of kind `database`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Configuration {
    pub server: Server,
    pub sign_in: SignIn,
    /// Whether the tool `execute`, which changes data, is there at all. The database must let the login do it, too.
    #[serde(default)]
    pub execute: bool,
    /// Functions that statements may call besides those that the database brings and that change nothing:
    /// `["app.region_of"]`, in lower case.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub functions: Vec<String>,
    /// Also runs what the parser cannot account for, under nothing but the rights of the login. Policy then sees no tables.
    #[serde(default)]
    pub trust_role: bool,
    /// Columns whose values are never shown: `{"public.people": ["salary"]}`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub masked: BTreeMap<String, BTreeSet<String>>,
    /// Who may see what comes out of a table: `{"public.people": {"confidentiality": {"groups": ["hr"]}}}`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, Label>,
    /// The same for tables that `labels` does not name. By default internal, and anybody's words.
    #[serde(default = "untrusted")]
    pub label: Label,
    #[serde(default)]
    pub limits: Limits,
}

fn untrusted() -> Label {
    Label { integrity: bailiwick_core::Integrity::Untrusted, ..Label::default() }
}

/// Where the database is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Server {
    Postgres {
        /// A name, an address, or the folder of the server's socket when it begins with `/`.
        host: String,
        #[serde(default = "postgres_port")]
        port: u16,
        database: String,
        #[serde(default)]
        tls: Tls,
    },
    /// MySQL or MariaDB.
    Mysql {
        /// A name, an address, or the path of the server's socket when it begins with `/`.
        host: String,
        #[serde(default = "mysql_port")]
        port: u16,
        database: String,
        #[serde(default)]
        tls: Tls,
    },
    /// A file on the machine that the service runs on, opened to be read only.
    Sqlite {
        /// Absolute.
        path: String,
    },
}

fn postgres_port() -> u16 {
    5432
}

fn mysql_port() -> u16 {
    3306
}

/// How the connection is protected.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Tls {
    /// TLS; the server's certificate is checked against those of the machine, and of the operator's
    /// `[outbound] extra_roots`.
    #[default]
    Verify,
    /// TLS; it is checked against these certificates alone, in PEM.
    VerifyAgainst { certificates: String },
    /// None. For sockets, for the same machine, and for networks that protect themselves.
    Off,
}

/// Who the database thinks it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "as", rename_all = "snake_case", deny_unknown_fields)]
pub enum SignIn {
    /// The person, with a password, token or client certificate from that person's vault. Nobody else uses the connection.
    Person {
        /// The login: `{mail}` is the person's address, `{mail_name}` what stands before its `@` (for companies whose
        /// addresses all end alike), `{id}` the person's id here.
        #[serde(default = "login_of_person")]
        login: String,
    },
    /// One role for everybody. What each person may see is up to the policy alone.
    Service { login: String },
    /// One role, which then takes on the person's (`SET ROLE`, settings). A statement could get out of that, so that only
    /// statements whose every function is listed are let through. PostgreSQL only.
    Assumed {
        login: String,
        /// The role to take on, with the placeholders of `login` above.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        role: Option<String>,
        /// Settings to make, with the same placeholders: `{"app.user": "{mail}"}`.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        settings: BTreeMap<String, String>,
    },
}

fn login_of_person() -> String {
    "{mail_name}".to_owned()
}

/// What one statement may cost and bring.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// The server gives up a statement that takes longer, in milliseconds.
    pub time_ms: u64,
    /// Rows that the model is shown.
    pub rows: usize,
    /// Bytes of one value that the model is shown; the rest is cut, visibly.
    pub cell_bytes: usize,
    /// Bytes that the model is shown in all.
    pub output_bytes: usize,
    /// Rows of a whole result that is written to a file.
    pub file_rows: usize,
    /// Bytes of such a file.
    pub file_bytes: usize,
    /// A row with more bytes than this is not taken in at all.
    pub row_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            time_ms: 30_000,
            rows: 200,
            cell_bytes: 2_000,
            output_bytes: 32_000,
            file_rows: 100_000,
            file_bytes: 16 * 1024 * 1024,
            row_bytes: 16 * 1024 * 1024,
        }
    }
}

impl Server {
    pub fn dialect(&self) -> Dialect {
        match self {
            Self::Postgres { .. } => Dialect::Postgres,
            Self::Mysql { .. } => Dialect::Mysql,
            Self::Sqlite { .. } => Dialect::Sqlite,
        }
    }
}

impl Configuration {
    /// Whether it can be kept: what does not fit together is said with the field's name.
    pub fn check(&self) -> Result<(), SettingsProblem> {
        let wrong = |field: &str, problem: &str| Err(SettingsProblem::new(field, problem));
        match (&self.server, &self.sign_in) {
            (Server::Sqlite { path }, _) if !path.starts_with('/') => return wrong("server.path", "must be absolute"),
            (Server::Sqlite { .. }, SignIn::Service { .. }) => {}
            (Server::Sqlite { .. }, _) => {
                let problem = "must be {\"as\": \"service\", \"login\": \"file\"}: a SQLite file knows no logins";
                return wrong("sign_in", problem);
            }
            (Server::Postgres { .. }, _) => {}
            (_, SignIn::Assumed { .. }) => return wrong("sign_in", "can be `assumed` with PostgreSQL only"),
            _ => {}
        }
        if self.execute && !matches!(self.server, Server::Postgres { .. } | Server::Mysql { .. }) {
            return wrong("execute", "must be false: this kind of database is only read");
        }
        if let SignIn::Assumed { role, settings, .. } = &self.sign_in {
            if self.trust_role {
                let problem = "must be false: a role that is only assumed is no boundary, and cannot be trusted alone";
                return wrong("trust_role", problem);
            }
            if role.is_none() && settings.is_empty() {
                return wrong("sign_in", "must say which `role` or `settings` the person is assumed by");
            }
            if !settings.keys().all(|name| is_setting(name)) {
                return wrong("sign_in.settings", "must have names that look like `app.user`");
            }
        }
        self.check_limits()
    }

    fn check_limits(&self) -> Result<(), SettingsProblem> {
        for (name, length) in
            [("functions", self.functions.len()), ("masked", self.masked.len()), ("labels", self.labels.len())]
        {
            if length > MAX_LISTED {
                return Err(SettingsProblem::new(name, format!("must have at most {MAX_LISTED} entries")));
            }
        }
        let limits = &self.limits;
        for (name, value, most) in [
            ("time_ms", limits.time_ms as usize, MAX_TIME_MS as usize),
            ("rows", limits.rows, 10_000),
            ("cell_bytes", limits.cell_bytes, 1_000_000),
            ("output_bytes", limits.output_bytes, 1_000_000),
            ("file_rows", limits.file_rows, 10_000_000),
            ("file_bytes", limits.file_bytes, MAX_FILE_BYTES),
            ("row_bytes", limits.row_bytes, MAX_FILE_BYTES),
        ] {
            if value == 0 || value > most {
                return Err(SettingsProblem::new(name, format!("must be from 1 to {most}")).within("limits"));
            }
        }
        Ok(())
    }

    /// The join of the labels of these tables.
    pub fn label_of<'a>(&self, tables: impl IntoIterator<Item = &'a str>) -> Label {
        let mut label = Label::nothing();
        let mut any = false;
        for table in tables {
            label.join(self.labels.get(table).unwrap_or(&self.label));
            any = true;
        }
        if any { label } else { self.label.clone() }
    }
}

/// Parts between dots, as PostgreSQL has them: letters, digits and `_`, and no digit in front.
fn is_setting(name: &str) -> bool {
    let fine = |sign: char| sign.is_ascii_alphanumeric() || sign == '_';
    let part = |part: &str| part.chars().all(fine) && part.starts_with(|sign: char| !sign.is_ascii_digit());
    name.contains('.') && name.split('.').all(part)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<Configuration, String> {
        let configuration: Configuration = serde_json::from_str(text).map_err(|error| error.to_string())?;
        configuration.check().map(|()| configuration).map_err(|problem| problem.to_string())
    }

    #[test]
    fn a_configuration_says_who_signs_in_and_nothing_is_on_that_was_not_granted() {
        let found = parsed(
            r#"{"server": {"kind": "postgres", "host": "db.example", "database": "books"}, "sign_in": {"as": "person"}}"#,
        )
        .unwrap();
        assert!(!found.execute && !found.trust_role && found.functions.is_empty());
        assert_eq!(found.sign_in, SignIn::Person { login: "{mail_name}".to_owned() });
        assert_eq!(found.server.dialect(), Dialect::Postgres);
        assert!(matches!(found.server, Server::Postgres { port: 5432, tls: Tls::Verify, .. }));
    }

    #[test]
    fn what_does_not_fit_together_is_refused_with_the_field() {
        let postgres = r#"{"kind": "postgres", "host": "db", "database": "books"}"#;
        for (text, field) in [
            (format!(r#"{{"server": {postgres}, "sign_in": {{"as": "person"}}, "writes": true}}"#), "writes"),
            (format!(r#"{{"server": {postgres}, "sign_in": {{"as": "assumed", "login": "app"}}}}"#), "sign_in"),
            (
                format!(
                    r#"{{"server": {postgres}, "sign_in": {{"as": "assumed", "login": "app", "role": "{{name}}"}}, "trust_role": true}}"#
                ),
                "trust_role",
            ),
            (
                r#"{"server": {"kind": "mysql", "host": "db", "database": "b"}, "sign_in": {"as": "assumed", "login": "a", "role": "r"}}"#
                    .to_owned(),
                "sign_in",
            ),
            (r#"{"server": {"kind": "sqlite", "path": "x.db"}, "sign_in": {"as": "service", "login": "file"}}"#.to_owned(), "path"),
            (
                r#"{"server": {"kind": "sqlite", "path": "/x.db"}, "sign_in": {"as": "service", "login": "f"}, "execute": true}"#
                    .to_owned(),
                "execute",
            ),
            (format!(r#"{{"server": {postgres}, "sign_in": {{"as": "person"}}, "limits": {{"rows": 0}}}}"#), "limits.rows"),
        ] {
            let why = parsed(&text).unwrap_err();
            assert!(why.contains(field), "{text}: {why}");
        }
        let assumed = |name: &str| {
            parsed(&format!(
                r#"{{"server": {postgres}, "sign_in": {{"as": "assumed", "login": "app", "settings": {{"{name}": "x"}}}}}}"#
            ))
        };
        for name in ["app.user", "_app.user_2", "a.b.c"] {
            assert!(assumed(name).is_ok(), "{name}");
        }
        for name in ["user", "app.", ".user", "app..user", "app.2", "2.user", "app.user; reset role", "app.us-er", ""] {
            assert!(assumed(name).unwrap_err().contains("sign_in.settings"), "{name}");
        }
    }
}
