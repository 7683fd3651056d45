//! The sample company for one test, in this process.

#![allow(dead_code, reason = "each test uses some of it")]

use bailiwick_core::{ActionResult, FailureCode, Outcome, joined_text};
use bailiwick_sample::{Opening, Served, company, company::Employee, serve};
use tempfile::TempDir;

pub const TODAY: &str = "2026-11-23";

pub struct Company {
    pub served: Served,
    pub people: Vec<Employee>,
    _folders: (TempDir, TempDir),
}

/// `server`: with PostgreSQL, where there is one. `anna` works there beside the others, with `secret`.
pub async fn open(server: bool, secret: &str) -> Company {
    let employee = |name: &str, login: &str, secret: &str| Employee {
        name: name.into(),
        login: login.into(),
        secret: secret.into(),
    };
    let mut people: Vec<Employee> =
        company::PEOPLE.iter().map(|(name, login, _)| employee(name, login, &format!("{login}-secret"))).collect();
    people.push(employee("Anna Müller", "anna", secret));
    let folders = (TempDir::new().unwrap(), tempfile::Builder::new().prefix("bw-").tempdir_in("/tmp").unwrap());
    let opening = Opening {
        people: people.clone(),
        today: TODAY.parse().unwrap(),
        papers: folders.0.path().to_owned(),
        books: folders.1.path().to_owned(),
        server,
    };
    Company { served: serve(opening).await.unwrap(), people, _folders: folders }
}

impl Company {
    pub fn paper(&self, path: &str) -> String {
        std::fs::read_to_string(self._folders.0.path().join(path)).unwrap()
    }
}

pub fn text(outcome: Outcome) -> String {
    match outcome {
        Outcome::Confirmed { result: ActionResult::Tool(answer) } => joined_text(&answer.content),
        other => panic!("{other:?}"),
    }
}

pub fn failure(outcome: Outcome) -> (FailureCode, String) {
    match outcome {
        Outcome::Failed { failure } => (failure.code, failure.message),
        other => panic!("{other:?}"),
    }
}
