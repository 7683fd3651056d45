//! Refuses the parts of a statement that this room does not account for: what is not listed here as plain, is not read.

use sqlparser::ast::{
    Expr, FromTable, Insert, JoinOperator, Query, Select, SelectFlavor, SetExpr, Statement, TableFactor, TableObject,
    Value,
};

/// Whether the statement only explains another one.
pub fn check(statement: &Statement) -> Result<bool, String> {
    let refused = |what: &str| Err(format!("{what} is not offered; only SELECT, INSERT, UPDATE, DELETE and MERGE are"));
    match statement {
        Statement::Query(_)
        | Statement::Update(_)
        | Statement::Insert(_)
        | Statement::Delete(_)
        | Statement::Merge(_) => Ok(false),
        Statement::Explain { statement, analyze: false, options: None, format: None, .. } => match check(statement)? {
            true => refused("EXPLAIN of EXPLAIN"),
            false => Ok(true),
        },
        Statement::Explain { .. } => refused("EXPLAIN with options"),
        other => {
            let first = other.to_string();
            refused(&first.split_whitespace().next().unwrap_or("this").to_uppercase())
        }
    }
}

/// A change inside or outside of a query.
pub fn change(statement: &Statement) -> Result<(), String> {
    let plain = match statement {
        Statement::Insert(insert) => return plain_insert(insert),
        Statement::Update(update) => update.optimizer_hints.is_empty() && update.output.is_none(),
        Statement::Delete(delete) => {
            if !delete.tables.is_empty() {
                return Err("it deletes from several tables; delete from one at a time".to_owned());
            }
            let FromTable::WithFromKeyword(from) = &delete.from else {
                return Err("write DELETE FROM".to_owned());
            };
            delete.optimizer_hints.is_empty() && delete.output.is_none() && from.len() == 1 && from[0].joins.is_empty()
        }
        Statement::Merge(merge) => merge.optimizer_hints.is_empty() && merge.output.is_none(),
        Statement::Query(_) | Statement::Explain { .. } => true,
        _ => false,
    };
    if plain {
        Ok(())
    } else {
        Err("it changes data in a way that is not accounted for; write it in a simpler way".to_owned())
    }
}

fn plain_insert(insert: &Insert) -> Result<(), String> {
    let plain = matches!(insert.table, TableObject::TableName(_))
        && insert.optimizer_hints.is_empty()
        && !insert.overwrite
        && insert.partitioned.is_none()
        && insert.after_columns.is_empty()
        && insert.output.is_none()
        && insert.settings.is_none()
        && insert.format_clause.is_none()
        && insert.multi_table_insert_type.is_none()
        && insert.multi_table_into_clauses.is_empty();
    if plain {
        Ok(())
    } else {
        Err("it inserts in a way that is not accounted for; write INSERT INTO table (columns)".to_owned())
    }
}

pub fn query(query: &Query) -> Result<(), String> {
    if query.for_clause.is_some() || query.settings.is_some() || query.format_clause.is_some() {
        return Err("FOR XML, FOR JSON, SETTINGS and FORMAT are not offered".to_owned());
    }
    if !query.pipe_operators.is_empty() {
        return Err("pipe operators are not offered".to_owned());
    }
    if let SetExpr::Table(_) = query.body.as_ref() {
        return Err("write SELECT * FROM in place of TABLE".to_owned());
    }
    Ok(())
}

pub fn select(select: &Select) -> Result<(), String> {
    if select.into.is_some() {
        return Err("SELECT INTO makes a table or a file; it is not offered".to_owned());
    }
    let plain = select.optimizer_hints.is_empty()
        && select.exclude.is_none()
        && select.lateral_views.is_empty()
        && select.connect_by.is_empty()
        && select.cluster_by.is_empty()
        && select.distribute_by.is_empty()
        && select.sort_by.is_empty()
        && select.value_table_mode.is_none()
        && select.flavor == SelectFlavor::Standard;
    if !plain {
        return Err("the SELECT has a part that is not accounted for; write it in a simpler way".to_owned());
    }
    let arrays = |join: &sqlparser::ast::Join| {
        matches!(
            join.join_operator,
            JoinOperator::ArrayJoin | JoinOperator::LeftArrayJoin | JoinOperator::InnerArrayJoin
        )
    };
    if select.from.iter().flat_map(|from| &from.joins).any(arrays) {
        return Err("ARRAY JOIN is not offered; use the function arrayJoin".to_owned());
    }
    Ok(())
}

pub fn factor(factor: &TableFactor) -> Result<(), String> {
    let plain = match factor {
        TableFactor::Table { args, with_hints, version, partitions, json_path, sample, .. } => {
            args.as_ref().is_none_or(|args| args.settings.is_none())
                && with_hints.is_empty()
                && version.is_none()
                && partitions.is_empty()
                && json_path.is_none()
                && sample.is_none()
        }
        TableFactor::Derived { sample, .. } => sample.is_none(),
        TableFactor::Function { .. } | TableFactor::UNNEST { .. } | TableFactor::NestedJoin { .. } => true,
        _ => false,
    };
    if plain {
        Ok(())
    } else {
        Err("FROM has a part that is not accounted for; use tables, joins and subqueries".to_owned())
    }
}

pub fn expression(expr: &Expr) -> Result<(), String> {
    use sqlparser::ast::BinaryOperator::{Assignment, PGCustomBinaryOperator};
    let refused = match expr {
        Expr::BinaryOp { op: PGCustomBinaryOperator(_), .. } => "an operator that is named",
        Expr::BinaryOp { op: Assignment, .. } => "an assignment",
        Expr::Value(value) if matches!(value.value, Value::Placeholder(_)) => "a placeholder",
        Expr::Prior(_)
        | Expr::OuterJoin(_)
        | Expr::Prefixed { .. }
        | Expr::Lambda(_)
        | Expr::Dictionary(_)
        | Expr::Map(_) => "an expression that is not accounted for",
        _ => return Ok(()),
    };
    Err(format!("it has {refused}; write it in a simpler way"))
}
