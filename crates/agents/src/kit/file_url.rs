//! A file's path as a URL (RFC 8089).

use std::fmt::Write as _;
use std::path::Path;

/// `file://` with everything but plain letters escaped. `None` for a path that is no text.
pub(crate) fn file_url(path: &Path) -> Option<String> {
    let mut url = String::from("file://");
    for byte in path.to_str()?.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'/' | b'-' | b'_' | b'.' | b'~') {
            url.push(char::from(byte));
        } else {
            write!(url, "%{byte:02X}").ok()?;
        }
    }
    Some(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_could_mean_something_else_is_escaped() {
        assert_eq!(file_url(Path::new("/a b/ü?#.txt")).unwrap(), "file:///a%20b/%C3%BC%3F%23.txt");
    }
}
