//! Loading the configuration with every type that this program serves, and telling what is wrong with it.
//!
//! Must never print a secret: diagnostics hold none.

use std::path::Path;

use acg_config::{Config, Diagnostic, DiagnosticKind, Kinds, LoadRequest, Loaded};

use crate::failure::Failure;
use crate::home::user_home;
use crate::output::{Output, Tone};

/// Every type of connector and agent that is served.
pub(crate) fn kinds() -> Kinds {
    Kinds { connectors: acg_connectors::registry::kinds(), agents: acg_agents::registry::kinds() }
}

/// Loads the file at `path`.
pub(crate) fn load(path: &Path) -> Loaded {
    let home = user_home();
    let mut loaded = acg_config::load(LoadRequest {
        path,
        text: None,
        env: &|name| std::env::var(name).ok(),
        kinds: &kinds(),
        home_dir: home.as_deref(),
    });
    let talking = loaded.config.as_ref().map(of_stdio).unwrap_or_default();
    if talking.len() > 1 {
        loaded.config = None;
        loaded.errors.push(Diagnostic {
            file: path.to_owned(),
            line: 0,
            column: 0,
            key: "connectors".to_owned(),
            message: format!(
                "only one connector may talk over standard input and output (these would: {}).",
                talking.join(", ")
            ),
            help: Some("set 'command' for the others".to_owned()),
            kind: DiagnosticKind::Value,
        });
    }
    loaded
}

/// The connectors that talk over the gateway's own standard input and output.
pub(crate) fn of_stdio(config: &Config) -> Vec<String> {
    let talking = config.connectors.iter().filter(|connector| acg_connectors::script::uses_stdio(connector));
    talking.map(|connector| format!("'{}'", connector.name)).collect()
}

/// Prints every fault; the failure that stands for them has been told already.
pub(crate) fn refuse(path: &Path, loaded: &Loaded, output: &Output) -> Failure {
    let faults: Vec<String> = loaded.errors.iter().map(ToString::to_string).collect();
    tell_faults(path, &faults, output);
    if !path.exists() {
        output.warn(format_args!(
            "  next: write one with: agent-chat-gateway config example > {}",
            path.display()
        ));
    }
    output.object(&serde_json::json!({
        "ok": false,
        "error": format!("{}: {} error(s)", path.display(), faults.len()),
        "errors": faults,
        "warnings": loaded.warnings.iter().map(ToString::to_string).collect::<Vec<_>>(),
    }));
    Failure {
        what: format!("{}: {} error(s)", path.display(), faults.len()),
        why: faults,
        next: None,
        told: true,
    }
}

/// Prints faults as the Python program's `config validate` does.
pub(crate) fn tell_faults(path: &Path, faults: &[String], output: &Output) {
    let mark = output.tone(Tone::Bad, "✗");
    output.warn(format_args!("{mark} {}: {} error(s)", path.display(), faults.len()));
    for fault in faults {
        output.warn(format_args!("  - {fault}"));
    }
}

/// What is worth a remark at every start: doubtful values, and parts that are not served yet.
pub(crate) fn remarks(loaded: &Loaded) -> Vec<String> {
    let warnings = loaded.warnings.iter().map(ToString::to_string);
    let not_yet =
        loaded.config.iter().flat_map(|config| config.not_yet.iter().map(|what| format!("not yet: {what}")));
    warnings.chain(not_yet).collect()
}
