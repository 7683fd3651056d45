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
            | Self::Remove { form, .. } => *form,
        }
    }
}
