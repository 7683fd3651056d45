//! `bailiwick memory …`, as data.

use super::{Form, Target};
use clap::{Args, Subcommand, ValueEnum};

#[derive(Debug, Subcommand)]
pub enum Memory {
    /// List what is remembered about you, and what is shared with you
    List {
        /// Only what this scope holds
        #[arg(long, value_enum)]
        scope: Option<MemoryScope>,
        /// Only what was proposed and waits for somebody to confirm it
        #[arg(long)]
        proposed: bool,
        /// At most so many
        #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=10_000))]
        limit: u32,
        #[command(flatten)]
        of: Of,
        #[command(flatten)]
        form: Form,
        #[command(flatten)]
        target: Target,
    },
    /// Show one entry with where it came from
    Show {
        /// Id of the entry
        memory: String,
        #[command(flatten)]
        of: Of,
        #[command(flatten)]
        form: Form,
        #[command(flatten)]
        target: Target,
    },
    /// Find entries by words
    Search {
        /// A few words
        #[arg(required = true)]
        words: Vec<String>,
        /// Look into the memory of this saved agent too, by id
        #[arg(long, value_name = "AGENT_ID")]
        agent: Option<String>,
        #[command(flatten)]
        form: Form,
        #[command(flatten)]
        target: Target,
    },
    /// Remember something for yourself
    Add {
        /// What is to be remembered
        text: String,
        /// What kind of thing it is
        #[arg(long, value_enum, default_value_t = MemoryKind::Fact)]
        kind: MemoryKind,
        #[command(flatten)]
        form: Form,
        #[command(flatten)]
        target: Target,
    },
    /// Give an entry another text
    Correct {
        /// Id of the entry
        memory: String,
        /// What it says from here on
        text: String,
        #[command(flatten)]
        of: Of,
        #[command(flatten)]
        form: Form,
        #[command(flatten)]
        target: Target,
    },
    /// Vouch for an entry that was only proposed
    Confirm {
        /// Id of the entry
        memory: String,
        #[command(flatten)]
        of: Of,
        #[command(flatten)]
        form: Form,
        #[command(flatten)]
        target: Target,
    },
    /// Erase an entry, from the disk too, with a receipt
    Forget {
        /// Id of the entry
        memory: String,
        #[command(flatten)]
        of: Of,
        #[command(flatten)]
        form: Form,
        #[command(flatten)]
        target: Target,
    },
    /// Say how much is remembered in the organisation, and nothing of what
    Count {
        #[command(flatten)]
        form: Form,
        #[command(flatten)]
        target: Target,
    },
}

/// Whose memory, where it is not your own.
#[derive(Debug, Clone, Default, Args)]
pub struct Of {
    /// Of this team, by id
    #[arg(long = "of-team", value_name = "TEAM_ID", conflicts_with = "agent")]
    pub team: Option<String>,
    /// Of this saved agent, by id
    #[arg(long = "of-agent", value_name = "AGENT_ID")]
    pub agent: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum MemoryScope {
    Person,
    Team,
    Agent,
    Tenant,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum MemoryKind {
    Fact,
    Preference,
    Summary,
}

impl Memory {
    pub fn form(&self) -> Form {
        match self {
            Self::List { form, .. }
            | Self::Show { form, .. }
            | Self::Search { form, .. }
            | Self::Add { form, .. }
            | Self::Correct { form, .. }
            | Self::Confirm { form, .. }
            | Self::Forget { form, .. }
            | Self::Count { form, .. } => *form,
        }
    }
}
