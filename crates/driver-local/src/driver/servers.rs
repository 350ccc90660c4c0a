//! The servers that the driver can run, one of each series, and which of them runs on an instance's files.
//!
//! The file `ID.series` beside an instance says of which series its server is, and whether its files are those of another one
//! still. Instances of former versions of Dormouse have none: there the server's own note in its files tells it.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::Path;

use dormouse_driver::{Error, Server as Offered};
use dormouse_engine::{Installation, Layout, Owner, Secret, Template, Version};
use dormouse_types::{InstanceId, Series};
use rustix::fs::{AtFlags, Mode, OFlags};

use super::{LocalConfig, SetupError, files};
use crate::owner::Owners;
use crate::sandbox::Sandbox;

/// Files in which a server notes its version, newest first. The server's user owns their directory.
const NOTES: [&str; 2] = ["mariadb_upgrade_info", "mysql_upgrade_info"];

/// Longest version that is read.
const LONGEST: u64 = 100;

/// A server that can be run.
#[derive(Debug)]
pub(super) struct Server {
    pub(super) installation: Installation,
    pub(super) template: Template,
    pub(super) sandbox: Sandbox,
}

/// All of them.
#[derive(Debug)]
pub(super) struct Servers {
    first: Server,
    more: Vec<Server>,
    /// Those that are configured and cannot be run, and why.
    broken: Vec<(Series, String)>,
}

impl Servers {
    /// Prepares them. Blocks, for about a second each the first time.
    pub(super) fn open(config: &LocalConfig, owners: Owners) -> Result<Self, SetupError> {
        let mut servers = Self {
            first: open(config, &config.installation, &config.secret, owners)?,
            more: Vec::new(),
            broken: config.broken_servers.clone(),
        };
        for installation in &config.more_servers {
            match open(config, installation, &config.secret, owners) {
                Ok(server) => servers.more.push(server),
                Err(error @ SetupError::Sandbox(_)) => return Err(error),
                Err(error) => {
                    let series = installation.version.series();
                    servers.broken.push((series, error.to_string()));
                }
            }
        }
        Ok(servers)
    }

    /// The one of which new instances are.
    pub(super) fn first(&self) -> &Server {
        &self.first
    }

    fn all(&self) -> impl Iterator<Item = &Server> {
        std::iter::once(&self.first).chain(&self.more)
    }

    /// What there is for new instances.
    pub(super) fn offer(&self) -> Vec<Offered> {
        let of = |server: &Server| Offered {
            series: server.installation.version.series(),
            greeting: server.installation.version.greeting(),
        };
        self.all().map(of).collect()
    }

    /// The series that are configured and cannot be run, and why, for whoever runs Dormouse.
    pub(super) fn missing(&self) -> Vec<String> {
        let of = |(series, why): &(Series, String)| {
            format!("databases of MariaDB {series} cannot be started: {why}")
        };
        self.broken.iter().map(of).collect()
    }

    /// The server of a series.
    pub(super) fn find(&self, id: InstanceId, series: Series) -> Result<&Server, Error> {
        let found = self
            .all()
            .find(|server| server.installation.version.series() == series);
        found.ok_or_else(|| Error::Start {
            id,
            reason: self.lacks(series),
        })
    }

    fn lacks(&self, series: Series) -> String {
        if let Some((_, why)) = self.broken.iter().find(|(broken, _)| *broken == series) {
            return format!(
                "its files are those of MariaDB {series}, which is in [servers] of the configuration, but: {why}"
            );
        }
        let has: Vec<_> = self.offer().iter().map(|s| s.series.to_string()).collect();
        format!(
            "its files are those of MariaDB {series}, and Dormouse has {}: install MariaDB {series}, name its server in \
             [servers] of the configuration, and start Dormouse again",
            has.join(" and ")
        )
    }

    /// The series of the server of an instance.
    pub(super) fn series(&self, layout: &Layout) -> Series {
        self.note(layout).series
    }

    /// What stands beside an instance about its server; of an instance of a former version of Dormouse, what its files say.
    pub(super) fn note(&self, layout: &Layout) -> Note {
        let beside = fs::read_to_string(layout.series());
        let beside = beside.ok().and_then(|text| Note::read(&text));
        beside.unwrap_or_else(|| Note {
            series: noted(&layout.data())
                .unwrap_or_else(|| self.first.installation.version.series()),
            from: None,
        })
    }

    /// The server that an instance is started by.
    pub(super) fn of(&self, id: InstanceId, layout: &Layout) -> Result<&Server, Error> {
        let note = self.note(layout);
        match note.from {
            None => self.find(id, note.series),
            Some(from) => Err(Error::Start {
                id,
                reason: format!(
                    "its upgrade from MariaDB {from} to {} has not ended: repeat it",
                    note.series
                ),
            }),
        }
    }
}

/// What stands beside an instance about its server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Note {
    pub(super) series: Series,
    /// The series whose files these are still: they must be upgraded before the server may start.
    pub(super) from: Option<Series>,
}

impl Note {
    /// Files of `from` for a server of `series`.
    pub(super) fn new(series: Series, from: Series) -> Self {
        Self {
            series,
            from: Some(from).filter(|from| *from != series),
        }
    }

    /// Reads `11.8` or `11.8 from 10.11`.
    fn read(text: &str) -> Option<Self> {
        let text = text.trim();
        let (series, from) = match text.split_once(" from ") {
            None => (text, None),
            Some((series, from)) => (series, Some(from)),
        };
        Some(Self {
            series: series.parse().ok()?,
            from: match from {
                None => None,
                Some(from) => Some(from.parse().ok()?),
            },
        })
    }

    /// Writes it beside an instance.
    pub(super) fn write(self, layout: &Layout) -> io::Result<()> {
        let Self { series, from } = self;
        let from = from.map_or(String::new(), |from| format!(" from {from}"));
        files::write_series(layout, &format!("{series}{from}\n"))
    }
}

fn open(
    config: &LocalConfig,
    installation: &Installation,
    secret: &Secret,
    owners: Owners,
) -> Result<Server, SetupError> {
    let sandbox = Sandbox::detect(
        config.sandbox,
        installation,
        &config.root,
        config.transport,
        owners,
    )?;
    Ok(Server {
        template: Template::ensure(installation, &config.templates, secret)?,
        installation: installation.clone(),
        sandbox,
    })
}

/// The series that a server has noted in its files. No link is followed there.
pub(super) fn noted(data: &Path) -> Option<Series> {
    let dir = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let dir = rustix::fs::open(data, dir, Mode::empty()).ok()?;
    let plain = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    NOTES.into_iter().find_map(|name| {
        let file = rustix::fs::openat(&dir, name, plain, Mode::empty()).ok()?;
        let mut text = String::new();
        File::from(file)
            .take(LONGEST)
            .read_to_string(&mut text)
            .ok()?;
        Some(Version::from_text(text.trim())?.series())
    })
}

/// Replaces the server's own note of its version, which its tools read.
pub(super) fn replace_note(
    layout: &Layout,
    version: &Version,
    owner: Option<Owner>,
) -> io::Result<()> {
    let dir = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let dir = rustix::fs::open(layout.data(), dir, Mode::empty())?;
    for name in NOTES {
        let gone = rustix::fs::unlinkat(&dir, name, AtFlags::empty());
        files::if_there(gone.map_err(Into::into))?;
    }
    let name = if version.major < 11 {
        NOTES[1]
    } else {
        NOTES[0]
    };
    let (major, minor, patch) = version.numbers();
    files::write_new(
        &dir,
        name,
        &format!("{major}.{minor}.{patch}-MariaDB"),
        owner,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_is_read_as_it_was_written() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::new(dir.path().join("1")).unwrap();
        let series = |text: &str| text.parse::<Series>().unwrap();
        for from in ["11.8", "10.11"] {
            let note = Note::new(series("11.8"), series(from));
            note.write(&layout).unwrap();
            let text = fs::read_to_string(layout.series()).unwrap();
            assert_eq!(Note::read(&text), Some(note));
            assert_eq!(note.from.is_some(), from == "10.11");
        }
        for other in ["", "11", "11.8 from", "11.8 from x", "11.8 10.11"] {
            assert_eq!(Note::read(other), None, "{other:?}");
        }
    }

    #[test]
    fn the_note_of_a_server_tells_the_series_of_its_files() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::new(dir.path().join("1")).unwrap();
        fs::create_dir_all(layout.data()).unwrap();
        assert_eq!(noted(&layout.data()), None);
        for (name, text, series) in [
            (NOTES[1], "10.11.19-MariaDB", Some("10.11")),
            (NOTES[0], "11.8.9-MariaDB\n", Some("11.8")),
            (NOTES[0], "rubbish", Some("10.11")),
        ] {
            fs::write(layout.data().join(name), text).unwrap();
            let found = noted(&layout.data()).map(|series| series.to_string());
            assert_eq!(found.as_deref(), series, "{text}");
        }
        let newer = Version::from_text("11.8.9-MariaDB-x").unwrap();
        replace_note(&layout, &newer, None).unwrap();
        assert_eq!(noted(&layout.data()), Some(newer.series()));
        assert!(!layout.data().join(NOTES[1]).exists());
        // not what a server that was taken over points at
        fs::remove_file(layout.data().join(NOTES[0])).unwrap();
        let secret = dir.path().join("secret");
        fs::write(&secret, "10.6.1-MariaDB").unwrap();
        std::os::unix::fs::symlink(secret, layout.data().join(NOTES[0])).unwrap();
        assert_eq!(noted(&layout.data()), None);
    }
}
