//! The adversary: between two statements it takes backends away, or puts the database to sleep.

use dormouse_testkit::Dice;

use crate::world::{Side, World};

/// Decides when to interrupt.
pub(crate) struct Adversary {
    dice: Dice,
    /// Whether it only takes the backend away, before every statement.
    steady: bool,
}

impl Adversary {
    /// The adversary of a seed; seed 0 is steady.
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            dice: Dice::new(seed),
            steady: seed == 0,
        }
    }

    /// Interrupts or not; returns what it did.
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
