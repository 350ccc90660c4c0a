//! Which backups of a database are forgotten.

use std::time::Duration;

use dormouse_types::Keep;
use jiff::Timestamp;

/// The backups, given by the times at which they were taken, that are not kept: their indexes. The newest is kept
/// whatever the rule says.
#[must_use]
pub fn forgotten(taken: &[Timestamp], keep: Keep, now: Timestamp) -> Vec<usize> {
    let mut order: Vec<usize> = (0..taken.len()).collect();
    order.sort_by_key(|i| std::cmp::Reverse(taken.get(*i).copied()));
    let last = usize::try_from(keep.last.max(1)).unwrap_or(usize::MAX);
    let is_young = |i: &usize| {
        let age = taken.get(*i).map(|at| now.duration_since(*at));
        age.is_some_and(|age| Duration::try_from(age).unwrap_or_default() < keep.within)
    };
    let mut old: Vec<usize> = order
        .into_iter()
        .skip(last)
        .filter(|i| !is_young(i))
        .collect();
    old.sort_unstable();
    old
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    proptest! {
        #[test]
        fn what_is_kept_is_the_newest_and_the_young(
            times in prop::collection::vec(0i64..1000, 0..20), last in 0u32..6, within in 0u64..1200,
        ) {
            let taken: Vec<Timestamp> = times.iter().copied().map(at).collect();
            let keep = Keep { last, within: Duration::from_secs(within) };
            let old = forgotten(&taken, keep, at(1000));
            let kept = (0..taken.len()).filter(|i| !old.contains(i)).collect::<Vec<_>>();
            // the newest is always kept, and as many as asked for
            prop_assert_eq!(kept.is_empty(), taken.is_empty());
            prop_assert!(kept.len() >= taken.len().min(last as usize));
            for i in &old {
                prop_assert!(1000 - times[*i] >= i64::try_from(within).unwrap());
                // nothing older is kept, unless it is as old
                prop_assert!(kept.iter().all(|k| times[*k] >= times[*i]));
            }
        }
    }
}
