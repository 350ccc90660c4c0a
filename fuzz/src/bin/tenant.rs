//! The reader of mediated statements accepts any bytes; what it reads can be written, and the text means the
//! same. No plan for it names Dormouse's accounts. First byte: the mode.
#![no_main]

use dormouse_session::lexer::Mode;
use dormouse_tenant::{Caller, Fact, Facts, check, parse, render};
use dormouse_types::Manager;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Some((how, text)) = bytes.split_first() else { return };
    let mode = Mode {
        ansi_quotes: how & 1 != 0,
        no_backslash_escapes: how & 2 != 0,
        ..Mode::default()
    };
    let Some(Ok(mut statement)) = parse(text, mode) else { return };
    let owner = |user: &str| Fact {
        user: user.to_owned(),
        host: "%".to_owned(),
        manager: Manager::Owner,
        is_role: false,
    };
    let caller = Caller { user: "admin".to_owned(), host: "%".to_owned() };
    let facts = Facts(vec![owner("admin"), owner("second")]);
    let plan = check(&statement, &caller, &facts);
    if plan.is_ok() {
        let mut names = dormouse_tenant::check::named(&statement).into_iter();
        assert!(!names.any(|name| ["dormouse", "mariadb.sys"].contains(&&*name.trim().to_lowercase())));
    }
    if statement.expressions().next().is_none() {
        let written = render::statement(&statement);
        assert_eq!(parse(written.as_bytes(), Mode::default()), Some(Ok(statement)), "{written}");
    }
});
