//! [`RunAgain`]: what decides whether statements that the end of a server interrupted can be run again.

/// What a database has that keeps statements, which the end of its server has interrupted, from being run again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RunAgain {
    /// Whether it has tables without transactions: what an interrupted transaction wrote to them stays.
    pub plain_tables: bool,
    /// Whether it has stored functions: a query may have written by one.
    pub functions: bool,
    /// Whether the server on which they ran was killed for want of memory: they may be what took it.
    pub starved: bool,
}
