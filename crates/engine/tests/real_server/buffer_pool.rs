//! Resizing the buffer pool, saving and loading its pages.

use std::time::{Duration, Instant};

use dormouse_engine::{Admin, AdminError};
use dormouse_types::Bytes;

use crate::server::Server;

const TIMEOUT: Duration = Duration::from_secs(60);

/// About 24 MiB.
async fn fill(admin: &mut Admin) {
    admin.query("CREATE SCHEMA s").await.unwrap();
    admin
        .query("CREATE TABLE s.t (id INT PRIMARY KEY, c TEXT)")
        .await
        .unwrap();
    admin
        .query("INSERT INTO s.t SELECT seq, REPEAT('x', 15000) FROM s.seq_1_to_1500")
        .await
        .unwrap();
}

/// The pool's size in MiB and its number of pages.
async fn pool(admin: &mut Admin) -> (u64, u64) {
    let size = "SELECT @@GLOBAL.innodb_buffer_pool_size";
    let size: u64 = admin.query(size).await.unwrap().text(0, 0).parse().unwrap();
    (
        size >> 20,
        admin.buffer_pool().hits().await.unwrap().holds.0 >> 14,
    )
}

/// The steps of a suspend.
async fn shrink(admin: &mut Admin) {
    admin.buffer_pool().note_hot_pages().await.unwrap();
    admin.buffer_pool().leave_hot_pages().await.unwrap();
    admin
        .buffer_pool()
        .resize(Bytes::mib(8), TIMEOUT)
        .await
        .unwrap();
}

fn listed(server: &Server) -> usize {
    let list = server.layout.data().join("ib_buffer_pool");
    std::fs::read_to_string(list).map_or(0, |list| list.lines().count())
}

/// Waits for the next second of the server's clock.
async fn another_second(admin: &mut Admin) {
    let clock = "SELECT SYSDATE()";
    let before = admin.query(clock).await.unwrap();
    while admin.query(clock).await.unwrap() == before {}
}

#[tokio::test]
async fn the_pool_shrinks_and_grows_with_its_pages() {
    let server = Server::start().await;
    let mut admin = server.admin().await;
    fill(&mut admin).await;
    assert!(pool(&mut admin).await.1 > 1500);
    // without a list this only marks the pool's pages as loaded
    admin.buffer_pool().load_hot_pages(TIMEOUT).await.unwrap();
    shrink(&mut admin).await;
    assert!(listed(&server) > 1500);
    let (mib, pages) = pool(&mut admin).await;
    assert!(mib == 8 && pages <= 512, "{mib} MiB, {pages} pages");

    let grow = Bytes::mib(256);
    admin.buffer_pool().resize(grow, TIMEOUT).await.unwrap();
    assert_eq!(pool(&mut admin).await.0, 256);
    admin.buffer_pool().load_hot_pages(TIMEOUT).await.unwrap();
    let pages = pool(&mut admin).await.1;
    assert!(pages > 1500, "{pages} pages");
    let before = admin.buffer_pool().hits().await.unwrap();
    admin.query("SELECT SUM(LENGTH(c)) FROM s.t").await.unwrap();
    let after = admin.buffer_pool().hits().await.unwrap();
    assert_eq!(after.ratio_ppm_since(before), Some(1_000_000), "{after:?}");
}

/// Status texts have the time of a dump in seconds only.
#[tokio::test]
async fn suspends_in_quick_succession_are_not_slower() {
    let server = Server::start().await;
    let mut admin = server.admin().await;
    fill(&mut admin).await;
    admin.buffer_pool().load_hot_pages(TIMEOUT).await.unwrap();
    another_second(&mut admin).await;
    let start = Instant::now();
    for _ in 0..20 {
        admin.buffer_pool().note_hot_pages().await.unwrap();
    }
    assert!(
        start.elapsed() < Duration::from_secs(3),
        "{:?}",
        start.elapsed()
    );
    assert!(listed(&server) > 1500);
    // a list older than this second is written again
    let mut one = async || {
        std::fs::remove_file(server.layout.data().join("ib_buffer_pool")).unwrap();
        another_second(&mut admin).await;
        admin.buffer_pool().note_hot_pages().await.unwrap();
        listed(&server)
    };
    assert!(one().await > 1500);
    assert!(one().await > 1500);
}

#[tokio::test]
async fn a_pool_that_is_not_loaded_does_not_overwrite_the_list() {
    let mut server = Server::start().await;
    let mut admin = server.admin().await;
    fill(&mut admin).await;
    admin.buffer_pool().load_hot_pages(TIMEOUT).await.unwrap();
    drop(admin);
    server.restart().await;
    let all = listed(&server);
    assert!(all > 1500, "a server that stops writes the list: {all}");

    let mut admin = server.admin().await;
    assert!(
        pool(&mut admin).await.1 < 1000,
        "pages are loaded on demand only"
    );
    another_second(&mut admin).await;
    admin.buffer_pool().note_hot_pages().await.unwrap();
    assert_eq!(listed(&server), all, "pages are not loaded");
    drop(admin);
    server.restart().await;
    assert_eq!(
        listed(&server),
        all,
        "pages were not loaded before the stop"
    );

    let mut admin = server.admin().await;
    admin.buffer_pool().load_hot_pages(TIMEOUT).await.unwrap();
    assert!(pool(&mut admin).await.1 > 1500);
    shrink(&mut admin).await;
    let all = listed(&server);
    another_second(&mut admin).await;
    admin.buffer_pool().note_hot_pages().await.unwrap();
    assert_eq!(
        listed(&server),
        all,
        "pages are not loaded since the suspend"
    );
    admin
        .buffer_pool()
        .resize(Bytes::mib(128), TIMEOUT)
        .await
        .unwrap();
    let begun = tokio::time::timeout(
        Duration::from_millis(1),
        admin.buffer_pool().load_hot_pages(TIMEOUT),
    );
    assert!(begun.await.is_err());
    let mut admin = server.admin().await;
    admin.buffer_pool().note_hot_pages().await.unwrap();
    assert_eq!(listed(&server), all, "the load was cancelled");
    admin.buffer_pool().load_hot_pages(TIMEOUT).await.unwrap();
    assert!(pool(&mut admin).await.1 > 1500);
    admin.buffer_pool().note_hot_pages().await.unwrap();
    assert!(listed(&server) > 1500);
}

#[tokio::test]
async fn a_load_aborted_by_another_connection_fails() {
    let server = Server::start().await;
    let mut admin = server.admin().await;
    let mut other = server.admin().await;
    fill(&mut admin).await;
    admin.buffer_pool().load_hot_pages(TIMEOUT).await.unwrap();
    let ended = async {
        loop {
            shrink(&mut admin).await;
            admin
                .buffer_pool()
                .resize(Bytes::mib(128), TIMEOUT)
                .await
                .unwrap();
            let end = async {
                loop {
                    other.buffer_pool().leave_hot_pages().await.unwrap();
                }
            };
            tokio::select! {
                ended = admin.buffer_pool().load_hot_pages(TIMEOUT) => match ended {
                    Err(AdminError::Cut(_)) => return,
                    other => other.unwrap(),
                },
                () = end => {}
            }
            other = server.admin().await;
        }
    };
    tokio::time::timeout(TIMEOUT, ended).await.unwrap();
}

/// A cancelled suspend leaves the server resizing.
#[tokio::test]
async fn a_resize_waits_for_one_in_progress() {
    let server = Server::start().await;
    let mut admin = server.admin().await;
    fill(&mut admin).await;
    let mut other = server.admin().await;
    for round in 0..10 {
        let size = |mib| Bytes::mib(mib);
        let small = admin.buffer_pool().resize(size(8), TIMEOUT);
        let large = other.buffer_pool().resize(size(128), TIMEOUT);
        let (small, large) = tokio::join!(small, large);
        assert!(
            small.is_ok() && large.is_ok(),
            "{round}: {small:?} {large:?}"
        );
    }
}
