//! What Rust code must look like beyond what rustfmt and clippy see.

use super::{Findings, LISTED_FUNCTION_LINES};
use proc_macro2::{TokenStream, TokenTree};
use syn::{Attribute, Block, ExprMethodCall, Ident, ItemMod, Macro, Signature, visit::Visit};

/// What may panic, because it is or serves a test.
const NOT_SHIPPED: [&str; 5] = ["/tests/", "/benches/", "xtask/", "crates/testkit/", "crates/sim/"];
/// How far above an `expect` its reason may stand.
const REASON_LINES: usize = 6;

pub fn check(path: &str, content: &str, findings: &mut Findings) {
    let module = path.contains("/src/") || path.contains("/tests/") || path.contains("/benches/");
    let test_module = path.contains("/src/") && (path.ends_with("/tests.rs") || path.contains("/tests/"));
    if module && !test_module && !content.starts_with("//!") {
        findings.problem(path, 1, "does not begin with `//!` and what it is for");
    }
    let file = match syn::parse_file(content) {
        Ok(file) => file,
        Err(error) => {
            return findings.problem(path, error.span().start().line, format_args!("does not parse: {error}"));
        }
    };
    let mut visitor = Visitor { functions: Vec::new(), expects: Vec::new() };
    visitor.visit_file(&file);
    for (name, line, lines) in visitor.functions {
        if lines > LISTED_FUNCTION_LINES {
            findings.list(path, line, format_args!("`{name}` has {lines} lines"));
        }
    }
    let ships = !test_module && !NOT_SHIPPED.iter().any(|part| path.contains(part));
    if !ships {
        return;
    }
    let lines: Vec<&str> = content.lines().collect();
    for line in visitor.expects {
        let above = &lines[line.saturating_sub(REASON_LINES + 1)..line.min(lines.len())];
        if !above.iter().any(|line| line.contains("// INVARIANT:")) {
            findings.problem(path, line, "`expect` without an `// INVARIANT:` that says why it holds");
        }
    }
}

struct Visitor {
    /// Name, line and number of lines.
    functions: Vec<(String, usize, usize)>,
    /// Lines of `.expect(` outside of test modules.
    expects: Vec<usize>,
}

impl Visitor {
    fn function(&mut self, signature: &Signature, block: &Block) {
        let first = signature.fn_token.span.start().line;
        let last = block.brace_token.span.close().end().line;
        self.functions.push((signature.ident.to_string(), first, last - first + 1));
    }

    /// Method calls inside of macros are seen as tokens only.
    fn tokens(&mut self, tokens: TokenStream) {
        let mut after_dot = false;
        for token in tokens {
            match &token {
                TokenTree::Ident(name) if after_dot && name == "expect" => self.expects.push(name.span().start().line),
                TokenTree::Group(group) => self.tokens(group.stream()),
                _ => {}
            }
            after_dot = matches!(&token, TokenTree::Punct(punct) if punct.as_char() == '.');
        }
    }
}

impl<'a> Visit<'a> for Visitor {
    fn visit_item_mod(&mut self, module: &'a ItemMod) {
        if !is_test(&module.attrs) {
            syn::visit::visit_item_mod(self, module);
        }
    }

    fn visit_item_fn(&mut self, function: &'a syn::ItemFn) {
        if !is_test(&function.attrs) {
            self.function(&function.sig, &function.block);
            syn::visit::visit_item_fn(self, function);
        }
    }

    fn visit_impl_item_fn(&mut self, function: &'a syn::ImplItemFn) {
        self.function(&function.sig, &function.block);
        syn::visit::visit_impl_item_fn(self, function);
    }

    fn visit_trait_item_fn(&mut self, function: &'a syn::TraitItemFn) {
        if let Some(block) = &function.default {
            self.function(&function.sig, block);
        }
        syn::visit::visit_trait_item_fn(self, function);
    }

    fn visit_expr_method_call(&mut self, call: &'a ExprMethodCall) {
        if call.method == "expect" {
            self.expects.push(call.method.span().start().line);
        }
        syn::visit::visit_expr_method_call(self, call);
    }

    fn visit_macro(&mut self, invocation: &'a Macro) {
        self.tokens(invocation.tokens.clone());
    }
}

/// `#[cfg(test)]` and `#[test]`.
fn is_test(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        attribute.path().is_ident("test")
            || (attribute.path().is_ident("cfg") && attribute.parse_args::<Ident>().is_ok_and(|name| name == "test"))
    })
}
