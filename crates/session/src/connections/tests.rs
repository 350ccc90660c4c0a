use super::*;

fn known() -> Connections {
    Connections {
        own: 5,
        present: vec![Present {
            thread: 5,
            id: 900,
            host: "h:1".to_owned(),
        }],
        resting: Vec::new(),
        version: (10, 11),
        tls: None,
    }
}

fn new_text(text: &str) -> Option<String> {
    let new = translated(text.as_bytes(), Mode::default(), None, false, &known())?;
    String::from_utf8(new).ok()
}

fn holder(call: &str) -> String {
    String::from_utf8(super::queries::holder(call.as_bytes(), &known())).unwrap()
}

/// The text with what was put in place of the table reduced to a word.
fn outline(text: &str) -> Option<String> {
    let new = new_text(text)?;
    let lock = holder("IS_USED_LOCK('a')");
    let spans: Vec<_> = Lexer::new(text.as_bytes(), Mode::default())
        .spanned()
        .collect();
    let spelling = Spelling::of(&spans);
    let list = super::queries::of(Table::Processes, &known(), &spelling, text.as_bytes());
    Some(new.replace(&list, "(LIST)").replace(&lock, "(LOCK)"))
}

#[test]
fn tables_get_the_ids_of_sessions() {
    for (text, expected) in [
        (
            "SELECT id FROM information_schema.processlist WHERE id = 900",
            "SELECT id FROM (LIST) AS processlist WHERE id = 900",
        ),
        (
            "select p.ID from `INFORMATION_SCHEMA`.PROCESSLIST p join t",
            "select p.ID from (LIST) p join t",
        ),
        (
            "SELECT * FROM t, information_schema.processlist AS q",
            "SELECT * FROM t, (LIST) AS q",
        ),
        (
            "SELECT information_schema.processlist.id FROM information_schema.processlist LIMIT 1",
            "SELECT processlist.id FROM (LIST) AS processlist LIMIT 1",
        ),
        (
            "DO 1; SET @a = (SELECT COUNT(*) FROM information_schema.processlist)",
            "DO 1; SET @a = (SELECT COUNT(*) FROM (LIST) AS processlist)",
        ),
        (
            "INSERT INTO t SELECT id FROM information_schema.processlist ON DUPLICATE KEY UPDATE a = 1",
            "INSERT INTO t SELECT id FROM (LIST) AS processlist ON DUPLICATE KEY UPDATE a = 1",
        ),
    ] {
        assert_eq!(outline(text).as_deref(), Some(expected), "{text}");
        assert!(may_tell(text.as_bytes(), None), "{text}");
    }
}

#[test]
fn columns_keep_their_names() {
    for (text, expected) in [
        (
            "SELECT IS_USED_LOCK('a')",
            "SELECT (LOCK) AS `IS_USED_LOCK('a')`",
        ),
        (
            "SELECT DISTINCT 1, IS_USED_LOCK('a') = 2 FROM t",
            "SELECT DISTINCT 1, (LOCK) = 2 AS `IS_USED_LOCK('a') = 2` FROM t",
        ),
        (
            "SELECT IS_USED_LOCK('a') l, IS_USED_LOCK('a') AS `m`, (IS_USED_LOCK('a')) 'n'",
            "SELECT (LOCK) l, (LOCK) AS `m`, ((LOCK)) 'n'",
        ),
        (
            "SELECT 1 FROM t WHERE IS_USED_LOCK('a') IS NULL",
            "SELECT 1 FROM t WHERE (LOCK) IS NULL",
        ),
        (
            "SELECT (SELECT COUNT(*) FROM information_schema.processlist)",
            "SELECT (SELECT COUNT(*) FROM (LIST) AS processlist) AS `(SELECT COUNT(*) FROM information_schema.processlist)`",
        ),
        (
            "SELECT * FROM (SELECT IS_USED_LOCK('a')) AS d",
            "SELECT * FROM (SELECT (LOCK) AS `IS_USED_LOCK('a')`) AS d",
        ),
        (
            "SELECT IS_USED_LOCK('a') IS NULL",
            "SELECT (LOCK) IS NULL AS `IS_USED_LOCK('a') IS NULL`",
        ),
        ("DO IS_USED_LOCK('a')", "DO (LOCK)"),
    ] {
        assert_eq!(outline(text).as_deref(), Some(expected), "{text}");
    }
}

#[test]
fn columns_are_named_as_the_text_writes_them() {
    let new = |text: &str| new_text(text).unwrap_or_default();
    assert!(new("SELECT id, p.Info FROM information_schema.processlist p").contains("AS `id`"));
    assert!(new("SELECT id, p.Info FROM information_schema.processlist p").contains("AS `Info`"));
    assert!(new("SELECT * FROM information_schema.processlist WHERE id = 1").contains("AS `ID`"));
    assert!(new("SELECT COUNT(*), id FROM information_schema.processlist").contains("AS `id`"));
}

#[test]
fn several_statements_are_translated_one_by_one() {
    let kill = |value: &str| {
        String::from_utf8(super::queries::victim(value.as_bytes(), &known())).unwrap()
    };
    for (text, expected) in [
        (
            "SELECT 1; KILL QUERY 900",
            format!("SELECT 1; KILL QUERY {}", kill("900")),
        ),
        ("DO 1; KILL @v;", format!("DO 1; KILL {};", kill("@v"))),
        (
            "BEGIN NOT ATOMIC KILL HARD QUERY 900; END",
            format!("BEGIN NOT ATOMIC KILL HARD QUERY {}; END", kill("900")),
        ),
    ] {
        assert_eq!(new_text(text), Some(expected), "{text}");
        assert!(may_tell_within(text.as_bytes(), Mode::default()));
    }
    assert!(
        new_text("SHOW PROCESSLIST; SELECT 1").is_some_and(|new| new.starts_with("SELECT ID AS"))
    );
    let block = new_text("BEGIN NOT ATOMIC SHOW FULL PROCESSLIST; END");
    assert!(block.is_some_and(|new| new.starts_with("BEGIN NOT ATOMIC SELECT ID AS")));
    assert_eq!(new_text("BEGIN NOT ATOMIC SHOW TABLES; END"), None);
    assert_eq!(new_text("SELECT 1; KILL USER bob"), None);
}

#[test]
fn values_take_the_places_of_parameters() {
    let with = |text: &str, inner: &str| {
        let out = with_values(text.as_bytes(), inner.as_bytes(), Mode::default());
        out.and_then(|out| String::from_utf8(out).ok())
    };
    assert_eq!(
        with("EXECUTE s USING @a, 5", "SELECT ?, '?' WHERE x = ?").as_deref(),
        Some("SELECT @a, '?' WHERE x = 5")
    );
    assert_eq!(with("EXECUTE s", "SELECT 1").as_deref(), Some("SELECT 1"));
    assert_eq!(with("EXECUTE s USING @a", "SELECT 1"), None);
    assert_eq!(with("EXECUTE s", "SELECT ?"), None);
}

#[test]
fn other_texts_are_sent_as_they_are() {
    for text in [
        "SELECT 1",
        "SELECT 'information_schema.processlist'",
        "SELECT processlist FROM t",
        "SELECT * FROM mine.processlist",
        "SELECT * FROM information_schema.tables",
        "SELECT f.is_used_lock('a')",
        "SHOW COLUMNS FROM information_schema.processlist",
        "CREATE VIEW v AS SELECT * FROM information_schema.processlist",
        "CREATE OR REPLACE DEFINER = a PROCEDURE p() BEGIN DO 1; SELECT IS_USED_LOCK('a'); END",
        "PREPARE s FROM 'SELECT 1'; SELECT 1",
    ] {
        assert_eq!(new_text(text), None, "{text}");
    }
    for text in [
        "SELECT 1",
        "INSERT INTO a_b VALUES (1)",
        "",
        "_",
        "SELECT _s",
    ] {
        assert!(!may_tell(text.as_bytes(), None), "{text}");
    }
}

#[test]
fn in_information_schema_its_name_may_be_missing() {
    let schema = Some(b"information_schema".as_slice());
    let text = b"SELECT * FROM processlist";
    assert!(may_tell(text, schema));
    let new = translated(text, Mode::default(), schema, false, &known());
    assert!(new.is_some_and(|new| new.ends_with(b") AS processlist")));
    assert_eq!(
        translated(text, Mode::default(), None, false, &known()),
        None
    );
}

#[test]
fn a_prepared_list_is_a_query() {
    let prepared = |text: &str| translated(text.as_bytes(), Mode::default(), None, true, &known());
    assert!(
        prepared("SHOW FULL PROCESSLIST").is_some_and(|new| new.starts_with(b"SELECT ID AS Id"))
    );
    assert_eq!(prepared("SHOW TABLES"), None);
    assert_eq!(
        new_text("SHOW FULL PROCESSLIST"),
        None,
        "its reply is edited"
    );
}

#[test]
fn the_connection_whose_statement_is_explained_is_translated() {
    for (text, expected) in [
        ("SHOW EXPLAIN FOR 900", Some("SHOW EXPLAIN FOR 5")),
        (
            "SHOW ANALYZE FORMAT = JSON FOR 900;",
            Some("SHOW ANALYZE FORMAT = JSON FOR 5;"),
        ),
        (
            "EXPLAIN FOR CONNECTION 900",
            Some("EXPLAIN FOR CONNECTION 5"),
        ),
        ("SHOW EXPLAIN FOR 901", None),
        ("EXPLAIN SELECT 900", None),
    ] {
        assert_eq!(new_text(text).as_deref(), expected, "{text}");
    }
    assert!(may_explain(b"SHOW EXPLAIN FOR 900", Mode::default()));
    assert!(!may_explain(b"SHOW TABLES", Mode::default()));
}

#[test]
fn tables_of_status_variables_have_the_clients_cipher() {
    let tls = TlsStatus {
        cipher: "TLS_AES_256_GCM_SHA384",
        version: "TLSv1.3",
    };
    let tls = Connections {
        tls: Some(tls),
        ..known()
    };
    let query = |table: &str, name: &str, value: &str| {
        format!(
            "(SELECT VARIABLE_NAME AS `{name}`, CASE VARIABLE_NAME WHEN 'SSL_CIPHER' THEN 'TLS_AES_256_GCM_SHA384' \
             WHEN 'SSL_VERSION' THEN 'TLSv1.3' ELSE VARIABLE_VALUE END AS `{value}` \
             FROM information_schema.{table})"
        )
    };
    let (name, value) = ("VARIABLE_NAME", "VARIABLE_VALUE");
    let session = query("SESSION_STATUS", name, value);
    for (text, expected) in [
        (
            "SELECT * FROM information_schema.SESSION_STATUS WHERE a = 1",
            format!("SELECT * FROM {session} AS SESSION_STATUS WHERE a = 1"),
        ),
        (
            "select variable_value from `information_schema` . global_status g",
            format!(
                "select variable_value from {} g",
                query("GLOBAL_STATUS", name, "variable_value")
            ),
        ),
        (
            "INSERT INTO t SELECT 1 UNION SELECT COUNT(*) FROM information_schema.session_status",
            format!(
                "INSERT INTO t SELECT 1 UNION SELECT COUNT(*) FROM {session} AS session_status"
            ),
        ),
    ] {
        let new = translated(text.as_bytes(), Mode::default(), None, true, &tls);
        assert_eq!(new, Some(expected.into_bytes()), "{text}");
        assert_eq!(new_text(text), None, "the server tells the same: {text}");
    }
    let inside = translated(
        b"SELECT * FROM session_status",
        Mode::default(),
        Some(b"information_schema"),
        false,
        &tls,
    );
    let expected = format!("SELECT * FROM {session} AS session_status");
    assert_eq!(inside, Some(expected.into_bytes()));
}

#[test]
fn texts_in_other_character_sets_keep_their_bytes() {
    let new = |text: &[u8]| translated(text, Mode::default(), None, false, &known()).unwrap();
    let has = |new: &[u8], part: &[u8]| new.windows(part.len()).any(|window| window == part);
    let latin1 = new(b"SELECT IS_USED_LOCK('\xe9`')");
    assert!(has(&latin1, b"IS_USED_LOCK('\xe9`')"));
    assert!(latin1.ends_with(b" AS `IS_USED_LOCK('\xe9``')`"));
    // a name has no characters of four bytes
    let mouse = new("SELECT IS_USED_LOCK('\u{1f42d}')".as_bytes());
    assert!(has(&mouse, "IS_USED_LOCK('\u{1f42d}')".as_bytes()));
    assert!(mouse.ends_with(b" AS `IS_USED_LOCK('?')`"));
    // the list shows the client's text, not the changed one
    let list = new(b"SELECT info, '\xe9' FROM information_schema.processlist");
    let shown = "SELECT info, '?' FROM information_schema.processlist";
    let hex: String = shown.bytes().map(|byte| format!("{byte:02x}")).collect();
    assert!(has(&list, hex.as_bytes()));
}
