//! P7: growth of Dormouse's resident memory per client that has logged in and is idle. P7b: the same
//! for clients that have run a statement, on a few backends.

use dormouse_testkit::{Created, Dormouse, process, tls};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::options::Options;
use crate::report::{Report, Target, Unit};
use crate::rig::{settle, sleepy_dormouse};
use crate::say;
use crate::tls::TlsClient;

/// Clients before the measurement, so that memory that is allocated once is not counted.
const FIRST: usize = 50;

/// Added to Dormouse's configuration for P7b.
const FEW: &str = "[pool]\nbackends_max = 8\n";

/// Measures plain clients, then clients with TLS, each with a new Dormouse: memory that the
/// allocator keeps from earlier clients would be reused.
pub(crate) fn run(options: &Options, report: &mut Report) -> anyhow::Result<()> {
    let clients = options.clients();
    allow_files(clients + FIRST + 200)?;
    let connector = tls::config();
    let over_tls = |dormouse: &Dormouse, who: &Created| {
        TlsClient::connect(&connector, dormouse.address(), &who.user, &who.password)
    };
    let plain = |dormouse: &Dormouse, who: &Created| Ok(dormouse.connect(who));
    let kinds = [
        ("P7", "plain", 8.0, grow(options, "P7 plain", "", plain)?),
        ("P7", "TLS", 20.0, grow(options, "P7 TLS", "", over_tls)?),
        (
            "P7b",
            "plain, after a statement",
            8.0,
            grow(options, "P7b plain", FEW, |dormouse, who| {
                let mut client = dormouse.connect(who);
                let one = client.query("SELECT 1").value();
                anyhow::ensure!(one == "1", "SELECT 1 answered {one}");
                Ok(client)
            })?,
        ),
        (
            "P7b",
            "TLS, after a statement",
            20.0,
            grow(options, "P7b TLS", FEW, |dormouse, who| {
                let mut client = over_tls(dormouse, who)?;
                client.select()?;
                Ok(client)
            })?,
        ),
    ];
    for (id, kind, most, grown) in kinds {
        let what = format!("memory per idle client of {clients}: {kind}");
        report.promise(id, what, grown, Unit::Kibibytes, Target::AtMost(most));
    }
    Ok(())
}

/// Growth per client in KiB.
fn grow<C>(
    options: &Options,
    kind: &str,
    config: &str,
    connect: impl Fn(&Dormouse, &Created) -> anyhow::Result<C>,
) -> anyhow::Result<f64> {
    let dormouse: Dormouse = sleepy_dormouse(options, config);
    let who = dormouse.create("crowd", &[]);
    let _first = (0..FIRST)
        .map(|_| connect(&dormouse, &who))
        .collect::<anyhow::Result<Vec<C>>>()?;
    settle();
    let before = process::resident(dormouse.pid());
    let total = options.clients();
    let mut crowd = Vec::with_capacity(total);
    while crowd.len() < total {
        crowd.push(connect(&dormouse, &who)?);
        if crowd.len().is_multiple_of(1000) {
            say(&format!("{kind}: {} clients", crowd.len()));
        }
    }
    settle();
    let after = process::resident(dormouse.pid());
    let counted = dormouse.show("crowd")["sessions"].as_u64();
    anyhow::ensure!(
        counted == Some((FIRST + total) as u64),
        "Dormouse counts {counted:?} sessions"
    );
    Ok(after.saturating_sub(before) as f64 / 1024.0 / total as f64)
}

/// Raises the limit of open files of this process and of the Dormouse it starts.
fn allow_files(count: usize) -> anyhow::Result<()> {
    let now = getrlimit(Resource::Nofile);
    let count = count as u64;
    let most = now.maximum.unwrap_or(u64::MAX);
    let wanted = Rlimit {
        current: Some(count.max(now.current.unwrap_or(count))),
        maximum: Some(most.max(count)),
    };
    setrlimit(Resource::Nofile, wanted).map_err(|_| {
        anyhow::anyhow!("P7 needs {count} open files and may have {most}: raise `ulimit -Hn`, or leave P7 out with --only")
    })
}
