//! The rows of `SHOW GRANTS` and `SHOW CREATE USER` as the account's owner knows them: without Dormouse's credential, and
//! without the privileges that every account has for Dormouse's sake.

/// What these rows begin with: on `sys` and `mysql` no tenant can grant anything.
const SHADOWS: [&str; 3] = [
    "GRANT SELECT, CREATE TEMPORARY TABLES, EXECUTE ON `sys`.* TO ",
    "GRANT SELECT ON `mysql`.`",
    "GRANT EXECUTE ON PROCEDURE `mysql`.`dormouse_attach` TO ",
];

const NATIVE: &str = "mysql_native_password";
const VIA: &str = " IDENTIFIED VIA ";

/// Whether the rows of a result with this only column show an account.
#[must_use]
pub fn shows_account(column: &str) -> bool {
    column.starts_with("Grants for ") || column.starts_with("CREATE USER for ")
}

/// Whether a row is there for Dormouse's sake.
#[must_use]
pub fn is_shadow(row: &str) -> bool {
    SHADOWS.iter().any(|begin| row.starts_with(begin))
}

/// The text without the credential that has this hash (`*…`). A single credential of `mysql_native_password` that is
/// left is written as the server writes it (`sql/sql_acl.cc`, `add_user_parameters`). `None`: the text has no such
/// credential.
///
/// ```
/// use dormouse_tenant::shown::without_credential;
///
/// let row = "CREATE USER `a`@`%` IDENTIFIED VIA mysql_native_password USING '*1' OR mysql_native_password USING '*2'";
/// let shown = without_credential(row, "*2");
/// assert_eq!(shown.as_deref(), Some("CREATE USER `a`@`%` IDENTIFIED BY PASSWORD '*1'"));
/// ```
#[must_use]
pub fn without_credential(text: &str, hash: &str) -> Option<String> {
    let ours = format!(" OR {NATIVE} USING '{hash}'");
    let (before, after) = text.split_once(&ours)?;
    let own = before.rfind(VIA).and_then(|at| {
        let (account, methods) = before.split_at_checked(at)?;
        Some((account, methods.strip_prefix(VIA)?))
    });
    let (account, identified) = match own {
        Some((account, NATIVE)) => (account, String::new()),
        Some((account, methods)) => match alone(methods) {
            Some(hash) => (account, format!(" IDENTIFIED BY PASSWORD {hash}")),
            None => (before, String::new()),
        },
        None => (before, String::new()),
    };
    Some(format!("{account}{identified}{after}"))
}

/// The quoted hash, if this is one credential of `mysql_native_password` alone.
fn alone(methods: &str) -> Option<&str> {
    let value = methods.strip_prefix(NATIVE)?.strip_prefix(" USING ")?;
    let inner = value.strip_prefix('\'')?.strip_suffix('\'')?;
    (!inner.contains('\'')).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_is_shown_as_the_server_would_without_the_credential() {
        let ours = "*0123456789ABCDEF0123456789ABCDEF01234567";
        let or = format!(" OR mysql_native_password USING '{ours}'");
        for (before, after, expected) in [
            (
                "GRANT USAGE ON *.* TO `a`@`%` IDENTIFIED VIA mysql_native_password USING '*1'",
                " WITH GRANT OPTION",
                "GRANT USAGE ON *.* TO `a`@`%` IDENTIFIED BY PASSWORD '*1' WITH GRANT OPTION",
            ),
            (
                "CREATE USER `a`@`%` IDENTIFIED VIA mysql_native_password",
                " REQUIRE SSL",
                "CREATE USER `a`@`%` REQUIRE SSL",
            ),
            (
                "CREATE USER `a`@`%` IDENTIFIED VIA ed25519 USING 'k'",
                "",
                "CREATE USER `a`@`%` IDENTIFIED VIA ed25519 USING 'k'",
            ),
            (
                "CREATE USER `a`@`%` IDENTIFIED VIA mysql_native_password USING '*1' OR unix_socket",
                "",
                "CREATE USER `a`@`%` IDENTIFIED VIA mysql_native_password USING '*1' OR unix_socket",
            ),
            (
                "CREATE USER `a`@`%` IDENTIFIED VIA unix_socket OR mysql_native_password USING '*1'",
                "",
                "CREATE USER `a`@`%` IDENTIFIED VIA unix_socket OR mysql_native_password USING '*1'",
            ),
            (
                "CREATE USER ` IDENTIFIED VIA mysql_native_password`@`%` IDENTIFIED VIA mysql_native_password USING '*1'",
                "",
                "CREATE USER ` IDENTIFIED VIA mysql_native_password`@`%` IDENTIFIED BY PASSWORD '*1'",
            ),
        ] {
            let shown = without_credential(&format!("{before}{or}{after}"), ours);
            assert_eq!(shown.as_deref(), Some(expected));
        }
        assert_eq!(
            without_credential("GRANT USAGE ON *.* TO `a`@`%`", ours),
            None
        );
    }
}
