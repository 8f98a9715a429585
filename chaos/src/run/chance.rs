//! Chance that can be had again: a seeded generator of numbers.
//!
//! Owned here and not a crate's, so that a seed means the same run for as long as the plans do. Never for a secret.

use std::time::Duration;

/// SplitMix64.
#[derive(Clone, Debug)]
pub struct Chance {
    state: u64,
}

impl Chance {
    /// The same seed gives the same numbers.
    pub fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    /// Another stream of the same seed: what one part of a plan draws does not change the others.
    pub fn stream(seed: u64, number: u64) -> Self {
        let mut chance = Self::new(seed ^ number.wrapping_mul(0xd134_2543_de82_ef95));
        chance.number();
        chance
    }

    fn number(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Below `bound`; 0 where that is 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        // The bias of the remainder is far below anything that matters here.
        self.number() % bound.max(1)
    }

    /// From `low` to `high`, both possible.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high.saturating_sub(low) + 1)
    }

    /// A time between two.
    pub fn millis(&mut self, low: u64, high: u64) -> Duration {
        Duration::from_millis(self.between(low, high))
    }

    /// True in so many of a hundred cases.
    pub fn percent(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    /// One of them, each as likely as its weight says. The list must not be empty.
    pub fn weighted<T: Copy>(&mut self, of: &[(u64, T)]) -> T {
        let mut left = self.below(of.iter().map(|(weight, _)| weight).sum());
        let found = of.iter().find(|(weight, _)| {
            let hit = left < *weight;
            left = left.saturating_sub(*weight);
            hit
        });
        found.unwrap_or(&of[0]).1
    }

    /// One of them. The list must not be empty.
    pub fn pick<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[usize::try_from(self.below(of.len() as u64)).unwrap_or_default()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_means_the_same_for_ever() {
        let mut chance = Chance::new(7);
        let numbers: Vec<u64> = (0..5).map(|_| chance.below(1000)).collect();
        assert_eq!(numbers, [487, 804, 346, 203, 674]);
        assert_ne!(Chance::stream(7, 1).below(u64::MAX), Chance::stream(7, 2).below(u64::MAX));
    }

    #[test]
    fn bounds_are_kept_and_weights_count() {
        let mut chance = Chance::new(1);
        for _ in 0..1000 {
            assert!((3..=5).contains(&chance.between(3, 5)));
            assert_eq!(chance.between(4, 4), 4);
            assert_eq!(chance.below(0), 0);
            assert_eq!(chance.weighted(&[(0, 'a'), (2, 'b')]), 'b');
        }
        let often = (0..1000).filter(|_| chance.weighted(&[(9, true), (1, false)])).count();
        assert!((850..950).contains(&often), "{often}");
    }
}
