//! Asking people about one call: file, row and notice, and the wait for whatever comes first.
//!
//! Owns the order: the whole call lies in the room before the question, the question is stored before it is posted,
//! and nobody waits for an answer to what could not be posted.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use acg_fault::Point;
use acg_store::{ApprovalRow, ApprovalState, NewApproval, NewAudit, NewMessage, NewPart};
use acg_types::{ApprovalId, ConversationId, OutboxId, OutgoingKind, SessionId, ToolCall, TurnId};
use tokio::sync::broadcast::error::RecvError;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::broker::{Asked, Facts};
use super::close::{Closing, close, withdraw};
use super::notice::{self, Attachment};
use super::texts::{self, Void};
use crate::connector::SendError;
use crate::hub::{AgentPart, ConnectorPart, CoreError, Hub, Place, Settled};

/// Longest wait for one attempt to upload the call's file, or to find the approval room.
const PLATFORM_WAIT: Duration = Duration::from_mins(1);
/// Waits between attempts to upload.
const UPLOAD_WAITS: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(2)];
/// A code is drawn anew at most this often.
const DRAWS: usize = 20;

/// The turn that a call belongs to.
#[derive(Clone, Debug)]
pub(crate) struct Origin {
    pub(crate) hub: Arc<Hub>,
    pub(crate) conversation: ConversationId,
    pub(crate) turn: TurnId,
    pub(crate) session: SessionId,
    pub(crate) agent: Arc<AgentPart>,
    pub(crate) connector: Arc<ConnectorPart>,
    pub(crate) message: NewMessage,
    /// Where questions of this turn are asked, if no approval room is set.
    pub(crate) place: Place,
    pub(crate) facts: Facts,
}

/// A call with what a decision binds to.
#[derive(Clone, Debug)]
pub(crate) struct Bound {
    pub(crate) call: ToolCall,
    pub(crate) digest: String,
    pub(crate) sameness: String,
}

/// What became of a question.
#[derive(Debug)]
pub(crate) enum Resolved {
    /// It was closed: its row says how.
    Closed(ApprovalId),
    /// It was not asked, or not heard; the reason is for the agent.
    Refused(String),
    /// It lives on without a process.
    Deferred,
    /// The agent no longer waits.
    Gone,
}

/// Ends the wait for a question from outside.
#[derive(Clone, Debug, Default)]
pub(crate) struct Strings {
    /// The agent no longer waits.
    pub(crate) withdraw: CancellationToken,
    /// The process is to be let go.
    pub(crate) defer: CancellationToken,
}

/// Asks, and waits until the question is closed, given up or deferred.
pub(crate) async fn ask(origin: Arc<Origin>, bound: Bound, strings: Strings) -> Result<Resolved, CoreError> {
    let hub = &origin.hub;
    // Heard from before anything is stored, so that no outcome is missed.
    let mut settled = hub.settled.subscribe();
    let put = match put(&origin, &bound, &strings).await? {
        Ok(put) => put,
        Err(resolved) => return Ok(resolved),
    };
    // From here on the question is stored: every way out closes or defers it.
    let question = put.question;
    let (id, row) = (question.row.id, question.row.clone());
    let mut outcome = hub.broker.add(row.clone(), origin.facts.clone(), false, hub.clock.now());
    for place in &put.places {
        hub.wake_outbox(&place.connector, &place.room);
    }
    let mut posts: HashSet<OutboxId> = put.posts.into_iter().collect();
    let mut heard = false;
    loop {
        tokio::select! {
            closed = &mut outcome => {
                if closed.is_err() {
                    warn!(code = %row.approval.code, "A permission question was lost from the table.");
                }
                return Ok(match hub.store.approval(id).await? {
                    Some(row) if !heard && row.state == ApprovalState::TimedOut => {
                        Resolved::Refused(texts::UNDELIVERABLE.to_owned())
                    }
                    _ => Resolved::Closed(id),
                });
            }
            () = strings.withdraw.cancelled() => {
                let done = withdraw(hub, row, &origin.facts.room_name, Void::AgentWithdrew).await?;
                return Ok(if done { Resolved::Gone } else { Resolved::Closed(id) });
            }
            () = strings.defer.cancelled() => {
                let entry = super::note(hub, &row, &origin.facts.room_name, "deferred", String::new(), "nobody has answered yet".to_owned());
                super::record(hub, entry).await?;
                // Nobody follows its post any more: it counts as seen, so that people are reminded.
                hub.broker.delivered(id, None);
                return Ok(Resolved::Deferred);
            }
            news = settled.recv(), if !heard => {
                match fate(&mut posts, news) {
                    Fate::Unknown => {}
                    Fate::Posted => {
                        heard = true;
                        let shown = hub.store.approval(id).await?.map(|row| row.shown);
                        hub.broker.delivered(id, shown);
                    }
                    Fate::Refused(reason) => {
                        warn!(code = %row.approval.code, reason, "A permission question could not be posted.");
                        let closing = Closing::silent(ApprovalState::Withdrawn, Vec::new(), Void::Undeliverable.why());
                        if close(hub, &question, closing).await? {
                            return Ok(Resolved::Refused(texts::UNDELIVERABLE.to_owned()));
                        }
                        heard = true;
                    }
                }
            }
        }
    }
}

enum Fate {
    Unknown,
    Posted,
    Refused(String),
}

/// What the delivery's news mean for the posts that are still out.
fn fate(posts: &mut HashSet<OutboxId>, news: Result<Settled, RecvError>) -> Fate {
    match news {
        Ok((post, Ok(()))) => {
            posts.remove(&post);
            if posts.is_empty() { Fate::Posted } else { Fate::Unknown }
        }
        Ok((post, Err(reason))) if posts.contains(&post) => Fate::Refused(reason),
        Ok(_) => Fate::Unknown,
        // Too much at once to be told of each: it is taken for posted, and the deadline stands.
        Err(RecvError::Lagged(_) | RecvError::Closed) => Fate::Posted,
    }
}

/// A question that was stored.
struct Put {
    question: Asked,
    posts: Vec<OutboxId>,
    places: Vec<Place>,
}

/// What the platform does, unless the agent no longer waits. The commit itself is never left half-way, and a question
/// that is to be deferred is asked first.
async fn unless_withdrawn<T>(strings: &Strings, work: impl Future<Output = T>) -> Result<T, Resolved> {
    strings.withdraw.run_until_cancelled(work).await.ok_or(Resolved::Gone)
}

/// Uploads what has to be uploaded, and stores the question. `Err` inside: nobody was asked.
async fn put(origin: &Origin, bound: &Bound, strings: &Strings) -> Result<Result<Put, Resolved>, CoreError> {
    let hub = &origin.hub;
    let place = match unless_withdrawn(strings, approval_place(origin)).await {
        Ok(Ok(place)) => place,
        Ok(Err(reason)) => return Ok(Err(Resolved::Refused(reason))),
        Err(ended) => return Ok(Err(ended)),
    };
    let elsewhere = place.room != origin.place.room;
    let timeout = origin.agent.config.permissions.timeout;
    let always = notice::always(&bound.call).ok();
    for _ in 0..DRAWS {
        let code = code()?;
        let now = hub.clock.now();
        let expires_at = now.after(timeout);
        let question = notice::notice(&notice::Asked {
            code: &code,
            call: &bound.call,
            asker: &origin.message.sender.username,
            role: &origin.message.role,
            from_room: elsewhere.then_some(origin.message.room.name.as_str()),
            timeout,
            deadline: expires_at,
            zone: &origin.connector.zone,
            reactions: origin.connector.capabilities.reactions,
            four_eyes: origin.facts.four_eyes,
            always: always.as_deref(),
            limit: origin.connector.capabilities.max_text_utf16,
        });
        if let Some(file) = &question.file {
            match unless_withdrawn(strings, upload(&origin.connector, &place, file)).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => {
                    warn!(%error, "The file of a permission question could not be uploaded.");
                    return Ok(Err(Resolved::Refused(texts::UNDELIVERABLE.to_owned())));
                }
                Err(ended) => return Ok(Err(ended)),
            }
        }
        let new = NewApproval {
            code,
            conversation: origin.conversation,
            turn: origin.turn,
            session: origin.session.clone(),
            agent: bound.call.agent.clone(),
            role: origin.message.role.clone(),
            asker: origin.message.sender.id.clone(),
            asker_name: origin.message.sender.username.clone(),
            connector: place.connector.clone(),
            origin: origin.place.room.clone(),
            room: place.room.clone(),
            thread: place.thread.clone(),
            tool: bound.call.tool.clone(),
            params: bound.call.raw.clone(),
            digest: bound.digest.clone(),
            sameness: bound.sameness.clone(),
            call_id: bound.call.call_id.clone(),
            asked_at: now,
            remind_at: now.after(timeout / 2),
            expires_at,
        };
        if let Some(put) = store(origin, new, &place, &question.text, elsewhere).await? {
            return Ok(Ok(put));
        }
    }
    warn!("No free code was found for a permission question.");
    Ok(Err(Resolved::Refused(texts::TOO_MANY.to_owned())))
}

/// Row, posts and record in one commit. `None`: the code is taken.
async fn store(
    origin: &Origin,
    new: NewApproval,
    place: &Place,
    text: &str,
    elsewhere: bool,
) -> Result<Option<Put>, CoreError> {
    let hub = &origin.hub;
    let mut parts: Vec<NewPart> = hub.parts(place, OutgoingKind::Notice, text, None)?;
    let shown: Vec<_> = parts.iter().map(|part| part.key.clone()).collect();
    let mut places = vec![place.clone()];
    if elsewhere {
        let word = texts::asked_elsewhere(&new.code, &new.tool);
        parts.extend(hub.parts(&origin.place, OutgoingKind::Notice, &word, None)?);
        places.push(origin.place.clone());
    }
    let row = ApprovalRow {
        id: ApprovalId(0),
        approval: new.clone(),
        state: ApprovalState::Waiting,
        reminded: false,
        used: false,
        decided_by: None,
        decided_by_name: None,
        decided_at: None,
        shown,
    };
    let audit = entry(origin, &row);
    let Some((id, posts)) = hub.store.ask(new, parts, audit).await? else { return Ok(None) };
    acg_fault::point(Point::ApprovalAsked);
    info!(code = %row.approval.code, tool = %row.approval.tool, room = %row.approval.room, "People are asked about a tool call.");
    let posts = posts.into_iter().take(row.shown.len()).collect();
    let question = Asked { row: ApprovalRow { id, ..row }, facts: origin.facts.clone(), over: false };
    Ok(Some(Put { question, posts, places }))
}

fn entry(origin: &Origin, row: &ApprovalRow) -> NewAudit {
    super::note(
        &origin.hub,
        row,
        &origin.facts.room_name,
        "asked",
        String::new(),
        "no rule decides about this call".to_owned(),
    )
}

/// Four characters of `[a-z0-9]`.
fn code() -> Result<String, CoreError> {
    let mut code = String::new();
    while code.len() < 4 {
        // Both cases of a letter would be drawn twice as often as a digit: upper case is thrown away.
        code.extend(acg_types::random::base62(16)?.chars().filter(|c| !c.is_ascii_uppercase()));
    }
    code.truncate(4);
    Ok(code)
}

/// Where people are asked.
async fn approval_place(origin: &Origin) -> Result<Place, String> {
    let Some(word) = &origin.agent.config.permissions.approval_room else { return Ok(origin.place.clone()) };
    let part = &origin.connector;
    let known = crate::hub::lock(&part.approval_rooms).get(word).cloned();
    let room = match known {
        Some(room) => room,
        None => match tokio::time::timeout(PLATFORM_WAIT, part.connector.find_room(word)).await {
            Ok(Ok(room)) => room.id,
            Ok(Err(error)) => {
                warn!(room = %word, %error, "The approval room was not found.");
                return Err(texts::agent_no_room(word));
            }
            Err(_) => return Err(texts::agent_no_room(word)),
        },
    };
    if room == origin.place.room {
        return Ok(origin.place.clone());
    }
    Ok(Place { connector: origin.place.connector.clone(), room, thread: None })
}

/// Posts the file that holds the whole call, from a private directory that is gone afterwards.
async fn upload(part: &ConnectorPart, place: &Place, file: &Attachment) -> Result<(), SendError> {
    let inner = |error: std::io::Error| SendError::Permanent {
        reason: format!("the file could not be written: {error}"),
    };
    let directory = tempfile::Builder::new().prefix("acg-approval-").tempdir().map_err(inner)?;
    let path = directory.path().join(&file.name);
    acg_types::fs::write_private(&path, file.content.as_bytes()).map_err(inner)?;
    let mut waits = UPLOAD_WAITS.iter();
    loop {
        let attempt = part.connector.upload(&place.room, place.thread.as_ref(), &path, &file.caption);
        let result = match tokio::time::timeout(PLATFORM_WAIT, attempt).await {
            Ok(result) => result,
            Err(_) => Err(SendError::Ambiguous { reason: format!("no answer within {PLATFORM_WAIT:?}") }),
        };
        match (result, waits.next()) {
            (Ok(()), _) => return Ok(()),
            // A second copy of the file does no harm; a question without it would.
            (Err(error @ SendError::Permanent { .. }), _) | (Err(error), None) => return Err(error),
            (Err(_), Some(wait)) => tokio::time::sleep(*wait).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_four_characters_that_people_can_type() {
        for _ in 0..100 {
            let code = code().unwrap();
            assert_eq!(code.len(), 4);
            assert!(code.bytes().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit()), "{code}");
        }
    }

    #[test]
    fn a_question_is_heard_when_all_its_posts_are() {
        let mut posts: HashSet<_> = [OutboxId(1), OutboxId(2)].into();
        assert!(matches!(fate(&mut posts, Ok((OutboxId(9), Err("other".into())))), Fate::Unknown));
        assert!(matches!(fate(&mut posts, Ok((OutboxId(1), Ok(())))), Fate::Unknown));
        assert!(matches!(fate(&mut posts, Ok((OutboxId(2), Ok(())))), Fate::Posted));
        let mut posts: HashSet<_> = [OutboxId(1)].into();
        assert!(matches!(fate(&mut posts, Ok((OutboxId(1), Err("no".into())))), Fate::Refused(_)));
    }
}
