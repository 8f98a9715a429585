//! Whether memory grows with the number of messages. Pure.
//!
//! A program that keeps something of every message grows on a straight line; one that warms up, or whose allocator
//! takes a step now and then, does not. So the slope is the median over all pairs of samples, which a few steps do not
//! move, and what was taken while it warmed up is left out. Must never call a growth flat because it is noisy.

use crate::numbers::{Figure, count};

/// One look at the program.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Sample {
    /// Messages answered until then.
    pub(crate) messages: usize,
    /// Resident memory, millions of bytes.
    pub(crate) resident: f64,
}

/// This part of all messages counts as warming up.
const WARM_UP: f64 = 1.0 / 3.0;
/// Fewer samples than this after the warming up say nothing.
const FEWEST: usize = 8;

/// How much growth is none.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Bound {
    /// Bytes per message.
    pub(crate) per_message: f64,
    /// Millions of bytes in the whole time: what an allocator may do without a reason. It hides nothing from a long run.
    pub(crate) whole: f64,
}

/// What a soak showed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Growth {
    /// Bytes of memory per message after the warming up.
    pub(crate) slope: f64,
    /// The most that it may be, for as many messages as there were.
    pub(crate) most: f64,
}

impl Growth {
    /// Whether memory grows with the number of messages.
    pub(crate) fn is_steady(self) -> bool {
        self.slope > self.most
    }
}

/// `None`: there are too few samples, or no messages between them.
pub(crate) fn growth(samples: &[Sample], bound: Bound) -> Option<Growth> {
    let warm = count(samples.last()?.messages) * WARM_UP;
    let counted: Vec<&Sample> = samples.iter().filter(|sample| count(sample.messages) >= warm).collect();
    if counted.len() < FEWEST {
        return None;
    }
    let messages = counted.last()?.messages.saturating_sub(counted.first()?.messages);
    let mut slopes = Vec::new();
    for (index, early) in counted.iter().enumerate() {
        for late in counted.iter().skip(index + 1) {
            let messages = late.messages.saturating_sub(early.messages);
            if messages > 0 {
                slopes.push((late.resident - early.resident) * 1_000_000.0 / count(messages));
            }
        }
    }
    let slope = Figure::median(&slopes)?.value;
    Some(Growth { slope, most: bound.per_message + bound.whole * 1_000_000.0 / count(messages) })
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUND: Bound = Bound { per_message: 64.0, whole: 1.0 };

    /// Sixty samples, so many messages apart.
    fn samples(apart: usize, resident: impl Fn(usize) -> f64) -> Vec<Sample> {
        (0..60).map(|at| Sample { messages: at * apart, resident: resident(at) }).collect()
    }

    /// Up to half a megabyte, up and down without a rule that a line could follow.
    fn noise(at: usize) -> f64 {
        count(at * 7919 % 13) / 26.0
    }

    /// Memory that grows by so many bytes per message.
    fn line(apart: usize, bytes: f64) -> impl Fn(usize) -> f64 + Copy {
        move |at| 20.0 + bytes * count(apart * at) / 1_000_000.0
    }

    #[test]
    fn what_grows_with_every_message_is_found_under_noise_and_what_does_not_is_flat() {
        let leak = line(100, 1000.0);
        for (name, taken, steady) in [
            ("flat", samples(100, |_| 20.0), false),
            ("noise", samples(100, |at| 20.0 + noise(at)), false),
            ("a leak", samples(100, leak), true),
            ("a leak under noise", samples(100, |at| leak(at) + noise(at)), true),
            ("warming up, then flat", samples(100, |at| 20.0 + 0.5 * count(at.min(15))), false),
            ("one step late", samples(100, |at| if at < 45 { 20.0 } else { 24.0 }), false),
            ("warming up, then a leak", samples(100, |at| leak(at) + 0.5 * count(at.min(15))), true),
            ("falling", samples(100, |at| 30.0 - 0.05 * count(at)), false),
            ("a saw that never comes back", samples(100, |at| leak(at) - count(at % 5) * 0.2), true),
            ("a small leak in a short run", samples(100, line(100, 150.0)), false),
            ("a small leak in a long run", samples(10_000, line(10_000, 150.0)), true),
            ("less than the bound in a long run", samples(10_000, line(10_000, 60.0)), false),
        ] {
            let found = growth(&taken, BOUND).unwrap();
            assert_eq!(found.is_steady(), steady, "{name}: {found:?}");
        }
    }

    #[test]
    fn the_slope_is_in_bytes_per_message_and_the_bound_falls_with_the_messages() {
        let short = growth(&samples(100, line(100, 1000.0)), BOUND).unwrap();
        assert!((short.slope - 1000.0).abs() < 1e-6, "{short:?}");
        // 3900 messages after the first third.
        assert!((short.most - (64.0 + 1_000_000.0 / 3900.0)).abs() < 1e-6, "{short:?}");
        let long = growth(&samples(100_000, line(100_000, 0.0)), BOUND).unwrap();
        assert!(long.most < 65.0, "{long:?}");
    }

    #[test]
    fn too_little_says_nothing() {
        assert_eq!(growth(&[], BOUND), None);
        assert_eq!(growth(&samples(100, |_| 1.0)[..5], BOUND), None);
        let still = vec![Sample { messages: 7, resident: 20.0 }; 30];
        assert_eq!(growth(&still, BOUND), None, "no message between any two");
    }
}
