//! Formats values and tables for people.

use std::time::Duration;

use comfy_table::{Cell, CellAlignment, ContentArrangement, Table, presets};
use dormouse_api::model::{
    BranchOf, By, Database, Encryption, Event, MoveStatus, Spend, Token, UsageReport, UsageRow,
    User,
};
use dormouse_types::{
    Bytes, DatabaseName, Doing, Layer, Money, PoolStatus, ReadCounts, SessionStatus, State,
    Template, Usage, pin,
};
use jiff::Timestamp;

use crate::commands::keys;
use crate::output::{Colours, Style};

pub(crate) mod wakes;

/// Age in the largest unit and the next one: `3s`, `2m 05s`, `4h 10m`, `3d 2h`.
pub(crate) fn age(since: Timestamp, now: Timestamp) -> String {
    let seconds = u64::try_from(now.as_second() - since.as_second()).unwrap_or(0);
    let (m, h, d) = (seconds / 60, seconds / 3600, seconds / 86_400);
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{m}m {:02}s", seconds % 60),
        3600..86_400 => format!("{h}h {:02}m", m % 60),
        _ => format!("{d}d {}h", h % 24),
    }
}

/// A duration: `0.4 ms`, `93 ms`, `1.25 s`, `2m 05s`.
pub(crate) fn duration(time: Duration) -> String {
    let ms = time.as_secs_f64() * 1000.0;
    match time.as_secs() {
        0 if ms < 10.0 => format!("{ms:.1} ms"),
        0 => format!("{ms:.0} ms"),
        1..60 => format!("{:.2} s", time.as_secs_f64()),
        s => format!("{}m {:02}s", s / 60, s % 60),
    }
}

/// A size: `512 B`, `36 MiB`, `1.5 GiB`.
pub(crate) fn size(bytes: Bytes) -> String {
    let mut value = bytes.0 as f64;
    let mut units = ["B", "KiB", "MiB", "GiB", "TiB"].into_iter();
    let mut unit = units.next().unwrap_or("B");
    for next in units {
        if value < 1024.0 {
            break;
        }
        value /= 1024.0;
        unit = next;
    }
    if value < 10.0 && unit != "B" {
        format!("{value:.1} {unit}")
    } else {
        format!("{value:.0} {unit}")
    }
}

/// Style of a state.
fn style(state: State) -> Style {
    match state {
        State::Active => Style::Green,
        State::Failed => Style::Red,
        State::Suspended | State::Parked => Style::Dim,
        State::Creating
        | State::Suspending
        | State::Parking
        | State::Waking
        | State::Migrating
        | State::Dropping => Style::Yellow,
    }
}

/// `dormouse ls`.
pub(crate) fn databases(all: &[Database], now: Timestamp, colours: Colours) -> String {
    if all.is_empty() {
        return "no databases yet; create one with: dormouse create NAME".to_owned();
    }
    let mut table = table(&[
        "NAME", "STATE", "FOR", "SESSIONS", "UNITS", "MEMORY", "VERSION", "BECAUSE",
    ]);
    for d in all {
        let name = match &d.branch {
            Some(branch) => format!("{} (of {})", d.name, branch.parent),
            None => d.name.to_string(),
        };
        table.add_row(vec![
            Cell::new(name),
            Cell::new(d.state),
            Cell::new(age(d.since, now)).set_alignment(CellAlignment::Right),
            Cell::new(d.sessions).set_alignment(CellAlignment::Right),
            Cell::new(units(d)),
            Cell::new(d.memory.map_or("-".to_owned(), size)).set_alignment(CellAlignment::Right),
            Cell::new(d.version.map_or("-".to_owned(), |v| v.to_string())),
            Cell::new(one_line(&d.reason)),
        ]);
    }
    let styles = std::iter::once(Style::Bold).chain(all.iter().map(|d| style(d.state)));
    lines(&table, styles, colours)
}

/// The units of its server, if there is one, and their range.
fn units(d: &Database) -> String {
    match d.pid {
        Some(_) => format!("{} of {}", d.units.0, d.units_range),
        None => d.units_range.to_string(),
    }
}

/// `dormouse show`.
pub(crate) fn database(d: &Database, now: Timestamp, colours: Colours) -> String {
    let or_none = |value: Option<String>| value.unwrap_or_else(|| "none".to_owned());
    let rows = [
        ("name", d.name.to_string()),
        ("state", colours.paint(style(d.state), d.state.as_str())),
        (
            "since",
            format!("{:.0} ({} ago)", d.since, age(d.since, now)),
        ),
        ("because", d.reason.clone()),
        ("move", or_none(d.moving.as_ref().map(moving))),
        ("process", or_none(d.pid.map(|pid| format!("pid {pid}")))),
        ("sandbox", layers(&d.layers)),
        ("memory", or_none(d.memory.map(size))),
        (
            "storage",
            d.storage.map_or("not measured yet".to_owned(), size),
        ),
        ("read-only", or_none(d.read_only.clone())),
        ("reserved", reserved(d)),
        ("memory tables", memory_tables(d.memory_tables.as_deref())),
        ("encryption", encryption(d.encryption.as_ref())),
        ("units", units(d)),
        ("idle suspend", d.idle_suspend.to_string()),
        ("idle park", d.idle_park.to_string()),
        ("keep awake", d.keep_awake.to_string()),
        ("prewake", if d.prewake { "on" } else { "off" }.to_owned()),
        ("history", if d.history { "on" } else { "off" }.to_owned()),
        ("replicas", replicas(d)),
        ("storage quota", or_none(d.storage_quota.map(size))),
        (
            "spend limit",
            or_none(d.spend_limit.map(|limit| format!("{limit} a month"))),
        ),
        (
            "backups",
            format!("{}, keep {}", d.backups.schedule, d.backups.keep),
        ),
        (
            "spend",
            d.spend
                .as_ref()
                .map_or("no prices are set".to_owned(), spend),
        ),
        ("allow", d.allow.to_string()),
        ("deny", d.deny.to_string()),
        ("schemas on demand", d.on_demand.schemas.to_string()),
        ("users on demand", templates(&d.on_demand.users)),
        ("pooling", d.pooling.to_string()),
        ("carry", d.carry.to_string()),
        ("sessions", d.sessions.to_string()),
        ("held statements", d.held.to_string()),
        ("transactions", d.transactions.to_string()),
        ("server", or_none(d.version.map(|v| format!("MariaDB {v}")))),
        (
            "files in",
            or_none(d.root.as_ref().map(|dir| dir.display().to_string())),
        ),
        ("branch of", or_none(d.branch.as_ref().map(branch_of))),
        ("instance", d.instance.to_string()),
        ("generation", d.generation.to_string()),
    ];
    rows.iter()
        .map(|(key, value)| format!("{key:<15}  {value}\n"))
        .collect()
}

/// A move that is under way: for how long, what it does, and what it waits for.
fn moving(moving: &MoveStatus) -> String {
    let took = duration(Duration::from_millis(moving.took_ms));
    let stage = &moving.stage;
    match &moving.waits_for {
        Some(what) => format!("{stage}, for {took}; it waits for {what}"),
        None => format!("{stage}, for {took}"),
    }
}

/// The replicas, and what they are for.
fn replicas(d: &Database) -> String {
    match d.replicas_range.has_some() {
        false => "none".to_owned(),
        true => {
            let each = d.followers.iter().map(|one| {
                let behind = one.behind_s.filter(|s| *s > 0);
                let behind = behind.map_or(String::new(), |s| format!(", {s} s behind"));
                format!(
                    "; instance {}: {}{behind}",
                    one.instance,
                    one.doing.as_str()
                )
            });
            let each: String = each.collect();
            let (reads, commits) = (d.reads, d.durability);
            let count = match d.replicas_range.follows_load() {
                true => format!("{} of {}", d.replicas, d.replicas_range),
                false => d.replicas.to_string(),
            };
            format!("{count}, reads: {reads}, commits wait for: {commits}{each}")
        }
    }
}

/// Where a branch came from.
fn branch_of(branch: &BranchOf) -> String {
    let made = format!("{} at {:.0}", branch.parent, branch.at);
    match branch.expires {
        Some(at) => format!("{made}; dropped at {at:.0}"),
        None => made,
    }
}

/// The templates for users on demand.
fn templates(all: &[Template]) -> String {
    if all.is_empty() {
        return "off".to_owned();
    }
    let one = |t: &Template| format!("{} from '{}'@'{}'", t.pattern, t.user, t.host);
    let all: Vec<_> = all.iter().map(one).collect();
    all.join(", ")
}

/// The layers that hold; and each that does not, with the reason.
fn layers(all: &[Layer]) -> String {
    if all.is_empty() {
        return "no process".to_owned();
    }
    let holding: Vec<_> = all.iter().filter(|l| l.holds).map(|l| &*l.name).collect();
    let lacking = all.iter().filter(|l| !l.holds);
    lacking.fold(holding.join(", "), |text, layer| {
        format!("{text}\n{:<15}  no {}: {}", "", layer.name, layer.detail)
    })
}

/// For whom it is reserved, and the consequence.
fn reserved(d: &Database) -> String {
    if !d.reserved {
        return "no".to_owned();
    }
    format!(
        "for an import: statements of others are held until `dormouse import {0} --cut-over`, or `--abandon`",
        d.name
    )
}

/// The MEMORY tables with rows, and the consequence.
fn memory_tables(tables: Option<&[String]>) -> String {
    match tables {
        None => "unknown now".to_owned(),
        Some([]) => "none with rows".to_owned(),
        Some(tables) => format!(
            "{}: no park, because their rows would be lost",
            tables.join(", ")
        ),
    }
}

/// The encryption, and the tables that have none.
fn encryption(encryption: Option<&Encryption>) -> String {
    let Some(encryption) = encryption else {
        return "none".to_owned();
    };
    let state = keys::told_short(encryption);
    match encryption.plain_tables.as_deref() {
        None | Some([]) => state,
        Some(tables) => format!(
            "{state}; not encrypted, because their engines cannot or ENCRYPTED=NO: {}",
            tables.join(", ")
        ),
    }
}

/// Cost of a database, and the step in force.
fn spend(spend: &Spend) -> String {
    let cost = format!("{} {}", spend.cost, spend.currency);
    let what = match spend.rung.as_str() {
        "free" => "no restriction",
        "warned" => "near its limit",
        "slow" => "slowed to the free units",
        "read_only" => "read-only",
        "asleep" => "parked until the month ends",
        other => other,
    };
    format!("{} this month: {what}", cost.trim_end())
}

/// `dormouse user ls`.
pub(crate) fn users(all: &[User]) -> String {
    if all.is_empty() {
        return "no users".to_owned();
    }
    let mut table = table(&["USER", "HOST", "LOCKED", "REQUIRES", "MAX CONNECTIONS"]);
    for user in all {
        let most = match user.max_connections {
            0 => "-".to_owned(),
            most => most.to_string(),
        };
        table.add_row(vec![
            Cell::new(one_line(&user.user)),
            Cell::new(one_line(&user.host)),
            Cell::new(if user.locked { "yes" } else { "no" }),
            Cell::new(&user.requires),
            Cell::new(most).set_alignment(CellAlignment::Right),
        ]);
    }
    table
        .lines()
        .map(|line| line.trim_end().to_owned() + "\n")
        .collect()
}

/// `dormouse sessions`.
pub(crate) fn sessions(all: &[SessionStatus], colours: Colours) -> String {
    if all.is_empty() {
        return "no sessions".to_owned();
    }
    let mut table = table(&["ID", "USER", "HOST", "DOES", "IDLE", "HOLDS", "PINNED BY"]);
    let seconds = |s: u64| format!("{s}s");
    for session in all {
        table.add_row(vec![
            Cell::new(session.id),
            Cell::new(one_line(&session.user)),
            Cell::new(&session.host),
            Cell::new(session.doing.as_str()),
            Cell::new(seconds(session.idle_s)).set_alignment(CellAlignment::Right),
            Cell::new(session.held_s.map_or("-".to_owned(), seconds))
                .set_alignment(CellAlignment::Right),
            Cell::new(pin::list(&session.pins)),
        ]);
    }
    let styles = all.iter().map(|session| match session.doing {
        Doing::Running => Style::Green,
        Doing::Waiting | Doing::Pinned => Style::Yellow,
        Doing::Resting | Doing::Keeping => Style::Dim,
    });
    lines(&table, std::iter::once(Style::Bold).chain(styles), colours)
}

/// `dormouse pool`.
pub(crate) fn pool(pool: &PoolStatus) -> String {
    let waited = duration(Duration::from_millis(pool.waited_ms));
    let mut rows = vec![
        ("sessions".to_owned(), pool.sessions.to_string()),
        (
            "backends".to_owned(),
            format!(
                "{} of {}, {} idle",
                pool.backends, pool.backends_max, pool.idle
            ),
        ),
        ("waiting now".to_owned(), pool.waiting.to_string()),
        (
            "leases".to_owned(),
            format!("{}, held for {} s in all", pool.leases, pool.held_s),
        ),
        ("released for others".to_owned(), pool.steals.to_string()),
        ("restored".to_owned(), pool.restores.to_string()),
        ("opened".to_owned(), pool.opened.to_string()),
        (
            "waits".to_owned(),
            format!(
                "{}, {waited} in all, {} too long",
                pool.waits, pool.timeouts
            ),
        ),
        (
            "clients disconnected".to_owned(),
            pool.departures.to_string(),
        ),
        ("faults".to_owned(), pool.faults.to_string()),
        (
            "answered asleep".to_owned(),
            pool.sleeping_answers.to_string(),
        ),
    ];
    if pool.reads != ReadCounts::default() {
        let ReadCounts {
            on_replicas,
            waits,
            fallbacks,
        } = pool.reads;
        rows.push((
            "read on replicas".to_owned(),
            format!("{on_replicas}, {waits} waited, {fallbacks} more on the primary instead"),
        ));
    }
    let kept = pool.pins.iter();
    rows.extend(kept.map(|(pin, count)| (format!("kept by {pin}"), count.to_string())));
    rows.iter()
        .map(|(key, value)| format!("{key:<24}  {value}\n"))
        .collect()
}

/// `dormouse usage`.
pub(crate) fn usage(report: &UsageReport, colours: Colours) -> String {
    if report.used == Usage::default() {
        return format!("no use in {}", report.month);
    }
    let time = match report.by {
        By::Month => None,
        By::Day => Some("DAY"),
        By::Minute => Some("MINUTE (UTC)"),
    };
    let cost = report.cost.map(|_| match report.currency.as_str() {
        "" => "COST".to_owned(),
        currency => format!("COST ({currency})"),
    });
    let mut header = vec!["DATABASE"];
    header.extend(time);
    header.extend([
        "CPU h",
        "MEMORY GiB h",
        "STORAGE GiB h",
        "STATEMENTS",
        "IN",
        "OUT",
        "AWAKE h",
    ]);
    header.extend(cost.as_deref());
    let first = 1 + usize::from(time.is_some());
    let mut table = table(&header);
    for column in table.column_iter_mut().skip(first) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    let moment = |row: &UsageRow| {
        row.from.map(|from| match report.by {
            By::Minute => from.strftime("%F %H:%M").to_string(),
            _ => from.strftime("%F").to_string(),
        })
    };
    for row in &report.rows {
        let dropped = row.dropped.map_or("", |_| " (dropped)");
        let mut cells = vec![format!("{}{dropped}", row.database)];
        cells.extend(moment(row));
        cells.extend(used(&row.used, row.cost));
        table.add_row(cells);
    }
    if report.rows.len() > 1 {
        let mut cells = vec!["all".to_owned()];
        cells.extend(time.map(|_| report.month.to_string()));
        cells.extend(used(&report.used, report.cost));
        table.add_row(cells);
    }
    let styles = report.rows.iter().map(|row| match row.dropped {
        Some(_) => Style::Dim,
        None => Style::Plain,
    });
    let styles = std::iter::once(Style::Bold).chain(styles);
    lines(&table, styles.chain(std::iter::once(Style::Bold)), colours)
}

/// The columns of use.
fn used(used: &Usage, cost: Option<Money>) -> Vec<String> {
    let hours = |amount: u64, an_hour: f64| format!("{:.3}", amount as f64 / an_hour);
    let mut cells = vec![
        hours(used.cpu_us, 3.6e9),
        hours(used.memory_mib_ms, 3.6e6 * 1024.0),
        hours(used.storage_mib_ms, 3.6e6 * 1024.0),
        used.carried.statements.to_string(),
        size(Bytes(used.carried.bytes_in)),
        size(Bytes(used.carried.bytes_out)),
        hours(used.active_ms, 3.6e6),
    ];
    cells.extend(cost.map(|cost| cost.to_string()));
    cells
}

/// One line of `dormouse events`.
pub(crate) fn event(e: &Event, colours: Colours) -> String {
    let way = match (e.from, e.to) {
        // a remark is about no transition
        _ if e.event == "noted" => String::new(),
        (Some(from), Some(to)) => format!("{from} → {}", colours.paint(style(to), to.as_str())),
        (None, Some(to)) => colours.paint(style(to), to.as_str()),
        _ => String::new(),
    };
    let way = match (e.figures.units_before, e.figures.units) {
        (Some(before), Some(after)) => format!("{} → {} units", before.0, after.0),
        _ => way,
    };
    let what = match e.event.as_str() {
        "changed" if !way.is_empty() => way,
        other if way.is_empty() => other.to_owned(),
        other => format!("{other} {way}"),
    };
    let took = e
        .duration_ms
        .map(|ms| format!(" in {}", duration(Duration::from_millis(ms))));
    let at = colours.paint(Style::Dim, &format!("{:.3}", e.at));
    let database = e.database.as_ref().map_or("-", DatabaseName::as_str);
    // Dormouse's own decisions are the rule, so they are not marked
    let by = e.actor.as_deref().filter(|who| *who != "dormouse");
    let by = by.map(|who| format!(" by {who}"));
    let statement = e.woken_by.as_ref();
    let statement = statement.map(|by| format!(": `{}` by {}", by.statement, by.account));
    format!(
        "{at}  {database}  {what}{}  [{}{}] {}{}",
        took.unwrap_or_default(),
        e.cause,
        by.unwrap_or_default(),
        one_line(&e.reason),
        statement.unwrap_or_default()
    )
}

/// `dormouse token ls`.
pub(crate) fn tokens(all: &[Token], now: Timestamp, colours: Colours) -> String {
    if all.is_empty() {
        return "no tokens; add one with: dormouse token add --role ROLE".to_owned();
    }
    let mut table = table(&["ID", "NAME", "ROLE", "DATABASE", "EXPIRES", "USED"]);
    for token in all {
        let ago = |at| format!("{} ago", age(at, now));
        let expires = match token.expires {
            None => "never".to_owned(),
            Some(at) if at <= now => "expired".to_owned(),
            Some(at) => format!("in {}", age(now, at)),
        };
        table.add_row(vec![
            Cell::new(&token.id),
            Cell::new(&token.name),
            Cell::new(token.role),
            Cell::new(token.database.as_ref().map_or("-", DatabaseName::as_str)),
            Cell::new(expires),
            Cell::new(token.used.map_or("never".to_owned(), ago)),
        ]);
    }
    let styles = all.iter().map(|token| match token.expires {
        Some(at) if at <= now => Style::Dim,
        _ => Style::Plain,
    });
    lines(&table, std::iter::once(Style::Bold).chain(styles), colours)
}

/// Joins the lines of a text, for lists.
fn one_line(text: &str) -> String {
    text.split(['\n', '\r'])
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .collect::<Vec<_>>()
        .join("; ")
}

fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table
        .load_style(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(header);
    table
}

/// A plain table.
pub(crate) fn rows<const N: usize>(
    header: &[&str; N],
    rows: impl Iterator<Item = [String; N]>,
) -> String {
    let mut table = table(header);
    table.add_rows(rows);
    lines(&table, std::iter::repeat(Style::Plain), Colours::Off)
}

/// Formats the table with one style per line; colour codes inside cells would break the alignment.
fn lines(table: &Table, styles: impl Iterator<Item = Style>, colours: Colours) -> String {
    let lines = table.lines().zip(styles);
    lines
        .map(|(line, style)| colours.paint(style, line.trim()) + "\n")
        .collect()
}

#[cfg(test)]
mod tests;
