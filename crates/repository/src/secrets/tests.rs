use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use super::*;

fn read(text: &str, mode: u32) -> Result<Secrets, String> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("credentials");
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    Secrets::read(Some(&path))
}

#[test]
fn a_file_has_the_variables_of_restic() {
    let text = "# S3\nexport AWS_ACCESS_KEY_ID=id\nAWS_SECRET_ACCESS_KEY = \"a=b\"\n\nAWS_SESSION_TOKEN=\n";
    let secrets = read(text, 0o600).unwrap();
    let get = |name| secrets.get(name).map(|value| value.to_string());
    assert_eq!(get("AWS_ACCESS_KEY_ID").as_deref(), Some("id"));
    assert_eq!(get("AWS_SECRET_ACCESS_KEY").as_deref(), Some("a=b"));
    assert_eq!(get("AWS_SESSION_TOKEN"), None);
    // not from the environment
    assert_eq!(get("PATH"), None);
}

#[test]
fn a_file_that_others_can_read_or_that_has_another_line_is_refused_without_showing_it() {
    let open = read("AWS_ACCESS_KEY_ID=sesame", 0o640).err().unwrap();
    assert!(open.contains("chmod 600"), "{open}");
    for text in [
        "\nsesame",
        "\nAWS_SESAME=sesame",
        "\nAWS_ACCESS_KEY_ID sesame",
    ] {
        let wrong = read(text, 0o600).err().unwrap();
        assert!(
            wrong.contains("line 2") && !wrong.contains("sesame"),
            "{wrong}"
        );
    }
    let missing = Secrets::read(Some(Path::new("/nowhere"))).err().unwrap();
    assert!(missing.contains("/nowhere"), "{missing}");
}
