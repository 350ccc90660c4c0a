//! How a server gets the keys of its files: through a pipe that it inherits.

use std::ffi::{CString, OsString};
use std::io::{self, Write as _};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::ffi::OsStringExt as _;

use dormouse_engine::encryption::{ServerKeys, plugin};

/// Keys of an encrypted server.
#[derive(Debug)]
pub(crate) struct KeyPipe {
    /// Pipe that holds them, which the server inherits.
    pub(crate) pipe: OwnedFd,
    /// Option that names the directory with the plugin that reads them. On the command line, since a script around
    /// the server may override the value of the configuration file.
    pub(crate) option: OsString,
}

impl KeyPipe {
    /// Puts the keys into a pipe; they are fewer bytes than a pipe takes without a reader.
    pub(crate) fn new(keys: ServerKeys) -> io::Result<Self> {
        let (reader, mut writer) = io::pipe()?;
        writer.write_all(&keys.records)?;
        let mut option = OsString::from("--plugin-dir=");
        option.push(&keys.plugin_dir);
        Ok(Self {
            pipe: reader.into(),
            option,
        })
    }

    /// Name and value of the environment variable that names the pipe.
    pub(crate) fn variable(&self) -> (&'static str, String) {
        (plugin::VARIABLE, self.pipe.as_raw_fd().to_string())
    }

    /// The option and the variable as `execve` takes them.
    pub(crate) fn words(&self) -> io::Result<(CString, CString)> {
        let option = CString::new(self.option.clone().into_vec())?;
        let (name, value) = self.variable();
        Ok((option, CString::new(format!("{name}={value}"))?))
    }
}
