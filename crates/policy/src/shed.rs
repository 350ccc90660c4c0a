//! Which database moves away from a data root that is nearly full.
//!
//! A root sheds databases when more than [`LIMIT`] percent of its disk are in use, until less than [`ENOUGH`] are. One database moves
//! at a time, to the root with the largest share free of those that stay below the limit with it: so no move makes a root
//! shed. Databases that sleep go first, then those that were awake for the shortest time lately, then those that have slept
//! for longest.
//!
//! Invariants: a root that sheds gets no database; a root that does not shed does not begin to because of a move; each move
//! takes a database from a root that sheds to one that does not. So all moves together end.
//!
//! Called by `control`, by the task that watches the data roots.

use dormouse_types::Bytes;

/// Percent in use from which on a root sheds databases.
pub const LIMIT: u8 = 70;
/// Percent in use below which it sheds no more.
pub const ENOUGH: u8 = 65;

/// The disk of a data root.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Disk {
    /// What is used.
    pub used: Bytes,
    /// Its size.
    pub size: Bytes,
}

impl Disk {
    /// Whole percents in use, rounded down.
    #[must_use]
    pub fn percent(self) -> u64 {
        let percent = u128::from(self.used.0) * 100 / u128::from(self.size.0.max(1));
        u64::try_from(percent).unwrap_or(u64::MAX)
    }

    /// Whether more than this percentage is used.
    fn exceeds(self, percent: u8) -> bool {
        u128::from(self.used.0) * 100 > u128::from(self.size.0) * u128::from(percent)
    }

    /// Whether at least this percentage is used.
    fn reaches(self, percent: u8) -> bool {
        u128::from(self.used.0) * 100 >= u128::from(self.size.0) * u128::from(percent)
    }

    /// Whether databases are to leave it. `before`: whether they were until now.
    #[must_use]
    pub fn sheds(self, before: bool) -> bool {
        self.exceeds(LIMIT) || (before && self.reaches(ENOUGH))
    }

    fn has_room_for(self, more: Bytes) -> bool {
        let used = Bytes(self.used.0.saturating_add(more.0));
        !Self { used, ..self }.reaches(LIMIT)
    }
}

/// A data root, as it is seen now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen<'a> {
    /// Its directory, for the reason.
    pub dir: &'a str,
    /// Its disk; `None` if it cannot be used.
    pub disk: Option<Disk>,
    /// Whether databases are to leave it.
    pub sheds: bool,
}

/// A database that may be moved now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Movable {
    /// Index of its root.
    pub root: usize,
    /// Roots that it does not move to: others of its servers are there.
    pub shuns: Vec<usize>,
    /// Disk space of its files.
    pub size: Bytes,
    /// Whether its server runs.
    pub awake: bool,
    /// How long it was awake in the last days, in milliseconds.
    pub active_ms: u64,
    /// Since when it is as it is, in milliseconds since 1970.
    pub since: i64,
}

/// A move.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Move {
    /// Index of the database.
    pub database: usize,
    /// Index of the root to which it moves.
    pub to: usize,
    /// Reason, for people.
    pub reason: String,
}

/// The next move, if there is one.
#[must_use]
pub fn next(roots: &[Seen<'_>], databases: &[Movable]) -> Option<Move> {
    let mut order: Vec<usize> = (0..databases.len()).collect();
    order.sort_by_key(|index| {
        let database = databases.get(*index);
        database.map(|one| (one.awake, one.active_ms, one.since, *index))
    });
    order.into_iter().find_map(|index| {
        let database = databases.get(index)?;
        let from = roots.get(database.root).filter(|root| root.sheds)?;
        let disk = from.disk?;
        let to = target(roots, database)?;
        Some(Move {
            database: index,
            to,
            reason: format!(
                "its data directory {} is {} % full",
                from.dir,
                disk.percent()
            ),
        })
    })
}

/// The root to which a database moves.
fn target(roots: &[Seen<'_>], database: &Movable) -> Option<usize> {
    let fits = roots.iter().enumerate().filter_map(|(index, seen)| {
        let disk = seen.disk.filter(|_| !seen.sheds)?;
        let other = index != database.root && !database.shuns.contains(&index);
        (other && disk.has_room_for(database.size)).then_some((disk.percent(), index))
    });
    fits.min().map(|(_, index)| index)
}

#[cfg(test)]
mod tests;
