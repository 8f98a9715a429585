//! An answer in the API's two forms: one JSON object, or server-sent events.

use std::convert::Infallible;
use std::time::Duration;

use futures_util::{Stream, stream};
use serde_json::{Value, json};

use super::plan::{Answer, Call, Say};

fn message(
    answer: &Answer,
    id: &str,
    model: &str,
    content: &Value,
    stop: Option<&str>,
    output: u64,
) -> Value {
    json!({
        "id": id, "type": "message", "role": "assistant", "model": model, "content": content,
        "stop_reason": stop, "stop_sequence": null,
        "usage": {
            "input_tokens": answer.input_tokens, "output_tokens": output,
            "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0,
        },
    })
}

fn stop_reason(answer: &Answer) -> &'static str {
    match answer.say {
        Say::Text(_) => "end_turn",
        Say::Tools(_) => "tool_use",
    }
}

/// The answer to a request that did not ask for a stream.
pub(super) fn whole(answer: &Answer, id: &str, model: &str) -> Value {
    let blocks = match &answer.say {
        Say::Text(pieces) => json!([{"type": "text", "text": pieces.concat()}]),
        Say::Tools(calls) => {
            let block = |(n, call): (usize, &Call)| json!({"type": "tool_use", "id": tool_id(id, n), "name": call.name, "input": call.input});
            calls.iter().enumerate().map(block).collect()
        }
    };
    message(answer, id, model, &blocks, Some(stop_reason(answer)), answer.output_tokens)
}

fn tool_id(id: &str, n: usize) -> String {
    format!("toolu_{id}_{n}")
}

/// One event after another, each with the wait before it. `None` means: for ever.
fn events(answer: &Answer, id: &str, model: &str) -> Vec<(Option<Duration>, Value)> {
    let now = Some(Duration::ZERO);
    let mut events = vec![(
        now,
        json!({"type": "message_start", "message": message(answer, id, model, &json!([]), None, 1)}),
    )];
    match &answer.say {
        Say::Text(pieces) => {
            let block = json!({"type": "text", "text": ""});
            events.push((now, json!({"type": "content_block_start", "index": 0, "content_block": block})));
            for piece in pieces {
                let delta = json!({"type": "text_delta", "text": piece});
                events.push((
                    Some(answer.gap),
                    json!({"type": "content_block_delta", "index": 0, "delta": delta}),
                ));
                if answer.stall {
                    events.push((None, Value::Null));
                    return events;
                }
            }
        }
        Say::Tools(calls) => {
            for (index, call) in calls.iter().enumerate() {
                let block =
                    json!({"type": "tool_use", "id": tool_id(id, index), "name": call.name, "input": {}});
                events.push((
                    now,
                    json!({"type": "content_block_start", "index": index, "content_block": block}),
                ));
                let delta = json!({"type": "input_json_delta", "partial_json": call.input.to_string()});
                events.push((now, json!({"type": "content_block_delta", "index": index, "delta": delta})));
                events.push((now, json!({"type": "content_block_stop", "index": index})));
            }
        }
    }
    if matches!(answer.say, Say::Text(_)) {
        events.push((now, json!({"type": "content_block_stop", "index": 0})));
    }
    events.push((
        now,
        json!({
            "type": "message_delta",
            "delta": {"stop_reason": stop_reason(answer), "stop_sequence": null},
            "usage": {"output_tokens": answer.output_tokens},
        }),
    ));
    events.push((now, json!({"type": "message_stop"})));
    events
}

/// The answer as server-sent events.
pub(super) fn streamed(
    answer: &Answer,
    id: &str,
    model: &str,
) -> impl Stream<Item = Result<String, Infallible>> + Send + use<> {
    stream::unfold(events(answer, id, model).into_iter(), |mut events| async {
        let (wait, event) = events.next()?;
        match wait {
            Some(Duration::ZERO) => {}
            Some(wait) => tokio::time::sleep(wait).await,
            None => std::future::pending().await,
        }
        let kind = event["type"].as_str().unwrap_or_default();
        Some((Ok(format!("event: {kind}\ndata: {event}\n\n")), events))
    })
}
