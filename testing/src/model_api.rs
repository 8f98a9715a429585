//! A mock of the model APIs that agent programs speak, for the real programs in tests.
//!
//! Owns one loopback server that answers, streamed or whole, and remembers every request in one form:
//!
//! | API | route | program |
//! | --- | --- | --- |
//! | Anthropic Messages | `POST /v1/messages` | Claude Code |
//! | OpenAI chat completions | `POST /v1/chat/completions` | `OpenCode` |
//! | OpenAI responses | `POST /v1/responses` | Codex |
//! | Gemini | `POST /v1beta/models/MODEL:generateContent`, `:streamGenerateContent` | Gemini CLI |
//!
//! What it answers is written into the prompt itself, as markers in the last text of the user, the same for all:
//!
//! | marker | effect |
//! | --- | --- |
//! | `[[tool:NAME {json}]]` | call this tool; several markers are called one after another, several calls with ` \|\|\| ` between them in one message |
//! | `⟦…⟧` | the same as `[[…]]`: for a marker inside another's argument, as in a subagent's prompt |
//! | `[[text:T]]` | say `T` in the end, instead of `mock: <prompt>` and the tools' results |
//! | `[[think:T]]` | think `T` before that |
//! | `[[slow:N,MS]]` | say the words `w0 w1 …` in N pieces, MS milliseconds apart |
//! | `[[stall]]` | begin to answer, then say nothing more |
//! | `[[drop]]` | begin to answer, then cut the connection |
//! | `[[hang]]` | take the request and never answer |
//! | `[[error:CODE,TIMES]]` | fail with this HTTP status; with TIMES only that often for this prompt. Gemini's 429 is the quota of a day without TIMES, and that of a minute with it |
//! | `[[overflow]]` | refuse the prompt as too long, in the API's own words |
//! | `[[usage:IN,OUT]]` | report so many tokens (default 1000 and 20) |
//! | `[[echo:system]]` | answer with the system prompt |
//! | `[[echo:tools]]` | answer with the names of the tools on offer |
//! | `[[echo:files]]` | answer with the kinds and sizes of the images and files that came along |
//!
//! A test may trust a tool call only if [`Request::tool_results`] of a later request shows its result: then the
//! agent really ran it.
//!
//! Calls beside the turns, none of which a marker reaches:
//! - titles of sessions (`OpenCode`): `A title`, and kept apart in [`MockModel::side_requests`];
//! - objects of a given form (Gemini CLI, which asks how hard a prompt is before it sends it): the first value of an
//!   enumeration, 1, `mock`, and kept apart too;
//! - `GET /v1/models` (Claude Code, Codex): an empty list, which all of them take for no news;
//! - `POST /v1/messages/count_tokens`, `:countTokens`: 1000 tokens;
//! - everything else: 404, and remembered in [`MockModel::strays`].

mod chat;
mod conversation;
mod frame;
mod gemini;
mod messages;
mod plan;
mod request;
mod responses;
mod server;

pub use conversation::Role;
pub use request::{Api, Request, SideCall, ToolResult};
pub use server::MockModel;
