//! One client's session: commands in, replies out, for as long as the client stays.
//!
//! The session outlives its backends. It takes a backend when a statement needs one, loses it when the
//! database is parked or its server dies, and restores its state on the next one.
//!
//! A session has parts: its context (`session/context.rs`: database, user, configuration), the client's
//! side ([`crate::client`]), the state that the client has set up ([`dormouse_session`]), the hold on a
//! backend (`session/hold.rs`), and, during a command, the running command (`session/running.rs`). Only
//! the loop, the commands and the interpreter of [`dormouse_session::steps`] access all of them; every
//! other function receives only the parts that it uses.

mod account_rows;
mod admission;
mod answer;
mod asleep;
mod change_user;
mod command;
mod connections;
mod context;
mod edits;
mod ending;
mod entering;
mod exchange;
mod hold;
mod kill;
mod left;
mod main_loop;
mod mediate;
mod on_demand;
mod parameters;
mod prepare_again;
mod prepared;
mod reads;
mod replay;
mod resolve;
mod running;
mod show;
mod statement;
mod stored_code;
mod understudy;
mod waker;
mod wide;

pub(crate) use admission::{Arrival, serve};
