//! Which versions of the program are fit.

use super::NEEDED_VERSION;

/// Why a program of this version is not used, for people.
pub(crate) fn unfit(version: &str) -> Option<String> {
    (!is_new_enough(version)).then(|| {
        format!(
            "its version is {version:?}, and {NEEDED_VERSION} or newer is needed; install it with `npm install -g \
             opencode-ai`"
        )
    })
}

fn is_new_enough(version: &str) -> bool {
    let numbers = |version: &str| -> Option<Vec<u64>> {
        let plain = version.split(['-', '+']).next()?;
        plain.split('.').map(|part| part.parse().ok()).collect()
    };
    match (numbers(version), numbers(super::NEEDED_VERSION)) {
        (Some(found), Some(needed)) => found.len() == 3 && found >= needed,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_by_number() {
        for (version, fit) in [
            ("1.18.33", true),
            ("1.19.0", true),
            ("1.100.1", true),
            ("2.0.0-beta", true),
            ("1.18.9", false),
            ("local", false),
            ("", false),
        ] {
            assert_eq!(is_new_enough(version), fit, "{version}");
        }
    }
}
