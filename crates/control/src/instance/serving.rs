//! A server that runs.

use std::sync::Arc;

use dormouse_driver::Observed;
use dormouse_types::{Endpoint, Incarnation};

/// A server that runs: which run it is, and how it is reached.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Serving {
    pub(crate) incarnation: Incarnation,
    pub(crate) endpoint: Endpoint,
}

impl Serving {
    /// What the driver says.
    pub(crate) fn seen(seen: &Observed) -> Option<Arc<Self>> {
        Some(Arc::new(Self {
            incarnation: seen.incarnation?,
            endpoint: seen.endpoint.clone()?,
        }))
    }
}
