//! `data_dirs` and `[servers]`: where databases are, and of which servers.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// `[places]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Places {
    /// Whether databases move away from a data directory that is nearly full.
    pub(crate) shed: bool,
}

impl Default for Places {
    fn default() -> Self {
        Self { shed: true }
    }
}

/// Checks the data roots beside the data directory; the error is a message and a hint.
pub(crate) fn check(
    data_dir: Option<&Path>,
    data_dirs: &[PathBuf],
) -> Result<(), (String, String)> {
    let hint = || {
        "name a directory of its own on each disk, as in data_dirs = [\"/disk2/dormouse\"]"
            .to_owned()
    };
    for dir in data_dirs {
        if !dir.is_absolute() || dir.parent().is_none() {
            let what = format!(
                "data_dirs has {}, which is not an absolute path of a directory",
                dir.display()
            );
            return Err((what, hint()));
        }
    }
    let all: Vec<&Path> = data_dir
        .into_iter()
        .chain(data_dirs.iter().map(PathBuf::as_path))
        .collect();
    for (index, one) in all.iter().enumerate() {
        for (_, other) in all.iter().enumerate().filter(|(place, _)| *place != index) {
            if real(one).starts_with(real(other)) {
                let what = format!(
                    "of the data directories {} is inside of {}, or is the same",
                    one.display(),
                    other.display()
                );
                return Err((what, hint()));
            }
        }
    }
    Ok(())
}

/// The path without links, as far as it exists.
fn real(path: &Path) -> PathBuf {
    let existing = path.ancestors().find_map(|dir| {
        let real = dir.canonicalize().ok()?;
        Some(real.join(path.strip_prefix(dir).ok()?))
    });
    // `join` with nothing adds a slash, which comparisons ignore
    existing.unwrap_or_else(|| path.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_directories_are_absolute_and_apart() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        std::fs::create_dir(path("data")).unwrap();
        std::os::unix::fs::symlink(path("data"), path("link")).unwrap();
        let checked =
            |others: &[PathBuf]| check(Some(&path("data")), others).map_err(|(message, _)| message);
        assert_eq!(checked(&[path("a"), path("b")]), Ok(()));
        assert_eq!(checked(&[path("data2")]), Ok(()));
        for others in [
            vec![path("data")],
            vec![path("link")],
            vec![path("link/x")],
            vec![path("data/x")],
            vec![dir.path().to_owned()],
            vec![path("a"), path("a")],
            vec![path("a"), path("a/b/c")],
            vec![path("a/b/c"), path("a")],
        ] {
            let error = checked(&others).unwrap_err();
            assert!(error.contains("inside of"), "{others:?}: {error}");
        }
        for path in ["relative", "./x", "", "/"] {
            let error = check(None, &[path.into()]).unwrap_err().0;
            assert!(error.contains("absolute"), "{path}: {error}");
        }
    }
}
