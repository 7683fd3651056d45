//! Typed extraction: what strangers wrote is read by a model that has nothing but it and one question, and only values
//! come back in which nothing can be said.
//!
//! A [`Shape`] is the small part of JSON Schema whose values carry no sentences. Nothing here may ever let a text through
//! that the schema's author did not write himself or bound character by character.

mod pattern;

pub use pattern::MAX_IDENTIFIER;

use pattern::Pattern;
use serde_json::{Map, Number, Value, json};

/// Fields of one extraction.
const MAX_FIELDS: usize = 32;
/// Of these, identifiers: a few of them must not add up to a sentence.
const MAX_IDENTIFIERS: usize = 4;
/// Choices of one `enum`, and bytes of one of them.
const MAX_CHOICES: usize = 64;
const MAX_CHOICE: usize = 64;
/// Values of one list.
const MAX_ITEMS: u64 = 32;
/// Characters of a field's name, and of what is said about it.
const MAX_NAME: usize = 64;
const MAX_DESCRIPTION: usize = 500;
/// Bytes of an answer that are looked at.
const MAX_ANSWER: usize = 64 * 1024;

/// What may come back: fields by name, in the order of their names. Any of them may be null.
#[derive(Debug, Clone, PartialEq)]
pub struct Shape {
    fields: Vec<Field>,
}

#[derive(Debug, Clone, PartialEq)]
struct Field {
    name: String,
    description: Option<String>,
    kind: Kind,
}

#[derive(Debug, Clone, PartialEq)]
enum Kind {
    One(Plain),
    /// Up to `most` of them.
    List {
        of: Plain,
        most: u64,
    },
    Identifier(Pattern),
}

#[derive(Debug, Clone, PartialEq)]
enum Plain {
    Boolean,
    Integer {
        minimum: i64,
        maximum: i64,
    },
    Number {
        minimum: f64,
        maximum: f64,
    },
    Choice(Vec<String>),
    /// `2026-11-21`.
    Date,
}

impl Shape {
    /// Reads a JSON Schema object that says nothing but what values of these types are. The error is for its author.
    pub fn read(schema: &Value) -> Result<Self, String> {
        let object = schema.as_object().ok_or("`schema` must be a JSON Schema object")?;
        known_words(
            object,
            "schema",
            &["type", "properties", "required", "additionalProperties", "description", "title"],
        )?;
        if object.get("type").and_then(Value::as_str) != Some("object") {
            return Err("`schema` must be of `type: object`".into());
        }
        let properties = object.get("properties").and_then(Value::as_object).ok_or("`schema` has no `properties`")?;
        if properties.is_empty() || properties.len() > MAX_FIELDS {
            return Err(format!("`schema.properties` must have 1 to {MAX_FIELDS} fields"));
        }
        let mut fields = properties.iter().map(|(name, one)| Field::read(name, one)).collect::<Result<Vec<_>, _>>()?;
        fields.sort_by(|one, other| one.name.cmp(&other.name));
        let identifiers = fields.iter().filter(|field| matches!(field.kind, Kind::Identifier(_))).count();
        if identifiers > MAX_IDENTIFIERS {
            return Err(format!(
                "`schema` has {identifiers} fields with a `pattern`; at most {MAX_IDENTIFIERS} may have one"
            ));
        }
        Ok(Self { fields })
    }

    /// The schema in its one form, closed and with every field required, as a model is given it.
    pub fn schema(&self) -> Value {
        let properties: Map<String, Value> =
            self.fields.iter().map(|field| (field.name.clone(), field.schema())).collect();
        let names: Vec<&str> = self.fields.iter().map(|field| field.name.as_str()).collect();
        json!({"type": "object", "properties": properties, "required": names, "additionalProperties": false})
    }

    /// The values of an answer; `None` where it has anything in a field's place that the field's type does not hold.
    /// What it says besides is left where it is.
    pub fn values(&self, answer: &str) -> Option<Value> {
        if answer.len() > MAX_ANSWER {
            return None;
        }
        // A model that was not made to may put a fence or a word around it.
        let (from, to) = (answer.find('{')?, answer.rfind('}')?);
        let answer: Value = serde_json::from_str(answer.get(from..=to)?).ok()?;
        let answer = answer.as_object()?;
        let mut values = Map::with_capacity(self.fields.len());
        for field in &self.fields {
            let value = match answer.get(&field.name) {
                None | Some(Value::Null) => Value::Null,
                Some(value) => field.kind.take(value)?,
            };
            values.insert(field.name.clone(), value);
        }
        Some(Value::Object(values))
    }
}

/// Refuses a word that would not be kept: its author would rely on it.
fn known_words(object: &Map<String, Value>, place: &str, known: &[&str]) -> Result<(), String> {
    match object.keys().find(|key| !known.contains(&key.as_str())) {
        None => Ok(()),
        Some(other) => {
            let shown: String = other.chars().take(MAX_NAME).flat_map(char::escape_debug).collect();
            Err(format!("`{place}` has `{shown}`, which an extraction does not know; it knows {}", known.join(", ")))
        }
    }
}

impl Field {
    fn read(name: &str, schema: &Value) -> Result<Self, String> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        if name.is_empty() || name.len() > MAX_NAME || !name.bytes().all(plain) {
            return Err(format!("the names of `schema.properties` must be 1 to {MAX_NAME} letters, digits and `_`"));
        }
        let place = format!("schema.properties.{name}");
        let object = schema.as_object().ok_or_else(|| format!("`{place}` must be an object"))?;
        let description = match object.get("description") {
            None => None,
            Some(Value::String(text)) if text.chars().count() <= MAX_DESCRIPTION => Some(text.clone()),
            Some(_) => {
                return Err(format!("`{place}.description` must be a text of at most {MAX_DESCRIPTION} characters"));
            }
        };
        Ok(Self { name: name.to_owned(), description, kind: Kind::read(object, &place)? })
    }

    fn schema(&self) -> Value {
        let mut schema = self.kind.schema();
        if let (Some(description), Some(fields)) = (&self.description, schema.as_object_mut()) {
            fields.insert("description".into(), description.as_str().into());
        }
        schema
    }
}

impl Kind {
    fn read(object: &Map<String, Value>, place: &str) -> Result<Self, String> {
        match type_of(object, place)? {
            "array" => {
                known_words(object, place, &["type", "description", "items", "maxItems"])?;
                let most = object.get("maxItems").and_then(Value::as_u64).filter(|most| (1..=MAX_ITEMS).contains(most));
                let most = most.ok_or_else(|| format!("`{place}.maxItems` must be 1 to {MAX_ITEMS}"))?;
                let items = object.get("items").and_then(Value::as_object);
                let items = items.ok_or_else(|| format!("`{place}.items` must be an object"))?;
                Ok(Self::List { of: Plain::read(items, &format!("{place}.items"))?, most })
            }
            "string" if object.contains_key("pattern") => {
                known_words(object, place, &["type", "description", "pattern", "maxLength"])?;
                let text = object.get("pattern").and_then(Value::as_str).unwrap_or_default();
                let pattern = Pattern::read(text).map_err(|problem| format!("`{place}.pattern` {problem}"))?;
                Ok(Self::Identifier(pattern))
            }
            _ => Plain::read(object, place).map(Self::One),
        }
    }

    fn schema(&self) -> Value {
        match self {
            Self::One(plain) => plain.schema(true),
            Self::List { of, most } => json!({"type": ["array", "null"], "items": of.schema(false), "maxItems": most}),
            Self::Identifier(pattern) => json!({"type": ["string", "null"], "pattern": pattern.text()}),
        }
    }

    fn take(&self, value: &Value) -> Option<Value> {
        match self {
            Self::One(plain) => plain.take(value),
            Self::List { of, most } => {
                let values = value.as_array().filter(|values| values.len() as u64 <= *most)?;
                values.iter().map(|value| of.take(value)).collect::<Option<_>>().map(Value::Array)
            }
            Self::Identifier(pattern) => value.as_str().filter(|text| pattern.matches(text)).map(Value::from),
        }
    }
}

fn type_of<'a>(object: &'a Map<String, Value>, place: &str) -> Result<&'a str, String> {
    match object.get("type") {
        Some(Value::String(name)) => Ok(name),
        // Every field may be null.
        Some(Value::Array(names)) => {
            let mut named = names.iter().filter_map(Value::as_str).filter(|name| *name != "null");
            named.next().filter(|_| named.next().is_none()).ok_or_else(|| format!("`{place}.type` must be one type"))
        }
        _ if object.contains_key("enum") => Ok("string"),
        _ => Err(format!("`{place}` has no `type`")),
    }
}

impl Plain {
    fn read(object: &Map<String, Value>, place: &str) -> Result<Self, String> {
        match type_of(object, place)? {
            "boolean" => {
                known_words(object, place, &["type", "description"])?;
                Ok(Self::Boolean)
            }
            kind @ ("integer" | "number") => {
                known_words(object, place, &["type", "description", "minimum", "maximum"])?;
                Self::read_number(kind, object, place)
            }
            "string" if object.contains_key("enum") => {
                known_words(object, place, &["type", "description", "enum"])?;
                Self::read_choices(object, place)
            }
            "string" if object.get("format").and_then(Value::as_str) == Some("date") => {
                known_words(object, place, &["type", "description", "format"])?;
                Ok(Self::Date)
            }
            "string" => Err(format!(
                "`{place}` is free text, in which anything can be said: give it an `enum`, `format: date`, or a `pattern` of \
                 at most {MAX_IDENTIFIER} characters"
            )),
            _ => Err(format!("`{place}.type` must be boolean, integer, number, string or array (of the first four)")),
        }
    }

    fn read_number(kind: &str, object: &Map<String, Value>, place: &str) -> Result<Self, String> {
        let bounds = || format!("`{place}` needs a `minimum` and a `maximum`, the first not above the second");
        let (low, high) = object.get("minimum").zip(object.get("maximum")).ok_or_else(bounds)?;
        if kind == "integer" {
            let (minimum, maximum) = low.as_i64().zip(high.as_i64()).ok_or_else(bounds)?;
            return if minimum <= maximum { Ok(Self::Integer { minimum, maximum }) } else { Err(bounds()) };
        }
        let (minimum, maximum) = low.as_f64().zip(high.as_f64()).ok_or_else(bounds)?;
        if minimum <= maximum { Ok(Self::Number { minimum, maximum }) } else { Err(bounds()) }
    }

    fn read_choices(object: &Map<String, Value>, place: &str) -> Result<Self, String> {
        let all = object.get("enum").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let texts: Option<Vec<String>> =
            all.iter().filter(|one| !one.is_null()).map(|one| one.as_str().map(str::to_owned)).collect();
        let fine = |texts: &Vec<String>| {
            (1..=MAX_CHOICES).contains(&texts.len()) && texts.iter().all(|text| text.len() <= MAX_CHOICE)
        };
        texts
            .filter(fine)
            .map(Self::Choice)
            .ok_or_else(|| format!("`{place}.enum` must be 1 to {MAX_CHOICES} texts of at most {MAX_CHOICE} bytes"))
    }

    fn schema(&self, or_null: bool) -> Value {
        let kind = |name: &str| if or_null { json!([name, "null"]) } else { json!(name) };
        match self {
            Self::Boolean => json!({"type": kind("boolean")}),
            Self::Integer { minimum, maximum } => {
                json!({"type": kind("integer"), "minimum": minimum, "maximum": maximum})
            }
            Self::Number { minimum, maximum } => {
                json!({"type": kind("number"), "minimum": minimum, "maximum": maximum})
            }
            Self::Choice(texts) => {
                let none = or_null.then_some(Value::Null);
                let all: Vec<Value> = texts.iter().map(|text| Value::from(text.as_str())).chain(none).collect();
                json!({"type": kind("string"), "enum": all})
            }
            Self::Date => json!({"type": kind("string"), "format": "date"}),
        }
    }

    fn take(&self, value: &Value) -> Option<Value> {
        match self {
            Self::Boolean => value.as_bool().map(Value::Bool),
            Self::Integer { minimum, maximum } => {
                value.as_i64().filter(|number| (minimum..=maximum).contains(&number)).map(Value::from)
            }
            Self::Number { minimum, maximum } => {
                let number = value.as_f64().filter(|number| (minimum..=maximum).contains(&number))?;
                Number::from_f64(number).map(Value::Number)
            }
            Self::Choice(texts) => value.as_str().filter(|text| texts.iter().any(|one| one == text)).map(Value::from),
            Self::Date => value.as_str().filter(|text| is_date(text)).map(Value::from),
        }
    }
}

/// A day of the Gregorian calendar, `YYYY-MM-DD`, of the years 1000 to 2999.
fn is_date(text: &str) -> bool {
    let bytes = text.as_bytes();
    let digits = |from: usize, to: usize| {
        let part = bytes.get(from..to).filter(|part| part.iter().all(u8::is_ascii_digit))?;
        Some(part.iter().fold(0_u32, |number, digit| number * 10 + u32::from(digit - b'0')))
    };
    let (Some(year), Some(month), Some(day)) = (digits(0, 4), digits(5, 7), digits(8, 10)) else { return false };
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let last = match month {
        2 => 28 + u32::from(leap),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    };
    bytes.len() == 10
        && bytes[4] == b'-'
        && bytes[7] == b'-'
        && (1000..3000).contains(&year)
        && (1..=12).contains(&month)
        && (1..=last).contains(&day)
}

#[cfg(test)]
mod tests;
