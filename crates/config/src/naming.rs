//! Names of watchers that are made, not given.

/// The name of a watcher by the rule of the 0.5 dialect: `<connector>-<room>`, `@alice` as `dm-alice`, every run of
/// characters outside `[A-Za-z0-9._-]` (and of `-`) as one `-`, without `-` and `.` at the ends.
pub fn watcher_name(connector: &str, room: &str) -> String {
    let room = room.strip_prefix('@').map_or_else(|| room.to_owned(), |user| format!("dm-{user}"));
    let mut name = String::with_capacity(connector.len() + room.len() + 1);
    for character in format!("{connector}-{room}").chars() {
        match character {
            'A'..='Z' | 'a'..='z' | '0'..='9' | '.' | '_' => name.push(character),
            _ if name.ends_with('-') => {}
            _ => name.push('-'),
        }
    }
    name.trim_matches(['-', '.']).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_the_rule() {
        for (connector, room, expected) in [
            ("rc", "general", "rc-general"),
            ("rc", "@alice", "rc-dm-alice"),
            ("rc", "Ops / on call", "rc-Ops-on-call"),
            ("my rc", "a--b", "my-rc-a-b"),
            ("rc", "büro.", "rc-b-ro"),
            ("rc", "…", "rc"),
            ("", "", ""),
        ] {
            assert_eq!(watcher_name(connector, room), expected, "{connector} {room}");
        }
    }
}
