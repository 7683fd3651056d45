//! PostgreSQL. A read runs in a read-only transaction that is rolled back, so that neither data nor settings of the session
//! outlive it; its rows come through a cursor, which the server lets be made of a query only.
//!
//! The extended protocol parses the statement first, and refuses several in one; its values then come as text, as the
//! server itself writes them, whatever their types.

use super::guarded::Guarded;
use super::line::{Line, within};
use super::{CONNECT, GRACE, Login, Trouble, Work, tls};
use crate::config::Tls;
use crate::reading::Qualified;
use crate::rows::{Rows, Value};
use bailiwick_outbound::Trust;
use futures_util::{StreamExt, future};
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio_postgres::config::SslMode;
use tokio_postgres::error::{Severity, SqlState};
use tokio_postgres::tls::NoTlsStream;
use tokio_postgres::{CancelToken, Client, NoTls, SimpleQueryMessage, SimpleQueryRow};

/// Rows that are asked for at once.
const FETCH: usize = 500;
/// What every session begins with. A name without a schema is one of `pg_catalog` or `public`, as the reading assumes.
const SESSION: &str = "\
    SET search_path = public, pg_temp; SET standard_conforming_strings = on; SET default_transaction_read_only = on; \
    SET bytea_output = hex; SET datestyle = 'ISO, YMD'; SET intervalstyle = iso_8601; SET cursor_tuple_fraction = 1; \
    SET row_security = on; SET lock_timeout = '5s'; SET idle_in_transaction_session_timeout = '15min'; \
    SET client_min_messages = error";

trait Stream: AsyncRead + AsyncWrite + Send {}
impl<S: AsyncRead + AsyncWrite + Send> Stream for S {}

type Wire = Guarded<Pin<Box<dyn Stream>>>;
type Driving = tokio_postgres::Connection<Wire, NoTlsStream>;

pub struct Connection {
    client: Client,
    /// `None` once it broke: whoever waits for an answer over it is told by that.
    driving: Option<Driving>,
    over: bool,
    /// The last statement came to its end and left nothing behind.
    clean: bool,
    place: Place,
    exceeded: Arc<AtomicBool>,
    row_bytes: usize,
}

/// Where it connects to, to be able to ask for an end there.
#[derive(Clone)]
struct Place {
    host: String,
    port: u16,
    tls: Tls,
    trust: Trust,
    login: Login,
}

impl Connection {
    pub async fn open(
        (host, port): (&str, u16),
        database: &str,
        (tls, trust): (&Tls, &Trust),
        login: &Login,
        row_bytes: usize,
    ) -> Result<Self, Trouble> {
        let (tls, trust, login) = (tls.clone(), trust.clone(), login.clone());
        let place = Place { host: host.to_owned(), port, tls, trust, login: login.clone() };
        let exceeded = Arc::new(AtomicBool::new(false));
        let wire = Guarded::new(place.connect().await?, row_bytes, Arc::clone(&exceeded));
        let mut config = tokio_postgres::Config::new();
        config.user(&login.name).dbname(database).application_name("bailiwick").ssl_mode(SslMode::Disable);
        if let Some(secret) = login.secret.as_ref().filter(|_| !tls::is_certificate(&login)) {
            config.password(secret.expose());
        }
        let connecting = within(CONNECT, config.connect_raw(wire, NoTls)).await;
        let (client, driving) = match connecting {
            Some(Ok(connected)) => connected,
            Some(Err(error)) => return Err(sign_in(&error, &login.name)),
            None => return Err(Trouble::Unreachable("the server does not answer the sign-in".to_owned())),
        };
        let mut opened = Self { client, driving: Some(driving), over: false, clean: true, place, exceeded, row_bytes };
        let began = opened.run(CONNECT, async |client| client.batch_execute(SESSION).await).await;
        began
            .map(|()| opened)
            .map_err(|trouble| Trouble::Unreachable(format!("the session cannot be set up: {trouble:?}")))
    }

    pub fn is_clean(&self) -> bool {
        self.clean && !self.is_over()
    }

    fn is_over(&self) -> bool {
        self.over || self.driving.is_none() || self.client.is_closed()
    }

    pub async fn read(&mut self, work: &Work, rows: Rows, stop: impl Future<Output = ()>) -> Result<Rows, Trouble> {
        self.clean = false;
        let begin = begin("READ ONLY", work);
        let time = work.time + GRACE;
        let run = self.run_until(time, stop, async |client| {
            let (began, prepared) = future::join(client.simple_query(&begin), client.prepare(&work.text)).await;
            missing_column(&began?)?;
            let columns = columns(&prepared?);
            fetch(client, work, &columns, rows).await
        });
        let read = run.await;
        if !matches!(&read, Err(Trouble::Lost(_))) && !self.is_over() {
            let ended = self.run(GRACE, async |client| client.batch_execute("ROLLBACK").await).await;
            self.clean = ended.is_ok() && !work.opaque;
        }
        read
    }

    pub async fn write(
        &mut self,
        work: &Work,
        rows: Rows,
        stop: impl Future<Output = ()>,
    ) -> Result<(Rows, u64), Trouble> {
        self.clean = false;
        let begin = begin("READ WRITE", work);
        let ran = self.run_until(work.time + GRACE, stop, async |client| {
            let (began, prepared) = future::join(client.simple_query(&begin), client.prepare(&work.text)).await;
            missing_column(&began?)?;
            let columns = columns(&prepared?);
            change(client, work, &columns, rows).await
        });
        let done = match ran.await {
            Ok(done) => done,
            Err(trouble) => {
                if !self.is_over() {
                    let ended = self.run(GRACE, async |client| client.batch_execute("ROLLBACK").await).await;
                    self.clean = ended.is_ok();
                }
                return Err(trouble);
            }
        };
        // From here on nobody can say that it was not kept, until the server answers.
        match self.run(work.time + GRACE, async |client| client.batch_execute("COMMIT").await).await {
            Ok(()) => {
                self.clean = true;
                Ok(done)
            }
            Err(trouble @ (Trouble::Refused(_) | Trouble::TimedOut)) => Err(trouble),
            Err(_) => Err(Trouble::Unknown("the connection broke while the change was being kept".to_owned())),
        }
    }

    /// Runs `work`, and drives the connection meanwhile.
    async fn run<T>(
        &mut self,
        time: std::time::Duration,
        work: impl AsyncFnOnce(&Client) -> Result<T, tokio_postgres::Error>,
    ) -> Result<T, Trouble> {
        let ran = within(time, drive(&mut self.driving, work(&self.client))).await;
        match ran {
            Some(Ok(done)) => Ok(done),
            Some(Err(error)) => Err(self.trouble(Stopped::Server(error))),
            None => {
                self.over = true;
                Err(Trouble::Lost("the server does not answer".to_owned()))
            }
        }
    }

    /// The same, until it takes too long or is to stop: then the server is asked to give it up, and the connection is done for.
    async fn run_until<T>(
        &mut self,
        time: std::time::Duration,
        stop: impl Future<Output = ()>,
        work: impl AsyncFnOnce(&Client) -> Result<T, Stopped>,
    ) -> Result<T, Trouble> {
        let cancel = self.client.cancel_token();
        let ended = {
            let mut working = pin!(drive(&mut self.driving, work(&self.client)));
            let ended = match within(time, future::select(working.as_mut(), pin!(stop))).await {
                Some(future::Either::Left((done, _))) => Ok(done),
                Some(future::Either::Right(_)) => Err(Trouble::Cancelled),
                None => Err(Trouble::TimedOut),
            };
            if ended.is_err() {
                self.place.cancel(cancel).await;
            }
            match ended {
                // The server's answer to that ends the statement; after it the connection is of use again.
                Err(trouble) => Err((trouble, within(GRACE, working).await.is_some())),
                Ok(done) => Ok(done),
            }
        };
        match ended {
            Ok(done) => done.map_err(|stopped| self.trouble(stopped)),
            Err((trouble, answered)) => {
                self.over |= !answered;
                Err(trouble)
            }
        }
    }

    fn trouble(&mut self, stopped: Stopped) -> Trouble {
        match stopped {
            Stopped::Words(why) => Trouble::Refused(why),
            Stopped::Server(error) => match error.as_db_error() {
                Some(said) if *said.code() == SqlState::QUERY_CANCELED => Trouble::TimedOut,
                Some(said) if matches!(said.parsed_severity(), Some(Severity::Fatal | Severity::Panic)) => {
                    self.over = true;
                    Trouble::Lost(said.message().to_owned())
                }
                Some(said) => {
                    let mut why = format!("{} ({})", said.message(), said.code().code());
                    for more in [said.detail(), said.hint()].into_iter().flatten() {
                        why.push_str(&format!("; {more}"));
                    }
                    Trouble::Refused(why)
                }
                None if self.exceeded.load(Ordering::Relaxed) => {
                    self.over = true;
                    Trouble::Refused(format!("a row has more than {} bytes; select less of it", self.row_bytes))
                }
                None if error.is_closed() || self.client.is_closed() => {
                    self.over = true;
                    Trouble::Lost("the connection broke".to_owned())
                }
                None => Trouble::Refused(error.to_string()),
            },
        }
    }
}

/// Why a statement was stopped.
enum Stopped {
    Server(tokio_postgres::Error),
    Words(String),
}

impl From<tokio_postgres::Error> for Stopped {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Server(error)
    }
}

impl Place {
    async fn connect(&self) -> Result<Pin<Box<dyn Stream>>, Trouble> {
        let socket = self.host.starts_with('/').then(|| format!("{}/.s.PGSQL.{}", self.host, self.port));
        let mut line = Line::connect(&self.host, self.port, socket).await?;
        if self.tls == Tls::Off {
            return Ok(Box::pin(line));
        }
        // SSLRequest: https://www.postgresql.org/docs/current/protocol-message-formats.html
        let asked = async {
            line.write_all(&[0, 0, 0, 8, 4, 210, 22, 47]).await?;
            line.read_u8().await
        };
        match within(CONNECT, asked).await {
            Some(Ok(b'S')) => Ok(Box::pin(tls::wrap((&self.tls, &self.trust), &self.host, &self.login, line).await?)),
            Some(Ok(_)) => Err(Trouble::Unreachable("the server offers no TLS, and server.tls asks for it".to_owned())),
            _ => Err(Trouble::Unreachable("the server does not answer".to_owned())),
        }
    }

    async fn cancel(&self, token: CancelToken) {
        let cancelled = async {
            let stream = self.connect().await.map_err(|trouble| format!("{trouble:?}"))?;
            token.cancel_query_raw(stream, NoTls).await.map_err(|error| error.to_string())
        };
        if let Some(Err(error)) = within(GRACE, cancelled).await {
            tracing::debug!(error, "a statement could not be cancelled; its time-out ends it");
        }
    }
}

/// Runs `work` with the connection that it works on.
async fn drive<T>(driving: &mut Option<Driving>, work: impl Future<Output = T>) -> T {
    let mut work = pin!(work);
    future::poll_fn(|context| {
        if let Poll::Ready(done) = work.as_mut().poll(context) {
            return Poll::Ready(done);
        }
        if let Some(connection) = driving
            && Pin::new(connection).poll(context).is_ready()
        {
            *driving = None;
        }
        work.as_mut().poll(context)
    })
    .await
}

/// Opens a transaction, sets up what it runs as, and looks for the columns that have to be there.
fn begin(access: &str, work: &Work) -> String {
    let mut text = format!("BEGIN {access}; SET LOCAL statement_timeout = {}", work.time.as_millis());
    for (setting, value) in &work.settings {
        // Each part in quotes: `user` alone would be a word of the language.
        let parts: Vec<String> = setting.split('.').map(name).collect();
        text.push_str(&format!("; SET LOCAL {} = {}", parts.join("."), literal(value)));
    }
    if let Some(role) = &work.role {
        text.push_str(&format!("; SET LOCAL ROLE {}", name(role)));
    }
    if !work.columns.is_empty() {
        text.push_str(&format!("; {}", missing(&work.columns)));
    }
    text
}

/// Asks for the names that are columns of none of their tables. A table that is not there has them all: the statement
/// fails by that.
fn missing(columns: &[Qualified]) -> String {
    let mut values = Vec::new();
    for (number, wanted) in columns.iter().enumerate() {
        for table in &wanted.tables {
            let (schema, table) = table.split_once('.').unwrap_or(("public", table));
            values.push(format!("({number}, {}, {}, {})", literal(schema), literal(table), literal(&wanted.column)));
        }
    }
    let values = values.join(", ");
    format!(
        "SELECT pg_catalog.min(w.t || '.' || w.c) FROM (VALUES {values}) AS w (number, s, t, c) \
         LEFT JOIN pg_catalog.pg_namespace n ON n.nspname = w.s::name \
         LEFT JOIN pg_catalog.pg_class k ON k.relnamespace = n.oid AND k.relname = w.t::name \
         LEFT JOIN pg_catalog.pg_attribute a ON a.attrelid = k.oid AND a.attname = w.c::name AND NOT a.attisdropped \
         GROUP BY w.number HAVING pg_catalog.bool_and(k.oid IS NOT NULL AND a.attrelid IS NULL)"
    )
}

fn missing_column(began: &[SimpleQueryMessage]) -> Result<(), Stopped> {
    for message in began {
        if let SimpleQueryMessage::Row(row) = message {
            return Err(Stopped::Words(format!("there is no column {}", row.get(0).unwrap_or_default())));
        }
    }
    Ok(())
}

fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''").replace('\0', ""))
}

fn name(text: &str) -> String {
    format!("\"{}\"", text.replace('"', "\"\"").replace('\0', ""))
}

fn columns(prepared: &tokio_postgres::Statement) -> Vec<(String, String)> {
    prepared.columns().iter().map(|column| (column.name().to_owned(), column.type_().name().to_owned())).collect()
}

fn head(rows: &mut Rows, columns: &[(String, String)]) -> Result<(), Stopped> {
    rows.columns(columns.iter().map(|(name, of)| (name.as_str(), of.as_str()))).map_err(Stopped::Words)
}

fn take(rows: &mut Rows, row: &SimpleQueryRow) -> bool {
    rows.row((0..row.len()).map(|number| row.get(number).map_or(Value::Null, Value::Text)))
}

async fn fetch(client: &Client, work: &Work, columns: &[(String, String)], mut rows: Rows) -> Result<Rows, Stopped> {
    head(&mut rows, columns)?;
    let mut left = rows.wanted();
    let declare = format!("DECLARE result NO SCROLL CURSOR FOR {}\n; ", work.text);
    let mut first = declare.as_str();
    while left > 0 {
        let count = left.min(FETCH);
        let text = if work.explains { work.text.clone() } else { format!("{first}FETCH FORWARD {count} FROM result") };
        let stream = client.simple_query_raw(&text).await?;
        let mut stream = pin!(stream);
        let (mut came, mut wanted) = (0, true);
        while let Some(message) = stream.next().await {
            if let SimpleQueryMessage::Row(row) = message? {
                came += 1;
                wanted = wanted && take(&mut rows, &row);
            }
        }
        if came < count || !wanted || work.explains {
            break;
        }
        first = "";
        left -= came;
    }
    Ok(rows)
}

async fn change(
    client: &Client,
    work: &Work,
    columns: &[(String, String)],
    mut rows: Rows,
) -> Result<(Rows, u64), Stopped> {
    if !columns.is_empty() {
        head(&mut rows, columns)?;
    }
    let stream = client.simple_query_raw(&work.text).await?;
    let mut stream = pin!(stream);
    let mut touched = 0;
    while let Some(message) = stream.next().await {
        match message? {
            SimpleQueryMessage::Row(row) => {
                take(&mut rows, &row);
            }
            SimpleQueryMessage::CommandComplete(count) => touched = count,
            _ => {}
        }
    }
    Ok((rows, touched))
}

/// Why there is no session: the server's own words, which name no secret.
fn sign_in(error: &tokio_postgres::Error, login: &str) -> Trouble {
    let Some(said) = error.as_db_error() else {
        let why = std::error::Error::source(error).map_or_else(|| error.to_string(), ToString::to_string);
        return match why.contains("password missing") {
            true => Trouble::SignIn(format!("`{login}` needs a credential")),
            false => Trouble::Unreachable(why),
        };
    };
    match said.code().code() {
        code if code.starts_with("28") => Trouble::SignIn(said.message().to_owned()),
        _ => Trouble::Unreachable(said.message().to_owned()),
    }
}
