//! Which statements a configuration lets through, before anything is sent. The organisation's policy has decided by then;
//! this is what makes its view of a statement true.

use crate::config::{Configuration, Server, SignIn};
use crate::reading::{self, Dialect, Statement, StatementKind, TableUse};
use std::collections::BTreeSet;

/// A statement that may be run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admitted {
    pub text: String,
    /// `None` when it is run under the rights of the login alone.
    pub statement: Option<Statement>,
    /// Names of columns of the result that are not shown.
    pub masked: BTreeSet<String>,
}

/// Admits `text` as what `kind` says that it is to be.
pub fn admit(configuration: &Configuration, kind: StatementKind, text: &str) -> Result<Admitted, String> {
    let dialect = configuration.server.dialect();
    let statement = match reading::read(dialect, text) {
        Ok(statement) => statement,
        Err(_) if trusted(configuration) && text.len() <= reading::MAX_STATEMENT_BYTES => {
            return Ok(Admitted { text: text.to_owned(), statement: None, masked: BTreeSet::new() });
        }
        Err(why) => return Err(format!("the statement is refused: {why}")),
    };
    match (kind, statement.reading.kind) {
        (StatementKind::Read, StatementKind::Write) => {
            return Err("the statement changes data: `query` only reads; use `execute`, where it is offered".to_owned());
        }
        (StatementKind::Write, StatementKind::Read) => {
            return Err("the statement changes nothing: use `query`".to_owned());
        }
        _ => {}
    }
    check_functions(configuration, &statement)?;
    check_spelling(configuration, &statement)?;
    if let Some(column) = reading::unmaskable(&statement, &configuration.masked) {
        return Err(format!(
            "`{column}` is masked: it can be selected under its own name, and not be used in any other way; \
             name the columns that you need as table.column"
        ));
    }
    let touched = |table: &String| statement.reading.tables.iter().any(|used| &used.table == table);
    let masked =
        configuration.masked.iter().filter(|(table, _)| touched(table)).flat_map(|(_, columns)| columns.clone());
    Ok(Admitted { text: statement.text.clone(), masked: masked.collect(), statement: Some(statement) })
}

/// Whether the login's rights alone are enough. A mask or an assumed person needs more than that.
fn trusted(configuration: &Configuration) -> bool {
    configuration.trust_role
        && configuration.masked.is_empty()
        && !matches!(configuration.sign_in, SignIn::Assumed { .. })
}

fn check_functions(configuration: &Configuration, statement: &Statement) -> Result<(), String> {
    // What SQLite has was compiled into this program, and its authorizer sees every table that is read.
    if trusted(configuration) || configuration.server.dialect() == Dialect::Sqlite {
        return Ok(());
    }
    match statement.unlisted.iter().find(|name| !configuration.functions.contains(name)) {
        None => Ok(()),
        Some(name) => Err(format!(
            "the statement calls `{name}`, which is not known to be without effects; an administrator can list it under \
             `functions` of the connector. If it is a column, name it alone, or list the columns of its source: `AS x({name})`"
        )),
    }
}

/// Each table has one name: policy compares names.
fn check_spelling(configuration: &Configuration, statement: &Statement) -> Result<(), String> {
    let twice = |used: &&TableUse| match &configuration.server {
        Server::Mysql { database, .. } => {
            used.table.split_once('.').is_some_and(|(schema, _)| schema.eq_ignore_ascii_case(database))
        }
        Server::Postgres { .. } | Server::Sqlite { .. } => false,
    };
    match statement.reading.tables.iter().find(twice) {
        None => Ok(()),
        Some(used) => {
            let (_, table) = used.table.split_once('.').unwrap_or(("", &used.table));
            Err(format!("write `{table}` without the name of its database"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn configuration(more: &str) -> Configuration {
        let text = format!(
            r#"{{"server": {{"kind": "postgres", "host": "db", "database": "books"}}, "sign_in": {{"as": "person"}}{more}}}"#
        );
        serde_json::from_str(&text).unwrap()
    }

    fn admitted(more: &str, kind: StatementKind, text: &str) -> Result<Admitted, String> {
        admit(&configuration(more), kind, text)
    }

    #[test]
    fn a_query_reads_and_calls_only_what_is_listed() {
        use StatementKind::{Read, Write};
        assert!(admitted("", Read, "select 1").is_ok());
        assert!(admitted("", Write, "select 1").is_err());
        assert!(admitted("", Read, "delete from invoices").is_err());
        assert!(admitted("", Read, "with x as (delete from invoices returning 1) select 1").is_err());
        assert!(admitted("", Write, "delete from invoices").is_ok());
        assert!(admitted("", Read, "select app.region_of(1)").unwrap_err().contains("app.region_of"));
        assert!(admitted(r#", "functions": ["app.region_of"]"#, Read, "select app.region_of(1)").is_ok());
        assert!(admitted("", Read, "vacuum").is_err());
        let trusted = admitted(r#", "trust_role": true"#, Read, "vacuum").unwrap();
        assert_eq!((trusted.statement, trusted.text.as_str()), (None, "vacuum"));
        assert!(admitted(r#", "trust_role": true, "masked": {"public.people": ["salary"]}"#, Read, "vacuum").is_err());
    }

    #[test]
    fn a_table_of_the_own_database_has_one_name() {
        let text = r#"{"server": {"kind": "mysql", "host": "db", "database": "books"}, "sign_in": {"as": "person"}}"#;
        let configuration: Configuration = serde_json::from_str(text).unwrap();
        let read = |text| admit(&configuration, StatementKind::Read, text);
        assert!(read("select id from invoices").is_ok());
        assert!(read("select id from other.invoices").is_ok());
        assert!(read("select id from Books.invoices").unwrap_err().contains("without the name of its database"));
    }
}
