//! The sample company as one process: it is told who works there, sets everything up, says where it is, and then tells of
//! every mail that it takes on. It ends when its standard input does, and leaves nothing running.
//!
//! What it is told and what it tells are lines of JSON on its standard streams; secrets come in no other way.

use crate::{
    accounts::Accounts,
    books::{self, Books, Problem},
    calendar::Calendars,
    company::{DOMAIN, Employee, NAME},
    http, imap,
    minutes::Minutes,
    papers,
    post::{Post, Taken},
    smtp, wire,
};
use chrono::NaiveDate;
use serde::{Deserialize, Serialize};
use std::{
    io::{self, Write as _},
    path::PathBuf,
    process::ExitCode,
    sync::Arc,
};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader},
    sync::mpsc,
};

/// The first argument of the program when it is to be the sample company.
pub const STAGE: &str = "sample-company-of-the-demonstration";
/// Bytes that it is told in its whole life.
const MAX_INPUT: u64 = 1024 * 1024;

/// What it is told first.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Opening {
    pub people: Vec<Employee>,
    /// The day that the demonstration is about.
    pub today: NaiveDate,
    /// An empty folder for the departments' papers.
    pub papers: PathBuf,
    /// An empty folder for the books. Where this process is root, it is given to the user who runs PostgreSQL.
    pub books: PathBuf,
    /// Whether PostgreSQL is used where the machine has one.
    pub server: bool,
}

/// Where everything is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Addresses {
    pub smtp_port: u16,
    pub imap_port: u16,
    /// The folder of calendars; a person's own is below it, by the login.
    pub calendar: String,
    /// The MCP server.
    pub minutes: String,
    /// The service, and its document.
    pub accounts: String,
    pub document: String,
    pub books: Books,
}

/// What it tells.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    Open(Addresses),
    /// A mail was taken on and filed.
    Mail(Taken),
    /// It could not be set up.
    Failed {
        why: String,
    },
}

/// What it may be told later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "snake_case")]
pub enum Command {
    /// The answer to the next final dot is held back until its sender hangs up, as a slow server would.
    HoldNext,
}

/// The company at work.
pub struct Served {
    pub addresses: Addresses,
    /// Every mail that is taken on.
    pub journal: mpsc::UnboundedReceiver<Taken>,
    post: Arc<Post>,
    _books: Option<books::Running>,
}

impl Served {
    pub fn hold_next(&self) {
        self.post.hold_next();
    }

    /// Puts a mail into somebody's inbox, as if it had come before the day began.
    pub fn deliver(&self, login: &str, message: &[u8]) {
        self.post.deliver(login, message);
    }
}

/// Sets everything up and serves it for as long as the tasks of this runtime live.
pub async fn serve(opening: Opening) -> Result<Served, Problem> {
    papers::write(&opening.papers)?;
    let (books, running) = books::found(&opening.books, &opening.people, opening.today, opening.server)?;
    let people = opening.people;
    let (sender, journal) = mpsc::unbounded_channel();
    let post = Arc::new(Post::new(people.clone(), opening.today, sender));
    post.deliver("sofia", letter(opening.today).as_bytes());
    let (smtp_line, smtp_port) = wire::listen().await?;
    let (imap_line, imap_port) = wire::listen().await?;
    let (taking, showing) = (post.clone(), post.clone());
    wire::each(smtp_line, move |wire| smtp::serve(taking.clone(), wire));
    wire::each(imap_line, move |wire| imap::serve(showing.clone(), wire));
    let calendar = http::serve(Arc::new(Calendars::new(people.clone(), opening.today))).await?;
    let minutes = http::serve(Arc::new(Minutes::new(people.clone()))).await?;
    let accounts = http::serve(Arc::new(Accounts::new(people))).await?;
    let addresses = Addresses {
        smtp_port,
        imap_port,
        calendar: format!("http://127.0.0.1:{calendar}/"),
        minutes: format!("http://127.0.0.1:{minutes}/mcp"),
        accounts: format!("http://127.0.0.1:{accounts}/v1/"),
        document: format!("http://127.0.0.1:{accounts}/openapi.yaml"),
        books,
    };
    Ok(Served { addresses, journal, post, _books: running })
}

/// A mail that came in the morning.
fn letter(today: NaiveDate) -> String {
    format!(
        "From: Ben Ito <ben@{DOMAIN}>\r\nTo: Sofia Brandt <sofia@{DOMAIN}>\r\nSubject: For the review at three\r\n\
         Date: {}\r\nMessage-ID: <review-1@{DOMAIN}>\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n\
         Sofia, please bring what is overdue by region, on one page. Iris will be there too.\r\n\r\nBen, {NAME}\r\n",
        today.format("%a, %d %b %Y 08:10:00 +0000")
    )
}

/// What the program does when its first argument is [`STAGE`].
pub fn main() -> ExitCode {
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else {
        return ExitCode::FAILURE;
    };
    let code = runtime.block_on(follow());
    // A read of the standard input that is under way keeps nobody here.
    runtime.shutdown_background();
    code
}

async fn follow() -> ExitCode {
    let mut input = BufReader::new(tokio::io::stdin().take(MAX_INPUT)).lines();
    let opening = match input.next_line().await {
        Ok(Some(line)) => serde_json::from_str::<Opening>(&line).map_err(|error| error.to_string()),
        _ => return ExitCode::FAILURE,
    };
    let served = match opening {
        Ok(opening) => serve(opening).await.map_err(|problem| problem.to_string()),
        Err(problem) => Err(problem),
    };
    let mut served = match served {
        Ok(served) => served,
        Err(why) => {
            tell(&Event::Failed { why });
            return ExitCode::FAILURE;
        }
    };
    tell(&Event::Open(served.addresses.clone()));
    loop {
        tokio::select! {
            taken = served.journal.recv() => match taken {
                Some(taken) => tell(&Event::Mail(taken)),
                None => return ExitCode::FAILURE,
            },
            line = input.next_line() => match line {
                Ok(Some(line)) => match serde_json::from_str::<Command>(&line) {
                    Ok(Command::HoldNext) => served.hold_next(),
                    Err(error) => tell(&Event::Failed { why: error.to_string() }),
                },
                _ => return ExitCode::SUCCESS,
            },
        }
    }
}

/// One line for whoever started this. Nobody may be reading any more; then the standard input ends, too.
fn tell(event: &Event) {
    let line = serde_json::to_string(event).unwrap_or_default();
    let mut output = io::stdout().lock();
    let _ = writeln!(output, "{line}").and_then(|()| output.flush());
}
