//! A Dormouse with a master key, and a search through the files of its databases.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use dormouse_testkit::{Dormouse, process};
use tempfile::TempDir;

/// A Dormouse whose master key is in a file.
pub(crate) struct Scene {
    pub(crate) dormouse: Dormouse,
    pub(crate) dir: TempDir,
}

impl Scene {
    /// Starts it with these further lines of `[encryption]`. Databases sleep by order only.
    pub(crate) fn start(encryption: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("master.key");
        let config = format!(
            "[encryption]\nmaster_key_file = '{}'\n{encryption}\
             [defaults]\nidle_suspend = 'never'\nidle_park = 'never'\n[warm_pool]\nsize = 0\n",
            file.display()
        );
        let dormouse = Dormouse::prepare(&config);
        let mut scene = Self { dormouse, dir };
        scene.write_master(&"5a".repeat(32));
        scene.dormouse.up();
        scene
    }

    fn file(&self) -> PathBuf {
        self.dir.path().join("master.key")
    }

    pub(crate) fn master(&self) -> String {
        fs::read_to_string(self.file()).unwrap()
    }

    pub(crate) fn write_master(&self, text: &str) {
        fs::write(self.file(), text).unwrap();
        fs::set_permissions(self.file(), fs::Permissions::from_mode(0o600)).unwrap();
    }

    pub(crate) fn remove_master(&self) {
        fs::remove_file(self.file()).unwrap();
    }

    pub(crate) fn instances(&self) -> PathBuf {
        self.dormouse.data_dir().join("instances")
    }
}

/// Waits until all files of a database are encrypted with the newest key, and it has these keys only.
pub(crate) fn settled(dormouse: &Dormouse, name: &str, versions: &[u32]) {
    process::until("all files have the newest key", || {
        let shown = dormouse.show(name);
        shown["encryption"]["state"] == "encrypted"
            && shown["encryption"]["versions"] == serde_json::json!(versions)
    });
}

/// Kinds of the files of all databases that contain a text, and of deleted files that a database's server has
/// open.
pub(crate) fn files_with(dormouse: &Dormouse, name: &str, text: &str) -> Vec<&'static str> {
    let mut found = Vec::new();
    let mut search = |path: &Path, kind: &'static str| {
        // a file may be gone meanwhile
        if let Ok(bytes) = fs::read(path)
            && memchr::memmem::find(&bytes, text.as_bytes()).is_some()
        {
            found.push(kind);
        }
    };
    let mut dirs = vec![dormouse.data_dir()];
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(&dir).into_iter().flatten().flatten() {
            let path = entry.path();
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => dirs.push(path),
                Ok(kind) if kind.is_file() => search(&path, kind_of(&path)),
                _ => {}
            }
        }
    }
    if let Some(pid) = dormouse.show(name)["pid"].as_u64() {
        let open = fs::read_dir(format!("/proc/{pid}/fd"));
        for entry in open.into_iter().flatten().flatten() {
            let path = entry.path();
            let deleted = fs::read_link(&path)
                .is_ok_and(|target| target.to_string_lossy().ends_with(" (deleted)"));
            if deleted {
                search(&path, "open temporary file");
            }
        }
    }
    found
}

fn kind_of(path: &Path) -> &'static str {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let ending = path.extension().unwrap_or_default().to_string_lossy();
    match (&*name, &*ending) {
        ("ibdata1", _) => "system tablespace",
        ("ib_buffer_pool", _) => "list of hot pages",
        ("ibtmp1", _) => "temporary tablespace",
        ("error.log", _) => "error log",
        _ if name.starts_with("ib_logfile") => "redo log",
        _ if name.starts_with("aria_log") => "aria log",
        _ if name.starts_with("#sql") => "temporary table",
        (_, "ibd") => "table",
        (_, "MAD" | "MAI") => "aria table",
        _ => "another file",
    }
}
