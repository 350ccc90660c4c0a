use super::*;

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

#[test]
fn the_former_owner_keeps_schemas_and_the_management_of_accounts() {
    let before = format!("{{\"access\":{},\"plugin\":\"p\",\"more\":[1]}}", u64::MAX);
    let after = reduce(&before);
    assert_eq!(after.manages, Manager::Owner);
    assert_eq!(after.schemas, SCHEMA.iter().fold(0, |m, (_, b)| m | b));
    assert!(after.lost.contains(&"SUPER") && after.lost.contains(&"FILE"));
    assert!(!after.lost.contains(&"GRANT OPTION"));
    let expected = format!(
        "{{\"access\":{GLOBAL},\"plugin\":\"p\",\"more\":[1],\"version_id\":101100,\"dormouse\":\"owner\"}}"
    );
    assert_eq!(json(&after.json), json(&expected));
}

#[test]
fn reducing_twice_changes_nothing() {
    for access in [0, 1, GLOBAL, 1 << 25, u64::MAX, 1 << 15 | 1 << 10] {
        let once = reduce(&format!("{{\"access\":{access},\"version_id\":110809}}"));
        let twice = reduce(&once.json);
        assert_eq!((&twice.json, twice.manages), (&once.json, once.manages));
        assert_eq!((twice.schemas, twice.lost.len()), (0, 0));
    }
}

#[test]
fn who_could_create_accounts_only_grants_nothing() {
    let after = reduce(&format!("{{\"access\":{}}}", 1 | GRANT_BIT | CREATE_USER));
    assert_eq!(after.manages, Manager::Users);
    assert_eq!((after.schemas, after.lost), (1, vec!["GRANT OPTION"]));
}

#[test]
fn a_role_manages_nothing() {
    let after = reduce(&format!(
        "{{\"access\":{},\"is_role\":true,\"dormouse\":\"owner\"}}",
        u64::MAX
    ));
    assert_eq!(after.manages, Manager::None);
    assert!(after.lost.contains(&"CREATE USER") && after.lost.contains(&"GRANT OPTION"));
    assert!(!after.json.contains("owner"));
}

#[test]
fn json_that_readers_could_understand_differently_is_written_anew() {
    let after = reduce("{\"access\":1,\"acc\\u0065ss\":32768}");
    assert_eq!(after.json.matches("access").count(), 1);
    for odd in ["[]", "7", "", "{\"access\":", "null"] {
        assert_eq!(reduce(odd).json, locked_json(), "{odd}");
    }
    assert_eq!(reduce("{\"access\":\"32768\"}").lost.len(), 0);
    assert!(
        reduce("{\"access\":\"32768\"}")
            .json
            .contains("\"access\":0")
    );
    assert!(reduce("{\"access\":-1}").json.contains("\"access\":0"));
}

#[test]
fn patterns_that_could_reach_a_system_schema_are_known() {
    for pattern in [
        "%", "m%", "mysq_", "_ysql", "m_l", "%sql", "\\mysql", "mysql", "my_l", "__%", "m\\ysq_",
        "my%s_l",
    ] {
        assert!(reaches(pattern, "mysql"), "{pattern}");
    }
    for pattern in [
        "shop", "shop_a", "shop\\_a", "app%", "mysql\\_", "mysql_x", "my\\%", "\\%", "xm%",
    ] {
        assert!(!reaches(pattern, "mysql"), "{pattern}");
    }
}

#[test]
fn an_escaped_name_is_an_exact_one() {
    assert_eq!(exact("\\mysql").as_deref(), Some("mysql"));
    assert_eq!(exact("my\\_app").as_deref(), Some("my_app"));
    assert_eq!(exact("my_app"), None);
    assert_eq!(exact("a%"), None);
}
