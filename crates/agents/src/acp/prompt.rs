//! A prompt as the blocks that the protocol knows: text, pictures with their bytes, small texts whole, links.
//!
//! Reading the files is apart from laying out the blocks, which is pure. A file that is not taken is named in the text.

use std::collections::HashMap;
use std::path::PathBuf;

use acg_core::agent::{Prompt, PromptFile};

use crate::kit::file_url::file_url;

/// Largest picture that is sent with its bytes.
const MAX_IMAGE: u64 = 8 * 1024 * 1024;
/// Largest text that goes along whole.
const MAX_TEXT: u64 = 256 * 1024;
/// Most bytes of files that go along with one prompt.
const MAX_ALL: u64 = 24 * 1024 * 1024;

/// One part of a prompt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Block {
    Text(String),
    /// `data` in base64.
    Image {
        media: String,
        data: String,
    },
    File {
        uri: String,
        media: String,
        text: String,
    },
    Link {
        name: String,
        uri: String,
        media: String,
    },
}

/// A file's content, read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Loaded {
    /// In base64.
    Image(String),
    Text(String),
}

/// What the program takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Takes {
    pub(crate) images: bool,
    pub(crate) texts: bool,
    /// Texts stand in the prompt's own, and nothing is linked.
    pub(crate) inline: bool,
}

fn is_image(file: &PromptFile) -> bool {
    matches!(file.media_type.as_str(), "image/png" | "image/jpeg" | "image/gif" | "image/webp")
}

fn is_text(file: &PromptFile) -> bool {
    file.media_type.starts_with("text/")
        || matches!(file.media_type.as_str(), "application/json" | "application/xml")
}

/// Reads the files of a prompt that may go along with their content. Blocks on the disk.
pub(crate) fn load(prompt: &Prompt) -> HashMap<PathBuf, Loaded> {
    let mut left = MAX_ALL;
    let mut loaded = HashMap::new();
    for file in &prompt.files {
        let max = if is_image(file) { MAX_IMAGE } else { MAX_TEXT }.min(left);
        let size = std::fs::metadata(&file.path).ok().filter(std::fs::Metadata::is_file).map(|it| it.len());
        let Some(size) = size.filter(|size| *size <= max && (is_image(file) || is_text(file))) else {
            continue;
        };
        let Ok(bytes) = std::fs::read(&file.path) else { continue };
        left = left.saturating_sub(size);
        if is_image(file) {
            loaded.insert(file.path.clone(), Loaded::Image(data_encoding::BASE64.encode(&bytes)));
        } else if let Ok(text) = String::from_utf8(bytes) {
            loaded.insert(file.path.clone(), Loaded::Text(text));
        }
    }
    loaded
}

/// The blocks of a prompt. The text comes last: it speaks of the rest.
pub(crate) fn blocks(prompt: &Prompt, mut loaded: HashMap<PathBuf, Loaded>, takes: Takes) -> Vec<Block> {
    let (mut blocks, mut named, mut inline) = (Vec::new(), Vec::new(), String::new());
    for file in &prompt.files {
        let uri = file_url(&file.path);
        let media = file.media_type.clone();
        match (loaded.remove(&file.path), uri) {
            (Some(Loaded::Image(data)), _) if takes.images => {
                blocks.push(Block::Image { media, data });
            }
            (Some(Loaded::Text(text)), _) if takes.inline => {
                let name = plain(&file.name).replace(['[', ']'], "_");
                inline.extend(["\n\n[Attached: ", &name, "]"]);
                // Set off: nothing in it can stand where a line of the gateway's would.
                for line in text.lines() {
                    inline.extend(["\n  ", line]);
                }
                inline.push_str("\n[End of the attached file]");
            }
            (Some(Loaded::Text(text)), Some(uri)) if takes.texts => {
                blocks.push(Block::File { uri, media, text });
            }
            (_, Some(uri)) if !is_image(file) && !takes.inline => {
                // Every program takes a link; not every one reads it, so the file is named too.
                blocks.push(Block::Link { name: plain(&file.name), uri, media });
                named.push(file.clone());
            }
            _ => named.push(file.clone()),
        }
    }
    let text = Prompt { text: prompt.text.clone(), files: named }.text_naming_files() + &inline;
    blocks.push(Block::Text(text));
    blocks
}

fn plain(name: &str) -> String {
    name.chars().filter(|c| !c.is_control()).take(200).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_file_has_its_block() {
        let dir = tempfile::tempdir().unwrap();
        let file = |name: &str, media: &str, content: &[u8]| {
            let path = dir.path().join(name);
            acg_types::fs::write_private(&path, content).unwrap();
            PromptFile { path, name: name.into(), media_type: media.into() }
        };
        let files = vec![
            file("a.png", "image/png", b"abc"),
            file("b ü.txt", "text/plain", b"some text"),
            file("c.zip", "application/zip", b"PK"),
            file("d.txt", "text/plain", &[0xff, 0xfe]),
            PromptFile { path: "/nowhere".into(), name: "e".into(), media_type: "image/png".into() },
        ];
        let prompt = Prompt { text: "look".into(), files };
        let shown = |takes| {
            let all: Vec<String> = blocks(&prompt, load(&prompt), takes)
                .into_iter()
                .map(|block| match block {
                    Block::Text(text) => format!("text {}", text.replace(dir.path().to_str().unwrap(), "")),
                    Block::Image { media, data } => format!("image {media} {data}"),
                    Block::File { uri, media, text } => {
                        format!("file {} {media} {text}", uri.replace(dir.path().to_str().unwrap(), ""))
                    }
                    Block::Link { name, uri, media } => {
                        format!("link {name} {} {media}", uri.replace(dir.path().to_str().unwrap(), ""))
                    }
                })
                .collect();
            all.join("\n")
        };
        insta::assert_snapshot!(shown(Takes { images: true, texts: true, inline: false }));
        insta::assert_snapshot!(shown(Takes::default()));
        insta::assert_snapshot!(shown(Takes { images: true, texts: true, inline: true }), @r"
        image image/png YWJj
        text look
        [Attached: c.zip → /c.zip — use the Read tool to view it]
        [Attached: d.txt → /d.txt — use the Read tool to view it]
        [Attached: e → /nowhere — use the Read tool to view it]

        [Attached: b ü.txt]
          some text
        [End of the attached file]
        ");
    }
}
