//! The company's side of the day: teams and people, the ways to its systems, one employee's sign-ins, an agent, the rules
//! and a budget. The operator sets it up over the API; afterwards the employee works with her own token.

use super::super::{
    cast::{Cast, Person, add, add_rules, set_budget, sign_in, text},
    company::Company,
};
use crate::{
    client::{Client, encode},
    failure::{Failure, Outcome},
    terminal::escape,
    watch::Screen,
};
use bailiwick_sample::{
    Books,
    company::{Department, Employee, PEOPLE},
};
use serde_json::{Value, json};
use std::path::Path;

/// Forbids the salaries.
pub(super) const SALARIES: &str = "salaries-are-for-people";
/// In the place of a login of one's own, where the database has none.
const BANK: &str = "bank-accounts-are-for-the-treasurer";
const RULES: &str = r#"
@id("salaries-are-for-people")
@reason("what somebody earns is for the head of people")
@remedy("Ask Mara Okafor.")
forbid (
  principal,
  action == Action::"data.query",
  resource == Connector::"books"
)
when { context.tables.containsAny(["public.salaries", "salaries"]) };
"#;
const BANK_RULE: &str = r#"
@id("bank-accounts-are-for-the-treasurer")
@reason("the database is a file here and knows nobody, so that a rule must say it")
forbid (
  principal,
  action == Action::"data.query",
  resource == Connector::"books"
)
when { context.tables.contains("bank_accounts") };
"#;
const INSTRUCTIONS: &str = "You prepare the meetings of one person. You find what is known of them in the company's \
systems, in that person's rights, and put it on one page. You say where each figure is from. You send nothing that the \
person has not read.";
/// Far more than the day takes.
const LIMIT: &str = "1000.00";
/// What sign-ins are called in a vault: for mail and the calendar, for the services, for the books.
const SIGN_INS: [&str; 3] = ["halden-mail", "halden", "books"];
/// Whose words each of these is nobody vouches for.
const FOREIGN: [&str; 3] = ["calendar", "mail", "minutes"];

/// Everybody and everything, with ids as the server gave them.
pub(super) struct Setting {
    pub cast: Cast,
    /// The employee's own, which `--serve` shows.
    pub password: String,
    /// Each connector: its name, its kind, and where its system is.
    pub connectors: Vec<(String, String, String)>,
}

impl Setting {
    pub async fn make(
        admin: &Client,
        url: &str,
        model: &str,
        company: &Company,
        people: &[Employee],
        papers: &Path,
        screen: &mut Screen,
    ) -> Outcome<Self> {
        let mut teams = Vec::new();
        for department in [Department::Finance, Department::Sales, Department::People, Department::Operations] {
            let made = admin.post("/bailiwick/v1/teams", &json!({"name": department.name()})).await?;
            teams.push((department, text(&made, "id")?));
        }
        let team = |wanted: Department| {
            let found = teams.iter().find(|(department, _)| *department == wanted);
            found.map_or_else(String::new, |(_, id)| id.clone())
        };
        let mut known = Vec::new();
        for (one, (_, _, department)) in people.iter().zip(PEOPLE) {
            let role = if one.login == "noah" { "builder" } else { "member" };
            let new = json!({
                "name": one.name, "login": one.login, "email": one.email(), "roles": [role], "teams": [team(department)],
            });
            known.push(add(admin, &new).await?);
        }
        let find = |login: &str| people.iter().position(|one| one.login == login).and_then(|at| known.get(at));
        let missing = || Failure::failed("somebody is missing at the sample company");
        let (person, code) = find("sofia").cloned().ok_or_else(missing)?;
        let (owner, _) = find("noah").cloned().ok_or_else(missing)?;
        let (employee, password) = sign_in(url, "sofia", &code).await?;
        screen.note(format!(
            "● {} people in {} teams; {} ({}) signed in with a password of her own: no key, no admin",
            people.len(),
            teams.len(),
            person.name,
            person.id
        ));
        let wanted = connectors(
            company,
            papers,
            &team(Department::Finance),
            &team(Department::Sales),
            &team(Department::People),
        );
        let mut connectors = Vec::new();
        for (name, one) in &wanted {
            admin.post(&format!("/bailiwick/v1/connectors/{name}"), one).await?;
            let place = one["settings"]["url"].as_str().or(one["settings"]["base_url"].as_str());
            connectors.push(((*name).to_owned(), text(one, "kind")?, place.unwrap_or_default().to_owned()));
        }
        keep_sign_ins(&employee, people, company).await?;
        vouch(admin, &employee).await?;
        let names: Vec<&str> = wanted.iter().map(|(name, _)| *name).collect();
        screen.note(format!("● systems: {}; her own sign-ins to them lie in her own vault", names.join(", ")));
        let agent = agent(admin, model, &owner, &names).await?;
        screen.note(format!("● agent `Day planner` ({agent}); {} answers for it", owner.name));
        let (rules, reason) = match &company.addresses.books {
            Books::Postgres { .. } => (RULES.to_owned(), vec![SALARIES]),
            Books::Sqlite { .. } => (format!("{RULES}{BANK_RULE}"), vec![SALARIES, BANK]),
        };
        let version = add_rules(admin, &rules, "Who may see what at the sample company", &reason).await?;
        screen.note(format!("● policy version {version}: the starter set and `{}`", reason.join("`, `")));
        let budget = set_budget(admin, &agent, LIMIT).await?;
        screen.note(format!(
            "● budget of the agent: {} {} in all, {} spent\n",
            text(&budget, "limit")?,
            text(&budget, "currency")?,
            text(&budget, "spent")?
        ));
        let cast = Cast { employee, person, owner, agent, budget };
        Ok(Self { cast, password, connectors })
    }
}

/// The ways to the company's systems, as an administrator would write them.
fn connectors(
    company: &Company,
    papers: &Path,
    finance: &str,
    sales: &str,
    people: &str,
) -> Vec<(&'static str, Value)> {
    let at = &company.addresses;
    let server = |port: u16| json!({"host": "127.0.0.1", "port": port, "security": "none"});
    let group = |name: &str| json!({"integrity": "trusted", "confidentiality": {"groups": [name]}});
    let folder = |name: &str, teams: &[&str]| json!({"name": name, "root": papers.join(name), "readers": {"teams": teams}, "label": group(name)});
    let books = match &at.books {
        Books::Postgres { socket, port, database, .. } => json!({
            "server": {"kind": "postgres", "host": socket, "port": port, "database": database, "tls": "off"},
            "sign_in": {"as": "person", "login": "{mail_name}"}, "label": group("finance"),
        }),
        Books::Sqlite { path, .. } => json!({
            "server": {"kind": "sqlite", "path": path}, "sign_in": {"as": "service", "login": "file"},
            "label": group("finance"),
        }),
    };
    let knows_people = matches!(at.books, Books::Postgres { .. });
    let [login, token, own] = SIGN_INS.map(Some);
    let one = |name: &'static str, kind: &str, about: &str, sign_in: Option<&str>, settings: Value| {
        let integrity = if FOREIGN.contains(&name) { "untrusted" } else { "trusted" };
        let mut spec = json!({
            "kind": kind, "description": about, "inside": true, "published": true, "settings": settings,
            "label": {"integrity": integrity, "confidentiality": "internal"}, "reason": "The sample company",
        });
        if let Some(sign_in) = sign_in {
            spec["credential"] = json!({"name": sign_in});
        }
        (name, spec)
    };
    let mut minutes =
        one("minutes", "mcp", "Minutes of meetings", token, json!({"transport": {"type": "http", "url": at.minutes}}));
    minutes.1["effects"] = json!({"find_minutes": "read"});
    vec![
        one("calendar", "calendar", "Everybody's own calendar", login, json!({"url": at.calendar})),
        one(
            "mail",
            "mail",
            "Everybody's own mailbox",
            login,
            json!({"smtp": server(at.smtp_port), "imap": server(at.imap_port)}),
        ),
        one("people", "people", "Who works here", None, json!({})),
        one(
            "documents",
            "documents",
            "Papers of three departments",
            None,
            json!({"folders": [folder("finance", &[finance]), folder("sales", &[finance, sales]), folder("people", &[people])]}),
        ),
        minutes,
        one(
            "accounts",
            "openapi",
            "Accounts of customers",
            token,
            json!({"document": {"url": at.document}, "base_url": at.accounts}),
        ),
        one("books", "database", "Invoices and customers", own.filter(|_| knows_people), books),
    ]
}

/// Puts the employee's sign-ins into a vault of her own: they go in and never come out.
async fn keep_sign_ins(employee: &Client, people: &[Employee], company: &Company) -> Outcome {
    let Some(one) = people.iter().find(|one| one.login == "sofia") else {
        return Err(Failure::failed("the employee is missing at the sample company"));
    };
    let vault = employee.post("/v1/vaults", &json!({"name": "Mine"})).await?;
    let credentials = format!("/v1/vaults/{}/credentials", encode(&text(&vault, "id")?));
    let host = match &company.addresses.books {
        Books::Postgres { .. } => "http://localhost/",
        Books::Sqlite { .. } => "http://127.0.0.1/",
    };
    let pair = format!("{}:{}", one.login, one.secret);
    for (name, token, place) in [
        (SIGN_INS[0], &pair, "http://127.0.0.1/"),
        (SIGN_INS[1], &one.secret, "http://127.0.0.1/"),
        (SIGN_INS[2], &one.secret, host),
    ] {
        let auth = json!({"type": "static_bearer", "token": token, "mcp_server_url": place});
        employee.post(&credentials, &json!({"name": name, "auth": auth})).await?;
    }
    Ok(())
}

/// The employee tries the two servers that describe their own tools, and the operator accepts what she was shown: what
/// changes later is held back, and their descriptions are vouched for.
async fn vouch(admin: &Client, employee: &Client) -> Outcome {
    for name in ["minutes", "accounts"] {
        let path = format!("/bailiwick/v1/connectors/{name}");
        let tested = employee.post(&format!("{path}/test"), &json!({})).await?;
        if tested["status"] != "ready" {
            let why = escape::brief(&tested.to_string(), 400);
            return Err(Failure::failed(format!("the connector `{name}` cannot be used: {why}")));
        }
        admin.post(&format!("{path}/accept"), &json!({"session_id": tested["session_id"]})).await?;
    }
    Ok(())
}

async fn agent(admin: &Client, model: &str, owner: &Person, connectors: &[&str]) -> Outcome<String> {
    let connectors: Vec<Value> = connectors.iter().map(|name| json!({"name": name})).collect();
    let agent = json!({
        "name": "Day planner", "model": model, "instructions": INSTRUCTIONS,
        "bailiwick": {"owner": owner.id, "connectors": connectors, "memory": {"scopes": ["person"]}},
    });
    text(&admin.post("/v1/agents", &agent).await?, "id")
}
