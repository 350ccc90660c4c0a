//! `dormouse connect`: executes the mariadb client.

use std::ffi::OsString;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::Path;

use dormouse_api::model::OWNER;
use dormouse_api::{Client, ErrorBody};

use crate::Outcome;
use crate::cli::ConnectArgs;
use crate::{credentials, up};

/// Names of the client program, the newer one first.
const PROGRAMS: [&str; 2] = ["mariadb", "mysql"];

/// Replaces this process with the client; returns only if that fails.
pub(crate) fn run(data_dir: &Path, args: ConnectArgs) -> Outcome {
    let api = Client::new(&up::api_socket(data_dir));
    let status = super::block_on(async {
        api.database(&args.name).await.map_err(super::told)?;
        api.status().await.map_err(super::told)
    })?;
    let saved = credentials::path(data_dir, &args.name);
    let way = way_in(
        &args,
        std::env::var_os("MYSQL_PWD").is_some(),
        saved.is_file(),
    );
    let arguments = arguments(&args, way, &saved, &status.listen.socket);
    for program in PROGRAMS {
        let error = std::process::Command::new(program).args(&arguments).exec();
        if error.kind() != io::ErrorKind::NotFound {
            let message = format!("cannot run the client program {program}: {error}");
            return Err(ErrorBody::new("machine", message));
        }
    }
    Err(
        ErrorBody::new("machine", "the mariadb client program is not installed")
            .with_hint("install it (Debian and Ubuntu: apt install mariadb-client)"),
    )
}

/// Source of the password.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum WayIn {
    /// The environment or the caller's own arguments.
    Given,
    /// The file that `dormouse create` has saved.
    Saved,
    /// The client asks for it.
    Ask,
}

fn way_in(args: &ConnectArgs, in_environment: bool, saved: bool) -> WayIn {
    let is_password = |arg: &OsString| {
        let arg = arg.to_string_lossy();
        arg.starts_with("-p") || arg.starts_with("--password") || arg.starts_with("--defaults")
    };
    if in_environment || args.args.iter().any(is_password) {
        WayIn::Given
    } else if saved && args.user == OWNER {
        WayIn::Saved
    } else {
        WayIn::Ask
    }
}

/// The client's arguments; without the password, because every user can read them.
fn arguments(args: &ConnectArgs, way: WayIn, saved: &Path, socket: &Path) -> Vec<OsString> {
    let option = |name: &str, value: &Path| {
        let mut option = OsString::from(name);
        option.push(value);
        option
    };
    // the option for the file must be the first one; the caller's own replaces it
    let (first, rest): (Vec<_>, Vec<_>) = args
        .args
        .iter()
        .cloned()
        .partition(|arg| arg.to_string_lossy().starts_with("--defaults"));
    let mut all = first;
    if way == WayIn::Saved {
        all.push(option("--defaults-file=", saved));
    }
    all.push(option("--socket=", socket));
    all.push("--protocol=socket".into());
    all.push(format!("--user={}.{}", args.name, args.user).into());
    if way == WayIn::Ask {
        all.push("--password".into());
    }
    all.extend(rest);
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(user: &str, rest: &[&str]) -> ConnectArgs {
        ConnectArgs {
            name: "shop".parse().unwrap(),
            user: user.to_owned(),
            args: rest.iter().map(OsString::from).collect(),
        }
    }

    fn line(args: &ConnectArgs, environment: bool, saved: bool) -> String {
        let way = way_in(args, environment, saved);
        let all = arguments(args, way, Path::new("/c/shop"), Path::new("/d.sock"));
        all.iter()
            .map(|a| a.to_string_lossy())
            .collect::<Vec<_>>()
            .join(" ")
    }

    const BASE: &str = "--socket=/d.sock --protocol=socket --user=shop.admin";

    #[test]
    fn the_saved_password_is_used_from_its_file() {
        let expected = format!("--defaults-file=/c/shop {BASE} -e x");
        assert_eq!(line(&args("admin", &["-e", "x"]), false, true), expected);
    }

    #[test]
    fn the_environment_and_the_callers_arguments_override_the_saved_password() {
        assert_eq!(line(&args("admin", &[]), true, true), BASE);
        assert_eq!(
            line(&args("admin", &["-psecret"]), false, true),
            format!("{BASE} -psecret")
        );
    }

    #[test]
    fn without_a_password_the_client_asks() {
        assert_eq!(
            line(&args("admin", &[]), false, false),
            format!("{BASE} --password")
        );
    }

    #[test]
    fn the_saved_password_is_used_for_the_admin_account_only() {
        let expected = "--socket=/d.sock --protocol=socket --user=shop.app --password";
        assert_eq!(line(&args("app", &[]), false, true), expected);
    }

    #[test]
    fn an_option_file_of_the_callers_own_comes_first() {
        let own = args("admin", &["-t", "--defaults-file=/my"]);
        assert_eq!(
            line(&own, false, true),
            format!("--defaults-file=/my {BASE} -t")
        );
    }
}
