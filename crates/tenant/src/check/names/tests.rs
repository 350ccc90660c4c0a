use super::*;

#[test]
fn patterns_match_as_on_the_server() {
    for (pattern, name, expected) in [
        ("mysql", "mysql", true),
        ("MYSQL", "mysql", true),
        ("%", "mysql", true),
        ("m%l", "mysql", true),
        ("%%_%", "mysql", true),
        ("mysq_", "mysql", true),
        ("mysq\\_", "mysql", false),
        ("\\m\\y\\s\\q\\l", "mysql", true),
        ("mysql_", "mysql", false),
        ("mysql%", "mysql", true),
        ("_mysql", "mysql", false),
        ("shop%", "mysql", false),
        ("\\%", "mysql", false),
    ] {
        let name: Vec<char> = name.chars().collect();
        assert_eq!(
            matches(&Pattern::read(pattern).0, &name),
            expected,
            "{pattern}"
        );
    }
}

#[test]
fn only_wildcards_stay_escaped() {
    for (pattern, text) in [
        ("shop", "shop"),
        ("s\\hop", "shop"),
        ("a\\_b%", "a\\_b%"),
        ("a\\\\b", "a\\\\b"),
        ("a\\", "a\\\\"),
    ] {
        assert_eq!(Pattern::read(pattern).text(), text, "{pattern}");
    }
}
