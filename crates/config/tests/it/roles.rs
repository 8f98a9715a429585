//! Roles, who has them, and what they may do.

use std::time::Duration;

use acg_config::{BaseRole, Config, Confinement, SessionScope};
use acg_policy::Otherwise;
use acg_types::Role;
use insta::assert_snapshot;

use crate::kit::{Place, with, with_agent, with_connector};

fn check(text: &str) -> String {
    Place::new().check(text)
}

const ROLES: &str = "\
roles:
  owner: {may_approve: false}
  guest: {limits: {max_waiting: 3}, allowed_tools: [{tool: Read}]}
  lead: {inherits: owner, may_approve: true}
  ops: {inherits: lead, allowed_tools: [{tool: Bash, params: 'systemctl status .*'}], limits: {timeout: 10m}}
  visitor: {description: people of other teams, may_ask: true, limits: {max_waiting: 1}}
  nobody: null
";

/// The sources of a role's rules with the first agent.
fn rules(config: &Config, role: &str) -> Vec<String> {
    config.agents[0].policies[&Role::new(role)].rules.iter().map(ToString::to_string).collect()
}

fn otherwise(config: &Config, role: &str) -> (Otherwise, bool) {
    let policy = &config.agents[0].policies[&Role::new(role)];
    (policy.otherwise, policy.everything)
}

#[test]
fn the_two_roles_are_always_there() {
    let config = Place::new().config(&with(""));
    assert_eq!(config.roles.len(), 2);
    let (owner, guest) = (&config.roles[&Role::owner()], &config.roles[&Role::guest()]);
    assert_eq!((owner.base, owner.may_approve), (BaseRole::Owner, true));
    assert_eq!((guest.base, guest.may_approve), (BaseRole::Guest, false));
    assert_eq!(config.agents[0].policies.len(), 2);
    assert_eq!(config.agents[0].policies[&Role::guest()].name, "guest");
}

#[test]
fn what_a_role_does_not_say_is_inherited() {
    let config = Place::new().config(&(with("") + ROLES));
    let role = |name: &str| config.roles[&Role::new(name)].clone();
    assert!(!role("owner").may_approve && role("lead").may_approve && role("ops").may_approve);
    assert_eq!((role("ops").base, role("visitor").base), (BaseRole::Owner, BaseRole::Guest));
    assert_eq!((role("ops").timeout, role("lead").timeout), (Some(Duration::from_mins(10)), None));
    let waiting = ["guest", "visitor", "nobody", "ops"].map(|name| role(name).max_waiting);
    assert_eq!(waiting, [Some(3), Some(1), Some(3), None]);
}

#[test]
fn rules_add_up_along_what_is_inherited() {
    let text = with_agent(
        "owner_allowed_tools: [{tool: Grep}]\nguest_allowed_tools: [{tool: Glob}]\n\
         role_allowed_tools: {ops: [{tool: LS}], visitor: [looking], guest: [{tool: WebSearch}]}",
    ) + ROLES
        + "tool_presets: {looking: [{tool: WebFetch}]}\n";
    let config = Place::new().config(&text);
    let ops = ["tool: LS", "tool: Bash, params: systemctl status .*", "tool: Grep"];
    assert_eq!(rules(&config, "ops"), ops);
    assert_eq!(rules(&config, "lead"), ["tool: Grep"]);
    assert_eq!(rules(&config, "owner"), ["tool: Grep"]);
    let guest = ["tool: Glob", "tool: WebSearch", "tool: Read"];
    assert_eq!(rules(&config, "guest"), guest);
    assert_eq!(rules(&config, "nobody"), guest);
    assert_eq!(rules(&config, "visitor"), ["tool: WebFetch", "tool: Glob", "tool: WebSearch", "tool: Read"]);
}

#[test]
fn what_becomes_of_the_rest() {
    let strict = "  strict: {inherits: owner, may_ask: false}\n";
    let config = |permissions: &str| {
        Place::new().config(&(with_agent(&format!("permissions: {permissions}")) + ROLES + strict))
    };
    let roles = ["owner", "ops", "strict", "guest", "visitor", "nobody"];
    let all = |config: &Config| roles.map(|role| otherwise(config, role));
    let (deny, ask, own) =
        ((Otherwise::Deny, false), (Otherwise::Ask, false), (Otherwise::OwnSettings, false));
    assert_eq!(all(&config("{}")), [own, own, deny, deny, deny, deny]);
    assert_eq!(
        all(&config("{skip_owner_approval: true, enabled: false}")),
        [own, own, deny, deny, deny, deny]
    );
    assert_eq!(all(&config("{enabled: true}")), [ask, ask, deny, deny, ask, deny]);
    let skip = (Otherwise::Ask, true);
    let config = config("{enabled: true, skip_owner_approval: true}");
    assert_eq!(all(&config), [skip, skip, deny, deny, ask, deny]);
    assert_eq!(config.agents[0].session_scope, SessionScope::Role);
}

#[test]
fn keys_of_agents() {
    let place = Place::new();
    let agent = place.config(&with("")).agents.remove(0);
    assert_eq!((agent.session_scope, agent.confinement), (SessionScope::Room, Confinement::Guests));
    assert!(!agent.guest_inherits && agent.confine_read.is_empty() && agent.confine_write.is_empty());
    assert_eq!(agent.permissions.hold, Duration::from_mins(2));
    let text = with_agent(
        "session_scope: room\nguest_inherits: true\nconfinement: off\nconfine_read: [~/a, /b]\nconfine_write: [c]\n\
         permissions: {enabled: true, timeout: 1h, skip_owner_approval: true, hold: 30s, four_eyes: true, \
         approval_room: approvals}\ntimeout: 2h",
    );
    assert_eq!(place.check(&text), "");
    let agent = place.config(&text).agents.remove(0);
    assert_eq!((agent.session_scope, agent.confinement), (SessionScope::Room, Confinement::Off));
    assert_eq!(agent.confine_read, [place.path().join("a"), "/b".into()]);
    assert_eq!(agent.confine_write, [place.path().join("c")]);
    let permissions = agent.permissions;
    assert_eq!((permissions.timeout, permissions.hold), (Duration::from_hours(1), Duration::from_secs(30)));
    assert!(agent.guest_inherits && permissions.four_eyes);
    assert_eq!(permissions.approval_room.as_deref(), Some("approvals"));
}

#[test]
fn people_of_connectors_and_rooms() {
    let text = with_connector(
        "server: {url: x}\nallowed_users: {ops: [olga, olga], guests: [gil, ann], owners: [ann]}",
    ) + ROLES
        + "watchers:\n- {room: a, allowed_users: {guests: [ann]}}\n- {room: b}\n- {room: c, allowed_users: {}}\n\
           - {room: d, allowed_users: null}\n";
    let config = Place::new().config(&text);
    let told = |people: &[acg_config::Person]| {
        people.iter().map(|person| format!("{} {}", person.username, person.role)).collect::<Vec<_>>()
    };
    assert_eq!(told(&config.connectors[0].people), ["ann owner", "gil guest", "olga ops"]);
    let rooms: Vec<_> = config.watchers.iter().map(|watcher| watcher.people.as_deref().map(told)).collect();
    assert_eq!(rooms, [Some(vec!["ann guest".to_owned()]), None, Some(vec![]), None]);
}

#[test]
fn faults_of_roles() {
    assert_snapshot!(check(&(with("") + "\
roles:
  owners: {}
  Ops: {}
  9to5: {}
  a: {inherits: b}
  b: {inherits: c}
  c: {inherits: a}
  d: {inherits: c}
  e: {inherits: e}
  f: {inherits: ownr}
  owner: {inherits: guest, may_aprove: true}
  g: {allowed_tools: [{tool: '['}, unknown], limits: {timeout: 0, max_waiting: 0, x: 1}}
  h: [x]
")), @"
    error: config.yaml:10: roles.owners: 'owners' cannot be the name of a role: in 'allowed_users' that is the list of owners or guests; the roles are 'owner' and 'guest'.
    error: config.yaml:11: roles.Ops: 'Ops' cannot be the name of a role: it must be a-z, 0-9, '_' and '-', begin with a letter, and have at most 40 characters.
    error: config.yaml:12: roles.9to5: '9to5' cannot be the name of a role: it must be a-z, 0-9, '_' and '-', begin with a letter, and have at most 40 characters.
    error: config.yaml:13: roles.a.inherits: Role 'a' inherits in a circle: a → b → c → a; let one of them inherit from owner or guest
    error: config.yaml:14: roles.b.inherits: Role 'b' inherits in a circle: b → c → a → b; let one of them inherit from owner or guest
    error: config.yaml:15: roles.c.inherits: Role 'c' inherits in a circle: c → a → b → c; let one of them inherit from owner or guest
    error: config.yaml:17: roles.e.inherits: Role 'e' inherits in a circle: e → e; let one of them inherit from owner or guest
    error: config.yaml:18: roles.f.inherits: Role 'f' inherits from unknown role 'ownr' (known: a, b, c, d, e, g, guest, h, owner); did you mean 'owner'?
    error: config.yaml:19: roles.owner.inherits: 'owner' is one of the two roles that inherit from no other.
    error: config.yaml:20: roles.g.allowed_tools[0].tool: Role 'g': invalid tool rule at index 0 in allowed_tools: Invalid regex for 'tool' field '[': Parsing error at position 1: Invalid character class
    error: config.yaml:20: roles.g.allowed_tools[1]: Role 'g': unknown tool preset 'unknown' in allowed_tools[1]. Available presets: none
    error: config.yaml:20: roles.g.limits.timeout: 'timeout' must be greater than 0.
    error: config.yaml:20: roles.g.limits.max_waiting: 'max_waiting' must be between 1 and 4294967295 (got 0).
    error: config.yaml:21: roles.h: 'h' must be a mapping (got list).
    warning: config.yaml:19: roles.owner.may_aprove: unknown key; did you mean 'may_approve'?
    warning: config.yaml:20: roles.g.limits.x: unknown key
    ");
    assert_snapshot!(check(&(with("") + "roles: [ops]\n")), @"error: config.yaml:9: roles: 'roles' must be a mapping (got list).");
}

#[test]
fn faults_of_people() {
    assert_snapshot!(check(&(with_connector("\
server: {url: x}
allowed_users:
  owner: [a]
  admins: [b]
  ops: [c, d]
  owners: [c]
  lead: [d, '*']
  guests: x") + ROLES)), @"
    error: config.yaml:6: connectors[0].allowed_users.owner: unknown role 'owner' (known here: owners, guests, lead, nobody, ops, visitor); did you mean 'owners'?
    error: config.yaml:7: connectors[0].allowed_users.admins: unknown role 'admins' (known here: owners, guests, lead, nobody, ops, visitor); define it under 'roles:'
    error: config.yaml:8: connectors[0].allowed_users.ops[0]: 'c' is listed under 'owners' and under 'ops'; a person has one role: remove the name from one of the lists
    error: config.yaml:10: connectors[0].allowed_users.lead[0]: 'd' is listed under 'ops' and under 'lead'; a person has one role: remove the name from one of the lists
    error: config.yaml:10: connectors[0].allowed_users.lead[1]: '*' is a pattern; roles are only given to single user names; for guests of any name set 'filter_sender: false'
    error: config.yaml:11: connectors[0].allowed_users.guests: 'guests' must be a list (got str).
    ");
    assert_snapshot!(check(&(with("watchers:\n- {room: x, allowed_users: {opps: [a], guests: [b], ops: [b]}}\n") + ROLES)), @"
    error: config.yaml:10: watchers[0].allowed_users.opps: unknown role 'opps' (known here: owners, guests, lead, nobody, ops, visitor); did you mean 'ops'?
    error: config.yaml:10: watchers[0].allowed_users.ops[0]: 'b' is listed under 'guests' and under 'ops'; a person has one role: remove the name from one of the lists
    ");
}

#[test]
fn faults_of_agents() {
    assert_snapshot!(check(&(with_agent("\
role_allowed_tools: {opps: [], ops: [{tool: '('}], lead: 5}
session_scope: rooms
confinement: guest
confine_read: x
permissions: {enabled: true, timeout: 0, hold: soon, approval_room: '*', four_eyes: 2}") + ROLES)), @"
    error: config.yaml:9: agents.a.role_allowed_tools.opps: Agent 'a': unknown role 'opps' in role_allowed_tools (known: guest, lead, nobody, ops, owner, visitor); did you mean 'ops'?
    error: config.yaml:9: agents.a.role_allowed_tools.ops[0].tool: Agent 'a': invalid tool rule at index 0 in ops: Invalid regex for 'tool' field '(': Parsing error at position 1: Opening parenthesis without closing parenthesis
    error: config.yaml:9: agents.a.role_allowed_tools.lead: Agent 'a': 'lead' must be a list (got int).
    error: config.yaml:10: agents.a.session_scope: 'session_scope' must be one of room, role (got 'rooms'); did you mean 'room'?
    error: config.yaml:11: agents.a.confinement: 'confinement' must be one of guests, all, off (got 'guest'); did you mean 'guests'?
    error: config.yaml:12: agents.a.confine_read: 'confine_read' must be a list (got str).
    error: config.yaml:13: agents.a.permissions.timeout: 'timeout' must be greater than 0.
    error: config.yaml:13: agents.a.permissions.hold: 'hold' must be a number of seconds, or a text such as 90s, 5m or 2h (got str).
    error: config.yaml:13: agents.a.permissions.approval_room: 'approval_room' must be the name of one room.
    error: config.yaml:13: agents.a.permissions.four_eyes: 'four_eyes' must be a boolean (got int).
    ");
    assert_snapshot!(check(&with_agent("role_allowed_tools: [x]\npermissions: {skip_owner_approval: true, four_eyes: true, approval_room: x}")), @"
    error: config.yaml:9: agents.a.role_allowed_tools: 'role_allowed_tools' must be a mapping (got list).
    warning: config.yaml:10: agents.a.permissions.skip_owner_approval: has no effect without 'permissions.enabled: true'
    warning: config.yaml:10: agents.a.permissions.four_eyes: has no effect without 'permissions.enabled: true'
    warning: config.yaml:10: agents.a.permissions.approval_room: has no effect without 'permissions.enabled: true'
    ");
}

#[test]
fn a_rule_that_allows_everything_to_guests_is_refused() {
    let text = with_agent(
        "\
guest_allowed_tools: [{tool: '.*'}, everything]
role_allowed_tools: {nobody: [{tool: Bash, params: '.+'}], ops: [{tool: '.*'}]}
owner_allowed_tools: [{tool: '.*'}, {tool: Bash}]",
    ) + ROLES
        + "  open: {allowed_tools: [{tool: Bash}, {tool: Bash, params: 'git log.*'}]}\n\
           tool_presets: {everything: [{tool: Bash, params: '.*'}]}\n";
    assert_snapshot!(check(&text), @"
    error: config.yaml:9: agents.a.guest_allowed_tools[0]: the rule 'tool: .*' allows guests any tool with any input; name the tools and parameters that they need, or say 'guests_may_do_anything: true' at the top of the file
    error: config.yaml:9: agents.a.guest_allowed_tools[1]: the rule 'tool: Bash, params: .*' allows guests any shell command; name the tools and parameters that they need, or say 'guests_may_do_anything: true' at the top of the file
    error: config.yaml:10: agents.a.role_allowed_tools.nobody[0]: the rule 'tool: Bash, params: .+' allows role 'nobody', which descends from guest, any shell command; name the tools and parameters that they need, or say 'guests_may_do_anything: true' at the top of the file
    error: config.yaml:19: roles.open.allowed_tools[0]: the rule 'tool: Bash' allows role 'open', which descends from guest, any shell command; name the tools and parameters that they need, or say 'guests_may_do_anything: true' at the top of the file
    ");
    assert_eq!(check(&(text + "guests_may_do_anything: true\n")), "");
}

#[test]
fn both_dialects_have_roles() {
    let text = with_agent("role_allowed_tools: {ops: [{tool: LS}]}\nsession_scope: role")
        + ROLES
        + "dialect: '0.1'\n";
    let config = Place::new().config(&text);
    assert_eq!(rules(&config, "ops")[0], "tool: LS");
}
