//! Running a transaction again that the end of its server has interrupted.
//!
//! While a transaction is open, its commands are kept, each with a [digest](dormouse_wire::framer::ReplyEnd::digest) of its
//! reply. If its server dies, they are run on the next one. If every reply is what it was, the client cannot tell that the
//! transaction is another one: all that it has decided is based on what the replies said. On any difference, and in
//! any doubt, the transaction counts as rolled back, which is an error that applications try again (1213, SQLSTATE 40001).
//!
//! - [`TransactionLog`]: what is kept, and why a transaction cannot be run again;
//! - [`Budget`]: how often, and for how long;
//! - [`mod@control`]: what a statement does to the transaction itself.
//!
//! What differs between two runs though nothing has happened is the time, which is set beforehand ([`TransactionLog::before`]),
//! and generated ids, which are generated or given ([`Entry::insert_id`]). Values of `RAND()` and `UUID()` are others; that is a
//! difference only if they were shown.
//!
//! Sans-IO; the proxy runs the commands. Whether what the interrupted transaction wrote is gone, so that nothing happens
//! twice, depends on the database's tables and is asked elsewhere.

mod control;
mod log;

pub use control::{Control, changes_rows, control, only_sets, reads_only};
pub use log::{
    AFTER, ATTEMPTS, Budget, Command, Entry, LEFT, MOST_BYTES, SERVERS, Spoiled, TransactionLog,
};

#[cfg(test)]
mod tests;
