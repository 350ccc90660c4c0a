//! What the OK packet of a login reports about the new session, to clients that use session tracking.

use dormouse_types::{VariableKind, Variables};
use dormouse_wire::reply::SessionChange;

use super::context::AsleepContext;
use super::variables::{SessionVariables, variable};

/// The changes that a server would report: since 11.3 the tracked variables (MDEV-31609), and the schema of
/// the login. Unknown variables are left out. The order differs from the server's, which is that of a hash
/// table.
#[must_use]
pub fn login_changes(context: &AsleepContext<'_>, schema: Option<&[u8]>) -> Vec<SessionChange> {
    let known = context.globals.and_then(|globals| {
        SessionVariables::at_login(globals, context.collation, context.capabilities)
    });
    let Some(mut known) = known else {
        return Vec::new();
    };
    known.keep("wait_timeout", context.wait_timeout.to_string());
    let mut changes = tracked_variables(&known);
    // changes of state are not reported: Dormouse, not the client, has switched on their tracking
    if let Some(schema) = schema
        && known.flag("session_track_schema") == Some(true)
    {
        changes.push(SessionChange::Schema(schema.to_vec()));
    }
    changes
}

fn tracked_variables(known: &SessionVariables<'_>) -> Vec<SessionChange> {
    let list = known.text("session_track_system_variables");
    let list = list.filter(|_| reports_at_login(known.globals));
    let names = list.unwrap_or_default().split(',');
    let change = |name: &str| {
        let variable = variable(name)?;
        let value = known.text(variable.name)?;
        let shown = match (variable.kind, value) {
            (VariableKind::Flag, "1") => "ON",
            (VariableKind::Flag, _) => "OFF",
            (_, value) => value,
        };
        Some(SessionChange::SystemVariable {
            name: variable.name.into(),
            value: shown.into(),
        })
    };
    // for '*' a server reports none
    names.filter_map(change).collect()
}

/// Whether a server of this version reports tracked variables at the login.
fn reports_at_login(globals: &Variables) -> bool {
    let version = globals.get("version").unwrap_or_default();
    let mut parts = version.split('.').map(|part| part.parse::<u32>().ok());
    matches!((parts.next(), parts.next()), (Some(Some(major)), Some(Some(minor))) if (major, minor) >= (11, 3))
}

#[cfg(test)]
mod tests {
    use dormouse_wire::caps::Capabilities;

    use super::*;
    use crate::sleeping::tests::{context, globals};

    fn told(changed: &[(&str, &str)], schema: Option<&[u8]>) -> Vec<String> {
        let globals = globals(changed);
        let context = AsleepContext {
            capabilities: Capabilities::OWN_CLIENT,
            ..context(&globals)
        };
        let told = login_changes(&context, schema).into_iter();
        told.map(|change| match change {
            SessionChange::SystemVariable { name, value } => {
                let text = |bytes| String::from_utf8(bytes).unwrap();
                format!("{}={}", text(name), text(value))
            }
            other => format!("{other:?}"),
        })
        .collect()
    }

    const NEW: (&str, &str) = ("version", "11.8.6-MariaDB");

    #[test]
    fn tracked_variables_are_reported_by_servers_that_do_so() {
        let list = (
            "session_track_system_variables",
            "autocommit,time_zone,made_up",
        );
        let off = ("autocommit", "0");
        assert_eq!(
            told(&[NEW, list, off], None),
            ["autocommit=OFF", "time_zone=SYSTEM"]
        );
        assert!(told(&[list], None).is_empty(), "10.11 tells none");
        let all = ("session_track_system_variables", "*");
        assert!(told(&[NEW, all], None).is_empty());
        let none = ("session_track_system_variables", "");
        assert!(told(&[NEW, none], None).is_empty());
    }

    #[test]
    fn a_schema_is_reported_if_it_is_tracked() {
        let none = ("session_track_system_variables", "");
        let state = ("session_track_state_change", "1");
        assert_eq!(
            told(&[none, state], Some(b"shop")),
            ["Schema([115, 104, 111, 112])"]
        );
        let off = ("session_track_schema", "0");
        assert!(told(&[none, off], Some(b"shop")).is_empty());
    }
}
