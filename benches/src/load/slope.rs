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

/// What a soak showed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Growth {
    /// Bytes per message.
    Flat(f64),
    /// Bytes per message.
    Steady(f64),
    /// There are too few samples, or no messages between them.
    Unknown,
}

/// Bytes of memory per message after the warming up. `None`: too few samples.
pub(crate) fn slope(samples: &[Sample]) -> Option<f64> {
    let last = samples.last()?.messages;
    let warm = count(last) * WARM_UP;
    let counted: Vec<&Sample> = samples.iter().filter(|sample| count(sample.messages) >= warm).collect();
    if counted.len() < FEWEST {
        return None;
    }
    let mut slopes = Vec::new();
    for (index, early) in counted.iter().enumerate() {
        for late in counted.iter().skip(index + 1) {
            let messages = late.messages.saturating_sub(early.messages);
            if messages > 0 {
                slopes.push((late.resident - early.resident) * 1_000_000.0 / count(messages));
            }
        }
    }
    Figure::median(&slopes).map(|figure| figure.value)
}

/// Whether memory grows by more than `bound` bytes per message.
pub(crate) fn growth(samples: &[Sample], bound: f64) -> Growth {
    match slope(samples) {
        None => Growth::Unknown,
        Some(slope) if slope > bound => Growth::Steady(slope),
        Some(slope) => Growth::Flat(slope),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sixty samples, 100 messages apart.
    fn samples(resident: impl Fn(usize) -> f64) -> Vec<Sample> {
        (0..60).map(|at| Sample { messages: at * 100, resident: resident(at) }).collect()
    }

    /// Up to half a megabyte, up and down without a rule that a line could follow.
    fn noise(at: usize) -> f64 {
        count(at * 7919 % 13) / 26.0
    }

    #[test]
    fn what_grows_with_every_message_is_found_under_noise_and_what_does_not_is_flat() {
        let megabytes_per_sample = |bytes_per_message: f64| bytes_per_message * 100.0 / 1_000_000.0;
        let line = |bytes: f64| move |at: usize| 20.0 + megabytes_per_sample(bytes) * count(at);
        let leak = line(1000.0);
        let small = line(100.0);
        for (name, taken, steady) in [
            ("flat", samples(|_| 20.0), false),
            ("noise", samples(|at| 20.0 + noise(at)), false),
            ("a leak", samples(leak), true),
            ("a leak under noise", samples(|at| leak(at) + noise(at)), true),
            ("a small growth, within the bound", samples(small), false),
            ("warming up, then flat", samples(|at| 20.0 + 0.5 * count(at.min(15))), false),
            ("one step late", samples(|at| if at < 45 { 20.0 } else { 24.0 }), false),
            ("warming up, then a leak", samples(|at| leak(at) + 0.5 * count(at.min(15))), true),
            ("falling", samples(|at| 30.0 - 0.05 * count(at)), false),
            (
                "a saw that never comes back to where it was",
                samples(|at| leak(at) - count(at % 5) * 0.2),
                true,
            ),
        ] {
            let found = growth(&taken, 200.0);
            assert_eq!(matches!(found, Growth::Steady(_)), steady, "{name}: {found:?}");
            assert!(found != Growth::Unknown, "{name}");
        }
    }

    #[test]
    fn the_slope_is_in_bytes_per_message() {
        let found = slope(&samples(|at| 20.0 + 0.1 * count(at))).unwrap();
        assert!((found - 1000.0).abs() < 1e-6, "{found}");
    }

    #[test]
    fn too_little_says_nothing() {
        assert_eq!(growth(&[], 1.0), Growth::Unknown);
        assert_eq!(growth(&samples(|_| 1.0)[..5], 1.0), Growth::Unknown);
        let still = vec![Sample { messages: 7, resident: 20.0 }; 30];
        assert_eq!(growth(&still, 1.0), Growth::Unknown, "no message between any two");
    }
}
