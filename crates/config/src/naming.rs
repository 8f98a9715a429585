//! Names of watchers that are made, not given.

/// The name of a watcher by the rule of the 0.5 dialect: `<connector>-<room>`, where in the room `@alice` becomes
/// `dm-alice`, every run of characters outside `[A-Za-z0-9._-]` (and of `-`) one `-`, and the ends lose `-` and `.`.
/// Sessions of the Python program are found again by this name. A room of which nothing is left counts as `room`.
pub fn watcher_name(connector: &str, room: &str) -> String {
    let room = room_part(room);
    format!("{connector}-{}", if room.is_empty() { "room" } else { &room })
}

/// What the rule makes of a room; empty if nothing is left.
pub(crate) fn room_part(room: &str) -> String {
    let room = room.strip_prefix('@').map_or_else(|| room.to_owned(), |user| format!("dm-{user}"));
    let mut part = String::with_capacity(room.len());
    for character in room.chars() {
        match character {
            'A'..='Z' | 'a'..='z' | '0'..='9' | '.' | '_' => part.push(character),
            _ if part.ends_with('-') => {}
            _ => part.push('-'),
        }
    }
    part.trim_matches(['-', '.']).to_owned()
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
            ("my rc", "a--b", "my rc-a-b"),
            ("rc", "büro.", "rc-b-ro"),
            ("rc", "…", "rc-room"),
            ("rc", "@…", "rc-dm"),
            ("rc", "#general", "rc-general"),
        ] {
            assert_eq!(watcher_name(connector, room), expected, "{connector} {room}");
        }
    }
}
