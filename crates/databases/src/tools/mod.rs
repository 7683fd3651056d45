//! The tools that a database gives a model.

pub mod catalog;

use crate::config::{Configuration, Server};
use bailiwick_core::ToolDefinition;
use bailiwick_core::connector::Effect;
use serde_json::{Value, json};

/// The tools of one database. `file`: whole results can be written to a file.
pub fn definitions(configuration: &Configuration, file: bool) -> Vec<ToolDefinition> {
    let dialect = match configuration.server {
        Server::Postgres { .. } => "PostgreSQL",
        Server::Mysql { .. } => "MySQL",
        Server::Sqlite { .. } => "SQLite",
    };
    let rows = configuration.limits.rows;
    let mut query = json!({"statement": text("One SELECT.")});
    if file {
        query["file"] = text("Also write the whole result to this file of the workspace, as CSV.");
    }
    let mut tools = vec![
        tool(
            "list_tables",
            "List tables",
            "The tables and views that can be read here, with their kind.",
            json!({"like": text("Only names with this in them.")}),
            &[],
            Effect::Read,
        ),
        tool(
            "describe",
            "Describe a table",
            "The columns of one table: name, type, whether it may be empty.",
            json!({"table": text("As list_tables names it.")}),
            &["table"],
            Effect::Read,
        ),
        tool(
            "query",
            "Query",
            &format!(
                "Runs one {dialect} SELECT and returns rows as comma-separated values under a header of name:type (an empty \
                 field is NULL). At most {rows} rows are shown: let the database filter, group and sum. Qualify columns as \
                 table.column when there is more than one table."
            ),
            query,
            &["statement"],
            Effect::Read,
        ),
    ];
    if configuration.execute {
        tools.push(tool(
            "execute",
            "Change data",
            &format!(
                "Runs one {dialect} INSERT, UPDATE, DELETE or MERGE in a transaction of its own and keeps the change."
            ),
            json!({"statement": text("One statement.")}),
            &["statement"],
            Effect::Write,
        ));
    }
    tools
}

fn text(description: &str) -> Value {
    json!({"type": "string", "description": description})
}

fn tool(
    name: &str,
    title: &str,
    description: &str,
    properties: Value,
    required: &[&str],
    effect: Effect,
) -> ToolDefinition {
    let parameters = json!({
        "type": "object", "properties": properties, "required": required, "additionalProperties": false,
    });
    ToolDefinition::new(name, title, description, parameters, effect)
}
