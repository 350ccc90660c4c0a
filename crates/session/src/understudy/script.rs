//! What a statement is to the caller that has an understudy run it.

/// The longest text that is looked at, in bytes.
pub const LONGEST: usize = 4096;

/// What an understudy may run, by what its caller has to do besides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Script {
    /// `SELECT`, `VALUES`, `DO`: it changes nothing but what each statement leaves (`FOUND_ROWS()`, warnings).
    /// `LAST_INSERT_ID()`, `ROW_COUNT()` and `FOUND_ROWS()` may be asked for: they must be the session's.
    Rows,
    /// `SET` of the session's own variables: what it has set must be noted.
    Set(Assigned),
    /// `SHOW`.
    Show(Shown),
}

/// What a `SET` assigns.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Assigned {
    /// The system variables, in lower case, in the order of the text; those of `SET NAMES` too.
    pub variables: Vec<&'static str>,
    /// Whether it assigns user variables.
    pub user_variables: bool,
    /// Whether a variable is set to `DEFAULT`: that is the global value, which is the database's only if the
    /// owner has not set it.
    pub defaults: bool,
}

/// What a `SHOW` shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shown {
    /// Variables: the reply may only be passed on if [`may_show`](super::may_show) allows each row.
    Variables,
    /// The warnings and errors of the statement before, or how many there are: they must be the session's.
    Conditions,
    /// What is the same in all servers of one version: engines, character sets, collations.
    Constants,
}
