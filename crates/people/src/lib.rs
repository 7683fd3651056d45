//! People of the organisation, as its own directory knows them: who somebody is, how to write to them, in which teams and
//! roles they are.
//!
//! It reads the directory that signs people in and grants them their rights, and nothing else; it changes nothing. Who
//! was disabled is not shown, and neither are login names and what people are called at an identity provider.

mod hand;

pub use hand::PeopleTools;

use bailiwick_core::{Content, Effect, Failure, ToolDefinition, canonical};
use bailiwick_gate::calls::{self, invalid};
use bailiwick_ports::{
    People,
    people::{Team, User},
};
use bailiwick_types::{Role, TenantId};
use serde::Deserialize;
use serde_json::{Value, json};
use std::fmt::Write;

/// People in one answer.
const MAX_FOUND: usize = 100;
/// Longest text to look for in characters.
const MAX_TEXT: usize = 128;

/// The tools of the directory.
pub fn definitions() -> Vec<ToolDefinition> {
    let text = |what: &str| json!({"type": "string", "minLength": 1, "maxLength": MAX_TEXT, "description": what});
    let roles: Vec<&str> = Role::ALL.iter().map(|role| role.name()).collect();
    vec![ToolDefinition {
        name: "find_people".into(),
        title: Some("Find people".into()),
        description: "Finds people of this organisation by name, mail address, team or role, with their mail address, \
            teams and roles. Everything that is given must be true of a person; without anything, everybody."
            .into(),
        parameters: json!({
            "type": "object",
            "properties": {
                "name": text("Words of the person's name, or parts of them."),
                "email": {"type": "string", "format": "email", "description": "The whole mail address."},
                "team": text("The team's name, or a part of it."),
                "role": {"type": "string", "enum": roles},
                "limit": {"type": "integer", "minimum": 1, "maximum": MAX_FOUND, "description": "20 without it."}
            },
            "additionalProperties": false
        }),
        effect: Effect::Read,
    }]
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Find {
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    email: Option<String>,
    #[serde(default)]
    team: Option<String>,
    #[serde(default)]
    role: Option<Role>,
    #[serde(default = "usual")]
    limit: usize,
}

fn usual() -> usize {
    20
}

/// Performs one call on the directory of `tenant`. Reading answers from memory, so nothing here waits.
pub fn call(people: &dyn People, tenant: TenantId, tool: &str, arguments: &Value) -> Result<Vec<Content>, Failure> {
    if tool != "find_people" {
        return Err(invalid(format!("there is no tool `{tool}` here")));
    }
    let wanted = calls::arguments::<Find>(arguments)?.checked()?;
    let teams = people.teams(tenant);
    let mut found: Vec<User> = people.users(tenant).into_iter().filter(|user| wanted.fits(user, &teams)).collect();
    found.sort_by(|one, other| one.name.cmp(&other.name).then(one.id.cmp(&other.id)));
    Ok(vec![Content::text(page(&found, &teams, wanted.limit))])
}

impl Find {
    /// With texts in the form in which they are compared.
    fn checked(mut self) -> Result<Self, Failure> {
        for (field, text) in [("name", &mut self.name), ("team", &mut self.team)] {
            if let Some(text) = text {
                let length = text.chars().count();
                if length == 0 || length > MAX_TEXT {
                    return Err(invalid(format!("`{field}`: must have 1 to {MAX_TEXT} characters")));
                }
                *text = canonical::folded(text);
            }
        }
        if let Some(email) = &mut self.email {
            *email = canonical::email(email).map_err(|problem| invalid(format!("`email`: {problem}")))?;
        }
        self.limit = self.limit.clamp(1, MAX_FOUND);
        Ok(self)
    }

    fn fits(&self, user: &User, teams: &[Team]) -> bool {
        let has_words = |text: &str, words: &str| {
            let text = canonical::folded(text);
            words.split_whitespace().all(|word| text.contains(word))
        };
        let in_team =
            |wanted: &String| teams.iter().any(|team| user.teams.contains(&team.id) && has_words(&team.name, wanted));
        user.disabled.is_none()
            && self.name.as_ref().is_none_or(|name| has_words(&user.name, name))
            && self.email.as_ref().is_none_or(|email| {
                user.email.as_deref().and_then(|own| canonical::email(own).ok()).as_ref() == Some(email)
            })
            && self.team.as_ref().is_none_or(in_team)
            && self.role.is_none_or(|role| user.roles.contains(&role))
    }
}

fn page(found: &[User], teams: &[Team], limit: usize) -> String {
    if found.is_empty() {
        return "Nobody of this organisation fits.".into();
    }
    let mut page = String::new();
    for user in found.iter().take(limit) {
        let own: Vec<String> =
            teams.iter().filter(|team| user.teams.contains(&team.id)).map(|team| plain(&team.name)).collect();
        let roles: Vec<&str> = user.roles.iter().map(|role| role.name()).collect();
        let _ = writeln!(
            page,
            "- {} | mail: {} | teams: {} | roles: {} | {}",
            plain(&user.name),
            user.email.as_deref().map_or_else(|| "none".into(), plain),
            or_none(&own.join(", ")),
            or_none(&roles.join(", ")),
            user.id,
        );
    }
    if found.len() > limit {
        let _ = writeln!(page, "[{limit} of {}: ask for fewer]", found.len());
    }
    page
}

fn or_none(text: &str) -> &str {
    if text.is_empty() { "none" } else { text }
}

/// On one line and in its own field.
fn plain(text: &str) -> String {
    text.chars().map(|char| if char.is_control() || char == '|' { ' ' } else { char }).collect()
}

#[cfg(test)]
mod tests;
