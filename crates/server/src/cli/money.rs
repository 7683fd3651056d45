//! `bailiwick budget …` and `bailiwick spend …`, as data.

use super::{Form, Target};
use clap::{Args, Subcommand, ValueEnum};

#[derive(Debug, Subcommand)]
pub enum Budget {
    /// Set what a tenant, team, user, agent or session may spend: a new limit, or another one for the same budget
    Set {
        #[command(flatten)]
        payer: Payer,
        /// Over which time it counts, in UTC
        #[arg(long, value_enum)]
        per: Per,
        /// Amount of the server's currency, such as `500.00`
        #[arg(long, value_name = "AMOUNT")]
        limit: String,
        /// Only say so when it is passed, in the receipt of the call
        #[arg(long)]
        warn: bool,
        #[command(flatten)]
        form: Form,
        #[command(flatten)]
        target: Target,
    },
    /// List budgets with what is left of them
    List {
        #[command(flatten)]
        form: Form,
        #[command(flatten)]
        target: Target,
    },
    /// Take a limit away
    Remove {
        /// Id of the budget
        #[arg(value_name = "ID")]
        id: String,
        #[command(flatten)]
        form: Form,
        #[command(flatten)]
        target: Target,
    },
}

/// Whose budget it is.
#[derive(Debug, Clone, Args)]
#[group(required = true, multiple = false)]
pub struct Payer {
    /// The whole organisation's
    #[arg(long)]
    pub tenant: bool,
    /// A team's, by its id
    #[arg(long, value_name = "ID")]
    pub team: Option<String>,
    /// A user's, by id
    #[arg(long, value_name = "ID")]
    pub user: Option<String>,
    /// An agent's, by id or name
    #[arg(long, value_name = "AGENT")]
    pub agent: Option<String>,
    /// A session's, by its id
    #[arg(long, value_name = "ID")]
    pub session: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Per {
    Day,
    Month,
    Total,
}

#[derive(Debug, Subcommand)]
pub enum Spend {
    /// Show what was spent
    Show {
        /// What to sum by: day, person, team, agent, session, model, outcome; several with commas
        #[arg(long, value_name = "WHAT", default_value = "model")]
        by: String,
        #[command(flatten)]
        part: Part,
        #[command(flatten)]
        form: Form,
        #[command(flatten)]
        target: Target,
    },
    /// Write what was spent, as a table for other programs, to standard output
    Export {
        /// What to sum by, as in `spend show`
        #[arg(long, value_name = "WHAT", default_value = "day,person,team,agent,session,model,outcome")]
        by: String,
        /// Form of the table
        #[arg(long, value_enum, default_value_t = Format::Csv)]
        format: Format,
        #[command(flatten)]
        part: Part,
        #[command(flatten)]
        target: Target,
    },
    /// Say what a run of an agent is likely to cost, from its past runs
    Estimate {
        /// Id or name of the agent
        agent: String,
        #[command(flatten)]
        form: Form,
        #[command(flatten)]
        target: Target,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    Csv,
    Json,
}

/// Which part of what was spent.
#[derive(Debug, Clone, Default, Args)]
pub struct Part {
    /// First day, as 2026-11-21, in UTC [default: the first of this month]
    #[arg(long, value_name = "DAY")]
    pub from: Option<String>,
    /// Last day, which counts too [default: today]
    #[arg(long, value_name = "DAY")]
    pub until: Option<String>,
    /// Only for this user (or key)
    #[arg(long, value_name = "ID")]
    pub person: Option<String>,
    /// Only what this team paid
    #[arg(long, value_name = "ID")]
    pub team: Option<String>,
    /// Only by this agent, by its id
    #[arg(long, value_name = "ID")]
    pub agent: Option<String>,
    /// Only in this session
    #[arg(long, value_name = "ID")]
    pub session: Option<String>,
    /// Only by this model
    #[arg(long, value_name = "NAME")]
    pub model: Option<String>,
    /// Only in turns that ended so: completed, failed, cancelled; or running
    #[arg(long, value_name = "OUTCOME")]
    pub outcome: Option<String>,
}
