use proptest::prelude::*;

use super::*;
use crate::ast::{
    Assignment, Expire, Identified, Isolation, Limit, Method, MethodValue, NewPassword, Object,
    Options, Plugin, Privileges, Require, RoutineKind, Secret, User, Value,
};
use crate::privileges::Privilege;
use crate::render;

fn read(text: &str) -> Statement {
    match parse(text.as_bytes(), Mode::default()) {
        Some(Ok(statement)) => statement,
        other => panic!("{text}: {other:?}"),
    }
}

fn refused(text: &str) -> u16 {
    match parse(text.as_bytes(), Mode::default()) {
        Some(Err(problem)) => problem.code,
        other => panic!("{text}: {other:?}"),
    }
}

#[test]
fn statements_are_read_and_written_in_one_form() {
    for (text, written) in [
        ("create user a", "CREATE USER 'a'@'%'"),
        (
            "CREATE OR REPLACE USER if not exists 'a'@localhost, `b c` @'10.%' identified by 'x\\'y'",
            "CREATE OR REPLACE USER IF NOT EXISTS 'a'@'localhost', 'b c'@'10.%' IDENTIFIED BY 'x''y'",
        ),
        (
            "CREATE USER a@10.0.0.1 IDENTIFIED BY PASSWORD '*AB' REQUIRE SUBJECT 'a' AND ISSUER 'b' WITH \
             MAX_USER_CONNECTIONS 5 MAX_QUERIES_PER_HOUR 6 ACCOUNT LOCK PASSWORD EXPIRE INTERVAL 7 DAY",
            "CREATE USER 'a'@'10.0.0.1' IDENTIFIED BY PASSWORD '*AB' REQUIRE ISSUER 'b' AND SUBJECT 'a' WITH \
             MAX_USER_CONNECTIONS 5 MAX_QUERIES_PER_HOUR 6 ACCOUNT LOCK PASSWORD EXPIRE INTERVAL 7 DAY",
        ),
        (
            "alter user if exists current_user() identified via unix_socket or mysql_native_password using \
             password('x') or ed25519 as 'k'",
            "ALTER USER IF EXISTS CURRENT_USER() IDENTIFIED VIA unix_socket OR mysql_native_password USING \
             PASSWORD('x') OR ed25519 USING 'k'",
        ),
        ("DROP USER a, b@c;", "DROP USER 'a'@'%', 'b'@'c'"),
        (
            "RENAME USER a TO b, c@d TO e@f",
            "RENAME USER 'a'@'%' TO 'b'@'%', 'c'@'d' TO 'e'@'f'",
        ),
        (
            "SET PASSWORD FOR a = PASSWORD('x')",
            "SET PASSWORD FOR 'a'@'%' = PASSWORD('x')",
        ),
        (
            "SET PASSWORD FOR a := '*AB'",
            "SET PASSWORD FOR 'a'@'%' = '*AB'",
        ),
        (
            "CREATE ROLE r, 's' WITH ADMIN CURRENT_USER",
            "CREATE ROLE 'r', 's' WITH ADMIN CURRENT_USER()",
        ),
        ("DROP ROLE IF EXISTS r", "DROP ROLE IF EXISTS 'r'"),
        (
            "SET DEFAULT ROLE none FOR a",
            "SET DEFAULT ROLE NONE FOR 'a'@'%'",
        ),
        (
            "grant all on *.* to a identified by 'x' with grant option max_user_connections 3",
            "GRANT ALL PRIVILEGES ON *.* TO 'a' IDENTIFIED BY 'x' WITH GRANT OPTION MAX_USER_CONNECTIONS 3",
        ),
        (
            "GRANT SELECT (a, `b``c`), replication  client ON t TO PUBLIC, r",
            "GRANT SELECT (`a`, `b``c`), BINLOG MONITOR ON `t` TO PUBLIC, 'r'",
        ),
        (
            "GRANT USAGE ON `a\\_b`.* TO a@b",
            "GRANT USAGE ON `a\\_b`.* TO 'a'@'b'",
        ),
        (
            "GRANT EXECUTE ON PROCEDURE a.b TO c",
            "GRANT EXECUTE ON PROCEDURE `a`.`b` TO 'c'",
        ),
        (
            "GRANT SELECT ON TABLE a.b TO c",
            "GRANT SELECT ON `a`.`b` TO 'c'",
        ),
        (
            "GRANT SELECT ON procedure TO c",
            "GRANT SELECT ON `procedure` TO 'c'",
        ),
        (
            "GRANT r, 's' TO a@b, t WITH ADMIN OPTION",
            "GRANT 'r', 's' TO 'a'@'b', 't' WITH ADMIN OPTION",
        ),
        (
            "REVOKE ADMIN OPTION FOR r FROM a",
            "REVOKE ADMIN OPTION FOR 'r' FROM 'a'",
        ),
        (
            "revoke all, grant option from a",
            "REVOKE ALL PRIVILEGES, GRANT OPTION FROM 'a'",
        ),
        (
            "REVOKE INSERT, GRANT OPTION ON a.* FROM b",
            "REVOKE INSERT, GRANT OPTION ON `a`.* FROM 'b'",
        ),
        ("SHOW GRANTS FOR a@b", "SHOW GRANTS FOR 'a'@'b'"),
        ("SHOW GRANTS", "SHOW GRANTS FOR CURRENT_USER()"),
        ("SHOW CREATE USER a", "SHOW CREATE USER 'a'@'%'"),
        (
            "SET GLOBAL a = 1, b = -2",
            "SET GLOBAL `a` = 1, GLOBAL `b` = -2",
        ),
        (
            "SET @@GLOBAL.Sql_Mode := 'A,B'",
            "SET GLOBAL `sql_mode` = 'A,B'",
        ),
        (
            "SET GLOBAL a = DEFAULT, @@global.b = ON",
            "SET GLOBAL `a` = DEFAULT, GLOBAL `b` = 'ON'",
        ),
        (
            "SET GLOBAL TRANSACTION READ ONLY, ISOLATION LEVEL READ COMMITTED",
            "SET GLOBAL TRANSACTION ISOLATION LEVEL READ COMMITTED, READ ONLY",
        ),
        ("/* a */ DROP /*!50003 USER */ a -- b", "DROP USER 'a'@'%'"),
        (
            "CREATE USER \"a\"@\"b\" IDENTIFIED BY \"c\"",
            "CREATE USER 'a'@'b' IDENTIFIED BY 'c'",
        ),
    ] {
        assert_eq!(render::statement(&read(text)), written, "{text}");
    }
}

#[test]
fn other_statements_are_left_to_the_server() {
    for text in [
        "",
        ";",
        "SELECT 1",
        "CREATE TABLE user (a INT)",
        "CREATE OR REPLACE VIEW role AS SELECT 1",
        "ALTER TABLE user ADD a INT",
        "SET PASSWORD = PASSWORD('x')",
        "SET DEFAULT ROLE r",
        "SET ROLE r",
        "SET NAMES utf8mb4",
        "SET SESSION a = @@GLOBAL.a",
        "SET @x = 1, b = (SELECT @@global.c)",
        "SET STATEMENT max_statement_time = 1 FOR GRANT SELECT ON a.* TO b",
        "SHOW CREATE TABLE user",
        "`GRANT` x",
        "/*!99999 GRANT x TO y */",
    ] {
        assert_eq!(parse(text.as_bytes(), Mode::default()), None, "{text}");
    }
}

#[test]
fn what_is_not_certain_is_refused() {
    for (text, code) in [
        ("DROP USER a; DROP USER b", 1235),
        ("GRANT SELECT ON a.* TO b; SELECT 1", 1235),
        ("/*M!110000 DROP USER a */", 1235),
        ("DROP USER a /*!120000 , b */", 1235),
        ("DROP USER 'a", 1064),
        ("DROP USER a@", 1064),
        ("DROP USER a@ 'b'", 1064),
        ("DROP USER a@@b", 1064),
        ("DROP USER", 1064),
        ("DROP USER a b", 1064),
        ("DROP USER a,", 1064),
        ("DROP USER _utf8mb4'a'", 1064),
        ("DROP USER N'a'", 1064),
        ("DROP USER 0x61", 1064),
        ("DROP USER ?", 1064),
        ("DROP USER 'a' 'b'", 1064),
        ("DROP USER 'a\\0b'", 1064),
        ("DROP USER current_role", 1235),
        ("DROP USER PUBLIC", 1064),
        ("CREATE USER a IDENTIFIED BY x", 1064),
        ("CREATE USER a IDENTIFIED BY CONCAT('a', 'b')", 1064),
        ("CREATE USER a IDENTIFIED VIA pam", 1235),
        (
            "CREATE USER a IDENTIFIED VIA ed25519 OR gssapi USING 'x'",
            1235,
        ),
        ("CREATE USER a PASSWORD EXPIRE INTERVAL 99999 DAY", 1064),
        ("CREATE USER a WITH", 1064),
        ("CREATE USER a REQUIRE ISSUER 'a' ISSUER 'b'", 1064),
        ("SET PASSWORD FOR a = OLD_PASSWORD('x')", 1235),
        ("GRANT PROXY ON a TO b", 1235),
        ("GRANT SELEKT ON a.* TO b", 1064),
        ("GRANT DELETE (a) ON a.b TO c", 1064),
        ("GRANT SELECT ON *.b TO c", 1064),
        ("GRANT NONE TO a", 1064),
        ("GRANT PUBLIC TO a", 1064),
        ("GRANT r@h TO a", 1064),
        ("GRANT r TO a IDENTIFIED BY 'x'", 1235),
        ("SET GLOBAL a = 1, SESSION b = 2", 1235),
        ("SET a = 1, GLOBAL b = 2", 1235),
        ("SET @x = 1, @@global.b = 2", 1235),
        ("SET GLOBAL a.b = 1", 1235),
        ("SET GLOBAL a", 1064),
        ("SET GLOBAL a = ", 1064),
        ("SET GLOBAL a = 1) , (2", 1064),
        ("SET GLOBAL a = (1", 1064),
        ("SET GLOBAL TRANSACTION", 1064),
        ("SET GLOBAL TRANSACTION READ ONLY, READ WRITE", 1064),
        ("DROP USER a \u{a0}", 1064),
    ] {
        assert_eq!(refused(text), code, "{text}");
    }
    // not UTF-8
    let text = b"DROP USER '\xbf\x5c'";
    assert!(parse(text, Mode::default()).is_some_and(|read| read.is_err()));
}

#[test]
fn quotes_are_read_in_the_mode_of_the_session() {
    let ansi = Mode {
        ansi_quotes: true,
        ..Mode::default()
    };
    let read = |text: &str, mode| parse(text.as_bytes(), mode).unwrap();
    assert!(read("CREATE USER a IDENTIFIED BY \"x\"", ansi).is_err());
    let plain = Mode {
        no_backslash_escapes: true,
        ..Mode::default()
    };
    let statement = read(r"CREATE USER 'a\' IDENTIFIED BY 'b\\'", plain).unwrap();
    assert_eq!(
        render::statement(&statement),
        r"CREATE USER 'a\\'@'%' IDENTIFIED BY 'b\\\\'"
    );
    // a backslash stays in front of a wildcard
    let statement = read(r"CREATE USER a IDENTIFIED BY '\%\_\x'", Mode::default()).unwrap();
    assert_eq!(
        render::statement(&statement),
        r"CREATE USER 'a'@'%' IDENTIFIED BY '\\%\\_x'"
    );
}

#[test]
fn no_password_is_shown() {
    for text in [
        "CREATE USER a IDENTIFIED BY 'hunter2'",
        "CREATE USER a IDENTIFIED VIA ed25519 USING PASSWORD('hunter2')",
        "CREATE USER a IDENTIFIED VIA ed25519 USING 'hunter2'",
        "SET PASSWORD FOR a = PASSWORD('hunter2')",
        "GRANT USAGE ON *.* TO a IDENTIFIED BY PASSWORD 'hunter2'",
        "CREATE USER a IDENTIFIED BY 'hunter2' hunter2",
        "CREATE USER a IDENTIFIED BY hunter2",
    ] {
        let read = parse(text.as_bytes(), Mode::default());
        assert!(!format!("{read:?}").contains("hunter2"), "{text}: {read:?}");
    }
}

fn word() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z]{1,6}",
        r#"['"`\\%_@.;,()a ]{1,8}"#,
        "\\PC{1,6}",
        Just("/*!50000 x */".to_owned()),
        Just("-- ".to_owned()),
        Just("PUBLIC".to_owned()),
        Just("CURRENT_USER".to_owned()),
    ]
}

fn secret() -> impl Strategy<Value = Secret> {
    word().prop_map(Secret)
}

fn account() -> impl Strategy<Value = Name> {
    prop_oneof![
        Just(Name::Current),
        (word(), word()).prop_map(|(user, host)| Name::Account { user, host }),
    ]
}

fn grantee() -> impl Strategy<Value = Name> {
    prop_oneof![account(), word().prop_map(Name::Bare), Just(Name::Public)]
}

fn some<T: std::fmt::Debug>(of: impl Strategy<Value = T>) -> impl Strategy<Value = Vec<T>> {
    prop::collection::vec(of, 1..3)
}

fn method() -> impl Strategy<Value = Method> {
    let plugin = prop::sample::select(Plugin::ALL.to_vec());
    let value = prop_oneof![
        Just(None),
        secret().prop_map(|value| Some(MethodValue::Stored(value))),
        secret().prop_map(|value| Some(MethodValue::Password(value))),
    ];
    (plugin, value).prop_map(|(plugin, value)| Method { plugin, value })
}

fn user(name: impl Strategy<Value = Name>) -> impl Strategy<Value = User> {
    let how = prop_oneof![
        Just(None),
        secret().prop_map(|value| Some(Identified::By(value))),
        secret().prop_map(|value| Some(Identified::ByHash(value))),
        some(method()).prop_map(|methods| Some(Identified::Via(methods))),
    ];
    (name, how).prop_map(|(name, identified)| User { name, identified })
}

fn options() -> impl Strategy<Value = Options> {
    let part = || prop::option::of(word());
    let require = prop_oneof![
        Just(None),
        Just(Some(Require::None)),
        Just(Some(Require::Ssl)),
        Just(Some(Require::X509)),
        (part(), part(), word()).prop_map(|(issuer, subject, cipher)| {
            let cipher = Some(cipher);
            Some(Require::Certificate {
                issuer,
                subject,
                cipher,
            })
        }),
    ];
    let limits = prop::collection::vec(any::<u32>().prop_map(Limit::Sessions), 0..2);
    let expire = prop_oneof![
        Just(None),
        Just(Some(Expire::Now)),
        Just(Some(Expire::Never)),
        Just(Some(Expire::Default)),
        any::<u16>().prop_map(|days| Some(Expire::Days(days))),
    ];
    (require, limits, any::<Option<bool>>(), expire).prop_map(
        |(require, limits, locked, expire)| Options {
            require,
            limits,
            locked,
            expire,
        },
    )
}

fn privileges() -> impl Strategy<Value = Privileges> {
    let all: Vec<Privilege> = Privilege::all().collect();
    let one = prop::sample::select(all).prop_flat_map(|privilege| {
        let columns = if privilege.has_columns() { 0..3 } else { 0..1 };
        (Just(privilege), prop::collection::vec(word(), columns))
    });
    prop_oneof![
        Just(Privileges::All),
        prop::collection::vec(one, 0..3).prop_map(Privileges::List)
    ]
}

fn object() -> impl Strategy<Value = Object> {
    prop_oneof![
        Just(Object::Everything),
        Just(Object::CurrentSchema),
        word().prop_map(Object::Schema),
        (prop::option::of(word()), word()).prop_map(|(schema, table)| Object::Table(schema, table)),
        (prop::option::of(word()), word()).prop_map(|(schema, name)| Object::Routine(
            RoutineKind::PackageBody,
            schema,
            name
        )),
    ]
}

fn any_statement() -> impl Strategy<Value = Statement> {
    prop_oneof![
        (any::<[bool; 2]>(), some(user(account())), options()).prop_map(
            |(flags, users, options)| {
                Statement::CreateUser {
                    or_replace: flags[0],
                    if_not_exists: flags[1],
                    users,
                    options,
                }
            }
        ),
        (any::<bool>(), some(user(account())), options()).prop_map(
            |(if_exists, users, options)| {
                Statement::AlterUser {
                    if_exists,
                    users,
                    options,
                }
            }
        ),
        (any::<bool>(), some(account()))
            .prop_map(|(if_exists, users)| Statement::DropUser { if_exists, users }),
        some((account(), account())).prop_map(Statement::RenameUser),
        (account(), secret()).prop_map(|(user, password)| Statement::SetPassword {
            user,
            password: NewPassword::Plain(password)
        }),
        (any::<bool>(), some(word()), prop::option::of(grantee())).prop_map(
            |(or_replace, roles, admin)| {
                Statement::CreateRole {
                    or_replace,
                    if_not_exists: false,
                    roles,
                    admin,
                }
            }
        ),
        (
            privileges(),
            object(),
            some(user(grantee())),
            options(),
            any::<bool>()
        )
            .prop_map(
                |(privileges, on, to, options, grant_option)| Statement::Grant {
                    privileges,
                    on,
                    to,
                    options: Options {
                        locked: None,
                        expire: None,
                        ..options
                    },
                    grant_option,
                }
            ),
        (privileges(), any::<bool>(), object(), some(grantee())).prop_map(
            |(privileges, grant_option, on, from)| Statement::Revoke {
                privileges,
                grant_option,
                on,
                from
            }
        ),
        some(grantee()).prop_map(Statement::RevokeAll),
        (some(word()), some(grantee()), any::<bool>()).prop_map(|(roles, to, admin_option)| {
            Statement::GrantRoles {
                roles,
                to,
                admin_option,
            }
        }),
        (some(word()), some(grantee()), any::<bool>()).prop_map(|(roles, from, admin_option)| {
            Statement::RevokeRoles {
                roles,
                from,
                admin_option,
            }
        }),
        (prop::option::of(word()), account())
            .prop_map(|(role, user)| Statement::SetDefaultRole { role, user }),
        grantee().prop_map(Statement::ShowGrants),
        account().prop_map(Statement::ShowCreateUser),
        some(("[a-z_]{1,8}", word())).prop_map(|all| Statement::SetGlobal(
            all.into_iter()
                .map(|(variable, value)| Assignment {
                    variable,
                    value: Value::Text(value)
                })
                .collect()
        )),
        Just(Statement::SetGlobalTransaction {
            isolation: Some(Isolation::Serializable),
            read_only: Some(false)
        }),
    ]
}

proptest! {
    #[test]
    fn what_is_written_is_read_as_the_same(statement in any_statement()) {
        let text = render::statement(&statement);
        let read = parse(text.as_bytes(), Mode::default());
        prop_assert_eq!(read, Some(Ok(statement)), "{}", text);
    }

    #[test]
    fn any_bytes_are_accepted(begin in prop::sample::select(vec![
        "GRANT ", "REVOKE ", "CREATE USER ", "ALTER USER ", "SET GLOBAL ", "SHOW GRANTS FOR ", "DROP ROLE ", ""
    ]), rest in prop::collection::vec(any::<u8>(), 0..40), ansi: bool, plain: bool) {
        let mode = Mode { ansi_quotes: ansi, no_backslash_escapes: plain, ..Mode::default() };
        let text = [begin.as_bytes(), &rest].concat();
        if let Some(Ok(statement)) = parse(&text, mode) {
            let mut statement = statement;
            if statement.expressions().next().is_none() {
                let written = render::statement(&statement);
                prop_assert_eq!(parse(written.as_bytes(), Mode::default()), Some(Ok(statement)), "{}", written);
            }
        }
    }
}
