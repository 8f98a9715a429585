//! The command line, as types.
//!
//! Owns names, help texts and which arguments there are. Must never do anything.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

/// The whole command line.
#[derive(Debug, Parser)]
#[command(
    name = "agent-chat-gateway",
    version,
    about = "Puts the AI agents you already run into your team's chat rooms",
    disable_help_subcommand = true
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) common: Common,
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

/// Options of every command.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Options of every command")]
pub(crate) struct Common {
    /// Directory of all runtime state [env: ACG_HOME] [default: ~/.agent-chat-gateway]
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) home: Option<PathBuf>,
    /// Configuration file [env: ACG_CONFIG] [default: config.yaml in the home directory]
    #[arg(long, global = true, value_name = "PATH")]
    pub(crate) config: Option<PathBuf>,
    /// Print one JSON object instead of text
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// What to log: error, warn, info, debug, trace, or filters such as acg_core=debug [env: ACG_LOG]
    #[arg(long, global = true, value_name = "LEVEL")]
    pub(crate) log_level: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Talk to an agent in this terminal: needs no account, no server and no configuration
    Chat(ChatArgs),
    /// Ask an agent once, without a gateway
    #[command(
        after_help = "Exit code: 0 answered; 1 could not be asked; 3 the agent ended its turn otherwise; 4 it took too long; 130 interrupted.\n\nExamples:\n  agent-chat-gateway ask What changed since yesterday?\n  git diff | agent-chat-gateway ask --agent claude -"
    )]
    Ask(AskArgs),
    /// Run the gateway in the foreground
    Run,
    /// Start the gateway in the background
    Start {
        #[command(flatten)]
        wait: Wait,
    },
    /// Stop the gateway
    Stop,
    /// Stop the gateway, if it runs, and start it
    Restart {
        #[command(flatten)]
        wait: Wait,
    },
    /// Show whether the gateway runs, and how its parts are
    Status,
    /// List the watchers
    List {
        /// Only this connector's
        #[arg(long, value_name = "NAME")]
        connector: Option<String>,
    },
    /// Stop taking messages for a watcher
    Pause(WatcherArgs),
    /// Take messages for a watcher again
    Resume(WatcherArgs),
    /// Forget a watcher's session and start afresh
    Reset(WatcherArgs),
    /// Post a text or a file into a room
    Send(SendArgs),
    /// Show the gateway's log
    Logs {
        /// Go on with new lines until interrupted
        #[arg(short, long)]
        follow: bool,
        /// How many of the last lines to show
        #[arg(short = 'n', long, value_name = "N", default_value_t = 50)]
        lines: usize,
    },
    /// Copy the database, also while the gateway runs
    Backup(BackupArgs),
    /// Put a backup in the place of the database, which is kept beside it
    Restore(RestoreArgs),
    /// Take over what the Python program left, as the first start does by itself
    Import {
        /// Change nothing: show what would happen. Exit code 1 if something cannot be taken over
        #[arg(long)]
        check: bool,
    },
    /// Look after the configuration
    Config {
        #[command(subcommand)]
        command: Option<ConfigCommand>,
    },
    /// Look after who may do what
    Users {
        #[command(subcommand)]
        command: Option<UsersCommand>,
    },
    /// Show what a role may do, and take back what people allowed
    Policy {
        #[command(subcommand)]
        command: Option<PolicyCommand>,
    },
    /// Show the record of decisions about tool calls, or check it
    #[command(args_conflicts_with_subcommands = true)]
    Audit {
        #[command(flatten)]
        show: AuditArgs,
        #[command(subcommand)]
        command: Option<AuditCommand>,
    },
    /// Sum up what the agents' turns took: tokens, money, time
    Usage(UsageArgs),
    /// Print completions for a shell
    Completions {
        /// Which shell
        shell: Shell,
    },
    /// The gateway itself, as `start` runs it: speaks to its parent on stdout
    #[command(name = "__daemon", hide = true)]
    Daemon {
        #[command(flatten)]
        wait: Wait,
    },
}

#[derive(Debug, Args)]
pub(crate) struct ChatArgs {
    /// Which agent: claude or demo. Without it the first that is installed
    #[arg(long, value_name = "AGENT")]
    pub(crate) agent: Option<String>,
    /// Where the agent works [default: the current directory]
    #[arg(long, value_name = "DIR")]
    pub(crate) directory: Option<PathBuf>,
    /// Forget the session of an earlier chat in this directory
    #[arg(long)]
    pub(crate) new: bool,
}

#[derive(Debug, Args)]
pub(crate) struct AskArgs {
    /// What to ask; `-` reads it from standard input
    #[arg(value_name = "PROMPT", required = true)]
    pub(crate) prompt: Vec<String>,
    /// Which agent of the configuration [default: the first]; without a configuration as in `chat`
    #[arg(long, value_name = "AGENT")]
    pub(crate) agent: Option<String>,
    /// Go on with an earlier session, as `--json` told its id
    #[arg(long, value_name = "ID")]
    pub(crate) session: Option<String>,
    /// Where the agent works [default: as configured; without a configuration the current directory]
    #[arg(long, value_name = "DIR")]
    pub(crate) directory: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct Wait {
    /// How long to wait for each connector's first outcome, in seconds
    #[arg(long, value_name = "SECONDS", default_value = "2", value_parser = seconds)]
    pub(crate) wait: Duration,
}

impl Wait {
    /// Nobody waits.
    pub(crate) fn none() -> Self {
        Self { wait: Duration::ZERO }
    }
}

fn seconds(text: &str) -> Result<Duration, String> {
    text.parse::<f64>()
        .ok()
        .filter(|seconds| (0.0..=3600.0).contains(seconds))
        .map(Duration::from_secs_f64)
        .ok_or_else(|| "expected seconds, from 0 to 3600".to_owned())
}

#[derive(Debug, Args)]
pub(crate) struct WatcherArgs {
    /// The watcher's name, as `list` shows it
    #[arg(value_name = "WATCHER")]
    pub(crate) watcher: String,
    /// Its connector
    #[arg(long, value_name = "NAME")]
    pub(crate) connector: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct SendArgs {
    /// The room: its name, @user, or the platform's id
    pub(crate) room: String,
    /// The text; `-` reads it from standard input
    #[arg(value_name = "TEXT")]
    pub(crate) message: Vec<String>,
    /// Read the text from a file
    #[arg(long, value_name = "PATH")]
    pub(crate) file: Option<PathBuf>,
    /// Upload a file, with the text as its caption
    #[arg(long, value_name = "PATH")]
    pub(crate) attach: Option<PathBuf>,
    /// The connector, if there are several
    #[arg(long, value_name = "NAME")]
    pub(crate) connector: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct BackupArgs {
    /// Where the copy goes
    pub(crate) file: PathBuf,
    /// Write over a file that is there
    #[arg(long)]
    pub(crate) force: bool,
}

#[derive(Debug, Args)]
pub(crate) struct RestoreArgs {
    /// What `backup` made
    pub(crate) file: PathBuf,
    /// Read and answer again what was said since the backup, also what had been answered
    #[arg(long)]
    pub(crate) replay: bool,
    /// Even if the record of decisions in it is broken
    #[arg(long)]
    pub(crate) force: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Check the configuration and say everything that is wrong with it
    Validate {
        /// Take warnings for errors
        #[arg(long)]
        strict: bool,
    },
    /// Print the JSON Schema of config.yaml
    Schema,
    /// Print a commented config.yaml to start with
    Example,
    /// Make a config.yaml of the rocketchat block of a clawdbot.json or openclaw.json
    ImportOpenclaw(ImportOpenclawArgs),
}

#[derive(Debug, Args)]
pub(crate) struct ImportOpenclawArgs {
    /// The file: clawdbot.json or openclaw.json
    pub(crate) file: PathBuf,
    /// Write to this file, readable by its owner only, instead of standard output
    #[arg(long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    /// Write over a file that is there
    #[arg(long, requires = "output")]
    pub(crate) force: bool,
}

#[derive(Debug, Args)]
pub(crate) struct AuditArgs {
    /// Only of this room: its name or the platform's id
    #[arg(long, value_name = "ROOM")]
    pub(crate) room: Option<String>,
    /// Only what this person asked for or decided: user name or the platform's id
    #[arg(long, value_name = "USER")]
    pub(crate) user: Option<String>,
    /// Not older: 30m, 12h, 7d, or a local date or time such as 2026-11-21 or 2026-11-21T09:30
    #[arg(long, value_name = "TIME")]
    pub(crate) since: Option<String>,
    /// At most this many, the newest; 0 for all
    #[arg(long, value_name = "N", default_value_t = 100)]
    pub(crate) limit: u32,
    /// Check that nothing in the record was changed or removed, and print its last hash
    #[arg(long, conflicts_with_all = ["room", "user", "since", "limit"])]
    pub(crate) verify: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum AuditCommand {
    /// Remove old decisions and leave a checkpoint in their place
    Prune {
        /// What is older goes: 90d, or a local date or time such as 2026-11-21
        #[arg(long, value_name = "TIME")]
        before: String,
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
}

#[derive(Debug, Args)]
pub(crate) struct UsageArgs {
    /// What each line is the sum of
    #[arg(long, value_enum, default_value_t = UsageBy::Day)]
    pub(crate) by: UsageBy,
    /// Only turns that ended since: 12h, 7d, or a local date or time such as 2026-11-21 [default: 30 days]
    #[arg(long, value_name = "TIME")]
    pub(crate) since: Option<String>,
}

/// What lines of `usage` are sums of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum UsageBy {
    Day,
    Room,
    User,
    Agent,
}

#[derive(Debug, Subcommand)]
pub(crate) enum PolicyCommand {
    /// Decide about one tool call as the gateway would
    ///
    /// Exit code: 0 allowed; 1 refused; 2 not for the rules to say (a person would be asked, or the agent's own
    /// settings decide); 3 the question cannot be answered.
    #[command(
        after_help = "Example:\n  agent-chat-gateway policy check --role guest --tool Bash --params '{\"command\": \"git log\"}'"
    )]
    Check(CheckArgs),
    /// List what roles may do, and what people allowed for good or for a session
    Explain(ExplainArgs),
    /// Take back what a person allowed
    Forget {
        /// The allowance, as `policy explain` shows it
        #[arg(value_name = "ID")]
        id: i64,
    },
}

#[derive(Debug, Args)]
pub(crate) struct CheckArgs {
    /// The role that asks: owner, guest, or another one of the configuration
    #[arg(long, value_name = "ROLE")]
    pub(crate) role: String,
    /// The agent, if there are several
    #[arg(long, value_name = "NAME")]
    pub(crate) agent: Option<String>,
    /// The room (or its watcher): its agent, and what people allowed there, count
    #[arg(long, value_name = "ROOM")]
    pub(crate) room: Option<String>,
    /// The tool's name, such as Bash
    #[arg(long, value_name = "NAME")]
    pub(crate) tool: String,
    /// The tool's input as JSON, or - for stdin
    #[arg(long, value_name = "JSON", allow_hyphen_values = true)]
    pub(crate) params: String,
}

#[derive(Debug, Args)]
pub(crate) struct ExplainArgs {
    /// Only this role
    #[arg(long, value_name = "ROLE")]
    pub(crate) role: Option<String>,
    /// Only this room (or its watcher), with the people who have the roles there
    #[arg(long, value_name = "ROOM")]
    pub(crate) room: Option<String>,
    /// Only this agent
    #[arg(long, value_name = "NAME")]
    pub(crate) agent: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum UsersCommand {
    /// Give a configured name's role to the account that holds the name now
    Confirm {
        /// The name, without @
        name: String,
        /// The connector, if there are several
        #[arg(long, value_name = "NAME")]
        connector: Option<String>,
    },
}

/// The command line for help texts and completions.
pub(crate) fn command() -> clap::Command {
    Cli::command()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definition_is_sound() {
        command().debug_assert();
    }

    #[test]
    fn waits_are_bounded() {
        assert_eq!(seconds("0.25").unwrap(), Duration::from_millis(250));
        for text in ["-1", "NaN", "inf", "1e9", "soon", ""] {
            assert!(seconds(text).is_err(), "{text}");
        }
    }
}
