//! What can be seen of a switch from outside, while it happens.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use dormouse_testkit::{Client, Dormouse, Reply};

/// A step of a switch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Step {
    /// It is ordered, or its reason is there.
    Begun,
    /// `dormouse show` tells this of the move.
    Stage(&'static str),
    /// The former primary takes no changes.
    Fenced,
    /// The next one takes them.
    Promoted,
    /// The catalog was written after that.
    Written,
    /// `dormouse show` names the next one.
    Serves,
    /// The server of the former one has ended.
    Stopped,
    /// The files of the former one are gone.
    Removed,
    /// A replica is being made in the place of the one that was promoted.
    Seeded,
    /// That follows.
    Followed,
}

/// The instances that there are.
pub(crate) fn instances(dormouse: &Dormouse) -> BTreeSet<PathBuf> {
    let entries = fs::read_dir(dormouse.data_dir().join("instances")).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    paths.filter(|path| path.is_dir()).collect()
}

/// Looks at servers past Dormouse.
pub(crate) struct Watch<'a> {
    dormouse: &'a Dormouse,
    /// The instances before the switch, and the primary of them.
    before: BTreeSet<PathBuf>,
    former: PathBuf,
    servers: BTreeMap<PathBuf, Client>,
    /// The catalog when the next primary was seen to take changes.
    catalog: Option<Stamp>,
}

type Stamp = Vec<(u64, Option<SystemTime>)>;

impl<'a> Watch<'a> {
    /// Before the switch begins.
    pub(crate) fn new(dormouse: &'a Dormouse) -> Self {
        Self {
            dormouse,
            before: instances(dormouse),
            former: dormouse.instance("shop"),
            servers: BTreeMap::new(),
            catalog: None,
        }
    }

    /// Whether the switch has come as far as this, or farther.
    pub(crate) fn sees(&mut self, step: Step) -> bool {
        match step {
            Step::Begun => true,
            Step::Stage(stage) => {
                self.dormouse.show("shop")["moving"]["stage"] == stage
                    || self.dormouse.instance("shop") != self.former
            }
            Step::Fenced => {
                let former = self.former.clone();
                self.takes_changes(&former) != Some(true)
            }
            Step::Promoted => self.others_take_changes(),
            Step::Written => {
                if self.catalog.is_none() && self.others_take_changes() {
                    self.catalog = Some(self.stamp());
                }
                let written = |then: &Stamp| *then != self.stamp();
                self.catalog.as_ref().is_some_and(written)
            }
            Step::Serves => self.dormouse.instance("shop") != self.former,
            Step::Stopped => {
                let former = self.former.clone();
                self.others_take_changes() && self.takes_changes(&former).is_none()
            }
            Step::Removed => !self.former.exists(),
            Step::Seeded => !instances(self.dormouse).is_subset(&self.before),
            Step::Followed => {
                let follows = self.dormouse.show("shop")["followers"][0]["doing"] == "following";
                follows && self.dormouse.instance("shop") != self.former
            }
        }
    }

    fn others_take_changes(&mut self) -> bool {
        let former = self.former.clone();
        let others = instances(self.dormouse).into_iter();
        let mut others = others.filter(|one| *one != former);
        others.any(|one| self.takes_changes(&one) == Some(true))
    }

    /// Whether the server of an instance takes changes; `None` if it does not answer.
    fn takes_changes(&mut self, instance: &Path) -> Option<bool> {
        if !self.servers.contains_key(instance) {
            let server = self.dormouse.try_platform_in(instance).ok()?;
            self.servers.insert(instance.to_owned(), server);
        }
        let server = self.servers.get_mut(instance)?;
        let takes = ask(server);
        if takes.is_none() {
            self.servers.remove(instance);
        }
        takes
    }

    /// The sizes and times of the catalog's files.
    fn stamp(&self) -> Stamp {
        let stamp = |name: &str| {
            let seen = fs::metadata(self.dormouse.data_dir().join(name)).ok();
            let seen = seen.map(|seen| (seen.len(), seen.modified().ok()));
            seen.unwrap_or_default()
        };
        ["catalog.sqlite", "catalog.sqlite-wal"].map(stamp).to_vec()
    }
}

/// The instances whose servers take changes.
pub(crate) fn primaries(dormouse: &Dormouse) -> BTreeSet<PathBuf> {
    let mut all = instances(dormouse);
    all.retain(|instance| {
        let server = dormouse.try_platform_in(instance).ok();
        server.and_then(|mut server| ask(&mut server)) == Some(true)
    });
    all
}

/// Whether a server takes changes; `None` if it has ended, or is about to.
fn ask(server: &mut Client) -> Option<bool> {
    match server.try_query("SELECT @@GLOBAL.read_only") {
        Ok(reply @ Reply::Rows(_)) => Some(reply.value() == "0"),
        _ => None,
    }
}

/// A pause between two looks: what is looked for lasts as long as the next step takes.
pub(crate) const LOOK: Duration = Duration::from_micros(200);
