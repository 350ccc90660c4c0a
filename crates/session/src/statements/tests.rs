use super::*;

fn statement(text: &str) -> Statement {
    Statement {
        text: Some(text.as_bytes().into()),
        effects: Effects::None,
        kind: Kind::Select,
        timeout: None,
        tells: false,
        schema: None,
        parsing_context: ParsingContext(0),
        params: 0,
        types: None,
        backend: Some(9),
        bound: true,
        cursor: false,
        long_data: false,
        data_lost: false,
        replaced: false,
    }
}

#[test]
fn ids_count_from_one_and_are_not_used_again() {
    let mut all = Statements::default();
    assert_eq!((all.add(statement("a")), all.add(statement("b"))), (1, 2));
    assert_eq!(all.remove(2).and_then(|one| one.backend), Some(9));
    assert_eq!(all.add(statement("c")), 3);
    assert_eq!(all.resolve(LAST), 3);
    assert!(all.remove(2).is_none());
    assert_eq!(all.len(), 2);
}

#[test]
fn losing_the_backend_forgets_its_ids_but_not_the_types() {
    let mut all = Statements::default();
    let id = all.add(Statement {
        types: Some([3, 0].into()),
        ..statement("a")
    });
    all.lose_backend();
    let kept = all.get(id).map(|s| (s.backend, s.bound, s.types.clone()));
    assert_eq!(kept, Some((None, false, Some([3, 0].into()))));
}

#[test]
fn kept_text_is_bounded_and_given_back() {
    let mut all = Statements::default();
    assert!(!all.can_keep(Statements::LONGEST_TEXT + 1));
    let big = "x".repeat(Statements::LONGEST_TEXT);
    let ids: Vec<u32> = (0..16).map(|_| all.add(statement(&big))).collect();
    assert!(!all.can_keep(1));
    all.remove(ids[0]);
    assert!(all.can_keep(Statements::LONGEST_TEXT));
}
