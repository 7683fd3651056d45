//! Skills: folders with a `SKILL.md`, as the Agent Skills format (agentskills.io/specification) has them.
//!
//! Pure: bytes in, a checked [`Bundle`] or one plain error out. Nothing here reads a file, and nothing of a skill is ever
//! run. An archive is somebody's who wants harm until all of it was read: a bundle that this room gives has no path that
//! leads out of its folder, none that two systems would read as two files or as one, and no more bytes than the limits say.

mod archive;
mod bundle;
mod front_matter;
mod path;

pub use bundle::{Bundle, SKILL_FILE};
pub use front_matter::Manifest;

/// Bytes of an archive as it is uploaded.
pub const MAX_ARCHIVE: usize = 25 * 1024 * 1024;
/// Bytes of all files of a skill, unpacked.
pub const MAX_BYTES: usize = 25 * 1024 * 1024;
/// Files of a skill.
pub const MAX_FILES: usize = 500;
/// Bytes of `SKILL.md`.
pub const MAX_SKILL_FILE: usize = 512 * 1024;
/// Characters of a skill's name.
pub const MAX_NAME: usize = 64;
/// Characters of a description.
pub const MAX_DESCRIPTION: usize = 1024;

/// What is wrong with a skill, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{place}` {problem}")]
pub struct SkillError {
    /// A file, an entry of an archive, or a field of the front matter, such as `SKILL.md: name`; made visible and cut.
    pub place: String,
    /// In plain words, to go after the place.
    pub problem: String,
}

impl SkillError {
    fn new(place: &str, problem: impl Into<String>) -> Self {
        Self { place: shown(place), problem: problem.into() }
    }
}

/// Somebody else's text in a message of ours.
fn shown(text: &str) -> String {
    text.chars()
        .take(120)
        .flat_map(|char| if is_plain(char) { vec![char] } else { char.escape_default().collect() })
        .collect()
}

/// Shows on a screen, and does nothing else there.
fn is_plain(char: char) -> bool {
    !char.is_control()
        && !matches!(char, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e0fff}')
}
