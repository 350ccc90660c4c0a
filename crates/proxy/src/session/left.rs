//! What later statements can ask about one that Dormouse has answered itself.

use dormouse_session::Diagnostics;
use dormouse_session::diagnostics::conditions;
use dormouse_tenant::Condition;
use dormouse_wire::reply::ErrPacket;
use dormouse_wire::rows::{self, Column};
use dormouse_wire::status::Status;

use crate::client::Client;

/// The columns of `SHOW WARNINGS` (`sql/sql_error.cc`, `mysqld_show_warnings`).
fn columns() -> [Column; 3] {
    /// `MYSQL_TYPE_LONG`
    const LONG: u8 = 3;
    const NOT_NULL: u16 = 1;
    let text = |name, characters: u32| {
        let column = Column::text(name);
        Column {
            length: characters * 4,
            flags: column.flags | NOT_NULL,
            decimals: 39,
            ..column
        }
    };
    let code = Column {
        kind: LONG,
        length: 4,
        ..Column::number("Code")
    };
    [text("Level", 7), code, text("Message", 512)]
}

/// What a statement has left that succeeded with these conditions. The client is sent the lists as they are.
pub(super) fn by(conditions: &[Condition], client: &Client, status: Status) -> Diagnostics {
    let columns = columns();
    let list = |only_errors: bool| {
        let shown = conditions.iter();
        let shown = shown.filter(|one| !only_errors || one.level == "Error");
        let row = |one: &Condition| {
            let (level, message) = (one.level.clone(), one.message.clone());
            let values = [level, one.code.to_string(), message];
            values.map(|value| Some(value.into_bytes())).to_vec()
        };
        let rows: Vec<_> = shown.map(row).collect();
        let packets = rows::result(&columns, &rows, client.capabilities, status);
        (!rows.is_empty()).then(|| packets.into_boxed_slice())
    };
    let errors = conditions.iter().filter(|one| one.level == "Error");
    Diagnostics {
        row_count: 0,
        found_rows: 0,
        found_rows_lost: false,
        warnings: conditions.len() as u64,
        errors: errors.count() as u64,
        warning_list: list(false),
        error_list: list(true),
        conditions: None,
    }
}

/// What a statement has left that failed.
pub(super) fn by_error(error: &ErrPacket, client: &Client, status: Status) -> Diagnostics {
    let condition = Condition {
        level: "Error".to_owned(),
        code: error.code,
        message: error.message.clone(),
    };
    Diagnostics {
        row_count: -1,
        conditions: Some(conditions::only(
            &String::from_utf8_lossy(&error.sqlstate),
            error.code,
            &error.message,
        )),
        ..by(&[condition], client, status)
    }
}
