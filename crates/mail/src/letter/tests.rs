//! What is written is read back by somebody else's reader, whatever is in it, and never as something else.

use super::*;
use bailiwick_types::Timestamp;
use mail_parser::{MessageParser, MimeHeaders};
use proptest::prelude::*;

const ACTION: ActionId = ActionId::new(Timestamp::from_millis(1_795_260_645_000), [7; 10]);
const MARK: &str = "user_1 through agent_2 (session sess_3)";

fn letter() -> Letter {
    let address = |text| Address::parse(text).unwrap();
    Letter {
        from: Mailbox::new(Some("Anna Müller"), address("anna@firma.example")).unwrap(),
        to: vec![address("ben@firma.example")],
        cc: vec![address("cleo@partner.example"), address("ben@firma.example")],
        bcc: vec![address("dora@firma.example")],
        subject: "Quartal: Zahlen für Köln".into(),
        text: "Hallo,\n\n.\n..\nFrom here\n-- \nÜber = alles   \n".into(),
        in_reply_to: Some("<1@partner.example>".into()),
        attachments: Vec::new(),
    }
}

fn written(letter: &Letter) -> Written {
    letter.write(ACTION, MARK, "Written by an AI colleague for Anna Müller.").unwrap()
}

/// Headers as a naive reader sees them: every line up to the first empty one.
fn header_names(bytes: &[u8]) -> Vec<String> {
    let text = String::from_utf8(bytes.to_vec()).unwrap();
    let head = text.split("\r\n\r\n").next().unwrap();
    let lines = head.split("\r\n").filter(|line| !line.starts_with(' '));
    lines.map(|line| line.split(':').next().unwrap().to_owned()).collect()
}

#[test]
fn a_letter_is_read_back_as_it_was_written() {
    let letter = letter();
    let written = written(&letter);
    let read = MessageParser::default().parse(&written.bytes).unwrap();
    assert_eq!(read.subject(), Some("Quartal: Zahlen für Köln"));
    let from = read.from().unwrap().first().unwrap();
    assert_eq!((from.name(), from.address()), (Some("Anna Müller"), Some("anna@firma.example")));
    assert_eq!(format!("<{}>", read.message_id().unwrap()), written.message_id);
    assert_eq!(written.message_id, message_id(ACTION, &letter.from.address));
    assert_eq!(read.date().unwrap().to_timestamp(), ACTION.made_at().as_seconds());
    assert_eq!(read.header_raw("Auto-Submitted").unwrap().trim(), "auto-generated");
    assert_eq!(read.header_raw("X-Bailiwick-Author").unwrap().trim(), MARK);
    let text = read.body_text(0).unwrap().replace("\r\n", "\n");
    assert_eq!(
        text.trim_end(),
        format!(
            "Hallo,\n\n.\n..\nFrom here\n-- \nÜber = alles\n\n-- \nWritten by an AI colleague for Anna Müller.\n{MARK}"
        )
    );
    assert!(!String::from_utf8_lossy(&written.bytes).contains("dora@"), "a blind copy is named nowhere");
    let to: Vec<&str> = written.recipients.iter().map(Address::as_str).collect();
    assert_eq!(to, ["ben@firma.example", "cleo@partner.example", "dora@firma.example"]);
}

#[test]
fn the_same_action_writes_the_same_bytes() {
    assert_eq!(written(&letter()), written(&letter()));
    let other = letter().write(ACTION.caused(1), MARK, "x").unwrap();
    assert_ne!(other.message_id, written(&letter()).message_id);
}

#[test]
fn attachments_come_out_whole_under_their_names() {
    let mut letter = letter();
    let bytes: Vec<u8> = (0..=255).cycle().take(5000).collect();
    letter.attachments = vec![
        Attachment { name: "Übersicht 1.csv".into(), media_type: "text/csv".into(), bytes: b"a;b\r\n1;2".to_vec() },
        Attachment { name: "chart.png".into(), media_type: "image/png".into(), bytes: bytes.clone() },
    ];
    let written = written(&letter);
    let read = MessageParser::default().parse(&written.bytes).unwrap();
    let attached: Vec<_> = read.attachments().map(|part| (part.attachment_name().unwrap(), part.contents())).collect();
    assert_eq!(attached, [("Übersicht 1.csv", &b"a;b\r\n1;2"[..]), ("chart.png", &bytes[..])]);
    assert!(read.body_text(0).unwrap().contains("Hallo"));
}

/// Every place that a model fills, with everything that ends a line somewhere.
#[test]
fn nothing_that_a_model_writes_adds_a_header_or_a_recipient() {
    let honest = header_names(&written(&letter()).bytes);
    for poison in [
        "x\r\nBcc: evil@evil.example",
        "x\nBcc: evil@evil.example",
        "x\rBcc: evil@evil.example",
        "x\r\n\r\nbody",
        "x\0y",
        "x\u{b}Bcc: evil@evil.example",
        "x\u{c}y",
        "x\u{85}Bcc: evil@evil.example",
        "\u{1b}[31mred",
    ] {
        let mut subject = letter();
        subject.subject = poison.into();
        assert!(subject.write(ACTION, MARK, "b").is_err(), "{poison:?}");
        let mut reference = letter();
        reference.in_reply_to = Some(format!("<1@a.example>{poison}"));
        assert!(reference.write(ACTION, MARK, "b").is_err(), "{poison:?}");
        let mut file = letter();
        file.attachments = vec![Attachment { name: poison.into(), media_type: "text/plain".into(), bytes: Vec::new() }];
        assert!(file.write(ACTION, MARK, "b").is_err(), "{poison:?}");
        file.attachments[0].name = "a.txt".into();
        file.attachments[0].media_type = format!("text/{poison}");
        assert!(file.write(ACTION, MARK, "b").is_err(), "{poison:?}");
        assert!(Mailbox::new(Some(poison), letter().from.address).is_err(), "{poison:?}");
        assert!(Address::parse(&format!("a@b.example{poison}")).is_err(), "{poison:?}");
        assert!(letter().write(ACTION, poison, "b").is_err() && letter().write(ACTION, MARK, poison).is_err());
    }
    // Line ends that are none in a mail stay text.
    for odd in
        ["x\u{2028}Bcc: evil@evil.example", "x\u{2029}y", "=?UTF-8?B?DQpCY2M6IGV2aWxAZXZpbC5leGFtcGxl?=", " x ", "a  b"]
    {
        let mut subject = letter();
        subject.subject = odd.into();
        let bytes = written(&subject).bytes;
        assert_eq!(header_names(&bytes), honest, "{odd:?}");
        assert_eq!(MessageParser::default().parse(&bytes).unwrap().subject(), Some(odd), "{odd:?}");
    }
}

#[test]
fn what_is_too_much_is_refused_by_its_field() {
    let refused = |change: &dyn Fn(&mut Letter), field: &str| {
        let mut letter = letter();
        change(&mut letter);
        let problem = letter.write(ACTION, MARK, "b").unwrap_err();
        assert!(problem.contains(field), "{problem}");
    };
    refused(&|letter| (letter.to, letter.cc, letter.bcc) = Default::default(), "`to`");
    refused(
        &|letter| letter.to = (0..51).map(|n| Address::parse(&format!("a{n}@b.example")).unwrap()).collect(),
        "`to`",
    );
    refused(&|letter| letter.subject = "x".repeat(257), "`subject`");
    refused(&|letter| letter.text = "x".repeat(MAX_TEXT + 1), "`text`");
    refused(&|letter| letter.text = "a\u{7}".into(), "`text`");
    let file =
        |name: &str, kind: &str, size| Attachment { name: name.into(), media_type: kind.into(), bytes: vec![0; size] };
    refused(&|letter| letter.attachments = vec![file("a", "text/plain", 0); 11], "`attachments`");
    refused(&|letter| letter.attachments = vec![file("a", "text/plain", MAX_ATTACHED + 1)], "`attachments`");
    refused(&|letter| letter.attachments = vec![file("../a", "text/plain", 1)], "`attachments[0].name`");
    refused(&|letter| letter.attachments = vec![file("a", "multipart/mixed", 1)], "`attachments[0].media_type`");
}

proptest! {
    /// Whatever the text is, the mail has its headers, ASCII lines that are short enough, and that text.
    #[test]
    fn any_text_survives(text in "[^\u{0}-\u{8}\u{b}-\u{1f}\u{7f}-\u{9f}]{0,400}", subject in "[^\u{0}-\u{1f}\u{7f}-\u{9f}]{0,200}") {
        let mut letter = letter();
        (letter.text, letter.subject) = (text.clone(), subject.clone());
        let bytes = written(&letter).bytes;
        prop_assert_eq!(header_names(&bytes), header_names(&written(&self::letter()).bytes));
        prop_assert!(bytes.is_ascii() && bytes.ends_with(b"\r\n"));
        for line in bytes.split(|byte| *byte == b'\n') {
            prop_assert!(line.len() <= 200, "{}", String::from_utf8_lossy(line));
        }
        let read = MessageParser::default().parse(&bytes).unwrap();
        let body = read.body_text(0).unwrap().replace("\r\n", "\n");
        let expected = text.replace("\r\n", "\n").replace('\r', "\n");
        prop_assert!(body.starts_with(expected.trim_end()), "{:?} holds {:?}", body, expected);
        prop_assert_eq!(read.subject().unwrap_or_default(), subject);
    }
}
