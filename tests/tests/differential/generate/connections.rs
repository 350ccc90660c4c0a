//! Statements about connections and what a server tells of them. A query in a table's place has other metadata, so items are
//! expressions.

use dormouse_testkit::Dice;

use crate::script::{Action, Step};

/// A statement of `session` about its own connection: its answer is the same with any id.
pub(super) fn step(dice: &mut Dice, session: char) -> Step {
    let own = "information_schema.PROCESSLIST WHERE ID = CONNECTION_ID()";
    let texts = [
        "SELECT CONNECTION_ID() = @@pseudo_thread_id AS same, CONNECTION_ID() > 0".to_owned(),
        format!("SELECT COUNT(*), MIN(COMMAND) FROM {own}"),
        format!("SELECT MIN(USER), MIN(HOST), MIN(DB), MIN(COMMAND), MIN(LEFT(INFO, 60)) FROM {own}"),
        format!("SELECT MIN(p.ID = CONNECTION_ID()) AS own FROM d.{session} t JOIN information_schema.PROCESSLIST p ON t.i = 1 AND p.ID = CONNECTION_ID()"),
        format!("SELECT (SELECT COUNT(*) FROM {own}) AS own, 5 UNION SELECT 7, 8 ORDER BY 1"),
        format!("EXECUTE IMMEDIATE 'SELECT MIN(ID = CONNECTION_ID()) FROM {own}'"),
        format!("SELECT 1; SELECT MAX(ID = CONNECTION_ID()) FROM {own}"),
        format!("BEGIN NOT ATOMIC DECLARE n INT; SELECT COUNT(*) INTO n FROM {own}; SELECT n; END"),
        format!("INSERT INTO d.{session} (n) SELECT COUNT(*) FROM {own}"),
        "SET @x = CONNECTION_ID() = @@pseudo_thread_id".to_owned(),
        "SELECT IS_USED_LOCK('a') = CONNECTION_ID(), IS_FREE_LOCK('b')".to_owned(),
        "SELECT COUNT(*) FROM information_schema.METADATA_LOCK_INFO WHERE THREAD_ID = CONNECTION_ID() AND LOCK_TYPE = 'User lock'".to_owned(),
        "KILL QUERY 99999999".to_owned(),
        "KILL USER nobody".to_owned(),
        "EXECUTE IMMEDIATE 'KILL 99999999'".to_owned(),
        "SHOW EXPLAIN FOR 99999999".to_owned(),
        "SHOW STATUS LIKE 'Ssl_cipher'".to_owned(),
        "SELECT MIN(VARIABLE_VALUE) FROM information_schema.SESSION_STATUS WHERE VARIABLE_NAME = 'Ssl_version'".to_owned(),
        "SELECT @@interactive_timeout, @@event_scheduler, @@session_track_schema".to_owned(),
        "SHOW VARIABLES WHERE Variable_name IN ('pseudo_thread_id', 'skip_networking') AND Value = ''".to_owned(),
    ];
    let at = usize::try_from(dice.below(texts.len() as u64 + 1)).unwrap();
    let action = match texts.get(at) {
        Some(text) => Action::Query(text.clone()),
        None => {
            let text = "SELECT CONNECTION_ID() = @@pseudo_thread_id, ?";
            Action::Once(text.to_owned(), vec!["5".to_owned()])
        }
    };
    Step { session, action }
}
