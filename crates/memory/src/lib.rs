//! What is remembered between sessions: sealed under the key of whose it is, found by keyed words, and reached by agents
//! through permits and by people at a desk.
//!
//! It never looks outside [`Within`](bailiwick_ports::memory::Within), which the gate or the desk's caller makes, and
//! never lets words that nobody vouches for change, remove or stand beside what was confirmed.

mod book;
mod desk;
mod hand;

pub use book::Book;
pub use desk::Desk;
pub use hand::Hand;
