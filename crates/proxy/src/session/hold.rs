//! A session's hold on a backend.
//!
//! [`Hold`] has at most one lease. All that belongs to one backend is in that lease (`hold/lease.rs`);
//! dropping it closes the connection and updates the session's handle. `hold/held.rs`: losing
//! a backend and leaving it to others; `hold/taking.rs`: getting one; `hold/asking.rs`: Dormouse's own
//! questions to it; `hold/carrying.rs`: temporary tables over a park; `hold/orders.rs`: giving it up for other sessions and for the control path.

mod asking;
mod carrying;
mod held;
mod lease;
mod orders;
mod taking;
mod unready;

pub(crate) use held::Hold;
pub(crate) use taking::reuse;
pub(crate) use unready::Unready;
