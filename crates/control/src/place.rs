//! Where new instances are made, and by which server; and why an instance cannot be started where it is.

use std::path::PathBuf;

use dormouse_driver::{Error as DriverError, Offer, Place, Run};
use dormouse_engine::Version;
use dormouse_policy::roots::{Disk, roomiest};
use dormouse_types::{InstanceId, Series};

use crate::error::Error;
use crate::instance::host::Host;
use crate::time::{Late, within};

impl Host {
    /// The place of a new database: what its caller wishes, checked; else the root with the most room, and the first
    /// server. What is the driver's own choice is `None`.
    pub(crate) fn new_place(&self, wish: &Place) -> Result<Place, Error> {
        let offer = self.driver.offer();
        Ok(Place {
            root: match &wish.root {
                Some(_) => wished_root(&offer, wish)?,
                None => roomy_root(&offer),
            },
            series: wished_series(&offer, wish)?,
        })
    }

    /// The place of an instance with files of elsewhere, of a server of this version.
    pub(crate) fn place_of_version(&self, version: &str) -> Result<Place, Error> {
        self.new_place(&Place {
            root: None,
            series: Version::from_text(version).map(|version| version.series()),
        })
    }

    /// The place of a replica of a primary, beside others in these roots: with the primary's server, in another root if
    /// there is one, so that a lost disk does not take all of them. The root with the fewest of them and the most room is
    /// the first choice.
    pub(crate) fn place_of_replica(
        &self,
        primary: InstanceId,
        others: &[Option<PathBuf>],
    ) -> Place {
        let offer = self.driver.offer();
        let own = self.driver.place(primary).unwrap_or_default();
        let there = |dir: &PathBuf| {
            let same = |root: &Option<PathBuf>| root.as_ref() == Some(dir);
            usize::from(same(&own.root)) * 10 + others.iter().filter(|root| same(root)).count()
        };
        let usable = offer.roots.iter().filter_map(|root| {
            let disk = root.disk.as_ref().ok()?;
            Some((there(&root.dir), std::cmp::Reverse(disk.free.0), &root.dir))
        });
        Place {
            root: usable.min().map(|(.., dir)| dir.clone()),
            series: None,
        }
    }

    /// The version that a server gives in its greeting; that of the first if none is named.
    pub(crate) fn version(&self, series: Option<Series>) -> String {
        let offer = self.driver.offer();
        let server = offer.server(series).or(offer.server(None));
        server.map_or_else(|| self.servers.version(), |server| server.greeting.clone())
    }

    /// The version of an instance's server.
    pub(crate) fn version_of(&self, id: InstanceId) -> String {
        self.version(self.driver.place(id).and_then(|place| place.series))
    }

    /// Whether an instance is where, and of which server, those of the warm pool are made.
    pub(crate) fn is_first_choice(&self, id: InstanceId) -> bool {
        let Some(place) = self.driver.place(id) else {
            return true;
        };
        let offer = self.driver.offer();
        let root = offer.roots.first().map(|root| &root.dir);
        let series = offer.servers.first().map(|server| server.series);
        place.root.as_ref() == root && place.series == series
    }

    /// Refuses what needs the files of an instance whose disk is missing: begun now, it would go on when the disk is back.
    pub(crate) async fn check_there(&self, id: InstanceId, doing: &str) -> Result<(), Error> {
        let seen = within(self.deadlines.freeze, self.driver.observe(id)).await;
        match seen {
            Err(Late::Failed(error @ DriverError::Away { .. })) => Err(Error::Machine {
                doing: doing.to_owned(),
                reason: error.to_string(),
            }),
            _ => Ok(()),
        }
    }

    /// Why a stopped instance cannot be started: its disk is missing, or its server.
    pub(crate) async fn hindrance(&self, id: InstanceId) -> Option<String> {
        let seen = within(self.deadlines.freeze, self.driver.observe(id)).await;
        match seen {
            Ok(seen) if seen.run == Run::Stopped => {}
            Ok(_) => return None,
            Err(Late::Failed(error @ DriverError::Away { .. })) => {
                return Some(error.to_string());
            }
            Err(_) => return None,
        }
        let series = self.driver.place(id)?.series?;
        let offer = self.driver.offer();
        if offer.servers.is_empty() || offer.server(Some(series)).is_some() {
            return None;
        }
        Some(format!(
            "its files are those of MariaDB {series}, and Dormouse has {}: install MariaDB {series}, name its server in \
             [servers] of the configuration, and start Dormouse again",
            told(&offer)
        ))
    }
}

fn wished_root(offer: &Offer, wish: &Place) -> Result<Option<PathBuf>, Error> {
    let Some(dir) = &wish.root else {
        return Ok(None);
    };
    let index = offer.roots.iter().position(|root| root.dir == *dir);
    let root = index.and_then(|index| offer.roots.get(index));
    let Some(root) = root else {
        let all: Vec<_> = { offer.roots.iter() }
            .map(|root| root.dir.display().to_string())
            .collect();
        return Err(Error::Invalid(format!(
            "{} is none of the data directories: {}. More are named in data_dirs of the configuration",
            dir.display(),
            all.join(", ")
        )));
    };
    if let Err(reason) = &root.disk {
        return Err(Error::Machine {
            doing: format!("making a database in {}", dir.display()),
            reason: reason.clone(),
        });
    }
    Ok((index != Some(0)).then(|| dir.clone()))
}

/// The root with the most room; `None` for the first.
fn roomy_root(offer: &Offer) -> Option<PathBuf> {
    let disks: Vec<_> = { offer.roots.iter() }
        .map(|root| {
            let disk = root.disk.as_ref().ok()?;
            Some(Disk {
                free: disk.free,
                size: disk.size,
            })
        })
        .collect();
    let chosen = roomiest(&disks).filter(|index| *index > 0)?;
    Some(offer.roots.get(chosen)?.dir.clone())
}

fn wished_series(offer: &Offer, wish: &Place) -> Result<Option<Series>, Error> {
    let Some(series) = wish.series.filter(|_| !offer.servers.is_empty()) else {
        return Ok(None);
    };
    if offer.server(Some(series)).is_none() {
        return Err(Error::Invalid(format!(
            "Dormouse has no server of MariaDB {series}, only {}: more are named in [servers] of the configuration",
            told(offer)
        )));
    }
    let first = offer.servers.first().map(|server| server.series);
    Ok(Some(series).filter(|_| first != Some(series)))
}

/// The series that there are.
fn told(offer: &Offer) -> String {
    let all: Vec<_> = { offer.servers.iter() }
        .map(|server| server.series.to_string())
        .collect();
    all.join(" and ")
}

#[cfg(test)]
mod tests {
    use dormouse_driver::{Disk as Space, Root, Server};
    use dormouse_types::Bytes;

    use super::*;

    fn offer() -> Offer {
        let root = |dir: &str, free| Root {
            dir: dir.into(),
            disk: Ok(Space {
                free: Bytes(free),
                size: Bytes(100),
            }),
        };
        let server = |series: &str| Server {
            series: series.parse().unwrap(),
            greeting: format!("{series}.1-MariaDB"),
        };
        let missing = Root {
            dir: "/away".into(),
            disk: Err("not mounted".to_owned()),
        };
        Offer {
            roots: vec![root("/first", 10), missing, root("/second", 90)],
            servers: vec![server("10.11"), server("11.8")],
        }
    }

    #[test]
    fn a_wish_is_checked_and_the_first_of_each_is_no_wish() {
        let root = |dir: &str| {
            let wish = Place {
                root: Some(dir.into()),
                series: None,
            };
            wished_root(&offer(), &wish).map_err(|error| error.to_string())
        };
        assert_eq!(root("/first"), Ok(None));
        assert_eq!(root("/second"), Ok(Some("/second".into())));
        assert!(root("/away").unwrap_err().contains("not mounted"));
        assert!(
            root("/third")
                .unwrap_err()
                .contains("/first, /away, /second")
        );
        let series = |text: &str| {
            let wish = Place {
                root: None,
                series: Some(text.parse().unwrap()),
            };
            wished_series(&offer(), &wish).map_err(|error| error.to_string())
        };
        assert_eq!(series("10.11"), Ok(None));
        assert_eq!(series("11.8"), Ok(Some("11.8".parse().unwrap())));
        assert!(series("11.4").unwrap_err().contains("10.11 and 11.8"));
    }

    #[test]
    fn without_a_wish_the_roomiest_root_is_taken() {
        let mut offer = offer();
        assert_eq!(roomy_root(&offer), Some("/second".into()));
        offer.roots.pop();
        assert_eq!(roomy_root(&offer), None);
        assert_eq!(roomy_root(&Offer::default()), None);
    }
}
