//! Turns one SQL statement into what policy may know of it: whether it reads or writes, which tables and columns it
//! touches, and which functions it calls.
//!
//! Pure: text in, data out. It must never say less than the truth. What it cannot account for it refuses, and a column that
//! it cannot give to one table is every column of all tables that it might belong to. What leaves for the server is
//! [`Statement::text`], written anew from what was understood, so that a comment, a hint or an odd spelling that the
//! server would read otherwise does not reach it.

mod fields;
mod functions;
mod names;
mod scope;
mod screen;
mod shape;
mod targets;
mod walk;

pub use walk::unmaskable;

use self::names::Names;
pub use bailiwick_core::connector::{Dialect, Reading, StatementKind, TableUse};

use bailiwick_core::connector::StatementReader;
use sqlparser::ast::Visit;
use sqlparser::dialect::{self, Dialect as Grammar};
use sqlparser::parser::{Parser, ParserOptions};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

/// Longest statement that is read at all, in bytes.
pub const MAX_STATEMENT_BYTES: usize = 64 * 1024;
/// Most words and signs in one, comments and blanks not counted.
pub const MAX_TOKENS: usize = 10_000;
/// Most levels of brackets and subqueries.
pub const MAX_DEPTH: usize = 50;
/// Stack for statements that go deep: trees of that many tokens are walked, compared and dropped in it.
const STACK_BYTES: usize = 64 * 1024 * 1024;
/// Fewer tokens than this fit every stack.
const SHALLOW_TOKENS: usize = 200;

/// A statement that was understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    pub reading: Reading,
    /// What is sent.
    pub text: String,
    /// Those of the functions that are not known to be without effects: they may read any table.
    pub unlisted: Vec<String>,
    /// Columns that were named as `source.column`, where only the catalog can tell that they are ones.
    pub qualified: Vec<Qualified>,
    /// What is used otherwise than as a plain column of the result: masking such a column would hide nothing.
    pub inner: BTreeMap<String, Columns>,
    /// Names that the statement gives to plain columns of its result, by the column: a masked column keeps its own.
    pub renamed: BTreeSet<String>,
    /// It explains a statement and does not run it.
    pub explains: bool,
}

/// A column that was named behind its source. PostgreSQL takes such a name for a call of a function, with the whole row as
/// its argument, when there is no such column: the room looks whether there is, before it runs the statement.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Qualified {
    /// One of these has to have it.
    pub tables: Vec<String>,
    pub column: String,
}

/// Some columns of a table, or all of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Columns {
    All,
    Some(BTreeSet<String>),
}

impl Columns {
    fn none() -> Self {
        Self::Some(BTreeSet::new())
    }

    fn add(&mut self, column: String) {
        if let Self::Some(columns) = self {
            columns.insert(column);
        }
    }

    /// Whether `column` is, or may be, among them.
    pub fn may_contain(&self, column: &str) -> bool {
        match self {
            Self::All => true,
            Self::Some(columns) => columns.contains(column),
        }
    }

    fn listed(&self) -> Option<Vec<String>> {
        match self {
            Self::All => None,
            Self::Some(columns) => Some(columns.iter().cloned().collect()),
        }
    }
}

/// Reads one statement. The error says, in words for whoever wrote it, why it cannot be accounted for.
pub fn read(dialect: Dialect, text: &str) -> Result<Statement, String> {
    let tokens = screen::tokens(dialect, text)?;
    if tokens < SHALLOW_TOKENS {
        return understand(dialect, text);
    }
    stacker::grow(STACK_BYTES, || understand(dialect, text))
}

/// Reads statements for whoever decides about them.
#[derive(Debug, Clone, Copy, Default)]
pub struct Reader;

impl StatementReader for Reader {
    fn read(&self, dialect: Dialect, statement: &str) -> Result<Reading, String> {
        read(dialect, statement).map(|statement| statement.reading)
    }
}

fn understand(dialect: Dialect, text: &str) -> Result<Statement, String> {
    let statement = parse(dialect, text)?;
    let explains = shape::check(&statement)?;
    let written = statement.to_string();
    if parse(dialect, &written).as_ref() != Ok(&statement) {
        return Err("it cannot be written down again as it was understood; write it in a simpler way".to_owned());
    }
    let mut walk = walk::Walk::new(Names(dialect));
    if let ControlFlow::Break(why) = statement.visit(&mut walk) {
        return Err(why);
    }
    walk.finish(written, explains)
}

fn parse(dialect: Dialect, text: &str) -> Result<sqlparser::ast::Statement, String> {
    let options = ParserOptions::new().with_trailing_commas(false).with_unescape(false);
    let mut statements = Parser::new(grammar(dialect))
        .with_options(options)
        .with_recursion_limit(MAX_DEPTH)
        .try_with_sql(text)
        .and_then(|mut parser| parser.parse_statements())
        .map_err(|error| format!("it cannot be parsed: {error}"))?;
    match (statements.pop(), statements.is_empty()) {
        (Some(statement), true) => Ok(statement),
        (None, _) => Err("there is no statement in it".to_owned()),
        (Some(_), false) => Err("it is more than one statement; send one at a time".to_owned()),
    }
}

fn grammar(dialect: Dialect) -> &'static dyn Grammar {
    match dialect {
        Dialect::Postgres => &dialect::PostgreSqlDialect {},
        Dialect::Mysql => &dialect::MySqlDialect {},
        Dialect::Sqlite => &dialect::SQLiteDialect {},
        Dialect::Warehouse => &dialect::ClickHouseDialect {},
    }
}

#[cfg(test)]
mod tests;
