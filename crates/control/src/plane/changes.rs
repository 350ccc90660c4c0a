//! The ledger's entry of changed settings.

use std::fmt::Display;

use dormouse_policy::{Cause, Spec};
use dormouse_types::Template;

use crate::catalog::Entry;
use crate::database::Database;
use crate::principal::Principal;
use crate::status::{EventKind, Figures};

/// The entry of a change from `before` to `after`.
pub(super) fn entry(database: &Database, before: &Spec, after: &Spec, by: Principal) -> Entry {
    Entry {
        database: Some(database.name.clone()),
        actor: by,
        woken_by: None,
        event: EventKind::Set,
        from: None,
        to: None,
        cause: Cause::Operator,
        reason: describe(before, after),
        duration_ms: None,
        figures: Figures::default(),
    }
}

/// Each changed setting with its values before and after.
fn describe(before: &Spec, after: &Spec) -> String {
    let Spec {
        idle_suspend,
        idle_park,
        units,
        pooling,
        carry,
        keep_awake,
        prewake,
        history,
        replicas,
        reads,
        durability,
        storage_quota,
        spend_limit,
        access,
        on_demand,
        backups,
        reserved,
    } = before;
    let shown = |key: &Option<String>| match key {
        Some(_) => "for an import that follows another server",
        None => "no",
    };
    let changed = [
        change("idle_suspend", idle_suspend, &after.idle_suspend),
        change("idle_park", idle_park, &after.idle_park),
        change("units", units, &after.units),
        change("pooling", pooling, &after.pooling),
        change("carry", carry, &after.carry),
        change("keep_awake", keep_awake, &after.keep_awake),
        change("prewake", prewake, &after.prewake),
        change("history", history, &after.history),
        change("replicas", replicas, &after.replicas),
        change("reads", reads, &after.reads),
        change("durability", durability, &after.durability),
        change(
            "storage_quota",
            &or_none(storage_quota),
            &or_none(&after.storage_quota),
        ),
        change(
            "spend_limit",
            &or_none(spend_limit),
            &or_none(&after.spend_limit),
        ),
        change("allow", &access.allow, &after.access.allow),
        change("deny", &access.deny, &after.access.deny),
        change(
            "on_demand_schemas",
            &on_demand.schemas,
            &after.on_demand.schemas,
        ),
        change("reserved", &shown(reserved), &shown(&after.reserved)),
        change("backup", &backups.schedule, &after.backups.schedule),
        change("backup_keep", &backups.keep, &after.backups.keep),
        change(
            "on_demand_users",
            &templates(&on_demand.users),
            &templates(&after.on_demand.users),
        ),
    ];
    let changed: Vec<String> = changed.into_iter().flatten().collect();
    changed.join("; ")
}

fn change<T: Display + PartialEq>(name: &str, before: &T, after: &T) -> Option<String> {
    (before != after).then(|| format!("{name}: {before} → {after}"))
}

fn templates(all: &[Template]) -> String {
    let shown = |one: &Template| {
        let Template {
            user,
            host,
            pattern,
        } = one;
        format!("{pattern} from {user}@{host}")
    };
    let shown: Vec<_> = all.iter().map(shown).collect();
    match shown.is_empty() {
        true => "none".to_owned(),
        false => shown.join(", "),
    }
}

fn or_none<T: Display>(value: &Option<T>) -> String {
    value.as_ref().map_or("none".to_owned(), T::to_string)
}

#[cfg(test)]
mod tests {
    use dormouse_types::Units;

    use super::*;

    #[test]
    fn only_changed_settings_are_named_with_both_values() {
        let before = Spec::default();
        assert_eq!(describe(&before, &before), "");
        let mut after = before.clone();
        after.prewake = true;
        after.storage_quota = "20GiB".parse().ok();
        assert_eq!(
            describe(&before, &after),
            "prewake: false → true; storage_quota: none → 20GiB"
        );
        after.units.max = Units(9);
        assert!(describe(&before, &after).starts_with("units: "));
    }
}
