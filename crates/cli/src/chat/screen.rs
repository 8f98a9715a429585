//! What a person sees of a chat: Markdown on a terminal, plain text on a pipe, JSON lines for scripts.
//!
//! Owns the look. Whatever an agent says is outside data: no control character of it reaches the terminal.

use std::io::IsTerminal as _;
use std::path::Path;

use acg_connectors::local::Shown;
use acg_types::Usage;
use serde_json::{Value, json};
use termimad::MadSkin;

use super::stream::Blocks;
use crate::output::Output;

/// Longest shown part of a tool's input, in characters.
const TOOL_INPUT: usize = 100;

/// How things are shown.
#[derive(Debug, PartialEq, Eq)]
enum Look {
    /// Rendered, with colours.
    Terminal,
    /// As it is.
    Plain,
    /// One JSON object a line.
    Json,
}

/// The screen.
pub(crate) struct Screen {
    look: Look,
    skin: MadSkin,
    blocks: Blocks,
}

impl std::fmt::Debug for Screen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Screen").field("look", &self.look).finish_non_exhaustive()
    }
}

impl Screen {
    pub(crate) fn new(json: bool) -> Self {
        let set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let rendered = std::io::stdout().is_terminal()
            && !set("NO_COLOR")
            && std::env::var_os("TERM").is_none_or(|term| term != "dumb");
        let look = match (json, rendered) {
            (true, _) => Look::Json,
            (false, true) => Look::Terminal,
            (false, false) => Look::Plain,
        };
        Self { look, skin: MadSkin::default(), blocks: Blocks::default() }
    }

    /// Whether scripts read.
    pub(crate) fn is_json(&self) -> bool {
        self.look == Look::Json
    }

    /// The first lines.
    pub(crate) fn welcome(&self, agent: &str, directory: &Path) {
        if self.is_json() {
            return event(
                &json!({"event": "ready", "agent": agent, "directory": directory.to_string_lossy()}),
            );
        }
        let directory = sanitised(&directory.to_string_lossy());
        self.faint(&format!(
            "Chat with {agent} in {directory}. /help shows what you can do; Ctrl-C stops an answer, Ctrl-D ends."
        ));
    }

    /// Something the gateway says about itself.
    pub(crate) fn remark(&self, text: &str) {
        match self.look {
            Look::Json => event(&json!({"event": "remark", "text": text})),
            Look::Plain => write(&format!("{}\n", sanitised(text))),
            Look::Terminal => write(&format!("\u{1b}[33m{}\u{1b}[0m\n", sanitised(text))),
        }
    }

    /// Nothing is being worked on any more.
    pub(crate) fn idle(&self) {
        if self.is_json() {
            event(&json!({"event": "idle"}));
        }
    }

    /// Shows one thing that happened. `question`: it is a post that asks for an answer.
    pub(crate) fn show(&mut self, shown: &Shown, question: bool) {
        if self.is_json() {
            return event(&as_json(shown, question));
        }
        match shown {
            Shown::Begun => self.blocks.reset(),
            Shown::Text(piece) => {
                let whole = self.blocks.push(piece);
                if self.look == Look::Plain {
                    write(&sanitised(piece));
                } else if let Some(block) = whole {
                    self.markdown(&block);
                }
            }
            Shown::Message(text) => {
                if !self.blocks.has_seen() {
                    // An agent that does not stream.
                    self.blocks.push(text);
                    if self.look == Look::Plain {
                        write(&sanitised(text));
                    }
                }
                self.flush();
                if self.look == Look::Plain {
                    write("\n\n");
                }
            }
            Shown::Tool { tool, input } => {
                self.flush();
                let input: String = sanitised(input).chars().take(TOOL_INPUT).collect();
                self.faint(&format!("· {} {input}", sanitised(tool)));
            }
            Shown::ToolDone { is_error: true } => self.faint("· it failed, or was refused"),
            Shown::ToolDone { is_error: false } => {}
            Shown::Ended(usage) => {
                self.flush();
                if let Some(usage) = usage {
                    self.faint(&in_words(usage));
                }
            }
            Shown::Post { text, .. } => {
                if question || !self.blocks.was_shown(text) {
                    self.markdown(text);
                }
            }
            Shown::File { path, caption } => {
                let caption =
                    if caption.is_empty() { String::new() } else { format!(" ({})", sanitised(caption)) };
                self.faint(&format!("· file: {}{caption}", sanitised(&path.to_string_lossy())));
                if let Ok(text) = std::fs::read_to_string(path) {
                    write(&format!("{}\n", sanitised(&text)));
                }
            }
        }
    }

    fn flush(&mut self) {
        if let (Some(rest), Look::Terminal) = (self.blocks.end(), &self.look) {
            self.markdown(&rest);
        }
    }

    fn markdown(&self, text: &str) {
        let text = sanitised(text);
        match self.look {
            Look::Terminal => write(&format!("{}\n", self.skin.term_text(text.trim_end()))),
            _ => write(&format!("{}\n\n", text.trim_end())),
        }
    }

    fn faint(&self, text: &str) {
        match self.look {
            Look::Terminal => write(&format!("\u{1b}[2m{text}\u{1b}[0m\n")),
            _ => write(&format!("{text}\n")),
        }
    }
}

fn as_json(shown: &Shown, question: bool) -> Value {
    match shown {
        Shown::Begun => json!({"event": "begun"}),
        Shown::Text(text) => json!({"event": "text", "text": text}),
        Shown::Message(text) => json!({"event": "message", "text": text}),
        Shown::Tool { tool, input } => {
            let input = serde_json::from_str::<Value>(input).unwrap_or_else(|_| Value::from(input.as_str()));
            json!({"event": "tool", "tool": tool, "input": input})
        }
        Shown::ToolDone { is_error } => json!({"event": "tool_done", "error": is_error}),
        Shown::Ended(usage) => json!({"event": "ended", "usage": usage}),
        Shown::Post { id, text } if question => json!({"event": "question", "id": id, "text": text}),
        Shown::Post { id, text } => json!({"event": "post", "id": id, "text": text}),
        Shown::File { path, caption } => {
            json!({"event": "file", "path": path.to_string_lossy(), "caption": caption})
        }
    }
}

fn in_words(usage: &Usage) -> String {
    let tokens = format!("· {} tokens in, {} out", usage.input_tokens, usage.output_tokens);
    let cost = usage.cost_usd.map(|cost| format!(", ${cost:.4}")).unwrap_or_default();
    let time = usage.duration_ms.map(|millis| format!(", {}.{} s", millis / 1000, millis % 1000 / 100));
    tokens + &cost + &time.unwrap_or_default()
}

/// Without what could move the cursor, change colours or turn the text round.
fn sanitised(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            '\n' | '\t' => c,
            '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200e}' | '\u{200f}' => '\u{fffd}',
            _ if c.is_control() => '\u{fffd}',
            _ => c,
        })
        .collect()
}

fn event(value: &Value) {
    write(&format!("{value}\n"));
}

/// Whoever closed the pipe has seen enough.
fn write(text: &str) {
    drop(Output::raw(text.as_bytes()));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_an_agent_says_controls_the_terminal() {
        assert_eq!(sanitised("a\u{1b}[2Jb\rc\u{202e}d\n\te"), "a\u{fffd}[2Jb\u{fffd}c\u{fffd}d\n\te");
    }

    #[test]
    fn usage_reads_well() {
        let usage = Usage {
            input_tokens: 12,
            output_tokens: 50,
            cost_usd: Some(0.0123),
            duration_ms: Some(1_250),
            ..Usage::default()
        };
        assert_eq!(in_words(&usage), "· 12 tokens in, 50 out, $0.0123, 1.2 s");
        assert_eq!(in_words(&Usage::default()), "· 0 tokens in, 0 out");
    }
}
