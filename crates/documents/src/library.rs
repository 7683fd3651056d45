//! Which folders there are and who may read them: the configuration of a documents connector.

use crate::Bucket;
use bailiwick_core::{Confidentiality, Integrity, Label, canonical};
use bailiwick_ports::SettingsProblem;
use bailiwick_types::{Role, TeamId, UserId};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

pub const MAX_FOLDERS: usize = 256;
/// Rules inside one folder.
pub const MAX_INNER: usize = 256;
/// Names in one list of readers.
const MAX_READERS: usize = 1_000;
/// Longest name of a folder in characters.
const MAX_NAME: usize = 64;

/// The configuration of a documents connector.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Library {
    pub folders: Vec<Folder>,
}

/// A folder of the machine, or a part of a bucket, under a name of its own: `/NAME/…` is how its documents are called.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Folder {
    /// 1 to 64 characters, without `/`; names differ by more than their case.
    pub name: String,
    /// Where it is on this machine, as an absolute path; or `bucket`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub root: Option<PathBuf>,
    /// Where it is in an object store; or `root`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bucket: Option<Bucket>,
    /// Who may read it. Nobody else knows that it is there.
    pub readers: Readers,
    /// What its documents carry into a session. Without it: untrusted, because anybody may have written them, and
    /// internal.
    #[serde(default = "usual_label")]
    pub label: Label,
    /// Parts of it that fewer may read.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub inside: Vec<Inner>,
}

/// A narrower rule for a part of a folder. It adds to those around it: whoever reads here may read there too.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Inner {
    /// Relative to the folder: `payroll`, `2026/board`.
    pub path: String,
    pub readers: Readers,
    /// Joined with the folder's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<Label>,
}

/// Who may read: whoever is in any of these lists.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Readers {
    /// Everybody of the organisation, programs included.
    pub everybody: bool,
    pub teams: Vec<TeamId>,
    pub roles: Vec<Role>,
    pub users: Vec<UserId>,
}

/// For whom something is read. A program that acts for nobody is in no team and has no role.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reader {
    pub user: Option<UserId>,
    pub teams: Vec<TeamId>,
    pub roles: Vec<Role>,
}

/// Documents of a department are anybody's words.
fn usual_label() -> Label {
    Label { integrity: Integrity::Untrusted, confidentiality: Confidentiality::Internal }
}

impl Readers {
    pub fn admit(&self, reader: &Reader) -> bool {
        self.everybody
            || reader.user.is_some_and(|user| self.users.contains(&user))
            || reader.teams.iter().any(|team| self.teams.contains(team))
            || reader.roles.iter().any(|role| self.roles.contains(role))
    }

    fn check(&self) -> Result<(), SettingsProblem> {
        let longest = self.teams.len().max(self.roles.len()).max(self.users.len());
        if longest > MAX_READERS {
            let problem = format!("must have at most {MAX_READERS} names in a list");
            return Err(SettingsProblem::new("readers", problem));
        }
        Ok(())
    }
}

impl Library {
    /// Refuses what cannot work, by the name of the field.
    pub fn check(&self) -> Result<(), SettingsProblem> {
        if self.folders.is_empty() || self.folders.len() > MAX_FOLDERS {
            return Err(SettingsProblem::new("folders", format!("must be 1 to {MAX_FOLDERS}")));
        }
        for (at, folder) in self.folders.iter().enumerate() {
            let wrong = |problem: SettingsProblem| problem.within(&format!("folders[{at}]"));
            folder.check().map_err(wrong)?;
            let name = canonical::folded(&folder.name);
            if folder.bucket.is_some() && folder.host() != self.host() {
                let other = "must be on the same host as the other buckets, because one secret goes to all";
                return Err(wrong(SettingsProblem::new("bucket.url", other)));
            }
            if self.folders[..at].iter().any(|other| canonical::folded(&other.name) == name) {
                return Err(wrong(SettingsProblem::new("name", format!("is there twice: `{}`", folder.name))));
            }
        }
        Ok(())
    }

    /// The object store, where there is one.
    pub(crate) fn host(&self) -> Option<String> {
        self.folders.iter().find_map(Folder::host)
    }

    /// The folder of this name, if `reader` may read it.
    pub(crate) fn folder(&self, name: &str, reader: &Reader) -> Option<&Folder> {
        let name = canonical::folded(name);
        self.folders.iter().find(|folder| canonical::folded(&folder.name) == name && folder.readers.admit(reader))
    }
}

impl Folder {
    fn host(&self) -> Option<String> {
        self.bucket.as_ref().and_then(Bucket::host)
    }

    fn check(&self) -> Result<(), SettingsProblem> {
        let wrong = |field: &str, problem: &str| Err(SettingsProblem::new(field, problem));
        if !is_name(&self.name) || self.name.chars().count() > MAX_NAME {
            let problem =
                format!("must have 1 to {MAX_NAME} characters, without `/`, control characters or a dot in front");
            return wrong("name", &problem);
        }
        match (&self.root, &self.bucket) {
            (Some(root), None) if root.is_absolute() => {}
            (Some(_), None) => return wrong("root", "must be an absolute path"),
            (None, Some(bucket)) => bucket.check().map_err(|problem| problem.within("bucket"))?,
            _ => return wrong("root", "or else `bucket` must be there"),
        }
        self.readers.check()?;
        if self.inside.len() > MAX_INNER {
            return wrong("inside", &format!("must be at most {MAX_INNER}"));
        }
        self.inside.iter().enumerate().try_for_each(|(at, inner)| {
            if inner.path.is_empty() || !inner.path.split('/').all(is_name) {
                return wrong(&format!("inside[{at}].path"), "must be a path below the folder, such as `payroll`");
            }
            inner.readers.check().map_err(|problem| problem.within(&format!("inside[{at}]")))
        })
    }

    /// The label of what lies at `parts` below this folder; `None` when `reader` may not read it. Names count alike in
    /// every case and width, so that no spelling walks around a rule on a file system that does not tell them apart.
    pub(crate) fn admits(&self, parts: &[String], reader: &Reader) -> Option<Label> {
        if !self.readers.admit(reader) {
            return None;
        }
        let parts: Vec<String> = parts.iter().map(|part| canonical::folded(part)).collect();
        let mut label = self.label.clone();
        for inner in &self.inside {
            let rule = inner.path.split('/').map(canonical::folded);
            let mut walked = parts.iter();
            if rule.into_iter().all(|name| walked.next() == Some(&name)) {
                if !inner.readers.admit(reader) {
                    return None;
                }
                if let Some(more) = &inner.label {
                    label.join(more);
                }
            }
        }
        Some(label)
    }
}

/// Whether this is a name that may be walked to. What begins with a dot is the system's or somebody's settings, and no
/// document.
pub(crate) fn is_name(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= 255
        && !name.starts_with('.')
        && !name.contains('/')
        && !name.chars().any(char::is_control)
}

#[cfg(test)]
mod tests {
    use super::*;
    use bailiwick_types::Timestamp;

    const AT: Timestamp = Timestamp::from_millis(1_795_260_645_000);

    fn team(number: u8) -> TeamId {
        TeamId::new(AT, [number; 10])
    }

    fn library(value: serde_json::Value) -> Result<Library, String> {
        let library: Library = serde_json::from_value(value).map_err(|error| error.to_string())?;
        library.check().map(|()| library).map_err(|problem| problem.to_string())
    }

    #[test]
    fn what_cannot_work_is_refused_by_its_field() {
        let folder =
            |name: &str, root: &str| serde_json::json!({"name": name, "root": root, "readers": {"everybody": true}});
        let wrong = |folders: Vec<serde_json::Value>, field: &str| {
            let error = library(serde_json::json!({"folders": folders})).unwrap_err();
            assert!(error.contains(field), "{error}");
        };
        assert!(library(serde_json::json!({"folders": [folder("finance", "/srv/finance")]})).is_ok());
        wrong(vec![], "`folders`");
        wrong(vec![folder("a/b", "/srv")], "`folders[0].name`");
        wrong(vec![folder("..", "/srv")], "`folders[0].name`");
        wrong(vec![folder("a", "srv")], "`folders[0].root`");
        wrong(vec![folder("hr", "/srv"), folder("HR", "/srv")], "`folders[1].name`");
        let mut inner = folder("a", "/srv");
        inner["inside"] = serde_json::json!([{"path": "../b", "readers": {}}]);
        wrong(vec![inner], "`folders[0].inside[0].path`");
        let bucket = |name: &str, host: &str| {
            let bucket = serde_json::json!({"url": format!("https://{host}/docs/{name}/")});
            serde_json::json!({"name": name, "bucket": bucket, "readers": {"everybody": true}})
        };
        assert!(
            library(serde_json::json!({"folders": [bucket("a", "s3.example"), bucket("b", "S3.example")]})).is_ok()
        );
        wrong(vec![bucket("a", "s3.example"), bucket("b", "s3.other.example")], "`folders[1].bucket.url`");
        let mut both = bucket("a", "s3.example");
        both["root"] = "/srv".into();
        wrong(vec![both], "`folders[0].root`");
        wrong(vec![serde_json::json!({"name": "a", "readers": {}})], "`folders[0].root`");
        let mut readers = folder("a", "/srv");
        readers["readers"] = serde_json::json!({"everyone": true});
        wrong(vec![readers], "everyone");
    }

    #[test]
    fn an_inner_rule_only_narrows_whatever_the_spelling() {
        let readers = |number: u8| Readers { teams: vec![team(number)], ..Readers::default() };
        let folder = Folder {
            name: "finance".into(),
            root: Some("/srv".into()),
            bucket: None,
            readers: readers(1),
            label: usual_label(),
            inside: vec![
                Inner { path: "payroll".into(), readers: readers(2), label: None },
                Inner {
                    path: "payroll/open".into(),
                    readers: Readers { everybody: true, ..Readers::default() },
                    label: Some(Label::nothing()),
                },
            ],
        };
        let reader =
            |teams: &[u8]| Reader { teams: teams.iter().map(|number| team(*number)).collect(), ..Reader::default() };
        let admits = |path: &str, teams: &[u8]| {
            let parts: Vec<String> = path.split('/').map(str::to_owned).collect();
            folder.admits(&parts, &reader(teams)).is_some()
        };
        assert!(admits("report.md", &[1]) && !admits("report.md", &[2]) && !admits("report.md", &[]));
        assert!(admits("payrolls/x", &[1]), "another name is another folder");
        for spelling in ["payroll", "payroll/x", "PayRoll/x", "\u{ff50}ayroll/x", "payroll/open/x"] {
            assert!(!admits(spelling, &[1]), "{spelling}");
            assert!(admits(spelling, &[1, 2]), "{spelling}");
            assert!(!admits(spelling, &[2]), "{spelling}");
        }
    }
}
