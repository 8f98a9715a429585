//! How far the server's clock is from ours, learnt from the `Date` headers of its answers.
//!
//! Pure. A `Date` is cut to whole seconds, so each answer gives an interval; several narrow it down. Where the
//! two clocks may agree, they are taken to agree.

use acg_types::Timestamp;

/// What is known: the server's clock minus ours is within, in milliseconds.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Offset {
    bounds: Option<(i64, i64)>,
}

impl Offset {
    /// Takes in an answer: its `Date`, and our clock when it was asked for and when it came.
    pub(crate) fn note(&mut self, date: Timestamp, asked: Timestamp, came: Timestamp) {
        let low = date.0.saturating_sub(came.0);
        let high = date.0.saturating_add(999).saturating_sub(asked.0.min(came.0));
        self.bounds = Some(match self.bounds {
            Some((known_low, known_high)) if low <= known_high && known_low <= high => {
                (low.max(known_low), high.min(known_high))
            }
            // One of the clocks was set: what was known holds no more.
            _ => (low, high),
        });
    }

    /// The smallest correction that fits.
    pub(crate) fn estimate(&self) -> i64 {
        self.bounds.map_or(0, |(low, high)| 0_i64.clamp(low, high.max(low)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: i64) -> Timestamp {
        Timestamp(ms)
    }

    #[test]
    fn clocks_that_may_agree_are_taken_to_agree() {
        let mut offset = Offset::default();
        assert_eq!(offset.estimate(), 0);
        offset.note(at(10_000), at(10_100), at(10_900));
        offset.note(at(11_000), at(11_000), at(11_001));
        assert_eq!(offset.estimate(), 0);
    }

    #[test]
    fn a_clock_ahead_or_behind_is_found_to_within_a_second() {
        for skew in [-3_600_000_i64, -1_500, 1_500, 86_400_000] {
            let mut offset = Offset::default();
            for ours in [10_000, 10_350, 10_700, 11_050] {
                let server = (ours + skew).div_euclid(1000) * 1000;
                offset.note(at(server), at(ours), at(ours + 5));
            }
            assert!((offset.estimate() - skew).abs() <= 700, "{skew}: {offset:?}");
        }
    }

    #[test]
    fn a_clock_that_jumps_is_learnt_anew() {
        let mut offset = Offset::default();
        offset.note(at(10_000), at(10_000), at(10_010));
        offset.note(at(900_000), at(11_000), at(11_010));
        assert!((offset.estimate() - 889_000).abs() <= 1_000, "{offset:?}");
        offset.note(at(i64::MAX), at(i64::MIN), at(i64::MIN));
    }
}
