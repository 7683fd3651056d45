//! A small company, and what is told of it.

use super::*;
use async_trait::async_trait;
use bailiwick_core::joined_text;
use bailiwick_ports::{
    PeopleError,
    people::{Author, NewUser, SetUp, UserPatch},
};
use bailiwick_types::{TeamId, Timestamp, UserId};

const AT: Timestamp = Timestamp::from_millis(1_795_260_645_000);
const HOME: TenantId = TenantId::new(AT, [1; 10]);
const OTHER: TenantId = TenantId::new(AT, [2; 10]);
const FINANCE: TeamId = TeamId::new(AT, [3; 10]);
const SALES: TeamId = TeamId::new(AT, [4; 10]);

struct Directory;

fn user(number: u8, name: &str, email: Option<&str>, teams: &[TeamId], roles: &[Role]) -> User {
    User {
        id: UserId::new(AT, [number; 10]),
        name: name.into(),
        login: Some(format!("login{number}")),
        email: email.map(str::to_owned),
        roles: roles.to_vec(),
        teams: teams.to_vec(),
        foreign: None,
        created: AT,
        updated: AT,
        disabled: None,
    }
}

fn refused<T>() -> Result<T, PeopleError> {
    Err(PeopleError::Refused("this one is only read".into()))
}

#[async_trait]
impl People for Directory {
    async fn create_user(&self, _: Author, _: NewUser) -> Result<(User, Option<SetUp>), PeopleError> {
        refused()
    }

    async fn change_user(&self, _: Author, _: UserId, _: UserPatch) -> Result<User, PeopleError> {
        refused()
    }

    async fn reset_password(&self, _: Author, _: UserId) -> Result<SetUp, PeopleError> {
        refused()
    }

    fn user(&self, _: TenantId, _: UserId) -> Option<User> {
        None
    }

    fn users(&self, tenant: TenantId) -> Vec<User> {
        if tenant != HOME {
            return vec![user(9, "Olaf Other", Some("olaf@other.example"), &[], &[])];
        }
        let mut gone = user(3, "Gone Gustav", Some("gustav@firma.example"), &[FINANCE], &[Role::Admin]);
        gone.disabled = Some(AT);
        vec![
            user(1, "Müller, Anna", Some("Anna@Firma.example"), &[FINANCE], &[Role::Admin, Role::Member]),
            user(2, "Ben\nAdams | root", None, &[SALES], &[Role::Member]),
            gone,
        ]
    }

    async fn create_team(&self, _: Author, _: String) -> Result<Team, PeopleError> {
        refused()
    }

    async fn rename_team(&self, _: Author, _: TeamId, _: String) -> Result<Team, PeopleError> {
        refused()
    }

    fn team(&self, _: TenantId, _: TeamId) -> Option<Team> {
        None
    }

    fn teams(&self, _: TenantId) -> Vec<Team> {
        let team = |id, name: &str| Team { id, name: name.into(), created: AT };
        vec![team(FINANCE, "Finance EMEA"), team(SALES, "Sales")]
    }
}

fn found(arguments: &Value) -> String {
    joined_text(&call(&Directory, HOME, "find_people", arguments).unwrap())
}

#[test]
fn people_are_found_by_what_is_said_of_them() {
    for arguments in [
        json!({"name": "anna müller"}),
        json!({"name": "ANNA"}),
        json!({"email": "anna@firma.EXAMPLE"}),
        json!({"team": "finance"}),
        json!({"role": "admin"}),
        json!({"name": "anna", "team": "emea", "role": "member"}),
    ] {
        let text = found(&arguments);
        assert_eq!(text.lines().count(), 1, "{arguments}: {text}");
        let line = "- Müller, Anna | mail: Anna@Firma.example | teams: Finance EMEA | roles: admin, member | user_";
        assert!(text.starts_with(line), "{text}");
    }
    for arguments in
        [json!({"name": "anna", "team": "sales"}), json!({"name": "olaf"}), json!({"email": "a@b.example"})]
    {
        assert_eq!(found(&arguments), "Nobody of this organisation fits.", "{arguments}");
    }
}

#[test]
fn who_was_disabled_and_what_signs_people_in_is_not_shown() {
    let all = found(&json!({}));
    assert_eq!(all.lines().count(), 2, "{all}");
    assert!(!all.contains("Gustav") && !all.contains("login"), "{all}");
    assert!(all.contains("- Ben Adams   root | mail: none"), "{all}");
    assert!(found(&json!({"limit": 1})).ends_with("[1 of 2: ask for fewer]\n"));
    let other = joined_text(&call(&Directory, OTHER, "find_people", &json!({})).unwrap());
    assert!(other.contains("Olaf") && !other.contains("Anna"), "{other}");
}

#[test]
fn what_does_not_fit_is_refused_by_its_field() {
    for (arguments, field) in [
        (json!({"name": ""}), "`name`"),
        (json!({"team": "x".repeat(129)}), "`team`"),
        (json!({"email": "anna"}), "`email`"),
        (json!({"role": "root"}), "root"),
        (json!({"login": "anna"}), "login"),
        (json!({"limit": "all"}), "all"),
    ] {
        let failure = call(&Directory, HOME, "find_people", &arguments).unwrap_err();
        assert!(failure.message.contains(field), "{}", failure.message);
    }
    assert!(call(&Directory, HOME, "delete_people", &json!({})).is_err());
}
