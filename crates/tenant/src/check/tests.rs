use dormouse_session::lexer::Mode;

use super::*;
use crate::parse;

fn fact(user: &str, host: &str, manager: Manager) -> Fact {
    Fact {
        user: user.to_owned(),
        host: host.to_owned(),
        manager,
        is_role: host.is_empty(),
    }
}

fn facts() -> Facts {
    Facts(vec![
        fact("admin", "%", Manager::Owner),
        fact("second", "%", Manager::Owner),
        fact("hr", "%", Manager::Users),
        fact("app", "%", Manager::None),
        fact("r", "", Manager::None),
    ])
}

fn decide(by: &str, text: &str) -> Result<Plan, Denied> {
    let statement = match parse(text.as_bytes(), Mode::default()) {
        Some(Ok(statement)) => statement,
        other => panic!("{text}: {other:?}"),
    };
    let caller = Caller {
        user: by.to_owned(),
        host: "%".to_owned(),
    };
    check(&statement, &caller, &facts())
}

fn steps(text: &str) -> Vec<String> {
    let plan = match decide("admin", text) {
        Ok(plan) => plan,
        Err(denied) => panic!("{text}: {denied}"),
    };
    let shown = |step: &Step| match step {
        Step::Run(sql) | Step::Show(sql) => sql.clone(),
        Step::RunIfGranted(sql) => format!("? {sql}"),
        Step::Protect { user, host } => format!("protect {user}@{host}"),
        Step::Withdraw { user, host } => format!("withdraw {user}@{host}"),
        Step::Flag {
            user,
            host,
            manager,
        } => format!("flag {user}@{host} {manager:?}"),
        Step::RunAsAdminOf(roles, sql) => format!("admin {roles:?} {sql}"),
    };
    plan.steps.iter().map(shown).collect()
}

#[test]
fn the_plan_gives_only_what_a_tenant_may_have() {
    for (text, expected) in [
        ("CREATE USER a", vec!["CREATE USER 'a'@'%'", "protect a@%"]),
        (
            "CREATE ROLE s",
            vec!["CREATE ROLE 's' WITH ADMIN 'admin'@'%'", "protect s@"],
        ),
        ("DROP USER app", vec!["DROP USER 'app'@'%'"]),
        (
            "RENAME USER app TO web, web TO app, nobody TO x",
            vec![
                "withdraw app@%",
                "RENAME USER 'app'@'%' TO 'web'@'%', 'web'@'%' TO 'app'@'%', 'nobody'@'%' TO 'x'@'%'",
                "protect app@%",
                "protect x@%",
            ],
        ),
        (
            "ALTER USER CURRENT_USER ACCOUNT UNLOCK",
            vec!["ALTER USER 'admin'@'%' ACCOUNT UNLOCK"],
        ),
        (
            "GRANT ALL ON *.* TO app WITH GRANT OPTION",
            vec![
                "GRANT PROCESS, RELOAD, SHOW DATABASES, BINLOG MONITOR, SLAVE MONITOR ON *.* TO 'app'@'%'",
                "protect app@%",
                "GRANT ALL PRIVILEGES ON `%`.* TO 'app'@'%'",
                "flag app@% Owner",
            ],
        ),
        (
            "GRANT SELECT, PROCESS, CREATE USER ON *.* TO new IDENTIFIED BY 'x'",
            vec![
                "GRANT PROCESS ON *.* TO 'new'@'%' IDENTIFIED BY 'x'",
                "protect new@%",
                "GRANT SELECT ON `%`.* TO 'new'@'%'",
                "flag new@% Users",
            ],
        ),
        (
            "GRANT ALL ON shop.* TO app WITH GRANT OPTION",
            vec![
                "protect app@%",
                "GRANT ALL PRIVILEGES ON `shop`.* TO 'app'@'%' WITH GRANT OPTION",
            ],
        ),
        // needless escapes are gone
        (
            "GRANT SELECT ON `s\\hop`.* TO r",
            vec!["protect r@", "GRANT SELECT ON `shop`.* TO 'r'"],
        ),
        (
            "GRANT SELECT ON `m%`.* TO app",
            vec!["protect app@%", "GRANT SELECT ON `m%`.* TO 'app'@'%'"],
        ),
        (
            "GRANT SELECT ON shop.* TO new",
            vec![
                "GRANT USAGE ON *.* TO 'new'@'%'",
                "protect new@%",
                "GRANT SELECT ON `shop`.* TO 'new'@'%'",
            ],
        ),
        (
            "REVOKE ALL ON *.* FROM second",
            vec![
                "flag second@% None",
                "REVOKE PROCESS, RELOAD, SHOW DATABASES, BINLOG MONITOR, SLAVE MONITOR ON *.* FROM 'second'@'%'",
                "? REVOKE ALL PRIVILEGES ON `%`.* FROM 'second'@'%'",
                "protect second@%",
            ],
        ),
        (
            "REVOKE GRANT OPTION ON *.* FROM second",
            vec![
                "flag second@% Users",
                "REVOKE USAGE ON *.* FROM 'second'@'%'",
                "protect second@%",
            ],
        ),
        (
            // as on a server, the others lose it although one does not exist
            "REVOKE ALL PRIVILEGES, GRANT OPTION FROM second, nobody",
            vec![
                "flag second@% None",
                "REVOKE ALL PRIVILEGES, GRANT OPTION FROM 'second'@'%'",
                "protect second@%",
                "REVOKE ALL PRIVILEGES, GRANT OPTION FROM 'nobody'@'%'",
            ],
        ),
        (
            "REVOKE CREATE USER ON *.* FROM nobody, hr",
            vec![
                "flag hr@% None",
                "REVOKE USAGE ON *.* FROM 'hr'@'%'",
                "protect hr@%",
                "REVOKE USAGE ON *.* FROM 'nobody'@'%'",
            ],
        ),
        (
            "REVOKE ALL PRIVILEGES, GRANT OPTION FROM app",
            vec![
                "REVOKE ALL PRIVILEGES, GRANT OPTION FROM 'app'@'%'",
                "protect app@%",
            ],
        ),
        (
            "GRANT r TO app",
            vec!["admin [\"r\"] GRANT 'r' TO 'app'@'%'"],
        ),
        (
            "SET GLOBAL long_query_time = 2.5",
            vec!["SET GLOBAL long_query_time = 2.5"],
        ),
        (
            "SET GLOBAL local_infile = 0, sort_buffer_size = 1048576, sql_mode = ANSI",
            vec![
                "SET GLOBAL local_infile = OFF, GLOBAL sort_buffer_size = 1048576, GLOBAL sql_mode = 'ANSI'",
            ],
        ),
    ] {
        assert_eq!(steps(text), expected, "{text}");
    }
}

/// What no owner may do, with the number of the error.
const DENIED: &[(&str, u16)] = &[
    ("DROP USER dormouse@localhost", 1227),
    ("DROP USER app, dormouse@localhost", 1227),
    ("DROP USER DORMOUSE@LOCALHOST", 1227),
    ("DROP USER 'dormouse '@localhost", 1396),
    ("DROP USER ' dormouse'@localhost", 1227),
    ("DROP USER dormouse@'localhos_'", 1227),
    ("DROP USER dormouse@'%'", 1227),
    ("DROP USER mariadb.sys@localhost", 0),
    ("DROP USER `mariadb.sys`@localhost", 1227),
    ("CREATE USER dormouse", 1227),
    ("CREATE OR REPLACE USER dormouse@localhost", 1227),
    ("CREATE ROLE dormouse", 1227),
    ("CREATE ROLE `Mariadb.Sys`", 1227),
    ("CREATE ROLE s WITH ADMIN dormouse@localhost", 1227),
    ("DROP ROLE dormouse", 1227),
    ("ALTER USER app ACCOUNT LOCK, dormouse@localhost", 0),
    ("ALTER USER app, dormouse@localhost ACCOUNT LOCK", 1227),
    ("ALTER USER dormouse@localhost IDENTIFIED BY 'x'", 1227),
    ("RENAME USER dormouse@localhost TO x", 1227),
    ("RENAME USER app TO dormouse@localhost", 1227),
    ("SET PASSWORD FOR dormouse@localhost = PASSWORD('x')", 1227),
    ("GRANT SELECT ON a.* TO dormouse@localhost", 1227),
    ("GRANT dormouse TO app", 1227),
    ("GRANT r TO dormouse@localhost", 1227),
    (
        "REVOKE ALL PRIVILEGES, GRANT OPTION FROM dormouse@localhost",
        1227,
    ),
    ("REVOKE SELECT ON *.* FROM app, dormouse@localhost", 1227),
    ("REVOKE dormouse FROM app", 1227),
    ("SET DEFAULT ROLE r FOR dormouse@localhost", 1227),
    ("SET DEFAULT ROLE dormouse FOR app", 1227),
    ("SHOW GRANTS FOR dormouse@localhost", 1227),
    ("SHOW GRANTS FOR dormouse", 1227),
    ("SHOW CREATE USER `mariadb.sys`@localhost", 1227),
    ("CREATE USER 'public'", 1396),
    ("CREATE USER ''@''", 1396),
    ("CREATE USER 'a\u{1f600}'", 1396),
    ("CREATE USER 'a'@'b c'", 1396),
    ("CREATE ROLE ''", 1396),
    ("GRANT SELECT ON mysql.* TO app", 1227),
    ("GRANT SELECT ON MySQL.* TO app", 1227),
    ("GRANT SELECT ON `\\mysql`.* TO app", 1227),
    ("GRANT SELECT ON `m\\ysql`.* TO app", 1227),
    ("GRANT SELECT ON `mysql `.* TO app", 1102),
    ("GRANT SELECT ON mysql.user TO app", 1227),
    ("GRANT EXECUTE ON PROCEDURE mysql.p TO app", 1227),
    ("GRANT SELECT ON sys.* TO app", 1227),
    ("GRANT SELECT ON performance_schema.* TO app", 1227),
    ("REVOKE SELECT ON mysql.* FROM app", 1227),
    ("GRANT ALL ON `mysq_`.* TO app WITH GRANT OPTION", 1227),
    ("GRANT ALL ON `%`.* TO app WITH GRANT OPTION", 1227),
    ("GRANT ALL ON `s%`.* TO app WITH GRANT OPTION", 1227),
    ("GRANT ALL ON `_\\ysql`.* TO app WITH GRANT OPTION", 1227),
    ("GRANT SUPER ON *.* TO app", 1227),
    ("GRANT FILE ON *.* TO app", 1227),
    ("GRANT SELECT, SHUTDOWN ON *.* TO app", 1227),
    ("GRANT SET USER ON *.* TO app", 1227),
    ("GRANT CONNECTION ADMIN ON *.* TO app", 1227),
    ("GRANT REPLICATION SLAVE ON *.* TO app", 1227),
    ("GRANT READ ONLY ADMIN ON *.* TO app", 1227),
    ("GRANT SELECT ON *.* TO app WITH GRANT OPTION", 1227),
    ("GRANT USAGE ON *.* TO app WITH GRANT OPTION", 1227),
    ("GRANT PROCESS ON a.* TO app", 1144),
    ("GRANT SELECT ON *.* TO PUBLIC", 1227),
    ("GRANT SELECT ON `a%`.* TO PUBLIC", 1227),
    ("GRANT r TO PUBLIC", 1227),
    ("GRANT CREATE USER ON *.* TO r", 1227),
    ("GRANT ALL ON *.* TO r WITH GRANT OPTION", 1227),
    ("GRANT SELECT (a) ON *.* TO app", 1221),
    ("GRANT SELECT ON t TO app", 1046),
    ("DROP USER admin, second", 1227),
    ("SET GLOBAL general_log_file = '/tmp/x'", 1227),
    ("SET GLOBAL key_buffer_size = 8589934592", 1227),
    ("SET GLOBAL sort_buffer_size = 8589934592", 1231),
    ("SET GLOBAL default_storage_engine = 'FEDERATED'", 1231),
    ("SET GLOBAL max_statement_time = '1; DROP TABLE x'", 1231),
];

#[test]
fn the_platform_is_out_of_reach() {
    for &(text, code) in DENIED {
        let read = parse(text.as_bytes(), Mode::default());
        let found = match read {
            Some(Ok(_)) => decide("admin", text)
                .map_or_else(|denied| denied.code, |plan| panic!("{text}: {plan:?}")),
            // refused before it is checked
            Some(Err(_)) => 0,
            None => panic!("{text} is left to the server"),
        };
        assert_eq!(found, code, "{text}");
    }
}

#[test]
fn users_manage_only_who_is_weaker() {
    for (text, allowed) in [
        ("CREATE USER a", true),
        ("ALTER USER app ACCOUNT LOCK", true),
        ("SET PASSWORD FOR app = PASSWORD('x')", true),
        ("DROP USER hr", true),
        ("CREATE ROLE s", true),
        ("SHOW GRANTS FOR app", true),
        ("ALTER USER admin IDENTIFIED BY 'x'", false),
        ("ALTER USER ADMIN@'%' IDENTIFIED BY 'x'", true),
        ("DROP USER app, admin", false),
        ("RENAME USER second TO third", false),
        ("CREATE OR REPLACE USER admin", false),
        // rights on schemas go by the user name and a pattern of hosts
        ("CREATE USER admin@'127.0.0.1'", false),
        ("RENAME USER app TO second@localhost", false),
        ("ALTER USER admin@'10.0.0.1' ACCOUNT LOCK", false),
        ("CREATE USER app@'10.0.0.1'", true),
        ("SHOW CREATE USER admin", false),
        ("SET DEFAULT ROLE r FOR admin", false),
        ("GRANT SELECT ON a.* TO app", false),
        ("GRANT r TO app", false),
        ("REVOKE ALL ON *.* FROM app", false),
        ("SET GLOBAL long_query_time = 1", false),
        ("SET GLOBAL TRANSACTION READ ONLY", false),
    ] {
        assert_eq!(decide("hr", text).is_ok(), allowed, "{text}");
        assert!(decide("app", text).is_err(), "{text}");
        assert!(decide("nobody", text).is_err(), "{text}");
    }
}

#[test]
fn a_database_keeps_an_owner() {
    assert!(decide("admin", "DROP USER second").is_ok());
    assert!(decide("admin", "DROP USER admin").is_ok());
    assert!(decide("admin", "DROP USER second, app").is_ok());
    for text in [
        "DROP USER admin, second",
        "CREATE OR REPLACE USER admin, second",
        "REVOKE ALL ON *.* FROM admin, second",
        "REVOKE ALL PRIVILEGES, GRANT OPTION FROM second, CURRENT_USER()",
        "REVOKE GRANT OPTION ON *.* FROM admin, second",
    ] {
        assert_eq!(
            decide("admin", text).map_err(|denied| denied.code),
            Err(1227),
            "{text}"
        );
    }
}

#[test]
fn a_plan_does_not_show_passwords() {
    let plan = decide("admin", "CREATE USER a IDENTIFIED BY 'hunter2'");
    assert!(!format!("{plan:?}").contains("hunter2"));
}

#[test]
fn no_account_is_made_that_nobody_could_use_or_that_takes_the_place_of_others() {
    for (text, allowed) in [
        ("CREATE USER ''@localhost", false),
        ("CREATE USER ''@'local%'", false),
        ("CREATE USER ''@'LOCALHOS_'", false),
        ("RENAME USER app TO ''@localhost", false),
        (
            "GRANT USAGE ON *.* TO ''@localhost IDENTIFIED BY 'x'",
            false,
        ),
        ("CREATE USER ''@'%'", true),
        ("CREATE USER ''@'10.0.0.%'", true),
        ("DROP USER ''@localhost", true),
        ("CREATE USER a@'web.example.com'", false),
        ("CREATE USER a@'300.1.1.1'", false),
        ("CREATE USER a@'%.example.com'", true),
        (
            "CREATE USER a@'10.0.0.7', b@'::1', c@'10.0.0.0/255.0.0.0', d@LocalHost",
            true,
        ),
        ("DROP USER a@'web.example.com'", true),
    ] {
        assert_eq!(decide("admin", text).is_ok(), allowed, "{text}");
    }
}

#[test]
fn an_account_is_found_under_the_name_with_which_it_is_stored() {
    let statement = match parse(b"SHOW CREATE USER app@LOCALHOST", Mode::default()) {
        Some(Ok(statement)) => statement,
        other => panic!("{other:?}"),
    };
    let caller = Caller {
        user: "admin".to_owned(),
        host: "%".to_owned(),
    };
    let mut facts = facts();
    facts.0.push(fact("app", "LocalHost", Manager::None));
    let stored = Name::Account {
        user: "app".to_owned(),
        host: "LocalHost".to_owned(),
    };
    let shows = check(&statement, &caller, &facts)
        .ok()
        .and_then(|plan| plan.shows);
    assert_eq!(shows, Some((stored, Manager::None)));
}
