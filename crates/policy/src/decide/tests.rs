use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::rule::Rule;

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

fn role(rules: &[(&str, Option<&str>)], otherwise: Otherwise) -> RolePolicy {
    let rules = rules.iter().map(|(tool, params)| Rule::new(tool, *params).unwrap()).collect();
    RolePolicy { rules, otherwise, ..RolePolicy::default() }
}

fn decided(role: &RolePolicy, call: &ToolCall, workspace: &str) -> Verdict {
    let links = links();
    decide(&Request {
        call,
        role,
        workspace: Path::new(workspace),
        resolve: &|path| resolve_in(&links, path),
    })
}

fn verdict(rules: &[(&str, Option<&str>)], tool: &str, params: Value, workspace: &str) -> Verdict {
    decided(&role(rules, Otherwise::Deny), &ToolCall::new("a", tool, params, None), workspace)
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
        other => panic!("{what}: {other:?}"),
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
fn rules_see_the_normal_path_and_where_it_leads() {
    let public = [("read", Some("/ws/public/.*"))];
    let read = |path: &str| json!({ "file_path": path });
    compare(verdict(&public, "Read", read("public/a"), "/ws"), Ok("params: /ws/public/.*"), "plain");
    compare(verdict(&public, "Read", read("public/../private/a"), "/ws"), Err("these parameters"), "dots");
    compare(verdict(&public, "Read", read("public/x"), "/ws"), Err("these parameters"), "a link to private");
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
