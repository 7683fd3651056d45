//! What any text of the tree must not hold.

use super::{Findings, LISTED_LINES, MAX_ARCHITECTURE_LINES, MAX_LINES};

const CHECKED: [&str; 14] =
    [".rs", ".toml", ".lock", ".md", ".py", ".sh", ".yml", ".yaml", ".service", ".ts", ".tsx", ".css", ".html", "run"];

/// Texts that are forbidden, each with its reason.
const FORBIDDEN: [(&str, &str); 10] = [
    ("#[ignore", "a test runs or is removed"),
    ("todo!", "finish it, or return an error that says what to do"),
    ("unimplemented!", "finish it, or return an error that says what to do"),
    ("FIXME", "an open end belongs into an issue"),
    ("TODO:", "an open end belongs into an issue"),
    ("/home/", "a path of one person's machine"),
    ("/root/", "a path of one person's machine"),
    ("/Users/", "a path of one person's machine"),
    ("index-url", "packages come from the public index, as each tool is set up"),
    ("registry = \"http", "packages come from the public index, as each tool is set up"),
];
/// These files name what is forbidden.
const EXEMPT: &str = "xtask/src/tidy/";

pub fn is_checked(path: &str) -> bool {
    CHECKED.iter().any(|ending| path.ends_with(ending))
}

pub fn check(path: &str, content: &str, findings: &mut Findings) {
    if !content.is_empty() && !content.ends_with('\n') {
        findings.problem(path, content.lines().count(), "does not end with a line break");
    }
    let lines = content.lines().count();
    if content.ends_with("\n\n") {
        findings.problem(path, lines, "ends with empty lines");
    }
    let generated = path.ends_with(".lock");
    if path == "ARCHITECTURE.md" && lines > MAX_ARCHITECTURE_LINES {
        findings.problem(path, 1, format_args!("has {lines} lines; {MAX_ARCHITECTURE_LINES} are the limit"));
    } else if lines > MAX_LINES && !generated {
        findings.problem(path, 1, format_args!("has {lines} lines; split it below {MAX_LINES}"));
    } else if lines > LISTED_LINES && !generated {
        findings.list(path, 1, format_args!("has {lines} lines"));
    }
    // `split` and not `lines`, which would hide a carriage return.
    for (number, line) in content.split('\n').enumerate().map(|(index, line)| (index + 1, line)) {
        check_line(path, number, line, findings);
    }
}

fn check_line(path: &str, number: usize, line: &str, findings: &mut Findings) {
    if line.contains('\t') {
        findings.problem(path, number, "holds a tab");
    }
    if line.ends_with([' ', '\r']) {
        findings.problem(path, number, "ends in white space");
    }
    for (text, reason) in FORBIDDEN {
        if line.contains(text) && !path.starts_with(EXEMPT) {
            findings.problem(path, number, format_args!("holds `{text}`: {reason}"));
        }
    }
    let words = line.split(|c: char| !c.is_ascii_digit() && c != '.');
    for address in words.filter_map(|word| word.parse::<std::net::Ipv4Addr>().ok()) {
        let [a, b, ..] = address.octets();
        let of_a_network = a == 10 || (a == 172 && (16..32).contains(&b)) || (a == 192 && b == 168);
        // Code that refuses private addresses names them; configuration has no reason to.
        if of_a_network && [".toml", ".lock", ".yml", ".yaml", ".sh"].iter().any(|ending| path.ends_with(ending)) {
            findings.problem(path, number, format_args!("holds the address {address} of somebody's own network"));
        }
    }
}
