//! Tool rules, and the presets that they may name.

use std::collections::BTreeMap;

use acg_policy::Rule;

use crate::check::check;
use crate::context::Context;
use crate::diagnostic::DiagnosticKind;
use crate::kind::{Key, Shape};
use crate::node::{Mark, Node};
use crate::section::{Section, nearest};

/// Most rules in one list.
const MAX_RULES: usize = 500;

static RULE: &[Key] = &[
    Key::new("tool", Shape::Text, "A regular expression for the whole name of the tool.").required(),
    Key::new("params", Shape::Text, "A regular expression for the whole parameter text."),
];

/// A rule, and where it is written; that of a preset where the preset is named.
#[derive(Clone)]
pub(crate) struct Written {
    pub(crate) rule: Rule,
    pub(crate) at: Mark,
    pub(crate) path: String,
}

/// Lists of rules by name.
pub(crate) struct Presets {
    /// `None` if the list has faults, which are told already.
    lists: BTreeMap<String, Option<Vec<Rule>>>,
}

impl Presets {
    /// Reads `tool_presets:`, those that nobody uses too.
    pub(crate) fn read(context: &Context<'_>, root: &Node) -> Self {
        let mut lists = BTreeMap::new();
        let Some(node) = root.get("tool_presets") else { return Self { lists } };
        let Some(entries) = node.entries() else {
            let message =
                format!("config.yaml 'tool_presets:' must be a mapping (got {}).", node.type_name());
            context.error(node.at, "tool_presets", DiagnosticKind::Type, message);
            return Self { lists };
        };
        for entry in entries {
            let path = format!("tool_presets.{}", entry.key);
            let list =
                List { context, label: format!("Tool preset '{}'", entry.key), path: &path, presets: None };
            let rules = list.read(&entry.value, entry.at);
            let rules = rules.map(|rules| rules.into_iter().map(|written| written.rule).collect());
            lists.insert(entry.key.to_string(), rules);
        }
        Self { lists }
    }

    /// Reads one list of rules. `label` is how the messages begin, such as `Agent 'x'`.
    pub(crate) fn rules(&self, section: &Section<'_>, label: &str, key: &str) -> Vec<Written> {
        let Some(node) = section.get(key) else { return Vec::new() };
        let path = section.key_path(key);
        let list =
            List { context: section.context, label: label.to_owned(), path: &path, presets: Some(self) };
        list.read(node, section.at_value(key)).unwrap_or_default()
    }
}

struct List<'a> {
    context: &'a Context<'a>,
    /// How the messages begin.
    label: String,
    path: &'a str,
    /// What a text may name; `None` within presets.
    presets: Option<&'a Presets>,
}

impl List<'_> {
    fn read(&self, node: &Node, at: Mark) -> Option<Vec<Written>> {
        let Self { label, path, .. } = self;
        let Some(items) = node.items() else {
            let message = format!("{label}: '{}' must be a list (got {}).", self.field(), node.type_name());
            self.context.error(at, path, DiagnosticKind::Type, message);
            return None;
        };
        if items.len() > MAX_RULES {
            let message = format!("{label}: more than {MAX_RULES} rules in '{}'.", self.field());
            self.context.error(at, path, DiagnosticKind::Value, message);
            return None;
        }
        let mut rules = Vec::new();
        let mut whole = true;
        for (index, item) in items.iter().enumerate() {
            match self.item(index, item) {
                Some(more) => rules.extend(more),
                None => whole = false,
            }
        }
        whole.then_some(rules)
    }

    fn field(&self) -> &str {
        self.path.rsplit('.').next().unwrap_or(self.path)
    }

    fn item(&self, index: usize, item: &Node) -> Option<Vec<Written>> {
        let Self { label, context, .. } = self;
        let path = format!("{}[{index}]", self.path);
        let invalid = |at: Mark, path: &str, reason: &str| {
            let message =
                format!("{label}: invalid tool rule at index {index} in {}: {reason}", self.field());
            context.error(at, path, DiagnosticKind::Value, message);
        };
        if let Some(preset) = item.text().filter(|_| !item.is_null()) {
            let rules = self.preset(index, item.at, &path, preset)?;
            return Some(
                rules.into_iter().map(|rule| Written { rule, at: item.at, path: path.clone() }).collect(),
            );
        }
        if item.entries().is_none() {
            let reason =
                format!("Invalid tool rule: got {}. Expected a dict with a 'tool' key.", item.type_name());
            invalid(item.at, &path, &reason);
            return None;
        }
        let section = Section::of(context, Some(item), item.at, path.clone());
        check(&section, &[RULE]);
        let Some(tool) = section.str("tool") else {
            if !section.has("tool") {
                invalid(item.at, &path, "Invalid tool rule: no 'tool'. Expected a dict with a 'tool' key.");
            }
            return None;
        };
        let params = section.str("params");
        if params.is_none() && section.has("params") {
            return None;
        }
        match Rule::new(&tool, params.as_deref()) {
            Ok(rule) => Some(vec![Written { rule, at: item.at, path }]),
            Err(error) => {
                let key = match error {
                    acg_policy::RuleError::Pattern { field, .. }
                    | acg_policy::RuleError::TooLong { field } => field,
                };
                invalid(section.at_value(key), &section.key_path(key), &error.to_string());
                None
            }
        }
    }

    fn preset(&self, index: usize, at: Mark, path: &str, name: &str) -> Option<Vec<Rule>> {
        let Self { label, context, .. } = self;
        let field = self.field();
        let Some(presets) = self.presets else {
            let message = format!(
                "{label}: presets cannot reference another preset ('{name}' at index {index}) — a preset must be a flat list of inline tool rules."
            );
            context.error(at, path, DiagnosticKind::Value, message);
            return None;
        };
        if context.is_v01() {
            let message = format!(
                "{label}: invalid tool rule at index {index} in {field}: Invalid tool rule: '{name}'. Expected a \
                 dict with a 'tool' key."
            );
            let help = "presets belong to the 0.5 dialect".to_owned();
            context.error_help(at, path, DiagnosticKind::Value, message, Some(help));
            return None;
        }
        let Some(list) = presets.lists.get(name) else {
            let known: Vec<&str> = presets.lists.keys().map(String::as_str).collect();
            let available = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
            let message = format!(
                "{label}: unknown tool preset '{name}' in {field}[{index}]. Available presets: {available}"
            );
            let help = nearest(name, known.into_iter()).map(|near| format!("did you mean '{near}'?"));
            context.error_help(at, path, DiagnosticKind::Reference, message, help);
            return None;
        };
        list.clone()
    }
}
