//! What the demo agent does with a prompt: a plan of steps. Pure.

use serde_json::{Value, json};

use super::tools::Tool;

/// How the file is called that the demo writes in its working directory.
pub(crate) const NOTE: &str = "demo-note.txt";

/// One thing the agent does.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Step {
    /// Says something.
    Say(String),
    /// Calls a tool, and says one of two things when its result is there.
    Call { tool: Tool, input: Value, then: After },
}

/// What is said after a call.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum After {
    /// About a file that was read.
    AboutFile,
    /// About the note that was written.
    AboutNote,
}

/// The plan for one prompt. `turn` counts from 1.
pub(crate) fn plan(prompt: &str, turn: u64) -> Vec<Step> {
    let Prompt { body, attached } = read(prompt);
    let mut steps = Vec::new();
    if turn == 1 {
        steps.push(Step::Say(INTRODUCTION.to_owned()));
    }
    for path in &attached {
        steps.push(Step::Say(format!("You attached `{path}`. I read it.")));
        steps.push(Step::Call {
            tool: Tool::Read,
            input: json!({ "file_path": path }),
            then: After::AboutFile,
        });
    }
    let word = body.split_whitespace().next().unwrap_or_default().to_lowercase();
    match word.as_str() {
        "note" => {
            let text = body.trim_start().get(4..).unwrap_or_default().trim();
            let text = if text.is_empty() { "A note from the demo agent." } else { text };
            steps.push(Step::Say(format!(
                "I would like to write `{NOTE}`. That changes something, so **you are asked first**."
            )));
            steps.push(Step::Call {
                tool: Tool::Write,
                input: json!({ "file_path": NOTE, "content": format!("{text}\n") }),
                then: After::AboutNote,
            });
        }
        "read" => steps.push(Step::Call {
            tool: Tool::Read,
            input: json!({ "file_path": body.split_whitespace().nth(1).unwrap_or(NOTE) }),
            then: After::AboutFile,
        }),
        "help" => steps.push(Step::Say(HELP.to_owned())),
        _ if attached.is_empty() => steps.push(Step::Say(format!(
            "You said:\n\n> {}\n\nA real agent would think about that now.{}",
            body.trim().replace('\n', "\n> "),
            if turn == 1 { "" } else { " Say `help` for what I can show you." }
        ))),
        _ => {}
    }
    steps
}

const INTRODUCTION: &str = "**This is the demo agent. There is no model behind it.** It shows what an agent in a room \
     does: say `note buy milk` and I ask for your approval before I write a file, attach a file and I read it, say \
     `help` for more. With a real agent (`claude`) installed, the same chat is with that.";

const HELP: &str = "What I can show you:\n\n\
     - `note TEXT`: I ask before I write a file; approve or deny it\n\
     - `read`: I read that file back, which a rule allows without a question\n\
     - a file you attach: I read it\n\
     - anything else: I repeat it, word by word, as a model would stream its answer";

struct Prompt<'a> {
    body: &'a str,
    attached: Vec<&'a str>,
}

/// Takes the gateway's header and its lines about attached files off.
fn read(prompt: &str) -> Prompt<'_> {
    let body = match prompt.strip_prefix('[').and_then(|rest| rest.split_once("] ")) {
        Some((_, body)) => body,
        None => prompt,
    };
    let attached =
        body.lines().filter_map(|line| line.strip_prefix("[Attached file: ")?.strip_suffix(']')).collect();
    let end = body.find("\n[Attached file: ").unwrap_or(body.len());
    Prompt { body: &body[..end], attached }
}

/// What is said when a call's result is there.
pub(crate) fn about(after: &After, result: &Result<String, String>) -> String {
    match (after, result) {
        (After::AboutFile, Ok(text)) => {
            let (lines, bytes) = (text.lines().count(), text.len());
            let first: String = text.lines().next().unwrap_or_default().chars().take(80).collect();
            format!(
                "It has {lines} lines and {bytes} bytes. The first line is:\n\n```\n{}\n```",
                first.replace("```", "'''")
            )
        }
        (After::AboutNote, Ok(_)) => {
            format!("Done: `{NOTE}` is written. Say `read` and I read it back, without a question.")
        }
        (_, Err(reason)) => format!("I did not do it: {reason}"),
    }
}

/// An answer in pieces, as a model streams it: words with the blank behind them.
pub(crate) fn pieces(text: &str) -> Vec<String> {
    text.split_inclusive(char::is_whitespace).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_words_say_what_it_is() {
        let steps = plan("[Terminal #@you | from: you | role: owner] hello\nthere", 1);
        let [Step::Say(first), Step::Say(echo)] = &steps[..] else { panic!("{steps:?}") };
        assert!(first.contains("demo agent"), "{first}");
        assert!(echo.contains("> hello\n> there"), "{echo}");
        assert_eq!(plan("[x] hello", 2).len(), 1);
    }

    #[test]
    fn a_note_is_written_by_a_call() {
        let steps = plan("[x] note buy milk", 2);
        let Some(Step::Call { tool, input, .. }) = steps.last() else { panic!("{steps:?}") };
        assert_eq!((*tool, input["content"].as_str()), (Tool::Write, Some("buy milk\n")));
    }

    #[test]
    fn attached_files_are_read_and_are_not_part_of_what_was_said() {
        let steps = plan("[x] look\n[Attached file: /tmp/a b.txt]\n[Attached file: /tmp/c]", 2);
        let paths: Vec<_> = steps
            .iter()
            .filter_map(|step| match step {
                Step::Call { tool: Tool::Read, input, .. } => input["file_path"].as_str(),
                _ => None,
            })
            .collect();
        assert_eq!(paths, ["/tmp/a b.txt", "/tmp/c"]);
    }

    #[test]
    fn pieces_are_the_whole_text() {
        let text = "one  two\n\nthree ";
        assert_eq!(pieces(text).concat(), text);
        assert!(pieces(text).len() > 3);
    }

    #[test]
    fn a_file_cannot_break_out_of_its_block() {
        assert!(!about(&After::AboutFile, &Ok("```x".into())).contains("````"));
    }
}
