//! What a change writes: the table, and the columns where they are named.

use super::Dialect;
use super::fields::{Fields, Outputs};
use super::names::{Names, idents};
use super::scope::{Source, Uses};
use sqlparser::ast::{
    Assignment, AssignmentTarget, ConflictTarget, FromTable, Insert, ObjectName, OnConflictAction, OnInsert, Query,
    SelectItem, Statement, TableAlias, TableFactor, TableObject, TableWithJoins, Update, UpdateTableFromKind,
};
use std::rc::Rc;

/// What is around a change's expressions, and what must not be taken for a table that is read.
#[derive(Debug, Default)]
pub struct Change<'a> {
    pub sources: Vec<Source>,
    /// The names of the tables that it writes.
    pub targets: Vec<&'a ObjectName>,
    /// The query that it inserts the result of: it does not see the target.
    pub source: Option<&'a Query>,
    pub returning: &'a [SelectItem],
    pub joins: Vec<&'a TableWithJoins>,
}

/// Notes what `statement` writes; `None` when it is no change.
pub fn note<'a>(
    outputs: &mut Outputs<'_>,
    statement: &'a Statement,
    uses: &mut Uses,
) -> Result<Option<Change<'a>>, String> {
    let mut change = Change::default();
    match statement {
        Statement::Insert(insert) => note_insert(outputs.names, insert, uses, &mut change)?,
        Statement::Update(update) => note_update(outputs, update, uses, &mut change)?,
        Statement::Delete(delete) => {
            let (FromTable::WithFromKeyword(from) | FromTable::WithoutKeyword(from)) = &delete.from;
            for table in from {
                written(outputs, table, uses, &mut change)?;
            }
            for table in delete.using.iter().flatten() {
                sources(outputs, table, &mut change.sources)?;
                change.joins.push(table);
            }
            change.returning = delete.returning.as_deref().unwrap_or_default();
        }
        Statement::Merge(merge) => {
            if let Some((name, table)) = target(outputs, &merge.table, &mut change.sources)? {
                uses.write_whole(&table);
                change.targets.push(name);
            }
            source(outputs, &merge.source, &mut change.sources)?;
        }
        _ => return Ok(None),
    }
    if change.targets.is_empty() {
        return Err("what it changes is not a table".to_owned());
    }
    Ok(Some(change))
}

fn note_insert<'a>(names: Names, insert: &'a Insert, uses: &mut Uses, change: &mut Change<'a>) -> Result<(), String> {
    let TableObject::TableName(name) = &insert.table else {
        return Err("what it inserts into is not a table".to_owned());
    };
    let table = names.table(name)?;
    let columns = insert.columns.iter().map(|column| column_of(names, column)).collect::<Result<Vec<_>, _>>()?;
    if insert.columns.is_empty() && insert.assignments.is_empty() || insert.replace_into || insert.or.is_some() {
        uses.write_whole(&table);
    }
    columns.iter().for_each(|column| uses.write(&table, column));
    let updates = match &insert.on {
        None => &[][..],
        Some(OnInsert::DuplicateKeyUpdate(assignments)) => assignments,
        Some(OnInsert::OnConflict(conflict)) => {
            // Whether a row is in the way says what is in these columns.
            if let Some(ConflictTarget::Columns(columns)) = &conflict.conflict_target {
                columns.iter().for_each(|column| uses.column(&table, &names.fold(column), false));
            }
            match &conflict.action {
                OnConflictAction::DoNothing => &[],
                OnConflictAction::DoUpdate(update) => &update.assignments[..],
            }
        }
        Some(_) => return Err("it inserts in a way that is not accounted for".to_owned()),
    };
    for assignment in insert.assignments.iter().chain(updates) {
        for target in targets(assignment) {
            uses.write(&table, &column_of(names, target)?);
        }
    }
    let alias = insert.table_alias.as_ref().map(|alias| names.fold(&alias.alias));
    let fields = Fields::of_table(&table);
    if matches!(insert.on, Some(OnInsert::OnConflict(_))) {
        // The row that was to be inserted: reading it reads nothing of the table.
        change.sources.push(Source { alias: Some("excluded".to_owned()), table: None, fields: fields.clone() });
    }
    change.sources.push(Source { alias: alias.or(Some(last(names, name)?)), table: Some(table), fields });
    change.targets.push(name);
    change.source = insert.source.as_deref();
    change.returning = insert.returning.as_deref().unwrap_or_default();
    Ok(())
}

fn note_update<'a>(
    outputs: &mut Outputs<'_>,
    update: &'a Update,
    uses: &mut Uses,
    change: &mut Change<'a>,
) -> Result<(), String> {
    match &update.table.relation {
        relation @ TableFactor::Table { .. } if update.table.joins.is_empty() => {
            if let Some((name, table)) = target(outputs, relation, &mut change.sources)? {
                for assigned in update.assignments.iter().flat_map(targets) {
                    uses.write(&table, &column_of(outputs.names, assigned)?);
                }
                change.targets.push(name);
            }
        }
        _ => written(outputs, &update.table, uses, change)?,
    }
    if let Some(UpdateTableFromKind::BeforeSet(from) | UpdateTableFromKind::AfterSet(from)) = &update.from {
        for table in from {
            sources(outputs, table, &mut change.sources)?;
            change.joins.push(table);
        }
    }
    change.returning = update.returning.as_deref().unwrap_or_default();
    Ok(())
}

/// All tables of a join are written: which of them cannot be told without their columns.
fn written<'a>(
    outputs: &mut Outputs<'_>,
    table: &'a TableWithJoins,
    uses: &mut Uses,
    change: &mut Change<'a>,
) -> Result<(), String> {
    for factor in std::iter::once(&table.relation).chain(table.joins.iter().map(|join| &join.relation)) {
        if let Some((name, table)) = target(outputs, factor, &mut change.sources)? {
            uses.write_whole(&table);
            change.targets.push(name);
        }
    }
    change.joins.push(table);
    Ok(())
}

fn targets(assignment: &Assignment) -> &[ObjectName] {
    match &assignment.target {
        AssignmentTarget::ColumnName(name) => std::slice::from_ref(name),
        AssignmentTarget::Tuple(names) => names,
    }
}

/// The name without what qualifies it.
fn last(names: Names, name: &ObjectName) -> Result<String, String> {
    let last = idents(name)?.last().map(|ident| names.fold(ident));
    last.ok_or_else(|| "it names nothing".to_owned())
}

/// The column that a target names. PostgreSQL has no qualified ones there: what follows a dot is a field of the column.
fn column_of(names: Names, target: &ObjectName) -> Result<String, String> {
    match (names.0, idents(target)?.first()) {
        (Dialect::Postgres, Some(first)) => Ok(names.fold(first)),
        _ => last(names, target),
    }
}

/// Where a change writes: the name and the table, which a common table expression of that name does not hide.
fn target<'a>(
    outputs: &mut Outputs<'_>,
    factor: &'a TableFactor,
    all: &mut Vec<Source>,
) -> Result<Option<(&'a ObjectName, String)>, String> {
    let TableFactor::Table { name, alias, args: None, .. } = factor else {
        return source(outputs, factor, all).map(|()| None);
    };
    let table = outputs.names.table(name)?;
    let fields = outputs.listed(alias.as_ref()).unwrap_or_else(|| Fields::of_table(&table));
    let own = last(outputs.names, name)?;
    let alias = alias.as_ref().map_or(own, |alias| outputs.names.fold(&alias.name));
    all.push(Source { alias: Some(alias), table: Some(table.clone()), fields });
    Ok(Some((name, table)))
}

/// The sources of a FROM and of its joins.
pub fn sources(outputs: &mut Outputs<'_>, from: &TableWithJoins, all: &mut Vec<Source>) -> Result<(), String> {
    source(outputs, &from.relation, all)?;
    from.joins.iter().try_for_each(|join| source(outputs, &join.relation, all))
}

fn source(outputs: &mut Outputs<'_>, factor: &TableFactor, all: &mut Vec<Source>) -> Result<(), String> {
    let names = outputs.names;
    let (alias, own, (table, fields)) = match factor {
        TableFactor::Table { name, alias, args: None, .. } => (alias, Some(last(names, name)?), outputs.of_name(name)?),
        TableFactor::Table { name, alias, with_ordinality, .. }
        | TableFactor::Function { name, alias, with_ordinality, .. } => {
            let fields = outputs.of_function(name, alias.as_ref(), *with_ordinality)?;
            (alias, Some(last(names, name)?), (None, fields))
        }
        TableFactor::Derived { subquery, alias, .. } => (alias, None, (None, outputs.of_query(subquery)?)),
        TableFactor::UNNEST { alias, .. } => (alias, Some("unnest".to_owned()), (None, Rc::default())),
        TableFactor::NestedJoin { table_with_joins, alias } => {
            return nested(outputs, table_with_joins, alias.as_ref(), all);
        }
        _ => return Err("FROM has a part that is not accounted for".to_owned()),
    };
    let fields = outputs.listed(alias.as_ref()).unwrap_or(fields);
    let alias = alias.as_ref().map(|alias| names.fold(&alias.name)).or(own);
    all.push(Source { alias, table, fields });
    Ok(())
}

fn nested(
    outputs: &mut Outputs<'_>,
    joined: &TableWithJoins,
    alias: Option<&TableAlias>,
    all: &mut Vec<Source>,
) -> Result<(), String> {
    let Some(named) = alias else { return sources(outputs, joined, all) };
    let mut inside = Vec::new();
    sources(outputs, joined, &mut inside)?;
    let mut fields = Fields::default();
    inside.iter().for_each(|source| fields.join(&source.fields));
    let fields = outputs.listed(alias).unwrap_or_else(|| Rc::new(fields));
    // What is qualified with the name of the whole join is a column of any table in it.
    let name = outputs.names.fold(&named.name);
    for source in inside {
        all.push(Source { alias: Some(name.clone()), table: source.table.clone(), fields: Rc::clone(&fields) });
        all.push(Source { fields: Rc::clone(&fields), ..source });
    }
    Ok(())
}
