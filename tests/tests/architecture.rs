//! The invariants that ARCHITECTURE.md marks as checked.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a helper that fails fails its test"
)]

#[path = "architecture/impls.rs"]
mod impls;
#[path = "architecture/modules.rs"]
mod modules;

use std::fs;
use std::path::{Path, PathBuf};

use modules::{Crate, circles};

/// Crates of the product, lowest first, as ARCHITECTURE.md lists them.
const ORDER: [&str; 17] = [
    "types",
    "wire",
    "binlog",
    "session",
    "tenant",
    "policy",
    "sim",
    "link",
    "snapshot",
    "engine",
    "repository",
    "driver",
    "driver-local",
    "control",
    "proxy",
    "api",
    "dormouse",
];

/// Crates in which no two files may take names from each other, not even by way of others.
const WITHOUT_CIRCLES: [&str; 3] = ["session", "proxy", "control"];

/// A type whose methods stand in more files is one that everybody may touch everywhere.
const MOST_IMPL_FILES: usize = 4;

/// Crates without I/O, tasks or clocks.
const PURE: [&str; 6] = ["types", "wire", "session", "tenant", "policy", "sim"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap()
        .to_owned()
}

/// The names in a crate's `[dependencies]`.
fn dependencies(name: &str) -> Vec<String> {
    let manifest = fs::read_to_string(root().join("crates").join(name).join("Cargo.toml")).unwrap();
    let section = manifest
        .split("\n[")
        .find(|part| part.starts_with("dependencies]"))
        .unwrap_or("");
    let lines = section
        .lines()
        .skip(1)
        .filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines
        .map(|line| line.split(['.', ' ', '=']).next().unwrap_or("").to_owned())
        .collect()
}

fn sources(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap().filter_map(Result::ok) {
        let path = entry.path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            found.push(path);
        }
    }
    found
}

/// Product sources with their text up to the tests in them.
fn product() -> Vec<(PathBuf, String)> {
    let crates = ORDER
        .iter()
        .flat_map(|name| sources(&root().join("crates").join(name).join("src")));
    let product = crates.filter(|path| {
        let tests = path.components().any(|part| part.as_os_str() == "tests");
        !tests && !path.ends_with("tests.rs") && !path.ends_with("conformance.rs")
    });
    product
        .map(|path| {
            let text = fs::read_to_string(&path).unwrap();
            let code = text.split("#[cfg(test)]").next().unwrap_or("").to_owned();
            (path, code)
        })
        .collect()
}

#[test]
fn every_crate_of_the_product_has_its_place() {
    let mut found: Vec<_> = fs::read_dir(root().join("crates"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name != "testkit")
        .collect();
    found.sort();
    let mut expected = ORDER.map(str::to_owned).to_vec();
    expected.sort();
    assert_eq!(found, expected);
    let page = fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    let rows: Vec<_> = ORDER
        .iter()
        .map(|name| page.find(&format!("\n| `{name}` |")))
        .collect();
    assert!(
        rows.iter().all(Option::is_some),
        "ARCHITECTURE.md lacks a crate"
    );
    assert!(
        rows.is_sorted(),
        "ARCHITECTURE.md lists the crates in another order"
    );
}

#[test]
fn arrows_between_crates_point_downward() {
    for (place, name) in ORDER.iter().enumerate() {
        for dependency in dependencies(name) {
            let Some(below) = dependency.strip_prefix("dormouse-") else {
                continue;
            };
            let at = ORDER.iter().position(|other| *other == below);
            assert!(at.is_some_and(|at| at < place), "{name} depends on {below}");
        }
    }
    let proxy = dependencies("proxy");
    assert!(
        !proxy.contains(&"dormouse-control".to_owned()),
        "proxy and control depend on each other"
    );
}

#[test]
fn pure_crates_have_no_io_tasks_or_clocks() {
    for name in PURE {
        for bad in ["tokio", "rustix", "rusqlite", "async-trait"] {
            assert!(
                !dependencies(name).contains(&bad.to_owned()),
                "{name} depends on {bad}"
            );
        }
    }
    for (path, code) in product() {
        let pure = PURE
            .iter()
            .any(|name| path.starts_with(root().join("crates").join(name)));
        for bad in [
            "std::fs",
            "std::net",
            "Instant::now",
            "SystemTime::now",
            "Timestamp::now",
            "thread::",
        ] {
            assert!(
                !pure || !code.contains(bad),
                "{} uses {bad}",
                path.display()
            );
        }
    }
}

#[test]
fn unsafe_code_is_in_one_file() {
    let allowed: Vec<_> = product()
        .into_iter()
        .filter(|(_, code)| code.contains("unsafe {"))
        .map(|(path, _)| path.strip_prefix(root()).unwrap().to_owned())
        .collect();
    assert_eq!(allowed, [Path::new("crates/driver-local/src/spawn.rs")]);
}

#[test]
fn product_code_does_not_panic_on_purpose() {
    for (path, code) in product() {
        for bad in [
            ".unwrap()",
            ".expect(\"",
            "panic!(",
            "todo!(",
            "unimplemented!(",
            "unreachable!(",
        ] {
            let found = code
                .lines()
                .find(|line| !line.trim_start().starts_with("//") && line.contains(bad));
            assert!(
                found.is_none(),
                "{}: {}",
                path.display(),
                found.unwrap_or("")
            );
        }
    }
}

/// The product sources of a crate: paths below its `src`, and texts up to the tests in them.
fn sources_of(name: &str) -> Vec<(String, String)> {
    let src = root().join("crates").join(name).join("src");
    product()
        .into_iter()
        .filter_map(|(path, code)| {
            let below = path.strip_prefix(&src).ok()?.to_str()?.to_owned();
            Some((below, code))
        })
        .collect()
}

#[test]
fn files_take_names_from_each_other_in_one_direction() {
    let small = [
        ("lib.rs", "mod a;\nmod b;\npub use b::B;"),
        ("a.rs", "use crate::B;\npub struct A;"),
        (
            "b.rs",
            "mod c;\nuse crate::a::{self, A}; // text\npub struct B;",
        ),
        ("b/c.rs", "fn f() { super::B; }"),
    ];
    let small = small.map(|(path, text)| (path.to_owned(), text.to_owned()));
    let found = circles(&Crate::read(small).imports());
    assert_eq!(
        found,
        [[vec!["a".to_owned()], vec!["b".to_owned()]]],
        "the check itself"
    );
    let mut tied = Vec::new();
    for name in WITHOUT_CIRCLES {
        let imports = Crate::read(sources_of(name)).imports();
        for circle in circles(&imports) {
            tied.push(format!("crates/{name}:"));
            for from in &circle {
                let to = imports[from].iter().filter(|to| circle.contains(to));
                tied.extend(to.map(|to| format!("  {} takes from {}", file(from), file(to))));
            }
        }
    }
    assert!(
        tied.is_empty(),
        "files that take names from each other; what both need belongs into a file of its own:\n{}",
        tied.join("\n")
    );
}

/// A module's name in messages.
fn file(module: &modules::Module) -> String {
    match module.is_empty() {
        true => "lib".to_owned(),
        false => module.join("/"),
    }
}

#[test]
fn a_type_has_its_methods_in_few_files() {
    let mut many = Vec::new();
    for name in ORDER {
        for (of, files) in impls::by_type(sources_of(name)) {
            if files.len() > MOST_IMPL_FILES {
                many.push(format!("crates/{name}: {of} in {files:?}"));
            }
        }
    }
    assert!(
        many.is_empty(),
        "types with impl blocks in more than {MOST_IMPL_FILES} files; lend their parts to types of their own:\n{}",
        many.join("\n")
    );
}
