//! `bailiwick skill …`, as data.

use super::{Form, Target};
use clap::Subcommand;
use std::path::PathBuf;

#[derive(Debug, Subcommand)]
pub enum Skill {
    /// Keep a skill, or another version of one
    Add {
        /// Folder with a `SKILL.md`, or ZIP archive of one
        path: PathBuf,
        /// Id or name of the skill that gets it as its next version [default: the skill of this name, else a new one]
        #[arg(long, value_name = "SKILL")]
        to: Option<String>,
        /// Take it from now on where nobody says which version
        #[arg(long)]
        default: bool,
        #[command(flatten)]
        form: Form,
        #[command(flatten)]
        target: Target,
    },
    /// List the skills that are kept
    List {
        #[command(flatten)]
        form: Form,
        #[command(flatten)]
        target: Target,
    },
    /// Show a skill and its versions
    Show {
        /// Its id or name
        skill: String,
        #[command(flatten)]
        form: Form,
        #[command(flatten)]
        target: Target,
    },
    /// Remove a skill, or one version: agents that were given it cannot load it any more
    Remove {
        /// Its id or name
        skill: String,
        /// Only this version
        #[arg(long, value_name = "NUMBER")]
        version: Option<u32>,
        /// Why; the receipt keeps it
        #[arg(long, value_name = "TEXT")]
        reason: String,
        #[command(flatten)]
        form: Form,
        #[command(flatten)]
        target: Target,
    },
}

impl Skill {
    pub fn form(&self) -> Form {
        match self {
            Self::Add { form, .. } | Self::List { form, .. } | Self::Show { form, .. } | Self::Remove { form, .. } => {
                *form
            }
        }
    }
}
