//! The tools that the model is told of: all of them, or those that are not deferred and those that it has found.
//!
//! A deferred tool may be used like any other; only its definition is not in the prompt until a search has found it. A
//! search changes nothing outside and tells nothing but the agent's own tools, so it is no action: what it found is a
//! record, and stands for the rest of the session.

use super::calls::CallEnd;
use super::{State, remembering::memory_specs, state::Turn};
use crate::{
    ToolSpec,
    item::Change,
    record::ToolsFound,
    tool_search::{Searchable, ToolIndex},
    tools::{self, TOOL_SEARCH},
};
use serde::Deserialize;
use serde_json::json;
use std::{
    collections::BTreeSet,
    sync::{Arc, OnceLock},
};

/// Tools that one search finds at most, and when it does not say how many.
const MAX_FOUND: u32 = 20;
const DEFAULT_FOUND: u32 = 5;
/// Bytes of a query.
const MAX_QUERY: usize = 1024;
/// Characters of a description in the answer of a search; the whole stands beside the tool.
const MAX_DESCRIPTION: usize = 300;
/// Connectors whose labels are named in the description of the search.
const MAX_LABELS: usize = 40;

/// What is made from the agent and its connectors when it is first needed. The tools that the model is told of are the
/// same allocation for every call, so that an encoding of them can be kept. Says nothing that the rest of the state does
/// not.
#[derive(Debug, Clone, Default)]
pub(crate) struct ToolMemo {
    told: OnceLock<Arc<[ToolSpec]>>,
    deferred: OnceLock<Arc<Deferred>>,
}

impl PartialEq for ToolMemo {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

/// The tools that a search finds, in their order.
#[derive(Debug, Default)]
struct Deferred {
    tools: Vec<ToolSpec>,
    index: ToolIndex,
}

impl Searchable for ToolSpec {
    fn name(&self) -> &str {
        &self.name
    }

    fn description(&self) -> &str {
        &self.description
    }

    fn parameters(&self) -> &serde_json::Value {
        &self.parameters
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Search {
    query: String,
    limit: Option<u32>,
}

impl State {
    /// The tools that the model is told of: those that are always there first, so that the beginning of a prompt stays
    /// what it was, then those that were found, in the order in which they were.
    pub(crate) fn tool_specs(&self) -> Arc<[ToolSpec]> {
        let make = || {
            let deferred = self.deferred_tools();
            let search = (!deferred.tools.is_empty()).then(|| self.search_spec(&deferred));
            let found = self.found.iter().filter_map(|name| deferred.tools.iter().find(|tool| tool.name == *name));
            let always = tools::specs(&self.agent, &self.environment).chain(memory_specs(&self.agent));
            let always = always.chain(self.skill_specs()).chain(self.connected_specs(false));
            always.chain(search).chain(found.cloned()).collect()
        };
        Arc::clone(self.tools.told.get_or_init(make))
    }

    fn deferred_tools(&self) -> Arc<Deferred> {
        let make = || {
            let tools: Vec<ToolSpec> = tools::deferred(&self.agent).chain(self.connected_specs(true)).collect();
            let index = ToolIndex::new(&tools);
            Arc::new(Deferred { tools, index })
        };
        Arc::clone(self.tools.deferred.get_or_init(make))
    }

    fn search_spec(&self, deferred: &Deferred) -> ToolSpec {
        let labels: Vec<&str> =
            self.agent.connectors.iter().filter(|one| one.deferred).map(|one| &*one.label).collect();
        let more = if labels.len() > MAX_LABELS { ", …" } else { "" };
        let of = match &labels[..] {
            [] => String::new(),
            some => format!(" of {}{more}", some[..some.len().min(MAX_LABELS)].join(", ")),
        };
        let description = format!(
            "Search {} more tools{of} that are not shown yet, by what they do. Those that are found can be called from \
             then on.",
            deferred.tools.len()
        );
        let parameters = json!({
            "type": "object", "required": ["query"], "additionalProperties": false,
            "properties": {
                "query": {"type": "string", "description": "What the tool should do, in a few words, or its name."},
                "limit": {"type": "integer", "minimum": 1, "maximum": MAX_FOUND},
            },
        });
        ToolSpec { name: TOOL_SEARCH.to_owned(), description, parameters }
    }

    /// Whether a call is a search for tools.
    pub(super) fn is_search(&self, name: &str) -> bool {
        name == TOOL_SEARCH && !self.deferred_tools().tools.is_empty()
    }

    /// What a search finds. The error is for the model.
    pub(super) fn search_tools(&self, turn: &Turn, call_id: &str, arguments: &str) -> Result<ToolsFound, String> {
        let Search { query, limit } = tools::parse(arguments)?;
        if query.trim().is_empty() || query.len() > MAX_QUERY {
            return Err(format!("`query` must have 1 to {MAX_QUERY} bytes."));
        }
        let limit = limit.unwrap_or(DEFAULT_FOUND);
        if !(1..=MAX_FOUND).contains(&limit) {
            return Err(format!("`limit` must be from 1 to {MAX_FOUND}."));
        }
        let deferred = self.deferred_tools();
        let found = deferred.index.search(&query, limit as usize);
        let names = found.into_iter().map(|number| deferred.tools[number].name.clone()).collect();
        Ok(ToolsFound { turn: turn.id, call_id: call_id.to_owned(), names })
    }

    pub(super) fn tools_found(&mut self, found: &ToolsFound, changes: &mut Vec<Change>) {
        let deferred = self.deferred_tools();
        let known: BTreeSet<&str> = self.found.iter().map(String::as_str).collect();
        let named: Vec<&ToolSpec> =
            found.names.iter().filter_map(|name| deferred.tools.iter().find(|tool| tool.name == *name)).collect();
        let new: Vec<&ToolSpec> = named.iter().copied().filter(|tool| !known.contains(&*tool.name)).collect();
        if let Some(index) = self.call_index(Some(&found.call_id)) {
            let answer = match &named[..] {
                [] => "No tool was found. Try other words.".to_owned(),
                some => some.iter().map(|tool| line(tool)).collect::<Vec<_>>().join("\n"),
            };
            self.finish_call(index, None, CallEnd::done(answer), changes);
        }
        if new.is_empty() {
            return;
        }
        // They stand in the next prompt, and nobody has counted them yet.
        self.unmeasured_bytes += new.iter().map(|tool| super::bound::weight_of(tool)).sum::<u64>();
        self.found.extend(new.iter().map(|tool| tool.name.clone()));
        self.tools.told = OnceLock::new();
    }
}

fn line(tool: &ToolSpec) -> String {
    let words = tool.description.split_whitespace().collect::<Vec<_>>().join(" ");
    match words.char_indices().nth(MAX_DESCRIPTION) {
        Some((at, _)) => format!("{}: {}…", tool.name, &words[..at]),
        None => format!("{}: {words}", tool.name),
    }
}
