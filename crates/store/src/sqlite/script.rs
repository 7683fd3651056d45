//! Several statements with their values, sent to a connection as one message.
//!
//! Every message crosses to the connection's thread and back, which costs more than most statements do. What belongs
//! together is therefore one script; a connection keeps it prepared under its text.

use futures_util::TryStreamExt as _;
use sqlx::{
    Arguments as _, AssertSqlSafe, Either, Encode, Executor as _, Sqlite, SqliteConnection, Type,
    sqlite::{SqliteArguments, SqliteRow},
};

/// The database's clock in milliseconds.
macro_rules! now {
    () => {
        "CAST(round(unixepoch('subsec') * 1000) AS INTEGER)"
    };
}
pub(crate) use now;

pub struct Script {
    text: String,
    values: SqliteArguments,
    kept: bool,
}

impl Script {
    pub fn new(sql: &str) -> Self {
        Self { text: sql.to_owned(), values: SqliteArguments::default(), kept: true }
    }

    pub fn add(&mut self, sql: &str) -> &mut Self {
        self.text.push_str(sql);
        self
    }

    pub fn bind<'v>(&mut self, value: impl Encode<'v, Sqlite> + Type<Sqlite>) -> &mut Self {
        // INVARIANT: numbers, text and bytes always encode.
        self.values.add(value).expect("numbers, text and bytes always encode");
        self
    }

    pub fn bind_id(&mut self, id: u128) -> &mut Self {
        self.bind(id.to_be_bytes().to_vec())
    }

    /// `(?, …)`, times `rows`, for a `VALUES`.
    pub fn tuples(&mut self, columns: usize, rows: usize) -> &mut Self {
        for row in 0..rows {
            self.text.push_str(if row == 0 { "(?" } else { ", (?" });
            (1..columns).for_each(|_| self.text.push_str(", ?"));
            self.text.push(')');
        }
        self
    }

    pub fn into_text(self) -> String {
        self.text
    }

    /// Not worth keeping prepared: its text will hardly come again.
    pub fn once(&mut self) -> &mut Self {
        self.kept = false;
        self
    }

    pub fn before(&mut self, sql: &str) {
        self.text.insert_str(0, sql);
    }

    /// The rows of all statements. Stops at the first error.
    pub async fn run(self, connection: &mut SqliteConnection) -> Result<Vec<SqliteRow>, sqlx::Error> {
        let query = sqlx::query_with(AssertSqlSafe(self.text), self.values).persistent(self.kept);
        let mut answers = connection.fetch_many(query);
        let mut rows = Vec::new();
        while let Some(answer) = answers.try_next().await? {
            if let Either::Right(row) = answer {
                rows.push(row);
            }
        }
        Ok(rows)
    }
}

/// A number that the database can hold. Positions, sequences and epochs never come near the end.
pub fn integer(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
