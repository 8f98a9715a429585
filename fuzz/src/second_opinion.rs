//! What another parser, brush-parser, says that a bash source would run.
//!
//! Owns walking its tree, and the text of substitutions, which it leaves unread. Must never share code with the
//! policy: it is there to disagree.

#![allow(unreachable_pub, reason = "a module of a library here, and of a test binary elsewhere")]

use std::io::Cursor;

use brush_parser::ast::{
    AndOr, AndOrList, AssignmentValue, Command, CommandPrefixOrSuffixItem, CompoundCommand, CompoundList,
    IoFileRedirectKind, IoFileRedirectTarget, IoRedirect, Pipeline, RedirectList, SeparatorOperator,
    SimpleCommand, Word,
};
use brush_parser::word::{Parameter, ParameterExpr, WordPiece, WordPieceWithSource};
use brush_parser::{Parser, ParserOptions};

/// What it found.
#[derive(Debug, Default)]
pub struct Opinion {
    /// The words of each simple command, quotes removed where nothing in the word is expanded.
    pub commands: Vec<Vec<String>>,
    /// What is more than simple commands, loops and conditions.
    pub beyond: Vec<String>,
}

/// Parses a source. `None` if it is not valid to this parser.
pub fn opinion(source: &str) -> Option<Opinion> {
    // It panics on a file descriptor that is no number of 32 bits.
    if source.split(|c: char| !c.is_ascii_digit()).any(|digits| digits.len() > 9) {
        return None;
    }
    let mut walk = Walk { opinion: Opinion::default(), depth: 0, failed: false };
    walk.source(source);
    (!walk.failed).then_some(walk.opinion)
}

struct Walk {
    opinion: Opinion,
    depth: usize,
    failed: bool,
}

impl Walk {
    fn beyond(&mut self, what: &str) {
        self.opinion.beyond.push(what.to_owned());
    }

    fn source(&mut self, source: &str) {
        if self.depth > 20 {
            self.beyond("depth");
            return;
        }
        self.depth += 1;
        match Parser::new(Cursor::new(source), &ParserOptions::default()).parse_program() {
            Ok(program) => program.complete_commands.iter().for_each(|list| self.list(list)),
            Err(_) => self.failed = true,
        }
        self.depth -= 1;
    }

    fn list(&mut self, list: &CompoundList) {
        for item in &list.0 {
            if matches!(item.1, SeparatorOperator::Async) {
                self.beyond("background");
            }
            self.and_or(&item.0);
        }
    }

    fn and_or(&mut self, list: &AndOrList) {
        self.pipeline(&list.first);
        for AndOr::And(pipeline) | AndOr::Or(pipeline) in &list.additional {
            self.pipeline(pipeline);
        }
    }

    fn pipeline(&mut self, pipeline: &Pipeline) {
        if pipeline.timed.is_some() {
            self.beyond("time");
        }
        for command in &pipeline.seq {
            match command {
                Command::Simple(simple) => self.simple(simple),
                Command::Compound(compound, redirects) => {
                    self.compound(compound);
                    self.redirects(redirects.as_ref());
                }
                Command::Function(_) => self.beyond("function"),
                Command::ExtendedTest(..) => self.beyond("extended test"),
            }
        }
    }

    fn compound(&mut self, compound: &CompoundCommand) {
        match compound {
            CompoundCommand::Arithmetic(_) | CompoundCommand::ArithmeticForClause(_) => {
                self.beyond("arithmetic");
            }
            CompoundCommand::Coprocess(_) => self.beyond("coprocess"),
            CompoundCommand::BraceGroup(group) => self.list(&group.list),
            CompoundCommand::Subshell(group) => self.list(&group.list),
            CompoundCommand::ForClause(clause) => {
                clause.values.iter().flatten().for_each(|word| drop(self.word(word)));
                self.list(&clause.body.list);
            }
            CompoundCommand::CaseClause(clause) => {
                self.word(&clause.value);
                for case in &clause.cases {
                    case.patterns.iter().for_each(|word| drop(self.word(word)));
                    case.cmd.iter().for_each(|list| self.list(list));
                }
            }
            CompoundCommand::IfClause(clause) => {
                self.list(&clause.condition);
                self.list(&clause.then);
                for part in clause.elses.iter().flatten() {
                    part.condition.iter().for_each(|list| self.list(list));
                    self.list(&part.body);
                }
            }
            CompoundCommand::WhileClause(clause) | CompoundCommand::UntilClause(clause) => {
                self.list(&clause.0);
                self.list(&clause.1.list);
            }
        }
    }

    fn redirects(&mut self, redirects: Option<&RedirectList>) {
        for redirect in redirects.iter().flat_map(|list| &list.0) {
            self.redirect(redirect);
        }
    }

    fn redirect(&mut self, redirect: &IoRedirect) {
        match redirect {
            IoRedirect::File(_, kind, target) => match target {
                IoFileRedirectTarget::Filename(word) => self.file(word),
                IoFileRedirectTarget::Fd(_) => {}
                IoFileRedirectTarget::ProcessSubstitution(..) => self.beyond("process substitution"),
                IoFileRedirectTarget::Duplicate(word) => {
                    let known = matches!(kind, IoFileRedirectKind::DuplicateOutput)
                        && matches!(word.value.as_str(), "1" | "2");
                    if !known {
                        self.beyond("duplicate");
                    }
                }
            },
            IoRedirect::HereDocument(..) | IoRedirect::HereString(..) => self.beyond("here-document"),
            IoRedirect::OutputAndError(word, _) => self.file(word),
        }
    }

    fn file(&mut self, word: &Word) {
        if word.value != "/dev/null" {
            self.beyond("redirection");
        }
        self.word(word);
    }

    fn simple(&mut self, command: &SimpleCommand) {
        let mut words: Vec<String> = command.word_or_name.iter().map(|word| self.word(word)).collect();
        let items = command.prefix.iter().flat_map(|prefix| &prefix.0);
        for item in items.chain(command.suffix.iter().flat_map(|suffix| &suffix.0)) {
            match item {
                CommandPrefixOrSuffixItem::IoRedirect(redirect) => self.redirect(redirect),
                CommandPrefixOrSuffixItem::Word(word) => words.push(self.word(word)),
                CommandPrefixOrSuffixItem::AssignmentWord(assignment, word) => {
                    if matches!(assignment.value, AssignmentValue::Array(_)) {
                        self.beyond("array");
                    }
                    if command.word_or_name.is_none()
                        || command
                            .prefix
                            .iter()
                            .flat_map(|prefix| &prefix.0)
                            .any(|found| std::ptr::eq(found, item))
                    {
                        self.beyond("assignment");
                    } else {
                        words.push(self.word(word));
                    }
                }
                CommandPrefixOrSuffixItem::ProcessSubstitution(..) => self.beyond("process substitution"),
            }
        }
        if command.word_or_name.is_some() {
            self.opinion.commands.push(words);
        }
    }

    /// Looks into a word; returns its text, unquoted where that is clear.
    fn word(&mut self, word: &Word) -> String {
        let Ok(pieces) = brush_parser::word::parse(&word.value, &ParserOptions::default()) else {
            self.failed = true;
            return word.value.clone();
        };
        let mut text = String::new();
        let mut is_plain = true;
        self.pieces(&pieces, &mut text, &mut is_plain);
        if is_plain { text } else { word.value.clone() }
    }

    fn pieces(&mut self, pieces: &[WordPieceWithSource], text: &mut String, is_plain: &mut bool) {
        for piece in pieces {
            match &piece.piece {
                WordPiece::Text(part) | WordPiece::SingleQuotedText(part) => text.push_str(part),
                WordPiece::EscapeSequence(part) => text.push_str(part.strip_prefix('\\').unwrap_or(part)),
                WordPiece::DoubleQuotedSequence(inner) => self.pieces(inner, text, is_plain),
                WordPiece::AnsiCQuotedText(_) | WordPiece::GettextDoubleQuotedSequence(_) => {
                    *is_plain = false;
                    self.beyond("dollar quotation");
                }
                WordPiece::TildeExpansion(_) => *is_plain = false,
                WordPiece::ParameterExpansion(expression) => {
                    *is_plain = false;
                    self.parameter(expression);
                }
                WordPiece::CommandSubstitution(source) => {
                    *is_plain = false;
                    self.source(source);
                }
                WordPiece::BackquotedCommandSubstitution(_) => {
                    *is_plain = false;
                    self.beyond("backticks");
                }
                WordPiece::ArithmeticExpression(_) => {
                    *is_plain = false;
                    self.beyond("arithmetic");
                }
            }
        }
    }

    fn parameter(&mut self, expression: &ParameterExpr) {
        let is_plain = matches!(
            expression,
            ParameterExpr::Parameter {
                parameter: Parameter::Named(_) | Parameter::Special(_),
                indirect: false
            }
        );
        if !is_plain {
            self.beyond("parameter expansion");
        }
    }
}
