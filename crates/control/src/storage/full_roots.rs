//! Data roots, beside the data directory, whose disks are full: databases there may not grow.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use dormouse_driver::Offer;
use dormouse_types::Bytes;
use tracing::{error, info};

/// The roots whose disks are full, and why nothing there may grow.
#[derive(Debug, Default)]
pub(super) struct FullRoots(Mutex<BTreeMap<PathBuf, Arc<str>>>);

impl FullRoots {
    /// Looks at the roots behind the first; `true` if another one is full than before, or one is full no longer. One that was
    /// full has room again when a tenth more than the reserve is free.
    pub(super) fn look(&self, offer: &Offer, reserve: Bytes) -> bool {
        let mut full = self.full();
        let mut has_changed = false;
        for root in offer.roots.iter().skip(1) {
            // a root that is missing has no server that could write
            let Ok(disk) = &root.disk else { continue };
            let was_full = full.contains_key(&root.dir);
            let enough = if was_full {
                Bytes(reserve.0 + reserve.0 / 10)
            } else {
                reserve
            };
            let is_full = disk.free < enough;
            if is_full == was_full {
                continue;
            }
            has_changed = true;
            let (place, free) = (root.dir.display(), disk.free);
            if is_full {
                let reason = format!(
                    "the disk of {place} has {free} left, and {reserve} are kept free (disk_reserve)"
                );
                error!(reason, "no database there may grow");
                full.insert(root.dir.clone(), reason.into());
            } else {
                info!(%place, %free, "databases there may grow again");
                full.remove(&root.dir);
            }
        }
        has_changed
    }

    /// Whether none is.
    pub(super) fn is_empty(&self) -> bool {
        self.full().is_empty()
    }

    /// Why nothing may grow in a root.
    pub(super) fn of(&self, root: &Path) -> Option<Arc<str>> {
        self.full().get(root).cloned()
    }

    fn full(&self) -> MutexGuard<'_, BTreeMap<PathBuf, Arc<str>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use dormouse_driver::{Disk, Root};

    use super::*;

    #[test]
    fn a_root_is_full_below_the_reserve_until_a_tenth_more_is_free() {
        let offer = |free: u64| {
            let root = |dir: &str, disk| Root {
                dir: dir.into(),
                disk,
            };
            let disk = |free| {
                Ok(Disk {
                    free: Bytes(free),
                    size: Bytes(10_000),
                })
            };
            Offer {
                // the first one is looked at by others
                roots: vec![
                    root("/first", disk(0)),
                    root("/second", disk(free)),
                    root("/away", Err("not mounted".to_owned())),
                ],
                servers: Vec::new(),
            }
        };
        let full = FullRoots::default();
        for (free, has_changed, is_full) in [
            (100, false, false),
            (99, true, true),
            (99, false, true),
            (109, false, true),
            (110, true, false),
            (100, false, false),
        ] {
            assert_eq!(full.look(&offer(free), Bytes(100)), has_changed, "{free}");
            assert_eq!(full.of(Path::new("/second")).is_some(), is_full, "{free}");
            assert_eq!(full.is_empty(), !is_full);
        }
        assert_eq!(full.of(Path::new("/first")), None);
    }
}
