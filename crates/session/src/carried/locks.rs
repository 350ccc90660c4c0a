//! Locks of `GET_LOCK()` that a planned park carries to the next server.
//!
//! The server lists the names of a connection's locks (plugin `metadata_lock_info`), but not how often each has been
//! taken. That is found by releasing each until it is free, while the door is shut and so nobody else can take it; then
//! they are taken again as often. A name that the list does not show as it is (it is cut at 64 characters, and has `?`
//! for what `utf8mb3` lacks) keeps its session on the backend.

use std::fmt::Write as _;

use crate::rows::Rows;

/// The most locks of a session that are carried.
const MOST: usize = 32;
/// The most times that one of them may have been taken.
const MOST_TIMES: usize = 256;
/// How many releases one question asks for.
const AT_ONCE: usize = 8;

/// A lock, and how often its session has taken it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserLock {
    /// The name, in hexadecimal.
    name: String,
    times: usize,
}

/// The question for the names of the locks of the server's connection with this id.
#[must_use]
pub fn names_question(thread: u32) -> String {
    format!(
        "SELECT HEX(TABLE_SCHEMA), IS_USED_LOCK(TABLE_SCHEMA) FROM information_schema.METADATA_LOCK_INFO WHERE \
         THREAD_ID = {thread} AND LOCK_TYPE = 'User lock' LIMIT {}",
        MOST + 1
    )
}

/// The locks that the answer to [`names_question`] tells, not counted yet; `None` if they cannot be carried.
#[must_use]
pub fn named(rows: &Rows, thread: u32) -> Option<Vec<UserLock>> {
    let mut locks: Vec<UserLock> = Vec::new();
    for row in rows {
        let [Some(name), Some(holder)] = row.as_slice() else {
            return None;
        };
        let name = String::from_utf8(name.clone()).ok()?;
        let twice = locks.iter().any(|lock| lock.name == name);
        if holder != thread.to_string().as_bytes() || twice {
            return None;
        }
        locks.push(UserLock { name, times: 0 });
    }
    (locks.len() <= MOST).then_some(locks)
}

impl UserLock {
    /// The question that releases it some times; [`released`](Self::released) takes the answer.
    #[must_use]
    pub fn release_question(&self) -> String {
        self.calls("RELEASE_LOCK(X'", "')", AT_ONCE)
    }

    /// Counts the releases that the answer tells. Returns whether it is free now.
    #[must_use]
    pub fn released(&mut self, rows: &Rows) -> bool {
        let done = ones(rows);
        self.times += done;
        done < AT_ONCE
    }

    /// Whether it has been taken more often than is carried.
    #[must_use]
    pub fn is_excessive(&self) -> bool {
        self.times > MOST_TIMES
    }

    /// The question that takes it as often as it was released, without waiting for anybody.
    #[must_use]
    pub fn take_question(&self) -> String {
        self.calls("GET_LOCK(X'", "', 0)", self.times)
    }

    /// Whether the answer to [`take_question`](Self::take_question) tells that it is taken.
    #[must_use]
    pub fn is_taken(&self, rows: &Rows) -> bool {
        ones(rows) == self.times
    }

    fn calls(&self, before: &str, after: &str, times: usize) -> String {
        let mut text = "SELECT ".to_owned();
        for n in 0..times {
            let comma = if n == 0 { "" } else { ", " };
            let _ = write!(text, "{comma}{before}{}{after}", self.name);
        }
        text.push_str(" LIMIT 1");
        text
    }
}

/// The number of columns that are 1.
fn ones(rows: &Rows) -> usize {
    let row = rows.first().map_or(&[][..], Vec::as_slice);
    row.iter()
        .filter(|value| value.as_deref() == Some(b"1"))
        .count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(values: &[Option<&str>]) -> Vec<Option<Vec<u8>>> {
        let bytes = |value: &Option<&str>| value.map(|text| text.as_bytes().to_vec());
        values.iter().map(bytes).collect()
    }

    #[test]
    fn names_that_the_list_shows_wrongly_are_not_carried() {
        let found = |rows: &[[Option<&str>; 2]]| {
            let rows = rows.iter().map(|values| row(values)).collect();
            named(&rows, 7).map(|locks| locks.len())
        };
        assert_eq!(
            found(&[[Some("61"), Some("7")], [Some("62"), Some("7")]]),
            Some(2)
        );
        assert_eq!(found(&[]), Some(0));
        assert_eq!(
            found(&[[Some("3F"), None]]),
            None,
            "nobody has one of this name"
        );
        assert_eq!(
            found(&[[Some("61"), Some("8")]]),
            None,
            "another one has it"
        );
        assert_eq!(
            found(&[[Some("3F"), Some("7")], [Some("3F"), Some("7")]]),
            None
        );
        assert_eq!(found(&vec![[Some("61"), Some("7")]; MOST + 1]), None);
    }

    #[test]
    fn a_lock_is_taken_as_often_as_it_was_released() {
        let mut lock = named(&vec![row(&[Some("61"), Some("7")])], 7)
            .unwrap()
            .remove(0);
        assert!(
            lock.release_question()
                .starts_with("SELECT RELEASE_LOCK(X'61'), RELEASE_LOCK(")
        );
        assert!(
            !lock.released(&vec![row(&[Some("1"); AT_ONCE])]),
            "there may be more"
        );
        assert!(lock.released(&vec![row(&[Some("1"), Some("1"), None, None])]));
        assert_eq!(lock.times, AT_ONCE + 2);
        assert_eq!(
            lock.take_question().matches("GET_LOCK(X'61', 0)").count(),
            AT_ONCE + 2
        );
        let taken = |times| lock.is_taken(&vec![row(&vec![Some("1"); times])]);
        assert!(taken(AT_ONCE + 2) && !taken(AT_ONCE + 1));
        assert!(!lock.is_taken(&vec![row(&[Some("1"), Some("0")])]));
        assert!(!lock.is_excessive());
    }
}
