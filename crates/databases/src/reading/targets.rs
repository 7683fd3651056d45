//! What a change writes: the table, and the columns where they are named.

use super::Dialect;
use super::names::{Names, idents};
use super::scope::{Source, Uses};
use sqlparser::ast::{
    Assignment, AssignmentTarget, ConflictTarget, FromTable, Insert, ObjectName, OnConflictAction, OnInsert, Query,
    SelectItem, Statement, TableFactor, TableObject, TableWithJoins, Update, UpdateTableFromKind,
};

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
pub fn note<'a>(names: Names, statement: &'a Statement, uses: &mut Uses) -> Result<Option<Change<'a>>, String> {
    let mut change = Change::default();
    match statement {
        Statement::Insert(insert) => note_insert(names, insert, uses, &mut change)?,
        Statement::Update(update) => note_update(names, update, uses, &mut change)?,
        Statement::Delete(delete) => {
            let (FromTable::WithFromKeyword(from) | FromTable::WithoutKeyword(from)) = &delete.from;
            for table in from {
                written(names, table, uses, &mut change)?;
            }
            for table in delete.using.iter().flatten() {
                sources(names, table, &mut change.sources)?;
                change.joins.push(table);
            }
            change.returning = delete.returning.as_deref().unwrap_or_default();
        }
        Statement::Merge(merge) => {
            source(names, &merge.table, &mut change.sources)?;
            source(names, &merge.source, &mut change.sources)?;
            if let TableFactor::Table { name, .. } = &merge.table {
                uses.write_whole(&names.table(name)?);
                change.targets.push(name);
            }
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
    change.sources.push(Source { alias: alias.or(Some(last(names, name)?)), table: Some(table), single: None });
    change.targets.push(name);
    change.source = insert.source.as_deref();
    change.returning = insert.returning.as_deref().unwrap_or_default();
    Ok(())
}

fn note_update<'a>(names: Names, update: &'a Update, uses: &mut Uses, change: &mut Change<'a>) -> Result<(), String> {
    match (&update.table.relation, update.table.joins.is_empty()) {
        (TableFactor::Table { name, .. }, true) => {
            let table = names.table(name)?;
            for target in update.assignments.iter().flat_map(targets) {
                uses.write(&table, &column_of(names, target)?);
            }
            source(names, &update.table.relation, &mut change.sources)?;
            change.targets.push(name);
        }
        _ => written(names, &update.table, uses, change)?,
    }
    if let Some(UpdateTableFromKind::BeforeSet(from) | UpdateTableFromKind::AfterSet(from)) = &update.from {
        for table in from {
            sources(names, table, &mut change.sources)?;
            change.joins.push(table);
        }
    }
    change.returning = update.returning.as_deref().unwrap_or_default();
    Ok(())
}

/// All tables of a join are written: which of them cannot be told without their columns.
fn written<'a>(
    names: Names,
    table: &'a TableWithJoins,
    uses: &mut Uses,
    change: &mut Change<'a>,
) -> Result<(), String> {
    for factor in std::iter::once(&table.relation).chain(table.joins.iter().map(|join| &join.relation)) {
        source(names, factor, &mut change.sources)?;
        if let TableFactor::Table { name, .. } = factor {
            uses.write_whole(&names.table(name)?);
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

/// The sources of a FROM and of its joins.
pub fn sources(names: Names, from: &TableWithJoins, all: &mut Vec<Source>) -> Result<(), String> {
    source(names, &from.relation, all)?;
    from.joins.iter().try_for_each(|join| source(names, &join.relation, all))
}

fn source(names: Names, factor: &TableFactor, all: &mut Vec<Source>) -> Result<(), String> {
    let alias = match factor {
        TableFactor::Table { name, alias, args: None, .. } => {
            let own = last(names, name)?;
            let single = (name.0.len() == 1).then(|| own.clone());
            let alias = alias.as_ref().map_or(own, |alias| names.fold(&alias.name));
            all.push(Source { alias: Some(alias), table: Some(names.table(name)?), single });
            return Ok(());
        }
        TableFactor::NestedJoin { table_with_joins, alias } => {
            let Some(alias) = alias else { return sources(names, table_with_joins, all) };
            // What is qualified with the name of the whole join is a column of any table in it.
            let mut inside = Vec::new();
            sources(names, table_with_joins, &mut inside)?;
            let name = names.fold(&alias.name);
            all.extend(inside.iter().map(|one| Source { alias: Some(name.clone()), ..one.clone() }));
            all.extend(inside);
            return Ok(());
        }
        TableFactor::Table { alias, name, .. } | TableFactor::Function { alias, name, .. } => {
            let own = last(names, name)?;
            Some(alias.as_ref().map_or(own, |alias| names.fold(&alias.name)))
        }
        TableFactor::Derived { alias, .. } | TableFactor::UNNEST { alias, .. } => {
            alias.as_ref().map(|alias| names.fold(&alias.name))
        }
        _ => return Err("FROM has a part that is not accounted for".to_owned()),
    };
    all.push(Source { alias, table: None, single: None });
    Ok(())
}
