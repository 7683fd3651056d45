//! Sandboxes that nobody uses are ended, and nothing is lost by it.

use super::{
    HostedSession,
    house::{MovedClock, session::Session, session::options},
    permitted,
};
use bailiwick_core::{Action, ActionResult, FailureCode, Outcome};
use bailiwick_environments::{Environments, sandbox::Found};
use bailiwick_gate::{Executor, Live};
use bailiwick_ports::Clock;
use bailiwick_types::Millis;
use std::{collections::BTreeMap, sync::Arc};

/// A server with a clock that can be moved on, and room for a few sandboxes.
struct Server {
    clock: Arc<MovedClock>,
    environments: Environments,
}

impl Server {
    fn new(clock: &Arc<MovedClock>, first: &HostedSession, max_sandboxes: usize) -> Self {
        let clock = Arc::clone(clock);
        let mut options = options(first.folder.path(), first.durable.archive.clone(), BTreeMap::new());
        options.max_sandboxes = max_sandboxes;
        options.clock = Arc::clone(&clock) as Arc<dyn Clock>;
        options.idle_limit = Millis::from_secs(600);
        Self { clock, environments: options.build().unwrap() }
    }

    async fn drive(&self, hosted: &HostedSession) -> Session {
        Session::drive(&hosted.durable, self.environments.clone()).await
    }

    fn runs(&self, hosted: &HostedSession) -> bool {
        matches!(self.environments.sandboxes().find(&hosted.id.to_string()).unwrap(), Found::Running(_))
    }
}

async fn start(session: &mut Session, hosted: &HostedSession) {
    let outcome = session.perform(hosted.start()).await;
    assert!(matches!(outcome, Outcome::Confirmed { result: ActionResult::Environment(_) }), "{outcome:?}");
}

async fn run(session: &mut Session, hosted: &HostedSession, script: &str) -> String {
    permitted::command(session.perform(hosted.run(script)).await).output
}

/// What became of an action that found its sandbox suspended: it was not tried.
fn not_sent(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::NotSent { reason } if reason.contains("started again"))
}

pub async fn the_sandbox_that_was_idle_longest_makes_room() {
    let clock = Arc::new(MovedClock::default());
    let one = HostedSession::beside(1, &clock, &["echo x >> setup"]).await;
    let two = HostedSession::beside(2, &clock, &[]).await;
    let three = HostedSession::beside(3, &clock, &[]).await;
    let server = Server::new(&clock, &one, 2);
    let (mut first, mut second) = (server.drive(&one).await, server.drive(&two).await);
    start(&mut first, &one).await;
    start(&mut second, &two).await;
    run(&mut first, &one, "echo mine > kept").await;
    server.clock.move_on(Millis::from_secs(5));
    // Used last, so it stays.
    run(&mut second, &two, "true").await;
    let mut third = server.drive(&three).await;
    start(&mut third, &three).await;
    assert_eq!((server.runs(&one), server.runs(&two), server.runs(&three)), (false, true, true));
    assert!(server.environments.is_suspended(one.id) && !server.environments.is_suspended(two.id));

    // The next call is not tried in what is not there, and nothing is said to be lost.
    let outcome = first.perform(one.run("cat kept")).await;
    assert!(not_sent(&outcome), "{outcome:?}");
    server.clock.move_on(Millis::from_secs(5));
    start(&mut first, &one).await;
    assert!(!server.environments.is_suspended(one.id));
    // Its files are there as they were, and what was to be done once is not done again.
    assert_eq!(run(&mut first, &one, "cat kept setup").await, "mine\nx\n");
}

pub async fn a_sandbox_in_use_is_never_ended() {
    let clock = Arc::new(MovedClock::default());
    let one = HostedSession::beside(1, &clock, &[]).await;
    let two = HostedSession::beside(2, &clock, &[]).await;
    let server = Server::new(&clock, &one, 1);
    let (mut first, mut second) = (server.drive(&one).await, server.drive(&two).await);
    start(&mut first, &one).await;
    let Action::CommandRun(mut sleeping) = one.run("sleep 1000") else { unreachable!() };
    sleeping.background = true;
    let process = first.new_id();
    let permit = first.permit(process, Action::CommandRun(sleeping)).await;
    first.perform_permit(permit, Live::unwatched()).await;
    server.clock.move_on(Millis::from_secs(20));
    let (code, message) = permitted::failure(second.perform(two.start()).await);
    assert_eq!(code, FailureCode::SandboxError);
    assert!(message.contains("1 sandboxes are running, which is the limit"), "{message}");
    assert!(message.contains("stop background commands") && message.contains("`[limits] sandboxes`"), "{message}");
    permitted::command(first.perform(Action::CommandStop { environment: one.id, process }).await);

    // Under way is what has a permit, from its opening to its outcome: here a command that waits for a file.
    let waiting = one.run("while [ ! -e go ]; do sleep 0.02; done; echo went");
    let permit = first.permit(first.new_id(), waiting).await;
    let environments = server.environments.clone();
    let (saw, mut seen) = tokio::sync::mpsc::unbounded_channel();
    let other = async {
        seen.recv().await.unwrap();
        server.clock.move_on(Millis::from_secs(5));
        let refused = second.perform(two.start()).await;
        assert_eq!(permitted::failure(refused).0, FailureCode::SandboxError);
        std::fs::write(one.folder.path().join("sandboxes").join(one.id.to_string()).join("workspace/go"), "").unwrap();
    };
    let perform = async {
        let live = Live::unwatched();
        let performing = environments.perform(permit, live);
        tokio::pin!(performing);
        // From the first poll on it is under way.
        tokio::select! {
            biased;
            settled = &mut performing => settled,
            () = async { saw.send(()).unwrap(); std::future::pending().await } => unreachable!(),
        }
    };
    let (settled, ()) = tokio::join!(perform, other);
    assert_eq!(permitted::command(settled.outcome().clone()).output, "went\n");
    server.clock.move_on(Millis::from_secs(5));
    start(&mut second, &two).await;
    assert!(!server.runs(&one));
}

pub async fn an_unused_sandbox_ends_after_its_time() {
    let clock = Arc::new(MovedClock::default());
    let one = HostedSession::beside(1, &clock, &[]).await;
    let two = HostedSession::beside(2, &clock, &[]).await;
    {
        let server = Server::new(&clock, &one, 4);
        let mut session = server.drive(&one).await;
        start(&mut session, &one).await;
        run(&mut session, &one, "echo mine > kept").await;
    }
    // Another process finds it again, counts it, and counts its idleness from then on.
    let server = Server::new(&clock, &one, 1);
    let watching = server.environments.end_idle_sandboxes();
    let mut other = server.drive(&two).await;
    assert_eq!(permitted::failure(other.perform(two.start()).await).0, FailureCode::SandboxError, "it is counted");
    for _ in 0..19 {
        server.clock.move_on(Millis::from_secs(31));
        tokio::task::yield_now().await;
    }
    assert!(server.runs(&one), "not before its time, which is 600 s");
    while server.runs(&one) || !server.environments.is_suspended(one.id) {
        server.clock.move_on(Millis::from_secs(1));
        tokio::task::yield_now().await;
    }
    let mut session = server.drive(&one).await;
    assert!(not_sent(&session.perform(one.run("cat kept")).await));
    start(&mut session, &one).await;
    assert_eq!(run(&mut session, &one, "cat kept").await, "mine\n");
    watching.abort();
}
