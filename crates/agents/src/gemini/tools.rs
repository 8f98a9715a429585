//! What Gemini calls its tools, and what the gateway's rules call the same. Pure.

/// Gemini's tools that do what one of the gateway's names stands for, with that name.
pub(crate) const KNOWN: &[(&str, &str)] = &[
    ("activate_skill", "Skill"),
    ("glob", "Glob"),
    ("google_web_search", "WebSearch"),
    ("grep_search", "Grep"),
    ("invoke_agent", "Agent"),
    ("list_directory", "LS"),
    ("read_file", "Read"),
    ("read_many_files", "Read"),
    ("replace", "Edit"),
    ("run_shell_command", "Bash"),
    ("web_fetch", "WebFetch"),
    ("write_file", "Write"),
    ("write_todos", "TodoWrite"),
];

/// Never offered. The first three change how the session works; the next two go on with what a command has left behind;
/// the last asks people in a way that the protocol has no answer for.
pub(crate) const NEVER: &[&str] = &[
    "enter_plan_mode",
    "exit_plan_mode",
    "update_topic",
    "list_background_processes",
    "read_background_output",
    "ask_user",
];

/// The tool of a call. Gemini puts its name before the id: `run_shell_command__run_shell_command_1795_0`.
pub(crate) fn of_call(id: &str) -> Option<&str> {
    let (name, _) = id.split_once("__")?;
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    (!name.is_empty() && name.len() <= 128 && name.chars().all(plain)).then_some(name)
}

/// What the gateway's rules call it. A tool of Gemini's own keeps its name, behind a mark that no other agent's has.
pub(crate) fn canonical(name: &str) -> String {
    match KNOWN.iter().find(|(known, _)| *known == name) {
        Some((_, canonical)) => (*canonical).to_owned(),
        None => format!("gemini:{name}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_calls_id_names_its_tool() {
        for (id, name) in [
            ("run_shell_command__run_shell_command_1795227907524_0", Some("Bash")),
            ("mcp_gw_send_file__mcp_gw_send_file_1_0", Some("gemini:mcp_gw_send_file")),
            ("read_file_1", None),
            ("__x", None),
            ("a b__x", None),
            ("", None),
        ] {
            assert_eq!(of_call(id).map(canonical).as_deref(), name, "{id}");
        }
    }
}
