//! The strict reading: a small parser for the part of bash's language in which nothing is hidden.
//!
//! Owns lists, pipelines, groups, conditions, loops and redirections. Must never accept what it does not know by
//! name, as the other reading (tree-sitter's) is only as good as its grammar.

use super::script::{Bound, Command, Mark, Redirect, Role, Script};
use super::word::{Piece, Word};
use super::words::{ends_word, is_name, may_be_set};

/// A result, or what is not read, as a part of a sentence.
pub(crate) type Read<T> = Result<T, String>;

/// Deepest nesting of groups, conditions, loops and substitutions.
const MAX_DEPTH: usize = 16;
/// Most simple commands in one source.
const MAX_COMMANDS: usize = 200;

/// What ends a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stop {
    End,
    Paren,
    NextCase,
    Word(&'static str),
}

/// Words with a meaning of their own at the start of a command.
const RESERVED: &[&str] = &[
    "if",
    "then",
    "elif",
    "else",
    "fi",
    "while",
    "until",
    "do",
    "done",
    "for",
    "case",
    "esac",
    "in",
    "{",
    "}",
    "!",
    "[[",
    "]]",
    "time",
    "function",
    "select",
    "coproc",
    "foreach",
    "end",
    "repeat",
    "nocorrect",
];
/// Those that end a list.
const CLOSING: &[&str] = &["then", "elif", "else", "fi", "do", "done", "esac", "}"];

/// A cursor over the source, and what it has found.
pub(crate) struct Reader<'a> {
    pub(crate) source: &'a str,
    pub(crate) at: usize,
    script: Script,
    depth: usize,
    substitutions: usize,
    is_fed: bool,
    loops: Vec<String>,
}

/// Reads a whole source. The script is what was found up to the fault, if there is one.
pub(crate) fn read(source: &str) -> (Script, Read<()>) {
    let mut reader = Reader {
        source,
        at: 0,
        script: Script::default(),
        depth: 0,
        substitutions: 0,
        is_fed: false,
        loops: Vec::new(),
    };
    let result = reader.list().and_then(|stop| match stop {
        Stop::End => Ok(()),
        Stop::Paren => Err("a ')' closes nothing".into()),
        Stop::NextCase => Err("';;' stands outside of case".into()),
        Stop::Word(word) => Err(format!("'{word}' closes nothing")),
    });
    let mut script = reader.script;
    script.commands.sort_by_key(|command| command.range.start);
    script.marks.sort_unstable();
    (script, result)
}

impl Reader<'_> {
    pub(crate) fn rest(&self) -> &str {
        self.source.get(self.at..).unwrap_or_default()
    }

    pub(crate) fn byte(&self) -> Option<u8> {
        self.byte_at(0)
    }

    pub(crate) fn byte_at(&self, ahead: usize) -> Option<u8> {
        self.source.as_bytes().get(self.at + ahead).copied()
    }

    pub(crate) fn mark(&mut self, start: usize, end: usize, role: Role) {
        let mark: Mark = (start, end, role);
        self.script.marks.push(mark);
    }

    fn skip_blanks(&mut self) {
        while matches!(self.byte(), Some(b' ' | b'\t')) {
            self.at += 1;
        }
    }

    /// Blanks, line ends and comments.
    fn skip_lines(&mut self) -> Read<()> {
        loop {
            self.skip_blanks();
            match self.byte() {
                Some(b'\n') => self.at += 1,
                Some(b'#') => self.comment()?,
                _ => return Ok(()),
            }
        }
    }

    fn comment(&mut self) -> Read<()> {
        if self.substitutions > 0 {
            return Err("it holds a comment inside $(…), which shells end in different places".into());
        }
        let length = self.rest().find('\n').unwrap_or(self.rest().len());
        self.mark(self.at, self.at + length, Role::Comment);
        self.at += length;
        Ok(())
    }

    /// What stands here up to the end of the word, taken as it is written.
    fn bare(&self) -> &str {
        let rest = self.rest();
        &rest[..rest.bytes().position(ends_word).unwrap_or(rest.len())]
    }

    fn reserved(&self) -> Option<&'static str> {
        let bare = self.bare();
        RESERVED.iter().copied().find(|word| *word == bare)
    }

    /// Takes this reserved word, which must be next.
    fn expect(&mut self, word: &'static str) -> Read<()> {
        if self.bare() != word {
            return Err(format!("'{word}' is missing"));
        }
        self.at += word.len();
        Ok(())
    }

    fn deeper<T>(&mut self, inside: impl FnOnce(&mut Self) -> Read<T>) -> Read<T> {
        if self.depth >= MAX_DEPTH {
            return Err(format!("it is nested more than {MAX_DEPTH} deep"));
        }
        self.depth += 1;
        self.script.is_compound = true;
        let result = inside(self);
        self.depth -= 1;
        result
    }

    /// Commands up to what closes them, which is taken only if it is no word. There must be one command.
    fn list(&mut self) -> Read<Stop> {
        let mut is_empty = true;
        loop {
            self.skip_lines()?;
            let stop = match self.byte() {
                None => Some(Stop::End),
                Some(b')') => Some(Stop::Paren),
                Some(b';') if self.rest().starts_with(";;") => Some(Stop::NextCase),
                _ => self.reserved().filter(|word| CLOSING.contains(word)).map(Stop::Word),
            };
            if let Some(stop) = stop {
                if is_empty && stop != Stop::NextCase && stop != Stop::Word("esac") {
                    return Err("there is no command where one must be".into());
                }
                return Ok(stop);
            }
            self.script.is_compound |= !is_empty;
            is_empty = false;
            self.and_or()?;
            self.skip_blanks();
            match self.byte() {
                None | Some(b'\n' | b')' | b'#') => {}
                Some(b';') if self.rest().starts_with(";;") => {
                    if matches!(self.byte_at(2), Some(b'&')) {
                        return Err("it falls through in case with ';;&'".into());
                    }
                }
                Some(b';') => match self.byte_at(1) {
                    Some(b'&' | b'|') => return Err("it falls through in case with ';&'".into()),
                    _ => self.at += 1,
                },
                Some(b'&') => {
                    return Err(
                        "it starts a command in the background with '&', which outlives the answer".into()
                    );
                }
                Some(_) => return Err(format!("'{}' is out of place", self.here())),
            }
        }
    }

    fn here(&self) -> String {
        self.rest().chars().take(1).collect()
    }

    fn and_or(&mut self) -> Read<()> {
        loop {
            self.pipeline()?;
            self.skip_blanks();
            if !self.rest().starts_with("&&") && !self.rest().starts_with("||") {
                return Ok(());
            }
            self.script.is_compound = true;
            self.at += 2;
            self.skip_lines()?;
        }
    }

    fn pipeline(&mut self) -> Read<()> {
        if self.bare() == "!" {
            self.script.is_compound = true;
            self.at += 1;
            if !matches!(self.byte(), Some(b' ' | b'\t')) {
                return Err("no blank follows '!'".into());
            }
            self.skip_blanks();
        }
        let was_fed = self.is_fed;
        loop {
            self.command()?;
            self.skip_blanks();
            if self.byte() != Some(b'|') || self.byte_at(1) == Some(b'|') {
                break;
            }
            if self.byte_at(1) == Some(b'&') {
                return Err("it holds '|&': write 2>&1 |".into());
            }
            self.script.is_compound = true;
            self.at += 1;
            self.is_fed = true;
            self.skip_lines()?;
        }
        self.is_fed = was_fed;
        Ok(())
    }

    fn command(&mut self) -> Read<()> {
        if self.byte() == Some(b'(') {
            if self.byte_at(1) == Some(b'(') {
                return Err("it calculates with ((…)), which may run commands".into());
            }
            if self.source[..self.at].trim_end().ends_with('(') {
                return Err("two '(' in a row are read in different ways: write { …; }".into());
            }
            self.deeper(Self::subshell)?;
            return self.redirects_of_compound();
        }
        match self.reserved() {
            None => return self.simple(),
            Some("{") => self.deeper(Self::group)?,
            Some("if") => self.deeper(Self::condition)?,
            Some("while" | "until") => self.deeper(Self::while_loop)?,
            Some("for") => self.deeper(Self::for_loop)?,
            Some("case") => self.deeper(Self::case)?,
            Some("[[") => return Err("it tests with [[ … ]], which may run commands: write [ … ]".into()),
            Some(word) => return Err(format!("'{word}' is not allowed here")),
        }
        self.redirects_of_compound()
    }

    fn subshell(&mut self) -> Read<()> {
        self.at += 1;
        match self.list()? {
            Stop::Paren => self.at += 1,
            _ => return Err("a '(' is never closed".into()),
        }
        Ok(())
    }

    fn group(&mut self) -> Read<()> {
        self.expect("{")?;
        self.list_until(&["}"]).map(drop)
    }

    /// A list, and one of these words, which is taken.
    fn list_until(&mut self, words: &[&'static str]) -> Read<&'static str> {
        match self.list()? {
            Stop::Word(word) if words.contains(&word) => {
                self.expect(word)?;
                Ok(word)
            }
            _ => Err(format!("'{}' is missing", words.join("' or '"))),
        }
    }

    fn condition(&mut self) -> Read<()> {
        self.expect("if")?;
        self.list_until(&["then"])?;
        loop {
            match self.list_until(&["elif", "else", "fi"])? {
                "elif" => self.list_until(&["then"]).map(drop)?,
                "else" => return self.list_until(&["fi"]).map(drop),
                _ => return Ok(()),
            }
        }
    }

    fn while_loop(&mut self) -> Read<()> {
        self.at += "while".len();
        self.list_until(&["do"])?;
        self.list_until(&["done"]).map(drop)
    }

    fn for_loop(&mut self) -> Read<()> {
        self.expect("for")?;
        self.skip_blanks();
        let name = self.bare().to_owned();
        if !may_be_set(&name) {
            return Err(format!("a loop sets '{name}': use a name of small letters on which no shell acts"));
        }
        self.mark(self.at, self.at + name.len(), Role::LoopName);
        self.at += name.len();
        self.skip_blanks();
        self.expect("in")?;
        let mut values = Bound::Values(Vec::new());
        loop {
            self.skip_blanks();
            match self.byte() {
                Some(b';' | b'\n') => break,
                Some(byte) if !ends_word(byte) && byte != b'#' => {}
                _ => return Err("the words of a for loop must end with ';' or the line".into()),
            }
            let word = self.word()?;
            self.mark(word.range.start, word.range.end, Role::Word);
            match (&mut values, word.value()) {
                (Bound::Values(values), Some(value)) => values.push(value),
                _ => values = Bound::Anything,
            }
        }
        self.at += 1;
        self.bind(&name, values);
        self.skip_lines()?;
        self.expect("do")?;
        self.loops.push(name);
        let body = self.list_until(&["done"]);
        self.loops.pop();
        body.map(drop)
    }

    fn bind(&mut self, name: &str, value: Bound) {
        let old = self.script.bound.remove(name);
        let new = match (old, value) {
            (None, value) => value,
            (Some(Bound::Values(mut old)), Bound::Values(new)) => {
                old.extend(new);
                Bound::Values(old)
            }
            _ => Bound::Anything,
        };
        self.script.bound.insert(name.to_owned(), new);
    }

    fn case(&mut self) -> Read<()> {
        if self.substitutions > 0 {
            return Err("it holds case inside $(…), where shells find the end in different places".into());
        }
        self.expect("case")?;
        self.skip_blanks();
        let subject = self.word()?;
        self.mark(subject.range.start, subject.range.end, Role::Word);
        self.skip_blanks();
        self.expect("in")?;
        loop {
            self.skip_lines()?;
            if self.bare() == "esac" {
                return self.expect("esac");
            }
            self.pattern()?;
            match self.list()? {
                Stop::NextCase => self.at += 2,
                Stop::Word("esac") => return self.expect("esac"),
                _ => return Err("';;' or 'esac' is missing".into()),
            }
        }
    }

    fn pattern(&mut self) -> Read<()> {
        if self.byte() == Some(b'(') {
            return Err("a pattern of case begins with '('".into());
        }
        loop {
            self.skip_blanks();
            let word = self.word()?;
            if word.pattern().is_none() {
                return Err("a pattern of case is not written out".into());
            }
            self.mark(word.range.start, word.range.end, Role::Word);
            self.skip_blanks();
            match self.byte() {
                Some(b')') => {
                    self.at += 1;
                    return Ok(());
                }
                Some(b'|') => self.at += 1,
                _ => return Err("a pattern of case has no ')'".into()),
            }
        }
    }

    /// Reads `$(…)`, which begins here.
    pub(crate) fn substitution(&mut self) -> Read<()> {
        let start = self.at;
        self.at += 2;
        self.substitutions += 1;
        let stop = self.deeper(Self::list)?;
        self.substitutions -= 1;
        if stop != Stop::Paren {
            return Err("a '$(' is never closed".into());
        }
        self.at += 1;
        self.mark(start, self.at, Role::Substitution);
        Ok(())
    }

    fn simple(&mut self) -> Read<()> {
        let start = self.at;
        let mut command = Command {
            range: start..start,
            assignments: Vec::new(),
            words: Vec::new(),
            redirects: Vec::new(),
            is_fed: self.is_fed,
            loops: self.loops.clone(),
        };
        let mut redirected = false;
        loop {
            self.skip_blanks();
            let digits = self.rest().bytes().take_while(u8::is_ascii_digit).count();
            match self.byte_at(digits) {
                Some(b'<' | b'>') => {}
                Some(b'&') if digits == 0 && self.byte_at(1) == Some(b'>') => {}
                _ => match self.byte() {
                    None | Some(b'\n' | b';' | b'&' | b'|' | b')' | b'#') => break,
                    Some(b'(') => {
                        return Err(
                            "it defines a function or an array, or holds a pattern in parentheses".into()
                        );
                    }
                    Some(_) if redirected => {
                        return Err("a word follows a redirection: put redirections at the end".into());
                    }
                    Some(_) => {
                        self.word_of(&mut command)?;
                        continue;
                    }
                },
            }
            if command.words.is_empty() {
                return Err("a redirection has no command before it".into());
            }
            redirected = true;
            if let Some(redirect) = self.redirect()? {
                command.is_fed |= redirect.operator == "<";
                command.redirects.push(redirect);
            }
        }
        if command.words.is_empty() {
            return Err(if command.assignments.is_empty() {
                format!("'{}' is out of place", self.here())
            } else {
                "it sets a variable for the commands after it".into()
            });
        }
        command.range = start..self.at;
        self.bind_read(&command.words)?;
        if self.script.commands.len() >= MAX_COMMANDS {
            return Err(format!("it has more than {MAX_COMMANDS} commands"));
        }
        self.script.commands.push(command);
        Ok(())
    }

    fn word_of(&mut self, command: &mut Command) -> Read<()> {
        let word = self.word()?;
        let (start, end) = (word.range.start, word.range.end);
        if !command.words.is_empty() {
            self.mark(start, end, Role::Word);
            command.words.push(word);
        } else if word.raw.split_once('=').is_some_and(|(name, _)| is_name(name)) {
            if word.value().is_none() {
                return Err("it sets a variable to what is known only when it runs".into());
            }
            self.mark(start, end, Role::Assignment);
            command.assignments.push(word);
        } else {
            let is_test = word.pieces == [Piece::Glob('[')];
            let is_plain = word.is_bare()
                && word.raw.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_./+-:".contains(&byte))
                && !word.raw.starts_with(['-', '+']);
            if !is_test && !is_plain {
                return Err(format!("the name of a command is not written plainly: {}", word.raw));
            }
            self.mark(start, end, Role::Program);
            command.words.push(word);
        }
        Ok(())
    }

    /// What `read` sets.
    fn bind_read(&mut self, words: &[Word]) -> Read<()> {
        if !words[0].raw.eq_ignore_ascii_case("read") {
            return Ok(());
        }
        let names: Vec<&str> =
            words[1..].iter().map(|word| word.raw.as_str()).skip_while(|word| *word == "-r").collect();
        if names.is_empty() || !names.iter().all(|name| may_be_set(name)) {
            return Err("'read' is understood only with -r and names of small letters".into());
        }
        for name in names {
            self.bind(name, Bound::Anything);
        }
        Ok(())
    }

    fn redirects_of_compound(&mut self) -> Read<()> {
        loop {
            self.skip_blanks();
            let digits = self.rest().bytes().take_while(u8::is_ascii_digit).count();
            let begins = matches!(self.byte_at(digits), Some(b'<' | b'>')) || self.rest().starts_with("&>");
            if !begins {
                return Ok(());
            }
            if self.redirect()?.is_some() {
                return Err("it redirects a group of commands to or from a file".into());
            }
        }
    }

    /// Reads a redirection; `None` if it is harmless.
    fn redirect(&mut self) -> Read<Option<Redirect>> {
        const OPERATORS: &[&str] =
            &["&>>", "&>", ">>", ">|", ">&", ">(", ">", "<<<", "<<", "<&", "<>", "<(", "<"];
        let start = self.at;
        let digits = self.rest().bytes().take_while(u8::is_ascii_digit).count();
        let number = self.rest()[..digits].to_owned();
        self.at += digits;
        let Some(operator) = OPERATORS.iter().copied().find(|operator| self.rest().starts_with(*operator))
        else {
            return Err("a redirection is not understood".into());
        };
        self.at += operator.len();
        match operator {
            "<(" | ">(" => return Err("it holds a process substitution".into()),
            "<<" | "<<<" => {
                return Err("it holds a here-document or here-string: put the text into a file".into());
            }
            ">&" | "&>" | "&>>" | ">" | ">>" | "<" => {}
            _ => return Err(format!("it redirects with '{operator}'")),
        }
        if !matches!((operator, number.as_str()), (_, "") | (">" | ">>" | ">&", "1" | "2") | ("<", "0")) {
            return Err(format!("it redirects the file descriptor {number}"));
        }
        if operator == ">&" {
            if !matches!(self.bare(), "1" | "2") {
                return Err("it redirects with '>&' to something other than 1 or 2".into());
            }
            self.at += 1;
            self.mark(start, self.at, Role::Redirect);
            return Ok(None);
        }
        self.skip_blanks();
        let target = self.word()?;
        self.mark(start, self.at, Role::Redirect);
        let Some(path) = target.value() else {
            return Err("it redirects to or from a file whose name is known only when it runs".into());
        };
        if path == "/dev/null" && target.is_bare() {
            return Ok(None);
        }
        if path.starts_with('&') || path.is_empty() || path.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err("it redirects to or from an unclear target".into());
        }
        Ok(Some(Redirect { operator: format!("{number}{operator}"), target }))
    }
}
