//! From text to a [`Node`] tree.
//!
//! Owns anchors, merge keys, and every limit on what a hostile file may cost. Must never panic or recurse by the
//! file's depth, and never look at what keys mean.

use std::collections::HashMap;
use std::rc::Rc;

use saphyr_parser::{Event, Parser, ScalarStyle, Span, Tag};

use crate::node::{Entry, Mark, Node, Style, Value};

/// Deepest nesting.
const MAX_DEPTH: usize = 64;
/// Most values, those behind aliases counted each time, and long texts once for every [`TEXT_UNIT`] bytes.
const MAX_NODES: usize = 50_000;
const TEXT_UNIT: usize = 64;

/// Why a text is not a configuration, and where.
pub(crate) struct SyntaxError {
    pub(crate) at: Mark,
    pub(crate) message: String,
}

impl SyntaxError {
    fn new(at: Mark, message: impl Into<String>) -> Self {
        Self { at, message: message.into() }
    }
}

/// Parses one document. `None` if there is nothing in it. Duplicate keys do not end the parse: they are all told.
pub(crate) fn parse(text: &str) -> Result<Option<Node>, Vec<SyntaxError>> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut builder = Builder::default();
    for event in Parser::new_from_str(text) {
        let step = match event {
            Ok((event, span)) => builder.take(event, mark(&span)),
            Err(error) => {
                let at = Mark {
                    line: narrow(error.marker().line().max(1)),
                    column: narrow(error.marker().col() + 1),
                };
                Err(SyntaxError::new(at, format!("not valid YAML: {}", error.info())))
            }
        };
        if let Err(error) = step {
            builder.errors.push(error);
            return Err(builder.errors);
        }
    }
    if builder.errors.is_empty() { Ok(builder.root) } else { Err(builder.errors) }
}

fn narrow(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

fn mark(span: &Span) -> Mark {
    Mark { line: narrow(span.start.line()), column: narrow(span.start.col() + 1) }
}

/// A collection that is still open.
struct Open {
    node: Node,
    anchor: usize,
    /// Nodes in it so far, aliases expanded.
    size: usize,
    /// The key that waits for its value.
    key: Option<(Rc<str>, Mark)>,
    /// The lines of the keys so far, as a mapping may have thousands.
    lines: HashMap<Rc<str>, u32>,
    /// Mappings to merge in at the end.
    merges: Vec<Node>,
}

#[derive(Default)]
struct Builder {
    stack: Vec<Open>,
    anchors: HashMap<usize, (Node, usize)>,
    root: Option<Node>,
    documents: usize,
    total: usize,
    errors: Vec<SyntaxError>,
}

impl Builder {
    fn take(&mut self, event: Event<'_>, at: Mark) -> Result<(), SyntaxError> {
        match event {
            Event::DocumentStart(_) => {
                self.documents += 1;
                if self.documents > 1 {
                    return Err(SyntaxError::new(at, "a second document begins here; expected a single one"));
                }
                Ok(())
            }
            Event::Scalar(text, style, anchor, tag) => {
                let mut style = if style == ScalarStyle::Plain { Style::Plain } else { Style::Quoted };
                if check_tag(tag.as_deref(), at)? {
                    style = Style::Quoted;
                }
                let size = 1 + text.len() / TEXT_UNIT;
                let node = Node { value: Value::Scalar { text: text.as_ref().into(), style }, at };
                self.finish(node, anchor, size, size)
            }
            Event::SequenceStart(anchor, tag) => {
                check_tag(tag.as_deref(), at)?;
                self.open(Node { value: Value::List(Vec::new()), at }, anchor)
            }
            Event::MappingStart(anchor, tag) => {
                check_tag(tag.as_deref(), at)?;
                self.open(Node { value: Value::Map(Vec::new()), at }, anchor)
            }
            Event::SequenceEnd | Event::MappingEnd => match self.stack.pop() {
                Some(open) => {
                    let node = merge(open.node, open.lines, open.merges);
                    // Its parts were counted one by one.
                    self.finish(node, open.anchor, open.size, 1)
                }
                None => Ok(()),
            },
            Event::Alias(anchor) => match self.anchors.get(&anchor) {
                // An anchor is only there when its node is whole: a node within itself is refused here too.
                Some((node, size)) => {
                    let (node, size) = (Node { value: node.value.clone(), at }, *size);
                    self.finish(node, 0, size, size)
                }
                None => Err(SyntaxError::new(at, "the alias stands for nothing that is complete before it")),
            },
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => Ok(()),
        }
    }

    fn open(&mut self, node: Node, anchor: usize) -> Result<(), SyntaxError> {
        if self.stack.len() >= MAX_DEPTH {
            return Err(SyntaxError::new(node.at, format!("nested deeper than {MAX_DEPTH} levels")));
        }
        self.stack.push(Open { node, anchor, size: 1, key: None, lines: HashMap::new(), merges: Vec::new() });
        Ok(())
    }

    /// Puts a whole node where it belongs. `size` is what an alias of it will cost, `cost` what it costs now.
    fn finish(&mut self, node: Node, anchor: usize, size: usize, cost: usize) -> Result<(), SyntaxError> {
        self.total = self.total.saturating_add(cost);
        if self.total > MAX_NODES {
            return Err(SyntaxError::new(node.at, format!("more than {MAX_NODES} values")));
        }
        if anchor != 0 {
            self.anchors.insert(anchor, (node.clone(), size));
        }
        let Some(open) = self.stack.last_mut() else {
            self.root = Some(node);
            return Ok(());
        };
        open.size += size;
        match &mut open.node.value {
            Value::List(items) => items.push(node),
            Value::Map(entries) => match open.key.take() {
                None => match node.value {
                    Value::Scalar { text, .. } => open.key = Some((text, node.at)),
                    _ => return Err(SyntaxError::new(node.at, "a key must be a plain word")),
                },
                Some((key, key_at)) if &*key == "<<" => match node.value {
                    Value::Map(_) => open.merges.push(node),
                    Value::List(items) if items.iter().all(|item| item.entries().is_some()) => {
                        open.merges.extend(items);
                    }
                    _ => return Err(SyntaxError::new(key_at, "'<<' needs a mapping or a list of mappings")),
                },
                Some((key, key_at)) => {
                    if let Some(first) = open.lines.get(&key) {
                        let message = format!("the key '{key}' is there twice (first on line {first})");
                        self.errors.push(SyntaxError::new(key_at, message));
                    } else {
                        open.lines.insert(key.clone(), key_at.line);
                        entries.push(Entry { key, at: key_at, value: node });
                    }
                }
            },
            Value::Scalar { .. } => {}
        }
        Ok(())
    }
}

/// Adds the entries that the mapping does not have itself; the first merged mapping wins.
fn merge(mut node: Node, mut known: HashMap<Rc<str>, u32>, merges: Vec<Node>) -> Node {
    if let Value::Map(entries) = &mut node.value {
        for merged in merges {
            if let Value::Map(more) = merged.value {
                for entry in more {
                    if known.insert(entry.key.clone(), entry.at.line).is_none() {
                        entries.push(entry);
                    }
                }
            }
        }
    }
    node
}

/// Whether a tag makes a scalar text. Only the tags of YAML itself are known, as in PyYAML's safe loader.
fn check_tag(tag: Option<&Tag>, at: Mark) -> Result<bool, SyntaxError> {
    let Some(tag) = tag else { return Ok(false) };
    if tag.handle.is_empty() && tag.suffix == "!" || tag.handle == "!" && tag.suffix.is_empty() {
        return Ok(true);
    }
    if !tag.is_yaml_core_schema() {
        return Err(SyntaxError::new(at, format!("unknown tag '{}{}'", tag.handle, tag.suffix)));
    }
    match tag.suffix.as_str() {
        "str" => Ok(true),
        "null" | "bool" | "int" | "float" | "seq" | "map" => Ok(false),
        other => Err(SyntaxError::new(at, format!("the tag '!!{other}' is not supported"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn show(node: &Node) -> String {
        match &node.value {
            Value::Scalar { text, style: Style::Plain } => text.to_string(),
            Value::Scalar { text, .. } => format!("{text:?}"),
            Value::List(items) => format!("[{}]", items.iter().map(show).collect::<Vec<_>>().join(", ")),
            Value::Map(entries) => {
                let inner = entries
                    .iter()
                    .map(|entry| format!("{}@{}: {}", entry.key, entry.at.line, show(&entry.value)));
                format!("{{{}}}", inner.collect::<Vec<_>>().join(", "))
            }
        }
    }

    #[track_caller]
    fn check(text: &str, expected: &str) {
        let got = match parse(text) {
            Ok(Some(node)) => show(&node),
            Ok(None) => "nothing".into(),
            Err(errors) => errors
                .iter()
                .map(|error| format!("{}:{} {}", error.at.line, error.at.column, error.message))
                .collect::<Vec<_>>()
                .join(" | "),
        };
        assert_eq!(got, expected, "{text}");
    }

    #[test]
    fn trees_and_lines() {
        check("", "nothing");
        check("# only a comment\n", "nothing");
        check("a: 1\nb:\n  - x\n  - 'y'\n", "{a@1: 1, b@2: [x, \"y\"]}");
        check("\u{feff}a: no\r\nb: 0123\r\n", "{a@1: no, b@2: 0123}");
        check(
            "a: &x {k: 1}\nb: *x\nc:\n  <<: *x\n  k: 2\nd: {<<: [*x, {k: 3, m: 4}]}",
            "{a@1: {k@1: 1}, b@2: {k@1: 1}, c@3: {k@5: 2}, d@6: {k@1: 1, m@6: 4}}",
        );
        check("a: !!str 5\nb: ! 6", "{a@1: \"5\", b@2: \"6\"}");
        check("a: |\n  x\n  y\n", "{a@1: \"x\\ny\\n\"}");
    }

    #[test]
    fn what_is_refused() {
        check(
            "a: 1\nb: 2\na: 3\nb: 4",
            "3:1 the key 'a' is there twice (first on line 1) | 4:1 the key 'b' is there twice (first on line 2)",
        );
        check("a: 1\n---\nb: 2", "2:1 a second document begins here; expected a single one");
        check("a: !!python/object:os.system x", "1:4 the tag '!!python/object:os.system' is not supported");
        check("a: !env X", "1:4 unknown tag '!env'");
        check("? [a]\n: b", "1:3 a key must be a plain word");
        check("<<: 5", "1:1 '<<' needs a mapping or a list of mappings");
        let deep = |levels: usize| "[".repeat(levels) + &"]".repeat(levels);
        let long = "x".repeat(900_000);
        assert!(parse(&format!("a: &a {long}\nb: *a")).is_ok());
        check_end(&format!("a: &a {long}\nb: [*a,*a,*a,*a]"), "more than 50000 values");
        check(&deep(100), "1:65 nested deeper than 64 levels");
        assert!(parse(&deep(64)).is_ok());
        // The scanner looks ahead, and has a limit of its own.
        assert!(parse(&"[".repeat(100_000)).is_err());
        assert!(parse(&"- ".repeat(100_000)).is_err());
        assert!(parse(&"? ".repeat(100_000)).is_err());
    }

    #[track_caller]
    fn check_end(text: &str, message: &str) {
        let Err(errors) = parse(text) else { panic!("went through") };
        assert_eq!(errors[0].message, message);
    }

    #[test]
    fn alias_bombs_cost_little() {
        let mut bomb = String::from("a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n");
        for level in 1..12 {
            let inner = vec![format!("*a{}", level - 1); 10].join(",");
            bomb.push_str(
                &["a", &level.to_string(), ": &a", &level.to_string(), " [", &inner, "]\n"].concat(),
            );
        }
        check_end(&bomb, "more than 50000 values");
        let Err(errors) = parse("a: &a [*a]") else { panic!("a node within itself") };
        assert_eq!(errors.len(), 1);
    }
}
