//! The fuzz targets on stable: the same properties on the corpus, on the seeds, and on texts made by proptest.

use std::fs;
use std::path::Path;

use proptest::prelude::*;

use super::{bash_lists, bash_property, commands_property, rules_property};

/// Pieces of shell text, put together at random.
const FRAGMENTS: &[&str] = &[
    "ls",
    "echo",
    "cat",
    "grep",
    "find . ",
    "git log ",
    "touch canary",
    "true",
    "[",
    "]",
    "test",
    "read -r x",
    "printf",
    "xargs ",
    "cd x",
    "$(",
    "`",
    ")",
    "(",
    "{ ",
    " }",
    ";",
    "; ",
    "&&",
    "||",
    "|",
    " & ",
    "\n",
    " ",
    "\t",
    " # c",
    "#",
    "'",
    "\"",
    "\\",
    "\\\n",
    "$",
    "$x",
    "\"$x\"",
    "${x}",
    "${x:-",
    "${x@P}",
    "}",
    "$((",
    "))",
    "$[",
    "[[ ",
    " ]]",
    "<<E\n",
    "\nE\n",
    "<<<",
    " > ",
    " >> f",
    " 2>&1",
    " >/dev/null",
    " 2>/dev/null",
    " < f",
    "<(",
    ">(",
    "if ",
    "; then ",
    "; else ",
    "; fi",
    "for f in a b",
    "; do ",
    "; done",
    "case a in ",
    "a) ",
    ";;",
    " esac",
    "while ",
    "until ",
    "function f ",
    "f() ",
    "A=b ",
    "a=(",
    "=",
    "*",
    "?",
    "~",
    "~/x",
    "!",
    "! ",
    "é",
    "à",
    "\u{b}",
    "\r",
    "\u{a0}",
    " -exec ",
    " -delete",
    "-c ",
    "{a,b}",
    "{}",
    "$'",
    "$\"",
    "@(",
    "coproc ",
    "time ",
    "eval ",
    "-",
    "a",
    "1",
    "\"a b\"",
    "'c d'",
    " -n ",
    "%",
    "+",
    "^",
    ",",
];

fn scraps() -> impl Strategy<Value = String> {
    prop::collection::vec(prop::sample::select(FRAGMENTS), 1..14).prop_map(|parts| parts.concat())
}

fn word() -> impl Strategy<Value = String> {
    let plain = prop::sample::select(
        &[
            "a",
            "-l",
            "x.txt",
            "'b c'",
            "\"d e\"",
            "\"$HOME\"",
            "$HOME",
            "*.md",
            "~/f",
            "a\\ b",
            "\"x$y\"",
            "-name",
            "-exec",
            "a=b",
            "''",
            "\"\\\"\"",
            "5",
            "HEAD~1",
            "{}",
            "\\;",
            "-delete",
            "\"a\"b",
            "a#b",
            "+%s",
            "-c",
            "--output=x",
            "\"$f\"",
            "$f",
            "[a-z]",
        ][..],
    )
    .prop_map(str::to_owned);
    plain.prop_recursive(2, 8, 2, |inner| {
        prop_oneof![
            inner.clone().prop_map(|word| format!("$(echo {word})")),
            inner.prop_map(|word| format!("\"$(cat {word} | grep x)\"")),
        ]
    })
}

fn simple() -> impl Strategy<Value = String> {
    let name = prop::sample::select(
        &["ls", "echo", "cat", "grep", "find", "git log", "true", "touch", "xargs cat", "A=b ls"][..],
    );
    let end = prop::sample::select(&["", "", "", " 2>&1", " >/dev/null", " > f", " <<< x", " < f"][..]);
    (name, prop::collection::vec(word(), 0..4), end)
        .prop_map(|(name, words, end)| format!("{name} {}{end}", words.join(" ")))
}

/// Scripts that are mostly valid.
fn script() -> impl Strategy<Value = String> {
    simple().prop_recursive(4, 16, 3, |inner| {
        let two = (inner.clone(), inner.clone());
        prop_oneof![
            (two.clone(), prop::sample::select(&["; ", " && ", " || ", " | ", "\n", " & ", " # x\n"][..]))
                .prop_map(|((a, b), between)| format!("{a}{between}{b}")),
            inner.clone().prop_map(|a| format!("( {a} )")),
            inner.clone().prop_map(|a| format!("{{ {a}; }}")),
            inner.clone().prop_map(|a| format!("! {a}")),
            two.clone().prop_map(|(a, b)| format!("if {a}; then {b}; fi")),
            two.clone().prop_map(|(a, b)| format!("while {a}; do {b}; done")),
            inner.clone().prop_map(|a| format!("for f in a 'b c' *.x; do {a}; done")),
            two.prop_map(|(a, b)| format!("case x in a|b) {a} ;; *) {b} ;; esac")),
            inner.prop_map(|a| format!("echo \"$({a})\"")),
        ]
    })
}

/// A script with a scrap put in somewhere.
fn damaged() -> impl Strategy<Value = String> {
    (script(), prop::sample::select(FRAGMENTS), any::<prop::sample::Index>()).prop_map(
        |(mut script, scrap, at)| {
            let places: Vec<usize> = script.char_indices().map(|(at, _)| at).collect();
            script.insert_str(places[at.index(places.len())], scrap);
            script
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nothing_is_allowed_that_a_second_parser_calls_something_else_in_scraps(source in scraps()) {
        bash_property::check(&source);
    }

    #[test]
    fn nothing_is_allowed_that_a_second_parser_calls_something_else_in_scripts(source in script()) {
        bash_property::check(&source);
    }

    #[test]
    fn nothing_is_allowed_that_a_second_parser_calls_something_else_in_damaged_scripts(source in damaged()) {
        bash_property::check(&source);
    }

    #[test]
    fn rules_match_the_whole_text(
        pattern in prop_oneof!["[a-c.*+?|()\\[\\]^$&~-]{0,10}", "\\PC{0,12}"],
        text in prop_oneof!["[a-c\n]{0,5}", "\\PC{0,6}"],
    ) {
        rules_property::check(&format!("{pattern}\n{text}"));
    }

    #[test]
    fn answers_are_read_as_promised(
        text in prop_oneof![
            "[ \t]{0,2}(approve|deny|APPROVE|Deny|ok)[ \t\n]{0,2}[a-zA-Z0-9é-]{0,5}( {0,2}(session|always|once))?[ \n]{0,2}",
            "\\PC{0,20}",
        ],
    ) {
        commands_property::check(&text);
    }
}

/// Texts of a folder of seeds.
fn seeds(target: &str) -> Vec<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/seeds").join(target);
    let seeds: Vec<String> = fs::read_dir(&folder)
        .unwrap()
        .map(|entry| fs::read_to_string(entry.unwrap().path()).unwrap())
        .collect();
    assert!(!seeds.is_empty(), "no seeds in {}", folder.display());
    seeds
}

#[test]
fn the_properties_hold_for_corpus_and_seeds() {
    let refused = bash_lists::refused();
    let ordinary = bash_lists::allowed();
    for attempt in refused.iter().filter(|attempt| attempt.command.len() < 5000) {
        bash_property::check(&attempt.command);
    }
    let judged = ordinary.iter().filter(|attempt| bash_property::check(&attempt.command)).count();
    assert!(judged > 60, "only {judged} of {} get as far as the second parser", ordinary.len());
    for seed in seeds("bash") {
        bash_property::check(&seed);
    }
    for seed in seeds("rules") {
        rules_property::check(&seed);
    }
    let answers = seeds("commands").iter().filter(|seed| commands_property::check(seed)).count();
    assert!(answers >= 3, "only {answers} of the seeds are answers");
}

#[test]
fn the_second_parser_reads_what_is_allowed() {
    // Were it silent, the property would hold for nothing.
    let ordinary = bash_lists::allowed();
    let unread: Vec<&str> = ordinary
        .iter()
        .filter(|attempt| super::second_opinion::opinion(&attempt.command).is_none())
        .map(|attempt| attempt.command.as_str())
        .collect();
    assert!(unread.len() * 20 < ordinary.len(), "{unread:#?}");
    let dangerous = super::second_opinion::opinion("ls; $(touch x) > f; f() { ls; }; A=b").unwrap();
    assert_eq!(dangerous.commands.iter().filter(|words| words[0] == "touch").count(), 1, "{dangerous:?}");
    for what in ["redirection", "function", "assignment"] {
        assert!(dangerous.beyond.iter().any(|found| found == what), "{what}: {dangerous:?}");
    }
}
