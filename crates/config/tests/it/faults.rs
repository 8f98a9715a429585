//! What is told about faulty files.

use insta::assert_snapshot;

use crate::kit::{Place, with, with_agent, with_connector};

fn check(text: &str) -> String {
    Place::new().check(text)
}

#[test]
fn a_valid_file_says_nothing() {
    assert_eq!(check(&with("watchers:\n- room: general\n")), "");
}

#[test]
fn an_empty_file() {
    assert_snapshot!(check(""), @r#"
    error: config.yaml:1: connectors: config.yaml must define at least one connector under 'connectors:'
    error: config.yaml:1: agents: config.yaml must define at least one agent under 'agents:'
    "#);
}

#[test]
fn not_a_mapping() {
    assert_snapshot!(check("- a\n- b\n"), @"error: config.yaml:1: Config file 'config.yaml' must contain a YAML mapping at the top level, got list.");
}

#[test]
fn broken_yaml() {
    assert_snapshot!(check("connectors:\n  - name: rc\n\ttype: x\n"), @"error: config.yaml:2: not valid YAML: while scanning a plain scalar, found a tab");
    assert_snapshot!(check("a: [1, 2\nb: 3\n"), @"error: config.yaml:2: not valid YAML: illegal placement of ':' indicator");
    assert_snapshot!(check("a: *nothing\n"), @"error: config.yaml:1: not valid YAML: while parsing node, found unknown anchor");
}

#[test]
fn wrong_shapes_at_the_top() {
    assert_snapshot!(check("connectors: {a: 1}\nagents: [x]\nwatchers: 5\n"), @r#"
    error: config.yaml:1: connectors: config.yaml 'connectors:' must be a list (got dict).
    error: config.yaml:2: agents: config.yaml 'agents:' must be a mapping (got list). Expected a dict of agent names to config blocks.
    error: config.yaml:3: watchers: config.yaml 'watchers:' must be a list (got int).
    "#);
    assert_snapshot!(check("connectors: [x]\nagents: {a: 5}\n"), @r#"
    error: config.yaml:1: connectors[0]: Connector entry at index 0 must be a mapping (got str).
    error: config.yaml:2: agents.a: Agent 'a' config must be a mapping (got int).
    "#);
    assert_snapshot!(check(&with("watchers: [x]\n")), @"error: config.yaml:9: watchers[0]: Watcher entry at index 0 must be a mapping (got str).");
}

#[test]
fn every_fault_at_once() {
    assert_snapshot!(check("\
dialect: 0.5
max_queue_depth: -1
max_concurrent_turns: 0
drain_timeout: soon
interrupted: resum
default_agent: bb
connectors:
- name: rc
  type: rocketchat
  server:
    ulr: http://x
    url: [a]
  allowed_users:
    owners: ['*', '', alice]
  require_mention: maybe
  timezone: Europe/Berln
- name: rc
  type: rocketchta
- type: rocketchat
agents:
  a:
    type: claude
    working_directory: nowhere
    timeout: 100
    permissions: {enabled: true}
    owner_allowed_tools: [{tool: '('}, {toll: x}, readonly, 5]
    command: claude --resume
    max_processes: 65
  b: {}
watchers:
- room: general
  connector: cr
  agent: c
- rooms: []
- {}
"), @r#"
    error: config.yaml:2: max_queue_depth: 'max_queue_depth' must be >= 0.
    error: config.yaml:3: max_concurrent_turns: 'max_concurrent_turns' must be between 1 and 1000 (got 0).
    error: config.yaml:4: drain_timeout: 'drain_timeout' must be a number of seconds, or a text such as 90s, 5m or 2h (got str).
    error: config.yaml:5: interrupted: 'interrupted' must be one of resume, ask, drop (got 'resum'); did you mean 'resume'?
    error: config.yaml:6: default_agent: default_agent 'bb' not found in agents: ['a', 'b']; did you mean 'b'?
    error: config.yaml:12: connectors[0].server.url: 'url' must be a string (got list).
    error: config.yaml:14: connectors[0].allowed_users.owners[0]: '*' is a pattern; roles are only given to single user names; for guests of any name set 'filter_sender: false'
    error: config.yaml:14: connectors[0].allowed_users.owners[1]: a user name must not be empty.
    error: config.yaml:15: connectors[0].require_mention: 'require_mention' must be a boolean (got str).
    error: config.yaml:16: connectors[0].timezone: unknown time zone 'Europe/Berln'; use an IANA name such as Europe/Berlin
    error: config.yaml:17: connectors[1].name: Duplicate connector name 'rc' found. Each connector must use a unique name.
    error: config.yaml:18: connectors[1].type: Unknown connector type: 'rocketchta' (supported: 'rocketchat', 'mattermost', 'voice', 'script'); did you mean 'rocketchat'?
    error: config.yaml:19: connectors[2].name: Each connector entry must have a 'name' field
    error: config.yaml:23: agents.a.working_directory: Agent 'a': working_directory does not exist or is not a directory: 'nowhere'
    error: config.yaml:26: agents.a.owner_allowed_tools[0].tool: Agent 'a': invalid tool rule at index 0 in owner_allowed_tools: Invalid regex for 'tool' field '(': Parsing error at position 1: Opening parenthesis without closing parenthesis
    error: config.yaml:26: agents.a.owner_allowed_tools[1]: Agent 'a': invalid tool rule at index 1 in owner_allowed_tools: Invalid tool rule: no 'tool'. Expected a dict with a 'tool' key.
    error: config.yaml:26: agents.a.owner_allowed_tools[2]: Agent 'a': unknown tool preset 'readonly' in owner_allowed_tools[2]. Available presets: none
    error: config.yaml:26: agents.a.owner_allowed_tools[3]: Agent 'a': unknown tool preset '5' in owner_allowed_tools[3]. Available presets: none
    error: config.yaml:27: agents.a.command: 'command' must be a program without arguments; use new_session_args
    error: config.yaml:28: agents.a.max_processes: 'max_processes' must be between 1 and 64 (got 65).
    error: config.yaml:29: agents.b.type: Agent 'b': type is required (directly or via an inherits: agent_templates entry). Set it to 'claude' or 'opencode'.
    error: config.yaml:29: agents.b.working_directory: Agent 'b': working_directory is required. Set it to the directory where the agent should run.
    error: config.yaml:32: watchers[0].connector: Watcher entry at index 0 references unknown connector 'cr'; did you mean 'rc'?
    error: config.yaml:33: watchers[0].agent: Watcher entry at index 0 references unknown agent 'c'
    error: config.yaml:34: watchers[1].rooms: 'rooms' must be a non-empty list of room names.
    error: config.yaml:35: watchers[2].room: Watcher entry at index 2 must have a non-empty 'room' or 'rooms' field
    warning: config.yaml:11: connectors[0].server.ulr: unknown key; did you mean 'url'?
    warning: config.yaml:24: agents.a.timeout: Agent 'a': timeout (100s) is not greater than permissions.timeout (300s). Time spent waiting for a person does not count against timeout.
    warning: config.yaml:26: agents.a.owner_allowed_tools[1].toll: unknown key; did you mean 'tool'?
    "#);
}

#[test]
fn unknown_keys_are_warnings_with_the_nearest_known_key() {
    assert_snapshot!(check(&with("max_queue_dept: 5\nzzz: 1\nwatchers:\n- room: x\n  sesion_id: 5\n")), @r#"
    warning: config.yaml:9: max_queue_dept: unknown key; did you mean 'max_queue_depth'?
    warning: config.yaml:10: zzz: unknown key
    warning: config.yaml:13: watchers[0].sesion_id: unknown key; did you mean 'session_id'?
    "#);
    assert_snapshot!(check(&with_connector("server:\n  url: x\n  passwrod: y\n  password_evn: X")), @r#"
    warning: config.yaml:6: connectors[0].server.passwrod: unknown key; did you mean 'password'?
    warning: config.yaml:7: connectors[0].server.password_evn: unknown key; did you mean 'password_env'?
    "#);
    assert_snapshot!(check(&with_agent("permisions: {}\nowner_allowed_tools:\n- {tool: x, parms: y}")), @r#"
    warning: config.yaml:9: agents.a.permisions: unknown key; did you mean 'permissions'?
    warning: config.yaml:11: agents.a.owner_allowed_tools[0].parms: unknown key; did you mean 'params'?
    "#);
}

#[test]
fn types_of_values() {
    assert_snapshot!(check(&with("max_queue_depth: '5'\n")), @"error: config.yaml:9: max_queue_depth: 'max_queue_depth' must be an integer (got str).");
    assert_snapshot!(check(&with("max_queue_depth: true\n")), @"error: config.yaml:9: max_queue_depth: 'max_queue_depth' must be an integer (got bool).");
    assert_snapshot!(check(&with_agent("timeout: 5x\nsession_prefix: [a]\ncontext_inject_files: x\nenv: [a]")), @r#"
    error: config.yaml:9: agents.a.timeout: 'timeout' must be a number of seconds, or a text such as 90s, 5m or 2h (got str).
    error: config.yaml:10: agents.a.session_prefix: 'session_prefix' must be a string (got list).
    error: config.yaml:11: agents.a.context_inject_files: 'context_inject_files' must be a list (got str).
    error: config.yaml:12: agents.a.env: 'env' must be a mapping (got list).
    "#);
    assert_snapshot!(check(&with_agent("context_inject_files: [x, [y], null]\nlazy_instruction_loading: 5")), @r#"
    error: config.yaml:9: agents.a.context_inject_files[1]: 'context_inject_files[1]' must be a string (got list).
    error: config.yaml:9: agents.a.context_inject_files[2]: 'context_inject_files[2]' must be a string (got NoneType).
    error: config.yaml:10: agents.a.lazy_instruction_loading: 'lazy_instruction_loading' must be a boolean (got int).
    "#);
}

#[test]
fn duplicate_keys_and_names() {
    assert_snapshot!(check("connectors: []\nagents: {}\nconnectors: []\n"), @"error: config.yaml:3: the key 'connectors' is there twice (first on line 1)");
    assert_snapshot!(check(&with("watchers:\n- {room: a, name: w}\n- {room: b, name: w}\n- {room: a, name: v}\n")), @r#"
    error: config.yaml:11: watchers[1]: Duplicate watcher name 'w' found (first on line 10). Each watcher must use a unique name; set an explicit 'name:' to disambiguate
    error: config.yaml:12: watchers[2]: watchers 'w' (line 10) and 'v' both stand for room 'a' on connector 'rc' with agent 'a': every message would be answered twice.
    "#);
    assert_snapshot!(check(&with("watchers:\n- {room: a b}\n- {room: a-b}\n")), @"error: config.yaml:11: watchers[1]: Duplicate watcher name 'rc-a-b' found (first on line 10). Each watcher must use a unique name; set an explicit 'name:' to disambiguate");
    assert_snapshot!(check(&with("watchers:\n- {room: a, session_id: s}\n- {room: b, session_id: s}\n")), @"error: config.yaml:11: watchers[1].session_id: Duplicate sticky session_id 's' found across watchers (first on line 10). Each watcher must use a unique session_id.");
    assert_snapshot!(check(&with("watchers:\n- {room: '*'}\n- {room: '*', name: other}\n")), @"error: config.yaml:11: watchers[1]: watchers 'rc' (line 10) and 'other' both stand for room '*' on connector 'rc' with agent 'a': every message would be answered twice.");
}

#[test]
fn rooms_of_watchers() {
    assert_snapshot!(check(&with("watchers:\n- {room: a, rooms: [b]}\n- rooms: []\n- rooms: [a, a, '*']\n")), @r#"
    error: config.yaml:10: watchers[0].rooms: set either 'room' or 'rooms', not both.
    error: config.yaml:11: watchers[1].rooms: 'rooms' must be a non-empty list of room names.
    error: config.yaml:12: watchers[2].rooms[1]: 'rooms' has the room 'a' twice.
    error: config.yaml:12: watchers[2].rooms[2]: '*' must stand alone, as 'room: "*"'.
    "#);
    assert_snapshot!(check(&with("watchers:\n- {rooms: [a, b], name: w, session_id: s}\n")), @r#"
    error: config.yaml:10: watchers[0].name: 'name' can only be set when there is exactly one room (found 2 in 'rooms') — remove 'name' or split into single-room entries.
    error: config.yaml:10: watchers[0].session_id: 'session_id' can only be set when there is exactly one room (found 2 in 'rooms') — remove 'session_id' or split into single-room entries.
    "#);
    assert_snapshot!(check(&with("watchers:\n- {room: '*', session_id: s}\n- {room: a, exclude_rooms: [b]}\n")), @r#"
    error: config.yaml:10: watchers[0].session_id: one session cannot be shared by all rooms ('room: "*"').
    error: config.yaml:11: watchers[1].exclude_rooms: 'exclude_rooms' needs 'room: "*"'.
    "#);
    assert_snapshot!(check(&with("watchers:\n- {room: a, name: x/y}\n- {room: …, connector: rc}\n- {room: ''}\n")), @r#"
    error: config.yaml:10: watchers[0]: Watcher name 'x/y' must not contain '/'.
    error: config.yaml:11: watchers[1]: Could not derive a safe watcher name from room '…' — set an explicit 'name:' for this entry.
    error: config.yaml:12: watchers[2].room: Watcher entry at index 2 must have a non-empty 'room' or 'rooms' field
    "#);
}

#[test]
fn templates() {
    assert_snapshot!(check(&with("\
connector_templates: {t: {name: x, inherits: y}, u: 5}
agent_templates: [a]
watcher_templates: {w: {room: x, agent: a}}
watchers:
- {room: a, inherits: v}
- {room: b, inherits: ''}
- {room: c, inherits: w}
")), @r#"
    error: config.yaml:9: connector_templates.t.name: connector_templates['t'] must not set ['name'] — these fields identify an individual entry and must be set per-entry, not inherited.
    error: config.yaml:9: connector_templates.t.inherits: connector_templates['t'] must not set 'inherits' — templates cannot inherit from another template (no nested templates).
    error: config.yaml:9: connector_templates.u: connector_templates['u'] must be a mapping (got int).
    error: config.yaml:10: agent_templates: config.yaml 'agent_templates:' must be a mapping (got list).
    error: config.yaml:11: watcher_templates.w.room: watcher_templates['w'] must not set ['room'] — these fields identify an individual entry and must be set per-entry, not inherited.
    error: config.yaml:13: watchers[0].inherits: unknown watcher_templates 'v'. Available templates: w
    error: config.yaml:14: watchers[1].inherits: 'inherits' must be a non-empty string: the name of a template.
    "#);
    assert_snapshot!(check("\
connector_templates: {chat: {type: mattermost}}
connectors:
- {name: rc, type: rocketchat, inherits: chat}
agents: {a: {type: claude, working_directory: work, inherits: chat}}
"), @r#"
    error: config.yaml:3: connectors[0].type: type 'rocketchat' contradicts type 'mattermost' of the template 'chat'.
    error: config.yaml:4: agents.a.inherits: unknown agent_templates 'chat'. Available templates: none
    "#);
    assert_snapshot!(check(&with("connector_defaults: {}\n")), @"error: config.yaml:9: connector_defaults: config.yaml 'connector_defaults:' is no longer supported (removed) — define shared fields under 'connector_templates:' instead and add 'inherits: <template-name>' to the entries.");
}

#[test]
fn a_fault_in_a_template_points_into_it_once() {
    assert_snapshot!(check("\
agent_templates:
  base:
    type: claude
    working_directory: work
    timeuot: 5
connectors: [{name: rc, type: rocketchat}]
agents:
  a: {inherits: base}
  b: {inherits: base}
"), @"warning: config.yaml:5: agents.a.timeuot: unknown key; did you mean 'timeout'?");
}

#[test]
fn presets() {
    assert_snapshot!(check(&with_agent("\
owner_allowed_tools: [read, raed]
guest_allowed_tools: read\ntool_presets:").replace("    tool_presets:", "tool_presets: {read: [{tool: '['}, other], x: 5}")), @r#"
    error: config.yaml:9: agents.a.owner_allowed_tools[1]: Agent 'a': unknown tool preset 'raed' in owner_allowed_tools[1]. Available presets: read, x; did you mean 'read'?
    error: config.yaml:10: agents.a.guest_allowed_tools: Agent 'a': 'guest_allowed_tools' must be a list (got str).
    error: config.yaml:11: tool_presets.read[0].tool: Tool preset 'read': invalid tool rule at index 0 in read: Invalid regex for 'tool' field '[': Parsing error at position 1: Invalid character class
    error: config.yaml:11: tool_presets.read[1]: Tool preset 'read': presets cannot reference another preset ('other' at index 1) — a preset must be a flat list of inline tool rules.
    error: config.yaml:11: tool_presets.x: Tool preset 'x': 'x' must be a list (got int).
    "#);
}

#[test]
fn types_not_served_are_checked_and_named_once() {
    assert_snapshot!(check("\
connectors:
- name: mm
  type: mattermost
  server: {url: http://x, team: t, token: secret-a, username: u, prot: 1}
- name: v
  type: voice
  port: 70000
- name: rc
  type: rocketchat
agents:
  o: {type: opencode, working_directory: work, comand: x}
"), @r#"
    error: config.yaml:4: connectors[0].server.token: configure either 'token' or 'username'+'password', not both.
    error: config.yaml:7: connectors[1].port: 'port' must be between 0 and 65535 (got 70000).
    warning: config.yaml:4: connectors[0].server.prot: unknown key
    warning: config.yaml:11: agents.o.comand: unknown key; did you mean 'command'?
    "#);
    assert_snapshot!(check("\
scheduler: {completed_job_ttl_days: 3}
connectors:
- name: v
  type: voice
- name: rc
  type: rocketchat
  attachments: {max_file_size_mb: 5}
  agent_chain: {agent_usernames: [bot], max_turns: 3}
- name: rc2
  type: rocketchat
  agent_chain: {agent_usernames: [], max_turns: 3}
agents:
  c: {type: claude, working_directory: work, lazy_instruction_loading: true}
  o: {type: opencode, working_directory: work}
watchers:
- {room: a}
- {room: a, connector: rc, history_handoff: {enabled: true}}
- {room: b, connector: rc, agent: o, history_handoff: {enabled: false}}
"), @r#"
    not yet: scheduler: not served yet
    not yet: connectors[0]: type 'voice' is not served yet
    not yet: connectors[1].attachments: not served yet
    not yet: connectors[1].agent_chain.agent_usernames: not served yet
    not yet: agents.c.lazy_instruction_loading: not served yet
    not yet: agents.o: type 'opencode' is not served yet
    not yet: watchers[0]: watcher 'v-a' waits for connector 'v'
    not yet: watchers[1].history_handoff.enabled: not served yet
    not yet: watchers[2]: watcher 'rc-b' waits for agent 'o'
    "#);
}

#[test]
fn control_characters_do_not_reach_the_terminal() {
    let told = check("connectors: [{name: \"a\\e[2Jb\", type: \"x\\ny\"}]\nagents: {}\n");
    assert!(!told.contains('\u{1b}'), "{told:?}");
    assert_snapshot!(told, @r#"
    error: config.yaml:1: connectors[0].name: a name must not have control characters in it.
    error: config.yaml:1: connectors[0].type: Unknown connector type: 'x\ny' (supported: 'rocketchat', 'mattermost', 'voice', 'script')
    error: config.yaml:2: agents: config.yaml must define at least one agent under 'agents:'
    "#);
}
