use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use super::*;

#[test]
fn a_tool_of_another_version_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (first, second) = (dir.path().join("1"), dir.path().join("2"));
    let dirs = [first.clone(), second.clone()];
    let wanted = Version::from_text("10.11.19-MariaDB-0+deb12u1").unwrap();
    let install = |dir: &Path, version: &str| {
        fs::create_dir(dir).unwrap();
        let text = format!(
            "#!/bin/sh\necho \"$0 based on MariaDB server {version}-MariaDB debian-linux-gnu (x86_64)\"\n"
        );
        let program = dir.join(NAME);
        fs::write(&program, text).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    };
    let told = |found: Result<BackupTool, NoBackupTool>| found.unwrap_err().to_string();
    let missing = told(BackupTool::find_in(&dirs, &wanted));
    assert_eq!(
        missing,
        "mariadb-backup is not installed: install the Debian package mariadb-backup of version 10.11.19"
    );
    install(&first, "11.8.9");
    let other = told(BackupTool::find_in(&dirs, &wanted));
    assert!(
        other.contains("has version 11.8.9, and the server 10.11.19"),
        "{other}"
    );
    install(&second, "10.11.19");
    let found = BackupTool::find_in(&dirs, &wanted).unwrap();
    assert_eq!(found.program, second.join(NAME));
}

#[test]
fn the_reason_of_a_failure_is_read_from_the_output() {
    let other = |text: &str| Failure::Other(text.to_owned());
    for (output, expected) in [
        ("", other("it printed nothing")),
        (
            "[00] 2026-11-29 22:40:50 Retrying read of log at LSN=1748398419\n\
             [00] 2026-11-29 22:40:50 Was only able to copy log from 1741367425 to 1748398419, not 1824889008\n",
            Failure::Overrun,
        ),
        (
            "[01] 2026-11-29 22:40:50 Database page corruption detected at page 4, retrying...\n\
             [00] FATAL ERROR: 2026-11-29 22:40:51 Error: failed to read page after 10 retries. \
             File ./app/plain.ibd seems to be corrupted.\n",
            Failure::Damaged {
                file: "app/plain.ibd".to_owned(),
                page: 4,
            },
        ),
        (
            "[00] 2026-11-29 22:40:50 >> log scanned up to (1748398419)\n\
             [00] 2026-11-29 22:40:50 Error writing file 'x' (Errcode: 28 \"No space left on device\")\n\
             2026-11-29 22:40:50 0 [Note] InnoDB: Starting shutdown...\n",
            other("Error writing file 'x' (Errcode: 28 \"No space left on device\")"),
        ),
    ] {
        assert_eq!(failure(output), expected, "{output}");
    }
}
