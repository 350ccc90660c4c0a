//! The adversary: between two statements it takes backends away, puts the database to sleep, or gives it another primary.

use dormouse_testkit::Dice;

use crate::world::{Side, World};

/// Decides when to interrupt.
pub(crate) struct Adversary {
    dice: Dice,
    does: Does,
}

/// What it does.
enum Does {
    /// It takes the backend away, before every statement.
    Steals,
    /// Now and then one of all that puts no other server in the place of the database's.
    Interrupts,
    /// It moves the database before every statement.
    Moves,
    /// It ends the primary, and its files, before every statement.
    Loses,
}

impl Adversary {
    /// The adversary of a seed; seed 0 is steady.
    pub(crate) fn new(seed: u64) -> Self {
        let does = if seed == 0 {
            Does::Steals
        } else {
            Does::Interrupts
        };
        Self::that(does, seed)
    }

    /// One that moves the database before every statement: awake, or asleep, as its dice say.
    pub(crate) fn that_moves(seed: u64) -> Self {
        Self::that(Does::Moves, seed)
    }

    /// One that loses the primary before every statement.
    pub(crate) fn that_loses(seed: u64) -> Self {
        Self::that(Does::Loses, seed)
    }

    fn that(does: Does, seed: u64) -> Self {
        let dice = Dice::new(seed);
        Self { dice, does }
    }

    /// Interrupts or not; returns what it did.
    pub(crate) fn strike(&mut self, world: &mut World, side: &mut Side) -> &'static str {
        match self.does {
            Does::Steals => world.steal(),
            Does::Moves => {
                if self.dice.below(3) == 0 {
                    // it is not woken for the move
                    let _parked = world.park();
                }
                world.relocate(side)
            }
            Does::Loses => world.lose(side),
            Does::Interrupts => match self.dice.below(400) {
                0..60 => world.steal(),
                60..66 => world.suspend(),
                66..69 => world.park(),
                69 => world.kill(side),
                _ => "",
            },
        }
    }
}
