//! The credentials of a place: from a file that only its owner can read, or from the environment.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use zeroize::Zeroizing;

/// The names that a file of credentials may have: the variables that restic reads.
pub(crate) const NAMES: [&str; 12] = [
    "AWS_ACCESS_KEY_ID",
    "AWS_DEFAULT_REGION",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AZURE_ACCOUNT_KEY",
    "AZURE_ACCOUNT_NAME",
    "AZURE_ACCOUNT_SAS",
    "GOOGLE_ACCESS_TOKEN",
    "GOOGLE_APPLICATION_CREDENTIALS",
    "RESTIC_REST_PASSWORD",
    "RESTIC_REST_USERNAME",
    "AWS_REGION",
];

/// The largest file that is read.
const MOST: u64 = 64 << 10;

/// Credentials by the names of variables. Never shown.
#[derive(Default)]
pub(crate) struct Secrets {
    file: Option<BTreeMap<String, Zeroizing<String>>>,
}

impl Secrets {
    /// Reads a file of lines `NAME=value`. What it has counts alone: the environment is not read then.
    pub(crate) fn read(path: Option<&Path>) -> Result<Self, String> {
        let Some(path) = path else {
            return Ok(Self::default());
        };
        let shown = path.display();
        let unread = |error: std::io::Error| format!("the file of credentials {shown}: {error}");
        let file = File::open(path).map_err(unread)?;
        let about = file.metadata().map_err(unread)?;
        if about.mode() & 0o077 != 0 {
            return Err(format!(
                "the file of credentials {shown} can be read or written by others: run chmod 600 {shown}"
            ));
        }
        let mut text = Zeroizing::new(String::new());
        file.take(MOST).read_to_string(&mut text).map_err(unread)?;
        let mut all = BTreeMap::new();
        for (number, line) in (1..).zip(text.lines()) {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let line = line.strip_prefix("export ").unwrap_or(line);
            let pair = line
                .split_once('=')
                .map(|(name, value)| (name.trim(), value.trim()));
            let known = pair.filter(|(name, _)| NAMES.contains(name));
            let Some((name, value)) = known else {
                return Err(format!(
                    "line {number} of the file of credentials {shown} is not NAME=value with one of the names {}",
                    NAMES.join(", ")
                ));
            };
            let unquoted = ['"', '\'']
                .into_iter()
                .find_map(|quote| value.strip_prefix(quote)?.strip_suffix(quote));
            let value = Zeroizing::new(unquoted.unwrap_or(value).to_owned());
            all.insert(name.to_owned(), value);
        }
        Ok(Self { file: Some(all) })
    }

    /// The value of a variable that is not empty.
    pub(crate) fn get(&self, name: &str) -> Option<Zeroizing<String>> {
        let value = match &self.file {
            Some(file) => file.get(name).cloned(),
            None => std::env::var(name).ok().map(Zeroizing::new),
        };
        value.filter(|value| !value.is_empty())
    }
}

#[cfg(test)]
mod tests;
