//! What decides how a server reads a statement's text: two SQL modes and the client's character set.

use dormouse_wire::status::Status;

/// How a text is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Mode {
    /// `ANSI_QUOTES`: `"` quotes a name, not a string.
    pub ansi_quotes: bool,
    /// `NO_BACKSLASH_ESCAPES`: `\` in a string is a plain byte.
    pub no_backslash_escapes: bool,
    /// The client's character set.
    pub charset: Charset,
}

impl From<Status> for Mode {
    /// The SQL modes as the server reports them with every OK packet.
    fn from(status: Status) -> Self {
        Self {
            ansi_quotes: status.contains(Status::ANSI_QUOTES),
            no_backslash_escapes: status.contains(Status::NO_BACKSLASH_ESCAPES),
            charset: Charset::Other,
        }
    }
}

/// A client character set, as far as it matters where a character ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Charset {
    /// Every byte below 0x80 is a character of its own: UTF-8 and the single-byte sets.
    #[default]
    Other,
    /// `big5`.
    Big5,
    /// `gbk`.
    Gbk,
    /// `sjis` and `cp932`.
    Sjis,
}

impl Charset {
    /// How many bytes the character at the front of `text` has: 1 or 2 (`strings/ctype-big5.c`,
    /// `ctype-gbk.c`, `ctype-sjis.c`). An invalid one has 1.
    #[must_use]
    pub fn length(self, text: &[u8]) -> usize {
        if self == Self::Other {
            return 1;
        }
        let [first, second, ..] = text else {
            return 1;
        };
        let double = match self {
            Self::Other => false,
            Self::Big5 => {
                matches!(first, 0xa1..=0xf9) && matches!(second, 0x40..=0x7e | 0xa1..=0xfe)
            }
            Self::Gbk => {
                matches!(first, 0x81..=0xfe) && matches!(second, 0x40..=0x7e | 0x80..=0xfe)
            }
            Self::Sjis => {
                matches!(first, 0x81..=0x9f | 0xe0..=0xfc)
                    && matches!(second, 0x40..=0x7e | 0x80..=0xfc)
            }
        };
        1 + usize::from(double)
    }

    /// Whether a text is cut into the same tokens in every character set: no byte that ends a token or
    /// starts one (`\`, `` ` ``, `@`, …) may be the second half of a character.
    #[must_use]
    pub fn all_read_alike(text: &[u8]) -> bool {
        text.is_ascii()
            || !text.windows(2).any(|pair| {
                matches!(pair, [0x80..=0xff, second @ 0x40..=0x7e] if !second.is_ascii_alphabetic() && *second != b'_')
            })
    }
}
