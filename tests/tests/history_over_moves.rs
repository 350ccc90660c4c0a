//! The history of a database that goes over to other instances: by moves, awake and asleep, by an upgrade, by a failover.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a helper that fails fails its test"
)]

use dormouse_testkit::{Client, Created, process};

use scene::{Scene, clock, reach, written};

#[path = "history/scene.rs"]
#[allow(dead_code, reason = "other tests use the rest of it")]
mod scene;

/// A database with a history and a backup, and the seconds at which it had this many rows.
struct Story {
    scene: Scene,
    who: Created,
    client: Client,
    rows: u64,
    moments: Vec<(i64, u64)>,
}

impl Story {
    /// The clock archives nothing: what is not stored by the move is missing.
    fn begin(encrypted: bool, more: &str, arguments: &[&str]) -> Self {
        let awake =
            format!("{more}\n[defaults]\nidle_suspend = \"never\"\nidle_park = \"never\"\n");
        let scene = Scene::start_archiving_every("1h", encrypted, &awake);
        let arguments = [&["--history", "true"], arguments].concat();
        let who = scene.dormouse.create("shop", &arguments);
        let mut client = scene.dormouse.connect(&who);
        client.query("CREATE DATABASE app").ok();
        client.query("CREATE TABLE app.t (n INT PRIMARY KEY)").ok();
        scene.run(&["backup", "now", "shop"]);
        Self {
            scene,
            who,
            client,
            rows: 0,
            moments: Vec::new(),
        }
    }

    /// Writes a row, and waits for the next second.
    fn writes(&mut self) {
        self.rows += 1;
        let sql = format!("INSERT INTO app.t VALUES ({})", self.rows);
        self.client.query(&sql).ok();
        let second = clock() / 1000 + 1;
        reach(second);
        self.moments.push((second, self.rows));
    }

    /// Each moment comes back.
    fn comes_back(&mut self) {
        for (n, (second, rows)) in self.moments.clone().into_iter().enumerate() {
            let at = written(&mut self.client, second);
            let name = format!("then{n}");
            self.scene
                .run(&["restore", "shop", "--at", &at, "--as", &name]);
            let mut then = self.scene.connect(&name, &self.who);
            let there = then.query("SELECT COUNT(*), MAX(n) FROM app.t").rows();
            let wanted = [Some(rows.to_string()), Some(rows.to_string())];
            assert_eq!(there, [wanted], "at moment {n}, {at}");
            let _ = self.scene.dormouse.json(&["drop", &name, "--yes"]);
        }
    }

    fn ranges(&self) -> usize {
        let history = self.scene.run(&["history", "shop"]);
        history["ranges"].as_array().unwrap().len()
    }
}

fn every_second_before_between_and_after_moves(encrypted: bool) {
    let mut story = Story::begin(encrypted, "", &[]);
    story.writes();
    // one right after the other, with nothing between them
    for _ in 0..2 {
        story.writes();
        story.scene.run(&["move", "shop"]);
    }
    story.writes();
    story.scene.run(&["move", "shop"]);
    story.scene.run(&["move", "shop"]);
    story.writes();
    assert_eq!(story.ranges(), 1, "it has a gap");
    story.comes_back();
}

#[test]
fn every_second_before_between_and_after_moves_comes_back() {
    every_second_before_between_and_after_moves(false);
}

#[test]
fn every_second_before_between_and_after_moves_of_an_encrypted_database_comes_back() {
    every_second_before_between_and_after_moves(true);
}

#[test]
fn what_a_former_server_has_logged_is_archived_after_a_kill_of_dormouse_too() {
    let mut story = Story::begin(false, "", &[]);
    story.writes();
    let there = story.scene.repository();
    let away = there.with_extension("away");
    std::fs::rename(&there, &away).unwrap();
    for _ in 0..2 {
        story.scene.run(&["move", "shop"]);
        story.writes();
    }
    story.scene.dormouse.kill();
    std::fs::rename(&away, &there).unwrap();
    story.scene.dormouse.up();
    story.client = story.scene.connect("shop", &story.who);
    story.writes();
    // with an archive of the present server's log it would have a gap, or end too early
    process::until("the rest is archived", || {
        story.scene.run(&["backup", "now", "shop"]);
        story.ranges() == 1
    });
    story.comes_back();
}

#[test]
fn every_second_before_and_after_a_move_asleep_comes_back() {
    let mut story = Story::begin(false, "", &[]);
    story.writes();
    story.scene.run(&["park", "shop"]);
    story.scene.run(&["move", "shop"]);
    assert_eq!(story.scene.dormouse.state("shop"), "parked");
    story.writes();
    story.scene.run(&["move", "shop"]);
    story.writes();
    assert_eq!(story.ranges(), 1, "it has a gap");
    story.comes_back();
}

#[test]
fn every_second_before_and_after_a_failover_comes_back() {
    let mut story = Story::begin(false, "", &["--replicas", "1", "--durability", "replica"]);
    let dormouse = &story.scene.dormouse;
    process::until("the replica follows", || {
        let shown = dormouse.show("shop");
        shown["followers"][0]["doing"] == "following"
    });
    let mut admin = dormouse.platform("shop");
    process::until("commits wait for a replica", || {
        admin
            .query("SELECT @@GLOBAL.rpl_semi_sync_master_enabled")
            .value()
            == "1"
    });
    drop(admin);
    let primary = dormouse.instance("shop");
    story.writes();
    story.writes();
    let dormouse = &story.scene.dormouse;
    std::fs::remove_dir_all(primary.join("data")).unwrap();
    process::kill(dormouse.server("shop"));
    story.writes();
    assert_ne!(story.scene.dormouse.instance("shop"), primary);
    story.writes();
    assert_eq!(story.ranges(), 1, "it has a gap");
    story.comes_back();
}

/// A server does not apply the log of a newer one. Skipped where there is no second server.
#[test]
fn before_and_after_an_upgrade_every_second_comes_back_but_those_until_the_backup_that_it_makes_due()
 {
    let older = std::env::var("DORMOUSE_TEST_MARIADBD").unwrap_or_default();
    let newer = std::env::var("DORMOUSE_TEST_MARIADBD_118").ok();
    let Some(newer) = newer.filter(|newer| *newer != older) else {
        println!("skipped: there is no second server");
        return;
    };
    let mut story = Story::begin(false, &format!("[servers]\n\"11.8\" = \"{newer}\"\n"), &[]);
    story.writes();
    story
        .scene
        .run(&["upgrade", "shop", "--to", "11.8", "--keep", "0"]);
    // a backup is due by itself
    let dormouse = &story.scene.dormouse;
    process::until("it has a backup of the new server", || {
        let all = dormouse.json(&["backup", "ls", "shop"]);
        let all = all.as_array().unwrap();
        all.iter().any(|one| {
            one["version"]
                .as_str()
                .unwrap_or_default()
                .starts_with("11.8")
        })
    });
    reach(clock() / 1000 + 2);
    story.writes();
    assert_eq!(story.ranges(), 2);
    story.comes_back();
}
