//! Keeps secrets, and characters that could forge a line or steer a terminal, out of the log.
//!
//! The last step before the bytes are written, so that no caller can forget it.

use std::borrow::Cow;

use secrecy::{ExposeSecret, SecretString};

const REPLACEMENT: &str = "[redacted]";
/// Shorter secrets would garble ordinary words, and so tell themselves.
const SHORTEST: usize = 4;

/// Knows the secrets of the configuration, in each form that a formatter may give them.
pub(super) struct Redactor {
    forms: Vec<SecretString>,
}

impl std::fmt::Debug for Redactor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Redactor({} forms)", self.forms.len())
    }
}

impl Redactor {
    pub(super) fn new(secrets: &[SecretString]) -> Self {
        let mut forms: Vec<String> = Vec::new();
        for secret in
            secrets.iter().map(ExposeSecret::expose_secret).filter(|secret| secret.len() >= SHORTEST)
        {
            let debug = format!("{secret:?}");
            let json = serde_json::to_string(secret).unwrap_or_default();
            // A debug form inside a JSON line is escaped twice.
            let both = serde_json::to_string(inner(&debug)).unwrap_or_default();
            let percent = percent(secret);
            for form in [secret, inner(&debug), inner(&json), inner(&both), &percent] {
                if !form.is_empty() && !forms.iter().any(|known| known == form) {
                    forms.push(form.to_owned());
                }
            }
        }
        // One secret may be part of another.
        forms.sort_by_key(|form| std::cmp::Reverse(form.len()));
        Self { forms: forms.into_iter().map(SecretString::from).collect() }
    }

    /// One event: without secrets, and one line whatever is in it.
    pub(super) fn clean<'a>(&self, event: &'a [u8]) -> Cow<'a, [u8]> {
        let text = String::from_utf8_lossy(event);
        let mut text = text;
        for form in &self.forms {
            let form = form.expose_secret();
            if text.contains(form) {
                text = Cow::Owned(text.replace(form, REPLACEMENT));
            }
        }
        let body = text.strip_suffix('\n').unwrap_or(&text);
        if body.chars().any(harmful) {
            let mut line = String::with_capacity(text.len() + 16);
            for character in body.chars() {
                if harmful(character) {
                    line.extend(character.escape_default());
                } else {
                    line.push(character);
                }
            }
            line.push('\n');
            return Cow::Owned(line.into_bytes());
        }
        match text {
            Cow::Borrowed(_) => Cow::Borrowed(event),
            Cow::Owned(text) => Cow::Owned(text.into_bytes()),
        }
    }
}

/// The formatter writes colours with ESC, and escapes those of others itself.
fn harmful(character: char) -> bool {
    character.is_control() && character != '\u{1b}' && character != '\t'
}

fn inner(quoted: &str) -> &str {
    quoted.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(quoted)
}

/// As in a URL.
fn percent(text: &str) -> String {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~".contains(byte);
    text.bytes()
        .map(|byte| if plain(&byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clean(secrets: &[&str], text: &str) -> String {
        let secrets: Vec<_> = secrets.iter().map(|secret| SecretString::from(*secret)).collect();
        String::from_utf8(Redactor::new(&secrets).clean(text.as_bytes()).into_owned()).unwrap()
    }

    #[test]
    fn every_form_of_a_secret_goes() {
        let secrets = ["pa ss\"word", "pa ss\"word longer"];
        assert_eq!(clean(&secrets, "pa ss\"word\n"), "[redacted]\n");
        assert_eq!(clean(&secrets, "pa ss\"word longer\n"), "[redacted]\n");
        assert_eq!(clean(&secrets, "pa ss\\\"word\n"), "[redacted]\n");
        assert_eq!(clean(&secrets, "?p=pa%20ss%22word&x\n"), "?p=[redacted]&x\n");
        assert_eq!(clean(&["abc"], "abc abc\n"), "abc abc\n");
    }

    #[test]
    fn ordinary_lines_are_not_copied() {
        let redactor = Redactor::new(&[SecretString::from("secret")]);
        assert!(matches!(redactor.clean(b"an ordinary line\n"), Cow::Borrowed(_)));
    }
}
