//! Commands as argument vectors, where they plainly are one.
//!
//! The shell stays the judge of what a command means; this only recognises what means the same to every shell. Whatever
//! is not recognised is "not plain", and a rule that wants an argument vector does not match it.

/// Longest command that is looked at.
const MAX_PLAIN: usize = 4096;

/// Words that a shell does not run as a program although they stand where one would.
const NOT_PROGRAMS: [&str; 42] = [
    "!", "[[", "{", "}", "alias", "bind", "break", "builtin", "case", "cd", "command", "continue", "coproc", "declare",
    "do", "done", "elif", "else", "enable", "esac", "eval", "exec", "exit", "export", "fi", "for", "function", "if",
    "in", "local", "readonly", "return", "select", "set", "source", "then", "time", "trap", "typeset", "until",
    "while", ".",
];

/// Program and arguments, when the text is one simple command of plain and quoted words. `None` for everything that a
/// shell would do more with: substitution, expansion, globs, pipes, lists, redirections, assignments, comments, history,
/// builtins that run something else.
pub fn plain(text: &str) -> Option<Vec<String>> {
    if text.len() > MAX_PLAIN {
        return None;
    }
    let mut words: Vec<String> = Vec::new();
    let mut word: Option<String> = None;
    let mut chars = text.trim_matches([' ', '\t', '\n']).chars();
    while let Some(char) = chars.next() {
        match char {
            ' ' | '\t' => words.extend(word.take()),
            '\'' => loop {
                let word = word.get_or_insert_default();
                match chars.next()? {
                    '\'' => break,
                    inner => word.push(allowed(inner)?),
                }
            },
            '"' => loop {
                let word = word.get_or_insert_default();
                match chars.next()? {
                    '"' => break,
                    '$' | '`' | '\\' | '!' => return None,
                    inner => word.push(allowed(inner)?),
                }
            },
            'a'..='z' | 'A'..='Z' | '0'..='9' | '-' | '_' | '.' | '/' | ':' | ',' | '+' | '@' | '%' | '=' => {
                word.get_or_insert_default().push(char);
            }
            letter if letter.is_alphanumeric() => word.get_or_insert_default().push(letter),
            _ => return None,
        }
    }
    words.extend(word.take());
    let program = words.first()?;
    let is_program = !program.is_empty() && !program.contains('=') && !NOT_PROGRAMS.contains(&program.as_str());
    is_program.then_some(words)
}

/// Within quotes everything stands for itself but what could end the line.
fn allowed(char: char) -> Option<char> {
    (!char.is_control()).then_some(char)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_commands_are_argument_vectors() {
        for (text, expected) in [
            ("ls", vec!["ls"]),
            ("  git  push origin main ", vec!["git", "push", "origin", "main"]),
            ("echo 'a b' \"c d\"e", vec!["echo", "a b", "c de"]),
            ("echo '$HOME'", vec!["echo", "$HOME"]),
            ("touch ''", vec!["touch", ""]),
            ("/bin/cat a=b", vec!["/bin/cat", "a=b"]),
        ] {
            assert_eq!(plain(text).unwrap(), expected, "{text}");
        }
    }

    #[test]
    fn whatever_a_shell_would_do_more_with_is_not_plain() {
        for text in [
            "",
            " ",
            "ls; rm x",
            "ls && rm x",
            "ls | sh",
            "ls > x",
            "$(ls)",
            "`ls`",
            "ls *",
            "ls ?",
            "A=1 ls",
            "ls &",
            "ls\nrm x",
            "\"$X\"",
            "\"a\\\"b\"",
            "'open",
            "\"open",
            "l\\s",
            "eval ls",
            "exec ls",
            "source x",
            ". x",
            "if true",
            "ls # x",
            "{ ls; }",
            "~/x",
            "ls {a,b}",
            "''",
            "a\u{0}b",
            "echo \"!!\"",
            "cd /",
        ] {
            assert_eq!(plain(text), None, "{text}");
        }
    }
}
