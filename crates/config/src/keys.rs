//! The tables of keys that belong to no type: those of the whole file, and those that every connector, agent or
//! watcher has.

use crate::budget;
use crate::kind::{Key, Shape};

const COUNT: Shape = Shape::Int { min: 0, max: u32::MAX as u64 };

/// Keys at the top of the file.
pub(crate) static TOP: &[Key] = &[
    Key::new(
        "dialect",
        Shape::OneOf(&["0.1", "0.5"]),
        "How the file is read. 0.1: a .env beside it is loaded and $NAME stands for variables. 0.5: text is \
         literal, with templates, presets and rooms. Without it the gateway finds out.",
    )
    .example("\"0.5\""),
    Key::new("connectors", Shape::Any, "The chat platforms.").required(),
    Key::new("agents", Shape::Any, "The agents, by name.").required(),
    Key::new("default_agent", Shape::Text, "The agent of watchers that name none. Without it the first."),
    Key::new("watchers", Shape::Any, "Which rooms talk to which agent."),
    Key::new("max_queue_depth", COUNT, "Most messages that may wait in one conversation; 0 = no limit.")
        .default("100"),
    Key::new(
        "max_concurrent_turns",
        Shape::Int { min: 1, max: 1000 },
        "Most agents that may work at the same time, over all rooms.",
    )
    .default("8"),
    Key::new("drain_timeout", Shape::Duration, "How long turns may go on after a stop was asked for.")
        .default("30s"),
    Key::new(
        "interrupted",
        Shape::OneOf(&["resume", "ask", "drop"]),
        "What happens to a turn that was under way when the gateway died: resume its session with a note, ask in \
         the room, or say nothing.",
    )
    .default("resume"),
    Key::new(
        "max_turns_per_room",
        COUNT,
        "Most agents that may work at the same time in one room (its threads may have a session each); 0 = no limit.",
    )
    .default("4"),
    Key::new(
        "rate_limit",
        Shape::Section(RATE_LIMIT),
        "How many messages of one person are taken in a time, over all rooms of a connector. Without it as many as \
         come.",
    ),
    Key::new(
        "collect",
        Shape::Bool,
        "Whether messages that arrive while the agent is busy become one turn, where role and thread are the same.",
    )
    .default("true"),
    Key::new("collect_max", Shape::Section(COLLECT_MAX), "How much becomes one turn; the rest waits for the next."),
    Key::new(
        "backfill",
        Shape::Section(BACKFILL),
        "Which messages are still answered that were said while the gateway was away.",
    ),
    Key::new(
        "reply_expires",
        Shape::Duration,
        "How long an answer that cannot be posted waits for its room; 0 = for ever.",
    )
    .default("24h"),
    Key::new(
        "resend",
        Shape::OneOf(&["mark", "never"]),
        "What happens to a post of which nobody knows whether it arrived, on a platform where repeating it may show \
         it twice: it is posted again with a mark, or never.",
    )
    .default("mark"),
    Key::new(
        "retention_days",
        COUNT,
        "How long finished messages, turns and posts are kept in the store; 0 = for ever. The record of decisions is \
         not touched.",
    )
    .default("90"),
    Key::new("scheduler", Shape::Section(SCHEDULER), "Scheduled messages.").not_yet(),
    Key::new("tool_presets", Shape::Any, "Lists of tool rules by name, for every list of tool rules."),
    Key::new("roles", Shape::Any, "Roles besides owner and guest, by name; and what differs for those two."),
    Key::new(
        "guests_may_do_anything",
        Shape::Bool,
        "Accept a rule that allows everything to guests. Without it such a rule is an error.",
    )
    .default("false"),
    Key::new("connector_templates", Shape::Any, "Shared keys of connectors, by name, for inherits."),
    Key::new("agent_templates", Shape::Any, "Shared keys of agents, by name, for inherits."),
    Key::new("watcher_templates", Shape::Any, "Shared keys of watchers, by name, for inherits."),
];

static RATE_LIMIT: &[Key] = &[
    Key::new("messages", Shape::Int { min: 1, max: u32::MAX as u64 }, "How many.").default("20"),
    Key::new("per", Shape::Duration, "In how long.").default("1m"),
];

static COLLECT_MAX: &[Key] = &[
    Key::new("messages", Shape::Int { min: 1, max: 1000 }, "Most messages.").default("50"),
    Key::new("characters", Shape::Int { min: 1, max: 1_000_000 }, "Most characters of text.")
        .default("20000"),
];

static BACKFILL: &[Key] = &[
    Key::new(
        "max_age",
        Shape::Duration,
        "Older messages are counted in one line, not answered; 0 = none is too old.",
    )
    .default("12h"),
    Key::new("max_messages", COUNT, "Most messages of one room that are answered, the newest; 0 = no limit.")
        .default("50"),
];

static SCHEDULER: &[Key] = &[
    Key::new("completed_job_ttl_days", COUNT, "How long finished jobs are kept.").default("7"),
    Key::new("default_timezone", Shape::Text, "Read by early versions only."),
];

const DESCRIPTION: Key = Key::new("description", Shape::Any, "A note for people; nothing reads it.");
const INHERITS: Key = Key::new("inherits", Shape::Text, "The template whose keys this entry takes over.");
const CONTEXT: &str = "Files whose text the agent is given with every session.";

/// Keys of every connector.
pub(crate) static CONNECTOR: &[Key] = &[
    Key::new("name", Shape::Text, "Its name, unique.").required().example("team"),
    Key::new("type", Shape::Text, "Which platform.").required(),
    DESCRIPTION,
    INHERITS,
    Key::new(
        "allowed_users",
        Shape::People(ALLOWED_USERS),
        "Who may talk to the agent, and with which role.",
    ),
    Key::new(
        "filter_sender",
        Shape::Bool,
        "Whether people who are not listed are ignored. If not, they are guests.",
    )
    .default("true"),
    Key::new(
        "require_mention",
        Shape::Bool,
        "Whether only messages that mention the agent are for it; in direct rooms every one is.",
    )
    .default("true"),
    Key::new("reply_in_thread", Shape::Bool, "Answer a message of the room in a thread on it.")
        .default("false"),
    Key::new("permission_reply_in_thread", Shape::Bool, "Ask for approvals in a thread on the message.")
        .default("true"),
    Key::new(
        "allowed_rooms",
        Shape::TextList,
        "If not empty, only these rooms (names or ids) are answered in.",
    )
    .default("[]"),
    Key::new(
        "timezone",
        Shape::Text,
        "IANA time zone of the times that the agent sees. Without it the host's.",
    ),
    Key::new("context_inject_files", Shape::PathList, CONTEXT).default("[]"),
    Key::new("attachments", Shape::Section(ATTACHMENTS), "Files that people send.").not_yet(),
    Key::new("agent_chain", Shape::Section(AGENT_CHAIN), "Conversations with other agents."),
];

/// The key of owners in `allowed_users:`.
pub(crate) const OWNERS: &str = "owners";
/// The key of guests.
pub(crate) const GUESTS: &str = "guests";

/// Of `allowed_users:`; the names of further roles are keys too.
pub(crate) static ALLOWED_USERS: &[Key] = &[
    Key::new(OWNERS, Shape::TextList, "Login names of those who may do everything and approve.")
        .example("[alice]"),
    Key::new(GUESTS, Shape::TextList, "Login names of those who may ask.").default("[]"),
];

static ATTACHMENTS: &[Key] = &[
    Key::new("max_file_size_mb", Shape::Number, "Largest file; 0 = no limit.").default("10.0"),
    Key::new("download_timeout", Shape::Duration, "Longest download of one file.").default("30"),
    Key::new("cache_dir", Shape::Text, "Read by early versions only."),
    Key::new("cache_dir_global", Shape::Path, "Where files are kept.")
        .default("~/.agent-chat-gateway/attachments"),
];

static AGENT_CHAIN: &[Key] = &[
    Key::new("agent_usernames", Shape::TextList, "Login names of other agents.").default("[]").not_yet(),
    Key::new("max_turns", COUNT, "Most turns in a row between agents.").default("5"),
    Key::new("ttl_seconds", Shape::Duration, "When the count starts anew.").default("3600"),
];

/// Keys of every agent.
pub(crate) static AGENT: &[Key] = &[
    Key::new("type", Shape::Text, "Which agent program. In the 0.1 dialect claude if missing.").required(),
    DESCRIPTION,
    INHERITS,
    Key::new("working_directory", Shape::Path, "The directory the agent works in. It must exist.")
        .required()
        .example("~/my-project"),
    Key::new("session_prefix", Shape::Text, "Sessions are titled PREFIX:ROOM; empty = no title.")
        .default("agent-chat"),
    Key::new("context_inject_files", Shape::PathList, CONTEXT).default("[]"),
    Key::new("lazy_instruction_loading", Shape::Bool, "Give the agent the gateway's instructions on demand.")
        .not_yet(),
    Key::new("timeout", Shape::Duration, "Longest turn.").default("360"),
    Key::new("permissions", Shape::Section(PERMISSIONS), "Approval of tool calls by people."),
    Key::new(
        "owner_allowed_tools",
        Shape::Rules,
        "Tools that run for owners without a question: {tool, params}.",
    )
    .example("[{tool: \"Read|Glob|Grep\"}]"),
    Key::new("guest_allowed_tools", Shape::Rules, "Tools that run for guests; all others are refused.")
        .default("[]"),
    Key::new(
        "role_allowed_tools",
        Shape::RulesByRole,
        "The same for further roles: a list for each role's name.",
    )
    .default("{}"),
    Key::new(
        "session_scope",
        Shape::OneOf(&["room", "role"]),
        "What shares a session of the agent: everybody in the room, or those with the same role. Without it room, but \
         role where skip_owner_approval is in force.",
    ),
    Key::new(
        "guest_inherits",
        Shape::Bool,
        "Whether guests' processes load the user's memory, MCP servers and skills.",
    )
    .default("false"),
    Key::new(
        "confinement",
        Shape::OneOf(&["guests", "all", "off"]),
        "Whose processes are confined to the working directory, where the system can: guests', all, or nobody's.",
    )
    .default("guests"),
    Key::new("confine_read", Shape::PathList, "Further paths that a confined process may read.").default("[]"),
    Key::new("confine_write", Shape::PathList, "Further paths that a confined process may write.")
        .default("[]"),
    Key::new(
        "warm",
        Shape::Int { min: 0, max: 100 },
        "How many of the most recent conversations get their process at the gateway's start, before anybody writes.",
    )
    .default("0"),
    Key::new(
        "max_agent_memory",
        Shape::Size,
        "How much memory the agent's processes may hold together, with all that they started: 2GB. Over it idle ones end.",
    ),
    Key::new(
        "budget",
        Shape::Section(BUDGET),
        "What all turns of the agent may use up in a day; then messages for it are refused until midnight.",
    ),
    Key::new("session_idle_days", COUNT, "Reserved.").not_yet(),
    Key::new("session_expire_days", COUNT, "Reserved.").not_yet(),
];

/// What may be used up in a day.
static BUDGET: &[Key] = &[
    Key::new("usd_per_day", Shape::Number, "US dollars, as far as agents tell what a turn cost."),
    Key::new(
        "tokens_per_day",
        Shape::Int { min: 1, max: budget::MOST_TOKENS },
        "Tokens: input, output, reasoning, and what is written to a cache; not what is read from one.",
    ),
];

static PERMISSIONS: &[Key] = &[
    Key::new(
        "enabled",
        Shape::Bool,
        "Ask in the room before a tool runs that no rule allows. If not, the agent's own settings decide for owners.",
    )
    .default("false"),
    Key::new("timeout", Shape::Duration, "How long a question waits.").default("300"),
    Key::new("skip_owner_approval", Shape::Bool, "Calls for owners need no approval.").default("false"),
    Key::new("hold", Shape::Duration, "How long a question holds the agent's process, where it can do without.")
        .default("2m"),
    Key::new("four_eyes", Shape::Bool, "Nobody may approve what they asked for themselves.").default("false"),
    Key::new("approval_room", Shape::Text, "The room where questions are asked, if not where they come up."),
];

/// Keys of every entry of `roles:`.
pub(crate) static ROLE: &[Key] = &[
    DESCRIPTION,
    Key::new(
        "inherits",
        Shape::Text,
        "The role whose rules and settings it takes over: owner, guest, or another one. Without it guest.",
    ),
    Key::new("allowed_tools", Shape::Rules, "Tools that run without a question, with every agent.")
        .default("[]"),
    Key::new("may_approve", Shape::Bool, "Whether its people answer questions. Without it as inherited."),
    Key::new(
        "may_ask",
        Shape::Bool,
        "Whether calls that no rule allows are put to people; if not, they are refused. Without it as inherited.",
    ),
    Key::new("limits", Shape::Section(ROLE_LIMITS), "Limits of its people."),
];

static ROLE_LIMITS: &[Key] = &[
    Key::new("timeout", Shape::Duration, "Longest turn, if shorter than the agent's."),
    Key::new(
        "max_waiting",
        Shape::Int { min: 1, max: u32::MAX as u64 },
        "Most messages of one person that wait in one conversation, if fewer than max_queue_depth.",
    ),
    Key::new(
        "budget",
        Shape::Section(BUDGET),
        "What each of its people may use up in a day, on one connector.",
    ),
];

/// Keys of every watcher.
pub(crate) static WATCHER: &[Key] = &[
    Key::new("name", Shape::Text, "Its name, unique. Without it made from connector and room."),
    DESCRIPTION,
    INHERITS,
    Key::new(
        "room",
        Shape::Text,
        "The room's name; @user is the direct room with them; \"*\" is every room.",
    )
    .example("general"),
    Key::new("rooms", Shape::TextList, "Several rooms, instead of room: one watcher for each."),
    Key::new("exclude_rooms", Shape::TextList, "With room \"*\": rooms (names or ids) that are left out.")
        .default("[]"),
    Key::new("connector", Shape::Text, "The connector's name. Without it the first."),
    Key::new("agent", Shape::Text, "The agent's name. Without it default_agent."),
    Key::new(
        "allowed_users",
        Shape::People(ROOM_USERS),
        "Who may talk to the agent in this room, in place of the connector's allowed_users.",
    ),
    Key::new("session_id", Shape::Text, "An existing session of the agent that the room goes on with."),
    Key::new("thread_sessions", Shape::Bool, "Every thread has a session of its own.").default("false"),
    Key::new("context_inject_files", Shape::PathList, CONTEXT).default("[]"),
    Key::new("online_notification", Shape::Text, "Posted when the watcher starts; null = nothing."),
    Key::new("offline_notification", Shape::Text, "Posted when the gateway stops; null = nothing."),
    Key::new(
        "budget",
        Shape::Section(BUDGET),
        "What all turns in the room may use up in a day; with rooms or room \"*\" those of each room.",
    ),
    Key::new(
        "history_handoff",
        Shape::Section(HISTORY_HANDOFF),
        "Give a new session the room's last messages.",
    ),
];

static ROOM_USERS: &[Key] = &[
    Key::new(OWNERS, Shape::TextList, "Login names of those who may do everything and approve.")
        .default("[]"),
    Key::new(GUESTS, Shape::TextList, "Login names of those who may ask.").default("[]"),
];

static HISTORY_HANDOFF: &[Key] = &[
    Key::new("enabled", Shape::Bool, "Whether to.").not_yet(),
    Key::new("fetch_count", COUNT, "How many messages.").default("50"),
    Key::new("verbatim_tail", COUNT, "How many of them in full length.").default("15"),
];

/// A type that is known and checked, but has no factory.
#[derive(Debug)]
pub(crate) struct Unserved {
    pub(crate) name: &'static str,
    pub(crate) keys: &'static [Key],
}

/// Connectors that are known and not served.
pub(crate) static CONNECTORS_UNSERVED: &[Unserved] = &[
    Unserved {
        name: "mattermost",
        keys: &[
            Key::new("server", Shape::Section(MATTERMOST_SERVER), "The server and the account.").required()
        ],
    },
    Unserved {
        name: "voice",
        keys: &[
            Key::new("port", Shape::Int { min: 0, max: 65_535 }, "Port to listen on.").default("8765"),
            Key::new("host", Shape::Text, "Address to listen on.").default("0.0.0.0"),
            Key::new("secret", Shape::Secret, "What callers must present."),
            Key::new("timeout", Shape::Duration, "Longest wait of a caller.").default("45"),
        ],
    },
    Unserved { name: "script", keys: &[] },
];

static MATTERMOST_SERVER: &[Key] = &[
    Key::new("url", Shape::Text, "The server's address.").required(),
    Key::new("team", Shape::Text, "The team.").required(),
    Key::new("token", Shape::Secret, "A token, instead of username and password."),
    Key::new("username", Shape::Text, "The account's login name."),
    Key::new("password", Shape::Secret, "The account's password."),
];

/// Agents that are known and not served.
pub(crate) static AGENTS_UNSERVED: &[Unserved] = &[Unserved {
    name: "opencode",
    keys: &[
        Key::new("command", Shape::Text, "The program.").default("opencode"),
        Key::new("new_session_args", Shape::TextList, "Arguments of its serve command.").default("[]"),
    ],
}];

/// Keys that were removed: known, so that they are told only once.
pub(crate) static REMOVED_KEYS: &[Key] = &[
    Key::new("connector_defaults", Shape::Any, "Removed."),
    Key::new("agent_defaults", Shape::Any, "Removed."),
    Key::new("watcher_defaults", Shape::Any, "Removed."),
];

/// Keys that were removed, and what replaces them.
pub(crate) static REMOVED: &[(&str, &str)] = &[
    ("connector_defaults", "connector_templates"),
    ("agent_defaults", "agent_templates"),
    ("watcher_defaults", "watcher_templates"),
];
