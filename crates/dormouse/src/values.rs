//! How single values are written: each is checked when it is read, and shown as it was written.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use dormouse_types::{Bytes, Delay};
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

/// A TCP address for clients, or none. Written `IP:PORT` or `off`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(crate) enum Listen {
    /// No TCP.
    Off,
    /// This address; port 0 takes a free one.
    At(SocketAddr),
}

impl Listen {
    /// The address, if there is one.
    pub(crate) fn address(self) -> Option<SocketAddr> {
        match self {
            Self::Off => None,
            Self::At(address) => Some(address),
        }
    }
}

/// Why a text is no address to listen on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct InvalidListen(String);

impl fmt::Display for InvalidListen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = &self.0;
        write!(
            f,
            "'{text}' is not an address: write IP:PORT (127.0.0.1:3306, [::1]:3306) or off"
        )
    }
}

impl std::error::Error for InvalidListen {}

impl Default for Listen {
    fn default() -> Self {
        Self::At(SocketAddr::from(([127, 0, 0, 1], 3306)))
    }
}

impl FromStr for Listen {
    type Err = InvalidListen;

    fn from_str(text: &str) -> Result<Self, InvalidListen> {
        if text == "off" {
            return Ok(Self::Off);
        }
        let address = text
            .strip_prefix("localhost:")
            .map(|port| format!("127.0.0.1:{port}"));
        let address = address.as_deref().unwrap_or(text);
        address
            .parse()
            .map(Self::At)
            .map_err(|_| InvalidListen(text.to_owned()))
    }
}

impl TryFrom<String> for Listen {
    type Error = InvalidListen;

    fn try_from(text: String) -> Result<Self, InvalidListen> {
        text.parse()
    }
}

impl From<Listen> for String {
    fn from(listen: Listen) -> Self {
        match listen {
            Listen::Off => "off".to_owned(),
            Listen::At(address) => address.to_string(),
        }
    }
}

/// A path for the clients' socket; relative ones are relative to where `dormouse up` is started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct ClientSocket(pub(crate) PathBuf);

impl FromStr for ClientSocket {
    type Err = std::io::Error;

    fn from_str(text: &str) -> Result<Self, std::io::Error> {
        std::path::absolute(text).map(Self)
    }
}

/// A time that must pass at some point: a [`Delay`] that is neither `never` nor 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Delay", into = "Delay")]
pub(crate) struct Span(pub(crate) Duration);

impl TryFrom<Delay> for Span {
    type Error = &'static str;

    fn try_from(delay: Delay) -> Result<Self, &'static str> {
        match delay {
            Delay::After(time) if !time.is_zero() => Ok(Self(time)),
            _ => Err("this time must be more than 0 and cannot be never"),
        }
    }
}

impl From<Span> for Delay {
    fn from(span: Span) -> Self {
        Self::After(span.0)
    }
}

/// A size of disk, written `512MiB`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(crate) struct Size(pub(crate) Bytes);

impl TryFrom<String> for Size {
    type Error = <Bytes as FromStr>::Err;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse().map(Self)
    }
}

impl From<Size> for String {
    fn from(size: Size) -> Self {
        size.0.to_string()
    }
}

/// A time zone by its IANA name: `UTC`, `Europe/Berlin`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(crate) struct Zone(pub(crate) TimeZone);

impl Default for Zone {
    fn default() -> Self {
        Self(TimeZone::UTC)
    }
}

impl TryFrom<String> for Zone {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        TimeZone::get(&name).map(Self).map_err(|_| {
            format!("'{name}' is not a time zone of this machine: write an IANA name, as in Europe/Berlin")
        })
    }
}

impl From<Zone> for String {
    fn from(zone: Zone) -> Self {
        zone.0.iana_name().unwrap_or("UTC").to_owned()
    }
}

/// A percentage of a limit, or `"never"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "NumberOrWord", into = "NumberOrWord")]
pub(crate) struct Share(pub(crate) Option<u16>);

/// How a [`Share`] is written.
#[derive(Debug, Serialize, Deserialize)]
#[serde(untagged)]
enum NumberOrWord {
    Number(i64),
    Word(String),
}

impl TryFrom<NumberOrWord> for Share {
    type Error = String;

    fn try_from(written: NumberOrWord) -> Result<Self, String> {
        match written {
            NumberOrWord::Number(percent) => u16::try_from(percent)
                .map(|percent| Self(Some(percent)))
                .map_err(|_| {
                    format!("{percent} % is no share of a limit: write 1 to 65535, or \"never\"")
                }),
            NumberOrWord::Word(word) if word == "never" => Ok(Self(None)),
            NumberOrWord::Word(word) => Err(format!(
                "'{word}' is no share of a limit: write a percentage (100) or \"never\""
            )),
        }
    }
}

impl From<Share> for NumberOrWord {
    fn from(share: Share) -> Self {
        match share.0 {
            Some(percent) => Self::Number(percent.into()),
            None => Self::Word("never".to_owned()),
        }
    }
}
