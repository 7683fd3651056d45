//! The tools of a library: what they are called, what they take, and what a person's colleague is shown.

use crate::{
    Folder, Library, ObjectStores, Reader,
    bucket::Way,
    library::is_name,
    reading::{Text, text_of},
    search::{self, MAX_WORDS, Search},
    source::Open,
    span::Span,
    tree::{Entry, MAX_DEPTH, Missing},
};
use bailiwick_core::{Content, Effect, Failure, FailureCode, Label, ToolDefinition};
use bailiwick_gate::{
    Live,
    calls::{arguments, invalid},
};
use bailiwick_ports::Clock;
use bailiwick_types::{Millis, Timestamp};
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;

/// Entries of one list that are shown.
const MAX_LISTED: usize = 500;
/// Documents of one search that are shown.
const MAX_FOUND: usize = 50;
/// Bytes of one document that are read.
const MAX_READ: u64 = 16 * 1024 * 1024;
/// Lines that are shown at once.
const MAX_LINES: usize = 5_000;
/// Longest path in bytes.
const MAX_PATH: usize = 4_096;
/// What a search has beyond its time to say what it found, before nobody waits for it any more.
const GRACE: Millis = Millis::from_secs(2);

/// What one call needs beside its arguments.
#[derive(Clone)]
pub struct Access {
    pub library: Arc<Library>,
    /// For whom it is read.
    pub reader: Reader,
    /// The way to folders that lie in object stores.
    pub stores: Option<Arc<ObjectStores>>,
    pub limits: Limits,
    pub clock: Arc<dyn Clock>,
}

/// How much one call may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of what comes back.
    pub output_bytes: usize,
    pub time: Millis,
}

impl Default for Limits {
    fn default() -> Self {
        Self { output_bytes: 64 * 1024, time: Millis::from_secs(20) }
    }
}

/// What came back, and what it carries into the session: the join of everything that is shown in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    pub content: Vec<Content>,
    pub label: Label,
}

/// The tools of a library.
pub fn definitions() -> Vec<ToolDefinition> {
    let path = |what: &str| json!({"type": "string", "format": "path", "maxLength": MAX_PATH, "description": what});
    let tool = |name: &str, title: &str, description: &str, parameters: Value| {
        ToolDefinition::new(name, title, description, parameters, Effect::Read)
    };
    vec![
        tool(
            "list_documents",
            "List documents",
            "Lists one folder of the company's documents, as far as the person may read them. `/` lists the folders.",
            json!({
                "type": "object",
                "properties": {"path": path("Such as `/finance/2026`; `/` without it.")},
                "additionalProperties": false
            }),
        ),
        tool(
            "search_documents",
            "Search documents",
            "Finds documents that the person may read and that hold every word, in their name or text, with the lines \
             that say so.",
            json!({
                "type": "object",
                "properties": {
                    "query": {"type": "string", "minLength": 1, "maxLength": 512, "description": "Words; parts of words count."},
                    "path": path("The folder to search below; all folders without it."),
                    "limit": {"type": "integer", "minimum": 1, "maximum": MAX_FOUND, "description": "20 without it."}
                },
                "required": ["query"],
                "additionalProperties": false
            }),
        ),
        tool(
            "read_document",
            "Read a document",
            "Reads a text document, or some of its lines.",
            json!({
                "type": "object",
                "properties": {
                    "path": path("The path from a list or a search."),
                    "offset": {"type": "integer", "minimum": 1, "description": "The first line; 1 without it."},
                    "limit": {"type": "integer", "minimum": 1, "maximum": MAX_LINES, "description": "How many lines; 2000 without it."}
                },
                "required": ["path"],
                "additionalProperties": false
            }),
        ),
    ]
}

/// Performs one call. Every failure is certain: nothing here has an effect.
pub async fn call(access: &Access, tool: &str, arguments: &Value, live: Live) -> Result<Answer, Failure> {
    let (access, tool, arguments) = (access.clone(), tool.to_owned(), arguments.clone());
    let span = Span::new(access.clock.clone(), access.limits.time, live);
    let inside = span.clone();
    #[allow(
        clippy::disallowed_methods,
        reason = "the files of a folder server may take their time; what hangs in one outlives the call, and does nothing more"
    )]
    let work = tokio::task::spawn_blocking(move || access.perform(&tool, &arguments, &inside));
    match span.bound(work, GRACE).await {
        _ if span.is_stopped() => Err(over(&span)),
        Some(Ok(done)) => done,
        Some(Err(_)) => Err(Failure::new(FailureCode::Internal, "reading documents ended by a fault of this program")),
        None => Err(over(&span)),
    }
}

fn over(span: &Span) -> Failure {
    match span.is_stopped() {
        true => Failure::new(FailureCode::Cancelled, "stopped"),
        false => Failure::new(FailureCode::ToolError, "the documents did not come in time: ask for less, or later"),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct List {
    #[serde(default = "top")]
    path: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Find {
    query: String,
    #[serde(default = "top")]
    path: String,
    #[serde(default = "usual_found")]
    limit: usize,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Read {
    path: String,
    #[serde(default = "first")]
    offset: usize,
    #[serde(default = "usual_lines")]
    limit: usize,
}

fn top() -> String {
    "/".into()
}

fn usual_found() -> usize {
    20
}

fn first() -> usize {
    1
}

fn usual_lines() -> usize {
    2_000
}

/// What is not there and what may not be read look the same: nobody learns of the one by the other.
fn not_there(path: &str) -> Failure {
    let shown: String = path.chars().filter(|char| !char.is_control()).take(200).collect();
    let text = format!("there is no document `{shown}` that this person may read: list or search to see what there is");
    Failure::new(FailureCode::ToolError, text)
}

fn failure(path: &str, missing: Missing) -> Failure {
    match missing {
        Missing::NotThere => not_there(path),
        Missing::Failed(why) => Failure::new(FailureCode::ToolError, format!("`{path}` cannot be read now: {why}")),
        Missing::Over => {
            Failure::new(FailureCode::ToolError, format!("`{path}` did not come in time: ask again later"))
        }
    }
}

/// The names of a path, without its slashes.
fn parts_of(path: &str) -> Result<Vec<String>, Failure> {
    if path.len() > MAX_PATH {
        return Err(invalid(format!("`path`: must have at most {MAX_PATH} bytes")));
    }
    let parts: Vec<String> = path.split('/').filter(|part| !part.is_empty()).map(str::to_owned).collect();
    if parts.len() > MAX_DEPTH {
        return Err(invalid(format!("`path`: must have at most {MAX_DEPTH} parts")));
    }
    if parts.iter().all(|part| is_name(part)) { Ok(parts) } else { Err(not_there(path)) }
}

/// A place below a folder that the reader may read, in the spelling of the file system.
struct Place<'a> {
    folder: &'a Folder,
    /// The open folder that holds `parts`' last.
    within: Open,
    parts: Vec<String>,
    label: Label,
}

impl Access {
    fn perform(&self, tool: &str, value: &Value, span: &Span) -> Result<Answer, Failure> {
        self.library.check()?;
        let one =
            Call { access: self, way: self.stores.clone().map(|stores| Way { stores, span: span.clone() }), span };
        match tool {
            "list_documents" => one.list(&arguments(value)?),
            "search_documents" => one.search(&arguments(value)?),
            "read_document" => one.read(&arguments(value)?),
            other => Err(invalid(format!("there is no tool `{other}` here"))),
        }
    }
}

/// One call under way.
struct Call<'a> {
    access: &'a Access,
    way: Option<Way>,
    span: &'a Span,
}

impl<'a> Call<'a> {
    /// Walks to a path below a folder. Asked at every step, so that a rule on the way holds as well.
    fn find(&self, path: &str) -> Result<Place<'a>, Failure> {
        let (library, reader) = (&self.access.library, &self.access.reader);
        let wanted = parts_of(path)?;
        let Some((name, below)) = wanted.split_first() else { return Err(not_there(path)) };
        let folder = library.folder(name, reader).ok_or_else(|| not_there(path))?;
        let mut within = Open::root(folder, self.way.as_ref()).map_err(|missing| match missing {
            Missing::NotThere => Failure::new(FailureCode::ToolError, format!("the folder `/{name}` is not there now")),
            other => failure(path, other),
        })?;
        let mut label = folder.label.clone();
        let mut parts: Vec<String> = Vec::new();
        for (at, part) in below.iter().enumerate() {
            if self.span.is_over() {
                return Err(over(self.span));
            }
            let spelt = within.spelling(part).map_err(|missing| failure(path, missing))?;
            parts.push(spelt.clone());
            label = folder.admits(&parts, reader).ok_or_else(|| not_there(path))?;
            if at + 1 < below.len() {
                within = within.folder(&spelt).map_err(|missing| failure(path, missing))?;
            }
        }
        Ok(Place { folder, within, parts, label })
    }

    fn list(&self, wanted: &List) -> Result<Answer, Failure> {
        if parts_of(&wanted.path)?.is_empty() {
            let mine = self.folders();
            let names: Vec<String> = mine.map(|folder| format!("/{}/\n", folder.name)).collect();
            let text = if names.is_empty() { "This person may read no folder.".into() } else { names.concat() };
            return Ok(self.access.answer(text, Label::default()));
        }
        let place = self.find(&wanted.path)?;
        let open = match place.parts.last() {
            None => place.within,
            Some(name) => place.within.folder(name).map_err(|missing| failure(&wanted.path, missing))?,
        };
        let (entries, mut more) = open.entries().map_err(|missing| failure(&wanted.path, missing))?;
        let mut label = place.label;
        let (mut text, mut shown) = (String::new(), 0);
        for entry in entries {
            let mut parts = place.parts.clone();
            parts.push(entry.name.clone());
            let Some(its) = place.folder.admits(&parts, &self.access.reader) else { continue };
            if shown == MAX_LISTED {
                more = true;
                break;
            }
            shown += 1;
            label.join(&its);
            text.push_str(&line(&format!("/{}/{}", place.folder.name, parts.join("/")), &entry));
        }
        if shown == 0 {
            text.push_str("Nothing here that this person may read.");
        }
        if more {
            text.push_str("[there is more: search for it]");
        }
        Ok(self.access.answer(text, label))
    }

    /// Those that the reader may read.
    fn folders(&self) -> impl Iterator<Item = &'a Folder> {
        let access = self.access;
        access.library.folders.iter().filter(|folder| folder.readers.admit(&access.reader))
    }

    fn search(&self, wanted: &Find) -> Result<Answer, Failure> {
        let words = search::words_of(&wanted.query);
        if words.is_empty() || words.len() > MAX_WORDS || wanted.query.len() > 2_048 {
            return Err(invalid(format!("`query`: must be 1 to {MAX_WORDS} words")));
        }
        let keep = wanted.limit.clamp(1, MAX_FOUND);
        let mut search = Search::new(words, &self.access.reader, keep, self.span).with_way(self.way.as_ref());
        if parts_of(&wanted.path)?.is_empty() {
            for folder in self.folders() {
                // One folder server that is away does not hide what the others hold.
                let _ = search.walk(folder, &[]);
                if search.is_over() {
                    break;
                }
            }
        } else {
            let place = self.find(&wanted.path)?;
            search.walk(place.folder, &place.parts).map_err(|missing| failure(&wanted.path, missing))?;
        }
        let result = search.finish();
        let mut label = Label::nothing();
        let mut text = String::new();
        for found in &result.found {
            label.join(&found.label);
            text.push_str(&format!("{} ({} bytes, {})\n", found.path, found.size_bytes, day(found.modified)));
            found.lines.iter().for_each(|line| text.push_str(&format!("  > {line}\n")));
        }
        if result.found.is_empty() {
            text.push_str("Nothing that this person may read holds all these words.\n");
        }
        if let Some(early) = result.early {
            text.push_str(&format!("[not everything was searched: {early}; search in one folder]"));
        }
        Ok(self.access.answer(text, label))
    }

    fn read(&self, wanted: &Read) -> Result<Answer, Failure> {
        let place = self.find(&wanted.path)?;
        let Some(name) = place.parts.last() else { return Err(not_there(&wanted.path)) };
        let piece = place.within.read(name, MAX_READ).map_err(|missing| failure(&wanted.path, missing))?;
        let (size, more) = (piece.size_bytes, piece.more);
        let text = match text_of(&piece.bytes, self.span) {
            Text::Plain(text) => text,
            Text::Other(_) if self.span.is_over() => return Err(over(self.span)),
            Text::Other(kind) => {
                let text = format!("`{}` is {kind} of {size} bytes and no text: it cannot be shown", wanted.path);
                return Err(Failure::new(FailureCode::ToolError, text));
            }
        };
        let (first, count) = (wanted.offset.max(1), wanted.limit.clamp(1, MAX_LINES));
        let all = text.lines().count();
        let mut shown: String = text.lines().skip(first - 1).take(count).flat_map(|line| [line, "\n"]).collect();
        if all > 0 && first > all {
            return Err(invalid(format!("`offset`: the document has {all} lines")));
        }
        let last = (first - 1).saturating_add(count).min(all);
        if last < all {
            shown.push_str(&format!("[lines {first} to {last} of {all}; go on with `offset` {}]", last + 1));
        } else if more {
            shown.push_str(&format!("[only the first {MAX_READ} of {size} bytes were read]"));
        }
        Ok(self.access.answer(shown, place.label))
    }
}

impl Access {
    fn answer(&self, mut text: String, label: Label) -> Answer {
        const NOTE: &str = "\n[cut here: more than may be shown at once]";
        if text.len() > self.limits.output_bytes {
            text.truncate(text.floor_char_boundary(self.limits.output_bytes));
            text.push_str(NOTE);
        }
        Answer { content: vec![Content::text(text)], label }
    }
}

fn line(path: &str, entry: &Entry) -> String {
    if entry.is_folder {
        format!("{path}/\n")
    } else {
        format!("{path} ({} bytes, {})\n", entry.size_bytes, day(entry.modified))
    }
}

fn day(at: Timestamp) -> String {
    at.to_string().chars().take(10).collect()
}
