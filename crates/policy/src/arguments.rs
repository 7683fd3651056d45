//! The arguments of a function call as rules read them: each value by its place and type.

use bailiwick_core::canonical;
use serde_json::Value;

/// Values of one call that rules are asked about.
const MAX_VALUES: usize = 2_000;

/// Every value by its place: the keys and indices on the way to it, with `/` between them (RFC 6901 without the leading
/// slash: `~1` stands for a slash in a key, `~0` for a tilde).
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Arguments {
    pub texts: Vec<(String, String)>,
    pub numbers: Vec<(String, i64)>,
    pub flags: Vec<(String, bool)>,
    /// Arrays of nothing but texts.
    pub lists: Vec<(String, Vec<String>)>,
    pub places: Vec<String>,
    /// What has no type here: null, fractions, integers beyond 64 bits.
    pub opaque: Vec<String>,
    /// A text was changed by folding.
    pub changed: bool,
}

impl Arguments {
    /// With `folded`, texts are as a system reads them that takes letters of another case or width for the same.
    pub fn read(arguments: &Value, folded: bool) -> Result<Self, String> {
        let mut read = Self::default();
        read.take(String::new(), arguments, folded)?;
        Ok(read)
    }

    fn take(&mut self, place: String, value: &Value, folded: bool) -> Result<(), String> {
        if self.places.len() >= MAX_VALUES {
            return Err(format!("the call has more than {MAX_VALUES} values; rules are not asked about more"));
        }
        if !place.is_empty() {
            self.places.push(place.clone());
        }
        match value {
            Value::Object(fields) => {
                for (key, value) in fields {
                    self.take(below(&place, &escaped(key)), value, folded)?;
                }
            }
            Value::Array(values) => {
                let texts: Option<Vec<&str>> = values.iter().map(Value::as_str).collect();
                if let Some(texts) = texts {
                    let list =
                        texts.iter().map(|text| if folded { canonical::folded(text) } else { (*text).to_owned() });
                    self.lists.push((place.clone(), list.collect()));
                }
                for (index, value) in values.iter().enumerate() {
                    self.take(below(&place, &index.to_string()), value, folded)?;
                }
            }
            Value::String(text) => {
                let spelt = if folded { canonical::folded(text) } else { text.clone() };
                self.changed |= spelt != *text;
                self.texts.push((place, spelt));
            }
            Value::Bool(flag) => self.flags.push((place, *flag)),
            Value::Number(number) => match number.as_i64() {
                Some(number) => self.numbers.push((place, number)),
                None => self.opaque.push(place),
            },
            Value::Null => self.opaque.push(place),
        }
        Ok(())
    }
}

/// The integer at a place.
pub(crate) fn integer(arguments: &Value, place: &str) -> Option<i64> {
    arguments.pointer(&format!("/{place}")).and_then(Value::as_i64)
}

fn below(place: &str, key: &str) -> String {
    if place.is_empty() { key.to_owned() } else { format!("{place}/{key}") }
}

fn escaped(key: &str) -> String {
    if key.contains(['~', '/']) { key.replace('~', "~0").replace('/', "~1") } else { key.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn every_value_has_one_place_and_one_type() {
        let call = json!({"to": ["a@x.example", "B@x.example"], "order": {"amount": 5, "a/b": true}, "rate": 1.5, "n": null,
                          "order/amount": 7});
        let read = Arguments::read(&call, false).unwrap();
        assert_eq!(read.lists, [("to".into(), vec!["a@x.example".into(), "B@x.example".into()])]);
        assert!(read.numbers.contains(&("order/amount".into(), 5)));
        assert!(read.numbers.contains(&("order~1amount".into(), 7)), "a slash in a key is no way into an object");
        assert_eq!(read.flags, [("order/a~1b".into(), true)]);
        assert_eq!(read.opaque.len(), 2);
        assert_eq!(read.texts.len(), 2);
        assert_eq!(
            (integer(&call, "order/amount"), integer(&call, "rate"), integer(&call, "to")),
            (Some(5), None, None)
        );
        assert!(!read.changed && Arguments::read(&call, true).unwrap().changed);
    }

    #[test]
    fn a_call_with_too_many_values_is_refused() {
        assert!(Arguments::read(&json!({"all": vec![0; MAX_VALUES + 1]}), false).is_err());
    }
}
