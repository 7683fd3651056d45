//! The mark on commits: who made them, for whom, and in which session, told to git by variables and a hook.
//!
//! A commit is made by the agent and says for whom; never by the person. All of it can be changed by whoever runs the
//! command, as anybody can sign a commit with any name: it is for readers, and what proves something is the receipt.

use bailiwick_types::{Mark, Principal};
use std::collections::BTreeMap;

/// Where new repositories of a sandbox take their hooks from.
pub const TEMPLATES: &str = "/run/git";
/// Adds the trailers; runs also with `--no-verify`. A repository's own hooks stay.
pub const HOOK: (&str, &str) = (
    "prepare-commit-msg",
    "#!/bin/sh\n\
     # Says in each commit for whom it was made, and in which session.\n\
     [ -n \"$BAILIWICK_SESSION\" ] || exit 0\n\
     exec git interpret-trailers --in-place --if-exists addIfDifferent \\\n\
     \x20 --trailer \"On-behalf-of: $BAILIWICK_SUBJECT\" --trailer \"Bailiwick-Session: $BAILIWICK_SESSION\" \"$1\"\n",
);

/// What a command is told of whoever runs it.
pub fn variables(by: &Principal) -> BTreeMap<String, String> {
    let mark = Mark(by);
    // RFC 2606: this domain is nobody's.
    let address = format!("{}@bailiwick.invalid", mark.actor());
    let mut variables = BTreeMap::new();
    for who in ["AUTHOR", "COMMITTER"] {
        variables.insert(format!("GIT_{who}_NAME"), by.to_string());
        variables.insert(format!("GIT_{who}_EMAIL"), address.clone());
    }
    variables.insert("BAILIWICK_SUBJECT".to_owned(), mark.subject().to_string());
    if let Some(session) = mark.session() {
        variables.insert("BAILIWICK_SESSION".to_owned(), session.to_string());
    }
    variables
}
