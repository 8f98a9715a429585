//! `policy`: what a role may do, for one call or as a whole, and what people allowed for good in rooms.
//!
//! Owns reading the configuration as the gateway would, and finding the room, the agent and the role that are meant.
//! Must never change the configuration.

mod check;
mod explain;
mod forget;

use std::process::ExitCode;

use acg_config::{AgentConfig, Config, WatchedRoom, WatcherConfig};
use acg_store::{GrantRow, OpenError, Store, StoreError};
use acg_types::{ConnectorName, Role, RoomId};
use tokio::runtime::{Builder, Runtime};

use crate::args::{Common, PolicyCommand};
use crate::configuration::{load, refuse};
use crate::failure::Failure;
use crate::home::{Home, config_path};
use crate::output::{self, Output};

/// Exit code of `policy check` when it could not decide: not to be taken for a refusal.
pub(crate) const BAD_USAGE: u8 = 3;

pub(crate) fn run(
    command: Option<PolicyCommand>,
    common: &Common,
    home: &Home,
    output: &Output,
) -> Result<ExitCode, Failure> {
    match command {
        None => Ok(output::help_of("policy")),
        Some(PolicyCommand::Check(args)) => {
            Ok(check::check(common, home, &args, output).unwrap_or_else(|failure| {
                output.failure(&failure);
                ExitCode::from(BAD_USAGE)
            }))
        }
        Some(PolicyCommand::Explain(args)) => explain::explain(common, home, &args, output),
        Some(PolicyCommand::Forget { id }) => forget::forget(home, id, output),
    }
}

/// The configuration, valid or not at all.
fn configuration(common: &Common, output: &Output) -> Result<Config, Failure> {
    let path = config_path(common)?;
    let loaded = load(&path);
    match loaded.config {
        Some(config) => Ok(config),
        None => Err(refuse(&path, &loaded, output)),
    }
}

fn role_of(config: &Config, name: &str) -> Result<Role, Failure> {
    let role = Role::new(name);
    if config.roles.contains_key(&role) {
        return Ok(role);
    }
    let known: Vec<&str> = config.roles.keys().map(Role::as_str).collect();
    Err(Failure::new(format!("there is no role '{name}'")).next(format!("name one of: {}", known.join(", "))))
}

/// The watchers of a room, by the room's name or the watcher's; for any other room those of every room.
fn watchers_of<'c>(config: &'c Config, name: &str) -> Result<Vec<&'c WatcherConfig>, Failure> {
    let is_named = |watcher: &&WatcherConfig| {
        watcher.name.as_str() == name || matches!(&watcher.room, WatchedRoom::Named(room) if room == name)
    };
    let mut found: Vec<_> = config.watchers.iter().filter(is_named).collect();
    if found.is_empty() {
        let is_for_all = |watcher: &&WatcherConfig| matches!(&watcher.room, WatchedRoom::All { exclude } if !exclude.iter().any(|room| room == name));
        found = config.watchers.iter().filter(is_for_all).collect();
    }
    if found.is_empty() {
        return Err(Failure::new(format!("no watcher stands for room '{name}'"))
            .next("name a room or a watcher of the configuration"));
    }
    Ok(found)
}

fn agent_named<'c>(config: &'c Config, name: &str) -> Result<&'c AgentConfig, Failure> {
    let agent = config.agents.iter().find(|agent| agent.name.as_str() == name);
    agent.ok_or_else(|| {
        let known: Vec<&str> = config.agents.iter().map(|agent| agent.name.as_str()).collect();
        Failure::new(format!("there is no agent '{name}'")).next(format!("name one of: {}", known.join(", ")))
    })
}

fn runtime() -> Result<Runtime, Failure> {
    let runtime = Builder::new_current_thread().build();
    runtime.map_err(|error| Failure::new("the command could not start").because(&error))
}

/// An allowance, with the name of the room if that is known.
struct Allowance {
    row: GrantRow,
    room_name: Option<String>,
}

impl Allowance {
    fn is_in(&self, connector: &ConnectorName, room: &str) -> bool {
        let grant = &self.row.grant;
        grant.connector == *connector
            && (grant.room.as_str() == room || self.room_name.as_deref() == Some(room))
    }

    /// `rc/general`
    fn place(&self) -> String {
        let room = self.room_name.as_deref().unwrap_or(self.row.grant.room.as_str());
        format!("{}/{room}", self.row.grant.connector)
    }
}

/// The allowances in force; none if there is no database yet.
fn allowances(home: &Home) -> Result<Vec<Allowance>, Failure> {
    let path = home.store();
    let store = match Store::open_to_read(&path) {
        Err(OpenError::Missing { .. }) => return Ok(Vec::new()),
        opened => opened.map_err(|error| not_opened(home, &error))?,
    };
    runtime()?.block_on(read(&store)).map_err(|error| {
        Failure::new(format!("the allowances in {} cannot be read", path.display())).because(&error)
    })
}

async fn read(store: &Store) -> Result<Vec<Allowance>, StoreError> {
    let mut out = Vec::new();
    for row in store.grants(false).await? {
        let rooms = store.rooms_of(&row.grant.connector).await?;
        let name =
            |id: &RoomId| rooms.iter().find(|(room, _)| room.id == *id).map(|(room, _)| room.name.clone());
        let room_name = name(&row.grant.room);
        out.push(Allowance { row, room_name });
    }
    Ok(out)
}

fn not_opened(home: &Home, error: &OpenError) -> Failure {
    Failure::new(format!("the allowances in {} cannot be opened", home.store().display())).because(error)
}
