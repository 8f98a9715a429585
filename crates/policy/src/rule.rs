//! One rule of a role: a pattern for the tool's name and one for its parameters.
//!
//! Owns compiling and matching as Python's `re.fullmatch` with IGNORECASE does it. Must never match because a
//! pattern was too hard to try: over a limit means no match.

use std::fmt;

use regex::RegexBuilder;

use crate::{python, tool};

/// Longest pattern in bytes.
const MAX_SOURCE: usize = 16 * 1024;
/// Most memory one compiled pattern may take, in bytes.
const MAX_COMPILED: usize = 4 * 1024 * 1024;
/// Most steps a back-tracking pattern may take on one text.
const MAX_STEPS: usize = 100_000;
/// Longest text in bytes a back-tracking pattern is tried on.
const MAX_STEPPED_TEXT: usize = 64 * 1024;

/// Why a rule cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RuleError {
    /// A pattern does not compile.
    #[error("Invalid regex for '{field}' field '{source_text}': {reason}")]
    Pattern {
        /// `tool` or `params`.
        field: &'static str,
        /// The pattern, cut if it is long.
        source_text: String,
        /// What is wrong, in one line.
        reason: String,
    },
    /// A pattern is longer than any sensible one.
    #[error("Invalid regex for '{field}' field: longer than {MAX_SOURCE} bytes")]
    TooLong {
        /// `tool` or `params`.
        field: &'static str,
    },
}

/// A compiled rule: which tool, and with which parameters.
#[derive(Clone, Debug)]
pub struct Rule {
    tool: Pattern,
    params: Option<Pattern>,
}

impl Rule {
    /// Compiles a rule. Both patterns must match the whole text, in any case; in `params` a dot matches line
    /// ends too. Without `params` every input matches.
    pub fn new(tool: &str, params: Option<&str>) -> Result<Self, RuleError> {
        Ok(Self {
            tool: Pattern::new("tool", tool, false)?,
            params: params.map(|source| Pattern::new("params", source, true)).transpose()?,
        })
    }

    /// The source text of the tool's pattern.
    pub fn tool(&self) -> &str {
        &self.tool.source
    }

    /// The source text of the parameters' pattern.
    pub fn params(&self) -> Option<&str> {
        self.params.as_ref().map(|pattern| pattern.source.as_str())
    }

    /// Whether the rule is about this tool.
    pub fn matches_tool(&self, tool: &str) -> bool {
        self.tool.matches(tool)
    }

    /// Whether the rule is about this tool in particular, and not about just any.
    pub fn names_tool(&self, tool: &str) -> bool {
        self.matches_tool(tool) && !tool::nobodys_names().iter().any(|name| self.matches_tool(name))
    }

    /// Whether the rule allows this tool with this parameter text.
    pub fn matches(&self, tool: &str, params: &str) -> bool {
        self.matches_tool(tool) && self.matches_params(params)
    }

    pub(crate) fn matches_params(&self, params: &str) -> bool {
        self.params.as_ref().is_none_or(|pattern| pattern.matches(params))
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.params() {
            Some(params) => write!(f, "tool: {}, params: {params}", self.tool()),
            None => write!(f, "tool: {}", self.tool()),
        }
    }
}

/// The tool names that rules name, for an agent to know what it may use. The source texts, without repetitions.
pub fn tool_names(rules: &[Rule]) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for rule in rules {
        if !names.iter().any(|name| name == rule.tool()) {
            names.push(rule.tool().to_owned());
        }
    }
    names
}

#[derive(Clone, Debug)]
struct Pattern {
    source: String,
    engine: Engine,
}

#[derive(Clone, Debug)]
enum Engine {
    /// Takes time linear in the text.
    Linear(regex::Regex),
    /// For look-around and back-references; limited in steps.
    Stepping(Box<fancy_regex::Regex>),
}

impl Pattern {
    fn new(field: &'static str, source: &str, dot_all: bool) -> Result<Self, RuleError> {
        if source.len() > MAX_SOURCE {
            return Err(RuleError::TooLong { field });
        }
        let engine = compile(source, dot_all).map_err(|reason| RuleError::Pattern {
            field,
            source_text: source.chars().take(200).collect(),
            reason: one_line(&reason),
        })?;
        Ok(Self { source: source.to_owned(), engine })
    }

    fn matches(&self, text: &str) -> bool {
        match &self.engine {
            Engine::Linear(regex) => regex.is_match(text),
            Engine::Stepping(regex) => {
                text.len() <= MAX_STEPPED_TEXT && regex.is_match(text).unwrap_or(false)
            }
        }
    }
}

fn compile(source: &str, dot_all: bool) -> Result<Engine, String> {
    let translated = python::translate(source);
    // The pattern must be whole by itself: `a)|(b` would only become one by the group put around it.
    if translated.backtracks {
        stepping(&translated.text, dot_all)?;
    } else if linear(&translated.text, dot_all).is_err() {
        // The linear engine's message shows what a look-around is, not what is wrong: the other one decides.
        stepping(&translated.text, dot_all)?;
    }
    // In verbose mode an open comment would swallow the end of the group; a line end closes it.
    let anchored = format!(r"\A(?:{})\z", translated.text);
    let closed = format!("\\A(?:{}\n)\\z", translated.text);
    if !translated.backtracks {
        for text in [&anchored, &closed] {
            if let Ok(engine) = linear(text, dot_all) {
                return Ok(engine);
            }
            if !source.contains("(?") {
                break;
            }
        }
    }
    stepping(&anchored, dot_all).or_else(|reason| stepping(&closed, dot_all).map_err(|_| reason))
}

fn linear(text: &str, dot_all: bool) -> Result<Engine, String> {
    RegexBuilder::new(text)
        .case_insensitive(true)
        .dot_matches_new_line(dot_all)
        .size_limit(MAX_COMPILED)
        .dfa_size_limit(MAX_COMPILED)
        .build()
        .map(Engine::Linear)
        .map_err(|error| error.to_string())
}

fn stepping(text: &str, dot_all: bool) -> Result<Engine, String> {
    fancy_regex::RegexBuilder::new(text)
        .case_insensitive(true)
        .dot_matches_new_line(dot_all)
        .delegate_size_limit(MAX_COMPILED)
        .delegate_dfa_size_limit(MAX_COMPILED)
        .backtrack_limit(MAX_STEPS)
        .build()
        .map(|regex| Engine::Stepping(Box::new(regex)))
        .map_err(|error| error.to_string())
}

fn one_line(reason: &str) -> String {
    // The engines draw the place over several lines; the last one says what is wrong.
    let last =
        reason.lines().map(str::trim).rfind(|line| !line.is_empty()).unwrap_or("not a regular expression");
    last.strip_prefix("error: ").unwrap_or(last).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(tool: &str, params: Option<&str>, call: (&str, &str), expected: bool) {
        let rule = Rule::new(tool, params).unwrap();
        assert_eq!(rule.matches(call.0, call.1), expected, "{tool} {params:?} on {call:?}");
    }

    #[test]
    fn patterns_match_the_whole_text_in_any_case() {
        check("Read", None, ("Read", "x"), true);
        check("read", None, ("READ", "x"), true);
        check("Rea", None, ("Read", "x"), false);
        check("ead", None, ("Read", "x"), false);
        check("Read|Glob", None, ("ReadX", "x"), false);
        check("Read|Glob", None, ("Glob", "x"), true);
        check("a|ab", None, ("ab", ""), true);
        check("Read", None, ("Read\n", ""), false);
        check("Read$", None, ("Read\n", ""), false);
        check(".*", None, ("a\nb", ""), false);
        check("Read", Some("a.*"), ("Read", "a\nb"), true);
        check("Read", Some("/ws/.*"), ("Read", "/ws"), false);
        check("", None, ("Read", ""), false);
    }

    #[test]
    fn look_around_and_back_references_work_within_limits() {
        check("(?!Bash).*", None, ("Read", ""), true);
        check("(?!Bash).*", None, ("Bash", ""), false);
        check(r"(\w+)-\1", None, ("ab-ab", ""), true);
        check(r"(\w+)-\1", None, ("ab-ac", ""), false);
        check("Read", Some(r"(?<=/ws)/x"), ("Read", "/ws/x"), false);
        check("a++a", None, ("aaa", ""), false);
        // Catastrophic: over the limit is no match.
        let hard = format!("{}!", "a".repeat(64));
        check("X", Some(r"(?=a)(a*)*\1\1b"), ("X", &hard), false);
        let long = "a".repeat(MAX_STEPPED_TEXT + 1);
        check("X", Some("(?!b).*"), ("X", &long), false);
    }

    #[test]
    fn pythons_meaning_is_kept_where_the_engines_differ() {
        check(r"a\Z", None, ("a", ""), true);
        check(r"[^a&&b]+", None, ("ab", ""), false);
        check(r"[[a]+", None, ("[a", ""), true);
        check(r"\<a\>", None, ("<a>", ""), true);
        check(r"a{b", None, ("a{b", ""), true);
        check(r"a{2}", None, ("aa", ""), true);
        check(r"(?x) a # comment", None, ("a", ""), true);
        check(r"(?x) a # comment", None, ("ab", ""), false);
    }

    #[test]
    fn broken_patterns_are_refused_with_one_line() {
        for source in ["a)|(b", "(", "[a", "a\\", "*", "(?P<x"] {
            let error = Rule::new(source, None).unwrap_err().to_string();
            assert!(error.starts_with("Invalid regex for 'tool' field '"), "{source}: {error}");
            assert!(!error.contains('\n'), "{error}");
        }
        assert!(matches!(Rule::new("a", Some("(")), Err(RuleError::Pattern { field: "params", .. })));
        assert!(matches!(Rule::new(&"a".repeat(20_000), None), Err(RuleError::TooLong { field: "tool" })));
        assert!(Rule::new("((a{1000}){1000}){1000}", None).is_err());
    }

    #[test]
    fn names_are_listed_once() {
        let rules = [("Read", None), ("Glob", Some("x")), ("Read", Some("y"))]
            .map(|(tool, params)| Rule::new(tool, params).unwrap());
        assert_eq!(tool_names(&rules), ["Read", "Glob"]);
    }
}
