//! Which user an instance's files and server belong to.

use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use dormouse_engine::Owner;
use dormouse_types::InstanceId;

/// Instances of a driver that runs as root belong to the users with this number and above, one
/// each. The default lies in the range that no Linux convention gives out (systemd's "Users,
/// Groups, UIDs and GIDs": 1879048192 to 2147483647).
pub const UID_BASE: u32 = 1_900_000_000;

/// How many users an installation may need.
const UIDS: u32 = 1 << 27;

/// Decides who owns an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Owners {
    /// The user who runs the driver.
    Me,
    /// A user and group of its own for each instance, numbered from here.
    Each(u32),
}

/// Why instances cannot have users of their own.
#[derive(Debug, thiserror::Error)]
pub enum OwnerError {
    /// The range is in use.
    #[error(
        "instances get the user ids from {base} up, but {passwd} gives {uid} to '{name}': choose \
         another base in the configuration"
    )]
    Taken {
        /// The base.
        base: u32,
        /// The file.
        passwd: &'static str,
        /// The id.
        uid: u32,
        /// Whose it is.
        name: String,
    },
    /// An instance's server could not reach its own files.
    #[error(
        "servers run as other users, and {path} lets nobody through: run 'chmod o+x {path}', or choose another data directory"
    )]
    Closed {
        /// The directory.
        path: PathBuf,
    },
    /// The system refused.
    #[error("looking at {path}: {source}")]
    Io {
        /// What was looked at.
        path: PathBuf,
        /// The system's answer.
        #[source]
        source: io::Error,
    },
}

impl Owners {
    /// Root gives each instance its own user; anyone else can only be themselves.
    pub(crate) fn of_this_process(base: u32) -> Result<Self, OwnerError> {
        if !rustix::process::geteuid().is_root() {
            return Ok(Self::Me);
        }
        let passwd = "/etc/passwd";
        // a machine without the file has no such users
        let text = fs::read_to_string(passwd).unwrap_or_default();
        match taken(&text, base) {
            Some((name, uid)) => Err(OwnerError::Taken {
                base,
                passwd,
                uid,
                name,
            }),
            None => Ok(Self::Each(base)),
        }
    }

    /// The owner of an instance; `None` for the user who runs the driver.
    pub(crate) fn of(self, id: InstanceId) -> Option<Owner> {
        match self {
            Self::Me => None,
            Self::Each(base) => {
                let uid = base + id.0 % UIDS;
                Some(Owner { uid, gid: uid })
            }
        }
    }

    /// Lets other users through the instances' directory and the one it is in, and checks those
    /// above.
    pub(crate) fn let_through(self, root: &Path) -> Result<(), OwnerError> {
        if self == Self::Me {
            return Ok(());
        }
        for (height, dir) in root.ancestors().enumerate() {
            let io = |source| OwnerError::Io {
                path: dir.to_owned(),
                source,
            };
            let meta = fs::metadata(dir).map_err(io)?;
            let mode = meta.permissions().mode();
            if mode & 0o001 != 0 {
                continue;
            }
            if height > 1 || meta.uid() != 0 {
                return Err(OwnerError::Closed {
                    path: dir.to_owned(),
                });
            }
            fs::set_permissions(dir, fs::Permissions::from_mode(mode | 0o011)).map_err(io)?;
        }
        Ok(())
    }
}

/// The first user of a `passwd(5)` file whose id an instance might get.
fn taken(passwd: &str, base: u32) -> Option<(String, u32)> {
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let (name, uid) = (fields.next()?, fields.nth(1)?.parse().ok()?);
        (base..base.saturating_add(UIDS))
            .contains(&uid)
            .then(|| (name.to_owned(), uid))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_base_in_use_is_found() {
        let passwd = "root:x:0:0:root:/root:/bin/bash\nnobody:x:65534:65534::/:/bin/false\n+\nu:x:200007:1::/:\n";
        assert_eq!(taken(passwd, 200_000), Some(("u".to_owned(), 200_007)));
        assert_eq!(taken(passwd, 200_008), None);
        assert_eq!(taken(passwd, UID_BASE), None);
    }

    #[test]
    fn each_instance_has_a_user_of_its_own() {
        let owners = Owners::Each(UID_BASE);
        let uid = |id| owners.of(InstanceId(id)).map(|o| o.uid);
        assert_eq!((uid(1), uid(2)), (Some(UID_BASE + 1), Some(UID_BASE + 2)));
        assert!(uid(u32::MAX).is_some());
        assert_eq!(Owners::Me.of(InstanceId(1)), None);
    }
}
