//! Names that a model may write: letters, digits, `_` and `-`, unique whatever their case.

use std::collections::HashSet;

/// The longest name.
const MAX_NAME: usize = 64;

/// Names that were given out.
#[derive(Debug, Default)]
pub(crate) struct Names(HashSet<String>);

impl Names {
    /// The nearest name to `wanted` that nobody has; `otherwise` where nothing of it is left.
    pub fn give(&mut self, wanted: &str, otherwise: &str) -> String {
        let name = plain(wanted);
        let name = if name.is_empty() { otherwise.to_owned() } else { name };
        let mut given = name.clone();
        for number in 2_usize.. {
            if self.0.insert(given.to_lowercase()) {
                break;
            }
            let end = format!("_{number}");
            given = format!("{}{end}", &name[..name.len().min(MAX_NAME - end.len())]);
        }
        given
    }
}

/// Without what is no letter: runs of it become one `_`.
fn plain(text: &str) -> String {
    let mut name = String::new();
    for char in text.chars() {
        if char.is_ascii_alphanumeric() || char == '-' || char == '_' {
            name.push(char);
        } else if !name.is_empty() && !name.ends_with('_') {
            name.push('_');
        }
        if name.len() == MAX_NAME {
            break;
        }
    }
    name.trim_end_matches('_').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_plain_and_unique() {
        let mut names = Names::default();
        let mut give = |wanted: &str| names.give(wanted, "value");
        assert_eq!(give("filter[name]"), "filter_name");
        assert_eq!(give("filter.name"), "filter_name_2");
        assert_eq!(give("Filter_Name"), "Filter_Name_3");
        assert_eq!((give("$top"), give("価格"), give("")), ("top".into(), "value".into(), "value_2".into()));
        let long = "a".repeat(100);
        assert_eq!((give(&long).len(), give(&long).len()), (64, 64));
    }
}
