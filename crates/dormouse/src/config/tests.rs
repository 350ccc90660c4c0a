use clap::Parser;

use super::*;
use crate::cli::{Cli, Command};

const EXAMPLE: &str = include_str!("../../../../docs/dormouse.example.toml");

fn args(line: &str) -> UpArgs {
    match Cli::try_parse_from(line.split_whitespace())
        .unwrap()
        .command
    {
        Command::Up(args) => args,
        other => panic!("not up: {other:?}"),
    }
}

fn from_file(text: &str, line: &str) -> Outcome<Config> {
    static COUNT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
    let n = COUNT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    let path = std::env::temp_dir().join(format!("dormouse-config-{}-{n}", std::process::id()));
    std::fs::write(&path, text).unwrap();
    let config = Config::load(&args(&format!("{line} --config {}", path.display())));
    std::fs::remove_file(path).unwrap();
    config
}

fn refused(text: &str) -> String {
    from_file(text, "dormouse up").expect_err(text).message
}

/// The keys of a table, those of inner tables as `outer.inner`.
fn keys(table: &toml::Table) -> Vec<String> {
    let mut all = Vec::new();
    for (key, value) in table {
        match value {
            toml::Value::Table(inner) => {
                all.extend(keys(inner).into_iter().map(|k| format!("{key}.{k}")));
            }
            _ => all.push(key.clone()),
        }
    }
    all
}

#[test]
fn the_example_has_the_defaults() {
    assert_eq!(
        toml::from_str::<Config>(EXAMPLE).unwrap(),
        Config::default()
    );
}

#[test]
fn the_example_has_every_key_and_no_other() {
    // Keys without a default are in the example as `#key = value`: without the `#` it must still be
    // a valid configuration, with every key.
    let commented = |line: &str| line.starts_with('#') && !line.starts_with("# ");
    let uncommented: String = EXAMPLE
        .lines()
        .map(|line| if commented(line) { &line[1..] } else { line })
        .flat_map(|line| [line, "\n"])
        .collect();
    let config: Config = toml::from_str(&uncommented).unwrap();
    let mut documented = keys(&toml::from_str(&uncommented).unwrap());
    let mut known = keys(&toml::Table::try_from(&config).unwrap());
    documented.sort();
    known.sort();
    assert_eq!(documented, known);
    let optional = [
        config.domain.is_some(),
        config.tls.cert.is_some(),
        config.tls.key.is_some(),
    ];
    assert_eq!(optional, [true; 3]);
    assert!(config.socket.is_some());
    let engine = config.engine;
    assert!(engine.mariadbd.is_some() && engine.install_db.is_some() && engine.basedir.is_some());
}

#[test]
fn the_command_line_overrides_the_file_which_overrides_the_defaults() {
    let file = "listen = '127.0.0.1:1'\nsocket = '/file.sock'\n[warm_pool]\nsize = 7";
    let config = from_file(file, "dormouse up --listen 127.0.0.1:2").unwrap();
    assert_eq!(config.listen, "127.0.0.1:2".parse().unwrap());
    assert_eq!(config.socket, Some(ClientSocket("/file.sock".into())));
    assert_eq!(config.warm_pool.size, 7);
    assert_eq!(config.limits, Limits::default());
}

#[test]
fn an_address_is_an_ip_with_a_port_or_off() {
    for (text, read) in [
        ("127.0.0.1:3306", "127.0.0.1:3306"),
        ("localhost:0", "127.0.0.1:0"),
        ("[::]:3306", "[::]:3306"),
        ("off", "off"),
    ] {
        assert_eq!(
            text.parse::<Listen>().map(String::from),
            Ok(read.to_owned())
        );
    }
    for bad in [
        "",
        "3306",
        ":3306",
        "example.org:3306",
        "127.0.0.1",
        "127.0.0.1:70000",
    ] {
        assert!(bad.parse::<Listen>().is_err(), "{bad:?} was accepted");
    }
}

#[test]
fn an_error_in_the_file_names_its_place() {
    assert!(refused("lisen = 'off'").contains("unknown field `lisen`"));
    assert!(refused("[limits]\nhandshakes = -1").contains("line 2"));
    assert!(refused("[limits]\nhold_timeout = 'never'").contains("cannot be never"));
    assert!(refused("[limits]\nhandshake_timeout = '0'").contains("more than 0"));
    assert!(refused("[tls]\ncert = '/c'").contains("only one of tls.cert and tls.key"));
    assert!(refused("[limits]\nheld_statements = 0").contains("limit is 0"));
    assert!(refused("[asleep]\nunderstudies = 9").contains("more than 8"));
    assert!(from_file("[asleep]\nunderstudies = 8", "dormouse up").is_ok());
    assert!(refused("domain = '*.example.org'").contains("not a domain name"));
    assert!(refused("[prices]\ncpu_hour = '-1'").contains("not an amount of money"));
    assert!(refused("[spend]\nslow = 'soon'").contains("write a percentage"));
    assert!(refused("[spend]\nslow = 90").contains("must rise"));
    assert!(refused("[spend]\nbaseline = 0").contains("at least one unit"));
    assert!(refused("[encryption]\nmode = 'on'").contains("no master key"));
    let two = "[encryption]\nmaster_key_file = '/k'\nmaster_key_env = 'K'";
    assert!(refused(two).contains("more than one source"));
    let previous = "[encryption]\nprevious_master_key_file = '/k'";
    assert!(refused(previous).contains("no master key"));
    assert!(refused("[cgroup]\nmode = 'maybe'").contains("mode"));
}

#[test]
fn the_error_for_a_missing_file_names_it() {
    let refused = Config::load(&args("dormouse up --config /no/such/file")).unwrap_err();
    assert!(
        refused.message.contains("/no/such/file"),
        "{}",
        refused.message
    );
}
