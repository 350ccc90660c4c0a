//! Passwords that `dormouse create` saves for `dormouse connect`: `DATA_DIR/credentials/NAME`, an
//! option file of the mariadb client (`--defaults-file`), readable only by its owner. `dormouse up`
//! never reads these files; it stores hashes only.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use dormouse_api::ErrorBody;
use dormouse_api::model::{Created, OWNER};
use dormouse_types::DatabaseName;

use crate::Outcome;
use crate::private_file;

/// Path of a database's saved password.
pub(crate) fn path(data_dir: &Path, name: &DatabaseName) -> PathBuf {
    data_dir.join("credentials").join(name.as_str())
}

/// Saves the login data, replacing an older file.
pub(crate) fn save(data_dir: &Path, created: &Created) -> Outcome<PathBuf> {
    let path = path(data_dir, &created.name);
    // a database's name contains no dot
    private_file::write(&path, option_file(created).as_bytes()).map_err(|e| {
        let message = format!(
            "{} was created, but its password could not be saved in {}: {e}",
            created.name,
            path.display()
        );
        ErrorBody::new("machine", message)
            .with_hint(format!("save it yourself: {}", created.password))
    })?;
    Ok(path)
}

/// Saves the login data of a branch, which has the password of its parent, if that is saved; returns whether it is.
pub(crate) fn copy(
    data_dir: &Path,
    parent: &DatabaseName,
    branch: &DatabaseName,
    user: &str,
) -> Outcome<bool> {
    let target = path(data_dir, branch);
    let failed = |e: io::Error| {
        let message = format!(
            "{branch} was made, but the password of {parent} could not be saved for it in {}: {e}",
            target.display()
        );
        ErrorBody::new("machine", message)
    };
    let text = match fs::read_to_string(path(data_dir, parent)) {
        Ok(text) => text,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(e) => return Err(failed(e)),
    };
    let user = format!("user={}", quote(user));
    let line = |line: &str| match line.starts_with("user=") {
        true => format!("{user}\n"),
        false => format!("{line}\n"),
    };
    let text: String = text.lines().map(line).collect();
    private_file::write(&target, text.as_bytes()).map_err(failed)?;
    Ok(true)
}

/// A password, which is not shown.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Password(pub(crate) String);

impl std::fmt::Debug for Password {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Password")
    }
}

/// The password of a login without a terminal: `$MYSQL_PWD`, or the one that was saved for the owner.
///
/// # Errors
/// There is none, or the file cannot be read.
pub(crate) fn password(data_dir: &Path, name: &DatabaseName, user: &str) -> Outcome<Password> {
    if let Ok(password) = std::env::var("MYSQL_PWD") {
        return Ok(Password(password));
    }
    let path = path(data_dir, name);
    if user != OWNER || !path.is_file() {
        let message = format!("there is no password for {name}.{user}");
        let hint = "put it into the variable MYSQL_PWD; `dormouse create` saves that of admin";
        return Err(ErrorBody::new("invalid", message).with_hint(hint));
    }
    let text = fs::read_to_string(&path).map_err(|e| {
        let message = format!("cannot read the saved password {}: {e}", path.display());
        ErrorBody::new("machine", message)
    })?;
    let line = text.lines().find_map(|line| line.strip_prefix("password="));
    Ok(Password(unquoted(line.unwrap_or_default())))
}

/// Undoes [`quote`].
fn unquoted(value: &str) -> String {
    let inside = value
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'));
    match inside {
        Some(inside) => inside.replace("\\\"", "\"").replace(r"\\", "\\"),
        None => value.to_owned(),
    }
}

/// Removes the saved password of a dropped database, if there is one.
pub(crate) fn forget(data_dir: &Path, name: &DatabaseName) -> io::Result<()> {
    match fs::remove_file(path(data_dir, name)) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        done => done,
    }
}

fn option_file(created: &Created) -> String {
    let (user, password) = (quote(&created.user), quote(&created.password));
    let socket = quote(&created.socket.display().to_string());
    format!("[client]\nuser={user}\npassword={password}\nsocket={socket}\n")
}

/// Quotes a value if an option file would parse it differently
/// (<https://mariadb.com/kb/en/configuring-mariadb-with-option-files/>).
pub(crate) fn quote(value: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~/:@%+=,".contains(&b);
    if !value.is_empty() && value.bytes().all(plain) {
        return value.to_owned();
    }
    format!("\"{}\"", value.replace('\\', r"\\").replace('"', "\\\""))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn created(password: &str) -> Created {
        Created {
            name: "shop".parse().unwrap(),
            user: "shop.admin".to_owned(),
            password: password.to_owned(),
            host: None,
            port: None,
            socket: "/run/d.sock".into(),
            url: String::new(),
            command: String::new(),
        }
    }

    #[test]
    fn a_password_is_saved_for_its_owner_only_and_removed() {
        let dir = tempfile::tempdir().unwrap();
        let name = created("").name;
        save(dir.path(), &created("first")).unwrap();
        let path = save(dir.path(), &created("s3cret")).unwrap();
        let text = fs::read_to_string(&path).unwrap();
        assert_eq!(
            text,
            "[client]\nuser=shop.admin\npassword=s3cret\nsocket=/run/d.sock\n"
        );
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
        let parent = path.parent().unwrap();
        assert_eq!(
            fs::metadata(parent).unwrap().permissions().mode() & 0o777,
            0o700
        );
        forget(dir.path(), &name).unwrap();
        assert_eq!(fs::read_dir(parent).unwrap().count(), 0);
        forget(dir.path(), &name).unwrap();
    }

    #[test]
    fn a_password_that_cannot_be_saved_is_in_the_error() {
        let error = save(Path::new("/dev/null"), &created("s3cret")).unwrap_err();
        assert!(error.message.contains("was created"), "{}", error.message);
        assert!(error.hint.unwrap().contains("s3cret"));
    }

    #[test]
    fn special_values_are_quoted() {
        assert_eq!(quote("a b#c"), "\"a b#c\"");
        assert_eq!(quote(r#"a"b\c"#), r#""a\"b\\c""#);
        for value in ["plain", "a b#c", r#"a"b\c"#, r#"\""#, ""] {
            assert_eq!(unquoted(&quote(value)), value);
        }
    }
}
