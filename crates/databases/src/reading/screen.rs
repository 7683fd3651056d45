//! What is looked at before a statement is parsed: its size, and signs that one server gives a meaning that others do not.

use super::{Dialect, MAX_STATEMENT_BYTES, MAX_TOKENS, grammar};
use sqlparser::tokenizer::{Token, Tokenizer, Whitespace};

/// How many words and signs it has.
pub fn tokens(dialect: Dialect, text: &str) -> Result<usize, String> {
    if text.len() > MAX_STATEMENT_BYTES {
        return Err(format!("it is {} bytes long; at most {MAX_STATEMENT_BYTES} are read", text.len()));
    }
    if let Some(sign) = text.chars().find(|sign| sign.is_control() && !matches!(sign, '\n' | '\r' | '\t')) {
        return Err(format!("it holds the control character U+{:04X}", sign as u32));
    }
    if text.contains("/*!") || text.contains("/*M!") || text.contains("/*+") || text.contains("--+") {
        return Err("it holds a comment that the server would act on (`/*!`, `/*+`)".to_owned());
    }
    let tokens = Tokenizer::new(grammar(dialect), text)
        .with_unescape(false)
        .tokenize()
        .map_err(|error| format!("it cannot be parsed: {error}"))?;
    let mut count = 0;
    for token in &tokens {
        match token {
            Token::Whitespace(Whitespace::MultiLineComment(comment)) if comment.contains("/*") => {
                return Err("it holds a comment within a comment".to_owned());
            }
            Token::Whitespace(_) => {}
            Token::Placeholder(_) => return Err("it has a placeholder; write the value itself".to_owned()),
            Token::AtSign | Token::Assignment => {
                return Err("it uses a variable of the session; write the value itself".to_owned());
            }
            Token::Word(word) if word.value.starts_with('@') => {
                return Err("it uses a variable of the session; write the value itself".to_owned());
            }
            _ => count += 1,
        }
    }
    if count > MAX_TOKENS {
        return Err(format!("it has {count} words and signs; at most {MAX_TOKENS} are read"));
    }
    Ok(count)
}
