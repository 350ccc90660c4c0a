//! The `dormouse` program: parses the command line and runs the command.
//!
//! [`up`] creates and connects all parts: configuration → engine and driver (`up/machine.rs`) → proxy → plane →
//! API. Every other command is a client of the API ([`commands`]).
//!
//! Exit codes: 0; 1 for an error (a message and a hint on stderr; with `--json` the API's error
//! object); 2 for an invalid command line.

use std::process::ExitCode;

use clap::Parser;

mod cli;
mod commands;
mod config;
mod credentials;
mod format;
mod import;
mod output;
mod port;
mod private_file;
mod tls;
mod up;
mod values;
mod wiring;

use cli::{Cli, Command};
use dormouse_api::ErrorBody;
use output::Output;

/// Result of a command; the error is printed as it is.
type Outcome<T = ()> = Result<T, ErrorBody>;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return usage(&error),
    };
    let output = Output::new(cli.global.json);
    match run(cli, &output) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            output.failure(&error);
            ExitCode::FAILURE
        }
    }
}

fn run(cli: Cli, output: &Output) -> Outcome {
    let global = cli.global;
    match cli.command {
        Command::Up(args) => up::run(global.data_dir()?, args, output),
        Command::Recover(args) => up::recover::run(&global.data_dir()?, args, output),
        Command::Doctor(args) => commands::doctor::run(&global.data_dir()?, &args, output),
        Command::Tls => tls::show(&global.data_dir()?, output),
        Command::Connect(args) => commands::connect::run(&global.data_dir()?, args),
        Command::Import(args) => commands::import::run(&global.data_dir()?, args, output),
        Command::Export(args) => commands::export::run(&global.data_dir()?, args, output),
        Command::Simulate(args) => commands::simulate::run(&args, output),
        command => commands::run(&global, command, output),
    }
}

/// Prints help and version to stdout with code 0, errors of the command line to stderr with code 2.
fn usage(error: &clap::Error) -> ExitCode {
    let json = std::env::args_os()
        .take_while(|arg| arg != "--")
        .any(|arg| arg == "--json");
    if error.use_stderr() && json {
        let text = error.render().to_string();
        let text = text.trim().trim_start_matches("error: ");
        let body = ErrorBody::new("usage", text).with_hint("`dormouse help` shows the commands");
        Output::new(true).failure(&body);
    } else if error.print().is_err() {
        // the output is closed: the error cannot be printed
        return ExitCode::from(2);
    }
    if error.use_stderr() {
        ExitCode::from(2)
    } else {
        ExitCode::SUCCESS
    }
}
