//! What of a call rules look at, and which rule allows all of it.
//!
//! Owns the meaning of `params` for each tool. Must never allow a call because of a text that is not what the tool
//! will act on.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use crate::bash::{BashReport, judge_by_rules};
use crate::decide::Request;
use crate::globs;
use crate::json;
use crate::paths::{Refused, Workspace};
use crate::rule::Rule;
use crate::tool::{self, Kind};
use crate::{guarded, urls};

/// What was found while looking at a call.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    /// The texts that rules were tried on; for Bash the simple commands.
    pub(crate) texts: Vec<String>,
    /// For Bash: each command found.
    pub(crate) bash: Option<BashReport>,
}

/// The rule that allows the call, or why none does.
pub(crate) fn examine(
    request: &Request<'_>,
    input: &Map<String, Value>,
    findings: &mut Findings,
) -> Result<String, Refused> {
    let tool = request.call.tool.as_str();
    let rules: Vec<&Rule> = request.role.rules.iter().filter(|rule| rule.matches_tool(tool)).collect();
    let subject = Subject { tool, rules, findings };
    if subject.rules.is_empty() && Kind::of(tool) != Kind::Bash {
        return Err(no_rule());
    }
    match Kind::of(tool) {
        Kind::Bash => subject.bash(input),
        Kind::Path { key, optional, writes } => {
            let workspace = Workspace::new(request.workspace, request.resolve)?;
            let path = match text(input, key)? {
                Some(path) => path,
                None if optional => ".",
                None => return Err(missing(key)),
            };
            subject.path(&workspace, path, writes)
        }
        Kind::Glob => {
            let workspace = Workspace::new(request.workspace, request.resolve)?;
            let base = start(&workspace, input)?;
            let pattern = text(input, "pattern")?.ok_or_else(|| missing("pattern"))?;
            check_pattern(&workspace, &base, pattern)?;
            subject.whole_input(&request.call.params)
        }
        Kind::Grep => {
            let workspace = Workspace::new(request.workspace, request.resolve)?;
            let base = start(&workspace, input)?;
            if let Some(pattern) = text(input, "glob")? {
                // The agent cuts it at blanks and commas: each piece must be harmless, and the whole.
                check_pattern(&workspace, &base, pattern)?;
                for piece in pattern.split([' ', ',']).filter(|piece| !piece.is_empty()) {
                    check_pattern(&workspace, &base, piece)?;
                }
            }
            subject.whole_input(&request.call.params)
        }
        Kind::WebFetch => {
            let url = text(input, "url")?.ok_or_else(|| missing("url"))?;
            subject.address(url)
        }
        Kind::WebSearch => {
            let query = text(input, "query")?.ok_or_else(|| missing("query"))?;
            subject.text(query.to_owned())
        }
        Kind::Skill => {
            let skill = text(input, "skill")?.ok_or_else(|| missing("skill"))?;
            let args = text(input, "args")?.unwrap_or_default();
            subject.text(if args.is_empty() { skill.to_owned() } else { format!("{skill} {args}") })
        }
        Kind::Agent | Kind::Other => subject.whole_input(&request.call.params),
    }
}

struct Subject<'a> {
    tool: &'a str,
    /// Those that match the tool.
    rules: Vec<&'a Rule>,
    findings: &'a mut Findings,
}

impl Subject<'_> {
    fn bash(self, input: &Map<String, Value>) -> Result<String, Refused> {
        let source = text(input, "command")?.ok_or_else(|| missing("command"))?;
        let rules = self.rules;
        let with_params: Vec<&Rule> = rules.iter().copied().filter(|rule| rule.params().is_some()).collect();
        let report = judge_by_rules(source, self.tool, &with_params);
        let (is_allowed, reason) = (report.is_allowed(), report.reason());
        self.findings.texts = report.commands.iter().map(|command| command.text.clone()).collect();
        self.findings.bash = Some(report);
        if rules.is_empty() {
            return Err(no_rule());
        }
        // Without parameters a rule is about every input, also one that nobody understands.
        if let Some(rule) = rules.iter().find(|rule| rule.params().is_none()) {
            return Ok(rule.to_string());
        }
        for (key, value) in input {
            let is_known = match key.as_str() {
                "command" | "description" | "timeout" => true,
                // Work that outlives the turn, and a sandbox switched off.
                "run_in_background" | "dangerouslyDisableSandbox" => *value == Value::Bool(false),
                _ => false,
            };
            if !is_known {
                let key = crate::call::printable(key);
                return Err(Refused(format!("rules with parameters do not allow '{key}'")));
            }
        }
        if !is_allowed {
            return Err(Refused(reason.unwrap_or_else(|| "the command is not allowed".into())));
        }
        let first = self.findings.texts.first().map_or("", String::as_str);
        let rule = with_params.iter().find(|rule| rule.matches(self.tool, first));
        rule.map(ToString::to_string).ok_or_else(nothing_compared)
    }

    fn path(self, workspace: &Workspace<'_>, path: &str, writes: bool) -> Result<String, Refused> {
        let place = workspace.find(workspace.root(), path)?;
        let mut texts = vec![place.named];
        if !texts.contains(&place.real) {
            texts.push(place.real);
        }
        self.findings.texts.clone_from(&texts);
        let mut first = None;
        for text in &texts {
            // What lies outside, and what makes other programs run, must be named: a rule that would match some
            // other place as well was not written for this one.
            let mut decoys = Vec::new();
            let is_outside = !place.is_inside && !workspace.holds(text);
            if is_outside {
                decoys.extend(guarded::elsewhere(text));
            } else if writes {
                decoys.extend(guarded::decoys(text));
            }
            let names = |rule: &&Rule| !decoys.iter().any(|decoy| rule.matches(self.tool, decoy));
            let matching: Vec<&Rule> =
                self.rules.iter().copied().filter(|rule| rule.matches(self.tool, text)).collect();
            match matching.iter().copied().find(|rule| names(rule)) {
                Some(rule) => first = first.or(Some(rule)),
                None if is_outside => {
                    return Err(Refused(
                        "the path leads out of the working directory, and no rule names the place".into(),
                    ));
                }
                None if matching.is_empty() => return Err(Refused(UNMATCHED.into())),
                None => {
                    return Err(Refused(
                        "what is written there makes other programs run, and no rule names the place".into(),
                    ));
                }
            }
        }
        first.map(ToString::to_string).ok_or_else(nothing_compared)
    }

    fn address(self, url: &str) -> Result<String, Refused> {
        if let Err(fault) = urls::check(url)
            && self.rules.iter().all(|rule| rule.params().is_some())
        {
            return Err(Refused(fault.into()));
        }
        self.text(url.to_owned())
    }

    fn whole_input(self, params: &Value) -> Result<String, Refused> {
        let text =
            json::python(params).ok_or_else(|| Refused("its input cannot be written as JSON".into()))?;
        self.text(text)
    }

    fn text(self, text: String) -> Result<String, Refused> {
        let found = self.rules.iter().find(|rule| rule.matches(self.tool, &text)).map(ToString::to_string);
        self.findings.texts = vec![text];
        found.ok_or_else(|| Refused(UNMATCHED.into()))
    }
}

const UNMATCHED: &str = "no rule of this role allows these parameters";

fn no_rule() -> Refused {
    Refused("no rule of this role allows this tool".into())
}

fn missing(key: &str) -> Refused {
    Refused(format!("'{key}' is missing"))
}

fn nothing_compared() -> Refused {
    Refused("there is nothing to compare rules with".into())
}

/// Whether a rule is needed that names the tool, and none does.
pub(crate) fn is_unnamed_beyond_the_turn(request: &Request<'_>) -> bool {
    let tool = &request.call.tool;
    tool::reaches_beyond_the_turn(tool) && !request.role.names(tool)
}

/// The directory (or file) where Glob and Grep begin.
fn start(workspace: &Workspace<'_>, input: &Map<String, Value>) -> Result<PathBuf, Refused> {
    match text(input, "path")? {
        None => Ok(workspace.root().to_owned()),
        Some(path) => workspace.locate(workspace.root(), path).map(|place| place.resolved),
    }
}

fn check_pattern(workspace: &Workspace<'_>, base: &Path, pattern: &str) -> Result<(), Refused> {
    let fixed = globs::fixed_parts(pattern).map_err(|reason| Refused(reason.into()))?;
    // A fixed beginning may be a link to somewhere else.
    fixed.iter().try_for_each(|part| workspace.locate(base, part).map(drop))
}

/// A text of the input; `None` if it is not there.
fn text<'a>(input: &'a Map<String, Value>, key: &str) -> Result<Option<&'a str>, Refused> {
    match input.get(key) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(Refused(format!("'{key}' is not a text"))),
    }
}
