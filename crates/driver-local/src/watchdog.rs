//! Thaws a frozen server if Dormouse ends meanwhile.

use std::io::{self, Write as _};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};

use crate::cgroup::Group;
use crate::process::Handle;

/// A process that thaws a server when this one is gone: it waits at a pipe, which closes then.
#[derive(Debug)]
pub(crate) struct Watchdog(Child);

impl Watchdog {
    /// Starts to watch; to be called before the freeze.
    pub(crate) fn start(group: &Group, handle: &Handle) -> io::Result<Self> {
        let [thaw, word, target] = group.thaw_command(handle);
        let mut script = std::ffi::OsString::from("read -r done && exit; ");
        script.push(thaw);
        Command::new("/bin/sh")
            .arg("-c")
            .arg(script)
            .arg("dormouse-watchdog")
            .args([word, target])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // a signal to Dormouse's group is none to it
            .process_group(0)
            .spawn()
            .map(Self)
    }

    /// The server is thawed.
    pub(crate) fn end(mut self) -> io::Result<()> {
        if let Some(mut pipe) = self.0.stdin.take() {
            pipe.write_all(b"done\n")?;
        }
        self.0.wait().map(drop)
    }
}
