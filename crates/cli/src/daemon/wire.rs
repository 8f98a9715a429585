//! From a valid configuration to a running gateway: store, connectors, agents, core.

use std::sync::Arc;

use acg_agents::BuildParts;
use acg_agents::lineage::{Lineage, Origin};
use acg_config::Config;
use acg_core::handle::Control;
use acg_core::{Controls, Gateway, Parts};
use acg_gateway::control::{Attribution, Peer};
use acg_store::Store;
use acg_types::{Clock, SystemClock};
use async_trait::async_trait;
use tokio_util::sync::CancellationToken;

use crate::daemon::handshake::Handshake;
use crate::daemon::serve::Core;
use crate::failure::Failure;
use crate::home::Home;
use crate::import;

/// Starts every part that is served. Waits for the disk only, never for a platform or an agent.
pub(super) async fn start(
    config: Config,
    home: &Home,
    handshake: &Handshake,
) -> Result<Box<dyn Core>, Failure> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let store = Store::open(&home.store()).map_err(|error| Failure::of_store(&home.store(), &error))?;
    // Before any connector opens a room: what is taken over says where each room starts.
    for line in import::at_start(&store, &config, home, clock.now()).await {
        handshake.info(&line);
    }
    let mut connectors = Vec::new();
    for entry in config.connectors.iter().filter(|entry| entry.served) {
        let connector = acg_connectors::registry::build(entry, Arc::clone(&clock))
            .map_err(|error| Failure::new("a connector could not be made").because(&error))?;
        connectors.push((entry.name.clone(), connector));
    }
    let launcher = std::env::current_exe()
        .map_err(|error| Failure::new("the program's own file could not be found").because(&error))?;
    let lineage = Lineage::new();
    // What a killed launcher leaves behind must not pass for a person's process.
    Lineage::adopt_orphans();
    let mut agents = Vec::new();
    for entry in config.agents.iter().filter(|entry| entry.served) {
        let parts = BuildParts {
            launcher: launcher.clone(),
            environment: std::env::vars_os().collect(),
            gateway_home: Some(home.directory().to_owned()),
            lineage: lineage.clone(),
        };
        let agent = acg_agents::build(entry, parts)
            .map_err(|error| Failure::new("an agent could not be made").because(&error))?;
        agents.push((entry.name.clone(), agent));
    }
    let parts = Parts { config, store, connectors, agents, clock, vault: home.vault() };
    let gateway = Gateway::start(parts)
        .await
        .map_err(|error| Failure::new("the gateway could not start").because(&error))?;
    let callers = Arc::new(Callers { controls: gateway.controls(), lineage });
    Ok(Box::new(Wired { gateway, callers }))
}

/// A running gateway, and who may ask what of it.
#[derive(Debug)]
struct Wired {
    gateway: Gateway,
    callers: Arc<Callers>,
}

#[async_trait]
impl Core for Wired {
    fn control(&self) -> Arc<dyn Control> {
        self.gateway.control()
    }

    fn attribution(&self) -> Arc<dyn Attribution> {
        Arc::clone(&self.callers) as Arc<dyn Attribution>
    }

    async fn stop(self: Box<Self>, hurry: CancellationToken) {
        self.gateway.stop(hurry).await;
    }
}

/// Tells people from agents: a process below an agent speaks for the turn that runs in it, and for nothing else.
#[derive(Debug)]
struct Callers {
    controls: Controls,
    lineage: Lineage,
}

impl Attribution for Callers {
    fn attribute(&self, peer: &Peer) -> Result<Arc<dyn Control>, String> {
        match self.lineage.find(peer.pid) {
            Origin::Outside => Ok(self.controls.of_person()),
            Origin::Agent(serves) => match serves.conversation {
                Some(conversation) => Ok(self.controls.of_agent(conversation, serves.role.clone())),
                None => Err("An agent outside every conversation may not use the gateway".to_owned()),
            },
            Origin::Unknown(reason) => {
                Err(format!("It cannot be told whether a person is calling: {reason}"))
            }
        }
    }
}
