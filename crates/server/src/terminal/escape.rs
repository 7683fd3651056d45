//! Makes text of models, tools and strangers safe to print: nothing in it can drive the terminal or hide what it says.

/// Escapes characters one by one, so that text may come in pieces.
#[derive(Debug, Default, Clone)]
pub struct Escaper {
    /// A carriage return that is shown only if no line feed follows.
    held_return: bool,
}

impl Escaper {
    /// Adds `text` to `out`. Line feeds and tabs stay; every other control character becomes visible.
    pub fn push(&mut self, text: &str, out: &mut String) {
        for c in text.chars() {
            if std::mem::take(&mut self.held_return) && c != '\n' {
                out.push_str("\\r");
            }
            match c {
                '\n' | '\t' => out.push(c),
                '\r' => self.held_return = true,
                c if is_unsafe(c) => out.extend(c.escape_debug()),
                c => out.push(c),
            }
        }
    }
}

/// Text of several lines.
pub fn lines(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    Escaper::default().push(text, &mut out);
    out
}

/// Text for one line: line feeds and tabs become visible too.
pub fn line(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if is_unsafe(c) || matches!(c, '\n' | '\t' | '\r') {
            out.extend(c.escape_debug());
        } else {
            out.push(c);
        }
    }
    out
}

/// Text for one line, of at most `width` characters; what is left out is marked.
pub fn brief(text: &str, width: usize) -> String {
    let first: String = text.chars().take(width * 4).collect();
    let shown = line(first.trim_end());
    let cut = first.len() < text.len();
    match shown.char_indices().nth(width) {
        None if !cut => shown,
        None => shown + "…",
        Some(_) => shown.chars().take(width.saturating_sub(1)).chain(['…']).collect(),
    }
}

/// Control characters (C0, C1, DEL), and the invisible ones that change the order or the meaning of what is read:
/// bidirectional controls, zero-width characters, line and paragraph separators, tags, private use.
fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{00ad}' | '\u{061c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}'
            | '\u{e000}'..='\u{f8ff}' | '\u{f0000}'..='\u{10ffff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escape_sequences_become_visible() {
        assert_eq!(lines("\u{1b}[2J\u{1b}]0;owned\u{7}"), "\\u{1b}[2J\\u{1b}]0;owned\\u{7}");
        assert_eq!(lines("\u{9b}31m\u{7f}"), "\\u{9b}31m\\u{7f}");
        assert_eq!(lines("pay \u{202e}cnatta"), "pay \\u{202e}cnatta");
    }

    #[test]
    fn lines_and_tabs_stay_and_a_return_cannot_overwrite() {
        assert_eq!(lines("a\tb\r\nc\rd"), "a\tb\nc\\rd");
        assert_eq!(line("a\tb\nc"), "a\\tb\\nc");
    }

    #[test]
    fn a_return_at_the_end_of_a_piece_waits_for_the_next() {
        let (mut escaper, mut out) = (Escaper::default(), String::new());
        escaper.push("a\r", &mut out);
        escaper.push("\nb\r", &mut out);
        escaper.push("c", &mut out);
        assert_eq!(out, "a\nb\\rc");
    }

    #[test]
    fn long_text_is_cut_visibly() {
        assert_eq!(brief("hello", 5), "hello");
        assert_eq!(brief("hello world", 5), "hell…");
        assert_eq!(brief(&"x".repeat(1000), 5), "xxxx…");
    }
}
