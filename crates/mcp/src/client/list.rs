//! The tools of a server: page by page, within limits, and only what can be kept.

use super::{
    Access, Agreed, Client,
    agree::mirrored,
    speak::{Answered, Ask, Desk},
};
use crate::{
    definition::Definition,
    limits::{MAX_CURSOR_BYTES, MAX_LIST_BYTES, MAX_PAGES, MAX_TOOLS},
    message::quoted,
    transport::Marks,
    trouble::Trouble,
};
use bailiwick_gate::Live;
use serde_json::{Map, Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, PoisonError},
};

const LIST: &str = "tools/list";

/// What a server offers.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Listed {
    /// The tools that the configuration allows, by name.
    pub tools: Vec<Definition>,
    /// What the server offers and nobody can use.
    pub left_out: Vec<LeftOut>,
    /// Allowed by the configuration, and not offered.
    pub missing: Vec<String>,
}

/// A tool that is not used, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftOut {
    pub name: String,
    pub reason: String,
}

impl Client {
    /// Lists the tools of the server. A list that goes beyond a limit is refused as a whole: a part of it would look
    /// like all there is.
    pub async fn tools(&self, access: &Access, live: &Live) -> Result<Listed, Trouble> {
        let agreed = self.agree(access, live).await?;
        let listed = match self.pages(access, live, &agreed).await {
            Err(Trouble::SessionGone) => {
                self.forget(&agreed).await;
                let agreed = self.agree(access, live).await?;
                self.pages(access, live, &agreed).await
            }
            listed => listed,
        }?;
        *self.listed.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(listed.clone()));
        Ok(listed)
    }

    async fn pages(&self, access: &Access, live: &Live, agreed: &Arc<Agreed>) -> Result<Listed, Trouble> {
        let mut entries = Vec::new();
        let (mut seen, mut bytes, mut cursor) = (BTreeSet::new(), 0, None::<String>);
        for _ in 0..MAX_PAGES {
            let mut page = self.page(access, live, agreed, cursor.as_deref()).await?;
            let Some(Value::Array(tools)) = page.remove("tools") else {
                return Err(Trouble::malformed("`tools` is not a list"));
            };
            bytes += tools.iter().map(|tool| tool.to_string().len()).sum::<usize>();
            entries.extend(tools);
            if entries.len() > MAX_TOOLS || bytes > MAX_LIST_BYTES {
                let text = format!("it offers more than {MAX_TOOLS} tools, or {MAX_LIST_BYTES} bytes of them");
                return Err(Trouble::malformed(text));
            }
            cursor = match page.remove("nextCursor") {
                None | Some(Value::Null) => return Ok(self.sort(entries)),
                Some(Value::String(next)) if next.len() <= MAX_CURSOR_BYTES && seen.insert(next.clone()) => Some(next),
                Some(Value::String(_)) => return Err(Trouble::malformed("its list of tools goes in a circle")),
                Some(_) => return Err(Trouble::malformed("`nextCursor` is not a text")),
            };
        }
        Err(Trouble::malformed(format!("its list of tools has more than {MAX_PAGES} pages")))
    }

    async fn page(
        &self,
        access: &Access,
        live: &Live,
        agreed: &Agreed,
        cursor: Option<&str>,
    ) -> Result<Map<String, Value>, Trouble> {
        let mirrored = if agreed.revision.has_handshake() { Vec::new() } else { mirrored(LIST, None) };
        let mut params = Map::new();
        params.extend(cursor.map(|cursor| ("cursor".to_owned(), json!(cursor))));
        let watch = |_| ();
        let ask = Ask {
            method: LIST,
            params,
            marks: Marks { mirrored: &mirrored, ..self.marks(access, Some(agreed)) },
            silence: self.server.timeout_ms,
            longest: self.server.max_timeout_ms,
            live,
            watch: &watch,
        };
        let Answered { result, .. } = self.ask(ask, &mut Desk::default()).await?;
        match result.get("resultType").and_then(Value::as_str) {
            None | Some("complete") => Ok(result),
            Some(_) => Err(Trouble::malformed("its list of tools has a `resultType` that no list has")),
        }
    }

    /// Reads the entries. Of two with one name, which one is meant is not known: neither is used.
    fn sort(&self, entries: Vec<Value>) -> Listed {
        let mut listed = Listed::default();
        let mut found: BTreeMap<String, Result<Definition, String>> = BTreeMap::new();
        for entry in &entries {
            let name = quoted(entry.get("name").and_then(Value::as_str).unwrap_or_default());
            let read = Definition::read(entry);
            let read = if found.contains_key(&name) { Err("two tools have this name".into()) } else { read };
            found.insert(name, read);
        }
        for (name, read) in found {
            match read {
                _ if !self.server.allows(&name) => {}
                Ok(mut tool) => {
                    tool.effect = self.server.effect(tool.annotations.effect());
                    listed.tools.push(tool);
                }
                Err(reason) => listed.left_out.push(LeftOut { name, reason }),
            }
        }
        let offered: BTreeSet<&str> = listed.tools.iter().map(|tool| tool.name.as_str()).collect();
        let wanted = self.server.allowed_tools.iter().flatten();
        listed.missing = wanted.filter(|name| !offered.contains(name.as_str())).cloned().collect();
        listed
    }
}
