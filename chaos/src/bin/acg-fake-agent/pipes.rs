//! The two pipes to the gateway, and the frames on them, as recorded from the real program.
//!
//! Owns shapes and waiting. Must never wait without the pipe in sight: its end is the end of the program.

use std::io::{self, BufRead as _, Write as _};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::Duration;

use serde_json::{Value, json};

/// Frames that wait to be read.
const QUEUE: usize = 64;

/// What came.
pub(crate) enum Heard {
    Frame(Value),
    /// The time is over.
    Nothing,
    Closed,
}

pub(crate) struct Pipes {
    frames: Receiver<Value>,
    out: io::Stdout,
    made: u64,
}

impl Pipes {
    pub(crate) fn open() -> Self {
        let (queue, frames) = sync_channel(QUEUE);
        // Ends with the pipe, or with the process.
        std::thread::spawn(move || {
            for line in io::stdin().lock().lines() {
                let Ok(line) = line else { return };
                let Ok(frame) = serde_json::from_str(&line) else { continue };
                if queue.send(frame).is_err() {
                    return;
                }
            }
        });
        Self { frames, out: io::stdout(), made: 0 }
    }

    /// The next frame, within a time or whenever it comes.
    pub(crate) fn hear(&mut self, within: Option<Duration>) -> Heard {
        let heard = match within {
            Some(within) => self.frames.recv_timeout(within),
            None => self.frames.recv().map_err(|_| RecvTimeoutError::Disconnected),
        };
        match heard {
            Ok(frame) => Heard::Frame(frame),
            Err(RecvTimeoutError::Timeout) => Heard::Nothing,
            Err(RecvTimeoutError::Disconnected) => Heard::Closed,
        }
    }

    pub(crate) fn send(&mut self, frame: &Value) -> io::Result<()> {
        self.write(&frame.to_string())
    }

    /// A line that may be no frame.
    pub(crate) fn write(&mut self, line: &str) -> io::Result<()> {
        let mut out = self.out.lock();
        out.write_all(format!("{line}\n").as_bytes())?;
        out.flush()
    }

    /// An id that no other process makes while this one lives.
    pub(crate) fn new_id(&mut self, kind: &str) -> String {
        self.made += 1;
        format!("{kind}_{}_{}", std::process::id(), self.made)
    }

    /// Answers a control request: everything is well.
    pub(crate) fn greet(&mut self, request: &Value) -> io::Result<()> {
        let response = json!({
            "subtype": "success",
            "request_id": request["request_id"],
            "response": {
                "claude_code_version": "2.1.329",
                "hooks_applied": true,
                "hook_on_failure_supported": true,
                "account": {"apiProvider": "firstParty", "apiKeySource": "ANTHROPIC_API_KEY"},
            },
        });
        self.send(&json!({ "type": "control_response", "response": response }))
    }

    fn event(&mut self, event: &Value) -> io::Result<()> {
        self.send(&json!({"type": "stream_event", "event": event, "parent_tool_use_id": null}))
    }

    /// A message of the model begins.
    pub(crate) fn begin_message(&mut self) -> io::Result<String> {
        let id = self.new_id("msg");
        self.send(&json!({"type": "system", "subtype": "status", "status": "requesting"}))?;
        self.event(&json!({"type": "message_start", "message": {"id": id, "role": "assistant"}}))?;
        Ok(id)
    }

    /// A piece of its text.
    pub(crate) fn delta(&mut self, text: &str) -> io::Result<()> {
        let delta = json!({"type": "text_delta", "text": text});
        self.event(&json!({"type": "content_block_delta", "index": 0, "delta": delta}))
    }

    /// One block of it, whole, and its end.
    pub(crate) fn end_message(&mut self, id: &str, block: &Value) -> io::Result<()> {
        let message = json!({"id": id, "role": "assistant", "content": [block]});
        self.send(&json!({"type": "assistant", "message": message, "parent_tool_use_id": null}))?;
        self.event(&json!({"type": "content_block_stop", "index": 0}))?;
        self.event(&json!({"type": "message_stop"}))
    }

    /// What a tool gave.
    pub(crate) fn tool_result(&mut self, call: &str, text: &str, is_error: bool) -> io::Result<()> {
        let block =
            json!({"tool_use_id": call, "type": "tool_result", "content": text, "is_error": is_error});
        let message = json!({"role": "user", "content": [block]});
        self.send(&json!({"type": "user", "message": message, "parent_tool_use_id": null}))
    }

    /// The end of a turn.
    pub(crate) fn result(&mut self, text: &str, how: How) -> io::Result<()> {
        let (subtype, terminal, stop) = match how {
            How::Completed => ("success", "completed", "end_turn"),
            How::Deferred => ("success", "tool_deferred", "tool_deferred"),
            How::Interrupted => ("error_during_execution", "interrupted", "end_turn"),
        };
        let usage = json!({"input_tokens": 1000, "output_tokens": 20});
        self.send(&json!({"type": "result", "subtype": subtype, "is_error": how == How::Interrupted,
            "result": text, "num_turns": 1, "terminal_reason": terminal, "stop_reason": stop,
            "total_cost_usd": 0.0, "duration_ms": 0, "usage": usage}))
    }
}

/// How a turn ends.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum How {
    Completed,
    /// With a call that waits for a person.
    Deferred,
    Interrupted,
}
