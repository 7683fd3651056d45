//! JSON Schema: whether a function's arguments are what its parameters say.
//!
//! References to other documents are never fetched: a schema that needs one cannot be used.

use serde_json::Value;

/// Most complaints about one call that the model is told.
const MAX_COMPLAINTS: usize = 5;

/// Refuses parameters that are not a JSON Schema that can be used here.
pub(crate) fn check(schema: &Value) -> Result<(), String> {
    jsonschema::validator_for(schema).map(drop).map_err(|error| error.to_string())
}

/// Says where the arguments do not fit.
pub(crate) fn must_match(schema: &Value, arguments: &Value) -> Result<(), String> {
    let validator = jsonschema::validator_for(schema)
        .map_err(|error| format!("the function's parameters are not a usable JSON Schema: {error}"))?;
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
