//! `Ssl_cipher` and `Ssl_version`: a server knows them of the connection that Dormouse has to it, not of the client's.

use crate::connections::is_alias;
use crate::lexer::{Lexer, Mode, Spanned, Token};

/// The values for one client; both are empty for a client without TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TlsStatus {
    /// `Ssl_cipher`, OpenSSL's name.
    pub cipher: &'static str,
    /// `Ssl_version`.
    pub version: &'static str,
}

/// Longer texts are not searched.
const LONGEST: usize = 16 * 1024;

/// The tables with the server's status variables.
const TABLES: [&str; 2] = ["SESSION_STATUS", "GLOBAL_STATUS"];

impl TlsStatus {
    /// Puts the client's value into a row of `SHOW STATUS`.
    pub fn put(&self, row: &mut [Option<Vec<u8>>]) {
        let [Some(name), value] = row else {
            return;
        };
        let new = match &**name {
            b"Ssl_cipher" => self.cipher,
            b"Ssl_version" => self.version,
            _ => return,
        };
        *value = Some(new.as_bytes().to_vec());
    }

    /// A `SELECT` that reads the status variables from `information_schema`, with tables in their place that have the
    /// client's values. `None`: the text needs no change, or cannot be changed.
    #[must_use]
    pub fn put_into(&self, text: &[u8], mode: Mode) -> Option<Vec<u8>> {
        let find = |what: &[u8]| memchr::memmem::find(text, what);
        if text.len() > LONGEST || find(b"_status").or_else(|| find(b"_STATUS")).is_none() {
            return None;
        }
        let mut lexer = Lexer::new(text, mode);
        let tokens: Vec<Spanned<'_>> = lexer.spanned().collect();
        if !tokens.first()?.token.is("SELECT") || lexer.is_versioned() {
            return None;
        }
        let mut changed = Vec::new();
        let mut copied = 0;
        for (at, window) in tokens.windows(3).enumerate() {
            let [schema, dot, table] = window else {
                continue;
            };
            let named = |name: &&str| table.token.names(name);
            if !schema.token.names("INFORMATION_SCHEMA") || dot.token != Token::Other(b'.') {
                continue;
            }
            let Some(name) = TABLES.into_iter().find(named) else {
                continue;
            };
            let next = tokens.get(at + 3).map(|next| next.token);
            if next == Some(Token::Other(b'.')) {
                // a column is named with schema and table
                return None;
            }
            changed.extend_from_slice(text.get(copied..schema.start)?);
            changed.extend_from_slice(self.table(name).as_bytes());
            if !is_alias(next) {
                changed.extend_from_slice(b" AS ");
                changed.extend_from_slice(text.get(table.start..table.end)?);
            }
            copied = table.end;
        }
        if copied == 0 {
            return None;
        }
        changed.extend_from_slice(text.get(copied..)?);
        Some(changed)
    }

    fn table(&self, name: &str) -> String {
        let Self { cipher, version } = self;
        format!(
            "(SELECT VARIABLE_NAME, CASE VARIABLE_NAME WHEN 'SSL_CIPHER' THEN '{cipher}' WHEN 'SSL_VERSION' THEN \
             '{version}' ELSE VARIABLE_VALUE END AS VARIABLE_VALUE FROM information_schema.{name})"
        )
    }
}

/// Whether a statement is a `SHOW STATUS`.
#[must_use]
pub fn shows_status(text: &[u8], mode: Mode) -> bool {
    let mut tokens = Lexer::new(text, mode);
    if !tokens.next().is_some_and(|first| first.is("SHOW")) {
        return false;
    }
    match tokens.next() {
        Some(scope) if scope.is_any(&["GLOBAL", "SESSION", "LOCAL"]) => {
            tokens.next().is_some_and(|token| token.is("STATUS"))
        }
        Some(token) => token.is("STATUS"),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATUS: TlsStatus = TlsStatus {
        cipher: "TLS_AES_256_GCM_SHA384",
        version: "TLSv1.3",
    };

    #[test]
    fn a_show_status_is_recognised() {
        for (text, expected) in [
            ("SHOW STATUS", true),
            ("show /* a */ session status like 'Ssl%'", true),
            (
                "SHOW GLOBAL STATUS WHERE Variable_name = 'Ssl_cipher'",
                true,
            ),
            ("SHOW TABLE STATUS", false),
            ("SHOW MASTER STATUS", false),
            ("SELECT 'SHOW STATUS'", false),
        ] {
            assert_eq!(
                shows_status(text.as_bytes(), Mode::default()),
                expected,
                "{text}"
            );
        }
    }

    #[test]
    fn rows_get_the_clients_values() {
        let row = |name: &str, value: &str| vec![Some(name.into()), Some(value.into())];
        for (name, expected) in [
            ("Ssl_cipher", STATUS.cipher),
            ("Ssl_version", STATUS.version),
            ("Ssl_accepts", "0"),
        ] {
            let mut shown = row(name, "0");
            STATUS.put(&mut shown);
            assert_eq!(shown, row(name, expected));
        }
        STATUS.put(&mut [None]);
    }

    #[test]
    fn a_query_of_the_status_tables_reads_the_clients_values() {
        let session = STATUS.table("SESSION_STATUS");
        let global = STATUS.table("GLOBAL_STATUS");
        for (text, expected) in [
            (
                "SELECT * FROM information_schema.SESSION_STATUS WHERE a = 1",
                Some(format!(
                    "SELECT * FROM {session} AS SESSION_STATUS WHERE a = 1"
                )),
            ),
            (
                "select variable_value from `information_schema` . session_status",
                Some(format!(
                    "select variable_value from {session} AS session_status"
                )),
            ),
            (
                "SELECT a.* FROM information_schema.session_status a, INFORMATION_SCHEMA.global_status AS b",
                Some(format!("SELECT a.* FROM {session} a, {global} AS b")),
            ),
            ("SELECT 'information_schema.session_status'", None),
            (
                "SELECT information_schema.session_status.variable_name FROM information_schema.session_status",
                None,
            ),
            ("SELECT * FROM session_status", None),
            ("SELECT * FROM information_schema.tables", None),
            (
                "INSERT INTO t SELECT * FROM information_schema.session_status",
                None,
            ),
        ] {
            let changed = STATUS.put_into(text.as_bytes(), Mode::default());
            let changed = changed.map(|text| String::from_utf8(text).unwrap());
            assert_eq!(changed, expected, "{text}");
        }
    }
}
