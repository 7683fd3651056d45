//! Prints the OpenAPI document, for `cargo xtask openapi`.

#![allow(clippy::print_stdout, reason = "printing is all it does")]

fn main() {
    print!("{}", bailiwick_api::openapi());
}
