//! The plane in virtual time, on a simulated machine with faults at given steps.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "it is all tests")]
#![expect(unreachable_pub, reason = "modules of one test share what is in them")]

mod backup;
mod branch;
mod crash;
mod doors;
mod hours;
mod intent;
mod life;
mod lost_catalog;
mod machine;
mod memory_tables;
mod rights;
mod run;
mod scale;
mod simulated;
mod startup;
mod storage;
mod tokens;
mod trouble;
mod understudy;
mod usage;
mod who;
