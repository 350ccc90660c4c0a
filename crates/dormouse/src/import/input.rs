//! Where statements come from: a file, standard input, a directory of mydumper's, or a program's output.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use dormouse_api::ErrorBody;

use super::until::Until;
use crate::Outcome;

/// First bytes of the compressed formats.
const GZIP: [u8; 2] = [0x1f, 0x8b];
const ZSTD: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// One file of a dump.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Part {
    /// Its name in messages and in the checkpoint.
    pub(crate) name: String,
    /// Its path; `None` is standard input.
    pub(crate) path: Option<PathBuf>,
    /// The schema that its statements are for, if the file does not say so itself.
    pub(crate) schema: Option<String>,
    /// What ends a statement at its beginning.
    pub(crate) delimiter: &'static [u8],
    /// Its size as it is stored; 0 if unknown.
    pub(crate) size: u64,
}

/// The parts of a dump in the order in which they are run.
///
/// # Errors
/// There is no such file, or the directory is not one of mydumper's.
pub(crate) fn parts(dump: &Path, schema: Option<&str>) -> Outcome<Vec<Part>> {
    if dump == Path::new("-") {
        return Ok(vec![Part {
            name: "standard input".to_owned(),
            path: None,
            schema: schema.map(str::to_owned),
            delimiter: b";",
            size: 0,
        }]);
    }
    let failed = |e: io::Error| {
        let message = format!("cannot read the dump {}: {e}", dump.display());
        ErrorBody::new("machine", message)
    };
    let about = std::fs::metadata(dump).map_err(failed)?;
    if !about.is_dir() {
        return Ok(vec![Part {
            name: dump.display().to_string(),
            path: Some(dump.to_owned()),
            schema: schema.map(str::to_owned),
            delimiter: b";",
            size: about.len(),
        }]);
    }
    let mut names = Vec::new();
    for entry in std::fs::read_dir(dump).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        if let Ok(name) = entry.file_name().into_string() {
            names.push((name, entry.metadata().map_err(failed)?.len()));
        }
    }
    if names.iter().any(|(name, _)| name == "metadata.partial") {
        let message = format!("the dump {} is not complete", dump.display());
        let hint = "mydumper was interrupted: it left metadata.partial. Dump again";
        return Err(ErrorBody::new("invalid", message).with_hint(hint));
    }
    let mut files: Vec<_> = names
        .iter()
        .filter_map(|(name, size)| Some((place(name)?, name, *size)))
        .collect();
    files.sort();
    if files.is_empty() {
        let message = format!("the directory {} has no dump in it", dump.display());
        let hint =
            "a dump of mydumper has files such as SCHEMA-schema-create.sql and SCHEMA.TABLE.sql";
        return Err(ErrorBody::new("invalid", message).with_hint(hint));
    }
    let part = |(place, name, size): (Place, &String, u64)| Part {
        name: dump.join(name).display().to_string(),
        path: Some(dump.join(name)),
        // the file that makes the schema is run without one
        schema: (place.step != Step::Schema).then_some(place.schema),
        // mydumper writes no DELIMITER: a blank follows the `;` of the lines within a routine
        delimiter: match place.step {
            Step::Triggers | Step::Post => b";\n",
            Step::Schema | Step::Table | Step::View => b";",
        },
        size,
    };
    Ok(files.into_iter().map(part).collect())
}

/// What a file of mydumper's has, in the order in which it is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Step {
    /// `SCHEMA-schema-create.sql`
    Schema,
    /// `SCHEMA.TABLE-schema.sql`, then `SCHEMA.TABLE.sql` or `SCHEMA.TABLE.00001.sql`
    Table,
    /// `SCHEMA.TABLE-schema-triggers.sql`
    Triggers,
    /// `SCHEMA-schema-post.sql`: routines and events; views may call routines
    Post,
    /// `SCHEMA.VIEW-schema-view.sql`
    View,
}

/// Where a file of mydumper's stands in the order.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    step: Step,
    schema: String,
    table: String,
    /// The table's definition comes first.
    rows: bool,
    chunk: String,
}

/// The place of a file of mydumper's; `None` if it is not run.
fn place(file: &str) -> Option<Place> {
    let plain = [".gz", ".zst"]
        .iter()
        .find_map(|end| file.strip_suffix(end));
    let name = plain.unwrap_or(file).strip_suffix(".sql")?;
    let place = |step, name: &str, rows, chunk: &str| {
        let (schema, table) = name.split_once('.').unwrap_or((name, ""));
        Some(Place {
            step,
            schema: unescaped(schema),
            table: unescaped(table),
            rows,
            chunk: chunk.to_owned(),
        })
    };
    let ends = [
        ("-schema-create", Step::Schema),
        ("-schema-triggers", Step::Triggers),
        ("-schema-view", Step::View),
        ("-schema-post", Step::Post),
        ("-schema", Step::Table),
    ];
    for (end, step) in ends {
        if let Some(name) = name.strip_suffix(end) {
            return place(step, name, false, "");
        }
    }
    let (schema, rest) = name.split_once('.')?;
    let (table, chunk) = rest.split_once('.').unwrap_or((rest, ""));
    place(Step::Table, &format!("{schema}.{table}"), true, chunk)
}

/// A name as mydumper writes it into a file's name: `@002e` for a dot, as the server does.
fn unescaped(name: &str) -> String {
    let mut out = String::new();
    let mut rest = name;
    while let Some((before, behind)) = rest.split_once('@') {
        out.push_str(before);
        let code = behind
            .get(..4)
            .and_then(|hex| u32::from_str_radix(hex, 16).ok());
        match code.and_then(char::from_u32) {
            Some(c) => {
                out.push(c);
                rest = behind.get(4..).unwrap_or_default();
            }
            None => {
                out.push('@');
                rest = behind;
            }
        }
    }
    out + rest
}

/// The text of a part, decompressed.
pub(crate) struct Input {
    reader: Box<dyn Read>,
    /// The file itself, which tells how much of it was read.
    file: Option<File>,
    /// A program that makes the text.
    child: Option<(Child, &'static str)>,
    read: u64,
}

impl Input {
    /// Opens a part.
    ///
    /// # Errors
    /// It cannot be read.
    pub(crate) fn open(part: &Part) -> Outcome<Self> {
        let failed = |e: io::Error| unreadable(&part.name, &e);
        let Some(path) = &part.path else {
            let (head, reader) = peek(io::stdin()).map_err(failed)?;
            return Self::of(&head, reader, None).map_err(failed);
        };
        let mut file = File::open(path).map_err(failed)?;
        let mut head = [0; 4];
        let length = read_head(&mut file, &mut head).map_err(failed)?;
        file.rewind().map_err(failed)?;
        let head = head.get(..length).unwrap_or_default();
        if head == ZSTD {
            return Self::zstd(file).map_err(failed);
        }
        let again = file.try_clone().map_err(failed)?;
        Self::of(head, file, Some(again)).map_err(failed)
    }

    fn of(head: &[u8], reader: impl Read + 'static, file: Option<File>) -> io::Result<Self> {
        if head.starts_with(&ZSTD) {
            let hint =
                "zstd is read from files only: zstd -dc FILE | dormouse import NAME --dump -";
            return Err(io::Error::other(hint));
        }
        let reader: Box<dyn Read> = match head.starts_with(&GZIP) {
            true => Box::new(flate2::read::MultiGzDecoder::new(BufReader::new(reader))),
            false => Box::new(reader),
        };
        Ok(Self {
            reader,
            file,
            child: None,
            read: 0,
        })
    }

    /// Decompresses with the program `zstd`.
    fn zstd(file: File) -> io::Result<Self> {
        let again = file.try_clone()?;
        let mut program = Command::new("zstd");
        program.arg("-dcq").stdin(file).stdout(Stdio::piped());
        let child = program.spawn().map_err(|e| match e.kind() {
            io::ErrorKind::NotFound => io::Error::other(
                "the program zstd is not installed (Debian and Ubuntu: apt install zstd)",
            ),
            _ => e,
        })?;
        Self::program(child, "zstd", Some(again), None)
    }

    /// The output of a program, which is read until a deadline, if there is one.
    ///
    /// # Errors
    /// Its output is not piped.
    pub(crate) fn program(
        mut child: Child,
        name: &'static str,
        file: Option<File>,
        deadline: Option<Instant>,
    ) -> io::Result<Self> {
        let output = child.stdout.take();
        let output = output.ok_or_else(|| io::Error::other("a program without output"))?;
        Ok(Self {
            reader: match deadline {
                None => Box::new(output),
                Some(deadline) => Box::new(Until::new(output, deadline)),
            },
            file,
            child: Some((child, name)),
            read: 0,
        })
    }

    /// Reads the next piece; an empty one is the end.
    ///
    /// # Errors
    /// The file is damaged or cannot be read, or the program failed.
    pub(crate) fn read(&mut self, piece: &mut Vec<u8>, most: usize) -> io::Result<()> {
        piece.resize(most, 0);
        let length = loop {
            match self.reader.read(piece) {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                other => break other?,
            }
        };
        piece.truncate(length);
        self.read += length as u64;
        if length == 0
            && let Some((child, name)) = &mut self.child
        {
            let status = child.wait()?;
            if !status.success() {
                return Err(io::Error::other(format!("{name} failed: {status}")));
            }
        }
        Ok(())
    }

    /// Bytes read so far, as they are stored.
    pub(crate) fn position(&mut self) -> u64 {
        match &mut self.file {
            Some(file) => file.stream_position().unwrap_or(self.read),
            None => self.read,
        }
    }
}

impl Drop for Input {
    fn drop(&mut self) {
        if let Some((child, _)) = &mut self.child {
            // it may have ended already
            let _ended = child.kill();
            let _status = child.wait();
        }
    }
}

/// The error of a part that cannot be read.
pub(crate) fn unreadable(name: &str, error: &io::Error) -> ErrorBody {
    ErrorBody::new("machine", format!("cannot read {name}: {error}"))
}

fn read_head(reader: &mut impl Read, head: &mut [u8]) -> io::Result<usize> {
    let mut length = 0;
    while length < head.len() {
        match reader.read(head.get_mut(length..).unwrap_or_default())? {
            0 => break,
            more => length += more,
        }
    }
    Ok(length)
}

/// The first bytes, and a reader that still has them.
fn peek(mut reader: impl Read + 'static) -> io::Result<(Vec<u8>, impl Read)> {
    let mut head = [0; 4];
    let length = read_head(&mut reader, &mut head)?;
    let head = head.get(..length).unwrap_or_default().to_vec();
    Ok((head.clone(), io::Cursor::new(head).chain(reader)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_mydumper_are_run_in_the_order_in_which_they_need_each_other() {
        let names = [
            "metadata",
            "shop-schema-post.sql",
            "shop.a.00001.sql.gz",
            "shop.a.00000.sql.gz",
            "shop.a-schema.sql",
            "shop.b-schema.sql.zst",
            "shop.b.sql",
            "shop.a-schema-triggers.sql",
            "shop.v-schema-view.sql",
            "shop.v-schema.sql",
            "shop-schema-create.sql",
            "a@002eb-schema-create.sql",
        ];
        let mut found: Vec<_> = names.iter().filter_map(|n| Some((place(n)?, *n))).collect();
        found.sort();
        let order: Vec<_> = found.iter().map(|(_, name)| *name).collect();
        assert_eq!(
            order,
            [
                "a@002eb-schema-create.sql",
                "shop-schema-create.sql",
                "shop.a-schema.sql",
                "shop.a.00000.sql.gz",
                "shop.a.00001.sql.gz",
                "shop.b-schema.sql.zst",
                "shop.b.sql",
                "shop.v-schema.sql",
                "shop.a-schema-triggers.sql",
                "shop-schema-post.sql",
                "shop.v-schema-view.sql",
            ]
        );
        assert_eq!(found[0].0.schema, "a.b");
    }

    #[test]
    fn compressed_files_are_read_as_what_is_in_them() {
        use std::io::Write as _;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("dump");
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(b"SELECT 1;").unwrap();
        let packed = gzip.finish().unwrap();
        for (bytes, expected) in [
            (&b"SELECT 1;"[..], Some(&b"SELECT 1;"[..])),
            (&packed, Some(b"SELECT 1;")),
            (b"", Some(b"")),
            (&packed[..packed.len() - 4], None),
        ] {
            std::fs::write(&path, bytes).unwrap();
            let part = parts(&path, None).unwrap().remove(0);
            let mut input = Input::open(&part).unwrap();
            let (mut all, mut piece) = (Vec::new(), Vec::new());
            let done = loop {
                match input.read(&mut piece, 5) {
                    Ok(()) if piece.is_empty() => break true,
                    Ok(()) => all.extend_from_slice(&piece),
                    Err(_) => break false,
                }
            };
            assert_eq!(done.then_some(&all[..]), expected);
        }
    }
}
