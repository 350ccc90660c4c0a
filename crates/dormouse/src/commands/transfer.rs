//! Tells the ledger of an import or export when it has ended.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use dormouse_api::Client;
use dormouse_api::model::{Direction, TransferNote};
use dormouse_types::{Bytes, DatabaseName};

use super::{block_on, told};
use crate::Outcome;
use crate::import::progress::Figures;

/// An import or export that has begun.
#[derive(Debug, Clone)]
pub(crate) struct Transfer {
    api: PathBuf,
    name: DatabaseName,
    direction: Direction,
    /// From where, or from what and to where.
    what: String,
    figures: Arc<Figures>,
    began: Instant,
}

impl Transfer {
    /// Begins one, of which these figures tell.
    pub(crate) fn begin(
        api: PathBuf,
        name: &DatabaseName,
        direction: Direction,
        what: String,
        figures: &Arc<Figures>,
    ) -> Self {
        Self {
            api,
            name: name.clone(),
            direction,
            what,
            figures: Arc::clone(figures),
            began: Instant::now(),
        }
    }

    /// Tells of its end.
    ///
    /// # Errors
    /// Dormouse does not answer. The import or export itself has ended as it has.
    pub(crate) fn end(&self, error: Option<&str>) -> Outcome {
        let get = |figure: &std::sync::atomic::AtomicU64| figure.load(Ordering::Relaxed);
        let counted = |figure| (self.direction == Direction::Import).then(|| get(figure));
        let note = TransferNote {
            direction: self.direction,
            what: self.what.clone(),
            bytes: Bytes(get(&self.figures.bytes)),
            tables: counted(&self.figures.tables),
            rows: counted(&self.figures.rows),
            duration_ms: u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX),
            error: error.map(str::to_owned),
        };
        let client = Client::new(&self.api);
        block_on(async { client.note_transfer(&self.name, &note).await.map_err(told) })
    }
}
