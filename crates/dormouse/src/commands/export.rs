//! `dormouse export`: writes a dump of a database. One that sleeps is not woken: the dump is one of a branch that lives
//! as long as it is made.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::Child;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use dormouse_api::model::Direction;
use dormouse_api::{Client, ErrorBody};
use dormouse_types::{DatabaseName, State};
use flate2::write::GzEncoder;
use serde_json::json;

use super::transfer::Transfer;
use crate::Outcome;
use crate::cli::ExportArgs;
use crate::credentials::{Password, quote};
use crate::import::input::Input;
use crate::import::live::OptionFile;
use crate::import::progress::{Figures, Progress, size};
use crate::output::Output;
use crate::{credentials, up};

mod leftovers;

use leftovers::Leftovers;

/// Bytes copied at once.
const PIECE: usize = 256 << 10;

/// Last line of a complete dump.
const FOOT: &[u8] = b"-- Dump completed";

/// Runs the command.
pub(crate) fn run(data_dir: &Path, args: ExportArgs, output: &Output) -> Outcome {
    let api = up::api_socket(data_dir);
    let client = Client::new(&api);
    let (database, socket) = super::block_on(async {
        let database = client.database(&args.name).await.map_err(super::told)?;
        let status = client.status().await.map_err(super::told)?;
        Ok((database, status.listen.socket))
    })?;
    let password = credentials::password(data_dir, &args.name, &args.user)?;
    let leftovers = Leftovers::watch(api)?;
    let source = match sleeps(database.state) && !args.wake {
        true => leftovers.branch(&database).map_err(|error| {
            let other = "--wake dumps the database itself, which wakes it";
            let hint = error
                .hint
                .as_ref()
                .map_or(other.to_owned(), |hint| format!("{hint}; {other}"));
            ErrorBody::new(
                &error.code,
                format!("no copy to dump from: {}", error.message),
            )
            .with_hint(hint)
        })?,
        false => args.name.clone(),
    };
    let figures = Arc::<Figures>::default();
    let what = match source == args.name {
        true => "of itself, awake".to_owned(),
        false => format!("of its branch {source}"),
    };
    let transfer = Transfer::begin(
        up::api_socket(data_dir),
        &args.name,
        Direction::Export,
        what,
        &figures,
    );
    leftovers.tell(&transfer);
    let reader = Reader::of(
        data_dir, &source, &args.user, &password, &socket, &leftovers,
    );
    let done = reader.and_then(|reader| dump(&reader, &args, &figures, &leftovers, output));
    if let Err(error) = leftovers.end() {
        output.remark(&format!(
            "{}; {}",
            error.message,
            error.hint.unwrap_or_default()
        ));
    }
    let error = done.as_ref().err().map(|error| error.message.as_str());
    if let Err(error) = transfer.end(error) {
        output.remark(&format!("the ledger has no entry of it: {}", error.message));
    }
    let Dumped { schemas, bytes } = done?;
    match &args.output {
        Some(file) => output.result(
            &json!({
                "event": "done", "database": args.name, "schemas": schemas, "bytes": bytes, "file": file,
                "branch": (source != args.name).then_some(&source),
            }),
            |_| format!("exported {} ({}) to {}", args.name, size(bytes), file.display()),
        ),
        None => {
            output.remark(&format!("exported {} ({})", args.name, size(bytes)));
            Ok(())
        }
    }
}

/// Whether a dump of the database itself would wake it.
fn sleeps(state: State) -> bool {
    matches!(
        state,
        State::Suspended | State::Suspending | State::Parked | State::Parking
    )
}

/// What was dumped.
struct Dumped {
    schemas: Vec<String>,
    bytes: u64,
}

fn dump(
    reader: &Reader,
    args: &ExportArgs,
    figures: &Arc<Figures>,
    leftovers: &Leftovers,
    output: &Output,
) -> Outcome<Dumped> {
    let schemas = match args.schema.is_empty() {
        true => reader.options.schemas()?,
        false => args.schema.clone(),
    };
    if schemas.is_empty() {
        let message = format!("{} has no schemas to export", args.name);
        return Err(ErrorBody::new("invalid", message));
    }
    let target = Target::open(args.output.as_deref())?;
    if let Target::File(file) = &target {
        leftovers.file(file.part.clone());
    }
    let progress = match &target {
        // progress as events would stand among the dump
        Target::Stdout(_) if output.is_json() => None,
        _ => Some(Progress::of(figures, output)),
    };
    let copied = copy(reader.dump(&schemas)?, target, figures);
    drop(progress);
    copied?;
    let bytes = figures.bytes.load(Ordering::Relaxed);
    Ok(Dumped { schemas, bytes })
}

/// What a dump is read from: a server, and how the program reaches it.
struct Reader {
    options: OptionFile,
}

impl Reader {
    /// A database, through Dormouse: the one that is exported, or a branch of it, which has its accounts.
    fn of(
        data_dir: &Path,
        database: &DatabaseName,
        user: &str,
        password: &Password,
        socket: &Path,
        leftovers: &Leftovers,
    ) -> Outcome<Self> {
        let text = format!(
            "[client]\nuser={}\npassword={}\nprotocol=socket\nsocket={}\n",
            quote(&format!("{database}.{user}")),
            quote(&password.0),
            quote(&socket.display().to_string())
        );
        let dir = data_dir.join("exports");
        match fs::create_dir(&dir) {
            Err(e) if e.kind() != io::ErrorKind::AlreadyExists => {
                let message = format!("cannot create {}: {e}", dir.display());
                return Err(ErrorBody::new("machine", message));
            }
            _ => {}
        }
        let path = dir.join(format!("{database}.{}", std::process::id()));
        leftovers.file(path.clone());
        Ok(Self {
            options: OptionFile::write(path, &text)?,
        })
    }

    /// Begins the dump.
    fn dump(&self, schemas: &[String]) -> Outcome<Child> {
        self.options.dump(schemas, &[])
    }
}

/// Where a dump goes.
enum Target {
    Stdout(io::Stdout),
    File(Part),
}

/// A file that gets its name when it is complete.
struct Part {
    writer: Writer,
    part: PathBuf,
    path: PathBuf,
}

enum Writer {
    Plain(File),
    Gzip(GzEncoder<File>),
}

impl Target {
    fn open(path: Option<&Path>) -> Outcome<Self> {
        let Some(path) = path else {
            return Ok(Self::Stdout(io::stdout()));
        };
        let mut part = path.as_os_str().to_owned();
        part.push(".part");
        let part = PathBuf::from(part);
        let file = fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&part);
        let file = file.map_err(|e| cannot_write(&part, &e))?;
        let writer = match path.extension().is_some_and(|end| end == "gz") {
            true => Writer::Gzip(GzEncoder::new(file, flate2::Compression::default())),
            false => Writer::Plain(file),
        };
        Ok(Self::File(Part {
            writer,
            part,
            path: path.to_owned(),
        }))
    }

    fn write(&mut self, bytes: &[u8]) -> Outcome {
        match self {
            Self::Stdout(stdout) => stdout
                .write_all(bytes)
                .map_err(|e| ErrorBody::new("machine", format!("cannot write the dump: {e}"))),
            Self::File(part) => match &mut part.writer {
                Writer::Plain(file) => file.write_all(bytes),
                Writer::Gzip(gzip) => gzip.write_all(bytes),
            }
            .map_err(|e| cannot_write(&part.part, &e)),
        }
    }

    /// Completes the file and gives it its name.
    fn finish(self) -> Outcome {
        let part = match self {
            Self::Stdout(mut stdout) => {
                let flushed = stdout.flush();
                return flushed
                    .map_err(|e| ErrorBody::new("machine", format!("cannot write the dump: {e}")));
            }
            Self::File(part) => part,
        };
        let Part { writer, part, path } = part;
        let file = match writer {
            Writer::Plain(file) => Ok(file),
            Writer::Gzip(gzip) => gzip.finish(),
        };
        let done = file
            .and_then(|file| file.sync_all())
            .and_then(|()| fs::rename(&part, &path));
        done.map_err(|e| cannot_write(&path, &e))
    }

    /// Removes a file that is not complete.
    fn discard(self) {
        if let Self::File(part) = self {
            // it is overwritten next time
            let _removed = fs::remove_file(part.part);
        }
    }
}

fn cannot_write(path: &Path, error: &io::Error) -> ErrorBody {
    ErrorBody::new(
        "machine",
        format!("cannot write {}: {error}", path.display()),
    )
}

/// Copies the dump; the file is complete or not there.
fn copy(program: Child, mut target: Target, figures: &Figures) -> Outcome {
    match copy_all(program, &mut target, figures) {
        Ok(()) => target.finish(),
        Err(error) => {
            target.discard();
            Err(error)
        }
    }
}

fn copy_all(program: Child, target: &mut Target, figures: &Figures) -> Outcome {
    let failed = |e: io::Error| {
        ErrorBody::new("refused", format!("the dump failed: {e}"))
            .with_hint("the message of the program stands above")
    };
    let mut input = Input::program(program, "mariadb-dump", None, None).map_err(failed)?;
    let (mut piece, mut tail) = (Vec::new(), Vec::new());
    loop {
        input.read(&mut piece, PIECE).map_err(failed)?;
        if piece.is_empty() {
            break;
        }
        target.write(&piece)?;
        figures
            .bytes
            .fetch_add(piece.len() as u64, Ordering::Relaxed);
        let from = piece.len().saturating_sub(200);
        tail.extend_from_slice(piece.get(from..).unwrap_or_default());
        tail.drain(..tail.len().saturating_sub(200));
    }
    if memchr::memmem::find(&tail, FOOT).is_none() {
        let message = "the dump is not complete: its last line is missing";
        return Err(ErrorBody::new("machine", message));
    }
    Ok(())
}
