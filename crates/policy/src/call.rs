//! What makes a tool call fit to be judged at all.
//!
//! Owns the limits of a canonical call. A call that is not canonical is refused for every role and shown to nobody:
//! what a person would see of it need not be what would run.

use acg_types::ToolCall;
use acg_types::text::is_hidden;
use serde_json::{Map, Value};

use crate::json;
use crate::paths::Refused;

/// Longest input, in bytes of JSON.
const MAX_INPUT: usize = 1024 * 1024;
/// Longest name of a tool, in bytes.
const MAX_NAME: usize = 256;

/// The input as an object; or why the call is malformed.
pub(crate) fn canonical(call: &ToolCall) -> Result<&Map<String, Value>, Refused> {
    let name = &call.tool;
    if name.is_empty() || name.len() > MAX_NAME || !name.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(Refused("its name is no name of a tool".into()));
    }
    if call.raw.len() > MAX_INPUT {
        return Err(Refused(format!("its input is larger than {MAX_INPUT} bytes")));
    }
    let input =
        json::strict(&call.raw).map_err(|reason| Refused(format!("its input is malformed: {reason}")))?;
    if input != call.params {
        return Err(Refused("its input and the text of it differ".into()));
    }
    call.params.as_object().ok_or_else(|| Refused("its input is not an object".into()))
}

/// A name from outside, made fit for a sentence.
pub(crate) fn printable(name: &str) -> String {
    let plain: String = name.chars().filter(|character| !is_hidden(*character)).take(80).collect();
    plain.replace(['`', '\''], "_")
}
