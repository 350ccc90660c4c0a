//! Which account a login matches, as the server itself would choose.

use std::net::IpAddr;

use dormouse_types::Account;

use crate::stream::Peer;

/// Finds the account for a user from a host. The server sorts accounts by how specific their host
/// is and takes the first whose user is equal or empty (MariaDB Certainty Base, "Account Names").
pub(crate) fn find<'a>(accounts: &'a [Account], user: &str, peer: &Peer) -> Option<&'a Account> {
    let host = peer.host();
    accounts
        .iter()
        .filter(|account| account.user == user || account.user.is_empty())
        .filter(|account| matches(&account.host, &host))
        .max_by_key(|account| (specificity(&account.host), !account.user.is_empty()))
}

/// The most sessions an account may have; `None` for any number.
pub(crate) fn sessions_of(account: &Account) -> Option<u32> {
    let limits = [account.max_sessions, account.max_sessions_global];
    limits.into_iter().find(|limit| *limit > 0)
}

/// Literal hosts first, then patterns by how much stands before the first wildcard.
fn specificity(pattern: &str) -> (bool, usize) {
    match pattern.find(['%', '_']) {
        None => (true, 0),
        Some(at) => (false, at),
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
            manager: dormouse_types::Manager::default(),
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
}
