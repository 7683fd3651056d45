//! What is asked of a database's own catalog: its tables, and the columns of one. Each database shows a login only what it
//! may see.

use crate::reading::{self, Dialect};

/// Longest part of a name that is looked for, in bytes.
const MAX_LIKE_BYTES: usize = 128;

/// The statement that lists tables, with `like` in their names.
pub fn list(dialect: Dialect, like: Option<&str>) -> Result<String, String> {
    if like.is_some_and(|like| like.len() > MAX_LIKE_BYTES) {
        return Err(format!("`like`: at most {MAX_LIKE_BYTES} bytes"));
    }
    let having = |name: &str, find: &str| match like {
        None => String::new(),
        Some(like) => {
            let like = literal(dialect, &like.to_lowercase());
            format!(" AND {find}(lower({name}), {like}) > 0")
        }
    };
    Ok(match dialect {
        Dialect::Postgres => format!(
            "SELECT n.nspname || '.' || c.relname AS \"table\", \
             CASE c.relkind WHEN 'v' THEN 'view' WHEN 'm' THEN 'view' ELSE 'table' END AS kind, \
             pg_catalog.obj_description(c.oid, 'pg_class') AS comment \
             FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
             WHERE c.relkind IN ('r', 'v', 'm', 'p', 'f') AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' \
             AND pg_catalog.has_schema_privilege(n.oid, 'USAGE') \
             AND (pg_catalog.has_table_privilege(c.oid, 'SELECT') OR pg_catalog.has_any_column_privilege(c.oid, 'SELECT')){} \
             ORDER BY 1",
            having("c.relname::text", "pg_catalog.strpos")
        ),
        Dialect::Mysql => format!(
            "SELECT table_name AS `table`, IF(table_type = 'BASE TABLE', 'table', 'view') AS kind, table_comment AS comment \
             FROM information_schema.tables WHERE table_schema = DATABASE(){} ORDER BY 1",
            having("table_name", "instr")
        ),
        Dialect::Sqlite => format!(
            "SELECT name AS \"table\", type AS kind FROM sqlite_master \
             WHERE type IN ('table', 'view') AND substr(name, 1, 7) <> 'sqlite_'{} ORDER BY 1",
            having("name", "instr")
        ),
        Dialect::Warehouse => format!(
            "SELECT name AS table, engine AS kind FROM system.tables WHERE database = currentDatabase(){} ORDER BY name",
            having("name", "position")
        ),
    })
}

/// The statement that lists the columns of `table`, spelled as in a statement.
pub fn describe(dialect: Dialect, table: &str) -> Result<String, String> {
    let read = reading::read(dialect, &format!("SELECT * FROM {table}"));
    let one = match read.map(|statement| statement.reading) {
        Ok(reading) if reading.tables.len() == 1 && reading.functions.is_empty() => reading.tables[0].table.clone(),
        _ => return Err("`table`: is not the name of one table".to_owned()),
    };
    let (schema, name) = one.split_once('.').map_or((None, one.as_str()), |(schema, name)| (Some(schema), name));
    let name = literal(dialect, name);
    let schema = schema.map(|schema| literal(dialect, schema));
    Ok(match dialect {
        Dialect::Postgres => format!(
            "SELECT a.attname AS \"column\", pg_catalog.format_type(a.atttypid, a.atttypmod) AS type, \
             CASE WHEN a.attnotnull THEN 'no' ELSE 'yes' END AS may_be_null, \
             CASE WHEN pg_catalog.has_column_privilege(c.oid, a.attnum, 'SELECT') THEN 'yes' ELSE 'no' END AS readable, \
             pg_catalog.col_description(c.oid, a.attnum) AS comment \
             FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_class c ON c.oid = a.attrelid \
             JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
             WHERE n.nspname = {} AND c.relname = {name} AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum",
            schema.unwrap_or_default()
        ),
        Dialect::Mysql => format!(
            "SELECT column_name AS `column`, column_type AS type, lower(is_nullable) AS may_be_null, column_comment AS comment \
             FROM information_schema.columns WHERE table_schema = {} AND table_name = {name} ORDER BY ordinal_position",
            schema.unwrap_or_else(|| "DATABASE()".to_owned())
        ),
        Dialect::Sqlite => format!("SELECT sql AS definition FROM sqlite_master WHERE lower(name) = {name}"),
        Dialect::Warehouse => format!(
            "SELECT name AS column, type FROM system.columns WHERE database = {} AND table = {name}",
            schema.unwrap_or_else(|| "currentDatabase()".to_owned())
        ),
    })
}

fn literal(dialect: Dialect, text: &str) -> String {
    let text = text.replace('\0', "").replace('\'', "''");
    match dialect {
        Dialect::Mysql | Dialect::Warehouse => format!("'{}'", text.replace('\\', "\\\\")),
        Dialect::Postgres | Dialect::Sqlite => format!("'{text}'"),
    }
}
