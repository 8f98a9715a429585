//! `status`: whether the gateway runs, and how its parts are. Always exit code 0.
//!
//! The first lines are the Python program's, for scripts; what it could not tell comes after them.

mod budgets;

use std::process::ExitCode;
use std::time::Duration;

use acg_gateway::control::Client;
use acg_protocol::{
    AgentLine, Answer, ConnectorLine, LimitsLine, LinkState, RefusedCounts, Request, StatusData,
};
use acg_types::{Clock, SystemClock, Timestamp};
use serde_json::json;

use crate::commands::control::{Facts, lock_failure};
use crate::failure::Failure;
use crate::home::Home;
use crate::lock::{Holder, Running, running};
use crate::output::{Output, Tone, printable};

pub(crate) fn status(home: &Home, output: &Output) -> Result<ExitCode, Failure> {
    let holder = match running(home).map_err(|error| lock_failure(home, &error))? {
        Running::Gateway(holder) => holder,
        Running::Python(pid) => {
            output.line("Gateway:  not running");
            output.warn(Failure::python(pid).line());
            output.object(
                &json!({ "ok": true, "running": false, "python_pid": pid, "home": home.directory() }),
            );
            return Ok(ExitCode::SUCCESS);
        }
        Running::Nothing => {
            output.line("Gateway:  not running");
            output.object(&json!({ "ok": true, "running": false, "home": home.directory() }));
            return Ok(ExitCode::SUCCESS);
        }
    };
    let answer = Client::new(home.socket()).call::<StatusData>(&Request::Status).map_err(Failure::from);
    let (data, trouble) = match answer {
        Ok(Answer { ok: true, data: Some(data), .. }) => (Some(data), None),
        Ok(answer) => (None, Some(answer.error.unwrap_or_else(|| "no facts in the answer".to_owned()))),
        Err(failure) => (None, Some(failure.line())),
    };
    if output.json {
        output.object(&Facts {
            ok: true,
            facts: json!({
                "running": true, "pid": holder.pid, "home": home.directory(), "pid_file": home.pid(),
                "log_file": home.log(), "trouble": trouble, "status": data,
            }),
        });
        return Ok(ExitCode::SUCCESS);
    }
    let uptime =
        data.as_ref().map_or_else(|| age_of_pid_file(home), |data| Duration::from_millis(data.uptime_ms));
    head(home, holder, uptime, output);
    if let Some(data) = data {
        body(&data, output);
    } else {
        output.line("Watchers: (unable to query)");
        output.warn(printable(&trouble.unwrap_or_default()));
    }
    Ok(ExitCode::SUCCESS)
}

fn head(home: &Home, holder: Holder, uptime: Duration, output: &Output) {
    let seconds = uptime.as_secs();
    let running = output.tone(Tone::Good, "running");
    output.line(format_args!("Gateway:  {running} ({})", holder.label()));
    output.line(format_args!("Uptime:   {}h {}m {}s", seconds / 3600, seconds / 60 % 60, seconds % 60));
    output.line(format_args!("PID file: {}", home.pid().display()));
    output.line(format_args!("Log file: {}", home.log().display()));
}

fn body(data: &StatusData, output: &Output) {
    output.line(format_args!("Watchers: {}", data.watchers));
    output.line(format_args!("Version:  {}", printable(&data.version)));
    output.line("Connectors:");
    for connector in &data.connectors {
        output.line(format_args!("  {}", connector_line(connector, output)));
    }
    output.line("Agents:");
    for agent in &data.agents {
        output.line(format_args!("  {}", agent_line(agent, output)));
    }
    let queues = data.queues;
    output.line(format_args!(
        "Inbox:    {} waiting, {} in a turn, {} refused{}",
        queues.inbox_waiting,
        queues.inbox_running,
        queues.inbox_refused,
        reasons(queues.refused)
    ));
    output.line(format_args!(
        "Outbox:   {} to post, {} failed, {} ambiguous, {} expired",
        queues.outbox_pending, queues.outbox_failed, queues.outbox_ambiguous, queues.outbox_expired
    ));
    if let Some(limits) = &data.limits {
        output.line(format_args!("Limits:   {}", limits_line(limits)));
    }
    for line in budgets::lines(data) {
        output.line(line);
    }
    if let Some(trouble) = &data.storage {
        output.line(format_args!("Storage:  {} {}", output.tone(Tone::Bad, "✗"), printable(trouble)));
    }
    for turn in &data.running_turns {
        let seconds = turn.for_ms / 1000;
        output.line(format_args!("Turn:     {} for {seconds} s", printable(&turn.room)));
    }
    for person in &data.unconfirmed {
        let (name, connector) = (printable(&person.username), printable(&person.connector));
        let mark = output.tone(Tone::Doubtful, "⚠");
        output.line(format_args!(
            "{mark} '{name}' is another account now on {connector} and has no role until you run: agent-chat-gateway users confirm {name} --connector {connector}"
        ));
    }
}

/// Why messages were refused: ` (2 queue full, 1 rate limited)`, or nothing.
fn reasons(refused: RefusedCounts) -> String {
    let reasons = [
        (refused.queue_full, "queue full"),
        (refused.share_full, "person's share full"),
        (refused.rate_limited, "rate limited"),
        (refused.budget_spent, "budget spent"),
        (refused.missed, "missed"),
    ];
    let reasons: Vec<String> =
        reasons.iter().filter(|(count, _)| *count > 0).map(|(count, why)| format!("{count} {why}")).collect();
    if reasons.is_empty() { String::new() } else { format!(" ({})", reasons.join(", ")) }
}

fn limits_line(limits: &LimitsLine) -> String {
    let most = |count: u32| if count == 0 { "no limit".to_owned() } else { count.to_string() };
    let rate = limits.rate_limit.map_or_else(String::new, |rate| {
        let seconds = Duration::from_millis(rate.per_ms).as_secs_f64();
        format!("; a person {} messages in {seconds} s", rate.messages)
    });
    let turn = limits.collect.map_or_else(
        || "each message a turn".to_owned(),
        |collect| format!("in one turn {} messages, {} characters", collect.messages, collect.characters),
    );
    format!(
        "turns {}, in a room {}; queue {}{rate}; {turn}",
        limits.max_concurrent_turns,
        most(limits.max_turns_per_room),
        most(limits.max_queue_depth)
    )
}

fn connector_line(connector: &ConnectorLine, output: &Output) -> String {
    let tone = match connector.link {
        LinkState::Connected => Tone::Good,
        LinkState::Starting | LinkState::Retrying => Tone::Doubtful,
        LinkState::Refused | LinkState::Stopped => Tone::Bad,
    };
    let mut line = format!(
        "{} ({}): {}",
        printable(&connector.name),
        printable(&connector.kind),
        output.tone(tone, connector.link.as_str())
    );
    if let Some(account) = &connector.account {
        line.extend([" as ", &printable(account)]);
    }
    if let Some(version) = &connector.server_version {
        line.extend([", server ", &printable(version)]);
    }
    if let Some(note) = &connector.version_note {
        line.extend([" (", &printable(note), ")"]);
    }
    if let Some(reason) = &connector.reason {
        line.extend([" — ", &printable(reason)]);
    }
    line
}

fn agent_line(agent: &AgentLine, output: &Output) -> String {
    let mut line = format!("{} ({})", printable(&agent.name), printable(&agent.kind));
    if let Some(version) = &agent.version {
        line.extend([": ", &printable(version)]);
    }
    if let Some(trouble) = &agent.trouble {
        line.extend([": ", &output.tone(Tone::Bad, "unusable"), " — ", &printable(trouble)]);
    } else if agent.version.is_none() {
        line.push_str(": not looked at yet");
    }
    if let Some(can) = agent.can.as_ref().filter(|can| !can.is_empty()) {
        line.extend(["; can: ", &printable(&can.join(", "))]);
    }
    if let Some(confinement) = &agent.confinement {
        line.extend(["; confined: ", &printable(confinement)]);
    }
    line
}

/// What the Python program goes by; only for a gateway that does not answer.
fn age_of_pid_file(home: &Home) -> Duration {
    let modified = std::fs::metadata(home.pid()).and_then(|file| file.modified()).ok();
    let since = modified.and_then(|time| time.duration_since(std::time::UNIX_EPOCH).ok());
    let millis = since.and_then(|since| i64::try_from(since.as_millis()).ok());
    millis.map_or(Duration::ZERO, |millis| SystemClock.now().since(Timestamp(millis)))
}

#[cfg(test)]
mod tests {
    use acg_protocol::{CollectLine, RateLine};

    use super::*;

    #[test]
    fn refusals_are_told_by_reason_and_limits_in_one_line() {
        assert_eq!(reasons(RefusedCounts::default()), "");
        let refused = RefusedCounts { queue_full: 5, rate_limited: 2, ..RefusedCounts::default() };
        assert_eq!(reasons(refused), " (5 queue full, 2 rate limited)");
        let mut limits =
            LimitsLine { max_queue_depth: 100, max_concurrent_turns: 8, ..LimitsLine::default() };
        assert_eq!(limits_line(&limits), "turns 8, in a room no limit; queue 100; each message a turn");
        limits.rate_limit = Some(RateLine { messages: 20, per_ms: 60_000 });
        limits.collect = Some(CollectLine { messages: 50, characters: 20_000 });
        assert_eq!(
            limits_line(&limits),
            "turns 8, in a room no limit; queue 100; a person 20 messages in 60 s; in one turn 50 messages, 20000 characters"
        );
    }

    #[test]
    fn parts_are_told_in_one_line_each() {
        let output = Output::new(true);
        let mut connector = ConnectorLine {
            name: "rc".to_owned(),
            kind: "rocketchat".to_owned(),
            link: LinkState::Connected,
            reason: None,
            account: Some("bot".to_owned()),
            server_version: Some("6.5.3".to_owned()),
            version_note: Some("tested".to_owned()),
            since: 0,
        };
        assert_eq!(
            connector_line(&connector, &output),
            "rc (rocketchat): connected as bot, server 6.5.3 (tested)"
        );
        connector.link = LinkState::Refused;
        connector.account = None;
        connector.server_version = None;
        connector.version_note = None;
        connector.reason = Some("wrong\npassword".to_owned());
        assert_eq!(connector_line(&connector, &output), "rc (rocketchat): refused — wrong\\npassword");

        let mut agent = AgentLine {
            name: "c".to_owned(),
            kind: "claude".to_owned(),
            version: None,
            can: None,
            trouble: None,
            confinement: None,
        };
        assert_eq!(agent_line(&agent, &output), "c (claude): not looked at yet");
        agent.version = Some("2.1.0".to_owned());
        assert_eq!(agent_line(&agent, &output), "c (claude): 2.1.0");
        agent.trouble = Some("not logged in".to_owned());
        assert_eq!(agent_line(&agent, &output), "c (claude): 2.1.0: unusable — not logged in");
        agent.trouble = None;
        agent.can = Some(vec!["streaming".to_owned(), "resume".to_owned()]);
        assert_eq!(agent_line(&agent, &output), "c (claude): 2.1.0; can: streaming, resume");
        agent.confinement = Some("guests, by Landlock 7".to_owned());
        assert_eq!(
            agent_line(&agent, &output),
            "c (claude): 2.1.0; can: streaming, resume; confined: guests, by Landlock 7"
        );
    }
}
