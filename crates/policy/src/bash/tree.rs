//! The second reading: tree-sitter's tree, walked with a list of the node kinds that are understood.
//!
//! Owns that list. Must never step over a node: an unknown kind, an error or a missing part refuses the whole.

use std::ops::ControlFlow;

use tree_sitter::{Node, ParseOptions, Parser};

use super::script::{Mark, Role};

/// Deepest tree that is walked.
const MAX_DEPTH: usize = 200;
/// How often the parser may report progress before it is stopped; a limit that needs no clock.
const MAX_STEPS: usize = 20_000;

/// Tokens between nodes, by their text.
const TOKENS: &[&str] = &[
    "if", "then", "elif", "else", "fi", "while", "until", "do", "done", "for", "in", "case", "esac", ";",
    ";;", "&&", "||", "|", "(", ")", "{", "}", "!", "\n",
];

/// Reads a source and returns what it found, sorted. The fault is a part of a sentence.
pub(crate) fn marks(source: &str) -> Result<Vec<Mark>, String> {
    let mut parser = Parser::new();
    parser
        .set_language(&tree_sitter_bash::LANGUAGE.into())
        .map_err(|_| "the parser for bash cannot be used".to_owned())?;
    let mut steps = 0;
    let mut progress = |_: &tree_sitter::ParseState| {
        steps += 1;
        if steps > MAX_STEPS { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    let bytes = source.as_bytes();
    let tree = parser
        .parse_with_options(
            &mut |at, _| bytes.get(at..).unwrap_or_default(),
            None,
            Some(ParseOptions::new().progress_callback(&mut progress)),
        )
        .ok_or_else(|| "it is too hard to parse".to_owned())?;
    let root = tree.root_node();
    if root.has_error() {
        return Err("it is not valid bash, or bash and this program's grammar may differ about it".into());
    }
    let mut walk = Walk { source, marks: Vec::new(), depth: 0 };
    walk.structure(root)?;
    walk.marks.sort_unstable();
    Ok(walk.marks)
}

struct Walk<'a> {
    source: &'a str,
    marks: Vec<Mark>,
    depth: usize,
}

fn refused(node: Node<'_>) -> String {
    let what = match node.kind() {
        "function_definition" => "it defines a function",
        "declaration_command" | "unset_command" => "it declares or unsets variables",
        "process_substitution" => "it holds a process substitution",
        "arithmetic_expansion" => "it calculates, which may run commands",
        "heredoc_redirect" | "herestring_redirect" => "it holds a here-document or here-string",
        "ansi_c_string" | "translated_string" => "it holds a quotation with a dollar sign before it",
        "brace_expression" => "it holds a brace expansion",
        "array" | "subscript" => "it holds an array",
        "variable_assignment" | "variable_assignments" => "it sets a variable",
        kind => return format!("it holds '{kind}', which is not understood"),
    };
    what.to_owned()
}

fn children(node: Node<'_>) -> impl Iterator<Item = Node<'_>> {
    (0..node.child_count()).filter_map(move |index| node.child(index))
}

impl Walk<'_> {
    fn mark(&mut self, node: Node<'_>, role: Role) {
        self.marks.push((node.start_byte(), node.end_byte(), role));
    }

    fn text(&self, node: Node<'_>) -> &str {
        self.source.get(node.byte_range()).unwrap_or_default()
    }

    fn deeper(&mut self, inside: impl FnOnce(&mut Self) -> Result<(), String>) -> Result<(), String> {
        if self.depth >= MAX_DEPTH {
            return Err("it is nested too deep".into());
        }
        self.depth += 1;
        let result = inside(self);
        self.depth -= 1;
        result
    }

    /// A node that is a command, or holds commands.
    fn structure(&mut self, node: Node<'_>) -> Result<(), String> {
        if node.is_error() || node.is_missing() {
            return Err("it is not valid bash".into());
        }
        if !node.is_named() {
            let known = TOKENS.contains(&self.text(node)) || node.kind() == "\n";
            return if known { Ok(()) } else { Err(format!("'{}' is not allowed", self.text(node))) };
        }
        match node.kind() {
            "program"
            | "list"
            | "pipeline"
            | "subshell"
            | "compound_statement"
            | "if_statement"
            | "elif_clause"
            | "else_clause"
            | "while_statement"
            | "do_group"
            | "negated_command"
            | "redirected_statement" => {
                self.deeper(|walk| children(node).try_for_each(|child| walk.structure(child)))
            }
            "comment" => {
                self.mark(node, Role::Comment);
                Ok(())
            }
            "command" => self.command(node),
            "test_command" => self.test(node),
            "for_statement" | "case_statement" | "case_item" => self.deeper(|walk| walk.with_words(node)),
            "file_redirect" => {
                self.mark(node, Role::Redirect);
                children(node).filter(Node::is_named).try_for_each(|child| match child.kind() {
                    "file_descriptor" | "number" => Ok(()),
                    _ => self.word(child),
                })
            }
            _ => Err(refused(node)),
        }
    }

    fn command(&mut self, node: Node<'_>) -> Result<(), String> {
        for child in children(node) {
            match child.kind() {
                "command_name" => {
                    self.mark(child, Role::Program);
                    children(child).try_for_each(|part| self.word(part))?;
                }
                "variable_assignment" => {
                    self.mark(child, Role::Assignment);
                    for part in children(child) {
                        match part.kind() {
                            "variable_name" | "=" => {}
                            _ => self.word(part)?,
                        }
                    }
                }
                "file_redirect" | "comment" => self.structure(child)?,
                _ => {
                    self.mark(child, Role::Word);
                    self.word(child)?;
                }
            }
        }
        Ok(())
    }

    /// `[ … ]`, whose words the grammar puts into a tree of their own.
    fn test(&mut self, node: Node<'_>) -> Result<(), String> {
        for child in children(node) {
            match child.kind() {
                "[" => self.mark(child, Role::Program),
                "]" => self.mark(child, Role::Word),
                _ => self.test_part(child)?,
            }
        }
        Ok(())
    }

    fn test_part(&mut self, node: Node<'_>) -> Result<(), String> {
        match node.kind() {
            "unary_expression" | "binary_expression" => {
                self.deeper(|walk| children(node).try_for_each(|child| walk.test_part(child)))
            }
            "test_operator" | "=" | "!=" | "!" => {
                self.mark(node, Role::Word);
                Ok(())
            }
            "[[" | "]]" | "((" | "))" | "parenthesized_expression" => {
                Err("it tests with more than [ … ]".into())
            }
            _ => {
                self.mark(node, Role::Word);
                self.word(node)
            }
        }
    }

    /// A loop or case: its own words, and the commands inside.
    fn with_words(&mut self, node: Node<'_>) -> Result<(), String> {
        let mut cursor = node.walk();
        let mut more = cursor.goto_first_child();
        while more {
            let child = cursor.node();
            match cursor.field_name() {
                Some("variable") => self.mark(child, Role::LoopName),
                Some("value") if child.is_named() => {
                    self.mark(child, Role::Word);
                    self.word(child)?;
                }
                _ => self.structure(child)?,
            }
            more = cursor.goto_next_sibling();
        }
        Ok(())
    }

    /// A word, or a part of one.
    fn word(&mut self, node: Node<'_>) -> Result<(), String> {
        if node.is_error() || node.is_missing() {
            return Err("it is not valid bash".into());
        }
        match node.kind() {
            "word"
            | "number"
            | "raw_string"
            | "string_content"
            | "extglob_pattern"
            | "special_variable_name"
            | "variable_name"
                if node.named_child_count() == 0 =>
            {
                Ok(())
            }
            "\"" | "$" | "${" | "}" => Ok(()),
            "string" | "concatenation" => {
                self.deeper(|walk| children(node).try_for_each(|child| walk.word(child)))
            }
            "simple_expansion" | "expansion" => {
                self.mark(node, Role::Variable);
                self.deeper(|walk| children(node).try_for_each(|child| walk.word(child)))
            }
            "command_substitution" => {
                self.mark(node, Role::Substitution);
                self.deeper(|walk| {
                    let last = node.child_count().saturating_sub(1);
                    (0_u32..).zip(children(node)).try_for_each(|(index, child)| match child.kind() {
                        "$(" if index == 0 => Ok(()),
                        ")" if index == last => Ok(()),
                        _ => walk.structure(child),
                    })
                })
            }
            _ => Err(refused(node)),
        }
    }
}
