//! `bailiwick user …` and `bailiwick team …`: who works here.

use super::{text, time};
use crate::{
    cli::{RoleName, Target, Team, User, Who},
    client::{Client, encode},
    failure::{Failure, Outcome},
    runtime::SystemClock,
    terminal::{Table, Terminal, escape},
};
use bailiwick_ports::Clock as _;
use bailiwick_types::Millis;
use serde_json::{Value, json};

const PEOPLE: &str = "/bailiwick/v1/people";
const TEAMS: &str = "/bailiwick/v1/teams";
/// How often an erasure is asked about.
const PACE: Millis = Millis(200);

pub async fn user(command: User, terminal: Terminal) -> Outcome {
    match command {
        User::Create { name, login, subject, email, roles, teams, target, .. } => {
            let client = Client::of(&target)?;
            let mut body = json!({"name": name, "roles": names(&roles), "teams": ids(&client, &teams).await?});
            for (field, value) in [("login", login), ("subject", subject), ("email", email)] {
                if let Some(value) = value {
                    body[field] = json!(value);
                }
            }
            let made = client.post(PEOPLE, &body).await?;
            terminal.result(&made, || format!("added {}{}", line(&made), code(&made)));
            Ok(())
        }
        User::List { target, .. } => list(&Client::of(&target)?, terminal).await,
        User::Show { who } => {
            let (_, user) = find(&who).await?;
            terminal.result(&user, || format!("{}\n", escape::lines(&format!("{user:#}"))));
            Ok(())
        }
        User::Change { roles, teams, who } => {
            let (client, user) = find(&who).await?;
            let mut body = json!({});
            if !roles.is_empty() {
                body["roles"] = json!(names(&roles));
            }
            if !teams.is_empty() {
                body["teams"] = json!(ids(&client, &teams).await?);
            }
            change(&client, &user, &body, "changed", terminal).await
        }
        User::Disable { who } => {
            let (client, user) = find(&who).await?;
            change(&client, &user, &json!({"disabled": true}), "disabled", terminal).await
        }
        User::Enable { who } => {
            let (client, user) = find(&who).await?;
            change(&client, &user, &json!({"disabled": false}), "enabled", terminal).await
        }
        User::Erase { reason, yes, who } => {
            let (client, user) = find(&who).await?;
            let name = escape::line(text(&user, "name")).to_string();
            if !yes {
                return Err(Failure::usage(format!("this erases for good what {name} keeps here"))
                    .help("say --yes when that is meant; `bailiwick audit export` keeps a copy"));
            }
            let path = format!("{PEOPLE}/{}", encode(text(&user, "id")));
            client.post(&format!("{path}/erase"), &json!({"reason": reason})).await?;
            let erasure = loop {
                let erasure = client.get(&format!("{path}/erasure")).await?;
                if text(&erasure, "status") == "done" {
                    break erasure;
                }
                SystemClock.sleep_until(SystemClock.now() + PACE).await;
            };
            terminal.result(&erasure, || {
                let (sessions, files) = (&erasure["sessions"], &erasure["files"]);
                format!("erased {name}: {sessions} sessions and {files} files cannot be read any more\n")
            });
            Ok(())
        }
        User::ResetPassword { who } => {
            let (client, user) = find(&who).await?;
            let path = format!("{PEOPLE}/{}/reset-password", encode(text(&user, "id")));
            let reset = client.post(&path, &json!({})).await?;
            terminal.result(&reset, || format!("reset {}{}", line(&reset), code(&reset)));
            Ok(())
        }
    }
}

pub async fn team(command: Team, terminal: Terminal) -> Outcome {
    match command {
        Team::Create { name, target, .. } => {
            let made = Client::of(&target)?.post(TEAMS, &json!({"name": name})).await?;
            terminal.result(&made, || {
                format!("added {} {}\n", escape::line(text(&made, "id")), escape::line(text(&made, "name")))
            });
            Ok(())
        }
        Team::List { target, .. } => {
            let teams = Client::of(&target)?.list(TEAMS, usize::MAX).await?;
            terminal.result(&json!({"teams": teams}), || {
                if teams.is_empty() {
                    return "There are no teams yet. Add one with `bailiwick team create NAME`.\n".to_owned();
                }
                let mut table = Table::new(&["TEAM", "NAME", "CREATED (UTC)"]);
                for team in &teams {
                    table.row([text(team, "id"), text(team, "name"), &time(&team["created_at"])]);
                }
                table.render()
            });
            Ok(())
        }
    }
}

async fn list(client: &Client, terminal: Terminal) -> Outcome {
    let users = client.list(PEOPLE, usize::MAX).await?;
    terminal.result(&json!({"users": users}), || {
        if users.is_empty() {
            return "There is nobody yet. Add somebody with `bailiwick user create NAME --login LOGIN`.\n".to_owned();
        }
        let mut table = Table::new(&["USER", "NAME", "LOGIN", "STATUS", "CREATED (UTC)", "ROLES"]);
        for user in &users {
            let login = user["login"].as_str().unwrap_or("(identity provider)");
            let roles: Vec<&str> = user["roles"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
            let (id, name, status) = (text(user, "id"), text(user, "name"), text(user, "status"));
            table.row([id, name, login, status, &time(&user["created_at"]), &roles.join(" ")]);
        }
        table.render()
    });
    Ok(())
}

async fn change(client: &Client, user: &Value, body: &Value, done: &str, terminal: Terminal) -> Outcome {
    let changed = client.post(&format!("{PEOPLE}/{}", encode(text(user, "id"))), body).await?;
    terminal.result(&changed, || format!("{done} {}", line(&changed)));
    Ok(())
}

fn names(roles: &[RoleName]) -> Vec<&'static str> {
    roles.iter().map(|role| role.name()).collect()
}

fn line(user: &Value) -> String {
    format!("{} {}\n", escape::line(text(user, "id")), escape::line(text(user, "name")))
}

/// The code itself is the result: it is printed as it is, once.
fn code(user: &Value) -> String {
    match user["set_up"]["code"].as_str() {
        None => String::new(),
        Some(code) => format!(
            "hand them this code; with it they choose a password by `bailiwick login --set-up`, until {} UTC\n{}\n",
            time(&user["set_up"]["expires_at"]),
            escape::line(code)
        ),
    }
}

/// The person of this id or login.
/// The id of a person who is named by it or by what they sign in with.
pub(super) async fn id_of(client: &Client, wanted: &str) -> Outcome<String> {
    if wanted.parse::<bailiwick_types::UserId>().is_ok() {
        return Ok(wanted.to_owned());
    }
    let users = client.list(PEOPLE, usize::MAX).await?;
    let is = |user: &&Value| user["login"].as_str().is_some_and(|login| login.eq_ignore_ascii_case(wanted));
    let found = users.iter().find(is).ok_or_else(|| {
        Failure::failed(format!("nobody signs in as `{wanted}`")).help("list people with `bailiwick user list`")
    })?;
    Ok(text(found, "id").to_owned())
}

async fn find(who: &Who) -> Outcome<(Client, Value)> {
    let client = Client::of(&who.target)?;
    let wanted = &who.user;
    if wanted.parse::<bailiwick_types::UserId>().is_ok() {
        let user = client.get(&format!("{PEOPLE}/{}", encode(wanted))).await?;
        return Ok((client, user));
    }
    let users = client.list(PEOPLE, usize::MAX).await?;
    let is = |user: &&Value| user["login"].as_str().is_some_and(|login| login.eq_ignore_ascii_case(wanted));
    match users.iter().find(is) {
        Some(user) => Ok((client, user.clone())),
        None => {
            let failure = Failure::failed(format!("nobody signs in as `{wanted}`"));
            Err(match crate::config::nearest(wanted, users.iter().filter_map(|user| user["login"].as_str())) {
                Some(near) => failure.help(format!("did you mean `{near}`?")),
                None => failure.help("list them with `bailiwick user list`"),
            })
        }
    }
}

/// The id of a team that is named by id or name.
pub async fn team_id(client: &Client, wanted: &str) -> Outcome<String> {
    // One that is deleted was paid for all the same.
    if wanted.parse::<bailiwick_types::TeamId>().is_ok() {
        return Ok(wanted.to_owned());
    }
    Ok(ids(client, &[wanted.to_owned()]).await?.remove(0))
}

/// Ids of teams that are named by id or name.
async fn ids(client: &Client, wanted: &[String]) -> Outcome<Vec<String>> {
    if wanted.is_empty() {
        return Ok(Vec::new());
    }
    let teams = client.list(TEAMS, usize::MAX).await?;
    let id = |wanted: &String| {
        let is = |team: &&Value| text(team, "id") == wanted || text(team, "name").eq_ignore_ascii_case(wanted);
        teams.iter().find(is).map(|team| text(team, "id").to_owned()).ok_or_else(|| {
            Failure::failed(format!("there is no team `{wanted}`")).help("list them with `bailiwick team list`")
        })
    };
    wanted.iter().map(id).collect()
}

/// Whose server a command without a target means.
pub fn server_of(server: &Option<String>) -> Target {
    Target { server: server.clone(), ..Target::default() }
}
