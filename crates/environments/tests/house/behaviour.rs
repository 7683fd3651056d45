//! What holds for every executor, ours and the stock one.

use super::house::{RealClock, Scissors, request_in};
use bailiwick_environments::{
    ExecutorError, Hands,
    hands::{CommandError, CommandRequest, End, Report, SearchRequest},
};
use bailiwick_ports::Clock;
use bailiwick_types::Millis;
use std::{cell::RefCell, future::pending, time::Duration};
use tokio::sync::Notify;

async fn never() {
    pending::<()>().await;
}

/// Commands: output, ends, errors.
pub async fn commands(hands: &Hands, cwd: &str) {
    let live = RefCell::new(String::new());
    let script = "echo out; echo err >&2; printf 'ü'; pwd; exit 3";
    let first = request_in("p1", script, cwd);
    let report = hands.run(&first, false, |text| live.borrow_mut().push_str(&text), never()).await.unwrap();
    let text = report.output.to_text();
    assert_eq!((report.exit_code, report.end), (Some(3), End::Exited), "{text}");
    for part in ["out\n", "err\n", "ü", cwd] {
        assert!(text.contains(part) && live.borrow().contains(part), "{part}: {text} / {}", live.borrow());
    }
    // The same id is the same command: it is not run again.
    let again = hands.run(&request_in("p1", "echo twice", cwd), true, |_| (), never()).await.unwrap();
    assert_eq!((again.exit_code, again.output.to_text()), (Some(3), text));

    let missing = hands.run(&request_in("p2", "true", "/no/such/folder"), false, |_| (), never()).await;
    assert!(matches!(&missing, Err(CommandError::NotStarted(error)) if error.to_string().contains("/no/such/folder")));

    let killed = hands.run(&request_in("p3", "kill -9 $$", cwd), false, |_| (), never()).await.unwrap();
    assert_eq!(killed.exit_code, Some(137));

    // Something that is left behind does not hold up the answer.
    let left = hands.run(&request_in("p4", "sleep 100 & echo done", cwd), false, |_| (), never()).await.unwrap();
    assert_eq!((left.exit_code, left.output.to_text().as_str()), (Some(0), "done\n"));
    assert!(left.duration < Millis::from_secs(30), "{:?}", left.duration);
}

pub async fn long_output(hands: &Hands, cwd: &str) {
    let script = "echo begin; head -c 3000000 /dev/zero | tr '\\0' x; echo end";
    let report = hands.run(&request_in("long", script, cwd), false, |_| (), never()).await.unwrap();
    let text = report.output.to_text();
    assert!(text.starts_with("begin\nxxx") && text.ends_with("xend\n") && text.len() < 70_000, "{}", text.len());
    assert_eq!(report.output.omitted, 3_000_010 - 64 * 1024);
}

/// Time-outs and cancels end the whole process group.
pub async fn stopping(hands: &Hands, cwd: &str) {
    let mut slow = request_in("slow", "trap '' INT TERM; echo $$; sleep 1000 & sleep 1000", cwd);
    slow.timeout = Some(Millis(300));
    let report = hands.run(&slow, false, |_| (), never()).await.unwrap();
    assert_eq!((report.end, report.exit_code), (End::TimedOut, Some(137)));
    // Nothing of its process group lives; who reaps what was orphaned is the machine's affair.
    let group = report.output.to_text();
    let living = format!("ps -eo pgid=,stat= | awk '$1 == {} && $2 !~ /^Z/'", group.trim());
    let check = hands.run(&request_in("gone", &living, cwd), false, |_| (), never()).await.unwrap();
    assert_eq!((check.output.to_text().as_str(), check.exit_code), ("", Some(0)));

    let polite = request_in("polite", "trap 'echo bye; exit 5' INT; echo hi; while :; do sleep 0.05; done", cwd);
    let report = cancelled_when_it_speaks(hands, &polite).await;
    assert_eq!(report.exit_code, Some(5));
    assert_eq!(report.output.to_text(), "hi\nbye\n", "an interrupted command may clean up");
    let stubborn = request_in("stubborn", "trap '' INT; echo hi; while :; do sleep 0.05; done", cwd);
    assert_eq!(cancelled_when_it_speaks(hands, &stubborn).await.exit_code, Some(137));
}

async fn cancelled_when_it_speaks(hands: &Hands, request: &CommandRequest) -> Report {
    let spoke = Notify::new();
    let report = hands.run(request, false, |_| spoke.notify_one(), spoke.notified()).await.unwrap();
    assert_eq!(report.end, End::Cancelled);
    report
}

pub async fn background(hands: &Hands, cwd: &str) {
    let script = "while read line; do echo got $line; done; echo over; exit 4";
    let request = request_in("back", script, cwd);
    hands.run_in_background(&request, false).await.unwrap();
    hands.run_in_background(&request, true).await.unwrap();
    hands.write_to("back", request.made_at, "w1", "one\n").await.unwrap();
    hands.write_to("back", request.made_at, "w1", "one\n").await.unwrap();
    let mut text = String::new();
    while !text.contains("got one") {
        let polled = hands.poll("back", request.made_at, Millis::from_secs(10)).await.unwrap();
        assert!(polled.running);
        text.push_str(&polled.output.to_text());
    }
    let quiet = hands.poll("back", request.made_at, Millis(0)).await.unwrap();
    assert_eq!((quiet.output.to_text().as_str(), quiet.running), ("", true), "the repeated write was not written");
    let stopped = hands.stop_in_background("back", request.made_at).await.unwrap();
    assert!(!stopped.running);
    let after = hands.poll("back", request.made_at, Millis(0)).await.unwrap();
    assert!(!after.running && after.exit_code.is_some());
    assert!(hands.write_to("back", request.made_at, "w2", "x").await.is_err());
    let unknown = hands.poll("unknown", RealClock.now(), Millis(0)).await;
    assert!(matches!(unknown, Err(ExecutorError::Refused(_))), "{unknown:?}");
}

pub async fn files(hands: &Hands, cwd: &str) {
    let at = |name: &str| format!("{cwd}/{name}");
    hands.write(&at("a/b c/x.txt"), b"one\ntwo\nthree\n").await.unwrap();
    assert_eq!(hands.read(&at("a/b c/x.txt"), 100).await.unwrap(), b"one\ntwo\nthree\n");
    assert!(matches!(hands.read(&at("a/b c/x.txt"), 5).await, Err(ExecutorError::TooLarge(_))));
    assert!(hands.read(&at("none"), 5).await.unwrap_err().is_not_found());
    assert!(hands.read(&at("a"), 100_000).await.is_err(), "a folder is not a file");
    let lines = hands.read_lines(&at("a/b c/x.txt"), 2, 1, 1000).await.unwrap();
    assert_eq!((lines.text.as_str(), lines.count, lines.more), ("two\n", 1, true));

    // More than any frame holds.
    let large: Vec<u8> = (0..20_000_000_u32).map(|i| (i % 251) as u8).collect();
    hands.write(&at("large"), &large).await.unwrap();
    assert!(hands.read(&at("large"), 20_000_000).await.unwrap() == large);
    assert!(hands.read_lines(&at("large"), 1, 9, 1000).await.unwrap_err().to_string().contains("not a text file"));

    hands.write(&at("a/y.py"), "import os\nprint('Größe')\n".as_bytes()).await.unwrap();
    let (listed, truncated) = hands.list(&at("a"), 3, 100).await.unwrap();
    let names: Vec<_> = listed.iter().map(|entry| (entry.path.as_str(), entry.is_folder)).collect();
    assert_eq!((names, truncated), (vec![("b c", true), ("b c/x.txt", false), ("y.py", false)], false));
    assert!(hands.list(&at("a"), 1, 1).await.unwrap().1);
    let search = |pattern: &str, glob: Option<&str>| SearchRequest {
        path: cwd.to_owned(),
        pattern: pattern.to_owned(),
        glob: glob.map(str::to_owned),
        max_hits: 10,
    };
    let hits = hands.search(&search("(?i)PRINT|two", None)).await.unwrap();
    assert_eq!(hits.lines, ["a/y.py:2: print('Größe')", "a/b c/x.txt:2: two"]);
    let hits = hands.search(&search("o", Some("*.py"))).await.unwrap();
    assert_eq!((hits.lines, hits.files_searched), (vec!["a/y.py:1: import os".to_owned()], 1));
    assert!(hands.search(&search("(", None)).await.is_err());
}

/// A connection that breaks while a command runs changes nothing.
pub async fn cut_connection(hands: &Hands, cwd: &str, scissors: &Scissors) {
    let script = "echo before; while [ ! -e go ]; do sleep 0.02; done; echo after; echo x >> ran";
    let request = request_in("cut", script, cwd);
    let seen = Notify::new();
    let command = hands.run(&request, false, |_| seen.notify_one(), never());
    let cutting = async {
        seen.notified().await;
        for _ in 0..3 {
            scissors.cut();
            tokio::time::sleep(Duration::from_millis(150)).await;
        }
        hands.write(&format!("{cwd}/go"), b"").await.unwrap();
        never().await;
    };
    let report = tokio::select! {
        report = command => report.unwrap(),
        () = cutting => unreachable!(),
    };
    assert_eq!((report.exit_code, report.output.to_text().as_str()), (Some(0), "before\nafter\n"));
    assert_eq!(hands.read(&format!("{cwd}/ran"), 100).await.unwrap(), b"x\n");
}
