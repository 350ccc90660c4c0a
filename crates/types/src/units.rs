//! Compute units and sizes.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A number of bytes.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, Default, PartialOrd, Ord, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Bytes(pub u64);

impl Bytes {
    /// `n` mebibytes.
    #[must_use]
    pub const fn mib(n: u64) -> Self {
        Self(n << 20)
    }
}

/// Why a text is not a [`Bytes`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is not a size: write a whole number with KiB, MiB, GiB or TiB (512MiB, 20GiB)")]
pub struct InvalidBytes(String);

/// The units in which sizes are written, the largest first.
const SIZES: [(&str, u32); 5] = [("TiB", 40), ("GiB", 30), ("MiB", 20), ("KiB", 10), ("B", 0)];

impl FromStr for Bytes {
    type Err = InvalidBytes;

    fn from_str(text: &str) -> Result<Self, InvalidBytes> {
        let invalid = || InvalidBytes(text.to_owned());
        let (unit, shift) = SIZES
            .into_iter()
            .find(|(unit, _)| text.ends_with(unit))
            .ok_or_else(invalid)?;
        let number = text[..text.len() - unit.len()].trim_end();
        let number: u64 = number.parse().map_err(|_| invalid())?;
        number.checked_mul(1 << shift).map(Self).ok_or_else(invalid)
    }
}

impl fmt::Display for Bytes {
    /// In the format of [`FromStr`] if the number is whole, else with one digit after the point.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (unit, shift) in SIZES {
            let size = 1u64 << shift;
            if self.0 >= size && self.0.is_multiple_of(size) {
                return write!(f, "{}{unit}", self.0 / size);
            }
            if self.0 >= size {
                return write!(f, "{:.1}{unit}", self.0 as f64 / size as f64);
            }
        }
        f.write_str("0B")
    }
}

/// A number of compute units; one is half a virtual CPU and 2 GiB of memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Units(pub u16);

impl Units {
    /// CPU of these units, in thousandths of a core.
    #[must_use]
    pub const fn millicores(self) -> u32 {
        self.0 as u32 * 500
    }

    /// Memory of these units.
    #[must_use]
    pub const fn memory(self) -> Bytes {
        Bytes((self.0 as u64) << 31)
    }
}

/// Minimum and maximum units of a database. Written `1..4`, or `2` for both ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct UnitRange {
    /// Size at a wake.
    pub min: Units,
    /// Maximum size.
    pub max: Units,
}

/// Why a text is not a range of units.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is not a range of compute units: write MIN..MAX with 1 <= MIN <= MAX <= {max}, as in 1..4", max = UnitRange::MOST)]
pub struct InvalidUnits(String);

impl UnitRange {
    /// Maximum units of one database.
    pub const MOST: u16 = 512;
}

impl FromStr for UnitRange {
    type Err = InvalidUnits;

    fn from_str(text: &str) -> Result<Self, InvalidUnits> {
        let invalid = || InvalidUnits(text.to_owned());
        let (min, max) = text.split_once("..").unwrap_or((text, text));
        let min: u16 = min.parse().map_err(|_| invalid())?;
        let max: u16 = max.parse().map_err(|_| invalid())?;
        if 1 <= min && min <= max && max <= Self::MOST {
            Ok(Self {
                min: Units(min),
                max: Units(max),
            })
        } else {
            Err(invalid())
        }
    }
}

impl TryFrom<String> for UnitRange {
    type Error = InvalidUnits;

    fn try_from(text: String) -> Result<Self, InvalidUnits> {
        text.parse()
    }
}

impl From<UnitRange> for String {
    fn from(range: UnitRange) -> Self {
        range.to_string()
    }
}

impl fmt::Display for UnitRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}..{}", self.min.0, self.max.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_and_written() {
        for (text, bytes, written) in [
            ("0B", 0, "0B"),
            ("512MiB", 512 << 20, "512MiB"),
            ("20 GiB", 20 << 30, "20GiB"),
            ("1536KiB", 1536 << 10, "1.5MiB"),
        ] {
            let size: Bytes = text.parse().unwrap();
            assert_eq!((size.0, size.to_string().as_str()), (bytes, written));
        }
        for bad in ["", "5", "GiB", "-1GiB", "1.5GiB", "1GB", "99999999TiB"] {
            assert!(bad.parse::<Bytes>().is_err(), "{bad:?} was accepted");
        }
    }

    #[test]
    fn a_range_has_ordered_ends() {
        assert_eq!(
            "1..4".parse::<UnitRange>().map(|r| r.to_string()),
            Ok("1..4".to_owned())
        );
        assert_eq!(
            "2".parse::<UnitRange>().map(|r| r.to_string()),
            Ok("2..2".to_owned())
        );
        for bad in ["", "0..1", "4..1", "1..", "..1", "1..513", "a..b", "1...2"] {
            assert!(bad.parse::<UnitRange>().is_err(), "{bad:?} was accepted");
        }
    }

    #[test]
    fn a_unit_is_half_a_core_and_two_gibibytes() {
        assert_eq!(
            (Units(3).millicores(), Units(3).memory()),
            (1500, Bytes::mib(6144))
        );
    }
}
