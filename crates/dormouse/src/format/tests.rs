use dormouse_api::model::Role;
use dormouse_types::{
    Backups, Carried, Carry, Delay, InstanceId, Layer, Networks, OnDemand, Pooling, UnitRange,
    Units, WokenBy,
};

use super::*;

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn shop() -> Database {
    Database {
        moving: None,
        followers: Vec::new(),
        name: "shop".parse().unwrap(),
        state: State::Active,
        since: at("2026-01-01T00:00:00Z"),
        pid: Some(42),
        layers: vec![
            Layer {
                name: "user".to_owned(),
                holds: true,
                detail: "uid 7".to_owned(),
            },
            Layer {
                name: "files".to_owned(),
                holds: false,
                detail: "no Landlock".to_owned(),
            },
        ],
        instance: InstanceId(7),
        root: Some("/data".into()),
        version: Some("11.8".parse().unwrap()),
        generation: 3,
        units: Units(1),
        units_range: UnitRange {
            min: Units(1),
            max: Units(2),
        },
        idle_suspend: "10s".parse().unwrap(),
        idle_park: Delay::Never,
        pooling: Pooling::Statement,
        carry: Carry::default(),
        keep_awake: "mon-fri 08:00-18:00".parse().unwrap(),
        prewake: false,
        replicas: dormouse_types::ReplicaCount::default(),
        replicas_range: dormouse_types::ReplicaRange::default(),
        reads: dormouse_types::Reads::default(),
        durability: dormouse_types::CommitDurability::default(),
        history: false,
        reserved: false,
        storage_quota: Some(Bytes::mib(20 << 10)),
        spend_limit: None,
        backups: Backups::default(),
        allow: Networks::default(),
        deny: "192.0.2.7".parse().unwrap(),
        on_demand: OnDemand::default(),
        sessions: 12,
        held: 0,
        transactions: 1,
        memory: Some(Bytes::mib(36)),
        cpu_ms: Some(120),
        storage: Some(Bytes::mib(24)),
        read_only: None,
        memory_tables: Some(vec!["app.cache".to_owned(), "app.hits".to_owned()]),
        encryption: None,
        spend: None,
        branch: None,
        reason: "a statement arrived".to_owned(),
    }
}

#[test]
fn an_age_has_two_units_at_most() {
    let since = at("2026-01-01T00:00:00Z");
    for (now, text) in [
        ("2026-01-01T00:00:03.9Z", "3s"),
        ("2026-01-01T00:02:05Z", "2m 05s"),
        ("2026-01-01T04:10:59Z", "4h 10m"),
        ("2026-01-04T02:00:00Z", "3d 2h"),
        ("2025-12-31T00:00:00Z", "0s"),
    ] {
        assert_eq!(age(since, at(now)), text);
    }
}

#[test]
fn durations_and_sizes_are_short() {
    for (micros, text) in [
        (400, "0.4 ms"),
        (93_000, "93 ms"),
        (1_250_000, "1.25 s"),
        (125_000_000, "2m 05s"),
    ] {
        assert_eq!(duration(Duration::from_micros(micros)), text);
    }
    for (bytes, text) in [
        (0, "0 B"),
        (512, "512 B"),
        (1536, "1.5 KiB"),
        (36 << 20, "36 MiB"),
        (3 << 29, "1.5 GiB"),
    ] {
        assert_eq!(size(Bytes(bytes)), text);
    }
}

#[test]
fn the_list_is_a_table_with_a_line_for_each_database() {
    let mut night = shop();
    night.name = "night-shift".parse().unwrap();
    night.state = State::Parked;
    (night.memory, night.pid) = (None, None);
    night.sessions = 0;
    night.reason = "idle\nfor long".to_owned();
    let text = databases(&[shop(), night], at("2026-01-01T00:02:05Z"), Colours::Off);
    let expected = "\
NAME         STATE   FOR     SESSIONS  UNITS      MEMORY  VERSION  BECAUSE
shop         active  2m 05s        12  1 of 1..2  36 MiB  11.8     a statement arrived
night-shift  parked  2m 05s         0  1..2            -  11.8     idle; for long
";
    assert_eq!(text, expected);
}

#[test]
fn colours_do_not_shift_the_columns() {
    let plain = databases(&[shop()], at("2026-01-01T00:00:00Z"), Colours::Off);
    let coloured = databases(&[shop()], at("2026-01-01T00:00:00Z"), Colours::On);
    let stripped = ["\x1b[1m", "\x1b[32m", "\x1b[0m"]
        .iter()
        .fold(coloured, |t, c| t.replace(c, ""));
    assert_eq!(stripped, plain);
}

#[test]
fn an_empty_list_names_the_next_command() {
    assert!(databases(&[], Timestamp::UNIX_EPOCH, Colours::Off).contains("dormouse create"));
}

#[test]
fn a_move_under_way_is_shown_with_what_it_waits_for() {
    let mut d = shop();
    let shown = |d: &Database| database(d, at("2026-01-01T00:00:03Z"), Colours::Off);
    assert!(
        shown(&d).contains("\nmove             none\n"),
        "{}",
        shown(&d)
    );
    d.moving = Some(MoveStatus {
        stage: "waiting for a moment to switch".to_owned(),
        waits_for: Some("temporary_table (session 1073741839)".to_owned()),
        took_ms: 4005,
    });
    let line = "\nmove             waiting for a moment to switch, for 4.00 s; it waits for temporary_table (session 1073741839)\n";
    assert!(shown(&d).contains(line), "{}", shown(&d));
    d.moving.as_mut().unwrap().waits_for = None;
    let line = "\nmove             waiting for a moment to switch, for 4.00 s\n";
    assert!(shown(&d).contains(line), "{}", shown(&d));
}

#[test]
fn one_database_is_shown_with_all_details() {
    let text = database(&shop(), at("2026-01-01T00:00:03Z"), Colours::Off);
    for line in [
        "name             shop",
        "state            active",
        "since            2026-01-01T00:00:00Z (3s ago)",
        "process          pid 42",
        "sandbox          user",
        "                 no files: no Landlock",
        "reserved         no",
        "memory tables    app.cache, app.hits: no park, because their rows would be lost",
        "units            1 of 1..2",
        "idle park        never",
        "pooling          statement",
        "carry            none",
    ] {
        assert!(
            text.lines().any(|l| l == line),
            "{line:?} is not in\n{text}"
        );
    }
}

#[test]
fn an_event_is_one_line() {
    let mut entry = Event {
        id: 1,
        at: at("2026-01-01T00:00:00.1234Z"),
        database: "shop".parse().ok(),
        actor: Some("dormouse".to_owned()),
        woken_by: None,
        event: "changed".to_owned(),
        from: Some(State::Parked),
        to: Some(State::Active),
        cause: "demand".to_owned(),
        reason: "a statement arrived".to_owned(),
        duration_ms: Some(93),
        figures: dormouse_api::model::Figures::default(),
    };
    let expected =
        "2026-01-01T00:00:00.123Z  shop  parked → active in 93 ms  [demand] a statement arrived";
    assert_eq!(event(&entry, Colours::Off), expected);
    entry.woken_by = Some(WokenBy {
        statement: "SELECT ? FROM t".to_owned(),
        account: "app@10.0.0.7".to_owned(),
    });
    let expected = format!("{expected}: `SELECT ? FROM t` by app@10.0.0.7");
    assert_eq!(event(&entry, Colours::Off), expected);
    entry.woken_by = None;
    (entry.event, entry.duration_ms) = ("refused".to_owned(), None);
    assert!(event(&entry, Colours::Off).contains("  shop  refused parked → active  [demand]"));
    (entry.from, entry.to) = (None, None);
    assert!(event(&entry, Colours::Off).contains("  shop  refused  [demand]"));
    (entry.from, entry.to) = (Some(State::Active), Some(State::Active));
    entry.event = "noted".to_owned();
    assert!(event(&entry, Colours::Off).contains("  shop  noted  [demand]"));
    entry.event = "scaled".to_owned();
    (entry.figures.units_before, entry.figures.units) = (Some(Units(1)), Some(Units(3)));
    assert!(event(&entry, Colours::Off).contains("  shop  scaled 1 → 3 units  [demand]"));
    entry.actor = Some("client:app@shop".to_owned());
    assert!(event(&entry, Colours::Off).contains("  [demand by client:app@shop] "));
    (entry.database, entry.actor) = (None, None);
    assert!(event(&entry, Colours::Off).contains("Z  -  scaled 1 → 3 units  [demand] "));
}

#[test]
fn tokens_are_a_table_with_their_times() {
    let token = |name: &str, role: Role, expires: Option<&str>| Token {
        id: "abcdefghij01".parse().unwrap(),
        name: name.parse().unwrap(),
        role,
        database: (role == Role::Owner).then(|| "shop".parse().unwrap()),
        created: at("2026-01-01T00:00:00Z"),
        expires: expires.map(at),
        former_until: None,
        used: expires.map(|_| at("2026-01-02T00:00:00Z")),
    };
    let all = [
        token("ci", Role::Admin, None),
        token("app", Role::Owner, Some("2026-01-04T00:00:00Z")),
        token("old", Role::Viewer, Some("2026-01-02T00:00:00Z")),
    ];
    let text = tokens(&all, at("2026-01-03T00:00:00Z"), Colours::Off);
    let lines: Vec<String> = text
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
        .collect();
    assert_eq!(
        lines,
        [
            "ID NAME ROLE DATABASE EXPIRES USED",
            "abcdefghij01 ci admin - never never",
            "abcdefghij01 app owner shop in 1d 0h 1d 0h ago",
            "abcdefghij01 old viewer - expired 1d 0h ago",
        ]
    );
    assert!(tokens(&[], at("2026-01-03T00:00:00Z"), Colours::Off).contains("token add"));
}

#[test]
fn usage_is_a_table_with_a_sum_and_costs_if_there_are_prices() {
    let used = |hours: u64| Usage {
        cpu_us: hours * 3_600_000_000 / 2,
        memory_mib_ms: hours * 3_600_000 * 2048,
        storage_mib_ms: 3_600_000 * 512,
        active_ms: hours * 3_600_000,
        carried: Carried {
            statements: 12 * hours,
            bytes_in: 1 << 20,
            bytes_out: 3 << 30,
        },
    };
    let row = |name: &str, hours: u64| UsageRow {
        database: name.parse().unwrap(),
        instance: InstanceId(7),
        dropped: None,
        from: Some(at("2026-03-02T00:00:00Z")),
        used: used(hours),
        charged: used(hours),
        cost: Some("1.5".parse().unwrap()),
    };
    let mut gone = row("old", 2);
    gone.dropped = Some(at("2026-03-03T00:00:00Z"));
    let mut report = UsageReport {
        month: "2026-03".parse().unwrap(),
        by: By::Day,
        rows: vec![gone, row("shop", 1)],
        used: used(3),
        charged: used(3),
        cost: Some("3".parse().unwrap()),
        currency: "EUR".to_owned(),
    };
    let text = usage(&report, Colours::Off);
    let lines: Vec<String> = text
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
        .collect();
    assert_eq!(
        lines,
        [
            "DATABASE DAY CPU h MEMORY GiB h STORAGE GiB h STATEMENTS IN OUT AWAKE h COST (EUR)",
            "old (dropped) 2026-03-02 1.000 4.000 0.500 24 1.0 MiB 3.0 GiB 2.000 1.50",
            "shop 2026-03-02 0.500 2.000 0.500 12 1.0 MiB 3.0 GiB 1.000 1.50",
            "all 2026-03 1.500 6.000 0.500 36 1.0 MiB 3.0 GiB 3.000 3.00",
        ]
    );
    report.rows.truncate(1);
    (report.by, report.cost, report.rows[0].cost) = (By::Month, None, None);
    let text = usage(&report, Colours::Off);
    assert!(!text.contains("COST") && !text.contains("DAY"), "{text}");
    assert_eq!(text.lines().count(), 2);
    report.used = Usage::default();
    assert_eq!(usage(&report, Colours::Off), "no use in 2026-03");
}
