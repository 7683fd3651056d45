//! Text for a person who decides by it: nothing in it is hidden or obeyed.

/// The text with everything made visible that a terminal or a page would hide or obey: control characters but for the
/// line end, marks that turn the direction of writing, and characters without width.
pub fn visible(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for char in text.chars() {
        match char {
            '\n' => shown.push(char),
            char if is_unseen(char) => shown.extend(char.escape_unicode()),
            char => shown.push(char),
        }
    }
    shown
}

fn is_unseen(char: char) -> bool {
    char.is_control()
        || matches!(char, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}')
}

#[cfg(test)]
mod tests {
    use super::visible;

    #[test]
    fn what_would_be_hidden_is_shown() {
        assert_eq!(visible("rm -rf /\u{8}\u{8}tmp"), "rm -rf /\\u{8}\\u{8}tmp");
        assert_eq!(visible("pay\u{202e}001\u{200b}"), "pay\\u{202e}001\\u{200b}");
        assert_eq!(visible("one\ntwo ü 漢"), "one\ntwo ü 漢");
        assert_eq!(visible("\u{1b}[2J"), "\\u{1b}[2J");
    }
}
