//! `bailiwick grant …`, and `approve` with more than one action, as data.

use super::{AnswerTo, Form, Target};
use clap::{Args, Subcommand, ValueEnum};

#[derive(Debug, Subcommand)]
pub enum Grant {
    /// Let a program order work for a person, or pass on what a person answers
    Create {
        /// What the program may do
        #[arg(value_enum)]
        kind: GrantKind,
        /// Id of the program's key
        #[arg(long, value_name = "KEY_ID")]
        program: String,
        /// Person whom it is about, by id or sign-in name [default: you]
        #[arg(long, value_name = "USER")]
        person: Option<String>,
        /// Only with this saved agent, by id or name [default: any]
        #[arg(long, value_name = "AGENT")]
        agent: Option<String>,
        /// Operation such work may use, such as `model.call` or `file.*`; may be given again [default: all]
        #[arg(long = "scope", value_name = "OPERATION")]
        scopes: Vec<String>,
        /// Until when: 8h, 30d, or a day such as 2026-12-31, which counts whole
        #[arg(long, value_name = "WHEN")]
        until: String,
        /// Why; the receipt keeps it
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
        /// Do not ask whether these words are meant
        #[arg(long)]
        yes: bool,
        #[command(flatten)]
        form: Form,
        #[command(flatten)]
        target: Target,
    },
    /// List grants that you gave, that name you, or that you may see
    List {
        /// At most so many
        #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=2000))]
        limit: u32,
        #[command(flatten)]
        form: Form,
        #[command(flatten)]
        target: Target,
    },
    /// Show what a grant permits, also one that has ended
    Show {
        /// Id of the grant
        grant: String,
        #[command(flatten)]
        form: Form,
        #[command(flatten)]
        target: Target,
    },
    /// End a grant at once
    Revoke {
        /// Id of the grant
        grant: String,
        #[command(flatten)]
        form: Form,
        #[command(flatten)]
        target: Target,
    },
}

impl Grant {
    pub fn form(&self) -> Form {
        match self {
            Self::Create { form, .. }
            | Self::List { form, .. }
            | Self::Show { form, .. }
            | Self::Revoke { form, .. } => *form,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum GrantKind {
    /// Order work for a person
    Subject,
    /// Pass on what a person answers
    Relay,
}

impl GrantKind {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Subject => "subject",
            Self::Relay => "relay",
        }
    }
}

#[derive(Debug, Args)]
pub struct Approve {
    /// Let the answer stand for more than this action: here, or wherever this agent works for the same person
    #[arg(long = "for", value_enum, value_name = "WHERE", requires = "until")]
    pub reach: Option<Reach>,
    /// Which further actions [default: exact]
    #[arg(long, value_enum, value_name = "WHICH", requires = "reach")]
    pub what: Option<Shape>,
    /// Until when it stands: 8h, 30d, or a day such as 2026-12-31, which counts whole
    #[arg(long, value_name = "WHEN", requires = "reach")]
    pub until: Option<String>,
    /// Do not ask whether the words of a standing answer are meant
    #[arg(long)]
    pub yes: bool,
    /// What a system asks for: the fields of its form as a JSON object
    #[arg(long, value_name = "JSON")]
    pub content: Option<String>,
    /// Person whose answer a program passes on, by id
    #[arg(long, value_name = "USER_ID", conflicts_with = "reach")]
    pub answered_by: Option<String>,
    // Last, because what follows stands under the heading of its own last options.
    #[command(flatten)]
    pub answer: AnswerTo,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Reach {
    Session,
    Agent,
}

impl Reach {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Session => "session",
            Self::Agent => "agent",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Shape {
    /// The very same arguments
    Exact,
    /// Plain commands that begin with the same words
    Command,
    /// The same operation on the same path
    Path,
    /// The same tool, whatever its arguments
    Tool,
}

impl Shape {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Exact => "exact",
            Self::Command => "command",
            Self::Path => "path",
            Self::Tool => "tool",
        }
    }
}
