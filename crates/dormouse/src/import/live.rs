//! Another server, as a source: how it is reached, and the programs that read it.
//!
//! Passwords are never arguments of a program, which every user of the machine can read, but stand in an option file that
//! only its owner can read and that is removed at the end.

use std::fs;
use std::io::{self, Read as _, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use dormouse_api::ErrorBody;

use super::classify::is_reserved;
use super::until::Until;
use crate::Outcome;
use crate::credentials::quote;

/// Names of the program that dumps, the newer one first.
const DUMP: [&str; 2] = ["mariadb-dump", "mysqldump"];
/// Names of the client program.
const CLIENT: [&str; 2] = ["mariadb", "mysql"];

/// Time limit for the answer to a query.
const ANSWER: Duration = Duration::from_secs(60);

/// Variable with the password of the other server, if it is not in the URL.
pub(crate) const PASSWORD: &str = "DORMOUSE_FROM_PASSWORD";

/// What a consistent dump needs.
const CONSISTENT: [&str; 9] = [
    "--single-transaction",
    "--skip-lock-tables",
    "--quick",
    "--routines",
    "--triggers",
    "--events",
    "--hex-blob",
    "--default-character-set=utf8mb4",
    "--max-allowed-packet=1G",
];

/// `mysql://user:password@host:port/schema?option=value`
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Address {
    pub(crate) user: String,
    pub(crate) password: Option<String>,
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) socket: Option<String>,
    pub(crate) ssl_ca: Option<String>,
    /// The only schema; without it, all of the user's.
    pub(crate) schema: Option<String>,
}

impl std::fmt::Debug for Address {
    /// Omits the password.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Address")
            .field("host", &self.host)
            .finish_non_exhaustive()
    }
}

impl std::str::FromStr for Address {
    type Err = String;

    fn from_str(url: &str) -> Result<Self, String> {
        const FORM: &str = "write mysql://USER:PASSWORD@HOST:PORT/SCHEMA; password, port and schema may be left out";
        let rest = url
            .strip_prefix("mysql://")
            .or_else(|| url.strip_prefix("mariadb://"));
        let rest = rest.ok_or(FORM)?;
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, schema) = rest.split_once('/').unwrap_or((rest, ""));
        let (login, host) = authority.rsplit_once('@').ok_or(FORM)?;
        let (user, password) = match login.split_once(':') {
            Some((user, password)) => (user, Some(decoded(password)?)),
            None => (login, None),
        };
        let (host, port) = match host.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (
                host,
                port.parse()
                    .map_err(|_| format!("'{port}' is not a port"))?,
            ),
            _ => (host, 3306),
        };
        if user.is_empty() || host.is_empty() {
            return Err(FORM.to_owned());
        }
        let mut address = Self {
            user: decoded(user)?,
            password,
            host: host.trim_matches(['[', ']']).to_owned(),
            port,
            socket: None,
            ssl_ca: None,
            schema: Some(decoded(schema)?).filter(|schema| !schema.is_empty()),
        };
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            match key {
                "socket" => address.socket = Some(decoded(value)?),
                "ssl-ca" => address.ssl_ca = Some(decoded(value)?),
                _ => {
                    return Err(format!(
                        "'{key}' is not an option: there are socket and ssl-ca"
                    ));
                }
            }
        }
        Ok(address)
    }
}

impl Address {
    /// The server and the schema, without user and password.
    pub(crate) fn shown(&self) -> String {
        let server = match &self.socket {
            Some(socket) => socket.clone(),
            None => format!("{}:{}", self.host, self.port),
        };
        match &self.schema {
            Some(schema) => format!("{server}/{schema}"),
            None => server,
        }
    }
}

/// Decodes `%2f`.
fn decoded(text: &str) -> Result<String, String> {
    let mut out = Vec::new();
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            out.push(byte);
            continue;
        }
        let hex: Vec<u8> = bytes.by_ref().take(2).collect();
        let hex = std::str::from_utf8(&hex).unwrap_or_default();
        let byte = u8::from_str_radix(hex, 16);
        out.push(byte.map_err(|_| format!("'%{hex}' is not a byte in a URL: write % as %25"))?);
    }
    String::from_utf8(out).map_err(|_| "the URL is not UTF-8".to_owned())
}

/// How the programs reach a server: an option file, removed when this is dropped.
#[derive(Debug)]
pub(crate) struct OptionFile {
    path: PathBuf,
}

impl OptionFile {
    /// Writes the options of another server.
    ///
    /// # Errors
    /// The file cannot be written.
    pub(crate) fn of(address: &Address, path: PathBuf) -> Outcome<Self> {
        let mut text = format!("[client]\nuser={}\n", quote(&address.user));
        let from_environment = std::env::var(PASSWORD).ok();
        if let Some(password) = address.password.clone().or(from_environment) {
            text.push_str(&format!("password={}\n", quote(&password)));
        }
        match &address.socket {
            Some(socket) => text.push_str(&format!("protocol=socket\nsocket={}\n", quote(socket))),
            None => text.push_str(&format!(
                "protocol=tcp\nhost={}\nport={}\n",
                quote(&address.host),
                address.port
            )),
        }
        if let Some(ca) = &address.ssl_ca {
            text.push_str(&format!("ssl-ca={}\nssl-verify-server-cert\n", quote(ca)));
        }
        Self::write(path, &text)
    }

    /// Writes options of its own.
    ///
    /// # Errors
    /// The file cannot be written.
    pub(crate) fn write(path: PathBuf, text: &str) -> Outcome<Self> {
        let write = || -> io::Result<()> {
            // what is left of an earlier run is replaced, whoever may read it
            match fs::remove_file(&path) {
                Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
                _ => {}
            }
            let mut file = fs::OpenOptions::new()
                .write(true)
                .create_new(true)
                .mode(0o600)
                .open(&path)?;
            file.write_all(text.as_bytes())
        };
        let failed = |e| {
            let message = format!("cannot write {}: {e}", path.display());
            ErrorBody::new("machine", message)
        };
        write().map_err(failed)?;
        Ok(Self { path })
    }

    /// A program with these options as its first argument.
    fn program(&self, name: &str) -> Command {
        let mut program = Command::new(name);
        let mut option = std::ffi::OsString::from("--defaults-file=");
        option.push(&self.path);
        program.arg(option).env_remove("MYSQL_PWD");
        program.stdin(Stdio::null());
        program
    }

    /// Begins a consistent dump of schemas.
    ///
    /// # Errors
    /// The program is not installed.
    pub(crate) fn dump(&self, schemas: &[String], more: &[&str]) -> Outcome<std::process::Child> {
        for name in DUMP {
            let mut program = self.program(name);
            program
                .args(CONSISTENT)
                .args(more)
                .arg("--databases")
                .arg("--");
            program.args(schemas).stdout(Stdio::piped());
            match program.spawn() {
                Err(e) if e.kind() == io::ErrorKind::NotFound => {}
                Err(e) => {
                    let message = format!("cannot run {name}: {e}");
                    return Err(ErrorBody::new("machine", message));
                }
                Ok(child) => return Ok(child),
            }
        }
        Err(missing("mariadb-dump"))
    }

    /// The rows of a query.
    ///
    /// # Errors
    /// The program is not installed, or the server refused the login or the query.
    pub(crate) fn query(&self, sql: &str) -> Outcome<Vec<Vec<String>>> {
        for name in CLIENT {
            let mut program = self.program(name);
            program.args([
                "--batch",
                "--skip-column-names",
                "--default-character-set=utf8mb4",
                "-e",
                sql,
            ]);
            match output(program) {
                Err(e) if e.kind() == io::ErrorKind::NotFound => {}
                Err(e) => {
                    let message = format!("cannot run {name}: {e}");
                    return Err(ErrorBody::new("machine", message));
                }
                Ok(output) => return rows(&output),
            }
        }
        Err(missing("mariadb"))
    }

    /// The schemas of the server that are not its own.
    ///
    /// # Errors
    /// As those of [`query`](Self::query).
    pub(crate) fn schemas(&self) -> Outcome<Vec<String>> {
        let all = self.query("SHOW DATABASES")?;
        let names = all.into_iter().filter_map(|row| row.into_iter().next());
        Ok(names.filter(|name| !is_reserved(name)).collect())
    }
}

impl Drop for OptionFile {
    fn drop(&mut self) {
        // a later run replaces it
        let _removed = fs::remove_file(&self.path);
    }
}

fn missing(program: &str) -> ErrorBody {
    let message = format!("the program {program} is not installed");
    ErrorBody::new("machine", message)
        .with_hint("install it (Debian and Ubuntu: apt install mariadb-client)")
}

/// What a program answers, which must be soon.
fn output(mut program: Command) -> io::Result<Output> {
    program.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = program.spawn()?;
    let mut text = Vec::new();
    if let Some(pipe) = child.stdout.take()
        && let Err(error) = Until::new(pipe, Instant::now() + ANSWER).read_to_end(&mut text)
    {
        let _ended = child.kill();
        let _status = child.wait();
        return Err(error);
    }
    let mut output = child.wait_with_output()?;
    output.stdout = text;
    Ok(output)
}

fn rows(output: &Output) -> Outcome<Vec<Vec<String>>> {
    if !output.status.success() {
        let error = String::from_utf8_lossy(&output.stderr);
        let message = format!("the other server refused: {}", error.trim());
        return Err(ErrorBody::new("refused", message));
    }
    let text = String::from_utf8_lossy(&output.stdout);
    let row = |line: &str| line.split('\t').map(unescaped).collect();
    Ok(text.lines().map(row).collect())
}

/// Undoes the escapes of `--batch`.
fn unescaped(field: &str) -> String {
    let mut out = String::new();
    let mut chars = field.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some('n') => out.push('\n'),
                Some('t') => out.push('\t'),
                Some('0') => out.push('\0'),
                Some(other) => out.push(other),
                None => out.push('\\'),
            },
            _ => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_url() {
        let address: Address = "mysql://a%40b:p%3aw@db.example.org:3307/shop?ssl-ca=/x%20y"
            .parse()
            .unwrap();
        assert_eq!(address.user, "a@b");
        assert_eq!(address.password.as_deref(), Some("p:w"));
        assert_eq!(
            (address.host.as_str(), address.port),
            ("db.example.org", 3307)
        );
        assert_eq!(address.schema.as_deref(), Some("shop"));
        assert_eq!(address.ssl_ca.as_deref(), Some("/x y"));
        let address: Address = "mysql://root@[::1]".parse().unwrap();
        assert_eq!((address.host.as_str(), address.port), ("::1", 3306));
        assert_eq!((address.password, address.schema), (None, None));
        let address: Address = "mysql://root@localhost/?socket=/run/s".parse().unwrap();
        assert_eq!(address.socket.as_deref(), Some("/run/s"));
        for wrong in [
            "host",
            "http://u@h",
            "mysql://h",
            "mysql://u@h:x",
            "mysql://u@h/?y=1",
            "mysql://%zz@h",
        ] {
            wrong.parse::<Address>().unwrap_err();
        }
    }

    #[test]
    fn the_password_is_in_a_file_that_only_its_owner_reads() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("options");
        fs::write(&path, "older").unwrap();
        let address = "mysql://u:p%20w@h".parse().unwrap();
        let file = OptionFile::of(&address, path.clone()).unwrap();
        let text = fs::read_to_string(&path).unwrap();
        assert_eq!(
            text,
            "[client]\nuser=u\npassword=\"p w\"\nprotocol=tcp\nhost=h\nport=3306\n"
        );
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
        drop(file);
        assert!(!path.exists());
    }

    #[test]
    fn fields_of_a_batch_are_unescaped() {
        assert_eq!(unescaped(r"a\tb\\n\n"), "a\tb\\n\n");
    }
}
