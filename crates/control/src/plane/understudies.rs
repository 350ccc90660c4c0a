//! Servers that answer in place of those of sleeping databases.

use std::sync::Arc;

use dormouse_types::{DatabaseName, Target};

use crate::create::Creator;
use crate::error::Error;
use crate::status::UnderstudyCounts;

/// Servers that answer in place of those of sleeping databases.
pub struct Understudies<'a> {
    pub(super) creator: &'a Creator,
}

impl Understudies<'_> {
    /// One that runs now and is like the server of this database; the same `Arc` for one run of it. `None` also if the
    /// database has changed since it was asked about, or is awake.
    #[must_use]
    pub fn of(&self, name: &DatabaseName) -> Option<Arc<Target>> {
        let noted = self.creator.context.registry.find(name)?.fresh_notes()?;
        self.creator
            .understudies
            .like(noted.variables.as_ref()?, &noted.globals)
    }

    /// Makes an account without rights on it, unless it has it. One of the same user with another host goes; sessions go
    /// on. All may go when there are too many, so it is to be called before each login.
    ///
    /// # Errors
    /// [`Error::Machine`] if it has ended, if it does not answer, or for an account that it may not have.
    pub async fn enroll(&self, target: &Target, user: &str, host: &str) -> Result<(), Error> {
        self.creator.understudies.enroll(target, user, host).await
    }

    /// The global variables that users of a database had set when its server went to sleep, with their values as SQL
    /// literals; `None` if they are not known without its server.
    #[must_use]
    pub fn set_globals(&self, name: &DatabaseName) -> Option<Vec<(String, String)>> {
        let noted = self.creator.context.registry.find(name)?.fresh_notes()?;
        Some(noted.globals.clone())
    }

    /// How many there are.
    #[must_use]
    pub fn counts(&self) -> UnderstudyCounts {
        self.creator.understudies.counts()
    }
}
