//! Who disturbs: between two statements it may take backends away, or put the database to sleep.

use crate::world::{Side, World};

/// A small generator of numbers (xorshift64*), so that a seed repeats a run.
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// A number below `most`.
    pub(crate) fn below(&mut self, most: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % most
    }

    /// One of several.
    pub(crate) fn one_of<'a, T: ?Sized>(&mut self, all: &[&'a T]) -> &'a T {
        let at = self.below(all.len() as u64);
        all[usize::try_from(at).unwrap()]
    }
}

/// Decides when to strike.
pub(crate) struct Adversary {
    dice: Dice,
    /// Whether it takes the backend away before every statement, and does nothing else.
    steady: bool,
}

impl Adversary {
    /// The one of a seed; that of 0 is steady.
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            dice: Dice::new(seed),
            steady: seed == 0,
        }
    }

    /// Strikes or not. What it did is told for the report.
    pub(crate) fn strike(&mut self, world: &mut World, side: &mut Side) -> &'static str {
        if self.steady {
            return world.steal();
        }
        match self.dice.below(400) {
            0..60 => world.steal(),
            60..66 => world.suspend(),
            66..69 => world.park(),
            69 => world.kill(side),
            _ => "",
        }
    }
}
