//! [`Histogram`]: percentiles of many numbers in little memory.

/// Numbers below this are exact; above, there are as many steps between a power of two and the next,
/// so the error is at most one part in 256.
const STEPS: u64 = 256;
/// log2 of [`STEPS`].
const SHIFT: u32 = 8;

/// Histogram of numbers.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Histogram {
    counts: Vec<u64>,
    count: u64,
    max: u64,
}

impl Histogram {
    pub(crate) fn add(&mut self, value: u64) {
        self.add_many(value, 1);
    }

    /// Adds the same number `times` times.
    pub(crate) fn add_many(&mut self, value: u64, times: u64) {
        if times == 0 {
            return;
        }
        let slot = slot(value);
        if self.counts.len() <= slot {
            self.counts.resize(slot + 1, 0);
        }
        self.counts[slot] += times;
        self.count += times;
        self.max = self.max.max(value);
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        if self.counts.len() < other.counts.len() {
            self.counts.resize(other.counts.len(), 0);
        }
        for (ours, theirs) in self.counts.iter_mut().zip(&other.counts) {
            *ours += theirs;
        }
        self.count += other.count;
        self.max = self.max.max(other.max);
    }

    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    pub(crate) fn max(&self) -> u64 {
        self.max
    }

    /// The percentile (nearest rank) of the numbers together with `zeros` zeros, in thousandths.
    pub(crate) fn percentile(&self, per_mille: u64, zeros: u64) -> u64 {
        let all = u128::from(self.count + zeros);
        let rank = (all * u128::from(per_mille)).div_ceil(1000).max(1);
        let mut seen = u128::from(zeros);
        if seen >= rank {
            return 0;
        }
        for (slot, count) in self.counts.iter().enumerate() {
            seen += u128::from(*count);
            if seen >= rank {
                return highest(slot).min(self.max);
            }
        }
        self.max
    }
}

fn slot(value: u64) -> usize {
    if value < STEPS {
        return value as usize;
    }
    let power = value.ilog2() - SHIFT;
    ((u64::from(power) * STEPS) + (value >> power)) as usize
}

/// The highest number of a slot.
fn highest(slot: usize) -> u64 {
    let slot = slot as u64;
    if slot < STEPS {
        return slot;
    }
    let power = slot / STEPS - 1;
    let upper = (slot - power * STEPS + 1) as u128;
    u64::try_from((upper << power) - 1).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_close_to_the_exact_ones() {
        let mut histogram = Histogram::default();
        (1..=100_000).for_each(|n| histogram.add(n));
        for (per_mille, truth) in [(500, 50_000), (990, 99_000), (999, 99_900), (1000, 100_000)] {
            let found = histogram.percentile(per_mille, 0);
            assert!(found >= truth && found - truth <= truth / 60, "{found}");
        }
        assert_eq!(histogram.percentile(500, 200_000), 0, "most are zero");
    }

    #[test]
    fn every_number_is_within_its_slot() {
        for value in (0..5000).chain([u64::MAX, u64::MAX / 3, 1 << 40]) {
            let top = highest(slot(value));
            assert!(top >= value && slot(top) == slot(value), "{value} {top}");
        }
    }

    #[test]
    fn merging_equals_counting_together() {
        let (mut a, mut b, mut all) = <(Histogram, Histogram, Histogram)>::default();
        for n in 0..1000u64 {
            let half = if n % 3 == 0 { &mut a } else { &mut b };
            half.add(n * n);
            all.add(n * n);
        }
        a.merge(&b);
        assert_eq!(a, all);
    }
}
