//! The permission questions of one turn: decided by rule, by what people allowed before, or by asking them.
//!
//! Owns which questions of the agent still have no answer. Must never answer one with "allow" unless a rule allows the
//! call, or an approval of exactly this call was taken from the store at that moment.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use acg_fault::{Plant, Point};
use acg_policy::approval;
use acg_store::{ApprovalRow, GrantQuery, GrantScope, NewAudit};
use acg_types::{ApprovalId, Decision, PermissionId, SessionId, ThreadId, ToolCall};
use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use tokio::time::Instant;
use tracing::{error, info};

use super::finish::place;
use super::talk::TalkError;
use super::{Chain, Turn};
use crate::agent::AgentSession;
use crate::approvals::state::{self, Presented, Release};
use crate::approvals::{self, Bound, Facts, Origin, Resolved, Strings, texts};
use crate::hub::{CoreError, Place, lock};

/// Messages of several people are one turn only where nobody is asked; the configuration may have been another when it
/// began. A question names one asker, and another whose words are in the turn must not approve it as a stranger.
const SEVERAL_PEOPLE: &str = "This call needs a person's approval, but the turn answers messages of several people, so nobody can be asked on behalf of one of them. It was refused.";
/// Most questions of one turn that wait at the same time.
const MOST_OPEN: usize = 10;

/// A question that people were asked.
#[derive(Debug)]
struct Pending {
    bound: Bound,
    strings: Strings,
    deferrable: bool,
    hold_ends: Instant,
}

/// An answer that waits to be passed on.
#[derive(Debug)]
enum Answer {
    Plain(Decision, Option<String>),
    /// A person decided: the row is looked at again when the answer is passed on.
    Decided(ApprovalId, Bound),
    /// Nobody could be asked: still to be recorded.
    Refused(String, Bound),
}

type Wait = BoxFuture<'static, (PermissionId, Result<Resolved, CoreError>)>;

/// What of this turn is not answered yet.
pub(super) struct Questions {
    origin: Arc<Origin>,
    /// Decisions of a deferred turn that no call has used.
    stored: Vec<ApprovalRow>,
    /// For the record: who else's messages are in the turn.
    together: String,
    pending: HashMap<PermissionId, Pending>,
    waits: FuturesUnordered<Wait>,
    ready: VecDeque<(PermissionId, Answer)>,
    /// Questions to be answered with "defer", once all are.
    deferred: Vec<PermissionId>,
    deferring: bool,
    let_go: bool,
    /// Calls that may be running now, and whether there is one without an id.
    running: HashSet<String>,
    unnamed: bool,
}

impl Questions {
    pub(super) fn new(turn: &Turn<'_>, session: SessionId, stored: Vec<ApprovalRow>) -> Self {
        let facts = Facts {
            room_name: turn.message.room.name.clone(),
            people: turn.watcher.config.people.clone(),
            four_eyes: turn.agent.config.permissions.four_eyes,
        };
        let origin = Origin {
            hub: Arc::clone(turn.hub),
            conversation: turn.conversation.id,
            turn: turn.id,
            session,
            agent: Arc::clone(&turn.agent),
            connector: Arc::clone(&turn.connector),
            message: turn.message.clone(),
            place: question_place(turn),
            facts,
        };
        Self {
            origin: Arc::new(origin),
            stored: stored.into_iter().filter(|row| !state::is_open(row.state) && !row.used).collect(),
            together: together(&turn.others),
            pending: HashMap::new(),
            waits: FuturesUnordered::new(),
            ready: VecDeque::new(),
            deferred: Vec::new(),
            deferring: false,
            let_go: false,
            running: HashSet::new(),
            unnamed: false,
        }
    }

    /// Whether people are waited for.
    pub(super) fn waits(&self) -> bool {
        !self.pending.is_empty()
    }

    /// Whether nothing of the agent runs, as far as is known.
    pub(super) fn idle(&self) -> bool {
        self.ready.is_empty() && self.running.is_empty() && !self.unnamed
    }

    /// Whether an answer waits to be passed on.
    pub(super) fn is_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    /// Whether the agent was told that its calls are deferred.
    pub(super) fn let_go(&self) -> bool {
        self.let_go
    }

    /// Whether a closing gateway would have to wait for people.
    pub(super) fn holds_up(&self) -> bool {
        self.waits() && !self.deferring && self.ready.is_empty()
    }

    pub(super) fn can_defer(&self) -> bool {
        self.pending.values().all(|pending| pending.deferrable)
    }

    /// When the process has been held long enough.
    pub(super) fn hold_ends(&self) -> Option<Instant> {
        if self.deferring || !self.can_defer() {
            return None;
        }
        self.pending.values().map(|pending| pending.hold_ends).min()
    }

    /// Lets the process go as soon as every open question says that it lives on.
    pub(super) fn defer(&mut self) {
        self.deferring = true;
        for pending in self.pending.values() {
            pending.strings.defer.cancel();
        }
    }

    /// The agent no longer waits for this answer.
    pub(super) fn withdrawn(&mut self, id: &PermissionId) {
        if let Some(pending) = self.pending.get(id) {
            pending.strings.withdraw.cancel();
        }
        self.ready.retain(|(other, _)| other != id);
        self.deferred.retain(|other| other != id);
    }

    pub(super) fn finished(&mut self, call_id: &str) {
        self.running.remove(call_id);
    }

    /// Decides about a call, or asks people. Everything about it is recorded before it is answered.
    pub(super) async fn consider(
        &mut self,
        turn: &Turn<'_>,
        id: PermissionId,
        call: ToolCall,
        whole: bool,
        deferrable: bool,
    ) -> Result<(), CoreError> {
        match judge(turn, &call, whole) {
            acg_policy::Verdict::Allow { rule } => {
                self.allow(id, &call, format!("rule {rule}"), String::new()).await
            }
            acg_policy::Verdict::Deny { reason } => self.deny(id, &call, reason).await,
            acg_policy::Verdict::OwnSettings => {
                let by = "the agent's own settings".to_owned();
                let decision = Answer::Plain(Decision::OwnSettings, call.call_id.clone());
                record(
                    &self.origin,
                    &self.together,
                    &call,
                    "own_settings",
                    by,
                    "approvals are not enabled".into(),
                )
                .await?;
                self.ready.push_back((id, decision));
                Ok(())
            }
            acg_policy::Verdict::Ask { reason } => {
                info!(watcher = %turn.watcher.name, tool = %call.tool, %reason, "No rule decides about a tool call.");
                self.put_to_people(turn, id, call, whole, deferrable).await
            }
        }
    }

    async fn put_to_people(
        &mut self,
        turn: &Turn<'_>,
        id: PermissionId,
        call: ToolCall,
        whole: bool,
        deferrable: bool,
    ) -> Result<(), CoreError> {
        if !whole {
            return self.deny(id, &call, texts::NOT_WHOLE.to_owned()).await;
        }
        let digest = match approval::digest(&call) {
            Ok(digest) => digest,
            Err(reason) => return self.deny(id, &call, reason).await,
        };
        let presented = Presented { session: &self.origin.session, tool: &call.tool, digest: &digest };
        let decided = self.stored.iter().position(|row| state::release(row, presented) != Release::Changed);
        let sameness = approval::sameness(&call);
        let bound = Bound { call, digest, sameness };
        if let Some(at) = decided {
            let row = self.stored.remove(at);
            self.ready.push_back((id, Answer::Decided(row.id, bound)));
            return Ok(());
        }
        if let Some((by, reason)) = granted(&self.origin, &bound).await? {
            return self.allow(id, &bound.call, by, reason).await;
        }
        if self.pending.len() >= MOST_OPEN {
            return self.deny(id, &bound.call, texts::TOO_MANY.to_owned()).await;
        }
        if !turn.others.is_empty() {
            return self.deny(id, &bound.call, SEVERAL_PEOPLE.to_owned()).await;
        }
        if let Some(reason) = self.nobody(turn) {
            return self.deny(id, &bound.call, reason.to_owned()).await;
        }
        turn.asked.store(true, Ordering::Relaxed);
        let strings = Strings::default();
        let waiting = approvals::ask(Arc::clone(&self.origin), bound.clone(), strings.clone());
        let key = id.clone();
        self.waits.push(Box::pin(async move { (key, waiting.await) }));
        if self.deferring && deferrable {
            // Asked all the same: people can answer while no process runs.
            strings.defer.cancel();
        }
        let hold_ends = Instant::now() + turn.agent.config.permissions.hold;
        self.pending.insert(id, Pending { bound, strings, deferrable, hold_ends });
        Ok(())
    }

    /// Why there is nobody to ask.
    fn nobody(&self, turn: &Turn<'_>) -> Option<&'static str> {
        let (list, four_eyes) = (self.origin.facts.people.as_deref(), self.origin.facts.four_eyes);
        let (asker, role) = (&turn.message.sender, &turn.message.role);
        let roster = lock(&turn.connector.roster);
        if roster.anybody_approves(list, asker, role, four_eyes) {
            None
        } else if four_eyes && roster.anybody_approves(list, asker, role, false) {
            Some(texts::NOBODY_ELSE)
        } else {
            Some(texts::NOBODY)
        }
    }

    async fn allow(
        &mut self,
        id: PermissionId,
        call: &ToolCall,
        by: String,
        reason: String,
    ) -> Result<(), CoreError> {
        info!(role = %self.origin.message.role, tool = %call.tool, %by, "Tool call allowed.");
        record(&self.origin, &self.together, call, "allowed", by, reason).await?;
        self.ready.push_back((id, Answer::Plain(Decision::Allow, call.call_id.clone())));
        Ok(())
    }

    async fn deny(&mut self, id: PermissionId, call: &ToolCall, reason: String) -> Result<(), CoreError> {
        info!(role = %self.origin.message.role, tool = %call.tool, %reason, "Tool call refused.");
        record(&self.origin, &self.together, call, "denied", String::new(), reason.clone()).await?;
        self.ready.push_back((id, Answer::Plain(Decision::Deny { reason }, None)));
        Ok(())
    }

    /// Waits for the next question to be resolved. Cancel-safe: nothing is waited for after it is.
    pub(super) async fn next(&mut self, turn: &Turn<'_>) {
        let Some((id, resolved)) = self.waits.next().await else { return std::future::pending().await };
        let Some(pending) = self.pending.remove(&id) else { return };
        let answer = match resolved {
            Ok(Resolved::Closed(approval)) => Answer::Decided(approval, pending.bound),
            Ok(Resolved::Refused(reason)) => Answer::Refused(reason, pending.bound),
            Ok(Resolved::Deferred) => {
                self.deferred.push(id);
                return;
            }
            Ok(Resolved::Gone) => return,
            Err(error) => {
                error!(turn = %turn.id, error = %Chain(&error), "A permission question could not be stored.");
                Answer::Plain(Decision::Deny { reason: texts::INNER.to_owned() }, None)
            }
        };
        self.ready.push_back((id, answer));
    }

    /// Gives the agent every answer that there is.
    pub(super) async fn pass_on(&mut self, session: &mut dyn AgentSession) -> Result<(), TalkError> {
        while let Some((id, answer)) = self.ready.pop_front() {
            let (decision, call_id) = match answer {
                Answer::Plain(decision, call_id) => (decision, call_id),
                Answer::Refused(reason, bound) => {
                    record(
                        &self.origin,
                        &self.together,
                        &bound.call,
                        "denied",
                        String::new(),
                        reason.clone(),
                    )
                    .await?;
                    (Decision::Deny { reason }, None)
                }
                Answer::Decided(approval, bound) => {
                    let decision = release(&self.origin, approval, &bound).await?;
                    if acg_fault::planted(Plant::ApprovalUsedTwice) {
                        self.stored
                            .extend(self.origin.hub.store.approval(approval).await.map_err(CoreError::from)?);
                    }
                    (decision, bound.call.call_id)
                }
            };
            if matches!(decision, Decision::Allow | Decision::OwnSettings) {
                match call_id {
                    Some(call_id) => drop(self.running.insert(call_id)),
                    None => self.unnamed = true,
                }
            }
            session.answer(&id, decision).await?;
        }
        if self.deferring && self.pending.is_empty() {
            for id in std::mem::take(&mut self.deferred) {
                self.let_go = true;
                session.answer(&id, Decision::Defer).await?;
            }
        }
        Ok(())
    }
}

/// Where questions of a turn are asked: in a thread on the message that the call comes from, unless that is off.
fn question_place(turn: &Turn<'_>) -> Place {
    let place = place(turn);
    if !turn.connector.config.permission_reply_in_thread {
        return place;
    }
    let message = &turn.message;
    let thread = message.thread.clone().unwrap_or_else(|| ThreadId::new(message.message.as_str()));
    Place { thread: Some(thread), ..place }
}

/// What the role's rules say. About a call that is not shown whole only its name can be judged.
fn judge(turn: &Turn<'_>, call: &ToolCall, whole: bool) -> acg_policy::Verdict {
    let policy = turn.agent.config.policies.get(&turn.message.role).cloned().unwrap_or_default();
    let request = acg_policy::Request {
        call,
        role: &policy,
        workspace: &turn.agent.config.working_directory,
        resolve: &acg_policy::real_path,
    };
    if whole { acg_policy::decide(&request) } else { acg_policy::decide_unseen(&request) }
}

/// Who allowed this same call before, and for how long.
async fn granted(origin: &Origin, bound: &Bound) -> Result<Option<(String, String)>, CoreError> {
    let key = &origin.message.key;
    let query = GrantQuery {
        connector: key.connector.clone(),
        room: key.room.clone(),
        agent: key.agent.clone(),
        role: origin.message.role.clone(),
        tool: bound.call.tool.clone(),
        sameness: bound.sameness.clone(),
        session: Some(origin.session.clone()),
    };
    Ok(origin.hub.store.granted(&query).await?.map(|row| {
        let span = match row.grant.scope {
            GrantScope::Session(_) => "for this session",
            GrantScope::Always => "until it is revoked",
        };
        let by = NewAudit::by_person(&row.grant.by, &row.grant.by_name);
        (by, format!("allowed by {} {span}: {}", row.grant.by_name, row.grant.shown))
    }))
}

/// Who else's messages are in a turn, for its record.
fn together(others: &[String]) -> String {
    if others.is_empty() {
        String::new()
    } else {
        format!("in one turn with messages of {}", others.join(", "))
    }
}

async fn record(
    origin: &Origin,
    together: &str,
    call: &ToolCall,
    result: &str,
    by: String,
    reason: String,
) -> Result<(), CoreError> {
    let message = &origin.message;
    let reasons = [reason.as_str(), together];
    let reasons: Vec<_> = reasons.into_iter().filter(|reason| !reason.is_empty()).collect();
    let entry = NewAudit {
        at: origin.hub.clock.now(),
        connector: message.key.connector.clone(),
        room: message.key.room.clone(),
        room_name: message.room.name.clone(),
        agent: message.key.agent.clone(),
        role: message.role.clone(),
        user: message.sender.id.clone(),
        username: message.sender.username.clone(),
        turn: Some(origin.turn),
        tool: call.tool.clone(),
        digest: approval::digest(call).unwrap_or_default(),
        result: result.to_owned(),
        by,
        reason: reasons.join("; "),
    };
    approvals::record(&origin.hub, entry).await
}

/// What a person's decision is for this very call, taken from the store once.
async fn release(origin: &Origin, approval: ApprovalId, bound: &Bound) -> Result<Decision, CoreError> {
    let store = &origin.hub.store;
    let deny = |reason: String| Ok(Decision::Deny { reason });
    let Some(row) = store.approval(approval).await? else { return deny(texts::CHANGED.to_owned()) };
    // Computed again from what the agent would run.
    let Ok(digest) = approval::digest(&bound.call) else { return deny(texts::CHANGED.to_owned()) };
    let presented = Presented { session: &origin.session, tool: &bound.call.tool, digest: &digest };
    let code = &row.approval.code;
    let verdict = state::release(&row, presented);
    let first = match verdict {
        Release::Run | Release::Denied | Release::TimedOut => store.use_approval(approval).await?,
        Release::Void | Release::Open | Release::Used | Release::Changed => false,
    };
    acg_fault::point(Point::ApprovalUsed);
    match verdict {
        Release::Run if first => {
            info!(code = %code, tool = %bound.call.tool, "An approved tool call is released.");
            Ok(Decision::Allow)
        }
        Release::Used if acg_fault::planted(Plant::ApprovalUsedTwice) => Ok(Decision::Allow),
        Release::Run | Release::Used => deny(texts::USED_UP.to_owned()),
        Release::Denied => deny(texts::agent_denied(code, row.decided_by_name.as_deref())),
        Release::TimedOut => {
            deny(texts::agent_timed_out(code, row.approval.expires_at.since(row.approval.asked_at)))
        }
        Release::Void | Release::Open => deny(texts::agent_void(code)),
        Release::Changed => deny(texts::CHANGED.to_owned()),
    }
}
