use super::*;
use proptest::prelude::*;
use serde_json::json;

fn spelt(form: Form, text: &str) -> String {
    form.spell(text).unwrap_or_else(|problem| panic!("`{text}` {problem}"))
}

#[test]
fn paths_have_one_spelling() {
    for (text, expected) in [
        ("a.txt", "/workspace/a.txt"),
        ("./a//b/../c", "/workspace/a/c"),
        ("/etc/../etc/passwd", "/etc/passwd"),
        ("//secret", "/secret"),
        ("/pub/../secret/x", "/secret/x"),
        ("../../../..", "/"),
        ("/", "/"),
        ("/e\u{301}", "/\u{e9}"),
        ("/Secret", "/Secret"),
        ("/%73ecret", "/%73ecret"),
    ] {
        assert_eq!(path(text, "/workspace").as_deref(), Ok(expected), "{text}");
    }
    for text in ["", "a\0b", "/sec\u{200b}ret", "/a\nb", "/\u{202e}x", "/a\u{feff}"] {
        assert!(path(text, "/workspace").is_err(), "{text:?}");
    }
    assert!(path(&"a/".repeat(3000), "/").is_err());
}

#[test]
fn what_looks_the_same_folds_to_the_same() {
    for text in ["/SECRET/x", "/\u{ff53}ecret/x", "/s\u{200d}ecret/X", "/\u{17f}ecret/x", "/secret/\u{ff38}"] {
        assert_eq!(folded(text), "/secret/x", "{text}");
    }
    assert_eq!(folded("E\u{301}"), folded("\u{e9}"));
}

#[test]
fn typed_values_have_one_spelling() {
    for (form, expected, spellings) in [
        (
            Form::Path,
            "/secret/x",
            vec!["/secret/x", "//secret/./x", "/pub/../secret/x", "/%73ecret/x", "/\u{ff53}ecret/x", "/secret%2Fx"],
        ),
        (Form::Path, "a/b", vec!["a/b", "./a//b", "a/c/../b", "a%2fb"]),
        (
            Form::Url,
            "https://example.com/a",
            vec![
                "https://example.com/a",
                "HTTPS://EXAMPLE.com:443/a",
                "https://example.com./a",
                "https://example.com/b/../a",
                "https://example.com/%61",
                "https://example.com/b/%2e%2e/a",
                "https://\u{ff45}xample.com/a",
                "https://ex%61mple.com/a",
            ],
        ),
        (
            Form::Url,
            "http://127.0.0.1/",
            vec!["http://127.0.0.1", "http://0x7f.1/", "http://2130706433/", "http://127.1:80/"],
        ),
        (
            Form::Host,
            "xn--bcher-kva.example",
            vec!["b\u{fc}cher.example", "BU\u{308}CHER.example.", "xn--bcher-kva.example"],
        ),
        (
            Form::Email,
            "anna@example.com",
            vec!["anna@example.com", "Anna@EXAMPLE.com", "anna@example.com.", "\u{ff41}nna@example.com"],
        ),
        (Form::Money, "1234.5 EUR", vec!["1234.5 EUR", "01234.50 eur", "\u{ff11}234.5  EUR"]),
        (Form::Money, "0", vec!["0", "-0.00", "000"]),
        (Form::Identifier, "KB-12", vec!["KB-12", " KB-12 ", "\u{ff2b}B-12"]),
    ] {
        for text in spellings {
            assert_eq!(spelt(form, text), expected, "{form:?} {text}");
        }
    }
}

#[test]
fn what_cannot_be_told_apart_is_refused() {
    for (form, texts) in [
        (Form::Path, vec!["a\\b", "/%2573ecret", "../up", "a/../../up", "/a%00b", "/%ff"]),
        (
            Form::Url,
            vec![
                "https://good.example@evil.example/",
                "javascript:alert(1)",
                "/relative",
                "https://a.example/x%2f..%2fy",
                "https://a.example/%2573",
                "https://a.example/\u{200b}",
                "https:\\\\a.example\\",
                "data:text/plain,x",
                "https://",
            ],
        ),
        (Form::Host, vec!["", "a b", "a..b", "."]),
        (
            Form::Email,
            vec![
                "anna",
                "Anna <anna@example.com>",
                "a@b@c.example",
                "\"a b\"@c.example",
                "a@[127.0.0.1]",
                "a..b@c.example",
                "a\u{200b}@c.example",
                "a@127.0.0.1",
            ],
        ),
        (Form::Money, vec!["", "1,000", "1.000,5", "1e3", "EUR 5", "5 euros", "0x10", "--1", "1."]),
        (Form::Identifier, vec!["", "  ", "a\u{200b}b", "a\nb"]),
    ] {
        for text in texts {
            assert!(form.spell(text).is_err(), "{form:?} {text:?} became {:?}", form.spell(text));
        }
    }
}

#[test]
fn arguments_are_spelt_as_their_schema_says() {
    let schema = json!({
        "type": "object",
        "properties": {
            "to": {"type": "array", "items": {"$ref": "#/$defs/address"}},
            "page": {"anyOf": [{"type": "string", "format": "uri"}, {"type": "null"}]},
            "order": {"type": "object", "properties": {"file": {"type": "string", "format": "path"}}},
            "count": {"type": "integer"},
            "text": {"type": "string"},
        },
        "additionalProperties": {"type": "string", "format": "hostname"},
        "$defs": {"address": {"type": "string", "format": "email"}},
    });
    let given = r#"{"to": ["Anna@Example.COM"], "page": "HTTP://Example.com", "order": {"file": "//a/../b", "n": 2.0},
                    "count": 5e0, "text": "As It Is\u00e9", "other": "HOST.example."}"#;
    let expected = json!({"to": ["anna@example.com"], "page": "http://example.com/", "order": {"file": "/b", "n": 2},
                          "count": 5, "text": "As It Is\u{e9}", "other": "host.example"});
    assert_eq!(arguments(given, &schema), Ok(expected));
    assert_eq!(arguments("", &json!({})), Ok(json!({})));
    let problem = arguments(r#"{"to": ["a@b.example", "nobody"]}"#, &schema).unwrap_err();
    assert!(problem.starts_with("`to/1` must be one bare address"), "{problem}");
}

#[test]
fn one_key_has_one_value() {
    let schema = json!({"properties": {"to": {}, "Cc": {}, "cc": {}}});
    for text in [
        r#"{"to": 1, "to": 2}"#,
        r#"{"x": {"a": 1, "a": 2}}"#,
        r#"{"to": 1, "To": 2}"#,
        r#"{"a": 1, "\uff41": 2}"#,
        r#"{"TO": 1}"#,
        r#"{"t\u200bo": 1}"#,
        r#"{"\uff54o": 1}"#,
        r#"{"t\u006f": 1, "to": 2}"#,
    ] {
        assert!(arguments(text, &schema).is_err(), "{text}");
    }
    assert!(arguments(r#"{"cc": 1}"#, &schema).is_ok(), "both spellings are declared");
    for text in ["[]", "1", "null", "{", "{\"a\": 1e999}"] {
        assert!(arguments(text, &schema).is_err(), "{text}");
    }
}

#[test]
fn a_schema_that_leads_into_itself_ends() {
    let schema = json!({"$ref": "#", "properties": {"next": {"$ref": "#"}}, "allOf": [{"$ref": "#"}]});
    let deep = format!("{}1{}", "{\"next\": ".repeat(100), "}".repeat(100));
    assert!(arguments(&deep, &schema).is_ok());
}

proptest! {
    /// A second round changes nothing: what policy saw is what is sent, however often it is looked at.
    #[test]
    fn what_is_canonical_stays(text in "\\PC{0,40}", path_text in "[a-zA-Z./%\\\\\u{e9}\u{301}\u{ff0f}\u{ff0e}\u{200b}5-9fF]{1,24}") {
        for text in [text, path_text] {
            for form in [Form::Path, Form::Url, Form::Host, Form::Email, Form::Money, Form::Identifier] {
                if let Ok(once) = form.spell(&text) {
                    prop_assert_eq!(form.spell(&once), Ok(once.clone()), "{:?} {:?}", form, text);
                }
            }
            if let Ok(once) = path(&text, "/workspace") {
                prop_assert_eq!(path(&once, "/"), Ok(once.clone()));
                prop_assert!(!once.split('/').any(|part| part == ".." || part == "."));
            }
        }
    }

    #[test]
    fn urls_keep_their_one_spelling(
        scheme in "(http|HTTPS|ws)", host in "[a-zA-Z0-9.\u{fc}-]{1,12}", path_text in "[a-z0-9./%ABcdef25]{0,20}",
    ) {
        let text = format!("{scheme}://{host}/{path_text}");
        if let Ok(once) = url(&text) {
            prop_assert_eq!(url(&once), Ok(once.clone()), "{}", text);
            prop_assert!(!once.contains("/../") && !once.contains("/./"));
        }
    }

    #[test]
    fn nothing_panics(text in "\\PC{0,60}") {
        let schema = json!({"properties": {"a": {"format": "path"}, "b": {"format": "email"}}});
        let _ = arguments(&text, &schema);
        let _ = arguments(&json!({"a": text, "b": text, (text.clone()): text}).to_string(), &schema);
        let _ = folded(&text);
    }
}
