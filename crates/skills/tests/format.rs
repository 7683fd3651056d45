//! What is taken for a skill, and what is not: every trick that an archive, a path or a front matter may try.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use bailiwick_skills::{Bundle, MAX_BYTES, MAX_FILES, SkillError};
use proptest::prelude::*;

const SKILL: &str =
    "---\nname: charts\ndescription: Draws charts. Use when numbers are to be shown.\n---\n# Charts\n\nDraw.\n";

/// One entry of an archive, as wrong as a test wants it.
struct Entry {
    name: Vec<u8>,
    content: Vec<u8>,
    /// A Unix mode; 0: none.
    mode: u32,
    /// General purpose flags.
    flags: u16,
    /// 0 stored, 8 deflated; what is not stored is written as it is.
    method: u16,
    /// What the entry says its content is unpacked.
    claimed: Option<u32>,
}

fn entry(name: &str, content: &str) -> Entry {
    let (name, content) = (name.as_bytes().to_vec(), content.as_bytes().to_vec());
    Entry { name, content, mode: 0, flags: 0, method: 0, claimed: None }
}

/// The plain format of PKWARE's note, without anything that would put a wrong entry right.
fn zip(entries: &[Entry]) -> Vec<u8> {
    let (mut bytes, mut directory) = (Vec::new(), Vec::new());
    for entry in entries {
        let at = bytes.len() as u32;
        let size = entry.claimed.unwrap_or(entry.content.len() as u32);
        let mut fields = Vec::new();
        for field in [20, entry.flags, entry.method, 0, 0x21] {
            fields.extend_from_slice(&field.to_le_bytes());
        }
        for field in [crc(&entry.content), entry.content.len() as u32, size] {
            fields.extend_from_slice(&field.to_le_bytes());
        }
        fields.extend_from_slice(&(entry.name.len() as u16).to_le_bytes());
        fields.extend_from_slice(&0_u16.to_le_bytes());
        bytes.extend_from_slice(b"PK\x03\x04");
        bytes.extend_from_slice(&fields);
        bytes.extend_from_slice(&entry.name);
        bytes.extend_from_slice(&entry.content);
        directory.extend_from_slice(b"PK\x01\x02");
        // Made by Unix where there is a mode.
        directory.extend_from_slice(&(if entry.mode == 0 { 20_u16 } else { 3 << 8 | 20 }).to_le_bytes());
        directory.extend_from_slice(&fields);
        directory.extend_from_slice(&[0; 6]);
        directory.extend_from_slice(&(entry.mode << 16).to_le_bytes());
        directory.extend_from_slice(&at.to_le_bytes());
        directory.extend_from_slice(&entry.name);
    }
    let (begin, length) = (bytes.len() as u32, directory.len() as u32);
    bytes.extend_from_slice(&directory);
    bytes.extend_from_slice(b"PK\x05\x06\0\0\0\0");
    let count = (entries.len() as u16).to_le_bytes();
    bytes.extend_from_slice(&[count, count].concat());
    bytes.extend_from_slice(&length.to_le_bytes());
    bytes.extend_from_slice(&begin.to_le_bytes());
    bytes.extend_from_slice(&[0, 0]);
    bytes
}

fn crc(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0_u32, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 })
    })
}

fn of(entries: Vec<Entry>) -> Result<Bundle, SkillError> {
    let mut all = vec![entry("charts/SKILL.md", SKILL)];
    all.extend(entries);
    Bundle::of_zip(&zip(&all))
}

fn refused(entries: Vec<Entry>, what: &str) {
    let error = of(entries).expect_err(what).to_string();
    assert!(error.contains(what), "{what}: {error}");
}

#[test]
fn a_skill_is_read_and_packed_again_to_the_same_digest() {
    let bundle = of(vec![entry("charts/", ""), entry("charts/scripts/", ""), entry("charts/scripts/draw.py", "x")]);
    let bundle = bundle.unwrap();
    assert_eq!(bundle.manifest().name, "charts");
    assert_eq!(bundle.manifest().description, "Draws charts. Use when numbers are to be shown.");
    assert_eq!(bundle.instructions(), "# Charts\n\nDraw.");
    assert_eq!(bundle.files().keys().collect::<Vec<_>>(), ["SKILL.md", "scripts/draw.py"]);
    let again = Bundle::of_zip(&bundle.to_zip()).unwrap();
    assert_eq!((&again, again.digest()), (&bundle, bundle.digest()));
    assert_eq!(bundle.to_zip(), again.to_zip(), "the same skill is the same bytes");
    let file = |path: &str, text: &str| (path.to_owned(), text.as_bytes().to_vec());
    let flat = Bundle::of_files(vec![file("SKILL.md", SKILL), file("scripts/draw.py", "x")]).unwrap();
    assert_eq!(flat.digest(), bundle.digest(), "however it was packed");
    let other = Bundle::of_files(vec![file("SKILL.md", SKILL), file("scripts/draw.py", "y")]).unwrap();
    assert_ne!(other.digest(), bundle.digest());
    let moved = Bundle::of_files(vec![file("SKILL.md", SKILL), file("scripts/drawpy", ".x")]).unwrap();
    assert_ne!(moved.digest(), bundle.digest(), "what is name and what is content counts");
}

#[test]
fn no_path_leads_out_or_is_two_files() {
    for (name, what) in [
        ("charts/../../etc/passwd", "`.` or `..`"),
        ("../charts/x", "`.` or `..`"),
        ("charts/./x", "`.` or `..`"),
        ("/etc/passwd", "relative path"),
        ("charts//x", "empty part"),
        ("charts\\..\\..\\x", "not `\\`"),
        ("C:/x", "not every system takes"),
        ("charts/a:b", "not every system takes"),
        ("charts/nul.", "ends with a dot"),
        ("charts/x ", "ends with a dot or a space"),
        ("charts/\u{202e}gpj.exe", "invisible"),
        ("charts/a\u{200b}b", "invisible"),
        ("charts/a\nb", "control"),
        ("charts/cafe\u{301}.md", "NFC"),
        ("charts/skill.md", "the same file"),
        ("charts/Skill.MD", "the same file"),
        ("charts/SKILL.md/x", "a file, too"),
        ("charts/skill.MD/x", "a file, too"),
        ("other/x", "outside the one folder"),
        ("CHARTS/x", "outside the one folder"),
        ("__MACOSX/x", "outside the one folder"),
    ] {
        refused(vec![entry(name, "x")], what);
    }
    refused(vec![entry("charts/Kx", "x"), entry("charts/\u{ff2b}x", "y")], "the same file");
    refused(vec![entry("charts/Docs/a", "x"), entry("charts/docs/b", "y")], "the same folder");
    refused(vec![entry(&format!("charts/{}", "a/".repeat(40) + "x"), "x")], "deeper");
    refused(vec![entry(&format!("charts/{}", "a".repeat(300)), "x")], "too long");
    refused(vec![entry(&format!("charts/{}", "abcdefgh/".repeat(80) + "x"), "x")], "512 bytes");
    let raw = Entry { name: b"charts/\xff\xfe".to_vec(), ..entry("", "x") };
    refused(vec![raw], "UTF-8");
}

#[test]
fn links_devices_and_what_is_packed_otherwise_are_refused() {
    for (mode, what) in [
        (0o120_777, "link or a device"),
        (0o020_666, "link or a device"),
        (0o060_666, "link or a device"),
        (0o010_666, "link or a device"),
        (0o140_666, "link or a device"),
        (0o040_755, "link or a device"),
    ] {
        refused(vec![Entry { mode, ..entry("charts/x", "/etc/passwd") }], what);
    }
    assert!(of(vec![Entry { mode: 0o100_755, ..entry("charts/x.sh", "true") }]).is_ok());
    refused(vec![Entry { mode: 0o100_644, ..entry("charts/x/", "") }], "link or a device");
    refused(vec![entry("charts/x/", "content")], "content of its own");
    assert!(of(vec![Entry { flags: 1, ..entry("charts/x", "x") }]).is_err(), "encrypted");
    assert!(of(vec![Entry { method: 99, ..entry("charts/x", "x") }]).is_err(), "another way to pack");
    assert!(of(vec![Entry { method: 8, ..entry("charts/x", "no deflate") }]).is_err());
    assert!(of(vec![entry("charts/x", "1"), entry("charts/x", "2")]).is_err(), "one name twice");
    for broken in [&b""[..], b"PK", b"PK\x05\x06", SKILL.as_bytes()] {
        assert!(Bundle::of_zip(broken).is_err());
    }
}

#[test]
fn what_grows_is_cut_off_whatever_it_says_of_itself() {
    let file = |index: usize| entry(&format!("charts/{index}"), "x");
    refused((0..MAX_FILES).map(file).collect(), "more than 500 files");
    refused((0..2 * MAX_FILES).map(file).collect(), "entries");
    let folder = |index: usize| entry(&format!("charts/{index}/"), "");
    refused((0..2 * MAX_FILES).map(folder).collect(), "entries");
    // 64 MB of nothing, packed by a writer that means well.
    let many = |length: usize| {
        use std::io::Write;
        let mut writer = zip_writer();
        writer.0.write_all(&vec![0; length]).unwrap();
        writer.finish()
    };
    let bomb = many(64 * 1024 * 1024);
    assert!(bomb.len() < MAX_BYTES / 100, "{}", bomb.len());
    let error = Bundle::of_zip(&bomb).unwrap_err().to_string();
    assert!(error.contains("when it is unpacked"), "{error}");
    let files = vec![("SKILL.md".to_owned(), vec![b'x'; MAX_BYTES]), ("x".to_owned(), vec![0])];
    assert!(Bundle::of_files(files).unwrap_err().to_string().contains("bytes"));
    let signs = [b"PK\x01\x02".repeat(20_000), zip(&[entry("charts/SKILL.md", SKILL)])].concat();
    assert!(Bundle::of_zip(&signs).unwrap_err().to_string().contains("entries"));
}

struct Bomb(zip::ZipWriter<std::io::Cursor<Vec<u8>>>);

fn zip_writer() -> Bomb {
    let mut writer = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    writer.start_file("charts/SKILL.md", zip::write::SimpleFileOptions::default()).unwrap();
    Bomb(writer)
}

impl Bomb {
    fn finish(self) -> Vec<u8> {
        self.0.finish().unwrap().into_inner()
    }
}

fn read(front: &str) -> Result<Bundle, SkillError> {
    let text = format!("---\n{front}\n---\nbody\n");
    Bundle::of_files(vec![("SKILL.md".to_owned(), text.into_bytes())])
}

#[test]
fn the_front_matter_is_what_the_format_says() {
    let whole = "name: pdf-2\ndescription: >\n  Reads\n  PDF files.\nlicense: Apache-2.0\ncompatibility: Needs python3\n\
                 metadata:\n  author: example\n  version: \"1.0\"\nallowed-tools: Bash(git:*) Read";
    let bundle = read(whole).unwrap();
    let manifest = bundle.manifest();
    assert_eq!((manifest.name.as_str(), manifest.description.as_str()), ("pdf-2", "Reads PDF files."));
    assert_eq!(manifest.metadata["version"], "1.0");
    assert_eq!(manifest.allowed_tools.as_deref(), Some("Bash(git:*) Read"));
    assert_eq!(manifest.compatibility.as_deref(), Some("Needs python3"));
    let crlf = whole.replace('\n', "\r\n");
    assert_eq!(read(&crlf).unwrap().manifest(), manifest);
    let long = |field: &str, count: usize| format!("{field}: {}", "x".repeat(count));
    for (front, field, what) in [
        ("name: a\ndescription: b\nversion: \"1\"", "version", "no field of a skill"),
        ("name: a\ndescription: b\nallowed_tools: x", "allowed_tools", "no field of a skill"),
        ("description: b", "name", "missing"),
        ("name: a", "description", "missing"),
        ("name: A\ndescription: b", "name", "lower-case"),
        ("name: -a\ndescription: b", "name", "lower-case"),
        ("name: a-\ndescription: b", "name", "lower-case"),
        ("name: a--b\ndescription: b", "name", "lower-case"),
        ("name: a_b\ndescription: b", "name", "lower-case"),
        ("name: a/b\ndescription: b", "name", "lower-case"),
        ("name: \"..\"\ndescription: b", "name", "lower-case"),
        ("name: é\ndescription: b", "name", "lower-case"),
        ("name: 123\ndescription: b", "name", "quotes"),
        ("name: true\ndescription: b", "name", "quotes"),
        ("name: a\ndescription:", "description", "quotes"),
        ("name: a\ndescription: \"  \"", "description", "1 to 1024"),
        ("name: a\ndescription: \"b\\u200bc\"", "description", "invisible"),
        ("name: a\nname: b\ndescription: c", "name", "twice"),
        ("name: [a]\ndescription: b", "name", "list"),
        ("name: {a: b}\ndescription: b", "name", "text"),
        ("name: a\ndescription: b\nmetadata: x", "metadata", "mapping"),
        ("name: a\ndescription: b\nmetadata:\n  k: 1.0", "metadata.k", "quotes"),
        ("name: a\ndescription: b\nmetadata:\n  k: x\n  k: y", "metadata.k", "twice"),
        ("name: a\ndescription: b\nmetadata:\n  k:\n    j: x", "metadata", "text"),
        ("name: a\ndescription: b\nallowed-tools: [Read]", "allowed-tools", "list"),
        ("name: &a x\ndescription: b", "name", "anchor"),
        ("name: a\ndescription: *a", "SKILL.md", "YAML"),
        ("name: !!str a\ndescription: b", "name", "tag"),
        ("name: a\ndescription: b: c", "SKILL.md", "YAML"),
        ("- name: a", "SKILL.md", "fields"),
        ("name", "SKILL.md", "fields"),
        ("", "name", "missing"),
        ("? [a]\n: b", "SKILL.md", ""),
        (&format!("{}\ndescription: b", long("name", 65)), "name", "1 to 64"),
        (&format!("name: a\n{}", long("description", 1025)), "description", "1 to 1024"),
        (&format!("name: a\ndescription: b\n{}", long("compatibility", 501)), "compatibility", "1 to 500"),
        (&format!("name: a\ndescription: b\n# {}", "x".repeat(20_000)), "SKILL.md", "16384 bytes"),
    ] {
        let error = read(front).expect_err(front);
        assert!(error.place.ends_with(field) && error.problem.contains(what), "{front:?}: {error}");
    }
    let file = |text: &[u8]| Bundle::of_files(vec![("SKILL.md".to_owned(), text.to_vec())]);
    for text in ["", "no front matter", "---\nname: a\ndescription: b\n", " ---\nname: a\n---\n", "\u{feff}---\n---\n"]
    {
        assert!(file(text.as_bytes()).is_err(), "{text:?}");
    }
    assert!(file(b"---\nname: a\ndescription: b\n---\n\xff").unwrap_err().problem.contains("UTF-8"));
    assert!(file(b"---\nname: a\ndescription: b\n---\n\0").is_err());
    let missing = Bundle::of_files(vec![("skill.md".to_owned(), SKILL.into())]).unwrap_err().to_string();
    assert!(missing.contains("exactly this spelling"), "{missing}");
    let named = Bundle::of_files(vec![("plots/SKILL.md".to_owned(), SKILL.into())]).unwrap_err().to_string();
    assert!(named.contains("`plots`"), "{named}");
}

proptest! {
    #[test]
    fn nothing_panics_on_an_archive(bytes in proptest::collection::vec(any::<u8>(), 0..400), at in 0_usize..400, with: u8) {
        let _ = Bundle::of_zip(&bytes);
        let mut near = zip(&[entry("charts/SKILL.md", SKILL), entry("charts/x", "y")]);
        let at = at % near.len();
        near[at] = with;
        if let Ok(bundle) = Bundle::of_zip(&near) {
            prop_assert!(bundle.files().keys().all(|path| !path.split('/').any(|part| part == "..")));
        }
    }

    #[test]
    fn nothing_panics_on_a_front_matter(front in "[ -~\\n]{0,300}") {
        let _ = read(&front);
    }
}
