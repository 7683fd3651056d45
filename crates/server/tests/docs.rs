//! The pages keep up with the code: error codes, configuration keys, links.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests")]

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn read(path: &str) -> String {
    fs::read_to_string(repository().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The texts between `before` and the next quote.
fn quoted_after<'a>(text: &'a str, before: &str) -> impl Iterator<Item = &'a str> {
    text.split(before).skip(1).filter_map(|rest| rest.split('"').next())
}

fn sources(folder: &Path, found: &mut String) {
    for entry in fs::read_dir(folder).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push_str(&fs::read_to_string(path).unwrap());
        }
    }
}

#[test]
fn every_error_code_has_a_page() {
    let mut text = String::new();
    sources(&repository().join("crates/api/src"), &mut text);
    let text: String = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut codes = BTreeSet::new();
    for before in [
        "BAD_REQUEST, \"",
        "UNAUTHORIZED, \"",
        "FORBIDDEN, \"",
        "NOT_FOUND, \"",
        "METHOD_NOT_ALLOWED, \"",
        "CONFLICT, \"",
        "GONE, \"",
        "REQUEST_TIMEOUT, \"",
        "PAYLOAD_TOO_LARGE, \"",
        "UNSUPPORTED_MEDIA_TYPE, \"",
        "TOO_MANY_REQUESTS, \"",
        "NOT_IMPLEMENTED, \"",
        "SERVICE_UNAVAILABLE, \"",
        "INSUFFICIENT_STORAGE, \"",
        "INTERNAL_SERVER_ERROR, \"",
        "conflict( \"",
        "conflict(\"",
    ] {
        codes.extend(quoted_after(&text, before).map(str::to_owned));
    }
    assert!(codes.len() >= 20, "{codes:?}");
    let overview = read("docs/errors/README.md");
    for code in &codes {
        let page = read(&format!("docs/errors/{code}.md"));
        assert!(page.starts_with(&format!("# `{code}` (")) && page.contains("**What to do.**"), "{code}");
        assert!(overview.contains(&format!("[`{code}`]({code}.md)")), "{code} is not in docs/errors/README.md");
    }
    for entry in fs::read_dir(repository().join("docs/errors")).unwrap().flatten() {
        let name = entry.file_name().into_string().unwrap().replace(".md", "");
        assert!(name == "README" || codes.contains(&name), "docs/errors/{name}.md is about a code that is gone");
    }
}

#[test]
fn every_configuration_key_is_described() {
    let page = read("docs/configuration.md");
    let source = read("crates/server/src/config/known.rs");
    let plain = |key: &&str| key.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
    let keys: Vec<&str> = quoted_after(&source, "(\"").filter(plain).collect();
    assert!(keys.len() > 20);
    for key in keys {
        assert!(page.contains(key), "docs/configuration.md does not describe `{key}`");
    }
}

#[test]
fn links_between_pages_lead_somewhere() {
    let mut pages = vec![PathBuf::from("README.md"), PathBuf::from("ARCHITECTURE.md")];
    for folder in ["docs", "docs/errors"] {
        for entry in fs::read_dir(repository().join(folder)).unwrap().flatten() {
            let path = entry.path();
            if path.extension().is_some_and(|extension| extension == "md") {
                pages.push(path.strip_prefix(repository()).unwrap().to_owned());
            }
        }
    }
    for page in pages {
        let text = read(page.to_str().unwrap());
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let target = link.split('#').next().unwrap_or_default();
            if target.is_empty() || target.contains("://") {
                continue;
            }
            let place = repository().join(page.parent().unwrap()).join(target);
            assert!(place.exists(), "{}: the link to {target} leads nowhere", page.display());
        }
    }
}
