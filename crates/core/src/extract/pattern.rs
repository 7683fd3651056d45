//! Patterns of short identifiers, such as `[A-Z]{2}-[0-9]{6}`: classes and single characters, each a bounded number of
//! times. A part of regular expressions in which the longest match is known from the pattern.

/// Longest identifier.
pub const MAX_IDENTIFIER: usize = 32;
/// Bytes of a pattern.
const MAX_PATTERN: usize = 200;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pattern {
    text: String,
    pieces: Vec<Piece>,
}

/// One of some characters, so many times.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Piece {
    /// Pairs of first and last.
    class: Vec<(u8, u8)>,
    least: usize,
    most: usize,
}

/// What an identifier is made of: no space, no quote, no bracket.
fn is_fine(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b':' | b'/' | b'#')
}

impl Pattern {
    /// The error goes after the name of the field.
    pub fn read(text: &str) -> Result<Self, String> {
        let pieces = Reader { rest: text.as_bytes() }.pieces(text.len());
        let pieces = pieces.ok_or_else(|| {
            "must be made of characters, classes such as `[A-Z0-9]` or `\\d`, and counts such as `{2,6}` or `?`; letters, \
             digits and `-_.:/#` only"
                .to_owned()
        })?;
        let longest: usize = pieces.iter().map(|piece| piece.most).sum();
        if pieces.is_empty() || longest > MAX_IDENTIFIER {
            return Err(format!("must not match more than {MAX_IDENTIFIER} characters, and this may match {longest}"));
        }
        // It is said whole: it always is, and a reader of the schema should see it.
        let bare = text.strip_prefix('^').unwrap_or(text);
        let bare = bare.strip_suffix('$').unwrap_or(bare);
        Ok(Self { text: format!("^{bare}$"), pieces })
    }

    pub fn text(&self) -> &str {
        &self.text
    }

    /// The whole text. Every way to read it is followed at once, so that no pattern takes long.
    pub fn matches(&self, text: &str) -> bool {
        let bytes = text.as_bytes();
        if bytes.is_empty() || bytes.len() > MAX_IDENTIFIER {
            return false;
        }
        let mut reached = vec![false; bytes.len() + 1];
        reached[0] = true;
        for piece in &self.pieces {
            let mut next = vec![false; bytes.len() + 1];
            for from in (0..=bytes.len()).filter(|from| reached[*from]) {
                let run = bytes[from..].iter().take(piece.most).take_while(|byte| piece.holds(**byte)).count();
                for more in piece.least..=run {
                    next[from + more] = true;
                }
            }
            reached = next;
        }
        reached[bytes.len()]
    }
}

impl Piece {
    fn holds(&self, byte: u8) -> bool {
        self.class.iter().any(|(first, last)| (first..=last).contains(&&byte))
    }
}

struct Reader<'a> {
    rest: &'a [u8],
}

impl Reader<'_> {
    fn pieces(mut self, length: usize) -> Option<Vec<Piece>> {
        if length > MAX_PATTERN {
            return None;
        }
        self.rest = self.rest.strip_prefix(b"^").unwrap_or(self.rest);
        self.rest = self.rest.strip_suffix(b"$").unwrap_or(self.rest);
        let mut pieces = Vec::new();
        while !self.rest.is_empty() {
            let class = self.class()?;
            let (least, most) = self.count()?;
            pieces.push(Piece { class, least, most });
        }
        Some(pieces)
    }

    fn next(&mut self) -> Option<u8> {
        let (first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(*first)
    }

    /// A character, an escaped one, `\d` or `[…]`.
    fn class(&mut self) -> Option<Vec<(u8, u8)>> {
        match self.next()? {
            b'[' => self.brackets(),
            b'\\' => match self.next()? {
                b'd' => Some(vec![(b'0', b'9')]),
                byte if is_fine(byte) && !byte.is_ascii_alphanumeric() => Some(vec![(byte, byte)]),
                _ => None,
            },
            // A dot that is not escaped would be any character.
            b'.' => None,
            byte => is_fine(byte).then(|| vec![(byte, byte)]),
        }
    }

    fn brackets(&mut self) -> Option<Vec<(u8, u8)>> {
        let mut class = Vec::new();
        loop {
            let first = match self.next()? {
                b']' => return Some(class).filter(|class| !class.is_empty()),
                b'\\' => match self.next()? {
                    b'd' => {
                        class.push((b'0', b'9'));
                        continue;
                    }
                    byte if !byte.is_ascii_alphanumeric() => byte,
                    _ => return None,
                },
                byte => byte,
            };
            let last = match self.rest {
                [b'-', last, ..] if *last != b']' => {
                    let last = *last;
                    self.rest = &self.rest[2..];
                    let same = |kind: fn(&u8) -> bool| kind(&first) && kind(&last);
                    let whole =
                        same(u8::is_ascii_digit) || same(u8::is_ascii_lowercase) || same(u8::is_ascii_uppercase);
                    if !whole || first > last {
                        return None;
                    }
                    last
                }
                _ => first,
            };
            if !is_fine(first) {
                return None;
            }
            class.push((first, last));
        }
    }

    /// `{2}`, `{2,6}`, `?`, or once.
    fn count(&mut self) -> Option<(usize, usize)> {
        match self.rest.first() {
            Some(b'?') => {
                self.rest = &self.rest[1..];
                Some((0, 1))
            }
            Some(b'{') => {
                let end = self.rest.iter().position(|byte| *byte == b'}')?;
                let counts = std::str::from_utf8(&self.rest[1..end]).ok()?;
                self.rest = &self.rest[end + 1..];
                let number = |text: &str| {
                    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
                    text.parse::<usize>().ok().filter(|number| digits && *number <= MAX_IDENTIFIER)
                };
                let (least, most) = counts.split_once(',').unwrap_or((counts, counts));
                let (least, most) = (number(least)?, number(most)?);
                (least <= most && most > 0).then_some((least, most))
            }
            _ => Some((1, 1)),
        }
    }
}
