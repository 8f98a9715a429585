//! Which dialect a file is written in.

use crate::model::Dialect;
use crate::node::Node;

/// What the dialect was found by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Certainty {
    /// The file says so.
    Said,
    /// Something is there that only one dialect has.
    Sign,
    /// Nothing speaks for either.
    Guess,
}

pub(crate) fn find(root: &Node, dotenv_exists: bool) -> (Dialect, Certainty) {
    if let Some(node) = root.get("dialect") {
        match node.text() {
            Some("0.1") => return (Dialect::V01, Certainty::Said),
            Some("0.5") => return (Dialect::V05, Certainty::Said),
            // The table of keys tells what is wrong with it.
            _ => {}
        }
    }
    if only_05(root) {
        (Dialect::V05, Certainty::Sign)
    } else if dotenv_exists || agent_without_type(root) {
        (Dialect::V01, Certainty::Sign)
    } else {
        (Dialect::V05, Certainty::Guess)
    }
}

fn only_05(root: &Node) -> bool {
    let top = ["tool_presets", "connector_templates", "agent_templates", "watcher_templates"];
    let listed = |name: &str| root.get(name).and_then(Node::items).unwrap_or_default();
    let agents =
        || root.get("agents").and_then(Node::entries).unwrap_or_default().iter().map(|entry| &entry.value);
    let entries = || listed("connectors").iter().chain(listed("watchers")).chain(agents());
    top.iter().any(|key| root.get(key).is_some())
        || entries().any(|entry| ["inherits", "description"].iter().any(|key| entry.get(key).is_some()))
        || listed("connectors")
            .iter()
            .any(|entry| entry.get("type").and_then(Node::text) == Some("mattermost"))
        || listed("watchers").iter().any(|entry| entry.get("rooms").is_some())
        || agents().any(|agent| {
            ["owner_allowed_tools", "guest_allowed_tools"].iter().any(|key| {
                agent
                    .get(key)
                    .and_then(Node::items)
                    .unwrap_or_default()
                    .iter()
                    .any(|rule| rule.text().is_some())
            })
        })
}

fn agent_without_type(root: &Node) -> bool {
    let agents = root.get("agents").and_then(Node::entries).unwrap_or_default();
    agents.iter().any(|agent| agent.value.entries().is_some() && agent.value.get("type").is_none())
}
