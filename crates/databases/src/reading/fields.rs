//! Which columns a source is sure to have.
//!
//! PostgreSQL takes `x.f` for a call of the function `f` with the whole of `x` where `x` has no column `f`, whatever `x`
//! is: a table, a subquery, the value of a function. So that such a name is a column only where the text makes that
//! certain, or where the room can look for it among the columns of a table; everywhere else it is a call. What is said
//! here must never be more than the truth.
//! <https://www.postgresql.org/docs/current/rowtypes.html#ROWTYPES-USAGE>

use super::Dialect;
use super::functions;
use super::names::{Names, idents};
use super::scope::{Meaning, Scope, Source, Uses};
use super::targets;
use sqlparser::ast::{
    Expr, Ident, ObjectName, Query, SelectItem, SelectItemQualifiedWildcardKind, SetExpr, TableAlias, With,
};
use std::collections::{BTreeSet, HashMap};
use std::rc::Rc;

/// Of more tables than this nothing is said: each name would have to be looked for in all of them.
const MAX_TABLES: usize = 16;

/// The columns that a source is sure to have: those of these names, and all of these tables.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fields {
    pub names: BTreeSet<String>,
    pub tables: BTreeSet<String>,
}

impl Fields {
    pub fn of_table(table: &str) -> Rc<Self> {
        Rc::new(Self { names: BTreeSet::new(), tables: BTreeSet::from([table.to_owned()]) })
    }

    pub fn join(&mut self, other: &Self) {
        self.names.extend(other.names.iter().cloned());
        if self.tables.len() + other.tables.len() <= MAX_TABLES {
            self.tables.extend(other.tables.iter().cloned());
        }
    }
}

/// Works out what comes out of sources and queries, each query once.
pub struct Outputs<'a> {
    pub names: Names,
    scope: &'a Scope,
    /// By where the query lies in memory.
    known: &'a mut HashMap<usize, Rc<Fields>>,
    /// The common table expressions of the queries that are looked into, outermost first.
    local: Vec<(String, Rc<Fields>)>,
}

impl<'a> Outputs<'a> {
    pub fn new(names: Names, scope: &'a Scope, known: &'a mut HashMap<usize, Rc<Fields>>) -> Self {
        Self { names, scope, known, local: Vec::new() }
    }

    /// What a name of a table stands for here: the table, if it may be one, and its columns.
    pub fn of_name(&self, name: &ObjectName) -> Result<(Option<String>, Rc<Fields>), String> {
        let table = self.names.table(name)?;
        if let [only] = idents(name)?.as_slice() {
            let own = self.names.fold(only);
            if let Some((_, fields)) = self.local.iter().rev().find(|(local, _)| *local == own) {
                return Ok((None, Rc::clone(fields)));
            }
            match self.scope.meaning(&own) {
                Meaning::Common(fields) => return Ok((None, Rc::clone(fields))),
                Meaning::Either => return Ok((Some(table), Rc::default())),
                Meaning::Table => {}
            }
        }
        let fields = Fields::of_table(&table);
        Ok((Some(table), fields))
    }

    /// What comes out of a function in FROM.
    pub fn of_function(
        &self,
        name: &ObjectName,
        alias: Option<&TableAlias>,
        ordinality: bool,
    ) -> Result<Rc<Fields>, String> {
        let own = idents(name)?.last().map(|ident| self.names.fold(ident)).unwrap_or_default();
        let own = alias.map_or(own, |alias| self.names.fold(&alias.name));
        let mut names: BTreeSet<String> = functions::outputs(&self.names.function(name)?, own).into_iter().collect();
        names.extend(ordinality.then(|| "ordinality".to_owned()));
        Ok(Rc::new(Fields { names, tables: BTreeSet::new() }))
    }

    /// The columns that an alias lists. A list that is too short leaves others, of which nothing is said.
    pub fn listed(&self, alias: Option<&TableAlias>) -> Option<Rc<Fields>> {
        let columns = &alias?.columns;
        let names = columns.iter().map(|column| self.names.fold(&column.name)).collect();
        (!columns.is_empty()).then(|| Rc::new(Fields { names, tables: BTreeSet::new() }))
    }

    pub fn of_query(&mut self, query: &Query) -> Result<Rc<Fields>, String> {
        if self.names.0 != Dialect::Postgres {
            return Ok(Rc::default());
        }
        let here = std::ptr::from_ref(query) as usize;
        if let Some(known) = self.known.get(&here) {
            return Ok(Rc::clone(known));
        }
        let before = self.local.len();
        if let Some(with) = &query.with {
            self.define(with)?;
        }
        let fields = Rc::new(self.of_body(&query.body)?);
        self.local.truncate(before);
        self.known.insert(here, Rc::clone(&fields));
        Ok(fields)
    }

    /// The columns of the common table expressions of one WITH, in their order.
    pub fn define(&mut self, with: &With) -> Result<Vec<Rc<Fields>>, String> {
        let first = self.local.len();
        if with.recursive {
            // Each sees all the others: of those that come later nothing is said.
            let later = with.cte_tables.iter().map(|cte| (self.names.fold(&cte.alias.name), Rc::default()));
            self.local.extend(later.collect::<Vec<_>>());
        }
        let mut all = Vec::new();
        for (index, cte) in with.cte_tables.iter().enumerate() {
            let fields = match self.listed(Some(&cte.alias)) {
                Some(listed) => listed,
                None => self.of_query(&cte.query)?,
            };
            all.push(Rc::clone(&fields));
            let defined = (self.names.fold(&cte.alias.name), fields);
            match self.local.get_mut(first + index) {
                Some(later) => *later = defined,
                None => self.local.push(defined),
            }
        }
        Ok(all)
    }

    fn of_body(&mut self, mut body: &SetExpr) -> Result<Fields, String> {
        // The first of a union gives the names.
        while let SetExpr::SetOperation { left, .. } = body {
            body = left;
        }
        match body {
            SetExpr::Query(query) => self.of_query(query).map(|fields| (*fields).clone()),
            SetExpr::Select(select) => {
                let mut sources = Vec::new();
                select.from.iter().try_for_each(|from| targets::sources(self, from, &mut sources))?;
                self.of_items(&select.projection, &sources)
            }
            SetExpr::Values(values) => {
                let count = values.rows.first().map_or(0, |row| row.content.len());
                let names = (1..=count).map(|number| format!("column{number}")).collect();
                Ok(Fields { names, tables: BTreeSet::new() })
            }
            SetExpr::Insert(change) | SetExpr::Update(change) | SetExpr::Delete(change) => {
                match targets::note(self, change, &mut Uses::default())? {
                    Some(change) => self.of_items(change.returning, &change.sources),
                    None => Ok(Fields::default()),
                }
            }
            SetExpr::Merge(_) | SetExpr::Table(_) | SetExpr::SetOperation { .. } => Ok(Fields::default()),
        }
    }

    fn of_items(&self, items: &[SelectItem], sources: &[Source]) -> Result<Fields, String> {
        let mut fields = Fields::default();
        let mut join = |source: &Source| fields.join(&source.fields);
        let mut names = BTreeSet::new();
        for item in items {
            match item {
                SelectItem::ExprWithAlias { alias, .. } => {
                    names.insert(self.names.fold(alias));
                }
                SelectItem::UnnamedExpr(expr) => names.extend(label(expr).map(|ident| self.names.fold(ident))),
                SelectItem::Wildcard(_) => sources.iter().for_each(&mut join),
                SelectItem::QualifiedWildcard(SelectItemQualifiedWildcardKind::ObjectName(name), _) => {
                    let alias = match idents(name)?.as_slice() {
                        [alias] => Some(self.names.fold(alias)),
                        _ => None,
                    };
                    sources.iter().filter(|source| alias.is_some() && source.alias == alias).for_each(&mut join);
                }
                SelectItem::QualifiedWildcard(..) | SelectItem::ExprWithAliases { .. } => {}
            }
        }
        fields.names.extend(names);
        Ok(fields)
    }
}

/// The name that the server gives to a column of a result without an alias, where that is certain: a column's own, a
/// function's.
fn label(mut expr: &Expr) -> Option<&Ident> {
    while let Expr::Cast { expr: inner, .. } | Expr::Nested(inner) = expr {
        expr = inner;
    }
    match expr {
        Expr::Identifier(ident) => Some(ident),
        Expr::CompoundIdentifier(parts) => parts.last(),
        Expr::Function(function) => function.name.0.last()?.as_ident(),
        _ => None,
    }
}
