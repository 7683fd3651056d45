//! Rows as they come from a database, written down for a model and, in full, for a file: comma-separated values with a
//! header of `name:type`, cut visibly where a limit is.
//!
//! Nothing is kept twice and nothing grows past its limit, whatever the server sends.

use crate::config::Limits;
use std::collections::BTreeSet;

/// What stands for a value that is masked.
const MASKED: &str = "(masked)";
/// Most columns that a result is shown with.
pub const MAX_COLUMNS: usize = 500;

/// One value, as its database writes it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Value<'a> {
    Null,
    Text(&'a str),
    Bytes(&'a [u8]),
}

/// A result while it comes in.
#[derive(Debug)]
pub struct Rows {
    limits: Limits,
    masked: BTreeSet<String>,
    hidden: Vec<bool>,
    shown: String,
    shown_rows: usize,
    /// Why no more rows are shown.
    full: Option<String>,
    file: Option<File>,
    cut_cells: usize,
    line: String,
}

/// The whole result as a file.
#[derive(Debug, Default)]
struct File {
    bytes: String,
    rows: usize,
    /// Why it is not whole.
    full: Option<String>,
}

/// A result that has come to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// What a model is shown.
    pub text: String,
    /// Rows in `text`.
    pub rows: usize,
    /// Something was left out of `text`.
    pub truncated: bool,
    /// The whole result, when it was asked for.
    pub file: Option<Vec<u8>>,
}

impl Rows {
    /// `masked`: names of columns whose values are not shown.
    pub fn new(limits: &Limits, masked: BTreeSet<String>, file: bool) -> Self {
        Self {
            limits: limits.clone(),
            masked,
            hidden: Vec::new(),
            shown: String::new(),
            shown_rows: 0,
            full: None,
            file: file.then(File::default),
            cut_cells: 0,
            line: String::new(),
        }
    }

    /// How many rows are wanted at most. One more shows that there are more.
    pub fn wanted(&self) -> usize {
        let rows = if self.file.is_some() { self.limits.file_rows.max(self.limits.rows) } else { self.limits.rows };
        rows.saturating_add(1)
    }

    pub fn columns<'a>(&mut self, columns: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<(), String> {
        let mut header = String::new();
        self.hidden.clear();
        for (name, of) in columns {
            if !self.hidden.is_empty() {
                header.push(',');
            }
            // The server's folding of an unquoted name does not matter here: a name that only looks like it is masked too.
            self.hidden.push(self.masked.contains(name) || self.masked.contains(&name.to_lowercase()));
            quoted(&mut header, &format!("{name}:{of}"), usize::MAX);
        }
        if self.hidden.len() > MAX_COLUMNS {
            return Err(format!("the result has {} columns; at most {MAX_COLUMNS} are shown", self.hidden.len()));
        }
        header.push('\n');
        self.shown.push_str(&header);
        if let Some(file) = &mut self.file {
            file.bytes.push_str(&header);
        }
        Ok(())
    }

    /// Takes one row. Whether more are wanted.
    pub fn row<'a>(&mut self, values: impl Iterator<Item = Value<'a>> + Clone) -> bool {
        if self.full.is_none() {
            if self.shown_rows >= self.limits.rows {
                self.full = Some(format!("only the first {} rows are shown", self.shown_rows));
            } else {
                let cut = self.line(values.clone(), self.limits.cell_bytes);
                if self.shown.len() + self.line.len() > self.limits.output_bytes && self.shown_rows > 0 {
                    let rows = self.shown_rows;
                    self.full =
                        Some(format!("only the first {rows} rows are shown, which fill {} bytes", self.shown.len()));
                } else {
                    self.cut_cells += cut;
                    self.shown.push_str(&self.line);
                    self.shown_rows += 1;
                }
            }
        }
        self.keep(values);
        self.full.is_none() || self.file.as_ref().is_some_and(|file| file.full.is_none())
    }

    fn keep<'a>(&mut self, values: impl Iterator<Item = Value<'a>>) {
        let Some(mut file) = self.file.take() else { return };
        if file.full.is_none() {
            if file.rows >= self.limits.file_rows {
                file.full = Some(format!("{} rows", file.rows));
            } else {
                self.line(values, usize::MAX);
                if file.bytes.len() + self.line.len() > self.limits.file_bytes {
                    file.full = Some(format!("{} rows, {} bytes", file.rows, file.bytes.len()));
                } else {
                    file.bytes.push_str(&self.line);
                    file.rows += 1;
                }
            }
        }
        self.file = Some(file);
    }

    /// Writes a row to `self.line`. How many values were cut.
    fn line<'a>(&mut self, values: impl Iterator<Item = Value<'a>>, cell_bytes: usize) -> usize {
        self.line.clear();
        let mut cut = 0;
        for (number, value) in values.enumerate() {
            if number > 0 {
                self.line.push(',');
            }
            if self.hidden.get(number) == Some(&true) {
                self.line.push_str(MASKED);
                continue;
            }
            cut += usize::from(match value {
                Value::Null => false,
                Value::Text(text) => quoted(&mut self.line, text, cell_bytes),
                Value::Bytes(bytes) => hexadecimal(&mut self.line, bytes, cell_bytes),
            });
        }
        self.line.push('\n');
        cut
    }

    pub fn finish(self) -> Table {
        let mut text = self.shown;
        let more = if self.file.is_some() { "" } else { "; ask for fewer rows or columns, or for sums" };
        if let Some(full) = &self.full {
            text.push_str(&format!("truncated: {full}{more}\n"));
        }
        if self.cut_cells > 0 {
            text.push_str(&format!(
                "truncated: {} values were longer than {} bytes\n",
                self.cut_cells, self.limits.cell_bytes
            ));
        }
        if self.full.is_none() {
            text.push_str(&format!("({} rows)\n", self.shown_rows));
        }
        if let Some(full) = self.file.as_ref().and_then(|file| file.full.as_ref()) {
            text.push_str(&format!("truncated: the file holds only the first {full}\n"));
        }
        Table {
            truncated: self.full.is_some() || self.cut_cells > 0,
            rows: self.shown_rows,
            text,
            file: self.file.map(|file| file.bytes.into_bytes()),
        }
    }
}

/// A number as Rust writes it for debugging, which uses exponents, without the fraction that a whole one has not.
pub fn short(number: String) -> String {
    number.strip_suffix(".0").map(str::to_owned).unwrap_or(number)
}

/// Writes `text` so that it is one field. Whether it was cut.
fn quoted(line: &mut String, text: &str, most: usize) -> bool {
    let mut end = text.len().min(most);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let part = &text[..end];
    let odd = |sign: char| matches!(sign, ',' | '"' | '\n' | '\r' | '…');
    // An empty field without quotes is NULL.
    if part.is_empty() || part == MASKED || part.contains(odd) || part.starts_with(' ') || part.ends_with(' ') {
        line.push('"');
        for sign in part.chars() {
            if sign == '"' {
                line.push('"');
            }
            line.push(sign);
        }
        line.push('"');
    } else {
        line.push_str(part);
    }
    if end < text.len() {
        line.push_str(&format!("… ({} bytes)", text.len()));
    }
    end < text.len()
}

fn hexadecimal(line: &mut String, bytes: &[u8], most: usize) -> bool {
    let end = bytes.len().min(most / 2);
    line.push_str("\\x");
    for byte in &bytes[..end] {
        for half in [byte >> 4, byte & 15] {
            line.push(char::from_digit(u32::from(half), 16).unwrap_or('0'));
        }
    }
    if end < bytes.len() {
        line.push_str(&format!("… ({} bytes)", bytes.len()));
    }
    end < bytes.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(limits: Limits, file: bool) -> Rows {
        let mut rows = Rows::new(&limits, BTreeSet::from(["salary".to_owned()]), file);
        rows.columns([("name", "text"), ("salary", "numeric")]).unwrap();
        rows
    }

    fn row<'a>(name: &'a str) -> impl Iterator<Item = Value<'a>> + Clone {
        [Value::Text(name), Value::Text("9000")].into_iter()
    }

    #[test]
    fn null_an_empty_text_and_a_masked_value_are_three_things() {
        let mut rows = rows(Limits::default(), false);
        rows.row([Value::Null, Value::Null].into_iter());
        rows.row(row(""));
        rows.row(row("a \"b\",\nc"));
        rows.row(row("(masked)"));
        let table = rows.finish();
        assert_eq!(
            table.text,
            "name:text,salary:numeric\n,(masked)\n\"\",(masked)\n\"a \"\"b\"\",\nc\",(masked)\n\"(masked)\",(masked)\n(4 rows)\n"
        );
        assert!(!table.truncated);
    }

    #[test]
    fn what_is_left_out_is_said_and_a_file_has_it_all() {
        let mut rows = rows(Limits { rows: 2, cell_bytes: 4, ..Limits::default() }, true);
        for name in ["ann", "äöüäöü", "cid"] {
            assert!(rows.row(row(name)));
        }
        let table = rows.finish();
        assert_eq!(
            table.text,
            "name:text,salary:numeric\nann,(masked)\näö… (12 bytes),(masked)\ntruncated: only the first 2 rows are shown\n\
             truncated: 1 values were longer than 4 bytes\n"
        );
        let file = String::from_utf8(table.file.unwrap()).unwrap();
        assert_eq!(file, "name:text,salary:numeric\nann,(masked)\näöüäöü,(masked)\ncid,(masked)\n");
    }

    #[test]
    fn neither_text_nor_file_grows_past_its_limit() {
        let limits = Limits { output_bytes: 100, file_bytes: 200, ..Limits::default() };
        let mut rows = rows(limits, true);
        let mut taken = 0;
        while rows.row(row("somebody")) {
            taken += 1;
        }
        let table = rows.finish();
        assert!(taken < 20 && table.truncated && table.text.len() < 300, "{}", table.text);
        assert!(table.file.as_ref().unwrap().len() <= 200);
        assert!(table.text.contains("the file holds only the first"), "{}", table.text);
    }
}
