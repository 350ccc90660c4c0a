//! How a server gets the keys of its files: through a pipe that it inherits.

use std::ffi::{CString, OsString};
use std::io::{self, Write as _};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::ffi::OsStringExt as _;

use dormouse_engine::encryption::{ServerKeys, plugin};

/// Fills memory that a server allocates and frees (`man mallopt`, `M_PERTURB`): to an index page of an Aria table that
/// it encrypts, it adds what happens to be in its buffer behind the page's content, which would be rows.
const OVERWRITES: (&str, &str) = ("GLIBC_TUNABLES", "glibc.malloc.perturb=165");

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

    /// Names and values of the environment variables: one names the pipe, the other sees to it that no text gets
    /// into a file beside the encryption.
    pub(crate) fn variables(&self) -> [(&'static str, String); 2] {
        [
            (plugin::VARIABLE, self.pipe.as_raw_fd().to_string()),
            (OVERWRITES.0, OVERWRITES.1.to_owned()),
        ]
    }

    /// The option as `execve` takes it.
    pub(crate) fn option(&self) -> io::Result<CString> {
        Ok(CString::new(self.option.clone().into_vec())?)
    }
}
