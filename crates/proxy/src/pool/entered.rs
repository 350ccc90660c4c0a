//! Which schemas the accounts of a database have entered on a server since privileges may have changed last: while the
//! database sleeps, nothing else tells whether an account may enter one.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use dormouse_session::Role;

use crate::identity::Identity;

/// Most schemas noted for one database, counted for each account and role.
const MOST: usize = 256;

/// What is known of one account.
#[derive(Debug, Default)]
struct Account {
    /// The role that it has after a login.
    of_login: Option<Vec<u8>>,
    /// The roles and the schemas that were entered with them.
    entered: BTreeSet<(Option<Vec<u8>>, Vec<u8>)>,
}

#[derive(Debug, Default)]
struct Known {
    /// The [count](super::place::Changes::rights) of changes of privileges for which this holds.
    rights: u64,
    /// By user and host of the account.
    accounts: BTreeMap<(String, String), Account>,
    count: usize,
}

/// The schemas entered on the servers of one database.
#[derive(Debug, Default)]
pub(crate) struct Entered(Mutex<Known>);

/// A session that has entered a schema on its backend.
pub(crate) struct Entering<'a> {
    pub(crate) who: &'a Identity,
    /// The role that its backend had after its login.
    pub(crate) of_login: Option<&'a [u8]>,
    pub(crate) role: Role,
    pub(crate) schema: &'a [u8],
    /// The count of changes of privileges before.
    pub(crate) rights: u64,
}

impl Entered {
    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that a session has entered a schema; `rights`: the present count of changes of privileges.
    pub(crate) fn note(&self, entering: Entering<'_>, rights: u64) {
        if entering.rights != rights {
            // the server may have checked before a change that has ended meanwhile
            return;
        }
        let mut known = self.known();
        if known.rights != rights || known.count >= MOST {
            *known = Known {
                rights,
                ..Known::default()
            };
        }
        let who = entering.who;
        let account = (who.account_user.clone(), who.account_host.clone());
        let account = known.accounts.entry(account).or_default();
        account.of_login = entering.of_login.map(<[u8]>::to_vec);
        let role = match entering.role {
            Role::OfLogin => account.of_login.clone(),
            Role::Is(role) => role.map(String::into_bytes),
        };
        let new = account.entered.insert((role, entering.schema.to_vec()));
        known.count += usize::from(new);
    }

    /// Whether a session of this account with this role may enter the schema, as far as known.
    pub(crate) fn may(&self, who: &Identity, role: &Role, schema: &[u8], rights: u64) -> bool {
        let known = self.known();
        let account = (who.account_user.clone(), who.account_host.clone());
        let Some(account) = known
            .accounts
            .get(&account)
            .filter(|_| known.rights == rights)
        else {
            return false;
        };
        let role = match role {
            Role::OfLogin => account.of_login.clone(),
            Role::Is(role) => role.clone().map(String::into_bytes),
        };
        account.entered.contains(&(role, schema.to_vec()))
    }
}
