//! The control plane over HTTP on a Unix socket, and the client that the commands use.
//!
//! Modules in the order in which a request visits them: [`client`] → [`server`] → [`routes`]; the
//! resources both ends speak of are in [`model`], the errors in [`error`].
//!
//! | request | answer |
//! |---|---|
//! | `GET /v1/status` | [`model::ServerStatus`] |
//! | `GET /v1/databases` | a list of [`model::Database`] |
//! | `PATCH /v1/databases/NAME` with [`model::SettingsPatch`] | [`model::Database`] |
//! | `POST /v1/databases` with [`model::CreateRequest`] | 201, [`model::Created`] |
//! | `GET /v1/databases/NAME` | [`model::Database`] |
//! | `DELETE /v1/databases/NAME` | 204 |
//! | `POST /v1/databases/NAME/{wake,suspend,park}` | [`model::Database`], once it is so |
//! | `POST /v1/databases/NAME/park?force=true` | the same, though rows of MEMORY tables are lost |
//! | `GET /v1/usage?month=&by=`, `GET /v1/databases/NAME/usage?month=&by=` | [`model::UsageReport`] |
//! | `GET /v1/events?database=&after=&limit=` | a list of [`model::Event`], oldest first |
//! | the same with `&follow=true` | one [`model::Event`] per line, without end |
//!
//! A failure is `{"error": {"code", "message", "hint"}}` ([`error::ErrorBody`]) with a fitting status.
//!
//! Invariants: this crate calls `control` and decides nothing; whoever may open the socket (mode
//! 0600) may do everything; an order once given is carried out even if the caller hangs up.

pub mod client;
mod context;
pub mod error;
mod login;
mod metrics;
pub mod model;
pub mod routes;
pub mod server;

pub use client::Client;
pub use context::{About, Context};
pub use error::ErrorBody;
pub use server::Server;
