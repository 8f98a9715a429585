//! Credentials kept between runs: one file per connector, 0600, in a directory of mode 0700.
//!
//! Owns the files' names and nothing of their content. Must never log what is in them.

use std::io;
use std::path::{Path, PathBuf};

use acg_types::ConnectorName;
use acg_types::fs::{create_private_dir, write_private};

/// Where one connector's credential lies.
#[derive(Clone, Debug)]
pub(crate) struct Vault {
    file: PathBuf,
}

impl Vault {
    pub(crate) fn new(directory: &Path, connector: &ConnectorName) -> Self {
        Self { file: directory.join(format!("{}.credential", file_name(connector.as_str()))) }
    }

    pub(crate) fn load(&self) -> io::Result<Option<String>> {
        match std::fs::read_to_string(&self.file) {
            Ok(text) => Ok(Some(text)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    pub(crate) fn save(&self, credential: Option<&str>) -> io::Result<()> {
        if let Some(text) = credential {
            if let Some(directory) = self.file.parent() {
                create_private_dir(directory)?;
            }
            return write_private(&self.file, text.as_bytes());
        }
        match std::fs::remove_file(&self.file) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}

/// A connector's name is a person's free text: everything but plain characters is written as `%XX`, so that no
/// name can leave the directory or meet another's file.
fn file_name(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_') {
            out.push(char::from(byte));
        } else {
            out.extend(['%', hex_digit(byte >> 4), hex_digit(byte & 15)]);
        }
    }
    out
}

fn hex_digit(value: u8) -> char {
    char::from_digit(u32::from(value), 16).unwrap_or('0').to_ascii_uppercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_leave_the_directory() {
        assert_eq!(file_name("rc-home"), "rc-home");
        assert_eq!(file_name("../x"), "%2E%2E%2Fx");
        assert_ne!(file_name("a b"), file_name("a%20b"));
    }

    #[test]
    fn a_credential_comes_back_and_can_be_forgotten() {
        let directory = tempfile::tempdir().unwrap();
        let vault = Vault::new(&directory.path().join("new"), &ConnectorName::from("rc"));
        assert_eq!(vault.load().unwrap(), None);
        vault.save(Some("secret")).unwrap();
        assert_eq!(vault.load().unwrap().as_deref(), Some("secret"));
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
            assert_eq!(mode(&vault.file), 0o600);
            assert_eq!(mode(vault.file.parent().unwrap()), 0o700);
        }
        vault.save(None).unwrap();
        vault.save(None).unwrap();
        assert_eq!(vault.load().unwrap(), None);
    }
}
