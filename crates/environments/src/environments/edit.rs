//! `file.edit`: replaces a piece of text, and finds out afterwards whether that was done.

use super::perform::{MAX_EDITED_BYTES, content, failed, failed_or_unknown};
use crate::hands::Hands;
use bailiwick_core::{Failure, FailureCode, Outcome};

pub(super) struct Edit<'a> {
    pub path: &'a str,
    pub old: &'a str,
    pub new: &'a str,
    pub all: bool,
}

/// What the content says of an edit that may have been done.
#[derive(Debug, PartialEq, Eq)]
enum Trace {
    Done,
    NotDone,
    Unclear,
}

impl Edit<'_> {
    pub async fn perform(&self, hands: &Hands, maybe_done: bool) -> Outcome {
        let bytes = match hands.read(self.path, MAX_EDITED_BYTES).await {
            Ok(bytes) => bytes,
            Err(error) if maybe_done => return Outcome::Unknown { reason: format!("{}: {error}", self.path) },
            Err(error) => return failed(self.path, &error),
        };
        let Ok(text) = String::from_utf8(bytes) else { return self.refuse("is not UTF-8 text") };
        if maybe_done {
            match self.trace(&text) {
                Trace::Done => return content(format!("Edited {}.", self.path)),
                Trace::NotDone => {}
                Trace::Unclear => {
                    let reason = format!("{} has both the old and the new text: look at it", self.path);
                    return Outcome::Unknown { reason };
                }
            }
        }
        match text.matches(self.old).count() {
            0 => self.refuse("does not hold the old text: read it and take the text exactly as it is there"),
            2.. if !self.all => {
                self.refuse("holds the old text more than once: take more of what is around it, or replace all")
            }
            count => match hands.write(self.path, text.replace(self.old, self.new).as_bytes()).await {
                Ok(()) if count == 1 => content(format!("Edited {}.", self.path)),
                Ok(()) => content(format!("Edited {} in {count} places.", self.path)),
                Err(error) => failed_or_unknown(self.path, &error),
            },
        }
    }

    fn refuse(&self, why: &str) -> Outcome {
        Outcome::Failed { failure: Failure::new(FailureCode::ToolError, format!("{} {why}", self.path)) }
    }

    /// The edit needed the old text to be there, once or anywhere, and left the new text in its place.
    fn trace(&self, text: &str) -> Trace {
        if self.old == self.new {
            return Trace::Done;
        }
        let old = text.matches(self.old).count();
        let new = if self.new.is_empty() { 0 } else { text.matches(self.new).count() };
        let old_in_new = self.new.matches(self.old).count();
        match (old, new) {
            (0, 0) if !self.new.is_empty() => Trace::Unclear,
            (0, _) => Trace::Done,
            (_, 0) => Trace::NotDone,
            // What is left of the old text is part of the new.
            (old, new) if old_in_new > 0 && old == new * old_in_new => Trace::Done,
            _ => Trace::Unclear,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_edit_leaves_a_trace() {
        let trace = |old, new, text: &str| Edit { path: "/x", old, new, all: false }.trace(text);
        assert_eq!(trace("a", "b", "xax"), Trace::NotDone);
        assert_eq!(trace("a", "b", "xbx"), Trace::Done);
        assert_eq!(trace("a", "", "xx"), Trace::Done);
        assert_eq!(trace("a", "", "xax"), Trace::NotDone);
        assert_eq!(trace("a", "ab", "xax"), Trace::NotDone);
        assert_eq!(trace("a", "ab", "xabx"), Trace::Done);
        assert_eq!(trace("a", "b", "ab"), Trace::Unclear);
        assert_eq!(trace("a", "b", "xx"), Trace::Unclear, "somebody else changed it");
        assert_eq!(trace("a", "a", "x"), Trace::Done);
    }
}
