//! The programs that are known to speak the protocol: one line each, so that `type: goose` is enough.
//!
//! Owns names and commands only. Each command is from the program's own documentation or from the protocol's public
//! registry of agents; what could not be found there is not here. Those with `measured` were run against a mock model.

/// A program that is known.
#[derive(Debug)]
pub(crate) struct Preset {
    /// The word after `type:`.
    pub(crate) kind: &'static str,
    /// Its name for people.
    pub(crate) word: &'static str,
    pub(crate) command: &'static str,
    pub(crate) args: &'static [&'static str],
    /// Set unless the configuration says otherwise.
    pub(crate) env: &'static [(&'static str, &'static str)],
    /// The mode that it must be in, unless the configuration names another.
    pub(crate) mode: Option<&'static str>,
    /// Whether it reads and writes text files through us, if it wants to.
    pub(crate) files: bool,
    /// Whether it says what a turn has cost, as far as that is known.
    pub(crate) costs: bool,
    /// How to get it.
    pub(crate) install: &'static str,
    /// How to log in.
    pub(crate) login: &'static str,
}

/// Asks about every tool.
const OPENCODE_ASKS: &str = r#"{"permission":{"*":"ask"}}"#;

const fn preset(
    (kind, word): (&'static str, &'static str),
    (command, args): (&'static str, &'static [&'static str]),
    (install, login): (&'static str, &'static str),
) -> Preset {
    Preset { kind, word, command, args, env: &[], mode: None, files: true, costs: false, install, login }
}

/// Every preset, by name.
#[rustfmt::skip]
pub(crate) static PRESETS: &[Preset] = &[
    preset(("auggie", "Auggie"), ("auggie", &["--acp"]), ("npm install -g @augmentcode/auggie", "auggie login")),
    // Measured, 0.100.0. It does not ask about what Claude Code takes for harmless (`ls`, reading in the directory).
    Preset { files: false, ..preset(("claude-agent-acp", "the ACP adapter of Claude"), ("claude-agent-acp", &[]), ("npm install -g @agentclientprotocol/claude-agent-acp", "claude, then /login")) },
    preset(("cline", "Cline"), ("cline", &["--acp"]), ("npm install -g cline", "cline auth")),
    preset(("codebuddy", "CodeBuddy"), ("codebuddy", &["--acp"]), ("npm install -g @tencent-ai/codebuddy-code", "codebuddy, then /login")),
    // Measured, 2.6.0. By itself it begins in a mode in which a model answers its questions, and nobody else is asked.
    Preset { files: false, mode: Some("read-only"), env: &[("INITIAL_AGENT_MODE", "read-only")], ..preset(("codex-acp", "the ACP adapter of Codex"), ("codex-acp", &[]), ("npm install -g @agentclientprotocol/codex-acp", "codex login")) },
    preset(("copilot", "GitHub Copilot"), ("copilot", &["--acp", "--stdio"]), ("npm install -g @github/copilot", "copilot, then /login")),
    preset(("cursor", "Cursor"), ("cursor-agent", &["acp"]), ("see https://cursor.com/docs/cli/acp", "cursor-agent login")),
    preset(("goose", "goose"), ("goose", &["acp"]), ("see https://block.github.io/goose/", "goose configure")),
    preset(("junie", "Junie"), ("junie", &["--acp=true"]), ("see https://junie.jetbrains.com", "junie")),
    preset(("kimi", "Kimi"), ("kimi", &["acp"]), ("see https://moonshotai.github.io/kimi-cli/", "kimi login")),
    // Measured, 1.18.33. It sends each change of a file once more through us if it may, after it made it itself.
    Preset { files: false, costs: true, env: &[("OPENCODE_CONFIG_CONTENT", OPENCODE_ASKS)], ..preset(("opencode-acp", "OpenCode"), ("opencode", &["acp"]), ("npm install -g opencode-ai", "opencode auth login")) },
    preset(("qoder", "Qoder"), ("qodercli", &["--acp"]), ("npm install -g @qoder-ai/qodercli", "qodercli, then /login")),
    preset(("qwen", "Qwen Code"), ("qwen", &["--acp"]), ("npm install -g @qwen-code/qwen-code", "qwen, then /auth")),
    preset(("vibe", "Mistral Vibe"), ("vibe-acp", &[]), ("see https://mistral.ai/products/vibe", "vibe --setup")),
];

/// The preset of a type.
pub(crate) fn of(kind: &str) -> Option<&'static Preset> {
    PRESETS.iter().find(|preset| preset.kind == kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_there_once_and_sorted() {
        let kinds: Vec<&str> = PRESETS.iter().map(|preset| preset.kind).collect();
        let mut sorted = kinds.clone();
        sorted.sort_unstable();
        sorted.dedup();
        assert_eq!(kinds, sorted);
        for taken in ["acp", "claude", "codex", "demo", "gemini", "opencode", "script"] {
            assert!(of(taken).is_none(), "{taken} is a type of its own");
        }
        for preset in PRESETS {
            assert!(!preset.command.is_empty() && !preset.install.is_empty() && !preset.login.is_empty());
            for (name, _) in preset.env {
                assert!(super::super::env::may_configure(name), "{name}");
            }
        }
    }
}
