//! Which account a login matches, as the server itself would choose.

use std::net::IpAddr;

use dormouse_types::Account;

use crate::stream::Peer;

/// The account for a user from where its client is.
pub(crate) fn find<'a>(accounts: &'a [Account], user: &str, peer: &Peer) -> Option<&'a Account> {
    first(accounts, user, &[&peer.host()])
}

/// The account that the server itself chooses for a user. On its Unix socket it takes every connection
/// for one of `localhost`, also if a PROXY header names an address.
pub(crate) fn server_choice<'a>(
    accounts: &'a [Account],
    user: &str,
    peer: &Peer,
    unix: bool,
) -> Option<&'a Account> {
    let host = peer.host();
    let hosts: &[&str] = if unix {
        &[&host, "localhost"]
    } else {
        &[&host]
    };
    first(accounts, user, hosts)
}

/// The server sorts accounts by how specific their host is and takes the first whose user is equal or
/// empty and whose host matches (`sql/sql_acl.cc`, `find_user_or_anon`).
fn first<'a>(accounts: &'a [Account], user: &str, hosts: &[&str]) -> Option<&'a Account> {
    accounts
        .iter()
        .filter(|account| account.user == user || account.user.is_empty())
        .filter(|account| hosts.iter().any(|host| matches(&account.host, host)))
        .min_by_key(|account| (generality(&account.host), account.user.is_empty()))
}

/// The most sessions an account may have; `None` for any number.
pub(crate) fn sessions_of(account: &Account) -> Option<u32> {
    let limits = [account.max_sessions, account.max_sessions_global];
    limits.into_iter().find(|limit| *limit > 0)
}

/// The server's measure of a pattern (`sql/sql_acl.cc`, `get_magic_sort`): 0 for a literal host, more for
/// a pattern that more hosts match.
fn generality(pattern: &str) -> u64 {
    const LONGEST: u64 = 255;
    let (mut many, mut one, mut letters, mut prefix) = (0_u64, 0_u64, 0_u64, 0_u64);
    let mut bytes = pattern.bytes().peekable();
    while let Some(byte) = bytes.next() {
        if matches!(byte, b'%' | b'_') && many + one == 0 {
            prefix = letters;
        }
        match byte {
            b'%' => {
                many += 1;
                while bytes.next_if_eq(&b'%').is_some() {}
            }
            b'_' => one += 1,
            b'\\' => {
                let _ = bytes.next();
                letters += 1;
            }
            _ => letters += 1,
        }
    }
    let (many, one) = (many.min(31), one.min(31));
    let rest = match many {
        0 => 0,
        _ => LONGEST.saturating_sub(letters + one),
    };
    let (factor, small) = (LONGEST + 1, 32);
    if rest > one {
        (((rest * 2 + 1) * factor + many) * small + one) * factor + prefix
    } else {
        ((one * 2 * factor + rest) * small + many) * factor + prefix
    }
}

/// Whether an account's host pattern matches a client's host.
fn matches(pattern: &str, host: &str) -> bool {
    if let Some((base, mask)) = pattern.split_once('/')
        && let (Ok(base), Ok(host)) = (base.parse::<IpAddr>(), host.parse::<IpAddr>())
    {
        return in_network(base, mask, host);
    }
    let pattern: Vec<u8> = pattern.to_ascii_lowercase().into_bytes();
    like(&pattern, host.to_ascii_lowercase().as_bytes())
}

fn in_network(base: IpAddr, mask: &str, host: IpAddr) -> bool {
    match (base, mask.parse::<IpAddr>(), host) {
        (IpAddr::V4(base), Ok(IpAddr::V4(mask)), IpAddr::V4(host)) => {
            u32::from(host) & u32::from(mask) == u32::from(base)
        }
        _ => false,
    }
}

/// `LIKE` with `%`, `_` and `\`, in time linear in the text for each `%`.
fn like(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (0, 0);
    let mut retry = None;
    while t < text.len() {
        match pattern.get(p) {
            Some(b'%') => {
                p += 1;
                retry = Some((p, t));
                continue;
            }
            Some(b'_') => {
                (p, t) = (p + 1, t + 1);
                continue;
            }
            Some(b'\\') if pattern.get(p + 1) == text.get(t) => {
                (p, t) = (p + 2, t + 1);
                continue;
            }
            Some(byte) if Some(byte) == text.get(t) => {
                (p, t) = (p + 1, t + 1);
                continue;
            }
            _ => {}
        }
        let Some((after, from)) = retry else {
            return false;
        };
        (p, t) = (after, from + 1);
        retry = Some((after, from + 1));
    }
    pattern
        .get(p..)
        .is_some_and(|rest| rest.iter().all(|byte| *byte == b'%'))
}

#[cfg(test)]
mod tests {
    use dormouse_types::Transport;

    use super::*;

    fn account(user: &str, host: &str) -> Account {
        Account {
            user: user.to_owned(),
            host: host.to_owned(),
            verifiers: Vec::new(),
            locked: false,
            transport: Transport::Any,
            expiry: None,
            max_sessions: 0,
            max_sessions_global: 0,
            password_errors_most: u32::MAX,
            manager: dormouse_types::Manager::default(),
            on_demand: dormouse_types::Mark::None,
            login_status: 2,
            version: 0,
            enrolled: true,
        }
    }

    fn tcp(address: &str) -> Peer {
        let address = format!("{address}:1").parse().unwrap();
        Peer::Tcp {
            from: address,
            to: address,
        }
    }

    #[test]
    fn hosts_match_as_on_the_server() {
        for (pattern, host, expected) in [
            ("%", "10.1.2.3", true),
            ("localhost", "localhost", true),
            ("LOCALHOST", "localhost", true),
            ("localhost", "127.0.0.1", false),
            ("10.1.%", "10.1.2.3", true),
            ("10.1.%", "10.2.2.3", false),
            ("10.1.2._", "10.1.2.3", true),
            ("10.1.2._", "10.1.2.33", false),
            ("%.3", "10.1.3.3", true),
            ("10.1.0.0/255.255.0.0", "10.1.9.9", true),
            ("10.1.0.0/255.255.0.0", "10.2.9.9", false),
            ("", "10.1.2.3", false),
        ] {
            assert_eq!(matches(pattern, host), expected, "{pattern} {host}");
        }
    }

    #[test]
    fn the_most_specific_host_wins_then_the_named_user() {
        let all = [
            account("app", "%"),
            account("", "10.1.2.3"),
            account("app", "10.1.%"),
        ];
        let found = |user, peer: Peer| find(&all, user, &peer).map(|a| (&*a.user, &*a.host));
        assert_eq!(found("app", tcp("10.1.9.9")), Some(("app", "10.1.%")));
        assert_eq!(found("app", tcp("10.1.2.3")), Some(("", "10.1.2.3")));
        assert_eq!(found("app", Peer::Unix), Some(("app", "%")));
        assert_eq!(found("other", Peer::Unix), None);
    }

    #[test]
    fn patterns_are_ordered_as_on_the_server() {
        // from the most specific to the most general
        let ordered = [
            "10.1.2.3", "10.1.2._", "10.1._._", "10.1.2.%", "%.2.3", "10.%", "%",
        ];
        for pair in ordered.windows(2) {
            assert!(generality(pair[0]) < generality(pair[1]), "{pair:?}");
        }
        assert_eq!(generality("%%"), generality("%"));
    }

    #[test]
    fn on_its_unix_socket_the_server_takes_an_account_of_localhost_first() {
        let all = [account("bo", "%"), account("bo", "localhost")];
        let peer = tcp("10.1.2.3");
        let host = |unix| server_choice(&all, "bo", &peer, unix).map(|a| &*a.host);
        assert_eq!(find(&all, "bo", &peer).map(|a| &*a.host), Some("%"));
        assert_eq!(host(true), Some("localhost"));
        assert_eq!(host(false), Some("%"));
    }
}
