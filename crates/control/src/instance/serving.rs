//! A running server.

use std::sync::Arc;

use dormouse_driver::Observed;
use dormouse_types::{Endpoint, Incarnation};

/// A running server: its run and its endpoint.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Serving {
    pub(crate) incarnation: Incarnation,
    pub(crate) endpoint: Endpoint,
}

impl Serving {
    /// From the driver's observation; `None` if no server runs.
    pub(crate) fn seen(seen: &Observed) -> Option<Arc<Self>> {
        Some(Arc::new(Self {
            incarnation: seen.incarnation?,
            endpoint: seen.endpoint.clone()?,
        }))
    }
}
