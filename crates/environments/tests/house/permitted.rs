//! What holds for every environment behind the gate.

use super::house::session::Session;
use bailiwick_core::{
    Action, ActionResult, CommandEnd, CommandOutput, CommandRun, Content, FailureCode, FoundFile, ListPage, Listing,
    Outcome,
};
use bailiwick_gate::{Delta, Live};
use bailiwick_types::{EnvironmentId, FileId, Millis};
use std::sync::{Arc, Mutex};

pub fn run(environment: EnvironmentId, cwd: &str, command: &str) -> Action {
    Action::CommandRun(CommandRun {
        environment,
        command: command.to_owned(),
        cwd: cwd.to_owned(),
        timeout_ms: Millis::from_secs(30),
        background: false,
    })
}

pub fn command(outcome: Outcome) -> CommandOutput {
    match outcome {
        Outcome::Confirmed { result: ActionResult::Command(output) } => output,
        other => panic!("{other:?}"),
    }
}

pub fn text(outcome: Outcome) -> String {
    match outcome {
        Outcome::Confirmed { result: ActionResult::Content { content } } => bailiwick_core::joined_text(&content),
        other => panic!("{other:?}"),
    }
}

pub fn failure(outcome: Outcome) -> (FailureCode, String) {
    match outcome {
        Outcome::Failed { failure } => (failure.code, failure.message),
        other => panic!("{other:?}"),
    }
}

/// Every action that an environment knows, once.
pub async fn every_action(session: &mut Session, environment: EnvironmentId, cwd: &str) {
    let path = |name: &str| format!("{cwd}/{name}");
    let streamed = Arc::new(Mutex::new(String::new()));
    let (live, _stopper) = Live::new({
        let streamed = Arc::clone(&streamed);
        move |delta| match delta {
            Delta::CommandOutput { text } => streamed.lock().unwrap().push_str(&text),
            other => panic!("{other:?}"),
        }
    });
    let id = session.new_id();
    let permit = session.permit(id, run(environment, cwd, "echo hello; pwd; exit 2")).await;
    let output = command(session.perform_permit(permit, live).await);
    assert_eq!((output.output.as_str(), output.exit_code), (format!("hello\n{cwd}\n").as_str(), Some(2)));
    assert_eq!((output.ended, streamed.lock().unwrap().as_str()), (CommandEnd::Exited, output.output.as_str()));

    let write =
        |name: &str, content: &str| Action::FileWrite { environment, path: path(name), content: content.to_owned() };
    text(session.perform(write("a/x.txt", "one\ntwo\ntwo\n")).await);
    let read = |name: &str, offset, limit| Action::FileRead { environment, path: path(name), offset, limit };
    assert_eq!(text(session.perform(read("a/x.txt", 1, 100)).await), "one\ntwo\ntwo\n");
    let cut = text(session.perform(read("a/x.txt", 2, 1)).await);
    assert!(cut.starts_with("two\n") && cut.contains("read from line 3"), "{cut}");
    assert!(text(session.perform(read("a/x.txt", 9, 1)).await).contains("fewer than 9 lines"));
    let (code, message) = failure(session.perform(read("none", 1, 1)).await);
    assert!(code == FailureCode::ToolError && message.contains(&path("none")), "{message}");

    given(session, environment, cwd).await;
    let edit = |old: &str, new: &str, all| Action::FileEdit {
        environment,
        path: path("a/x.txt"),
        old: old.to_owned(),
        new: new.to_owned(),
        all,
    };
    text(session.perform(edit("one", "1", false)).await);
    assert!(failure(session.perform(edit("two", "2", false)).await).1.contains("more than once"));
    assert!(failure(session.perform(edit("three", "3", false)).await).1.contains("does not hold"));
    assert!(text(session.perform(edit("two", "2", true)).await).contains("2 places"));
    assert_eq!(text(session.perform(read("a/x.txt", 1, 9)).await), "1\n2\n2\n");

    let list = Action::FileList { environment, path: path("a"), depth: 2, page: None };
    assert_eq!(text(session.perform(list).await), "x.txt");
    look(session, environment, cwd).await;
    let search = Action::FileSearch { environment, path: cwd.to_owned(), pattern: "^2".to_owned(), glob: None };
    assert_eq!(text(session.perform(search).await), "a/x.txt:2: 2\na/x.txt:3: 2");

    command(session.perform(run(environment, cwd, "printf '\\211PNG\\r\\n\\032\\n....' > dot.png")).await);
    let image = session.perform(Action::ImageView { environment, path: path("dot.png") }).await;
    let Outcome::Confirmed { result: ActionResult::Content { content } } = image else { panic!("{image:?}") };
    assert!(matches!(&content[..], [Content::Image { url }] if url.starts_with("data:image/png;base64,iVBORw0KGgo")));
    let none = session.perform(Action::ImageView { environment, path: path("a/x.txt") }).await;
    assert!(failure(none).1.contains("not a PNG"));

    background(session, environment, cwd).await;
    cancelled(session, environment, cwd).await;
}

/// What a person is shown: files all the way down, with their sizes, page by page.
async fn look(session: &mut Session, environment: EnvironmentId, cwd: &str) {
    command(
        session
            .perform(run(
                environment,
                cwd,
                "mkdir -p seen/deep/er seen/none; cd seen; printf 12 > b; printf 1 > deep/er/c; ln -s b link",
            ))
            .await,
    );
    let folder = format!("{cwd}/seen");
    let within = |depth, after: Option<&str>, limit| {
        let after = after.map(|name| format!("{folder}/{name}"));
        let page = Some(ListPage { after, limit, descending: false });
        Action::FileList { environment, path: folder.clone(), depth, page }
    };
    let page = |after, limit| within(64, after, limit);
    let listed = |outcome| match outcome {
        Outcome::Confirmed { result: ActionResult::Files(listing) } => listing,
        other => panic!("{other:?}"),
    };
    let found = |name: &str, size_bytes| FoundFile { path: format!("{folder}/{name}"), size_bytes };
    let first = listed(session.perform(page(None, 1)).await);
    assert_eq!((first.files, first.more), (vec![found("b", 2)], true));
    let second = listed(session.perform(page(Some("b"), 9)).await);
    assert_eq!((second.files, second.more), (vec![found("deep/er/c", 1)], false));
    // What lies deeper than it looks is not left out in silence.
    assert_eq!(listed(session.perform(within(3, None, 9)).await).files.len(), 2);
    let Outcome::Failed { failure } = session.perform(within(2, None, 9)).await else {
        panic!("it has looked everywhere")
    };
    assert!(failure.message.contains("2 folders deep"), "{}", failure.message);
    let page = Some(ListPage { after: None, limit: 9, descending: true });
    let gone = Action::FileList { environment, path: format!("{cwd}/gone"), depth: 64, page };
    assert_eq!(listed(session.perform(gone).await), Listing::default());
}

/// A file that a client uploaded; it may be anything.
async fn given(session: &mut Session, environment: EnvironmentId, cwd: &str) {
    let (bytes, file) = (b"\0\xff\n".to_vec(), FileId::from_u128(77));
    session.durable.archive.put_file(session.durable.tenant, file, &bytes).await.unwrap();
    let add = |file, name: &str| Action::FileAdd { environment, path: format!("{cwd}/{name}"), file, size_bytes: 3 };
    for _ in 0..2 {
        text(session.perform(add(file, "given/deep/data.bin")).await);
    }
    let seen = command(session.perform(run(environment, cwd, "od -An -tx1 given/deep/data.bin")).await);
    assert_eq!(seen.output, " 00 ff 0a\n");
    // A folder is in the way, or there is no such file.
    assert_eq!(failure(session.perform(add(file, "given/deep")).await).0, FailureCode::ToolError);
    let (code, message) = failure(session.perform(add(FileId::from_u128(78), "given/none")).await);
    assert!(code == FailureCode::ToolError && message.contains("cannot be read"), "{message}");
}

async fn background(session: &mut Session, environment: EnvironmentId, cwd: &str) {
    let Action::CommandRun(mut echo) = run(environment, cwd, "while read line; do echo got $line; done") else {
        unreachable!()
    };
    echo.background = true;
    let process = session.new_id();
    let permit = session.permit(process, Action::CommandRun(echo)).await;
    let begun = command(session.perform_permit(permit, Live::unwatched()).await);
    assert_eq!(begun.ended, CommandEnd::Running);
    let input = "it\n".to_owned();
    text(session.perform(Action::CommandWrite { environment, process, input }).await);
    let poll = Action::CommandPoll { environment, process, wait_ms: Millis::from_secs(10) };
    let polled = command(session.perform(poll.clone()).await);
    assert_eq!((polled.output.as_str(), polled.ended), ("got it\n", CommandEnd::Running));
    let stopped = command(session.perform(Action::CommandStop { environment, process }).await);
    assert_eq!(stopped.ended, CommandEnd::Exited);
    assert_eq!(command(session.perform(poll).await).ended, CommandEnd::Exited);
    let unknown = Action::CommandPoll { environment, process: session.new_id(), wait_ms: Millis(0) };
    assert_eq!(failure(session.perform(unknown).await).0, FailureCode::ToolError);
}

async fn cancelled(session: &mut Session, environment: EnvironmentId, cwd: &str) {
    let (live, stopper) = Live::new(|_| ());
    let id = session.new_id();
    let permit = session.permit(id, run(environment, cwd, "sleep 1000")).await;
    stopper.stop();
    let stopped = command(session.perform_permit(permit, live).await);
    assert_eq!(stopped.ended, CommandEnd::Cancelled);
}
