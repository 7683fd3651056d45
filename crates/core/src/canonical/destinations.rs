//! Destinations: the addresses, hosts and URLs that something is sent to, in canonical form.
//!
//! An argument is one when its function's JSON Schema gives it the `format` of one. What a function reads out of its free
//! texts nobody here knows.

use super::{Form, Misspelt, Spelling, email, host, url};
use serde_json::Value;
use url::Url;

/// Bytes of one message that are searched for destinations.
const MAX_SEARCHED: usize = 64 * 1024;

/// One argument that says where something goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Destination {
    /// RFC 6901 without the leading slash: `to`, `recipients/0`.
    pub place: String,
    pub value: String,
    form: Form,
}

impl Destination {
    /// Whether it is a mail address.
    pub fn is_address(&self) -> bool {
        self.form == Form::Email
    }
}

/// Every destination among the arguments of a call, which are in canonical form already. `None` when the schema is too
/// involved to say.
pub fn destinations(arguments: &Value, schema: &Value) -> Option<Vec<Destination>> {
    let mut found = Vec::new();
    collect(Spelling { root: schema }, arguments, vec![schema], "", &mut found)?;
    Some(found)
}

fn collect<'a>(
    spelling: Spelling<'a>,
    value: &Value,
    schemas: Vec<&'a Value>,
    place: &str,
    found: &mut Vec<Destination>,
) -> Option<()> {
    let schemas = spelling.all(schemas, place).ok()?;
    let below = |key: &str| if place.is_empty() { key.to_owned() } else { format!("{place}/{key}") };
    match value {
        Value::Object(fields) => {
            for (key, value) in fields {
                let inner = schemas.iter().filter_map(|one| {
                    let named = one.get("properties").and_then(|properties| properties.get(key));
                    named.or_else(|| one.get("additionalProperties"))
                });
                let key = key.replace('~', "~0").replace('/', "~1");
                collect(spelling, value, inner.collect(), &below(&key), found)?;
            }
        }
        Value::Array(values) => {
            for (index, value) in values.iter().enumerate() {
                let inner = schemas.iter().filter_map(|one| {
                    one.get("prefixItems").and_then(|items| items.get(index)).or_else(|| one.get("items"))
                });
                collect(spelling, value, inner.collect(), &below(&index.to_string()), found)?;
            }
        }
        Value::String(text) => {
            let forms = schemas.iter().filter_map(|one| Form::named(one.get("format")?.as_str()?));
            if let Some(form) = forms.into_iter().find(|form| matches!(form, Form::Email | Form::Host | Form::Url)) {
                found.push(Destination { place: place.to_owned(), value: text.clone(), form });
            }
        }
        _ => {}
    }
    Some(())
}

/// The destinations that a text names word by word: bare addresses, hosts and URLs, each in canonical form; of a URL also
/// its host.
pub fn destinations_in(text: &str) -> impl Iterator<Item = String> + '_ {
    let end = text.char_indices().map(|(at, _)| at).find(|at| *at > MAX_SEARCHED).unwrap_or(text.len());
    let parts =
        |char: char| char.is_whitespace() || "<>()[]{}\"'`,;|\u{201c}\u{201d}\u{201e}\u{ab}\u{bb}".contains(char);
    text[..end].split(parts).flat_map(|word| named(word.trim_end_matches(['.', ':', '!', '?'])))
}

fn named(word: &str) -> Vec<String> {
    let word = word.strip_prefix("mailto:").unwrap_or(word);
    if word.contains("://") {
        let Ok(spelt) = url(word) else { return Vec::new() };
        let host = Url::parse(&spelt).ok().and_then(|url| url.host_str().map(str::to_owned));
        return host.into_iter().chain([spelt]).collect();
    }
    if word.contains('@') {
        return email(word).into_iter().collect();
    }
    let last = word.rsplit('.').next().unwrap_or_default();
    let named =
        word.contains('.') && last.len() > 1 && last.chars().all(char::is_alphabetic) && !word.contains(['/', ':']);
    if named { host(word).into_iter().collect() } else { Vec::new() }
}

/// One entry of an approved list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pin {
    /// `billing@acme.example`
    Address(String),
    /// `@acme.example`: every address there.
    Addresses(String),
    /// `acme.example`: this host, and URLs on it.
    Host(String),
    /// `*.acme.example`: every host below it, and URLs on these.
    Below(String),
}

impl Pin {
    /// The error goes after the entry.
    pub fn read(text: &str) -> Result<Self, Misspelt> {
        if let Some(domain) = text.strip_prefix('@') {
            return host(domain).map(Self::Addresses);
        }
        if let Some(domain) = text.strip_prefix("*.") {
            return host(domain).map(Self::Below);
        }
        if text.contains('@') { email(text).map(Self::Address) } else { host(text).map(Self::Host) }
    }

    pub fn holds(&self, destination: &Destination) -> bool {
        let Destination { value, form, .. } = destination;
        let host = || match form {
            Form::Host => Some(value.clone()),
            Form::Url => Url::parse(value).ok()?.host_str().map(str::to_owned),
            _ => None,
        };
        match self {
            Self::Address(address) => *form == Form::Email && value == address,
            Self::Addresses(domain) => {
                *form == Form::Email && value.rsplit_once('@').is_some_and(|(_, at)| at == domain)
            }
            Self::Host(name) => host().as_ref() == Some(name),
            Self::Below(domain) => {
                host().is_some_and(|host| host.strip_suffix(domain.as_str()).is_some_and(|rest| rest.ends_with('.')))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn typed_arguments_are_destinations_wherever_they_stand() {
        let schema = json!({"type": "object", "properties": {
            "to": {"type": "array", "items": {"$ref": "#/$defs/address"}}, "page": {"format": "uri"},
            "subject": {"type": "string"}, "smtp/host": {"format": "hostname"}, "file": {"format": "path"},
        }, "$defs": {"address": {"type": "string", "format": "email"}}});
        let call = json!({"to": ["a@x.example", "b@y.example"], "page": "https://x.example/p", "subject": "to c@z.example",
                          "smtp/host": "mail.example", "file": "a.b"});
        let mut found: Vec<(String, String)> =
            destinations(&call, &schema).unwrap().into_iter().map(|one| (one.place, one.value)).collect();
        found.sort();
        let expected = [
            ("page", "https://x.example/p"),
            ("smtp~1host", "mail.example"),
            ("to/0", "a@x.example"),
            ("to/1", "b@y.example"),
        ];
        assert_eq!(found, expected.map(|(place, value)| (place.to_owned(), value.to_owned())));
    }

    #[test]
    fn what_a_person_says_is_found_word_by_word_in_canonical_form() {
        let text = "Send it to Anna@Example.COM, (cc <bob@x.example>) and https://A.example:443/p/../q. See files.example! \
                    Not: me at home, 3.14, /etc/x.conf, a@b@c";
        let said: Vec<String> = destinations_in(text).collect();
        assert_eq!(said, ["anna@example.com", "bob@x.example", "a.example", "https://a.example/q", "files.example"]);
    }

    #[test]
    fn a_list_holds_what_it_names_and_nothing_that_ends_like_it() {
        let destination = |form, value: &str| Destination { place: "to".into(), value: value.into(), form };
        let holds = |entry: &str, form, value| Pin::read(entry).unwrap().holds(&destination(form, value));
        assert!(holds("Billing@Acme.example", Form::Email, "billing@acme.example"));
        assert!(holds("@acme.example", Form::Email, "x@acme.example"));
        assert!(!holds("@acme.example", Form::Email, "x@evil-acme.example"));
        assert!(!holds("@acme.example", Form::Email, "x@a.acme.example"));
        assert!(!holds("acme.example", Form::Email, "x@acme.example"), "a host is not its addresses");
        assert!(
            holds("acme.example", Form::Host, "acme.example")
                && holds("acme.example", Form::Url, "https://acme.example/x")
        );
        assert!(!holds("acme.example", Form::Url, "https://acme.example.evil.example/"));
        assert!(holds("*.acme.example", Form::Url, "https://a.b.acme.example/"));
        assert!(!holds("*.acme.example", Form::Host, "evilacme.example"));
        assert!(!holds("*.acme.example", Form::Host, "acme.example"));
        for wrong in ["", "@", "*.", "a b", "a@b@c", "https://x.example/"] {
            assert!(Pin::read(wrong).is_err(), "{wrong}");
        }
    }
}
