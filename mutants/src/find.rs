//! Finds places where code can be changed in a way that compiles and that somebody should notice.

use proc_macro2::Span;
use std::collections::BTreeSet;
use std::ops::Range;
use syn::spanned::Spanned;
use syn::visit::{self, Visit};
use syn::{BinOp, Expr, ReturnType, Stmt, Type, UnOp};

/// Stands in inserted text for the question whether this mutant is on.
pub(crate) const ON: &str = "\u{1}";

/// One change to one file.
#[derive(Clone, Debug)]
pub(crate) struct Mutant {
    /// The directory of the core that it is in.
    pub(crate) module: String,
    /// From the root of the workspace.
    pub(crate) file: String,
    pub(crate) line: usize,
    /// `Type::function`.
    pub(crate) function: String,
    /// What is changed, in a few words.
    pub(crate) what: String,
    /// Bytes of the file that belong to it; no two mutants that are planted together overlap.
    pub(crate) range: Range<usize>,
    /// What is inserted where, in rising order; [`ON`] asks for the switch.
    pub(crate) inserts: Vec<(usize, String)>,
}

impl Mutant {
    /// Tells it from all others.
    pub(crate) fn key(&self) -> (String, usize, String) {
        (self.file.clone(), self.range.start, self.what.clone())
    }

    /// Tells it from all others for as long as its function is as it is, wherever that stands.
    pub(crate) fn name(&self) -> String {
        format!("{} {}: {}", self.file.trim_start_matches("core/src/"), self.function, self.what)
    }
}

/// All mutants of a file, and the names of the modules it declares for tests only.
pub(crate) fn mutants(
    module: &str,
    file: &str,
    source: &str,
) -> syn::Result<(Vec<Mutant>, BTreeSet<String>)> {
    let mut finder = Finder {
        module,
        file,
        source,
        of_type: None,
        function: Vec::new(),
        found: Vec::new(),
        test_modules: BTreeSet::new(),
    };
    finder.visit_file(&syn::parse_file(source)?);
    Ok((finder.found, finder.test_modules))
}

struct Finder<'a> {
    module: &'a str,
    file: &'a str,
    source: &'a str,
    of_type: Option<String>,
    function: Vec<String>,
    found: Vec<Mutant>,
    test_modules: BTreeSet<String>,
}

impl Finder<'_> {
    fn text(&self, span: Span) -> &str {
        &self.source[span.byte_range()]
    }

    /// Known mistakes are no code of ours: nothing that speaks of them is changed.
    fn speaks_of_plants(&self, span: Span) -> bool {
        self.text(span).contains("planted(")
    }

    /// Is the mistake made? Then alone does what is beside it count.
    fn is_plant(&self, expr: &Expr) -> bool {
        match expr {
            Expr::Call(call) => self.text(call.func.span()).ends_with("planted"),
            Expr::Binary(it) if matches!(it.op, BinOp::And(_)) => {
                self.is_plant(&it.left) || self.is_plant(&it.right)
            }
            _ => false,
        }
    }

    fn add(&mut self, what: String, span: Span, inserts: Vec<(usize, String)>) {
        let function = match (&self.of_type, self.function.last()) {
            (_, None) => return,
            (Some(of), Some(name)) => format!("{of}::{name}"),
            (None, Some(name)) => name.clone(),
        };
        let range = match (inserts.first(), inserts.last()) {
            (Some((from, _)), Some((to, _))) => *from..*to,
            _ => return,
        };
        self.found.push(Mutant {
            module: self.module.to_owned(),
            file: self.file.to_owned(),
            line: span.start().line,
            function,
            what,
            range,
            inserts,
        });
    }

    /// `span` becomes `instead` when the mutant is on.
    fn replace(&mut self, what: String, span: Span, instead: &str) {
        let at = span.byte_range();
        let before = format!("(if {ON} {{ {instead} }} else {{ ");
        self.add(what, span, vec![(at.start, before), (at.end, " })".to_owned())]);
    }

    fn in_function(
        &mut self,
        sig: &syn::Signature,
        block: &syn::Block,
        inside: impl FnOnce(&mut Self),
    ) {
        let name = sig.ident.to_string();
        if sig.constness.is_some() || name == "fmt" {
            return;
        }
        self.function.push(name);
        if !block.stmts.is_empty() {
            let at = block.brace_token.span.open().byte_range().end;
            for value in instead_of(&sig.output) {
                let give = format!(" if {ON} {{ return {value}; }}");
                let what = match *value {
                    "" => "do nothing".to_owned(),
                    _ => format!("always `{value}`"),
                };
                self.add(what, sig.ident.span(), vec![(at, give)]);
            }
        }
        inside(self);
        self.function.pop();
    }
}

/// What a function of this type could answer without work.
fn instead_of(output: &ReturnType) -> &'static [&'static str] {
    let ReturnType::Type(_, of) = output else { return &[""] };
    match &**of {
        Type::Tuple(tuple) if tuple.elems.is_empty() => &[""],
        Type::Path(path) => {
            match path.path.segments.last().map(|last| last.ident.to_string()).as_deref() {
                Some("bool") => &["true", "false"],
                Some("i8" | "i16" | "i32" | "i64" | "u8" | "u16" | "u32" | "u64" | "usize") => {
                    &["0", "1"]
                }
                Some("Option") => &["None"],
                Some("Vec" | "String" | "BTreeMap" | "BTreeSet" | "VecDeque") => {
                    &["Default::default()"]
                }
                Some("Result") if is_result_of_nothing(path) => &["Ok(())"],
                _ => &[],
            }
        }
        _ => &[],
    }
}

fn is_result_of_nothing(path: &syn::TypePath) -> bool {
    let Some(last) = path.path.segments.last() else { return false };
    let syn::PathArguments::AngleBracketed(given) = &last.arguments else { return false };
    matches!(given.args.first(), Some(syn::GenericArgument::Type(Type::Tuple(of))) if of.elems.is_empty())
}

/// The operator that could have been meant, and how it is written.
fn other(op: &BinOp) -> Option<(&'static str, &'static str)> {
    Some(match op {
        BinOp::Lt(_) => ("<", "<="),
        BinOp::Le(_) => ("<=", "<"),
        BinOp::Gt(_) => (">", ">="),
        BinOp::Ge(_) => (">=", ">"),
        BinOp::Eq(_) => ("==", "!="),
        BinOp::Ne(_) => ("!=", "=="),
        BinOp::And(_) => ("&&", "||"),
        BinOp::Or(_) => ("||", "&&"),
        BinOp::Add(_) => ("+", "-"),
        BinOp::Sub(_) => ("-", "+"),
        BinOp::Mul(_) => ("*", "+"),
        BinOp::Div(_) => ("/", "*"),
        BinOp::Rem(_) => ("%", "/"),
        BinOp::BitAnd(_) => ("&", "|"),
        BinOp::BitOr(_) => ("|", "&"),
        BinOp::BitXor(_) => ("^", "|"),
        BinOp::Shl(_) => ("<<", ">>"),
        BinOp::Shr(_) => (">>", "<<"),
        _ => return None,
    })
}

fn is_for_tests(attributes: &[syn::Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        attribute.path().is_ident("test")
            || attribute.path().is_ident("cfg")
                && attribute
                    .parse_args::<syn::Path>()
                    .is_ok_and(|path| path.is_ident("test"))
            || attribute.path().is_ident("cfg")
                && matches!(&attribute.meta, syn::Meta::List(list) if list.tokens.to_string().contains("planted-bugs"))
    })
}

impl<'ast> Visit<'ast> for Finder<'_> {
    fn visit_item_mod(&mut self, module: &'ast syn::ItemMod) {
        if is_for_tests(&module.attrs) {
            self.test_modules.insert(module.ident.to_string());
        } else {
            visit::visit_item_mod(self, module);
        }
    }

    fn visit_item_const(&mut self, _: &'ast syn::ItemConst) {}
    fn visit_item_static(&mut self, _: &'ast syn::ItemStatic) {}
    fn visit_item_enum(&mut self, _: &'ast syn::ItemEnum) {}
    fn visit_impl_item_const(&mut self, _: &'ast syn::ImplItemConst) {}
    fn visit_type(&mut self, _: &'ast Type) {}
    fn visit_pat(&mut self, _: &'ast syn::Pat) {}

    fn visit_item_impl(&mut self, of: &'ast syn::ItemImpl) {
        let spelled = self.text(of.self_ty.span()).to_owned();
        let name = spelled.split('<').next().unwrap_or_default().to_owned();
        let outer = self.of_type.replace(name);
        visit::visit_item_impl(self, of);
        self.of_type = outer;
    }

    fn visit_item_fn(&mut self, function: &'ast syn::ItemFn) {
        if !is_for_tests(&function.attrs) {
            self.in_function(&function.sig, &function.block, |it| it.visit_block(&function.block));
        }
    }

    fn visit_impl_item_fn(&mut self, function: &'ast syn::ImplItemFn) {
        if !is_for_tests(&function.attrs) {
            self.in_function(&function.sig, &function.block, |it| it.visit_block(&function.block));
        }
    }

    fn visit_expr_repeat(&mut self, repeat: &'ast syn::ExprRepeat) {
        self.visit_expr(&repeat.expr);
    }

    fn visit_expr_if(&mut self, branch: &'ast syn::ExprIf) {
        self.visit_expr(&branch.cond);
        if !self.speaks_of_plants(branch.cond.span()) {
            self.visit_block(&branch.then_branch);
        }
        if let Some((_, otherwise)) = &branch.else_branch {
            self.visit_expr(otherwise);
        }
    }

    fn visit_expr_binary(&mut self, it: &'ast syn::ExprBinary) {
        // What is asked beside a plant counts only where that mistake is made.
        if matches!(it.op, BinOp::And(_)) && (self.is_plant(&it.left) || self.is_plant(&it.right)) {
            return;
        }
        let chained = |side: &Expr| holds_let(side);
        let span = it.span();
        if let Some((is, instead)) = other(&it.op)
            && !chained(&it.left)
            && !chained(&it.right)
            && !self.speaks_of_plants(span)
        {
            let (left, right) = (self.text(it.left.span()), self.text(it.right.span()));
            let what = format!("`{}`: `{is}` becomes `{instead}`", short(self.text(span)));
            let instead = format!("{left} {instead} {right}");
            self.replace(what, span, &instead);
        }
        visit::visit_expr_binary(self, it);
    }

    fn visit_expr_unary(&mut self, it: &'ast syn::ExprUnary) {
        if matches!(it.op, UnOp::Not(_)) && !self.speaks_of_plants(it.span()) {
            let bare = self.text(it.expr.span()).to_owned();
            let what = format!("`{}`: without its `!`", short(self.text(it.span())));
            self.replace(what, it.span(), &bare);
        }
        visit::visit_expr_unary(self, it);
    }

    fn visit_expr_match(&mut self, it: &'ast syn::ExprMatch) {
        self.visit_expr(&it.expr);
        let last = it.arms.last();
        let catches_all =
            last.is_some_and(|arm| matches!(arm.pat, syn::Pat::Wild(_)) && arm.guard.is_none());
        for (number, arm) in it.arms.iter().enumerate() {
            let pattern = short(self.text(arm.pat.span()));
            let planted =
                arm.guard.as_ref().is_some_and(|(_, guard)| self.speaks_of_plants(guard.span()));
            match &arm.guard {
                _ if planted => {}
                Some((_, guard)) => {
                    let at = guard.span().byte_range();
                    let guarded = short(self.text(guard.span()));
                    for (what, before) in
                        [("always", format!("({ON} || (")), ("never", format!("(!{ON} && ("))]
                    {
                        let inserts = vec![(at.start, before), (at.end, "))".to_owned())];
                        self.add(format!("guard `{guarded}`: {what}"), guard.span(), inserts);
                    }
                    self.visit_expr(guard);
                }
                None if catches_all && number + 1 < it.arms.len() => {
                    let at = arm.pat.span().byte_range().end;
                    let inserts = vec![(at, format!(" if !{ON}"))];
                    self.add(format!("arm `{pattern}` is missing"), arm.pat.span(), inserts);
                }
                None => {}
            }
            if !planted {
                self.visit_expr(&arm.body);
            }
        }
    }

    fn visit_stmt(&mut self, stmt: &'ast Stmt) {
        if let Stmt::Expr(expr, Some(_)) = stmt
            && is_deed(expr)
            && !self.speaks_of_plants(stmt.span())
        {
            let at = stmt.span().byte_range();
            let what = format!("`{}` is missing", short(self.text(stmt.span())));
            let inserts = vec![(at.start, format!("if !{ON} {{ ")), (at.end, " }".to_owned())];
            self.add(what, stmt.span(), inserts);
        }
        visit::visit_stmt(self, stmt);
    }
}

/// Does something, and gives nothing.
fn is_deed(expr: &Expr) -> bool {
    match expr {
        Expr::Call(_) | Expr::MethodCall(_) | Expr::Assign(_) => true,
        Expr::Try(inner) => is_deed(&inner.expr),
        Expr::Binary(binary) => matches!(
            binary.op,
            BinOp::AddAssign(_)
                | BinOp::SubAssign(_)
                | BinOp::BitOrAssign(_)
                | BinOp::BitAndAssign(_)
                | BinOp::BitXorAssign(_)
        ),
        _ => false,
    }
}

fn holds_let(expr: &Expr) -> bool {
    match expr {
        Expr::Let(_) => true,
        Expr::Binary(it) if matches!(it.op, BinOp::And(_)) => {
            holds_let(&it.left) || holds_let(&it.right)
        }
        _ => false,
    }
}

/// On one line, and not the whole of a long one.
fn short(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(70) {
        Some((at, _)) => format!("{}…", &line[..at]),
        None => line,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plant::with_switches;

    fn changed(source: &str) -> Vec<(String, String)> {
        let (found, _) = mutants("m", "m.rs", source).unwrap();
        found
            .iter()
            .map(|it| {
                (
                    it.what.clone(),
                    with_switches(source, &[(7, it)]).0.replace("crate::mutant::on(7)", "ON"),
                )
            })
            .collect()
    }

    #[test]
    fn every_kind_of_change_is_made_where_it_can_be() {
        for (source, what, result) in [
            ("fn f() { g(); }", "do nothing", "fn f() { if ON { return ; } g(); }"),
            ("fn f() { g(); }", "`g();` is missing", "fn f() { if !ON { g(); } }"),
            (
                "fn f(a: u8) -> bool { a < 3 }",
                "always `true`",
                "fn f(a: u8) -> bool { if ON { return true; } a < 3 }",
            ),
            (
                "fn f(a: u8) -> bool { a < 3 }",
                "`a < 3`: `<` becomes `<=`",
                "fn f(a: u8) -> bool { (if ON { a <= 3 } else { a < 3 }) }",
            ),
            (
                "fn f(a: bool) -> T { !a }",
                "`!a`: without its `!`",
                "fn f(a: bool) -> T { (if ON { a } else { !a }) }",
            ),
            (
                "fn f(a: u8) -> T { match a { 1 => x, _ => y } }",
                "arm `1` is missing",
                "fn f(a: u8) -> T { match a { 1 if !ON => x, _ => y } }",
            ),
            (
                "fn f(a: u8) -> T { match a { n if g(n) => x, _ => y } }",
                "guard `g(n)`: never",
                "fn f(a: u8) -> T { match a { n if (!ON && (g(n))) => x, _ => y } }",
            ),
        ] {
            assert!(
                changed(source).contains(&(what.to_owned(), result.to_owned())),
                "{source}: {:#?}",
                changed(source)
            );
        }
    }

    #[test]
    fn tests_constants_patterns_and_planted_mistakes_are_left_alone() {
        for source in [
            "const A: u8 = 1 + 2; static B: bool = !true;",
            "#[cfg(test)] mod tests { fn f() -> bool { !true } }",
            "#[test] fn f() { assert(1 < 2); }",
            "const fn f() -> bool { 1 < 2 }",
            "fn f() -> T { if planted(Plant::A) { g(1 + 2); } T }",
            "fn f() -> T { if planted(Plant::A) && a < 1 { g(1 + 2); } T }",
            "fn f() -> T { if planted(Plant::A) && a && b < 1 { g(1 + 2); } T }",
            "fn f() -> T { if a && planted(Plant::A) && b < 1 { g(1 + 2); } T }",
            "fn f() -> T { g(a || planted(Plant::A) && b < 1) }",
            "fn f() -> T { g(a || b < 1 && planted(Plant::A)) }",
            "fn f() -> T { if let Some(a) = b && let Some(c) = d { T } else { U } }",
        ] {
            assert_eq!(changed(source), [], "{source}");
        }
        let (_, tests) = mutants("m", "m.rs", "#[cfg(test)] mod old_tests; mod new;").unwrap();
        assert_eq!(tests.into_iter().collect::<Vec<_>>(), ["old_tests"]);
    }
}
