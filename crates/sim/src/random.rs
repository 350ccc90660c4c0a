//! Random numbers from a seed, the same on every machine.

use crate::time::Micros;

/// A small random number generator (SplitMix64, Steele, Lea and Flood 2014).
#[derive(Debug, Clone)]
pub(crate) struct Random(u64);

impl Random {
    /// The generator of one database of a fleet.
    pub(crate) fn of(seed: u64, database: u64) -> Self {
        let mut random = Self(seed);
        let fleet = random.next();
        Self(fleet ^ database.wrapping_mul(0xd1b5_4a32_d192_ed03))
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `most`; 0 if `most` is 0.
    pub(crate) fn below(&mut self, most: u64) -> u64 {
        let wide = u128::from(self.next()) * u128::from(most);
        (wide >> 64) as u64
    }

    /// Above 0 and at most 1.
    fn share(&mut self) -> f64 {
        ((self.next() >> 11) + 1) as f64 / (1u64 << 53) as f64
    }

    /// An exponentially distributed time with this mean: the distance of independent events.
    pub(crate) fn wait(&mut self, mean: Micros) -> Micros {
        (-ln(self.share()) * mean as f64) as Micros
    }

    /// A Pareto-distributed number of at least `least` with the given exponent, cut at `most`.
    pub(crate) fn heavy(&mut self, least: f64, exponent: f64, most: f64) -> u32 {
        (least * self.share().powf(-1.0 / exponent)).min(most) as u32
    }
}

/// The natural logarithm of a normal number above 0, computed by its series: the C library's result
/// differs between platforms.
fn ln(x: f64) -> f64 {
    const MANTISSA: u64 = (1 << 52) - 1;
    let bits = x.to_bits();
    let (mut power, mut rest) = (
        (bits >> 52) as f64 - 1023.0,
        f64::from_bits(bits & MANTISSA | 1.0f64.to_bits()),
    );
    if rest > std::f64::consts::SQRT_2 {
        rest /= 2.0;
        power += 1.0;
    }
    // artanh
    let s = (rest - 1.0) / (rest + 1.0);
    let t = s * s;
    let series = 1.0 + t * (1.0 / 3.0 + t * (0.2 + t * (1.0 / 7.0 + t * (1.0 / 9.0 + t / 11.0))));
    power * std::f64::consts::LN_2 + 2.0 * s * series
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_the_same_numbers_and_databases_differ() {
        let numbers = |seed, database| -> Vec<u64> {
            let mut random = Random::of(seed, database);
            (0..5).map(|_| random.below(1000)).collect()
        };
        assert_eq!(numbers(1, 7), numbers(1, 7));
        assert_ne!(numbers(1, 7), numbers(1, 8));
        assert_ne!(numbers(1, 7), numbers(2, 7));
    }

    #[test]
    fn the_logarithm_is_correct() {
        for x in [
            1.0,
            0.5,
            0.7,
            0.709,
            0.999_999,
            1e-3,
            1.0 / (1u64 << 53) as f64,
        ] {
            assert!((ln(x) - f64::ln(x)).abs() < 1e-9, "{x}");
        }
    }

    #[test]
    fn waits_have_their_mean() {
        let mut random = Random::of(1, 1);
        let sum: Micros = (0..100_000).map(|_| random.wait(1_000_000)).sum();
        let mean = sum / 100_000;
        assert!((980_000..1_020_000).contains(&mean), "{mean}");
    }
}
