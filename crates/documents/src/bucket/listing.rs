//! One page of a list of keys (`ListObjectsV2`), as an object store answers it.

use crate::{library::is_name, tree::Entry};
use bailiwick_types::Timestamp;
use chrono::DateTime;
use quick_xml::{Reader, events::Event};

/// Longest page in bytes: a thousand of the longest keys, with what is said of each.
pub(super) const MAX_LISTING: u64 = 4 * 1024 * 1024;
/// Keys and prefixes on one page.
const MAX_ON_PAGE: usize = 2_000;
/// Elements within elements.
const MAX_DEPTH: usize = 16;

/// A page.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Listing {
    objects: Vec<Object>,
    prefixes: Vec<String>,
    truncated: bool,
    token: String,
    /// What to ask for next.
    pub(super) next: Option<String>,
}

#[derive(Debug, Default, Clone, PartialEq, Eq)]
struct Object {
    key: String,
    size: String,
    modified: String,
}

impl Listing {
    pub(super) fn read(text: &str) -> Result<Self, &'static str> {
        const BROKEN: &str = "answered with XML that is broken";
        let mut reader = Reader::from_str(text);
        let (mut listing, mut object, mut prefix) = (Self::default(), Object::default(), String::new());
        let mut open: Vec<String> = Vec::new();
        loop {
            match reader.read_event().map_err(|_| BROKEN)? {
                Event::Start(start) => {
                    if open.len() >= MAX_DEPTH {
                        return Err("answered with XML that is too deep");
                    }
                    open.push(String::from_utf8_lossy(start.local_name().as_ref()).into_owned());
                }
                Event::Text(text) => {
                    let text = text.unescape().map_err(|_| BROKEN)?;
                    match open.iter().map(String::as_str).collect::<Vec<_>>()[..] {
                        [_, "Contents", "Key"] => object.key.push_str(&text),
                        [_, "Contents", "Size"] => object.size.push_str(&text),
                        [_, "Contents", "LastModified"] => object.modified.push_str(&text),
                        [_, "CommonPrefixes", "Prefix"] => prefix.push_str(&text),
                        [_, "IsTruncated"] => listing.truncated |= text.trim() == "true",
                        [_, "NextContinuationToken"] => listing.token.push_str(&text),
                        _ => {}
                    }
                }
                Event::End(_) => match open.pop().as_deref() {
                    Some("Contents") => listing.objects.push(std::mem::take(&mut object)),
                    Some("CommonPrefixes") => listing.prefixes.push(std::mem::take(&mut prefix)),
                    _ => {}
                },
                Event::DocType(_) => return Err("answered with XML that has a DTD"),
                Event::Eof => break,
                _ => {}
            }
            if listing.objects.len() + listing.prefixes.len() > MAX_ON_PAGE {
                return Err("answered with more than was asked for");
            }
        }
        if !open.is_empty() || text.trim().is_empty() {
            return Err(BROKEN);
        }
        let token = std::mem::take(&mut listing.token);
        listing.next = (listing.truncated && !token.is_empty()).then_some(token);
        Ok(listing)
    }

    /// What lies in the folder of this prefix. A key elsewhere, one that ends with a slash, and what is no name is left out.
    pub(super) fn entries(&self, prefix: &str) -> Vec<Entry> {
        let documents = self.objects.iter().filter_map(|object| {
            Some(Entry {
                name: name(object.key.strip_prefix(prefix)?)?,
                is_folder: false,
                size_bytes: object.size.trim().parse().unwrap_or(0),
                modified: time(object.modified.trim()),
            })
        });
        let folders = self.prefixes.iter().filter_map(|folder| {
            let name = name(folder.strip_prefix(prefix)?.strip_suffix('/')?)?;
            Some(Entry { name, is_folder: true, size_bytes: 0, modified: Timestamp::from_millis(0) })
        });
        documents.chain(folders).collect()
    }
}

fn name(text: &str) -> Option<String> {
    is_name(text).then(|| text.to_owned())
}

/// A time that cannot be read is long ago.
fn time(text: &str) -> Timestamp {
    Timestamp::from_millis(DateTime::parse_from_rfc3339(text).map_or(0, |time| time.timestamp_millis()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_read_and_what_is_no_name_is_left_out() {
        let object = |key: &str| {
            format!(
                "<Contents><Key>{key}</Key><LastModified>2026-11-21T10:00:00.000Z</LastModified><Size>7</Size><Owner><ID>x</ID></Owner></Contents>"
            )
        };
        let text = format!(
            "<?xml version=\"1.0\"?><ListBucketResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Name>docs</Name>\
             <Prefix>finance/</Prefix><IsTruncated>true</IsTruncated><NextContinuationToken>1&amp;2</NextContinuationToken>\
             {}{}{}{}{}<CommonPrefixes><Prefix>finance/2026/</Prefix></CommonPrefixes>\
             <CommonPrefixes><Prefix>finance//</Prefix></CommonPrefixes><CommonPrefixes><Prefix>hr/x/</Prefix></CommonPrefixes>\
             </ListBucketResult>",
            object("finance/"),
            object("finance/a &amp; b.md"),
            object("hr/salaries.csv"),
            object("finance/../hr/salaries.csv"),
            object("finance/.env"),
        );
        let listing = Listing::read(&text).unwrap();
        assert_eq!(listing.next.as_deref(), Some("1&2"));
        let entries = listing.entries("finance/");
        let names: Vec<(&str, bool)> = entries.iter().map(|entry| (entry.name.as_str(), entry.is_folder)).collect();
        assert_eq!(names, [("a & b.md", false), ("2026", true)]);
        assert_eq!(entries[0].size_bytes, 7);
        assert_eq!(entries[0].modified.to_string().get(..10), Some("2026-11-21"));
    }

    #[test]
    fn xml_that_is_an_attack_is_refused() {
        for text in [
            "",
            "<ListBucketResult>",
            "<!DOCTYPE x [<!ENTITY a \"a\">]><ListBucketResult/>",
            "<ListBucketResult><Contents><Key>&xxe;</Key></Contents></ListBucketResult>",
            &format!("{}{}", "<a>".repeat(1_000), "</a>".repeat(1_000)),
            &format!("<L>{}</L>", "<Contents></Contents>".repeat(MAX_ON_PAGE + 1)),
        ] {
            assert!(Listing::read(text).is_err(), "{}", &text[..text.len().min(60)]);
        }
    }
}
