//! Where a name in a statement may come from: the tables and subqueries around it, and the common table expressions.

use super::Columns;
use super::fields::Fields;
use std::collections::BTreeMap;
use std::rc::Rc;

/// A table or a subquery among the sources of one `SELECT`, or of one change.
#[derive(Debug, Clone)]
pub struct Source {
    /// What columns are qualified with.
    pub alias: Option<String>,
    /// `None` for a subquery, a function, a common table expression: its columns are accounted for inside of it.
    pub table: Option<String>,
    /// The columns that can be named behind its alias.
    pub fields: Rc<Fields>,
}

/// What is around the part of a statement that is being walked, outermost first.
#[derive(Debug)]
pub enum Frame {
    Common(Common),
    Sources(Sources),
    /// What is inside does not see the sources right around it, only those further out.
    Barrier,
}

/// The sources of one `SELECT`, or of one change.
#[derive(Debug)]
pub struct Sources {
    pub list: Vec<Source>,
    /// How many parts of FROM are being walked: in there a server may not see some of these sources yet, and take a name
    /// for one further out.
    unfinished: usize,
}

/// The common table expressions of one query.
#[derive(Debug)]
pub struct Common {
    pub names: Vec<String>,
    pub fields: Vec<Rc<Fields>>,
    /// Where their queries lie in memory, to know them again.
    pub bodies: Vec<usize>,
    pub recursive: bool,
    /// The one that is being walked; `None` once all are defined.
    pub within: Option<usize>,
}

/// What a name of a table stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Meaning<'a> {
    Table,
    Common(&'a Rc<Fields>),
    /// Servers differ: it is taken for both.
    Either,
}

#[derive(Debug, Default)]
pub struct Scope {
    pub frames: Vec<Frame>,
}

impl Scope {
    pub fn meaning(&self, name: &str) -> Meaning<'_> {
        for frame in self.frames.iter().rev() {
            let Frame::Common(common) = frame else { continue };
            let Some(index) = common.names.iter().position(|known| known == name) else { continue };
            let here = Meaning::Common(&common.fields[index]);
            match common.within {
                None => return here,
                Some(within) if index < within || (common.recursive && index == within) => return here,
                Some(_) if common.recursive => return Meaning::Either,
                Some(_) => {}
            }
        }
        Meaning::Table
    }

    /// The sources that can be seen from here, innermost first, by their `SELECT`.
    pub fn visible(&self) -> Vec<&Sources> {
        let mut visible = Vec::new();
        let mut hidden = 0;
        for frame in self.frames.iter().rev() {
            match frame {
                Frame::Barrier => hidden += 1,
                Frame::Sources(_) if hidden > 0 => hidden -= 1,
                Frame::Sources(sources) => visible.push(sources),
                Frame::Common(_) => {}
            }
        }
        visible
    }

    /// The sources of the `SELECT` or change right around.
    pub fn nearest(&self) -> Vec<Source> {
        let frame = self.frames.iter().rev().find_map(|frame| match frame {
            Frame::Sources(sources) => Some(sources.list.clone()),
            _ => None,
        });
        frame.unwrap_or_default()
    }

    /// What is right around, as the sources of a `SELECT` or of a change.
    pub fn push(&mut self, list: Vec<Source>) {
        self.frames.push(Frame::Sources(Sources { list, unfinished: 0 }));
    }

    /// Goes into a part of FROM of what is right around.
    pub fn enter_from(&mut self) {
        self.around().for_each(|sources| sources.unfinished += 1);
    }

    pub fn leave_from(&mut self) {
        self.around().for_each(|sources| sources.unfinished = sources.unfinished.saturating_sub(1));
    }

    fn around(&mut self) -> impl Iterator<Item = &mut Sources> {
        let sources = self.frames.iter_mut().rev().find_map(|frame| match frame {
            Frame::Sources(sources) => Some(sources),
            _ => None,
        });
        sources.into_iter()
    }

    /// Every table that can be seen from here.
    pub fn tables(&self) -> Vec<String> {
        let sources = self.visible().into_iter().flat_map(|sources| &sources.list);
        sources.filter_map(|source| source.table.clone()).collect()
    }

    /// The sources that `qualifier` may mean.
    pub fn qualified(&self, qualifier: &str, cases_may_differ: bool) -> Vec<Source> {
        let means = |source: &&Source| match &source.alias {
            Some(alias) if cases_may_differ => alias.eq_ignore_ascii_case(qualifier) || alias == qualifier,
            Some(alias) => alias == qualifier,
            None => false,
        };
        let mut found = Vec::new();
        for sources in self.visible() {
            let here = found.len();
            found.extend(sources.list.iter().filter(means).cloned());
            if found.len() > here && sources.unfinished == 0 && !cases_may_differ {
                break;
            }
        }
        found
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
