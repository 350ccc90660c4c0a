use super::*;

const OURS: [u8; 20] = [0xAB; 20];

/// Verifiers in short form, and the account's flags.
fn read(json: &str) -> Option<(Vec<String>, bool, bool, bool)> {
    let account = account("u", "%", json, OURS, 9)?;
    let short = |v: &Verifier| match v {
        Verifier::Native(hash) => format!("native {:02x}", hash[0]),
        Verifier::NoPassword => "no password".to_owned(),
        Verifier::Other(plugin) => format!("other {plugin}"),
    };
    let verifiers = account.verifiers.iter().map(short).collect();
    Some((
        verifiers,
        account.locked,
        account.require_tls,
        account.enrolled,
    ))
}

#[test]
fn reads_what_the_server_keeps() {
    let ours = native::to_text(&OURS);
    let cases = [
        (r#"{"access":18446744073709551615}"#.to_owned(), vec!["no password"], false, false, false),
        (
            r#"{"access":1,"version_id":101119,"plugin":"mysql_native_password","authentication_string":"*B69027D44F6E5EDC07F1AEAD1477967B16F28227","ssl_type":1,"ssl_cipher":"","max_user_connections":7,"account_locked":true}"#.to_owned(),
            vec!["native b6"], true, true, false,
        ),
        (
            r#"{"plugin":"mysql_native_password","authentication_string":"*7446F64EFCFB1294A6DE20CAE7E49C2377A9AA25","auth_or":[{"plugin":"unix_socket"},{}]}"#.to_owned(),
            vec!["other unix_socket", "native 74"], false, false, false,
        ),
        (
            format!(r#"{{"plugin":"mysql_native_password","authentication_string":"","auth_or":[{{}},{{"plugin":"mysql_native_password","authentication_string":"{ours}"}}]}}"#),
            vec!["no password"], false, false, true,
        ),
        (r#"{"plugin":"mysql_native_password","authentication_string":"invalid"}"#.to_owned(), vec!["other mysql_native_password"], false, false, false),
        (r#"{"plugin":"ed25519","authentication_string":"ZIgU","ssl_type":3}"#.to_owned(), vec!["other ed25519"], false, true, false),
    ];
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
fn only_super_users_are_exempt_from_the_global_number_of_sessions() {
    let limits = |json: &str| {
        let account = account("u", "%", json, OURS, 9)?;
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
fn a_role_is_no_account_nor_is_what_cannot_be_read() {
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
