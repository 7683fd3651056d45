//! Compares the arrows between crates with the table in `rooms.toml`.

use anyhow::{Context as _, Result, ensure};
use serde::Deserialize;
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    path::Path,
    process::Command,
};

const TABLE: &str = "xtask/rooms.toml";
const PREFIX: &str = "bailiwick-";

/// `rooms.toml`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    room: Vec<Room>,
    guard: Vec<Guard>,
    reach: Vec<Reach>,
    ban: Vec<Ban>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Room {
    name: String,
    imports: Vec<String>,
    /// What its tests may import besides.
    #[serde(default)]
    tests_import: Vec<String>,
    because: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Guard {
    #[serde(rename = "crate")]
    name: String,
    feature: Option<String>,
    rooms: Vec<String>,
    because: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Reach {
    room: String,
    never: Vec<String>,
    because: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Ban {
    #[serde(rename = "crate")]
    name: String,
    because: String,
}

/// The part of `cargo metadata --format-version 1` that is looked at.
#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
    workspace_members: Vec<String>,
    resolve: Resolve,
}

#[derive(Deserialize)]
struct Package {
    id: String,
    name: String,
    dependencies: Vec<Dependency>,
}

#[derive(Deserialize)]
struct Dependency {
    name: String,
    /// `None` is a normal dependency.
    kind: Option<String>,
    features: Vec<String>,
}

#[derive(Deserialize)]
struct Resolve {
    nodes: Vec<Node>,
}

#[derive(Deserialize)]
struct Node {
    id: String,
    deps: Vec<NodeDependency>,
}

#[derive(Deserialize)]
struct NodeDependency {
    pkg: String,
    dep_kinds: Vec<DependencyKind>,
}

#[derive(Deserialize)]
struct DependencyKind {
    kind: Option<String>,
}

pub fn run(root: &Path) -> Result<Vec<String>> {
    let table = std::fs::read_to_string(root.join(TABLE)).with_context(|| format!("reading {TABLE}"))?;
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo).args(["metadata", "--format-version", "1"]).current_dir(root).output()?;
    ensure!(output.status.success(), "cargo metadata failed: {}", String::from_utf8_lossy(&output.stderr));
    check(&table, &output.stdout)
}

/// Every arrow that breaks a line of the table, with the line's reason.
fn check(table: &str, metadata: &[u8]) -> Result<Vec<String>> {
    let table: Table = toml::from_str(table).context(TABLE)?;
    let metadata: Metadata = serde_json::from_slice(metadata).context("the output of cargo metadata")?;
    let graph = Graph::new(&metadata);
    let mut problems = table_problems(&table);
    for member in &metadata.workspace_members {
        let Some(package) = graph.packages.get(member.as_str()) else { continue };
        let Some(name) = graph.room(member) else {
            problems.push(format!("{}: a package of the workspace is called `{PREFIX}` and its folder", package.name));
            continue;
        };
        match table.room.iter().find(|room| room.name == name) {
            Some(room) => problems.extend(import_problems(room, package)),
            None => problems.push(format!("{name}: this room is not in {TABLE}; say there what it may import and why")),
        }
        problems.extend(guard_problems(&table, name, package));
    }
    problems.extend(reach_problems(&table, &graph, &metadata.workspace_members));
    Ok(problems)
}

/// A table that names rooms that it does not have protects nothing.
fn table_problems(table: &Table) -> Vec<String> {
    let known: BTreeSet<&str> = table.room.iter().map(|room| room.name.as_str()).chain(["*"]).collect();
    let imports = table.room.iter().flat_map(|room| room.imports.iter().chain(&room.tests_import));
    let guards = table.guard.iter().flat_map(|guard| guard.rooms.iter());
    let reach = table.reach.iter().map(|reach| &reach.room);
    let unknown = imports.chain(guards).chain(reach).filter(|name| !known.contains(name.as_str()));
    let mut problems: Vec<_> = unknown.map(|name| format!("{TABLE}: there is no room `{name}`")).collect();
    let reasons = table.room.iter().map(|one| &one.because).chain(table.guard.iter().map(|one| &one.because));
    let reasons =
        reasons.chain(table.reach.iter().map(|one| &one.because)).chain(table.ban.iter().map(|one| &one.because));
    if reasons.into_iter().any(|reason| reason.trim().is_empty()) {
        problems.push(format!("{TABLE}: every line has a reason"));
    }
    problems
}

fn import_problems(room: &Room, package: &Package) -> Vec<String> {
    let allowed = |dependency: &Dependency, import: &str| {
        let test = dependency.kind.as_deref() == Some("dev");
        let for_tests = test && (import == "testkit" || room.tests_import.iter().any(|name| name == import));
        for_tests || room.imports.iter().any(|name| name == "*" || name == import)
    };
    let mut problems = Vec::new();
    for dependency in &package.dependencies {
        let Some(import) = dependency.name.strip_prefix(PREFIX) else { continue };
        if import == "server" {
            problems.push(format!("{}: nobody imports `server`, the composition root", room.name));
        } else if import == "testkit" && room.name == "server" && dependency.kind.is_none() {
            problems.push(format!("{}: `testkit` must not ship in the binary", room.name));
        } else if !allowed(dependency, import) {
            problems.push(format!("{}: must not import `{import}`: {}", room.name, room.because));
        }
    }
    problems
}

fn guard_problems(table: &Table, room: &str, package: &Package) -> Vec<String> {
    let mut problems = Vec::new();
    for dependency in package.dependencies.iter().filter(|dependency| dependency.kind.as_deref() != Some("dev")) {
        for guard in table.guard.iter().filter(|guard| guard.name == dependency.name) {
            let concerned = guard.feature.as_ref().is_none_or(|feature| dependency.features.contains(feature));
            if concerned && !guard.rooms.iter().any(|name| name == room) {
                let feature = guard.feature.as_ref().map(|f| format!(" with the feature `{f}`")).unwrap_or_default();
                problems.push(format!("{room}: must not use `{}`{feature}: {}", guard.name, guard.because));
            }
        }
    }
    problems
}

fn reach_problems(table: &Table, graph: &Graph<'_>, members: &[String]) -> Vec<String> {
    let mut problems = Vec::new();
    for member in members {
        let Some(room) = graph.room(member) else { continue };
        let paths = graph.reached_from(member);
        let never = table.reach.iter().filter(|reach| reach.room == room);
        let never = never.flat_map(|reach| reach.never.iter().map(move |name| (name, &reach.because)));
        let banned = table.ban.iter().map(|ban| (&ban.name, &ban.because));
        for (name, because) in never.chain(banned) {
            if let Some(path) = paths.get(name.as_str()) {
                problems.push(format!("{room}: must not reach `{name}` ({}): {because}", path.join(" -> ")));
            }
        }
    }
    problems
}

/// Who depends on whom in the built artefacts: normal and build dependencies, for any platform.
struct Graph<'a> {
    packages: HashMap<&'a str, &'a Package>,
    nodes: HashMap<&'a str, &'a Node>,
}

impl<'a> Graph<'a> {
    fn new(metadata: &'a Metadata) -> Self {
        let packages = metadata.packages.iter().map(|package| (package.id.as_str(), package)).collect();
        let nodes = metadata.resolve.nodes.iter().map(|node| (node.id.as_str(), node)).collect();
        Self { packages, nodes }
    }

    /// The room that a member is, by its package name.
    fn room(&self, member: &str) -> Option<&'a str> {
        let name = self.packages.get(member)?.name.as_str();
        if name == "xtask" { Some(name) } else { name.strip_prefix(PREFIX) }
    }

    /// Every crate that is reached, with a shortest way to it.
    fn reached_from(&self, member: &str) -> BTreeMap<&'a str, Vec<&'a str>> {
        let mut ways: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        let mut seen = BTreeSet::new();
        let mut queue = std::collections::VecDeque::from([(member, Vec::new())]);
        while let Some((id, way)) = queue.pop_front() {
            let (Some(node), true) = (self.nodes.get(id), seen.insert(id.to_owned())) else { continue };
            let shipped =
                |next: &&NodeDependency| next.dep_kinds.iter().any(|kind| kind.kind.as_deref() != Some("dev"));
            for next in node.deps.iter().filter(shipped) {
                let Some(package) = self.packages.get(next.pkg.as_str()) else { continue };
                let mut way = way.clone();
                way.push(package.name.as_str());
                ways.entry(&package.name).or_insert_with(|| way.clone());
                queue.push_back((&next.pkg, way));
            }
        }
        ways
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    const TABLE: &str = include_str!("../rooms.toml");

    /// A package's name and its dependencies, each with kind and features.
    type Described<'a> = (&'a str, &'a [(&'a str, Option<&'a str>, &'a [&'a str])]);

    /// A workspace of packages with `(dependency, kind, features)`; what they name exists.
    fn workspace(packages: &[Described<'_>]) -> Vec<u8> {
        let mut names: BTreeSet<&str> = packages.iter().map(|(name, _)| *name).collect();
        names.extend(packages.iter().flat_map(|(_, deps)| deps.iter().map(|(name, ..)| *name)));
        let of = |name: &str| packages.iter().find(|(one, _)| *one == name).map_or(&[][..], |(_, deps)| *deps);
        let package = |name: &&str| -> Value {
            let dependencies: Vec<_> = of(name)
                .iter()
                .map(|(n, kind, features)| json!({"name": n, "kind": kind, "features": features}))
                .collect();
            json!({"id": name, "name": name, "dependencies": dependencies})
        };
        let node = |name: &&str| -> Value {
            let deps: Vec<_> =
                of(name).iter().map(|(n, kind, _)| json!({"pkg": n, "dep_kinds": [{"kind": kind}]})).collect();
            json!({"id": name, "deps": deps})
        };
        let members: Vec<_> =
            names.iter().filter(|n| n.starts_with(PREFIX) || **n == "xtask" || n.starts_with("odd")).collect();
        serde_json::to_vec(&json!({
            "packages": names.iter().map(package).collect::<Vec<_>>(),
            "workspace_members": members,
            "resolve": {"nodes": names.iter().map(node).collect::<Vec<_>>()},
        }))
        .unwrap()
    }

    fn problems(packages: &[Described<'_>]) -> Vec<String> {
        check(TABLE, &workspace(packages)).unwrap()
    }

    #[test]
    fn a_house_by_the_table_is_good() {
        let found = problems(&[
            ("bailiwick-types", &[("serde", None, &[])]),
            ("bailiwick-core", &[("bailiwick-types", None, &[]), ("proptest", Some("dev"), &[])]),
            (
                "bailiwick-store",
                &[("bailiwick-ports", None, &[]), ("rusqlite", None, &[]), ("bailiwick-testkit", Some("dev"), &[])],
            ),
            ("bailiwick-environments", &[("tokio", None, &["process", "net"])]),
            ("bailiwick-server", &[("bailiwick-store", None, &[]), ("bailiwick-environments", None, &[])]),
        ]);
        assert_eq!(found, Vec::<String>::new());
    }

    #[test]
    fn an_adapter_that_imports_an_adapter_is_refused() {
        let found = problems(&[("bailiwick-models", &[("bailiwick-identity", None, &[])])]);
        assert_eq!(found.len(), 1);
        assert!(found[0].starts_with("models: must not import `identity`: an adapter"), "{found:?}");
    }

    #[test]
    fn tests_do_not_loosen_arrows_but_for_the_test_kit() {
        let found = problems(&[(
            "bailiwick-core",
            &[("bailiwick-store", Some("dev"), &[]), ("bailiwick-testkit", Some("dev"), &[])],
        )]);
        assert_eq!(found.len(), 1);
        assert!(found[0].starts_with("core: must not import `store`"), "{found:?}");
    }

    #[test]
    fn what_only_tests_may_import_is_not_shipped() {
        let with = |kind| problems(&[("bailiwick-environments", &[("bailiwick-executor", kind, &[])])]);
        assert_eq!(with(Some("dev")), Vec::<String>::new());
        assert!(with(None)[0].starts_with("environments: must not import `executor`"));
    }

    #[test]
    fn the_binary_is_imported_by_nobody_and_holds_no_fakes() {
        let found = problems(&[
            ("xtask", &[("bailiwick-server", None, &[])]),
            ("bailiwick-server", &[("bailiwick-testkit", None, &[])]),
        ]);
        assert_eq!(found.len(), 2, "{found:?}");
    }

    #[test]
    fn what_performs_is_named_only_in_its_rooms() {
        let found = problems(&[
            ("bailiwick-engine", &[("reqwest", None, &[])]),
            ("bailiwick-api", &[("tokio", None, &["sync", "process"])]),
            ("bailiwick-models", &[("aws-lc-rs", None, &[]), ("tokio", Some("dev"), &["net"])]),
        ]);
        let wanted = [
            "api: must not use `tokio` with the feature `process`",
            "engine: must not use `reqwest`",
            "models: must not use `aws-lc-rs`",
            "engine: must not reach `reqwest` (reqwest)",
        ];
        for wanted in wanted {
            assert!(found.iter().any(|problem| problem.starts_with(wanted)), "{wanted}: {found:?}");
        }
        assert_eq!(found.len(), wanted.len(), "{found:?}");
    }

    #[test]
    fn a_long_way_round_is_found_and_shown() {
        let found = problems(&[
            ("bailiwick-core", &[("innocent", None, &[])]),
            ("innocent", &[("tokio", None, &[]), ("bindgen", Some("build"), &[])]),
        ]);
        assert!(
            found.iter().any(|p| p.starts_with("core: must not reach `tokio` (innocent -> tokio): pure")),
            "{found:?}"
        );
        assert!(
            found.iter().any(|p| p.starts_with("core: must not reach `bindgen` (innocent -> bindgen)")),
            "{found:?}"
        );
    }

    #[test]
    fn a_room_that_is_not_in_the_table_is_refused() {
        let found = problems(&[("bailiwick-attic", &[]), ("odd-name", &[])]);
        assert!(found[0].starts_with("attic: this room is not in xtask/rooms.toml"), "{found:?}");
        assert!(found[1].starts_with("odd-name: a package of the workspace is called"), "{found:?}");
    }

    #[test]
    fn a_table_with_a_misspelt_room_is_refused() {
        let table = TABLE.replacen("\"sample\", \"store\"]", "\"sample\", \"stoer\"]", 1);
        let found = check(&table, &workspace(&[])).unwrap();
        assert_eq!(found, ["xtask/rooms.toml: there is no room `stoer`"]);
        assert!(check(&TABLE.replacen("imports", "import", 1), &workspace(&[])).is_err());
    }
}
