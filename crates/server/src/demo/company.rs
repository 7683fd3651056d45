//! The sample company, as a process of its own: this same program, which serves it and nothing else.

use crate::{
    failure::{Doing as _, Failure, Outcome},
    runtime::within,
};
use bailiwick_sample::{Addresses, Command, Event, Opening, STAGE, Taken};
use std::{
    io::{BufRead as _, BufReader, Write as _},
    process::{Child, ChildStdin, ChildStdout, Stdio},
    time::Duration,
};
use tokio::sync::mpsc;

/// How long it may take to set itself up: a database is made.
const START: Duration = Duration::from_secs(120);
/// How long a mail may take to be handed over.
const MAIL: Duration = Duration::from_secs(60);

/// It ends with this, and takes its database along.
pub(super) struct Company {
    child: Child,
    input: Option<ChildStdin>,
    events: mpsc::UnboundedReceiver<Event>,
    pub addresses: Addresses,
    /// Every mail that it has taken on so far.
    pub taken: Vec<Taken>,
}

impl Company {
    #[allow(clippy::disallowed_methods, reason = "this program itself, as the sample company")]
    pub async fn open(opening: &Opening) -> Outcome<Self> {
        let program = std::env::current_exe().doing(|| "find this program's own file".to_owned())?;
        let mut command = std::process::Command::new(program);
        command.arg(STAGE).env_clear().stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        // A group of its own: Ctrl-C is for us, and its input ends with us.
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let mut child = command.spawn().doing(|| "start the sample company".to_owned())?;
        let (mut input, output) = (child.stdin.take(), child.stdout.take());
        let mut events = output.map(listen).ok_or_else(|| Failure::failed("the sample company says nothing"))?;
        let told = serde_json::to_string(opening).doing(|| "tell the sample company who works there".to_owned())?;
        write(&mut input, &told)?;
        let first = within(START, events.recv()).await.flatten();
        match first {
            Some(Event::Open(addresses)) => Ok(Self { child, input, events, addresses, taken: Vec::new() }),
            Some(Event::Failed { why }) => Err(Failure::failed(why)),
            Some(Event::Mail(_)) | None => {
                let _ = child.kill().and_then(|()| child.wait());
                Err(Failure::failed("the sample company did not open in time"))
            }
        }
    }

    /// The mail server will hold back its answer to the next final dot.
    pub fn hold_next(&mut self) -> Outcome {
        let line = serde_json::to_string(&Command::HoldNext).doing(|| "speak with the sample company".to_owned())?;
        write(&mut self.input, &line)
    }

    /// The next mail that it takes on.
    pub async fn next_mail(&mut self) -> Outcome<Taken> {
        let next = async {
            loop {
                match self.events.recv().await? {
                    Event::Mail(taken) => return Some(taken),
                    Event::Open(_) | Event::Failed { .. } => {}
                }
            }
        };
        let taken = within(MAIL, next).await.flatten();
        let taken = taken.ok_or_else(|| Failure::failed("no mail came to the sample company's mail server"))?;
        self.taken.push(taken.clone());
        Ok(taken)
    }

    /// Takes note of what came meanwhile.
    pub fn catch_up(&mut self) {
        while let Ok(event) = self.events.try_recv() {
            if let Event::Mail(taken) = event {
                self.taken.push(taken);
            }
        }
    }
}

impl Drop for Company {
    fn drop(&mut self) {
        // At the end of its input it stops its database and ends.
        self.input = None;
        let _ = self.child.wait();
    }
}

fn write(input: &mut Option<ChildStdin>, line: &str) -> Outcome {
    let done = input.as_mut().map_or(Ok(()), |input| writeln!(input, "{line}").and_then(|()| input.flush()));
    done.doing(|| "speak with the sample company".to_owned())
}

/// Reads on a thread of its own, which ends with what it reads.
#[allow(clippy::disallowed_methods, reason = "a pipe can only be read by waiting")]
fn listen(output: ChildStdout) -> mpsc::UnboundedReceiver<Event> {
    let (sender, events) = mpsc::unbounded_channel();
    std::thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            // What is no event is nothing that this program says.
            let Ok(event) = serde_json::from_str(&line) else { continue };
            if sender.send(event).is_err() {
                break;
            }
        }
    });
    events
}
