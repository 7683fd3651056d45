//! What names of people and teams may look like.

use bailiwick_ports::people::PeopleError;

const MAX_NAME_CHARS: usize = 128;
const MAX_LOGIN_CHARS: usize = 64;
/// RFC 5321 allows no longer path.
const MAX_EMAIL_CHARS: usize = 254;

pub(super) fn invalid<T>(field: &'static str, problem: impl Into<String>) -> Result<T, PeopleError> {
    Err(PeopleError::Invalid { field, problem: problem.into() })
}

/// The form in which names are compared.
pub(super) fn folded(name: &str) -> String {
    name.trim().to_lowercase()
}

pub(crate) fn check_name(field: &'static str, name: &str) -> Result<(), PeopleError> {
    let chars = name.chars().count();
    if chars == 0 || chars > MAX_NAME_CHARS || name.trim() != name || name.chars().any(char::is_control) {
        return invalid(
            field,
            format!("1 to {MAX_NAME_CHARS} characters are needed, without control characters or spaces at an end"),
        );
    }
    Ok(())
}

pub(super) fn check_login(login: &str) -> Result<(), PeopleError> {
    let fine = |c: char| c.is_ascii_alphanumeric() || "._-@".contains(c);
    if login.is_empty() || login.len() > MAX_LOGIN_CHARS || !login.chars().all(fine) {
        return invalid("login", format!("1 to {MAX_LOGIN_CHARS} letters, digits, `.`, `_`, `-` and `@` are needed"));
    }
    Ok(())
}

/// Whether a text can be a mail address at all.
pub(crate) fn is_email(email: &str) -> bool {
    let parts = email.split_once('@');
    let whole = parts.is_some_and(|(before, after)| !before.is_empty() && !after.is_empty() && !after.contains('@'));
    whole && email.len() <= MAX_EMAIL_CHARS && !email.chars().any(|c| c.is_control() || c.is_whitespace())
}

pub(super) fn check_email(email: &str) -> Result<(), PeopleError> {
    if is_email(email) { Ok(()) } else { invalid("email", "this is no mail address") }
}
