//! Which file of a crate takes names from which other.
//!
//! Read as text: `use` trees, and paths that begin with `crate`, `super`, `self` or a child module.
//! A name that a file only passes on (`pub use`) is taken from the file that defines it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// A module by its path below the crate: empty for `lib.rs`.
pub(crate) type Module = Vec<String>;

/// The files of one crate.
pub(crate) struct Crate {
    files: BTreeMap<Module, File>,
}

/// What one file says.
struct File {
    /// Its code, without comments and texts.
    code: String,
    /// Names that `use` brings into it, with where they come from.
    uses: BTreeMap<String, Module>,
}

impl Crate {
    /// Reads a crate from its sources: paths below `src`, and texts without tests.
    pub(crate) fn read(sources: impl IntoIterator<Item = (String, String)>) -> Self {
        let mut files: BTreeMap<Module, File> = sources
            .into_iter()
            .map(|(path, text)| {
                let code = without_comments_and_texts(&text);
                let uses = BTreeMap::new();
                (module_of(&path), File { code, uses })
            })
            .collect();
        let modules: BTreeSet<Module> = files.keys().cloned().collect();
        for (module, file) in &mut files {
            let mut rest = file.code.as_str();
            while let Some(at) = find_word(rest, "use") {
                let tree = rest[at + 3..].split(';').next().unwrap_or("");
                let mut leaves = Vec::new();
                flatten(tree, &Vec::new(), &mut leaves);
                for (path, name) in leaves {
                    if let Some(path) = absolute(&path, module, &modules) {
                        file.uses.insert(name, path);
                    }
                }
                rest = &rest[at + 3..];
            }
        }
        Self { files }
    }

    /// Who takes names from whom.
    pub(crate) fn imports(&self) -> BTreeMap<Module, BTreeSet<Module>> {
        let taken = |(module, file): (&Module, &File)| {
            let mut from = BTreeSet::new();
            for path in file.uses.values().cloned().chain(self.inline(module, file)) {
                if let Some(owner) = self.owner(&path, 0)
                    && owner != *module
                {
                    from.insert(owner);
                }
            }
            (module.clone(), from)
        };
        self.files.iter().map(taken).collect()
    }

    /// The paths in the code of a file outside of `use`.
    fn inline(&self, module: &Module, file: &File) -> Vec<Module> {
        let modules: BTreeSet<Module> = self.files.keys().cloned().collect();
        let is_part = |c: char| c.is_alphanumeric() || c == '_' || c == ':';
        file.code
            .split(|c: char| !is_part(c))
            .filter(|path| path.contains("::"))
            .filter_map(|path| {
                let parts: Vec<String> = path.split("::").map(str::to_owned).collect();
                let first = parts.first()?;
                match file.uses.get(first) {
                    // a module that was brought in by name
                    Some(of) => Some([of.as_slice(), &parts[1..]].concat()),
                    None => absolute(&parts, module, &modules),
                }
            })
            .collect()
    }

    /// The file that defines what this path names.
    fn owner(&self, path: &[String], depth: usize) -> Option<Module> {
        let mut module: Module = Vec::new();
        let mut rest = path;
        while let Some((first, more)) = rest.split_first() {
            let child = [module.as_slice(), std::slice::from_ref(first)].concat();
            if !self.files.contains_key(&child) {
                break;
            }
            module = child;
            rest = more;
        }
        let passed_on = rest
            .first()
            .and_then(|name| self.files.get(&module)?.uses.get(name));
        match passed_on {
            Some(from) if depth < 8 => self.owner(from, depth + 1),
            _ => self.files.contains_key(&module).then_some(module),
        }
    }
}

/// Groups of files that take names from each other in a circle.
pub(crate) fn circles(imports: &BTreeMap<Module, BTreeSet<Module>>) -> Vec<Vec<Module>> {
    let reach: BTreeMap<&Module, BTreeSet<&Module>> = imports
        .keys()
        .map(|from| {
            let mut seen = BTreeSet::new();
            let mut left: Vec<&Module> = imports[from].iter().collect();
            while let Some(next) = left.pop() {
                if seen.insert(next) {
                    left.extend(imports.get(next).into_iter().flatten());
                }
            }
            (from, seen)
        })
        .collect();
    let mut found: Vec<Vec<Module>> = Vec::new();
    for (module, reached) in &reach {
        if reached.contains(module) && !found.iter().flatten().any(|m| m == *module) {
            let both = |other: &&Module| {
                reached.contains(*other) && reach.get(*other).is_some_and(|r| r.contains(module))
            };
            found.push(imports.keys().filter(both).cloned().collect());
        }
    }
    found
}

/// `session/answer.rs` is `session::answer`, `lib.rs` the crate itself.
fn module_of(path: &str) -> Module {
    let parts = Path::new(path).with_extension("");
    let parts = parts.iter().filter_map(|part| part.to_str());
    parts
        .filter(|part| *part != "lib")
        .map(str::to_owned)
        .collect()
}

/// The path from the crate's root; `None` for other crates and for names that are no paths.
fn absolute(path: &[String], module: &Module, modules: &BTreeSet<Module>) -> Option<Module> {
    let (first, rest) = path.split_first()?;
    let mut base = match first.as_str() {
        "crate" => return Some(rest.to_vec()),
        "self" => module.clone(),
        "super" => module[..module.len().checked_sub(1)?].to_vec(),
        name => {
            let child = [module.as_slice(), &[name.to_owned()]].concat();
            return modules
                .contains(&child)
                .then(|| [child, rest.to_vec()].concat());
        }
    };
    let mut rest = rest;
    while let Some((first, more)) = rest.split_first()
        && first == "super"
    {
        base.pop()?;
        rest = more;
    }
    base.extend(rest.iter().cloned());
    Some(base)
}

/// The leaves of a `use` tree: each one's path and the name it has afterwards.
fn flatten(tree: &str, base: &Module, leaves: &mut Vec<(Module, String)>) {
    let tree = tree.trim();
    if let Some(open) = tree.find('{') {
        let mut base = base.clone();
        let before = tree[..open].split("::").map(str::trim);
        base.extend(before.filter(|part| !part.is_empty()).map(str::to_owned));
        let inside = &tree[open + 1..tree.rfind('}').unwrap_or(tree.len())];
        let mut depth = 0;
        let mut start = 0;
        for (at, c) in inside.char_indices().chain([(inside.len(), ',')]) {
            match c {
                '{' => depth += 1,
                '}' => depth -= 1,
                ',' if depth == 0 => {
                    flatten(&inside[start..at], &base, leaves);
                    start = at + 1;
                }
                _ => {}
            }
        }
        return;
    }
    if tree.is_empty() {
        return;
    }
    let (path, renamed) = match tree.split_once(" as ") {
        Some((path, name)) => (path.trim(), Some(name.trim().to_owned())),
        None => (tree, None),
    };
    let mut path: Module = base
        .iter()
        .cloned()
        .chain(path.split("::").map(|part| part.trim().to_owned()))
        .collect();
    if path.last().is_some_and(|last| last == "self") {
        path.pop();
    }
    if let Some(name) = renamed.or_else(|| path.last().cloned()) {
        leaves.push((path, name));
    }
}

fn find_word(text: &str, word: &str) -> Option<usize> {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    text.match_indices(word).map(|(at, _)| at).find(|at| {
        let before = text[..*at].chars().next_back();
        let after = text[at + word.len()..].chars().next();
        !before.is_some_and(is_part) && after.is_some_and(char::is_whitespace)
    })
}

/// Blanks out what is no code: comments, and the insides of texts.
pub(crate) fn without_comments_and_texts(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    // a text may go on in the next line
    let mut inside = false;
    for line in text.lines() {
        let mut escaped = false;
        let mut last = ' ';
        for c in line.chars() {
            match c {
                _ if escaped => escaped = false,
                '\\' if inside => escaped = true,
                '"' if inside || last != '\'' => {
                    inside = !inside;
                    out.push(c);
                }
                '/' if !inside && last == '/' => {
                    out.pop();
                    break;
                }
                _ if !inside => out.push(c),
                _ => {}
            }
            last = c;
        }
        out.push('\n');
    }
    out
}
