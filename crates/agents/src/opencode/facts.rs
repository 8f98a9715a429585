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

/// What the model that prompts are for can do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ModelFacts {
    /// It sees pictures.
    pub(crate) images: bool,
    /// Its price is known.
    pub(crate) cost: bool,
}

/// From the answers to `GET /config` and `/config/providers`. `wanted`: the model that the gateway asks for, as
/// provider/model; without it that of the program's settings, else the first that is a provider's default. `None`: the
/// program knows no such model.
pub(crate) fn model(config: &Value, providers: &Value, wanted: Option<&str>) -> Option<ModelFacts> {
    let all = providers.get("providers")?.as_array()?;
    let find = |provider: &str, model: &str| {
        let is_it = |found: &&Value| found.get("id").and_then(Value::as_str) == Some(provider);
        all.iter().find(is_it)?.get("models")?.get(model)
    };
    let named = wanted.or_else(|| config.get("model")?.as_str()).and_then(|name| name.split_once('/'));
    let found = if let Some((provider, model)) = named {
        find(provider, model)?
    } else {
        let mut defaults = providers.get("default")?.as_object()?.iter();
        defaults.find_map(|(provider, model)| find(provider, model.as_str()?))?
    };
    let price = |what: &str| found.get("cost").and_then(|cost| cost.get(what)?.as_f64()).unwrap_or_default();
    Some(ModelFacts {
        images: found.pointer("/capabilities/input/image") == Some(&Value::Bool(true)),
        cost: price("input") + price("output") > 0.0,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_a_model_can_is_found_where_the_program_says_it() {
        let sees = |image: bool| json!({"capabilities": {"input": {"text": true, "image": image}}});
        let priced = json!({"capabilities": {"input": {"image": true}}, "cost": {"input": 1, "output": 2.5}});
        let providers = json!({
            "providers": [{"id": "a", "models": {"x/y": sees(true), "z": sees(false)}}, {"id": "b", "models": {"p": priced}}],
            "default": {"gone": "m", "b": "p"},
        });
        let set = json!({"model": "a/z"});
        let facts = |images, cost| Some(ModelFacts { images, cost });
        assert_eq!(model(&set, &providers, None), facts(false, false));
        assert_eq!(model(&set, &providers, Some("a/x/y")), facts(true, false));
        assert_eq!(model(&json!({}), &providers, None), facts(true, true), "the default");
        assert_eq!(model(&set, &providers, Some("a/unknown")), None);
        assert_eq!(model(&set, &json!([]), None), None);
    }

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
