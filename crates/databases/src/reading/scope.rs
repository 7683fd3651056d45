//! Where a name in a statement may come from: the tables and subqueries around it, and the common table expressions.

use super::Columns;
use std::collections::BTreeMap;

/// A table or a subquery among the sources of one `SELECT`, or of one change.
#[derive(Debug, Clone)]
pub struct Source {
    /// What columns are qualified with.
    pub alias: Option<String>,
    /// `None` for a subquery, a function, a common table expression: its columns are accounted for inside of it.
    pub table: Option<String>,
    /// The name of the table where it stands alone: it may be a common table expression's.
    pub single: Option<String>,
}

/// What is around the part of a statement that is being walked, outermost first.
#[derive(Debug)]
pub enum Frame {
    Common(Common),
    Sources(Vec<Source>),
    /// What is inside does not see the sources right around it, only those further out.
    Barrier,
}

/// The common table expressions of one query.
#[derive(Debug)]
pub struct Common {
    pub names: Vec<String>,
    /// Where their queries lie in memory, to know them again.
    pub bodies: Vec<usize>,
    pub recursive: bool,
    /// The one that is being walked; `None` once all are defined.
    pub within: Option<usize>,
}

/// What a name of a table stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Meaning {
    Table,
    Common,
    /// Servers differ: it is taken for both.
    Either,
}

#[derive(Debug, Default)]
pub struct Scope {
    pub frames: Vec<Frame>,
}

impl Scope {
    pub fn meaning(&self, name: &str) -> Meaning {
        for frame in self.frames.iter().rev() {
            let Frame::Common(common) = frame else { continue };
            let Some(index) = common.names.iter().position(|known| known == name) else { continue };
            match common.within {
                None => return Meaning::Common,
                Some(within) if index < within || (common.recursive && index == within) => return Meaning::Common,
                Some(_) if common.recursive => return Meaning::Either,
                Some(_) => {}
            }
        }
        Meaning::Table
    }

    /// The sources that can be seen from here, innermost first, by their `SELECT`.
    pub fn visible(&self) -> Vec<&[Source]> {
        let mut visible = Vec::new();
        let mut hidden = 0;
        for frame in self.frames.iter().rev() {
            match frame {
                Frame::Barrier => hidden += 1,
                Frame::Sources(_) if hidden > 0 => hidden -= 1,
                Frame::Sources(sources) => visible.push(sources.as_slice()),
                Frame::Common(_) => {}
            }
        }
        visible
    }

    /// The sources of the `SELECT` or change right around.
    pub fn nearest(&self) -> Vec<Source> {
        let frame = self.frames.iter().rev().find_map(|frame| match frame {
            Frame::Sources(sources) => Some(sources.clone()),
            _ => None,
        });
        frame.unwrap_or_default()
    }

    /// Every table that can be seen from here.
    pub fn tables(&self) -> Vec<String> {
        let sources = self.visible().into_iter().flatten();
        sources.filter_map(|source| source.table.clone()).collect()
    }

    /// The sources that `qualifier` may mean.
    pub fn qualified(&self, qualifier: &str, cases_may_differ: bool) -> Vec<Source> {
        let means = |source: &&Source| match &source.alias {
            Some(alias) if cases_may_differ => alias.eq_ignore_ascii_case(qualifier) || alias == qualifier,
            Some(alias) => alias == qualifier,
            None => false,
        };
        if cases_may_differ {
            return self.visible().into_iter().flatten().filter(means).cloned().collect();
        }
        let of = |sources: &[Source]| sources.iter().filter(means).cloned().collect::<Vec<_>>();
        self.visible().into_iter().map(of).find(|found| !found.is_empty()).unwrap_or_default()
    }
}

/// What was found to be used, by table.
#[derive(Debug, Default)]
pub struct Uses {
    pub read: BTreeMap<String, Columns>,
    pub written: BTreeMap<String, Columns>,
    /// Of what is read, what is more than a plain column of the result.
    pub inner: BTreeMap<String, Columns>,
}

impl Uses {
    pub fn table(&mut self, table: &str) {
        self.read.entry(table.to_owned()).or_insert_with(Columns::none);
    }

    pub fn column(&mut self, table: &str, column: &str, shown: bool) {
        add(&mut self.read, table, column);
        if !shown {
            add(&mut self.inner, table, column);
        }
    }

    pub fn whole(&mut self, table: &str, shown: bool) {
        self.read.insert(table.to_owned(), Columns::All);
        if !shown {
            self.inner.insert(table.to_owned(), Columns::All);
        }
    }

    pub fn write(&mut self, table: &str, column: &str) {
        add(&mut self.written, table, column);
    }

    pub fn write_whole(&mut self, table: &str) {
        self.written.insert(table.to_owned(), Columns::All);
    }
}

fn add(uses: &mut BTreeMap<String, Columns>, table: &str, column: &str) {
    uses.entry(table.to_owned()).or_insert_with(Columns::none).add(column.to_owned());
}
