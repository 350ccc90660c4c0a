//! The character sets and collations for which answers are known.
//!
//! Numbers are those in column definitions. A server sends UCA 14.0.0 collations with the numbers of UCA
//! 4.0.0, because their own do not fit into the protocol's field (MariaDB 10.10 and later).

use dormouse_types::Variables;

/// One collation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Collation {
    pub(crate) name: &'static str,
    pub(crate) charset: &'static str,
    /// Its number in column definitions.
    pub(crate) number: u16,
    /// The maximum bytes per character.
    pub(crate) width: u32,
}

const fn of(name: &'static str, charset: &'static str, number: u16, width: u32) -> Collation {
    Collation {
        name,
        charset,
        number,
        width,
    }
}

/// All collations of four character sets that a login can name, as in `information_schema.COLLATIONS`. The
/// first of each character set is its compiled-in default.
const COLLATIONS: [Collation; 65] = [
    of("utf8mb4_general_ci", "utf8mb4", 45, 4),
    of("utf8mb4_bin", "utf8mb4", 46, 4),
    of("utf8mb4_unicode_ci", "utf8mb4", 224, 4),
    of("utf8mb4_icelandic_ci", "utf8mb4", 225, 4),
    of("utf8mb4_latvian_ci", "utf8mb4", 226, 4),
    of("utf8mb4_romanian_ci", "utf8mb4", 227, 4),
    of("utf8mb4_slovenian_ci", "utf8mb4", 228, 4),
    of("utf8mb4_polish_ci", "utf8mb4", 229, 4),
    of("utf8mb4_estonian_ci", "utf8mb4", 230, 4),
    of("utf8mb4_spanish_ci", "utf8mb4", 231, 4),
    of("utf8mb4_swedish_ci", "utf8mb4", 232, 4),
    of("utf8mb4_turkish_ci", "utf8mb4", 233, 4),
    of("utf8mb4_czech_ci", "utf8mb4", 234, 4),
    of("utf8mb4_danish_ci", "utf8mb4", 235, 4),
    of("utf8mb4_lithuanian_ci", "utf8mb4", 236, 4),
    of("utf8mb4_slovak_ci", "utf8mb4", 237, 4),
    of("utf8mb4_spanish2_ci", "utf8mb4", 238, 4),
    of("utf8mb4_roman_ci", "utf8mb4", 239, 4),
    of("utf8mb4_persian_ci", "utf8mb4", 240, 4),
    of("utf8mb4_esperanto_ci", "utf8mb4", 241, 4),
    of("utf8mb4_hungarian_ci", "utf8mb4", 242, 4),
    of("utf8mb4_sinhala_ci", "utf8mb4", 243, 4),
    of("utf8mb4_german2_ci", "utf8mb4", 244, 4),
    of("utf8mb4_croatian_mysql561_ci", "utf8mb4", 245, 4),
    of("utf8mb4_unicode_520_ci", "utf8mb4", 246, 4),
    of("utf8mb4_vietnamese_ci", "utf8mb4", 247, 4),
    of("utf8mb4_uca1400_ai_ci", "utf8mb4", 224, 4),
    of("utf8mb3_general_ci", "utf8mb3", 33, 3),
    of("utf8mb3_bin", "utf8mb3", 83, 3),
    of("utf8mb3_unicode_ci", "utf8mb3", 192, 3),
    of("utf8mb3_icelandic_ci", "utf8mb3", 193, 3),
    of("utf8mb3_latvian_ci", "utf8mb3", 194, 3),
    of("utf8mb3_romanian_ci", "utf8mb3", 195, 3),
    of("utf8mb3_slovenian_ci", "utf8mb3", 196, 3),
    of("utf8mb3_polish_ci", "utf8mb3", 197, 3),
    of("utf8mb3_estonian_ci", "utf8mb3", 198, 3),
    of("utf8mb3_spanish_ci", "utf8mb3", 199, 3),
    of("utf8mb3_swedish_ci", "utf8mb3", 200, 3),
    of("utf8mb3_turkish_ci", "utf8mb3", 201, 3),
    of("utf8mb3_czech_ci", "utf8mb3", 202, 3),
    of("utf8mb3_danish_ci", "utf8mb3", 203, 3),
    of("utf8mb3_lithuanian_ci", "utf8mb3", 204, 3),
    of("utf8mb3_slovak_ci", "utf8mb3", 205, 3),
    of("utf8mb3_spanish2_ci", "utf8mb3", 206, 3),
    of("utf8mb3_roman_ci", "utf8mb3", 207, 3),
    of("utf8mb3_persian_ci", "utf8mb3", 208, 3),
    of("utf8mb3_esperanto_ci", "utf8mb3", 209, 3),
    of("utf8mb3_hungarian_ci", "utf8mb3", 210, 3),
    of("utf8mb3_sinhala_ci", "utf8mb3", 211, 3),
    of("utf8mb3_german2_ci", "utf8mb3", 212, 3),
    of("utf8mb3_croatian_mysql561_ci", "utf8mb3", 213, 3),
    of("utf8mb3_unicode_520_ci", "utf8mb3", 214, 3),
    of("utf8mb3_vietnamese_ci", "utf8mb3", 215, 3),
    of("utf8mb3_general_mysql500_ci", "utf8mb3", 223, 3),
    of("utf8mb3_uca1400_ai_ci", "utf8mb3", 192, 3),
    of("latin1_swedish_ci", "latin1", 8, 1),
    of("latin1_german1_ci", "latin1", 5, 1),
    of("latin1_danish_ci", "latin1", 15, 1),
    of("latin1_german2_ci", "latin1", 31, 1),
    of("latin1_bin", "latin1", 47, 1),
    of("latin1_general_ci", "latin1", 48, 1),
    of("latin1_general_cs", "latin1", 49, 1),
    of("latin1_spanish_ci", "latin1", 94, 1),
    of("ascii_general_ci", "ascii", 11, 1),
    of("ascii_bin", "ascii", 65, 1),
];

/// MySQL 8's default, which MariaDB 11.4.5 and later know by name and number.
const MYSQL_8: Collation = of("utf8mb4_0900_ai_ci", "utf8mb4", 255, 4);

/// Finds a server's collations by name and number.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Collations<'a>(pub(crate) &'a Variables);

impl Collations<'_> {
    fn knows_mysql_8(self) -> bool {
        let version = self.0.get("version");
        version.is_some_and(|version| version.starts_with("11.8."))
    }

    /// The character set that the alias `utf8` stands for.
    fn utf8(self) -> &'static str {
        let modes = self.0.get("old_mode").unwrap_or_default();
        if modes.split(',').any(|mode| mode == "UTF8_IS_UTF8MB3") {
            "utf8mb3"
        } else {
            "utf8mb4"
        }
    }

    /// The character set's name, without aliases.
    fn charset(self, name: &str) -> String {
        let name = name.to_ascii_lowercase();
        match name.as_str() {
            "utf8" => self.utf8().to_owned(),
            _ => name,
        }
    }

    /// A collation by its name.
    pub(crate) fn named(self, name: &str) -> Option<Collation> {
        let mut name = name.to_ascii_lowercase();
        if let Some(rest) = name.strip_prefix("utf8_") {
            name = format!("{}_{rest}", self.utf8());
        }
        let known = COLLATIONS.iter().find(|one| one.name == name).copied();
        known.or_else(|| (name == MYSQL_8.name && self.knows_mysql_8()).then_some(MYSQL_8))
    }

    /// The compiled-in default of a character set: results have it if only their character set is set.
    pub(crate) fn compiled(self, charset: &str) -> Option<Collation> {
        let charset = self.charset(charset);
        COLLATIONS
            .iter()
            .find(|one| one.charset == charset)
            .copied()
    }

    /// The default collation of a character set, as `character_set_collations` says (11.2 and later).
    pub(crate) fn default(self, charset: &str) -> Option<Collation> {
        let charset = self.charset(charset);
        let mapped = self.0.get("character_set_collations").unwrap_or_default();
        let mapped = mapped
            .split(',')
            .find_map(|pair| pair.strip_prefix(&*charset)?.strip_prefix('='));
        match mapped {
            Some(name) => self.named(name),
            None => self.compiled(&charset),
        }
    }

    /// The collation of a connection whose login has this number.
    pub(crate) fn of_login(self, number: u8) -> Option<Collation> {
        let number = u16::from(number);
        if number == MYSQL_8.number {
            if self.knows_mysql_8() {
                return Some(MYSQL_8);
            }
            // for an unknown number a server uses its own collation
            let version = self.0.get("version")?;
            let own = self.0.get("collation_server")?;
            let compiled = self.compiled("utf8mb4")?;
            return (version.starts_with("10.") && own == compiled.name).then_some(compiled);
        }
        let found = COLLATIONS.iter().find(|one| one.number == number)?;
        if self.compiled(found.charset) == Some(*found) {
            self.default(found.charset)
        } else {
            Some(*found)
        }
    }
}
