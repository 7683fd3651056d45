//! Habits of the house that no other tool checks: text, module headers, long files and functions, reasons, licences.
//!
//! Problems fail; what only grows too long is listed.

mod manifest;
mod rust;
mod text;

use anyhow::{Context as _, Result};
use std::{fs, path::Path};

/// A file longer than this is listed, or refused.
const LISTED_LINES: usize = 400;
const MAX_LINES: usize = 1000;
const LISTED_FUNCTION_LINES: usize = 70;
const MAX_ARCHITECTURE_LINES: usize = 400;
/// Folders whose content is not written by hand, or is bad on purpose.
const SKIPPED: [&str; 8] = [".git", "target", "node_modules", "dist", "fixtures", "golden", "corpus", "compile_fail"];

/// What was found.
#[derive(Debug, Default)]
struct Findings {
    problems: Vec<String>,
    /// Worth a look.
    listed: Vec<String>,
}

impl Findings {
    fn problem(&mut self, path: &str, line: usize, what: impl std::fmt::Display) {
        self.problems.push(format!("{path}:{line}: {what}"));
    }

    fn list(&mut self, path: &str, line: usize, what: impl std::fmt::Display) {
        self.listed.push(format!("{path}:{line}: {what}"));
    }
}

pub fn run(root: &Path) -> Result<Vec<String>> {
    let findings = check(root)?;
    for listed in &findings.listed {
        println!("worth a look: {listed}");
    }
    Ok(findings.problems)
}

fn check(root: &Path) -> Result<Findings> {
    let mut findings = Findings::default();
    let mut paths = Vec::new();
    collect(root, root, &mut paths)?;
    paths.sort();
    for path in &paths {
        let bytes = fs::read(root.join(path)).with_context(|| path.clone())?;
        if !text::is_checked(path) {
            continue;
        }
        let Ok(content) = String::from_utf8(bytes) else {
            findings.problem(path, 1, "is not UTF-8");
            continue;
        };
        text::check(path, &content, &mut findings);
        match path.rsplit('/').next() {
            Some("Cargo.toml") => manifest::check(path, &content, &mut findings),
            Some("clippy.toml") => manifest::check_clippy(path, &content, &mut findings),
            Some("Cargo.lock") => manifest::check_lock(path, &content, &mut findings),
            Some(name) if name.ends_with(".rs") => rust::check(path, &content, &mut findings),
            _ => {}
        }
    }
    for wanted in ["ARCHITECTURE.md", "README.md", "LICENSE"] {
        if !paths.iter().any(|path| path == wanted) {
            findings.problem(wanted, 1, "is missing");
        }
    }
    Ok(findings)
}

/// The paths of all files below `folder`, relative to `root`.
fn collect(root: &Path, folder: &Path, paths: &mut Vec<String>) -> Result<()> {
    for entry in fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let entry = entry?;
        let (name, kind) = (entry.file_name(), entry.file_type()?);
        if kind.is_dir() && !SKIPPED.iter().any(|skipped| name == *skipped) {
            collect(root, &entry.path(), paths)?;
        } else if kind.is_file() {
            let path = entry.path();
            paths.push(path.strip_prefix(root)?.to_string_lossy().into_owned());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const MANIFEST: &str = "[package]\nname = \"a\"\nlicense.workspace = true\n\n[lints]\nworkspace = true\n";
    const ROOT: &str = "[workspace]\nmembers = [\"a\"]\n\n[workspace.package]\nlicense = \"Apache-2.0\"\n";

    /// A good tree with these files put over it; empty content removes one.
    fn tree(files: &[(&str, &str)]) -> Findings {
        let folder = tempfile::tempdir().unwrap();
        let good = [
            ("ARCHITECTURE.md", "# A\n"),
            ("README.md", "# A\n"),
            ("LICENSE", "Apache\n"),
            ("Cargo.toml", ROOT),
            ("a/Cargo.toml", MANIFEST),
            ("a/src/lib.rs", "//! A room.\n"),
        ];
        for (path, content) in good.iter().chain(files) {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            if content.is_empty() { fs::remove_file(path).unwrap() } else { fs::write(path, content).unwrap() }
        }
        check(folder.path()).unwrap()
    }

    fn refused(path: &str, content: &str, wanted: &str) {
        let found = tree(&[(path, content)]).problems;
        assert!(found.len() == 1 && found[0].contains(wanted), "{path} {content:?}: {found:?}");
    }

    fn good(path: &str, content: &str) {
        let found = tree(&[(path, content)]);
        assert!(found.problems.is_empty(), "{path} {content:?}: {found:?}");
    }

    #[test]
    fn a_good_tree_is_good() {
        let found = tree(&[]);
        assert!(found.problems.is_empty() && found.listed.is_empty(), "{found:?}");
    }

    #[test]
    fn text_is_plain() {
        refused("a/x.md", "a\tb\n", "a/x.md:1: holds a tab");
        refused("a/x.md", "ab \n", "a/x.md:1: ends in white space");
        refused("a/x.md", "ab\r\n", "ends in white space");
        refused("a/x.md", "ab", "does not end with a line break");
        refused("a/x.md", "ab\n\n\n", "ends with empty lines");
        good("a/fixtures/x.md", "a\tb  ");
        good("a/image.png", "\tb  ");
    }

    #[test]
    fn a_module_says_what_it_is_for() {
        refused("a/src/thing.rs", "fn f() {}\n", "a/src/thing.rs:1: does not begin with `//!`");
        refused("a/tests/thing.rs", "// no\n", "does not begin with `//!`");
        good("a/tests/compile_fail/forged.rs", "fn f() {}\n");
    }

    #[test]
    fn a_file_has_at_most_a_thousand_lines() {
        let lines = |count: usize| format!("//! A.\n{}", "// a\n".repeat(count - 1));
        refused("a/src/long.rs", &lines(1001), "has 1001 lines");
        let found = tree(&[("a/src/long.rs", &lines(401))]);
        assert!(found.problems.is_empty());
        assert_eq!(found.listed, ["a/src/long.rs:1: has 401 lines"]);
        assert!(tree(&[("a/src/long.rs", &lines(400))]).listed.is_empty());
        refused("ARCHITECTURE.md", &"a\n".repeat(401), "has 401 lines; 400 are the limit");
    }

    #[test]
    fn a_long_function_is_listed() {
        let code = |lines: usize| {
            format!(
                "//! A.\nmod m {{\n    impl A {{\n        /// Long.\n        fn f() {{\n{}        }}\n    }}\n}}\n",
                "            g();\n".repeat(lines - 2)
            )
        };
        assert_eq!(tree(&[("a/src/long.rs", &code(71))]).listed, ["a/src/long.rs:5: `f` has 71 lines"]);
        assert!(tree(&[("a/src/long.rs", &code(70))]).listed.is_empty());
    }

    #[test]
    fn nothing_is_left_open_or_switched_off() {
        refused("a/src/x.rs", "//! A.\n#[test]\n#[ignore]\nfn f() {}\n", "a/src/x.rs:3: holds `#[ignore`");
        refused("a/src/x.rs", "//! A.\nfn f() { todo!() }\n", "a/src/x.rs:2: holds `todo!`");
        refused("a/src/x.rs", "//! A.\nfn f() { unimplemented!(\"x\") }\n", "holds `unimplemented!`");
        refused("docs/x.md", "FIXME later\n", "docs/x.md:1: holds `FIXME`");
    }

    #[test]
    fn nothing_names_a_persons_or_a_machines_place() {
        refused("docs/x.md", "run /home/ann/bin/x\n", "docs/x.md:1: holds `/home/`");
        refused("a/src/x.rs", "//! A.\nconst P: &str = \"/root/x\";\n", "holds `/root/`");
        refused("run.sh", "pip install --index-url http://x y\n", "holds `index-url`");
        refused(
            "a/Cargo.toml",
            &MANIFEST.replace("name", "name-of = \"10.1.2.3\"\nname"),
            "holds the address 10.1.2.3",
        );
        good("a/src/x.rs", "//! A.\nconst P: &str = \"127.0.0.1:0 0.0.0.0 192.0.2.7 169.254.169.254 1.2.3\";\n");
    }

    #[test]
    fn an_expect_says_why_it_holds() {
        refused(
            "a/src/x.rs",
            "//! A.\nfn f() {\n    g().expect(\"x\");\n}\n",
            "a/src/x.rs:3: `expect` without an `// INVARIANT:`",
        );
        refused("a/src/x.rs", "//! A.\nfn f() {\n    vec![g().expect(\"x\")];\n}\n", "a/src/x.rs:3: `expect` without");
        good(
            "a/src/x.rs",
            "//! A.\nfn f() {\n    // INVARIANT: b.\n    g()\n        .h()\n        .expect(\"x\");\n}\n",
        );
        good("a/src/x.rs", "//! A.\n#[cfg(test)]\nmod tests {\n    fn f() {\n        g().expect(\"x\");\n    }\n}\n");
        good("a/src/tests.rs", "fn f() {\n    g().expect(\"x\");\n}\n");
        good("a/tests/x.rs", "//! A.\nfn f() {\n    g().expect(\"x\");\n}\n");
    }

    #[test]
    fn code_that_does_not_parse_is_named() {
        refused("a/src/x.rs", "//! A.\nfn f( {\n", "a/src/x.rs:2: does not parse");
    }

    #[test]
    fn every_package_has_the_licence_and_the_lints() {
        refused("a/Cargo.toml", "[package]\nname = \"a\"\n\n[lints]\nworkspace = true\n", "`license.workspace = true`");
        refused("a/Cargo.toml", "[package]\nname = \"a\"\nlicense.workspace = true\n", "`[lints] workspace = true`");
        refused("Cargo.toml", "[workspace]\nmembers = []\n", "`license = \"Apache-2.0\"`");
        refused("a/Cargo.toml", "[package\n", "does not parse");
        refused("LICENSE", "", "LICENSE:1: is missing");
        refused("ARCHITECTURE.md", "", "ARCHITECTURE.md:1: is missing");
    }

    #[test]
    fn a_banned_call_names_what_to_use_instead() {
        let types = "disallowed-types = [{ path = \"a::B\", reason = \"b\" }]\n";
        let methods = |entry: &str| format!("disallowed-methods = [{{ {entry} }}]\n{types}");
        good("clippy.toml", &methods("path = \"std::a\", reason = \"b\""));
        refused("clippy.toml", &methods("path = \"std::a\""), "`std::a` has no reason");
        refused("clippy.toml", &methods("path = \"std::a\", reason = \"b\", allow-invalid = true"), "must not be");
        refused("clippy.toml", types, "`disallowed-methods` is empty");
    }

    #[test]
    fn the_lock_names_registries_only() {
        let lock = "version = 4\n\n[[package]]\nname = \"a\"\nversion = \"1.0.0\"\n";
        good("Cargo.lock", &format!("{lock}source = \"registry+https://example.org/index\"\n"));
        refused(
            "Cargo.lock",
            &format!("{lock}source = \"git+https://example.org/a#1\"\n"),
            "`a` comes from another place",
        );
    }
}
