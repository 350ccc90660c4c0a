//! Description of the machine and of the measured programs.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::Context as _;
use dormouse_engine::Installation;
use serde::Serialize;

use crate::options::{Measure, Options};

/// Load average before the start above which there is a warning.
const BUSY: f64 = 0.3;

/// The machine and the programs.
#[derive(Debug, Serialize)]
pub(crate) struct Machine {
    /// CPUs this process may use.
    pub(crate) cores: usize,
    /// Their name.
    pub(crate) cpu: String,
    /// Memory in MiB.
    pub(crate) memory_mib: u64,
    /// The kernel's release.
    pub(crate) kernel: String,
    /// Load average over the last minute before the start.
    pub(crate) load: f64,
    /// The database server's version.
    pub(crate) server: String,
    /// HAProxy's version.
    pub(crate) haproxy: Option<String>,
    /// sysbench's version.
    pub(crate) sysbench: Option<String>,
    /// Dormouse's version.
    pub(crate) dormouse: String,
}

impl Machine {
    /// Reads the properties of this machine, and checks that the required programs are installed.
    pub(crate) fn look(options: &Options, installation: &Installation) -> anyhow::Result<Self> {
        let loaded = [
            Measure::M1,
            Measure::M2,
            Measure::P1,
            Measure::P2,
            Measure::P3,
        ];
        let peers = loaded.into_iter().any(|m| options.wants(m));
        let [sysbench, haproxy] = [("sysbench", "--version"), ("haproxy", "-v")]
            .map(|(name, ask)| peers.then(|| installed(name, ask)).transpose());
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        Ok(Self {
            cores: std::thread::available_parallelism()?.get(),
            cpu: field(&read("/proc/cpuinfo"), "model name")
                .unwrap_or_else(|| "unknown".to_owned()),
            memory_mib: field(&read("/proc/meminfo"), "MemTotal")
                .and_then(|text| text.split(' ').next()?.parse::<u64>().ok())
                .map_or(0, |kib| kib / 1024),
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            load: read("/proc/loadavg")
                .split(' ')
                .next()
                .and_then(|text| text.parse().ok())
                .unwrap_or(f64::NAN),
            server: installation.version.full.clone(),
            haproxy: haproxy?,
            sysbench: sysbench?,
            dormouse: first_line(&options.program()?, "--version")?,
        })
    }

    /// Warnings about the reliability of the figures.
    pub(crate) fn warnings(&self) -> Vec<String> {
        let busy = (self.load > BUSY).then(|| {
            format!(
                "this machine is busy (load {:.1}): the figures will be worse and vary more",
                self.load
            )
        });
        busy.into_iter().collect()
    }
}

/// The value of the first line with this name in a file of `name : value` lines.
fn field(text: &str, name: &str) -> Option<String> {
    text.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        (key.trim() == name).then(|| value.trim().to_owned())
    })
}

/// The version of a program that must be installed.
fn installed(name: &str, ask: &str) -> anyhow::Result<String> {
    let path = find(name).with_context(|| {
        format!("{name} is not installed: apt-get install {name}, or measure without it: --only P4,P5,P6,P7")
    })?;
    let line = first_line(&path, ask)?;
    let version = line
        .split(' ')
        .find(|word| word.starts_with(|c: char| c.is_ascii_digit()));
    Ok(version.unwrap_or(&line).to_owned())
}

/// Path of a program.
pub(crate) fn find(name: &str) -> Option<std::path::PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let dirs = std::env::split_paths(&path).chain(["/usr/sbin".into(), "/usr/bin".into()]);
    dirs.map(|dir| dir.join(name)).find(|path| path.is_file())
}

fn first_line(program: &Path, ask: &str) -> anyhow::Result<String> {
    let output = Command::new(program)
        .arg(ask)
        .output()
        .with_context(|| format!("running {}", program.display()))?;
    let text = String::from_utf8_lossy(&output.stdout);
    Ok(text.lines().next().unwrap_or_default().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_the_kernel_writes() {
        let text = "processor\t: 0\nmodel name\t: AMD EPYC\nmodel name\t: other\n";
        assert_eq!(field(text, "model name").as_deref(), Some("AMD EPYC"));
        assert_eq!(
            field("MemTotal:       24684720 kB\n", "MemTotal").as_deref(),
            Some("24684720 kB")
        );
        assert_eq!(field(text, "nothing"), None);
    }
}
