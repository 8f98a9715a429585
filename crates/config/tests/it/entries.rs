//! What valid files become.

use std::time::Duration;

use acg_config::{Backfill, Collect, Interrupted, Limits, RateLimit, Resend, WatchedRoom};
use acg_types::Role;

use crate::kit::{Place, Program, with, with_agent, with_connector};

/// Those of `allowed_users` with this role.
fn names<'c>(connector: &'c acg_config::ConnectorConfig, role: &Role) -> Vec<&'c str> {
    connector.people.iter().filter(|person| person.role == *role).map(|person| &*person.username).collect()
}

#[test]
fn defaults() {
    let place = Place::new();
    let config = place.config(&with("watchers: [{room: general}]\n"));
    assert_eq!(config.source, place.path().join("config.yaml"));
    assert_eq!((config.limits.max_queue_depth, config.limits.max_concurrent_turns), (100, 8));
    assert_eq!(config.limits.drain_timeout, Duration::from_secs(30));
    assert_eq!(config.limits.interrupted, Interrupted::Resume);
    let connector = &config.connectors[0];
    assert!(
        connector.served
            && connector.filter_sender
            && connector.require_mention
            && !connector.reply_in_thread
    );
    let agent = &config.agents[0];
    assert_eq!(agent.working_directory, place.path().join("work"));
    assert_eq!((agent.session_prefix.as_str(), agent.timeout), ("agent-chat", Duration::from_mins(6)));
    assert_eq!(agent.permissions.timeout, Duration::from_mins(5));
    let watcher = &config.watchers[0];
    assert_eq!(watcher.name.as_str(), "rc-general");
    assert_eq!((watcher.connector.as_str(), watcher.agent.as_str()), ("rc", "a"));
    assert_eq!(watcher.room, WatchedRoom::Named("general".into()));
    assert_eq!(config.not_yet, Vec::<String>::new());
}

#[test]
fn texts_stay_as_they_are_written() {
    let config = Place::new().config(&with_connector(
        "server: {url: x}\nallowed_users: {owners: [no, 0123, 1.50, ~x], guests: ['null']}",
    ));
    assert_eq!(names(&config.connectors[0], &Role::owner()), ["no", "0123", "1.50", "~x"]);
    assert_eq!(names(&config.connectors[0], &Role::guest()), ["null"]);
}

#[test]
fn booleans_are_those_of_pyyaml() {
    let config =
        Place::new().config(&with_connector("server: {url: x}\nrequire_mention: Off\nreply_in_thread: YES"));
    assert!(!config.connectors[0].require_mention && config.connectors[0].reply_in_thread);
}

#[test]
fn durations() {
    for (text, expected) in [
        ("90", 90_000),
        ("1.5", 1500),
        ("90s", 90_000),
        ("'5m'", 300_000),
        ("2h", 7_200_000),
        ("250ms", 250),
        ("1:30", 90_000),
    ] {
        let config = Place::new().config(&with(&format!("drain_timeout: {text}\n")));
        assert_eq!(config.limits.drain_timeout, Duration::from_millis(expected), "{text}");
    }
}

#[test]
fn sizes_have_a_unit() {
    for (text, expected) in [("2GB", 2 << 30), ("512 mb", 512 << 20), ("1.5GiB", 3 << 29)] {
        let config = Place::new().config(&with_agent(&format!("max_agent_memory: {text}\nwarm: 3")));
        let life = config.agents[0].life;
        assert_eq!((life.max_memory, life.warm), (Some(expected), 3), "{text}");
    }
    assert_eq!(Place::new().config(&with_agent("")).agents[0].life, acg_config::Life::default());
    for (text, expected) in [
        ("max_agent_memory: 2000", "a size with its unit, such as 500MB or 2GB"),
        ("max_agent_memory: -1GB", "a size with its unit, such as 500MB or 2GB"),
        ("max_agent_memory: 2 apples", "a size with its unit, such as 500MB or 2GB"),
        ("max_agent_memory: 1MB", "'max_agent_memory' must be at least 64MB."),
        ("warm: 101", "'warm' must be at most 100."),
    ] {
        let found = Place::new().check(&with_agent(text));
        assert!(found.contains(expected), "{text}: {found}");
    }
}

#[test]
fn paths_start_at_the_file_or_at_home() {
    let place = Place::new();
    let config = place.config(&with_agent("context_inject_files: [a.md, ./b.md, ~/c.md, /d.md, '~']"));
    let root = place.path();
    let expected = [root.join("a.md"), root.join("b.md"), root.join("c.md"), "/d.md".into(), root.to_owned()];
    assert_eq!(config.agents[0].context_files, expected);
}

#[test]
fn templates_merge_deeply_and_null_suppresses() {
    let config = Place::new().config(
        "\
connector_templates:
  chat:
    type: rocketchat
    description: shared
    server: {url: http://shared, username: bot}
    allowed_users: {owners: [alice], guests: [bob]}
    timezone: UTC
connectors:
- name: a
  inherits: chat
- name: b
  inherits: chat
  server: {url: http://own}
  allowed_users: {owners: [carol]}
  timezone: null
agent_templates: {base: {type: claude, env: {A: '1', B: ''}}}
agents: {x: {inherits: base, working_directory: work, command: other, env: {A: '2'}}}
watcher_templates: {w: {agent: x, online_notification: hi}}
watchers:
- {inherits: w, connector: b, rooms: [one, '@alice'], offline_notification: bye}
",
    );
    let [a, b] = &config.connectors[..] else { panic!("two connectors") };
    assert_eq!(names(a, &Role::owner()), ["alice"]);
    assert_eq!(names(a, &Role::guest()), ["bob"]);
    assert_eq!(names(b, &Role::owner()), ["carol"]);
    assert_eq!(names(b, &Role::guest()), ["bob"]);
    assert_eq!((a.timezone.as_deref(), b.timezone.as_deref()), (Some("UTC"), None));
    let program: &Program = config.agents[0].settings.as_ref().unwrap().get().unwrap();
    assert_eq!(program.command.to_str(), Some("other"));
    assert_eq!(program.env, [("A".into(), "2".into()), ("B".into(), String::new())]);
    let names: Vec<&str> = config.watchers.iter().map(|watcher| watcher.name.as_str()).collect();
    assert_eq!(names, ["b-one", "b-dm-alice"]);
    assert_eq!(config.watchers[1].online_notification.as_deref(), Some("hi"));
    assert_eq!(config.watchers[1].offline_notification.as_deref(), Some("bye"));
}

#[test]
fn presets_and_rules_mix_in_order() {
    let text =
        with_agent("owner_allowed_tools: [readonly, {tool: Bash, params: ls}]\nguest_allowed_tools: []")
            + "tool_presets:\n  readonly: [{tool: Read}, {tool: Glob}]\n";
    let config = Place::new().config(&text);
    let rules = &config.agents[0].policies;
    assert_eq!(acg_policy::tool_names(&rules[&Role::owner()].rules), ["Read", "Glob", "Bash"]);
    assert_eq!(rules[&Role::owner()].rules[2].params(), Some("ls"));
    assert!(rules[&Role::guest()].rules.is_empty());
}

#[test]
fn anchors_and_merge_keys() {
    let config = Place::new().config(
        "\
connectors: [&c {name: a, type: rocketchat, server: {url: x}, reply_in_thread: yes}, {<<: *c, name: b}]
agents: {a: {type: claude, working_directory: work}}
watchers: []
",
    );
    assert!(config.connectors[1].reply_in_thread);
    assert_eq!(config.connectors[1].name.as_str(), "b");
}

#[test]
fn every_room_and_default_agent() {
    let text = with(
        "  b: {type: claude, working_directory: work}\ndefault_agent: b\nwatchers:\n- {room: '*', exclude_rooms: [x], thread_sessions: true}\n- {room: x, agent: a}\n",
    );
    let config = Place::new().config(&text);
    assert_eq!(config.watchers[0].name.as_str(), "rc");
    assert_eq!(config.watchers[0].room, WatchedRoom::All { exclude: vec!["x".into()] });
    assert!(config.watchers[0].thread_sessions);
    assert_eq!((config.watchers[0].agent.as_str(), config.watchers[1].agent.as_str()), ("b", "a"));
}

#[test]
fn two_agents_may_share_a_room() {
    let text = with(
        "  b: {type: claude, working_directory: work}\nwatchers:\n- {room: x}\n- {room: x, agent: b, name: second}\n",
    );
    assert_eq!(Place::new().check(&text), "");
}

#[test]
fn the_file_itself_is_read() {
    let place = Place::new().file("config.yaml", &with(""));
    let kinds = crate::kit::kinds();
    let request =
        |path| acg_config::LoadRequest { path, text: None, env: &|_| None, kinds: &kinds, home_dir: None };
    let path = place.path().join("config.yaml");
    assert!(acg_config::load(request(&path)).config.is_some());
    let missing = place.path().join("nothing.yaml");
    let loaded = acg_config::load(request(&missing));
    assert_eq!(loaded.errors[0].message, "cannot read the configuration: there is no such file");
    let directory = acg_config::load(request(place.path()));
    assert_eq!(directory.errors[0].message, "cannot read the configuration: it is not a regular file");
}

#[test]
fn limits_of_the_whole_gateway_are_read_and_zero_is_none() {
    let limits = |text: &str| Place::new().config(&with(text)).limits;
    assert_eq!(limits(""), Limits::default());
    let set = limits(
        "max_turns_per_room: 0\nrate_limit: {messages: 3, per: 10s}\ncollect_max: {messages: 2, characters: 9}\n\
         backfill: {max_age: 1h, max_messages: 7}\nreply_expires: 2h\nresend: never\nretention_days: 5\n",
    );
    assert_eq!(set.max_turns_per_room, 0);
    assert_eq!(set.rate_limit, Some(RateLimit { messages: 3, per: Duration::from_secs(10) }));
    assert_eq!(set.collect, Some(Collect { messages: 2, characters: 9 }));
    let backfill = Backfill { max_age: Some(Duration::from_hours(1)), max_messages: Some(7) };
    assert_eq!((set.backfill, set.reply_expires), (backfill, Some(Duration::from_hours(2))));
    assert_eq!((set.resend, set.retention_days), (Resend::Never, Some(5)));
    let none = limits(
        "collect: false\nbackfill: {max_age: 0, max_messages: 0}\nreply_expires: 0\nretention_days: 0\n",
    );
    assert_eq!((none.collect, none.reply_expires, none.retention_days), (None, None, None));
    assert_eq!(none.backfill, Backfill { max_age: None, max_messages: None });
    assert_eq!(limits("rate_limit: {}\n").rate_limit.map(|limit| limit.messages), Some(20));
}
