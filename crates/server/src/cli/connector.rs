//! `bailiwick connector …`, as data.

use super::{Form, Target};
use clap::Subcommand;
use std::path::PathBuf;

#[derive(Debug, Subcommand)]
pub enum Connector {
    /// Make or change the connectors that a file describes
    Apply {
        /// TOML or JSON file: a table for each connector, by its name
        #[arg(short, long, value_name = "FILE")]
        file: PathBuf,
        /// Why; the receipt keeps it
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
        #[command(flatten)]
        form: Form,
        #[command(flatten)]
        target: Target,
    },
    /// Make connectors of the `mcpServers` that other programs keep
    Import {
        /// JSON file with an object `mcpServers`
        #[arg(short, long, value_name = "FILE")]
        file: PathBuf,
        /// Why; the receipt keeps it
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
        #[command(flatten)]
        form: Form,
        #[command(flatten)]
        target: Target,
    },
    /// List the connectors that you may see
    List {
        #[command(flatten)]
        form: Form,
        #[command(flatten)]
        target: Target,
    },
    /// Show one connector
    Show {
        /// Its name
        name: String,
        #[command(flatten)]
        form: Form,
        #[command(flatten)]
        target: Target,
    },
    /// Open a connector as you would, and say from where, as whom, and what came back
    Test {
        /// Its name
        name: String,
        #[command(flatten)]
        form: Form,
        #[command(flatten)]
        target: Target,
    },
    /// Accept the tools that a connector offered in a session; others are held back from then on
    Accept {
        /// Its name
        name: String,
        /// Session that opened it
        #[arg(long, value_name = "SESSION_ID")]
        session: String,
        #[command(flatten)]
        form: Form,
        #[command(flatten)]
        target: Target,
    },
    /// Print the link with which you connect your own account at a connector's system
    Connect {
        /// Its name
        name: String,
        #[command(flatten)]
        form: Form,
        #[command(flatten)]
        target: Target,
    },
    /// List your own accounts, and those that you can connect
    Accounts {
        #[command(flatten)]
        form: Form,
        #[command(flatten)]
        target: Target,
    },
    /// Forget your own account at a connector's system, and have it ended there
    Disconnect {
        /// Its name
        name: String,
        /// Why; the receipt keeps it
        #[arg(long, value_name = "TEXT", default_value = "")]
        reason: String,
        #[command(flatten)]
        form: Form,
        #[command(flatten)]
        target: Target,
    },
    /// Put a connector into the catalogue: what it is for, and who may ask for it
    Publish {
        /// Its name
        name: String,
        /// What people know it by
        #[arg(long, value_name = "TEXT")]
        title: String,
        /// What it is for
        #[arg(long, value_name = "TEXT")]
        purpose: String,
        /// Id of a team whose members may ask; may be given again [default: everybody]
        #[arg(long = "team", value_name = "TEAM_ID")]
        teams: Vec<String>,
        /// Id of the person who answers requests beside administrators
        #[arg(long, value_name = "USER_ID")]
        owner: Option<String>,
        /// Why; the receipt keeps it
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
        #[command(flatten)]
        form: Form,
        #[command(flatten)]
        target: Target,
    },
    /// Take a connector out of the catalogue; what was granted stays
    Withdraw {
        /// Its name
        name: String,
        #[command(flatten)]
        form: Form,
        #[command(flatten)]
        target: Target,
    },
    /// List the connectors that you may ask for
    Catalogue {
        #[command(flatten)]
        form: Form,
        #[command(flatten)]
        target: Target,
    },
    /// Ask to be given a connector, for an agent that you answer for or for your own sessions
    Ask {
        /// Its name
        name: String,
        /// Id or name of the agent that is to get it [default: you, in sessions of your own]
        #[arg(long, value_name = "AGENT")]
        agent: Option<String>,
        /// Tool that is needed; may be given again [default: all]
        #[arg(long = "tool", value_name = "TOOL")]
        tools: Vec<String>,
        /// What it is needed for
        #[arg(long, value_name = "TEXT")]
        reason: String,
        #[command(flatten)]
        form: Form,
        #[command(flatten)]
        target: Target,
    },
    /// List what you asked for and what you may answer
    Requests {
        /// Answered ones, too
        #[arg(long)]
        all: bool,
        #[command(flatten)]
        form: Form,
        #[command(flatten)]
        target: Target,
    },
    /// Give what was asked for
    Grant {
        /// Id of the request
        #[arg(value_name = "REQUEST_ID")]
        request: String,
        /// Tool that is given; may be given again [default: those that were asked for]
        #[arg(long = "tool", value_name = "TOOL")]
        tools: Vec<String>,
        /// Why; the receipt keeps it
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
        #[command(flatten)]
        form: Form,
        #[command(flatten)]
        target: Target,
    },
    /// Refuse what was asked for
    Refuse {
        /// Id of the request
        #[arg(value_name = "REQUEST_ID")]
        request: String,
        /// Why; whoever asked is told
        #[arg(long, value_name = "TEXT")]
        reason: String,
        #[command(flatten)]
        form: Form,
        #[command(flatten)]
        target: Target,
    },
    /// Take a request back, or end what a person was granted
    TakeBack {
        /// Id of the request
        #[arg(value_name = "REQUEST_ID")]
        request: String,
        /// Why; the receipt keeps it
        #[arg(long, value_name = "TEXT")]
        reason: String,
        #[command(flatten)]
        form: Form,
        #[command(flatten)]
        target: Target,
    },
    /// Remove a connector: no agent reaches its system any more
    Remove {
        /// Its name
        name: String,
        /// Why; the receipt keeps it
        #[arg(long, value_name = "TEXT")]
        reason: String,
        #[command(flatten)]
        form: Form,
        #[command(flatten)]
        target: Target,
    },
}

impl Connector {
    pub fn form(&self) -> Form {
        match self {
            Self::Apply { form, .. }
            | Self::Import { form, .. }
            | Self::List { form, .. }
            | Self::Show { form, .. }
            | Self::Test { form, .. }
            | Self::Accept { form, .. }
            | Self::Connect { form, .. }
            | Self::Accounts { form, .. }
            | Self::Disconnect { form, .. }
            | Self::Publish { form, .. }
            | Self::Withdraw { form, .. }
            | Self::Catalogue { form, .. }
            | Self::Ask { form, .. }
            | Self::Requests { form, .. }
            | Self::Grant { form, .. }
            | Self::Refuse { form, .. }
            | Self::TakeBack { form, .. }
            | Self::Remove { form, .. } => *form,
        }
    }
}
