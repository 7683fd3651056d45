//! `bailiwick audit …` on the command line.

use super::{Form, Target};
use clap::{Args, Subcommand};
use std::path::PathBuf;

#[derive(Debug, Subcommand)]
pub enum Audit {
    /// List receipts, newest first
    List {
        /// Most to show
        #[arg(long, value_name = "COUNT", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=100_000))]
        limit: u32,
        #[command(flatten)]
        about: About,
        #[command(flatten)]
        form: Form,
        #[command(flatten)]
        target: Target,
    },
    /// Show an action's receipt: who ordered it, what came of it, and that it is in the log
    Show {
        /// Id of the action
        action: String,
        #[command(flatten)]
        form: Form,
        #[command(flatten)]
        target: Target,
    },
    /// Follow receipts as they are written
    Tail {
        #[command(flatten)]
        about: About,
        #[command(flatten)]
        target: Target,
    },
    /// Write every record, with what proves it, into a new folder
    Export {
        /// Folder to make
        #[arg(long, value_name = "DIR")]
        output: PathBuf,
        /// Leave bodies sealed: what they say is not exported, and the proofs are the same
        #[arg(long)]
        sealed: bool,
        #[command(flatten)]
        form: Form,
        #[command(flatten)]
        target: Target,
    },
    /// Write what concerns one person, agent, session or period, with what proves it, into a new folder
    Evidence {
        /// Folder to make
        #[arg(long, value_name = "DIR")]
        output: PathBuf,
        /// Leave bodies sealed: what they say is not exported, and the proofs are the same
        #[arg(long)]
        sealed: bool,
        #[command(flatten)]
        about: About,
        #[command(flatten)]
        form: Form,
        #[command(flatten)]
        target: Target,
    },
    /// Show that nothing was removed: every signed tree is the beginning of the next
    Verify {
        /// Public key that was kept from before (`bailiwick audit key`)
        #[arg(long, value_name = "FILE")]
        public_key: Option<PathBuf>,
        /// Checkpoints that were kept in a second place
        #[arg(long, value_name = "FILE")]
        second_place: Option<PathBuf>,
        /// Read every record too, and make the tree anew
        #[arg(long)]
        whole: bool,
        #[command(flatten)]
        form: Form,
        #[command(flatten)]
        target: Target,
    },
    /// Print the log's public key, to keep it where the log is not
    Key {
        #[command(flatten)]
        form: Form,
        #[command(flatten)]
        target: Target,
    },
    /// Say who ordered an effect, through which agent, in whose rights, and what came of it
    Who {
        /// Id of the action
        action: String,
        #[command(flatten)]
        form: Form,
        #[command(flatten)]
        target: Target,
    },
    /// List agents that nobody answers for
    Ownerless {
        #[command(flatten)]
        form: Form,
        #[command(flatten)]
        target: Target,
    },
    /// Say what a team spent on finished work
    Spent {
        /// Team, by id or name
        #[arg(long, value_name = "TEAM")]
        team: String,
        /// First day, as YYYY-MM-DD in UTC [default: the first of this month]
        #[arg(long, value_name = "DAY")]
        from: Option<String>,
        /// Last day, which counts too [default: today]
        #[arg(long, value_name = "DAY")]
        until: Option<String>,
        #[command(flatten)]
        form: Form,
        #[command(flatten)]
        target: Target,
    },
    /// List what left the company's walls, newest first
    Left {
        /// Most to show
        #[arg(long, value_name = "COUNT", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=100_000))]
        limit: u32,
        #[command(flatten)]
        about: About,
        #[command(flatten)]
        form: Form,
        #[command(flatten)]
        target: Target,
    },
    /// Legal holds: what they cover is not deleted, erased or let go
    #[command(subcommand)]
    Hold(Hold),
    /// Say what an agent may reach: its remit, what it has asked for so far, and what was decided
    Reach {
        /// Id or name of the agent
        agent: String,
        #[command(flatten)]
        form: Form,
        #[command(flatten)]
        target: Target,
    },
    /// List who changed what the administration keeps, oldest first
    Changes {
        #[command(flatten)]
        form: Form,
        #[command(flatten)]
        target: Target,
    },
}

#[derive(Debug, Subcommand)]
pub enum Hold {
    /// Forbid to delete what a person, an agent or a session left
    Set {
        /// Id of the person, agent or session
        held: String,
        /// Why it must be kept
        #[arg(long, value_name = "TEXT")]
        reason: String,
        #[command(flatten)]
        form: Form,
        #[command(flatten)]
        target: Target,
    },
    /// List what must not be deleted
    List {
        #[command(flatten)]
        form: Form,
        #[command(flatten)]
        target: Target,
    },
    /// Let what was held be deleted again
    Lift {
        /// Id of the person, agent or session
        held: String,
        /// Why it need not be kept any more
        #[arg(long, value_name = "TEXT")]
        reason: String,
        #[command(flatten)]
        form: Form,
        #[command(flatten)]
        target: Target,
    },
}

impl Hold {
    pub fn form(&self) -> Form {
        match self {
            Self::Set { form, .. } | Self::List { form, .. } | Self::Lift { form, .. } => *form,
        }
    }
}

/// Which receipts. Every part that is given must match.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Which receipts")]
pub struct About {
    /// In whose rights it was done
    #[arg(long, value_name = "USER")]
    pub person: Option<String>,
    /// Who ordered it: a user, a key, or `operator`
    #[arg(long, value_name = "WHO")]
    pub orderer: Option<String>,
    /// Id or name of the agent that did it
    #[arg(long, value_name = "AGENT")]
    pub agent: Option<String>,
    /// Session that it was done in
    #[arg(long, value_name = "SESSION")]
    pub session: Option<String>,
    /// Operation, such as `command.run`
    #[arg(long, value_name = "OPERATION")]
    pub operation: Option<String>,
    /// allowed, denied, asked, held, refused or changed
    #[arg(long, value_name = "WORD")]
    pub decision: Option<String>,
    /// confirmed, failed, unknown or not_sent
    #[arg(long, value_name = "WORD")]
    pub effect: Option<String>,
    /// Only what used this credential
    #[arg(long, value_name = "ID")]
    pub credential: Option<String>,
    /// Only what was for somewhere outside the company's walls, whatever was decided
    #[arg(long)]
    pub outside: bool,
    /// Set by `left`.
    #[arg(skip)]
    pub left: bool,
    /// First day, as YYYY-MM-DD in UTC
    #[arg(long, value_name = "DAY")]
    pub from: Option<String>,
    /// Last day, as YYYY-MM-DD in UTC
    #[arg(long, value_name = "DAY")]
    pub until: Option<String>,
}
