//! sqlx's pool, which tests a connection before it lends it. Says "ready", then borrows one again and again until its
//! stdin ends.

use std::env::var;
use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sqlx::mysql::{MySqlConnectOptions, MySqlPoolOptions};

fn main() -> Result<(), Box<dyn Error>> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(run())
}

async fn run() -> Result<(), Box<dyn Error>> {
    let server = MySqlConnectOptions::new()
        .host(&var("HOST")?)
        .port(var("PORT")?.parse()?)
        .username(&var("USER_NAME")?)
        .password(&var("PASSWORD")?)
        .database("d");
    let pool = MySqlPoolOptions::new()
        .max_connections(2)
        .test_before_acquire(true)
        .connect_with(server)
        .await?;
    sqlx::query("SELECT i FROM t").fetch_one(&pool).await?;
    println!("ready");
    let over = Arc::new(AtomicBool::new(false));
    let told = Arc::clone(&over);
    std::thread::spawn(move || {
        let _ = std::io::stdin().read_line(&mut String::new());
        told.store(true, Ordering::Release);
    });
    let mut checks = 0;
    while !over.load(Ordering::Acquire) {
        drop(pool.acquire().await?);
        checks += 1;
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    println!("checks {checks}");
    Ok(())
}
