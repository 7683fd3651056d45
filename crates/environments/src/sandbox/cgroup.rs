//! Limits on everything in a sandbox together: control groups, version 2 where it has the controllers, else version 1.

use super::plan::Limits;
use std::{
    collections::BTreeSet,
    fs, io,
    path::{Path, PathBuf},
};

/// What could be had.
#[derive(Debug, Default)]
pub struct Groups {
    pub folders: Vec<PathBuf>,
    /// What cannot be limited, and why.
    pub missing: Vec<(&'static str, String)>,
}

/// Files to write into a group, in this order; one with `?` may be missing.
type Settings = Vec<(&'static str, String)>;

struct Controller {
    name: &'static str,
    means: &'static str,
    v1: Settings,
    v2: Settings,
}

fn controllers(limits: &Limits) -> [Controller; 3] {
    const PERIOD_US: u64 = 100_000;
    let memory = limits.memory_bytes.to_string();
    let quota = limits.cpu_millis * PERIOD_US / 1000;
    [
        Controller {
            name: "memory",
            means: "memory",
            v1: vec![("memory.limit_in_bytes", memory.clone()), ("?memory.memsw.limit_in_bytes", memory.clone())],
            v2: vec![("memory.max", memory), ("?memory.swap.max", "0".to_owned())],
        },
        Controller {
            name: "pids",
            means: "processes",
            v1: vec![("pids.max", limits.processes.to_string())],
            v2: vec![("pids.max", limits.processes.to_string())],
        },
        Controller {
            name: "cpu",
            means: "processor",
            v1: vec![("cpu.cfs_period_us", PERIOD_US.to_string()), ("cpu.cfs_quota_us", quota.to_string())],
            v2: vec![("cpu.max", format!("{quota} {PERIOD_US}"))],
        },
    ]
}

/// Makes the groups of a sandbox and moves the calling process into them.
pub fn enter(name: &str, limits: &Limits) -> Groups {
    let place = Place::find();
    let mut groups = Groups::default();
    for controller in controllers(limits) {
        match place.enter(name, &controller) {
            Ok(folder) => {
                if !groups.folders.contains(&folder) {
                    groups.folders.push(folder);
                }
            }
            Err(reason) => groups.missing.push((controller.means, reason)),
        }
    }
    groups
}

/// Removes the groups of a sandbox whose processes have ended.
pub fn remove(folders: &[PathBuf]) -> io::Result<()> {
    let mut result = Ok(());
    for folder in folders {
        match fs::remove_dir(folder) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => result = Err(error),
            _ => {}
        }
    }
    result
}

/// Moves the calling process, the last one in these groups, out of them and removes them, as far as that can be done.
pub fn leave_and_remove(folders: &[PathBuf]) {
    for folder in folders {
        if let Some(parent) = folder.parent() {
            let _ = fs::write(parent.join("cgroup.procs"), "0");
        }
    }
    let _ = remove(folders);
}

/// Where this process is in each hierarchy (cgroups(7), proc_pid_mountinfo(5)).
#[derive(Debug, Default)]
struct Place {
    /// Controller and folder.
    v1: Vec<(String, PathBuf)>,
    v2: Option<PathBuf>,
}

impl Place {
    fn find() -> Self {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        Self::parse(&read("/proc/self/cgroup"), &read("/proc/self/mountinfo"))
    }

    fn parse(groups: &str, mounts: &str) -> Self {
        let mut place = Self::default();
        for line in groups.lines() {
            let mut fields = line.splitn(3, ':').skip(1);
            let (Some(names), Some(path)) = (fields.next(), fields.next()) else { continue };
            let names: BTreeSet<&str> = names.split(',').filter(|name| !name.is_empty()).collect();
            for mount in mounts.lines() {
                let Some(folder) = folder_in(mount, &names, path) else { continue };
                if names.is_empty() {
                    place.v2 = Some(folder);
                } else {
                    place.v1.extend(names.iter().map(|name| ((*name).to_owned(), folder.clone())));
                }
                break;
            }
        }
        place
    }

    fn enter(&self, name: &str, controller: &Controller) -> Result<PathBuf, String> {
        let mut tried = Vec::new();
        // Below the own group where that has the controller; beside it where a unit delegates its group and has put us
        // into a sub-group (systemd: `DelegateSubgroup=`).
        let unit = |folder: &&Path| matches!(folder.extension().and_then(|e| e.to_str()), Some("service" | "scope"));
        for parent in self.v2.iter().flat_map(|own| [Some(own.as_path()), own.parent().filter(unit)]).flatten() {
            if !has_controller(parent, controller.name) {
                continue;
            }
            match join(parent, name, &controller.v2) {
                Ok(folder) => return Ok(folder),
                Err(error) => tried.push(error),
            }
        }
        if let Some((_, parent)) = self.v1.iter().find(|(name, _)| name == controller.name) {
            match join(parent, name, &controller.v1) {
                Ok(folder) => return Ok(folder),
                Err(error) => tried.push(error),
            }
        }
        Err(match tried.pop() {
            Some(error) => format!(
                "{error}; let the service own its control group (systemd: `Delegate=yes` and `DelegateSubgroup=server`)"
            ),
            None => format!("no control group with the `{}` controller is in reach", controller.name),
        })
    }
}

fn has_controller(folder: &Path, name: &str) -> bool {
    let given = fs::read_to_string(folder.join("cgroup.subtree_control")).unwrap_or_default();
    if given.split_whitespace().any(|given| given == name) {
        return true;
    }
    // Refused while processes are in the group itself.
    fs::write(folder.join("cgroup.subtree_control"), format!("+{name}")).is_ok()
}

fn folder_in(mount: &str, names: &BTreeSet<&str>, path: &str) -> Option<PathBuf> {
    let (before, after) = mount.split_once(" - ")?;
    let mut before = before.split(' ').skip(3);
    let (root, point) = (before.next()?, before.next()?);
    let mut after = after.split(' ');
    let (kind, options) = (after.next()?, after.nth(1)?);
    let right = match kind {
        "cgroup2" => names.is_empty(),
        "cgroup" => !names.is_empty() && names.iter().all(|name| options.split(',').any(|option| option == *name)),
        _ => false,
    };
    let inside = Path::new(path).strip_prefix(root).ok()?;
    right.then(|| Path::new(point).join(inside))
}

fn join(parent: &Path, name: &str, settings: &Settings) -> Result<PathBuf, String> {
    let folder = parent.join(format!("bailiwick-{name}"));
    let wrong = |what: &Path, error: io::Error| format!("{}: {error}", what.display());
    match fs::create_dir(&folder) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(wrong(&folder, error)),
        _ => {}
    }
    for (name, value) in settings {
        let optional = name.strip_prefix('?');
        let file = folder.join(optional.unwrap_or(name));
        if optional.is_some() && !file.exists() {
            continue;
        }
        fs::write(&file, value).map_err(|error| wrong(&file, error))?;
    }
    let file = folder.join("cgroup.procs");
    fs::write(&file, "0").map_err(|error| wrong(&file, error))?;
    Ok(folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_own_groups_are_found_in_both_versions() {
        let groups = "9:name=systemd:/\n8:pids:/a\n3:cpu,cpuacct:/b\n0::/user.slice\n";
        let mounts = "31 24 0:27 / /sys/fs/cgroup/pids rw - cgroup cgroup rw,pids\n\
                      32 24 0:28 /b /sys/fs/cgroup/cpu,cpuacct rw shared:9 - cgroup cgroup rw,cpu,cpuacct\n\
                      33 24 0:29 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n";
        let place = Place::parse(groups, mounts);
        assert_eq!(place.v2, Some("/sys/fs/cgroup/unified/user.slice".into()));
        let find = |name: &str| place.v1.iter().find(|(found, _)| found == name).map(|(_, folder)| folder.clone());
        assert_eq!(find("pids"), Some("/sys/fs/cgroup/pids/a".into()));
        assert_eq!(find("cpu"), Some("/sys/fs/cgroup/cpu,cpuacct/".into()));
        assert_eq!(find("memory"), None);
    }

    #[test]
    fn what_is_not_there_is_named() {
        let limits = Limits::default();
        let [memory, ..] = controllers(&limits);
        let missing = Place::default().enter("x", &memory).expect_err("nothing is there");
        assert!(missing.contains("`memory` controller"), "{missing}");
        let folder = tempfile::tempdir().expect("folder");
        let place = Place { v1: vec![("memory".into(), folder.path().join("none"))], v2: None };
        let missing = place.enter("x", &memory).expect_err("no such folder");
        assert!(missing.contains("No such file") && missing.contains("Delegate=yes"), "{missing}");
    }
}
