//! What a system asks of the person in the middle of a call, and what the person answers. A form has flat fields only, and
//! a link is opened by the person, never by us. All texts are the system's own words, with what is invisible written out.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Number, Value, json};
use std::collections::BTreeMap;
use url::Url;

/// Longest text of a question, of a label of it, or of an answer, in bytes.
pub const MAX_TEXT_BYTES: usize = 4 << 10;
/// How often one call may ask: a system that asks without end gets no more answers.
pub const MAX_ROUNDS: u32 = 8;

/// A question to a person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Question {
    /// By which an answer finds its question.
    pub key: String,
    pub message: String,
    #[serde(flatten)]
    pub wants: Wants,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "wants", rename_all = "snake_case")]
pub enum Wants {
    /// Fields to fill in.
    Form { fields: Vec<Field> },
    /// A page to visit. The answer says whether the person wants to, not that they are done.
    Visit {
        #[serde(with = "link")]
        url: Url,
    },
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Field {
    pub name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    pub required: bool,
    #[serde(flatten)]
    pub kind: Kind,
    /// What stands in the field at first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<Value>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Kind {
    Text { min_length: u64, max_length: u64, format: Option<String> },
    Number { integer: bool, minimum: Option<Number>, maximum: Option<Number> },
    YesNo,
    One { choices: Vec<Choice> },
    Several { choices: Vec<Choice>, min: u64, max: u64 },
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Choice {
    pub value: String,
    pub title: String,
}

/// What the person says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "action", rename_all = "snake_case")]
pub enum Reply {
    /// With the fields of a form by name; empty for a visit.
    Accept {
        #[serde(default)]
        content: Map<String, Value>,
    },
    Decline,
    /// Nobody has decided.
    Cancel,
}

/// What people say to all questions of one call, by the questions' keys.
pub type Replies = BTreeMap<String, Reply>;

/// A call that stopped because a person is asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Elicited {
    pub questions: Vec<Question>,
    /// Where the call goes on, in the words of its room, which mean nothing to anybody else.
    pub resume: Value,
}

/// A call that goes on after a person was asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resumed {
    /// The action in which the system asked.
    pub asked: bailiwick_types::ActionId,
    /// Who answered; `None`: nobody did in time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<bailiwick_types::Principal>,
    pub replies: Replies,
    pub resume: Value,
    /// How often this call has asked so far.
    pub round: u32,
}

impl Reply {
    /// As the protocol has it.
    pub fn to_value(&self, wants: &Wants) -> Value {
        match (self, wants) {
            (Self::Accept { content }, Wants::Form { .. }) => json!({ "action": "accept", "content": content }),
            (Self::Accept { .. }, Wants::Visit { .. }) => json!({ "action": "accept" }),
            (Self::Decline, _) => json!({ "action": "decline" }),
            (Self::Cancel, _) => json!({ "action": "cancel" }),
        }
    }
}

impl Question {
    /// Whether a reply is one to this question. The error names the field.
    pub fn check(&self, reply: &Reply) -> Result<(), String> {
        let (Reply::Accept { content }, Wants::Form { fields }) = (reply, &self.wants) else { return Ok(()) };
        if let Some(name) = content.keys().find(|name| !fields.iter().any(|field| field.name == **name)) {
            return Err(format!("`{name}` is not asked for"));
        }
        for field in fields {
            match content.get(&field.name) {
                None if field.required => return Err(format!("`{}` is missing", field.name)),
                None => {}
                Some(value) => {
                    field.kind.check(value).map_err(|wrong| format!("`{}` must be {wrong}", field.name))?;
                }
            }
        }
        Ok(())
    }
}

/// The replies that say the same to every question, where it can be said: an acceptance with this content for the form of
/// each. The error names the field.
pub fn accepted(questions: &[Question], content: &BTreeMap<String, Map<String, Value>>) -> Result<Replies, String> {
    if let Some(key) = content.keys().find(|key| !questions.iter().any(|question| question.key == **key)) {
        return Err(format!("there is no question `{key}`"));
    }
    let mut replies = Replies::new();
    for question in questions {
        let reply = Reply::Accept { content: content.get(&question.key).cloned().unwrap_or_default() };
        question.check(&reply)?;
        replies.insert(question.key.clone(), reply);
    }
    Ok(replies)
}

/// The same to every question.
pub fn all(questions: &[Question], reply: &Reply) -> Replies {
    questions.iter().map(|question| (question.key.clone(), reply.clone())).collect()
}

impl Kind {
    /// The error goes after `must be`.
    pub fn check(&self, value: &Value) -> Result<(), String> {
        let is_choice = |choices: &[Choice], value: &Value| {
            value.as_str().is_some_and(|value| choices.iter().any(|choice| choice.value == value))
        };
        let bound = |number: &Option<Number>| number.as_ref().and_then(Number::as_f64);
        let fits = match (self, value) {
            (Self::Text { min_length, max_length, .. }, Value::String(text)) => {
                (*min_length..=*max_length).contains(&(text.chars().count() as u64)) && text.len() <= MAX_TEXT_BYTES
            }
            (Self::Number { integer, minimum, maximum }, Value::Number(number)) => {
                let float = number.as_f64().unwrap_or(f64::NAN);
                (!integer || float.fract() == 0.0)
                    && bound(minimum).is_none_or(|minimum| float >= minimum)
                    && bound(maximum).is_none_or(|maximum| float <= maximum)
            }
            (Self::YesNo, Value::Bool(_)) => true,
            (Self::One { choices }, value) => is_choice(choices, value),
            (Self::Several { choices, min, max }, Value::Array(several)) => {
                (*min..=*max).contains(&(several.len() as u64)) && several.iter().all(|one| is_choice(choices, one))
            }
            _ => false,
        };
        if fits { Ok(()) } else { Err(self.words()) }
    }

    /// What fits, in plain words.
    pub fn words(&self) -> String {
        let values = |choices: &[Choice]| {
            let values: Vec<String> = choices.iter().map(|choice| format!("`{}`", choice.value)).collect();
            values.join(", ")
        };
        match self {
            Self::Text { min_length, max_length, .. } => format!("a text of {min_length} to {max_length} characters"),
            Self::Number { integer, minimum, maximum } => {
                let mut words = if *integer { "an integer".to_owned() } else { "a number".to_owned() };
                if let Some(minimum) = minimum {
                    words.push_str(&format!(", at least {minimum}"));
                }
                if let Some(maximum) = maximum {
                    words.push_str(&format!(", at most {maximum}"));
                }
                words
            }
            Self::YesNo => "true or false".into(),
            Self::One { choices } => format!("one of {}", values(choices)),
            Self::Several { choices, min, max } => format!("{min} to {max} of {}", values(choices)),
        }
    }
}

/// URLs as text in kept data.
mod link {
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};
    use url::Url;

    pub(super) fn serialize<S: Serializer>(url: &Url, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(url.as_str())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Url, D::Error> {
        let text = String::deserialize(deserializer)?;
        Url::parse(&text).map_err(|error| D::Error::custom(format!("`{text}` is not a URL: {error}")))
    }
}
