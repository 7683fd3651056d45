//! MySQL and MariaDB. Every statement is prepared, which the server does for one at a time; a read runs in a read-only
//! transaction that is rolled back.

use super::line::{resolve, within};
use super::{CONNECT, GRACE, Login, Trouble, Work, tls};
use crate::config::Tls;
use crate::rows::{Rows, Value, short};
use bailiwick_outbound::Trust;
use futures_util::future;
use mysql_async::consts::ColumnType;
use mysql_async::prelude::Queryable;
use mysql_async::{ClientIdentity, Column, Conn, DriverError, Error, Opts, OptsBuilder, Params, Row, SslOpts};
use std::future::Future;
use std::net::IpAddr;
use std::pin::pin;

/// What every session begins with: the signs of a statement mean what the reading takes them for.
const SESSION: &str = "SET SESSION \
    sql_mode = 'ONLY_FULL_GROUP_BY,STRICT_TRANS_TABLES,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION', \
    lock_wait_timeout = 5, innodb_lock_wait_timeout = 5, autocommit = 1";
/// Of a string that is not text.
const BINARY: u16 = 63;

pub struct Connection {
    conn: Conn,
    opts: Opts,
    maria: bool,
    folds_tables: bool,
    database: String,
    clean: bool,
    row_bytes: usize,
}

impl Connection {
    pub async fn open(
        (host, port): (&str, u16),
        database: &str,
        (tls, trust): (&Tls, &Trust),
        login: &Login,
        row_bytes: usize,
    ) -> Result<Self, Trouble> {
        let opts = opts((host, port), database, (tls, trust), login, row_bytes).await?;
        let mut conn = connect(&opts).await?;
        let facts = async {
            conn.query_drop(SESSION).await?;
            conn.query_first::<(String, u8), _>("SELECT VERSION(), @@lower_case_table_names").await
        };
        let (version, folding) = match within(CONNECT, facts).await {
            Some(Ok(Some(facts))) => facts,
            Some(Err(error)) => return Err(Trouble::Unreachable(format!("the session cannot be set up: {error}"))),
            _ => return Err(Trouble::Unreachable("the session cannot be set up".to_owned())),
        };
        let maria = version.contains("MariaDB");
        Ok(Self {
            conn,
            opts,
            maria,
            folds_tables: folding != 0,
            database: database.to_owned(),
            clean: true,
            row_bytes,
        })
    }

    pub fn is_clean(&self) -> bool {
        self.clean && !self.conn.is_disconnected()
    }

    pub fn folds_tables(&self) -> bool {
        self.folds_tables
    }

    pub async fn read(&mut self, work: &Work, rows: Rows, stop: impl Future<Output = ()>) -> Result<Rows, Trouble> {
        self.clean = false;
        self.begin("START TRANSACTION READ ONLY", work, rows.wanted()).await?;
        let ran = self.run(work, rows, false, stop).await;
        let ended = self.end("ROLLBACK").await;
        self.clean = ended.is_ok() && !work.opaque && !matches!(ran, Err(Trouble::Lost(_)));
        ran.map(|(rows, _)| rows)
    }

    pub async fn write(
        &mut self,
        work: &Work,
        rows: Rows,
        stop: impl Future<Output = ()>,
    ) -> Result<(Rows, u64), Trouble> {
        self.clean = false;
        let mut stop = pin!(stop);
        // The first words on a connection that waited: it may have broken meanwhile without a sign.
        match within(CONNECT, future::select(pin!(self.check_engines(work)), stop.as_mut())).await {
            Some(future::Either::Left((checked, _))) => checked?,
            Some(future::Either::Right(_)) => return Err(Trouble::Cancelled),
            None => return Err(Trouble::Lost("the server does not answer".to_owned())),
        }
        self.begin("START TRANSACTION READ WRITE", work, usize::MAX).await?;
        match self.run(work, rows, true, stop).await {
            Ok(done) => match self.end("COMMIT").await {
                Ok(_) => {
                    self.clean = !work.opaque;
                    Ok(done)
                }
                Err(Trouble::Refused(why)) => Err(Trouble::Refused(why)),
                Err(_) => Err(Trouble::Unknown("the connection broke while the change was being kept".to_owned())),
            },
            Err(trouble) => {
                let rolled_back = self.end("ROLLBACK").await;
                self.clean = rolled_back == Ok(0) && !work.opaque;
                match (rolled_back, trouble) {
                    // A table outside of transactions keeps what was done to it: the server warns of that.
                    (Ok(warnings), _) if warnings > 0 => {
                        Err(Trouble::Unknown("part of the change could not be taken back".to_owned()))
                    }
                    (_, Trouble::Lost(why)) if work.opaque => Err(Trouble::Unknown(why)),
                    (_, trouble) => Err(trouble),
                }
            }
        }
    }

    async fn begin(&mut self, begin: &str, work: &Work, wanted: usize) -> Result<(), Trouble> {
        let time = match self.maria {
            true => format!("max_statement_time = {:.3}", work.time.as_secs_f64()),
            false => format!("max_execution_time = {}", work.time.as_millis()),
        };
        let limits = format!("SET SESSION {time}, sql_select_limit = {wanted}");
        let conn = &mut self.conn;
        let began = within(CONNECT, async {
            conn.query_drop(limits).await?;
            conn.query_drop(begin).await
        });
        match began.await {
            Some(Ok(())) => Ok(()),
            Some(Err(error)) => Err(trouble(error, self.row_bytes)),
            None => Err(Trouble::Lost("the server does not answer".to_owned())),
        }
    }

    /// Ends the transaction. How many warnings the server has.
    async fn end(&mut self, how: &str) -> Result<u16, Trouble> {
        match within(CONNECT, self.conn.query_drop(how)).await {
            Some(Ok(())) => Ok(self.conn.get_warnings()),
            Some(Err(error)) => Err(trouble(error, self.row_bytes)),
            None => Err(Trouble::Lost("the server does not answer".to_owned())),
        }
    }

    async fn run(
        &mut self,
        work: &Work,
        rows: Rows,
        changes: bool,
        stop: impl Future<Output = ()>,
    ) -> Result<(Rows, u64), Trouble> {
        let (opts, id) = (self.opts.clone(), self.conn.id());
        let mut working = pin!(execute(&mut self.conn, &opts, &work.text, rows, changes));
        let early = match within(work.time + GRACE, future::select(working.as_mut(), pin!(stop))).await {
            Some(future::Either::Left((Ok(done), _))) => return Ok(done),
            Some(future::Either::Left((Err(Stopped::Server(error)), _))) => return Err(trouble(error, self.row_bytes)),
            Some(future::Either::Left((Err(Stopped::Words(why)), _))) => return Err(Trouble::Refused(why)),
            Some(future::Either::Right(_)) => Trouble::Cancelled,
            None => Trouble::TimedOut,
        };
        kill(&opts, id).await;
        match within(GRACE, working).await {
            Some(_) => Err(early),
            None => Err(Trouble::Lost("the server does not answer".to_owned())),
        }
    }

    /// Refuses to change tables that the server keeps outside of transactions: what became of such a change could not be said.
    async fn check_engines(&mut self, work: &Work) -> Result<(), Trouble> {
        let places: Vec<(String, String)> = work
            .written
            .iter()
            .map(|table| match table.split_once('.') {
                Some((schema, table)) => (schema.to_owned(), table.to_owned()),
                None => (self.database.clone(), table.clone()),
            })
            .collect();
        for place in places {
            let found = self.conn.exec_first::<Option<String>, _, _>(
                "SELECT engine FROM information_schema.tables WHERE table_schema = ? AND table_name = ?",
                &place,
            );
            match found.await {
                Ok(Some(Some(engine)))
                    if !matches!(engine.to_lowercase().as_str(), "innodb" | "rocksdb" | "ndbcluster") =>
                {
                    let table = place.1;
                    return Err(Trouble::Refused(format!("`{table}` is kept by {engine}, which has no transactions")));
                }
                Ok(_) => {}
                Err(error) => return Err(trouble(error, self.row_bytes)),
            }
        }
        Ok(())
    }
}

async fn opts(
    (host, port): (&str, u16),
    database: &str,
    (tls, trust): (&Tls, &Trust),
    login: &Login,
    row_bytes: usize,
) -> Result<Opts, Trouble> {
    let mut builder = OptsBuilder::default()
        .user(Some(login.name.as_str()))
        .db_name(Some(database))
        .prefer_socket(false)
        .max_allowed_packet(Some(row_bytes))
        .secure_auth(true)
        .enable_cleartext_plugin(false);
    builder = match host.starts_with('/') {
        true => builder.socket(Some(host)),
        false => {
            let addresses: Vec<IpAddr> = resolve(host, port).await?.iter().map(|address| address.ip()).collect();
            builder.ip_or_hostname(host).tcp_port(port).resolved_ips(Some(addresses))
        }
    };
    let certificate = tls::is_certificate(login);
    if let Some(secret) = login.secret.as_ref().filter(|_| !certificate) {
        builder = builder.pass(Some(secret.expose()));
    }
    if *tls != Tls::Off {
        let mut roots = Vec::new();
        match tls {
            Tls::VerifyAgainst { certificates } => roots.push(certificates.clone().into_bytes().into()),
            _ => {
                let trusted = trust.certificates().map_err(Trouble::Unreachable)?;
                roots.extend(trusted.iter().map(|certificate| certificate.to_vec().into()));
            }
        }
        let mut ssl = SslOpts::default().with_root_certs(roots).with_disable_built_in_roots(true);
        if let Some(secret) = login.secret.as_ref().filter(|_| certificate) {
            let pem = secret.expose().as_bytes().to_vec();
            ssl = ssl.with_client_identity(Some(ClientIdentity::new(pem.clone().into(), pem.into())));
        }
        builder = builder.ssl_opts(ssl);
    }
    Ok(builder.into())
}

async fn connect(opts: &Opts) -> Result<Conn, Trouble> {
    match within(CONNECT, Conn::new(opts.clone())).await {
        Some(Ok(conn)) => Ok(conn),
        // https://mariadb.com/kb/en/mariadb-error-codes/: access denied, in its three forms, and an expired password.
        Some(Err(Error::Server(error))) if matches!(error.code, 1044 | 1045 | 1698 | 1862) => {
            Err(Trouble::SignIn(error.message))
        }
        Some(Err(Error::Server(error))) => Err(Trouble::Unreachable(error.message)),
        Some(Err(error)) => Err(Trouble::Unreachable(format!("nothing answers at {}: {error}", opts.ip_or_hostname()))),
        None => Err(Trouble::Unreachable(format!("nothing answers within {} s", CONNECT.as_secs()))),
    }
}

/// Asks the server, over a connection of its own, to give up what `id` runs.
async fn kill(opts: &Opts, id: u32) {
    let killed = async {
        let mut other = connect(opts).await.map_err(|trouble| format!("{trouble:?}"))?;
        other.query_drop(format!("KILL QUERY {id}")).await.map_err(|error| error.to_string())?;
        other.disconnect().await.map_err(|error| error.to_string())
    };
    if let Some(Err(error)) = within(GRACE, killed).await {
        tracing::debug!(error, "a statement could not be cancelled; its time-out ends it");
    }
}

enum Stopped {
    Server(Error),
    Words(String),
}

impl From<Error> for Stopped {
    fn from(error: Error) -> Self {
        Self::Server(error)
    }
}

/// Runs it. A change is always read to its end: given up halfway, it would not be what it is said to be.
async fn execute(
    conn: &mut Conn,
    opts: &Opts,
    text: &str,
    mut rows: Rows,
    changes: bool,
) -> Result<(Rows, u64), Stopped> {
    let id = conn.id();
    let statement = conn.prep(text).await?;
    let mut result = conn.exec_iter(&statement, Params::Empty).await?;
    let columns = result.columns().filter(|columns| !columns.is_empty());
    let mut whole = true;
    if let Some(columns) = &columns {
        let names: Vec<_> = columns.iter().map(|column| (column.name_str().into_owned(), type_of(column))).collect();
        rows.columns(names.iter().map(|(name, of)| (name.as_str(), *of))).map_err(Stopped::Words)?;
        while let Some(row) = result.next().await? {
            if !take(&mut rows, columns, &row) && !changes {
                whole = false;
                break;
            }
        }
    }
    let touched = result.affected_rows();
    if !whole {
        // The rest would have to be read to the end: it is cheaper to have it given up.
        kill(opts, id).await;
    }
    match result.drop_result().await {
        Err(error) if whole => Err(error.into()),
        _ => Ok((rows, touched)),
    }
}

fn take(rows: &mut Rows, columns: &[Column], row: &Row) -> bool {
    use mysql_async::Value as V;
    let written: Vec<Option<String>> = (0..row.len())
        .map(|number| match row.as_ref(number) {
            None | Some(V::NULL | V::Bytes(_)) => None,
            Some(V::Int(value)) => Some(value.to_string()),
            Some(V::UInt(value)) => Some(value.to_string()),
            Some(V::Float(value)) => Some(short(format!("{value:?}"))),
            Some(V::Double(value)) => Some(short(format!("{value:?}"))),
            Some(V::Date(year, month, day, hour, minute, second, micro)) => {
                let date = format!("{year:04}-{month:02}-{day:02}");
                let of_day =
                    columns.get(number).is_some_and(|column| column.column_type() == ColumnType::MYSQL_TYPE_DATE);
                Some(if of_day {
                    date
                } else {
                    format!("{date} {hour:02}:{minute:02}:{second:02}{}", fraction(*micro))
                })
            }
            Some(V::Time(negative, days, hours, minutes, seconds, micro)) => {
                let hours = days * 24 + u32::from(*hours);
                let sign = if *negative { "-" } else { "" };
                Some(format!("{sign}{hours:02}:{minutes:02}:{seconds:02}{}", fraction(*micro)))
            }
        })
        .collect();
    rows.row((0..row.len()).map(|number| match (&written[number], row.as_ref(number)) {
        (Some(text), _) => Value::Text(text),
        (None, Some(V::Bytes(bytes))) => match std::str::from_utf8(bytes) {
            Ok(text) if !columns.get(number).is_some_and(is_binary) => Value::Text(text),
            _ => Value::Bytes(bytes),
        },
        _ => Value::Null,
    }))
}

fn fraction(micro: u32) -> String {
    if micro == 0 { String::new() } else { format!(".{micro:06}").trim_end_matches('0').to_owned() }
}

fn is_binary(column: &Column) -> bool {
    use ColumnType as C;
    let of_bytes = matches!(
        column.column_type(),
        C::MYSQL_TYPE_BLOB
            | C::MYSQL_TYPE_TINY_BLOB
            | C::MYSQL_TYPE_MEDIUM_BLOB
            | C::MYSQL_TYPE_LONG_BLOB
            | C::MYSQL_TYPE_STRING
            | C::MYSQL_TYPE_VAR_STRING
            | C::MYSQL_TYPE_GEOMETRY
            | C::MYSQL_TYPE_BIT
    );
    of_bytes && column.character_set() == BINARY
}

fn type_of(column: &Column) -> &'static str {
    use ColumnType as C;
    match column.column_type() {
        C::MYSQL_TYPE_TINY => "tinyint",
        C::MYSQL_TYPE_SHORT => "smallint",
        C::MYSQL_TYPE_INT24 => "mediumint",
        C::MYSQL_TYPE_LONG => "int",
        C::MYSQL_TYPE_LONGLONG => "bigint",
        C::MYSQL_TYPE_DECIMAL | C::MYSQL_TYPE_NEWDECIMAL => "decimal",
        C::MYSQL_TYPE_FLOAT => "float",
        C::MYSQL_TYPE_DOUBLE => "double",
        C::MYSQL_TYPE_DATE | C::MYSQL_TYPE_NEWDATE => "date",
        C::MYSQL_TYPE_DATETIME | C::MYSQL_TYPE_DATETIME2 => "datetime",
        C::MYSQL_TYPE_TIMESTAMP | C::MYSQL_TYPE_TIMESTAMP2 => "timestamp",
        C::MYSQL_TYPE_TIME | C::MYSQL_TYPE_TIME2 => "time",
        C::MYSQL_TYPE_YEAR => "year",
        C::MYSQL_TYPE_JSON => "json",
        C::MYSQL_TYPE_BIT => "bit",
        C::MYSQL_TYPE_ENUM => "enum",
        C::MYSQL_TYPE_SET => "set",
        C::MYSQL_TYPE_NULL => "null",
        C::MYSQL_TYPE_GEOMETRY => "geometry",
        _ if is_binary(column) => "binary",
        _ => "text",
    }
}

fn trouble(error: Error, row_bytes: usize) -> Trouble {
    match error {
        // Given up at the time-out, by MariaDB and by MySQL.
        Error::Server(said) if matches!(said.code, 1969 | 3024) => Trouble::TimedOut,
        Error::Server(said) => Trouble::Refused(format!("{} ({})", said.message, said.code)),
        Error::Driver(DriverError::PacketTooLarge) => {
            Trouble::Refused(format!("a row has more than {row_bytes} bytes; select less of it"))
        }
        Error::Io(_) | Error::Driver(_) => Trouble::Lost("the connection broke".to_owned()),
        other => Trouble::Refused(other.to_string()),
    }
}
