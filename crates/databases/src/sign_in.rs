//! Who signs in to a database: the login that the configuration makes of a person.

use crate::config::{Configuration, SignIn};
use std::collections::BTreeMap;

/// Longest login, in bytes.
const MAX_LOGIN_BYTES: usize = 256;

/// The person that a statement is run for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    /// The id here; it never changes.
    pub id: String,
    pub mail: Option<String>,
}

/// Under which names a statement is run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Names {
    pub login: String,
    pub role: Option<String>,
    pub settings: BTreeMap<String, String>,
}

/// What the configuration makes of `person`.
pub fn names(configuration: &Configuration, person: Option<&Person>) -> Result<Names, String> {
    let filled = |field: &str, template: &str| fill(template, person).map_err(|why| format!("sign_in.{field}: {why}"));
    match &configuration.sign_in {
        SignIn::Service { login } => Ok(Names { login: login.clone(), role: None, settings: BTreeMap::new() }),
        SignIn::Person { login } => {
            if person.is_none() {
                return Err("the database knows people only, and nobody asked for this".to_owned());
            }
            Ok(Names { login: filled("login", login)?, role: None, settings: BTreeMap::new() })
        }
        SignIn::Assumed { login, role, settings } => {
            let role = role.as_ref().map(|role| filled("role", role)).transpose()?;
            let settings = settings.iter().map(|(name, value)| Ok((name.clone(), filled("settings", value)?)));
            Ok(Names { login: login.clone(), role, settings: settings.collect::<Result<_, String>>()? })
        }
    }
}

fn fill(template: &str, person: Option<&Person>) -> Result<String, String> {
    let mut filled = String::new();
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('{') {
        let (name, behind) = after.split_once('}').ok_or("a `{` has no `}`")?;
        let person = person.ok_or("it is for people, and nobody asked for this")?;
        let mail = person.mail.as_deref().ok_or("this person has no mail address");
        filled.push_str(before);
        filled.push_str(match name {
            "id" => &person.id,
            "mail" => mail?,
            "mail_name" => mail?.split('@').next().unwrap_or_default(),
            other => return Err(format!("there is no `{{{other}}}`; use {{id}}, {{mail}} or {{mail_name}}")),
        });
        rest = behind;
    }
    filled.push_str(rest);
    if filled.is_empty() || filled.len() > MAX_LOGIN_BYTES || filled.chars().any(char::is_control) {
        return Err(format!("it comes to no name of 1 to {MAX_LOGIN_BYTES} bytes"));
    }
    Ok(filled)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_is_made_of_the_person_and_of_nobody_else() {
        let ann = Person { id: "user_1".to_owned(), mail: Some("ann.lee@example.com".to_owned()) };
        assert_eq!(fill("{id}", Some(&ann)), Ok("user_1".to_owned()));
        assert_eq!(fill("x_{mail_name}", Some(&ann)), Ok("x_ann.lee".to_owned()));
        assert_eq!(fill("fixed", None), Ok("fixed".to_owned()));
        assert!(fill("{mail}", None).is_err());
        assert!(fill("{password}", Some(&ann)).is_err());
        assert!(fill("{mail", Some(&ann)).is_err());
        let odd = Person { id: "a\0".to_owned(), mail: None };
        assert!(fill("{mail}", Some(&odd)).is_err());
        assert!(fill("{id}", Some(&odd)).is_err());
    }
}
