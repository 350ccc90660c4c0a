//! Removes processes and files, also after a signal: servers survive their Dormouse by design.

use std::path::{Path, PathBuf};
use std::sync::Mutex;

use dormouse_testkit::process;
use tokio::signal::unix::{SignalKind, signal};

/// Directories of this run; processes with one of them in their command line belong to it.
static OURS: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

/// Registers a directory for [`on_signals`].
pub(crate) fn remember(dir: &Path) {
    if let Ok(mut ours) = OURS.lock() {
        ours.push(dir.to_owned());
    }
}

/// Installs handlers for SIGINT and SIGTERM that end all processes of this run and remove its files.
pub(crate) fn on_signals() -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let (mut interrupt, mut terminate) = {
        let _context = runtime.enter();
        (
            signal(SignalKind::interrupt())?,
            signal(SignalKind::terminate())?,
        )
    };
    std::thread::spawn(move || {
        runtime.block_on(async {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
        });
        let ours = OURS.lock().map(|ours| ours.clone()).unwrap_or_default();
        // twice, because a Dormouse may have started a server meanwhile
        for dir in ours.iter().chain(&ours) {
            for pid in process::mentioning(dir) {
                process::kill(pid);
            }
            let _ = std::fs::remove_dir_all(dir);
        }
        std::process::exit(130);
    });
    Ok(())
}
