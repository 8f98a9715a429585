//! The other side in this process: say things and receive answers from Rust, over the same lines as any program.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use acg_core::connector::Connector;
use acg_types::{Clock, ConnectorName};
use tokio::io::{AsyncWriteExt, DuplexStream, ReadHalf, WriteHalf};
use tokio::time::timeout;

use super::connector::Script;
use super::factory::ACK_TIMEOUT;
use super::shared::{Options, Shared};
use super::source::{Cut, Lines, Source, Streams};
use super::wire::{Outcome, Person, Said, Told};

/// Bytes that may be on their way in one direction.
const BUFFER: usize = 64 * 1024;
/// Lines that [`Peer`] keeps while it waits for another one.
const KEPT: usize = 10_000;

/// What a connector in memory can do.
#[derive(Clone, Debug)]
pub struct Setup {
    /// The connector's name in the configuration.
    pub connector: ConnectorName,
    /// How long a post waits for its `posted`.
    pub ack_timeout: Duration,
    /// Whether a repeated post is promised to be dropped.
    pub idempotent: bool,
    /// Whether work in progress is told.
    pub stream: bool,
}

impl Setup {
    /// With the defaults of the configuration.
    pub fn new(connector: impl Into<ConnectorName>) -> Self {
        Self { connector: connector.into(), ack_timeout: ACK_TIMEOUT, idempotent: false, stream: false }
    }
}

/// Makes a connector and its other side.
pub fn pair(setup: Setup, clock: Arc<dyn Clock>) -> (Arc<dyn Connector>, Peer) {
    let (ours, theirs) = tokio::io::duplex(BUFFER);
    let (reader, writer) = tokio::io::split(ours);
    let streams = Streams { reader: Box::new(reader), writer: Box::new(writer) };
    let options =
        Options { ack_timeout: setup.ack_timeout, idempotent: setup.idempotent, stream: setup.stream };
    let shared = Shared::new(setup.connector, options, clock);
    let script = Script::new(shared, Source::Given(Mutex::new(Some(streams))));
    let (reader, writer) = tokio::io::split(theirs);
    (Arc::new(script), Peer { lines: Lines::new(reader), writer, kept: VecDeque::new() })
}

/// The other side could not say or hear something.
#[derive(Debug, thiserror::Error)]
pub enum PeerError {
    /// The connector has stopped, or never ran.
    #[error("the connector does not run")]
    Closed,
    /// Nothing that was waited for came in time.
    #[error("nothing came within {0:?}")]
    Silent(Duration),
    /// The connector could not read what was said.
    #[error("the line was refused: {0}")]
    Refused(String),
    /// No id could be made.
    #[error("the system gave no random numbers")]
    Random(#[from] acg_types::random::RandomError),
    /// More lines came than are kept while another is waited for.
    #[error("too many lines wait to be read")]
    Full,
}

/// The other side.
#[derive(Debug)]
pub struct Peer {
    lines: Lines<ReadHalf<DuplexStream>>,
    writer: WriteHalf<DuplexStream>,
    kept: VecDeque<Told>,
}

impl Peer {
    /// Says something to the account in a room, as `person` (id and log-in name); returns what became of it.
    /// The id is new each time.
    pub async fn inject(
        &mut self,
        room: &str,
        person: &str,
        text: &str,
        limit: Duration,
    ) -> Result<Outcome, PeerError> {
        let id = acg_types::random::message_key()?;
        let said = Said::Message {
            id: id.to_string(),
            room: room.to_owned(),
            sender: Person { id: person.to_owned(), name: None, display_name: None },
            text: text.to_owned(),
            thread: None,
            sent_at: None,
            room_kind: None,
            mention: true,
            mention_all: false,
            edited: false,
        };
        self.offer(&said, limit).await
    }

    /// Says any line that is answered by `accepted`, and waits for that.
    pub async fn offer(&mut self, said: &Said, limit: Duration) -> Result<Outcome, PeerError> {
        let (Said::Message { id, room, .. } | Said::Delete { id, room } | Said::Reaction { id, room, .. }) =
            said
        else {
            return Err(PeerError::Refused("this line is not answered".to_owned()));
        };
        self.say(said, limit).await?;
        let told = self
            .find(limit, |told| match told {
                Told::Accepted { id: of, room: at, .. } => of == id && at == room,
                Told::Error { .. } => true,
                _ => false,
            })
            .await?;
        match told {
            Told::Accepted { result, .. } => Ok(result),
            Told::Error { message, .. } => Err(PeerError::Refused(message)),
            _ => Err(PeerError::Closed),
        }
    }

    /// Writes a line and waits for nothing.
    pub async fn say(&mut self, said: &Said, limit: Duration) -> Result<(), PeerError> {
        let line = serde_json::to_string(said).map_err(|error| PeerError::Refused(error.to_string()))?;
        self.write(&line, limit).await
    }

    /// Writes any text as a line.
    pub async fn write(&mut self, line: &str, limit: Duration) -> Result<(), PeerError> {
        let line = format!("{line}\n");
        match timeout(limit, self.writer.write_all(line.as_bytes())).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(PeerError::Closed),
            Err(_) => Err(PeerError::Silent(limit)),
        }
    }

    /// The text of the next post, which is acknowledged. Lines before it are dropped, `accepted` too.
    pub async fn receive(&mut self, limit: Duration) -> Result<String, PeerError> {
        loop {
            if let Told::Post { id, text, .. } = self.next(limit).await? {
                self.acknowledge(&id, limit).await?;
                return Ok(text);
            }
        }
    }

    /// Tells that a post or a file was posted.
    pub async fn acknowledge(&mut self, id: &str, limit: Duration) -> Result<(), PeerError> {
        let posted = Said::Posted {
            id: id.to_owned(),
            message: None,
            duplicate: false,
            error: None,
            retry: false,
            after_ms: None,
        };
        self.say(&posted, limit).await
    }

    /// The next line, whatever it is. A post is not acknowledged.
    pub async fn next(&mut self, limit: Duration) -> Result<Told, PeerError> {
        match self.kept.pop_front() {
            Some(told) => Ok(told),
            None => self.read(limit).await,
        }
    }

    /// The next line that is wanted; those before it are kept.
    async fn find(&mut self, limit: Duration, wanted: impl Fn(&Told) -> bool) -> Result<Told, PeerError> {
        let found = async {
            loop {
                // Those kept were there before what is answered now was said.
                let told = self.read(limit).await?;
                if wanted(&told) {
                    return Ok(told);
                }
                if self.kept.len() >= KEPT {
                    return Err(PeerError::Full);
                }
                self.kept.push_back(told);
            }
        };
        timeout(limit, found).await.unwrap_or(Err(PeerError::Silent(limit)))
    }

    async fn read(&mut self, limit: Duration) -> Result<Told, PeerError> {
        let cut = timeout(limit, self.lines.next()).await.map_err(|_| PeerError::Silent(limit))?;
        match cut {
            Ok(Some(Cut::Line(line))) => {
                serde_json::from_slice(&line).map_err(|error| PeerError::Refused(error.to_string()))
            }
            _ => Err(PeerError::Closed),
        }
    }
}
