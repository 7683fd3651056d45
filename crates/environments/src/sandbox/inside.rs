//! The second stage of a launch: the first process of the new namespaces. It builds the file system that the sandbox
//! will see, gives up everything that it may, and becomes the executor. Nothing of an agent has run before that.

use super::{
    keeper::{leave, map_user},
    loopback,
    plan::{LaunchError, PLAN_FILE, Plan, Step, read_document},
    seccomp,
    sys::{self, Restrict},
};
use crate::marks::{HOOK, TEMPLATES};
use bailiwick_executor_protocol::EXECUTOR_ARGUMENT;
use rustix::{
    fs::{Gid, Uid},
    mount::{MountFlags, MountPropagationFlags, UnmountFlags},
    process::{DumpableBehavior, Resource, Rlimit},
    thread::{CapabilitySet, CapabilitySets, UnshareFlags},
};
use std::{
    ffi::CString,
    fs::{self, File},
    io,
    os::unix::{
        ffi::OsStrExt,
        fs::{PermissionsExt, symlink},
        process::CommandExt,
    },
    path::{Path, PathBuf},
    process::Command,
};

/// The user's number inside.
const INSIDE_ID: u32 = 1000;
const WORKSPACE: &str = "/workspace";
const EXECUTOR: &str = "/run/executor";
const OLD: &str = "/old";
const NEW: &str = "/new";
/// What holds the machine's programs; a link is made again as the same link.
const SYSTEM: &[&str] = &["usr", "bin", "sbin", "lib", "lib32", "lib64", "libx32", "nix/store", "gnu/store"];
/// What programs need of `/etc`: nothing in it is a secret.
const CONFIGURATION: &[&str] = &[
    "alternatives",
    "fonts",
    "ld.so.cache",
    "ld.so.conf",
    "ld.so.conf.d",
    "localtime",
    "magic",
    "mime.types",
    "os-release",
    "ssl/certs",
    "ssl/openssl.cnf",
    "terminfo",
];
const DEVICES: &[&str] = &["null", "zero", "full", "random", "urandom"];
const DEVICE_LINKS: &[(&str, &str)] = &[
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
    ("ptmx", "pts/ptmx"),
];

/// What the sandbox sees of the environment that the server was started in.
pub const ENVIRONMENT: &[(&str, &str)] = &[
    ("PATH", "/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin"),
    ("HOME", WORKSPACE),
    ("LANG", "C.UTF-8"),
];

/// Becomes the executor; comes back only with an error.
pub fn run(folder: &Path, uid: u32, privileged: bool) -> LaunchError {
    match prepare(folder, uid, privileged) {
        Ok(plan) => become_executor(&plan),
        Err(error) => error,
    }
}

fn prepare(folder: &Path, uid: u32, privileged: bool) -> Result<Plan, LaunchError> {
    rustix::process::umask(0o022.into());
    let plan: Plan = read_document(folder, PLAN_FILE).step("read the plan")?;
    // Only here: the keeper goes on in the machine's own, where a change of root would take it along.
    leave(UnshareFlags::NEWNS, "mount namespace (unshare CLONE_NEWNS)")?;
    let program = fs::read_link("/proc/self/exe").step("find the executor (readlink /proc/self/exe)")?;
    rustix::system::sethostname(b"sandbox").step("name the machine (sethostname)")?;
    loopback::up().step("bring the loopback device up (netlink)")?;
    build_root(&plan, &program)?;
    drop_rights(&plan, uid, privileged)?;
    Ok(plan)
}

fn build_root(plan: &Plan, program: &Path) -> Result<(), LaunchError> {
    let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
    rustix::mount::mount_change("/", private).step("make mounts private (mount)")?;
    // The old root moves below a new one, so that nothing that we mount can hide what we still need.
    tmpfs("/tmp", "size=1m,mode=755")?;
    fs::create_dir("/tmp/old").and_then(|()| fs::create_dir("/tmp/new")).step("make folders for the roots")?;
    rustix::process::pivot_root("/tmp", "/tmp/old").step("leave the old root (pivot_root)")?;
    std::env::set_current_dir("/").step("enter the new root")?;
    tmpfs(NEW, "size=4m,mode=755")?;

    system()?;
    configuration()?;
    devices()?;
    folder("proc", 0o755)?;
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    rustix::mount::mount("proc", at("proc"), "proc", flags, None).map_err(|error| {
        LaunchError::new("mount /proc (mount)", io::Error::from(error))
            .with_remedy("in a container: start it with `--security-opt systempaths=unconfined`")
    })?;
    folder("tmp", 0o1777)?;
    tmpfs(at("tmp"), &format!("size={},mode=1777", plan.limits.tmp_bytes))?;
    folder("workspace", 0o755)?;
    bind(&plan.workspace, &at("workspace"), Restrict::default())?;
    folder("run", 0o755)?;
    File::create(at("run/executor")).step("make a place for the executor")?;
    bind(program, &at("run/executor"), Restrict { read_only: true, ..Restrict::default() })
        .map_err(|error| error.with_remedy("was the server's program replaced while it ran? start the server again"))?;
    git()?;
    folder("var", 0o755)?;
    symlink("../tmp", at("var/tmp")).step("link /var/tmp")?;

    restrict(Path::new(NEW), Restrict { read_only: true, ..Restrict::default() })?;
    rustix::mount::unmount(OLD, UnmountFlags::DETACH).step("let go of the old root (umount2)")?;
    std::env::set_current_dir(NEW).step("enter the new root")?;
    rustix::process::pivot_root(".", ".").step("enter the new root (pivot_root)")?;
    rustix::mount::unmount(".", UnmountFlags::DETACH).step("let go of the root between (umount2)")?;
    std::env::set_current_dir(WORKSPACE).step("enter the workspace")
}

fn at(path: &str) -> PathBuf {
    Path::new(NEW).join(path)
}

fn folder(path: &str, mode: u32) -> Result<(), LaunchError> {
    let path = at(path);
    fs::create_dir_all(&path)
        .and_then(|()| fs::set_permissions(&path, fs::Permissions::from_mode(mode)))
        .step(&format!("make the folder {}", path.display()))
}

fn tmpfs(target: impl AsRef<Path>, options: &str) -> Result<(), LaunchError> {
    let target = target.as_ref();
    let options = CString::new(options).step("options of a tmpfs")?;
    let flags = MountFlags::NOSUID | MountFlags::NODEV;
    rustix::mount::mount("tmpfs", target, "tmpfs", flags, options.as_c_str())
        .step(&format!("mount a tmpfs on {} (mount)", target.display()))
}

/// Shows what the old root has at `source` at `target` in the new one.
fn bind(source: &Path, target: &Path, restrictions: Restrict) -> Result<(), LaunchError> {
    let old = Path::new(OLD).join(source.strip_prefix("/").unwrap_or(source));
    rustix::mount::mount_bind_recursive(&old, target)
        .step(&format!("show {} in the sandbox (mount)", source.display()))?;
    restrict(target, Restrict { recursive: true, ..restrictions })
}

fn restrict(path: &Path, restrictions: Restrict) -> Result<(), LaunchError> {
    let name = CString::new(path.as_os_str().as_bytes()).step("name a mount")?;
    sys::restrict(&name, restrictions).map_err(|error| {
        LaunchError::new(format!("restrict {} (mount_setattr)", path.display()), io::Error::from(error))
            .with_remedy(if error == rustix::io::Errno::NOSYS { "it needs Linux 5.12 or newer" } else { "" })
    })
}

fn system() -> Result<(), LaunchError> {
    for name in SYSTEM {
        let source = Path::new("/").join(name);
        let old = Path::new(OLD).join(name);
        let Ok(found) = fs::symlink_metadata(&old) else { continue };
        if found.is_symlink() {
            let target = fs::read_link(&old).step("read a link of the system")?;
            symlink(target, at(name)).step("make a link of the system again")?;
        } else {
            folder(name, 0o755)?;
            bind(&source, &at(name), Restrict { read_only: true, ..Restrict::default() })?;
        }
    }
    Ok(())
}

fn configuration() -> Result<(), LaunchError> {
    folder("etc", 0o755)?;
    for name in CONFIGURATION {
        let old = Path::new(OLD).join("etc").join(name);
        // Follows links, of which the root has many: what counts is what they lead to.
        let Ok(found) = fs::metadata(&old) else { continue };
        let target = at("etc").join(name);
        if let Some(parent) = target.parent() {
            fs::create_dir_all(parent).step("make a folder in /etc")?;
        }
        let made = if found.is_dir() { fs::create_dir(&target) } else { File::create(&target).map(drop) };
        made.step(&format!("make a place for /etc/{name}"))?;
        // An absolute link would be followed in the new root: name what it leads to in the old one.
        let source = old.canonicalize().step("follow a link of /etc")?;
        let source = source.strip_prefix(OLD).map_or_else(|_| source.clone(), |path| Path::new("/").join(path));
        let source = if Path::new(OLD).join(source.strip_prefix("/").unwrap_or(&source)).exists() {
            source
        } else {
            Path::new("/etc").join(name)
        };
        bind(&source, &target, Restrict { read_only: true, no_exec: true, recursive: true })?;
    }
    for (name, content) in [
        ("passwd", "root:x:0:0:root:/:/bin/false\nagent:x:1000:1000:agent:/workspace:/bin/bash\n"),
        ("group", "root:x:0:\nagent:x:1000:\n"),
        ("hosts", "127.0.0.1 localhost sandbox\n::1 localhost\n"),
        ("hostname", "sandbox\n"),
        ("nsswitch.conf", "passwd: files\ngroup: files\nhosts: files\n"),
        ("resolv.conf", "# The sandbox has no network.\n"),
    ] {
        fs::write(at("etc").join(name), content).step(&format!("write /etc/{name}"))?;
    }
    Ok(())
}

fn devices() -> Result<(), LaunchError> {
    folder("dev", 0o755)?;
    tmpfs(at("dev"), "size=64k,mode=755")?;
    for name in DEVICES {
        let (source, target) = (Path::new(OLD).join("dev").join(name), at("dev").join(name));
        File::create(&target).step("make a place for a device")?;
        rustix::mount::mount_bind(&source, &target).step(&format!("show /dev/{name} (mount)"))?;
    }
    for (name, target) in DEVICE_LINKS {
        symlink(target, at("dev").join(name)).step("make a link in /dev")?;
    }
    folder("dev/pts", 0o755)?;
    let flags = MountFlags::NOSUID | MountFlags::NOEXEC;
    let options = c"newinstance,ptmxmode=0666,mode=600";
    rustix::mount::mount("devpts", at("dev/pts"), "devpts", flags, options).step("mount /dev/pts (mount)")?;
    folder("dev/shm", 0o1777)?;
    tmpfs(at("dev/shm"), "size=64m,mode=1777")
}

/// What git lays into new repositories: the hook that says who made a commit.
fn git() -> Result<(), LaunchError> {
    let hooks = format!("{}/hooks", TEMPLATES.trim_start_matches('/'));
    let (name, text) = HOOK;
    folder(&hooks, 0o755)?;
    let hook = at(&hooks).join(name);
    fs::write(&hook, text)
        .and_then(|()| fs::set_permissions(&hook, fs::Permissions::from_mode(0o755)))
        .step("write the hook of git")
}

/// Gives up the user, all capabilities and most system calls, for good.
fn drop_rights(plan: &Plan, uid: u32, privileged: bool) -> Result<(), LaunchError> {
    let outside = if privileged {
        change_user(uid)?;
        uid
    } else {
        0
    };
    // One more user namespace: it owns none of the others, so that no right in it is a right over them.
    sys::unshare(UnshareFlags::NEWUSER).map_err(|error| {
        LaunchError::new("own user namespace (unshare CLONE_NEWUSER)", io::Error::from(error))
            .with_remedy("allow it: `sysctl user.max_user_namespaces=15000`")
    })?;
    map_user(INSIDE_ID, outside, outside)?;
    // Counted in this user namespace only (Linux 5.14), so it holds for each sandbox by itself.
    let processes = Some(plan.limits.processes);
    rustix::process::setrlimit(Resource::Nproc, Rlimit { current: processes, maximum: processes })
        .step("limit processes (setrlimit)")?;
    for capability in 0..64 {
        let capability = CapabilitySet::from_bits_retain(1 << capability);
        if rustix::thread::remove_capability_from_bounding_set(capability).is_err() {
            // The first one that this kernel does not know.
            break;
        }
    }
    rustix::thread::clear_ambient_capability_set().step("drop ambient capabilities (prctl)")?;
    let none = CapabilitySet::empty();
    let sets = CapabilitySets { effective: none, permitted: none, inheritable: none };
    rustix::thread::set_capabilities(None, sets).step("drop capabilities (capset)")?;
    rustix::thread::set_no_new_privs(true).step("forbid new privileges (prctl)")?;
    seccomp::apply()
}

fn change_user(uid: u32) -> Result<(), LaunchError> {
    let (user, group) = (Uid::from_raw(uid), Gid::from_raw(uid));
    rustix::thread::set_thread_groups(&[]).step("leave groups (setgroups)")?;
    // Kept for one more step, because making a user namespace may be forbidden to others.
    rustix::thread::set_keep_capabilities(true).step("keep capabilities (prctl)")?;
    rustix::thread::set_thread_res_gid(group, group, group).step("change the group (setresgid)")?;
    rustix::thread::set_thread_res_uid(user, user, user).step("change the user (setresuid)")?;
    let mut sets = rustix::thread::capabilities(None).step("read capabilities (capget)")?;
    sets.effective = sets.permitted;
    rustix::thread::set_capabilities(None, sets).step("keep capabilities (capset)")?;
    // Lost with the change of user; without it the maps in /proc belong to root.
    rustix::process::set_dumpable_behavior(DumpableBehavior::Dumpable).step("own /proc/self (prctl)")
}

fn become_executor(plan: &Plan) -> LaunchError {
    let mut command = Command::new(EXECUTOR);
    command.args([EXECUTOR_ARGUMENT, "--session", &plan.session, "--cwd", WORKSPACE]);
    command.env_clear().envs(ENVIRONMENT.iter().copied());
    LaunchError::new("become the executor (execve)", command.exec())
}
