//! Figures from samples: percentiles, spread, ratios. Pure.

/// A figure with the smallest and the largest of its samples.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Figure {
    pub(crate) value: f64,
    pub(crate) low: f64,
    pub(crate) high: f64,
}

impl Figure {
    /// Measured once.
    pub(crate) fn once(value: f64) -> Self {
        Self { value, low: value, high: value }
    }

    /// The median of several measurements.
    pub(crate) fn median(samples: &[f64]) -> Option<Self> {
        Self::percentile(&[samples], 50.0).map(|figure| {
            let low = samples.iter().copied().fold(f64::INFINITY, f64::min);
            let high = samples.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            Self { low, high, ..figure }
        })
    }

    /// A percentile over all blocks together, with the smallest and largest that a single block gives.
    pub(crate) fn percentile(blocks: &[impl AsRef<[f64]>], percent: f64) -> Option<Self> {
        let all: Vec<f64> = blocks.iter().flat_map(|block| block.as_ref().iter().copied()).collect();
        let each: Vec<f64> = blocks.iter().filter_map(|block| at(block.as_ref(), percent)).collect();
        Some(Self {
            value: at(&all, percent)?,
            low: each.iter().copied().fold(f64::INFINITY, f64::min),
            high: each.iter().copied().fold(f64::NEG_INFINITY, f64::max),
        })
    }
}

/// The smallest sample that at least `percent` of all are not above.
fn at(samples: &[f64], percent: f64) -> Option<f64> {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    let below = sorted.len().checked_sub(1)?;
    let rank = (percent / 100.0 * count(sorted.len())).ceil();
    let index = (0..below).find(|index| count(index + 1) >= rank).unwrap_or(below);
    sorted.get(index).copied()
}

/// A number of things, for dividing.
pub(crate) fn count(things: usize) -> f64 {
    u32::try_from(things).map_or(f64::MAX, f64::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_samples_that_were_measured() {
        let samples: Vec<f64> = (1..=100).map(f64::from).collect();
        assert_eq!(at(&samples, 50.0), Some(50.0));
        assert_eq!(at(&samples, 99.0), Some(99.0));
        assert_eq!(at(&samples, 100.0), Some(100.0));
        assert_eq!(at(&[7.0], 90.0), Some(7.0));
        assert_eq!(at(&[3.0, 1.0, 2.0], 50.0), Some(2.0));
        assert_eq!(at(&[], 50.0), None);
    }

    #[test]
    fn the_spread_is_that_of_blocks_and_the_value_that_of_all() {
        let blocks = [vec![1.0, 2.0, 3.0], vec![10.0, 20.0, 30.0]];
        assert_eq!(Figure::percentile(&blocks, 50.0), Some(Figure { value: 3.0, low: 2.0, high: 20.0 }));
        assert_eq!(Figure::median(&[5.0, 1.0, 9.0]), Some(Figure { value: 5.0, low: 1.0, high: 9.0 }));
        assert_eq!(Figure::median(&[]), None);
    }
}
