//! Stand-ins for tests: stores in memory, plain keys, a clock and randomness that the test owns, a scripted model
//! server. What they stand in for, they keep to the letter. Never ships in the binary.

pub mod clock;
pub mod conformance;
pub mod export;
pub mod keys;
pub mod model_server;
pub mod random;
pub mod store;
