//! Servers that answer in place of those of sleeping databases.

use std::sync::Arc;

use dormouse_policy::lifecycle::Notes;
use dormouse_types::{DatabaseName, Target};

use crate::create::Creator;
use crate::error::Error;

/// Servers that answer in place of those of sleeping databases.
pub struct Understudies<'a> {
    pub(super) creator: &'a Creator,
}

impl Understudies<'_> {
    /// One that runs now and is like the server of this database; the same `Arc` for one run of it.
    #[must_use]
    pub fn of(&self, _name: &DatabaseName) -> Option<Arc<Target>> {
        None
    }

    /// Makes an account without rights on it, unless it has it.
    ///
    /// # Errors
    /// [`Error::Machine`].
    pub async fn enroll(&self, _target: &Target, _user: &str, _host: &str) -> Result<(), Error> {
        Err(Error::Machine {
            doing: "making an account on an understudy".to_owned(),
            reason: "none runs".to_owned(),
        })
    }

    /// The global variables that users of a database had set when its server went to sleep, with their values as SQL
    /// literals; `None` if they are not known without its server.
    #[must_use]
    pub fn set_globals(&self, name: &DatabaseName) -> Option<Vec<(String, String)>> {
        let view = self.creator.context.registry.find(name)?.view();
        match view.notes() {
            Notes::Fresh => Some(view.noted.globals.clone()),
            Notes::Stale | Notes::Awaited => None,
        }
    }
}
