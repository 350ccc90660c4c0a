//! Looking for groups.

use regex::{Regex, RegexBuilder};

use crate::group::Group;

/// Most bytes that an expression may take when it is compiled.
const SIZE: usize = 1 << 20;

/// A regular expression that is looked for in the texts of statements and in the names of tables.
#[derive(Debug, Clone)]
pub struct Search(Regex);

impl Search {
    /// Reads an expression; upper and lower case are the same to it.
    ///
    /// # Errors
    /// It is none; the text says why.
    pub fn new(expression: &str) -> Result<Self, String> {
        RegexBuilder::new(expression)
            .case_insensitive(true)
            .size_limit(SIZE)
            .build()
            .map(Self)
            .map_err(|error| format!("'{expression}' is no regular expression: {error}"))
    }

    /// Whether it is found in a group.
    #[must_use]
    pub fn finds(&self, group: &Group) -> bool {
        let Self(expression) = self;
        group.texts.iter().any(|text| expression.is_match(text))
            || group
                .tables
                .iter()
                .any(|table| expression.is_match(&table.to_string()))
    }
}
