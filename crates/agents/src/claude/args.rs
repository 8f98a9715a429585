//! Which of the user's `new_session_args` are taken.
//!
//! Owns the allow-list. Refuses by name whatever touches permissions, hooks, settings, sessions, MCP servers,
//! directories or the output format: those are the gateway's, or would open what a rule closes. The arguments
//! are given at every start of a session's process, because a resumed session does not remember its model.

/// Taken, each with one value.
const WITH_VALUE: &[&str] = &[
    "--model",
    "--fallback-model",
    "--agent",
    "--effort",
    "--max-turns",
    "--max-budget-usd",
    "--autocompact",
    "--betas",
    // These two only ever take tools away.
    "--disallowedTools",
    "--disallowed-tools",
];

/// Taken, without a value.
const FLAGS: &[&str] =
    &["--disable-slash-commands", "--exclude-dynamic-system-prompt-sections", "--no-chrome"];

/// Why an argument is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ArgError {
    /// Not on the list.
    #[error("{arg} may not be given to Claude: {why}. Taken are: {}", taken())]
    Refused {
        /// The argument, without its value.
        arg: String,
        /// What it would touch.
        why: &'static str,
    },
    /// A value is missing or would be read as another argument.
    #[error("{arg} needs a value that does not begin with `-`")]
    NoValue {
        /// The argument.
        arg: String,
    },
}

fn taken() -> String {
    [WITH_VALUE, FLAGS].concat().join(", ")
}

fn why(arg: &str) -> &'static str {
    match arg {
        "--dangerously-skip-permissions"
        | "--allow-dangerously-skip-permissions"
        | "--permission-mode"
        | "--permission-prompts"
        | "--permission-prompt-tool"
        | "--allowedTools"
        | "--allowed-tools"
        | "--tools"
        | "--restricted"
        | "--safe-mode"
        | "--bare"
        | "--add-dir" => "the gateway decides what tools may do",
        "--settings"
        | "--setting-sources"
        | "--include-hook-events"
        | "--plugin-dir"
        | "--plugin-url"
        | "--agents" => "it brings settings or hooks of its own; put them in Claude's settings files",
        "--session-id"
        | "--resume"
        | "-r"
        | "--continue"
        | "-c"
        | "--fork-session"
        | "--from-pr"
        | "--no-session-persistence"
        | "--teleport"
        | "--name"
        | "-n" => "the gateway keeps the sessions",
        "--mcp-config" | "--strict-mcp-config" => "MCP servers are not taken from here",
        "-p"
        | "--print"
        | "--output-format"
        | "--input-format"
        | "--verbose"
        | "--include-partial-messages"
        | "--replay-user-messages"
        | "--json-schema" => "the gateway reads the output itself",
        "--system-prompt"
        | "--system-prompt-file"
        | "--append-system-prompt"
        | "--append-system-prompt-file"
        | "--system-prompt-snapshot" => "the gateway sets the system prompt; use context_inject_files",
        _ if arg.starts_with('-') => "it is not on the list of harmless arguments",
        _ => "it is not an argument but a bare word",
    }
}

/// The arguments, one `--name=value` or flag each.
pub(crate) fn check(args: &[String]) -> Result<Vec<String>, ArgError> {
    let mut taken = Vec::new();
    let mut rest = args.iter();
    while let Some(arg) = rest.next() {
        let (name, value) = match arg.split_once('=') {
            Some((name, value)) if name.starts_with("--") => (name, Some(value)),
            _ => (arg.as_str(), None),
        };
        if FLAGS.contains(&name) && value.is_none() {
            taken.push(name.to_owned());
        } else if WITH_VALUE.contains(&name) {
            let value = value.or_else(|| rest.next().map(String::as_str));
            match value {
                Some(value) if !value.is_empty() && !value.starts_with('-') => {
                    taken.push(format!("{name}={value}"));
                }
                _ => return Err(ArgError::NoValue { arg: name.to_owned() }),
            }
        } else {
            return Err(ArgError::Refused { arg: name.to_owned(), why: why(name) });
        }
    }
    Ok(taken)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(args: &[&str]) -> Result<String, String> {
        let args: Vec<String> = args.iter().map(|&arg| arg.to_owned()).collect();
        check(&args).map(|args| args.join(" ")).map_err(|error| error.to_string())
    }

    #[test]
    fn harmless_arguments_are_taken_in_one_form() {
        assert_eq!(run(&[]).unwrap(), "");
        assert_eq!(
            run(&["--model", "opus", "--effort=high", "--disable-slash-commands"]).unwrap(),
            "--model=opus --effort=high --disable-slash-commands"
        );
    }

    #[test]
    fn whatever_opens_a_door_is_refused_by_name() {
        for arg in [
            "--dangerously-skip-permissions",
            "--permission-mode=acceptEdits",
            "--allowedTools",
            "--add-dir",
            "--settings",
            "--setting-sources=project",
            "--mcp-config",
            "--resume",
            "-c",
            "--output-format=text",
            "--append-system-prompt",
            "--no-such-flag",
            "--disable-slash-commands=false",
            "word",
            "--",
            "",
        ] {
            let error = run(&["--model", "opus", arg, "x"]).unwrap_err();
            let name = arg.split('=').next().unwrap();
            assert!(error.starts_with(&format!("{name} may not be given to Claude: ")), "{arg}: {error}");
        }
    }

    #[test]
    fn a_value_cannot_smuggle_a_flag() {
        for args in
            [&["--model", "--dangerously-skip-permissions"][..], &["--model"], &["--model="], &["--model=-p"]]
        {
            assert_eq!(run(args).unwrap_err(), "--model needs a value that does not begin with `-`");
        }
    }
}
