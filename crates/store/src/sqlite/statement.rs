//! One statement with its values. A connection keeps it prepared under its text.

use super::error::Error;
use rusqlite::{
    Connection, Row, ToSql, params_from_iter,
    types::{ToSqlOutput, ValueRef},
};
use std::borrow::Cow;

/// The database's clock in milliseconds.
macro_rules! now {
    () => {
        "CAST(round(unixepoch('subsec') * 1000) AS INTEGER)"
    };
}
pub(crate) use now;

/// What takes the place of a `?`. It borrows what is long.
pub enum Value<'v> {
    Null,
    Number(i64),
    Text(&'v str),
    Bytes(&'v [u8]),
    Id([u8; 16]),
}

impl From<i64> for Value<'_> {
    fn from(number: i64) -> Self {
        Self::Number(number)
    }
}

impl From<u16> for Value<'_> {
    fn from(number: u16) -> Self {
        Self::Number(number.into())
    }
}

impl From<u32> for Value<'_> {
    fn from(number: u32) -> Self {
        Self::Number(number.into())
    }
}

impl From<bool> for Value<'_> {
    fn from(yes: bool) -> Self {
        Self::Number(yes.into())
    }
}

impl<'v> From<&'v str> for Value<'v> {
    fn from(text: &'v str) -> Self {
        Self::Text(text)
    }
}

impl<'v> From<&'v [u8]> for Value<'v> {
    fn from(bytes: &'v [u8]) -> Self {
        Self::Bytes(bytes)
    }
}

/// An id: 16 bytes, most significant first, so that they sort as the numbers they are.
impl From<u128> for Value<'_> {
    fn from(id: u128) -> Self {
        Self::Id(id.to_be_bytes())
    }
}

impl<'v, T: Into<Value<'v>>> From<Option<T>> for Value<'v> {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

impl ToSql for Value<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Self::Null => ValueRef::Null,
            Self::Number(number) => ValueRef::Integer(*number),
            Self::Text(text) => ValueRef::Text(text.as_bytes()),
            Self::Bytes(bytes) => ValueRef::Blob(bytes),
            Self::Id(id) => ValueRef::Blob(id),
        }))
    }
}

pub struct Statement<'v> {
    text: Cow<'static, str>,
    values: Vec<Value<'v>>,
}

impl<'v> Statement<'v> {
    pub fn new(sql: &'static str) -> Self {
        Self { text: Cow::Borrowed(sql), values: Vec::new() }
    }

    pub fn add(&mut self, sql: &str) -> &mut Self {
        self.text.to_mut().push_str(sql);
        self
    }

    pub fn bind(&mut self, value: impl Into<Value<'v>>) -> &mut Self {
        self.values.push(value.into());
        self
    }

    /// `(?, …)`, times `rows`, for a `VALUES`.
    pub fn tuples(&mut self, columns: usize, rows: usize) -> &mut Self {
        let text = self.text.to_mut();
        for row in 0..rows {
            text.push_str(if row == 0 { "(?" } else { ", (?" });
            (1..columns).for_each(|_| text.push_str(", ?"));
            text.push(')');
        }
        self
    }

    #[cfg(test)]
    pub fn into_text(self) -> String {
        self.text.into_owned()
    }

    /// Runs one that answers with no rows, and tells how many it changed.
    pub fn run(&self, connection: &Connection) -> Result<usize, Error> {
        Ok(connection.prepare_cached(&self.text)?.execute(params_from_iter(&self.values))?)
    }

    /// Every row that it answers with.
    pub fn rows<T>(
        &self,
        connection: &Connection,
        mut read: impl FnMut(&Row<'_>) -> Result<T, Error>,
    ) -> Result<Vec<T>, Error> {
        let mut statement = connection.prepare_cached(&self.text)?;
        let mut rows = statement.query(params_from_iter(&self.values))?;
        let mut found = Vec::new();
        while let Some(row) = rows.next()? {
            found.push(read(row)?);
        }
        Ok(found)
    }
}

/// A number that the database can hold. Positions, sequences and epochs never come near the end.
pub fn integer(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
