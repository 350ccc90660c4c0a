//! Character sets that no client may have: a character takes two bytes or more, so a text in them cannot be read as
//! ASCII.

/// The name of the character set of this collation, if no client may have it (`include/m_ctype.h`,
/// `is_supported_parser_charset`). The numbers are those of `information_schema.COLLATIONS`.
pub(super) fn wide_charset(collation: u16) -> Option<&'static str> {
    // a collation without padding has the number of the other one and 1024
    let padded = match collation {
        1024..2048 => collation - 1024,
        other => other,
    };
    match padded {
        35 | 90 | 128..=151 | 159 | 640..=642 | 2560..2816 => Some("ucs2"),
        54 | 55 | 101..=124 | 672..=674 | 2816..3072 => Some("utf16"),
        56 | 62 => Some("utf16le"),
        60 | 61 | 160..=183 | 736..=738 | 3072..3328 => Some("utf32"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wide_character_sets_are_known_by_their_collations() {
        for (collation, expected) in [
            (35, Some("ucs2")),
            (1174, Some("ucs2")),
            (54, Some("utf16")),
            (1125, Some("utf16")),
            (1080, Some("utf16le")),
            (183, Some("utf32")),
            (1206, Some("utf32")),
            (3100, Some("utf32")),
            (8, None),
            (33, None),
            (45, None),
            (255, None),
            (2304, None),
        ] {
            assert_eq!(wide_charset(collation), expected, "{collation}");
        }
    }
}
