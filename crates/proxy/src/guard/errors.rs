//! Wrong passwords in a row for each account (`max_password_errors`), which a server counts too.
//!
//! The proxy checks passwords, so the server does not see wrong ones. As there, the count is kept in memory, the right
//! password resets it, and so do `FLUSH PRIVILEGES` and a statement about the account.

use std::collections::HashMap;

use dormouse_types::Account;

/// The counts of one database. Takes memory for accounts whose last password was wrong only: names without an account
/// are not counted.
#[derive(Default)]
pub(super) struct PasswordErrors(HashMap<(String, String), u32>);

impl PasswordErrors {
    /// Whether the account is blocked. As on a server, `root` on the machine itself never is.
    pub(super) fn blocks(&self, account: &Account) -> bool {
        const LOCAL: [&str; 3] = ["localhost", "127.0.0.1", "::1"];
        let exempt = account.user == "root" && LOCAL.contains(&account.host.as_str());
        let count = self.0.get(&key(account)).copied().unwrap_or(0);
        !exempt && count >= account.password_errors_most
    }

    /// Counts a wrong password.
    pub(super) fn wrong(&mut self, account: &Account) {
        let count = self.0.entry(key(account)).or_default();
        *count = count.saturating_add(1);
    }

    /// The password was right.
    pub(super) fn right(&mut self, account: &Account) {
        self.forget(|(user, host)| *user == account.user && *host == account.host);
    }

    /// Forgets the counts of the accounts for which `is` holds.
    pub(super) fn forget(&mut self, is: impl Fn(&(String, String)) -> bool) {
        self.0.retain(|key, _| !is(key));
        if self.0.is_empty() {
            self.0 = HashMap::new();
        }
    }
}

fn key(account: &Account) -> (String, String) {
    (account.user.clone(), account.host.clone())
}
