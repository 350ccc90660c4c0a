//! HTTP API of the control plane on a Unix socket and over TLS, and the client that the commands use.
//!
//! Modules in the order in which a request passes them: [`client`] → [`server`] → `gate`, which asks
//! [`access`] → [`routes`], which uses `login` and `metrics`. The resources of both sides are in [`model`], the errors in [`error`].
//!
//! | request | answer |
//! |---|---|
//! | `GET /v1/status` | [`model::ServerStatus`] |
//! | `GET /v1/databases` | a list of [`model::Database`] |
//! | `PATCH /v1/databases/NAME` with [`model::SettingsPatch`] | [`model::Database`] |
//! | `POST /v1/databases` with [`model::CreateRequest`] | 201, [`model::Created`] |
//! | `GET /v1/databases/NAME` | [`model::Database`] |
//! | `DELETE /v1/databases/NAME` | 204 |
//! | `POST /v1/databases/NAME/{wake,suspend,park}` | [`model::Database`], after the transition |
//! | `POST /v1/databases/NAME/park?force=true` | the same; parks although rows of MEMORY tables are lost |
//! | `GET /v1/usage?month=&by=`, `GET /v1/databases/NAME/usage?month=&by=` | [`model::UsageReport`] |
//! | `GET /v1/events?database=&after=&limit=` | a list of [`model::Event`], oldest first |
//! | the same with `&follow=true` | one [`model::Event`] per line, without end |
//! | `GET /v1/tokens` | a list of [`model::Token`] |
//! | `POST /v1/tokens` with [`model::TokenRequest`] | 201, [`model::NewToken`] |
//! | `POST /v1/tokens/ID/rotate` with [`model::RotateRequest`] | [`model::NewToken`] |
//! | `DELETE /v1/tokens/ID` | 204 |
//!
//! An error is `{"error": {"code", "message", "hint"}}` ([`error::ErrorBody`]) with the matching status.
//!
//! Invariants: this crate calls `control` and makes no decisions but who may do what; every request passes the gate,
//! and one whose route has no rule is refused; without a token only root and the process's own user on the Unix
//! socket are served; an order is executed even if its caller disconnects.

pub mod client;

pub mod server;

mod bucket;
mod connection;
mod context;

pub mod access;
mod gate;

pub mod routes;

mod login;
mod metrics;

pub mod error;
pub mod model;

pub use client::Client;
pub use context::{About, Context};
pub use error::ErrorBody;
pub use server::{Server, TlsLimits, TlsServer};
