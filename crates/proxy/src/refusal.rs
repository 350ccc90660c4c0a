//! The errors that Dormouse itself gives to clients.
//!
//! Numbers and SQLSTATEs are the server's own where it has one for the case (MariaDB Certainty
//! Base, "MariaDB Error Codes"); the text says what happened and what to do.

use std::fmt::Display;
use std::net::IpAddr;
use std::time::Duration;

use dormouse_types::{Account, DatabaseName, RefusedBy};
use dormouse_wire::reply::ErrPacket;

use crate::guard::Reached;

/// `ER_ACCESS_DENIED_ERROR`, the server's own text.
pub(crate) fn access_denied(user: &str, host: &str, with_password: bool) -> ErrPacket {
    let using = if with_password { "YES" } else { "NO" };
    let text = format!("Access denied for user '{user}'@'{host}' (using password: {using})");
    ErrPacket::new(1045, "28000", text)
}

/// The account's only plugins are ones Dormouse cannot check.
pub(crate) fn unsupported_plugin(user: &str, plugin: &str) -> ErrPacket {
    ErrPacket::new(
        1251,
        "08004",
        format!(
            "account '{user}' authenticates with '{plugin}', which Dormouse cannot check; \
             give it a mysql_native_password credential"
        ),
    )
}

/// An account that is authenticated by the operating system's user on the Unix socket; the server's
/// own text.
pub(crate) fn socket_account(user: &str, host: &str) -> ErrPacket {
    let text = format!("Access denied for user '{user}'@'{host}'");
    ErrPacket::new(1698, "28000", text)
}

/// The account can be proved only by sending the password itself, and the connection is not secret.
pub(crate) fn needs_tls(user: &str) -> ErrPacket {
    ErrPacket::new(
        1251,
        "08004",
        format!(
            "account '{user}' can be checked only by the password itself, which Dormouse does not \
             take without TLS: connect with TLS (--ssl-mode=REQUIRED, --ssl), or give the account a \
             mysql_native_password credential"
        ),
    )
}

/// An account made with `REQUIRE SSL`, on a server that was started without TLS.
pub(crate) fn server_without_tls(user: &str) -> ErrPacket {
    ErrPacket::new(
        1045,
        "28000",
        format!(
            "account '{user}' demands TLS (REQUIRE SSL), which the database's server was started \
             without: 'dormouse park' it once"
        ),
    )
}

/// An account made with `REQUIRE CIPHER`, and a cipher that only keys of RSA have.
pub(crate) fn cipher_account(user: &str) -> ErrPacket {
    ErrPacket::new(
        1045,
        "28000",
        format!(
            "account '{user}' requires a cipher for keys of RSA, and the servers of Dormouse have keys of \
             elliptic curves: require one of TLS 1.3 or one of ECDHE-ECDSA (ALTER USER ... REQUIRE CIPHER)"
        ),
    )
}

/// The server would choose another account for this user than the one that the client has proved.
pub(crate) fn other_account(user: &str, proved: &Account, chosen: &Account) -> ErrPacket {
    let name = |account: &Account| format!("'{}'@'{}'", account.user, account.host);
    ErrPacket::new(
        1045,
        "28000",
        format!(
            "user '{user}' has proved account {proved}, but the database's server, which is reached over \
             its Unix socket, would choose {chosen}: rename or drop one of the two (RENAME USER), or ask \
             whoever runs Dormouse for engine.transport = \"tcp\"",
            proved = name(proved),
            chosen = name(chosen),
        ),
    )
}

/// A locked account, the server's own text.
pub(crate) fn account_locked() -> ErrPacket {
    ErrPacket::new(4151, "HY000", "Access denied, this account is locked")
}

/// An expired password, the server's own text.
pub(crate) fn password_expired() -> ErrPacket {
    let text = "Your password has expired. To log in you must change it using a client that \
                supports expired passwords";
    ErrPacket::new(1862, "HY000", text)
}

/// A login that names no database.
pub(crate) fn no_database() -> ErrPacket {
    ErrPacket::new(
        1046,
        "3D000",
        "the login names no database: use DATABASE.USER as the user name, TLS with the server name \
         DATABASE.<domain>, or the connection attribute dormouse_database",
    )
}

/// A login over the Unix socket to a database that does not exist.
pub(crate) fn unknown_database(name: &str) -> ErrPacket {
    ErrPacket::new(
        1049,
        "42000",
        format!(
            "Unknown database '{name}': Dormouse has none of this name ('dormouse ls' lists them)"
        ),
    )
}

/// A database that must not grow or change now (`ER_OPTION_PREVENTS_STATEMENT`).
pub(crate) fn restricted(database: &DatabaseName, reason: &str) -> ErrPacket {
    ErrPacket::new(
        1290,
        "HY000",
        format!(
            "database '{database}' is read-only: {reason}; reading, DELETE, DROP, TRUNCATE and \
             OPTIMIZE are allowed"
        ),
    )
}

/// A schema that a sleeping database does not have, the server's own text.
pub(crate) fn unknown_schema(name: &[u8]) -> ErrPacket {
    ErrPacket::new(
        1049,
        "42000",
        format!("Unknown database '{}'", String::from_utf8_lossy(name)),
    )
}

/// TLS is required and the client did not ask for it.
pub(crate) fn tls_required() -> ErrPacket {
    ErrPacket::new(
        3159,
        "08004",
        "this Dormouse takes connections with TLS only (require in [tls]); connect with --ssl",
    )
}

/// A limit was reached; its name is that of the configuration.
pub(crate) fn limit(name: &str, value: impl Display) -> ErrPacket {
    ErrPacket::new(
        1040,
        "08004",
        format!("Too many connections: limit {name} = {value} is reached"),
    )
}

/// An account has all the sessions it may have, the server's own text.
pub(crate) fn too_many_of_account(user: &str, account: &Account) -> ErrPacket {
    match account.max_sessions {
        0 => ErrPacket::new(
            1203,
            "42000",
            format!("User {user} already has more than 'max_user_connections' active connections"),
        ),
        most => ErrPacket::new(
            1226,
            "42000",
            format!(
                "User '{user}' has exceeded the 'max_user_connections' resource (current value: {most})"
            ),
        ),
    }
}

/// All backends are taken and none came free in time.
pub(crate) fn no_backend(most: u32, seconds: u64, holders: &str) -> ErrPacket {
    ErrPacket::new(
        1040,
        "08004",
        format!(
            "Too many connections: no backend came free for {seconds} s (limit lease_timeout); \
             limit backends_max = {most} is reached{holders}; SHOW DORMOUSE SESSIONS tells more"
        ),
    )
}

/// A `SHOW DORMOUSE` statement that is not valid.
pub(crate) fn show_what() -> ErrPacket {
    let text = "SHOW DORMOUSE knows SESSION, SESSIONS, POOL and STATUS, and nothing after them";
    ErrPacket::new(1064, "42000", text)
}

/// A `SET DORMOUSE` statement that is not valid.
pub(crate) fn set_what() -> ErrPacket {
    let text = "SET DORMOUSE knows READS = primary, replica, any or default, and nothing after it";
    ErrPacket::new(1064, "42000", text)
}

/// The statement asks in a way that only the server can answer for a value that only the proxy has.
pub(crate) fn cannot_tell(what: &str) -> ErrPacket {
    let text = format!(
        "{what} of the statement before cannot be used like this any more: the session has left the \
         connection on which it ran. Ask for it alone (SELECT FOUND_ROWS(), SHOW WARNINGS, ...), or \
         give the database its own connections (pooling = session)"
    );
    ErrPacket::new(1235, "42000", text)
}

/// A statement must be prepared again in its schema, but the session has no current schema.
pub(crate) fn no_schema() -> ErrPacket {
    let text = "No database selected: the statement was prepared in one that has been dropped since; \
                choose one, or prepare it again";
    ErrPacket::new(1046, "3D000", text)
}

/// The session was ended by Dormouse.
pub(crate) fn ended() -> ErrPacket {
    ErrPacket::new(1053, "08S01", "Dormouse ended this session")
}

/// Too many failed logins of one client, or at one database of which this client made some.
pub(crate) fn too_many_failures(host: &str, reached: &Reached) -> ErrPacket {
    let Reached { limit, value, .. } = reached;
    let seconds = seconds(reached);
    ErrPacket::new(
        1129,
        "HY000",
        format!(
            "Host '{host}' is blocked because of failed logins: limit {limit} = {value} is reached; \
             correct the password and try again in {seconds} s"
        ),
    )
}

/// Too many wrong passwords in a row for one account from one address.
pub(crate) fn must_wait(user: &str, host: &str, failures: u32, wait: Duration) -> ErrPacket {
    let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
    ErrPacket::new(
        1129,
        "HY000",
        format!(
            "Host '{host}' is blocked because of failed logins of user '{user}': {failures} in a row; correct the \
             password and try again in {seconds} s (other users are not concerned)"
        ),
    )
}

/// A login could not make its user or schema (`ER_CANNOT_USER`).
pub(crate) fn not_made(why: impl Display) -> ErrPacket {
    ErrPacket::new(1396, "HY000", why.to_string())
}

/// Logins have made as many users and schemas as they may.
pub(crate) fn too_many_on_demand(reached: &Reached) -> ErrPacket {
    let Reached { limit, value, .. } = reached;
    let seconds = seconds(reached);
    ErrPacket::new(
        1226,
        "42000",
        format!(
            "logins have made too many users and schemas of this database: limit {limit} = {value} is reached; \
             nothing was made, try again in {seconds} s"
        ),
    )
}

/// Too many starts of servers.
pub(crate) fn too_many_wakes(reached: &Reached) -> ErrPacket {
    let Reached { limit, value, .. } = reached;
    let seconds = seconds(reached);
    ErrPacket::new(
        1203,
        "08004",
        format!(
            "the database sleeps and is not woken now: limit {limit} = {value} is reached; the statement \
             was not run, try again in {seconds} s"
        ),
    )
}

/// The time to wait, rounded up.
fn seconds(reached: &Reached) -> u64 {
    reached.wait.as_secs() + u64::from(reached.wait.subsec_nanos() > 0)
}

/// The address may not connect (`ER_HOST_NOT_PRIVILEGED`), to any database or to this one.
pub(crate) fn not_admitted(
    host: IpAddr,
    list: RefusedBy,
    database: Option<&DatabaseName>,
) -> ErrPacket {
    let (is, list) = match list {
        RefusedBy::Allow => ("is not in the allow list", "allow"),
        RefusedBy::Deny => ("is in the deny list", "deny"),
    };
    let (whose, change) = match database {
        None => (
            "of this Dormouse".to_owned(),
            format!("{list} in [access] of its configuration"),
        ),
        Some(name) => (
            format!("of database '{name}'"),
            format!("'dormouse set {name} --{list} ...'"),
        ),
    };
    ErrPacket::new(
        1130,
        "HY000",
        format!(
            "Host '{host}' is not allowed to connect: the address {is} {whose}; whoever runs it can \
             change that ({change})"
        ),
    )
}

/// A balancer whose connections must begin with a PROXY header has sent something else.
pub(crate) fn no_proxy_header(why: impl Display) -> ErrPacket {
    ErrPacket::new(
        1043,
        "08S01",
        format!(
            "Bad handshake: {why}; this address is in trusted of [proxy_protocol], whose connections begin \
             with a PROXY header"
        ),
    )
}

/// The login packet is malformed.
pub(crate) fn bad_handshake(why: impl Display) -> ErrPacket {
    ErrPacket::new(1043, "08S01", format!("Bad handshake: {why}"))
}

/// A packet whose sequence number is wrong.
pub(crate) fn out_of_order() -> ErrPacket {
    ErrPacket::new(1156, "08S01", "Got packets out of order")
}

/// A compressed packet that cannot be unpacked.
pub(crate) fn cannot_unpack() -> ErrPacket {
    let text = "Couldn't uncompress communication packet";
    ErrPacket::new(1157, "08S01", text)
}

/// A command that servers do not know.
pub(crate) fn unknown_command() -> ErrPacket {
    ErrPacket::new(1047, "08S01", "Unknown command")
}

/// A command that Dormouse does not pass on.
pub(crate) fn not_passed(command: &str, why: &str) -> ErrPacket {
    ErrPacket::new(
        1235,
        "42000",
        format!("{command} is not passed on by Dormouse: {why}"),
    )
}

/// A packet whose contents do not fit its command.
pub(crate) fn malformed() -> ErrPacket {
    ErrPacket::new(1835, "HY000", "Malformed communication packet")
}

/// A statement id that the session does not have, the server's own text; `doing` is the server's function.
pub(crate) fn unknown_statement(id: u32, doing: &str) -> ErrPacket {
    let text = format!("Unknown prepared statement handler ({id}) given to {doing}");
    ErrPacket::new(1243, "HY000", text)
}

/// Too many prepared statements.
pub(crate) fn too_many_statements(most: usize) -> ErrPacket {
    ErrPacket::new(
        1461,
        "42000",
        format!("Can't create more prepared statements: limit of one session = {most} is reached"),
    )
}

/// Too many statements wait for a server.
pub(crate) fn too_many_held(limit: usize) -> ErrPacket {
    ErrPacket::new(
        1040,
        "08004",
        format!("the database is waking and limit held_statements = {limit} is reached; try again"),
    )
}

/// A database is reserved for an import, and was for longer than statements are held.
pub(crate) fn reserved(database: &DatabaseName, seconds: u64) -> ErrPacket {
    ErrPacket::new(
        1205,
        "HY000",
        format!(
            "database '{database}' follows another server and is not open yet; the statement was held for \
             limit hold_timeout = {seconds}s and not run ('dormouse import {database} --cut-over' opens it)"
        ),
    )
}

/// A server did not come up in time.
///
/// `why`: the last failure of its server, if there was one.
pub(crate) fn hold_timeout(seconds: u64, why: Option<String>) -> ErrPacket {
    let why = why.map_or_else(
        || "'dormouse events' tells why".to_owned(),
        |why| format!("its last failure: {why}"),
    );
    ErrPacket::new(
        1205,
        "HY000",
        format!(
            "the database's server was not ready within limit hold_timeout = {seconds}s; the \
             statement was not run, try again ({why})"
        ),
    )
}

/// The database sleeps, and the session must not wake it (`never_wakes`).
pub(crate) fn never_wakes() -> ErrPacket {
    ErrPacket::new(
        1290,
        "HY000",
        "the database sleeps and this session does not wake it (never_wakes in the configuration); \
         the statement was not run",
    )
}

/// A server cannot be started.
pub(crate) fn cannot_wake(reason: &str) -> ErrPacket {
    ErrPacket::new(
        1203,
        "08004",
        format!("the database cannot be woken: {reason}; the statement was not run"),
    )
}

/// The server ended while a transaction was open, which could not be run again: the reason, if it was tried.
pub(crate) fn transaction_lost(reason: &str) -> ErrPacket {
    let why = match reason {
        "" => String::new(),
        reason => format!(" (Dormouse could not run it again: {reason})"),
    };
    ErrPacket::new(
        1213,
        "40001",
        format!(
            "the database's server was restarted and the transaction was rolled back; \
             try restarting transaction{why}"
        ),
    )
}

/// The server ended while a statement ran.
pub(crate) fn outcome_unknown() -> ErrPacket {
    ErrPacket::new(
        1053,
        "08007",
        "the database's server ended while this statement ran; whether it took effect is not known",
    )
}

/// The server ended while a statement ran that is known to have changed nothing, and that could not be run again.
pub(crate) fn undone(reason: &str) -> ErrPacket {
    ErrPacket::new(
        1213,
        "40001",
        format!(
            "the database's server was restarted while this statement ran, which has changed nothing; \
             try restarting transaction (Dormouse could not run it again: {reason})"
        ),
    )
}

/// The server ended while a statement committed, and its log does not tell whether it has.
pub(crate) fn unresolved(reason: &str) -> ErrPacket {
    ErrPacket::new(
        1053,
        "08007",
        format!(
            "the database's server ended while this statement ran; whether it took effect is not known: {reason}"
        ),
    )
}

/// The server ended while a statement committed, which it has; `pins` is lost with it.
pub(crate) fn committed(pins: &[dormouse_session::Pin]) -> ErrPacket {
    const TEXT: &str = "the database's server ended while this statement ran; it has committed, do not run it again";
    if pins.is_empty() {
        return ErrPacket::new(1053, "HY000", format!("{TEXT} (its reply is lost)"));
    }
    let names: Vec<_> = pins.iter().map(|pin| pin.as_str()).collect();
    let names = names.join(", ");
    let text = format!("{TEXT}; this session's other state is lost ({names}); connect again");
    ErrPacket::new(1927, "08S01", text)
}

/// The server sent bytes that are not a reply to its command.
pub(crate) fn out_of_turn() -> ErrPacket {
    ErrPacket::new(
        1835,
        "08S01",
        "the database's server sent a reply out of turn, which was discarded; whether the statement \
         took effect is not known; connect again (Dormouse's log tells more)",
    )
}

/// The server repeatedly closed the connection instead of reading the command.
pub(crate) fn unread() -> ErrPacket {
    let text = "Got a packet bigger than 'max_allowed_packet' bytes: the database's server closed the \
                connection without reading the statement, which was not run";
    ErrPacket::new(1153, "08S01", text)
}

/// An execution is too long to have parameter types inserted.
pub(crate) fn too_long_to_complete(limit: usize) -> ErrPacket {
    ErrPacket::new(
        1153,
        "08S01",
        format!(
            "Got a packet bigger than Dormouse can put the parameter types into, which the session's \
             present connection to its server has not been told (limit = {limit} bytes); the statement \
             was not run, prepare it again"
        ),
    )
}

/// Long data for a statement did not reach its server.
pub(crate) fn long_data_lost() -> ErrPacket {
    let text = "a part of the long data sent for this statement did not reach the server, which could not \
                be had then; the statement was not run, send all of it again";
    ErrPacket::new(1105, "HY000", text)
}

/// A reply that Dormouse must edit is too long.
pub(crate) fn too_long_to_edit() -> ErrPacket {
    let text = "the answer is longer than the 1 MiB in which Dormouse puts its own values in place of \
                the server's: ask for less of it (SHOW PROCESSLIST without FULL)";
    ErrPacket::new(1105, "HY000", text)
}

/// The server ended, and state that cannot be restored was lost with it.
pub(crate) fn state_lost(pins: &[dormouse_session::Pin]) -> ErrPacket {
    let names: Vec<_> = pins.iter().map(|pin| pin.as_str()).collect();
    ErrPacket::new(
        1927,
        "08S01",
        format!(
            "the database's server was restarted and this session's state is lost ({}); connect again",
            names.join(", ")
        ),
    )
}

/// The server runs on and has ended the connection in the middle of a statement, as `KILL` does
/// (`ER_CONNECTION_KILLED`).
pub(crate) fn killed() -> ErrPacket {
    ErrPacket::new(1927, "08S01", "Connection was killed")
}

/// The character set cannot be a client's (`ER_WRONG_VALUE_FOR_VAR`), the server's own text.
pub(crate) fn no_client_charset(name: &str) -> ErrPacket {
    let text = format!("Variable 'character_set_client' can't be set to the value of '{name}'");
    ErrPacket::new(1231, "42000", text)
}

/// An account whose passwords were wrong too often (`max_password_errors`), the server's own text.
pub(crate) fn user_blocked() -> ErrPacket {
    let text = "User is blocked because of too many credential errors; unblock with 'ALTER USER / FLUSH PRIVILEGES'";
    ErrPacket::new(4150, "HY000", text)
}

/// The session's state could not be restored on a new server.
pub(crate) fn cannot_restore(statement: &[u8], error: &str) -> ErrPacket {
    let text = String::from_utf8_lossy(statement.get(..80).unwrap_or(statement)).into_owned();
    ErrPacket::new(
        1927,
        "08S01",
        format!("this session's state could not be restored ('{text}': {error}); connect again"),
    )
}

/// `KILL` of an id that is no session of this database.
pub(crate) fn unknown_thread(id: u32) -> ErrPacket {
    ErrPacket::new(1094, "HY000", format!("Unknown thread id: {id}"))
}

/// `KILL USER` of the platform's own account (`ER_SPECIFIC_ACCESS_DENIED_ERROR`).
pub(crate) fn reserved_user() -> ErrPacket {
    let text = "Access denied: these connections are the platform's; nothing that a client does depends on them";
    ErrPacket::new(1227, "42000", text)
}

/// A statement that was killed (`ER_QUERY_INTERRUPTED`), the server's own text.
pub(crate) fn interrupted() -> ErrPacket {
    ErrPacket::new(1317, "70100", "Query execution was interrupted")
}

/// `KILL` of another user's session.
pub(crate) fn not_owner(id: u32) -> ErrPacket {
    ErrPacket::new(1095, "HY000", format!("You are not owner of thread {id}"))
}

/// The accounts could not be read.
pub(crate) fn no_accounts(why: impl Display, limit: Duration) -> ErrPacket {
    ErrPacket::new(
        1105,
        "HY000",
        format!(
            "{why}; nothing is known to be wrong with this login: try again, 'dormouse events' tells \
             more (a login waits for limit handshake_timeout = {limit:?} at most)"
        ),
    )
}

/// A login took too long (`ER_NET_READ_INTERRUPTED`).
pub(crate) fn handshake_timeout(limit: Duration) -> ErrPacket {
    ErrPacket::new(
        1159,
        "08S01",
        format!(
            "Got timeout reading communication packets: the login was not complete within limit \
             handshake_timeout = {limit:?}"
        ),
    )
}

/// The plane could not say whether a statement about accounts or global variables has run.
pub(crate) fn not_managed(why: &str) -> ErrPacket {
    ErrPacket::new(
        1105,
        "HY000",
        format!(
            "Dormouse could not run this statement in your place: {why}; look at its result before you send it \
             again"
        ),
    )
}

/// A statement that Dormouse reads itself has characters whose meaning depends on the character set.
pub(crate) fn needs_utf8() -> ErrPacket {
    ErrPacket::new(
        1300,
        "HY000",
        "statements about accounts, privileges and global variables that have other characters than ASCII are \
         read in UTF-8 only: send SET NAMES utf8mb4 first",
    )
}

/// `ER_LOCK_OR_ACTIVE_TRANSACTION`
pub(crate) fn locked_tables() -> ErrPacket {
    ErrPacket::new(
        1192,
        "HY000",
        "Can't execute the given command because you have active locked tables or an active transaction; \
         UNLOCK TABLES first",
    )
}
