//! Hours of messages, and whether memory stays flat.
//!
//! Owns the load and the looks at the program. What is steady growth is decided in `slope.rs`.

use std::time::{Duration, Instant};

use crate::Failure;
use crate::load::figures::{Row, Target};
use crate::load::rig::{Watch, config, until_opened};
use crate::load::slope::{Bound, Growth, Sample, growth};
use crate::numbers::{Figure, count};
use crate::stage::Stage;
use crate::subject::{Programs, Subject, Until};

/// Rooms with one message under way in each.
const ROOMS: usize = 8;
/// A kept id, with the map or list that it is in, is more than this per message. The other is what resident memory was
/// seen to move by within minutes, without a direction, twice over.
const BOUND: Bound = Bound { per_message: 64.0, whole: 1.0 };
/// Looks at the program in the whole time; one a second at most.
const LOOKS: u32 = 120;

/// What a soak showed.
#[derive(Clone, Debug)]
pub(crate) struct Soak {
    pub(crate) took: Duration,
    pub(crate) samples: Vec<Sample>,
}

impl Soak {
    /// `None`: too short to say.
    pub(crate) fn growth(&self) -> Option<Growth> {
        growth(&self.samples, BOUND)
    }

    pub(crate) fn rows(&self) -> Vec<Row> {
        let minutes = self.took.as_secs_f64() / 60.0;
        let name = format!("soak of {minutes:.1} minutes");
        let growth = self.growth();
        let slope = growth.map(|growth| Figure::once(growth.slope));
        let most = growth.map_or(BOUND.per_message, |growth| growth.most.round());
        let messages = self.samples.last().map(|sample| count(sample.messages));
        let warm = self.samples.len() / 3;
        let late: Vec<f64> = self.samples.iter().skip(warm).map(|sample| sample.resident).collect();
        vec![
            Row::new(format!("{name}: messages"), "answered", messages.map(Figure::once)),
            Row::new(format!("{name}: memory, resident"), "MB", Figure::median(&late)),
            Row::new(format!("{name}: growth of memory per message"), "bytes", slope)
                .target(Target::AtMost(most)),
        ]
    }
}

/// Loads a gateway for so long.
pub(crate) async fn soak(programs: &Programs, time: Duration, tell: &impl Fn(&str)) -> Result<Soak, Failure> {
    let mut stage = Stage::open(ROOMS).await?;
    let limits = format!("max_concurrent_turns: {ROOMS}\n");
    let config = config(stage.url(), &programs.agent, ROOMS, &limits, Watch::All, ROOMS);
    let gateway = Subject::gateway(programs, stage.url(), &config)?;
    gateway.start(Until::Connected).await?;
    stage.until_connected(true).await?;
    until_opened(&gateway, ROOMS).await?;
    let every = (time / LOOKS).max(Duration::from_secs(1).min(time / 30));
    let (begun, mut samples, mut messages) = (Instant::now(), Vec::new(), 0);
    let mut told = Instant::now();
    while begun.elapsed() < time {
        let end = Instant::now() + every;
        let next = |room| (Instant::now() < end).then_some(room);
        let all: Vec<usize> = (0..ROOMS).collect();
        messages += stage.drive(&all, next, Duration::ZERO).await?.added.len();
        stage.forget();
        let memory = gateway.memory().ok_or("the system does not say how much memory the gateway has")?;
        samples.push(Sample { messages, resident: memory.resident });
        if told.elapsed() > Duration::from_mins(1) {
            told = Instant::now();
            tell(&format!("soak: {messages} messages, {:.1} MB", memory.resident));
        }
    }
    let took = begun.elapsed();
    gateway.stop().await?;
    stage.close().await;
    Ok(Soak { took, samples })
}
