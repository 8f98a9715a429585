//! A server with rooms and a gateway that serves them all, without a tap between them.
//!
//! Owns the configuration of the loads, and the looks into the gateway's database from outside. Must never write to a
//! database that a gateway has open.

use std::path::Path;
use std::time::{Duration, Instant};

use acg_testing::rocketchat::{AddUser, FakeServer, Options, Settings};
use rusqlite::{Connection, OpenFlags};
use tokio::time::sleep;

use crate::Failure;
use crate::stage::PASSWORD;
use crate::subject::{Programs, Subject, Until};

/// The longest wait for a program to do what it has been asked for.
pub(crate) const PATIENCE: Duration = Duration::from_mins(2);
/// How often is looked whether something has come true.
const LOOK: Duration = Duration::from_millis(5);

/// How rooms are named in the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Watch {
    /// By `room: "*"`.
    All,
    /// Each by a watcher of its own.
    Named,
}

/// A gateway's configuration. `limits` are lines of the top level.
pub(crate) fn config(
    url: &str,
    agent: &Path,
    processes: usize,
    limits: &str,
    watch: Watch,
    rooms: usize,
) -> String {
    let watchers = match watch {
        Watch::All => "  - name: all\n    room: \"*\"\n".to_owned(),
        Watch::Named => {
            let names: Vec<String> = (0..rooms).map(|room| format!("r{room}")).collect();
            format!("  - rooms: [{}]\n", names.join(", "))
        }
    };
    format!(
        "connectors:\n  - name: rc\n    type: rocketchat\n    server:\n      url: {url}\n      username: bot\n      password: {PASSWORD}\n    allowed_users:\n      owners: [alice]\nagents:\n  claude:\n    type: claude\n    command: {}\n    working_directory: work\n    max_processes: {processes}\n{limits}watchers:\n{watchers}",
        agent.display()
    )
}

/// A server and a gateway.
pub(crate) struct Rig {
    pub(crate) server: FakeServer,
    pub(crate) gateway: Subject,
    /// Who writes.
    pub(crate) person: String,
    /// Ids of the rooms `r0`, `r1`, …
    pub(crate) rooms: Vec<String>,
}

impl Rig {
    /// Nothing of the gateway runs yet.
    pub(crate) async fn new(
        programs: &Programs,
        rooms: usize,
        limits: &str,
        watch: Watch,
    ) -> Result<Self, Failure> {
        // The limit of subscriptions is the server's own protection, and nothing that a load is to meet.
        let settings = Settings { ddp_limits: false, ..Settings::default() };
        let server = FakeServer::start(Options { settings, ..Options::default() }).await;
        let world = server.world();
        let bot = world.add_user("bot", AddUser::bot(PASSWORD));
        let person = world.add_user("alice", AddUser::password("x"));
        let config = config(&server.url(), &programs.agent, 8, limits, watch, rooms);
        let gateway = Subject::gateway(programs, &server.url(), &config)?;
        let rooms = (0..rooms).map(|room| world.add_channel(&format!("r{room}"), &[&person, &bot])).collect();
        Ok(Self { server, gateway, person, rooms })
    }

    /// Says something in a room; gives the message's id.
    pub(crate) fn say(&self, room: usize, text: &str) -> Result<String, Failure> {
        let id = self.rooms.get(room).ok_or("there is no such room")?;
        Ok(self.server.world().say(&self.person, id, &format!("@bot {text}")))
    }

    /// Starts the gateway and waits until it has opened every room.
    pub(crate) async fn start(&self) -> Result<(), Failure> {
        self.gateway.start(Until::Connected).await?;
        until_opened(&self.gateway, self.rooms.len()).await
    }

    /// Stops the gateway, if it runs.
    pub(crate) async fn stop(&self) -> Result<(), Failure> {
        self.gateway.stop().await?;
        until("the gateway disconnects", || Ok(self.server.connections() == 0)).await?;
        Ok(())
    }

    /// Ends the server.
    pub(crate) async fn close(self) {
        self.server.stop().await;
    }
}

/// Waits until a gateway that runs has opened so many rooms, in whatever run.
pub(crate) async fn until_opened(gateway: &Subject, rooms: usize) -> Result<(), Failure> {
    let looker = Looker::open(&gateway.database())?;
    let rooms = i64::try_from(rooms)?;
    until("the gateway opens every room", || Ok(looker.number("SELECT COUNT(*) FROM rooms")? >= rooms))
        .await?;
    Ok(())
}

/// Waits until something has come true; gives the time.
pub(crate) async fn until(
    what: &str,
    mut is_true: impl FnMut() -> Result<bool, Failure>,
) -> Result<Duration, Failure> {
    let begun = Instant::now();
    while !is_true()? {
        if begun.elapsed() > PATIENCE {
            return Err(format!("this has not come true within {PATIENCE:?}: {what}").into());
        }
        sleep(LOOK).await;
    }
    Ok(begun.elapsed())
}

/// Reads a database that a gateway has open.
#[derive(Debug)]
pub(crate) struct Looker(Connection);

impl Looker {
    pub(crate) fn open(database: &Path) -> Result<Self, Failure> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(database, flags)?;
        connection.busy_timeout(Duration::from_secs(5))?;
        Ok(Self(connection))
    }

    /// The one number that a query gives.
    pub(crate) fn number(&self, sql: &str) -> Result<i64, Failure> {
        Ok(self.0.prepare_cached(sql)?.query_row([], |row| row.get(0))?)
    }

    /// How many messages were ever taken in, whatever became of them. As quick however many there are.
    pub(crate) fn taken_in(&self) -> Result<usize, Failure> {
        let sql = "SELECT COALESCE((SELECT seq FROM sqlite_sequence WHERE name = 'inbox'), 0)";
        Ok(usize::try_from(self.number(sql)?)?)
    }

    /// How many messages wait for their turn or its end.
    pub(crate) fn open_messages(&self) -> Result<usize, Failure> {
        let sql = "SELECT COUNT(*) FROM inbox WHERE state IN ('waiting', 'running')";
        Ok(usize::try_from(self.number(sql)?)?)
    }

    /// How many parts have still to be posted.
    pub(crate) fn open_parts(&self) -> Result<usize, Failure> {
        Ok(usize::try_from(self.number("SELECT COUNT(*) FROM outbox WHERE state = 'pending'")?)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_configuration_names_every_room_or_all() {
        let config = |watch| config("http://x", Path::new("/a"), 8, "collect: false\n", watch, 2);
        assert!(config(Watch::Named).ends_with("collect: false\nwatchers:\n  - rooms: [r0, r1]\n"));
        assert!(config(Watch::All).ends_with("watchers:\n  - name: all\n    room: \"*\"\n"));
    }
}
