use std::collections::HashSet;
use std::os::unix::fs::PermissionsExt as _;

use super::*;

#[test]
fn a_secret_is_created_once_and_readable_by_its_owner_only() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("secret");
    let made = Secret::load_or_create(&path).unwrap();
    assert_eq!(Secret::load_or_create(&path).unwrap(), made);
    assert_eq!(
        fs::metadata(&path).unwrap().permissions().mode() & 0o777,
        0o600
    );
    assert_ne!(
        Secret::load_or_create(&dir.path().join("other")).unwrap(),
        made
    );
}

#[test]
fn a_damaged_secret_is_refused_and_kept() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("secret");
    for bad in [&b""[..], b"xyz", &[b'g'; 64], &[b'0'; 63], &[0xff; 64]] {
        fs::write(&path, bad).unwrap();
        assert!(matches!(
            Secret::load_or_create(&path),
            Err(EngineError::BadSecret { .. })
        ));
        assert_eq!(fs::read(&path).unwrap(), bad);
    }
}

#[test]
fn every_account_of_every_instance_has_another_password() {
    let (a, b) = (Secret::new([1; 32]), Secret::new([2; 32]));
    let mut seen = HashSet::from([a.admin_stage1(), b.admin_stage1()]);
    for secret in [&a, &b] {
        for instance in [InstanceId(1), InstanceId(256)] {
            for user in ["", "app", "App", "app\0"] {
                for host in ["", "%", "localhost", "\0%"] {
                    assert!(
                        seen.insert(secret.account_stage1(instance, user, host)),
                        "{instance} {user:?} {host:?}"
                    );
                }
            }
        }
    }
    assert_eq!(
        a.account_stage1(InstanceId(1), "app", "%"),
        a.account_stage1(InstanceId(1), "app", "%")
    );
}

#[test]
fn a_secret_is_not_printed() {
    assert_eq!(format!("{:?}", Secret::new([7; 32])), "Secret(..)");
}
