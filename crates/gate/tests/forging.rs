//! Forging or reusing a permit or an outcome does not compile.

#[test]
fn permits_and_outcomes_cannot_be_forged_or_used_twice() {
    let cases = trybuild::TestCases::new();
    cases.compile_fail("tests/ui/*.rs");
}
