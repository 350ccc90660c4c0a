//! `Ssl_cipher` and `Ssl_version`: a server knows them of the connection that Dormouse has to it, not of the client's. For
//! the tables of `information_schema` that tell them too see [`connections`](crate::connections).

use crate::lexer::{Lexer, Mode};

/// The values for one client; both are empty for a client without TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TlsStatus {
    /// `Ssl_cipher`, OpenSSL's name.
    pub cipher: &'static str,
    /// `Ssl_version`.
    pub version: &'static str,
}

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
}
