//! Real sandboxes on this machine. This binary is its own keeper and executor, as the server's is.

#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

use bailiwick_environments::sandbox::{self, Limits, Sandboxes};
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    if let Some(code) = sandbox::stage(&arguments) {
        return code;
    }
    if sandbox::is_executor(&arguments) {
        return bailiwick_executor::main(arguments.into_iter().skip(2));
    }
    let t = std::time::Instant::now();
    let dir = tempfile::tempdir().unwrap();
    let rt = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    rt.block_on(async {
        let boxes = Sandboxes::new(dir.path().join("sandboxes"), std::env::current_exe().unwrap());
        let state = boxes.launch("env_1", &Limits::default()).await;
        println!("{state:#?} {:?}", t.elapsed());
        println!("{:?}", boxes.find("env_1"));
        let _ = std::process::Command::new("sh").arg("-c").arg("ps axf -o pid,ppid,user,rss,args | grep -A2 -B1 __sand").status();
        std::process::Command::new("sh").arg("-c").arg(format!("cat {}/sandboxes/env_1/control/log", dir.path().display())).status().unwrap();
        boxes.stop("env_1").await.unwrap();
        println!("{:?}", boxes.find("env_1"));
    });
    ExitCode::SUCCESS
}
