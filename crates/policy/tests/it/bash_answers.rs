//! What the judge says: every command with its text, why one fails, and what may be remembered.

use std::time::{Duration, Instant};

use acg_policy::bash::{self, BashReport};

use super::bash_lists;

fn judge(source: &str, rules: &[&str]) -> BashReport {
    let rules: Vec<String> = rules.iter().map(|rule| (*rule).to_owned()).collect();
    bash_lists::judge(source, &bash_lists::compile(&rules))
}

#[track_caller]
fn check(source: &str, rules: &[&str], expected: &[(&str, Result<&str, &str>)]) {
    let report = judge(source, rules);
    let found: Vec<(&str, bool, &str)> = report
        .commands
        .iter()
        .map(|command| (command.text.as_str(), command.allowed, command.note.as_deref().unwrap_or_default()))
        .collect();
    assert_eq!(found.len(), expected.len(), "{report:#?}");
    for ((text, allowed, note), (expected_text, outcome)) in found.iter().zip(expected) {
        let (expected_allowed, part) = match outcome {
            Ok(part) => (true, part),
            Err(part) => (false, part),
        };
        assert_eq!((text, *allowed), (expected_text, expected_allowed), "{report:#?}");
        assert!(note.contains(part), "{text}: {note:?} lacks {part:?}");
    }
}

#[test]
fn every_command_is_listed_with_its_answer() {
    check(
        "ls  -la | grep \"x\" && rm a 2>&1",
        &["ls .*", "grep .*"],
        &[("ls -la", Ok("")), ("grep x", Ok("")), ("rm a", Err("no rule allows it"))],
    );
    check("echo \"$(ls)\"", &["echo .*", "ls"], &[("echo \"$(ls)\"", Ok("")), ("ls", Ok(""))]);
    check(
        "find . | xargs -n 1 rm",
        &["find .*", "xargs .*"],
        &[("find .", Ok("")), ("xargs -n 1 rm", Ok("")), ("rm", Err("no rule allows it"))],
    );
    check(
        "timeout 5 ls",
        &["timeout .*", "ls"],
        &[("timeout 5 ls", Ok("")), ("ls", Ok("run by `timeout 5 ls`"))],
    );
    check("ls > a", &["ls.*"], &[("ls > a", Err("no rule names `> a`, which is a redirection"))]);
    check("A=b ls", &[".*"], &[("A=b ls", Err("no rule names `A=b`"))]);
    check("find . -delete", &["find .*"], &[("find . -delete", Err("no rule names `-delete`"))]);
    check("for f in a b; do rm $f; done", &["rm a"], &[("rm $f", Err("no rule allows it as `rm b`"))]);
    check("rm $HOME", &["rm [$A-Z]+"], &[("rm $HOME", Err("known only when it runs"))]);
}

#[test]
fn one_rule_may_name_what_a_broader_one_does_not() {
    assert!(judge("ls > out.txt", &["ls.*", r"ls > out\.txt"]).is_allowed());
    // A single predicate cannot tell which rule it was.
    let either = |text: &str| text.starts_with("ls");
    assert!(!bash::judge("ls > out.txt", &either).is_allowed());
    assert!(bash::judge("ls -la", &either).is_allowed());
    assert!(bash::judge("ls > out.txt", &|text| text == "ls > out.txt").is_allowed());
}

#[test]
fn a_refusal_is_a_sentence_and_shows_what_was_found() {
    for (source, part) in [
        ("", "there is no command"),
        ("# only a comment", "there is no command"),
        ("ls 'a", "single quote is never closed"),
        ("ls \"a", "double quote is never closed"),
        ("ls; eval x", "'eval' is never allowed"),
        ("ls <(x)", "process substitution"),
        ("ls\u{b}# x", "vertical tab (U+000B)"),
        ("ls &", "in the background"),
        ("if ls; then ls", "'elif' or 'else' or 'fi' is missing"),
        ("ls )", "closes nothing"),
        ("x() { ls; }", "function"),
        ("ls \\\n-a", "ends with a backslash"),
    ] {
        let report = judge(source, &["ls.*"]);
        assert!(!report.is_allowed(), "{source}");
        let reason = report.reason().unwrap();
        assert!(reason.contains(part), "{source:?}: {reason}");
        assert!(reason.starts_with("the command cannot be judged: "), "{reason}");
        assert_eq!(bash::commands(source).unwrap_err().to_string(), reason, "{source:?}");
    }
    assert_eq!(bash::commands("ls -a; eval x").unwrap_err().found, ["ls -a", "eval x"]);
    let texts: Vec<String> =
        bash::commands("ls -a | wc").unwrap().into_iter().map(|found| found.text).collect();
    assert_eq!(texts, ["ls -a", "wc"]);
}

#[test]
fn only_one_plain_command_may_be_remembered() {
    for source in
        ["ls -la", "git status", "cat 'a b'", "rm -r build", "ls 2>/dev/null", "./run.sh x", "ls # x"]
    {
        assert_eq!(bash::may_be_remembered(source), Ok(()), "{source}");
        assert!(bash::is_simple(source).is_some(), "{source}");
    }
    for source in [
        "ls; ls",
        "ls | cat",
        "(ls)",
        "! ls",
        "ls $HOME",
        "ls ~",
        "ls *",
        "ls $(pwd)",
        "ls > a",
        "A=b ls",
        "sh x",
        "bash",
        "python3 x.py",
        "python3 -c x",
        "/usr/bin/perl x",
        "env ls",
        "timeout 5 ls",
        "xargs ls",
        "sudo ls",
        "make test",
        "npm test",
        "cargo test",
        "find . -delete",
        "git -c a=b log",
        "git rebase",
        "awk 1 f",
        "sed -n 1p f",
        "eval ls",
        "ls &",
        "for f in a; do ls; done",
        "ls <<< x",
        "ssh host",
        "docker ps",
        "vim f",
        "sort -o a b",
        "",
        "ls 'a",
    ] {
        let fault = bash::may_be_remembered(source);
        assert!(fault.as_ref().is_err_and(|reason| !reason.is_empty()), "{source}: {fault:?}");
    }
}

#[test]
fn hostile_texts_are_answered_soon() {
    let many = |part: &str, count: usize| part.repeat(count);
    let texts = [
        many("(", 16_000),
        many("$(", 8000),
        format!("ls {}", many("$(", 8000)),
        many("ls;", 5000),
        many("ls|", 199) + "ls",
        format!("ls {}", many("'a' ", 4000)),
        format!("ls {}", many("\"$HOME\" ", 1900)),
        format!("ls {}", many("[", 16_000)),
        format!("for f in {}; do ls {}; done", many("aaaa ", 1000), many("$f", 1000)),
        format!("for f in '{}'; do ls {}; done", many("a", 8000), many("$f ", 1000)),
        format!("for f in {}; do for g in {}; do ls $f $g; done; done", many("a ", 60), many("b ", 60)),
        format!("case x in {} *) ls;; esac", many("a) ls;; ", 150)),
        format!("if ls; then {} fi", many("if ls; then ls; fi; ", 100)),
        format!("{} ls {}", many("{ ", 15), many("; }", 15)),
        many("a=", 8000),
        many("ls \\", 3000),
        many("{} ", 5000),
        format!("echo \"{}\"", many("\\$", 8000)),
    ];
    for text in &texts {
        let begun = Instant::now();
        let report = judge(text, &["ls.*", "(a|aa)+b", ".*x.*y.*z"]);
        let took = begun.elapsed();
        let start: String = text.chars().take(40).collect();
        assert!(took < Duration::from_secs(10), "{start}: {took:?}");
        assert!(report.is_allowed() || report.reason().is_some(), "{start}");
    }
}
