//! The text of office documents: Word, Excel, PowerPoint and OpenDocument, which are ZIP archives of XML.
//!
//! Only text is taken: no macros, no links, no pictures, no comments' authors. What an archive claims of itself is not
//! believed: every part is unpacked up to a limit, and all of them together up to another.

use crate::span::Span;
use quick_xml::{
    Reader,
    events::{BytesStart, Event},
};
use std::io::{Cursor, Read};
use zip::ZipArchive;

/// Bytes of one part, unpacked.
const MAX_PART: u64 = 16 * 1024 * 1024;
/// Bytes of all parts of one document that are looked into, unpacked.
const MAX_UNPACKED: u64 = 64 * 1024 * 1024;
/// Elements within elements.
const MAX_DEPTH: usize = 256;
/// Bytes of text of one document.
const MAX_TEXT: usize = 4 * 1024 * 1024;
/// Sheets or slides of one document.
const MAX_PARTS: usize = 200;
/// Texts that the cells of a workbook share.
const MAX_SHARED: usize = 500_000;
/// Cells of a row that are shown empty so that others stand in their column.
const MAX_EMPTY: usize = 64;

type Zip<'a> = ZipArchive<Cursor<&'a [u8]>>;

/// A document that is being read.
struct Archive<'a> {
    zip: Zip<'a>,
    /// What may still be unpacked of it.
    left: u64,
    span: &'a Span,
}

/// The text of an office document; `None` for another archive, for one that is broken or too large, and when the time of
/// the call is over.
pub(crate) fn text_of_office(bytes: &[u8], span: &Span) -> Option<String> {
    let zip = ZipArchive::new(Cursor::new(bytes)).ok()?;
    let mut archive = Archive { zip, left: MAX_UNPACKED, span };
    let mut text = String::new();
    if archive.has("word/document.xml") {
        paragraphs(&archive.part("word/document.xml")?, &mut text)?;
    } else if archive.has("ppt/presentation.xml") {
        for (number, name) in archive.numbered("ppt/slides/slide") {
            text.push_str(&format!("[slide {number}]\n"));
            paragraphs(&archive.part(&name)?, &mut text)?;
        }
    } else if archive.has("xl/workbook.xml") {
        let shared = match archive.has("xl/sharedStrings.xml") {
            true => shared_texts(&archive.part("xl/sharedStrings.xml")?)?,
            false => Vec::new(),
        };
        for (number, name) in archive.numbered("xl/worksheets/sheet") {
            text.push_str(&format!("[sheet {number}]\n"));
            sheet(&archive.part(&name)?, &shared, &mut text)?;
        }
    } else if archive.has("content.xml") {
        open_document(&archive.part("content.xml")?, &mut text)?;
    } else {
        return None;
    }
    Some(text)
}

impl Archive<'_> {
    fn has(&self, name: &str) -> bool {
        self.zip.index_for_name(name).is_some()
    }

    fn part(&mut self, name: &str) -> Option<String> {
        if self.span.is_over() {
            return None;
        }
        let most = MAX_PART.min(self.left);
        let mut bytes = Vec::new();
        self.zip.by_name(name).ok()?.take(most + 1).read_to_end(&mut bytes).ok()?;
        self.left = self.left.saturating_sub(bytes.len() as u64);
        if bytes.len() as u64 > most {
            return None;
        }
        String::from_utf8(bytes).ok()
    }

    /// The parts `PREFIX<number>.xml` in the order of their numbers.
    fn numbered(&self, prefix: &str) -> Vec<(u32, String)> {
        let number = |name: &str| name.strip_prefix(prefix)?.strip_suffix(".xml")?.parse().ok();
        let names = self.zip.file_names().flatten();
        let mut parts: Vec<(u32, String)> =
            names.filter_map(|name| Some((number(&name)?, name.into_owned()))).collect();
        parts.sort();
        parts.truncate(MAX_PARTS);
        parts
    }
}

/// Calls `each` with every event; `None` when the XML is broken or too deep, has a DTD, or `each` has enough.
fn walk(xml: &str, mut each: impl FnMut(Seen<'_>) -> Option<()>) -> Option<()> {
    let mut reader = Reader::from_str(xml);
    let mut depth = 0_usize;
    loop {
        match reader.read_event().ok()? {
            Event::Start(start) => {
                depth += 1;
                if depth > MAX_DEPTH {
                    return None;
                }
                each(Seen::Open(&start))?;
            }
            Event::Empty(empty) => {
                each(Seen::Open(&empty))?;
                each(Seen::Close(empty.local_name().as_ref()))?;
            }
            Event::End(end) => {
                depth = depth.saturating_sub(1);
                each(Seen::Close(end.local_name().as_ref()))?;
            }
            Event::Text(text) => each(Seen::Text(&text.unescape().ok()?))?,
            Event::CData(data) => each(Seen::Text(&String::from_utf8_lossy(&data)))?,
            Event::DocType(_) => return None,
            Event::Eof => return Some(()),
            _ => {}
        }
    }
}

enum Seen<'a> {
    Open(&'a BytesStart<'a>),
    Close(&'a [u8]),
    Text(&'a str),
}

fn push(into: &mut String, text: &str) -> Option<()> {
    into.push_str(text);
    (into.len() <= MAX_TEXT).then_some(())
}

/// Word and PowerPoint: text stands in `t`, a paragraph is a `p`.
fn paragraphs(xml: &str, into: &mut String) -> Option<()> {
    let mut inside = 0_usize;
    walk(xml, |seen| match seen {
        Seen::Open(start) => match start.local_name().as_ref() {
            b"t" => {
                inside += 1;
                Some(())
            }
            b"tab" => push(into, "\t"),
            b"br" | b"cr" => push(into, "\n"),
            _ => Some(()),
        },
        Seen::Close(b"t") => {
            inside = inside.saturating_sub(1);
            Some(())
        }
        Seen::Close(b"p") => push(into, "\n"),
        Seen::Text(text) if inside > 0 => push(into, text),
        _ => Some(()),
    })
}

fn shared_texts(xml: &str) -> Option<Vec<String>> {
    let (mut all, mut one, mut inside) = (Vec::new(), String::new(), false);
    walk(xml, |seen| {
        match seen {
            Seen::Open(start) if start.local_name().as_ref() == b"t" => inside = true,
            Seen::Close(b"t") => inside = false,
            Seen::Close(b"si") => all.push(std::mem::take(&mut one)),
            Seen::Text(text) if inside => one.push_str(text),
            _ => {}
        }
        (all.len() <= MAX_SHARED).then_some(())
    })?;
    Some(all)
}

/// A worksheet as rows of cells with tabs between them.
fn sheet(xml: &str, shared: &[String], into: &mut String) -> Option<()> {
    let (mut is_shared, mut value, mut inside, mut column) = (false, String::new(), false, 0_usize);
    walk(xml, |seen| match seen {
        Seen::Open(start) => {
            match start.local_name().as_ref() {
                b"row" => column = 0,
                b"c" => {
                    let attribute = |name: &str| {
                        let found = start.try_get_attribute(name).ok().flatten()?;
                        Some(String::from_utf8_lossy(&found.value).into_owned())
                    };
                    is_shared = attribute("t").as_deref() == Some("s");
                    let wanted = attribute("r").and_then(|place| column_of(&place)).unwrap_or(column);
                    let gap = if column == 0 { wanted } else { (wanted + 1).saturating_sub(column).max(1) };
                    into.extend(std::iter::repeat_n('\t', gap.min(MAX_EMPTY)));
                    column = wanted.max(column) + 1;
                    value.clear();
                }
                b"v" | b"t" => inside = true,
                _ => {}
            }
            Some(())
        }
        Seen::Text(text) if inside => push(&mut value, text),
        Seen::Close(b"v" | b"t") => {
            inside = false;
            Some(())
        }
        Seen::Close(b"c") => {
            let text = match is_shared {
                true => value.trim().parse::<usize>().ok().and_then(|at| shared.get(at)).map_or("", String::as_str),
                false => value.as_str(),
            };
            push(into, &text.replace(['\n', '\t'], " "))
        }
        Seen::Close(b"row") => push(into, "\n"),
        _ => Some(()),
    })
}

/// The number of a column, from 0: `A1` is 0, `AB7` is 27.
fn column_of(place: &str) -> Option<usize> {
    let letters = place.bytes().take_while(u8::is_ascii_uppercase).take(4);
    let number = letters.fold(0_usize, |number, letter| number * 26 + usize::from(letter - b'A') + 1);
    number.checked_sub(1)
}

/// OpenDocument: text stands in paragraphs and headings; cells have tabs between them.
fn open_document(xml: &str, into: &mut String) -> Option<()> {
    let mut inside = 0_usize;
    let mut in_cell = false;
    walk(xml, |seen| match seen {
        Seen::Open(start) => match start.local_name().as_ref() {
            b"p" | b"h" => {
                inside += 1;
                Some(())
            }
            b"table-cell" => {
                in_cell = true;
                Some(())
            }
            b"tab" => push(into, "\t"),
            b"s" => push(into, " "),
            b"line-break" => push(into, "\n"),
            _ => Some(()),
        },
        Seen::Close(b"p" | b"h") => {
            inside = inside.saturating_sub(1);
            push(into, if in_cell { " " } else { "\n" })
        }
        Seen::Close(b"table-cell") => {
            in_cell = false;
            push(into, "\t")
        }
        Seen::Close(b"table-row") => push(into, "\n"),
        Seen::Text(text) if inside > 0 => push(into, text),
        _ => Some(()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use bailiwick_gate::Live;
    use bailiwick_testkit::clock::ManualClock;
    use bailiwick_types::{Millis, Timestamp};
    use proptest::prelude::*;
    use std::{io::Write, sync::Arc};
    use zip::{ZipWriter, write::SimpleFileOptions};

    fn span(time: Millis) -> Span {
        Span::new(Arc::new(ManualClock::new(Timestamp::from_millis(0))), time, Live::unwatched())
    }

    fn text_of_office(bytes: &[u8]) -> Option<String> {
        super::text_of_office(bytes, &span(Millis(1)))
    }

    fn archive(parts: &[(&str, &str)]) -> Vec<u8> {
        let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
        for (name, content) in parts {
            writer.start_file(*name, SimpleFileOptions::default()).unwrap();
            writer.write_all(content.as_bytes()).unwrap();
        }
        writer.finish().unwrap().into_inner()
    }

    #[test]
    fn the_text_of_each_kind_is_found() {
        let word = archive(&[(
            "word/document.xml",
            "<w:document xmlns:w='x'><w:body><w:p><w:r><w:t>Über &amp; alles</w:t><w:tab/></w:r><w:r><w:t>b</w:t></w:r></w:p>\
             <w:p><w:r><w:instrText>HYPERLINK evil</w:instrText><w:t>c</w:t></w:r></w:p></w:body></w:document>",
        )]);
        assert_eq!(text_of_office(&word).as_deref(), Some("Über & alles\tb\nc\n"));
        let excel = archive(&[
            ("xl/workbook.xml", "<workbook/>"),
            ("xl/sharedStrings.xml", "<sst><si><t>Name</t></si><si><r><t>An</t></r><r><t>na</t></r></si></sst>"),
            (
                "xl/worksheets/sheet1.xml",
                "<worksheet><sheetData><row><c r='A1' t='s'><v>0</v></c><c r='B1' t='inlineStr'><is><t>Sum</t></is></c></row>\
                 <row><c r='A2' t='s'><v>1</v></c><c r='D2'><f>SUM(A1)</f><v>12.5</v></c></row>\
                 <row><c t='s'><v>999</v></c></row></sheetData></worksheet>",
            ),
        ]);
        assert_eq!(text_of_office(&excel).as_deref(), Some("[sheet 1]\nName\tSum\nAnna\t\t\t12.5\n\n"));
        let slides = archive(&[
            ("ppt/presentation.xml", "<p/>"),
            ("ppt/slides/slide10.xml", "<a:p><a:t>last</a:t></a:p>"),
            ("ppt/slides/slide2.xml", "<a:p><a:t>first</a:t></a:p>"),
        ]);
        assert_eq!(text_of_office(&slides).as_deref(), Some("[slide 2]\nfirst\n[slide 10]\nlast\n"));
        let open = archive(&[(
            "content.xml",
            "<o><text:h>Head</text:h><table:table-row><table:table-cell><text:p>a</text:p></table:table-cell></table:table-row></o>",
        )]);
        assert_eq!(text_of_office(&open).as_deref(), Some("Head\na \t\n"));
    }

    #[test]
    fn an_archive_that_is_a_trap_is_no_document() {
        // 64 MiB of nothing in a few kilobytes.
        let bomb = archive(&[("word/document.xml", &" ".repeat(64 * 1024 * 1024))]);
        assert!(bomb.len() < 100_000);
        assert_eq!(text_of_office(&bomb), None);
        for xml in ["<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>", "<w:p><w:t>&xxe;</w:t></w:p>", "<a", "\u{0}"] {
            let text = text_of_office(&archive(&[("word/document.xml", xml)]));
            assert!(text.is_none_or(|text| text.trim().is_empty()), "{xml}");
        }
        // Each part is small enough, and all of them are not.
        let part = format!("<worksheet>{}</worksheet>", " ".repeat(15 * 1024 * 1024));
        let names: Vec<String> = (1..=5).map(|number| format!("xl/worksheets/sheet{number}.xml")).collect();
        let mut parts = vec![("xl/workbook.xml", "<workbook/>")];
        parts.extend(names[..4].iter().map(|name| (name.as_str(), part.as_str())));
        assert!(text_of_office(&archive(&parts)).is_some());
        parts.push((&names[4], &part));
        assert_eq!(text_of_office(&archive(&parts)), None);
        assert_eq!(super::text_of_office(&archive(&parts[..2]), &span(Millis(0))), None, "the time is over");
        let deep = |levels| {
            let text = format!("{}<t>x</t>{}", "<p>".repeat(levels), "</p>".repeat(levels));
            text_of_office(&archive(&[("word/document.xml", &text)]))
        };
        assert!(deep(MAX_DEPTH - 1).is_some() && deep(MAX_DEPTH).is_none());
        let wide = archive(&[
            ("xl/workbook.xml", "<w/>"),
            ("xl/worksheets/sheet1.xml", "<row><c r='ZZZZ1'><v>1</v></c></row>"),
        ]);
        assert!(text_of_office(&wide).unwrap().len() < 200);
        assert_eq!(text_of_office(&archive(&[("other.txt", "x")])), None);
        assert_eq!(text_of_office(b"PK\x03\x04 and nothing"), None);
    }

    proptest! {
        #[test]
        fn no_bytes_break_the_reader(mut bytes in Just(archive(&[("word/document.xml", "<p><t>hello</t></p>")])),
            changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..8)) {
            for (at, byte) in changes {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
            text_of_office(&bytes);
        }
    }
}
