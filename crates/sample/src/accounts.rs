//! The accounts of customers, as a service with an OpenAPI document of the awkward kind.

use crate::{
    company::{ACCOUNTS, Account, Employee},
    http::{Answers, Asked, json, plain},
};
use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

const DOCUMENT: &str = include_str!("accounts.yaml");
/// Accounts of one page.
const PAGE: usize = 3;
const MAX_NOTES: usize = 1_000;
const MAX_TEXT: usize = 2_000;

pub(crate) struct Accounts {
    people: Vec<Employee>,
    /// Notes by their idempotency keys.
    notes: Mutex<BTreeMap<String, String>>,
}

impl Accounts {
    pub fn new(people: Vec<Employee>) -> Self {
        Self { people, notes: Mutex::new(BTreeMap::new()) }
    }

    fn note(&self, who: &Employee, id: &str, asked: &Asked) -> Response {
        let Some(account) = find(id) else { return nobody() };
        let Some(key) = asked.header("idempotency-key").filter(|key| (1..=64).contains(&key.len())) else {
            return problem("the header `Idempotency-Key` is missing");
        };
        let body: Value = serde_json::from_slice(&asked.body).unwrap_or_default();
        let Some(text) = body["text"].as_str().filter(|text| (1..=MAX_TEXT).contains(&text.len())) else {
            return problem("`text` must be a text of 1 to 2000 bytes");
        };
        let mut notes = self.notes.lock().unwrap_or_else(PoisonError::into_inner);
        if notes.len() >= MAX_NOTES && !notes.contains_key(key) {
            return plain(StatusCode::INSUFFICIENT_STORAGE, "there is no room left");
        }
        let note = notes.entry(key.to_owned()).or_insert_with(|| text.to_owned());
        json(StatusCode::CREATED, &json!({"account": account.id, "text": note, "by": who.name}))
    }
}

impl Answers for Accounts {
    fn answer(&self, asked: Asked) -> Response {
        let path: Vec<&str> = asked.uri.path().split('/').filter(|part| !part.is_empty()).collect();
        if let ("GET", ["openapi.yaml"]) = (asked.method.as_str(), path.as_slice()) {
            return ([(header::CONTENT_TYPE, "application/yaml")], DOCUMENT).into_response();
        }
        let key = asked.header("x-account-key");
        let Some(who) = self.people.iter().find(|one| key == Some(&one.secret)) else {
            return plain(StatusCode::UNAUTHORIZED, "the header `X-Account-Key` is nobody's");
        };
        match (asked.method.as_str(), path.as_slice()) {
            ("GET", ["v1", "accounts"]) => list(&asked),
            ("GET", ["v1", "accounts", id]) => find(id).map_or_else(nobody, |one| json(StatusCode::OK, &shown(one))),
            ("POST", ["v1", "accounts", id, "notes"]) => self.note(who, id, &asked),
            _ => plain(StatusCode::NOT_FOUND, "there is nothing here"),
        }
    }
}

fn list(asked: &Asked) -> Response {
    let question = Question::read(asked.uri.query().unwrap_or_default());
    let all: Vec<&Account> = ACCOUNTS.iter().filter(|account| question.fits(account)).collect();
    let page = question.page.max(1);
    let shown: Vec<Value> = all.iter().skip((page - 1) * PAGE).take(PAGE).map(|one| shown(one)).collect();
    let mut answer = json(StatusCode::OK, &Value::Array(shown));
    if all.len() > page * PAGE {
        let link = format!("</v1/accounts?{}page={}>; rel=\"next\"", question.said, page + 1);
        if let Ok(link) = HeaderValue::from_str(&link) {
            answer.headers_mut().insert(header::LINK, link);
        }
    }
    answer
}

/// What a list is asked for.
#[derive(Default)]
struct Question {
    region: Option<String>,
    ratings: Vec<String>,
    page: usize,
    /// The question itself without the page, for the link to the next one.
    said: String,
}

impl Question {
    fn read(query: &str) -> Self {
        let mut question = Self::default();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            match decoded(name).as_str() {
                "filter[region]" | "filter.region" => question.region = Some(decoded(value)),
                "rating" => question.ratings = decoded(value).split(',').map(str::to_owned).collect(),
                "page" => {
                    // More pages than there are accounts are empty.
                    question.page = value.parse().unwrap_or(1).min(ACCOUNTS.len());
                    continue;
                }
                _ => continue,
            }
            question.said.push_str(&format!("{pair}&"));
        }
        question
    }

    fn fits(&self, account: &Account) -> bool {
        self.region.as_ref().is_none_or(|region| region.eq_ignore_ascii_case(account.region))
            && (self.ratings.is_empty() || self.ratings.iter().any(|rating| rating == account.rating))
    }
}

/// Without percent signs and pluses (`application/x-www-form-urlencoded`).
fn decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        let hex = after.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
        match (first, hex.and_then(|digits| u8::from_str_radix(digits, 16).ok())) {
            (b'%', Some(byte)) => {
                bytes.push(byte);
                rest = &after[2..];
            }
            _ => {
                bytes.push(if *first == b'+' { b' ' } else { *first });
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn find(id: &str) -> Option<&'static Account> {
    ACCOUNTS.iter().find(|account| account.id == id)
}

fn shown(account: &Account) -> Value {
    let children: Vec<&str> = ACCOUNTS.iter().filter(|one| one.parent == Some(account.id)).map(|one| one.id).collect();
    json!({
        "id": account.id, "name": account.name, "region": account.region, "terms": account.terms,
        "rating": account.rating, "parent": account.parent.map(|id| json!({"id": id})),
        "children": children.iter().map(|id| json!({"id": id})).collect::<Vec<_>>(),
    })
}

fn nobody() -> Response {
    problem_as(StatusCode::NOT_FOUND, "there is no such account")
}

fn problem(text: &str) -> Response {
    problem_as(StatusCode::BAD_REQUEST, text)
}

fn problem_as(status: StatusCode, text: &str) -> Response {
    json(status, &json!({"error": {"message": text}}))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_is_read_in_every_spelling() {
        let question = Question::read("filter%5Bregion%5D=north&rating=C%2CD&page=2&other=x");
        assert_eq!((question.region.as_deref(), question.page), (Some("north"), 2));
        assert_eq!(question.ratings, ["C", "D"]);
        assert_eq!(question.said, "filter%5Bregion%5D=north&rating=C%2CD&");
        assert_eq!(decoded("a%2"), "a%2");
        assert_eq!(decoded("a+b%zz"), "a b%zz");
        assert_eq!(Question::read("page=999999999999").page, ACCOUNTS.len());
    }
}
