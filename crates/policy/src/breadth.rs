//! Whether a rule says so little that it allows everything.
//!
//! Owns the samples that a rule is tried on. A sample is a tool or a command that nobody could have meant.

use crate::rule::Rule;

/// Tools whose input is a command or a program.
const SHELLS: &[&str] = &["Bash", "PowerShell", "REPL", "Monitor"];

const NO_TOOL: &str = "ZqNoSuchTool";
const NO_COMMAND: &str = "zq7nosuchprogram --do it";
const NO_INPUTS: &[&str] = &[r#"{"command": "zq7nosuchprogram --do it"}"#, r#"{"zq7": "zq7"}"#];

impl Rule {
    /// What the rule allows if it is so broad that it allows everything, as a part of a sentence: any tool with any
    /// input, or any shell command.
    pub fn allows_everything(&self) -> Option<&'static str> {
        let boundless = |texts: &[&str]| match self.params() {
            None => true,
            Some(_) => texts.iter().any(|text| self.matches_params(text)),
        };
        if self.matches_tool(NO_TOOL) && boundless(NO_INPUTS) {
            return Some("any tool with any input");
        }
        SHELLS
            .iter()
            .any(|tool| self.matches_tool(tool) && boundless(&[NO_COMMAND, NO_INPUTS[0]]))
            .then_some("any shell command")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_in_many_spellings() {
        let tool = Some("any tool with any input");
        let shell = Some("any shell command");
        for (name, params, expected) in [
            (".*", None, tool),
            (".+", Some(".*"), tool),
            ("(?!Bash).*", None, tool),
            ("[a-z]+", Some("(?s).*"), tool),
            (r"\w*", Some(r"\{.*\}"), tool),
            ("Bash", None, shell),
            ("bash|Read", None, shell),
            ("Bash", Some(".*"), shell),
            ("Bash", Some(".+ .+"), shell),
            ("Bash", Some("(?!rm).*"), shell),
            ("B.sh", Some(r"\S+( .*)?"), shell),
            ("Monitor", None, shell),
            ("Monitor", Some(".*command.*"), shell),
            ("Bash", Some("git (log|diff).*"), None),
            ("Bash", Some(r"\S+ --version"), None),
            ("Bash", Some("[a-z]+"), None),
            ("Read|Glob|Grep", None, None),
            ("Write|Edit", None, None),
            ("mcp__tracker__.*", None, None),
            (".*", Some("/ws/.*"), None),
            ("Task|Agent", None, None),
        ] {
            let rule = Rule::new(name, params).unwrap();
            assert_eq!(rule.allows_everything(), expected, "{rule}");
        }
    }
}
