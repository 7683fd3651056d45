//! Values of parameters as they stand in a URL or a header (OpenAPI 3.1, "Style Values"; RFC 6570).

use crate::document::{Parameter, Style};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Map, Value};

/// Everything but what RFC 3986 calls unreserved.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
/// What a literal part of a path must not hold as it is.
const LITERAL: &AsciiSet =
    &percent_encoding::CONTROLS.add(b' ').add(b'"').add(b'<').add(b'>').add(b'`').add(b'{').add(b'}');
/// How deep an object goes into a query.
const MAX_DEPTH: usize = 6;

pub(crate) fn percent(text: &str) -> String {
    utf8_percent_encode(text, RESERVED).to_string()
}

pub(crate) fn literal(text: &str) -> String {
    utf8_percent_encode(text, LITERAL).to_string()
}

/// A part of a path. What could lead to another place than the path says is refused, in whatever way a server reads it.
pub(crate) fn path_value(parameter: &Parameter, value: &Value) -> Result<String, String> {
    let texts = all_texts(value);
    if texts.iter().all(String::is_empty) {
        return Err("must not be empty, because it is a part of the path".into());
    }
    for text in &texts {
        if text.chars().any(char::is_control) || text.split(['/', '\\']).any(|part| matches!(part, "." | "..")) {
            return Err("must not hold `.` or `..` as a part of a path, or control characters".into());
        }
    }
    let name = &parameter.name;
    Ok(match (parameter.style, value) {
        (Style::Json, value) => percent(&value.to_string()),
        (Style::Label, Value::Array(values)) => {
            format!(".{}", joined(values, if parameter.explode { "." } else { "," }))
        }
        (Style::Label, Value::Object(fields)) if parameter.explode => format!(".{}", pairs(fields, "=", ".")),
        (Style::Label, Value::Object(fields)) => format!(".{}", pairs(fields, ",", ",")),
        (Style::Label, value) => format!(".{}", percent(&text(value))),
        (Style::Matrix, Value::Array(values)) if parameter.explode => {
            values.iter().map(|value| format!(";{}={}", percent(name), percent(&text(value)))).collect()
        }
        (Style::Matrix, Value::Array(values)) => format!(";{}={}", percent(name), joined(values, ",")),
        (Style::Matrix, Value::Object(fields)) if parameter.explode => format!(";{}", pairs(fields, "=", ";")),
        (Style::Matrix, Value::Object(fields)) => format!(";{}={}", percent(name), pairs(fields, ",", ",")),
        (Style::Matrix, value) => format!(";{}={}", percent(name), percent(&text(value))),
        (_, Value::Array(values)) => joined(values, ","),
        (_, Value::Object(fields)) if parameter.explode => pairs(fields, "=", ","),
        (_, Value::Object(fields)) => pairs(fields, ",", ","),
        (_, value) => percent(&text(value)),
    })
}

/// Parts of a query, each `name=value`, encoded.
pub(crate) fn query_parts(parameter: &Parameter, value: &Value) -> Vec<String> {
    let name = percent(&parameter.name);
    let part = |value: &str| format!("{name}={value}");
    let separator = match parameter.style {
        Style::Spaces => "%20",
        Style::Pipes => "%7C",
        _ => ",",
    };
    match (parameter.style, value) {
        (Style::Json, value) => vec![part(&percent(&value.to_string()))],
        (_, Value::Array(values)) if parameter.explode => {
            values.iter().map(|value| part(&percent(&text(value)))).collect()
        }
        (_, Value::Array(values)) if values.is_empty() => Vec::new(),
        (_, Value::Array(values)) => vec![part(&joined(values, separator))],
        (Style::Deep, Value::Object(fields)) => {
            let mut parts = Vec::new();
            deep(&parameter.name, fields, MAX_DEPTH, &mut parts);
            parts
        }
        (_, Value::Object(fields)) if parameter.explode => in_order(fields)
            .into_iter()
            .map(|(name, value)| format!("{}={}", percent(name), percent(&text(value))))
            .collect(),
        (_, Value::Object(fields)) if fields.is_empty() => Vec::new(),
        (_, Value::Object(fields)) => vec![part(&pairs(fields, separator, separator))],
        (_, value) => vec![part(&percent(&text(value)))],
    }
}

/// `filter[name]=value`, as far as the convention goes.
fn deep(prefix: &str, fields: &Map<String, Value>, depth: usize, parts: &mut Vec<String>) {
    for (name, value) in in_order(fields) {
        let name = format!("{prefix}[{name}]");
        match value {
            Value::Object(fields) if depth > 1 => deep(&name, fields, depth - 1, parts),
            Value::Array(values) => {
                parts.extend(values.iter().map(|value| format!("{}={}", percent(&name), percent(&text(value)))));
            }
            value => parts.push(format!("{}={}", percent(&name), percent(&text(value)))),
        }
    }
}

/// A header's value (style `simple`, not encoded).
pub(crate) fn header_value(parameter: &Parameter, value: &Value) -> String {
    match (parameter.style, value) {
        (Style::Json, value) => value.to_string(),
        (_, Value::Array(values)) => values.iter().map(text).collect::<Vec<_>>().join(","),
        (_, Value::Object(fields)) => {
            let between = if parameter.explode { "=" } else { "," };
            let pairs: Vec<String> =
                in_order(fields).into_iter().map(|(name, value)| format!("{name}{between}{}", text(value))).collect();
            pairs.join(",")
        }
        (_, value) => text(value),
    }
}

/// A value as a text; what is no text, number or flag as JSON.
pub(crate) fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

/// Keys in order: that of the arguments is not the same in every build.
pub(crate) fn in_order(fields: &Map<String, Value>) -> Vec<(&String, &Value)> {
    let mut all: Vec<_> = fields.iter().collect();
    all.sort_unstable_by_key(|(name, _)| *name);
    all
}

fn joined(values: &[Value], separator: &str) -> String {
    values.iter().map(|value| percent(&text(value))).collect::<Vec<_>>().join(separator)
}

fn pairs(fields: &Map<String, Value>, between: &str, separator: &str) -> String {
    let pair = |(name, value): (&String, &Value)| format!("{}{between}{}", percent(name), percent(&text(value)));
    in_order(fields).into_iter().map(pair).collect::<Vec<_>>().join(separator)
}

fn all_texts(value: &Value) -> Vec<String> {
    match value {
        Value::Array(values) => values.iter().map(text).collect(),
        Value::Object(fields) => fields.iter().flat_map(|(name, value)| [name.clone(), text(value)]).collect(),
        value => vec![text(value)],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::Place;
    use serde_json::json;

    fn parameter(place: Place, style: Style, explode: bool) -> Parameter {
        Parameter { argument: "color".into(), name: "color".into(), place, style, explode, required: false }
    }

    /// The table of OpenAPI 3.1.1, "Style Examples".
    #[test]
    fn every_style_is_written_as_the_specification_shows() {
        let (array, object) = (json!(["blue", "black"]), json!({"R": 100, "G": 200}));
        let path = |style, explode, value: &Value| path_value(&parameter(Place::Path, style, explode), value).unwrap();
        assert_eq!(path(Style::Matrix, false, &json!("blue")), ";color=blue");
        assert_eq!(path(Style::Matrix, false, &array), ";color=blue,black");
        assert_eq!(path(Style::Matrix, true, &array), ";color=blue;color=black");
        assert_eq!(path(Style::Matrix, false, &object), ";color=G,200,R,100");
        assert_eq!(path(Style::Matrix, true, &object), ";G=200;R=100");
        assert_eq!(path(Style::Label, false, &json!("blue")), ".blue");
        assert_eq!(path(Style::Label, true, &array), ".blue.black");
        assert_eq!(path(Style::Label, true, &object), ".G=200.R=100");
        assert_eq!(path(Style::Simple, false, &array), "blue,black");
        assert_eq!(path(Style::Simple, false, &object), "G,200,R,100");
        assert_eq!(path(Style::Simple, true, &object), "G=200,R=100");
        let query =
            |style, explode, value: &Value| query_parts(&parameter(Place::Query, style, explode), value).join("&");
        assert_eq!(query(Style::Form, true, &json!("a b&c=d")), "color=a%20b%26c%3Dd");
        assert_eq!(query(Style::Form, false, &array), "color=blue,black");
        assert_eq!(query(Style::Form, true, &array), "color=blue&color=black");
        assert_eq!(query(Style::Form, false, &object), "color=G,200,R,100");
        assert_eq!(query(Style::Form, true, &object), "G=200&R=100");
        assert_eq!(query(Style::Spaces, false, &array), "color=blue%20black");
        assert_eq!(query(Style::Pipes, false, &array), "color=blue%7Cblack");
        assert_eq!(query(Style::Deep, true, &object), "color%5BG%5D=200&color%5BR%5D=100");
        assert_eq!(query(Style::Json, false, &json!({"G": 200})), "color=%7B%22G%22%3A200%7D");
        assert_eq!(query(Style::Form, true, &json!([])), "");
        assert_eq!(header_value(&parameter(Place::Header, Style::Simple, true), &object), "G=200,R=100");
    }

    #[test]
    fn a_part_of_a_path_stays_one() {
        let path = |value: Value| path_value(&parameter(Place::Path, Style::Simple, false), &value);
        assert_eq!(path(json!("a/b?c#d%2e")).unwrap(), "a%2Fb%3Fc%23d%252e");
        for wrong in [
            json!(""),
            json!(".."),
            json!("."),
            json!("a/../b"),
            json!("..\\x"),
            json!("a\r\nb"),
            json!(null),
            json!([".."]),
            json!([]),
        ] {
            assert!(path(wrong.clone()).is_err(), "{wrong}");
        }
    }
}
