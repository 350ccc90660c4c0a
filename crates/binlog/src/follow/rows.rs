//! Rows and the tables that they are of.

use super::packed;
use super::value::{Form, Value};
use crate::error::Wrong;
use crate::reader::Reader;

/// How the rows of a table are written in the events behind it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableMap {
    /// The number by which the rows name it.
    pub id: u64,
    /// The schema.
    pub schema: String,
    /// The table.
    pub name: String,
    columns: Vec<Form>,
}

impl TableMap {
    pub(super) fn read(mut body: Reader<'_>) -> Result<Self, Wrong> {
        let id = id(&mut body)?;
        body.u16()?;
        let length = body.u8()?;
        let schema = body.text(length.into())?;
        body.u8()?;
        let length = body.u8()?;
        let name = body.text(length.into())?;
        body.u8()?;
        let count = count(&mut body)?;
        let kinds = body.take(count)?;
        let length = self::count(&mut body)?;
        let mut meta = Reader(body.take(length)?);
        let columns = kinds.iter().map(|kind| Form::read(*kind, &mut meta));
        let columns = columns.collect::<Result<_, _>>()?;
        Ok(Self {
            id,
            schema,
            name,
            columns,
        })
    }

    /// Number of columns.
    #[must_use]
    pub fn width(&self) -> usize {
        self.columns.len()
    }
}

/// What happens to rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RowKind {
    /// They are new.
    Insert,
    /// They change.
    Update,
    /// They go.
    Delete,
}

/// Changes of rows of one table.
#[derive(Debug, Clone, PartialEq)]
pub struct Rows {
    /// The number of the table in its [`TableMap`].
    pub table: u64,
    /// What happens.
    pub kind: RowKind,
    /// `foreign_key_checks = 0`: the server did not delete or change rows that refer to these.
    pub unchecked: bool,
    width: usize,
    before: Vec<u8>,
    after: Vec<u8>,
    data: Vec<u8>,
}

/// A change of one row: a value for each column, `None` for those that are not in the log.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// The row before, if it is not new.
    pub before: Vec<Option<Value>>,
    /// The row after, if it does not go.
    pub after: Vec<Option<Value>>,
}

impl Rows {
    pub(super) fn read(
        mut body: Reader<'_>,
        kind: RowKind,
        version: u8,
        is_packed: bool,
    ) -> Result<Self, Wrong> {
        const NO_FOREIGN_KEY_CHECKS: u16 = 2;
        let table = id(&mut body)?;
        let flags = body.u16()?;
        if version == 2 {
            let length = body.u16()?.checked_sub(2);
            body.take(length.unwrap_or(0).into())?;
        }
        let width = count(&mut body)?;
        let bytes = width.div_ceil(8);
        let first = body.take(bytes)?.to_vec();
        let (before, after) = match kind {
            RowKind::Insert => (Vec::new(), first),
            RowKind::Delete => (first, Vec::new()),
            RowKind::Update => (first, body.take(bytes)?.to_vec()),
        };
        let data = match is_packed {
            true => packed::event(body.0)?,
            false => body.0.to_vec(),
        };
        Ok(Self {
            table,
            kind,
            unchecked: flags & NO_FOREIGN_KEY_CHECKS != 0,
            width,
            before,
            after,
            data,
        })
    }

    /// The changes, one at a time.
    ///
    /// # Errors
    /// The table has another number of columns.
    pub fn changes<'a>(&'a self, table: &'a TableMap) -> Result<Changes<'a>, Wrong> {
        if self.width != table.width() {
            return Err(Wrong::Damaged("rows are wider than their table"));
        }
        Ok(Changes {
            rows: self,
            table,
            left: Reader(&self.data),
        })
    }
}

/// The changes of an event.
#[derive(Debug)]
pub struct Changes<'a> {
    rows: &'a Rows,
    table: &'a TableMap,
    left: Reader<'a>,
}

impl Changes<'_> {
    fn row(&mut self, present: &[u8]) -> Result<Vec<Option<Value>>, Wrong> {
        let is_set = |bits: &[u8], at: usize| {
            bits.get(at / 8)
                .is_some_and(|byte| byte >> (at % 8) & 1 == 1)
        };
        let columns = &self.table.columns;
        let count = (0..columns.len()).filter(|at| is_set(present, *at)).count();
        let nulls = self.left.take(count.div_ceil(8))?;
        let mut values = Vec::with_capacity(columns.len());
        let mut at_present = 0;
        for (at, form) in columns.iter().enumerate() {
            if !is_set(present, at) {
                values.push(None);
                continue;
            }
            values.push(Some(match is_set(nulls, at_present) {
                true => Value::Null,
                false => form.value(&mut self.left)?,
            }));
            at_present += 1;
        }
        Ok(values)
    }

    fn change(&mut self) -> Result<Change, Wrong> {
        let rows = self.rows;
        let had = self.left.0.len();
        let (mut before, mut after) = (Vec::new(), Vec::new());
        if rows.kind != RowKind::Insert {
            before = self.row(&rows.before)?;
        }
        if rows.kind != RowKind::Delete {
            after = self.row(&rows.after)?;
        }
        if self.left.0.len() == had {
            return Err(Wrong::Damaged("a row has no columns"));
        }
        Ok(Change { before, after })
    }
}

impl Iterator for Changes<'_> {
    type Item = Result<Change, Wrong>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.left.0.is_empty() {
            return None;
        }
        let change = self.change();
        if change.is_err() {
            self.left = Reader(&[]);
        }
        Some(change)
    }
}

fn id(body: &mut Reader<'_>) -> Result<u64, Wrong> {
    let [a, b, c, d, e, f] = body.array()?;
    Ok(u64::from_le_bytes([a, b, c, d, e, f, 0, 0]))
}

/// A number of columns or bytes: one, three, four or nine bytes.
fn count(body: &mut Reader<'_>) -> Result<usize, Wrong> {
    const WRONG: Wrong = Wrong::Damaged("a length is none");
    Ok(match body.u8()? {
        short @ 0..=250 => short.into(),
        252 => body.u16()?.into(),
        253 => {
            let [a, b, c] = body.array()?;
            u32::from_le_bytes([a, b, c, 0]) as usize
        }
        254 => usize::try_from(body.u64()?).map_err(|_| WRONG)?,
        _ => return Err(WRONG),
    })
}
