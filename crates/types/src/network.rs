//! Networks of IP addresses, and lists of those that are admitted.

use core::net::IpAddr;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A network: an address and the number of leading bits that count. Written `10.0.0.0/8`, or as a single
/// address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Network {
    address: IpAddr,
    prefix: u8,
}

/// Why a text is not a [`Network`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidNetwork {
    /// It is not an address with an optional prefix length.
    #[error("'{0}' is not a network: write 10.0.0.0/8, 2001:db8::/32 or a single address")]
    Form(String),
    /// Bits after the prefix are set.
    #[error("'{text}' has bits set after its prefix: write {network}, or the single address")]
    HostBits {
        /// The text.
        text: String,
        /// The network that it lies in.
        network: Network,
    },
    /// The list is too long.
    #[error("a list has {0} networks at most")]
    TooMany(usize),
}

impl Network {
    /// Whether the address lies in the network. An IPv4 address that is written as an IPv6 one counts as IPv4.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        let (address, bits) = number(address.to_canonical());
        let (network, width) = number(self.address);
        width == bits && masked(address, width, self.prefix) == network
    }
}

/// An address as a number, and its width in bits.
fn number(address: IpAddr) -> (u128, u8) {
    match address {
        IpAddr::V4(v4) => (u32::from(v4).into(), 32),
        IpAddr::V6(v6) => (v6.into(), 128),
    }
}

fn masked(address: u128, width: u8, prefix: u8) -> u128 {
    let drop = u32::from(width.saturating_sub(prefix));
    let kept = address.checked_shr(drop).unwrap_or(0);
    kept.checked_shl(drop).unwrap_or(0)
}

impl FromStr for Network {
    type Err = InvalidNetwork;

    fn from_str(text: &str) -> Result<Self, InvalidNetwork> {
        let invalid = || InvalidNetwork::Form(text.to_owned());
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| invalid())?;
        let (address, mapped) = (address.to_canonical(), address != address.to_canonical());
        let (bits, width) = number(address);
        let prefix = match prefix {
            None => width,
            // the prefix of a mapped address would count other bits
            Some(_) if mapped => return Err(invalid()),
            Some(prefix) if prefix.bytes().all(|b| b.is_ascii_digit()) => {
                prefix.parse().map_err(|_| invalid())?
            }
            Some(_) => return Err(invalid()),
        };
        if prefix > width {
            return Err(invalid());
        }
        let network = masked(bits, width, prefix);
        let masked = match address {
            IpAddr::V4(_) => IpAddr::V4(u32::try_from(network).unwrap_or(0).into()),
            IpAddr::V6(_) => IpAddr::V6(network.into()),
        };
        let found = Self {
            address: masked,
            prefix,
        };
        if masked == address {
            Ok(found)
        } else {
            Err(InvalidNetwork::HostBits {
                text: text.to_owned(),
                network: found,
            })
        }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.prefix == number(self.address).1 {
            self.address.fmt(f)
        } else {
            write!(f, "{}/{}", self.address, self.prefix)
        }
    }
}

impl TryFrom<String> for Network {
    type Error = InvalidNetwork;

    fn try_from(text: String) -> Result<Self, InvalidNetwork> {
        text.parse()
    }
}

impl From<Network> for String {
    fn from(network: Network) -> Self {
        network.to_string()
    }
}

/// A list of networks. On the command line they are separated by commas; `none` is the empty list.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(try_from = "Vec<Network>", into = "Vec<Network>")]
pub struct Networks(Vec<Network>);

impl Networks {
    /// The longest list.
    pub const MOST: usize = 256;

    /// Whether the list is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether one of the networks contains the address.
    #[must_use]
    pub fn contain(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(address))
    }
}

impl TryFrom<Vec<Network>> for Networks {
    type Error = InvalidNetwork;

    fn try_from(networks: Vec<Network>) -> Result<Self, InvalidNetwork> {
        if networks.len() > Self::MOST {
            return Err(InvalidNetwork::TooMany(Self::MOST));
        }
        Ok(Self(networks))
    }
}

impl From<Networks> for Vec<Network> {
    fn from(networks: Networks) -> Self {
        networks.0
    }
}

impl FromStr for Networks {
    type Err = InvalidNetwork;

    fn from_str(text: &str) -> Result<Self, InvalidNetwork> {
        if text == "none" {
            return Ok(Self::default());
        }
        let networks: Result<Vec<_>, _> = text.split(',').map(|one| one.trim().parse()).collect();
        networks?.try_into()
    }
}

impl fmt::Display for Networks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("none");
        }
        for (n, network) in self.0.iter().enumerate() {
            let separator = if n == 0 { "" } else { "," };
            write!(f, "{separator}{network}")?;
        }
        Ok(())
    }
}

/// Which addresses may connect. Clients on the Unix socket have no address and are always admitted.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Access {
    /// Only these; empty: all.
    pub allow: Networks,
    /// Not these, even if they are in the other list.
    pub deny: Networks,
}

/// The list by which an address is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefusedBy {
    /// It is not in the allow list.
    Allow,
    /// It is in the deny list.
    Deny,
}

impl Access {
    /// Whether the address may connect.
    ///
    /// # Errors
    /// The list that refuses it.
    pub fn check(&self, address: IpAddr) -> Result<(), RefusedBy> {
        if self.deny.contain(address) {
            Err(RefusedBy::Deny)
        } else if self.allow.is_empty() || self.allow.contain(address) {
            Ok(())
        } else {
            Err(RefusedBy::Allow)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_are_parsed_strictly() {
        for (text, shown) in [
            ("10.0.0.0/8", "10.0.0.0/8"),
            ("10.1.2.3", "10.1.2.3"),
            ("10.1.2.3/32", "10.1.2.3"),
            ("0.0.0.0/0", "0.0.0.0/0"),
            ("2001:db8::/32", "2001:db8::/32"),
            ("::/0", "::/0"),
            ("::ffff:10.1.2.3", "10.1.2.3"),
        ] {
            assert_eq!(text.parse::<Network>().unwrap().to_string(), shown);
        }
        for text in [
            "",
            "10",
            "10.0.0.0/",
            "10.0.0.0/33",
            "10.0.0.0/+8",
            "10.0.0.0/-1",
            "::/129",
            "10.0.0.0/255.0.0.0",
            "::ffff:10.0.0.0/104",
            "10.0.0.0/8/8",
            "localhost",
        ] {
            assert!(
                matches!(text.parse::<Network>(), Err(InvalidNetwork::Form(_))),
                "{text}"
            );
        }
        let error = "10.1.2.3/8".parse::<Network>().unwrap_err().to_string();
        assert!(error.contains("write 10.0.0.0/8"), "{error}");
    }

    #[test]
    fn deny_comes_before_allow_and_no_list_admits_all() {
        let access = |allow: &str, deny: &str| Access {
            allow: allow.parse().unwrap(),
            deny: deny.parse().unwrap(),
        };
        let at = |text: &str| text.parse::<IpAddr>().unwrap();
        assert_eq!(access("none", "none").check(at("10.0.0.1")), Ok(()));
        let some = access("10.0.0.0/8,::1", "10.9.0.0/16");
        assert_eq!(some.check(at("10.0.0.1")), Ok(()));
        assert_eq!(some.check(at("::ffff:10.0.0.1")), Ok(()));
        assert_eq!(some.check(at("::1")), Ok(()));
        assert_eq!(some.check(at("10.9.0.1")), Err(RefusedBy::Deny));
        assert_eq!(some.check(at("11.0.0.1")), Err(RefusedBy::Allow));
        // an IPv6 network of all addresses holds no IPv4 address
        assert_eq!(
            access("::/0", "none").check(at("10.0.0.1")),
            Err(RefusedBy::Allow)
        );
    }

    #[test]
    fn a_list_has_a_limit() {
        let long = vec!["10.0.0.1"; Networks::MOST + 1].join(",");
        assert_eq!(
            long.parse::<Networks>(),
            Err(InvalidNetwork::TooMany(Networks::MOST))
        );
    }
}
