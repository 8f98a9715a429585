//! The text of a question: who wants what, the whole call, and how to answer. Pure.
//!
//! Owns what a person sees before they decide. Must never show less than the call without saying so and attaching
//! the whole, nor let anything in the call end its code block.

use std::fmt::Write as _;
use std::time::Duration;

use acg_types::{Role, Timestamp, ToolCall};
use jiff::tz::TimeZone;

use super::escape::{escaped, is_plain, plain_name};
use super::show::{self, Block};

/// Longest question, in UTF-16 code units; what is longer goes into a file.
const LONGEST: usize = 3000;
/// Longest beginning of a call that is shown beside its file.
const BEGINNING: usize = 1500;
/// Longest wording of a lasting allowance that is offered: it is shown whole or not at all.
const LONGEST_ALWAYS: usize = 700;

/// What a question says.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked<'a> {
    pub(crate) code: &'a str,
    pub(crate) call: &'a ToolCall,
    /// The login name of who asked for what led to the call. Outside data.
    pub(crate) asker: &'a str,
    pub(crate) role: &'a Role,
    /// The room that the call comes from, if the question is put elsewhere. Outside data.
    pub(crate) from_room: Option<&'a str>,
    pub(crate) timeout: Duration,
    pub(crate) deadline: Timestamp,
    pub(crate) zone: &'a TimeZone,
    /// Whether a reaction is an answer here.
    pub(crate) reactions: bool,
    /// Whether the asker may not approve.
    pub(crate) four_eyes: bool,
    /// What `approve … always` would allow, if it is offered.
    pub(crate) always: Option<&'a str>,
    /// Longest post of the platform, in UTF-16 code units.
    pub(crate) limit: usize,
}

/// A question, ready to be posted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Notice {
    pub(crate) text: String,
    /// To be uploaded before.
    pub(crate) file: Option<Attachment>,
}

/// A file that holds the whole call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Attachment {
    pub(crate) name: String,
    pub(crate) content: String,
    pub(crate) caption: String,
}

/// What `approve ID always` would allow, as it can be shown; or why it is not offered.
pub(crate) fn always(call: &ToolCall) -> Result<String, String> {
    let words = acg_policy::approval::may_be_remembered(call)?;
    if words.contains('\n') || !is_plain(&words) || units(&words) > LONGEST_ALWAYS {
        return Err("what it would allow is too long or too odd to be shown in full".to_owned());
    }
    Ok(words)
}

/// Writes the question.
pub(crate) fn notice(asked: &Asked<'_>) -> Notice {
    let blocks = show::blocks(asked.call);
    let plain = show::all_plain(asked.call, &blocks);
    let limit = asked.limit.min(LONGEST);
    if plain {
        let text = assemble(asked, &fenced(&blocks));
        if units(&text) <= limit {
            return Notice { text, file: None };
        }
    }
    let whole = show::plain_text(asked.call, &blocks);
    let name = format!("permission-{}.txt", asked.code);
    let content = if plain {
        whole.clone()
    } else {
        format!(
            "Everything hidden is written as \\u{{…}}, and a backslash as two.\n\n{}\n\n\
             ---- Exactly as the agent sent it ----\n{}\n",
            escaped(&whole),
            asked.call.raw
        )
    };
    let preview = if plain { joined(&blocks) } else { escaped(&joined(&blocks)) };
    let remark = |cut: bool| remark(&name, plain, cut);
    let room = limit.saturating_sub(units(&assemble(asked, &format!("```\n\n```\n{}", remark(true)))));
    let beginning = beginning(&preview, room.min(BEGINNING));
    let cut = beginning.len() < preview.len();
    let body =
        if beginning.is_empty() { remark(true) } else { format!("```\n{beginning}\n```\n{}", remark(cut)) };
    let caption = format!("The whole call of permission {}", asked.code);
    Notice { text: assemble(asked, &body), file: Some(Attachment { name, content, caption }) }
}

fn remark(name: &str, plain: bool, cut: bool) -> String {
    let mut out = String::new();
    if !plain {
        out.push_str(
            "⚠️ It holds characters that hide or that end a code block: they are written as `\\u{…}`. ",
        );
    }
    out.push_str(if cut {
        "This is the beginning; **the whole call is in the file** `"
    } else {
        "The call is also in the file `"
    });
    out.push_str(name);
    out.push_str("` above.");
    out
}

fn assemble(asked: &Asked<'_>, body: &str) -> String {
    let code = asked.code;
    let mut out = format!("🔐 **Permission required** `[{code}]`\n**Tool:** `{}`\n", tool(asked.call));
    let _infallible = write!(
        out,
        "**Asked by:** {} ({}), through the agent {}",
        plain_name(asked.asker),
        plain_name(asked.role.as_str()),
        plain_name(asked.call.agent.as_str()),
    );
    if let Some(room) = asked.from_room {
        let _infallible = write!(out, ", in the room {}", plain_name(room));
    }
    let body = if body.is_empty() { "(none)" } else { body };
    let separator = if body.starts_with("```") { '\n' } else { ' ' };
    let _infallible = write!(out, "\n**Params:**{separator}{body}\nReply `approve {code}` or `deny {code}`");
    if asked.reactions {
        out.push_str(", or react with ✅ or ❌");
    }
    let _infallible = write!(
        out,
        ", within {} (until {}). No answer is a refusal.",
        duration(asked.timeout),
        moment(asked.deadline, asked.timeout, asked.zone),
    );
    if asked.four_eyes {
        out.push_str(" Somebody else than who asked must approve.");
    }
    let _infallible =
        write!(out, "\n`approve {code} session` allows this same call for the rest of the session.");
    if let Some(words) = asked.always {
        let room = if asked.from_room.is_some() { "that room" } else { "this room" };
        let role = plain_name(asked.role.as_str());
        let _infallible = write!(
            out,
            "\n`approve {code} always` allows, until it is revoked: {words}. That holds in {room} and for the role {role}."
        );
    }
    out
}

/// The tool's name as inline code.
fn tool(call: &ToolCall) -> String {
    let name = escaped(&call.tool).replace('`', "\\u{60}").replace('\n', "\\u{a}");
    if name.is_empty() { "(no name)".to_owned() } else { name }
}

fn fenced(blocks: &[Block]) -> String {
    blocks
        .iter()
        .map(|block| format!("```{}\n{}\n```", block.info, block.text))
        .collect::<Vec<_>>()
        .join("\n")
}

fn joined(blocks: &[Block]) -> String {
    blocks.iter().map(|block| block.text.as_str()).collect::<Vec<_>>().join("\n")
}

/// As much of the text as fits into so many UTF-16 code units.
fn beginning(text: &str, room: usize) -> &str {
    let mut used = 0;
    for (at, c) in text.char_indices() {
        used += c.len_utf16();
        if used > room {
            return &text[..at];
        }
    }
    text
}

fn units(text: &str) -> usize {
    text.chars().map(char::len_utf16).sum()
}

/// A duration as people say it.
pub(crate) fn duration(time: Duration) -> String {
    let seconds = time.as_secs().max(1);
    let (count, unit) = match seconds {
        0..120 => (seconds, "second"),
        120..7_200 => (seconds / 60, "minute"),
        7_200..172_800 => (seconds / 3_600, "hour"),
        _ => (seconds / 86_400, "day"),
    };
    format!("{count} {unit}{}", if count == 1 { "" } else { "s" })
}

fn moment(at: Timestamp, timeout: Duration, zone: &TimeZone) -> String {
    let Ok(moment) = jiff::Timestamp::from_millisecond(at.0) else { return "the end of time".to_owned() };
    let format = if timeout < Duration::from_hours(12) { "%H:%M:%S %Z" } else { "%Y-%m-%d %H:%M %Z" };
    moment.to_zoned(zone.clone()).strftime(format).to_string()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    static ZONE: std::sync::OnceLock<TimeZone> = std::sync::OnceLock::new();

    fn asked<'a>(call: &'a ToolCall, role: &'a Role) -> Asked<'a> {
        Asked {
            code: "40aa",
            call,
            asker: "alice",
            role,
            from_room: None,
            timeout: Duration::from_mins(5),
            deadline: Timestamp(1_795_225_581_000),
            zone: ZONE.get_or_init(|| TimeZone::UTC),
            reactions: true,
            four_eyes: false,
            always: None,
            limit: 5000,
        }
    }

    fn bash(command: &str) -> ToolCall {
        ToolCall::new("claude", "Bash", json!({ "command": command }), None)
    }

    #[test]
    fn a_short_call_is_shown_whole() {
        let role = Role::owner();
        let call =
            ToolCall::new("claude", "Bash", json!({"command": "rm ./build", "description": "x"}), None);
        let made = notice(&asked(&call, &role));
        assert_eq!(made.file, None);
        insta::assert_snapshot!(made.text, @r#"
        🔐 **Permission required** `[40aa]`
        **Tool:** `Bash`
        **Asked by:** alice (owner), through the agent claude
        **Params:**
        ```bash
        rm ./build
        ```
        ```json
        {
          "description": "x"
        }
        ```
        Reply `approve 40aa` or `deny 40aa`, or react with ✅ or ❌, within 5 minutes (until 01:46:21 UTC). No answer is a refusal.
        `approve 40aa session` allows this same call for the rest of the session.
        "#);
    }

    #[test]
    fn every_option_has_its_words() {
        let role = Role::new("dev*");
        let call = ToolCall::new("claude", "mcp__x__do", json!({}), None);
        let with = Asked {
            asker: "eve`\n**@all**",
            from_room: Some("ops"),
            timeout: Duration::from_hours(24),
            reactions: false,
            four_eyes: true,
            always: Some("the command `ls` and no other"),
            ..asked(&call, &role)
        };
        insta::assert_snapshot!(notice(&with).text, @r"
        🔐 **Permission required** `[40aa]`
        **Tool:** `mcp__x__do`
        **Asked by:** eve___@all__ (dev_), through the agent claude, in the room ops
        **Params:** (none)
        Reply `approve 40aa` or `deny 40aa`, within 24 hours (until 2026-11-21 01:46 UTC). No answer is a refusal. Somebody else than who asked must approve.
        `approve 40aa session` allows this same call for the rest of the session.
        `approve 40aa always` allows, until it is revoked: the command `ls` and no other. That holds in that room and for the role dev_.
        ");
    }

    #[test]
    fn a_long_call_goes_as_a_file_with_its_beginning_shown() {
        let role = Role::owner();
        let command = format!("echo {}; rm -rf /", "long ".repeat(2000));
        let call = bash(&command);
        let made = notice(&asked(&call, &role));
        assert!(units(&made.text) <= LONGEST);
        assert!(
            made.text.contains("```\necho long long")
                && made.text.contains("**the whole call is in the file**")
        );
        let file = made.file.unwrap();
        assert_eq!(file.name, "permission-40aa.txt");
        assert_eq!(file.content, format!("Tool: Bash\n\n{command}\n"));
        let small = notice(&Asked { limit: 500, ..asked(&call, &role) });
        assert!(small.file.is_some());
        assert!(units(&small.text) <= 600, "{}", small.text);
    }

    #[test]
    fn what_could_deceive_is_written_out_and_goes_as_a_file() {
        let role = Role::owner();
        let call = bash("echo hi\n```\n\u{202e}gnihton si siht");
        let made = notice(&asked(&call, &role));
        insta::assert_snapshot!(made.text, @r"
        🔐 **Permission required** `[40aa]`
        **Tool:** `Bash`
        **Asked by:** alice (owner), through the agent claude
        **Params:**
        ```
        echo hi
        \u{60}\u{60}\u{60}
        \u{202e}gnihton si siht
        ```
        ⚠️ It holds characters that hide or that end a code block: they are written as `\u{…}`. The call is also in the file `permission-40aa.txt` above.
        Reply `approve 40aa` or `deny 40aa`, or react with ✅ or ❌, within 5 minutes (until 01:46:21 UTC). No answer is a refusal.
        `approve 40aa session` allows this same call for the rest of the session.
        ");
        assert!(made.file.unwrap().content.ends_with(&format!("{}\n", call.raw)));
        let odd = ToolCall::new("claude", "Ba`sh\n\u{202e}", json!({}), None);
        assert!(notice(&asked(&odd, &role)).text.contains("**Tool:** `Ba\\u{60}sh\\u{a}\\u{202e}`\n"));
    }

    #[test]
    fn durations_are_said_as_people_do() {
        let said = [0, 1, 90, 300, 7_200, 90_000, 200_000].map(|s| duration(Duration::from_secs(s)));
        assert_eq!(
            said,
            ["1 second", "1 second", "90 seconds", "5 minutes", "2 hours", "25 hours", "2 days"]
        );
    }

    proptest! {
        #[test]
        fn no_call_can_end_its_block_or_hide(
            command in "(\\PC|`|``|~|\n| |\u{202e}|\u{200b}|\r|\\\\|approve 40aa){0,80}", tool in "Bash|Write|WebFetch|\\PC{1,10}",
        ) {
            let role = Role::owner();
            let params: Value = json!({"command": command, "file_path": command, "content": command, "url": [command]});
            let call = ToolCall::new("claude", tool, params, None);
            let made = notice(&asked(&call, &role));
            let fences = made.text.lines().filter(|line| line.starts_with("```")).count();
            prop_assert_eq!(fences, made.text.matches("```").count(), "{}", made.text);
            prop_assert_eq!(fences % 2, 0, "{}", made.text);
            prop_assert!(made.text.starts_with("🔐 **Permission required** `[40aa]`\n"));
            let hidden = made.text.replace("⚠️", "").chars().any(super::super::escape::is_hidden);
            prop_assert!(!hidden, "{}", made.text);
        }
    }
}
