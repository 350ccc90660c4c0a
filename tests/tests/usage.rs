//! Metering of databases, also across kills of Dormouse.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a helper that fails fails its test"
)]

use dormouse_testkit::{Dice, Dormouse, process};
use dormouse_wire::command::Command;
use serde_json::Value;

/// CPU time of a server's control group according to the kernel, in microseconds; without a control
/// group, that of its process.
fn kernel_counts(pid: u32) -> u64 {
    let file = |controller, name| process::control_file(pid, &[(controller, name)]);
    let number = |text: String, key: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(key))?;
        line.trim().parse::<u64>().ok()
    };
    let first = || number(file("cpuacct", "cpuacct.usage")?, "").map(|ns| ns / 1000);
    let second = || number(file("cpu", "cpu.stat")?, "usage_usec ");
    let counted = first().or_else(second);
    counted.unwrap_or_else(|| process::cpu_ticks(pid) * 10_000)
}

fn used(dormouse: &Dormouse) -> Value {
    let report = dormouse.json(&["usage", "shop", "--by", "month"]);
    report["rows"][0]["used"].clone()
}

#[test]
fn ten_kills_of_dormouse_lose_no_cpu() {
    let seed = 20_261_125;
    let mut dice = Dice::new(seed);
    let never = "[defaults]\nidle_suspend = \"never\"\nidle_park = \"never\"\n";
    let mut dormouse = Dormouse::start_with(never);
    let who = dormouse.create("shop", &["--units", "4..4"]);
    let pid = dormouse.server("shop");
    for _ in 0..10 {
        let mut client = dormouse.connect(&who);
        for _ in 0..=dice.below(12) {
            let loops = 50_000 + dice.below(400_000);
            let work = format!("SELECT BENCHMARK({loops}, MD5('dormouse'))");
            assert_eq!(client.query(&work).value(), "0");
        }
        // the server continues this statement although its client does not wait for it
        client.command(Command::Query, b"SELECT BENCHMARK(300000, MD5('dormouse'))");
        dormouse.kill();
        dormouse.up();
    }
    assert_eq!(dormouse.server("shop"), pid);
    let mut told = None;
    process::until("all CPU is counted", || {
        let before = kernel_counts(pid);
        let cpu = used(&dormouse)["cpu_us"].as_u64().unwrap();
        let after = kernel_counts(pid);
        told = Some((before, cpu, after));
        before - before / 100 <= cpu && cpu <= after + after / 100
    });
    let (_, cpu, after) = told.unwrap();
    eprintln!("counted {cpu} µs; the kernel counts {after} µs");
    assert!(cpu > 1_000_000, "too little happened: {cpu} µs");
}

#[test]
fn use_is_reported_by_day_as_text_and_for_prometheus() {
    let prices = "[prices]\ncurrency = 'EUR'\nmemory_gib_hour = '3600'\n";
    let dormouse = Dormouse::start_with(prices);
    let who = dormouse.create("shop", &["--units", "1..1"]);
    let mut client = dormouse.connect(&who);
    for _ in 0..3 {
        client
            .query("SELECT BENCHMARK(100000, MD5('dormouse'))")
            .value();
    }
    let _ = dormouse.json(&["park", "shop"]);
    let shop = used(&dormouse);
    assert!(shop["cpu_us"].as_u64().unwrap() > 10_000, "{shop}");
    assert!(shop["active_ms"].as_u64().unwrap() > 0, "{shop}");
    assert_eq!(shop["statements"], 3);
    let report = dormouse.json(&["usage"]);
    // 2 GiB for the time awake, at 1 EUR per GiB and second
    let cost: f64 = report["cost"].as_str().unwrap().parse().unwrap();
    let awake = shop["active_ms"].as_f64().unwrap() / 1000.0;
    assert!(cost >= 2.0 * awake, "{report}");
    let text = |arguments: &[&str]| {
        let output = dormouse.command(arguments).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    let table = text(&["usage", "shop"]);
    assert!(table.starts_with("DATABASE"), "{table}");
    assert!(table.contains("COST (EUR)"), "{table}");
    assert!(table.lines().nth(1).unwrap().starts_with("shop"), "{table}");
    let figures = text(&["metrics"]);
    assert!(
        figures.contains("dormouse_cpu_seconds_total{database=\"shop\"} 0."),
        "{figures}"
    );
    let minutes = dormouse.json(&["usage", "shop", "--by", "minute"]);
    assert!(!minutes["rows"].as_array().unwrap().is_empty());
    let long_ago = dormouse.json(&["usage", "--month", "2020-02"]);
    assert_eq!(long_ago["used"]["cpu_us"], 0);
    let mistakes: [(&[&str], &str); 3] = [
        (&["usage", "--month", "9999-01"], "9999-01 has not begun"),
        (
            &["usage", "--by", "minute"],
            "dormouse usage shop --by minute",
        ),
        (&["events", "nobody"], "there is no database 'nobody'"),
    ];
    for (mistake, told) in mistakes {
        let failed = dormouse.command(mistake).output().unwrap();
        assert!(!failed.status.success(), "{mistake:?}");
        let stderr = String::from_utf8_lossy(&failed.stderr);
        assert!(stderr.contains(told), "{mistake:?}: {stderr}");
    }

    let _ = dormouse.json(&["drop", "shop", "--yes"]);
    let dropped = dormouse.json(&["usage"])["rows"][0].clone();
    assert!(dropped["dropped"].is_string(), "{dropped}");
    assert_eq!(dropped["used"]["cpu_us"], shop["cpu_us"]);
}
