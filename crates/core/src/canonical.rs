//! One spelling for what has many: paths, URLs, hosts, addresses, amounts, identifiers, and the JSON around them.
//!
//! A rule compares texts; whoever can spell the same thing in another way walks past it. So what a model says is brought
//! into one form, or refused, before anything is decided, and exactly that form is what the digest is made over, what
//! policy sees and what is sent. Which arguments of a function are paths, URLs and so on is what its own JSON Schema says
//! with `format`.

mod destinations;

pub use destinations::{Destination, Pin, destinations, destinations_in};

use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};
use std::fmt;
use unicode_normalization::UnicodeNormalization;
use url::{Host, Url};

/// Longest path in bytes (PATH_MAX on Linux).
const MAX_PATH: usize = 4096;
/// Longest URL.
const MAX_URL: usize = 8192;
/// Longest address (RFC 5321, section 4.5.3.1.3) and its part before the `@` (4.5.3.1.1).
const MAX_EMAIL: usize = 254;
const MAX_LOCAL: usize = 64;
const MAX_IDENTIFIER: usize = 512;
/// Schemas that may speak about one value.
const MAX_SCHEMAS: usize = 256;

/// What is wrong with a spelling, for whoever has to write it again. It goes after the name of the field.
pub type Misspelt = String;

/// An absolute path: NFC, without dot segments or doubled slashes; `..` never climbs above the root. A relative one is
/// below `base`. What is a letter of another case or width stays one, because to the system it is another file.
pub fn path(text: &str, base: &str) -> Result<String, Misspelt> {
    if text.is_empty() || text.len() > MAX_PATH {
        return Err(format!("must have 1 to {MAX_PATH} bytes"));
    }
    if let Some(hidden) = text.chars().find(|char| char.is_control() || is_hidden(*char)) {
        return Err(format!("must not hold the invisible character U+{:04X}", u32::from(hidden)));
    }
    let whole = if text.starts_with('/') { text.to_owned() } else { format!("{base}/{text}") };
    let whole: String = if whole.is_ascii() { whole } else { whole.nfc().collect() };
    let mut parts: Vec<&str> = Vec::new();
    for part in whole.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            name => parts.push(name),
        }
    }
    let path = format!("/{}", parts.join("/"));
    if path.len() > MAX_PATH { Err(format!("must have 1 to {MAX_PATH} bytes")) } else { Ok(path) }
}

/// How a system reads a text that takes letters of another case or width for the same and does not see what is
/// invisible: NFKC, lower case, nothing that has no width.
pub fn folded(text: &str) -> String {
    if text.is_ascii() {
        return text.to_ascii_lowercase();
    }
    let fold = |text: &str| -> String {
        let visible: String = text.nfkc().filter(|char| !is_ignorable(*char)).collect();
        visible.to_lowercase().nfkc().collect()
    };
    // Lowering can make something that composes; a second round changes nothing that a third would.
    fold(&fold(text))
}

/// Controls of direction, and spaces without a width that no file's name needs.
fn is_hidden(char: char) -> bool {
    matches!(char, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}')
}

/// What a reader does not see (Unicode's Default_Ignorable_Code_Point, and controls of layout).
fn is_ignorable(char: char) -> bool {
    is_hidden(char)
        || matches!(char, '\u{34f}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}'
            | '\u{200c}' | '\u{200d}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{ffa0}')
}

/// A value whose spelling is known by its type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Path,
    Url,
    Host,
    Email,
    Money,
    Identifier,
}

impl Form {
    /// By the name that a JSON Schema has for it in `format`.
    fn named(format: &str) -> Option<Self> {
        match format {
            "path" | "file-path" => Some(Self::Path),
            "uri" | "url" | "iri" => Some(Self::Url),
            "hostname" | "idn-hostname" | "host" => Some(Self::Host),
            "email" | "idn-email" => Some(Self::Email),
            "money" | "decimal" => Some(Self::Money),
            "identifier" | "uuid" => Some(Self::Identifier),
            _ => None,
        }
    }

    fn spell(self, text: &str) -> Result<String, Misspelt> {
        match self {
            Self::Path => sent_path(text),
            Self::Url => url(text),
            Self::Host => host(text),
            Self::Email => email(text),
            Self::Money => money(text),
            Self::Identifier => identifier(text),
        }
    }
}

/// A path that somebody else's system will read: it may decode percents, take a backslash for a slash and a full-width
/// letter for a narrow one, so that none of these may be left in it.
fn sent_path(text: &str) -> Result<String, Misspelt> {
    if text.contains('\\') {
        return Err("must have `/` between its parts, not `\\`".into());
    }
    let decoded = percent_decoded(text)?;
    let narrow: String = decoded.nfkc().collect();
    if narrow.contains(['%', '\\']) {
        return Err("must not hold `%` or `\\`: write the path as it is".into());
    }
    let relative = !narrow.starts_with('/');
    let spelt = path(&narrow, "/")?;
    // What was relative stays so: only its receiver knows to what.
    let climbs = relative
        && narrow
            .split('/')
            .scan(0_i32, |depth, part| {
                *depth += match part {
                    "" | "." => 0,
                    ".." => -1,
                    _ => 1,
                };
                Some(*depth)
            })
            .any(|depth| depth < 0);
    match (relative, climbs) {
        (true, true) => Err("must not climb above where it begins".into()),
        (true, false) => Ok(if spelt == "/" { ".".into() } else { spelt[1..].to_owned() }),
        (false, _) => Ok(spelt),
    }
}

/// Decodes percents once; what still holds one afterwards was encoded twice.
fn percent_decoded(text: &str) -> Result<String, Misspelt> {
    if !text.contains('%') {
        return Ok(text.to_owned());
    }
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let hex = |at: usize| bytes.get(at).and_then(|byte| char::from(*byte).to_digit(16));
        match (bytes[at], hex(at + 1), hex(at + 2)) {
            (b'%', Some(high), Some(low)) => {
                decoded.push((high * 16 + low) as u8);
                at += 3;
            }
            (byte, ..) => {
                decoded.push(byte);
                at += 1;
            }
        }
    }
    String::from_utf8(decoded).map_err(|_| "must be UTF-8 behind its percents".into())
}

/// WHATWG URL, which is how clients read one: scheme and host in lower case, no default port, no dot segments, IPv4
/// addresses in their one form, hosts in ASCII. Beyond that: escapes of what needs none are undone, no user in it, and
/// only schemes whose URLs have a host.
fn url(text: &str) -> Result<String, Misspelt> {
    if text.len() > MAX_URL {
        return Err(format!("must have at most {MAX_URL} bytes"));
    }
    if text.chars().any(|char| char.is_control() || char.is_whitespace() || is_ignorable(char)) {
        return Err("must not hold spaces or invisible characters".into());
    }
    let mut url = Url::parse(text).map_err(|error| format!("must be an absolute URL: {error}"))?;
    if !matches!(url.scheme(), "http" | "https" | "ws" | "wss" | "ftp") {
        return Err("must begin with https://, http://, wss://, ws:// or ftp://".into());
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("must not hold a user or a password: what stands before `@` looks like a host".into());
    }
    if text.contains('\\') {
        return Err("must have `/` between its parts, not `\\`".into());
    }
    if let Some(Host::Domain(domain)) = url.host() {
        let spelt = host(domain)?;
        url.set_host(Some(&spelt)).map_err(|error| format!("must have a host: {error}"))?;
    }
    // Undoing escapes can make dot segments, which parsing removes.
    for _ in 0..4 {
        let undone = unescaped(url.as_str());
        if undone == url.as_str() {
            break;
        }
        url = Url::parse(&undone).map_err(|error| format!("must be an absolute URL: {error}"))?;
    }
    if url.path().to_ascii_lowercase().contains("%2f") || url.path().to_ascii_lowercase().contains("%5c") {
        return Err("must not hide a slash behind a percent in its path".into());
    }
    if url.path().to_ascii_lowercase().contains("%25") {
        return Err("must not be encoded twice".into());
    }
    Ok(url.into())
}

/// A URL in canonical form, and its host as it is looked up.
pub fn server(text: &str) -> Result<(String, String), Misspelt> {
    let url = url(text)?;
    let host = Url::parse(&url).ok().and_then(|url| url.host_str().map(str::to_owned));
    host.map(|host| (url, host)).ok_or_else(|| "must have a host".to_owned())
}

/// Escapes of unreserved characters undone, the others in capitals (RFC 3986, section 6.2.2).
fn unescaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('%') {
        out.push_str(&rest[..at]);
        let code = rest.get(at + 1..at + 3).and_then(|hex| u8::from_str_radix(hex, 16).ok());
        match code {
            Some(code) if code.is_ascii_alphanumeric() || matches!(code, b'-' | b'.' | b'_' | b'~') => {
                out.push(char::from(code));
                rest = &rest[at + 3..];
            }
            Some(code) => {
                out.push_str(&format!("%{code:02X}"));
                rest = &rest[at + 3..];
            }
            None => {
                out.push('%');
                rest = &rest[at + 1..];
            }
        }
    }
    out.push_str(rest);
    out
}

/// A host as it is looked up: ASCII (UTS 46), lower case, without the dot of the root; an IPv4 address in its one form.
pub fn host(text: &str) -> Result<String, Misspelt> {
    let host = Host::parse(text).map_err(|error| format!("must be the name or address of a host: {error}"))?;
    let spelt = match host {
        Host::Domain(domain) => domain.strip_suffix('.').unwrap_or(&domain).to_owned(),
        address => address.to_string(),
    };
    if spelt.is_empty() || spelt.starts_with('.') || spelt.ends_with('.') || spelt.contains("..") {
        return Err("must be the name or address of a host".into());
    }
    Ok(spelt)
}

/// One bare address in lower case, its domain as a host. No name around it, no quotes, no comment.
pub fn email(text: &str) -> Result<String, Misspelt> {
    let wrong = || "must be one bare address, such as `anna@example.com`".to_owned();
    let text: String = text.nfkc().collect();
    let (local, domain) = text.split_once('@').ok_or_else(wrong)?;
    let fine = |char: char| (char.is_alphanumeric() && !is_ignorable(char)) || "!#$%&'*+-/=?^_`{|}~.".contains(char);
    if local.is_empty() || local.len() > MAX_LOCAL || !local.chars().all(fine) || domain.starts_with('[') {
        return Err(wrong());
    }
    if local.starts_with('.') || local.ends_with('.') || local.contains("..") {
        return Err(wrong());
    }
    let domain = match Host::parse(domain) {
        Ok(Host::Domain(_)) => host(domain)?,
        _ => return Err(wrong()),
    };
    let spelt = format!("{}@{domain}", local.to_lowercase().nfc().collect::<String>());
    if spelt.len() > MAX_EMAIL { Err(wrong()) } else { Ok(spelt) }
}

/// A decimal number without grouping or padding, and a currency code behind it when there was one: `1234.5 EUR`.
fn money(text: &str) -> Result<String, Misspelt> {
    let wrong =
        || "must be an amount such as `1234.50`, or `1234.50 EUR`: no grouping, a dot for the fraction".to_owned();
    let text: String = text.nfkc().collect();
    let mut words = text.split_whitespace();
    let (amount, code) = (words.next().ok_or_else(wrong)?, words.next());
    if words.next().is_some() {
        return Err(wrong());
    }
    let (sign, digits) = amount.strip_prefix('-').map_or(("", amount), |digits| ("-", digits));
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
    let number = |part: &str| (1..=18).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit());
    if !number(whole) || !number(fraction) {
        return Err(wrong());
    }
    let whole = whole.trim_start_matches('0');
    let whole = if whole.is_empty() { "0" } else { whole };
    let fraction = fraction.trim_end_matches('0');
    let sign = if whole == "0" && fraction.is_empty() { "" } else { sign };
    let amount = if fraction.is_empty() { format!("{sign}{whole}") } else { format!("{sign}{whole}.{fraction}") };
    match code {
        None => Ok(amount),
        Some(code) if code.len() == 3 && code.bytes().all(|byte| byte.is_ascii_alphabetic()) => {
            Ok(format!("{amount} {}", code.to_ascii_uppercase()))
        }
        Some(_) => Err(wrong()),
    }
}

/// A name that a machine compares: NFKC, nothing invisible, no space around it. Its case stays, because it may matter.
fn identifier(text: &str) -> Result<String, Misspelt> {
    let spelt: String = text.nfkc().collect();
    let spelt = spelt.trim();
    if spelt.is_empty() || spelt.len() > MAX_IDENTIFIER {
        return Err(format!("must have 1 to {MAX_IDENTIFIER} bytes"));
    }
    if spelt.chars().any(|char| char.is_control() || is_ignorable(char)) {
        return Err("must not hold invisible characters".into());
    }
    Ok(spelt.to_owned())
}

/// The arguments of a function in canonical form: a JSON object in which no key comes twice in any spelling, whole
/// numbers are integers, and every text has the one spelling of the `format` that the schema gives it. The error is for
/// the model, and names the place.
pub fn arguments(text: &str, schema: &Value) -> Result<Value, String> {
    let text = if text.trim().is_empty() { "{}" } else { text };
    let Strict(value) = serde_json::from_str(text).map_err(|error| format!("The arguments do not fit: {error}."))?;
    if !value.is_object() {
        return Err("The arguments must be a JSON object.".into());
    }
    let spelling = Spelling { root: schema };
    spelling.spell(value, vec![schema], "").map_err(|(place, problem)| match place.as_str() {
        "" => format!("The arguments {problem}."),
        place => format!("`{}` {problem}.", place.trim_start_matches('/')),
    })
}

/// The schema that references lead into.
#[derive(Clone, Copy)]
struct Spelling<'a> {
    root: &'a Value,
}

type Misplaced = (String, Misspelt);

impl<'a> Spelling<'a> {
    /// Every schema that speaks about the same value: what these refer to and are combined of, each once.
    fn all(self, mut all: Vec<&'a Value>, place: &str) -> Result<Vec<&'a Value>, Misplaced> {
        let mut at = 0;
        while at < all.len() {
            let one = all[at];
            let reference = one.get("$ref").and_then(Value::as_str).and_then(|reference| reference.strip_prefix('#'));
            let combined =
                ["allOf", "anyOf", "oneOf"].into_iter().filter_map(|name| one.get(name)?.as_array()).flatten();
            let conditional = ["if", "then", "else"].into_iter().filter_map(|name| one.get(name));
            let referred = reference.and_then(|pointer| self.root.pointer(pointer));
            for more in referred.into_iter().chain(combined).chain(conditional) {
                if !all.iter().any(|known| std::ptr::eq(*known, more)) {
                    all.push(more);
                }
            }
            if all.len() > MAX_SCHEMAS {
                return Err((place.to_owned(), "has too involved a schema".into()));
            }
            at += 1;
        }
        Ok(all)
    }

    /// Recursion ends with the value, which came from JSON of bounded depth.
    fn spell(self, value: Value, schemas: Vec<&'a Value>, place: &str) -> Result<Value, Misplaced> {
        let schemas = self.all(schemas, place)?;
        match value {
            Value::Object(fields) => self.object(&schemas, fields, place),
            Value::Array(values) => {
                let spelt = values.into_iter().enumerate().map(|(index, value)| {
                    let below = schemas.iter().filter_map(|one| {
                        one.get("prefixItems").and_then(|items| items.get(index)).or_else(|| one.get("items"))
                    });
                    self.spell(value, below.collect(), &format!("{place}/{index}"))
                });
                spelt.collect::<Result<_, _>>().map(Value::Array)
            }
            Value::String(mut text) => {
                let form = |one: &&Value| one.get("format").and_then(Value::as_str).and_then(Form::named);
                for form in schemas.iter().filter_map(form) {
                    text = form.spell(&text).map_err(|problem| (place.to_owned(), problem))?;
                }
                Ok(Value::String(text))
            }
            Value::Number(number) => Ok(Value::Number(whole(number))),
            other => Ok(other),
        }
    }

    fn object(self, schemas: &[&'a Value], fields: Map<String, Value>, place: &str) -> Result<Value, Misplaced> {
        check_keys(schemas, &fields).map_err(|problem| (place.to_owned(), problem))?;
        let mut spelt = Map::with_capacity(fields.len());
        for (key, value) in fields {
            let below = schemas.iter().filter_map(|one| {
                let named = one.get("properties").and_then(|properties| properties.get(&key));
                named.or_else(|| one.get("additionalProperties"))
            });
            let value = self.spell(value, below.collect(), &format!("{place}/{}", shown(&key)))?;
            spelt.insert(key, value);
        }
        Ok(Value::Object(spelt))
    }
}

/// No key in two spellings, and no known name in another than its own: a receiver that does not mind the case would
/// take it, and a rule would not see it.
fn check_keys(schemas: &[&Value], fields: &Map<String, Value>) -> Result<(), Misspelt> {
    let mut seen: Vec<(String, &str)> = fields.keys().map(|key| (folded(key), key.as_str())).collect();
    seen.sort_unstable();
    if let Some(pair) = seen.windows(2).find(|pair| pair[0].0 == pair[1].0) {
        return Err(format!("must not hold both `{}` and `{}`", shown(pair[0].1), shown(pair[1].1)));
    }
    let known = schemas.iter().filter_map(|one| one.get("properties")?.as_object()).flat_map(Map::keys);
    for name in known {
        let same = folded(name);
        let Ok(at) = seen.binary_search_by(|(key, _)| key.as_str().cmp(&same)) else { continue };
        if seen[at].1 != name && !schemas.iter().any(|one| declares(one, seen[at].1)) {
            return Err(format!("must spell `{}` as `{}`", shown(seen[at].1), shown(name)));
        }
    }
    Ok(())
}

fn declares(schema: &Value, name: &str) -> bool {
    schema.get("properties").is_some_and(|properties| properties.get(name).is_some())
}

/// `5.0` and `5e0` are 5. Beyond 2^53 a fraction's digits are no longer what was written.
fn whole(number: Number) -> Number {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    match number.as_f64() {
        Some(value) if number.is_f64() && value.fract() == 0.0 && value.abs() <= EXACT => Number::from(value as i64),
        _ => number,
    }
}

fn shown(text: &str) -> String {
    text.chars().take(64).flat_map(char::escape_debug).collect()
}

/// JSON in which a key that comes twice is an error: one reader takes the first, another the last.
struct Strict(Value);

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;
        impl<'de> Visitor<'de> for Any {
            type Value = Value;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("JSON")
            }

            fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
                Ok(value.into())
            }

            fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
                Ok(value.into())
            }

            fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
                Ok(value.into())
            }

            fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Value, E> {
                Number::from_f64(value)
                    .map(Value::Number)
                    .ok_or_else(|| E::custom("a number beyond what JSON can hold"))
            }

            fn visit_str<E>(self, value: &str) -> Result<Value, E> {
                Ok(value.into())
            }

            fn visit_string<E>(self, value: String) -> Result<Value, E> {
                Ok(value.into())
            }

            fn visit_unit<E>(self) -> Result<Value, E> {
                Ok(Value::Null)
            }

            fn visit_none<E>(self) -> Result<Value, E> {
                Ok(Value::Null)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
                let mut values = Vec::new();
                while let Some(Strict(value)) = seq.next_element()? {
                    values.push(value);
                }
                Ok(Value::Array(values))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
                let mut fields = Map::new();
                while let Some(key) = map.next_key::<String>()? {
                    let Strict(value) = map.next_value()?;
                    if fields.contains_key(&key) {
                        return Err(A::Error::custom(format!("the key `{}` comes twice", shown(&key))));
                    }
                    fields.insert(key, value);
                }
                Ok(Value::Object(fields))
            }
        }
        deserializer.deserialize_any(Any).map(Strict)
    }
}

#[cfg(test)]
mod tests;
