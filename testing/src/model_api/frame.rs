//! What is sent of a streamed answer, and when. Pure, but for the waiting itself.

use std::io;
use std::time::Duration;

use futures_util::{Stream, stream};
use serde_json::Value;

use super::plan::{Answer, Ending};

/// One server-sent event, ready to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Frame {
    text: String,
    /// Whether it holds a piece of the answer's text: waits and interruptions come with these.
    piece: bool,
}

impl Frame {
    /// An event without a name, as OpenAI's chat completions and Gemini send them.
    pub(super) fn data(data: &Value) -> Self {
        Self { text: format!("data: {data}\n\n"), piece: false }
    }

    /// An event named as its `type` says, as Anthropic and OpenAI's responses send them.
    pub(super) fn typed(data: &Value) -> Self {
        let kind = data["type"].as_str().unwrap_or_default();
        Self { text: format!("event: {kind}\ndata: {data}\n\n"), piece: false }
    }

    /// Ends a stream of chat completions.
    pub(super) fn done() -> Self {
        Self { text: "data: [DONE]\n\n".to_owned(), piece: false }
    }

    pub(super) fn into_piece(self) -> Self {
        Self { piece: true, ..self }
    }
}

/// What the server does next with the connection.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    Send(String),
    Wait(Duration),
    Silence,
    Cut,
}

/// Puts the waits before the pieces, and breaks off after the first piece if the plan says so.
fn steps(answer: &Answer, frames: Vec<Frame>) -> Vec<Step> {
    let mut steps = Vec::new();
    for frame in frames {
        if frame.piece && !answer.gap.is_zero() {
            steps.push(Step::Wait(answer.gap));
        }
        steps.push(Step::Send(frame.text));
        match (frame.piece, answer.ending) {
            (true, Ending::Stall) => {
                steps.push(Step::Silence);
                return steps;
            }
            (true, Ending::Drop) => {
                steps.push(Step::Cut);
                return steps;
            }
            (false, _) | (true, Ending::Whole) => {}
        }
    }
    steps
}

/// The frames as a body, paced as the answer says. An error cuts the connection.
pub(super) fn paced(
    answer: &Answer,
    frames: Vec<Frame>,
) -> impl Stream<Item = io::Result<String>> + Send + use<> {
    stream::unfold(steps(answer, frames).into_iter(), |mut steps| async {
        loop {
            match steps.next()? {
                Step::Wait(wait) => tokio::time::sleep(wait).await,
                Step::Silence => std::future::pending().await,
                Step::Cut => return Some((Err(io::Error::other("cut by the mock")), steps)),
                Step::Send(text) => return Some((Ok(text), steps)),
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model_api::plan::Say;
    use serde_json::json;

    fn run(gap: u64, ending: Ending) -> Vec<Step> {
        let answer = Answer {
            say: Say::Text(Vec::new()),
            thought: None,
            input_tokens: 1,
            output_tokens: 1,
            ending,
            gap: Duration::from_millis(gap),
        };
        let piece = |n: u32| Frame::data(&json!(n)).into_piece();
        steps(&answer, vec![Frame::typed(&json!({"type": "start"})), piece(1), piece(2), Frame::done()])
    }

    #[test]
    fn waits_and_interruptions_come_with_the_pieces_of_the_text() {
        let send = |text: &str| Step::Send(text.to_owned());
        let wait = Step::Wait(Duration::from_millis(5));
        let start = send("event: start\ndata: {\"type\":\"start\"}\n\n");
        let (one, two, done) = (send("data: 1\n\n"), send("data: 2\n\n"), send("data: [DONE]\n\n"));
        for (gap, ending, expected) in [
            (0, Ending::Whole, vec![start.clone(), one.clone(), two.clone(), done.clone()]),
            (5, Ending::Whole, vec![start.clone(), wait.clone(), one.clone(), wait, two, done]),
            (0, Ending::Stall, vec![start.clone(), one.clone(), Step::Silence]),
            (0, Ending::Drop, vec![start, one, Step::Cut]),
        ] {
            assert_eq!(run(gap, ending), expected, "{gap} {ending:?}");
        }
    }
}
