//! What the tests of the driver have in common.

use dormouse_driver::Driver;

/// Ends every server of a driver and removes its files, also when the caller is dropped within a runtime.
pub(crate) fn remove_all(driver: impl Driver) {
    let clean = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        runtime.unwrap().block_on(async {
            for id in driver.list().await.unwrap() {
                driver.remove(id).await.unwrap();
            }
        });
    });
    let _ = clean.join();
}
