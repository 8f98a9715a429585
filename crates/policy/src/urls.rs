//! Whether a web address is written so that a rule on its text is a rule on where it leads.
//!
//! Owns refusing the spellings that browsers and fetchers correct before they go there. Must never correct one
//! itself: what the rule saw is what is fetched.

/// Longest address in bytes.
const MAX_URL: usize = 8 * 1024;

/// Checks an address; the error is a part of a sentence.
pub(crate) fn check(url: &str) -> Result<(), &'static str> {
    if url.len() > MAX_URL {
        return Err("the address is too long");
    }
    if url.chars().any(|character| {
        character == '\\' || character.is_whitespace() || acg_types::text::is_hidden(character)
    }) {
        return Err("the address has a blank, a backslash or a hidden character in it");
    }
    let lower = url.to_ascii_lowercase();
    let Some(rest) = lower.strip_prefix("https://").or_else(|| lower.strip_prefix("http://")) else {
        return Err("the address does not begin with https:// or http://");
    };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, after) = rest.split_at(end);
    if authority.contains('@') {
        return Err("the address has a user name in it");
    }
    if authority.is_empty() || !is_host(authority) {
        return Err("the address has no plain host name");
    }
    if !after.is_empty() && !after.starts_with('/') {
        return Err("the address has no '/' after the host name");
    }
    let path = after.split(['?', '#']).next().unwrap_or_default().replace("%2e", ".");
    if path.split('/').any(|part| part == "." || part == "..") {
        return Err("the path of the address has '.' or '..' in it");
    }
    Ok(())
}

/// `name`, `name:port`, `[::1]:port`.
fn is_host(authority: &str) -> bool {
    let (host, port) = if let Some(inner) = authority.strip_prefix('[') {
        let Some((host, port)) = inner.split_once(']') else { return false };
        if !host.bytes().all(|byte| byte.is_ascii_hexdigit() || b":.".contains(&byte)) {
            return false;
        }
        (host, port)
    } else {
        let (host, port) = authority.split_at(authority.find(':').unwrap_or(authority.len()));
        if !host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte)) {
            return false;
        }
        (host, port)
    };
    let port = port.strip_prefix(':').unwrap_or(if port.is_empty() { "0" } else { "x" });
    !host.is_empty() && !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_that_lead_elsewhere_than_they_read_are_refused() {
        for url in [
            "https://evil.example\\.docs.example/",
            "https://evil.example?.docs.example/",
            "https://evil.example#.docs.example/",
            "https://docs.example@evil.example/",
            "https://docs.example:443@evil.example/",
            "https://docs.example:x/",
            "https://docs.example:/",
            "https://docs.example/public/../private",
            "https://docs.example/public/%2E%2e/private",
            "https://docs.example/public/.%2e",
            "https://docs.example/\tx",
            " https://docs.example/",
            "https:docs.example/",
            "https:///docs.example/",
            "https://",
            "https://[::1",
            "https://[x]/",
            "https://dоcs.example/",
            "https://docs.example/\u{202e}x",
            "file:///etc/passwd",
            "",
        ] {
            assert!(check(url).is_err(), "{url}");
        }
    }

    #[test]
    fn ordinary_addresses_are_not() {
        for url in [
            "https://docs.rs/serde",
            "HTTP://Docs.RS",
            "https://docs.example:8443/a/b?c=..&d=/../#e?",
            "http://[::1]:80/x",
            "https://docs.example/a..b/.well-known/x",
            "https://docs.example/ä",
        ] {
            assert_eq!(check(url), Ok(()), "{url}");
        }
    }
}
