//! Memory between sessions, as data: whose an entry is, what kind of thing it says, and the words that it is found by.
//!
//! What is remembered is somebody's words later on. An entry keeps the label of what it came from, and one that nobody
//! vouches for is a proposal until a person, or a session that read nothing untrusted, says the same. Nothing here knows
//! where entries are kept.

use crate::{Integrity, Label, canonical};
use bailiwick_types::{ActionId, MemoryId, Millis, Money, Principal, SessionId, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use unicode_normalization::{UnicodeNormalization as _, char::is_combining_mark};

/// Bytes of one entry's text.
pub const MAX_TEXT: usize = 4 * 1024;
/// Bytes of a question to memory.
pub const MAX_QUERY: usize = 1024;
/// Entries that one search gives.
pub const MAX_FOUND: u16 = 20;
pub const DEFAULT_FOUND: u16 = 8;
/// Entries that one consolidation writes.
pub const MAX_CONSOLIDATED: usize = 20;
/// Words of a question that are looked for.
const MAX_QUERY_WORDS: usize = 12;
/// Words of an entry that it is found by.
const MAX_WORDS: usize = 512;
/// Longer runs of letters are cut.
const MAX_WORD_CHARS: usize = 32;
/// Words that begin with the same letters, this many, are taken for forms of one word.
const STEM_CHARS: usize = 5;
/// Stands before the common beginning of words, which no word does.
const STEM_MARK: char = '~';
/// How long a session rests before it is consolidated, where nothing else is said.
pub const REST: Millis = Millis::from_secs(600);

/// Who shares an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MemoryScope {
    /// The person for whom the agent works, and nobody else.
    Person,
    /// Everybody in a team.
    Team,
    /// Everybody for whom this agent works.
    Agent,
    /// Everybody in the organisation.
    Tenant,
}

impl MemoryScope {
    pub const ALL: [Self; 4] = [Self::Person, Self::Team, Self::Agent, Self::Tenant];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Person => "person",
            Self::Team => "team",
            Self::Agent => "agent",
            Self::Tenant => "tenant",
        }
    }

    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|scope| scope.name() == name)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MemoryKind {
    Fact,
    Preference,
    /// What a session was about.
    Summary,
}

impl MemoryKind {
    pub const ALL: [Self; 3] = [Self::Fact, Self::Preference, Self::Summary];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Fact => "fact",
            Self::Preference => "preference",
            Self::Summary => "summary",
        }
    }

    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MemoryState {
    Confirmed,
    /// Kept apart: no session finds it.
    Proposed,
}

impl MemoryState {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Confirmed => "confirmed",
            Self::Proposed => "proposed",
        }
    }

    /// Of what a session with this label writes.
    pub fn under(label: &Label) -> Self {
        match label.integrity {
            Integrity::Trusted => Self::Confirmed,
            Integrity::Untrusted => Self::Proposed,
        }
    }
}

/// What an agent may do with memory. An agent without one has no memory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MemoryUse {
    /// Whose memory it reads and writes; not empty.
    pub scopes: BTreeSet<MemoryScope>,
    /// What a session was about is remembered when it rests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub consolidate: Option<Consolidate>,
}

/// Remembering by itself what a session was about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Consolidate {
    /// Nobody said anything and nothing ran for this long.
    pub after_ms: Millis,
    /// The most that one consolidation may cost, beside every other limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<Money>,
}

/// Canonical arguments of a search.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemorySearch {
    pub query: String,
    pub scopes: BTreeSet<MemoryScope>,
    /// Empty: all.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub kinds: BTreeSet<MemoryKind>,
    pub limit: u16,
}

/// Canonical arguments of writing an entry, or another text of one that is there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemoryWrite {
    pub scope: MemoryScope,
    pub kind: MemoryKind,
    pub text: String,
    /// The entry that gets this text, as it was seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaces: Option<MemoryVersion>,
    /// Of the session whose words these are.
    pub label: Label,
    /// The model call that remembered it by itself; `None` for a tool call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub consolidated_by: Option<ActionId>,
}

/// An entry as somebody saw it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemoryVersion {
    pub memory: MemoryId,
    /// Counts from 1.
    pub version: u32,
}

/// Where an entry came from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemorySource {
    /// Who wrote it.
    pub by: Principal,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<SessionId>,
    /// The action that wrote it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action: Option<ActionId>,
    /// The model call that remembered it by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub consolidated_by: Option<ActionId>,
    /// Who vouched for words that nobody had vouched for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confirmed_by: Option<Principal>,
}

/// Something that is remembered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemoryEntry {
    pub id: MemoryId,
    pub scope: MemoryScope,
    pub kind: MemoryKind,
    pub state: MemoryState,
    /// Counts from 1.
    pub version: u32,
    pub text: String,
    pub source: MemorySource,
    pub label: Label,
    pub created: Timestamp,
    pub updated: Timestamp,
}

/// A text as it is kept: line breaks of one kind, nothing around it, no controls. The error goes after the name of the
/// field.
pub fn text(given: &str) -> Result<String, String> {
    let kept: String = given.replace("\r\n", "\n").trim().to_owned();
    if kept.is_empty() || kept.len() > MAX_TEXT {
        return Err(format!("must have 1 to {MAX_TEXT} bytes"));
    }
    if kept.chars().any(|char| char.is_control() && !matches!(char, '\n' | '\t')) {
        return Err("must have no control characters".into());
    }
    Ok(kept)
}

/// A question as it is asked. The error goes after the name of the field.
pub fn query(given: &str) -> Result<String, String> {
    let kept = given.trim();
    if kept.is_empty() || kept.len() > MAX_QUERY {
        return Err(format!("must have 1 to {MAX_QUERY} bytes"));
    }
    if query_words(kept).is_empty() {
        return Err("must have a word".into());
    }
    Ok(kept.to_owned())
}

/// The form in which two texts are the same.
pub fn sameness(text: &str) -> String {
    canonical::folded(text).split_whitespace().collect::<Vec<_>>().join(" ")
}

/// What an entry is found by, each once.
pub fn words(text: &str) -> BTreeSet<String> {
    taken(text, MAX_WORDS)
}

/// What a question looks for. There is no syntax: every run of letters and digits is a word, and everything else ends one.
pub fn query_words(text: &str) -> BTreeSet<String> {
    taken(text, MAX_QUERY_WORDS)
}

fn taken(text: &str, most: usize) -> BTreeSet<String> {
    let folded = canonical::folded(text);
    let plain: String = folded.nfd().filter(|char| !is_combining_mark(*char)).nfc().collect();
    let mut found = BTreeSet::new();
    let mut count = 0;
    for run in plain.split(|char: char| !char.is_alphanumeric()).filter(|run| !run.is_empty()) {
        for word in pieces(run) {
            if count == most {
                return found;
            }
            if word.chars().count() >= STEM_CHARS {
                found.insert(std::iter::once(STEM_MARK).chain(word.chars().take(STEM_CHARS)).collect());
            }
            count += usize::from(found.insert(word));
        }
    }
    found
}

/// A run of letters is one word, but in scripts that put no spaces between words: there each two neighbours are one.
fn pieces(run: &str) -> Vec<String> {
    let mut pieces = Vec::new();
    let chars: Vec<char> = run.chars().collect();
    let mut at = 0;
    while at < chars.len() {
        let dense = is_dense(chars[at]);
        let end = at + chars[at..].iter().take_while(|char| is_dense(**char) == dense).count();
        let part = &chars[at..end];
        match dense {
            false => pieces.push(part.iter().take(MAX_WORD_CHARS).collect()),
            true if part.len() == 1 => pieces.push(part.iter().collect()),
            true => pieces.extend(part.windows(2).map(|two| two.iter().collect())),
        }
        at = end;
    }
    pieces
}

/// Scripts that are written without spaces between words (Thai to Myanmar, Khmer, kana, Han).
fn is_dense(char: char) -> bool {
    matches!(char, '\u{e00}'..='\u{eff}' | '\u{1000}'..='\u{109f}' | '\u{1780}'..='\u{17ff}' | '\u{3040}'..='\u{30ff}'
        | '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}' | '\u{f900}'..='\u{faff}' | '\u{20000}'..='\u{3ffff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Vec<String> {
        words(text).into_iter().collect()
    }

    #[test]
    fn words_are_found_whatever_their_case_width_accents_and_ending() {
        assert_eq!(of("Résumé"), of("RESUME"));
        assert_eq!(of("ＡＢＣ"), of("abc"));
        let (one, other) = (words("reports"), query_words("Reporting"));
        assert_eq!(one.intersection(&other).collect::<Vec<_>>(), ["~repor"]);
        assert!(words("format").contains("format"));
        assert_eq!(of("a b-c"), ["a", "b", "c"]);
        assert!(!words("東京都の売上").is_disjoint(&query_words("売上")), "scripts without spaces are found in pairs");
    }

    #[test]
    fn a_question_has_no_syntax_and_is_bounded() {
        let tricks = query_words("\"text\" OR * NEAR(a b) scope:person ^x -y {col} : ' ; --");
        assert!(tricks.iter().all(|word| word.chars().all(|char| char.is_alphanumeric() || char == '~')), "{tricks:?}");
        let many = (0..1000).map(|number| format!("w{number} ")).collect::<String>();
        assert_eq!(query_words(&many).len(), MAX_QUERY_WORDS, "short words have no stem");
        assert!(query("…!?").is_err() && query("").is_err() && query(&"a".repeat(MAX_QUERY + 1)).is_err());
        assert!(words(&"é".repeat(2000)).iter().all(|word| word.chars().count() <= MAX_WORD_CHARS));
    }

    #[test]
    fn a_text_is_kept_in_one_form() {
        assert_eq!(text("  one\r\ntwo ").unwrap(), "one\ntwo");
        assert!(text("").is_err() && text("a\u{7}").is_err() && text(&"a".repeat(MAX_TEXT + 1)).is_err());
        assert_eq!(sameness("Charts  as\nPNG"), sameness("charts as png"));
    }
}
