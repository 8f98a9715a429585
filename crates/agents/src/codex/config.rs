//! What Codex is told by its configuration: the user's choice of model and provider, and what keeps it in its place. Pure.

use std::collections::BTreeSet;
use std::path::Path;

use toml::{Table, Value};

/// With it off no command gets a terminal, and so none can be written into while it runs. Codex does not ask about
/// `write_stdin` (measured with 0.169.0, `untrusted`, `write_stdin_approval` on): a shell or an editor that was allowed
/// would do whatever it is told then.
pub(crate) const NO_TERMINALS: &str = "unified_exec_tty";

/// Features that are switched off. They run tools without asking (hooks, other agents, pictures by path), work outside
/// the turn (goals, memories) or reach the network at every start (plugins, apps). That they are off is checked.
pub(crate) const OFF: &[&str] = &[
    NO_TERMINALS,
    "apps",
    "browser_use",
    "browser_use_external",
    "browser_use_full_cdp_access",
    "computer_use",
    "goals",
    "guardian_approval",
    "hooks",
    "image_generation",
    "in_app_browser",
    "memories",
    "multi_agent",
    "multi_agent_v2",
    "plugins",
    "shell_snapshot",
    "skill_mcp_dependency_install",
    "tool_suggest",
    "unbounded_connection_retries",
    "view_image",
];

/// The keys of the user's `config.toml` that are taken over: which model, whose, and how it answers.
const KEPT: &[&str] = &[
    "analytics",
    "chatgpt_base_url",
    "cli_auth_credentials_store",
    "disable_response_storage",
    "forced_chatgpt_workspace_id",
    "forced_login_method",
    "model",
    "model_auto_compact_token_limit",
    "model_context_window",
    "model_provider",
    "model_providers",
    "model_reasoning_effort",
    "model_reasoning_summary",
    "model_supports_reasoning_summaries",
    "model_verbosity",
    "openai_base_url",
    "oss_provider",
    "preferred_auth_method",
    "service_tier",
    "tool_output_token_limit",
];

/// The user's settings, as far as they are taken over.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Kept(Table);

impl Kept {
    /// From the text of the user's `config.toml`.
    pub(crate) fn of(text: &str) -> Result<Self, String> {
        let mut table: Table = text.parse().map_err(|error: toml::de::Error| error.message().to_owned())?;
        table.retain(|key, _| KEPT.contains(&key));
        Ok(Self(table))
    }

    /// The variables of the environment that the providers are given by.
    pub(crate) fn variables(&self) -> BTreeSet<String> {
        let providers = self.0.get("model_providers").and_then(Value::as_table).into_iter().flatten();
        let mut names = BTreeSet::new();
        for (_, provider) in providers {
            names.extend(provider.get("env_key").and_then(Value::as_str).map(str::to_owned));
            let headers = provider.get("env_http_headers").and_then(Value::as_table).into_iter().flatten();
            names.extend(headers.filter_map(|(_, name)| name.as_str()).map(str::to_owned));
        }
        names
    }

    /// The `config.toml` of our own. `untrusted`: folders whose settings and rules are not read, whatever the sandbox:
    /// Codex trusts the folder of a thread by itself, for good, as soon as it may write there.
    pub(crate) fn render(&self, state: &Path, log: &Path, untrusted: &[&Path]) -> String {
        let mut table = self.0.clone();
        let text = |path: &Path| Value::String(path.to_string_lossy().into_owned());
        table.insert("check_for_update_on_startup".into(), false.into());
        table.insert("sqlite_home".into(), text(state));
        table.insert("log_dir".into(), text(log));
        let history: Table = [("persistence".to_owned(), Value::from("none"))].into_iter().collect();
        table.insert("history".into(), history.into());
        let project =
            || -> Table { [("trust_level".to_owned(), Value::from("untrusted"))].into_iter().collect() };
        let projects: Table =
            untrusted.iter().map(|path| (path.to_string_lossy().into_owned(), project().into())).collect();
        table.insert("projects".into(), projects.into());
        table.to_string()
    }
}

/// The program's arguments. They are stronger than any file but an administrator's requirements.
pub(crate) fn args(shell: bool, project_docs: bool) -> Vec<String> {
    let mut values: Vec<String> = OFF.iter().map(|name| format!("features.{name}=false")).collect();
    if !shell {
        values.push("features.shell_tool=false".to_owned());
    }
    if !project_docs {
        values.push("project_doc_max_bytes=0".to_owned());
    }
    values.extend(
        [
            r#"web_search="disabled""#,
            "skills.bundled.enabled=false",
            // Commands do not see what is called KEY, SECRET or TOKEN.
            "shell_environment_policy.ignore_default_excludes=false",
        ]
        .map(str::to_owned),
    );
    let mut args = vec!["app-server".to_owned()];
    args.extend(values.into_iter().flat_map(|value| ["-c".to_owned(), value]));
    args
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_model_and_its_provider_are_taken_over() {
        let kept = Kept::of(
            r#"
            model = "m"
            model_provider = "p"
            approval_policy = "never"
            sandbox_mode = "danger-full-access"
            notify = ["sh"]
            [mcp_servers.x]
            command = "sh"
            [hooks]
            a = 1
            [features]
            unified_exec_tty = true
            [projects."/w"]
            trust_level = "trusted"
            [model_providers.p]
            base_url = "http://h"
            env_key = "MY_KEY"
            env_http_headers = { a = "MY_HEADER" }
            "#,
        )
        .unwrap();
        assert_eq!(kept.variables().into_iter().collect::<Vec<_>>(), ["MY_HEADER", "MY_KEY"]);
        let text =
            kept.render(Path::new("/h/state"), Path::new("/h/log"), &[Path::new("/w"), Path::new("/q\"x")]);
        insta::assert_snapshot!(text);
        let again: Table = text.parse().unwrap();
        assert_eq!(again["projects"]["/q\"x"]["trust_level"].as_str(), Some("untrusted"));
    }

    #[test]
    fn a_file_that_cannot_be_read_is_told() {
        assert!(Kept::of("model = ").is_err());
        assert_eq!(Kept::of(""), Ok(Kept::default()));
    }

    #[test]
    fn the_arguments_take_the_shell_away_from_who_may_not_use_it() {
        assert!(args(false, true).contains(&"features.shell_tool=false".to_owned()));
        assert!(!args(true, true).contains(&"features.shell_tool=false".to_owned()));
        assert!(args(true, false).contains(&"project_doc_max_bytes=0".to_owned()));
        assert_eq!(args(true, true)[..3], ["app-server", "-c", "features.unified_exec_tty=false"]);
    }
}
