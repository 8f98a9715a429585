//! What the server reads out of a message's text: mentions, links and the parsed form `md`.
//!
//! Of the markup only plain text, mentions and emoji are parsed: bold, code and the rest stay plain text here.

use serde_json::{Value, json};

use super::doc::Doc;

/// A piece of a line.
enum Piece<'a> {
    Plain(&'a str),
    User(&'a str),
    Channel(&'a str),
    Emoji(char),
}

fn is_name(letter: char) -> bool {
    letter.is_alphanumeric() || matches!(letter, '-' | '_' | '.')
}

fn is_emoji(letter: char) -> bool {
    matches!(u32::from(letter), 0x1F300..=0x1FAFF | 0x2600..=0x27BF)
}

fn pieces(line: &str) -> Vec<Piece<'_>> {
    let mut found = Vec::new();
    let mut plain_from = 0;
    let mut at = 0;
    while let Some(letter) = line[at..].chars().next() {
        let next = at + letter.len_utf8();
        let boundary = line[..at].chars().next_back().is_none_or(|before| !is_name(before));
        let name_end = line[next..].find(|l| !is_name(l)).map_or(line.len(), |n| next + n);
        let name = line[next..name_end].trim_end_matches('.');
        let piece = match letter {
            '@' if boundary && !name.is_empty() => Some((Piece::User(name), next + name.len())),
            '#' if boundary && !name.is_empty() => Some((Piece::Channel(name), next + name.len())),
            letter if is_emoji(letter) => Some((Piece::Emoji(letter), next)),
            _ => None,
        };
        if let Some((piece, end)) = piece {
            if plain_from < at {
                found.push(Piece::Plain(&line[plain_from..at]));
            }
            found.push(piece);
            at = end;
            plain_from = end;
        } else {
            at = next;
        }
    }
    if plain_from < line.len() {
        found.push(Piece::Plain(&line[plain_from..]));
    }
    found
}

/// The names after `@`, each once, in order.
pub(crate) fn mentioned(text: &str) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for piece in text.lines().flat_map(pieces) {
        if let Piece::User(name) = piece
            && !names.iter().any(|known| known == name)
        {
            names.push(name.to_owned());
        }
    }
    names
}

/// The names after `#`, each once, in order.
pub(crate) fn channels(text: &str) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for piece in text.lines().flat_map(pieces) {
        if let Piece::Channel(name) = piece
            && !names.iter().any(|known| known == name)
        {
            names.push(name.to_owned());
        }
    }
    names
}

/// The parsed form of a text; `None` for an empty one.
pub(crate) fn md(text: &str) -> Option<Value> {
    if text.is_empty() {
        return None;
    }
    let lines: Vec<Value> = text
        .split('\n')
        .map(|line| {
            if line.is_empty() {
                return json!({ "type": "LINE_BREAK" });
            }
            let value: Vec<Value> = pieces(line)
                .into_iter()
                .map(|piece| match piece {
                    Piece::Plain(text) => {
                        json!({ "type": "PLAIN_TEXT", "value": text.replace("\\\\", "\\") })
                    }
                    Piece::User(name) => {
                        json!({ "type": "MENTION_USER", "value": { "type": "PLAIN_TEXT", "value": name } })
                    }
                    Piece::Channel(name) => {
                        json!({ "type": "MENTION_CHANNEL", "value": { "type": "PLAIN_TEXT", "value": name } })
                    }
                    Piece::Emoji(letter) => json!({ "type": "EMOJI", "unicode": letter.to_string() }),
                })
                .collect();
            let only_emoji = value.len() <= 3 && value.iter().all(|piece| piece["type"] == "EMOJI");
            json!({ "type": if only_emoji { "BIG_EMOJI" } else { "PARAGRAPH" }, "value": value })
        })
        .collect();
    Some(Value::Array(lines))
}

/// The links of a text.
pub(crate) fn urls(text: &str) -> Vec<Value> {
    text.split_whitespace()
        .filter(|word| word.starts_with("http://") || word.starts_with("https://"))
        .map(|url| json!({ "url": url, "meta": {} }))
        .collect()
}

/// Puts `md` in, or takes it out for an empty text.
pub(crate) fn set_md(message: &mut Doc, text: &str) {
    if let Some(parsed) = md(text) {
        message.insert("md".into(), parsed);
    } else {
        message.remove("md");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mentions_end_at_the_name_and_need_a_boundary() {
        assert_eq!(mentioned("hello @bot_1, and @all. mail a@b.c @bot_1"), ["bot_1", "all"]);
        assert_eq!(channels("see #dev-1!"), ["dev-1"]);
    }

    #[test]
    fn the_parsed_form_is_that_of_the_recording() {
        let parsed = md("hello @b in").expect("not empty");
        assert_eq!(
            parsed,
            json!([{ "type": "PARAGRAPH", "value": [
                { "type": "PLAIN_TEXT", "value": "hello " },
                { "type": "MENTION_USER", "value": { "type": "PLAIN_TEXT", "value": "b" } },
                { "type": "PLAIN_TEXT", "value": " in" } ] }])
        );
        assert!(md("").is_none());
    }
}
