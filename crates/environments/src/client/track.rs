//! What is known of one process on the executor's side, put together from notifications and answers in any order.

use bailiwick_executor_protocol::ProcessReadResult;
use std::collections::{BTreeMap, VecDeque};

/// Events that may wait for an earlier one; beyond that the earlier one is given up.
const MAX_WAITING: usize = 4096;
/// Output that may wait to be shown live; what is more is left out there, never in the result.
const MAX_LIVE_BYTES: usize = 64 * 1024;

/// Output, bounded: the beginning and the end are kept.
#[derive(Debug)]
pub struct Kept {
    head: Vec<u8>,
    tail: VecDeque<u8>,
    max_half: usize,
    omitted: u64,
}

impl Kept {
    pub fn new(max_bytes: usize) -> Self {
        Self { head: Vec::new(), tail: VecDeque::new(), max_half: max_bytes / 2, omitted: 0 }
    }

    fn push(&mut self, bytes: &[u8]) {
        let room = self.max_half.saturating_sub(self.head.len()).min(bytes.len());
        let (head, rest) = bytes.split_at(room);
        self.head.extend_from_slice(head);
        let skipped = rest.len().saturating_sub(self.max_half);
        let rest = &rest[skipped..];
        let over = (self.tail.len() + rest.len()).saturating_sub(self.max_half);
        self.tail.drain(..over.min(self.tail.len()));
        self.tail.extend(rest);
        self.omitted += (skipped + over) as u64;
    }

    /// Some of it is lost, and it is not known how much.
    fn note_loss(&mut self) {
        self.omitted = self.omitted.max(1);
    }

    /// Takes out all that there is. The second number is how many bytes between beginning and end are missing.
    pub fn take(&mut self) -> Output {
        let tail: Vec<u8> = std::mem::take(&mut self.tail).into();
        Output { head: std::mem::take(&mut self.head), tail, omitted: std::mem::take(&mut self.omitted) }
    }
}

/// The beginning and the end of what a process printed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Output {
    pub head: Vec<u8>,
    pub tail: Vec<u8>,
    /// Bytes missing between them; at least 1 when it is not known how many.
    pub omitted: u64,
}

impl Output {
    /// Lossily decoded; says where something is missing.
    pub fn to_text(&self) -> String {
        if self.omitted == 0 {
            let whole = [self.head.as_slice(), self.tail.as_slice()].concat();
            return String::from_utf8_lossy(&whole).into_owned();
        }
        let (head, tail) = (String::from_utf8_lossy(&self.head), String::from_utf8_lossy(&self.tail));
        format!("{head}\n[… {} bytes left out …]\n{tail}", self.omitted)
    }
}

#[derive(Debug)]
pub enum Event {
    Output(Vec<u8>),
    Exited(i32),
    Closed,
}

/// A process as the client sees it.
#[derive(Debug)]
pub struct Track {
    pub output: Kept,
    /// Output that nobody was shown yet.
    pub live: Vec<u8>,
    pub exit_code: Option<i32>,
    /// It exited and its output is at its end, and all of it is here.
    pub closed: bool,
    /// The number of the next event in order.
    next_seq: u64,
    waiting: BTreeMap<u64, Event>,
}

impl Track {
    pub fn new(max_output_bytes: usize) -> Self {
        Self {
            output: Kept::new(max_output_bytes),
            live: Vec::new(),
            exit_code: None,
            closed: false,
            next_seq: 1,
            waiting: BTreeMap::new(),
        }
    }

    /// Whether there is output that was not taken yet.
    pub fn has_output(&self) -> bool {
        !self.output.head.is_empty() || !self.output.tail.is_empty()
    }

    /// The number of the last event in order: what is to be read comes after it.
    pub fn last_seq(&self) -> u64 {
        self.next_seq - 1
    }

    /// Whether events are missing before some that are here.
    pub fn has_gap(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Takes an event; one that was taken before is ignored.
    pub fn take(&mut self, seq: u64, event: Event) {
        if seq < self.next_seq {
            return;
        }
        self.waiting.insert(seq, event);
        if self.waiting.len() > MAX_WAITING
            && let Some((&first, _)) = self.waiting.first_key_value()
        {
            self.next_seq = first;
            self.output.note_loss();
        }
        self.take_waiting();
    }

    fn take_waiting(&mut self) {
        while let Some(event) = self.waiting.remove(&self.next_seq) {
            self.next_seq += 1;
            match event {
                Event::Output(bytes) => self.push(&bytes),
                Event::Exited(code) => self.exit_code = Some(code),
                Event::Closed => self.closed = true,
            }
        }
    }

    fn push(&mut self, bytes: &[u8]) {
        self.output.push(bytes);
        let room = MAX_LIVE_BYTES.saturating_sub(self.live.len()).min(bytes.len());
        self.live.extend_from_slice(&bytes[..room]);
    }

    /// Takes an answer to a read after [`Track::last_seq`] or before; `true` when there is more to read.
    pub fn take_read(&mut self, read: ProcessReadResult) -> bool {
        // Between two chunks only the exit can have a number of its own: a wider gap is output that was thrown away.
        if let Some(first) = read.chunks.first()
            && first.seq > self.next_seq + 1
        {
            self.output.note_loss();
        }
        let more = !read.chunks.is_empty();
        for chunk in read.chunks {
            if chunk.seq >= self.next_seq {
                self.waiting.remove(&chunk.seq);
                self.push(&chunk.chunk.0);
                self.next_seq = chunk.seq + 1;
            }
        }
        if more {
            // The answer may have been cut; its state belongs to the end.
            self.waiting = self.waiting.split_off(&self.next_seq);
            return true;
        }
        self.exit_code = self.exit_code.or(read.exit_code);
        self.closed |= read.closed;
        self.next_seq = self.next_seq.max(read.next_seq);
        self.waiting = self.waiting.split_off(&self.next_seq);
        self.take_waiting();
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bailiwick_executor_protocol::{Chunk, OutputChunk, OutputStream};

    fn text(track: &mut Track) -> String {
        track.output.take().to_text()
    }

    #[test]
    fn events_may_come_in_any_order_and_twice() {
        let mut track = Track::new(100);
        track.take(3, Event::Exited(7));
        track.take(2, Event::Output(b"b".to_vec()));
        assert!(track.has_gap() && track.exit_code.is_none());
        track.take(1, Event::Output(b"a".to_vec()));
        track.take(1, Event::Output(b"a".to_vec()));
        assert_eq!((track.exit_code, track.closed, track.last_seq()), (Some(7), false, 3));
        track.take(4, Event::Closed);
        assert!(track.closed && !track.has_gap());
        assert_eq!(text(&mut track), "ab");
    }

    fn read(chunks: &[(u64, &str)], next_seq: u64, exit_code: Option<i32>) -> ProcessReadResult {
        let chunk = |(seq, text): &(u64, &str)| OutputChunk {
            seq: *seq,
            stream: OutputStream::Stdout,
            chunk: Chunk(text.as_bytes().to_vec()),
        };
        ProcessReadResult {
            chunks: chunks.iter().map(chunk).collect(),
            next_seq,
            exited: exit_code.is_some(),
            exit_code,
            closed: exit_code.is_some(),
            failure: None,
            sandbox_denied: false,
        }
    }

    #[test]
    fn what_was_missed_is_read_and_not_taken_twice() {
        let mut track = Track::new(100);
        track.take(1, Event::Output(b"a".to_vec()));
        track.take(4, Event::Output(b"d".to_vec()));
        assert!(track.take_read(read(&[(2, "b"), (3, "c"), (4, "d")], 7, Some(0))));
        assert!(!track.closed, "there may be more");
        assert!(!track.take_read(read(&[], 7, Some(0))));
        track.take(4, Event::Output(b"d".to_vec()));
        assert_eq!((track.exit_code, track.closed, track.last_seq()), (Some(0), true, 6));
        let output = track.output.take();
        assert_eq!((output.to_text().as_str(), output.omitted), ("abcd", 0));
    }

    #[test]
    fn output_that_the_executor_threw_away_is_noted() {
        let mut track = Track::new(100);
        track.take(1, Event::Output(b"a".to_vec()));
        track.take_read(read(&[(9, "z")], 10, None));
        let output = track.output.take();
        assert_eq!(output.omitted, 1);
        assert!(output.to_text().contains("1 bytes left out"));
    }

    #[test]
    fn long_output_keeps_its_beginning_and_its_end() {
        let mut kept = Kept::new(10);
        for piece in ["abc", "defgh", "ijklmnopqrstuvw", "xyz"] {
            kept.push(piece.as_bytes());
        }
        let output = kept.take();
        assert_eq!(
            (output.head.as_slice(), output.tail.as_slice(), output.omitted),
            (&b"abcde"[..], &b"vwxyz"[..], 16)
        );
        kept.push(b"next");
        assert_eq!(kept.take().to_text(), "next");
    }
}
