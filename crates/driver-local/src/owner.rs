//! The users that own the instances' files and run their servers.

use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use dormouse_engine::Owner;
use dormouse_types::InstanceId;

/// Default first user id of instances, for a driver that runs as root: one id per instance. It is in the
/// range that no Linux convention assigns (systemd's "Users, Groups, UIDs and GIDs": 1879048192 to
/// 2147483647).
pub const UID_BASE: u32 = 1_900_000_000;

/// Size of the range of user ids.
const UIDS: u32 = 1 << 27;

/// How instances are assigned to users.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Owners {
    /// All belong to the driver's own user.
    Me,
    /// Each instance has its own user and group, numbered from here.
    Each(u32),
}

/// Why instances cannot have users of their own.
#[derive(Debug, thiserror::Error)]
pub enum OwnerError {
    /// Another user's id is in the range.
    #[error(
        "instances use the user ids from {base} up, but {passwd} assigns {uid} to '{name}': set \
         another base in the configuration"
    )]
    Taken {
        /// First id of the range.
        base: u32,
        /// Path of the `passwd` file.
        passwd: &'static str,
        /// The user's id.
        uid: u32,
        /// The user's name.
        name: String,
    },
    /// The servers' users could not reach their files.
    #[error(
        "servers run as their own users, which have no access to {path}: run 'chmod o+x {path}', or choose another data directory"
    )]
    Closed {
        /// The directory.
        path: PathBuf,
    },
    /// The system refused an operation.
    #[error("checking the permissions of {path}: {source}")]
    Io {
        /// The directory.
        path: PathBuf,
        /// The system's error.
        #[source]
        source: io::Error,
    },
}

impl Owners {
    /// Root assigns each instance its own user; other users cannot.
    pub(crate) fn of_this_process(base: u32) -> Result<Self, OwnerError> {
        if !rustix::process::geteuid().is_root() {
            return Ok(Self::Me);
        }
        let passwd = "/etc/passwd";
        // without the file there are no such users
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

    /// The owner of an instance; `None` for the driver's own user.
    pub(crate) fn of(self, id: InstanceId) -> Option<Owner> {
        match self {
            Self::Me => None,
            Self::Each(base) => {
                let uid = base + id.0 % UIDS;
                Some(Owner { uid, gid: uid })
            }
        }
    }

    /// Gives other users search permission (`x`) on the instances' directory and its parent; checks it on the
    /// directories above.
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

/// The first user in a `passwd(5)` file with an id in the range.
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
