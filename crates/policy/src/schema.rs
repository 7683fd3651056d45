//! JSON Schema: whether a function's arguments are what its parameters say.
//!
//! References to other documents are never fetched: a schema that needs one cannot be used.

use jsonschema::Validator;
use serde_json::Value;
use std::{
    collections::HashMap,
    sync::{Arc, LazyLock, PoisonError, RwLock},
};

/// Compiled schemas that are kept: compiling one takes far longer than a decision may.
const MAX_COMPILED: usize = 4096;
/// Longest schema that is kept compiled, counted in values.
const MAX_VALUES: usize = 2000;

/// Most complaints about one call that the model is told.
const MAX_COMPLAINTS: usize = 5;

/// Refuses parameters that are not a JSON Schema that can be used here.
pub(crate) fn check(schema: &Value) -> Result<(), String> {
    jsonschema::validator_for(schema).map(drop).map_err(|error| error.to_string())
}

/// Says where the arguments do not fit.
pub(crate) fn must_match(schema: &Value, arguments: &Value) -> Result<(), String> {
    let validator =
        compiled(schema).map_err(|error| format!("the function's parameters are not a usable JSON Schema: {error}"))?;
    let complaints: Vec<String> = validator
        .iter_errors(arguments)
        .take(MAX_COMPLAINTS)
        .map(|error| match error.instance_path().as_str() {
            "" => error.to_string(),
            place => format!("{place}: {error}"),
        })
        .collect();
    if complaints.is_empty() { Ok(()) } else { Err(complaints.join("; ")) }
}

/// The validator of a schema. What is kept is a function of the schema alone, so that forgetting it changes nothing.
fn compiled(schema: &Value) -> Result<Arc<Validator>, String> {
    static KNOWN: LazyLock<RwLock<HashMap<Value, Arc<Validator>>>> = LazyLock::new(RwLock::default);
    if let Some(known) = KNOWN.read().unwrap_or_else(PoisonError::into_inner).get(schema) {
        return Ok(Arc::clone(known));
    }
    let made = Arc::new(jsonschema::validator_for(schema).map_err(|error| error.to_string())?);
    if values(schema) <= MAX_VALUES {
        let mut known = KNOWN.write().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MAX_COMPILED {
            known.clear();
        }
        known.insert(schema.clone(), Arc::clone(&made));
    }
    Ok(made)
}

fn values(schema: &Value) -> usize {
    match schema {
        Value::Array(all) => 1 + all.iter().map(values).sum::<usize>(),
        Value::Object(all) => 1 + all.values().map(values).sum::<usize>(),
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_schema_that_points_elsewhere_is_refused_when_it_is_written() {
        assert_eq!(check(&json!({"type": "object"})), Ok(()));
        assert!(check(&json!({"$ref": "http://elsewhere.example/schema.json"})).is_err());
        assert!(check(&json!({"type": "no such type"})).is_err());
    }

    #[test]
    fn arguments_must_fit_the_schema_and_the_complaint_says_where_they_do_not() {
        let schema = json!({"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"],
                            "additionalProperties": false});
        assert_eq!(must_match(&schema, &json!({"n": 1})), Ok(()));
        let complaint = must_match(&schema, &json!({"n": "one"})).unwrap_err();
        assert!(complaint.contains("/n"), "{complaint}");
        assert!(must_match(&schema, &json!({})).is_err());
        assert!(must_match(&schema, &json!({"n": 1, "m": 2})).is_err());
    }
}
