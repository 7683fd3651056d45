//! The processes of a command: its group and all that descends from it.

use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use std::{collections::HashMap, fs::File, io::Write, sync::Arc};

/// How willing the kernel is to end a process when memory runs out.
const COMMAND_BADNESS: &str = "900";
const OWN_BADNESS: &str = "0";
/// A tree that still grows after this many looks is being forked faster than it can be killed; the limit on processes
/// and the end of the sandbox deal with it.
const MAX_LOOKS: usize = 5;

/// Kills the process group of `pid` and every descendant of it, also those that left the group. A descendant whose
/// parents had already ended when it left is not found.
pub fn kill(pid: i32) {
    for _ in 0..MAX_LOOKS {
        let descendants = descendants(pid);
        if let Some(group) = Pid::from_raw(pid) {
            let _ = kill_process_group(group, Signal::KILL);
        }
        if descendants.is_empty() {
            return;
        }
        for pid in descendants.into_iter().filter_map(Pid::from_raw) {
            let _ = kill_process(pid, Signal::KILL);
        }
    }
}

/// Sends the process group of `pid` an interrupt, as Ctrl-C does.
pub fn interrupt(pid: i32) {
    if let Some(group) = Pid::from_raw(pid) {
        let _ = kill_process_group(group, Signal::INT);
    }
}

fn descendants(root: i32) -> Vec<i32> {
    let Ok(entries) = std::fs::read_dir("/proc") else { return Vec::new() };
    let mut children: HashMap<i32, Vec<i32>> = HashMap::new();
    for entry in entries.flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<i32>().ok()) else { continue };
        if let Some(parent) = living_parent(pid) {
            children.entry(parent).or_default().push(pid);
        }
    }
    let mut found = Vec::new();
    let mut next = vec![root];
    while let Some(parent) = next.pop() {
        for child in children.remove(&parent).unwrap_or_default() {
            found.push(child);
            next.push(child);
        }
    }
    found
}

/// The parent of a process that has not ended yet (proc_pid_stat(5): after the name in parentheses, state and ppid).
fn living_parent(pid: i32) -> Option<i32> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut fields = stat.rsplit_once(") ")?.1.split(' ');
    let state = fields.next()?;
    if matches!(state, "Z" | "X") {
        return None;
    }
    fields.next()?.parse().ok()
}

/// Lets commands be chosen before the executor when the sandbox runs out of memory. Held open, because the file
/// closes to a process that cannot be traced.
#[derive(Debug, Clone, Default)]
pub struct Badness(Option<Arc<File>>);

impl Badness {
    pub fn open() -> Self {
        Self(File::options().write(true).open("/proc/self/oom_score_adj").ok().map(Arc::new))
    }

    /// Runs `spawn`, whose child takes over the command's value.
    pub fn around<T>(&self, spawn: impl FnOnce() -> T) -> T {
        self.set(COMMAND_BADNESS);
        let result = spawn();
        self.set(OWN_BADNESS);
        result
    }

    fn set(&self, value: &str) {
        if let Some(mut file) = self.0.as_deref() {
            let _ = file.write_all(value.as_bytes());
        }
    }
}
