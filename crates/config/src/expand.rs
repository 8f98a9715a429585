//! `$NAME` and `${NAME}` in the 0.1 dialect, as Python's `os.path.expandvars` finds them.

use std::ops::Range;

use crate::context::Context;
use crate::diagnostic::DiagnosticKind;
use crate::node::{Node, Style, Value};
use crate::secret::sounds_secret;

/// Longest text after expansion, in bytes.
const MAX_TEXT: usize = 1024 * 1024;

/// One reference in a text.
#[derive(Debug, PartialEq, Eq)]
struct Reference<'a> {
    range: Range<usize>,
    name: &'a str,
}

/// Every reference of a text, in order. A `$` before anything else (such as the end of a pattern) is none.
fn references(text: &str) -> Vec<Reference<'_>> {
    let mut out = Vec::new();
    let mut from = 0;
    while let Some(offset) = text[from..].find('$') {
        let start = from + offset;
        let after = &text[start + 1..];
        if let Some(inner) = after.strip_prefix('{') {
            if let Some(end) = inner.find('}') {
                let range = start..start + 2 + end + 1;
                from = range.end;
                out.push(Reference { range, name: &inner[..end] });
                continue;
            }
        } else {
            let word = |character: char| !(character.is_ascii_alphanumeric() || character == '_');
            let end = after.find(word).unwrap_or(after.len());
            if end > 0 {
                let range = start..start + 1 + end;
                from = range.end;
                out.push(Reference { range, name: &after[..end] });
                continue;
            }
        }
        from = start + 1;
    }
    out
}

/// Replaces every reference in every text value. What is not set is an error; a value is looked at only once, so
/// a password with `$x` in it is fine.
pub(crate) fn expand(context: &Context<'_>, node: &mut Node, path: &str) {
    walk(node, path, &mut |node, path| {
        let Some(text) = node.text() else { return };
        let found = references(text);
        if found.is_empty() {
            return;
        }
        let mut out = String::with_capacity(text.len());
        let mut from = 0;
        for reference in &found {
            let written = &text[reference.range.clone()];
            out.push_str(&text[from..reference.range.start]);
            from = reference.range.end;
            if let Some(value) = context.env(reference.name) {
                if out.len() + value.len() > MAX_TEXT {
                    let message = format!("with its variables the text is longer than {MAX_TEXT} bytes.");
                    context.error(node.at, path, DiagnosticKind::Environment, message);
                    return;
                }
                out.push_str(&value);
                continue;
            }
            out.push_str(written);
            // A secret that only looks like a reference is not to be seen.
            let shown = if sounds_secret(path) && written != text { "$…" } else { written };
            let message = format!(
                "Unresolved environment variable in config key '{path}': '{shown}'. Set the environment variable \
                 or remove the placeholder from config.yaml."
            );
            context.error(node.at, path, DiagnosticKind::Environment, message);
        }
        out.push_str(&text[from..]);
        node.value = Value::Scalar { text: out.into(), style: Style::Expanded };
    });
}

/// Warns about every value in which the 0.1 dialect would see a variable.
pub(crate) fn warn_literal(context: &Context<'_>, node: &mut Node, path: &str) {
    walk(node, path, &mut |node, path| {
        if node.text().is_some_and(|text| !references(text).is_empty()) {
            context.warn(
                node.at,
                path,
                DiagnosticKind::Dialect,
                "the text has a '$' before a name, which is taken as it stands; the 0.1 dialect would put a \
                 variable's value there",
                Some("say 'dialect: 0.5' or 'dialect: 0.1' at the top of the file".to_owned()),
            );
        }
    });
}

fn walk(node: &mut Node, path: &str, visit: &mut dyn FnMut(&mut Node, &str)) {
    match &mut node.value {
        Value::Scalar { .. } => visit(node, path),
        Value::List(items) => {
            for (index, item) in items.iter_mut().enumerate() {
                walk(item, &format!("{path}[{index}]"), visit);
            }
        }
        Value::Map(entries) => {
            for entry in entries {
                let path =
                    if path.is_empty() { entry.key.to_string() } else { format!("{path}.{}", entry.key) };
                walk(&mut entry.value, &path, visit);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_those_of_expandvars() {
        let names = |text| references(text).into_iter().map(|found| found.name).collect::<Vec<_>>();
        assert_eq!(names("$A-${B c}$"), ["A", "B c"]);
        assert_eq!(names("^git$|^(ls$)$"), Vec::<&str>::new());
        assert_eq!(names("$1 $$X ${open"), ["1", "X"]);
        assert_eq!(names("é$é$_é"), ["_"]);
    }
}
