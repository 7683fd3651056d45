//! The client commands: each talks to a server over its API and says what came of it.

mod account;
mod agent;
mod approval;
mod artifacts;
mod audit;
mod budget;
mod catalogue;
mod connector;
mod doctor;
mod grant;
mod key;
mod login;
mod memory;
mod model;
mod people;
mod policy;
mod receipts;
mod run;
mod session;
mod skill;
mod spend;
mod stop;
mod tenant;

pub use artifacts::{Saved, save_all};
pub use audit::export;
pub use receipts::Receipts;

use crate::{
    cli::Command,
    client::Client,
    demo,
    failure::{Failure, Outcome},
    terminal::Terminal,
};
use serde_json::Value;

/// Runs a client command to its end.
pub async fn perform(command: Command, terminal: Terminal) -> Outcome {
    match command {
        Command::Serve(_) => Err(Failure::failed("`serve` is no client command")),
        Command::Run(options) => run::run(options, terminal).await,
        Command::Session(command) => session::perform(command, terminal).await,
        Command::Agent(command) => agent::perform(command, terminal).await,
        Command::Approval(command) => approval::perform(command, terminal).await,
        Command::Stop(command) => stop::perform(command, terminal).await,
        Command::Tenant(command) => tenant::perform(command, terminal).await,
        Command::Approve(options) => approval::approve(&options, terminal).await,
        Command::Deny(options) => approval::deny(&options, terminal).await,
        Command::Connector(command) => connector::perform(command, terminal).await,
        Command::Skill(command) => skill::perform(command, terminal).await,
        Command::Memory(command) => memory::perform(command, terminal).await,
        Command::Grant(command) => grant::perform(command, terminal).await,
        Command::Login(options) => login::login(options, terminal).await,
        Command::Logout(options) => login::logout(options, terminal).await,
        Command::User(command) => people::user(command, terminal).await,
        Command::Team(command) => people::team(command, terminal).await,
        Command::Key(command) => key::perform(command, terminal).await,
        Command::Budget(command) => budget::perform(command, terminal).await,
        Command::Spend(command) => spend::perform(command, terminal).await,
        Command::Audit(command) => audit::perform(command, terminal).await,
        Command::Policy(command) => policy::perform(command, terminal).await,
        Command::Model(command) => model::perform(command, terminal).await,
        Command::Doctor(options) => doctor::examine(&options, terminal).await,
        Command::Demo(options) => demo::show(options, terminal).await,
    }
}

/// Whether a command answers in JSON.
pub fn is_json(command: &Command) -> bool {
    use crate::cli::{Agent, Approval, Audit, Budget, Key, Model, Policy, Session, Spend, Stop, Tenant};
    match command {
        Command::Serve(_) => false,
        Command::Run(options) => options.form.json,
        Command::Session(
            Session::List { form, .. }
            | Session::Show { form, .. }
            | Session::Cancel { form, .. }
            | Session::Delete { form, .. }
            | Session::Resolve { form, .. },
        )
        | Command::Tenant(Tenant::Create { form, .. } | Tenant::List { form, .. } | Tenant::Key { form, .. })
        | Command::Stop(Stop::Set { form, .. } | Stop::List { form, .. } | Stop::Lift { form, .. })
        | Command::Approval(Approval::List { form, .. } | Approval::Show { form, .. })
        | Command::Agent(
            Agent::Apply { form, .. }
            | Agent::List { form, .. }
            | Agent::Publish { form, .. }
            | Agent::Show { form, .. },
        )
        | Command::Key(
            Key::Rotate(crate::cli::RotateKey { form, .. })
            | Key::Create { form, .. }
            | Key::List { form, .. }
            | Key::RotateSigning { form, .. }
            | Key::Revoke { form, .. },
        )
        | Command::Budget(Budget::Set { form, .. } | Budget::List { form, .. } | Budget::Remove { form, .. })
        | Command::Spend(Spend::Show { form, .. } | Spend::Estimate { form, .. })
        | Command::Audit(
            Audit::List { form, .. }
            | Audit::Show { form, .. }
            | Audit::Export { form, .. }
            | Audit::Evidence { form, .. }
            | Audit::Verify { form, .. }
            | Audit::Key { form, .. }
            | Audit::Reach { form, .. }
            | Audit::Who { form, .. }
            | Audit::Ownerless { form, .. }
            | Audit::Spent { form, .. }
            | Audit::Left { form, .. }
            | Audit::Changes { form, .. },
        )
        | Command::Policy(
            Policy::List { form, .. }
            | Policy::Show { form, .. }
            | Policy::Apply { form, .. }
            | Policy::Diff { form, .. }
            | Policy::Test { form, .. }
            | Policy::Simulate { form, .. }
            | Policy::Explain { form, .. },
        )
        | Command::Model(Model::Test { form, .. }) => form.json,
        Command::Audit(Audit::Tail { .. }) => false,
        Command::Audit(Audit::Hold(command)) => command.form().json,
        Command::Session(Session::Tail { .. }) | Command::Spend(Spend::Export { .. }) => false,
        Command::Approve(options) => options.answer.form.json,
        Command::Deny(options) => options.form.json,
        Command::Connector(command) => command.form().json,
        Command::Skill(command) => command.form().json,
        Command::Memory(command) => command.form().json,
        Command::Grant(command) => command.form().json,
        Command::Login(options) => options.form.json,
        Command::Logout(options) => options.form.json,
        Command::User(command) => command.form().json,
        Command::Team(command) => command.form().json,
        Command::Doctor(options) => options.form.json,
        Command::Demo(options) => options.form.json,
    }
}

/// A member's text, or nothing.
fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_default()
}

/// Seconds since 1970 as a time in UTC.
fn time(value: &Value) -> String {
    match value.as_i64() {
        Some(seconds) => {
            let text = bailiwick_types::Timestamp::from_millis(seconds.saturating_mul(1000)).to_string();
            text.replace('T', " ").replace(".000Z", "")
        }
        None => "-".to_owned(),
    }
}

/// The saved agent of this id or name.
async fn find_agent(client: &Client, wanted: &str) -> Outcome<Value> {
    if wanted.parse::<bailiwick_types::AgentId>().is_ok() {
        return client.get(&format!("/v1/agents/{}", crate::client::encode(wanted))).await;
    }
    let mut named: Vec<Value> = client.list("/v1/agents", usize::MAX).await?;
    let names: Vec<String> = named.iter().filter_map(|agent| agent["name"].as_str().map(str::to_owned)).collect();
    named.retain(|agent| agent["name"].as_str() == Some(wanted));
    match named.len() {
        1 => Ok(named.remove(0)),
        0 => {
            let failure = Failure::failed(format!("there is no agent `{wanted}`"));
            Err(match crate::config::nearest(wanted, names.iter().map(String::as_str)) {
                Some(near) => failure.help(format!("did you mean `{near}`?")),
                None => failure.help("list them with `bailiwick agent list`"),
            })
        }
        several => {
            let ids: Vec<&str> = named.iter().map(|agent| text(agent, "id")).collect();
            Err(Failure::failed(format!("{several} agents are called `{wanted}`"))
                .help(format!("take an id: {}", ids.join(", "))))
        }
    }
}

/// Whether the model's part was scripted, as the server says.
async fn is_scripted(client: &Client, model: &str) -> bool {
    let card = client.get(&format!("/v1/models/{}", crate::client::encode(model))).await;
    card.is_ok_and(|card| card["bailiwick"]["scripted"] == true)
}
