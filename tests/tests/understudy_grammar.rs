//! Random statements that an understudy may answer qualify, and those that only the database itself may answer do
//! not. Needs no server.

#[path = "understudy/generate.rs"]
mod generate;
#[path = "understudy/refused.rs"]
mod refused;

use std::collections::HashSet;

use dormouse_session::lexer::Mode;
use dormouse_session::understudy::stands_in;
use dormouse_testkit::Dice;

const STATEMENTS: usize = 20_000;

fn modes() -> [Mode; 3] {
    let plain = Mode::default();
    let ansi = Mode {
        ansi_quotes: true,
        ..plain
    };
    let no_escapes = Mode {
        no_backslash_escapes: true,
        ..plain
    };
    [plain, ansi, no_escapes]
}

#[test]
fn statements_without_tables_qualify_in_every_mode() {
    let mut dice = Dice::new(19);
    let mut seen = HashSet::new();
    for _ in 0..STATEMENTS {
        let text = generate::qualifies(&mut dice);
        for mode in modes() {
            assert!(
                stands_in(text.as_bytes(), mode).is_some(),
                "{mode:?}: {text}"
            );
        }
        seen.insert(text);
    }
    assert!(seen.len() > STATEMENTS / 2, "{}", seen.len());
}

#[test]
fn statements_that_only_the_database_may_answer_do_not_qualify_in_any_mode() {
    let mut dice = Dice::new(20);
    let mut seen = HashSet::new();
    for _ in 0..STATEMENTS {
        let text = generate::does_not(&mut dice);
        for mode in modes() {
            assert_eq!(stands_in(text.as_bytes(), mode), None, "{mode:?}: {text}");
        }
        seen.insert(text);
    }
    assert!(seen.len() > STATEMENTS / 2, "{}", seen.len());
}

/// Each reason alone: a mistake in one must not hide behind another in the same text.
#[test]
fn every_reason_suffices() {
    let mut dice = Dice::new(21);
    for _ in 0..STATEMENTS {
        let bad = refused::bad_value(&mut dice);
        for text in [
            format!("SELECT {bad}"),
            format!("SELECT 1, {bad}"),
            format!("SELECT ABS({bad})"),
            refused::bad_statement(&mut dice),
            refused::bad_end(&mut dice),
        ] {
            assert_eq!(stands_in(text.as_bytes(), Mode::default()), None, "{text}");
        }
    }
}
