//! Options of commands that call the API of another machine, or with a token.

use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use clap::Args;
use dormouse_api::{Client, ErrorBody};

use crate::Outcome;

/// Variable with a token. It is no option: the arguments of a process are visible to every user.
const TOKEN: &str = "DORMOUSE_TOKEN";
/// A token's file is not longer than this.
const FILE_MOST: u64 = 4096;
const HEADING: &str = "Options of commands that call the API";

/// How to reach the API.
#[derive(Debug, Args)]
pub(crate) struct Remote {
    /// The API's address, https://HOST:PORT [default: the Unix socket in the data directory]
    #[arg(long, global = true, value_name = "URL", env = "DORMOUSE_API", help_heading = HEADING)]
    api: Option<String>,

    /// Authority that signed the API's certificate, PEM [default: those that the system trusts]
    #[arg(long, global = true, value_name = "FILE", env = "DORMOUSE_API_CA", help_heading = HEADING)]
    api_ca: Option<PathBuf>,

    /// File with a token of `dormouse token add` [default: the variable DORMOUSE_TOKEN]
    #[arg(long, global = true, value_name = "FILE", env = "DORMOUSE_TOKEN_FILE", help_heading = HEADING)]
    token_file: Option<PathBuf>,
}

impl Remote {
    /// Whether the API is on this machine's Unix socket.
    pub(crate) fn is_local(&self) -> bool {
        self.url().is_none()
    }

    fn url(&self) -> Option<&str> {
        self.api.as_deref().filter(|url| !url.is_empty())
    }

    /// The client; `socket`: the API's, used without an address.
    pub(crate) fn client(&self, socket: impl FnOnce() -> Outcome<PathBuf>) -> Outcome<Client> {
        let client = match self.url() {
            Some(url) => Client::over_tls(url, self.api_ca.as_deref())?,
            None => Client::new(&socket()?),
        };
        match self.token()? {
            Some(token) => client.with_token(&token),
            None => Ok(client),
        }
    }

    /// The remark on a token's file that others may read.
    pub(crate) fn warning(&self) -> Option<String> {
        let file = self.token_file.as_deref()?;
        let about = std::fs::metadata(file).ok()?;
        let open = about.is_file() && about.mode() & 0o077 != 0;
        open.then(|| {
            format!(
                "warning: other users may read the token in {0}: chmod 600 {0}",
                file.display()
            )
        })
    }

    fn token(&self) -> Outcome<Option<String>> {
        if let Some(file) = self.token_file.as_deref() {
            return read(file).map(Some);
        }
        match std::env::var(TOKEN) {
            Ok(token) => Ok(Some(token.trim().to_owned()).filter(|token| !token.is_empty())),
            Err(std::env::VarError::NotPresent) => Ok(None),
            Err(std::env::VarError::NotUnicode(_)) => {
                Err(ErrorBody::new("invalid", format!("{TOKEN} is not a token")))
            }
        }
    }
}

fn read(file: &Path) -> Outcome<String> {
    let unusable = |why: String| {
        let message = format!("cannot read a token from {}: {why}", file.display());
        ErrorBody::new("invalid", message)
            .with_hint("the file has what `dormouse token add` printed, and nothing else")
    };
    let mut text = String::new();
    std::fs::File::open(file)
        .and_then(|file| file.take(FILE_MOST).read_to_string(&mut text))
        .map_err(|e| unusable(e.to_string()))?;
    let token = text.trim();
    if token.is_empty() || token.contains(char::is_whitespace) {
        return Err(unusable("it is not one word".to_owned()));
    }
    Ok(token.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tokens_file_has_one_word_and_its_text_is_in_no_message() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("token");
        std::fs::write(&file, " dm_x_s3cret\n").unwrap();
        assert_eq!(read(&file), Ok("dm_x_s3cret".to_owned()));
        std::fs::write(&file, "dm_x_s3cret two").unwrap();
        let error = read(&file).unwrap_err();
        assert!(!format!("{error:?}").contains("s3cret"));
        std::fs::write(&file, "\n").unwrap();
        assert!(read(&file).is_err());
        assert!(read(&dir.path().join("none")).is_err());
    }
}
