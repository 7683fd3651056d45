//! Real sandboxes on this machine. This binary is its own keeper and executor, as the server's is.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, clippy::print_stdout)]

#[path = "house/behaviour.rs"]
mod behaviour;
mod house;
#[path = "house/idle.rs"]
mod idle;
#[path = "house/permitted.rs"]
mod permitted;

use bailiwick_core::{
    Action, ActionResult, EnvironmentFacts, EnvironmentSpec, FailureCode, Outcome,
    environment::{Hosted, HostedFile, Size},
};
use bailiwick_environments::{
    ExecutorClient, ExecutorError, Hands, ListeningExecutor,
    hands::CommandError,
    sandbox::{self, Found, LaunchError, Limits, Sandboxes},
};
use bailiwick_gate::{Executor, Live};
use bailiwick_ports::Clock;
use bailiwick_types::{EnvironmentId, FileId, Millis, Secret};
use house::{Box_, Cutting, NAME, environment, hands, hosted, request, run, tools};
use house::{
    RealClock,
    session::{Durable, Session, environment_id, options},
};
use libtest_mimic::{Arguments, Trial};
use std::{
    collections::BTreeMap,
    future::pending,
    io::{BufRead, BufReader},
    os::unix::process::CommandExt,
    path::Path,
    process::{Command, ExitCode, Stdio},
    sync::Arc,
    time::Duration,
};

/// Started again with this, it launches a sandbox, starts a command in it and waits to be killed.
const LAUNCHER: &str = "launch-and-wait";
/// Started again with this, it launches a sandbox and says what came of it.
const TRY: &str = "try-to-launch";
/// The same, where no namespace is to be had.
const TRY_WALLED: &str = "try-to-launch-without-namespaces";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    if let Some(code) = sandbox::stage(&arguments) {
        return code;
    }
    if sandbox::is_executor(&arguments) {
        return bailiwick_executor::main(arguments.into_iter().skip(2));
    }
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [_, LAUNCHER, folder] => run(launch_and_wait(folder.as_ref())),
        [_, TRY, folder] => run(try_to_launch(folder.as_ref())),
        [_, TRY_WALLED, folder] => {
            forbid_namespaces();
            run(try_to_launch(folder.as_ref()));
        }
        _ => return libtest_mimic::run(&Arguments::from_args(), tests()).exit_code(),
    }
    ExitCode::SUCCESS
}

fn tests() -> Vec<Trial> {
    fn trial<F: Future<Output = ()> + 'static>(name: &str, test: fn() -> F) -> Trial {
        Trial::test(name, move || {
            run(test());
            Ok(())
        })
    }
    vec![
        trial("python_runs_and_sees_only_its_own_machine", python_runs_and_sees_only_its_own_machine),
        trial("there_is_no_network", there_is_no_network),
        trial("only_the_workspace_can_be_written", only_the_workspace_can_be_written),
        trial("no_rights_are_left_inside", no_rights_are_left_inside),
        trial("memory_is_limited_and_the_sandbox_survives", memory_is_limited_and_the_sandbox_survives),
        trial("processes_are_limited", processes_are_limited),
        trial("a_sandbox_outlives_its_launcher", a_sandbox_outlives_its_launcher),
        trial("a_sandbox_that_died_is_said_to_have_died", a_sandbox_that_died_is_said_to_have_died),
        trial("stopping_leaves_nothing", stopping_leaves_nothing),
        trial("a_sandbox_whose_folder_is_removed_ends", a_sandbox_whose_folder_is_removed_ends),
        trial("an_ordinary_user_has_sandboxes_too", an_ordinary_user_has_sandboxes_too),
        trial("a_namespace_that_is_not_to_be_had_is_named", a_namespace_that_is_not_to_be_had_is_named),
        trial("two_sandboxes_see_nothing_of_each_other", two_sandboxes_see_nothing_of_each_other),
        trial("commands_run", || with_hands(async |hands| behaviour::commands(hands, "/workspace").await)),
        trial("long_output_is_cut", || with_hands(async |hands| behaviour::long_output(hands, "/workspace").await)),
        trial("commands_are_stopped", || with_hands(async |hands| behaviour::stopping(hands, "/workspace").await)),
        trial("background_commands", || with_hands(async |hands| behaviour::background(hands, "/workspace").await)),
        trial("files", || with_hands(async |hands| behaviour::files(hands, "/workspace").await)),
        trial("a_cut_connection_changes_nothing", a_cut_connection_changes_nothing),
        trial("every_action_is_performed_under_a_permit", every_action_is_performed_under_a_permit),
        trial("a_hosted_environment_is_prepared_once", a_hosted_environment_is_prepared_once),
        trial("a_commit_says_for_whom_it_was_made", a_commit_says_for_whom_it_was_made),
        trial("after_a_crash_nothing_is_done_twice", after_a_crash_nothing_is_done_twice),
        trial("what_an_ended_sandbox_did_is_unknown", what_an_ended_sandbox_did_is_unknown),
        trial("outputs_are_published_once_for_each_change", outputs_are_published_once_for_each_change),
        trial("sandboxes_are_bounded_and_probed", sandboxes_are_bounded_and_probed),
        trial("the_sandbox_that_was_idle_longest_makes_room", idle::the_sandbox_that_was_idle_longest_makes_room),
        trial("a_sandbox_in_use_is_never_ended", idle::a_sandbox_in_use_is_never_ended),
        trial("an_unused_sandbox_ends_after_its_time", idle::an_unused_sandbox_ends_after_its_time),
    ]
}

async fn with_hands(test: impl AsyncFnOnce(&Hands)) {
    let sandbox = Box_::launch(Limits::default()).await;
    test(&sandbox.hands().await).await;
}

/// Runs a script to its end and gives its output; the exit code must be 0.
async fn output(hands: &Hands, id: &str, script: &str) -> String {
    let report = hands.run(&request(id, script), false, |_| (), pending()).await.unwrap();
    let text = report.output.to_text();
    assert_eq!(report.exit_code, Some(0), "{script}: {text}");
    text
}

async fn python_runs_and_sees_only_its_own_machine() {
    let sandbox = Box_::launch(Limits::default()).await;
    let hands = sandbox.hands().await;
    assert_eq!(output(&hands, "py", "python3 -c 'import json, csv, sqlite3; print(6 * 7)'").await, "42\n");
    assert_eq!(
        output(&hands, "id", "id -un; id -u; hostname; pwd; tty < /dev/tty || :")
            .await
            .lines()
            .take(4)
            .collect::<Vec<_>>(),
        ["agent", "1000", "sandbox", "/workspace"]
    );
    let variables = output(&hands, "env", "env | grep -v -e ^_= -e ^SHLVL= -e ^PWD= | sort").await;
    let names: Vec<_> = variables.lines().map(|line| line.split('=').next().unwrap()).collect();
    assert_eq!(names, ["HOME", "LANG", "PATH"]);
    // The executor, the shell and what it runs: no process of the machine.
    let processes = output(&hands, "ps", "ls /proc | grep -c '^[0-9]'").await;
    assert!(processes.trim().parse::<u32>().unwrap() < 8, "{processes}");
    let root = output(&hands, "ls", "ls / /root /home 2>&1 || true").await;
    assert!(!root.contains("srv") && root.contains("cannot access '/root'"), "{root}");
    assert!(output(&hands, "etc", "cat /etc/shadow 2>&1 || true").await.contains("No such file"));
    let shm = output(&hands, "shm", "python3 -c 'import multiprocessing as m; print(m.Value(\"i\", 7).value)'").await;
    assert_eq!(shm, "7\n");
}

async fn there_is_no_network() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let sandbox = Box_::launch(Limits::default()).await;
    let hands = sandbox.hands().await;
    let script = format!(
        "import socket, errno\n\
         def tried(family, address):\n\
         \x20   s = socket.socket(family, socket.SOCK_STREAM); s.settimeout(3)\n\
         \x20   try: s.connect(address); return 'connected'\n\
         \x20   except OSError as error: return errno.errorcode.get(error.errno, str(error))\n\
         print(tried(socket.AF_INET, ('1.1.1.1', 53)), tried(socket.AF_INET, ('169.254.169.254', 80)), \
               tried(socket.AF_INET6, ('2606:4700:4700::1111', 53)), tried(socket.AF_INET, ('127.0.0.1', {port})))\n\
         try: socket.getaddrinfo('example.com', 80); print('resolved')\n\
         except OSError: print('no names')\n\
         own = socket.socket(); own.bind(('127.0.0.1', 0)); own.listen()\n\
         print(tried(socket.AF_INET, own.getsockname()))\n\
         try: socket.socket(40, socket.SOCK_STREAM); print('vsock')\n\
         except OSError: print('no vsock')\n"
    );
    hands.write("/workspace/net.py", script.as_bytes()).await.unwrap();
    let said = output(&hands, "net", "python3 net.py; cat /proc/net/dev | tail -n +3 | cut -d: -f1 | xargs").await;
    assert_eq!(said, "ENETUNREACH ENETUNREACH ENETUNREACH ECONNREFUSED\nno names\nconnected\nno vsock\nlo\n");
}

async fn only_the_workspace_can_be_written() {
    let outside = tempfile::tempdir().unwrap();
    std::fs::write(outside.path().join("secret"), "host").unwrap();
    let sandbox = Box_::launch(Limits::default()).await;
    let hands = sandbox.hands().await;
    let script = format!(
        "for path in /x /usr/x /etc/x /run/x /dev/x /proc/x /var/x /proc/sys/kernel/hostname /run/executor /usr/bin/env \
         /proc/1/mem {0}/x; do (echo x > $path) 2>/dev/null && echo written $path; done; \
         cat {0}/secret 2>/dev/null; touch /tmp/ok /workspace/ok && echo ok",
        outside.path().display()
    );
    assert_eq!(output(&hands, "write", &script).await, "ok\n");
    assert!(
        !Path::new("/tmp/ok").exists()
            && sandbox.folder.path().join("sandboxes").join(NAME).join("workspace/ok").exists()
    );
    let full = output(&hands, "tmp", "head -c 300M /dev/zero > /tmp/big 2>/dev/null || echo full").await;
    assert_eq!(full, "full\n");
    assert!(hands.write("/usr/x", b"x").await.is_err() && hands.write("/workspace/y", b"x").await.is_ok());
}

async fn no_rights_are_left_inside() {
    // Left open to children, as a careless starter does.
    let leaked = std::fs::File::open("/etc/passwd").unwrap();
    rustix::io::fcntl_setfd(&leaked, rustix::io::FdFlags::empty()).unwrap();
    let sandbox = Box_::launch(Limits::default()).await;
    let hands = sandbox.hands().await;
    let status = output(&hands, "status", "grep -E '^(Cap|NoNewPrivs|Seccomp:)' /proc/self/status").await;
    for line in status.lines() {
        let (name, value) = line.split_once(":\t").unwrap();
        match name {
            "NoNewPrivs" => assert_eq!(value, "1"),
            "Seccomp" => assert_eq!(value, "2"),
            _ => assert_eq!(u64::from_str_radix(value, 16).unwrap(), 0, "{line}"),
        }
    }
    let script = "for try in 'unshare -U true' 'unshare -Ur true' 'unshare -m true' 'mount -t tmpfs x /tmp' 'chroot / true' \
                  'kill -9 1' 'kill -STOP 1' 'su -c true' 'cat /proc/1/environ' 'ls /proc/1/fd' 'dmesg' \
                  'nsenter -t 1 -n true' 'hostname other'; do $try >/dev/null 2>&1 && echo \"$try\"; done; echo end";
    // Signals that its first process does not take are accepted and dropped.
    let done = output(&hands, "try", script).await;
    assert_eq!(done.lines().filter(|line| !line.starts_with("kill")).collect::<Vec<_>>(), ["end"], "{done}");
    assert_eq!(output(&hands, "alive", "echo yes").await, "yes\n");
    // Whatever the server was started with: only the pipes of the command itself.
    let open = output(
        &hands,
        "open",
        "ls -l /proc/self/fd | grep -v -e /proc/ -e total | sed 's/.*-> //; s/[0-9]//g' | sort | xargs",
    )
    .await;
    assert_eq!(open, "/dev/null pipe:[] pipe:[]\n");
    if cfg!(target_arch = "x86_64") {
        // `getpid` and `ptrace` by their x32 numbers, and `getpid` by its own. A kernel without x32 would say ENOSYS.
        let script = "import ctypes\nc = ctypes.CDLL(None, use_errno=True)\n\
                      for n in (0x40000000 | 39, 0x40000000 | 521, 39): print(c.syscall(n) > 0, ctypes.get_errno())";
        hands.write("/workspace/x32.py", script.as_bytes()).await.unwrap();
        assert_eq!(output(&hands, "x32", "python3 x32.py").await, "False 1\nFalse 1\nTrue 1\n", "EPERM is 1");
    }
    let owner = output(&hands, "owner", "stat -c %u /usr /workspace /proc/1").await;
    assert_eq!(owner.lines().nth(1), Some("1000"));
}

async fn memory_is_limited_and_the_sandbox_survives() {
    let limits = Limits { memory_bytes: 192 << 20, ..Limits::default() };
    let sandbox = Box_::launch(limits).await;
    let hands = sandbox.hands().await;
    let grow = "python3 -c 'x = bytearray(600 << 20); print(len(x))'";
    let report = hands.run(&request("grow", grow), false, |_| (), pending()).await.unwrap();
    assert_ne!(report.exit_code, Some(0), "{}", report.output.to_text());
    assert_eq!(output(&hands, "after", "echo alive").await, "alive\n");
    // Several that are small each.
    if !sandbox.state.cgroups.is_empty() {
        let many = "for i in 1 2 3 4 5 6; do python3 -c 'import time; x = bytearray(60 << 20); time.sleep(1); print(1)' & done; wait";
        let report = hands.run(&request("many", many), false, |_| (), pending()).await.unwrap();
        assert!(report.output.to_text().matches("1\n").count() < 6, "{}", report.output.to_text());
        assert_eq!(output(&hands, "after2", "echo alive").await, "alive\n");
    }
}

async fn processes_are_limited() {
    let sandbox = Box_::launch(Limits { processes: 24, ..Limits::default() }).await;
    let hands = sandbox.hands().await;
    let script = "import os, time\nn = 0\ntry:\n while n < 500:\n  if os.fork() == 0: time.sleep(30); os._exit(0)\n  n += 1\n\
                  except OSError: pass\nprint(n)";
    hands.write("/workspace/fork.py", script.as_bytes()).await.unwrap();
    let mut request = request("bomb", "python3 fork.py");
    request.timeout = Some(Millis::from_secs(20));
    let report = hands.run(&request, false, |_| (), pending()).await.unwrap();
    let started: u32 = report.output.to_text().trim().parse().unwrap();
    assert!((1..24).contains(&started), "{started}");
}

/// The other side of [`a_sandbox_outlives_its_launcher`].
async fn launch_and_wait(folder: &Path) {
    let sandboxes = Sandboxes::new(folder.join("sandboxes"), std::env::current_exe().unwrap());
    let state = sandboxes.launch(NAME, &Limits::default()).await.unwrap();
    let hands = hands(hosted(&sandboxes), &state.session).await;
    let finished = request("finished", "echo x >> ran; echo result; exit 5");
    let running = request("running", "echo x >> ran2; echo begun; while [ ! -e go ]; do sleep 0.02; done; echo ended");
    hands.run(&finished, false, |_| (), pending()).await.unwrap();
    let begun = |_| println!("ready {}", state.session);
    hands.run(&running, false, begun, pending()).await.unwrap();
}

async fn a_sandbox_outlives_its_launcher() {
    let folder = tempfile::tempdir().unwrap();
    let mut launcher = Command::new(std::env::current_exe().unwrap())
        .args([LAUNCHER.as_ref(), folder.path().as_os_str()])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(launcher.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let session = line.trim().strip_prefix("ready ").unwrap().to_owned();
    // SIGKILL, as `kill -9`.
    launcher.kill().unwrap();
    launcher.wait().unwrap();

    let sandboxes = Sandboxes::new(folder.path().join("sandboxes"), std::env::current_exe().unwrap());
    let Found::Running(state) = sandboxes.find(NAME).unwrap() else { panic!("it is gone") };
    assert_eq!(state.session, session);
    assert_eq!(sandboxes.launch(NAME, &Limits::default()).await.unwrap(), state, "it is found, not started again");
    let sandbox = Box_ { sandboxes: sandboxes.clone(), state, folder };
    let hands = hands(hosted(&sandboxes), &session).await;
    let report = hands.run(&request("finished", "echo x >> ran; exit 6"), true, |_| (), pending()).await.unwrap();
    assert_eq!((report.exit_code, report.output.to_text().as_str()), (Some(5), "result\n"));
    hands.write("/workspace/go", b"").await.unwrap();
    let report = hands.run(&request("running", "echo x >> ran2"), true, |_| (), pending()).await.unwrap();
    assert_eq!((report.exit_code, report.output.to_text().as_str()), (Some(0), "begun\nended\n"));
    assert_eq!(output(&hands, "count", "cat ran ran2").await, "x\nx\n", "each ran once");
    // One that was certainly never started is started, also when it is looked for.
    let report = hands.run(&request("new", "echo new"), true, |_| (), pending()).await.unwrap();
    assert_eq!(report.output.to_text(), "new\n");
    drop(sandbox);
}

async fn a_sandbox_that_died_is_said_to_have_died() {
    let sandbox = Box_::launch(Limits::default()).await;
    let hands = sandbox.hands().await;
    let pid = sandbox.state.executor_pid.to_string();
    let waiting = request("waiting", "echo here; sleep 1000");
    let killed = hands.run(
        &waiting,
        false,
        |_| assert!(Command::new("kill").args(["-9", &pid]).status().unwrap().success()),
        pending(),
    );
    let lost = killed.await;
    assert!(matches!(&lost, Err(CommandError::Unknown(reason)) if reason.contains("sandbox has ended")), "{lost:?}");
    assert_eq!(sandbox.sandboxes.find(NAME).unwrap(), Found::Ended);
    let refused = hands.read("/workspace/x", 10).await;
    assert!(matches!(refused, Err(ExecutorError::Gone(_))), "{refused:?}");
    // A new one takes over the files, and is another session: the old commands are gone with the old one.
    let again = sandbox.sandboxes.launch(NAME, &Limits::default()).await.unwrap();
    assert_ne!(again.session, sandbox.state.session);
    let old = ExecutorClient::resume(sandbox.connector(), sandbox.state.session.clone(), tools()).await;
    assert!(matches!(&old, Err(ExecutorError::Gone(reason)) if reason.contains("no longer has our session")));
    let new = ExecutorClient::resume(sandbox.connector(), again.session, tools()).await.unwrap();
    assert_eq!(output(&Hands::new(new, environment()), "new", "echo new").await, "new\n");
}

async fn stopping_leaves_nothing() {
    let sandbox = Box_::launch(Limits::default()).await;
    let hands = sandbox.hands().await;
    let script =
        "mkdir -p closed/deep; touch closed/deep/f; chmod 000 closed/deep closed; setsid sleep 1000 & sleep 1000";
    hands.run_in_background(&request("sleep", script), false).await.unwrap();
    while hands.metadata("/workspace/closed").await.is_err() {}
    let (state, folder) = (sandbox.state.clone(), sandbox.folder.path().join("sandboxes"));
    sandbox.sandboxes.stop(NAME).await.unwrap();
    assert_eq!(sandbox.sandboxes.find(NAME).unwrap(), Found::Nothing);
    assert_eq!(sandbox.sandboxes.list().unwrap(), Vec::<String>::new());
    assert!(!folder.join(NAME).exists());
    assert!(state.cgroups.iter().all(|group| !group.exists()), "{:?}", state.cgroups);
    for pid in [state.executor_pid, state.keeper_pid] {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        assert!(stat.is_empty() || stat.contains(") Z ") || !stat.contains("(sandbox"), "{stat}");
    }
    sandbox.sandboxes.stop(NAME).await.unwrap();
}

async fn a_sandbox_whose_folder_is_removed_ends() {
    let folder = tempfile::tempdir().unwrap();
    let sandboxes = Sandboxes::new(folder.path().join("sandboxes"), std::env::current_exe().unwrap());
    let state = sandboxes.launch(NAME, &Limits::default()).await.unwrap();
    drop(folder);
    // The keeper looks every ten seconds. This process is its parent and reaps it.
    let stat = format!("/proc/{}/stat", state.keeper_pid);
    while std::fs::read_to_string(&stat).is_ok_and(|stat| stat.contains("(sandbox") && !stat.contains(") Z ")) {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(state.cgroups.iter().all(|group| !group.exists()), "{:?}", state.cgroups);
}

/// Says the launched sandbox's state, or why there is none.
async fn try_to_launch(folder: &Path) {
    let sandboxes = Sandboxes::new(folder.join("sandboxes"), std::env::current_exe().unwrap());
    let state = match sandboxes.launch(NAME, &Limits { processes: 40, ..Limits::default() }).await {
        Ok(state) => state,
        Err(error) => return println!("{}", serde_json::to_string(&error).unwrap()),
    };
    let hands = hands(hosted(&sandboxes), &state.session).await;
    let said = output(&hands, "py", "python3 -c 'print(6 * 7)'; id -u; cat /proc/net/dev | wc -l; ulimit -u").await;
    println!("{}", serde_json::json!({ "said": said, "missing": state.missing_limits, "uid": state.uid }));
    sandboxes.stop(NAME).await.unwrap();
    assert!(!folder.join("sandboxes").join(NAME).exists());
}

async fn an_ordinary_user_has_sandboxes_too() {
    if !rustix::process::geteuid().is_root() {
        // All the other tests have shown it.
        return;
    }
    const NOBODY: u32 = 65_534;
    let folder = tempfile::tempdir().unwrap();
    std::os::unix::fs::chown(folder.path(), Some(NOBODY), Some(NOBODY)).unwrap();
    let said = Command::new(std::env::current_exe().unwrap())
        .args([TRY.as_ref(), folder.path().as_os_str()])
        .uid(NOBODY)
        .gid(NOBODY)
        .current_dir("/")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&said.stdout);
    let said: serde_json::Value = serde_json::from_str(&text).unwrap_or_else(|_| panic!("{said:?}"));
    assert_eq!(said["said"], "42\n1000\n3\n40\n", "{said}");
    assert_eq!(said["uid"], NOBODY);
    // It may not make control groups here: that is said, and nothing is pretended.
    assert!(
        said["missing"].as_array().unwrap().iter().any(|line| line.as_str().unwrap().starts_with("memory")),
        "{said}"
    );
}

fn forbid_namespaces() {
    use seccompiler::{BpfProgram, SeccompAction, SeccompFilter};
    let rules = [(libc::SYS_unshare, Vec::new())].into_iter().collect();
    let refuse = SeccompAction::Errno(libc::EPERM.cast_unsigned());
    let arch = std::env::consts::ARCH.try_into().unwrap();
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, refuse, arch).unwrap();
    seccompiler::apply_filter(&BpfProgram::try_from(filter).unwrap()).unwrap();
}

async fn a_namespace_that_is_not_to_be_had_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let said = Command::new(std::env::current_exe().unwrap())
        .args([TRY_WALLED.as_ref(), folder.path().as_os_str()])
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&said.stdout);
    let error: LaunchError = serde_json::from_str(&text).unwrap_or_else(|_| panic!("{said:?}"));
    assert!(error.step.contains("namespace (unshare CLONE_NEW"), "{error}");
    assert!(error.cause.contains("Operation not permitted"), "{error}");
    assert!(!error.remedy.is_empty(), "{error}");
}

async fn two_sandboxes_see_nothing_of_each_other() {
    let sandbox = Box_::launch(Limits::default()).await;
    let other = sandbox.sandboxes.launch("env_other", &Limits::default()).await.unwrap();
    assert_ne!(other.session, sandbox.state.session);
    let hands = sandbox.hands().await;
    hands.run_in_background(&request("sleep", "echo secret > mine; sleep 1000"), false).await.unwrap();
    let connector = bailiwick_environments::HostedConnector {
        sandboxes: sandbox.sandboxes.clone(),
        name: "env_other".into(),
        tasks: std::sync::Arc::new(house::RealTasks),
    };
    let theirs = house::hands(Box::new(connector), &other.session).await;
    let seen = output(
        &theirs,
        "look",
        "ls /workspace /tmp; cat /proc/[0-9]*/cmdline | tr '\\0' ' ' | grep -c 'sleep 1000' || true",
    )
    .await;
    assert!(!seen.contains("mine"), "{seen}");
    assert_eq!(seen.lines().last(), Some("1"), "only the looking shell itself: {seen}");
    assert_eq!(sandbox.sandboxes.list().unwrap(), ["env_other", NAME]);
    sandbox.sandboxes.stop("env_other").await.unwrap();
    assert!(matches!(sandbox.sandboxes.find(NAME).unwrap(), Found::Running(_)));
}

async fn a_cut_connection_changes_nothing() {
    let sandbox = Box_::launch(Limits::default()).await;
    let (connector, scissors) = Cutting::new(sandbox.connector());
    let hands = hands(Box::new(connector), &sandbox.state.session).await;
    behaviour::cut_connection(&hands, "/workspace", &scissors).await;
}

fn hosted_spec(files: Vec<HostedFile>, setup_commands: &[&str]) -> (EnvironmentId, EnvironmentSpec) {
    hosted_spec_of(environment_id(), files, setup_commands)
}

fn hosted_spec_of(
    id: EnvironmentId,
    files: Vec<HostedFile>,
    setup_commands: &[&str],
) -> (EnvironmentId, EnvironmentSpec) {
    let env = BTreeMap::from([("COLOUR".to_owned(), "blue".to_owned())]);
    let setup_commands = setup_commands.iter().map(|command| (*command).to_owned()).collect();
    (
        id,
        EnvironmentSpec::Hosted(Hosted {
            id,
            size: Size::Small,
            env,
            files,
            setup_commands,
            skills: Vec::new(),
            skill_folders: Vec::new(),
        }),
    )
}

/// A session in a hosted environment; what is left of it is wiped at the end.
struct HostedSession {
    durable: Arc<Durable>,
    id: EnvironmentId,
    folder: tempfile::TempDir,
}

impl HostedSession {
    async fn new(files: Vec<HostedFile>, setup_commands: &[&str]) -> Self {
        let (id, spec) = hosted_spec(files, setup_commands);
        Self { durable: Durable::begin(spec).await, id, folder: tempfile::tempdir().unwrap() }
    }

    /// One more beside others, whose sandboxes' folder a server of theirs has.
    async fn beside(number: u8, clock: &Arc<house::MovedClock>, setup_commands: &[&str]) -> Self {
        let id = EnvironmentId::new(RealClock.now(), house::session::id_bytes(100 + number));
        let (id, spec) = hosted_spec_of(id, Vec::new(), setup_commands);
        let durable = Durable::begin_at(spec, Arc::clone(clock) as Arc<dyn Clock>).await;
        Self { durable, id, folder: tempfile::tempdir().unwrap() }
    }

    /// A server process; dropping what it gives is its death.
    async fn server(&self) -> Session {
        let options = options(self.folder.path(), self.durable.archive.clone(), BTreeMap::new());
        Session::drive(&self.durable, options.build().unwrap()).await
    }

    async fn started(&self) -> (Session, EnvironmentFacts) {
        let mut session = self.server().await;
        match session.perform(self.start()).await {
            Outcome::Confirmed { result: ActionResult::Environment(facts) } => (session, facts),
            other => panic!("{other:?}"),
        }
    }

    fn start(&self) -> Action {
        Action::EnvironmentStart { environment: self.id }
    }

    fn run(&self, script: &str) -> Action {
        permitted::run(self.id, "/workspace", script)
    }
}

impl Drop for HostedSession {
    fn drop(&mut self) {
        let sandboxes = Sandboxes::new(self.folder.path().join("sandboxes"), std::env::current_exe().unwrap());
        let all = async move {
            for name in sandboxes.list().unwrap() {
                sandboxes.stop(&name).await.unwrap();
            }
        };
        std::thread::spawn(move || run(all)).join().unwrap();
    }
}

async fn every_action_is_performed_under_a_permit() {
    let hosted = HostedSession::new(Vec::new(), &[]).await;
    let (mut session, facts) = hosted.started().await;
    assert_eq!(facts.isolation, "process");
    assert!(facts.executor_version.unwrap().starts_with("bailiwick/"));
    permitted::every_action(&mut session, hosted.id, "/workspace").await;
    session.environments.close(hosted.durable.session, hosted.id).await;
    assert_eq!(session.environments.sandboxes().list().unwrap(), Vec::<String>::new());
    // What is asked for after that is refused with the reason.
    let (code, message) = permitted::failure(session.perform(hosted.run("true")).await);
    assert!(code == FailureCode::SandboxError && message.contains("has ended"), "{message}");
}

async fn a_commit_says_for_whom_it_was_made() {
    let hosted = HostedSession::new(Vec::new(), &[]).await;
    let (mut session, _) = hosted.started().await;
    let mut run = async |command: &str| permitted::command(session.perform(hosted.run(command)).await).output;
    let told = run("env | grep -E '^(GIT_|BAILIWICK_)' | sort").await;
    let told: BTreeMap<&str, &str> = told.lines().filter_map(|line| line.split_once('=')).collect();
    let (author, session_id) = (told["GIT_AUTHOR_NAME"], hosted.durable.session.to_string());
    assert!(author.starts_with("key_") && author.contains(" through agent_"), "{told:?}");
    assert_eq!((told["GIT_COMMITTER_NAME"], told["BAILIWICK_SESSION"]), (author, session_id.as_str()));
    let agent = author.split_once(" through ").unwrap().1;
    assert_eq!(told["GIT_AUTHOR_EMAIL"], format!("{agent}@bailiwick.invalid"));
    if run("command -v git || true").await.is_empty() {
        println!("this machine has no git: what `git log` shows is not looked at");
        return;
    }
    // A repository's own hooks, a message of several paragraphs, and a second commit that takes over the first's.
    let made = run("git init -q a && cd a && echo 1 > x && git add x && git commit -q --no-verify -m One -m Why. && \
         git commit -q --amend --no-edit && git log --format='%an|%cn|%ae%n%(trailers)' && git log --format=%s 2>&1")
    .await;
    let trailers = format!("On-behalf-of: {}\nBailiwick-Session: {session_id}\n", told["BAILIWICK_SUBJECT"]);
    assert_eq!(made, format!("{author}|{author}|{agent}@bailiwick.invalid\n{trailers}\nOne\n"));
    let own = "git init -q b && cd b && echo 'exit 3' > .git/hooks/pre-commit && chmod +x .git/hooks/pre-commit && \
         git commit -q --allow-empty -m No; echo $?";
    assert_eq!(run(own).await, "1\n", "a repository's own hooks stay");
}

async fn a_hosted_environment_is_prepared_once() {
    let file = FileId::new(RealClock.now(), [8; 10]);
    let laid = HostedFile {
        file,
        path: "/workspace/in/data.csv".to_owned(),
        size_bytes: 3,
        inline: false,
        label: Default::default(),
    };
    let hosted =
        HostedSession::new(vec![laid], &["echo $COLOUR >> setup", "test -e in/data.csv && echo b >> setup"]).await;
    hosted.durable.archive.put_file(hosted.durable.tenant, file, b"a,b").await.unwrap();
    let (mut session, _) = hosted.started().await;
    session.perform(hosted.start()).await;
    let said = permitted::command(session.perform(hosted.run("cat setup in/data.csv; ls -d outputs")).await);
    assert_eq!(said.output, "blue\nb\na,boutputs\n");
    drop(session);
    let (mut session, _) = hosted.started().await;
    assert_eq!(permitted::command(session.perform(hosted.run("cat setup")).await).output, "blue\nb\n");

    let broken = HostedSession::new(Vec::new(), &["true", "echo my-secret; exit 9"]).await;
    let mut session = broken.server().await;
    let (code, message) = permitted::failure(session.perform(broken.start()).await);
    assert_eq!((code, message.as_str()), (FailureCode::SandboxError, "set-up command 2 of 2 ended with exit code 9"));
}

async fn after_a_crash_nothing_is_done_twice() {
    let hosted = HostedSession::new(Vec::new(), &[]).await;
    let (mut session, _) = hosted.started().await;
    // Finished, but its outcome is lost with the server.
    let (ran, edited, never) = (session.new_id(), session.new_id(), session.new_id());
    permitted::text(
        session
            .perform(Action::FileWrite { environment: hosted.id, path: "/workspace/f".into(), content: "a".into() })
            .await,
    );
    let permit = session.permit(ran, hosted.run("echo x >> ran; echo said; exit 3")).await;
    let settled = session.environments.perform(permit, Live::unwatched()).await;
    assert_eq!(settled.id(), ran);
    let edit = |old: &str, new: &str| Action::FileEdit {
        environment: hosted.id,
        path: "/workspace/f".into(),
        old: old.into(),
        new: new.into(),
        all: false,
    };
    let permit = session.permit(edited, edit("a", "aa")).await;
    drop(session.environments.perform(permit, Live::unwatched()).await);
    // Decided, but never begun.
    let permit = session.permit(never, hosted.run("echo y >> ran; echo now")).await;
    drop((permit, settled, session));

    let mut session = hosted.server().await;
    let found = permitted::command(session.resume(ran).await);
    assert_eq!((found.output.as_str(), found.exit_code), ("said\n", Some(3)));
    permitted::text(session.resume(edited).await);
    assert_eq!(permitted::command(session.resume(never).await).output, "now\n");
    assert_eq!(permitted::command(session.perform(hosted.run("cat ran f")).await).output, "x\ny\naa");
}

async fn what_an_ended_sandbox_did_is_unknown() {
    let hosted = HostedSession::new(Vec::new(), &[]).await;
    let (mut session, facts) = hosted.started().await;
    let (old, unseen) = (session.new_id(), session.new_id());
    let permit = session.permit(old, hosted.run("echo x >> ran")).await;
    drop(session.environments.perform(permit, Live::unwatched()).await);
    drop(session.permit(unseen, hosted.run("echo y >> ran")).await);
    session.environments.sandboxes().end(&hosted.id.to_string()).await.unwrap();
    drop(session);
    // It is gone, and nobody can say.
    let mut session = hosted.server().await;
    let outcome = session.resume(old).await;
    assert!(matches!(&outcome, Outcome::Unknown { reason } if reason.contains("has ended")), "{outcome:?}");
    // Also not the one that took its place: it never saw the command, and that says nothing.
    let Outcome::Confirmed { result: ActionResult::Environment(again) } = session.perform(hosted.start()).await else {
        panic!("not started again")
    };
    assert_ne!(again.executor_session, facts.executor_session);
    let mut other = {
        drop(session);
        hosted.server().await
    };
    let other_place = other.environments.clone();
    let restarted = other.perform(hosted.start()).await;
    assert!(matches!(restarted, Outcome::Confirmed { .. }));
    drop(other_place);
    let outcome = other.resume(unseen).await;
    assert!(matches!(&outcome, Outcome::Unknown { .. } | Outcome::Confirmed { .. }), "{outcome:?}");
    assert_eq!(permitted::command(other.perform(hosted.run("cat ran")).await).output.matches('x').count(), 1);
}

async fn outputs_are_published_once_for_each_change() {
    let hosted = HostedSession::new(Vec::new(), &[]).await;
    let (mut session, _) = hosted.started().await;
    let publish = Action::ArtifactPublish { environment: hosted.id, directory: "/workspace/outputs".to_owned() };
    let artifacts = |outcome| match outcome {
        Outcome::Confirmed { result: ActionResult::Artifacts { artifacts } } => artifacts,
        other => panic!("{other:?}"),
    };
    assert_eq!(artifacts(session.perform(publish.clone()).await), []);
    let script = "mkdir outputs/deep; echo report > outputs/report.md; head -c 9000000 /dev/zero > outputs/deep/big; \
                  ln -s /etc/passwd outputs/link";
    permitted::command(session.perform(hosted.run(script)).await);
    let id = session.new_id();
    let permit = session.permit(id, publish.clone()).await;
    let first = session.environments.perform(permit, Live::unwatched()).await;
    let kept = artifacts(first.outcome().clone());
    let names: Vec<_> = kept.iter().map(|artifact| (artifact.path.as_str(), artifact.size_bytes)).collect();
    assert_eq!(names, [("/workspace/outputs/deep/big", 9_000_000), ("/workspace/outputs/report.md", 7)]);
    let durable = &hosted.durable;
    let bytes = durable.archive.artifact(durable.tenant, durable.session, kept[1].id).await.unwrap();
    assert_eq!(bytes, b"report\n");
    // The outcome is lost in a crash: then it is published again, whatever was noted.
    drop((first, session));
    let mut session = hosted.server().await;
    assert_eq!(artifacts(session.resume(id).await).len(), 2);
    assert_eq!(artifacts(session.perform(publish.clone()).await), []);
    permitted::command(session.perform(hosted.run("echo more >> outputs/report.md")).await);
    let changed = artifacts(session.perform(publish).await);
    assert_eq!(
        changed.iter().map(|artifact| artifact.path.as_str()).collect::<Vec<_>>(),
        ["/workspace/outputs/report.md"]
    );
}

async fn sandboxes_are_bounded_and_probed() {
    let hosted = HostedSession::new(Vec::new(), &[]).await;
    let mut none = options(hosted.folder.path(), hosted.durable.archive.clone(), BTreeMap::new());
    none.max_sandboxes = 0;
    let mut session = Session::drive(&hosted.durable, none.build().unwrap()).await;
    let (code, message) = permitted::failure(session.perform(hosted.start()).await);
    assert!(code == FailureCode::SandboxError && message.contains("the limit"), "{message}");
    let probe = session.environments.probe().await;
    assert_eq!(probe.isolation.as_deref(), Ok("process"));
    assert!(probe.python.unwrap().starts_with("Python 3"));
    assert!(probe.missing_limits.iter().any(|limit| limit.starts_with("disk")));
    assert_eq!(session.environments.sandboxes().list().unwrap(), Vec::<String>::new(), "the probe leaves nothing");
    let wrong = BTreeMap::from([(
        "lab".to_owned(),
        ListeningExecutor { url: "ws://10.0.0.1:1".into(), token: Secret::new("t") },
    )]);
    let error = options(hosted.folder.path(), hosted.durable.archive.clone(), wrong).build().err().unwrap();
    assert!(
        error.to_string().starts_with("[executors.lab] url: ") && error.to_string().contains("plain text"),
        "{error}"
    );
}
