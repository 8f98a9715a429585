//! Reading secrets: literal, or from the environment, a file, or systemd's credentials.
//!
//! Must never put a value into a message.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use secrecy::{ExposeSecret as _, SecretString};

use crate::diagnostic::DiagnosticKind;
use crate::section::{Section, absolute};

/// Largest secret in bytes.
const MAX_SECRET: u64 = 64 * 1024;
/// The other ways to give a secret, by the end of the key's name.
pub(crate) const SUFFIXES: [&str; 3] = ["_env", "_file", "_credential"];

pub(crate) fn read(section: &Section<'_>, key: &str) -> Option<SecretString> {
    let names: Vec<String> = std::iter::once(key.to_owned())
        .chain(SUFFIXES.iter().map(|suffix| format!("{key}{suffix}")))
        .filter(|name| section.has(name))
        .collect();
    let name = names.first()?;
    if names.len() > 1 {
        let message = format!("only one of {} may be set.", names.join(", "));
        section.context.error(
            section.at_value(name),
            &section.key_path(name),
            DiagnosticKind::Value,
            message,
        );
        return None;
    }
    let text = section.str(name)?;
    let value = match name.strip_prefix(key) {
        Some("_env") => from_env(section, name, &text)?,
        Some("_file") => from_file(section, name, &absolute(section.context, &text))?,
        Some("_credential") => from_file(section, name, &credential(section, name, &text)?)?,
        _ => SecretString::from(text),
    };
    if value.expose_secret().is_empty() {
        return None;
    }
    section.context.secret(&value);
    Some(value)
}

fn from_env(section: &Section<'_>, name: &str, variable: &str) -> Option<SecretString> {
    // Names only: a value put here by mistake is not to be seen.
    if !is_variable(variable) {
        section.error(name, &format!("'{name}' must be the name of an environment variable."), None);
        return None;
    }
    let value = section.context.env(variable);
    if value.is_none() {
        section.context.error_help(
            section.at_value(name),
            &section.key_path(name),
            DiagnosticKind::Environment,
            format!("the environment variable {variable} is not set."),
            Some("set it for the gateway, or name another".to_owned()),
        );
    }
    value.map(SecretString::from)
}

fn is_variable(text: &str) -> bool {
    text.len() <= 128
        && text.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
        && text.chars().all(|character| character.is_ascii_alphanumeric() || character == '_')
}

fn credential(section: &Section<'_>, name: &str, text: &str) -> Option<PathBuf> {
    if text.is_empty() || text.contains(['/', '\0']) || text == "." || text == ".." {
        section.error(name, &format!("'{name}' must be the name of a systemd credential."), None);
        return None;
    }
    let Some(directory) = section.context.process_env("CREDENTIALS_DIRECTORY") else {
        section.context.error_help(
            section.at_value(name),
            &section.key_path(name),
            DiagnosticKind::Environment,
            "the environment variable CREDENTIALS_DIRECTORY is not set.",
            Some("run the gateway as a systemd service with LoadCredential=".to_owned()),
        );
        return None;
    };
    Some(Path::new(&directory).join(text))
}

fn from_file(section: &Section<'_>, name: &str, path: &Path) -> Option<SecretString> {
    match read_limited(path, MAX_SECRET) {
        Ok(text) => Some(SecretString::from(text.trim_end_matches(['\n', '\r']).to_owned())),
        Err(reason) => {
            section.context.error(
                section.at_value(name),
                &section.key_path(name),
                DiagnosticKind::Unreadable,
                format!("cannot read the secret from {}: {reason}.", path.display()),
            );
            None
        }
    }
}

/// A whole regular file as text, if it is not larger than `limit` bytes.
pub(crate) fn read_limited(path: &Path, limit: u64) -> Result<String, String> {
    // Opening a pipe would wait for its writer.
    let metadata = std::fs::metadata(path).map_err(|error| reason(&error))?;
    if !metadata.is_file() {
        return Err("it is not a regular file".into());
    }
    let file = std::fs::File::open(path).map_err(|error| reason(&error))?;
    let mut bytes = Vec::new();
    file.take(limit + 1).read_to_end(&mut bytes).map_err(|error| reason(&error))?;
    if bytes.len() as u64 > limit {
        return Err(format!("it is larger than {limit} bytes"));
    }
    String::from_utf8(bytes).map_err(|error| {
        let valid = error.utf8_error().valid_up_to();
        let line = error.as_bytes()[..valid].split(|byte| *byte == b'\n').count();
        format!("it is not valid UTF-8 (line {line})")
    })
}

fn reason(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::NotFound => "there is no such file".into(),
        kind => kind.to_string(),
    }
}

/// Whether a key's name says that its value is secret, where no table of keys is at hand.
pub(crate) fn sounds_secret(key: &str) -> bool {
    let last = key.rsplit('.').next().unwrap_or(key).to_lowercase();
    ["password", "secret", "token", "key"].iter().any(|word| last.contains(word))
}
