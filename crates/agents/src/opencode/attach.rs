//! A prompt as the parts that OpenCode takes: its text, pictures with their bytes, other files by their address.
//!
//! The server reads a file that is named by its address without a question, so only files of the prompt are named.

use std::path::PathBuf;

use acg_core::agent::{Prompt, PromptFile};
use data_encoding::BASE64;
use serde_json::{Value, json};

use crate::kit::file_url::file_url;

/// Largest picture that is sent with its bytes.
const MAX_IMAGE: u64 = 8 * 1024 * 1024;

/// The parts of a prompt. Blocks on the disk.
pub(crate) fn parts(prompt: &Prompt) -> Vec<Value> {
    let mut left = Vec::new();
    let mut parts = Vec::new();
    for file in &prompt.files {
        match part(file) {
            Some(part) => parts.push(part),
            None => left.push(file.clone()),
        }
    }
    // A file of another kind is named, to be read with a tool.
    let text = Prompt { text: prompt.text.clone(), files: left }.text_naming_files();
    parts.insert(0, json!({"type": "text", "text": text}));
    parts
}

/// For a process that has no tools: the text of a prompt, and the files that it reads by itself. What it could not read
/// is named, so that the model can say so. Blocks on the disk.
pub(crate) fn given(prompt: &Prompt) -> (String, Vec<PathBuf>) {
    let (mut text, mut files) = (prompt.text.clone(), Vec::new());
    for file in &prompt.files {
        if form(file).is_some() {
            files.push(file.path.clone());
        } else {
            let name: String = shown(&file.name).chars().filter(|c| !matches!(c, '[' | ']')).collect();
            text.push_str("\n[Attached: ");
            text.push_str(&name);
            text.push_str(" — it cannot be read now]");
        }
    }
    (text, files)
}

/// How the program takes a file.
enum Form {
    Bytes,
    Address,
}

/// `None`: it does not.
fn form(file: &PromptFile) -> Option<Form> {
    let media = file.media_type.as_str();
    let size = std::fs::metadata(&file.path).ok().filter(std::fs::Metadata::is_file)?.len();
    if matches!(media, "image/png" | "image/jpeg" | "image/gif" | "image/webp" | "application/pdf")
        && size <= MAX_IMAGE
    {
        return Some(Form::Bytes);
    }
    let is_text = media.starts_with("text/") || matches!(media, "application/json" | "application/xml");
    is_text.then_some(Form::Address)
}

fn shown(name: &str) -> String {
    name.chars().filter(|c| !c.is_control()).take(200).collect()
}

fn part(file: &PromptFile) -> Option<Value> {
    let (name, media) = (shown(&file.name), file.media_type.as_str());
    match form(file)? {
        Form::Bytes => {
            let bytes = std::fs::read(&file.path).ok()?;
            let url = format!("data:{media};base64,{}", BASE64.encode(&bytes));
            Some(json!({"type": "file", "mime": media, "filename": name, "url": url}))
        }
        Form::Address => Some(
            json!({"type": "file", "mime": "text/plain", "filename": name, "url": file_url(&file.path)?}),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_written_as_the_standard_says() {
        for (bytes, text) in [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg==")]
        {
            assert_eq!(BASE64.encode(bytes.as_bytes()), text);
        }
        assert_eq!(BASE64.encode(&[0xff, 0xfe, 0xfd]), "//79");
    }

    #[test]
    fn each_kind_of_file_has_its_part() {
        let dir = tempfile::tempdir().unwrap();
        let file = |name: &str, media: &str| {
            let path = dir.path().join(name);
            acg_types::fs::write_private(&path, b"abc").unwrap();
            PromptFile { path, name: name.into(), media_type: media.into() }
        };
        let files = vec![
            file("a.png", "image/png"),
            file("b.txt", "text/plain"),
            file("c.zip", "application/zip"),
            PromptFile { path: "/nowhere".into(), name: "d".into(), media_type: "image/png".into() },
        ];
        let prompt = Prompt { text: "look".into(), files };
        let (text, read) = given(&prompt);
        assert_eq!(read, [dir.path().join("a.png"), dir.path().join("b.txt")]);
        assert!(text.starts_with("look\n[Attached: c.zip") && text.contains("[Attached: d "), "{text}");
        let parts = parts(&prompt);
        assert_eq!(parts.len(), 3);
        let text = parts[0]["text"].as_str().unwrap();
        assert!(text.starts_with("look\n[Attached: c.zip") && text.contains("[Attached: d "), "{text}");
        assert_eq!(parts[1]["url"], "data:image/png;base64,YWJj");
        assert!(parts[2]["url"].as_str().unwrap().ends_with("/b.txt"));
    }
}
