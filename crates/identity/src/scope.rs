//! Reading scopes as people write them.

use bailiwick_ports::Scope;

/// A scope that there is not.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no scope `{given}`{}; scopes are {}", did_you_mean(.nearest), all())]
pub struct UnknownScope {
    given: String,
    nearest: Option<Scope>,
}

/// The scope of this name.
pub fn parse_scope(text: &str) -> Result<Scope, UnknownScope> {
    if let Some(scope) = Scope::ALL.into_iter().find(|scope| scope.name() == text) {
        return Ok(scope);
    }
    let nearest = Scope::ALL
        .into_iter()
        .map(|scope| (strsim::jaro_winkler(scope.name(), text), scope))
        .filter(|(likeness, _)| *likeness > 0.75)
        .max_by(|(one, _), (other, _)| one.total_cmp(other))
        .map(|(_, scope)| scope);
    let given = text.chars().take(40).flat_map(char::escape_debug).collect();
    Err(UnknownScope { given, nearest })
}

/// The scopes of these names, each once, in a fixed order.
pub fn parse_scopes<'a>(names: impl IntoIterator<Item = &'a str>) -> Result<Vec<Scope>, UnknownScope> {
    let mut scopes = names.into_iter().map(parse_scope).collect::<Result<Vec<_>, _>>()?;
    scopes.sort_unstable();
    scopes.dedup();
    Ok(scopes)
}

fn did_you_mean(nearest: &Option<Scope>) -> String {
    nearest.map(|scope| format!(", did you mean `{scope}`?")).unwrap_or_default()
}

fn all() -> String {
    Scope::ALL.map(|scope| format!("`{scope}`")).join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_scope_is_read_by_its_name() {
        for scope in Scope::ALL {
            assert_eq!(parse_scope(scope.name()), Ok(scope));
        }
        let scopes = parse_scopes(["files:read", "admin", "files:read"]).unwrap();
        assert_eq!(scopes, [Scope::Admin, Scope::FilesRead]);
    }

    #[test]
    fn a_wrong_scope_names_the_nearest() {
        let error = parse_scope("session:read").unwrap_err().to_string();
        assert!(
            error.starts_with("there is no scope `session:read`, did you mean `sessions:read`?; scopes are"),
            "{error}"
        );
        let error = parse_scope("\u{1b}[31m").unwrap_err().to_string();
        assert!(error.starts_with("there is no scope `\\u{1b}[31m`; scopes are `admin`"), "{error}");
    }
}
