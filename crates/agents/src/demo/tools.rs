//! The demo agent's two tools. They run only what was allowed, in the working directory's terms.

use std::io::Read as _;
use std::path::Path;

use serde_json::Value;

/// Most bytes of a file that are read.
const MOST: u64 = 256 * 1024;

/// A tool, under the name that rules know it by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tool {
    Read,
    Write,
}

impl Tool {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Read => "Read",
            Self::Write => "Write",
        }
    }
}

/// Carries out a call. Small files only, so it does not matter that it blocks.
pub(crate) fn run(tool: Tool, input: &Value, directory: &Path) -> Result<String, String> {
    let path = input.get("file_path").and_then(Value::as_str).ok_or("there is no file_path")?;
    let path = directory.join(path);
    let failed = |error: std::io::Error| format!("{}: {error}", path.display());
    match tool {
        Tool::Read => {
            let file = std::fs::File::open(&path).map_err(failed)?;
            if !file.metadata().map_err(failed)?.is_file() {
                return Err(format!("{} is not a regular file", path.display()));
            }
            let mut bytes = Vec::new();
            file.take(MOST).read_to_end(&mut bytes).map_err(failed)?;
            Ok(String::from_utf8_lossy(&bytes).into_owned())
        }
        Tool::Write => {
            let content = input.get("content").and_then(Value::as_str).ok_or("there is no content")?;
            acg_types::fs::write_private(&path, content.as_bytes()).map_err(failed)?;
            Ok(String::new())
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_note_is_written_and_read_back() {
        let directory = tempfile::tempdir().unwrap();
        run(Tool::Write, &json!({"file_path": "n.txt", "content": "x\n"}), directory.path()).unwrap();
        assert_eq!(run(Tool::Read, &json!({"file_path": "n.txt"}), directory.path()).unwrap(), "x\n");
        assert!(run(Tool::Read, &json!({"file_path": "no"}), directory.path()).is_err());
        assert!(run(Tool::Read, &json!({"file_path": "."}), directory.path()).is_err());
        assert!(run(Tool::Write, &json!({"content": ""}), directory.path()).is_err());
    }
}
