//! The statements that Dormouse runs in a tenant's place: those about accounts, roles, privileges and global
//! variables.
//!
//! No account of a tenant has the server's privileges for these. The proxy reads such a statement
//! ([`parse()`]), and the plane decides ([`check()`]) what to run with Dormouse's own account. What is run is
//! rendered from the [`Statement`]; the client's text never reaches the server.
//!
//! Pure: no I/O, no clock.
//!
//! Invariants:
//! - no name and no password, whatever it contains, ends its quotes in what is rendered;
//! - what cannot be read for certain is a [`Problem`], never another statement;
//! - passwords are in no `Debug` text and no error;
//! - Dormouse's own accounts and the system schemas appear in no plan.

// what is read
mod cursor;
pub mod parse;

// what it is
pub mod ast;
pub mod privileges;
pub mod variables;

// what becomes of it
pub mod check;
pub mod outcome;
pub mod render;
pub mod shown;

pub use ast::{Name, Statement};
pub use check::{Caller, Denied, Fact, Facts, Plan, Step, check};
pub use outcome::{Condition, Outcome};
pub use parse::{Problem, parse};
