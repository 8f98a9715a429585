//! From the core's facts to the frames of the protocol. Pure.

use std::time::Duration;

use acg_core::connector::Link;
use acg_core::handle::{BudgetInfo, BudgetOf, BudgetUnit, ContextState, Limits, StatusReport, WatcherInfo};
use acg_protocol as wire;

pub(super) fn watcher(info: WatcherInfo) -> wire::WatcherLine {
    wire::WatcherLine {
        watcher_name: info.name.to_string(),
        room_name: info.room,
        connector: info.connector.to_string(),
        agent_name: info.agent.to_string(),
        session_id: info.session.map(|session| session.to_string()),
        paused: info.paused,
        active: info.active,
        context_injection_state: match info.context {
            ContextState::NotStarted => wire::ContextState::NotStarted,
            ContextState::Injected => wire::ContextState::Injected,
            ContextState::Degraded => wire::ContextState::FailedDegraded,
        },
        trouble: info.trouble,
    }
}

pub(super) fn status(report: StatusReport, version: &str) -> wire::StatusData {
    wire::StatusData {
        version: version.to_owned(),
        pid: std::process::id(),
        uptime_ms: milliseconds(report.uptime),
        watchers: u64::try_from(report.watchers).unwrap_or(u64::MAX),
        connectors: report
            .connectors
            .into_iter()
            .map(|connector| wire::ConnectorLine {
                name: connector.name.to_string(),
                kind: connector.kind,
                link: link(connector.health.link),
                reason: connector.health.reason,
                account: connector.health.account,
                server_version: connector.health.server_version,
                version_note: connector.health.version_note,
                since: connector.health.since.0,
            })
            .collect(),
        agents: report
            .agents
            .into_iter()
            .map(|agent| wire::AgentLine {
                name: agent.name.to_string(),
                kind: agent.kind,
                version: agent.version,
                trouble: agent.trouble,
                can: agent.can.map(|can| can.names().into_iter().map(str::to_owned).collect()),
                confinement: agent.confinement,
            })
            .collect(),
        queues: wire::QueueCounts {
            inbox_waiting: report.counts.inbox_waiting,
            inbox_running: report.counts.inbox_running,
            inbox_refused: report.counts.inbox_refused,
            refused: wire::RefusedCounts {
                queue_full: report.counts.refused_queue_full,
                share_full: report.counts.refused_share_full,
                rate_limited: report.counts.refused_rate_limited,
                budget_spent: report.counts.refused_budget_spent,
                missed: report.counts.refused_missed,
            },
            outbox_pending: report.counts.outbox_pending,
            outbox_failed: report.counts.outbox_failed,
            outbox_ambiguous: report.counts.outbox_ambiguous,
            outbox_expired: report.counts.outbox_expired,
        },
        unconfirmed: report
            .unconfirmed
            .into_iter()
            .map(|(connector, username)| wire::Unconfirmed { connector: connector.to_string(), username })
            .collect(),
        storage: report.storage,
        running_turns: report
            .running_turns
            .into_iter()
            .map(|(room, since)| wire::RunningTurn { room, for_ms: milliseconds(since) })
            .collect(),
        limits: Some(limits(&report.limits)),
        budgets: report.budgets.into_iter().map(budget).collect(),
        budgets_left_out: u64::try_from(report.budgets_left_out).unwrap_or(u64::MAX),
    }
}

fn budget(info: BudgetInfo) -> wire::BudgetLine {
    let (of, name, connector) = match info.of {
        BudgetOf::Agent(name) => (wire::BudgetOf::Agent, name.to_string(), None),
        BudgetOf::Room(connector, room) => (wire::BudgetOf::Room, room, Some(connector.to_string())),
        BudgetOf::Person(connector, name) => (wire::BudgetOf::Person, name, Some(connector.to_string())),
    };
    wire::BudgetLine {
        of,
        name,
        connector,
        unit: match info.unit {
            BudgetUnit::MicroUsd => wire::BudgetUnit::MicroUsd,
            BudgetUnit::Tokens => wire::BudgetUnit::Tokens,
        },
        spent: info.spent,
        limit: info.limit,
        turns: info.turns,
        untold: info.untold,
    }
}

fn limits(limits: &Limits) -> wire::LimitsLine {
    wire::LimitsLine {
        max_queue_depth: limits.max_queue_depth,
        max_concurrent_turns: limits.max_concurrent_turns,
        max_turns_per_room: limits.max_turns_per_room,
        rate_limit: limits
            .rate_limit
            .map(|rate| wire::RateLine { messages: rate.messages, per_ms: milliseconds(rate.per) }),
        collect: limits
            .collect
            .map(|collect| wire::CollectLine { messages: collect.messages, characters: collect.characters }),
    }
}

fn link(link: Link) -> wire::LinkState {
    match link {
        Link::Starting => wire::LinkState::Starting,
        Link::Connected => wire::LinkState::Connected,
        Link::Retrying => wire::LinkState::Retrying,
        Link::Refused => wire::LinkState::Refused,
        Link::Stopped => wire::LinkState::Stopped,
    }
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
