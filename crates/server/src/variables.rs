//! The process's environment variables, read in one place.

/// A variable's value; an empty one counts as not set.
#[allow(clippy::disallowed_methods, reason = "the one place where environment variables are read")]
pub fn read(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}
