//! Sets of SQL modes, in the order in which a server shows them (`sql/sys_vars.cc`,
//! `sql_mode_names`).

const MODES: [&str; 35] = [
    "REAL_AS_FLOAT",
    "PIPES_AS_CONCAT",
    "ANSI_QUOTES",
    "IGNORE_SPACE",
    "IGNORE_BAD_TABLE_OPTIONS",
    "ONLY_FULL_GROUP_BY",
    "NO_UNSIGNED_SUBTRACTION",
    "NO_DIR_IN_CREATE",
    "POSTGRESQL",
    "ORACLE",
    "MSSQL",
    "DB2",
    "MAXDB",
    "NO_KEY_OPTIONS",
    "NO_TABLE_OPTIONS",
    "NO_FIELD_OPTIONS",
    "MYSQL323",
    "MYSQL40",
    "ANSI",
    "NO_AUTO_VALUE_ON_ZERO",
    "NO_BACKSLASH_ESCAPES",
    "STRICT_TRANS_TABLES",
    "STRICT_ALL_TABLES",
    "NO_ZERO_IN_DATE",
    "NO_ZERO_DATE",
    "ALLOW_INVALID_DATES",
    "ERROR_FOR_DIVISION_BY_ZERO",
    "TRADITIONAL",
    "NO_AUTO_CREATE_USER",
    "HIGH_NOT_PRECEDENCE",
    "NO_ENGINE_SUBSTITUTION",
    "PAD_CHAR_TO_FULL_LENGTH",
    "EMPTY_STRING_IS_NULL",
    "SIMULTANEOUS_ASSIGNMENT",
    "TIME_ROUND_FRACTIONAL",
];

/// Modes that imply others; a server shows the implied ones too.
const COMBINED: [&str; 9] = [
    "POSTGRESQL",
    "ORACLE",
    "MSSQL",
    "DB2",
    "MAXDB",
    "MYSQL323",
    "MYSQL40",
    "ANSI",
    "TRADITIONAL",
];

fn bits(list: &str) -> Option<u64> {
    let mut names = list.split(',').filter(|name| !name.is_empty());
    names.try_fold(0, |bits, name| {
        let at = MODES
            .iter()
            .position(|mode| mode.eq_ignore_ascii_case(name))?;
        Some(bits | 1 << at)
    })
}

/// The value of `sql_mode` after it was set to a list. `None`: it is not a list of modes, or one of them
/// implies others.
pub(crate) fn normal(list: &str) -> Option<String> {
    let set = bits(list)?;
    let named = |bit: usize| set >> bit & 1 == 1;
    let names = MODES.iter().enumerate().filter(|(bit, _)| named(*bit));
    let names: Vec<_> = names.map(|(_, name)| *name).collect();
    let combined = names.iter().any(|name| COMBINED.contains(name));
    (!combined).then(|| names.join(","))
}

/// A value of `sql_mode` with one more mode.
pub(crate) fn with(list: &str, mode: &str) -> Option<String> {
    let set = bits(list)? | bits(mode)?;
    let names = MODES.iter().enumerate();
    let names: Vec<_> = names
        .filter(|(bit, _)| set >> bit & 1 == 1)
        .map(|(_, name)| *name)
        .collect();
    Some(names.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_are_put_in_order_once_each() {
        for (list, expected) in [
            ("", Some("")),
            (",strict_trans_tables", Some("STRICT_TRANS_TABLES")),
            (
                "NO_ENGINE_SUBSTITUTION,ANSI_QUOTES,ansi_quotes",
                Some("ANSI_QUOTES,NO_ENGINE_SUBSTITUTION"),
            ),
            ("ANSI", None),
            ("TRADITIONAL,ANSI_QUOTES", None),
            ("a", None),
            ("ANSI_QUOTES, IGNORE_SPACE", None),
        ] {
            assert_eq!(normal(list).as_deref(), expected, "{list}");
        }
        assert_eq!(
            with("ANSI,STRICT_TRANS_TABLES", "IGNORE_SPACE").as_deref(),
            Some("IGNORE_SPACE,ANSI,STRICT_TRANS_TABLES")
        );
    }
}
