//! The rows in which a server shows an account, without what is there for Dormouse's sake.
//!
//! An account without rights on the server sees its own rows alone; other accounts are shown by the plane.

use dormouse_session::{Effects, Kind};
use dormouse_tenant::shown::{is_shadow, shows_account, without_credential};
use dormouse_types::InstanceId;
use dormouse_wire::auth::native;
use dormouse_wire::filter::{EditRows, Edited};

use super::context::SessionContext;

/// Whether the answer to a text of this kind may show the account: also one that runs other texts or stored code.
pub(super) fn may_show_account(kind: Kind, effects: Effects) -> bool {
    kind == Kind::Other || matches!(effects, Effects::Unknown | Effects::HiddenVariable)
}

/// Takes Dormouse's credential out of the rows of the session's account.
pub(super) struct AccountRows {
    /// The credential's hash as text.
    hash: String,
}

impl AccountRows {
    /// On a server of this instance.
    pub(super) fn of(cx: &SessionContext, instance: InstanceId) -> Self {
        let identity = &cx.identity;
        let (user, host) = (&identity.account_user, &identity.account_host);
        let stage1 = cx.control().credential(instance, user, host);
        Self {
            hash: native::to_text(&native::stage2(&stage1)),
        }
    }
}

impl EditRows for AccountRows {
    fn concerns(&self, column: &[u8]) -> bool {
        shows_account(&Encoding::of(column).read(column))
    }

    fn edit(&self, value: &[u8]) -> Edited {
        let encoding = Encoding::of(value);
        let text = encoding.read(value);
        if is_shadow(&text) {
            return Edited::Gone;
        }
        match without_credential(&text, &self.hash) {
            Some(shown) => Edited::Instead(encoding.write(&shown)),
            None => Edited::Kept,
        }
    }
}

/// How a text that begins with a letter of ASCII is encoded, as `character_set_results` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Encoding {
    /// Any character set that contains ASCII.
    Bytes,
    /// UTF-16.
    Utf16,
    /// UTF-16 with the low byte first.
    Utf16Reversed,
    /// UTF-32.
    Utf32,
}

impl Encoding {
    fn of(text: &[u8]) -> Self {
        match text {
            [0, 0, 0, _, ..] => Self::Utf32,
            [0, _, ..] => Self::Utf16,
            [_, 0, ..] => Self::Utf16Reversed,
            _ => Self::Bytes,
        }
    }

    /// The text with a character for each unit; ASCII stands for itself, and [`write`](Self::write) gives the same back.
    fn read(self, text: &[u8]) -> String {
        let unit = |unit: u32| match unit {
            0..0x80 => char::from_u32(unit),
            unit => char::from_u32(PRIVATE + unit),
        };
        let unit = |number: u32| unit(number).unwrap_or(char::REPLACEMENT_CHARACTER);
        match self {
            Self::Bytes => text.iter().map(|byte| unit((*byte).into())).collect(),
            Self::Utf16 => { text.as_chunks().0.iter() }
                .map(|bytes| unit(u16::from_be_bytes(*bytes).into()))
                .collect(),
            Self::Utf16Reversed => { text.as_chunks().0.iter() }
                .map(|bytes| unit(u16::from_le_bytes(*bytes).into()))
                .collect(),
            Self::Utf32 => { text.as_chunks().0.iter() }
                .map(|bytes| char::from_u32(u32::from_be_bytes(*bytes)))
                .map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER))
                .collect(),
        }
    }

    fn write(self, text: &str) -> Vec<u8> {
        let units = text.chars().map(u32::from);
        let narrow = units.clone().map(|unit| match unit {
            PRIVATE.. => unit - PRIVATE,
            unit => unit,
        });
        // what was read fits
        let short = |unit| u16::try_from(unit).unwrap_or_default();
        match self {
            Self::Bytes => narrow.map(|unit| unit.to_le_bytes()[0]).collect(),
            Self::Utf16 => narrow.flat_map(|unit| short(unit).to_be_bytes()).collect(),
            Self::Utf16Reversed => narrow.flat_map(|unit| short(unit).to_le_bytes()).collect(),
            Self::Utf32 => units.flat_map(u32::to_be_bytes).collect(),
        }
    }
}

/// Where the units that are no ASCII are put: the first of 65,536 characters for private use.
const PRIVATE: u32 = 0xf_0000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_credential_is_left_out_in_any_character_set() {
        let rows = AccountRows {
            hash: "*2".to_owned(),
        };
        let before = "GRANT USAGE ON *.* TO `\u{e4}\u{4e00}`@`%` IDENTIFIED VIA ed25519 USING 'k'";
        let stored = format!("{before} OR mysql_native_password USING '*2'");
        let shadow = "GRANT SELECT ON `mysql`.`db` TO `a`@`%`";
        type Encode = fn(&str) -> Vec<u8>;
        let encodings: [(Encoding, Encode); 4] = [
            (Encoding::Bytes, |text| text.as_bytes().to_vec()),
            (Encoding::Utf16, |text| {
                text.encode_utf16().flat_map(u16::to_be_bytes).collect()
            }),
            (Encoding::Utf16Reversed, |text| {
                text.encode_utf16().flat_map(u16::to_le_bytes).collect()
            }),
            (Encoding::Utf32, |text| {
                let units = text.chars().map(u32::from);
                units.flat_map(u32::to_be_bytes).collect()
            }),
        ];
        for (encoding, encode) in encodings {
            assert_eq!(Encoding::of(&encode(&stored)), encoding);
            let edited = rows.edit(&encode(&stored));
            assert_eq!(edited, Edited::Instead(encode(before)), "{encoding:?}");
            assert_eq!(rows.edit(&encode(before)), Edited::Kept, "{encoding:?}");
            assert_eq!(rows.edit(&encode(shadow)), Edited::Gone, "{encoding:?}");
            assert!(rows.concerns(&encode("Grants for a@%")), "{encoding:?}");
            assert!(!rows.concerns(&encode("Grant")), "{encoding:?}");
        }
        // no text of UTF-8
        let of = |end: &str| [b"GRANT USAGE ON *.* TO `\xe4`".as_slice(), end.as_bytes()].concat();
        let edited = rows.edit(&of(" OR mysql_native_password USING '*2'"));
        assert_eq!(edited, Edited::Instead(of("")));
    }
}
