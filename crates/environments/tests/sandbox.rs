//! Real sandboxes on this machine. This binary is its own keeper and executor, as the server's is.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, clippy::print_stdout)]

#[path = "house/behaviour.rs"]
mod behaviour;
mod house;

use bailiwick_environments::{
    ExecutorClient, ExecutorError, Hands,
    hands::CommandError,
    sandbox::{self, Found, LaunchError, Limits, Sandboxes},
};
use bailiwick_types::Millis;
use house::{Box_, Cutting, NAME, environment, hands, hosted, request, run, tools};
use libtest_mimic::{Arguments, Trial};
use std::{
    future::pending,
    io::{BufRead, BufReader},
    os::unix::process::CommandExt,
    path::Path,
    process::{Command, ExitCode, Stdio},
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
        trial("an_ordinary_user_has_sandboxes_too", an_ordinary_user_has_sandboxes_too),
        trial("a_namespace_that_is_not_to_be_had_is_named", a_namespace_that_is_not_to_be_had_is_named),
        trial("two_sandboxes_see_nothing_of_each_other", two_sandboxes_see_nothing_of_each_other),
        trial("commands_run", || with_hands(async |hands| behaviour::commands(hands, "/workspace").await)),
        trial("long_output_is_cut", || with_hands(async |hands| behaviour::long_output(hands, "/workspace").await)),
        trial("commands_are_stopped", || with_hands(async |hands| behaviour::stopping(hands, "/workspace").await)),
        trial("background_commands", || with_hands(async |hands| behaviour::background(hands, "/workspace").await)),
        trial("files", || with_hands(async |hands| behaviour::files(hands, "/workspace").await)),
        trial("a_cut_connection_changes_nothing", a_cut_connection_changes_nothing),
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
