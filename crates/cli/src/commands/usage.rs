//! `usage`: what turns took, by day, room, person or agent. With a running gateway or without.
//!
//! Owns which time is meant, and the answer's two forms. Reads only.

mod sums;
mod table;

use std::process::ExitCode;

use acg_store::{OpenError, Store};
use acg_types::{Clock, SystemClock, Timestamp};
use jiff::ToSpan as _;
use jiff::tz::TimeZone;
use serde_json::{Value, json};
use tokio::runtime::Builder;

use self::sums::{Line, Report};
use crate::args::{UsageArgs, UsageBy};
use crate::commands::when::moment;
use crate::failure::Failure;
use crate::home::Home;
use crate::output::Output;

/// How many calendar days are summed up if nothing else is asked for, today among them.
const DAYS: i64 = 30;

pub(crate) fn usage(home: &Home, args: &UsageArgs, output: &Output) -> Result<ExitCode, Failure> {
    let zone = TimeZone::system();
    let since = match &args.since {
        Some(text) => moment("--since", text)?,
        None => first_day(SystemClock.now(), &zone),
    };
    // To the end of time: a clock that was ahead for a while must not hide what was spent then.
    let ended = since..Timestamp(i64::MAX);
    let path = home.store();
    let sums = match Store::open_to_read(&path) {
        Err(OpenError::Missing { .. }) => Vec::new(),
        Err(error) => {
            let what = format!("the database {} cannot be opened", path.display());
            return Err(Failure::new(what).because(&error));
        }
        Ok(store) => {
            let runtime = Builder::new_current_thread().build();
            let runtime =
                runtime.map_err(|error| Failure::new("the command could not start").because(&error))?;
            runtime.block_on(store.usage(ended)).map_err(|error| {
                Failure::new(format!("the database {} cannot be read", path.display())).because(&error)
            })?
        }
    };
    let report = Report::of(&sums, args.by, &zone);
    if output.json {
        output.object(&object(&report, args.by, since));
    } else if report.lines.is_empty() {
        output.line(format_args!("No turn has ended since {}.", table::date(since, &zone)));
    } else {
        for line in table::lines(&report) {
            output.line(line);
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// When the first of the days began that are summed up by default.
fn first_day(now: Timestamp, zone: &TimeZone) -> Timestamp {
    let start = || {
        let now = jiff::Timestamp::from_millisecond(now.0).ok()?;
        let date = now.to_zoned(zone.clone()).date().checked_sub((DAYS - 1).days()).ok()?;
        Some(Timestamp(date.to_zoned(zone.clone()).ok()?.timestamp().as_millisecond()))
    };
    start().unwrap_or(Timestamp(0))
}

fn object(report: &Report, by: UsageBy, since: Timestamp) -> Value {
    let lines: Vec<Value> = report.lines.iter().map(|line| with_figures(line, line.names(by))).collect();
    let time = jiff::Timestamp::from_millisecond(since.0).map(|at| at.to_string()).unwrap_or_default();
    json!({
        "ok": true, "by": by.word(), "since": since.0, "since_time": time, "lines": lines,
        "total": with_figures(&report.total, json!({})),
    })
}

/// `cost_usd` is null if no turn told one; it is the whole only if `turns_with_cost` is `turns`.
fn with_figures(line: &Line, mut object: Value) -> Value {
    let spent = &line.spent;
    let cost = (spent.priced > 0).then(|| table::exact_dollars(spent.cost_micros).parse::<f64>().ok());
    let figures = json!({
        "turns": spent.turns,
        "turns_with_tokens": spent.told,
        "turns_with_cost": spent.priced,
        "input_tokens": spent.input_tokens,
        "output_tokens": spent.output_tokens,
        "cache_read_tokens": spent.cache_read_tokens,
        "cache_write_tokens": spent.cache_write_tokens,
        "reasoning_tokens": spent.reasoning_tokens,
        "cost_usd": cost.flatten(),
        "duration_ms": spent.duration_ms,
    });
    if let (Value::Object(object), Value::Object(figures)) = (&mut object, figures) {
        object.extend(figures);
    }
    object
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_thirty_days_begins_at_its_midnight() {
        // 2026-11-21T08:00Z. In New York clocks went back on 1 November.
        let now = Timestamp(1_795_248_000_000);
        for (zone, expected) in [
            ("UTC", "2026-10-23T00:00:00Z"),
            ("America/New_York", "2026-10-23T04:00:00Z"),
            ("Asia/Kathmandu", "2026-10-22T18:15:00Z"),
        ] {
            let first = first_day(now, &TimeZone::get(zone).unwrap());
            let shown = jiff::Timestamp::from_millisecond(first.0).unwrap().to_string();
            assert_eq!(shown, expected, "{zone}");
        }
    }
}
