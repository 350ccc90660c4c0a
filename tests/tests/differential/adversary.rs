//! Who disturbs: between two statements it may take backends away, or put the database to sleep.

use dormouse_testkit::Dice;

use crate::world::{Side, World};

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
