//! Full-text search by walking: every word must be in a document, in its name or its text. It keeps no index, so it never
//! answers from what was, and it stops at limits that it names.

use crate::{
    Folder, Reader,
    bucket::Way,
    reading::{Text, is_office, text_of},
    source::Open,
    span::Span,
    tree::{Entry, MAX_DEPTH, Missing},
};
use bailiwick_core::{Label, canonical};
use bailiwick_types::Timestamp;
use std::collections::VecDeque;

/// Words of one search.
pub(crate) const MAX_WORDS: usize = 16;
/// Files that one search looks into.
pub(crate) const MAX_FILES: usize = 20_000;
/// Folders that one search goes into.
const MAX_FOLDERS: usize = 10_000;
/// Bytes of one file that are searched.
pub(crate) const MAX_FILE_BYTES: u64 = 2 * 1024 * 1024;
/// Bytes of an office document, which is read whole or not at all.
const MAX_OFFICE_BYTES: u64 = 16 * 1024 * 1024;
/// Bytes that one search reads.
pub(crate) const MAX_BYTES: u64 = 256 * 1024 * 1024;
/// Lines that are shown of one document.
const MAX_LINES: usize = 3;
/// Longest line that is shown, in characters.
const MAX_LINE: usize = 240;
/// What one word can add to a document's weight by being there often.
const MAX_WEIGHT: usize = 20;
/// What a word in the name weighs.
const NAME_WEIGHT: usize = 50;

/// A document that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) path: String,
    pub(crate) size_bytes: u64,
    pub(crate) modified: Timestamp,
    /// Lines with one of the words.
    pub(crate) lines: Vec<String>,
    pub(crate) label: Label,
    weight: usize,
}

/// A search in the middle of its work.
pub(crate) struct Search<'a> {
    words: Vec<String>,
    reader: &'a Reader,
    way: Option<&'a Way>,
    span: &'a Span,
    found: Vec<Found>,
    keep: usize,
    files: usize,
    folders: usize,
    bytes: u64,
    /// Why not everything was searched.
    early: Option<&'static str>,
}

/// What came of a search.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Result {
    /// The weightiest first.
    pub(crate) found: Vec<Found>,
    pub(crate) early: Option<&'static str>,
}

impl<'a> Search<'a> {
    /// `words` in the form of [`words_of`].
    pub(crate) fn new(words: Vec<String>, reader: &'a Reader, keep: usize, span: &'a Span) -> Self {
        Self { words, reader, way: None, span, found: Vec::new(), keep, files: 0, folders: 0, bytes: 0, early: None }
    }

    /// With a way to folders that lie in object stores.
    pub(crate) fn with_way(mut self, way: Option<&'a Way>) -> Self {
        self.way = way;
        self
    }

    /// Searches what lies below `start` in `folder`.
    pub(crate) fn walk(&mut self, folder: &Folder, start: &[String]) -> std::result::Result<(), Missing> {
        let mut root = Open::root(folder, self.way)?;
        for part in start {
            root = root.folder(part)?;
        }
        let mut waiting = VecDeque::from([(root, start.to_vec())]);
        while let Some((open, parts)) = waiting.pop_front() {
            if self.is_over() {
                return Ok(());
            }
            self.folders += 1;
            if self.folders > MAX_FOLDERS {
                self.early = Some("there are too many folders");
            }
            // What cannot be read now is no reason to find nothing.
            let Ok((entries, more)) = open.entries() else { continue };
            if more {
                self.early = Some("a folder has too many documents");
            }
            for entry in entries {
                if self.is_over() {
                    return Ok(());
                }
                let mut parts = parts.clone();
                parts.push(entry.name.clone());
                let Some(label) = folder.admits(&parts, self.reader) else { continue };
                if !entry.is_folder {
                    self.look(folder, &open, &parts, (&entry, label));
                } else if parts.len() < MAX_DEPTH {
                    // Open folders that wait are as many as may be open at once.
                    if waiting.len() >= 256 {
                        self.early = Some("the folders are too many beside each other");
                    } else if let Ok(inner) = open.folder(&entry.name) {
                        waiting.push_back((inner, parts));
                    }
                } else {
                    self.early = Some("the folders are too deep");
                }
            }
        }
        Ok(())
    }

    pub(crate) fn is_over(&mut self) -> bool {
        if self.span.is_over() {
            self.early = Some("the time was over");
        } else if self.files >= MAX_FILES {
            self.early = Some("there are too many documents");
        } else if self.bytes >= MAX_BYTES {
            self.early = Some("the documents are too large");
        } else {
            return self.folders > MAX_FOLDERS;
        }
        true
    }

    pub(crate) fn finish(mut self) -> Result {
        self.order();
        Result { found: self.found, early: self.early }
    }

    fn look(&mut self, folder: &Folder, open: &Open, parts: &[String], (entry, label): (&Entry, Label)) {
        let (name, size_bytes, modified) = (&entry.name, entry.size_bytes, entry.modified);
        self.files += 1;
        let text = match open.read(name, if is_office(name) { MAX_OFFICE_BYTES } else { MAX_FILE_BYTES }) {
            Ok(piece) => {
                self.bytes += piece.bytes.len() as u64;
                match text_of(&piece.bytes, self.span) {
                    Text::Plain(text) => text,
                    Text::Other(_) => String::new(),
                }
            }
            Err(_) => String::new(),
        };
        let Some(weight) = weight(&self.words, &canonical::folded(name), &canonical::folded(&text)) else { return };
        let path = format!("/{}/{}", folder.name, parts.join("/"));
        let lines = lines(&self.words, &text);
        self.found.push(Found { path, size_bytes, modified, lines, label, weight });
        if self.found.len() >= self.keep.saturating_mul(4).max(64) {
            self.order();
        }
    }

    /// Keeps the weightiest.
    fn order(&mut self) {
        self.found.sort_by(|one, other| other.weight.cmp(&one.weight).then_with(|| one.path.cmp(&other.path)));
        self.found.truncate(self.keep);
    }
}

/// The words of a query as they are compared: in one case and width, each once.
pub(crate) fn words_of(query: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    for word in query.split_whitespace().map(canonical::folded) {
        if !word.is_empty() && !words.contains(&word) {
            words.push(word);
        }
    }
    words
}

/// How much a document is about the words; `None` when one of them is missing.
fn weight(words: &[String], name: &str, text: &str) -> Option<usize> {
    let mut weight = 0;
    for word in words {
        let in_text = text.matches(word.as_str()).take(MAX_WEIGHT).count();
        let in_name = if name.contains(word.as_str()) { NAME_WEIGHT } else { 0 };
        if in_text + in_name == 0 {
            return None;
        }
        weight += in_text + in_name;
    }
    Some(weight)
}

fn lines(words: &[String], text: &str) -> Vec<String> {
    let holds = |line: &&str| {
        let line = canonical::folded(line);
        words.iter().any(|word| line.contains(word.as_str()))
    };
    text.lines().filter(holds).take(MAX_LINES).map(|line| around(words, line.trim())).collect()
}

/// The part of a long line around the first word.
fn around(words: &[String], line: &str) -> String {
    if line.chars().count() <= MAX_LINE {
        return line.to_owned();
    }
    let folded = canonical::folded(line);
    let first = words.iter().filter_map(|word| folded.find(word.as_str())).min().unwrap_or(0);
    // Folding keeps most lengths; a place that is a little off shows other letters around the word.
    let start = folded.get(..first).map_or(0, |before| before.chars().count()).saturating_sub(MAX_LINE / 3);
    let part: String = line.chars().skip(start).take(MAX_LINE).collect();
    format!("{}{part}…", if start > 0 { "…" } else { "" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_must_be_there_and_the_name_weighs_more() {
        let words = words_of("Budget  KÖLN budget");
        assert_eq!(words, ["budget", "köln"]);
        let weigh = |name: &str, text: &str| weight(&words, &canonical::folded(name), &canonical::folded(text));
        assert_eq!(weigh("a.md", "the budget"), None);
        assert_eq!(weigh("a.md", "Budget for Köln, and more budget"), Some(3));
        assert!(weigh("budget-köln.md", "") > weigh("a.md", &"budget köln ".repeat(20)));
    }

    #[test]
    fn a_long_line_is_shown_around_its_word() {
        let line = format!("{} needle {}", "x".repeat(10_000), "y".repeat(10_000));
        let shown = around(&words_of("needle"), &line);
        assert!(shown.contains("needle") && shown.chars().count() <= MAX_LINE + 2, "{shown}");
    }
}
