//! The command line, as data. What the commands do is in `commands`, `serve` and `demo`.

mod audit;
mod connector;
mod grant;
mod memory;
mod money;
mod people;
mod policy;
mod skill;

pub use audit::{About, Audit, Hold};
pub use connector::Connector;
pub use grant::{Approve, Grant, GrantKind, Shape};
pub use memory::{Memory, MemoryKind, MemoryScope, Of};
pub use money::{Budget, Format, Part, Payer, Per, Spend};
pub use people::{Login, Logout, RoleName, Team, User, Who};
pub use policy::{Described, Policy};
pub use skill::Skill;

use crate::logs::LogFormat;
use clap::{Args, Parser, Subcommand, ValueEnum};
use std::{net::SocketAddr, path::PathBuf};

const AFTER: &str = "\
Start here:
  bailiwick demo            shows a day's work, without a key and without a network
  bailiwick serve --data D  starts a server
  bailiwick doctor          says what this machine can do, and what is missing

Exit codes:
  0 done, 1 failed, 2 wrong usage, 4 sign-in needed, 5 denied, 6 waiting for somebody,
  7 budget spent, 8 timed out, 9 the outcome of an action is unknown, 130 interrupted";

/// Runs AI colleagues inside your own walls, with a receipt for everything they do.
#[derive(Debug, Parser)]
#[command(name = "bailiwick", version, after_help = AFTER, max_term_width = 100, disable_help_subcommand = true)]
pub struct Arguments {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the server
    Serve(Serve),
    /// Give an agent a task, watch it, and save what it publishes
    Run(Run),
    /// Look at sessions and act on them
    #[command(subcommand)]
    Session(Session),
    /// Save agents and look at them
    #[command(subcommand)]
    Agent(Agent),
    /// Keep the ways to the company's systems that agents may be given
    #[command(subcommand)]
    Connector(Connector),
    /// Keep instructions with their files that agents load when they need them
    #[command(subcommand)]
    Skill(Skill),
    /// See, correct, confirm and erase what is remembered between sessions
    #[command(subcommand)]
    Memory(Memory),
    /// Look at what waits for a person's word
    #[command(subcommand)]
    Approval(Approval),
    /// Let an agent do the one thing that it asked for
    Approve(Approve),
    /// Keep an agent from the one thing that it asked for
    Deny(AnswerTo),
    /// Let programs order for people and pass answers on, and end what was granted
    #[command(subcommand)]
    Grant(Grant),
    /// Sign in at a server, so that further commands are yours
    Login(Login),
    /// End that sign-in
    Logout(Logout),
    /// Add people, change what they may do, and let them go
    #[command(subcommand)]
    User(User),
    /// Add and list teams
    #[command(subcommand)]
    Team(Team),
    /// Stop a session, an agent, a team or everything, and let it work again
    #[command(subcommand)]
    Stop(Stop),
    /// Make, list and revoke keys
    #[command(subcommand)]
    Key(Key),
    /// Make and list organisations on this server, with --data on its machine
    #[command(subcommand)]
    Tenant(Tenant),
    /// Set, list and remove limits on what may be spent
    #[command(subcommand)]
    Budget(Budget),
    /// Show what was spent, and estimate what a run will cost
    #[command(subcommand)]
    Spend(Spend),
    /// List receipts, prove them, and show that nothing was removed
    #[command(subcommand)]
    Audit(Audit),
    /// Show, change and try out the rules that decide what agents may do
    #[command(subcommand)]
    Policy(Policy),
    /// Try a configured model
    #[command(subcommand)]
    Model(Model),
    /// Say what this machine and a server on it can do, and what to do when not
    Doctor(Doctor),
    /// Show a day's work: a colleague prepares a meeting while its server is killed twice
    Demo(Demo),
}

/// Which server to talk to.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Server")]
pub struct Target {
    /// URL of the server [default: $BAILIWICK_SERVER, else http://127.0.0.1:7700]
    #[arg(long, value_name = "URL")]
    pub server: Option<String>,
    /// API key [default: $BAILIWICK_KEY, else what `bailiwick login` kept]
    #[arg(long, value_name = "KEY")]
    pub key: Option<String>,
    /// Data folder of a server on this machine: use its administration socket, without a key
    #[arg(long, value_name = "DIR", conflicts_with_all = ["server", "key"])]
    pub data: Option<PathBuf>,
}

/// How to answer.
#[derive(Debug, Clone, Copy, Default, Args)]
pub struct Form {
    /// Print one JSON document instead of text
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct RotateKey {
    /// Folder that holds everything the server keeps
    #[arg(long, value_name = "DIR")]
    pub data: PathBuf,
    /// Configuration file that says where the key is, for a folder that no server uses
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Why, for the record
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
    #[command(flatten)]
    pub form: Form,
}

#[derive(Debug, Args)]
pub struct Serve {
    /// Folder that holds everything this server keeps; made when there is none
    #[arg(long, value_name = "DIR")]
    pub data: PathBuf,
    /// Address to listen on; port 0 takes any free one [default: 127.0.0.1:7700]
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub listen: Option<SocketAddr>,
    /// Configuration file (docs/configuration.md)
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Form of the log on standard error [default: text]
    #[arg(long, value_name = "FORM")]
    pub log_format: Option<LogFormat>,
    /// What to log, such as `debug` or `bailiwick_engine=debug,warn`
    #[arg(long, value_name = "FILTER", default_value = "info")]
    pub log: String,
    /// Stop when the process that started this one ends
    #[arg(long, hide = true)]
    pub with_parent: bool,
}

#[derive(Debug, Args)]
pub struct Run {
    /// What to do, in plain words; `-` reads it from standard input
    pub task: String,
    /// Saved agent that does it, by id or name
    #[arg(long, value_name = "AGENT", conflicts_with_all = ["model", "instructions"])]
    pub agent: Option<String>,
    /// Published model for an agent made for this task alone
    #[arg(long, value_name = "NAME", required_unless_present = "agent")]
    pub model: Option<String>,
    /// Instructions for that agent
    #[arg(long, value_name = "TEXT")]
    pub instructions: Option<String>,
    /// File to lay into the sandbox's workspace; may be given again
    #[arg(long = "file", value_name = "PATH")]
    pub files: Vec<PathBuf>,
    /// Folder for what the agent publishes
    #[arg(long, value_name = "DIR", default_value = ".")]
    pub output: PathBuf,
    /// Give the agent no sandbox: it can only answer
    #[arg(long, conflicts_with = "files")]
    pub no_environment: bool,
    /// Cancel the session after so many seconds
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=604_800))]
    pub timeout: Option<u64>,
    #[command(flatten)]
    pub form: Form,
    #[command(flatten)]
    pub target: Target,
}

#[derive(Debug, Subcommand)]
pub enum Session {
    /// List sessions, newest first
    List {
        /// Most to show
        #[arg(long, value_name = "COUNT", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1000))]
        limit: u32,
        #[command(flatten)]
        form: Form,
        #[command(flatten)]
        target: Target,
    },
    /// Show a session: its state, its history and its receipts
    Show {
        /// Id of the session
        session: String,
        #[command(flatten)]
        form: Form,
        #[command(flatten)]
        target: Target,
    },
    /// Follow a session until it rests
    Tail {
        /// Id of the session
        session: String,
        /// Begin with what has happened so far
        #[arg(long)]
        from_start: bool,
        #[command(flatten)]
        target: Target,
    },
    /// End what a session is doing; the session stays
    Cancel {
        /// Id of the session
        session: String,
        #[command(flatten)]
        form: Form,
        #[command(flatten)]
        target: Target,
    },
    /// Delete a session with its sandbox and everything that it published
    Delete {
        /// Id of the session
        session: String,
        #[command(flatten)]
        form: Form,
        #[command(flatten)]
        target: Target,
    },
    /// Say what became of an action whose outcome is unknown
    Resolve {
        /// Id of the session
        session: String,
        /// Id of the action, as `session show` prints it
        action: String,
        /// What became of it
        resolution: Resolution,
        #[command(flatten)]
        form: Form,
        #[command(flatten)]
        target: Target,
    },
}

#[derive(Debug, Subcommand)]
pub enum Approval {
    /// List what waits for your word, and what you may see of others'
    List {
        /// At most so many
        #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1000))]
        limit: u32,
        #[command(flatten)]
        form: Form,
        #[command(flatten)]
        target: Target,
    },
    /// Show exactly what would be done, for whom, and which rule asks
    Show {
        /// Id of the approval, as `approval list` prints it
        approval: String,
        #[command(flatten)]
        form: Form,
        #[command(flatten)]
        target: Target,
    },
}

#[derive(Debug, Subcommand)]
pub enum Stop {
    /// End what runs, and let nothing new begin
    Set {
        /// `everything`, or the id of a session, an agent or a team
        target: String,
        /// Why; the agents are told
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
        #[command(flatten)]
        form: Form,
        #[command(flatten)]
        server: Target,
    },
    /// List what is stopped
    List {
        #[command(flatten)]
        form: Form,
        #[command(flatten)]
        server: Target,
    },
    /// Let what was stopped work again
    Lift {
        /// What was stopped, as `stop list` prints it
        target: String,
        #[command(flatten)]
        form: Form,
        #[command(flatten)]
        server: Target,
    },
}

#[derive(Debug, Args)]
pub struct AnswerTo {
    /// Id of the approval, as `approval list` prints it
    pub approval: String,
    /// Why; the agent is told, and the receipt keeps it
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
    #[command(flatten)]
    pub form: Form,
    #[command(flatten)]
    pub target: Target,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Resolution {
    /// It happened: it is not done again
    Happened,
    /// It did not happen: the agent may ask for it anew
    DidNotHappen,
    /// Do it again, whatever happened
    DoAgain,
}

#[derive(Debug, Subcommand)]
pub enum Agent {
    /// Save an agent from a TOML or JSON file: a new one, or a new version of the one with its name
    Apply {
        /// File that describes the agent (docs/commands.md)
        #[arg(short, long, value_name = "FILE")]
        file: PathBuf,
        #[command(flatten)]
        form: Form,
        #[command(flatten)]
        target: Target,
    },
    /// List agents
    List {
        /// Only those that nobody answers for
        #[arg(long)]
        orphaned: bool,
        #[command(flatten)]
        form: Form,
        #[command(flatten)]
        target: Target,
    },
    /// Make a version of an agent the one that new sessions get: a draft, or an earlier one
    Publish {
        /// Id or name of the agent
        agent: String,
        /// Number of the version
        version: u32,
        /// Why
        #[arg(long, value_name = "TEXT")]
        note: Option<String>,
        #[command(flatten)]
        form: Form,
        #[command(flatten)]
        target: Target,
    },
    /// Show an agent
    Show {
        /// Id or name of the agent
        agent: String,
        #[command(flatten)]
        form: Form,
        #[command(flatten)]
        target: Target,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum KeyKind {
    /// For clients of the API: `Authorization: Bearer`
    ApiKey,
    /// An id and a secret for AWS Signature 4: Bedrock clients, and executors that dial in
    AccessKey,
}

#[derive(Debug, Subcommand)]
pub enum Tenant {
    /// Make an organisation, with the key of an administrator that is shown this once
    Create {
        /// Its name, which no other has
        name: String,
        #[command(flatten)]
        form: Form,
        #[command(flatten)]
        target: Target,
    },
    /// List the organisations of this server
    List {
        #[command(flatten)]
        form: Form,
        #[command(flatten)]
        target: Target,
    },
    /// Make another administrator's key for an organisation whose keys are lost
    Key {
        /// Id of the organisation, as `tenant list` prints it
        #[arg(value_name = "ID")]
        id: String,
        #[command(flatten)]
        form: Form,
        #[command(flatten)]
        target: Target,
    },
}

#[derive(Debug, Subcommand)]
pub enum Key {
    /// Make a key; its secret is shown this once
    Create {
        /// Kind of key
        #[arg(long, value_enum, default_value_t = KeyKind::ApiKey)]
        kind: KeyKind,
        /// Name to know it by
        #[arg(long, default_value = "unnamed")]
        name: String,
        /// What it may be used for, such as `sessions:write`; may be given again [default: agents, sessions, files and executors of its own]
        #[arg(long = "scope", value_name = "SCOPE")]
        scopes: Vec<String>,
        /// Days until it expires [default: never]
        #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(u32).range(1..=36_500))]
        expires_days: Option<u32>,
        /// Bind an access key to one self-hosted environment: it can connect there and do nothing else
        #[arg(long, value_name = "ENVIRONMENT")]
        environment: Option<String>,
        #[command(flatten)]
        form: Form,
        #[command(flatten)]
        target: Target,
    },
    /// List keys; secrets are not kept and cannot be shown
    List {
        #[command(flatten)]
        form: Form,
        #[command(flatten)]
        target: Target,
    },
    /// Make another key-encryption key and wrap everything anew, also while a server works on the folder
    Rotate(RotateKey),
    /// Have another key sign the tokens of agents; the one before proves what it signed until that has expired
    RotateSigning {
        /// Destroy the key before and end every token that it signed, at once
        #[arg(long)]
        end_tokens: bool,
        /// Why, for the record
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
        #[command(flatten)]
        form: Form,
        #[command(flatten)]
        target: Target,
    },
    /// Revoke a key at once
    Revoke {
        /// Id of the key
        #[arg(value_name = "ID")]
        id: String,
        #[command(flatten)]
        form: Form,
        #[command(flatten)]
        target: Target,
    },
}

#[derive(Debug, Subcommand)]
pub enum Model {
    /// Call a model a few times and report what it can do and how many tokens that took
    Test {
        /// Published name: NAME of `[models.NAME]`
        name: String,
        /// Ask a server that is started for this alone, with this configuration file
        #[arg(long, value_name = "FILE", conflicts_with_all = ["server", "key", "data"])]
        config: Option<PathBuf>,
        #[command(flatten)]
        form: Form,
        #[command(flatten)]
        target: Target,
    },
}

#[derive(Debug, Args)]
pub struct Doctor {
    /// Configuration file to check
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    #[command(flatten)]
    pub form: Form,
    #[command(flatten)]
    pub target: Target,
}

#[derive(Debug, Args)]
pub struct Demo {
    /// Have this CSV examined, in place of the sample company's day
    #[arg(long, value_name = "CSV")]
    pub file: Option<PathBuf>,
    /// Set the sample company up and leave it running until Ctrl-C, to try it by hand
    #[arg(long, conflicts_with_all = ["file", "yes"])]
    pub serve: bool,
    /// URL of a model server (OpenAI chat completions, up to and with `/v1`) in place of the scripted model: for `--serve`,
    /// or else to examine a table
    #[arg(long, value_name = "URL", requires = "model")]
    pub model_url: Option<String>,
    /// The server's name for its model; a key is taken from $BAILIWICK_DEMO_MODEL_KEY
    #[arg(long, value_name = "NAME", requires = "model_url")]
    pub model: Option<String>,
    /// Approve what a rule asks about, in place of the prompt
    #[arg(long)]
    pub yes: bool,
    /// Keep the data folder and the exported receipts, to look at them afterwards
    #[arg(long)]
    pub keep: bool,
    /// Folder for what is published
    #[arg(long, value_name = "DIR", default_value = "bailiwick-demo")]
    pub output: PathBuf,
    #[command(flatten)]
    pub form: Form,
}
