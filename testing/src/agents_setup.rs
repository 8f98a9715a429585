//! How each real agent program is started in a test so that it knows nothing but the mock: its environment, its
//! configuration and its arguments.
//!
//! ```no_run
//! # async fn example() -> Option<()> {
//! use acg_testing::agents_setup::{Place, opencode};
//! use acg_testing::model_api::MockModel;
//!
//! let (place, model) = (Place::new().await, MockModel::start().await);
//! let setup = opencode(&place, &model)?; // None: it is not installed, and the test is skipped
//! let _ = (&setup.program, &setup.args, &setup.env);
//! assert_eq!(place.attempts(), Vec::<String>::new(), "it kept off the network");
//! # Some(()) }
//! ```
//!
//! Must never name an address beyond loopback, nor read a configuration of the person who runs the tests. The facts
//! are those of the pinned versions in `scripts/test-tools`.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::model_api::MockModel;
use crate::tools;

mod place;
mod process;
pub mod wall;

pub use place::Place;
pub use process::Running;

/// How long anything may take before the test fails: a first start on a busy machine is slow.
pub const PATIENCE: std::time::Duration = std::time::Duration::from_mins(2);

/// The model that the programs are told to use.
pub const MODEL: &str = "mock-model";

/// The password of `opencode serve`, whose user is `opencode` (HTTP Basic).
pub const OPENCODE_PASSWORD: &str = "a-password-of-the-test";

/// What starts a program.
#[derive(Clone, Debug)]
pub struct Setup {
    /// The program.
    pub program: PathBuf,
    /// The arguments of the mode that the gateway uses: a server, or frames on stdio.
    pub args: Vec<String>,
    /// The whole environment: nothing else is passed on, so that no `IS_SANDBOX` and no key of the user's is.
    pub env: BTreeMap<String, String>,
}

impl Setup {
    fn new(program: PathBuf, args: &[&str], place: &Place, more: &[(&str, &str)]) -> Self {
        let mut env = place.env();
        env.extend(more.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        Self { program, args: args.iter().map(|&arg| arg.to_owned()).collect(), env }
    }

    /// With one more variable, or another value for one.
    #[must_use]
    pub fn with_env(mut self, name: &str, value: &str) -> Self {
        self.env.insert(name.to_owned(), value.to_owned());
        self
    }

    /// With more arguments at the end.
    #[must_use]
    pub fn with_args(mut self, args: &[&str]) -> Self {
        self.args.extend(args.iter().map(|&arg| arg.to_owned()));
        self
    }
}

fn write(path: &Path, text: &str) {
    acg_types::fs::write_private(path, text.as_bytes()).unwrap();
}

/// Claude Code, with stream-json on stdio. Permissions are asked for there too.
pub fn claude(place: &Place, model: &MockModel) -> Option<Setup> {
    let program = tools::require("claude")?;
    let config = place.home().join(".claude");
    fs::create_dir_all(&config).unwrap();
    let args = [
        "-p",
        "--input-format=stream-json",
        "--output-format=stream-json",
        "--verbose",
        "--include-partial-messages",
        "--permission-prompt-tool=stdio",
        "--setting-sources=",
        "--strict-mcp-config",
    ];
    let env = [
        ("CLAUDE_CONFIG_DIR", config.to_str().unwrap()),
        ("ANTHROPIC_BASE_URL", model.url()),
        ("ANTHROPIC_API_KEY", "sk-ant-mock"),
        ("CLAUDE_CODE_MAX_RETRIES", "1"),
        ("CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC", "1"),
        ("DISABLE_AUTOUPDATER", "1"),
        ("DISABLE_TELEMETRY", "1"),
        ("DISABLE_ERROR_REPORTING", "1"),
    ];
    Some(Setup::new(program, &args, place, &env))
}

/// What `OPENCODE_CONFIG_CONTENT` holds: the mock as the only provider, and a question about every tool.
pub fn opencode_config(model: &MockModel) -> Value {
    json!({
        "$schema": "https://opencode.ai/config.json",
        "model": format!("mock/{MODEL}"),
        "small_model": format!("mock/{MODEL}"),
        "autoupdate": false,
        "share": "disabled",
        "provider": {"mock": {
            // Comes with OpenCode: nothing is fetched for it.
            "npm": "@ai-sdk/openai-compatible",
            "name": "Mock",
            "options": {"baseURL": model.openai_url(), "apiKey": "k"},
            "models": {MODEL: {
                "name": "mock",
                "limit": {"context": 200_000, "output": 8192},
                "attachment": true,
                "modalities": {"input": ["text", "image", "pdf"], "output": ["text"]},
                "cost": {"input": 1, "output": 2},
            }},
        }},
        "permission": {"*": "ask"},
    })
}

/// `OpenCode` as a server on a free loopback port, which it prints: `opencode server listening on http://…`.
/// The models cost 1 and 2 dollars a million tokens.
pub fn opencode(place: &Place, model: &MockModel) -> Option<Setup> {
    let program = tools::require("opencode")?;
    // It would install a package for plugins here, and hold up the first turn until that has failed. These files say
    // that it is there.
    let folder = place.home().join(".config/opencode");
    fs::create_dir_all(folder.join("node_modules")).unwrap();
    let lock = json!({"packages": {"": {"dependencies": {"@opencode-ai/plugin": "*"}}}});
    write(&folder.join("package-lock.json"), &lock.to_string());
    let config = opencode_config(model).to_string();
    let env = [
        ("OPENCODE_CONFIG_CONTENT", config.as_str()),
        ("OPENCODE_SERVER_PASSWORD", OPENCODE_PASSWORD),
        ("OPENCODE_DISABLE_AUTOUPDATE", "1"),
        ("OPENCODE_DISABLE_MODELS_FETCH", "1"),
        ("OPENCODE_DISABLE_LSP_DOWNLOAD", "1"),
        ("OPENCODE_DISABLE_DEFAULT_PLUGINS", "1"),
        ("OPENCODE_DISABLE_CLAUDE_CODE", "1"),
        ("OPENCODE_DISABLE_PROJECT_CONFIG", "1"),
    ];
    Some(Setup::new(program, &["serve", "--port", "0", "--hostname", "127.0.0.1"], place, &env))
}

/// What `$CODEX_HOME/config.toml` holds. A failed request is repeated once: the five times that are usual make
/// each error take seconds. Without the two features off it clones its plugins from the network at every start.
pub fn codex_config(model: &MockModel) -> String {
    let url = model.openai_url();
    format!(
        r#"model = "{MODEL}"
model_provider = "mock"
approval_policy = "on-request"
sandbox_mode = "read-only"
check_for_update_on_startup = false
[features]
plugins = false
apps = false
[analytics]
enabled = false
[model_providers.mock]
name = "mock"
base_url = "{url}"
env_key = "MOCK_KEY"
wire_api = "responses"
request_max_retries = 1
stream_max_retries = 1
"#
    )
}

/// Codex, with its app server's JSON-RPC on stdio.
pub fn codex(place: &Place, model: &MockModel) -> Option<Setup> {
    let program = tools::require("codex")?;
    let home = place.home().join(".codex");
    fs::create_dir_all(&home).unwrap();
    write(&home.join("config.toml"), &codex_config(model));
    let env = [("CODEX_HOME", home.to_str().unwrap()), ("MOCK_KEY", "k")];
    Some(Setup::new(program, &["app-server"], place, &env))
}

/// What `~/.gemini/settings.json` holds.
pub fn gemini_settings() -> Value {
    json!({
        "security": {"auth": {"selectedType": "gemini-api-key"}, "folderTrust": {"enabled": false}},
        "general": {"disableAutoUpdate": true, "disableUpdateNag": true, "enableAutoUpdate": false},
        "privacy": {"usageStatisticsEnabled": false},
        "telemetry": {"enabled": false},
    })
}

/// Gemini CLI, with ACP on stdio.
pub fn gemini(place: &Place, model: &MockModel) -> Option<Setup> {
    let program = tools::require("gemini")?;
    let folder = place.home().join(".gemini");
    fs::create_dir_all(&folder).unwrap();
    write(&folder.join("settings.json"), &gemini_settings().to_string());
    let env = [
        ("GEMINI_API_KEY", "k"),
        ("GOOGLE_GEMINI_BASE_URL", model.url()),
        // It would start itself a second time for more memory.
        ("GEMINI_CLI_NO_RELAUNCH", "true"),
    ];
    Some(Setup::new(program, &["--acp"], place, &env))
}
