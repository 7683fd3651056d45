//! Runs one tool of one database, and says truly what became of it.

use crate::admit::{self, Admitted};
use crate::config::{Configuration, SignIn};
use crate::driver::{Login, Trouble, Work};
use crate::pool::{Owner, Pool};
use crate::reading::{Dialect, StatementKind};
use crate::rows::{Rows, Table};
use crate::sign_in::{self, Names, Person};
use crate::tools::{catalog, definitions};
use bailiwick_core::{ActionResult, Content, Failure, FailureCode, Label, Outcome, ToolAnswer};
use bailiwick_gate::Live;
use bailiwick_outbound::Trust;
use bailiwick_ports::Clock;
use bailiwick_types::Secret;
use serde::Serialize;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

/// Longest words of a database about a failure that are passed on, in characters.
const MAX_WORDS: usize = 2_000;

/// One database, for one person.
#[derive(Debug, Clone)]
pub struct Access {
    pub configuration: Arc<Configuration>,
    /// Who asks, through whichever agent. A service role needs nobody.
    pub person: Option<Person>,
    /// The person's own secret, or the service role's.
    pub credential: Option<Credential>,
    /// Whole results can be written to a file, by whoever asks.
    pub file: bool,
}

#[derive(Debug, Clone)]
pub struct Credential {
    pub id: String,
    /// A password or token; or a client certificate with its key, in PEM.
    pub secret: Secret,
}

/// Whose rights a statement ran with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Rights {
    /// The database itself knew the person.
    Person,
    /// One role for everybody.
    Service,
    /// A role that took on the person's. What held it was the reading of the statement, not the database.
    ParserEnforced,
}

/// What a receipt can say besides the result.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Facts {
    pub login: String,
    pub rights: Rights,
    /// The role or the settings that were taken on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// The join of the labels of the tables that were used.
    pub label: Label,
    /// Rows that are shown.
    pub rows: usize,
    /// Rows that were changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub changed: Option<u64>,
    /// Something was left out of what is shown.
    pub truncated: bool,
    /// The statement was not accounted for: nothing but the login's rights held it.
    pub unread: bool,
}

impl Facts {
    /// As a receipt has them.
    fn named(&self) -> BTreeMap<String, String> {
        let rights = match self.rights {
            Rights::Person => "the person's own",
            Rights::Service => "a service role",
            Rights::ParserEnforced => "assumed, parser-enforced",
        };
        let mut named = BTreeMap::from([
            ("login".to_owned(), self.login.clone()),
            ("rights".to_owned(), rights.to_owned()),
            ("rows".to_owned(), self.rows.to_string()),
        ]);
        let mut add = |name: &str, value: Option<String>| named.extend(value.map(|value| (name.to_owned(), value)));
        add("role", self.role.clone());
        add("changed", self.changed.map(|changed| changed.to_string()));
        add("truncated", self.truncated.then(|| "yes".to_owned()));
        add("unread", self.unread.then(|| "yes".to_owned()));
        named
    }
}

/// What a call came to.
#[derive(Debug, Clone, PartialEq)]
pub struct Called {
    pub outcome: Outcome,
    pub facts: Option<Facts>,
    /// The whole result as CSV, where a file was asked for.
    pub file: Option<Vec<u8>>,
}

impl Called {
    fn failed(code: FailureCode, message: impl Into<String>) -> Self {
        let message: String = message.into().chars().take(MAX_WORDS).collect();
        Self { outcome: Outcome::Failed { failure: Failure::new(code, message) }, facts: None, file: None }
    }

    fn trouble(trouble: Trouble, time: Duration) -> Self {
        let (code, message) = match trouble {
            Trouble::Unreachable(why) => (FailureCode::ConnectionFailed, why),
            Trouble::SignIn(why) => {
                (FailureCode::AuthenticationFailed, format!("the database refuses the sign-in: {why}"))
            }
            Trouble::Refused(why) => (FailureCode::ToolError, format!("the database says: {why}")),
            Trouble::TimedOut => (
                FailureCode::ToolError,
                format!("the statement was given up after {} ms; ask for less at once", time.as_millis()),
            ),
            Trouble::Cancelled => (FailureCode::Cancelled, "stopped".to_owned()),
            Trouble::Lost(why) => (FailureCode::ConnectionFailed, format!("{why}; nothing was changed")),
            Trouble::Unknown(reason) => {
                return Self { outcome: Outcome::Unknown { reason }, facts: None, file: None };
            }
        };
        Self::failed(code, message)
    }
}

/// The databases that sessions work with.
pub struct Databases {
    pool: Pool,
}

/// What was asked for, after its arguments were looked at.
struct Asked {
    admitted: Admitted,
    write: bool,
    file: bool,
}

impl Databases {
    /// `trust` says who servers are, where a configuration names no authorities of its own.
    pub fn new(clock: Arc<dyn Clock>, trust: Trust) -> Self {
        Self { pool: Pool::new(clock, trust) }
    }

    /// Runs `tool`. `live` stops it.
    pub async fn call(&self, access: &Access, tool: &str, arguments: &Value, live: &Live) -> Called {
        let asked = match asked(&access.configuration, access.file, tool, arguments) {
            Ok(asked) => asked,
            Err(why) => return Called::failed(FailureCode::InvalidRequest, why),
        };
        let names = match sign_in::names(&access.configuration, access.person.as_ref()) {
            Ok(names) => names,
            Err(why) => return Called::failed(FailureCode::InvalidRequest, why),
        };
        if access.credential.is_none() && matches!(access.configuration.sign_in, SignIn::Person { .. }) {
            let login = &names.login;
            return Called::failed(
                FailureCode::AuthenticationFailed,
                format!("there is no credential of `{login}` for this database; store it in the vault and ask again"),
            );
        }
        self.run(access, &asked, names, live).await
    }

    async fn run(&self, access: &Access, asked: &Asked, names: Names, live: &Live) -> Called {
        let configuration = &access.configuration;
        let secret = access.credential.as_ref().map(|credential| credential.secret.clone());
        let login = Login { name: names.login.clone(), secret };
        let of = access.credential.as_ref().map_or("", |credential| credential.id.as_str());
        let owner = Owner::new(configuration, &login, of);
        let work = work(configuration, asked, &names);
        // A connection that waited may have been closed meanwhile: then nothing was kept, and a new one is taken, once.
        for last in [false, true] {
            let (mut connection, waited) = tokio::select! {
                taken = self.pool.take(configuration, &login, owner) => match taken {
                    Ok(taken) => taken,
                    Err(trouble) => return Called::trouble(trouble, work.time),
                },
                () = live.cancelled() => return Called::trouble(Trouble::Cancelled, work.time),
            };
            if connection.folds_tables() && spelled_large(asked) {
                return Called::failed(
                    FailureCode::InvalidRequest,
                    "write the names of tables in lower case on this server",
                );
            }
            let rows = Rows::new(&configuration.limits, asked.admitted.masked.clone(), asked.file);
            let ran = match asked.write {
                true => {
                    connection.write(&work, rows, live.cancelled()).await.map(|(rows, changed)| (rows, Some(changed)))
                }
                false => connection.read(&work, rows, live.cancelled()).await.map(|rows| (rows, None)),
            };
            match ran {
                Ok((rows, changed)) => {
                    self.pool.give_back(owner, connection);
                    return confirmed(configuration, asked, names, rows.finish(), changed);
                }
                Err(Trouble::Lost(_)) if waited && !last => {}
                Err(trouble) => {
                    self.pool.give_back(owner, connection);
                    return Called::trouble(trouble, work.time);
                }
            }
        }
        Called::trouble(Trouble::Lost("the connection broke".to_owned()), work.time)
    }
}

fn asked(configuration: &Configuration, file: bool, tool: &str, arguments: &Value) -> Result<Asked, String> {
    let known = definitions(configuration, file);
    let definition =
        known.iter().find(|known| known.name == tool).ok_or_else(|| format!("there is no tool `{tool}` here"))?;
    let given = arguments.as_object().ok_or("the arguments are not an object")?;
    if let Some(name) = given.keys().find(|name| definition.parameters["properties"].get(name.as_str()).is_none()) {
        return Err(format!("`{name}`: there is no such argument"));
    }
    let argument = |name: &str| match given.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.as_str())),
        Some(_) => Err(format!("`{name}`: must be text")),
    };
    let needed = |name: &str| argument(name)?.ok_or_else(|| format!("`{name}`: is missing"));
    let dialect = configuration.server.dialect();
    let plain = |text| Admitted { text, statement: None, masked: BTreeSet::new() };
    let admitted = match tool {
        "list_tables" => plain(catalog::list(dialect, argument("like")?)?),
        "describe" => plain(catalog::describe(dialect, needed("table")?)?),
        "query" => admit::admit(configuration, StatementKind::Read, needed("statement")?)?,
        _ => admit::admit(configuration, StatementKind::Write, needed("statement")?)?,
    };
    let file = tool == "query" && argument("file")?.is_some();
    Ok(Asked { admitted, write: tool == "execute", file })
}

fn work(configuration: &Configuration, asked: &Asked, names: &Names) -> Work {
    let statement = asked.admitted.statement.as_ref();
    let columns = match configuration.server.dialect() {
        Dialect::Postgres => statement.map(|statement| statement.qualified.clone()),
        _ => None,
    };
    let written = statement.map(|statement| statement.reading.tables.iter().filter(|used| used.write));
    Work {
        text: asked.admitted.text.clone(),
        columns: columns.unwrap_or_default(),
        written: written.map(|tables| tables.map(|used| used.table.clone()).collect()).unwrap_or_default(),
        explains: statement.is_some_and(|statement| statement.explains),
        role: names.role.clone(),
        settings: names.settings.clone(),
        time: Duration::from_millis(configuration.limits.time_ms),
        opaque: statement.is_none() && configuration.trust_role,
    }
}

fn spelled_large(asked: &Asked) -> bool {
    let tables = asked.admitted.statement.iter().flat_map(|statement| &statement.reading.tables);
    tables.into_iter().any(|used| used.table.chars().any(char::is_uppercase))
}

fn confirmed(configuration: &Configuration, asked: &Asked, names: Names, table: Table, changed: Option<u64>) -> Called {
    let statement = asked.admitted.statement.as_ref();
    let tables = statement.iter().flat_map(|statement| &statement.reading.tables).map(|used| used.table.as_str());
    let rights = match &configuration.sign_in {
        SignIn::Person { .. } => Rights::Person,
        SignIn::Service { .. } => Rights::Service,
        SignIn::Assumed { .. } => Rights::ParserEnforced,
    };
    let settings = names.settings.iter().map(|(name, value)| format!("{name} = {value}"));
    let assumed: Vec<String> = names.role.iter().cloned().chain(settings).collect();
    let facts = Facts {
        login: names.login,
        rights,
        role: (!assumed.is_empty()).then(|| assumed.join(", ")),
        label: configuration.label_of(tables),
        rows: table.rows,
        changed,
        truncated: table.truncated,
        unread: statement.is_none() && configuration.trust_role,
    };
    let mut text = table.text;
    if let Some(changed) = changed {
        if text.starts_with("(0 rows)") {
            text.clear();
        }
        text.push_str(&format!("changed: {changed} rows\n"));
    }
    text.push_str(&match (facts.rights, &facts.role) {
        (Rights::Person, _) => format!("as: {} (own rights)\n", facts.login),
        (Rights::Service, _) => format!("as: the service role {}\n", facts.login),
        (Rights::ParserEnforced, role) => {
            format!("as: {} for {} (parser-enforced)\n", facts.login, role.as_deref().unwrap_or_default())
        }
    });
    let answer = ToolAnswer {
        content: vec![Content::text(text)],
        label: Some(facts.label.clone()),
        facts: facts.named(),
        failed: false,
    };
    let result = ActionResult::Tool(answer);
    Called { outcome: Outcome::Confirmed { result }, facts: Some(facts), file: table.file }
}
