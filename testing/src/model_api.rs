//! A mock of the Anthropic Messages API, for real agent programs in tests.
//!
//! Owns a loopback server that answers `POST /v1/messages` (streamed or whole) and remembers every request. What
//! it answers is written into the prompt itself, as markers in the last text of the user:
//!
//! | marker | effect |
//! | --- | --- |
//! | `[[tool:NAME {json}]]` | call this tool; several markers are called one after another, several calls with ` \|\|\| ` between them in one message |
//! | `⟦…⟧` | the same as `[[…]]`: for a marker inside another's argument, as in a subagent's prompt |
//! | `[[text:T]]` | say `T` in the end, instead of `mock: <prompt>` and the tools' results |
//! | `[[slow:N,MS]]` | say the words `w0 w1 …` in N pieces, MS milliseconds apart |
//! | `[[stall]]` | begin to answer, then say nothing more |
//! | `[[hang]]` | take the request and never answer |
//! | `[[error:CODE,TIMES]]` | fail with this HTTP status; with TIMES only that often for this prompt |
//! | `[[usage:IN,OUT]]` | report so many tokens (default 1000 and 20) |
//! | `[[echo:system]]` | answer with the system prompt |
//! | `[[echo:tools]]` | answer with the names of the tools on offer |
//!
//! A test may trust a tool call only if [`Request::tool_results`] of a later request shows its result: then the
//! agent really ran it.

mod plan;
mod request;
mod server;
mod stream;

pub use request::{Request, ToolResult};
pub use server::MockModel;
