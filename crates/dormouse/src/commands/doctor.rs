//! `dormouse doctor`: checks of the machine, without a running Dormouse.

use std::path::Path;

use dormouse_api::ErrorBody;
use dormouse_driver_local::examine;
use dormouse_engine::{BackupTool, Installation};
use serde::Serialize;

use crate::Outcome;
use crate::cli::DoctorArgs;
use crate::config::{Config, SandboxMode, places};
use crate::output::{Colours, Output, Style};
use crate::up::{data_dir, machine};

/// Open files below which clients and servers together come to the limit soon.
const FEW_FILES: u64 = 16_384;

/// Result of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Finding {
    /// As it should be.
    Ok,
    /// Dormouse works, with a restriction.
    Warn,
    /// Dormouse does not start.
    Fail,
}

/// One check.
#[derive(Debug, Serialize)]
struct Check {
    name: String,
    result: Finding,
    detail: String,
}

/// Output of the command.
#[derive(Debug, Default, Serialize)]
struct Report {
    /// Whether every layer of the sandbox holds, as `mode = "require"` demands.
    sandbox_complete: bool,
    checks: Vec<Check>,
}

impl Report {
    fn add(&mut self, name: &str, result: Finding, detail: impl Into<String>) {
        self.checks.push(Check {
            name: name.to_owned(),
            result,
            detail: detail.into(),
        });
    }

    fn text(&self, colours: Colours) -> String {
        let line = |check: &Check| {
            let (word, style) = match check.result {
                Finding::Ok => ("ok  ", Style::Green),
                Finding::Warn => ("warn", Style::Yellow),
                Finding::Fail => ("fail", Style::Red),
            };
            let detail = check.detail.trim();
            format!(
                "{}  {:<21}  {detail}\n",
                colours.paint(style, word),
                check.name
            )
        };
        self.checks.iter().map(line).collect()
    }
}

/// Runs every check and prints the results.
pub(crate) fn run(data_dir: &Path, args: &DoctorArgs, output: &Output) -> Outcome {
    let config = match &args.config {
        Some(path) => Config::read(path)?,
        None => Config::default(),
    };
    let mut report = Report::default();
    kernel(&mut report);
    files(&mut report);
    disk(&mut report, data_dir, &config);
    roots(&mut report, data_dir, &config);
    match Installation::probe(&machine::search(&config.engine)) {
        Err(error) => report.add("server", Finding::Fail, error.to_string()),
        Ok(installation) => {
            let path = installation.mariadbd.display();
            let detail = format!("{} ({path})", installation.version);
            report.add("server", Finding::Ok, detail);
            backup_tool(&mut report, &installation);
            isolation(&mut report, data_dir, &config, &installation);
            servers(&mut report, &config, &installation);
        }
    }
    output.result(&report, |colours| report.text(colours))?;
    let failed = report.checks.iter().filter(|c| c.result == Finding::Fail);
    match failed.count() {
        0 => Ok(()),
        n => Err(
            ErrorBody::new("machine", format!("{n} of the checks failed"))
                .with_hint("the lines that begin with 'fail' say what to change"),
        ),
    }
}

/// The program that copies servers which write too much to stand still for it.
fn backup_tool(report: &mut Report, installation: &Installation) {
    match BackupTool::find(installation) {
        Ok(tool) => report.add(
            "mariadb-backup",
            Finding::Ok,
            tool.program.display().to_string(),
        ),
        Err(none) => report.add(
            "mariadb-backup",
            Finding::Warn,
            format!("{none}; without it a database that writes much can be copied only if [snapshot] frozen_at_most is long enough"),
        ),
    }
}

fn kernel(report: &mut Report) {
    let uname = rustix::system::uname();
    let text = |part: &std::ffi::CStr| part.to_string_lossy().into_owned();
    let detail = format!("{} {}", text(uname.release()), text(uname.machine()));
    report.add("kernel", Finding::Ok, detail);
}

fn files(report: &mut Report) {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    match limit.maximum {
        Some(most) if most < FEW_FILES => report.add(
            "open files",
            Finding::Warn,
            format!("at most {most} (`ulimit -Hn`), a limit on clients and servers together"),
        ),
        Some(most) => report.add("open files", Finding::Ok, format!("at most {most}")),
        None => report.add("open files", Finding::Ok, "no limit"),
    }
}

/// Free space where the data directory is or will be.
fn disk(report: &mut Report, data_dir: &Path, config: &Config) {
    let there = data_dir.ancestors().find(|dir| dir.is_dir());
    let reserve = config.limits.disk_reserve.0;
    match data_dir::free(there.unwrap_or(Path::new("/"))) {
        Ok(free) if free < reserve => report.add(
            "disk",
            Finding::Warn,
            format!(
                "{free} free, less than [limits] disk_reserve = {reserve}: databases are read-only"
            ),
        ),
        Ok(free) => report.add("disk", Finding::Ok, format!("{free} free")),
        Err(error) => report.add("disk", Finding::Fail, error.to_string()),
    }
}

/// The data directories beside the first.
fn roots(report: &mut Report, data_dir: &Path, config: &Config) {
    if let Err((what, _)) = places::check(Some(data_dir), &config.data_dirs) {
        report.add("data_dirs", Finding::Fail, what);
    }
    for dir in &config.data_dirs {
        let name = format!("data in {}", dir.display());
        match data_dir::free(dir) {
            Ok(free) => report.add(&name, Finding::Ok, format!("{free} free")),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let detail = "it does not exist; if it was never used, `dormouse up` makes it";
                report.add(&name, Finding::Warn, detail);
            }
            Err(error) => report.add(&name, Finding::Warn, error.to_string()),
        }
    }
}

/// The servers of other versions.
fn servers(report: &mut Report, config: &Config, first: &Installation) {
    for (series, path) in &config.servers {
        let name = format!("server {series}");
        match machine::server(first, *series, path) {
            Ok(found) => {
                let detail = format!("{} ({})", found.version, found.mariadbd.display());
                report.add(&name, Finding::Ok, detail);
            }
            Err(why) => report.add(
                &name,
                Finding::Warn,
                format!("{why}; databases of this version cannot be started"),
            ),
        }
    }
}

/// Control groups, users and the layers of the sandbox.
fn isolation(report: &mut Report, data_dir: &Path, config: &Config, installation: &Installation) {
    let sandbox = match config.sandbox.mode {
        // a missing layer is a line of the report
        SandboxMode::Require => SandboxMode::Auto,
        mode => mode,
    };
    let found = match examine(
        &data_dir.join("instances"),
        installation,
        config.cgroup.mode.into(),
        sandbox.into(),
        config.engine.transport.into(),
    ) {
        Ok(found) => found,
        Err(error) => {
            report.add("users", Finding::Fail, error.to_string());
            return;
        }
    };
    match found.capabilities.warning() {
        None => report.add("control groups", Finding::Ok, "CPU, memory and freezer"),
        Some(missing) => report.add("control groups", Finding::Warn, missing),
    }
    let lacking = match config.sandbox.mode {
        SandboxMode::Require => Finding::Fail,
        SandboxMode::Auto | SandboxMode::Off => Finding::Warn,
    };
    report.sandbox_complete = found.layers.iter().all(|layer| layer.holds);
    for layer in found.layers {
        let finding = if layer.holds { Finding::Ok } else { lacking };
        report.add(&format!("sandbox: {}", layer.name), finding, layer.detail);
    }
}
