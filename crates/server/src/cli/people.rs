//! `bailiwick user …`, `team …`, `login` and `logout`, as data.

use super::{Form, Target};
use clap::{Args, Subcommand, ValueEnum};

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum RoleName {
    /// Everything, people and keys included
    Admin,
    /// Writes agents
    Builder,
    /// Watches, stops and settles everybody's sessions
    Operator,
    /// Sees everything and changes nothing
    Auditor,
    /// Works with agents
    Member,
}

impl RoleName {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::Builder => "builder",
            Self::Operator => "operator",
            Self::Auditor => "auditor",
            Self::Member => "member",
        }
    }
}

#[derive(Debug, Subcommand)]
pub enum User {
    /// Add a person; prints a code with which they choose a password
    Create {
        /// Name for people to read
        name: String,
        /// What they sign in with [default: they come from the identity provider]
        #[arg(long, value_name = "LOGIN", required_unless_present = "subject", conflicts_with = "subject")]
        login: Option<String>,
        /// Their `sub` at the configured identity provider
        #[arg(long, value_name = "SUB")]
        subject: Option<String>,
        /// Mail address
        #[arg(long, value_name = "ADDRESS")]
        email: Option<String>,
        /// Role; may be given again
        #[arg(long = "role", value_enum, default_value = "member")]
        roles: Vec<RoleName>,
        /// Team, by id or name; may be given again
        #[arg(long = "team", value_name = "TEAM")]
        teams: Vec<String>,
        #[command(flatten)]
        form: Form,
        #[command(flatten)]
        target: Target,
    },
    /// List people
    List {
        #[command(flatten)]
        form: Form,
        #[command(flatten)]
        target: Target,
    },
    /// Show a person
    Show {
        #[command(flatten)]
        who: Who,
    },
    /// Change a person's roles or teams; what is given replaces what was
    Change {
        /// Role; may be given again
        #[arg(long = "role", value_enum)]
        roles: Vec<RoleName>,
        /// Team, by id or name; may be given again
        #[arg(long = "team", value_name = "TEAM")]
        teams: Vec<String>,
        #[command(flatten)]
        who: Who,
    },
    /// End a person's sign-ins at once and hand their agents to the deputies, or suspend them
    Disable {
        #[command(flatten)]
        who: Who,
    },
    /// Let a person in again
    Enable {
        #[command(flatten)]
        who: Who,
    },
    /// Erase what a person keeps here and what was done in their rights; the receipts stay, and nobody can read them
    Erase {
        /// Why, for the receipt
        #[arg(long, value_name = "TEXT")]
        reason: String,
        /// Do not ask
        #[arg(long)]
        yes: bool,
        #[command(flatten)]
        who: Who,
    },
    /// End a person's password and sign-ins, and print a code for another password
    ResetPassword {
        #[command(flatten)]
        who: Who,
    },
}

#[derive(Debug, Args)]
pub struct Who {
    /// Login or id of the person
    pub user: String,
    #[command(flatten)]
    pub form: Form,
    #[command(flatten)]
    pub target: Target,
}

#[derive(Debug, Subcommand)]
pub enum Team {
    /// Add a team
    Create {
        /// Its name
        name: String,
        #[command(flatten)]
        form: Form,
        #[command(flatten)]
        target: Target,
    },
    /// List teams
    List {
        #[command(flatten)]
        form: Form,
        #[command(flatten)]
        target: Target,
    },
}

#[derive(Debug, Args)]
pub struct Login {
    /// What you sign in with, where there is a password [default: asked for]
    #[arg(long, value_name = "LOGIN")]
    pub login: Option<String>,
    /// Sign in with a password although the server has an identity provider
    #[arg(long)]
    pub password: bool,
    /// Choose a password first, with the code that an administrator gave you
    #[arg(long)]
    pub set_up: bool,
    /// Your organisation, by its name or id, where the server has several [default: the first]
    #[arg(long, value_name = "NAME")]
    pub organisation: Option<String>,
    /// URL of the server [default: $BAILIWICK_SERVER, else http://127.0.0.1:7700]
    #[arg(long, value_name = "URL")]
    pub server: Option<String>,
    #[command(flatten)]
    pub form: Form,
}

#[derive(Debug, Args)]
pub struct Logout {
    /// URL of the server [default: $BAILIWICK_SERVER, else http://127.0.0.1:7700]
    #[arg(long, value_name = "URL")]
    pub server: Option<String>,
    #[command(flatten)]
    pub form: Form,
}

impl User {
    pub fn form(&self) -> Form {
        match self {
            Self::Create { form, .. } | Self::List { form, .. } => *form,
            Self::Show { who }
            | Self::Change { who, .. }
            | Self::Disable { who }
            | Self::Enable { who }
            | Self::Erase { who, .. }
            | Self::ResetPassword { who } => who.form,
        }
    }
}

impl Team {
    pub fn form(&self) -> Form {
        match self {
            Self::Create { form, .. } | Self::List { form, .. } => *form,
        }
    }
}
