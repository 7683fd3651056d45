//! `SKILL.md`: the front matter between two lines `---`, and the instructions below.
//!
//! YAML is read as events and only as far as the format needs: one mapping of texts, and one of texts in it. No aliases, no
//! tags, no key twice, and no field that the format does not have.

use crate::{MAX_DESCRIPTION, MAX_NAME, SkillError, bundle::SKILL_FILE, is_plain};
use saphyr_parser::{Event, Parser, ScalarStyle};
use std::collections::BTreeMap;

/// Bytes of the front matter.
const MAX_FRONT: usize = 16 * 1024;
/// Characters of `license`, and of a value of `metadata`.
const MAX_TEXT: usize = 1024;
/// Characters of `compatibility`.
const MAX_COMPATIBILITY: usize = 500;
/// Entries of `metadata`, and characters of a key.
const MAX_PAIRS: usize = 64;
const MAX_KEY: usize = 64;

const FIELDS: [&str; 6] = ["name", "description", "license", "compatibility", "metadata", "allowed-tools"];

/// What a skill says of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Manifest {
    /// 1 to 64 of `a-z`, `0-9` and single hyphens between them.
    pub name: String,
    /// What it does, and when to use it: on one line.
    pub description: String,
    pub license: Option<String>,
    /// What it needs where it is used.
    pub compatibility: Option<String>,
    pub metadata: BTreeMap<String, String>,
    /// What its author would let it use. It gives nothing: what may be done is policy's to say.
    pub allowed_tools: Option<String>,
}

pub(crate) struct Document {
    pub manifest: Manifest,
    pub instructions: String,
}

fn wrong<T>(field: &str, problem: impl Into<String>) -> Result<T, SkillError> {
    let place = if field.is_empty() { SKILL_FILE.to_owned() } else { format!("{SKILL_FILE}: {field}") };
    Err(SkillError::new(&place, problem))
}

pub(crate) fn read(text: &str) -> Result<Document, SkillError> {
    if text.contains('\0') {
        return wrong("", "must not hold a null character");
    }
    let mut rest = text;
    if line(&mut rest) != Some("---") {
        return wrong("", "must begin with a line `---`, above its front matter");
    }
    let begin = rest;
    let front = loop {
        let here = begin.len() - rest.len();
        match line(&mut rest) {
            Some("---") => break &begin[..here],
            Some(_) if begin.len() - rest.len() <= MAX_FRONT => {}
            Some(_) => return wrong("", format!("has a front matter of more than {MAX_FRONT} bytes")),
            None => return wrong("", "has a front matter that no line `---` ends"),
        }
    };
    let manifest = manifest(fields(front)?)?;
    Ok(Document { manifest, instructions: rest.trim().to_owned() })
}

/// Takes the next line off.
fn line<'a>(rest: &mut &'a str) -> Option<&'a str> {
    if rest.is_empty() {
        return None;
    }
    let (line, after) = rest.split_once('\n').unwrap_or((rest, ""));
    *rest = after;
    Some(line.strip_suffix('\r').unwrap_or(line))
}

enum Value {
    Text(String),
    Pairs(BTreeMap<String, String>),
}

/// The fields of the one mapping, each a text or a mapping of texts.
fn fields(front: &str) -> Result<BTreeMap<String, Value>, SkillError> {
    let mut reader = Reader::default();
    for event in Parser::new_from_str(front) {
        let (event, _) = match event {
            Ok(event) => event,
            Err(error) => return wrong("", format!("has a front matter that is no YAML: {error}")),
        };
        reader.take(event)?;
    }
    Ok(reader.fields)
}

#[derive(Default)]
struct Reader {
    fields: BTreeMap<String, Value>,
    depth: usize,
    field: Option<String>,
    key: Option<String>,
    pairs: BTreeMap<String, String>,
    documents: usize,
}

impl Reader {
    fn take(&mut self, event: Event<'_>) -> Result<(), SkillError> {
        let field = self.field.clone().unwrap_or_default();
        match event {
            Event::DocumentStart(_) => {
                self.documents += 1;
                if self.documents > 1 { wrong("", "has a front matter of two documents") } else { Ok(()) }
            }
            Event::Alias(_) => wrong(&field, "must not have an alias"),
            Event::Scalar(_, _, _, Some(_)) | Event::MappingStart(_, Some(_)) | Event::SequenceStart(_, Some(_)) => {
                wrong(&field, "must not have a tag")
            }
            Event::Scalar(_, _, anchor, _) | Event::MappingStart(anchor, _) if anchor > 0 => {
                wrong(&field, "must not have an anchor")
            }
            Event::SequenceStart(..) if self.depth == 0 => wrong("", "must have a front matter of fields"),
            Event::SequenceStart(..) => wrong(&field, "must be no list"),
            Event::MappingStart(..) => self.begin(&field),
            Event::MappingEnd => self.end(),
            Event::Scalar(text, style, ..) => self.scalar(text.into_owned(), style == ScalarStyle::Plain),
            _ => Ok(()),
        }
    }

    fn begin(&mut self, field: &str) -> Result<(), SkillError> {
        self.depth += 1;
        match (self.depth, &self.field, &self.key) {
            (1, ..) => Ok(()),
            (2, Some(name), _) if name == "metadata" => Ok(()),
            (_, None, _) => wrong("", "must have texts for the names of its fields"),
            _ => wrong(field, "must be text"),
        }
    }

    fn end(&mut self) -> Result<(), SkillError> {
        self.depth -= 1;
        if self.depth == 1
            && let Some(name) = self.field.take()
        {
            let pairs = std::mem::take(&mut self.pairs);
            self.fields.insert(name, Value::Pairs(pairs));
        }
        Ok(())
    }

    fn scalar(&mut self, text: String, plain: bool) -> Result<(), SkillError> {
        match (self.depth, self.field.clone()) {
            (0, _) => wrong("", "must have a front matter of fields"),
            (1, None) => {
                if self.fields.contains_key(&text) {
                    return wrong(&text, "is given twice");
                }
                if !FIELDS.contains(&text.as_str()) {
                    return wrong(&text, format!("is no field of a skill; there are {}", FIELDS.join(", ")));
                }
                self.field = Some(text);
                Ok(())
            }
            (1, Some(field)) => {
                check_text(&field, &text, plain)?;
                self.field = None;
                self.fields.insert(field, Value::Text(text));
                Ok(())
            }
            (_, _) => self.pair(text, plain),
        }
    }

    fn pair(&mut self, text: String, plain: bool) -> Result<(), SkillError> {
        let Some(key) = self.key.take() else {
            let place = format!("metadata.{text}");
            if self.pairs.contains_key(&text) {
                return wrong(&place, "is given twice");
            }
            if text.is_empty() || text.chars().count() > MAX_KEY || !text.chars().all(is_plain) {
                return wrong("metadata", format!("must have keys of 1 to {MAX_KEY} plain characters"));
            }
            if self.pairs.len() >= MAX_PAIRS {
                return wrong("metadata", format!("has more than {MAX_PAIRS} entries"));
            }
            self.key = Some(text);
            return Ok(());
        };
        check_text(&format!("metadata.{key}"), &text, plain)?;
        self.pairs.insert(key, text);
        Ok(())
    }
}

/// A plain scalar that YAML reads as something else is not the text that it looks like.
fn check_text(field: &str, text: &str, plain: bool) -> Result<(), SkillError> {
    let word = text.to_ascii_lowercase();
    let number = word.parse::<f64>().is_ok() || word.starts_with("0x") || word.starts_with("0o");
    let other = number || matches!(word.as_str(), "" | "~" | "null" | "true" | "false");
    if plain && other { wrong(field, "must be text: put it into quotes") } else { Ok(()) }
}

fn manifest(mut fields: BTreeMap<String, Value>) -> Result<Manifest, SkillError> {
    let mut text = |field: &str, most: usize| match fields.remove(field) {
        None => Ok(None),
        Some(Value::Pairs(_)) => wrong(field, "must be text"),
        Some(Value::Text(text)) => words(field, &text, most).map(Some),
    };
    let Some(name) = text("name", MAX_NAME)? else { return wrong("name", "is missing") };
    let fine =
        |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    if !name.split('-').all(fine) {
        return wrong("name", "must have lower-case letters, digits and single hyphens between them, and nothing else");
    }
    let Some(description) = text("description", MAX_DESCRIPTION)? else { return wrong("description", "is missing") };
    let license = text("license", MAX_TEXT)?;
    let compatibility = text("compatibility", MAX_COMPATIBILITY)?;
    let allowed_tools = text("allowed-tools", MAX_TEXT)?;
    let metadata = match fields.remove("metadata") {
        None => BTreeMap::new(),
        Some(Value::Text(_)) => return wrong("metadata", "must be a mapping of texts"),
        Some(Value::Pairs(pairs)) => {
            let checked = pairs.into_iter().map(|(key, value)| {
                let value = words(&format!("metadata.{key}"), &value, MAX_TEXT)?;
                Ok((key, value))
            });
            checked.collect::<Result<_, SkillError>>()?
        }
    };
    Ok(Manifest { name, description, license, compatibility, metadata, allowed_tools })
}

/// A text on one line: of visible characters, with one space where there were several, or the end of a line.
fn words(field: &str, text: &str, most: usize) -> Result<String, SkillError> {
    let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if words.is_empty() || words.chars().count() > most {
        return wrong(field, format!("must have 1 to {most} characters"));
    }
    if !words.chars().all(is_plain) {
        return wrong(field, "must not hold control or invisible characters");
    }
    Ok(words)
}
