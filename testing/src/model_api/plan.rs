//! From the markers in a prompt to what the mock does. Pure.

use std::time::Duration;

use serde_json::{Value, json};

use super::gemini;
use super::request::{Request, SideCall};

/// What one request gets.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Plan {
    /// An answer.
    Answer(Answer),
    /// An HTTP error, as long as `times` is not used up.
    Error { code: u16, times: Option<u32>, otherwise: Answer },
    /// The refusal of a prompt that is too long.
    TooLong,
    /// Nothing, ever.
    Hang,
}

/// An answer of the model.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Answer {
    pub(super) say: Say,
    pub(super) input_tokens: u64,
    pub(super) output_tokens: u64,
    /// What the model thinks before it says anything.
    pub(super) thought: Option<String>,
    pub(super) ending: Ending,
    /// The wait before each piece of the text.
    pub(super) gap: Duration,
}

/// How a streamed text ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// As it should.
    Whole,
    /// After the first piece nothing more comes, and the connection stays open.
    Stall,
    /// After the first piece the connection is cut.
    Drop,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Say {
    /// A text, in pieces.
    Text(Vec<String>),
    /// Calls of tools, all in one message.
    Tools(Vec<Call>),
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Call {
    pub(super) name: String,
    pub(super) input: Value,
}

/// A call as it is written in a marker.
fn call(text: &str) -> Call {
    let (name, input) = text.trim().split_once(' ').unwrap_or((text.trim(), "{}"));
    Call { name: name.to_owned(), input: serde_json::from_str(input).unwrap_or_else(|_| json!({})) }
}

/// The markers of a prompt, in order, as (name, argument).
fn markers(prompt: &str) -> Vec<(&str, &str)> {
    split(prompt).filter_map(Result::ok).collect()
}

fn without_markers(prompt: &str) -> String {
    let said: String = split(prompt).filter_map(Result::err).collect();
    said.trim().to_owned()
}

/// Markers as `Ok`, what is between them as `Err`. What is inside a marker belongs to it.
fn split(prompt: &str) -> impl Iterator<Item = Result<(&str, &str), &str>> {
    let mut rest = Some(prompt);
    std::iter::from_fn(move || {
        let text = rest.take().filter(|text| !text.is_empty())?;
        let first = [("[[", "]]"), ("⟦", "⟧")]
            .into_iter()
            .filter_map(|(open, close)| Some((text.find(open)?, open, close)))
            .min_by_key(|(at, ..)| *at);
        let Some((at, open, close)) = first else { return Some(Err(text)) };
        if at > 0 {
            rest = Some(&text[at..]);
            return Some(Err(&text[..at]));
        }
        let inside = &text[open.len()..];
        let (marker, after) = inside.split_once(close).unwrap_or((inside, ""));
        rest = Some(after);
        if marker.len() == inside.len() {
            // Never closed: no marker, and not said.
            return Some(Err(""));
        }
        Some(Ok(marker.split_once(':').unwrap_or((marker, ""))))
    })
}

fn pair<A: std::str::FromStr, B: std::str::FromStr>(text: &str) -> Option<(A, Option<B>)> {
    let (first, second) = text.split_once(',').map_or((text, None), |(first, second)| (first, Some(second)));
    Some((first.trim().parse().ok()?, second.and_then(|second| second.trim().parse().ok())))
}

/// Cuts a text into three pieces, so that streaming shows.
fn pieces(text: &str) -> Vec<String> {
    let letters: Vec<char> = text.chars().collect();
    let size = letters.len().div_ceil(3).max(1);
    letters.chunks(size).map(|piece| piece.iter().collect()).collect()
}

/// A side call gets a short text, and none of what the prompt in it asks for: that is for the turn itself.
fn aside(request: &Request) -> Option<Plan> {
    let text = match request.side? {
        SideCall::Title => "A title".to_owned(),
        SideCall::Form => gemini::form(&request.body)?.to_string(),
    };
    Some(Plan::Answer(Answer {
        say: Say::Text(vec![text]),
        input_tokens: 10,
        output_tokens: 2,
        thought: None,
        ending: Ending::Whole,
        gap: Duration::ZERO,
    }))
}

pub(super) fn plan(request: &Request) -> Plan {
    if let Some(plan) = aside(request) {
        return plan;
    }
    let prompt = request.prompt();
    let markers = markers(&prompt);
    let get = |name: &str| markers.iter().find(|(marker, _)| *marker == name).map(|(_, argument)| *argument);
    if get("hang").is_some() {
        return Plan::Hang;
    }
    if get("overflow").is_some() {
        return Plan::TooLong;
    }
    let results = request.tool_results();
    let steps: Vec<Vec<Call>> = markers
        .iter()
        .filter(|(name, _)| *name == "tool")
        .map(|(_, calls)| calls.split(" ||| ").map(call).collect())
        .collect();
    // A message with several calls is answered with as many results.
    let mut done = 0;
    let step = steps.into_iter().find(|step| {
        done += step.len();
        done > results.len()
    });
    let slow: Option<(usize, Option<u64>)> = get("slow").and_then(pair);
    let mut gap = Duration::ZERO;
    let say = if let Some(calls) = step.filter(|_| !request.tools().is_empty()) {
        Say::Tools(calls)
    } else if let Some((count, milliseconds)) = slow {
        gap = Duration::from_millis(milliseconds.unwrap_or(0));
        Say::Text((0..count).map(|n| format!("w{n} ")).collect())
    } else {
        let tools = results.iter().map(|result| result.text.as_str()).collect::<Vec<_>>().join(" ; ");
        Say::Text(pieces(&match (get("echo"), get("text")) {
            (Some("system"), _) => request.system(),
            (Some("tools"), _) => request.tools().join(","),
            (Some("files"), _) => request.attachments().join(","),
            (_, Some(text)) => text.to_owned(),
            _ if tools.is_empty() => format!("mock: {}", without_markers(&prompt)),
            _ => format!("mock: {} | tools: {tools}", without_markers(&prompt)),
        }))
    };
    let (input_tokens, output_tokens) = get("usage").and_then(pair).unwrap_or((1000, None));
    let ending = match say {
        Say::Text(_) if get("stall").is_some() => Ending::Stall,
        Say::Text(_) if get("drop").is_some() => Ending::Drop,
        Say::Text(_) | Say::Tools(_) => Ending::Whole,
    };
    let answer = Answer {
        say,
        input_tokens,
        output_tokens: output_tokens.unwrap_or(20),
        thought: get("think").map(str::to_owned),
        ending,
        gap,
    };
    match get("error").and_then(pair) {
        Some((code, times)) => Plan::Error { code, times, otherwise: answer },
        None => Plan::Answer(answer),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model_api::Api;

    fn run(prompt: &str, results: &[&str]) -> Plan {
        let mut messages = vec![json!({"role": "user", "content": prompt})];
        for (n, result) in results.iter().enumerate() {
            messages
                .push(json!({"role": "assistant", "content": [{"type": "tool_use", "id": n.to_string()}]}));
            messages.push(json!({"role": "user", "content": [
                {"type": "tool_result", "tool_use_id": n.to_string(), "content": result},
            ]}));
        }
        let body =
            json!({"system": "sys", "tools": [{"name": "Bash"}, {"name": "Read"}], "messages": messages});
        plan(&Request::of(Api::Messages, body))
    }

    fn said(plan: &Plan) -> String {
        match plan {
            Plan::Answer(Answer { say: Say::Text(pieces), .. }) => pieces.concat(),
            Plan::Answer(Answer { say: Say::Tools(calls), .. }) => {
                let calls: Vec<String> =
                    calls.iter().map(|call| format!("{} {}", call.name, call.input)).collect();
                calls.join(" ||| ")
            }
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn markers_script_the_answer() {
        for (prompt, results, answer) in [
            ("hi", &[][..], "mock: hi"),
            ("[[text:yes]] hi", &[], "yes"),
            ("[[echo:system]]", &[], "sys"),
            ("[[echo:tools]]", &[], "Bash,Read"),
            ("[[slow:3,5]]", &[], "w0 w1 w2 "),
            (r#"go [[tool:Bash {"command":"ls"}]] [[tool:Read]]"#, &[], r#"Bash {"command":"ls"}"#),
            (r#"go [[tool:Bash {"command":"ls"}]] [[tool:Read]]"#, &["a"], "Read {}"),
            (r#"go [[tool:Bash {"command":"ls"}]] [[tool:Read]]"#, &["a", "b"], "mock: go | tools: a ; b"),
            ("[[tool:Bash ||| Read]] [[tool:Bash]]", &[], "Bash {} ||| Read {}"),
            ("[[tool:Bash ||| Read]] [[tool:Bash]]", &["a", "b"], "Bash {}"),
            ("sub ⟦tool:Read⟧", &[], "Read {}"),
            (r#"[[tool:Agent {"prompt":"⟦tool:Read⟧"}]]"#, &[], r#"Agent {"prompt":"⟦tool:Read⟧"}"#),
            (r#"[[tool:Agent {"prompt":"⟦tool:Read⟧"}]]"#, &["a"], "mock:  | tools: a"),
            ("[[hang]]", &[], "Hang"),
            ("[[overflow]]", &[], "TooLong"),
            ("half [[marker", &[], "mock: half"),
        ] {
            assert_eq!(said(&run(prompt, results)), answer, "{prompt}");
        }
    }

    #[test]
    fn numbers_are_read() {
        let Plan::Answer(answer) = run("[[usage:7,8]] [[stall]]", &[]) else { panic!() };
        assert_eq!((answer.input_tokens, answer.output_tokens, answer.ending), (7, 8, Ending::Stall));
        let Plan::Answer(answer) = run("[[think:hm]] [[drop]]", &[]) else { panic!() };
        assert_eq!((answer.thought.as_deref(), answer.ending), (Some("hm"), Ending::Drop));
        assert!(matches!(run("[[error:529,2]]", &[]), Plan::Error { code: 529, times: Some(2), .. }));
        assert!(matches!(run("[[error:401]]", &[]), Plan::Error { code: 401, times: None, .. }));
    }
}
