//! The first stage of a launch, outside the sandbox: takes the limits, leaves the namespaces, starts the sandbox's
//! first process and waits for it. It holds the lock by which others see that the sandbox lives. It has one thread and
//! serves nobody.

use super::{
    INSIDE_ARGUMENT, cgroup, control,
    plan::{
        LOCK_FILE, LaunchError, Limits, PLAN_FILE, Plan, SOCKET_FILE, STATE_FILE, State, Step, read_document,
        write_document,
    },
    sys,
};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fs::FlockOperation,
    io::Errno,
    process::{Pid, PidfdFlags, Resource, Rlimit, Signal, setrlimit},
    thread::{CapabilitySet, UnshareFlags},
};
use std::{
    fs::{self, File},
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    time::SystemTime,
};

/// How often a sandbox's folder is looked for.
const FOLDER_CHECK: Timespec = Timespec { tv_sec: 10, tv_nsec: 0 };

/// Runs a sandbox until it ends.
pub fn run(folder: &Path) -> Result<ExitStatus, LaunchError> {
    sys::close_inherited().step("close what was left open (close_range)")?;
    // A session of its own: what ends the server's group or terminal does not end the sandbox.
    rustix::process::setsid().step("own session (setsid)")?;
    std::env::set_current_dir("/").step("leave the folder")?;
    rustix::process::umask(0o077.into());
    let plan: Plan = read_document(folder, PLAN_FILE).step("read the plan")?;
    let lock = File::create(folder.join(LOCK_FILE)).step("open the lock")?;
    rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive).step("take the lock: is it running already?")?;
    let listener = control::bind(folder, SOCKET_FILE).step("listen in the control folder (bind)")?;

    let mut missing = Vec::new();
    let user = User::choose(&plan.sandbox, &mut missing);
    user.own(&plan.workspace)?;
    let groups = cgroup::enter(&plan.session, &plan.limits);
    limit(&plan.limits, &groups, &mut missing)?;
    leave_namespaces(&user)?;

    let mut child = start(folder, &user, listener.into())?;
    let state = State {
        sandbox: plan.sandbox,
        session: plan.session,
        keeper_pid: std::process::id().cast_signed(),
        executor_pid: child.id().cast_signed(),
        started_at_ms: SystemTime::UNIX_EPOCH
            .elapsed()
            .map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX)),
        isolation: "process".to_owned(),
        uid: user.uid,
        limits: plan.limits,
        missing_limits: missing,
        cgroups: groups.folders,
    };
    let cgroups = state.cgroups.clone();
    if let Err(error) = write_document(folder, STATE_FILE, &state).step("write the state") {
        let _ = child.kill();
        return Err(error);
    }
    release_pipe();
    let status = keep(&mut child, folder).step("wait for the sandbox")?;
    cgroup::leave_and_remove(&cgroups);
    drop(lock);
    Ok(status)
}

/// Whom the sandbox runs as.
pub struct User {
    /// As numbered outside.
    pub uid: u32,
    /// Whether this process may change its user and make namespaces without a user namespace.
    pub privileged: bool,
}

/// As root each sandbox has a user of its own, from a range that no account uses.
const FIRST_UID: u32 = 0x7000_0000;
const UID_MASK: u32 = 0x0fff_ffff;
const NOBODY: u32 = 65_534;

impl User {
    fn choose(sandbox: &str, missing: &mut Vec<String>) -> Self {
        let own = rustix::process::geteuid().as_raw();
        let needed = CapabilitySet::SYS_ADMIN | CapabilitySet::SETUID | CapabilitySet::SETGID | CapabilitySet::CHOWN;
        let has = rustix::thread::capabilities(None).map_or(CapabilitySet::empty(), |sets| sets.effective);
        if own != 0 || !has.contains(needed) {
            if own == 0 {
                missing.push("own user: the server is root without the right to change its user".to_owned());
            }
            return Self { uid: own, privileged: false };
        }
        // FNV-1a: any even spread will do, a collision only means that two sandboxes share a user.
        let hash =
            sandbox.bytes().fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
        let uid = FIRST_UID + (hash & UID_MASK);
        if is_mapped(uid) {
            return Self { uid, privileged: true };
        }
        missing.push(format!("own user: user {uid} does not exist in this container; all sandboxes run as {NOBODY}"));
        Self { uid: NOBODY, privileged: true }
    }

    fn own(&self, workspace: &Path) -> Result<(), LaunchError> {
        if self.privileged {
            std::os::unix::fs::chown(workspace, Some(self.uid), Some(self.uid)).step("own the workspace (chown)")?;
        }
        Ok(())
    }
}

/// Whether a user's number can be used here (user_namespaces(7), `uid_map`).
fn is_mapped(uid: u32) -> bool {
    let map = fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    map.lines().any(|line| {
        let mut fields = line.split_whitespace().filter_map(|field| field.parse::<u64>().ok());
        let (Some(first), Some(_), Some(count)) = (fields.next(), fields.next(), fields.next()) else { return false };
        (first..first.saturating_add(count)).contains(&u64::from(uid))
    })
}

fn limit(limits: &Limits, groups: &cgroup::Groups, missing: &mut Vec<String>) -> Result<(), LaunchError> {
    let set = |resource, value: u64, what: &str| {
        let maximum = rustix::process::getrlimit(resource).maximum.map_or(value, |maximum| maximum.min(value));
        setrlimit(resource, Rlimit { current: Some(maximum), maximum: Some(maximum) }).step(what)
    };
    set(Resource::Core, 0, "limit core dumps (setrlimit)")?;
    set(Resource::Nofile, limits.open_files, "limit open files (setrlimit)")?;
    set(Resource::Fsize, limits.file_bytes, "limit the size of a file (setrlimit)")?;
    for (what, reason) in &groups.missing {
        match *what {
            "memory" => {
                set(Resource::As, limits.memory_bytes, "limit memory (setrlimit)")?;
                missing.push(format!("memory of the whole sandbox (each process by itself is limited): {reason}"));
            }
            // The second stage limits them by user namespace.
            "processes" if counts_by_namespace() => {}
            what => missing.push(format!("{what}: {reason}")),
        }
    }
    missing
        .push("disk: only each file by itself is limited; put the data folder on a file system with room".to_owned());
    Ok(())
}

/// Whether this kernel counts processes for each user namespace by itself (Linux 5.14).
fn counts_by_namespace() -> bool {
    let release = rustix::system::uname().release().to_string_lossy().into_owned();
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map_while(|part| part.parse::<u32>().ok());
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)) >= (5, 14)
}

/// One by one, so that an error says which it was.
fn leave_namespaces(user: &User) -> Result<(), LaunchError> {
    if !user.privileged {
        let uid = rustix::process::geteuid().as_raw();
        let gid = rustix::process::getegid().as_raw();
        sys::unshare(UnshareFlags::NEWUSER).map_err(|error| {
            LaunchError::new("own user namespace (unshare CLONE_NEWUSER)", std::io::Error::from(error)).with_remedy(
                "allow it: `sysctl kernel.unprivileged_userns_clone=1`, `sysctl user.max_user_namespaces=15000`, on \
                 Ubuntu `sysctl kernel.apparmor_restrict_unprivileged_userns=0`; in a container, give it `SYS_ADMIN`",
            )
        })?;
        map_user(0, uid, gid)?;
    }
    for (flag, name) in [
        (UnshareFlags::NEWIPC, "ipc namespace (unshare CLONE_NEWIPC)"),
        (UnshareFlags::NEWUTS, "uts namespace (unshare CLONE_NEWUTS)"),
        (UnshareFlags::NEWNET, "network namespace (unshare CLONE_NEWNET)"),
        (UnshareFlags::NEWCGROUP, "cgroup namespace (unshare CLONE_NEWCGROUP)"),
        (UnshareFlags::NEWPID, "pid namespace (unshare CLONE_NEWPID)"),
    ] {
        leave(flag, name)?;
    }
    Ok(())
}

/// Leaves one namespace.
pub fn leave(flag: UnshareFlags, name: &str) -> Result<(), LaunchError> {
    sys::unshare(flag).map_err(|error| {
        LaunchError::new(format!("own {name}"), std::io::Error::from(error)).with_remedy(
            "the kernel or a container's seccomp profile forbids it: run the server outside of the container, or with \
             `--security-opt seccomp=unconfined --cap-add SYS_ADMIN`",
        )
    })
}

/// Gives the calling process, alone in a new user namespace, the number `inside` there.
pub fn map_user(inside: u32, outside_uid: u32, outside_gid: u32) -> Result<(), LaunchError> {
    // Needed before an ordinary user may map a group (user_namespaces(7)).
    fs::write("/proc/self/setgroups", "deny").step("map the user (write setgroups)")?;
    fs::write("/proc/self/uid_map", format!("{inside} {outside_uid} 1")).step("map the user (write uid_map)")?;
    fs::write("/proc/self/gid_map", format!("{inside} {outside_gid} 1")).step("map the group (write gid_map)")
}

/// Starts this binary again as the first process of the new pid namespace. What it says goes to whoever started us.
fn start(folder: &Path, user: &User, listener: rustix::fd::OwnedFd) -> Result<Child, LaunchError> {
    let mut command = Command::new("/proc/self/exe");
    command.arg(INSIDE_ARGUMENT).arg(folder).arg(user.uid.to_string()).arg(user.privileged.to_string());
    command.env_clear().stdin(Stdio::from(listener));
    command.spawn().step("start the first process (clone)")
}

/// Waits for the end of the sandbox, and ends it when its folder was removed: then nobody can reach it any more.
fn keep(child: &mut Child, folder: &Path) -> std::io::Result<ExitStatus> {
    let pid = Pid::from_raw(child.id().cast_signed()).ok_or(std::io::ErrorKind::InvalidData)?;
    let handle = rustix::process::pidfd_open(pid, PidfdFlags::empty())?;
    let mut ends = [PollFd::new(&handle, PollFlags::IN)];
    loop {
        match poll(&mut ends, Some(&FOLDER_CHECK)) {
            Ok(0) if !folder.exists() => child.kill()?,
            Ok(0) | Err(Errno::INTR) => continue,
            Ok(_) => {}
            Err(error) => return Err(error.into()),
        }
        return child.wait();
    }
}

/// The server may die: nothing of ours may hold its pipe.
fn release_pipe() {
    if let Ok(null) = File::options().read(true).write(true).open("/dev/null") {
        let _ = rustix::stdio::dup2_stdout(&null);
        let _ = rustix::stdio::dup2_stderr(&null);
    }
}

/// Whether `status` is how the kernel ends what took too much memory, or somebody ended it.
pub fn is_killed(status: ExitStatus) -> bool {
    use std::os::unix::process::ExitStatusExt;
    status.signal() == Some(Signal::KILL.as_raw())
}
