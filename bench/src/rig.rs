//! [`Rig`]: the peers under load, the same server with the same data reached in different ways.

mod bare;
mod haproxy;

use std::time::Duration;

use anyhow::Context as _;
use dormouse_engine::Installation;
use dormouse_testkit::{Dormouse, Reply};

use crate::endpoint::{Endpoint, Via, Way};
use crate::options::Options;
use crate::sysbench::{self, SCHEMA, Statements, Workload};
use crate::{cleanup, say};

use bare::Bare;
use haproxy::HaProxy;

/// Rows of the table of the usual rig.
pub(crate) const ROWS: u32 = 10_000;

/// Parameters of a rig.
pub(crate) struct Plan {
    /// Rows of the one table.
    pub(crate) rows: u32,
    /// Added to Dormouse's configuration.
    pub(crate) dormouse: &'static str,
}

impl Plan {
    /// Dormouse with its defaults.
    pub(crate) const USUAL: Self = Self {
        rows: ROWS,
        dormouse: "",
    };
}

/// A plain server, HAProxy in front of it, and a Dormouse with one database that never sleeps.
pub(crate) struct Rig {
    rows: u32,
    endpoints: Vec<Endpoint>,
    // dropped in this order: a proxy ends before its server
    _dormouse: Dormouse,
    _haproxy: HaProxy,
    _bare: Bare,
}

impl Rig {
    /// Starts everything and fills the tables.
    pub(crate) fn build(
        options: &Options,
        installation: &Installation,
        plan: &Plan,
    ) -> anyhow::Result<Self> {
        say("starting a plain server, HAProxy and Dormouse");
        let bare = Bare::start(installation)?;
        let haproxy = HaProxy::start(&bare)?;
        let dormouse = start_dormouse(options, "", plan.dormouse);
        // as much CPU as the plain server has: two units are a core
        let units = 2 * std::thread::available_parallelism()?.get();
        let who = dormouse.create("bench", &["--units", &units.to_string()]);
        let endpoint = |name, way, via, proxy| Endpoint {
            name,
            way,
            via,
            user: bare::USER.to_owned(),
            password: bare::PASSWORD.to_owned(),
            proxy,
            server: bare.pid(),
        };
        let between = Some(haproxy.pid());
        let address = dormouse.address().parse().context("Dormouse's address")?;
        let endpoints = vec![
            endpoint("Unix socket", Way::Socket, Via::Unix(bare.socket()), None),
            endpoint("TCP", Way::Tcp, Via::Tcp(bare.address), None),
            endpoint("HAProxy", Way::HaProxy, Via::Tcp(haproxy.by_tcp), between),
            endpoint(
                "HAProxy to Unix socket",
                Way::HaProxySocket,
                Via::Tcp(haproxy.by_socket),
                between,
            ),
            Endpoint {
                user: who.user,
                password: who.password,
                server: dormouse.server("bench"),
                ..endpoint(
                    "Dormouse",
                    Way::Dormouse,
                    Via::Tcp(address),
                    Some(dormouse.pid()),
                )
            },
        ];
        let rig = Self {
            rows: plan.rows,
            endpoints,
            _dormouse: dormouse,
            _haproxy: haproxy,
            _bare: bare,
        };
        rig.fill()?;
        Ok(rig)
    }

    /// The endpoints, beginning with another one in each round.
    pub(crate) fn in_order_of(&self, round: u32) -> impl Iterator<Item = &Endpoint> {
        let first = round as usize % self.endpoints.len();
        self.endpoints
            .iter()
            .cycle()
            .skip(first)
            .take(self.endpoints.len())
    }

    fn fill(&self) -> anyhow::Result<()> {
        for endpoint in self
            .endpoints
            .iter()
            .filter(|e| matches!(e.way, Way::Tcp | Way::Dormouse))
        {
            let made = endpoint
                .connect()?
                .query(&format!("CREATE DATABASE {SCHEMA}"));
            anyhow::ensure!(matches!(made, Reply::Ok(_)), "CREATE DATABASE: {made:?}");
            sysbench::prepare(endpoint, self.rows)?;
        }
        for endpoint in &self.endpoints {
            for statements in Statements::ALL {
                sysbench::run(endpoint, &Workload::points(statements, self.rows), 1)?;
            }
        }
        Ok(())
    }
}

/// A Dormouse whose databases sleep only on order; `more` is added to its configuration.
pub(crate) fn sleepy_dormouse(options: &Options, more: &str) -> Dormouse {
    sleepy_dormouse_with(options, "", more)
}

/// The same; `first` stands in front of all sections of the configuration.
pub(crate) fn sleepy_dormouse_with(options: &Options, first: &str, more: &str) -> Dormouse {
    say("starting Dormouse");
    start_dormouse(options, first, more)
}

fn start_dormouse(options: &Options, first: &str, more: &str) -> Dormouse {
    let server = options.mariadbd.as_ref();
    let server = server.map_or(String::new(), |path| {
        format!("engine.mariadbd = '{}'\n", path.display())
    });
    // the figures are those of the servers of databases
    let config = format!(
        "{first}{server}asleep.understudies = 0\n[defaults]\nidle_suspend = \"never\"\nidle_park = \"never\"\n{more}"
    );
    // it was checked at the start that the program exists
    let program = options.program().unwrap_or_default();
    let mut dormouse = Dormouse::prepare_program(program, &config, "info");
    if let Some(dir) = dormouse.data_dir().parent() {
        cleanup::remember(dir);
    }
    dormouse.up();
    dormouse
}

/// Waits for the work that a server or Dormouse does after its last reply, to reduce the noise of the
/// next sample; correctness does not depend on it.
pub(crate) fn settle() {
    std::thread::sleep(Duration::from_millis(20));
}
