//! Wrong passwords in a row for each account (`max_password_errors`), which a server counts too.
//!
//! The proxy checks passwords, so the server does not see wrong ones. As there (seen on 10.11 and 11.8), the count is kept in
//! memory, a login with the right password resets it, also one that fails for another reason, and so do `FLUSH
//! PRIVILEGES` and statements that write the account anew. A login without a password neither counts nor resets.

use std::collections::HashMap;

use dormouse_tenant::check::PasswordErrors as Change;
use dormouse_types::{Account, Verifier};
use dormouse_wire::auth::NATIVE;

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
        if counts(account) {
            let count = self.0.entry(key(account)).or_default();
            *count = count.saturating_add(1);
        }
    }

    /// The password was right.
    pub(super) fn right(&mut self, account: &Account) {
        let (user, host) = key(account);
        self.change(&Change::Forgotten((user, host)));
    }

    /// Follows a statement about accounts.
    pub(super) fn change(&mut self, change: &Change) {
        let (Change::Forgotten(account) | Change::Moved(account, _)) = change;
        // hosts are compared as the server compares them
        let is =
            |key: &(String, String)| key.0 == account.0 && key.1.eq_ignore_ascii_case(&account.1);
        let Some(key) = self.0.keys().find(|key| is(key)).cloned() else {
            return;
        };
        let count = self.0.remove(&key);
        if let (Change::Moved(_, to), Some(count)) = (change, count) {
            self.0.insert(to.clone(), count);
        }
        if self.0.is_empty() {
            self.0 = HashMap::new();
        }
    }

    /// All accounts begin anew.
    pub(super) fn forget(&mut self) {
        self.0 = HashMap::new();
    }
}

/// Whether wrong passwords of the account are counted. The server counts if the account's last method says that the
/// password is wrong: `unix_socket` and `parsec` only say that something is.
fn counts(account: &Account) -> bool {
    match account.verifiers.last() {
        Some(
            Verifier::Native(_)
            | Verifier::NoPassword
            | Verifier::Ed25519(_)
            | Verifier::CachingSha2(_),
        ) => true,
        // a hash that no password has
        Some(Verifier::Other(plugin)) => plugin == NATIVE,
        Some(Verifier::Parsec { .. } | Verifier::UnixSocket(_)) | None => false,
    }
}

fn key(account: &Account) -> (String, String) {
    (account.user.clone(), account.host.clone())
}
