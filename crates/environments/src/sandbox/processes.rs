//! What runs in a sandbox, seen from outside.

use std::{fs, io};

/// Whether anything but its first process, the executor, runs in a sandbox. Orphans in it become the executor's children,
/// so that whatever runs descends from a living child of it. What has ended and was not reaped yet does not count.
///
/// An executor that cannot be seen (`hidepid` of proc(5)) is an error: then nobody can say.
pub fn has_company(executor: i32) -> io::Result<bool> {
    fs::read(format!("/proc/{executor}/stat"))?;
    for entry in fs::read_dir("/proc")? {
        let is_process = |name: &str| name.bytes().all(|byte| byte.is_ascii_digit());
        let Some(name) = entry?.file_name().to_str().filter(|name| is_process(name)).map(str::to_owned) else {
            continue;
        };
        // One that ends meanwhile has no file any more.
        let Ok(stat) = fs::read_to_string(format!("/proc/{name}/stat")) else { continue };
        if living_parent(&stat) == Some(executor) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The parent of a process that has not ended (proc_pid_stat(5): after the name in parentheses, state and ppid).
fn living_parent(stat: &str) -> Option<i32> {
    let mut fields = stat.rsplit_once(") ")?.1.split(' ');
    if matches!(fields.next()?, "Z" | "X") {
        return None;
    }
    fields.next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parent_is_found_behind_any_name() {
        assert_eq!(living_parent("7 (sleep) S 5 7 7 0"), Some(5));
        assert_eq!(living_parent("7 (a) S 1 (b) R 6 7 7 0"), Some(6));
        assert_eq!(living_parent("7 (sleep) Z 5 7 7 0"), None);
        assert_eq!(living_parent(""), None);
    }
}
