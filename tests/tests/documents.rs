//! What the documents say of the code is there.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a helper that fails fails its test"
)]

use std::fs;
use std::path::{Path, PathBuf};

/// Pages that follow something through the code, by `path.rs::function`, paths below `crates/`.
const PATHS: [&str; 2] = ["docs/path-of-a-query.md", "docs/path-of-a-wake.md"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap()
        .to_owned()
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap()
}

/// Texts between backticks, but for blocks.
fn quoted(page: &str) -> Vec<&str> {
    let outside = page.split("```").step_by(2);
    outside
        .flat_map(|text| text.split('`').skip(1).step_by(2))
        .collect()
}

#[test]
fn every_function_that_a_path_names_is_there() {
    for page in PATHS {
        let text = read(page);
        let named: Vec<(&str, &str)> = quoted(&text)
            .into_iter()
            .filter_map(|code| code.split_once(".rs::"))
            .collect();
        assert!(named.len() >= 10, "{page} follows nothing: {named:?}");
        for (file, function) in named {
            let path = root().join("crates").join(format!("{file}.rs"));
            let code = fs::read_to_string(&path);
            let code = code.unwrap_or_else(|_| panic!("{page} names crates/{file}.rs"));
            let name = function.rsplit("::").next().unwrap_or(function);
            assert!(
                [format!("fn {name}("), format!("fn {name}<")]
                    .iter()
                    .any(|definition| code.contains(definition)),
                "{page} names {file}.rs::{function}, which is not there"
            );
        }
    }
}

#[test]
fn every_link_between_the_documents_leads_somewhere() {
    let mut pages = vec![
        "README.md",
        "ARCHITECTURE.md",
        "CONTRIBUTING.md",
        "SECURITY.md",
    ]
    .into_iter()
    .map(PathBuf::from)
    .collect::<Vec<_>>();
    for entry in fs::read_dir(root().join("docs")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|ending| ending == "md") {
            pages.push(path.strip_prefix(root()).unwrap().to_owned());
        }
    }
    for page in pages {
        let text = fs::read_to_string(root().join(&page)).unwrap();
        for link in text.split("](").skip(1) {
            let link = link.split(')').next().unwrap_or_default();
            let file = link.split('#').next().unwrap_or_default();
            if file.is_empty() || file.contains("://") {
                continue;
            }
            let to = root().join(&page).parent().unwrap().join(file);
            assert!(to.exists(), "{} links to {link}", page.display());
        }
    }
}
