//! Query parameters: known ones only, each at most once, within bounds.

use crate::error::ApiError;
use bailiwick_ports::store::Page as StorePage;
use std::str::FromStr;

/// Longest query string.
const MAX_QUERY: usize = 16 * 1024;

pub(crate) struct Query {
    pairs: Vec<(String, String)>,
}

impl Query {
    pub fn parse(raw: &str) -> Result<Self, ApiError> {
        if raw.len() > MAX_QUERY {
            return Err(ApiError::malformed(format!("The query is longer than {MAX_QUERY} bytes.")));
        }
        let mut pairs: Vec<(String, String)> = Vec::new();
        for (name, value) in form_urlencoded::parse(raw.as_bytes()) {
            // `name[]` is a list, as the official SDK writes one.
            if !name.ends_with("[]") && pairs.iter().any(|(known, _)| *known == name) {
                let name = shown(&name);
                return Err(ApiError::invalid(name.clone(), format!("`{name}` is given twice.")));
            }
            pairs.push((name.into_owned(), value.into_owned()));
        }
        Ok(Self { pairs })
    }

    pub fn take(&mut self, name: &str) -> Option<String> {
        let at = self.pairs.iter().position(|(known, _)| known == name)?;
        Some(self.pairs.swap_remove(at).1)
    }

    /// One value as `name=value`, or several as `name[]=value`.
    pub fn each(&mut self, name: &str) -> Vec<String> {
        let list = format!("{name}[]");
        let mut found = Vec::new();
        self.pairs.retain(|(known, value)| {
            let is_one = known == name || *known == list;
            if is_one {
                found.push(value.clone());
            }
            !is_one
        });
        found
    }

    pub fn flag(&mut self, name: &str) -> Result<Option<bool>, ApiError> {
        match self.take(name).as_deref() {
            None => Ok(None),
            Some("true") => Ok(Some(true)),
            Some("false") => Ok(Some(false)),
            Some(_) => Err(ApiError::invalid(name, format!("`{name}` must be `true` or `false`."))),
        }
    }

    pub fn id<T: FromStr>(&mut self, name: &str) -> Result<Option<T>, ApiError>
    where
        T::Err: std::fmt::Display,
    {
        match self.take(name) {
            None => Ok(None),
            Some(text) => {
                text.parse().map(Some).map_err(|error| ApiError::invalid(name, format!("`{name}`: {error}.")))
            }
        }
    }

    /// `limit`, `order`, `after` and `before`. `to_bits` reads a cursor of this list.
    pub fn page(&mut self, to_bits: impl Fn(&str) -> Option<u128>) -> Result<StorePage, ApiError> {
        let limit = match self.take("limit") {
            None => 20,
            Some(text) => match text.parse() {
                Ok(limit @ 1..=100) => limit,
                _ => return Err(ApiError::invalid("limit", "`limit` must be a number from 1 to 100.")),
            },
        };
        let descending = match self.take("order").as_deref() {
            None | Some("desc") => true,
            Some("asc") => false,
            Some(_) => return Err(ApiError::invalid("order", "`order` must be `asc` or `desc`.")),
        };
        let mut cursor = |name: &str| match self.take(name) {
            None => Ok(None),
            Some(text) => to_bits(&text).map(Some).ok_or_else(|| bad_cursor(name)),
        };
        let (after, before) = (cursor("after")?, cursor("before")?);
        Ok(StorePage { limit, after, before, descending })
    }

    /// The pairs `name[key]=value`.
    pub fn map(&mut self, name: &str) -> Result<Vec<(String, String)>, ApiError> {
        let mut found = Vec::new();
        let start = format!("{name}[");
        self.pairs.retain(|(known, value)| {
            let key = known.strip_prefix(&start).and_then(|rest| rest.strip_suffix(']'));
            if let Some(key) = key {
                found.push((key.to_owned(), value.clone()));
            }
            key.is_none()
        });
        Ok(found)
    }

    /// Refuses whatever was not taken.
    pub fn finish(self) -> Result<(), ApiError> {
        match self.pairs.first() {
            None => Ok(()),
            Some((name, _)) => {
                let name = shown(name);
                Err(ApiError::invalid(name.clone(), format!("There is no query parameter `{name}` here.")))
            }
        }
    }
}

fn shown(name: &str) -> String {
    name.chars().take(64).flat_map(char::escape_debug).collect()
}

/// A cursor that is none, or belongs to another list.
pub(crate) fn unknown_cursor(page: &StorePage) -> ApiError {
    bad_cursor(if page.after.is_some() { "after" } else { "before" })
}

fn bad_cursor(name: &str) -> ApiError {
    ApiError::invalid(name, format!("`{name}` must be the id of an entry of this list."))
}

/// Reads a cursor as the bits of an id of this kind.
macro_rules! bits {
    ($id:ty) => {
        |text: &str| text.parse::<$id>().ok().map(<$id>::to_u128)
    };
}
pub(crate) use bits;
