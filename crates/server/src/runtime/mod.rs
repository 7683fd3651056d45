//! The real world behind the ports: the wall clock and tokio's tasks. Randomness comes from `identity`.

mod clock;
mod tasks;

pub use clock::SystemClock;
pub use tasks::TokioTasks;
