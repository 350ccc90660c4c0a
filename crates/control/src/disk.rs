//! The disk that holds the files of all databases.

use std::fmt;
use std::io;
use std::sync::Arc;

use dormouse_types::Bytes;

/// Returns the free space of the disk.
type Free = dyn Fn() -> io::Result<Bytes> + Send + Sync;

/// The disk that holds the files of all databases.
#[derive(Clone)]
pub struct Disk {
    pub(crate) reserve: Bytes,
    free: Arc<Free>,
}

impl Disk {
    /// A disk of which `reserve` is kept free. `free` returns its free space without blocking.
    pub fn new(
        reserve: Bytes,
        free: impl Fn() -> io::Result<Bytes> + Send + Sync + 'static,
    ) -> Self {
        Self {
            reserve,
            free: Arc::new(free),
        }
    }

    /// Its free space.
    pub(crate) fn free(&self) -> io::Result<Bytes> {
        (self.free)()
    }
}

impl fmt::Debug for Disk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Disk")
            .field("reserve", &self.reserve)
            .finish_non_exhaustive()
    }
}
