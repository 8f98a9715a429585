//! The decision about one tool call.
//!
//! Owns which tools may run without a person's approval: Read, Glob and Grep, inside the working directory, where
//! a rule of the role allows them. Must never allow a call whose paths it has not followed.

use std::io;
use std::path::{Path, PathBuf};

use acg_types::ToolCall;
use serde::Serialize as _;
use serde_json::Value;

use crate::globs;
use crate::paths::{Inside, Refused, Workspace};
use crate::rule::Rule;

/// All that a decision hangs on.
pub struct Request<'a> {
    /// The call, as the agent asked.
    pub call: &'a ToolCall,
    /// The rules of the role that the turn is for.
    pub rules: &'a [Rule],
    /// The agent's working directory, absolute.
    pub workspace: &'a Path,
    /// Resolves an existing path through all symbolic links (`std::fs::canonicalize`). The only I/O there is.
    pub resolve: &'a dyn Fn(&Path) -> io::Result<PathBuf>,
}

impl std::fmt::Debug for Request<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Request")
            .field("tool", &self.call.tool)
            .field("rules", &self.rules.len())
            .field("workspace", &self.workspace)
            .finish_non_exhaustive()
    }
}

/// The answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It may run with exactly this input.
    Allow {
        /// The rule that allows it, for the log.
        rule: String,
    },
    /// It may not.
    Deny {
        /// For the agent and people to read.
        reason: String,
    },
}

/// Decides about one tool call. Everything that no rule allows, or that is not understood, is denied.
pub fn decide(request: &Request<'_>) -> Verdict {
    match examine(request) {
        Ok(rule) => Verdict::Allow { rule },
        Err(Refused(reason)) => Verdict::Deny {
            reason: format!("Tool '{}' is not permitted: {reason}.", printable(&request.call.tool)),
        },
    }
}

fn examine(request: &Request<'_>) -> Result<String, Refused> {
    let tool = request.call.tool.as_str();
    if !matches!(tool, "Read" | "Glob" | "Grep") {
        return Err(Refused(
            "only Read, Glob and Grep inside the working directory may run, as nobody can be asked for approval yet"
                .into(),
        ));
    }
    let Some(input) = request.call.params.as_object() else {
        return Err(Refused("its input is not an object".into()));
    };
    let workspace = Workspace::new(request.workspace, request.resolve)?;
    let texts = match tool {
        "Read" => {
            let path = text(input, "file_path")?.ok_or_else(|| Refused("'file_path' is missing".into()))?;
            let inside = workspace.locate(workspace.root(), path)?;
            if inside.named == inside.real { vec![inside.named] } else { vec![inside.named, inside.real] }
        }
        "Glob" => {
            let base = start(&workspace, input)?;
            let pattern = text(input, "pattern")?.ok_or_else(|| Refused("'pattern' is missing".into()))?;
            check_pattern(&workspace, &base, pattern)?;
            vec![python_json(&request.call.params)?]
        }
        _ => {
            let base = start(&workspace, input)?;
            if let Some(pattern) = text(input, "glob")? {
                // The agent cuts it at blanks and commas: each piece must be harmless, and the whole.
                check_pattern(&workspace, &base, pattern)?;
                for piece in pattern.split([' ', ',']).filter(|piece| !piece.is_empty()) {
                    check_pattern(&workspace, &base, piece)?;
                }
            }
            vec![python_json(&request.call.params)?]
        }
    };
    allowed_by(request.rules, tool, &texts)
}

/// The directory (or file) where Glob and Grep begin.
fn start(workspace: &Workspace<'_>, input: &serde_json::Map<String, Value>) -> Result<PathBuf, Refused> {
    match text(input, "path")? {
        None => Ok(workspace.root().to_owned()),
        Some(path) => workspace.locate(workspace.root(), path).map(|inside: Inside| inside.resolved),
    }
}

fn check_pattern(workspace: &Workspace<'_>, base: &Path, pattern: &str) -> Result<(), Refused> {
    let fixed = globs::fixed_parts(pattern).map_err(|reason| Refused(reason.into()))?;
    // A fixed beginning may be a link to somewhere else.
    fixed.iter().try_for_each(|part| workspace.locate(base, part).map(drop))
}

/// A text of the input; `None` if it is not there.
fn text<'a>(input: &'a serde_json::Map<String, Value>, key: &str) -> Result<Option<&'a str>, Refused> {
    match input.get(key) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(Refused(format!("'{key}' is not a text"))),
    }
}

/// Every text must be allowed by some rule; the answer names the rule for the first.
fn allowed_by(rules: &[Rule], tool: &str, texts: &[String]) -> Result<String, Refused> {
    let mut first = None;
    for text in texts {
        let Some(rule) = rules.iter().find(|rule| rule.matches(tool, text)) else {
            return Err(Refused(if rules.iter().any(|rule| rule.matches_tool(tool)) {
                "no rule of this role allows these parameters".into()
            } else {
                "no rule of this role allows this tool".into()
            }));
        };
        first.get_or_insert(rule);
    }
    let rule = first.ok_or_else(|| Refused("there is nothing to compare rules with".into()))?;
    Ok(match rule.params() {
        Some(params) => format!("tool: {}, params: {params}", rule.tool()),
        None => format!("tool: {}", rule.tool()),
    })
}

/// JSON as Python's `json.dumps(…, ensure_ascii=False)` writes it, which is what people wrote their rules for.
fn python_json(value: &Value) -> Result<String, Refused> {
    let mut out = Vec::new();
    value
        .serialize(&mut serde_json::Serializer::with_formatter(&mut out, PythonSeparators))
        .map_err(|_| Refused("its input cannot be written as JSON".into()))?;
    String::from_utf8(out).map_err(|_| Refused("its input is not valid UTF-8".into()))
}

/// Separators `", "` and `": "`.
struct PythonSeparators;

impl serde_json::ser::Formatter for PythonSeparators {
    fn begin_array_value<W: ?Sized + io::Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        if first { Ok(()) } else { writer.write_all(b", ") }
    }

    fn begin_object_key<W: ?Sized + io::Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        if first { Ok(()) } else { writer.write_all(b", ") }
    }

    fn begin_object_value<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        writer.write_all(b": ")
    }
}

/// A name from outside, made fit for a sentence.
fn printable(name: &str) -> String {
    name.chars().filter(|character| !character.is_control()).take(80).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    /// A small disk: links by name, and what exists.
    fn resolve_in(links: &BTreeMap<PathBuf, PathBuf>, path: &Path) -> io::Result<PathBuf> {
        let mut real = PathBuf::from("/");
        for component in path.components().skip(1) {
            if component == std::path::Component::ParentDir {
                real.pop();
                continue;
            }
            real.push(component);
            if let Some(target) = links.get(&real) {
                real.clone_from(target);
            }
            if real.file_name().is_some_and(|name| name == "missing") {
                return Err(io::ErrorKind::NotFound.into());
            }
            if real.file_name().is_some_and(|name| name == "locked") {
                return Err(io::ErrorKind::PermissionDenied.into());
            }
        }
        Ok(real)
    }

    fn links() -> BTreeMap<PathBuf, PathBuf> {
        [("/ws/out", "/etc"), ("/ws/deep", "/ws/a/b"), ("/ws/public/x", "/ws/private/x"), ("/alias", "/ws")]
            .map(|(from, to)| (from.into(), to.into()))
            .into()
    }

    fn verdict(rules: &[(&str, Option<&str>)], tool: &str, params: Value, workspace: &str) -> Verdict {
        let rules: Vec<Rule> = rules.iter().map(|(tool, params)| Rule::new(tool, *params).unwrap()).collect();
        let call = ToolCall::new("a", tool, params, None);
        let links = links();
        decide(&Request {
            call: &call,
            rules: &rules,
            workspace: Path::new(workspace),
            resolve: &|path| resolve_in(&links, path),
        })
    }

    #[track_caller]
    fn check(tool: &str, params: &Value, expected: Result<&str, &str>) {
        let got = verdict(&[("Read|Glob|Grep|Bash", None)], tool, params.clone(), "/ws");
        compare(got, expected, &format!("{tool} {params}"));
    }

    #[track_caller]
    fn compare(got: Verdict, expected: Result<&str, &str>, what: &str) {
        let got = match got {
            Verdict::Allow { rule } => Ok(rule),
            Verdict::Deny { reason } => Err(reason),
        };
        match (&got, expected) {
            (Ok(rule), Ok(part)) | (Err(rule), Err(part)) if rule.contains(part) => {}
            _ => panic!("{what}: {got:?}, expected {expected:?}"),
        }
    }

    #[test]
    fn reading_stays_inside() {
        let read = |path: &str| json!({ "file_path": path });
        check("Read", &read("/ws/a"), Ok("tool: Read"));
        check("Read", &read("a/b/../c"), Ok("Read"));
        check("Read", &read("/ws"), Ok("Read"));
        check("Read", &read("missing/x"), Ok("Read"));
        check("Read", &read("/alias/a"), Ok("Read"));
        check("Read", &read("deep/x"), Ok("Read"));
        let out = Err("leads out of the working directory");
        check("Read", &read("/etc/passwd"), out);
        check("Read", &read("/wsx/a"), out);
        check("Read", &read("../x"), out);
        check("Read", &read("out/passwd"), out);
        check("Read", &read("out/../ws/a"), Err("no single meaning"));
        check("Read", &read("missing/../../etc/passwd"), out);
        check("Read", &read("missing/../out/passwd"), out);
        check("Read", &read("deep/../c"), Err("no single meaning"));
        check("Read", &read("/"), out);
        check("Read", &read("~/.ssh/id_rsa"), Err("'~'"));
        check("Read", &read(" /etc/passwd"), Err("blank"));
        check("Read", &read("a\0b"), Err("control character"));
        check("Read", &read(""), Err("empty"));
        check("Read", &read(&"a/".repeat(3000)), Err("too long"));
        check("Read", &read("locked"), Err("cannot be resolved: permission denied"));
        check("Read", &json!({ "file_path": 5 }), Err("not a text"));
        check("Read", &json!({ "file_path": null }), Err("not a text"));
        check("Read", &json!({}), Err("missing"));
        check("Read", &json!([]), Err("not an object"));
    }

    #[test]
    fn searching_stays_inside() {
        check("Glob", &json!({ "pattern": "**/*.rs" }), Ok("Glob"));
        check("Glob", &json!({ "pattern": "*.rs", "path": "/ws/a" }), Ok("Glob"));
        check("Glob", &json!({ "pattern": "*.rs", "path": "/etc" }), Err("leads out"));
        check("Glob", &json!({ "pattern": "/etc/*" }), Err("absolute"));
        check("Glob", &json!({ "pattern": "../*" }), Err("'..'"));
        check("Glob", &json!({ "pattern": "out/*" }), Err("leads out"));
        check("Glob", &json!({ "path": "/ws" }), Err("'pattern' is missing"));
        check("Grep", &json!({ "pattern": "/etc/.*" }), Ok("Grep"));
        check("Grep", &json!({ "pattern": "x", "path": "out" }), Err("leads out"));
        check("Grep", &json!({ "pattern": "x", "glob": "*.rs,../*" }), Err("'..'"));
        check("Grep", &json!({ "pattern": "x", "glob": "*.{ts,tsx}" }), Ok("Grep"));
        check("Grep", &json!({ "pattern": "x", "glob": 1 }), Err("not a text"));
        check("Grep", &json!({ "pattern": "x", "path": null }), Err("not a text"));
    }

    #[test]
    fn other_tools_never_run() {
        for tool in ["Bash", "Write", "read", "GREP", "Read ", "mcp__x__Read", "Task"] {
            check(tool, &json!({ "file_path": "/ws/a" }), Err("may run"));
        }
        compare(
            verdict(&[], "Bash\n\u{1b}[2J", json!({}), "/ws"),
            Err("Tool 'Bash[2J'"),
            "control characters",
        );
    }

    #[test]
    fn rules_see_the_normal_path_and_where_it_leads() {
        let public = [("read", Some("/ws/public/.*"))];
        let read = |path: &str| json!({ "file_path": path });
        compare(verdict(&public, "Read", read("public/a"), "/ws"), Ok("params: /ws/public/.*"), "plain");
        compare(
            verdict(&public, "Read", read("public/../private/a"), "/ws"),
            Err("these parameters"),
            "dots",
        );
        compare(
            verdict(&public, "Read", read("public/x"), "/ws"),
            Err("these parameters"),
            "a link to private",
        );
        let alias = [("Read", Some("/alias/public/.*"))];
        compare(verdict(&alias, "Read", read("public/a"), "/alias"), Ok("Read"), "as configured");
        compare(verdict(&alias, "Read", read("/ws/public/a"), "/alias"), Ok("Read"), "as it really is");
        compare(
            verdict(&alias, "Glob", json!({"pattern": "*"}), "/alias"),
            Err("allows this tool"),
            "other tool",
        );
        compare(verdict(&[], "Read", read("a"), "/ws"), Err("allows this tool"), "no rules");
        compare(verdict(&public, "Read", read("a"), "ws"), Err("cannot be resolved"), "relative workspace");
    }

    #[test]
    fn search_rules_see_json_as_python_writes_it() {
        let input = json!({ "pattern": "ä\n", "path": "/ws/a", "n": [1, true] });
        assert_eq!(python_json(&input).unwrap(), r#"{"pattern": "ä\n", "path": "/ws/a", "n": [1, true]}"#);
        let rules = [("Grep", Some(r#"\{"pattern": "x", "path": "/ws/a"\}"#))];
        compare(verdict(&rules, "Grep", json!({"pattern": "x", "path": "/ws/a"}), "/ws"), Ok("Grep"), "json");
    }

    proptest! {
        #[test]
        fn what_is_allowed_is_inside(
            parts in prop::collection::vec(
                prop::sample::select(vec!["..", ".", "a", "b", "out", "deep", "missing", "ws", "etc", "", "public", "x"]),
                0..10,
            ),
            absolute: bool,
        ) {
            let path = format!("{}{}", if absolute { "/" } else { "" }, parts.join("/"));
            let links = links();
            let got = verdict(&[(".*", None)], "Read", json!({ "file_path": path }), "/ws");
            if let Verdict::Allow { .. } = got {
                // Both readings: links first, and text first.
                let joined = Path::new("/ws").join(&path);
                for candidate in [joined.clone(), crate::paths::normalised(&joined)] {
                    match resolve_in(&links, &candidate) {
                        Ok(real) => prop_assert!(real.starts_with("/ws"), "{path} -> {real:?}"),
                        Err(error) => prop_assert_eq!(error.kind(), io::ErrorKind::NotFound),
                    }
                }
            }
        }

        #[test]
        fn arbitrary_input_never_panics(tool in "Read|Glob|Grep|.*", path in ".*", pattern in ".*", rule in ".*") {
            if let Ok(compiled) = Rule::new(&rule, Some(&pattern)) {
                compiled.matches(&path, &tool);
            }
            let input = json!({ "file_path": path, "pattern": pattern, "path": path, "glob": pattern });
            drop(verdict(&[(".*", None)], &tool, input, "/ws"));
        }
    }
}
