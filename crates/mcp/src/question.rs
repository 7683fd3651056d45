//! What a server asks of a person in the middle of a call (elicitation), and what the person answers. A form has flat
//! fields only; a secret is never asked for in a form, and a link is opened by the person, never by us.

use crate::{
    limits::{MAX_CHOICES, MAX_FIELDS, MAX_QUESTION_BYTES},
    message::visible,
};
pub use bailiwick_core::elicitation::{Choice, Field, Kind, Question, Reply, Wants};
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};
use url::Url;

/// Reads the parameters of `elicitation/create`. Without a key of the server's, what it asks is its key: the same question
/// asked again finds the same answer.
pub(crate) fn read(key: Option<&str>, params: &Map<String, Value>) -> Result<Question, String> {
    let message = text(params, "message")?.ok_or("it has no `message`")?;
    let wants = match params.get("mode").and_then(Value::as_str) {
        None | Some("form") => Wants::Form { fields: fields(params)? },
        Some("url") => Wants::Visit { url: link(params)? },
        Some(_) => return Err("its `mode` is neither `form` nor `url`".into()),
    };
    let key = match key {
        Some(key) if key.len() <= 256 => key.to_owned(),
        Some(_) => return Err("its key is too long".into()),
        None => digest(&message, params.get("requestedSchema").or(params.get("url"))),
    };
    Ok(Question { key, message, wants })
}

fn digest(message: &str, wants: Option<&Value>) -> String {
    let canonical = serde_jcs::to_vec(&json!([message, wants])).unwrap_or_default();
    Sha256::digest(&canonical)[..16].iter().map(|byte| format!("{byte:02x}")).collect()
}

fn text(object: &Map<String, Value>, field: &str) -> Result<Option<String>, String> {
    match object.get(field) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) if text.len() <= MAX_QUESTION_BYTES => Ok(Some(visible(text))),
        Some(Value::String(_)) => Err(format!("its `{field}` has more than {MAX_QUESTION_BYTES} bytes")),
        Some(_) => Err(format!("its `{field}` is not a text")),
    }
}

fn link(params: &Map<String, Value>) -> Result<Url, String> {
    let url = text(params, "url")?.and_then(|url| Url::parse(&url).ok()).ok_or("its `url` is not a URL")?;
    match url.scheme() == "https" && url.host_str().is_some() && url.username().is_empty() && url.password().is_none() {
        true => Ok(url),
        false => Err("its `url` does not begin with `https://` and a host".into()),
    }
}

fn fields(params: &Map<String, Value>) -> Result<Vec<Field>, String> {
    let schema = params.get("requestedSchema").ok_or("it has no `requestedSchema`")?;
    let properties = schema.get("properties").and_then(Value::as_object).ok_or("its form has no `properties`")?;
    if properties.len() > MAX_FIELDS {
        return Err(format!("its form has more than {MAX_FIELDS} fields"));
    }
    let required: Vec<&str> = match schema.get("required").and_then(Value::as_array) {
        Some(required) => required.iter().filter_map(Value::as_str).collect(),
        None => Vec::new(),
    };
    properties.iter().map(|(name, property)| field(name, property, required.contains(&name.as_str()))).collect()
}

fn field(name: &str, property: &Value, required: bool) -> Result<Field, String> {
    let wrong = || format!("its form has a field `{}` that is not a plain one", visible(name));
    let property = property.as_object().ok_or_else(wrong)?;
    if name.is_empty() || name.len() > 256 {
        return Err("its form has a field without a short name".into());
    }
    let number = |key: &str| property.get(key).and_then(Value::as_number).cloned();
    let count = |key: &str, otherwise: u64| property.get(key).and_then(Value::as_u64).unwrap_or(otherwise);
    let choices = choices(property)?;
    let kind = match (property.get("type").and_then(Value::as_str), choices) {
        (Some("string") | None, Some(choices)) => Kind::One { choices },
        (Some("string"), None) => Kind::Text {
            min_length: count("minLength", 0),
            max_length: count("maxLength", MAX_QUESTION_BYTES as u64).min(MAX_QUESTION_BYTES as u64),
            format: text(property, "format")?,
        },
        (Some(kind @ ("number" | "integer")), None) => {
            Kind::Number { integer: kind == "integer", minimum: number("minimum"), maximum: number("maximum") }
        }
        (Some("boolean"), None) => Kind::YesNo,
        (Some("array"), None) => {
            let items = property.get("items").and_then(Value::as_object).ok_or_else(wrong)?;
            let choices = self::choices(items)?.ok_or_else(wrong)?;
            let max = count("maxItems", choices.len() as u64);
            Kind::Several { choices, min: count("minItems", 0), max }
        }
        _ => return Err(wrong()),
    };
    let default = property.get("default").filter(|value| kind.check(value).is_ok()).cloned();
    Ok(Field {
        name: name.to_owned(),
        title: text(property, "title")?,
        description: text(property, "description")?,
        required,
        kind,
        default,
    })
}

/// The choices of `enum` (with `enumNames`, as older revisions title them), `oneOf` and `anyOf`.
fn choices(property: &Map<String, Value>) -> Result<Option<Vec<Choice>>, String> {
    let (list, titles) = match (property.get("enum"), property.get("oneOf").or(property.get("anyOf"))) {
        (Some(values), _) => (values, property.get("enumNames").and_then(Value::as_array)),
        (None, Some(options)) => (options, None),
        (None, None) => return Ok(None),
    };
    let list = list.as_array().ok_or("its form has choices that are no list")?;
    if list.is_empty() || list.len() > MAX_CHOICES {
        return Err(format!("its form has a field without one to {MAX_CHOICES} choices"));
    }
    let choice = |(at, option): (usize, &Value)| {
        let value = option.as_str().or_else(|| option.get("const").and_then(Value::as_str));
        let value =
            value.filter(|value| value.len() <= MAX_QUESTION_BYTES).ok_or("its form has a choice that is no text")?;
        let title = option.get("title").or_else(|| titles?.get(at)).and_then(Value::as_str).unwrap_or(value);
        Ok(Choice { value: value.to_owned(), title: visible(title).chars().take(200).collect() })
    };
    list.iter().enumerate().map(choice).collect::<Result<_, String>>().map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(params: Value) -> Result<Question, String> {
        super::read(None, params.as_object().unwrap())
    }

    fn form(properties: Value) -> Value {
        json!({ "message": "Which?", "requestedSchema": { "type": "object", "properties": properties, "required": ["a"] } })
    }

    #[test]
    fn every_kind_of_field_is_read_and_its_answers_are_checked() {
        let question = read(form(json!({
            "a": { "type": "string", "minLength": 2, "maxLength": 3, "format": "email", "default": "xyz" },
            "b": { "type": "integer", "minimum": 0, "maximum": 9, "default": 100 },
            "c": { "type": "boolean" },
            "d": { "type": "string", "enum": ["r", "g"], "enumNames": ["Red", "Green"] },
            "e": { "type": "string", "oneOf": [{ "const": "#f00", "title": "Red" }] },
            "f": { "type": "array", "minItems": 1, "maxItems": 2, "items": { "anyOf": [{ "const": "x", "title": "X" }] } },
            "g": { "type": "number" },
        })))
        .unwrap();
        let Wants::Form { fields } = &question.wants else { panic!("{question:?}") };
        assert_eq!(fields.len(), 7);
        assert_eq!((fields[0].required, fields[0].default.clone()), (true, Some(json!("xyz"))));
        assert_eq!(fields[1].default, None, "a default that does not fit is none");
        let check = |content: Value| question.check(&Reply::Accept { content: content.as_object().unwrap().clone() });
        let right = json!({ "a": "ab", "b": 7, "c": true, "d": "r", "e": "#f00", "f": ["x"], "g": 0.5 });
        assert_eq!(check(right), Ok(()));
        for (wrong, field) in [
            (json!({}), "`a` is missing"),
            (json!({ "a": "x" }), "`a` must be a text of 2 to 3"),
            (json!({ "a": "ab", "b": 7.5 }), "`b` must be an integer, at least 0, at most 9"),
            (json!({ "a": "ab", "c": "yes" }), "`c` must be true or false"),
            (json!({ "a": "ab", "d": "blue" }), "`d` must be one of `r`, `g`"),
            (json!({ "a": "ab", "f": [] }), "`f` must be 1 to 2 of `x`"),
            (json!({ "a": "ab", "h": 1 }), "`h` is not asked for"),
        ] {
            let error = check(wrong).unwrap_err();
            assert!(error.contains(field), "{error}");
        }
        assert_eq!(question.check(&Reply::Decline), Ok(()));
    }

    #[test]
    fn the_same_question_has_the_same_key() {
        let text = form(json!({ "a": { "type": "string" } }));
        assert_eq!(read(text.clone()).unwrap().key, read(text.clone()).unwrap().key);
        assert_ne!(read(text.clone()).unwrap().key, read(form(json!({ "a": { "type": "number" } }))).unwrap().key);
        assert_eq!(super::read(Some("k"), text.as_object().unwrap()).unwrap().key, "k");
    }

    #[test]
    fn a_question_that_cannot_be_asked_is_refused() {
        let many: Map<String, Value> =
            (0..40).map(|number| (format!("f{number}"), json!({ "type": "boolean" }))).collect();
        for params in [
            json!({}),
            json!({ "message": "m" }),
            json!({ "message": "m".repeat(5_000), "requestedSchema": { "properties": {} } }),
            form(json!({ "a": { "type": "object" } })),
            form(json!({ "a": { "type": "array", "items": { "type": "object" } } })),
            form(json!({ "a": { "type": "string", "enum": [] } })),
            form(Value::Object(many)),
            json!({ "mode": "url", "message": "m", "url": "http://example.org/" }),
            json!({ "mode": "url", "message": "m", "url": "javascript:alert(1)" }),
            json!({ "mode": "url", "message": "m", "url": "https://a:b@example.org/" }),
            json!({ "mode": "telepathy", "message": "m" }),
        ] {
            assert!(read(params.clone()).is_err(), "{params}");
        }
        let visit = read(json!({ "mode": "url", "message": "m", "url": "https://example.org/x" })).unwrap();
        assert!(matches!(visit.wants, Wants::Visit { .. }));
    }
}
