//! What a room reads about posts that came late, or perhaps twice. Pure.

/// The line in place of answers that were not posted.
pub(super) fn expired(count: u64) -> String {
    let (what, they) = match count {
        1 => ("One answer was".to_owned(), "it was"),
        _ => (format!("{count} answers were"), "they were"),
    };
    format!(
        "⚠️ {what} not posted here: the room could not be reached for so long that {they} too old. \
         Ask again what still matters."
    )
}

/// A part of which nobody knows whether it arrived, as it is posted for the second time: one part, or two where the
/// mark leaves too little room.
pub(super) fn again(text: &str, longest: usize) -> Vec<String> {
    crate::chunk::split(&format!("{MARK}\n{text}"), longest)
}

const MARK: &str = "(sent again: it is not known whether the first copy arrived)";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_in_the_room() {
        insta::assert_snapshot!(
            [expired(1), expired(37), again("the answer", 4000).join("|")].join("\n"),
            @r"
            ⚠️ One answer was not posted here: the room could not be reached for so long that it was too old. Ask again what still matters.
            ⚠️ 37 answers were not posted here: the room could not be reached for so long that they were too old. Ask again what still matters.
            (sent again: it is not known whether the first copy arrived)
            the answer
            "
        );
    }

    #[test]
    fn a_marked_copy_fits_and_loses_nothing() {
        let text = "word ".repeat(799) + "end";
        let parts = again(&text, 4000);
        assert_eq!(parts.len(), 2);
        assert!(parts[0].starts_with(MARK) && parts.iter().all(|part| part.len() <= 4000));
        let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(words(&parts.join(" ")), words(&format!("{MARK} {text}")));
    }
}
