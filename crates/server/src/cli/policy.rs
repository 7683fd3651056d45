//! `bailiwick policy …`, as data.

use super::{Form, Target};
use clap::{Args, Subcommand};
use std::path::PathBuf;

#[derive(Debug, Subcommand)]
pub enum Policy {
    /// List every version there was: who applied it, when and why
    List {
        #[command(flatten)]
        form: Form,
        #[command(flatten)]
        target: Target,
    },
    /// Print the rules that decide now, ready to be changed and applied
    Show {
        /// Another version; 0 is the starter set
        #[arg(value_name = "VERSION")]
        version: Option<u32>,
        #[command(flatten)]
        form: Form,
        #[command(flatten)]
        target: Target,
    },
    /// Make a file the policy: for the next action of every session
    Apply {
        /// Rules in Cedar (docs/policy.md)
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// Why, for whoever reads the history
        #[arg(long, value_name = "TEXT", required_unless_present = "check")]
        reason: Option<String>,
        /// Only when this version still holds
        #[arg(long, value_name = "VERSION")]
        expected: Option<u32>,
        /// Only say whether it could be applied
        #[arg(long)]
        check: bool,
        #[command(flatten)]
        form: Form,
        #[command(flatten)]
        target: Target,
    },
    /// Compare rule by rule
    Diff {
        /// A version's number, or a file
        #[arg(value_name = "FROM")]
        from: String,
        /// A version's number, or a file [default: what holds now]
        #[arg(value_name = "TO")]
        to: Option<String>,
        #[command(flatten)]
        form: Form,
        #[command(flatten)]
        target: Target,
    },
    /// Ask a file of cases, and fail when one is decided otherwise than it says
    Test {
        /// Cases (docs/policy.md)
        #[arg(value_name = "CASES")]
        cases: PathBuf,
        /// Ask these rules instead of those that hold
        #[arg(long, value_name = "FILE")]
        policy: Option<PathBuf>,
        #[command(flatten)]
        form: Form,
        #[command(flatten)]
        target: Target,
    },
    /// Say what a draft would have decided otherwise about what was really done
    Simulate {
        /// Rules in Cedar
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// How many sessions are replayed, newest first
        #[arg(long, value_name = "NUMBER", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1000))]
        sessions: u32,
        #[command(flatten)]
        form: Form,
        #[command(flatten)]
        target: Target,
    },
    /// Say which rules decide an action that is only described
    Explain {
        #[command(flatten)]
        action: Described,
        /// Ask these rules instead of those that hold
        #[arg(long, value_name = "FILE")]
        policy: Option<PathBuf>,
        #[command(flatten)]
        form: Form,
        #[command(flatten)]
        target: Target,
    },
}

/// An action in words of the command line.
#[derive(Debug, Clone, Args)]
pub struct Described {
    /// A tool that the agent would call: run_command, read_file, …, or one of its functions
    #[arg(value_name = "TOOL", required_unless_present = "model", conflicts_with = "model")]
    pub tool: Option<String>,
    /// Its arguments, as a JSON object
    #[arg(value_name = "ARGUMENTS", default_value = "{}")]
    pub arguments: String,
    /// A model that the agent would call
    #[arg(long, value_name = "NAME")]
    pub model: Option<String>,
    /// Saved agent, by id or name [default: one with the default remit]
    #[arg(long, value_name = "AGENT")]
    pub agent: Option<String>,
    /// Id of the person for whom it works [default: a program's order]
    #[arg(long, value_name = "ID")]
    pub person: Option<String>,
    /// As if the session had read something that an attacker may have written
    #[arg(long)]
    pub untrusted: bool,
    /// As if it held data that only this group may see; may be given again
    #[arg(long = "group", value_name = "NAME")]
    pub groups: Vec<String>,
    /// What the person who ordered it has written: the addresses, hosts and URLs in it count as the person's words
    #[arg(long, value_name = "TEXT")]
    pub said: Option<String>,
    /// Also ask whether it may use this credential [default: the model's, where that is in a shared vault]
    #[arg(long, value_name = "ID")]
    pub credential: Option<String>,
    /// As if somebody had agreed to it
    #[arg(long)]
    pub approved: bool,
}
