//! In how many files a type has methods.

use std::collections::{BTreeMap, BTreeSet};

use super::modules::without_comments_and_texts;

/// The files that hold `impl` blocks of each type of a crate's own, by the type's name.
pub(crate) fn by_type(
    sources: impl IntoIterator<Item = (String, String)>,
) -> BTreeMap<String, BTreeSet<String>> {
    let mut found: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut own = BTreeSet::new();
    for (path, text) in sources {
        let code = without_comments_and_texts(&text);
        for line in code.lines() {
            own.extend(defined(line).map(str::to_owned));
            if let Some(name) = implemented(line) {
                found
                    .entry(name.to_owned())
                    .or_default()
                    .insert(path.clone());
            }
        }
    }
    found.retain(|name, _| own.contains(name));
    found
}

/// The type that a line defines.
fn defined(line: &str) -> Option<&str> {
    let mut words = line.split(|c: char| !c.is_alphanumeric() && c != '_');
    words.find(|word| matches!(*word, "struct" | "enum"))?;
    words.next()
}

/// The type that an `impl` line is for.
fn implemented(line: &str) -> Option<&str> {
    let rest = line.strip_prefix("impl")?;
    let rest = match rest.strip_prefix('<') {
        Some(generics) => after_generics(generics)?,
        None => rest.strip_prefix(' ')?,
    };
    let of = rest.split(" for ").last()?;
    let of = of.trim_start_matches(['&', ' ']).trim_start_matches("mut ");
    let path = of.split(['<', ' ', '{', '(', '[']).next()?;
    path.rsplit("::").next().filter(|name| !name.is_empty())
}

fn after_generics(text: &str) -> Option<&str> {
    let mut depth = 1;
    for (at, c) in text.char_indices() {
        match c {
            '<' => depth += 1,
            '>' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return text.get(at + 1..).map(str::trim_start);
        }
    }
    None
}
