//! Random replies of every kind, and the result that the framer must report.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::super::{Prepared, ReplyEnd};
use crate::caps::Capabilities;
use crate::command::ReplyKind;
use crate::packet::write_packet;
use crate::reader::put_lenenc_int;
use crate::reply::{EofPacket, ErrPacket, OkPacket, SessionChange};
use crate::status::Status;

pub(super) const OLD: Capabilities = Capabilities::PROTOCOL_41;
pub(super) const NEW: Capabilities = Capabilities(OLD.0 | Capabilities::DEPRECATE_EOF.0);
pub(super) const BOTH: Capabilities =
    Capabilities(NEW.0 | Capabilities::SESSION_TRACK.0 | Capabilities::PROGRESS.0);

pub(super) const KINDS: [ReplyKind; 9] = [
    ReplyKind::None,
    ReplyKind::Simple,
    ReplyKind::Text,
    ReplyKind::ResultSet,
    ReplyKind::Execute,
    ReplyKind::Prepare,
    ReplyKind::Fetch,
    ReplyKind::FieldList,
    ReplyKind::Stream,
];

/// The bytes of a reply and the expected result.
#[derive(Debug, Clone)]
pub(super) struct Script {
    pub(super) kind: ReplyKind,
    pub(super) caps: Capabilities,
    pub(super) bytes: Vec<u8>,
    pub(super) end: ReplyEnd,
    pub(super) changes: Vec<SessionChange>,
}

/// How a result, or a whole reply, ends.
#[derive(Debug, Clone)]
enum Last {
    Ok(OkPacket),
    Err(u16, String),
}

/// One result of SQL.
#[derive(Debug, Clone)]
enum Result {
    Plain(OkPacket),
    File(OkPacket),
    Cursor(u16, OkPacket),
    Rows {
        columns: u16,
        rows: Vec<Vec<u8>>,
        last: Last,
    },
}

#[derive(Debug, Clone)]
enum Body {
    Simple(Last),
    EofAlone(EofPacket),
    Text(Vec<u8>),
    Results(Vec<Result>, Option<u16>),
    Prepare(Prepared, u16, Option<u16>),
    UpToEnd(ReplyKind, Vec<Vec<u8>>, Last),
}

struct Writer {
    caps: Capabilities,
    seq: u8,
    bytes: Vec<u8>,
    end: ReplyEnd,
    changed: bool,
    changes: Vec<SessionChange>,
    progress: bool,
}

impl Writer {
    fn has(&self, caps: Capabilities) -> bool {
        self.caps.contains(caps)
    }

    fn put(&mut self, payload: &[u8]) {
        if self.progress && self.has(Capabilities::PROGRESS) {
            let report = b"\xff\xff\xff\x01\x01\x02\x88\x13\0\x04copy";
            self.seq = write_packet(&mut self.bytes, self.seq, report);
        }
        self.seq = write_packet(&mut self.bytes, self.seq, payload);
    }

    fn ok(&mut self, ok: &OkPacket, more: bool, eof: bool) {
        let status = if more {
            ok.status.with(Status::MORE_RESULTS)
        } else {
            ok.status.without(Status::MORE_RESULTS)
        };
        let mut packet = OkPacket {
            status,
            ..ok.clone()
        };
        let track = self.has(Capabilities::SESSION_TRACK);
        if !track || packet.session_changes.is_empty() {
            packet.status = packet.status.without(Status::SESSION_STATE_CHANGED);
        } else {
            packet.status = packet.status.with(Status::SESSION_STATE_CHANGED);
        }
        self.end = ReplyEnd {
            status: Some(packet.status),
            warnings: packet.warnings,
            ..ReplyEnd::default()
        };
        if eof && !self.has(Capabilities::DEPRECATE_EOF) {
            let eof = EofPacket {
                warnings: packet.warnings,
                status: packet.status,
            };
            self.put(&eof.encode());
        } else {
            self.put(&packet.encode(self.caps, eof));
            (self.end.affected, self.end.last_insert_id) = (packet.affected, packet.last_insert_id);
            if track {
                self.changes.extend(packet.session_changes);
            }
        }
        self.changed |= packet.status.contains(Status::SESSION_STATE_CHANGED);
    }

    fn err(&mut self, code: u16, message: &str) {
        let code = code.min(0xFFFE);
        self.put(&ErrPacket::new(code, "42000", message).encode(self.caps));
        self.end = ReplyEnd {
            error: Some(code),
            ..ReplyEnd::default()
        };
    }

    fn last(&mut self, last: &Last, more: bool, eof: bool) {
        match last {
            Last::Ok(ok) => self.ok(ok, more, eof),
            Last::Err(code, message) => self.err(*code, message),
        }
    }

    fn definitions(&mut self, n: u16, eof: Option<Status>) {
        for _ in 0..n {
            self.put(b"\x03def\x04shop\x01t\x01t\x01a\x01a\x0c\x2d\0\x04\0\0\0\xfd\0\0\0\0\0");
        }
        if let Some(status) = eof.filter(|_| n > 0 && !self.has(Capabilities::DEPRECATE_EOF)) {
            self.put(
                &EofPacket {
                    warnings: 0,
                    status,
                }
                .encode(),
            );
        }
    }

    fn columns(&mut self, n: u16, status: Status) {
        let mut count = Vec::new();
        put_lenenc_int(&mut count, n.into());
        self.put(&count);
        self.definitions(n, Some(status));
    }

    fn rows(&mut self, rows: &[Vec<u8>]) {
        rows.iter().for_each(|row| self.put(row));
    }

    /// Whether the reply ends here.
    fn result(&mut self, result: &Result, more: bool) -> bool {
        match result {
            Result::Plain(ok) => self.ok(ok, more, false),
            Result::File(ok) => {
                self.put(b"\xfb/tmp/file");
                self.seq = self.seq.wrapping_add(2);
                self.ok(ok, more, false);
            }
            Result::Cursor(columns, ok) => {
                let status = ok
                    .status
                    .with(Status::CURSOR_EXISTS)
                    .without(Status::MORE_RESULTS);
                let mut count = Vec::new();
                put_lenenc_int(&mut count, (*columns).into());
                self.put(&count);
                self.definitions(*columns, None);
                self.ok(
                    &OkPacket {
                        status,
                        ..ok.clone()
                    },
                    false,
                    true,
                );
                return true;
            }
            Result::Rows {
                columns,
                rows,
                last,
            } => {
                // the flags between columns and rows are ignored
                let status = Status::MORE_RESULTS.with(Status::AUTOCOMMIT);
                self.columns(*columns, status);
                self.rows(rows);
                self.last(last, more, true);
                return matches!(last, Last::Err(..));
            }
        }
        false
    }

    fn prepare(&mut self, prepared: Prepared, warnings: u16, status: u16) {
        let Prepared {
            statement,
            columns,
            params,
        } = prepared;
        let head = [&[0][..], &statement.to_le_bytes(), &columns.to_le_bytes()].concat();
        self.put(
            &[
                &head[..],
                &params.to_le_bytes(),
                &[0],
                &warnings.to_le_bytes(),
            ]
            .concat(),
        );
        self.definitions(params, Some(Status(status)));
        self.definitions(columns, Some(Status(status)));
        let told = columns + params > 0 && !self.has(Capabilities::DEPRECATE_EOF);
        let status = told.then_some(Status(status));
        self.changed |= status.is_some_and(|s| s.contains(Status::SESSION_STATE_CHANGED));
        self.end = ReplyEnd {
            status,
            warnings,
            prepared: Some(prepared),
            ..ReplyEnd::default()
        };
    }
}

fn write(body: Body, caps: Capabilities, progress: bool) -> Script {
    let mut w = Writer {
        caps,
        seq: 1,
        bytes: Vec::new(),
        end: ReplyEnd::default(),
        changed: false,
        changes: Vec::new(),
        progress,
    };
    let kind = match body {
        Body::Simple(last) => {
            w.last(&last, false, false);
            ReplyKind::Simple
        }
        Body::EofAlone(eof) => {
            w.put(&eof.encode());
            w.changed = eof.status.contains(Status::SESSION_STATE_CHANGED);
            w.end = ReplyEnd {
                status: Some(eof.status),
                warnings: eof.warnings,
                ..w.end
            };
            ReplyKind::Simple
        }
        Body::Text(text) => {
            w.put(&text);
            ReplyKind::Text
        }
        Body::Results(results, error) => {
            let count = results.len();
            let cursor = results.iter().any(|r| matches!(r, Result::Cursor(..)));
            let mut over = false;
            for (n, result) in results.iter().enumerate() {
                if !over {
                    over = w.result(result, n + 1 < count || error.is_some());
                }
            }
            if let Some(code) = error.filter(|_| !over) {
                w.err(code, "later");
            }
            if cursor {
                ReplyKind::Execute
            } else {
                ReplyKind::ResultSet
            }
        }
        Body::Prepare(prepared, warnings, status) => {
            match status {
                Some(status) => w.prepare(prepared, warnings, status),
                None => w.err(warnings, "no such table"),
            }
            ReplyKind::Prepare
        }
        Body::UpToEnd(kind, rows, last) => {
            w.rows(&rows);
            w.last(&last, false, true);
            kind
        }
    };
    let end = ReplyEnd {
        session_changes: w.changed,
        ..w.end
    };
    Script {
        kind,
        caps,
        bytes: w.bytes,
        end,
        changes: w.changes,
    }
}

fn ok() -> impl Strategy<Value = OkPacket> {
    crate::reply::tests::ok_packet()
}

fn last() -> impl Strategy<Value = Last> {
    prop_oneof![
        4 => ok().prop_map(Last::Ok),
        1 => (any::<u16>(), "[a-z #]{0,20}").prop_map(|(code, text)| Last::Err(code, text)),
    ]
}

/// A row: its first byte is a length, NULL, or the header of a binary row.
fn row() -> impl Strategy<Value = Vec<u8>> {
    (0u8..0xFE, vec(any::<u8>(), 0..30)).prop_map(|(first, mut row)| {
        row.insert(0, first);
        row
    })
}

fn result() -> impl Strategy<Value = Result> {
    prop_oneof![
        2 => ok().prop_map(Result::Plain),
        1 => ok().prop_map(Result::File),
        1 => (1u16..4, ok()).prop_map(|(columns, ok)| Result::Cursor(columns, ok)),
        4 => (1u16..4, vec(row(), 0..5), last())
            .prop_map(|(columns, rows, last)| Result::Rows { columns, rows, last }),
    ]
}

fn body() -> impl Strategy<Value = Body> {
    let prepared =
        (any::<u32>(), 0u16..4, 0u16..4).prop_map(|(statement, columns, params)| Prepared {
            statement,
            columns,
            params,
        });
    let up_to_end = prop_oneof![Just(ReplyKind::Fetch), Just(ReplyKind::FieldList)];
    prop_oneof![
        1 => last().prop_map(Body::Simple),
        1 => (any::<u16>(), any::<u16>())
            .prop_map(|(warnings, s)| Body::EofAlone(EofPacket { warnings, status: Status(s) })),
        1 => vec(0u8..0xFF, 1..40).prop_map(Body::Text),
        5 => (vec(result(), 1..4), option::weighted(0.2, any::<u16>()))
            .prop_map(|(results, error)| Body::Results(results, error)),
        2 => (prepared, any::<u16>(), option::weighted(0.8, any::<u16>()))
            .prop_map(|(prepared, warnings, status)| Body::Prepare(prepared, warnings, status)),
        1 => (up_to_end, vec(row(), 0..6), last())
            .prop_map(|(kind, rows, last)| Body::UpToEnd(kind, rows, last)),
    ]
}

pub(super) fn script() -> impl Strategy<Value = Script> {
    let caps = prop_oneof![
        Just(OLD),
        Just(NEW),
        Just(BOTH),
        Just(BOTH - Capabilities::DEPRECATE_EOF),
        Just(Capabilities::MARIADB_OFFER),
    ];
    (body(), caps, proptest::bool::weighted(0.3))
        .prop_map(|(body, caps, progress)| write(body, caps, progress))
}
