//! Who is in the demo, and under which rules: people with accounts of this server, an agent that one of them answers for,
//! a policy and a budget. The operator sets them up, over the API; afterwards the employee works with her own token.

use crate::{
    client::{Client, encode},
    failure::{Failure, Outcome},
    terminal::escape,
    watch::Screen,
};
use bailiwick_identity::OsRandom;
use bailiwick_ports::Random as _;
use bailiwick_types::Secret;
use serde_json::{Value, json};

/// Forbids to touch what was given.
pub(super) const FORBIDS: &str = "originals-stay";
/// Asks the person before a letter is written.
pub(super) const ASKS: &str = "letters-are-read";
/// What the rules are about.
pub(super) const ORIGINAL: &str = "/workspace/input.csv";
pub(super) const LETTER: &str = "/workspace/outputs/letter.md";

const RULES: &str = r#"
@id("originals-stay")
@reason("what was handed in stays as it is")
@remedy("Write a new file beside it.")
forbid (
  principal,
  action == Action::"file.write",
  resource == File::"/workspace/input.csv"
);

@id("letters-are-read")
@ask("person")
@reason("a letter goes out in the person's name")
forbid (
  principal,
  action == Action::"file.write",
  resource == File::"/workspace/outputs/letter.md"
);
"#;
const INSTRUCTIONS: &str = "You examine tables for a finance team. You work with Python's standard library only. You say \
what you counted and what you left out.";
/// Far more than the job takes.
const LIMIT: &str = "1000.00";

/// Somebody with an account.
#[derive(Debug, Clone)]
pub(super) struct Person {
    pub id: String,
    pub name: String,
}

/// Everybody and everything that the work needs, with ids as the server gave them.
#[derive(Debug)]
pub(super) struct Cast {
    /// The employee's own connection, with the token of her sign-in.
    pub employee: Client,
    pub person: Person,
    pub owner: Person,
    pub agent: String,
    pub budget: Value,
}

impl Cast {
    pub async fn gather(admin: &Client, url: &str, model: &str, screen: &mut Screen) -> Outcome<Self> {
        let owner = person(admin, "Noah Lind", "noah", "builder").await?.0;
        let (person, code) = person(admin, "Sofia Brandt", "sofia", "member").await?;
        let employee = sign_in(url, "sofia", &code).await?.0;
        let me = employee.get("/bailiwick/v1/me").await?;
        let known = me["user"]["id"].as_str().or(me["id"].as_str());
        if known != Some(&person.id) {
            return Err(Failure::failed("the server does not know the employee by her token"));
        }
        screen
            .note(format!("● {} ({}) signed in with a password of her own: no key, no admin", person.name, person.id));
        let agent = json!({
            "name": "Ledger examiner", "model": model, "instructions": INSTRUCTIONS, "bailiwick": {"owner": owner.id},
        });
        let agent = admin.post("/v1/agents", &agent).await?;
        let answers = text(&agent["bailiwick"], "owner")?;
        let (name, id) = (text(&agent, "name")?, text(&agent, "id")?);
        screen.note(format!("● agent `{}` ({id}); {} answers for it ({answers})", escape::line(&name), owner.name));
        rules(admin, screen).await?;
        let budget = set_budget(admin, &id, LIMIT).await?;
        screen.note(format!(
            "● budget of the agent: {} {} in all, {} spent\n",
            text(&budget, "limit")?,
            text(&budget, "currency")?,
            text(&budget, "spent")?
        ));
        Ok(Self { employee, person, owner, agent: id, budget })
    }

    pub fn to_json(&self) -> Value {
        json!({
            "ordered_by": {"id": self.person.id, "name": self.person.name},
            "agent": {"id": self.agent, "owner": self.owner.id, "owner_name": self.owner.name},
        })
    }
}

pub(super) fn text(value: &Value, key: &str) -> Outcome<String> {
    let found = value[key].as_str().map(str::to_owned);
    found.ok_or_else(|| Failure::failed(format!("the server's answer has no `{key}`")))
}

/// The same budget again has another limit, and goes on counting.
pub(super) async fn set_budget(admin: &Client, agent: &str, limit: &str) -> Outcome<Value> {
    let payer = json!({"type": "agent", "id": agent});
    admin.post("/bailiwick/v1/budgets", &json!({"payer": payer, "per": "total", "limit": limit})).await
}

/// A budget as it stands now.
pub(super) async fn budget(admin: &Client, id: &str) -> Outcome<Value> {
    let all = admin.list("/bailiwick/v1/budgets?order=asc", usize::MAX).await?;
    let found = all.into_iter().find(|budget| budget["id"] == id);
    found.ok_or_else(|| Failure::failed("the budget is not there any more"))
}

async fn person(admin: &Client, name: &str, login: &str, role: &str) -> Outcome<(Person, String)> {
    add(admin, &json!({"name": name, "login": login, "roles": [role]})).await
}

/// Adds somebody, as the API has them, and gives the code for their password.
pub(super) async fn add(admin: &Client, person: &Value) -> Outcome<(Person, String)> {
    let made = admin.post("/bailiwick/v1/people", person).await?;
    let person = Person { id: text(&made, "id")?, name: text(&made, "name")? };
    Ok((person, text(&made["set_up"], "code")?))
}

/// Something that nobody guesses, made for this one run.
pub(super) fn secret() -> String {
    let mut bits = [0; 16];
    OsRandom.fill(&mut bits);
    bits.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A connection of somebody's own, and the password that was made for it.
pub(super) async fn sign_in(url: &str, login: &str, code: &str) -> Outcome<(Client, String)> {
    let password = secret();
    let stranger = Client::remote(url, None)?;
    stranger.post("/bailiwick/v1/sign-in/set-up", &json!({"code": code, "password": password})).await?;
    let body = json!({"login": login, "password": password, "medium": "bearer"});
    let signed = stranger.post("/bailiwick/v1/sign-in", &body).await?;
    Ok((Client::remote(url, Some(Secret::new(text(&signed, "token")?)))?, password))
}

/// The starter set and two rules more.
async fn rules(admin: &Client, screen: &mut Screen) -> Outcome {
    let version = add_rules(admin, RULES, "Originals stay, and letters are read by a person", &[FORBIDS, ASKS]).await?;
    screen.note(format!(
        "● policy version {version}: the starter set, `{FORBIDS}` (forbids), `{ASKS}` (asks the person)"
    ));
    Ok(())
}

/// Applies the rules that hold with these after them. All of `names` hold then, or this fails. Gives the version.
pub(super) async fn add_rules(admin: &Client, rules: &str, reason: &str, names: &[&str]) -> Outcome<Value> {
    let now = admin.get("/bailiwick/v1/policy").await?;
    let all = format!("{}\n{rules}", text(&now, "text")?);
    let applied = admin.post("/bailiwick/v1/policy", &json!({"text": all, "reason": reason})).await?;
    let holds = |id: &&str| applied["rules"].as_array().into_iter().flatten().any(|rule| rule["id"] == *id);
    match names.iter().all(holds) {
        true => Ok(applied["version"].clone()),
        false => Err(Failure::failed("the rules of the demo do not hold")),
    }
}

/// Deletes every session, so that no sandbox stays behind when the demo ends early.
pub(super) async fn wipe(admin: &Client) -> Outcome {
    for session in admin.list("/v1/agents/sessions", 100).await? {
        if let Some(id) = session["id"].as_str() {
            admin.delete(&format!("/v1/agents/sessions/{}", encode(id))).await?;
        }
    }
    Ok(())
}
