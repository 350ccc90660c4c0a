use super::*;

const OURS: [u8; 20] = [0xAB; 20];

/// Both credentials of Dormouse.
const BOTH: Ours = Ours {
    present: OURS,
    former: [0xCD; 20],
};

/// A server's defaults.
const NEVER: Rules = Rules {
    days: 0,
    turns_away: false,
    socket_names: true,
    sessions: 9,
    password_errors: 7,
    login_status: Status::AUTOCOMMIT,
};

/// Verifiers in short form, and the account's flags.
fn read(json: &str) -> Option<(Vec<String>, bool, Transport, bool)> {
    let account = account("u", "%", json, BOTH, NEVER)?;
    let short = |v: &Verifier| match v {
        Verifier::Native(hash) => format!("native {:02x}", hash[0]),
        Verifier::NoPassword => "no password".to_owned(),
        Verifier::Ed25519(key) => format!("ed25519 {:02x}", key[0]),
        Verifier::Parsec { doublings, key, .. } => format!("parsec {doublings} {:02x}", key[0]),
        Verifier::CachingSha2(text) => format!("sha2 {}", &text[..7]),
        Verifier::UnixSocket(name) => format!("socket {name}"),
        Verifier::Other(plugin) => format!("other {plugin}"),
    };
    let verifiers = account.verifiers.iter().map(short).collect();
    Some((
        verifiers,
        account.locked,
        account.transport,
        account.enrolled,
    ))
}

#[test]
fn account_rows_are_parsed() {
    let ours = native::to_text(&OURS);
    let cases = [
        (r#"{"access":18446744073709551615}"#.to_owned(), vec!["no password"], false, Transport::Any, false),
        (
            r#"{"access":1,"version_id":101119,"plugin":"mysql_native_password","authentication_string":"*B69027D44F6E5EDC07F1AEAD1477967B16F28227","ssl_type":1,"ssl_cipher":"","max_user_connections":7,"account_locked":true}"#.to_owned(),
            vec!["native b6"], true, Transport::Tls, false,
        ),
        (
            r#"{"plugin":"mysql_native_password","authentication_string":"*7446F64EFCFB1294A6DE20CAE7E49C2377A9AA25","auth_or":[{"plugin":"unix_socket"},{}]}"#.to_owned(),
            vec!["socket u", "native 74"], false, Transport::Any, false,
        ),
        (
            format!(r#"{{"plugin":"mysql_native_password","authentication_string":"","auth_or":[{{}},{{"plugin":"mysql_native_password","authentication_string":"{ours}"}}]}}"#),
            vec!["no password"], false, Transport::Any, true,
        ),
        (r#"{"plugin":"mysql_native_password","authentication_string":"invalid"}"#.to_owned(), vec!["other mysql_native_password"], false, Transport::Any, false),
        (r#"{"plugin":"ed25519","authentication_string":"ZIgU","ssl_type":3}"#.to_owned(), vec!["other ed25519"], false, Transport::Specified(Box::default()), false),
        (
            r#"{"ssl_type":3,"ssl_cipher":"TLS_AES_128_GCM_SHA256","x509_issuer":"/CN=a \"b\"","x509_subject":"/O=x/CN=y"}"#.to_owned(),
            vec!["no password"], false,
            Transport::Specified(Box::new(Specified {
                issuer: "/CN=a \"b\"".to_owned(),
                subject: "/O=x/CN=y".to_owned(),
                cipher: "TLS_AES_128_GCM_SHA256".to_owned(),
            })),
            false,
        ),
        (
            r#"{"plugin":"ed25519","authentication_string":"ZIgUREUg5PVgQ6LskhXmO+eZLS0nC8be6HPjYWR4YJY","ssl_type":2}"#.to_owned(),
            vec!["ed25519 64"], false, Transport::Certificate, false,
        ),
        // 10.11 stores this for an empty password, and then refuses every login
        (r#"{"plugin":"ed25519","authentication_string":""}"#.to_owned(), vec!["other ed25519"], false, Transport::Any, false),
        (
            r#"{"plugin":"parsec","authentication_string":"P0:UynhozmmEdYTz3J5o0lASGAT:gAZxm1ui2N8BIIWw4klNfPX9EVgBvqhPVhOsjtwN4PI"}"#.to_owned(),
            vec!["parsec 0 80"], false, Transport::Any, false,
        ),
        (
            r#"{"plugin":"caching_sha2_password","authentication_string":"$A$005$12345678901234567890mgw1rYn8PQ5fGdV0X0T5kmZ0WcGtWq4n9gHNhDdQ1z2"}"#.to_owned(),
            vec!["sha2 $A$005$"], false, Transport::Any, false,
        ),
        (r#"{"plugin":"caching_sha2_password","authentication_string":""}"#.to_owned(), vec!["no password"], false, Transport::Any, false),
        (
            r#"{"plugin":"unix_socket","authentication_string":"nobody"}"#.to_owned(),
            vec!["socket nobody"], false, Transport::Any, false,
        ),
        (r#"{"plugin":"pam","authentication_string":"mariadb"}"#.to_owned(), vec!["other pam"], false, Transport::Any, false),
    ];
    let former = native::to_text(&BOTH.former);
    let cases = cases.into_iter().chain([(
        format!(r#"{{"plugin":"mysql_native_password","authentication_string":"","auth_or":[{{}},{{"plugin":"mysql_native_password","authentication_string":"{former}"}}]}}"#),
        vec!["no password"], false, Transport::Any, false,
    )]);
    for (json, verifiers, locked, tls, enrolled) in cases {
        let verifiers = verifiers.into_iter().map(str::to_owned).collect();
        assert_eq!(
            read(&json),
            Some((verifiers, locked, tls, enrolled)),
            "{json}"
        );
    }
}

#[test]
fn only_super_is_exempt_from_the_global_session_limit() {
    let limits = |json: &str| {
        let account = account("u", "%", json, BOTH, NEVER)?;
        Some((account.max_sessions, account.max_sessions_global))
    };
    for (json, expected) in [
        (r#"{"access":1}"#, (0, 9)),
        (r#"{"access":1,"max_user_connections":7}"#, (7, 9)),
        (r#"{"access":1,"max_user_connections":-1}"#, (0, 9)),
        (r#"{"access":32768,"max_user_connections":7}"#, (7, 0)),
    ] {
        assert_eq!(limits(json), Some(expected), "{json}");
    }
}

#[test]
fn roles_and_invalid_rows_are_left_out() {
    for json in [
        r#"{"access":0,"is_role":true}"#,
        "",
        "{",
        "[]",
        r#"{"auth_or":[[]]}"#,
        r#"{"plugin":7}"#,
        "null",
    ] {
        assert_eq!(read(json), None, "{json:?}");
    }
}

#[test]
fn a_password_expires_as_on_the_server() {
    let yearly = Rules {
        days: 365,
        turns_away: true,
        socket_names: false,
        sessions: 0,
        password_errors: 7,
        login_status: Status::AUTOCOMMIT,
    };
    for (json, server, at) in [
        (r#"{"password_last_changed":1000}"#, NEVER, None),
        (r#"{"password_last_changed":0}"#, NEVER, Some(0)),
        (
            r#"{"password_last_changed":0,"password_lifetime":0}"#,
            NEVER,
            Some(0),
        ),
        (
            r#"{"password_last_changed":1000,"password_lifetime":-1}"#,
            NEVER,
            None,
        ),
        (
            r#"{"password_last_changed":1000,"password_lifetime":-1}"#,
            yearly,
            Some(31_537_000),
        ),
        (
            r#"{"password_last_changed":1000}"#,
            yearly,
            Some(31_537_000),
        ),
        (
            r#"{"password_last_changed":1000,"password_lifetime":0}"#,
            yearly,
            None,
        ),
        (
            r#"{"password_last_changed":1000,"password_lifetime":2}"#,
            yearly,
            Some(173_800),
        ),
        (r#"{}"#, yearly, Some(31_536_000)),
        (r#"{}"#, NEVER, None),
    ] {
        let account = account("u", "%", json, BOTH, server).unwrap();
        let expected = at.map(|at| Expiry {
            at,
            turns_away: server.turns_away,
        });
        assert_eq!(account.expiry, expected, "{json}");
    }
}

#[test]
fn a_unix_socket_name_counts_where_the_server_supports_it() {
    let json = r#"{"plugin":"unix_socket","authentication_string":"nobody"}"#;
    for (socket_names, expected) in [(true, "nobody"), (false, "u")] {
        let rules = Rules {
            socket_names,
            ..NEVER
        };
        let account = account("u", "%", json, BOTH, rules).unwrap();
        assert_eq!(
            account.verifiers,
            [Verifier::UnixSocket(expected.to_owned())]
        );
    }
}

#[test]
fn login_status_follows_autocommit_and_sql_mode() {
    for (autocommit, sql_mode, expected) in [
        ("1", "STRICT_TRANS_TABLES,ANSI_QUOTES", 0x8002),
        ("0", "", 0),
        ("1", "NO_BACKSLASH_ESCAPES", 0x0202),
        ("1", "NO_ENGINE_SUBSTITUTION", 0x0002),
    ] {
        assert_eq!(login_status(autocommit, sql_mode), Status(expected));
    }
}

#[test]
fn a_version_changes_with_the_row_but_not_by_enrolling() {
    let version = |json: &str| account("u", "%", json, BOTH, NEVER).unwrap().version;
    let plain = version(r#"{"plugin":"mysql_native_password","access":1}"#);
    let ours: String = OURS.iter().map(|byte| format!("{byte:02X}")).collect();
    let enrolled = format!(
        r#"{{"plugin":"mysql_native_password","access":1,"auth_or":[{{}},{{"plugin":"mysql_native_password","authentication_string":"*{ours}"}}]}}"#
    );
    assert_eq!(version(&enrolled), plain);
    for other in [
        r#"{"plugin":"mysql_native_password","access":3}"#,
        r#"{"plugin":"mysql_native_password","access":1,"default_role":"r"}"#,
        r#"{"plugin":"mysql_native_password","access":1,"password_last_changed":5}"#,
    ] {
        assert_ne!(version(other), plain, "{other}");
    }
}
