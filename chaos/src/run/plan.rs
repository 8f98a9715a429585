//! What is going to happen in a run: rooms, people, what they say when, what breaks when. Drawn from a seed.
//!
//! Pure, without an end: a plan gives the next step for as long as it is asked. The same seed gives the same plan. What
//! comes of it is up to the machine: processes are not as exact as their plans.

use std::time::Duration;

use acg_fault::Point;

use super::chance::Chance;
use crate::speech::{Task, Verb};

/// Shape of the world.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shape {
    /// One entry a room; `true`: its threads are conversations of their own.
    pub rooms: Vec<bool>,
    /// How many people talk, in all rooms.
    pub people: usize,
    /// Messages may be gathered into one turn.
    pub collect: bool,
    /// How many messages may wait in a conversation; 0 = any number.
    pub queue: u32,
    /// Whether the gateway is started anew once the faults end, or has to recover without.
    pub fresh_end: bool,
}

impl Shape {
    /// Drawn from the seed.
    pub fn of(seed: u64) -> Self {
        let mut chance = Chance::stream(seed, 1);
        let rooms = chance.between(5, 9);
        Self {
            rooms: (0..rooms).map(|room| room % 3 == 2).collect(),
            people: 4,
            collect: chance.percent(30),
            queue: if chance.percent(25) { 10 } else { 0 },
            fresh_end: chance.percent(70),
        }
    }
}

/// What a message wants of the agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// A short answer at once.
    Plain,
    /// After a while.
    Slow,
    /// An answer of several posts.
    Long,
    /// A tool call that people are asked about.
    Tool,
    /// The same call a second time, once the first is through. For a scene of its own only: after a gap the agent could
    /// not tell which of the two is meant.
    ToolAgain,
    /// The agent dies in the middle.
    Crash,
    /// The agent says nothing any more.
    Hang,
    /// The agent writes what is no frame.
    Garbage,
}

impl Wish {
    /// What is said for it.
    pub fn words(self, mark: &str) -> String {
        let task = |verb| Task { verb, mark: mark.to_owned() }.words();
        match self {
            Self::Plain => task(Verb::Say),
            Self::Slow => task(Verb::Slow),
            Self::Long => task(Verb::Long),
            Self::Tool => task(Verb::Tool),
            Self::ToolAgain => format!("{0} and {0}", task(Verb::Tool)),
            Self::Crash => task(Verb::Crash),
            Self::Hang => task(Verb::Hang),
            Self::Garbage => task(Verb::Garbage),
        }
    }
}

/// One thing that people say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// How long after the one before.
    pub after: Duration,
    /// Which room of [`Shape::rooms`].
    pub room: usize,
    /// Which person.
    pub person: usize,
    /// In the newest thread of the room, where there is one.
    pub in_thread: bool,
    /// What for.
    pub wish: Wish,
}

/// What people say, without an end.
#[derive(Debug)]
pub struct Talk {
    chance: Chance,
    rooms: u64,
    people: u64,
    /// Of a hundred messages, how many make the agent fail, by kind: a gathered turn fails as a whole.
    failing: u64,
    /// Lines left of a burst into a room.
    burst: Option<(u64, usize)>,
}

impl Talk {
    /// Drawn from the seed.
    pub fn of(seed: u64, shape: &Shape) -> Self {
        let chance = Chance::stream(seed, 2);
        let (rooms, people) = (shape.rooms.len() as u64, shape.people as u64);
        Self { chance, rooms, people, failing: if shape.collect { 1 } else { 4 }, burst: None }
    }

    /// What is said next.
    pub fn line(&mut self) -> Line {
        let chance = &mut self.chance;
        let number = |of: u64| usize::try_from(of).unwrap_or_default();
        if self.burst.is_none() && chance.percent(4) {
            self.burst = Some((chance.between(4, 12), number(chance.below(self.rooms))));
        }
        let (after, room) = match self.burst.take() {
            Some((left, room)) => {
                self.burst = (left > 1).then_some((left - 1, room));
                (chance.millis(0, 15), room)
            }
            None => (chance.millis(50, 900), number(chance.below(self.rooms))),
        };
        let wish = chance.weighted(&[
            (50, Wish::Plain),
            (12, Wish::Slow),
            (10, Wish::Long),
            (17, Wish::Tool),
            (self.failing, Wish::Crash),
            (self.failing.div_ceil(2), Wish::Hang),
            (self.failing, Wish::Garbage),
        ]);
        Line { after, room, person: number(chance.below(self.people)), in_thread: chance.percent(25), wish }
    }
}

/// How a person decides on a tool call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// After so long.
    Approve(Duration),
    /// After so long.
    Deny(Duration),
    /// Nobody says anything.
    Silence,
}

/// The decision on the question with this mark; the same for the same seed.
pub fn verdict(seed: u64, mark: u64) -> Verdict {
    let mut chance = Chance::stream(seed ^ mark.rotate_left(32), 4);
    // The longer ones are longer than a process is held for them.
    let after = if chance.percent(25) { chance.millis(4_000, 9_000) } else { chance.millis(50, 1_500) };
    match chance.below(10) {
        0 => Verdict::Silence,
        1 | 2 => Verdict::Deny(after),
        _ => Verdict::Approve(after),
    }
}

/// Something that breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The gateway is killed.
    Kill,
    /// The gateway is stopped where it is, and goes on after so long.
    Freeze(Duration),
    /// The gateway is asked to stop, and started again.
    Stop,
    /// The server goes down for so long, with all connections.
    Restart(Duration),
    /// Every connection is cut.
    Cut,
    /// No byte passes over the connections that are there; after so long they are cut.
    HalfOpen(Duration),
    /// Every request takes so much longer, for so long.
    Slow(Duration, Duration),
    /// The next requests are answered with this status.
    Status(u16, usize),
    /// The next posts are taken, and their answers are lost.
    LoseAnswers(usize),
    /// The next requests are carried out, and their answers are lost.
    LoseAny(usize),
    /// The next connections are refused.
    RefuseLinks(usize),
    /// The next frames come twice.
    Twice(usize),
    /// So many old frames come again.
    Again(usize),
    /// The next frames change places.
    Reorder(usize),
    /// A frame that is none.
    Garbage,
    /// The server's clock is off by so many milliseconds from now on.
    Clock(i64),
    /// The disk is full for so long.
    DiskFull(Duration),
}

/// What breaks, without an end.
#[derive(Debug)]
pub struct Troubles {
    chance: Chance,
    clock: i64,
    dealt: Vec<u64>,
}

/// How many kinds [`Troubles`] deals.
const KINDS: u64 = 17;

impl Troubles {
    /// Drawn from the seed.
    pub fn of(seed: u64) -> Self {
        Self { chance: Chance::stream(seed, 3), clock: 0, dealt: Vec::new() }
    }
}

impl Iterator for Troubles {
    /// How long after the last fault was over, and what.
    type Item = (Duration, Fault);

    /// Dealt like cards: every kind comes once before any comes again, so that a short run has them all.
    fn next(&mut self) -> Option<Self::Item> {
        if self.dealt.is_empty() {
            self.dealt = (0..KINDS).collect();
        }
        let chance = &mut self.chance;
        let card = chance.below(self.dealt.len() as u64);
        let kind = self.dealt.swap_remove(usize::try_from(card).unwrap_or_default());
        let few = |chance: &mut Chance, most: u64| usize::try_from(chance.between(1, most)).unwrap_or(1);
        let fault = match kind {
            0 => Fault::Kill,
            1 => Fault::Freeze(chance.millis(300, 4_000)),
            2 => Fault::Stop,
            3 => Fault::Restart(chance.millis(200, 3_000)),
            4 => Fault::Cut,
            5 => Fault::HalfOpen(chance.millis(1_000, 8_000)),
            6 => Fault::Slow(chance.millis(200, 1_500), chance.millis(1_000, 4_000)),
            7 => Fault::Status(429, few(chance, 3)),
            8 => Fault::Status(*chance.pick(&[500, 502, 503, 504]), few(chance, 6)),
            9 => Fault::LoseAnswers(few(chance, 3)),
            10 => Fault::LoseAny(few(chance, 3)),
            11 => Fault::RefuseLinks(few(chance, 2)),
            12 => Fault::Twice(few(chance, 8)),
            13 => Fault::Again(few(chance, 20)),
            14 => Fault::Reorder(few(chance, 5)),
            15 => {
                self.clock = jump(chance, self.clock);
                Fault::Clock(self.clock)
            }
            _ if chance.percent(50) => Fault::DiskFull(chance.millis(1_000, 4_000)),
            _ => Fault::Garbage,
        };
        Some((self.chance.millis(100, 1_800), fault))
    }
}

/// Where the clock stands next: a second or a day, ahead or back.
fn jump(chance: &mut Chance, clock: i64) -> i64 {
    let by: i64 = chance.weighted(&[(4, 1_500), (3, 40_000), (3, 600_000), (2, 86_400_000)]);
    // Never back beyond the start: what was said before a room was first served is not for the gateway.
    if clock > 0 { (clock - by).max(0) } else { clock + by }
}

/// Where the next gateway kills itself, if it does.
#[derive(Debug)]
pub struct Lives {
    chance: Chance,
    dealt: Vec<Point>,
}

impl Lives {
    /// Drawn from the seed.
    pub fn of(seed: u64) -> Self {
        Self { chance: Chance::stream(seed, 5), dealt: Vec::new() }
    }
}

impl Iterator for Lives {
    /// The point, and the how manieth time; `None`: this one is not told to die.
    type Item = Option<(Point, u64)>;

    /// Points are dealt like cards too.
    fn next(&mut self) -> Option<Self::Item> {
        if self.chance.percent(25) {
            return Some(None);
        }
        if self.dealt.is_empty() {
            self.dealt = Point::ALL.to_vec();
        }
        let card = self.chance.below(self.dealt.len() as u64);
        let point = self.dealt.swap_remove(usize::try_from(card).unwrap_or_default());
        Some(Some((point, self.chance.between(1, 4))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_plan_and_another_one_another() {
        let talk = |seed| {
            let mut talk = Talk::of(seed, &Shape::of(seed));
            (0..200).map(|_| talk.line()).collect::<Vec<_>>()
        };
        assert_eq!(talk(3), talk(3));
        assert_ne!(talk(3), talk(4));
        let faults = |seed| Troubles::of(seed).take(50).collect::<Vec<_>>();
        assert_eq!(faults(3), faults(3));
        assert_ne!(faults(3), faults(4));
        let lives = |seed| Lives::of(seed).take(50).collect::<Vec<_>>();
        assert_eq!(lives(3), lives(3));
        assert_eq!(Shape::of(9), Shape::of(9));
        assert_eq!(verdict(1, 2), verdict(1, 2));
    }

    #[test]
    fn a_short_run_meets_every_kind_of_fault_and_every_point() {
        for seed in 0..20 {
            let faults = Troubles::of(seed).map(|(_, fault)| std::mem::discriminant(&fault));
            let mut kinds: Vec<_> = faults.zip(0..KINDS).map(|(kind, _)| kind).collect();
            kinds.sort_by_key(|kind| format!("{kind:?}"));
            kinds.dedup();
            // Two of the statuses are one kind of fault.
            assert_eq!(kinds.len() as u64, KINDS - 1);
            let mut points: Vec<_> =
                Lives::of(seed).flatten().take(Point::ALL.len()).map(|(point, _)| point).collect();
            points.sort();
            assert_eq!(points, {
                let mut all = Point::ALL.to_vec();
                all.sort();
                all
            });
        }
    }

    #[test]
    fn every_wish_and_every_verdict_comes() {
        let mut talk = Talk::of(1, &Shape::of(1));
        let lines: Vec<Line> = (0..2000).map(|_| talk.line()).collect();
        for wish in [Wish::Plain, Wish::Slow, Wish::Long, Wish::Tool, Wish::Crash, Wish::Hang, Wish::Garbage]
        {
            assert!(lines.iter().any(|line| line.wish == wish), "{wish:?}");
        }
        let verdicts: Vec<Verdict> = (0..100).map(|mark| verdict(1, mark)).collect();
        assert!(verdicts.contains(&Verdict::Silence));
        assert!(verdicts.iter().any(|verdict| matches!(verdict, Verdict::Deny(_))));
        assert!(verdicts.iter().filter(|verdict| matches!(verdict, Verdict::Approve(_))).count() > 50);
    }
}
