//! What a server says of itself once it runs: agents, MCP servers and tools that rules have to know of.

use serde_json::Value;

use super::rules::{self, OWN_TOOLS};
use super::wire::SessionRule;

/// Facts of one server.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Facts {
    /// The agent that prompts are for; `None`: the program's own choice.
    pub(crate) agent: Option<String>,
    /// What the user's own settings say for it.
    pub(crate) own_rules: Vec<SessionRule>,
    /// Agents that would run something without a question.
    pub(crate) loose_agents: Vec<String>,
    pub(crate) mcp_servers: Vec<String>,
    /// Tools that are not the program's own: from files in the user's folders.
    pub(crate) foreign_tools: Vec<String>,
}

/// From the answers to `GET /agent`, `/mcp` and `/experimental/tool/ids`. `None` for answers that are not as they must
/// be: then nothing is known, and the server is not used.
pub(crate) fn read(agents: &Value, mcp: &Value, tools: &Value) -> Option<Facts> {
    let mut facts = Facts::default();
    for agent in agents.as_array()? {
        let name = agent.get("name")?.as_str()?;
        let rules: Vec<SessionRule> = serde_json::from_value(agent.get("permission")?.clone()).ok()?;
        let is_primary = agent.get("mode").and_then(Value::as_str) != Some("subagent")
            && agent.get("hidden") != Some(&Value::Bool(true));
        if is_primary && facts.agent.is_none() {
            facts.agent = Some(name.to_owned());
            facts.own_rules.clone_from(&rules);
        }
        if rules::is_loose(&rules) {
            facts.loose_agents.push(name.to_owned());
        }
    }
    facts.mcp_servers = mcp.as_object()?.keys().cloned().collect();
    let ids = tools.as_array()?.iter().map(|id| id.as_str().map(str::to_owned));
    let ids: Vec<String> = ids.collect::<Option<_>>()?;
    facts.foreign_tools = ids.into_iter().filter(|id| !OWN_TOOLS.contains(&id.as_str())).collect();
    Some(facts)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_a_server_says_is_understood_or_it_is_not_used() {
        let ask = json!([{"permission": "*", "pattern": "*", "action": "ask"}]);
        let allow = json!([{"permission": "*", "pattern": "*", "action": "allow"}]);
        let agents = json!([
            {"name": "title", "mode": "primary", "hidden": true, "permission": ask},
            {"name": "build", "mode": "primary", "permission": ask},
            {"name": "mine", "mode": "subagent", "permission": allow},
        ]);
        let found =
            read(&agents, &json!({"gw": {"status": "connected"}}), &json!(["bash", "deploy"])).unwrap();
        assert_eq!(found.agent.as_deref(), Some("build"));
        assert_eq!((found.loose_agents, found.mcp_servers), (vec!["mine".to_owned()], vec!["gw".to_owned()]));
        assert_eq!(found.foreign_tools, ["deploy"]);
        for (agents, mcp, tools) in [
            (json!([{"name": "build"}]), json!({}), json!([])),
            (json!({}), json!({}), json!([])),
            (json!([]), json!([]), json!([])),
            (json!([]), json!({}), json!([1])),
        ] {
            assert_eq!(read(&agents, &mcp, &tools), None);
        }
    }
}
