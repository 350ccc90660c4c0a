use clap::CommandFactory;

use super::*;

fn parse(line: &str) -> Result<Cli, clap::Error> {
    Cli::try_parse_from(line.split_whitespace())
}

fn refusal(line: &str) -> String {
    parse(line).map(|_| ()).expect_err(line).to_string()
}

#[test]
fn the_definition_of_the_command_line_is_valid() {
    Cli::command().debug_assert();
}

#[test]
fn global_options_may_come_before_or_after_the_command() {
    for line in [
        "dormouse --json --data-dir /d ls",
        "dormouse ls --json --data-dir /d",
    ] {
        let cli = parse(line).unwrap();
        assert!(cli.global.json, "{line}");
        assert_eq!(cli.global.data_dir(), Ok("/d".into()));
    }
}

#[test]
fn a_relative_data_dir_becomes_absolute() {
    let dir = parse("dormouse ls --data-dir here")
        .unwrap()
        .global
        .data_dir()
        .unwrap();
    assert!(dir.is_absolute() && dir.ends_with("here"), "{dir:?}");
}

#[test]
fn create_reads_delays_and_units() {
    let line = "dormouse create shop --idle-suspend 1m --idle-park never --units 1..4";
    let Command::Create(args) = parse(line).unwrap().command else {
        panic!("not create")
    };
    assert_eq!(args.name.as_str(), "shop");
    assert_eq!(
        args.settings.idle_suspend.map(|d| d.to_string()).as_deref(),
        Some("1m")
    );
    assert_eq!(args.settings.idle_park, Some(Delay::Never));
    assert_eq!(
        args.settings.units.map(|u| u.to_string()).as_deref(),
        Some("1..4")
    );
    assert!(!args.no_save);
}

#[test]
fn a_park_loses_nothing_unless_forced() {
    for (line, force) in [
        ("dormouse park shop", false),
        ("dormouse park shop --force", true),
    ] {
        let Command::Park(args) = parse(line).unwrap().command else {
            panic!("not park")
        };
        assert_eq!((args.name.as_str(), args.force), ("shop", force));
    }
}

#[test]
fn an_invalid_argument_gets_an_error_with_the_rule() {
    assert!(refusal("dormouse create Shop").contains("1 to 63 of a-z"));
    assert!(refusal("dormouse create shop --idle-park 5").contains("10s, 5m"));
    assert!(refusal("dormouse create shop --units 4..1").contains("MIN..MAX"));
    assert!(refusal("dormouse set shop --spend-limit -1").contains("(12.50), or none"));
    assert!(refusal("dormouse set shop --storage-quota 20GB").contains("20GiB), or none"));
    assert!(refusal("dormouse usage --by hour").contains("month, day or minute"));
    assert!(refusal("dormouse wakes shop --since never").contains("at most 35 days: 90m, 24h, 7d"));
    assert!(refusal("dormouse wakes shop --since 36d").contains("at most 35 days"));
    assert!(refusal("dormouse simulate --days 0").contains("from 1 to 3660"));
    assert!(refusal("dormouse events --limit many").contains("from 1 to 10000"));
    assert!(refusal("dormouse up --listen 3306").contains("IP:PORT"));
    assert!(refusal("dormouse nap shop").contains("unrecognized subcommand"));
}

#[test]
fn arguments_after_the_dashes_go_to_the_client() {
    let cli = parse("dormouse connect shop -u app -- --json -e x").unwrap();
    assert!(!cli.global.json);
    let Command::Connect(args) = cli.command else {
        panic!("not connect")
    };
    assert_eq!(args.user, "app");
    assert_eq!(args.args, ["--json", "-e", "x"]);
}

#[test]
fn every_command_has_help() {
    let mut command = Cli::command();
    for sub in command.get_subcommands_mut() {
        assert!(sub.get_about().is_some(), "{} has no help", sub.get_name());
        // clap wraps lines of more than a hundred columns
        let after = sub.get_after_help().map(ToString::to_string);
        for line in after.iter().flat_map(|text| text.lines()) {
            assert!(line.len() <= 100, "{}: {line}", sub.get_name());
        }
    }
}
