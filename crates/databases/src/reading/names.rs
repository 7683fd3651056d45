//! One spelling for each name: the case that the server folds to, and the schema that it would look in.
//!
//! The connections of this room are set up so that these spellings are true: PostgreSQL looks in `pg_catalog`, then
//! `public`, and nowhere else; the others in the database that the configuration names.

use super::Dialect;
use sqlparser::ast::{Ident, ObjectName, ObjectNamePart};

/// PostgreSQL cuts a longer name, silently, to this many bytes: two spellings would be one name.
const MAX_NAME_BYTES: usize = 63;
/// Letters that some servers fold to an ASCII letter, so that they would be a second spelling of a name.
const DOUBLES: [char; 4] = ['\u{17f}', '\u{212a}', '\u{130}', '\u{131}'];
/// The databases of MySQL whose tables have no case.
const CATALOGS: [&str; 2] = ["information_schema", "performance_schema"];

#[derive(Debug, Clone, Copy)]
pub struct Names(pub Dialect);

impl Names {
    /// Refuses names that a server may take for another than they look like.
    pub fn check(self, ident: &Ident) -> Result<(), String> {
        let name = &ident.value;
        if name.is_empty() || name.len() > MAX_NAME_BYTES {
            return Err(format!("the name `{}` has not 1 to {MAX_NAME_BYTES} bytes", name.escape_debug()));
        }
        if name.contains(DOUBLES) || name.contains(['"', '`', '\\']) || name.trim() != name {
            return Err(format!("the name `{}` has a character that servers read differently", name.escape_debug()));
        }
        Ok(())
    }

    /// A column, an alias or a common table expression.
    pub fn fold(self, ident: &Ident) -> String {
        match self.0 {
            Dialect::Postgres if ident.quote_style.is_some() => ident.value.clone(),
            Dialect::Postgres | Dialect::Sqlite => ident.value.to_ascii_lowercase(),
            Dialect::Mysql => ident.value.to_lowercase(),
            Dialect::Warehouse => ident.value.clone(),
        }
    }

    /// Part of the name of a table. MySQL tells cases apart there, on the usual servers.
    fn fold_table(self, ident: &Ident) -> Result<String, String> {
        if ident.value.contains('.') {
            return Err(format!("the table name `{}` has a dot in it", ident.value.escape_debug()));
        }
        Ok(if self.0 == Dialect::Mysql { ident.value.clone() } else { self.fold(ident) })
    }

    /// The one spelling of a table.
    pub fn table(self, name: &ObjectName) -> Result<String, String> {
        let idents = idents(name)?;
        let parts = idents.into_iter().map(|ident| self.fold_table(ident)).collect::<Result<Vec<_>, _>>()?;
        let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
        Ok(match (self.0, parts.as_slice()) {
            (Dialect::Postgres, [table]) if table.starts_with("pg_") => format!("pg_catalog.{table}"),
            (Dialect::Postgres, [table]) => format!("public.{table}"),
            (Dialect::Sqlite, ["sqlite_schema"] | ["main", "sqlite_schema"]) => "sqlite_master".to_owned(),
            (Dialect::Sqlite, ["main", table]) => (*table).to_owned(),
            (Dialect::Mysql, [schema, table]) if CATALOGS.iter().any(|known| schema.eq_ignore_ascii_case(known)) => {
                format!("{schema}.{table}").to_lowercase()
            }
            (_, [table]) => (*table).to_owned(),
            (_, [schema, table]) => format!("{schema}.{table}"),
            _ => return Err(format!("the table name `{name}` has more than two parts")),
        })
    }

    /// The one spelling of a function.
    pub fn function(self, name: &ObjectName) -> Result<String, String> {
        let fold = |ident: &Ident| match (self.0, ident.quote_style) {
            (Dialect::Postgres, Some(_)) => ident.value.clone(),
            _ => ident.value.to_lowercase(),
        };
        let parts: Vec<String> = idents(name)?.into_iter().map(fold).collect();
        Ok(match parts.as_slice() {
            [schema, name] if self.0 == Dialect::Postgres && schema == "pg_catalog" => name.clone(),
            parts => parts.join("."),
        })
    }
}

/// The parts of a name. A part that is computed has no spelling.
pub fn idents(name: &ObjectName) -> Result<Vec<&Ident>, String> {
    let part = |part| ObjectNamePart::as_ident(part).ok_or_else(|| format!("the name `{name}` is computed"));
    name.0.iter().map(part).collect()
}
