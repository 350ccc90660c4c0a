//! A server that answers in place of those of sleeping databases: it has no data, and nobody has rights on it.
//!
//! Its settings are those of every server, so that it answers as they do, but for [`LIMITS`]. The plane keeps it; the proxy
//! alone chooses what is asked. Whatever is asked can neither read nor change anything, nor use much.

use dormouse_types::reserved::PLATFORM_USERS;
use dormouse_wire::NATIVE;

use super::{Admin, AdminError, TIMEOUT, literal};
use crate::{attach, rights};

const MAKING: &str = "making an understudy";
const ENROLLING: &str = "enrolling an account on an understudy";
const DROPPING: &str = "dropping the accounts of an understudy";

/// Sessions that the proxy may hold on it, and Dormouse's own.
const CONNECTIONS: &str = "160";

/// Limits of its sessions, which they have from their login on. Those that the server does not know are left out.
pub const LIMITS: [(&str, &str); 6] = [
    ("max_statement_time", "1"),
    ("max_session_mem_used", "16777216"),
    ("tmp_disk_table_size", "67108864"),
    // since 11.5
    ("max_tmp_total_space_usage", "1073741824"),
    ("max_connections", CONNECTIONS),
    ("event_scheduler", "'OFF'"),
];

/// A server that no database has.
#[derive(Debug)]
pub struct Understudy<'a>(pub(super) &'a mut Admin);

impl Understudy<'_> {
    /// Makes the server an understudy. Idempotent.
    ///
    /// # Errors
    /// As [`AdminError`] says.
    pub async fn prepare(mut self) -> Result<(), AdminError> {
        const UNKNOWN: u16 = 1193;
        self.drop_accounts().await?;
        for (name, value) in LIMITS {
            let set = format!("SET GLOBAL {name} = {value}");
            match self.0.run(MAKING, &set, TIMEOUT).await {
                Err(AdminError::Sql { error, .. }) if error.code == UNKNOWN => {}
                other => drop(other?),
            }
        }
        Ok(())
    }

    /// Makes an account without rights, with the proxy's credential for it. Accounts of the same user with other hosts
    /// are dropped, since one of them could be chosen in its place. Idempotent.
    ///
    /// # Errors
    /// As [`AdminError`] says; [`AdminError::BadUser`] if it would be an anonymous account or one of Dormouse's own.
    pub async fn enroll(self, user: &str, host: &str) -> Result<(), AdminError> {
        // an account without a host would be a role
        let own = user == "root" || PLATFORM_USERS.contains(&user);
        if own || user.is_empty() || host.is_empty() || user.eq_ignore_ascii_case("PUBLIC") {
            let why = format!("an understudy has no account '{user}'@'{host}'");
            return Err(AdminError::BadUser(why));
        }
        let name = |host: &str| format!("{}@{}", literal(user), literal(host));
        let hosts = format!(
            "SELECT Host FROM mysql.global_priv WHERE User = {}",
            literal(user)
        );
        let hosts = self.0.run(ENROLLING, &hosts, TIMEOUT).await?;
        for [other] in hosts.texts().filter(|[other]| other != host) {
            let drop = format!("DROP USER IF EXISTS {}", name(&other));
            self.0.run(ENROLLING, &drop, TIMEOUT).await?;
        }
        let hash = self.0.secret.account_hash(self.0.instance, user, host);
        let create = format!(
            "CREATE OR REPLACE USER {} IDENTIFIED VIA {NATIVE} USING '{hash}'",
            name(host)
        );
        self.0.run(ENROLLING, &create, TIMEOUT).await.map(drop)
    }

    /// Drops every account but Dormouse's own and the server's, with all rights. What `PUBLIC` keeps is the procedure
    /// that gives a connection its id.
    ///
    /// # Errors
    /// As [`AdminError`] says.
    pub async fn drop_accounts(&mut self) -> Result<(), AdminError> {
        let (platform, server) = (rights::PLATFORM.0, rights::SERVER.0);
        let procedure = attach::PROCEDURE;
        let own = format!("User IN ('{platform}', '{server}') AND Host = 'localhost'");
        for statement in [
            format!(
                "DELETE FROM mysql.global_priv WHERE NOT ({own} OR User = 'PUBLIC' AND Host = '')"
            ),
            "DELETE FROM mysql.db".to_owned(),
            format!("DELETE FROM mysql.tables_priv WHERE NOT ({own})"),
            format!("DELETE FROM mysql.columns_priv WHERE NOT ({own})"),
            format!(
                "DELETE FROM mysql.procs_priv WHERE NOT ({own} OR User = 'PUBLIC' AND Host = '' \
                 AND Db = 'mysql' AND Routine_name = '{procedure}')"
            ),
            "DELETE FROM mysql.proxies_priv".to_owned(),
            "DELETE FROM mysql.roles_mapping".to_owned(),
            "FLUSH LOCAL PRIVILEGES".to_owned(),
        ] {
            self.0.run(DROPPING, &statement, TIMEOUT).await?;
        }
        Ok(())
    }
}
