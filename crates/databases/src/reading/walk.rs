//! Walks a parsed statement and notes what it uses. The parser's own visitor goes through every part of the tree, so that
//! no part is forgotten here; this only keeps track of what is around each name.

use super::fields::{Fields, Outputs};
use super::functions::{self, Known};
use super::names::Names;
use super::scope::{Common, Frame, Meaning, Scope, Source, Uses};
use super::targets::{self, Change};
use super::{Dialect, Qualified, Reading, Statement, StatementKind, TableUse, shape};
use sqlparser::ast::{
    AccessExpr, DataType, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, Ident, JoinConstraint,
    JoinOperator, ObjectName, OrderBy, OrderByKind, Query, Select, SelectItem, SelectItemQualifiedWildcardKind,
    TableFactor, TableWithJoins, Visitor,
};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::ops::ControlFlow;
use std::rc::Rc;

pub struct Walk {
    names: Names,
    scope: Scope,
    uses: Uses,
    kind: StatementKind,
    functions: BTreeSet<String>,
    unlisted: BTreeSet<String>,
    qualified: BTreeSet<Qualified>,
    renamed: BTreeSet<String>,
    queries: Vec<Around>,
    /// Whether each statement around is a change.
    changes: Vec<bool>,
    /// Queries that do not see the sources right around them.
    apart: HashSet<usize>,
    /// What comes out of queries, by where they lie.
    fields: HashMap<usize, Rc<Fields>>,
    /// Conditions of joins: parts of a FROM.
    conditions: HashSet<usize>,
    /// Names of tables that are no use of their own: targets of changes, functions.
    passed: HashSet<usize>,
    /// Expressions that are plain columns of the result.
    shown: HashSet<usize>,
    /// Expressions that name a column of the result, which was accounted for there.
    named: HashSet<usize>,
}

/// What one query put around itself.
struct Around {
    frames: usize,
    /// The `SELECT` that is all of its body: its sources stay in sight for ORDER BY.
    body: Option<usize>,
    /// The names of the columns of the result; `None` when they are not known here.
    aliases: Option<BTreeSet<String>>,
    /// The definition that it is, by the place of its frame.
    defines: Option<usize>,
}

type Flow = ControlFlow<String>;

fn address<T>(part: &T) -> usize {
    std::ptr::from_ref(part) as usize
}

fn flow(result: Result<(), String>) -> Flow {
    match result {
        Ok(()) => ControlFlow::Continue(()),
        Err(why) => ControlFlow::Break(why),
    }
}

impl Walk {
    pub fn new(names: Names) -> Self {
        Self {
            names,
            scope: Scope::default(),
            uses: Uses::default(),
            kind: StatementKind::Read,
            functions: BTreeSet::new(),
            unlisted: BTreeSet::new(),
            qualified: BTreeSet::new(),
            renamed: BTreeSet::new(),
            queries: Vec::new(),
            changes: Vec::new(),
            apart: HashSet::new(),
            fields: HashMap::new(),
            conditions: HashSet::new(),
            passed: HashSet::new(),
            shown: HashSet::new(),
            named: HashSet::new(),
        }
    }

    pub fn finish(self, text: String, explains: bool) -> Result<Statement, String> {
        let mut tables: Vec<TableUse> = Vec::new();
        for (uses, write) in [(&self.uses.read, false), (&self.uses.written, true)] {
            tables.extend(uses.iter().map(|(table, columns)| TableUse {
                table: table.clone(),
                columns: columns.listed(),
                write,
            }));
        }
        tables.sort_by(|one, other| (&one.table, one.write).cmp(&(&other.table, other.write)));
        let reading = Reading { kind: self.kind, tables, functions: self.functions.into_iter().collect() };
        Ok(Statement {
            reading,
            text,
            unlisted: self.unlisted.into_iter().collect(),
            qualified: self.qualified.into_iter().collect(),
            inner: self.uses.inner,
            renamed: self.renamed,
            explains,
        })
    }

    fn enter_change(&mut self, change: Change<'_>) -> Result<(), String> {
        self.kind = StatementKind::Write;
        self.passed.extend(change.targets.iter().map(|name| address(*name)));
        self.apart.extend(change.source.map(address));
        self.scope.push(change.sources);
        self.items(change.returning, false)?;
        change.joins.iter().try_for_each(|join| self.joins(join))
    }

    /// Wildcards, and what is a plain column of the result.
    fn items(&mut self, items: &[SelectItem], shown: bool) -> Result<(), String> {
        for item in items {
            match item {
                SelectItem::Wildcard(_) => self.whole_of(&self.scope.nearest(), shown),
                SelectItem::QualifiedWildcard(SelectItemQualifiedWildcardKind::ObjectName(name), _) => {
                    self.whole_named(name, shown)?;
                }
                SelectItem::UnnamedExpr(expr) if shown && column(expr).is_some() => {
                    self.shown.insert(address(expr));
                }
                SelectItem::ExprWithAlias { expr, alias } if shown => {
                    if let Some(column) = column(expr) {
                        self.shown.insert(address(expr));
                        let column = self.names.fold(column);
                        if self.names.fold(alias) != column {
                            self.renamed.insert(column);
                        }
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn whole_of(&mut self, sources: &[Source], shown: bool) {
        sources.iter().filter_map(|source| source.table.as_deref()).for_each(|table| self.uses.whole(table, shown));
    }

    /// `name.*`, where the name is an alias, or a table with its schema.
    fn whole_named(&mut self, name: &ObjectName, shown: bool) -> Result<(), String> {
        let idents = super::names::idents(name)?;
        let found = match idents.as_slice() {
            [alias] => self.scope.qualified(&self.names.fold(alias), self.cases_may_differ()),
            _ => self.with_schema(&self.names.table(name)?),
        };
        if found.is_empty() {
            self.everything()
        } else {
            self.whole_of(&found, shown)
        }
        Ok(())
    }

    fn cases_may_differ(&self) -> bool {
        self.names.0 == Dialect::Mysql
    }

    fn with_schema(&self, table: &str) -> Vec<Source> {
        let of = |source: &&Source| source.table.as_deref() == Some(table);
        self.scope.visible().into_iter().flat_map(|sources| &sources.list).filter(of).cloned().collect()
    }

    /// A name that cannot be given to one table: all columns of all that can be seen.
    fn everything(&mut self) {
        for table in self.scope.tables() {
            self.uses.whole(&table, false);
        }
    }

    fn unqualified(&mut self, ident: &Ident, shown: bool) {
        let name = self.names.fold(ident);
        // PostgreSQL: the name of a source, as an expression, is its whole row.
        let rows = self.scope.qualified(&name, self.cases_may_differ());
        self.whole_of(&rows, false);
        if ident.quote_style.is_none() && ident.value.eq_ignore_ascii_case("default") {
            return;
        }
        let tables: BTreeSet<String> = self.scope.tables().into_iter().collect();
        match tables.first() {
            Some(table) if tables.len() == 1 => self.uses.column(table, &name, shown),
            Some(_) => self.everything(),
            None => {}
        }
    }

    fn compound(&mut self, parts: &[Ident], shown: bool) -> Result<(), String> {
        let (found, column) = match parts {
            [qualifier, column] => (self.scope.qualified(&self.names.fold(qualifier), self.cases_may_differ()), column),
            [schema, table, column] => {
                let name = ObjectName::from(vec![schema.clone(), table.clone()]);
                (self.with_schema(&self.names.table(&name)?), column)
            }
            _ => return Err("a column's name has more than three parts".to_owned()),
        };
        let name = self.names.fold(column);
        match found.as_slice() {
            [] => self.everything(),
            [Source { table: Some(table), .. }] => self.uses.column(table, &name, shown),
            [_] => {}
            several => self.whole_of(several, false),
        }
        self.field(&found, parts, name)
    }

    /// PostgreSQL: a name behind a source is a column of it, or else a call.
    fn field(&mut self, found: &[Source], parts: &[Ident], name: String) -> Result<(), String> {
        if self.names.0 != Dialect::Postgres {
            return Ok(());
        }
        if found.is_empty() {
            return Err(format!("there is no source in sight for `{}`", ObjectName::from(parts.to_vec())));
        }
        for source in found {
            if source.fields.names.contains(&name) {
                continue;
            }
            if source.fields.tables.is_empty() {
                self.whole_of(std::slice::from_ref(source), false);
                self.function(name.clone())?;
            } else {
                let tables = source.fields.tables.iter().cloned().collect();
                self.qualified.insert(Qualified { tables, column: name.clone() });
            }
        }
        Ok(())
    }

    /// What follows a value: PostgreSQL takes `(value).f` for a call of `f`. In front of `[…]` there may be a column's name.
    fn access(&mut self, root: &Expr, chain: &[AccessExpr]) -> Result<(), String> {
        if self.names.0 != Dialect::Postgres {
            return Ok(());
        }
        let mut parts: Vec<(&Ident, usize)> = Vec::new();
        if let Expr::Identifier(first) = root {
            parts.push((first, address(root)));
            parts.extend(chain.iter().map_while(|access| match access {
                AccessExpr::Dot(expr @ Expr::Identifier(next)) => Some((next, address(expr))),
                _ => None,
            }));
        }
        let behind = &chain[parts.len().saturating_sub(1)..];
        if behind.iter().any(|access| matches!(access, AccessExpr::Dot(_))) {
            return Err("it has a field of a value, which may be a call of a function; write table.column".to_owned());
        }
        if parts.len() > 1 {
            self.named.extend(parts.iter().map(|(_, at)| *at));
            let names: Vec<Ident> = parts.iter().map(|(ident, _)| (*ident).clone()).collect();
            self.compound(&names, false)?;
        }
        Ok(())
    }

    fn joins(&mut self, from: &TableWithJoins) -> Result<(), String> {
        for join in &from.joins {
            if let Some(JoinConstraint::On(condition)) = constraint(&join.join_operator) {
                self.conditions.insert(address(condition));
            }
            match constraint(&join.join_operator) {
                Some(JoinConstraint::Natural) => self.everything(),
                Some(JoinConstraint::Using(columns)) => {
                    for column in columns {
                        let idents = super::names::idents(column)?;
                        let name = idents.last().map(|ident| self.names.fold(ident)).unwrap_or_default();
                        let sources = self.scope.nearest();
                        let tables = sources.iter().filter_map(|source| source.table.as_deref());
                        tables.for_each(|table| self.uses.column(table, &name, false));
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn call(&mut self, name: &ObjectName, args: &[FunctionArg]) -> Result<(), String> {
        let name = self.names.function(name)?;
        for arg in args {
            let (FunctionArg::Unnamed(arg) | FunctionArg::Named { arg, .. } | FunctionArg::ExprNamed { arg, .. }) = arg;
            match arg {
                FunctionArgExpr::Expr(Expr::QualifiedWildcard(of, _)) | FunctionArgExpr::QualifiedWildcard(of) => {
                    self.whole_named(of, false)?;
                }
                FunctionArgExpr::Expr(Expr::Wildcard(_)) | FunctionArgExpr::Wildcard if name == "count" => {}
                FunctionArgExpr::Expr(Expr::Wildcard(_))
                | FunctionArgExpr::Wildcard
                | FunctionArgExpr::WildcardWithOptions(_) => self.everything(),
                FunctionArgExpr::Expr(_) => {}
            }
        }
        self.function(name)
    }

    fn function(&mut self, name: String) -> Result<(), String> {
        match functions::known(self.names.0, &name) {
            Known::Plain => {}
            Known::Changes => self.kind = StatementKind::Write,
            Known::Refused(why) => return Err(format!("it calls `{name}`, which {why}")),
            Known::Unlisted => {
                self.unlisted.insert(name.clone());
            }
        }
        self.functions.insert(name);
        Ok(())
    }

    fn data_type(&mut self, data_type: &DataType) -> Result<(), String> {
        use sqlparser::ast::ArrayElemTypeDef::{AngleBracket, Parenthesis, SquareBracket};
        match data_type {
            DataType::Custom(name, _) => {
                let name = self.names.function(name)?;
                if functions::is_plain_type(self.names.0, &name) { Ok(()) } else { self.function(name) }
            }
            DataType::Array(AngleBracket(of) | SquareBracket(of, _) | Parenthesis(of)) => self.data_type(of),
            _ => Ok(()),
        }
    }

    fn expression(&mut self, expr: &Expr) -> Result<(), String> {
        shape::expression(expr)?;
        let shown = self.shown.contains(&address(expr));
        match expr {
            Expr::Identifier(_) if self.named.contains(&address(expr)) => {}
            Expr::Identifier(ident) => self.unqualified(ident, shown),
            Expr::CompoundIdentifier(parts) => self.compound(parts, shown)?,
            Expr::CompoundFieldAccess { root, access_chain } => self.access(root, access_chain)?,
            Expr::Function(function) => self.call_of(function)?,
            Expr::Cast { data_type, .. } | Expr::Convert { data_type: Some(data_type), .. } => {
                self.data_type(data_type)?
            }
            Expr::TypedString(typed) => self.data_type(&typed.data_type)?,
            Expr::MatchAgainst { columns, .. } => {
                for column in columns {
                    let parts: Vec<Ident> = super::names::idents(column)?.into_iter().cloned().collect();
                    match parts.as_slice() {
                        [column] => self.unqualified(column, false),
                        parts => self.compound(parts, false)?,
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn call_of(&mut self, function: &Function) -> Result<(), String> {
        let args = match &function.args {
            FunctionArguments::List(list) => list.args.as_slice(),
            FunctionArguments::None | FunctionArguments::Subquery(_) => &[],
        };
        self.call(&function.name, args)
    }

    fn enter_query(&mut self, query: &Query) -> Result<(), String> {
        shape::query(query)?;
        if !query.locks.is_empty() {
            return Err("FOR UPDATE and FOR SHARE take locks; they are not offered".to_owned());
        }
        let here = address(query);
        let mut defines = None;
        for (place, frame) in self.scope.frames.iter_mut().enumerate() {
            if let Frame::Common(common) = frame
                && let Some(index) = common.bodies.iter().position(|body| *body == here)
            {
                common.within = Some(index);
                defines = Some(place);
            }
        }
        let before = self.scope.frames.len();
        if self.apart.contains(&here) {
            self.scope.frames.push(Frame::Barrier);
        }
        if let Some(with) = &query.with {
            let names = with.cte_tables.iter().map(|cte| self.names.fold(&cte.alias.name)).collect();
            let bodies = with.cte_tables.iter().map(|cte| address(cte.query.as_ref())).collect();
            let fields = Outputs::new(self.names, &self.scope, &mut self.fields).define(with)?;
            let common = Common { names, fields, bodies, recursive: with.recursive, within: None };
            self.scope.frames.push(Frame::Common(common));
        }
        let body = query.body.as_select();
        let aliases = body.map(|select| self.aliases(select));
        self.queries.push(Around { frames: before, body: body.map(address), aliases, defines });
        Ok(())
    }

    fn aliases(&self, select: &Select) -> BTreeSet<String> {
        let alias = |item: &SelectItem| match item {
            SelectItem::ExprWithAlias { alias, .. } => Some(self.names.fold(alias)),
            _ => None,
        };
        select.projection.iter().filter_map(alias).collect()
    }

    fn enter_select(&mut self, select: &Select) -> Result<(), String> {
        shape::select(select)?;
        let mut sources = Vec::new();
        let mut outputs = Outputs::new(self.names, &self.scope, &mut self.fields);
        select.from.iter().try_for_each(|from| targets::sources(&mut outputs, from, &mut sources))?;
        self.scope.push(sources);
        let outermost = self.queries.len() == 1 && self.queries[0].body == Some(address(select));
        let shown = outermost && select.distinct.is_none() && !self.changes.contains(&true);
        self.items(&select.projection, shown)?;
        select.from.iter().try_for_each(|from| self.joins(from))
    }

    fn enter_factor(&mut self, factor: &TableFactor) -> Result<(), String> {
        shape::factor(factor)?;
        self.scope.enter_from();
        match factor {
            TableFactor::Table { name, args: Some(args), .. } => {
                self.passed.insert(address(name));
                self.call(name, &args.args)
            }
            TableFactor::Table { name, alias: Some(alias), .. } if !alias.columns.is_empty() => {
                // The columns have other names from here on.
                self.uses.whole(&self.names.table(name)?, false);
                Ok(())
            }
            TableFactor::NestedJoin { table_with_joins, alias } => {
                if alias.as_ref().is_some_and(|alias| !alias.columns.is_empty()) {
                    self.everything();
                }
                self.joins(table_with_joins)
            }
            TableFactor::Function { name, args, .. } => self.call(name, args),
            TableFactor::Derived { lateral: false, .. } => {
                self.scope.frames.push(Frame::Barrier);
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

/// The column that an expression is, and nothing more.
fn column(expr: &Expr) -> Option<&Ident> {
    match expr {
        Expr::Identifier(ident) => Some(ident),
        Expr::CompoundIdentifier(parts) => parts.last(),
        _ => None,
    }
}

fn constraint(operator: &JoinOperator) -> Option<&JoinConstraint> {
    use JoinOperator as J;
    match operator {
        J::Join(on) | J::Inner(on) | J::Left(on) | J::LeftOuter(on) | J::Right(on) | J::RightOuter(on) => Some(on),
        J::FullOuter(on) | J::CrossJoin(on) | J::Semi(on) | J::LeftSemi(on) | J::RightSemi(on) | J::Anti(on) => {
            Some(on)
        }
        J::LeftAnti(on) | J::RightAnti(on) | J::StraightJoin(on) | J::AsOf { constraint: on, .. } => Some(on),
        J::CrossApply | J::OuterApply | J::ArrayJoin | J::LeftArrayJoin | J::InnerArrayJoin => None,
    }
}

impl Visitor for Walk {
    type Break = String;

    fn pre_visit_statement(&mut self, statement: &sqlparser::ast::Statement) -> Flow {
        let mut outputs = Outputs::new(self.names, &self.scope, &mut self.fields);
        let entered = shape::change(statement)
            .and_then(|()| targets::note(&mut outputs, statement, &mut self.uses))
            .and_then(|change| {
                self.changes.push(change.is_some());
                change.map_or(Ok(()), |change| self.enter_change(change))
            });
        flow(entered)
    }

    fn post_visit_statement(&mut self, _: &sqlparser::ast::Statement) -> Flow {
        if self.changes.pop() == Some(true) {
            self.scope.frames.pop();
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_query(&mut self, query: &Query) -> Flow {
        flow(self.enter_query(query))
    }

    fn post_visit_query(&mut self, _: &Query) -> Flow {
        if let Some(around) = self.queries.pop() {
            self.scope.frames.truncate(around.frames);
            if let Some(Frame::Common(common)) = around.defines.and_then(|place| self.scope.frames.get_mut(place)) {
                common.within = None;
            }
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &Select) -> Flow {
        flow(self.enter_select(select))
    }

    fn post_visit_select(&mut self, select: &Select) -> Flow {
        if self.queries.last().and_then(|around| around.body) != Some(address(select)) {
            self.scope.frames.pop();
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_order_by(&mut self, order_by: &OrderBy) -> Flow {
        if let (OrderByKind::Expressions(list), Some(around)) = (&order_by.kind, self.queries.last()) {
            for by in list {
                let Expr::Identifier(ident) = &by.expr else { continue };
                let name = self.names.fold(ident);
                if around.aliases.as_ref().is_none_or(|aliases| aliases.contains(&name)) {
                    self.named.insert(address(&by.expr));
                }
            }
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> Flow {
        flow(self.enter_factor(factor))
    }

    fn post_visit_table_factor(&mut self, factor: &TableFactor) -> Flow {
        if let TableFactor::Derived { lateral: false, .. } = factor {
            self.scope.frames.pop();
        }
        self.scope.leave_from();
        ControlFlow::Continue(())
    }

    fn pre_visit_relation(&mut self, name: &ObjectName) -> Flow {
        if self.passed.contains(&address(name)) {
            return ControlFlow::Continue(());
        }
        if let [part] = name.0.as_slice()
            && let Some(ident) = part.as_ident()
            && matches!(self.scope.meaning(&self.names.fold(ident)), Meaning::Common(_))
        {
            return ControlFlow::Continue(());
        }
        flow(self.names.table(name).map(|table| self.uses.table(&table)))
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> Flow {
        if self.conditions.contains(&address(expr)) {
            self.scope.enter_from();
        }
        flow(self.expression(expr))
    }

    fn post_visit_expr(&mut self, expr: &Expr) -> Flow {
        if self.conditions.contains(&address(expr)) {
            self.scope.leave_from();
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_ident(&mut self, ident: &Ident) -> Flow {
        flow(self.names.check(ident))
    }
}

/// Which of `masked`, by table, the statement uses in a way that a mask would not hide: by `table.column`.
pub fn unmaskable(statement: &Statement, masked: &BTreeMap<String, BTreeSet<String>>) -> Option<String> {
    for (table, columns) in masked {
        for column in columns {
            let inside = statement.inner.get(table).is_some_and(|used| used.may_contain(column));
            let read = statement.reading.tables.iter().filter(|used| &used.table == table && !used.write);
            let renamed = statement.renamed.contains(column) && read.count() > 0;
            if inside || renamed {
                return Some(format!("{table}.{column}"));
            }
        }
    }
    None
}
